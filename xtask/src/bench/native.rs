//! The rows that need no workerd: `latchkey-bench` measures them.

use super::Effort;
use super::row::Value;
use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

pub(crate) fn measure(effort: Effort) -> Result<Vec<Value>> {
    run(&["rows", "--rounds", &effort.rounds.to_string()])
}

/// Installations of several sizes, built and asked.
pub(crate) fn scale(effort: Effort) -> Result<Vec<Value>> {
    let sizes = effort.sizes.iter().flat_map(|size| ["--sizes".to_owned(), size.to_string()]);
    let arguments: Vec<String> = ["scale".to_owned()].into_iter().chain(sizes).collect();
    let mut values = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
    for size in effort.republished {
        values.extend(run(&["republish", "--size", &size.to_string()])?);
    }
    Ok(values)
}

/// Key creation over HTTP.
pub(crate) fn creation(effort: Effort) -> Result<Vec<Value>> {
    run(&["creation", "--seconds", &effort.creation_secs.to_string()])
}

fn run(arguments: &[&str]) -> Result<Vec<Value>> {
    let mut command = Command::new(super::binary()?);
    command.args(arguments).stderr(Stdio::inherit());
    let output = command.output().context("cannot start `latchkey-bench`")?;
    if !output.status.success() {
        bail!("`latchkey-bench` failed ({})", output.status);
    }
    String::from_utf8(output.stdout)?.lines().map(parse).collect()
}

fn parse(line: &str) -> Result<Value> {
    let row: serde_json::Value = serde_json::from_str(line)?;
    let text = |name: &str| row[name].as_str().with_context(|| format!("a row without `{name}`"));
    Ok(Value::new(text("id")?, row["value"].as_f64().context("a row without a value")?, text("detail")?))
}
