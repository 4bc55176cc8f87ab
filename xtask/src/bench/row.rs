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

/// What building may have resident, at any size.
const BUILD_MEMORY_MB: f64 = 512.0;
/// What a gate may have resident: its cap, which is 48 MiB as at an edge, and 16 MB for the program and what it reads.
const GATE_MEMORY_MB: f64 = (48 << 20) as f64 / 1e6 + 16.0;
/// The part of all pages that has 10 to 80 KB: the last of a range may be smaller.
const PAGES_PART: f64 = 0.99;

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
    at_most("routes_1000_ns", "ns", 300.0),
    at_most("request_overhead_us", "µs", 20.0),
    told("request_overhead_own_us", "µs"),
    at_most("activation_first_ms", "ms", 5.0),
    at_most("activation_full_ms", "ms", 60.0),
    at_most("activation_cpu_ms_max", "ms", 10.0),
    told("activation_first_code_ms", "ms"),
    told("activation_full_code_ms", "ms"),
    told("activation_cpu_code_ms_max", "ms"),
    at_most("refresh_cpu_ms_max", "ms", 10.0),
    at_most("delta_1mb_cpu_ms_max", "ms", 10.0),
    at_most("rebase_cpu_ms_max", "ms", 10.0),
    at_most("isolate_memory_mb", "MB", 40.0),
    at_most("isolate_memory_growth_kb", "KB", 160.0),
    at_most("snapshot_bound_ratio", "ratio", 1.06),
    told("snapshot_keys_bound_ratio", "ratio"),
    told("build_1m_content_s", "s"),
    at_most("build_1m_s", "s", 0.5),
    at_most("build_10m_s", "s", 5.0),
    full(at_most("build_100m_s", "s", 60.0)),
    told("build_10k_s", "s"),
    at_most("build_10k_memory_mb", "MB", BUILD_MEMORY_MB),
    at_most("build_1m_memory_mb", "MB", BUILD_MEMORY_MB),
    at_most("build_10m_memory_mb", "MB", BUILD_MEMORY_MB),
    full(at_most("build_100m_memory_mb", "MB", BUILD_MEMORY_MB)),
    at_least("pages_10k", "part", PAGES_PART),
    at_least("pages_1m", "part", PAGES_PART),
    at_least("pages_10m", "part", PAGES_PART),
    full(at_least("pages_100m", "part", PAGES_PART)),
    at_most("gate_10k_memory_mb", "MB", GATE_MEMORY_MB),
    at_most("gate_1m_memory_mb", "MB", GATE_MEMORY_MB),
    at_most("gate_10m_memory_mb", "MB", GATE_MEMORY_MB),
    full(at_most("gate_100m_memory_mb", "MB", GATE_MEMORY_MB)),
    told("republish_1m_ms", "ms"),
    full(at_most("republish_ms", "ms", 50.0)),
    told("republish_1m_memory_mb", "MB"),
    full(told("republish_10m_memory_mb", "MB")),
    at_most("revocation_wire_bytes", "bytes", 512.0),
    at_most("revoke_p99_ms", "ms", 1000.0),
    at_most("revoke_max_ms", "ms", 5000.0),
    at_least("create_durable_per_s", "keys/s", 10_000.0),
    told("create_durable_1000_per_s", "keys/s"),
    at_least("create_bulk_per_s", "keys/s", 30_000.0),
    told("create_bulk_1000_per_s", "keys/s"),
    told("native_gate_forward_per_s", "1/s"),
    told("native_gate_forward_ratio", "ratio"),
    told("native_gate_forward_p99_ms", "ms"),
    told("native_gate_gateway_per_s", "1/s"),
    told("native_gate_gateway_ratio", "ratio"),
    told("native_gate_gateway_p99_ms", "ms"),
    at_most("worker_gzip_kb", "KB", 300.0),
    at_most("worker_gzip_kb_hub", "KB", 300.0),
    at_most("worker_start_ms", "ms", 50.0),
];

/// Holds every value against its target; a row without a value is missed, unless a quick run leaves it out.
pub(crate) fn judge(values: &[Value], extent: Extent) -> Vec<Row> {
    WANTS.iter().map(|want| want.judge(values.iter().find(|value| value.id == want.id), extent)).collect()
}

/// Values that are in no row: nobody would see them fail.
pub(crate) fn unlisted(values: &[Value]) -> impl Iterator<Item = &str> {
    let is_listed = |value: &&Value| WANTS.iter().any(|want| want.id == value.id);
    values.iter().filter(move |value| !is_listed(value)).map(|value| value.id.as_str())
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
    fn value_without_a_row_is_told() {
        let values = [Value::new("build_1m_s", 1.0, ""), Value::new("build_2m_s", 1.0, "")];
        assert_eq!(unlisted(&values).collect::<Vec<_>>(), ["build_2m_s"]);
    }

    #[test]
    fn what_was_not_measured_is_missed_unless_a_quick_run_leaves_it_out() {
        assert!(judge(&[], Extent::Full).iter().all(|row| row.met == row.target.map(|_| false)));
        let quick = judge(&[], Extent::Quick);
        let left_out: Vec<_> = quick.iter().filter(|row| row.target.is_some() && row.met.is_none()).collect();
        assert_eq!(
            left_out.iter().map(|row| row.id).collect::<Vec<_>>(),
            ["build_100m_s", "build_100m_memory_mb", "pages_100m", "gate_100m_memory_mb", "republish_ms"]
        );
    }
}
