//! Usage and budgets (IAM §7): what edges report, when it is believed, and when a budget is used up.

use super::key::Key;
use super::permit::Permit;
use latchkey_core::{
    IdentityId, KeyId, OrganizationNumber, Permission, PermissionSet, ProjectNumber, Role, UnixMillis, UserId,
};
use std::fmt;

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

impl Amount {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            cost_micros: self.cost_micros.saturating_add(other.cost_micros),
        }
    }
}

impl Budget {
    /// Whether it lets through no more than `other` does: none of its limits is higher.
    pub fn is_as_tight_as(&self, other: &Self) -> bool {
        let at_most = |own: Option<u64>, theirs: Option<u64>| match (own, theirs) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(theirs)) => own <= theirs,
        };
        self.period == other.period
            && at_most(self.requests_max, other.requests_max)
            && at_most(self.cost_micros_max, other.cost_micros_max)
    }

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
    /// It counts, since then.
    Counted(UnixMillis),
    /// It is not believed, for this reason, until an operator decides.
    Held(String),
    /// An operator threw it away.
    Discarded,
}

impl UsageBatch {
    /// The batch counted. Its lines are in the books from then on.
    #[must_use]
    pub fn counted(self, _permit: &Permit, now: UnixMillis) -> Self {
        Self { outcome: BatchOutcome::Counted(now), lines: Vec::new(), ..self }
    }

    /// The batch thrown away.
    #[must_use]
    pub fn discarded(self, _permit: &Permit) -> Self {
        Self { outcome: BatchOutcome::Discarded, lines: Vec::new(), ..self }
    }
}

/// One line of a batch, as it was reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageLine {
    /// Whose use.
    pub subject: ReportedSubject,
    /// The project, which may not exist.
    pub project: ProjectNumber,
    /// The permission's word, which may name none.
    pub permission: String,
    /// Days since 1970-01-01, UTC.
    pub day: u32,
    /// Allowed requests.
    pub requests: u64,
    /// The last of them.
    pub last_at: UnixMillis,
}

/// Whose use it was, as an edge knows them; they may not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportedSubject {
    /// A key's.
    Key(KeyId),
    /// A session's, by the identity it acts through.
    Identity(IdentityId),
}

/// What a line names, as far as it exists.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    /// Whose use it was.
    pub subject: Option<UsageSubject>,
    /// The project that the subject is bound to, if it is a key.
    pub bound_to: Option<ProjectNumber>,
    /// Whether the project exists, deleted ones included.
    pub has_project: bool,
}

/// Why a line is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The key or identity does not exist.
    Subject,
    /// The project does not exist.
    Project,
    /// The key belongs to another project (K4).
    OtherProject,
    /// The permission does not exist, or nobody can hold it in a project.
    Permission,
    /// The last request lies ahead.
    Ahead,
    /// A key never holds the permission (K6b).
    NeverHeld,
    /// The last request was on another day.
    OtherDay,
    /// The day is too long ago.
    TooOld,
    /// More requests than this installation takes for possible.
    TooMany,
}

impl Doubt {
    /// Whether an operator may count the line all the same: there is something it can count for.
    pub const fn can_be_overruled(self) -> bool {
        matches!(self, Self::NeverHeld | Self::OtherDay | Self::TooOld | Self::TooMany)
    }
}

/// Days after which a report is too old to be believed.
pub const REPORT_AGE_DAYS_MAX: u32 = 7;
/// How far an edge's clock may be ahead of ours.
pub const REPORT_AHEAD_MS_MAX: u64 = 60 * 1000;
/// How long a counted batch's id is remembered. Sent again after that, its days are too old, so it is held.
pub const COUNTED_MS_MIN: u64 = (REPORT_AGE_DAYS_MAX as u64 + 3) * DAY_MS;
/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The UTC day that a moment lies in, since 1970-01-01.
pub fn day_of(at: UnixMillis) -> u32 {
    u32::try_from(at.0 / DAY_MS).unwrap_or(u32::MAX)
}

impl UsageLine {
    /// Where the line counts.
    ///
    /// # Errors
    /// A [`Doubt`] that nobody can overrule: there is nothing it could count for, or not yet.
    pub fn place(&self, named: &Named, now: UnixMillis) -> Result<UsagePlace, Doubt> {
        let subject = named.subject.ok_or(Doubt::Subject)?;
        if !named.has_project {
            return Err(Doubt::Project);
        }
        if named.bound_to.is_some_and(|project| project != self.project) {
            return Err(Doubt::OtherProject);
        }
        let permission = Permission::from_word(&self.permission);
        let held = permission.filter(|one| PermissionSet::of_project(Role::Admin).contains(*one));
        let permission = held.ok_or(Doubt::Permission)?;
        if self.last_at > now.plus_ms(REPORT_AHEAD_MS_MAX)
            || self.day > day_of(now.plus_ms(REPORT_AHEAD_MS_MAX))
        {
            return Err(Doubt::Ahead);
        }
        Ok(UsagePlace { project: self.project, day: self.day, subject, permission })
    }

