//! Any bytes as a root, pinned and as a successor. A root that passes was signed as it stands.

#![no_main]

use latchkey_fuzz::root_bytes;
use latchkey_snapshot::Root;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static HELD: LazyLock<Root> = LazyLock::new(|| Root::pinned(&root_bytes()).unwrap());

fuzz_target!(|bytes: &[u8]| {
    if let Ok(root) = Root::pinned(bytes) {
        assert!(root.version() >= 1 && !root.keys().is_empty());
        assert!(root.keys().is_sorted_by(|a, b| a.public.as_bytes() < b.public.as_bytes()));
    }
    if let Ok(next) = HELD.successor(bytes) {
        assert_eq!((next.version(), next.installation()), (2, HELD.installation()));
    }
});
