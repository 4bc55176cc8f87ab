//! What goes on behind the answers: each head as it comes, and the objects that are wanted.

use crate::mind::Mind;
use latchkey_gate::HeadAccepted;
use latchkey_snapshot::ObjectDigest;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Serves from what was kept, as far as that goes.
pub(crate) async fn recall(mind: &Arc<Mind>) {
    let Some(state) = &mind.state else { return };
    let Some(head) = state.head().await else { return };
    match mind.take_head(&head).await {
        Ok(_) => tracing::info!("began with the last good copy"),
        Err(refusal) => tracing::warn!(?refusal, "the last good copy is of no use"),
    }
}

/// Hands in every head. Never ends.
pub(crate) async fn heads(mind: Arc<Mind>) {
    let (mut last, mut pause, mut is_told) = (None, PAUSE_MIN, false);
    let mut kept = Kept::default();
    loop {
        let began = Instant::now();
        let taken = match mind.source.next(last).await {
            Ok(Some(head)) => {
                let digest = ObjectDigest::of(&head);
                let is_new = last.replace(digest) != Some(digest);
                match mind.take_head(&head).await {
                    Ok(accepted) => {
                        kept.note(&mind, &head, accepted).await;
                        // Whoever sends the same again and again is not asked the faster for it.
                        if is_new { Ok(()) } else { Err("the source repeats itself".to_owned()) }
                    }
                    Err(refusal) => Err(format!("a head was refused: {refusal:?}")),
                }
            }
            // It was waited for, and there was none.
            Ok(None) if began.elapsed() >= PAUSE_MAX => Ok(()),
            Ok(None) => Err("the source has no head".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match taken {
            Ok(()) => {
                if std::mem::take(&mut is_told) {
                    tracing::info!("heads arrive again");
                }
                pause = PAUSE_MIN;
            }
            Err(why) => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!(%why, "no head arrives");
                }
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Fetches what is wanted behind the answers. Never ends.
pub(crate) async fn objects(mind: Arc<Mind>) {
    loop {
        let wanted = mind.wanted(AT_ONCE);
        if wanted.is_empty() {
            // Evictions and requests stir nothing; so it looks by itself now and then.
            let _ = timeout(LOOK_EVERY, mind.stirred.notified()).await;
            continue;
        }
        let flights: Vec<_> = wanted.iter().map(|wanted| mind.fetch(wanted)).collect();
        for mut flight in flights {
            let _ = flight.changed().await;
        }
        let again = mind.wanted(AT_ONCE);
        if again.iter().all(|one| wanted.iter().any(|before| before.reference() == one.reference())) {
            // None of it came: the source is asked again a little later.
            let _ = timeout(PAUSE_MAX, mind.stirred.notified()).await;
        }
    }
}

/// Sweeps the last good copy: at the start, and every hour. Never ends.
pub(crate) async fn sweeps(mind: Arc<Mind>) {
    let Some(state) = &mind.state else { return };
    loop {
        state.sweep().await;
        sleep(SWEEP_EVERY).await;
    }
}

/// What of the last good copy is on disk.
#[derive(Default)]
struct Kept {
    generation: Option<u64>,
    at: Option<Instant>,
}

impl Kept {
    /// Keeps a head that serves: when it says something new, and now and then as it grows older.
    async fn note(&mut self, mind: &Mind, head: &[u8], accepted: HeadAccepted) {
        let Some(state) = &mind.state else { return };
        if accepted != HeadAccepted::Confirmed {
            return;
        }
        let generation = mind.status().generation.map(|generation| generation.0);
        let is_due = self.at.is_none_or(|at| at.elapsed() >= KEEP_EVERY);
        if generation != self.generation || is_due {
            state.keep_head(head.to_vec()).await;
            (self.generation, self.at) = (generation, Some(Instant::now()));
        }
    }
}

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Objects fetched at the same time.
const AT_ONCE: usize = 8;
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How old the head on disk becomes: a cold start is stale by as much at once.
const KEEP_EVERY: Duration = Duration::from_secs(5);
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

#[cfg(test)]
pub(crate) mod tests;
