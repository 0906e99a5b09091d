//! What goes between a store and its server: each HTTP request counted, and none left to hang.
//!
//! `object_store` makes requests and tries them again; every single try comes through here. It gives a try a time to
//! end in, which is of no use where one takes milliseconds and the next moves 64 MiB over a slow line: here a try is
//! given up when nothing has moved for a while, in either direction. What a server refuses is read here, too, since
//! only here are all of its words still there.
//!
//! Every request of ours may be sent twice: what is put never changes, and who puts a manifest knows his own. So
//! whatever cuts a try off is reported in the way that has it tried again.

use std::error::Error as _;
use std::future::Future;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use parking_lot::Mutex;
use reqwest::redirect;
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::time::{Instant, Sleep, sleep, timeout_at};

use super::error::{Cut, Refusal, innermost};
use crate::backend::Traffic;
use crate::of_process::OfProcess;

/// How long making a connection may take, where the patience is not shorter anyway.
const CONNECT_SECONDS: u64 = 5;

/// How long a server that hands out credentials to the machines of its cloud may take: it is close by, or not there.
const METADATA_PATIENCE: Duration = Duration::from_secs(2);

/// How long a server that this handle has never reached is asked for a connection: one that is down for a moment is back by
/// then, and who mistyped its name need not wait for the whole timeout.
const FIRST_CONTACT: Duration = Duration::from_secs(3);

/// Bytes that are handed to the connection at once: as long as one more of these goes out at times, a try is alive.
const SLICE: usize = 64 << 10;

/// How often a long upload that was cut off is made again, beside what `object_store` makes of it: that counts its time
/// from the first try on, of which such an upload leaves nothing.
const UPLOADS: usize = 3;

/// Between tries after such an upload.
const PAUSE: Duration = Duration::from_millis(200);

/// Bytes read of what a server says when it refuses.
const REFUSAL_BYTES: usize = 64 << 10;

/// Counts what a handle asks of its server.
#[derive(Debug, Default)]
pub(super) struct Counts {
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Counts {
    /// Counts a request that does not go over HTTP.
    pub(super) fn add(&self, sent: usize, received: usize) {
        self.requests.fetch_add(1, Relaxed);
        self.sent.fetch_add(sent as u64, Relaxed);
        self.received.fetch_add(received as u64, Relaxed);
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Relaxed),
            sent: self.sent.load(Relaxed),
            received: self.received.load(Relaxed),
        }
    }
}

/// The process's connections, which all stores share.
static CLIENT: OfProcess<reqwest::Client> = OfProcess::new();

fn client() -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls().map_err(|error| error.to_string())?)
        .user_agent(concat!("pinako/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(CONNECT_SECONDS))
        .http1_only()
        // What was signed for one server is for no other.
        .redirect(redirect::Policy::none())
        .build()
        .map_err(|error| error.to_string())
}

/// TLS with the authorities of the system. That of reqwest itself would be whatever the process has chosen for all.
fn tls() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_platform_verifier()?.with_no_client_auth())
}

/// Makes the requests of one store.
#[derive(Debug, Clone)]
pub(super) struct Http {
    pub(super) counts: Arc<Counts>,
    /// How long a try lives in which nothing moves.
    pub(super) patience: Duration,
    contact: Arc<Contact>,
}

/// Whether the server was ever reached.
#[derive(Debug, Default)]
struct Contact {
    reached: AtomicBool,
    /// When it was first tried.
    since: OnceLock<Instant>,
}

impl Contact {
    /// Whether it makes sense to try on, after a try that `failed`.
    fn is_hopeless(&self, failed: &HttpError) -> bool {
        if failed.kind() != HttpErrorKind::Connect {
            self.reached.store(true, Relaxed);
        }
        !self.reached.load(Relaxed) && self.since.get().is_some_and(|since| since.elapsed() > FIRST_CONTACT)
    }
}

impl Http {
    pub(super) fn new(counts: Arc<Counts>, patience: Duration) -> Self {
        Http { counts, patience, contact: Arc::default() }
    }
}

