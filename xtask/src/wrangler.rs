//! `wrangler dev` as a child process: the real workerd, with the edge and the hub in it.
//!
//! A [`Wrangler`] leads a process group of its own. The group ends with [`Wrangler::stop`], when the value is dropped,
//! and, through a pipe that a watcher in the group reads, when this process dies in any way.

use crate::{setup, step, wasm};
use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long wrangler may take until it listens; 1.5 s is usual.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long it may take to end after SIGINT; 2 s is usual.
const STOP_MAX: Duration = Duration::from_secs(10);
const POLL_EVERY: Duration = Duration::from_millis(20);
const FAILURE_LINES_MAX: usize = 40;
const READY_LINE: &str = "Ready on ";

/// Becomes wrangler, after leaving behind a watcher that kills the whole group once our end of the pipe is closed.
const LAUNCH: &str = r#"exec 3<&0 </dev/null; (cat <&3 >/dev/null; kill -KILL 0) & exec "$@" 3<&-"#;

/// How to start it. `Options::new(log)` is a start with nothing kept.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The wrangler.toml files; the first one's script answers at the URL.
    pub(crate) configurations: Vec<PathBuf>,
    /// Variables and secrets of the scripts. They are handed over in a file only we can read.
    pub(crate) secrets: Vec<(String, String)>,
    /// Where KV, Durable Objects and caches are kept; `None` forgets them at the end.
    pub(crate) persist: Option<PathBuf>,
    /// The port on 127.0.0.1; 0 takes a free one.
    pub(crate) port: u16,
    /// Where its output goes; the file is overwritten.
    pub(crate) log: PathBuf,
}

impl Options {
    /// The edge and the hub, without secrets or kept state, on a free port.
    pub(crate) fn new(log: PathBuf) -> Self {
        let configurations = wasm::Script::ALL.map(wasm::Script::configuration).to_vec();
        Self { configurations, secrets: Vec::new(), persist: None, port: 0, log }
    }
}

/// A running `wrangler dev`.
#[derive(Debug)]
pub(crate) struct Wrangler {
    url: String,
    group: Group,
    log: PathBuf,
    _scratch: TempDir,
}

impl Wrangler {
    /// Starts it and waits until it listens. The scripts must be built: see [`wasm::build`].
    ///
    /// # Errors
    /// It ended or did not listen in time (the end of its log is in the message), or a secret cannot be written down.
    pub(crate) fn start(options: &Options) -> Result<Self> {
        setup::npm()?;
        let scratch = tempfile::Builder::new().prefix("latchkey-wrangler-").tempdir()?;
        let mut command = command(options, scratch.path())?;
        let output = File::create(&options.log)
            .with_context(|| format!("cannot create `{}`", options.log.display()))?;
        command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let mut group = Group { leader: command.spawn().context("cannot start `sh`")?, ended: None };
        let url = group.wait_until_ready(&options.log)?;
        Ok(Self { url, group, log: options.log.clone(), _scratch: scratch })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The file its output goes to.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// The system does not say.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.group.poll()?.is_none())
    }

    /// Ends it in order, so that what it keeps is on disk; kills it when that takes too long.
    ///
    /// # Errors
    /// It had to be killed, or had ended before.
    pub(crate) fn stop(mut self) -> Result<()> {
        if self.group.poll()?.is_some() {
            bail!(
                "wrangler had ended before it was stopped:\n{}",
                step::last_lines(&self.log, FAILURE_LINES_MAX)
            );
        }
        kill(self.group.leader_id()?, Signal::SIGINT)?;
        let start = Instant::now();
        while self.group.poll()?.is_none() {
            if start.elapsed() > STOP_MAX {
                bail!("wrangler did not stop within {} s and was killed", STOP_MAX.as_secs());
            }
            thread::sleep(POLL_EVERY);
        }
        Ok(())
    }
}

/// The process group; dropping it kills what is left of it.
#[derive(Debug)]
struct Group {
    leader: Child,
    ended: Option<ExitStatus>,
}

impl Group {
    /// Its end, if it came. Not `Child::wait`, which would close the watcher's pipe.
    fn poll(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.leader.try_wait()?;
        }
        Ok(self.ended)
    }

    fn leader_id(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.leader.id())?))
    }

    fn wait_until_ready(&mut self, log: &Path) -> Result<String> {
        let start = Instant::now();
        loop {
            if let Some(url) = ready_url(&fs::read_to_string(log).unwrap_or_default()) {
                return Ok(url);
            }
            let problem = match self.poll()? {
                Some(status) => anyhow!("wrangler ended ({status})"),
                None if start.elapsed() > READY_MAX => {
                    anyhow!("wrangler did not listen in {} s", READY_MAX.as_secs())
                }
                None => {
                    thread::sleep(POLL_EVERY);
                    continue;
                }
            };
            return Err(problem.context(step::last_lines(log, FAILURE_LINES_MAX)));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The watcher is in the group until our end of the pipe closes, so the group's id is still ours.
        if let Ok(leader) = self.leader_id() {
            let _ = killpg(leader, Signal::SIGKILL);
        }
        let _ = self.leader.wait();
    }
}

