//! Vectors of the chain: a base and deltas over it, what they say together, and what is no chain.

pub(crate) mod held;
mod story;

use crate::case::{hex, reason};
use crate::describe;
use crate::lookup::{PEPPER, answer_names, found_in};
use crate::root::INSTALLATION;
use latchkey_core::key::Prefix;
use latchkey_core::{Generation, OrganizationNumber, Pepper, PermissionSet, ProjectNumber, Role};
use latchkey_snapshot::build::{Built, Content, DeltaContent, Edition, Object, Touched};
use latchkey_snapshot::*;
use serde_json::{Value, json};
use story::{Question, binding, change, exceptions, key_query, questions, records};

/// The generation of the base.
const BASE: u64 = 5;
/// A pepper that the reader does not hold.
const OTHER_PEPPER: [u8; 32] = [0x56; 32];
/// Where a delta says how long its base is.
const BASE_LEN_AT: usize = 28;

pub(crate) fn vectors() -> Value {
    let mut stage = Stage::new();
    let mut cases = Vec::new();
    stage.refuse(&mut cases);
    stage.accept(&mut cases);
    let two_ways = stage.two_ways();
    // The ways that are refused stand with the refusals.
    let at = cases.iter().position(|case| case.get("accepted").is_some()).unwrap();
    cases.splice(at..at, two_ways.refused);
    cases.extend(two_ways.accepted);
    let bytes =
        |objects: &[Object]| objects.iter().map(|object| hex(&object.bytes).into()).collect::<Vec<Value>>();
    json!({
        "about": "a case is what a statement of the file's installation names: a generation, a manifest, a delta tip; and, \
                  where by is previous, a previous manifest and a previous tip, by which the reader goes. answers: what is found of the file's questions, in their order, as an index into found; null where it \
                  is nothing. An object's name is its digest",
        "installation": hex(INSTALLATION),
        "pepper": hex(PEPPER),
        "manifests": bytes(&stage.manifests),
        "objects": bytes(&stage.objects),
        "deltas": bytes(&stage.deltas),
        "questions": questions().into_iter().map(|(asked, _)| asked).collect::<Vec<_>>(),
        "found": stage.found,
        "cases": cases,
    })
}

/// A base, and what changed in two steps after it.
struct Stage {
    base: Built,
    /// The nodes and pages of all bases.
    objects: Vec<Object>,
    /// The content at each step, what was touched by it, and the exceptions then; the base's first.
    steps: Vec<(Content, Touched, Exceptions)>,
    manifests: Vec<Object>,
    deltas: Vec<Object>,
    /// Everything that is found of any question.
    found: Vec<Value>,
}

