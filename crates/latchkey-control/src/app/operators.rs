//! Operators of the installation.

use super::Control;
use super::error::AppError;
use crate::iam::{OperatorToken, PlainToken, TokenKind, authorize_first_operator};
use crate::store::{AuditEntry, Committed, Ctx, View, Write};

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
        let entry = AuditEntry::new(&permit, None, "operators.create_first", ("operator", "1".to_owned()));
        Ok::<_, AppError>(Write::new(entry, plain).put(token))
    };
    control.store().write(decide).await
}
