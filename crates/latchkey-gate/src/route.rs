//! Route rules, compiled: which rule a host, a method and a path fall under, and what its parameters say. What a rule may be
//! and how a path is matched is in docs/spec/route-rules.md.
//!
//! A request is looked for among the rules of its very host, then among those whose host begins with a parameter, then
//! among those of every host; the first table in which method and path match decides.

use crate::matcher::{Contends, Matcher, PARAMETERS_MAX, SEGMENTS_MAX, Texts};
use crate::path::{Characters, Path, PathError, decode, is_plain};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use latchkey_core::{Permission, PermissionSet, Role, UnixMillis, UnixSeconds};
use latchkey_snapshot::manifest::RULES_MAX;
use latchkey_snapshot::rule::PATTERN_LEN_MAX;
use latchkey_snapshot::{Access, Cors, Credentials, Freshness, Rule, Source};

/// How far ahead the end of a shadow may lie, in seconds: 30 days. Further ahead it does not count.
pub const SHADOW_SECS_MAX: u64 = 30 * 86_400;

/// The route rules of a manifest, ready to match.
pub struct Routes {
    rules: Vec<Rule>,
    /// The names of each rule's parameters, in their order.
    names: Vec<Vec<String>>,
    cors: Option<Cors>,
    /// By the whole host, ascending.
    hosts: Vec<(String, Table)>,
    /// By what follows a parameter that is the first label, ascending.
    domains: Vec<(String, Table)>,
    /// Of every host.
    others: Table,
    matchers: Vec<Matcher>,
    plain: Characters,
    has_public: bool,
    has_shadow: bool,
}

/// The rules of one host by method.
#[derive(Default)]
struct Table(Vec<Method>);

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
    /// The host is none that a rule may have.
    Host,
    /// The project or the resource is taken from a parameter that the host does not have.
    UnknownHostParameter(String),
    /// Something is taken from where it cannot stand: a resource or a project from the body.
    Place(&'static str),
    /// The name is none that a header, a query parameter or a field can have.
    SourceName(String),
    /// A public route says what its callers need.
    PublicNeeds,
    /// A shadow on a fresh-only route.
    ShadowFreshOnly,
}

impl Routes {
    /// Compiles the rules of a manifest, or an operator's before they go into one.
    ///
    /// # Errors
    /// [`RouteError`] names the first rule that cannot stand.
    pub fn compile(rules: &[Rule]) -> Result<Self, RouteError> {
        Self::with_cors(rules, None)
    }

    /// As [`Routes::compile`], with what a manifest says of pages in browsers.
    ///
    /// # Errors
    /// [`RouteError`] names the first rule that cannot stand.
    pub fn with_cors(rules: &[Rule], cors: Option<Cors>) -> Result<Self, RouteError> {
        if rules.len() > RULES_MAX {
            return Err(RouteError { rule: RULES_MAX, what: RouteFault::TooMany });
        }
        let mut plain = Characters::default();
        let mut names = Vec::with_capacity(rules.len());
        for (index, rule) in rules.iter().enumerate() {
            names.push(check_rule(rule, &mut plain).map_err(|what| RouteError { rule: index, what })?);
        }
        let mut routes = Self {
            rules: rules.to_vec(),
            names,
            cors,
            hosts: Vec::new(),
            domains: Vec::new(),
            others: Table::default(),
            matchers: Vec::new(),
            plain,
            has_public: rules.iter().any(|rule| rule.access == Access::Public),
            has_shadow: rules.iter().any(|rule| rule.shadow_until.is_some()),
        };
        routes.add_tables()?;
        Ok(routes)
    }

    /// The rules, in the order in which they came.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Which pages in browsers may call, if any may.
    pub(crate) const fn cors(&self) -> Option<&Cors> {
        self.cors.as_ref()
    }

    /// Whether a route is public, so that who calls need not be asked first.
    pub(crate) const fn has_public(&self) -> bool {
        self.has_public
    }

