//! Edge agrees with control: whatever happened, a gate answers what the control plane itself would.
//!
//! Random histories run over the API; a publisher carries them; gates read every head as it came. Two things are
//! held: **no wrong allow** at any head that vouches for the last change, however it travelled (inline or in a
//! statement), and **the same answer** once the statement has arrived, for a gate that followed all along and for
//! one that starts from nothing. The control plane's own answer is `POST /v1/explain`, asked by the credential.

pub(crate) mod edge;
mod history;

use edge::{Publication, Pushed, Shell};
use history::World;
use latchkey_control::outside::Clock;
use latchkey_core::{Permission, ResourceType, UnixMillis};
use latchkey_gate::{Header, Headers, Outcome, Refusal, Request, Verdict};
use latchkey_snapshot::{Credentials, ResourceSource, Rule, Source};
use latchkey_testkit::Actor;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;

const STEPS: usize = 100;
const SEEDS: [u8; 3] = [1, 2, 3];

/// One thing that a credential could ask of an edge.
struct Question {
    bearer: String,
    /// Who asks the control plane about it.
    actor: Actor,
    permission: Permission,
    project: Option<String>,
    resource: Option<String>,
    model: Option<&'static str>,
    client: Option<IpAddr>,
    is_session: bool,
}

/// What control says: allowed, or the class of the refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Allowed,
    NoCredential,
    NotFound,
    Forbidden,
    Payment,
}

