//! Any script of edits, published whole: what is read back is what was published. Then one object of it is lost, or
//! changed under its name: nothing is read. Or the newest delta or the manifest is changed and signed for: it is refused,
//! or answers without a fault.

#![no_main]

use latchkey_control::publish::{PublishedError, Snapshot, Source, SourceError};
use latchkey_core::Generation;
use latchkey_fuzz::script::{Published, questions, told};
use latchkey_fuzz::{INSTALLATION, NOW, root_bytes, signer};
use latchkey_snapshot::build::{HeadContent, StatementContent};
use latchkey_snapshot::{ObjectDigest, ObjectRef, Query};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::sync::LazyLock;

static QUESTIONS: LazyLock<Vec<Query>> = LazyLock::new(questions);
static ROOTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| vec![root_bytes()]);

/// Which object is changed, where of it in two bytes, how in a mask, and what is done.
const CHANGE_LEN: usize = 5;

/// A place in memory, as whoever runs one may fill it.
struct Place {
    head: Vec<u8>,
    objects: BTreeMap<ObjectDigest, Vec<u8>>,
}

impl Place {
    fn read(&self) -> Result<Snapshot, PublishedError> {
        Snapshot::read(&ROOTS, self)
    }

    /// Has the head name this base and this delta.
    fn sign(&mut self, generation: Generation, manifest: ObjectRef, tip: ObjectRef) {
        let statement = StatementContent {
            installation: INSTALLATION,
            generation,
            issued: NOW.seconds(),
            use_by: NOW.seconds().plus_secs(3600),
            manifest,
            tip: Some(tip),
            previous: None,
            audit_size: 0,
            audit_root: [0; 32],
        };
        let statement = statement.sign(&[&signer(2)]).unwrap();
        let head = HeadContent { root_version: 1, as_of: NOW, statement: &statement, inline: &[] };
        self.head = head.sign(&[&signer(3)]).unwrap();
    }
}

impl Source for Place {
    fn name(&self) -> &str {
        "bytes"
    }

    fn root(&self, _: u32) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(None)
    }

    fn head(&self) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(Some(self.head.clone()))
    }

    fn object(&self, digest: ObjectDigest, _: usize) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.objects.get(&digest).cloned())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((change, script)) = bytes.split_first_chunk::<CHANGE_LEN>() else { return };
    let mut published = Published::play(script);
    let objects = published.objects().map(|object| (object.reference.digest(), object.bytes.to_vec()));
    let mut place = Place { head: Vec::new(), objects: objects.collect() };
    let (manifest, tip) = (published.manifest().reference, published.tip().reference);
    place.sign(published.generation(), manifest, tip);
    let read = place.read().unwrap();
    assert_eq!(read.state.exceptions, published.exceptions());
    let found = QUESTIONS.iter().map(|query| read.state.find(query).map(|(page, entry)| told(page, &entry)));
    assert!(found.eq(published.rebuilt(&QUESTIONS)));

    let [which, low, high, mask, how] = *change;
    let named = match how % 4 {
        0 | 1 => *place.objects.keys().nth(usize::from(which) % place.objects.len()).unwrap(),
        2 => manifest.digest(),
        _ => tip.digest(),
    };
    let mut changed = place.objects.remove(&named).unwrap();
    let at = usize::from(u16::from_le_bytes([low, high])) % changed.len();
    changed[at] ^= mask.max(1);
    match how % 4 {
        0 => assert!(matches!(place.read(), Err(PublishedError::Missing { .. }))),
        1 => {
            place.objects.insert(named, changed);
            assert!(matches!(place.read(), Err(PublishedError::Object { .. })));
        }
        _ => {
            let reference = ObjectRef::to(&changed);
            place.objects.insert(reference.digest(), changed);
            let swapped = |own: ObjectRef| if own.digest() == named { reference } else { own };
            place.sign(published.generation(), swapped(manifest), swapped(tip));
            let Ok(read) = place.read() else { return };
            assert_eq!(read.state.manifest.installation, INSTALLATION);
            for query in QUESTIONS.iter() {
                if let Some((page, entry)) = read.state.find(query) {
                    told(page, &entry);
                }
            }
            read.state.greatest_numbers();
        }
    }
});
