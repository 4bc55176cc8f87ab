//! What is so: the committed state, when each of its facts changed, and what was signed over it.

use crate::clockwork::Random;
use latchkey_core::key::Prefix;
use latchkey_core::*;
use latchkey_snapshot::build::{Content, Record, Signer, Standing, TokenContent};
use latchkey_snapshot::manifest::{Exceptions, TokenKey};
use latchkey_snapshot::root::Installation;
use latchkey_snapshot::{
    Binding, Credentials, Freshness, InlineSubject, KeyState, OrganizationNames, ProjectNames, Query, Reason,
    ResourceSource, Rule, Source,
};
use std::collections::BTreeMap;

pub(crate) const INSTALLATION: Installation = Installation([7; 16]);
const PROJECTS: [u32; 2] = [1, 2];
/// Keys that are granted from the start; the others may be later.
const KEYS_AT_FIRST: usize = 16;
pub(crate) const KEYS: usize = 40;
/// Keys that only a burst of revocations touches: more than a head can name.
const SPARE_KEYS: usize = 80;
const RESOURCES: usize = 4;
const PERSONS: usize = 4;
/// From this one on they are external collaborators.
const FIRST_EXTERNAL: usize = 2;

/// One thing that can be so or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fact {
    Key(usize),
    Resource(usize),
    Membership(usize),
    Collaboration(usize),
    /// A person's session with this number.
    Session(usize, u32),
    ProjectInForce(u32),
    OrganizationInForce(u32),
    OpenToExternals(u32),
    WithinBudget(u32),
}

/// What is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Yes,
    No,
    Disabled,
    Revoked,
}

/// From this moment on, by this change, this is so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) at_ms: u64,
    pub(crate) generation: Generation,
    pub(crate) said: Said,
}

pub(crate) struct Key {
    pub(crate) text: String,
    id: KeyId,
    digest: KeyDigest,
    pub(crate) project: u32,
}

pub(crate) struct Person {
    pub(crate) identity: IdentityId,
    sessions: Vec<SessionId>,
    pub(crate) project: u32,
    pub(crate) is_external: bool,
}

/// The control plane's committed state. It outlives every crash.
pub(crate) struct Authority {
    pub(crate) content: Content,
    pub(crate) pepper: Pepper,
    pub(crate) mint: MintSecret,
    pub(crate) prefix: Prefix,
    pub(crate) generation: Generation,
    pub(crate) keys: Vec<Key>,
    pub(crate) persons: Vec<Person>,
    pub(crate) history: BTreeMap<Fact, Vec<Change>>,
    /// By change: the fact, and when it was committed.
    pub(crate) log: BTreeMap<Generation, (Fact, u64)>,
    dice: Dice,
}

impl Authority {
    pub(crate) fn new(random: &Random, now_ms: u64) -> Self {
        let pepper = Pepper::new([21; 32]);
        let mut authority = Self {
            content: Content::new(pepper.clone()),
            pepper,
            mint: MintSecret::new([22; 32]),
            prefix: Prefix::parse("lk").unwrap(),
            generation: Generation(100),
            keys: Vec::new(),
            persons: Vec::new(),
            history: BTreeMap::new(),
            log: BTreeMap::new(),
            dice: Dice::from_seed(&random.bytes()),
        };
        PROJECTS.into_iter().for_each(|number| authority.add_project(number));
        for at in 0..KEYS + SPARE_KEYS {
            authority.add_key(PROJECTS[at % PROJECTS.len()]);
        }
        for at in 0..PERSONS {
            authority.add_person(PROJECTS[at % PROJECTS.len()], at >= FIRST_EXTERNAL);
        }
        let at_first = (0..KEYS_AT_FIRST).chain(KEYS..KEYS + SPARE_KEYS).map(Fact::Key);
        let resources = (0..RESOURCES - 1).map(Fact::Resource);
        let people = (0..PERSONS).flat_map(|at| {
            let member = (at < FIRST_EXTERNAL).then_some(Fact::Membership(at));
            member.into_iter().chain([Fact::Collaboration(at)])
        });
        for fact in at_first.chain(resources).chain(people) {
            authority.commit(fact, Said::Yes, 0);
        }
        authority.history.values_mut().flatten().for_each(|change| change.at_ms = 0);
        authority.log.clear();
        let _ = (authority.content.take_touched(), now_ms);
        authority
    }

