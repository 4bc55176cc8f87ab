//! Any bytes as an index node of the kind they name: one that is taken in is what the writer would have written.

#![no_main]

use latchkey_fuzz::kind_of;
use latchkey_snapshot::build::again;
use latchkey_snapshot::{Node, ObjectRef};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(kind) = kind_of(bytes) else { return };
    let Ok(node) = Node::parse(kind, &ObjectRef::to(bytes), bytes) else { return };
    assert_eq!(*again::node(&node).unwrap().bytes, *bytes);
    assert!((1..=256).contains(&node.pages().len()));
    assert!(node.pages().is_sorted_by(|a, b| a.first_place < b.first_place));
    assert!(node.pages().iter().all(|page| page.records > 0 && page.object.len_bytes() > 0));
});
