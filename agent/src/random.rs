//! Randomness from the system, asked for at the shell and handed on as values.

use std::time::Duration;

use wardwatch_policies::ids::AgentId;

/// The system gives no randomness; without it no key or nonce can be made.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no randomness ({0}); the agent cannot work safely; restart the machine")]
pub struct NoRandomness(getrandom::Error);

/// # Errors
/// The system has none to give.
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(bytes)
}

/// `ww-` and 60 random bits in 12 characters that are hard to confuse when read aloud.
///
/// # Errors
/// As [`bytes`].
pub fn agent_id() -> Result<AgentId, NoRandomness> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let text: String =
        bytes::<12>()?.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    Ok(format!("ww-{text}").parse().expect("letters, digits and a hyphen make an agent id"))
}

/// Between half of `duration` and all of it, so that a thousand agents do not act at the same moment.
/// All of it where the system has no randomness.
#[must_use]
pub fn jittered(duration: Duration) -> Duration {
    let part = bytes::<2>().map_or(u16::MAX, u16::from_le_bytes);
    duration / 2 + duration.mul_f64(f64::from(part) / f64::from(u16::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_keeps_at_least_half() {
        for _ in 0..100 {
            let jittered = jittered(Duration::from_secs(10));
            assert!((Duration::from_secs(5)..=Duration::from_secs(10)).contains(&jittered));
        }
    }

    #[test]
    fn agent_ids_differ_and_are_readable() {
        let (one, other) = (agent_id().unwrap(), agent_id().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.as_str().len(), 15);
    }
}
