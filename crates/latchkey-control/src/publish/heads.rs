//! The one place that signs heads. Each signature follows a look at the committed state.

use super::edition::{Edition, SignError};
use super::keyring::{Keyring, Keyrings, TooFewSigners};
use super::ledger::{Ledger, Riding};
use super::stamp::{ClockBehind, Stamp};
use super::status::Board;
use crate::outside::Clock;
use crate::store::{ReadView, Store, StoreError, View};
use latchkey_core::{Generation, UnixMillis};
use latchkey_snapshot::build::{BuildError, HeadContent};
use latchkey_snapshot::root::KeyRole;
use std::fmt;
use std::sync::{Arc, OnceLock};
use tokio::sync::Mutex;

/// Signs heads, for all sinks.
pub(super) struct Heads {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    keyring: Keyrings,
    board: Board,
    /// Where the committed state stood when this run began.
    began_at: Generation,
    /// What the run before this one had signed at most.
    before: Bookmark,
    /// What restores left out.
    gaps: Vec<Gap>,
    /// A head that a sink holds and this database never signed: it is an older copy.
    overtaken: OnceLock<Met>,
    state: Mutex<State>,
}

struct State {
    stamp: Stamp,
    ledger: Ledger,
    /// What is on disk. No head may go out above it: a restart must know before the world does.
    kept: Bookmark,
    /// The least `as_of` of the heads of this run.
    first: Option<UnixMillis>,
}

/// A head that a sink holds: its statement's generation, and its `as_of`.
pub(super) type Met = (Generation, UnixMillis);

/// A head, ready to go out.
#[derive(Debug)]
pub(super) struct SignedHead {
    pub(super) bytes: Vec<u8>,
    pub(super) as_of: UnixMillis,
    /// Every change up to this one is in it.
    pub(super) covers: Generation,
    /// The newest of its inline revocations.
    pub(super) inline: Option<Generation>,
}

/// Why no head was signed.
#[derive(Debug)]
pub(super) enum HeadsError {
    /// The committed state could not be looked at, or the bookmark not kept.
    Store(StoreError),
    /// The clock is behind.
    Clock(ClockBehind),
    /// The format cannot say it.
    Build(BuildError),
    /// Too few signers are held that may sign now.
    Signers(TooFewSigners),
    /// A sink holds what this database never had. Signing on would bring back what was revoked since.
    Overtaken {
        /// Where the database stood at the start.
        began_at: Generation,
        /// What a sink holds.
        held: Met,
    },
}

/// What a run before this one left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bookmark {
    /// No head was signed above this.
    pub as_of: UnixMillis,
    /// No statement was signed above this.
    pub generation: Generation,
    /// Under this root.
    pub root_version: u32,
}

impl Heads {
    /// A signer that continues above the bookmark, over a state that is at `committed`.
    pub(super) fn new(
        (store, clock): (Arc<Store>, Arc<dyn Clock>),
        keyring: Keyrings,
        (before, gaps, committed): (Bookmark, Vec<Gap>, Generation),
        board: Board,
    ) -> Self {
        let (stamp, ledger) = (Stamp::above(before.as_of), Ledger::after(committed));
        let state = Mutex::new(State { stamp, ledger, kept: before, first: None });
        let (began_at, overtaken) = (committed, OnceLock::new());
        Self { store, clock, keyring, board, began_at, before, gaps, overtaken, state }
    }

    /// The keyring in force.
    pub(super) fn keyring(&self) -> Arc<Keyring> {
        self.keyring.borrow().clone()
    }

    /// Where its replacement is noticed.
    pub(super) fn keyrings(&self) -> Keyrings {
        self.keyring.clone()
    }

    /// Compares the head that a sink holds with those that this database signed. That it is committed here is not
    /// enough: a restored database counts on far above all that it lacks.
    ///
    /// # Errors
    /// [`HeadsError::Overtaken`], now and for the rest of the run, at every sink.
    pub(super) async fn meet(&self, held: Met) -> Result<(), HeadsError> {
        if !self.is_own(&*self.state.lock().await, held) {
            // The first one is as good as any.
            let _ = self.overtaken.set(held);
        }
        self.check_not_overtaken()
    }

    /// Whether the head is one of ours: of a run before this one, or of this one, if its answer was lost.
    fn is_own(&self, state: &State, held: Met) -> bool {
        let (generation, as_of) = held;
        let is_before = self.before.covers(held);
        let is_of_this_run = generation >= self.began_at
            && state.first.is_some_and(|first| as_of >= first)
            && state.kept.covers(held);
        (is_before || is_of_this_run) && !self.gaps.iter().any(|gap| gap.lacks(held))
    }

