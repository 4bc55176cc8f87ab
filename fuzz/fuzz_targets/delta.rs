//! Any bytes as a delta. In one that parses, removals and pages agree: nobody whom it puts out of force is let in.

#![no_main]

use latchkey_snapshot::{Delta, Found, KeyState, Kind, Names, ObjectRef, Query, RemovalReason, Removals};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let reference = ObjectRef::to(bytes);
    let alone = Removals::parse(&reference, bytes);
    let Ok(delta) = Delta::parse(&reference, bytes) else { return };
    assert_eq!(alone.as_ref(), Ok(&delta.removals));
    assert!(delta.removals.begun.is_disjoint(&delta.lifted));
    for removal in delta.removals.list() {
        for (place, bucket) in [(0, 0), (u64::MAX, 0), (1 << 63, u32::MAX)] {
            let query = Query { kind: removal.kind, place, bucket, tag: removal.tag };
            match delta.find(&query) {
                Found::Gone => {}
                Found::Here(_, entry) => assert!(is_said(entry.state, removal.reason)),
                Found::Unknown => panic!("what came before would let it in: {removal:?}"),
            }
        }
    }
    for (first_place, page) in delta.pages() {
        assert!(page.records() > 0);
        for (tag, entry) in page.entries() {
            let said = delta.removals.find(page.kind(), tag);
            assert!(match said {
                None => entry.state == KeyState::Active,
                Some(reason) => is_said(entry.state, reason),
            });
            // Which bucket it is in only its hash tells; where there is one bucket, any leads there.
            if page.records() <= 7 {
                let query = Query { kind: page.kind(), place: *first_place, bucket: 0, tag: *tag };
                assert!(
                    matches!(delta.find(&query), Found::Here(_, found) if found.binding == entry.binding)
                );
            }
        }
    }
    for names in delta.names() {
        match names {
            Names::Projects(list) => {
                list.iter().for_each(|names| assert_eq!(delta.project_names(names.number), Some(names)));
            }
            Names::Organizations(list) => {
                list.iter().for_each(|names| assert_eq!(delta.organization_names(names.number), Some(names)));
            }
        }
    }
    assert!(delta.pages().iter().all(|(_, page)| !matches!(page.kind(), Kind::ProjectNames)));
});

fn is_said(state: KeyState, reason: RemovalReason) -> bool {
    matches!(
        (state, reason),
        (KeyState::Revoked, RemovalReason::Revoked) | (KeyState::Disabled, RemovalReason::Disabled)
    )
}
