//! What a published state says once its deltas are taken in: for comparing two of them.

use super::published::PublishedState;
use latchkey_core::{ExpiryMinute, KeyId, OrganizationNumber, ProjectNumber};
use latchkey_snapshot::page::KeyState;
use latchkey_snapshot::query::TAG_LEN;
use latchkey_snapshot::{Binding, Canary, Entry, Kind, Names, OrganizationNames, Page, ProjectNames};
use std::collections::BTreeMap;

/// Where a record is found: by what it is about, and its tag.
pub type RecordPlace = (Kind, [u8; TAG_LEN]);

/// What a published state says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Records.
    pub records: BTreeMap<RecordPlace, PublishedRecord>,
    /// Names of projects.
    pub projects: BTreeMap<ProjectNumber, ProjectNames>,
    /// Names of organizations.
    pub organizations: BTreeMap<OrganizationNumber, OrganizationNames>,
}

/// What is said of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedRecord {
    /// Whose it is and what it may do.
    pub binding: Binding,
    /// From when on it is refused.
    pub expiry: Option<ExpiryMinute>,
    /// Whether it is in force.
    pub state: KeyState,
    /// Whether it is refused where it costs money.
    pub is_out_of_budget: bool,
    /// Whether it rests on itself.
    pub is_external: bool,
    /// What it is narrowed to, in words; empty for nothing.
    pub narrowing: String,
    /// Of a key of another system, the id that its use is told by.
    pub key_id: Option<KeyId>,
}

impl PublishedState {
    /// All that it says.
    pub fn contents(&self) -> Contents {
        let mut contents = Contents::default();
        self.pages.values().flatten().for_each(|(_, page)| contents.take_page(page));
        self.names.values().flatten().for_each(|names| contents.take_names(names));
        for delta in self.chain.iter().rev() {
            for removal in delta.removals.list() {
                // One that is only out of force comes again, from the delta's own page.
                contents.records.remove(&(removal.kind, removal.tag));
            }
            delta.pages().iter().for_each(|(_, page)| contents.take_page(page));
            delta.names().iter().for_each(|names| contents.take_names(names));
        }
        contents
    }
}

impl PublishedState {
    /// The canaries that are answered otherwise than the base says. No edge serves while there is one.
    pub fn wrong_canaries(&self) -> Vec<&Canary> {
        let is_wrong = |canary: &&Canary| {
            let found = self.find(&canary.query);
            !canary.holds(found.map(|(_, entry)| entry).as_ref())
        };
        self.manifest.canaries.iter().filter(is_wrong).collect()
    }
}

impl Contents {
    fn take_page(&mut self, page: &Page) {
        for (tag, entry) in page.entries() {
            self.records.insert((page.kind(), *tag), record(page, &entry));
        }
    }

    fn take_names(&mut self, names: &Names) {
        match names {
            Names::Projects(list) => self.projects.extend(list.iter().map(|one| (one.number, one.clone()))),
            Names::Organizations(list) => {
                self.organizations.extend(list.iter().map(|one| (one.number, one.clone())));
            }
        }
    }
}

fn record(page: &Page, entry: &Entry) -> PublishedRecord {
    let narrowing = page.narrowing(entry).map(|narrowing| {
        let networks: Vec<_> = narrowing.networks().collect();
        let resources: Vec<_> = narrowing.resources().collect();
        let models: Vec<_> = narrowing.models().collect();
        format!("{:?} {networks:?} {resources:?} {models:?}", narrowing.rate())
    });
    PublishedRecord {
        binding: entry.binding,
        expiry: entry.expiry,
        state: entry.state,
        is_out_of_budget: entry.is_out_of_budget,
        is_external: entry.is_external,
        narrowing: narrowing.unwrap_or_default(),
        key_id: page.imported_key_id(entry),
    }
}
