//! The hub's Worker script: one Durable Object with SQLite storage, which keeps the newest signed head and all
//! that it leads to. It is a script of its own so that a panic here does not reset the edge's instances.
//!
//! Relays, in [`relay`], are Durable Objects of the same script in other places; [`feed`] hands them every head.
//! Immutable objects are written to Workers KV too, where one is bound ([`kv`]).
//!
//! What may be taken is `latchkey_push::ledger`'s to say; `storage` writes it down, `respond` answers. Start at
//! [`Hub::answer`]. The protocol is docs/spec/push.md.
#![expect(missing_docs, reason = "`durable_object` expands to undocumented methods")]

mod body;
mod feed;
mod kv;
mod relay;
mod respond;
mod storage;
mod usage;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use feed::Feed;
use kv::Kv;
use latchkey_core::{Generation, UnixMillis};
use latchkey_push::ledger::{HeadJudgement, RootJudgement};
use latchkey_push::peppers::{self, PepperSet, Reports};
use latchkey_push::relay::hub_name;
use latchkey_push::standing::{self, Report, Standings};
use latchkey_push::{Ledger, Refusal, Target, Token};
use latchkey_snapshot::ObjectDigest;
use respond::Problem;
use std::cell::RefCell;
use storage::{Committed, Storage};
use usage::{Control, Courier};
use worker::{
    Context, Date, DurableObject, Env, Method, Request, Response, Result, State, durable_object, event,
    wasm_bindgen,
};

/// The pinned root, standard base64.
const ROOT: &str = "LATCHKEY_ROOT";
/// What a pusher presents.
const PUSH_TOKEN: &str = "LATCHKEY_PUSH_TOKEN";
/// Before the paths of the push protocol; the other paths are the edges', read through the binding alone.
const PUSH: &str = "/push/";

/// The Durable Object. What it holds is in SQLite; the ledger is read from there on the first request.
#[durable_object(alarm)]
pub struct Hub {
    storage: Storage,
    settings: Option<Settings>,
    control: Option<Control>,
    courier: Courier,
    ledger: RefCell<Option<Ledger>>,
    reports: RefCell<Option<Reports>>,
    /// In memory only: a hub that begins anew knows nothing against anybody.
    standings: RefCell<Standings>,
    feed: Feed,
    kv: Kv,
}

struct Settings {
    root: Vec<u8>,
    token: Token,
}

impl Settings {
    fn read(env: &Env) -> Option<Self> {
        let root = STANDARD.decode(env.var(ROOT).ok()?.to_string()).ok()?;
        let token = Token::new(&env.var(PUSH_TOKEN).ok()?.to_string())?;
        Some(Self { root, token })
    }
}

impl DurableObject for Hub {
    fn new(state: State, env: Env) -> Self {
        let settings = Settings::read(&env);
        let control = Control::read(&env);
        let storage = Storage::new(&state);
        Self {
            storage,
            settings,
            control,
            courier: Courier::default(),
            ledger: RefCell::new(None),
            reports: RefCell::new(None),
            standings: RefCell::default(),
            kv: Kv::new(&env),
            feed: Feed::new(state, env),
        }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        match self.answer(request).await {
            Ok(response) => Ok(response),
            Err(problem) => respond::problem(&problem),
        }
    }

    /// Deletes what nothing has named for long enough, and sends usage on.
    async fn alarm(&self) -> Result<Response> {
        // Left for the next head that changes something, which sets the alarm anew.
        if let Err(problem) = self.sweep() {
            worker::console_error!("the sweep failed: {}", problem.code);
        }
        if let Some(control) = &self.control {
            self.courier.deliver(&self.storage, control, now()).await;
        }
        self.wake().await;
        respond::taken()
    }
}

impl Hub {
    async fn answer(&self, request: Request) -> Result<Response, Problem> {
        let settings = self.settings.as_ref().ok_or(Problem::NOT_CONFIGURED)?;
        let path = request.path();
        if let Some(rest) = path.strip_prefix(PUSH) {
            return self.push(settings, rest, request).await;
        }
        match path.strip_prefix(usage::PATH) {
            Some(id) => self.take_usage(settings, id, request).await,
            None => self.read(settings, &path, &request),
        }
    }

