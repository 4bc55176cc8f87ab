//! Counting: what a batch of usage adds to the books, with budgets and whoever is told that one is used up.

use super::budgets;
use crate::iam::{Amount, Budget, BudgetScope, Key, UsageLine, UsagePlace, UsageSubject};
use crate::store::{Change, StoreError, View};
use latchkey_core::{KeyId, OrganizationNumber, Permission, ProjectNumber, UnixMillis};
use std::collections::BTreeMap;

/// Books that are open for one batch.
pub(super) struct Books<'a> {
    view: &'a dyn View,
    now: UnixMillis,
    used: BTreeMap<UsagePlace, Amount>,
    last_uses: BTreeMap<KeyId, UnixMillis>,
    spent: BTreeMap<(BudgetScope, u32), Amount>,
    prices: BTreeMap<Permission, u64>,
    owners: BTreeMap<ProjectNumber, OrganizationNumber>,
    keys: BTreeMap<KeyId, Key>,
}

impl<'a> Books<'a> {
    /// Empty books.
    pub(super) const fn new(view: &'a dyn View, now: UnixMillis) -> Self {
        Self {
            view,
            now,
            used: BTreeMap::new(),
            last_uses: BTreeMap::new(),
            spent: BTreeMap::new(),
            prices: BTreeMap::new(),
            owners: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }

    /// Enters a line: once for its place, and once for each budget that may cover it.
    pub(super) fn add(&mut self, place: UsagePlace, line: &UsageLine) -> Result<(), StoreError> {
        let price = self.price(place.permission)?;
        let amount = Amount { requests: line.requests, cost_micros: line.requests.saturating_mul(price) };
        add(&mut self.used, place, amount);
        let owner = self.owner(place.project)?;
        add(&mut self.spent, (BudgetScope::Organization(owner), place.day), amount);
        add(&mut self.spent, (BudgetScope::Project(place.project), place.day), amount);
        if let UsageSubject::Key(id) = place.subject {
            let scope = BudgetScope::of_key(self.key(id)?);
            add(&mut self.spent, (scope, place.day), amount);
            // An edge's clock may be a little ahead of ours.
            let last = self.last_uses.entry(id).or_insert(UnixMillis(0));
            *last = (*last).max(line.last_at.min(self.now));
        }
        Ok(())
    }

    /// What there is to write.
    pub(super) fn close(self) -> Result<Vec<Change>, StoreError> {
        let mut changes = self.budgets()?;
        changes.extend(self.used.into_iter().map(|(place, amount)| Change::Usage(place, amount)));
        changes.extend(self.last_uses.into_iter().map(|(key, at)| Change::KeyUse(key, at)));
        let spent = self.spent.into_iter();
        changes.extend(spent.map(|((scope, day), amount)| Change::Spent(scope, day, amount)));
        Ok(changes)
    }

    /// The budgets with what the batch spends of them. Only days of the running period count.
    fn budgets(&self) -> Result<Vec<Change>, StoreError> {
        let mut changed = BTreeMap::<BudgetScope, Budget>::new();
        let mut told = budgets::Teller::new(self.view, self.now);
        let mut changes = Vec::new();
        for scope in self.spent.keys().map(|(scope, _)| *scope) {
            if changed.contains_key(&scope) {
                continue;
            }
            let Some(budget) = self.view.budget(scope)? else { continue };
            let before = budgets::rolled(self.view, &budget, self.now)?;
            let now = Budget { spent: before.spent.plus(self.since(scope, before.period_day)), ..before };
            changes.extend(told.tell(&before, &now)?);
            changed.insert(scope, now);
        }
        changes.extend(changed.into_values().map(Change::Budget));
        Ok(changes)
    }

    fn since(&self, scope: BudgetScope, first_day: u32) -> Amount {
        let days = self.spent.range((scope, first_day)..=(scope, u32::MAX));
        days.fold(Amount::default(), |sum, (_, amount)| sum.plus(*amount))
    }

    fn price(&mut self, permission: Permission) -> Result<u64, StoreError> {
        if let Some(price) = self.prices.get(&permission) {
            return Ok(*price);
        }
        let price = self.view.price(permission)?;
        self.prices.insert(permission, price);
        Ok(price)
    }

    fn owner(&mut self, project: ProjectNumber) -> Result<OrganizationNumber, StoreError> {
        if let Some(owner) = self.owners.get(&project) {
            return Ok(*owner);
        }
        let owner = self.view.project(project)?.ok_or(StoreError::Corrupt("projects"))?.organization;
        self.owners.insert(project, owner);
        Ok(owner)
    }

    fn key(&mut self, id: KeyId) -> Result<&Key, StoreError> {
        if !self.keys.contains_key(&id) {
            let key = self.view.key(id)?.ok_or(StoreError::Corrupt("keys"))?;
            self.keys.insert(id, key);
        }
        self.keys.get(&id).ok_or(StoreError::Corrupt("keys"))
    }
}

fn add<K: Ord>(sums: &mut BTreeMap<K, Amount>, place: K, amount: Amount) {
    let sum = sums.entry(place).or_default();
    *sum = sum.plus(amount);
}
