//! Budgets (B2): read, set, remove; and what happens to them as time passes.

use super::ask::{Ask, InOrganization, InProject};
use super::error::AppError;
use super::keys;
use crate::iam::usage::day_of;
use crate::iam::{Amount, Budget, BudgetPeriod, BudgetScope, Key, Notice, NoticeKind, Permit};
use crate::store::{Change, StoreError, View, Write};
use latchkey_api as api;
use latchkey_api::budget::LIMIT_MAX;
use latchkey_core::{OrganizationNumber, Permission, ProjectNumber, Role, UnixMillis};

/// What a budget covers, by the ids that a path names.
#[derive(Debug, Clone)]
pub enum Covering {
    /// The organization with this id.
    Organization(String),
    /// The project with this id or slug.
    Project(String),
    /// The key with this id, and its whole line of rotations (K8).
    Key(String),
}

/// The budget, as edges know it.
///
/// # Errors
/// [`AppError`], as everywhere in this module; not found if there is none.
pub fn read(ask: &Ask, covering: &Covering) -> Result<api::Budget, AppError> {
    let covered = Covered::find(ask, covering)?;
    covered.permit(ask, Act::Read)?;
    Ok(show(&ask.view.budget(covered.scope())?.ok_or(AppError::NOT_FOUND)?))
}

/// Sets the budget, or puts another in its place. What was spent in the running period counts.
///
/// # Errors
/// [`AppError`].
pub fn set(ask: &Ask, covering: &Covering, body: &api::SetBudget) -> Result<Write<api::Budget>, AppError> {
    let covered = Covered::find(ask, covering)?;
    let permit = covered.permit(ask, Act::Write)?;
    let scope = covered.scope();
    let before = ask.view.budget(scope)?;
    let now = parse(ask, scope, body)?;
    if before.as_ref().is_some_and(|before| !now.is_as_tight_as(before)) {
        covered.admit_loosening(ask, &permit)?;
    }
    let told = Teller::new(ask.view, ask.now).tell(before.as_ref().unwrap_or(&fresh(&now)), &now)?;
    let shown = show(&now);
    let mut entry = ask.entry(&permit, "budgets.set", covered.subject()).after(&shown);
    if let Some(before) = &before {
        entry = entry.before(&show(before));
    }
    Ok(Write::new(entry, shown).put(now).put_all(told))
}

/// Removes the budget.
///
/// # Errors
/// [`AppError`].
pub fn remove(ask: &Ask, covering: &Covering) -> Result<Write<api::Budget>, AppError> {
    let covered = Covered::find(ask, covering)?;
    let permit = covered.permit(ask, Act::Write)?;
    let before = ask.view.budget(covered.scope())?.ok_or(AppError::NOT_FOUND)?;
    covered.admit_loosening(ask, &permit)?;
    let shown = show(&before);
    let entry = ask.entry(&permit, "budgets.remove", covered.subject()).before(&shown);
    Ok(Write::new(entry, shown).put(Change::RemoveBudget(before.scope)))
}

/// What budgets cover whose next period has come.
///
/// # Errors
/// The store's.
pub fn due(view: &dyn View, now: UnixMillis) -> Result<Vec<BudgetScope>, StoreError> {
    let mut due = Vec::new();
    for budget in view.budgets()? {
        if began(budget.period, day_of(now)) > budget.period_day {
            due.push(budget.scope);
        }
    }
    Ok(due)
}

/// What begins the period of these budgets anew, where that is still due: what was exhausted resumes.
///
/// # Errors
/// The store's.
pub fn roll_over(
    view: &dyn View,
    now: UnixMillis,
    scopes: &[BudgetScope],
) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    for scope in scopes {
        let Some(before) = view.budget(*scope)? else { continue };
        let rolled = rolled(view, &before, now)?;
        if rolled.period_day != before.period_day {
            changes.push(rolled.into());
        }
    }
    Ok(changes)
}

