//! More nouns in their tables, as `rows` says: identities, invitations, offers, departures, notices, budgets, usage.

use super::rows::{Body, Row};
use crate::iam::narrowing::{ModelPattern, ResourcePattern};
use crate::iam::{
    Amount, BatchOutcome, Budget, BudgetPeriod, BudgetScope, Departure, Email, Identity, Invitation,
    InvitationOutcome, InvitedInto, Narrowing, Notice, NoticeKind, OwnershipOffer, ReportedSubject,
    TokenDigest, UsageBatch, UsageLine, UsageSubject, UsageToken,
};
use latchkey_core::{
    ExpiryMinute, IdentityId, InvitationId, KeyId, Matching, Network, OrganizationNumber, PermissionSet,
    ProjectNumber, ResourceType, Role, UnixMillis, UserId,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(super) struct NarrowingImage {
    permissions: Option<u128>,
    resources: Vec<(u8, bool, String)>,
    models: Vec<(bool, String)>,
    networks: Vec<String>,
    rate_per_minute: Option<u32>,
}

pub(super) fn narrowing_image(narrowing: &Narrowing) -> Option<NarrowingImage> {
    let is_prefix = |matching| matching == Matching::Prefix;
    let resources =
        narrowing.resources.iter().map(|one| (one.kind as u8, is_prefix(one.matching), one.text.clone()));
    let models = narrowing.models.iter().map(|one| (is_prefix(one.matching), one.text.clone()));
    (*narrowing != Narrowing::default()).then(|| NarrowingImage {
        permissions: narrowing.permissions.map(PermissionSet::bits),
        resources: resources.collect(),
        models: models.collect(),
        networks: narrowing.networks.iter().map(ToString::to_string).collect(),
        rate_per_minute: narrowing.rate_per_minute,
    })
}

pub(super) fn narrowing(image: Option<NarrowingImage>) -> Option<Narrowing> {
    let Some(image) = image else { return Some(Narrowing::default()) };
    let matching = |is_prefix| if is_prefix { Matching::Prefix } else { Matching::Exact };
    let resource = |(kind, is_prefix, text)| {
        Some(ResourcePattern { kind: ResourceType::from_byte(kind)?, matching: matching(is_prefix), text })
    };
    let model = |(is_prefix, text)| ModelPattern { matching: matching(is_prefix), text };
    let permissions = match image.permissions {
        Some(bits) => Some(PermissionSet::from_bits(bits)?),
        None => None,
    };
    Some(Narrowing {
        permissions,
        resources: image.resources.into_iter().map(resource).collect::<Option<_>>()?,
        models: image.models.into_iter().map(model).collect(),
        networks: image.networks.iter().map(|text| Network::parse(text).ok()).collect::<Option<_>>()?,
        rate_per_minute: image.rate_per_minute,
    })
}

impl Row for Identity {
    type Image = (Body, Body, String, String, u64);
    const TABLE: &'static str = "identities";

    fn image(&self) -> Self::Image {
        let (id, user) = (*self.id.body(), *self.user.body());
        (id, user, self.provider.clone(), self.subject.clone(), self.created_at.0)
    }

    fn from_image((id, user, provider, subject, created_ms): Self::Image) -> Option<Self> {
        let (id, user) = (IdentityId::from_body(id)?, UserId::from_body(user)?);
        Some(Self { id, user, provider, subject, created_at: UnixMillis(created_ms) })
    }
}

impl Row for Departure {
    type Image = (u32, Body, u64);
    const TABLE: &'static str = "departures";

    fn image(&self) -> Self::Image {
        (self.organization.0, *self.user.body(), self.at.0)
    }

    fn from_image((organization, user, at_ms): Self::Image) -> Option<Self> {
        let organization = OrganizationNumber(organization);
        Some(Self { organization, user: UserId::from_body(user)?, at: UnixMillis(at_ms) })
    }
}

impl Row for OwnershipOffer {
    type Image = (u32, Body, Body, u64, u64);
    const TABLE: &'static str = "ownership_offers";

    fn image(&self) -> Self::Image {
        let (from, to) = (*self.from.body(), *self.to.body());
        (self.organization.0, from, to, self.created_at.0, self.expires_at.0)
    }

    fn from_image((organization, from, to, created_ms, expires_ms): Self::Image) -> Option<Self> {
        Some(Self {
            organization: OrganizationNumber(organization),
            from: UserId::from_body(from)?,
            to: UserId::from_body(to)?,
            created_at: UnixMillis(created_ms),
            expires_at: UnixMillis(expires_ms),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct InvitationImage {
    id: Body,
    organization: u32,
    project: Option<(u32, Option<u32>)>,
    role: u8,
    email: String,
    digest: [u8; 32],
    sender: Body,
    sender_identity: Body,
    sent_ms: u64,
    expires_ms: u64,
    accepted: Option<(Body, u64)>,
    cancelled_ms: Option<u64>,
}

impl Row for Invitation {
    type Image = InvitationImage;
    const TABLE: &'static str = "invitations";

    fn image(&self) -> InvitationImage {
        let (role, project) = match self.into {
            InvitedInto::Organization(role) => (role, None),
            InvitedInto::Project(project, role, ends) => (role, Some((project.0, ends.map(|end| end.0)))),
        };
        InvitationImage {
            id: *self.id.body(),
            organization: self.organization.0,
            project,
            role: role as u8,
            email: self.email.as_str().to_owned(),
            digest: self.digest.0,
            sender: *self.sender.body(),
            sender_identity: *self.sender_identity.body(),
            sent_ms: self.sent_at.0,
            expires_ms: self.expires_at.0,
            accepted: match self.outcome {
                InvitationOutcome::Accepted(user, at) => Some((*user.body(), at.0)),
                _ => None,
            },
            cancelled_ms: match self.outcome {
                InvitationOutcome::Cancelled(at) => Some(at.0),
                _ => None,
            },
        }
    }

    fn from_image(image: InvitationImage) -> Option<Self> {
        let role = Role::from_byte(image.role)?;
        let into = match image.project {
            None => InvitedInto::Organization(role),
            Some((project, ends)) => {
                InvitedInto::Project(ProjectNumber(project), role, ends.map(ExpiryMinute))
            }
        };
        let outcome = match (image.accepted, image.cancelled_ms) {
            (None, None) => InvitationOutcome::Pending,
            (Some((user, at)), None) => InvitationOutcome::Accepted(UserId::from_body(user)?, UnixMillis(at)),
            (None, Some(at)) => InvitationOutcome::Cancelled(UnixMillis(at)),
            (Some(_), Some(_)) => return None,
        };
        Some(Self {
            id: InvitationId::from_body(image.id)?,
            organization: OrganizationNumber(image.organization),
            into,
            email: Email::parse(&image.email).ok()?,
            digest: TokenDigest(image.digest),
            sender: UserId::from_body(image.sender)?,
            sender_identity: IdentityId::from_body(image.sender_identity)?,
            sent_at: UnixMillis(image.sent_ms),
            expires_at: UnixMillis(image.expires_ms),
            outcome,
        })
    }
}

impl Row for Notice {
    type Image = (u64, u32, Option<u32>, u8, String, u64);
    const TABLE: &'static str = "notices";

    fn image(&self) -> Self::Image {
        let project = self.project.map(|project| project.0);
        (self.number, self.organization.0, project, self.what as u8, self.subject.clone(), self.at.0)
    }

    fn from_image((number, organization, project, what, subject, at_ms): Self::Image) -> Option<Self> {
        Some(Self {
            number,
            organization: OrganizationNumber(organization),
            project: project.map(ProjectNumber),
            what: NoticeKind::ALL.into_iter().find(|kind| *kind as u8 == what)?,
            subject,
            at: UnixMillis(at_ms),
        })
    }
}

impl Row for UsageToken {
    type Image = (u32, String, [u8; 32], u64, Option<u64>);
    const TABLE: &'static str = "usage_tokens";

    fn image(&self) -> Self::Image {
        let revoked_ms = self.revoked_at.map(|at| at.0);
        (self.number, self.name.clone(), self.digest.0, self.created_at.0, revoked_ms)
    }

    fn from_image((number, name, digest, created_ms, revoked_ms): Self::Image) -> Option<Self> {
        let (created_at, revoked_at) = (UnixMillis(created_ms), revoked_ms.map(UnixMillis));
        Some(Self { number, name, digest: TokenDigest(digest), created_at, revoked_at })
    }
}

/// Where a budget lies: what kind of thing it covers, and that thing's number.
pub(super) const fn budget_place(scope: BudgetScope) -> (u8, u64) {
    match scope {
        BudgetScope::Organization(number) => (1, number.0 as u64),
        BudgetScope::Project(number) => (2, number.0 as u64),
        BudgetScope::Key(family) => (3, family.number()),
    }
}

pub(super) fn budget_scope(kind: u8, number: u64) -> Option<BudgetScope> {
    let small = u32::try_from(number);
    match kind {
        1 => small.ok().map(|number| BudgetScope::Organization(OrganizationNumber(number))),
        2 => small.ok().map(|number| BudgetScope::Project(ProjectNumber(number))),
        3 => Some(BudgetScope::Key(KeyId::from_number(number))),
        _ => None,
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct BudgetImage {
    scope: (u8, u64),
    requests_max: Option<u64>,
    cost_micros_max: Option<u64>,
    period: u8,
    period_day: u32,
    spent: (u64, u64),
}

impl Row for Budget {
    type Image = BudgetImage;
    const TABLE: &'static str = "budgets";

    fn image(&self) -> BudgetImage {
        BudgetImage {
            scope: budget_place(self.scope),
            requests_max: self.requests_max,
            cost_micros_max: self.cost_micros_max,
            period: self.period as u8,
            period_day: self.period_day,
            spent: (self.spent.requests, self.spent.cost_micros),
        }
    }

    fn from_image(image: BudgetImage) -> Option<Self> {
        let periods = [BudgetPeriod::Day, BudgetPeriod::Month, BudgetPeriod::Total];
        let (requests, cost_micros) = image.spent;
        Some(Self {
            scope: budget_scope(image.scope.0, image.scope.1)?,
            requests_max: image.requests_max,
            cost_micros_max: image.cost_micros_max,
            period: periods.into_iter().find(|period| *period as u8 == image.period)?,
            period_day: image.period_day,
            spent: Amount { requests, cost_micros },
        })
    }
}

/// The subject of use as a key of the usage table: its kind, then its id.
pub(super) fn subject_bytes(subject: UsageSubject) -> [u8; 17] {
    let mut bytes = [0; 17];
    match subject {
        UsageSubject::Key(id) => {
            bytes[0] = 1;
            bytes[1..9].copy_from_slice(&id.number().to_be_bytes());
        }
        UsageSubject::Person(id) => {
            bytes[0] = 2;
            bytes[1..].copy_from_slice(id.body());
        }
    }
    bytes
}

pub(super) fn subject(bytes: &[u8; 17]) -> Option<UsageSubject> {
    let (kind, id) = bytes.split_first()?;
    match kind {
        1 => {
            let (number, rest) = id.split_first_chunk()?;
            let id = KeyId::from_number(u64::from_be_bytes(*number));
            rest.iter().all(|byte| *byte == 0).then_some(UsageSubject::Key(id))
        }
        2 => UserId::from_body(id.try_into().ok()?).map(UsageSubject::Person),
        _ => None,
    }
}

type LineImage = (u32, u32, SubjectImage, String, u64, u64);

#[derive(Serialize, Deserialize)]
pub(super) enum SubjectImage {
    Key(u64),
    Identity(Body),
}

fn line_image(line: &UsageLine) -> LineImage {
    let subject = match line.subject {
        ReportedSubject::Key(id) => SubjectImage::Key(id.number()),
        ReportedSubject::Identity(id) => SubjectImage::Identity(*id.body()),
    };
    (line.project.0, line.day, subject, line.permission.clone(), line.requests, line.last_at.0)
}

fn line((project, day, subject, permission, requests, last_ms): LineImage) -> Option<UsageLine> {
    let subject = match subject {
        SubjectImage::Key(number) => ReportedSubject::Key(KeyId::from_number(number)),
        SubjectImage::Identity(body) => ReportedSubject::Identity(IdentityId::from_body(body)?),
    };
    let (project, last_at) = (ProjectNumber(project), UnixMillis(last_ms));
    Some(UsageLine { subject, project, permission, day, requests, last_at })
}

#[derive(Serialize, Deserialize)]
pub(super) struct UsageBatchImage {
    id: Body,
    reporter: String,
    received_ms: u64,
    outcome: OutcomeImage,
    lines: Vec<LineImage>,
}

#[derive(Serialize, Deserialize)]
pub(super) enum OutcomeImage {
    Counted(u64),
    Held(String),
    Discarded,
}

impl Row for UsageBatch {
    type Image = UsageBatchImage;
    const TABLE: &'static str = "usage_batches";

    fn image(&self) -> UsageBatchImage {
        let outcome = match &self.outcome {
            BatchOutcome::Counted(at) => OutcomeImage::Counted(at.0),
            BatchOutcome::Held(reason) => OutcomeImage::Held(reason.clone()),
            BatchOutcome::Discarded => OutcomeImage::Discarded,
        };
        UsageBatchImage {
            id: self.id,
            reporter: self.reporter.clone(),
            received_ms: self.received_at.0,
            outcome,
            lines: self.lines.iter().map(line_image).collect(),
        }
    }

    fn from_image(image: UsageBatchImage) -> Option<Self> {
        let outcome = match image.outcome {
            OutcomeImage::Counted(at) => BatchOutcome::Counted(UnixMillis(at)),
            OutcomeImage::Held(reason) => BatchOutcome::Held(reason),
            OutcomeImage::Discarded => BatchOutcome::Discarded,
        };
        Some(Self {
            id: image.id,
            reporter: image.reporter,
            received_at: UnixMillis(image.received_ms),
            outcome,
            lines: image.lines.into_iter().map(line).collect::<Option<_>>()?,
        })
    }
}
