//! One sink's deliveries: one task uploads editions, one the pages of a new base, one pushes heads of the edition that
//! is there.
//!
//! They share a [`Desk`], which lets one head at a time on its way to the sink. A new base is long on its way: until its
//! pages are there, the sink gets every edition on the line that it holds, as deltas. So what a base costs holds back
//! neither grants nor refusals.

use super::backoff::Backoff;
use super::edition::Edition;
use super::heads::{Heads, HeadsError, SignedHead};
use super::keyring::{Keyring, replaced};
use super::lines::Stands;
use super::sink::{EdgeReport, Sink, SinkError, Told};
use super::status::Board;
use crate::outside::Clock;
use latchkey_core::{Generation, UnixMillis};
use latchkey_snapshot::ObjectDigest;
use latchkey_snapshot::build::Object;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The newest edition, once there is one.
pub(super) type Editions = watch::Receiver<Option<Arc<Edition>>>;

/// What all tasks of a sink work with.
pub(super) struct Desk {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) index: usize,
    pub(super) heads: Arc<Heads>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) board: Board,
    pub(super) standing: Mutex<Standing>,
    /// Rung when the sink turns out to have lost what it held.
    pub(super) lost: Notify,
    /// Rung when the pages of a new base are there.
    pub(super) brought: Notify,
    pub(super) stands: Stands,
    /// When it was last swept.
    pub(super) swept: Mutex<Option<Instant>>,
}

/// What the sink is known to hold.
#[derive(Default)]
pub(super) struct Standing {
    root_version: u32,
    edition: Option<Arc<Edition>>,
    /// The line of which it was given all pages, though it may have no head on it yet.
    brought: Option<u64>,
    /// Why the pages of a new base are not there, if that failed.
    not_brought: Option<String>,
    as_of: UnixMillis,
    /// The newest inline revocation that it was told.
    told: Option<Generation>,
}

