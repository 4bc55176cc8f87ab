//! What a project and its organization are called, for `whoami` and for origins.

use crate::isolate::{Isolate, now};
use latchkey_gate::bodies::Names;
use latchkey_gate::{Ask, Attempt, NamesStep};
use latchkey_snapshot::Binding;

/// One step towards the names of a grant.
pub(crate) enum Next {
    /// They are here.
    Found(Box<Names>),
    /// Something must be fetched first; then the request is judged again.
    Ask(Ask),
    /// They are out of reach.
    Unavailable,
}

/// The names of a binding, without waiting for anything.
pub(crate) fn of(isolate: &Isolate, binding: &Binding, attempt: &mut Attempt) -> Next {
    let next = isolate.with(|gate| match gate.names(binding, now(), attempt) {
        NamesStep::Names(names) => Next::Found(Box::new(names.into())),
        NamesStep::Ask(ask) => Next::Ask(ask),
        NamesStep::Unavailable => Next::Unavailable,
    });
    next.unwrap_or(Next::Unavailable)
}
