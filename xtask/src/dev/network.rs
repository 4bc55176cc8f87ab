//! A bad network between the control plane and the edge: what goes through it is late, lost, or does not go at all.
//!
//! Bytes are passed on as they come, each piece after a wait, so every request and every answer is late by itself. An
//! answer is lost by ending its connection: the server has done what was asked, and the client cannot know.

use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A place to listen, and the server it leads to once that is known.
#[derive(Clone)]
pub(crate) struct Network {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// How the network is.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// Milliseconds from one end to the other.
    pub(crate) delay_ms: RangeInclusive<u64>,
    /// Of a hundred answers, so many are lost.
    pub(crate) lost_answers: u64,
    /// Whether anything gets through.
    pub(crate) up: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Answer,
}

struct State {
    target: Option<SocketAddr>,
    weather: Weather,
    random: u64,
}

impl Network {
    /// Listens on a free port, in good weather.
    ///
    /// # Errors
    /// There is no free port.
    pub(crate) fn listen() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let weather = Weather { delay_ms: 0..=0, lost_answers: 0, up: true };
        let state = Arc::new(Mutex::new(State { target: None, weather, random: 1 }));
        let network = Self { address: listener.local_addr()?, state };
        let own = network.clone();
        // Ends with the process: it waits for connections that nobody makes.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let own = own.clone();
                thread::spawn(move || own.carry(client));
            }
        });
        Ok(network)
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leads to this server from now on.
    ///
    /// # Errors
    /// The URL names no address.
    pub(crate) fn lead_to(&self, url: &str) -> Result<()> {
        let address = url.strip_prefix("http://").context("not an address with `http://`")?;
        self.lock().target = Some(address.parse()?);
        Ok(())
    }

    /// Changes the weather, for connections that are there as well.
    pub(crate) fn set(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// A number in this range.
    pub(crate) fn draw(&self, range: &RangeInclusive<u64>) -> u64 {
        let mut state = self.lock();
        // Xorshift (Marsaglia 2003).
        state.random ^= state.random << 13;
        state.random ^= state.random >> 7;
        state.random ^= state.random << 17;
        range.start() + state.random % (range.end() - range.start() + 1)
    }

    fn carry(&self, client: TcpStream) {
        let state = self.lock();
        let target = state.target.filter(|_| state.weather.up);
        drop(state);
        let Some(server) = target.and_then(|target| TcpStream::connect(target).ok()) else { return };
        let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { return };
        let own = self.clone();
        thread::spawn(move || own.pass(from_client, server, Direction::Request));
        self.pass(from_server, client, Direction::Answer);
    }

    /// Passes on what comes, until an end is closed or something is lost.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, direction: Direction) {
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            let weather = self.weather();
            thread::sleep(Duration::from_millis(self.draw(&weather.delay_ms)));
            let is_lost = direction == Direction::Answer && self.draw(&(0..=99)) < weather.lost_answers;
            if !self.weather().up || is_lost || to.write_all(&buffer[..len]).is_err() {
                break;
            }
        }
        // Both fail only when the connection is gone already.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    fn weather(&self) -> Weather {
        self.lock().weather.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each connection's first bytes with `ok`.
    fn server() -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let mut buffer = [0; 16];
                if client.read(&mut buffer).is_ok() {
                    let _ = client.write_all(b"ok");
                }
            }
        });
        url
    }

    fn ask(network: &Network) -> Vec<u8> {
        let (mut answer, mut stream) = (Vec::new(), TcpStream::connect(network.address).unwrap());
        let _ = stream.write_all(b"?");
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    #[test]
    fn nothing_gets_through_while_it_is_down_and_no_lost_answer_arrives() {
        let network = Network::listen().unwrap();
        assert_eq!(ask(&network), b"", "it leads nowhere yet");
        network.lead_to(&server()).unwrap();
        assert_eq!(ask(&network), b"ok");
        let fair = Weather { delay_ms: 1..=2, lost_answers: 0, up: true };
        network.set(Weather { up: false, ..fair.clone() });
        assert_eq!(ask(&network), b"");
        network.set(Weather { lost_answers: 100, ..fair.clone() });
        assert_eq!(ask(&network), b"");
        network.set(fair);
        assert_eq!(ask(&network), b"ok");
    }
}
