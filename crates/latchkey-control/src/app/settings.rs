//! What an organization's admins set for it: read, change (M1, M6, K10).

use super::ask::Ask;
use super::error::AppError;
use super::fields::{EXPIRY_AHEAD_MAX_SECS, within};
use super::render;
use crate::iam::organization::{SESSION_MINUTES_MAX, SESSION_MINUTES_MIN};
use crate::iam::{JoinMethod, KeyPolicy, Settings};
use crate::store::Write;
use latchkey_api as api;
use latchkey_core::Permission;

/// The settings.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn read(ask: &Ask, organization: &str) -> Result<api::OrganizationSettings, AppError> {
    let place = ask.organization(organization)?;
    place.permit(ask, Permission::OrgSettingsRead)?;
    Ok(render::settings(&place.organization.settings))
}

/// Changes what is named. Members, projects and keys stay when the way of joining changes (M1).
///
/// # Errors
/// [`AppError`].
pub fn change(
    ask: &Ask,
    organization: &str,
    body: &api::ChangeOrganizationSettings,
) -> Result<Write<api::OrganizationSettings>, AppError> {
    let place = ask.organization(organization)?;
    if body.join_method.is_some() {
        place.permit(ask, Permission::OrgSsoManage)?;
    }
    let permit = place.permit(ask, Permission::OrgSettingsWrite)?;
    let before = place.organization.settings;
    let now = changed(before, body)?;
    let shown = render::settings(&now);
    let entry = ask
        .entry(&permit, "organizations.change_settings", ("organization", place.organization.id.to_string()))
        .before(&render::settings(&before))
        .after(&shown);
    Ok(Write::new(entry, shown).put(place.organization.with_settings(&permit, now)))
}

fn changed(before: Settings, body: &api::ChangeOrganizationSettings) -> Result<Settings, AppError> {
    let api::ChangeOrganizationSettings { join_method, session_minutes, keys } = body;
    if join_method.is_none() && session_minutes.is_none() && keys.is_none() {
        return Err(AppError::field("", "`join_method`, `session_minutes` or `keys` is needed"));
    }
    let mut now = before;
    if let Some(method) = join_method {
        now.join_method = match method {
            api::JoinMethod::Invitation => JoinMethod::Invitation,
            api::JoinMethod::Sso => JoinMethod::Sso,
        };
    }
    if let Some(minutes) = session_minutes {
        now.session_minutes = within("session_minutes", *minutes, SESSION_MINUTES_MIN..=SESSION_MINUTES_MAX)?;
    }
    if let Some(policy) = keys {
        now.keys = changed_policy(before.keys, policy)?;
    }
    Ok(now)
}

fn changed_policy(before: KeyPolicy, body: &api::ChangeKeyPolicy) -> Result<KeyPolicy, AppError> {
    let mut now = before;
    if let Some(minutes) = body.lifetime_minutes_max {
        let bound = |minutes| within("keys.lifetime_minutes_max", minutes, 1..=LIFETIME_MINUTES_MAX);
        now.lifetime_minutes_max = minutes.map(bound).transpose()?;
    }
    if let Some(required) = body.expiry_required {
        now.expiry_required = required;
    }
    if let Some(days) = body.idle_days_max {
        let bound = |days| within("keys.idle_days_max", days, 1..=IDLE_DAYS_MAX);
        now.idle_days_max = days.map(bound).transpose()?;
    }
    if let Some(days) = body.warning_days {
        let bound = |days| within("keys.warning_days", days, 1..=WARNING_DAYS_MAX);
        now.warning_days = days.map(bound).transpose()?;
    }
    Ok(now)
}

/// As far ahead as any expiry lies.
const LIFETIME_MINUTES_MAX: u32 = (EXPIRY_AHEAD_MAX_SECS / 60) as u32;
const IDLE_DAYS_MAX: u16 = 3650;
const WARNING_DAYS_MAX: u16 = 365;
