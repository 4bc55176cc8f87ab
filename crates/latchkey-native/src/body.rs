//! A request's body that may be looked at before it goes on: what was looked at goes on first, the rest streams.

use hyper::HeaderMap;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::CONTENT_ENCODING;
use latchkey_gate::{BODY_SEEN_MAX, Extent, find_text};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;

/// A body of which some may have been looked at. It has no trailers.
pub struct Upload<B = Incoming> {
    seen: VecDeque<Bytes>,
    rest: B,
}

impl<B: Body<Data = Bytes> + Unpin> Upload<B> {
    pub(crate) const fn of(rest: B) -> Self {
        Self { seen: VecDeque::new(), rest }
    }

    /// What the field says, if all readers would agree on it and it arrives in time.
    pub(crate) async fn text_of(&mut self, headers: &HeaderMap, field: &str) -> Option<String> {
        // What is compressed cannot be looked into.
        if headers.contains_key(CONTENT_ENCODING) {
            return None;
        }
        let (seen, extent) = timeout(LOOK_MAX, self.beginning()).await.ok()??;
        find_text(&seen, extent, field).ok()
    }

    /// Reads as much as may be looked at; `None` if the body breaks off, which whoever reads on is told.
    async fn beginning(&mut self) -> Option<(Vec<u8>, Extent)> {
        let mut seen: Vec<u8> = Vec::new();
        while seen.len() <= BODY_SEEN_MAX {
            let next = poll_fn(|context| Pin::new(&mut self.rest).poll_frame(context)).await;
            let Some(next) = next else { return Some((seen, Extent::Whole)) };
            // Trailers end here: see `poll_frame`.
            if let Ok(bytes) = next.ok()?.into_data() {
                seen.extend_from_slice(&bytes);
                self.seen.push_back(bytes);
            }
        }
        seen.truncate(BODY_SEEN_MAX);
        Some((seen, Extent::Beginning))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Upload<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(bytes) = self.seen.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        loop {
            match std::task::ready!(Pin::new(&mut self.rest).poll_frame(context)) {
                // Trailers were not judged, and some origins read them as headers.
                Some(Ok(frame)) if frame.is_trailers() => {}
                next => return Poll::Ready(next),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.seen.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let seen: usize = self.seen.iter().map(Bytes::len).sum();
        let (seen, rest) = (seen as u64, self.rest.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(seen));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(seen));
        }
        hint
    }
}

impl<B> fmt::Debug for Upload<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({} pieces seen)", self.seen.len())
    }
}

/// How long the beginning of a body may take to arrive that is to be looked at.
const LOOK_MAX: Duration = Duration::from_secs(30);
