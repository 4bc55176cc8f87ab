//! `latchkey signer pepper`: a new pepper in three steps, while every key goes on working.
//!
//! `new` makes it and lets edges be deployed with both; `switch` publishes under it once every isolate is seen to hold
//! it; `finish` forgets the old one.

use crate::init::seed;
use crate::installation::{Folder, hex, replace, sync_folder};
use crate::keys::{HeldKeys, PEPPER, PEPPER_LAST, PEPPER_NEXT};
use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Args, Subcommand};
use latchkey_control::publish::{EdgeSink, PepperReports};
use latchkey_core::Pepper;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// How long no isolate may have been seen without the pepper, and how long the old one stays after a switch. Isolates of
/// an older deployment are gone by then.
const QUIET_MS: u64 = 15 * 60 * 1000;

/// What to do with the pepper.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Makes the next pepper. Deploy the edges with both: `latchkey edge-env` prints `LATCHKEY_PEPPER_2` from now on.
    New {
        /// The installation's directory.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Publishes everything anew under the next pepper, once every isolate holds it.
    Switch(Switch),
    /// Forgets the old pepper. Deploy the edges once more, with the new one alone.
    Finish {
        /// The installation's directory.
        #[arg(long)]
        dir: PathBuf,
        /// Does not wait a quarter of an hour after the switch.
        #[arg(long)]
        force: bool,
    },
}

/// When to publish under the next pepper.
#[derive(Args)]
pub(crate) struct Switch {
    /// The installation's directory.
    #[arg(long)]
    dir: PathBuf,
    /// The URL of an edge that is pushed to, as `latchkey serve` is told; each is asked which peppers its isolates hold.
    #[arg(long = "edge", value_name = "URL", env = "LATCHKEY_EDGES", value_delimiter = ',')]
    edges: Vec<String>,
    /// Asks nobody. An edge without the new pepper takes no snapshot from then on: it goes stale, then refuses all.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(command: &Command) -> Result<()> {
    match command {
        Command::New { dir } => new(dir),
        Command::Switch(arguments) => switch(arguments),
        Command::Finish { dir, force } => finish(dir, *force),
    }
}

fn new(dir: &Path) -> Result<()> {
    let folder = Folder::new(dir);
    let _lock = folder.lock_to_change()?;
    HeldKeys::load_locked(&folder)?;
    ensure!(!folder.path(PEPPER_LAST).exists(), "the last rotation is not over: `signer pepper finish`");
    ensure!(
        !folder.path(PEPPER_NEXT).exists(),
        "there is a next pepper: deploy the edges, `signer pepper switch`"
    );
    folder.write_secret(PEPPER_NEXT, &*seed()?)?;
    sync_folder(&folder.path("secrets"))?;
    println!("`{PEPPER_NEXT}` is made; nothing is published under it yet");
    println!(
        "deploy every edge with what `latchkey edge-env` prints now, then run `latchkey signer pepper switch`"
    );
    Ok(())
}

fn switch(arguments: &Switch) -> Result<()> {
    let Switch { dir, edges, force } = arguments;
    let folder = Folder::new(dir);
    let _lock = folder.lock_to_change()?;
    let next = folder.path(PEPPER_NEXT);
    ensure!(next.exists(), "there is no next pepper: `signer pepper new`");
    let pepper = Pepper::new(*folder.secret(PEPPER_NEXT)?);
    if *force {
        eprintln!(
            "nobody was asked: an edge without the new pepper goes stale now, and refuses all after the grace"
        );
    } else {
        ensure!(!edges.is_empty(), "no edge is named to be asked: `--edge`, or `--force` if there is none");
        let token = Zeroizing::new(hex(&*folder.secret("secrets/push-token")?));
        ask_edges(edges, &token, &pepper)?;
    }
    let old = Zeroizing::new(format!("{}\n", *Zeroizing::new(hex(&*folder.secret(PEPPER)?))));
    // A crash in between leaves the old one in force, and this can be run again.
    replace(&folder.path(PEPPER_LAST), old.as_bytes())?;
    fs::rename(&next, folder.path(PEPPER)).with_context(|| format!("cannot move `{}`", next.display()))?;
    sync_folder(&folder.path("secrets"))?;
    println!("a running server publishes everything anew under the new pepper, within seconds");
    println!("edges that read a directory report nothing: see for yourself that they follow");
    println!("run `latchkey signer pepper finish` in a quarter of an hour");
    Ok(())
}

