//! The identity assertion (docs/spec/assertion.md): a signed word to the origin about who calls, and the keys by which it is checked.
//!
//! The signing key is in the script's variables; its public half must be in the manifest, or nothing is asserted. An assertion is said
//! again for half its life to a caller of whom the same is true. Signing is the runtime's own, whose code is not in the script.

use crate::cache::call;
use crate::isolate::{Isolate, now};
use crate::names::Names;
use crate::respond;
use crate::{Io, refresh};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use core::cell::{OnceCell, RefCell};
use core::fmt;
use latchkey_core::{Generation, Permission, Role, UnixSeconds};
use latchkey_gate::{Grant, Subject};
use latchkey_snapshot::manifest::TokenKey;
use latchkey_snapshot::{Manifest, ObjectRef, SignerId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::rc::Rc;
use worker::js_sys::{self, Array, ArrayBuffer, Object, Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::{Error, Result, web_sys};

/// The header that it is in.
pub(crate) const HEADER: &str = "latchkey-assertion";
/// No other token of this type is made or taken by anybody.
const TYPE: &str = "latchkey-assertion+jwt";
/// How long one is believed.
const LIFE_SECS: u64 = 60;
/// How long one is said again.
const REUSED_SECS: u64 = 30;
/// How many are remembered.
const REMEMBERED_MAX: usize = 1024;
/// What every manifest begins with, whatever its version.
const MANIFEST: &[u8] = b"LKM";
/// Before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410).
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The secret half of an edge key.
pub(crate) struct EdgeKey([u8; 32]);

/// What an isolate keeps.
#[derive(Default)]
pub(crate) struct Assertions {
    /// The edge keys of the newest manifest that the gate took; `None` before the first.
    keys: RefCell<Option<Rc<Named>>>,
    signer: OnceCell<Signer>,
    made: RefCell<BTreeMap<String, Made>>,
}

/// The edge keys that a manifest names.
pub(crate) struct Named {
    generation: Generation,
    keys: Vec<TokenKey>,
}

/// The runtime's handle on the key.
#[derive(Clone)]
struct Signer {
    key: JsValue,
    public: [u8; 32],
}

/// One that was made, of the caller that its name says.
struct Made {
    text: String,
    signer: SignerId,
    issued: UnixSeconds,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: String,
    aud: &'a str,
    sub: String,
    kind: &'static str,
    project: String,
    organization: String,
    role: Option<&'static str>,
    permission: Option<&'static str>,
}

#[derive(Serialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

#[derive(Serialize)]
struct Jwk {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    r#use: &'static str,
    kid: String,
    x: String,
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
    let (id, moment) = (SignerId::of(&signer.public), now().seconds());
    let names_it = |named: &TokenKey| named.public.as_bytes() == &signer.public && is_valid(named, moment);
    if !assertions.named().is_some_and(|named| named.keys.iter().any(names_it)) {
        return Err("the manifest names another edge key than this edge has".into());
    }
    let caller = serde_json::to_string(&claims(isolate, origin, grant, names))?;
    if let Some(text) = assertions.remembered(&caller, id, moment) {
        return Ok(Some(text));
    }
    let header = format!(r#"{{"alg":"EdDSA","typ":"{TYPE}","kid":"{}"}}"#, kid(id));
    let text = format!("{}.{}", encode(header), encode(with_times(&caller, moment)));
    let signature = sign(&signer.key, text.as_bytes()).await?;
    let text = format!("{text}.{}", encode(signature));
    assertions.remember(caller, Made { text: text.clone(), signer: id, issued: moment });
    Ok(Some(text))
}

/// `GET /.latchkey/jwks.json`: the keys by which an origin checks assertions (RFC 7517).
pub(crate) async fn keys(
    isolate: &Isolate,
    io: Io<'_>,
    request: &web_sys::Request,
) -> Result<web_sys::Response> {
    if request.method() != "GET" {
        return respond::method_not_allowed();
    }
    let is_cold = isolate.assertions().named().is_none();
    if is_cold && isolate.with(|gate| gate.refresh_due(now())) == Some(true) {
        refresh::behind(isolate, io.env).await;
    }
    let Some(named) = isolate.assertions().named() else { return respond::keys_unavailable() };
    let moment = now().seconds();
    let listed: Vec<_> = named.keys.iter().filter(|key| moment <= key.not_after).map(jwk).collect();
    respond::keys(&KeySet { keys: listed })
}

/// The edge keys of an object that a verified head leads to, if it is a manifest.
pub(crate) fn keys_of(reference: &ObjectRef, bytes: &[u8]) -> Option<Named> {
    if !bytes.starts_with(MANIFEST) {
        return None;
    }
    let manifest = Manifest::parse(reference, bytes).ok()?;
    Some(Named { generation: manifest.generation, keys: manifest.edge_keys })
}

impl Assertions {
    /// Takes the keys of a manifest that the gate took; those of the base before are not news.
    pub(crate) fn take(&self, named: Named) {
        let Ok(mut held) = self.keys.try_borrow_mut() else { return };
        if held.as_ref().is_none_or(|held| held.generation <= named.generation) {
            *held = Some(Rc::new(named));
        }
    }

    fn named(&self) -> Option<Rc<Named>> {
        self.keys.try_borrow().ok()?.clone()
    }

    async fn signer(&self, key: &EdgeKey) -> Result<Signer> {
        if let Some(signer) = self.signer.get() {
            return Ok(signer.clone());
        }
        let signer = import(key).await?;
        Ok(self.signer.get_or_init(|| signer).clone())
    }

    fn remembered(&self, caller: &str, signer: SignerId, moment: UnixSeconds) -> Option<String> {
        let made = self.made.try_borrow().ok()?;
        let made = made.get(caller).filter(|made| made.signer == signer && is_young(made, moment))?;
        Some(made.text.clone())
    }

    fn remember(&self, caller: String, made: Made) {
        let Ok(mut kept) = self.made.try_borrow_mut() else { return };
        if kept.len() >= REMEMBERED_MAX {
            kept.retain(|_, other| is_young(other, made.issued));
        }
        // So many at once: it is made anew each time.
        if kept.len() < REMEMBERED_MAX {
            kept.insert(caller, made);
        }
    }
}

fn is_young(made: &Made, moment: UnixSeconds) -> bool {
    made.issued <= moment && moment.0 - made.issued.0 < REUSED_SECS
}

fn is_valid(key: &TokenKey, moment: UnixSeconds) -> bool {
    key.not_before <= moment && moment <= key.not_after
}

fn claims<'a>(isolate: &Isolate, origin: &'a str, grant: &Grant, names: &Names) -> Claims<'a> {
    let (kind, sub) = match grant.subject {
        Subject::Key(id) => ("key", id.to_string()),
        Subject::Session(identity) => ("identity", identity.to_string()),
    };
    Claims {
        iss: isolate.issuer(),
        aud: origin,
        sub,
        kind,
        project: names.project.to_string(),
        organization: names.organization.to_string(),
        role: grant.binding.role.map(Role::as_str),
        permission: grant.permission.map(Permission::as_str),
    }
}

/// The claims, which are an object, and when they are good.
fn with_times(claims: &str, moment: UnixSeconds) -> String {
    let claims = claims.strip_suffix('}').unwrap_or_default();
    format!(r#"{claims},"iat":{},"exp":{}}}"#, moment.0, moment.0 + LIFE_SECS)
}

fn jwk(key: &TokenKey) -> Jwk {
    let public = key.public.as_bytes();
    Jwk {
        kty: "OKP",
        crv: "Ed25519",
        alg: "EdDSA",
        r#use: "sig",
        kid: kid(SignerId::of(public)),
        x: encode(public),
    }
}

fn kid(id: SignerId) -> String {
    format!("{:016x}", u64::from_be_bytes(id.0))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
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
    let public = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    let public = public.ok_or_else(|| Error::from("the runtime does not tell a key's public half"))?;
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
