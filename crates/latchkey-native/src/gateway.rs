//! The gateway: what is let in goes to the origin, and both bodies stream.
//!
//! The origin gets exactly the path that was matched. It gets the credential only where the rule says so; who calls is
//! told in `Latchkey-*` headers, and such headers of the caller's own are taken away, whatever their spelling.

use crate::body::Upload;
use crate::front::{PROBE_EVERY, SILENT_MAX};
use crate::headers;
use crate::respond::SWITCHING;
use crate::settings::Origin;
use crate::watch::{Alive, Watch, Watched};
use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{HeaderMap, Request, Response, Uri, Version};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use latchkey_snapshot::Forwarding;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::time::timeout;

/// The way to one origin.
pub(crate) struct Gateway {
    origin: Origin,
    host: HeaderValue,
    client: Client<HttpsConnector<HttpConnector>, Watched<Upload>>,
}

/// The origin did not answer; why is for the log.
#[derive(Debug)]
pub(crate) struct Unreachable(pub(crate) String);

impl Gateway {
    /// `None` if this machine's certificates cannot be read, or the host is no header's value.
    pub(crate) fn to(origin: Origin) -> Option<Self> {
        // Fails if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        connector.set_keepalive(Some(SILENT_MAX));
        connector.set_keepalive_interval(Some(PROBE_EVERY));
        connector.enforce_http(false);
        let tls = rustls::ClientConfig::builder().try_with_platform_verifier().ok()?.with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let host = HeaderValue::from_str(origin.authority.as_str()).ok()?;
        Some(Self { origin, host, client })
    }

    /// Passes a request on with what the origin is told of its caller, and brings the answer. Whatever goes on after that
    /// holds the watch.
    pub(crate) async fn pass_on(
        &self,
        mut request: Request<Watched<Upload>>,
        forwarding: Forwarding,
        told: HeaderMap,
        watch: &Watch,
        successor: &Successor,
    ) -> Result<Response<Watched<Incoming>>, Unreachable> {
        let here = wishes_websocket(request.headers()).then(|| hyper::upgrade::on(&mut request));
        let mut onward = self.onward(request, forwarding, told)?;
        if here.is_some() {
            say_websocket(onward.headers_mut());
        }
        let answer = timeout(HEAD_TIMEOUT, self.client.request(onward)).await;
        let mut response = answer
            .map_err(|_| Unreachable("its answer did not begin in time".to_owned()))?
            .map_err(|error| Unreachable(described(&error)))?;
        let goes_on = wishes_websocket(response.headers());
        headers::strip_connection(response.headers_mut());
        if response.status() == SWITCHING {
            let Some(here) = here.filter(|_| goes_on) else {
                return Err(Unreachable("it goes on to a protocol that nobody asked for".to_owned()));
            };
            let there = hyper::upgrade::on(&mut response);
            successor.is(Tunnel { here, there, _alive: watch.alive() });
            say_websocket(response.headers_mut());
        }
        let alive = is_long(&response).then(|| watch.alive());
        Ok(response.map(|body| Watched::new(body, alive)))
    }

    fn onward(
        &self,
        request: Request<Watched<Upload>>,
        forwarding: Forwarding,
        told: HeaderMap,
    ) -> Result<Request<Watched<Upload>>, Unreachable> {
        let (mut parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().cloned();
        let target = target.ok_or_else(|| Unreachable("the request has no path".to_owned()))?;
        let uri = Uri::builder()
            .scheme(self.origin.scheme.clone())
            .authority(self.origin.authority.clone())
            .path_and_query(target);
        parts.uri = uri.build().map_err(|_| Unreachable("the request has no path".to_owned()))?;
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        let headers = &mut parts.headers;
        headers::strip_connection(headers);
        headers::strip(headers);
        if forwarding == Forwarding::Removed {
            headers.remove(AUTHORIZATION);
        }
        // The length is said anew, by what the body is.
        headers.remove(CONTENT_LENGTH);
        headers.insert(HOST, self.host.clone());
        headers.extend(told);
        Ok(Request::from_parts(parts, body))
    }
}

/// What a connection goes on as once its requests are over: a tunnel, if one of them became a WebSocket. It runs in the
/// connection's place, so that it counts where the connection does and ends when that must.
#[derive(Clone, Default)]
pub(crate) struct Successor(Arc<Mutex<Option<Tunnel>>>);

/// Two sides that are bound together.
struct Tunnel {
    here: OnUpgrade,
    there: OnUpgrade,
    _alive: Alive,
}

impl Successor {
    fn is(&self, tunnel: Tunnel) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
    }

