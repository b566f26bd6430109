//! The broker's hooks: asks [`super::rules`] for each connection, publish and subscription, and hands reports
//! to ingest. Each refusal is logged and counted here.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use rmqtt::codec::types::Publish as Packet;
use rmqtt::codec::v5::{PublishAckReason, SubscribeAckReason};
use rmqtt::context::ServerContext;
use rmqtt::hook::{Handler, HookResult, Parameter, ReturnType, Type};
use rmqtt::session::Session;
use rmqtt::types::{
    AuthResult, ConnectInfo, LastWill, PublishAclResult, PublishResult, Reason, Subscribe, SubscribeReturn,
};
use tokio::sync::{broadcast, mpsc};
use wardwatch_policies::ids::AgentId;
use wardwatch_wire::topic::Channel;

use super::rules::{self, Refusal, Shown};
use super::{Event, Inbound, cut};
use crate::registry::Registry;

/// The hooks that are registered; all are answered by [`Gate`].
const TYPES: [Type; 5] = [
    Type::ClientAuthenticate,
    Type::ClientConnected,
    Type::ClientDisconnected,
    Type::ClientSubscribeCheckAcl,
    // `MessagePublish` comes before this check, so reports are taken here, once they are allowed.
    Type::MessagePublishCheckAcl,
];

#[derive(Clone)]
pub(super) struct Gate {
    pub(super) context: ServerContext,
    pub(super) registry: Registry,
    pub(super) sink: mpsc::Sender<Inbound>,
    /// How long one connection waits for room in the queue before it is refused.
    pub(super) queue_wait: Duration,
    pub(super) events: broadcast::Sender<Event>,
}

impl Gate {
    /// Registers the hooks; must happen before the listener starts.
    pub(super) async fn register(self) {
        let register = self.context.extends.hook_mgr().register();
        for typ in TYPES {
            register.add(typ, Box::new(self.clone())).await;
        }
        register.start().await;
    }

    fn authenticate(&self, info: &ConnectInfo) -> AuthResult {
        let certificate = info.cert();
        let will = info.last_will();
        let shown = Shown {
            client_id: info.client_id(),
            common_name: certificate.and_then(|c| c.common_name.as_deref()),
            serial: certificate.and_then(|c| c.serial.as_deref()),
            will_topic: will.as_ref().map(|will| match will {
                LastWill::V3(will) => &*will.topic,
                LastWill::V5(will) => &*will.topic,
            }),
        };
        match rules::connect(shown, &self.registry) {
            // Never a superuser: those pass every later check.
            Ok(_) => AuthResult::Allow(false, None),
            Err(refusal) => {
                refuse(refusal, info.client_id(), info.id().remote_addr);
                AuthResult::NotAuthorized
            }
        }
    }

    /// The agent of a session, if it is still admitted: a removal may have come after the connection.
    async fn admitted(&self, session: &Session) -> Result<AgentId, Refusal> {
        let agent: AgentId = session.id.client_id.parse().map_err(|_| Refusal::NoCertificate)?;
        let info = session.connect_info().await.map_err(|_| Refusal::NoCertificate)?;
        let serial = info.cert().and_then(|c| c.serial.as_deref()).ok_or(Refusal::NoCertificate)?;
        self.registry.admit(&agent, serial)?;
        Ok(agent)
    }

    async fn publish(&self, session: &Session, packet: &Packet) -> Result<(), Refusal> {
        let agent = self.admitted(session).await?;
        match rules::publish(&agent, &packet.topic)? {
            Channel::Reports => {
                let inbound = Inbound { agent, payload: packet.payload.clone() };
                self.sink.send_timeout(inbound, self.queue_wait).await.map_err(|_| Refusal::QueueFull)
            }
            // Only a hint, and the broker knows better itself.
            Channel::Presence => Ok(()),
            Channel::Downlink => Err(Refusal::OwnDownlink),
        }
    }

