//! Usage and budgets (IAM §7).

use super::key::Key;
use latchkey_core::{KeyId, OrganizationNumber, Permission, ProjectNumber, UnixMillis, UserId};

/// Whose use it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UsageSubject {
    /// A key's.
    Key(KeyId),
    /// A person's, through a session.
    Person(UserId),
}

/// What one subject did in one project on one UTC day with one permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsagePlace {
    /// The project.
    pub project: ProjectNumber,
    /// Days since 1970-01-01, UTC.
    pub day: u32,
    /// Whose use.
    pub subject: UsageSubject,
    /// Of what.
    pub permission: Permission,
}

/// How much: allowed requests, and what they cost in millionths of the installation's currency unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Requests that were allowed.
    pub requests: u64,
    /// Their price at the time they were counted.
    pub cost_micros: u64,
}

/// What a budget covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BudgetScope {
    /// All of an organization.
    Organization(OrganizationNumber),
    /// A project.
    Project(ProjectNumber),
    /// A key with all its predecessors and successors: [`Key::family`].
    Key(KeyId),
}

/// Over what time a budget counts; both begin at midnight UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BudgetPeriod {
    /// A day.
    Day = 1,
    /// A calendar month.
    Month = 2,
    /// For ever.
    Total = 3,
}

/// A budget (B2). Reaching either limit refuses metered permissions of what it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// What it covers.
    pub scope: BudgetScope,
    /// Requests a period.
    pub requests_max: Option<u64>,
    /// Cost a period, in millionths of the currency unit.
    pub cost_micros_max: Option<u64>,
    /// The period.
    pub period: BudgetPeriod,
    /// The day on which the current period began, since 1970-01-01 UTC.
    pub period_day: u32,
    /// Spent in the current period.
    pub spent: Amount,
}

impl Budget {
    /// Whether a limit is reached.
    pub fn is_exhausted(&self) -> bool {
        self.requests_max.is_some_and(|most| self.spent.requests >= most)
            || self.cost_micros_max.is_some_and(|most| self.spent.cost_micros >= most)
    }
}

impl BudgetScope {
    /// The scope that covers a key alone.
    pub const fn of_key(key: &Key) -> Self {
        Self::Key(key.family)
    }
}

/// A batch of usage as it arrived (B3): counted once, or held for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageBatch {
    /// Its id, drawn by whoever counted.
    pub id: [u8; 16],
    /// The name of the usage credential that brought it.
    pub reporter: String,
    /// When it came.
    pub received_at: UnixMillis,
    /// What was done with it.
    pub outcome: BatchOutcome,
    /// Its lines, kept while it is held.
    pub lines: Vec<UsageLine>,
}

/// What was done with a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchOutcome {
    /// It counts.
    Counted,
    /// It is not believed, for this reason, until an operator decides.
    Held(String),
    /// An operator threw it away.
    Discarded,
}

/// One line of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageLine {
    /// Where it counts.
    pub place: UsagePlace,
    /// Allowed requests.
    pub requests: u64,
    /// The last of them.
    pub last_at: UnixMillis,
}
