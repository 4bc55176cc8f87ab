//! `latchkey routes test`: what a file of rules makes of a request, and why. The gate that answers is the edge's own; the
//! key, the session, the project and its resources are made up for the trial, so no installation is needed.

mod stand;

use super::{Routing, load};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use latchkey_core::{UnixMillis, UnixSeconds};
use latchkey_gate::{
    Attempt, BODY_SEEN_MAX, Body, Extent, Headers, Outcome, Pass, Preflight, PreflightRequest, Question,
    Refusal, Request, Step, Verdict, find_text,
};
use latchkey_snapshot::{Access, Freshness, Rule, Source};
use serde_json::{Map, Value};
use stand::Stand;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

/// What is tried, and as whom.
#[derive(Args)]
pub(crate) struct TrialArguments {
    /// The file of rules.
    file: PathBuf,
    /// The method, in capitals.
    method: String,
    /// The URL, or its path and query alone.
    url: String,
    /// Whose credential comes with it.
    #[arg(long = "as", value_enum, default_value_t = Caller::MemberKey)]
    caller: Caller,
    /// The slug of the caller's project.
    #[arg(long, default_value = "demo")]
    project: String,
    /// A resource of that project, as `file:report-1`; repeatable.
    #[arg(long = "resource", value_name = "TYPE:ID")]
    resources: Vec<String>,
    /// Narrows the key to these permissions; repeatable, or with commas between them.
    #[arg(long = "permission", value_name = "PERMISSION", value_delimiter = ',')]
    permissions: Vec<String>,
    /// Narrows the key to this model, or with `*` at its end to those that begin so; repeatable.
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// Narrows the key to this resource, as `file:report-*`; repeatable.
    #[arg(long = "only-resource", value_name = "TYPE:ID")]
    only_resources: Vec<String>,
    /// Narrows the key to this client network; repeatable.
    #[arg(long = "network", value_name = "CIDR")]
    networks: Vec<String>,
    /// The client's address.
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// A header of the request, as `x-model: llama`; repeatable.
    #[arg(long = "header", value_name = "NAME:VALUE")]
    headers: Vec<String>,
    /// A file with the body of the request.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Fails unless this comes out: `allow`, `public`, `preflight`, or the code of a refusal.
    #[arg(long, value_name = "OUTCOME")]
    expect: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Caller {
    /// A key of the role `member`.
    MemberKey,
    /// A key of the role `admin`.
    AdminKey,
    /// A session of a member of the project.
    Member,
    /// A session of an admin of the project.
    Admin,
    /// Nobody: no credential.
    Nobody,
}

/// What came out, for people and for `--expect`.
struct Report {
    outcome: &'static str,
    fields: Map<String, Value>,
}

/// Tries a request.
///
/// # Errors
/// The rules cannot stand, an argument means nothing, or something else than what was expected came out.
pub(crate) fn run(arguments: &TrialArguments, now: UnixMillis) -> Result<()> {
    let routing = load(&arguments.file, now.seconds())?;
    let target = Target::parse(&arguments.url)?;
    let headers = Given::parse(&arguments.headers)?;
    let stand = Stand::new(&routing, arguments, now)?;
    let report = try_out(&routing, &stand, arguments, &target, &headers, now)?;
    report.print(arguments.json);
    match &arguments.expect {
        Some(expected) if expected != report.outcome => {
            bail!("`{expected}` was expected, and `{}` came out", report.outcome)
        }
        _ => Ok(()),
    }
}

/// The parts of a URL that a gate is handed.
struct Target {
    host: Option<String>,
    path: String,
    query: String,
}

impl Target {
    /// Cuts a URL up without tidying anything.
    fn parse(url: &str) -> Result<Self> {
        let (host, rest) = match url.split_once("://") {
            None => (None, url),
            Some((_, behind)) => {
                let at = behind.find(['/', '?']).unwrap_or(behind.len());
                let (host, rest) = behind.split_at(at);
                (Some(host.to_owned()), rest)
            }
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = if path.is_empty() { "/" } else { path };
        if !path.starts_with('/') {
            bail!("a URL is `https://host/path`, or a path that begins with `/`");
        }
        Ok(Self { host, path: path.to_owned(), query: query.to_owned() })
    }
}

/// Headers as they were given.
struct Given(Vec<(String, String)>);

impl Given {
    fn parse(texts: &[String]) -> Result<Self> {
        let pair = |text: &String| {
            let (name, value) =
                text.split_once(':').with_context(|| format!("`{text}` is no `NAME:VALUE`"))?;
            Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        };
        Ok(Self(texts.iter().map(pair).collect::<Result<_>>()?))
    }
}

impl Headers for Given {
    fn one(&self, name: &str) -> Option<String> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
        values.next().filter(|_| values.next().is_none()).cloned()
    }
}

fn try_out(
    routing: &Routing,
    stand: &Stand,
    arguments: &TrialArguments,
    target: &Target,
    headers: &Given,
    now: UnixMillis,
) -> Result<Report> {
    let seen = arguments.body.as_deref().map(fs::read).transpose().context("cannot read the body")?;
    let credential = stand.authorization();
    let project = headers.one("latchkey-project");
    let mut request = Request {
        host: target.host.as_deref(),
        query: target.query.as_bytes(),
        client: arguments.client,
        project: stand::header(project.as_deref()),
        headers,
        ..Request::new(&arguments.method, target.path.as_bytes(), stand::header(credential.as_deref()))
    };
    if let (Some(origin), Some(method)) =
        (headers.one("origin"), headers.one("access-control-request-method"))
    {
        let asked = PreflightRequest { origin: &origin, method: &method };
        if let Some(answer) = stand.gate.preflight(&request, asked, now) {
            return Ok(Report::of_preflight(answer));
        }
    }
    let mut attempt = Attempt::default();
    let model;
    let first = stand.gate.decide(&request, Question::Route, now, &mut attempt);
    let verdict = match first {
        Step::Answer(verdict) => verdict,
        Step::Ask(latchkey_gate::Ask::Body(field)) => {
            model = said(seen.as_deref().unwrap_or_default(), &field);
            request.body = model.as_deref().map_or(Body::Silent, Body::Says);
            settled(stand.gate.decide(&request, Question::Route, now, &mut attempt))?
        }
        // The made-up snapshot may lack what was asked for; the next answer comes from what it has.
        Step::Ask(_) => settled(stand.answer(&request, now, &mut attempt))?,
    };
    Ok(Report::of(routing, &verdict))
}

fn said(body: &[u8], field: &str) -> Option<String> {
    let (seen, extent) = match body.get(..BODY_SEEN_MAX) {
        Some(beginning) if body.len() > BODY_SEEN_MAX => (beginning, Extent::Beginning),
        _ => (body, Extent::Whole),
    };
    find_text(seen, extent, field).ok()
}

fn settled(step: Step) -> Result<Verdict> {
    match step {
        Step::Answer(verdict) => Ok(verdict),
        Step::Ask(ask) => bail!("the gate did not come to an answer; it asks for {ask:?}"),
    }
}

impl Report {
    fn of_preflight(answer: Preflight<'_>) -> Self {
        match answer {
            Preflight::Allowed(cors) => Self {
                outcome: "preflight",
                fields: Map::from_iter([("max_age_secs".to_owned(), cors.max_age_secs.into())]),
            },
            Preflight::Refused => Self {
                outcome: "origin_not_allowed",
                fields: Map::from_iter([("why".to_owned(), "the rules name other origins".into())]),
            },
        }
    }

