//! The state, on redb: the only place that names it (invariant 8).
//!
//! [`Store::read`] gives a [`ReadView`] of the committed state, [`Store::write`] runs a use case in the writer.
//! Use cases see a [`View`] and return a [`Write`]; neither knows a table. For the publisher there are the
//! [outbox](ReadView::outbox_after), a [watch](Store::newest) of the newest generation, and room for its bookmarks.

mod audit;
pub mod backup;
mod change;
mod disk;
mod error;
mod held;
mod images;
mod outbox;
mod replays;
mod rows;
mod tables;
mod view;
mod writer;

pub use audit::{
    AuditContent, AuditEntry, AuditFilter, AuditFound, AuditLeaf, AuditView, FOUND_BYTES_MAX, SALT_LEN,
};
pub use change::{Change, Committed, Keepsake, Write};
pub use disk::Disk;
pub use error::StoreError;
pub use outbox::{Effect, Outbound, Touch, Touched};
pub use replays::{REPLAY_KEPT, Replay};
pub use tables::ReadView;
pub use view::{Answer, KeyPlace, UsageRow, View};
pub use writer::{BATCH_WRITES_MAX, Ctx};

use crate::iam::{Collaboration, Key, Membership, Organization, Project, Resource, Session};
use crate::outside::{Clock, Seeds};
use latchkey_core::{Dice, Generation, UnixMillis};
use redb::{Builder, Database, ReadableDatabase};
use rows::{Row, decode};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use tables::{WriteTables, meta};
use tokio::sync::{mpsc, oneshot, watch};
use writer::{Chore, Job, UseCase, Writer};

/// The format that this program reads and writes.
pub const FORMAT_VERSION: u32 = 4;
/// The oldest format that is brought up to this one: 3 has a table more, 4 two.
const FORMAT_VERSION_MIN: u32 = 2;
/// Writes that may wait for the writer before callers have to.
pub const QUEUE_WRITES_MAX: usize = 4096;
/// Memory for pages of the database.
const CACHE_BYTES: usize = 256 << 20;

/// The open database and its writer. Closing is dropping: what was acknowledged is durable, always.
#[derive(Debug)]
pub struct Store {
    database: Arc<Database>,
    seeds: Arc<dyn Seeds>,
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    newest: watch::Receiver<Generation>,
    writer: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for dyn Seeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seeds")
    }
}

impl Store {
    /// Opens the database in a file, and makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::NotOurs`], [`StoreError::FormatVersion`], or the disk's own.
    pub fn open(path: &Path, clock: Arc<dyn Clock>, seeds: Arc<dyn Seeds>) -> Result<Self, StoreError> {
        disk::touch(path).map_err(redb::DatabaseError::from)?;
        Self::start(builder().create(path)?, clock, seeds)
    }

