//! `latchkey restore`: a database from a backup that goes on above everything that was published, and refuses what
//! the published state refuses until an operator confirms it (docs/operations.md, "Backup and restore").
//!
//! Everything is made beside the old database; that is moved away, and the new one into its place, as the last step.

use crate::installation::{Folder, Installation, hex};
use crate::keys;
use crate::published;
use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use latchkey_api::restore::{HeldThing, LoggedPublished, LoggedRestore};
use latchkey_control::app::restore;
use latchkey_control::outside::{Clock, SystemClock, SystemSeeds};
use latchkey_control::publish::{Bookmark, Setback, Snapshot};
use latchkey_control::store::backup::{Backup, BackupSeal, Floors};
use latchkey_control::store::{ReadView, Store, StoreError, View};
use latchkey_core::Generation;
use latchkey_snapshot::Head;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Held things that are read at a time.
const HELD_A_READ: usize = 1000;

/// What `latchkey restore` is asked for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The installation's directory, with its keys and secrets. No server may have its database open.
    #[arg(long)]
    dir: PathBuf,
    /// The backup, from `latchkey backup`.
    #[arg(long, value_name = "FILE", required_unless_present = "report")]
    backup: Option<PathBuf>,
    /// Where the installation publishes: a directory, or `s3://BUCKET/PREFIX`. May be given several times; the newest counts.
    #[arg(long, value_name = "PLACE")]
    published: Vec<String>,
    /// Restores without looking at what is published, above this generation, and holds everything.
    #[arg(long, value_name = "GENERATION", conflicts_with = "published")]
    offline_floor: Option<u64>,
    /// Changes nothing, and lists what an earlier restore still holds.
    #[arg(long, conflicts_with_all = ["backup", "published", "offline_floor"])]
    report: bool,
}

/// Restores, or reports.
///
/// # Errors
/// What could not be read, believed or written. The old database is then where it was.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = Folder::new(&arguments.dir);
    let installation = folder.load()?;
    match &arguments.backup {
        Some(backup) => Restoring { folder: &folder, installation: &installation }.run(backup, arguments),
        None => report(&open(&folder.database())?),
    }
}

struct Restoring<'a> {
    folder: &'a Folder,
    installation: &'a Installation,
}

impl Restoring<'_> {
    fn run(&self, backup: &Path, arguments: &Arguments) -> Result<()> {
        let old = self.old()?;
        let seal = BackupSeal::of(&self.installation.audit);
        let backup = Backup::open(backup, Some(&seal)).with_context(|| format!("`{}`", backup.display()))?;
        let published = self.published(arguments)?;
        let floors = floors(old.as_ref(), published.as_ref(), arguments.offline_floor);
        let making = self.folder.database().with_extension("restoring");
        if making.exists() {
            fs::remove_file(&making).with_context(|| format!("cannot remove `{}`", making.display()))?;
        }
        let above = backup.unpack(&making, &floors).context("the backup cannot be unpacked")?;
        let held = self.hold(&making, &backup, above, (old.as_ref(), published.as_ref()))?;
        drop(old);
        let moved = self.put_in_place(&making)?;
        println!("restored generation {}; everything goes on above {above}", backup.facts().generation);
        if let Some(moved) = moved {
            println!("the database that was there is now `{}`", moved.display());
        }
        println!("{held} things are held: `latchkey restore --dir {} --report`", arguments.dir.display());
        println!("people must sign in again; open invitations and all usage tokens are void");
        Ok(())
    }

    /// The state that is there now, if it can be read.
    fn old(&self) -> Result<Option<ReadView>> {
        let path = self.folder.database();
        if !path.exists() {
            return Ok(None);
        }
        match Store::open_read_only(&path) {
            Ok(view) => Ok(Some(view)),
            Err(StoreError::Locked) => bail!("a server has `{}` open: stop it", path.display()),
            Err(error) => {
                eprintln!("`{}` cannot be read and counts for nothing: {error}", path.display());
                Ok(None)
            }
        }
    }

    /// The newest of what is published.
    fn published(&self, arguments: &Arguments) -> Result<Option<Snapshot>> {
        if arguments.offline_floor.is_some() {
            return Ok(None);
        }
        ensure!(
            !arguments.published.is_empty(),
            "`--published` is needed: what edges refuse must stay refused. If nothing can be reached, `--offline-floor`"
        );
        let mut newest: Option<Snapshot> = None;
        for place in &arguments.published {
            let source = published::source(place)?;
            let found = Snapshot::read(self.installation.keys.keyring.roots(), &*source);
            let found = found.with_context(|| format!("what is published at `{place}`"))?;
            if newest.as_ref().is_none_or(|newest| newest.head.rank() < found.head.rank()) {
                newest = Some(found);
            }
        }
        Ok(newest)
    }

    /// Takes away what has to be, in the new database. Says how many things are held.
    fn hold(
        &self,
        making: &Path,
        backup: &Backup,
        above: Generation,
        (old, published): (Option<&ReadView>, Option<&Snapshot>),
    ) -> Result<usize> {
        let clock = Arc::new(SystemClock);
        let store = Store::open(making, clock.clone(), Arc::new(SystemSeeds))?;
        let view = store.read()?;
        let peppers: Vec<_> = self.installation.keys.keyring.peppers().into_iter().cloned().collect();
        let setback = Setback::find(&view, &peppers, published, clock.now())?;
        let bookmark = [old, Some(&view)].into_iter().flatten().map(Bookmark::read);
        let mut bookmark =
            bookmark.collect::<Result<Vec<_>, _>>()?.into_iter().fold(Bookmark::default(), Bookmark::max);
        if let Some(Snapshot { head, .. }) = published {
            check_newest(&bookmark, head)?;
            let (generation, as_of) = (head.statement.generation, head.as_of);
            bookmark = bookmark.max(Bookmark { as_of, generation, root_version: head.root_version });
        }
        let facts = LoggedRestore {
            backup_generation: backup.facts().generation.0,
            backup_made_at: backup.facts().made_at.into(),
            published: published.map(logged),
            above_generation: above.0,
            held: setback.held.len(),
            sessions: setback.sessions.len(),
        };
        let held = setback.held.len();
        drop(view);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let done = restore::hold(&store, &facts, setback.held, &setback.sessions).await;
            done.map_err(|error| anyhow!("the restored database cannot be written: {error:?}"))?;
            bookmark.keep(&store).await.map_err(anyhow::Error::new)
        })?;
        Ok(held)
    }

    /// A new session key, then the new database. Says where the old one went.
    fn put_in_place(&self, making: &Path) -> Result<Option<PathBuf>> {
        // Tokens of sessions that the backup does not know, ended ones among them, are refused from now on.
        keys::replace_session_keys(self.folder, SystemClock.now().seconds())?;
        let path = self.folder.database();
        let mut moved = None;
        if path.exists() {
            let free = (1u32..).map(|n| path.with_extension(format!("redb.before-restore-{n}")));
            let aside = free.into_iter().find(|path| !path.exists()).context("no free name")?;
            fs::rename(&path, &aside).with_context(|| format!("cannot move `{}`", path.display()))?;
            moved = Some(aside);
        }
        fs::rename(making, &path).with_context(|| format!("cannot move `{}`", making.display()))?;
        let folder = path.parent().context("no directory")?;
        File::open(folder)?.sync_all().with_context(|| format!("cannot sync `{}`", folder.display()))?;
        Ok(moved)
    }
}

