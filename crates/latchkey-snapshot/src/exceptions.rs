//! Organizations and projects that are refused as a whole, by number. Resident in every isolate.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | exception class count, at most 5 |
//! | – | classes, ascending: class 1, count 4, numbers of 4 ascending; a class without numbers is left out |

use crate::cursor::{Cursor, Fault, ParseError};
use alloc::vec::Vec;
use core::fmt;
use latchkey_core::{OrganizationNumber, ProjectNumber};

/// What is refused of everything under a number, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExceptionClass {
    /// The organization is suspended (IAM O6).
    OrganizationSuspended = 1,
    /// The project is archived (IAM J10).
    ProjectArchived = 2,
    /// The project's switch for external collaborators is off: those it has are refused (IAM X3).
    ProjectClosedToExternals = 3,
    /// The organization's budget is spent: what costs money is refused (IAM B2).
    OrganizationOutOfBudget = 4,
    /// The project's budget is spent: what costs money is refused (IAM B2).
    ProjectOutOfBudget = 5,
}

impl ExceptionClass {
    /// Every class, in the order of its byte.
    pub const ALL: [ExceptionClass; 5] = [
        Self::OrganizationSuspended,
        Self::ProjectArchived,
        Self::ProjectClosedToExternals,
        Self::OrganizationOutOfBudget,
        Self::ProjectOutOfBudget,
    ];
}

/// Organizations and projects that are refused as a whole, each class on its own: lifting one lifts no other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exceptions {
    numbers: [Vec<u32>; ExceptionClass::ALL.len()],
}

impl Exceptions {
    /// These organizations, and no others, are suspended.
    #[must_use]
    pub fn with_suspended(self, organizations: impl IntoIterator<Item = OrganizationNumber>) -> Self {
        self.with(ExceptionClass::OrganizationSuspended, organizations.into_iter().map(|number| number.0))
    }

    /// These projects, and no others, are archived.
    #[must_use]
    pub fn with_archived(self, projects: impl IntoIterator<Item = ProjectNumber>) -> Self {
        self.with(ExceptionClass::ProjectArchived, projects.into_iter().map(|number| number.0))
    }

    /// These projects, and no others, are closed to external collaborators.
    #[must_use]
    pub fn with_closed_to_externals(self, projects: impl IntoIterator<Item = ProjectNumber>) -> Self {
        self.with(ExceptionClass::ProjectClosedToExternals, projects.into_iter().map(|number| number.0))
    }

    /// These organizations, and no others, are out of budget.
    #[must_use]
    pub fn with_organizations_out_of_budget(
        self,
        organizations: impl IntoIterator<Item = OrganizationNumber>,
    ) -> Self {
        self.with(ExceptionClass::OrganizationOutOfBudget, organizations.into_iter().map(|number| number.0))
    }

    /// These projects, and no others, are out of budget.
    #[must_use]
    pub fn with_projects_out_of_budget(self, projects: impl IntoIterator<Item = ProjectNumber>) -> Self {
        self.with(ExceptionClass::ProjectOutOfBudget, projects.into_iter().map(|number| number.0))
    }

    /// Whether everything of the organization is refused.
    pub fn suspends(&self, organization: OrganizationNumber) -> bool {
        self.holds(ExceptionClass::OrganizationSuspended, organization.0)
    }

    /// Whether everything of the project is refused.
    pub fn archives(&self, project: ProjectNumber) -> bool {
        self.holds(ExceptionClass::ProjectArchived, project.0)
    }

    /// Whether the project's external collaborators are refused.
    pub fn closes_to_externals(&self, project: ProjectNumber) -> bool {
        self.holds(ExceptionClass::ProjectClosedToExternals, project.0)
    }

    /// Whether what costs money is refused in the project, for its own budget or its organization's.
    pub fn is_out_of_budget(&self, organization: OrganizationNumber, project: ProjectNumber) -> bool {
        self.holds(ExceptionClass::OrganizationOutOfBudget, organization.0)
            || self.holds(ExceptionClass::ProjectOutOfBudget, project.0)
    }

