//! A store in memory that delays, loses, forgets to answer, and one that has no conditions; over the wire, see [`wire`].

mod wire;

use super::*;
use crate::publish::tests::stage::{NOW, Stage, head_bytes, head_bytes_until};
use ::object_store::memory::InMemory;
use ::object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions,
    PutResult,
};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use latchkey_core::{Dice, Generation};
use latchkey_snapshot::ObjectRef;
use std::sync::atomic::{AtomicBool, Ordering};

/// What may go wrong on the way to a store.
#[derive(Debug)]
struct Flaky {
    inner: InMemory,
    dice: Mutex<Dice>,
    /// One call in so many fails; 0 for none.
    fails_one_in: u64,
    /// Takes puts whatever their condition.
    ignores_conditions: AtomicBool,
}

impl Flaky {
    fn new(seed: u8, fails_one_in: u64) -> Arc<Self> {
        let dice = Mutex::new(Dice::from_seed(&[seed; 32]));
        let ignores_conditions = AtomicBool::new(false);
        Arc::new(Self { inner: InMemory::new(), dice, fails_one_in, ignores_conditions })
    }

    fn roll(&self) -> u64 {
        u64::from_le_bytes(self.dice.lock().unwrap().bytes())
    }

    fn is_bad_luck(&self) -> bool {
        self.fails_one_in > 0 && self.roll().is_multiple_of(self.fails_one_in)
    }

    async fn delay(&self) {
        for _ in 0..self.roll() % 4 {
            tokio::task::yield_now().await;
        }
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flaky")
    }
}

