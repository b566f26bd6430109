//! Good agents at the broker.

use std::time::Duration;

use rumqttc::{Packet, QoS, SubscribeReasonCode};
use tokio::time::timeout;
use wardwatch_collector::broker::{Event, Limits};
use wardwatch_collector::store::endpoints::State;

use crate::setup::{Agent, Doors, eventually, id, refused, tls};

const REPORTS: &str = "wardwatch/v1/agents/pc-1/reports";
const DOWNLINK: &str = "wardwatch/v1/agents/pc-1/downlink";

#[tokio::test]
async fn an_enrolled_agent_reports_and_is_answered() {
    let mut doors = Doors::open().await;
    let identity = doors.enrol("pc-1");
    let mut events = doors.broker.events();
    let mut agent = doors.agent("pc-1", &identity).await;
    assert_eq!(events.recv().await.unwrap(), Event::Connected(id("pc-1")));

    agent.client.publish(REPORTS, QoS::AtLeastOnce, false, "báo cáo").await.unwrap();
    agent.wait_for(|packet| matches!(packet, Packet::PubAck(_)).then_some(())).await;
    let report = doors.report().await;
    assert_eq!((report.agent, &report.payload[..]), (id("pc-1"), "báo cáo".as_bytes()));

    assert!(!doors.broker.publish(&id("pc-1"), "too early".into()).await);
    agent.client.subscribe(DOWNLINK, QoS::AtLeastOnce).await.unwrap();
    agent.wait_for(|packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
    assert!(doors.broker.publish(&id("pc-1"), "ack".into()).await);
    let (topic, payload) = agent
        .wait_for(|packet| match packet {
            Packet::Publish(publish) => Some((publish.topic, publish.payload)),
            _ => None,
        })
        .await;
    assert_eq!((topic.as_str(), &payload[..]), (DOWNLINK, &b"ack"[..]));
    assert!(!doors.broker.publish(&id("pc-2"), "nobody".into()).await);
    assert_eq!(doors.broker.connected().await, [id("pc-1")]);
    doors.broker.stop().await;
}

#[tokio::test]
async fn an_agent_that_speaks_mqtt_5_reports_too() {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason};
    use rumqttc::v5::{AsyncClient, Event, MqttOptions};

    let mut doors = Doors::open().await;
    let identity = doors.enrol("pc-1");
    let mut options = MqttOptions::new("pc-1", "127.0.0.1", doors.broker.address().port());
    let tls = tls(doors.authority.ca(), Some(&identity));
    options.set_transport(rumqttc::Transport::tls_with_config(rumqttc::TlsConfiguration::Rustls(
        std::sync::Arc::new(tls),
    )));
    let (client, mut events) = AsyncClient::new(options, 16);
    client.publish(REPORTS, QoS::AtLeastOnce, false, "five").await.unwrap();
    let reason = timeout(Duration::from_secs(10), async {
        loop {
            if let Event::Incoming(Packet::PubAck(ack)) = events.poll().await.unwrap() {
                return ack.reason;
            }
        }
    });
    assert_eq!(reason.await.unwrap(), PubAckReason::Success);
    assert_eq!(&doors.report().await.payload[..], b"five");
}

#[tokio::test]
async fn a_removed_agent_is_cut_at_once_and_never_comes_back() {
    let mut doors = Doors::open().await;
    let identity = doors.enrol("pc-1");
    let mut agent = doors.agent("pc-1", &identity).await;
    let before = refused("broker", "removed");

    doors.registry.set_state(&id("pc-1"), State::Removed);
    doors.broker.disconnect(&id("pc-1")).await;
    agent.is_cut().await;
    assert!(Agent::connect(doors.options("pc-1", Some(&identity))).await.is_err());
    assert!(refused("broker", "removed") > before);
    assert!(doors.broker.connected().await.is_empty());
    assert!(doors.inbox.try_recv().is_err());
}

