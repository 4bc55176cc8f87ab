//! `latchkey restore`: a database from a backup that goes on above everything that was published, and refuses what
//! the published state refuses until an operator confirms it (docs/operations.md, "Backup and restore").
//!
//! Everything is made beside the old database; that is moved away, and the new one into its place, as the last step.

mod considered;

use crate::installation::{Folder, Installation, hex};
use crate::keys;
use crate::published;
use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use considered::State;
use latchkey_api::restore::{HeldThing, LoggedPublished, LoggedRestore};
use latchkey_control::app::restore;
use latchkey_control::outside::{Clock, SystemClock, SystemSeeds};
use latchkey_control::publish::{Bookmark, Gap, Held, Setback, Snapshot};
use latchkey_control::store::backup::{Backup, BackupSeal, Floors, GENERATION_FLOOR_MAX};
use latchkey_control::store::{Effect, ReadView, Store, StoreError, View};
use latchkey_core::{Generation, UnixMillis};
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
    #[arg(long, value_name = "FILE", required_unless_present_any = ["report", "considered"])]
    backup: Option<PathBuf>,
    /// Where the installation publishes: a directory, or `s3://BUCKET/PREFIX`. May be given several times; the newest counts.
    #[arg(long, value_name = "PLACE")]
    published: Vec<String>,
    /// An edge that the installation pushes to: its hub is asked what it holds, and a place that lags it is refused. May
    /// be given several times; name all of them.
    #[arg(long = "edge", value_name = "URL", requires = "backup")]
    edges: Vec<String>,
    /// Restores without looking at what is published, above this generation, and holds everything.
    #[arg(long, value_name = "GENERATION", conflicts_with = "published", requires = "backup",
          value_parser = clap::value_parser!(u64).range(..=GENERATION_FLOOR_MAX))]
    offline_floor: Option<u64>,
    /// Says that a newer state, which a hub or another sink holds and no place has, was considered: what it refuses
    /// beyond the place comes back. Without a backup: says it to a database that was restored before.
    #[arg(long, value_name = "GENERATION,AS_OF", conflicts_with = "offline_floor")]
    considered: Option<State>,
    /// Changes nothing, and lists what an earlier restore still holds.
    #[arg(long, conflicts_with_all = ["backup", "published", "edges", "offline_floor", "considered"])]
    report: bool,
}

/// Restores, or reports.
///
/// # Errors
/// What could not be read, believed or written. The old database is then where it was.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = Folder::new(&arguments.dir);
    let installation = folder.load()?;
    match (&arguments.backup, arguments.considered) {
        (Some(backup), _) => {
            Restoring { folder: &folder, installation: &installation }.run(backup, arguments)
        }
        (None, Some(state)) => considered::note(&folder, state),
        (None, None) => report(&open(&folder.database())?),
    }
}

struct Restoring<'a> {
    folder: &'a Folder,
    installation: &'a Installation,
}

/// What is known beside the backup.
struct Known<'a> {
    /// The database that is there now.
    old: Option<&'a ReadView>,
    published: Option<&'a Snapshot>,
    considered: Option<State>,
    /// Set if nothing is published that could be looked at.
    offline_floor: Option<u64>,
}

impl Restoring<'_> {
    fn run(&self, backup: &Path, arguments: &Arguments) -> Result<()> {
        let old = self.old()?;
        let seal = BackupSeal::of(&self.installation.audit);
        let backup = Backup::open(backup, Some(&seal)).with_context(|| format!("`{}`", backup.display()))?;
        arguments.considered.map_or(Ok(()), State::check_possible)?;
        let published = self.published(arguments)?;
        let (considered, offline_floor) = (arguments.considered, arguments.offline_floor);
        let known = Known { old: old.as_ref(), published: published.as_ref(), considered, offline_floor };
        known.check_newest(&Bookmark::default())?;
        for url in &arguments.edges {
            let held = considered::ask(url, self.installation)?;
            known.check_not_behind(&held).with_context(|| format!("the edge `{url}`"))?;
        }
        let floors = known.floors();
        let making = self.folder.database().with_extension("restoring");
        if making.exists() {
            fs::remove_file(&making).with_context(|| format!("cannot remove `{}`", making.display()))?;
        }
        let above = backup.unpack(&making, &floors).context("the backup cannot be unpacked")?;
        let facts = self.hold(&making, &backup, above, &known)?;
        drop(old);
        let moved = self.put_in_place(&making)?;
        println!("restored generation {}; everything goes on above {above}", backup.facts().generation);
        if let Some(moved) = moved {
            println!("the database that was there is now `{}`", moved.display());
        }
        println!(
            "{} things are held: `latchkey restore --dir {} --report`",
            facts.held,
            arguments.dir.display()
        );
        println!("{} resources are deleted again, {} budgets are used up", facts.resources, facts.budgets);
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

    /// Takes away what has to be, in the new database. Says what that was.
    fn hold(
        &self,
        making: &Path,
        backup: &Backup,
        above: Generation,
        known: &Known<'_>,
    ) -> Result<LoggedRestore> {
        let clock = Arc::new(SystemClock);
        let store = Store::open(making, clock.clone(), Arc::new(SystemSeeds))?;
        let view = store.read()?;
        let signed = Bookmark::read(&view)?;
        known.check_newest(&signed)?;
        let peppers: Vec<_> = self.installation.keys.keyring.peppers().into_iter().cloned().collect();
        let setback = Setback::find(&view, &peppers, known.published, clock.now())?;
        let bookmark = known.bookmark(signed, clock.now())?;
        let mut gaps = Gap::read(&view)?;
        for gap in known.old.map(Gap::read).transpose()?.unwrap_or_default() {
            if !gaps.contains(&gap) {
                gaps.push(gap);
            }
        }
        gaps.push(Gap { generation: bookmark.generation, as_of: bookmark.as_of, above });
        gaps.sort_by_key(|gap| gap.above);
        let facts = LoggedRestore {
            backup_generation: backup.facts().generation.0,
            backup_made_at: backup.facts().made_at.into(),
            published: known.published.map(logged),
            considered: known.considered.map(State::logged),
            above_generation: above.0,
            held: setback.held.len(),
            sessions: setback.sessions.len(),
            resources: setback.resources.len(),
            budgets: setback.budgets.len(),
        };
        drop(view);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let done = restore::hold(&store, &facts, setback).await;
            done.map_err(|error| anyhow!("the restored database cannot be written: {error:?}"))?;
            Gap::keep(&gaps, &store).await?;
            bookmark.keep(&store).await.map_err(anyhow::Error::new)
        })?;
        Ok(facts)
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

