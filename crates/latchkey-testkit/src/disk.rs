//! A disk in memory that loses power: what was not synced is gone, or part of it is.

use latchkey_control::store::Disk;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// The disk; clones are the same disk.
#[derive(Clone, Default)]
pub struct ForgetfulDisk {
    content: Arc<Mutex<Content>>,
    refuses_syncs: Arc<AtomicBool>,
}

#[derive(Default)]
struct Content {
    durable: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<Operation>,
}

enum Operation {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl ForgetfulDisk {
    /// A disk that holds these bytes, all of them durable.
    pub fn of(bytes: Vec<u8>) -> Self {
        let content = Content { durable: bytes.clone(), current: bytes, unsynced: Vec::new() };
        Self { content: Arc::new(Mutex::new(content)), refuses_syncs: Arc::default() }
    }

    /// The disk as it is after the power came back. Of the operations since the last sync, those survive for
    /// which `survives` says so, asked in their order.
    pub fn after_power_loss(&self, mut survives: impl FnMut() -> bool) -> Self {
        let content = self.content();
        let mut bytes = content.durable.clone();
        for operation in content.unsynced.iter().filter(|_| survives()) {
            operation.apply(&mut bytes);
        }
        Self::of(bytes)
    }

    /// From now on no sync succeeds.
    pub fn refuse_syncs(&self) {
        self.refuses_syncs.store(true, Ordering::SeqCst);
    }

    /// Every byte that a thief of the disk would get.
    pub fn bytes(&self) -> Vec<u8> {
        self.content().current.clone()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().expect("no test panics while it holds the disk")
    }

    fn operate(&self, operation: Operation) {
        let mut content = self.content();
        operation.apply(&mut content.current);
        content.unsynced.push(operation);
    }
}

impl Operation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => bytes.resize(*len, 0),
            Self::Write(offset, data) => {
                let end = offset + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(data);
            }
        }
    }
}

impl Disk for ForgetfulDisk {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.content().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let content = self.content();
        let start = offset as usize;
        let source = content.current.get(start..start + out.len());
        out.copy_from_slice(source.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.operate(Operation::SetLen(len_bytes as usize));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.operate(Operation::Write(offset as usize, data.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if self.refuses_syncs.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk refuses to sync"));
        }
        let mut content = self.content();
        let Content { durable, unsynced, .. } = &mut *content;
        unsynced.drain(..).for_each(|operation| operation.apply(durable));
        Ok(())
    }
}

impl std::fmt::Debug for ForgetfulDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ForgetfulDisk")
    }
}
