//! Commands to agents: numbered in the downlink, sent until the agent names them or they expired.

use wardwatch_collector::clock;
use wardwatch_collector::fleet::{COMMAND_LIFE, FleetError};
use wardwatch_collector::store::endpoints::State;
use wardwatch_incidents::change::Actor;
use wardwatch_policies::finding::StreamReason;
use wardwatch_policies::time::UnixMillis;
use wardwatch_tests::database::Database;
use wardwatch_wire::downlink::{Action, CommandId};
use wardwatch_wire::report::{Body, MAX_COMMANDS, StopReason};

use crate::office::Office;
use crate::setup::{NOW, id};

const ADMIN: Actor = Actor::LocalAdmin;

#[tokio::test]
async fn a_command_follows_the_ack_of_a_heartbeat_once_and_stands_on_the_record() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        let now = clock::now();
        let first = office.fleet.command(&ADMIN, &pc.agent, Action::Rescan, now).await.unwrap();
        let second = office.fleet.command(&ADMIN, &pc.agent, Action::Recheck, now).await.unwrap();
        assert_eq!((first, second), (CommandId(1), CommandId(2)));
        let logged = "log where change_body like '%command-issued%' and change_body like '%pc-1%'";
        assert_eq!(office.count(logged).await, 2);

        pc.beat(1).await;
        let (rescan, recheck) = (pc.command().await, pc.command().await);
        assert_eq!((rescan.id, rescan.action), (first, Action::Rescan));
        assert_eq!((recheck.id, recheck.action), (second, Action::Recheck));
        assert_eq!(rescan.expires.0, now.0 + i64::try_from(COMMAND_LIFE.as_millis()).unwrap());
        assert_eq!(office.standing("pc-1").await.downlink, pc.downlink);

        assert_eq!(office.count("commands where delivered is null").await, 2);
        pc.beat(2).await;
        assert_eq!(office.count("commands where delivered is null").await, 0);
        pc.beat(3).await;
        assert_eq!(pc.commands_heard(), 0);
        office.close().await;
    }
}

#[tokio::test]
async fn a_command_that_the_broker_lost_is_sent_again_though_what_followed_arrived() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        pc.open(1, StreamReason::FirstStart).await;
        office.fleet.command(&ADMIN, &pc.agent, Action::Rescan, clock::now()).await.unwrap();
        pc.beat(1).await;
        pc.command().await;
        pc.taken.clear();
        // Its ack stands later in the downlink than the command did.
        pc.tell(Body::Stopping { reason: StopReason::Service }).await;
        pc.beat(2).await;
        assert_eq!(pc.command().await.action, Action::Rescan);
        assert_eq!(office.count("commands where delivered is null").await, 1);
        pc.beat(3).await;
        assert_eq!(office.count("commands where delivered is null").await, 0);
        office.close().await;
    }
}

#[tokio::test]
async fn a_command_lost_with_its_connection_is_sent_again() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let identity = office.enrol("pc-1", State::Active).await;
        let mut pc = office.connect("pc-1", &identity).await;
        office.fleet.command(&ADMIN, &pc.agent, Action::Rescan, clock::now()).await.unwrap();
        pc.beat(1).await;
        pc.command().await;

        let mut again = office.connect("pc-1", &identity).await;
        (again.uptime_ms, again.downlink) = (pc.uptime_ms, pc.downlink);
        again.beat(2).await;
        assert_eq!(again.command().await.action, Action::Rescan);
        again.beat(3).await;
        again.beat(4).await;
        assert_eq!(again.commands_heard(), 0);
        office.close().await;
    }
}

#[tokio::test]
async fn no_more_commands_are_on_their_way_than_a_heartbeat_can_name() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        for _ in 0..=MAX_COMMANDS {
            office.fleet.command(&ADMIN, &pc.agent, Action::Recheck, clock::now()).await.unwrap();
        }
        pc.beat(1).await;
        for _ in 0..MAX_COMMANDS {
            pc.command().await;
        }
        pc.beat(2).await;
        assert_eq!(pc.command().await.id, CommandId(MAX_COMMANDS as u64 + 1));
        pc.beat(3).await;
        assert_eq!(office.count("commands where delivered is null").await, 0);
        office.close().await;
    }
}

#[tokio::test]
async fn an_expired_command_is_not_sent() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        let long_ago = UnixMillis(clock::now().0 - 25 * 3_600_000);
        office.fleet.command(&ADMIN, &pc.agent, Action::Rescan, long_ago).await.unwrap();
        pc.beat(1).await;
        pc.beat(2).await;
        assert_eq!(pc.commands_heard(), 0);
        office.close().await;
    }
}

#[tokio::test]
async fn only_an_active_endpoint_is_commanded() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        office.enrol("pc-1", State::Pending).await;
        for agent in ["pc-1", "pc-9"] {
            let refused = office.fleet.command(&ADMIN, &id(agent), Action::Rescan, NOW).await;
            assert!(matches!(refused, Err(FleetError::NoSuchEndpoint(_))));
        }
        assert_eq!(office.count("commands").await + office.count("log").await, 0);
        office.close().await;
    }
}
