//! The data centre's cache, under a name of its own: what one isolate read, the others there need not ask for.
//!
//! Nothing here is believed or relied upon. A cache that fails or hangs is left alone for a while; the calls go through
//! `Reflect`, so that whatever it throws comes back as an error.

use crate::isolate::{Isolate, now};
use crate::{hub, task};
use core::time::Duration;
use latchkey_push::Target;
use worker::js_sys::{self, Function, Promise, Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::{Headers, Response, ResponseInit};
use worker::{Result, console_warn};

/// The cache's name. The default cache is not used: the zone's own traffic is in it.
const NAME: &str = "latchkey";
/// Keys are URLs; the host is never looked up.
const BASE: &str = "https://latchkey.invalid";
/// How long a look may take; past it the source is asked.
const BUDGET: Duration = Duration::from_millis(100);
/// How long a put may take: it is behind an answer.
const PUT_BUDGET: Duration = Duration::from_millis(1000);

/// What is put there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key<'a> {
    /// The newest head, as readers with the same peppers share it.
    Head,
    /// Who is reading it.
    Claim,
    /// An object, by its target.
    Object(&'a Target),
    /// Who is reading that object.
    ObjectClaim(&'a Target),
}

impl Key<'_> {
    fn url(self, isolate: &Isolate) -> String {
        let (hub, peppers) = (isolate.hub_name(), isolate.peppers());
        match self {
            Self::Head => format!("{BASE}/{hub}/head/{peppers}"),
            Self::Claim => format!("{BASE}/{hub}/claim/{peppers}"),
            Self::Object(target) => format!("{BASE}/{hub}/{target}"),
            Self::ObjectClaim(target) => format!("{BASE}/{hub}/claim/{target}"),
        }
    }

    /// The cache thinks in seconds; what moves is judged by its own moment.
    const fn lifetime(self) -> &'static str {
        match self {
            Self::Head => "max-age=60",
            Self::Claim | Self::ObjectClaim(_) => "max-age=1",
            Self::Object(_) => "public, max-age=31536000, immutable",
        }
    }
}

/// What is there, if it has at most `len_max` bytes.
pub(crate) async fn get(isolate: &Isolate, key: Key<'_>, len_max: usize) -> Option<Uint8Array> {
    let rest = isolate.cache()?;
    if rest.lasts(now()) {
        return None;
    }
    match task::within(BUDGET, look(key.url(isolate), len_max)).await {
        Some(Ok(found)) => found,
        fault => {
            rest.begin(now());
            console_warn!("the cache is left alone for a while: {}", why(fault));
            None
        }
    }
}

/// Puts bytes there.
pub(crate) async fn put(isolate: &Isolate, key: Key<'_>, bytes: &Uint8Array) {
    let Some(rest) = isolate.cache().filter(|rest| !rest.lasts(now())) else { return };
    match task::within(PUT_BUDGET, store(key.url(isolate), key.lifetime(), bytes)).await {
        Some(Ok(())) => {}
        fault => {
            rest.begin(now());
            console_warn!("the cache is left alone for a while: {}", why(fault));
        }
    }
}

/// Why nothing came of it.
pub(crate) fn why<T>(fault: Option<Result<T>>) -> String {
    fault.and_then(Result::err).map_or_else(|| "it took too long".to_owned(), |error| error.to_string())
}

async fn look(url: String, len_max: usize) -> Result<Option<Uint8Array>> {
    let found = call(&open().await?, "match", &[url.into()]).await?;
    if found.is_undefined() {
        return Ok(None);
    }
    let response: Response = found.dyn_into()?;
    hub::body(&response, len_max).await
}

async fn store(url: String, lifetime: &str, bytes: &Uint8Array) -> Result<()> {
    let headers = Headers::new()?;
    headers.set("cache-control", lifetime)?;
    headers.set("content-length", &bytes.length().to_string())?;
    let init = ResponseInit::new();
    init.set_headers(&headers);
    let response = Response::new_with_opt_js_u8_array_and_init(Some(bytes), &init)?;
    call(&open().await?, "put", &[url.into(), response.into()]).await.map(drop)
}

async fn open() -> Result<JsValue> {
    let caches = Reflect::get(&js_sys::global(), &JsValue::from_str("caches"))?;
    call(&caches, "open", &[NAME.into()]).await
}

/// Calls a method that returns a promise.
pub(crate) async fn call(object: &JsValue, method: &str, arguments: &[JsValue]) -> Result<JsValue> {
    let method: Function = Reflect::get(object, &JsValue::from_str(method))?.dyn_into()?;
    let arguments: js_sys::Array = arguments.iter().collect();
    let promise = Promise::resolve(&method.apply(object, &arguments)?);
    Ok(task::come(promise).await?)
}
