//! A signed installation for the tests of the Worker, made by the writer that the control plane uses: roots, the
//! keys that sign, API keys, and what is published at several generations. The tests sign their heads themselves,
//! because a head is only as good as its age.

use super::access;
use anyhow::{Context, Result, anyhow};
use latchkey_core::key::Prefix;
use latchkey_core::{
    Dice, ExpiryMinute, Generation, MintSecret, OrganizationId, OrganizationNumber, Pepper, Permission,
    PermissionSet, PlainKey, ProjectId, ProjectNumber, ResourceId, ResourceType, Role, Slug, UnixSeconds,
};
use latchkey_snapshot::build::{
    Built, Content, DeltaContent, Edition, Object, Record, RootContent, Signer, StatementContent,
};
use latchkey_snapshot::manifest::{Exceptions, TokenKey};
use latchkey_snapshot::names::{OrganizationNames, ProjectNames};
use latchkey_snapshot::root::{KeyRole, RootKey};
use latchkey_snapshot::{
    Access, Binding, Cors, Credentials, Forwarding, Freshness, Installation, KeyState, ResourceSource, Rule,
    Source,
};
use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const INSTALLATION: Installation = Installation([7; 16]);
const PEPPER: [u8; 32] = [0x55; 32];
const MINT: [u8; 32] = [9; 32];
const PREFIX: &str = "lk";
const USE_BY_SECS: u64 = 3600;
/// So many projects have names at generation 13 that their pages are more than one list of missing objects names.
const WIDE_PROJECTS: u32 = 40_000;

/// Who signs, each from a seed of its own. Root 1 names the first three, root 2 the offline key and the next two.
const SIGNERS: [(&str, u8); 8] = [
    ("offline", 1),
    ("release", 2),
    ("head", 3),
    ("release_2", 4),
    ("head_2", 5),
    ("stranger", 6),
    ("session", SESSION_SEED),
    ("edge", EDGE_SEED),
];
/// The seed of the key that signs session tokens.
const SESSION_SEED: u8 = 7;
/// The seed of the key that signs assertions to origins.
const EDGE_SEED: u8 = 8;

/// The API keys: name, project, role, whether it has expired, state.
const KEYS: [(&str, u32, Role, bool, KeyState); 13] = [
    ("alpha_member", 10, Role::Member, false, KeyState::Active),
    ("alpha_admin", 10, Role::Admin, false, KeyState::Active),
    ("beta_member", 11, Role::Member, false, KeyState::Active),
    ("expired", 10, Role::Member, true, KeyState::Active),
    ("disabled", 10, Role::Member, false, KeyState::Disabled),
    ("revoked", 10, Role::Member, false, KeyState::Revoked),
    ("archived", 12, Role::Member, false, KeyState::Active),
    ("suspended", 30, Role::Member, false, KeyState::Active),
    // From generation 11 on.
    ("late", 10, Role::Member, false, KeyState::Active),
    // What these are narrowed to is in `access`.
    ("in_network", 10, Role::Member, false, KeyState::Active),
    ("of_model", 10, Role::Member, false, KeyState::Active),
    ("slow", 10, Role::Member, false, KeyState::Active),
    ("spent", 10, Role::Member, false, KeyState::Active),
];

/// The generation of the chain over the first edition.
const CHAINED: u64 = 11;

/// What is published: name, generation, grace.
const EDITIONS: [(&str, u64, u32); 6] = [
    ("first", 10, 900),
    ("second", 11, 900),
    ("third", 12, 900),
    ("wide", 13, 900),
    ("restored", 14, 900),
    ("short_grace", 15, 6),
];

/// The installation as JSON.
pub(super) fn installation() -> Result<Value> {
    let now = UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    let mut editions = Map::new();
    for (name, generation, grace_secs) in EDITIONS {
        let built = edition(generation, grace_secs, now)?;
        editions.insert(name.to_owned(), published(generation, &built, None, now)?);
    }
    let (base, tip) = chained(now)?;
    editions.insert("chained".to_owned(), published(CHAINED, &base, Some(&tip), now)?);
    Ok(json!({
        "installation": hex(&INSTALLATION.0),
        "pepper": hex(&PEPPER),
        "mint": hex(&MINT),
        "roots": { "1": hex(&root(1, now)?), "2": hex(&root(2, now)?) },
        "signers": SIGNERS.iter().map(|(name, seed)| ((*name).to_owned(), signer_json(*seed))).collect::<Map<_, _>>(),
        "keys": keys()?,
        "imported": { "text": access::IMPORTED, "id": access::imported_id().to_string() },
        "people": access::people(&Pepper::new(PEPPER)),
        "projects": projects()?,
        "organizations": organizations(),
        "editions": editions,
        "tokens": (9..20).map(|number| (number.to_string(), token(number).into())).collect::<Map<_, _>>(),
    }))
}

