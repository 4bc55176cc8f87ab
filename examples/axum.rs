//! An API on axum with Latchkey inside: each request is judged in this process, with no network call.
//!
//! `cargo run -p latchkey-tower --example axum -- gate.env https://control.example [ADDRESS]`: `gate.env` is what
//! `latchkey gate-env` wrote. The first line that it prints is its URL.

use axum::extract::{ConnectInfo, Path};
use axum::http::request::Parts;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use latchkey_tower::{
    Caller, Client, Guard, GuardSettings, Latchkey, LongPollSource, Need, Permission, Reporter, Source,
    Subject, SystemSeeds, Trust,
};
use serde_json::{Value, json};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (env, control) = arguments.next().zip(arguments.next()).ok_or("usage: axum GATE_ENV CONTROL_URL")?;
    let address: SocketAddr = arguments.next().as_deref().unwrap_or("127.0.0.1:0").parse()?;

    let trust = Trust::parse(&std::fs::read_to_string(env)?)?;
    let token = trust.gate_token.as_deref().ok_or("the file has no gate token")?;
    let source = Source::LongPoll(LongPollSource::new(&control, token)?);
    // What was used is told to the control plane, where the operator has filled a usage token in.
    let usage_token = trust.usage_token.as_deref();
    let reporter =
        usage_token.map(|token| Reporter::new(&control, token, Arc::new(SystemSeeds))).transpose()?;
    // Clients connect here themselves. Behind a proxy: `Client::Header` with the header that it sets.
    let settings = GuardSettings { client: Client::Peer, reporter, ..GuardSettings::new(trust.gate, source) };
    let guard = Guard::start(settings).await?;

    // The operator's route rules say what these need.
    let by_rules =
        Router::new().route("/v1/projects/{project}/files", get(files)).layer(Latchkey::new(guard.clone()));

    // Here the application says it, from the path that its handler acts on.
    let by_need = Router::new()
        .route("/internal/evaluate", post(evaluate))
        .layer(Latchkey::new(guard.clone()).needing(|_| Need::new(Permission::EvaluationsCreate)));

    // Anybody may ask how the gate is; a key may ask who it is.
    let asked = guard.clone();
    let whoami = move |ConnectInfo(peer): ConnectInfo<SocketAddr>, head: Parts| {
        let guard = asked.clone();
        async move { guard.whoami(&head, Some(peer.ip())).await }
    };
    let app = Router::new()
        .merge(by_rules)
        .merge(by_need)
        .route("/healthz", get(|| async { "ok" }))
        .route("/v1/whoami", get(whoami));

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    guard.close().await;
    Ok(())
}

async fn files(Path(project): Path<String>, Extension(caller): Extension<Caller>) -> Json<Value> {
    Json(json!({ "files": [], "of": project, "project": caller.project.to_string(), "for": who(&caller) }))
}

async fn evaluate(Extension(caller): Extension<Caller>) -> Json<Value> {
    Json(json!({ "project": caller.project_slug, "for": who(&caller) }))
}

fn who(caller: &Caller) -> String {
    match caller.subject {
        Subject::Key(id) => format!("key {id}"),
        Subject::Session(identity) => format!("identity {identity}"),
    }
}
