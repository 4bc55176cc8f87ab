//! The calls to the hub, a Durable Object in a script of its own.

use serde::{Deserialize, Serialize};
use worker::{Env, Result};

/// The binding's name in wrangler.toml.
const BINDING: &str = "HUB";
/// There is one hub; relays and shards would be further names.
const NAME: &str = "hub";

/// What the hub says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HubStatus {
    /// The hub script's version.
    pub(crate) version: String,
    /// How often it was asked, this time included; it is kept in its storage.
    pub(crate) asked: u32,
}

/// Asks the hub how it is.
///
/// # Errors
/// The binding is missing, the call failed, or the answer is not the hub's.
pub(crate) async fn status(env: &Env) -> Result<HubStatus> {
    let hub = env.durable_object(BINDING)?.get_by_name(NAME)?;
    let mut response = hub.fetch_with_str("https://hub/status").await?;
    response.json().await
}
