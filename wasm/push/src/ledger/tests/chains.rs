//! Chains of deltas, and the base before this one.

use super::*;
use latchkey_snapshot::build::{DeltaContent, Object};

/// A delta over the base of generation 3 that adds the keys after `from`.
fn delta(from: u64, generation: u64, parent: Option<&Object>) -> Object {
    delta_on(built(3).manifest.reference, from, generation, parent)
}

fn delta_on(base: ObjectRef, from: u64, generation: u64, parent: Option<&Object>) -> Object {
    let mut content = Content::new(Pepper::new([5; 32]));
    content.take_touched();
    for seed in from..generation {
        put(&mut content, seed);
    }
    let touched = content.take_touched();
    let content_of = DeltaContent {
        installation: Installation([7; 16]),
        base,
        from: Generation(from),
        generation: Generation(generation),
        parent: parent.map(|object| object.reference),
        before: &Exceptions::default(),
        now: &Exceptions::default(),
    };
    content.delta(&content_of, &touched).unwrap()
}

fn over_chain(generation: u64, tip: &Object) -> Vec<u8> {
    Head1::default().naming(generation, built(3).manifest.reference, Some(tip.reference), None)
}

#[test]
fn stems_come_first_then_parents_and_nodes_then_pages() {
    let mut hub = Hub::new();
    let (base, parent) = (built(3), delta(3, 5, None));
    let tip = delta(5, 6, Some(&parent));
    let head = over_chain(6, &tip);
    let mut stems = vec![base.manifest.reference.digest(), tip.reference.digest()];
    stems.sort_unstable();
    assert_eq!(hub.head(&head), Ok(stems));
    assert_eq!(hub.object(&parent.bytes), Err(Refusal::NotNamed));
    hub.object(&tip.bytes).unwrap();
    let missing = hub.head(&head).unwrap();
    assert_eq!(missing, vec![base.manifest.reference.digest(), parent.reference.digest()]);
    hub.object(&base.manifest.bytes).unwrap();
    let second = hub.head(&head).unwrap();
    assert!(second.contains(&parent.reference.digest()) && second.len() > 1);
    hub.object(&parent.bytes).unwrap();
    for object in &base.objects {
        assert!(!hub.head(&head).unwrap().is_empty());
        hub.object(&object.bytes).unwrap();
    }
    assert_eq!((hub.head(&head), hub.generation()), (Ok(Vec::new()), Some(6)));
}

#[test]
fn new_tip_over_the_base_held_costs_that_tip() {
    let mut hub = Hub::at(&[3]);
    let first = delta(3, 4, None);
    assert_eq!(hub.head(&over_chain(4, &first)), Ok(vec![first.reference.digest()]));
    assert_eq!(hub.generation(), Some(3));
    hub.object(&first.bytes).unwrap();
    hub.head(&over_chain(4, &first)).unwrap();
    // Cumulative: the next one stands in the place of the first.
    let second = delta(3, 5, None);
    assert_eq!(hub.head(&over_chain(5, &second)), Ok(vec![second.reference.digest()]));
    assert_eq!(hub.ledger.awaited(), Some((Generation(5), 1)));
    let young = Head1::later(500).naming(4, built(3).manifest.reference, Some(first.reference), None);
    assert_eq!(hub.head(&young), Ok(Vec::new()), "a young head never waits");
    hub.object(&second.bytes).unwrap();
    assert_eq!(hub.head(&over_chain(5, &second)), Ok(Vec::new()));
    assert_eq!((hub.generation(), hub.ledger.indexes.len()), (Some(5), 2));
    let due = NOW.plus_ms((900 + 3600) * 1000);
    assert_eq!(hub.ledger.judge_sweep(due).deleted, vec![first.reference.digest()]);
}

/// A large base takes long: what is granted and refused meanwhile must not wait for it.
#[test]
fn deltas_go_on_over_the_current_base_while_another_is_on_its_way() {
    let mut hub = Hub::at(&[3]);
    let base = built(5);
    assert!(!hub.head(&Head1::default().over(5)).unwrap().is_empty());
    let mut arriving = std::iter::once(&base.manifest).chain(&base.objects);
    for (ms, generation) in [(1, 6), (2, 7), (3, 8)] {
        hub.object(&arriving.next().unwrap().bytes).unwrap();
        let tip = delta(3, generation, None);
        let head =
            |ms| Head1::later(ms).naming(generation, built(3).manifest.reference, Some(tip.reference), None);
        assert_eq!(hub.head(&head(ms)), Ok(vec![tip.reference.digest()]));
        hub.object(&tip.bytes).unwrap();
        assert_eq!((hub.head(&head(ms)), hub.generation()), (Ok(Vec::new()), Some(generation)));
        // Of higher rank than the head over the base, which goes on being awaited.
        assert_eq!(hub.head(&head(ms + 500)), Ok(Vec::new()));
    }
    for object in arriving {
        hub.object(&object.bytes).unwrap();
    }
    let tip = delta_on(base.manifest.reference, 5, 8, None);
    let head = Head1::later(600).naming(8, base.manifest.reference, Some(tip.reference), None);
    assert_eq!(hub.head(&head), Ok(vec![tip.reference.digest()]), "the base is there");
    hub.object(&tip.bytes).unwrap();
    assert_eq!((hub.head(&head), hub.ledger.awaited()), (Ok(Vec::new()), None));
    assert_eq!(hub.ledger.head().unwrap().statement.manifest, base.manifest.reference);
    assert_eq!(hub.ledger.indexes.len(), 2, "nothing of what was before is named");
}

