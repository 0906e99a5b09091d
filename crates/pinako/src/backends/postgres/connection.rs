//! One connection: how it is made, what it is told, and what is asked of it.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rustix::net::{self, sockopt};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, CopyInSink, Row, RowStream, SimpleQueryMessage, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{failed, is_between_lives, is_fatal, is_of_tls, refused, slow_to_connect, stopped, unreachable};
use super::place::{Host, Place, socket_path};
use super::sql::{Query, Sql};
use super::tls::SslMode;
use super::wire::{Counters, Socket, Stopped, Stream, Wire};
use crate::error::{Error, ErrorKind, Result};

/// How much longer than the server may take for a statement we wait for what it says of that.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// The oldest version of PostgreSQL that serves: it has the setting `plan_cache_mode`.
const OLDEST: u32 = 12;

/// When a server is asked whether it is still there, how often again, and until when.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_COUNT: u32 = 3;

/// When a server that is just starting is asked again.
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// The state machine of the protocol.
type Driver = tokio_postgres::Connection<Stream, <MakeRustlsConnect as MakeTlsConnect<Stream>>::Stream>;

/// What became of a connection, or of the last statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection is gone; whether the server did what it was told last is not known.
    Cut,
    /// The server says nothing; the same holds.
    Silent,
    /// The server gave up on a statement because of its time; the connection is as good as before.
    TimedOut,
}

/// One connection. It is used by one thread at a time.
pub(super) struct Connection {
    client: Client,
    line: Line,
    sql: Arc<Sql>,
    statements: [Option<Statement>; Query::COUNT],
    counters: Arc<Counters>,
    /// How long the server may say nothing.
    silence: Duration,
    /// Whether an answer was begun and not read to its end, or a transaction not ended.
    is_amid: bool,
}

/// The socket and the state machine on it.
struct Line {
    wire: Arc<Wire>,
    driver: Driver,
    failure: Option<Failure>,
}

impl Line {
    /// Runs `future`, which is about an answer that comes through here, to its end.
    fn wait<T>(
        &mut self,
        future: impl Future<Output = Result<T, tokio_postgres::Error>>,
        silence: Duration,
    ) -> Result<T> {
        if self.is_lost() {
            return Err(Error::new(ErrorKind::Transient, "the connection to the server was cut"));
        }
        let mut future = pin!(future);
        let driver = &mut self.driver;
        let both = poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(output);
            }
            let Poll::Ready(ended) = Pin::new(&mut *driver).poll(context) else { return Poll::Pending };
            // What the server said last may have reached the future just now.
            match (future.as_mut().poll(context), ended) {
                (Poll::Ready(Err(error)), Err(reason)) if error.is_closed() => Poll::Ready(Err(reason)),
                (Poll::Ready(output), _) => Poll::Ready(output),
                (Poll::Pending, Err(reason)) => Poll::Ready(Err(reason)),
                (Poll::Pending, Ok(())) => Poll::Pending,
            }
        });
        match self.wire.run(both, silence) {
            Ok(output) => output.map_err(|error| {
                if is_fatal(&error) {
                    self.failure = Some(Failure::Cut);
                } else if error.code() == Some(&SqlState::QUERY_CANCELED) {
                    self.failure = Some(Failure::TimedOut);
                }
                failed(error)
            }),
            Err(error) => {
                self.failure = Some(Failure::Silent);
                Err(stopped(error))
            }
        }
    }

    fn is_lost(&self) -> bool {
        matches!(self.failure, Some(Failure::Cut | Failure::Silent))
    }
}

