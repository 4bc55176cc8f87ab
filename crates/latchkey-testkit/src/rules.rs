//! Files of route rules that are none.

use latchkey_control::app::rules::{RulesFile, RulesRead};
use latchkey_control::publish::Routing;
use latchkey_core::Permission;
use latchkey_snapshot::Rule;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A file that says what it was last told to.
#[derive(Clone, Default)]
pub struct ScriptedRules(Arc<Mutex<Option<Result<RulesRead, String>>>>);

impl ScriptedRules {
    /// From now on it has one rule, for this path.
    pub fn say(&self, path: &str) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *said = Some(Ok(one_rule(path)));
    }

    /// From now on it is wrong, for this reason.
    pub fn break_off(&self, why: &str) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *said = Some(Err(why.to_owned()));
    }
}

impl RulesFile for ScriptedRules {
    fn read(&self) -> Result<Option<RulesRead>, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().transpose()
    }
}

/// A file that says something else whenever it is read, on whichever stage.
pub(crate) struct ChangingRules;

static READINGS: AtomicU32 = AtomicU32::new(0);

impl RulesFile for ChangingRules {
    fn read(&self) -> Result<Option<RulesRead>, String> {
        Ok(Some(one_rule(&format!("/{}", READINGS.fetch_add(1, Ordering::SeqCst)))))
    }
}

fn one_rule(path: &str) -> RulesRead {
    let rules = vec![Rule::new("GET", path, Permission::InferenceInvoke)];
    RulesRead { routing: Routing { rules, cors: None }, text: format!("# the rule of `{path}`") }
}
