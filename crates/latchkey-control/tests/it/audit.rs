//! The audit log (A1).

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latchkey_api::{AuditProof, AuditRecord, Page, Timestamp};
use latchkey_control::iam::{Caller, Demand, OperatorAct, Standing, authorize};
use latchkey_control::store::{AuditEntry, AuditView, Ctx, FOUND_BYTES_MAX, StoreError, View, Write};
use latchkey_control::tlog::proof::{check_consistency, check_inclusion};
use latchkey_control::tlog::tile::{Tile, subtree};
use latchkey_control::tlog::tree::{Checkpoint, Frontier, Hash, leaf_hash};
use latchkey_core::{Role, UnixSeconds};
use latchkey_testkit::{Actor, Stage};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;

fn entries(stage: &Stage) -> Vec<Value> {
    let view = stage.control.store().read().unwrap();
    let size = view.audit_checkpoint().unwrap().size;
    let entry =
        |at| serde_json::from_str(&view.audit_leaf(at).unwrap().unwrap().content.unwrap().entry).unwrap();
    (0..size).map(entry).collect()
}

#[tokio::test]
async fn every_generation_has_its_entry_a1() {
    let stage = Stage::new().await;
    let acme = stage.organization("Acme", "owner@acme.test").await;
    let owner = stage.sign_in("owner@acme.test").await;
    let key = stage.key(&owner, &acme.default_project.id, Role::Member).await.key.id;
    owner.act(&format!("/v1/keys/{key}/disable")).await.expect(200);
    owner.get("/v1/me").await.expect(200);
    owner.act("/v1/keys/AAAAAAAAAAA/disable").await.expect(404);
    let entries = entries(&stage);
    let generations: Vec<u64> = entries.iter().map(|entry| entry["generation"].as_u64().unwrap()).collect();
    assert_eq!(generations, (1..=stage.control.check_ready().unwrap().0).collect::<Vec<_>>());
    let last = entries.last().unwrap();
    assert_eq!((&last["what"], &last["subject"]["id"]), (&"keys.disable".into(), &Value::from(key)));
    assert_eq!(last["who"]["kind"], "user");
    assert_eq!((&last["before"]["status"], &last["after"]["status"]), (&"active".into(), &"disabled".into()));
    let salts: BTreeSet<_> = (0..entries.len() as u64)
        .map(|at| {
            stage.control.store().read().unwrap().audit_leaf(at).unwrap().unwrap().content.unwrap().salt
        })
        .collect();
    assert_eq!(salts.len(), entries.len());
}

#[tokio::test]
async fn checkpoint_moves_with_every_change_and_only_then() {
    let stage = Stage::new().await;
    let checkpoint = || stage.control.store().read().unwrap().audit_checkpoint().unwrap();
    let before = checkpoint();
    stage.organization("Acme", "owner@acme.test").await;
    let after = checkpoint();
    assert_eq!(after.size, before.size + 1);
    assert_ne!(after.root, before.root);
    stage.anonymous().get("/v1/me").await.expect(401);
    assert_eq!(checkpoint(), after);
}

