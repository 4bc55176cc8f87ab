//! `cargo xtask fuzz`: the targets of fuzz/, fed from tests/vectors; `--smoke` runs each of them for a moment.
//!
//! It needs no nightly compiler: without a sanitizer the instrumentation is stable, and the code has no `unsafe` that
//! one would watch.

use crate::{repo, setup, step, vectors};
use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

/// Runs of a target in a smoke run at most.
const SMOKE_RUNS: u32 = 200_000;
/// Seconds of a target in a smoke run at most.
const SMOKE_SECS: u32 = 7;
/// Targets that run at the same time.
const AT_ONCE: usize = 2;
/// Bytes of an input at most: a node with all its pages is smaller.
const INPUT_LEN_MAX: usize = 16_384;
/// Bytes of a page at most, and more than any delta needs to hold several.
const LONG_INPUT_LEN_MAX: usize = 262_144;
/// Targets whose objects only come near their limits in long inputs.
const LONG_INPUTS: [&str; 2] = ["page", "delta"];
/// Where the narrowing begins in a page of one narrowed key.
const NARROWING_AT: usize = 72;
/// Where the exceptions that begin stand in a delta: the removals come next.
const REMOVALS_AT: usize = 116;
/// Where the statement begins in a head.
const STATEMENT_AT: usize = 18;
/// Bytes of a statement before its signatures.
const STATEMENT_LEN: usize = 236;
/// Bytes of a script for `chain` that change the newest delta.
const CHAIN_CHANGE_LEN: usize = 4;
/// After so many seconds one input counts as a hang.
const INPUT_SECS_MAX: u32 = 5;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The targets to run; all of them if none is named.
    targets: Vec<String>,
    /// A short run with a fixed seed that keeps nothing, for every day.
    #[arg(long, conflicts_with = "secs")]
    smoke: bool,
    /// How many seconds each target runs.
    #[arg(long, default_value_t = 60)]
    secs: u32,
}

impl Arguments {
    /// The short run of every target.
    pub(crate) const fn smoke() -> Self {
        Self { targets: Vec::new(), smoke: true, secs: SMOKE_SECS }
    }
}

/// Builds the targets, feeds them the vectors, and runs them.
///
/// # Errors
/// A target does not build, or finds an input for which what it states does not hold.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let start = Instant::now();
    let all = targets()?;
    if let Some(unknown) = arguments.targets.iter().find(|name| !all.contains(name)) {
        bail!("there is no fuzz target `{unknown}`; there are {}", all.join(", "));
    }
    let chosen = if arguments.targets.is_empty() { &all } else { &arguments.targets };
    let programs = build()?;
    let seeds = seeds()?;
    for name in chosen {
        plant(name, seeds.get(name.as_str()).map_or(&[], Vec::as_slice))?;
    }
    run_all(chosen, &programs, arguments)?;
    println!("fuzz: {} targets held in {:.0} s", chosen.len(), start.elapsed().as_secs_f64());
    Ok(())
}

fn directory() -> PathBuf {
    repo::root().join("fuzz")
}

/// The names of the targets, as fuzz/Cargo.toml lists them.
fn targets() -> Result<Vec<String>> {
    let manifest: toml::Table = fs::read_to_string(directory().join("Cargo.toml"))?.parse()?;
    let bins = manifest.get("bin").and_then(toml::Value::as_array).into_iter().flatten();
    Ok(bins.filter_map(|bin| Some(bin.get("name")?.as_str()?.to_owned())).collect())
}

/// Builds every target and returns where the programs are.
fn build() -> Result<PathBuf> {
    let host = host()?;
    let target_dir = directory().join("target");
    let mut command = Command::new(setup::cargo_fuzz()?);
    setup::own_environment(&mut command)
        .args(["fuzz", "build", "--sanitizer", "none", "--target", &host, "--target-dir"])
        .arg(&target_dir)
        // cargo-fuzz asks for flags that only a nightly compiler takes unasked.
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(repo::root());
    step::run("building the fuzz targets", &mut command)?;
    Ok(target_dir.join(host).join("release"))
}

