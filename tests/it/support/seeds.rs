//! Which seeds the tests run that have some.

use std::ops::Range;

/// Seeds that the environment asks for, by the name of the test: `HOIST_KILL_SEED=17` is one,
/// `HOIST_KILL_SEEDS=40` so many, `HOIST_KILL_SEEDS=100-199` these.
pub(crate) fn asked(test: &str, by_default: u64) -> Range<u64> {
    let number = |text: &str| text.trim().parse::<u64>().expect("a seed is a number");
    if let Ok(seed) = std::env::var(format!("HOIST_{test}_SEED")) {
        let seed = number(&seed);
        return seed..seed + 1;
    }
    let Ok(seeds) = std::env::var(format!("HOIST_{test}_SEEDS")) else {
        return 0..by_default;
    };
    match seeds.split_once('-') {
        Some((first, last)) => number(first)..number(last) + 1,
        None => 0..number(&seeds),
    }
}
