//! `cargo xtask npm`: builds the npm package into wasm/npm/build/package, as it would be published.

use crate::wasm::{self, Tools};
use crate::{repo, setup, step};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const CRATE: &str = "latchkey-library";
/// What wasm-bindgen calls its files.
const GLUE: &str = "latchkey";

/// What of the workspace decides what the module will be.
const SOURCES: [&str; 4] = ["wasm/Cargo.toml", "wasm/Cargo.lock", "wasm/npm/Cargo.toml", "wasm/npm/src"];

/// What the package is, for `npm` and for whoever reads it.
const BESIDE: [&str; 2] = ["package.json", "README.md"];

/// Builds the package, checks its types, and prints what it weighs.
///
/// # Errors
/// A tool could not be installed, or something does not build.
pub(crate) fn build() -> Result<()> {
    setup::npm()?;
    let tools = Tools::install()?;
    let _lock = repo::lock("npm-build")?;
    let (glue, stamp) = (folder().join("build/glue"), folder().join("build/xtask.stamp"));
    let inputs = tools.digest(&SOURCES)?;
    if !fs::read_to_string(&stamp).is_ok_and(|found| found == inputs) {
        glue_code(&tools, &glue)?;
        fs::write(stamp, inputs)?;
    }
    compile(&glue)?;
    link()?;
    print_sizes()
}

/// The directory of the built package.
pub(crate) fn package() -> PathBuf {
    folder().join("build/package")
}

fn folder() -> PathBuf {
    repo::root().join("wasm/npm")
}

fn glue_code(tools: &Tools, glue: &Path) -> Result<()> {
    // Its flags are others than the scripts', which would be built anew each time.
    let target_dir = tools.target_dir.join("npm");
    let mut cargo = Command::new("cargo");
    setup::own_environment(&mut cargo)
        .args(["build", "--release", "--target", setup::WASM_TARGET, "--package", CRATE])
        .current_dir(repo::root().join("wasm"))
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags());
    if let Some(name) = tools.toolchain {
        cargo.env("RUSTUP_TOOLCHAIN", name);
    }
    step::run(&format!("building {CRATE}"), &mut cargo)?;
    let module = target_dir.join(setup::WASM_TARGET).join("release/latchkey_library.wasm");
    let mut bindgen = Command::new(&tools.wasm_bindgen);
    bindgen.args(["--target", "web", "--omit-default-module-path", "--out-name", GLUE, "--out-dir"]);
    step::run("writing its glue", bindgen.arg(glue).arg(module))?;
    let module = glue.join(format!("{GLUE}_bg.wasm"));
    let mut optimizer = Command::new(setup::npm_program("wasm-opt"));
    optimizer.args(["-O3", "--strip-debug", "--strip-producers"]).args(wasm::FEATURES);
    optimizer.arg(&module).arg("-o").arg(&module).env("PATH", setup::path_with_node()?);
    step::run("making it small", &mut optimizer)
}

/// The target's flags, as wasm/.cargo/config.toml has them, and that no path of this machine is in what is published.
fn flags() -> String {
    let mut flags = vec!["-C".to_owned(), "target-feature=+simd128".to_owned()];
    let home = std::env::var("HOME").unwrap_or_default();
    // The last that fits counts.
    let hidden = [(home, "home"), (repo::root().display().to_string(), "latchkey")];
    for (path, name) in hidden.iter().filter(|(path, _)| path.len() > 1) {
        flags.push(format!("--remap-path-prefix={path}={name}"));
    }
    flags.join("\u{1f}")
}

/// Compiles the TypeScript, which checks it, and puts the package together anew.
fn compile(glue: &Path) -> Result<()> {
    let package = package();
    if package.exists() {
        fs::remove_dir_all(&package)?;
    }
    let mut compiler = Command::new(setup::npm_program("tsc"));
    compiler.arg("--project").arg(folder()).env("PATH", setup::path_with_node()?);
    step::run("compiling its TypeScript", &mut compiler)?;
    // The types of the glue are nobody's: no public type names them.
    for name in ["latchkey.js", "latchkey_bg.wasm"] {
        copy(&glue.join(name), &package.join("dist").join(name))?;
    }
    for name in BESIDE {
        copy(&folder().join(name), &package.join(name))?;
    }
    copy(&repo::root().join("LICENSE"), &package.join("LICENSE"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy `{}`", from.display()))?;
    Ok(())
}

/// Puts the package where the examples and tests find it by its name.
fn link() -> Result<()> {
    let scope = repo::root().join("node_modules/@latchkey");
    fs::create_dir_all(&scope)?;
    let link = scope.join("gate");
    // Absent after `npm ci`.
    let _ = fs::remove_file(&link);
    symlink(package(), &link).context("cannot link the package")
}

fn print_sizes() -> Result<()> {
    let mut all = Vec::new();
    for name in ["latchkey_bg.wasm", "latchkey.js"] {
        all.push(fs::read(package().join("dist").join(name))?);
    }
    let sizes = wasm::sizes_of(&all)?;
    ensure!(sizes.gzip_bytes > 0, "the package is empty");
    wasm::print_size("@latchkey/gate", sizes);
    Ok(())
}
