//! The native gate: a process of its own in front of an origin, or beside a proxy that asks it. It turns a request into
//! the gate's words and the gate's verdict into a response. Nothing is decided here.
//!
//! [`Native`] is the start. `mind` holds the gate and does what it asks for; `follow` brings it each new head and the
//! objects that it leads to, from a [`Source`]; `state` keeps the last good copy on disk. `front` has a route for each
//! of the gate's own paths, and `gateway` passes on everything else. Only `respond` names status codes.

mod body;
mod facts;
mod follow;
mod front;
mod gateway;
mod headers;
mod metrics;
mod mind;
mod rates;
mod respond;
mod settings;
mod source;
mod state;
mod usage;

pub use front::{Native, NativeError};
pub use settings::{Client, Family, Forward, Origin, OriginError, Settings, Token};
pub use source::Source;
pub use usage::{Reporter, ReporterError};
