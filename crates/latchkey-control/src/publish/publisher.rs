//! The publisher: its settings, its start, and the task that makes editions.

use super::backoff::Backoff;
use super::courier::{Desk, Editions, Standing};
use super::edition::{Builder, Edition, EditionError, Fresh};
use super::heads::{Heads, read_bookmark};
use super::sink::Sink;
use super::status::{Board, PublishStatus};
use crate::outside::{Clock, NoSeed, Seeds};
use crate::store::{Store, StoreError, View};
use latchkey_core::{Dice, Generation, Pepper, Prefix};
use latchkey_snapshot::build::Signer;
use latchkey_snapshot::manifest::TokenKey;
use latchkey_snapshot::{Installation, Rule};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What is published besides the state, and with which keys.
pub struct Settings {
    /// The installation.
    pub installation: Installation,
    /// How its keys begin.
    pub prefix: Prefix,
    /// What every tag is under.
    pub pepper: Pepper,
    /// Every root, version 1 first. The last one is in force.
    pub roots: Vec<Vec<u8>>,
    /// Keys that sign statements.
    pub release: Vec<Signer>,
    /// Keys that sign heads.
    pub head: Vec<Signer>,
    /// Public keys of session tokens.
    pub session_keys: Vec<TokenKey>,
    /// Public keys of assertions to origins.
    pub edge_keys: Vec<TokenKey>,
    /// What routes need.
    pub rules: Vec<Rule>,
    /// How long past `as_of` a stale edge may still answer.
    pub grace_secs: u32,
    /// When things are signed again.
    pub schedule: Schedule,
}

/// When things are signed again.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// A head at least this often. A fresh-only answer needs one that is under a second old when it arrives.
    pub head_every: Duration,
    /// A statement at least this often.
    pub statement_every: Duration,
    /// How long a statement is good for.
    pub use_by_secs: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            head_every: Duration::from_millis(500),
            statement_every: Duration::from_secs(600),
            use_by_secs: 3600,
        }
    }
}

/// The running publisher. Dropping it stops it; nothing is lost, the next run catches up.
#[derive(Debug)]
pub struct Publisher {
    board: Board,
    tasks: JoinSet<()>,
}

/// Why publishing does not start.
#[derive(Debug)]
pub enum PublishError {
    /// The state cannot be read.
    Store(StoreError),
    /// The random source failed.
    Seed(NoSeed),
    /// The state is older than what was published: a copy was put in its place without `restore`.
    StateIsOlder {
        /// What the file holds.
        committed: Generation,
        /// What was published.
        published: Generation,
    },
    /// The keys belong to an older root than the one that was published under.
    RootIsOlder {
        /// The newest root here.
        held: u32,
        /// The one that was published under.
        published: u32,
    },
}

impl Publisher {
    /// Starts publishing to these sinks. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn start(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        seeds: &dyn Seeds,
        settings: Settings,
        sinks: Vec<Arc<dyn Sink>>,
    ) -> Result<Self, PublishError> {
        let board = Board::new(sinks.iter().map(|sink| sink.name().to_owned()));
        let heads = Arc::new(heads(&store, &clock, &settings, &board)?);
        let roots: Arc<[Vec<u8>]> = settings.roots.clone().into();
        let schedule = settings.schedule;
        let (announce, editions) = watch::channel(None);
        let mut tasks = JoinSet::new();
        for (index, sink) in sinks.into_iter().enumerate() {
            let desk = Arc::new(Desk {
                sink,
                index,
                heads: Arc::clone(&heads),
                clock: Arc::clone(&clock),
                roots: Arc::clone(&roots),
                board: board.clone(),
                standing: Mutex::new(Standing::default()),
                lost: Notify::new(),
                swept: Mutex::new(None),
            });
            let newest = store.newest();
            spawn_desk(&mut tasks, desk, (editions.clone(), newest), schedule.head_every, seeds)?;
        }
        let builder = Builder::new(Arc::clone(&store), clock, Arc::new(settings));
        let press = Press { store, heads, announce, board: board.clone(), schedule };
        let backoff = Backoff::new(dice(seeds)?);
        tasks.spawn(press.run(builder, backoff));
        Ok(Self { board, tasks })
    }

    /// How far publishing has come.
    pub fn status(&self) -> PublishStatus {
        self.board.read().borrow().clone()
    }

    /// How far publishing has come, as it changes.
    pub fn watch(&self) -> watch::Receiver<PublishStatus> {
        self.board.read()
    }

    /// Returns when every sink holds the change of this generation. It may never: callers set a limit.
    pub async fn wait(&self, generation: Generation) {
        let mut status = self.board.read();
        // An error would mean that the board is gone, and it is ours.
        let _ = status.wait_for(|status| !status.sinks.is_empty() && status.published() >= generation).await;
    }

    /// Ends all tasks.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