impl Known<'_> {
    /// The state that the place has.
    fn place(&self) -> Option<State> {
        let head = &self.published?.head;
        Some(State { generation: head.statement.generation, as_of: head.as_of })
    }

    /// Refuses a place that lacks what the installation is known to have signed or committed: what was revoked there
    /// last would come back.
    fn check_newest(&self, signed: &Bookmark) -> Result<()> {
        let Some(Snapshot { head, .. }) = self.published else { return Ok(()) };
        let known = self.old.map(Bookmark::read).transpose()?.unwrap_or_default().max(*signed);
        let ways = "name a place that has it, or start and stop the server once. If neither can be, \
                    `--offline-floor`, or `--considered` with its generation and the time now";
        ensure!(
            head.root_version >= known.root_version,
            "root {} was published under: {ways}",
            known.root_version
        );
        let there = head.statement.generation;
        let considered = self.considered.map_or(there, |state| state.generation.max(there));
        ensure!(
            considered >= known.generation,
            "generation {there} is published there, and {} was signed: {ways}",
            known.generation
        );
        let Some(old) = self.old else { return Ok(()) };
        for outbound in old.outbox_after(considered)? {
            let outbound = outbound?;
            let is_refusal = outbound.touches.iter().any(|touch| touch.effect == Effect::Refuses);
            let is_there = head.inline.iter().any(|inline| inline.generation == outbound.generation);
            ensure!(
                !is_refusal || is_there,
                "generation {there} is published there, and the database that is there refuses more since {}: {ways}",
                outbound.generation
            );
        }
        Ok(())
    }

    /// Refuses a place that lags what a hub holds.
    fn check_not_behind(&self, held: &Held) -> Result<()> {
        if let Some(Snapshot { head, .. }) = self.published {
            ensure!(
                held.root_version <= head.root_version,
                "its hub has root {}, and what is published is under {}",
                held.root_version,
                head.root_version
            );
        }
        let Some((generation, as_of)) = held.head else { return Ok(()) };
        let held = State { generation, as_of };
        match self.offline_floor {
            Some(floor) => ensure!(
                generation.0 <= floor,
                "its hub holds generation {generation}: `--offline-floor` must not be below it"
            ),
            None => {
                // What the database that is there signed, it has committed; what of that is not published was looked at.
                let signed = self.old.map(Bookmark::read).transpose()?;
                let signed = signed.map(|kept| State { generation: kept.generation, as_of: kept.as_of });
                let known = [self.place(), self.considered, signed];
                let has_it = known.into_iter().flatten().any(|one| one.covers(held));
                let there = self.place().map(|place| place.to_string()).unwrap_or_default();
                ensure!(
                    has_it,
                    "its hub holds a newer head, {held}, than the place, {there}: what was revoked last may stand in \
                     that head alone. Name a place that has it; or `--offline-floor {generation}`, which holds \
                     everything; or `--considered {held}` if nothing was revoked in between, or all of it will be \
                     revoked again"
                );
            }
        }
        Ok(())
    }

    /// What counts as signed from now on: nothing above it that a sink holds was looked at.
    fn bookmark(&self, signed: Bookmark, now: UnixMillis) -> Result<Bookmark> {
        let mut bookmark = signed.max(self.old.map(Bookmark::read).transpose()?.unwrap_or_default());
        if let Some(Snapshot { head, .. }) = self.published {
            let (generation, as_of) = (head.statement.generation, head.as_of);
            bookmark = bookmark.max(Bookmark { as_of, generation, root_version: head.root_version });
        }
        if let Some(state) = self.considered {
            bookmark = bookmark.max(state.bookmark());
        }
        if let Some(floor) = self.offline_floor {
            // Everything is held, so no inline revocation up to now can be brought back.
            let state = State { generation: Generation(floor), as_of: now };
            bookmark = bookmark.max(state.bookmark());
        }
        Ok(bookmark)
    }

    /// Everything that is known to have been given out.
    fn floors(&self) -> Floors {
        let considered = self.considered.map_or(0, |state| state.generation.0);
        let generation = Generation(self.offline_floor.unwrap_or(0).max(considered));
        let mut floors = Floors { generation, ..Floors::default() };
        if let Some(view) = self.old {
            let known = [view.generation(), Bookmark::read(view).map(|bookmark| bookmark.generation)];
            floors.generation = known.into_iter().flatten().fold(floors.generation, Generation::max);
            let organizations = view.next_organization().map_or(0, |next| next.0.saturating_sub(1));
            let projects = view.next_project().map_or(0, |next| next.0.saturating_sub(1));
            (floors.organizations, floors.projects) = (organizations, projects);
        }
        if let Some(published) = self.published {
            let (organization, project) = published.state.greatest_numbers();
            floors.generation = floors.generation.max(published.head.newest_generation());
            floors.organizations = floors.organizations.max(organization.0);
            floors.projects = floors.projects.max(project.0);
        }
        floors
    }
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
