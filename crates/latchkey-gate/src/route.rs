//! Route rules, compiled: which rule a method and a path fall under, and what its parameters say. What a rule may be and
//! how a path is matched is in docs/spec/route-rules.md.

use crate::matcher::{Contends, Matcher, PARAMETERS_MAX, SEGMENTS_MAX, Texts};
use crate::path::{Characters, Path, PathError, decode, is_plain};
use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use latchkey_core::{Permission, PermissionSet, Role};
use latchkey_snapshot::manifest::RULES_MAX;
use latchkey_snapshot::rule::PATTERN_LEN_MAX;
use latchkey_snapshot::{ModelSource, ProjectSource, Rule};

/// The route rules of a manifest, ready to match.
pub struct Routes {
    rules: Vec<Rule>,
    /// The names of each rule's parameters, in their order.
    names: Vec<Vec<String>>,
    methods: Vec<Method>,
    matchers: Vec<Matcher>,
    plain: Characters,
}

struct Method {
    name: String,
    matcher: usize,
    /// By the matcher's value: the index of the rule.
    rules: Vec<u16>,
}

/// Why a list of rules is refused; the operator's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteError {
    /// Which rule, counted from 0.
    pub rule: usize,
    /// What is wrong with it.
    pub what: RouteFault,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteFault {
    /// More than 4,096 rules.
    TooMany,
    /// The method is not 1 to 16 of `A-Z`.
    Method,
    /// The pattern has no bytes, or more than 512.
    PatternLength,
    /// The pattern does not begin with `/`.
    NotAbsolute,
    /// A segment is empty, `.` or `..`, or a slash stands at the end: no request that is let in has such a path.
    Segment,
    /// A character that no canonical path has.
    Character(char),
    /// A parameter that is not `{name}` or `{*name}` with 1 to 32 of `a-z0-9_`.
    Parameter,
    /// Two parameters in one segment.
    ParametersInSegment,
    /// The same parameter twice.
    ParameterTwice(String),
    /// More than 8 parameters.
    TooManyParameters,
    /// More than 32 segments.
    TooManySegments,
    /// Something behind a catch-all parameter, or before it in its segment.
    CatchAll,
    /// The same method and pattern stand in an earlier rule.
    Twice,
    /// Another pattern of the method contends with it for the same paths.
    Conflict,
    /// The project, the resource or the model is taken from a parameter that the pattern does not have.
    UnknownParameter(String),
    /// The project or the resource is taken from a catch-all parameter.
    CatchAllSource(String),
    /// The project and the resource, or the project and the model, are taken from the same parameter.
    OneForBoth(String),
    /// The model is taken from a header that says something else: the gate reads it itself, or it is none.
    Header(String),
    /// A permission that no credential which the route takes can hold: every request would be refused.
    NeverHeld(Permission),
}

impl Routes {
    /// Compiles the rules of a manifest, or an operator's before they go into one.
    ///
    /// # Errors
    /// [`RouteError`] names the first rule that cannot stand.
    pub fn compile(rules: &[Rule]) -> Result<Self, RouteError> {
        if rules.len() > RULES_MAX {
            return Err(RouteError { rule: RULES_MAX, what: RouteFault::TooMany });
        }
        let mut plain = Characters::default();
        let mut names = Vec::with_capacity(rules.len());
        for (index, rule) in rules.iter().enumerate() {
            names.push(check_rule(rule, &mut plain).map_err(|what| RouteError { rule: index, what })?);
        }
        let (methods, matchers) = (Vec::new(), Vec::new());
        let mut routes = Self { rules: rules.to_vec(), names, methods, matchers, plain };
        routes.add_methods()?;
        Ok(routes)
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule at all, so that every path is refused.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Checks a path as received against what these routes need to match it safely.
    pub(crate) fn path<'a>(&self, raw: &'a [u8]) -> Result<Path<'a>, PathError> {
        Path::parse(raw, &self.plain)
    }

    pub(crate) fn find<'r, 'p>(&'r self, method: &str, path: Path<'p>) -> Option<Route<'r, 'p>> {
        let method = self.methods.iter().find(|known| known.name == method)?;
        let (value, texts) = self.matchers.get(method.matcher)?.at(path.as_str())?;
        // The text behind a parameter may be that of an escape's digits: such a path does not spell what the pattern says.
        if texts.iter().any(|text| decode(text).is_none()) {
            return None;
        }
        let index = usize::from(*method.rules.get(usize::from(value))?);
        Some(Route { index, rule: self.rules.get(index)?, names: self.names.get(index)?, texts })
    }

    /// The rule that a method and a path fall under, counted from 0, and what the path spells for its parameters, in the
    /// order in which they stand.
    ///
    /// # Errors
    /// [`PathError`]: an origin could read the path in two ways.
    pub fn resolve(&self, method: &str, path: &[u8]) -> Result<Option<Resolved>, PathError> {
        let Some(route) = self.find(method, self.path(path)?) else { return Ok(None) };
        let spelled = |(name, text): (&String, &str)| Some((name.clone(), decode(text)?.into_owned()));
        let parameters = route.names.iter().zip(route.texts.iter()).filter_map(spelled).collect();
        Ok(Some(Resolved { rule: route.index, parameters }))
    }

    /// One matcher for all methods that have the same patterns.
    fn add_methods(&mut self) -> Result<(), RouteError> {
        let mut by_method: BTreeMap<&str, BTreeMap<&str, u16>> = BTreeMap::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let patterns = by_method.entry(&rule.method).or_default();
            // At most RULES_MAX, which fits.
            if patterns.insert(&rule.pattern, index as u16).is_some() {
                return Err(RouteError { rule: index, what: RouteFault::Twice });
            }
        }
        let mut known: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
        for (name, patterns) in by_method {
            let set: Vec<&str> = patterns.keys().copied().collect();
            let matcher = match known.get(&set) {
                Some(matcher) => *matcher,
                None => {
                    self.matchers.push(build_matcher(&patterns)?);
                    *known.entry(set).or_insert(self.matchers.len() - 1)
                }
            };
            let rules = patterns.into_values().collect();
            self.methods.push(Method { name: name.into(), matcher, rules });
        }
        Ok(())
    }
}

