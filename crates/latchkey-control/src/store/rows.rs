//! How nouns lie in their tables: a version byte, then postcard of an image that only this file knows.
//!
//! A row that this program would not have written is refused: other version, trailing bytes, values that no
//! noun can have. The digest tables need no row for uniqueness of native keys: the id is part of the hashed text.

use super::error::StoreError;
use super::images::{NarrowingImage, budget_place, budget_scope, narrowing, narrowing_image};
use super::outbox::{Effect, Touch, Touched};
use crate::iam::{
    Cluster, ClusterLogin, ClusterOidc, Collaboration, Contact, Email, JoinMethod, Key, KeyPolicy, KeyProof,
    Membership, Name, OperatorToken, Organization, Project, Resource, ResourceDetail, RuleSet, Session,
    Settings, SlugHolder, TokenDigest, User, Visibility,
};
use latchkey_core::{
    ExpiryMinute, Generation, IdentityId, ImportedDigest, KeyDigest, KeyId, OrganizationId,
    OrganizationNumber, ProjectId, ProjectNumber, ResourceId, ResourceType, Role, SessionId, Slug,
    UnixMillis, UserId,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The row's bytes.
pub(super) fn encode<R: Row>(noun: &R) -> Result<Vec<u8>, StoreError> {
    postcard::to_extend(&noun.image(), vec![ROW_VERSION]).map_err(|_| StoreError::Corrupt(R::TABLE))
}

/// The noun that the bytes hold.
pub(super) fn decode<R: Row>(bytes: &[u8]) -> Result<R, StoreError> {
    let image = match bytes.split_first() {
        Some((&ROW_VERSION, image)) => postcard::take_from_bytes::<R::Image>(image).ok(),
        _ => None,
    };
    image
        .filter(|(_, rest)| rest.is_empty())
        .and_then(|(image, _)| R::from_image(image))
        .ok_or(StoreError::Corrupt(R::TABLE))
}

const ROW_VERSION: u8 = 1;

/// A noun with an image in a table.
pub(super) trait Row: Sized {
    /// What is written.
    type Image: Serialize + DeserializeOwned;
    /// The table, for errors.
    const TABLE: &'static str;
    fn image(&self) -> Self::Image;
    fn from_image(image: Self::Image) -> Option<Self>;
}

pub(super) type Body = [u8; 16];

#[derive(Serialize, Deserialize)]
pub(super) struct OrganizationImage {
    number: u32,
    id: Body,
    name: String,
    owner: Body,
    created_ms: u64,
    suspended_ms: Option<u64>,
    settings: SettingsImage,
    imports_keys: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SettingsImage {
    join_method: u8,
    session_minutes: u32,
    lifetime_minutes_max: Option<u32>,
    expiry_required: bool,
    idle_days_max: Option<u16>,
    warning_days: Option<u16>,
}

fn settings_image(settings: &Settings) -> SettingsImage {
    SettingsImage {
        join_method: settings.join_method as u8,
        session_minutes: settings.session_minutes,
        lifetime_minutes_max: settings.keys.lifetime_minutes_max,
        expiry_required: settings.keys.expiry_required,
        idle_days_max: settings.keys.idle_days_max,
        warning_days: settings.keys.warning_days,
    }
}

fn settings(image: &SettingsImage) -> Option<Settings> {
    let join_method =
        [JoinMethod::Invitation, JoinMethod::Sso].into_iter().find(|one| *one as u8 == image.join_method)?;
    let keys = KeyPolicy {
        lifetime_minutes_max: image.lifetime_minutes_max,
        expiry_required: image.expiry_required,
        idle_days_max: image.idle_days_max,
        warning_days: image.warning_days,
    };
    Some(Settings { join_method, session_minutes: image.session_minutes, keys })
}

impl Row for Organization {
    type Image = OrganizationImage;
    const TABLE: &'static str = "organizations";

    fn image(&self) -> OrganizationImage {
        OrganizationImage {
            number: self.number.0,
            id: *self.id.body(),
            name: self.name.as_str().to_owned(),
            owner: *self.owner.body(),
            created_ms: self.created_at.0,
            suspended_ms: self.suspended_at.map(|at| at.0),
            settings: settings_image(&self.settings),
            imports_keys: self.imports_keys,
        }
    }

    fn from_image(image: OrganizationImage) -> Option<Self> {
        Some(Self {
            number: OrganizationNumber(image.number),
            id: OrganizationId::from_body(image.id)?,
            name: Name::parse(&image.name).ok()?,
            owner: UserId::from_body(image.owner)?,
            created_at: UnixMillis(image.created_ms),
            suspended_at: image.suspended_ms.map(UnixMillis),
            settings: settings(&image.settings)?,
            imports_keys: image.imports_keys,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ProjectImage {
    number: u32,
    id: Body,
    organization: u32,
    name: String,
    slug: String,
    visibility: u8,
    allows_external: bool,
    is_default: bool,
    created_ms: u64,
    archived_ms: Option<u64>,
    deleted_ms: Option<u64>,
}

impl Row for Project {
    type Image = ProjectImage;
    const TABLE: &'static str = "projects";

    fn image(&self) -> ProjectImage {
        ProjectImage {
            number: self.number.0,
            id: *self.id.body(),
            organization: self.organization.0,
            name: self.name.as_str().to_owned(),
            slug: self.slug.as_str().to_owned(),
            visibility: self.visibility as u8,
            allows_external: self.allows_external,
            is_default: self.is_default,
            created_ms: self.created_at.0,
            archived_ms: self.archived_at.map(|at| at.0),
            deleted_ms: self.deleted_at.map(|at| at.0),
        }
    }

    fn from_image(image: ProjectImage) -> Option<Self> {
        Some(Self {
            number: ProjectNumber(image.number),
            id: ProjectId::from_body(image.id)?,
            organization: OrganizationNumber(image.organization),
            name: Name::parse(&image.name).ok()?,
            slug: Slug::parse(&image.slug).ok()?,
            visibility: visibility(image.visibility)?,
            allows_external: image.allows_external,
            is_default: image.is_default,
            created_at: UnixMillis(image.created_ms),
            archived_at: image.archived_ms.map(UnixMillis),
            deleted_at: image.deleted_ms.map(UnixMillis),
        })
    }
}

fn visibility(byte: u8) -> Option<Visibility> {
    [Visibility::Open, Visibility::Closed, Visibility::Private].into_iter().find(|one| *one as u8 == byte)
}

impl Row for SlugHolder {
    type Image = (u32, Option<u32>);
    const TABLE: &'static str = "slugs";

    fn image(&self) -> Self::Image {
        (self.organization.0, self.project.map(|project| project.0))
    }

    fn from_image((organization, project): Self::Image) -> Option<Self> {
        Some(Self { organization: OrganizationNumber(organization), project: project.map(ProjectNumber) })
    }
}

impl Row for User {
    type Image = (Body, bool, String, u64);
    const TABLE: &'static str = "users";

    fn image(&self) -> Self::Image {
        let text = match &self.contact {
            Contact::Person(email) => email.as_str(),
            Contact::Service(name) => name.as_str(),
        };
        (*self.id.body(), self.is_service(), text.to_owned(), self.created_at.0)
    }

    fn from_image((id, is_service, text, created_ms): Self::Image) -> Option<Self> {
        let contact = if is_service {
            Contact::Service(Name::parse(&text).ok()?)
        } else {
            Contact::Person(Email::parse(&text).ok()?)
        };
        Some(Self { id: UserId::from_body(id)?, contact, created_at: UnixMillis(created_ms) })
    }
}

impl Row for Membership {
    type Image = (u32, Body, u8, Body, u64);
    const TABLE: &'static str = "memberships";

    fn image(&self) -> Self::Image {
        let (user, identity) = (*self.user.body(), *self.identity.body());
        (self.organization.0, user, self.role as u8, identity, self.joined_at.0)
    }

    fn from_image((organization, user, role, identity, joined_ms): Self::Image) -> Option<Self> {
        Some(Self {
            organization: OrganizationNumber(organization),
            user: UserId::from_body(user)?,
            role: Role::from_byte(role)?,
            identity: IdentityId::from_body(identity)?,
            joined_at: UnixMillis(joined_ms),
        })
    }
}

impl Row for Collaboration {
    type Image = (u32, Body, u8, bool, Body, u64, Option<u32>);
    const TABLE: &'static str = "collaborations";

    fn image(&self) -> Self::Image {
        let (user, identity) = (*self.user.body(), *self.identity.body());
        let ends_minute = self.ends_at.map(|end| end.0);
        (self.project.0, user, self.role as u8, self.is_external, identity, self.added_at.0, ends_minute)
    }

    fn from_image(image: Self::Image) -> Option<Self> {
        let (project, user, role, is_external, identity, added_ms, ends_minute) = image;
        Some(Self {
            project: ProjectNumber(project),
            user: UserId::from_body(user)?,
            role: Role::from_byte(role)?,
            is_external,
            identity: IdentityId::from_body(identity)?,
            added_at: UnixMillis(added_ms),
            ends_at: ends_minute.map(ExpiryMinute),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct SessionImage {
    id: Body,
    digest: [u8; 32],
    user: Body,
    identity: Body,
    is_service: bool,
    created_ms: u64,
    expires_ms: u64,
    revoked_ms: Option<u64>,
}

impl Row for Session {
    type Image = SessionImage;
    const TABLE: &'static str = "sessions";

    fn image(&self) -> SessionImage {
        SessionImage {
            id: *self.id.body(),
            digest: self.digest.0,
            user: *self.user.body(),
            identity: *self.identity.body(),
            is_service: self.is_service,
            created_ms: self.created_at.0,
            expires_ms: self.expires_at.0,
            revoked_ms: self.revoked_at.map(|at| at.0),
        }
    }

    fn from_image(image: SessionImage) -> Option<Self> {
        Some(Self {
            id: SessionId::from_body(image.id)?,
            digest: TokenDigest(image.digest),
            user: UserId::from_body(image.user)?,
            identity: IdentityId::from_body(image.identity)?,
            is_service: image.is_service,
            created_at: UnixMillis(image.created_ms),
            expires_at: UnixMillis(image.expires_ms),
            revoked_at: image.revoked_ms.map(UnixMillis),
        })
    }
}

impl Row for RuleSet {
    type Image = (u64, [u8; 32], u32, [u8; 32], u64, u64);
    const TABLE: &'static str = "rule_sets";

    fn image(&self) -> Self::Image {
        let Self { number, version, rules, text_digest, applied_at, generation } = self;
        (*number, *version, *rules, *text_digest, applied_at.0, generation.0)
    }

    fn from_image(
        (number, version, rules, text_digest, applied_ms, generation): Self::Image,
    ) -> Option<Self> {
        let (applied_at, generation) = (UnixMillis(applied_ms), Generation(generation));
        Some(Self { number, version, rules, text_digest, applied_at, generation })
    }
}

impl Row for OperatorToken {
    type Image = (u32, String, [u8; 32], u64);
    const TABLE: &'static str = "operator_tokens";

    fn image(&self) -> Self::Image {
        (self.number, self.name.clone(), self.digest.0, self.created_at.0)
    }

    fn from_image((number, name, digest, created_ms): Self::Image) -> Option<Self> {
        Some(Self { number, name, digest: TokenDigest(digest), created_at: UnixMillis(created_ms) })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct KeyImage {
    id: u64,
    is_imported: bool,
    digest: [u8; 32],
    project: u32,
    name: String,
    role: u8,
    narrowing: Option<NarrowingImage>,
    family: u64,
    predecessor: Option<u64>,
    successor: Option<u64>,
    created_by: Body,
    created_ms: u64,
    expires_minute: Option<u32>,
    disabled_ms: Option<u64>,
    enabled_ms: Option<u64>,
    warned_minute: Option<u32>,
    revoked_ms: Option<u64>,
}

impl Row for Key {
    type Image = KeyImage;
    const TABLE: &'static str = "keys";

    fn image(&self) -> KeyImage {
        KeyImage {
            id: self.id.number(),
            is_imported: matches!(self.proof, KeyProof::Imported(_)),
            digest: match self.proof {
                KeyProof::Native(digest) => digest.0,
                KeyProof::Imported(digest) => digest.0,
            },
            project: self.project.0,
            name: self.name.as_str().to_owned(),
            role: self.role as u8,
            narrowing: narrowing_image(&self.narrowing),
            family: self.family.number(),
            predecessor: self.predecessor.map(KeyId::number),
            successor: self.successor.map(KeyId::number),
            created_by: *self.created_by.body(),
            created_ms: self.created_at.0,
            expires_minute: self.expires.map(|expiry| expiry.0),
            disabled_ms: self.disabled_at.map(|at| at.0),
            enabled_ms: self.enabled_at.map(|at| at.0),
            warned_minute: self.warned_of.map(|expiry| expiry.0),
            revoked_ms: self.revoked_at.map(|at| at.0),
        }
    }

    fn from_image(image: KeyImage) -> Option<Self> {
        Some(Self {
            id: KeyId::from_number(image.id),
            proof: if image.is_imported {
                KeyProof::Imported(ImportedDigest(image.digest))
            } else {
                KeyProof::Native(KeyDigest(image.digest))
            },
            project: ProjectNumber(image.project),
            name: Name::parse(&image.name).ok()?,
            role: Role::from_byte(image.role)?,
            narrowing: narrowing(image.narrowing)?,
            family: KeyId::from_number(image.family),
            predecessor: image.predecessor.map(KeyId::from_number),
            successor: image.successor.map(KeyId::from_number),
            created_by: UserId::from_body(image.created_by)?,
            created_at: UnixMillis(image.created_ms),
            expires: image.expires_minute.map(ExpiryMinute),
            disabled_at: image.disabled_ms.map(UnixMillis),
            enabled_at: image.enabled_ms.map(UnixMillis),
            warned_of: image.warned_minute.map(ExpiryMinute),
            revoked_at: image.revoked_ms.map(UnixMillis),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ResourceImage {
    kind: u8,
    id: String,
    name: String,
    cluster: Option<ClusterImage>,
    project: u32,
    created_ms: u64,
    deleted_ms: Option<u64>,
}

impl Row for Resource {
    type Image = ResourceImage;
    const TABLE: &'static str = "resources";

    fn image(&self) -> ResourceImage {
        ResourceImage {
            kind: self.kind as u8,
            id: self.id.clone(),
            name: self.name.as_str().to_owned(),
            cluster: match &self.detail {
                ResourceDetail::None => None,
                ResourceDetail::Cluster(cluster) => Some(cluster_image(cluster)),
            },
            project: self.project.0,
            created_ms: self.created_at.0,
            deleted_ms: self.deleted_at.map(|at| at.0),
        }
    }

    fn from_image(image: ResourceImage) -> Option<Self> {
        ResourceId::parse(&image.id).ok()?;
        Some(Self {
            kind: ResourceType::from_byte(image.kind)?,
            id: image.id,
            name: Name::parse(&image.name).ok()?,
            detail: image.cluster.map_or(ResourceDetail::None, |one| ResourceDetail::Cluster(cluster(one))),
            project: ProjectNumber(image.project),
            created_at: UnixMillis(image.created_ms),
            deleted_at: image.deleted_ms.map(UnixMillis),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ClusterImage {
    server: String,
    certificate_authority: String,
    oidc: Option<(String, String)>,
    login: Option<(String, Vec<String>)>,
}

fn cluster_image(cluster: &Cluster) -> ClusterImage {
    ClusterImage {
        server: cluster.server.clone(),
        certificate_authority: cluster.certificate_authority.clone(),
        oidc: cluster.oidc.as_ref().map(|oidc| (oidc.issuer.clone(), oidc.client_id.clone())),
        login: cluster.login.as_ref().map(|login| (login.command.clone(), login.arguments.clone())),
    }
}

fn cluster(image: ClusterImage) -> Cluster {
    let oidc = image.oidc.map(|(issuer, client_id)| ClusterOidc { issuer, client_id });
    let login = image.login.map(|(command, arguments)| ClusterLogin { command, arguments });
    Cluster { server: image.server, certificate_authority: image.certificate_authority, oidc, login }
}

#[derive(Serialize, Deserialize)]
pub(super) enum TouchedImage {
    Organization(u32),
    Project(u32),
    Membership(u32, Body),
    Collaboration(u32, Body),
    Session(Body),
    Key(u64),
    Resource(u8, String),
    Budget(u8, u64),
}

impl Row for Vec<Touch> {
    type Image = Vec<(TouchedImage, bool)>;
    const TABLE: &'static str = "outbox";

    fn image(&self) -> Self::Image {
        self.iter().map(|touch| (touched_image(&touch.noun), touch.effect == Effect::Refuses)).collect()
    }

    fn from_image(image: Self::Image) -> Option<Self> {
        let touch = |(noun, refuses)| {
            let effect = if refuses { Effect::Refuses } else { Effect::Grants };
            Some(Touch { noun: touched(noun)?, effect })
        };
        image.into_iter().map(touch).collect()
    }
}

fn touched_image(noun: &Touched) -> TouchedImage {
    match noun {
        Touched::Organization(number) => TouchedImage::Organization(number.0),
        Touched::Project(number) => TouchedImage::Project(number.0),
        Touched::Membership(organization, identity) => {
            TouchedImage::Membership(organization.0, *identity.body())
        }
        Touched::Collaboration(project, identity) => TouchedImage::Collaboration(project.0, *identity.body()),
        Touched::Session(id) => TouchedImage::Session(*id.body()),
        Touched::Key(id) => TouchedImage::Key(id.number()),
        Touched::Resource { kind, id } => TouchedImage::Resource(*kind as u8, id.clone()),
        Touched::Budget(scope) => {
            let (kind, number) = budget_place(*scope);
            TouchedImage::Budget(kind, number)
        }
    }
}

fn touched(image: TouchedImage) -> Option<Touched> {
    Some(match image {
        TouchedImage::Organization(number) => Touched::Organization(OrganizationNumber(number)),
        TouchedImage::Project(number) => Touched::Project(ProjectNumber(number)),
        TouchedImage::Membership(organization, identity) => {
            Touched::Membership(OrganizationNumber(organization), IdentityId::from_body(identity)?)
        }
        TouchedImage::Collaboration(project, identity) => {
            Touched::Collaboration(ProjectNumber(project), IdentityId::from_body(identity)?)
        }
        TouchedImage::Session(id) => Touched::Session(SessionId::from_body(id)?),
        TouchedImage::Budget(kind, number) => Touched::Budget(budget_scope(kind, number)?),
        TouchedImage::Key(number) => Touched::Key(KeyId::from_number(number)),
        TouchedImage::Resource(kind, id) => Touched::Resource { kind: ResourceType::from_byte(kind)?, id },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_that_was_not_written_so_is_refused() {
        let holder = SlugHolder { organization: OrganizationNumber(300), project: None };
        let good = encode(&holder).unwrap();
        assert_eq!(decode::<SlugHolder>(&good).unwrap(), holder);
        let mut other_version = good.clone();
        other_version[0] = 2;
        let mut longer = good.clone();
        longer.push(0);
        for bad in [&[][..], &good[..good.len() - 1], &other_version, &longer] {
            assert!(decode::<SlugHolder>(bad).is_err(), "{bad:?}");
        }
    }
}