#[tokio::test]
async fn a_removal_that_comes_while_the_session_lives_stops_its_next_report() {
    let mut doors = Doors::open().await;
    let identity = doors.enrol("pc-1");
    let mut agent = doors.agent("pc-1", &identity).await;
    doors.registry.set_state(&id("pc-1"), State::Removed);
    agent.client.publish(REPORTS, QoS::AtLeastOnce, false, "late").await.unwrap();
    agent.is_cut().await;
    assert!(doors.inbox.try_recv().is_err());
}

#[tokio::test]
async fn a_full_queue_is_no_acknowledgement_and_the_agent_sends_again() {
    let limits = Limits { queue_wait: Duration::from_millis(100), ..Limits::default() };
    let mut doors = Doors::with(limits, 1).await;
    let identity = doors.enrol("pc-1");
    let mut agent = doors.agent("pc-1", &identity).await;
    let before = refused("broker", "queue-full");
    agent.client.publish(REPORTS, QoS::AtLeastOnce, false, "1").await.unwrap();
    agent.wait_for(|packet| matches!(packet, Packet::PubAck(_)).then_some(())).await;
    agent.client.publish(REPORTS, QoS::AtLeastOnce, false, "2").await.unwrap();
    while let Ok(event) = agent.next().await {
        assert!(!matches!(event, rumqttc::Event::Incoming(Packet::PubAck(_))));
    }
    assert_eq!(refused("broker", "queue-full"), before + 1);

    assert_eq!(&doors.report().await.payload[..], b"1");
    let mut agent = doors.agent("pc-1", &identity).await;
    agent.client.publish(REPORTS, QoS::AtLeastOnce, false, "2").await.unwrap();
    agent.wait_for(|packet| matches!(packet, Packet::PubAck(_)).then_some(())).await;
    assert_eq!(&doors.report().await.payload[..], b"2");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_and_cuts_none() {
    let mut doors = Doors::open().await;
    let identity = doors.enrol("pc-1");
    let mut agent = doors.agent("pc-1", &identity).await;
    let address = doors.broker.address();
    let shown = async || {
        let connector =
            tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls(doors.authority.ca(), None)));
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let stream = connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let old = shown().await;
    let hosts = ["127.0.0.1".to_owned(), "trung-tam.example".to_owned()];
    let certificate = doors.authority.ensure_server_certificate(&hosts, crate::setup::NOW).unwrap();
    assert!(certificate.renewed);
    doors.broker.renew(certificate).await.unwrap();
    assert_ne!(shown().await, old);

    agent.client.publish(REPORTS, QoS::AtLeastOnce, false, "still here").await.unwrap();
    agent.wait_for(|packet| matches!(packet, Packet::PubAck(_)).then_some(())).await;
    let other = doors.enrol("pc-2");
    let _second = doors.agent("pc-2", &other).await;
    let again = doors.authority.ensure_server_certificate(&hosts, crate::setup::NOW).unwrap();
    assert!(!again.renewed);
    doors.broker.renew(again).await.unwrap();
    assert_eq!(&doors.report().await.payload[..], b"still here");
}

#[tokio::test]
async fn twenty_stalled_handshakes_do_not_block_a_good_agent() {
    let doors = Doors::open().await;
    let identity = doors.enrol("pc-1");
    let before = refused("broker", "stalled-handshake");
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(tokio::net::TcpStream::connect(doors.broker.address()).await.unwrap());
    }
    let mut agent = timeout(Duration::from_secs(2), doors.agent("pc-1", &identity)).await.unwrap();
    agent.client.subscribe(DOWNLINK, QoS::AtLeastOnce).await.unwrap();
    let codes = agent
        .wait_for(|packet| match packet {
            Packet::SubAck(ack) => Some(ack.return_codes),
            _ => None,
        })
        .await;
    assert_eq!(codes, [SubscribeReasonCode::Success(QoS::AtLeastOnce)]);
    eventually("the stalled ones are cut", || refused("broker", "stalled-handshake") >= before + 20).await;
}

#[tokio::test]
async fn stopping_says_goodbye_and_frees_the_port() {
    let doors = Doors::open().await;
    let identity = doors.enrol("pc-1");
    let mut agent = doors.agent("pc-1", &identity).await;
    let address = doors.broker.address();
    timeout(Duration::from_secs(5), doors.broker.stop()).await.unwrap();
    agent.is_cut().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