fn build_matcher(patterns: &BTreeMap<&str, u16>) -> Result<Matcher, RouteError> {
    let mut matcher = Matcher::new();
    for (ordinal, (pattern, rule)) in patterns.iter().enumerate() {
        let conflict = |Contends| RouteError { rule: usize::from(*rule), what: RouteFault::Conflict };
        matcher.insert(pattern, ordinal as u16).map_err(conflict)?;
    }
    Ok(matcher)
}

/// The rule that a request falls under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Which rule, counted from 0.
    pub rule: usize,
    /// Name and text of each parameter.
    pub parameters: Vec<(String, String)>,
}

/// A rule and what the path says for its parameters.
pub(crate) struct Route<'r, 'p> {
    index: usize,
    pub(crate) rule: &'r Rule,
    names: &'r [String],
    texts: Texts<'p>,
}

impl<'p> Route<'_, 'p> {
    /// What the parameter spells.
    pub(crate) fn parameter(&self, name: &str) -> Option<Cow<'p, str>> {
        let (_, text) = self.names.iter().zip(self.texts.iter()).find(|(known, _)| *known == name)?;
        decode(text)
    }
}

/// The names of the rule's parameters, if it can stand by itself.
fn check_rule(rule: &Rule, plain: &mut Characters) -> Result<Vec<String>, RouteFault> {
    if !Rule::is_method(&rule.method) {
        return Err(RouteFault::Method);
    }
    let holdable = match rule.credentials.takes_sessions() {
        true => PermissionSet::of_project(Role::Admin),
        false => PermissionSet::of_key(Role::Admin),
    };
    if !holdable.contains(rule.permission) {
        return Err(RouteFault::NeverHeld(rule.permission));
    }
    let parameters = check_pattern(&rule.pattern, plain)?;
    let project = match &rule.project {
        ProjectSource::Credential => None,
        ProjectSource::Path(name) => Some(name),
    };
    let resource = rule.resource.as_ref().map(|source| &source.parameter);
    for name in project.into_iter().chain(resource) {
        match parameters.iter().find(|parameter| parameter.name == name) {
            None => return Err(RouteFault::UnknownParameter(name.clone())),
            Some(parameter) if parameter.catch_all => return Err(RouteFault::CatchAllSource(name.clone())),
            Some(_) => {}
        }
    }
    let model = check_model(rule.model.as_ref(), &parameters)?;
    match project {
        Some(project) if resource == Some(project) || model == Some(project) => {
            Err(RouteFault::OneForBoth(project.clone()))
        }
        _ => Ok(parameters.iter().map(|parameter| parameter.name.into()).collect()),
    }
}

/// The parameter that names the model, if one does: a catch-all may, since names of models have slashes.
fn check_model<'m>(
    model: Option<&'m ModelSource>,
    parameters: &[Parameter<'_>],
) -> Result<Option<&'m String>, RouteFault> {
    match model {
        None => Ok(None),
        Some(ModelSource::Path(name)) if parameters.iter().any(|parameter| parameter.name == name) => {
            Ok(Some(name))
        }
        Some(ModelSource::Path(name)) => Err(RouteFault::UnknownParameter(name.clone())),
        Some(ModelSource::Header(name)) => {
            let taken = ["authorization", "cookie"].contains(&name.as_str()) || name.starts_with("latchkey-");
            if taken || !Rule::is_header(name) { Err(RouteFault::Header(name.clone())) } else { Ok(None) }
        }
    }
}

