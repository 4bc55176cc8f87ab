//! The service that the layer makes.

use crate::layer::Needs;
use http_body_util::Either;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Bytes};
use hyper::{Request, Response, Uri};
use latchkey_native::{Arrival, Guard, Judged, Upload};
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower::Service;

/// A service with a guard around it.
#[derive(Clone)]
pub struct Guarded<S> {
    pub(crate) inner: S,
    pub(crate) guard: Guard,
    pub(crate) needs: Option<Needs>,
}

/// An answer: the guard's own, or the service's.
type Answer<R> = Response<Either<BoxBody<Bytes, hyper::Error>, R>>;

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<Upload<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    type Response = Answer<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that is ready goes along; the next call asks its copy.
        let copy = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, copy);
        let (guard, needs) = (self.guard.clone(), self.needs.clone());
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let need = needs.map(|needs| needs(&parts));
            let (accepted, peer) = (accepted(&parts.extensions), peer(&parts.extensions));
            let arrival = Arrival { accepted: accepted.as_ref(), peer, need: need.as_ref() };
            match guard.judge(Request::from_parts(parts, body), arrival).await {
                Judged::Answered(reply) => Ok(reply.map(Either::Left)),
                Judged::Admitted(request, exit) => {
                    Ok(exit.leave(inner.call(*request).await?).map(Either::Right))
                }
            }
        })
    }
}

/// The target before a router took a prefix away.
#[cfg(feature = "axum")]
fn accepted(extensions: &hyper::http::Extensions) -> Option<Uri> {
    extensions.get::<axum::extract::OriginalUri>().map(|original| original.0.clone())
}

#[cfg(not(feature = "axum"))]
const fn accepted(_: &hyper::http::Extensions) -> Option<Uri> {
    None
}

/// The connection's other side, where the application serves with it.
#[cfg(feature = "axum")]
fn peer(extensions: &hyper::http::Extensions) -> Option<IpAddr> {
    let peer = extensions.get::<axum::extract::ConnectInfo<std::net::SocketAddr>>();
    peer.map(|peer| peer.0.ip())
}

#[cfg(not(feature = "axum"))]
const fn peer(_: &hyper::http::Extensions) -> Option<IpAddr> {
    None
}

impl<S> fmt::Debug for Guarded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guarded({:?})", self.guard)
    }
}
