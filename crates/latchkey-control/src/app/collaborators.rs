//! Collaborators of a project: list, read, add, change, remove (IAM §3, §4).
//!
//! A member of the organization is added at once; anybody else is invited, and so is whomever an external admin adds:
//! they hear nothing of who is a member or has an account (X5). `project_invitations` has what becomes of those.

use super::ask::{Ask, InProject};
use super::error::{AppError, Conflict};
use super::{fields, invitations, members, pages, render};
use crate::iam::key::lasts_longer;
use crate::iam::{
    Collaboration, Demand, Denied, Invitation, InvitedInto, Key, Membership, Permit, Standing, User,
};
use crate::store::{Change, Write};
use latchkey_api as api;
use latchkey_core::{Dice, ExpiryMinute, Permission, Role, UserId};

/// Who takes part in a project, those included whose access has ended by itself.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn list(
    ask: &Ask,
    project: &str,
    query: &api::PageQuery,
) -> Result<api::Page<api::Collaborator>, AppError> {
    let place = ask.project(project)?;
    place.permit(ask, Permission::CollaboratorsRead)?;
    let limit = pages::limit(query)?;
    let after = pages::after(query, UserId::parse)?;
    let mut all = Vec::new();
    for collaboration in ask.view.collaborators_of(place.project.number, after, limit + 1)? {
        all.push(Collaborator::new(ask, &place, collaboration)?.show(ask));
    }
    Ok(pages::page(all, limit, |one| one.user_id.clone(), |one| one))
}

/// One collaborator.
///
/// # Errors
/// [`AppError`].
pub fn read(ask: &Ask, project: &str, user: &str) -> Result<api::Collaborator, AppError> {
    let place = ask.project(project)?;
    place.permit(ask, Permission::CollaboratorsRead)?;
    Ok(find(ask, &place, user)?.show(ask))
}

/// Adds a member of the organization at once (J8), or invites somebody else (X5).
///
/// # Errors
/// [`AppError`].
pub fn add(
    ask: &Ask,
    dice: &mut Dice,
    project: &str,
    body: &api::AddCollaborator,
) -> Result<Write<api::AddedCollaborator>, AppError> {
    let place = ask.project(project)?;
    let permit = place.permit(ask, Permission::CollaboratorsAdd)?;
    if body.external || place.is_external() {
        return invite(ask, dice, &place, &permit, body);
    }
    let membership = named_member(ask, &place, body)?;
    if body.ends_at.is_some() {
        return Err(lasting());
    }
    check_is_new(ask, &place, &membership.user)?;
    let collaboration = Collaboration {
        project: place.project.number,
        user: membership.user,
        role: body.role.into(),
        is_external: false,
        identity: membership.identity,
        added_at: ask.now,
        ends_at: None,
    };
    let shown = Collaborator::new(ask, &place, collaboration)?.show(ask);
    let entry = ask.entry(&permit, "collaborators.add", ("user", shown.user_id.clone())).after(&shown);
    Ok(Write::new(entry, api::AddedCollaborator::Added { collaborator: shown }).put(collaboration))
}

/// Changes a collaborator's role, or when an external one's access ends.
///
/// # Errors
/// [`AppError`].
pub fn change(
    ask: &Ask,
    project: &str,
    user: &str,
    body: &api::ChangeCollaborator,
) -> Result<Write<api::Collaborator>, AppError> {
    let place = ask.project(project)?;
    let permit = place.permit(ask, Permission::CollaboratorsManageRoles)?;
    let them = find(ask, &place, user)?;
    them.check_reach(Permission::CollaboratorsManageRoles)?;
    if body.role.is_none() && body.ends_at.is_none() {
        return Err(AppError::field("", "`role` or `ends_at` is needed"));
    }
    let mut changed = them.collaboration;
    if let Some(at) = body.ends_at {
        if !changed.is_external {
            return Err(lasting());
        }
        // X6: whoever is to be back is invited, where it is asked whether they may.
        if changed.has_ended(ask.now) {
            return Err(AppError::field(
                "ends_at",
                "their access has ended; an invitation lets them in again",
            ));
        }
        let ends_at = at.map(|at| fields::future_expiry("ends_at", at, ask.now)).transpose()?;
        check_outlasts(&place, ends_at)?;
        changed = changed.ending(&permit, ends_at);
    }
    if let Some(role) = body.role.map(Role::from) {
        if role < Role::Admin && them.is_organization_admin() {
            return Err(Conflict::OrganizationAdmin.into());
        }
        changed = changed.with_role(&permit, role);
    }
    let before = them.show(ask);
    let now = Collaborator { collaboration: changed, ..them };
    let shown = now.show(ask);
    let entry = ask.entry(&permit, "collaborators.change", ("user", shown.user_id.clone()));
    let write = Write::new(entry.before(&before).after(&shown), shown.clone()).put(changed);
    // M2: what they could not send now is dead, and being an admin again does not revive it.
    let stays_admin = [before.effective_role, shown.effective_role] == [Some(api::Role::Admin); 2];
    if stays_admin {
        return Ok(write);
    }
    let sent = sent_by(ask, &permit, &place, &now.user.id)?;
    Ok(write.put_all(sent))
}

