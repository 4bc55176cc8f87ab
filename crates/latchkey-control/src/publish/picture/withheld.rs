//! What an operator holds back, so that a restart knows it: the picture that was published is the committed state, but
//! for what is kept here.
//!
//! What was committed after it was kept last, and before the restart, is not known as it was published. So of what was
//! touched meanwhile only what refuses is said, and the rest is owed until the release.

use super::{Known, Picture};
use crate::iam::{BudgetScope, KeyProof};
use crate::publish::records;
use crate::store::{Effect, ReadView, StoreError, Touch, Touched, View};
use latchkey_core::{
    ExpiryMinute, Generation, OrganizationNumber, Pepper, ProjectNumber, ResourceId, UnixMillis,
};
use latchkey_snapshot::build::{Content, DeltaContent, Record};
use latchkey_snapshot::manifest::{ExceptionClass, Exceptions};
use latchkey_snapshot::{Delta, Installation, ObjectRef};
use std::collections::{BTreeMap, BTreeSet};

/// What was held back when a statement was made.
pub(in crate::publish) struct Withheld {
    /// Since when the operator holds grants back: of another hold it says nothing.
    since: UnixMillis,
    /// The statement's generation.
    generation: Generation,
    /// What is said otherwise than the committed state says it.
    owed: BTreeSet<Touched>,
    /// How it is said, as a delta; `None` if that was more than a delta holds.
    said: Option<Vec<u8>>,
    /// What is refused as a whole.
    exceptions: Exceptions,
}

impl Picture {
    /// What is held back now, if anything is.
    pub(in crate::publish) fn withheld(
        &self,
        pepper: &Pepper,
        installation: Installation,
        view: &ReadView,
    ) -> Result<Option<Withheld>, StoreError> {
        let Some(since) = view.publish_held_since()?.filter(|_| self.holds) else { return Ok(None) };
        let mut found_by = Content::new(pepper.clone());
        for noun in &self.owed {
            records_of(noun, &self.projects, view, &mut |record| found_by.put(record))?;
        }
        let none = Exceptions::default();
        let content = DeltaContent {
            installation,
            // It stands on the committed state, which has no name.
            base: ObjectRef::to(Withheld::NAME.as_bytes()),
            from: Generation(self.generation.0.saturating_sub(1)),
            generation: self.generation,
            parent: None,
            before: &none,
            now: &none,
        };
        let said = self.content.delta(&content, &found_by.take_touched());
        Ok(Some(Withheld {
            since,
            generation: self.generation,
            owed: self.owed.clone(),
            said: said.ok().map(|delta| delta.bytes.to_vec()),
            exceptions: self.exceptions(),
        }))
    }

    /// The picture that was published last, under a hold: the whole state of a view without what is held back.
    /// `stated` is the generation of the last statement.
    pub(in crate::publish) fn load_held(
        pepper: Pepper,
        view: &ReadView,
        stated: Generation,
    ) -> Result<Self, StoreError> {
        let since = view.publish_held_since()?;
        let kept = Withheld::read(view)?.filter(|kept| Some(kept.since) == since);
        let mut picture = Self::load(pepper, view)?;
        picture.holds = true;
        let mut unknown = touched_after(kept.as_ref().map_or(stated, |kept| kept.generation), view)?;
        match kept {
            Some(kept) => {
                picture.refuse_as(&kept);
                picture.restate(kept, &mut unknown, view)?;
            }
            None => picture.refuse_whole(&unknown),
        }
        for noun in unknown.keys() {
            picture.forget(noun, view)?;
        }
        for noun in unknown.keys() {
            picture.retake(noun, view)?;
        }
        picture.content.take_touched();
        Ok(picture)
    }

    /// Says what is owed as it was said. What cannot be told any more is unknown.
    fn restate(
        &mut self,
        kept: Withheld,
        unknown: &mut BTreeMap<Touched, Effect>,
        view: &ReadView,
    ) -> Result<(), StoreError> {
        let said = kept.said.as_deref().and_then(|bytes| Delta::parse(&ObjectRef::to(bytes), bytes).ok());
        let Some(said) = said.filter(|said| said.removals.pepper_id == self.content.pepper_id()) else {
            unknown.extend(kept.owed.into_iter().map(|noun| (noun, Effect::Grants)));
            return Ok(());
        };
        for noun in kept.owed {
            let content = &mut self.content;
            records_of(&noun, &self.projects, view, &mut |record| content.restate(record, &said))?;
            self.owed.insert(noun);
        }
        Ok(())
    }

