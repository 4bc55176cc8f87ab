//! Members of an organization: list, read, change of role, removal, leaving, re-admission (IAM §2).
//!
//! [`joining`] and [`parting`] are all that beginning and ending a membership changes, whoever brings it about.

use super::ask::{Ask, InOrganization};
use super::error::AppError;
use super::{pages, render};
use crate::iam::{Collaboration, Demand, Departure, Invitation, Membership, Organization, Permit, User};
use crate::store::{Change, StoreError, Write};
use latchkey_api as api;
use latchkey_core::{IdentityId, OrganizationNumber, Permission, Role, UserId};

/// The members of an organization, service accounts included.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn list(
    ask: &Ask,
    organization: &str,
    query: &api::PageQuery,
) -> Result<api::Page<api::Member>, AppError> {
    let place = ask.organization(organization)?;
    place.permit(ask, Permission::OrgMembersRead)?;
    let limit = pages::limit(query)?;
    let after = pages::after(query, UserId::parse)?;
    let mut members = Vec::new();
    for membership in ask.view.members_of(place.organization.number, after, limit + 1)? {
        members.push(render::member(&account(ask, &membership.user)?, &membership, &place.organization));
    }
    Ok(pages::page(members, limit, |member| member.user_id.clone(), |member| member))
}

/// One member.
///
/// # Errors
/// [`AppError`].
pub fn read(ask: &Ask, organization: &str, user: &str) -> Result<api::Member, AppError> {
    let (place, _, member) = find(ask, organization, user, Permission::OrgMembersRead)?;
    Ok(member.show(&place.organization))
}

/// Changes a member's role (O4). The owner and the last admin stay admins (O3, M9).
///
/// # Errors
/// [`AppError`].
pub fn change(
    ask: &Ask,
    organization: &str,
    user: &str,
    body: &api::ChangeMember,
) -> Result<Write<api::Member>, AppError> {
    let (place, permit, member) = find(ask, organization, user, Permission::OrgMembersManageRoles)?;
    let role = Role::from(body.role);
    let is_demotion = role < member.membership.role;
    if is_demotion {
        check_dispensable(ask, &place.organization, &member)?;
    }
    let now = Member { membership: member.membership.with_role(&permit, role), user: member.user.clone() };
    let shown = now.show(&place.organization);
    let entry = ask
        .entry(&permit, "members.change", ("user", shown.user_id.clone()))
        .before(&member.show(&place.organization))
        .after(&shown);
    let write = Write::new(entry, shown).put(now.membership);
    if !is_demotion {
        return Ok(write);
    }
    let organization = place.organization.number;
    Ok(write.put_all(void_offer(ask, organization, &member.user.id)?).put_all(cancelled(
        ask,
        &permit,
        organization,
        |one| loses_right(ask, one, &member.user.id),
    )?))
}

/// Removes a member: every project of the organization is closed to them at once, what they made stays (M5), and
/// only an admin lets them in again (M7).
///
/// # Errors
/// [`AppError`].
pub fn remove(ask: &Ask, organization: &str, user: &str) -> Result<Write<api::Member>, AppError> {
    let (place, permit, member) = find(ask, organization, user, Permission::OrgMembersRemove)?;
    let write = parted(ask, &permit, "members.remove", &place, &member)?;
    let (organization, user) = (place.organization.number, member.user.id);
    let departure = Departure { organization, user, at: ask.now };
    // A service account is deleted so: there is nobody who could come back.
    Ok(write.put_all((!member.user.is_service()).then_some(departure)))
}

/// Leaves the organization, as [`remove`] does but for the departure: nobody has to let them in again.
///
/// # Errors
/// [`AppError`].
pub fn leave(ask: &Ask, organization: &str) -> Result<Write<api::Member>, AppError> {
    let place = ask.organization(organization)?;
    let permit = place.authorize(ask, Demand::Own)?;
    let membership = place.membership.ok_or(AppError::NOT_FOUND)?;
    let member = Member { user: account(ask, &membership.user)?, membership };
    parted(ask, &permit, "members.leave", &place, &member)
}

/// Those who were removed and not let in again.
///
/// # Errors
/// [`AppError`].
pub fn list_departures(
    ask: &Ask,
    organization: &str,
    query: &api::PageQuery,
) -> Result<api::Page<api::Departure>, AppError> {
    let place = ask.organization(organization)?;
    place.permit(ask, Permission::OrgMembersInvite)?;
    let limit = pages::limit(query)?;
    let after = pages::after(query, UserId::parse)?;
    let mut departures = Vec::new();
    for departure in ask.view.departures_of(place.organization.number, after, limit + 1)? {
        departures.push(render::departure(&account(ask, &departure.user)?, &departure));
    }
    Ok(pages::page(departures, limit, |one| one.user_id.clone(), |one| one))
}