    fn check_not_overtaken(&self) -> Result<(), HeadsError> {
        match self.overtaken.get() {
            Some(held) => Err(HeadsError::Overtaken { began_at: self.began_at, held: *held }),
            None => Ok(()),
        }
    }

    /// The head of an edition, under this keyring, for a sink that has its roots and last got a head as of `after`.
    pub(super) async fn sign(
        &self,
        keyring: &Keyring,
        edition: &Edition,
        after: UnixMillis,
    ) -> Result<SignedHead, HeadsError> {
        self.check_not_overtaken()?;
        let mut state = self.state.lock().await;
        let (now, committed) = self.look(&mut state)?;
        let Riding { inline, lacking } = state.ledger.riding(edition.generation, &keyring.peppers());
        let as_of = state.stamp.give(now, edition.generation, lacking, after).map_err(HeadsError::Clock)?;
        let signers = keyring.signers(KeyRole::Head, as_of.seconds()).map_err(HeadsError::Signers)?;
        let statement = edition.signed(keyring, now.seconds())?;
        let root_version = keyring.root().version();
        if !state.kept.covers((edition.generation, as_of)) || root_version > state.kept.root_version {
            // A little ahead, so that not every head costs a sync.
            let (as_of, generation) = (as_of.plus_ms(RESERVE_MS), edition.generation);
            let bookmark = state.kept.max(Bookmark { as_of, generation, root_version });
            self.keep(&mut state, bookmark).await.map_err(HeadsError::Store)?;
        }
        state.first = Some(state.first.map_or(as_of, |first| first.min(as_of)));
        let content = HeadContent { root_version, as_of, statement: &statement, inline: &inline };
        let bytes = content.sign(&signers).map_err(HeadsError::Build)?;
        let covers = lacking.map_or(committed, |lacking| Generation(lacking.0.saturating_sub(1)));
        let inline = inline.iter().map(|inline| inline.generation).max();
        Ok(SignedHead { bytes, as_of, covers, inline })
    }

    /// The newest refusal that would ride in a head of this edition.
    pub(super) async fn newest_refusal(&self, edition: &Edition) -> Result<Option<Generation>, HeadsError> {
        let mut state = self.state.lock().await;
        self.look(&mut state)?;
        let riding = state.ledger.riding(edition.generation, &self.keyring().peppers());
        Ok(riding.inline.iter().map(|inline| inline.generation).max())
    }

    /// Notes what somebody else saw of the committed state, after a reading of the clock.
    pub(super) async fn note(&self, now: UnixMillis, committed: Generation) {
        self.state.lock().await.stamp.note(now, committed);
    }

    /// Keeps that a statement of this generation may go out from now on.
    pub(super) async fn bookmark_statement(&self, generation: Generation) -> Result<(), StoreError> {
        let mut state = self.state.lock().await;
        let bookmark = Bookmark { generation: state.kept.generation.max(generation), ..state.kept };
        if bookmark == state.kept { Ok(()) } else { self.keep(&mut state, bookmark).await }
    }

    /// Reads the clock, then the committed state: in this order, for that is what `as_of` promises.
    fn look(&self, state: &mut State) -> Result<(UnixMillis, Generation), HeadsError> {
        let now = self.clock.now();
        let view = self.store.read().map_err(HeadsError::Store)?;
        let committed = view.generation().map_err(HeadsError::Store)?;
        state.stamp.note(now, committed);
        state.ledger.read(&view, now).map_err(HeadsError::Store)?;
        self.board.committed(committed);
        Ok((now, committed))
    }

    async fn keep(&self, state: &mut State, bookmark: Bookmark) -> Result<(), StoreError> {
        self.store.put_publish_state(BOOKMARK, bookmark.to_bytes()).await?;
        state.kept = bookmark;
        Ok(())
    }
}

/// What a restore left out: heads below where the database went on, and above what the restore considered. They were
/// signed from a state that this database never had, and may refuse what it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The newest statement that was considered.
    pub generation: Generation,
    /// The newest `as_of` that was considered: inline revocations ride in heads alone.
    pub as_of: UnixMillis,
    /// Where the database went on.
    pub above: Generation,
}

impl Gap {
    /// Whether this head lies in the gap.
    fn lacks(&self, (generation, as_of): Met) -> bool {
        generation < self.above && (generation > self.generation || as_of > self.as_of)
    }

    /// The gaps that are kept, the oldest first.
    ///
    /// # Errors
    /// The store's.
    pub fn read(view: &ReadView) -> Result<Vec<Self>, StoreError> {
        let Some(bytes) = view.publish_state(GAPS)? else { return Ok(Vec::new()) };
        let corrupt = StoreError::Corrupt("publish_state");
        match bytes.split_first() {
            Some((&GAPS_VERSION, rest)) => {
                let (gaps, rest) = rest.as_chunks::<GAP_LEN>();
                if rest.is_empty() { Ok(gaps.iter().map(Self::from_bytes).collect()) } else { Err(corrupt) }
            }
            _ => Err(corrupt),
        }
    }