impl HttpConnector for Http {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Http {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.uri().host().is_some_and(hands_out_credentials) {
            return self.attempt(request, METADATA_PATIENCE).await.map_err(of_metadata);
        }
        let timeout = 2 * self.patience;
        let (mut uploads, mut until) = (0, None);
        self.contact.since.get_or_init(Instant::now);
        loop {
            let begun = Instant::now();
            let failed = match self.attempt(request.clone(), self.patience).await {
                Err(failed) if self.contact.is_hopeless(&failed) => {
                    return Err(HttpError::new(HttpErrorKind::Unknown, Cut::NeverReached(innermost(&failed))));
                }
                Err(failed) if matches!(failed.kind(), HttpErrorKind::Connect | HttpErrorKind::Request) => failed,
                Ok(answer) => {
                    self.contact.reached.store(true, Relaxed);
                    return Ok(answer);
                }
                Err(failed) => return Err(failed),
            };
            // What took longer moved for most of the time.
            if begun.elapsed() > timeout && uploads < UPLOADS {
                uploads += 1;
                until = Some(Instant::now() + timeout);
            }
            if until.is_none_or(|until| until < Instant::now()) {
                return Err(failed);
            }
            sleep(PAUSE).await;
        }
    }
}

/// What it means that a server which hands out credentials did not answer: whoever is on no machine of a cloud's has no
/// such server, and it is not asked again. What one says that is there is told, or may pass.
fn of_metadata(error: HttpError) -> HttpError {
    let is_stalled = error.source().is_some_and(|source| source.is::<Cut>());
    match error.kind() {
        HttpErrorKind::Connect => HttpError::new(HttpErrorKind::Unknown, Cut::NoCredentials),
        _ if is_stalled => HttpError::new(HttpErrorKind::Unknown, Cut::NoCredentials),
        _ => error,
    }
}

/// Whether machines ask `host` who they are.
fn hands_out_credentials(host: &str) -> bool {
    host.starts_with("169.254.") || host == "metadata.google.internal"
}

impl Http {
    async fn attempt(&self, request: HttpRequest, patience: Duration) -> Result<HttpResponse, HttpError> {
        let client = CLIENT.get(client);
        let client = client.map_err(|why| HttpError::new(HttpErrorKind::Unknown, Cut::NoClient(why)))?;
        self.counts.requests.fetch_add(1, Relaxed);
        let (parts, body) = request.into_parts();
        let url = reqwest::Url::parse(&parts.uri.to_string());
        let url = url.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        // What `object_store` reads bit by bit, and goes on with where it was cut off; all else it only asks for again.
        let is_stream = parts.method.as_str() == "GET" && url.query().is_none();
        let mut outgoing = reqwest::Request::new(parts.method, url);
        *outgoing.headers_mut() = parts.headers;
        let moved = Arc::new(Mutex::new(Instant::now()));
        if body.content_length() > 0 {
            let counts = Arc::clone(&self.counts);
            let body = Outgoing { body, rest: Bytes::new(), counts, moved: Arc::clone(&moved) };
            *outgoing.body_mut() = Some(reqwest::Body::wrap(body));
        }

        let mut answer = pin!(client.execute(outgoing));
        let mut answer = loop {
            let deadline = *moved.lock() + patience;
            match timeout_at(deadline, &mut answer).await {
                Ok(answer) => break answer.map_err(cut_off)?,
                Err(_) if *moved.lock() + patience > deadline => {}
                Err(_) => return Err(HttpError::new(HttpErrorKind::Request, Cut::Stalled(patience))),
            }
        };
        let (status, headers) = (answer.status(), mem::take(answer.headers_mut()));
        let (body, counts) = (reqwest::Body::from(answer), Arc::clone(&self.counts));
        let mut answer = HttpResponse::new(HttpResponseBody::new(Incoming { body, counts, patience, waiting: None }));
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        match status.as_u16() {
            200..=299 | 304 if is_stream => Ok(answer),
            200..=299 | 304 => {
                let (parts, body) = answer.into_parts();
                Ok(HttpResponse::from_parts(parts, gather(body, usize::MAX).await?.into()))
            }
            _ => refused(answer).await,
        }
    }
}

/// The bytes of an answer, which are not read on once there are as many as `enough`.
async fn gather(mut body: HttpResponseBody, enough: usize) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::new();
    while bytes.len() < enough {
        match std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            Some(frame) => bytes.extend_from_slice(frame?.data_ref().map_or(&[], |data| &data[..])),
            None => break,
        }
    }
    Ok(bytes)
}

