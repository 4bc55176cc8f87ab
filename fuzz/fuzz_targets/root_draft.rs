//! Any bytes as a root that is being signed: one that is read is written the same.

#![no_main]

use latchkey_snapshot::build::RootDraft;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(draft) = RootDraft::read(bytes) {
        assert_eq!(draft.to_bytes(), bytes);
    }
});