fn signer(seed: u8) -> Signer {
    Signer::from_seed(&[seed; 32])
}

fn token_key(seed: u8) -> TokenKey {
    TokenKey {
        public: signer(seed).public(),
        not_before: UnixSeconds(0),
        not_after: UnixSeconds(4_000_000_000),
    }
}

fn signer_json(seed: u8) -> Value {
    json!({ "seed": hex(&[seed; 32]), "id": hex(&signer(seed).id().0) })
}

fn token(generation: u64) -> String {
    let secret = MintSecret::new(MINT).generation_secret();
    Generation(generation).token(&secret).as_str().to_owned()
}

fn root(version: u32, now: UnixSeconds) -> Result<Vec<u8>> {
    let (release, head) = if version == 1 { (2, 3) } else { (4, 5) };
    let key = |seed: u8, role: KeyRole| RootKey {
        public: signer(seed).public(),
        role,
        not_before: UnixSeconds(0),
        not_after: now.plus_secs(100 * 365 * 86_400),
    };
    let content = RootContent {
        installation: INSTALLATION,
        version,
        issued: now,
        thresholds: [1, 1, 1],
        keys: vec![key(1, KeyRole::Offline), key(release, KeyRole::Release), key(head, KeyRole::Head)],
    };
    content.sign(&[&signer(1)]).map_err(|error| anyhow!("{error}"))
}

fn published(generation: u64, built: &Built, tip: Option<&Object>, now: UnixSeconds) -> Result<Value> {
    let objects: Vec<Value> = std::iter::once(&built.manifest)
        .chain(&built.objects)
        .chain(tip)
        .map(|object| json!({ "digest": object.reference.digest().to_string(), "hex": hex(&object.bytes) }))
        .collect();
    let content = StatementContent {
        installation: INSTALLATION,
        generation: Generation(generation),
        issued: now,
        use_by: now.plus_secs(USE_BY_SECS),
        manifest: built.manifest.reference,
        tip: tip.map(|tip| tip.reference),
        previous: None,
        audit_size: 0,
        audit_root: [0; 32],
    };
    let sign = |seed: u8| content.sign(&[&signer(seed)]).map_err(|error| anyhow!("{error}"));
    Ok(json!({
        "generation": generation,
        "objects": objects,
        "statements": { "release": hex(&sign(2)?), "release_2": hex(&sign(4)?), "stranger": hex(&sign(6)?) },
    }))
}

/// The base of the first edition, and the delta over it that brings the key which the second edition has.
fn chained(now: UnixSeconds) -> Result<(Built, Object)> {
    let (_, from, grace_secs) = EDITIONS[0];
    let base = edition(from, grace_secs, now)?;
    let mut content = Content::new(Pepper::new(PEPPER));
    let late = KEYS.iter().position(|key| key.0 == "late").context("no such key")?;
    content.put(key_record(late, CHAINED)?);
    let touched = content.take_touched();
    let exceptions = exceptions();
    let delta = DeltaContent {
        installation: INSTALLATION,
        base: base.manifest.reference,
        from: Generation(from),
        generation: Generation(CHAINED),
        parent: None,
        before: &exceptions,
        now: &exceptions,
    };
    let tip = content.delta(&delta, &touched).map_err(|error| anyhow!("{error}"))?;
    Ok((base, tip))
}

fn exceptions() -> Exceptions {
    Exceptions::default().with_suspended([OrganizationNumber(3)]).with_archived([ProjectNumber(12)])
}