#[test]
fn delta_out_of_place_is_refused() {
    let mut hub = Hub::at(&[3]);
    let elsewhere = delta_on(built(2).manifest.reference, 3, 4, None);
    hub.head(&over_chain(4, &elsewhere)).unwrap();
    assert_eq!(hub.object(&elsewhere.bytes), Err(Refusal::Chain), "another base");
    let early = delta(3, 5, None);
    hub.head(&over_chain(6, &early)).unwrap();
    assert_eq!(hub.object(&early.bytes), Err(Refusal::Chain), "another generation");
    let gap = delta(4, 7, None);
    hub.head(&over_chain(7, &gap)).unwrap();
    hub.object(&gap.bytes).unwrap();
    assert_eq!(hub.head(&over_chain(7, &gap)), Err(Refusal::Chain), "not from the base's generation");
    assert_eq!(hub.generation(), Some(3));
}

#[test]
fn chain_is_four_deltas_at_most() {
    let mut hub = Hub::at(&[3]);
    let mut chain = vec![delta(3, 4, None)];
    for generation in 5..9 {
        let next = delta(generation - 1, generation, chain.last());
        chain.push(next);
    }
    let tip = chain.pop().unwrap();
    hub.head(&over_chain(8, &tip)).unwrap();
    hub.object(&tip.bytes).unwrap();
    for parent in chain.iter().skip(2).rev() {
        hub.object(&parent.bytes).unwrap();
    }
    assert_eq!(hub.object(&chain[1].bytes), Err(Refusal::Chain));
    // One less is taken.
    let tip = chain.pop().unwrap();
    let head = Head1::later(5).naming(7, built(3).manifest.reference, Some(tip.reference), None);
    let mut hub = Hub::at(&[3]);
    hub.head(&head).unwrap();
    for object in [&tip].into_iter().chain(chain.iter().rev()) {
        hub.object(&object.bytes).unwrap();
    }
    assert_eq!(hub.head(&head), Ok(Vec::new()));
}

#[test]
fn base_before_is_kept_with_its_chain_until_no_statement_names_it() {
    let mut hub = Hub::at(&[3]);
    let (new, tip) = (built(4), delta(3, 4, None));
    let previous = Previous {
        manifest: built(3).manifest.reference,
        tip: tip.reference,
        until: NOW.seconds().plus_secs(600),
    };
    let head = Head1::default().naming(4, new.manifest.reference, None, Some(previous));
    let missing = hub.head(&head).unwrap();
    assert!(missing.contains(&new.manifest.reference.digest()) && missing.contains(&tip.reference.digest()));
    hub.object(&new.manifest.bytes).unwrap();
    for object in &new.objects {
        hub.object(&object.bytes).unwrap();
    }
    assert_eq!(hub.head(&head), Ok(vec![tip.reference.digest()]), "the chain before is waited for too");
    hub.object(&tip.bytes).unwrap();
    assert_eq!(hub.head(&head), Ok(Vec::new()));
    assert_eq!(hub.ledger.next_sweep(), None);
    hub.head(&Head1::later(5).over(4)).unwrap();
    let sweep = hub.ledger.judge_sweep(hub.ledger.next_sweep().unwrap());
    assert!(sweep.deleted.contains(&tip.reference.digest()));
    assert!(sweep.deleted.contains(&built(3).manifest.reference.digest()));
    assert!(!sweep.deleted.contains(&new.manifest.reference.digest()));
}

#[test]
fn ledger_with_a_chain_reopens_as_it_was() {
    let mut hub = Hub::at(&[3]);
    let tip = delta(3, 4, None);
    let _ = hub.head(&over_chain(4, &tip));
    hub.object(&tip.bytes).unwrap();
    hub.head(&over_chain(4, &tip)).unwrap();
    let stored = Stored {
        current: hub.ledger.head_bytes().map(<[u8]>::to_vec),
        objects: hub.ledger.objects.clone(),
        ..Stored::default()
    };
    let read = |digest: &ObjectDigest| hub.stored.borrow().get(digest).cloned();
    let again = Ledger::open(&root_bytes(1, [1, 2, 3]), stored, &read).unwrap();
    assert_eq!(again.head_bytes(), hub.ledger.head_bytes());
    assert_eq!((again.judge_sweep(NOW), again.indexes.len()), (Sweep::default(), 2));
}
