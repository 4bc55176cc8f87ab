//! `latchkey signer rotate` and `revoke`: the everyday path and the emergency, where the offline keys are at hand.

use super::change::{Bench, Change, KeyFile};
use super::key::NewKey;
use super::root::successor;
use super::summary::{describe, signatures};
use super::{Role, parse_public};
use crate::init::validity;
use crate::installation::{hex, read_seed};
use crate::keys::SETTLES_SECS;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use latchkey_control::outside::{Clock, SystemClock};
use latchkey_core::UnixSeconds;
use latchkey_snapshot::Root;
use latchkey_snapshot::build::{RootContent, RootDraft, Signer};
use latchkey_snapshot::root::RootKey;
use latchkey_snapshot::token::LIFETIME_SECS_MAX;
use std::path::PathBuf;

/// Which key is replaced.
#[derive(Args)]
pub(crate) struct Rotate {
    /// The installation's directory.
    #[arg(long)]
    dir: PathBuf,
    /// Whose key is replaced; offline keys are replaced by `signer root`.
    #[arg(long)]
    role: Role,
    /// An offline key that is not in `keys/`, perhaps on a medium; may be given several times.
    #[arg(long, value_name = "FILE")]
    offline: Vec<PathBuf>,
    /// Drops the older keys of the role, once the new one has taken over.
    #[arg(long)]
    finish: bool,
}

/// Which key is dropped.
#[derive(Args)]
pub(crate) struct Revoke {
    /// The installation's directory.
    #[arg(long)]
    dir: PathBuf,
    /// The public half of the stolen key.
    #[arg(long, value_name = "PUBLIC")]
    public: String,
    /// An offline key that is not in `keys/`, perhaps on a medium; may be given several times.
    #[arg(long, value_name = "FILE")]
    offline: Vec<PathBuf>,
}

pub(super) fn rotate(arguments: &Rotate) -> Result<()> {
    let Rotate { dir, role, offline, finish } = arguments;
    ensure!(*role != Role::Offline, "offline keys are replaced by `signer root draft`, `sign` and `install`");
    let bench = Bench::open(dir)?;
    bench.held().context("the keys that are there do not belong together")?;
    let now = SystemClock.now().seconds();
    if *finish {
        return finish_role(&bench, *role, offline, now);
    }
    let key = NewKey::make(*role, now)?;
    let Some(in_root) = role.in_root() else {
        let mut change = Change::default();
        change.add(key);
        println!("it signs from {SETTLES_SECS} s on; run it again with `--finish` in a quarter of an hour");
        return bench.install(change);
    };
    let mut content = successor(bench.newest(), now)?;
    let (not_before, not_after) = validity(now);
    content.keys.push(RootKey { public: key.signer.public(), role: in_root, not_before, not_after });
    let mut change = signed(&bench, &content, offline)?;
    change.add(key);
    bench.install(change)?;
    println!("both keys sign now; run it again with `--finish` to drop the older one");
    Ok(())
}

/// Drops all but the newest keys of a role, as many as must sign.
fn finish_role(bench: &Bench, role: Role, offline: &[PathBuf], now: UnixSeconds) -> Result<()> {
    let mut files = bench.files(role)?;
    let wanted = role.in_root().map_or(1, |role| usize::from(bench.newest().threshold(role)));
    ensure!(
        files.len() > wanted,
        "there is nothing to finish: {} {} keys are held, and {wanted} must sign",
        files.len(),
        role.name()
    );
    let newest = files.split_off(files.len() - wanted);
    let Some(_) = role.in_root() else {
        let newest = newest.last().context("there is no newest key")?;
        let signs_from = bench.token_signer(&newest.name)?.not_before.plus_secs(SETTLES_SECS);
        let done_at = signs_from.plus_secs(LIFETIME_SECS_MAX + SETTLES_SECS);
        ensure!(
            now >= done_at,
            "tokens that the older key signed may be good for another {} s",
            done_at.0.saturating_sub(now.0)
        );
        let mut change = Change::default();
        files.into_iter().for_each(|file| change.drop_file(file.name));
        return bench.install(change);
    };
    let mut content = successor(bench.newest(), now)?;
    content.keys.retain(|key| !files.iter().any(|file| file.signer.public() == key.public));
    bench.install(signed(bench, &content, offline)?)
}

pub(super) fn revoke(arguments: &Revoke) -> Result<()> {
    let Revoke { dir, public, offline } = arguments;
    let public = parse_public(public)?;
    let bench = Bench::open(dir)?;
    let now = SystemClock.now().seconds();
    if let Some(key) = bench.newest().keys().iter().find(|key| key.public.as_bytes() == &public) {
        return revoke_from_root(&bench, key, offline, now);
    }
    for role in [Role::Session, Role::Edge] {
        let is_it = |file: &KeyFile| file.signer.public().as_bytes() == &public;
        if let Some(file) = bench.files(role)?.into_iter().find(is_it) {
            let mut change = Change::default();
            change.add(NewKey::make(role, now)?);
            change.drop_file(file.name);
            println!("what the key signed is refused wherever the next manifest arrives");
            return bench.install(change);
        }
    }
    bail!("neither root {} nor the manifest names {}", bench.newest().version(), hex(&public))
}

fn revoke_from_root(bench: &Bench, key: &RootKey, offline: &[PathBuf], now: UnixSeconds) -> Result<()> {
    let role = Role::from(key.role);
    let mut content = successor(bench.newest(), now)?;
    content.keys.retain(|other| other.public != key.public);
    let new = match role {
        Role::Offline => {
            let left = content.keys.iter().filter(|other| other.role == key.role).count();
            let wanted = usize::from(bench.newest().threshold(key.role));
            ensure!(
                left >= wanted,
                "{left} offline keys would be left, and {wanted} must sign: add one by `signer root draft --add`"
            );
            None
        }
        _ => {
            let new = NewKey::make(role, now)?;
            let (not_before, not_after) = validity(now);
            content.keys.push(RootKey { public: new.signer.public(), role: key.role, not_before, not_after });
            Some(new)
        }
    };
    let mut change = signed(bench, &content, offline)?;
    if let Some(new) = new {
        change.add(new);
    }
    bench.install(change)?;
    println!("once an edge has this root, nothing counts that was signed under an older one");
    Ok(())
}

/// The root that says this, signed by the offline keys at hand.
fn signed(bench: &Bench, content: &RootContent, offline: &[PathBuf]) -> Result<Change> {
    let mut draft = RootDraft::new(content).context("no edge would take such a root")?;
    let mut signers: Vec<Signer> = bench.files(Role::Offline)?.into_iter().map(|file| file.signer).collect();
    for path in offline {
        signers.push(Signer::from_seed(&*read_seed(path)?));
    }
    let mut taken: Option<(Root, Vec<u8>)> = None;
    for signer in &signers {
        draft.sign(signer).context("too many offline keys")?;
        let bytes = draft.to_bytes();
        if let Ok(root) = bench.newest().successor(&bytes) {
            taken = Some((root, bytes));
            break;
        }
    }
    let Some((root, bytes)) = taken else {
        let told = signatures(&draft, Some(bench.newest())).text;
        bail!(
            "the offline keys here do not suffice:\n{told}name others by `--offline FILE`, or let them sign elsewhere: `signer root draft`, `sign`, `install`"
        );
    };
    print!("{}", describe(content, Some(bench.newest())));
    Ok(Change::to(&root, bytes))
}
