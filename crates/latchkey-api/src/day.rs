//! Days as JSON: `2026-11-24`, in UTC.

use jiff::civil::Date;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;

/// A UTC day, written `2026-11-24`: days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub u32);

impl Day {
    /// The last day that can be written: 9999-12-31.
    pub const LAST: Self = Self(2_932_896);

    /// The day that a text like `2026-11-24` names, and no other spelling of it.
    pub fn parse(text: &str) -> Option<Self> {
        let date: Date = text.parse().ok()?;
        let days = date.since((jiff::Unit::Day, EPOCH)).ok()?.get_days();
        let day = Self(u32::try_from(days).ok()?);
        (day.to_string() == text).then_some(day)
    }

    fn date(self) -> Date {
        let days = i64::from(self.0.min(Self::LAST.0));
        EPOCH.checked_add(jiff::Span::new().days(days)).unwrap_or(Date::MAX)
    }

    /// The first day of this day's calendar month.
    #[must_use]
    pub fn first_of_month(self) -> Self {
        let earlier = u32::from(self.date().day().unsigned_abs()).saturating_sub(1);
        Self(self.0.saturating_sub(earlier))
    }
}

const EPOCH: Date = Date::constant(1970, 1, 1);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.date())
    }
}

impl JsonSchema for Day {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Day".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date" })
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a day like `2026-11-24`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_comes_back_and_begins_its_month() {
        for (number, text, month) in
            [(0, "1970-01-01", 0), (20_780, "2026-11-23", 20_758), (Day::LAST.0, "9999-12-31", 2_932_866)]
        {
            assert_eq!(Day(number).to_string(), text);
            assert_eq!(Day::parse(text), Some(Day(number)));
            assert_eq!(Day(number).first_of_month(), Day(month));
        }
    }

    #[test]
    fn other_spelling_of_a_day_is_refused() {
        for text in
            ["", "2026-11-31", "1969-12-31", "20261123", "2026-11-23T00:00:00", " 2026-11-23", "2026-W48-1"]
        {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }
}
