//! `latchkey gate`: the native gate, in front of an origin or beside a proxy that asks it, until it is asked to stop.

use crate::config::LogFormat;
use crate::installation::read_private_text;
use crate::published;
use crate::serve::{asked_to_stop, start_log};
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use latchkey_control::outside::{Clock, Seeds, SystemClock, SystemSeeds};
use latchkey_control::publish::LongPollSource;
use latchkey_core::UnixMillis;
use latchkey_gate::GateConfig;
use latchkey_gate::decision::Shares;
use latchkey_native::{
    Client, DecisionLog, Family, Forward, Native, Origin, Reporter, Settings, Source, Token, Trust,
};
use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use zeroize::Zeroizing;

/// Bytes the file with the secrets may have.
const ENV_LEN_MAX: u64 = 64 * 1024;
/// How often a place that is no control plane is looked at.
const DIRECTORY_EVERY: Duration = Duration::from_millis(200);
const STORE_EVERY: Duration = Duration::from_secs(1);

/// What `latchkey gate` is told.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The file of `latchkey gate-env`, 0600; what it lacks is looked for in the environment.
    #[arg(long, value_name = "FILE")]
    env: Option<PathBuf>,
    /// The control plane to read from by long poll, and to bring usage to: `https`, or `http` on this machine.
    #[arg(long, value_name = "URL", required_unless_present = "published")]
    control: Option<String>,
    /// A directory or `s3://BUCKET/PREFIX` to read from instead.
    #[arg(long, value_name = "PLACE")]
    published: Option<String>,
    /// The address to serve on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8780")]
    listen: SocketAddr,
    /// Where requests go that are let in: scheme, host, port. Without it there is forward-auth alone.
    #[arg(long, value_name = "URL", value_parser = Origin::parse)]
    origin: Option<Origin>,
    /// A directory for the last good copy, so that a start needs no control plane.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The address to serve `/metrics` on; whoever reaches it may read it.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Where a client's address stands: `none`, `peer` where clients connect here themselves, or the header that whoever
    /// stands in front sets.
    #[arg(long, value_name = "HEADER", default_value = "none")]
    client: String,
    /// Which headers name the original request in forward-auth.
    #[arg(long, value_name = "FAMILY", default_value = "x-original")]
    forward_headers: ForwardHeaders,
    /// Where the proxy names the client's address in forward-auth: a header that it sets, or `peer` where Envoy asks by gRPC.
    #[arg(long, value_name = "HEADER", default_value = "none")]
    forward_client: String,
    /// The address to serve Envoy's `ext_authz` on by gRPC, without TLS.
    #[arg(long, value_name = "ADDRESS")]
    ext_authz: Option<SocketAddr>,
    /// MiB that pages, their index and deltas may take.
    #[arg(long, value_name = "MIB")]
    memory_mb: Option<usize>,
    /// Which decisions are written as lines of JSON: a share of all, and shares of their own for `allowed`, `refused` and
    /// `shadow`, as `0.01,refused=1,shadow=1`. Without it, none are.
    #[arg(long, value_name = "SHARES", value_parser = shares)]
    decisions: Option<Shares>,
    /// The file that they are appended to; `-` is standard output.
    #[arg(long, value_name = "FILE", default_value = "-", requires = "decisions")]
    decisions_to: PathBuf,
    /// How the log is written to standard error; `RUST_LOG` says how much of it.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log: LogFormat,
    /// Writes the gate's URL, and those of the metrics and of `ext_authz`, into this file once it answers.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ForwardHeaders {
    /// `X-Original-Method` and `X-Original-URI`, nginx's.
    XOriginal,
    /// `X-Forwarded-Method` and `X-Forwarded-Uri`, Traefik's and Caddy's.
    XForwarded,
    /// None: the original path stands behind `/.latchkey/verify`, Envoy's.
    Envoy,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What is wrong with the settings, or why an address cannot be had.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    start_log(arguments.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // One that comes during the start kills nobody either.
        tokio::spawn(shrug_off(signal(SignalKind::hangup())?));
        let native = Native::new(settings(arguments, trust(arguments)?)?).context("the gate cannot start")?;
        let listener = TcpListener::bind(arguments.listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", arguments.listen))?;
        let metrics = bound(arguments.metrics).await?;
        let ext_authz = bound(arguments.ext_authz).await?;
        // Whoever is told where the gate is may ask for the stop at once.
        let asked = asked_to_stop()?;
        announce(arguments, [Some(&listener), metrics.as_ref(), ext_authz.as_ref()])?;
        native.serve(listener, metrics, ext_authz, asked).await;
        tracing::info!("stopped");
        Ok(())
    })
}

/// Says that SIGHUP changes nothing. Many programs read their settings again by it, so it must not end this one.
async fn shrug_off(mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        tracing::warn!(
            "SIGHUP changes nothing here: rules come with what is published, all else is read at a start"
        );
    }
}

async fn bound(address: Option<SocketAddr>) -> Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).with_context(|| format!("cannot listen on {address}"))
}

fn announce(arguments: &Arguments, listeners: [Option<&TcpListener>; 3]) -> Result<()> {
    let mut text = String::new();
    for listener in listeners.into_iter().flatten() {
        text.push_str(&format!("http://{}\n", listener.local_addr()?));
    }
    if arguments.writes_decisions_to_stdout() {
        eprint!("listening on {text}");
    } else {
        print!("listening on {text}");
    }
    let Some(path) = &arguments.ready_file else { return Ok(()) };
    fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))
}

