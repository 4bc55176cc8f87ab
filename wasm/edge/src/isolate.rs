//! What outlives a request: the gate and the marks of what is in flight. One for each isolate.

use crate::assertion::Assertions;
use crate::facts::Wanted;
use crate::flight::Flights;
use crate::settings::{self, Settings, SettingsError};
use crate::usage::Report;
use core::cell::{Cell, OnceCell, RefCell};
use latchkey_core::{Generation, Pepper, UnixMillis};
use latchkey_gate::Gate;
use latchkey_push::peppers::PepperSet;
use latchkey_push::relay;
use latchkey_snapshot::{Installation, Root};
use std::rc::Rc;
use worker::Env;
use worker::js_sys::{self, Reflect, Uint8Array};
use worker::wasm_bindgen::JsValue;
use worker::web_sys::Request;

thread_local! {
    /// Set by the first request. Nothing in it belongs to a request: no future, no response, no body.
    static ISOLATE: OnceCell<Option<Isolate>> = const { OnceCell::new() };
}

/// A handle on what the isolate keeps.
#[derive(Clone)]
pub(crate) struct Isolate(Rc<Kept>);

struct Kept {
    settings: Settings,
    wanted: Wanted,
    hub_name: String,
    /// The ids of the peppers, as the hub is told.
    peppers: String,
    gate: RefCell<Gate>,
    /// The relay near here; known from the first request on.
    relay: OnceCell<Option<&'static str>>,
    /// The `as_of` of the newest head that the gate took.
    newest: Cell<UnixMillis>,
    /// How many old heads the relay gave in a row.
    old_heads: Cell<u32>,
    rests: Rests,
    flights: RefCell<Flights>,
    /// Where objects are put while they are read, so that the largest need no new place in one piece each time.
    scratch: Cell<Vec<u8>>,
    assertions: Assertions,
    /// Where usage goes nowhere, none is counted.
    report: Option<RefCell<Report>>,
}

/// What is left alone for a while after it failed.
#[derive(Default)]
struct Rests {
    cache: Rest,
    kv: Rest,
    relay: Rest,
}

/// Until when something is left alone.
#[derive(Default)]
pub(crate) struct Rest(Cell<UnixMillis>);

impl Rest {
    /// Whether it still is.
    pub(crate) fn lasts(&self, now: UnixMillis) -> bool {
        let until = self.0.get();
        // Further ahead only another clock can have set it.
        until > now && until <= now.plus_ms(REST_MS)
    }

    pub(crate) fn begin(&self, now: UnixMillis) {
        self.0.set(now.plus_ms(REST_MS));
    }
}

/// So much is kept for the next object: the longest delta has as many bytes.
const SCRATCH_LEN_MAX: usize = 1 << 20;
/// How long what failed is left alone: long enough that its failing costs next to nothing.
const REST_MS: u64 = 5000;

/// The isolate's state; `None` when it is not configured so that it could answer.
pub(crate) fn of(env: &Env) -> Option<Isolate> {
    ISOLATE.with(|kept| kept.get_or_init(|| Isolate::open(env)).clone())
}

/// The clock. In a Worker it stands still between I/O.
pub(crate) fn now() -> UnixMillis {
    UnixMillis(js_sys::Date::now() as u64)
}

impl Isolate {
    fn open(env: &Env) -> Option<Self> {
        match Self::try_open(env) {
            Ok(isolate) => Some(isolate),
            Err(error) => {
                worker::console_error!("the edge is not configured: {error}");
                None
            }
        }
    }

