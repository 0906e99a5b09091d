//! From a URL to the store that it names, and whom it is opened as.
//!
//! Each service takes credentials the way its own tools do, so that a machine which is set up for those is set up for
//! Pinako: nothing secret ever stands in a URL. `object_store` reads most of it from the environment; what it does not,
//! and who comes first, is here.

use std::env;
use std::fmt;
use std::path::Path as DiskPath;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::list::PaginatedListStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, RetryConfig, StaticCredentialProvider};
use url::Url;

use super::profile::Profile;
use super::traffic::{Counts, Http};
use crate::error::{Error, Result};

/// How long a request is tried for, unless the URL says otherwise.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Most seconds that a request can be tried for: its signature is good for a quarter of an hour.
const MOST_SECONDS: u64 = 600;

/// What names of S3 Express's buckets end with. The newest manifest is the first of a listing, which is sorted elsewhere.
const EXPRESS: &str = "--x-s3";

/// The same, of access points to such a bucket.
const EXPRESS_POINT: &str = "--xa-s3";

/// What services list by.
pub(super) trait Pages: PaginatedListStore + fmt::Debug {}

impl<T: PaginatedListStore + fmt::Debug> Pages for T {}

/// A store's place, connected.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same as one that lists a page at a time, if it is a service.
    pub(super) pages: Option<Arc<dyn Pages>>,
    /// What the names of the store's objects begin with.
    pub(super) prefix: Path,
    pub(super) traffic: Arc<Counts>,
    /// Whether a network lies between.
    pub(super) far: bool,
}

/// The place that `url` names: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`, with options as
/// in `?region=eu-west-3&timeout=1m`. Nothing is asked of the server yet.
///
/// # Errors
/// `InvalidInput` where the URL, or what the environment says of credentials, makes no sense; others of the files that
/// credentials are in.
pub(super) fn connect_url(url: &str) -> Result<Place> {
    let address = Address::parse(url)?;
    let traffic = Arc::new(Counts::default());
    // A try in which nothing moves ends early enough for another.
    let http = Http::new(Arc::clone(&traffic), address.options.timeout / 2);
    let (store, pages) = match address.service {
        Service::S3 => both(s3(&address, http)?),
        Service::Gs => both(gs(&address, http)?),
        Service::Az => both(az(&address, http)?),
    };
    Ok(Place { store, pages: Some(pages), prefix: address.prefix, traffic, far: true })
}

fn both<T: ObjectStore + Pages>(service: T) -> (Arc<dyn ObjectStore>, Arc<dyn Pages>) {
    let service = Arc::new(service);
    (service.clone(), service)
}

/// The place in the folder at `path`, which must exist. Whatever is put there is on the disk when the put returns.
///
/// # Errors
/// `InvalidInput` where the folder's path is no UTF-8, which names of objects are; `NotFound` and others of the disk.
pub(super) fn connect_folder(path: &DiskPath) -> Result<Place> {
    if path.canonicalize().is_ok_and(|path| path.to_str().is_none()) {
        return Err(Error::invalid(format!("the path {} is not UTF-8", path.display())).with_hint("rename the folder"));
    }
    let folder = LocalFileSystem::new_with_prefix(path)
        .map_err(|error| super::error::failed("cannot open", &Path::ROOT, error))?
        .with_fsync(true);
    Ok(Place { store: Arc::new(folder), pages: None, prefix: Path::ROOT, traffic: Arc::default(), far: false })
}

/// The services, each of which speaks a language of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    S3,
    Gs,
    Az,
}

/// A URL, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    service: Service,
    bucket: String,
    prefix: Path,
    options: Options,
}

impl Address {
    fn parse(url: &str) -> Result<Self> {
        let (place, options) = url.split_once('?').unwrap_or((url, ""));
        let (scheme, place) = place.split_once("://").unwrap_or_default();
        let (service, bucket_is) = match scheme {
            "s3" => (Service::S3, "BUCKET"),
            "gs" => (Service::Gs, "BUCKET"),
            "az" => (Service::Az, "CONTAINER"),
            _ => return Err(Error::invalid(format!("{scheme}:// is no object store"))),
        };
        let form = format!("write {scheme}://{bucket_is}/PREFIX");
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() {
            return Err(Error::invalid(format!("the URL names no {}", bucket_is.to_lowercase())).with_hint(form));
        }
        let known = |c: char| c.is_ascii_alphanumeric() || "-_.$".contains(c);
        if !bucket.chars().all(known) || bucket.starts_with('.') {
            // Where there is a colon, or an at sign, it may be somebody's secret.
            let shown =
                if bucket.contains([':', '@']) { "what stands there".to_owned() } else { format!("{bucket:?}") };
            return Err(
                Error::invalid(format!("{shown} cannot be the name of a {}", bucket_is.to_lowercase())).with_hint(form)
            );
        }
        if service == Service::S3 && [EXPRESS, EXPRESS_POINT].iter().any(|end| bucket.ends_with(end)) {
            return Err(Error::unsupported(format!(
                "the bucket {bucket} is one of S3 Express, which lists in no order"
            ))
            .with_hint("keep the store in a general purpose bucket, whose lists are sorted by name"));
        }
        // As the services' own tools take them: what stands there is the name, character by character.
        let prefix = Path::parse(prefix.trim_end_matches('/')).map_err(|_| {
            Error::invalid(format!("{prefix:?} cannot be what names of objects begin with"))
                .with_hint("between slashes there must be a name other than . and ..")
        })?;
        Ok(Address { service, bucket: bucket.to_owned(), prefix, options: Options::parse(service, options)? })
    }
}

