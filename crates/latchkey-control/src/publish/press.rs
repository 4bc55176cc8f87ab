//! The task that makes editions: one after the other, each of all that was committed meanwhile.

use super::backoff::Backoff;
use super::edition::{Builder, Edition, EditionError, Fresh, Shop};
use super::heads::Heads;
use super::keyring::{Keyrings, replaced};
use super::picture::Withheld;
use super::publisher::Schedule;
use super::status::Board;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// Makes editions and announces them.
pub(super) struct Press {
    pub(super) shop: Arc<Shop>,
    pub(super) heads: Arc<Heads>,
    pub(super) keyring: Keyrings,
    pub(super) announce: watch::Sender<Option<Arc<Edition>>>,
    pub(super) board: Board,
    pub(super) schedule: Schedule,
}

impl Press {
    /// Makes editions for as long as there are changes.
    pub(super) async fn run(self: Arc<Self>, mut backoff: Backoff) {
        let (mut newest, mut keyring) = (self.shop.store.newest(), self.keyring.clone());
        let mut trimmed = Instant::now();
        let mut builder = self.builder();
        loop {
            newest.mark_unchanged();
            keyring.mark_unchanged();
            let outcome;
            (builder, outcome) = self.build(builder).await;
            match self.publish(outcome).await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    self.board.build_failed(error.to_string());
                    tokio::time::sleep(backoff.next()).await;
                    continue;
                }
            }
            if trimmed.elapsed() >= self.schedule.statement_every {
                self.trim().await;
                trimmed = Instant::now();
            }
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return },
                () = replaced(&mut keyring) => {}
                () = tokio::time::sleep(self.schedule.statement_every) => {}
            }
        }
    }

    /// Builds where it blocks nobody, and gives the builder back. One that broke off takes what it knew with it: the
    /// next begins with the whole state.
    async fn build(&self, mut builder: Builder) -> (Builder, Result<Fresh, EditionError>) {
        let work = move || {
            let outcome = builder.build();
            (builder, outcome)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(_) => (self.builder(), Err(EditionError::Panicked)),
        }
    }

    /// A builder that knows nothing yet; its editions count on.
    fn builder(&self) -> Builder {
        let built = self.announce.borrow().as_ref().map_or(0, |edition| edition.number);
        Builder::new(Arc::clone(&self.shop), built)
    }

    /// Notes that the task panicked.
    pub(super) fn broke_off(&self) {
        self.board.build_failed(EditionError::Panicked.to_string());
    }

    async fn publish(&self, outcome: Result<Fresh, EditionError>) -> Result<(), EditionError> {
        let Fresh { edition, looked_at, committed, published, withheld } = outcome?;
        self.heads.note(looked_at, committed).await;
        if let Some(withheld) = withheld {
            self.shop.store.put_publish_state(Withheld::NAME, withheld.to_bytes()?).await?;
        }
        self.heads.bookmark_statement(edition.generation).await?;
        self.board.stated(edition.generation, published);
        self.announce.send_replace(Some(Arc::new(edition)));
        Ok(())
    }

    /// Forgets the outbox up to the newest edition: heads have read it, and a restart starts from the whole state.
    async fn trim(&self) {
        let edition = self.announce.borrow().clone();
        let Some(edition) = edition else { return };
        let looked = self.heads.newest_refusal(&edition).await;
        if looked.is_ok()
            && let Err(error) = self.shop.store.trim_outbox(edition.generation).await
        {
            tracing::warn!(%error, "the outbox was not trimmed");
        }
    }
}
