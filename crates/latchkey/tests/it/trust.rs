//! Keys that are rotated, stolen and revoked under a running server, and what real gates make of it.

use crate::edge::Edge;
use crate::served::{Client, Installation};
use latchkey_core::{Generation, UnixMillis, UnixSeconds};
use latchkey_gate::{AdoptError, HeadRefusal, Health, Outcome};
use latchkey_snapshot::build::{HeadContent, Signer, StatementContent};
use latchkey_snapshot::{
    Head, HeadError, Inline, InlineSubject, Manifest, ObjectRef, Reason, Root, UnverifiedHead,
};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A served installation with two keys that edges let in.
struct Town {
    installation: Installation,
    client: Client,
    project: String,
    keys: [Key; 2],
}

struct Key {
    id: String,
    secret: String,
}

impl Town {
    fn new() -> Self {
        let installation = Installation::new();
        let (token, project) = installation.populate();
        let client = Client::new(&installation.url(), &token);
        let keys = ["first", "second"].map(|name| make_key(&client, &project, name));
        Self { installation, client, project, keys }
    }

    fn edge(&self) -> Edge {
        let mut edge = Edge::deploy(&self.installation, 1, &["pepper"]);
        let keys = self.secrets();
        edge.until(|edge| keys.iter().all(|key| edge.has_snapshot() && edge.lets_in(key)), |_| {});
        edge
    }

    fn secrets(&self) -> [String; 2] {
        [self.keys[0].secret.clone(), self.keys[1].secret.clone()]
    }

    fn signer(&self, line: &str) {
        self.installation.signer(line);
    }

    /// The seed of a signing key, as a thief copies it.
    fn steal(&self, role: &str) -> Signer {
        Signer::from_seed(&self.installation.secret(&format!("keys/{role}")))
    }

    fn revoke_key(&self, key: usize) {
        self.client.post(&format!("/v1/keys/{}/revoke", self.keys[key].id), &json!({}));
    }

    fn published(&self) -> Vec<u8> {
        fs::read(self.installation.path("published/head")).unwrap()
    }

    fn root(&self, version: u32) -> Root {
        let read = |version| fs::read(self.installation.path(&format!("data/roots/{version}"))).unwrap();
        (2..=version).fold(Root::pinned(&read(1)).unwrap(), |root, next| root.successor(&read(next)).unwrap())
    }

    fn head(&self, bytes: &[u8], root_version: u32) -> Head {
        UnverifiedHead::parse(bytes).unwrap().verify(&self.root(root_version)).unwrap()
    }
}

impl Edge {
    fn has_snapshot(&self) -> bool {
        self.status().health != Health::Cold
    }

    fn is_under(&self, root_version: u32) -> bool {
        self.status().root_version == root_version
    }
}

fn make_key(client: &Client, project: &str, name: &str) -> Key {
    let made = client.post(&format!("/v1/projects/{project}/keys"), &json!({ "name": name }));
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    Key { id: text(&made["key"]["id"]), secret: text(&made["secret"]) }
}

/// The statement in a head, as its signers signed it.
fn statement_of(head: &[u8]) -> Vec<u8> {
    let len = usize::from(u16::from_le_bytes([head[16], head[17]]));
    head[18..18 + len].to_vec()
}

fn sign(
    thief: &Signer,
    root_version: u32,
    as_of: UnixMillis,
    statement: &[u8],
    inline: &[Inline],
) -> Vec<u8> {
    HeadContent { root_version, as_of, statement, inline }.sign(&[thief]).unwrap()
}

