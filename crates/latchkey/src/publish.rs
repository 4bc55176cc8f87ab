//! `latchkey publish`: how far publishing has come, the receipt for a change, and holding grants back.

use crate::api::Api;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use latchkey_api::{PublishHold, Publishing};

/// What `latchkey publish` can do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Tells how far publishing has come; with `--wait`, once no edge answers without that change any more, unless it
    /// marks the answer as stale. What is held back counts as not there.
    Status {
        #[command(flatten)]
        server: Server,
        /// The generation to wait for: a `Latchkey-Generation` of an answer, or a number.
        #[arg(long, value_name = "GENERATION")]
        wait: Option<String>,
        /// How long to wait at most, in seconds, 1 to 50.
        #[arg(long, value_name = "SECONDS", default_value_t = 30)]
        timeout_secs: u64,
        /// Prints the API's JSON.
        #[arg(long)]
        json: bool,
    },
    /// Holds grants back from edges; what refuses goes out as ever.
    Hold(Server),
    /// Lets out what was held back.
    Release(Server),
}

/// Whom to ask. `LATCHKEY_TOKEN` holds an operator's token.
#[derive(Args)]
pub(crate) struct Server {
    /// The URL of the server's API.
    #[arg(long)]
    url: String,
}

impl Server {
    /// Its API.
    ///
    /// # Errors
    /// As of [`Api::new`].
    pub(crate) fn api(&self) -> Result<Api> {
        Api::new(&self.url)
    }
}

/// Does it.
///
/// # Errors
/// The server's refusal, or that the wait was over before the change was everywhere.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Status { server, wait, timeout_secs, json } => {
            let query = match wait {
                Some(wait) => format!("wait={}&timeout_s={timeout_secs}", plain(wait)?),
                None => String::new(),
            };
            let bytes = server.api()?.get("/v1/operator/publish", &query)?;
            let status: Publishing = serde_json::from_slice(&bytes).context("the API's answer")?;
            if *json {
                println!("{}", String::from_utf8_lossy(&bytes));
            } else {
                print(&status);
            }
            let is_held = status.waited.is_some() && status.held_since.is_some();
            ensure!(!is_held, "an operator holds grants back: of that change only what refuses goes out");
            if let Some(report) = status.waited.and_then(|waited| waited.contradicted) {
                bail!(
                    "contradicted: an edge told at {} that it answers from generation {}, and not marked as stale",
                    report.reported_at_ms,
                    report.generation
                );
            }
            let is_reached = status.waited.is_none_or(|waited| waited.reached);
            ensure!(is_reached, "the time is up, and not every sink has held it for the freshness bound");
            Ok(())
        }
        Command::Hold(server) => hold(server, "hold"),
        Command::Release(server) => hold(server, "release"),
    }
}

fn hold(server: &Server, act: &str) -> Result<()> {
    let bytes = server.api()?.act(&format!("/v1/operator/publish/{act}"))?;
    let held: PublishHold = serde_json::from_slice(&bytes).context("the API's answer")?;
    match held.held_since {
        Some(_) => println!("grants are held back"),
        None => println!("nothing is held back"),
    }
    Ok(())
}

fn plain(generation: &str) -> Result<&str> {
    let is_plain = !generation.is_empty() && generation.bytes().all(|byte| byte.is_ascii_alphanumeric());
    ensure!(is_plain, "`--wait` is a `Latchkey-Generation` or a number");
    Ok(generation)
}

fn print(status: &Publishing) {
    println!("committed {}, stated {}", status.committed, status.stated);
    println!(
        "base of {} bytes, {} deltas of {} bytes, root {}",
        status.base_bytes, status.deltas, status.chain_bytes, status.root_version
    );
    for sink in &status.sinks {
        println!("{}: published {}, as of {}", sink.name, sink.published, sink.as_of_ms);
        if let Some(error) = &sink.last_error {
            println!("  {error}");
        }
        if let Some(edges) = &sink.edges {
            println!(
                "  edges told {} times within a minute, the lowest generation {} last at {}",
                edges.reports, edges.oldest_generation, edges.reported_at_ms
            );
        }
        if sink.clock_off_ms > 0 {
            println!("  its clock is {} ms off", sink.clock_off_ms);
        }
    }
    for key in &status.ending_keys {
        println!("the {} key {} ends soon", key.role, key.public_key);
    }
    let faults = [&status.error, &status.held_back, &status.refused_keys];
    faults.into_iter().flatten().for_each(|fault| println!("ATTENTION: {fault}"));
    if status.held_since.is_some() {
        println!("grants are held back by an operator");
    }
    if let Some(waited) = status.waited {
        let word = if waited.reached { "everywhere" } else { "not everywhere" };
        println!("generation {}: {word}", waited.generation);
    }
}
