//! What the edge's script, as it is built for the CDN, adds to a request that is let in.

use super::Effort;
use super::row::Value;
use super::worker::{DATA, ask, export, number, start};
use crate::{repo, setup, step, wasm};
use anyhow::{Result, ensure};
use serde_json::json;
use std::fs;
use std::process::Command;

pub(crate) fn measure(effort: Effort) -> Result<Vec<Value>> {
    wasm::build()?;
    bundle()?;
    let scratch = tempfile::Builder::new().prefix("latchkey-bench-").tempdir()?;
    let files = scratch.path().join("data");
    export(&files)?;
    let (wrangler, api) = start("overhead.toml", scratch.path(), &files, &DATA)?;
    let answer = ask(&api, "overhead", json!({ "rounds": effort.worker_rounds.min(40) }))?;
    wrangler.stop()?;
    let of = |name: &str| number(&answer, name);
    ensure!(of("allowed")? > 0.95, "the edge let only {} of all in", of("allowed")?);
    let detail = format!(
        "gateway, POST with 8 headers, everything loaded: {:.0} µs, where a Worker that only passes it on takes {:.0} µs; \
         {:.0} reads of the hub meanwhile",
        of("edge")?,
        of("pass")?,
        of("asked")?
    );
    let beside = format!(
        "the same, where a Worker in JavaScript that decides nothing, but takes off and puts on headers as any gateway does, \
         takes {:.0} µs",
        of("gateway")?
    );
    Ok(vec![
        Value::new("request_overhead_us", of("difference")?, detail),
        Value::new("request_overhead_own_us", of("own")?, beside),
    ])
}

/// Bundles the edge, as it is built, with what calls it in a loop.
fn bundle() -> Result<()> {
    let home = repo::root().join("wasm/bench");
    let out = home.join("build/overhead");
    fs::create_dir_all(&out)?;
    fs::copy(repo::root().join("wasm/edge/build/index_bg.wasm"), out.join("index_bg.wasm"))?;
    let mut command = Command::new(setup::npm_program("esbuild"));
    command.args(["--bundle", "--format=esm", "--platform=browser", "--log-level=warning"]);
    command.args(["--external:*.wasm", "--external:cloudflare:*"]).arg(home.join("overhead.mjs"));
    command
        .arg(format!("--outfile={}", out.join("index.js").display()))
        .env("PATH", setup::path_with_node()?);
    step::run("bundling the edge with its loop", &mut command)
}
