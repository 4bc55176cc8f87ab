//! `latchkey serve`: the control plane's HTTP API and its publisher, until it is asked to stop.

use crate::config::{Arguments, Config, LogFormat};
use crate::installation::{Folder, GATE_TOKEN, Installation, Made};
use crate::keys::{KeyWatch, key_names};
use crate::routes;
use anyhow::{Context, Result, anyhow, bail};
use latchkey_control::app::caretaker::Caretaker;
use latchkey_control::app::{AppError, Control, ControlConfig, EdgeTokens, RulesDesk};
use latchkey_control::http::{self, Limits};
use latchkey_control::outside::{Clock, SystemClock, SystemSeeds};
use latchkey_control::publish::{
    DirectorySink, EdgeSink, GateToken, Gates, Keyrings, ObjectStoreSink, Publisher, Schedule, Settings, Sink,
};
use latchkey_control::store::Store;
use latchkey_core::Generation;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing_subscriber::EnvFilter;

/// What nothing names any more is kept in a directory for the grace and this long.
const KEEP_BEYOND_GRACE_SECS: u64 = 3600;
/// How long a stop waits for the sinks.
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// How long running requests may take once the process is asked to stop.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How often the caretaker passes.
const CARE_EVERY: Duration = Duration::from_secs(60);
/// How much is logged where `RUST_LOG` does not say.
const LOG_DEFAULT: &str = "info";

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What is wrong with the configuration or the installation, or why the address cannot be had.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let config = Config::resolve(arguments)?;
    start_log(config.log)?;
    let folder = Folder::new(&config.dir);
    let installation = folder.load()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(&config, &folder, installation))
}

async fn serve(config: &Config, folder: &Folder, installation: Installation) -> Result<()> {
    let (clock, seeds) = (Arc::new(SystemClock), Arc::new(SystemSeeds));
    // One that comes before the end of the start waits for it, and kills nobody.
    let hangup = signal(SignalKind::hangup())?;
    let rules = RulesDesk::new(Arc::new(routes::File { path: config.routes.clone(), clock: clock.clone() }));
    let path = folder.database();
    let store = Store::open(&path, clock.clone(), seeds).with_context(|| format!("`{}`", path.display()))?;
    let store = Arc::new(store);
    if !key_names(folder, "offline")?.is_empty() {
        tracing::warn!("`keys/offline-*` replace every other key: move them off this machine");
    }
    let keys = KeyWatch::new(folder.clone(), installation.keys, clock.now().seconds())?;
    settle_rules(&rules, &store).await?;
    let gates = gates(folder, keys.keyrings())?;
    let sinks = sinks(config, &installation.push_token, keys.keyrings(), &gates)?;
    let settings = Settings {
        installation: installation.name,
        prefix: installation.prefix,
        keyring: keys.keyrings(),
        rules: rules.book(),
        canaries: config.canaries.clone(),
        grace_secs: config.grace_secs,
        schedule: Schedule::default(),
    };
    let newest = store.newest();
    let publisher = Publisher::start(Arc::clone(&store), clock.clone(), &SystemSeeds, settings, sinks)
        .map_err(|error| anyhow!("publishing cannot start: {error}"))?;
    let control_config = ControlConfig {
        operator_sign_in: config.operator_sign_in,
        usage_line_requests_max: config.usage_line_requests_max,
        ..ControlConfig::new(installation.prefix)
    };
    let control = Arc::new(
        Control::new(
            Arc::clone(&store),
            clock.clone(),
            installation.mint.clone(),
            installation.audit.clone(),
            control_config,
        )
        .with_edge_tokens(EdgeTokens { installation: installation.name, signer: keys.session_signer() })
        .with_publishing(publisher.watch())
        .with_gates(Arc::clone(&gates))
        .with_rules(rules.clone()),
    );
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", config.listen))?;
    // Whoever is told where the API is may ask for the stop at once.
    let asked = asked_to_stop()?;
    let rereading = tokio::spawn(reread_rules(rules, store, hangup));
    announce(config, listener.local_addr()?)?;
    let caretaker = tokio::spawn(take_care(Arc::clone(&control)));
    let key_watch = tokio::spawn(keys.run(publisher.refused_keys(), clock));
    let router = http::router(control, &config.bounds, Limits::new(&config.bounds));
    let (stopping, mut stopped) = watch::channel(false);
    let drain = async move {
        asked.await;
        // Gates that wait for a head would hold the stop up.
        gates.close();
        // The receiver below lives as long as this future.
        let _ = stopping.send(true);
    };
    let overdue = async move {
        if stopped.wait_for(|stopping| *stopping).await.is_ok() {
            tokio::time::sleep(DRAIN_MAX).await;
        }
    };
    tokio::select! {
        () = http::serve(listener, router, &config.bounds, drain) => {}
        () = overdue => tracing::warn!("requests that did not end in time were cut off"),
    }
    caretaker.abort();
    key_watch.abort();
    rereading.abort();
    // It has the store: what is stopped with the publisher comes after.
    let _ = rereading.await;
    // Not borrowed while it is waited for: the store's writer notes every change there.
    let last = *newest.borrow();
    settle(publisher, last).await;
    tracing::info!("stopped");
    Ok(())
}

