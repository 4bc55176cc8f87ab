//! `latchkey init`: everything an installation consists of, and the first operator token, shown once.

use crate::installation::{Folder, GATE_TOKEN};
use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use latchkey_control::app::{Control, ControlConfig, operators};
use latchkey_control::outside::{Clock, Seeds, SystemClock, SystemSeeds};
use latchkey_control::store::Store;
use latchkey_core::key::Prefix;
use latchkey_core::{MintSecret, UnixSeconds};
use latchkey_snapshot::Installation as Name;
use latchkey_snapshot::build::{RootContent, Signer};
use latchkey_snapshot::root::{KeyRole, RootKey};
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

/// How long what a key signs is believed: ten years. Whoever wants it shorter drafts a root that says so.
const VALIDITY_SECS: u64 = 10 * 366 * 86_400;
/// Clocks of edges may be behind ours by as much.
const BACKDATE_SECS: u64 = 3600;

/// What `latchkey init` is asked for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The directory to make; it must not hold an installation.
    #[arg(long)]
    dir: PathBuf,
    /// What every API key begins with: 2 to 12 of `a-z0-9_`, not ending in `_`.
    #[arg(long)]
    prefix: String,
    /// How many offline keys to make; they replace every other key, so keep them apart and off this machine.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    offline_keys: u8,
    /// How many of them must sign a new root.
    #[arg(long, alias = "threshold", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    offline_threshold: u8,
}

/// Makes the installation.
///
/// # Errors
/// What could not be made, and why.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let prefix = Prefix::parse(&arguments.prefix).context("`--prefix`")?;
    ensure!(
        arguments.offline_threshold <= arguments.offline_keys,
        "`--offline-threshold` is more than `--offline-keys`"
    );
    let folder = Folder::new(&arguments.dir);
    folder.create()?;
    let name = Name(first_half(&*seed()?));
    write_keys(&folder, name, arguments)?;
    let mint = seed()?;
    folder.write_secret("secrets/mint", &mint)?;
    folder.write_secret("secrets/pepper", &*seed()?)?;
    folder.write_secret("secrets/push-token", &*seed()?)?;
    folder.write_secret(GATE_TOKEN, &*seed()?)?;
    let token = create_database(&folder, name, prefix, MintSecret::new(*mint))?;
    folder.write_about(name, &prefix)?;
    println!("made an installation in `{}`", arguments.dir.display());
    println!(
        "`keys/offline-*` replace every other key: move them off this machine, each to a place of its own. \
         Nothing that runs needs them; `latchkey signer` does, to install a new root"
    );
    println!(
        "the audit log's public key, for whoever keeps its checkpoints:\n{}",
        folder.audit_signer(name)?.key()
    );
    println!("the first operator token, shown this once:\n{}", *token);
    Ok(())
}

/// Makes every signing key, and root 1 that names them.
fn write_keys(folder: &Folder, name: Name, arguments: &Arguments) -> Result<()> {
    let mut offline = Vec::new();
    for number in 1..=arguments.offline_keys {
        offline.push(create_signer(folder, &format!("keys/offline-{number}"))?);
    }
    let release = create_signer(folder, "keys/release")?;
    let head = create_signer(folder, "keys/head")?;
    create_signer(folder, "keys/session")?;
    create_signer(folder, "keys/edge")?;
    folder.write_secret("keys/audit", &*seed()?)?;
    let issued = SystemClock.now().seconds();
    let with_role = |role: KeyRole| move |signer: &Signer| root_key(signer, role, issued);
    let mut keys: Vec<RootKey> = offline.iter().map(with_role(KeyRole::Offline)).collect();
    keys.extend([with_role(KeyRole::Release)(&release), with_role(KeyRole::Head)(&head)]);
    let thresholds = [arguments.offline_threshold, 1, 1];
    let root = RootContent { installation: name, version: 1, issued, thresholds, keys };
    folder.write("roots/1", &root.sign(&offline.iter().collect::<Vec<_>>())?)
}

/// From when to when what a key signs is believed.
pub(crate) const fn validity(issued: UnixSeconds) -> (UnixSeconds, UnixSeconds) {
    (UnixSeconds(issued.0.saturating_sub(BACKDATE_SECS)), issued.plus_secs(VALIDITY_SECS))
}

fn root_key(signer: &Signer, role: KeyRole, issued: UnixSeconds) -> RootKey {
    let (not_before, not_after) = validity(issued);
    RootKey { public: signer.public(), role, not_before, not_after }
}

fn create_signer(folder: &Folder, name: &str) -> Result<Signer> {
    let seed = seed()?;
    folder.write_secret(name, &seed)?;
    Ok(Signer::from_seed(&seed))
}

/// Makes the empty database with the first operator, and returns their token.
fn create_database(
    folder: &Folder,
    name: Name,
    prefix: Prefix,
    mint: MintSecret,
) -> Result<Zeroizing<String>> {
    let (clock, seeds) = (Arc::new(SystemClock), Arc::new(SystemSeeds));
    let path = folder.database();
    let store = Store::open(&path, clock.clone(), seeds).with_context(|| format!("`{}`", path.display()))?;
    let config = ControlConfig::new(prefix);
    let control = Control::new(Arc::new(store), clock, mint, folder.audit_signer(name)?, config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let created = runtime.block_on(operators::create_first(&control, "first"));
    let created = created.map_err(|error| anyhow!("the first operator token cannot be made: {error:?}"))?;
    Ok(Zeroizing::new(created.reply.expose().to_owned()))
}

pub(crate) fn seed() -> Result<Zeroizing<[u8; 32]>> {
    SystemSeeds.seed().map(Zeroizing::new).map_err(|error| anyhow!("{error}"))
}

fn first_half(seed: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&seed[..16]);
    half
}
