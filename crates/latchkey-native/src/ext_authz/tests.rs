//! Strangers, and questions that do not come.

use super::*;
use crate::follow::tests::native_for_proxies;
use hyper::client::conn::http2 as client;
use hyper::header::HeaderValue as Value;
use std::convert::Infallible;
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const TOKEN: &str = "the-proxys-own-token";

/// A message that comes by one byte in each of these times, and never ends.
struct Trickle(Duration, Option<Pin<Box<tokio::time::Sleep>>>);

impl Trickle {
    fn each(pause: Duration) -> Self {
        Self(pause, None)
    }
}

impl Body for Trickle {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        let pause = self.0;
        let waits = self.1.get_or_insert_with(|| Box::pin(sleep(pause)));
        std::task::ready!(waits.as_mut().poll(context));
        self.1 = None;
        Poll::Ready(Some(Ok(hyper::body::Frame::data(Bytes::from_static(b"\0")))))
    }
}

/// A body that nobody may read.
struct Unread;

impl Body for Unread {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        panic!("it was read")
    }
}

fn call<B>(tokens: &[&'static str], body: B) -> Request<B> {
    let mut request = Request::post(CHECK_PATH).body(body).unwrap();
    for token in tokens {
        request.headers_mut().append("latchkey-forward-token", Value::from_static(token));
    }
    request
}

async fn status<B>(request: Request<B>) -> i32
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let response = answer(native_for_proxies(TOKEN), request, &watch::Sender::new(false)).await;
    let (head, body) = response.into_parts();
    // What has no message to answer with says it at once.
    let trailers = body.collect().await.unwrap().trailers().cloned().unwrap_or_default();
    let code = head.headers.get("grpc-status").or(trailers.get("grpc-status"));
    code.unwrap().to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn nothing_that_a_stranger_says_is_read() {
    for tokens in [&[][..], &["the-proxys-own-tokem"], &[TOKEN, TOKEN]] {
        assert_eq!(status(call(tokens, Unread)).await, Code::Unauthenticated as i32, "{tokens:?}");
    }
    let mut other = call(&[], Unread);
    *other.uri_mut() = "/other".parse().unwrap();
    assert_eq!(status(other).await, Code::Unauthenticated as i32);
}

#[tokio::test(start_paused = true)]
async fn question_that_does_not_arrive_in_time_is_not_waited_for() {
    let began = Instant::now();
    let slow = Trickle::each(Duration::from_millis(100));
    assert_eq!(status(call(&[TOKEN], slow)).await, Code::DeadlineExceeded as i32);
    assert_eq!(began.elapsed(), ARRIVAL_MAX);
}

#[tokio::test]
async fn question_has_so_many_bytes_and_no_more() {
    let of = |len: usize| {
        let mut frame = vec![0, 0, 0, 0, 0];
        frame[1..].copy_from_slice(&(len as u32).to_be_bytes());
        // A field that is skipped.
        let mut message = vec![0; len];
        message[..4].copy_from_slice(&[0x7a, 0, 0, 0]);
        let mut left = len - 4;
        for byte in &mut message[1..4] {
            *byte = (left % 128) as u8 | 0x80;
            left /= 128;
        }
        message[3] &= 0x7f;
        frame.extend(message);
        Full::new(Bytes::from(frame))
    };
    assert_eq!(status(call(&[TOKEN], of(MESSAGE_BYTES_MAX))).await, Code::Ok as i32);
    assert_eq!(status(call(&[TOKEN], of(MESSAGE_BYTES_MAX + 1))).await, Code::ResourceExhausted as i32);
}

/// A connection that is served, and its other side.
fn served() -> (DuplexStream, JoinHandle<()>, watch::Sender<bool>) {
    let ((here, there), stopping) = (duplex(64 << 10), watch::Sender::new(false));
    let serving = tokio::spawn(connection(native_for_proxies(TOKEN), there, stopping.subscribe()));
    (here, serving, stopping)
}

#[tokio::test(start_paused = true)]
async fn connection_on_which_nobody_shows_the_token_ends() {
    let began = Instant::now();
    let (mut silent, serving, _stopping) = served();
    serving.await.unwrap();
    assert_eq!(began.elapsed(), PROOF_MAX);
    // What the server says of itself, and the end.
    silent.read_to_end(&mut Vec::new()).await.unwrap();

    let (mut slow, serving, _stopping) = served();
    let trickling = tokio::spawn(async move {
        for byte in b"PRI * HTTP/2.0\r\n".iter().cycle() {
            sleep(Duration::from_secs(10)).await;
            if slow.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    });
    serving.await.unwrap();
    trickling.await.unwrap();

    let (here, serving, _stopping) = served();
    let (mut sender, other) = client::handshake(TokioExecutor::new(), TokioIo::new(here)).await.unwrap();
    tokio::spawn(other);
    let refused =
        sender.send_request(call(&["the-proxys-own-tokem"], Full::<Bytes>::default())).await.unwrap();
    assert_eq!(refused.headers()["grpc-status"], "16");
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn connection_of_a_proxy_may_lie_idle() {
    let (here, serving, stopping) = served();
    let (mut sender, other) = client::handshake(TokioExecutor::new(), TokioIo::new(here)).await.unwrap();
    tokio::spawn(other);
    for _ in 0..2 {
        // An empty message.
        let asked = call(&[TOKEN], Full::<Bytes>::from(&[0; 5][..]));
        let answer = sender.send_request(asked).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
        sleep(PROOF_MAX * 10).await;
        assert!(!serving.is_finished());
    }
    stopping.send_replace(true);
    serving.await.unwrap();
}
