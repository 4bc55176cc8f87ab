//! `latchkey signer root`: the ceremony. A draft goes from machine to machine until enough offline keys have signed it.

use super::change::{Bench, Change};
use super::summary::{describe, signatures};
use super::{Role, parse_public};
use crate::init::validity;
use crate::installation::{create_new, hex, read_seed, replace};
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use latchkey_control::outside::{Clock, SystemClock};
use latchkey_core::UnixSeconds;
use latchkey_snapshot::Root;
use latchkey_snapshot::build::{RootContent, RootDraft, Signer};
use latchkey_snapshot::root::{self, KeyRole, ROOT_LEN_MAX, RootKey};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What to do with a root.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Writes the root that is to follow, without signatures, and tells what it changes.
    Draft(Draft),
    /// Adds an offline key's signature to a draft. Read what it says before you sign.
    Sign {
        /// The offline key's file.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The draft; it is changed in place.
        draft: PathBuf,
    },
    /// Tells whose signatures a draft has and lacks. Fails as long as it lacks any.
    Check {
        #[command(flatten)]
        before: Before,
        /// The draft.
        draft: PathBuf,
    },
    /// Checks a draft as an edge would, and puts it in force: root, keys that come, keys that go.
    Install {
        /// The installation's directory.
        #[arg(long)]
        dir: PathBuf,
        /// The file of a release or head key that the new root names and this machine is to hold; may be given several times.
        #[arg(long = "key", value_name = "FILE")]
        keys: Vec<PathBuf>,
        /// The draft.
        draft: PathBuf,
    },
}

/// The root to follow.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Before {
    /// The newest root of this installation.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The root in this file, for a machine that has no installation.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
}

/// What a new root changes.
#[derive(Args)]
pub(crate) struct Draft {
    #[command(flatten)]
    before: Before,
    /// A key that comes: `release:PUBLIC`, or `release:PUBLIC:FROM:UNTIL` in Unix seconds.
    #[arg(long = "add", value_name = "ROLE:PUBLIC")]
    added: Vec<String>,
    /// A key that goes.
    #[arg(long = "remove", value_name = "PUBLIC")]
    removed: Vec<String>,
    /// How many offline, release and head keys must sign from now on, as `2,1,1`.
    #[arg(long, value_name = "OFFLINE,RELEASE,HEAD")]
    thresholds: Option<String>,
    /// The file to make.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Draft(arguments) => draft(arguments),
        Command::Sign { key, draft } => sign(key, draft),
        Command::Check { before, draft } => check(before, draft),
        Command::Install { dir, keys, draft } => install(dir, keys, draft),
    }
}

impl Before {
    fn read(&self) -> Result<Root> {
        match (&self.dir, &self.root) {
            (Some(dir), _) => Ok(Bench::open(dir)?.newest().clone()),
            (None, Some(path)) => Root::pinned(&read(path)?).with_context(|| format!("`{}`", path.display())),
            (None, None) => bail!("`--dir` or `--root` must say which root it follows"),
        }
    }
}

fn draft(arguments: &Draft) -> Result<()> {
    let before = arguments.before.read()?;
    let now = SystemClock.now().seconds();
    let mut content = successor(&before, now)?;
    for text in &arguments.removed {
        let public = parse_public(text)?;
        let count = content.keys.len();
        content.keys.retain(|key| key.public.as_bytes() != &public);
        ensure!(content.keys.len() < count, "root {} has no key {text}", before.version());
    }
    for text in &arguments.added {
        content.keys.push(parse_key(text, now)?);
    }
    if let Some(text) = &arguments.thresholds {
        content.thresholds = parse_thresholds(text)?;
    }
    let draft = RootDraft::new(&content).context("no edge would take such a root")?;
    create_new(&arguments.out, &draft.to_bytes())?;
    print!("{}", describe(draft.content(), Some(&before)));
    print!("{}", signatures(&draft, Some(&before)).text);
    Ok(())
}

/// What the root before says, a version later.
pub(super) fn successor(before: &Root, now: UnixSeconds) -> Result<RootContent> {
    let version = before.version().checked_add(1).context("there is no root after this one")?;
    // The machine on which roots are signed is seldom on any network: no edge takes one that its clock dates back.
    Ok(RootContent { version, issued: now.max(before.issued()), ..RootContent::of(before) })
}

fn sign(key: &Path, path: &Path) -> Result<()> {
    let signer = Signer::from_seed(&*read_seed(key)?);
    let mut draft = read_draft(path)?;
    print!("{}", describe(draft.content(), None));
    let public = signer.public();
    let named = draft.content().keys.iter().find(|key| key.public == public);
    match named.map(|key| key.role) {
        Some(KeyRole::Offline) => {}
        Some(role) => {
            bail!("{} is a {} key there: it signs no root", hex(public.as_bytes()), Role::from(role).name())
        }
        None => {
            println!("the key is none of this root's: its signature counts only if the root before names it")
        }
    }
    draft.sign(&signer)?;
    replace(path, &draft.to_bytes())?;
    println!("signed by {}", hex(public.as_bytes()));
    Ok(())
}