fn settings(arguments: &Arguments, trust: Trust) -> Result<Settings> {
    Ok(Settings {
        source: source(arguments, &trust)?,
        forward: forward(arguments, &trust)?,
        reporter: reporter(arguments, &trust)?,
        gate: GateConfig {
            memory_bytes_max: arguments
                .memory_mb
                .map_or(trust.gate.memory_bytes_max, |mib| mib.saturating_mul(1 << 20)),
            ..trust.gate
        },
        edge_key: trust.edge_key,
        state: arguments.state.clone(),
        origin: arguments.origin.clone(),
        client: client(&arguments.client)?,
        decisions: decisions(arguments)?,
        now: || -> UnixMillis { SystemClock.now() },
    })
}

impl Arguments {
    /// Then nothing else is written there.
    fn writes_decisions_to_stdout(&self) -> bool {
        self.decisions.is_some() && self.decisions_to.as_os_str() == "-"
    }
}

fn shares(text: &str) -> Result<Shares, &'static str> {
    let what =
        "shares are 0 to 1 with up to six decimals: one of all, and of `allowed=`, `refused=` and `shadow=`";
    Shares::parse(text).ok_or(what)
}

fn decisions(arguments: &Arguments) -> Result<Option<DecisionLog>> {
    let Some(shares) = arguments.decisions else { return Ok(None) };
    let seed = SystemSeeds.seed().map_err(|error| anyhow!("{error}"))?;
    let [a, b, c, d, e, f, g, h, ..] = seed;
    let seed = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let log = if arguments.writes_decisions_to_stdout() {
        DecisionLog::start(shares, seed, std::io::stdout())
    } else {
        let path = &arguments.decisions_to;
        let file = appended(path).with_context(|| format!("cannot write `{}`", path.display()))?;
        DecisionLog::start(shares, seed, file)
    };
    Ok(Some(log.context("the decision log cannot start")?))
}

/// A file that lines are appended to; one that broke off there is ended first.
fn appended(path: &Path) -> std::io::Result<File> {
    let mut file = File::options().create(true).append(true).mode(0o600).open(path)?;
    // Pipes and devices have no end to look at, and some files may be written and not read.
    let text = if file.metadata()?.is_file() { File::open(path).ok() } else { None };
    let mut last = [b'\n'];
    if let Some((text, len)) = text.zip(file.metadata()?.len().checked_sub(1)) {
        text.read_exact_at(&mut last, len)?;
    }
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn source(arguments: &Arguments, trust: &Trust) -> Result<Source> {
    if let Some(place) = &arguments.published {
        let every = if place.starts_with("s3://") { STORE_EVERY } else { DIRECTORY_EVERY };
        return Ok(Source::Polled { place: published::source(place)?.into(), every });
    }
    let control = arguments.control.as_deref().context("`--control` or `--published`")?;
    let token = trust
        .gate_token
        .as_ref()
        .context("`LATCHKEY_GATE_TOKEN` is not set: `latchkey gate-env` writes it")?;
    let source = LongPollSource::new(control, token).map_err(|error| anyhow!("`--control`: {error}"))?;
    Ok(Source::LongPoll(source))
}

fn forward(arguments: &Arguments, trust: &Trust) -> Result<Option<Forward>> {
    let Some(token) = &trust.forward_token else {
        if arguments.ext_authz.is_some() {
            bail!("`--ext-authz` needs a `LATCHKEY_FORWARD_TOKEN`");
        }
        return Ok(None);
    };
    let token = Token::new(token).context("`LATCHKEY_FORWARD_TOKEN` has fewer than 16 characters")?;
    let family = match arguments.forward_headers {
        ForwardHeaders::XOriginal => Family::Original,
        ForwardHeaders::XForwarded => Family::Forwarded,
        ForwardHeaders::Envoy => Family::Envoy,
    };
    Ok(Some(Forward { token, family, client: client(&arguments.forward_client)? }))
}

fn client(text: &str) -> Result<Client> {
    Ok(match text {
        "peer" => Client::Peer,
        "none" => Client::Unknown,
        header => Client::Header(header_name(header)?),
    })
}

fn header_name(text: &str) -> Result<String> {
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(is_plain) {
        bail!("`{text}` is no header's name in lower case");
    }
    Ok(text.to_owned())
}

fn reporter(arguments: &Arguments, trust: &Trust) -> Result<Option<Reporter>> {
    let Some(token) = &trust.usage_token else { return Ok(None) };
    let control = arguments.control.as_ref().or(trust.control_url.as_ref());
    let control = control.context("usage goes to `--control`, or to `LATCHKEY_CONTROL_URL`")?;
    let reporter = Reporter::new(control, token, Arc::new(SystemSeeds));
    reporter.map(Some).map_err(|error| anyhow!("{error}"))
}

/// The file's lines, and behind them the environment.
fn trust(arguments: &Arguments) -> Result<Trust> {
    let text = match &arguments.env {
        Some(path) => read_private_text(path, ENV_LEN_MAX, "a file of `latchkey gate-env`")?,
        None => Zeroizing::default(),
    };
    let place = arguments.env.as_ref().map_or("the environment".into(), |path| path.to_string_lossy());
    Trust::parse_before(&text, |name| std::env::var(name).ok()).with_context(|| format!("`{place}`"))
}
