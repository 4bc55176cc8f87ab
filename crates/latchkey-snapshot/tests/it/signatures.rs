//! Signature blocks that were tampered with: everything else of the object is as its signers made it.

use crate::fixture::*;
use latchkey_snapshot::build::{HeadContent, RootContent, Signer};
use latchkey_snapshot::cursor::{Fault, ParseError};
use latchkey_snapshot::root::KeyRole;
use latchkey_snapshot::*;

/// Bytes of a signer's id and signature.
const SIGNED_LEN: usize = 8 + 64;

/// Without the signatures, and the count says so.
fn stripped(mut bytes: Vec<u8>) -> Vec<u8> {
    let count = bytes.len() - SIGNED_LEN - 1;
    assert_eq!(bytes[count], 1);
    bytes.truncate(count);
    bytes.push(0);
    bytes
}

/// With the one signature twice.
fn doubled(mut bytes: Vec<u8>) -> Vec<u8> {
    let count = bytes.len() - SIGNED_LEN - 1;
    assert_eq!(bytes[count], 1);
    bytes[count] = 2;
    bytes.extend_from_within(count + 1..);
    bytes
}

fn verify(bytes: &[u8], root: &Root) -> Result<Head, HeadError> {
    UnverifiedHead::parse(bytes)?.verify(root)
}

#[track_caller]
fn check_signatures_refused(error: &ParseError, fault: Fault) {
    assert_eq!((error.field, error.fault), ("signatures", fault));
}

#[test]
fn object_whose_signatures_were_stripped_is_refused() {
    let root = root();
    let HeadError::Parse(error) = verify(&stripped(head_bytes(&[])), &root).unwrap_err() else { panic!() };
    check_signatures_refused(&error, Fault::OutOfRange);
    let statement = statement_content(&small()).sign(&[&signer(2)]).unwrap();
    assert!(verify(&head_over(&statement, &[]), &root).is_ok());
    let head = head_over(&stripped(statement), &[]);
    let HeadError::Parse(error) = verify(&head, &root).unwrap_err() else { panic!() };
    check_signatures_refused(&error, Fault::OutOfRange);
    for bytes in [root_bytes(), second()] {
        let unsigned = stripped(bytes);
        for refused in [Root::pinned(&unsigned), root.successor(&unsigned)] {
            let RootError::Parse(error) = refused.unwrap_err() else { panic!() };
            check_signatures_refused(&error, Fault::OutOfRange);
        }
    }
}

#[test]
fn signer_that_stands_twice_is_not_counted_twice() {
    let other = [KeyRole::Offline, KeyRole::Release, KeyRole::Head];
    let others = other.into_iter().zip(21..).map(|(role, seed)| root_key(&signer(seed), role));
    let content = RootContent {
        thresholds: [2, 2, 2],
        keys: root_content().keys.into_iter().chain(others).collect(),
        ..root_content()
    };
    let root = Root::pinned(&content.sign(&[&signer(1), &signer(21)]).unwrap()).unwrap();
    let RootError::Parse(error) = Root::pinned(&doubled(content.sign(&[&signer(1)]).unwrap())).unwrap_err()
    else {
        panic!()
    };
    check_signatures_refused(&error, Fault::NotAscending);
    let statement = |signers: &[&Signer]| statement_content(&small()).sign(signers).unwrap();
    let head = |statement: &[u8], signers: &[&Signer]| {
        HeadContent { root_version: 1, as_of: NOW, statement, inline: &[] }.sign(signers).unwrap()
    };
    let (release, heads) = ([&signer(2), &signer(22)], [&signer(3), &signer(23)]);
    assert!(verify(&head(&statement(&release), &heads), &root).is_ok());
    let one = head(&statement(&release), &heads[..1]);
    assert_eq!(verify(&one, &root).unwrap_err(), HeadError::HeadSignatures);
    let HeadError::Parse(error) = verify(&doubled(one), &root).unwrap_err() else { panic!() };
    check_signatures_refused(&error, Fault::NotAscending);
    let one = statement(&release[..1]);
    assert_eq!(verify(&head(&one, &heads), &root).unwrap_err(), HeadError::StatementSignatures);
    let HeadError::Parse(error) = verify(&head(&doubled(one), &heads), &root).unwrap_err() else { panic!() };
    check_signatures_refused(&error, Fault::NotAscending);
}

fn second() -> Vec<u8> {
    RootContent { version: 2, ..root_content() }.sign(&[&signer(1)]).unwrap()
}
