//! The beginning of a request's body, for the one field that a rule reads in it.
//!
//! The runtime copies the stream: what is looked at here is what goes on to the origin, and what is not looked at is not read
//! here at all.

use crate::task;
use latchkey_gate::{BODY_SEEN_MAX, Extent, find_text};
use worker::js_sys::{Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::{ReadableStreamDefaultReader, Request};

/// What the field says, if all readers would agree on it.
pub(crate) async fn text_of(request: &Request, field: &str) -> Option<String> {
    // What is compressed cannot be looked into.
    if request.headers().has("content-encoding").ok()? {
        return None;
    }
    let copy = request.clone().ok()?;
    let reader: ReadableStreamDefaultReader = copy.body()?.get_reader().unchecked_into();
    let (seen, extent) = beginning(&reader).await?;
    let _ = reader.cancel();
    find_text(&seen, extent, field).ok()
}

async fn beginning(reader: &ReadableStreamDefaultReader) -> Option<(Vec<u8>, Extent)> {
    let mut seen = Vec::new();
    while seen.len() <= BODY_SEEN_MAX {
        let read = task::come(reader.read()).await.ok()?;
        let is_done = Reflect::get(&read, &JsValue::from_str("done")).ok()?.is_truthy();
        if is_done {
            return Some((seen, Extent::Whole));
        }
        let chunk: Uint8Array = Reflect::get(&read, &JsValue::from_str("value")).ok()?.dyn_into().ok()?;
        seen.extend_from_slice(&chunk.to_vec());
    }
    seen.truncate(BODY_SEEN_MAX);
    Some((seen, Extent::Beginning))
}
