//! The sockets, and which path goes where.

use crate::assertion::{self, Asserter};
use crate::body::Upload;
use crate::decisions::DecisionLog;
use crate::facts::Facts;
use crate::gateway::{Gateway, Successor, Unreachable};
use crate::mind::{Decision, Mind, Rest};
use crate::respond::{self, Reply};
use crate::settings::{Client, Family, Forward, Settings, address_in};
use crate::usage::Report;
use crate::watch::{Cut, Watch, Watched};
use crate::{ext_authz, follow, metrics};
use hyper::body::{Body, Incoming};
use hyper::header::{HOST, HeaderMap, ORIGIN};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use latchkey_gate::headers::is_misspelt;
use latchkey_gate::{ConfigError, Question};
use socket2::{SockRef, TcpKeepalive};
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;

/// A native gate, ready to serve.
pub struct Native {
    pub(crate) mind: Arc<Mind>,
    pub(crate) report: Arc<Report>,
    gateway: Option<Gateway>,
    asserter: Option<Asserter>,
    pub(crate) forward: Option<Forward>,
    client: Client,
}

/// Why a gate cannot serve; the operator's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeError {
    /// The gate refuses what it was deployed with.
    Gate(ConfigError),
    /// There is nothing on this machine to verify origins' certificates with.
    Certificates,
}

impl fmt::Display for NativeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gate(error) => error.fmt(f),
            Self::Certificates => f.write_str("this machine has no certificates to verify an origin with"),
        }
    }
}

impl std::error::Error for NativeError {}

impl Native {
    /// The gate of these settings.
    ///
    /// # Errors
    /// [`NativeError`].
    pub fn new(settings: Settings) -> Result<Self, NativeError> {
        let (mind, Rest { origin, asserter, forward, client, reporter }) =
            Mind::new(settings).map_err(NativeError::Gate)?;
        let gateway =
            origin.map(|origin| Gateway::to(origin).ok_or(NativeError::Certificates)).transpose()?;
        Ok(Self { mind, report: Report::to(reporter), gateway, asserter, forward, client })
    }

    /// Serves until `stop` is over; then the requests that run, for a while, and what was used is handed over. Metrics and
    /// Envoy's gRPC have listeners of their own, if there are any.
    pub async fn serve(
        self,
        listener: TcpListener,
        metrics: Option<TcpListener>,
        ext_authz: Option<TcpListener>,
        stop: impl Future<Output = ()>,
    ) {
        let native = Arc::new(self);
        follow::recall(&native.mind).await;
        let mut behind = JoinSet::new();
        behind.spawn(follow::heads(Arc::clone(&native.mind)));
        behind.spawn(follow::objects(Arc::clone(&native.mind)));
        behind.spawn(follow::sweeps(Arc::clone(&native.mind)));
        if let Some(metrics) = metrics {
            let native = Arc::clone(&native);
            let answer = move |request: Request<Incoming>, _| {
                let native = Arc::clone(&native);
                async move { native.scrape(&request) }
            };
            let serve = move |stream, peer, stopped| connection(stream, peer, answer.clone(), stopped);
            behind.spawn(async move { listen(metrics, slots(), serve, std::future::pending()).await });
        }
        let (stopped, is_stopped) = oneshot::channel::<()>();
        let report = tokio::spawn(Arc::clone(&native.report).hand_over(async {
            // Gone is as good as said.
            let _ = is_stopped.await;
        }));
        let answering = Arc::clone(&native);
        let answer = move |request: Request<Incoming>, peer: SocketAddr| {
            let native = Arc::clone(&answering);
            async move { native.answer(request, peer.ip()).await }
        };
        let serve = move |stream, peer, stopped| connection(stream, peer, answer.clone(), stopped);
        let (stopping, calls_stopped) = oneshot::channel::<()>();
        let calls = ext_authz.map(|listener| {
            let native = Arc::clone(&native);
            let serve = move |stream, _, stopped| ext_authz::connection(Arc::clone(&native), stream, stopped);
            tokio::spawn(listen(listener, slots(), serve, async {
                let _ = calls_stopped.await;
            }))
        });
        let stop = async {
            stop.await;
            drop(stopping);
        };
        listen(listener, slots(), serve, stop).await;
        if let Some(calls) = calls {
            // It drains no longer than the requests did.
            let _ = calls.await;
        }
        drop(stopped);
        let _ = tokio::time::timeout(SETTLE_MAX, report).await;
        if let Some(decisions) = native.mind.decisions() {
            let _ = tokio::time::timeout(SETTLE_MAX, decisions.settled()).await;
        }
        behind.shutdown().await;
    }

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Reply {
        if head_bytes(&request) > HEAD_BYTES_MAX {
            return respond::head_too_long();
        }
        if let Some(reply) = self.mind.preflight(&self.facts(&request, peer)) {
            return reply;
        }
        let page = one(request.headers(), ORIGIN.as_str()).map(str::to_owned);
        let mut reply = match request.uri().path() {
            STATUS_PATH => self.status(request.method()),
            KEYS_PATH => self.keys(request.method()),
            VERIFY_PATH => self.verify(&request).await,
            path if self.asks_behind(path) => self.verify(&request).await,
            WHOAMI_PATH if request.method() == Method::GET => self.whoami(&request, peer).await,
            path if path.starts_with(OWN_PREFIX) => respond::not_found(),
            _ => self.pass(request, peer).await,
        };
        if let Some(page) = page {
            self.mind.share(&page, &mut reply);
        }
        reply
    }

