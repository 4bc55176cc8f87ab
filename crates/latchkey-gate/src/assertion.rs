//! The identity assertion (docs/spec/assertion.md), but for its signature, and the keys by which an origin checks it.
//!
//! A shell has the key and signs what [`Assertions::of`] hands it. The public half must be in the manifest
//! ([`Gate::names_edge_key`]), or nothing is asserted. An assertion is said again for half its life to a caller of whom the
//! same is true.

use crate::gate::Gate;
use crate::json::Object;
use crate::verdict::{Grant, Subject};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use latchkey_core::{OrganizationId, Permission, ProjectId, Role, UnixSeconds, base64url};
use latchkey_snapshot::manifest::TokenKey;
use latchkey_snapshot::{Installation, SignerId};

/// The header that it is in.
pub const HEADER: &str = "latchkey-assertion";
/// No other token of this type is made or taken by anybody.
const TYPE: &str = "latchkey-assertion+jwt";
/// How long one is believed.
const LIFE_SECS: u64 = 60;
/// How long one is said again.
const REUSED_SECS: u64 = 30;
/// How many are remembered.
const REMEMBERED_MAX: usize = 1024;

/// What a gate's assertions name as their issuer.
pub fn issuer(installation: Installation) -> String {
    let hex: String = installation.0.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("urn:latchkey:{hex}")
}

/// Who calls, as it is said: claims without their times.
pub fn caller(
    issuer: &str,
    origin: &str,
    grant: &Grant,
    project: ProjectId,
    organization: OrganizationId,
) -> String {
    let (kind, subject) = match grant.subject {
        Subject::Key(id) => ("key", id.to_string()),
        Subject::Session(identity) => ("identity", identity.to_string()),
    };
    let mut claims = Object::new();
    claims.text("iss", issuer).text("aud", origin).text("sub", &subject).text("kind", kind);
    claims.text("project", &project.to_string()).text("organization", &organization.to_string());
    claims.text_or_null("role", grant.binding.role.map(Role::as_str));
    claims.text_or_null("permission", grant.permission.map(Permission::as_str));
    claims.open()
}

/// Assertions that were made.
#[derive(Debug, Default)]
pub struct Assertions(BTreeMap<String, Made>);

/// One that was made, of the caller that its name says.
#[derive(Debug)]
struct Made {
    text: String,
    signer: SignerId,
    issued: UnixSeconds,
}

/// One that lacks its signature.
#[derive(Debug)]
pub struct Draft {
    caller: String,
    text: String,
    signer: SignerId,
    issued: UnixSeconds,
}

