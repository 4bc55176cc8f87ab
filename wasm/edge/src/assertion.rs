//! The identity assertion in a Worker: the runtime signs what the gate's [`assertion`] says, with a key in the script's variables.

use crate::cache::call;
use crate::facts::Facts;
use crate::isolate::{Isolate, now};
use crate::respond;
use crate::{Io, refresh};
use core::cell::{OnceCell, RefCell};
use core::fmt;
use latchkey_core::base64url;
use latchkey_gate::bodies::Names;
use latchkey_gate::{Grant, assertion};
use worker::js_sys::{self, Array, ArrayBuffer, Object, Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::{Error, Result, web_sys};

pub(crate) use assertion::HEADER;

/// Before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410).
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The secret half of an edge key.
pub(crate) struct EdgeKey([u8; 32]);

/// What an isolate keeps.
#[derive(Default)]
pub(crate) struct Assertions {
    signer: OnceCell<Signer>,
    made: RefCell<assertion::Assertions>,
}

/// The runtime's handle on the key.
#[derive(Clone)]
struct Signer {
    key: JsValue,
    public: [u8; 32],
}

/// What is to be said of a caller; `None`: nothing, as no key is set.
///
/// # Errors
/// The key cannot sign now: the manifest does not name it, or not for this moment.
pub(crate) async fn of(isolate: &Isolate, grant: &Grant, names: &Names) -> Result<Option<String>> {
    let settings = isolate.settings();
    let Some((key, origin)) = settings.edge_key.as_ref().zip(settings.origin.as_deref()) else {
        return Ok(None);
    };
    let assertions = isolate.assertions();
    let signer = assertions.signer(key).await?;
    let moment = now().seconds();
    if isolate.with(|gate| gate.names_edge_key(&signer.public, moment)) != Some(true) {
        return Err("the manifest names another edge key than this edge has".into());
    }
    let caller = assertion::caller(&isolate.issuer(), origin, grant, names.project, names.organization);
    let made = assertions.made.try_borrow().map(|made| made.of(caller, &signer.public, moment));
    let draft = match made {
        Ok(Ok(text)) => return Ok(Some(text)),
        Ok(Err(draft)) => draft,
        Err(_) => return Err("assertions are being made already".into()),
    };
    let signature = sign(&signer.key, draft.to_sign()).await?;
    let made = assertions.made.try_borrow_mut().map(|mut made| made.signed(draft, &signature));
    made.map(Some).map_err(|_| "assertions are being made already".into())
}

/// `GET /.latchkey/jwks.json`: the keys by which an origin checks assertions (RFC 7517).
pub(crate) async fn keys(isolate: &Isolate, io: Io<'_>, facts: &Facts) -> Result<web_sys::Response> {
    if facts.method() != "GET" {
        return respond::method_not_allowed();
    }
    let set = || isolate.with(|gate| gate.edge_key_set(now().seconds())).flatten();
    if set().is_none() && isolate.with(|gate| gate.refresh_due(now())) == Some(true) {
        refresh::behind(isolate, io.env).await;
    }
    set().map_or_else(respond::keys_unavailable, |set| respond::keys(&set))
}

impl Assertions {
    async fn signer(&self, key: &EdgeKey) -> Result<Signer> {
        if let Some(signer) = self.signer.get() {
            return Ok(signer.clone());
        }
        let signer = import(key).await?;
        Ok(self.signer.get_or_init(|| signer).clone())
    }
}

async fn import(key: &EdgeKey) -> Result<Signer> {
    let bytes = [&PKCS8[..], &key.0].concat();
    let algorithm = Object::new();
    Reflect::set(&algorithm, &JsValue::from_str("name"), &JsValue::from_str(ALGORITHM))?;
    let arguments = [
        JsValue::from_str("pkcs8"),
        Uint8Array::from(&bytes[..]).into(),
        algorithm.into(),
        // So that it tells its public half.
        JsValue::TRUE,
        Array::of1(&JsValue::from_str("sign")).into(),
    ];
    let key = subtle("importKey", &arguments).await?;
    let jwk = subtle("exportKey", &[JsValue::from_str("jwk"), key.clone()]).await?;
    let text = Reflect::get(&jwk, &JsValue::from_str("x"))?.as_string().unwrap_or_default();
    let mut public = [0; 32];
    base64url::decode(text.as_bytes(), &mut public)
        .ok_or_else(|| Error::from("the runtime does not tell a key's public half"))?;
    Ok(Signer { key, public })
}

async fn sign(key: &JsValue, bytes: &[u8]) -> Result<Vec<u8>> {
    let arguments = [JsValue::from_str(ALGORITHM), key.clone(), Uint8Array::from(bytes).into()];
    let signature: ArrayBuffer = subtle("sign", &arguments).await?.dyn_into()?;
    Ok(Uint8Array::new(&signature).to_vec())
}

async fn subtle(method: &str, arguments: &[JsValue]) -> Result<JsValue> {
    let crypto = Reflect::get(&js_sys::global(), &JsValue::from_str("crypto"))?;
    call(&Reflect::get(&crypto, &JsValue::from_str("subtle"))?, method, arguments).await
}

const ALGORITHM: &str = "Ed25519";

impl EdgeKey {
    pub(crate) const fn new(seed: [u8; 32]) -> Self {
        Self(seed)
    }
}

impl fmt::Debug for EdgeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EdgeKey(..)")
    }
}
