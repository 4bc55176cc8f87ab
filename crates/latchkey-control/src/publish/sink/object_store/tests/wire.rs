//! The S3 protocol over a real connection: what the client sends, and what it makes of answers that go wrong. The server
//! here knows as much of S3 as the client uses; `tests/s3` runs the binary against a server that others keep.

use super::{head_bytes, object, sink_on};
use crate::publish::sink::{Named, Sink, SinkError};
use crate::publish::source::Source;
use crate::publish::tests::stage::NOW;
use crate::publish::{ObjectStoreSink, ObjectStoreSource, S3Credentials, S3Place};
use axum::body::{Body, to_bytes};
use futures_util::stream;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, ETAG, IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use latchkey_core::Generation;
use latchkey_snapshot::ObjectDigest;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;
use zeroize::Zeroizing;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It is answered with 500, and not done.
    Fails,
    /// It is done, and the connection ends without an answer.
    LosesAnswer,
    /// Half of the answer's body comes.
    CutsBody,
    /// It is done once the gate is open.
    Waits,
}

/// A bucket, and what is to go wrong.
struct Bucket {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    /// For the next requests of a method on names that end so.
    faults: Mutex<VecDeque<(Method, &'static str, Fault)>>,
    gate: watch::Sender<bool>,
    seen: Mutex<Vec<String>>,
}

impl Bucket {
    /// The server, and its URL.
    async fn serve() -> (Arc<Self>, String) {
        let bucket = Arc::new(Self {
            objects: Mutex::default(),
            faults: Mutex::default(),
            gate: watch::Sender::new(false),
            seen: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = Arc::clone(&bucket);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let bucket = Arc::clone(&serving);
                let answer = service_fn(move |request| Arc::clone(&bucket).answer(request));
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
            }
        });
        (bucket, url)
    }

    fn will(&self, method: Method, name: &'static str, fault: Fault) {
        self.faults.lock().unwrap().push_back((method, name, fault));
    }

    fn fault(&self, method: &Method, name: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let (of, end, fault) = *faults.front().map(|(of, end, fault)| (of, end, fault)).as_ref()?;
        let is_it = of == method && name.ends_with(end);
        let fault = *fault;
        if is_it {
            faults.pop_front();
        }
        is_it.then_some(fault)
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
        let name = request.uri().path().trim_start_matches("/bucket").trim_start_matches('/').to_owned();
        let method = request.method().clone();
        self.seen.lock().unwrap().push(format!("{method} {name}"));
        let fault = self.fault(&method, &name);
        if fault == Some(Fault::Fails) {
            return Ok(status(StatusCode::INTERNAL_SERVER_ERROR));
        }
        if fault == Some(Fault::Waits) {
            let _ = self.gate.subscribe().wait_for(|is_open| *is_open).await;
        }
        let response = self.act(&name, request).await;
        match fault {
            Some(Fault::LosesAnswer) => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            Some(Fault::CutsBody) => Ok(cut(response).await),
            _ => Ok(response),
        }
    }

    async fn act(&self, name: &str, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let signed = parts.headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        if !signed.is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 Credential=id/")) {
            return status(StatusCode::FORBIDDEN);
        }
        let body = to_bytes(Body::new(body), 1 << 24).await.unwrap();
        let header =
            |name| parts.headers.get(name).map(|value: &hyper::header::HeaderValue| value.to_str().unwrap());
        let mut objects = self.objects.lock().unwrap();
        let there = objects.get(name).cloned();
        match (parts.method, parts.uri.query()) {
            (Method::GET, Some(query)) if query.contains("list-type=2") => {
                let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix="));
                list(&objects, &prefix.unwrap_or_default().replace("%2F", "/"))
            }
            (Method::POST, Some("delete")) => {
                let text = String::from_utf8(body.to_vec()).unwrap();
                let named = text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
                let mut answer = "<DeleteResult>".to_owned();
                for name in named {
                    objects.remove(name);
                    answer += &format!("<Deleted><Key>{name}</Key></Deleted>");
                }
                xml(&(answer + "</DeleteResult>"))
            }
            (Method::GET | Method::HEAD, _) => match there {
                Some(bytes) => {
                    let whole = Response::builder().header(ETAG, tag(&bytes)).header(LAST_MODIFIED, MODIFIED);
                    whole.header(CONTENT_LENGTH, bytes.len()).body(Body::from(bytes)).unwrap()
                }
                None => status(StatusCode::NOT_FOUND),
            },
            (Method::PUT, _) => {
                let is_refused = match (header(IF_MATCH), header(IF_NONE_MATCH)) {
                    (Some(wanted), _) => there.is_none_or(|there| tag(&there) != wanted),
                    (None, Some(_)) => there.is_some(),
                    (None, None) => false,
                };
                if is_refused {
                    return status(StatusCode::PRECONDITION_FAILED);
                }
                let answer = Response::builder().header(ETAG, tag(&body));
                objects.insert(name.to_owned(), body.to_vec());
                answer.body(Body::empty()).unwrap()
            }
            (Method::DELETE, _) => {
                objects.remove(name);
                status(StatusCode::NO_CONTENT)
            }
            _ => status(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    fn holds(&self, name: &str) -> bool {
        self.objects.lock().unwrap().contains_key(&format!("some/where/{name}"))
    }

    fn seen(&self, what: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.starts_with(what)).count()
    }
}

fn status(status: StatusCode) -> Response<Body> {
    Response::builder().status(status).body(Body::from("<Error><Code>Test</Code></Error>")).unwrap()
}

fn xml(text: &str) -> Response<Body> {
    Response::new(Body::from(text.to_owned()))
}

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", &blake3::hash(bytes).to_hex()[..32])
}

