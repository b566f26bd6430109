//! The keys that all trust hangs on, and the certificates they sign.
//!
//! Made once at `init` below `DATA/authority`: the certificate authority, the root key, the collector key and the
//! release key with the root key's word for each, and the server certificate. The root key and the release key
//! may be missing afterwards: they are meant to be taken offline, the one needed again only to replace the
//! others, the other only to sign a release. Who may have a certificate
//! is not decided here but in [`crate::enrol`] and [`crate::registry`].

mod certificates;
mod files;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ed25519_dalek::{SigningKey, VerifyingKey};
use rcgen::KeyPair;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::enrolment::{CollectorKey, seal_collector_key};
use wardwatch_wire::release::{self, ReleaseKey};
use zeroize::Zeroizing;

pub use certificates::{AgentCertificate, CertificateRequest, InvalidRequest, holder};

const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
/// Take this file offline after `init`.
const ROOT_KEY: &str = "root.key";
const ROOT_PUBLIC: &str = "root.pub";
const COLLECTOR_KEY: &str = "collector.key";
const COLLECTOR_WORD: &str = "collector.word";
/// Take this file offline after `init`.
const RELEASE_KEY: &str = "release.key";
const RELEASE_WORD: &str = "release.word";
const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server.key";

/// The keys cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("{} cannot be {action}", path.display())]
    File { path: PathBuf, action: &'static str, source: std::io::Error },
    #[error("{} already holds keys; they are never overwritten: choose another data directory", .0.display())]
    Exists(PathBuf),
    #[error("{} is there already, so nothing was changed; name a file that is not there yet", .0.display())]
    Taken(PathBuf),
    #[error("{} is damaged; put it back from a backup", .0.display())]
    Damaged(PathBuf),
    #[error(
        "{} is a secret that others may read; run `chmod 600` on it, or copy it first from a medium without rights, \
         such as FAT, to one that has them",
        .0.display()
    )]
    Exposed(PathBuf),
    #[error("{} does not hold the root key of this collector; nothing was changed; give the root.key of its `init`", .0.display())]
    OtherRoot(PathBuf),
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

/// The opened keys, but never the root key and the private release key.
pub struct Authority {
    dir: PathBuf,
    ca: CertificateDer<'static>,
    ca_key: KeyPair,
    root: [u8; 32],
    collector: SigningKey,
    word: Vec<u8>,
    release: Option<ReleaseAuthority>,
}

/// The release key as everybody may know it.
#[derive(Clone)]
pub struct ReleaseAuthority {
    pub key: VerifyingKey,
    /// The root key's word for it, as a signed envelope.
    pub word: Vec<u8>,
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
        write_release_key(dir, &root, 1, None)?;
        files::write(&dir.join(CA), ca.pem().as_bytes())?;
        Self::open(dir)
    }

    /// Makes a new release key in the place of one that was lost or became known, with the word of the root key in
    /// `root_key`; the private key goes to `out`, or else into `dir`. Agents believe no older one once they have
    /// seen a release of this one: its serial is higher than any made before `now`, whatever word lies in `dir`,
    /// since whoever holds this machine can put an older one there or none.
    ///
    /// # Errors
    /// The file does not hold the root key of this authority, `out` is there already, or a file cannot be written.
    pub fn replace_release_key(
        dir: &Path,
        root_key: &Path,
        out: Option<&Path>,
        now: UnixMillis,
    ) -> Result<(), AuthorityError> {
        let root = files::read_signing_key(root_key)?;
        let known: [u8; 32] = files::read_array(&dir.join(ROOT_PUBLIC))?;
        if root.verifying_key().to_bytes() != known {
            return Err(AuthorityError::OtherRoot(root_key.to_owned()));
        }
        let word = files::read(&dir.join(RELEASE_WORD)).ok();
        let old = word.and_then(|word| release::open_release_key(&word, &root.verifying_key()).ok());
        let old = old.map_or(0, |(_, word)| word.serial);
        let seconds = u64::try_from(now.0 / 1000).unwrap_or(0);
        write_release_key(dir, &root, old.saturating_add(1).max(seconds), out)
    }

    /// Reads a private release key, as `init` wrote it.
    ///
    /// # Errors
    /// It is missing, damaged, or open to others.
    pub fn read_release_key(file: &Path) -> Result<SigningKey, AuthorityError> {
        files::read_signing_key(file)
    }

    /// Reads the keys in `dir`. The root key is not read and need not be there.
    ///
    /// # Errors
    /// A file is missing, damaged, or open to others.
    pub fn open(dir: &Path) -> Result<Self, AuthorityError> {
        let path = |name: &str| dir.join(name);
        let root = files::read_array(&path(ROOT_PUBLIC))?;
        Ok(Self {
            dir: dir.to_owned(),
            ca: files::read_certificate(&path(CA))?,
            ca_key: files::read_key_pair(&path(CA_KEY))?,
            release: read_release_word(&path(RELEASE_WORD), &root)?,
            root,
            collector: files::read_signing_key(&path(COLLECTOR_KEY))?,
            word: files::read(&path(COLLECTOR_WORD))?,
        })
    }

    /// The private keys that should be offline and lie here still.
    #[must_use]
    pub fn keys_online(&self) -> Vec<PathBuf> {
        [ROOT_KEY, RELEASE_KEY]
            .map(|name| self.dir.join(name))
            .into_iter()
            .filter(|key| key.exists())
            .collect()
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

    /// Who may sign releases; `None` where an earlier version made the keys.
    #[must_use]
    pub const fn release(&self) -> Option<&ReleaseAuthority> {
        self.release.as_ref()
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
        self.https_with(WebPkiClientVerifier::no_client_auth())
    }

    /// The same for agents: who has a certificate of this authority shows it, who has none yet need not.
    ///
    /// # Errors
    /// As [`Self::https`].
    pub fn https_for_agents(
        &self,
        ca: &CertificateDer<'static>,
    ) -> Result<Arc<ServerConfig>, AuthorityError> {
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        self.https_with(verifier)
    }

    fn https_with(&self, clients: Arc<dyn ClientCertVerifier>) -> Result<Arc<ServerConfig>, AuthorityError> {
        let (chain, key) = self.load()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
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

fn write_release_key(
    dir: &Path,
    root: &SigningKey,
    serial: u64,
    out: Option<&Path>,
) -> Result<(), AuthorityError> {
    let key = generate_signing_key()?;
    let word = ReleaseKey { serial, key: key.verifying_key().to_bytes() };
    let word = release::seal_release_key(root, &word)?;
    match out {
        Some(file) => files::write_new_signing_key(file, &key)?,
        None => files::write_signing_key(&dir.join(RELEASE_KEY), &key)?,
    }
    files::write(&dir.join(RELEASE_WORD), word.as_bytes()).inspect_err(|_| {
        // Without its word it is of no use, and would stand in the way of the next attempt.
        if let Some(file) = out {
            let _ = std::fs::remove_file(file);
        }
    })
}

fn read_release_word(file: &Path, root: &[u8; 32]) -> Result<Option<ReleaseAuthority>, AuthorityError> {
    if !file.exists() {
        return Ok(None);
    }
    let word = files::read(file)?;
    let opened =
        VerifyingKey::from_bytes(root).ok().and_then(|root| release::open_release_key(&word, &root).ok());
    let (key, _) = opened.ok_or_else(|| AuthorityError::Damaged(file.to_owned()))?;
    Ok(Some(ReleaseAuthority { key, word }))
}

fn generate_signing_key() -> Result<SigningKey, AuthorityError> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut()).map_err(AuthorityError::Random)?;
    Ok(SigningKey::from_bytes(&secret))
}
