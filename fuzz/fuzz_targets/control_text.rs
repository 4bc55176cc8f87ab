//! Any text as what the control plane and `latchkey audit` read: a log's public key, a checkpoint, a tile's name, a token.
//! What is read is written as that text; a checkpoint is only what the log signed.

#![no_main]

use latchkey_control::iam::PlainToken;
use latchkey_control::tlog::{Checkpoint, CheckpointKey, CheckpointSigner, Tile};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static SIGNER: LazyLock<CheckpointSigner> =
    LazyLock::new(|| CheckpointSigner::new("example.org/log", &[9; 32]).unwrap());
static SIGNED: LazyLock<(CheckpointKey, Checkpoint, String)> = LazyLock::new(|| {
    let checkpoint = Checkpoint { size: 11, root: [0x5a; 32] };
    (SIGNER.key(), checkpoint, SIGNER.sign(&checkpoint))
});

fuzz_target!(|input: (u16, u8, &str)| {
    let (at, sign, text) = input;
    let (key, checkpoint, note) = &*SIGNED;
    // Any one character of it, of which only the dash has more bytes than one.
    let (at, old) = note.char_indices().nth(usize::from(at) % note.chars().count()).unwrap();
    let changed =
        [&note[..at], char::from(sign).encode_utf8(&mut [0; 4]), &note[at + old.len_utf8()..]].concat();
    assert!(changed == *note || key.open(&changed).is_err());
    if let Ok(read) = CheckpointKey::parse(text) {
        assert_eq!(read.to_string(), text);
        assert!(read == *key || read.open(note).is_err());
    }
    // Signatures of others may stand beside the log's; the text before them is what it signed.
    if let Ok(read) = key.open(text) {
        assert_eq!(read, *checkpoint);
        let signed = note.rsplit_once("\n\n").unwrap().0;
        assert_eq!(text.rsplit_once("\n\n").unwrap().0, signed);
    }
    if let Some(tile) = text.strip_prefix("tile/").and_then(|path| {
        let (level, rest) = path.split_once('/')?;
        Tile::parse(level, rest)
    }) {
        assert_eq!(tile.to_string(), text);
        assert!((1..=256).contains(&tile.width) && !tile.is_within(0));
        let _ = tile.is_within(u64::MAX);
    }
    if let Some(token) = PlainToken::parse(text) {
        assert_eq!(token.expose(), text);
        assert!(text.starts_with(token.kind().prefix()) && text.is_ascii());
    }
});
