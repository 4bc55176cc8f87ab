//! The caller themselves.

use super::ask::Ask;
use super::error::AppError;
use crate::iam::{Caller, Contact, Denied, Membership};
use crate::store::StoreError;
use latchkey_api as api;
use latchkey_api::organization::Membership as Shown;

/// Who the caller is, and of which organizations they are a member.
///
/// # Errors
/// [`AppError`].
pub fn read(ask: &Ask) -> Result<api::Me, AppError> {
    let user = match &ask.caller {
        Caller::Operator { name, .. } => return Ok(api::Me::Operator { name: name.clone() }),
        Caller::Session { user, .. } => ask.view.user(user)?.ok_or(StoreError::Corrupt("users"))?,
        Caller::Key(_) | Caller::Reporter(_) => return Err(AppError::Denied(Denied::Forbidden("me"))),
    };
    let memberships = ask.view.memberships_of(&user.id)?;
    let organizations = memberships.iter().map(|one| show(ask, one)).collect::<Result<_, _>>()?;
    let id = user.id.to_string();
    Ok(match &user.contact {
        Contact::Person(email) => api::Me::User { id, email: email.as_str().to_owned(), organizations },
        Contact::Service(name) => api::Me::Service { id, name: name.as_str().to_owned(), organizations },
    })
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
