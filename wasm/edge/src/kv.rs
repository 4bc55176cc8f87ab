//! Workers KV, where the operator has bound one: a place for immutable objects, which the hub writes. Never for heads:
//! what KV holds may be a minute old, so it confirms nothing.
//!
//! KV keeps what it found near the reader for `cacheTtl` seconds, and keeps that it found nothing as long. So none is
//! set: the shortest there is, a minute, is the default.

use crate::cache::{call, why};
use crate::isolate::{Isolate, now};
use crate::task;
use core::time::Duration;
use latchkey_push::Target;
use worker::js_sys::{ArrayBuffer, Object, Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::{Env, Result, console_warn};

/// The binding's name in wrangler.toml.
const BINDING: &str = "LATCHKEY_KV";
/// How long a read may take; past it the hub is asked.
const BUDGET: Duration = Duration::from_millis(500);

/// The object's bytes, if they are there; nobody has verified them.
pub(crate) async fn get(isolate: &Isolate, env: &Env, target: &Target) -> Option<Uint8Array> {
    let namespace = Reflect::get(env.as_ref(), &JsValue::from_str(BINDING)).ok()?;
    let rest = isolate.kv();
    if namespace.is_undefined() || rest.lasts(now()) {
        return None;
    }
    match task::within(BUDGET, read(&namespace, target)).await {
        Some(Ok(found)) => found,
        fault => {
            rest.begin(now());
            console_warn!("KV is left alone for a while: {}", why(fault));
            None
        }
    }
}

async fn read(namespace: &JsValue, target: &Target) -> Result<Option<Uint8Array>> {
    let options = Object::new();
    Reflect::set(&options, &JsValue::from_str("type"), &JsValue::from_str("arrayBuffer"))?;
    let found = call(namespace, "get", &[target.to_string().into(), options.into()]).await?;
    if found.is_null() {
        return Ok(None);
    }
    let buffer: ArrayBuffer = found.dyn_into()?;
    let fits = usize::try_from(buffer.byte_length()).is_ok_and(|len| len <= target.len_max());
    Ok(fits.then(|| Uint8Array::new(&buffer)))
}
