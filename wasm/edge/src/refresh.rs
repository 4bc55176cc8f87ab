//! The gate's I/O: looks at the head, and the objects that it leads to.
//!
//! Whatever is read is read behind: the request that wants it waits a while for it and then answers, and the read goes
//! on. So a source that is slow, or a caller that goes away, costs one answer and not the next one too.

use crate::flight::{self, Cargo, Pilot};
use crate::isolate::{Isolate, now};
use crate::source::{self, Origin};
use crate::{Io, task};
use core::cell::Cell;
use core::time::Duration;
use futures_util::future::{Either, join, join_all, select};
use futures_util::pin_mut;
use latchkey_core::UnixMillis;
use latchkey_gate::{Ask, HEAD_BUDGET_MS, HeadAsk, RefreshEnd, Wanted};
use latchkey_push::shared::{Errand, SHARED_BY_MS, Urgency};
use std::rc::Rc;
use worker::{Env, js_sys};

/// How long a look at the head may go on, whoever still waits for it.
const LOOK_BUDGET_MS: u64 = 2000;
/// How long one object may take.
const OBJECT_BUDGET_MS: u64 = 2000;
/// Objects fetched at the same time; a request may have six connections that wait for headers.
const OBJECTS_AT_ONCE: usize = 4;
/// Objects fetched behind one answer at most.
const OBJECTS_BEHIND_MAX: usize = 32;
/// Objects that a head newly leads to and that are fetched before others are shown the head: a tip, and what is before it.
const NEWS_MAX: usize = 4;

/// Does what the gate asks for before it answers.
pub(crate) async fn perform(isolate: &Isolate, io: Io<'_>, ask: Ask) {
    match ask {
        Ask::Head(HeadAsk::Start) => ask_head(isolate, io).await,
        Ask::Head(HeadAsk::Join) => {
            let over = isolate.flights(|flights| flights.over(Cargo::Head, now())).flatten();
            match over {
                Some(over) => flight::wait(over, Duration::from_millis(HEAD_BUDGET_MS)).await,
                // Its request is gone; the gate's lease ends by itself.
                None => task::sleep(Duration::from_millis(JOIN_PAUSE_MS)).await,
            }
        }
        // The request's own to look at: see `decide`.
        Ask::Body(_) => {}
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
    let urgency = Urgency::Behind { chance: source::chance() };
    look(isolate, env, urgency, pilot, |isolate, _| {
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
    task::behind(io.context, async move {
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
    // Before its first head nothing that an isolate lacks is news.
    let before = (isolate.newest() > UnixMillis::default()).then(|| next_wanted(isolate));
    let read = source::head(isolate, env, urgency, begun.plus_ms(LOOK_BUDGET_MS)).await;
    ended(isolate, if read.is_some() { RefreshEnd::Answered } else { RefreshEnd::Failed });
    land(isolate, pilot);
    let is_late = now().since_ms(begun) >= HEAD_BUDGET_MS;
    if let Some(head) = read.flatten() {
        match before {
            Some(before) => share(isolate, env, &head, before).await,
            None => source::share_head(isolate, &head).await,
        }
    }
    is_late
}

/// Shares a head, and before it the objects that it newly leads to: whoever takes the head out of the cache finds them
/// there too, so that a data centre reads them as often as it reads the head. What the head refuses does not wait for them
/// long.
async fn share(isolate: &Isolate, env: &Env, head: &[u8], before: Option<Wanted>) {
    let news = fetch_news(isolate, env, before);
    let late = task::sleep(Duration::from_millis(SHARED_BY_MS));
    pin_mut!(news, late);
    match select(news, late).await {
        Either::Left(_) => source::share_head(isolate, head).await,
        Either::Right(((), news)) => {
            join(source::share_head(isolate, head), news).await;
        }
    }
}

/// Fetches what is wanted first, as long as that is something else than before.
async fn fetch_news(isolate: &Isolate, env: &Env, mut before: Option<Wanted>) {
    for _ in 0..NEWS_MAX {
        let next = next_wanted(isolate);
        let Some(wanted) = next.filter(|_| isolate.cache().is_some() && next != before) else { return };
        fetch_or_wait(isolate, env, &wanted, Errand::News).await;
        before = next;
    }
}

fn next_wanted(isolate: &Isolate) -> Option<Wanted> {
    isolate.with(|gate| gate.wanted(1)).and_then(|wanted| wanted.first().copied())
}

/// Fetches what is wanted, each object once, until a round brings nothing: what cannot be had now is asked for again by a later
/// answer, when the gate wants it again.
async fn fetch_wanted(isolate: &Isolate, env: &Env) {
    let mut tried: Vec<Wanted> = Vec::new();
    while tried.len() < OBJECTS_BEHIND_MAX {
        let most = tried.len() + OBJECTS_AT_ONCE;
        let mut round = isolate.with(|gate| gate.wanted(most)).unwrap_or_default();
        round.retain(|wanted| !tried.contains(wanted));
        round.truncate(OBJECTS_AT_ONCE);
        tried.extend(&round);
        let fetches = round.iter().map(|wanted| fetch_or_wait(isolate, env, wanted, Errand::Behind));
        if !join_all(fetches).await.contains(&true) {
            return;
        }
    }
}

/// Fetches an object, or waits for whoever does. Whether this brought it.
async fn fetch_or_wait(isolate: &Isolate, env: &Env, wanted: &Wanted, errand: Errand) -> bool {
    match in_flight(isolate, wanted) {
        Some(over) => {
            flight::wait(over, Duration::from_millis(OBJECT_BUDGET_MS)).await;
            false
        }
        None => fetch(isolate, env, wanted, errand, begin(isolate, wanted)).await,
    }
}

/// Waits for an object, which is fetched behind, by this request or by whoever began before it.
async fn await_object(isolate: &Isolate, io: Io<'_>, wanted: &Wanted) {
    if in_flight(isolate, wanted).is_none() {
        let pilot = begin(isolate, wanted);
        let (isolate, env, wanted) = (isolate.clone(), io.env.clone(), *wanted);
        task::behind(io.context, async move {
            fetch(&isolate, &env, &wanted, Errand::Answer, pilot).await;
        });
    }
    if let Some(over) = in_flight(isolate, wanted) {
        flight::wait(over, Duration::from_millis(OBJECT_BUDGET_MS)).await;
    }
}

/// Fetches an object and hands it in. Whether the gate took it.
async fn fetch(isolate: &Isolate, env: &Env, wanted: &Wanted, errand: Errand, pilot: Option<Pilot>) -> bool {
    let reference = wanted.reference();
    let until = now().plus_ms(OBJECT_BUDGET_MS);
    let found = source::object(isolate, env, reference, errand, until).await;
    let (is_taken, news) = match found {
        Some((bytes, origin)) => {
            let take = |bytes: &[u8]| isolate.with_mut(|gate| gate.accept_object(wanted, bytes, now()));
            let taken = isolate.with_bytes(&bytes, take);
            if let Some(Err(refusal)) = &taken {
                worker::console_warn!("an object was refused: {refusal}");
            }
            (matches!(taken, Some(Ok(_))), (origin != Origin::Cache).then_some(bytes))
        }
        None => {
            isolate.with_mut(|gate| gate.object_failed(wanted, now()));
            (false, None)
        }
    };
    land(isolate, pilot);
    if let Some(bytes) = news.filter(|_| is_taken) {
        source::share_object(isolate, reference, &bytes).await;
    }
    is_taken
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