fn lost() -> Error {
    Error::Generic { store: "Flaky", source: "lost".into() }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> ::object_store::Result<PutResult> {
        self.delay().await;
        if self.is_bad_luck() {
            return Err(lost());
        }
        if self.ignores_conditions.load(Ordering::SeqCst) {
            options.mode = PutMode::Overwrite;
        }
        let put = self.inner.put_opts(location, payload, options).await;
        self.delay().await;
        // It was done, and nobody hears of it.
        if self.is_bad_luck() { Err(lost()) } else { put }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> ::object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> ::object_store::Result<GetResult> {
        self.delay().await;
        if self.is_bad_luck() {
            return Err(lost());
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, ::object_store::Result<Path>>,
    ) -> BoxStream<'static, ::object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, ::object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> ::object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> ::object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

async fn sink(store: &Arc<Flaky>) -> ObjectStoreSink {
    sink_on(Arc::clone(store) as _).await
}

async fn sink_on(store: Arc<dyn ObjectStore>) -> ObjectStoreSink {
    let stage = Stage::new().await;
    let keyring = tokio::sync::watch::Sender::new(stage.keyring.borrow().clone()).subscribe();
    ObjectStoreSink::new("test".to_owned(), store, "some/where", keyring, 1_000)
}

fn object(bytes: &[u8]) -> Object {
    Object { reference: ObjectRef::to(bytes), bytes: bytes.into() }
}

#[tokio::test]
async fn store_without_conditional_puts_gets_no_head() {
    let store = Flaky::new(1, 0);
    store.ignores_conditions.store(true, Ordering::SeqCst);
    let sink = sink(&store).await;
    for refused in [
        sink.held().await.map(drop).unwrap_err(),
        sink.put_head(&head_bytes(1, 7, NOW), &Named::default()).await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(refused, SinkError::Refused(_)), "{refused}");
    }
    assert!(store.inner.head(&Path::from("some/where/head")).await.is_err());
}

#[tokio::test]
async fn head_is_refused_until_everything_it_names_is_whole() {
    let store = Flaky::new(1, 0);
    let sink = sink(&store).await;
    let (one, other) = (object(b"one"), object(b"other"));
    let named = Named::of(vec![[one.clone()].into(), [other.clone()].into()]);
    sink.put_object(&one).await.unwrap();
    let torn = Path::from(format!("some/where/objects/{}", other.reference.digest()));
    store.inner.put(&torn, b"oth".to_vec().into()).await.unwrap();
    let head = head_bytes(1, 7, NOW);
    let refused = sink.put_head(&head, &named).await.unwrap_err();
    assert_eq!(refused, SinkError::Missing(vec![other.reference.digest()]));
    sink.put_object(&other).await.unwrap();
    sink.put_head(&head, &named).await.unwrap();
    let held = sink.held().await.unwrap();
    assert_eq!(held.head, Some((Generation(7), NOW)));
    // Who starts anew looks for itself.
    let again = self::sink(&store).await;
    again.put_head(&head_bytes(1, 7, NOW.plus_ms(1)), &named).await.unwrap();
}

#[tokio::test]
async fn head_never_goes_back_whoever_wrote_the_one_that_is_there() {
    let store = Flaky::new(1, 0);
    let (one, other) = (sink(&store).await, sink(&store).await);
    let nothing = Named::default();
    one.put_head(&head_bytes(1, 7, NOW.plus_ms(5)), &nothing).await.unwrap();
    let older = Err(SinkError::Older { held: Some((Generation(7), NOW.plus_ms(5))) });
    assert_eq!(other.put_head(&head_bytes(1, 6, NOW.plus_ms(9)), &nothing).await, older);
    assert_eq!(other.put_head(&head_bytes_until(1, 7, NOW.plus_ms(5), 60), &nothing).await, older);
    // The other comes first; the one believes that its own head is still there, and is refused by the store.
    other.put_head(&head_bytes(1, 9, NOW), &nothing).await.unwrap();
    let newer = Err(SinkError::Older { held: Some((Generation(9), NOW)) });
    assert_eq!(one.put_head(&head_bytes(1, 8, NOW.plus_ms(6)), &nothing).await, newer);
    one.put_head(&head_bytes(1, 9, NOW.plus_ms(1)), &nothing).await.unwrap();
    let refused = one.put_head(&head_bytes(2, 99, NOW), &nothing).await.unwrap_err();
    assert!(matches!(refused, SinkError::Refused(_)), "{refused}");
}

#[tokio::test]
async fn whatever_is_lost_heads_only_rise_and_name_what_is_there() {
    for seed in 0..40 {
        let store = Flaky::new(seed, 5);
        let sinks = [sink(&store).await, sink(&store).await];
        let mut last = None;
        for step in 0..60u64 {
            let object = object(&step.to_le_bytes());
            let named = Named::of(vec![[object.clone()].into()]);
            let sink = &sinks[(store.roll() % 2) as usize];
            let generation = step / 3 + store.roll() % 3;
            let head = head_bytes(1, generation, NOW.plus_ms(step));
            match sink.put_head(&head, &named).await {
                Err(SinkError::Missing(_)) => {
                    let put = sink.put_object(&object).await;
                    if put.is_ok() {
                        let _ = sink.put_head(&head, &named).await;
                    }
                }
                Err(SinkError::Refused(why)) => panic!("{why}"),
                _ => {}
            }
            let Ok(there) = store.inner.get(&Path::from("some/where/head")).await else { continue };
            let there = there.bytes().await.unwrap();
            let there = sink.verified(&there).unwrap().rank();
            assert!(last <= Some(there), "seed {seed}: {last:?}, then {there:?}");
            if there.as_of == NOW.plus_ms(step) {
                let path = Path::from(format!("some/where/objects/{}", object.reference.digest()));
                assert!(store.inner.head(&path).await.is_ok(), "seed {seed}");
            }
            last = Some(there);
        }
        assert!(last.is_some(), "seed {seed}: nothing ever came through");
    }
}

#[tokio::test]
async fn unnamed_object_outlives_its_time_and_not_more() {
    let store = Flaky::new(1, 0);
    let sink = sink(&store).await;
    let (kept, gone) = (object(b"kept"), object(b"gone"));
    sink.put_object(&kept).await.unwrap();
    sink.put_object(&gone).await.unwrap();
    let named = HashSet::from([kept.reference.digest()]);
    assert_eq!(sink.sweep(&named, NOW).await, Ok(0));
    // A list is not asked for at every edition.
    assert_eq!(sink.sweep(&named, NOW.plus_ms(SWEEP_EVERY_MS - 1)).await, Ok(0));
    assert_eq!(sink.sweep(&named, NOW.plus_ms(SWEEP_EVERY_MS)).await, Ok(1));
    let there = |object: &Object| sink.object(object.reference.digest());
    assert!(store.inner.head(&there(&kept)).await.is_ok());
    assert!(store.inner.head(&there(&gone)).await.is_err());
}

#[test]
fn endpoint_that_would_show_the_requests_is_refused() {
    let place = |endpoint: &str| S3Place {
        bucket: "b".to_owned(),
        prefix: String::new(),
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".to_owned()),
        credentials: Some(S3Credentials {
            access_key_id: "id".to_owned(),
            secret_access_key: Zeroizing::new("hidden-secret".to_owned()),
        }),
    };
    assert!(place("http://store.example").open().is_err());
    assert!(place("ftp://store.example").open().is_err());
    let open = place("http://127.0.0.1:1").open().unwrap();
    assert!(place("https://store.example").open().is_ok());
    assert!(!format!("{:?} {open}", place("http://127.0.0.1:1")).contains("hidden-secret"));
}

#[tokio::test]
async fn deleted_object_is_noticed_by_the_sweep_and_named_by_the_next_head() {
    let store = Flaky::new(1, 0);
    let sink = sink(&store).await;
    let (kept, gone) = (object(b"kept"), object(b"gone"));
    let named = Named::of(vec![[kept.clone(), gone.clone()].into()]);
    for object in [&kept, &gone] {
        sink.put_object(object).await.unwrap();
    }
    sink.put_head(&head_bytes(1, 7, NOW), &named).await.unwrap();
    let path = Path::from(format!("some/where/objects/{}", gone.reference.digest()));
    store.inner.delete(&path).await.unwrap();
    let all: HashSet<ObjectDigest> = named.objects().map(|object| object.reference.digest()).collect();
    assert_eq!(sink.sweep(&all, NOW).await, Ok(0));
    let refused = sink.put_head(&head_bytes(1, 7, NOW.plus_ms(1)), &named).await.unwrap_err();
    assert_eq!(refused, SinkError::Missing(vec![gone.reference.digest()]));
    sink.put_object(&gone).await.unwrap();
    sink.put_head(&head_bytes(1, 7, NOW.plus_ms(1)), &named).await.unwrap();
}

#[tokio::test]
async fn source_may_be_let_go_of_within_a_runtime() {
    drop(ObjectStoreSource::new("a store".to_owned(), Arc::new(InMemory::new()), "some/where").unwrap());
}