    /// What an edge counted. It is stored before the edge is told that it arrived.
    async fn take_usage(&self, settings: &Settings, id: &str, request: Request) -> Result<Response, Problem> {
        self.control.as_ref().ok_or(Problem::USAGE_OFF)?;
        if !usage::is_id(id) {
            return Err(Problem::NOT_FOUND);
        }
        if request.method() != Method::Put {
            return Err(Problem::METHOD);
        }
        let body = body::read(request, usage::BATCH_LEN_MAX).await?;
        // The ledger's first use makes the tables.
        self.with_ledger(settings, |_| usage::take(&self.storage, id, body, now()))?;
        self.wake().await;
        respond::taken().map_err(Problem::from)
    }

    /// What an edge asks for.
    fn read(&self, settings: &Settings, path: &str, request: &Request) -> Result<Response, Problem> {
        let target = path.strip_prefix('/').and_then(Target::parse).ok_or(Problem::NOT_FOUND)?;
        if request.method() != Method::Get {
            return Err(Problem::METHOD);
        }
        let bytes = self.with_ledger(settings, |ledger| {
            Ok(match target {
                Target::Head => ledger.head_bytes().map(<[u8]>::to_vec),
                Target::Root(version) => match ledger.root_bytes(version) {
                    Some(bytes) => Some(bytes.to_vec()),
                    None => self.storage.root(version)?,
                },
                Target::Object(digest) if ledger.holds(&digest) => self.storage.object(&digest),
                Target::Object(_) | Target::Status => None,
            })
        })?;
        if target == Target::Head {
            let header = request.headers().get(peppers::HEADER).ok().flatten();
            self.note_peppers([PepperSet::parse(header.as_deref())]);
            let header = request.headers().get(standing::HEADER).ok().flatten();
            let report = standing::parse(header.as_deref()).map(|generation| Report::new(generation, now()));
            let newest = self.with_ledger(settings, |ledger| Ok(newest_of(ledger)))?;
            self.note_standings(report, newest);
        }
        respond::bytes(bytes.ok_or(Problem::NOT_FOUND)?)
    }

    /// Notes which peppers a reader of the head holds. What cannot be stored is stored with a later read.
    fn note_peppers(&self, sets: impl IntoIterator<Item = PepperSet>) {
        let now = now();
        let noted = self.with_reports(|reports| {
            for set in sets {
                if reports.note(&set, now) && self.storage.write_peppers(&set, now).is_err() {
                    reports.unwritten(&set);
                }
            }
            reports.surplus().map_or(Ok(()), |set| self.storage.drop_peppers(&set))
        });
        if let Err(problem) = noted {
            worker::console_error!("the peppers of a reader were not noted: {}", problem.code);
        }
    }

    /// Notes where readers of the head stand. Nobody stands ahead of the hub.
    fn note_standings(&self, reports: impl IntoIterator<Item = Report>, newest: Generation) {
        let Ok(mut standings) = self.standings.try_borrow_mut() else { return };
        for report in reports.into_iter().filter(|report| report.generation <= newest) {
            standings.note(report, now());
        }
    }

    fn standings(&self) -> Vec<Report> {
        self.standings.try_borrow().map(|standings| standings.list(now())).unwrap_or_default()
    }

    /// Notes what relays told.
    fn note_told(&self, newest: Generation) {
        let told = self.feed.take_told();
        self.note_peppers(told.sets);
        self.note_standings(told.reports, newest);
    }

