//! A caller's question: who asks, when, on which view; and what they are to the thing they ask about.

use super::error::{AppError, Ended};
use super::manners::Manners;
use crate::iam::{
    Actor, Caller, Collaboration, Demand, Key, KeyProof, KeyState, Membership, OperatorAct, Organization,
    Permit, PlainToken, Project, Session, Standing, TokenDigest, TokenKind, authorize,
};
use crate::store::{AuditEntry, StoreError, View};
use latchkey_core::{
    IdentityId, ImportedDigest, KeyDigest, KeyId, KeyText, OrganizationId, Permission, Prefix, ProjectId,
    ProjectNumber, Role, Slug, UnixMillis, UserId,
};
use std::net::IpAddr;

/// A well-formed credential that nobody has looked up yet, and where it came from.
#[derive(Debug, Clone)]
pub struct Asker {
    proof: Proof,
    from: Option<IpAddr>,
    manners: Manners,
}

/// What a credential is looked up by.
#[derive(Debug, Clone)]
enum Proof {
    Token(TokenKind, TokenDigest),
    Native(KeyId, KeyDigest),
    Imported(ImportedDigest),
}

impl Asker {
    /// Whoever holds this credential: a token, a key of this installation, or one that may have been imported.
    /// `None` if it is none of these.
    pub fn new(text: &str, prefix: &Prefix, from: Option<IpAddr>) -> Option<Self> {
        let proof = match (PlainToken::parse(text), KeyText::parse(text.as_bytes(), prefix)) {
            (Some(token), _) => Proof::Token(token.kind(), token.digest()),
            (None, Ok(key)) => Proof::Native(key.id(), key.digest()),
            // A text with the installation's own prefix is only ever read as native.
            (None, Err(_)) if prefix.begins(text.as_bytes()) => return None,
            (None, Err(_)) => Proof::Imported(ImportedDigest::of_presented(text.as_bytes())?),
        };
        Some(Self { proof, from, manners: Manners::default() })
    }

    /// The asker with these wishes.
    #[must_use]
    pub fn asking(self, manners: Manners) -> Self {
        Self { manners, ..self }
    }

    /// What the asker wishes beside a change.
    pub const fn manners(&self) -> &Manners {
        &self.manners
    }

    /// The digest by which the credential is told from others.
    pub const fn credential(&self) -> [u8; 32] {
        match self.proof {
            Proof::Token(_, TokenDigest(digest))
            | Proof::Native(_, KeyDigest(digest))
            | Proof::Imported(ImportedDigest(digest)) => digest,
        }
    }

    /// Where the request came from.
    pub const fn from(&self) -> Option<IpAddr> {
        self.from
    }

    /// The key or session whose whole secret this is, whatever it is worth by now.
    pub(super) fn holding(&self, view: &dyn View) -> Result<Option<Holding>, StoreError> {
        match &self.proof {
            Proof::Token(TokenKind::Session | TokenKind::Service, digest) => {
                Ok(view.session(digest)?.map(Holding::Session))
            }
            Proof::Token(TokenKind::Operator | TokenKind::Usage | TokenKind::Invitation, _) => Ok(None),
            Proof::Native(id, digest) => {
                Ok(proven_key(view, *id, &KeyProof::Native(*digest))?.map(Holding::Key))
            }
            Proof::Imported(digest) => match view.imported_key(digest)? {
                Some(id) => Ok(proven_key(view, id, &KeyProof::Imported(*digest))?.map(Holding::Key)),
                None => Ok(None),
            },
        }
    }
}

/// What a secret stands for.
pub(super) enum Holding {
    Key(Key),
    Session(Session),
}

impl Holding {
    pub(super) const fn can_be_revoked(&self) -> bool {
        match self {
            Self::Key(key) => key.revoked_at.is_none(),
            Self::Session(session) => session.revoked_at.is_none(),
        }
    }
}

/// An identified caller before one view of the state.
pub struct Ask<'a> {
    /// The state.
    pub view: &'a dyn View,
    /// The moment.
    pub now: UnixMillis,
    /// Who asks.
    pub caller: Caller,
    from: Option<IpAddr>,
}

impl<'a> Ask<'a> {
    /// Looks the credential up (R1).
    ///
    /// # Errors
    /// [`AppError::Unauthenticated`] if it is unknown, [`AppError::Ended`] if it was genuine once.
    pub fn identify(view: &'a dyn View, now: UnixMillis, asker: &Asker) -> Result<Self, AppError> {
        let caller = match &asker.proof {
            Proof::Token(TokenKind::Operator, digest) => operator(view, digest)?,
            Proof::Token(TokenKind::Session | TokenKind::Service, digest) => session(view, now, digest)?,
            Proof::Token(TokenKind::Usage, digest) => reporter(view, digest)?,
            // An invitation's link names an address, and proves nobody.
            Proof::Token(TokenKind::Invitation, _) => return Err(AppError::Unauthenticated),
            Proof::Native(id, digest) => key(view, now, *id, &KeyProof::Native(*digest))?,
            Proof::Imported(digest) => imported(view, now, digest)?,
        };
        Ok(Self { view, now, caller, from: asker.from })
    }

