//! What native gates read from the control plane itself: the newest head, held back until it is news, and everything
//! that it leads to.
//!
//! [`Gates`] is both ends: a sink like any other, filled by the publisher, and what the HTTP routes read. So nothing is
//! served that a sink would not take: a head that one of our roots vouches for, above the one before it, after all
//! it names. It is kept in memory and costs none: the bundles are the publisher's own, and roots stand in the keyring.

use super::{Answer, Bundle, Held, Named, Sink, SinkError, Told};
use crate::publish::Keyrings;
use latchkey_snapshot::build::Object;
use latchkey_snapshot::{Head, ObjectDigest, UnverifiedHead};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// What is held for native gates, and the credential that they read it with.
pub struct Gates {
    keyring: Keyrings,
    token: GateToken,
    head: watch::Sender<Option<HeldHead>>,
    shelves: RwLock<Shelves>,
    places: Semaphore,
    closing: watch::Sender<bool>,
}

/// What a native gate shows to read. Kept as a digest; it shows nothing.
#[derive(Clone)]
pub struct GateToken(blake3::Hash);

/// There is no room for one more that waits; it may ask again a little later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyWaits;

#[derive(Clone)]
struct HeldHead {
    /// The digest of its bytes: what a gate calls the head that it has.
    name: ObjectDigest,
    bytes: Arc<[u8]>,
    head: Arc<Head>,
}

impl GateToken {
    /// The token with this text.
    pub fn new(text: &str) -> Self {
        Self(digest(text))
    }

    /// Whether this is its text. Digests are compared, in constant time.
    pub fn is(&self, presented: &str) -> bool {
        self.0 == digest(presented)
    }
}

fn digest(text: &str) -> blake3::Hash {
    blake3::Hash::from_bytes(blake3::derive_key("latchkey gate token v1", text.as_bytes()))
}

impl Gates {
    /// Holds nothing yet, for heads under these roots.
    pub fn new(keyring: Keyrings, token: GateToken) -> Arc<Self> {
        Arc::new(Self {
            keyring,
            token,
            head: watch::Sender::new(None),
            shelves: RwLock::default(),
            places: Semaphore::new(WAITS_MAX),
            closing: watch::Sender::new(false),
        })
    }

    /// Whether this is the credential that gates read with.
    pub fn admits(&self, presented: &str) -> bool {
        self.token.is(presented)
    }

    /// The newest head, once there is one that is not called `after`; `None` if the time passes without one. A head's
    /// name is the digest of its bytes.
    ///
    /// # Errors
    /// [`TooManyWaits`], where it would have to wait.
    pub async fn head(
        &self,
        after: Option<ObjectDigest>,
        wait: Duration,
    ) -> Result<Option<Arc<[u8]>>, TooManyWaits> {
        let is_news = |held: &Option<HeldHead>| held.as_ref().is_some_and(|held| Some(held.name) != after);
        let mut heads = self.head.subscribe();
        if !is_news(&heads.borrow_and_update()) {
            // Held until the answer is known, or nobody waits for it any more.
            let _place = self.places.try_acquire().map_err(|_| TooManyWaits)?;
            let mut closing = self.closing.subscribe();
            tokio::select! {
                // Neither sender is gone while `self` is there.
                _ = heads.wait_for(is_news) => {}
                _ = closing.wait_for(|closing| *closing) => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        let held = heads.borrow();
        Ok(held.as_ref().filter(|held| Some(held.name) != after).map(|held| Arc::clone(&held.bytes)))
    }

    /// The root of a version.
    pub fn root(&self, version: u32) -> Option<Vec<u8>> {
        let index = usize::try_from(version.checked_sub(1)?).ok()?;
        self.keyring.borrow().roots().get(index).cloned()
    }

    /// An object that a head names, or named not long ago.
    pub fn object(&self, digest: ObjectDigest) -> Option<Arc<[u8]>> {
        self.shelves.read().unwrap_or_else(PoisonError::into_inner).find(digest)
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        WAITS_MAX.saturating_sub(self.places.available_permits())
    }

    /// Answers whoever waits, and from now on lets nobody wait.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Takes a head with everything that it names, as [`Sink::put_head`].
    ///
    /// # Errors
    /// [`SinkError::Refused`], if none of our roots vouches for it; [`SinkError::Older`].
    pub fn take_head(&self, bytes: &[u8], named: &Named) -> Result<(), SinkError> {
        let head = self.verified(bytes);
        let head =
            head.ok_or_else(|| SinkError::Refused("none of our roots vouches for the head".to_owned()))?;
        let next = HeldHead { name: ObjectDigest::of(bytes), bytes: bytes.into(), head: Arc::new(head) };
        // Whoever has this lock is alone.
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        match &*self.head.borrow() {
            Some(held) if held.name == next.name => return Ok(()),
            Some(held) if next.head.rank() <= held.head.rank() => {
                let held = &held.head;
                return Err(SinkError::Older { held: Some((held.statement.generation, held.as_of)) });
            }
            _ => {}
        }
        // What it names is there before it is.
        shelves.keep(named);
        self.head.send_replace(Some(next));
        Ok(())
    }

    /// The head in these bytes, if one of our roots vouches for it.
    fn verified(&self, bytes: &[u8]) -> Option<Head> {
        let head = UnverifiedHead::parse(bytes).ok()?;
        let keyring = self.keyring.borrow().clone();
        let root = keyring.root_of(head.root_version())?;
        head.verify(root).ok()
    }

    fn held_now(&self) -> Held {
        let root_version = self.keyring.borrow().root().version();
        let held = self.head.borrow();
        let head = held.as_ref().map(|held| &held.head).filter(|head| head.root_version >= root_version);
        Held { root_version, head: head.map(|head| (head.statement.generation, head.as_of)) }
    }
}

impl Sink for Gates {
    fn name(&self) -> &'static str {
        "gates"
    }

    fn held(&self) -> Answer<'_, Held> {
        let held = self.held_now();
        Box::pin(async move { Ok(held) })
    }

