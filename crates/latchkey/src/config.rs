//! What `latchkey serve` is told: by flags, by the environment, by a file; in that order, the first one wins.

use crate::installation::read_private_text;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use latchkey_control::app::USAGE_LINE_REQUESTS_MAX;
use latchkey_control::http::{Bounds, Rate};
use latchkey_control::publish::CANARY_KEYS_MAX;
use latchkey_control::publish::{S3Credentials, S3Place};
use latchkey_core::KeyId;
use latchkey_snapshot::manifest::GRACE_SECS_MAX;
use serde::Deserialize;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const LISTEN_DEFAULT: &str = "127.0.0.1:8788";
const GRACE_SECS_DEFAULT: u32 = 900;
const RATE_PER_SECOND_DEFAULT: u32 = 200;
const STRANGERS_PER_SECOND_DEFAULT: u32 = 20;
/// Bytes the file with a store's credentials may have.
const CREDENTIALS_LEN_MAX: u64 = 1024;

/// Each can stand in the file by its name with `_` for `-`; a flag beats the environment, the environment the file.
#[derive(Args, Default)]
pub(crate) struct Arguments {
    /// A TOML file with any of the settings below.
    #[arg(long, value_name = "FILE", env = "LATCHKEY_CONFIG")]
    config: Option<PathBuf>,
    /// The installation's directory, from `latchkey init`.
    #[arg(long, env = "LATCHKEY_DIR")]
    dir: Option<PathBuf>,
    /// The address of the HTTP API; port 0 takes a free one [default: 127.0.0.1:8788]
    #[arg(long, value_name = "ADDRESS", env = "LATCHKEY_LISTEN")]
    listen: Option<SocketAddr>,
    /// The URL of an edge to push to; may be given several times. In the file: `edges = [..]`.
    #[arg(long = "edge", value_name = "URL", env = "LATCHKEY_EDGES", value_delimiter = ',')]
    edges: Vec<String>,
    /// A directory to publish to as well.
    #[arg(long, value_name = "DIR", env = "LATCHKEY_DIRECTORY")]
    directory: Option<PathBuf>,
    /// The id of an API key that edges try before they serve from a new base; at most 15. In the file: `canaries = [..]`.
    #[arg(long = "canary", value_name = "KEY", env = "LATCHKEY_CANARIES", value_delimiter = ',')]
    canaries: Vec<String>,
    /// The route rules, as in examples/routes.toml; without any, edges answer `whoami` alone.
    #[arg(long, value_name = "FILE", env = "LATCHKEY_ROUTES")]
    routes: Option<PathBuf>,
    /// How long an edge that hears nothing new still answers, marked stale, in seconds; at most 86400 [default: 900]
    #[arg(long, value_name = "SECONDS", env = "LATCHKEY_GRACE_SECS")]
    grace_secs: Option<u32>,
    /// Lets operators sign anybody in by `POST /v1/operator/sessions`. For set-up and tests: it makes an operator everybody.
    #[arg(long, env = "LATCHKEY_OPERATOR_SIGN_IN", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    operator_sign_in: Option<bool>,
    /// Requests that one line of reported usage may say without being held for an operator [default: 100000000]
    #[arg(long, value_name = "REQUESTS", env = "LATCHKEY_USAGE_LINE_REQUESTS_MAX")]
    usage_line_requests_max: Option<u64>,
    /// Requests a second that one credential may send over time, twice as many at once; 0 is no limit [default: 200]
    #[arg(long, value_name = "NUMBER", env = "LATCHKEY_RATE_PER_SECOND")]
    rate_per_second: Option<u32>,
    /// Requests that one credential may send at once after a pause [default: twice `--rate-per-second`]
    #[arg(long, value_name = "NUMBER", env = "LATCHKEY_RATE_BURST")]
    rate_burst: Option<u32>,
    /// Requests a second without a valid credential that one address may send, twice as many at once; 0 is no limit [default: 20]
    #[arg(long, value_name = "NUMBER", env = "LATCHKEY_STRANGERS_PER_SECOND")]
    strangers_per_second: Option<u32>,
    /// How the log is written to standard error; `RUST_LOG` says how much of it [default: text]
    #[arg(long, value_name = "FORMAT", env = "LATCHKEY_LOG")]
    log: Option<LogFormat>,
    /// Writes the API's URL into this file once it answers.
    #[arg(long, value_name = "FILE", env = "LATCHKEY_READY_FILE")]
    ready_file: Option<PathBuf>,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Lines for a person.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// The same settings in a file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    dir: Option<PathBuf>,
    listen: Option<SocketAddr>,
    edges: Option<Vec<String>>,
    directory: Option<PathBuf>,
    s3: Option<S3File>,
    canaries: Option<Vec<String>>,
    routes: Option<PathBuf>,
    grace_secs: Option<u32>,
    operator_sign_in: Option<bool>,
    usage_line_requests_max: Option<u64>,
    rate_per_second: Option<u32>,
    rate_burst: Option<u32>,
    strangers_per_second: Option<u32>,
    log: Option<LogFormat>,
    ready_file: Option<PathBuf>,
}

