//! Latchkey's gate as a [`tower`] layer: it judges each request inside the application, on the spot and with no network
//! call, and only what is let in reaches the handlers.
//!
//! ```no_run
//! use axum::{Extension, Router, routing::get};
//! use latchkey_tower::{Caller, Guard, GuardSettings, Latchkey, LongPollSource, Source, Trust};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! // What `latchkey gate-env` printed.
//! let trust = Trust::parse(&std::fs::read_to_string("gate.env")?)?;
//! let token = trust.gate_token.as_deref().ok_or("no gate token")?;
//! let source = Source::LongPoll(LongPollSource::new("https://control.example", token)?);
//! let guard = Guard::start(GuardSettings::new(trust.gate, source)).await?;
//!
//! let files = |Extension(caller): Extension<Caller>| async move { caller.project.to_string() };
//! let app: Router = Router::new()
//!     .route("/v1/projects/{project}/files", get(files))
//!     // Last, so that it stands around everything.
//!     .layer(Latchkey::new(guard));
//! # let _ = app; Ok(())
//! # }
//! ```
//!
//! **What the handlers get** is the request that was judged: its path as it was, without `Authorization` (unless its
//! rule keeps it), without `Latchkey-*` of the caller's own in any spelling, and without headers that frameworks take for
//! the method or the path. Who calls is a [`Caller`] in its extensions, and in the `Latchkey-*` headers that an origin
//! behind the gateway would get. Where nobody was asked for (a public route, a shadow) there is none.
//!
//! **What is needed** is said by the signed route rules; or by the application itself, see [`Latchkey::needing`].
//!
//! **What takes long**, such as an answer that streams, asks again whether it may go on: a [`Recheck`] is in the extensions of each
//! request that goes on.
//!
//! ```
//! use axum::Extension;
//! use axum::body::{Body, Bytes};
//! use latchkey_tower::Recheck;
//! use std::time::{Duration, Instant};
//!
//! /// Events for as long as the caller is let in; it is asked every 5 s.
//! async fn events(Extension(recheck): Extension<Recheck>) -> Body {
//!     let next = async |(recheck, mut asked): (Recheck, Instant)| {
//!         if asked.elapsed() >= Duration::from_secs(5) {
//!             if !recheck.still_allowed().await {
//!                 // An error breaks the answer off, so that nobody takes it for whole.
//!                 return Some((Err("not allowed any more"), (recheck, asked)));
//!             }
//!             asked = Instant::now();
//!         }
//!         Some((Ok(Bytes::from(next_event().await)), (recheck, asked)))
//!     };
//!     let stream = futures_util::stream::unfold((recheck, Instant::now()), next);
//!     Body::from_stream(stream)
//! }
//!
//! /// An event, or a sign of life after 5 s.
//! async fn next_event() -> &'static str {
//!     tokio::time::sleep(Duration::from_secs(5)).await;
//!     "data: on\n\n"
//! }
//! ```
//!
//! **Eyes**: [`GuardSettings`] takes a [`Reporter`], who is told what was used, and a [`DecisionLog`]. Nothing is counted and nothing is
//! written without them.
//!
//! **Freshness** is the gate's own: an answer without `Latchkey-Stale` knows every change that was committed 5 s before it,
//! and past the grace everything is refused with 503.

mod layer;
mod service;

pub use latchkey_control::outside::SystemSeeds;
pub use latchkey_control::publish::{DirectorySource, LongPollError, LongPollSource};
pub use latchkey_core::{Permission, PermissionSet, ResourceType, Role};
pub use latchkey_gate::decision::Shares;
pub use latchkey_gate::{ConfigError, GateConfig, Health, Need, Status, Subject};
pub use latchkey_native::{
    Caller, Client, DecisionLog, Guard, GuardSettings, Recheck, Reply, Reporter, ReporterError, Source,
    Trust, TrustError, Upload,
};
pub use latchkey_snapshot::Credentials;
pub use layer::Latchkey;
pub use service::Guarded;
