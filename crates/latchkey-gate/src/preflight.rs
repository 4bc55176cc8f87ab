//! What a browser asks before it lets a page of another origin call (the Fetch standard's CORS preflight).
//!
//! A preflight has no credential, so its answer follows from the rules alone and tells nothing of any project.

use crate::gate::Gate;
use crate::request::Request;
use latchkey_core::UnixMillis;
use latchkey_snapshot::Cors;

/// A preflight: an `OPTIONS` request with both of these headers, each once.
#[derive(Clone, Copy, Debug)]
pub struct PreflightRequest<'a> {
    /// The header `Origin`.
    pub origin: &'a str,
    /// The header `Access-Control-Request-Method`.
    pub method: &'a str,
}

/// What a browser is told.
#[derive(Clone, Copy, Debug)]
pub enum Preflight<'a> {
    /// Pages of the origin may send such a request; whether its credential is good is seen then.
    Allowed(&'a Cors),
    /// They may not.
    Refused,
}

impl Gate {
    /// Answers a preflight; `None` where it is not the gate's to answer: no page may call here at all, the path has a
    /// rule for `OPTIONS` itself or none for the method that is meant, or the rules cannot be believed now.
    pub fn preflight(
        &self,
        request: &Request<'_>,
        asked: PreflightRequest<'_>,
        now: UnixMillis,
    ) -> Option<Preflight<'_>> {
        let now = self.clock.tick(now);
        let serving = self.serving.as_ref().filter(|serving| serving.quarantined.is_none())?;
        let cors = serving.routes.cors().filter(|_| self.is_within_grace(serving, now))?;
        let meant = Request { method: asked.method, ..*request };
        if request.method != "OPTIONS" || Self::find_route(serving, request).is_ok() {
            return None;
        }
        Self::find_route(serving, &meant).ok()?;
        Some(if cors.allows(asked.origin) { Preflight::Allowed(cors) } else { Preflight::Refused })
    }

    /// What a page of this origin may read of an answer, if it may read it.
    pub fn cors(&self, origin: &str) -> Option<&Cors> {
        let serving = self.serving.as_ref()?;
        serving.routes.cors().filter(|cors| cors.allows(origin))
    }
}
