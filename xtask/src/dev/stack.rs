//! The product on one machine: control plane, hub, edge, and an origin behind it.

use super::client::{Api, until};
use super::network::Network;
use super::process::Process;
use crate::wrangler::{self, Wrangler};
use crate::{repo, setup, step};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const START_MAX: Duration = Duration::from_secs(30);

/// Where a stack lives and listens.
pub(crate) struct Settings {
    /// Its directory: the control plane's data, the edge's storage, the logs.
    pub(crate) dir: PathBuf,
    /// The edge's port; 0 takes a free one.
    pub(crate) edge_port: u16,
    /// The control plane's port; 0 takes a free one.
    pub(crate) control_port: u16,
    /// What lies between the control plane and the edge; `None` for nothing.
    pub(crate) network: Option<Network>,
    /// The configuration of the edge, if another than the deployed one.
    pub(crate) edge: Option<PathBuf>,
}

/// A running stack. Dropping it ends every process.
pub(crate) struct Stack {
    dir: PathBuf,
    control_port: u16,
    control: Option<(Process, String)>,
    network: Option<Network>,
    edge: Wrangler,
    _origin: Process,
    push_token: String,
}

/// Builds the `latchkey` binary for development.
pub(crate) fn build_binary() -> Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["build", "--quiet", "--package", "latchkey", "--bin", "latchkey"])
        .current_dir(repo::root());
    setup::own_environment(&mut command);
    step::run("building the control plane", &mut command)
}

/// The binary that [`build_binary`] makes, beside our own.
pub(crate) fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.parent().and_then(Path::parent).context("xtask does not run from a target directory")?;
    Ok(target.join("debug/latchkey"))
}

impl Stack {
    /// Starts everything; with a directory that was used before, it goes on where it stopped.
    ///
    /// # Errors
    /// A part does not start; the message has the end of its log.
    pub(crate) fn start(settings: &Settings) -> Result<Self> {
        let dir = settings.dir.clone();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        initialize(&dir)?;
        let secrets = edge_secrets(&dir)?;
        let push_token = secret(&secrets, "LATCHKEY_PUSH_TOKEN")?;
        let (origin, origin_url) = start_origin(&dir)?;
        let mut options = wrangler::Options::new(dir.join("edge.log"));
        if let (Some(edge), Some(first)) = (&settings.edge, options.configurations.first_mut()) {
            first.clone_from(edge);
        }
        options.secrets = [secrets, vec![("ORIGIN".to_owned(), origin_url)]].concat();
        options.persist = Some(dir.join("edge"));
        options.port = settings.edge_port;
        println!("starting the edge and its hub in workerd ...");
        let edge = Wrangler::start(&options)?;
        let mut stack = Self {
            dir,
            control_port: settings.control_port,
            control: None,
            network: settings.network.clone(),
            edge,
            _origin: origin,
            push_token,
        };
        println!("starting the control plane ...");
        stack.start_control()?;
        Ok(stack)
    }

    /// Starts the control plane (again).
    ///
    /// # Errors
    /// It does not listen in time.
    pub(crate) fn start_control(&mut self) -> Result<()> {
        let ready = self.dir.join("control.ready");
        // Absent the first time.
        let _ = fs::remove_file(&ready);
        let mut command = latchkey("serve")?;
        command.arg("--dir").arg(data(&self.dir));
        command.arg("--listen").arg(format!("127.0.0.1:{}", self.control_port));
        match &self.network {
            None => command.arg("--edge").arg(self.edge.url()),
            Some(network) => {
                network.lead_to(self.edge.url())?;
                command.arg("--edge").arg(network.url())
            }
        };
        command.arg("--directory").arg(self.published());
        command.arg("--routes").arg(repo::root().join("examples/routes.toml"));
        command.arg("--operator-sign-in").arg("--ready-file").arg(&ready);
        let mut process = Process::start("the control plane", &mut command, &self.dir.join("control.log"))?;
        let address = until(START_MAX, || {
            process.check_running()?;
            let text = fs::read_to_string(&ready)?;
            let line = text.strip_suffix('\n').context("not ready yet")?;
            Ok(line.to_owned())
        })?;
        let url = if address.starts_with("http") { address } else { format!("http://{address}") };
        self.control = Some((process, url));
        Ok(())
    }

    /// Kills the control plane as a power failure would.
    pub(crate) fn kill_control(&mut self) -> Result<()> {
        match self.control.take() {
            Some((process, _)) => process.kill(),
            None => bail!("the control plane does not run"),
        }
    }

