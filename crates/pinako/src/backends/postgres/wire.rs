//! The socket of one connection, and how its thread waits by it.
//!
//! The protocol's state machine is tokio-postgres', which is asynchronous. A connection is used by one thread at a time,
//! though, and that thread has nothing else to do than to wait for the server's answer: so it runs the state machine
//! itself, and where that can go no further, waits for the socket with `poll(2)`. An answer reaches the caller without
//! passing through other threads, which takes half the time of one round trip; a sink may stay on its thread and keep
//! the server waiting, who then sends no more than the socket holds; the longest silence is an argument of the wait; and
//! no runtime is in the way of a program that has one of its own.

use std::fmt;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are taken from the socket at once.
const READ_BUFFER: usize = 128 << 10;

/// What all connections of a handle have exchanged with the server.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
}

impl Counters {
    /// Bytes both ways.
    pub(super) fn exchanged(&self) -> u64 {
        self.sent.load(Ordering::Relaxed).wrapping_add(self.received.load(Ordering::Relaxed))
    }
}

/// A socket of either kind.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.set_nonblocking(true),
            Socket::Unix(socket) => socket.set_nonblocking(true),
        }
    }

    fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => (&mut &*socket).read(out),
            Socket::Unix(socket) => (&mut &*socket).read(out),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => (&mut &*socket).write(bytes),
            Socket::Unix(socket) => (&mut &*socket).write(bytes),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }
}

/// One end of a connection's socket: the state machine has it as a [`Stream`], its thread waits by it.
pub(super) struct Wire {
    socket: Socket,
    counters: Arc<Counters>,
    /// Whether anything came since [`listen`](Self::listen).
    has_spoken: AtomicBool,
    /// Whether there may be something to read: not since the last time that less came than there was room for.
    may_read: AtomicBool,
    /// What the state machine found the socket not ready for since it ran last.
    wants_to_read: AtomicBool,
    wants_to_write: AtomicBool,
}

/// How a wait ended without what was waited for.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The server said nothing for so long.
    Silence(Duration),
    Failed(io::Error),
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

impl Wire {
    /// Takes over a socket that is connected.
    pub(super) fn new(socket: Socket, counters: Arc<Counters>) -> io::Result<Arc<Self>> {
        socket.set_nonblocking()?;
        let [has_spoken, may_read, wants_to_read, wants_to_write] = [false, true, false, false].map(AtomicBool::new);
        Ok(Arc::new(Wire { socket, counters, has_spoken, may_read, wants_to_read, wants_to_write }))
    }

    /// The end that the state machine gets.
    pub(super) fn stream(self: &Arc<Self>) -> Stream {
        Stream { wire: self.clone(), buffer: vec![0; READ_BUFFER].into(), start: 0, end: 0 }
    }

    /// Runs `future`, which uses this socket and nothing else that has to be waited for, to its end.
    ///
    /// # Errors
    /// Where the server neither says nor takes anything for longer than `silence`.
    pub(super) fn run<T>(&self, future: impl Future<Output = T>, silence: Duration) -> Result<T, Stopped> {
        self.run_while(future, || silence)
    }

    /// As [`run`](Self::run), where all of it must be over by `end`.
    pub(super) fn run_until<T>(&self, future: impl Future<Output = T>, end: Instant) -> Result<T, Stopped> {
        self.run_while(future, || end.saturating_duration_since(Instant::now()))
    }

    /// Runs `future`, where each wait may be as long as `silence` says then.
    fn run_while<T>(&self, future: impl Future<Output = T>, silence: impl Fn() -> Duration) -> Result<T, Stopped> {
        let mut future = pin!(future);
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            woken.0.store(false, Ordering::Relaxed);
            self.wants_to_read.store(false, Ordering::Relaxed);
            self.wants_to_write.store(false, Ordering::Relaxed);
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Ok(output);
            }
            if !woken.0.load(Ordering::Relaxed) {
                self.wait(silence())?;
            }
        }
    }

    /// Begins to listen for anything that the server says.
    pub(super) fn listen(&self) {
        self.has_spoken.store(false, Ordering::Relaxed);
    }

    /// Whether the server said anything since [`listen`](Self::listen).
    pub(super) fn has_spoken(&self) -> bool {
        let is_readable = || {
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&at_once)).is_ok_and(|ready| ready > 0)
        };
        self.has_spoken.load(Ordering::Relaxed) || is_readable()
    }

    /// Waits until the socket is ready for what it was not.
    fn wait(&self, silence: Duration) -> Result<(), Stopped> {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, self.wants_to_read.load(Ordering::Relaxed));
        events.set(PollFlags::OUT, self.wants_to_write.load(Ordering::Relaxed));
        let end = Instant::now() + silence;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.socket, events)], Some(&timeout)) {
                Ok(0) => return Err(Stopped::Silence(silence)),
                Ok(_) => {
                    self.may_read.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Stopped::Failed(error.into())),
            }
        }
    }
}

/// Notes that the state machine can go on.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The socket as the state machine sees it.
pub(super) struct Stream {
    wire: Arc<Wire>,
    /// Bytes that were received and not asked for yet: those from `start` to `end`. The state machine asks for a few
    /// kilobytes at a time.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let wire = &this.wire;
        while this.start == this.end {
            if !wire.may_read.load(Ordering::Relaxed) {
                wire.wants_to_read.store(true, Ordering::Relaxed);
                return Poll::Pending;
            }
            match wire.socket.read(&mut this.buffer) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(count) => {
                    wire.counters.received.fetch_add(count as u64, Ordering::Relaxed);
                    wire.has_spoken.store(true, Ordering::Relaxed);
                    wire.may_read.store(count == this.buffer.len(), Ordering::Relaxed);
                    (this.start, this.end) = (0, count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wire.may_read.store(false, Ordering::Relaxed)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let count = out.remaining().min(this.end - this.start);
        out.put_slice(&this.buffer[this.start..this.start + count]);
        this.start += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.wire.socket.write(bytes) {
                Ok(count) => {
                    self.wire.counters.sent.fetch_add(count as u64, Ordering::Relaxed);
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wire.wants_to_write.store(true, Ordering::Relaxed);
                    return Poll::Pending;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
