//! A sink that keeps what it is given, in the order in which it came, and the clock of whoever gives it.

use latchkey_control::outside::Clock;
use latchkey_control::publish::sink::Answer;
use latchkey_control::publish::{self, Held, Named, Sink, SinkError};
use latchkey_core::UnixMillis;
use latchkey_snapshot::ObjectDigest;
use latchkey_snapshot::build::Object;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A clock that moves only when told.
pub(super) struct Told(AtomicU64);

impl Told {
    pub(super) fn at(moment: UnixMillis) -> Self {
        Self(AtomicU64::new(moment.0))
    }

    pub(super) fn forward(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for Told {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

/// A head and when it was sent.
pub(super) type Sent = (UnixMillis, Vec<u8>);

/// What came since somebody asked.
#[derive(Default)]
pub(super) struct Recorded {
    pub(super) heads: Vec<Sent>,
    pub(super) objects: Vec<Object>,
}

/// The sink.
pub(super) struct Recorder {
    clock: Arc<Told>,
    state: Mutex<(HashSet<ObjectDigest>, Recorded)>,
}

impl Recorder {
    pub(super) fn new(clock: Arc<Told>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// What came since the last time.
    pub(super) fn take(&self) -> Recorded {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).1)
    }
}

impl Sink for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn held(&self) -> Answer<'_, Held> {
        // The root is in a file of its own.
        Box::pin(async { Ok(Held { root_version: 1, head: None }) })
    }

    fn put_root<'a>(&'a self, _: u32, _: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn put_object<'a>(&'a self, object: &'a Object) -> Answer<'a, ()> {
        Box::pin(async {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.0.insert(object.reference.digest()) {
                state.1.objects.push(object.clone());
            }
            Ok(())
        })
    }

    fn put_head<'a>(&'a self, head: &'a [u8], named: &'a Named) -> Answer<'a, publish::Told> {
        Box::pin(async {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let digests = named.objects().map(|object| object.reference.digest());
            let missing: Vec<_> = digests.filter(|digest| !state.0.contains(digest)).collect();
            if !missing.is_empty() {
                return Err(SinkError::Missing(missing));
            }
            state.1.heads.push((self.clock.now(), head.to_vec()));
            Ok(publish::Told::default())
        })
    }
}
