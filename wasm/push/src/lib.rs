//! The push protocol (docs/spec/push.md) without a Worker: which paths there are, how long a body may be, whose
//! token is right, in [`ledger`] which bytes a hub takes, and in [`peppers`] what its readers say of themselves.
//!
//! Nothing here does I/O or reads a clock, so all of it is tested on the host.

pub mod ledger;
pub mod peppers;
pub mod route;
pub mod token;

pub use ledger::{Ledger, Refusal};
pub use route::Target;
pub use token::Token;
