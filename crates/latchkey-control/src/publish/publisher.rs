//! The publisher: its settings and its start.

use super::backoff::Backoff;
use super::chain::ChainLimits;
use super::courier::{Desk, Editions, Standing};
use super::edition::Shop;
use super::heads::{Gap, Heads, read_bookmark};
use super::keyring::{Keyrings, replaced};
use super::lines::Stands;
use super::press::Press;
use super::rulebook::Rulebook;
use super::sink::Sink;
use super::status::{Board, PublishStatus};
use crate::outside::{Clock, NoSeed, Seeds};
use crate::store::{Store, StoreError, View};
use latchkey_core::{Dice, Generation, KeyId, Prefix};
use latchkey_snapshot::Installation;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinSet;

/// What is published besides the state, and with which keys.
pub struct Settings {
    /// The installation.
    pub installation: Installation,
    /// How its keys begin.
    pub prefix: Prefix,
    /// Roots, signing keys and pepper; they may be replaced while it runs.
    pub keyring: Keyrings,
    /// What the sets of route rules say that the state names.
    pub rules: Rulebook,
    /// Keys whose look-ups every base says, so that edges notice one that is wrong; at most
    /// [`CANARY_KEYS_MAX`](super::CANARY_KEYS_MAX).
    pub canaries: Vec<KeyId>,
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
    /// How far deltas go before there is a new base.
    pub chain: ChainLimits,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            head_every: Duration::from_millis(500),
            statement_every: Duration::from_secs(600),
            use_by_secs: 3600,
            chain: ChainLimits::default(),
        }
    }
}

const MIND_KEYS_EVERY: Duration = Duration::from_secs(86_400);

/// The running publisher. Dropping it stops it; nothing is lost, the next run catches up.
#[derive(Debug)]
pub struct Publisher {
    board: Board,
    tasks: JoinSet<()>,
    stopping: watch::Sender<bool>,
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
        let schedule = settings.schedule;
        let (announce, editions) = watch::channel(None);
        let stands = Stands::default();
        let (mut tasks, stopping) = (JoinSet::new(), watch::Sender::new(false));
        for (index, sink) in sinks.into_iter().enumerate() {
            let desk = Arc::new(Desk {
                sink,
                index,
                heads: Arc::clone(&heads),
                clock: Arc::clone(&clock),
                board: board.clone(),
                standing: Mutex::new(Standing::default()),
                lost: Notify::new(),
                brought: Notify::new(),
                stands: stands.clone(),
                swept: Mutex::new(None),
            });
            let newest = store.newest();
            let ends = Ends { stopping: stopping.subscribe(), seeds };
            spawn_desk(&mut tasks, desk, (editions.clone(), newest), schedule.head_every, &ends)?;
        }
        let minded = settings.keyring.clone();
        let shop = Arc::new(Shop::new((store, Arc::clone(&clock)), Arc::new(settings), stands));
        let keyring = heads.keyrings();
        let press = Arc::new(Press { shop, heads, keyring, announce, board: board.clone(), schedule });
        let broke_off = Arc::clone(&press);
        let print = move |backoff| Arc::clone(&press).run(backoff);
        let ends = Ends { stopping: stopping.subscribe(), seeds };
        tasks.spawn(kept_going(ends.take()?, print, move || broke_off.broke_off()));
        let kept = board.clone();
        let mind = move |_| mind_keys(minded.clone(), Arc::clone(&clock), kept.clone());
        tasks.spawn(kept_going(ends.take()?, mind, || tracing::error!("minding the keys broke off")));
        Ok(Self { board, tasks, stopping })
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

    /// Where to note why keys that should have replaced those in force were refused, or that none are.
    pub fn refused_keys(&self) -> impl Fn(Option<String>) + Send + use<> {
        let board = self.board.clone();
        move |why| board.refused_keys(why)
    }

