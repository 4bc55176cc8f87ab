//! An S3-compatible store: `objects/<hex>`, `roots/<n>` and `head` under a prefix, as in a directory.
//!
//! Objects never change, so they are put as they come. The head is put only in place of the one that was seen
//! (`If-Match`), so of two publishers one is refused, and it never goes back. A store that takes a conditional put
//! whose condition does not hold is found out before the first head, and gets none.

use super::directory::{HEAD, OBJECTS, ROOTS};
use super::{Answer, Held, Named, Sink, SinkError, Told};
use crate::publish::Keyrings;
use crate::publish::source::{Source, SourceError};
use ::object_store::aws::AmazonS3Builder;
use ::object_store::path::Path;
use ::object_store::{
    BackoffConfig, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    RetryConfig, UpdateVersion,
};
use futures_util::TryStreamExt;
use latchkey_core::UnixMillis;
use latchkey_snapshot::build::Object;
use latchkey_snapshot::head::HEAD_LEN_MAX;
use latchkey_snapshot::root::ROOT_LEN_MAX;
use latchkey_snapshot::{Head, ObjectDigest, UnverifiedHead};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

/// A store that holds what is published.
pub struct ObjectStoreSink {
    name: String,
    store: Arc<dyn ObjectStore>,
    prefix: String,
    keyring: Keyrings,
    keep_ms: u64,
    /// Objects that are known to be there.
    there: Mutex<HashSet<ObjectDigest>>,
    head: AsyncMutex<Standing>,
    swept: AsyncMutex<Swept>,
}

/// What is known of the head that is there.
#[derive(Default)]
struct Standing {
    is_probed: bool,
    /// The one that was put or seen last, and what to put the next one in place of.
    held: Option<(UpdateVersion, Vec<u8>)>,
}

#[derive(Default)]
struct Swept {
    at: Option<UnixMillis>,
    /// Since when nothing names an object. A restart forgets it, and so only keeps longer.
    unnamed: HashMap<Path, UnixMillis>,
}

/// Where an S3-compatible store is.
#[derive(Debug, Clone)]
pub struct S3Place {
    /// The bucket.
    pub bucket: String,
    /// What every name in it begins with; empty for nothing.
    pub prefix: String,
    /// The service's URL, where it is not Amazon's: `https`, or `http` on this machine.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// What to sign requests with; else the environment says.
    pub credentials: Option<S3Credentials>,
}

/// What requests to a store are signed with.
#[derive(Clone)]
pub struct S3Credentials {
    /// The id of the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: Zeroizing<String>,
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3Credentials(..)")
    }
}

impl S3Place {
    /// A client of the store. Nothing is asked yet.
    ///
    /// # Errors
    /// What is wrong with the place, in words.
    pub fn open(&self) -> Result<Arc<dyn ObjectStore>, S3Error> {
        // Fails if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let is_plain = self.endpoint.as_deref().map(is_plain_here).transpose()?.unwrap_or(false);
        let options = ClientOptions::new()
            .with_timeout(TIMEOUT)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_allow_http(is_plain);
        // The publisher tries again by itself, with what is newest then.
        let retry = RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: TIMEOUT };
        let mut builder = match &self.credentials {
            None => AmazonS3Builder::from_env(),
            Some(credentials) => AmazonS3Builder::new()
                .with_access_key_id(&credentials.access_key_id)
                .with_secret_access_key(credentials.secret_access_key.as_str()),
        };
        builder = builder.with_bucket_name(&self.bucket).with_client_options(options).with_retry(retry);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        Ok(Arc::new(builder.build().map_err(|error| S3Error(described(&error)))?))
    }

    /// What logs call it.
    pub fn name(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }
}

/// Whether the endpoint is plain HTTP, which only this machine's may be.
fn is_plain_here(endpoint: &str) -> Result<bool, S3Error> {
    let url = reqwest::Url::parse(endpoint).map_err(|_| S3Error("the endpoint is no URL".to_owned()))?;
    match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => Ok(false),
        ("http", Some("localhost" | "127.0.0.1" | "[::1]")) => Ok(true),
        _ => Err(S3Error("the endpoint is neither `https` nor `http` on this machine".to_owned())),
    }
}

/// A store cannot be used as it is described; the operator's mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Error(pub String);

impl fmt::Display for S3Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for S3Error {}

