//! Workers KV, where the operator has bound one: a place from which edges read immutable objects. What is not there
//! they read from the hub, so a write that fails costs that and nothing else. Heads never go there.

use latchkey_push::Target;
use latchkey_snapshot::ObjectDigest;
use worker::kv::KvStore;
use worker::{Env, State, console_warn};

/// The binding's name in wrangler.toml.
const BINDING: &str = "LATCHKEY_KV";

/// The namespace, if one is bound.
pub(crate) struct Kv(Option<KvStore>);

impl Kv {
    pub(crate) fn new(env: &Env) -> Self {
        Self(env.kv(BINDING).ok())
    }

    /// Writes an object, behind whatever is answered now.
    pub(crate) fn put(&self, state: &State, digest: &ObjectDigest, bytes: &[u8]) {
        let Some(Ok(put)) = self.0.as_ref().map(|store| store.put_bytes(&key(digest), bytes)) else { return };
        state.wait_until(async move {
            if let Err(error) = put.execute().await {
                console_warn!("an object was not written to KV: {error}");
            }
        });
    }

    /// Deletes an object, behind whatever is answered now.
    pub(crate) fn delete(&self, state: &State, digest: &ObjectDigest) {
        let Some(store) = self.0.clone() else { return };
        let key = key(digest);
        state.wait_until(async move {
            if let Err(error) = store.delete(&key).await {
                console_warn!("an object was not deleted from KV: {error}");
            }
        });
    }
}

fn key(digest: &ObjectDigest) -> String {
    Target::Object(*digest).to_string()
}
