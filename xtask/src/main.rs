//! The project's own commands: `cargo xtask <command>`. One module a command; `repo` and `step` are what they share.

mod bench;
mod dev;
mod fuzz;
mod golden;
mod library;
mod npm;
mod peers;
mod repo;
mod setup;
mod step;
mod test;
mod vectors;
mod wasm;
mod worker_tests;
mod wrangler;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Builds, tests and measures Latchkey.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures what DESIGN §8 sets targets for and writes docs/benchmarks.md.
    Bench(bench::Arguments),
    /// Runs the whole product here: for you to try, or once through its story.
    Dev(dev::Arguments),
    /// Runs the fuzz targets, all or those that are named.
    Fuzz(fuzz::Arguments),
    /// Writes the golden files anew: who may do what, and the OpenAPI document.
    Golden,
    /// Runs the tests with real proxies that ask a gate.
    Peers(worker_tests::Arguments),
    /// Builds the npm package and runs its tests, all or those of the files whose names contain a word.
    LibraryTests(worker_tests::Arguments),
    /// Builds the npm package into wasm/npm/build/package.
    Npm,
    /// Installs what the other commands need; quick when all is there.
    Setup,
    /// Sets everything up and runs every test; what CI runs.
    Test(test::Arguments),
    /// Makes the test vectors of docs/spec anew, or compares them with what is committed.
    Vectors(vectors::Arguments),
    /// Builds the two Worker scripts for release.
    Wasm,
    /// Serves both scripts locally with `wrangler dev` until interrupted.
    Worker(wrangler::ServeArguments),
    /// Runs the tests of the Worker scripts, in the real workerd.
    WorkerTests(worker_tests::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Golden => golden::run(),
        Command::Peers(arguments) => peers::run_some(&arguments),
        Command::LibraryTests(arguments) => library::run_some(&arguments),
        Command::Npm => npm::build(),
        Command::Setup => setup::all(),
        Command::Test(arguments) => test::run(&arguments),
        Command::Vectors(arguments) => vectors::run(&arguments),
        Command::Wasm => wasm::build(),
        Command::Worker(arguments) => wrangler::serve(&arguments),
        Command::WorkerTests(arguments) => worker_tests::run_some(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