    /// These and those that `begun` names.
    #[must_use]
    pub fn plus(&self, begun: &Self) -> Self {
        ExceptionClass::ALL.into_iter().fold(Self::default(), |joined, class| {
            joined.set(class, union(self.numbers(class), begun.numbers(class)))
        })
    }

    /// These without those that `lifted` names.
    #[must_use]
    pub fn minus(&self, lifted: &Self) -> Self {
        ExceptionClass::ALL.into_iter().fold(Self::default(), |left, class| {
            let stays = |number: &u32| !lifted.holds(class, *number);
            left.set(class, self.numbers(class).iter().copied().filter(stays).collect())
        })
    }

    /// Whether no class has a number in both.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        let shares = |class| self.numbers(class).iter().any(|number| other.holds(class, *number));
        !ExceptionClass::ALL.into_iter().any(shares)
    }

    /// Whether nothing is refused.
    pub fn is_empty(&self) -> bool {
        self.numbers.iter().all(Vec::is_empty)
    }

    /// The numbers of one class, ascending.
    pub fn numbers(&self, class: ExceptionClass) -> &[u32] {
        &self.numbers[class as usize - 1]
    }

    fn holds(&self, class: ExceptionClass, number: u32) -> bool {
        self.numbers(class).binary_search(&number).is_ok()
    }

    fn with(self, class: ExceptionClass, numbers: impl Iterator<Item = u32>) -> Self {
        let mut numbers: Vec<u32> = numbers.collect();
        numbers.sort_unstable();
        numbers.dedup();
        self.set(class, numbers)
    }

    /// Of numbers that ascend.
    fn set(mut self, class: ExceptionClass, numbers: Vec<u32>) -> Self {
        self.numbers[class as usize - 1] = numbers;
        self
    }

    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, ParseError> {
        let before = cursor.clone();
        let count = usize::from(cursor.u8("exception class count")?);
        before.ensure("exception class count", count <= ExceptionClass::ALL.len(), Fault::OutOfRange)?;
        let mut exceptions = Self::default();
        let mut last = None;
        for _ in 0..count {
            let before = cursor.clone();
            let byte = cursor.u8("exception class")?;
            let class = ExceptionClass::ALL.into_iter().find(|class| *class as u8 == byte);
            let class = class.ok_or_else(|| before.fault("exception class", Fault::OutOfRange))?;
            before.ensure("exception class", last.is_none_or(|last| last < class), Fault::NotAscending)?;
            last = Some(class);
            exceptions.numbers[class as usize - 1] = read_numbers(cursor)?;
        }
        Ok(exceptions)
    }
}

fn read_numbers(cursor: &mut Cursor<'_>) -> Result<Vec<u32>, ParseError> {
    let before = cursor.clone();
    let count = cursor.u32("exception count")? as usize;
    before.ensure("exception count", count > 0, Fault::OutOfRange)?;
    let before = cursor.clone();
    // Taken before anything is allocated: a count that promises more than there is ends here.
    let bytes = cursor.take("exceptions", count.saturating_mul(4))?;
    let (words, _) = bytes.as_chunks::<4>();
    let numbers: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    before.ensure("exceptions", numbers.is_sorted_by(|a, b| a < b), Fault::NotAscending)?;
    Ok(numbers)
}

/// What is in either list; both ascend.
fn union(one: &[u32], other: &[u32]) -> Vec<u32> {
    let (mut one, mut other) = (one.iter().copied().peekable(), other.iter().copied().peekable());
    let next = || {
        let least = match (one.peek(), other.peek()) {
            (Some(a), Some(b)) => *a.min(b),
            (a, b) => *a.or(b)?,
        };
        one.next_if_eq(&least);
        other.next_if_eq(&least);
        Some(least)
    };
    core::iter::from_fn(next).collect()
}

impl fmt::Display for ExceptionClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OrganizationSuspended => "organization suspended",
            Self::ProjectArchived => "project archived",
            Self::ProjectClosedToExternals => "project closed to externals",
            Self::OrganizationOutOfBudget => "organization out of budget",
            Self::ProjectOutOfBudget => "project out of budget",
        })
    }
}