/// What a server that said no has to say. The answers that `object_store` knows what to make of are handed on.
async fn refused(answer: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (parts, body) = answer.into_parts();
    let said = gather(body, REFUSAL_BYTES).await?;
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let refusal = Refusal::parse(parts.status.as_u16(), &String::from_utf8_lossy(&said), header);
    if refusal.says_what_is_there() {
        return Ok(HttpResponse::from_parts(parts, said.into()));
    }
    let kind = if refusal.may_pass() { HttpErrorKind::Request } else { HttpErrorKind::Unknown };
    Err(HttpError::new(kind, refusal))
}

/// A try that failed on its way.
fn cut_off(error: reqwest::Error) -> HttpError {
    let kind = match error {
        ref error if error.is_connect() => HttpErrorKind::Connect,
        ref error if error.is_builder() => HttpErrorKind::Unknown,
        _ => HttpErrorKind::Request,
    };
    // The URL may have a signature in it.
    HttpError::new(kind, error.without_url())
}

/// A request's bytes, slice by slice.
struct Outgoing {
    body: HttpRequestBody,
    rest: Bytes,
    counts: Arc<Counts>,
    moved: Arc<Mutex<Instant>>,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(frame) => self.rest = frame?.into_data().unwrap_or_default(),
                None => return Poll::Ready(None),
            }
        }
        let length = self.rest.len().min(SLICE);
        self.counts.sent.fetch_add(length as u64, Relaxed);
        *self.moved.lock() = Instant::now();
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64 + self.body.size_hint().lower())
    }
}

/// An answer's bytes, which are given up when none have come for as long as the patience lasts.
struct Incoming {
    body: reqwest::Body,
    counts: Arc<Counts>,
    patience: Duration,
    /// Until when the next are waited for; none while nobody waits for any.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waiting = None;
            let received = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
            self.counts.received.fetch_add(received as u64, Relaxed);
            return Poll::Ready(frame.map(|frame| frame.map_err(cut_off)));
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Request, Cut::Stalled(patience)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use object_store::path::Path;
    use object_store::{ObjectStoreExt, PutPayload};

    use super::super::connect::{Place, connect_url};
    use super::super::error::failed;
    use super::*;
    use crate::backends::runtime::wait_for;
    use crate::error::{Error, ErrorKind};

    /// What the server of a test does with one connection.
    type Act = fn(&mut TcpStream);

