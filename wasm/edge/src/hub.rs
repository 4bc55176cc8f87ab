//! The calls to the hub and its relays, Durable Objects in a script of their own. Each has a budget; one that takes longer is
//! aborted.

use crate::isolate::Isolate;
use crate::task;
use core::time::Duration;
use latchkey_push::{Target, peppers, relay, standing};
use worker::js_sys::{Function, Promise, Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::{AbortController, Env, Result, web_sys};

/// The bindings' names in wrangler.toml.
const HUB: &str = "HUB";
const RELAY: &str = "RELAY";
/// How long a batch of usage may take.
const REPORT_BUDGET: Duration = Duration::from_millis(5000);
/// The host is never looked up.
const BASE: &str = "https://hub";

/// Who is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// The hub.
    Hub,
    /// The relay at this location hint.
    Relay(&'static str),
}

/// What came of a read.
pub(crate) enum Read {
    /// The bytes, which are not in the module's memory yet.
    Bytes(Uint8Array),
    /// The hub has no such thing.
    Absent,
    /// It did not answer in time, or not as a hub does.
    Failed,
}

/// Reads a head, a root or an object, within `budget`.
pub(crate) async fn read(
    isolate: &Isolate,
    env: &Env,
    place: Place,
    target: Target,
    budget: Duration,
) -> Read {
    let controller = AbortController::default();
    let signal = controller.signal();
    match task::within(budget, read_within(isolate, env, place, target, &signal)).await {
        Some(outcome) => outcome.unwrap_or(Read::Failed),
        None => {
            // Dropping a future does not end its request.
            controller.abort();
            Read::Failed
        }
    }
}

async fn read_within(
    isolate: &Isolate,
    env: &Env,
    place: Place,
    target: Target,
    signal: &web_sys::AbortSignal,
) -> Result<Read> {
    let init = web_sys::RequestInit::new();
    init.set_signal(Some(signal));
    let request = web_sys::Request::new_with_str_and_init(&format!("{BASE}/{target}"), &init)?;
    if target == Target::Head {
        request.headers().set(peppers::HEADER, isolate.peppers())?;
        if let Some(generation) = isolate.standing() {
            request.headers().set(standing::HEADER, &generation.0.to_string())?;
        }
    }
    let response = fetch(isolate, env, place, &request).await?;
    let bytes = body(&response, target.len_max()).await?;
    Ok(match bytes {
        Some(bytes) => Read::Bytes(bytes),
        None if response.status() == ABSENT => Read::Absent,
        None => Read::Failed,
    })
}

/// The bytes of a response, if it is a good one with at most `len_max` of them.
pub(crate) async fn body(response: &web_sys::Response, len_max: usize) -> Result<Option<Uint8Array>> {
    let declared = response.headers().get("content-length")?.and_then(|text| text.parse::<usize>().ok());
    if !response.ok() || declared.is_none_or(|len| len > len_max) {
        // A body that nobody reads keeps its connection.
        if let Some(body) = response.body() {
            let _ = body.cancel();
        }
        return Ok(None);
    }
    let buffer = task::come(response.array_buffer()?).await?;
    let bytes = Uint8Array::new(&buffer);
    // Before they are copied in: nothing longer is believed anyway.
    let fits = usize::try_from(bytes.length()).is_ok_and(|len| len <= len_max);
    Ok(fits.then_some(bytes))
}

/// Hands a pusher's request on, body and all.
pub(crate) async fn push(
    isolate: &Isolate,
    env: &Env,
    request: &web_sys::Request,
    target: Target,
) -> Result<web_sys::Response> {
    let url = format!("{BASE}/push/{target}");
    let request = web_sys::Request::new_with_str_and_init(&url, request.unchecked_ref())?;
    fetch(isolate, env, Place::Hub, &request).await
}

/// Hands a batch of usage over. Once this is `Ok`, the hub has stored it.
pub(crate) async fn report(isolate: &Isolate, env: &Env, id: &str, body: &[u8]) -> Result<()> {
    let controller = AbortController::default();
    let init = web_sys::RequestInit::new();
    init.set_signal(Some(&controller.signal()));
    init.set_method("PUT");
    init.set_body(&Uint8Array::from(body));
    let request = web_sys::Request::new_with_str_and_init(&format!("{BASE}/usage/{id}"), &init)?;
    let sending = fetch(isolate, env, Place::Hub, &request);
    match task::within(REPORT_BUDGET, sending).await {
        Some(response) => {
            let response = response?;
            if let Some(body) = response.body() {
                let _ = body.cancel();
            }
            if response.ok() { Ok(()) } else { Err("the hub did not take it".into()) }
        }
        None => {
            controller.abort();
            Err("the hub did not answer in time".into())
        }
    }
}

/// The stub's own `fetch`, for the response as it is.
async fn fetch(
    isolate: &Isolate,
    env: &Env,
    place: Place,
    request: &web_sys::Request,
) -> Result<web_sys::Response> {
    let hub = isolate.hub_name();
    let stub = match place {
        Place::Hub => env.durable_object(HUB)?.get_by_name(hub)?,
        // The hint counts when the relay is made; later it is where it is.
        Place::Relay(hint) => {
            env.durable_object(RELAY)?.get_by_name_with_location_hint(&relay::name(hub, hint), hint)?
        }
    };
    let stub: JsValue = stub.into_rpc();
    let fetch: Function = Reflect::get(&stub, &JsValue::from_str("fetch"))?.dyn_into()?;
    let promise: Promise = fetch.call1(&stub, request)?.dyn_into()?;
    Ok(task::come(promise).await?.dyn_into()?)
}

/// What the hub's own `respond` answers for what it does not hold.
const ABSENT: u16 = crate::respond::NOT_FOUND;