fn list(objects: &BTreeMap<String, Vec<u8>>, prefix: &str) -> Response<Body> {
    let mut text = format!("<ListBucketResult><Name>bucket</Name><Prefix>{prefix}</Prefix>");
    for (name, bytes) in objects.iter().filter(|(name, _)| name.starts_with(prefix)) {
        let (tag, size) = (tag(bytes).replace('"', "&quot;"), bytes.len());
        text += &format!(
            "<Contents><Key>{name}</Key><LastModified>2026-11-24T10:00:00.000Z</LastModified><ETag>{tag}</ETag>\
             <Size>{size}</Size></Contents>"
        );
    }
    xml(&(text + "<IsTruncated>false</IsTruncated></ListBucketResult>"))
}

/// The answer, of which half the body comes before the connection ends.
async fn cut(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 24).await.unwrap();
    parts.headers.insert(CONTENT_LENGTH, bytes.len().into());
    let half = bytes.slice(..bytes.len() / 2);
    let pieces = [Ok(half), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
    Response::from_parts(parts, Body::from_stream(stream::iter(pieces)))
}

fn place(url: &str, id: &str) -> S3Place {
    S3Place {
        bucket: "bucket".to_owned(),
        prefix: "some/where".to_owned(),
        endpoint: Some(url.to_owned()),
        region: Some("eu-central-1".to_owned()),
        credentials: Some(S3Credentials {
            access_key_id: id.to_owned(),
            secret_access_key: Zeroizing::new("secret".to_owned()),
        }),
    }
}

async fn served() -> (Arc<Bucket>, String, ObjectStoreSink) {
    let (bucket, url) = Bucket::serve().await;
    let store = place(&url, "id").open().unwrap();
    (bucket, url, sink_on(store).await)
}

