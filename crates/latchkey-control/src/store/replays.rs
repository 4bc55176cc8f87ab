//! Replies kept for a day, so that a request sent twice by `Idempotency-Key` is done once (IAM K2).
//!
//! A reply is kept in the transaction of its change, without any secret. Old ones go with the commits that follow,
//! a bounded number with each, so nothing has to wake up for it.

use super::error::StoreError;
use super::rows::{Row, encode};
use super::tables::WriteTables;
use crate::store::change::Keepsake;
use latchkey_core::{Generation, UnixMillis};
use redb::ReadableTable;
use std::time::Duration;

/// How long a reply is kept.
pub const REPLAY_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Old replies that one commit drops at most.
const DROPPED_MAX: usize = 256;

/// A reply that was given before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The digest of what was asked.
    pub asked: [u8; 32],
    /// The generation that the change became.
    pub generation: Generation,
    /// When it was given.
    pub kept_at: UnixMillis,
    /// The reply's JSON, without secrets.
    pub reply: Vec<u8>,
}

impl Replay {
    /// Whether it still counts.
    pub fn is_kept(&self, now: UnixMillis) -> bool {
        self.kept_at >= oldest_kept(now)
    }
}

impl Row for Replay {
    type Image = (u64, u64, [u8; 32], Vec<u8>);
    const TABLE: &'static str = "replays";

    fn image(&self) -> Self::Image {
        (self.kept_at.0, self.generation.0, self.asked, self.reply.clone())
    }

    fn from_image((kept_ms, generation, asked, reply): Self::Image) -> Option<Self> {
        Some(Self { asked, generation: Generation(generation), kept_at: UnixMillis(kept_ms), reply })
    }
}

/// Keeps a reply in place of an old one, if there is one that no longer counts.
pub(super) fn keep(
    tables: &mut WriteTables,
    keepsake: Keepsake,
    generation: Generation,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let Keepsake { place, asked, reply } = keepsake;
    let replay = Replay { asked, generation, kept_at: now, reply };
    let before = tables.replays.insert(&place, encode(&replay)?.as_slice())?;
    let before: Option<Replay> = before.map(|row| super::rows::decode(row.value())).transpose()?;
    if let Some(before) = before {
        tables.replay_times.remove((before.kept_at.0, &place))?;
    }
    tables.replay_times.insert((now.0, &place), ())?;
    Ok(())
}

/// Drops replies that no longer count, the oldest first.
pub(super) fn drop_old(tables: &mut WriteTables, now: UnixMillis) -> Result<(), StoreError> {
    let mut old = Vec::new();
    for entry in tables.replay_times.range(..(oldest_kept(now).0, &[0; 32]))?.take(DROPPED_MAX) {
        let (key, _) = entry?;
        let (at, place) = key.value();
        old.push((at, *place));
    }
    for (at, place) in old {
        tables.replay_times.remove((at, &place))?;
        tables.replays.remove(&place)?;
    }
    Ok(())
}

fn oldest_kept(now: UnixMillis) -> UnixMillis {
    UnixMillis(now.0.saturating_sub(REPLAY_KEPT.as_millis() as u64))
}
