//! What the broker refuses. Each refusal leaves the queue empty and counts.

use rumqttc::{LastWill, Packet, QoS, SubscribeReasonCode};
use wardwatch_collector::authority::Authority;
use wardwatch_collector::store::endpoints::State;

use crate::setup::{Agent, Doors, Identity, NOW, eventually, id, refused};

async fn is_refused(doors: &Doors, client_id: &str, identity: Option<&Identity>, reason: &str) {
    let before = refused("broker", reason);
    assert!(Agent::connect(doors.options(client_id, identity)).await.is_err(), "{reason}");
    eventually(reason, || refused("broker", reason) > before).await;
    assert!(doors.broker.connected().await.is_empty(), "{reason}");
}

#[tokio::test]
async fn a_connection_without_certificate_is_refused() {
    let doors = Doors::open().await;
    is_refused(&doors, "pc-1", None, "no-certificate").await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let doors = Doors::open().await;
    let other = Authority::create(&doors.dir.path().join("other"), NOW).unwrap();
    let identity = Identity::of(&other, "pc-1");
    doors.register("pc-1", &identity, State::Active);
    is_refused(&doors, "pc-1", Some(&identity), "other-authority").await;
}

#[tokio::test]
async fn another_name_than_the_certificates_is_refused() {
    let doors = Doors::open().await;
    let identity = doors.enrol("pc-1");
    doors.enrol("pc-2");
    is_refused(&doors, "pc-2", Some(&identity), "another-name").await;
}

#[tokio::test]
async fn a_certificate_that_the_store_does_not_know_is_refused() {
    let doors = Doors::open().await;
    is_refused(&doors, "pc-1", Some(&Identity::of(&doors.authority, "pc-1")), "unknown-agent").await;
    let old = doors.enrol("pc-1");
    doors.enrol("pc-1");
    is_refused(&doors, "pc-1", Some(&old), "unknown-serial").await;
}

#[tokio::test]
async fn a_pending_or_removed_endpoint_is_refused() {
    let doors = Doors::open().await;
    let identity = doors.enrol("pc-1");
    doors.registry.set_state(&id("pc-1"), State::Pending);
    is_refused(&doors, "pc-1", Some(&identity), "pending").await;
    doors.registry.set_state(&id("pc-1"), State::Removed);
    is_refused(&doors, "pc-1", Some(&identity), "removed").await;
}

#[tokio::test]
async fn a_will_on_another_agents_topic_is_refused() {
    let doors = Doors::open().await;
    let identity = doors.enrol("pc-1");
    for topic in ["wardwatch/v1/agents/pc-2/reports", "wardwatch/v1/agents/pc-1/downlink", "cảnh-báo"] {
        let before = refused("broker", "will");
        let mut options = doors.options("pc-1", Some(&identity));
        options.set_last_will(LastWill::new(topic, "bye", QoS::AtLeastOnce, false));
        assert!(Agent::connect(options).await.is_err(), "{topic}");
        assert!(refused("broker", "will") > before, "{topic}");
    }
    let mut options = doors.options("pc-1", Some(&identity));
    options.set_last_will(LastWill::new("wardwatch/v1/agents/pc-1/presence", "off", QoS::AtLeastOnce, false));
    assert!(Agent::connect(options).await.is_ok());
}

#[tokio::test]
async fn a_publish_anywhere_but_to_its_own_reports_cuts_the_agent() {
    let mut doors = Doors::open().await;
    let (identity, other) = (doors.enrol("pc-1"), doors.enrol("pc-2"));
    let mut victim = doors.agent("pc-2", &other).await;
    victim.client.subscribe("wardwatch/v1/agents/pc-2/downlink", QoS::AtLeastOnce).await.unwrap();
    victim.wait_for(|packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
    for (topic, reason) in [
        ("wardwatch/v1/agents/pc-2/reports", "another-agent"),
        ("wardwatch/v1/agents/pc-2/downlink", "another-agent"),
        ("wardwatch/v1/agents/pc-1/downlink", "own-downlink"),
        ("wardwatch/v1/agents/pc-1/báo-cáo", "not-ascii"),
        ("$SYS/brokers", "unknown-topic"),
    ] {
        let before = refused("broker", reason);
        let mut agent = doors.agent("pc-1", &identity).await;
        agent.client.publish(topic, QoS::AtLeastOnce, false, "x").await.unwrap();
        agent.is_cut().await;
        assert!(refused("broker", reason) > before, "{topic}");
        assert!(doors.inbox.try_recv().is_err(), "{topic}");
    }
    // Nothing has reached the other agent: the next thing it hears is this.
    assert!(doors.broker.publish(&id("pc-2"), "genuine".into()).await);
    let heard = victim
        .wait_for(|packet| match packet {
            Packet::Publish(publish) => Some(publish.payload),
            _ => None,
        })
        .await;
    assert_eq!(&heard[..], b"genuine");
}

#[tokio::test]
async fn a_packet_larger_than_any_message_cuts_the_agent() {
    let mut doors = Doors::open().await;
    let identity = doors.enrol("pc-1");
    let before = refused("broker", "oversize");
    for bytes in [300 * 1024, 10 * 1024 * 1024] {
        let mut agent = doors.agent("pc-1", &identity).await;
        let payload = vec![0u8; bytes];
        agent
            .client
            .publish("wardwatch/v1/agents/pc-1/reports", QoS::AtLeastOnce, false, payload)
            .await
            .unwrap();
        agent.is_cut().await;
    }
    eventually("both are counted", || refused("broker", "oversize") >= before + 2).await;
    assert!(doors.inbox.try_recv().is_err());
}

#[tokio::test]
async fn a_subscription_to_anything_but_its_own_downlink_is_refused() {
    let doors = Doors::open().await;
    let identity = doors.enrol("pc-1");
    doors.enrol("pc-2");
    let mut agent = doors.agent("pc-1", &identity).await;
    for (filter, reason) in [
        ("wardwatch/v1/agents/pc-2/downlink", "another-agent"),
        ("wardwatch/v1/agents/pc-1/reports", "not-own-downlink"),
        ("wardwatch/v1/agents/+/downlink", "wildcard"),
        ("#", "wildcard"),
        ("$share/g/wardwatch/v1/agents/pc-1/downlink", "share-group"),
        ("$SYS/#", "wildcard"),
        ("kênh", "not-ascii"),
    ] {
        let before = refused("broker", reason);
        agent.client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        let codes = agent
            .wait_for(|packet| match packet {
                Packet::SubAck(ack) => Some(ack.return_codes),
                _ => None,
            })
            .await;
        assert_eq!(codes, [SubscribeReasonCode::Failure], "{filter}");
        assert!(refused("broker", reason) > before, "{filter}");
    }
}
