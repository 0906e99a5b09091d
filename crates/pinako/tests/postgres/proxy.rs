//! A connection that is cut, or freezes, after so many bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What bytes go which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToServer,
    ToClient,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accident {
    /// Both sides see its end; what is on its way is lost.
    Cut,
    /// Nothing goes through any more, on no connection.
    Freeze,
}

/// Stands between clients and a server.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    order: Mutex<Option<(Way, u64, Accident)>>,
    frozen: AtomicBool,
    ended: AtomicBool,
    to_server: AtomicU64,
    to_client: AtomicU64,
    connections: AtomicU64,
    ends: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Between us and the server of that URL.
    pub fn new(url: &str) -> Proxy {
        let server = url.split_once('@').unwrap().1.split(['/', '?']).next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) else { continue };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                shared.connections.fetch_add(1, Ordering::SeqCst);
                shared.ends.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                for (from, to, way) in [(&client, &server, Way::ToServer), (&server, &client, Way::ToClient)] {
                    let (from, to, state) = (from.try_clone().unwrap(), to.try_clone().unwrap(), shared.clone());
                    thread::spawn(move || state.forward(from, to, way));
                }
            }
        });
        Proxy { port, state }
    }

    /// The URL with the server's place taken by this one.
    pub fn url(&self, url: &str) -> String {
        let (user, rest) = url.split_once('@').unwrap();
        let rest = &rest[rest.find(['/', '?']).unwrap_or(rest.len())..];
        format!("{user}@127.0.0.1:{}{rest}", self.port)
    }

    /// After so many bytes that way, there is an accident.
    pub fn order(&self, way: Way, after: u64, accident: Accident) {
        *self.state.order.lock().unwrap() = Some((way, after, accident));
    }

    /// Cuts all connections now.
    pub fn cut(&self) {
        for end in self.state.ends.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Takes the order back; whether it was not carried out yet.
    pub fn take_back(&self) -> bool {
        self.state.order.lock().unwrap().take().is_some()
    }

    /// Lets through what was frozen.
    pub fn thaw(&self) {
        self.state.frozen.store(false, Ordering::SeqCst);
    }

    /// Bytes that went that way until now.
    pub fn count(&self, way: Way) -> u64 {
        match way {
            Way::ToServer => &self.state.to_server,
            Way::ToClient => &self.state.to_client,
        }
        .load(Ordering::SeqCst)
    }

    /// Connections that were made until now.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    fn forward(&self, mut from: TcpStream, mut to: TcpStream, way: Way) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let mut passing = count;
            let mut accident = None;
            {
                let mut order = self.order.lock().unwrap();
                if let Some((_, after, ordered)) = order.as_mut().filter(|(ordered, ..)| *ordered == way) {
                    if *after < count as u64 {
                        passing = *after as usize;
                        accident = Some(*ordered);
                        *order = None;
                    } else {
                        *after -= count as u64;
                    }
                }
            }
            let sent = to.write_all(&buffer[..passing]);
            match way {
                Way::ToServer => &self.to_server,
                Way::ToClient => &self.to_client,
            }
            .fetch_add(passing as u64, Ordering::SeqCst);
            match accident {
                Some(Accident::Cut) => break,
                Some(Accident::Freeze) => self.frozen.store(true, Ordering::SeqCst),
                None => {}
            }
            while self.frozen.load(Ordering::SeqCst) && !self.ended.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
            if sent.is_err() || to.write_all(&buffer[passing..count]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}
