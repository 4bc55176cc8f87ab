//! The signed objects of Latchkey: what a control plane publishes and an edge trusts.
//!
//! The contract is docs/spec/snapshot-format.md; each module here is one object of it, offsets first. The
//! reader needs no feature; the writer and the signer are in [`build`], behind the feature of that name.
//!
//! Trust is a type. Bytes become a [`Root`] only by its signatures, a [`Head`] only by a root, and any other
//! object only through an [`ObjectRef`] that came out of a verified one: there is no unsigned path.
//!
//! Nothing here does I/O, reads a clock, or panics on any bytes.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(feature = "build")]
pub mod build;
pub mod canary;
pub mod chain;
pub mod cors;
pub mod cursor;
pub mod delta;
pub mod exceptions;
pub mod head;
pub mod manifest;
pub mod names;
pub mod narrowing;
pub mod node;
pub mod object;
pub mod page;
pub mod query;
pub mod root;
pub mod rule;
pub mod signature;
pub mod token;

pub use canary::{Canary, Expected};
pub use chain::ChainError;
pub use cors::Cors;
pub use cursor::{Fault, ParseError};
pub use delta::{Delta, Found, Removal, RemovalReason, Removals};
pub use exceptions::{ExceptionClass, Exceptions};
pub use head::{Head, HeadError, Inline, InlineSubject, Previous, Reason, Statement, UnverifiedHead};
pub use manifest::Manifest;
pub use names::{Names, OrganizationNames, ProjectNames};
pub use narrowing::{ModelPattern, Narrowing, Rate, ResourcePattern};
pub use node::Node;
pub use object::{ObjectDigest, ObjectError, ObjectRef};
pub use page::{Binding, Entry, KeyState, Page};
pub use query::{Kind, Query};
pub use root::{Installation, Root, RootError};
pub use rule::{Access, Credentials, Forwarding, Freshness, ResourceSource, Rule, Source};
pub use signature::SignerId;
pub use token::{RememberedTokens, SessionToken, TokenError, UnverifiedToken};
