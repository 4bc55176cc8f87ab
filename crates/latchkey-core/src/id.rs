//! Permanent ids: the public ones with their prefixes, and the numbers that snapshots use instead.

use crate::base62;
use crate::dice::Dice;
use core::fmt;

/// The number of an organization in this installation; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrganizationNumber(pub u32);

/// The number of a project in this installation; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectNumber(pub u32);

impl OrganizationNumber {
    /// The hint that this organization's keys carry in their ids, so that they share pages.
    pub fn hint(self) -> u16 {
        affine_hint(self.0)
    }
}

impl ProjectNumber {
    /// The hint by which this project's resources share pages.
    pub fn hint(self) -> u16 {
        affine_hint(self.0)
    }
}

/// The public id of an API key: 64 bits as 11 base62 characters. The top 16 bits are the hint of its
/// organization, the rest is random. It is the handle in logs, usage and support, and no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u64);

/// Characters of a key id.
pub const KEY_ID_LEN: usize = 11;

impl KeyId {
    /// A new id under `hint`.
    pub fn generate(hint: u16, dice: &mut Dice) -> Self {
        let random = u64::from_le_bytes(dice.bytes()) >> 16;
        Self(u64::from(hint) << 48 | random)
    }

    /// The id that 11 characters spell, if they spell one.
    pub fn parse(text: &[u8]) -> Option<Self> {
        (text.len() == KEY_ID_LEN).then_some(())?;
        base62::decode(text).map(Self)
    }

    /// The id as a number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The id with this number.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The tenant-affine hint in the id's top 16 bits.
    pub const fn hint(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// The id's characters.
    pub fn text(self) -> [u8; KEY_ID_LEN] {
        let mut text = [0; KEY_ID_LEN];
        base62::encode(self.0, &mut text);
        text
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only base62 is ever written into it.
        f.write_str(core::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

macro_rules! public_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; PUBLIC_ID_LEN]);

        impl $name {
            /// What the text of such an id begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A new random id: 95 bits.
            pub fn generate(dice: &mut Dice) -> Self {
                let mut text = [0; PUBLIC_ID_LEN];
                dice.base62(&mut text);
                Self(text)
            }

            /// The id that `text` spells, prefix included, if it spells one.
            pub fn parse(text: &str) -> Option<Self> {
                let body = text.strip_prefix($prefix)?.as_bytes();
                let body: [u8; PUBLIC_ID_LEN] = body.try_into().ok()?;
                base62::is_base62(&body).then_some(Self(body))
            }

            /// The 16 characters behind the prefix.
            pub const fn body(&self) -> &[u8; PUBLIC_ID_LEN] {
                &self.0
            }

            /// The id with these 16 characters behind its prefix, if they are base62.
            pub fn from_body(body: [u8; PUBLIC_ID_LEN]) -> Option<Self> {
                base62::is_base62(&body).then_some(Self(body))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                // Only base62 is ever written into it.
                f.write_str(core::str::from_utf8(&self.0).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

/// Characters behind the prefix of a public id.
pub const PUBLIC_ID_LEN: usize = 16;

public_id! {
    /// The permanent id of an organization, `org_…`.
    OrganizationId, "org_"
}
public_id! {
    /// The permanent id of a project, `proj_…`. It never changes, whatever the slug does (IAM J3).
    ProjectId, "proj_"
}
public_id! {
    /// The permanent id of a person, `user_…`.
    UserId, "user_"
}
public_id! {
    /// The id of a signed-in session, `sess_…`.
    SessionId, "sess_"
}
public_id! {
    /// The permanent id of who acts, a person or a service account, `idn_…`; never an email address (IAM M10).
    IdentityId, "idn_"
}
public_id! {
    /// The id of an invitation, `inv_…`. It is no secret: the invitation's token is another text.
    InvitationId, "inv_"
}
public_id! {
    /// The id of a notice, `note_…`.
    NoticeId, "note_"
}

/// Fibonacci hashing (Knuth, TAOCP 3, 6.4): consecutive numbers land far apart and fill the range evenly.
fn affine_hint(number: u32) -> u16 {
    (number.wrapping_mul(0x9E37_79B1) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn key_id_carries_its_hint() {
        let mut dice = Dice::from_seed(&[3; 32]);
        let id = KeyId::generate(0xBEEF, &mut dice);
        assert_eq!(id.hint(), 0xBEEF);
        assert_eq!(KeyId::parse(&id.text()), Some(id));
    }

    #[test]
    fn foreign_prefix_is_refused() {
        let id = ProjectId::generate(&mut Dice::from_seed(&[3; 32]));
        let text = format!("{id}");
        assert_eq!(ProjectId::parse(&text), Some(id));
        assert_eq!(OrganizationId::parse(&text), None);
        assert_eq!(ProjectId::parse(&text[..text.len() - 1]), None);
        assert_eq!(ProjectId::parse("proj_aaaaaaaaaaaaaa_a"), None);
    }
}
