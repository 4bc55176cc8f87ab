//! The native gate: a process of its own in front of an origin, or beside a proxy that asks it. It turns a request into
//! the gate's words and the gate's verdict into a response. Nothing is decided here.
//!
//! [`Native`] is the start. `mind` holds the gate and does what it asks for; `follow` brings it each new head and the
//! objects that it leads to, from a [`Source`]; `state` keeps the last good copy on disk. `front` has a route for each
//! of the gate's own paths, `gateway` passes on everything else, with `watch` over what takes long and `assertion` of who
//! calls, and `ext_authz` is Envoy's way to ask. Only `respond`
//! names status codes.
//!
//! [`Guard`] is the same mind within an application, without sockets of its own; `trust` reads what it is deployed with.

mod assertion;
mod body;
mod decisions;
mod ext_authz;
mod facts;
mod follow;
mod front;
mod gateway;
mod guard;
mod headers;
mod metrics;
mod mind;
mod respond;
mod settings;
mod source;
mod state;
mod trust;
mod usage;
mod watch;

pub use assertion::EdgeKey;
pub use body::Upload;
pub use decisions::DecisionLog;
pub use front::{Native, NativeError};
pub use guard::{Arrival, Caller, Exit, Guard, GuardSettings, Judged};
pub use respond::Reply;
pub use settings::{Client, Family, Forward, Origin, OriginError, Settings, Token};
pub use source::Source;
pub use trust::{Trust, TrustError};
pub use usage::{Reporter, ReporterError};
pub use watch::Recheck;
