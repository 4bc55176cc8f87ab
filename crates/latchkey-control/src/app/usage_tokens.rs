//! Credentials that bring usage and can do nothing else (B3): an operator makes, lists and revokes them.

use super::ask::Ask;
use super::error::AppError;
use super::fields;
use crate::iam::{Demand, OperatorAct, PlainToken, TokenKind, UsageToken};
use crate::store::Write;
use latchkey_api as api;
use latchkey_core::Dice;

/// Makes a credential and shows it, once.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn create(
    ask: &Ask,
    dice: &mut Dice,
    body: &api::CreateUsageToken,
) -> Result<Write<api::CreatedUsageToken>, AppError> {
    let permit = ask.permit(Demand::Operator(OperatorAct::Tokens))?;
    let name = fields::name("name", &body.name)?.as_str().to_owned();
    let plain = PlainToken::generate(TokenKind::Usage, dice);
    // None is ever removed.
    let number = u32::try_from(ask.view.usage_tokens()?.len()).unwrap_or(u32::MAX).saturating_add(1);
    let token = UsageToken { number, name, digest: plain.digest(), created_at: ask.now, revoked_at: None };
    let shown = show(&token);
    let entry = ask.entry(&permit, "usage_tokens.create", subject(&token)).after(&shown);
    let reply = api::CreatedUsageToken { usage_token: shown, token: api::Revealed::new(plain.expose()) };
    Ok(Write::new(entry, reply).put(token))
}

/// All of them, revoked ones included.
///
/// # Errors
/// [`AppError`].
pub fn list(ask: &Ask) -> Result<api::UsageTokenList, AppError> {
    ask.permit(Demand::Operator(OperatorAct::Tokens))?;
    let mut tokens = ask.view.usage_tokens()?;
    tokens.sort_by_key(|token| token.number);
    Ok(api::UsageTokenList { items: tokens.iter().map(show).collect() })
}

/// Revokes one, for good.
///
/// # Errors
/// [`AppError`].
pub fn revoke(ask: &Ask, number: &str) -> Result<Write<api::UsageToken>, AppError> {
    let permit = ask.permit(Demand::Operator(OperatorAct::Tokens))?;
    let named = |token: &UsageToken| token.number.to_string() == number;
    let before = ask.view.usage_tokens()?.into_iter().find(named).ok_or(AppError::NOT_FOUND)?;
    let now = before.clone().revoked(&permit, ask.now);
    let shown = show(&now);
    let entry = ask.entry(&permit, "usage_tokens.revoke", subject(&now)).before(&show(&before)).after(&shown);
    Ok(Write::new(entry, shown).put(now))
}

fn show(token: &UsageToken) -> api::UsageToken {
    api::UsageToken {
        id: token.number,
        name: token.name.clone(),
        created_at: token.created_at.into(),
        revoked_at: token.revoked_at.map(Into::into),
    }
}

fn subject(token: &UsageToken) -> (&'static str, String) {
    ("usage_token", token.number.to_string())
}
