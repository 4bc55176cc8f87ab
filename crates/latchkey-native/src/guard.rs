//! The gate inside an application: it judges requests that the application has accepted, and listens nowhere itself.
//!
//! What the native gate does around an origin, a guard does around a handler: the handler gets exactly the request that
//! was judged, without the credential and whatever could be taken for ours, and what it answers in our name is taken away.

use crate::body::Upload;
use crate::decisions::DecisionLog;
use crate::facts::Facts;
use crate::front::{HEAD_BYTES_MAX, NO_BODY, SETTLE_MAX, head_bytes, one};
use crate::mind::{Decision, Mind};
use crate::respond::{self, Reply};
use crate::settings::{Client, Settings, address_in};
use crate::source::Source;
use crate::usage::{Report, Reporter};
use crate::watch::Recheck;
use crate::{follow, headers};
use hyper::body::{Body, Bytes};
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, Uri};
use latchkey_control::outside::{Clock, SystemClock};
use latchkey_core::{OrganizationId, Permission, PermissionSet, ProjectId, Role};
use latchkey_gate::bodies::Names;
use latchkey_gate::{ConfigError, GateConfig, Grant, Need, Question, Standing, Status, Subject};
use latchkey_snapshot::Forwarding;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a guard is told.
pub struct GuardSettings {
    /// What it was deployed with.
    pub gate: GateConfig,
    /// Where it reads what is published.
    pub source: Source,
    /// Where the last good copy is kept, if it is.
    pub state: Option<PathBuf>,
    /// Where a client's address stands.
    pub client: Client,
    /// Who is told what was used, if anybody is.
    pub reporter: Option<Reporter>,
    /// Where decisions are written, if any are.
    pub decisions: Option<DecisionLog>,
}

impl GuardSettings {
    /// No last good copy, no client's address, nobody told what was used or decided.
    pub const fn new(gate: GateConfig, source: Source) -> Self {
        Self { gate, source, state: None, client: Client::Unknown, reporter: None, decisions: None }
    }
}

/// A gate within this process. Copies are the same one; when the last is gone, what it does behind the answers ends.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    mind: Arc<Mind>,
    report: Arc<Report>,
    client: Client,
    /// Follows what is published.
    behind: Mutex<JoinSet<()>>,
    /// Hands over what was used.
    reporting: Mutex<JoinSet<()>>,
    stopping: watch::Sender<bool>,
}

/// How a request came, as far as its own head does not say it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival<'a> {
    /// The target as it was accepted, where a router has taken a prefix away since.
    pub accepted: Option<&'a Uri>,
    /// The connection's other side.
    pub peer: Option<IpAddr>,
    /// What the application says that the request needs; without it the route rules say it.
    pub need: Option<&'a Need>,
}

/// What of a request's head is judged.
struct Asked<'a> {
    method: &'a Method,
    target: &'a Uri,
    headers: &'a HeaderMap,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Judged<B> {
    /// This is the answer, and nobody else may see the request.
    Answered(Reply),
    /// It goes on so. Its extensions have a [`Recheck`], and the [`Caller`] unless nobody was asked for.
    Admitted(Box<Request<Upload<B>>>, Exit),
}

/// What is still to be done with the answer to a request that went on.
#[must_use]
pub struct Exit {
    guard: Guard,
    page: Option<String>,
    standing: Option<Standing>,
    grant: Option<Grant>,
}

/// Who was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// A key, by its public id, or a session's identity.
    pub subject: Subject,
    /// The project.
    pub project: ProjectId,
    /// Its slug, which may change.
    pub project_slug: String,
    /// What it is called.
    pub project_name: String,
    /// The project's organization.
    pub organization: OrganizationId,
    /// What it is called.
    pub organization_name: String,
    /// The caller's role in the project.
    pub role: Option<Role>,
    /// All that the caller may do there.
    pub permissions: PermissionSet,
    /// The permission that was needed.
    pub permission: Option<Permission>,
    /// The model that the body was seen to name, where that was looked at.
    pub model: Option<String>,
}