    fn add_project(&mut self, number: u32) {
        let (project, organization) = (ProjectNumber(number), organization_of(number));
        let slug = format!("project-{number}");
        let id = ProjectId::generate(&mut self.dice);
        for text in [slug.as_str(), id.to_string().as_str()] {
            self.content.put(Record::ProjectReference { text, project, organization });
        }
        let slug = Slug::parse(&slug).unwrap();
        let names = ProjectNames { number: project, organization, id, slug, name: "P".into() };
        self.content.put(Record::ProjectNames(names));
        let id = OrganizationId::generate(&mut self.dice);
        let names = OrganizationNames { number: organization, id, name: "O".into() };
        self.content.put(Record::OrganizationNames(names));
    }

    fn add_key(&mut self, project: u32) {
        let hint = organization_of(project).hint();
        let plain = PlainKey::generate(&self.prefix, hint, &self.mint, &mut self.dice);
        let text = plain.expose().to_owned();
        self.keys.push(Key { text, id: plain.id(), digest: plain.digest(), project });
    }

    fn add_person(&mut self, project: u32, is_external: bool) {
        let identity = IdentityId::generate(&mut self.dice);
        let sessions = vec![SessionId::generate(&mut self.dice)];
        self.persons.push(Person { identity, sessions, project, is_external });
    }

    pub(crate) fn key_query(&self, at: usize) -> Query {
        let Key { id, digest, .. } = &self.keys[at];
        Query::native_key(&self.pepper, *id, digest)
    }

    /// A key that was minted here and never granted.
    pub(crate) fn unsaid_key(&mut self) -> String {
        PlainKey::generate(&self.prefix, 77, &self.mint, &mut self.dice).expose().to_owned()
    }

    /// A key with a mint check of somebody else's.
    pub(crate) fn made_up_key(&mut self) -> String {
        PlainKey::generate(&self.prefix, 77, &MintSecret::new([99; 32]), &mut self.dice).expose().to_owned()
    }

    pub(crate) fn newest_session(&self, person: usize) -> u32 {
        self.persons[person].sessions.len() as u32 - 1
    }

    pub(crate) fn token(&self, person: usize, session: u32, now_ms: u64) -> String {
        // Some time ago, whatever the edge's clock says.
        let issued = UnixSeconds(UnixMillis(now_ms).seconds().0 / 60 * 60 - 60);
        let content = TokenContent {
            installation: INSTALLATION,
            session: self.persons[person].sessions[session as usize],
            identity: self.persons[person].identity,
            issued,
            expires: issued.plus_secs(600),
        };
        content.sign(&session_signer()).unwrap().expose().to_owned()
    }

    /// What is so now.
    pub(crate) fn said(&self, fact: Fact) -> Said {
        let absent = match fact {
            Fact::Key(_) | Fact::Resource(_) | Fact::Membership(_) | Fact::Collaboration(_) => Said::No,
            _ => Said::Yes,
        };
        self.history.get(&fact).and_then(|changes| changes.last()).map_or(absent, |change| change.said)
    }

    /// What a change made so.
    pub(crate) fn said_by(&self, fact: Fact, generation: Generation) -> Said {
        self.history[&fact].iter().find(|change| change.generation == generation).unwrap().said
    }

    /// Whether it is a change that a head can carry.
    pub(crate) fn rides(&self, fact: Fact, generation: Generation) -> bool {
        let is_waiting = matches!(fact, Fact::Resource(_) | Fact::OpenToExternals(_) | Fact::WithinBudget(_));
        !is_waiting && self.said_by(fact, generation) != Said::Yes
    }

    /// Everything that was so at some moment from `since_ms` on, and what the change of generation `known` and all
    /// before it had left.
    pub(crate) fn since(&self, fact: Fact, since_ms: u64, known: Generation) -> Vec<Said> {
        let empty = Vec::new();
        let changes = self.history.get(&fact).unwrap_or(&empty);
        let is_known = |change: &&Change| change.at_ms < since_ms || change.generation <= known;
        let before = changes.iter().rposition(|change| is_known(&change));
        let mut all: Vec<Said> = changes[before.unwrap_or(0)..].iter().map(|change| change.said).collect();
        if before.is_none() {
            all.push(match fact {
                Fact::Key(_) | Fact::Resource(_) | Fact::Membership(_) | Fact::Collaboration(_) => Said::No,
                _ => Said::Yes,
            });
        }
        all
    }

