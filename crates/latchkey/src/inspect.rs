//! `latchkey key inspect`: is this text a key of ours? The text comes by standard input and is never shown.

use anyhow::{Context, Result, ensure};
use latchkey_core::key::LEN_MAX;
use latchkey_core::{KeyText, Prefix};
use std::io::{Read, stdin};
use zeroize::Zeroizing;

/// Reads a key and tells its id.
///
/// # Errors
/// What is wrong with the key, by its kind alone.
pub(crate) fn run(prefix: &str) -> Result<()> {
    let prefix = Prefix::parse(prefix).context("`--prefix`")?;
    let mut text = Zeroizing::new(Vec::new());
    stdin().take(LEN_MAX as u64 + 3).read_to_end(&mut text)?;
    let key = text.trim_ascii();
    ensure!(key.len() <= LEN_MAX, "a key has at most {LEN_MAX} characters");
    let key = KeyText::parse(key, &prefix)?;
    println!("well formed; its id is {}", key.id());
    println!("whether it exists and is in force, the control plane and the edge say");
    Ok(())
}