fn public(signer: &Signer) -> String {
    signer.public().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn planned_rotation_of_head_and_release_makes_no_answer_stale_or_refused() {
    let town = Town::new();
    let (mut edge, [key, _]) = (town.edge(), town.secrets());
    let steps = ["--role head", "--role head --finish", "--role release", "--role release --finish"];
    for (version, line) in (2..).zip(steps) {
        town.signer(&format!("rotate --dir DIR {line}"));
        // Changes go on meanwhile.
        let made = make_key(&town.client, &town.project, "more");
        let arrived = |edge: &mut Edge| edge.is_under(version) && edge.lets_in(&made.secret);
        edge.until(arrived, |edge| assert!(edge.lets_in(&key), "refused during `{line}`"));
    }
    let head = town.head(&town.published(), 5);
    assert_eq!(head.root_version, 5);
    // Whoever is deployed with the first root comes all the way, one root after the other.
    let mut late = town.edge();
    assert!(late.is_under(5) && late.lets_in(&key));
}

#[test]
fn stolen_head_key_counts_for_nothing_where_the_new_root_arrived() {
    let town = Town::new();
    let (mut warm, [key, other]) = (town.edge(), town.secrets());
    let thief = town.steal("head");
    let old = statement_of(&town.published());
    town.revoke_key(0);
    warm.until(|edge| !edge.lets_in(&key), |_| {});
    let revoked_at = warm.status().generation;
    warm.until(|edge| edge.status().generation > revoked_at || edge.status().inline == 0, |_| {});

    // Before the revocation: a cold edge believes within one use-by what a warm one refuses as older.
    let replay = sign(&thief, 1, warm.now(), &old, &[]);
    assert_eq!(warm.take(&replay), Err(HeadRefusal::Older));
    let mut cold = Edge::deploy(&town.installation, 1, &["pepper"]);
    cold.take(&replay).unwrap();
    assert!(matches!(cold.ask(&key).outcome, Outcome::Allow(_)));
    // It can also refuse whatever it likes, everywhere.
    let Outcome::Allow(grant) = warm.ask(&other).outcome else { panic!("the other key is good") };
    let newest = statement_of(&town.published());
    let generation = town.head(&town.published(), 1).statement.generation;
    let project = Inline {
        generation: generation.next(),
        subject: InlineSubject::Project(grant.binding.project),
        reason: Reason::Suspended,
    };
    warm.take(&sign(&thief, 1, warm.now().plus_ms(600), &newest, &[project])).unwrap();
    assert!(!warm.lets_in(&other));

    town.signer(&format!("revoke --dir DIR --public {}", public(&thief)));
    for edge in [&mut warm, &mut cold] {
        edge.until(|edge| edge.is_under(2) && edge.lets_in(&other), |_| {});
        assert!(!edge.lets_in(&key), "what was revoked is back");
    }
    let mut new = Edge::deploy(&town.installation, 2, &["pepper"]);
    let newest = statement_of(&town.published());
    for edge in [&mut warm, &mut cold, &mut new] {
        for root_version in [1, 2] {
            for (statement, inline) in [(&old, &[][..]), (&newest, &[]), (&newest, &[project])] {
                for ahead_ms in [0, 900] {
                    let head = sign(&thief, root_version, edge.now().plus_ms(ahead_ms), statement, inline);
                    let refused = edge.take(&head);
                    assert!(matches!(refused, Err(HeadRefusal::Head(_))), "{refused:?}");
                }
            }
        }
        edge.until(|edge| edge.has_snapshot() && edge.lets_in(&other), |_| {});
        assert!(!edge.lets_in(&key));
    }
}

#[test]
fn stolen_release_key_counts_for_nothing_where_the_new_root_arrived() {
    let town = Town::new();
    let (mut warm, [key, other]) = (town.edge(), town.secrets());
    // The worst case: the thief signs heads as well.
    let (release, thief) = (town.steal("release"), town.steal("head"));
    let old = town.head(&town.published(), 1).statement;
    let object = |reference: ObjectRef| {
        let path = town.installation.path(&format!("published/objects/{}", reference.digest()));
        fs::read(path).unwrap()
    };
    let (manifest, tip) = (object(old.manifest), old.tip.map(object));
    town.revoke_key(0);
    warm.until(|edge| !edge.lets_in(&key), |_| {});

    // A later generation that says what an earlier one said: granted again.
    let far = Generation(old.generation.0 + 1_000);
    let renumber = |mut bytes: Vec<u8>, at: usize| {
        bytes[at..at + 8].copy_from_slice(&far.0.to_le_bytes());
        (ObjectRef::to(&bytes), bytes)
    };
    let forged = match tip {
        // Behind magic, installation, pepper id, base and the generation it begins at; behind magic and installation.
        Some(bytes) => renumber(bytes, 4 + 16 + 8 + 36 + 8),
        None => renumber(manifest, 4 + 16),
    };
    let issued = UnixSeconds(warm.now().seconds().0);
    let statement = StatementContent {
        installation: old.installation,
        generation: far,
        issued,
        use_by: issued.plus_secs(3_600),
        manifest: if old.tip.is_none() { forged.0 } else { old.manifest },
        tip: old.tip.map(|_| forged.0),
        previous: None,
        audit_size: old.audit_size,
        audit_root: old.audit_root,
    };
    let statement = statement.sign(&[&release]).unwrap();
    let slip = |edge: &mut Edge| drop(edge.slipped.insert(forged.0.digest(), forged.1.clone()));
    slip(&mut warm);
    warm.take(&sign(&thief, 1, warm.now(), &statement, &[])).unwrap();
    assert!(matches!(warm.ask(&key).outcome, Outcome::Allow(_)), "the test's forgery is no forgery");

    town.signer(&format!("revoke --dir DIR --public {}", public(&release)));
    warm.until(|edge| edge.is_under(2) && edge.lets_in(&other), |_| {});
    assert!(!warm.lets_in(&key), "a lower generation under a newer root outranks the forgery");
    // The head key is still the thief's: only the statement's signature stands in the way.
    for (root_version, error) in
        [(1, HeadError::RootVersion { named: 1, held: 2 }), (2, HeadError::StatementSignatures)]
    {
        let head = sign(&thief, root_version, warm.now().plus_ms(900), &statement, &[]);
        assert_eq!(warm.take(&head), Err(HeadRefusal::Head(error)));
    }
    assert!(!warm.lets_in(&key) && warm.lets_in(&other));
}

#[test]
fn keys_that_are_worse_are_refused_as_a_whole_and_the_server_goes_on() {
    let town = Town::new();
    let (mut edge, [key, _]) = (town.edge(), town.secrets());
    let data = town.installation.path("data");
    let set_mode = |name: &str, mode: u32| {
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let goes_on = |edge: &mut Edge| {
        let as_of = edge.status().as_of;
        edge.until(|edge| edge.status().as_of > as_of, |edge| assert!(edge.lets_in(&key)));
    };
    set_mode("keys/release", 0o640);
    town.installation.log_says("can be read by others");
    goes_on(&mut edge);
    set_mode("keys/release", 0o600);
    fs::copy(data.join("roots/1"), data.join("roots/2")).unwrap();
    town.installation.log_says("root 2 is refused");
    goes_on(&mut edge);
    fs::remove_file(data.join("roots/2")).unwrap();
    town.signer("key new --role head --out DIR/keys/head-2");
    town.installation.log_says("does not name");
    goes_on(&mut edge);
    fs::remove_file(data.join("keys/head-2")).unwrap();
    let pepper = fs::read(data.join("secrets/pepper")).unwrap();
    fs::write(data.join("secrets/pepper"), format!("{}\n", "07".repeat(32))).unwrap();
    town.installation.log_says("the pepper is another one");
    goes_on(&mut edge);
    fs::write(data.join("secrets/pepper"), pepper).unwrap();
    town.signer("rotate --dir DIR --role head");
    edge.until(|edge| edge.is_under(2), |edge| assert!(edge.lets_in(&key)));
}

#[test]
fn edge_at_the_first_root_comes_to_the_ninth_one_by_one_and_takes_no_other() {
    let town = Town::new();
    let (mut edge, [key, _]) = (town.edge(), town.secrets());
    for _ in 0..4 {
        town.signer("rotate --dir DIR --role head");
        town.signer("rotate --dir DIR --role head --finish");
    }
    let read = |version: u32| fs::read(town.installation.path(&format!("data/roots/{version}"))).unwrap();
    let root = town.root(1);
    for version in [1, 3, 9] {
        assert!(root.successor(&read(version)).is_err(), "root {version} was taken after root 1");
    }
    edge.until(|edge| edge.is_under(9), |_| {});
    assert!(edge.lets_in(&key));
}

#[test]
fn pepper_is_replaced_and_no_key_is() {
    let town = Town::new();
    let [key, other] = town.secrets();
    let mut old = town.edge();
    town.signer("pepper new --dir DIR");
    let mut both = Edge::deploy(&town.installation, 1, &["pepper", "pepper-next"]);
    both.until(|edge| edge.has_snapshot() && edge.lets_in(&key), |_| {});
    let served = both.status().generation;
    town.signer("pepper switch --dir DIR --force");
    // `pepper` is the new one now.
    let mut new = Edge::deploy(&town.installation, 1, &["pepper"]);
    both.until(
        |_| new.look().is_ok() && new.has_snapshot() && new.lets_in(&key),
        |edge| assert!(edge.lets_in(&key) && edge.lets_in(&other), "refused during the switch"),
    );
    assert!(both.status().generation >= served);
    // The one that was left behind says why, serves what it has, and shows its age.
    let left_behind = |edge: &mut Edge| matches!(edge.status().refused_manifest, Some(AdoptError::Pepper(_)));
    old.until(left_behind, |_| {});
    old.ahead_ms = 10_000;
    let verdict = old.ask(&key);
    assert!(matches!(verdict.outcome, Outcome::Allow(_)));
    assert!(verdict.standing.unwrap().stale);
    old.ahead_ms = 1_000_000;
    let refusal = old.refusal(&key);
    assert!(matches!(refusal, latchkey_gate::Refusal::Unavailable(_)), "{refusal:?}");

    town.signer("pepper finish --dir DIR --force");
    town.revoke_key(0);
    for edge in [&mut both, &mut new] {
        edge.until(|edge| !edge.lets_in(&key), |edge| assert!(edge.lets_in(&other)));
    }
    let made = make_key(&town.client, &town.project, "under the new pepper");
    new.until(|edge| edge.lets_in(&made.secret), |_| {});
}

#[test]
fn token_of_a_stolen_session_key_is_refused_and_an_honest_session_gets_another() {
    let town = Town::new();
    let mut edge = town.edge();
    let token = |town: &Town| {
        let made = town.client.post("/v1/me/token", &json!({}));
        made["token"].as_str().unwrap().to_owned()
    };
    let before = token(&town);
    edge.until(|edge| edge.knows(&before), |_| {});
    // Overlap: both are published, the older one goes on signing for a minute.
    town.signer("rotate --dir DIR --role session");
    edge.until(|_| session_keys(&town).len() == 2, |edge| assert!(edge.knows(&before)));
    assert!(edge.knows(&token(&town)));
    let stolen = public(&town.steal("session"));
    town.signer(&format!("revoke --dir DIR --public {stolen}"));
    edge.until(|edge| !edge.knows(&before), |_| {});
    assert!(edge.is_under(1), "no root names a session key");
    edge.until(|edge| edge.knows(&token(&town)), |_| {});
    assert!(!edge.knows(&before));
}

/// The session keys that the published manifest names.
fn session_keys(town: &Town) -> Vec<[u8; 32]> {
    let manifest = town.head(&town.published(), 1).statement.manifest;
    let path = town.installation.path(&format!("published/objects/{}", manifest.digest()));
    let manifest = Manifest::parse(&manifest, &fs::read(path).unwrap()).unwrap();
    manifest.session_keys.iter().map(|key| key.public.to_bytes()).collect()
}