/// The budget in the period that runs at `now`.
pub(super) fn rolled(view: &dyn View, budget: &Budget, now: UnixMillis) -> Result<Budget, StoreError> {
    let period_day = began(budget.period, day_of(now));
    if period_day <= budget.period_day {
        return Ok(*budget);
    }
    Ok(Budget { period_day, spent: view.spent_since(budget.scope, period_day)?, ..*budget })
}

/// Tells the people of a project, or the admins of an organization, once that a budget is used up.
pub(super) struct Teller<'a> {
    view: &'a dyn View,
    now: UnixMillis,
    told: u64,
}

impl<'a> Teller<'a> {
    pub(super) const fn new(view: &'a dyn View, now: UnixMillis) -> Self {
        Self { view, now, told: 0 }
    }

    pub(super) fn tell(&mut self, before: &Budget, now: &Budget) -> Result<Option<Change>, StoreError> {
        if before.is_exhausted() || !now.is_exhausted() {
            return Ok(None);
        }
        let (organization, project, subject) = self.concerned(now.scope)?;
        let number = self.view.next_notice()? + self.told;
        self.told += 1;
        let what = NoticeKind::BudgetExhausted;
        Ok(Some(Notice { number, organization, project, what, subject, at: self.now }.into()))
    }

    fn concerned(
        &self,
        scope: BudgetScope,
    ) -> Result<(OrganizationNumber, Option<ProjectNumber>, String), StoreError> {
        let (number, subject) = match scope {
            BudgetScope::Organization(number) => {
                let organization = self.view.organization(number)?;
                let organization = organization.ok_or(StoreError::Corrupt("organizations"))?;
                return Ok((number, None, organization.id.to_string()));
            }
            BudgetScope::Project(number) => (number, None),
            BudgetScope::Key(id) => {
                let key = self.view.key(id)?.ok_or(StoreError::Corrupt("keys"))?;
                (key.project, Some(id.to_string()))
            }
        };
        let project = self.view.project(number)?.ok_or(StoreError::Corrupt("projects"))?;
        Ok((project.organization, Some(number), subject.unwrap_or_else(|| project.id.to_string())))
    }
}

enum Act {
    Read,
    Write,
}

/// What a budget covers, and what the caller is to it.
enum Covered {
    Organization(InOrganization),
    Project(InProject),
    Key(Box<Key>, InProject),
}

impl Covered {
    fn find(ask: &Ask, covering: &Covering) -> Result<Self, AppError> {
        Ok(match covering {
            Covering::Organization(id) => Self::Organization(ask.organization(id)?),
            Covering::Project(id) => Self::Project(ask.project(id)?),
            Covering::Key(id) => {
                let (key, place) = keys::find(ask, id)?;
                Self::Key(Box::new(key), place)
            }
        })
    }

    fn permit(&self, ask: &Ask, act: Act) -> Result<Permit, AppError> {
        match (self, act) {
            (Self::Organization(place), Act::Read) => place.permit(ask, Permission::OrgBillingRead),
            (Self::Organization(place), Act::Write) => place.permit(ask, Permission::OrgBillingWrite),
            (Self::Project(place), Act::Read) => place.permit(ask, Permission::ProjectUsageRead),
            (Self::Project(place), Act::Write) => place.permit(ask, Permission::ProjectSettingsWrite),
            (Self::Key(_, place), Act::Read) => place.permit(ask, Permission::KeysRead),
            (Self::Key(_, place), Act::Write) => place.permit(ask, Permission::KeysCreate),
        }
    }

    /// Raising or removing a key's budget un-narrows all of its line, which takes the highest role there (K6a).
    fn admit_loosening(&self, ask: &Ask, permit: &Permit) -> Result<(), AppError> {
        match self {
            Self::Organization(_) | Self::Project(_) => Ok(()),
            Self::Key(key, _) => Ok(permit.admits(highest_role(ask.view, key)?)?),
        }
    }

