//! Every route refuses the anonymous, the stranger and the too weak, and tells the weak what the route says it
//! needs (R1, R2).

use super::cast::{Asker, World, missing};
use super::cells::{Outcome, Round, example_of};
use super::{runtime, world};
use latchkey_control::http::{Needs, Route, routes};
use latchkey_core::Permission;
use latchkey_core::permission::Holder;
use std::collections::BTreeSet;

/// Routes of which somebody too weak is told something else than what the route needs, and why that is right.
/// The list only gets shorter: an entry that is not needed fails the test.
const TOLD_OTHERWISE: &[(&str, &str)] = &[];

/// Routes about a thing that the body names, of which a stranger is told that it is not there.
const NAMED_IN_THE_BODY: &[(&str, &str)] = &[
    ("explain", "the body names the project"),
    ("invitations.accept", "the body has the token of an invitation to somebody else"),
];

#[test]
fn anonymous_is_refused_everywhere_with_one_body_r1() {
    let world = world();
    runtime().block_on(async {
        let stage = world.stage();
        let unknown = format!("lks_{}", "0".repeat(43));
        let actors = [stage.anonymous(), stage.holder(&unknown), stage.holder("junk")];
        let model = stage.anonymous().get("/v1/me").await;
        let things = &world.asker("anonymous").about;
        for route in routes() {
            let (path, body) = example_of(&route).about(&route, things);
            for actor in &actors {
                let reply = actor.call(route.method.as_str(), &path, body.clone()).await;
                if route.needs == Needs::Nothing {
                    assert!(reply.status < 300, "{}: {}", route.name, reply.text());
                    continue;
                }
                reply.problem(401, "unauthenticated");
                assert_eq!(reply.header("www-authenticate"), Some("Bearer"), "{}", route.name);
                assert_eq!(reply.body, model.body, "{}", route.name);
                assert_eq!(reply.headers, model.headers, "{}", route.name);
            }
        }
    });
}

#[test]
fn stranger_is_told_there_is_nothing_and_cannot_tell_existing_from_missing_r2() {
    let world = world();
    runtime().block_on(async {
        let mut unneeded: BTreeSet<_> = NAMED_IN_THE_BODY.iter().map(|(route, _)| *route).collect();
        let mut round = Round::new(&world);
        for name in ["stranger", "removed", "other-identity", "external-ended"] {
            let asker = world.asker(name);
            let nothing = Asker { about: missing(&asker.about), ..asker.clone() };
            for route in routes() {
                let reply = round.ask(asker, &route).await;
                let told = (name, route.name, reply.text());
                if is_about_theirs(&route) || is_named_in_the_body(&route) {
                    reply.problem(404, "not_found");
                    unneeded.remove(route.name);
                    let same = round.ask(&nothing, &route).await;
                    assert_eq!((reply.status, &reply.body), (same.status, &same.body), "{told:?}");
                    assert_eq!(reply.headers, same.headers, "{told:?}");
                } else {
                    let outcome = Outcome::of(&reply);
                    let expected = match route.needs {
                        Needs::Operator(act) => outcome.status == 403 && outcome.says == act.as_str(),
                        Needs::Report => outcome.status == 403 && outcome.says == "usage.report",
                        Needs::Gate => outcome.status == 403 && outcome.says == "gate.read",
                        Needs::Key => outcome.status == 403,
                        _ => outcome.is_granted(),
                    };
                    assert!(expected, "{told:?}");
                }
            }
        }
        assert!(unneeded.is_empty(), "these need no exception any more: {unneeded:?}");
    });
}

/// The same for credentials of every kind that belong elsewhere.
#[test]
fn no_credential_from_elsewhere_can_tell_existing_from_missing_r2() {
    let world = world();
    runtime().block_on(async {
        let victim = &world.asker("stranger").about;
        let mut round = Round::new(&world);
        for stranger in world.strangers.iter().chain([world.asker("usage-credential")]) {
            let asker = Asker { about: victim.clone(), ..stranger.clone() };
            let nothing = Asker { about: missing(victim), ..stranger.clone() };
            for route in routes().iter().filter(|route| is_about_theirs(route)) {
                let (reply, same) = (round.ask(&asker, route).await, round.ask(&nothing, route).await);
                reply.problem(404, "not_found");
                let what = format!("{} by {}", route.name, stranger.name);
                assert_eq!((&reply.body, &reply.headers), (&same.body, &same.headers), "{what}");
            }
        }
    });
}