impl ObjectStoreSink {
    /// The store, under a prefix, for heads under these roots. What nothing names stays for `keep_ms`.
    pub fn new(
        name: String,
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        keyring: Keyrings,
        keep_ms: u64,
    ) -> Self {
        Self {
            name,
            store,
            prefix: prefix.trim_matches('/').to_owned(),
            keyring,
            keep_ms,
            there: Mutex::default(),
            head: AsyncMutex::default(),
            swept: AsyncMutex::default(),
        }
    }

    fn path(&self, name: &str) -> Path {
        path(&self.prefix, name)
    }

    fn object(&self, digest: ObjectDigest) -> Path {
        self.path(&format!("{OBJECTS}/{digest}"))
    }

    /// Makes sure, once, that the store refuses a conditional put whose condition does not hold.
    async fn probe(&self, standing: &mut Standing) -> Result<(), SinkError> {
        if standing.is_probed {
            return Ok(());
        }
        let probe = self.path(PROBE);
        let put = |mode: PutMode| {
            self.store.put_opts(&probe, PutPayload::from_static(b"latchkey"), PutOptions::from(mode))
        };
        match put(PutMode::Create).await {
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(failed(&error)),
        }
        let other = UpdateVersion { e_tag: Some(NO_ETAG.to_owned()), version: None };
        for (mode, what) in [(PutMode::Create, "If-None-Match"), (PutMode::Update(other), "If-Match")] {
            match put(mode).await {
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
                Ok(_) => {
                    let why = format!("the store takes a put against its `{what}`: a head could go back");
                    return Err(SinkError::Refused(why));
                }
                Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
                    return Err(SinkError::Refused(format!(
                        "the store has no `{what}`: a head could go back"
                    )));
                }
                Err(error) => return Err(failed(&error)),
            }
        }
        standing.is_probed = true;
        Ok(())
    }

    async fn held_now(&self) -> Result<Held, SinkError> {
        let mut standing = self.head.lock().await;
        self.probe(&mut standing).await?;
        standing.held = self.read_head().await?;
        let mut root_version = 0;
        while self.is_there(&self.path(&format!("{ROOTS}/{}", root_version + 1)), None).await? {
            root_version += 1;
        }
        // One under a root that was replaced is as good as none.
        let head = standing.held.as_ref().and_then(|(_, bytes)| self.verified(bytes));
        let head = head.filter(|head| head.root_version >= root_version);
        let head = head.map(|head| (head.statement.generation, head.as_of));
        Ok(Held { root_version, head })
    }

    async fn read_head(&self) -> Result<Option<(UpdateVersion, Vec<u8>)>, SinkError> {
        let got = match self.store.get(&self.path(HEAD)).await {
            Ok(got) => got,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
        if got.meta.size > HEAD_LEN_MAX as u64 {
            // No head of ours: it is replaced, and only if it is still that.
            return Ok(Some((version, Vec::new())));
        }
        let bytes = got.bytes().await.map_err(|error| failed(&error))?;
        Ok(Some((version, bytes.to_vec())))
    }

    /// The head in these bytes, if one of our roots vouches for it.
    fn verified(&self, bytes: &[u8]) -> Option<Head> {
        let head = UnverifiedHead::parse(bytes).ok()?;
        let keyring = self.keyring.borrow().clone();
        let root = keyring.root_of(head.root_version())?;
        head.verify(root).ok()
    }

    async fn put_head_now(&self, bytes: &[u8], named: &Named) -> Result<(), SinkError> {
        let mut standing = self.head.lock().await;
        self.probe(&mut standing).await?;
        let head = self.verified(bytes);
        let head =
            head.ok_or_else(|| SinkError::Refused("none of our roots vouches for the head".to_owned()))?;
        self.check_complete(named).await?;
        for _ in 0..HEAD_ATTEMPTS {
            if standing.held.is_none() {
                standing.held = self.read_head().await?;
            }
            let mode = match &standing.held {
                Some((_, there)) if there == bytes => return Ok(()),
                Some((version, there)) => {
                    let there = self.verified(there).filter(|there| head.rank() <= there.rank());
                    if let Some(there) = there {
                        let held = Some((there.statement.generation, there.as_of));
                        // Perhaps no longer: the next attempt looks again.
                        standing.held = None;
                        return Err(SinkError::Older { held });
                    }
                    PutMode::Update(version.clone())
                }
                None => PutMode::Create,
            };
            let put =
                self.store.put_opts(&self.path(HEAD), bytes.to_vec().into(), PutOptions::from(mode)).await;
            standing.held = None;
            match put {
                Ok(put) => {
                    standing.held = Some((put.into(), bytes.to_vec()));
                    return Ok(());
                }
                // Somebody was quicker, or it was we, and the answer was lost.
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        Err(SinkError::Unavailable("its head changes whenever it is to be replaced".to_owned()))
    }

    /// Refuses a head while something it names is not there.
    async fn check_complete(&self, named: &Named) -> Result<(), SinkError> {
        let unknown: HashMap<ObjectDigest, Object> = {
            let there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
            let unknown = named.objects().filter(|object| !there.contains(&object.reference.digest()));
            unknown.map(|object| (object.reference.digest(), object.clone())).collect()
        };
        let (mut waiting, mut running, mut missing) = (unknown.into_values(), JoinSet::new(), Vec::new());
        loop {
            while running.len() < LOOKS_MAX
                && let Some(object) = waiting.next()
            {
                let (store, path) = (Arc::clone(&self.store), self.object(object.reference.digest()));
                running.spawn(async move { (object.reference, store.head(&path).await) });
            }
            match running.join_next().await {
                None => break,
                Some(Err(_)) => return Err(SinkError::Unavailable("a look was cut off".to_owned())),
                Some(Ok((reference, Ok(meta)))) if meta.size == u64::from(reference.len_bytes()) => {
                    self.note_there(reference.digest());
                }
                Some(Ok((reference, Ok(_) | Err(Error::NotFound { .. })))) => {
                    missing.push(reference.digest())
                }
                Some(Ok((_, Err(error)))) => return Err(failed(&error)),
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(SinkError::Missing(missing)) }
    }

    fn note_there(&self, digest: ObjectDigest) {
        self.there.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
    }

    /// What is named and was not in the list is looked for with the next head: somebody deleted it.
    fn forget<'a>(&self, gone: impl Iterator<Item = &'a ObjectDigest>) {
        let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        for digest in gone {
            there.remove(digest);
        }
    }

    async fn is_there(&self, path: &Path, len_bytes: Option<u64>) -> Result<bool, SinkError> {
        match self.store.head(path).await {
            Ok(meta) => Ok(len_bytes.is_none_or(|len| meta.size == len)),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn put(&self, path: &Path, bytes: Vec<u8>) -> Result<(), SinkError> {
        self.store.put(path, bytes.into()).await.map(drop).map_err(|error| failed(&error))
    }

    async fn put_one(&self, object: &Object) -> Result<(), SinkError> {
        let digest = object.reference.digest();
        let path = self.object(digest);
        if !self.is_there(&path, Some(u64::from(object.reference.len_bytes()))).await? {
            self.put(&path, object.bytes.to_vec()).await?;
        }
        self.note_there(digest);
        Ok(())
    }

    /// Deletes what nothing has named for long. It is looked for now and then only: a list costs a request a thousand.
    async fn sweep_now(&self, named: &HashSet<ObjectDigest>, now: UnixMillis) -> Result<usize, SinkError> {
        self.there.lock().unwrap_or_else(PoisonError::into_inner).retain(|digest| named.contains(digest));
        let mut swept = self.swept.lock().await;
        if swept.at.is_some_and(|at| now.since_ms(at) < SWEEP_EVERY_MS) {
            return Ok(0);
        }
        let mut kept: HashMap<Path, ObjectDigest> =
            named.iter().map(|digest| (self.object(*digest), *digest)).collect();
        let (mut listed, mut due) = (HashSet::new(), Vec::new());
        let mut objects = self.store.list(Some(&self.path(OBJECTS)));
        while let Some(object) = objects.try_next().await.map_err(|error| failed(&error))? {
            let path = object.location;
            if kept.remove(&path).is_some() {
                continue;
            }
            let since = *swept.unnamed.entry(path.clone()).or_insert(now);
            if now.since_ms(since) > self.keep_ms {
                due.push(path.clone());
            }
            listed.insert(path);
        }
        swept.unnamed.retain(|path, _| listed.contains(path));
        self.forget(kept.values());
        for path in &due {
            match self.store.delete(path).await {
                Ok(()) | Err(Error::NotFound { .. }) => drop(swept.unnamed.remove(path)),
                Err(error) => return Err(failed(&error)),
            }
        }
        swept.at = Some(now);
        Ok(due.len())
    }
}

impl Sink for ObjectStoreSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn held(&self) -> Answer<'_, Held> {
        Box::pin(self.held_now())
    }

    fn put_root<'a>(&'a self, version: u32, bytes: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(async move { self.put(&self.path(&format!("{ROOTS}/{version}")), bytes.to_vec()).await })
    }

    fn put_object<'a>(&'a self, object: &'a Object) -> Answer<'a, ()> {
        Box::pin(self.put_one(object))
    }

    fn put_head<'a>(&'a self, head: &'a [u8], named: &'a Named) -> Answer<'a, Told> {
        Box::pin(async move { self.put_head_now(head, named).await.map(|()| Told::default()) })
    }

    fn sweep<'a>(&'a self, named: &'a HashSet<ObjectDigest>, now: UnixMillis) -> Answer<'a, usize> {
        Box::pin(self.sweep_now(named, now))
    }
}

