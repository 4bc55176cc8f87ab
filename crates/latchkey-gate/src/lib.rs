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
//!         Step::Ask(Ask::Body(field)) => request.body = find_text(beginning of the body, .., field)
//!     }
//! }
//! if gate.refresh_due(now()) { behind the answer: read the head, refresh_ended, then fetch gate.wanted(..) }
//! ```
//!
//! Start at [`Gate::decide`] and at `judge`, which is the order of a decision; the promise about freshness is kept in
//! `clock`. What is held: pages in `shelf`, the deltas over them in `chain`, what is refused above both in `overlay`. Bytes
//! are taken in in `intake`, what does not serve yet waits in `pending`, and comes to serve in `adopt`; who signed what is in
//! force is in `witness`. What was let in is counted in [`usage`]; what a log
//! says of a decision is in [`decision`], what an origin is told of a caller in [`assertion`]
//! and [`headers`], and what a client is in [`bodies`].
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod access;
mod adopt;
pub mod assertion;
pub mod bodies;
mod body;
mod chain;
mod clock;
mod config;
pub mod decision;
mod deltas;
mod gate;
pub mod headers;
mod intake;
pub mod json;
mod judge;
mod leaf;
mod matcher;
mod named;
mod need;
mod overlay;
mod path;
mod pending;
mod preflight;
mod prove;
mod query;
mod quota;
mod rates;
mod refusal;
mod request;
mod route;
mod shelf;
mod shelves;
mod status;
mod tally;
pub mod usage;
mod verdict;
mod witness;

pub use body::{BODY_SEEN_MAX, BodyFault, Extent, find_text};
pub use clock::{AS_OF_AHEAD_MS_MAX, ASK_AFTER_MS, FRESH_MS, HEAD_BUDGET_MS, REFRESH_EVERY_MS, RefreshEnd};
pub use config::{ConfigError, Floor, GateConfig, MEMORY_BYTES_DEFAULT, MEMORY_BYTES_MIN, PEPPERS_MAX};
pub use gate::{Gate, NamesOf, NamesStep};
pub use intake::ROOT_HOPS_MAX;
pub use need::Need;
pub use overlay::INLINE_HELD_MAX;
pub use path::{PATH_LEN_MAX, PathError};
pub use preflight::{Preflight, PreflightRequest};
pub use query::{Ambiguous, value as query_value};
pub use quota::{NAMED_PER_SECOND_MAX, PROVE_PER_SECOND_MAX, PURSUE_PER_SECOND_MAX, SEEK_PER_SECOND_MAX};
pub use rates::Rates;
pub use refusal::{AdoptError, ChainError, HeadAccepted, HeadRefusal, ObjectRefusal};
pub use request::{Attempt, Body, Header, Headers, NoHeaders, Question, Request};
pub use route::{Resolved, RouteError, RouteFault, Routes, SHADOW_SECS_MAX};
pub use shelf::Wanted;
pub use status::{Count, Health, Rejudged, Status};
pub use usage::Usage;
pub use verdict::{
    Absent, Ask, Class, Grant, HeadAsk, Matched, Narrowed, Outcome, Pass, ProjectHeader, Proven, Refusal,
    Standing, Step, Subject, Unavailable, Unnamed, Unproven, Verdict,
};
