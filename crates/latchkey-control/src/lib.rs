//! Latchkey's control plane: it owns the state that edges only hold copies of.
//!
//! From the bottom up, and nothing looks up: [`iam`] (rules, no I/O) < [`store`] (the only place that knows the
//! database) < [`app`] (use cases: the only place that checks permission) < [`http`] (paths, bodies, status
//! codes). [`publish`] stands beside `app`: it carries what is committed to the edges. [`outside`] is what is handed in: the clock and the random source.
//! [`tlog`] is what the audit log is made of, for whoever keeps it and whoever checks it. Start at [`app::Control`].

pub mod app;
pub mod http;
pub mod iam;
pub mod outside;
pub mod publish;
pub mod store;
pub mod tlog;
