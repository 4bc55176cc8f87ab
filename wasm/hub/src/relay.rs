//! A relay: a Durable Object near some of the edges, which answers for the hub. The hub hands it every new head (see
//! [`crate::feed`]); objects it reads from the hub once and keeps in memory, as far as there is room.
//!
//! It keeps nothing on disk and verifies only what a digest names: an edge verifies everything again, and asks the hub
//! itself when a relay has nothing to say. A head that the hub did not hand over within the last second is asked for.

use crate::respond::{self, Problem};
use crate::{body, now};
use core::cell::{Cell, RefCell};
use core::time::Duration;
use futures_util::future::{Either, select};
use futures_util::pin_mut;
use latchkey_core::UnixMillis;
use latchkey_push::peppers::{self, PepperSet};
use latchkey_push::relay::{self, OBJECTS_BYTES_MAX};
use latchkey_push::standing::{self, Hearsay};
use latchkey_push::{Target, shared};
use latchkey_snapshot::{ObjectDigest, Root};
use std::collections::{BTreeMap, BTreeSet};
use worker::{
    Delay, DurableObject, Env, Headers, Method, Request, RequestInit, Response, Result, State,
    durable_object, wasm_bindgen,
};

/// The bindings' names.
const HUB: &str = "HUB";
/// How long the hub may take.
const HEAD_BUDGET_MS: u64 = 400;
const OBJECT_BUDGET_MS: u64 = 2000;
/// While one request asks the hub for the head, others are told to go there themselves only after so long.
const ASKING_MS: u64 = 500;
/// And for an object: less than an edge waits for a relay, so that it asks the hub and does not take the relay for broken.
const ASKING_OBJECT_MS: u64 = 900;
/// How often others look whether the one that asks has been answered.
const LOOK_EVERY_MS: u64 = 25;
/// Sets of peppers that are told to the hub at once.
const READERS_MAX: usize = 32;

/// The Durable Object.
#[durable_object]
pub struct Relay {
    env: Env,
    /// The hub's name; `None` where the script is not configured.
    hub: Option<String>,
    head: RefCell<Option<Held>>,
    asking: Cell<UnixMillis>,
    objects: RefCell<Shelf>,
    /// The objects that the hub is being asked for, and until when that is believed.
    asked: RefCell<BTreeMap<ObjectDigest, UnixMillis>>,
    /// The sets of peppers of those who read since the hub was told.
    readers: RefCell<BTreeSet<PepperSet>>,
    /// Where they stand.
    standing: RefCell<Hearsay>,
}

struct Held {
    bytes: Vec<u8>,
    fed: UnixMillis,
}

/// What a reader of the head says of itself, unread.
struct Reader {
    peppers: Option<String>,
    standing: Option<String>,
}

impl Reader {
    fn of(request: &Request) -> Self {
        let header = |name| request.headers().get(name).ok().flatten();
        Self { peppers: header(peppers::HEADER), standing: header(standing::HEADER) }
    }
}

/// Objects in memory; the one that was asked for longest ago makes room.
#[derive(Default)]
struct Shelf {
    objects: BTreeMap<ObjectDigest, (Vec<u8>, u64)>,
    len_bytes: usize,
    turn: u64,
}

impl DurableObject for Relay {
    fn new(_state: State, env: Env) -> Self {
        let root = crate::Settings::read(&env).and_then(|settings| Root::pinned(&settings.root).ok());
        Self {
            hub: root.map(|root| relay::hub_name(root.installation())),
            env,
            head: RefCell::new(None),
            asking: Cell::default(),
            objects: RefCell::default(),
            asked: RefCell::default(),
            readers: RefCell::default(),
            standing: RefCell::default(),
        }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        match self.answer(request).await {
            Ok(response) => Ok(response),
            Err(problem) => respond::problem(&problem),
        }
    }
}