fn host() -> Result<String> {
    let output =
        Command::new("rustc").arg("-vV").current_dir(repo::root()).output().context("cannot run `rustc`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| anyhow!("`rustc -vV` names no host"))
}

/// Runs the targets, a few at a time, and tells of every one that failed.
fn run_all(chosen: &[String], programs: &Path, arguments: &Arguments) -> Result<()> {
    let waiting = Mutex::new(chosen.iter());
    let failures = Mutex::new(Vec::new());
    let next = || waiting.lock().ok()?.next();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(name) = next() {
                    match run_one(name, programs, arguments) {
                        Ok(done) => println!("fuzz {name}: {done}"),
                        Err(error) => failures.lock().unwrap_or_else(|held| held.into_inner()).push(error),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(|held| held.into_inner());
    let told: Vec<String> = failures.iter().map(|error| format!("{error:#}")).collect();
    if told.is_empty() { Ok(()) } else { bail!("{}", told.join("\n")) }
}

fn run_one(name: &str, programs: &Path, arguments: &Arguments) -> Result<String> {
    let corpus = corpus(name);
    let artifacts = directory().join("artifacts").join(name);
    fs::create_dir_all(&artifacts)?;
    let (scratch, files) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let mut command = Command::new(programs.join(name));
    command
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_len={}", input_len_max(name)))
        .arg(format!("-timeout={INPUT_SECS_MAX}"))
        .arg("-print_final_stats=1")
        // What a target writes goes with it: it has no end at which it could clear up.
        .env("TMPDIR", files.path());
    if arguments.smoke {
        // What a run learns goes into its first directory.
        command.args(["-seed=1", &format!("-runs={SMOKE_RUNS}"), &format!("-max_total_time={SMOKE_SECS}")]);
        command.arg(scratch.path()).arg(&corpus);
    } else {
        command.arg(format!("-max_total_time={}", arguments.secs)).arg(&corpus);
    }
    let output = command.output().with_context(|| format!("cannot run the fuzz target `{name}`"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(30)..].join("\n");
        bail!("fuzz {name}: {}; the input is in `{}`\n{end}", output.status, artifacts.display());
    }
    let done = log.lines().find(|line| line.starts_with("Done "));
    done.map(str::to_owned).ok_or_else(|| anyhow!("fuzz {name}: it ended without having run"))
}

fn input_len_max(name: &str) -> usize {
    if LONG_INPUTS.contains(&name) { LONG_INPUT_LEN_MAX } else { INPUT_LEN_MAX }
}

fn corpus(name: &str) -> PathBuf {
    directory().join("corpus").join(name)
}

/// Puts the seeds of a target where its corpus is.
fn plant(name: &str, seeds: &[Vec<u8>]) -> Result<()> {
    fs::create_dir_all(corpus(name))?;
    for seed in seeds {
        fs::write(corpus(name).join(blake3::hash(seed).to_hex().as_str()), seed)?;
    }
    if seeds.is_empty() { bail!("the fuzz target `{name}` has no seeds") } else { Ok(()) }
}

/// What each target starts from.
fn seeds() -> Result<BTreeMap<&'static str, Vec<Vec<u8>>>> {
    let mut seeds = BTreeMap::new();
    for name in ["root", "head", "manifest", "node", "page", "names", "delta"] {
        let file = vectors_file(&format!("snapshot/{name}.json"))?;
        let cases = list(&file, "cases")?.iter().filter_map(|case| unhex(case.get("bytes")?));
        seeds.insert(name, cases.filter(|bytes| bytes.len() <= input_len_max(name)).collect());
    }
    let pages: &[Vec<u8>] = seeds.get("page").map_or(&[], Vec::as_slice);
    let narrowings = pages.iter().filter_map(|page| page.get(NARROWING_AT..)).map(<[u8]>::to_vec).collect();
    seeds.insert("narrowing", narrowings);
    let behind = |name: &str, at: usize| -> Vec<Vec<u8>> {
        let objects = seeds.get(name).map_or(&[][..], Vec::as_slice).iter();
        objects.filter_map(|bytes| bytes.get(at..)).map(<[u8]>::to_vec).collect()
    };
    let (removals, drafts) = (behind("delta", REMOVALS_AT), behind("root", 0));
    let statements = behind("head", STATEMENT_AT);
    let bodies = statements.into_iter().filter_map(|bytes| Some(bytes.get(..STATEMENT_LEN)?.to_vec()));
    let bodies = bodies.collect();
    seeds.insert("removals", removals);
    seeds.insert("root_draft", drafts);
    seeds.insert("statement", bodies);
    // The same edits, read back whole; then an object is lost, changed, or changed and signed for.
    let read_back =
        |how: u8| SCRIPTS.map(|script| [&[how, 7, 0, 1, how][..], &script[CHAIN_CHANGE_LEN..]].concat());
    seeds.insert("published", (0..4).flat_map(read_back).collect());
    seeds.insert("backup", BACKUPS.iter().map(|rows| [&[9, 0, 1][..], rows].concat()).collect());
    seeds.insert("proof", PROOFS.map(proof).to_vec());
    seeds.insert("control_text", CONTROL_TEXTS.map(|text| [b"\x05\x00x", text.as_bytes()].concat()).to_vec());
    seeds.insert("chain", SCRIPTS.iter().map(|script| script.to_vec()).collect());
    let tokens = vectors_file("session-token.json")?;
    let text = |case: &Value| Some(case.get("text")?.as_str()?.into());
    seeds.insert("session_token", list(&tokens, "cases")?.iter().filter_map(text).collect());
    let keys = vectors_file("key-format.json")?;
    let mut texts: Vec<Vec<u8>> =
        list(&keys, "texts")?.iter().filter_map(|case| unhex(case.get("text")?)).collect();
    texts.extend(list(&keys, "keys")?.iter().filter_map(|case| Some(case.get("text")?.as_str()?.into())));
    let tokens = list(&keys, "generation_tokens")?;
    texts.extend(tokens.iter().filter_map(|case| Some(case.get("token")?.as_str()?.into())));
    seeds.insert("key_text", texts);
    let known = list(&keys, "keys")?.first().and_then(|key| key.get("text")?.as_str()).unwrap_or_default();
    seeds.insert("request", requests(known));
    seeds.insert("hub", PUSHES.iter().map(|script| script.to_vec()).collect());
    seeds.insert("push", PUSHED.iter().map(|text| text.as_bytes().to_vec()).collect());
    seeds.insert("words", WORDS.iter().map(|text| text.as_bytes().to_vec()).collect());
    seeds.insert("routes", ROUTES.iter().map(|text| text.as_bytes().to_vec()).collect());
    Ok(seeds)
}

/// Requests with the key that the target's gate knows, and with others.
fn requests(key: &str) -> Vec<Vec<u8>> {
    let with = |text: &str| text.replace("KEY", key).into_bytes();
    REQUESTS.iter().map(|text| with(text)).collect()
}

/// Position and size, what is changed, and the hashes of a proof.
fn proof((position, size, how, hashes): (u64, u64, u8, usize)) -> Vec<u8> {
    let (position, size) = (position.to_le_bytes(), size.to_le_bytes());
    [&position[..], &size, &[how, 33, 0], &vec![how; 32 * hashes]].concat()
}

const PROOFS: [(u64, u64, u8, usize); 6] = [
    (0, 0, 0, 0),
    (10, 63, 0, 7),
    (99, 99, 1, 7),
    (64, 127, 2, 1),
    (u64::MAX, u64::MAX, 1, 64),
    (5, 1 << 63, 3, 63),
];

/// Rows of backups: tables' names, rows, and the end with their number.
const BACKUPS: [&[u8]; 4] = [
    b"\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    b"\x01\x08counters\x02\x0a\x00\x00\x00\x08\x00\x00\x00generation\x07\x00\x00\x00\x00\x00\x00\x00\
      \x00\x01\x00\x00\x00\x00\x00\x00\x00",
    b"\x01\x04meta\x02\x00\x00\x00\x00\x00\x00\x00\x00\x01\x04keys\x02\x01\x00\x00\x00\x01\x00\x00\x00ab\
      \x00\x02\x00\x00\x00\x00\x00\x00\x00",
    b"\x01\x04meta\x02\xff\xff\xff\xff\xff\xff\xff\xff",
];

const CONTROL_TEXTS: [&str; 10] = [
    "example.org/log+0a1b2c3d+AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",
    "example.org/log\n11\nWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=\n\n\u{2014} example.org/log AQEBAQ==\n",
    "example.org/log\n011\n\n\u{2014} example.org/log \n",
    "tile/0/000",
    "tile/0/x001/x234/067",
    "tile/7/x072/927.p/255",
    "tile/1/999.p/0",
    "lko_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "lks_0123456789abcdefghijABCDEFGHIJ0123456789abc",
    "lki_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-",
];

/// Scripts of edits: four bytes that change the newest delta, then what, which and how of each edit.
const SCRIPTS: [&[u8]; 5] = [
    b"\x00\x00\x00\x02\x00\x01\x00\x00\x01\x04\x0e\x00\x00\x00\x01\x02\x00\x02\x03\x0e\x00\x01",
    b"\x80\x00\x01\x02\x00\x01\x00\x0f\x00\x03\x00\x01\x01\x0e\x00\x00\x00\x01\x00\x0f\x00\x00",
    b"\x20\x01\x00\x00\x0c\x00\x04\x0e\x00\x00\x0c\x00\x01\x0f\x00\x00\x0c\x00\x03",
    b"\x75\x00\x01\x01\x0d\x00\x01\x08\x01\x02\x0a\x01\x00\x0e\x00\x00\x0a\x01\x00\x0b\x02\x00",
    b"\x01\x00\x40\x03\x02\x01\x10\x03\x01\x00\x04\x01\x02\x05\x01\x04\x06\x01\x18\x07\x01\x00\
      \x0e\x00\x00\x02\x01\x03\x03\x01\x01\x04\x01\x01\x05\x01\x01\x06\x01\x01\x07\x01\x01",
];

/// Scripts of pushes: what, which and how of each.
const PUSHES: [&[u8]; 4] = [
    b"\x00\x00\x41\x02\x00\x00\x02\x01\x00\x02\x02\x00\x02\x03\x00\x02\x04\x00\x10\x00\x41\x07\x00\x00",
    b"\x00\x00\x02\x02\x00\x00\x02\x01\x00\x02\x02\x00\x02\x03\x00\x02\x04\x00\x02\x05\x00\x10\x00\x02",
    b"\x05\x01\x00\x05\x02\x00\x05\x01\xff\x00\x00\x51\x06\xff\x00\x02\x00\xf1",
    b"\x00\x01\xc3\x02\x00\x00\x02\x07\x00\x02\x08\x00\x06\x40\x00\x06\x40\x00\x07\x00\x00",
];

const PUSHED: [&str; 12] = [
    "head",
    "status",
    "root/12",
    "root/012",
    "objects/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "0123456789abcdef,fedcba9876543210",
    "0123456789ABCDEF",
    "weur, enam,,oc",
    "weur,weur",
    "Bearer a-token-of-the-operator",
    "bearer a-token-of-the-operatos",
    "12345678LKH1aaaabbbbbbbb",
];

const WORDS: [&str; 12] = [
    "10.0.0.0/8",
    "10.0.0.1/08",
    "2001:db8::/32",
    "::ffff:10.0.0.1",
    "acme/llama-3:8b",
    "2026-11-24",
    "2024-02-29",
    "+002026-11-24",
    "2026-11-23T10:00:00Z",
    "2026-11-23T10:00:00.5+02:00",
    "1969-12-31T23:59:59Z",
    "9999-12-31T23:59:59+00:00[UTC]",
];

const REQUESTS: [&str; 20] = [
    "GET\n/v1/files\nS\n\nalpha",
    "GET\n/v1/files\nS\n\nbeta",
    "GET\n/v1/projects/alpha/files/file-1\nS",
    "DELETE\n/v1/clusters/a\nS\n\nalpha",
    "GET\n/v1/files\nK\n\nalpha",
    "GET\n/v1/files\nBearer KEY",
    "GET\n/v1/files/file-1\nbearer KEY",
    "GET\n/v1/files/file-2\nBearer KEY",
    "GET\n/v1/projects/alpha/files/file-1\nBearer KEY",
    "GET\n/v1/projects/beta/files/file-1\nBearer KEY",
    "DELETE\n/v1/clusters/c1\nBearer KEY",
    "GET\n/v1/any/a/b%20c/%C3%A9\nBearer KEY",
    "GET\n/v1//files/../files\\%2f\nBearer KEY",
    "POST\n/nowhere\nBearer KEY",
    "GET\n/v1/files",
    "GET\n/v1/files\nBasic KEY",
    "GET\n/v1/files\nBearer KEY\n0000000000g06YY9fUeD52",
    "POST\n/v1/inference\nK\n\n\n10.0.0.1\nllama-3",
    "POST\n/v1/inference\nS\n\nalpha\n2001:db8::1\nother",
    "POST\n/v1/inference\nN\n\n\n10.1.2.3\nllama-3-8b",
];

const ROUTES: [&str; 4] = [
    "GET\t/v1/files\nGET\t/v1/files/{file}\t\tfile",
    "GET\t/v1/projects/{project}/files/{file}\tproject\tfile\nPOST\t/v1/any/{*rest}",
    "GET\t/a{b}c\nGET\t/{a}/{a}\nGET\t/{*a}/b",
    "GET\t/v1/{a}\nGET\t/v1/{b}\nget\t/\nGET\tv1",
];

fn vectors_file(path: &str) -> Result<Value> {
    let path = vectors::directory().join(path);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn list<'a>(file: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    file.get(name).and_then(Value::as_array).ok_or_else(|| anyhow!("tests/vectors: `{name}` is no list"))
}

fn unhex(value: &Value) -> Option<Vec<u8>> {
    let digits = value.as_str()?.as_bytes();
    let nibble = |digit: &u8| char::from(*digit).to_digit(16).map(|value| value as u8);
    digits.chunks_exact(2).map(|pair| Some(nibble(&pair[0])? << 4 | nibble(&pair[1])?)).collect()
}
