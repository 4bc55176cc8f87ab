//! The push protocol (docs/spec/push.md) without a Worker: which paths there are, how long a body may be, whose
//! token is right, and, in [`ledger`], which bytes a hub takes.
//!
//! Nothing here does I/O or reads a clock, so all of it is tested on the host.

pub mod ledger;
pub mod route;
pub mod token;

pub use ledger::{Ledger, Refusal};
pub use route::Target;
pub use token::Token;
