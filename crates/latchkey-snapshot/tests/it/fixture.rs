//! A small installation: three organizations, their projects and keys, and the keys that sign for them.

use latchkey_core::key::Prefix;
use latchkey_core::{
    Dice, ExpiryMinute, Generation, KeyDigest, KeyId, MintSecret, OrganizationId, OrganizationNumber, Pepper,
    Permission, PermissionSet, PlainKey, ProjectId, ProjectNumber, ResourceId, ResourceType, Role, Slug,
    UnixMillis, UnixSeconds,
};
use latchkey_snapshot::build::{
    Built, Content, Edition, HeadContent, Record, RootContent, Signer, StatementContent,
};
use latchkey_snapshot::manifest::Exceptions;
use latchkey_snapshot::root::{KeyRole, RootKey};
use latchkey_snapshot::*;

pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

pub(crate) fn signer(seed: u8) -> Signer {
    Signer::from_seed(&[seed; 32])
}

pub(crate) fn pepper() -> Pepper {
    Pepper::new([0x55; 32])
}

pub(crate) fn root_key(signer: &Signer, role: KeyRole) -> RootKey {
    RootKey {
        public: signer.public(),
        role,
        not_before: UnixSeconds(1_000_000_000),
        not_after: UnixSeconds(3_000_000_000),
    }
}

/// Root 1: one offline key (1), one release key (2), one head key (3).
pub(crate) fn root_content() -> RootContent {
    RootContent {
        installation: Installation([7; 16]),
        version: 1,
        issued: NOW.seconds(),
        thresholds: [1, 1, 1],
        keys: vec![
            root_key(&signer(1), KeyRole::Offline),
            root_key(&signer(2), KeyRole::Release),
            root_key(&signer(3), KeyRole::Head),
        ],
    }
}

pub(crate) fn root_bytes() -> Vec<u8> {
    root_content().sign(&[&signer(1)]).unwrap()
}

pub(crate) fn root() -> Root {
    Root::pinned(&root_bytes()).unwrap()
}

pub(crate) fn key(project: u32, seed: u8) -> (KeyId, KeyDigest) {
    let mut dice = Dice::from_seed(&[seed; 32]);
    let prefix = Prefix::parse("lk").unwrap();
    let hint = OrganizationNumber(project / 10).hint();
    let plain = PlainKey::generate(&prefix, hint, &MintSecret::new([9; 32]), &mut dice);
    (plain.id(), plain.digest())
}

pub(crate) fn binding(project: u32, role: Role) -> Binding {
    Binding {
        project: ProjectNumber(project),
        organization: OrganizationNumber(project / 10),
        role: Some(role),
        permissions: PermissionSet::of_key(role),
    }
}

pub(crate) fn key_record(
    project: u32,
    seed: u8,
    role: Role,
    expiry: Option<u32>,
    state: KeyState,
) -> Record<'static> {
    let (id, digest) = key(project, seed);
    Record::Key {
        id,
        digest,
        binding: binding(project, role),
        expiry: expiry.map(ExpiryMinute),
        state,
        out_of_budget: false,
        narrowing: None,
    }
}

pub(crate) fn records() -> Vec<Record<'static>> {
    let mut dice = Dice::from_seed(&[200; 32]);
    let project = |number: u32| ProjectNumber(number);
    vec![
        key_record(10, 1, Role::Member, None, KeyState::Active),
        key_record(10, 2, Role::Admin, Some(30_000_000), KeyState::Active),
        key_record(11, 3, Role::Member, Some(30_000_100), KeyState::Disabled),
        key_record(20, 4, Role::Member, None, KeyState::Revoked),
        Record::Resource {
            resource: ResourceType::File,
            id: ResourceId::parse("file-1").unwrap(),
            project: project(10),
            organization: OrganizationNumber(1),
        },
        Record::ProjectReference { text: "alpha", project: project(10), organization: OrganizationNumber(1) },
        Record::ProjectReference { text: "beta", project: project(11), organization: OrganizationNumber(1) },
        Record::ProjectNames(ProjectNames {
            number: project(10),
            organization: OrganizationNumber(1),
            id: ProjectId::generate(&mut dice),
            slug: Slug::parse("alpha").unwrap(),
            name: "Alpha".into(),
        }),
        Record::OrganizationNames(OrganizationNames {
            number: OrganizationNumber(1),
            id: OrganizationId::generate(&mut dice),
            name: "Ørsted & co".into(),
        }),
    ]
}

pub(crate) fn rules() -> Vec<Rule> {
    vec![Rule {
        freshness: Freshness::FreshOnly,
        credentials: Credentials::Any,
        project: Some(Source::Path("project".into())),
        resource: Some(ResourceSource { resource: ResourceType::File, source: Source::Path("file".into()) }),
        model: Some(Source::Header("latchkey-model".into())),
        ..Rule::new("GET", "/v1/projects/{project}/files/{file}", Permission::FilesRead)
    }]
}

pub(crate) fn build(content: &mut Content, generation: u64) -> Built {
    build_with(content, generation, &[]).unwrap()
}

pub(crate) fn build_with(
    content: &mut Content,
    generation: u64,
    canaries: &[Canary],
) -> Result<Built, build::BuildError> {
    with_edition(generation, canaries, |edition| content.build(edition))
}

pub(crate) fn with_edition<T>(
    generation: u64,
    canaries: &[Canary],
    make: impl FnOnce(&Edition<'_>) -> T,
) -> T {
    let exceptions = Exceptions::default()
        .with_suspended([OrganizationNumber(3)])
        .with_archived([ProjectNumber(30)])
        .with_closed_to_externals([ProjectNumber(11)])
        .with_organizations_out_of_budget([OrganizationNumber(2)])
        .with_projects_out_of_budget([ProjectNumber(20)]);
    let token_key = manifest::TokenKey {
        public: signer(4).public(),
        not_before: UnixSeconds(0),
        not_after: UnixSeconds(u64::MAX),
    };
    let edition = Edition {
        installation: Installation([7; 16]),
        generation: Generation(generation),
        pepper_id: pepper().id(),
        grace_secs: 900,
        prefix: Prefix::parse("lk").unwrap(),
        exceptions: &exceptions,
        session_keys: &[token_key],
        edge_keys: &[],
        canaries,
        cors: None,
        rules: &rules(),
    };
    make(&edition)
}

pub(crate) fn small() -> Built {
    let mut content = Content::new(pepper());
    content.load(records());
    build(&mut content, 5)
}

pub(crate) fn statement_content(built: &Built) -> StatementContent {
    StatementContent {
        installation: Installation([7; 16]),
        generation: Generation(5),
        issued: NOW.seconds(),
        use_by: NOW.seconds().plus_secs(3600),
        manifest: built.manifest.reference,
        tip: None,
        previous: None,
        audit_size: 12,
        audit_root: [8; 32],
    }
}

pub(crate) fn head_bytes(inline: &[Inline]) -> Vec<u8> {
    let statement = statement_content(&small()).sign(&[&signer(2)]).unwrap();
    head_over(&statement, inline)
}

pub(crate) fn head_over(statement: &[u8], inline: &[Inline]) -> Vec<u8> {
    HeadContent { root_version: 1, as_of: NOW, statement, inline }.sign(&[&signer(3)]).unwrap()
}

pub(crate) fn one_inline() -> Inline {
    Inline { generation: Generation(6), subject: InlineSubject::Tag([0xAB; 10]), reason: Reason::Revoked }
}
