//! Any bytes behind the header of a delta: what refuses is read whatever comes behind it, and says the same then.

#![no_main]

use latchkey_snapshot::{ExceptionClass, Exceptions, ObjectRef, Removals};
use libfuzzer_sys::fuzz_target;

/// Bytes before the exceptions that begin: magic, installation, pepper, base, generations 5 and 6, no parent.
const HEADER_LEN: usize = 116;

fuzz_target!(|bytes: &[u8]| {
    let mut delta = header();
    delta.extend(bytes);
    let Ok(removals) = Removals::parse(&ObjectRef::to(&delta), &delta) else { return };
    assert!(removals.list().is_sorted_by(|a, b| (a.kind, a.tag) < (b.kind, b.tag)));
    for removal in removals.list() {
        assert_eq!(removals.find(removal.kind, &removal.tag), Some(removal.reason));
    }
    let none = Exceptions::default();
    assert_eq!(none.plus(&removals.begun), removals.begun);
    assert!(removals.begun.minus(&removals.begun).is_empty());
    let numbers: usize = ExceptionClass::ALL.iter().map(|class| removals.begun.numbers(*class).len()).sum();
    assert_eq!(numbers == 0, removals.begun.is_empty());
    let classes = ExceptionClass::ALL.iter().filter(|class| !removals.begun.numbers(**class).is_empty());
    let end = HEADER_LEN + 1 + classes.count() * 5 + numbers * 4 + 4 + removals.list().len() * 12;
    let read = |bytes: &[u8]| Removals::parse(&ObjectRef::to(bytes), bytes);
    let mut other = delta[..end].to_vec();
    assert_eq!(read(&other).as_ref(), Ok(&removals));
    assert!(read(&other[..end - 1]).is_err());
    other.extend([0xff; 9]);
    assert_eq!(read(&other), Ok(removals));
});

fn header() -> Vec<u8> {
    let mut header = b"LKD3".to_vec();
    header.extend([7; 16 + 8]);
    header.extend([1, 0, 0, 0]);
    header.extend([7; 32]);
    header.extend(5u64.to_le_bytes());
    header.extend(6u64.to_le_bytes());
    header.resize(HEADER_LEN, 0);
    header
}