fn edition(generation: u64, grace_secs: u32, now: UnixSeconds) -> Result<Built> {
    let mut content = Content::new(Pepper::new(PEPPER));
    let mut records = Vec::new();
    for (index, key) in KEYS.iter().enumerate() {
        if key.0 != "late" || generation >= 11 {
            records.push(key_record(index, generation)?);
        }
    }
    records.extend(access::records());
    let projects = project_list()?;
    let texts: Vec<(String, ProjectNames)> = projects
        .iter()
        .flat_map(|names| {
            [names.id.to_string(), names.slug.as_str().to_owned()].map(|text| (text, names.clone()))
        })
        .collect();
    for (text, names) in &texts {
        let (project, organization) = (names.number, names.organization);
        records.push(Record::ProjectReference { text, project, organization });
    }
    records.push(Record::Resource {
        resource: ResourceType::File,
        id: ResourceId::parse("file-1").map_err(|error| anyhow!("{error:?}"))?,
        project: ProjectNumber(10),
        organization: OrganizationNumber(1),
    });
    records.extend(projects.iter().cloned().map(Record::ProjectNames));
    records.extend(organization_list().into_iter().map(Record::OrganizationNames));
    if generation == 13 {
        let wide = (0..WIDE_PROJECTS).map(|number| wide_project(1000 + number));
        records.extend(wide.collect::<Result<Vec<_>>>()?.into_iter().map(Record::ProjectNames));
    }
    content.load(records);
    let exceptions = exceptions();
    let edition = Edition {
        installation: INSTALLATION,
        generation: Generation(generation),
        pepper_id: content.pepper_id(),
        grace_secs,
        prefix: Prefix::parse(PREFIX).map_err(|error| anyhow!("{error}"))?,
        exceptions: &exceptions,
        session_keys: &[token_key(SESSION_SEED)],
        edge_keys: &[token_key(EDGE_SEED)],
        canaries: &[],
        cors: Some(&cors()),
        rules: &rules(now),
    };
    content.build(&edition).map_err(|error| anyhow!("{error}"))
}

/// The third edition disables the first key; the next enables it again.
fn key_record(index: usize, generation: u64) -> Result<Record<'static>> {
    let (name, project, role, expired, state) = KEYS[index];
    let plain = plain_key(index);
    let disabled = index == 0 && generation == 12;
    Ok(Record::Key {
        id: plain.id(),
        digest: plain.digest(),
        binding: Binding {
            project: ProjectNumber(project),
            organization: OrganizationNumber(project / 10),
            role: Some(role),
            permissions: PermissionSet::of_key(role),
        },
        expiry: Some(ExpiryMinute(if expired { 29_000_000 } else { 34_000_000 })),
        state: if disabled { KeyState::Disabled } else { state },
        out_of_budget: name == "spent",
        narrowing: access::narrowing(name, plain.id())?,
    })
}

fn plain_key(index: usize) -> PlainKey {
    let organization = OrganizationNumber(KEYS[index].1 / 10);
    let mut dice = Dice::from_seed(&[index as u8; 32]);
    // The prefix is one: `edition` parses it too.
    let prefix = Prefix::parse(PREFIX).unwrap_or_else(|_| unreachable!());
    PlainKey::generate(&prefix, organization.hint(), &MintSecret::new(MINT), &mut dice)
}

fn keys() -> Result<Map<String, Value>> {
    let content = Content::new(Pepper::new(PEPPER));
    let mut map = Map::new();
    for (index, (name, ..)) in KEYS.iter().enumerate() {
        let plain = plain_key(index);
        let tag = hex(&content.key_tag(plain.id(), &plain.digest()));
        map.insert(
            (*name).to_owned(),
            json!({ "text": plain.expose(), "id": plain.id().to_string(), "tag": tag }),
        );
    }
    // Well-formed and never issued: one made with the mint secret, one made up.
    for (name, mint) in [("unknown", MINT), ("made_up", [1; 32])] {
        let prefix = Prefix::parse(PREFIX).map_err(|error| anyhow!("{error}"))?;
        let plain = PlainKey::generate(&prefix, 1, &MintSecret::new(mint), &mut Dice::from_seed(&[99; 32]));
        map.insert(name.to_owned(), json!({ "text": plain.expose() }));
    }
    Ok(map)
}

fn project_list() -> Result<Vec<ProjectNames>> {
    let known =
        [(10, "alpha", "Alpha"), (11, "beta", "Beta"), (12, "attic", "Attic"), (30, "frozen", "Frozen")];
    known.into_iter().map(|(number, slug, name)| project(number, slug, name)).collect()
}

fn wide_project(number: u32) -> Result<ProjectNames> {
    project(number, &format!("wide-{number}"), "One of many")
}

