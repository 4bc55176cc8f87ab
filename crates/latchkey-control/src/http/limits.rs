//! How often somebody may ask: each credential for itself; and whoever has none that is valid, by address.
//!
//! A valid credential is never slowed down by what others at its address do. Memory is bounded: of credentials only
//! valid ones are counted, of addresses so many, and those beyond share one count.

use super::auth::AtGates;
use super::bounds::{Bounds, Rate};
use super::error::{Refusal, Unproven};
use crate::app::Asker;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Tells how long it has been running; it never goes back.
pub type Ticks = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Callers that one limiter counts apart.
pub const COUNTED_MAX: usize = 1 << 16;
/// After so many checks a limiter forgets whoever has been quiet.
const FORGET_EVERY: usize = 4096;

/// The counts of all callers.
pub struct Limits {
    credentials: Option<Limiter<[u8; 32]>>,
    addresses: Option<Limiter<Neighbourhood>>,
}

impl Limits {
    /// Counts from zero, by the machine's own clock.
    pub fn new(bounds: &Bounds) -> Self {
        let start = Instant::now();
        Self::ticking(bounds, Arc::new(move || start.elapsed()))
    }

    /// Counts from zero, by this clock.
    pub fn ticking(bounds: &Bounds, ticks: Ticks) -> Self {
        Self {
            credentials: bounds.per_credential.and_then(|rate| Limiter::new(rate, ticks.clone())),
            addresses: bounds.per_address.and_then(|rate| Limiter::new(rate, ticks)),
        }
    }

    fn check_address(&self, address: Option<IpAddr>) -> Result<(), Refusal> {
        self.addresses.as_ref().map_or(Ok(()), |limiter| limiter.check(Neighbourhood::of(address)))
    }

    fn check_credential(&self, asker: &Asker) -> Result<(), Refusal> {
        self.credentials.as_ref().map_or(Ok(()), |limiter| limiter.check(asker.credential()))
    }
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limits(..)")
    }
}

/// Around identifying the caller: whoever fails too often is told so instead of why.
pub(super) async fn slow_the_unproven(
    State(limits): State<Arc<Limits>>,
    request: Request,
    next: Next,
) -> Response {
    let address = address(&request);
    let response = next.run(request).await;
    if response.extensions().get::<Unproven>().is_none() {
        return response;
    }
    limits.check_address(address).map_or_else(IntoResponse::into_response, |()| response)
}

/// Behind it: each credential for itself, and on public routes each address.
pub(super) async fn slow_the_known(
    State(limits): State<Arc<Limits>>,
    request: Request,
    next: Next,
) -> Response {
    let checked = match request.extensions().get::<Asker>() {
        Some(asker) => limits.check_credential(asker),
        // All gates share one credential. What they cost is bounded otherwise: places to wait, and connections.
        None if request.extensions().get::<AtGates>().is_some() => Ok(()),
        None if request.uri().path().starts_with("/v1/") => limits.check_address(address(&request)),
        // What monitors ask, and documents that never change.
        None => Ok(()),
    };
    match checked {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn address(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip())
}

/// Addresses that one customer of a network has: one of IPv4, a /64 of IPv6.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Neighbourhood {
    V4([u8; 4]),
    V6([u16; 4]),
    Unknown,
    /// All that there is no room for.
    Rest,
}

impl Neighbourhood {
    fn of(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Unknown,
            Some(IpAddr::V4(address)) => Self::V4(address.octets()),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

/// Who is counted together with all those that there is no room for.
trait Caller: Hash + Eq + Clone {
    const REST: Self;
}

impl Caller for Neighbourhood {
    const REST: Self = Self::Rest;
}

impl Caller for [u8; 32] {
    const REST: Self = [0; 32];
}

/// One count a caller.
struct Limiter<K: Caller> {
    inner: RateLimiter<K, DashMapStateStore<K>, Ticking, NoOpMiddleware<Duration>>,
    ticks: Ticking,
    checks: AtomicUsize,
}

impl<K: Caller> Limiter<K> {
    fn new(rate: Rate, ticks: Ticks) -> Option<Self> {
        let burst = NonZeroU32::new(rate.burst)?;
        let quota = Quota::per_second(NonZeroU32::new(rate.per_second)?).allow_burst(burst);
        let ticks = Ticking(ticks);
        let inner = RateLimiter::dashmap_with_clock(quota, ticks.clone());
        Some(Self { inner, ticks, checks: AtomicUsize::new(0) })
    }

    fn check(&self, caller: K) -> Result<(), Refusal> {
        let is_due = self.checks.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1;
        if is_due {
            self.inner.retain_recent();
        }
        let caller = if self.inner.len() < COUNTED_MAX { caller } else { K::REST };
        self.inner.check_key(&caller).map_err(|refused| {
            let wait = refused.wait_time_from(self.ticks.now());
            Refusal::RateLimited(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
        })
    }
}

#[derive(Clone)]
struct Ticking(Ticks);

impl Clock for Ticking {
    type Instant = Duration;

    fn now(&self) -> Duration {
        (self.0)()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(burst: u32) -> Limiter<Neighbourhood> {
        let rate = Rate { per_second: 1, burst };
        Limiter::new(rate, Arc::new(|| Duration::from_secs(60))).unwrap()
    }

    #[test]
    fn addresses_of_one_customer_count_together() {
        let of = |text: &str| Neighbourhood::of(Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.2"), of("192.0.2.1"));
    }

    #[test]
    fn memory_is_bounded_and_those_beyond_share_one_count() {
        let limiter = limiter(2);
        let of = |number: usize| Neighbourhood::of(Some(IpAddr::from((number as u32).to_be_bytes())));
        for number in 0..COUNTED_MAX {
            assert!(limiter.check(of(number)).is_ok());
        }
        let refused = (0..10).filter(|beyond| limiter.check(of(COUNTED_MAX + beyond)).is_err()).count();
        assert_eq!(refused, 8);
        assert!(limiter.inner.len() <= COUNTED_MAX + 1);
    }
}