    /// Opens the database on a disk of the caller's.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(
        disk: impl Disk,
        clock: Arc<dyn Clock>,
        seeds: Arc<dyn Seeds>,
    ) -> Result<Self, StoreError> {
        Self::start(builder().create_with_backend(disk::Backend(disk))?, clock, seeds)
    }

    /// Makes a database in memory, for tests.
    ///
    /// # Errors
    /// None that a caller could act on.
    pub fn in_memory(clock: Arc<dyn Clock>, seeds: Arc<dyn Seeds>) -> Result<Self, StoreError> {
        Self::start(builder().create_with_backend(redb::backends::InMemoryBackend::new())?, clock, seeds)
    }

    /// The state of a database that nobody has open, without changing a byte of the file.
    ///
    /// # Errors
    /// As [`Store::open`]; also of the engine's if the last process that had it open was killed, and a start of
    /// the server has to repair it first.
    pub fn open_read_only(path: &Path) -> Result<ReadView, StoreError> {
        let reading = builder().open_read_only(path)?.begin_read()?;
        check_format(&reading)?;
        ReadView::open(&reading)
    }

    fn start(database: Database, clock: Arc<dyn Clock>, seeds: Arc<dyn Seeds>) -> Result<Self, StoreError> {
        settle_format(&database)?;
        let database = Arc::new(database);
        let generation = read_view(&database)?.generation()?;
        let (queue, waiting) = mpsc::channel(QUEUE_WRITES_MAX);
        let (announce, newest) = watch::channel(generation);
        let writer = Writer { database: database.clone(), clock, queue: waiting, newest: announce };
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        let writer = thread.spawn(move || writer.run()).map_err(redb::DatabaseError::from)?;
        Ok(Self { database, seeds, queue: Some(queue), newest, writer: Some(writer) })
    }

    /// The committed state as of now.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read(&self) -> Result<ReadView, StoreError> {
        read_view(&self.database)
    }

    /// Runs a use case in the writer; the answer comes once its change is durable. The use case may be run
    /// more than once, with the same dice, and only the last run counts.
    ///
    /// # Errors
    /// The use case's own refusal, or the store's failure as one.
    pub async fn write<R, E, F>(&self, decide: F) -> Result<Committed<R>, E>
    where
        F: Fn(&dyn View, &mut Ctx) -> Result<Write<R>, E> + Send + 'static,
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let seed = self.seeds.seed().map_err(StoreError::from)?;
        let (reply, answer) = oneshot::channel();
        self.enqueue(Box::new(UseCase::new(decide, seed, reply))).await?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs a use case on the committed state and lets nothing come of it but its reply.
    ///
    /// # Errors
    /// The use case's own refusal, or the store's failure as one.
    pub fn rehearse<R, E: From<StoreError>>(
        &self,
        now: UnixMillis,
        decide: impl FnOnce(&dyn View, &mut Ctx) -> Result<Write<R>, E>,
    ) -> Result<R, E> {
        let seed = self.seeds.seed().map_err(StoreError::from)?;
        let mut ctx = Ctx { now, dice: Dice::from_seed(&seed) };
        Ok(decide(&self.read()?, &mut ctx)?.reply)
    }

    /// The newest committed generation, as it rises.
    pub fn newest(&self) -> watch::Receiver<Generation> {
        self.newest.clone()
    }

    /// Forgets what the outbox says of generations up to and including this one.
    ///
    /// # Errors
    /// The store's.
    pub async fn trim_outbox(&self, up_to: Generation) -> Result<(), StoreError> {
        self.chore(move |tables| Ok(tables.outbox.retain_in(..=up_to.0, |_, _| false)?)).await
    }

    /// Keeps the publisher's bytes under a name. Opaque here; no IAM state.
    ///
    /// # Errors
    /// The store's.
    pub async fn put_publish_state(&self, name: &'static str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.chore(move |tables| {
            tables.publish_state.insert(name, bytes.as_slice())?;
            Ok(())
        })
        .await
    }

    async fn chore(
        &self,
        act: impl FnMut(&mut WriteTables) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Box::new(Chore { act, reply })).await?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn enqueue(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(job).await.map_err(|_| StoreError::Closed)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // The writer ends once its queue is closed; the file's lock is free when it has.
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// What only whole-state readers need: the publisher.
impl ReadView {
    /// Every organization, by number.
    ///
    /// # Errors
    /// Those of the disk, as for all methods here.
    pub fn all_organizations(&self) -> Answer<impl Iterator<Item = Answer<Organization>> + use<>> {
        Ok(decoded(self.organizations.range::<u32>(..)?))
    }

    /// Every project, by number.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn all_projects(&self) -> Answer<impl Iterator<Item = Answer<Project>> + use<>> {
        Ok(decoded(self.projects.range::<u32>(..)?))
    }

    /// Every key, revoked ones included, by id, so those of one organization follow each other.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn all_keys(&self) -> Answer<impl Iterator<Item = Answer<Key>> + use<>> {
        Ok(decoded(self.keys.range::<u64>(..)?))
    }

    /// Every resource, deleted ones included, by type and id.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn all_resources(&self) -> Answer<impl Iterator<Item = Answer<Resource>> + use<>> {
        Ok(decoded(self.resources.range::<(u8, &str)>(..)?))
    }

    /// Every membership, by organization.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn all_memberships(&self) -> Answer<impl Iterator<Item = Answer<Membership>> + use<>> {
        Ok(decoded(self.memberships.range::<(u32, &[u8; 16])>(..)?))
    }

    /// Every collaboration, by project.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn all_collaborations(&self) -> Answer<impl Iterator<Item = Answer<Collaboration>> + use<>> {
        Ok(decoded(self.collaborations.range::<(u32, &[u8; 16])>(..)?))
    }

    /// Every session, ended ones included.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn all_sessions(&self) -> Answer<impl Iterator<Item = Answer<Session>> + use<>> {
        Ok(decoded(self.sessions.range::<&[u8; 32]>(..)?))
    }

    /// What the outbox says of the generations above this one, in their order.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn outbox_after(
        &self,
        generation: Generation,
    ) -> Answer<impl Iterator<Item = Answer<Outbound>> + use<>> {
        let entries = self.outbox.range(generation.0.saturating_add(1)..)?;
        Ok(entries.map(|entry| {
            let (generation, row) = entry?;
            Ok(Outbound { generation: Generation(generation.value()), touches: decode(row.value())? })
        }))
    }

    /// How many replies are kept for a replay.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn replays_kept(&self) -> Answer<u64> {
        Ok(redb::ReadableTableMetadata::len(&self.replays)?)
    }

    /// The publisher's bytes under a name.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn publish_state(&self, name: &str) -> Answer<Option<Vec<u8>>> {
        Ok(self.publish_state.get(name)?.map(|bytes| bytes.value().to_vec()))
    }
}

