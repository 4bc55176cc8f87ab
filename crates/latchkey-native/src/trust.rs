//! What `latchkey gate-env` and `latchkey edge-env` print, read: what a gate trusts, and by which tokens it is known.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latchkey_control::outside::{Seeds, SystemSeeds};
use latchkey_core::{Generation, MintSecret, Pepper};
use latchkey_gate::{Floor, GateConfig, MEMORY_BYTES_DEFAULT};
use std::collections::HashMap;
use std::fmt;
use zeroize::Zeroizing;

/// What a gate within an application is deployed with.
pub struct Trust {
    /// The gate's own part.
    pub gate: GateConfig,
    /// By which the control plane knows a gate, if it is said.
    pub gate_token: Option<Zeroizing<String>>,
    /// By which the control plane knows who tells it what was used, if it is said.
    pub usage_token: Option<Zeroizing<String>>,
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
        let values = Values::read(text)?;
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
        let token = |name| values.of(name).map(|text| Zeroizing::new(text.to_owned()));
        let (gate_token, usage_token) = (token("LATCHKEY_GATE_TOKEN"), token("LATCHKEY_USAGE_TOKEN"));
        Ok(Self { gate, gate_token, usage_token })
    }
}

struct Values<'a>(HashMap<&'static str, &'a str>);

impl<'a> Values<'a> {
    fn read(text: &'a str) -> Result<Self, TrustError> {
        let mut all = HashMap::new();
        for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.is_empty()) {
            let (name, value) = text.split_once('=').ok_or(TrustError::Line(line))?;
            let known = NAMES.iter().find(|known| **known == name).ok_or(TrustError::Line(line))?;
            if all.insert(*known, value).is_some() {
                return Err(TrustError::Twice(known));
            }
        }
        Ok(Self(all))
    }

    fn of(&self, name: &'static str) -> Option<&'a str> {
        self.0.get(name).copied().filter(|value| !value.is_empty())
    }

    fn must(&self, name: &'static str) -> Result<&'a str, TrustError> {
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
    fn no_secret_is_shown() {
        let secret = "ab".repeat(32);
        let text = format!("LATCHKEY_ROOT=AAAA\nLATCHKEY_PEPPER={secret}\nLATCHKEY_MINT={secret}\n");
        assert_eq!(format!("{:?}", Trust::parse(&text).unwrap()), "Trust(..)");
    }
}
