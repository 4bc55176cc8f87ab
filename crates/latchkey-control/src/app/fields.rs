//! Fields of requests, parsed into the types of the rules, with the path of the one that is wrong.

use super::ask::InProject;
use super::error::AppError;
use crate::iam::{Email, Name};
use latchkey_api::Timestamp;
use latchkey_core::{ExpiryMinute, Slug, UnixMillis};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// How far ahead an expiry may lie: ten years, leap days included.
pub(super) const EXPIRY_AHEAD_MAX_SECS: u64 = 3653 * 24 * 60 * 60;

pub(super) fn name(path: impl Into<String>, text: &str) -> Result<Name, AppError> {
    Name::parse(text).map_err(|error| AppError::field(path, error))
}

/// A text of 1 to `most` characters on one line.
pub(super) fn plain(path: &str, text: &str, most: usize) -> Result<(), AppError> {
    let is_plain = (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if is_plain {
        Ok(())
    } else {
        Err(AppError::field(path, format!("this is 1 to {most} characters on one line")))
    }
}

/// A `https` URL without user, query and fragment, exactly as it was written.
pub(super) fn https_url(path: &str, text: &str) -> Result<String, AppError> {
    let is_plain = text.len() <= URL_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    let url = reqwest::Url::parse(text).ok().filter(|_| is_plain);
    let is_good = url.is_some_and(|url| {
        let is_bare = url.username().is_empty() && url.password().is_none();
        let has_more = url.query().is_some() || url.fragment().is_some();
        text.starts_with("https://") && url.has_host() && is_bare && !has_more
    });
    if is_good {
        return Ok(text.to_owned());
    }
    Err(AppError::field(path, "this is a URL like `https://example.com/a`, without user, query and fragment"))
}

const URL_BYTES_MAX: usize = 500;

/// A number within its limits.
pub(super) fn within<T: PartialOrd + Display>(
    path: &str,
    number: T,
    limits: RangeInclusive<T>,
) -> Result<T, AppError> {
    if limits.contains(&number) {
        return Ok(number);
    }
    let (least, most) = limits.into_inner();
    Err(AppError::field(path, format!("this is {least} to {most}")))
}

pub(super) fn email(path: &str, text: &str) -> Result<Email, AppError> {
    Email::parse(text).map_err(|error| AppError::field(path, error))
}

pub(super) fn slug(path: &str, text: &str) -> Result<Slug, AppError> {
    Slug::parse(text).map_err(|error| AppError::field(path, error))
}

/// An expiry in whole minutes, at most ten years ahead (K3). It may have passed.
pub(super) fn expiry(path: &str, at: Timestamp, now: UnixMillis) -> Result<ExpiryMinute, AppError> {
    let minute = ExpiryMinute::floor(at.0).filter(|minute| minute.begins() == at.0);
    let minute = minute.ok_or_else(|| AppError::field(path, "an expiry is a whole minute"))?;
    if at.0 > now.seconds().plus_secs(EXPIRY_AHEAD_MAX_SECS) {
        return Err(AppError::field(path, "an expiry lies at most ten years ahead"));
    }
    Ok(minute)
}

/// As [`expiry`], and still to come.
pub(super) fn future_expiry(path: &str, at: Timestamp, now: UnixMillis) -> Result<ExpiryMinute, AppError> {
    let minute = expiry(path, at, now)?;
    if minute.has_passed(now) {
        return Err(AppError::field(path, "the expiry has passed already"));
    }
    Ok(minute)
}

/// Whether a key that is made or lengthened may expire then, by the policy of its organization (K10).
pub(super) fn policy(
    path: &str,
    place: &InProject,
    expires: Option<ExpiryMinute>,
    now: UnixMillis,
) -> Result<(), AppError> {
    let kept = place.organization.settings.keys.admits(expires, now);
    kept.map_err(|fault| AppError::field(path, fault))
}