/// Lets somebody who was removed join again by the organization's way of joining (M7, X6).
///
/// # Errors
/// [`AppError`].
pub fn readmit(ask: &Ask, organization: &str, user: &str) -> Result<Write<api::Departure>, AppError> {
    let place = ask.organization(organization)?;
    let permit = place.permit(ask, Permission::OrgMembersInvite)?;
    let user = UserId::parse(user).ok_or(AppError::NOT_FOUND)?;
    let number = place.organization.number;
    let departure = ask.view.departure(number, &user)?.ok_or(AppError::NOT_FOUND)?;
    let shown = render::departure(&account(ask, &user)?, &departure);
    let entry = ask.entry(&permit, "members.readmit", ("user", user.to_string())).before(&shown);
    Ok(Write::new(entry, shown).put(Change::RemoveDeparture(number, user)))
}

/// All that a new membership changes: itself, the Default Project (M4), and where they took part as an external
/// collaborator they do so as a member from now on.
///
/// An admin counts as the Default Project's admin while that lasts (J5), so `member` is what is stored there.
pub(super) fn joining(
    ask: &Ask,
    organization: &Organization,
    (user, identity): (UserId, IdentityId),
    role: Role,
) -> Result<Vec<Change>, AppError> {
    let number = organization.number;
    let mut changes = vec![
        Membership { organization: number, user, role, identity, joined_at: ask.now }.into(),
        Collaboration {
            project: ask.view.default_project(number)?.number,
            user,
            role: Role::Member,
            is_external: false,
            identity,
            added_at: ask.now,
            ends_at: None,
        }
        .into(),
    ];
    for there in collaborations_in(ask, number, &user)? {
        // What another identity of theirs accepted stays that one's (M10).
        if there.identity == identity {
            changes.push(match there.has_ended(ask.now) {
                // X4: joining revives no access that has ended.
                true => Change::RemoveCollaboration(there.project, user),
                false => Collaboration { is_external: false, ends_at: None, ..there }.into(),
            });
        }
    }
    Ok(changes)
}

/// All that the end of a membership changes (M5): itself, every collaboration in the organization's projects, an
/// offer of the ownership, and the open invitations that they sent, or by which an organization admin would have them back.
///
/// Others that are addressed to them stay open: an external admin who sent one would learn by its end that the address
/// is a member's (X5). After a removal nobody gets in by them (X6).
pub(super) fn parting(
    ask: &Ask,
    permit: &Permit,
    organization: OrganizationNumber,
    user: &User,
) -> Result<Vec<Change>, AppError> {
    let mut changes = vec![Change::RemoveMembership(organization, user.id)];
    for there in collaborations_in(ask, organization, &user.id)? {
        changes.push(Change::RemoveCollaboration(there.project, user.id));
    }
    changes.extend(void_offer(ask, organization, &user.id)?);
    let concerns = |one: &Invitation| {
        let is_to_them = || user.email() == Some(&one.email);
        Ok(one.sender == user.id || (is_to_them() && is_from_admin(ask, one)?))
    };
    changes.extend(cancelled(ask, permit, organization, concerns)?);
    if user.is_service() {
        changes.extend(tokens_revoked(ask, permit, user)?);
    }
    Ok(changes)
}

/// The tokens of a service account that were not revoked before, revoked.
pub(super) fn tokens_revoked(ask: &Ask, permit: &Permit, service: &User) -> Result<Vec<Change>, AppError> {
    let tokens = ask.view.sessions_of(&service.id)?.into_iter();
    let live = tokens.filter(|token| token.revoked_at.is_none());
    Ok(live.map(|token| token.revoked(permit, ask.now).into()).collect())
}

/// A member and their account.
pub(super) struct Member {
    pub(super) user: User,
    pub(super) membership: Membership,
}

impl Member {
    fn show(&self, organization: &Organization) -> api::Member {
        render::member(&self.user, &self.membership, organization)
    }
}

