//! Who may do what: every route and every permission, tried by everybody.
//!
//! `cast` furnishes a world and its people, `examples` has a request for every route, `cells` sends them, `table`
//! writes the golden text; `coverage` holds every route to what it says it needs; `permissions` asks about each
//! permission by itself; `manners` tries what all changes have in common on each.

mod cast;
mod cells;
mod coverage;
mod examples;
mod isolation;
mod manners;
mod permissions;
mod table;

use latchkey_control::http::{Route, routes};
use latchkey_testkit::check_golden;

fn world() -> cast::World {
    runtime().block_on(cast::World::new())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn golden_access_table() {
    let (world, routes) = (world(), in_nouns(routes()));
    let cells = cells::all(&world);
    for route in &routes {
        let of = |asker: &cast::Asker| &cells[&(route.name, asker.name)];
        // A request that nobody is granted, or that is refused for its form, shows nothing of who may.
        let granted = world.askers.iter().any(|asker| of(asker).is_granted());
        assert!(granted, "the example of `{}` is granted to nobody", route.name);
        let malformed =
            world.askers.iter().map(of).find(|outcome| matches!(outcome.status, 400 | 405 | 415 | 422));
        assert_eq!(malformed, None, "the example of `{}` is malformed", route.name);
    }
    check_golden("access.txt", &table::of_routes(&world, &routes, &cells));
}

#[test]
fn every_route_has_one_example_and_none_is_left_over() {
    let routes = routes();
    let names: Vec<_> = routes.iter().map(|route| route.name).collect();
    let examples: Vec<_> = examples::examples().iter().map(|example| example.route).collect();
    let twice = |all: &[&'static str]| {
        all.iter()
            .filter(|one| all.iter().filter(|other| other == one).count() > 1)
            .copied()
            .collect::<Vec<_>>()
    };
    assert_eq!((twice(&names), twice(&examples)), (vec![], vec![]));
    let lacking: Vec<_> = names.iter().filter(|name| !examples.contains(name)).collect();
    assert!(lacking.is_empty(), "examples.rs has no example of {lacking:?}");
    let surplus: Vec<_> = examples.iter().filter(|name| !names.contains(name)).collect();
    assert!(surplus.is_empty(), "examples.rs has examples of {surplus:?}, which are no routes");
}

#[test]
fn golden_permission_table() {
    let world = world();
    let text = runtime().block_on(permissions::table(&world));
    check_golden("permissions.txt", &text);
}

/// The routes, those of a noun together.
fn in_nouns(routes: Vec<Route>) -> Vec<Route> {
    let noun = |name: &'static str| name.split('.').next().unwrap_or_default();
    let nouns: Vec<_> = routes.iter().map(|route| noun(route.name)).collect();
    let mut routes: Vec<_> = routes.into_iter().collect();
    routes.sort_by_key(|route| nouns.iter().position(|one| *one == noun(route.name)));
    routes
}
