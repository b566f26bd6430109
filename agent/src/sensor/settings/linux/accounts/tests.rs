use super::*;

fn guess(hash: &str, passwords: &[&str]) -> Guess {
    let passwords: Vec<_> = passwords.iter().map(|password| (*password).to_owned()).collect();
    Guesser::new(&passwords).guess("root", hash)
}

#[test]
fn a_well_known_password_is_found_in_every_scheme_that_can_be_computed() {
    for hash in [
        "absxcfbgXtb3o",
        "$1$abcdefgh$/ehdsgh6T85pypwniuldr1",
        "$5$abcdefgh$Dqzo8Y2pzdzrTrBWT.f092eckau2wR4xLwyYctEc7K/",
        "$6$abcdefgh$xuR7qWZUeSABh5cDuJHgObICopT.roRd1xFV8ZOaPc/q1CxlVsbrEiXpPQG1pI9PDQcJ9Jbq9MisefPaXVO1v1",
    ] {
        assert_eq!(guess(hash, &["admin", "xc3511"]), Guess::Fits, "{hash}");
        assert_eq!(guess(hash, &["admin", "12345"]), Guess::NoneFits, "{hash}");
    }
}

#[test]
fn the_accounts_own_name_is_tried() {
    assert_eq!(guess("$1$abcdefgh$rV6RhG4no19bGJfmub3Ui1", &["admin"]), Guess::Fits);
}

#[test]
fn a_slow_or_strange_hash_is_unknown_not_good() {
    for hash in
        ["$y$j9T$abc$def", "$2b$12$abc", "$6$rounds=999999999$abcdefgh$x", "$6$a:b$c", "abc", "$1", "$5$"]
    {
        let guess = guess(hash, &["admin"]);
        assert!(!matches!(guess, Guess::Fits), "{hash}");
        if hash != "$1" && hash != "$5$" {
            assert!(matches!(guess, Guess::CannotCompute(_)), "{hash}: {guess:?}");
        }
    }
}

#[test]
fn without_passwords_nothing_is_tried() {
    assert_eq!(guess("$1$x$y", &[]), Guess::NotTried);
}
