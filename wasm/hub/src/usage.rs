//! Usage on its way from edges to the control plane (IAM B3): a batch is stored before an edge is told that it arrived,
//! and forgotten once the control plane has said what became of it.
//!
//! The control plane counts a batch by its id, once, so whatever is sent twice counts once.

use crate::respond::{self, Fate, Problem};
use crate::storage::Storage;
use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use futures_util::future::{Either, select};
use futures_util::pin_mut;
use latchkey_core::UnixMillis;
use worker::js_sys::Uint8Array;
use worker::{AbortController, Delay, Env, Fetch, Headers, Method, Request, RequestInit, Result};

/// Where the control plane is: `https://…`, or `http://` on this machine. Without it nothing is taken.
const CONTROL_URL: &str = "LATCHKEY_CONTROL_URL";
/// The credential that can bring usage and nothing else.
const USAGE_TOKEN: &str = "LATCHKEY_USAGE_TOKEN";
/// Before an id, in the path that edges use.
pub(crate) const PATH: &str = "/usage/";
/// Bytes of a batch at most: it is one row, and the storage refuses 2 MB.
pub(crate) const BATCH_LEN_MAX: usize = 1_500_000;
/// Batches that wait or are kept aside at most.
const BATCHES_MAX: u64 = 4096;
/// Batches that one alarm sends at most.
const BATCHES_AT_ONCE: usize = 16;
const ANSWER_MAX_MS: u64 = 10_000;
const PAUSE_MS_MIN: u64 = 5000;
const PAUSE_MS_MAX: u64 = 300_000;
/// An alarm for a batch that just came.
const SOON_MS: u64 = 500;

/// Where batches go.
pub(crate) struct Control {
    url: String,
    authorization: String,
}

impl Control {
    pub(crate) fn read(env: &Env) -> Option<Self> {
        let read = |name| env.var(name).ok().map(|value| value.to_string()).filter(|text| !text.is_empty());
        let (url, token) = (read(CONTROL_URL)?, read(USAGE_TOKEN)?);
        let url = url.trim_end_matches('/');
        if !is_safe(url) {
            worker::console_error!("`{CONTROL_URL}` must begin with `https://`: usage is not taken");
            return None;
        }
        Some(Self { url: format!("{url}/v1/usage/batches"), authorization: format!("Bearer {token}") })
    }
}

/// Whether the token may be sent there.
fn is_safe(url: &str) -> bool {
    url.starts_with("https://")
        || ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"].iter().any(|own| url.starts_with(own))
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Control({})", self.url)
    }
}

/// When to send again, as far as this instance knows.
#[derive(Default)]
pub(crate) struct Courier {
    not_before: Cell<UnixMillis>,
    failures: Cell<u32>,
}

/// What waits, and what the control plane would not have.
#[derive(Clone, Copy, Default)]
pub(crate) struct Account {
    pub(crate) waiting: u64,
    pub(crate) set_aside: u64,
}

/// Whether this is an id of a batch: 32 lower-case hexadecimal characters.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Stores a batch, once.
pub(crate) fn take(storage: &Storage, id: &str, body: Vec<u8>, now: UnixMillis) -> Result<(), Problem> {
    let Account { waiting, set_aside } = storage.usage_account()?;
    if waiting + set_aside >= BATCHES_MAX {
        return Err(Problem::USAGE_FULL);
    }
    storage.put_batch(id, body, now)
}

impl Courier {
    /// When there is something to send.
    pub(crate) fn due(&self, storage: &Storage, now: UnixMillis) -> Option<UnixMillis> {
        let waiting = storage.usage_account().ok()?.waiting;
        (waiting > 0).then(|| self.not_before.get().max(now.plus_ms(SOON_MS)))
    }

    /// Sends what waits, the oldest first, until one cannot be delivered.
    pub(crate) async fn deliver(&self, storage: &Storage, control: &Control, now: UnixMillis) {
        if now < self.not_before.get() {
            return;
        }
        for _ in 0..BATCHES_AT_ONCE {
            let Ok(Some((id, body))) = storage.next_batch() else { return };
            let fate = match send(control, &body).await {
                Ok(status) => respond::fate(status),
                Err(error) => {
                    worker::console_warn!("usage cannot be delivered: {error}");
                    Fate::Later
                }
            };
            let kept = match fate {
                Fate::Taken => storage.drop_batch(&id),
                Fate::Refused(status) => {
                    worker::console_error!("the control plane refuses a batch of usage: {status}");
                    storage.set_batch_aside(&id, status)
                }
                Fate::Later => return self.pause(now),
            };
            if kept.is_err() {
                return self.pause(now);
            }
            self.failures.set(0);
        }
    }

    fn pause(&self, now: UnixMillis) {
        let failures = self.failures.get().min(8);
        self.failures.set(failures + 1);
        self.not_before.set(now.plus_ms((PAUSE_MS_MIN << failures).min(PAUSE_MS_MAX)));
    }
}

/// Sends a batch; the status of the answer.
async fn send(control: &Control, body: &[u8]) -> Result<u16> {
    let headers = Headers::new();
    headers.set("authorization", &control.authorization)?;
    headers.set("content-type", "application/json")?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_headers(headers).with_body(Some(Uint8Array::from(body).into()));
    let request = Fetch::Request(Request::new_with_init(&control.url, &init)?);
    let controller = AbortController::default();
    let signal = controller.signal();
    let sending = request.send_with_signal(&signal);
    let delay = Delay::from(Duration::from_millis(ANSWER_MAX_MS));
    pin_mut!(sending, delay);
    match select(sending, delay).await {
        Either::Left((answer, _)) => answer.map(|answer| answer.status_code()),
        Either::Right(_) => {
            controller.abort();
            Err(worker::Error::from("no answer in time"))
        }
    }
}
