//! How a change is asked for: once only, only if the thing is as it was, or only to see what would come of it.
//!
//! This stands around every change ([`super::Control::write`]), so no use case knows of it.

use super::ask::Ask;
use super::error::AppError;
use crate::iam::Caller;
use crate::store::{Keepsake, Replay, StoreError, Write};
use latchkey_api::revealed::without_secrets;
use latchkey_core::{Dice, Generation};
use serde::Serialize;
use serde_json::Value;

/// What a caller wishes beside the change itself.
#[derive(Debug, Clone, Default)]
pub struct Manners {
    /// Do it once, however often it is asked.
    pub once: Option<Once>,
    /// Do it only if the thing is in one of these states.
    pub if_match: Option<IfMatch>,
    /// Do nothing, and tell what would have been done.
    pub is_dry_run: bool,
}

/// What makes two requests the same.
#[derive(Debug, Clone)]
pub struct Once {
    /// Method and path.
    pub route: String,
    /// The caller's own word for the request.
    pub key: String,
    /// The digest of body and query.
    pub asked: [u8; 32],
}

/// The states in which the thing may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Any, as long as it is there.
    Any,
    /// Those with these tags.
    Tags(Vec<EntityTag>),
}

/// Names a state of a thing: a digest of the JSON that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag(String);

impl EntityTag {
    /// The tag of what this JSON shows.
    pub fn of(json: &[u8]) -> Self {
        let digest = blake3::derive_key("latchkey 2026-11 entity tag", json);
        Self(digest[..16].iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// A tag that a caller names, without its quotes.
    pub fn named(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The tag without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What became of a change.
#[derive(Debug)]
pub enum Answered<R> {
    /// It is durable.
    Done(R, Generation),
    /// It was done before; this was answered then, without its secrets.
    Replayed(Vec<u8>, Generation),
    /// Nothing was done; this would have been answered, without its secrets.
    Rehearsed(Value),
}

/// Why the writer did not do it.
#[derive(Debug)]
pub(super) enum Instead {
    Refused(AppError),
    Replayed(Replay),
}

impl From<AppError> for Instead {
    fn from(error: AppError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for Instead {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

impl Manners {
    /// Lets a use case decide, unless it did before, and refuses if it decided about another state than meant.
    pub(super) fn decide<R: Serialize>(
        &self,
        ask: &Ask,
        dice: &mut Dice,
        decide: &impl Fn(&Ask, &mut Dice) -> Result<Write<R>, AppError>,
    ) -> Result<Write<R>, Instead> {
        let place = self.once.as_ref().map(|once| (once.place(&ask.caller), once.asked));
        if let Some((place, asked)) = &place
            && let Some(replay) = ask.view.replay(place)?.filter(|replay| replay.is_kept(ask.now))
        {
            let is_same = replay.asked == *asked;
            return Err(if is_same {
                Instead::Replayed(replay)
            } else {
                AppError::IdempotencyMismatch.into()
            });
        }
        let write = decide(ask, dice)?;
        if self.if_match.as_ref().is_some_and(|wanted| !wanted.holds(write.state_before())) {
            return Err(AppError::PreconditionFailed.into());
        }
        let Some((place, asked)) = place else { return Ok(write) };
        let reply = veiled(write.reply())?.to_string().into_bytes();
        Ok(write.kept(Keepsake { place, asked, reply }))
    }
}

/// The reply without secrets.
pub(super) fn veiled(reply: &impl Serialize) -> Result<Value, StoreError> {
    without_secrets(reply).map_err(|_| StoreError::Corrupt("replays"))
}

impl Once {
    /// Where the reply is kept. Nobody else's key leads there, nor does the caller's own on another route.
    fn place(&self, caller: &Caller) -> [u8; 32] {
        let caller = match caller {
            Caller::Operator { token, .. } => format!("operator {token}"),
            // Another identity of the same account has other rights (M10).
            Caller::Session { user, identity, .. } => format!("account {user} {identity}"),
            Caller::Key(id) => format!("key {id}"),
            Caller::Reporter(name) => format!("reporter {name}"),
        };
        let mut hasher = blake3::Hasher::new_derive_key("latchkey 2026-11 idempotency");
        for part in [&caller, &self.route, &self.key] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().into()
    }
}

impl IfMatch {
    fn holds(&self, state: Option<&str>) -> bool {
        match (self, state) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Tags(tags), Some(json)) => tags.contains(&EntityTag::of(json.as_bytes())),
        }
    }
}
