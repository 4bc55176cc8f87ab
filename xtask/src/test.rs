//! `cargo xtask test`: every test there is, after all the set-up it needs. CI runs this and nothing else.

use crate::dev::stack;
use crate::{repo, setup};
use anyhow::{Result, bail};
use clap::Args;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Which tests to run.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only the stages whose names contain this word.
    #[arg(long)]
    only: Option<String>,
}

type Act = fn() -> Result<()>;

/// What is run, the quickest to fail first.
const STAGES: &[(&str, Act)] = &[
    ("format", format),
    ("lints", lints),
    ("host", host),
    ("vectors", vectors),
    ("stranger", stranger),
    ("fuzz", fuzz),
    ("schemathesis", schemathesis),
    ("s3", s3),
    ("worker", worker),
    ("peers", peers),
    ("library", library),
    ("story", story),
];

/// Runs the stages one after the other and stops at the first that fails.
///
/// # Errors
/// A stage failed, or something it needs could not be installed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::all()?;
    let wanted = |name: &str| arguments.only.as_ref().is_none_or(|word| name.contains(word.as_str()));
    let stages: Vec<_> = STAGES.iter().filter(|(name, _)| wanted(name)).collect();
    if stages.is_empty() {
        bail!("no stage has that in its name");
    }
    let mut lines = Vec::new();
    for (name, act) in &stages {
        let start = Instant::now();
        println!("== {name}");
        if let Err(error) = act() {
            println!("{} passed, 1 failed", lines.len());
            return Err(error.context(format!("the stage `{name}` failed")));
        }
        lines.push(format!("   {name}: {:.0} s", start.elapsed().as_secs_f64()));
    }
    println!("== all stages\n{}", lines.join("\n"));
    println!("{} passed, 0 failed", lines.len());
    Ok(())
}

fn format() -> Result<()> {
    shown(cargo().args(["fmt", "--all", "--check"]))?;
    shown(cargo().args(["fmt", "--all", "--check", "--manifest-path", "wasm/Cargo.toml"]))?;
    shown(cargo().args(["fmt", "--all", "--check", "--manifest-path", "fuzz/Cargo.toml"]))
}

fn lints() -> Result<()> {
    let all = ["--workspace", "--all-targets", "--", "--deny", "warnings"];
    shown(cargo().args(["clippy", "--quiet"]).args(all))?;
    // For the host: a distribution's compiler for wasm32 comes without clippy, and no code there is for that target alone.
    shown(cargo().args(["clippy", "--quiet", "--manifest-path", "wasm/Cargo.toml"]).args(all))
}

fn host() -> Result<()> {
    let mut command = Command::new(setup::nextest()?);
    command.args([
        "nextest",
        "run",
        "--workspace",
        "--no-fail-fast",
        "--status-level",
        "fail",
        "--hide-progress-bar",
    ]);
    shown(command.current_dir(repo::root()))
}

fn vectors() -> Result<()> {
    crate::vectors::run(&crate::vectors::Arguments { check: true })
}

fn stranger() -> Result<()> {
    shown(Command::new("bash").arg("tests/stranger/run").current_dir(repo::root()))
}

/// The live control plane is called as its OpenAPI document says, and as it says not to.
fn schemathesis() -> Result<()> {
    stack::build_binary()?;
    let mut command = Command::new("bash");
    shown(command.arg("tests/schemathesis/run").arg(stack::binary()?).current_dir(repo::root()))
}

/// The binary publishes to an S3-compatible server that others keep, and restores from it.
fn s3() -> Result<()> {
    stack::build_binary()?;
    let mut command = Command::new("bash");
    shown(command.arg("tests/s3/run").arg(stack::binary()?).current_dir(repo::root()))
}

fn fuzz() -> Result<()> {
    crate::fuzz::run(&crate::fuzz::Arguments::smoke())
}

fn worker() -> Result<()> {
    crate::worker_tests::run()
}

/// Real proxies ask the gates.
fn peers() -> Result<()> {
    crate::peers::run()
}

/// The gate inside applications: each example runs against a real control plane.
fn library() -> Result<()> {
    crate::library::run()
}

/// The story runs in a process of its own, as a person would run it.
fn story() -> Result<()> {
    shown(Command::new(std::env::current_exe()?).args(["dev", "--once"]).current_dir(repo::root()))
}

fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    setup::own_environment(&mut cargo);
    cargo.current_dir(repo::root());
    cargo
}

/// Runs a command whose output is for the reader.
fn shown(command: &mut Command) -> Result<()> {
    setup::own_environment(command);
    let status = command.stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { bail!("{:?} failed ({status})", command.get_program()) }
}
