//! Service accounts: create, list, rotate the token, delete (S3).
//!
//! One is a member like any other, with an identity that the installation itself vouches for and a token instead of
//! sign-in. It owns nothing, accepts nothing, and is no last admin (M9).

use super::ask::Ask;
use super::error::AppError;
use super::members::{self, Member};
use super::{fields, pages, render};
use crate::iam::person::PROVIDER_SERVICE;
use crate::iam::{Contact, Identity, PlainToken, Session, TokenKind, User};
use crate::store::Write;
use latchkey_api as api;
use latchkey_core::{Dice, IdentityId, Permission, SessionId, UserId};

/// Makes a service account and shows its token, once.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn create(
    ask: &Ask,
    dice: &mut Dice,
    organization: &str,
    body: &api::CreateServiceAccount,
) -> Result<Write<api::CreatedServiceAccount>, AppError> {
    let place = ask.organization(organization)?;
    let permit = place.permit(ask, Permission::OrgMembersManageRoles)?;
    let name = fields::name("name", &body.name)?;
    let user = User { id: UserId::generate(dice), contact: Contact::Service(name), created_at: ask.now };
    let identity = Identity {
        id: IdentityId::generate(dice),
        user: user.id,
        provider: PROVIDER_SERVICE.to_owned(),
        subject: user.id.to_string(),
        created_at: ask.now,
    };
    let role = body.role.into();
    let (session, token) = issued(ask, dice, (user.id, identity.id), body.expires_at)?;
    let shown = render::service_account(&user, role, Some(&session));
    let entry = ask.entry(&permit, "service_accounts.create", ("user", shown.user_id.clone())).after(&shown);
    let joining = members::joining(ask, &place.organization, (user.id, identity.id), role)?;
    let reply =
        api::CreatedServiceAccount { service_account: shown, token: api::Revealed::new(token.expose()) };
    Ok(Write::new(entry, reply).put(user).put(identity).put(session).put_all(joining))
}

/// The organization's service accounts.
///
/// # Errors
/// [`AppError`].
pub fn list(
    ask: &Ask,
    organization: &str,
    query: &api::PageQuery,
) -> Result<api::Page<api::ServiceAccount>, AppError> {
    let place = ask.organization(organization)?;
    place.permit(ask, Permission::OrgMembersRead)?;
    let limit = pages::limit(query)?;
    let mut after = pages::after(query, UserId::parse)?;
    let mut accounts = Vec::new();
    while accounts.len() <= limit {
        let batch = ask.view.members_of(place.organization.number, after, limit + 1)?;
        let Some(last) = batch.last() else { break };
        after = Some(last.user);
        for membership in batch {
            let member = Member { user: members::account(ask, &membership.user)?, membership };
            if member.user.is_service() {
                accounts.push(show(ask, &member)?);
            }
        }
    }
    Ok(pages::page(accounts, limit, |one| one.user_id.clone(), |one| one))
}

/// Revokes its token at once and shows a new one, once.
///
/// # Errors
/// [`AppError`].
pub fn rotate(
    ask: &Ask,
    dice: &mut Dice,
    organization: &str,
    user: &str,
    body: &api::RotateServiceToken,
) -> Result<Write<api::CreatedServiceAccount>, AppError> {
    let (_, permit, member) = members::find(ask, organization, user, Permission::OrgMembersManageRoles)?;
    let member = service(member)?;
    let who = (member.user.id, member.membership.identity);
    let (session, token) = issued(ask, dice, who, body.expires_at)?;
    let shown = render::service_account(&member.user, member.membership.role, Some(&session));
    let entry = ask
        .entry(&permit, "service_accounts.rotate", ("user", shown.user_id.clone()))
        .before(&show(ask, &member)?)
        .after(&shown);
    let revoked = members::tokens_revoked(ask, &permit, &member.user)?;
    let reply =
        api::CreatedServiceAccount { service_account: shown, token: api::Revealed::new(token.expose()) };
    Ok(Write::new(entry, reply).put_all(revoked).put(session))
}

/// Deletes it: its token, its membership and its part in every project end at once. What it made stays.
///
/// # Errors
/// [`AppError`].
pub fn delete(ask: &Ask, organization: &str, user: &str) -> Result<Write<api::ServiceAccount>, AppError> {
    let (place, permit, member) = members::find(ask, organization, user, Permission::OrgMembersManageRoles)?;
    let member = service(member)?;
    let shown = show(ask, &member)?;
    let write = members::parted(ask, &permit, "service_accounts.delete", &place, &member)?;
    Ok(write.answering(|_| shown))
}

/// A person is none: there is no service account with their id.
fn service(member: Member) -> Result<Member, AppError> {
    if member.user.is_service() { Ok(member) } else { Err(AppError::NOT_FOUND) }
}

fn show(ask: &Ask, member: &Member) -> Result<api::ServiceAccount, AppError> {
    let tokens = ask.view.sessions_of(&member.user.id)?;
    let token = tokens.iter().find(|token| token.revoked_at.is_none());
    Ok(render::service_account(&member.user, member.membership.role, token))
}

fn issued(
    ask: &Ask,
    dice: &mut Dice,
    (user, identity): (UserId, IdentityId),
    expires_at: Option<api::Timestamp>,
) -> Result<(Session, PlainToken), AppError> {
    let latest = ask.now.plus_ms(TOKEN_MS_MAX);
    let expires_at = expires_at.map_or(latest, |at| at.0.millis());
    if expires_at <= ask.now || expires_at > latest {
        return Err(AppError::field("expires_at", "a token ends in the future, at most 365 days ahead"));
    }
    let token = PlainToken::generate(TokenKind::Service, dice);
    let session = Session {
        id: SessionId::generate(dice),
        digest: token.digest(),
        user,
        identity,
        is_service: true,
        created_at: ask.now,
        expires_at,
        revoked_at: None,
    };
    Ok((session, token))
}

/// How long a token lasts at most: 365 days.
const TOKEN_MS_MAX: u64 = 365 * 24 * 60 * 60 * 1000;
