//! Heads and statements: who signed, for whom, under which root, and in which order.

use crate::fixture::*;
use latchkey_core::{Generation, ProjectNumber, UnixSeconds};
use latchkey_snapshot::build::{BuildError, HeadContent, RootContent, StatementContent};
use latchkey_snapshot::root::{KeyRole, RootKey};
use latchkey_snapshot::*;

fn verify(bytes: &[u8]) -> Result<Head, HeadError> {
    UnverifiedHead::parse(bytes)?.verify(&root())
}

#[test]
fn head_with_one_inline_revocation_is_read_back_and_stays_small() {
    let bytes = head_bytes(&[one_inline()]);
    let head = verify(&bytes).unwrap();
    assert_eq!(head.inline, [one_inline()]);
    assert_eq!(head.newest_generation(), Generation(6));
    assert_eq!(head.statement.manifest, small().manifest.reference);
    assert!(bytes.len() <= 512, "{} bytes", bytes.len());
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_head_is_refused() {
    let bytes = head_bytes(&[one_inline()]);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&flipped).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(verify(&bytes[..len]).is_err(), "{len} bytes");
    }
    assert!(verify(&[&bytes[..], &[0]].concat()).is_err());
    assert_eq!(verify(&[0; 5000]).unwrap_err(), HeadError::TooLong);
}

#[test]
fn head_key_cannot_sign_a_statement_nor_a_release_key_a_head() {
    let content = statement_content(&small());
    let by_head = content.sign(&[&signer(3)]).unwrap();
    assert_eq!(verify(&head_over(&by_head, &[])).unwrap_err(), HeadError::StatementSignatures);
    let statement = content.sign(&[&signer(2)]).unwrap();
    let head = HeadContent { root_version: 1, as_of: NOW, statement: &statement, inline: &[] };
    for wrong in [1, 2, 4, 99] {
        let bytes = head.sign(&[&signer(wrong)]).unwrap();
        assert_eq!(verify(&bytes).unwrap_err(), HeadError::HeadSignatures, "signer {wrong}");
    }
}

#[test]
fn previous_base_is_another_one_with_a_tip_and_an_end_within_a_day() {
    let content = statement_content(&small());
    let (other, tip) = (ObjectRef::to(b"a base"), ObjectRef::to(b"a delta"));
    let issued = NOW.seconds();
    let read = |manifest: ObjectRef, until: UnixSeconds| {
        let previous = Some(Previous { manifest, tip, until });
        let statement = StatementContent { previous, ..content.clone() }.sign(&[&signer(2)]).unwrap();
        match verify(&head_over(&statement, &[])) {
            Ok(head) => Ok(head.statement.previous),
            Err(HeadError::Parse(error)) => Err((error.field, error.fault)),
            Err(error) => panic!("{error}"),
        }
    };
    let late = Err(("previous until", Fault::OutOfRange));
    assert_eq!(read(other, issued), late);
    assert_eq!(read(other, issued.plus_secs(86_401)), late);
    assert_eq!(read(other, UnixSeconds(u64::MAX)), late);
    let same = read(content.manifest, issued.plus_secs(600));
    assert_eq!(same, Err(("previous manifest", Fault::NotCanonical)));
    let until = issued.plus_secs(86_400);
    assert_eq!(read(other, until), Ok(Some(Previous { manifest: other, tip, until })));
}

#[test]
fn head_of_another_installation_or_root_is_refused() {
    let content = StatementContent { installation: Installation([8; 16]), ..statement_content(&small()) };
    let statement = content.sign(&[&signer(2)]).unwrap();
    assert_eq!(verify(&head_over(&statement, &[])).unwrap_err(), HeadError::Installation);
    let statement = statement_content(&small()).sign(&[&signer(2)]).unwrap();
    let head = HeadContent { root_version: 2, as_of: NOW, statement: &statement, inline: &[] };
    let bytes = head.sign(&[&signer(3)]).unwrap();
    assert_eq!(verify(&bytes).unwrap_err(), HeadError::RootVersion { named: 2, held: 1 });
}

#[test]
fn signature_outside_its_keys_validity_counts_for_nothing() {
    let only = |role: KeyRole, not_after: UnixSeconds| {
        let narrow =
            |key: &RootKey| if key.role == role { RootKey { not_after, ..key.clone() } } else { key.clone() };
        let keys = root_content().keys.iter().map(narrow).collect();
        Root::pinned(&RootContent { keys, ..root_content() }.sign(&[&signer(1)]).unwrap()).unwrap()
    };
    let before = UnixSeconds(NOW.seconds().0 - 1);
    let bytes = head_bytes(&[]);
    let check = |root: Root| UnverifiedHead::parse(&bytes).unwrap().verify(&root);
    assert!(check(only(KeyRole::Head, NOW.seconds())).is_ok());
    assert_eq!(check(only(KeyRole::Head, before)).unwrap_err(), HeadError::HeadSignatures);
    assert_eq!(check(only(KeyRole::Release, before)).unwrap_err(), HeadError::StatementSignatures);
}

#[test]
fn inline_revocation_not_above_the_statement_is_refused() {
    for generation in [0, 4, 5] {
        let old = Inline { generation: Generation(generation), ..one_inline() };
        let error = verify(&head_bytes(&[old])).unwrap_err();
        assert!(matches!(error, HeadError::Parse(ParseError { field: "inline generation", .. })), "{error}");
    }
}

#[test]
fn inline_revocation_twice_or_padded_is_refused() {
    let twice = verify(&head_bytes(&[one_inline(), one_inline()])).unwrap_err();
    assert!(matches!(twice, HeadError::Parse(ParseError { fault: Fault::NotAscending, .. })));
    let many: Vec<Inline> = (0..65)
        .map(|number| Inline { subject: InlineSubject::Project(ProjectNumber(number)), ..one_inline() })
        .collect();
    assert!(verify(&head_bytes(&many[..64])).is_ok());
    let statement = statement_content(&small()).sign(&[&signer(2)]).unwrap();
    let head = HeadContent { root_version: 1, as_of: NOW, statement: &statement, inline: &many };
    assert_eq!(head.sign(&[&signer(3)]), Err(BuildError::TooMany("inline revocations")));
}

#[test]
fn rank_orders_by_root_then_generation_then_time() {
    let head = verify(&head_bytes(&[])).unwrap();
    let mut newer_root = head.clone();
    newer_root.root_version = 2;
    newer_root.statement.generation = Generation(1);
    let mut newer_generation = head.clone();
    newer_generation.statement.generation = Generation(6);
    newer_generation.as_of.0 -= 1000;
    let mut younger = head.clone();
    younger.as_of.0 += 1;
    assert!(head.rank() < younger.rank());
    assert!(younger.rank() < newer_generation.rank());
    assert!(newer_generation.rank() < newer_root.rank());
}
