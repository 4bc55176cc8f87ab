//! What the operator set: read from the script's variables once for each isolate.

use crate::assertion::EdgeKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use core::fmt;
use latchkey_core::{Generation, MintSecret, Pepper};
use latchkey_gate::decision::Shares;
use latchkey_gate::{ConfigError, Floor, GateConfig, MEMORY_BYTES_DEFAULT};
use latchkey_push::Token;
use latchkey_push::relay::Relays;
use worker::Env;

/// What is set besides the gate's own part.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Opens the push route and the counters in the status.
    pub(crate) push: Option<Token>,
    /// Opens `/.latchkey/verify`; without it there is no such route.
    pub(crate) forward: Option<Token>,
    /// Where `/.latchkey/verify` reads the original request.
    pub(crate) family: Family,
    /// The header that tells the client's address, set by whatever stands in front of the script.
    pub(crate) client_header: Option<String>,
    /// The same of a request that a proxy asks about. None is trusted unless it is named.
    pub(crate) forward_client_header: Option<String>,
    /// Whether there is a control plane that wants to know what was let in; where it is, the hub alone needs to know.
    pub(crate) counts_usage: bool,
    /// Where requests go that are let in: scheme, host and port.
    pub(crate) origin: Option<String>,
    /// Signs assertions to the origin; without it none is made.
    pub(crate) edge_key: Option<EdgeKey>,
    /// Which decisions are written on the console.
    pub(crate) decisions: Shares,
    /// The relays that there are.
    pub(crate) relays: Relays,
    /// Whether the data centre's cache is used.
    pub(crate) shares: bool,
}

/// The headers in which a proxy names the original request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `X-Original-Method` and `X-Original-URI`, nginx's.
    Original,
    /// `X-Forwarded-Method` and `X-Forwarded-Uri`, Traefik's and Caddy's.
    Forwarded,
}

impl Family {
    /// The headers with the method, with path and query, and with the host, which need not be there.
    pub(crate) const fn headers(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Original => ("x-original-method", "x-original-uri", "x-original-host"),
            Self::Forwarded => ("x-forwarded-method", "x-forwarded-uri", "x-forwarded-host"),
        }
    }
}

