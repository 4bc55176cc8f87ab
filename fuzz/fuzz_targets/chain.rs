//! Any script of edits, published in any steps: base and deltas answer as a rebuild does. Then any change to the newest
//! delta: it is refused, or refuses still whatever its removals name.

#![no_main]

use latchkey_fuzz::script::{Published, questions};
use latchkey_snapshot::{Delta, Found, KeyState, ObjectRef, Query, Removals};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static QUESTIONS: LazyLock<Vec<Query>> = LazyLock::new(questions);

/// Where a change lies and what it does: an offset of two bytes, a mask, and one byte that says how the bytes end.
const CHANGE_LEN: usize = 4;

fuzz_target!(|bytes: &[u8]| {
    let Some((change, script)) = bytes.split_first_chunk::<CHANGE_LEN>() else { return };
    let mut published = Published::play(script);
    published.assert_answers_as_a_rebuild(&QUESTIONS);
    let mut bytes = published.tip().bytes.to_vec();
    let [low, high, mask, end] = *change;
    let at = usize::from(u16::from_le_bytes([low, high])) % bytes.len();
    bytes[at] ^= mask;
    match end % 4 {
        0 => bytes.truncate(at),
        1 => bytes.push(mask),
        _ => {}
    }
    let reference = ObjectRef::to(&bytes);
    let alone = Removals::parse(&reference, &bytes);
    let Ok(delta) = Delta::parse(&reference, &bytes) else { return };
    assert_eq!(alone.as_ref(), Ok(&delta.removals));
    for query in QUESTIONS.iter() {
        let removal = delta.removals.find(query.kind, &query.tag);
        match delta.find(query) {
            Found::Here(_, entry) => assert_eq!(removal.is_none(), entry.state == KeyState::Active),
            Found::Gone => assert!(removal.is_some()),
            Found::Unknown => assert!(removal.is_none()),
        }
    }
});
