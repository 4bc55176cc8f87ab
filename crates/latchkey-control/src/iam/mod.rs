//! The rules of IAM.md: nouns, what may happen to them, and who may do it. No I/O, no clock, no dice of its own.
//!
//! Start at [`permit`]: [`authorize`] turns a [`Caller`] and facts about them into a [`Permit`] or a [`Denied`].

pub mod caller;
pub mod key;
pub mod organization;
pub mod permit;
pub mod person;
pub mod project;
pub mod resource;
pub mod session;
pub mod text;
pub mod token;

pub use caller::{Actor, Caller};
pub use key::{Key, KeyState};
pub use organization::{Membership, Organization};
pub use permit::{Demand, Denied, OperatorAct, Permit, Scope, Standing, authorize, authorize_first_operator};
pub use person::User;
pub use project::{Collaboration, Project, SlugHolder, Visibility};
pub use resource::Resource;
pub use session::{OperatorToken, Session};
pub use text::{Email, Name, TextError};
pub use token::{PlainToken, TokenDigest, TokenKind};
