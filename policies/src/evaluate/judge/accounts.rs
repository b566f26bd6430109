//! Judges accounts and their passwords. Names the accounts, never a password.

use std::collections::BTreeSet;

use super::super::evidence::list;
use super::super::{Judgement, Truth};
use super::expected;
use crate::observation::{Account, Guess, HashScheme, Password};
use crate::policy::probe::AccountRule;
use crate::verdict::Evidence;

/// What one account comes to under a rule.
enum Standing {
    Good,
    Bad,
    Unknown(String),
}

pub(super) fn judge(rule: &AccountRule, accounts: &[Account], wanted: bool) -> Judgement {
    let mut bad = Vec::new();
    let mut reasons = BTreeSet::new();
    for account in accounts {
        match standing(rule, account) {
            Standing::Good => {}
            Standing::Bad => bad.push(account.name.as_str()),
            Standing::Unknown(reason) => {
                reasons.insert(reason);
            }
        }
    }
    // No account at all is no answer: a root without /etc/passwd was not looked at.
    if accounts.is_empty() {
        reasons.insert("/etc/passwd names no account".into());
    }
    let (truth, found) = match (bad.is_empty(), reasons.is_empty()) {
        (false, _) => (Truth::False, format!("{}: {}", offence(rule), list(bad))),
        (true, false) => (Truth::Unknown, list(reasons.iter().map(String::as_str))),
        (true, true) => (Truth::True, format!("none of {} accounts", accounts.len())),
    };
    if truth != Truth::Unknown {
        reasons.clear();
    }
    Judgement {
        truth,
        evidence: vec![Evidence {
            subject: "accounts".into(),
            expected: expected(format!("no account {}", offence(rule)), wanted),
            found,
        }],
        reasons,
    }
}

fn offence(rule: &AccountRule) -> &'static str {
    match rule {
        AccountRule::OnlyRootHasUid0 => "with uid 0 beside root",
        AccountRule::NoEmptyPassword => "without a password",
        AccountRule::Shadowed => "with its hash in /etc/passwd",
        AccountRule::NoWeakHash => "with a DES or MD5 hash",
        AccountRule::NoDefaultPassword { .. } => "with a well-known password",
    }
}

fn standing(rule: &AccountRule, account: &Account) -> Standing {
    let by = |bad: bool| if bad { Standing::Bad } else { Standing::Good };
    match (rule, &account.password) {
        (AccountRule::OnlyRootHasUid0, _) => by(account.uid == 0 && account.name != "root"),
        (AccountRule::Shadowed, _) => by(account.in_passwd),
        (_, Password::Unreadable(reason)) => Standing::Unknown(reason.to_string()),
        (AccountRule::NoEmptyPassword, password) => by(*password == Password::Empty),
        (AccountRule::NoWeakHash, Password::Set { scheme, .. }) => {
            by(matches!(scheme, HashScheme::Des | HashScheme::Md5))
        }
        (AccountRule::NoDefaultPassword { .. }, Password::Set { guess, .. }) => match guess {
            Guess::Fits => Standing::Bad,
            Guess::NoneFits => Standing::Good,
            Guess::NotTried => Standing::Unknown(format!("{}: its password was not tried", account.name)),
            Guess::CannotCompute(reason) => Standing::Unknown(format!("{}: {reason}", account.name)),
        },
        // An empty password is the best known of all.
        (AccountRule::NoDefaultPassword { .. }, Password::Empty) => Standing::Bad,
        (AccountRule::NoWeakHash, Password::Empty)
        | (AccountRule::NoWeakHash | AccountRule::NoDefaultPassword { .. }, Password::Locked) => {
            Standing::Good
        }
    }
}
