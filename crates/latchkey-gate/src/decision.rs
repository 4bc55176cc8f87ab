//! Decisions as lines of a log: which are written, and what a line says. The shell draws and writes.
//!
//! A line tells why, and of whom it was proven: the key's public id, never its text. Of what the caller chose it has only
//! what a rule says itself, or what has a shape that no secret has: no path, no query, no header, no body.

use crate::gate::Gate;
use crate::json::Object;
use crate::verdict::{Outcome, Pass, Refusal, Subject, Verdict};
use alloc::string::{String, ToString};
use latchkey_core::{Permission, ProjectId, Role, UnixMillis};
use latchkey_snapshot::Rule;

/// Draws are below this.
pub const DRAWS: u32 = 1_000_000;

/// Which decisions are written: of so many in [`DRAWS`] each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Of those let in, or passed on by a public route.
    pub allowed: u32,
    /// Of those refused.
    pub refused: u32,
    /// Of those that a shadow let pass.
    pub shadow: u32,
}

impl Shares {
    /// The shares that a setting names, with commas between: a share of all, and for `allowed`, `refused` and `shadow` one
    /// of their own: `0.01,refused=1`. A share is 0 to 1 with up to six decimals. `None` if it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut shares = Self::default();
        for (index, part) in text.split(',').enumerate() {
            match part.trim().split_once('=') {
                None if index == 0 => {
                    let all = share(part.trim())?;
                    shares = Self { allowed: all, refused: all, shadow: all };
                }
                Some(("allowed", own)) => shares.allowed = share(own)?,
                Some(("refused", own)) => shares.refused = share(own)?,
                Some(("shadow", own)) => shares.shadow = share(own)?,
                _ => return None,
            }
        }
        Some(shares)
    }

    /// Whether this draw may be of a decision that is written, whichever it is.
    pub const fn may_take(&self, draw: u32) -> bool {
        draw < self.allowed || draw < self.refused || draw < self.shadow
    }

    /// Whether a decision is written of which this was drawn, uniformly below [`DRAWS`] and from nothing of the caller's.
    pub const fn takes(&self, outcome: &Outcome, draw: u32) -> bool {
        draw < match outcome {
            Outcome::Allow(_) | Outcome::Pass(Pass::Public) => self.allowed,
            Outcome::Pass(Pass::Shadow(_)) => self.shadow,
            Outcome::Refuse(_) => self.refused,
        }
    }
}

fn share(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if !(1..=DECIMALS_MAX).contains(&decimals.len()) || !matches!(whole, "0" | "1") {
        return None;
    }
    let mut share = u32::from(whole == "1");
    for at in 0..DECIMALS_MAX {
        let digit = decimals.as_bytes().get(at).copied().unwrap_or(b'0');
        share = share * 10 + u32::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    (share <= DRAWS).then_some(share)
}

const DECIMALS_MAX: usize = 6;

impl Gate {
    /// The rule that a verdict came by. To be asked before anything is waited for: rules may change.
    pub fn rule_of(&self, verdict: &Verdict) -> Option<&Rule> {
        self.routes()?.rules().get(usize::from(verdict.matched?.rule))
    }
}

/// What was decided, and about what.
#[derive(Debug)]
pub struct Line<'a> {
    /// When.
    pub at: UnixMillis,
    /// How long it took, waits included.
    pub took_ms: u64,
    /// By what the request is known elsewhere: see [`request_id`].
    pub request: Option<&'a str>,
    /// What was decided.
    pub verdict: &'a Verdict,
    /// The rule, if one was found.
    pub rule: Option<&'a Rule>,
    /// The project, once its names are known.
    pub project: Option<ProjectId>,
    /// Whether a request was judged again that had been let in.
    pub is_again: bool,
}

/// By what a request is known elsewhere, from its `CF-Ray` or its `traceparent`: only what has the shape of one.
pub fn request_id<'a>(ray: Option<&'a str>, traceparent: Option<&'a str>) -> Option<&'a str> {
    ray.filter(|text| is_ray(text)).or_else(|| traceparent.filter(|text| is_traceparent(text)))
}

