//! Any script of pushes to a hub. Its head names nothing that it does not hold, and no order goes back.

#![no_main]

use latchkey_fuzz::hub::{Hub, World};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static WORLD: LazyLock<World> = LazyLock::new(World::new);

/// Pushes of a script at most.
const STEPS_MAX: usize = 200;

fuzz_target!(|script: &[u8]| {
    let mut hub = Hub::new(&WORLD);
    for step in script.as_chunks::<3>().0.iter().take(STEPS_MAX) {
        hub.step(*step);
    }
});
