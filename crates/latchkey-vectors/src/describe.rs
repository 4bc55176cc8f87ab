//! What an accepted object says and why one is refused, as the vectors write it.
//!
//! Numbers of 64 bits are decimal strings, since JSON readers of many languages would round them.

use crate::case::{field, hex, reason};
use latchkey_core::{Network, Permission, PermissionSet, ProjectNumber, ResourceType, Role};
use latchkey_snapshot::manifest::{Section, TokenKey};
use latchkey_snapshot::*;
use serde_json::{Value, json};
use std::net::IpAddr;

/// A 64-bit number.
pub fn wide(number: u64) -> Value {
    number.to_string().into()
}

fn parse_error(error: &ParseError) -> Value {
    field(error.object, error.field, error.fault)
}

/// Why a root is refused.
pub fn root_error(error: &RootError) -> Value {
    let why = match error {
        RootError::Parse(error) => return parse_error(error),
        RootError::TooLong => "too long",
        RootError::Installation => "installation",
        RootError::Version { .. } => "version",
        RootError::Issued => "issued",
        RootError::OwnSignatures => "own signatures",
        RootError::PredecessorSignatures => "predecessor signatures",
    };
    reason("root", why)
}

/// Why a head is refused.
pub fn head_error(error: &HeadError) -> Value {
    let why = match error {
        HeadError::Parse(error) => return parse_error(error),
        HeadError::TooLong => "too long",
        HeadError::RootVersion { .. } => "root version",
        HeadError::Installation => "installation",
        HeadError::StatementSignatures => "statement signatures",
        HeadError::HeadSignatures => "head signatures",
    };
    reason("head", why)
}

/// Why an object that another names is refused.
pub fn object_error(object: &str, error: &ObjectError) -> Value {
    let why = match error {
        ObjectError::Parse(error) => return parse_error(error),
        ObjectError::Length { .. } => "length",
        ObjectError::Digest => "digest",
    };
    reason(object, why)
}

/// A reference to an object.
pub fn reference(reference: &ObjectRef) -> Value {
    json!({ "length": reference.len_bytes(), "digest": reference.digest().to_string() })
}

/// A root.
pub fn root(root: &Root) -> Value {
    let keys: Vec<Value> = root
        .keys()
        .iter()
        .map(|key| {
            json!({
                "public": hex(key.public.as_bytes()), "role": key.role as u8,
                "not_before": wide(key.not_before.0), "not_after": wide(key.not_after.0),
            })
        })
        .collect();
    let roles = [root::KeyRole::Offline, root::KeyRole::Release, root::KeyRole::Head];
    json!({
        "installation": hex(root.installation().0), "version": root.version(), "issued": wide(root.issued().0),
        "thresholds": roles.map(|role| root.threshold(role)), "keys": keys,
    })
}

/// A head.
pub fn head(head: &Head) -> Value {
    let statement = &head.statement;
    json!({
        "root_version": head.root_version, "as_of": wide(head.as_of.0), "digest": head.digest.to_string(),
        "inline": head.inline.iter().map(inline).collect::<Vec<_>>(),
        "newest_generation": wide(head.newest_generation().0),
        "statement": {
            "installation": hex(statement.installation.0), "generation": wide(statement.generation.0),
            "issued": wide(statement.issued.0), "use_by": wide(statement.use_by.0),
            "manifest": reference(&statement.manifest),
            "tip": statement.tip.as_ref().map(reference), "previous": statement.previous.as_ref().map(previous),
            "audit_size": wide(statement.audit_size), "audit_root": hex(statement.audit_root),
        },
    })
}

fn previous(previous: &Previous) -> Value {
    json!({
        "manifest": reference(&previous.manifest), "tip": reference(&previous.tip), "until": wide(previous.until.0),
    })
}

fn inline(inline: &Inline) -> Value {
    let subject = match inline.subject {
        InlineSubject::Tag(tag) => json!({ "tag": hex(tag) }),
        InlineSubject::Project(number) => json!({ "project": number.0 }),
        InlineSubject::Organization(number) => json!({ "organization": number.0 }),
    };
    json!({ "generation": wide(inline.generation.0), "reason": inline.reason.as_str(), "subject": subject })
}