/// What a URL says after its question mark.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    endpoint: Option<String>,
    region: Option<String>,
    profile: Option<String>,
    account: Option<String>,
    anonymous: bool,
    timeout: Duration,
}

impl Options {
    fn parse(service: Service, query: &str) -> Result<Self> {
        let mut options =
            Options { endpoint: None, region: None, profile: None, account: None, anonymous: false, timeout: TIMEOUT };
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let text = || Some(value.clone().into_owned());
            match (&*key, service) {
                ("endpoint", _) => options.endpoint = text(),
                ("anonymous", _) => options.anonymous = flag(&value)?,
                ("timeout", _) => options.timeout = duration(&value)?,
                ("region", Service::S3) => options.region = text(),
                ("profile", Service::S3) => options.profile = text(),
                ("account", Service::Az) => options.account = text(),
                _ => {
                    let own = match service {
                        Service::S3 => "region, profile, ",
                        Service::Gs => "",
                        Service::Az => "account, ",
                    };
                    return Err(Error::invalid(format!("the URL has no option {key:?}"))
                        .with_hint(format!("there are {own}endpoint, anonymous and timeout")));
                }
            }
        }
        Ok(options)
    }
}

fn flag(text: &str) -> Result<bool> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Error::invalid(format!("{text:?} is neither true nor false"))),
    }
}

/// A time as in `500ms`, `30s`, `2m`: at least 100 ms, at most [`MOST_SECONDS`].
fn duration(text: &str) -> Result<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        _ => None,
    };
    let total = milliseconds.and_then(|unit: u64| unit.checked_mul(count.parse().ok()?));
    match total {
        Some(total) if (100..=MOST_SECONDS * 1000).contains(&total) => Ok(Duration::from_millis(total)),
        _ => Err(Error::invalid(format!("{text:?} is no time from 100ms to 10m")).with_hint("write 30s, or 2m")),
    }
}

/// Trying again goes on for as long as `timeout`, with growing, random pauses in between.
fn retries(timeout: Duration) -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(3), base: 2.0 };
    RetryConfig { backoff, max_retries: usize::MAX, retry_timeout: timeout }
}

/// A store of Amazon's, or one that speaks like it. Keys are those of the profile that is named, else the environment's,
/// else those of the default profile, else what the machine is given.
fn s3(address: &Address, http: Http) -> Result<AmazonS3> {
    let options = &address.options;
    // As `from_env`, but that what is empty says nothing, as for AWS's own tools.
    let mut builder = env::vars_os().fold(AmazonS3Builder::new(), |builder, (name, value)| {
        let name = name.to_str().filter(|name| name.starts_with("AWS_")).map(str::to_ascii_lowercase);
        match (name.and_then(|name| name.parse().ok()), value.to_str()) {
            (Some(key), Some(value)) if !value.is_empty() => builder.with_config(key, value),
            _ => builder,
        }
    });
    let has = |builder: &AmazonS3Builder, key| builder.get_config_value(&key).is_some();
    let profile = Profile::load(options.profile.as_deref())?;
    for (key, value) in [(AmazonS3ConfigKey::Region, &profile.region), (AmazonS3ConfigKey::Endpoint, &profile.endpoint)]
    {
        if let Some(value) = value.as_ref().filter(|_| !has(&builder, key)) {
            builder = builder.with_config(key, value);
        }
    }
    let own_keys = has(&builder, AmazonS3ConfigKey::AccessKeyId)
        || has(&builder, AmazonS3ConfigKey::SecretAccessKey)
        || has(&builder, AmazonS3ConfigKey::WebIdentityTokenFile);
    if options.anonymous {
        builder = builder.with_skip_signature(true);
    } else if (options.profile.is_some() || !own_keys)
        && let Some((key_id, secret_key, token)) = profile.keys()?
    {
        let credential = AwsCredential { key_id, secret_key, token };
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(credential)));
    }
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    for key in [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint] {
        check_endpoint(builder.get_config_value(&key))?;
    }
    use AmazonS3ConfigKey as Key;
    check_plain(
        &[
            Key::AccessKeyId,
            Key::Token,
            Key::Region,
            Key::MetadataEndpoint,
            Key::ContainerCredentialsRelativeUri,
            Key::ContainerCredentialsFullUri,
            Key::StsEndpoint,
        ],
        |key| builder.get_config_value(key),
    )?;
    let store =
        builder.with_bucket_name(&address.bucket).with_retry(retries(options.timeout)).with_http_connector(http);
    store.build().map_err(|error| unusable("AWS", error))
}

