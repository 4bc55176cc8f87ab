//! The two roles, the same at the organization and at the project (IAM O4, J5, K6).

/// A role, at either level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// Uses what is there.
    Member = 1,
    /// Also manages it.
    Admin = 2,
}

impl Role {
    /// Both roles, the weaker first.
    pub const ALL: [Role; 2] = [Role::Member, Role::Admin];

    /// The word used in the API, the CLI and the console.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Member => "member",
            Role::Admin => "admin",
        }
    }

    /// The role that `word` names, if any.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// The role that a snapshot's byte stands for, if any.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Role::Member),
            2 => Some(Role::Admin),
            _ => None,
        }
    }
}