    fn status(&self, method: &Method) -> Reply {
        match *method {
            Method::GET | Method::HEAD => respond::status(&self.mind.status()),
            _ => respond::method_not_allowed(),
        }
    }

    /// `GET /.latchkey/jwks.json`: the keys by which an origin checks assertions.
    fn keys(&self, method: &Method) -> Reply {
        if *method != Method::GET {
            return respond::method_not_allowed();
        }
        self.mind.edge_key_set().map_or_else(respond::keys_unavailable, respond::keys)
    }

    fn scrape(&self, request: &Request<Incoming>) -> Reply {
        match (request.method(), request.uri().path()) {
            (&Method::GET, METRICS_PATH) => {
                let decisions = self.mind.decisions().map(DecisionLog::counts);
                respond::metrics(metrics::text(&self.mind.status(), self.report.lost(), decisions))
            }
            (_, METRICS_PATH) => respond::method_not_allowed(),
            _ => respond::not_found(),
        }
    }

    /// `GET /v1/whoami` (IAM K11): who a key is, answered from the snapshot.
    async fn whoami<B>(&self, request: &Request<B>, peer: IpAddr) -> Reply {
        match self.mind.decide(&self.facts(request, peer), Question::Whoami, NO_BODY).await {
            Decision::Refused(refusal, standing) => respond::refused(refusal, standing),
            // Whoami falls under no rule, so nobody is passed on.
            Decision::OutOfReach(standing) | Decision::Passed(_, standing) => respond::out_of_reach(standing),
            Decision::Admitted(grant, names, _, standing) => respond::whoami(&grant, &names, standing),
        }
    }

    async fn pass(&self, request: Request<Incoming>, peer: IpAddr) -> Reply {
        let (mut parts, body) = request.into_parts();
        // Without them, nothing is cut off and no tunnel begins.
        let cut = parts.extensions.remove::<Cut>().unwrap_or_else(Cut::new);
        let successor = parts.extensions.remove::<Successor>().unwrap_or_default();
        let (head, mut body) = (Request::from_parts(parts, ()), Upload::of(body));
        let facts = self.facts(&head, peer);
        let mut told = HeaderMap::new();
        let decision = self.mind.decide(&facts, Question::Route, Some(&mut body)).await;
        let (grant, forwarding, standing) = match decision {
            Decision::Refused(refusal, standing) => return respond::refused(refusal, standing),
            Decision::OutOfReach(standing) => return respond::out_of_reach(standing),
            Decision::Passed(forwarding, standing) => (None, forwarding, standing),
            Decision::Admitted(grant, names, forwarding, standing) => {
                told.extend(respond::identity(&grant, &names));
                told.extend(facts.model().and_then(respond::model));
                if let Some(asserter) = &self.asserter {
                    match asserter.of(&self.mind, &grant, &names) {
                        Ok(assertion) => told.insert(assertion::HEADER, assertion),
                        Err(assertion::NotNamed) => {
                            tracing::error!("the manifest names another edge key than this gate has");
                            return respond::assertion_unavailable(standing);
                        }
                    };
                }
                (Some(grant), forwarding, standing)
            }
        };
        let Some(gateway) = &self.gateway else { return respond::no_origin(standing) };
        // The origin is asked under its own name.
        told.extend(facts.host.and_then(respond::host));
        let watch = Watch::new(&self.mind, head.method(), &facts, cut);
        let alive = (!body.is_end_stream()).then(|| watch.alive());
        let onward = head.map(|()| Watched::new(body, alive));
        let passed = watch.during(gateway.pass_on(onward, forwarding, told, &watch, &successor)).await;
        let passed = match passed {
            Ok(passed) => passed,
            Err((refusal, standing)) => return respond::refused(refusal, standing),
        };
        watch.behind();
        match passed {
            Ok(response) => {
                if let Some(grant) = grant {
                    self.report.record(&grant, self.mind.now());
                }
                respond::from_origin(response, standing)
            }
            Err(Unreachable(why)) => {
                tracing::warn!(%why, "the origin did not answer");
                respond::origin_unreachable(standing)
            }
        }
    }