/// The same store, to read from.
pub struct ObjectStoreSource {
    name: String,
    store: Arc<dyn ObjectStore>,
    prefix: String,
    /// There until the end.
    runtime: Option<Runtime>,
}

/// A gate lets go of its source while it is within a runtime itself, where another may not be waited for.
impl Drop for ObjectStoreSource {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl ObjectStoreSource {
    /// The store under a prefix. Reading must not happen inside of another runtime.
    ///
    /// # Errors
    /// The operating system's.
    pub fn new(name: String, store: Arc<dyn ObjectStore>, prefix: &str) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { name, store, prefix: prefix.trim_matches('/').to_owned(), runtime: Some(runtime) })
    }

    fn read(&self, name: &str, len_max: usize) -> Result<Option<Vec<u8>>, SourceError> {
        let place = path(&self.prefix, name);
        let failed = |error: &Error| SourceError(format!("`{}`: {}", self.name, described(error)));
        let Some(runtime) = &self.runtime else {
            return Err(SourceError(format!("`{}` is closed", self.name)));
        };
        runtime.block_on(async {
            match self.store.get(&place).await {
                // Of something longer nothing is read: it is none of what was asked for.
                Ok(got) if got.meta.size > len_max as u64 => Ok(Some(vec![0; len_max + 1])),
                Ok(got) => Ok(Some(got.bytes().await.map_err(|error| failed(&error))?.to_vec())),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(failed(&error)),
            }
        })
    }
}

