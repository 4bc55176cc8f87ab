//! The decision log: which decisions are drawn, and the way of their lines to a file or a pipe.
//!
//! No request waits for it: lines go into a queue that a thread of its own empties, and one that finds no room is counted as
//! lost. Draws come from a seed that callers do not know.

use crate::facts::Facts;
use latchkey_core::UnixMillis;
use latchkey_gate::bodies::Names;
use latchkey_gate::decision::{DRAWS, Line, Shares, request_id};
use latchkey_gate::{Gate, Headers as _, Verdict};
use std::fmt;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Where lines go, and which.
pub struct DecisionLog {
    shares: Shares,
    draws: AtomicU64,
    queue: Mutex<Option<SyncSender<String>>>,
    counts: Arc<Counts>,
    thread: Mutex<Option<oneshot::Receiver<()>>>,
}

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    lost: AtomicU64,
}

impl DecisionLog {
    /// A log of these shares that writes to `out`, on a thread of its own. `seed` is the operator's own.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(shares: Shares, seed: u64, out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE_LINES_MAX);
        let counts = Arc::<Counts>::default();
        let counted = Arc::clone(&counts);
        let (ends, ended) = oneshot::channel::<()>();
        let write = move || {
            write_all(&lines, out, &counted);
            drop(ends);
        };
        std::thread::Builder::new().name("decisions".to_owned()).spawn(write)?;
        let (draws, queue) = (AtomicU64::new(seed), Mutex::new(Some(queue)));
        Ok(Self { shares, draws, queue, counts, thread: Mutex::new(Some(ended)) })
    }

    /// Which decisions are written.
    pub(crate) const fn shares(&self) -> &Shares {
        &self.shares
    }

    /// A number below [`DRAWS`] that nobody but the holder of the seed can tell: SplitMix64.
    pub(crate) fn draw(&self) -> u32 {
        let mut bits = self.draws.fetch_add(GOLDEN, Relaxed).wrapping_add(GOLDEN);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // As good as uniform: 2^64 is beyond all comparison with a million.
        (bits % u64::from(DRAWS)) as u32
    }

    /// Hands a line over, if there is room for one.
    pub(crate) fn put(&self, line: String) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.as_ref().is_none_or(|queue| queue.try_send(line).is_err()) {
            self.counts.lost.fetch_add(1, Relaxed);
        }
    }

    fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Takes no more lines, and waits until those that were taken are written or lost. A place that takes nothing and
    /// refuses nothing may never end it: callers set a limit.
    pub(crate) async fn settled(&self) {
        self.close();
        let ended = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended {
            // Its other end is gone once the thread has ended.
            let _ = ended.await;
        }
    }

    /// Lines written, and lines lost for want of room or of a place that takes them.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.counts.written.load(Relaxed), self.counts.lost.load(Relaxed))
    }
}

/// A decision that was drawn before anything was known of it.
pub(crate) struct Note<'a> {
    log: &'a DecisionLog,
    draw: u32,
    begun: UnixMillis,
    is_again: bool,
}

impl<'a> Note<'a> {
    /// `None` if whatever is decided is not written.
    pub(crate) fn begin(log: Option<&'a DecisionLog>, begun: UnixMillis) -> Option<Self> {
        let log = log?;
        let draw = log.draw();
        log.shares().may_take(draw).then_some(Self { log, draw, begun, is_again: false })
    }

    /// The same, of a request that is judged again.
    pub(crate) fn again(self) -> Self {
        Self { is_again: true, ..self }
    }

    /// Writes what was decided, if this draw is of that kind.
    pub(crate) fn write(
        &self,
        gate: &Gate,
        facts: &Facts<'_>,
        verdict: &Verdict,
        names: Option<&Names>,
        now: UnixMillis,
    ) {
        if !self.log.shares().takes(&verdict.outcome, self.draw) {
            return;
        }
        let [ray, traceparent] = ["cf-ray", "traceparent"].map(|name| facts.one(name));
        let line = Line {
            at: now,
            took_ms: now.since_ms(self.begun),
            request: request_id(ray.as_deref(), traceparent.as_deref()),
            verdict,
            rule: gate.rule_of(verdict),
            project: names.map(|names| names.project),
            is_again: self.is_again,
        };
        self.log.put(line.text());
    }
}

