//! Moments as JSON: RFC 3339 in UTC, whole seconds.

use latchkey_core::{UnixMillis, UnixSeconds};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A moment, written `2026-11-23T10:00:00Z`. Read with any offset; fractions of a second are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub UnixSeconds);

impl From<UnixMillis> for Timestamp {
    fn from(at: UnixMillis) -> Self {
        Self(at.seconds())
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let latest = jiff::Timestamp::MAX;
        let moment = i64::try_from(self.0.0).ok().and_then(|secs| jiff::Timestamp::from_second(secs).ok());
        serializer.collect_str(&moment.unwrap_or(latest))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let moment: jiff::Timestamp =
            text.parse().map_err(|_| D::Error::custom("not a time like `2026-11-23T10:00:00Z`"))?;
        if moment.subsec_nanosecond() != 0 {
            return Err(D::Error::custom("a time has no fraction of a second"));
        }
        let secs = u64::try_from(moment.as_second()).map_err(|_| D::Error::custom("a time before 1970"))?;
        Ok(Self(UnixSeconds(secs)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_written_in_utc_and_read_with_any_offset() {
        let noon = Timestamp(UnixSeconds(1_795_428_000));
        let text = serde_json::to_string(&noon).unwrap();
        assert_eq!(text, r#""2026-11-23T10:00:00Z""#);
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), noon);
        assert_eq!(serde_json::from_str::<Timestamp>(r#""2026-11-23T11:00:00+01:00""#).unwrap(), noon);
    }

    #[test]
    fn what_is_no_whole_second_is_refused() {
        for text in
            [r#""2026-11-23T10:00:00.5Z""#, r#""1969-11-23T10:00:00Z""#, r#""soon""#, "12", r#""2026-11-23""#]
        {
            assert!(serde_json::from_str::<Timestamp>(text).is_err(), "{text}");
        }
    }
}
