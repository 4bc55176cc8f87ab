//! Tenant isolation as a property: whatever strangers call, with whatever ids of a victim mixed in, they change
//! nothing of the victim's, read nothing of it, and cannot tell it from what does not exist.
//!
//! Two copies of one world hear the same calls. In the first they name things of the victim, in the second things
//! of the same form that do not exist. Every reply must be the same, but for the names that were sent.

use super::cast::{Asker, Things, World, missing};
use super::cells::example_of;
use super::{runtime, world};
use axum::http::HeaderMap;
use latchkey_control::http::{Route, routes};
use latchkey_control::iam::BudgetScope;
use latchkey_control::store::{AuditView, View};
use latchkey_core::{Dice, OrganizationId, ResourceType};
use latchkey_testkit::{Reply, Stage};
use serde_json::Value;
use std::fmt::Write;
use std::ops::ControlFlow;

/// Sequences, each on a world as it was built.
const SEQUENCES: u8 = 16;
/// Calls in a sequence.
const CALLS: usize = 250;
/// What the victim made a change with, once.
const IDEMPOTENCY_KEY: &str = "canary-once";

/// Nothing but hashes, which differ by the names that the stranger wrote into their own part of the log.
const HASHES_OF_THE_LOG: [&str; 2] = ["audit.read_checkpoint", "audit.prove"];

/// What is sent in one of the two worlds.
struct Sent {
    path: String,
    body: Option<Value>,
    headers: Vec<(&'static str, String)>,
}

/// Names of the victim's things, and what stands for them in the world where they do not exist.
struct Names {
    victim: Things,
    missing: Things,
    /// A page of the victim's to go on from, and the tag of what it shows.
    cursor: String,
    etag: String,
}

#[test]
fn strangers_read_change_and_learn_nothing_r2_j1() {
    let world = world();
    runtime().block_on(async {
        let routes = routes();
        let (mut granted, mut asked) = (0, 0);
        for seed in 0..SEQUENCES {
            let (real, without) = (world.stage(), world.stage());
            let names = names(&world, &real, &without).await;
            let mut chance = Chance(Dice::from_seed(&[seed; 32]));
            let mut before = dump(&real, &names.victim);
            let mut generation = generation_of(&real);
            for _ in 0..CALLS {
                let asker = chance.one_of(&world.strangers);
                let route = chance.one_of(&routes);
                // Whoever signs out has little left to try.
                if route.name.starts_with("sessions.revoke") && !chance.happens(2) {
                    continue;
                }
                let sent = chance.request(route, asker, &names);
                let reply = call(&real, asker, route, &sent[0]).await;
                let same = call(&without, asker, route, &sent[1]).await;
                let what = format!("seed {seed}: {} {} {:?}", asker.name, sent[0].path, sent[0].body);
                if HASHES_OF_THE_LOG.contains(&route.name) {
                    assert_eq!(reply.status, same.status, "{what}");
                } else {
                    check_same(&names, &reply, &same, &what);
                }
                check_tells_nothing(&names, &same, &what);
                if generation_of(&real) != generation {
                    generation = generation_of(&real);
                    let after = dump(&real, &names.victim);
                    assert_eq!(before, after, "{what}");
                    before = after;
                }
                asked += 1;
                granted += usize::from(reply.status < 300);
            }
        }
        // Otherwise nothing was tried that could have gone wrong.
        assert!(granted > asked / 20, "{granted} of {asked} calls were granted");
    });
}

/// J3: that a slug is taken is the one thing a stranger can learn, and they learn no more than that.
#[test]
fn stranger_learns_only_that_a_slug_is_taken_j3() {
    let world = world();
    runtime().block_on(async {
        let stage = world.stage();
        let stranger = &world.strangers[0];
        let victim = &world.asker("stranger").about;
        let path = format!("/v1/organizations/{}/projects", stranger.about["organization"]);
        let body = serde_json::json!({ "name": "New", "slug": victim["slug"] });
        let reply = stranger.on(&stage).post(&path, body).await;
        let problem = reply.problem(409, "slug_taken");
        assert!(!problem.to_string().contains(&victim["project"]));
        let path = format!("/v1/projects/{}/settings", stranger.about["project"]);
        let reply = stranger.on(&stage).patch(&path, serde_json::json!({ "slug": victim["slug"] })).await;
        assert_eq!(reply.problem(409, "slug_taken"), problem);
    });
}

async fn names(world: &World, real: &Stage, without: &Stage) -> Names {
    let victim = world.asker("stranger").about.clone();
    let path = format!("/v1/projects/{}/keys", victim["project"]);
    // The same in both worlds, so that they are the same.
    for stage in [real, without] {
        let headers = [("idempotency-key", IDEMPOTENCY_KEY)];
        let body = serde_json::json!({ "name": "canary key" });
        let owner = world.asker("owner").on(stage);
        owner.call_with(&headers, "POST", &path, Some(body)).await.expect(201);
    }
    let owner = world.asker("owner").on(real);
    let cursor = owner.get(&format!("{path}?limit=1")).await.expect(200).json()["next"].clone();
    let shown = owner.get(&format!("/v1/projects/{}", victim["project"])).await;
    let mut victim = victim;
    victim.remove("self");
    victim.remove("session");
    // What does not exist in either world, and what the victim has not.
    victim.retain(|name, _| !["batch", "usage-token", "audit-position", "audit-size"].contains(name));
    Names {
        missing: missing(&victim),
        victim,
        cursor: cursor.as_str().unwrap_or("none").to_owned(),
        etag: shown.header("etag").unwrap_or("\"none\"").to_owned(),
    }
}

async fn call(stage: &Stage, asker: &Asker, route: &Route, sent: &Sent) -> Reply {
    let headers: Vec<_> = sent.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let actor = asker.on(stage);
    actor.call_with(&headers, route.method.as_str(), &sent.path, sent.body.clone()).await
}

#[track_caller]
fn check_same(names: &Names, reply: &Reply, same: &Reply, what: &str) {
    let mut text = reply.text();
    // The longest first: one may begin like another.
    let mut pairs: Vec<_> = names.victim.values().zip(names.missing.values()).collect();
    pairs.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    for (name, instead) in pairs {
        text = text.replace(name, instead);
    }
    let is_exact = reply.body == same.body;
    let shown = [text, same.text()].map(|text| if is_exact { text } else { without_leaf_hashes(&text) });
    assert_eq!((reply.status, &shown[0]), (same.status, &shown[1]), "{what}");
    let compared = |headers: &HeaderMap| {
        let mut headers = headers.clone();
        if !is_exact {
            // A tag of a body that names what was sent.
            headers.remove("etag");
        }
        headers
    };
    assert_eq!(compared(&reply.headers), compared(&same.headers), "{what}");
}

/// A leaf of the stranger's own log is hashed over the names that were sent: where those differ, so does its hash.
fn without_leaf_hashes(text: &str) -> String {
    const FIELD: &str = r#""leaf_hash":""#;
    let mut parts = text.split(FIELD);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (_hash, rest) = part.split_once('"').expect("a leaf's hash ends");
        shown.push_str(FIELD);
        shown.push('"');
        shown.push_str(rest);
    }
    shown
}