    /// Where the request came from.
    pub(super) const fn from(&self) -> Option<IpAddr> {
        self.from
    }

    /// The permit for something that concerns the installation or the caller alone.
    pub(super) fn permit(&self, demand: Demand) -> Result<Permit, AppError> {
        let standing = match self.caller {
            Caller::Reporter(_) => Standing::Reporter,
            _ => Standing::Installation,
        };
        Ok(authorize(&self.caller, demand, &standing)?)
    }

    /// The organization with this id, and what the caller is to it.
    pub(super) fn organization(&self, id: &str) -> Result<InOrganization, AppError> {
        let id = OrganizationId::parse(id).ok_or(AppError::NOT_FOUND)?;
        let organization = self.view.organization_by_id(&id)?.ok_or(AppError::NOT_FOUND)?;
        let membership = self.membership(&organization)?;
        Ok(InOrganization { organization, membership })
    }

    /// The project with this id or slug, and what the caller is to it.
    pub(super) fn project(&self, id_or_slug: &str) -> Result<InProject, AppError> {
        let project = match (ProjectId::parse(id_or_slug), Slug::parse(id_or_slug)) {
            (Some(id), _) => self.view.project_by_id(&id)?,
            (None, Ok(slug)) => match self.view.slug(&slug)?.and_then(|holder| holder.project) {
                Some(number) => self.view.project(number)?,
                None => None,
            },
            (None, Err(_)) => None,
        };
        let there = project.filter(|project| project.deleted_at.is_none());
        self.around(there.ok_or(AppError::NOT_FOUND)?)
    }

    /// The project with this number, and what the caller is to it.
    pub(super) fn project_numbered(&self, number: ProjectNumber) -> Result<InProject, AppError> {
        self.around(self.view.project(number)?.ok_or(StoreError::Corrupt("projects"))?)
    }

    /// The person who asks. An operator is none.
    pub(super) fn person(&self) -> Result<&UserId, AppError> {
        self.caller.user().ok_or(AppError::Denied(crate::iam::Denied::Forbidden("me")))
    }

    /// The identity through which they act.
    pub(super) fn identity(&self) -> Result<&IdentityId, AppError> {
        self.caller.identity().ok_or(AppError::Denied(crate::iam::Denied::Forbidden("me")))
    }

    /// An audit entry for what the permit allows.
    pub(super) fn entry(
        &self,
        permit: &Permit,
        what: &'static str,
        subject: (&'static str, String),
    ) -> AuditEntry {
        debug_assert!(permit.actor() == self.caller.actor() || permit.actor() == Actor::Installation);
        AuditEntry::new(permit, self.from, what, subject)
    }

    /// The organization, and what somebody is to it through one of their identities.
    pub(super) fn organization_of(
        &self,
        organization: Organization,
        user: &UserId,
        identity: &IdentityId,
    ) -> Result<InOrganization, AppError> {
        let membership = self.membership_of(&organization, Some((user, identity)))?;
        Ok(InOrganization { organization, membership })
    }

    /// The project, and what somebody is to it through one of their identities.
    pub(super) fn project_of(
        &self,
        project: Project,
        user: &UserId,
        identity: &IdentityId,
    ) -> Result<InProject, AppError> {
        self.seen_by(project, Some((user, identity)))
    }

    fn around(&self, project: Project) -> Result<InProject, AppError> {
        self.seen_by(project, self.caller.user().zip(self.caller.identity()))
    }

    fn seen_by(&self, project: Project, who: Option<(&UserId, &IdentityId)>) -> Result<InProject, AppError> {
        let organization =
            self.view.organization(project.organization)?.ok_or(StoreError::Corrupt("organizations"))?;
        let membership = self.membership_of(&organization, who)?;
        let Some((user, identity)) = who else {
            return Ok(InProject { organization, project, membership, collaboration: None });
        };
        // Only the identity that accepted it acts through it (M10), and an external one until it ends (X4).
        let collaboration = self.view.collaboration(project.number, user)?.filter(|one| {
            one.identity == *identity && !one.ends_at.is_some_and(|end| end.has_passed(self.now))
        });
        Ok(InProject { organization, project, membership, collaboration })
    }

    fn membership(&self, organization: &Organization) -> Result<Option<Membership>, AppError> {
        self.membership_of(organization, self.caller.user().zip(self.caller.identity()))
    }

    fn membership_of(
        &self,
        organization: &Organization,
        who: Option<(&UserId, &IdentityId)>,
    ) -> Result<Option<Membership>, AppError> {
        let Some((user, identity)) = who else { return Ok(None) };
        let membership = self.view.membership(organization.number, user)?;
        Ok(membership.filter(|one| one.identity == *identity))
    }
}

/// An organization, and what somebody is to it: the caller, unless another is named.
pub(super) struct InOrganization {
    pub(super) organization: Organization,
    pub(super) membership: Option<Membership>,
}

impl InOrganization {
    pub(super) fn permit(&self, ask: &Ask, permission: Permission) -> Result<Permit, AppError> {
        self.authorize(ask, Demand::Permission(permission))
    }

