use super::*;

#[derive(Debug, thiserror::Error)]
#[error("/state cannot be made: {source}; check its owner")]
struct Unmade {
    source: io::Error,
}

#[test]
fn each_cause_of_an_error_is_told_once() {
    let cause = || io::Error::other("the disk is gone");
    let error = anyhow::Error::new(Unmade { source: cause() }).context("nothing was started");
    assert_eq!(
        in_full(&error),
        "nothing was started: /state cannot be made: the disk is gone; check its owner"
    );
    let error = anyhow::Error::new(cause()).context("nothing was started");
    assert_eq!(in_full(&error), "nothing was started: the disk is gone");
}
