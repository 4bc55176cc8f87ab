//! Any bytes as the narrowing of the one key of a page: one that is taken in is what the writer would have written, and
//! what it allows follows from its lists alone.

#![no_main]

use latchkey_core::ResourceType;
use latchkey_snapshot::build::NarrowingContent;
use latchkey_snapshot::page::bucket_count;
use latchkey_snapshot::{Kind, Narrowing, ObjectRef, Page, Query};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(len) = u16::try_from(bytes.len()) else { return };
    let page = page_with(&[&len.to_le_bytes(), bytes].concat());
    let Ok(page) = Page::parse(Kind::NativeKey, &ObjectRef::to(&page), page.into()) else { return };
    let entry = page.find(&Query { kind: Kind::NativeKey, place: 0, bucket: 0, tag: [1; 10] }).unwrap();
    let narrowing = page.narrowing(&entry).unwrap();
    assert_eq!(written(&narrowing), bytes);
    for network in narrowing.networks() {
        assert!(narrowing.allows_address(network.address()));
    }
    for pattern in narrowing.resources() {
        assert!(narrowing.allows_resource(pattern.resource, pattern.text.as_str()));
    }
    for pattern in narrowing.models() {
        assert!(narrowing.allows_model(pattern.text.as_str()));
    }
    assert!(!narrowing.narrows_models() || !narrowing.allows_model(""));
    assert!(!narrowing.narrows_resources() || !narrowing.allows_resource(ResourceType::File, ""));
});

/// A page of one key, with this table of one narrowing.
fn page_with(narrowing: &[u8]) -> Vec<u8> {
    let mut page = b"LKP2\x01\x01\x01\x00\x01\x00\x00\x00".to_vec();
    page.extend(bucket_count(1).to_le_bytes());
    page.extend([0; 4]);
    page.extend([1, 0, 0, 0, 1, 0]);
    page.extend([1; 10]);
    page.extend([0, 0, 0xff, 0xff, 0xff, 0]);
    page.extend([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0]);
    page.extend([0; 16]);
    page.extend(narrowing);
    page
}

/// What the writer makes of the same content, given in another order.
fn written(narrowing: &Narrowing<'_>) -> Vec<u8> {
    let mut networks: Vec<_> = narrowing.networks().collect();
    let mut resources: Vec<_> = narrowing.resources().collect();
    let mut models: Vec<_> = narrowing.models().collect();
    networks.reverse();
    resources.reverse();
    models.reverse();
    let rate = narrowing.rate();
    let content = NarrowingContent { rate, networks: &networks, resources: &resources, models: &models };
    content.encode().unwrap().unwrap().as_bytes().to_vec()
}
