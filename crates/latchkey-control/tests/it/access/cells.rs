//! The cells of the access table: every route called for real by everybody, each on the world as it was built.

use super::cast::{Asker, World};
use super::examples::{Example, example, filled};
use latchkey_control::http::{Route, routes};
use latchkey_testkit::{Actor, Reply, Stage, StageConfig};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// What somebody is answered: the status, and what it says beyond the status.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) says: String,
}

impl Outcome {
    /// Of a reply: a refusal's permission or code, unless the status alone says it.
    pub(crate) fn of(reply: &Reply) -> Self {
        let problem = if reply.status < 400 { None } else { Some(reply.json()) };
        let says = problem.map_or_else(String::new, |problem| {
            let code = problem["code"].as_str().unwrap_or_default();
            match code {
                "unauthenticated" | "not_found" => String::new(),
                "forbidden" => problem["permission"].as_str().unwrap_or_default().to_owned(),
                _ => format!("({code})"),
            }
        });
        Self { status: reply.status, says }
    }

    pub(crate) const fn is_granted(&self) -> bool {
        self.status < 300
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gap = if self.says.is_empty() { "" } else { " " };
        write!(f, "{}{gap}{}", self.status, self.says)
    }
}

/// A world that is set up again whenever somebody changed it.
pub(crate) struct Round<'a> {
    world: &'a World,
    stage: Stage,
}

impl<'a> Round<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        Self { world, stage: world.stage() }
    }

    /// What the asker is answered on the route's example, on the world as it was built.
    pub(crate) async fn ask(&mut self, asker: &Asker, route: &Route) -> Reply {
        let example = example_of(route);
        let generation = *self.stage.control.store().newest().borrow();
        self.prepare(asker, &example).await;
        let (path, body) = example.about(route, &asker.about);
        let reply = asker.on(&self.stage).call(route.method.as_str(), &path, body).await;
        if *self.stage.control.store().newest().borrow() != generation {
            self.stage = self.world.frozen.set(StageConfig::default());
        }
        reply
    }

    /// A world as it was built and made ready for the route's example: the asker in it, its path and its body.
    pub(crate) async fn ready(&mut self, asker: &Asker, route: &Route) -> (Actor, String, Option<Value>) {
        self.stage = self.world.frozen.set(StageConfig::default());
        let example = example_of(route);
        self.prepare(asker, &example).await;
        let (path, body) = example.about(route, &asker.about);
        (asker.on(&self.stage), path, body)
    }

    /// The newest generation of that world.
    pub(crate) fn generation(&self) -> u64 {
        self.stage.control.store().newest().borrow().0
    }

    async fn prepare(&self, asker: &Asker, example: &Example) {
        for (who, method, path, body) in &example.before {
            let body = body.as_ref().map(|body| {
                serde_json::from_str(&filled(&body.to_string(), &asker.about)).expect("it was JSON")
            });
            let actor = self.world.asker(who).on(&self.stage);
            // Where the state does not let them, nobody finds the thing.
            let _ = actor.call(method, &filled(path, &asker.about), body).await;
        }
    }
}

#[track_caller]
pub(crate) fn example_of(route: &Route) -> Example {
    example(route.name).unwrap_or_else(|| panic!("examples.rs has no example of `{}`", route.name))
}

/// The whole table: outcomes by route and asker. Askers are shared out over two threads.
pub(crate) fn all(world: &World) -> BTreeMap<(&'static str, &'static str), Outcome> {
    let (left, right) = world.askers.split_at(world.askers.len() / 2);
    std::thread::scope(|scope| {
        let halves = [left, right].map(|askers| scope.spawn(move || some(world, askers)));
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    })
}

fn some(world: &World, askers: &[Asker]) -> Vec<((&'static str, &'static str), Outcome)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut round = Round::new(world);
        let mut cells = Vec::new();
        for asker in askers {
            for route in routes() {
                let reply = round.ask(asker, &route).await;
                assert!(reply.status < 500, "{} by {}: {}", route.name, asker.name, reply.text());
                cells.push(((route.name, asker.name), Outcome::of(&reply)));
            }
        }
        cells
    })
}