impl Connection {
    /// Connects to the server of `place`, and has every statement run under `settings`.
    ///
    /// # Errors
    /// `Transient` where nobody answers, `Denied` where the server does not let us in, `NotFound` where it has no such
    /// database.
    pub(super) fn open(place: &Place, settings: &str, sql: &Arc<Sql>, counters: &Arc<Counters>) -> Result<Self> {
        let modes: &[tokio_postgres::config::SslMode] = {
            use tokio_postgres::config::SslMode as Asked;
            match place.tls.mode {
                SslMode::Disable => &[Asked::Disable],
                SslMode::Allow => &[Asked::Disable, Asked::Require],
                SslMode::Prefer => &[Asked::Prefer, Asked::Disable],
                SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Asked::Require],
            }
        };
        let mut refusal = None;
        for &mode in modes {
            match Self::greet(place, mode, counters)? {
                Ok((client, line)) => {
                    let mut connection = Connection {
                        client,
                        line,
                        sql: sql.clone(),
                        statements: Default::default(),
                        counters: counters.clone(),
                        silence: place.statement_timeout + GRACE,
                        is_amid: false,
                    };
                    connection.check_version()?;
                    connection.batch(settings)?;
                    return Ok(connection);
                }
                Err(error) => {
                    let may_be_its_mode =
                        is_of_tls(&error) || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
                    refusal.get_or_insert(error);
                    if !may_be_its_mode {
                        break;
                    }
                }
            }
        }
        let refusal = refusal.map(|error| refused(place, error));
        Err(refusal.unwrap_or_else(|| slow_to_connect(place)))
    }

    /// Makes a connection by a mode of TLS: it, or how the server refused it.
    fn greet(
        place: &Place,
        mode: tokio_postgres::config::SslMode,
        counters: &Arc<Counters>,
    ) -> Result<Result<(Client, Line), tokio_postgres::Error>> {
        let mut config = Config::new();
        config.user(&place.user).dbname(&place.database).application_name(&place.application_name).ssl_mode(mode);
        if let Some(password) = &place.password {
            config.password(password);
        }
        let end = Instant::now() + place.connect_timeout;
        let name = match &place.host {
            Host::Tcp(name) => name,
            Host::Unix(_) => "localhost",
        };
        let mut tls = MakeRustlsConnect::new((*place.tls.config).clone());
        loop {
            let wire = reach(place, end).and_then(|socket| Wire::new(socket, counters.clone()));
            let wire = wire.map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => slow_to_connect(place),
                _ => unreachable(place, error),
            })?;
            let Ok(tls) = MakeTlsConnect::<Stream>::make_tls_connect(&mut tls, name);
            counters.requests.fetch_add(1, Ordering::Relaxed);
            match wire.run_until(config.connect_raw(wire.stream(), tls), end) {
                Ok(Ok((client, driver))) => return Ok(Ok((client, Line { wire, driver, failure: None }))),
                Ok(Err(error)) if is_between_lives(&error) && Instant::now() + BETWEEN_TRIES < end => {
                    thread::sleep(BETWEEN_TRIES);
                }
                Ok(Err(error)) => return Ok(Err(error)),
                Err(Stopped::Silence(_)) => return Err(slow_to_connect(place)),
                Err(Stopped::Failed(error)) => return Err(unreachable(place, error)),
            }
        }
    }

    /// A value that the server told of itself as the connection began.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.line.driver.parameter(name)
    }

    /// Checks that the server knows what we ask of it.
    fn check_version(&self) -> Result<()> {
        let version = self.parameter("server_version").unwrap_or_default();
        match version.split(|c: char| !c.is_ascii_digit()).next().and_then(|major| major.parse::<u32>().ok()) {
            Some(major) if major < OLDEST => {
                Err(Error::unsupported(format!("the server is PostgreSQL {version}, a store needs {OLDEST} or later")))
            }
            _ => Ok(()),
        }
    }

    /// How the connection or the last statement failed, if it did.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.line.failure
    }

    /// Whether the server still answers on it.
    pub(super) fn is_there(&self) -> bool {
        !self.line.is_lost()
    }

    /// Whether the connection is as good as a new one.
    pub(super) fn is_sound(&self) -> bool {
        !self.is_amid && self.is_there()
    }

    /// Forgets how an earlier statement failed.
    pub(super) fn begin_anew(&mut self) {
        self.line.failure = None;
    }

    fn count_request(&self) {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The statement of `query`, which the server parses once a connection.
    fn prepare(&mut self, query: Query) -> Result<Statement> {
        if let Some(statement) = &self.statements[query as usize] {
            return Ok(statement.clone());
        }
        self.count_request();
        let statement = self.line.wait(self.client.prepare(self.sql.of(query)), self.silence)?;
        Ok(self.statements[query as usize].insert(statement).clone())
    }

    /// Asks a query, whose rows come as they are taken.
    pub(super) fn query(&mut self, query: Query, parameters: &[&(dyn ToSql + Sync)]) -> Result<Rows<'_>> {
        let statement = self.prepare(query)?;
        self.count_request();
        let parameters = parameters.iter().copied();
        let rows = self.line.wait(self.client.query_raw(&statement, parameters), self.silence)?;
        let was_amid = std::mem::replace(&mut self.is_amid, true);
        Ok(Rows { connection: self, rows: Box::pin(rows), was_amid })
    }

    /// The only row that a query has.
    pub(super) fn query_one(&mut self, query: Query, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        let statement = self.prepare(query)?;
        self.count_request();
        self.line.wait(self.client.query_one(&statement, parameters), self.silence)
    }

    /// Does what a query says that has no rows.
    pub(super) fn execute(&mut self, query: Query, parameters: &[&(dyn ToSql + Sync)]) -> Result<()> {
        let statement = self.prepare(query)?;
        self.count_request();
        self.line.wait(self.client.execute(&statement, parameters), self.silence).map(drop)
    }

    /// Has the server do `statements`, which are one message; their rows are text.
    pub(super) fn batch(&mut self, statements: &str) -> Result<Vec<SimpleQueryMessage>> {
        self.batch_within(statements, self.silence)
    }

    /// As [`batch`](Self::batch), where the server may say nothing for so long.
    fn batch_within(&mut self, statements: &str, silence: Duration) -> Result<Vec<SimpleQueryMessage>> {
        self.count_request();
        self.line.wait(self.client.simple_query(statements), silence)
    }

    /// Lets the server say nothing for so long from now on.
    pub(super) fn allow_silence(&mut self, silence: Duration) {
        self.silence = silence;
    }

    /// Begins a transaction by `statements`; until it is ended, the connection is of no use to others.
    pub(super) fn begin(&mut self, statements: &str, patience: Duration) -> Result<Vec<SimpleQueryMessage>> {
        self.is_amid = true;
        self.batch_within(statements, self.silence + patience)
    }

    /// Ends a transaction by `statements`.
    pub(super) fn end(&mut self, statements: &str) -> Result<()> {
        self.batch(statements)?;
        self.is_amid = false;
        Ok(())
    }

    /// Begins to copy rows into a table.
    pub(super) fn copy_in(&mut self, query: Query) -> Result<CopyIn<'_>> {
        let statement = self.prepare(query)?;
        self.count_request();
        let sink = self.line.wait(self.client.copy_in(&statement), self.silence)?;
        self.line.wire.listen();
        Ok(CopyIn { line: &mut self.line, silence: self.silence, sink: Box::pin(sink) })
    }
}

