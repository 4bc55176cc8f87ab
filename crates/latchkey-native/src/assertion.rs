//! The identity assertion (docs/spec/assertion.md): signed here; what it says is the gate's [`latchkey_gate::assertion`].

use crate::mind::Mind;
use crate::settings::Origin;
use ed25519_dalek::{Signer as _, SigningKey};
use hyper::header::HeaderValue;
use latchkey_gate::Grant;
pub(crate) use latchkey_gate::assertion::HEADER;
use latchkey_gate::assertion::{Assertions, caller};
use latchkey_gate::bodies::Names;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// The secret half of an edge key.
pub struct EdgeKey(SigningKey);

impl EdgeKey {
    /// The key that follows from 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }
}

impl fmt::Debug for EdgeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EdgeKey(..)")
    }
}

/// Tells one origin who calls.
pub(crate) struct Asserter {
    key: EdgeKey,
    public: [u8; 32],
    issuer: String,
    origin: String,
    made: Mutex<Assertions>,
}

/// The manifest does not name the key, or not for this moment.
#[derive(Debug)]
pub(crate) struct NotNamed;

impl Asserter {
    pub(crate) fn new(key: EdgeKey, issuer: String, origin: &Origin) -> Self {
        let public = key.0.verifying_key().to_bytes();
        let origin = format!("{}://{}", origin.scheme, origin.authority);
        Self { key, public, issuer, origin, made: Mutex::default() }
    }

    /// What is said of a caller.
    ///
    /// # Errors
    /// [`NotNamed`].
    pub(crate) fn of(&self, mind: &Mind, grant: &Grant, names: &Names) -> Result<HeaderValue, NotNamed> {
        let moment = mind.now().seconds();
        if !mind.names_edge_key(&self.public, moment) {
            return Err(NotNamed);
        }
        let said = caller(&self.issuer, &self.origin, grant, names.project, names.organization);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match made.of(said, &self.public, moment) {
            Ok(text) => text,
            Err(draft) => {
                let signature = self.key.0.sign(draft.to_sign()).to_bytes();
                made.signed(draft, &signature)
            }
        };
        // It is in the alphabet of base 64 for URLs, with dots.
        HeaderValue::try_from(text).map_err(|_| NotNamed)
    }
}
