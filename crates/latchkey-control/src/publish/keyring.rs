//! The keys in force: every root, the signers that are held, what the manifest names, the pepper.
//!
//! Whoever runs the publisher hands in a [`Keyrings`] and may replace what is in it at any time. A [`Keyring`] is
//! checked as a whole when it is made, and once more against the one before it by [`Keyring::succeed`].

use latchkey_core::{Pepper, UnixSeconds};
use latchkey_snapshot::build::Signer;
use latchkey_snapshot::manifest::TokenKey;
use latchkey_snapshot::root::{KeyRole, RootKey};
use latchkey_snapshot::signature::SIGNATURES_MAX;
use latchkey_snapshot::{Root, RootError};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// Where the keyring in force is looked up, and where its replacement is noticed.
pub type Keyrings = watch::Receiver<Arc<Keyring>>;

/// How long before its end a key is warned about: 30 days.
pub const WARN_BEFORE_SECS: u64 = 30 * 86_400;

/// What a keyring is made of.
pub struct Keys {
    /// Every root, version 1 first. The last one is in force.
    pub roots: Vec<Vec<u8>>,
    /// Keys that sign statements.
    pub release: Vec<Signer>,
    /// Keys that sign heads.
    pub head: Vec<Signer>,
    /// Public keys of session tokens.
    pub session_keys: Vec<TokenKey>,
    /// Public keys of assertions to origins.
    pub edge_keys: Vec<TokenKey>,
    /// What every tag is under.
    pub pepper: Pepper,
}

/// Keys that belong together. It shows nothing of its secrets.
pub struct Keyring {
    keys: Keys,
    /// The next pepper, or the last one, while it is rotated.
    other_pepper: Option<Pepper>,
    roots: Vec<Root>,
    newest: Root,
}

/// Why keys are no keyring, or not one that may follow the one in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyringError {
    /// There is no root.
    NoRoot,
    /// A root does not follow the one before it.
    Root {
        /// Its version.
        version: u32,
        /// What is wrong with it.
        error: RootError,
    },
    /// A signer is held that the newest root does not name for its role.
    NotNamed {
        /// What it was held for.
        role: KeyRole,
        /// Its public key.
        public: PublicHex,
        /// The newest root's version.
        version: u32,
    },
    /// A signer is held twice.
    Twice(PublicHex),
    /// Fewer signers are held than must sign.
    TooFew(TooFewSigners),
    /// It is under a pepper that was never announced as the next: no edge would hold it.
    Pepper,
    /// It lacks a root that the keyring in force has, or has another one in its place.
    RootsGoBack {
        /// The version of the root that is missing or another.
        version: u32,
    },
}

/// A public key, shown as 64 hexadecimal characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicHex(pub [u8; 32]);

/// Fewer signers of a role are held and valid than the root wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFewSigners {
    /// The role.
    pub role: KeyRole,
    /// How many are held that may sign now.
    pub held: usize,
    /// How many must sign.
    pub threshold: u8,
    /// Under which root.
    pub root_version: u32,
}

/// A key that is used, and soon will not be believed any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndingKey {
    /// `offline`, `release`, `head`, `session` or `edge`.
    pub role: &'static str,
    /// Its public key.
    pub public: PublicHex,
    /// Until when what it signs is believed.
    pub not_after: UnixSeconds,
}

