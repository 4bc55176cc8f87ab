//! Moments. A unit ends each name; nothing here reads a clock.

/// Whole seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixSeconds(pub u64);

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub u64);

/// Whole minutes since 1970-01-01T00:00:00Z: when a key stops being valid. The key is valid before the minute
/// begins and refused from its first millisecond on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExpiryMinute(pub u32);

impl UnixMillis {
    /// The second this moment lies in.
    pub const fn seconds(self) -> UnixSeconds {
        UnixSeconds(self.0 / 1000)
    }

    /// How long ago `earlier` was, in milliseconds; 0 when it lies ahead.
    pub const fn since_ms(self, earlier: UnixMillis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment and `ms` milliseconds.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> UnixMillis {
        UnixMillis(self.0.saturating_add(ms))
    }
}

impl UnixSeconds {
    /// The first millisecond of this second.
    pub const fn millis(self) -> UnixMillis {
        UnixMillis(self.0.saturating_mul(1000))
    }

    /// This moment and `secs` seconds.
    #[must_use]
    pub const fn plus_secs(self, secs: u64) -> UnixSeconds {
        UnixSeconds(self.0.saturating_add(secs))
    }
}

impl ExpiryMinute {
    /// The minute that begins at or before `at`; `None` past the year 10,000.
    pub const fn floor(at: UnixSeconds) -> Option<Self> {
        let minutes = at.0 / 60;
        if minutes > u32::MAX as u64 { None } else { Some(Self(minutes as u32)) }
    }

    /// The first moment at which the key is refused.
    pub const fn begins(self) -> UnixSeconds {
        UnixSeconds(self.0 as u64 * 60)
    }

    /// Whether the minute has begun at `now`.
    pub const fn has_passed(self, now: UnixMillis) -> bool {
        now.0 >= self.0 as u64 * 60_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_valid_until_the_last_millisecond_before_its_minute() {
        let expiry = ExpiryMinute(10);
        assert!(!expiry.has_passed(UnixMillis(599_999)));
        assert!(expiry.has_passed(UnixMillis(600_000)));
    }
}
