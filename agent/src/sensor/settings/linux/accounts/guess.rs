//! Tries well-known passwords on a hash, within a budget: a hash may be made to cost hours.

use super::{Guess, HashScheme, Unreadable, scheme};

/// Rounds of SHA-crypt that all accounts together may cost; 5,000 a password is the usual.
const ROUND_BUDGET: u64 = 2_000_000;
const USUAL_ROUNDS: u64 = 5_000;
const MAX_HASH_BYTES: usize = 256;

pub(super) struct Guesser<'p> {
    passwords: &'p [String],
    rounds_left: u64,
}

impl<'p> Guesser<'p> {
    pub(super) fn new(passwords: &'p [String]) -> Self {
        Self { passwords, rounds_left: ROUND_BUDGET }
    }

    /// Whether one of the passwords, or the account's own name, opens the account.
    pub(super) fn guess(&mut self, name: &str, hash: &str) -> Guess {
        if self.passwords.is_empty() {
            return Guess::NotTried;
        }
        let cannot = |reason: &str| Guess::CannotCompute(Unreadable(reason.to_owned()));
        let is_plain = hash.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./$=".contains(&byte));
        if hash.len() > MAX_HASH_BYTES || !is_plain {
            return cannot("its hash has an unknown form");
        }
        let (verify, rounds): (fn(&str, &str) -> bool, u64) = match scheme(hash) {
            HashScheme::Des if hash.len() == 13 => {
                (|password, hash| crypt3_rs::crypt::unix::verify(password, hash), 1)
            }
            HashScheme::Md5 => (|password, hash| crypt3_rs::crypt::md5::verify(password, hash), 1_000),
            HashScheme::Sha256 => {
                (|password, hash| crypt3_rs::crypt::sha256::verify(password, hash), sha_rounds(hash))
            }
            HashScheme::Sha512 => {
                (|password, hash| crypt3_rs::crypt::sha512::verify(password, hash), sha_rounds(hash))
            }
            _ => return cannot("its hash (yescrypt, bcrypt or another slow one) is not computed here"),
        };
        for password in self.passwords.iter().map(String::as_str).chain([name]) {
            match self.rounds_left.checked_sub(rounds) {
                Some(left) => self.rounds_left = left,
                None => return cannot("trying the passwords would cost too much"),
            }
            if verify(password, hash) {
                return Guess::Fits;
            }
        }
        Guess::NoneFits
    }
}

fn sha_rounds(hash: &str) -> u64 {
    match hash.split('$').nth(2).and_then(|part| part.strip_prefix("rounds=")) {
        Some(rounds) => rounds.parse().unwrap_or(u64::MAX),
        None => USUAL_ROUNDS,
    }
}
