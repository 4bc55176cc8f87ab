//! Built objects into the directory sink, as the publisher hands them over: some at a time, each synced, then the head.

use crate::installation::Signers;
use crate::world::NOW;
use anyhow::{Context, Result, anyhow};
use latchkey_control::publish::{DirectorySink, Named, Schedule, Sink};
use latchkey_snapshot::ObjectRef;
use latchkey_snapshot::build::Object;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Uploads at the same time, as in the publisher.
const UPLOADS_MAX: usize = 8;
const STATEMENT: &str = "statement";

/// Moves the objects in `objects` into the sink at `published`, and puts a head over them there.
pub(super) fn publish(signers: &Signers, manifest: &Object, objects: &Path, published: &Path) -> Result<()> {
    let (keyring, _) = signers.settings(Schedule::default())?;
    let sink = Arc::new(DirectorySink::open(published, keyring.subscribe(), u64::MAX)?);
    let statement = signers.statement(manifest, 1)?;
    fs::write(published.join(STATEMENT), &statement)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        sink.put_root(1, &signers.root()?).await?;
        let mut named = vec![Object { bytes: Arc::default(), ..manifest.clone() }];
        let mut running = JoinSet::new();
        for entry in fs::read_dir(objects)? {
            if running.len() == UPLOADS_MAX {
                named.push(running.join_next().await.context("no upload")???);
            }
            running.spawn(upload(sink.clone(), entry?.path()));
        }
        while let Some(done) = running.join_next().await {
            named.push(done??);
        }
        let head = signers.head(&statement, NOW, &[])?;
        sink.put_head(&head, &Named::of(vec![named.into()])).await?;
        Ok(())
    })
}

/// Hands one over and forgets its bytes, here and where they were.
async fn upload(sink: Arc<DirectorySink>, path: std::path::PathBuf) -> Result<Object> {
    let bytes = tokio::fs::read(&path).await?;
    let object = Object { reference: ObjectRef::to(&bytes), bytes: bytes.into() };
    sink.put_object(&object).await?;
    tokio::fs::remove_file(&path).await?;
    Ok(Object { bytes: Arc::default(), ..object })
}

/// The statement of the head that was published there.
pub(super) fn statement(published: &Path) -> Result<Vec<u8>> {
    fs::read(published.join(STATEMENT)).map_err(|error| anyhow!("no statement there: {error}"))
}
