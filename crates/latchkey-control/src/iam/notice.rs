//! Notices: what the people of a project or the admins of an organization should hear of.

use latchkey_core::{OrganizationNumber, ProjectNumber, UnixMillis};

/// Something to hear of. Shown to a project's collaborators, or to the organization's admins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its number; they only rise.
    pub number: u64,
    /// The organization.
    pub organization: OrganizationNumber,
    /// The project, if it concerns one.
    pub project: Option<ProjectNumber>,
    /// What happened.
    pub what: NoticeKind,
    /// The public id of what it is about.
    pub subject: String,
    /// When.
    pub at: UnixMillis,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NoticeKind {
    /// A key was reported as leaked and is revoked (K12).
    KeyLeaked = 1,
    /// A key expires soon (K10).
    KeyExpires = 2,
    /// A key was disabled because nobody used it (K10).
    KeyIdle = 3,
    /// A budget is used up (B2).
    BudgetExhausted = 4,
}

impl NoticeKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::KeyLeaked, Self::KeyExpires, Self::KeyIdle, Self::BudgetExhausted];
}