    fn try_open(env: &Env) -> Result<Self, SettingsError> {
        let settings = Settings::read(env)?;
        let config = settings::gate_config(env, seed())?;
        let hub_name = hub_name(&config.root);
        let peppers = PepperSet::new(config.peppers.iter().map(Pepper::id)).to_string();
        let gate = Gate::new(config).map_err(SettingsError::Gate)?;
        let wanted =
            Wanted::new(settings.client_header.as_deref(), settings.forward_client_header.as_deref());
        let report = settings.counts_usage.then(RefCell::default);
        Ok(Self(Rc::new(Kept {
            report,
            settings,
            wanted,
            hub_name,
            peppers,
            gate: RefCell::new(gate),
            relay: OnceCell::new(),
            newest: Cell::default(),
            old_heads: Cell::default(),
            rests: Rests::default(),
            flights: RefCell::new(Flights::default()),
            scratch: Cell::default(),
            assertions: Assertions::default(),
        })))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The headers that are read of every request.
    pub(crate) fn wanted(&self) -> &Wanted {
        &self.0.wanted
    }

    /// The hub's name: each installation has its own, so that another's state is never in its way.
    pub(crate) fn hub_name(&self) -> &str {
        &self.0.hub_name
    }

    /// What assertions name as their issuer.
    pub(crate) fn issuer(&self) -> String {
        self.0.hub_name.replacen("hub-", "urn:latchkey:", 1)
    }

    pub(crate) fn assertions(&self) -> &Assertions {
        &self.0.assertions
    }

    /// The ids of the peppers that this isolate holds, as the hub is told.
    pub(crate) fn peppers(&self) -> &str {
        &self.0.peppers
    }

    /// Chooses the relay, once: an isolate stays where it is.
    pub(crate) fn locate(&self, request: &Request) {
        self.0.relay.get_or_init(|| {
            let (continent, longitude) = (place(request, "continent"), place(request, "longitude"));
            self.0.settings.relays.near(continent.as_deref(), longitude.as_deref())
        });
    }

    /// The relay near here.
    pub(crate) fn relay(&self) -> Option<&'static str> {
        self.0.relay.get().copied().flatten()
    }

    /// The data centre's cache, if it is used, and whether it is left alone.
    pub(crate) fn cache(&self) -> Option<&Rest> {
        self.0.settings.shares.then_some(&self.0.rests.cache)
    }

    pub(crate) fn kv(&self) -> &Rest {
        &self.0.rests.kv
    }

    pub(crate) fn relay_rest(&self) -> &Rest {
        &self.0.rests.relay
    }

    /// How many old heads the relay gave in a row, as far as they are counted.
    pub(crate) fn old_heads(&self) -> &Cell<u32> {
        &self.0.old_heads
    }

    /// The `as_of` of the newest head that the gate took.
    pub(crate) fn newest(&self) -> UnixMillis {
        self.0.newest.get()
    }

    pub(crate) fn note_newest(&self, as_of: UnixMillis) {
        self.0.newest.set(self.0.newest.get().max(as_of));
    }

    /// The generation that answers come from, as the hub is told; `None` while they are marked as stale, or there are none.
    pub(crate) fn standing(&self) -> Option<Generation> {
        self.with(|gate| gate.fresh_generation(now())).flatten()
    }

    /// Asks the gate. `work` awaits nothing, so borrows never meet; if they did, there would be no answer.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&Gate) -> T) -> Option<T> {
        self.0.gate.try_borrow().ok().map(|gate| work(&gate))
    }

    /// Hands something to the gate.
    pub(crate) fn with_mut<T>(&self, work: impl FnOnce(&mut Gate) -> T) -> Option<T> {
        self.0.gate.try_borrow_mut().ok().map(|mut gate| work(&mut gate))
    }

    /// Looks at what was let in; `None` when it is not counted.
    pub(crate) fn report<T>(&self, work: impl FnOnce(&mut Report) -> T) -> Option<T> {
        self.0.report.as_ref()?.try_borrow_mut().ok().map(|mut report| work(&mut report))
    }

    /// Does something with bytes that are not in the module's memory.
    pub(crate) fn with_bytes<T>(&self, bytes: &Uint8Array, work: impl FnOnce(&[u8]) -> T) -> T {
        let (mut scratch, len) = (self.0.scratch.take(), bytes.length() as usize);
        if scratch.len() < len {
            scratch.resize(len.next_power_of_two(), 0);
        }
        let (place, _) = scratch.split_at_mut(len);
        bytes.copy_to(place);
        let done = work(place);
        if scratch.len() <= SCRATCH_LEN_MAX {
            self.0.scratch.set(scratch);
        }
        done
    }

    /// Looks at what is in flight.
    pub(crate) fn flights<T>(&self, work: impl FnOnce(&mut Flights) -> T) -> Option<T> {
        self.0.flights.try_borrow_mut().ok().map(|mut flights| work(&mut flights))
    }
}

/// What the platform says of where a request came in, in its own words.
fn place(request: &Request, what: &str) -> Option<String> {
    let cf = Reflect::get(request, &JsValue::from_str("cf")).ok()?;
    Reflect::get(&cf, &JsValue::from_str(what)).ok()?.as_string()
}

fn hub_name(root: &[u8]) -> String {
    relay::hub_name(Root::pinned(root).map_or(Installation([0; 16]), |root| root.installation()))
}

/// Spreads the retries of isolates; no secret.
fn seed() -> u64 {
    (js_sys::Math::random() * 9_007_199_254_740_992.0) as u64
}