    /// Whether what is refused on some route might be let pass.
    pub(crate) const fn has_shadow(&self) -> bool {
        self.has_shadow
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

    /// The rule that a request falls under. `host` is what the request names, in any spelling.
    pub(crate) fn find<'r, 'p>(
        &'r self,
        host: Option<&'p str>,
        method: &str,
        path: Path<'p>,
    ) -> Option<Route<'r, 'p>> {
        let mut texts = Texts::default();
        let (index, label) = self.matched(host, method, path, &mut texts)?;
        // The text behind a parameter may be that of an escape's digits: such a path does not spell what the pattern says.
        // No other rule is looked for, of every host perhaps, that would let in what this one keeps out.
        if path.is_escaped() && texts.iter().any(|text| decode(text).is_none()) {
            return None;
        }
        let (rule, names) = (self.rules.get(usize::from(index))?, self.names.get(usize::from(index))?);
        Some(Route { rule, index, names, texts, label })
    }

    /// The first rule that is like the request: its index, and what the host has for its parameter; `texts` are what the path
    /// has for its own.
    fn matched<'p>(
        &self,
        host: Option<&'p str>,
        method: &str,
        path: Path<'p>,
        texts: &mut Texts<'p>,
    ) -> Option<(u16, Option<String>)> {
        if (!self.hosts.is_empty() || !self.domains.is_empty())
            && let Some(host) = host.map(bare_host)
        {
            if let Some(table) = table_of(&self.hosts, &host)
                && let Some(index) = self.matched_in(table, method, path, texts)
            {
                return Some((index, None));
            }
            if let Some((label, domain)) = host.split_once('.')
                && !label.is_empty()
                && let Some(table) = table_of(&self.domains, domain)
                && let Some(index) = self.matched_in(table, method, path, texts)
            {
                return Some((index, Some(label.into())));
            }
        }
        Some((self.matched_in(&self.others, method, path, texts)?, None))
    }

    fn matched_in<'p>(
        &self,
        table: &Table,
        method: &str,
        path: Path<'p>,
        texts: &mut Texts<'p>,
    ) -> Option<u16> {
        let method = table.0.iter().find(|known| known.name == method)?;
        let value = self.matchers.get(method.matcher)?.at(path.as_str(), texts)?;
        method.rules.get(usize::from(value)).copied()
    }

    /// Which rule a host, a method and a path fall under, counted from 0.
    ///
    /// # Errors
    /// [`PathError`]: an origin could read the path in two ways.
    pub fn which(&self, host: Option<&str>, method: &str, path: &[u8]) -> Result<Option<usize>, PathError> {
        Ok(self.find(host, method, self.path(path)?).map(|route| usize::from(route.index)))
    }

    /// The rule that a host, a method and a path fall under, counted from 0, and what the path spells for its parameters, in
    /// the order in which they stand.
    ///
    /// # Errors
    /// [`PathError`]: an origin could read the path in two ways.
    pub fn resolve(
        &self,
        host: Option<&str>,
        method: &str,
        path: &[u8],
    ) -> Result<Option<Resolved>, PathError> {
        let Some(route) = self.find(host, method, self.path(path)?) else { return Ok(None) };
        let spelled = |(name, text): (&String, &str)| Some((name.clone(), decode(text)?.into_owned()));
        let parameters = route.names.iter().zip(route.texts.iter()).filter_map(spelled).collect();
        Ok(Some(Resolved { rule: usize::from(route.index), label: route.label, parameters }))
    }

    fn add_tables(&mut self) -> Result<(), RouteError> {
        let mut entries: Vec<Entry<'_>> = self.rules.iter().enumerate().map(Entry::of).collect();
        entries.sort_unstable_by(Entry::compare);
        let like = |one: &Entry<'_>, other: &Entry<'_>| one.key() == other.key();
        let repeated = entries.chunk_by(like).filter_map(|same| same.get(1)).map(|again| again.rule).min();
        if let Some(rule) = repeated {
            return Err(RouteError { rule: usize::from(rule), what: RouteFault::Twice });
        }
        let mut matchers = Vec::new();
        for of_host in entries.chunk_by(|one, other| one.host == other.host) {
            let table = Table::of(of_host, &mut matchers)?;
            match of_host.first().map(|entry| entry.host) {
                Some(Host::Of(host)) => self.hosts.push((host.into(), table)),
                Some(Host::Below(domain)) => self.domains.push((domain.into(), table)),
                Some(Host::Every) | None => self.others = table,
            }
        }
        self.matchers = matchers.into_iter().map(|(_, matcher)| matcher).collect();
        Ok(())
    }
}