/// What a head is to be of.
#[derive(Clone, Copy)]
enum Of<'a> {
    /// What the sink holds.
    Held,
    /// This edition, on the line whose base the sink holds, or on its own.
    Reachable(&'a Arc<Edition>),
    /// This edition, on its own line.
    Newest(&'a Arc<Edition>),
}

/// What became of a head.
#[derive(PartialEq, Eq)]
enum Pushed {
    Taken,
    /// The sink has come further meanwhile, or holds nothing that there could be a head of.
    Idle,
}

/// Why something is not there yet.
enum Delay {
    Heads(HeadsError),
    Sink(SinkError),
}

impl Desk {
    /// Uploads every edition, the newest first and only.
    pub(super) async fn upload_editions(&self, mut editions: Editions, mut backoff: Backoff) {
        let mut greeted = false;
        loop {
            let newest = editions.borrow_and_update().clone();
            let outcome = match &newest {
                Some(edition) => self.attempt(edition, &mut greeted).await,
                None => Ok(()),
            };
            if let Err(delay) = outcome {
                greeted &= !matches!(delay, Delay::Sink(SinkError::Refused(_) | SinkError::Unavailable(_)));
                self.report(&delay, "an edition is delayed");
                tokio::time::sleep(backoff.next()).await;
                continue;
            }
            backoff.reset();
            tokio::select! {
                changed = editions.changed() => if changed.is_err() { return },
                () = self.lost.notified() => greeted = false,
                () = self.brought.notified() => {}
            }
        }
    }

    /// Brings the pages of every new base to a sink that goes on with the line before meanwhile.
    pub(super) async fn bring_bases(&self, mut editions: Editions, mut backoff: Backoff) {
        loop {
            let newest = editions.borrow_and_update().clone();
            let awaits = match &newest {
                Some(edition) => self.awaits_base(edition).await,
                None => None,
            };
            if let Some((edition, held)) = newest.as_ref().zip(awaits) {
                let outcome = self.bring_base(edition, &held, &editions).await;
                self.standing.lock().await.not_brought = outcome.as_ref().err().map(ToString::to_string);
                match outcome {
                    Ok(()) => backoff.reset(),
                    Err(delay) => {
                        self.report(&delay, "a base is delayed");
                        tokio::time::sleep(backoff.next()).await;
                    }
                }
                continue;
            }
            if editions.changed().await.is_err() {
                return;
            }
        }
    }

    /// Pushes a head every `every`, and at once when something new is refused.
    pub(super) async fn push_heads(
        &self,
        mut newest: watch::Receiver<Generation>,
        every: Duration,
        mut backoff: Backoff,
    ) {
        let mut wait = every;
        let mut keyring = self.heads.keyrings();
        loop {
            let failing = wait != every;
            let due = tokio::time::sleep(wait);
            tokio::pin!(due);
            loop {
                tokio::select! {
                    () = &mut due => break,
                    () = replaced(&mut keyring), if !failing => break,
                    // A sink that just failed is not asked the sooner for it.
                    changed = newest.changed(), if !failing => match changed {
                        Ok(()) if self.has_news().await => break,
                        Ok(()) => {}
                        Err(_) => return,
                    },
                }
            }
            wait = match self.beat().await {
                Ok(()) => {
                    backoff.reset();
                    every
                }
                Err(delay) => {
                    self.report(&delay, "a head is delayed");
                    backoff.next()
                }
            };
        }
    }

    async fn attempt(&self, edition: &Arc<Edition>, greeted: &mut bool) -> Result<(), Delay> {
        if !*greeted {
            self.greet().await?;
            *greeted = true;
        }
        self.deliver(edition).await?;
        self.sweep(edition).await
    }

    /// Lets the sink delete what nothing names any more, now and then: that is work on all that it holds.
    async fn sweep(&self, edition: &Edition) -> Result<(), Delay> {
        let mut last = self.swept.lock().await;
        if last.is_some_and(|last| last.elapsed() < SWEEP_EVERY) {
            return Ok(());
        }
        let named: HashSet<ObjectDigest> = digests(edition.objects()).collect();
        let swept = self.sink.sweep(&named, self.clock.now()).await.map_err(Delay::Sink)?;
        if swept > 0 {
            tracing::info!(sink = self.sink.name(), objects = swept, "unnamed objects deleted");
        }
        *last = Some(Instant::now());
        Ok(())
    }

    /// Hands over the roots that the sink does not have, and makes sure that it holds nothing newer than this run
    /// began with. What was signed under an older root is outranked, so a thief's head does not count.
    async fn greet(&self) -> Result<(), Delay> {
        let mut standing = self.standing.lock().await;
        let mut held = self.sink.held().await.map_err(Delay::Sink)?;
        standing.root_version = held.root_version;
        let keyring = self.heads.keyring();
        if held.root_version < keyring.root().version() {
            self.hand_over_roots(&mut standing, &keyring).await?;
            held = self.sink.held().await.map_err(Delay::Sink)?;
        }
        if let Some(head) = held.head {
            self.heads.meet(head).await.map_err(Delay::Heads)?;
        }
        Ok(())
    }

    /// Hands over the roots that the sink does not have: before the first head under them.
    async fn hand_over_roots(&self, standing: &mut Standing, keyring: &Keyring) -> Result<(), Delay> {
        for (version, root) in (1u32..).zip(keyring.roots()) {
            if version > standing.root_version {
                self.sink.put_root(version, root).await.map_err(Delay::Sink)?;
                standing.root_version = version;
                tracing::info!(sink = self.sink.name(), version, "the sink has the root");
            }
        }
        Ok(())
    }

    /// Pushes the head; then what the sink says it lacks, and the head again, until it is taken.
    async fn deliver(&self, edition: &Arc<Edition>) -> Result<(), Delay> {
        let mut pushed: HashSet<ObjectDigest> = HashSet::new();
        loop {
            match self.push_head(Of::Reachable(edition)).await {
                Err(Delay::Sink(SinkError::Missing(missing))) => {
                    self.push_missing(edition, missing, &mut pushed).await?;
                }
                outcome => return outcome.map(drop),
            }
        }
    }

    /// Pushes objects of the edition which the sink says it lacks. One that it took before is a fault of the sink's.
    async fn push_missing(
        &self,
        edition: &Edition,
        missing: Vec<ObjectDigest>,
        pushed: &mut HashSet<ObjectDigest>,
    ) -> Result<(), Delay> {
        let known: HashMap<ObjectDigest, &Object> =
            digests(edition.objects()).zip(edition.objects()).collect();
        let wanted: Option<Vec<&Object>> = missing.iter().map(|digest| known.get(digest).copied()).collect();
        let wanted = wanted.ok_or_else(|| refused("it asks for an object that its head does not name"))?;
        if missing.iter().all(|digest| pushed.contains(digest)) {
            return Err(refused("it goes on lacking objects that it took"));
        }
        self.push_objects(wanted).await.map_err(Delay::Sink)?;
        pushed.extend(missing);
        Ok(())
    }

    /// What the sink goes on with, if it does not hold the edition's base yet.
    async fn awaits_base(&self, edition: &Arc<Edition>) -> Option<Arc<Edition>> {
        let standing = self.standing.lock().await;
        if standing.brought == Some(edition.line) {
            return None;
        }
        let held = edition.on_line(standing.edition.as_ref()?.line);
        (held.line != edition.line).then_some(held)
    }

    /// Pushes what the edition's base has and the one that the sink holds has not. Ends early when there is a newer base.
    async fn bring_base(
        &self,
        edition: &Arc<Edition>,
        held: &Edition,
        editions: &Editions,
    ) -> Result<(), Delay> {
        let there: HashSet<ObjectDigest> = digests(held.named.objects()).collect();
        let lacking = |object: &&Object| !there.contains(&object.reference.digest());
        if !self.sink.takes_only_named() {
            let lacking = edition.named.objects().filter(lacking).collect();
            self.push_objects(lacking).await.map_err(Delay::Sink)?;
            self.note_brought(edition.line).await;
            return Ok(());
        }
        // Deltas come and go meanwhile; the base is there once nothing of it is missing.
        let base: HashSet<ObjectDigest> = digests(edition.named.objects().filter(lacking)).collect();
        let mut pushed: HashSet<ObjectDigest> = HashSet::new();
        loop {
            let newest = editions.borrow().clone();
            let Some(newest) = newest.filter(|newest| newest.line == edition.line) else { return Ok(()) };
            match self.push_head(Of::Newest(&newest)).await {
                Ok(Pushed::Taken) => return Ok(()),
                Ok(Pushed::Idle) if self.awaits_base(&newest).await.is_none() => return Ok(()),
                Ok(Pushed::Idle) => {}
                Err(Delay::Sink(SinkError::Missing(missing))) => {
                    if !missing.iter().any(|digest| base.contains(digest)) {
                        self.note_brought(edition.line).await;
                        return Ok(());
                    }
                    self.push_missing(&newest, missing, &mut pushed).await?;
                }
                Err(delay) => return Err(delay),
            }
        }
    }

    async fn note_brought(&self, line: u64) {
        self.standing.lock().await.brought = Some(line);
        self.brought.notify_one();
    }

    /// Pushes each of these once: one that two bases share may be named twice.
    async fn push_objects(&self, objects: Vec<&Object>) -> Result<(), SinkError> {
        let mut begun = HashSet::new();
        let once = objects.into_iter().filter(|object| begun.insert(object.reference.digest()));
        let mut waiting = once.cloned().collect::<Vec<_>>().into_iter();
        let mut running = JoinSet::new();
        loop {
            while running.len() < UPLOADS_MAX
                && let Some(object) = waiting.next()
            {
                let sink = Arc::clone(&self.sink);
                running.spawn(async move { sink.put_object(&object).await });
            }
            match running.join_next().await {
                Some(Ok(outcome)) => outcome?,
                Some(Err(_)) => return Err(SinkError::Unavailable("an upload was cut off".to_owned())),
                None => return Ok(()),
            }
        }
    }

    /// Whether something is refused that the sink was not told.
    async fn has_news(&self) -> bool {
        let standing = self.standing.lock().await;
        let Some(edition) = &standing.edition else { return false };
        // If the look fails, the next beat reports it.
        self.heads.newest_refusal(edition).await.is_ok_and(|newest| newest > standing.told)
    }

    /// A head of what the sink holds.
    async fn beat(&self) -> Result<(), Delay> {
        let outcome = self.push_head(Of::Held).await;
        if let Err(Delay::Sink(SinkError::Missing(_))) = &outcome {
            let mut standing = self.standing.lock().await;
            (standing.edition, standing.brought) = (None, None);
            self.lost.notify_one();
        }
        outcome.map(drop)
    }

    /// Signs and pushes a head, unless the sink has come further meanwhile.
    async fn push_head(&self, of: Of<'_>) -> Result<Pushed, Delay> {
        let mut standing = self.standing.lock().await;
        let Some(edition) = standing.choose(of) else { return Ok(Pushed::Idle) };
        let keyring = self.heads.keyring();
        self.hand_over_roots(&mut standing, &keyring).await?;
        let head = self.heads.sign(&keyring, &edition, standing.as_of).await.map_err(Delay::Heads)?;
        let sent_at = self.clock.now();
        match self.sink.put_head(&head.bytes, &edition.named).await {
            Ok(told) => {
                self.compare_clocks(sent_at, told.now);
                self.taken(&mut standing, &edition, &head);
                self.note_edges(sent_at, told);
                Ok(Pushed::Taken)
            }
            Err(error) => {
                if let SinkError::Older { held: Some((generation, as_of)) } = error
                    && generation == edition.generation
                {
                    standing.as_of = standing.as_of.max(as_of);
                }
                Err(Delay::Sink(error))
            }
        }
    }

    /// Reports a clock that no delay of the exchange explains: heads then look older, or younger, than they are.
    fn compare_clocks(&self, sent_at: UnixMillis, its_clock: Option<UnixMillis>) {
        let Some(its_clock) = its_clock else { return };
        let off_ms = sent_at.since_ms(its_clock).max(its_clock.since_ms(self.clock.now()));
        self.board.sink(self.index, |status| {
            if off_ms > CLOCK_OFF_MS_MAX && status.clock_off_ms <= CLOCK_OFF_MS_MAX {
                tracing::warn!(sink = status.name, off_ms, "the sink's clock and ours differ");
            }
            status.clock_off_ms = off_ms;
        });
    }

    /// Notes where edges stood, by our clock: never later than it was.
    fn note_edges(&self, sent_at: UnixMillis, told: Told) {
        let now = told.now.unwrap_or_default();
        let ours = |report: EdgeReport| {
            let ago_ms = now.since_ms(report.at);
            EdgeReport { at: UnixMillis(sent_at.0.saturating_sub(ago_ms)), ..report }
        };
        let edges = told.edges.into_iter().filter(|report| report.at <= now).map(ours).collect();
        self.board.sink(self.index, |status| status.edges = edges);
    }

    fn taken(&self, standing: &mut Standing, edition: &Arc<Edition>, head: &SignedHead) {
        standing.edition = Some(Arc::clone(edition));
        self.stands.note(self.index, edition.line);
        let not_brought = standing.not_brought.clone();
        (standing.as_of, standing.told) = (head.as_of, head.inline);
        self.board.sink(self.index, |status| {
            status.mark(head.covers, edition.generation, self.clock.now());
            status.as_of = head.as_of;
            if status.last_error.is_some() && not_brought.is_none() {
                tracing::info!(sink = status.name, "the sink takes heads again");
            }
            status.last_error = not_brought;
        });
    }

    /// Notes that one of the tasks panicked.
    pub(super) fn broke_off(&self) {
        self.note("a task of ours broke off; it begins again".to_owned(), "deliveries broke off");
    }

    fn report(&self, delay: &Delay, what: &'static str) {
        self.note(delay.to_string(), what);
    }

    fn note(&self, error: String, what: &'static str) {
        self.board.sink(self.index, |status| {
            // Said once, not at every attempt.
            if status.last_error.as_ref() != Some(&error) {
                tracing::warn!(sink = status.name, %error, "{what}");
                status.last_error = Some(error);
            }
        });
    }
}

impl Standing {
    /// The edition that a head is to be of, unless the sink has come further.
    fn choose(&self, of: Of<'_>) -> Option<Arc<Edition>> {
        let held = self.edition.as_ref();
        let (edition, line) = match of {
            Of::Held => return held.cloned(),
            Of::Newest(edition) => (edition, None),
            Of::Reachable(edition) if self.brought == Some(edition.line) => (edition, None),
            Of::Reachable(edition) => (edition, held.map(|held| held.line)),
        };
        if held.is_some_and(|held| held.number > edition.number) {
            return None;
        }
        Some(line.map_or_else(|| Arc::clone(edition), |line| edition.on_line(line)))
    }
}

fn digests<'a>(objects: impl Iterator<Item = &'a Object>) -> impl Iterator<Item = ObjectDigest> {
    objects.map(|object| object.reference.digest())
}

fn refused(why: &str) -> Delay {
    Delay::Sink(SinkError::Refused(why.to_owned()))
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Heads(error) => error.fmt(f),
            Self::Sink(error) => error.fmt(f),
        }
    }
}

const UPLOADS_MAX: usize = 8;
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const CLOCK_OFF_MS_MAX: u64 = 500;
