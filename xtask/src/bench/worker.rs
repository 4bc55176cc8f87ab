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
use std::time::Duration;

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
/// How long one call may measure: a hundred rounds of three verdicts take half a minute on a slow machine.
const CALL_MAX: Duration = Duration::from_secs(300);
/// Activations of an isolate that has done it before.
const WARM_ACTIVATIONS: usize = 5;
const JWT_ROUNDS: usize = 15;
/// Of a run through which memory stays flat. The data set has keys for no more.
const REFRESHES_MANY: u32 = 3300;
/// So few that all their pages' lines are in the cache: what is left is computing.
const FEW_KEYS: usize = 500;
/// Rules of which one is found.
const RULES_MANY: u32 = 1000;
const RULES_FEW: u32 = 30;
/// The files of the data set.
pub(crate) const DATA: [&str; 4] = ["edge", "heads", "objects", "keys"];
/// What its further heads lead to.
const FURTHER: [&str; 2] = ["later", "last"];
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
    let (wrangler, api) = start(CONFIGURATION, scratch.path(), &files, &[&DATA[..], &FURTHER].concat())?;
    cold.push(ask(&api, "activate", json!({}))?);
    let refreshes = ask(&api, "refreshes", json!({}))?;
    let few = json!({ "rounds": effort.worker_rounds / 5 + 1 });
    let behind_deltas = ask(&api, "verdicts", few)?;
    let last = ask(&api, "last", json!({}))?;
    // The rows of verdicts are of a base alone.
    let mut warm = vec![ask(&api, "activate", json!({}))?];
    let verdicts = ask(&api, "verdicts", json!({ "rounds": effort.worker_rounds }))?;
    let cached = ask(&api, "verdicts", json!({ "rounds": effort.worker_rounds, "keys": FEW_KEYS }))?;
    let jwt = ask(&api, "jwt", json!({ "rounds": JWT_ROUNDS }))?;
    let routes = |rules: u32| ask(&api, "routes", json!({ "rounds": effort.worker_rounds, "rules": rules }));
    let (many, few_rules) = (routes(RULES_MANY)?, routes(RULES_FEW)?);
    for _ in 1..WARM_ACTIVATIONS {
        warm.push(ask(&api, "activate", json!({}))?);
    }
    wrangler.stop()?;
    let facts = serde_json::from_slice(&fs::read(files.join("facts"))?)?;
    let mut values = activations(&cold, &warm)?;
    values.extend(code(&files, effort.starts)?);
    values.push(memory(&cold, &refreshes, &facts)?);
    values.push(growth(&scratch.path().join("many"))?);
    values.extend(steps(&refreshes, &last, &facts)?);
    values.push(routing(&many, &few_rules)?);
    values.extend(speeds(&verdicts, &cached, &behind_deltas, &jwt)?);
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

/// How much of an activation is V8's work on the code: the same steps in fresh processes of node, which has the same V8, where every
/// function is compiled at its first call, as in workerd, and where all are before the first.
fn code(files: &Path, runs: usize) -> Result<Vec<Value>> {
    let home = repo::root().join("wasm/bench");
    let medians = |flags: &[&str]| -> Result<[f64; 3]> {
        let mut answers: Vec<Json> = Vec::with_capacity(runs);
        for _ in 0..runs {
            let mut command = Command::new(setup::node());
            command.args(flags).arg(home.join("activation.mjs")).arg(files);
            let output = command.arg(home.join("build/gate.wasm")).output()?;
            let told = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "`activation.mjs` failed: {told}");
            answers.push(serde_json::from_slice(&output.stdout)?);
        }
        let of = |field| median(&answers, field);
        Ok([of("first_ms")?, of("full_ms")?, of("cpu_ms")?])
    };
    let lazy = medians(&[])?;
    let baseline = medians(&["--no-wasm-lazy-compilation"])?;
    let optimized = medians(&["--no-wasm-lazy-compilation", "--no-liftoff"])?;
    let detail = |what: &str, at: usize| {
        let [lazy, baseline] = [lazy, baseline].map(|times| times.get(at).copied().unwrap_or_default());
        format!(
            "{what}, all code optimized beforehand, in node (median of {runs} processes); with all code compiled beforehand but not \
             optimized {baseline:.1} ms, and with each function compiled at its first call, as in workerd, {lazy:.1} ms"
        )
    };
    let [first, full, step] = optimized;
    Ok(vec![
        Value::new("activation_first_code_ms", first, detail("the same to the first verdict", 0)),
        Value::new("activation_full_code_ms", full, detail("the same to all pages", 1)),
        Value::new("activation_cpu_code_ms_max", step, detail("the slowest step of the same", 2)),
    ])
}