    /// Roots are read where they are.
    fn put_root<'a>(&'a self, _version: u32, _bytes: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    /// It never lacks one: a head comes with all that it names.
    fn put_object<'a>(&'a self, _object: &'a Object) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn put_head<'a>(&'a self, head: &'a [u8], named: &'a Named) -> Answer<'a, Told> {
        Box::pin(async move { self.take_head(head, named).map(|()| Told::default()) })
    }
}

impl fmt::Debug for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gates(..)")
    }
}

impl fmt::Debug for GateToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GateToken(..)")
    }
}

/// The bundles that the newest head names, and those that heads named before it.
#[derive(Default)]
struct Shelves {
    named: Vec<Arc<Shelf>>,
    /// No longer named, the oldest first: a gate may have just read the head before.
    outgoing: VecDeque<Arc<Shelf>>,
}

struct Shelf {
    first: ObjectDigest,
    bundle: Bundle,
    places: HashMap<ObjectDigest, usize>,
    bytes: usize,
}

impl Shelf {
    /// `None` for a bundle without anything in it.
    fn of(bundle: &Bundle) -> Option<Self> {
        let first = bundle.first()?.reference.digest();
        let places = bundle.iter().enumerate().map(|(at, object)| (object.reference.digest(), at)).collect();
        let bytes = bundle.iter().map(|object| object.bytes.len()).sum();
        Some(Self { first, bundle: Arc::clone(bundle), places, bytes })
    }

    fn find(&self, digest: ObjectDigest) -> Option<Arc<[u8]>> {
        self.bundle.get(*self.places.get(&digest)?).map(|object| Arc::clone(&object.bytes))
    }
}

impl Shelves {
    fn find(&self, digest: ObjectDigest) -> Option<Arc<[u8]>> {
        self.named.iter().chain(self.outgoing.iter().rev()).find_map(|shelf| shelf.find(digest))
    }

    fn keep(&mut self, named: &Named) {
        let before = std::mem::take(&mut self.named);
        for bundle in named.bundles() {
            let Some(first) = bundle.first().map(|object| object.reference.digest()) else { continue };
            let known = before.iter().chain(&self.outgoing).find(|shelf| shelf.first == first);
            self.named.extend(known.cloned().or_else(|| Shelf::of(bundle).map(Arc::new)));
        }
        let kept: HashSet<ObjectDigest> = self.named.iter().map(|shelf| shelf.first).collect();
        self.outgoing.extend(before);
        self.outgoing.retain(|shelf| !kept.contains(&shelf.first));
        let mut bytes: usize = self.outgoing.iter().map(|shelf| shelf.bytes).sum();
        while self.outgoing.len() > OUTGOING_MAX || bytes > OUTGOING_BYTES_MAX {
            let Some(oldest) = self.outgoing.pop_front() else { break };
            bytes -= oldest.bytes;
        }
    }
}

/// Requests that may wait for a head at a time.
pub const WAITS_MAX: usize = 1024;
/// Bundles that are kept though nothing names them any more.
const OUTGOING_MAX: usize = 64;
/// Bytes of such bundles.
const OUTGOING_BYTES_MAX: usize = 32 << 20;

#[cfg(test)]
mod tests;
