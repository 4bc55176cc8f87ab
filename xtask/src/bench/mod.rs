//! `cargo xtask bench`: measures the rows of DESIGN §8 that exist so far and writes docs/benchmarks.md.
//!
//! Each part is a module that returns values; [`row`] holds them against their targets. A missed target is shown
//! as missed and fails nothing; a part that cannot be measured is shown as such and fails the command at its end.

mod native;
mod native_gate;
mod overhead;
mod page;
mod revocations;
mod row;
mod scripts;
mod start;
mod worker;

use crate::{dev, repo, setup, step};
use anyhow::{Context, Result, bail};
use row::{Extent, Row, Value};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `cargo xtask bench` is asked for.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Fewer rounds: under five minutes once everything is built.
    #[arg(long)]
    quick: bool,
    /// Writes the rows to this file, each `{id, value, unit, target, met, compared_with}`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measures this part alone, and leaves docs/benchmarks.md as it is.
    #[arg(long, value_name = "PART")]
    only: Option<String>,
}

/// How thoroughly to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Rounds of the native verdicts.
    rounds: usize,
    /// Rounds of the verdicts in workerd.
    worker_rounds: usize,
    /// Cold starts of workerd.
    starts: usize,
    /// Keys that are revoked while the edge serves.
    revocations: usize,
    /// Keys that are revoked while something goes wrong.
    faults: usize,
    /// How many keys the installations have that are built whole.
    sizes: &'static [u64],
    /// How many keys the installations have in which single changes are published.
    republished: &'static [u64],
    /// Seconds of each row of key creation.
    creation_secs: u64,
    /// Rounds of load on the native gate and on nginx, and the seconds of each.
    load_rounds: usize,
    load_secs: u64,
}

const QUICK: Effort = Effort {
    rounds: 400,
    worker_rounds: 15,
    starts: 3,
    revocations: 60,
    faults: 14,
    sizes: &[10_000, 1_000_000, 10_000_000],
    republished: &[1_000_000],
    creation_secs: 5,
    load_rounds: 3,
    load_secs: 3,
};
const FULL: Effort = Effort {
    rounds: 4000,
    worker_rounds: 100,
    starts: 9,
    revocations: 300,
    faults: 70,
    sizes: &[10_000, 1_000_000, 10_000_000, 100_000_000],
    republished: &[1_000_000, 10_000_000],
    creation_secs: 20,
    load_rounds: 7,
    load_secs: 8,
};

type Part = fn(Effort) -> Result<Vec<Value>>;

const PARTS: &[(&str, Part)] = &[
    ("native", native::measure),
    ("scale", native::scale),
    ("creation", native::creation),
    ("workerd", worker::measure),
    ("overhead", overhead::measure),
    ("scripts", scripts::measure),
    ("start", start::measure),
    ("revocations", revocations::measure),
    ("native-gate", native_gate::measure),
];

/// Measures, and writes the page and the JSON.
///
/// # Errors
/// A part could not be measured; what the others gave is written all the same.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let machine = page::Machine::look();
    setup::npm()?;
    let (values, failures) = measure(arguments)?;
    let mut rows = row::judge(&values, if arguments.quick { Extent::Quick } else { Extent::Full });
    if arguments.only.is_some() {
        rows.retain(|row| row.value.is_some());
    }
    rows.iter().for_each(|row| println!("{row}\n    {}", row.compared_with));
    if arguments.only.is_none() {
        let page = repo::root().join("docs/benchmarks.md");
        fs::write(&page, page::render(arguments.quick, &machine, &rows, &failures))?;
        println!("wrote `{}`", page.display());
    }
    if let Some(path) = &arguments.json {
        write_json(path, &rows)?;
    }
    match failures.len() {
        0 => Ok(()),
        count => bail!("{count} things went wrong:\n{}", failures.join("\n")),
    }
}

/// What the parts gave, and why some gave nothing.
fn measure(arguments: &Arguments) -> Result<(Vec<Value>, Vec<String>)> {
    let effort = if arguments.quick { QUICK } else { FULL };
    let asked = |name: &str| arguments.only.as_deref().is_none_or(|only| only == name);
    let parts: Vec<_> = PARTS.iter().filter(|(name, _)| asked(name)).collect();
    if parts.is_empty() {
        let known: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
        bail!("there is no such part; the parts are {}", known.join(", "));
    }
    let (mut values, mut failures) = (Vec::new(), Vec::new());
    for (name, measure) in parts {
        println!("measuring: {name}");
        match measure(effort) {
            Ok(more) => values.extend(more),
            Err(error) => failures.push(format!("{name}: {error:#}")),
        }
    }
    failures.extend(row::unlisted(&values).map(|id| format!("`{id}` is in no row of the page")));
    Ok((values, failures))
}

fn write_json(path: &Path, rows: &[Row]) -> Result<()> {
    let list: Vec<_> = rows.iter().map(Row::json).collect();
    fs::write(path, serde_json::to_string_pretty(&list)? + "\n")
        .with_context(|| format!("cannot write `{}`", path.display()))
}

/// Builds `latchkey-bench` for release, beside our own binary, and returns it.
fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.parent().and_then(Path::parent).context("xtask does not run from a target directory")?;
    let mut command = Command::new(env!("CARGO"));
    setup::own_environment(&mut command)
        .args(["build", "--quiet", "--release", "--package", "latchkey-bench", "--target-dir"])
        .arg(target)
        .current_dir(repo::root());
    step::run("building latchkey-bench", &mut command)?;
    Ok(target.join("release/latchkey-bench"))
}

/// Builds everything that a stack needs.
fn prepare_stack() -> Result<()> {
    dev::prepare()
}
