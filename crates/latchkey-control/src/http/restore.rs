//! `/v1/operator/backup` and `/v1/operator/restore…`

use super::auth::By;
use super::body::Json;
use super::params::Asked;
use super::reply::{Outcome, bytes, changed, shown};
use crate::app::backups::{self, BackupSource};
use crate::app::{Control, restore};
use crate::store::backup;
use axum::body::{Body, Bytes};
use axum::extract::State;
use hyper::body::Frame;
use latchkey_api::{ConfirmRestore, HeldQuery};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// The media type of a backup.
pub(super) const BACKUP: &str = "application/octet-stream";
/// Bytes that go to the client at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait for the client.
const CHUNKS_WAITING_MAX: usize = 4;

type Controlled = State<Arc<Control>>;

pub(super) async fn make_backup(State(control): Controlled, By(asker): By) -> Outcome {
    bytes(BACKUP, backups::begin(&control, &asker).await.map(streamed))
}

pub(super) async fn list(
    State(control): Controlled,
    By(asker): By,
    Asked(query): Asked<HeldQuery>,
) -> Outcome {
    shown(control.read(&asker, |ask| restore::list(ask, &query)))
}

pub(super) async fn confirm(
    State(control): Controlled,
    By(asker): By,
    Json(body): Json<ConfirmRestore>,
) -> Outcome {
    changed(&control, control.write(&asker, move |ask, _| restore::confirm(ask, &body)).await)
}

/// The backup as a body that is made while it is taken.
fn streamed(source: BackupSource) -> Body {
    let (send, receive) = mpsc::channel(CHUNKS_WAITING_MAX);
    tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(CHUNK_BYTES, Pipe(send.clone()));
        if let Err(error) = backup::write(&source.view, source.made_at, &source.seal, &mut out) {
            tracing::warn!(%error, "a backup was cut off");
            // The connection breaks off, so nobody takes it for whole.
            let _ = send.blocking_send(Err(io::Error::from(ErrorKind::BrokenPipe)));
        }
    });
    Body::new(Streamed(receive))
}

/// Where the backup is written to; the client's going away ends it.
struct Pipe(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::from(ErrorKind::BrokenPipe)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Streamed(mpsc::Receiver<io::Result<Bytes>>);

impl hyper::body::Body for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}
