//! What the project needs beyond the host toolchain: the wasm32 target, the npm packages, tools from crates.io.
//!
//! Every function here looks first and does nothing when the thing is there, so callers ask for what they need.

use crate::{repo, step};
use anyhow::{Context, Result, anyhow, bail};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The version of `worker-build`; it belongs to the version of `worker` in wasm/Cargo.toml.
const WORKER_BUILD_VERSION: &str = "0.8.7";
const CARGO_FUZZ_VERSION: &str = "0.13.2";
const NEXTEST_VERSION: &str = "0.9.143";

/// The target of the Worker scripts.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";
/// The name under which a distribution's compiler is linked into rustup.
const LINKED_TOOLCHAIN: &str = "latchkey-wasm";
/// What Debian calls a current compiler, its library's source, and the linker for wasm.
const DEBIAN_PACKAGES: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "lld-22"];
const DEBIAN_PREFIX: &str = "/usr";
/// As the official library is built: without bitcode in it, the scripts' link-time optimization fails.
const WASM_STD_FLAGS: &str = "-Cembed-bitcode=yes";

/// Installs everything that the other commands need.
pub(crate) fn all() -> Result<()> {
    let start = Instant::now();
    match wasm_toolchain()? {
        None => println!("{WASM_TARGET}: the toolchain has it"),
        Some(name) => println!("{WASM_TARGET}: the linked toolchain `{name}` has it"),
    }
    npm()?;
    println!("npm packages: as in package-lock.json");
    for tool in [worker_build()?, wasm_bindgen()?] {
        println!("tool: {}", tool.display());
    }
    println!("set up in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Makes the wasm32 target available and returns the toolchain to build it with; `None` is the one in use.
///
/// # Errors
/// rustup could not fetch the target and the distribution's packages could not stand in for it.
pub(crate) fn wasm_toolchain() -> Result<Option<&'static str>> {
    if let Some(found) = installed_wasm_toolchain() {
        return Ok(found);
    }
    let _lock = repo::lock("wasm-target")?;
    if let Some(found) = installed_wasm_toolchain() {
        return Ok(found);
    }
    let by_rustup = step::run(
        &format!("rustup target add {WASM_TARGET}"),
        Command::new("rustup")
            .args(["target", "add", WASM_TARGET])
            .env("RUST_BACKTRACE", "0")
            .current_dir(repo::root()),
    );
    let by_rustup = match by_rustup {
        Ok(()) if has_wasm_std(None) => return Ok(None),
        Ok(()) => anyhow!("rustup added the target to another toolchain than `rustc`'s"),
        Err(error) => error,
    };
    println!("rustup has no {WASM_TARGET}; trying the distribution's packages");
    match debian_toolchain() {
        Ok(()) => Ok(Some(LINKED_TOOLCHAIN)),
        Err(by_packages) => bail!(
            "no standard library for `{WASM_TARGET}`; one of three must be possible:\n\
             1. the toolchain has the target: it has not\n\
             2. `rustup target add {WASM_TARGET}`: {by_rustup:#}\n\
             3. Debian's packages {}: {by_packages:#}",
            DEBIAN_PACKAGES.join(", ")
        ),
    }
}

fn installed_wasm_toolchain() -> Option<Option<&'static str>> {
    if has_wasm_std(None) {
        return Some(None);
    }
    let linked = has_wasm_std(Some(LINKED_TOOLCHAIN)) && built_by(&wasm_std_dir()) == wasm_std_recipe().ok();
    linked.then_some(Some(LINKED_TOOLCHAIN))
}

/// Whether `toolchain` (`None`: the active one) has the target's standard library.
fn has_wasm_std(toolchain: Option<&str>) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", WASM_TARGET]).current_dir(repo::root());
    if let Some(name) = toolchain {
        rustc.env("RUSTUP_TOOLCHAIN", name);
    }
    let Ok(output) = rustc.output() else { return false };
    let directory = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let Ok(entries) = fs::read_dir(directory) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

/// Where builds for wasm32 go. Cargo does not notice another standard library under the same compiler, so each that we
/// build has a directory of its own.
pub(crate) fn wasm_target_dir(toolchain: Option<&str>) -> Result<PathBuf> {
    let target = repo::root().join("wasm/target");
    Ok(match toolchain {
        None => target,
        Some(name) => {
            let recipe = blake3::hash(wasm_std_recipe()?.as_bytes()).to_hex();
            target.join(format!("{name}-{}", &recipe.as_str()[..8]))
        }
    })
}

fn wasm_std_dir() -> PathBuf {
    Path::new(DEBIAN_PREFIX).join("lib/rustlib").join(WASM_TARGET).join("lib")
}

fn debian_compiler(name: &str) -> PathBuf {
    Path::new(DEBIAN_PREFIX).join("bin").join(name)
}

