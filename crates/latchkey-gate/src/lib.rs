//! The edge's whole mind without a Worker: the facts of a request, the signed objects it was handed and a
//! moment go in; a verdict comes out, or the one thing that must be fetched first.
//!
//! Nothing here does I/O, reads a clock, draws randomness, or panics on any bytes. A shell owns a [`Gate`] and
//! runs this loop for each request:
//!
//! ```text
//! let mut attempt = Attempt::default();
//! loop {
//!     match gate.decide(&request, question, now(), &mut attempt) {
//!         Step::Answer(verdict) => break respond(verdict),
//!         Step::Ask(Ask::Head(HeadAsk::Join)) => await the head read in flight, if there is one,
//!         Step::Ask(Ask::Head(HeadAsk::Start)) => {
//!             // within HEAD_BUDGET_MS: read the head, accept_head, roots first if it asks for them
//!             gate.ask_ended(end, now())
//!         }
//!         Step::Ask(Ask::Objects(list)) => for each: accept_object, or object_failed
//!     }
//! }
//! if gate.refresh_due(now()) { behind the answer: read the head, refresh_ended, then fetch gate.wanted(..) }
//! ```
//!
//! Start at [`Gate::decide`] and at `judge`, which is the order of a decision; the promise about freshness is kept in
//! `clock`, what is held in `shelf`, how bytes are taken in in `intake`. What was let in is counted in [`usage`].
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod access;
mod clock;
mod config;
mod gate;
mod intake;
mod judge;
mod overlay;
mod path;
mod prove;
mod quota;
mod request;
mod route;
mod shelf;
mod shelves;
mod status;
mod tally;
pub mod usage;
mod verdict;

pub use clock::{AS_OF_AHEAD_MS_MAX, ASK_AFTER_MS, FRESH_MS, HEAD_BUDGET_MS, REFRESH_EVERY_MS, RefreshEnd};
pub use config::{ConfigError, Floor, GateConfig, PEPPERS_MAX};
pub use gate::{Gate, NamesOf, NamesStep};
pub use intake::{AdoptError, HeadAccepted, HeadRefusal, ObjectRefusal, ROOT_HOPS_MAX};
pub use overlay::INLINE_HELD_MAX;
pub use path::{PATH_LEN_MAX, PathError};
pub use quota::SEEK_PER_SECOND_MAX;
pub use request::{Attempt, Header, Headers, NoHeaders, Question, Request};
pub use route::{RouteError, RouteFault, Routes};
pub use shelf::Wanted;
pub use status::{Count, Health, Status};
pub use usage::Usage;
pub use verdict::{
    Absent, Ask, Class, Grant, HeadAsk, Narrowed, Outcome, ProjectHeader, Refusal, Standing, Step, Subject,
    Unavailable, Unproven, Verdict,
};
