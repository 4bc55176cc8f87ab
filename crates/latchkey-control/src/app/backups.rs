//! A copy of the whole state, for the operator alone; the log says who took one.

use super::ask::{Ask, Asker};
use super::error::AppError;
use super::{Answered, Control};
use crate::iam::{Demand, OperatorAct};
use crate::store::backup::BackupSeal;
use crate::store::{ReadView, Write};
use latchkey_core::UnixMillis;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a backup is written from: see [`crate::store::backup::write`].
pub struct BackupSource {
    /// The state.
    pub view: ReadView,
    /// The moment.
    pub made_at: UnixMillis,
    /// What it is sealed with.
    pub seal: BackupSeal,
    /// One backup at a time: a state that is being read keeps its place on the disk.
    _slot: OwnedSemaphorePermit,
}

/// Who may make the next backup.
#[derive(Debug, Clone)]
pub(super) struct BackupSlot(Arc<Semaphore>);

impl Default for BackupSlot {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// The state to copy, the entry about the copy included. Waits while another one is made.
///
/// # Errors
/// [`AppError`].
pub async fn begin(control: &Control, asker: &Asker) -> Result<BackupSource, AppError> {
    control.read(asker, |ask| ask.permit(Demand::Operator(OperatorAct::Backup)).map(drop))?;
    let slot = Arc::clone(&control.backup_slot.0).acquire_owned().await;
    let slot = slot.map_err(|_| crate::store::StoreError::Closed)?;
    let decide = |ask: &Ask, _: &mut _| {
        let permit = ask.permit(Demand::Operator(OperatorAct::Backup))?;
        let entry = ask.entry(&permit, "backups.create", ("installation", String::new()));
        Ok(Write::new(entry, ()))
    };
    match control.write(asker, decide).await? {
        Answered::Done(..) | Answered::Replayed(..) | Answered::Rehearsed(..) => {}
    }
    let seal = BackupSeal::of(control.audit());
    Ok(BackupSource { view: control.store().read()?, made_at: control.clock().now(), seal, _slot: slot })
}
