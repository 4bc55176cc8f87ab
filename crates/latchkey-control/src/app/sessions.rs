//! Sessions: an operator signs a person in; a person lists and revokes their own (IAM §6).

use super::ask::Ask;
use super::error::AppError;
use super::people::{self, Person};
use super::{ControlConfig, fields, render};
use crate::iam::organization::SESSION_MINUTES_DEFAULT;
use crate::iam::{Caller, Demand, OperatorAct, PlainToken, Session, TokenKind};
use crate::store::Write;
use latchkey_api as api;
use latchkey_api::audit::LoggedSession;
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
    let person = people::signing_in(ask, dice, &email, body.identity.as_ref())?;
    let token = PlainToken::generate(TokenKind::Session, dice);
    let session = Session {
        id: SessionId::generate(dice),
        digest: token.digest(),
        user: person.user,
        identity: person.identity,
        is_service: false,
        created_at: ask.now,
        expires_at: ask.now.plus_ms(session_ms(ask, &person)?),
        revoked_at: None,
    };
    let shown = render::session(&session, None);
    let user_id = person.user.to_string();
    let entry = ask.entry(&permit, "sessions.create", ("user", user_id.clone()));
    let entry = entry.after(&logged(&shown, Some(email.as_str()), None));
    let token = api::Revealed::new(token.expose());
    let reply = api::CreatedSession { session: shown, user_id, token };
    Ok(Write::new(entry, reply).put_all(person.newcomer).put(session))
}

/// How long a session of this identity lasts: the shortest that an organization of its demands (M6).
fn session_ms(ask: &Ask, person: &Person) -> Result<u64, AppError> {
    let mut minutes = None::<u32>;
    let memberships = ask.view.memberships_of(&person.user)?;
    for membership in memberships.iter().filter(|one| one.identity == person.identity) {
        if let Some(organization) = ask.view.organization(membership.organization)? {
            let own = organization.settings.session_minutes;
            minutes = Some(minutes.map_or(own, |least| least.min(own)));
        }
    }
    Ok(u64::from(minutes.unwrap_or(SESSION_MINUTES_DEFAULT)) * 60 * 1000)
}

/// The caller's sessions that have not ended, the newest first (S1). Those of another identity of the same account
/// are that one's alone (M10).
///
/// # Errors
/// [`AppError`].
pub fn list(ask: &Ask) -> Result<api::SessionList, AppError> {
    ask.permit(Demand::Own)?;
    Ok(shown(ask, &own(ask)?))
}

/// Signs the caller out everywhere: all of their sessions end but the one that asks, or that one too (S1).
///
/// # Errors
/// [`AppError`].
pub fn revoke_all(ask: &Ask, body: &api::RevokeSessions) -> Result<Write<api::SessionList>, AppError> {
    let permit = ask.permit(Demand::Own)?;
    let mut ended = own(ask)?;
    ended.retain(|session| body.all || current(ask) != Some(&session.id));
    let shown = shown(ask, &ended);
    let subject = ("user", ask.person()?.to_string());
    let entry = ask.entry(&permit, "sessions.revoke_all", subject).before(&shown);
    let revoked: Vec<_> = ended.into_iter().map(|session| session.revoked(&permit, ask.now)).collect();
    Ok(Write::new(entry, shown).put_all(revoked))
}

/// Ends one of the caller's own sessions (S1).
///
/// # Errors
/// [`AppError`].
pub fn revoke(ask: &Ask, id: &str) -> Result<Write<api::Session>, AppError> {
    let permit = ask.permit(Demand::Own)?;
    let id = SessionId::parse(id).ok_or(AppError::NOT_FOUND)?;
    let before = ask.view.session_of(ask.person()?, &id)?;
    let before = before.filter(|session| Some(&session.identity) == ask.caller.identity());
    let before = before.ok_or(AppError::NOT_FOUND)?;
    let revoked_before = before.revoked_at.map(Into::into);
    let now = before.revoked(&permit, ask.now);
    let shown = render::session(&now, current(ask));
    let entry = ask
        .entry(&permit, "sessions.revoke", ("session", id.to_string()))
        .before(&logged(&shown, None, revoked_before))
        .after(&logged(&shown, None, now.revoked_at.map(Into::into)));
    Ok(Write::new(entry, shown).put(now))
}

const fn logged<'a>(
    session: &'a api::Session,
    email: Option<&'a str>,
    revoked_at: Option<api::Timestamp>,
) -> LoggedSession<'a> {
    LoggedSession { session, email, revoked_at }
}

fn own(ask: &Ask) -> Result<Vec<Session>, AppError> {
    let mut sessions = ask.view.sessions_of(ask.person()?)?;
    sessions.retain(|session| {
        Some(&session.identity) == ask.caller.identity()
            && session.revoked_at.is_none()
            && !session.has_expired(ask.now)
    });
    sessions.sort_by_key(|session| std::cmp::Reverse((session.created_at, session.id)));
    Ok(sessions)
}

fn shown(ask: &Ask, sessions: &[Session]) -> api::SessionList {
    api::SessionList { items: sessions.iter().map(|one| render::session(one, current(ask))).collect() }
}

fn current<'a>(ask: &'a Ask) -> Option<&'a SessionId> {
    match &ask.caller {
        Caller::Session { session, .. } => Some(session),
        _ => None,
    }
}
