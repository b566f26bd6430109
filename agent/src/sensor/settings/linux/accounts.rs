//! Accounts and what is known of their passwords. A hash is compared here and goes no further.

mod guess;

use std::collections::BTreeMap;

use wardwatch_policies::observation::{Account, Guess, HashScheme, Password, Unreadable};
use zeroize::Zeroizing;

use super::place::Place;
use guess::Guesser;

pub(super) fn accounts(place: &Place, passwords: &[String]) -> Result<Vec<Account>, Unreadable> {
    let passwd = place.text(b"/etc/passwd")?.map(Zeroizing::new);
    let passwd = passwd.ok_or_else(|| Unreadable("/etc/passwd is not there".into()))?;
    let shadow = place.text(b"/etc/shadow").map(|text| text.map(Zeroizing::new));
    let shadow: Result<BTreeMap<&str, &str>, &Unreadable> = match &shadow {
        Ok(text) => Ok(text.as_deref().map(|text| shadow_fields(text)).unwrap_or_default()),
        Err(reason) => Err(reason),
    };
    let mut guesser = Guesser::new(passwords);
    let mut accounts = Vec::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(field), Some(Ok(uid))) =
            (fields.next(), fields.next(), fields.next().map(str::parse::<u32>))
        else {
            continue;
        };
        if name.is_empty() || name.starts_with(['#', '+', '-']) {
            continue;
        }
        let password = match (field, &shadow) {
            ("x", Ok(shadow)) => match shadow.get(name) {
                Some(field) => password(name, field, &mut guesser),
                // Without an entry no password can be right.
                None => Password::Locked,
            },
            ("x", Err(reason)) => Password::Unreadable((*reason).clone()),
            (field, _) => password(name, field, &mut guesser),
        };
        accounts.push(Account { name: name.to_owned(), uid, password, in_passwd: is_hash(field) });
    }
    Ok(accounts)
}

fn shadow_fields(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            Some((fields.next()?, fields.next()?))
        })
        .collect()
}

fn password(name: &str, field: &str, guesser: &mut Guesser<'_>) -> Password {
    match field {
        "" => Password::Empty,
        field if !is_hash(field) => Password::Locked,
        field => Password::Set { scheme: scheme(field), guess: guesser.guess(name, field) },
    }
}

/// `x`, `*`, `!` and whatever begins with these are no hashes: no password fits them.
fn is_hash(field: &str) -> bool {
    !field.is_empty() && field != "x" && !field.starts_with(['*', '!'])
}

fn scheme(hash: &str) -> HashScheme {
    match hash.split('$').nth(1) {
        None => HashScheme::Des,
        Some("1") => HashScheme::Md5,
        Some("5") => HashScheme::Sha256,
        Some("6") => HashScheme::Sha512,
        Some(_) => HashScheme::Other,
    }
}

#[cfg(test)]
mod tests;
