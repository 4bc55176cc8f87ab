//! Budgets (IAM B2).

use crate::day::Day;
use crate::usage::UsageAmount;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A limit is at most this.
pub const LIMIT_MAX: u64 = 1_000_000_000_000_000;

/// `PUT …/budget`: takes the place of the one that is there. One limit at least.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetBudget {
    /// Requests a period, 1 to 10^15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_max: Option<u64>,
    /// Cost a period in millionths of the installation's currency unit, 1 to 10^15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micros_max: Option<u64>,
    /// The period.
    pub period: BudgetPeriod,
}

/// Over what time a budget counts. Days and months begin at midnight UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetPeriod {
    /// A day.
    Day,
    /// A calendar month.
    Month,
    /// For ever.
    Total,
}

/// A budget. Reaching a limit refuses metered permissions of what it covers, until it is raised or its next period
/// begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// Requests a period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_max: Option<u64>,
    /// Cost a period, in millionths of the installation's currency unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micros_max: Option<u64>,
    /// The period.
    pub period: BudgetPeriod,
    /// The day on which the current period began; absent if it is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_began: Option<Day>,
    /// What was spent in it.
    pub spent: UsageAmount,
    /// Whether a limit is reached.
    pub exhausted: bool,
}
