//! The writer: content in, canonical objects out. The same content and pepper give the same bytes.
//!
//! [`Content`] holds every record and knows which pages a change made dirty; [`Content::build`] encodes those,
//! the index and the manifest; [`stream`] makes the same of more records than memory holds. [`Signer`] signs what [`RootContent`], [`StatementContent`] and [`HeadContent`]
//! describe, and session tokens. Everything written is in the form that the reader demands, and no other.

mod content;
mod delta;
mod draft;
mod encode;
mod index;
mod intern;
mod narrowing;
mod page;
mod record;
mod restate;
mod row;
mod sign;
mod slot;
pub mod stream;
mod tighten;
mod token;
mod trie;

#[doc(hidden)]
pub mod again;

pub use content::{Built, Content, Edition};
pub use delta::{DeltaContent, Touched};
pub use draft::RootDraft;
pub use encode::{BuildError, routing_digest};
pub use narrowing::{Narrowing, NarrowingContent};
pub use record::{Record, Standing};
pub use sign::{HeadContent, RootContent, Signer, StatementContent};
pub use token::{TokenContent, TokenText};

use crate::object::ObjectRef;
use alloc::sync::Arc;

/// An immutable object with the bytes it consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its digest and length.
    pub reference: ObjectRef,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

impl Object {
    fn new(bytes: alloc::vec::Vec<u8>) -> Self {
        Self { reference: ObjectRef::to(&bytes), bytes: bytes.into() }
    }
}
