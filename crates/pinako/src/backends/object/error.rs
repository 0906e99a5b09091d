//! What servers and clients say when something fails, told as one of ours.
//!
//! The message says what was being done to which object, the source why it failed, in the server's own words where it
//! had any, and the hint what to do: the three services call the same things by different names, which meet here.
//! Nothing of a URL's query is ever shown, where signatures stand.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;

use crate::error::{Error, ErrorKind};

/// How far this machine's clock may be off before requests are refused for it: the least that the services allow.
const CLOCK_TOLERANCE_SECONDS: i64 = 300;

const CHECK_ENDPOINT: &str =
    "check that the server runs, and the endpoint: its name, its port, and whether it speaks TLS";

/// Characters of a server's words that are shown.
const WORDS: usize = 300;

/// Why a request had no answer.
#[derive(Debug)]
pub(super) enum Cut {
    /// Nothing moved for so long.
    Stalled(Duration),
    /// There was never a connection to it, and why the last try made none.
    NeverReached(String),
    /// None were given, and there is no server that gives this machine any.
    NoCredentials,
    /// There can be no connections at all, and why.
    NoClient(String),
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Stalled(patience) => write!(f, "nothing came from the server, or went to it, for {patience:?}"),
            Cut::NeverReached(why) => write!(f, "no connection: {why}"),
            Cut::NoCredentials => f.write_str("there are no credentials, and no server that gives this machine any"),
            Cut::NoClient(why) => write!(f, "no connections can be made: {why}"),
        }
    }
}

impl StdError for Cut {}

/// What a server said that refused.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    /// The service's name for the reason, in one word; may be empty.
    code: String,
    /// The same in a sentence; may be empty.
    words: String,
    /// Where the bucket really is.
    region: Option<String>,
    /// How many seconds the server's clock is ahead of this machine's.
    ahead: i64,
}

