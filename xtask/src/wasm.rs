//! `cargo xtask wasm`: builds the two Worker scripts into wasm/edge/build and wasm/hub/build.

use crate::{repo, setup, step};
use anyhow::{Context, Result, bail};
use flate2::{Compression, write::GzEncoder};
use std::env;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// A Worker script: a crate of the wasm workspace and a `main` of a wrangler.toml.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Script {
    /// The gate in front of an origin.
    Edge,
    /// The Durable Object that edges learn from.
    Hub,
}

/// How much a script weighs: its module and its glue together, as they are uploaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Uncompressed.
    pub(crate) raw_bytes: usize,
    /// With gzip, which is what the CDN's limit counts.
    pub(crate) gzip_bytes: usize,
}

/// Set when the scripts are built already, so that wrangler's `[build]` does not build them again under a test.
pub(crate) const PREBUILT: &str = "LATCHKEY_PREBUILT";

/// What the scripts' modules may use, as wasm/edge/Cargo.toml has it.
pub(crate) const FEATURES: [&str; 7] = [
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-sign-ext",
    "--enable-nontrapping-float-to-int",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// What of the workspace decides what the scripts will be.
const SOURCES: [&str; 6] =
    ["wasm/Cargo.toml", "wasm/Cargo.lock", "wasm/.cargo", "wasm/edge", "wasm/hub", "wasm/push"];

/// The host crates that go into a script.
const CRATES: [&str; 3] = ["latchkey-core", "latchkey-snapshot", "latchkey-gate"];

impl Script {
    /// Both scripts.
    pub(crate) const ALL: [Self; 2] = [Self::Edge, Self::Hub];

    /// The name under which it is deployed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Edge => "latchkey-edge",
            Self::Hub => "latchkey-hub",
        }
    }

    /// Its wrangler.toml.
    pub(crate) fn configuration(self) -> PathBuf {
        match self {
            Self::Edge => repo::root().join("wrangler.toml"),
            Self::Hub => self.crate_dir().join("wrangler.toml"),
        }
    }

    fn crate_dir(self) -> PathBuf {
        repo::root().join(match self {
            Self::Edge => "wasm/edge",
            Self::Hub => "wasm/hub",
        })
    }

    fn outputs(self) -> [PathBuf; 2] {
        ["index.js", "index_bg.wasm"].map(|name| self.crate_dir().join("build").join(name))
    }

    /// What the built script weighs.
    ///
    /// # Errors
    /// It has not been built.
    pub(crate) fn sizes(self) -> Result<Sizes> {
        let read = |path: PathBuf| fs::read(path).with_context(|| format!("{} is not built", self.name()));
        sizes_of(&self.outputs().map(read).into_iter().collect::<Result<Vec<_>>>()?)
    }
}

/// What files with these contents weigh together.
///
/// # Errors
/// They cannot be compressed.
pub(crate) fn sizes_of(files: &[Vec<u8>]) -> Result<Sizes> {
    let mut sizes = Sizes { raw_bytes: 0, gzip_bytes: 0 };
    for bytes in files {
        sizes.raw_bytes += bytes.len();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes)?;
        sizes.gzip_bytes += encoder.finish()?.len();
    }
    Ok(sizes)
}

/// Builds both scripts unless their sources are those of the last build, and prints what they weigh.
///
/// # Errors
/// A tool could not be installed, or a script does not build.
pub(crate) fn build() -> Result<()> {
    if env::var_os(PREBUILT).is_some() {
        println!("`{PREBUILT}` is set: nothing is built");
        return Ok(());
    }
    setup::npm()?;
    let tools = Tools::install()?;
    let _lock = repo::lock("wasm-build")?;
    let stamp = repo::root().join("wasm/target/xtask.stamp");
    let inputs = tools.digest(&SOURCES)?;
    let built = Script::ALL.iter().flat_map(|script| script.outputs()).all(|path| path.exists());
    if built && fs::read_to_string(&stamp).is_ok_and(|found| found == inputs) {
        println!("the Worker scripts are up to date");
        return print_sizes();
    }
    for script in Script::ALL {
        tools.build(script)?;
    }
    fs::write(stamp, inputs)?;
    print_sizes()
}

fn print_sizes() -> Result<()> {
    for script in Script::ALL {
        print_size(script.name(), script.sizes()?);
    }
    Ok(())
}

/// Prints what something weighs.
pub(crate) fn print_size(name: &str, Sizes { raw_bytes, gzip_bytes }: Sizes) {
    println!("{name:<14} {:>7.1} KB, gzip {:>6.1} KB", kilobytes(raw_bytes), kilobytes(gzip_bytes));
}

#[expect(clippy::cast_precision_loss, reason = "sizes for people, far below 2^52")]
fn kilobytes(bytes: usize) -> f64 {
    bytes as f64 / 1000.0
}

/// Takes the names of functions out of the module, which worker-build leaves in: a tenth of what is uploaded.
fn strip(script: Script) -> Result<()> {
    let [_, module] = script.outputs();
    let mut command = Command::new(setup::npm_program("wasm-opt"));
    command.args(["--strip-debug", "--strip-producers"]).arg(&module).arg("-o").arg(&module);
    command.env("PATH", setup::path_with_node()?);
    step::run(&format!("stripping {}", script.name()), &mut command)
}

/// The programs a build runs.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) toolchain: Option<&'static str>,
    pub(crate) target_dir: PathBuf,
    worker_build: PathBuf,
    pub(crate) wasm_bindgen: PathBuf,
}

impl Tools {
    pub(crate) fn install() -> Result<Self> {
        let toolchain = setup::wasm_toolchain()?;
        Ok(Self {
            toolchain,
            target_dir: setup::wasm_target_dir(toolchain)?,
            worker_build: setup::worker_build()?,
            wasm_bindgen: setup::wasm_bindgen()?,
        })
    }

    /// Of all that decides what is built of these sources.
    pub(crate) fn digest(&self, sources: &[&str]) -> Result<String> {
        let root = repo::root();
        let mut paths: Vec<PathBuf> = CRATES.iter().map(|name| root.join("crates").join(name)).collect();
        paths.retain(|path| path.exists());
        paths.extend(sources.iter().map(|name| root.join(name)));
        paths.extend(["Cargo.toml", "rust-toolchain.toml", "package-lock.json"].map(|name| root.join(name)));
        let mut hasher = repo::digest(&paths)?;
        hasher.update(format!("{self:?}").as_bytes());
        Ok(hasher.finalize().to_hex().to_string())
    }

    fn build(&self, script: Script) -> Result<()> {
        let mut command = Command::new(&self.worker_build);
        setup::own_environment(&mut command)
            .arg("--release")
            .current_dir(script.crate_dir())
            .env("WASM_BINDGEN_BIN", &self.wasm_bindgen)
            .env("WASM_OPT_BIN", setup::npm_program("wasm-opt"))
            .env("ESBUILD_BIN", setup::npm_program("esbuild"))
            .env("PATH", setup::path_with_node()?);
        command.env("CARGO_TARGET_DIR", &self.target_dir).env("RUST_BACKTRACE", "0");
        if let Some(name) = self.toolchain {
            command.env("RUSTUP_TOOLCHAIN", name);
        }
        step::run(&format!("building {}", script.name()), &mut command)?;
        if let Some(missing) = script.outputs().iter().find(|path| !path.exists()) {
            bail!("worker-build did not write `{}`", missing.display());
        }
        strip(script)
    }
}
