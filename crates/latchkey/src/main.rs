//! Latchkey's one binary. Each command is a module; `main` only chooses.

mod api;
mod audit;
mod backup;
mod config;
mod edge_env;
mod gate;
mod init;
mod inspect;
mod installation;
mod keys;
mod publish;
mod published;
mod restore;
mod routes;
mod serve;
mod signer;
mod snapshot;

use clap::{Parser, Subcommand};
use latchkey_control::outside::{Clock, SystemClock};
use std::path::PathBuf;
use std::process::ExitCode;

/// Identity and access, decided at the CDN's edge.
#[derive(Parser)]
#[command(name = "latchkey", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes an installation: signing keys, secrets, an empty database, the first operator token.
    Init(init::Arguments),
    /// Serves the control plane and publishes to the edges.
    Serve(config::Arguments),
    /// Prints the API's OpenAPI document.
    Openapi,
    /// Works with route rules.
    #[command(subcommand)]
    Routes(RoutesCommand),
    /// Prints what the Workers need, as an env file.
    EdgeEnv(edge_env::Arguments),
    /// Serves the native gate: in front of an origin, or for a proxy that asks it.
    Gate(gate::Arguments),
    /// Prints what a native gate needs, as an env file.
    GateEnv(edge_env::GateArguments),
    /// Works with the audit log: its key, a copy of it, and the proof that a copy is whole.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Works with signing keys and roots: makes, signs, installs, rotates and revokes them.
    #[command(subcommand)]
    Signer(signer::Command),
    /// Works with what is published: how far it has come, a change's receipt, holding grants back.
    #[command(subcommand)]
    Publish(publish::Command),
    /// Copies the whole state, from a server that runs or from the database of one that is stopped.
    Backup(backup::Arguments),
    /// Makes the database from a backup, above everything that was published; what edges refuse stays refused.
    Restore(restore::Arguments),
    /// Looks into what is published: its figures, whether it is whole, what differs, whether the database says the same.
    #[command(subcommand)]
    Snapshot(snapshot::Command),
    /// Works with API keys.
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Subcommand)]
enum RoutesCommand {
    /// Checks a file of route rules; errors point at line and column.
    Check {
        /// The file, as in examples/routes.toml.
        file: PathBuf,
    },
    /// Says what the rules make of a request, and why.
    Test(Box<routes::TrialArguments>),
    #[command(flatten)]
    InForce(routes::Command),
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Reads a key from standard input and tells its id and whether it is well formed; never shows it.
    Inspect {
        /// What the installation's keys begin with.
        #[arg(long)]
        prefix: String,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Init(arguments) => init::run(&arguments),
        Command::Serve(arguments) => serve::run(arguments),
        Command::Openapi => {
            print!("{}", latchkey_control::http::openapi::text());
            Ok(())
        }
        Command::Routes(RoutesCommand::Check { file }) => routes::check(&file, SystemClock.now().seconds()),
        Command::Routes(RoutesCommand::Test(arguments)) => routes::try_out(&arguments, SystemClock.now()),
        Command::Routes(RoutesCommand::InForce(command)) => routes::look_back(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Signer(command) => signer::run(&command),
        Command::Publish(command) => publish::run(&command),
        Command::Snapshot(command) => snapshot::run(&command),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
        Command::EdgeEnv(arguments) => edge_env::run(&arguments),
        Command::Gate(arguments) => gate::run(&arguments),
        Command::GateEnv(arguments) => edge_env::run_for_gate(&arguments),
        Command::Key(KeyCommand::Inspect { prefix }) => inspect::run(&prefix),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
