//! Vectors of what is held back: statements that do not serve, and what their deltas refuse all the same.

use super::story::{exceptions, identity_query, key_query, reference_query, resource_query, session_query};
use super::{BASE, OTHER_PEPPER, Stage, canary, case, edition, loaded};
use crate::case::hex;
use crate::describe;
use crate::lookup::PEPPER;
use crate::root::INSTALLATION;
use latchkey_snapshot::build::Object;
use latchkey_snapshot::*;
use serde_json::{Value, json};

/// A step: a statement that comes, which of its deltas cannot be had, and what is refused then beside what serves.
struct Step<'s> {
    generation: u64,
    manifest: ObjectRef,
    tip: Option<ObjectRef>,
    lacking: &'s [ObjectRef],
    serves: u64,
    refused: Vec<(Query, &'static str)>,
    exceptions: Exceptions,
}

impl Step<'_> {
    fn into_value(self) -> Value {
        let mut step = case("", self.generation, &self.manifest, self.tip.as_ref());
        step["lacking"] = self.lacking.iter().map(|delta| delta.digest().to_string()).collect();
        step["serves"] = self.serves.to_string().into();
        let mut refused: Vec<_> =
            self.refused.iter().map(|(query, how)| (query.kind as u8, hex(query.tag), *how)).collect();
        refused.sort_unstable();
        step["refused"] = json!(refused);
        step["exceptions"] = describe::exceptions(&self.exceptions);
        step.as_object_mut().unwrap().remove("name");
        step
    }
}

pub(crate) fn vectors() -> Value {
    let mut stage = Stage::new();
    let cases = cases(&mut stage);
    let bytes =
        |objects: &[Object]| objects.iter().map(|object| hex(&object.bytes).into()).collect::<Vec<Value>>();
    json!({
        "about": "statements that come one after the other to a reader that has every object but the deltas that are \
                  lacking. serves: the generation that the reader serves then. refused: what deltas that do not serve \
                  refuse, by kind and tag; exceptions: what is refused as a whole",
        "installation": hex(INSTALLATION),
        "pepper": hex(PEPPER),
        "manifests": bytes(&stage.manifests),
        "objects": bytes(&stage.objects),
        "deltas": bytes(&stage.deltas),
        "cases": cases,
    })
}

/// What the first delta refuses, but for the sessions that it ends.
fn by_first() -> Vec<(Query, &'static str)> {
    vec![(key_query(1), "revoked"), (key_query(3), "gone"), (reference_query("alpha"), "gone")]
}

/// What the second one refuses. That a session's record is gone refuses nothing.
fn by_second() -> Vec<(Query, &'static str)> {
    let [membership, collaboration] = identity_query(b'A');
    vec![
        (key_query(2), "disabled"),
        (key_query(9), "gone"),
        (resource_query(), "gone"),
        (membership, "gone"),
        (collaboration, "gone"),
    ]
}

