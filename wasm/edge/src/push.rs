//! `/.latchkey/push/…`: hands what the control plane pushes on to the hub, which alone judges it. What could not
//! be taken anyway (no token, too long, no such path) ends here, so that it does not wake the hub.

use crate::isolate::Isolate;
use crate::{hub, respond};
use latchkey_push::Target;
use worker::{Env, Result, web_sys};

pub(crate) async fn answer(
    isolate: &Isolate,
    env: &Env,
    request: &web_sys::Request,
    rest: &str,
) -> Result<web_sys::Response> {
    let headers = request.headers();
    let Some(token) = isolate.settings().push else { return respond::push_not_configured() };
    if !headers.get("authorization")?.is_some_and(|header| token.is_bearer(&header)) {
        return respond::push_token();
    }
    let Some(target) = Target::parse(rest) else { return respond::not_found() };
    let expected = if target == Target::Status { "GET" } else { "PUT" };
    if request.method() != expected {
        return respond::method_not_allowed();
    }
    let declared = headers.get("content-length")?.and_then(|text| text.parse::<usize>().ok());
    if declared.is_some_and(|len| len > target.len_max()) {
        return respond::too_long(target.len_max());
    }
    match hub::push(isolate, env, request, target).await {
        Ok(response) => Ok(response),
        Err(error) => {
            worker::console_error!("the hub did not answer a push: {error}");
            respond::hub_unreachable()
        }
    }
}
