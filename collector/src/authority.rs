//! The keys that all trust hangs on, and the certificates they sign.
//!
//! Made once at `init` below `DATA/authority`: the certificate authority, the root key, the collector key with
//! the root key's word for it, and the server certificate. Only the root key may be missing afterwards: it is
//! meant to be taken offline, and is needed again only to rotate the collector key. Who may have a certificate
//! is not decided here but in [`crate::enrol`] and [`crate::registry`].

mod certificates;
mod files;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use rcgen::KeyPair;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::enrolment::{CollectorKey, seal_collector_key};
use zeroize::Zeroizing;

pub use certificates::{AgentCertificate, CertificateRequest, InvalidRequest};

const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
/// Take this file offline after `init`.
const ROOT_KEY: &str = "root.key";
const ROOT_PUBLIC: &str = "root.pub";
const COLLECTOR_KEY: &str = "collector.key";
const COLLECTOR_WORD: &str = "collector.word";
const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server.key";

/// The keys cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("{} cannot be {action}; the collector cannot prove who it is", path.display())]
    File { path: PathBuf, action: &'static str, source: std::io::Error },
    #[error("{} already holds keys; they are never overwritten: choose another data directory", .0.display())]
    Exists(PathBuf),
    #[error("{} is damaged; put it back from a backup", .0.display())]
    Damaged(PathBuf),
    #[error("{} may be read by others; run chmod -R go= on its directory", .0.display())]
    Exposed(PathBuf),
    #[error("a certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    #[error(
        "the server certificate cannot be used; delete {SERVER} and {SERVER_KEY}, and the next start makes new ones"
    )]
    Server(#[from] rustls::Error),
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    #[error("the word for the collector key cannot be signed")]
    Seal(#[from] wardwatch_wire::envelope::SealError),
}

/// The opened keys, but never the root key.
pub struct Authority {
    dir: PathBuf,
    ca: CertificateDer<'static>,
    ca_key: KeyPair,
    root: [u8; 32],
    collector: SigningKey,
    word: Vec<u8>,
}

/// What broker, enrolment and page show to whoever connects.
#[derive(Clone)]
pub struct ServerCertificate {
    pub chain_file: PathBuf,
    pub key_file: PathBuf,
    /// Whether this call made it anew, so that running listeners must be restarted.
    pub renewed: bool,
}

impl Authority {
    /// Makes all keys in `dir`, which must not hold any.
    ///
    /// # Errors
    /// Keys are there already, or the directory cannot be written.
    pub fn create(dir: &Path, now: UnixMillis) -> Result<Self, AuthorityError> {
        if dir.join(CA).exists() || dir.join(COLLECTOR_KEY).exists() {
            return Err(AuthorityError::Exists(dir.to_owned()));
        }
        files::create_directory(dir)?;
        let ca_key = certificates::generate_key()?;
        let ca = certificates::authority(&ca_key, now)?;
        let root = generate_signing_key()?;
        let collector = generate_signing_key()?;
        let word = CollectorKey { serial: 1, key: collector.verifying_key().to_bytes() };
        let word = seal_collector_key(&root, &word)?;
        files::write(&dir.join(CA_KEY), Zeroizing::new(ca_key.serialize_pem()).as_bytes())?;
        files::write_signing_key(&dir.join(ROOT_KEY), &root)?;
        files::write(&dir.join(ROOT_PUBLIC), &root.verifying_key().to_bytes())?;
        files::write_signing_key(&dir.join(COLLECTOR_KEY), &collector)?;
        files::write(&dir.join(COLLECTOR_WORD), word.as_bytes())?;
        files::write(&dir.join(CA), ca.pem().as_bytes())?;
        Self::open(dir)
    }

    /// Reads the keys in `dir`. The root key is not read and need not be there.
    ///
    /// # Errors
    /// A file is missing, damaged, or open to others.
    pub fn open(dir: &Path) -> Result<Self, AuthorityError> {
        let path = |name: &str| dir.join(name);
        Ok(Self {
            dir: dir.to_owned(),
            ca: files::read_certificate(&path(CA))?,
            ca_key: files::read_key_pair(&path(CA_KEY))?,
            root: files::read_array(&path(ROOT_PUBLIC))?,
            collector: files::read_signing_key(&path(COLLECTOR_KEY))?,
            word: files::read(&path(COLLECTOR_WORD))?,
        })
    }

    /// The certificate authority, X.509 in DER.
    #[must_use]
    pub fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    /// The certificate authority as a PEM file, for what reads only files.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join(CA)
    }

    /// The public root key, 32 bytes of Ed25519.
    #[must_use]
    pub const fn root_key(&self) -> [u8; 32] {
        self.root
    }

    /// What the enrolment string promises.
    #[must_use]
    pub fn root_digest(&self) -> Digest {
        Digest::of(&self.root)
    }

    /// Signs acks and commands.
    #[must_use]
    pub const fn collector_key(&self) -> &SigningKey {
        &self.collector
    }

    /// The root key's word for the collector key, as a signed envelope.
    #[must_use]
    pub fn collector_word(&self) -> &[u8] {
        &self.word
    }

    /// Signs a certificate that lets `agent` connect to the broker.
    ///
    /// # Errors
    /// No random serial number, or a key that cannot sign.
    pub fn issue(
        &self,
        agent: &AgentId,
        request: &CertificateRequest,
        now: UnixMillis,
    ) -> Result<AgentCertificate, AuthorityError> {
        certificates::agent(agent, request, &self.ca, &self.ca_key, now)
    }

    /// The server certificate for these host names and addresses; made anew when there is none, when the hosts
    /// differ, or when it expires within 30 days.
    ///
    /// # Errors
    /// The files cannot be read or written, or a host is not a name.
    pub fn ensure_server_certificate(
        &self,
        hosts: &[String],
        now: UnixMillis,
    ) -> Result<ServerCertificate, AuthorityError> {
        let (chain_file, key_file) = (self.dir.join(SERVER), self.dir.join(SERVER_KEY));
        let fits = chain_file.exists()
            && key_file.exists()
            && certificates::serves(
                &files::read_certificate(&chain_file)?,
                &files::read_key_pair(&key_file)?,
                hosts,
                now,
            );
        if !fits {
            let key = certificates::generate_key()?;
            let certificate = certificates::server(hosts, &key, &self.ca, &self.ca_key, now)?;
            files::write(&key_file, Zeroizing::new(key.serialize_pem()).as_bytes())?;
            files::write(&chain_file, certificate.pem().as_bytes())?;
        }
        Ok(ServerCertificate { chain_file, key_file, renewed: !fits })
    }
}

impl ServerCertificate {
    /// TLS 1.2 and later for HTTPS. Nobody is asked for a certificate.
    ///
    /// # Errors
    /// A file is missing or damaged, or the key is not the certificate's.
    pub fn https(&self) -> Result<Arc<ServerConfig>, AuthorityError> {
        let (chain, key) = self.load()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// The certificate and its key, leaf first.
    ///
    /// # Errors
    /// A file is missing or damaged.
    pub fn load(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), AuthorityError> {
        Ok((vec![files::read_certificate(&self.chain_file)?], files::read_private_key(&self.key_file)?))
    }
}

fn generate_signing_key() -> Result<SigningKey, AuthorityError> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut()).map_err(AuthorityError::Random)?;
    Ok(SigningKey::from_bytes(&secret))
}