impl Draft {
    /// The bytes that the edge key is to sign with Ed25519.
    pub fn to_sign(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Assertions {
    /// What is said of a caller: what was said before, or a draft to sign with this key.
    ///
    /// # Errors
    /// The draft; [`Assertions::signed`] makes an assertion of it.
    pub fn of(&self, caller: String, public: &[u8; 32], moment: UnixSeconds) -> Result<String, Draft> {
        let signer = SignerId::of(public);
        let made = self.0.get(&caller).filter(|made| made.signer == signer && is_young(made, moment));
        if let Some(made) = made {
            return Ok(made.text.clone());
        }
        let mut header = Object::new();
        header.text("alg", "EdDSA").text("typ", TYPE).text("kid", &kid(signer));
        let times = format!("\"iat\":{},\"exp\":{}}}", moment.0, moment.0.saturating_add(LIFE_SECS));
        let claims = [&caller, ",", &times].concat();
        let text = [&encode(header.end().as_bytes()), ".", &encode(claims.as_bytes())].concat();
        Err(Draft { caller, text, signer, issued: moment })
    }

    /// The assertion with its signature, which is remembered.
    pub fn signed(&mut self, draft: Draft, signature: &[u8]) -> String {
        let Draft { caller, text, signer, issued } = draft;
        let text = [&text, ".", &encode(signature)].concat();
        if self.0.len() >= REMEMBERED_MAX {
            self.0.retain(|_, other| is_young(other, issued));
        }
        // So many at once: it is made anew each time.
        if self.0.len() < REMEMBERED_MAX {
            self.0.insert(caller, Made { text: text.clone(), signer, issued });
        }
        text
    }
}

fn is_young(made: &Made, moment: UnixSeconds) -> bool {
    made.issued <= moment && moment.0 - made.issued.0 < REUSED_SECS
}

impl Gate {
    /// The edge keys of the newest manifest that was taken in; `None` before the first.
    fn edge_keys(&self) -> Option<&[TokenKey]> {
        let serving = self.serving.as_ref().map(|serving| &serving.manifest);
        let coming = self.coming.candidates.iter().map(|candidate| &candidate.manifest);
        // Of those of one generation the last came last: what a manifest says besides records may be said anew.
        let newest = serving.into_iter().chain(coming).max_by_key(|manifest| manifest.generation);
        newest.map(|manifest| &manifest.edge_keys[..])
    }

    /// Whether what this key signs now would be believed.
    pub fn names_edge_key(&self, public: &[u8; 32], moment: UnixSeconds) -> bool {
        let names_it = |key: &TokenKey| {
            key.public.as_bytes() == public && key.not_before <= moment && moment <= key.not_after
        };
        self.edge_keys().is_some_and(|keys| keys.iter().any(names_it))
    }

    /// The keys by which assertions are checked, as a JWK set (RFC 7517); `None` before the first manifest.
    pub fn edge_key_set(&self, moment: UnixSeconds) -> Option<String> {
        let listed = self.edge_keys()?.iter().filter(|key| moment <= key.not_after);
        let mut set = Object::new();
        set.list("keys", listed.map(|key| jwk(key.public.as_bytes())));
        Some(set.end())
    }
}

fn jwk(public: &[u8; 32]) -> String {
    let mut key = Object::new();
    key.text("kty", "OKP").text("crv", "Ed25519").text("alg", "EdDSA").text("use", "sig");
    key.text("kid", &kid(SignerId::of(public))).text("x", &encode(public));
    key.end()
}

fn kid(id: SignerId) -> String {
    format!("{:016x}", u64::from_be_bytes(id.0))
}

fn encode(bytes: &[u8]) -> String {
    let mut text = vec![0; base64url::len_of(bytes.len())];
    base64url::encode(bytes, &mut text);
    // The alphabet is ASCII.
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;

    const KEY: [u8; 32] = [7; 32];

    fn of(assertions: &Assertions, caller: &str, moment: u64) -> Result<String, Draft> {
        assertions.of(caller.to_owned(), &KEY, UnixSeconds(moment))
    }

    #[test]
    fn assertion_is_said_again_for_half_its_life_to_the_same_caller_by_the_same_key() {
        let mut assertions = Assertions::default();
        let draft = of(&assertions, "{\"sub\":\"a\"", 100).unwrap_err();
        let text = assertions.signed(draft, &[1; 64]);
        assert_eq!(of(&assertions, "{\"sub\":\"a\"", 129).unwrap(), text);
        for (caller, moment) in [("{\"sub\":\"a\"", 130), ("{\"sub\":\"a\"", 99), ("{\"sub\":\"b\"", 101)] {
            assert!(of(&assertions, caller, moment).is_err(), "{caller} {moment}");
        }
        assert!(assertions.of("{\"sub\":\"a\"".to_owned(), &[8; 32], UnixSeconds(101)).is_err());
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let mut assertions = Assertions::default();
        for caller in 0..=REMEMBERED_MAX {
            let draft = of(&assertions, &caller.to_string(), 100).unwrap_err();
            assertions.signed(draft, &[1; 64]);
        }
        assert!(of(&assertions, &REMEMBERED_MAX.to_string(), 100).is_err());
        // Once they are old they make room.
        let draft = of(&assertions, "new", 130).unwrap_err();
        assertions.signed(draft, &[1; 64]);
        assert!(of(&assertions, "new", 131).is_ok() && assertions.0.len() == 1);
    }

    #[test]
    fn token_is_what_the_page_says() {
        let draft = of(&Assertions::default(), "{\"sub\":\"a\"", 1_800_000_000).unwrap_err();
        let text = core::str::from_utf8(draft.to_sign()).unwrap();
        let (header, claims) = text.split_once('.').unwrap();
        let decode = |text: &str| {
            let mut bytes = vec![0; text.len() * 3 / 4];
            base64url::decode(text.as_bytes(), &mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let kid = kid(SignerId::of(&KEY));
        assert_eq!(
            decode(header),
            format!("{{\"alg\":\"EdDSA\",\"typ\":\"latchkey-assertion+jwt\",\"kid\":\"{kid}\"}}")
        );
        assert_eq!(decode(claims), "{\"sub\":\"a\",\"iat\":1800000000,\"exp\":1800000060}");
    }
}
