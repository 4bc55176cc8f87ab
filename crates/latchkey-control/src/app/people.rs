//! Accounts and identities: whom an address or a provider's word stands for (M10).

use super::ask::Ask;
use super::error::AppError;
use super::fields;
use crate::iam::person::{PROVIDER_OPERATOR, PROVIDER_SERVICE};
use crate::iam::{Contact, Email, Identity, User};
use crate::store::Change;
use latchkey_api::SignInIdentity;
use latchkey_core::{Dice, IdentityId, UserId};

/// Somebody who signs in or is named: their account and identity, and the rows to put where they are new.
pub(super) struct Person {
    pub(super) user: UserId,
    pub(super) identity: IdentityId,
    pub(super) newcomer: Vec<Change>,
}

/// The person that the operator names by address alone, made if there is none.
pub(super) fn by_email(ask: &Ask, dice: &mut Dice, email: &Email) -> Result<Person, AppError> {
    found_or_made(ask, dice, email, PROVIDER_OPERATOR, email.as_str())
}

/// The person that signs in, by the operator's word or by another provider's that the operator passes on.
pub(super) fn signing_in(
    ask: &Ask,
    dice: &mut Dice,
    email: &Email,
    identity: Option<&SignInIdentity>,
) -> Result<Person, AppError> {
    let Some(SignInIdentity { provider, subject }) = identity else { return by_email(ask, dice, email) };
    if [PROVIDER_OPERATOR, PROVIDER_SERVICE].contains(&provider.as_str()) {
        return Err(AppError::field("identity.provider", "this name is the installation's own"));
    }
    fields::plain("identity.provider", provider, PROVIDER_CHARS_MAX)?;
    fields::plain("identity.subject", subject, SUBJECT_CHARS_MAX)?;
    found_or_made(ask, dice, email, provider, subject)
}

/// An identity that is known signs in to its own account, whatever the address says. A new one joins the account
/// that has the address, where its rights are none: those of other identities are not its own.
fn found_or_made(
    ask: &Ask,
    dice: &mut Dice,
    email: &Email,
    provider: &str,
    subject: &str,
) -> Result<Person, AppError> {
    if let Some(known) = ask.view.identity_of(provider, subject)? {
        return Ok(Person { user: known.user, identity: known.id, newcomer: Vec::new() });
    }
    let mut newcomer = Vec::new();
    let user = match ask.view.user_by_email(email)? {
        Some(user) => user.id,
        None => {
            let contact = Contact::Person(email.clone());
            let user = User { id: UserId::generate(dice), contact, created_at: ask.now };
            newcomer.push(user.clone().into());
            user.id
        }
    };
    let (provider, subject) = (provider.to_owned(), subject.to_owned());
    let identity = Identity { id: IdentityId::generate(dice), user, provider, subject, created_at: ask.now };
    let id = identity.id;
    newcomer.push(identity.into());
    Ok(Person { user, identity: id, newcomer })
}

const PROVIDER_CHARS_MAX: usize = 200;
const SUBJECT_CHARS_MAX: usize = 255;
