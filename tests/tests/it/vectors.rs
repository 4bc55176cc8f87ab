//! The reader against tests/vectors: what it accepts says what the vectors say, and what it refuses it refuses
//! for the field and the fault they name. tests/stranger does the same in another language.

#![expect(clippy::unwrap_used, reason = "a vector that cannot be read has failed")]

use ed25519_dalek::VerifyingKey;
use latchkey_core::key::{KeyError, PrefixError};
use latchkey_core::{
    Generation, GenerationSecret, IdentityId, ImportedDigest, KeyDigest, KeyId, KeyText, MintSecret,
    OrganizationNumber, Pepper, PlainKey, Prefix, ProjectNumber, ResourceId, ResourceType, SessionId,
    UnixMillis, UnixSeconds, base62,
};
use latchkey_snapshot::head::Rank;
use latchkey_snapshot::manifest::TokenKey;
use latchkey_snapshot::page::bucket_count;
use latchkey_snapshot::*;
use latchkey_vectors::describe::{self, wide};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Prefixes longer than this are cut at this many places, evenly spread, instead of at every byte.
const CUTS_MAX: usize = 400;

pub(crate) fn file(path: &str) -> Value {
    let path = format!("{}/vectors/{path}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_str().map_or_else(|| value.as_u64().unwrap(), |text| text.parse().unwrap())
}

pub(crate) fn small(value: &Value) -> u32 {
    number(value).try_into().unwrap()
}

pub(crate) fn unhex(value: &Value) -> Vec<u8> {
    let digits = text(value).as_bytes();
    assert!(digits.len().is_multiple_of(2));
    let nibble = |digit: u8| char::from(digit).to_digit(16).unwrap() as u8;
    digits.chunks(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}

pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    unhex(value).try_into().unwrap()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn kind(value: &Value) -> Kind {
    Kind::from_byte(small(value) as u8).unwrap()
}

fn case_bytes(case: &Value) -> Vec<u8> {
    let zeros = case.get("zeros_after").map_or(0, number);
    let mut bytes = unhex(&case["bytes"]);
    bytes.resize(bytes.len() + zeros as usize, 0);
    bytes
}

/// What a reader makes of bytes: what they say, or why they are refused.
type Verdict = Result<Value, Value>;

/// Runs every case of a file, and every cut and extension of what is accepted.
fn run(path: &str, object: &str, read: impl Fn(&Value, &[u8]) -> Verdict) {
    let file = file(path);
    let (mut accepted, mut refused) = (0, 0);
    for case in list(&file["cases"]) {
        let name = format!("{object}: {}", text(&case["name"]));
        let bytes = case_bytes(case);
        let verdict = read(case, &bytes);
        if let Some(why) = case.get("refused") {
            assert_eq!(verdict.as_ref(), Err(why), "{name}");
            refused += 1;
        } else {
            assert_eq!(verdict.as_ref(), Ok(&case["accepted"]), "{name}");
            let step = bytes.len().div_ceil(CUTS_MAX);
            for len in (0..bytes.len()).step_by(step) {
                assert!(read(case, &bytes[..len]).is_err(), "{name}, cut to {len} bytes");
            }
            assert!(read(case, &[&bytes[..], &[0]].concat()).is_err(), "{name}, with a byte behind");
            accepted += 1;
        }
    }
    assert!(accepted > 0 && refused > 10, "{path}: {accepted} accepted, {refused} refused");
}

/// The reference a case names, or one to the bytes themselves. A digest that is not theirs is made of other bytes.
fn reference(case: &Value, bytes: &[u8]) -> ObjectRef {
    let Some(named) = case.get("reference") else { return ObjectRef::to(bytes) };
    // A reference comes out of a verified object only: a node names this one.
    let mut node = b"LKN2\x01\x01\x00".to_vec();
    node.extend([0; 8]);
    node.extend(small(&named["length"]).to_le_bytes());
    node.extend(1u32.to_le_bytes());
    node.extend(unhex(&named["digest"]));
    Node::parse(Kind::NativeKey, &ObjectRef::to(&node), &node).unwrap().pages()[0].object
}

#[test]
fn root_vectors_hold() {
    let file = file("snapshot/root.json");
    let held = |name: &Value| Root::pinned(&unhex(&file["held"][text(name)])).ok();
    run("snapshot/root.json", "root", |case, bytes| {
        let root = match &case["held"] {
            Value::Null => Root::pinned(bytes),
            name => held(name).unwrap().successor(bytes),
        };
        root.map(|root| describe::root(&root)).map_err(|error| describe::root_error(&error))
    });
}

#[test]
fn head_vectors_hold() {
    let file = file("snapshot/head.json");
    run("snapshot/head.json", "head", |case, bytes| {
        let root = Root::pinned(&unhex(&file["roots"][text(&case["root"])])).unwrap();
        let head = UnverifiedHead::parse(bytes).and_then(|head| head.verify(&root));
        head.map(|head| describe::head(&head)).map_err(|error| describe::head_error(&error))
    });
}

#[test]
fn order_vectors_hold() {
    let rank = |value: &Value| Rank {
        root_version: small(&value["root_version"]),
        generation: Generation(number(&value["generation"])),
        as_of: UnixMillis(number(&value["as_of"])),
    };
    for case in list(&file("snapshot/order.json")["cases"]) {
        let same_bytes = text(&case["bytes"]) == "same";
        let outcome = match rank(&case["came"]).cmp(&rank(&case["held"])) {
            std::cmp::Ordering::Greater => "replaced",
            std::cmp::Ordering::Equal if !same_bytes => "stays and is reported",
            _ => "stays",
        };
        assert_eq!(outcome, text(&case["held_one"]), "{}", case["name"]);
    }
}

#[test]
fn manifest_vectors_hold() {
    run("snapshot/manifest.json", "manifest", |case, bytes| {
        let manifest = Manifest::parse(&reference(case, bytes), bytes);
        manifest
            .map(|manifest| describe::manifest(&manifest))
            .map_err(|error| describe::object_error("manifest", &error))
    });
}

#[test]
fn node_vectors_hold() {
    run("snapshot/node.json", "node", |case, bytes| {
        let node = Node::parse(kind(&case["kind"]), &reference(case, bytes), bytes);
        node.map(|node| describe::node(&node)).map_err(|error| describe::object_error("node", &error))
    });
}

#[test]
fn page_vectors_hold() {
    run("snapshot/page.json", "page", |case, bytes| {
        let page = Page::parse(kind(&case["kind"]), &reference(case, bytes), bytes.into());
        page.map(|page| entries(&page, case)).map_err(|error| describe::object_error("page", &error))
    });
    for count in list(&file("snapshot/page.json")["bucket_counts"]) {
        assert_eq!(bucket_count(number(&count["records"]) as usize), small(&count["buckets"]));
    }
}

/// What the page says of the tags that the case lists.
fn entries(page: &Page, case: &Value) -> Value {
    let asked = case.get("accepted").map_or(&[][..], |accepted| list(&accepted["entries"]));
    let answer = |asked: &Value| {
        let query = Query {
            kind: page.kind(),
            place: 0,
            bucket: small(&asked["bucket_hash"]),
            tag: array(&asked["tag"]),
        };
        let found = page.find(&query).unwrap();
        let mut entry = describe::entry(page, &found);
        if let Some(narrowing) = page.narrowing(&found) {
            entry["allowed"] = describe::allowed(&narrowing);
        }
        entry["tag"] = asked["tag"].clone();
        entry["bucket_hash"] = asked["bucket_hash"].clone();
        entry
    };
    json!({ "records": page.records(), "entries": asked.iter().map(answer).collect::<Vec<_>>() })
}

#[test]
fn names_vectors_hold() {
    run("snapshot/names.json", "names", |case, bytes| {
        let names = Names::parse(kind(&case["kind"]), &reference(case, bytes), bytes);
        names.map(|names| describe::names(&names)).map_err(|error| describe::object_error("names", &error))
    });
}

#[test]
fn delta_vectors_hold() {
    run("snapshot/delta.json", "delta", |case, bytes| {
        let named = reference(case, bytes);
        let alone = Removals::parse(&named, bytes);
        let delta = Delta::parse(&named, bytes);
        match (case.get("alone"), &alone) {
            // What refuses is read as it is of the whole, whatever is wrong behind it.
            (Some(Value::Null), Err(why)) => assert_eq!(Some(why), delta.as_ref().err(), "{}", case["name"]),
            (Some(said), Ok(removals)) => assert_eq!(describe::removals(removals), *said, "{}", case["name"]),
            (Some(_), _) => panic!("{}: {alone:?}", case["name"]),
            (None, _) => assert!(alone.is_ok() || delta.is_err(), "{}", case["name"]),
        }
        delta.map(|delta| describe::delta(&delta)).map_err(|error| describe::object_error("delta", &error))
    });
}

/// The objects of a file by digest.
pub(crate) fn by_digest(objects: &Value) -> HashMap<ObjectDigest, Vec<u8>> {
    list(objects).iter().map(unhex).map(|bytes| (ObjectDigest::of(&bytes), bytes)).collect()
}

/// The deltas that a tip leads to, the oldest first.
fn deltas(tip: &Value, objects: &HashMap<ObjectDigest, Vec<u8>>) -> Vec<Delta> {
    let mut next = tip.get("digest").map(|digest| ObjectDigest::parse_hex(text(digest)).unwrap());
    let mut chain = Vec::new();
    while let Some(digest) = next {
        let bytes = &objects[&digest];
        let delta = Delta::parse(&ObjectRef::to(bytes), bytes).unwrap();
        next = delta.removals.parent.map(|parent| parent.digest());
        chain.push(delta);
    }
    chain.reverse();
    chain
}

#[test]
fn chain_vectors_hold() {
    let file = file("snapshot/chain.json");
    let pepper = Pepper::new(array(&file["pepper"]));
    let (manifests, all) = (by_digest(&file["manifests"]), by_digest(&file["deltas"]));
    for case in list(&file["cases"]) {
        let named = if case["by"] == "previous" { &case["previous"] } else { case };
        let bytes = &manifests[&ObjectDigest::parse_hex(text(&named["manifest"]["digest"])).unwrap()];
        let base = ObjectRef::to(bytes);
        let manifest = Manifest::parse(&base, bytes).unwrap();
        let snapshot = Snapshot { manifest, objects: by_digest(&file["objects"]) };
        let deltas = deltas(&named["tip"], &all);
        let removals: Vec<&Removals> = deltas.iter().map(|delta| &delta.removals).collect();
        let statement = (Installation(array(&file["installation"])), Generation(number(&case["generation"])));
        let whole = chain::check(statement, &base, &snapshot.manifest, &removals);
        let why = whole.err().map(ChainError::as_str);
        let hold = snapshot.manifest.canaries.iter().all(|canary| {
            let (found, _) = snapshot.ask(&deltas, &canary.query);
            canary.holds(found.as_ref())
        });
        let why = why.or((!hold).then_some("canary"));
        let refused = why.map(|why| json!({ "object": "chain", "reason": why }));
        assert_eq!(refused.as_ref(), case.get("refused"), "{}", case["name"]);
        if refused.is_none() {
            let begun = deltas.iter().fold(snapshot.manifest.exceptions.clone(), |in_force, delta| {
                in_force.plus(&delta.removals.begun).minus(&delta.lifted)
            });
            let ask = |asked: &Value| match kind(&asked["kind"]) {
                Kind::ProjectNames | Kind::OrganizationNames => snapshot.ask_names(&deltas, asked),
                _ => snapshot.ask(&deltas, &query(&pepper, asked)).1,
            };
            let known = list(&file["found"]);
            let answer = |asked: &Value| known.iter().position(|known| *known == ask(asked));
            let said = json!({
                "deltas": deltas.len(), "exceptions": describe::exceptions(&begun),
                "answers": list(&file["questions"]).iter().map(answer).collect::<Vec<_>>(),
            });
            assert_eq!(said, case["accepted"], "{}", case["name"]);
        }
    }
}

/// The snapshot of a file: its manifest, and its objects by digest.
struct Snapshot {
    manifest: Manifest,
    objects: HashMap<ObjectDigest, Vec<u8>>,
}

impl Snapshot {
    fn of(file: &Value) -> Self {
        let bytes = unhex(&file["manifest"]);
        Self {
            manifest: Manifest::parse(&ObjectRef::to(&bytes), &bytes).unwrap(),
            objects: by_digest(&file["objects"]),
        }
    }

    /// What the snapshot and these deltas over it say of a record, and how the vectors write it.
    fn ask(&self, deltas: &[Delta], query: &Query) -> (Option<Entry>, Value) {
        for delta in deltas.iter().rev() {
            match delta.find(query) {
                Found::Here(page, entry) => return (Some(entry), describe::entry(page, &entry)),
                Found::Gone => return (None, Value::Null),
                Found::Unknown => {}
            }
        }
        let page = self.page(query.kind, query.place);
        let page = page.map(|(reference, bytes)| Page::parse(query.kind, &reference, bytes.into()).unwrap());
        let found = page.as_ref().and_then(|page| Some((page, page.find(query)?)));
        found.map_or((None, Value::Null), |(page, entry)| (Some(entry), describe::entry(page, &entry)))
    }

    fn ask_names(&self, deltas: &[Delta], asked: &Value) -> Value {
        let (kind, number) = (kind(&asked["kind"]), small(&asked["number"]));
        let newest = deltas.iter().rev();
        let said = match kind {
            Kind::ProjectNames => newest
                .filter_map(|delta| delta.project_names(ProjectNumber(number)))
                .map(describe::project_names)
                .next(),
            _ => newest
                .filter_map(|delta| delta.organization_names(OrganizationNumber(number)))
                .map(describe::organization_names)
                .next(),
        };
        said.unwrap_or_else(|| self.names(kind, number).into())
    }

    fn names(&self, kind: Kind, number: u32) -> Option<Value> {
        let (reference, bytes) = self.page(kind, Query::names_place(number))?;
        let names = Names::parse(kind, &reference, bytes).unwrap();
        let project = names.project(ProjectNumber(number)).map(describe::project_names);
        project.or_else(|| names.organization(OrganizationNumber(number)).map(describe::organization_names))
    }

    fn page(&self, kind: Kind, place: u64) -> Option<(ObjectRef, &[u8])> {
        let section = self.manifest.section(kind)?;
        let node = section.nodes.iter().rfind(|node| node.first_place <= place)?.object;
        let node = Node::parse(kind, &node, &self.objects[&node.digest()]).unwrap();
        let page = node.pages().iter().rfind(|page| page.first_place <= place)?.object;
        Some((page, &self.objects[&page.digest()]))
    }
}

#[test]
fn lookup_vectors_hold() {
    let file = file("snapshot/lookup.json");
    let snapshot = Snapshot::of(&file);
    let pepper = Pepper::new(array(&file["pepper"]));
    assert_eq!(hex(&pepper.id()), text(&file["pepper_id"]));
    assert_eq!(snapshot.manifest.pepper_id, pepper.id());
    for case in list(&file["records"]) {
        let query = query(&pepper, &case["asked"]);
        let page = snapshot.page(query.kind, query.place);
        let (_, found) = snapshot.ask(&[], &query);
        let got = json!({
            "name": case["name"], "asked": case["asked"], "tag": hex(&query.tag), "place": wide(query.place),
            "bucket_hash": query.bucket, "page": page.map(|(reference, _)| reference.digest().to_string()),
            "found": found,
        });
        assert_eq!(got, *case);
    }
}

fn query(pepper: &Pepper, asked: &Value) -> Query {
    match kind(&asked["kind"]) {
        Kind::NativeKey => {
            let id = KeyId::parse(text(&asked["id"]).as_bytes()).unwrap();
            Query::native_key(pepper, id, &KeyDigest(array(&asked["digest"])))
        }
        Kind::Resource => {
            let resource = ResourceType::from_byte(small(&asked["type"]) as u8).unwrap();
            let project = ProjectNumber(small(&asked["project"]));
            Query::resource(pepper, project, resource, ResourceId::parse(text(&asked["id"])).unwrap())
        }
        Kind::ImportedKey => {
            Query::imported_key(pepper, &ImportedDigest::of(text(&asked["text"]).as_bytes()))
        }
        Kind::Membership => {
            let identity = IdentityId::parse(text(&asked["identity"])).unwrap();
            Query::membership(pepper, &identity, OrganizationNumber(small(&asked["organization"])))
        }
        Kind::Collaboration => {
            let identity = IdentityId::parse(text(&asked["identity"])).unwrap();
            Query::collaboration(pepper, &identity, ProjectNumber(small(&asked["project"])))
        }
        Kind::EndedSession => {
            Query::ended_session(pepper, &SessionId::parse(text(&asked["session"])).unwrap())
        }
        _ => Query::project_reference(pepper, text(&asked["text"])),
    }
}

#[test]
fn names_are_looked_up_as_the_vectors_say() {
    let file = file("snapshot/lookup.json");
    let snapshot = Snapshot::of(&file);
    for case in list(&file["names"]) {
        let (kind, number) = (kind(&case["asked"]["kind"]), small(&case["asked"]["number"]));
        let place = Query::names_place(number);
        let page = snapshot.page(kind, place);
        let got = json!({
            "asked": case["asked"], "place": wide(place),
            "page": page.map(|(reference, _)| reference.digest().to_string()),
            "found": snapshot.names(kind, number),
        });
        assert_eq!(got, *case);
    }
}

#[test]
fn session_token_vectors_hold() {
    let file = file("session-token.json");
    let installation = Installation(array(&file["installation"]));
    let key = |key: &Value| TokenKey {
        public: VerifyingKey::from_bytes(&array(&key["public"])).unwrap(),
        not_before: UnixSeconds(number(&key["not_before"])),
        not_after: UnixSeconds(number(&key["not_after"])),
    };
    let keys: Vec<TokenKey> = list(&file["keys"]).iter().map(key).collect();
    for case in list(&file["cases"]) {
        let token = UnverifiedToken::parse(text(&case["text"]).as_bytes())
            .and_then(|token| token.verify(&installation, &keys, UnixMillis(number(&case["now"]))));
        let said = token.as_ref().ok().map(describe::token);
        let why = token.err().map(describe::token_error);
        assert_eq!(json!([why, said]), json!([case["refused"], case["accepted"]]), "{}", case["name"]);
    }
}

#[test]
fn key_text_vectors_hold() {
    let file = file("key-format.json");
    let mint = MintSecret::new(array(&file["mint_secret"]));
    for case in list(&file["texts"]) {
        let bytes = unhex(&case["text"]);
        let verdict = KeyText::parse(&bytes, &Prefix::parse(text(&case["prefix"])).unwrap());
        let why = verdict.as_ref().err().map(|error| match error {
            KeyError::Length => "length",
            KeyError::Checksum => "checksum",
            KeyError::Prefix => "prefix",
            KeyError::Character => "character",
            KeyError::Id => "id",
        });
        let said = verdict.as_ref().ok().map(|key| {
            json!({
                "id": key.id().to_string(), "hint": key.id().hint(), "digest": hex(&key.digest().0),
                "minted": key.mint_check_matches(&mint),
            })
        });
        assert_eq!(json!([why, said]), json!([case["refused"], case["accepted"]]), "{}", case["name"]);
    }
    for case in list(&file["keys"]) {
        let id = KeyId::from_number(number(&case["id_number"]));
        let secret = text(&case["secret"]).as_bytes().try_into().unwrap();
        let key = PlainKey::assemble(&Prefix::parse(text(&case["prefix"])).unwrap(), id, secret, &mint);
        assert_eq!(key.expose(), text(&case["text"]));
        assert_eq!(hex(&key.digest().0), text(&case["digest"]));
        assert_eq!(
            (key.id().to_string().as_str(), key.id().hint()),
            (text(&case["id"]), small(&case["hint"]) as u16)
        );
    }
}

#[test]
fn base62_prefix_hint_and_token_vectors_hold() {
    let file = file("key-format.json");
    for case in list(&file["base62"]) {
        assert_eq!(
            base62::decode(text(&case["text"]).as_bytes()).map(wide),
            option(&case["number"]),
            "{case}"
        );
    }
    for case in list(&file["prefixes"]) {
        let why = Prefix::parse(text(&case["text"])).err().map(|error| match error {
            PrefixError::Length => "length",
            PrefixError::Character(_) => "character",
            PrefixError::Underscore => "underscore",
            PrefixError::Reserved => "reserved",
        });
        assert_eq!(why.map(Value::from), option(&case["refused"]), "{case}");
    }
    for case in list(&file["hints"]) {
        let hint = OrganizationNumber(small(&case["number"])).hint();
        assert_eq!(u64::from(hint), number(&case["hint"]));
    }
    let secret: GenerationSecret = MintSecret::new(array(&file["mint_secret"])).generation_secret();
    for case in list(&file["generation_tokens"]) {
        let generation = Generation::from_token(text(&case["token"]).as_bytes(), &secret);
        assert_eq!(generation.map(|generation| wide(generation.0)), option(&case["generation"]), "{case}");
    }
}

fn option(value: &Value) -> Option<Value> {
    (!value.is_null()).then(|| value.clone())
}
