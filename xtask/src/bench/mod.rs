//! `cargo xtask bench`: measures the rows of DESIGN §8 that exist so far and writes docs/benchmarks.md.
//!
//! Each part is a module that returns values; [`row`] holds them against their targets. A missed target is shown
//! as missed and fails nothing; a part that cannot be measured is shown as such and fails the command at its end.

mod native;
mod page;
mod revocations;
mod row;
mod scripts;
mod worker;

use crate::{dev, repo, setup, step};
use anyhow::{Context, Result, bail};
use row::{Row, Value};
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
}

const QUICK: Effort = Effort { rounds: 400, worker_rounds: 15, starts: 3, revocations: 100 };
const FULL: Effort = Effort { rounds: 4000, worker_rounds: 100, starts: 9, revocations: 500 };

type Part = fn(Effort) -> Result<Vec<Value>>;

const PARTS: &[(&str, Part)] = &[
    ("native", native::measure),
    ("workerd", worker::measure),
    ("scripts", scripts::measure),
    ("revocations", revocations::measure),
];

/// Measures, and writes the page and the JSON.
///
/// # Errors
/// A part could not be measured; what the others gave is written all the same.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let effort = if arguments.quick { QUICK } else { FULL };
    let machine = page::Machine::look();
    setup::npm()?;
    let (mut values, mut failures) = (Vec::new(), Vec::new());
    for (name, measure) in PARTS {
        println!("measuring: {name}");
        match measure(effort) {
            Ok(more) => values.extend(more),
            Err(error) => failures.push(format!("{name}: {error:#}")),
        }
    }
    let rows = row::judge(&values);
    rows.iter().for_each(|row| println!("{row}"));
    write(arguments, &machine, &rows, &failures)?;
    match failures.len() {
        0 => Ok(()),
        count => bail!("{count} parts were not measured:\n{}", failures.join("\n")),
    }
}

fn write(arguments: &Arguments, machine: &page::Machine, rows: &[Row], failures: &[String]) -> Result<()> {
    let page = repo::root().join("docs/benchmarks.md");
    fs::write(&page, page::render(arguments.quick, machine, rows, failures))?;
    println!("wrote `{}`", page.display());
    if let Some(path) = &arguments.json {
        let list: Vec<_> = rows.iter().map(Row::json).collect();
        fs::write(path, serde_json::to_string_pretty(&list)? + "\n")
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
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