    const fn scope(&self) -> BudgetScope {
        match self {
            Self::Organization(place) => BudgetScope::Organization(place.organization.number),
            Self::Project(place) => BudgetScope::Project(place.project.number),
            Self::Key(key, _) => BudgetScope::of_key(key),
        }
    }

    fn subject(&self) -> (&'static str, String) {
        match self {
            Self::Organization(place) => ("organization", place.organization.id.to_string()),
            Self::Project(place) => ("project", place.project.id.to_string()),
            Self::Key(key, _) => ("key", key.id.to_string()),
        }
    }
}

/// The highest role in a key's line of rotations; revoked ones do not come back.
fn highest_role(view: &dyn View, key: &Key) -> Result<Role, StoreError> {
    let mut highest = key.role;
    let mut next = Some(key.family);
    while let Some(id) = next {
        let one = view.key(id)?.ok_or(StoreError::Corrupt("keys"))?;
        if one.revoked_at.is_none() {
            highest = highest.max(one.role);
        }
        next = one.successor;
    }
    Ok(highest)
}

fn parse(ask: &Ask, scope: BudgetScope, body: &api::SetBudget) -> Result<Budget, AppError> {
    for (path, limit) in [("requests_max", body.requests_max), ("cost_micros_max", body.cost_micros_max)] {
        if limit.is_some_and(|limit| !(1..=LIMIT_MAX).contains(&limit)) {
            return Err(AppError::field(path, format!("a limit is 1 to {LIMIT_MAX}")));
        }
    }
    if body.requests_max.is_none() && body.cost_micros_max.is_none() {
        return Err(AppError::field("", "`requests_max` or `cost_micros_max` is needed"));
    }
    let period = match body.period {
        api::BudgetPeriod::Day => BudgetPeriod::Day,
        api::BudgetPeriod::Month => BudgetPeriod::Month,
        api::BudgetPeriod::Total => BudgetPeriod::Total,
    };
    let period_day = began(period, day_of(ask.now));
    Ok(Budget {
        scope,
        requests_max: body.requests_max,
        cost_micros_max: body.cost_micros_max,
        period,
        period_day,
        spent: ask.view.spent_since(scope, period_day)?,
    })
}

/// The budget before anything was spent.
/// The budget with nothing left of it in the period that ran then. Where there is none, one that never had anything: a
/// budget that was set since a backup, and of which no more is known than that it is used up.
pub(super) fn used_up(view: &dyn View, scope: BudgetScope, then: UnixMillis) -> Result<Budget, StoreError> {
    Ok(match view.budget(scope)? {
        Some(budget) => Budget {
            period_day: began(budget.period, day_of(then)).max(budget.period_day),
            spent: Amount {
                requests: budget.spent.requests.max(budget.requests_max.unwrap_or(0)),
                cost_micros: budget.spent.cost_micros.max(budget.cost_micros_max.unwrap_or(0)),
            },
            ..budget
        },
        None => Budget {
            scope,
            requests_max: Some(0),
            cost_micros_max: None,
            period: BudgetPeriod::Total,
            period_day: 0,
            spent: Amount::default(),
        },
    })
}

fn fresh(budget: &Budget) -> Budget {
    Budget { spent: Amount::default(), ..*budget }
}

fn began(period: BudgetPeriod, today: u32) -> u32 {
    match period {
        BudgetPeriod::Day => today,
        BudgetPeriod::Month => api::Day(today).first_of_month().0,
        BudgetPeriod::Total => 0,
    }
}

fn show(budget: &Budget) -> api::Budget {
    let (period, has_begun) = match budget.period {
        BudgetPeriod::Day => (api::BudgetPeriod::Day, true),
        BudgetPeriod::Month => (api::BudgetPeriod::Month, true),
        BudgetPeriod::Total => (api::BudgetPeriod::Total, false),
    };
    api::Budget {
        requests_max: budget.requests_max,
        cost_micros_max: budget.cost_micros_max,
        period,
        period_began: has_begun.then_some(api::Day(budget.period_day)),
        spent: super::usage::show(budget.spent),
        exhausted: budget.is_exhausted(),
    }
}