    /// Commits one change of chance, mostly of keys.
    pub(crate) fn change(&mut self, random: &Random, now_ms: u64) {
        let person = random.below(PERSONS as u64) as usize;
        let project = *random.pick(&PROJECTS);
        let is_refused = |fact: &Fact| {
            !matches!(fact, Fact::Session(..)) && matches!(self.said(*fact), Said::No | Said::Disabled)
        };
        let refused: Vec<Fact> = self.history.keys().copied().filter(is_refused).collect();
        if !refused.is_empty() && random.percent(50) {
            return self.commit(*random.pick(&refused), Said::Yes, now_ms);
        }
        let fact = match random.below(20) {
            0..=8 => Fact::Key(random.below(KEYS as u64) as usize),
            9..=10 => Fact::Resource(random.below(RESOURCES as u64) as usize),
            11 => Fact::Membership(random.below(FIRST_EXTERNAL as u64) as usize),
            12..=13 => Fact::Collaboration(person),
            14 => Fact::Session(person, self.newest_session(person)),
            15..=16 => Fact::ProjectInForce(project),
            17 => Fact::OrganizationInForce(organization_of(project).0),
            18 => Fact::OpenToExternals(project),
            _ => Fact::WithinBudget(project),
        };
        let said = match (fact, self.said(fact)) {
            (_, Said::Revoked) | (Fact::Session(..), Said::No) => return,
            (Fact::Key(_), Said::Yes) if random.percent(15) => Said::Revoked,
            (Fact::Key(_), Said::Yes) => Said::Disabled,
            (_, Said::Yes) => Said::No,
            (Fact::Key(_), Said::Disabled) if random.percent(10) => Said::Revoked,
            (_, Said::No | Said::Disabled) => Said::Yes,
        };
        self.commit(fact, said, now_ms);
    }

    /// The next of the spare keys that a burst revokes.
    pub(crate) fn revoke_spare(&mut self, now_ms: u64) -> bool {
        let next = (KEYS..self.keys.len()).map(Fact::Key).find(|fact| self.said(*fact) == Said::Yes);
        next.map(|fact| self.commit(fact, Said::Revoked, now_ms)).is_some()
    }

    pub(crate) fn commit(&mut self, fact: Fact, said: Said, now_ms: u64) {
        self.generation = self.generation.next();
        let change = Change { at_ms: now_ms, generation: self.generation, said };
        self.history.entry(fact).or_default().push(change);
        self.log.insert(self.generation, (fact, now_ms));
        let is_so = said == Said::Yes;
        match fact {
            Fact::Key(at) => self.put_key(at, said),
            Fact::Resource(at) if is_so => {
                let (project, id) = (resource_project(at), format!("r{at}"));
                self.content.put(Record::Resource {
                    resource: ResourceType::File,
                    id: ResourceId::parse(&id).unwrap(),
                    project: ProjectNumber(project),
                    organization: organization_of(project),
                });
            }
            Fact::Resource(at) => {
                let id = format!("r{at}");
                let project = ProjectNumber(resource_project(at));
                self.content.remove_resource(project, ResourceType::File, ResourceId::parse(&id).unwrap());
            }
            Fact::Membership(at) => {
                let (identity, organization) =
                    (self.persons[at].identity, organization_of(self.persons[at].project));
                if is_so {
                    let role = Role::Member;
                    self.content.put(Record::Membership { identity, organization, role });
                } else {
                    self.content.remove_membership(&identity, organization);
                }
            }
            Fact::Collaboration(at) => self.put_collaboration(at, is_so),
            Fact::Session(person, number) => {
                let session = self.persons[person].sessions[number as usize];
                let forget = ExpiryMinute::floor(UnixMillis(now_ms).seconds().plus_secs(3600)).unwrap();
                self.content.put(Record::EndedSession { session, forget });
                self.persons[person].sessions.push(SessionId::generate(&mut self.dice));
            }
            _ => {}
        }
    }

    fn put_key(&mut self, at: usize, said: Said) {
        let Key { id, digest, project, .. } = self.keys[at];
        let state = match said {
            Said::Yes | Said::No => KeyState::Active,
            Said::Disabled => KeyState::Disabled,
            Said::Revoked => KeyState::Revoked,
        };
        let binding = Binding {
            project: ProjectNumber(project),
            organization: organization_of(project),
            role: Some(Role::Member),
            permissions: PermissionSet::of_key(Role::Member),
        };
        let (expiry, out_of_budget, narrowing) = (None, false, None);
        self.content.put(Record::Key { id, digest, binding, expiry, state, out_of_budget, narrowing });
    }