/// The organization, the permit, and the member with this id in it.
pub(super) fn find(
    ask: &Ask,
    organization: &str,
    user: &str,
    permission: Permission,
) -> Result<(InOrganization, Permit, Member), AppError> {
    let place = ask.organization(organization)?;
    let permit = place.permit(ask, permission)?;
    let user = UserId::parse(user).ok_or(AppError::NOT_FOUND)?;
    let membership = ask.view.membership(place.organization.number, &user)?.ok_or(AppError::NOT_FOUND)?;
    let user = account(ask, &user)?;
    Ok((place, permit, Member { user, membership }))
}

/// A member's departure, by somebody else's hand or their own. The owner and the last admin stay (O3, M9).
pub(super) fn parted(
    ask: &Ask,
    permit: &Permit,
    what: &'static str,
    place: &InOrganization,
    member: &Member,
) -> Result<Write<api::Member>, AppError> {
    check_dispensable(ask, &place.organization, member)?;
    let shown = member.show(&place.organization);
    let entry = ask.entry(permit, what, ("user", shown.user_id.clone())).before(&shown);
    let changes = parting(ask, permit, place.organization.number, &member.user)?;
    Ok(Write::new(entry, shown).put_all(changes))
}

fn check_dispensable(ask: &Ask, organization: &Organization, member: &Member) -> Result<(), AppError> {
    let counts = member.membership.role == Role::Admin && !member.user.is_service();
    let is_last = counts && !has_other_admin(ask, organization.number, &member.user.id)?;
    Ok(member.membership.check_dispensable(organization, is_last)?)
}

/// Whether another person is an admin; service accounts do not count (M9).
fn has_other_admin(ask: &Ask, organization: OrganizationNumber, user: &UserId) -> Result<bool, AppError> {
    let mut after = None;
    loop {
        let members = ask.view.members_of(organization, after, MEMBERS_READ_AT_ONCE)?;
        let Some(last) = members.last() else { return Ok(false) };
        after = Some(last.user);
        for member in members.iter().filter(|one| one.role == Role::Admin && one.user != *user) {
            if !account(ask, &member.user)?.is_service() {
                return Ok(true);
            }
        }
    }
}

const MEMBERS_READ_AT_ONCE: usize = 256;

/// An offer of the ownership is void once either side is no admin (O3a).
fn void_offer(
    ask: &Ask,
    organization: OrganizationNumber,
    user: &UserId,
) -> Result<Option<Change>, AppError> {
    let offer = ask.view.ownership_offer(organization)?;
    let concerned = offer.filter(|offer| offer.to == *user || offer.from == *user);
    Ok(concerned.map(|_| Change::RemoveOwnershipOffer(organization)))
}

/// Those of the organization's open invitations that these are, called back.
pub(super) fn cancelled(
    ask: &Ask,
    permit: &Permit,
    organization: OrganizationNumber,
    are: impl Fn(&Invitation) -> Result<bool, AppError>,
) -> Result<Vec<Change>, AppError> {
    let mut changes = Vec::new();
    for invitation in ask.view.invitations_of(organization)? {
        if invitation.is_open(ask.now) && are(&invitation)? {
            changes.push(invitation.cancelled(permit, ask.now)?.into());
        }
    }
    Ok(changes)
}

fn is_from_admin(ask: &Ask, invitation: &Invitation) -> Result<bool, AppError> {
    let sender = ask.view.membership(invitation.organization, &invitation.sender)?;
    Ok(sender.is_some_and(|sender| sender.role == Role::Admin))
}

/// Whether an admin who becomes a member loses the right to have sent it: one to a project outlives it only if
/// they are that project's admin in their own right (J5).
fn loses_right(ask: &Ask, invitation: &Invitation, user: &UserId) -> Result<bool, AppError> {
    if invitation.sender != *user {
        return Ok(false);
    }
    let Some(project) = invitation.project() else { return Ok(true) };
    let there = ask.view.collaboration(project, user)?;
    Ok(there.is_none_or(|one| one.role != Role::Admin))
}

fn collaborations_in(
    ask: &Ask,
    organization: OrganizationNumber,
    user: &UserId,
) -> Result<Vec<Collaboration>, AppError> {
    let mut inside = Vec::new();
    for collaboration in ask.view.collaborations_of(user)? {
        let project = ask.view.project(collaboration.project)?.ok_or(StoreError::Corrupt("projects"))?;
        if project.organization == organization {
            inside.push(collaboration);
        }
    }
    Ok(inside)
}

pub(super) fn account(ask: &Ask, user: &UserId) -> Result<User, AppError> {
    Ok(ask.view.user(user)?.ok_or(StoreError::Corrupt("users"))?)
}