/// What the target's standard library is made with; it fits only the compiler that built it.
fn wasm_std_recipe() -> Result<String> {
    let output =
        Command::new(debian_compiler("rustc")).arg("-vV").output().context("`rustc-web` is not installed")?;
    Ok(format!("{}{WASM_STD_FLAGS}\n", String::from_utf8_lossy(&output.stdout)))
}

const BUILT_BY_FILE: &str = "built-by.latchkey";

fn built_by(directory: &Path) -> Option<String> {
    fs::read_to_string(directory.join(BUILT_BY_FILE)).ok()
}

/// Installs the distribution's compiler, builds the target's standard library from its source, and links both as a
/// toolchain.
fn debian_toolchain() -> Result<()> {
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("this system has no apt-get");
    }
    step::run("apt-get update", as_root("apt-get")?.args(["-q", "update"]))?;
    step::run(
        "apt-get install (a compiler for wasm)",
        as_root("apt-get")?.args(["-q", "-y", "--no-install-recommends", "install"]).args(DEBIAN_PACKAGES),
    )?;
    build_wasm_std()?;
    step::run(
        "rustup toolchain link",
        Command::new("rustup").args(["toolchain", "link", LINKED_TOOLCHAIN, DEBIAN_PREFIX]),
    )?;
    if !has_wasm_std(Some(LINKED_TOOLCHAIN)) {
        bail!("the linked toolchain does not find the library that was built for it");
    }
    Ok(())
}

fn build_wasm_std() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let package = scratch.path();
    fs::create_dir(package.join("src"))?;
    fs::write(package.join("src/lib.rs"), "")?;
    fs::write(
        package.join("Cargo.toml"),
        "[package]\nname = \"scratch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n",
    )?;
    let mut cargo = Command::new(debian_compiler("cargo"));
    step::run(
        "building the wasm32 standard library",
        own_environment(&mut cargo)
            .args([
                "build",
                "--release",
                "-Zbuild-std=std,panic_abort",
                "--target",
                WASM_TARGET,
                "--target-dir",
                "target",
            ])
            .env("RUSTFLAGS", WASM_STD_FLAGS)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTC", debian_compiler("rustc"))
            .current_dir(package),
    )?;
    install_wasm_std(&package.join("target").join(WASM_TARGET).join("release/deps"), package)
}

fn install_wasm_std(built: &Path, scratch: &Path) -> Result<()> {
    let stamp = scratch.join(BUILT_BY_FILE);
    fs::write(&stamp, wasm_std_recipe()?)?;
    let mut libraries = fs::read_dir(built)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    libraries.retain(|path| path.extension().is_some_and(|extension| extension == "rlib"));
    libraries.retain(|path| {
        path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with("libscratch-"))
    });
    // What an older compiler left would make every crate ambiguous.
    step::run("removing an older standard library", as_root("rm")?.arg("-rf").arg(wasm_std_dir()))?;
    step::run(
        "installing the standard library",
        as_root("install")?.args(["-D", "-m", "644", "-t"]).arg(wasm_std_dir()).args(libraries).arg(stamp),
    )
}

/// A program that Debian's package of the same name brings, installed when it is not.
///
/// # Errors
/// It is not there, and could not be installed.
pub(crate) fn debian_program(name: &str) -> Result<PathBuf> {
    // A user's PATH may lack the directory for servers.
    let found =
        || on_path(name).or_else(|| Some(Path::new("/usr/sbin").join(name)).filter(|path| path.is_file()));
    if let Some(found) = found() {
        return Ok(found);
    }
    let _lock = repo::lock("apt")?;
    if let Some(found) = found() {
        return Ok(found);
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("`{name}` is not installed, and this system has no apt-get");
    }
    step::run("apt-get update", as_root("apt-get")?.args(["-q", "update"]))?;
    step::run(
        &format!("apt-get install {name}"),
        as_root("apt-get")?.args(["-q", "-y", "--no-install-recommends", "install", name]),
    )?;
    found().with_context(|| format!("the package `{name}` brought no such program"))
}

/// A command that runs as root: itself when we are root, else through `sudo -n`.
fn as_root(program: &str) -> Result<Command> {
    if nix::unistd::Uid::effective().is_root() {
        let mut command = Command::new(program);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        return Ok(command);
    }
    let allowed =
        Command::new("sudo").args(["-n", "true"]).output().is_ok_and(|output| output.status.success());
    if !allowed {
        bail!("`{program}` needs root: run as root, or let `sudo -n` work");
    }
    let mut command = Command::new("sudo");
    command.args(["-n", "DEBIAN_FRONTEND=noninteractive", program]);
    Ok(command)
}