/// Writes what comes, and has it out whenever nothing more waits, or much does.
fn write_all(lines: &Receiver<String>, out: impl Write, counts: &Counts) {
    let (mut place, mut is_told) = (Place { out, torn: Vec::new() }, false);
    while let Ok(first) = lines.recv() {
        let batch = std::iter::once(first).chain(lines.try_iter()).take(BATCH_LINES_MAX);
        let outcome = place.write(batch, counts);
        if let Err(error) = outcome
            && !std::mem::replace(&mut is_told, true)
        {
            tracing::error!(%error, "the decision log cannot be written: its lines are lost, and counted");
        }
    }
    if !place.torn.is_empty() {
        counts.lost.fetch_add(1, Relaxed);
    }
}

/// Where lines go, each of them whole: of one that broke off, the rest comes before anything else.
struct Place<W> {
    out: W,
    torn: Vec<u8>,
}

impl<W: Write> Place<W> {
    /// Writes lines, and counts those that are written and those that are lost; the one that breaks off is neither yet.
    fn write(&mut self, lines: impl Iterator<Item = String>, counts: &Counts) -> std::io::Result<()> {
        let mut text = std::mem::take(&mut self.torn);
        let was_torn = !text.is_empty();
        for line in lines {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        let (taken, outcome) = put(&mut self.out, &text);
        let (out, rest) = text.split_at(taken);
        let is_torn = out.last().map_or(was_torn, |last| *last != b'\n');
        if is_torn {
            self.torn.extend(rest.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default());
        }
        let outcome = outcome.and_then(|()| self.out.flush());
        // What was taken and not let out may never come.
        let is_kept = outcome.is_err() && rest.is_empty();
        let written = if is_kept { 0 } else { ends(out) };
        counts.written.fetch_add(written, Relaxed);
        counts.lost.fetch_add(ends(&text) - written - u64::from(is_torn), Relaxed);
        outcome
    }
}

/// Writes as much as is taken: how many bytes, and what became of the rest.
fn put(out: &mut impl Write, text: &[u8]) -> (usize, std::io::Result<()>) {
    let mut taken = 0;
    while let Some(rest) = text.get(taken..).filter(|rest| !rest.is_empty()) {
        match out.write(rest) {
            Ok(0) => return (taken, Err(ErrorKind::WriteZero.into())),
            Ok(bytes) => taken = (taken + bytes).min(text.len()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (taken, Err(error)),
        }
    }
    (taken, Ok(()))
}

/// How many lines end in this text.
fn ends(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

impl fmt::Debug for DecisionLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecisionLog({:?})", self.shares)
    }
}

/// Lines that may wait.
const QUEUE_LINES_MAX: usize = 4096;
/// Lines that are written at once.
const BATCH_LINES_MAX: usize = 256;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Takes nothing until it may, and then hands on what it gets.
    struct Valve {
        opens: mpsc::Receiver<()>,
        out: mpsc::Sender<String>,
    }

