//! Route rules as an operator writes them: TOML, checked field by field, every error with its line and column.
//! See examples/routes.toml. Trying them out is in `trial`.

mod history;
mod trial;

pub(crate) use history::{Command, run as look_back};
pub(crate) use trial::{TrialArguments, run as try_out};

use anyhow::{Context, Result, bail};
use latchkey_control::app::rules::{RulesFile, RulesRead};
use latchkey_control::outside::Clock;
use latchkey_control::publish;
use latchkey_core::{Permission, ResourceType, UnixSeconds};
use latchkey_gate::{Routes, SHADOW_SECS_MAX};
use latchkey_snapshot::build::routing_digest;
use latchkey_snapshot::cors::{EVERY_ORIGIN, HEADERS_MAX, MAX_AGE_SECS_MAX, ORIGINS_MAX};
use latchkey_snapshot::{Access, Cors, Credentials, Forwarding, Freshness, ResourceSource, Rule, Source};
use serde::Deserialize;
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;

/// Bytes a file of rules may have at most.
const FILE_LEN_MAX: u64 = 4 << 20;
/// How long a browser remembers the answer to a preflight, if nothing is said, in seconds.
const MAX_AGE_SECS_DEFAULT: u32 = 600;

/// What a file says: the rules, and which pages in browsers may call.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    /// One rule a method.
    pub(crate) rules: Vec<Rule>,
    /// `None`: no page may.
    pub(crate) cors: Option<Cors>,
    /// By rule: where its route stands in the file, a line counted from 1.
    lines: Vec<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    cors: Option<RawCors>,
    #[serde(default)]
    route: Vec<Spanned<RawRoute>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCors {
    origins: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    headers: Vec<Spanned<String>>,
    #[serde(default)]
    exposed: Vec<Spanned<String>>,
    max_age_secs: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRoute {
    host: Option<Spanned<String>>,
    method: Option<Spanned<String>>,
    methods: Option<Vec<Spanned<String>>>,
    path: Spanned<String>,
    public: Option<Spanned<bool>>,
    permission: Option<Spanned<String>>,
    project: Option<Spanned<RawSource>>,
    resource: Option<Spanned<RawResource>>,
    model: Option<Spanned<RawSource>>,
    credentials: Option<Spanned<Vec<Spanned<String>>>>,
    freshness: Option<Spanned<String>>,
    shadow_until: Option<Spanned<toml::value::Datetime>>,
    credential: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    path: Option<String>,
    header: Option<String>,
    query: Option<String>,
    host: Option<String>,
    body: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawResource {
    r#type: Spanned<String>,
    path: Option<String>,
    header: Option<String>,
    query: Option<String>,
    host: Option<String>,
}

/// What is wrong with a file of rules, and where.
#[derive(Debug, PartialEq, Eq)]
struct Flaw {
    at: Range<usize>,
    what: String,
}

/// `latchkey routes check`.
///
/// # Errors
/// The first thing that is wrong, with line and column.
pub(crate) fn check(path: &Path, now: UnixSeconds) -> Result<()> {
    let routing = load(path, now)?;
    println!("`{}` is right: {} rules", path.display(), routing.rules.len());
    let count = |matches: fn(&Rule) -> bool| routing.rules.iter().filter(|rule| matches(rule)).count();
    println!("public: {}", count(|rule| rule.access == Access::Public));
    println!("in shadow: {}", count(|rule| rule.shadow_until.is_some()));
    println!("version: {}", routing.version()?);
    Ok(())
}

/// Reads a file of rules. `now` is held against the ends of shadows.
///
/// # Errors
/// The first thing that is wrong, with line and column.
pub(crate) fn load(path: &Path, now: UnixSeconds) -> Result<Routing> {
    parse_in(path, &read_text(path)?, now)
}

fn read_text(path: &Path) -> Result<String> {
    let cannot = || format!("cannot read `{}`", path.display());
    let len = fs::metadata(path).with_context(cannot)?.len();
    if len > FILE_LEN_MAX {
        bail!("`{}` has {len} bytes; a file of rules has at most {FILE_LEN_MAX}", path.display());
    }
    fs::read_to_string(path).with_context(cannot)
}

fn parse_in(path: &Path, text: &str, now: UnixSeconds) -> Result<Routing> {
    parse(text, now).map_err(|flaw| {
        let (line, column) = position(text, flaw.at.start);
        anyhow::anyhow!("`{}`, line {line}, column {column}: {}", path.display(), flaw.what)
    })
}

/// The server's own file.
pub(crate) struct File {
    /// Where it is, if there is one.
    pub(crate) path: Option<PathBuf>,
    /// Against which the ends of shadows are held.
    pub(crate) clock: Arc<dyn Clock>,
}

impl RulesFile for File {
    fn read(&self) -> Result<Option<RulesRead>, String> {
        let Some(path) = &self.path else { return Ok(None) };
        let read = || {
            let text = read_text(path)?;
            let Routing { rules, cors, .. } = parse_in(path, &text, self.clock.now().seconds())?;
            Ok(RulesRead { routing: publish::Routing { rules, cors }, text })
        };
        read().map(Some).map_err(|error: anyhow::Error| format!("{error:#}"))
    }
}

impl Routing {
    /// By what edges say which version of the rules they have.
    ///
    /// # Errors
    /// A manifest cannot have them.
    pub(crate) fn version(&self) -> Result<String> {
        let digest = routing_digest(self.cors.as_ref(), &self.rules)?;
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn parse(text: &str, now: UnixSeconds) -> Result<Routing, Flaw> {
    let file: RawFile = toml::from_str(text)
        .map_err(|error| Flaw { at: error.span().unwrap_or_default(), what: error.message().to_owned() })?;
    let (mut rules, mut places) = (Vec::new(), Vec::new());
    for route in &file.route {
        for method in methods(route)? {
            rules.push(rule(route, method, now)?);
            places.push(route.get_ref().path.span());
        }
    }
    Routes::compile(&rules).map_err(|error| {
        let at = places.get(error.rule).cloned().unwrap_or_default();
        Flaw { at, what: error.what.to_string() }
    })?;
    let lines = places.iter().map(|at| position(text, at.start).0).collect();
    Ok(Routing { rules, cors: file.cors.as_ref().map(cors).transpose()?, lines })
}

fn methods(route: &Spanned<RawRoute>) -> Result<Vec<&str>, Flaw> {
    let methods: Vec<&Spanned<String>> = match (&route.get_ref().method, &route.get_ref().methods) {
        (Some(one), None) => vec![one],
        (None, Some(many)) if !many.is_empty() => many.iter().collect(),
        _ => return Err(flaw(route.span(), "a route has either `method` or `methods`")),
    };
    if let Some(wrong) = methods.iter().find(|method| !Rule::is_method(method.get_ref())) {
        return Err(flaw(wrong.span(), "a method is 1 to 16 capital letters"));
    }
    Ok(methods.into_iter().map(|method| method.get_ref().as_str()).collect())
}

fn rule(route: &Spanned<RawRoute>, method: &str, now: UnixSeconds) -> Result<Rule, Flaw> {
    let raw = route.get_ref();
    if let Some(host) = raw.host.as_ref().filter(|host| !Rule::is_host(host.get_ref())) {
        let what = "a host is labels of `a-z0-9-` with dots between them; the first may be `{name}`";
        return Err(flaw(host.span(), what));
    }
    Ok(Rule {
        host: raw.host.as_ref().map(|host| host.get_ref().clone()),
        freshness: freshness(raw.freshness.as_ref())?,
        credentials: credentials(raw.credentials.as_ref())?,
        project: raw.project.as_ref().map(source).transpose()?,
        resource: raw.resource.as_ref().map(resource).transpose()?,
        model: raw.model.as_ref().map(source).transpose()?,
        shadow_until: raw.shadow_until.as_ref().map(|until| shadow_until(until, now)).transpose()?,
        forwarding: forwarding(raw.credential.as_ref())?,
        ..Rule::new(method, raw.path.get_ref(), access(route)?)
    })
}

/// A route is public because it says so, never because it forgot to say what it needs.
fn access(route: &Spanned<RawRoute>) -> Result<Access, Flaw> {
    let raw = route.get_ref();
    match (&raw.public, &raw.permission) {
        (None, Some(permission)) => Ok(known(permission, "permission", Permission::from_word)?.into()),
        (Some(public), None) if *public.get_ref() => Ok(Access::Public),
        (Some(public), _) => Err(flaw(public.span(), "a route is `public = true`, or has a `permission`")),
        (None, None) => Err(flaw(route.span(), "a route has a `permission`, or is `public = true`")),
    }
}

/// Keys alone, if nothing is said.
fn credentials(raw: Option<&Spanned<Vec<Spanned<String>>>>) -> Result<Credentials, Flaw> {
    let Some(raw) = raw else { return Ok(Credentials::Keys) };
    let (mut keys, mut sessions) = (false, false);
    for word in raw.get_ref() {
        let seen = match word.get_ref().as_str() {
            "key" => &mut keys,
            "session" => &mut sessions,
            _ => return Err(flaw(word.span(), "a credential is `key` or `session`")),
        };
        if std::mem::replace(seen, true) {
            return Err(flaw(word.span(), format!("`{}` stands twice", word.get_ref())));
        }
    }
    match (keys, sessions) {
        (true, false) => Ok(Credentials::Keys),
        (false, true) => Ok(Credentials::Sessions),
        (true, true) => Ok(Credentials::Any),
        (false, false) => Err(flaw(raw.span(), "a route takes at least one kind of credential")),
    }
}

fn source(raw: &Spanned<RawSource>) -> Result<Source, Flaw> {
    let RawSource { path, header, query, host, body } = raw.get_ref();
    one_source(raw.span(), [path, header, query, host, body])
}

fn resource(raw: &Spanned<RawResource>) -> Result<ResourceSource, Flaw> {
    let RawResource { r#type, path, header, query, host } = raw.get_ref();
    Ok(ResourceSource {
        resource: known(r#type, "resource type", ResourceType::from_word)?,
        source: one_source(raw.span(), [path, header, query, host, &None])?,
    })
}

fn one_source(at: Range<usize>, names: [&Option<String>; 5]) -> Result<Source, Flaw> {
    let kinds = [Source::Path, Source::Header, Source::Query, Source::Host, Source::Body];
    let mut given = names.into_iter().zip(kinds).filter_map(|(name, kind)| name.clone().map(kind));
    let (Some(source), None) = (given.next(), given.next()) else {
        return Err(flaw(
            at,
            "one place: `path`, `header`, `query` or `host`; a model may stand in the `body`",
        ));
    };
    match &source {
        source if source.is_named_well() => Ok(source.clone()),
        Source::Header(_) => Err(flaw(at, "a header's name is 1 to 64 of `a-z0-9-`")),
        Source::Path(_) | Source::Host(_) => Err(flaw(at, "a parameter's name is 1 to 32 of `a-z0-9_`")),
        Source::Query(_) | Source::Body(_) => {
            Err(flaw(at, "the name of a query parameter or a field is 1 to 64 of `A-Za-z0-9-_.`"))
        }
    }
}

fn freshness(raw: Option<&Spanned<String>>) -> Result<Freshness, Flaw> {
    let Some(raw) = raw else { return Ok(Freshness::Normal) };
    known(raw, "freshness", |word| match word {
        "normal" => Some(Freshness::Normal),
        "fresh-only" => Some(Freshness::FreshOnly),
        _ => None,
    })
}

/// Taken away, if nothing is said.
fn forwarding(raw: Option<&Spanned<String>>) -> Result<Forwarding, Flaw> {
    let Some(raw) = raw else { return Ok(Forwarding::Removed) };
    known(raw, "way with the credential", |word| match word {
        "remove" => Some(Forwarding::Removed),
        "keep" => Some(Forwarding::Kept),
        _ => None,
    })
}

/// A shadow that has ended is an ordinary rule, so a file need not be changed on the day.
fn shadow_until(raw: &Spanned<toml::value::Datetime>, now: UnixSeconds) -> Result<UnixSeconds, Flaw> {
    let what = "the end of a shadow is a moment with its offset, as `2026-12-24T00:00:00Z`";
    let wrong = || flaw(raw.span(), what);
    let moment: jiff::Timestamp = raw.get_ref().to_string().parse().map_err(|_| wrong())?;
    let until = u64::try_from(moment.as_second()).map_err(|_| wrong())?;
    if until == 0 || until > now.0.saturating_add(SHADOW_SECS_MAX) {
        return Err(flaw(raw.span(), "a shadow ends within 30 days"));
    }
    Ok(UnixSeconds(until))
}

fn cors(raw: &RawCors) -> Result<Cors, Flaw> {
    let origins = list(
        raw.origins.get_ref(),
        ORIGINS_MAX,
        |origin| origin == EVERY_ORIGIN || Cors::is_origin(origin),
        "an origin is `https://host` in lower case, with a port if it is not the usual one, or `*`",
    )?;
    if origins.is_empty() || (origins.len() > 1 && origins.iter().any(|origin| origin == EVERY_ORIGIN)) {
        return Err(flaw(raw.origins.span(), "`origins` names at least one; `*` stands alone"));
    }
    let header = "a header's name is 1 to 64 of `a-z0-9-`";
    let max_age_secs = raw.max_age_secs.as_ref().map_or(MAX_AGE_SECS_DEFAULT, |secs| *secs.get_ref());
    if max_age_secs > MAX_AGE_SECS_MAX {
        let at = raw.max_age_secs.as_ref().map(Spanned::span).unwrap_or_default();
        return Err(flaw(at, format!("`max_age_secs` is at most {MAX_AGE_SECS_MAX}")));
    }
    Ok(Cors {
        origins,
        headers: list(&raw.headers, HEADERS_MAX, Rule::is_header, header)?,
        exposed: list(&raw.exposed, HEADERS_MAX, Rule::is_header, header)?,
        max_age_secs,
    })
}

/// A list in order, with nothing twice.
fn list(
    raw: &[Spanned<String>],
    max: usize,
    is_right: impl Fn(&str) -> bool,
    what: &str,
) -> Result<Vec<String>, Flaw> {
    let mut texts: Vec<String> = Vec::new();
    for text in raw {
        if !is_right(text.get_ref()) {
            return Err(flaw(text.span(), what));
        }
        if texts.contains(text.get_ref()) {
            return Err(flaw(text.span(), format!("`{}` stands twice", text.get_ref())));
        }
        if texts.len() == max {
            return Err(flaw(text.span(), format!("there are more than {max}")));
        }
        texts.push(text.get_ref().clone());
    }
    texts.sort();
    Ok(texts)
}

fn known<T>(raw: &Spanned<String>, what: &str, find: impl Fn(&str) -> Option<T>) -> Result<T, Flaw> {
    find(raw.get_ref())
        .ok_or_else(|| flaw(raw.span(), format!("there is no {what} `{}`", raw.get_ref().escape_default())))
}

fn flaw(at: Range<usize>, what: impl Into<String>) -> Flaw {
    Flaw { at, what: what.into() }
}

/// Line and column of a byte, counted from 1; columns in characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_core::{PermissionSet, Role};
    use proptest::prelude::*;

    /// 2026-11-23T00:00:00Z.
    const NOW: UnixSeconds = UnixSeconds(1_795_392_000);

    /// Refused, with this at this line and column.
    #[track_caller]
    fn check_refused(text: &str, (line, column): (usize, usize), what: &str) {
        let flaw = parse(text, NOW).unwrap_err();
        assert!(flaw.what.contains(what), "{flaw}");
        assert_eq!(position(text, flaw.at.start), (line, column), "{flaw}");
    }

    #[test]
    fn flaw_is_named_with_its_line_and_column() {
        let route =
            |line: &str| format!("# rules\n[[route]]\nmethod = \"GET\"\npath = \"/a/{{b}}\"\n{line}\n");
        check_refused(&route("permission = \"files.reed\""), (5, 14), "no permission `files.reed`");
        check_refused(&route("permission = \"keys.read\""), (4, 8), "no credential");
        check_refused(&route("permission = \"files.read\"\ncredentials = []"), (6, 15), "at least one kind");
        check_refused(
            &route("permission = \"files.read\"\ncredentials = [\"cookie\"]"),
            (6, 16),
            "or `session`",
        );
        check_refused(
            &route("permission = \"files.read\"\ncredentials = [\"key\", \"key\"]"),
            (6, 23),
            "stands twice",
        );
        let model = |source: &str| route(&format!("permission = \"inference.invoke\"\nmodel = {source}"));
        check_refused(&model("{}"), (6, 9), "one place");
        check_refused(&model("{ header = \"a\", path = \"b\" }"), (6, 9), "one place");
        check_refused(&model("{ header = \"X-Model\" }"), (6, 9), "`a-z0-9-`");
        check_refused(&model("{ header = \"latchkey-model\" }"), (4, 8), "cannot name anything");
        check_refused(&model("{ path = \"c\" }"), (4, 8), "no parameter `c`");
        check_refused(&model("{ cookie = \"m\" }"), (6, 11), "unknown field");
        check_refused(&model("{ query = \"m[]\" }"), (6, 9), "a query parameter");
        check_refused(&model("{ host = \"m\" }"), (4, 8), "host has no parameter `m`");
        check_refused(&route("permission = \"files.read\"\nfreshness = \"old\""), (6, 13), "no freshness");
        check_refused(
            &route("permission = \"files.read\"\nproject = { path = \"c\" }"),
            (4, 8),
            "no parameter `c`",
        );
        check_refused(
            &route("permission = \"files.read\"\nresource = { type = \"disk\", path = \"b\" }"),
            (6, 21),
            "no resource type `disk`",
        );
        check_refused(&route("permission = \"files.read\"\npermision = 1"), (6, 1), "unknown field");
        check_refused(
            "[[route]]\nmethod = \"get\"\npath = \"/\"\npermission = \"files.read\"",
            (2, 10),
            "capital",
        );
        check_refused("[[route]]\npath = \"/\"\npermission = \"files.read\"", (1, 1), "either `method` or");
        check_refused("[[route]\n", (1, 9), "");
    }

    #[test]
    fn rule_twice_is_refused() {
        let once = "[[route]]\nmethods = [\"GET\", \"HEAD\"]\npath = \"/a\"\npermission = \"files.read\"\n";
        assert_eq!(parse(once, NOW).unwrap().rules.len(), 2);
        assert!(parse(&format!("{once}{once}"), NOW).unwrap_err().what.contains("earlier rule"));
    }

    #[test]
    fn credentials_are_keys_unless_said_otherwise() {
        let of = |line: &str| {
            let text =
                format!("[[route]]\nmethod = \"GET\"\npath = \"/a\"\npermission = \"files.read\"\n{line}");
            parse(&text, NOW).unwrap().rules[0].credentials
        };
        assert_eq!(of(""), Credentials::Keys);
        assert_eq!(of("credentials = [\"key\"]"), Credentials::Keys);
        assert_eq!(of("credentials = [\"session\"]"), Credentials::Sessions);
        assert_eq!(of("credentials = [\"session\", \"key\"]"), Credentials::Any);
    }

    #[test]
    fn example_is_right() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/routes.toml");
        let rules = load(&path, NOW).unwrap().rules;
        assert!(rules.iter().any(|rule| rule.freshness == Freshness::FreshOnly));
    }

    #[test]
    fn example_has_a_rule_for_whatever_a_key_may_do_p3() {
        let rules = parse(include_str!("../../../examples/routes.toml"), NOW).unwrap().rules;
        let lacking: Vec<_> = PermissionSet::of_key(Role::Admin)
            .iter()
            .filter(|permission| !rules.iter().any(|rule| rule.access == Access::Permission(*permission)))
            .collect();
        assert!(lacking.is_empty(), "{lacking:?}");
    }

    /// The example with some of its lines left out, twice there, or in place of one another, and a few characters changed.
    fn changed_example() -> impl Strategy<Value = String> {
        let edits =
            prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..3u8), 0..4);
        let signs = prop::collection::vec((any::<prop::sample::Index>(), "[\\PC\n\"\\[\\]{}=#]"), 0..3);
        (edits, signs).prop_map(|(edits, signs)| {
            let mut lines: Vec<&str> = include_str!("../../../examples/routes.toml").lines().collect();
            for (one, other, how) in edits {
                let (one, other) = (one.index(lines.len()), other.index(lines.len()));
                match how {
                    0 => drop(lines.remove(one)),
                    1 => lines.insert(other, lines[one]),
                    _ => lines.swap(one, other),
                }
            }
            let mut text: Vec<char> = lines.join("\n").chars().collect();
            for (at, sign) in signs {
                let at = at.index(text.len());
                text.splice(at..=at, sign.chars());
            }
            text.into_iter().collect()
        })
    }

    proptest! {
        #[test]
        fn any_text_is_rules_that_edges_compile_or_has_a_flaw_in_it(text in prop_oneof![4 => changed_example(), 1 => "\\PC{0,200}"]) {
            match parse(&text, NOW) {
                Ok(routing) => {
                    prop_assert!(Routes::compile(&routing.rules).is_ok());
                    prop_assert_eq!(routing.lines.len(), routing.rules.len());
                    prop_assert!(routing.lines.iter().all(|line| (1..=text.lines().count()).contains(line)));
                    let publics = routing.rules.iter().filter(|rule| rule.access == Access::Public).count();
                    prop_assert!(publics == 0 || text.contains("public"));
                    prop_assert_eq!(routing.version().ok(), parse(&text, NOW).unwrap().version().ok());
                }
                Err(flaw) => {
                    prop_assert!(flaw.at.start <= text.len() && !flaw.what.is_empty(), "{:?}", flaw);
                    let (line, column) = position(&text, flaw.at.start);
                    prop_assert!(line <= text.matches('\n').count() + 1 && column >= 1);
                }
            }
        }
    }
}