impl Keyring {
    /// The keyring of these keys, if they belong together.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn new(keys: Keys) -> Result<Self, KeyringError> {
        let roots = parse(&keys.roots)?;
        let newest = roots.last().cloned().ok_or(KeyringError::NoRoot)?;
        let keyring = Self { keys, other_pepper: None, roots, newest };
        for role in [KeyRole::Release, KeyRole::Head] {
            keyring.check_named(role)?;
            let held = keyring.held(role).len();
            if held < usize::from(keyring.newest.threshold(role)) {
                return Err(KeyringError::TooFew(keyring.too_few(role, held)));
            }
        }
        Ok(keyring)
    }

    /// The same keyring while the pepper is rotated: nothing is published under the other one, the next or the last,
    /// but refusals ride under it as well.
    #[must_use]
    pub fn with_other_pepper(self, other: Pepper) -> Self {
        Self { other_pepper: Some(other), ..self }
    }

    /// `next`, if it may take the place of this one: it has all the roots that this one has, and its pepper is this one's,
    /// or one that stands beside it.
    ///
    /// # Errors
    /// [`KeyringError::RootsGoBack`] and [`KeyringError::Pepper`].
    pub fn succeed(&self, next: Self) -> Result<Self, KeyringError> {
        let is_known = |keyring: &Self, pepper: &Pepper| {
            keyring.peppers().into_iter().any(|held| held.id() == pepper.id())
        };
        if !is_known(self, next.pepper()) && !is_known(&next, self.pepper()) {
            return Err(KeyringError::Pepper);
        }
        for (version, held) in (1u32..).zip(&self.keys.roots) {
            let index = usize::try_from(version - 1).unwrap_or(usize::MAX);
            if next.keys.roots.get(index) != Some(held) {
                return Err(KeyringError::RootsGoBack { version });
            }
        }
        Ok(next)
    }

    /// Whether this is the same keyring as another.
    pub fn is_same(&self, other: &Self) -> bool {
        let publics = |signers: &[Signer]| -> Vec<_> { signers.iter().map(Signer::public).collect() };
        let tokens = |keys: &[TokenKey]| -> Vec<_> {
            keys.iter().map(|key| (key.public, key.not_before, key.not_after)).collect()
        };
        let other_pepper = other.other_pepper.as_ref().map(Pepper::id);
        let (one, other) = (&self.keys, &other.keys);
        one.roots == other.roots
            && publics(&one.release) == publics(&other.release)
            && publics(&one.head) == publics(&other.head)
            && tokens(&one.session_keys) == tokens(&other.session_keys)
            && tokens(&one.edge_keys) == tokens(&other.edge_keys)
            && one.pepper.id() == other.pepper.id()
            && self.other_pepper.as_ref().map(Pepper::id) == other_pepper
    }

    /// A place for this keyring that never changes.
    pub fn fixed(self) -> Keyrings {
        watch::Sender::new(Arc::new(self)).subscribe()
    }

    /// Every root's bytes, version 1 first.
    pub fn roots(&self) -> &[Vec<u8>] {
        &self.keys.roots
    }

    /// The root in force.
    pub const fn root(&self) -> &Root {
        &self.newest
    }

    /// The root of this version.
    pub fn root_of(&self, version: u32) -> Option<&Root> {
        self.roots.get(usize::try_from(version.checked_sub(1)?).ok()?)
    }

    /// Public keys of session tokens.
    pub fn session_keys(&self) -> &[TokenKey] {
        &self.keys.session_keys
    }

    /// Public keys of assertions to origins.
    pub fn edge_keys(&self) -> &[TokenKey] {
        &self.keys.edge_keys
    }

    /// What every tag is under.
    pub const fn pepper(&self) -> &Pepper {
        &self.keys.pepper
    }

    /// The pepper, and the other one while it is rotated.
    pub fn peppers(&self) -> Vec<&Pepper> {
        std::iter::once(&self.keys.pepper).chain(&self.other_pepper).collect()
    }

    /// Every held signer of the role that the root in force believes at `at`, as many as an object takes.
    ///
    /// # Errors
    /// [`TooFewSigners`]; nothing may be signed then.
    pub fn signers(&self, role: KeyRole, at: UnixSeconds) -> Result<Vec<&Signer>, TooFewSigners> {
        let is_valid = |key: &&RootKey| key.not_before <= at && at <= key.not_after;
        let valid: Vec<&Signer> = self
            .held(role)
            .iter()
            .filter(|signer| self.named(role, signer).as_ref().is_some_and(is_valid))
            .take(SIGNATURES_MAX)
            .collect();
        match valid.len() >= usize::from(self.newest.threshold(role)) {
            true => Ok(valid),
            false => Err(self.too_few(role, valid.len())),
        }
    }

    /// Keys that are used and are not believed any more 30 days after `now`, those of session tokens included.
    pub fn ending(&self, now: UnixSeconds) -> Vec<EndingKey> {
        let soon = now.plus_secs(WARN_BEFORE_SECS);
        let named = self.newest.keys().iter().filter(|key| {
            key.role == KeyRole::Offline || self.held(key.role).iter().any(|held| held.public() == key.public)
        });
        let named = named.map(|key| (role_name(key.role), key.public, key.not_after));
        let session = self.keys.session_keys.iter().map(|key| ("session", key.public, key.not_after));
        let edge = self.keys.edge_keys.iter().map(|key| ("edge", key.public, key.not_after));
        named
            .chain(session)
            .chain(edge)
            .filter(|(_, _, not_after)| *not_after <= soon)
            .map(|(role, public, not_after)| EndingKey {
                role,
                public: PublicHex(public.to_bytes()),
                not_after,
            })
            .collect()
    }

    fn held(&self, role: KeyRole) -> &[Signer] {
        match role {
            KeyRole::Release => &self.keys.release,
            KeyRole::Head => &self.keys.head,
            KeyRole::Offline => &[],
        }
    }

    fn named(&self, role: KeyRole, signer: &Signer) -> Option<&RootKey> {
        let public = signer.public();
        self.newest.keys().iter().find(|key| key.role == role && key.public == public)
    }

    fn check_named(&self, role: KeyRole) -> Result<(), KeyringError> {
        let held = self.held(role);
        for (index, signer) in held.iter().enumerate() {
            let public = PublicHex(signer.public().to_bytes());
            if self.named(role, signer).is_none() {
                return Err(KeyringError::NotNamed { role, public, version: self.newest.version() });
            }
            if held[..index].iter().any(|before| before.public() == signer.public()) {
                return Err(KeyringError::Twice(public));
            }
        }
        Ok(())
    }

    fn too_few(&self, role: KeyRole, held: usize) -> TooFewSigners {
        TooFewSigners {
            role,
            held,
            threshold: self.newest.threshold(role),
            root_version: self.newest.version(),
        }
    }
}

