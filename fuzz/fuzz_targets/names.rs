//! Any bytes as a page of names of the kind they name: every entry is found under its number, and
//! one that is taken in is what the writer would have written.

#![no_main]

use latchkey_fuzz::kind_of;
use latchkey_snapshot::build::again;
use latchkey_snapshot::{Names, ObjectRef};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(kind) = kind_of(bytes) else { return };
    let Ok(names) = Names::parse(kind, &ObjectRef::to(bytes), bytes) else { return };
    assert_eq!(*again::names(&names).unwrap().bytes, *bytes);
    match &names {
        Names::Projects(list) => {
            assert!(list.iter().all(|entry| names.project(entry.number) == Some(entry)));
        }
        Names::Organizations(list) => {
            assert!(list.iter().all(|entry| names.organization(entry.number) == Some(entry)));
        }
    }
});
