//! The broker's one listener: mutual TLS on TCP, opened anew when the server certificate is renewed.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use rmqtt::codec::types::QoS;
use rmqtt::context::ServerContext;
use rmqtt::net::Builder;
use rmqtt::server::MqttServer;
use tokio::task::JoinHandle;
use wardwatch_wire::envelope;

use super::{BrokerError, Config};
use crate::authority::ServerCertificate;

/// Topic, properties and framing around the largest envelope.
const PACKET_OVERHEAD_BYTES: usize = 4096;

pub(super) struct Listener {
    address: SocketAddr,
    /// The broker knows listeners by number and takes none twice.
    id: u16,
    /// `None` once closed.
    accepting: Option<JoinHandle<()>>,
}

impl Listener {
    pub(super) fn open(context: &ServerContext, config: &Config) -> Result<Self, BrokerError> {
        Self::bind(context, config, &config.certificate, config.listen, 1)
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn renew(
        &mut self,
        context: &ServerContext,
        config: &Config,
        certificate: ServerCertificate,
    ) -> Result<(), BrokerError> {
        let address = self.address;
        // Once the old listener is gone there is no way back, so the files are tried first.
        certificate.load().map_err(|error| BrokerError::Listen { address, source: error.into() })?;
        self.close().await;
        // Counted up even if binding fails, since the broker may have taken the number by then.
        self.id = self.id.wrapping_add(1);
        *self = Self::bind(context, config, &certificate, address, self.id)?;
        Ok(())
    }

    /// Accepts no more; what is connected stays.
    pub(super) async fn close(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // Cancelled is what it should be; the socket is closed once the task is gone.
            let _ = accepting.await;
        }
    }

    fn bind(
        context: &ServerContext,
        config: &Config,
        certificate: &ServerCertificate,
        address: SocketAddr,
        id: u16,
    ) -> Result<Self, BrokerError> {
        let failed = |source| BrokerError::Listen { address, source };
        let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let listener = Builder::new()
            .name("wardwatch")
            .laddr(address)
            // Connections of the previous listener keep the port in use.
            .reuseaddr(Some(true))
            .nodelay(true)
            .max_connections(usize::from(config.limits.sessions))
            .handshake_timeout(config.limits.handshake_timeout)
            .max_packet_size((envelope::MAX_BYTES + PACKET_OVERHEAD_BYTES) as u32)
            .max_clientid_len(64)
            .max_subscriptions(4)
            .max_mqueue_len(100)
            .max_inflight(NonZeroU16::new(64).unwrap_or(NonZeroU16::MIN))
            .max_qos_allowed(QoS::AtLeastOnce)
            .allow_zero_keepalive(false)
            // Whatever must arrive waits in the store, not in a session.
            .session_expiry_interval(Duration::from_secs(1))
            .max_session_expiry_interval(Duration::from_secs(1))
            .message_expiry_interval(Duration::ZERO)
            // Otherwise the authenticate hook is skipped for clients without a user name.
            .allow_anonymous(false)
            .tls_cross_certificate(true)
            .tls_cert(Some(path(&certificate.chain_file)))
            .tls_key(Some(path(&certificate.key_file)))
            // Unset, the server's own chain would become the authority for clients.
            .tls_client_ca_certs(Some(path(&config.ca_file)))
            .collect_cert_info(true)
            .bind()
            .and_then(rmqtt::net::Listener::tls)
            .map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let server = MqttServer::new(context.clone()).listener_by_id(listener, id).build();
        let accepting = tokio::spawn(async move {
            if let Err(error) = server.run().await {
                tracing::error!(%error, "the broker accepts no more connections; restart the collector");
            }
        });
        Ok(Self { address, id, accepting: Some(accepting) })
    }
}
