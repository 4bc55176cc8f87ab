//! A child process that never outlives us: killed when dropped, waited for with a bound.

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const STOP_MAX: Duration = Duration::from_secs(10);
const POLL_EVERY: Duration = Duration::from_millis(10);

/// A running program with its output in a log file.
pub(crate) struct Process {
    child: Child,
    name: &'static str,
    pub(crate) log: PathBuf,
}

impl Process {
    /// Starts `command`; its output is appended to `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(name: &'static str, command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name, log: log.to_owned() })
    }

    /// An error, with the end of its output, once it has ended.
    pub(crate) fn check_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                bail!("{} ended ({status}):\n{}", self.name, crate::step::last_lines(&self.log, 20))
            }
        }
    }

    /// Kills it without a word, as a power failure would.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop and waits for it.
    ///
    /// # Errors
    /// It does not stop in time, or says that it failed.
    pub(crate) fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(self.child.id().try_into()?), Signal::SIGTERM)?;
        let start = Instant::now();
        while start.elapsed() < STOP_MAX {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("{} stopped badly ({status})", self.name),
                None => std::thread::sleep(POLL_EVERY),
            }
        }
        bail!("{} did not stop within {} s", self.name, STOP_MAX.as_secs())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
