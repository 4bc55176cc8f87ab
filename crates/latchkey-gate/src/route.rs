//! Route rules, compiled: which rule a method and a path fall under, and what its parameters say.

use crate::path::{Characters, Path, decode, is_plain};
use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use latchkey_core::{Permission, PermissionSet, Role};
use latchkey_snapshot::manifest::RULES_MAX;
use latchkey_snapshot::rule::PATTERN_LEN_MAX;
use latchkey_snapshot::{ModelSource, ProjectSource, Rule};
use matchit::{Match, Params, Router};

/// Parameters a pattern may have at most.
const PARAMETERS_MAX: usize = 8;

/// The route rules of a manifest, ready to match.
pub struct Routes {
    rules: Vec<Rule>,
    methods: Vec<Method>,
    matchers: Vec<Router<u16>>,
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
    /// Something behind a catch-all parameter, or before it in its segment.
    CatchAll,
    /// The same method and pattern stand in an earlier rule.
    Twice,
    /// Another pattern of the method matches the same paths with the same right.
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
        for (index, rule) in rules.iter().enumerate() {
            check_rule(rule, &mut plain).map_err(|what| RouteError { rule: index, what })?;
        }
        let mut routes = Self { rules: rules.to_vec(), methods: Vec::new(), matchers: Vec::new(), plain };
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
    pub(crate) fn path<'a>(&self, raw: &'a [u8]) -> Result<Path<'a>, crate::path::PathError> {
        Path::parse(raw, &self.plain)
    }

    pub(crate) fn find<'r, 'p>(&'r self, method: &str, path: Path<'p>) -> Option<Route<'r, 'p>> {
        let method = self.methods.iter().find(|known| known.name == method)?;
        let Match { value, params } = self.matchers.get(method.matcher)?.at(path.as_str()).ok()?;
        let rule = *method.rules.get(usize::from(*value))?;
        Some(Route { rule: self.rules.get(usize::from(rule))?, params })
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

fn build_matcher(patterns: &BTreeMap<&str, u16>) -> Result<Router<u16>, RouteError> {
    let mut router = Router::new();
    for (ordinal, (pattern, rule)) in patterns.iter().enumerate() {
        let inserted = router.insert(*pattern, ordinal as u16);
        inserted.map_err(|_| RouteError { rule: usize::from(*rule), what: RouteFault::Conflict })?;
    }
    Ok(router)
}

/// A rule and what the path says for its parameters.
pub(crate) struct Route<'r, 'p> {
    pub(crate) rule: &'r Rule,
    params: Params<'r, 'p>,
}

impl<'p> Route<'_, 'p> {
    /// What the parameter spells.
    pub(crate) fn parameter(&self, name: &str) -> Option<Cow<'p, str>> {
        decode(self.params.get(name)?)
    }
}

fn check_rule(rule: &Rule, plain: &mut Characters) -> Result<(), RouteFault> {
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
        _ => Ok(()),
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
    for segment in body.split('/') {
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
            Self::CatchAll => f.write_str("a catch-all parameter is the whole last segment"),
            Self::Twice => f.write_str("its method and pattern stand in an earlier rule"),
            Self::Conflict => f.write_str("another pattern of its method matches the same paths"),
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
