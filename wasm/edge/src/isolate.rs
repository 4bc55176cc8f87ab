//! What outlives a request: the gate and the marks of what is in flight. One for each isolate.

use crate::flight::Flights;
use crate::settings::{self, Settings, SettingsError};
use crate::usage::Report;
use core::cell::{OnceCell, RefCell};
use latchkey_core::{Pepper, UnixMillis};
use latchkey_gate::Gate;
use latchkey_push::peppers::PepperSet;
use latchkey_snapshot::Root;
use std::rc::Rc;
use worker::{Date, Env, js_sys};

thread_local! {
    /// Set by the first request. Nothing in it belongs to a request: no future, no response, no body.
    static ISOLATE: OnceCell<Option<Isolate>> = const { OnceCell::new() };
}

/// A handle on what the isolate keeps.
#[derive(Clone)]
pub(crate) struct Isolate(Rc<Kept>);

struct Kept {
    settings: Settings,
    hub_name: String,
    /// The ids of the peppers, as the hub is told.
    peppers: String,
    gate: RefCell<Gate>,
    flights: RefCell<Flights>,
    /// Where usage goes nowhere, none is counted.
    report: Option<RefCell<Report>>,
}

/// The isolate's state; `None` when it is not configured so that it could answer.
pub(crate) fn of(env: &Env) -> Option<Isolate> {
    ISOLATE.with(|kept| kept.get_or_init(|| Isolate::open(env)).clone())
}

/// The clock. In a Worker it stands still between I/O.
pub(crate) fn now() -> UnixMillis {
    UnixMillis(Date::now().as_millis())
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
        let report = settings.counts_usage.then(RefCell::default);
        Ok(Self(Rc::new(Kept {
            report,
            settings,
            hub_name,
            peppers,
            gate: RefCell::new(gate),
            flights: RefCell::new(Flights::default()),
        })))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The hub's name: each installation has its own, so that another's state is never in its way.
    pub(crate) fn hub_name(&self) -> &str {
        &self.0.hub_name
    }

    /// The ids of the peppers that this isolate holds, as the hub is told.
    pub(crate) fn peppers(&self) -> &str {
        &self.0.peppers
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

    /// Looks at what is in flight.
    pub(crate) fn flights<T>(&self, work: impl FnOnce(&mut Flights) -> T) -> Option<T> {
        self.0.flights.try_borrow_mut().ok().map(|mut flights| work(&mut flights))
    }
}

fn hub_name(root: &[u8]) -> String {
    let installation = Root::pinned(root).map(|root| root.installation().0).unwrap_or_default();
    installation.iter().fold("hub-".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

/// Spreads the retries of isolates; no secret.
fn seed() -> u64 {
    (js_sys::Math::random() * 9_007_199_254_740_992.0) as u64
}
