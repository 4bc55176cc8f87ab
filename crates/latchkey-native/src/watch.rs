//! What takes long is judged again: an upload that the origin has not answered yet, a body of either side that goes on, a
//! WebSocket. Every 5 s the gate is asked as if the request came now; what it would refuse is cut off.
//!
//! The connection serves one request at a time, so it is the connection that is cut: the client sees its answer break off, and the
//! origin its request. What watches ends when the last body does.
//!
//! A guard cuts nothing off: its handlers ask by themselves, with a [`Recheck`].

use crate::facts::Facts;
use crate::mind::Mind;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::{HeaderMap, Method};
use latchkey_gate::{Need, Refusal, Standing};
use std::fmt;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// How often what goes on is judged again.
const EVERY: Duration = Duration::from_secs(5);

/// A refusal in the middle of a request.
pub(crate) type Refused = (Refusal, Option<Standing>);

/// Ends a connection, whatever goes on there.
#[derive(Clone)]
pub(crate) struct Cut(Arc<watch::Sender<bool>>);

impl Cut {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    fn now(&self) {
        self.0.send_replace(true);
    }

    /// Returns once the connection is to end.
    pub(crate) async fn is_due(&self) {
        // The sender is our own.
        let _ = self.0.subscribe().wait_for(|is_due| *is_due).await;
    }
}

/// Held by whatever goes on: the watch ends when nobody has one any more.
#[derive(Clone)]
pub(crate) struct Alive(#[expect(dead_code, reason = "it is held, and never asked")] watch::Receiver<()>);

/// Watches over one request.
pub(crate) struct Watch {
    mind: Arc<Mind>,
    kept: Kept,
    cut: Cut,
    ends: watch::Sender<()>,
}

/// The facts of a request, beyond the request itself.
struct Kept {
    method: Method,
    host: Option<String>,
    target: String,
    client: Option<IpAddr>,
    headers: HeaderMap,
    model: OnceLock<Option<String>>,
    need: Option<Need>,
}

/// Asks whether a request that was let in would still be: the same credential, for the same, as if it came now. For what
/// takes long, such as an answer that streams.
#[derive(Clone)]
pub struct Recheck(Arc<(Arc<Mind>, Kept)>);

impl Recheck {
    pub(crate) fn new(mind: &Arc<Mind>, method: &Method, facts: &Facts<'_>) -> Self {
        Self(Arc::new((Arc::clone(mind), Kept::of(method, facts))))
    }

    /// Whether it would still be let in. It counts for no rate and as no request; what it waits for is at most a look at the newest
    /// head. Where the gate cannot tell, it would not.
    pub async fn still_allowed(&self) -> bool {
        let (mind, kept) = &*self.0;
        mind.judge_again(&kept.facts()).await.is_none()
    }
}

impl Watch {
    /// Over a request that was let in by these facts; `cut` ends its connection.
    pub(crate) fn new(mind: &Arc<Mind>, method: &Method, facts: &Facts<'_>, cut: Cut) -> Self {
        Self { mind: Arc::clone(mind), kept: Kept::of(method, facts), cut, ends: watch::Sender::new(()) }
    }

    /// For what goes on.
    pub(crate) fn alive(&self) -> Alive {
        Alive(self.ends.subscribe())
    }

    /// What ends the connection.
    #[cfg(test)]
    pub(crate) const fn cut(&self) -> &Cut {
        &self.cut
    }

    /// Waits for `work`, as long as the request would be let in.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> Result<T, Refused> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = work.as_mut() => return Ok(done),
                () = sleep(EVERY) => {
                    if let Some(refused) = self.mind.judge_again(&self.kept.facts()).await {
                        return Err(refused);
                    }
                }
            }
        }
    }

    /// Judges again behind the answer, until nothing goes on any more; cuts it off once it is refused.
    pub(crate) fn behind(self) {
        if self.ends.receiver_count() == 0 {
            return;
        }
        tokio::spawn(async move {
            if let Err((refusal, _)) = self.during(self.ends.closed()).await
                // It may have ended while it was judged, and the connection may be another request's by now.
                && self.ends.receiver_count() > 0
            {
                tracing::debug!(cause = refusal.cause(), "what was let in is not any more, and is cut off");
                self.cut.now();
            }
        });
    }
}

impl Kept {
    fn of(method: &Method, facts: &Facts<'_>) -> Self {
        Self {
            method: method.clone(),
            host: facts.host.map(str::to_owned),
            target: facts.target.to_owned(),
            client: facts.client,
            headers: facts.headers.clone(),
            model: facts.model.clone(),
            need: facts.need.cloned(),
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            method: self.method.as_str(),
            host: self.host.as_deref(),
            target: &self.target,
            client: self.client,
            headers: &self.headers,
            model: self.model.clone(),
            need: self.need.as_ref(),
        }
    }
}

impl fmt::Debug for Recheck {
    /// It holds a credential, and shows nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recheck(..)")
    }
}

/// A body, and that it is not over.
pub(crate) struct Watched<B> {
    body: B,
    alive: Option<Alive>,
}

impl<B> Watched<B> {
    pub(crate) const fn new(body: B, alive: Option<Alive>) -> Self {
        Self { body, alive }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let next = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if !matches!(next, Some(Ok(_))) {
            self.alive = None;
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::follow::tests::mind_without_snapshot;
    use tokio::time::Instant;

    /// A watch over a request that would be refused whenever it is judged again.
    pub(crate) fn refused_next() -> Watch {
        let (headers, method) = (HeaderMap::new(), Method::GET);
        let facts = Facts {
            method: "GET",
            host: None,
            target: "/",
            client: None,
            headers: &headers,
            model: OnceLock::new(),
            need: None,
        };
        Watch::new(&mind_without_snapshot(), &method, &facts, Cut::new())
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_longer_than_five_seconds_is_judged_again_and_ends_when_refused() {
        let (watch, began) = (refused_next(), Instant::now());
        assert!(watch.during(sleep(EVERY - Duration::from_millis(1))).await.is_ok());
        assert!(watch.during(std::future::pending::<()>()).await.is_err());
        assert!(began.elapsed() >= EVERY);
    }

    #[tokio::test(start_paused = true)]
    async fn connection_is_cut_while_something_goes_on_and_left_alone_once_nothing_does() {
        let watch = refused_next();
        let (alive, cut) = (watch.alive(), watch.cut().clone());
        watch.behind();
        let began = Instant::now();
        cut.is_due().await;
        assert!(began.elapsed() >= EVERY);
        drop(alive);

        let watch = refused_next();
        let (alive, cut) = (watch.alive(), watch.cut().clone());
        watch.behind();
        sleep(EVERY / 2).await;
        drop(alive);
        assert!(tokio::time::timeout(EVERY * 10, cut.is_due()).await.is_err());
    }
}
