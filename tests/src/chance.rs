//! Randomness that can be repeated.

use fastrand::Rng;

/// Prints its seed; `WARDWATCH_TEST_SEED` sets it.
#[must_use]
pub fn random() -> Rng {
    let seed = std::env::var("WARDWATCH_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed: WARDWATCH_TEST_SEED={seed}");
    Rng::with_seed(seed)
}