/// An S3-compatible store to publish to as well. It stands in the file only.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct S3File {
    bucket: String,
    #[serde(default)]
    prefix: String,
    endpoint: Option<String>,
    region: Option<String>,
    /// A file, 0600: two lines, the key's id and the key. Without it the environment says: `AWS_ACCESS_KEY_ID` and so on.
    credentials: Option<PathBuf>,
}

/// The settings that hold.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) edges: Vec<String>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) s3: Option<S3Place>,
    pub(crate) canaries: Vec<KeyId>,
    pub(crate) routes: Option<PathBuf>,
    pub(crate) grace_secs: u32,
    pub(crate) operator_sign_in: bool,
    pub(crate) usage_line_requests_max: u64,
    pub(crate) bounds: Bounds,
    pub(crate) log: LogFormat,
    pub(crate) ready_file: Option<PathBuf>,
}

impl Config {
    /// Merges flags and environment with the file that they name.
    ///
    /// # Errors
    /// Which setting is wrong and where it stands.
    pub(crate) fn resolve(arguments: Arguments) -> Result<Self> {
        let file = arguments.config.as_deref().map(read).transpose()?.unwrap_or_default();
        let edges = if arguments.edges.is_empty() { file.edges.unwrap_or_default() } else { arguments.edges };
        let mut bounds = Bounds {
            per_credential: Rate::per_second(
                arguments.rate_per_second.or(file.rate_per_second).unwrap_or(RATE_PER_SECOND_DEFAULT),
            ),
            per_address: Rate::per_second(
                arguments
                    .strangers_per_second
                    .or(file.strangers_per_second)
                    .unwrap_or(STRANGERS_PER_SECOND_DEFAULT),
            ),
            ..Bounds::default()
        };
        if let (Some(rate), Some(burst)) =
            (&mut bounds.per_credential, arguments.rate_burst.or(file.rate_burst))
        {
            rate.burst = burst;
        }
        let config = Self {
            dir: arguments
                .dir
                .or(file.dir)
                .context("`dir` is not set: use `--dir`, `LATCHKEY_DIR` or the file")?,
            listen: match arguments.listen.or(file.listen) {
                Some(listen) => listen,
                None => LISTEN_DEFAULT.parse()?,
            },
            edges,
            directory: arguments.directory.or(file.directory),
            s3: file.s3.map(S3File::place).transpose()?,
            canaries: canaries(if arguments.canaries.is_empty() {
                file.canaries.unwrap_or_default()
            } else {
                arguments.canaries
            })?,
            routes: arguments.routes.or(file.routes),
            grace_secs: arguments.grace_secs.or(file.grace_secs).unwrap_or(GRACE_SECS_DEFAULT),
            operator_sign_in: arguments.operator_sign_in.or(file.operator_sign_in).unwrap_or(false),
            usage_line_requests_max: arguments
                .usage_line_requests_max
                .or(file.usage_line_requests_max)
                .unwrap_or(USAGE_LINE_REQUESTS_MAX),
            bounds,
            log: arguments.log.or(file.log).unwrap_or_default(),
            ready_file: arguments.ready_file.or(file.ready_file),
        };
        if config.grace_secs > GRACE_SECS_MAX {
            bail!("`grace_secs` is {}; at most {GRACE_SECS_MAX} is allowed", config.grace_secs);
        }
        if config.bounds.per_credential.is_some_and(|rate| rate.burst == 0) {
            bail!("`rate_burst` is 0: no request would ever be taken");
        }
        Ok(config)
    }
}