/// Linear memory after a publisher's run.
fn memory(cold: &[Json], refreshes: &Json, facts: &Json) -> Result<Value> {
    let loaded = cold.last().context("no activation")?;
    let detail = format!(
        "linear memory after {} refreshes of a store that goes on changing: {} heads, {} changes, {} new bases, at most {} \
         deltas of {} bytes together; {:.2} MB before, {:.1} MB of pages held then",
        number(facts, "refreshes")?,
        number(facts, "heads")?,
        number(facts, "changes")?,
        number(facts, "bases")?,
        number(facts, "deltas_max")?,
        number(facts, "chain_bytes_max")?,
        number(loaded, "memory_mb")?,
        number(loaded, "bytes")? / 1e6,
    );
    Ok(Value::new("isolate_memory_mb", number(refreshes, "memory_mb")?, detail))
}

/// Whether memory stays flat: a run three times as long, in node.
fn growth(files: &Path) -> Result<Value> {
    export_with(files, &["--refreshes", &REFRESHES_MANY.to_string()])?;
    let home = repo::root().join("wasm/bench");
    let mut command = Command::new(setup::node());
    command.arg(home.join("memory.mjs")).arg(files).arg(home.join("build/gate.wasm"));
    let output = command.output()?;
    ensure!(output.status.success(), "`memory.mjs` failed: {}", String::from_utf8_lossy(&output.stderr));
    let answer: Json = serde_json::from_slice(&output.stdout)?;
    let (first, second) = (number(&answer, "first_mb")?, number(&answer, "second_mb")?);
    let detail = format!(
        "{REFRESHES_MANY} such refreshes, in node: what linear memory had at its most over what the gate holds was {first:.2} MB in their \
         first half and {second:.2} MB in the second; {:.1} MB in all at the end, {:.1} MB of it held. Two pages of a snapshot are allowed",
        number(&answer, "memory_mb")?,
        number(&answer, "held_mb")?,
    );
    Ok(Value::new("isolate_memory_growth_kb", (second - first) * 1e3, detail))
}

/// What single steps cost an isolate that serves already.
fn steps(refreshes: &Json, last: &Json, facts: &Json) -> Result<Vec<Value>> {
    let refresh = format!(
        "the slowest of all steps of those refreshes, a head and up to 32 objects each, bases among them; {:.2} ms a refresh \
         on average",
        number(refreshes, "ms")? / number(facts, "refreshes")?
    );
    let delta = format!(
        "a head whose delta has {} bytes, over everything loaded: all steps {:.0} ms",
        number(facts, "delta_bytes")?,
        number(last, "delta_ms")?
    );
    let base = format!(
        "the slowest step of a move to another base, all steps {:.0} ms for {} pages",
        number(last, "move_ms")?,
        number(last, "pages")?
    );
    Ok(vec![
        Value::new("refresh_cpu_ms_max", number(refreshes, "cpu_ms")?, refresh),
        Value::new("delta_1mb_cpu_ms_max", number(last, "delta_cpu_ms")?, delta),
        Value::new("rebase_cpu_ms_max", number(last, "move_cpu_ms")?, base),
    ])
}

/// What finding the rule costs where there are many.
fn routing(many: &Json, few: &Json) -> Result<Value> {
    let detail = format!(
        "the rule of a request found among {RULES_MANY}, its path checked: ten for each kind of thing in a project, each \
         asked for as often; among {RULES_FEW} {:.0} ns; compiled in {:.0} ms, once for each change of rules",
        number(few, "find")?,
        number(many, "compile_ms")?
    );
    Ok(Value::new("routes_1000_ns", number(many, "find")?, detail))
}

fn speeds(verdicts: &Json, cached: &Json, behind_deltas: &Json, jwt: &Json) -> Result<Vec<Value>> {
    let of = |name: &str| number(verdicts, name);
    let (route, jwt) = (of("route")?, number(jwt, "jwt")?);
    ensure!(of("allowed")? > 0.8, "the gate let only {} of all in", of("allowed")?);
    let detail = format!(
        "1 M keys, POST /v1/chat/completions; whoami {:.0} ns, junk {:.0} ns; BLAKE3 of the text alone {:.0} ns; \
         with {FEW_KEYS} keys, all in the cache, {:.0} ns; behind deltas, after all refreshes, {:.0} ns",
        of("whoami")?,
        of("junk")?,
        of("digest")?,
        number(cached, "route")?,
        number(behind_deltas, "route")?
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
    export_with(files, &[])
}

fn export_with(files: &Path, options: &[&str]) -> Result<()> {
    let mut command = Command::new(super::binary()?);
    step::run("writing the data set", command.arg("export").arg(files).args(options))
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
    let api = Api::within(wrangler.url(), CALL_MAX);
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
