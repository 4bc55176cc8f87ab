//! Operators of the installation.

use super::Control;
use super::error::AppError;
use crate::iam::{OperatorToken, PlainToken, TokenKind, authorize_first_operator};
use crate::store::{AuditEntry, Committed, Ctx, View, Write};
use latchkey_api::audit::LoggedOperator;

/// Makes the installation's first operator token and shows it, once: `latchkey init` calls this.
///
/// # Errors
/// [`AppError::Denied`] if an operator exists already.
pub async fn create_first(control: &Control, name: &str) -> Result<Committed<PlainToken>, AppError> {
    let name = super::fields::name("name", name)?;
    let decide = move |view: &dyn View, ctx: &mut Ctx| {
        let permit = authorize_first_operator(view.operators()? as usize)?;
        let plain = PlainToken::generate(TokenKind::Operator, &mut ctx.dice);
        let token = OperatorToken {
            number: 1,
            name: name.as_str().to_owned(),
            digest: plain.digest(),
            created_at: ctx.now,
        };
        let subject = ("operator", "operator_1".to_owned());
        let entry = AuditEntry::new(&permit, None, "operators.create_first", subject)
            .after(&LoggedOperator { name: name.as_str() });
        Ok::<_, AppError>(Write::new(entry, plain).put(token))
    };
    control.store().write(decide).await
}