/// Puts in force what the file of route rules says, unless it is so already.
async fn settle_rules(rules: &RulesDesk, store: &Store) -> Result<()> {
    match rules.settle(store).await {
        Ok(Some(set)) => {
            tracing::info!(number = set.number, rules = set.rules, "other route rules are in force")
        }
        Ok(None) => {}
        Err(AppError::RulesRefused(why)) => bail!("{why}"),
        Err(error) => bail!("the route rules cannot be put in force: {error:?}"),
    }
    Ok(())
}

/// Reads the route rules again whenever SIGHUP asks for it. Those in force stay if the file is wrong.
async fn reread_rules(rules: RulesDesk, store: Arc<Store>, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        if let Err(error) = settle_rules(&rules, &store).await {
            tracing::error!(%error, "the route rules were read again and refused: those in force stay");
        }
    }
}

/// Does what comes due as time passes, at the start and every minute from then on.
async fn take_care(control: Arc<Control>) {
    let mut caretaker = Caretaker::new(control);
    let mut minutes = tokio::time::interval(CARE_EVERY);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        minutes.tick().await;
        if let Err(error) = caretaker.pass().await {
            tracing::error!(%error, "the caretaker stopped short and goes on in a minute");
        }
    }
}

/// Lets what was committed last reach the sinks, for a moment: what does not make it goes out at the next start.
async fn settle(publisher: Publisher, newest: Generation) {
    if !publisher.status().sinks.is_empty()
        && tokio::time::timeout(SETTLE_MAX, publisher.wait(newest)).await.is_err()
    {
        tracing::warn!(lag = publisher.status().lag(), "stopped before every sink had the last changes");
    }
    publisher.stop().await;
}

/// What native gates read, with the credential that they read it with.
fn gates(folder: &Folder, keyrings: Keyrings) -> Result<Arc<Gates>> {
    let (token, made) = folder.gate_token()?;
    if made == Made::Now {
        tracing::info!("`{GATE_TOKEN}` was missing and has been made: native gates read with it");
    }
    Ok(Gates::new(keyrings, GateToken::new(&token)))
}

fn sinks(
    config: &Config,
    push_token: &str,
    keyrings: Keyrings,
    gates: &Arc<Gates>,
) -> Result<Vec<Arc<dyn Sink>>> {
    let mut sinks: Vec<Arc<dyn Sink>> = Vec::new();
    for url in &config.edges {
        let sink = EdgeSink::new(url, push_token);
        sinks.push(Arc::new(sink.map_err(|error| anyhow!("the edge `{url}`: {error}"))?));
    }
    let keep_ms = (u64::from(config.grace_secs) + KEEP_BEYOND_GRACE_SECS) * 1000;
    if let Some(path) = &config.directory {
        let sink = DirectorySink::open(path, keyrings.clone(), keep_ms);
        sinks.push(Arc::new(sink.with_context(|| format!("cannot publish to `{}`", path.display()))?));
    }
    if let Some(place) = &config.s3 {
        let store = place.open().with_context(|| format!("cannot publish to `{}`", place.name()))?;
        sinks.push(Arc::new(ObjectStoreSink::new(place.name(), store, &place.prefix, keyrings, keep_ms)));
    }
    if sinks.is_empty() {
        tracing::warn!("neither an edge, a directory nor a store is set: only native gates are served");
    }
    sinks.push(Arc::clone(gates) as Arc<dyn Sink>);
    Ok(sinks)
}

/// Tells people and programs where the API is.
fn announce(config: &Config, address: SocketAddr) -> Result<()> {
    println!("listening on http://{address}");
    tracing::info!(%address, sign_in = config.operator_sign_in, "serving");
    let Some(path) = &config.ready_file else { return Ok(()) };
    fs::write(path, format!("http://{address}\n"))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

pub(crate) fn asked_to_stop() -> Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}

pub(crate) fn start_log(format: LogFormat) -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => log.with_ansi(false).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    started.map_err(|error| anyhow!("the log cannot start: {error}"))
}
