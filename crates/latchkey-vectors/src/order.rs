//! Vectors of the order of heads: which of two stays.

use serde_json::{Value, json};

pub(crate) fn vectors() -> Value {
    let held = (2, "7", "1000");
    let cases = [
        ("an older root loses to all", (1, "9", "9000"), "other", "stays"),
        ("an older generation loses to a younger head", (2, "6", "9000"), "other", "stays"),
        ("an older head loses", (2, "7", "999"), "other", "stays"),
        ("the very same head", held, "same", "stays"),
        ("another head of the same rank", held, "other", "stays and is reported"),
        ("a younger head wins", (2, "7", "1001"), "other", "replaced"),
        ("a newer generation wins over as of", (2, "8", "1"), "other", "replaced"),
        ("a newer root wins over both", (3, "1", "1"), "other", "replaced"),
        ("numbers are compared, not their texts", (2, "10", "1"), "other", "replaced"),
    ];
    let rank = |(root_version, generation, as_of): (u32, &str, &str)| json!({ "root_version": root_version, "generation": generation, "as_of": as_of });
    let cases: Vec<Value> = cases
        .into_iter()
        .map(|(name, came, bytes, held_one)| {
            json!({ "name": name, "held": rank(held), "came": rank(came), "bytes": bytes, "held_one": held_one })
        })
        .collect();
    json!({ "about": "what becomes of the held head when another verified one comes", "cases": cases })
}