fn check(before: &Before, path: &Path) -> Result<()> {
    let (before, draft) = (before.read()?, read_draft(path)?);
    print!("{}", describe(draft.content(), Some(&before)));
    let signatures = signatures(&draft, Some(&before));
    print!("{}", signatures.text);
    before.successor(&draft.to_bytes()).context("it is not complete")?;
    println!("complete: it can be installed");
    Ok(())
}

fn install(dir: &Path, keys: &[PathBuf], path: &Path) -> Result<()> {
    let bench = Bench::open(dir)?;
    let bytes = read(path)?;
    let root = match bench.newest().successor(&bytes) {
        Ok(root) => root,
        Err(error) => {
            if let Ok(draft) = RootDraft::read(&bytes) {
                eprint!("{}", signatures(&draft, Some(bench.newest())).text);
            }
            return Err(error).with_context(|| format!("`{}` is refused", path.display()));
        }
    };
    print!("{}", describe(&RootContent::of(&root), Some(bench.newest())));
    let mut change = Change::to(&root, bytes);
    for path in keys {
        let seed = read_seed(path)?;
        let public = Signer::from_seed(&seed).public();
        let named = root.keys().iter().find(|key| key.public == public);
        let role = named.map(|key| key.role).filter(|role| *role != KeyRole::Offline);
        let role = role.with_context(|| {
            format!(
                "root {} names `{}` neither as a release nor as a head key",
                root.version(),
                path.display()
            )
        })?;
        change.add_seed(role.into(), &seed);
    }
    bench.install(change)
}

/// Reads a draft, or a root.
fn read_draft(path: &Path) -> Result<RootDraft> {
    RootDraft::read(&read(path)?).with_context(|| format!("`{}` is no root", path.display()))
}

/// Reads a file that is no longer than a root.
fn read(path: &Path) -> Result<Vec<u8>> {
    let cannot = || format!("cannot read `{}`", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(cannot)?;
    file.take(ROOT_LEN_MAX as u64 + 1).read_to_end(&mut bytes).with_context(cannot)?;
    Ok(bytes)
}

/// `ROLE:PUBLIC` or `ROLE:PUBLIC:FROM:UNTIL`.
fn parse_key(text: &str, now: UnixSeconds) -> Result<RootKey> {
    let parts: Vec<&str> = text.split(':').collect();
    let seconds = |text: &str| -> Result<UnixSeconds> {
        Ok(UnixSeconds(text.parse().with_context(|| format!("`{text}` are no Unix seconds"))?))
    };
    let (role, public, (not_before, not_after)) = match parts.as_slice() {
        [role, public] => (role, public, validity(now)),
        [role, public, from, until] => (role, public, (seconds(from)?, seconds(until)?)),
        _ => bail!("`{text}` is not `ROLE:PUBLIC` or `ROLE:PUBLIC:FROM:UNTIL`"),
    };
    let role = Role::parse(role)?.in_root();
    let role = role.context("a root names offline, release and head keys; the manifest names the others")?;
    let public = parse_public(public)?;
    let public = root::public_key(&public).context("that is no public key of Ed25519")?;
    ensure!(not_before <= not_after, "`{text}` ends before it begins");
    Ok(RootKey { public, role, not_before, not_after })
}

fn parse_thresholds(text: &str) -> Result<[u8; 3]> {
    let numbers: Result<Vec<u8>, _> = text.split(',').map(str::parse).collect();
    let numbers = numbers.ok().and_then(|numbers| <[u8; 3]>::try_from(numbers).ok());
    numbers.with_context(|| format!("`{text}` is not three numbers as in `2,1,1`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_to_add_is_refused_unless_it_is_whole() {
        let public = hex(Signer::from_seed(&[5; 32]).public().as_bytes());
        let now = UnixSeconds(1_800_000_000);
        for text in [
            String::new(),
            public.clone(),
            format!("release:{public}:1"),
            format!("release:{public}:2:1"),
            format!("release:{public}:a:b"),
            format!("owner:{public}"),
            format!("session:{public}"),
            format!("release:{}", &public[1..]),
            format!("release:{}", "0".repeat(64)),
            format!("release:{}", "z".repeat(64)),
        ] {
            assert!(parse_key(&text, now).is_err(), "{text}");
        }
        let key = parse_key(&format!("head:{public}:1:2"), now).unwrap();
        assert_eq!(
            (key.role, key.not_before, key.not_after),
            (KeyRole::Head, UnixSeconds(1), UnixSeconds(2))
        );
    }

    #[test]
    fn thresholds_are_three_numbers() {
        for text in ["", "1", "1,1", "1,1,1,1", "1,1,a", "1,1,256", "1, 1,1"] {
            assert!(parse_thresholds(text).is_err(), "{text}");
        }
        assert_eq!(parse_thresholds("2,1,1").unwrap(), [2, 1, 1]);
    }
}