/// Installs the packages of package-lock.json, Node itself among them, unless they are there.
///
/// # Errors
/// There is no `npm`, or it could not install.
pub(crate) fn npm() -> Result<()> {
    let root = repo::root();
    let stamp = root.join("node_modules/.latchkey-stamp");
    let inputs = ["package.json", "package-lock.json", ".npmrc"].map(|name| root.join(name));
    let wanted = repo::digest(&inputs)?.finalize().to_hex().to_string();
    let installed = || fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) && node().exists();
    if installed() {
        return Ok(());
    }
    let _lock = repo::lock("npm")?;
    if installed() {
        return Ok(());
    }
    // The npm that runs this may stand on an older Node than the one it brings; that is no error.
    let mut npm = Command::new("npm");
    step::run("npm ci", npm.args(["ci", "--loglevel=error"]).current_dir(root))?;
    if !node().exists() {
        bail!("`npm ci` brought no Node: the install script of the package `node` must be allowed");
    }
    fs::write(stamp, wanted)?;
    Ok(())
}

/// The pinned Node; use no other.
pub(crate) fn node() -> PathBuf {
    repo::root().join("node_modules/node/bin/node")
}

/// The PATH with the pinned Node first, for programs that look for `node` there.
pub(crate) fn path_with_node() -> Result<OsString> {
    let pinned = repo::root().join("node_modules/node/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(iter::once(pinned).chain(env::split_paths(&path)))?)
}

/// wrangler's entry, to be run with [`node`].
pub(crate) fn wrangler_script() -> PathBuf {
    repo::root().join("node_modules/wrangler/bin/wrangler.js")
}

/// A program that an npm package brought, such as `wasm-opt`.
pub(crate) fn npm_program(name: &str) -> PathBuf {
    repo::root().join("node_modules/.bin").join(name)
}

/// `worker-build`, installed when it is not.
pub(crate) fn worker_build() -> Result<PathBuf> {
    tool("worker-build", WORKER_BUILD_VERSION, "worker-build", Locked::No)
}

/// `wasm-bindgen`, in the version that wasm/Cargo.lock names, installed when it is not.
pub(crate) fn wasm_bindgen() -> Result<PathBuf> {
    tool("wasm-bindgen-cli", &wasm_bindgen_version()?, "wasm-bindgen", Locked::No)
}

/// `cargo-fuzz`, installed when it is not.
pub(crate) fn cargo_fuzz() -> Result<PathBuf> {
    on_path("cargo-fuzz").map_or_else(|| tool("cargo-fuzz", CARGO_FUZZ_VERSION, "cargo-fuzz", Locked::No), Ok)
}

/// `cargo-nextest`: the one on the PATH, else installed.
pub(crate) fn nextest() -> Result<PathBuf> {
    on_path("cargo-nextest")
        .map_or_else(|| tool("cargo-nextest", NEXTEST_VERSION, "cargo-nextest", Locked::Yes), Ok)
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|candidate| candidate.is_file())
}

/// Whether a tool is built with the lock file it was published with.
enum Locked {
    Yes,
    No,
}

/// A program from crates.io in exactly this version, kept in the cache for all clones.
fn tool(package: &str, version: &str, program: &str, locked: Locked) -> Result<PathBuf> {
    let home = repo::cache()?.join("tools").join(format!("{package}-{version}"));
    let path = home.join("bin").join(program);
    if path.exists() {
        return Ok(path);
    }
    let _lock = repo::lock(&format!("tool-{package}"))?;
    if path.exists() {
        return Ok(path);
    }
    let mut cargo = Command::new("cargo");
    own_environment(&mut cargo).args(["install", package, "--version", version, "--root"]).arg(&home);
    if matches!(locked, Locked::Yes) {
        cargo.arg("--locked");
    }
    step::run(
        &format!("cargo install {package} {version} (takes minutes)"),
        cargo.current_dir(repo::root()),
    )?;
    Ok(path)
}

fn wasm_bindgen_version() -> Result<String> {
    let path = repo::root().join("wasm/Cargo.lock");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let lock: toml::Table = text.parse()?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let named = packages.into_iter().flatten().find(|package| field(package, "name") == Some("wasm-bindgen"));
    let version = named.and_then(|package| field(package, "version"));
    version.map(str::to_owned).ok_or_else(|| anyhow!("wasm/Cargo.lock names no `wasm-bindgen`"))
}

fn field<'a>(package: &'a toml::Value, name: &str) -> Option<&'a str> {
    package.get(name).and_then(toml::Value::as_str)
}

/// Takes away what the `cargo` that runs us, or its caller, set for this build and not for that one.
pub(crate) fn own_environment(command: &mut Command) -> &mut Command {
    for name in
        ["CARGO", "RUSTC", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET"]
    {
        command.env_remove(name);
    }
    // Of the package that runs us. Some build scripts (ring's) are run again when these differ.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
            .iter()
            .any(|of| name.starts_with(of))
        {
            command.env_remove(name);
        }
    }
    command
}