/// The roots, each verified as an edge would that was deployed with the first.
fn parse(list: &[Vec<u8>]) -> Result<Vec<Root>, KeyringError> {
    let mut roots: Vec<Root> = Vec::with_capacity(list.len());
    for (version, bytes) in (1u32..).zip(list) {
        let root = match roots.last() {
            None => Root::pinned(bytes),
            Some(before) => before.successor(bytes),
        };
        let root = root.map_err(|error| KeyringError::Root { version, error })?;
        if root.version() != version {
            let error = RootError::Version { got: root.version(), expected: version };
            return Err(KeyringError::Root { version, error });
        }
        roots.push(root);
    }
    Ok(roots)
}

/// Returns when the keyring was replaced; never, if nobody is left who could.
pub(super) async fn replaced(keyring: &mut Keyrings) {
    if keyring.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What people call a role.
pub const fn role_name(role: KeyRole) -> &'static str {
    match role {
        KeyRole::Offline => "offline",
        KeyRole::Release => "release",
        KeyRole::Head => "head",
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring(root {})", self.newest.version())
    }
}

impl fmt::Display for PublicHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for TooFewSigners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, held, threshold, root_version } = self;
        let role = role_name(*role);
        write!(
            f,
            "root {root_version} wants {threshold} {role} keys to sign, and {held} are held that may: nothing is signed"
        )
    }
}

impl std::error::Error for TooFewSigners {}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoot => f.write_str("there is no root"),
            Self::Root { version, error } => write!(f, "root {version} is refused: {error}"),
            Self::NotNamed { role, public, version } => {
                write!(f, "root {version} does not name {public} as a {} key", role_name(*role))
            }
            Self::Twice(public) => write!(f, "the key {public} is held twice"),
            Self::TooFew(error) => error.fmt(f),
            Self::Pepper => f.write_str(
                "the pepper is another one, and neither it nor the one in force stands beside the other: `latchkey signer pepper`",
            ),
            Self::RootsGoBack { version } => {
                write!(f, "root {version} was in force, and is gone or another one now")
            }
        }
    }
}

impl std::error::Error for KeyringError {}

impl fmt::Display for EndingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} key {} ends at {} (Unix seconds)", self.role, self.public, self.not_after.0)
    }
}

#[cfg(test)]
mod tests;
