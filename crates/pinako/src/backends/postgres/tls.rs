//! TLS as libpq's `sslmode` has it: whether it is spoken, and whether the server must show who it is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, NamedGroup, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::error::{Error, Result};

/// What is asked of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS where the server refuses anything else.
    Allow,
    /// TLS where the server has it.
    Prefer,
    /// TLS, whoever the server is.
    Require,
    /// TLS with a server whose certificate an authority of ours signed.
    VerifyCa,
    /// That, and for the name of this host.
    VerifyFull,
}

impl SslMode {
    const NAMES: [(&str, SslMode); 6] = [
        ("disable", SslMode::Disable),
        ("allow", SslMode::Allow),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ];

    pub(super) fn parse(name: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|&(_, mode)| mode).ok_or_else(|| {
            let known = Self::NAMES.map(|(known, _)| known).join(", ");
            Error::invalid(format!("its sslmode is {name:?}, expected one of {known}"))
        })
    }
}

/// How connections speak TLS.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) mode: SslMode,
    pub(super) config: Arc<ClientConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mode.fmt(f)
    }
}

impl Tls {
    /// No TLS.
    pub(super) fn none() -> Result<Self> {
        Self::new(Some(SslMode::Disable), None, None, None, None)
    }

    /// TLS of a mode, with the authorities in the file `root` (or those of the system, where it is `system`), and a
    /// certificate of ours where the server wants one. What is not given is looked for in `home`, as libpq does.
    ///
    /// # Errors
    /// `InvalidInput` where these do not go together, `NotFound` or `Corrupt` where a file is missing or of no use.
    pub(super) fn new(
        mode: Option<SslMode>,
        root: Option<String>,
        certificate: Option<String>,
        key: Option<String>,
        home: Option<&Path>,
    ) -> Result<Self> {
        let in_home = |name: &str| home.map(|home| home.join(".postgresql").join(name)).filter(|path| path.exists());
        let of_system = root.as_deref() == Some("system");
        let mode = match mode {
            None if of_system => SslMode::VerifyFull,
            Some(weak) if of_system && weak < SslMode::VerifyFull => {
                return Err(Error::invalid("with sslrootcert=system, sslmode must be verify-full")
                    .with_hint("the system's authorities sign anybody's certificate: only its name tells the server"));
            }
            mode => mode.unwrap_or(SslMode::Prefer),
        };
        let roots = match root.filter(|_| !of_system).map(PathBuf::from).or_else(|| in_home("root.crt")) {
            _ if mode == SslMode::Disable => None,
            _ if of_system => Some(of_this_system()?),
            Some(file) => Some(certificates(&file)?),
            None if mode >= SslMode::VerifyCa => {
                return Err(Error::invalid("its sslmode wants the certificate of an authority, and there is none")
                    .with_hint("write sslrootcert=FILE, or sslrootcert=system for the authorities of the system"));
            }
            None => None,
        };
        let provider = Arc::new(provider());
        let verifier = match roots {
            // With an authority at hand, libpq takes "require" for "verify-ca".
            Some(roots) if mode >= SslMode::Require => Verifier::new(roots, mode == SslMode::VerifyFull, &provider)?,
            _ => Verifier { trusted: Vec::new(), by_authority: None, named: false, provider: provider.clone() },
        };
        let unusable = |error| Error::invalid("TLS cannot be set up").with_source(error);
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let certificate = certificate.map(PathBuf::from).or_else(|| in_home("postgresql.crt"));
        let config = match certificate.filter(|_| mode != SslMode::Disable) {
            None => config.with_no_client_auth(),
            Some(certificate) => {
                let Some(key) = key.map(PathBuf::from).or_else(|| in_home("postgresql.key")) else {
                    return Err(Error::invalid("its sslcert has no key").with_hint("write sslkey=FILE, too"));
                };
                let own_key = PrivateKeyDer::from_pem_file(&key).map_err(|error| unreadable(&key, error))?;
                config.with_client_auth_cert(certificates(&certificate)?, own_key).map_err(unusable)?
            }
        };
        Ok(Tls { mode, config: Arc::new(config) })
    }
}

/// The cryptography. A server refuses a first offer of a curve that it does not take, which costs a round trip; until
/// PostgreSQL 18, it took this one alone unless it was told others.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.kx_groups.sort_by_key(|group| group.name() != NamedGroup::secp256r1);
    provider
}

fn unreadable(file: &Path, error: rustls_pki_types::pem::Error) -> Error {
    let what = format!("cannot read {}", file.display());
    match error {
        rustls_pki_types::pem::Error::Io(error) => Error::io(what, error),
        other => {
            Error::corrupt(format!("{what}: it has no certificate or key in PEM form")).with_source(other.to_string())
        }
    }
}

/// All certificates in a file, one at least.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if found.is_empty() => Err(Error::corrupt(format!("{} has no certificate in it", file.display()))),
        found => found.map_err(|error| unreadable(file, error)),
    }
}

fn of_this_system() -> Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    match found.errors.into_iter().next() {
        Some(error) if found.certs.is_empty() => {
            Err(Error::not_found("the system's authorities cannot be read").with_source(error))
        }
        _ => Ok(found.certs),
    }
}

/// Looks at the server's certificate as closely as the mode asks.
#[derive(Debug)]
struct Verifier {
    /// The certificates that we were given.
    trusted: Vec<CertificateDer<'static>>,
    /// `None` where the server may be anybody.
    by_authority: Option<Arc<WebPkiServerVerifier>>,
    /// Whether the certificate must be for the server's name.
    named: bool,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(trusted: Vec<CertificateDer<'static>>, named: bool, provider: &Arc<CryptoProvider>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(trusted.iter().cloned());
        if added == 0 {
            return Err(Error::corrupt("its sslrootcert has no certificate that can be used"));
        }
        let by_authority = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
            .build()
            .map_err(|error| Error::invalid("its sslrootcert cannot be used").with_source(error))?;
        Ok(Verifier { trusted, by_authority: Some(by_authority), named, provider: provider.clone() })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let Some(by_authority) = &self.by_authority else { return Ok(ServerCertVerified::assertion()) };
        match by_authority.verify_server_cert(server, between, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) if !self.named => {
                Ok(ServerCertVerified::assertion())
            }
            // One that signed itself and was given to us is as good as an authority's, were it not marked as one.
            Err(_) if !self.named && self.trusted.iter().any(|trusted| trusted == server) => {
                Ok(ServerCertVerified::assertion())
            }
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_that_servers_take_is_offered_first() {
        let first = Tls::none().unwrap().config.crypto_provider().kx_groups[0];
        assert_eq!(first.name(), NamedGroup::secp256r1);
    }
}
