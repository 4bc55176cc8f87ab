//! `latchkey signer`: keys and roots, made, signed, installed, rotated and revoked. Everything is files; no private key
//! is ever printed.
//!
//! A change of an installation's keys is a [`change::Change`]: checked as a running server and an edge would check it,
//! then written so that a crash at any point leaves keys that belong together, or that the next command mends.

mod change;
mod key;
mod pepper;
mod root;
mod rotate;
mod summary;

use crate::installation::unhex;
use anyhow::{Context, Result, ensure};
use clap::{Subcommand, ValueEnum};
use latchkey_snapshot::root::KeyRole;

/// What to do with keys.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Makes a signing key, or shows the public half of one.
    #[command(subcommand)]
    Key(key::Command),
    /// Drafts a root, signs it with offline keys on whichever machines they are, installs it.
    #[command(subcommand)]
    Root(root::Command),
    /// Replaces a role's key by a new one: first beside it, then, with `--finish`, instead of it.
    Rotate(rotate::Rotate),
    /// Emergency: drops a key at once, and makes another in its place. What it signed before is outranked.
    Revoke(rotate::Revoke),
    /// Replaces the pepper, without a new key for anybody.
    #[command(subcommand)]
    Pepper(pepper::Command),
}

/// Runs it.
///
/// # Errors
/// What was refused, and why; nothing was changed then.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Key(command) => key::run(command),
        Command::Root(command) => root::run(command),
        Command::Rotate(arguments) => rotate::rotate(arguments),
        Command::Revoke(arguments) => rotate::revoke(arguments),
        Command::Pepper(command) => pepper::run(command),
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Signs roots.
    Offline,
    /// Signs statements: what grants.
    Release,
    /// Signs heads: freshness and revocations.
    Head,
    /// Signs session tokens; the manifest names it.
    Session,
    /// Signs assertions to origins; the manifest names it.
    Edge,
}

impl Role {
    const ALL: [Role; 5] = [Role::Offline, Role::Release, Role::Head, Role::Session, Role::Edge];

    /// What it is called, in files and in text.
    const fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Release => "release",
            Self::Head => "head",
            Self::Session => "session",
            Self::Edge => "edge",
        }
    }

    /// As roots know it, if they do.
    const fn in_root(self) -> Option<KeyRole> {
        match self {
            Self::Offline => Some(KeyRole::Offline),
            Self::Release => Some(KeyRole::Release),
            Self::Head => Some(KeyRole::Head),
            Self::Session | Self::Edge => None,
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let role = Self::ALL.into_iter().find(|role| role.name() == text);
        role.with_context(|| format!("`{text}` is no role"))
    }
}

impl From<KeyRole> for Role {
    fn from(role: KeyRole) -> Self {
        match role {
            KeyRole::Offline => Self::Offline,
            KeyRole::Release => Self::Release,
            KeyRole::Head => Self::Head,
        }
    }
}

/// Reads a public key: 64 hexadecimal characters.
fn parse_public(text: &str) -> Result<[u8; 32]> {
    ensure!(text.len() == 64, "a public key is 64 hexadecimal characters, and `{text}` is not");
    unhex(text).with_context(|| format!("`{text}` is not hexadecimal"))
}
