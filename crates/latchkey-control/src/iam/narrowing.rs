//! What a key is narrowed to (K7). Narrowing only ever takes away: what it names beyond the role counts for nothing.

use latchkey_core::{Matching, Network, PermissionSet, ResourceType};

/// What a key is narrowed to. The default narrows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// These permissions alone, of those that its role has.
    pub permissions: Option<PermissionSet>,
    /// These resources alone; empty: any.
    pub resources: Vec<ResourcePattern>,
    /// These models alone; empty: any.
    pub models: Vec<ModelPattern>,
    /// From these client networks alone; empty: from anywhere.
    pub networks: Vec<Network>,
    /// Requests a minute and data centre, approximately; shared with its predecessors and successors (K8).
    pub rate_per_minute: Option<u32>,
}

/// Resources by the whole id or by how it begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourcePattern {
    /// Their type.
    pub kind: ResourceType,
    /// How the text is meant.
    pub matching: Matching,
    /// The id, or its beginning; characters of an id.
    pub text: String,
}

/// Models by the whole name or by how it begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelPattern {
    /// How the text is meant.
    pub matching: Matching,
    /// The name, or its beginning; characters of a model's name.
    pub text: String,
}

impl Narrowing {
    /// Its one form: every list sorted, every item once.
    #[must_use]
    pub fn canonical(mut self) -> Self {
        self.resources.sort_unstable();
        self.resources.dedup();
        self.models.sort_unstable();
        self.models.dedup();
        self.networks.sort_unstable();
        self.networks.dedup();
        self
    }

    /// Whether it allows anything that `other` does not (K6a). What is not provably covered counts as more: a list
    /// that reaches just as far by other patterns may be taken for a wider one, never the other way round.
    pub fn allows_more_than(&self, other: &Self) -> bool {
        let permissions = match (self.permissions, other.permissions) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(own), Some(other)) => !own.is_subset_of(other),
        };
        let rate = match (self.rate_per_minute, other.rate_per_minute) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(own), Some(other)) => own > other,
        };
        permissions
            || rate
            || reaches_beyond(&self.resources, &other.resources, ResourcePattern::covers)
            || reaches_beyond(&self.models, &other.models, ModelPattern::covers)
            || reaches_beyond(&self.networks, &other.networks, covers_network)
    }
}

impl ResourcePattern {
    fn covers(&self, other: &Self) -> bool {
        self.kind == other.kind && covers(self.matching, &self.text, other.matching, &other.text)
    }
}

impl ModelPattern {
    fn covers(&self, other: &Self) -> bool {
        covers(self.matching, &self.text, other.matching, &other.text)
    }
}

/// Whether some item of `list` is not covered by any of `other`. An empty list is everything.
fn reaches_beyond<T>(list: &[T], other: &[T], covers: fn(&T, &T) -> bool) -> bool {
    let is_covered = |item: &T| other.iter().any(|wide| covers(wide, item));
    !other.is_empty() && (list.is_empty() || !list.iter().all(is_covered))
}

/// Whether every text that the second pattern matches is matched by the first.
fn covers(wide: Matching, wide_text: &str, narrow: Matching, narrow_text: &str) -> bool {
    match (wide, narrow) {
        (Matching::Exact, Matching::Exact) => wide_text == narrow_text,
        (Matching::Exact, Matching::Prefix) => false,
        (Matching::Prefix, _) => narrow_text.starts_with(wide_text),
    }
}

