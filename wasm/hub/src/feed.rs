//! Hands every new head to the relays, behind the answer to whoever pushed it.
//!
//! The hub pushes and the relays do not ask: a relay is known by its name, so there is nothing to register; a head takes one
//! way and no round trip; and no request is held open, which would be billed as long as it lasts. A relay that was not
//! reached gets the next head, half a second later, or asks for it when an edge wants it.

use crate::{now, respond};
use core::cell::{Cell, RefCell};
use core::time::Duration;
use futures_util::future::{Either, select};
use futures_util::pin_mut;
use latchkey_core::UnixMillis;
use latchkey_push::peppers::PepperSet;
use latchkey_push::relay::{self, READERS, Relays};
use latchkey_push::standing::{self, Report};
use std::rc::Rc;
use worker::js_sys::Uint8Array;
use worker::{Delay, Env, Method, Request, RequestInit, Result, State};

/// The relays' binding.
const RELAY: &str = "RELAY";
/// The list of location hints.
const RELAYS: &str = "LATCHKEY_RELAYS";
/// How long a relay may take for a head; after that it is not believed to be busy with it any more.
const BUDGET_MS: u64 = 1500;

/// What is to be handed over, and what came back.
pub(crate) struct Feed {
    state: State,
    env: Env,
    relays: Vec<Rc<Reader>>,
    newest: Rc<RefCell<Rc<[u8]>>>,
    /// What relays told and the hub has not noted.
    told: Rc<RefCell<Told>>,
}

/// What relays told of their readers.
#[derive(Default)]
pub(crate) struct Told {
    /// The sets of peppers that they hold.
    pub(crate) sets: Vec<PepperSet>,
    /// Where they stand, a report from each time that a relay was handed a head.
    pub(crate) reports: Vec<Report>,
}

/// Reports that are kept for the hub; it asks with every head.
const REPORTS_MAX: usize = 64;

struct Reader {
    hint: &'static str,
    busy_until: Cell<UnixMillis>,
}

impl Feed {
    pub(crate) fn new(state: State, env: Env) -> Self {
        let text = env.var(RELAYS).map(|value| value.to_string()).unwrap_or_default();
        let relays = Relays::parse(&text).unwrap_or_else(|| {
            worker::console_error!(
                "`{RELAYS}` must be location hints with commas between them: there are no relays"
            );
            Relays::default()
        });
        let reader = |hint: &&'static str| Rc::new(Reader { hint, busy_until: Cell::default() });
        Self {
            relays: relays.hints().iter().map(reader).collect(),
            state,
            env,
            newest: Rc::new(RefCell::new(Rc::from([]))),
            told: Rc::default(),
        }
    }

    /// Hands a head over, behind whatever is answered now.
    pub(crate) fn hand_over(&self, hub: &str, head: &[u8]) {
        if let Ok(mut newest) = self.newest.try_borrow_mut() {
            *newest = Rc::from(head);
        }
        for reader in self.relays.iter().filter(|reader| reader.busy_until.get() <= now()) {
            let (reader, newest, told) = (Rc::clone(reader), Rc::clone(&self.newest), Rc::clone(&self.told));
            let (env, name) = (self.env.clone(), relay::name(hub, reader.hint));
            self.state.wait_until(async move {
                keep_up(&env, &name, &reader, &newest, &told).await;
                reader.busy_until.set(UnixMillis(0));
            });
        }
    }

    /// The object's own state, which keeps what is begun alive.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// What relays told since this was asked last.
    pub(crate) fn take_told(&self) -> Told {
        self.told.try_borrow_mut().map(|mut told| core::mem::take(&mut *told)).unwrap_or_default()
    }
}

/// Hands heads over until the relay has the newest one, or cannot be reached.
async fn keep_up(env: &Env, name: &str, reader: &Reader, newest: &RefCell<Rc<[u8]>>, told: &RefCell<Told>) {
    loop {
        let Ok(head) = newest.try_borrow().map(|head| Rc::clone(&head)) else { return };
        reader.busy_until.set(now().plus_ms(BUDGET_MS));
        let sending = send(env, name, reader.hint, &head);
        let delay = Delay::from(Duration::from_millis(BUDGET_MS));
        pin_mut!(sending, delay);
        let Either::Left((Ok(heard), _)) = select(sending, delay).await else { return };
        if let Ok(mut told) = told.try_borrow_mut() {
            told.sets.extend(heard.sets);
            told.sets.sort_unstable();
            told.sets.dedup();
            let room = REPORTS_MAX.saturating_sub(told.reports.len());
            told.reports.extend(heard.reports.into_iter().take(room));
        }
        if newest.try_borrow().is_ok_and(|newest| Rc::ptr_eq(&newest, &head)) {
            return;
        }
    }
}

/// Hands a head over; what the relay tells of its readers.
async fn send(env: &Env, name: &str, hint: &str, head: &[u8]) -> Result<Told> {
    let mut init = RequestInit::new();
    init.with_method(Method::Put).with_body(Some(Uint8Array::from(head).into()));
    let request = Request::new_with_init("https://relay/head", &init)?;
    let stub = env.durable_object(RELAY)?.get_by_name_with_location_hint(name, hint)?;
    let response = stub.fetch_with_request(request).await?;
    if !respond::is_taken(&response) {
        return Err(worker::Error::from("the relay did not take it"));
    }
    let sets = response.headers().get(READERS)?.unwrap_or_default();
    let sets = sets.split(' ').filter(|set| !set.is_empty()).map(|set| PepperSet::parse(Some(set)));
    let standing = response.headers().get(standing::READERS)?;
    let reports = standing::parse_told(standing.as_deref(), now()).into_iter().collect();
    Ok(Told { sets: sets.collect(), reports })
}
