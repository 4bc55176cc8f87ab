//! The gate's counters as text for Prometheus. Nothing in it names a key, a project or a client.

use crate::respond::health;
use latchkey_gate::Status;
use std::fmt::Write;

/// The text of one scrape.
pub(crate) fn text(status: &Status, usage_lost: u64, decisions: Option<(u64, u64)>) -> String {
    let mut page = Page::default();
    page.head("latchkey_gate_answers_total", "counter", "Answers, by what they said.");
    for count in &status.counts {
        let label = format!("{{cause=\"{}\"}}", count.cause);
        page.line("latchkey_gate_answers_total", &label, count.times);
    }
    page.head(
        "latchkey_gate_rejudged_total",
        "counter",
        "What takes long and was judged again, by what became of it.",
    );
    let rejudged = status.rejudged;
    for (outcome, times) in [("allowed", rejudged.allowed), ("refused", rejudged.refused)] {
        page.line("latchkey_gate_rejudged_total", &format!("{{outcome=\"{outcome}\"}}"), times);
    }
    page.head("latchkey_gate_health", "gauge", "1 for how the gate would answer now.");
    for name in ["fresh", "stale", "refusing", "cold"] {
        let label = format!("{{health=\"{name}\"}}");
        page.line("latchkey_gate_health", &label, u64::from(health(status.health) == name));
    }
    let generation = status.generation.map_or(0, |generation| generation.0);
    let heads = "Heads that were taken in as new.";
    page.one("latchkey_gate_generation", "gauge", "The generation that serves.", generation);
    if let Some(age_ms) = status.age_ms {
        page.one("latchkey_gate_age_milliseconds", "gauge", "How old its knowledge is.", age_ms);
    }
    page.one("latchkey_gate_root_version", "gauge", "The root it believes.", status.root_version.into());
    page.one("latchkey_gate_heads_accepted_total", "counter", heads, status.heads_accepted);
    page.one(
        "latchkey_gate_heads_refused_total",
        "counter",
        "Heads that were refused.",
        status.heads_refused,
    );
    let forked = "Heads of a rank already held, with other bytes.";
    page.one("latchkey_gate_heads_forked_total", "counter", forked, status.heads_forked);
    let refused = "Objects that were refused.";
    page.one("latchkey_gate_objects_refused_total", "counter", refused, status.objects_refused);
    page.one("latchkey_gate_pages_held", "gauge", "Pages held.", status.pages_held as u64);
    page.one(
        "latchkey_gate_pages_named",
        "gauge",
        "Pages that the nodes held name.",
        status.pages_named as u64,
    );
    page.one("latchkey_gate_memory_bytes", "gauge", "Pages, index and deltas.", status.memory_bytes);
    page.one(
        "latchkey_gate_evictions_total",
        "counter",
        "Pages let go for want of memory.",
        status.evictions,
    );
    let breaker = "1 while it answers without asking, since asking failed.";
    page.one("latchkey_gate_breaker_open", "gauge", breaker, status.breaker_open.into());
    let lost = "Requests that found no room to be counted in.";
    page.one("latchkey_gate_usage_lost_total", "counter", lost, usage_lost);
    if let Some((written, lost)) = decisions {
        let lines = "Lines of the decision log.";
        page.one("latchkey_gate_decisions_written_total", "counter", lines, written);
        let dropped = "Lines of the decision log that found no room, or no place that took them.";
        page.one("latchkey_gate_decisions_lost_total", "counter", dropped, lost);
    }
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, label: &str, value: u64) {
        let _ = writeln!(self.0, "{name}{label} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::tests::mind_without_snapshot;

    /// The gate's own test goes through every refusal: each has a cause, and each cause a count.
    #[tokio::test]
    async fn every_count_of_the_gate_is_on_the_page_before_anything_is_counted() {
        let status = mind_without_snapshot().status();
        let page = text(&status, 0, Some((7, 8)));
        assert!(status.counts.len() > 50, "{}", status.counts.len());
        for count in &status.counts {
            let line = format!("latchkey_gate_answers_total{{cause=\"{}\"}} 0\n", count.cause);
            assert_eq!(page.matches(&line).count(), 1, "{line}");
        }
        for outcome in ["allowed", "refused"] {
            let line = format!("latchkey_gate_rejudged_total{{outcome=\"{outcome}\"}} 0\n");
            assert_eq!(page.matches(&line).count(), 1, "{page}");
        }
        assert!(page.contains("latchkey_gate_decisions_written_total 7\n"), "{page}");
        assert!(page.contains("latchkey_gate_decisions_lost_total 8\n"), "{page}");
        assert!(!text(&status, 0, None).contains("decisions"));
    }
}