    /// Keeps these, in place of those that were kept, in a store that nothing is published from now. Beyond
    /// [`GAPS_MAX`] the oldest go.
    ///
    /// # Errors
    /// The store's.
    pub async fn keep(gaps: &[Self], store: &Store) -> Result<(), StoreError> {
        let newest = &gaps[gaps.len().saturating_sub(GAPS_MAX)..];
        let mut bytes = vec![GAPS_VERSION];
        newest.iter().for_each(|gap| bytes.extend(gap.to_bytes()));
        store.put_publish_state(GAPS, bytes).await
    }

    fn to_bytes(self) -> [u8; GAP_LEN] {
        let mut bytes = [0; GAP_LEN];
        for (slot, number) in
            bytes.as_chunks_mut::<8>().0.iter_mut().zip([self.generation.0, self.as_of.0, self.above.0])
        {
            *slot = number.to_le_bytes();
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; GAP_LEN]) -> Self {
        let number = |at: usize| bytes.as_chunks::<8>().0.get(at).map_or(0, |one| u64::from_le_bytes(*one));
        Self { generation: Generation(number(0)), as_of: UnixMillis(number(1)), above: Generation(number(2)) }
    }
}

/// The bookmark of the run before this one.
pub(super) fn read_bookmark(store: &Store) -> Result<Bookmark, StoreError> {
    Bookmark::read(&store.read()?)
}

impl Bookmark {
    /// The one that is kept.
    ///
    /// # Errors
    /// The store's.
    pub fn read(view: &ReadView) -> Result<Self, StoreError> {
        match view.publish_state(BOOKMARK)? {
            None => Ok(Self::default()),
            Some(bytes) => Self::from_bytes(&bytes).ok_or(StoreError::Corrupt("publish_state")),
        }
    }

    /// Whether it is above this head.
    pub(super) fn covers(&self, (generation, as_of): Met) -> bool {
        generation <= self.generation && as_of <= self.as_of
    }

    /// The greater of two, in each part.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            as_of: self.as_of.max(other.as_of),
            generation: self.generation.max(other.generation),
            root_version: self.root_version.max(other.root_version),
        }
    }

    /// Keeps it in a store that nothing is published from now.
    ///
    /// # Errors
    /// The store's.
    pub async fn keep(self, store: &Store) -> Result<(), StoreError> {
        store.put_publish_state(BOOKMARK, self.to_bytes()).await
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![BOOKMARK_VERSION];
        bytes.extend(self.root_version.to_le_bytes());
        bytes.extend(self.generation.0.to_le_bytes());
        bytes.extend(self.as_of.0.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 20] = bytes.strip_prefix(&[BOOKMARK_VERSION])?.try_into().ok()?;
        let (root_version, rest) = bytes.split_first_chunk()?;
        let (generation, as_of) = rest.split_first_chunk()?;
        Some(Self {
            root_version: u32::from_le_bytes(*root_version),
            generation: Generation(u64::from_le_bytes(*generation)),
            as_of: UnixMillis(u64::from_le_bytes(as_of.try_into().ok()?)),
        })
    }
}

impl From<SignError> for HeadsError {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Signers(error) => Self::Signers(error),
            SignError::Build(error) => Self::Build(error),
        }
    }
}

impl fmt::Display for HeadsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Clock(error) => error.fmt(f),
            Self::Build(error) => error.fmt(f),
            Self::Signers(error) => error.fmt(f),
            Self::Overtaken { began_at, held: (held, as_of) } => write!(
                f,
                "the database stood at generation {began_at}, but {held} as of {} was published, which it never signed: \
                 it is an older copy, and nothing is signed from it",
                as_of.0
            ),
        }
    }
}

const BOOKMARK: &str = "bookmark";
const BOOKMARK_VERSION: u8 = 1;
const GAPS: &str = "gaps";
const GAPS_VERSION: u8 = 1;
const GAP_LEN: usize = 24;
/// Restores that are remembered.
const GAPS_MAX: usize = 64;
/// How far ahead of its heads a bookmark is, and so how far a restart may have to push `as_of` at most.
const RESERVE_MS: u64 = 250;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookmark_comes_back_and_any_other_length_is_refused() {
        let bookmark = Bookmark { as_of: UnixMillis(3), generation: Generation(2), root_version: 1 };
        let bytes = bookmark.to_bytes();
        assert_eq!(Bookmark::from_bytes(&bytes), Some(bookmark));
        assert_eq!(Bookmark::from_bytes(&bytes[..20]), None);
        assert_eq!(Bookmark::from_bytes(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(Bookmark::from_bytes(&[2; 21]), None);
    }
}
