//! A server between the tests and the real one, which fails on order.
//!
//! It takes a request in whole, hands it on, takes the answer in whole, and gives it back. A fault that was ordered for
//! requests like it comes in between, once.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The server refuses it, with this status, code and further headers.
    Refuse(u16, &'static str, String),
    /// The connection is cut in the middle of the request, of which the server gets as much.
    CutRequest,
    /// The server does what it was asked, and the connection is cut before the answer comes back.
    CutBeforeAnswer,
    /// The connection is cut in the middle of the answer's body.
    CutAnswer,
    /// The answer has half of the body that it should, and says so.
    HalfBody,
    /// The answer has a body of as many other bytes.
    Garbage,
    /// Nothing comes back, ever.
    Silence,
}

/// A fault and the requests that it comes to: by method, and what their paths contain.
#[derive(Debug)]
struct Order {
    method: &'static str,
    path: &'static str,
    fault: Fault,
    /// How often it comes.
    left: usize,
}

#[derive(Debug, Default)]
struct State {
    orders: Vec<Order>,
    /// Methods and paths of all requests.
    seen: Vec<(String, String)>,
}

/// The server.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    /// Starts one in front of the server at `backend`, `HOST:PORT`.
    pub fn start(backend: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        let (state, backend) = (Arc::clone(&proxy.state), backend.to_owned());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (state, backend) = (Arc::clone(&state), backend.clone());
                // Whoever cuts a connection off may find it cut off.
                thread::spawn(move || client.and_then(|client| serve(client, &backend, &state)));
            }
        });
        proxy
    }

    /// Has `fault` come to the next `times` requests like these.
    pub fn order(&self, method: &'static str, path: &'static str, fault: Fault, times: usize) {
        self.state.lock().unwrap().orders.push(Order { method, path, fault, left: times });
    }

    /// Asserts that all that was ordered has come, or takes back what has not.
    pub fn assert_came(&self) {
        let state = self.state.lock().unwrap();
        assert!(state.orders.iter().all(|order| order.left == 0), "{:?} came; seen: {:?}", state.orders, state.seen);
    }

    /// Takes back all that was ordered.
    pub fn clear(&self) {
        self.state.lock().unwrap().orders.clear();
    }
}

/// A request or an answer: its head with the empty line at its end, and its body.
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    fn read(stream: &mut TcpStream, answers: Option<&str>) -> std::io::Result<Option<Message>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte)? == 0 {
                return Ok(None);
            }
            head.push(byte[0]);
        }
        let mut message = Message { head: String::from_utf8(head).unwrap(), body: Vec::new() };
        if answers == Some("HEAD") {
            return Ok(Some(message));
        }
        match message.header("content-length").map(|length| length.parse().unwrap()) {
            Some(length) => {
                message.body.resize(length, 0);
                stream.read_exact(&mut message.body)?;
            }
            // The connection ends with it.
            None if answers.is_some() => {
                stream.read_to_end(&mut message.body)?;
                if message.header("transfer-encoding") == Some("chunked") {
                    message.body = without_chunks(&message.body);
                }
            }
            None => {}
        }
        Ok(Some(message))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    /// The same but for this header, which is set, or goes.
    fn with(self, name: &str, value: Option<&str>) -> Message {
        let (lines, _) = self.head.split_once("\r\n\r\n").unwrap();
        let is_other = |line: &&str| line.split_once(':').is_none_or(|(key, _)| !key.eq_ignore_ascii_case(name));
        let mut head: String = lines.lines().filter(is_other).flat_map(|line| [line, "\r\n"]).collect();
        if let Some(value) = value {
            head += &format!("{name}: {value}\r\n");
        }
        Message { head: head + "\r\n", body: self.body }
    }

    fn write(&self, stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
        stream.write_all(self.head.as_bytes())?;
        stream.write_all(body)
    }
}

/// The bytes that came in chunks, each after a line with its length.
fn without_chunks(mut chunked: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(end) = chunked.windows(2).position(|pair| pair == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&chunked[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            break;
        }
        bytes.extend_from_slice(&chunked[end + 2..][..length]);
        chunked = &chunked[end + 2 + length + 2..];
    }
    bytes
}

/// Serves one connection, request by request.
fn serve(mut client: TcpStream, backend: &str, state: &Mutex<State>) -> std::io::Result<()> {
    while let Some(request) = Message::read(&mut client, None)? {
        let mut words = request.head.split(' ');
        // Google's paths have slashes in names so.
        let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().replace("%2F", "/"));
        let fault = {
            let mut state = state.lock().unwrap();
            let mut orders = state.orders.iter_mut();
            let is_meant = |order: &&mut Order| order.left > 0 && order.method == method && path.contains(order.path);
            let fault = orders.find(is_meant).map(|order| {
                order.left -= 1;
                order.fault.clone()
            });
            state.seen.push((method.clone(), path));
            fault
        };
        match fault {
            Some(Fault::Refuse(status, code, headers)) => {
                let body = format!("<Error><Code>{code}</Code><Message>As ordered.</Message></Error>");
                let body = if method == "HEAD" { "" } else { &body };
                let length = body.len();
                write!(client, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{headers}\r\n{body}")?;
                continue;
            }
            Some(Fault::Silence) => return client.read(&mut [0]).map(drop),
            _ => {}
        }
        let mut server = TcpStream::connect(backend)?;
        let length = request.body.len();
        let body = request.body.clone();
        let request = request.with("Connection", Some("close"));
        if let Some(Fault::CutRequest) = fault {
            request.write(&mut server, &body[..length / 2])?;
            return server.shutdown(Shutdown::Both);
        }
        request.write(&mut server, &body)?;
        let Some(mut answer) = Message::read(&mut server, Some(&method))? else { return Ok(()) };
        let mut body = std::mem::take(&mut answer.body);
        match fault {
            Some(Fault::CutBeforeAnswer) => return Ok(()),
            Some(Fault::HalfBody) => {
                assert!(!body.is_empty());
                body.truncate(body.len() / 2);
                if let Some(range) = answer.header("content-range").map(str::to_owned) {
                    // "bytes FIRST-LAST/LENGTH"
                    let first: usize = range[6..].split('-').next().unwrap().parse().unwrap();
                    let end = first + body.len();
                    answer = answer.with("Content-Range", Some(&format!("bytes {first}-{}/{end}", end - 1)));
                }
                let length = body.len().to_string();
                answer = answer.with("Content-Length", Some(&length));
            }
            Some(Fault::Garbage) => body.iter_mut().for_each(|byte| *byte ^= 0x5a),
            _ => {}
        }
        if method != "HEAD" && answer.header("content-length").is_none() {
            let length = body.len().to_string();
            answer = answer.with("Transfer-Encoding", None).with("Content-Length", Some(&length));
        }
        answer = answer.with("Connection", None);
        if let Some(Fault::CutAnswer) = fault {
            return answer.write(&mut client, &body[..body.len() / 2]);
        }
        answer.write(&mut client, &body)?;
    }
    Ok(())
}
