//! The manners of every change there is (issue 3, part 8): rehearsed, replayed, and bound to what its caller saw.

use super::cast::{Asker, World};
use super::cells::Round;
use super::{runtime, world};
use axum::http::Method;
use latchkey_control::http::{Route, routes};
use latchkey_testkit::Reply;
use serde_json::Value;
use std::collections::BTreeSet;

/// Changes that end their caller's own credential, so there is nobody to replay to; and batches of usage, which count
/// once under their own ids (B3).
const NOT_REPLAYED: &[&str] = &["sessions.revoke", "sessions.revoke_all", "usage.report"];

fn changes() -> Vec<Route> {
    routes().into_iter().filter(Route::has_wishes).collect()
}

/// The first who is granted the change, in the order of the cast.
async fn granted<'a>(world: &'a World, round: &mut Round<'_>, route: &Route) -> Option<&'a Asker> {
    for asker in &world.askers {
        let (actor, path, body) = round.ready(asker, route).await;
        if actor.call(route.method.as_str(), &path, body).await.status < 300 {
            return Some(asker);
        }
    }
    None
}

/// The path with one more parameter in its query.
fn dry(path: &str) -> String {
    format!("{path}{}dry_run=true", if path.contains('?') { '&' } else { '?' })
}

/// The body without the fields in which secrets are shown.
fn veiled(reply: &Reply) -> Value {
    fn veil(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, value| !((name == "secret" || name == "token") && value.is_string()));
                fields.values_mut().for_each(veil);
            }
            Value::Array(items) => items.iter_mut().for_each(veil),
            _ => {}
        }
    }
    let mut value = reply.json();
    veil(&mut value);
    value
}

#[test]
fn every_change_can_be_rehearsed_and_replayed_k2() {
    let world = world();
    runtime().block_on(async {
        let mut round = Round::new(&world);
        for route in changes() {
            let asker = granted(&world, &mut round, &route).await;
            let asker = asker.unwrap_or_else(|| panic!("`{}` is granted to nobody", route.name));
            let (actor, path, body) = round.ready(asker, &route).await;
            let (method, before) = (route.method.as_str(), round.generation());
            let rehearsed = actor.call(method, &dry(&path), body.clone()).await;
            let is_dry = rehearsed.header("latchkey-dry-run") == Some("true");
            assert!(is_dry && rehearsed.status < 300, "{}: {}", route.name, rehearsed.text());
            assert_eq!(
                (rehearsed.json(), round.generation()),
                (veiled(&rehearsed), before),
                "{}",
                route.name
            );

            let key = [("idempotency-key", "one")];
            let done = actor.call_with(&key, method, &path, body.clone()).await;
            assert_eq!(done.status, rehearsed.status, "{}: {}", route.name, done.text());
            assert!(done.header("latchkey-generation").is_some(), "{}", route.name);
            if NOT_REPLAYED.contains(&route.name) {
                continue;
            }
            let after = round.generation();
            let replayed = actor.call_with(&key, method, &path, body).await;
            let told = (replayed.status, replayed.json(), replayed.header("latchkey-generation"));
            let expected = (done.status, veiled(&done), done.header("latchkey-generation"));
            assert_eq!((told, round.generation()), (expected, after), "{}", route.name);
            assert_eq!(replayed.header("idempotency-replayed"), Some("true"), "{}", route.name);
        }
    });
}

/// Changes below a thing that are about others: new items, the caller's membership; and a batch of usage, of which
/// `GET` shows the lines as well.
const ABOUT_ANOTHER_THING: &[&str] = &[
    "keys.create_batch",
    "keys.import",
    "members.leave",
    "resources.register_batch",
    "usage.accept",
    "usage.discard",
];

/// The route that shows what this one changes: `GET` on its path, or on the path without the verb at its end.
fn shown_by(route: &Route) -> Option<(Route, bool)> {
    let is_get = |path: &str| routes().into_iter().find(|one| one.method == Method::GET && one.path == path);
    if route.method != Method::POST {
        return is_get(route.path).map(|get| (get, false));
    }
    if is_get(route.path).is_some() {
        // A new item of a list.
        return None;
    }
    let (thing, _) = route.path.rsplit_once('/')?;
    if thing.ends_with('}') { is_get(thing).map(|get| (get, true)) } else { None }
}

#[test]
fn every_change_is_bound_to_the_state_that_get_shows() {
    let world = world();
    let (mut checked, mut others) = (BTreeSet::new(), BTreeSet::new());
    runtime().block_on(async {
        let mut round = Round::new(&world);
        for route in changes() {
            let Some((_, has_verb)) = shown_by(&route) else { continue };
            for asker in &world.askers {
                let (actor, path, body) = round.ready(asker, &route).await;
                let (method, bare) = (route.method.as_str(), path.split('?').next().unwrap_or_default());
                let thing = if has_verb { bare.rsplit_once('/').unwrap().0 } else { bare };
                let shown = actor.get(thing).await;
                let Some(tag) = shown.header("etag").map(str::to_owned) else { continue };
                let stale =
                    actor.call_with(&[("if-match", "\"x\"")], method, &dry(&path), body.clone()).await;
                if !matches!(stale.status, 200..300 | 412) {
                    continue;
                }
                stale.problem(412, "precondition_failed");
                let bound = actor.call_with(&[("if-match", &tag)], method, &path, body).await;
                match bound.status {
                    200..300 => drop(checked.insert(route.name)),
                    _ => drop(others.insert(route.name)),
                }
            }
        }
    });
    let shown: BTreeSet<&str> = ABOUT_ANOTHER_THING.iter().copied().collect();
    assert_eq!(others, shown, "they were told 412 by the tag that `GET` shows");
    assert!(checked.len() > 20 && checked.is_disjoint(&others), "{checked:?}");
}