/// Removes a collaborator (J9), lists the keys that they made and revokes those if told to (X7).
///
/// # Errors
/// [`AppError`].
pub fn remove(
    ask: &Ask,
    project: &str,
    user: &str,
    query: &api::RemoveCollaboratorQuery,
) -> Result<Write<api::RemovedCollaborator>, AppError> {
    let place = ask.project(project)?;
    let permit = place.permit(ask, Permission::CollaboratorsRemove)?;
    if query.revoke_keys {
        place.permit(ask, Permission::KeysRevoke)?;
    }
    let them = find(ask, &place, user)?;
    them.check_reach(Permission::CollaboratorsRemove)?;
    if place.project.is_default && them.membership.is_some() {
        return Err(Conflict::DefaultProject.into());
    }
    let mut keys = keys_made_by(ask, &place, &them.user.id)?;
    if query.revoke_keys {
        keys = keys.into_iter().map(|key| key.revoked(&permit, ask.now)).collect();
    }
    let reply = api::RemovedCollaborator {
        collaborator: them.show(ask),
        keys_created: keys.iter().map(|key| render::collaborator_key(key, ask.now)).collect(),
    };
    let mut entry = ask
        .entry(&permit, "collaborators.remove", ("user", them.user.id.to_string()))
        .before(&reply.collaborator);
    if query.revoke_keys {
        entry = entry.after(&reply.keys_created);
    }
    let write = Write::new(entry, reply).put_all(parting(ask, &permit, &place, &them.user)?);
    Ok(if query.revoke_keys { write.put_all(keys) } else { write })
}

/// All that the end of a collaboration changes: itself, and the open invitations to the project that they sent or
/// that are addressed to them, by which they would be back.
pub(super) fn parting(
    ask: &Ask,
    permit: &Permit,
    place: &InProject,
    user: &User,
) -> Result<Vec<Change>, AppError> {
    let number = place.project.number;
    let mut changes = vec![Change::RemoveCollaboration(number, user.id)];
    changes.extend(members::cancelled(ask, permit, place.organization.number, |one| {
        let concerns = one.sender == user.id || user.email() == Some(&one.email);
        Ok(one.project() == Some(number) && concerns)
    })?);
    Ok(changes)
}

/// An external admin gets this answer for every address: nothing is looked up by it but invitations, which they
/// can list (X5).
fn invite(
    ask: &Ask,
    dice: &mut Dice,
    place: &InProject,
    permit: &Permit,
    body: &api::AddCollaborator,
) -> Result<Write<api::AddedCollaborator>, AppError> {
    if body.user_id.is_some() {
        return Err(AppError::field("user_id", "who is invited is named by `email`"));
    }
    let email = body.email.as_ref().ok_or_else(|| AppError::field("email", "an address is needed"))?;
    let email = fields::email("email", email)?;
    let ends_at = body.ends_at.map(|at| fields::future_expiry("ends_at", at, ask.now)).transpose()?;
    check_outlasts(place, ends_at)?;
    if place.project.is_default {
        return Err(Conflict::DefaultProject.into());
    }
    if !place.project.allows_external {
        return Err(Conflict::ExternalsOff.into());
    }
    if !place.is_external()
        && let Some(user) = ask.view.user_by_email(&email)?
    {
        check_is_new(ask, place, &user.id)?;
    }
    let number = place.project.number;
    let is_open = |one: &Invitation| one.project() == Some(number) && one.is_open(ask.now);
    if ask.view.invitations_for(&email)?.iter().any(is_open) {
        return Err(Conflict::AlreadyInvited.into());
    }
    let into = InvitedInto::Project(number, body.role.into(), ends_at);
    let (invitation, token) = invitations::drawn(ask, dice, place.organization.number, into, email)?;
    let shown = render::invitation(&invitation, &place.organization, Some(&place.project), ask.now);
    let entry = ask.entry(permit, "collaborators.invite", ("invitation", shown.id.clone())).after(&shown);
    let token = api::Revealed::new(token.expose());
    let reply = api::AddedCollaborator::Invited(api::CreatedInvitation { invitation: shown, token });
    Ok(Write::new(entry, reply).put(invitation))
}