/// What a file says that a server publishes beside its state, defaults included.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Publishes {
    pub(crate) routes: Option<PathBuf>,
    pub(crate) grace_secs: u32,
    pub(crate) canaries: Vec<KeyId>,
}

/// Reads it. Neither flags nor the environment count.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn publishes(path: &Path) -> Result<Publishes> {
    let file = read(path)?;
    Ok(Publishes {
        routes: file.routes,
        grace_secs: file.grace_secs.unwrap_or(GRACE_SECS_DEFAULT),
        canaries: canaries(file.canaries.unwrap_or_default())?,
    })
}

/// Ids of canaries.
///
/// # Errors
/// There are too many, or one is none.
pub(crate) fn canaries(ids: Vec<String>) -> Result<Vec<KeyId>> {
    if ids.len() > CANARY_KEYS_MAX {
        bail!("`canaries` are {}; at most {CANARY_KEYS_MAX} are allowed", ids.len());
    }
    let parse = |id: &String| {
        KeyId::parse(id.as_bytes()).with_context(|| format!("`canaries`: `{id}` is no key's id"))
    };
    ids.iter().map(parse).collect()
}

impl S3File {
    fn place(self) -> Result<S3Place> {
        let credentials = self.credentials.as_deref().map(credentials).transpose()?;
        let Self { bucket, prefix, endpoint, region, .. } = self;
        Ok(S3Place { bucket, prefix, endpoint, region, credentials })
    }
}

/// Two lines of a file that nobody else can read. What they say is never shown.
fn credentials(path: &Path) -> Result<S3Credentials> {
    let text = read_private_text(path, CREDENTIALS_LEN_MAX, "a key's id and the key")?;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    match lines.as_slice() {
        [id, key] if !id.is_empty() && !key.is_empty() => Ok(S3Credentials {
            access_key_id: (*id).to_owned(),
            secret_access_key: Zeroizing::new((*key).to_owned()),
        }),
        _ => bail!("`{}` is not two lines: the key's id and the key", path.display()),
    }
}

fn read(path: &Path) -> Result<File> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    // The message of `toml` has line, column and the line itself; no secret stands in such a file.
    toml::from_str(&text).with_context(|| format!("`{}` is wrong", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(file: &str, arguments: Arguments) -> Result<Config> {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("latchkey.toml");
        fs::write(&path, file).unwrap();
        Config::resolve(Arguments { config: Some(path), ..arguments })
    }

    #[test]
    fn flag_beats_file_and_file_beats_default() {
        let file = "dir = '/a'\nlisten = '127.0.0.1:1'\nedges = ['http://a']\ngrace_secs = 5\nlog = 'json'";
        let config = resolve(file, Arguments::default()).unwrap();
        assert_eq!((config.listen.port(), config.grace_secs, config.log), (1, 5, LogFormat::Json));
        let flags = Arguments { grace_secs: Some(7), edges: vec!["http://b".into()], ..Arguments::default() };
        let config = resolve(file, flags).unwrap();
        assert_eq!((config.grace_secs, config.edges), (7, vec!["http://b".to_owned()]));
        let config = resolve("dir = '/a'", Arguments::default()).unwrap();
        assert_eq!((config.listen.port(), config.grace_secs, config.operator_sign_in), (8788, 900, false));
    }

    #[test]
    fn wrong_setting_is_refused_by_name_and_place() {
        for (file, words) in [
            ("dirr = '/a'", ["unknown field", "line 1"]),
            ("dir = '/a'\nlisten = 'here'", ["line 2", "listen"]),
            ("dir = '/a'\ngrace_secs = -1", ["line 2", "grace_secs"]),
            ("dir = '/a'\nlog = 'xml'", ["line 2", "xml"]),
            ("dir = '/a'\ngrace_secs = 86401", ["grace_secs", "86400"]),
            ("dir = '/a'\ncanaries = ['key']", ["canaries", "no key's id"]),
            ("dir = '/a'\nrate_burst = 0", ["rate_burst", "no request"]),
            ("listen = '127.0.0.1:0'", ["`dir` is not set", "--dir"]),
            ("dir = ", ["line 1", "wrong"]),
        ] {
            let error = format!("{:#}", resolve(file, Arguments::default()).unwrap_err());
            assert!(words.iter().all(|word| error.contains(word)), "{file}: {error}");
        }
    }
}
