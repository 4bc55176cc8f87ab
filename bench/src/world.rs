//! The data set: projects, keys and files, all following from one seed.

use crate::stock::Stock;
use anyhow::Result;
use latchkey_control::iam;
use latchkey_control::store::Change;
use latchkey_core::key::Prefix;
use latchkey_core::{
    Dice, ExpiryMinute, KeyDigest, KeyId, MintSecret, OrganizationId, OrganizationNumber, Pepper, Permission,
    PermissionSet, PlainKey, ProjectId, ProjectNumber, ResourceId, ResourceType, Role, Slug, UnixMillis,
};
use latchkey_snapshot::build::{Content, Record};
use latchkey_snapshot::{Binding, KeyState, OrganizationNames, ProjectNames};

/// The moment at which everything happens.
pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
pub(crate) const NOW_MINUTE: u32 = 30_000_000;
const PREFIX: &str = "lk_live";
/// Characters of a key with this prefix.
pub(crate) const KEY_LEN: usize = 58;
const PROJECTS_PER_ORGANIZATION: u32 = 4;
/// Files that each project has.
pub(crate) const FILES_PER_PROJECT: u32 = 10;

/// Everything a control plane would know.
pub(crate) struct World {
    pub(crate) projects: Vec<Project>,
    pub(crate) keys: Vec<Key>,
}

pub(crate) struct Project {
    number: ProjectNumber,
    organization: OrganizationNumber,
    id: ProjectId,
    id_text: String,
    pub(crate) slug: String,
    /// The ids of its files, which no other project has.
    files: Vec<String>,
}

#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) text: [u8; KEY_LEN],
    pub(crate) id: KeyId,
    pub(crate) digest: KeyDigest,
    binding: Binding,
    expiry: Option<ExpiryMinute>,
    pub(crate) state: KeyState,
}

pub(crate) fn prefix() -> Result<Prefix> {
    Prefix::parse(PREFIX).map_err(|error| anyhow::anyhow!("{error}"))
}

pub(crate) fn pepper() -> Pepper {
    Pepper::new([0x55; 32])
}

pub(crate) fn mint() -> MintSecret {
    MintSecret::new([0x99; 32])
}

impl World {
    /// The data set of this size.
    pub(crate) fn new(projects: u32, keys_per_project: u32) -> Result<Self> {
        let mut dice = Dice::from_seed(&[0x11; 32]);
        let projects: Vec<Project> = (0..projects).map(|number| Project::new(number, &mut dice)).collect();
        let prefix = prefix()?;
        let mut keys = Vec::with_capacity(projects.len() * keys_per_project as usize);
        for project in &projects {
            keys.extend((0..keys_per_project).map(|_| Key::new(project, &prefix, &mut dice)));
        }
        Ok(Self { projects, keys })
    }

    /// Everything as the records that a snapshot is built from.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let of_projects = self.projects.iter().flat_map(Project::records);
        let organizations = self.firsts().map(Project::organization_names);
        self.keys.iter().map(Key::record).chain(of_projects).chain(organizations)
    }

    /// The first project of each organization.
    fn firsts(&self) -> impl Iterator<Item = &Project> {
        self.projects.iter().step_by(PROJECTS_PER_ORGANIZATION as usize)
    }

    /// Everything as rows of a store: first what the keys belong to, then the keys.
    pub(crate) fn changes(&self, stock: &Stock) -> Result<(Vec<Change>, impl Iterator<Item = Change>)> {
        let mut owners: Vec<Change> =
            self.firsts().map(|first| stock.organization(first.organization)).collect();
        for project in &self.projects {
            owners.push(stock.project(project.number, project.id, &project.slug, project.organization)?);
            owners.extend(project.files.iter().map(|id| stock.file(project.number, id)));
        }
        Ok((owners, self.keys.iter().map(|key| Change::Key(key.stored(stock)))))
    }

    /// Content that says all of it.
    pub(crate) fn content(&self) -> Content {
        let mut content = Content::new(pepper());
        content.load(self.records());
        content
    }

    /// The project of a key.
    pub(crate) fn project_of(&self, key: &Key) -> Option<&Project> {
        self.projects.get(key.binding.project.0 as usize)
    }

    /// Keys that are let in, drawn at random.
    pub(crate) fn draw<'a>(&'a self, dice: &'a mut Dice) -> impl Iterator<Item = &'a Key> {
        std::iter::repeat_with(|| {
            let random = u64::from_le_bytes(dice.bytes());
            ((u128::from(random) * self.keys.len() as u128) >> 64) as usize
        })
        .filter_map(|index| self.keys.get(index))
        .filter(|key| key.state == KeyState::Active)
    }
}

