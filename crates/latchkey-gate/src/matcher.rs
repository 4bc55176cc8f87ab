//! Which pattern a path is like: a tree of segments, walked from the first on. docs/spec/route-rules.md says what it does.
//!
//! A walk sees each node once at most, since what leads to a node is one choice at each segment.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Parameters that a pattern may have at most.
pub(crate) const PARAMETERS_MAX: usize = 8;
/// Segments that a pattern may have at most: the depth of a walk.
pub(crate) const SEGMENTS_MAX: usize = 32;

/// Patterns that do not contend for a path, each with a value.
#[derive(Debug)]
pub(crate) struct Matcher {
    nodes: Vec<Node>,
}

/// Where patterns with the same first segments go on.
#[derive(Debug, Default)]
struct Node {
    /// Ascending by abbreviation, then by text.
    texts: Vec<Text>,
    /// The longest text behind first.
    parameters: Vec<Parameter>,
    catch_all: Option<u16>,
    /// Of the pattern that ends here.
    value: Option<u16>,
}

/// A segment that is a text.
#[derive(Debug)]
struct Text {
    abbreviation: u64,
    text: Box<str>,
    node: usize,
}

#[derive(Debug)]
struct Parameter {
    before: Box<str>,
    behind: Box<str>,
    node: usize,
}

/// What a path has where the pattern has parameters, in their order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Texts<'p> {
    texts: [&'p str; PARAMETERS_MAX],
    len: usize,
}

impl<'p> Texts<'p> {
    /// These, up to as many as a pattern may have.
    pub(crate) fn of(texts: impl Iterator<Item = &'p str>) -> Self {
        let mut all = Self::default();
        texts.for_each(|text| all.push(text));
        all
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'p str> {
        self.texts.iter().take(self.len).copied()
    }

    fn push(&mut self, text: &'p str) {
        if let Some(place) = self.texts.get_mut(self.len) {
            *place = text;
            self.len += 1;
        }
    }
}

/// A pattern that contends with one before it.
#[derive(Debug)]
pub(crate) struct Contends;

impl Matcher {
    pub(crate) fn new() -> Self {
        Self { nodes: [Node::default()].into() }
    }

    /// Adds a pattern whose form was checked.
    pub(crate) fn insert(&mut self, pattern: &str, value: u16) -> Result<(), Contends> {
        let mut at = 0;
        for segment in pattern.split('/').skip(1) {
            let new = self.nodes.len();
            let node = self.nodes.get_mut(at).ok_or(Contends)?;
            let next = match segment.split_once('{') {
                None => node.text(segment, new),
                Some((_, rest)) if rest.starts_with('*') => return node.end_in_catch_all(value),
                Some((before, rest)) => {
                    let (_, behind) = rest.split_once('}').ok_or(Contends)?;
                    node.parameter(before, behind, new)?
                }
            };
            if next == new {
                self.nodes.push(Node::default());
            }
            at = next;
        }
        let node = self.nodes.get_mut(at).ok_or(Contends)?;
        if node.value.replace(value).is_some() { Err(Contends) } else { Ok(()) }
    }

    /// The value of the pattern that this canonical path is like; `texts` become what the path has for its parameters.
    pub(crate) fn at<'p>(&self, path: &'p str, texts: &mut Texts<'p>) -> Option<u16> {
        texts.len = 0;
        self.walk(0, path.strip_prefix('/'), texts)
    }

    /// Goes on from a node with what is left of the path, `None` behind its last segment.
    fn walk<'p>(&self, node: usize, rest: Option<&'p str>, texts: &mut Texts<'p>) -> Option<u16> {
        let node = self.nodes.get(node)?;
        let Some(rest) = rest else { return node.value };
        let Split { segment, abbreviation, behind } = Split::of(rest);
        let len = texts.len;
        if let Some(next) = node.find_text(abbreviation, segment)
            && let Some(value) = self.walk(next, behind, texts)
        {
            return Some(value);
        }
        for parameter in &node.parameters {
            if let Some(text) = parameter.of(segment) {
                texts.len = len;
                texts.push(text);
                if let Some(value) = self.walk(parameter.node, behind, texts) {
                    return Some(value);
                }
            }
        }
        let value = node.catch_all.filter(|_| !rest.is_empty())?;
        texts.len = len;
        texts.push(rest);
        Some(value)
    }
}