/// A manifest.
pub fn manifest(manifest: &Manifest) -> Value {
    let keys = |keys: &[TokenKey]| keys.iter().map(token_key).collect::<Vec<_>>();
    json!({
        "installation": hex(manifest.installation.0), "generation": wide(manifest.generation.0),
        "pepper_id": hex(manifest.pepper_id), "grace": manifest.grace_secs, "prefix": manifest.prefix.as_str(),
        "sections": manifest.sections.iter().map(section).collect::<Vec<_>>(),
        "exceptions": exceptions(&manifest.exceptions),
        "session_keys": keys(&manifest.session_keys), "edge_keys": keys(&manifest.edge_keys),
        "canaries": manifest.canaries.iter().map(canary).collect::<Vec<_>>(),
        "cors": manifest.cors.as_ref().map(cors),
        "routing": hex(manifest.routing),
        "rules": manifest.rules.iter().map(rule).collect::<Vec<_>>(),
    })
}

/// What is refused as a whole: numbers by class.
pub fn exceptions(exceptions: &Exceptions) -> Value {
    let numbers = |class| exceptions.numbers(class).to_vec();
    json!({
        "organizations_suspended": numbers(ExceptionClass::OrganizationSuspended),
        "projects_archived": numbers(ExceptionClass::ProjectArchived),
        "projects_closed_to_externals": numbers(ExceptionClass::ProjectClosedToExternals),
        "organizations_out_of_budget": numbers(ExceptionClass::OrganizationOutOfBudget),
        "projects_out_of_budget": numbers(ExceptionClass::ProjectOutOfBudget),
    })
}

fn canary(canary: &Canary) -> Value {
    let expected = canary.expected.map(|expected| {
        let mut described = binding(&expected.binding);
        described["state"] = state(expected.state).into();
        described
    });
    let Query { kind, place, bucket, tag } = canary.query;
    json!({
        "kind": kind as u8, "place": wide(place), "bucket_hash": bucket, "tag": hex(tag), "expected": expected,
    })
}

/// Where a delta belongs and what it refuses.
pub fn removals(removals: &Removals) -> Value {
    let removal = |removal: &Removal| {
        let reason = match removal.reason {
            RemovalReason::Gone => "gone",
            RemovalReason::Revoked => "revoked",
            RemovalReason::Disabled => "disabled",
        };
        json!([removal.kind as u8, reason, hex(removal.tag)])
    };
    json!({
        "installation": hex(removals.installation.0), "pepper_id": hex(removals.pepper_id),
        "base": reference(&removals.base), "from": wide(removals.from.0),
        "generation": wide(removals.generation.0), "parent": removals.parent.as_ref().map(reference),
        "begun": exceptions(&removals.begun), "removals": removals.list().iter().map(removal).collect::<Vec<_>>(),
    })
}

/// A delta: what it refuses, and what it says besides.
pub fn delta(delta: &Delta) -> Value {
    let page = |(first_place, page): &(u64, Page)| {
        let records: Vec<Value> = page
            .entries()
            .map(|(tag, found)| {
                let mut described = entry(page, &found);
                described["tag"] = hex(tag).into();
                described
            })
            .collect();
        json!({ "kind": page.kind() as u8, "first_place": wide(*first_place), "records": records })
    };
    let mut described = removals(&delta.removals);
    described["ended"] = exceptions(&delta.lifted);
    described["pages"] = delta.pages().iter().map(page).collect();
    described["names"] = delta.names().iter().map(names).collect();
    described
}

fn token_key(key: &TokenKey) -> Value {
    json!({
        "public": hex(key.public.as_bytes()),
        "not_before": wide(key.not_before.0), "not_after": wide(key.not_after.0),
    })
}

fn section(section: &Section) -> Value {
    let nodes: Vec<Value> = section
        .nodes
        .iter()
        .map(|node| json!({ "first_place": wide(node.first_place), "node": reference(&node.object) }))
        .collect();
    json!({ "kind": section.kind as u8, "records": wide(section.records), "nodes": nodes })
}