fn ask_edges(edges: &[String], token: &str, pepper: &Pepper) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for url in edges {
        let sink = EdgeSink::new(url, token).map_err(|error| anyhow!("the edge `{url}`: {error}"))?;
        let reports = runtime.block_on(sink.peppers());
        let reports = reports.map_err(|error| anyhow!("the edge `{url}` cannot be asked: {error}"))?;
        check(&reports, pepper).with_context(|| format!("the edge `{url}` is not ready"))?;
        println!("every isolate of `{url}` holds the new pepper");
    }
    Ok(())
}

/// Whether every isolate that read the hub in the last quarter of an hour holds the pepper, and one did.
fn check(reports: &PepperReports, pepper: &Pepper) -> Result<()> {
    let (id, now) = (pepper.id(), reports.now);
    let report = reports.peppers.iter().find(|report| report.id == id);
    let report = report.context("no isolate that read the hub held the new pepper")?;
    let silent_ms = now.since_ms(report.with_at);
    ensure!(
        silent_ms <= QUIET_MS,
        "the last isolate with the new pepper was seen {} s ago",
        silent_ms / 1000
    );
    match report.without_at {
        Some(without_at) if now.since_ms(without_at) < QUIET_MS => bail!(
            "an isolate without the new pepper was seen {} s ago: wait until none was for {} s",
            now.since_ms(without_at) / 1000,
            QUIET_MS / 1000
        ),
        _ => Ok(()),
    }
}

fn finish(dir: &Path, force: bool) -> Result<()> {
    let folder = Folder::new(dir);
    let _lock = folder.lock_to_change()?;
    let last = folder.path(PEPPER_LAST);
    ensure!(last.exists(), "no pepper waits to be forgotten");
    ensure!(!folder.path(PEPPER_NEXT).exists(), "the switch was cut off: `signer pepper switch`");
    let about = || format!("`{}`", last.display());
    let switched_at = fs::metadata(&last).and_then(|about| about.modified()).with_context(about)?;
    let age = SystemTime::now().duration_since(switched_at).unwrap_or_default();
    let wait = Duration::from_millis(QUIET_MS).saturating_sub(age);
    ensure!(
        force || wait.is_zero(),
        "the switch was {} s ago: edges may still follow; wait another {} s, or `--force`",
        age.as_secs(),
        wait.as_secs()
    );
    fs::remove_file(&last).with_context(about)?;
    sync_folder(&folder.path("secrets"))?;
    println!("the old pepper is forgotten; deploy the edges with what `latchkey edge-env` prints now");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_control::publish::PepperReport;
    use latchkey_core::UnixMillis;

    const NOW: u64 = 10_000_000;

    fn reports(with_at: u64, without_at: Option<u64>) -> PepperReports {
        let id = Pepper::new([5; 32]).id();
        let report =
            PepperReport { id, with_at: UnixMillis(with_at), without_at: without_at.map(UnixMillis) };
        PepperReports { now: UnixMillis(NOW), peppers: vec![report] }
    }

    #[test]
    fn isolate_without_the_pepper_within_a_quarter_of_an_hour_stops_the_switch() {
        let pepper = Pepper::new([5; 32]);
        let refusal = |reports: &PepperReports| check(reports, &pepper).unwrap_err().to_string();
        assert!(refusal(&PepperReports::default()).contains("no isolate"));
        let other = Pepper::new([6; 32]);
        assert!(check(&reports(NOW, None), &other).is_err());
        assert!(refusal(&reports(NOW, Some(NOW))).contains("without"));
        assert!(refusal(&reports(NOW, Some(NOW - QUIET_MS + 1))).contains("without"));
        assert!(refusal(&reports(NOW - QUIET_MS - 1, None)).contains("seen 900 s ago"));
        for good in [reports(NOW, None), reports(NOW - QUIET_MS, Some(NOW - QUIET_MS)), reports(NOW, Some(0))]
        {
            assert!(check(&good, &pepper).is_ok(), "{good:?}");
        }
    }
}
