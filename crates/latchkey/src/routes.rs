//! Route rules as an operator writes them: TOML, checked field by field, every error with its line and column.
//! See examples/routes.toml.

use anyhow::{Context, Result, bail};
use latchkey_core::{Permission, ResourceType};
use latchkey_gate::Routes;
use latchkey_snapshot::{Credentials, Freshness, ModelSource, ProjectSource, ResourceSource, Rule};
use serde::Deserialize;
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;

/// Bytes a file of rules may have at most.
const FILE_LEN_MAX: u64 = 4 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    route: Vec<Spanned<RawRoute>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRoute {
    method: Option<Spanned<String>>,
    methods: Option<Vec<Spanned<String>>>,
    path: Spanned<String>,
    permission: Spanned<String>,
    project: Option<RawProject>,
    resource: Option<RawResource>,
    model: Option<Spanned<RawModel>>,
    credentials: Option<Spanned<Vec<Spanned<String>>>>,
    freshness: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProject {
    path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    header: Option<String>,
    path: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawResource {
    r#type: Spanned<String>,
    path: String,
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
pub(crate) fn check(path: &Path) -> Result<()> {
    let rules = load(path)?;
    println!("`{}` is right: {} rules", path.display(), rules.len());
    Ok(())
}

/// Reads a file of rules.
///
/// # Errors
/// The first thing that is wrong, with line and column.
pub(crate) fn load(path: &Path) -> Result<Vec<Rule>> {
    let cannot = || format!("cannot read `{}`", path.display());
    let len = fs::metadata(path).with_context(cannot)?.len();
    if len > FILE_LEN_MAX {
        bail!("`{}` has {len} bytes; a file of rules has at most {FILE_LEN_MAX}", path.display());
    }
    let text = fs::read_to_string(path).with_context(cannot)?;
    parse(&text).map_err(|flaw| {
        let (line, column) = position(&text, flaw.at.start);
        anyhow::anyhow!("`{}`, line {line}, column {column}: {}", path.display(), flaw.what)
    })
}

fn parse(text: &str) -> Result<Vec<Rule>, Flaw> {
    let file: File = toml::from_str(text)
        .map_err(|error| Flaw { at: error.span().unwrap_or_default(), what: error.message().to_owned() })?;
    let (mut rules, mut places) = (Vec::new(), Vec::new());
    for route in &file.route {
        for method in methods(route)? {
            rules.push(rule(route.get_ref(), method)?);
            places.push(route.get_ref().path.span());
        }
    }
    Routes::compile(&rules).map_err(|error| {
        let at = places.get(error.rule).cloned().unwrap_or_default();
        Flaw { at, what: error.what.to_string() }
    })?;
    Ok(rules)
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

fn rule(raw: &RawRoute, method: &str) -> Result<Rule, Flaw> {
    Ok(Rule {
        method: method.to_owned(),
        pattern: raw.path.get_ref().clone(),
        permission: known(&raw.permission, "permission", Permission::from_word)?,
        freshness: freshness(raw.freshness.as_ref())?,
        credentials: credentials(raw.credentials.as_ref())?,
        project: raw
            .project
            .as_ref()
            .map_or(ProjectSource::Credential, |source| ProjectSource::Path(source.path.clone())),
        resource: raw.resource.as_ref().map(resource).transpose()?,
        model: raw.model.as_ref().map(model).transpose()?,
    })
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

fn model(raw: &Spanned<RawModel>) -> Result<ModelSource, Flaw> {
    match (&raw.get_ref().header, &raw.get_ref().path) {
        (Some(header), None) if Rule::is_header(header) => Ok(ModelSource::Header(header.clone())),
        (Some(_), None) => Err(flaw(raw.span(), "a header's name is 1 to 64 of `a-z0-9-`")),
        (None, Some(path)) => Ok(ModelSource::Path(path.clone())),
        _ => Err(flaw(raw.span(), "a model is named by either `header` or `path`")),
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

fn resource(raw: &RawResource) -> Result<ResourceSource, Flaw> {
    let resource = known(&raw.r#type, "resource type", ResourceType::from_word)?;
    Ok(ResourceSource { resource, parameter: raw.path.clone() })
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

    /// Refused, with this at this line and column.
    #[track_caller]
    fn check_refused(text: &str, (line, column): (usize, usize), what: &str) {
        let flaw = parse(text).unwrap_err();
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
        check_refused(&model("{}"), (6, 9), "either `header` or `path`");
        check_refused(&model("{ header = \"a\", path = \"b\" }"), (6, 9), "either `header` or `path`");
        check_refused(&model("{ header = \"X-Model\" }"), (6, 9), "`a-z0-9-`");
        check_refused(&model("{ header = \"latchkey-model\" }"), (4, 8), "cannot name the model");
        check_refused(&model("{ path = \"c\" }"), (4, 8), "no parameter `c`");
        check_refused(&model("{ query = \"m\" }"), (6, 11), "unknown field");
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
        assert_eq!(parse(once).unwrap().len(), 2);
        assert!(parse(&format!("{once}{once}")).unwrap_err().what.contains("earlier rule"));
    }

    #[test]
    fn credentials_are_keys_unless_said_otherwise() {
        let of = |line: &str| {
            let text =
                format!("[[route]]\nmethod = \"GET\"\npath = \"/a\"\npermission = \"files.read\"\n{line}");
            parse(&text).unwrap()[0].credentials
        };
        assert_eq!(of(""), Credentials::Keys);
        assert_eq!(of("credentials = [\"key\"]"), Credentials::Keys);
        assert_eq!(of("credentials = [\"session\"]"), Credentials::Sessions);
        assert_eq!(of("credentials = [\"session\", \"key\"]"), Credentials::Any);
    }

    #[test]
    fn example_is_right() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/routes.toml");
        let rules = load(&path).unwrap();
        assert!(rules.iter().any(|rule| rule.freshness == Freshness::FreshOnly));
    }
}