    fn put_collaboration(&mut self, at: usize, is_so: bool) {
        let Person { identity, project, is_external, .. } = self.persons[at];
        let (organization, project) = (organization_of(project), ProjectNumber(project));
        if is_so {
            let role = Role::Member;
            let standing = if is_external { Standing::External { ends: None } } else { Standing::Member };
            self.content.put(Record::Collaboration { identity, project, organization, role, standing });
        } else {
            self.content.remove_collaboration(&identity, project);
        }
    }

    pub(crate) fn exceptions(&self) -> Exceptions {
        let refused = |fact: fn(u32) -> Fact| {
            PROJECTS.into_iter().filter(move |number| self.said(fact(*number)) != Said::Yes)
        };
        let suspended = PROJECTS.into_iter().map(|number| organization_of(number).0);
        let suspended = suspended.filter(|number| self.said(Fact::OrganizationInForce(*number)) != Said::Yes);
        Exceptions::default()
            .with_suspended(suspended.map(OrganizationNumber))
            .with_archived(refused(Fact::ProjectInForce).map(ProjectNumber))
            .with_closed_to_externals(refused(Fact::OpenToExternals).map(ProjectNumber))
            .with_projects_out_of_budget(refused(Fact::WithinBudget).map(ProjectNumber))
    }

    /// The fact as a head can refuse it, by what is so now; what a head cannot say, and what was given back since, must
    /// wait for a statement.
    pub(crate) fn refusal(&self, fact: Fact, committed: Said) -> Option<(InlineSubject, Reason)> {
        let said = self.said(fact);
        if committed == Said::Yes || said == Said::Yes {
            return None;
        }
        let tag = |query: Query| (InlineSubject::Tag(query.tag), Reason::Revoked);
        let pepper = &self.pepper;
        Some(match fact {
            Fact::Key(at) => {
                let reason = if said == Said::Revoked { Reason::Revoked } else { Reason::Disabled };
                (InlineSubject::Tag(self.key_query(at).tag), reason)
            }
            Fact::Membership(at) => {
                let person = &self.persons[at];
                tag(Query::membership(pepper, &person.identity, organization_of(person.project)))
            }
            Fact::Collaboration(at) => {
                let person = &self.persons[at];
                tag(Query::collaboration(pepper, &person.identity, ProjectNumber(person.project)))
            }
            Fact::Session(person, number) => {
                let session = self.persons[person].sessions[number as usize];
                tag(Query::ended_session(pepper, &session))
            }
            Fact::ProjectInForce(number) => {
                (InlineSubject::Project(ProjectNumber(number)), Reason::Suspended)
            }
            Fact::OrganizationInForce(number) => {
                (InlineSubject::Organization(OrganizationNumber(number)), Reason::Suspended)
            }
            Fact::Resource(_) | Fact::OpenToExternals(_) | Fact::WithinBudget(_) => return None,
        })
    }
}

pub(crate) fn organization_of(project: u32) -> OrganizationNumber {
    OrganizationNumber(project * 10)
}

pub(crate) fn resource_project(at: usize) -> u32 {
    PROJECTS[at % PROJECTS.len()]
}

pub(crate) fn session_signer() -> Signer {
    Signer::from_seed(&[6; 32])
}

pub(crate) fn session_keys() -> Vec<TokenKey> {
    let public = session_signer().public();
    vec![TokenKey { public, not_before: UnixSeconds(0), not_after: UnixSeconds(u64::MAX) }]
}

pub(crate) fn rules() -> Vec<Rule> {
    let rule = |method: &str, pattern: &str, permission: Permission| Rule {
        credentials: Credentials::Any,
        ..Rule::new(method, pattern, permission)
    };
    let file = Some(ResourceSource { resource: ResourceType::File, source: Source::Path("file".into()) });
    let mut rules = vec![
        rule("POST", "/v1/inference", Permission::InferenceInvoke),
        rule("GET", "/v1/files", Permission::FilesView),
        Rule { resource: file, ..rule("GET", "/v1/files/{file}", Permission::FilesRead) },
        Rule { freshness: Freshness::FreshOnly, ..rule("POST", "/v1/batches", Permission::BatchCreate) },
    ];
    rules.sort_by(|a, b| (&a.pattern, &a.method).cmp(&(&b.pattern, &b.method)));
    rules
}
