//! What native gates find on a stage: one root, heads that count up, one object.

use crate::outside::ManualClock;
use latchkey_control::outside::Clock;
use latchkey_control::publish::{GateToken, Gates, Keyring, Keys, Named};
use latchkey_core::{Generation, Pepper, UnixMillis, UnixSeconds};
use latchkey_snapshot::build::{HeadContent, Object, RootContent, Signer, StatementContent};
use latchkey_snapshot::root::{KeyRole, RootKey};
use latchkey_snapshot::{Installation, ObjectRef};
use std::sync::Arc;

/// What gates read a stage with.
pub const GATE_TOKEN: &str = "6a7e6a7e6a7e6a7e6a7e6a7e6a7e6a7e6a7e6a7e6a7e6a7e6a7e6a7e6a7e6a7e";
/// The bytes of the one object that every head of a stage names.
pub const GATE_OBJECT: &[u8] = b"an object of the stage";

const INSTALLATION: Installation = Installation([7; 16]);

/// Gates that hold the root and a head of generation 1.
pub(crate) fn gates() -> Arc<Gates> {
    let gates = Gates::new(keyring().fixed(), GateToken::new(GATE_TOKEN));
    let (head, named) = gate_head(1);
    gates.take_head(&head, &named).expect("the stage's own root vouches for it");
    gates
}

/// A head of this generation, and what it names.
pub fn gate_head(generation: u64) -> (Vec<u8>, Named) {
    let (now, object) = (now(), Object { reference: ObjectRef::to(GATE_OBJECT), bytes: GATE_OBJECT.into() });
    let statement = StatementContent {
        installation: INSTALLATION,
        generation: Generation(generation),
        issued: now.seconds(),
        use_by: now.seconds().plus_secs(3600),
        manifest: object.reference,
        tip: None,
        previous: None,
        audit_size: 0,
        audit_root: [0; 32],
    };
    let statement = statement.sign(&[&signer(2)]).expect("it can be said");
    let head = HeadContent { root_version: 1, as_of: now, statement: &statement, inline: &[] };
    (head.sign(&[&signer(3)]).expect("it can be said"), Named::of(vec![[object].into()]))
}

fn keyring() -> Keyring {
    let key = |seed, role| RootKey {
        public: signer(seed).public(),
        role,
        not_before: UnixSeconds(0),
        not_after: UnixSeconds(u64::MAX / 2),
    };
    let keys = vec![key(1, KeyRole::Offline), key(2, KeyRole::Release), key(3, KeyRole::Head)];
    let root = RootContent {
        installation: INSTALLATION,
        version: 1,
        issued: now().seconds(),
        thresholds: [1, 1, 1],
        keys,
    };
    let root = root.sign(&[&signer(1)]).expect("it can be said");
    Keyring::new(Keys {
        roots: vec![root],
        release: vec![signer(2)],
        head: vec![signer(3)],
        session_keys: Vec::new(),
        edge_keys: Vec::new(),
        pepper: Pepper::new([4; 32]),
    })
    .expect("the keys belong together")
}

fn signer(seed: u8) -> Signer {
    Signer::from_seed(&[seed; 32])
}

fn now() -> UnixMillis {
    ManualClock::default().now()
}
