//! Sessions: an operator signs a person in; a person lists and revokes their own (IAM §6).

use super::ask::Ask;
use super::error::AppError;
use super::{ControlConfig, fields, render};
use crate::iam::session::SESSION_TTL_SECS;
use crate::iam::{Caller, Demand, OperatorAct, PlainToken, Session, TokenKind};
use crate::store::Write;
use latchkey_api as api;
use latchkey_core::{Dice, SessionId};

/// Signs a person in on an operator's word, where the installation allows it, and shows the token, once.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn create(
    ask: &Ask,
    dice: &mut Dice,
    config: &ControlConfig,
    body: &api::CreateSession,
) -> Result<Write<api::CreatedSession>, AppError> {
    let permit = ask.permit(Demand::Operator(OperatorAct::SignIn))?;
    if !config.operator_sign_in {
        return Err(AppError::OperatorSignInOff);
    }
    let email = fields::email("email", &body.email)?;
    let user = ask.view.user_by_email(&email)?;
    let user = user.ok_or_else(|| AppError::field("email", "nobody has this address"))?;
    let token = PlainToken::generate(TokenKind::Session, dice);
    let session = Session {
        id: SessionId::generate(dice),
        digest: token.digest(),
        user: user.id,
        created_at: ask.now,
        expires_at: ask.now.plus_ms(SESSION_TTL_SECS * 1000),
        revoked_at: None,
    };
    let shown = render::session(&session, None);
    let entry = ask.entry(&permit, "sessions.create", ("user", user.id.to_string())).after(&shown);
    let token = api::Revealed::new(token.expose());
    let reply = api::CreatedSession { session: shown, user_id: user.id.to_string(), token };
    Ok(Write::new(entry, reply).put(session))
}

/// The caller's sessions that have not ended, the newest first (S1).
///
/// # Errors
/// [`AppError`].
pub fn list(ask: &Ask) -> Result<api::SessionList, AppError> {
    ask.permit(Demand::Own)?;
    let mut sessions = ask.view.sessions_of(ask.person()?)?;
    sessions.retain(|session| session.revoked_at.is_none() && !session.has_expired(ask.now));
    sessions.sort_by_key(|session| std::cmp::Reverse((session.created_at, session.id)));
    Ok(api::SessionList { items: sessions.iter().map(|one| render::session(one, current(ask))).collect() })
}

/// Ends one of the caller's own sessions (S1).
///
/// # Errors
/// [`AppError`].
pub fn revoke(ask: &Ask, id: &str) -> Result<Write<api::Session>, AppError> {
    let permit = ask.permit(Demand::Own)?;
    let id = SessionId::parse(id).ok_or(AppError::NOT_FOUND)?;
    let before = ask.view.session_of(ask.person()?, &id)?.ok_or(AppError::NOT_FOUND)?;
    let now = before.revoked(&permit, ask.now);
    let shown = render::session(&now, current(ask));
    let entry = ask.entry(&permit, "sessions.revoke", ("session", id.to_string())).before(&shown);
    Ok(Write::new(entry, shown).put(now))
}

fn current<'a>(ask: &'a Ask) -> Option<&'a SessionId> {
    match &ask.caller {
        Caller::Operator { .. } => None,
        Caller::Session { session, .. } => Some(session),
    }
}
