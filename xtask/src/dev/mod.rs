//! `cargo xtask dev`: the whole product on this machine, for a person to try, or once through its story.

mod access;
pub(crate) mod client;
pub(crate) mod network;
pub(crate) mod process;
pub(crate) mod stack;
mod story;
mod tour;

use crate::{setup, wasm};
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

/// What `cargo xtask dev` is asked for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Tells the story from start to end, checks each step, and exits.
    #[arg(long)]
    once: bool,
    /// With `--once`: writes the steps to this file, each `{name, ok, ms, detail}`.
    #[arg(long, value_name = "FILE", requires = "once")]
    json: Option<PathBuf>,
    /// The edge's port.
    #[arg(long, default_value_t = 8787, conflicts_with = "once")]
    port: u16,
    /// The control plane's port.
    #[arg(long, default_value_t = 8788, conflicts_with = "once")]
    control_port: u16,
}

/// Sets everything up and runs it.
///
/// # Errors
/// Something could not be set up or started, or a step of the story failed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    prepare()?;
    if arguments.once {
        story::tell(arguments.json.as_deref())
    } else {
        tour::stay(arguments.port, arguments.control_port)
    }
}

/// Builds what a stack consists of.
pub(crate) fn prepare() -> Result<()> {
    setup::all()?;
    wasm::build()?;
    stack::build_binary()
}