pub(crate) fn rule(rule: &Rule) -> Value {
    let mut described = json!({
        "host": rule.host, "method": rule.method, "pattern": rule.pattern,
        "keep_credential": rule.forwarding == Forwarding::Kept,
        "permission": rule.permission().map(Permission::as_str),
    });
    let bare = Rule {
        host: rule.host.clone(),
        forwarding: rule.forwarding,
        ..Rule::new(&*rule.method, &*rule.pattern, rule.access)
    };
    // A public rule says no more, unless it is one that cannot stand.
    let says_more = rule.access != Access::Public || *rule != bare;
    if let Some(described) = described.as_object_mut().filter(|_| says_more) {
        let resource = rule.resource.as_ref().map(
            |resource| json!({ "type": resource.resource.as_str(), "source": source(&resource.source) }),
        );
        let need = [
            ("fresh_only", (rule.freshness == Freshness::FreshOnly).into()),
            ("keys", rule.credentials.takes_keys().into()),
            ("sessions", rule.credentials.takes_sessions().into()),
            ("project", rule.project.as_ref().map(source).into()),
            ("resource", resource.into()),
            ("model", rule.model.as_ref().map(source).into()),
            ("shadow_until", rule.shadow_until.map_or(Value::Null, |until| wide(until.0))),
        ];
        described.extend(need.map(|(name, value): (_, Value)| (name.to_owned(), value)));
    }
    described
}

fn source(source: &Source) -> Value {
    let kind = match source {
        Source::Path(_) => "path",
        Source::Header(_) => "header",
        Source::Query(_) => "query",
        Source::Host(_) => "host",
        Source::Body(_) => "body",
    };
    json!({ kind: source.name() })
}

fn cors(cors: &Cors) -> Value {
    json!({
        "origins": cors.origins, "headers": cors.headers, "exposed": cors.exposed,
        "max_age_secs": cors.max_age_secs,
    })
}

/// A node.
pub fn node(node: &Node) -> Value {
    let pages: Vec<Value> = node
        .pages()
        .iter()
        .map(|page| {
            json!({
                "first_place": wide(page.first_place), "records": page.records, "page": reference(&page.object),
            })
        })
        .collect();
    json!({ "kind": node.kind() as u8, "pages": pages })
}

/// What a page says of one thing.
pub fn entry(page: &Page, entry: &Entry) -> Value {
    let mut described = binding(&entry.binding);
    described["expiry_minute"] = entry.expiry.map(|minute| minute.0).into();
    described["state"] = state(entry.state).into();
    described["out_of_budget"] = entry.is_out_of_budget.into();
    described["external"] = entry.is_external.into();
    described["key_id"] = page.imported_key_id(entry).map(|id| id.to_string()).into();
    described["narrowing"] = page.narrowing(entry).as_ref().map(narrowing).into();
    described
}

const fn state(state: KeyState) -> &'static str {
    match state {
        KeyState::Active => "active",
        KeyState::Disabled => "disabled",
        KeyState::Revoked => "revoked",
    }
}

fn narrowing(narrowing: &Narrowing<'_>) -> Value {
    let network = |network: Network| {
        let address = match network.address() {
            IpAddr::V4(address) => hex(address.octets()),
            IpAddr::V6(address) => hex(address.octets()),
        };
        format!("{address}/{}", network.prefix_len())
    };
    let resource = |pattern: ResourcePattern<'_>| {
        json!([pattern.resource.as_str(), pattern.matching.as_str(), pattern.text.as_str()])
    };
    let model = |pattern: ModelPattern<'_>| json!([pattern.matching.as_str(), pattern.text.as_str()]);
    json!({
        "rate": narrowing.rate().map(|rate| rate.per_minute.get()),
        "family": narrowing.rate().map(|rate| rate.family.to_string()),
        "networks": narrowing.networks().map(network).collect::<Vec<_>>(),
        "resources": narrowing.resources().map(resource).collect::<Vec<_>>(),
        "models": narrowing.models().map(model).collect::<Vec<_>>(),
    })
}