    /// Ends everything in order.
    ///
    /// # Errors
    /// A part had to be killed.
    pub(crate) fn stop(mut self) -> Result<()> {
        if let Some((process, _)) = self.control.take() {
            process.stop()?;
        }
        self.edge.stop()
    }

    /// An error once a part has ended.
    pub(crate) fn check_running(&mut self) -> Result<()> {
        if let Some((process, _)) = &mut self.control {
            process.check_running()?;
        }
        if self.edge.is_running()? { Ok(()) } else { bail!("the edge ended") }
    }

    /// The control plane, to nobody in particular.
    pub(crate) fn control(&self) -> Api {
        Api::new(self.control_url())
    }

    pub(crate) fn control_url(&self) -> &str {
        self.control.as_ref().map_or("http://127.0.0.1:1", |(_, url)| url)
    }

    /// The edge, to nobody in particular.
    pub(crate) fn edge(&self) -> Api {
        Api::new(self.edge.url())
    }

    pub(crate) fn edge_url(&self) -> &str {
        self.edge.url()
    }

    /// The edge, to whoever publishes to it.
    pub(crate) fn push(&self) -> Api {
        self.edge().holding(&self.push_token)
    }

    /// The control plane, to its operator.
    ///
    /// # Errors
    /// The token was not kept.
    pub(crate) fn operator(&self) -> Result<Api> {
        let token = fs::read_to_string(operator_token(&self.dir))?;
        Ok(self.control().holding(token.trim()))
    }

    /// Where the directory sink publishes to.
    pub(crate) fn published(&self) -> PathBuf {
        self.dir.join("published")
    }
}

pub(crate) fn data(dir: &Path) -> PathBuf {
    dir.join("control")
}

pub(crate) fn operator_token(dir: &Path) -> PathBuf {
    dir.join("operator-token")
}

pub(crate) fn latchkey(command: &str) -> Result<Command> {
    let mut latchkey = Command::new(binary()?);
    latchkey.arg(command);
    Ok(latchkey)
}

/// `latchkey init`, once; the operator token it prints is kept beside it for the next start.
pub(crate) fn initialize(dir: &Path) -> Result<()> {
    initialize_by(&mut latchkey("init")?, dir)
}

/// The same by this `latchkey init`.
pub(crate) fn initialize_by(init: &mut Command, dir: &Path) -> Result<()> {
    if operator_token(dir).exists() {
        return Ok(());
    }
    println!("making an installation in `{}` ...", dir.display());
    let output = init.arg("--dir").arg(data(dir)).args(["--prefix", "lk_dev"]).output()?;
    if !output.status.success() {
        bail!("`latchkey init` failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let printed = String::from_utf8(output.stdout)?;
    let word = printed.split_whitespace().find(|word| word.starts_with("lko_"));
    write_private(&operator_token(dir), word.context("`latchkey init` printed no operator token")?)
}

/// What the Worker needs, from `latchkey edge-env`.
fn edge_secrets(dir: &Path) -> Result<Vec<(String, String)>> {
    let output = latchkey("edge-env")?.arg("--dir").arg(data(dir)).output()?;
    if !output.status.success() {
        bail!("`latchkey edge-env` failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('"').to_owned()))
    };
    Ok(text.lines().filter(|line| !line.starts_with('#')).filter_map(pair).collect())
}

fn secret(secrets: &[(String, String)], name: &str) -> Result<String> {
    let found = secrets.iter().find(|(known, _)| known == name);
    Ok(found.with_context(|| format!("`latchkey edge-env` printed no `{name}`"))?.1.clone())
}

fn start_origin(dir: &Path) -> Result<(Process, String)> {
    let log = dir.join("origin.log");
    // Its first line is the address: an old log would show an old one.
    let _ = fs::remove_file(&log);
    let mut command = Command::new(setup::node());
    command.arg(repo::root().join("examples/origin.mjs"));
    let mut process = Process::start("the origin", &mut command, &log)?;
    let url = until(START_MAX, || {
        process.check_running()?;
        let text = fs::read_to_string(&log)?;
        let line = text.lines().next().context("not ready yet")?;
        Ok(line.to_owned())
    })?;
    Ok((process, url))
}

/// Writes a file that only we can read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    // Made anew, so that the mode is ours even where a file was.
    let _ = fs::remove_file(path);
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
