use super::*;
use crate::policy::registry::RegistryKey;

fn source(keys: &[&str], views: &[View]) -> RegistrySource {
    RegistrySource {
        keys: keys.iter().map(|key| RegistryKey::parse(key).unwrap()).collect(),
        value: Some("V".into()),
        views: views.to_vec(),
    }
}

fn look(spot: &Spot<'_>) -> Result<Found, Unreadable> {
    let place = format!("{} {} {}", spot.account.unwrap_or("-"), spot.path, spot.view.as_str());
    match place.as_str() {
        "- Local 64" | "an Local 64" => Ok(Found::Value(Data::Dword(1))),
        "an Policy 64" => Ok(Found::Value(Data::Dword(2))),
        "- Empty 64" | "binh Policy 64" => Ok(Found::NoValue),
        "- Closed 64" => Err(Unreadable("permission denied".into())),
        _ => Ok(Found::NoKey),
    }
}

fn found(keys: &[&str], views: &[View], people: &[&str]) -> Vec<String> {
    let people: Vec<_> = people.iter().map(|&name| name.to_owned()).collect();
    let seen = look_up(&source(keys, views), &people, look).unwrap();
    seen.into_iter().map(|seen| format!("{seen} {} {:?}", seen.view.as_str(), seen.found)).collect()
}

#[test]
fn the_first_key_that_has_the_value_counts() {
    let keys = [r"HKLM\Empty", r"HKLM\None", r"HKLM\Local"];
    assert_eq!(found(&keys, &[View::Bits64], &[]), [r"HKLM\Local 64 Value(Dword(1))"]);
}

#[test]
fn where_no_key_has_the_value_the_first_one_is_told() {
    assert_eq!(found(&[r"HKLM\None", r"HKLM\Empty"], &[View::Bits64], &[]), [r"HKLM\None 64 NoKey"]);
}

#[test]
fn each_view_is_looked_up_by_itself() {
    let both = [View::Bits64, View::Bits32];
    assert_eq!(
        found(&[r"HKLM\Local"], &both, &[]),
        [r"HKLM\Local 64 Value(Dword(1))", r"HKLM\Local 32 NoKey"]
    );
}

#[test]
fn each_person_has_an_order_of_keys_of_their_own() {
    assert_eq!(
        found(&[r"HKU\*\Policy", r"HKU\*\Local"], &[View::Bits64], &["an", "binh"]),
        [r"HKU\an\Policy 64 Value(Dword(2))", r"HKU\binh\Policy 64 NoValue"]
    );
}

#[test]
fn where_nobody_is_logged_in_nothing_personal_is_known() {
    let error = look_up(&source(&[r"HKU\*\Local"], &[View::Bits64]), &[], look).unwrap_err();
    assert_eq!(error.to_string(), "nobody is logged in, so no person's settings could be seen");
}

#[test]
fn a_key_that_may_not_be_read_is_not_passed_over() {
    assert!(look_up(&source(&[r"HKLM\Closed", r"HKLM\Local"], &[View::Bits64]), &[], look).is_err());
}

#[test]
fn hives_of_services_and_classes_are_no_persons() {
    assert!(is_person("S-1-5-21-1-2-3-1001") && is_person("S-1-12-1-4-5-6-7"));
    for account in [".DEFAULT", "S-1-5-18", "S-1-5-19", "S-1-5-21-1-2-3-1001_Classes"] {
        assert!(!is_person(account), "{account}");
    }
}
