//! Where heads and objects come from: the data centre's cache, then the relay near it, at last the hub, which alone must be
//! there. For objects Workers KV comes before the relay.
//!
//! The first three are detours that save the hub its readers. What they bring is verified like anything else; one that
//! has nothing, is slow, or brings what is refused, costs the way to the next.

use crate::cache::{self, Key};
use crate::hub::{self, Place, Read};
use crate::isolate::{Isolate, now};
use crate::kv;
use crate::refresh::left;
use crate::task;
use core::time::Duration;
use futures_util::future::{Either, join, select};
use futures_util::pin_mut;
use latchkey_core::UnixMillis;
use latchkey_gate::{HeadRefusal, ROOT_HOPS_MAX};
use latchkey_push::Target;
use latchkey_push::shared::{self, ENTRY_LEN_MAX, Entry, Errand, Next, Patience, Urgency};
use latchkey_snapshot::ObjectRef;
use worker::Env;
use worker::js_sys::{self, Uint8Array};

/// How long the relay may take before the hub is asked.
const RELAY_BUDGET_MS: u64 = 250;
const RELAY_OBJECT_BUDGET_MS: u64 = 1000;
/// So much of what a read may take must be left for another.
const AGAIN_LEFT_MS: u128 = 1000;
/// A head of a relay with an older `as_of` is a reason to ask the hub too, the second time in a row: when the control plane is
/// silent every relay's is old, and then the hub must not get all their readers. A relay is looked at about twice a second,
/// since every other look finds what the one before put into the cache; so one that replays is found out before an answer is
/// stale. Later looks are rare.
const RELAY_OLD_MS: u64 = 2000;
const RELAY_DOUBTED_EVERY: u32 = 2;

/// Where an object came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The cache, which need not be given it.
    Cache,
    /// Anywhere else.
    Beyond,
}

/// What came of a head.
enum HandedIn {
    Taken,
    Older,
    Refused,
}

/// Reads the head and hands it in, the roots that it needs before it. `None`: none came that is not refused. A head
/// that others in the data centre do not have yet is returned: see [`share_head`].
pub(crate) async fn head(
    isolate: &Isolate,
    env: &Env,
    urgency: Urgency,
    until: UnixMillis,
) -> Option<Option<Vec<u8>>> {
    if isolate.cache().is_some() && shared_head(isolate, env, urgency, until).await {
        return Some(None);
    }
    claimed(isolate, Key::Claim, asked_head(isolate, env, until)).await
}

/// Puts a claim while what is claimed is on its way, which never waits for it.
async fn claimed<T>(isolate: &Isolate, key: Key<'_>, asked: impl Future<Output = T>) -> T {
    let claim = async {
        if isolate.cache().is_some() {
            let claim = shared::encode_claim(now());
            cache::put(isolate, key, &Uint8Array::from(&claim[..])).await;
        }
    };
    pin_mut!(asked, claim);
    match select(asked, claim).await {
        Either::Left((read, _)) => read,
        Either::Right(((), asked)) => asked.await,
    }
}

async fn asked_head(isolate: &Isolate, env: &Env, until: UnixMillis) -> Option<Option<Vec<u8>>> {
    let mut news = None;
    if let Some(relay) = isolate.relay().filter(|_| !isolate.relay_rest().lasts(now())) {
        let budget = left(until).min(Duration::from_millis(RELAY_BUDGET_MS));
        match hub::read(isolate, env, Place::Relay(relay), Target::Head, budget).await {
            Read::Bytes(bytes) => {
                let bytes = bytes.to_vec();
                if let HandedIn::Taken = hand_in(isolate, env, &bytes, until).await {
                    if !is_doubtful(isolate, &bytes) {
                        return Some(Some(bytes));
                    }
                    news = Some(bytes);
                }
            }
            Read::Absent => {}
            Read::Failed => isolate.relay_rest().begin(now()),
        }
    }
    match from_hub(isolate, env, Target::Head, until).await {
        Read::Bytes(bytes) => {
            let bytes = bytes.to_vec();
            match hand_in(isolate, env, &bytes, until).await {
                HandedIn::Taken => Some(Some(bytes)),
                HandedIn::Older => Some(news),
                HandedIn::Refused => news.map(Some),
            }
        }
        Read::Absent | Read::Failed => news.map(Some),
    }
}

/// Reads from the hub; once more, if that failed soon, as it does where a line is cut. The claim keeps the others away as
/// long as a second read takes, and a revocation that rides behind two reads is not delayed by two pauses.
async fn from_hub(isolate: &Isolate, env: &Env, target: Target, until: UnixMillis) -> Read {
    match hub::read(isolate, env, Place::Hub, target, left(until)).await {
        Read::Failed if left(until).as_millis() >= AGAIN_LEFT_MS => {
            hub::read(isolate, env, Place::Hub, target, left(until)).await
        }
        read => read,
    }
}

/// Whether a relay's head has been so old for so long that the hub is asked too.
fn is_doubtful(isolate: &Isolate, head: &[u8]) -> bool {
    let is_old = shared::as_of(head).is_none_or(|as_of| now().since_ms(as_of) > RELAY_OLD_MS);
    let in_a_row = if is_old { isolate.old_heads().get() + 1 } else { 0 };
    isolate.old_heads().set(in_a_row % RELAY_DOUBTED_EVERY);
    in_a_row == RELAY_DOUBTED_EVERY
}

