//! What is being fetched, so that requests wait for one another instead of fetching it twice.
//!
//! A Rust future must not be shared between requests. What is shared is a plain JavaScript promise that says only
//! "it is over": whoever fetches resolves it, whoever waits races it against a timer of its own and then asks the
//! gate again. A request that is cancelled never resolves its promise; after [`LEASE_MS`] nobody believes in it.

use crate::isolate::Isolate;
use crate::task;
use core::time::Duration;
use latchkey_core::UnixMillis;
use latchkey_snapshot::ObjectDigest;
use std::collections::BTreeMap;
use worker::js_sys::{Function, Promise};
use worker::wasm_bindgen::JsValue;

/// How long something in flight is believed in.
pub(crate) const LEASE_MS: u64 = 2500;

/// What is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cargo {
    /// The head.
    Head,
    /// An object.
    Object(ObjectDigest),
}

/// Everything in flight in this isolate.
#[derive(Default)]
pub(crate) struct Flights(BTreeMap<Cargo, Flight>);

struct Flight {
    over: Promise,
    resolve: Function,
    begun: UnixMillis,
}

/// Whoever has it fetches, and then says that it is over.
#[must_use]
pub(crate) struct Pilot {
    cargo: Cargo,
    resolve: Function,
}

impl Flights {
    /// The promise of a flight that is still believed in.
    pub(crate) fn over(&self, cargo: Cargo, now: UnixMillis) -> Option<Promise> {
        let flight = self.0.get(&cargo).filter(|flight| now.since_ms(flight.begun) < LEASE_MS)?;
        Some(flight.over.clone())
    }

    /// Begins one, in the place of one that nobody believes in any more.
    pub(crate) fn begin(&mut self, cargo: Cargo, now: UnixMillis) -> Pilot {
        let mut resolve = None;
        let over = Promise::new(&mut |resolved, _| resolve = Some(resolved));
        let resolve: Function = resolve.unwrap_or_else(|| Function::new_no_args(""));
        self.0.retain(|_, flight| now.since_ms(flight.begun) < LEASE_MS);
        self.0.insert(cargo, Flight { over, resolve: resolve.clone(), begun: now });
        Pilot { cargo, resolve }
    }

    fn end(&mut self, pilot: &Pilot) {
        // It may have been replaced by one that began when nobody believed in this one.
        if self.0.get(&pilot.cargo).is_some_and(|flight| flight.resolve == pilot.resolve) {
            self.0.remove(&pilot.cargo);
        }
    }
}

impl Pilot {
    /// Wakes whoever waits.
    pub(crate) fn land(self, isolate: &Isolate) {
        isolate.flights(|flights| flights.end(&self));
        let _ = self.resolve.call0(&JsValue::UNDEFINED);
    }
}

/// Waits until it is over, at most so long.
pub(crate) async fn wait(over: Promise, most: Duration) {
    let _ = task::within(most, task::come(over)).await;
}
