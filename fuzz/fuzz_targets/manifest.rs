//! Any bytes as a manifest: one that is taken in is what the writer would have written. Its rules are compiled as a gate
//! would compile them.

#![no_main]

use latchkey_gate::Routes;
use latchkey_snapshot::build::again;
use latchkey_snapshot::{Manifest, ObjectRef};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(manifest) = Manifest::parse(&ObjectRef::to(bytes), bytes) else { return };
    assert_eq!(*again::manifest(&manifest).unwrap().bytes, *bytes);
    assert!(manifest.sections.is_sorted_by(|a, b| a.kind < b.kind));
    for section in &manifest.sections {
        assert!(section.records > 0 && !section.nodes.is_empty());
        assert!(section.nodes.is_sorted_by(|a, b| a.first_place < b.first_place));
    }
    if let Ok(routes) = Routes::compile(&manifest.rules) {
        assert_eq!(routes.len(), manifest.rules.len());
    }
});