/// A store of Google's.
fn gs(address: &Address, http: Http) -> Result<GoogleCloudStorage> {
    let options = &address.options;
    let mut builder = GoogleCloudStorageBuilder::from_env();
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    check_endpoint(builder.get_config_value(&GoogleConfigKey::BaseUrl))?;
    check_plain(&[GoogleConfigKey::BearerToken], |key| builder.get_config_value(key))?;
    if options.anonymous {
        builder = builder.with_skip_signature(true);
    }
    let store =
        builder.with_bucket_name(&address.bucket).with_retry(retries(options.timeout)).with_http_connector(http);
    store.build().map_err(|error| unusable("Google", error))
}

/// A store of Microsoft's. `object_store` knows the environment of its libraries, here is that of the `az` command.
fn az(address: &Address, http: Http) -> Result<MicrosoftAzure> {
    let options = &address.options;
    let mut builder = MicrosoftAzureBuilder::from_env();
    let connection = env::var("AZURE_STORAGE_CONNECTION_STRING").unwrap_or_default();
    let of_connection = |key: &str| {
        let mut pairs = connection.split(';').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| value.to_owned())
    };
    let of_command = |key: &str| env::var(key).ok().filter(|value| !value.is_empty());
    for (key, value) in [
        (AzureConfigKey::AccountName, of_command("AZURE_STORAGE_ACCOUNT").or_else(|| of_connection("AccountName"))),
        (AzureConfigKey::AccessKey, of_command("AZURE_STORAGE_KEY").or_else(|| of_connection("AccountKey"))),
        (AzureConfigKey::SasKey, of_connection("SharedAccessSignature")),
        (AzureConfigKey::Endpoint, of_connection("BlobEndpoint")),
    ] {
        if let Some(value) = value.filter(|_| builder.get_config_value(&key).is_none()) {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(account) = &options.account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    check_endpoint(builder.get_config_value(&AzureConfigKey::Endpoint))?;
    use AzureConfigKey as Key;
    check_plain(
        &[Key::AccountName, Key::Token, Key::ClientId, Key::AuthorityId, Key::AuthorityHost, Key::MsiEndpoint],
        |key| builder.get_config_value(key),
    )?;
    if builder.get_config_value(&AzureConfigKey::AccountName).is_none() {
        return Err(Error::invalid("nothing says which storage account the container is in")
            .with_hint("add ?account=NAME to the URL, or set AZURE_STORAGE_ACCOUNT"));
    }
    if options.anonymous {
        builder = builder.with_skip_signature(true);
    } else if builder.get_config_value(&AzureConfigKey::UseAzureCli).is_none() && logged_in_to_azure() {
        // Comes after all others but the machine's own identity.
        builder = builder.with_use_azure_cli(true);
    }
    let store =
        builder.with_container_name(&address.bucket).with_retry(retries(options.timeout)).with_http_connector(http);
    store.build().map_err(|error| unusable("Azure", error))
}

/// Whether somebody logged in by `az login` on this machine.
fn logged_in_to_azure() -> bool {
    let folder = env::var_os("AZURE_CONFIG_DIR").map(Into::into).or_else(|| Some(env::home_dir()?.join(".azure")));
    folder.is_some_and(|folder| folder.join("azureProfile.json").exists())
}

/// Checks that an endpoint, where one is given, is the URL of a server.
fn check_endpoint(endpoint: Option<String>) -> Result<()> {
    let Some(endpoint) = endpoint else { return Ok(()) };
    let known = endpoint.chars().all(|c| c.is_ascii_alphanumeric() || "-._~:/[]%".contains(c));
    match Url::parse(&endpoint) {
        Ok(url) if known && matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(()),
        // A password may stand before an @.
        _ if endpoint.contains('@') => Err(Error::invalid("an endpoint has no user and no password in it")
            .with_hint("write https://HOST:PORT, and see docs/servers.md for where credentials are taken from")),
        _ => Err(Error::invalid(format!("the endpoint {endpoint:?} is not the URL of a server"))
            .with_hint("write https://HOST:PORT, or http:// where there is no TLS")),
    }
}

/// Checks that the settings `keys`, where there are any, can stand in URLs and headers: `object_store` relies on it.
fn check_plain<K: AsRef<str>>(keys: &[K], get: impl Fn(&K) -> Option<String>) -> Result<()> {
    let is_bad = |key: &&K| get(key).is_some_and(|value| !value.bytes().all(|byte| byte.is_ascii_graphic()));
    match keys.iter().find(is_bad) {
        Some(key) => {
            let name = key.as_ref().to_ascii_uppercase();
            Err(Error::invalid(format!("there is a character in {name} that cannot be in it"))
                .with_hint("look for spaces and line breaks"))
        }
        None => Ok(()),
    }
}

/// The error for credentials or settings that are there and make no sense.
fn unusable(whose: &str, error: object_store::Error) -> Error {
    let why = match error {
        object_store::Error::Generic { source, .. } => source.to_string(),
        error => error.to_string(),
    };
    Error::invalid(format!("what is set up for {whose} cannot be used"))
        .with_source(why)
        .with_hint(format!("check the variables of {whose} in the environment, and the files that they name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn urls_are_taken_apart() {
        let address = Address::parse("s3://bucket/a/b?region=eu-west-3&timeout=90s").unwrap();
        assert_eq!((address.service, &*address.bucket, address.prefix.as_ref()), (Service::S3, "bucket", "a/b"));
        assert_eq!((address.options.region.as_deref(), address.options.timeout.as_secs()), (Some("eu-west-3"), 90));
        for (url, bucket, prefix) in [
            ("gs://bucket", "bucket", ""),
            ("gs://bucket/", "bucket", ""),
            ("gs://bucket/a//", "bucket", "a"),
            ("gs://bucket/a%20b é#c/d", "bucket", "a%20b é#c/d"),
            ("az://$web/a?account=me", "$web", "a"),
            ("s3://b?endpoint=http%3A%2F%2F127.0.0.1%3A9000", "b", ""),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((&*address.bucket, address.prefix.as_ref()), (bucket, prefix), "{url}");
        }
    }

    #[test]
    fn urls_that_mean_nothing_say_why() {
        for (url, message) in [
            ("s3://", "names no bucket"),
            ("s3:///prefix", "names no bucket"),
            ("az://?account=a", "names no container"),
            ("s3://user@bucket/a", "cannot be the name of a bucket"),
            ("s3://key:SECRET@bucket/a", "what stands there cannot be the name of a bucket"),
            ("s3://bucket:SECRET/a", "what stands there cannot be the name of a bucket"),
            ("s3://my bucket/a", "cannot be the name of a bucket"),
            ("s3://../a", "cannot be the name of a bucket"),
            ("s3://b/../a", "cannot be what names"),
            ("s3://b/a//b", "cannot be what names"),
            ("s3://b/a?regoin=x", "no option \"regoin\""),
            ("gs://b/a?region=x", "no option \"region\""),
            ("s3://b/a?timeout=30", "no time"),
            ("s3://b/a?timeout=0s", "no time"),
            ("s3://b/a?timeout=11m", "no time"),
            ("s3://b/a?timeout=99999999999999999999s", "no time"),
            ("s3://b/a?timeout=999999999999999999m", "no time"),
            ("s3://b/a?anonymous=yes", "neither true nor false"),
        ] {
            let error = Address::parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
            assert!(error.to_string().contains(message), "{url}: {error}");
            assert!(!error.to_string().contains("SECRET"), "{error}");
        }
        for endpoint in
            ["localhost:9000", "ftp://a", "http://", "https://a?sig=x", "9000", "http://é", "http://u:p@a", ""]
        {
            assert_eq!(check_endpoint(Some(endpoint.to_owned())).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        check_endpoint(Some("http://127.0.0.1:9000/account".to_owned())).unwrap();
    }

    #[test]
    fn buckets_whose_lists_have_no_order_are_refused() {
        for url in ["s3://photos--use1-az4--x-s3/a", "s3://point--use1-az4--xa-s3"] {
            let error = Address::parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{url}");
            assert!(error.hint().unwrap().contains("general purpose"), "{error:?}");
        }
        Address::parse("gs://photos--x-s3").unwrap();
    }

    #[test]
    fn what_cannot_stand_in_a_request_is_refused_before_one_is_made() {
        for url in ["s3://b/a?region=a b&anonymous=true", "az://b/a?account=a%0A&anonymous=true"] {
            let error = connect_url(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("there is a character in A"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_whose_name_is_not_text_is_refused() {
        use std::os::unix::ffi::OsStrExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
        std::fs::create_dir(&path).unwrap();
        assert_eq!(connect_folder(&path).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(connect_folder(&folder.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn an_option_that_is_not_there_is_told_with_those_that_are() {
        let error = Address::parse("s3://b/a?region=x&key=y").unwrap_err();
        assert_eq!(error.hint(), Some("there are region, profile, endpoint, anonymous and timeout"));
    }
}
