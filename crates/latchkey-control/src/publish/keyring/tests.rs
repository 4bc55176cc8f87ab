use super::*;
use crate::publish::tests::stage::{NOW, keyring, pepper, root_bytes, root_until, signer};

fn keys(roots: Vec<Vec<u8>>, release: &[u8], head: &[u8]) -> Keys {
    let signers = |seeds: &[u8]| seeds.iter().copied().map(signer).collect();
    let (release, head) = (signers(release), signers(head));
    Keys { roots, release, head, session_keys: Vec::new(), edge_keys: Vec::new(), pepper: pepper() }
}

fn refusal(roots: Vec<Vec<u8>>, release: &[u8], head: &[u8]) -> KeyringError {
    Keyring::new(keys(roots, release, head)).unwrap_err()
}

#[test]
fn keys_that_do_not_belong_together_are_refused() {
    let one = || root_bytes(1, &[2], &[3]);
    assert_eq!(refusal(Vec::new(), &[2], &[3]), KeyringError::NoRoot);
    assert!(matches!(refusal(vec![root_bytes(2, &[2], &[3])], &[2], &[3]), KeyringError::Root { .. }));
    let skipped = vec![one(), root_bytes(3, &[2], &[3])];
    assert!(matches!(refusal(skipped, &[2], &[3]), KeyringError::Root { version: 2, .. }));
    let not_named = refusal(vec![one()], &[2, 4], &[3]);
    assert!(matches!(not_named, KeyringError::NotNamed { role: KeyRole::Release, version: 1, .. }));
    // A key of one role is none of another.
    assert!(matches!(refusal(vec![one()], &[3], &[3]), KeyringError::NotNamed { .. }));
    assert!(matches!(refusal(vec![one()], &[2, 2], &[3]), KeyringError::Twice(_)));
    assert!(matches!(refusal(vec![one()], &[2], &[]), KeyringError::TooFew(_)));
}

#[test]
fn signer_that_the_newest_root_dropped_is_refused_though_an_older_one_names_it() {
    let roots = vec![root_bytes(1, &[2], &[3]), root_bytes(2, &[4], &[3])];
    assert!(matches!(refusal(roots.clone(), &[2], &[3]), KeyringError::NotNamed { version: 2, .. }));
    Keyring::new(keys(roots, &[4], &[3])).unwrap();
}

#[test]
fn keyring_without_a_root_that_was_in_force_is_refused() {
    let one = vec![root_bytes(1, &[2], &[3])];
    let two = vec![one[0].clone(), root_bytes(2, &[2, 4], &[3])];
    let other = vec![one[0].clone(), root_bytes(2, &[2], &[3, 5])];
    let held = keyring(&[2], &[3], two);
    let gone = held.succeed(keyring(&[2], &[3], one)).unwrap_err();
    assert_eq!(gone, KeyringError::RootsGoBack { version: 2 });
    let another = held.succeed(keyring(&[2], &[3], other)).unwrap_err();
    assert_eq!(another, KeyringError::RootsGoBack { version: 2 });
}

#[test]
fn pepper_that_was_never_beside_the_one_in_force_is_refused() {
    let with = |pepper: u8, other: Option<u8>| {
        let keys =
            Keys { pepper: Pepper::new([pepper; 32]), ..keys(vec![root_bytes(1, &[2], &[3])], &[2], &[3]) };
        let keyring = Keyring::new(keys).unwrap();
        match other {
            Some(other) => keyring.with_other_pepper(Pepper::new([other; 32])),
            None => keyring,
        }
    };
    assert_eq!(with(4, None).succeed(with(5, None)).unwrap_err(), KeyringError::Pepper);
    assert_eq!(with(4, None).succeed(with(5, Some(6))).unwrap_err(), KeyringError::Pepper);
    assert_eq!(with(4, Some(6)).succeed(with(5, None)).unwrap_err(), KeyringError::Pepper);
    for (held, next) in [
        (with(4, None), with(4, Some(5))),
        (with(4, Some(5)), with(5, Some(4))),
        (with(4, None), with(5, Some(4))),
        (with(5, Some(4)), with(5, None)),
    ] {
        held.succeed(next).unwrap();
    }
}

#[test]
fn signer_counts_from_its_first_to_its_last_second() {
    let held = keyring(&[2], &[3], vec![root_until(NOW.seconds(), &[2], &[3])]);
    let signers = |at| held.signers(KeyRole::Head, at).map(|signers| signers.len());
    let before = UnixSeconds(NOW.seconds().0 - 1);
    assert_eq!((signers(before), signers(NOW.seconds())), (Ok(1), Ok(1)));
    let error = signers(NOW.seconds().plus_secs(1)).unwrap_err();
    assert_eq!((error.held, error.threshold, error.root_version), (0, 1, 1));
}

#[test]
fn every_valid_signer_of_the_role_signs() {
    let held = keyring(&[2, 4], &[3], vec![root_bytes(1, &[2, 4], &[3])]);
    assert_eq!(held.signers(KeyRole::Release, NOW.seconds()).unwrap().len(), 2);
    assert_eq!(held.signers(KeyRole::Head, NOW.seconds()).unwrap().len(), 1);
}

#[test]
fn key_is_warned_about_from_thirty_days_before_its_end() {
    let end = NOW.seconds().plus_secs(WARN_BEFORE_SECS);
    let held = keyring(&[2], &[3], vec![root_until(end, &[2], &[3])]);
    assert!(held.ending(UnixSeconds(NOW.seconds().0 - 1)).is_empty());
    let roles: Vec<_> = held.ending(NOW.seconds()).into_iter().map(|key| key.role).collect();
    assert_eq!(roles.len(), 3);
    assert!(["offline", "release", "head"].iter().all(|role| roles.contains(role)));
}

#[test]
fn keyring_shows_no_secret() {
    let shown = format!("{:?}", keyring(&[2], &[3], vec![root_bytes(1, &[2], &[3])]));
    assert_eq!(shown, "Keyring(root 1)");
}