impl Guard {
    /// The guard of these settings. It begins with its last good copy, if it keeps one, and follows what is published
    /// from now on, in tasks of the runtime that this runs on.
    ///
    /// # Errors
    /// [`ConfigError`], the operator's fault.
    pub async fn start(settings: GuardSettings) -> Result<Self, ConfigError> {
        let GuardSettings { gate, source, state, client, reporter, decisions } = settings;
        let (mind, rest) = Mind::new(Settings {
            gate,
            source,
            state,
            client,
            reporter,
            origin: None,
            edge_key: None,
            forward: None,
            decisions,
            now: || SystemClock.now(),
        })?;
        follow::recall(&mind).await;
        let (mut behind, mut reporting) = (JoinSet::new(), JoinSet::new());
        behind.spawn(follow::heads(Arc::clone(&mind)));
        behind.spawn(follow::objects(Arc::clone(&mind)));
        behind.spawn(follow::sweeps(Arc::clone(&mind)));
        let (report, stopping) = (Report::to(rest.reporter), watch::Sender::new(false));
        let mut stopped = stopping.subscribe();
        reporting.spawn(Arc::clone(&report).hand_over(async move {
            // Gone is as good as said.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }));
        let (behind, reporting) = (Mutex::new(behind), Mutex::new(reporting));
        Ok(Self(Arc::new(Inner { mind, report, client: rest.client, behind, reporting, stopping })))
    }

    /// Judges a request.
    pub async fn judge<B>(&self, request: Request<B>, arrival: Arrival<'_>) -> Judged<B>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if head_bytes(&request) > HEAD_BYTES_MAX {
            return Judged::Answered(respond::head_too_long());
        }
        if arrival.accepted.is_some_and(|accepted| !leads_to(accepted, request.uri())) {
            tracing::error!("a path was rewritten after its request was accepted: nothing is let in on it");
            return Judged::Answered(respond::rewritten());
        }
        let (parts, body) = request.into_parts();
        let (head, mut body) = (Request::from_parts(parts, ()), Upload::of(body));
        let asked = Asked {
            method: head.method(),
            target: arrival.accepted.unwrap_or(head.uri()),
            headers: head.headers(),
        };
        let facts = self.facts(asked, arrival);
        if arrival.need.is_none()
            && let Some(reply) = self.0.mind.preflight(&facts)
        {
            return Judged::Answered(reply);
        }
        let page = one(head.headers(), ORIGIN.as_str()).map(str::to_owned);
        let decision = self.0.mind.decide(&facts, Question::Route, Some(&mut body)).await;
        let (grant, names, forwarding, standing) = match decision {
            Decision::Refused(refusal, standing) => {
                return self.answered(page, respond::refused(refusal, standing));
            }
            Decision::OutOfReach(standing) => return self.answered(page, respond::out_of_reach(standing)),
            Decision::Passed(forwarding, standing) => (None, None, forwarding, standing),
            Decision::Admitted(grant, names, forwarding, standing) => {
                (Some(grant), Some(names), forwarding, standing)
            }
        };
        let recheck = Recheck::new(&self.0.mind, head.method(), &facts);
        let (host, model) = (facts.host.map(str::to_owned), facts.model().map(str::to_owned));
        let mut onward = head.map(|()| body);
        clean(onward.headers_mut(), host.as_deref(), forwarding);
        onward.extensions_mut().remove::<Caller>();
        onward.extensions_mut().insert(recheck);
        if let (Some(grant), Some(names)) = (&grant, names) {
            onward.headers_mut().extend(respond::identity(grant, &names));
            onward.headers_mut().extend(model.as_deref().and_then(respond::model));
            onward.extensions_mut().insert(Caller::of(grant, *names, model));
        }
        Judged::Admitted(Box::new(onward), Exit { guard: self.clone(), page, standing, grant })
    }

    /// Who a key is (IAM K11): the answer that `GET /v1/whoami` has at an edge.
    pub async fn whoami(&self, head: &Parts, peer: Option<IpAddr>) -> Reply {
        let asked = Asked { method: &head.method, target: &head.uri, headers: &head.headers };
        let facts = self.facts(asked, Arrival { peer, ..Arrival::default() });
        match self.0.mind.decide(&facts, Question::Whoami, NO_BODY).await {
            Decision::Refused(refusal, standing) => respond::refused(refusal, standing),
            // Whoami falls under no rule, so nobody is passed on.
            Decision::OutOfReach(standing) | Decision::Passed(_, standing) => respond::out_of_reach(standing),
            Decision::Admitted(grant, names, _, standing) => respond::whoami(&grant, &names, standing),
        }
    }

    /// The gate's account of itself.
    pub fn status(&self) -> Status {
        self.0.mind.status()
    }

    /// Hands over what was used and writes what was decided, for up to 5 s, and follows what is published no more. From then
    /// on answers are asked for one by one, as in a gate that has just begun, and no decision is written.
    pub async fn close(&self) {
        self.0.behind.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        self.0.stopping.send_replace(true);
        let mut reporting =
            std::mem::take(&mut *self.0.reporting.lock().unwrap_or_else(PoisonError::into_inner));
        let settled = async {
            while reporting.join_next().await.is_some() {}
            if let Some(decisions) = self.0.mind.decisions() {
                decisions.settled().await;
            }
        };
        let _ = tokio::time::timeout(SETTLE_MAX, settled).await;
    }

    fn facts<'a>(&self, asked: Asked<'a>, arrival: Arrival<'a>) -> Facts<'a> {
        let Asked { method, target, headers } = asked;
        // A target that names a host itself outdoes the header (RFC 9112, 3.2.2).
        let named = target.authority().map(|authority| authority.as_str());
        let client = match &self.0.client {
            Client::Peer => arrival.peer.map(|peer| peer.to_canonical()),
            Client::Header(name) => address_in(headers, name),
            Client::Unknown => None,
        };
        Facts {
            method: method.as_str(),
            host: named.or_else(|| one(headers, HOST.as_str())),
            target: target.path_and_query().map_or("", |target| target.as_str()),
            client,
            headers,
            model: OnceLock::new(),
            need: arrival.need,
        }
    }

    fn answered<B>(&self, page: Option<String>, mut reply: Reply) -> Judged<B> {
        if let Some(page) = page {
            self.0.mind.share(&page, &mut reply);
        }
        Judged::Answered(reply)
    }
}

impl Exit {
    /// What the client gets for a handler's response: with the verdict's headers, and without what the handler says in
    /// their place. The request counts as used.
    pub fn leave<R>(self, response: Response<R>) -> Response<R> {
        let Self { guard, page, standing, grant } = self;
        let mut response = respond::returned(response, standing);
        if let Some(page) = page {
            guard.0.mind.share(&page, &mut response);
        }
        if let Some(grant) = grant {
            guard.0.report.record(&grant, guard.0.mind.now());
        }
        response
    }
}

impl Caller {
    fn of(grant: &Grant, names: Names, model: Option<String>) -> Self {
        Self {
            subject: grant.subject,
            project: names.project,
            project_slug: names.project_slug,
            project_name: names.project_name,
            organization: names.organization,
            organization_name: names.organization_name,
            role: grant.binding.role,
            permissions: grant.binding.permissions,
            permission: grant.permission,
            model,
        }
    }
}

/// Whether a router came from one target to the other by taking a prefix away. Anything else is another request than
/// the one that would be judged.
fn leads_to(accepted: &Uri, given: &Uri) -> bool {
    let is_rest = given.path() == "/" || accepted.path().ends_with(given.path());
    is_rest && accepted.query() == given.query()
}

/// Leaves of a request's headers what was judged.
fn clean(headers: &mut HeaderMap, host: Option<&str>, forwarding: Forwarding) {
    headers::strip(headers);
    if forwarding == Forwarding::Removed {
        headers.remove(AUTHORIZATION);
    }
    match host.and_then(|host| HeaderValue::from_str(host).ok()) {
        Some(host) => headers.insert(HOST, host),
        // Of several none was judged.
        None => headers.remove(HOST),
    };
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guard({:?})", self.status().health)
    }
}

impl fmt::Debug for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exit(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &'static str) -> Uri {
        Uri::from_static(text)
    }

