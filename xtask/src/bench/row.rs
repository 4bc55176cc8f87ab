//! Rows: what was measured, held against what DESIGN §8 wants.

use serde_json::json;
use std::fmt;

/// A measured value and how it came about.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) id: String,
    pub(crate) value: f64,
    pub(crate) detail: String,
}

impl Value {
    pub(crate) fn new(id: &str, value: f64, detail: impl Into<String>) -> Self {
        Self { id: id.to_owned(), value, detail: detail.into() }
    }
}

/// A row of the report.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) value: Option<f64>,
    pub(crate) unit: &'static str,
    pub(crate) target: Option<f64>,
    /// `None` where there is no target, or where a quick run leaves the row out.
    pub(crate) met: Option<bool>,
    pub(crate) compared_with: String,
    pub(crate) order: Order,
}

/// Which side of the target is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    AtMost,
    AtLeast,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What takes minutes is left out.
    Quick,
    /// Everything.
    Full,
}

struct Want {
    id: &'static str,
    unit: &'static str,
    target: Option<f64>,
    order: Order,
    /// The least extent that measures it.
    extent: Extent,
}

const fn at_most(id: &'static str, unit: &'static str, target: f64) -> Want {
    Want { id, unit, target: Some(target), order: Order::AtMost, extent: Extent::Quick }
}

const fn at_least(id: &'static str, unit: &'static str, target: f64) -> Want {
    Want { order: Order::AtLeast, ..at_most(id, unit, target) }
}

/// What only a full run measures.
const fn full(want: Want) -> Want {
    Want { extent: Extent::Full, ..want }
}

const fn told(id: &'static str, unit: &'static str) -> Want {
    Want { target: None, ..at_most(id, unit, 0.0) }
}

/// Every row, in the order of the page.
const WANTS: &[Want] = &[
    at_most("verdict_native_ratio", "ratio", 1.5),
    told("verdict_native_ns", "ns"),
    told("verdict_native_whoami_ns", "ns"),
    told("verdict_native_project_ns", "ns"),
    told("verdict_native_resource_ns", "ns"),
    at_most("junk_refusal_ns", "ns", 30.0),
    at_most("verdict_workerd_ns", "ns", 300.0),
    at_most("verdict_workerd_resource_ns", "ns", 500.0),
    at_least("verdict_vs_jwt", "times", 100.0),
    at_most("request_overhead_us", "µs", 20.0),
    at_most("activation_first_ms", "ms", 5.0),
    at_most("activation_full_ms", "ms", 60.0),
    at_most("activation_cpu_ms_max", "ms", 10.0),
    at_most("isolate_memory_mb", "MB", 40.0),
    at_most("snapshot_bound_ratio", "ratio", 1.06),
    told("snapshot_keys_bound_ratio", "ratio"),
    told("build_1m_content_s", "s"),
    at_most("build_1m_s", "s", 0.5),
    at_most("build_10m_s", "s", 5.0),
    full(at_most("build_100m_s", "s", 60.0)),
    full(told("build_100m_memory_mb", "MB")),
    told("pages_10k", "part"),
    told("pages_1m", "part"),
    told("pages_10m", "part"),
    full(told("pages_100m", "part")),
    told("gate_10m_memory_mb", "MB"),
    full(told("gate_100m_memory_mb", "MB")),
    at_most("republish_ms", "ms", 50.0),
    at_most("revocation_wire_bytes", "bytes", 512.0),
    at_most("revoke_p99_ms", "ms", 1000.0),
    at_most("revoke_max_ms", "ms", 5000.0),
    at_least("create_durable_per_s", "keys/s", 10_000.0),
    told("create_durable_1000_per_s", "keys/s"),
    at_least("create_bulk_per_s", "keys/s", 30_000.0),
    told("create_bulk_1000_per_s", "keys/s"),
    at_most("worker_gzip_kb", "KB", 300.0),
    at_most("worker_gzip_kb_hub", "KB", 300.0),
    at_most("worker_start_ms", "ms", 50.0),
];

/// Holds every value against its target; a row without a value is missed, unless a quick run leaves it out.
pub(crate) fn judge(values: &[Value], extent: Extent) -> Vec<Row> {
    WANTS.iter().map(|want| want.judge(values.iter().find(|value| value.id == want.id), extent)).collect()
}

impl Want {
    fn judge(&self, found: Option<&Value>, extent: Extent) -> Row {
        let value = found.map(|found| found.value);
        let reached = self.target.map(|target| match (value, self.order) {
            (None, _) => false,
            (Some(value), Order::AtMost) => value <= target,
            (Some(value), Order::AtLeast) => value >= target,
        });
        let left_out = found.is_none() && self.extent == Extent::Full && extent == Extent::Quick;
        let met = if left_out { None } else { reached };
        let nothing = if left_out { "only a full run measures it" } else { "not measured" };
        let compared_with = found.map_or_else(|| nothing.to_owned(), |found| found.detail.clone());
        let Self { id, unit, target, order, .. } = *self;
        Row { id, value, unit, target, met, compared_with, order }
    }
}

impl Row {
    /// The row as the JSON file has it.
    pub(crate) fn json(&self) -> serde_json::Value {
        json!({
            "id": self.id,
            "value": self.value,
            "unit": self.unit,
            "target": self.target,
            "met": self.met,
            "compared_with": self.compared_with,
        })
    }

    /// The value for people.
    pub(crate) fn value_text(&self) -> String {
        self.value.map_or_else(|| "–".to_owned(), number)
    }

    /// The target for people.
    pub(crate) fn target_text(&self) -> String {
        let sign = if self.order == Order::AtMost { "≤" } else { "≥" };
        self.target.map_or_else(|| "–".to_owned(), |target| format!("{sign} {}", number(target)))
    }

    /// Whether the target is met, for people.
    pub(crate) fn met_text(&self) -> &'static str {
        match (self.met, self.target) {
            (Some(true), _) => "yes",
            (Some(false), _) => "**MISSED**",
            (None, Some(_)) => "not judged",
            (None, None) => "–",
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, target, met) = (self.value_text(), self.target_text(), self.met_text());
        write!(f, "{:<28} {value:>9} {:<6} {target:>8}  {met}", self.id, self.unit)
    }
}

/// Four significant digits or so.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}").trim_end_matches(".0").to_owned(),
        size if size >= 10.0 => format!("{value:.1}").trim_end_matches(".0").to_owned(),
        _ => format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(id: &str, value: f64) -> Option<bool> {
        judge(&[Value::new(id, value, "")], Extent::Full)
            .into_iter()
            .find(|row| row.id == id)
            .and_then(|row| row.met)
    }

    #[test]
    fn target_itself_is_met_and_what_lies_beyond_is_missed() {
        assert_eq!(judged("verdict_native_ratio", 1.5), Some(true));
        assert_eq!(judged("verdict_native_ratio", 1.51), Some(false));
        assert_eq!(judged("verdict_vs_jwt", 100.0), Some(true));
        assert_eq!(judged("verdict_vs_jwt", 99.9), Some(false));
    }

    #[test]
    fn what_was_not_measured_is_missed_unless_a_quick_run_leaves_it_out() {
        assert!(judge(&[], Extent::Full).iter().all(|row| row.met == row.target.map(|_| false)));
        let quick = judge(&[], Extent::Quick);
        let left_out: Vec<_> = quick.iter().filter(|row| row.target.is_some() && row.met.is_none()).collect();
        assert_eq!(left_out.iter().map(|row| row.id).collect::<Vec<_>>(), ["build_100m_s"]);
    }
}