    /// Ends all tasks. Nothing is signed or pushed once it returns.
    pub async fn stop(mut self) {
        self.stopping.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

fn heads(
    store: &Arc<Store>,
    clock: &Arc<dyn Clock>,
    settings: &Settings,
    board: &Board,
) -> Result<Heads, PublishError> {
    let bookmark = read_bookmark(store)?;
    let view = store.read()?;
    let (committed, gaps) = (view.generation()?, Gap::read(&view)?);
    if committed < bookmark.generation {
        return Err(PublishError::StateIsOlder { committed, published: bookmark.generation });
    }
    let held = settings.keyring.borrow().root().version();
    if held < bookmark.root_version {
        return Err(PublishError::RootIsOlder { held, published: bookmark.root_version });
    }
    let keyring = settings.keyring.clone();
    Ok(Heads::new(
        (Arc::clone(store), Arc::clone(clock)),
        keyring,
        (bookmark, gaps, committed),
        board.clone(),
    ))
}

fn spawn_desk(
    tasks: &mut JoinSet<()>,
    desk: Arc<Desk>,
    (editions, newest): (Editions, watch::Receiver<Generation>),
    every: Duration,
    ends: &Ends<'_>,
) -> Result<(), PublishError> {
    let (uploads, uploaded) = (Arc::clone(&desk), editions.clone());
    let upload = move |backoff| {
        let (desk, editions) = (Arc::clone(&uploads), uploaded.clone());
        async move { desk.upload_editions(editions, backoff).await }
    };
    let broke_off = Arc::clone(&desk);
    tasks.spawn(kept_going(ends.take()?, upload, move || broke_off.broke_off()));
    let (broke_off, bringer, bases) = (Arc::clone(&desk), Arc::clone(&desk), editions.clone());
    let bring = move |backoff| {
        let (desk, editions) = (Arc::clone(&bringer), bases.clone());
        async move { desk.bring_bases(editions, backoff).await }
    };
    tasks.spawn(kept_going(ends.take()?, bring, move || broke_off.broke_off()));
    let broke_off = Arc::clone(&desk);
    let push = move |backoff| {
        let (desk, newest) = (Arc::clone(&desk), newest.clone());
        async move { desk.push_heads(newest, every, backoff).await }
    };
    tasks.spawn(kept_going(ends.take()?, push, move || broke_off.broke_off()));
    Ok(())
}

/// What each task begins with, and what ends it.
struct Ends<'a> {
    stopping: watch::Receiver<bool>,
    seeds: &'a dyn Seeds,
}

impl Ends<'_> {
    fn take(&self) -> Result<([u8; 32], watch::Receiver<bool>), PublishError> {
        Ok((self.seeds.seed().map_err(PublishError::Seed)?, self.stopping.clone()))
    }
}

/// Runs a task until it ends, or is to stop. One that panics is told of and begun again, so that a fault of ours never
/// ends publishing in silence.
async fn kept_going<F: Future<Output = ()> + Send + 'static>(
    (seed, mut stopping): ([u8; 32], watch::Receiver<bool>),
    begin: impl Fn(Backoff) -> F,
    broke_off: impl Fn(),
) {
    let backoff = || Backoff::new(Dice::from_seed(&seed));
    let mut pauses = backoff();
    loop {
        let mut task = JoinSet::new();
        task.spawn(begin(backoff()));
        tokio::select! {
            ended = task.join_next() => match ended {
                Some(Err(error)) if error.is_panic() => broke_off(),
                _ => return,
            },
            // The task is gone, and does nothing more, once it was shut down.
            () = stopped(&mut stopping) => return task.shutdown().await,
        }
        tokio::select! {
            () = tokio::time::sleep(pauses.next()) => {}
            () = stopped(&mut stopping) => return,
        }
    }
}

/// Returns when all is to stop, or when nobody is left who could say so.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Warns of keys that end soon: at the start, when keys are replaced, and every day.
async fn mind_keys(mut keyring: Keyrings, clock: Arc<dyn Clock>, board: Board) {
    loop {
        let held = keyring.borrow_and_update().clone();
        let ending = held.ending(clock.now().seconds());
        for key in &ending {
            tracing::warn!(%key, "a key ends soon: `latchkey signer rotate` makes the next one");
        }
        board.keys(held.root().version(), ending);
        tokio::select! {
            () = replaced(&mut keyring) => {}
            () = tokio::time::sleep(MIND_KEYS_EVERY) => {}
        }
    }
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
        write!(f, "Settings({:?})", self.keyring.borrow())
    }
}