/// The object that is named and what is said of it.
type Header<'h> = &'h dyn Fn(&mut DeltaContent<'_>);

impl Stage {
    fn new() -> Self {
        let mut steps = Vec::new();
        for step in 0..=2 {
            let mut content = loaded(PEPPER);
            (1..step).for_each(|earlier| change(&mut content, earlier));
            content.take_touched();
            if step > 0 {
                change(&mut content, step);
            }
            let touched = content.take_touched();
            steps.push((content, touched, exceptions(step)));
        }
        let (content, ..) = &mut steps[0];
        let base = edition(content, INSTALLATION, 0, &canaries(true), &[]);
        let (manifests, objects) = (vec![base.manifest.clone()], base.objects.clone());
        Self { base, objects, steps, manifests, deltas: vec![], found: vec![] }
    }

    /// Another manifest over the same pages.
    fn manifest(&mut self, installation: [u8; 16], canaries: &[Canary]) -> ObjectRef {
        let (content, ..) = &mut self.steps[0];
        let manifest = edition(content, installation, 0, canaries, &[]).manifest;
        self.keep_manifest(manifest)
    }

    fn keep_manifest(&mut self, manifest: Object) -> ObjectRef {
        let reference = manifest.reference;
        self.manifests.push(manifest);
        reference
    }

    /// The delta of what a step touched and of all that steps from `first` on touched, as `header` has it.
    fn delta(&mut self, first: usize, step: usize, header: Header<'_>) -> ObjectRef {
        let mut touched = Touched::default();
        (first..=step).for_each(|step| touched.extend(&self.steps[step].1));
        let (content, _, now) = &self.steps[step];
        let mut said = DeltaContent {
            installation: Installation(INSTALLATION),
            base: self.base.manifest.reference,
            from: Generation(BASE + first as u64 - 1),
            generation: Generation(BASE + step as u64),
            parent: None,
            before: &self.steps[first - 1].2,
            now,
        };
        header(&mut said);
        let delta = content.delta(&said, &touched).unwrap();
        self.keep(delta)
    }

    /// A delta that says nothing but where it belongs.
    fn empty(&mut self, from: u64, generation: u64, parent: Option<ObjectRef>) -> ObjectRef {
        let (content, _, now) = &self.steps[2];
        let said = DeltaContent {
            installation: Installation(INSTALLATION),
            base: self.base.manifest.reference,
            from: Generation(from),
            generation: Generation(generation),
            parent,
            before: now,
            now,
        };
        let delta = content.delta(&said, &Touched::default()).unwrap();
        self.keep(delta)
    }

    /// The delta with other bytes.
    fn spoil(&mut self, delta: &ObjectRef, change: impl FnOnce(&mut Vec<u8>)) -> ObjectRef {
        let mut bytes = self.deltas.iter().find(|kept| kept.reference == *delta).unwrap().bytes.to_vec();
        change(&mut bytes);
        self.keep(Object { reference: ObjectRef::to(&bytes), bytes: bytes.into() })
    }

    /// The delta up to its last removal, less so many bytes.
    fn cut(&mut self, delta: &ObjectRef, less: usize) -> ObjectRef {
        let bytes = &self.deltas.iter().find(|kept| kept.reference == *delta).unwrap().bytes;
        let read = |len: usize| Removals::parse(&ObjectRef::to(&bytes[..len]), &bytes[..len]).is_ok();
        let end = (0..bytes.len()).find(|len| read(*len)).unwrap();
        self.spoil(delta, |bytes| bytes.truncate(end - less))
    }

    fn keep(&mut self, delta: Object) -> ObjectRef {
        let reference = delta.reference;
        if self.deltas.iter().all(|kept| kept.reference != reference) {
            self.deltas.push(delta);
        }
        reference
    }

    fn refuse(&mut self, cases: &mut Vec<Value>) {
        let base = self.base.manifest.reference;
        let mut refuse =
            |name: &str, generation: u64, manifest: ObjectRef, tip: Option<ObjectRef>, why: &str| {
                let mut case = case(name, generation, &manifest, tip.as_ref());
                case["refused"] = reason("chain", why);
                cases.push(case);
            };
        let first = self.delta(1, 1, &|_| {});
        let second = self.delta(2, 2, &|delta| delta.parent = Some(first));
        refuse("a base below the statement", 6, base, None, "generation");
        refuse("a base above the statement", 4, base, None, "generation");
        refuse("a tip below the statement", 7, base, Some(first), "generation");
        refuse("a tip above the statement", 6, base, Some(second), "generation");

        let orphan = self.delta(2, 2, &|_| {});
        refuse("a delta that begins above its base", 7, base, Some(orphan), "continuity");
        let early = self.delta(1, 1, &|delta| delta.from = Generation(4));
        refuse("a delta that begins below its base", 6, base, Some(early), "continuity");
        let gap = self.empty(7, 8, Some(first));
        refuse("a delta that begins above its parent", 8, base, Some(gap), "continuity");
        let overlap = self.delta(1, 2, &|delta| delta.parent = Some(first));
        refuse("a delta that begins below its parent", 7, base, Some(overlap), "continuity");
        let over_orphan = self.empty(7, 8, Some(orphan));
        refuse("a parent that begins above its base", 8, base, Some(over_orphan), "continuity");

        let third = self.empty(7, 8, Some(second));
        let fourth = self.empty(8, 9, Some(third));
        let fifth = self.empty(9, 10, Some(fourth));
        refuse("five deltas", 10, base, Some(fifth), "too many");

        let foreign = self.delta(1, 1, &|delta| delta.installation = Installation([8; 16]));
        refuse("a delta of another installation", 6, base, Some(foreign), "installation");
        let over_foreign = self.delta(2, 2, &|delta| delta.parent = Some(foreign));
        refuse("a parent of another installation", 7, base, Some(over_foreign), "installation");
        let abroad = self.manifest([8; 16], &canaries(true));
        refuse("a manifest of another installation", 5, abroad, None, "installation");
        let peppered = self.keep(other_pepper(&base));
        refuse("a delta under another pepper", 6, base, Some(peppered), "pepper id");

        let wrong = self.manifest(INSTALLATION, &canaries(false));
        refuse("a delta of another base", 6, wrong, Some(first), "base");
        let elsewhere = self.delta(1, 1, &|delta| delta.base = wrong);
        let over_elsewhere = self.delta(2, 2, &|delta| delta.parent = Some(elsewhere));
        refuse("a parent of another base", 7, base, Some(over_elsewhere), "base");

        refuse("a canary that the base does not hold", 5, wrong, None, "canary");
        let revoked = self.manifest(INSTALLATION, &[canary(1, Some(KeyState::Active))]);
        let over_revoked = self.delta(1, 1, &|delta| delta.base = revoked);
        refuse("a canary that a delta ends", 6, revoked, Some(over_revoked), "canary");
        let unknown = self.manifest(INSTALLATION, &[canary(9, None)]);
        let over_unknown = self.delta(1, 1, &|delta| delta.base = unknown);
        refuse("a canary that a delta begins", 6, unknown, Some(over_unknown), "canary");
        let over_both = self.delta(2, 2, &|delta| (delta.base, delta.parent) = (revoked, Some(over_revoked)));
        refuse("a canary that a parent ends", 7, revoked, Some(over_both), "canary");

        let longer = self.spoil(&first, |bytes| bytes[BASE_LEN_AT] ^= 1);
        refuse("a delta of a base of another length", 6, base, Some(longer), "base");
        let said = binding(Role::Member);
        for (what, binding) in [
            ("project", Binding { project: ProjectNumber(11), ..said }),
            ("organization", Binding { organization: OrganizationNumber(2), ..said }),
            ("role", Binding { role: Some(Role::Admin), ..said }),
            ("permission set", Binding { permissions: PermissionSet::EMPTY, ..said }),
        ] {
            let expected = Some(Expected { binding, state: KeyState::Active });
            let other = self.manifest(INSTALLATION, &[Canary { query: key_query(5), expected }]);
            refuse(&format!("a canary with another {what}"), 5, other, None, "canary");
        }
    }

    fn accept(&mut self, cases: &mut Vec<Value>) {
        let first = self.delta(1, 1, &|_| {});
        let second = self.delta(2, 2, &|delta| delta.parent = Some(first));
        let both = self.delta(1, 2, &|_| {});
        let third = self.empty(7, 8, Some(second));
        let fourth = self.empty(8, 9, Some(third));
        let skips = self.empty(7, u64::MAX, Some(both));
        let unknown = self.manifests[4].reference;
        let begins = self.delta(1, 1, &|delta| delta.base = unknown);
        let ends = self.delta(2, 2, &|delta| (delta.base, delta.parent) = (unknown, Some(begins)));
        let elsewhere = self.keep(misplaced(&self.deltas, &first));
        // After the base: one of another installation, one with a canary that does not hold, and these.
        let [base, revoked] = [0, 3].map(|index| self.manifests[index].reference);
        let mut accept = |name: &str, generation: u64, manifest: &ObjectRef, chain: &[ObjectRef]| {
            let mut case = case(name, generation, manifest, chain.last());
            case["accepted"] = self.say(chain);
            cases.push(case);
        };
        accept("a base alone", 5, &base, &[]);
        accept("a base whose canary a delta would end", 5, &revoked, &[]);
        accept("a base whose canary a delta would begin", 5, &unknown, &[]);
        accept("a canary that a parent would not hold", 7, &unknown, &[begins, ends]);
        accept("one delta", 6, &base, &[first]);
        accept("two deltas", 7, &base, &[first, second]);
        accept("both in one", 7, &base, &[both]);
        accept("four deltas", 9, &base, &[first, second, third, fourth]);
        accept("a delta up to the last generation", u64::MAX, &base, &[both, skips]);
        accept("a revoked key whose record lies elsewhere", 6, &base, &[elsewhere]);
    }

    /// Statements that name a new base and, with its deltas, the one before: both answer alike.
    fn two_ways(&mut self) -> TwoWays {
        let first = self.delta(1, 1, &|_| {});
        let second = self.delta(2, 2, &|delta| delta.parent = Some(first));
        let base = self.base.manifest.reference;
        let (content, ..) = &mut self.steps[2];
        let new = edition(content, INSTALLATION, 2, &canaries(true), &[]);
        let manifest = self.keep_manifest(new.manifest);
        for object in new.objects.iter() {
            if self.objects.iter().all(|kept| kept.reference != object.reference) {
                self.objects.push(object.clone());
            }
        }
        let wrong = self.manifests[2].reference;
        let over_wrong = self.delta(1, 2, &|delta| delta.base = wrong);
        let revoked = self.manifests[3].reference;
        let over_revoked = self.delta(1, 2, &|delta| delta.base = revoked);
        let case = |name: &str, previous: (ObjectRef, ObjectRef), by: &str| {
            let mut case = case(name, 7, &manifest, None);
            case["previous"] = json!({ "manifest": describe::reference(&previous.0), "tip": describe::reference(&previous.1) });
            case["by"] = by.into();
            case
        };
        let refuse = |name: &str, previous, by: &str, why: &str| {
            let mut case = case(name, previous, by);
            case["refused"] = reason("chain", why);
            case
        };
        let refused = vec![
            refuse("a previous tip below the statement", (base, first), "previous", "generation"),
            refuse("a previous tip over another base", (base, over_wrong), "previous", "base"),
            refuse(
                "a previous base with a canary that its delta ends",
                (revoked, over_revoked),
                "previous",
                "canary",
            ),
        ];
        let mut said = self.say(&[first, second]);
        let mut by_previous = case("by the previous base and its deltas", (base, second), "previous");
        by_previous["accepted"] = said.clone();
        said["deltas"] = 0.into();
        let mut by_own = case("by the new base", (base, second), "manifest");
        by_own["accepted"] = said.clone();
        let mut past_broken = case("by the new base, though the previous is none", (base, first), "manifest");
        past_broken["accepted"] = said;
        TwoWays { refused, accepted: vec![by_previous, by_own, past_broken] }
    }

    /// What the base and these deltas, the oldest first, say together.
    fn say(&mut self, chain: &[ObjectRef]) -> Value {
        let deltas: Vec<Delta> = chain
            .iter()
            .map(|reference| {
                let delta = self.deltas.iter().find(|delta| delta.reference == *reference).unwrap();
                Delta::parse(reference, &delta.bytes).unwrap()
            })
            .collect();
        let in_force = deltas
            .iter()
            .fold(exceptions(0), |in_force, delta| in_force.plus(&delta.removals.begun).minus(&delta.lifted));
        let answers: Vec<Value> =
            questions().into_iter().map(|(_, question)| self.index(&deltas, &question)).collect();
        json!({ "deltas": deltas.len(), "exceptions": describe::exceptions(&in_force), "answers": answers })
    }

    fn index(&mut self, deltas: &[Delta], question: &Question) -> Value {
        let found = self.answer(deltas, question);
        if found.is_null() {
            return found;
        }
        let known = self.found.iter().position(|known| *known == found);
        let index = known.unwrap_or_else(|| {
            self.found.push(found);
            self.found.len() - 1
        });
        index.into()
    }

    fn answer(&self, deltas: &[Delta], question: &Question) -> Value {
        let query = match question {
            Question::Record(query) => query,
            Question::Names(kind, number) => {
                let said = deltas.iter().rev().find_map(|delta| match kind {
                    Kind::ProjectNames => {
                        delta.project_names(ProjectNumber(*number)).map(describe::project_names)
                    }
                    _ => delta
                        .organization_names(OrganizationNumber(*number))
                        .map(describe::organization_names),
                });
                return said.unwrap_or_else(|| answer_names(&self.base, *kind, *number));
            }
        };
        for delta in deltas.iter().rev() {
            match delta.find(query) {
                Found::Here(page, entry) => return describe::entry(page, &entry),
                Found::Gone => return Value::Null,
                Found::Unknown => {}
            }
        }
        found_in(&self.base, query)
    }
}

struct TwoWays {
    refused: Vec<Value>,
    accepted: Vec<Value>,
}

fn case(name: &str, generation: u64, manifest: &ObjectRef, tip: Option<&ObjectRef>) -> Value {
    json!({
        "name": name, "generation": describe::wide(generation), "manifest": describe::reference(manifest),
        "tip": tip.map(describe::reference),
    })
}

/// What is in the base, under a pepper.
fn loaded(pepper: [u8; 32]) -> Content {
    let mut content = Content::new(Pepper::new(pepper));
    content.load(records());
    content
}

/// The base of a step.
fn edition(
    content: &mut Content,
    installation: [u8; 16],
    step: usize,
    canaries: &[Canary],
    rules: &[Rule],
) -> Built {
    let edition = Edition {
        installation: Installation(installation),
        generation: Generation(BASE + step as u64),
        pepper_id: content.pepper_id(),
        grace_secs: 900,
        prefix: Prefix::parse("lk").unwrap(),
        exceptions: &exceptions(step),
        session_keys: &[],
        edge_keys: &[],
        canaries,
        cors: None,
        rules,
    };
    content.build(&edition).unwrap()
}

/// Key 5 is there and in force, key 100 is not; or, if they are not to hold, key 5 is revoked.
fn canaries(hold: bool) -> [Canary; 2] {
    let state = if hold { KeyState::Active } else { KeyState::Revoked };
    [canary(5, Some(state)), canary(100, None)]
}

fn canary(index: u32, state: Option<KeyState>) -> Canary {
    let expected = state.map(|state| Expected { binding: binding(Role::Member), state });
    Canary { query: key_query(index), expected }
}

/// The same change under another pepper.
fn other_pepper(base: &ObjectRef) -> Object {
    let mut content = loaded(OTHER_PEPPER);
    change(&mut content, 1);
    let touched = content.take_touched();
    let said = DeltaContent {
        installation: Installation(INSTALLATION),
        base: *base,
        from: Generation(BASE),
        generation: Generation(BASE + 1),
        parent: None,
        before: &exceptions(0),
        now: &exceptions(1),
    };
    content.delta(&said, &touched).unwrap()
}

/// The delta with its page of keys at the last place: its records are not found where questions lead.
fn misplaced(deltas: &[Object], reference: &ObjectRef) -> Object {
    let delta = deltas.iter().find(|delta| delta.reference == *reference).unwrap();
    let mut bytes = delta.bytes.to_vec();
    let magic = bytes.windows(5).position(|window| window == b"LKP2\x01").unwrap();
    bytes[magic - 12..magic - 4].fill(0xff);
    Object { reference: ObjectRef::to(&bytes), bytes: bytes.into() }
}
