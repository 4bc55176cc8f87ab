//! A real gate behind the published directory, with the loop of a shell around it.

use crate::served::Installation;
use latchkey_core::{MintSecret, Pepper, UnixMillis};
use latchkey_gate::{
    Ask, Attempt, Floor, Gate, GateConfig, HeadAccepted, HeadAsk, HeadRefusal, Header, MEMORY_BYTES_DEFAULT,
    Outcome, Question, ROOT_HOPS_MAX, RefreshEnd, Refusal, Request, Status, Step, Verdict,
};
use latchkey_snapshot::ObjectDigest;
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// How long anything may take to arrive.
const ARRIVE_MAX: Duration = Duration::from_secs(30);

/// An edge.
pub(crate) struct Edge {
    gate: Gate,
    published: PathBuf,
    /// Objects that somebody slips in.
    pub(crate) slipped: HashMap<ObjectDigest, Vec<u8>>,
    /// How far ahead the edge's clock seems to be.
    pub(crate) ahead_ms: u64,
}

impl Edge {
    /// An edge that was deployed with this root, and with the peppers of these files.
    pub(crate) fn deploy(installation: &Installation, root_version: u32, peppers: &[&str]) -> Self {
        let root = installation.path("data").join(format!("roots/{root_version}"));
        let config = GateConfig {
            root: fs::read(root).unwrap(),
            peppers: peppers
                .iter()
                .map(|name| Pepper::new(installation.secret(&format!("secrets/{name}"))))
                .collect(),
            mint: MintSecret::new(installation.secret("secrets/mint")),
            floor: Floor::default(),
            memory_bytes_max: MEMORY_BYTES_DEFAULT,
            seed: 1,
        };
        let published = installation.path("published");
        Self { gate: Gate::new(config).unwrap(), published, slipped: HashMap::new(), ahead_ms: 0 }
    }

    /// Looks at the head, as a shell does in the background.
    pub(crate) fn look(&mut self) -> Result<HeadAccepted, HeadRefusal> {
        let head = fs::read(self.published.join("head")).unwrap_or_default();
        let taken = self.take(&head);
        self.gate.refresh_ended(self.now());
        taken
    }

    /// Takes a head that somebody hands it, with the roots and the objects that it leads to.
    pub(crate) fn take(&mut self, head: &[u8]) -> Result<HeadAccepted, HeadRefusal> {
        let mut taken = self.gate.accept_head(head, self.now());
        for _ in 0..ROOT_HOPS_MAX {
            let Err(HeadRefusal::RootNeeded { next }) = taken else { break };
            let Ok(root) = fs::read(self.published.join(format!("roots/{next}"))) else { break };
            if self.gate.accept_root(&root).is_err() {
                break;
            }
            taken = self.gate.accept_head(head, self.now());
        }
        let mut tried = Vec::new();
        loop {
            let wanted = self.gate.wanted(usize::MAX);
            let Some(next) = wanted.into_iter().find(|wanted| !tried.contains(wanted.reference())) else {
                return taken;
            };
            tried.push(*next.reference());
            self.fetch(&next);
        }
    }

    fn fetch(&mut self, wanted: &latchkey_gate::Wanted) {
        let digest = wanted.reference().digest();
        let path = self.published.join("objects").join(digest.to_string());
        match self.slipped.get(&digest).cloned().or_else(|| fs::read(path).ok()) {
            Some(bytes) => drop(self.gate.accept_object(wanted, &bytes, self.now())),
            None => self.gate.object_failed(wanted, self.now()),
        }
    }

    /// Who the key is, asked as one whole request.
    pub(crate) fn ask(&mut self, key: &str) -> Verdict {
        self.decide(key, Question::Whoami)
    }

    /// Whether the session's token is believed. No route is open here, so whoever is known is told 404.
    pub(crate) fn knows(&mut self, token: &str) -> bool {
        let outcome = self.decide(token, Question::Route).outcome;
        !matches!(outcome, Outcome::Refuse(Refusal::Unauthenticated(_)))
    }

    fn decide(&mut self, credential: &str, question: Question) -> Verdict {
        let bearer = format!("Bearer {credential}");
        let request = Request::new("GET", b"/.latchkey/whoami", Header::One(bearer.as_bytes()));
        let mut attempt = Attempt::default();
        for _ in 0..40 {
            match self.gate.decide(&request, question, self.now(), &mut attempt) {
                Step::Answer(verdict) => return verdict,
                Step::Ask(Ask::Head(HeadAsk::Join)) => {}
                Step::Ask(Ask::Head(HeadAsk::Start)) => {
                    let end = if self.look().is_ok() { RefreshEnd::Answered } else { RefreshEnd::Failed };
                    self.gate.ask_ended(end, self.now());
                }
                Step::Ask(Ask::Objects(list)) => list.iter().for_each(|wanted| self.fetch(wanted)),
                Step::Ask(Ask::Body(field)) => panic!("no rule reads `{field}`"),
            }
        }
        panic!("the loop does not end");
    }

    /// Whether the key is let in now, on knowledge that is fresh.
    pub(crate) fn lets_in(&mut self, key: &str) -> bool {
        let Verdict { outcome, standing, .. } = self.ask(key);
        let is_stale = standing.is_none_or(|standing| standing.stale);
        assert!(!is_stale, "the answer is stale: {:?}", self.status());
        matches!(outcome, Outcome::Allow(_))
    }

    /// Why the key is refused now.
    pub(crate) fn refusal(&mut self, key: &str) -> Refusal {
        match self.ask(key).outcome {
            Outcome::Refuse(refusal) => refusal,
            Outcome::Allow(_) | Outcome::Pass(_) => panic!("the key is let in"),
        }
    }

    pub(crate) fn status(&self) -> Status {
        self.gate.status(self.now())
    }

    /// Looks until it is so, and checks `always` each time.
    pub(crate) fn until(
        &mut self,
        mut is_so: impl FnMut(&mut Self) -> bool,
        mut always: impl FnMut(&mut Self),
    ) {
        let start = Instant::now();
        loop {
            let looked = self.look();
            always(self);
            if is_so(self) {
                return;
            }
            assert!(start.elapsed() < ARRIVE_MAX, "it never came: {looked:?}, {:?}", self.status());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        UnixMillis(u64::try_from(since.as_millis()).unwrap() + self.ahead_ms)
    }
}