struct Model(Option<&'static str>);

impl Headers for Model {
    fn one(&self, name: &str) -> Option<String> {
        (name == "x-model").then_some(self.0).flatten().map(str::to_owned)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_agrees_with_control_over_any_history() {
    let mut done: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for seed in SEEDS {
        let mut world = World::new(seed).await;
        let publication = Publication::start(&world.stage, rules());
        let mut warm = publication.gate(&world.stage.clock);
        let mut seen = 0;
        for step in 0..STEPS {
            world.step().await;
            // A head of this moment or later was signed after the deed.
            world.stage.clock.advance_secs(1);
            let now = world.stage.clock.now();
            let generation = *world.stage.control.store().newest().borrow();
            let cases = cases(&world).await;
            let heads = publication.hub.heads(seen, generation, now).await;
            seen += heads.len();
            follow(&mut warm, &heads, &cases, now, (seed, step));
            for (question, answer) in &cases {
                same(&mut warm, question, *answer, (seed, step, "warm"));
                *answers.entry(format!("{answer:?} {}", question.is_session)).or_default() += 1;
            }
            if step % 6 == 0 {
                let mut cold = publication.gate(&world.stage.clock);
                cold.take(heads.last().unwrap(), false);
                for (question, answer) in &cases {
                    same(&mut cold, question, *answer, (seed, step, "cold"));
                }
            }
        }
        let (bases, tips, on_previous) = publication.hub.travelled();
        assert!(bases > 2 && tips > 20 && on_previous > 20, "{bases} bases, {tips} tips, {on_previous}");
        world.done.iter().for_each(|(deed, times)| *done.entry(deed).or_default() += times);
    }
    // A history in which nothing happens would prove nothing.
    for deed in [
        "create key",
        "import key",
        "revoke",
        "disable",
        "enable",
        "rotate",
        "change key",
        "accept invitation",
        "remove member",
        "change member",
        "add collaborator",
        "accept as external",
        "remove collaborator",
        "join",
        "switch externals",
        "archive",
        "unarchive",
        "suspend",
        "resume",
        "register",
        "delete resource",
        "set budget",
        "report",
        "end session",
    ] {
        assert!(done.contains_key(deed), "no history has `{deed}`: {done:?}");
    }
    for answer in [
        "Allowed false",
        "Allowed true",
        "NoCredential false",
        "NoCredential true",
        "NotFound false",
        "NotFound true",
        "Forbidden false",
        "Forbidden true",
        "Payment false",
    ] {
        assert!(answers.contains_key(answer), "no question was answered `{answer}`: {answers:?}");
    }
}

/// Takes head after head; one that vouches for everything up to now allows nothing that control refuses.
fn follow(
    shell: &mut Shell,
    heads: &[Pushed],
    cases: &[(Question, Answer)],
    now: UnixMillis,
    at: (u8, usize),
) {
    for (index, head) in heads.iter().enumerate() {
        // Its objects come later than the head itself, except for the last.
        shell.take(head, index + 1 == heads.len());
        if head.as_of < now {
            continue;
        }
        for (question, answer) in cases {
            let verdict = ask(shell, question);
            // What is older than the change need not know it; its age says so.
            let knows = verdict.standing.is_some_and(|standing| standing.age_ms == 0);
            let allowed = matches!(verdict.outcome, Outcome::Allow(_));
            let is_wrong = knows && allowed && *answer != Answer::Allowed;
            assert!(!is_wrong, "{at:?}: allowed what control refuses ({answer:?}): {}", question.text());
        }
    }
}

fn same(shell: &mut Shell, question: &Question, answer: Answer, at: (u8, usize, &str)) {
    let verdict = ask(shell, question);
    let edge = match verdict.outcome {
        Outcome::Allow(_) => Answer::Allowed,
        Outcome::Pass(pass) => panic!("no route is public or in shadow: {pass:?}"),
        Outcome::Refuse(Refusal::Unauthenticated(_) | Refusal::OutOfForce(_)) => Answer::NoCredential,
        Outcome::Refuse(Refusal::NotFound(_)) => Answer::NotFound,
        Outcome::Refuse(refusal) => match refusal.class() {
            latchkey_gate::Class::Forbidden => Answer::Forbidden,
            latchkey_gate::Class::PaymentRequired => Answer::Payment,
            class => panic!("{at:?}: {class:?}: {refusal:?}: {}", question.text()),
        },
    };
    assert_eq!(edge, answer, "{at:?}: {}: {verdict:?}", question.text());
}

fn ask(shell: &mut Shell, question: &Question) -> Verdict {
    let bearer = format!("Bearer {}", question.bearer);
    let model = Model(question.model);
    let project = question.project.as_deref().unwrap_or("none");
    let (method, path) = match (question.permission, &question.resource) {
        (Permission::FilesRead, Some(file)) => ("GET", format!("/p/{project}/files/{file}")),
        (Permission::ClustersCreate, _) => ("POST", format!("/p/{project}/clusters")),
        (Permission::KeysRead, _) => ("GET", format!("/p/{project}/keys")),
        (Permission::InferenceInvoke, _) => ("POST", "/v1/chat".to_owned()),
        (permission, _) => panic!("no route needs {permission}"),
    };
    let request = Request {
        project: match &question.project {
            Some(project) if question.permission == Permission::InferenceInvoke => {
                Header::One(project.as_bytes())
            }
            _ => Header::None,
        },
        client: question.client,
        headers: &model,
        ..Request::new(method, path.as_bytes(), Header::One(bearer.as_bytes()))
    };
    shell.ask(&request)
}

/// Everything that is asked after a step, with the control plane's answers.
async fn cases(world: &World) -> Vec<(Question, Answer)> {
    let mut cases = Vec::new();
    for question in questions(world).await {
        let answer = question.answer().await;
        cases.push((question, answer));
    }
    cases
}

async fn questions(world: &World) -> Vec<Question> {
    let mut questions = Vec::new();
    let inside: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
    for key in world.keys.iter().rev().take(12) {
        let actor = world.stage.holder(&key.text);
        let blank = |permission| Question {
            bearer: key.text.clone(),
            actor: actor.clone(),
            permission,
            project: None,
            resource: None,
            model: None,
            client: Some(inside),
            is_session: false,
        };
        for (model, client) in
            [(Some("small-1"), Some(inside)), (Some("large-1"), None), (None, Some(inside))]
        {
            questions.push(Question { model, client, ..blank(Permission::InferenceInvoke) });
        }
        for (project, _) in world.projects.iter().take(4) {
            let project = Some(project.clone());
            questions.push(Question { project, ..blank(Permission::ClustersCreate) });
        }
        for (index, file) in world.resources.iter().rev().take(3) {
            let project = Some(world.projects[*index].0.clone());
            let resource = Some(file.clone());
            questions.push(Question { project, resource, ..blank(Permission::FilesRead) });
        }
    }
    let mut sessions = Vec::new();
    for person in &world.people {
        sessions.extend(edge_token(&person.session).await.map(|token| (person.session.clone(), token)));
        sessions.extend(person.ended.last().cloned());
    }
    for (session, bearer) in sessions {
        for (project, _) in &world.projects {
            for permission in [Permission::KeysRead, Permission::ClustersCreate, Permission::InferenceInvoke]
            {
                questions.push(Question {
                    bearer: bearer.clone(),
                    actor: session.clone(),
                    permission,
                    project: Some(project.clone()),
                    resource: None,
                    model: Some("small-1"),
                    client: Some(inside),
                    is_session: true,
                });
            }
        }
    }
    questions
}

async fn edge_token(session: &Actor) -> Option<String> {
    let reply = session.act("/v1/me/token").await;
    (reply.status == 200).then(|| reply.json()["token"].as_str().unwrap().to_owned())
}

impl Question {
    /// The control plane's own answer.
    async fn answer(&self) -> Answer {
        let mut body = json!({ "permission": self.permission.as_str() });
        if let Some(project) = &self.project {
            body["project"] = json!(project);
        }
        if let Some(file) = &self.resource {
            body["resource"] = json!({ "type": "file", "id": file });
        }
        if let Some(model) = self.model {
            body["model"] = json!(model);
        }
        if let Some(client) = self.client {
            body["address"] = json!(client);
        }
        let reply = self.actor.post("/v1/explain", body).await;
        match reply.status {
            200 => self.class(&reply.json()),
            401 => Answer::NoCredential,
            404 => Answer::NotFound,
            status => panic!("{status}: {}: {}", self.text(), reply.text()),
        }
    }

    /// The class of the first rule that refuses, as IAM R2 and R5 have it at an edge: whoever takes no part in a
    /// project is told nothing of it there, seen or not, suspended or not.
    fn class(&self, explained: &Value) -> Answer {
        let refused = explained["steps"].as_array().unwrap().iter().filter(|step| step["holds"] == false);
        let refused: Vec<&str> = refused.map(|step| step["rule"].as_str().unwrap()).collect();
        assert_eq!(explained["allowed"], refused.is_empty());
        if self.is_session && refused.iter().any(|rule| ["J4", "P4", "X3"].contains(rule)) {
            return Answer::NotFound;
        }
        match refused.first() {
            None => Answer::Allowed,
            Some(&"K4") => Answer::NotFound,
            Some(&"B2") => Answer::Payment,
            Some(&("K6" | "K7" | "P2" | "J5" | "X6" | "O6" | "J10")) => Answer::Forbidden,
            Some(rule) => panic!("{rule}: {explained}"),
        }
    }

    fn text(&self) -> String {
        let who = if self.is_session { "a session" } else { "a key" };
        format!("{who}: {} in {:?} on {:?}", self.permission, self.project, self.resource)
    }
}

fn rules() -> Vec<Rule> {
    let rule = |method: &str, pattern: &str, permission: Permission| Rule {
        credentials: Credentials::Any,
        project: Some(Source::Path("project".into())),
        ..Rule::new(method, pattern, permission)
    };
    let file = ResourceSource { resource: ResourceType::File, source: Source::Path("file".into()) };
    let mut rules = vec![
        Rule { resource: Some(file), ..rule("GET", "/p/{project}/files/{file}", Permission::FilesRead) },
        rule("POST", "/p/{project}/clusters", Permission::ClustersCreate),
        rule("GET", "/p/{project}/keys", Permission::KeysRead),
        Rule {
            project: None,
            model: Some(Source::Header("x-model".into())),
            ..rule("POST", "/v1/chat", Permission::InferenceInvoke)
        },
    ];
    rules.sort_by(|a, b| (&a.pattern, &a.method).cmp(&(&b.pattern, &b.method)));
    rules
}
