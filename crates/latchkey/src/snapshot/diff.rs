//! `latchkey snapshot diff`: what differs between two published states, by kind and tag.

use super::Pinned;
use anyhow::Result;
use clap::Args;
use latchkey_control::publish::{Contents, PublishedState};
use latchkey_snapshot::Rule;
use latchkey_snapshot::manifest::ExceptionClass;
use serde::Serialize;
use std::collections::BTreeMap;

/// What `latchkey snapshot diff` is asked for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Where the one is published: a directory, or `s3://BUCKET/PREFIX`.
    before: String,
    /// Where the other one is: the same.
    after: String,
    #[command(flatten)]
    pinned: Pinned,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What differs.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    /// By kind: tags, or numbers of names.
    records: BTreeMap<String, Changes>,
    /// By class: numbers that are refused from now on, and no longer.
    exceptions: BTreeMap<String, Changes>,
    rules: Changes,
    /// What else the manifests say otherwise.
    manifest: Vec<&'static str>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Changes {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

/// Tells it.
///
/// # Errors
/// What cannot be believed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let before = arguments.pinned.read(&arguments.before)?;
    let after = arguments.pinned.read(&arguments.after)?;
    let difference = Difference::between(&before.state, &after.state);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&difference)?);
    } else {
        print!("{}", difference.told());
    }
    Ok(())
}

impl Difference {
    pub(super) fn between(before: &PublishedState, after: &PublishedState) -> Self {
        let mut difference = Self::default();
        difference.compare_contents(&before.contents(), &after.contents());
        for class in ExceptionClass::ALL {
            let numbers = |state: &PublishedState| {
                state.exceptions.numbers(class).iter().map(|number| (number.to_string(), ())).collect()
            };
            difference.exceptions.insert(class.to_string(), compare(&numbers(before), &numbers(after)));
        }
        difference.exceptions.retain(|_, changes| *changes != Changes::default());
        let name = |rule: &Rule| {
            let host = rule.host.as_deref().unwrap_or_default();
            (format!("{} {host}{}", rule.method, rule.pattern), rule.clone())
        };
        let rules = |state: &PublishedState| state.manifest.rules.iter().map(name).collect();
        difference.rules = compare(&rules(before), &rules(after));
        let (one, other) = (&before.manifest, &after.manifest);
        for (what, is_same) in [
            ("pepper", one.pepper_id == other.pepper_id),
            ("grace", one.grace_secs == other.grace_secs),
            ("prefix", one.prefix == other.prefix),
            ("cross-origin requests", one.cors == other.cors),
            ("session keys", one.session_keys == other.session_keys),
            ("edge keys", one.edge_keys == other.edge_keys),
            ("canaries", one.canaries == other.canaries),
        ] {
            if !is_same {
                difference.manifest.push(what);
            }
        }
        difference
    }

    /// Whether nothing differs.
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn compare_contents(&mut self, before: &Contents, after: &Contents) {
        let mut by_kind: BTreeMap<_, (BTreeMap<String, _>, BTreeMap<String, _>)> = BTreeMap::new();
        for ((kind, tag), record) in &before.records {
            by_kind.entry(*kind).or_default().0.insert(crate::installation::hex(tag), record);
        }
        for ((kind, tag), record) in &after.records {
            by_kind.entry(*kind).or_default().1.insert(crate::installation::hex(tag), record);
        }
        for (kind, (before, after)) in by_kind {
            self.records.insert(format!("{kind:?}"), compare(&before, &after));
        }
        let projects = |contents: &Contents| {
            contents.projects.iter().map(|(number, names)| (number.0.to_string(), names.clone())).collect()
        };
        self.records.insert("ProjectNames".to_owned(), compare(&projects(before), &projects(after)));
        let organizations = |contents: &Contents| {
            contents
                .organizations
                .iter()
                .map(|(number, names)| (number.0.to_string(), names.clone()))
                .collect()
        };
        let changes = compare(&organizations(before), &organizations(after));
        self.records.insert("OrganizationNames".to_owned(), changes);
        self.records.retain(|_, changes| *changes != Changes::default());
    }

    pub(super) fn told(&self) -> String {
        let mut text = String::new();
        let all = self.records.iter().chain(&self.exceptions);
        let rules = ("rules".to_owned(), &self.rules);
        for (what, changes) in all.chain([(&rules.0, rules.1)]) {
            for (sign, list) in [("+", &changes.added), ("-", &changes.removed), ("~", &changes.changed)] {
                list.iter().for_each(|one| text.push_str(&format!("{sign} {what} {one}\n")));
            }
        }
        self.manifest.iter().for_each(|what| text.push_str(&format!("~ manifest {what}\n")));
        if text.is_empty() { "no difference\n".to_owned() } else { text }
    }
}

fn compare<T: PartialEq>(before: &BTreeMap<String, T>, after: &BTreeMap<String, T>) -> Changes {
    let mut changes = Changes::default();
    for (place, one) in before {
        match after.get(place) {
            None => changes.removed.push(place.clone()),
            Some(other) if other != one => changes.changed.push(place.clone()),
            Some(_) => {}
        }
    }
    changes.added = after.keys().filter(|place| !before.contains_key(*place)).cloned().collect();
    changes
}