fn project(number: u32, slug: &str, name: &str) -> Result<ProjectNames> {
    let mut seed = [0xA0; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    Ok(ProjectNames {
        number: ProjectNumber(number),
        organization: OrganizationNumber(number / 10),
        id: ProjectId::generate(&mut Dice::from_seed(&seed)),
        slug: Slug::parse(slug).ok().context("a slug of the fixture is none")?,
        name: name.into(),
    })
}

fn projects() -> Result<Map<String, Value>> {
    let list = project_list()?.into_iter();
    Ok(list
        .map(|names| {
            let slug = names.slug.as_str().to_owned();
            (slug, json!({ "id": names.id.to_string(), "name": names.name }))
        })
        .collect())
}

fn organization_list() -> Vec<OrganizationNames> {
    [(1, "Acme"), (3, "Frozen & sons")]
        .into_iter()
        .map(|(number, name)| OrganizationNames {
            number: OrganizationNumber(number),
            id: OrganizationId::generate(&mut Dice::from_seed(&[0xB0 + number as u8; 32])),
            name: name.into(),
        })
        .collect()
}

fn organizations() -> Map<String, Value> {
    let list = organization_list().into_iter();
    list.map(|names| (names.name.to_string(), json!({ "id": names.id.to_string() }))).collect()
}

/// Pages of one other origin may call.
fn cors() -> Cors {
    Cors {
        origins: vec!["https://app.example".to_owned()],
        headers: vec!["authorization".to_owned()],
        exposed: vec!["latchkey-stale".to_owned()],
        max_age_secs: 600,
    }
}

fn rules(now: UnixSeconds) -> Vec<Rule> {
    let rule = |method: &str, pattern: &str, permission: Permission, project: Option<&str>| Rule {
        project: project.map(|name| Source::Path(name.to_owned())),
        ..Rule::new(method, pattern, permission)
    };
    vec![
        rule("GET", "/v1/projects/{project}/models", Permission::ModelsView, Some("project")),
        rule("POST", "/v1/projects/{project}/clusters", Permission::ClustersCreate, Some("project")),
        Rule {
            freshness: Freshness::FreshOnly,
            ..rule(
                "DELETE",
                "/v1/projects/{project}/models/{model}",
                Permission::ModelsDelete,
                Some("project"),
            )
        },
        Rule {
            resource: Some(ResourceSource {
                resource: ResourceType::File,
                source: Source::Path("file".to_owned()),
            }),
            ..rule("GET", "/v1/projects/{project}/files/{file}", Permission::FilesRead, Some("project"))
        },
        rule("POST", "/v1/echo", Permission::InferenceInvoke, None),
        rule("GET", "/v1/cached", Permission::InferenceInvoke, None),
        rule("GET", "/v1/stream", Permission::InferenceInvoke, None),
        rule("GET", "/v1/socket", Permission::InferenceInvoke, None),
        rule("GET", "/v1/named/{name}", Permission::InferenceInvoke, None),
        Rule {
            model: Some(Source::Header("x-model".to_owned())),
            ..rule("POST", "/v1/chat", Permission::InferenceInvoke, None)
        },
        Rule { credentials: Credentials::Any, ..rule("GET", "/v1/shared", Permission::FilesView, None) },
        Rule {
            credentials: Credentials::Any,
            ..rule("GET", "/v1/shared/{project}", Permission::FilesView, Some("project"))
        },
        Rule { credentials: Credentials::Any, ..rule("POST", "/v1/shared", Permission::FilesCreate, None) },
        Rule {
            credentials: Credentials::Any,
            ..rule("DELETE", "/v1/shared", Permission::ClustersDelete, None)
        },
        Rule { credentials: Credentials::Sessions, ..rule("GET", "/v1/manage", Permission::FilesView, None) },
        Rule {
            model: Some(Source::Body("model".to_owned())),
            ..rule("POST", "/v1/body", Permission::InferenceInvoke, None)
        },
        Rule {
            project: Some(Source::Query("project".to_owned())),
            ..rule("GET", "/v1/query", Permission::FilesView, None)
        },
        Rule {
            project: Some(Source::Header("x-project".to_owned())),
            ..rule("GET", "/v1/header", Permission::FilesView, None)
        },
        Rule {
            host: Some("admin.example".to_owned()),
            ..rule("GET", "/v1/hosted", Permission::ClustersDelete, None)
        },
        Rule {
            host: Some("{project}.example".to_owned()),
            project: Some(Source::Host("project".to_owned())),
            ..rule("GET", "/v1/hosted", Permission::FilesView, None)
        },
        Rule::new("GET", "/v1/public", Access::Public),
        Rule { forwarding: Forwarding::Kept, ..rule("GET", "/v1/kept", Permission::FilesView, None) },
        Rule {
            shadow_until: Some(now.plus_secs(86_400)),
            ..rule("DELETE", "/v1/shadow", Permission::ClustersDelete, None)
        },
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
