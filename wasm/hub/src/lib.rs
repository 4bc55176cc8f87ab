//! The hub's Worker script: one Durable Object with SQLite storage. It is a script of its own so that a panic here
//! does not reset the edge's instances.
#![expect(missing_docs, reason = "`durable_object` expands to undocumented methods")]

use serde::{Deserialize, Serialize};
use worker::{
    Context, DurableObject, Env, Request, Response, Result, SqlStorage, State, durable_object, event,
    wasm_bindgen,
};

/// The Durable Object. Its state is in SQLite; this struct only holds the handle.
#[durable_object]
pub struct Hub {
    state: State,
}

impl DurableObject for Hub {
    fn new(state: State, _env: Env) -> Self {
        Self { state }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        if request.path() != "/status" {
            return Response::error("no such path", 404);
        }
        let asked = count_asking(&self.state.storage().sql())?;
        Response::from_json(&Status { version: env!("CARGO_PKG_VERSION"), asked })
    }
}

#[derive(Serialize)]
struct Status {
    version: &'static str,
    asked: u32,
}

#[derive(Deserialize)]
struct Asked {
    asked: u32,
}

fn count_asking(sql: &SqlStorage) -> Result<u32> {
    sql.exec(
        "CREATE TABLE IF NOT EXISTS hub (id INTEGER PRIMARY KEY CHECK (id = 0), asked INTEGER NOT NULL)",
        None,
    )?;
    let row: Asked = sql
        .exec(
            "INSERT INTO hub VALUES (0, 1) ON CONFLICT DO UPDATE SET asked = asked + 1 RETURNING asked",
            None,
        )?
        .one()?;
    Ok(row.asked)
}

/// A script needs a handler even where only its Durable Object is called.
#[event(fetch)]
async fn fetch(_request: Request, _env: Env, _context: Context) -> Result<Response> {
    Response::error("the hub is reached through its binding", 404)
}
