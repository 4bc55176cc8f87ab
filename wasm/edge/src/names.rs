//! What a project and its organization are called, for `whoami` and for origins.

use crate::isolate::{Isolate, now};
use crate::refresh;
use latchkey_core::{OrganizationId, ProjectId};
use latchkey_gate::{Ask, Attempt, NamesStep};
use latchkey_snapshot::Binding;
use worker::Env;

/// The names of a grant.
pub(crate) struct Names {
    pub(crate) project: ProjectId,
    pub(crate) project_slug: String,
    pub(crate) project_name: String,
    pub(crate) organization: OrganizationId,
    pub(crate) organization_name: String,
}

enum Next {
    Found(Names),
    Ask(Ask),
    Unavailable,
}

/// The names of a binding; `None` when they are out of reach.
pub(crate) async fn of(
    isolate: &Isolate,
    env: &Env,
    binding: &Binding,
    attempt: &mut Attempt,
) -> Option<Names> {
    loop {
        let next = isolate.with(|gate| match gate.names(binding, now(), attempt) {
            NamesStep::Names(names) => Next::Found(Names {
                project: names.project.id,
                project_slug: names.project.slug.as_str().to_owned(),
                project_name: names.project.name.as_ref().to_owned(),
                organization: names.organization.id,
                organization_name: names.organization.name.as_ref().to_owned(),
            }),
            NamesStep::Ask(ask) => Next::Ask(ask),
            NamesStep::Unavailable => Next::Unavailable,
        });
        match next? {
            Next::Found(names) => return Some(names),
            Next::Ask(ask) => refresh::perform(isolate, env, ask).await,
            Next::Unavailable => return None,
        }
    }
}
