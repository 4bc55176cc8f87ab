//! Roots: who may replace whom.

use crate::fixture::*;
use latchkey_snapshot::build::{BuildError, RootContent, RootDraft};
use latchkey_snapshot::root::{KeyRole, RootKey};
use latchkey_snapshot::{Installation, Root, RootError};

fn second() -> RootContent {
    RootContent {
        version: 2,
        keys: vec![
            root_key(&signer(11), KeyRole::Offline),
            root_key(&signer(2), KeyRole::Release),
            root_key(&signer(13), KeyRole::Head),
        ],
        ..root_content()
    }
}

#[test]
fn root_signed_by_both_generations_of_offline_keys_follows() {
    let bytes = second().sign(&[&signer(1), &signer(11)]).unwrap();
    assert_eq!(root().successor(&bytes).unwrap().version(), 2);
}

#[test]
fn root_that_only_one_side_signed_is_refused() {
    let by_old = second().sign(&[&signer(1)]).unwrap();
    assert_eq!(root().successor(&by_old).unwrap_err(), RootError::OwnSignatures);
    let by_new = second().sign(&[&signer(11)]).unwrap();
    assert_eq!(root().successor(&by_new).unwrap_err(), RootError::PredecessorSignatures);
    let by_online = second().sign(&[&signer(2), &signer(3)]).unwrap();
    assert_eq!(root().successor(&by_online).unwrap_err(), RootError::OwnSignatures);
}

#[test]
fn root_that_skips_a_version_or_repeats_one_is_refused() {
    for version in [1, 3, u32::MAX] {
        let bytes = RootContent { version, ..second() }.sign(&[&signer(1), &signer(11)]).unwrap();
        assert_eq!(root().successor(&bytes).unwrap_err(), RootError::Version { got: version, expected: 2 });
    }
}

#[test]
fn root_of_another_installation_is_refused() {
    let foreign = RootContent { installation: Installation([8; 16]), ..second() };
    let bytes = foreign.sign(&[&signer(1), &signer(11)]).unwrap();
    assert_eq!(root().successor(&bytes).unwrap_err(), RootError::Installation);
}

/// The key of the first root's time signs one more, for a moment at which it was in force.
#[test]
fn key_whose_time_was_over_before_the_held_root_signs_no_successor() {
    let issued = root_content().issued;
    let held = RootContent { issued: issued.plus_secs(1000), version: 2, ..root_content() };
    let key = |key: &RootKey| match key.role {
        KeyRole::Offline => RootKey { not_after: issued.plus_secs(1000), ..key.clone() },
        _ => key.clone(),
    };
    let held = RootContent { keys: held.keys.iter().map(key).collect(), ..held };
    let held_root = root().successor(&held.sign(&[&signer(1)]).unwrap()).unwrap();
    let third = |secs: u64| {
        let content = RootContent { version: 3, issued: issued.plus_secs(secs), ..held.clone() };
        held_root.successor(&content.sign(&[&signer(1)]).unwrap())
    };
    for secs in [0, 999] {
        assert_eq!(third(secs).unwrap_err(), RootError::Issued, "backdated");
    }
    assert_eq!(third(1000).unwrap().version(), 3, "two roots of one second");
    assert_eq!(third(1001).unwrap_err(), RootError::OwnSignatures, "its time is over");
}

#[test]
fn threshold_of_two_needs_two_different_keys() {
    let two = RootContent {
        thresholds: [2, 1, 1],
        keys: [root_content().keys, vec![root_key(&signer(21), KeyRole::Offline)]].concat(),
        ..root_content()
    };
    let one_signed = two.sign(&[&signer(1)]).unwrap();
    assert_eq!(Root::pinned(&one_signed).unwrap_err(), RootError::OwnSignatures);
    assert!(Root::pinned(&two.sign(&[&signer(1), &signer(21)]).unwrap()).is_ok());
}

