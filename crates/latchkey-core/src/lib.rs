//! Words and values of Latchkey: what a key, an id, a role, a permission and a moment *are*.
//!
//! Nothing here does I/O, reads a clock, draws randomness or allocates; everything is a value parsed once at
//! the boundary into a type that cannot hold nonsense. Start at [`key`] for the API key, at [`permission`] for
//! the access matrices of IAM.md.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod base62;
pub mod base64url;
pub mod dice;
pub mod generation;
pub mod id;
pub mod key;
pub mod narrowing;
pub mod network;
pub mod permission;
pub mod resource;
pub mod role;
pub mod secret;
pub mod slug;
pub mod time;

pub use dice::Dice;
pub use generation::Generation;
pub use id::{
    IdentityId, InvitationId, KeyId, NoticeId, OrganizationId, OrganizationNumber, ProjectId, ProjectNumber,
    SessionId, UserId,
};
pub use key::{ImportedDigest, KeyDigest, KeyError, KeyText, PlainKey, Prefix};
pub use narrowing::{Matching, ModelName};
pub use network::Network;
pub use permission::{Permission, PermissionSet};
pub use resource::{ResourceId, ResourceType};
pub use role::Role;
pub use secret::{GenerationSecret, MintSecret, Pepper};
pub use slug::Slug;
pub use time::{ExpiryMinute, UnixMillis, UnixSeconds};
