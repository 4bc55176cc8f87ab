//! What a root says, and who signed it, for people who must decide whether to sign it.

use super::Role;
use crate::installation::hex;
use latchkey_api::Timestamp;
use latchkey_core::UnixSeconds;
use latchkey_snapshot::Root;
use latchkey_snapshot::build::{RootContent, RootDraft};
use latchkey_snapshot::root::{KeyRole, RootKey};
use std::fmt::Write;

const ROLES: [KeyRole; 3] = [KeyRole::Offline, KeyRole::Release, KeyRole::Head];

/// What the root says; against the one before it, what is new (`+`), what stays (`=`) and what goes (`-`).
pub(super) fn describe(content: &RootContent, before: Option<&Root>) -> String {
    let mut text = String::new();
    let follows = before.map(|before| format!(", after root {}", before.version())).unwrap_or_default();
    line(
        &mut text,
        &format!("root {} of installation {}{follows}", content.version, hex(&content.installation.0)),
    );
    line(&mut text, &format!("issued {}", when(content.issued)));
    for (role, threshold) in ROLES.into_iter().zip(content.thresholds) {
        let count = content.keys.iter().filter(|key| key.role == role).count();
        line(&mut text, &format!("{threshold} of {count} {} keys must sign", Role::from(role).name()));
    }
    let held = before.map(Root::keys).unwrap_or_default();
    for key in &content.keys {
        let mark = match held.iter().any(|old| is_same(old, key)) {
            true => '=',
            false => '+',
        };
        line(&mut text, &about(mark, key));
    }
    for key in held.iter().filter(|old| !content.keys.iter().any(|key| is_same(old, key))) {
        line(&mut text, &about('-', key));
    }
    text
}

/// Whose signatures are there, and how many are missing.
pub(super) struct Signatures {
    pub(super) text: String,
    pub(super) missing: usize,
}

/// Counts the draft's signatures: of its own offline keys, and of those of the root before it.
pub(super) fn signatures(draft: &RootDraft, before: Option<&Root>) -> Signatures {
    let content = draft.content();
    let mut signatures = Signatures { text: String::new(), missing: 0 };
    let own = (content.version, content.thresholds[0], content.keys.as_slice());
    let old = before.map(|before| (before.version(), before.threshold(KeyRole::Offline), before.keys()));
    for (version, threshold, keys) in old.into_iter().chain([own]) {
        let mut signed = 0;
        for key in keys.iter().filter(|key| key.role == KeyRole::Offline) {
            let is_valid = key.not_before <= content.issued && content.issued <= key.not_after;
            let word = match (draft.is_signed_by(&key.public), is_valid) {
                (true, true) => "signed",
                (true, false) => "signed, but the key is not valid when the root is issued",
                (false, _) => "missing",
            };
            signed += usize::from(word == "signed");
            line(
                &mut signatures.text,
                &format!("root {version}, offline {}: {word}", hex(key.public.as_bytes())),
            );
        }
        let lacks = usize::from(threshold).saturating_sub(signed);
        line(
            &mut signatures.text,
            &format!("root {version}: {signed} of {threshold} signatures, {lacks} missing"),
        );
        signatures.missing += lacks;
    }
    signatures
}

/// The moment as text.
pub(super) fn when(at: UnixSeconds) -> String {
    let text = serde_json::to_string(&Timestamp(at)).unwrap_or_default();
    text.trim_matches('"').to_owned()
}

fn is_same(one: &RootKey, other: &RootKey) -> bool {
    (one.public, one.role, one.not_before, one.not_after)
        == (other.public, other.role, other.not_before, other.not_after)
}

fn about(mark: char, key: &RootKey) -> String {
    let (role, public) = (Role::from(key.role).name(), hex(key.public.as_bytes()));
    format!("{mark} {role:7} {public} from {} until {}", when(key.not_before), when(key.not_after))
}

fn line(text: &mut String, line: &str) {
    // Writing into a `String` cannot fail.
    let _ = writeln!(text, "{line}");
}
