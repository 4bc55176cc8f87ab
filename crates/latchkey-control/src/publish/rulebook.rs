//! The route rules that a committed state may name, in memory: the state names a set by its version, and this knows what
//! that set says.
//!
//! A set comes in here before it is committed, and counts only once it is: so whatever is published of a generation says
//! exactly the rules that were in force at it, and one whose commit failed says nothing.

use crate::iam::RuleSet;
use latchkey_snapshot::build::{BuildError, routing_digest};
use latchkey_snapshot::{Cors, Rule};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What a set of route rules says to edges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routing {
    /// What routes need.
    pub rules: Vec<Rule>,
    /// Which pages in browsers may call through edges, if any may.
    pub cors: Option<Cors>,
}

impl Routing {
    /// The digest by which edges tell that they have it.
    ///
    /// # Errors
    /// A manifest cannot have it.
    pub fn version(&self) -> Result<[u8; 32], BuildError> {
        routing_digest(self.cors.as_ref(), &self.rules)
    }
}

/// Sets by their version. Clones share them.
#[derive(Clone)]
pub struct Rulebook {
    /// What holds while the state names none.
    first: Arc<Routing>,
    sets: Arc<Mutex<Vec<Known>>>,
}

/// A set that came in.
struct Known {
    version: Version,
    routing: Arc<Routing>,
}

type Version = [u8; 32];

impl Rulebook {
    /// A book with this in force until the state names another.
    pub fn of(routing: Routing) -> Self {
        Self { first: Arc::new(routing), sets: Arc::default() }
    }

    /// Takes a set in. Of those before, the one in force stays.
    pub(crate) fn add(&self, version: Version, routing: Routing, in_force: Option<Version>) {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.retain(|known| Some(known.version) == in_force && known.version != version);
        sets.push(Known { version, routing: Arc::new(routing) });
    }

    /// What the set says that the state names; `None` if that set never came in.
    pub(super) fn in_force(&self, named: Option<&RuleSet>) -> Option<Arc<Routing>> {
        let Some(named) = named else { return Some(Arc::clone(&self.first)) };
        let sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.iter().find(|known| known.version == named.version).map(|known| Arc::clone(&known.routing))
    }
}

impl fmt::Debug for Rulebook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rulebook(..)")
    }
}
