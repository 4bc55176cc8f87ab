//! The gate's I/O: looks at the head, and the objects that it leads to.
//!
//! Whatever is read is read behind: the request that wants it waits a while for it and then answers, and the read goes
//! on. So a source that is slow, or a caller that goes away, costs one answer and not the next one too.

use crate::Io;
use crate::flight::{self, Cargo, Pilot};
use crate::isolate::{Isolate, now};
use crate::source::{self, Origin};
use core::cell::Cell;
use core::time::Duration;
use futures_util::future::join_all;
use latchkey_core::UnixMillis;
use latchkey_gate::{Ask, HEAD_BUDGET_MS, HeadAsk, RefreshEnd, Wanted};
use latchkey_push::shared::Urgency;
use std::rc::Rc;
use worker::{Delay, Env, js_sys};

/// How long a look at the head may go on, whoever still waits for it.
const LOOK_BUDGET_MS: u64 = 2000;
/// How long one object may take.
const OBJECT_BUDGET_MS: u64 = 2000;
/// Objects fetched at the same time; a request may have six connections that wait for headers.
const OBJECTS_AT_ONCE: usize = 4;
/// Objects fetched behind one answer at most.
const OBJECTS_BEHIND_MAX: usize = 32;

/// Does what the gate asks for before it answers.
pub(crate) async fn perform(isolate: &Isolate, io: Io<'_>, ask: Ask) {
    match ask {
        Ask::Head(HeadAsk::Start) => ask_head(isolate, io).await,
        Ask::Head(HeadAsk::Join) => {
            let over = isolate.flights(|flights| flights.over(Cargo::Head, now())).flatten();
            match over {
                Some(over) => flight::wait(over, Duration::from_millis(HEAD_BUDGET_MS)).await,
                // Its request is gone; the gate's lease ends by itself.
                None => Delay::from(Duration::from_millis(JOIN_PAUSE_MS)).await,
            }
        }
        Ask::Objects(list) => {
            for some in list.chunks(OBJECTS_AT_ONCE) {
                join_all(some.iter().map(|wanted| await_object(isolate, io, wanted))).await;
            }
        }
    }
}

/// A look at the head behind an answer, and then the objects that are wanted.
pub(crate) async fn behind(isolate: &Isolate, env: &Env) {
    let pilot = isolate.flights(|flights| flights.begin(Cargo::Head, now()));
    let chance = (js_sys::Math::random() * 4_294_967_296.0) as u32;
    look(isolate, env, Urgency::Behind { chance }, pilot, |isolate, _| {
        isolate.with(|gate| gate.refresh_ended(now()));
    })
    .await;
    fetch_wanted(isolate, env).await;
}

/// Begins a look at the head and waits for it as long as an answer may. What comes later is for the next answer.
async fn ask_head(isolate: &Isolate, io: Io<'_>) {
    let told = Rc::new(Cell::new(false));
    let tell = |told: Rc<Cell<bool>>| {
        move |isolate: &Isolate, end| {
            if !told.replace(true) {
                isolate.with(|gate| gate.ask_ended(end, now()));
            }
        }
    };
    let urgency = Urgency::Before { held: isolate.newest() };
    let pilot = isolate.flights(|flights| flights.begin(Cargo::Head, now()));
    let over = isolate.flights(|flights| flights.over(Cargo::Head, now())).flatten();
    let (isolate_behind, env, tell_behind) = (isolate.clone(), io.env.clone(), tell(Rc::clone(&told)));
    io.context.wait_until(async move {
        let is_late = look(&isolate_behind, &env, urgency, pilot, tell_behind).await;
        if is_late {
            fetch_wanted(&isolate_behind, &env).await;
        }
    });
    if let Some(over) = over {
        flight::wait(over, Duration::from_millis(HEAD_BUDGET_MS)).await;
    }
    tell(told)(isolate, RefreshEnd::Failed);
}