fn heads(
    store: &Arc<Store>,
    clock: &Arc<dyn Clock>,
    settings: &Settings,
    board: &Board,
) -> Result<Heads, PublishError> {
    let bookmark = read_bookmark(store)?;
    let committed = store.read()?.generation()?;
    if committed < bookmark.generation {
        return Err(PublishError::StateIsOlder { committed, published: bookmark.generation });
    }
    let held = u32::try_from(settings.roots.len()).unwrap_or(u32::MAX);
    if held < bookmark.root_version {
        return Err(PublishError::RootIsOlder { held, published: bookmark.root_version });
    }
    let keys = (settings.pepper.clone(), held, settings.head.clone());
    Ok(Heads::new((Arc::clone(store), Arc::clone(clock)), keys, (bookmark, committed), board.clone()))
}

fn spawn_desk(
    tasks: &mut JoinSet<()>,
    desk: Arc<Desk>,
    (editions, newest): (Editions, watch::Receiver<Generation>),
    every: Duration,
    seeds: &dyn Seeds,
) -> Result<(), PublishError> {
    let (one, other) = (Backoff::new(dice(seeds)?), Backoff::new(dice(seeds)?));
    let uploads = Arc::clone(&desk);
    tasks.spawn(async move { uploads.upload_editions(editions, one).await });
    tasks.spawn(async move { desk.push_heads(newest, every, other).await });
    Ok(())
}

fn dice(seeds: &dyn Seeds) -> Result<Dice, PublishError> {
    Ok(Dice::from_seed(&seeds.seed().map_err(PublishError::Seed)?))
}

/// Makes editions: one after the other, each of all that was committed meanwhile.
struct Press {
    store: Arc<Store>,
    heads: Arc<Heads>,
    announce: watch::Sender<Option<Arc<Edition>>>,
    board: Board,
    schedule: Schedule,
}

impl Press {
    async fn run(self, mut builder: Builder, mut backoff: Backoff) {
        let mut newest = self.store.newest();
        let mut trimmed = Instant::now();
        loop {
            newest.mark_unchanged();
            let (returned, outcome) = match build(builder).await {
                Some(built) => built,
                None => return self.board.build_failed("the build broke off".to_owned()),
            };
            builder = returned;
            match self.publish(outcome).await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    tracing::error!(%error, "no new edition");
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
                () = tokio::time::sleep(self.schedule.statement_every) => {}
            }
        }
    }

    async fn publish(&self, outcome: Result<Fresh, EditionError>) -> Result<(), EditionError> {
        let Fresh { edition, looked_at } = outcome?;
        self.heads.note(looked_at, edition.generation).await;
        self.heads.bookmark_statement(edition.generation).await?;
        self.board.stated(edition.generation);
        self.announce.send_replace(Some(Arc::new(edition)));
        Ok(())
    }

    /// Forgets the outbox up to the newest edition: heads have read it, and a restart starts from the whole state.
    async fn trim(&self) {
        let edition = self.announce.borrow().clone();
        let Some(edition) = edition else { return };
        let looked = self.heads.newest_refusal(&edition).await;
        if looked.is_ok()
            && let Err(error) = self.store.trim_outbox(edition.generation).await
        {
            tracing::warn!(%error, "the outbox was not trimmed");
        }
    }
}

/// Builds where it blocks nobody, and gives the builder back.
async fn build(mut builder: Builder) -> Option<(Builder, Result<Fresh, EditionError>)> {
    let work = move || {
        let outcome = builder.build();
        (builder, outcome)
    };
    tokio::task::spawn_blocking(work).await.ok()
}

impl From<StoreError> for PublishError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Seed(error) => error.fmt(f),
            Self::StateIsOlder { committed, published } => write!(
                f,
                "the database stands at generation {committed}, but {published} was published from it"
            ),
            Self::RootIsOlder { held, published } => {
                write!(f, "the newest root here is {held}, but heads were published under {published}")
            }
        }
    }
}

impl std::error::Error for PublishError {}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({} rules, {} roots)", self.rules.len(), self.roots.len())
    }
}
