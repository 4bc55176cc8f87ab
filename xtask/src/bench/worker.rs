//! The gate in workerd: wasm/bench built, fed with the data set, and asked what it measured.

use super::Effort;
use super::row::Value;
use crate::dev::client::Api;
use crate::wrangler::{Options, Wrangler};
use crate::{repo, setup, step};
use anyhow::{Context, Result, ensure};
use serde_json::{Value as Json, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const CRATE: &str = "latchkey-bench-worker";
/// The same as in wasm/edge/Cargo.toml.
const WASM_OPT: [&str; 9] = [
    "-O3",
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-sign-ext",
    "--enable-nontrapping-float-to-int",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
    "--strip-debug",
];
/// Activations of an isolate that has done it before.
const WARM_ACTIVATIONS: usize = 5;
const JWT_ROUNDS: usize = 15;
/// So few that all their pages' lines are in the cache: what is left is computing.
const FEW_KEYS: usize = 500;
/// The files of the data set.
pub(crate) const DATA: [&str; 4] = ["edge", "heads", "objects", "keys"];
const CONFIGURATION: &str = "wrangler.toml";

pub(crate) fn measure(effort: Effort) -> Result<Vec<Value>> {
    build()?;
    let scratch = tempfile::Builder::new().prefix("latchkey-bench-").tempdir()?;
    let files = scratch.path().join("data");
    export(&files)?;
    let mut cold = Vec::new();
    for _ in 1..effort.starts {
        let (wrangler, api) = start(CONFIGURATION, scratch.path(), &files, &DATA)?;
        cold.push(ask(&api, "activate", json!({}))?);
        wrangler.stop()?;
    }
    let (wrangler, api) = start(CONFIGURATION, scratch.path(), &files, &DATA)?;
    cold.push(ask(&api, "activate", json!({}))?);
    let refreshes = ask(&api, "refreshes", json!({}))?;
    let verdicts = ask(&api, "verdicts", json!({ "rounds": effort.worker_rounds }))?;
    let cached = ask(&api, "verdicts", json!({ "rounds": effort.worker_rounds, "keys": FEW_KEYS }))?;
    let jwt = ask(&api, "jwt", json!({ "rounds": JWT_ROUNDS }))?;
    let warm: Vec<Json> =
        (0..WARM_ACTIVATIONS).map(|_| ask(&api, "activate", json!({}))).collect::<Result<_>>()?;
    wrangler.stop()?;
    let mut values = activations(&cold, &warm)?;
    values.push(memory(&cold, &refreshes)?);
    values.extend(speeds(&verdicts, &cached, &jwt)?);
    Ok(values)
}

fn activations(cold: &[Json], warm: &[Json]) -> Result<Vec<Value>> {
    let of = |id: &str, field: &str, what: &str| -> Result<Value> {
        let detail = format!(
            "{what}; median of {} fresh workerds, in a warm isolate {:.0} ms",
            cold.len(),
            median(warm, field)?
        );
        Ok(Value::new(id, median(cold, field)?, detail))
    };
    Ok(vec![
        of(
            "activation_first_ms",
            "first_ms",
            "root, head, manifest, node and one page checked, one verdict",
        )?,
        of("activation_full_ms", "full_ms", "all pages but those of names checked and held")?,
        of("activation_cpu_ms_max", "cpu_ms", "the slowest step, of 32 objects each or the first verdict")?,
    ])
}

fn memory(cold: &[Json], refreshes: &Json) -> Result<Value> {
    let loaded = number(cold.last().context("no activation")?, "memory_mb")?;
    let after = number(refreshes, "memory_mb")?;
    let expected = 1.0 + (number(refreshes, "refreshes")? / 20.0).floor();
    ensure!((number(refreshes, "generation")? - expected).abs() < 0.5, "the refreshes did not arrive");
    let detail = format!(
        "linear memory after {} refreshes with {} new editions; {:.1} MB half-way, {loaded:.1} MB before, {:.1} MB of \
         pages held",
        number(refreshes, "refreshes")?,
        expected - 1.0,
        number(refreshes, "half_mb")?,
        number(cold.last().context("no activation")?, "bytes")? / 1e6,
    );
    Ok(Value::new("isolate_memory_mb", after, detail))
}

fn speeds(verdicts: &Json, cached: &Json, jwt: &Json) -> Result<Vec<Value>> {
    let of = |name: &str| number(verdicts, name);
    let (route, jwt) = (of("route")?, number(jwt, "jwt")?);
    ensure!(of("allowed")? > 0.8, "the gate let only {} of all in", of("allowed")?);
    let detail = format!(
        "1 M keys, POST /v1/chat/completions; whoami {:.0} ns, junk {:.0} ns; BLAKE3 of the text alone {:.0} ns; \
         with {FEW_KEYS} keys, all in the cache, {:.0} ns",
        of("whoami")?,
        of("junk")?,
        of("digest")?,
        number(cached, "route")?
    );
    let resource = format!(
        "GET /v1/projects/{{slug}}/files/{{file}}; with {FEW_KEYS} keys, all in the cache, {:.0} ns",
        number(cached, "resource")?
    );
    let against =
        format!("`jose` verifies an EdDSA JWT in {:.1} µs, the verdict takes {route:.0} ns", jwt / 1e3);
    Ok(vec![
        Value::new("verdict_workerd_ns", route, detail),
        Value::new("verdict_workerd_resource_ns", of("resource")?, resource),
        Value::new("verdict_vs_jwt", jwt / route, against),
    ])
}

/// Builds the script and bundles it with `jose`.
fn build() -> Result<()> {
    let home = repo::root().join("wasm/bench");
    let out = home.join("build");
    fs::create_dir_all(&out)?;
    let module = compile(&home)?;
    let bindgen = setup::wasm_bindgen()?;
    let mut command = Command::new(bindgen);
    command.args(["--target", "web", "--no-typescript", "--out-dir"]).arg(out.join("pkg")).arg(module);
    step::run("binding the script to JavaScript", &mut command)?;
    let mut command = tool("wasm-opt")?;
    command.args(WASM_OPT).arg(out.join("pkg/latchkey_bench_worker_bg.wasm"));
    step::run("optimizing the script", command.arg("-o").arg(out.join("gate.wasm")))?;
    let mut command = tool("esbuild")?;
    command.args(["--bundle", "--format=esm", "--platform=browser", "--external:*.wasm"]);
    command.args(["--conditions=workerd,worker,browser", "--log-level=warning"]);
    command.arg(format!("--outfile={}", out.join("index.js").display())).arg(home.join("entry.mjs"));
    step::run("bundling the script", &mut command)
}

fn tool(name: &str) -> Result<Command> {
    let mut command = Command::new(setup::npm_program(name));
    command.env("PATH", setup::path_with_node()?);
    Ok(command)
}

/// Compiles the script to wasm, as the deployed ones are.
fn compile(home: &Path) -> Result<PathBuf> {
    let toolchain = setup::wasm_toolchain()?;
    let target = setup::wasm_target_dir(toolchain)?;
    let _lock = repo::lock("wasm-build")?;
    let mut command = Command::new("cargo");
    setup::own_environment(&mut command)
        .args(["build", "--release", "--target", setup::WASM_TARGET, "--package", CRATE])
        .current_dir(home)
        .env("CARGO_TARGET_DIR", &target);
    if let Some(name) = toolchain {
        command.env("RUSTUP_TOOLCHAIN", name);
    }
    step::run("compiling the script that is measured", &mut command)?;
    Ok(target.join(setup::WASM_TARGET).join("release/latchkey_bench_worker.wasm"))
}

pub(crate) fn export(files: &Path) -> Result<()> {
    let mut command = Command::new(super::binary()?);
    step::run("writing the data set", command.arg("export").arg(files))
}

/// A fresh workerd with these files of the data set.
pub(crate) fn start(
    configuration: &str,
    scratch: &Path,
    files: &Path,
    names: &[&str],
) -> Result<(Wrangler, Api)> {
    let mut options = Options::new(scratch.join("wrangler.log"));
    options.configurations = vec![repo::root().join("wasm/bench").join(configuration)];
    let wrangler = Wrangler::start(&options)?;
    let api = Api::new(wrangler.url());
    for name in names {
        api.put_bytes(&format!("/{name}"), fs::read(files.join(name))?)?.success()?;
    }
    Ok((wrangler, api))
}

pub(crate) fn ask(api: &Api, name: &str, body: Json) -> Result<Json> {
    let reply =
        api.post(&format!("/{name}"), &body)?.success().with_context(|| format!("measuring `{name}`"))?;
    Ok(reply.json())
}

pub(crate) fn number(json: &Json, field: &str) -> Result<f64> {
    json[field].as_f64().with_context(|| format!("the script did not say `{field}`"))
}

pub(crate) fn median(answers: &[Json], field: &str) -> Result<f64> {
    let mut values = answers.iter().map(|answer| number(answer, field)).collect::<Result<Vec<_>>>()?;
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().context("nothing was measured")
}