    async fn push(&self, settings: &Settings, rest: &str, request: Request) -> Result<Response, Problem> {
        let header = request.headers().get("authorization").ok().flatten();
        if !header.is_some_and(|header| settings.token.is_bearer(&header)) {
            return Err(Problem::TOKEN);
        }
        let target = Target::parse(rest).ok_or(Problem::NOT_FOUND)?;
        let expected = if target == Target::Status { Method::Get } else { Method::Put };
        if request.method() != expected {
            return Err(Problem::METHOD);
        }
        match target {
            Target::Status => self.status(settings),
            Target::Head => self.push_head(settings, request).await,
            Target::Root(version) => self.push_root(settings, version, request).await,
            Target::Object(digest) => self.push_object(settings, digest, request).await,
        }
    }

    async fn push_head(&self, settings: &Settings, request: Request) -> Result<Response, Problem> {
        let bytes = body::read(request, Target::Head.len_max()).await?;
        let now = now();
        // From here on nothing is awaited until it is stored: no other request comes between.
        let judged = self.with_ledger(settings, |ledger| {
            match ledger.judge_head(&bytes, now, &|digest| self.storage.object(digest)) {
                Ok(HeadJudgement::Held) => Ok(Ok(Vec::new())),
                Ok(HeadJudgement::Take(change)) => match self.storage.write_head(&change, now)? {
                    Committed::Yes => {
                        ledger.apply_head(change, now);
                        self.feed.hand_over(&hub_name(ledger.installation()), &bytes);
                        Ok(Ok(Vec::new()))
                    }
                    Committed::Outranked => Ok(Err(Refusal::Older)),
                },
                Ok(HeadJudgement::Await(change, missing)) => {
                    self.storage.write_pending(&change, now)?;
                    ledger.apply_head(change, now);
                    Ok(Ok(missing))
                }
                Err(refusal) => Ok(Err(refusal)),
            }
        })?;
        let missing = judged.map_err(|refusal| self.refuse(&refusal))?;
        // What relays told stays theirs to tell for a moment, never longer than to the next head.
        let newest = self.with_ledger(settings, |ledger| Ok(newest_of(ledger)))?;
        self.note_told(newest);
        self.wake().await;
        if !missing.is_empty() {
            return Err(Problem::missing(&missing));
        }
        self.with_ledger(settings, |ledger| respond::head(ledger, &self.standings(), now))
    }

    async fn push_root(
        &self,
        settings: &Settings,
        version: u32,
        request: Request,
    ) -> Result<Response, Problem> {
        let bytes = body::read(request, Target::Root(version).len_max()).await?;
        let now = now();
        let judged = self.with_ledger(settings, |ledger| match ledger.judge_root(version, &bytes) {
            Ok(RootJudgement::Held) => Ok(Ok(())),
            Ok(RootJudgement::Take(change)) => {
                self.storage.write_root(&change, now)?;
                ledger.apply_root(change, now);
                Ok(Ok(()))
            }
            Err(refusal) => Ok(Err(refusal)),
        })?;
        judged.map_err(|refusal| self.refuse(&refusal))?;
        self.wake().await;
        respond::taken().map_err(Problem::from)
    }

    async fn push_object(
        &self,
        settings: &Settings,
        digest: ObjectDigest,
        request: Request,
    ) -> Result<Response, Problem> {
        let wanted = self.with_ledger(settings, |ledger| match ledger.wants(&digest) {
            Some(len_bytes) => Ok(Some(len_bytes)),
            None if ledger.holds(&digest) => Ok(None),
            None => Err(Problem::from(&Refusal::NotNamed)),
        })?;
        let Some(len_bytes) = wanted else { return respond::taken().map_err(Problem::from) };
        let len_max = Target::Object(digest).len_max().min(usize::try_from(len_bytes).unwrap_or(usize::MAX));
        let bytes = body::read(request, len_max).await?;
        let judged = self.with_ledger(settings, |ledger| {
            match ledger.judge_object(&digest, &bytes, &|digest| self.storage.object(digest)) {
                Ok(None) => Ok(Ok(())),
                Ok(Some(change)) => {
                    self.storage.write_object(&digest, &bytes)?;
                    ledger.apply_object(change);
                    self.kv.put(self.feed.state(), &digest, &bytes);
                    Ok(Ok(()))
                }
                Err(refusal) => Ok(Err(refusal)),
            }
        })?;
        judged.map_err(|refusal| self.refuse(&refusal))?;
        respond::taken().map_err(Problem::from)
    }

