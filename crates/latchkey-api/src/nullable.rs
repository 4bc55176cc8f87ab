//! Fields of a `PATCH` that may be absent, `null` or a value.

use serde::{Deserialize, Deserializer};

/// Tells a field that is `null` from one that is absent.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
