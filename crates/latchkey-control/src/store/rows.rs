//! How nouns lie in their tables: a version byte, then postcard of an image that only this file knows.
//!
//! A row that this program would not have written is refused: other version, trailing bytes, values that no
//! noun can have. The digest tables need no row for uniqueness of native keys: the id is part of the hashed text.

use super::error::StoreError;
use super::outbox::{Effect, Touch, Touched};
use crate::iam::{
    Collaboration, Email, Key, Membership, Name, OperatorToken, Organization, Project, Resource, Session,
    SlugHolder, TokenDigest, User, Visibility,
};
use latchkey_core::{
    ExpiryMinute, KeyDigest, KeyId, OrganizationId, OrganizationNumber, ProjectId, ProjectNumber, ResourceId,
    ResourceType, Role, SessionId, Slug, UnixMillis, UserId,
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

type Body = [u8; 16];

#[derive(Serialize, Deserialize)]
pub(super) struct OrganizationImage {
    number: u32,
    id: Body,
    name: String,
    owner: Body,
    created_ms: u64,
    suspended_ms: Option<u64>,
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
    type Image = (Body, String, u64);
    const TABLE: &'static str = "users";

    fn image(&self) -> Self::Image {
        (*self.id.body(), self.email.as_str().to_owned(), self.created_at.0)
    }

    fn from_image((id, email, created_ms): Self::Image) -> Option<Self> {
        Some(Self {
            id: UserId::from_body(id)?,
            email: Email::parse(&email).ok()?,
            created_at: UnixMillis(created_ms),
        })
    }
}

impl Row for Membership {
    type Image = (u32, Body, u8);
    const TABLE: &'static str = "memberships";

    fn image(&self) -> Self::Image {
        (self.organization.0, *self.user.body(), self.role as u8)
    }

    fn from_image((organization, user, role): Self::Image) -> Option<Self> {
        Some(Self {
            organization: OrganizationNumber(organization),
            user: UserId::from_body(user)?,
            role: Role::from_byte(role)?,
        })
    }
}

impl Row for Collaboration {
    type Image = (u32, Body, u8, bool);
    const TABLE: &'static str = "collaborations";

    fn image(&self) -> Self::Image {
        (self.project.0, *self.user.body(), self.role as u8, self.is_external)
    }

    fn from_image((project, user, role, is_external): Self::Image) -> Option<Self> {
        Some(Self {
            project: ProjectNumber(project),
            user: UserId::from_body(user)?,
            role: Role::from_byte(role)?,
            is_external,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct SessionImage {
    id: Body,
    digest: [u8; 32],
    user: Body,
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
            created_at: UnixMillis(image.created_ms),
            expires_at: UnixMillis(image.expires_ms),
            revoked_at: image.revoked_ms.map(UnixMillis),
        })
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
    digest: [u8; 32],
    project: u32,
    name: String,
    role: u8,
    created_by: Body,
    created_ms: u64,
    expires_minute: Option<u32>,
    disabled_ms: Option<u64>,
    revoked_ms: Option<u64>,
}

impl Row for Key {
    type Image = KeyImage;
    const TABLE: &'static str = "keys";

    fn image(&self) -> KeyImage {
        KeyImage {
            id: self.id.number(),
            digest: self.digest.0,
            project: self.project.0,
            name: self.name.as_str().to_owned(),
            role: self.role as u8,
            created_by: *self.created_by.body(),
            created_ms: self.created_at.0,
            expires_minute: self.expires.map(|expiry| expiry.0),
            disabled_ms: self.disabled_at.map(|at| at.0),
            revoked_ms: self.revoked_at.map(|at| at.0),
        }
    }

    fn from_image(image: KeyImage) -> Option<Self> {
        Some(Self {
            id: KeyId::from_number(image.id),
            digest: KeyDigest(image.digest),
            project: ProjectNumber(image.project),
            name: Name::parse(&image.name).ok()?,
            role: Role::from_byte(image.role)?,
            created_by: UserId::from_body(image.created_by)?,
            created_at: UnixMillis(image.created_ms),
            expires: image.expires_minute.map(ExpiryMinute),
            disabled_at: image.disabled_ms.map(UnixMillis),
            revoked_at: image.revoked_ms.map(UnixMillis),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ResourceImage {
    kind: u8,
    id: String,
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
            project: ProjectNumber(image.project),
            created_at: UnixMillis(image.created_ms),
            deleted_at: image.deleted_ms.map(UnixMillis),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) enum TouchedImage {
    Organization(u32),
    Project(u32),
    Key(u64),
    Resource(u8, String),
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
        Touched::Key(id) => TouchedImage::Key(id.number()),
        Touched::Resource { kind, id } => TouchedImage::Resource(*kind as u8, id.clone()),
    }
}

fn touched(image: TouchedImage) -> Option<Touched> {
    Some(match image {
        TouchedImage::Organization(number) => Touched::Organization(OrganizationNumber(number)),
        TouchedImage::Project(number) => Touched::Project(ProjectNumber(number)),
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