    pub(super) fn permit_operator(&self, ask: &Ask, act: OperatorAct) -> Result<Permit, AppError> {
        self.authorize(ask, Demand::Operator(act))
    }

    pub(super) fn authorize(&self, ask: &Ask, demand: Demand) -> Result<Permit, AppError> {
        Ok(authorize(&ask.caller, demand, &self.standing())?)
    }

    /// Whether whoever is this there holds the permission now.
    pub(super) fn holds(&self, permission: Permission) -> bool {
        self.standing().holds(permission)
    }

    const fn standing(&self) -> Standing<'_> {
        Standing::Organization(&self.organization, self.membership.as_ref())
    }
}

/// A project, and what somebody is to it: the caller, unless another is named.
pub(super) struct InProject {
    pub(super) organization: Organization,
    pub(super) project: Project,
    pub(super) membership: Option<Membership>,
    pub(super) collaboration: Option<Collaboration>,
}

impl InProject {
    pub(super) fn permit(&self, ask: &Ask, permission: Permission) -> Result<Permit, AppError> {
        self.authorize(ask, Demand::Permission(permission))
    }

    pub(super) fn permit_operator(&self, ask: &Ask, act: OperatorAct) -> Result<Permit, AppError> {
        self.authorize(ask, Demand::Operator(act))
    }

    pub(super) fn authorize(&self, ask: &Ask, demand: Demand) -> Result<Permit, AppError> {
        Ok(authorize(&ask.caller, demand, &self.standing())?)
    }

    /// Whether whoever is this there holds the permission now.
    pub(super) fn holds(&self, permission: Permission) -> bool {
        self.standing().holds(permission)
    }

    /// Whether the caller takes part without being a member of the organization (X1).
    pub(super) const fn is_external(&self) -> bool {
        self.membership.is_none() && self.collaboration.is_some()
    }

    /// The caller's own role in it.
    pub(super) fn role(&self) -> Option<Role> {
        self.standing().role()
    }

    /// Whether the caller may know of it (P4); an operator knows of all.
    pub(super) fn is_known_to(&self, caller: &Caller) -> bool {
        matches!(caller, Caller::Operator { .. }) || self.standing().is_known()
    }

    pub(super) fn standing(&self) -> Standing<'_> {
        Standing::Project {
            organization: &self.organization,
            project: &self.project,
            membership: self.membership.as_ref(),
            collaboration: self.collaboration.as_ref(),
        }
    }
}

fn operator(view: &dyn View, digest: &TokenDigest) -> Result<Caller, AppError> {
    let token = view.operator_token(digest)?.ok_or(AppError::Unauthenticated)?;
    Ok(Caller::Operator { token: token.number, name: token.name })
}

fn session(view: &dyn View, now: UnixMillis, digest: &TokenDigest) -> Result<Caller, AppError> {
    let session = view.session(digest)?.ok_or(AppError::Unauthenticated)?;
    if session.revoked_at.is_some() {
        return Err(AppError::Ended(Ended::Revoked));
    }
    if session.has_expired(now) {
        return Err(AppError::Ended(Ended::Expired));
    }
    Ok(Caller::Session {
        user: session.user,
        session: session.id,
        identity: session.identity,
        is_service: session.is_service,
    })
}

fn reporter(view: &dyn View, digest: &TokenDigest) -> Result<Caller, AppError> {
    let token = view.usage_token(digest)?.ok_or(AppError::Unauthenticated)?;
    if token.revoked_at.is_some() {
        return Err(AppError::Ended(Ended::Revoked));
    }
    Ok(Caller::Reporter(token.name))
}

fn imported(view: &dyn View, now: UnixMillis, digest: &ImportedDigest) -> Result<Caller, AppError> {
    let id = view.imported_key(digest)?.ok_or(AppError::Unauthenticated)?;
    key(view, now, id, &KeyProof::Imported(*digest))
}

fn proven_key(view: &dyn View, id: KeyId, proof: &KeyProof) -> Result<Option<Key>, StoreError> {
    Ok(view.key(id)?.filter(|key| key.proof == *proof))
}

/// A hit proves the whole secret; then the reason may be told (R1).
fn key(view: &dyn View, now: UnixMillis, id: KeyId, proof: &KeyProof) -> Result<Caller, AppError> {
    let key = proven_key(view, id, proof)?.ok_or(AppError::Unauthenticated)?;
    let project = view.project(key.project)?.ok_or(StoreError::Corrupt("projects"))?;
    let organization =
        view.organization(project.organization)?.ok_or(StoreError::Corrupt("organizations"))?;
    match key.state(now) {
        KeyState::Revoked => return Err(AppError::Ended(Ended::Revoked)),
        KeyState::Expired => return Err(AppError::Ended(Ended::Expired)),
        KeyState::Disabled => return Err(AppError::Ended(Ended::Disabled)),
        KeyState::Active => {}
    }
    if organization.is_suspended() || !project.is_in_force() {
        return Err(AppError::Ended(Ended::Suspended));
    }
    Ok(Caller::Key(id))
}