/// In the world where nothing of the victim's was named, nothing of it may come back.
#[track_caller]
fn check_tells_nothing(names: &Names, same: &Reply, what: &str) {
    let text = format!("{:?} {}", same.headers, same.text());
    assert!(!text.to_lowercase().contains("canary"), "{what}: {text}");
    for (name, value) in names.victim.iter().filter(|(name, value)| names.missing[*name] != **value) {
        assert!(!text.contains(value.as_str()), "{what} tells the {name}: {text}");
    }
}

struct Chance(Dice);

impl Chance {
    fn below(&mut self, count: usize) -> usize {
        u32::from_le_bytes(self.0.bytes()) as usize % count
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn happens(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A request as it is sent in either world.
    fn request(&mut self, route: &Route, asker: &Asker, names: &Names) -> [Sent; 2] {
        let example = example_of(route);
        let mut worlds = [asker.about.clone(), asker.about.clone()];
        let all: Vec<_> = names.victim.keys().copied().collect();
        let mostly_own = self.happens(30);
        for thing in &all {
            if self.happens(if mostly_own { 10 } else { 70 }) {
                // Now and then one thing's name where another's belongs.
                let from = if self.happens(10) { *self.one_of(&all) } else { thing };
                worlds[0].insert(thing, names.victim[from].clone());
                worlds[1].insert(thing, names.missing[from].clone());
            }
        }
        let mut sent = worlds.map(|things| {
            let (path, body) = example.about(route, &things);
            Sent { path, body, headers: Vec::new() }
        });
        self.spoil_body(&mut sent, &all, names);
        self.add_query(route, &mut sent, names);
        self.add_headers(&mut sent, names);
        sent
    }

    /// Puts the victim's names where the body has other words, but for slugs, whose being taken is told (J3).
    fn spoil_body(&mut self, sent: &mut [Sent; 2], all: &[&'static str], names: &Names) {
        let Some(fields) = sent[0].body.as_ref().and_then(Value::as_object).cloned() else { return };
        for (field, value) in fields {
            if value.is_string() && field != "slug" && self.happens(20) {
                let thing = if field.contains("email") { "member-email" } else { *self.one_of(all) };
                for (one, things) in sent.iter_mut().zip([&names.victim, &names.missing]) {
                    one.body.as_mut().unwrap()[&field] = things[thing].clone().into();
                }
            }
        }
    }

    fn add_query(&mut self, route: &Route, sent: &mut [Sent; 2], names: &Names) {
        if route.query.is_none() && !self.happens(10) {
            return;
        }
        let pool = ["limit", "cursor", "project", "key", "person", "subject", "actor", "dry_run", "group_by"];
        let parameter = *self.one_of(&pool);
        for (one, things) in sent.iter_mut().zip([&names.victim, &names.missing]) {
            let value = match parameter {
                "limit" => "1",
                "cursor" => &names.cursor,
                "dry_run" => "true",
                "group_by" => "project",
                "project" | "key" => &things[parameter],
                _ => &things["member"],
            };
            let mark = if one.path.contains('?') { '&' } else { '?' };
            write!(one.path, "{mark}{parameter}={value}").unwrap();
        }
    }

    fn add_headers(&mut self, sent: &mut [Sent; 2], names: &Names) {
        if self.happens(10) {
            sent[0].headers.push(("if-match", names.etag.clone()));
            let other: String =
                names.etag.chars().map(|one| if one.is_ascii_alphanumeric() { '0' } else { one }).collect();
            sent[1].headers.push(("if-match", other));
        }
        if self.happens(10) {
            sent[0].headers.push(("idempotency-key", IDEMPOTENCY_KEY.to_owned()));
            sent[1].headers.push(("idempotency-key", "never-heard".to_owned()));
        }
    }
}

fn generation_of(stage: &Stage) -> u64 {
    stage.control.store().newest().borrow().0
}

/// Everything that the victim's organization has, as text.
fn dump(stage: &Stage, victim: &Things) -> String {
    const ALL: usize = 100_000;
    let view = stage.control.store().read().unwrap();
    let organization =
        view.organization_by_id(&OrganizationId::parse(&victim["organization"]).unwrap()).unwrap().unwrap();
    let number = organization.number;
    let mut text = format!("{organization:?}\n");
    let mut add = |what: &dyn std::fmt::Debug| writeln!(text, "{what:?}").unwrap();
    let members = view.members_of(number, None, ALL).unwrap();
    for member in &members {
        add(&view.user(&member.user).unwrap());
        add(&view.identities_of(&member.user).unwrap());
        add(&view.sessions_of(&member.user).unwrap());
        add(&view.memberships_of(&member.user).unwrap());
        add(&view.collaborations_of(&member.user).unwrap());
    }
    add(&members);
    let log = view.audit_checkpoint().unwrap().size;
    add(&view.audit_from(Some(number), 0, log, ALL).unwrap().entries);
    add(&view.departures_of(number, None, ALL).unwrap());
    add(&view.ownership_offer(number).unwrap());
    add(&view.invitations_of(number).unwrap());
    add(&view.notices_of(number, None, None, ALL).unwrap());
    add(&view.budget(BudgetScope::Organization(number)).unwrap());
    for project in view.projects_of(number, None, ALL).unwrap() {
        let at = project.number;
        add(&project);
        add(&view.slug(&project.slug).unwrap());
        add(&view.collaborators_of(at, None, ALL).unwrap());
        for kind in ResourceType::ALL {
            add(&view.resources_of(at, kind, None, ALL).unwrap());
        }
        add(&view.notices_of(number, Some(at), None, ALL).unwrap());
        let mut usage = Vec::new();
        let mut keep = |row| {
            usage.push(row);
            Ok(ControlFlow::Continue(()))
        };
        let _ = view.usage_of(at, (0, u32::MAX), &mut keep).unwrap();
        add(&usage);
        add(&view.budget(BudgetScope::Project(at)).unwrap());
        for key in view.keys_of(at, None, ALL).unwrap() {
            add(&view.key_use(key.id).unwrap());
            add(&view.budget(BudgetScope::of_key(&key)).unwrap());
            add(&key);
        }
    }
    text
}
