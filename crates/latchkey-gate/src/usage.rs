//! Who did how much (IAM B1, K13): counted where requests are let in, and handed over in batches.
//!
//! A shell records a grant once its request has gone on, and nothing else: what was refused, by whomever, never counts
//! (B3).

use crate::verdict::{Grant, Subject};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use latchkey_core::{Permission, ProjectNumber, UnixMillis};

/// Lines that are kept at most. A shell that empties the table now and then never gets there.
pub const LINES_MAX: usize = 4096;
/// At this many lines it is time to empty the table, however young they are.
pub const LINES_FULL: usize = 2048;
const DAY_MS: u64 = 86_400_000;

/// What was let in since it was last emptied.
#[derive(Debug, Default)]
pub struct Usage {
    lines: BTreeMap<(Subject, ProjectNumber, Permission, u64), (u64, UnixMillis)>,
    lost: u64,
}

/// What one subject did in one project on one day with one permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Whose use.
    pub subject: Subject,
    /// The project.
    pub project: ProjectNumber,
    /// The permission.
    pub permission: Permission,
    /// The UTC day, counted from 1970-01-01.
    pub day: u64,
    /// Requests that were let in, 1 or more.
    pub requests: u64,
    /// When the last of them was; on that day.
    pub last_at: UnixMillis,
}

impl Usage {
    /// Counts one request that was let in at `now` and has gone on. `whoami` is nobody's use.
    pub fn record(&mut self, grant: &Grant, now: UnixMillis) {
        if let Some(permission) = grant.permission {
            self.count(grant.subject, grant.binding.project, permission, now);
        }
    }

    /// The same, of what a shell has kept of a grant.
    pub fn count(
        &mut self,
        subject: Subject,
        project: ProjectNumber,
        permission: Permission,
        now: UnixMillis,
    ) {
        let key = (subject, project, permission, now.0 / DAY_MS);
        let has_room = self.lines.len() < LINES_MAX;
        match self.lines.get_mut(&key) {
            Some((requests, last_at)) => {
                *requests = requests.saturating_add(1);
                *last_at = now.max(*last_at);
            }
            None if has_room => drop(self.lines.insert(key, (1, now))),
            None => self.lost = self.lost.saturating_add(1),
        }
    }

    /// Whether there is anything to hand over.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether it should be emptied now.
    pub fn is_full(&self) -> bool {
        self.lines.len() >= LINES_FULL
    }

    /// Requests that found no line: they were let in and nobody will be charged for them.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Hands everything over, in a fixed order, and begins anew.
    pub fn drain(&mut self) -> Vec<Line> {
        let line = |((subject, project, permission, day), (requests, last_at))| Line {
            subject,
            project,
            permission,
            day,
            requests,
            last_at,
        };
        core::mem::take(&mut self.lines).into_iter().map(line).collect()
    }
}
