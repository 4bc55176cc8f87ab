//! What else is known to have been signed: what hubs hold, and what an operator says was considered.
//!
//! A place that can be read may lag a hub, which cannot: then what was revoked last stands in the hub's head alone,
//! and a restore that looks at the place would bring it back.

use crate::installation::{Folder, Installation};
use anyhow::{Context, Result, anyhow, bail, ensure};
use latchkey_api::restore::LoggedConsidered;
use latchkey_control::app::restore;
use latchkey_control::outside::{Clock, SystemClock, SystemSeeds};
use latchkey_control::publish::{Bookmark, EdgeSink, Gap, Held, Sink};
use latchkey_control::store::backup::GENERATION_FLOOR_MAX;
use latchkey_control::store::{Store, StoreError, View};
use latchkey_core::{Generation, UnixMillis};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A head that a sink holds: its statement's generation, and its `as_of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) generation: Generation,
    pub(super) as_of: UnixMillis,
}

impl State {
    /// Whether it knows all that the other one does.
    pub(super) fn covers(self, other: Self) -> bool {
        other.generation <= self.generation && other.as_of <= self.as_of
    }

    /// The bookmark of whoever signed it.
    pub(super) fn bookmark(self) -> Bookmark {
        Bookmark { as_of: self.as_of, generation: self.generation, root_version: 0 }
    }

    pub(super) fn logged(self) -> LoggedConsidered {
        LoggedConsidered { generation: self.generation.0, as_of_ms: self.as_of.0 }
    }

    /// Refuses a state that no sink can hold: a bookmark so far ahead would stop all signing.
    pub(super) fn check_possible(self) -> Result<()> {
        let now = SystemClock.now();
        ensure!(self.as_of <= now, "`--considered`: nothing was signed yet as of {}", self.as_of.0);
        let generation = self.generation.0;
        ensure!(generation <= GENERATION_FLOOR_MAX, "`--considered`: at most {GENERATION_FLOOR_MAX}");
        Ok(())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.generation, self.as_of.0)
    }
}

impl FromStr for State {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "it is GENERATION,AS_OF: two numbers, as the refusal says them";
        let (generation, as_of) = text.split_once(',').ok_or(wrong)?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong);
        Ok(Self { generation: Generation(number(generation)?), as_of: UnixMillis(number(as_of)?) })
    }
}

/// What the hub behind an edge says it holds.
///
/// # Errors
/// It cannot be asked.
pub(super) fn ask(url: &str, installation: &Installation) -> Result<Held> {
    let sink = EdgeSink::new(url, &installation.push_token);
    let sink = sink.map_err(|error| anyhow!("the edge `{url}`: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let held = runtime.block_on(sink.held());
    held.map_err(|error| anyhow!("the edge `{url}` cannot be asked what it holds: {error}"))
}

/// Notes in a restored database that a newer state, which a sink holds, was considered: the publisher goes on above it.
///
/// # Errors
/// The database cannot be written, or the state is none that it could go on above.
pub(super) fn note(folder: &Folder, state: State) -> Result<()> {
    state.check_possible()?;
    let path = folder.database();
    let store = Store::open(&path, Arc::new(SystemClock), Arc::new(SystemSeeds));
    let store = store.map_err(|error| match error {
        StoreError::Locked => anyhow!("a server has `{}` open: stop it", path.display()),
        error => anyhow::Error::new(error).context(format!("`{}`", path.display())),
    })?;
    let view = store.read()?;
    let stands_at = view.generation()?;
    if state.generation >= stands_at {
        bail!(
            "the database stands at {stands_at}, and can never publish above {}: restore the backup again, with \
             `--considered {state}` or `--offline-floor {}`",
            state.generation,
            state.generation
        );
    }
    let bookmark = Bookmark::read(&view)?.max(state.bookmark());
    let mut gaps = Gap::read(&view)?;
    for gap in gaps.iter_mut().filter(|gap| state.generation < gap.above) {
        gap.generation = gap.generation.max(state.generation);
        gap.as_of = gap.as_of.max(state.as_of);
    }
    drop(view);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let noted = restore::consider(&store, state.logged()).await;
        noted.map_err(|error| anyhow!("the database cannot be written: {error:?}"))?;
        Gap::keep(&gaps, &store).await?;
        bookmark.keep(&store).await.context("the database cannot be written")
    })?;
    println!("noted: the server goes on above {state}");
    println!(
        "what that state refuses and this database accepts is let in again, unless it is held or revoked anew"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_read_as_it_is_written_and_nothing_else_is() {
        let state = State { generation: Generation(12), as_of: UnixMillis(1_795_428_000_000) };
        assert_eq!(state.to_string().parse(), Ok(state));
        for text in ["", "12", "12,", ",12", "12,13,14", "12;13", "-1,2", "x,y"] {
            assert!(text.parse::<State>().is_err(), "{text}");
        }
    }

    #[test]
    fn state_of_the_future_or_without_room_above_it_is_refused() {
        let now = SystemClock.now();
        let state = |generation, as_of| State { generation: Generation(generation), as_of };
        assert!(state(GENERATION_FLOOR_MAX, now).check_possible().is_ok());
        assert!(state(GENERATION_FLOOR_MAX + 1, now).check_possible().is_err());
        assert!(state(1, now.plus_ms(3_600_000)).check_possible().is_err());
    }

    #[test]
    fn state_covers_what_is_older_in_both_parts_alone() {
        let state =
            |generation, as_of| State { generation: Generation(generation), as_of: UnixMillis(as_of) };
        assert!(state(5, 5).covers(state(5, 5)) && state(5, 5).covers(state(4, 4)));
        // An inline revocation makes a head younger, and its statement not.
        assert!(!state(5, 5).covers(state(5, 6)) && !state(5, 5).covers(state(6, 4)));
    }
}