    /// Runs the tunnel to its end, if there is one. Dropped, it breaks off.
    pub(crate) async fn run(self) {
        let tunnel = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(tunnel) = tunnel {
            tunnel.run().await;
        }
    }
}

impl Tunnel {
    async fn run(self) {
        let (Ok(here), Ok(there)) = tokio::join!(self.here, self.there) else { return };
        bind(TokioIo::new(here), TokioIo::new(there)).await;
    }
}

/// Hands on what comes from either side. Once one has ended, so must the other soon: a WebSocket has no half that goes on, and a
/// caller could keep the place of a connection that its origin gave up long ago.
async fn bind(here: impl AsyncRead + AsyncWrite, there: impl AsyncRead + AsyncWrite) {
    let ((from_here, to_here), (from_there, to_there)) = (split(here), split(there));
    let mut onward = pin!(hand_on(from_here, to_there));
    let mut back = pin!(hand_on(from_there, to_here));
    tokio::select! {
        _ = onward.as_mut() => { let _ = timeout(PARTING_MAX, back).await; }
        _ = back.as_mut() => { let _ = timeout(PARTING_MAX, onward).await; }
    }
}

async fn hand_on(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    copy(&mut from, &mut to).await?;
    to.shutdown().await
}

/// Whether the other side would go on to a WebSocket. No other protocol is passed on: through HTTP/2 in the clear, say,
/// requests would reach the origin that nobody judged.
fn wishes_websocket(headers: &HeaderMap) -> bool {
    let is_meant = headers.get_all(CONNECTION).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case("upgrade")))
    });
    let mut all = headers.get_all(UPGRADE).iter();
    match (all.next(), all.next()) {
        (Some(only), None) => is_meant && only.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes()),
        _ => false,
    }
}

/// Says that the connection goes on as a WebSocket.
fn say_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
}

/// Whether an answer may take so long that it is judged again.
fn is_long(response: &Response<Incoming>) -> bool {
    response.body().size_hint().upper().is_none_or(|bytes| bytes > SHORT_BYTES)
}

fn described(error: &hyper_util::client::legacy::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// A body that is declared with at most so many bytes is not watched.
const SHORT_BYTES: u64 = 64 << 10;
const WEBSOCKET: &str = "websocket";
/// How long one side of a tunnel may go on once the other has ended.
const PARTING_MAX: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an origin may think before its answer begins.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, duplex};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn side_that_does_not_end_ends_soon_after_the_other() {
        for is_here in [true, false] {
            let ((caller, here), (there, origin)) = (duplex(64), duplex(64));
            let (ends, mut stays) = if is_here { (origin, caller) } else { (caller, origin) };
            let (began, bound) = (Instant::now(), tokio::spawn(bind(here, there)));
            // An hour of silence is no end.
            tokio::time::sleep(Duration::from_secs(3600)).await;
            drop(ends);
            // It hears of that at once, says nothing more, and is gone all the same.
            assert_eq!(stays.read(&mut [0]).await.unwrap(), 0);
            assert_eq!(began.elapsed().as_secs(), 3600);
            bound.await.unwrap();
            assert_eq!(began.elapsed().as_secs(), 3600 + PARTING_MAX.as_secs());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_on_its_way_when_a_side_ends_arrives() {
        let ((mut caller, here), (there, mut origin)) = (duplex(64), duplex(64));
        let bound = tokio::spawn(bind(here, there));
        caller.write_all(&[1; 48]).await.unwrap();
        caller.shutdown().await.unwrap();
        let (mut heard, mut answered) = (Vec::new(), Vec::new());
        origin.read_to_end(&mut heard).await.unwrap();
        origin.write_all(&[2; 48]).await.unwrap();
        drop(origin);
        caller.read_to_end(&mut answered).await.unwrap();
        assert_eq!((heard, answered), (vec![1; 48], vec![2; 48]));
        bound.await.unwrap();
    }
}
