//! The sockets: connections up to a number, each with bounds on how long it may take.

use super::bounds::Bounds;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

/// How long to wait where no connection can be taken, most likely since the process has no file left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves until `stop` is over, and then the requests that run.
pub async fn serve(listener: TcpListener, router: Router, bounds: &Bounds, stop: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(bounds.connections_max));
    let running = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let (slot, stream, address) = tokio::select! {
            connection = next(&listener, &slots) => connection,
            () = &mut stop => break,
        };
        let router = router.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(address));
            router.clone().oneshot(request)
        });
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(bounds.answer_write));
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(bounds.head_read);
        let connection = server.serve_connection(TokioIo::new(Box::pin(stream)), service);
        let connection = running.watch(connection);
        tokio::spawn(async move {
            // A connection that ends badly is its client's affair.
            let _ = connection.await;
            drop(slot);
        });
    }
    drop(listener);
    running.shutdown().await;
}

/// The next connection, once there is room for one.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, TcpStream, SocketAddr) {
    // The semaphore is never closed.
    let slot = slots.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (slot, stream, address),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Around every request: it is over after so long.
pub(super) async fn bound(State(longest): State<Duration>, request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(longest, next.run(request)).await;
    answered.unwrap_or_else(|_| super::error::Refusal::TimedOut.into_response())
}