    /// A store whose server does `acts`, one a connection.
    fn place(timeout: &str, acts: &'static [Act]) -> Place {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url =
            format!("s3://bucket?anonymous=true&timeout={timeout}&endpoint=http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for act in acts {
                act(&mut listener.accept().unwrap().0);
            }
        });
        connect_url(&url).unwrap()
    }

    fn get(place: &Place) -> Result<Bytes, Error> {
        let path = Path::from("a");
        wait_for(async {
            let got = async { place.store.get(&path).await?.bytes().await };
            got.await.map_err(|error| failed("cannot read", &path, error))
        })
    }

    fn ask(stream: &mut TcpStream) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).unwrap(), 1);
            request.push(byte[0]);
        }
    }

    fn answer(stream: &mut TcpStream, head: &str, length: usize, body: &str) {
        ask(stream);
        write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    }

    fn whole(stream: &mut TcpStream) {
        answer(stream, "200 OK\r\nETag: \"e\"\r\nLast-Modified: Tue, 01 Dec 2026 00:00:00 GMT", 4, "abcd");
    }

    fn busy(stream: &mut TcpStream) {
        answer(stream, "503 Slow Down", 30, "<Error><Code>SlowDown</Code></");
    }

    fn silent(stream: &mut TcpStream) {
        ask(stream);
        let _ = stream.read(&mut [0]);
    }

    fn silent_in_the_body(stream: &mut TcpStream) {
        answer(stream, "200 OK\r\nLast-Modified: Tue, 01 Dec 2026 00:00:00 GMT", 4, "ab");
        let _ = stream.read(&mut [0]);
    }

    /// Takes an upload slowly, and then hangs up.
    fn cuts_off_late(stream: &mut TcpStream) {
        ask(stream);
        let mut left = PATIENT_BYTES;
        while left > 0 {
            left -= stream.read(&mut vec![0; 256 << 10]).unwrap();
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn takes_its_time(stream: &mut TcpStream) {
        cuts_off_late(stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 0\r\n\r\n").unwrap();
    }

    const PATIENT_BYTES: usize = 32 << 20;

    #[test]
    fn what_may_pass_is_tried_again_and_counted() {
        let place = place("20s", &[busy, drop_it, busy, whole]);
        assert_eq!(get(&place).unwrap(), "abcd");
        assert_eq!(place.traffic.traffic(), Traffic { requests: 4, sent: 0, received: 64 });
    }

    fn drop_it(stream: &mut TcpStream) {
        ask(stream);
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up() {
        for acts in [&[silent as Act; 9], &[silent_in_the_body as Act; 9]] {
            let error = get(&place("200ms", acts)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Transient);
            assert!(error.hint().unwrap().contains("?timeout="), "{error:?}");
        }
    }

    fn put(place: &Place) -> Result<(), Error> {
        let payload = PutPayload::from(vec![0; PATIENT_BYTES]);
        wait_for(async {
            let put = place.store.put(&Path::from("a"), payload).await;
            put.map(drop).map_err(|error| failed("cannot store", &Path::ROOT, error))
        })
    }

    #[test]
    fn an_upload_may_take_longer_than_the_patience_as_long_as_it_moves() {
        let place = place("1s", &[takes_its_time]);
        put(&place).unwrap();
        assert_eq!(place.traffic.traffic(), Traffic { requests: 1, sent: PATIENT_BYTES as u64, received: 0 });
    }

    #[test]
    fn an_upload_that_took_longer_than_the_timeout_and_was_cut_off_is_made_again() {
        put(&place("1s", &[cuts_off_late, drop_it, takes_its_time])).unwrap();
    }

    #[test]
    fn a_server_of_credentials_that_is_there_is_not_said_to_be_missing() {
        let busy = |status| HttpError::new(HttpErrorKind::Request, Refusal::parse(status, "", |_| None));
        let refused = |status| HttpError::new(HttpErrorKind::Unknown, Refusal::parse(status, "", |_| None));
        let stalled = HttpError::new(HttpErrorKind::Request, Cut::Stalled(METADATA_PATIENCE));
        let unreachable = HttpError::new(HttpErrorKind::Connect, std::io::Error::other("no route"));
        let told = |error| {
            let source = Box::new(of_metadata(error));
            failed("cannot read", &Path::from("a"), object_store::Error::Generic { store: "S3", source })
        };
        for error in [stalled, unreachable] {
            let told = told(error);
            assert_eq!(told.kind(), ErrorKind::Denied);
            assert!(told.hint().unwrap().contains("AWS_ACCESS_KEY_ID"), "{told:?}");
        }
        assert_eq!(of_metadata(busy(503)).kind(), HttpErrorKind::Request);
        assert_eq!(told(busy(429)).kind(), ErrorKind::Transient);
        let told = told(refused(403));
        assert!(told.kind() == ErrorKind::Denied && told.source().unwrap().to_string().contains("403"), "{told:?}");
    }

    #[test]
    fn who_was_never_reached_is_not_tried_for_the_whole_timeout_and_who_was_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("s3://b?anonymous=true&timeout=1m&endpoint=http://{}", listener.local_addr().unwrap());
        drop(listener);
        let began = Instant::now();
        let error = get(&connect_url(&url).unwrap()).unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert_eq!(error.kind(), ErrorKind::Transient);
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("Connection refused"), "{error:?}");

        let contact = Contact::default();
        contact.since.set(Instant::now() - 2 * FIRST_CONTACT).unwrap();
        let refused = HttpError::new(HttpErrorKind::Connect, std::io::Error::other("refused"));
        assert!(contact.is_hopeless(&refused));
        assert!(!contact.is_hopeless(&HttpError::new(HttpErrorKind::Request, std::io::Error::other("cut off"))));
        assert!(!contact.is_hopeless(&refused), "it was there before");
    }

    #[test]
    fn where_nobody_listens_that_is_said() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("s3://b?anonymous=true&timeout=200ms&endpoint=http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = get(&connect_url(&url).unwrap()).unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::Transient, "cannot read a"));
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("Connection refused"), "{error:?}");
    }
}