    fn facts<'a, B>(&self, request: &'a Request<B>, peer: IpAddr) -> Facts<'a> {
        // A target that names a host itself outdoes the header (RFC 9112, 3.2.2).
        let named = request.uri().authority().map(|authority| authority.as_str());
        Facts {
            method: request.method().as_str(),
            host: named.or_else(|| one(request.headers(), HOST.as_str())),
            target: request.uri().path_and_query().map_or("", |target| target.as_str()),
            client: self.client.address(request.headers(), peer),
            headers: request.headers(),
            model: OnceLock::new(),
            need: None,
        }
    }

    /// Whether a proxy asks about what is behind our own path.
    fn asks_behind(&self, path: &str) -> bool {
        let is_told_so = self.forward.as_ref().is_some_and(|forward| forward.family == Family::Envoy);
        is_told_so && path.strip_prefix(VERIFY_PATH).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether these headers are of a proxy that was told the token.
    pub(crate) fn trusts(&self, headers: &HeaderMap) -> bool {
        let given = one(headers, TOKEN_HEADER);
        self.forward.as_ref().zip(given).is_some_and(|(forward, given)| forward.token.is(given.as_bytes()))
    }

    /// Forward-auth for a proxy that asks before it passes a request on. The proxy proves itself with a token; the
    /// original request is read from one family of headers, and the others are ignored.
    async fn verify<B>(&self, request: &Request<B>) -> Reply {
        let headers = request.headers();
        let Some(forward) = &self.forward else { return respond::not_found() };
        if !self.trusts(headers) {
            return respond::forward_token();
        }
        // Envoy is told which must not go on; the others take away what they know by name.
        if forward.family != Family::Envoy && headers.keys().any(|name| is_misspelt(name.as_str())) {
            return respond::header_spelling();
        }
        let Some((method, target, host)) = original(forward.family, request) else {
            return respond::forward_headers();
        };
        let client = match &forward.client {
            Client::Header(name) => address_in(headers, name),
            Client::Peer | Client::Unknown => None,
        };
        let facts = Facts { method, host, target, client, headers, model: OnceLock::new(), need: None };
        let refused = |refusal, standing| match forward.family {
            // nginx is the one that keeps a body back.
            Family::Original => respond::refused_to_proxy(refusal, standing),
            Family::Forwarded | Family::Envoy => respond::refused(refusal, standing),
        };
        match self.mind.decide(&facts, Question::Route, NO_BODY).await {
            Decision::Refused(refusal, standing) => refused(refusal, standing),
            Decision::OutOfReach(standing) => refused(respond::OUT_OF_REACH, standing),
            Decision::Passed(forwarding, standing) => {
                forward.family.answer(respond::passed(standing), headers, forwarding)
            }
            Decision::Admitted(grant, names, forwarding, standing) => {
                self.report.record(&grant, self.mind.now());
                forward.family.answer(respond::verified(&grant, &names, standing), headers, forwarding)
            }
        }
    }
}

/// Method, target and host of the original request; `None` where they are not there, or twice. A host that stands twice
/// is none that any rule has.
fn original<B>(family: Family, request: &Request<B>) -> Option<(&str, &str, Option<&str>)> {
    let headers = request.headers();
    let (method, target, host) = match family.headers() {
        Some((method, target, host)) => (one(headers, method)?, one(headers, target)?, one(headers, host)),
        None => {
            let target = request.uri().path_and_query()?.as_str().strip_prefix(VERIFY_PATH)?;
            (request.method().as_str(), target, one(headers, HOST.as_str()))
        }
    };
    let is_target = !target.is_empty() && !target.contains(' ');
    (is_target && is_method(method)).then_some((method, target, host))
}