    #[test]
    fn only_a_prefix_may_be_gone() {
        for (accepted, given, is_so) in [
            ("/v1/files", "/v1/admin", false),
            ("/v1/files", "/v1/files?all", false),
            ("/v1/files?all", "/v1/files", false),
            ("/v1/files", "/v2/files", false),
            ("/v1/files", "/v1/files/x", false),
            ("/v1/files?a=1", "/v1/files?a=1", true),
            ("/v1/files?a=1", "/files?a=1", true),
            ("/v1/files", "/", true),
            ("http://host/v1/files", "/files", true),
        ] {
            assert_eq!(leads_to(&uri(accepted), &uri(given)), is_so, "{accepted} {given}");
        }
    }

    #[test]
    fn handler_sees_no_host_that_was_not_judged() {
        let of = |host: Option<&str>| {
            let mut headers = HeaderMap::new();
            for host in ["a.example", "b.example"] {
                headers.append(HOST, HeaderValue::from_static(host));
            }
            headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
            headers.insert("latchkey-key", HeaderValue::from_static("x"));
            clean(&mut headers, host, Forwarding::Removed);
            headers
        };
        assert!(of(None).is_empty());
        let judged = of(Some("c.example"));
        assert_eq!((judged.len(), &judged[HOST]), (1, &HeaderValue::from_static("c.example")));
    }
}