/// What is wrong with a variable; the operator's fault. It never holds the value.
#[derive(Debug)]
pub(crate) enum SettingsError {
    /// It must be set.
    Missing(&'static str),
    /// Its value is none that it can have.
    Value(&'static str, &'static str),
    /// The gate refuses them.
    Gate(ConfigError),
}

impl Settings {
    /// Everything but the gate's part.
    pub(crate) fn read(env: &Env) -> Result<Self, SettingsError> {
        Ok(Self {
            push: token(env, "LATCHKEY_PUSH_TOKEN")?,
            forward: token(env, "LATCHKEY_FORWARD_TOKEN")?,
            family: family(env)?,
            client_header: client_header(env, "LATCHKEY_CLIENT_HEADER", Some(CLOUDFLARE_CLIENT))?,
            forward_client_header: client_header(env, "LATCHKEY_FORWARD_CLIENT_HEADER", None)?,
            counts_usage: variable(env, "LATCHKEY_CONTROL_URL").is_some(),
            origin: origin(env)?,
            edge_key: edge_key(env)?,
            decisions: decisions(env)?,
            relays: relays(env)?,
            shares: shares(env)?,
        })
    }
}

/// What the gate is deployed with.
pub(crate) fn gate_config(env: &Env, seed: u64) -> Result<GateConfig, SettingsError> {
    let root = STANDARD.decode(required(env, "LATCHKEY_ROOT")?);
    let mut peppers = vec![Pepper::new(secret(env, "LATCHKEY_PEPPER")?)];
    if variable(env, "LATCHKEY_PEPPER_2").is_some() {
        peppers.push(Pepper::new(secret(env, "LATCHKEY_PEPPER_2")?));
    }
    Ok(GateConfig {
        root: root.map_err(|_| SettingsError::Value("LATCHKEY_ROOT", "standard base64"))?,
        peppers,
        mint: MintSecret::new(secret(env, "LATCHKEY_MINT")?),
        floor: floor(env)?,
        memory_bytes_max: memory_bytes(env)?,
        seed,
    })
}

fn variable(env: &Env, name: &str) -> Option<String> {
    env.var(name).ok().map(|value| value.to_string()).filter(|value| !value.is_empty())
}

fn required(env: &Env, name: &'static str) -> Result<String, SettingsError> {
    variable(env, name).ok_or(SettingsError::Missing(name))
}

fn secret(env: &Env, name: &'static str) -> Result<[u8; 32], SettingsError> {
    let text = required(env, name)?;
    let lower = blake3::Hash::from_hex(text.as_str())
        .map_err(|_| SettingsError::Value(name, "64 hexadecimal characters"))?;
    Ok(*lower.as_bytes())
}

fn edge_key(env: &Env) -> Result<Option<EdgeKey>, SettingsError> {
    const NAME: &str = "LATCHKEY_EDGE_KEY";
    variable(env, NAME).map(|_| secret(env, NAME).map(EdgeKey::new)).transpose()
}

fn token(env: &Env, name: &'static str) -> Result<Option<Token>, SettingsError> {
    match variable(env, name) {
        None => Ok(None),
        Some(text) => match Token::new(&text) {
            Some(token) => Ok(Some(token)),
            None => Err(SettingsError::Value(name, "at least 16 characters")),
        },
    }
}

fn floor(env: &Env) -> Result<Floor, SettingsError> {
    let wrong = || SettingsError::Value("LATCHKEY_FLOOR", "`root version,generation`");
    let Some(text) = variable(env, "LATCHKEY_FLOOR") else { return Ok(Floor::default()) };
    let (root, generation) = text.split_once(',').ok_or_else(wrong)?;
    let generation = generation.trim().parse().map_err(|_| wrong())?;
    let root_version = root.trim().parse().map_err(|_| wrong())?;
    Ok(Floor { root_version, generation: Generation(generation) })
}

fn family(env: &Env) -> Result<Family, SettingsError> {
    match variable(env, "LATCHKEY_FORWARD_HEADERS").as_deref() {
        None | Some("x-original") => Ok(Family::Original),
        Some("x-forwarded") => Ok(Family::Forwarded),
        Some(_) => Err(SettingsError::Value("LATCHKEY_FORWARD_HEADERS", "`x-original` or `x-forwarded`")),
    }
}

fn decisions(env: &Env) -> Result<Shares, SettingsError> {
    const NAME: &str = "LATCHKEY_DECISIONS";
    let Some(text) = variable(env, NAME) else { return Ok(Shares::default()) };
    Shares::parse(&text).ok_or(SettingsError::Value(NAME, "shares of 0 to 1, as `0.01,refused=1`"))
}

fn relays(env: &Env) -> Result<Relays, SettingsError> {
    let wrong = SettingsError::Value("LATCHKEY_RELAYS", "location hints with commas between them, each once");
    Relays::parse(&variable(env, "LATCHKEY_RELAYS").unwrap_or_default()).ok_or(wrong)
}

fn shares(env: &Env) -> Result<bool, SettingsError> {
    match variable(env, "LATCHKEY_SHARED_CACHE").as_deref() {
        None | Some("on") => Ok(true),
        Some("off") => Ok(false),
        Some(_) => Err(SettingsError::Value("LATCHKEY_SHARED_CACHE", "`on` or `off`")),
    }
}

fn memory_bytes(env: &Env) -> Result<usize, SettingsError> {
    let Some(text) = variable(env, "LATCHKEY_MEMORY_MB") else { return Ok(MEMORY_BYTES_DEFAULT) };
    let megabytes = text.parse::<usize>().ok().filter(|megabytes| *megabytes <= MEMORY_MB_MAX);
    let wrong = SettingsError::Value("LATCHKEY_MEMORY_MB", "a number of MiB, at most 100");
    megabytes.map(|megabytes| megabytes << 20).ok_or(wrong)
}

/// An isolate has 128 MiB for everything.
const MEMORY_MB_MAX: usize = 100;

/// `none`, or a header's name in lower case.
fn client_header(
    env: &Env,
    name: &'static str,
    otherwise: Option<&str>,
) -> Result<Option<String>, SettingsError> {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    match variable(env, name) {
        None => Ok(otherwise.map(str::to_owned)),
        Some(text) if text == "none" => Ok(None),
        Some(text) if text.len() <= HEADER_LEN_MAX && text.bytes().all(plain) => Ok(Some(text)),
        Some(_) => Err(SettingsError::Value(name, "a header's name in lower case, or `none`")),
    }
}

/// A path there would be put before paths that the gate has not seen so, hence none is allowed.
fn origin(env: &Env) -> Result<Option<String>, SettingsError> {
    let Some(text) = variable(env, "ORIGIN") else { return Ok(None) };
    let text = text.trim_end_matches('/');
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_');
    match authority {
        Some(authority) if !authority.is_empty() && authority.bytes().all(plain) => Ok(Some(text.to_owned())),
        _ => Err(SettingsError::Value("ORIGIN", "`https://host` or `http://host`, with a port perhaps")),
    }
}

/// Cloudflare sets it anew on every request, whatever the client sent.
const CLOUDFLARE_CLIENT: &str = "cf-connecting-ip";
const HEADER_LEN_MAX: usize = 64;

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "`{name}` is not set"),
            Self::Value(name, expected) => write!(f, "`{name}` must be {expected}"),
            Self::Gate(error) => error.fmt(f),
        }
    }
}
