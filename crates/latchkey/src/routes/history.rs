//! `latchkey routes apply | history | show`: the route rules of a running server, now and before.

use crate::api::Api;
use crate::publish::Server;
use anyhow::{Context, Result, anyhow, bail};
use clap::Subcommand;
use latchkey_api::{Page, RuleSet, RuleSetText};
use latchkey_core::UnixSeconds;

/// What can be done with a running server's rules.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Has a server read its file of rules again, and put in force what it says. A file that is wrong changes nothing.
    Apply(Server),
    /// Lists the sets of rules that were put in force, the newest first.
    History {
        #[command(flatten)]
        server: Server,
        /// Prints a JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Prints the file of a set of rules, as it was written.
    Show {
        #[command(flatten)]
        server: Server,
        /// The set's number, or its version or how that begins, at least 8 characters; without one, the set in force.
        set: Option<String>,
        /// The set that was in force at this moment, as `2026-12-24T00:00:00Z`.
        #[arg(long, value_name = "MOMENT", conflicts_with = "set")]
        at: Option<String>,
    },
}

/// Characters of a version that name it.
const VERSION_LEN_MIN: usize = 8;

/// Does it.
///
/// # Errors
/// The server's refusal, or that there is no such set.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Apply(server) => {
            let bytes = server.api()?.act("/v1/operator/routes/apply")?;
            println!("{}", line(&serde_json::from_slice(&bytes).context("the API's answer")?));
        }
        Command::History { server, json } => {
            find(&server.api()?, |set| {
                let text = if *json { serde_json::to_string(set) } else { Ok(line(set)) };
                println!("{}", text.unwrap_or_default());
                false
            })?;
        }
        Command::Show { server, set, at } => {
            let api = server.api()?;
            let at = at.as_deref().map(seconds).transpose()?;
            let is_meant = |one: &RuleSet| match (set, at) {
                (Some(name), _) => is_named(one, name),
                (None, Some(at)) => one.applied_at.0 <= at,
                (None, None) => true,
            };
            let Some(found) = find(&api, is_meant)? else { bail!("there is no such set of rules") };
            let bytes = api.get(&format!("/v1/operator/routes/{}", found.number), "")?;
            let RuleSetText { rule_set, text } =
                serde_json::from_slice(&bytes).context("the API's answer")?;
            eprintln!("{}", line(&rule_set));
            print!("{text}");
        }
    }
    Ok(())
}

/// The newest set of which this holds.
fn find(api: &Api, mut is_meant: impl FnMut(&RuleSet) -> bool) -> Result<Option<RuleSet>> {
    let mut query = "limit=200".to_owned();
    loop {
        let bytes = api.get("/v1/operator/routes", &query)?;
        let page: Page<RuleSet> = serde_json::from_slice(&bytes).context("the API's answer")?;
        if let Some(found) = page.items.into_iter().find(&mut is_meant) {
            return Ok(Some(found));
        }
        let Some(next) = page.next else { return Ok(None) };
        query = format!("limit=200&cursor={next}");
    }
}

fn is_named(set: &RuleSet, name: &str) -> bool {
    set.number.to_string() == name || (name.len() >= VERSION_LEN_MIN && set.version.starts_with(name))
}

fn seconds(moment: &str) -> Result<UnixSeconds> {
    let at: jiff::Timestamp = moment
        .parse()
        .map_err(|_| anyhow!("`--at` is a moment with its offset, as `2026-12-24T00:00:00Z`"))?;
    Ok(UnixSeconds(u64::try_from(at.as_second()).unwrap_or(0)))
}

fn line(set: &RuleSet) -> String {
    let at = serde_json::to_string(&set.applied_at).unwrap_or_default();
    format!(
        "{}  {}  version {}  {} rules  generation {}",
        set.number,
        at.trim_matches('"'),
        set.version,
        set.rules,
        set.generation
    )
}