impl Refusal {
    /// Reads an answer with this status and body.
    pub(super) fn parse<'a>(status: u16, body: &str, header: impl Fn(&str) -> Option<&'a str>) -> Self {
        let element = |name: &str| {
            let (_, rest) = body.split_once(&format!("<{name}>"))?;
            rest.split_once(&format!("</{name}>")).map(|(text, _)| shown(text))
        };
        let code = element("Code").or_else(|| header("x-ms-error-code").map(shown)).unwrap_or_default();
        // Google's say more in the details.
        let words = element("Details").or_else(|| element("Message"));
        let words = words.or_else(|| (!body.trim_start().starts_with('<')).then(|| shown(body))).unwrap_or_default();
        let region = element("Region").or_else(|| header("x-amz-bucket-region").map(shown));
        let date = header("date").and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        let ahead = date.map_or(0, |date| (date.to_utc() - Utc::now()).num_seconds());
        Refusal { status, code, words, region, ahead }
    }

    /// Whether it says that there is such an object, or none: what to make of that is for whoever asked.
    pub(super) fn says_what_is_there(&self) -> bool {
        matches!(self.status, 404 | 409 | 412) && !self.misses_bucket() && !self.may_pass()
    }

    /// Whether it may be gone if the same is asked again.
    pub(super) fn may_pass(&self) -> bool {
        let at_once = matches!(&*self.code, "ConditionalRequestConflict" | "OperationAborted");
        at_once || (matches!(self.status, 408 | 429 | 500..) && self.status != 501)
    }

    fn misses_bucket(&self) -> bool {
        matches!(&*self.code, "NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted" | "AccountIsDisabled")
    }

    fn refuses_credentials(&self) -> bool {
        const CODES: &[&str] = &[
            "AuthenticationFailed",
            "ExpiredToken",
            "InvalidAccessKeyId",
            "InvalidAuthenticationInfo",
            "InvalidSecurity",
            "InvalidToken",
            "NoAuthenticationInformation",
            "SignatureDoesNotMatch",
            "TokenRefreshRequired",
            "invalid_client",
            "invalid_grant",
        ];
        self.status == 401
            || CODES.iter().any(|code| self.code == *code || self.words.contains(code))
            || self.words.contains("failed to authenticate")
    }

    fn refuses_clock(&self) -> bool {
        self.code == "RequestTimeTooSkewed"
            || (matches!(self.status, 400 | 401 | 403) && self.ahead.abs() > CLOCK_TOLERANCE_SECONDS)
    }

    fn kind(&self) -> ErrorKind {
        match self.status {
            _ if self.misses_bucket() => ErrorKind::NotFound,
            _ if self.may_pass() => ErrorKind::Transient,
            _ if self.refuses_clock() || self.refuses_credentials() => ErrorKind::Denied,
            403 | 407 => ErrorKind::Denied,
            301 | 307 | 308 => ErrorKind::InvalidInput,
            _ if self.region.is_some() => ErrorKind::InvalidInput,
            404 => ErrorKind::NotFound,
            416 => ErrorKind::Corrupt,
            501 => ErrorKind::Unsupported,
            _ => ErrorKind::Backend,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self.kind() {
            _ if self.refuses_clock() && self.ahead.abs() > 1 => {
                let (off, way) = (self.ahead.unsigned_abs(), if self.ahead > 0 { "behind" } else { "ahead of" });
                return Some(format!("this machine's clock is {} {way} the server's: set it", span(off)));
            }
            _ if self.refuses_clock() => "compare this machine's clock with the true time",
            ErrorKind::NotFound if self.misses_bucket() => {
                "make it first with the service's own tools, or check its name, the endpoint and the account"
            }
            ErrorKind::Denied if self.refuses_credentials() => {
                "the credentials are wrong or have expired: check the variables that give them, or log in again"
            }
            ErrorKind::Denied => {
                "whoever these credentials stand for lacks the permission: the bucket's owner can give it; reading takes that \
                 to list, too, or S3 says so of an object that is not there"
            }
            ErrorKind::InvalidInput => {
                return Some(match &self.region {
                    Some(region) => format!("the bucket is in the region {region}: add ?region={region} to the URL"),
                    None => "the bucket is elsewhere: check ?region= and ?endpoint=".to_owned(),
                });
            }
            ErrorKind::Transient => "the server is overloaded or broken: try again later",
            ErrorKind::Unsupported => "this server lacks what keeps writers apart, a put that never replaces an object",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.status)?;
        for said in [&self.code, &self.words] {
            if !said.is_empty() {
                write!(f, ": {said}")?;
            }
        }
        Ok(())
    }
}

impl StdError for Refusal {}

/// The beginning of a server's first words, in one line.
fn shown(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(WORDS).collect::<String>().trim_end_matches('.').to_owned()
}

/// So many seconds, in words.
fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..=119 => (seconds, "seconds"),
        120..=7199 => (seconds / 60, "minutes"),
        7200..=172_799 => (seconds / 3600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{count} {unit}")
}

