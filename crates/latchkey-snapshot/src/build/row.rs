//! Records as they are kept: what a page will say of them, and where.

use super::narrowing::Narrowing;
use super::record::{Record, Standing};
use super::slot::{ImportedSlot, Shared, Slot};
use crate::names::{OrganizationNames, ProjectNames};
use crate::page::{Binding, FLAG_EXTERNAL, FLAG_OUT_OF_BUDGET, KeyState};
use crate::query::{Kind, Query};
use latchkey_core::{Pepper, ProjectNumber};

/// A record as it is kept.
pub(super) enum Row {
    Slot(Kind, Slot),
    Imported(ImportedSlot),
    Project(ProjectNames),
    Organization(OrganizationNames),
}

impl Row {
    /// The record's row. What it shares with others is held in `shared`.
    pub(super) fn of(record: Record<'_>, pepper: &Pepper, shared: &mut Shared) -> Self {
        match record {
            Record::Key { id, digest, binding, expiry, state, out_of_budget, narrowing } => {
                let query = Query::native_key(pepper, id, &digest);
                let slot = key_slot(shared, &query, &binding, narrowing.as_ref());
                Self::Slot(query.kind, slot.lasting(expiry).flagged(key_flags(state, out_of_budget)))
            }
            Record::ImportedKey { id, digest, binding, expiry, state, out_of_budget, narrowing } => {
                let query = Query::imported_key(pepper, &digest);
                let slot = key_slot(shared, &query, &binding, narrowing.as_ref());
                let slot = slot.lasting(expiry).flagged(key_flags(state, out_of_budget));
                Self::Imported(ImportedSlot { slot, id })
            }
            Record::Resource { resource, id, project, organization } => {
                let query = Query::resource(pepper, project, resource, id);
                Self::at(&query, |slot| slot.owned(project, organization))
            }
            Record::ProjectReference { text, project, organization } => {
                let query = Query::project_reference(pepper, text);
                Self::at(&query, |slot| slot.owned(project, organization))
            }
            Record::Membership { identity, organization, role } => {
                let query = Query::membership(pepper, &identity, organization);
                Self::at(&query, |slot| slot.owned(ProjectNumber(0), organization).with_role(role))
            }
            Record::Collaboration { identity, project, organization, role, standing } => {
                let query = Query::collaboration(pepper, &identity, project);
                let (flags, ends) = match standing {
                    Standing::Member => (0, None),
                    Standing::External { ends } => (FLAG_EXTERNAL, ends),
                };
                let said = |slot: Slot| slot.owned(project, organization).with_role(role);
                Self::at(&query, |slot| said(slot).lasting(ends).flagged(flags))
            }
            Record::EndedSession { session, forget } => {
                let query = Query::ended_session(pepper, &session);
                Self::at(&query, |slot| slot.lasting(Some(forget)))
            }
            Record::ProjectNames(names) => Self::Project(names),
            Record::OrganizationNames(names) => Self::Organization(names),
        }
    }

    fn at(query: &Query, say: impl Fn(Slot) -> Slot) -> Self {
        Self::Slot(query.kind, say(Slot::at(query)))
    }
}

fn key_slot(shared: &mut Shared, query: &Query, binding: &Binding, narrowing: Option<&Narrowing>) -> Slot {
    Slot {
        role: binding.role.map_or(0, |role| role as u8),
        set: shared.sets.hold(&binding.permissions),
        narrowing: narrowing.map_or(0, |narrowing| shared.narrowings.hold(narrowing)),
        ..Slot::at(query).owned(binding.project, binding.organization)
    }
}

const fn key_flags(state: KeyState, out_of_budget: bool) -> u8 {
    state as u8 | if out_of_budget { FLAG_OUT_OF_BUDGET } else { 0 }
}