/// Refuses a place that lacks what is known to have been signed: what was revoked there last would come back.
fn check_newest(signed: &Bookmark, head: &Head) -> Result<()> {
    let there = (head.root_version, head.statement.generation);
    ensure!(
        there >= (signed.root_version, signed.generation),
        "generation {} is published there, and {} was signed: name a place that has it, or start and stop the server \
         once. If neither can be, `--offline-floor`",
        there.1,
        signed.generation
    );
    Ok(())
}

/// Everything that is known to have been given out.
fn floors(old: Option<&ReadView>, published: Option<&Snapshot>, offline: Option<u64>) -> Floors {
    let mut floors = Floors { generation: Generation(offline.unwrap_or(0)), ..Floors::default() };
    if let Some(view) = old {
        let known = [view.generation(), Bookmark::read(view).map(|bookmark| bookmark.generation)];
        floors.generation = known.into_iter().flatten().fold(floors.generation, Generation::max);
        let organizations = view.next_organization().map_or(0, |next| next.0.saturating_sub(1));
        let projects = view.next_project().map_or(0, |next| next.0.saturating_sub(1));
        (floors.organizations, floors.projects) = (organizations, projects);
    }
    if let Some(published) = published {
        let (organization, project) = published.state.greatest_numbers();
        floors.generation = floors.generation.max(published.head.newest_generation());
        floors.organizations = floors.organizations.max(organization.0);
        floors.projects = floors.projects.max(project.0);
    }
    floors
}

fn logged(published: &Snapshot) -> LoggedPublished {
    let statement = &published.head.statement;
    LoggedPublished {
        root_version: published.head.root_version,
        generation: published.head.newest_generation().0,
        audit_size: statement.audit_size,
        audit_root: hex(&statement.audit_root),
    }
}

fn open(path: &Path) -> Result<ReadView> {
    Store::open_read_only(path).map_err(|error| match error {
        StoreError::Locked => anyhow!("a server has the database open: ask it at `GET /v1/operator/restore`"),
        error => anyhow::Error::new(error).context(format!("`{}`", path.display())),
    })
}

fn report(view: &ReadView) -> Result<()> {
    let (mut after, mut count) = (None, 0);
    loop {
        let some = view.held_things(None, after, HELD_A_READ)?;
        let Some(last) = some.last() else { break };
        after = Some((last.organization, last.place()));
        for held in &some {
            let HeldThing { id, organization, why, .. } = restore::shown(view, held)?;
            println!("{organization} {id} {}", format!("{why:?}").to_lowercase());
        }
        count += some.len();
    }
    println!("{count} things are held; an operator lets them go: POST /v1/operator/restore/confirm");
    Ok(())
}
