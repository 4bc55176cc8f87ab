//! Running one long command: a line when it starts, one every ten seconds, its last output in the error when it fails.

use crate::repo;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often a running step says that it still runs.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// After this long a step hangs and is killed.
const STEP_MAX: Duration = Duration::from_secs(30 * 60);
const POLL_EVERY: Duration = Duration::from_millis(50);
const FAILURE_LINES_MAX: usize = 40;

/// Runs `command` with its output in a log file of the cache.
///
/// # Errors
/// It could not start, failed (the end of its output is in the message), or took more than half an hour.
pub(crate) fn run(label: &str, command: &mut Command) -> Result<()> {
    let log =
        repo::cache()?.join(format!("logs/{}.log", label.replace(|c: char| !c.is_ascii_alphanumeric(), "-")));
    fs::create_dir_all(log.parent().unwrap_or(&log))?;
    let output = File::create(&log)?;
    let start = Instant::now();
    println!("{label} ...");
    let status =
        watch(label, command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output), start)?;
    if !status.success() {
        bail!(
            "{label} failed ({status}); `{}` ends with\n{}",
            log.display(),
            last_lines(&log, FAILURE_LINES_MAX)
        );
    }
    println!("{label}: done in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn watch(label: &str, command: &mut Command, start: Instant) -> Result<ExitStatus> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().with_context(|| format!("cannot start `{program}`"))?;
    let mut report_at = REPORT_EVERY;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if start.elapsed() > STEP_MAX {
            child.kill()?;
            child.wait()?;
            bail!("{label} took more than {} min and was killed", STEP_MAX.as_secs() / 60);
        }
        if start.elapsed() > report_at {
            println!("{label} ... {} s", start.elapsed().as_secs());
            report_at += REPORT_EVERY;
        }
        thread::sleep(POLL_EVERY);
    }
}

/// The last `lines` lines of a text file, or a note that it cannot be read.
pub(crate) fn last_lines(path: &Path, lines: usize) -> String {
    match fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let all: Vec<&str> = text.lines().collect();
            all[all.len().saturating_sub(lines)..].join("\n")
        }
        Err(error) => format!("(no output: {error})"),
    }
}
