//! Connections that have become tunnels: they fill the limit, and a stop does not leave them running.

use super::*;
use crate::settings::Origin;
use crate::watch::tests::refused_next;
use latchkey_snapshot::Forwarding;
use std::pin::Pin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

const WISH: &[u8] = b"GET /socket HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
/// One more than there are tunnels below: a listener holds the slot of the connection that it waits for.
const SLOTS: usize = 3;

/// An origin that goes on to a WebSocket whoever asks, and says again whatever it hears.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                read_until(&mut stream, b"\r\n\r\n").await;
                stream.write_all(SWITCHING).await.unwrap();
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn read_until(stream: &mut TcpStream, end: &[u8]) {
    let mut seen = Vec::new();
    while !seen.ends_with(end) {
        seen.push(stream.read_u8().await.unwrap());
    }
}

/// A listener that passes everything on to such an origin.
struct Scene {
    address: SocketAddr,
    slots: Arc<Semaphore>,
    stop: oneshot::Sender<()>,
    listening: JoinHandle<()>,
}

impl Scene {
    async fn start() -> Self {
        let origin = Origin::parse(&format!("http://{}", echo().await)).unwrap();
        let gateway = Arc::new(Gateway::to(origin).unwrap());
        let answer = move |request: Request<Incoming>, _| -> Pin<Box<dyn Future<Output = Reply> + Send>> {
            let gateway = Arc::clone(&gateway);
            Box::pin(async move {
                let successor = request.extensions().get::<Successor>().cloned().unwrap();
                let onward = request.map(|body| Watched::new(Upload::of(body), None));
                let (told, watch) = (HeaderMap::new(), refused_next());
                let passed = gateway.pass_on(onward, Forwarding::Removed, told, &watch, &successor).await;
                respond::from_origin(passed.unwrap(), None)
            })
        };
        let serve = move |stream, peer, stopped| connection(stream, peer, answer.clone(), stopped);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, slots) = (listener.local_addr().unwrap(), Arc::new(Semaphore::new(SLOTS)));
        let (stop, stopped) = oneshot::channel();
        let listening = tokio::spawn(listen(listener, Arc::clone(&slots), serve, async {
            let _ = stopped.await;
        }));
        Self { address, slots, stop, listening }
    }

    async fn open(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(WISH).await.unwrap();
        read_until(&mut stream, b"\r\n\r\n").await;
        say(&mut stream).await;
        stream
    }
}

/// Says something, and hears it again.
async fn say(stream: &mut TcpStream) {
    stream.write_all(b"ping").await.unwrap();
    read_until(stream, b"ping").await;
}

#[tokio::test]
async fn tunnels_fill_the_limit_until_they_end() {
    let scene = Scene::start().await;
    let (mut one, mut other) = (scene.open().await, scene.open().await);
    assert_eq!(scene.slots.available_permits(), 0);
    say(&mut one).await;
    say(&mut other).await;
    assert_eq!(scene.slots.available_permits(), 0);
    drop((one, other));
    let free = scene.slots.acquire_many(SLOTS as u32 - 1).await.unwrap();
    assert_eq!(free.num_permits(), SLOTS - 1);
}

#[tokio::test]
async fn stop_lets_tunnels_go_on_for_a_while_and_then_ends_them() {
    let scene = Scene::start().await;
    let (mut ends, mut stays) = (scene.open().await, scene.open().await);
    scene.stop.send(()).unwrap();
    // The place that the listener itself had is free once it listens no more.
    let _free = scene.slots.acquire().await.unwrap();
    say(&mut ends).await;
    say(&mut stays).await;
    drop(ends);
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    scene.listening.await.unwrap();
    assert!(began.elapsed() >= DRAIN_MAX, "it may end by itself");
    assert_eq!(scene.slots.available_permits(), SLOTS - 1);
    assert!(matches!(stays.read_u8().await, Err(error) if error.kind() != std::io::ErrorKind::WouldBlock));
}

#[tokio::test]
async fn stop_waits_no_longer_than_the_last_tunnel() {
    let scene = Scene::start().await;
    let one = scene.open().await;
    scene.stop.send(()).unwrap();
    drop(one);
    tokio::time::timeout(DRAIN_MAX / 2, scene.listening).await.unwrap().unwrap();
}

#[tokio::test]
async fn peer_that_says_nothing_is_asked_whether_it_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = accept(&listener).await;
    assert!(SockRef::from(&stream).keepalive().unwrap());
}