/// The URL in wrangler's log once it listens; a line still being written does not count.
fn ready_url(log: &str) -> Option<String> {
    let (_, rest) = log.split_once(READY_LINE)?;
    let (line, _) = rest.split_once('\n')?;
    let url = line.split_whitespace().next()?.trim_end_matches('/');
    url.starts_with("http://").then(|| url.to_owned())
}

fn command(options: &Options, scratch: &Path) -> Result<Command> {
    let mut command = Command::new("sh");
    command.args(["-c", LAUNCH, "wrangler"]).arg(setup::node());
    command.arg(setup::wrangler_script()).args([
        "dev",
        "--local",
        "--ip",
        "127.0.0.1",
        "--inspector-port",
        "0",
    ]);
    command.arg("--show-interactive-dev-session=false").args(["--port", &options.port.to_string()]);
    for configuration in &options.configurations {
        command.arg("-c").arg(configuration);
    }
    command.arg("--persist-to").arg(options.persist.clone().unwrap_or_else(|| scratch.join("state")));
    command.arg("--env-file").arg(write_secrets(&options.secrets, scratch)?);
    // The file is for the first script alone; the others take the secrets that they require from here.
    command.envs(options.secrets.iter().map(|(name, value)| (name, value)));
    environment(&mut command, scratch)?;
    Ok(command)
}

fn environment(command: &mut Command, scratch: &Path) -> Result<()> {
    command.current_dir(crate::repo::root()).env("PATH", setup::path_with_node()?);
    for (name, value) in [
        (wasm::PREBUILT, "1"),
        ("CI", "true"),
        ("NO_COLOR", "1"),
        ("WRANGLER_SEND_METRICS", "false"),
        ("CLOUDFLARE_CF_FETCH_ENABLED", "false"),
    ] {
        command.env(name, value);
    }
    // Two of them at a time must not find each other's scripts, and its own logs go with it.
    command.env("WRANGLER_REGISTRY_PATH", scratch.join("registry"));
    command.env("CLOUDFLARE_DEV_REGISTRY_PATH", scratch.join("registry"));
    command.env("WRANGLER_LOG_PATH", scratch.join("logs"));
    command.env_remove("NODE_OPTIONS");
    Ok(())
}

/// Writes the secrets where only we can read them, outside the tree, and returns the file.
fn write_secrets(secrets: &[(String, String)], scratch: &Path) -> Result<PathBuf> {
    let path = scratch.join("secrets.env");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    for (name, value) in secrets {
        if value.contains(['\'', '\n', '\r']) {
            bail!("the value of `{name}` has a quote or a line break, which an env file cannot hold");
        }
        writeln!(file, "{name}='{value}'")?;
    }
    Ok(path)
}

/// What `cargo xtask worker` takes.
#[derive(clap::Args, Debug)]
pub(crate) struct ServeArguments {
    /// The port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// Where state is kept; without it, it is forgotten at the end.
    #[arg(long)]
    persist: Option<PathBuf>,
    /// A file of `NAME=VALUE` lines: the variables and secrets of the scripts.
    #[arg(long)]
    variables: Option<PathBuf>,
    /// Where wrangler's output goes; without it, it is forgotten at the end.
    #[arg(long)]
    log: Option<PathBuf>,
    /// The wrangler.toml of another script in the hub's place.
    #[arg(long)]
    hub: Option<PathBuf>,
    /// The wrangler.toml of another script in the edge's place.
    #[arg(long)]
    edge: Option<PathBuf>,
}

fn read_variables(path: &Path) -> Result<Vec<(String, String)>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| pair(line).context("a line of the variables has no `=`")).collect()
}

/// Builds the scripts and serves them until wrangler ends or this process is interrupted.
///
/// # Errors
/// They do not build, or wrangler did not start or ended by itself.
pub(crate) fn serve(arguments: &ServeArguments) -> Result<()> {
    wasm::build()?;
    let logs = tempfile::tempdir()?;
    let mut options = Options::new(arguments.log.clone().unwrap_or_else(|| logs.path().join("wrangler.log")));
    options.port = arguments.port;
    if let Some(path) = &arguments.variables {
        options.secrets = read_variables(path)?;
    }
    for (place, given) in options.configurations.iter_mut().zip([&arguments.edge, &arguments.hub]) {
        if let Some(path) = given {
            place.clone_from(path);
        }
    }
    options.persist.clone_from(&arguments.persist);
    let mut wrangler = Wrangler::start(&options)?;
    println!("{} (log: {})", wrangler.url(), wrangler.log().display());
    while wrangler.is_running()? {
        thread::sleep(Duration::from_millis(200));
    }
    wrangler.stop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_written_ready_line_is_not_ready() {
        assert_eq!(ready_url("[wrangler:info] Ready on http://127.0.0.1:40"), None);
    }

    #[test]
    fn the_ready_line_names_the_url() {
        let log = "one\n[wrangler:info] Ready on http://127.0.0.1:4012\ntwo\n";
        assert_eq!(ready_url(log).as_deref(), Some("http://127.0.0.1:4012"));
    }

    #[test]
    fn a_secret_that_could_end_its_quotes_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let secrets = [("TOKEN".to_owned(), "a'b".to_owned())];
        assert!(write_secrets(&secrets, scratch.path()).is_err());
    }

    #[test]
    fn secrets_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        let path = write_secrets(&[("TOKEN".to_owned(), "abc".to_owned())], scratch.path()).unwrap();
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