/// Keys do nothing here but say who they are (K6b, K11); what brings usage does nothing else (B3), nor does what gates
/// read with.
#[test]
fn keys_manage_nothing_and_usage_credentials_do_nothing_else_k6b_b3() {
    let world = world();
    runtime().block_on(async {
        let mut round = Round::new(&world);
        for (name, may) in [
            ("key-admin", &["keys.whoami", "explain"][..]),
            ("key-imported", &["keys.whoami", "explain"][..]),
            ("usage-credential", &["usage.report"][..]),
            ("gate-credential", &["gates.head", "gates.root", "gates.object"][..]),
        ] {
            for route in routes().iter().filter(|route| route.needs != Needs::Nothing) {
                let outcome = Outcome::of(&round.ask(world.asker(name), route).await);
                let is_refused = matches!(outcome.status, 401 | 403 | 404);
                assert_eq!(!is_refused, may.contains(&route.name), "{} by {name}: {outcome}", route.name);
            }
        }
    });
}

fn is_about_theirs(route: &Route) -> bool {
    ["{organization}", "{project}", "{key}"].iter().any(|parameter| route.path.contains(parameter))
}

fn is_named_in_the_body(route: &Route) -> bool {
    NAMED_IN_THE_BODY.iter().any(|(name, _)| *name == route.name)
}

#[test]
fn too_weak_is_told_the_permission_that_the_route_says_r2() {
    let world = world();
    runtime().block_on(async {
        let mut round = Round::new(&world);
        let mut unneeded: BTreeSet<_> = TOLD_OTHERWISE.iter().map(|(route, _)| *route).collect();
        for route in routes() {
            for asker in weak(&world, &route) {
                let outcome = Outcome::of(&round.ask(asker, &route).await);
                let is_told = outcome.status == 403 && words(&route.needs).contains(&outcome.says.as_str());
                if TOLD_OTHERWISE.iter().any(|(name, _)| *name == route.name) {
                    assert!(!outcome.is_granted(), "{} by {}", route.name, asker.name);
                    if !is_told {
                        unneeded.remove(route.name);
                    }
                } else {
                    assert!(is_told, "{} by {}: {outcome}", route.name, asker.name);
                }
            }
        }
        assert!(unneeded.is_empty(), "these need no exception any more: {unneeded:?}");
    });
}

/// Those who may know of what the route is about and lack what it needs, by the tables P1 and P2 alone.
fn weak<'a>(world: &'a World, route: &Route) -> Vec<&'a Asker> {
    let lack = |permission: Permission| match permission.holder() {
        Holder::OrganizationMember => vec![],
        Holder::OrganizationAdmin => vec!["project-member", "member-open"],
        Holder::ProjectMember | Holder::DataMember => vec!["admin", "member-open", "member-closed"],
        Holder::ProjectAdmin | Holder::DataAdmin => {
            vec!["admin", "project-member", "external-member", "member-open", "service-member"]
        }
    };
    let names = match route.needs {
        Needs::Nothing | Needs::Credential => vec![],
        // Of somebody's organization or project, credentials of no person are told nothing.
        Needs::Own if is_about_theirs(route) => vec!["operator"],
        Needs::Own => vec!["operator", "usage-credential", "key-admin"],
        Needs::Permission(permission) => lack(permission),
        Needs::OneOf(permissions) => {
            let lacking = |name: &&str| permissions.iter().all(|permission| lack(*permission).contains(name));
            lack(permissions[0]).into_iter().filter(lacking).collect()
        }
        Needs::Operator(_) => vec!["owner", "service-admin", "external-admin"],
        Needs::Ownership => vec!["admin", "project-member"],
        Needs::Succession => vec!["project-member", "service-member", "operator"],
        Needs::Join => vec!["member-closed"],
        Needs::Key => vec!["owner", "operator", "usage-credential"],
        Needs::Report | Needs::Gate => vec!["owner", "operator", "key-admin"],
    };
    // Of an organization that a path names, externals are told nothing (X2).
    let is_hidden = |name: &&str| *name == "external-admin" && route.path.contains("{organization}");
    let names = names.into_iter().filter(|name| !is_hidden(name));
    names.map(|name| world.asker(name)).collect()
}

/// What a refusal may name.
fn words(needs: &Needs) -> Vec<&'static str> {
    match needs {
        Needs::Nothing | Needs::Credential => vec![],
        Needs::Own => vec!["me"],
        Needs::Permission(permission) => vec![permission.as_str()],
        Needs::OneOf(permissions) => permissions.iter().map(|permission| permission.as_str()).collect(),
        Needs::Operator(act) => vec![act.as_str()],
        Needs::Ownership | Needs::Succession => vec!["org.ownership"],
        Needs::Join => vec!["project.join"],
        Needs::Key => vec!["(key_needed)"],
        Needs::Report => vec!["usage.report"],
        Needs::Gate => vec!["gate.read"],
    }
}