/// The membership of whom a member adds: they may read who the members are.
fn named_member(ask: &Ask, place: &InProject, body: &api::AddCollaborator) -> Result<Membership, AppError> {
    let (path, user) = match (&body.email, &body.user_id) {
        (Some(email), None) => {
            let email = fields::email("email", email)?;
            ("email", ask.view.user_by_email(&email)?.map(|user| user.id))
        }
        (None, Some(id)) => ("user_id", UserId::parse(id)),
        (None, None) => return Err(AppError::field("email", "`email` or `user_id` is needed")),
        (Some(_), Some(_)) => return Err(AppError::field("user_id", "`email` alone says who")),
    };
    let membership = match user {
        Some(user) => ask.view.membership(place.organization.number, &user)?,
        None => None,
    };
    let stranger = || AppError::field(path, "no member of the organization; `external` invites others");
    membership.ok_or_else(stranger)
}

fn check_is_new(ask: &Ask, place: &InProject, user: &UserId) -> Result<(), AppError> {
    match ask.view.collaboration(place.project.number, user)? {
        Some(one) if !one.has_ended(ask.now) => Err(Conflict::AlreadyCollaborator.into()),
        _ => Ok(()),
    }
}

/// An external collaborator whose own access ends gives nobody, themselves included, one that lasts longer (X4).
fn check_outlasts(place: &InProject, ends_at: Option<ExpiryMinute>) -> Result<(), AppError> {
    let own = place.collaboration.filter(|_| place.is_external()).and_then(|one| one.ends_at);
    if lasts_longer(ends_at, own) {
        return Err(AppError::field("ends_at", "this outlasts the caller's own access"));
    }
    Ok(())
}

fn lasting() -> AppError {
    AppError::field("ends_at", "only an external collaborator's access ends by itself")
}

/// The open invitations to the project that they sent, called back.
fn sent_by(ask: &Ask, permit: &Permit, place: &InProject, user: &UserId) -> Result<Vec<Change>, AppError> {
    let number = place.project.number;
    let is_theirs = |one: &Invitation| Ok(one.project() == Some(number) && one.sender == *user);
    members::cancelled(ask, permit, place.organization.number, is_theirs)
}

/// The project's keys that they made and nobody revoked.
fn keys_made_by(ask: &Ask, place: &InProject, user: &UserId) -> Result<Vec<Key>, AppError> {
    let mut made = Vec::new();
    let mut after = None;
    loop {
        let keys = ask.view.keys_of(place.project.number, after, KEYS_READ_AT_ONCE)?;
        let Some(last) = keys.last() else { return Ok(made) };
        after = Some((last.created_at, last.id));
        made.extend(keys.into_iter().filter(|key| key.created_by == *user && key.revoked_at.is_none()));
    }
}

const KEYS_READ_AT_ONCE: usize = 1024;

/// Somebody's part in the project, and what else they are there.
struct Collaborator<'a> {
    place: &'a InProject,
    user: User,
    /// That of the collaborating identity; another's counts for nothing here (M10).
    membership: Option<Membership>,
    collaboration: Collaboration,
}

impl<'a> Collaborator<'a> {
    fn new(ask: &Ask, place: &'a InProject, collaboration: Collaboration) -> Result<Self, AppError> {
        let membership = ask.view.membership(place.organization.number, &collaboration.user)?;
        let membership = membership.filter(|one| one.identity == collaboration.identity);
        let user = members::account(ask, &collaboration.user)?;
        Ok(Self { place, user, membership, collaboration })
    }

    fn show(&self, ask: &Ask) -> api::Collaborator {
        let running = Some(&self.collaboration).filter(|one| !one.has_ended(ask.now));
        let standing = Standing::Project {
            organization: &self.place.organization,
            project: &self.place.project,
            membership: self.membership.as_ref(),
            collaboration: running,
        };
        render::collaborator(&self.user, &self.collaboration, standing.role())
    }

    fn is_organization_admin(&self) -> bool {
        self.membership.is_some_and(|one| one.role == Role::Admin)
    }

    /// X6: an external admin leaves organization admins alone.
    fn check_reach(&self, permission: Permission) -> Result<(), Denied> {
        if self.place.is_external() && self.is_organization_admin() {
            return Err(Denied::Forbidden(Demand::Permission(permission).as_str()));
        }
        Ok(())
    }
}

fn find<'a>(ask: &Ask, place: &'a InProject, user: &str) -> Result<Collaborator<'a>, AppError> {
    let user = UserId::parse(user).ok_or(AppError::NOT_FOUND)?;
    let collaboration = ask.view.collaboration(place.project.number, &user)?.ok_or(AppError::NOT_FOUND)?;
    Collaborator::new(ask, place, collaboration)
}