/// Bytes of a request's target and headers. The buffer that they are read into may grow somewhat beyond its limit.
pub(crate) fn head_bytes<B>(request: &Request<B>) -> usize {
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    headers.sum::<usize>() + request.uri().path_and_query().map_or(0, |target| target.as_str().len())
}

/// The one header of a name; two of them are none.
pub(crate) fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(only), None) => only.to_str().ok(),
        _ => None,
    }
}

pub(crate) fn is_method(text: &str) -> bool {
    (1..=METHOD_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Serves connections, as many at once as there are slots, until `stop` is over, and then those that run, for a while.
async fn listen<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    slots: Arc<Semaphore>,
    serve: impl Fn(TcpStream, SocketAddr, watch::Receiver<bool>) -> F,
    stop: impl Future<Output = ()>,
) {
    let (mut running, stopping) = (JoinSet::new(), watch::Sender::new(false));
    let mut stop = pin!(stop);
    loop {
        // The semaphore is never closed.
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot.ok(),
            () = &mut stop => break,
        };
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = &mut stop => break,
        };
        // Those that have ended are let go of.
        while running.try_join_next().is_some() {}
        let connection = serve(stream, peer, stopping.subscribe());
        running.spawn(async move {
            connection.await;
            drop(slot);
        });
    }
    drop(listener);
    stopping.send_replace(true);
    let drained = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
        running.shutdown().await;
        tracing::warn!("requests that did not end in time were cut off");
    }
}

/// As many slots as a listener has.
fn slots() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(CONNECTIONS_MAX))
}

/// Serves one connection to its end, and the tunnel that it may have become; once all is to stop, to the end of what runs.
async fn connection<F: Future<Output = Reply> + Send + 'static>(
    stream: TcpStream,
    peer: SocketAddr,
    answer: impl Fn(Request<Incoming>, SocketAddr) -> F + Send + 'static,
    mut stopped: watch::Receiver<bool>,
) {
    let (cut, successor) = (Cut::new(), Successor::default());
    let own = (cut.clone(), successor.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(own.0.clone());
        request.extensions_mut().insert(own.1.clone());
        let reply = answer(request, peer);
        async move { Ok::<_, Infallible>(reply.await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_READ).max_buf_size(HEAD_BYTES_MAX);
    let requests = async {
        let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service).with_upgrades());
        // A connection that ends badly is its client's affair.
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = stopped.wait_for(|stopped| *stopped) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    };
    tokio::select! {
        () = async { requests.await; successor.run().await } => {}
        () = cut.is_due() => {}
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Only speed depends on it.
                let _ = stream.set_nodelay(true);
                // A peer that went without a word would keep its place for good, where nobody speaks to it.
                let probes = TcpKeepalive::new().with_time(SILENT_MAX).with_interval(PROBE_EVERY);
                let _ = SockRef::from(&stream).set_tcp_keepalive(&probes);
                return (stream, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Where there is no body to look into.
pub(crate) const NO_BODY: Option<&mut Upload> = None;
/// What the gate answers itself begins with this; the origin never sees it.
const OWN_PREFIX: &str = "/.latchkey/";
const KEYS_PATH: &str = "/.latchkey/jwks.json";
const STATUS_PATH: &str = "/.latchkey/status";
const VERIFY_PATH: &str = "/.latchkey/verify";
const WHOAMI_PATH: &str = "/v1/whoami";
const METRICS_PATH: &str = "/metrics";
const TOKEN_HEADER: &str = "latchkey-forward-token";
const METHOD_LEN_MAX: usize = 16;

const CONNECTIONS_MAX: usize = 16_384;
/// How long a request's head may take to arrive, and how long a connection may lie idle.
const HEAD_READ: Duration = Duration::from_secs(30);
/// How long a peer may say nothing before the system asks whether it is there, and how often it asks then.
pub(crate) const SILENT_MAX: Duration = Duration::from_secs(60);
pub(crate) const PROBE_EVERY: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long running requests may take once the process is asked to stop.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long a stop waits for what was used to be handed over.
pub(crate) const SETTLE_MAX: Duration = Duration::from_secs(5);
/// How long to wait where no connection can be taken, most likely since the process has no file left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
