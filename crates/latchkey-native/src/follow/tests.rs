//! Sources that say the same again and again, or something else each time, or nothing.

use super::*;
use crate::{Client, Family, Forward, Native, Settings, Source, Token};
use latchkey_control::publish::{Source as Place, SourceError};
use latchkey_core::{MintSecret, Pepper, UnixMillis, UnixSeconds};
use latchkey_gate::{Floor, GateConfig, MEMORY_BYTES_DEFAULT};
use latchkey_snapshot::Installation;
use latchkey_snapshot::build::{RootContent, Signer};
use latchkey_snapshot::root::{KeyRole, RootKey};
use std::sync::atomic::{AtomicU64, Ordering};

/// A place whose head is whatever `says` says of how often it was read.
struct Odd {
    reads: AtomicU64,
    says: Says,
}

impl Place for Odd {
    fn name(&self) -> &'static str {
        "odd"
    }

    fn root(&self, _version: u32) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(None)
    }

    fn head(&self) -> Result<Option<Vec<u8>>, SourceError> {
        (self.says)(self.reads.fetch_add(1, Ordering::SeqCst))
    }

    fn object(&self, _digest: ObjectDigest, _len_max: usize) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(None)
    }
}

fn root() -> Vec<u8> {
    let signer = |seed: u8| Signer::from_seed(&[seed; 32]);
    let key = |seed, role| RootKey {
        public: signer(seed).public(),
        role,
        not_before: UnixSeconds(0),
        not_after: UnixSeconds(u64::MAX / 2),
    };
    let keys = vec![key(1, KeyRole::Offline), key(2, KeyRole::Release), key(3, KeyRole::Head)];
    let issued = UnixSeconds(1_795_428_000);
    let root =
        RootContent { installation: Installation([7; 16]), version: 1, issued, thresholds: [1; 3], keys };
    root.sign(&[&signer(1)]).unwrap()
}

type Says = fn(u64) -> Result<Option<Vec<u8>>, SourceError>;

/// A mind that follows this.
fn follower(place: Arc<dyn Place + Send + Sync>) -> Arc<Mind> {
    Mind::new(settings(place)).unwrap().0
}

/// A gate that has nothing to answer from, for a proxy with this token.
pub(crate) fn native_for_proxies(token: &str) -> Arc<Native> {
    let forward = Forward { token: Token::new(token).unwrap(), family: Family::Envoy, client: Client::Peer };
    let place = Arc::new(Odd { reads: AtomicU64::new(0), says: |_| Ok(None) });
    Arc::new(Native::new(Settings { forward: Some(forward), ..settings(place) }).unwrap())
}

fn settings(place: Arc<dyn Place + Send + Sync>) -> Settings {
    let gate = GateConfig {
        root: root(),
        peppers: vec![Pepper::new([4; 32])],
        mint: MintSecret::new([5; 32]),
        floor: Floor::default(),
        memory_bytes_max: MEMORY_BYTES_DEFAULT,
        seed: 1,
    };
    Settings {
        gate,
        source: Source::Polled { place, every: Duration::from_millis(200) },
        state: None,
        origin: None,
        edge_key: None,
        forward: None,
        client: Client::Unknown,
        reporter: None,
        decisions: None,
        now: || UnixMillis(1_795_428_000_000),
    }
}

/// A mind that has nothing to answer from, and never will.
pub(crate) fn mind_without_snapshot() -> Arc<Mind> {
    follower(Arc::new(Odd { reads: AtomicU64::new(0), says: |_| Ok(None) }))
}

async fn reads_in_a_minute(says: Says) -> u64 {
    let place = Arc::new(Odd { reads: AtomicU64::new(0), says });
    let mind = follower(place.clone());
    let _ = timeout(Duration::from_secs(60), heads(mind)).await;
    place.reads.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn source_that_brings_nothing_good_is_not_asked_the_faster_for_it() {
    let junk: [Says; 2] =
        [|read| Ok(Some(read.to_le_bytes().to_vec())), |_| Err(SourceError("down".to_owned()))];
    for says in junk {
        let reads = reads_in_a_minute(says).await;
        assert!((30..=70).contains(&reads), "{reads}");
    }
    // What has not changed is looked at as often as ever.
    for quiet in [|_| Ok(Some(b"same".to_vec())), |_| Ok(None)] {
        let reads = reads_in_a_minute(quiet).await;
        assert!((200..=310).contains(&reads), "{reads}");
    }
}