    /// Whether a line that counts there is believed without asking anybody.
    ///
    /// # Errors
    /// A [`Doubt`] that an operator can overrule.
    pub fn believe(&self, place: &UsagePlace, now: UnixMillis, requests_max: u64) -> Result<(), Doubt> {
        let is_key = matches!(place.subject, UsageSubject::Key(_));
        if is_key && !PermissionSet::of_key(Role::Admin).contains(place.permission) {
            return Err(Doubt::NeverHeld);
        }
        if day_of(self.last_at) != self.day {
            return Err(Doubt::OtherDay);
        }
        if self.day.saturating_add(REPORT_AGE_DAYS_MAX) < day_of(now) {
            return Err(Doubt::TooOld);
        }
        if self.requests > requests_max {
            return Err(Doubt::TooMany);
        }
        Ok(())
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "no such key or identity",
            Self::Project => "no such project",
            Self::OtherProject => "the key belongs to another project",
            Self::Permission => "no such permission in a project",
            Self::Ahead => "it lies ahead",
            Self::NeverHeld => "a key never holds this permission",
            Self::OtherDay => "`last_at` is not on `day`",
            Self::TooOld => "the day is more than 7 days ago",
            Self::TooMany => "more requests than is plausible",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: UnixMillis = UnixMillis(20_780 * DAY_MS + DAY_MS / 2);

    fn line() -> UsageLine {
        let subject = ReportedSubject::Key(KeyId::from_number(1));
        let permission = "inference.invoke".to_owned();
        UsageLine { subject, project: ProjectNumber(1), permission, day: 20_780, requests: 5, last_at: NOON }
    }

    fn judge(line: &UsageLine, project: u32) -> Result<(), Doubt> {
        let subject = Some(UsageSubject::Key(KeyId::from_number(1)));
        let named = Named { subject, bound_to: Some(ProjectNumber(project)), has_project: true };
        line.believe(&line.place(&named, NOON)?, NOON, 10)
    }

    #[test]
    fn implausible_line_is_doubted_b3() {
        let doubted = |change: fn(&mut UsageLine)| {
            let mut line = line();
            change(&mut line);
            judge(&line, 1).unwrap_err()
        };
        assert_eq!(judge(&line(), 2), Err(Doubt::OtherProject));
        assert_eq!(doubted(|one| one.permission = "nothing".to_owned()), Doubt::Permission);
        assert_eq!(doubted(|one| one.permission = "org.billing.write".to_owned()), Doubt::Permission);
        assert_eq!(doubted(|one| one.permission = "keys.create".to_owned()), Doubt::NeverHeld);
        assert_eq!(doubted(|one| one.last_at = NOON.plus_ms(60_001)), Doubt::Ahead);
        assert_eq!(doubted(|one| one.day = 20_781), Doubt::Ahead);
        assert_eq!(doubted(|one| one.day = 20_779), Doubt::OtherDay);
        let old = |one: &mut UsageLine| (one.day, one.last_at) = (20_772, UnixMillis(20_772 * DAY_MS));
        assert_eq!(doubted(old), Doubt::TooOld);
        assert_eq!(doubted(|one| one.requests = 11), Doubt::TooMany);
    }

    #[test]
    fn plausible_line_is_believed_up_to_each_limit() {
        let believed = |change: fn(&mut UsageLine)| {
            let mut line = line();
            change(&mut line);
            assert_eq!(judge(&line, 1), Ok(()));
        };
        believed(|_| ());
        believed(|one| one.last_at = NOON.plus_ms(60_000));
        believed(|one| (one.day, one.last_at) = (20_773, UnixMillis(20_773 * DAY_MS)));
        believed(|one| one.requests = 10);
    }

    #[test]
    fn only_what_could_count_can_be_overruled() {
        for doubt in [Doubt::Subject, Doubt::Project, Doubt::OtherProject, Doubt::Permission, Doubt::Ahead] {
            assert!(!doubt.can_be_overruled(), "{doubt}");
        }
        for doubt in [Doubt::NeverHeld, Doubt::OtherDay, Doubt::TooOld, Doubt::TooMany] {
            assert!(doubt.can_be_overruled(), "{doubt}");
        }
    }

    #[test]
    fn budget_is_reached_at_its_limit_b2() {
        let scope = BudgetScope::Project(ProjectNumber(1));
        let budget = |requests, cost_micros| Budget {
            scope,
            requests_max: Some(10),
            cost_micros_max: Some(100),
            period: BudgetPeriod::Day,
            period_day: 0,
            spent: Amount { requests, cost_micros },
        };
        assert!(!budget(9, 99).is_exhausted());
        assert!(budget(10, 0).is_exhausted() && budget(0, 100).is_exhausted());
        let unlimited = Budget { cost_micros_max: None, ..budget(0, 0) };
        assert!(budget(0, 0).is_as_tight_as(&unlimited) && !unlimited.is_as_tight_as(&budget(0, 0)));
        let monthly = Budget { period: BudgetPeriod::Month, ..budget(0, 0) };
        assert!(!monthly.is_as_tight_as(&budget(0, 0)));
    }
}