impl std::fmt::Debug for ReadView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadView(..)")
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn read_view(database: &Database) -> Result<ReadView, StoreError> {
    ReadView::open(&database.begin_read()?)
}

/// Writes the format's version into a new database, checks that of an old one before anything is touched, and brings
/// one up that only lacks tables.
fn settle_format(database: &Database) -> Result<(), StoreError> {
    let reading = database.begin_read()?;
    let is_new = reading.list_tables()?.next().is_none();
    match if is_new { Ok(()) } else { check_format(&reading) } {
        Ok(()) if !is_new => return Ok(()),
        Ok(()) | Err(StoreError::FormatVersion { found: FORMAT_VERSION_MIN..FORMAT_VERSION, .. }) => {}
        Err(error) => return Err(error),
    }
    let transaction = database.begin_write()?;
    let mut tables = WriteTables::open(&transaction)?;
    tables.meta.insert(meta::FORMAT, FORMAT_VERSION.to_le_bytes().as_slice())?;
    drop(tables);
    Ok(transaction.commit()?)
}

fn check_format(reading: &redb::ReadTransaction) -> Result<(), StoreError> {
    let meta_table = redb::TableDefinition::<&'static str, &'static [u8]>::new("meta");
    let Ok(table) = reading.open_table(meta_table) else { return Err(StoreError::NotOurs) };
    let version = table.get(meta::FORMAT)?.and_then(|bytes| bytes.value().try_into().ok());
    match version.map(u32::from_le_bytes) {
        Some(FORMAT_VERSION) => Ok(()),
        Some(found) => Err(StoreError::FormatVersion { found, supported: FORMAT_VERSION }),
        None => Err(StoreError::NotOurs),
    }
}

fn decoded<K: redb::Key + 'static, R: Row>(
    entries: redb::Range<'static, K, &'static [u8]>,
) -> impl Iterator<Item = Answer<R>> + use<K, R> {
    entries.map(|entry| decode(entry?.1.value()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::TableDefinition;

    fn database(write: impl FnOnce(&redb::WriteTransaction)) -> Database {
        let database = builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let transaction = database.begin_write().unwrap();
        write(&transaction);
        transaction.commit().unwrap();
        database
    }

    fn put_format(transaction: &redb::WriteTransaction, bytes: &[u8]) {
        let mut tables = WriteTables::open(transaction).unwrap();
        tables.meta.insert(meta::FORMAT, bytes).unwrap();
    }

    #[test]
    fn other_format_is_refused_by_its_number() {
        let newer = database(|transaction| put_format(transaction, &9u32.to_le_bytes()));
        let error = settle_format(&newer).unwrap_err();
        assert!(matches!(error, StoreError::FormatVersion { found: 9, supported: FORMAT_VERSION }));
        let own = database(|transaction| put_format(transaction, &FORMAT_VERSION.to_le_bytes()));
        assert!(settle_format(&own).is_ok());
    }

    #[test]
    fn database_of_somebody_else_is_refused() {
        let theirs = database(|transaction| {
            transaction.open_table(TableDefinition::<u64, u64>::new("theirs")).unwrap();
        });
        assert!(matches!(settle_format(&theirs), Err(StoreError::NotOurs)));
        let unreadable = database(|transaction| put_format(transaction, &[1, 2]));
        assert!(matches!(settle_format(&unreadable), Err(StoreError::NotOurs)));
    }
}
