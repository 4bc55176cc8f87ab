//! The gate's I/O: looks at the head, and the objects that it leads to.

use crate::flight::{self, Cargo};
use crate::hub::{self, Read};
use crate::isolate::{Isolate, now};
use core::time::Duration;
use futures_util::future::join_all;
use latchkey_core::UnixMillis;
use latchkey_gate::{Ask, HEAD_BUDGET_MS, HeadAsk, HeadRefusal, ROOT_HOPS_MAX, RefreshEnd, Wanted};
use latchkey_push::Target;
use worker::{Delay, Env};

/// How long a look behind an answer may take; the gate's lease is a second.
const BEHIND_BUDGET_MS: u64 = 900;
/// How long one object may take.
const OBJECT_BUDGET_MS: u64 = 2000;
/// Objects fetched at the same time; a request may have six connections that wait for headers.
const OBJECTS_AT_ONCE: usize = 4;
/// Objects fetched behind one answer at most.
const OBJECTS_BEHIND_MAX: usize = 32;

/// Does what the gate asks for before it answers.
pub(crate) async fn perform(isolate: &Isolate, env: &Env, ask: Ask) {
    match ask {
        Ask::Head(HeadAsk::Start) => {
            let end = look(isolate, env, HEAD_BUDGET_MS, |isolate, end| {
                isolate.with(|gate| gate.ask_ended(end, now()));
            });
            end.await;
        }
        Ask::Head(HeadAsk::Join) => {
            let over = isolate.flights(|flights| flights.over(Cargo::Head, now())).flatten();
            match over {
                Some(over) => flight::wait(over, Duration::from_millis(HEAD_BUDGET_MS)).await,
                // Its request is gone; the gate's lease ends by itself.
                None => Delay::from(Duration::from_millis(JOIN_PAUSE_MS)).await,
            }
        }
        Ask::Objects(list) => fetch_all(isolate, env, &list).await,
    }
}

/// A look at the head behind an answer, and then the objects that are wanted.
pub(crate) async fn behind(isolate: &Isolate, env: &Env) {
    look(isolate, env, BEHIND_BUDGET_MS, |isolate, _| {
        isolate.with(|gate| gate.refresh_ended(now()));
    })
    .await;
    let mut fetched = 0;
    while fetched < OBJECTS_BEHIND_MAX {
        let wanted = isolate.with(|gate| gate.wanted(OBJECTS_AT_ONCE)).unwrap_or_default();
        if wanted.is_empty() {
            return;
        }
        fetched += wanted.len();
        fetch_all(isolate, env, &wanted).await;
    }
}

/// Looks at the head; `ended` hands the outcome to the gate before anybody who waits is woken.
async fn look(isolate: &Isolate, env: &Env, budget_ms: u64, ended: impl FnOnce(&Isolate, RefreshEnd)) {
    let begun = now();
    let pilot = isolate.flights(|flights| flights.begin(Cargo::Head, begun));
    let end = match read_head(isolate, env, begun.plus_ms(budget_ms)).await {
        Some(()) => RefreshEnd::Answered,
        None => RefreshEnd::Failed,
    };
    ended(isolate, end);
    if let Some(pilot) = pilot {
        pilot.land(isolate);
    }
}

/// Reads the head and hands it in, the roots that it needs before it. `None`: no head came that is not refused.
async fn read_head(isolate: &Isolate, env: &Env, until: UnixMillis) -> Option<()> {
    let Read::Bytes(head) = hub::read(isolate, env, Target::Head, left(until)).await else { return None };
    for _ in 0..=ROOT_HOPS_MAX {
        match isolate.with_mut(|gate| gate.accept_head(&head, now()))? {
            Ok(_) | Err(HeadRefusal::Older) => return Some(()),
            Err(HeadRefusal::RootNeeded { next }) => {
                let Read::Bytes(root) = hub::read(isolate, env, Target::Root(next), left(until)).await else {
                    return None;
                };
                // Another request may have handed it in meanwhile; then the head says so.
                let _ = isolate.with_mut(|gate| gate.accept_root(&root))?;
            }
            Err(refusal) => {
                worker::console_warn!("a head was refused: {refusal:?}");
                return None;
            }
        }
    }
    None
}

fn left(until: UnixMillis) -> Duration {
    Duration::from_millis(until.since_ms(now()))
}

async fn fetch_all(isolate: &Isolate, env: &Env, list: &[Wanted]) {
    for some in list.chunks(OBJECTS_AT_ONCE) {
        join_all(some.iter().map(|wanted| fetch(isolate, env, wanted))).await;
    }
}

/// Fetches an object and hands it in, or waits for whoever fetches it already.
async fn fetch(isolate: &Isolate, env: &Env, wanted: &Wanted) {
    let cargo = Cargo::Object(wanted.reference().digest());
    if let Some(over) = isolate.flights(|flights| flights.over(cargo, now())).flatten() {
        return flight::wait(over, Duration::from_millis(OBJECT_BUDGET_MS)).await;
    }
    let pilot = isolate.flights(|flights| flights.begin(cargo, now()));
    let target = Target::Object(wanted.reference().digest());
    let read = hub::read(isolate, env, target, Duration::from_millis(OBJECT_BUDGET_MS)).await;
    isolate.with_mut(|gate| match read {
        Read::Bytes(bytes) => {
            if let Err(refusal) = gate.accept_object(wanted, bytes, now()) {
                worker::console_warn!("an object was refused: {refusal:?}");
            }
        }
        Read::Absent | Read::Failed => gate.object_failed(wanted, now()),
    });
    if let Some(pilot) = pilot {
        pilot.land(isolate);
    }
}

/// How long a request waits for one that is gone before it asks the gate again.
const JOIN_PAUSE_MS: u64 = 50;
