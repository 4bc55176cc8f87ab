//! What the edge's script costs before its first request.

use super::Effort;
use super::row::Value;
use super::worker::{median, number};
use crate::{repo, setup, wasm};
use anyhow::{Result, bail};
use std::process::Command;

pub(crate) fn measure(effort: Effort) -> Result<Vec<Value>> {
    wasm::build()?;
    let module = repo::root().join("wasm/edge/build/index_bg.wasm");
    let starts = effort.starts * 5;
    let mut answers = Vec::with_capacity(starts);
    for _ in 0..starts {
        let mut command = Command::new(setup::node());
        let output = command.arg(repo::root().join("wasm/bench/start.mjs")).arg(&module).output()?;
        if !output.status.success() {
            bail!("`start.mjs` failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        answers.push(serde_json::from_slice(&output.stdout)?);
    }
    let detail = format!(
        "CPU of all threads while V8 (in node) compiles and instantiates the edge's module; {:.0} ms elapsed; median of \
         {starts} fresh processes; the glue's JavaScript, {} KB, is not run",
        median(&answers, "ms")?,
        repo::root().join("wasm/edge/build/index.js").metadata()?.len() / 1000
    );
    let slowest = answers.iter().map(|answer| number(answer, "cpu_ms")).collect::<Result<Vec<_>>>()?;
    let detail = format!("{detail}; slowest {:.0} ms", slowest.into_iter().fold(0.0, f64::max));
    Ok(vec![Value::new("worker_start_ms", median(&answers, "cpu_ms")?, detail)])
}
