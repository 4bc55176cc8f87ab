//! `latchkey snapshot rebuild`: the same database and pepper give the same snapshot, so whoever has both can tell
//! whether what is published is what it should be.
//!
//! What does not follow from the database (token keys, prefix, rules, grace, canaries) comes from the installation and
//! from how its server is configured. What is not given is taken from what is published, and that is said.

use super::diff::Difference;
use crate::config::{self, Publishes};
use crate::installation::{Folder, Installation};
use crate::published;
use crate::routes::{self, Routing};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use latchkey_control::outside::{Clock, SystemClock};
use latchkey_control::publish::{Beside, Canaries, PublishedState, Rebuilt, Snapshot};
use latchkey_control::store::Store;
use latchkey_core::KeyId;
use latchkey_snapshot::Manifest;
use std::path::PathBuf;

/// What `latchkey snapshot rebuild` is asked for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The installation's directory: its database, which no server may have open, its keys and its pepper.
    #[arg(long)]
    dir: PathBuf,
    /// Where it is published: a directory, or `s3://BUCKET/PREFIX`.
    #[arg(long, value_name = "PLACE")]
    published: String,
    /// The server's configuration file: its rules, grace and canaries must be those that are published.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The server's route rules.
    #[arg(long, value_name = "FILE")]
    routes: Option<PathBuf>,
    /// The id of one of the server's canaries; may be given several times.
    #[arg(long = "canary", value_name = "KEY")]
    canaries: Vec<String>,
    /// The server's grace, in seconds.
    #[arg(long, value_name = "SECONDS")]
    grace_secs: Option<u32>,
}

/// What the operator says that the server publishes beside the state; `None` is taken on trust.
struct Said {
    routing: Option<Routing>,
    grace_secs: Option<u32>,
    canaries: Option<Vec<KeyId>>,
}

/// Rebuilds and compares.
///
/// # Errors
/// What differs, or cannot be read.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let said = Said::of(arguments)?;
    let folder = Folder::new(&arguments.dir);
    let installation = folder.load()?;
    let keyring = &installation.keys.keyring;
    let source = published::source(&arguments.published)?;
    let published = Snapshot::read(keyring.roots(), &*source);
    let published = published.with_context(|| format!("`{}` is not to be believed", source.name()))?;
    let path = folder.database();
    let view = Store::open_read_only(&path).with_context(|| format!("`{}`", path.display()))?;
    let manifest = &published.state.manifest;
    let pepper = keyring.peppers().into_iter().find(|pepper| pepper.id() == manifest.pepper_id);
    let pepper = pepper.context("what is published is under a pepper that is not held here")?;
    let rebuilt = Rebuilt::of(&view, pepper.clone(), &said.beside(&installation, manifest))?;
    let statement = &published.head.statement;
    ensure!(
        rebuilt.generation == statement.generation,
        "the database is at generation {}, and what is published at {}: start and stop the server first",
        rebuilt.generation,
        statement.generation
    );
    check_same(&rebuilt.state, &published.state, "what is published")?;
    if let Some(previous) = &published.previous {
        check_same(&rebuilt.state, previous, "the base before, with its deltas,")?;
    }
    let digest = rebuilt.manifest.digest();
    match statement.tip {
        None => {
            let is_same = rebuilt.manifest == statement.manifest;
            ensure!(
                is_same,
                "the rebuilt manifest is {digest}, the published one {}",
                statement.manifest.digest()
            );
            println!("rebuilt: the same bytes, manifest {digest}");
        }
        Some(_) => {
            let deltas = published.state.chain.len();
            println!("rebuilt: base and {deltas} deltas say the same; a new base would be manifest {digest}");
        }
    }
    if published.previous.is_some() {
        println!("rebuilt: the base before says the same");
    }
    said.tell_trusted();
    Ok(())
}

/// Refuses a state that says anything else, of the database or beside it.
fn check_same(rebuilt: &PublishedState, published: &PublishedState, what: &str) -> Result<()> {
    let difference = Difference::between(rebuilt, published);
    if difference.is_none() {
        return Ok(());
    }
    bail!(
        "{what} is not what the database and the installation say (+ only published, - only rebuilt):\n{}",
        difference.told()
    )
}

impl Said {
    /// A flag beats the file. A file that does not name a thing says what the server does then.
    fn of(arguments: &Arguments) -> Result<Self> {
        let file = arguments.config.as_deref().map(config::publishes).transpose()?;
        let now = SystemClock.now().seconds();
        let (mut routing, mut grace_secs, mut canaries) = (None, None, None);
        if let Some(Publishes { routes: path, grace_secs: grace, canaries: keys }) = file {
            let load = |path| routes::load(path, now);
            routing = Some(path.as_deref().map(load).transpose()?.unwrap_or_default());
            (grace_secs, canaries) = (Some(grace), Some(keys));
        }
        if let Some(path) = &arguments.routes {
            routing = Some(routes::load(path, now)?);
        }
        if !arguments.canaries.is_empty() {
            canaries = Some(config::canaries(arguments.canaries.clone())?);
        }
        Ok(Self { routing, grace_secs: arguments.grace_secs.or(grace_secs), canaries })
    }

    fn beside<'a>(&'a self, installation: &'a Installation, published: &'a Manifest) -> Beside<'a> {
        let keyring = &installation.keys.keyring;
        Beside {
            installation: installation.name,
            prefix: installation.prefix,
            session_keys: keyring.session_keys(),
            edge_keys: keyring.edge_keys(),
            cors: self.routing.as_ref().map_or(published.cors.as_ref(), |routing| routing.cors.as_ref()),
            rules: self.routing.as_ref().map_or(&published.rules, |routing| &routing.rules),
            grace_secs: self.grace_secs.unwrap_or(published.grace_secs),
            canaries: match &self.canaries {
                Some(keys) => Canaries::Of(keys),
                None => Canaries::Said(&published.canaries),
            },
        }
    }

    fn tell_trusted(&self) {
        let parts = [
            ("the rules (`--routes`)", self.routing.is_none()),
            ("the grace (`--grace-secs`)", self.grace_secs.is_none()),
            ("the canaries (`--canary`)", self.canaries.is_none()),
        ];
        let trusted: Vec<&str> = parts.iter().filter(|(_, is)| *is).map(|(what, _)| *what).collect();
        if !trusted.is_empty() {
            println!(
                "NOT COMPARED, but taken from what is published: {}; or all by `--config`",
                trusted.join(", ")
            );
        }
    }
}
