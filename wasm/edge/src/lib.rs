//! The edge's Worker script: it turns a request into the gate's words and the gate's verdict into a response.
//! Nothing is decided here.

mod hub;
mod respond;

use worker::{Context, Env, Request, Response, Result, event};

/// Where the script says that it lives and what it reaches.
const STATUS_PATH: &str = "/.latchkey/status";

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    if request.path() != STATUS_PATH {
        return respond::not_found();
    }
    match hub::status(&env).await {
        Ok(hub) => respond::status(hub),
        Err(_) => respond::hub_unreachable(),
    }
}