    fn status(&self, settings: &Settings) -> Result<Response, Problem> {
        // The ledger's first use makes the tables.
        self.with_ledger(settings, |ledger| {
            self.note_told(newest_of(ledger));
            let conflicts = self.storage.conflicts()?;
            let usage = self.storage.usage_account()?;
            let peppers = self.with_reports(|reports| Ok(reports.list()))?;
            respond::status(ledger, conflicts, usage, &peppers, &self.standings(), now())
        })
    }

    /// The problem of a refusal; a conflict is counted, because somebody signed twice.
    fn refuse(&self, refusal: &Refusal) -> Problem {
        if *refusal == Refusal::Conflict {
            let _ = self.storage.count_conflict();
        }
        let ledger = self.ledger.try_borrow().ok();
        Problem::refused(refusal, ledger.as_deref().and_then(Option::as_ref))
    }

    fn sweep(&self) -> Result<(), Problem> {
        let settings = self.settings.as_ref().ok_or(Problem::NOT_CONFIGURED)?;
        let now = now();
        self.with_ledger(settings, |ledger| {
            let sweep = ledger.judge_sweep(now);
            self.storage.write_sweep(&sweep, now)?;
            ledger.apply_sweep(&sweep, now);
            for digest in &sweep.deleted {
                self.kv.delete(self.feed.state(), digest);
            }
            Ok(())
        })
    }

    /// Sets the alarm for whatever comes first.
    async fn wake(&self) {
        let now = now();
        // Never sooner than a minute from now, so that a long sweep leaves room for requests.
        let sweep = self.next_sweep().map(|moment| moment.max(now.plus_ms(60_000)));
        let courier = self.control.as_ref().and_then(|_| self.courier.due(&self.storage, now));
        self.storage.wake_at(sweep.into_iter().chain(courier).min(), now).await;
    }

    fn next_sweep(&self) -> Option<UnixMillis> {
        self.ledger.try_borrow().ok()?.as_ref()?.next_sweep()
    }

    /// Runs `work` on what readers told, read from the storage when this is the first time. The tables must be there.
    fn with_reports<T>(&self, work: impl FnOnce(&mut Reports) -> Result<T, Problem>) -> Result<T, Problem> {
        let mut slot = self.reports.try_borrow_mut().map_err(|_| Problem::STORAGE)?;
        if slot.is_none() {
            *slot = Some(Reports::open(self.storage.peppers()?));
        }
        match slot.as_mut() {
            Some(reports) => work(reports),
            None => Err(Problem::STORAGE),
        }
    }

    /// Runs `work` on the ledger, read from the storage when this is the first time. `work` awaits nothing, so the
    /// borrow never meets another.
    fn with_ledger<T>(
        &self,
        settings: &Settings,
        work: impl FnOnce(&mut Ledger) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let mut slot = self.ledger.try_borrow_mut().map_err(|_| Problem::STORAGE)?;
        if slot.is_none() {
            let stored = self.storage.load()?;
            let read = |digest: &ObjectDigest| self.storage.object(digest);
            *slot = Some(Ledger::open(&settings.root, stored, &read).map_err(|_| Problem::NOT_CONFIGURED)?);
        }
        match slot.as_mut() {
            Some(ledger) => work(ledger),
            None => Err(Problem::STORAGE),
        }
    }
}

fn newest_of(ledger: &Ledger) -> Generation {
    ledger.head().map_or(Generation(0), |head| head.statement.generation)
}

fn now() -> UnixMillis {
    UnixMillis(Date::now().as_millis())
}

/// A script needs a handler even where only its Durable Object is called.
#[event(fetch)]
async fn fetch(_request: Request, _env: Env, _context: Context) -> Result<Response> {
    respond::problem(&Problem::NOT_FOUND)
}
