//! The ownership of an organization: read, offer, cancel the offer, accept it (O3, O3a).

use super::ask::{Ask, InOrganization};
use super::error::{AppError, Conflict};
use super::{members, render};
use crate::iam::organization::OFFER_MS;
use crate::iam::{Demand, Denied, Organization, OwnershipOffer};
use crate::store::{Change, Write};
use latchkey_api as api;
use latchkey_core::{Permission, Role, UserId};

/// Who owns the organization, and the offer that stands.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn read(ask: &Ask, organization: &str) -> Result<api::Ownership, AppError> {
    let place = ask.organization(organization)?;
    place.permit(ask, Permission::OrgMembersRead)?;
    let offer = standing_offer(ask, &place.organization)?;
    Ok(render::ownership(&place.organization, offer.as_ref()))
}

/// Offers the ownership to another admin; one offer at a time (O3a).
///
/// # Errors
/// [`AppError`].
pub fn offer(
    ask: &Ask,
    organization: &str,
    body: &api::OfferOwnership,
) -> Result<Write<api::Ownership>, AppError> {
    let place = ask.organization(organization)?;
    let permit = place.authorize(ask, Demand::Ownership)?;
    let to = heir(ask, &place, &body.user_id)?;
    if standing_offer(ask, &place.organization)?.is_some() {
        return Err(Conflict::OfferOpen.into());
    }
    let offer = OwnershipOffer {
        organization: place.organization.number,
        from: place.organization.owner,
        to,
        created_at: ask.now,
        expires_at: ask.now.plus_ms(OFFER_MS),
    };
    let shown = render::ownership(&place.organization, Some(&offer));
    let entry = ask
        .entry(&permit, "ownership.offer", subject(&place.organization))
        .before(&render::ownership(&place.organization, None))
        .after(&shown);
    Ok(Write::new(entry, shown).put(offer))
}

/// Takes the offer back.
///
/// # Errors
/// [`AppError`].
pub fn cancel(ask: &Ask, organization: &str) -> Result<Write<api::Ownership>, AppError> {
    let place = ask.organization(organization)?;
    let permit = place.authorize(ask, Demand::Ownership)?;
    let offer = standing_offer(ask, &place.organization)?.ok_or(AppError::NOT_FOUND)?;
    let shown = render::ownership(&place.organization, None);
    let entry = ask
        .entry(&permit, "ownership.cancel", subject(&place.organization))
        .before(&render::ownership(&place.organization, Some(&offer)))
        .after(&shown);
    Ok(Write::new(entry, shown).put(Change::RemoveOwnershipOffer(place.organization.number)))
}

/// Accepts the offer: the caller is the owner from now on, and the owner before stays an admin (O3).
///
/// # Errors
/// [`AppError`]; to whom nothing is offered, the same as to anybody else.
pub fn accept(ask: &Ask, organization: &str) -> Result<Write<api::Ownership>, AppError> {
    let place = ask.organization(organization)?;
    let permit = place.authorize(ask, Demand::Succession)?;
    let nothing_offered = Denied::Forbidden(Demand::Succession.as_str());
    let offer = standing_offer(ask, &place.organization)?.ok_or(nothing_offered)?;
    let now = offer.accepted(&permit, place.organization.clone())?;
    let shown = render::ownership(&now, None);
    let entry = ask
        .entry(&permit, "ownership.accept", subject(&now))
        .before(&render::ownership(&place.organization, Some(&offer)))
        .after(&shown);
    let offer = Change::RemoveOwnershipOffer(now.number);
    Ok(Write::new(entry, shown).put(now).put(offer))
}

/// The offer, unless it is void.
fn standing_offer(ask: &Ask, organization: &Organization) -> Result<Option<OwnershipOffer>, AppError> {
    let Some(offer) = ask.view.ownership_offer(organization.number)? else { return Ok(None) };
    let from = ask.view.membership(organization.number, &offer.from)?;
    let to = ask.view.membership(organization.number, &offer.to)?;
    Ok(offer.stands(ask.now, organization, from.as_ref(), to.as_ref()).then_some(offer))
}

/// Another admin who is a person: a service account owns nothing (S3).
fn heir(ask: &Ask, place: &InOrganization, user: &str) -> Result<UserId, AppError> {
    let no_heir = || AppError::field("user_id", "not another admin of the organization");
    let user = UserId::parse(user).filter(|user| *user != place.organization.owner).ok_or_else(no_heir)?;
    let membership = ask.view.membership(place.organization.number, &user)?.ok_or_else(no_heir)?;
    if membership.role != Role::Admin || members::account(ask, &user)?.is_service() {
        return Err(no_heir());
    }
    Ok(user)
}

fn subject(organization: &Organization) -> (&'static str, String) {
    ("organization", organization.id.to_string())
}