struct Parameter<'a> {
    name: &'a str,
    catch_all: bool,
}

fn check_pattern<'a>(pattern: &'a str, plain: &mut Characters) -> Result<Vec<Parameter<'a>>, RouteFault> {
    if !(1..=PATTERN_LEN_MAX).contains(&pattern.len()) {
        return Err(RouteFault::PatternLength);
    }
    let body = pattern.strip_prefix('/').ok_or(RouteFault::NotAbsolute)?;
    let (mut parameters, mut names) = (Vec::new(), BTreeSet::new());
    if body.is_empty() {
        return Ok(parameters);
    }
    for (at, segment) in body.split('/').enumerate() {
        if at == SEGMENTS_MAX {
            return Err(RouteFault::TooManySegments);
        }
        if parameters.last().is_some_and(|last: &Parameter<'_>| last.catch_all) {
            return Err(RouteFault::CatchAll);
        }
        let Some(parameter) = check_segment(segment, plain)? else { continue };
        if !names.insert(parameter.name) {
            return Err(RouteFault::ParameterTwice(parameter.name.into()));
        }
        parameters.push(parameter);
        if parameters.len() > PARAMETERS_MAX {
            return Err(RouteFault::TooManyParameters);
        }
    }
    Ok(parameters)
}

fn check_segment<'a>(segment: &'a str, plain: &mut Characters) -> Result<Option<Parameter<'a>>, RouteFault> {
    if matches!(segment, "" | "." | "..") {
        return Err(RouteFault::Segment);
    }
    let Some((before, rest)) = segment.split_once('{') else {
        check_text(segment, plain)?;
        return Ok(None);
    };
    let (inner, behind) = rest.split_once('}').ok_or(RouteFault::Parameter)?;
    if behind.contains('{') {
        return Err(RouteFault::ParametersInSegment);
    }
    let (name, catch_all) = inner.strip_prefix('*').map_or((inner, false), |name| (name, true));
    if !Rule::is_parameter(name) {
        return Err(RouteFault::Parameter);
    }
    if catch_all && !(before.is_empty() && behind.is_empty()) {
        return Err(RouteFault::CatchAll);
    }
    check_text(before, plain)?;
    check_text(behind, plain)?;
    Ok(Some(Parameter { name, catch_all }))
}

/// A pattern's own text must be spelled as every request spells it, so its characters may not come encoded.
fn check_text(text: &str, plain: &mut Characters) -> Result<(), RouteFault> {
    for character in text.chars() {
        match u8::try_from(character) {
            Ok(byte) if is_plain(byte) => plain.insert(byte),
            _ => return Err(RouteFault::Character(character)),
        }
    }
    Ok(())
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Routes({} rules)", self.rules.len())
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route rule {}: {}", self.rule, self.what)
    }
}

impl fmt::Display for RouteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "there are more than {RULES_MAX} rules"),
            Self::Method => f.write_str("a method is 1 to 16 capital letters"),
            Self::PatternLength => write!(f, "a pattern has 1 to {PATTERN_LEN_MAX} bytes"),
            Self::NotAbsolute => f.write_str("a pattern begins with `/`"),
            Self::Segment => {
                f.write_str("a segment is neither empty nor `.` nor `..`, and no slash stands at the end")
            }
            Self::Character(character) => {
                write!(f, "the character `{}` stands in no canonical path", character.escape_default())
            }
            Self::Parameter => f.write_str("a parameter is `{name}` or `{*name}` with 1 to 32 of `a-z0-9_`"),
            Self::ParametersInSegment => f.write_str("a segment has at most one parameter"),
            Self::ParameterTwice(name) => write!(f, "the parameter `{name}` stands twice"),
            Self::TooManyParameters => write!(f, "a pattern has at most {PARAMETERS_MAX} parameters"),
            Self::TooManySegments => write!(f, "a pattern has at most {SEGMENTS_MAX} segments"),
            Self::CatchAll => f.write_str("a catch-all parameter is the whole last segment"),
            Self::Twice => f.write_str("its method and pattern stand in an earlier rule"),
            Self::Conflict => {
                f.write_str("another pattern of its method contends with it for the same paths")
            }
            Self::UnknownParameter(name) => write!(f, "the pattern has no parameter `{name}`"),
            Self::CatchAllSource(name) => {
                write!(f, "the catch-all parameter `{name}` can name neither project nor resource")
            }
            Self::OneForBoth(name) => {
                write!(f, "the parameter `{name}` cannot name the project and something else")
            }
            Self::Header(name) => {
                write!(f, "the header `{}` cannot name the model", name.escape_default())
            }
            Self::NeverHeld(permission) => {
                write!(f, "no credential that the route takes can hold `{permission}`")
            }
        }
    }
}

impl core::error::Error for RouteError {}