impl Project {
    fn new(number: u32, dice: &mut Dice) -> Self {
        let files = (0..FILES_PER_PROJECT).map(|file| file_id(number, file)).collect();
        Self { files, ..Self::of(number, OrganizationNumber(number / PROJECTS_PER_ORGANIZATION), dice) }
    }

    /// The project with this number, of this organization, without files.
    pub(crate) fn of(number: u32, organization: OrganizationNumber, dice: &mut Dice) -> Self {
        let (number, id) = (ProjectNumber(number), ProjectId::generate(dice));
        let (id_text, slug) = (id.to_string(), format!("project-{}", number.0));
        Self { number, organization, id, id_text, slug, files: Vec::new() }
    }

    /// What is said of it and of its files.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let (project, organization) = (self.number, self.organization);
        let references = [&self.id_text, &self.slug];
        let references =
            references.into_iter().map(move |text| Record::ProjectReference { text, project, organization });
        let file = move |id| Record::Resource { resource: ResourceType::File, id, project, organization };
        let files = self.files.iter().filter_map(|id| ResourceId::parse(id).ok()).map(file);
        references.chain(files).chain(self.names())
    }

    fn names(&self) -> Option<Record<'_>> {
        Some(Record::ProjectNames(ProjectNames {
            number: self.number,
            organization: self.organization,
            id: self.id,
            slug: Slug::parse(&self.slug).ok()?,
            name: format!("Project {}", self.number.0).into(),
        }))
    }

    /// What its organization is called.
    pub(crate) fn organization_names(&self) -> Record<'_> {
        let number = self.organization;
        let id = OrganizationId::generate(&mut Dice::from_seed(&[number.0 as u8; 32]));
        let name = format!("Organization {}", number.0).into();
        Record::OrganizationNames(OrganizationNames { number, id, name })
    }

    /// The path of one of its files.
    pub(crate) fn file_path(&self, file: u32) -> String {
        format!("/v1/projects/{}/files/{}", self.slug, file_id(self.number.0, file % FILES_PER_PROJECT))
    }
}

impl Key {
    /// One key in five is an admin's, one in ten is narrowed, one in three expires, one in fifty is out of force.
    fn new(project: &Project, prefix: &Prefix, dice: &mut Dice) -> Self {
        let organization = project.organization;
        let plain = PlainKey::generate(prefix, organization.hint(), &mint(), dice);
        let [role, narrowed, expires, state, after, ..] = dice.bytes::<8>();
        let role = if role % 5 == 0 { Role::Admin } else { Role::Member };
        let permissions = if narrowed % 10 == 0 { narrow() } else { PermissionSet::of_key(role) };
        let mut text = [0; KEY_LEN];
        text.copy_from_slice(plain.expose().as_bytes());
        Self {
            text,
            id: plain.id(),
            digest: plain.digest(),
            binding: Binding { project: project.number, organization, role: Some(role), permissions },
            expiry: (expires % 3 == 0).then_some(ExpiryMinute(NOW_MINUTE + 1440 * (1 + u32::from(after)))),
            state: if state % 50 == 0 { KeyState::Revoked } else { KeyState::Active },
        }
    }

    /// The key as a store has it.
    pub(crate) fn stored(&self, stock: &Stock) -> iam::Key {
        stock.key(self.id, self.digest, &self.binding, self.expiry, self.state)
    }

    pub(crate) fn record(&self) -> Record<'_> {
        let Self { id, digest, binding, expiry, state, .. } = *self;
        Record::Key { id, digest, binding, expiry, state, out_of_budget: false, narrowing: None }
    }
}

fn file_id(project: u32, file: u32) -> String {
    format!("file-{project:06}{file:02}")
}

/// What a narrowed key of the data set may do.
pub(crate) const fn narrow() -> PermissionSet {
    PermissionSet::EMPTY
        .with(Permission::InferenceInvoke)
        .with(Permission::FilesRead)
        .with(Permission::ModelsView)
}