impl Relay {
    async fn answer(&self, request: Request) -> Result<Response, Problem> {
        let path = request.path();
        let target = path.strip_prefix('/').and_then(Target::parse).ok_or(Problem::NOT_FOUND)?;
        match (request.method(), target) {
            (Method::Put, Target::Head) => self.take(request).await,
            (Method::Get, Target::Head) => self.head(&request).await,
            (Method::Get, Target::Object(digest)) => self.object(digest).await,
            (Method::Get, Target::Root(_)) => {
                respond::bytes(self.ask(target, None, OBJECT_BUDGET_MS).await?.ok_or(Problem::NOT_FOUND)?)
            }
            (Method::Get, Target::Status) => Err(Problem::NOT_FOUND),
            _ => Err(Problem::METHOD),
        }
    }

    /// What the hub hands over. One that was overtaken on its way changes nothing.
    async fn take(&self, request: Request) -> Result<Response, Problem> {
        let bytes = body::read(request, Target::Head.len_max()).await?;
        self.keep_head(bytes);
        let mut readers = self.readers.try_borrow_mut().map_err(|_| Problem::STORAGE)?;
        let told: Vec<String> = core::mem::take(&mut *readers).iter().map(PepperSet::to_token).collect();
        let standing = self.standing.try_borrow_mut().ok().and_then(|mut hearsay| hearsay.take(now()));
        Ok(respond::fed(&told.join(" "), standing.as_deref())?)
    }

    async fn head(&self, request: &Request) -> Result<Response, Problem> {
        let reader = Reader::of(request);
        if let Some(bytes) = self.fed_head() {
            self.note(&reader);
            return respond::bytes(bytes);
        }
        // One asks; the others wait for it, so that a hub that is slow does not get all of them.
        while now() < self.asking.get() && self.asking.get() <= now().plus_ms(ASKING_MS) {
            Delay::from(Duration::from_millis(LOOK_EVERY_MS)).await;
            if let Some(bytes) = self.fed_head() {
                self.note(&reader);
                return respond::bytes(bytes);
            }
        }
        self.asking.set(now().plus_ms(ASKING_MS));
        let asked = self.ask(Target::Head, Some(&reader), HEAD_BUDGET_MS).await;
        self.asking.set(UnixMillis(0));
        let bytes = asked?.ok_or(Problem::NOT_FOUND)?;
        self.keep_head(bytes.clone());
        respond::bytes(bytes)
    }

    async fn object(&self, digest: ObjectDigest) -> Result<Response, Problem> {
        if let Some(bytes) = self.kept(&digest) {
            return respond::bytes(bytes);
        }
        if self.is_asked(&digest) {
            return self.await_object(&digest).await;
        }
        self.begin_asking(digest);
        let asked = self.ask(Target::Object(digest), None, OBJECT_BUDGET_MS).await;
        let kept = asked.and_then(|bytes| self.keep_object(digest, bytes.ok_or(Problem::NOT_FOUND)?));
        if let Ok(mut asked) = self.asked.try_borrow_mut() {
            asked.remove(&digest);
        }
        respond::bytes(kept?)
    }

    /// Waits for whoever asks the hub. When that one asked in vain, an edge goes on to the hub; all who waited here
    /// asking after one another would help nobody.
    async fn await_object(&self, digest: &ObjectDigest) -> Result<Response, Problem> {
        while self.is_asked(digest) {
            Delay::from(Duration::from_millis(LOOK_EVERY_MS)).await;
            if let Some(bytes) = self.kept(digest) {
                return respond::bytes(bytes);
            }
        }
        Err(Problem::NOT_FOUND)
    }

    fn kept(&self, digest: &ObjectDigest) -> Option<Vec<u8>> {
        self.objects.try_borrow_mut().ok()?.get(digest)
    }

    fn keep_object(&self, digest: ObjectDigest, bytes: Vec<u8>) -> Result<Vec<u8>, Problem> {
        if ObjectDigest::of(&bytes) != digest {
            return Err(Problem::UNREACHABLE);
        }
        if let Ok(mut shelf) = self.objects.try_borrow_mut() {
            shelf.put(digest, bytes.clone());
        }
        Ok(bytes)
    }