/// Looks at the head; `ended` hands the outcome to the gate before anybody who waits is woken. Whether it took longer
/// than an answer waits.
async fn look(
    isolate: &Isolate,
    env: &Env,
    urgency: Urgency,
    pilot: Option<Pilot>,
    ended: impl FnOnce(&Isolate, RefreshEnd),
) -> bool {
    let begun = now();
    let read = source::head(isolate, env, urgency, begun.plus_ms(LOOK_BUDGET_MS)).await;
    ended(isolate, if read.is_some() { RefreshEnd::Answered } else { RefreshEnd::Failed });
    land(isolate, pilot);
    let is_late = now().since_ms(begun) >= HEAD_BUDGET_MS;
    if let Some(news) = read.flatten() {
        source::share_head(isolate, &news).await;
    }
    is_late
}

async fn fetch_wanted(isolate: &Isolate, env: &Env) {
    let mut fetched = 0;
    while fetched < OBJECTS_BEHIND_MAX {
        let wanted = isolate.with(|gate| gate.wanted(OBJECTS_AT_ONCE)).unwrap_or_default();
        if wanted.is_empty() {
            return;
        }
        fetched += wanted.len();
        join_all(wanted.iter().map(|wanted| async {
            match in_flight(isolate, wanted) {
                Some(over) => flight::wait(over, Duration::from_millis(OBJECT_BUDGET_MS)).await,
                None => fetch(isolate, env, wanted, begin(isolate, wanted)).await,
            }
        }))
        .await;
    }
}

/// Waits for an object, which is fetched behind, by this request or by whoever began before it.
async fn await_object(isolate: &Isolate, io: Io<'_>, wanted: &Wanted) {
    if in_flight(isolate, wanted).is_none() {
        let pilot = begin(isolate, wanted);
        let (isolate, env, wanted) = (isolate.clone(), io.env.clone(), *wanted);
        io.context.wait_until(async move { fetch(&isolate, &env, &wanted, pilot).await });
    }
    if let Some(over) = in_flight(isolate, wanted) {
        flight::wait(over, Duration::from_millis(OBJECT_BUDGET_MS)).await;
    }
}

/// Fetches an object and hands it in.
async fn fetch(isolate: &Isolate, env: &Env, wanted: &Wanted, pilot: Option<Pilot>) {
    let reference = wanted.reference();
    let until = now().plus_ms(OBJECT_BUDGET_MS);
    let found = source::object(isolate, env, reference, until).await;
    let news = match found {
        Some((bytes, origin)) => {
            let copy = (origin != Origin::Cache).then(|| source::copy_of(isolate, &bytes)).flatten();
            let taken = isolate.with_mut(|gate| gate.accept_object(wanted, bytes, now()));
            if let Some(Err(refusal)) = &taken {
                worker::console_warn!("an object was refused: {refusal:?}");
            }
            copy.filter(|_| matches!(taken, Some(Ok(_))))
        }
        None => {
            isolate.with_mut(|gate| gate.object_failed(wanted, now()));
            None
        }
    };
    land(isolate, pilot);
    if let Some(news) = news {
        source::share_object(isolate, reference, &news).await;
    }
}

fn cargo_of(wanted: &Wanted) -> Cargo {
    Cargo::Object(wanted.reference().digest())
}

fn in_flight(isolate: &Isolate, wanted: &Wanted) -> Option<js_sys::Promise> {
    isolate.flights(|flights| flights.over(cargo_of(wanted), now())).flatten()
}

fn begin(isolate: &Isolate, wanted: &Wanted) -> Option<Pilot> {
    isolate.flights(|flights| flights.begin(cargo_of(wanted), now()))
}

fn land(isolate: &Isolate, pilot: Option<Pilot>) {
    if let Some(pilot) = pilot {
        pilot.land(isolate);
    }
}

/// What is left until then.
pub(crate) fn left(until: UnixMillis) -> Duration {
    Duration::from_millis(until.since_ms(now()))
}

/// How long a request waits for one that is gone before it asks the gate again.
const JOIN_PAUSE_MS: u64 = 50;
