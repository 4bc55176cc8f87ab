//! Where a gate reads: the control plane by long poll, or a place that is looked at again and again.

use latchkey_control::publish::{LongPollSource, Source as Place, SourceError};
use latchkey_snapshot::ObjectDigest;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Where a gate reads what is published. What comes from there is worth nothing before it is verified.
pub enum Source {
    /// The control plane itself, which holds a request open until there is news.
    LongPoll(LongPollSource),
    /// A place that is looked at every so often.
    Polled {
        /// The place. Reading it blocks.
        place: Arc<dyn Place + Send + Sync>,
        /// How often its head is looked at.
        every: Duration,
    },
}

impl Source {
    /// The head that there is now.
    pub(crate) async fn newest(&self) -> Result<Option<Vec<u8>>, SourceError> {
        match self {
            Self::LongPoll(control) => control.head(None, 1).await,
            Self::Polled { place, .. } => read(place, |place| place.head()).await,
        }
    }

    /// The head, once there is another than the one of this digest; `None` if there is none for a while.
    pub(crate) async fn next(&self, after: Option<ObjectDigest>) -> Result<Option<Vec<u8>>, SourceError> {
        let (place, every) = match self {
            Self::LongPoll(control) => return control.head(after, WAIT_SECS).await,
            Self::Polled { place, every } => (place, *every),
        };
        let began = Instant::now();
        loop {
            let head = read(place, |place| place.head()).await?;
            let is_news = head.as_ref().is_some_and(|head| Some(ObjectDigest::of(head)) != after);
            if is_news || began.elapsed() >= Duration::from_secs(WAIT_SECS) {
                return Ok(head.filter(|_| is_news));
            }
            sleep(every).await;
        }
    }

    pub(crate) async fn root(&self, version: u32) -> Result<Option<Vec<u8>>, SourceError> {
        match self {
            Self::LongPoll(control) => control.root(version).await,
            Self::Polled { place, .. } => read(place, move |place| place.root(version)).await,
        }
    }

    pub(crate) async fn object(
        &self,
        digest: ObjectDigest,
        len_max: usize,
    ) -> Result<Option<Vec<u8>>, SourceError> {
        match self {
            Self::LongPoll(control) => control.object(digest, len_max).await,
            Self::Polled { place, .. } => read(place, move |place| place.object(digest, len_max)).await,
        }
    }
}

/// Reads where it blocks nobody.
pub(crate) async fn read<T: Send + 'static>(
    place: &Arc<dyn Place + Send + Sync>,
    read: impl FnOnce(&dyn Place) -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    let place = Arc::clone(place);
    let done = tokio::task::spawn_blocking(move || read(&*place)).await;
    done.unwrap_or_else(|_| Err(SourceError("a read did not end".to_owned())))
}

const WAIT_SECS: u64 = 20;