    fn is_asked(&self, digest: &ObjectDigest) -> bool {
        let until = self.asked.try_borrow().ok().and_then(|asked| asked.get(digest).copied());
        until.is_some_and(|until| now() < until && until <= now().plus_ms(ASKING_OBJECT_MS))
    }

    fn begin_asking(&self, digest: ObjectDigest) {
        if let Ok(mut asked) = self.asked.try_borrow_mut() {
            // A request that was cancelled took nothing back.
            asked.retain(|_, until| now() < *until);
            asked.insert(digest, now().plus_ms(ASKING_OBJECT_MS));
        }
    }

    fn fed_head(&self) -> Option<Vec<u8>> {
        let held = self.head.try_borrow().ok()?;
        held.as_ref().filter(|held| relay::is_fed(held.fed, now())).map(|held| held.bytes.clone())
    }

    fn keep_head(&self, bytes: Vec<u8>) {
        let Ok(mut held) = self.head.try_borrow_mut() else { return };
        let now = now();
        // Heads of one hub are ordered by their `as_of`, except where it began anew; then the one held grows old.
        let is_overtaken = held.as_ref().is_some_and(|held| {
            relay::is_fed(held.fed, now) && shared::as_of(&held.bytes) > shared::as_of(&bytes)
        });
        if !is_overtaken {
            *held = Some(Held { bytes, fed: now });
        }
    }

    fn note(&self, reader: &Reader) {
        if let Some(generation) = standing::parse(reader.standing.as_deref())
            && let Ok(mut hearsay) = self.standing.try_borrow_mut()
        {
            hearsay.note(generation, now());
        }
        if let Ok(mut readers) = self.readers.try_borrow_mut()
            && readers.len() < READERS_MAX
        {
            readers.insert(PepperSet::parse(reader.peppers.as_deref()));
        }
    }

    /// Asks the hub; `None`: it has no such thing.
    async fn ask(
        &self,
        target: Target,
        reader: Option<&Reader>,
        budget_ms: u64,
    ) -> Result<Option<Vec<u8>>, Problem> {
        let hub = self.hub.as_deref().ok_or(Problem::NOT_CONFIGURED)?;
        let headers = Headers::new();
        let told =
            reader.map(|reader| [(peppers::HEADER, &reader.peppers), (standing::HEADER, &reader.standing)]);
        for (name, value) in told.into_iter().flatten() {
            if let Some(value) = value {
                headers.set(name, value)?;
            }
        }
        let mut init = RequestInit::new();
        init.with_method(Method::Get).with_headers(headers);
        let request = Request::new_with_init(&format!("https://hub/{target}"), &init)?;
        let stub = self.env.durable_object(HUB)?.get_by_name(hub)?;
        let asking = async {
            let mut response = stub.fetch_with_request(request).await?;
            respond::read(&mut response).await
        };
        let delay = Delay::from(Duration::from_millis(budget_ms));
        pin_mut!(asking, delay);
        match select(asking, delay).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(Problem::UNREACHABLE),
        }
    }
}

impl Shelf {
    fn get(&mut self, digest: &ObjectDigest) -> Option<Vec<u8>> {
        self.turn += 1;
        let (bytes, asked) = self.objects.get_mut(digest)?;
        *asked = self.turn;
        Some(bytes.clone())
    }

    fn put(&mut self, digest: ObjectDigest, bytes: Vec<u8>) {
        self.turn += 1;
        self.len_bytes += bytes.len();
        if let Some((before, _)) = self.objects.insert(digest, (bytes, self.turn)) {
            self.len_bytes -= before.len();
        }
        while self.len_bytes > OBJECTS_BYTES_MAX {
            let oldest = self.objects.iter().min_by_key(|(_, (_, asked))| *asked).map(|(digest, _)| *digest);
            let Some((bytes, _)) = oldest.and_then(|digest| self.objects.remove(&digest)) else { return };
            self.len_bytes -= bytes.len();
        }
    }
}
