//! Relays: Durable Objects in several parts of the world that hold the newest head for the edges near them. Which one
//! an edge reads, and when a relay may answer for the hub.

use latchkey_core::UnixMillis;
use latchkey_snapshot::Installation;

/// The header by which the hub is told which relays' readers hold which peppers: sets with spaces between them.
pub const READERS: &str = "latchkey-readers";
/// How long a relay answers with a head that the hub gave it; after that it asks.
pub const FED_MS: u64 = 1000;
/// Bytes of objects that a relay keeps in memory; it has 128 MiB for everything.
pub const OBJECTS_BYTES_MAX: usize = 32 << 20;

/// The location hints that the platform knows.
const HINTS: [&str; 9] = ["wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me"];

/// The relays of an installation, in the order in which the operator named them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relays(Vec<&'static str>);

impl Relays {
    /// Location hints with commas between them, each once; empty: no relay. `None`: one is none that the platform knows.
    pub fn parse(text: &str) -> Option<Self> {
        let mut relays = Vec::new();
        for hint in text.split(',').map(str::trim).filter(|hint| !hint.is_empty()) {
            let known = HINTS.into_iter().find(|known| *known == hint)?;
            if relays.contains(&known) {
                return None;
            }
            relays.push(known);
        }
        Some(Self(relays))
    }

    /// All of them.
    pub fn hints(&self) -> &[&'static str] {
        &self.0
    }

    /// The one to read from a continent and a longitude, each as the platform tells it: two letters; degrees with decimals. Where
    /// neither is told, or no relay is near: the first.
    pub fn near(&self, continent: Option<&str>, longitude: Option<&str>) -> Option<&'static str> {
        // Whole degrees will do, and a parser of decimals is 15 KB.
        let degrees = longitude.and_then(|text| text.split('.').next()?.parse::<i16>().ok());
        let east = |limit: i16| degrees.is_some_and(|degrees| degrees > limit);
        let order: &[&str] = match continent {
            Some("NA") if east(-95) => &["enam", "wnam", "sam", "weur"],
            Some("NA") => &["wnam", "enam", "sam", "apac"],
            Some("SA") => &["sam", "enam", "wnam"],
            Some("EU") if east(15) => &["eeur", "weur", "me", "enam"],
            Some("EU") => &["weur", "eeur", "enam"],
            Some("AF") => &["afr", "weur", "me", "eeur"],
            Some("AS") if !east(60) => &["me", "eeur", "weur", "apac"],
            Some("AS") => &["apac", "oc", "wnam", "me"],
            Some("OC") => &["oc", "apac", "wnam"],
            _ => &[],
        };
        let near = order.iter().find_map(|hint| self.0.iter().find(|known| *known == hint));
        near.or(self.0.first()).copied()
    }
}

/// The name of an installation's hub: each has its own, so that another's state is never in its way.
pub fn hub_name(installation: Installation) -> String {
    installation.0.iter().fold("hub-".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

/// The name of a relay, beside its hub.
pub fn name(hub: &str, hint: &str) -> String {
    format!("{hub}-{hint}")
}

/// Whether a relay may answer with a head that the hub gave it at `fed`.
pub fn is_fed(fed: UnixMillis, now: UnixMillis) -> bool {
    fed <= now && now.since_ms(fed) <= FED_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_are_hints_that_the_platform_knows() {
        assert_eq!(Relays::parse(""), Some(Relays::default()));
        assert_eq!(Relays::parse("weur, enam").map(|relays| relays.0), Some(vec!["weur", "enam"]));
        for wrong in ["west", "weur,weur", "weur enam", "WEUR"] {
            assert_eq!(Relays::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_edge_reads_the_relay_that_is_near_it() {
        let relays = Relays::parse("enam,weur,apac").unwrap();
        for (continent, longitude, near) in [
            (Some("EU"), Some("2.3514"), "weur"),
            (Some("EU"), Some("30"), "weur"),
            (Some("NA"), Some("-122.41940"), "enam"),
            (Some("SA"), None, "enam"),
            (Some("AS"), Some("139.6"), "apac"),
            (Some("AS"), Some("35.2"), "weur"),
            (Some("OC"), Some("151.0"), "apac"),
            (Some("AF"), Some("20.0"), "weur"),
            (Some("AN"), None, "enam"),
            (Some("NA"), Some("east"), "enam"),
            (None, None, "enam"),
        ] {
            assert_eq!(relays.near(continent, longitude), Some(near), "{continent:?} {longitude:?}");
        }
        assert_eq!(Relays::default().near(Some("EU"), None), None);
    }

    #[test]
    fn a_relay_answers_for_the_hub_for_a_second() {
        let now = UnixMillis(10_000);
        assert!(is_fed(UnixMillis(10_000 - FED_MS), now));
        assert!(!is_fed(UnixMillis(10_000 - FED_MS - 1), now) && !is_fed(UnixMillis(10_001), now));
    }
}
