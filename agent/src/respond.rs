//! Judges what comes down: is it from the collector, for this agent, newer than all before, and may it be
//! done here. It decides only; `uplink` and `cycle` act.

use ed25519_dalek::VerifyingKey;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::{Ack, Action, ActionKind, Command, Downlink, DownlinkPosition};
use wardwatch_wire::envelope::{Kind, OpenError, Unverified};

/// A message from the collector that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Ack(Downlink<Ack>),
    Command(Downlink<Command>),
}

/// A message that is not obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("a {0} does not come down")]
    Kind(Kind),
    #[error("it is for {0}")]
    OtherAgent(AgentId),
    #[error("its position {found:?} is not after {last:?}: a replay, or out of order")]
    Replayed { found: DownlinkPosition, last: DownlinkPosition },
}

/// Opens a message for `agent`, accepting only a position after `last`.
///
/// # Errors
/// Why it is not believed.
pub fn read(
    bytes: &[u8],
    agent: &AgentId,
    collector: &VerifyingKey,
    last: DownlinkPosition,
) -> Result<Message, Refused> {
    let envelope = Unverified::parse(bytes)?;
    let message = match envelope.kind() {
        Kind::Ack => Message::Ack(envelope.verify(Kind::Ack, agent, collector)?),
        Kind::Command => Message::Command(envelope.verify(Kind::Command, agent, collector)?),
        kind => return Err(Refused::Kind(kind)),
    };
    let (addressee, found) = match &message {
        Message::Ack(downlink) => (&downlink.agent, downlink.position),
        Message::Command(downlink) => (&downlink.agent, downlink.position),
    };
    if addressee != agent {
        return Err(Refused::OtherAgent(addressee.clone()));
    }
    if found <= last {
        return Err(Refused::Replayed { found, last });
    }
    Ok(message)
}

/// A command that is believed and still not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRun {
    #[error("the local configuration does not allow it")]
    NotAllowed,
    #[error("it has expired")]
    Expired,
    #[error("the time is not proved, so it cannot be known whether it has expired")]
    TimeUnknown,
}

/// What to do for a command.
///
/// # Errors
/// Why nothing is done.
pub fn judge(
    command: &Command,
    allowed: &[ActionKind],
    proved: Option<UnixMillis>,
) -> Result<Action, NotRun> {
    if !allowed.contains(&command.action.kind()) {
        return Err(NotRun::NotAllowed);
    }
    match proved {
        None => Err(NotRun::TimeUnknown),
        Some(now) if now >= command.expires => Err(NotRun::Expired),
        Some(_) => Ok(command.action.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use wardwatch_wire::downlink::CommandId;
    use wardwatch_wire::envelope::seal;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[3; 32])
    }

    fn command(agent: &str, epoch: u64, seq: u64) -> Downlink<Command> {
        Downlink {
            agent: agent.parse().unwrap(),
            position: DownlinkPosition { epoch, seq },
            sent: UnixMillis(0),
            body: Command { id: CommandId(1), action: Action::Rescan, expires: UnixMillis(1_000) },
        }
    }

    fn sealed(message: &Downlink<Command>) -> Vec<u8> {
        seal(Kind::Command, &message.agent, &key(), message).unwrap().into_bytes()
    }

    fn read_at(bytes: &[u8], epoch: u64, seq: u64) -> Result<Message, Refused> {
        read(bytes, &"a".parse().unwrap(), &key().verifying_key(), DownlinkPosition { epoch, seq })
    }

    #[test]
    fn only_a_higher_position_is_taken() {
        let bytes = sealed(&command("a", 1, 5));
        assert!(matches!(read_at(&bytes, 1, 4), Ok(Message::Command(_))));
        assert!(matches!(read_at(&bytes, 0, 900), Ok(Message::Command(_))), "a new epoch begins anew");
        for (epoch, seq) in [(1, 5), (1, 6), (2, 0)] {
            assert!(matches!(read_at(&bytes, epoch, seq), Err(Refused::Replayed { .. })));
        }
    }

    #[test]
    fn a_message_for_another_agent_or_from_another_key_is_refused() {
        assert!(matches!(read_at(&sealed(&command("b", 1, 5)), 0, 0), Err(Refused::Open(_))));
        let message = command("b", 1, 5);
        let readdressed = seal(Kind::Command, &"a".parse().unwrap(), &key(), &message).unwrap().into_bytes();
        assert_eq!(read_at(&readdressed, 0, 0), Err(Refused::OtherAgent("b".parse().unwrap())));
        let forged = seal(
            Kind::Command,
            &"a".parse().unwrap(),
            &SigningKey::from_bytes(&[4; 32]),
            &command("a", 1, 5),
        );
        assert_eq!(read_at(forged.unwrap().as_bytes(), 0, 0), Err(Refused::Open(OpenError::Signature)));
    }

    #[test]
    fn a_report_does_not_come_down() {
        let bytes = seal(Kind::Report, &"a".parse().unwrap(), &key(), &1u8).unwrap();
        assert_eq!(read_at(bytes.as_bytes(), 0, 0), Err(Refused::Kind(Kind::Report)));
    }

    #[test]
    fn a_command_runs_only_if_allowed_and_in_proved_time() {
        let command = command("a", 1, 1).body;
        let allowed = [ActionKind::Rescan];
        assert_eq!(judge(&command, &allowed, Some(UnixMillis(999))), Ok(Action::Rescan));
        assert_eq!(judge(&command, &allowed, Some(UnixMillis(1_000))), Err(NotRun::Expired));
        assert_eq!(judge(&command, &allowed, None), Err(NotRun::TimeUnknown));
        assert_eq!(judge(&command, &[ActionKind::Recheck], Some(UnixMillis(0))), Err(NotRun::NotAllowed));
    }
}
