//! The push protocol (docs/spec/push.md) without a Worker: which paths there are, how long a body may be, whose
//! token is right, in [`ledger`] which bytes a hub takes, in [`peppers`] and [`standing`] what its readers say of
//! themselves, and in [`shared`] and [`relay`] how edges read without all asking the hub.
//!
//! Nothing here does I/O or reads a clock, so all of it is tested on the host.

pub mod ledger;
pub mod peppers;
pub mod relay;
pub mod route;
pub mod shared;
pub mod standing;
pub mod token;

pub use ledger::{Ledger, Refusal};
pub use route::Target;
pub use token::Token;