    /// Refuses as a whole what was refused as a whole.
    fn refuse_as(&mut self, kept: &Withheld) {
        let numbers = |class| kept.exceptions.numbers(class).iter().copied();
        self.suspended.extend(numbers(ExceptionClass::OrganizationSuspended).map(OrganizationNumber));
        self.archived.extend(numbers(ExceptionClass::ProjectArchived).map(ProjectNumber));
        numbers(ExceptionClass::ProjectClosedToExternals)
            .for_each(|number| self.close(ProjectNumber(number)));
        self.exhausted.extend(kept.owed.iter().filter_map(|noun| match noun {
            Touched::Budget(scope) => Some(*scope),
            _ => None,
        }));
    }

    /// Refuses as a whole what nobody knows whether it was refused.
    fn refuse_whole(&mut self, unknown: &BTreeMap<Touched, Effect>) {
        for (noun, _) in unknown.iter().filter(|(_, effect)| **effect == Effect::Grants) {
            match noun {
                Touched::Organization(number) => drop(self.suspended.insert(*number)),
                Touched::Project(number) => {
                    self.archived.insert(*number);
                    self.close(*number);
                }
                Touched::Budget(scope) => drop(self.exhausted.insert(*scope)),
                _ => {}
            }
        }
    }

    fn close(&mut self, project: ProjectNumber) {
        if let Some(known) = self.projects.get_mut(&project) {
            known.allows_external = false;
        }
    }

    /// Says nothing more of it.
    fn forget(&mut self, noun: &Touched, view: &ReadView) -> Result<(), StoreError> {
        match noun {
            Touched::Membership(organization, identity) => {
                self.content.remove_membership(identity, *organization);
            }
            Touched::Collaboration(project, identity) => {
                self.content.remove_collaboration(identity, *project)
            }
            Touched::Key(id) => match view.key(*id)?.map(|key| key.proof) {
                Some(KeyProof::Native(digest)) => self.content.remove_key(*id, &digest),
                Some(KeyProof::Imported(digest)) => self.content.remove_imported_key(&digest),
                None => {}
            },
            Touched::Resource { kind, id } => {
                if let (Some(resource), Ok(id)) = (view.resource(*kind, id)?, ResourceId::parse(id)) {
                    self.content.remove_resource(resource.project, *kind, id);
                }
            }
            Touched::Project(number) => {
                if let Some(project) = view.project(*number)? {
                    self.content.remove_project_reference(&project.id.to_string());
                    self.content.remove_project_reference(project.slug.as_str());
                }
            }
            // That a session was ended only refuses; the others are refused as a whole.
            Touched::Session(_) | Touched::Organization(_) | Touched::Budget(_) => {}
        }
        Ok(())
    }
}

/// What was touched after a generation, and whether all of that refused. A key's budget touches its whole line.
fn touched_after(generation: Generation, view: &ReadView) -> Result<BTreeMap<Touched, Effect>, StoreError> {
    let mut touched: BTreeMap<Touched, Effect> = BTreeMap::new();
    for outbound in view.outbox_after(generation)? {
        for Touch { noun, effect } in outbound?.touches {
            if let Touched::Budget(BudgetScope::Key(family)) = noun {
                let keys = line_of(family, view)?.into_iter().map(|id| (Touched::Key(id), Effect::Grants));
                touched.extend(keys);
            }
            let held = touched.entry(noun).or_insert(effect);
            *held = effect.min(*held);
        }
    }
    Ok(touched)
}