/// 16 hexadecimal digits, and perhaps the data centre's three letters.
fn is_ray(text: &str) -> bool {
    let (number, place) = text.split_once('-').unwrap_or((text, "XXX"));
    is_hex(number, 16) && place.len() == 3 && place.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// `00-TRACE-SPAN-FLAGS` of W3C Trace Context.
fn is_traceparent(text: &str) -> bool {
    let mut parts = text.split('-');
    [2, 32, 16, 2].into_iter().all(|len| parts.next().is_some_and(|part| is_hex(part, len)))
        && parts.next().is_none()
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Line<'_> {
    /// The line: a JSON object, without a line's end.
    pub fn text(&self) -> String {
        let mut line = Object::new();
        line.number("v", 1).number("at_ms", self.at.0);
        let (outcome, refusal) = match self.verdict.outcome {
            Outcome::Allow(_) => ("allowed", None),
            Outcome::Pass(Pass::Public) => ("public", None),
            Outcome::Pass(Pass::Shadow(refusal)) => ("shadow", Some(refusal)),
            Outcome::Refuse(refusal) => ("refused", Some(refusal)),
        };
        line.text("outcome", outcome);
        line.some("code", refusal.map(Refusal::code)).some("cause", refusal.map(Refusal::cause));
        line.some("request", self.request);
        if let Some(rule) = self.rule {
            line.text("method", &rule.method).some("host", rule.host.as_deref()).text("rule", &rule.pattern);
            line.some("permission", rule.permission().map(Permission::as_str));
        }
        if let Some(proven) = self.verdict.proven {
            match proven.subject {
                Subject::Key(id) => line.text("key", &id.to_string()),
                Subject::Session(id) => line.text("identity", &id.to_string()),
            };
            line.some("role", proven.role.map(Role::as_str));
        }
        line.some("project", self.project.map(|project| project.to_string()).as_deref());
        if let Some(standing) = self.verdict.standing {
            line.number("generation", standing.generation.0).number("age_ms", standing.age_ms);
            if standing.stale {
                line.flag("stale", true);
            }
        }
        if self.is_again {
            line.flag("again", true);
        }
        line.number("took_ms", self.took_ms);
        line.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Absent, Unproven};
    use alloc::borrow::ToOwned;

    #[test]
    fn shares_are_read_to_the_letter_or_not_at_all() {
        let of = |allowed, refused, shadow| Some(Shares { allowed, refused, shadow });
        for (text, shares) in [
            ("0", of(0, 0, 0)),
            ("1", of(DRAWS, DRAWS, DRAWS)),
            ("0.01", of(10_000, 10_000, 10_000)),
            ("0.000001,refused=1", of(1, DRAWS, 1)),
            ("refused=1.0, shadow=0.5", of(0, DRAWS, 500_000)),
            ("0.5,allowed=0", of(0, 500_000, 500_000)),
        ] {
            assert_eq!(Shares::parse(text), shares, "{text}");
        }
        for text in [
            "",
            "2",
            "1.1",
            "-1",
            "+1",
            ".5",
            "0.",
            "0.0000001",
            "1e-3",
            "0,5",
            "all=1",
            "refused=",
            "0.1,0.2",
        ] {
            assert_eq!(Shares::parse(text), None, "{text}");
        }
    }

    #[test]
    fn share_of_nothing_takes_none_and_share_of_all_takes_every_draw() {
        let refused = Outcome::Refuse(Refusal::Suspended);
        let shares = Shares { refused: DRAWS, ..Shares::default() };
        for draw in [0, 1, DRAWS / 2, DRAWS - 1] {
            assert!(shares.takes(&refused, draw) && shares.may_take(draw));
            assert!(!shares.takes(&Outcome::Pass(Pass::Public), draw));
            assert!(!shares.takes(&Outcome::Pass(Pass::Shadow(Refusal::Suspended)), draw));
            assert!(!Shares::default().may_take(draw));
        }
    }

    #[test]
    fn only_what_has_the_shape_of_an_id_is_one() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(request_id(Some("8f1d2c3b4a596877-FRA"), Some(trace)), Some("8f1d2c3b4a596877-FRA"));
        assert_eq!(request_id(Some("8f1d2c3b4a596877"), None), Some("8f1d2c3b4a596877"));
        assert_eq!(request_id(None, Some(trace)), Some(trace));
        for text in [
            "",
            "lk_test_0123456789a",
            "8F1D2C3B4A596877-FRA",
            "8f1d2c3b4a596877-fra",
            "8f1d2c3b4a59687-FRA",
            "8f1d2c3b4a596877-FRA\n{}",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(request_id(Some(text), Some(text)), None, "{text}");
        }
    }

    #[test]
    fn line_tells_the_cause_and_quotes_what_a_rule_says() {
        let verdict = Verdict {
            outcome: Outcome::Refuse(Refusal::Unauthenticated(Unproven::Unknown)),
            standing: None,
            matched: None,
            proven: None,
        };
        let rule = Rule {
            host: Some("{project}.api.example".to_owned()),
            ..Rule::new("GET", "/a\"b\\{file}", Permission::FilesRead)
        };
        let line = Line {
            at: UnixMillis(5),
            took_ms: 2,
            request: Some("8f1d2c3b4a596877"),
            verdict: &verdict,
            rule: Some(&rule),
            project: None,
            is_again: false,
        };
        assert_eq!(
            line.text(),
            r#"{"v":1,"at_ms":5,"outcome":"refused","code":"unauthenticated","cause":"credential_unknown","request":"8f1d2c3b4a596877","method":"GET","host":"{project}.api.example","rule":"/a\"b\\{file}","permission":"files.read","took_ms":2}"#
        );
        let absent = Verdict { outcome: Outcome::Refuse(Refusal::NotFound(Absent::Route)), ..verdict };
        let line = Line { verdict: &absent, rule: None, is_again: true, request: None, ..line };
        assert_eq!(
            line.text(),
            r#"{"v":1,"at_ms":5,"outcome":"refused","code":"not_found","cause":"absent_route","again":true,"took_ms":2}"#
        );
    }
}
