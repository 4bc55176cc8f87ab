//! Measures what can be measured without workerd, and writes the data set for what cannot.
//!
//! `cargo xtask bench` runs this and judges the rows; here is only how each value comes about. [`world`] is the
//! data set, the same at every run; `verdicts` and `snapshots` are the rows; `export` is for workerd.

mod creation;
mod edge;
mod export;
mod installation;
mod memory;
mod row;
mod scale;
mod snapshots;
mod stock;
mod timing;
mod verdicts;
mod world;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use world::World;

/// Figures of Latchkey's native side, one JSON object a line.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How many projects the data set has.
    #[arg(long, global = true, default_value_t = 10_000)]
    projects: u32,
    /// How many keys each project has.
    #[arg(long, global = true, default_value_t = 100)]
    keys: u32,
}

#[derive(Subcommand)]
enum Command {
    /// Measures everything and prints the rows.
    Rows {
        /// Rounds of each verdict; a value is their median.
        #[arg(long, default_value_t = 400)]
        rounds: usize,
    },
    /// Writes what an edge in workerd loads into this directory.
    Export {
        /// The directory; it is made.
        directory: PathBuf,
        /// Heads that follow the first one.
        #[arg(long, default_value_t = 1000)]
        refreshes: u32,
    },
    /// Measures key creation over HTTP and prints the rows.
    Creation {
        /// Seconds of each row.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// Builds big installations, publishes them to a directory and asks a gate over it; prints the rows.
    Scale {
        /// How many keys; several sizes one after the other.
        #[arg(long, required = true)]
        sizes: Vec<u64>,
        /// Where the files go meanwhile: 120 bytes for each key.
        #[arg(long)]
        directory: Option<PathBuf>,
        /// Keys that the gate is asked for.
        #[arg(long, default_value_t = 20_000)]
        asks: usize,
    },
    /// Asks a gate over what `scale` published; prints the row.
    Gate {
        /// How many keys there are.
        #[arg(long)]
        size: u64,
        /// The directory.
        #[arg(long)]
        published: PathBuf,
        /// Keys that the gate is asked for.
        #[arg(long, default_value_t = 20_000)]
        asks: usize,
    },
    /// Publishes single changes of a big installation, through the whole product; prints the rows.
    Republish {
        /// How many keys.
        #[arg(long, default_value_t = 10_000_000)]
        size: u64,
        /// Where the files go meanwhile.
        #[arg(long)]
        directory: Option<PathBuf>,
    },
    /// Repeats one measurement, for a profiler to look at.
    Spin {
        /// Its name; a wrong one prints them all.
        measurement: String,
        /// For how long.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match &arguments.command {
        Command::Creation { seconds } => {
            let rows = creation::rows(Duration::from_secs(*seconds))?;
            rows.iter().for_each(row::Row::print);
            return Ok(());
        }
        Command::Scale { sizes, directory, asks } => {
            let directory = directory.clone().unwrap_or_else(std::env::temp_dir);
            for keys in sizes {
                scale::rows(*keys, &directory, *asks)?.iter().for_each(row::Row::print);
            }
            return Ok(());
        }
        Command::Gate { size, published, asks } => {
            scale::gate(*size, published, *asks)?.iter().for_each(row::Row::print);
            return Ok(());
        }
        Command::Republish { size, directory } => {
            let directory = directory.clone().unwrap_or_else(std::env::temp_dir);
            scale::republish::rows(*size, &directory)?.iter().for_each(row::Row::print);
            return Ok(());
        }
        Command::Rows { .. } | Command::Export { .. } | Command::Spin { .. } => {}
    }
    let start = Instant::now();
    let world = World::new(arguments.projects, arguments.keys)?;
    eprintln!("{} keys made in {:.1} s", world.keys.len(), start.elapsed().as_secs_f64());
    match arguments.command {
        Command::Rows { rounds } => {
            let mut rows = snapshots::rows(&world)?;
            rows.extend(verdicts::rows(&world, rounds)?);
            rows.iter().for_each(row::Row::print);
            Ok(())
        }
        Command::Creation { .. }
        | Command::Scale { .. }
        | Command::Gate { .. }
        | Command::Republish { .. } => Ok(()),
        Command::Export { directory, refreshes } => export::write(&world, &directory, refreshes),
        Command::Spin { measurement, seconds } => {
            verdicts::spin(&world, &measurement, Duration::from_secs(seconds))
        }
    }
}
