//! Any bytes as a head. What passes has an ordered list of revocations, all above its statement.

#![no_main]

use latchkey_fuzz::root_bytes;
use latchkey_snapshot::{Root, UnverifiedHead};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static ROOT: LazyLock<Root> = LazyLock::new(|| Root::pinned(&root_bytes()).unwrap());

fuzz_target!(|bytes: &[u8]| {
    let Ok(unverified) = UnverifiedHead::parse(bytes) else { return };
    let Ok(head) = unverified.verify(&ROOT) else { return };
    assert_eq!(head.root_version, ROOT.version());
    assert!(head.statement.issued < head.statement.use_by);
    assert!(head.inline.is_sorted_by_key(|inline| (inline.generation, inline.subject)));
    assert!(head.inline.iter().all(|inline| inline.generation > head.statement.generation));
});
