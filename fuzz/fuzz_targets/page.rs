//! Any bytes as a page of the kind they name: in one that parses, every record is found, and nothing else is.

#![no_main]

use latchkey_fuzz::kind_of;
use latchkey_snapshot::page::{HEADER_LEN, RECORD_LEN, bucket_count};
use latchkey_snapshot::{Kind, Narrowing, ObjectRef, Page, Query};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(kind) = kind_of(bytes) else { return };
    let Ok(page) = Page::parse(kind, &ObjectRef::to(bytes), bytes.into()) else { return };
    let buckets = u64::from(bucket_count(page.records()));
    let first = |bucket: u64| {
        let at = HEADER_LEN + bucket as usize * 2;
        usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
    };
    let records = &bytes[HEADER_LEN + (buckets as usize + 1) * 2..];
    for bucket in 0..buckets {
        let query = |tag| Query { kind, place: 0, bucket: (bucket << 32).div_ceil(buckets) as u32, tag };
        for index in first(bucket)..first(bucket + 1) {
            let tag: [u8; 10] = records[index * RECORD_LEN..][..10].try_into().unwrap();
            let entry = page.find(&query(tag)).unwrap_or_else(|| panic!("record {index} of bucket {bucket}"));
            assert_eq!(page.imported_key_id(&entry).is_some(), kind == Kind::ImportedKey);
            // One that is there narrows something: nothing reads as if it were not there.
            let narrows = |narrowing: Narrowing<'_>| {
                narrowing.rate().is_some()
                    || narrowing.networks().next().is_some()
                    || narrowing.resources().next().is_some()
                    || narrowing.models().next().is_some()
            };
            assert!(page.narrowing(&entry).is_none_or(narrows));
            let mut other = tag;
            other[9] ^= 1;
            let known =
                (first(bucket)..first(bucket + 1)).any(|at| records[at * RECORD_LEN..][..10] == other);
            assert_eq!(page.find(&query(other)).is_some(), known);
        }
    }
    for bucket in [u32::MAX, u32::MAX / 2] {
        let _ = page.find(&Query { kind, place: u64::MAX, bucket, tag: [0; 10] });
    }
});
