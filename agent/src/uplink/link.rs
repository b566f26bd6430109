//! One MQTT connection to one address of the collector, as a queue of events. Nothing is kept from one
//! connection to the next: what was not acknowledged is sent again from the outbox.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{
    AsyncClient, EventLoop, MqttOptions, NetworkOptions, Outgoing, Packet, QoS, SubscribeReasonCode,
    TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wardwatch_policies::ids::AgentId;
use wardwatch_wire::envelope::MAX_BYTES;
use wardwatch_wire::topic::{Channel, Topic};

const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// To connect and to flush, in seconds.
const NETWORK_TIMEOUT_SECS: u64 = 20;
/// Topic and header around the largest envelope, in bytes.
const PACKET_OVERHEAD: usize = 1024;
const REQUESTS: usize = 16;
const EVENTS: usize = 64;

/// What happens on a connection.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// The downlink is subscribed; messages may be sent.
    Ready,
    Message(Vec<u8>),
    /// A message went out: there may be room for the next.
    Sent,
    /// It is over, with the reason.
    Closed(String),
}

/// An open connection; closed when dropped.
pub(super) struct Link {
    client: AsyncClient,
    events: mpsc::Receiver<LinkEvent>,
    reports: String,
    _task: JoinSet<()>,
}

impl Link {
    pub(super) fn open(agent: &AgentId, host: &str, port: u16, tls: &Arc<ClientConfig>) -> Self {
        let mut options = MqttOptions::new(agent.as_str(), host, port);
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls))));
        options.set_keep_alive(KEEP_ALIVE);
        options.set_clean_session(true);
        options.set_max_packet_size(MAX_BYTES + PACKET_OVERHEAD, MAX_BYTES + PACKET_OVERHEAD);
        let (client, mut event_loop) = AsyncClient::new(options, REQUESTS);
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(NETWORK_TIMEOUT_SECS);
        network.set_tcp_nodelay(true);
        event_loop.set_network_options(network);
        let (send, events) = mpsc::channel(EVENTS);
        let mut task = JoinSet::new();
        let downlink = Topic::new(agent.clone(), Channel::Downlink).to_string();
        task.spawn(drive(event_loop, client.clone(), downlink, send));
        let reports = Topic::new(agent.clone(), Channel::Reports).to_string();
        Self { client, events, reports, _task: task }
    }

    pub(super) async fn next(&mut self) -> LinkEvent {
        self.events.recv().await.unwrap_or_else(|| LinkEvent::Closed("the connection ended".into()))
    }

    /// Hands a message over; says no while the connection has enough to do.
    pub(super) fn try_send(&self, message: Vec<u8>) -> bool {
        self.client.try_publish(&self.reports, QoS::AtLeastOnce, false, message).is_ok()
    }
}

async fn drive(
    mut event_loop: EventLoop,
    client: AsyncClient,
    downlink: String,
    events: mpsc::Sender<LinkEvent>,
) {
    loop {
        let event = match event_loop.poll().await {
            Ok(rumqttc::Event::Incoming(Packet::ConnAck(_))) => {
                match client.try_subscribe(&downlink, QoS::AtLeastOnce) {
                    Ok(()) => continue,
                    Err(error) => LinkEvent::Closed(error.to_string()),
                }
            }
            Ok(rumqttc::Event::Incoming(Packet::SubAck(answer))) => {
                if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                    LinkEvent::Closed("the broker refuses the downlink subscription".into())
                } else {
                    LinkEvent::Ready
                }
            }
            Ok(rumqttc::Event::Incoming(Packet::Publish(message))) => {
                LinkEvent::Message(message.payload.to_vec())
            }
            Ok(
                rumqttc::Event::Outgoing(Outgoing::Publish(_)) | rumqttc::Event::Incoming(Packet::PubAck(_)),
            ) => LinkEvent::Sent,
            Ok(_) => continue,
            Err(error) => LinkEvent::Closed(chain(&error)),
        };
        let over = matches!(event, LinkEvent::Closed(_));
        if events.send(event).await.is_err() || over {
            return;
        }
    }
}

/// The error with all that caused it, each said once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}