    fn of(routing: &Routing, verdict: &Verdict) -> Self {
        let mut fields = Map::new();
        if let Some(matched) = &verdict.matched {
            let index = usize::from(matched.rule);
            let line = routing.line_of(index);
            let rule = routing.in_order().get(index).copied();
            fields.extend(rule.map(|rule| describe(rule, line)).into_iter().flatten());
            if matched.is_in_shadow {
                fields.insert("in_shadow".to_owned(), true.into());
            }
        }
        let outcome = match verdict.outcome {
            Outcome::Allow(grant) => {
                let role = grant.binding.role.map(|role| role.as_str());
                fields.insert("role".to_owned(), role.into());
                "allow"
            }
            Outcome::Pass(Pass::Public) => "public",
            Outcome::Pass(Pass::Shadow(refusal)) | Outcome::Refuse(refusal) => {
                fields.extend(why(refusal));
                refusal.code()
            }
        };
        if matches!(verdict.outcome, Outcome::Pass(Pass::Shadow(_))) {
            fields.insert("passes".to_owned(), true.into());
        }
        Self { outcome, fields }
    }

    fn print(&self, json: bool) {
        if json {
            let mut all = Map::from_iter([("outcome".to_owned(), self.outcome.into())]);
            all.extend(self.fields.clone());
            println!("{}", Value::Object(all));
            return;
        }
        print!("{}", self.text());
    }

    /// A line for each field, the outcome first.
    fn text(&self) -> String {
        let fields = self.fields.iter().map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{name:<12} {text}\n")
        });
        std::iter::once(format!("{:<12} {}\n", "outcome", self.outcome)).chain(fields).collect()
    }
}

/// What the caller is told, and what only the operator may know.
fn why(refusal: Refusal) -> [(String, Value); 2] {
    [("why".to_owned(), refusal.to_string().into()), ("cause".to_owned(), refusal.cause().into())]
}

fn describe(rule: &Rule, line: Option<usize>) -> Map<String, Value> {
    let host = rule.host.as_deref().unwrap_or_default();
    let mut fields = Map::from_iter([
        ("rule".to_owned(), format!("{} {host}{}", rule.method, rule.pattern).into()),
        ("line".to_owned(), line.into()),
    ]);
    let Access::Permission(permission) = rule.access else { return fields };
    fields.insert("permission".to_owned(), permission.as_str().into());
    if rule.freshness == Freshness::FreshOnly {
        fields.insert("freshness".to_owned(), "fresh-only".into());
    }
    let resource = rule.resource.as_ref().map(|resource| &resource.source);
    for (what, source) in
        [("project", rule.project.as_ref()), ("resource", resource), ("model", rule.model.as_ref())]
    {
        if let Some(source) = source {
            fields.insert(what.to_owned(), place(source).into());
        }
    }
    fields
}

fn place(source: &Source) -> String {
    let kind = match source {
        Source::Path(_) => "path",
        Source::Header(_) => "header",
        Source::Query(_) => "query",
        Source::Host(_) => "host",
        Source::Body(_) => "body",
    };
    format!("from the {kind}: {}", source.name())
}

impl Routing {
    /// The rules as a manifest has them.
    fn in_order(&self) -> Vec<&Rule> {
        let mut ordered: Vec<&Rule> = self.rules.iter().collect();
        ordered.sort_by_key(|rule| rule.key());
        ordered
    }

    /// The line of the route that the rule at this place of a manifest comes from.
    fn line_of(&self, index: usize) -> Option<usize> {
        let key = self.in_order().get(index)?.key();
        let at = self.rules.iter().position(|rule| rule.key() == key)?;
        self.lines.get(at).copied()
    }
}

/// How long what is made up for a trial is good, in seconds.
const GOOD_FOR_SECS: u64 = 3600;

fn later(now: UnixMillis) -> UnixSeconds {
    now.seconds().plus_secs(GOOD_FOR_SECS)
}

#[cfg(test)]
mod tests;
