//! What restores hold: its rows, and the places they lie at.

use super::error::StoreError;
use super::rows::{Row, encode};
use super::tables::WriteTables;
use crate::iam::{Collaboration, Held, HeldPlace, HeldReason, HeldThing, Membership};
use latchkey_core::{KeyId, OrganizationNumber, ProjectNumber, UnixMillis};
use serde::{Deserialize, Serialize};

/// Where a held thing lies within its organization: a byte for what it is, then whose.
pub(super) fn held_place(place: HeldPlace) -> Vec<u8> {
    let numbered = |kind, number: ProjectNumber| [&[kind][..], &number.0.to_be_bytes()].concat();
    match place {
        HeldPlace::Key(id) => [&[KEY][..], &id.number().to_be_bytes()].concat(),
        HeldPlace::Membership(user) => [&[MEMBERSHIP][..], user.body()].concat(),
        HeldPlace::Collaboration(project, user) => {
            [&numbered(COLLABORATION, project)[..], user.body()].concat()
        }
        HeldPlace::Organization => vec![ORGANIZATION],
        HeldPlace::Project(number) => numbered(PROJECT, number),
        HeldPlace::Externals(number) => numbered(EXTERNALS, number),
    }
}

pub(super) fn put(tables: &mut WriteTables, held: &Held) -> Result<(), StoreError> {
    let place = held_place(held.place());
    tables.held.insert((held.organization.0, place.as_slice()), encode(held)?.as_slice())?;
    Ok(())
}

#[derive(Serialize, Deserialize)]
pub(super) struct HeldImage {
    organization: u32,
    kind: u8,
    number: u64,
    membership: Option<<Membership as Row>::Image>,
    collaboration: Option<<Collaboration as Row>::Image>,
    disabled_ms: Option<u64>,
    why: u8,
    at_ms: u64,
}

impl Row for Held {
    type Image = HeldImage;
    const TABLE: &'static str = "held";

    fn image(&self) -> HeldImage {
        let (kind, number) = match &self.what {
            HeldThing::Key(id, _) => (KEY, id.number()),
            HeldThing::Membership(_) => (MEMBERSHIP, 0),
            HeldThing::Collaboration(_) => (COLLABORATION, 0),
            HeldThing::Organization => (ORGANIZATION, 0),
            HeldThing::Project(number) => (PROJECT, u64::from(number.0)),
            HeldThing::Externals(number) => (EXTERNALS, u64::from(number.0)),
        };
        let (mut membership, mut collaboration, mut disabled_ms) = (None, None, None);
        match &self.what {
            HeldThing::Key(_, since) => disabled_ms = since.map(|at| at.0),
            HeldThing::Membership(one) => membership = Some(one.image()),
            HeldThing::Collaboration(one) => collaboration = Some(one.image()),
            _ => {}
        }
        let (organization, why, at_ms) = (self.organization.0, self.why as u8, self.at.0);
        HeldImage { organization, kind, number, membership, collaboration, disabled_ms, why, at_ms }
    }

    fn from_image(image: HeldImage) -> Option<Self> {
        let project = || u32::try_from(image.number).ok().map(ProjectNumber);
        let what = match image.kind {
            KEY => HeldThing::Key(KeyId::from_number(image.number), image.disabled_ms.map(UnixMillis)),
            MEMBERSHIP => HeldThing::Membership(Membership::from_image(image.membership?)?),
            COLLABORATION => HeldThing::Collaboration(Collaboration::from_image(image.collaboration?)?),
            ORGANIZATION => HeldThing::Organization,
            PROJECT => HeldThing::Project(project()?),
            EXTERNALS => HeldThing::Externals(project()?),
            _ => return None,
        };
        let why = HeldReason::ALL.into_iter().find(|why| *why as u8 == image.why)?;
        Some(Self {
            organization: OrganizationNumber(image.organization),
            what,
            why,
            at: UnixMillis(image.at_ms),
        })
    }
}

const KEY: u8 = 1;
const MEMBERSHIP: u8 = 2;
const COLLABORATION: u8 = 3;
const ORGANIZATION: u8 = 4;
const PROJECT: u8 = 5;
const EXTERNALS: u8 = 6;
