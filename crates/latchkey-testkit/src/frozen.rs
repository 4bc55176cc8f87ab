//! A stage put away, to be set up again exactly as it was, any number of times and in no time.

use crate::disk::ForgetfulDisk;
use crate::outside::{ManualClock, SeededSeeds};
use crate::stage::{Stage, StageConfig};
use latchkey_control::outside::Clock;
use latchkey_control::store::Store;
use latchkey_core::UnixMillis;
use std::sync::Arc;

/// What randomness begins with on a stage that was set up again, unless its configuration says more.
const SEED_AGAIN: u64 = 1 << 32;

/// A stage as it was when it was put away: its state, its moment, its operator.
#[derive(Clone)]
pub struct FrozenStage {
    bytes: Arc<Vec<u8>>,
    now: UnixMillis,
    operator_token: String,
}

impl FrozenStage {
    /// Sets a stage, lets `build` furnish it, and puts it away with what `build` returns. Actors must not
    /// outlive it: they hold the control plane.
    pub async fn build<R>(config: StageConfig, build: impl AsyncFnOnce(&Stage) -> R) -> (Self, R) {
        let disk = ForgetfulDisk::default();
        let clock = ManualClock::default();
        let seeds = Arc::new(SeededSeeds::new(config.seed));
        let store = Store::open_on(disk.clone(), Arc::new(clock.clone()), seeds).expect("the disk is empty");
        let stage = Stage::on(store, clock.clone(), config).await;
        let built = build(&stage).await;
        let operator_token = stage.operator().token().to_owned();
        let control = Arc::downgrade(&stage.control);
        drop(stage);
        assert!(control.upgrade().is_none(), "an actor still holds the control plane");
        (Self { bytes: Arc::new(disk.bytes()), now: clock.now(), operator_token }, built)
    }

    /// The stage as it was. Every one that is set up from here makes the same ids of the same calls.
    pub fn set(&self, config: StageConfig) -> Stage {
        let clock = ManualClock::at(self.now);
        let seeds = Arc::new(SeededSeeds::new(SEED_AGAIN + config.seed));
        let disk = ForgetfulDisk::of((*self.bytes).clone());
        let store = Store::open_on(disk, Arc::new(clock.clone()), seeds).expect("it was closed in order");
        Stage::with_operator(store, clock, config, self.operator_token.clone())
    }
}

impl std::fmt::Debug for FrozenStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrozenStage(..)")
    }
}