/// Rows that the server sends.
pub(super) struct Rows<'a> {
    connection: &'a mut Connection,
    rows: Pin<Box<RowStream>>,
    was_amid: bool,
}

impl Rows<'_> {
    pub(super) fn next(&mut self) -> Result<Option<Row>> {
        let Connection { line, silence, .. } = &mut *self.connection;
        let rows = &mut self.rows;
        let next = line.wait(async { rows.next().await.transpose() }, *silence);
        if !matches!(next, Ok(Some(_))) {
            self.connection.is_amid = self.was_amid;
        }
        next
    }

    /// Takes the rest of the rows, which nobody wants: there are few.
    pub(super) fn skip_rest(mut self) -> Result<()> {
        while self.next()?.is_some() {}
        Ok(())
    }
}

/// Rows that the server takes.
pub(super) struct CopyIn<'a> {
    line: &'a mut Line,
    silence: Duration,
    sink: Pin<Box<CopyInSink<Bytes>>>,
}

impl CopyIn<'_> {
    /// Sends some of them, in the form of `COPY ... BINARY`.
    pub(super) fn send(&mut self, bytes: Bytes) -> Result<()> {
        self.line.wait(self.sink.feed(bytes), self.silence)?;
        // While a server takes rows it says nothing. It would let us send all the others for nothing, too.
        if self.line.wire.has_spoken() {
            self.line.wait(self.sink.as_mut().finish(), self.silence)?;
            return Err(Error::new(ErrorKind::Backend, "the server ended the copying of rows before all were sent"));
        }
        Ok(())
    }

    /// Ends the copy.
    pub(super) fn finish(mut self) -> Result<()> {
        self.line.wait(self.sink.as_mut().finish(), self.silence).map(drop)
    }
}

/// A socket that is connected to the server.
fn reach(place: &Place, end: Instant) -> io::Result<Socket> {
    let name = match &place.host {
        Host::Unix(folder) => return Ok(Socket::Unix(reach_file(&socket_path(folder, place.port), end)?)),
        Host::Tcp(name) => name,
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name stands for no address");
    for address in look_up(name, place.port, end)? {
        match TcpStream::connect_timeout(&address, left_until(end)?) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                sockopt::set_socket_keepalive(&socket, true)?;
                sockopt::set_tcp_keepidle(&socket, KEEPALIVE_IDLE)?;
                sockopt::set_tcp_keepintvl(&socket, KEEPALIVE_INTERVAL)?;
                sockopt::set_tcp_keepcnt(&socket, KEEPALIVE_COUNT)?;
                return Ok(Socket::Tcp(socket));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The time until `end`, which must not have come.
fn left_until(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// The addresses that a name stands for. The system's look-up has no limit that we could set: it may go on by itself.
fn look_up(name: &str, port: u16, end: Instant) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let (sender, receiver) = mpsc::channel();
    let name = name.to_owned();
    thread::Builder::new().name("pinako-look-up".to_owned()).spawn(move || {
        // Nobody may wait for it any more.
        let _ = sender.send((&*name, port).to_socket_addrs().map(Iterator::collect));
    })?;
    receiver.recv_timeout(left_until(end)?).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A socket that is connected to one in the file system. A server that is slow to take connections has others wait.
fn reach_file(path: &Path, end: Instant) -> io::Result<UnixStream> {
    let socket = UnixStream::from(net::socket_with(
        net::AddressFamily::UNIX,
        net::SocketType::STREAM,
        net::SocketFlags::CLOEXEC,
        None,
    )?);
    socket.set_write_timeout(Some(left_until(end)?))?;
    match net::connect(&socket, &net::SocketAddrUnix::new(path)?) {
        Ok(()) => Ok(socket),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INPROGRESS) => Err(io::ErrorKind::TimedOut.into()),
        Err(error) => Err(error.into()),
    }
}