/// The error for `what` was being done to `path` ("cannot read") when `error` came.
pub(super) fn failed(what: &str, path: &Path, error: object_store::Error) -> Error {
    use object_store::Error as Theirs;

    let object = if path.is_root() { "the bucket" } else { path.as_ref() };
    let message = format!("{what} {object}");
    let ours = |kind| Error::new(kind, message.clone());
    if let Some(refusal) = cause::<Refusal>(&error) {
        let failed = match refusal.misses_bucket() {
            true => Error::not_found("there is no such bucket or container"),
            false => ours(refusal.kind()),
        };
        let failed = failed.with_source(refusal.to_string());
        return match refusal.hint() {
            Some(hint) => failed.with_hint(hint),
            None => failed,
        };
    }
    if let Some(cut) = cause::<Cut>(&error) {
        let (kind, hint) = match cut {
            Cut::Stalled(_) => (ErrorKind::Transient, "a slow server may need more: add ?timeout=2m to the URL"),
            Cut::NeverReached(_) => (ErrorKind::Transient, CHECK_ENDPOINT),
            Cut::NoCredentials => (ErrorKind::Denied, ways_to_credentials(&error)),
            Cut::NoClient(_) => (ErrorKind::Backend, "check the certificates of this system"),
        };
        return ours(kind).with_source(cut.to_string()).with_hint(hint);
    }
    if let Some(http) = cause::<HttpError>(&error) {
        let why = innermost(http);
        return match http.kind() {
            HttpErrorKind::Connect => {
                ours(ErrorKind::Transient).with_source(format!("no connection: {why}")).with_hint(CHECK_ENDPOINT)
            }
            _ => ours(ErrorKind::Transient).with_source(format!("the connection was cut off: {why}")),
        };
    }
    match error {
        Theirs::NotFound { .. } => Error::not_found(format!("{object} is not there")),
        Theirs::AlreadyExists { .. } | Theirs::Precondition { .. } => {
            Error::conflict(format!("{object} is there already"))
        }
        Theirs::PermissionDenied { .. } | Theirs::Unauthenticated { .. } => {
            ours(ErrorKind::Denied).with_source(innermost(&error))
        }
        Theirs::NotSupported { .. } | Theirs::NotImplemented { .. } => {
            ours(ErrorKind::Unsupported).with_source(innermost(&error))
        }
        Theirs::InvalidPath { .. } => ours(ErrorKind::InvalidInput).with_source(error),
        // A folder's: full, read-only.
        error => match cause::<std::io::Error>(&error) {
            Some(io) => Error::io(message, std::io::Error::new(io.kind(), io.to_string())),
            None => ours(ErrorKind::Backend).with_source(innermost(&error)),
        },
    }
}

/// What whoever has no credentials can do, by the service that `error` is of.
fn ways_to_credentials(error: &object_store::Error) -> &'static str {
    match error {
        object_store::Error::Generic { store: "S3", .. } => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run aws configure, or add ?anonymous=true for a public bucket"
        }
        object_store::Error::Generic { store: "GCS", .. } => {
            "set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login, or add ?anonymous=true for a \
             public bucket"
        }
        _ => "set AZURE_STORAGE_KEY, or run az login, or add ?anonymous=true for a public container",
    }
}

/// `error` and what it came from, layer by layer.
fn layers<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// The first error of type `E` among the layers of `error`.
fn cause<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    layers(error).find_map(|error| error.downcast_ref())
}