fn cases(stage: &mut Stage) -> Vec<Value> {
    let base = stage.base.manifest.reference;
    let first = stage.delta(1, 1, &|_| {});
    let second = stage.delta(2, 2, &|delta| delta.parent = Some(first));
    // Over a base with a canary that the first delta ends.
    let ending = stage.manifest(INSTALLATION, &[canary(1, Some(KeyState::Active))]);
    let first_ending = stage.delta(1, 1, &|delta| delta.base = ending);
    let second_ending = stage.delta(2, 2, &|delta| (delta.base, delta.parent) = (ending, Some(first_ending)));
    let ended = || [b'T', b'U'].map(|letter| (session_query(letter), "revoked"));
    let start = |manifest| Step {
        generation: BASE,
        manifest,
        tip: None,
        lacking: &[],
        serves: BASE,
        refused: vec![],
        exceptions: exceptions(0),
    };
    let begun = |step: usize| {
        let delta = |step: usize| exceptions(step).minus(&exceptions(step - 1));
        (1..=step).fold(exceptions(0), |held, at| held.plus(&delta(at)))
    };
    let over = |generation, manifest, tip| Step { generation, tip: Some(tip), ..start(manifest) };
    let mut all = Vec::new();
    let mut add = |name: &str, steps: Vec<Step<'_>>| {
        let steps: Vec<Value> = steps.into_iter().map(Step::into_value).collect();
        all.push(json!({ "name": name, "steps": steps }));
    };

    let whole = || [by_first(), ended().to_vec()].concat();
    add(
        "a delta that its canary holds back, until a statement of its generation serves",
        vec![
            start(ending),
            Step { refused: whole(), exceptions: begun(1), ..over(6, ending, first_ending) },
            Step { serves: 6, exceptions: exceptions(1), ..over(6, base, first) },
        ],
    );
    let broken = stage.spoil(&first, |bytes| *bytes.last_mut().unwrap() ^= 1);
    add(
        "a delta that is broken behind its removals",
        vec![start(base), Step { refused: by_first(), exceptions: begun(1), ..over(6, base, broken) }],
    );
    let cut = stage.cut(&first, 1);
    add("a delta that is cut in its removals", vec![start(base), over(6, base, cut)]);
    let ends = stage.cut(&first, 0);
    add(
        "a delta that ends behind its removals",
        vec![start(base), Step { refused: by_first(), exceptions: begun(1), ..over(6, base, ends) }],
    );
    add(
        "a tip at another generation than its statement",
        vec![start(base), Step { refused: whole(), exceptions: begun(1), ..over(8, base, first) }],
    );
    // What begins with the second delta alone: project 31 is archived, and 30 is still.
    let tips = || exceptions(0).plus(&exceptions(2).minus(&exceptions(1)));
    add(
        "a tip whose parent cannot be had",
        vec![
            start(base),
            Step { lacking: &[first], refused: by_second(), exceptions: tips(), ..over(7, base, second) },
        ],
    );
    let both = || {
        let firsts = by_first().into_iter().filter(|(query, _)| query.tag == key_query(1).tag);
        // That the second forgets session U waits for the chain.
        firsts.chain(by_second()).chain(ended()).collect::<Vec<_>>()
    };
    // The second ends organization 3, which waits for the chain, and project 32, which only the first refuses.
    let lifted = exceptions(1).minus(&exceptions(0)).minus(&exceptions(2));
    let of_both = exceptions(0).plus(&exceptions(1)).plus(&exceptions(2)).minus(&lifted);
    add(
        "two deltas that a canary holds back: the newest decides",
        vec![start(ending), Step { refused: both(), exceptions: of_both, ..over(7, ending, second_ending) }],
    );
    add(
        "a delta no newer than what serves",
        vec![
            Step { serves: 7, exceptions: exceptions(2), ..over(7, base, second) },
            Step { serves: 7, exceptions: exceptions(2), ..over(8, base, first) },
        ],
    );
    add("a delta that cannot be had", vec![start(base), Step { lacking: &[first], ..over(6, base, first) }]);
    add("a delta of a later generation than its statement", vec![start(base), over(BASE, base, first)]);
    let foreign = stage.delta(1, 1, &|delta| delta.installation = Installation([8; 16]));
    add(
        "a delta of another installation, which serves nowhere",
        vec![start(base), Step { refused: whole(), exceptions: begun(1), ..over(6, base, foreign) }],
    );
    let third = stage.empty(7, 8, Some(second));
    let fourth = stage.empty(8, 9, Some(third));
    let fifth = stage.empty(9, 10, Some(fourth));
    add(
        "five deltas, of which the oldest is not fetched",
        vec![start(base), Step { refused: by_second(), exceptions: tips(), ..over(10, base, fifth) }],
    );
    let peppered = edition(&mut loaded(OTHER_PEPPER), INSTALLATION, 1, &[], &[]).manifest;
    let peppered = stage.keep_manifest(peppered);
    let rule = Rule::new("GET", "/v1/caf\u{e9}", Access::Public);
    let unruly = edition(&mut loaded(PEPPER), INSTALLATION, 1, &[], &[rule]).manifest;
    let unruly = stage.keep_manifest(unruly);
    add(
        "a manifest under a pepper that is not held",
        vec![start(base), Step { generation: 6, ..start(peppered) }],
    );
    add(
        "a manifest with a rule that cannot stand",
        vec![start(base), Step { generation: 6, ..start(unruly) }],
    );
    all
}