impl Source for ObjectStoreSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn root(&self, version: u32) -> Result<Option<Vec<u8>>, SourceError> {
        self.read(&format!("{ROOTS}/{version}"), ROOT_LEN_MAX)
    }

    fn head(&self) -> Result<Option<Vec<u8>>, SourceError> {
        self.read(HEAD, HEAD_LEN_MAX)
    }

    fn object(&self, digest: ObjectDigest, len_max: usize) -> Result<Option<Vec<u8>>, SourceError> {
        self.read(&format!("{OBJECTS}/{digest}"), len_max)
    }
}

fn path(prefix: &str, name: &str) -> Path {
    if prefix.is_empty() { Path::from(name) } else { Path::from(format!("{prefix}/{name}")) }
}

fn failed(error: &Error) -> SinkError {
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            SinkError::Refused("the store does not let these credentials in".to_owned())
        }
        error => SinkError::Unavailable(described(error)),
    }
}

/// The error on one line, cut: stores answer with whole documents.
fn described(error: &Error) -> String {
    let words = error.to_string();
    words.chars().map(|char| if char.is_control() { ' ' } else { char }).take(WORDS_MAX).collect()
}

/// Where the conditional puts are tried.
const PROBE: &str = "conditional-put";
/// An entity tag that nothing has.
const NO_ETAG: &str = "\"00000000000000000000000000000000\"";
const HEAD_ATTEMPTS: usize = 3;
/// Looks for objects at a time.
const LOOKS_MAX: usize = 16;
const SWEEP_EVERY_MS: u64 = 10 * 60 * 1000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(30);
const WORDS_MAX: usize = 300;

#[cfg(test)]
mod tests;
