//! The matcher against docs/spec/route-rules.md, told anew in the plainest way: the same rule sets stand, and every path
//! falls under the same rule.

use crate::stage::rule;
use latchkey_core::Permission;
use latchkey_gate::{RouteFault, Routes};
use latchkey_snapshot::Rule;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn rules(patterns: &[String]) -> Vec<Rule> {
    patterns.iter().map(|pattern| rule("GET", pattern, Permission::FilesView)).collect()
}

/// A segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Text(String),
    Parameter(String, String),
    CatchAll,
}

fn segments(pattern: &str) -> Vec<Segment> {
    let segment = |text: &str| match (text.split_once('{'), text.split_once('}')) {
        (Some((prefix, name)), Some((_, suffix))) => match name.starts_with('*') {
            true => Segment::CatchAll,
            false => Segment::Parameter(prefix.into(), suffix.into()),
        },
        _ => Segment::Text(text.into()),
    };
    pattern.split('/').skip(1).map(segment).collect()
}

/// Whether two of these patterns could contend for a path.
fn contend(patterns: &[Vec<Segment>]) -> bool {
    let distinct: BTreeSet<_> = patterns.iter().collect();
    let position = |before: &[Segment]| -> BTreeSet<&Segment> {
        let there = patterns.iter().filter(|pattern| pattern.starts_with(before));
        there.filter_map(|pattern| pattern.get(before.len())).collect()
    };
    // All parameters of one position are of one kind; one with text before is a kind of its own.
    let is_clear = |there: &BTreeSet<&Segment>| {
        let kinds = there.iter().filter_map(|segment| match segment {
            Segment::Parameter(prefix, _) if prefix.is_empty() => Some((1, "", "")),
            Segment::Parameter(prefix, suffix) => Some((2, prefix.as_str(), suffix.as_str())),
            Segment::CatchAll => Some((3, "", "")),
            Segment::Text(_) => None,
        });
        kinds.collect::<BTreeSet<_>>().len() <= 1
    };
    let prefixes = patterns.iter().flat_map(|pattern| (0..pattern.len()).map(|len| &pattern[..len]));
    distinct.len() < patterns.len() || !prefixes.map(position).all(|there| is_clear(&there))
}

/// The pattern that a path falls under, of those that have `before` in common.
fn walk(patterns: &[Vec<Segment>], before: &[Segment], path: &[&str]) -> Option<usize> {
    let Some((segment, rest)) = path.split_first() else {
        return patterns.iter().position(|pattern| pattern == before);
    };
    let there = patterns.iter().filter(|pattern| pattern.starts_with(before));
    let nexts: BTreeSet<&Segment> = there.filter_map(|pattern| pattern.get(before.len())).collect();
    let go = |next: &Segment| walk(patterns, &[before, std::slice::from_ref(next)].concat(), rest);
    let text = Segment::Text((*segment).into());
    let mut order: Vec<Segment> = nexts.contains(&text).then_some(text).into_iter().collect();
    let mut parameters: Vec<(&str, &str)> = nexts
        .iter()
        .filter_map(|next| match next {
            Segment::Parameter(prefix, suffix) => Some((prefix.as_str(), suffix.as_str())),
            _ => None,
        })
        .filter(|(prefix, suffix)| {
            segment.len() > prefix.len() + suffix.len()
                && segment.starts_with(prefix)
                && segment.ends_with(suffix)
        })
        .collect();
    parameters.sort_by_key(|(_, suffix)| usize::MAX - suffix.len());
    let tried = parameters.into_iter();
    order.extend(tried.map(|(prefix, suffix)| Segment::Parameter(prefix.into(), suffix.into())));
    order.iter().find_map(go).or_else(|| {
        let is_there = nexts.contains(&Segment::CatchAll) && !segment.is_empty();
        let whole = [before, &[Segment::CatchAll]].concat();
        if is_there { patterns.iter().position(|pattern| *pattern == whole) } else { None }
    })
}

/// A pattern whose parameters are called by their positions.
fn pattern() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec![
        "a", "b", "ab", "ba", "{}", "{}", "{}a", "{}b", "{}ba", "a{}", "b{}", "ab{}", "a{}b", "b{}a", "{*}",
    ]);
    prop::collection::vec(segment, 1..4).prop_map(|segments| {
        let end = segments.iter().position(|segment| *segment == "{*}").map_or(segments.len(), |at| at + 1);
        let named = segments[..end]
            .iter()
            .enumerate()
            .map(|(at, segment)| format!("/{}", segment.replace('}', &format!("p{at}}}"))));
        named.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn rule_sets_stand_and_paths_are_matched_as_the_specification_says(
        patterns in prop::collection::btree_set(pattern(), 1..8),
        paths in prop::collection::vec("(/(a|b|ab|ba|aab|bba|aba|c|ca|ac|acb)){1,4}", 8),
    ) {
        let patterns: Vec<String> = patterns.into_iter().collect();
        let told: Vec<Vec<Segment>> = patterns.iter().map(|pattern| segments(pattern)).collect();
        let routes = match Routes::compile(&rules(&patterns)) {
            Ok(routes) => routes,
            Err(error) => {
                prop_assert_eq!(&error.what, &RouteFault::Conflict);
                prop_assert!(contend(&told), "{:?}", patterns);
                return Ok(());
            }
        };
        prop_assert!(!contend(&told), "{:?}", patterns);
        for path in &paths {
            let parts: Vec<&str> = path.split('/').skip(1).collect();
            let resolved = routes.resolve(None, "GET", path.as_bytes()).unwrap();
            let rule = resolved.as_ref().map(|resolved| resolved.rule);
            prop_assert_eq!(rule, walk(&told, &[], &parts), "{} {:?}", path, patterns);
        }
    }
}

#[test]
fn text_behind_a_parameter_that_is_the_end_of_an_escape_is_no_match() {
    for pattern in ["/{a}9", "/{a}A9", "/{a}9/b"] {
        let routes = Routes::compile(&rules(&[pattern.to_owned()])).unwrap();
        let path = pattern.replace("{a}A", "{a}").replace("{a}", "%C3%A");
        assert_eq!(routes.resolve(None, "GET", path.as_bytes()), Ok(None), "{pattern}");
        let path = pattern.replace("{a}", "%C3%A9");
        assert_eq!(routes.resolve(None, "GET", path.as_bytes()).unwrap().unwrap().parameters[0].1, "\u{e9}");
    }
}
