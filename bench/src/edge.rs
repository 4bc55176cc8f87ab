//! A gate that holds a whole edition.

use crate::installation::Signers;
use crate::world::{self, NOW};
use anyhow::{Context, Result, anyhow, ensure};
use latchkey_gate::{Floor, Gate, GateConfig};
use latchkey_snapshot::ObjectDigest;
use latchkey_snapshot::build::{Built, Object};
use std::collections::HashMap;
use std::sync::Arc;

/// The bytes of published objects.
#[derive(Default)]
pub(crate) struct Depot(HashMap<ObjectDigest, Arc<[u8]>>);

impl Depot {
    /// Takes in what an edition consists of; returns what is new.
    pub(crate) fn add<'a>(&mut self, built: &'a Built) -> Vec<&'a Object> {
        let all = std::iter::once(&built.manifest).chain(&built.objects);
        all.filter(|object| self.0.insert(object.reference.digest(), Arc::clone(&object.bytes)).is_none())
            .collect()
    }
}

/// A gate that has taken in all that `head` leads to.
pub(crate) fn filled(signers: &Signers, head: &[u8], depot: &Depot) -> Result<Gate> {
    let config = GateConfig {
        root: signers.root()?,
        peppers: vec![world::pepper()],
        mint: world::mint(),
        floor: Floor::default(),
        memory_bytes_max: latchkey_gate::MEMORY_BYTES_DEFAULT,
        seed: 1,
    };
    let mut gate = Gate::new(config).map_err(|error| anyhow!("{error}"))?;
    gate.accept_head(head, NOW).map_err(|error| anyhow!("{error:?}"))?;
    loop {
        let wanted = gate.wanted(64);
        if wanted.is_empty() {
            break;
        }
        for wanted in wanted {
            let bytes = depot.0.get(&wanted.reference().digest()).context("an object is missing")?;
            gate.accept_object(&wanted, bytes, NOW).map_err(|error| anyhow!("{error:?}"))?;
        }
    }
    ensure!(gate.status(NOW).generation.is_some(), "the gate did not adopt the manifest");
    Ok(gate)
}