/// The undermost layer of `error`: those above repeat it, and tell URLs.
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> String {
    layers(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        Refusal::parse(status, body, |_| None)
    }

    fn told(refusal: Refusal) -> Error {
        let source = Box::new(HttpError::new(HttpErrorKind::Unknown, refusal));
        failed("cannot read", &Path::from("a/b"), object_store::Error::Generic { store: "S3", source })
    }

    #[test]
    fn the_words_of_all_three_services_are_understood() {
        let xml =
            |code: &str| format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>No.</Message></Error>");
        for (status, code, kind, hint) in [
            (404, "NoSuchBucket", ErrorKind::NotFound, "make it first"),
            (404, "ContainerNotFound", ErrorKind::NotFound, "make it first"),
            (403, "InvalidAccessKeyId", ErrorKind::Denied, "credentials are wrong"),
            (403, "SignatureDoesNotMatch", ErrorKind::Denied, "credentials are wrong"),
            (400, "ExpiredToken", ErrorKind::Denied, "credentials are wrong"),
            (403, "AuthenticationFailed", ErrorKind::Denied, "credentials are wrong"),
            (401, "", ErrorKind::Denied, "credentials are wrong"),
            (403, "AccessDenied", ErrorKind::Denied, "lacks the permission"),
            (403, "AuthorizationPermissionMismatch", ErrorKind::Denied, "lacks the permission"),
            (403, "RequestTimeTooSkewed", ErrorKind::Denied, "clock"),
            (503, "SlowDown", ErrorKind::Transient, "later"),
            (500, "InternalError", ErrorKind::Transient, "later"),
            (409, "ConditionalRequestConflict", ErrorKind::Transient, "later"),
            (301, "PermanentRedirect", ErrorKind::InvalidInput, "?region="),
            (501, "NotImplemented", ErrorKind::Unsupported, "never replaces"),
        ] {
            let error = told(refusal(status, &xml(code)));
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.hint().unwrap().contains(hint), "{code}: {:?}", error.hint());
            let message = match kind {
                ErrorKind::NotFound => "there is no such bucket or container",
                _ => "cannot read a/b",
            };
            assert_eq!(error.to_string(), message);
            let source = error.source().unwrap().to_string();
            assert!(
                source.starts_with(&format!("the server answered {status}")) && source.ends_with(": No"),
                "{source}"
            );
        }
    }

    #[test]
    fn what_is_there_is_left_to_whoever_asked() {
        assert!(refusal(404, "").says_what_is_there());
        assert!(refusal(404, "<Code>NoSuchKey</Code>").says_what_is_there());
        assert!(refusal(412, "<Code>PreconditionFailed</Code>").says_what_is_there());
        assert!(refusal(409, "<Code>BlobAlreadyExists</Code>").says_what_is_there());
        assert!(!refusal(409, "<Code>ConditionalRequestConflict</Code>").says_what_is_there());
        assert!(!refusal(404, "<Code>NoSuchBucket</Code>").says_what_is_there());
    }

    #[test]
    fn a_clock_that_is_off_is_told_with_how_far() {
        for (minutes, told_as) in [(20_i64, "20 minutes behind"), (-20, "20 minutes ahead of")] {
            // Half a minute more, as time goes by here.
            let seconds = minutes * 60 + minutes.signum() * 30;
            let date = (Utc::now() + chrono::TimeDelta::seconds(seconds)).to_rfc2822();
            let header = |name: &str| (name == "date").then_some(&*date);
            let refusal = Refusal::parse(403, "<Code>AuthenticationFailed</Code>", header);
            let hint = told(refusal).hint().unwrap().to_owned();
            assert!(hint.contains(told_as), "{hint}");
        }
    }

    #[test]
    fn a_bucket_that_is_elsewhere_is_told_with_its_region() {
        let refusal = Refusal::parse(301, "", |name| (name == "x-amz-bucket-region").then_some("eu-west-3"));
        assert!(told(refusal).hint().unwrap().contains("?region=eu-west-3"));
    }

    #[test]
    fn a_server_can_say_anything() {
        let long = format!("<Code>{}</Code>", "\u{1b}[31mé".repeat(10_000));
        for body in ["<Code>", "</Code><Code>", "\0\0", "{\"error\": \"invalid_grant\"}", "<html>", &long] {
            let text = told(refusal(403, body)).source().unwrap().to_string();
            assert!(text.len() < 2000 && !text.contains('\u{1b}'), "{text}");
        }
    }

    #[test]
    fn nothing_of_a_query_is_shown() {
        let http = HttpError::new(HttpErrorKind::Connect, std::io::Error::other("connection refused"));
        let source = format!("Error performing GET https://a.blob/c?sig=SECRET: {http}");
        #[derive(Debug)]
        struct Outer(String, HttpError);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl StdError for Outer {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(&self.1)
            }
        }
        let error = object_store::Error::Generic { store: "az", source: Box::new(Outer(source, http)) };
        let error = failed("cannot list", &Path::from("a"), error);
        assert_eq!(error.kind(), ErrorKind::Transient);
        assert!(!format!("{error} {error:?}").contains("SECRET"));
        assert_eq!(error.source().unwrap().to_string(), "no connection: connection refused");
    }
}
