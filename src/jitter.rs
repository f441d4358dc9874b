//! Randomness for waits and names: enough to spread clients out, not for secrets.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// A random number.
pub fn number() -> u64 {
    // The standard library seeds every RandomState differently, which is all the randomness that this needs.
    RandomState::new().hash_one(0_u8)
}

/// A random duration between zero and `max`.
pub fn up_to(max: Duration) -> Duration {
    let random = number() >> 32;
    let nanos = u128::from(random) * max.as_nanos() / u128::from(u32::MAX);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
