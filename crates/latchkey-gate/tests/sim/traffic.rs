//! What clients ask, and which facts the answer must follow from.

use crate::authority::{Authority, Fact, KEYS, Said, organization_of, resource_project};
use crate::clockwork::Random;
use crate::world::World;
use latchkey_core::*;
use latchkey_gate::{Header, Request};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) who: Who,
    pub(crate) what: What,
    /// The generation that the client waits for.
    pub(crate) at_least: Option<Generation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Key(usize),
    Session(usize, u32),
    /// A key that was minted here and never granted.
    Unsaid,
    /// A key that anybody could make up.
    MadeUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Costs money.
    Inference,
    View,
    File(usize),
    /// Costs money, and is answered from young knowledge only.
    Batch,
}

/// The texts of a request.
pub(crate) struct Facts {
    method: &'static str,
    path: String,
    authorization: String,
    project: Option<String>,
    at_least: Option<String>,
}

impl Ask {
    /// One of chance.
    pub(crate) fn any(world: &World) -> Self {
        let (random, authority) = (&world.clockwork.random, world.authority.borrow());
        let now_ms = world.clockwork.now_ms();
        let person = random.below(authority.persons.len() as u64) as usize;
        let newest = authority.newest_session(person);
        let who = match random.below(20) {
            0 => Who::Unsaid,
            1 => Who::MadeUp,
            2..=6 => Who::Session(person, newest.saturating_sub(random.below(2) as u32)),
            // The spare keys, whose burst is rare, seldom.
            7 => Who::Key(random.below(authority.keys.len() as u64) as usize),
            _ => Who::Key(recent(&authority, random, now_ms)),
        };
        let what = match random.below(10) {
            0..=5 => What::Inference,
            6 => What::View,
            7..=8 => What::File(random.below(4) as usize),
            _ => What::Batch,
        };
        let lag = random.below(4);
        let at_least = random.percent(10).then(|| Generation(authority.generation.0 - lag));
        Self { who, what, at_least }
    }

    pub(crate) fn project(&self, world: &World) -> u32 {
        let authority = world.authority.borrow();
        match self.who {
            Who::Key(at) => authority.keys[at].project,
            Who::Session(at, _) => authority.persons[at].project,
            Who::Unsaid | Who::MadeUp => 1,
        }
    }

    pub(crate) fn facts(&self, world: &World) -> Facts {
        let now_ms = world.clockwork.now_ms();
        let mut authority = world.authority.borrow_mut();
        let credential = match self.who {
            Who::Key(at) => authority.keys[at].text.clone(),
            Who::Session(at, number) => authority.token(at, number, now_ms),
            Who::Unsaid => authority.unsaid_key(),
            Who::MadeUp => authority.made_up_key(),
        };
        let at_least =
            self.at_least.map(|least| least.token(&authority.mint.generation_secret()).as_str().to_owned());
        let project = match self.who {
            Who::Session(at, _) => Some(format!("project-{}", authority.persons[at].project)),
            _ => None,
        };
        let (method, path) = match self.what {
            What::Inference => ("POST", "/v1/inference".to_owned()),
            What::View => ("GET", "/v1/files".to_owned()),
            What::File(at) => ("GET", format!("/v1/files/r{at}")),
            What::Batch => ("POST", "/v1/batches".to_owned()),
        };
        Facts { method, path, authorization: format!("Bearer {credential}"), project, at_least }
    }

    /// All that must be so for the answer to be yes.
    pub(crate) fn needs(&self, world: &World) -> Vec<Fact> {
        let project = self.project(world);
        let mut needs =
            vec![Fact::ProjectInForce(project), Fact::OrganizationInForce(organization_of(project).0)];
        match self.who {
            Who::Key(at) => needs.push(Fact::Key(at)),
            Who::Session(at, number) => {
                let external = world.authority.borrow().persons[at].is_external;
                needs.extend([Fact::Session(at, number), Fact::Collaboration(at)]);
                needs.push(if external { Fact::OpenToExternals(project) } else { Fact::Membership(at) });
            }
            Who::Unsaid | Who::MadeUp => {}
        }
        match self.what {
            What::Inference | What::Batch => needs.push(Fact::WithinBudget(project)),
            What::File(at) => needs.push(Fact::Resource(at)),
            What::View => {}
        }
        needs
    }

    /// Whether it names a resource of another project, which is as good as none.
    pub(crate) fn strays(&self, world: &World) -> bool {
        matches!(self.what, What::File(at) if resource_project(at) != self.project(world))
    }
}

impl Facts {
    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            min_generation: self.at_least.as_deref().map(str::as_bytes),
            project: self.project.as_deref().map_or(Header::None, |text| Header::One(text.as_bytes())),
            ..Request::new(self.method, self.path.as_bytes(), Header::One(self.authorization.as_bytes()))
        }
    }
}

/// A key that is granted, or was not long ago.
fn recent(authority: &Authority, random: &Random, now_ms: u64) -> usize {
    let is_recent = |at: &usize| {
        let last = authority.history.get(&Fact::Key(*at)).and_then(|changes| changes.last());
        last.is_some_and(|last| last.said == Said::Yes || last.at_ms + 8000 > now_ms)
    };
    let recent: Vec<usize> = (0..KEYS).filter(is_recent).collect();
    if recent.is_empty() { 0 } else { *random.pick(&recent) }
}