fn covers_network(wide: &Network, narrow: &Network) -> bool {
    wide.prefix_len() <= narrow.prefix_len() && wide.contains(narrow.address())
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_core::Permission;

    fn resources(patterns: &[(ResourceType, Matching, &str)]) -> Narrowing {
        let pattern =
            |&(kind, matching, text): &_| ResourcePattern { kind, matching, text: str::to_owned(text) };
        Narrowing { resources: patterns.iter().map(pattern).collect(), ..Narrowing::default() }
    }

    fn models(patterns: &[(Matching, &str)]) -> Narrowing {
        let pattern = |&(matching, text): &_| ModelPattern { matching, text: str::to_owned(text) };
        Narrowing { models: patterns.iter().map(pattern).collect(), ..Narrowing::default() }
    }

    fn networks(texts: &[&str]) -> Narrowing {
        let networks = texts.iter().map(|text| Network::parse(text).unwrap()).collect();
        Narrowing { networks, ..Narrowing::default() }
    }

    fn rate(rate_per_minute: u32) -> Narrowing {
        Narrowing { rate_per_minute: Some(rate_per_minute), ..Narrowing::default() }
    }

    fn permissions(list: &[Permission]) -> Narrowing {
        let set = list.iter().fold(PermissionSet::EMPTY, |set, one| set.with(*one));
        Narrowing { permissions: Some(set), ..Narrowing::default() }
    }

    #[track_caller]
    fn check_wider(wide: &Narrowing, narrow: &Narrowing) {
        assert!(wide.allows_more_than(narrow), "{wide:?} is wider than {narrow:?}");
        assert!(!narrow.allows_more_than(wide), "{narrow:?} is within {wide:?}");
        assert!(!wide.allows_more_than(wide) && !narrow.allows_more_than(narrow));
    }

    #[test]
    fn wider_narrowing_allows_more_k6a() {
        use Matching::{Exact, Prefix};
        use ResourceType::{Cluster, File};
        let none = Narrowing::default();
        let view = permissions(&[Permission::FilesView]);
        let read = permissions(&[Permission::FilesView, Permission::FilesRead]);
        for (wide, narrow) in [
            (&none, &view),
            (&read, &view),
            (&none, &rate(7)),
            (&rate(8), &rate(7)),
            (&none, &networks(&["10.0.0.0/8"])),
            (&networks(&["10.0.0.0/8"]), &networks(&["10.1.0.0/16"])),
            (&networks(&["10.0.0.0/8", "::/0"]), &networks(&["10.0.0.0/8"])),
            (&none, &models(&[(Exact, "a")])),
            (&models(&[(Prefix, "a")]), &models(&[(Exact, "a")])),
            (&models(&[(Prefix, "a")]), &models(&[(Prefix, "ab"), (Exact, "a")])),
            (&resources(&[(Cluster, Prefix, "c")]), &resources(&[(Cluster, Exact, "c-1")])),
            (
                &resources(&[(Cluster, Prefix, "c"), (File, Exact, "f")]),
                &resources(&[(File, Exact, "f"), (Cluster, Prefix, "c-")]),
            ),
        ] {
            check_wider(wide, narrow);
        }
    }

    #[test]
    fn what_lies_elsewhere_counts_as_more_both_ways_k6a() {
        use Matching::{Exact, Prefix};
        use ResourceType::{Cluster, File};
        for (one, other) in [
            (permissions(&[Permission::FilesView]), permissions(&[Permission::FilesRead])),
            (networks(&["10.0.0.0/8"]), networks(&["11.0.0.0/8"])),
            (networks(&["0.0.0.0/0"]), networks(&["::/0"])),
            (models(&[(Exact, "a")]), models(&[(Exact, "A")])),
            (resources(&[(Cluster, Exact, "x")]), resources(&[(File, Exact, "x")])),
            (resources(&[(Cluster, Prefix, "ab")]), resources(&[(Cluster, Exact, "a")])),
            (rate(7), networks(&["::/0"])),
        ] {
            assert!(one.allows_more_than(&other) && other.allows_more_than(&one), "{one:?} {other:?}");
        }
    }

    #[test]
    fn canonical_form_forgets_order_and_repetition() {
        let one = networks(&["11.0.0.0/8", "10.0.0.0/8", "11.0.0.0/8"]).canonical();
        assert_eq!(one, networks(&["10.0.0.0/8", "11.0.0.0/8"]));
    }
}