#[test]
fn threshold_that_cannot_be_reached_is_refused() {
    for thresholds in [[0, 1, 1], [2, 1, 1], [1, 0, 1], [1, 1, 2]] {
        let bytes = RootContent { thresholds, ..root_content() }.sign(&[&signer(1)]).unwrap();
        assert!(matches!(Root::pinned(&bytes), Err(RootError::Parse(_))), "{thresholds:?}");
    }
}

#[test]
fn key_that_stands_twice_is_refused() {
    let twice = RootContent {
        keys: [root_content().keys, vec![root_key(&signer(2), KeyRole::Head)]].concat(),
        ..root_content()
    };
    assert!(matches!(Root::pinned(&twice.sign(&[&signer(1)]).unwrap()), Err(RootError::Parse(_))));
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_root_is_refused() {
    let bytes = root_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Root::pinned(&flipped).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(Root::pinned(&bytes[..len]).is_err(), "{len} bytes");
    }
    assert!(Root::pinned(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn draft_is_no_root_before_enough_have_signed() {
    let mut draft = RootDraft::new(&second()).unwrap();
    assert!(root().successor(&draft.to_bytes()).is_err());
    for (signer, error) in [(signer(1), RootError::OwnSignatures), (signer(2), RootError::OwnSignatures)] {
        draft.sign(&signer).unwrap();
        draft = RootDraft::read(&draft.to_bytes()).unwrap();
        assert_eq!(root().successor(&draft.to_bytes()).unwrap_err(), error);
    }
    draft.sign(&signer(11)).unwrap();
    assert_eq!(root().successor(&draft.to_bytes()).unwrap().version(), 2);
}

#[test]
fn draft_is_the_root_that_the_same_keys_sign_at_once() {
    let mut draft = RootDraft::new(&second()).unwrap();
    [11, 1, 11].iter().for_each(|seed| draft.sign(&signer(*seed)).unwrap());
    assert_eq!(draft.to_bytes(), second().sign(&[&signer(1), &signer(11)]).unwrap());
}

#[test]
fn draft_that_could_never_be_a_root_is_refused() {
    let twice = [second().keys, vec![root_key(&signer(2), KeyRole::Head)]].concat();
    for content in [
        RootContent { thresholds: [2, 1, 1], ..second() },
        RootContent { thresholds: [1, 0, 1], ..second() },
        RootContent { keys: Vec::new(), ..second() },
        RootContent { keys: twice, ..second() },
        RootContent { version: 0, ..second() },
    ] {
        assert!(matches!(RootDraft::new(&content), Err(BuildError::Unreadable(_))), "{content:?}");
    }
}

#[test]
fn signature_of_another_draft_or_a_flipped_one_counts_for_nothing() {
    let mut draft = RootDraft::new(&second()).unwrap();
    draft.sign(&signer(1)).unwrap();
    assert!(draft.is_signed_by(&signer(1).public()) && !draft.is_signed_by(&signer(11).public()));
    let bytes = draft.to_bytes();
    for at in [20, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert!(!RootDraft::read(&flipped).unwrap().is_signed_by(&signer(1).public()));
    }
    assert!(RootDraft::read(&bytes[..bytes.len() - 1]).is_err());
    assert!(RootDraft::read(&[&bytes[..], &[0]].concat()).is_err());
    let mut full = RootDraft::new(&second()).unwrap();
    (0..8).for_each(|seed| full.sign(&signer(seed)).unwrap());
    assert_eq!(full.sign(&signer(9)), Err(BuildError::Signers));
}

#[test]
fn draft_with_any_bit_flipped_or_cut_off_is_refused_or_says_the_same_bytes() {
    let mut draft = RootDraft::new(&second()).unwrap();
    draft.sign(&signer(1)).unwrap();
    let bytes = draft.to_bytes();
    for len in 0..bytes.len() {
        assert!(RootDraft::read(&bytes[..len]).is_err(), "{len}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(draft) = RootDraft::read(&flipped) {
            assert_eq!(draft.to_bytes(), flipped, "bit {bit}");
            assert!(root().successor(&flipped).is_err(), "bit {bit}");
        }
    }
}
