//! What a gate tells about itself: for `/.latchkey/status` and for reports, never for a verdict.

use crate::refusal::AdoptError;
use latchkey_core::{Generation, UnixMillis};

/// A gate's own account of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// How it would answer now.
    pub health: Health,
    /// The root it believes.
    pub root_version: u32,
    /// The generation it serves.
    pub generation: Option<Generation>,
    /// The generation whose manifest or pages it is fetching.
    pub pending: Option<Generation>,
    /// The confirmed `as_of`.
    pub as_of: Option<UnixMillis>,
    /// Milliseconds since then.
    pub age_ms: Option<u64>,
    /// Why what was published last is not adopted, while the last good snapshot serves.
    pub refused_manifest: Option<AdoptError>,
    /// Why what serves is not believed any more, so that all it could answer is 503.
    pub quarantined: Option<AdoptError>,
    /// Inline revocations in force.
    pub inline: usize,
    /// Records that are refused because a delta removes them which does not serve.
    pub removed_ahead: usize,
    /// Deltas that serve, on top of the base.
    pub deltas: usize,
    /// Bytes of these.
    pub delta_bytes: u64,
    /// Route rules.
    pub rules: usize,
    /// Which version of them: the digest that `latchkey routes check` prints.
    pub routing: Option<[u8; 32]>,
    /// Index nodes held.
    pub nodes_held: usize,
    /// Index nodes that the manifest names.
    pub nodes_named: usize,
    /// Pages held, pages of names included.
    pub pages_held: usize,
    /// Pages that the nodes held name.
    pub pages_named: usize,
    /// Bytes of the pages held, pages of names apart.
    pub bytes_held: u64,
    /// Bytes that pages, their index and deltas take, about; what the cap is on.
    pub memory_bytes: u64,
    /// Pages that were let go for want of memory.
    pub evictions: u64,
    /// Whether it answers without asking because asking failed.
    pub breaker_open: bool,
    /// Heads that were taken in as new.
    pub heads_accepted: u64,
    /// Heads that were refused.
    pub heads_refused: u64,
    /// Heads of a rank already held, with other bytes: somebody signs twice.
    pub heads_forked: u64,
    /// Objects that were refused.
    pub objects_refused: u64,
    /// Answers by what they said.
    pub counts: alloc::vec::Vec<Count>,
    /// Verdicts on what went on after its answer.
    pub rejudged: Rejudged,
}

/// How often requests were judged again that had been let in, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejudged {
    /// They went on.
    pub allowed: u64,
    /// They were to end.
    pub refused: u64,
}

/// How a gate would answer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Within the promise.
    Fresh,
    /// Beyond it, within grace.
    Stale,
    /// Not at all: past grace.
    Refusing,
    /// Not at all: it has no snapshot.
    Cold,
}

/// How often a gate answered one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// `allowed`, `public`, `stale`, a refusal's [`crate::Refusal::cause`], or that behind `shadow:` for what was let pass.
    pub cause: alloc::borrow::Cow<'static, str>,
    /// How often.
    pub times: u64,
}
