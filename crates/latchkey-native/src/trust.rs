//! What `latchkey gate-env` and `latchkey edge-env` print, read: what a gate trusts, and by which tokens it is known.

use crate::assertion::EdgeKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latchkey_control::outside::{Seeds, SystemSeeds};
use latchkey_core::{Generation, MintSecret, Pepper};
use latchkey_gate::{Floor, GateConfig, MEMORY_BYTES_DEFAULT};
use std::collections::HashMap;
use std::fmt;
use zeroize::Zeroizing;

/// What a gate is deployed with.
pub struct Trust {
    /// The gate's own part.
    pub gate: GateConfig,
    /// By which the control plane knows a gate, if it is said.
    pub gate_token: Option<Zeroizing<String>>,
    /// By which the control plane knows who tells it what was used, if it is said.
    pub usage_token: Option<Zeroizing<String>>,
    /// By which a proxy proves itself that asks before it passes a request on, if it is said.
    pub forward_token: Option<Zeroizing<String>>,
    /// What assertions to an origin are signed with, if it is said. A gate within an application makes none.
    pub edge_key: Option<EdgeKey>,
    /// Where the control plane is, if it is said.
    pub control_url: Option<String>,
}

/// What is wrong with the text; the operator's fault. It holds no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustError {
    /// The line with this number, counted from 1, is no setting that is known.
    Line(usize),
    /// The setting is there twice.
    Twice(&'static str),
    /// It must be there.
    Missing(&'static str),
    /// Its value must be this.
    Value(&'static str, &'static str),
    /// The system has no randomness to spread retries with.
    Randomness,
}

impl Trust {
    /// The settings of this text, one `NAME=value` a line. Empty values are as good as none.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        Self::parse_before(text, |_| None)
    }

    /// The same; what the text does not name is looked for elsewhere, by its name.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn parse_before(
        text: &str,
        elsewhere: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Self, TrustError> {
        let values = Values::read(text, elsewhere)?;
        let wrong_root = TrustError::Value("LATCHKEY_ROOT", "standard base64");
        let mut peppers = vec![Pepper::new(values.secret("LATCHKEY_PEPPER")?)];
        if values.of("LATCHKEY_PEPPER_2").is_some() {
            peppers.push(Pepper::new(values.secret("LATCHKEY_PEPPER_2")?));
        }
        let seed = SystemSeeds.seed().map_err(|_| TrustError::Randomness)?;
        let [a, b, c, d, e, f, g, h, ..] = seed;
        let gate = GateConfig {
            root: STANDARD.decode(values.must("LATCHKEY_ROOT")?).map_err(|_| wrong_root)?,
            peppers,
            mint: MintSecret::new(values.secret("LATCHKEY_MINT")?),
            floor: values.floor()?,
            memory_bytes_max: MEMORY_BYTES_DEFAULT,
            seed: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        };
        let edge_key = values.of("LATCHKEY_EDGE_KEY").map(|_| values.secret("LATCHKEY_EDGE_KEY"));
        let token = |name| values.of(name).map(|text| Zeroizing::new(text.to_owned()));
        Ok(Self {
            gate,
            gate_token: token("LATCHKEY_GATE_TOKEN"),
            usage_token: token("LATCHKEY_USAGE_TOKEN"),
            forward_token: token("LATCHKEY_FORWARD_TOKEN"),
            edge_key: edge_key.transpose()?.map(|seed| EdgeKey::from_seed(&Zeroizing::new(seed))),
            control_url: values.of("LATCHKEY_CONTROL_URL").map(str::to_owned),
        })
    }
}

struct Values(HashMap<&'static str, Zeroizing<String>>);

impl Values {
    fn read(text: &str, elsewhere: impl Fn(&'static str) -> Option<String>) -> Result<Self, TrustError> {
        let mut all = HashMap::new();
        for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.is_empty()) {
            let (name, value) = text.split_once('=').ok_or(TrustError::Line(line))?;
            let known = NAMES.iter().find(|known| **known == name).ok_or(TrustError::Line(line))?;
            if all.insert(*known, Zeroizing::new(value.to_owned())).is_some() {
                return Err(TrustError::Twice(known));
            }
        }
        for name in NAMES.into_iter().filter(|name| !all.contains_key(name)).collect::<Vec<_>>() {
            all.extend(elsewhere(name).map(|value| (name, Zeroizing::new(value))));
        }
        Ok(Self(all))
    }

    fn of(&self, name: &'static str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str()).filter(|value| !value.is_empty())
    }

    fn must(&self, name: &'static str) -> Result<&str, TrustError> {
        self.of(name).ok_or(TrustError::Missing(name))
    }

    fn secret(&self, name: &'static str) -> Result<[u8; 32], TrustError> {
        let hex = blake3::Hash::from_hex(self.must(name)?);
        hex.map(Into::into).map_err(|_| TrustError::Value(name, "64 hexadecimal characters"))
    }

    fn floor(&self) -> Result<Floor, TrustError> {
        let wrong = || TrustError::Value("LATCHKEY_FLOOR", "`root version,generation`");
        let Some(text) = self.of("LATCHKEY_FLOOR") else { return Ok(Floor::default()) };
        let (root, generation) = text.split_once(',').ok_or_else(wrong)?;
        let generation = Generation(generation.trim().parse().map_err(|_| wrong())?);
        Ok(Floor { root_version: root.trim().parse().map_err(|_| wrong())?, generation })
    }
}

/// Everything that either command prints, and what the operator may add.
const NAMES: [&str; 12] = [
    "LATCHKEY_ROOT",
    "LATCHKEY_PEPPER",
    "LATCHKEY_PEPPER_2",
    "LATCHKEY_MINT",
    "LATCHKEY_FLOOR",
    "LATCHKEY_GATE_TOKEN",
    "LATCHKEY_USAGE_TOKEN",
    "LATCHKEY_CONTROL_URL",
    "LATCHKEY_PUSH_TOKEN",
    "LATCHKEY_FORWARD_TOKEN",
    "LATCHKEY_EDGE_KEY",
    "LATCHKEY_RELAYS",
];

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust(..)")
    }
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line} is no setting of a gate"),
            Self::Twice(name) => write!(f, "`{name}` stands twice"),
            Self::Missing(name) => write!(f, "`{name}` is not set: `latchkey gate-env` writes it"),
            Self::Value(name, expected) => write!(f, "`{name}` must be {expected}"),
            Self::Randomness => f.write_str("the system has no randomness"),
        }
    }
}