impl Node {
    /// The node behind this text.
    fn find_text(&self, abbreviation: u64, text: &str) -> Option<usize> {
        let same = self.texts.get(self.texts.partition_point(|known| known.abbreviation < abbreviation)..)?;
        let first = same.first().filter(|known| known.abbreviation == abbreviation)?;
        if is_abbreviated_whole(abbreviation) || *first.text == *text {
            return Some(first.node);
        }
        let is_before = |known: &Text| known.abbreviation == abbreviation && *known.text < *text;
        let known = same.get(same.partition_point(is_before))?;
        (*known.text == *text).then_some(known.node)
    }

    /// The node behind this text: the new one, if there was none.
    fn text(&mut self, text: &str, new: usize) -> usize {
        let abbreviation = Split::of(text).abbreviation;
        let key = |known: &Text| known.abbreviation.cmp(&abbreviation).then_with(|| (*known.text).cmp(text));
        match self.texts.binary_search_by(key) {
            Ok(at) => self.texts.get(at).map_or(new, |known| known.node),
            Err(at) => {
                self.texts.insert(at, Text { abbreviation, text: text.into(), node: new });
                new
            }
        }
    }

    /// The node behind a parameter between these texts. All of a node are without text before, or are one and the same.
    fn parameter(&mut self, before: &str, behind: &str, new: usize) -> Result<usize, Contends> {
        if self.catch_all.is_some() {
            return Err(Contends);
        }
        let same = |known: &&Parameter| *known.before == *before && *known.behind == *behind;
        if let Some(known) = self.parameters.iter().find(same) {
            return Ok(known.node);
        }
        let is_kind_of_its_own = |known: &Parameter| !known.before.is_empty() || !before.is_empty();
        if self.parameters.iter().any(is_kind_of_its_own) {
            return Err(Contends);
        }
        let at = self.parameters.partition_point(|known| known.behind.len() >= behind.len());
        self.parameters.insert(at, Parameter { before: before.into(), behind: behind.into(), node: new });
        Ok(new)
    }

    fn end_in_catch_all(&mut self, value: u16) -> Result<(), Contends> {
        if !self.parameters.is_empty() || self.catch_all.replace(value).is_some() {
            return Err(Contends);
        }
        Ok(())
    }
}

/// The beginning of what is left of a path.
struct Split<'p> {
    /// The first segment.
    segment: &'p str,
    /// Its last 8 bytes, in which most texts of a node differ: they are compared where they stand, and the text is not.
    abbreviation: u64,
    /// What is behind the slash that ends it.
    behind: Option<&'p str>,
}

impl<'p> Split<'p> {
    #[inline]
    fn of(rest: &'p str) -> Self {
        let mut abbreviation = 0;
        for (at, byte) in rest.bytes().enumerate() {
            if byte == b'/' {
                let (segment, behind) = (rest.get(..at), rest.get(at + 1..));
                return Self { segment: segment.unwrap_or_default(), abbreviation, behind };
            }
            abbreviation = abbreviation << 8 | u64::from(byte);
        }
        Self { segment: rest, abbreviation, behind: None }
    }
}

/// Whether no other text has this abbreviation: none is longer than 7 bytes, and no byte of a canonical path is 0.
const fn is_abbreviated_whole(abbreviation: u64) -> bool {
    abbreviation >> 56 == 0
}

impl Parameter {
    /// What of the segment is the parameter's; never nothing.
    fn of<'p>(&self, segment: &'p str) -> Option<&'p str> {
        if self.before.is_empty() && self.behind.is_empty() {
            return (!segment.is_empty()).then_some(segment);
        }
        let text = segment.strip_prefix(&*self.before)?.strip_suffix(&*self.behind)?;
        (!text.is_empty()).then_some(text)
    }
}