#[tokio::test]
async fn entry_says_from_where_a1() {
    let stage = Stage::new().await;
    let address: SocketAddr = "192.0.2.7:4242".parse().unwrap();
    let request = Request::builder()
        .method("POST")
        .uri("/v1/organizations")
        .header("authorization", format!("Bearer {}", stage.operator().token()))
        .header("content-type", "application/json")
        .extension(ConnectInfo(address))
        .body(Body::from(r#"{"name":"Acme","owner_email":"owner@acme.test"}"#))
        .unwrap();
    stage.anonymous().send(request).await.expect(201);
    assert_eq!(entries(&stage).last().unwrap()["from"], "192.0.2.7");
}

/// Whoever reads this organization's log.
struct Reader {
    actor: Actor,
    log: String,
}

impl Reader {
    async fn page(&self, query: &str) -> Page<AuditRecord> {
        self.actor.get(&format!("{}?{query}", self.log)).await.expect(200).read()
    }

    /// Every entry that is found, over as many pages as it takes.
    async fn all(&self, query: &str) -> Vec<AuditRecord> {
        let mut page = self.page(query).await;
        let mut all = std::mem::take(&mut page.items);
        while let Some(next) = page.next {
            page = self.page(&format!("{query}&cursor={next}")).await;
            all.append(&mut page.items);
        }
        all
    }

    async fn export(&self, query: &str) -> Vec<AuditRecord> {
        let mut all: Vec<AuditRecord> = Vec::new();
        loop {
            let from = all.last().map_or(0, |record| record.position + 1);
            let part = self.actor.get(&format!("{}/export?from={from}&{query}", self.log)).await.expect(200);
            assert_eq!(part.header("content-type"), Some("application/jsonl"));
            let text = part.text();
            if text.is_empty() {
                return all;
            }
            all.extend(text.lines().map(|line| serde_json::from_str::<AuditRecord>(line).unwrap()));
        }
    }

    async fn checkpoint(&self, stage: &Stage) -> Checkpoint {
        let note = self.actor.get(&format!("{}/checkpoint", self.log)).await.expect(200);
        assert_eq!(note.header("content-type"), Some("text/plain; charset=utf-8"));
        stage.control.audit().key().open(&note.text()).unwrap()
    }

    async fn proof(&self, query: &str) -> AuditProof {
        self.actor.get(&format!("{}/proof?{query}", self.log)).await.expect(200).read()
    }
}

fn operator(stage: &Stage) -> Reader {
    Reader { actor: stage.operator(), log: "/v1/operator/audit".to_owned() }
}

/// Two organizations whose entries alternate, over more than two blocks of 256.
struct Crowd {
    stage: Stage,
    red: Reader,
    blue: Reader,
    project: String,
    keys: Vec<String>,
}

impl Crowd {
    async fn new(count: usize) -> Self {
        let stage = Stage::new().await;
        let mut readers = Vec::new();
        for name in ["red", "blue"] {
            let made = stage.organization(name, &format!("owner@{name}.test")).await;
            let actor = stage.sign_in(&format!("owner@{name}.test")).await;
            let log = format!("/v1/organizations/{}/audit", made.organization.id);
            readers.push((Reader { actor, log }, made.default_project.id));
        }
        let (blue, blue_project) = readers.pop().unwrap();
        let (red, project) = readers.pop().unwrap();
        let mut keys = Vec::new();
        for _ in 0..count {
            keys.push(stage.key(&red.actor, &project, Role::Member).await.key.id);
            stage.key(&blue.actor, &blue_project, Role::Member).await;
            stage.clock.advance_secs(1);
        }
        Self { stage, red, blue, project, keys }
    }
}

fn hash(text: &str) -> Hash {
    STANDARD.decode(text).unwrap().try_into().unwrap()
}

fn hashes(texts: &[String]) -> Vec<Hash> {
    texts.iter().map(|text| hash(text)).collect()
}

fn entry(record: &AuditRecord) -> Value {
    serde_json::from_str(record.entry.as_ref().unwrap().get()).unwrap()
}

/// The hash of what the record says, made from it alone.
fn leaf(record: &AuditRecord) -> Hash {
    let salt = STANDARD.decode(record.salt.as_ref().unwrap()).unwrap();
    leaf_hash(&[record.entry.as_ref().unwrap().get().as_bytes(), &salt].concat())
}

#[tokio::test]
async fn log_of_an_organization_is_its_own_and_has_no_gap_a1() {
    let crowd = Crowd::new(300).await;
    for reader in [&crowd.red, &crowd.blue] {
        let all = reader.all("limit=200").await;
        assert_eq!(all.len(), 301);
        assert!(all.is_sorted_by(|newer, older| newer.position > older.position));
        let id = reader.log.split('/').nth(3).unwrap();
        assert!(
            all.iter()
                .all(|record| entry(record)["organization"] == id && leaf(record) == hash(&record.leaf_hash))
        );
        let numbers: Vec<u64> = all.iter().map(|record| entry(record)["number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=301).rev().collect::<Vec<_>>());
    }
    // The first operator, two organizations, two sign-ins, 600 keys.
    let whole = operator(&crowd.stage).all("limit=200").await;
    assert_eq!(
        whole.iter().map(|record| record.position).collect::<Vec<_>>(),
        (0..605).rev().collect::<Vec<_>>()
    );
    let blue = crowd.blue.log.split('/').nth(3).unwrap();
    assert_eq!(operator(&crowd.stage).all(&format!("organization={blue}")).await.len(), 301);
}

#[tokio::test]
async fn entries_are_found_by_actor_action_subject_project_and_time_a1() {
    let crowd = Crowd::new(300).await;
    let (red, key) = (&crowd.red, &crowd.keys[7]);
    let count = async |query: &str| red.all(query).await.len();
    red.actor.act(&format!("/v1/keys/{key}/disable")).await.expect(200);
    assert_eq!(count(&format!("subject_id={key}")).await, 2);
    assert_eq!(count(&format!("subject_id={key}&action=keys.disable")).await, 1);
    assert_eq!(count("action=keys.").await, 301);
    assert_eq!(count("action=keys").await, 301);
    assert_eq!(count("action=keys.disa&limit=1").await, 1);
    assert_eq!(count("action=eys.").await, 0);
    assert_eq!(count("subject_kind=organization").await, 1);
    assert_eq!(count("subject_kind=key").await, 301);
    let me = red.actor.get("/v1/me").await.expect(200).json();
    assert_eq!(count(&format!("actor={}", me["id"].as_str().unwrap())).await, 301);
    assert_eq!(count("actor=operator_1").await, 1);
    assert_eq!(count("actor=operator_2").await, 0);
    assert_eq!(count(&format!("project={}", crowd.project)).await, 301);
    let newest = entry(&red.page("limit=1").await.items[0])["at_ms"].as_u64().unwrap() / 1000;
    let at = |ago: u64| serde_json::to_value(Timestamp(UnixSeconds(newest - ago))).unwrap();
    let at = |ago: u64| at(ago).as_str().unwrap().to_owned();
    // One key a second; the newest two entries stand in the same one as nothing else.
    assert_eq!(count(&format!("from={}", at(9))).await, 10);
    assert_eq!(count(&format!("from={}&to={}", at(300), at(298))).await, 3);
    assert_eq!(count(&format!("to={}", at(301))).await, 0);
}

#[tokio::test]
async fn search_that_is_no_search_is_refused() {
    let crowd = Crowd::new(1).await;
    let blue = crowd.blue.log.split('/').nth(3).unwrap();
    let blue_project = operator(&crowd.stage).page(&format!("organization={blue}&limit=1")).await;
    let blue_project = entry(&blue_project.items[0])["project"].as_str().unwrap().to_owned();
    for query in [
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=x",
        "cursor=-1",
        "from=yesterday",
        "unknown=1",
        "project=red",
        &format!("project={blue_project}"),
        &format!("organization={blue}"),
    ] {
        crowd.red.actor.get(&format!("{}?{query}", crowd.red.log)).await.problem(400, "invalid_query");
    }
    for query in [
        "",
        "position=0&from=1",
        "position=x",
        "size=2",
        "position=9999&size=9999",
        "from=3&to=2",
        "from=0&to=9999",
    ] {
        let reply = crowd.red.actor.get(&format!("{}/proof?{query}", crowd.red.log)).await;
        reply.problem(400, "invalid_query");
    }
    crowd.red.actor.get(&format!("{}/export?size=9999", crowd.red.log)).await.problem(400, "invalid_query");
}

#[tokio::test]
async fn every_exported_entry_is_proven_against_the_checkpoint_a1() {
    let crowd = Crowd::new(270).await;
    let kept = crowd.red.checkpoint(&crowd.stage).await;
    crowd.stage.key(&crowd.red.actor, &crowd.project, Role::Member).await;
    let tree = crowd.red.checkpoint(&crowd.stage).await;
    assert_eq!(tree.size, kept.size + 1);
    let all = crowd.red.export(&format!("proofs=true&size={}", tree.size)).await;
    assert_eq!(all.len(), 272);
    for record in &all {
        let proof = hashes(record.proof.as_ref().unwrap());
        assert_eq!(
            check_inclusion(&leaf(record), record.position, &proof, &tree),
            Ok(()),
            "{}",
            record.position
        );
    }
    // What was exported before is what the kept checkpoint says, and nothing newer.
    let before = crowd.red.export(&format!("size={}", kept.size)).await;
    assert_eq!(before.len(), 271);
    assert!(before.iter().all(|record| record.proof.is_none()));
    for size in [0, 1, 255, 256, 257, 512, kept.size] {
        let AuditProof::Consistency { from_root, to_root, hashes: proof, .. } =
            crowd.blue.proof(&format!("from={size}&to={}", tree.size)).await
        else {
            panic!("another proof")
        };
        let earlier = Checkpoint { size, root: hash(&from_root) };
        assert_eq!(hash(&to_root), tree.root);
        assert_eq!(check_consistency(&earlier, &tree, &hashes(&proof)), Ok(()), "{size}");
    }
    assert_eq!(
        crowd.stage.control.audit().sign(&tree),
        crowd.red.actor.get(&format!("{}/checkpoint", crowd.red.log)).await.text()
    );
}

#[tokio::test]
async fn neighbours_entry_is_not_there_for_a_proof_a1() {
    let crowd = Crowd::new(2).await;
    let theirs = crowd.blue.page("limit=1").await.items[0].position;
    let own = crowd.red.page("limit=1").await.items[0].position;
    let get = async |position: u64| {
        crowd.red.actor.get(&format!("{}/proof?position={position}", crowd.red.log)).await
    };
    get(theirs).await.problem(404, "not_found");
    get(9999).await.problem(404, "not_found");
    get(0).await.problem(404, "not_found");
    let AuditProof::Inclusion { leaf_hash, position, size, root, hashes: proof } =
        get(own).await.expect(200).read()
    else {
        panic!("another proof")
    };
    let tree = Checkpoint { size, root: hash(&root) };
    assert_eq!(check_inclusion(&hash(&leaf_hash), position, &hashes(&proof), &tree), Ok(()));
}

#[tokio::test]
async fn tiles_are_the_tree_that_the_checkpoint_signs_a1() {
    let crowd = Crowd::new(260).await;
    let operator = operator(&crowd.stage);
    let tree = operator.checkpoint(&crowd.stage).await;
    let mut leaves: Vec<Hash> = Vec::new();
    for tile in Tile::of_size(tree.size) {
        let reply = operator.actor.get(&format!("{}/{tile}", operator.log)).await.expect(200);
        assert_eq!(reply.body.len(), usize::from(tile.width) * 32, "{tile}");
        match tile.level {
            0 => leaves.extend(reply.body.as_chunks().0),
            _ => assert_eq!(reply.body[..32], subtree(&leaves[..256])),
        }
    }
    assert_eq!(Frontier::from_iter(leaves.iter().copied()).checkpoint(), tree);
    let exported = operator.export("").await;
    assert_eq!(exported.iter().map(leaf).collect::<Vec<_>>(), leaves);
    for path in ["0/003", "0/000.p/0", "0/0", "1/001", "2/000", "0/x000/000", "0/002.p/255", "entries/000"] {
        operator.actor.get(&format!("{}/tile/{path}", operator.log)).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn erased_entry_says_nothing_and_breaks_no_proof_a1() {
    let crowd = Crowd::new(260).await;
    let (red, operator) = (&crowd.red, operator(&crowd.stage));
    let kept = red.checkpoint(&crowd.stage).await;
    // One in a complete block, one in the tail.
    for key in [&crowd.keys[3], &crowd.keys[259]] {
        let found = red.all(&format!("subject_id={key}")).await;
        let position = found[0].position;
        let path = format!("/v1/operator/audit/{position}/erase");
        let erased: AuditRecord = operator.actor.act(&path).await.expect(200).read();
        assert!(erased.entry.is_none() && erased.salt.is_none() && erased.leaf_hash == found[0].leaf_hash);
        assert!(red.all(&format!("subject_id={key}")).await.is_empty());
        let tree = red.checkpoint(&crowd.stage).await;
        let all = red.export(&format!("proofs=true&size={}", tree.size)).await;
        let record = all.iter().find(|record| record.position == position).unwrap();
        assert!(record.entry.is_none());
        let proof = hashes(record.proof.as_ref().unwrap());
        assert_eq!(check_inclusion(&hash(&record.leaf_hash), position, &proof, &tree), Ok(()));
        let consistency = red.proof(&format!("from={}&to={}", kept.size, tree.size)).await;
        let AuditProof::Consistency { hashes: proof, .. } = consistency else { panic!("another proof") };
        assert_eq!(check_consistency(&kept, &tree, &hashes(&proof)), Ok(()));
        let note = entry(&red.page("limit=1").await.items[0]);
        assert_eq!(
            (&note["what"], &note["subject"]["id"]),
            (&"audit.erase".into(), &position.to_string().into())
        );
        assert_eq!(note["who"]["id"], "operator_1");
    }
    for position in ["x", "-1", "999999"] {
        operator.actor.act(&format!("/v1/operator/audit/{position}/erase")).await.problem(404, "not_found");
    }
    red.actor.act("/v1/operator/audit/5/erase").await.problem(403, "forbidden");
}

#[tokio::test]
async fn entries_tell_all_but_secrets_a1() {
    let stage = Stage::new().await;
    let acme = stage.organization("Acme", "owner@acme.test").await;
    let owner = stage.sign_in("owner@acme.test").await;
    let path = format!("/v1/projects/{}/keys:batch", acme.default_project.id);
    let batch = json!({ "keys": [
        { "name": "one", "expires_at": "2031-01-01T00:00:00Z" }, { "name": "two", "role": "admin" },
    ] });
    owner.post(&path, batch).await.expect(201);
    let session =
        owner.get("/v1/me/sessions").await.expect(200).json()["items"][0]["id"].as_str().unwrap().to_owned();
    owner.delete(&format!("/v1/me/sessions/{session}")).await.expect(200);
    let log = entries(&stage);
    let of = |what: &str| log.iter().find(|entry| entry["what"] == what).unwrap();
    assert_eq!(of("operators.create_first")["after"]["name"], "first");
    assert_eq!(of("organizations.create")["after"]["owner_email"], "owner@acme.test");
    assert_eq!(of("organizations.create")["organization"], acme.organization.id.as_str());
    assert_eq!(of("sessions.create")["after"]["email"], "owner@acme.test");
    let keys = &of("keys.create_batch")["after"];
    assert_eq!((&keys[0]["name"], &keys[0]["expires_at"]), (&"one".into(), &"2031-01-01T00:00:00Z".into()));
    assert_eq!(
        (&keys[1]["name"], &keys[1]["role"], &keys[1]["expires_at"]),
        (&"two".into(), &"admin".into(), &Value::Null)
    );
    let revoked = of("sessions.revoke");
    assert!(revoked["before"]["revoked_at"].is_null() && revoked["after"]["revoked_at"].is_string());
}

#[tokio::test]
async fn page_of_long_entries_ends_before_it_has_too_many_bytes() {
    let stage = Stage::new().await;
    let long = "x".repeat(FOUND_BYTES_MAX / 2);
    for _ in 0..3 {
        let caller = Caller::Operator { token: 1, name: "first".to_owned() };
        let permit =
            authorize(&caller, Demand::Operator(OperatorAct::Audit), &Standing::Installation).unwrap();
        let long = long.clone();
        let decide = move |_: &dyn View, _: &mut Ctx| {
            let entry = AuditEntry::new(&permit, None, "note.long", ("test", String::new())).after(&long);
            Ok::<_, StoreError>(Write::new(entry, ()))
        };
        stage.control.store().write(decide).await.unwrap();
    }
    let reader = operator(&stage);
    let page = reader.page("action=note.").await;
    assert_eq!((page.items.len(), page.next.is_some()), (2, true));
    assert_eq!(reader.all("action=note.").await.len(), 3);
    assert_eq!(reader.export("").await.len(), 4);
}