impl std::error::Error for TrustError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_what_the_commands_print_is_refused() {
        let secret = "ab".repeat(32);
        let good = format!("LATCHKEY_ROOT=AAAA\nLATCHKEY_PEPPER={secret}\nLATCHKEY_MINT={secret}\n");
        let error = |text: &str| Trust::parse(text).err();
        assert_eq!(error(&good), None);
        assert_eq!(error(&format!("{good}\nLATCHKEY_GATE_TOKEN=\nLATCHKEY_RELAYS=\n")), None);
        assert_eq!(error(""), Some(TrustError::Missing("LATCHKEY_PEPPER")));
        assert_eq!(error(&format!("{good}ORIGIN=x\n")), Some(TrustError::Line(4)));
        assert_eq!(error(&format!("{good}LATCHKEY_MINT=\n")), Some(TrustError::Twice("LATCHKEY_MINT")));
        let wrong = good.replace(&secret, &secret[1..]);
        let expected = "64 hexadecimal characters";
        assert_eq!(error(&wrong), Some(TrustError::Value("LATCHKEY_PEPPER", expected)));
        let wrong = good.replace("AAAA", "A");
        assert_eq!(error(&wrong), Some(TrustError::Value("LATCHKEY_ROOT", "standard base64")));
        for floor in ["1", "1,", "a,1", "1,-1"] {
            let text = format!("{good}LATCHKEY_FLOOR={floor}\n");
            let expected = "`root version,generation`";
            assert_eq!(error(&text), Some(TrustError::Value("LATCHKEY_FLOOR", expected)), "{floor}");
        }
    }

    #[test]
    fn what_the_text_does_not_name_is_looked_for_elsewhere() {
        let secret = "ab".repeat(32);
        let text = format!(
            "LATCHKEY_ROOT=AAAA\nLATCHKEY_PEPPER={secret}\nLATCHKEY_USAGE_TOKEN=\nLATCHKEY_GATE_TOKEN=a\n"
        );
        let elsewhere = |name: &'static str| match name {
            "LATCHKEY_MINT" => Some(secret.clone()),
            "LATCHKEY_GATE_TOKEN" | "LATCHKEY_USAGE_TOKEN" | "LATCHKEY_FORWARD_TOKEN" => Some("b".to_owned()),
            _ => None,
        };
        let trust = Trust::parse_before(&text, elsewhere).unwrap();
        let tokens = [&trust.gate_token, &trust.usage_token, &trust.forward_token];
        let texts = tokens.map(|token| token.as_ref().map(|token| token.as_str()));
        assert_eq!(texts, [Some("a"), None, Some("b")]);
        assert!(trust.edge_key.is_none());
        let wrong = Trust::parse_before(&text, |name| (name == "LATCHKEY_MINT").then(|| "x".to_owned()));
        assert_eq!(wrong.err(), Some(TrustError::Value("LATCHKEY_MINT", "64 hexadecimal characters")));
    }

    #[test]
    fn wrong_edge_key_is_refused_and_none_is_none() {
        let secret = "ab".repeat(32);
        let good = format!(
            "LATCHKEY_ROOT=AAAA\nLATCHKEY_PEPPER={secret}\nLATCHKEY_MINT={secret}\nLATCHKEY_EDGE_KEY="
        );
        assert!(Trust::parse(&good).unwrap().edge_key.is_none());
        assert!(Trust::parse(&format!("{good}{secret}")).unwrap().edge_key.is_some());
        let expected = TrustError::Value("LATCHKEY_EDGE_KEY", "64 hexadecimal characters");
        assert_eq!(Trust::parse(&format!("{good}x")).err(), Some(expected));
    }

    #[test]
    fn no_secret_is_shown() {
        let secret = "ab".repeat(32);
        let text = format!("LATCHKEY_ROOT=AAAA\nLATCHKEY_PEPPER={secret}\nLATCHKEY_MINT={secret}\n");
        assert_eq!(format!("{:?}", Trust::parse(&text).unwrap()), "Trust(..)");
    }
}
