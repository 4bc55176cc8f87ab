//! Leaked credentials: whoever holds one may have it revoked, and learns nothing by it (K12).
//!
//! A text that was never a credential here costs a look-up and no write. One that was costs a commit, so the time
//! of the answer tells a hit from a miss; but whoever could measure that holds the whole secret, and can ask
//! `whoami`.

use super::ask::{Asker, Holding};
use super::error::{AppError, Conflict};
use super::{Control, render};
use crate::iam::{Actor, Key, Notice, NoticeKind, Scope, Session, authorize_leak_report};
use crate::store::{AuditEntry, Ctx, StoreError, View, Write};
use latchkey_api as api;
use std::net::IpAddr;

/// Revokes the key or the session that `secret` is, if it is one, and tells the project. The answer is the same
/// whatever it was.
///
/// # Errors
/// Those of the store alone.
pub async fn report(
    control: &Control,
    from: Option<IpAddr>,
    body: &api::ReportLeak,
) -> Result<api::LeakReported, AppError> {
    if let Some(asker) = Asker::new(body.secret.expose(), &control.minting().prefix, from) {
        let holding = asker.holding(&control.store().read()?)?;
        if holding.is_some_and(|holding| holding.can_be_revoked()) {
            revoke(control, asker).await?;
        }
    }
    Ok(api::LeakReported { received: true })
}

async fn revoke(control: &Control, asker: Asker) -> Result<(), AppError> {
    let decide = move |view: &dyn View, ctx: &mut Ctx| match asker.holding(view)? {
        Some(Holding::Key(key)) if key.revoked_at.is_none() => revoked_key(view, ctx, &asker, key),
        Some(Holding::Session(session)) if session.revoked_at.is_none() => {
            Ok(revoked_session(ctx, &asker, session))
        }
        _ => Err(Conflict::NothingToDo.into()),
    };
    match control.store().write(decide).await {
        // Somebody else was quicker.
        Ok(_) | Err(AppError::Conflict(Conflict::NothingToDo)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn revoked_key(view: &dyn View, ctx: &Ctx, asker: &Asker, before: Key) -> Result<Write<()>, AppError> {
    let project = view.project(before.project)?.ok_or(StoreError::Corrupt("projects"))?;
    let scope = Scope::Project(project.organization, project.number);
    let permit = authorize_leak_report(Actor::Key(before.id), scope);
    let last_use = view.key_use(before.id)?;
    let shown = render::key(&before, &project, last_use, ctx.now);
    let now = before.revoked(&permit, ctx.now);
    let entry = AuditEntry::new(&permit, asker.from(), "keys.report_leak", ("key", now.id.to_string()))
        .before(&shown)
        .after(&render::key(&now, &project, last_use, ctx.now));
    let notice = Notice {
        number: view.next_notice()?,
        organization: project.organization,
        project: Some(project.number),
        what: NoticeKind::KeyLeaked,
        subject: now.id.to_string(),
        at: ctx.now,
    };
    Ok(Write::new(entry, ()).put(now).put(notice))
}

fn revoked_session(ctx: &Ctx, asker: &Asker, before: Session) -> Write<()> {
    let holder = if before.is_service { Actor::Service } else { Actor::User };
    let permit = authorize_leak_report(holder(before.user, before.id), Scope::Installation);
    let shown = render::session(&before, None);
    let entry = AuditEntry::new(&permit, asker.from(), "sessions.report_leak", ("session", shown.id.clone()));
    Write::new(entry.before(&shown), ()).put(before.revoked(&permit, ctx.now))
}