/// What a source reads; it blocks, and must not in a runtime.
async fn read<T: Send + 'static>(url: &str, read: impl FnOnce(&dyn Source) -> T + Send + 'static) -> T {
    let place = place(url, "id");
    let read =
        move || read(&ObjectStoreSource::new(place.name(), place.open().unwrap(), &place.prefix).unwrap());
    let thread = std::thread::spawn(read);
    tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_and_objects_are_put_read_back_and_swept() {
    let (bucket, url, sink) = served().await;
    assert_eq!(sink.held().await.unwrap().head, None);
    let (kept, gone) = (object(b"kept"), object(b"gone"));
    let named = Named::of(vec![[kept.clone()].into()]);
    let missing = sink.put_head(&head_bytes(1, 7, NOW), &named).await.unwrap_err();
    assert_eq!(missing, SinkError::Missing(vec![kept.reference.digest()]));
    sink.put_root(1, b"a root").await.unwrap();
    sink.put_object(&kept).await.unwrap();
    sink.put_object(&gone).await.unwrap();
    sink.put_head(&head_bytes(1, 7, NOW), &named).await.unwrap();
    sink.put_head(&head_bytes(1, 8, NOW), &named).await.unwrap();
    let held = sink.held().await.unwrap();
    assert_eq!((held.root_version, held.head), (1, Some((Generation(8), NOW))));
    let digest = kept.reference.digest();
    let (head, root, object, absent) = read(&url, move |source| {
        let absent = ObjectDigest::of(b"absent");
        (source.head(), source.root(1), source.object(digest, 4), source.object(absent, 4))
    })
    .await;
    assert_eq!(head.unwrap().unwrap(), head_bytes(1, 8, NOW));
    assert_eq!(root.unwrap().unwrap(), b"a root");
    assert_eq!((object.unwrap().unwrap(), absent.unwrap()), (b"kept".to_vec(), None));
    let named: HashSet<_> = [digest].into();
    assert_eq!(sink.sweep(&named, NOW).await, Ok(0));
    assert_eq!(sink.sweep(&named, NOW.plus_ms(super::SWEEP_EVERY_MS)).await, Ok(1));
    assert!(bucket.holds(&format!("objects/{digest}")));
    assert!(!bucket.holds(&format!("objects/{}", gone.reference.digest())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_put_of_a_head_is_reported_and_leaves_the_one_before() {
    let (bucket, _, sink) = served().await;
    let nothing = Named::default();
    sink.put_head(&head_bytes(1, 7, NOW), &nothing).await.unwrap();
    bucket.will(Method::PUT, "/head", Fault::Fails);
    let failed = sink.put_head(&head_bytes(1, 8, NOW), &nothing).await.unwrap_err();
    assert!(matches!(failed, SinkError::Unavailable(_)), "{failed}");
    assert_eq!(sink.held().await.unwrap().head, Some((Generation(7), NOW)));
    sink.put_head(&head_bytes(1, 8, NOW), &nothing).await.unwrap();
}

/// Whether it was taken is looked up: the same head again is no conflict, and an older one is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_whose_answer_was_lost_is_found_to_be_there() {
    let (bucket, _, sink) = served().await;
    let nothing = Named::default();
    bucket.will(Method::PUT, "/head", Fault::LosesAnswer);
    let lost = sink.put_head(&head_bytes(1, 7, NOW), &nothing).await.unwrap_err();
    assert!(matches!(lost, SinkError::Unavailable(_)), "{lost}");
    let before = bucket.seen("PUT some/where/head");
    sink.put_head(&head_bytes(1, 7, NOW), &nothing).await.unwrap();
    assert_eq!(bucket.seen("PUT some/where/head"), before);
    let older = sink.put_head(&head_bytes(1, 6, NOW), &nothing).await.unwrap_err();
    assert_eq!(older, SinkError::Older { held: Some((Generation(7), NOW)) });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_and_failed_answers_are_errors_and_never_short_objects() {
    let (bucket, url, sink) = served().await;
    let object = object(&[7; 4096]);
    sink.put_object(&object).await.unwrap();
    sink.put_head(&head_bytes(1, 7, NOW), &Named::default()).await.unwrap();
    let digest = object.reference.digest();
    for fault in [Fault::CutsBody, Fault::Fails, Fault::LosesAnswer] {
        bucket.will(Method::GET, "", fault);
        assert!(read(&url, move |source| source.object(digest, 4096)).await.is_err(), "{fault:?}");
        bucket.will(Method::GET, "/head", fault);
        assert!(read(&url, |source| source.head()).await.is_err(), "{fault:?}");
    }
    assert_eq!(read(&url, move |source| source.object(digest, 4096)).await.unwrap().unwrap(), [7; 4096]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_put_of_an_object_holds_back_no_head() {
    let (bucket, _, sink) = served().await;
    sink.held().await.unwrap();
    bucket.will(Method::PUT, "", Fault::Waits);
    let (sink, slow) = (Arc::new(sink), object(b"slow"));
    let (putting, put) = (Arc::clone(&sink), slow.clone());
    let putting = tokio::spawn(async move { putting.put_object(&put).await });
    while bucket.seen("PUT some/where/objects/") == 0 {
        tokio::task::yield_now().await;
    }
    sink.put_head(&head_bytes(1, 7, NOW), &Named::default()).await.unwrap();
    assert!(!bucket.holds(&format!("objects/{}", slow.reference.digest())));
    bucket.gate.send_replace(true);
    putting.await.unwrap().unwrap();
    assert!(bucket.holds(&format!("objects/{}", slow.reference.digest())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_the_store_does_not_know_are_refused_without_being_shown() {
    let (bucket, url) = Bucket::serve().await;
    let sink = sink_on(place(&url, "stranger").open().unwrap()).await;
    let refused = sink.held().await.unwrap_err();
    assert_eq!(refused, SinkError::Refused("the store does not let these credentials in".to_owned()));
    assert!(bucket.objects.lock().unwrap().is_empty());
}

const MODIFIED: &str = "Tue, 24 Nov 2026 10:00:00 GMT";