    async fn subscribe(&self, session: &Session, subscribe: &Subscribe) -> Result<(), Refusal> {
        let agent = self.admitted(session).await?;
        rules::subscribe(&agent, &subscribe.topic_filter)
    }

    async fn connected(&self, session: &Session) {
        match self.admitted(session).await {
            Ok(agent) => {
                // Nobody listening is no fault.
                let _ = self.events.send(Event::Connected(agent));
            }
            Err(refusal) => {
                refuse(refusal, &session.id.client_id, session.id.remote_addr);
                let (context, agent) = (self.context.clone(), session.id.client_id.clone());
                tokio::spawn(async move { cut(&context, &agent).await });
            }
        }
    }

    fn disconnected(&self, session: &Session, reason: &Reason) {
        if let Some(refusal) = violation(reason) {
            refuse(refusal, &session.id.client_id, session.id.remote_addr);
        }
        if let Ok(agent) = session.id.client_id.parse() {
            let _ = self.events.send(Event::Disconnected(agent));
        }
    }
}

#[async_trait]
impl Handler for Gate {
    async fn hook(&self, parameter: &Parameter, _: Option<HookResult>) -> ReturnType {
        let result = match parameter {
            Parameter::ClientAuthenticate(info) => HookResult::AuthResult(self.authenticate(info)),
            Parameter::MessagePublishCheckAcl(session, publish) => {
                let result = match self.publish(session, publish).await {
                    Ok(()) => PublishAclResult::allow(),
                    Err(refusal) => {
                        refuse(refusal, &session.id.client_id, session.id.remote_addr);
                        rejected(refusal)
                    }
                };
                HookResult::PublishAclResult(result)
            }
            Parameter::ClientSubscribeCheckAcl(session, subscribe) => {
                let result = match self.subscribe(session, subscribe).await {
                    Ok(()) => SubscribeReturn::new_success(subscribe.opts.qos(), None),
                    Err(refusal) => {
                        refuse(refusal, &session.id.client_id, session.id.remote_addr);
                        SubscribeReturn::new_failure(SubscribeAckReason::NotAuthorized)
                    }
                };
                HookResult::SubscribeAclResult(result)
            }
            Parameter::ClientConnected(session) => {
                self.connected(session).await;
                return (true, None);
            }
            Parameter::ClientDisconnected(session, reason) => {
                self.disconnected(session, reason);
                return (true, None);
            }
            _ => return (true, None),
        };
        (false, Some(result))
    }
}

/// Always with a disconnect: MQTT 3.1.1 has no other way to say no to a publish, and a client that takes the
/// acknowledgement for a yes would not send again.
fn rejected(refusal: Refusal) -> PublishAclResult {
    let code = match refusal {
        Refusal::QueueFull => PublishAckReason::QuotaExceeded,
        _ => PublishAckReason::NotAuthorized,
    };
    PublishAclResult(PublishResult::reason_code(code, Some(refusal.to_string().into()), true))
}

/// What the decoder refused before any hook could see it. The broker tells it only in words.
fn violation(reason: &Reason) -> Option<Refusal> {
    let text = match reason {
        Reason::Reasons(reasons) => return reasons.iter().find_map(violation),
        Reason::Error(text) | Reason::ProtocolError(text) => text.to_string(),
        Reason::MqttError(error) => error.to_string(),
        _ => return None,
    };
    if text.contains("MaxSizeExceeded") || text.contains("Max size exceeded") {
        return Some(Refusal::Oversize);
    }
    ["Malformed", "InvalidTopic", "Invalid topic", "Utf8", "utf8", "InvalidLength", "UnsupportedPacketType"]
        .iter()
        .any(|word| text.contains(word))
        .then_some(Refusal::Protocol)
}

fn refuse(refusal: Refusal, client_id: &str, address: Option<SocketAddr>) {
    metrics::counter!("wardwatch_refused_total", "door" => "broker", "reason" => refusal.reason())
        .increment(1);
    let client_id: String = client_id.chars().take(80).collect();
    tracing::warn!(client_id, ?address, reason = refusal.reason(), "refused: {refusal}");
}