/// What is asked of every narrowing: addresses of clients, resources, models.
pub fn questions() -> Value {
    json!({ "addresses": ADDRESSES, "resources": RESOURCES, "models": MODELS })
}

/// The answers of a narrowing to [`questions`], in their order.
pub fn allowed(narrowing: &Narrowing<'_>) -> Value {
    let address = |text: &Option<&str>| match text {
        Some(text) => text.parse().is_ok_and(|address| narrowing.allows_address(address)),
        None => !narrowing.narrows_networks(),
    };
    let resource = |named: &Option<(&str, &str)>| match named {
        Some((word, id)) => {
            ResourceType::from_word(word).is_some_and(|resource| narrowing.allows_resource(resource, id))
        }
        None => !narrowing.narrows_resources(),
    };
    let model = |name: &Option<&str>| match name {
        Some(name) => narrowing.allows_model(name),
        None => !narrowing.narrows_models(),
    };
    json!({
        "addresses": ADDRESSES.iter().map(address).collect::<Vec<_>>(),
        "resources": RESOURCES.iter().map(resource).collect::<Vec<_>>(),
        "models": MODELS.iter().map(model).collect::<Vec<_>>(),
    })
}

const ADDRESSES: [Option<&str>; 10] = [
    Some("10.255.0.1"),
    Some("11.0.0.0"),
    Some("192.0.2.1"),
    Some("192.0.2.2"),
    Some("::ffff:10.1.2.3"),
    Some("::ffff:11.0.0.1"),
    Some("2001:db8::1"),
    Some("2001:db9::"),
    Some("::10.0.0.1"),
    None,
];
const RESOURCES: [Option<(&str, &str)>; 9] = [
    Some(("file", "data.csv")),
    Some(("file", "data.csv2")),
    Some(("file", "job-")),
    Some(("file", "job-7")),
    Some(("file", "Job-7")),
    Some(("file", "job")),
    Some(("endpoint", "chat")),
    Some(("cluster", "chat")),
    None,
];
const MODELS: [Option<&str>; 8] = [
    Some("meta/llama-3"),
    Some("meta/llama-3-70b"),
    Some("Meta/llama-3"),
    Some("acme/"),
    Some("acme/small"),
    Some("acme"),
    Some(""),
    None,
];

fn binding(binding: &Binding) -> Value {
    json!({
        "project": binding.project.0, "organization": binding.organization.0,
        "role": binding.role.map(Role::as_str), "permissions": permissions(binding.permissions),
    })
}

/// The bits of a set, as 32 hexadecimal characters of the number.
pub fn permissions(set: PermissionSet) -> Value {
    format!("{:032x}", set.bits()).into()
}

/// A verified session token.
pub fn token(token: &SessionToken) -> Value {
    json!({
        "session": token.session().to_string(), "identity": token.identity().to_string(),
        "expires": wide(token.expires().0),
    })
}

/// Why a session token is refused.
pub const fn token_error(error: TokenError) -> &'static str {
    match error {
        TokenError::Length => "length",
        TokenError::Prefix => "prefix",
        TokenError::Encoding => "encoding",
        TokenError::Version => "version",
        TokenError::Session => "session",
        TokenError::Identity => "identity",
        TokenError::Lifetime => "lifetime",
        TokenError::Signer => "signer",
        TokenError::Signature => "signature",
        TokenError::Ahead => "ahead",
        TokenError::Expired => "expired",
    }
}

/// A page of names.
pub fn names(names: &Names) -> Value {
    match names {
        Names::Projects(list) => list.iter().map(project_names).collect(),
        Names::Organizations(list) => list.iter().map(organization_names).collect(),
    }
}

/// A project's names.
pub fn project_names(names: &ProjectNames) -> Value {
    let ProjectNumber(number) = names.number;
    json!({
        "number": number, "organization": names.organization.0, "id": names.id.to_string(),
        "slug": names.slug.as_str(), "name": names.name,
    })
}

/// An organization's names.
pub fn organization_names(names: &OrganizationNames) -> Value {
    json!({ "number": names.number.0, "id": names.id.to_string(), "name": names.name })
}