fn table_of<'r>(tables: &'r [(String, Table)], host: &str) -> Option<&'r Table> {
    let at = tables.binary_search_by(|(known, _)| known.as_str().cmp(host)).ok()?;
    tables.get(at).map(|(_, table)| table)
}

/// A rule by what it is looked for.
struct Entry<'a> {
    host: Host<'a>,
    method: &'a str,
    pattern: &'a str,
    rule: u16,
}

impl<'a> Entry<'a> {
    fn of((index, rule): (usize, &'a Rule)) -> Self {
        let host = rule.host.as_deref().map_or(Host::Every, Host::of);
        // At most RULES_MAX, which fits.
        Self { host, method: &rule.method, pattern: &rule.pattern, rule: index as u16 }
    }

    fn key(&self) -> (Host<'a>, &'a str, &'a str) {
        (self.host, self.method, self.pattern)
    }

    /// Not in line: it would stand in the edge's code some dozen times.
    #[inline(never)]
    fn compare(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key()).then(self.rule.cmp(&other.rule))
    }
}

/// Which requests a rule is for, by their host; in this order they are told apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Host<'a> {
    Every,
    Of(&'a str),
    Below(&'a str),
}

impl<'a> Host<'a> {
    fn of(host: &'a str) -> Self {
        match Rule::split_host(host) {
            (None, host) => Self::Of(host),
            (Some(_), domain) => Self::Below(domain),
        }
    }
}

impl Table {
    /// One matcher for all methods that have the same patterns.
    fn of<'a>(
        entries: &[Entry<'a>],
        matchers: &mut Vec<(Vec<&'a str>, Matcher)>,
    ) -> Result<Self, RouteError> {
        let mut methods = Vec::new();
        for of_method in entries.chunk_by(|one, other| one.method == other.method) {
            let Some(first) = of_method.first() else { continue };
            let patterns: Vec<&str> = of_method.iter().map(|entry| entry.pattern).collect();
            let known = matchers.iter().position(|(known, _)| *known == patterns);
            let matcher = known.unwrap_or(matchers.len());
            if known.is_none() {
                matchers.push((patterns, build_matcher(of_method)?));
            }
            let rules = of_method.iter().map(|entry| entry.rule).collect();
            methods.push(Method { name: first.method.into(), matcher, rules });
        }
        Ok(Self(methods))
    }
}

/// A request's host without its port and the dot of the root, in lower case.
fn bare_host(host: &str) -> Cow<'_, str> {
    let end = host.rfind(']').map_or(0, |bracket| bracket + 1);
    let (name, _port) =
        host.split_at(host.get(end..).and_then(|rest| rest.find(':')).map_or(host.len(), |at| end + at));
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

fn build_matcher(entries: &[Entry<'_>]) -> Result<Matcher, RouteError> {
    let mut matcher = Matcher::new();
    for (ordinal, entry) in entries.iter().enumerate() {
        let conflict = |Contends| RouteError { rule: usize::from(entry.rule), what: RouteFault::Conflict };
        matcher.insert(entry.pattern, ordinal as u16).map_err(conflict)?;
    }
    Ok(matcher)
}

/// The rule that a request falls under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Which rule, counted from 0.
    pub rule: usize,
    /// What the host's parameter spells, where the rule's host has one.
    pub label: Option<String>,
    /// Name and text of each parameter.
    pub parameters: Vec<(String, String)>,
}

/// A rule and what the path says for its parameters.
pub(crate) struct Route<'r, 'p> {
    pub(crate) rule: &'r Rule,
    /// The rule's place in the manifest.
    pub(crate) index: u16,
    names: &'r [String],
    texts: Texts<'p>,
    /// The host's first label, where the rule's host has a parameter there.
    label: Option<String>,
}

impl<'r, 'p> Route<'r, 'p> {
    /// A rule that stands in no manifest.
    pub(crate) const fn of(rule: &'r Rule, names: &'r [String], texts: Texts<'p>) -> Self {
        Self { rule, index: u16::MAX, names, texts, label: None }
    }

    /// What the parameter spells.
    pub(crate) fn parameter(&self, name: &str) -> Option<Cow<'p, str>> {
        let (_, text) = self.names.iter().zip(self.texts.iter()).find(|(known, _)| *known == name)?;
        decode(text)
    }

    /// What the host's parameter spells.
    pub(crate) fn label(&self) -> Option<String> {
        self.label.clone()
    }

    /// Whether what would be refused is let pass at this moment.
    pub(crate) fn is_in_shadow(&self, now: UnixMillis) -> bool {
        let now = now.seconds();
        self.rule.shadow_until.is_some_and(|UnixSeconds(until)| {
            until > now.0 && until - now.0 <= SHADOW_SECS_MAX && self.rule.freshness == Freshness::Normal
        })
    }
}

/// The names of the rule's parameters, if it can stand by itself.
fn check_rule(rule: &Rule, plain: &mut Characters) -> Result<Vec<String>, RouteFault> {
    if !Rule::is_method(&rule.method) {
        return Err(RouteFault::Method);
    }
    if !rule.host.as_deref().is_none_or(Rule::is_host) {
        return Err(RouteFault::Host);
    }
    match rule.access {
        Access::Public => check_public(rule)?,
        Access::Permission(permission) => check_holdable(rule, permission)?,
    }
    let parameters = check_pattern(&rule.pattern, plain)?;
    check_sources(rule, &parameters)?;
    Ok(parameters.iter().map(|parameter| parameter.name.into()).collect())
}

fn check_public(rule: &Rule) -> Result<(), RouteFault> {
    let says_nothing = rule.project.is_none()
        && rule.resource.is_none()
        && rule.model.is_none()
        && rule.shadow_until.is_none()
        && rule.freshness == Freshness::Normal
        && rule.credentials == Credentials::Keys;
    if says_nothing { Ok(()) } else { Err(RouteFault::PublicNeeds) }
}

fn check_holdable(rule: &Rule, permission: Permission) -> Result<(), RouteFault> {
    let holdable = match rule.credentials.takes_sessions() {
        true => PermissionSet::of_project(Role::Admin),
        false => PermissionSet::of_key(Role::Admin),
    };
    if !holdable.contains(permission) {
        return Err(RouteFault::NeverHeld(permission));
    }
    if rule.shadow_until.is_some() && rule.freshness == Freshness::FreshOnly {
        return Err(RouteFault::ShadowFreshOnly);
    }
    Ok(())
}

fn check_sources(rule: &Rule, parameters: &[Parameter<'_>]) -> Result<(), RouteFault> {
    let resource = rule.resource.as_ref().map(|resource| &resource.source);
    for source in rule.project.iter().chain(resource) {
        check_source(source, rule, parameters)?;
        if let Source::Path(name) = source
            && parameters.iter().any(|parameter| parameter.name == name && parameter.catch_all)
        {
            return Err(RouteFault::CatchAllSource(name.clone()));
        }
        if let Source::Body(_) = source {
            return Err(RouteFault::Place("body"));
        }
    }
    // A catch-all may name the model, since names of models have slashes.
    if let Some(source) = &rule.model {
        check_source(source, rule, parameters)?;
    }
    let sources = [rule.project.as_ref(), resource, rule.model.as_ref()];
    let named = || sources.into_iter().flatten();
    // A resource may be the model that is used.
    match rule.project.as_ref().filter(|project| named().filter(|source| source == project).count() > 1) {
        Some(project) => Err(RouteFault::OneForBoth(project.name().into())),
        None => Ok(()),
    }
}

/// Whether there is such a place in a request of this rule.
fn check_source(source: &Source, rule: &Rule, parameters: &[Parameter<'_>]) -> Result<(), RouteFault> {
    let name = source.name();
    match source {
        Source::Path(_) if parameters.iter().any(|parameter| parameter.name == name) => Ok(()),
        Source::Path(_) => Err(RouteFault::UnknownParameter(name.into())),
        Source::Host(_) => {
            let parameter = rule.host.as_deref().and_then(|host| Rule::split_host(host).0);
            let is_known = parameter == Some(name);
            if is_known { Ok(()) } else { Err(RouteFault::UnknownHostParameter(name.into())) }
        }
        Source::Header(_) => {
            let taken = TAKEN_HEADERS.contains(&name) || name.starts_with("latchkey-");
            if taken || !source.is_named_well() { Err(RouteFault::Header(name.into())) } else { Ok(()) }
        }
        Source::Query(_) | Source::Body(_) if source.is_named_well() => Ok(()),
        Source::Query(_) | Source::Body(_) => Err(RouteFault::SourceName(name.into())),
    }
}

/// Headers that say something else already, or that a proxy on the way sets.
const TAKEN_HEADERS: [&str; 5] = ["authorization", "cookie", "host", "origin", "forwarded"];

struct Parameter<'a> {
    name: &'a str,
    catch_all: bool,
}

fn check_pattern<'a>(pattern: &'a str, plain: &mut Characters) -> Result<Vec<Parameter<'a>>, RouteFault> {
    if !(1..=PATTERN_LEN_MAX).contains(&pattern.len()) {
        return Err(RouteFault::PatternLength);
    }
    let body = pattern.strip_prefix('/').ok_or(RouteFault::NotAbsolute)?;
    let mut parameters: Vec<Parameter<'_>> = Vec::new();
    if body.is_empty() {
        return Ok(parameters);
    }
    for (at, segment) in body.split('/').enumerate() {
        if at == SEGMENTS_MAX {
            return Err(RouteFault::TooManySegments);
        }
        if parameters.last().is_some_and(|last| last.catch_all) {
            return Err(RouteFault::CatchAll);
        }
        let Some(parameter) = check_segment(segment, plain)? else { continue };
        if parameters.iter().any(|known| known.name == parameter.name) {
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
                write!(f, "the header `{}` cannot name anything", name.escape_default())
            }
            Self::Host => f.write_str(
                "a host is labels of `a-z0-9-` with dots between them; the first may be `{name}` if others follow",
            ),
            Self::UnknownHostParameter(name) => write!(f, "the host has no parameter `{name}`"),
            Self::Place(place) => write!(f, "neither project nor resource can stand in the {place}"),
            Self::SourceName(name) => {
                write!(f, "`{}` is no name of a query parameter or a field", name.escape_default())
            }
            Self::PublicNeeds => f.write_str(
                "a public route needs no permission, project, resource, model, credentials, freshness or shadow",
            ),
            Self::ShadowFreshOnly => f.write_str("a fresh-only route has no shadow"),
            Self::NeverHeld(permission) => {
                write!(f, "no credential that the route takes can hold `{permission}`")
            }
        }
    }
}

impl core::error::Error for RouteError {}
