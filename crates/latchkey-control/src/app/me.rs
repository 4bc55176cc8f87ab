//! The caller themselves.

use super::EdgeTokens;
use super::ask::Ask;
use super::error::{AppError, Ended};
use crate::iam::{Caller, Contact, Demand, Denied, Membership};
use crate::store::StoreError;
use latchkey_api as api;
use latchkey_api::organization::Membership as Shown;
use latchkey_core::UserId;
use latchkey_snapshot::build::TokenContent;
use latchkey_snapshot::token::LIFETIME_SECS_MAX;

/// Who the caller is, of which organizations they are a member, and in which projects they take part.
///
/// # Errors
/// [`AppError`].
pub fn read(ask: &Ask) -> Result<api::Me, AppError> {
    let user = match &ask.caller {
        Caller::Operator { name, .. } => return Ok(api::Me::Operator { name: name.clone() }),
        Caller::Session { user, .. } => ask.view.user(user)?.ok_or(StoreError::Corrupt("users"))?,
        Caller::Key(_) | Caller::Reporter(_) => return Err(AppError::Denied(Denied::Forbidden("me"))),
    };
    let mut memberships = ask.view.memberships_of(&user.id)?;
    // What another identity of the account is a member of is not told (M10).
    memberships.retain(|one| Some(&one.identity) == ask.caller.identity());
    let organizations = memberships.iter().map(|one| show(ask, one)).collect::<Result<_, _>>()?;
    let collaborations = collaborations(ask, &user.id)?;
    let id = user.id.to_string();
    Ok(match &user.contact {
        Contact::Person(email) => {
            api::Me::User { id, email: email.as_str().to_owned(), organizations, collaborations }
        }
        Contact::Service(name) => {
            api::Me::Service { id, name: name.as_str().to_owned(), organizations, collaborations }
        }
    })
}

/// A token by which edges know the caller's session for some minutes. It names the identity and no rights: those
/// are in the snapshot (S2), and it never outlives its session.
///
/// # Errors
/// [`AppError`].
pub fn edge_token(ask: &Ask, edge_tokens: Option<&EdgeTokens>) -> Result<api::EdgeToken, AppError> {
    ask.permit(Demand::Own)?;
    let Caller::Session { session, identity, .. } = &ask.caller else {
        return Err(AppError::Denied(Denied::Forbidden("me")));
    };
    let EdgeTokens { installation, signer } = edge_tokens.ok_or(AppError::EdgeTokensOff)?;
    let held = ask.view.session_by_id(session)?.ok_or(StoreError::Corrupt("sessions"))?;
    let issued = ask.now.seconds();
    let expires = issued.plus_secs(LIFETIME_SECS_MAX).min(held.expires_at.seconds());
    if expires <= issued {
        // Its last second: a token would be dead on arrival.
        return Err(AppError::Ended(Ended::Expired));
    }
    let content =
        TokenContent { installation: *installation, session: *session, identity: *identity, issued, expires };
    let text = content.sign(&signer.borrow()).map_err(|_| StoreError::Corrupt("sessions"))?;
    let token = api::Revealed::new(text.expose());
    Ok(api::EdgeToken { token, expires_at: api::Timestamp(expires), identity_id: identity.to_string() })
}

fn show(ask: &Ask, membership: &Membership) -> Result<Shown, AppError> {
    let organization = ask.view.organization(membership.organization)?;
    let organization = organization.ok_or(StoreError::Corrupt("organizations"))?;
    Ok(Shown {
        organization_id: organization.id.to_string(),
        name: organization.name.as_str().to_owned(),
        role: membership.role.into(),
    })
}

/// The projects in which the caller's identity has a role now (X2, M10): neither deleted, nor closed to externals
/// or past their end date (X3, X4).
fn collaborations(ask: &Ask, user: &UserId) -> Result<Vec<api::Collaboration>, AppError> {
    let identity = ask.identity()?;
    let mut shown = Vec::new();
    for one in ask.view.collaborations_of(user)? {
        let project = ask.view.project(one.project)?.ok_or(StoreError::Corrupt("projects"))?;
        let place = ask.project_of(project, user, identity)?;
        let Some(role) = place.role().filter(|_| place.project.deleted_at.is_none()) else { continue };
        shown.push(api::Collaboration {
            project_id: place.project.id.to_string(),
            name: place.project.name.as_str().to_owned(),
            slug: place.project.slug.to_string(),
            organization_name: place.organization.name.as_str().to_owned(),
            role: role.into(),
            external: place.membership.is_none(),
            ends_at: one.ends_at.map(|end| api::Timestamp(end.begins())),
        });
    }
    Ok(shown)
}
