//! Envoy's `ext_authz` by gRPC, `envoy.service.auth.v3.Authorization/Check`: the same forward-auth in other words, on a
//! listener of its own. A proxy proves itself with the forward token, as metadata of the call; before it has, nothing else that
//! it says is read, and its connection does not last. What is missing or odd in what it says is refused.

mod messages;

use crate::facts::Facts;
use crate::front::{NO_BODY, Native, is_method};
use crate::headers;
use crate::mind::Decision;
use crate::respond::{self, Reply};
use crate::settings::{Client, Family};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HeaderName};
use hyper::http;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use latchkey_gate::Question;
use latchkey_gate::headers::is_ours;
use latchkey_snapshot::Forwarding;
use messages::{
    CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValue, HeaderValueOption, HttpRequest,
    HttpResponse, HttpStatus, OVERWRITE, OkHttpResponse, RpcStatus,
};
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

/// Serves one connection to its end; once all is to stop, to the end of the calls that run. One that has not shown the token
/// in time ends.
pub(crate) async fn connection(
    native: Arc<Native>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    mut stopped: watch::Receiver<bool>,
) {
    let (proven, mut is_proven) = watch::channel(false);
    let service = service_fn(move |request: Request<Incoming>| {
        let (native, proven) = (Arc::clone(&native), proven.clone());
        async move { Ok::<_, Infallible>(answer(native, request, &proven).await) }
    });
    let mut server = http2::Builder::new(TokioExecutor::new());
    server.timer(TokioTimer::new()).keep_alive_interval(PING_EVERY).max_concurrent_streams(CALLS_MAX);
    server.max_header_list_size(METADATA_BYTES_MAX);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
    let stranger = async move {
        let proof = timeout(PROOF_MAX, is_proven.wait_for(|is_proven| *is_proven));
        if proof.await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    let calls = async {
        // A connection that ends badly is its client's affair.
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = stopped.wait_for(|stopped| *stopped) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    };
    tokio::select! {
        () = calls => {}
        () = stranger => {}
    }
}

/// The answer to a call. Its message is read once its metadata has the token, whole and in time.
async fn answer<B>(
    native: Arc<Native>,
    request: Request<B>,
    proven: &watch::Sender<bool>,
) -> Response<tonic::body::Body>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    if !native.trusts(request.headers()) {
        return Status::unauthenticated("the forward-auth token is needed").into_http();
    }
    proven.send_if_modified(|proven| !std::mem::replace(proven, true));
    if request.uri().path() != CHECK_PATH {
        return Status::unimplemented("there is no such method here").into_http();
    }
    let (head, body) = request.into_parts();
    let body = match timeout(ARRIVAL_MAX, Limited::new(body, FRAME_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => Full::new(body.to_bytes()),
        Ok(Err(_)) => return Status::resource_exhausted("the message is too long, or broke off").into_http(),
        Err(_) => return Status::deadline_exceeded("the message did not arrive in time").into_http(),
    };
    let mut grpc = Grpc::new(ProstCodec::<CheckResponse, CheckRequest>::default())
        .apply_max_message_size_config(Some(MESSAGE_BYTES_MAX), None);
    grpc.unary(Check(native), Request::from_parts(head, body)).await
}

struct Check(Arc<Native>);

impl UnaryService<CheckRequest> for Check {
    type Response = CheckResponse;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<CheckResponse>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<CheckRequest>) -> Self::Future {
        let native = Arc::clone(&self.0);
        Box::pin(async move { Ok(tonic::Response::new(native.check(request.into_inner()).await)) })
    }
}

impl Native {
    async fn check(&self, request: CheckRequest) -> CheckResponse {
        let Some(asked) = Asked::of(request) else { return denied(respond::forward_headers()).await };
        let Some(forward) = &self.forward else { return denied(respond::not_found()).await };
        let client = match &forward.client {
            Client::Peer => asked.source,
            // The headers here are the client's own: what one says that another proxy sets is a claim.
            Client::Header(_) | Client::Unknown => None,
        };
        let facts = Facts {
            method: &asked.method,
            host: Some(asked.host.as_str()).filter(|host| !host.is_empty()),
            target: &asked.target,
            client,
            headers: &asked.headers,
            model: OnceLock::new(),
            need: None,
        };
        match self.mind.decide(&facts, Question::Route, NO_BODY).await {
            Decision::Refused(refusal, standing) => denied(respond::refused(refusal, standing)).await,
            Decision::OutOfReach(standing) => denied(respond::out_of_reach(standing)).await,
            Decision::Passed(forwarding, standing) => {
                allowed(&asked.headers, &HeaderMap::new(), forwarding, &respond::passed(standing))
            }
            Decision::Admitted(grant, names, forwarding, standing) => {
                self.report.record(&grant, self.mind.now());
                let told = respond::identity(&grant, &names);
                allowed(&asked.headers, &told, forwarding, &respond::passed(standing))
            }
        }
    }
}

/// The request that a proxy asks about.
struct Asked {
    method: String,
    target: String,
    host: String,
    headers: HeaderMap,
    source: Option<IpAddr>,
}