    impl Write for Valve {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            // Once the other end is gone it stays open.
            let _ = self.opens.recv();
            self.out.send(String::from_utf8_lossy(bytes).into_owned()).map_err(std::io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn log() -> (DecisionLog, mpsc::Sender<()>, mpsc::Receiver<String>) {
        let ((open, opens), (out, written)) = (mpsc::channel(), mpsc::channel());
        let shares = Shares { allowed: DRAWS, refused: DRAWS, shadow: DRAWS };
        (DecisionLog::start(shares, 7, Valve { opens, out }).unwrap(), open, written)
    }

    #[test]
    fn queue_that_is_full_loses_lines_counts_them_and_makes_nobody_wait() {
        let (log, open, written) = log();
        let (put, most) = (QUEUE_LINES_MAX * 2, QUEUE_LINES_MAX + BATCH_LINES_MAX);
        (0..put).for_each(|number| log.put(format!("{{\"n\":{number}}}")));
        let lost = log.counts().1 as usize;
        assert!((put - most..put).contains(&lost), "{lost}");
        drop(open);
        log.close();
        let lines: Vec<String> =
            written.iter().flat_map(|part| part.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        assert_eq!((lines.len(), lines[0].as_str()), (put - lost, "{\"n\":0}"));
        log.put("late".to_owned());
        assert_eq!(log.counts().1 as usize, lost + 1);
    }

    #[tokio::test]
    async fn place_that_takes_nothing_loses_lines_and_counts_them() {
        let (log, open, written) = log();
        drop((open, written));
        log.put("one".to_owned());
        log.settled().await;
        assert_eq!(log.counts(), (0, 1));
    }

    #[test]
    fn draws_follow_from_the_seed_alone_and_fall_everywhere() {
        let (one, other) = (log().0, log().0);
        let draws: Vec<u32> = (0..10_000).map(|_| one.draw()).collect();
        assert!(draws.iter().all(|draw| *draw < DRAWS && *draw == other.draw()));
        let low = draws.iter().filter(|draw| **draw < DRAWS / 10).count();
        assert!((800..1200).contains(&low), "{low}");
    }
    /// Has room for so many bytes at a time, and then for nothing until there is room again.
    struct Disk {
        room: mpsc::Receiver<usize>,
        left: usize,
        out: mpsc::Sender<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let taken = bytes.len().min(self.left);
            self.left -= taken;
            if taken == 0 {
                self.left = self.room.try_recv().unwrap_or(usize::MAX);
                return Err(ErrorKind::StorageFull.into());
            }
            bytes[..taken].iter().try_for_each(|byte| self.out.send(*byte)).map_err(std::io::Error::other)?;
            Ok(taken)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is on a disk with room for so many bytes at a time once each batch was written, and what was counted.
    #[track_caller]
    fn check(rooms: &[usize], batches: &[&[&str]], expected: &str, expected_counts: (u64, u64)) {
        let ((more, room), (out, disk)) = (mpsc::channel(), mpsc::channel());
        rooms[1..].iter().for_each(|bytes| more.send(*bytes).unwrap());
        let mut place = Place { out: Disk { room, left: rooms[0], out }, torn: Vec::new() };
        let counts = Counts::default();
        for batch in batches {
            let _ = place.write(batch.iter().map(|line| (*line).to_owned()), &counts);
        }
        let text = String::from_utf8(disk.try_iter().collect()).unwrap();
        assert_eq!(text, expected, "{rooms:?}");
        let counted = (counts.written.load(Relaxed), counts.lost.load(Relaxed));
        assert_eq!(counted, expected_counts, "{rooms:?}");
    }

    #[test]
    fn line_that_broke_off_is_finished_before_the_next_and_joined_to_none() {
        let batches: &[&[&str]] = &[&["one", "two", "three"], &["four"]];
        let whole = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        check(&[usize::MAX], batches, &whole(&["one", "two", "three", "four"]), (4, 0));
        check(&[0], batches, &whole(&["four"]), (1, 3));
        check(&[3], batches, &whole(&["one", "four"]), (2, 2));
        check(&[4], batches, &whole(&["one", "four"]), (2, 2));
        check(&[5], batches, &whole(&["one", "two", "four"]), (3, 1));
        check(&[13], batches, &whole(&["one", "two", "three", "four"]), (4, 0));
        // One that breaks off again and again.
        check(&[1, 1], &[&["one"], &["two"], &["three"]], &whole(&["one", "three"]), (2, 1));
        check(&[1, 3, 2], &[&["one"], &["two"], &["three"]], "one\nth", (1, 1));
        check(&[1, 0, 0], &[&["one"], &["two"], &["three"]], "o", (0, 2));
    }
}
