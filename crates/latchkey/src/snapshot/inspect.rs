//! `latchkey snapshot inspect`: what is published, in figures.

use super::Pinned;
use anyhow::Result;
use clap::Args;
use latchkey_control::publish::{PublishedState, Snapshot};
use latchkey_snapshot::manifest::{ExceptionClass, Exceptions, Section};
use latchkey_snapshot::{Delta, Head};
use serde_json::{Value, json};

/// What `latchkey snapshot inspect` is asked for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Where it is published: a directory, or `s3://BUCKET/PREFIX`.
    place: String,
    #[command(flatten)]
    pinned: Pinned,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Tells it.
///
/// # Errors
/// What cannot be believed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let published = arguments.pinned.read(&arguments.place)?;
    let account = account(&published);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&account)?);
    } else {
        tell("", &account);
    }
    Ok(())
}

fn account(published: &Snapshot) -> Value {
    json!({
        "head": head(&published.head),
        "state": state(&published.state),
        "previous": published.previous.as_ref().map(state),
    })
}

fn head(head: &Head) -> Value {
    let statement = &head.statement;
    json!({
        "root_version": head.root_version,
        "as_of_ms": head.as_of.0,
        "inline_revocations": head.inline.len(),
        "newest_generation": head.newest_generation().0,
        "statement": {
            "generation": statement.generation.0,
            "issued_secs": statement.issued.0,
            "use_by_secs": statement.use_by.0,
            "manifest": statement.manifest.digest().to_string(),
            "tip": statement.tip.map(|tip| tip.digest().to_string()),
            "previous_until_secs": statement.previous.as_ref().map(|previous| previous.until.0),
            "audit_size": statement.audit_size,
        },
    })
}

fn state(state: &PublishedState) -> Value {
    let manifest = &state.manifest;
    let sections: Vec<Value> = manifest.sections.iter().map(|one| section(state, one)).collect();
    json!({
        "base": {
            "generation": manifest.generation.0,
            "prefix": manifest.prefix.as_str(),
            "grace_secs": manifest.grace_secs,
            "sections": sections,
            "session_keys": manifest.session_keys.len(),
            "edge_keys": manifest.edge_keys.len(),
            "canaries": manifest.canaries.len(),
            "rules": manifest.rules.len(),
        },
        "deltas": state.chain.iter().map(delta).collect::<Vec<_>>(),
        "exceptions": exceptions(&state.exceptions),
    })
}

fn section(state: &PublishedState, section: &Section) -> Value {
    let nodes = state.nodes.get(&section.kind).map(Vec::as_slice).unwrap_or_default();
    let pages = nodes.iter().flat_map(|node| node.pages());
    let lengths: Vec<u32> = pages.map(|page| page.object.len_bytes()).collect();
    json!({
        "kind": format!("{:?}", section.kind),
        "records": section.records,
        "nodes": nodes.len(),
        "pages": lengths.len(),
        "page_bytes": lengths.iter().map(|len| u64::from(*len)).sum::<u64>(),
        "page_bytes_max": lengths.iter().max(),
    })
}

fn delta(delta: &Delta) -> Value {
    let records = delta.pages().iter().map(|(_, page)| page.records()).sum::<usize>();
    json!({
        "from": delta.removals.from.0,
        "generation": delta.removals.generation.0,
        "bytes": delta.len_bytes(),
        "removals": delta.removals.list().len(),
        "records": records,
    })
}

fn exceptions(exceptions: &Exceptions) -> Value {
    let count = |class: &ExceptionClass| (class.to_string(), json!(exceptions.numbers(*class).len()));
    Value::Object(ExceptionClass::ALL.iter().map(count).collect())
}

/// A line for each figure, what it belongs to before it.
fn tell(path: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                tell(&format!("{path}{}{name}", if path.is_empty() { "" } else { "." }), value);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                match item {
                    Value::Object(fields) => {
                        let words = fields.iter().map(|(name, value)| format!("{name} {}", plain(value)));
                        println!("{path}[{index}]: {}", words.collect::<Vec<_>>().join(", "));
                    }
                    other => println!("{path}[{index}]: {}", plain(other)),
                }
            }
        }
        Value::Null => {}
        other => println!("{path}: {}", plain(other)),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