impl Asked {
    /// `None` if something is missing, or could be read in two ways.
    fn of(request: CheckRequest) -> Option<Self> {
        let attributes = request.attributes?;
        let source = attributes.source.and_then(|source| source.address?.socket_address);
        let source = source.and_then(|socket| socket.address.parse::<IpAddr>().ok());
        let http = attributes.request?.http?;
        let is_whole = http.query.is_empty() && http.fragment.is_empty();
        let is_target = http.path.starts_with('/') && !http.path.contains(' ');
        if !is_whole || !is_target || !is_method(&http.method) {
            return None;
        }
        let headers = Lines::of(&http)?.headers(&http)?;
        let HttpRequest { method, path, host, .. } = http;
        Some(Self { method, target: path, host, headers, source: source.map(|source| source.to_canonical()) })
    }
}

/// Names and values as they came, in one of two forms.
struct Lines<'a>(Vec<(&'a str, &'a [u8])>);

impl<'a> Lines<'a> {
    /// `None` if they came in both forms, or a value did.
    fn of(http: &'a HttpRequest) -> Option<Self> {
        let Some(raw) = &http.header_map else {
            return Some(Self(
                http.headers.iter().map(|(key, value)| (key.as_str(), value.as_bytes())).collect(),
            ));
        };
        let value = |header: &'a HeaderValue| match (header.value.as_bytes(), header.raw_value.as_slice()) {
            (value, []) | ([], value) => Some((header.key.as_str(), value)),
            _ => None,
        };
        let lines = raw.headers.iter().map(value).collect::<Option<_>>()?;
        http.headers.is_empty().then_some(Self(lines))
    }

    /// `None` if one is no header, or what is also said beside them is something else there.
    fn headers(self, http: &HttpRequest) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        for (name, value) in self.0 {
            let said = match name {
                ":method" => &http.method,
                ":path" => &http.path,
                ":authority" => &http.host,
                name if name.starts_with(':') => continue,
                name => {
                    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                    headers.try_append(name, http::HeaderValue::from_bytes(value).ok()?).ok()?;
                    continue;
                }
            };
            if said.as_bytes() != value {
                return None;
            }
        }
        Some(headers)
    }
}

impl Family {
    /// A yes by HTTP. Envoy can be told what must not go on; other proxies take it away themselves.
    pub(crate) fn answer(self, yes: Reply, asked: &HeaderMap, forwarding: Forwarding) -> Reply {
        if self != Self::Envoy {
            return yes;
        }
        match removed(asked, yes.headers(), forwarding).join(",") {
            names if names.is_empty() => yes,
            names => respond::without(yes, &names),
        }
    }
}

/// What the origin must not take for the gate's word, and the credential.
fn removed(asked: &HeaderMap, told: &HeaderMap, forwarding: Forwarding) -> Vec<String> {
    // What is set takes the place of what came.
    let names = headers::not_to_go_on(asked).filter(|name| !told.contains_key(*name));
    let credential = (forwarding == Forwarding::Removed).then_some(&AUTHORIZATION);
    names.chain(credential).map(|name| name.as_str().to_owned()).collect()
}

/// The proxy may pass the request on: with what the origin is told, and without what it must not take for that.
fn allowed(asked: &HeaderMap, told: &HeaderMap, forwarding: Forwarding, answer: &Reply) -> CheckResponse {
    let standing = answer.headers().iter().filter(|(name, _)| is_ours(name.as_str()));
    let ok = OkHttpResponse {
        headers: told.iter().filter_map(option).collect(),
        headers_to_remove: removed(asked, told, forwarding),
        response_headers_to_add: standing.filter_map(option).collect(),
    };
    CheckResponse {
        status: Some(RpcStatus { code: Code::Ok as i32 }),
        http_response: Some(HttpResponse::Ok(ok)),
    }
}

/// The proxy answers so.
async fn denied(reply: Reply) -> CheckResponse {
    let (parts, body) = reply.into_parts();
    // It is text of ours, whole in memory.
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: parts.status.as_u16().into() }),
        headers: parts.headers.iter().filter_map(option).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    CheckResponse {
        status: Some(RpcStatus { code: Code::PermissionDenied as i32 }),
        http_response: Some(HttpResponse::Denied(denied)),
    }
}

fn option((name, value): (&HeaderName, &http::HeaderValue)) -> Option<HeaderValueOption> {
    let header = HeaderValue {
        key: name.as_str().to_owned(),
        value: value.to_str().ok()?.to_owned(),
        raw_value: Vec::new(),
    };
    Some(HeaderValueOption { header: Some(header), append_action: OVERWRITE })
}

const CHECK_PATH: &str = "/envoy.service.auth.v3.Authorization/Check";
/// Bytes of one question: the head of a request, as other limits have it, and as much again for the rest.
const MESSAGE_BYTES_MAX: usize = 128 << 10;
/// Bytes of a message with what gRPC puts before it.
const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 5;
/// How long a question may take to arrive once its call has begun; a proxy has it whole.
const ARRIVAL_MAX: Duration = Duration::from_secs(5);
/// How long a connection lasts on which nobody has shown the token.
const PROOF_MAX: Duration = Duration::from_secs(30);
const METADATA_BYTES_MAX: u32 = 16 << 10;
/// Calls at once on one connection; a proxy has one or a few.
const CALLS_MAX: u32 = 1024;
/// How often a connection that says nothing is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