/// Whether the data centre's own entry will do.
async fn shared_head(isolate: &Isolate, env: &Env, urgency: Urgency, until: UnixMillis) -> bool {
    let Some(bytes) = cache::get(isolate, Key::Head, ENTRY_LEN_MAX).await else { return false };
    let bytes = bytes.to_vec();
    let Some(entry) = Entry::parse(&bytes) else { return false };
    if !entry.serves(urgency, now()) {
        if matches!(urgency, Urgency::Before { .. }) {
            return false;
        }
        let claim = cache::get(isolate, Key::Claim, ENTRY_LEN_MAX).await;
        let claim = claim.and_then(|bytes| shared::parse_claim(&bytes.to_vec()));
        if !entry.serves_while_claimed(urgency, claim, now()) {
            return false;
        }
    }
    matches!(hand_in(isolate, env, entry.head, until).await, HandedIn::Taken)
}

/// Puts a head where the others of the data centre find it.
pub(crate) async fn share_head(isolate: &Isolate, head: &[u8]) {
    if isolate.cache().is_some() {
        let entry = Entry { put: now(), head }.encode();
        cache::put(isolate, Key::Head, &Uint8Array::from(&entry[..])).await;
    }
}

async fn hand_in(isolate: &Isolate, env: &Env, head: &[u8], until: UnixMillis) -> HandedIn {
    for _ in 0..=ROOT_HOPS_MAX {
        let Some(accepted) = isolate.with_mut(|gate| gate.accept_head(head, now())) else {
            return HandedIn::Refused;
        };
        match accepted {
            Ok(_) => {
                isolate.note_newest(shared::as_of(head).unwrap_or_default());
                return HandedIn::Taken;
            }
            Err(HeadRefusal::Older) => return HandedIn::Older,
            Err(HeadRefusal::RootNeeded { next }) => {
                let target = Target::Root(next);
                let Read::Bytes(root) = from_hub(isolate, env, target, until).await else {
                    return HandedIn::Refused;
                };
                // Another request may have handed it in meanwhile; then the head says so.
                let _ = isolate.with_mut(|gate| gate.accept_root(&root.to_vec()));
            }
            Err(refusal) => {
                worker::console_warn!("a head was refused: {refusal}");
                return HandedIn::Refused;
            }
        }
    }
    HandedIn::Refused
}

/// Reads an object. What comes from a detour is what was named; what comes from the hub is the gate's to judge.
pub(crate) async fn object(
    isolate: &Isolate,
    env: &Env,
    reference: &ObjectRef,
    errand: Errand,
    until: UnixMillis,
) -> Option<(Uint8Array, Origin)> {
    let target = Target::Object(reference.digest());
    if let Some(bytes) = shared_object(isolate, reference, &target, errand, until).await {
        return Some((bytes, Origin::Cache));
    }
    let asked = asked_object(isolate, env, reference, target, errand, until);
    let bytes = claimed(isolate, Key::ObjectClaim(&target), asked).await?;
    Some((bytes, Origin::Beyond))
}

/// What the data centre's cache has, now or as soon as the one that is reading it has put it there.
async fn shared_object(
    isolate: &Isolate,
    reference: &ObjectRef,
    target: &Target,
    errand: Errand,
    until: UnixMillis,
) -> Option<Uint8Array> {
    let mut patience = Patience::new(errand, chance());
    while isolate.cache().is_some_and(|rest| !rest.lasts(now())) {
        let found = cache::get(isolate, Key::Object(target), target.len_max());
        let claim = cache::get(isolate, Key::ObjectClaim(target), ENTRY_LEN_MAX);
        let (found, claim) = join(found, claim).await;
        match found {
            Some(bytes) if is_named(isolate, reference, &bytes) => return Some(bytes),
            // What is wrong there stays wrong until somebody puts what is right in its place.
            Some(_) => return None,
            None => {}
        }
        match patience.next(claim.and_then(|bytes| shared::parse_claim(&bytes.to_vec())), now()) {
            Next::Look(wait_ms) if now().plus_ms(wait_ms) < until => {
                task::sleep(Duration::from_millis(wait_ms)).await;
            }
            Next::Look(_) | Next::Ask => return None,
        }
    }
    None
}

async fn asked_object(
    isolate: &Isolate,
    env: &Env,
    reference: &ObjectRef,
    target: Target,
    errand: Errand,
    until: UnixMillis,
) -> Option<Uint8Array> {
    let is_named = |bytes: &Uint8Array| is_named(isolate, reference, bytes);
    // KV does not have yet what a new head leads to, and would go on saying so to the others.
    if errand != Errand::News
        && let Some(bytes) = kv::get(isolate, env, &target).await.filter(is_named)
    {
        return Some(bytes);
    }
    if let Some(relay) = isolate.relay().filter(|_| !isolate.relay_rest().lasts(now())) {
        let budget = left(until).min(Duration::from_millis(RELAY_OBJECT_BUDGET_MS));
        match hub::read(isolate, env, Place::Relay(relay), target, budget).await {
            Read::Bytes(bytes) if is_named(&bytes) => return Some(bytes),
            Read::Failed => isolate.relay_rest().begin(now()),
            _ => {}
        }
    }
    match from_hub(isolate, env, target, until).await {
        Read::Bytes(bytes) => Some(bytes),
        Read::Absent | Read::Failed => None,
    }
}

/// 32 random bits.
pub(crate) fn chance() -> u32 {
    (js_sys::Math::random() * 4_294_967_296.0) as u32
}

fn is_named(isolate: &Isolate, reference: &ObjectRef, bytes: &Uint8Array) -> bool {
    isolate.with_bytes(bytes, |bytes| reference.admit(bytes).is_ok())
}

/// Puts an object where the others of the data centre find it.
pub(crate) async fn share_object(isolate: &Isolate, reference: &ObjectRef, bytes: &Uint8Array) {
    cache::put(isolate, Key::Object(&Target::Object(reference.digest())), bytes).await;
}