/// The records that are about it. Only by what they are found counts, not what they say.
fn records_of(
    noun: &Touched,
    projects: &BTreeMap<ProjectNumber, Known>,
    view: &ReadView,
    act: &mut dyn FnMut(Record<'_>),
) -> Result<(), StoreError> {
    let owner = |project| projects.get(&project).map(|known| known.organization);
    match noun {
        Touched::Membership(organization, identity) => {
            if let Some(membership) = view.membership_by(*organization, identity)? {
                act(records::membership(&membership));
            }
        }
        Touched::Collaboration(project, identity) => {
            let held = view.collaboration_by(*project, identity)?;
            if let Some((collaboration, owner)) = held.zip(owner(*project)) {
                act(records::collaboration(&collaboration, owner));
            }
        }
        Touched::Session(session) => {
            act(Record::EndedSession { session: *session, forget: ExpiryMinute(0) });
        }
        Touched::Key(id) => {
            if let Some(key) = view.key(*id)?
                && let Some(record) = owner(key.project).and_then(|owner| records::key(&key, owner, false))
            {
                act(record);
            }
        }
        Touched::Resource { kind, id } => {
            if let Some(resource) = view.resource(*kind, id)?
                && let Some(record) =
                    owner(resource.project).and_then(|owner| records::resource(&resource, owner))
            {
                act(record);
            }
        }
        Touched::Project(number) => {
            if let Some(project) = view.project(*number)? {
                let id = project.id.to_string();
                records::references(&project, &id).into_iter().for_each(act);
            }
        }
        Touched::Budget(BudgetScope::Key(family)) => {
            for id in line_of(*family, view)? {
                records_of(&Touched::Key(id), projects, view, act)?;
            }
        }
        Touched::Budget(_) | Touched::Organization(_) => {}
    }
    Ok(())
}

/// A key and all that it was rotated to.
fn line_of(family: latchkey_core::KeyId, view: &ReadView) -> Result<Vec<latchkey_core::KeyId>, StoreError> {
    let (mut line, mut next) = (Vec::new(), Some(family));
    while let Some(id) = next {
        line.push(id);
        next = view.key(id)?.and_then(|key| key.successor);
    }
    Ok(line)
}

impl Withheld {
    /// The name under which the store keeps it.
    pub(in crate::publish) const NAME: &'static str = "withheld";

    fn read(view: &ReadView) -> Result<Option<Self>, StoreError> {
        match view.publish_state(Self::NAME)? {
            None => Ok(None),
            Some(bytes) => Self::from_bytes(&bytes).map(Some).ok_or(StoreError::Corrupt("publish_state")),
        }
    }

    pub(in crate::publish) fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        let touch = |noun: &Touched| Touch { noun: noun.clone(), effect: Effect::Grants };
        let mut bytes = vec![VERSION];
        bytes.extend(self.since.0.to_le_bytes());
        bytes.extend(self.generation.0.to_le_bytes());
        for class in ExceptionClass::ALL {
            let numbers: Vec<u8> =
                self.exceptions.numbers(class).iter().flat_map(|number| number.to_le_bytes()).collect();
            put_part(&mut bytes, &numbers);
        }
        put_part(&mut bytes, &Touch::list_to_bytes(&self.owed.iter().map(touch).collect())?);
        put_part(&mut bytes, self.said.as_deref().unwrap_or_default());
        Ok(bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&[VERSION])?;
        let since = UnixMillis(take_number(&mut rest)?);
        let generation = Generation(take_number(&mut rest)?);
        let mut numbers = || {
            let (words, odd) = take_part(&mut rest)?.as_chunks::<4>();
            odd.is_empty().then(|| words.iter().map(|word| u32::from_le_bytes(*word)).collect::<Vec<u32>>())
        };
        let exceptions = Exceptions::default()
            .with_suspended(numbers()?.into_iter().map(OrganizationNumber))
            .with_archived(numbers()?.into_iter().map(ProjectNumber))
            .with_closed_to_externals(numbers()?.into_iter().map(ProjectNumber))
            .with_organizations_out_of_budget(numbers()?.into_iter().map(OrganizationNumber))
            .with_projects_out_of_budget(numbers()?.into_iter().map(ProjectNumber));
        let owed = Touch::list_from_bytes(take_part(&mut rest)?).ok()?;
        let said = take_part(&mut rest)?.to_vec();
        rest.is_empty().then_some(Self {
            since,
            generation,
            owed: owed.into_iter().map(|touch| touch.noun).collect(),
            said: (!said.is_empty()).then_some(said),
            exceptions,
        })
    }
}

fn put_part(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend((part.len() as u64).to_le_bytes());
    bytes.extend(part);
}

fn take_part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_number(rest)?).ok()?;
    let (part, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some(part)
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let (number, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(u64::from_le_bytes(*number))
}

const VERSION: u8 = 1;
