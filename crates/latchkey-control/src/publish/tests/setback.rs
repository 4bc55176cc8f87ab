//! Restores over histories: whoever was refused before stays refused, until an operator says otherwise.

use super::stage::{NOW, Stage, awaited, key, organization, owner, pepper, quick};
use crate::app::ask::{Ask, Asker};
use crate::app::restore;
use crate::iam::narrowing::{ModelPattern, ResourcePattern};
use crate::iam::usage::day_of;
use crate::iam::{
    Amount, Budget, BudgetPeriod, BudgetScope, Collaboration, HeldReason, Key, KeyProof, Membership, Name,
    Narrowing, OperatorToken, PlainToken, Project, Resource, ResourceDetail, Session, TokenDigest, TokenKind,
};
use crate::outside::Clock;
use crate::publish::{
    Beside, Bookmark, Canaries, ChainLimits, DirectorySink, DirectorySource, Gap, Publisher, Rebuilt,
    Schedule, Setback, Sink, Snapshot,
};
use crate::store::backup::{self, Backup, BackupSeal, Floors};
use crate::store::{Change, Ctx, Store, View};
use crate::tlog::CheckpointSigner;
use latchkey_api::restore::{ConfirmRestore, LoggedRestore};
use latchkey_core::{
    Dice, ExpiryMinute, Generation, IdentityId, ImportedDigest, KeyId, Matching, OrganizationNumber, Prefix,
    ProjectNumber, ResourceId, ResourceType, Role, SessionId, UnixMillis, UserId,
};
use latchkey_snapshot::page::KeyState;
use latchkey_snapshot::{Canary, InlineSubject, Query};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const ORGANIZATION: OrganizationNumber = OrganizationNumber(1);
const PROJECT: ProjectNumber = ProjectNumber(1);
const KEYS: u64 = 4;
const PEOPLE: u8 = 3;

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    Key(u64, KeyStep),
    Member(u8, Option<Role>),
    Collaborator(u8, Option<(Role, bool, Option<u32>)>),
    Suspend(bool),
    Archive(bool),
    Externals(bool),
    EndSession(u8),
}

#[derive(Debug, Clone)]
enum KeyStep {
    Revoke,
    Disable(bool),
    Expire(Option<u32>),
    Role(Role),
}

fn step() -> impl Strategy<Value = Step> {
    let role = || prop_oneof![Just(Role::Member), Just(Role::Admin)];
    let minute = || proptest::option::of(1u32..4);
    let key = prop_oneof![
        1 => Just(KeyStep::Revoke),
        2 => any::<bool>().prop_map(KeyStep::Disable),
        2 => minute().prop_map(KeyStep::Expire),
        2 => role().prop_map(KeyStep::Role),
    ];
    let part = (role(), any::<bool>(), minute());
    prop_oneof![
        6 => (0..KEYS, key).prop_map(|(n, step)| Step::Key(n, step)),
        3 => (0..PEOPLE, proptest::option::of(role())).prop_map(|(n, role)| Step::Member(n, role)),
        3 => (0..PEOPLE, proptest::option::of(part)).prop_map(|(n, part)| Step::Collaborator(n, part)),
        1 => any::<bool>().prop_map(Step::Suspend),
        1 => any::<bool>().prop_map(Step::Archive),
        1 => any::<bool>().prop_map(Step::Externals),
        1 => (0..PEOPLE).prop_map(Step::EndSession),
    ]
}

fn identity(n: u8) -> IdentityId {
    IdentityId::generate(&mut Dice::from_seed(&[100 + n; 32]))
}

fn user(n: u8) -> UserId {
    if n == 0 { owner() } else { UserId::generate(&mut Dice::from_seed(&[50 + n; 32])) }
}

fn service_session(n: u8) -> Session {
    Session {
        id: SessionId::generate(&mut Dice::from_seed(&[150 + n; 32])),
        digest: TokenDigest([n; 32]),
        user: user(n),
        identity: identity(n),
        is_service: true,
        created_at: NOW,
        expires_at: NOW.plus_ms(1 << 40),
        revoked_at: None,
    }
}

fn minute(after: u32) -> ExpiryMinute {
    ExpiryMinute::floor(NOW.plus_ms(u64::from(after) * 86_400_000).seconds()).unwrap()
}

/// What the step changes; nothing if it does not apply.
fn changes(store: &Store, step: &Step) -> Vec<Change> {
    let view = store.read().unwrap();
    match step {
        Step::Key(n, step) => {
            let key = view.key(key(*n).id).unwrap().unwrap();
            if key.revoked_at.is_some() {
                return Vec::new();
            }
            vec![Change::Key(match step {
                KeyStep::Revoke => Key { revoked_at: Some(NOW), ..key },
                KeyStep::Disable(is) => Key { disabled_at: is.then_some(NOW), ..key },
                KeyStep::Expire(after) => Key { expires: after.map(minute), ..key },
                KeyStep::Role(role) => Key { role: *role, ..key },
            })]
        }
        Step::Member(n, Some(role)) => vec![Change::Membership(Membership {
            organization: ORGANIZATION,
            user: user(*n),
            role: *role,
            identity: identity(*n),
            joined_at: NOW,
        })],
        Step::Member(n, None) => vec![Change::RemoveMembership(ORGANIZATION, user(*n))],
        Step::Collaborator(n, Some((role, is_external, ends))) => {
            vec![Change::Collaboration(Collaboration {
                project: PROJECT,
                user: user(*n),
                role: *role,
                is_external: *is_external,
                identity: identity(*n),
                added_at: NOW,
                ends_at: ends.filter(|_| *is_external).map(minute),
            })]
        }
        Step::Collaborator(n, None) => vec![Change::RemoveCollaboration(PROJECT, user(*n))],
        Step::Suspend(is) => vec![Change::Organization(organization(*is))],
        Step::Archive(is) => {
            let now = view.project(PROJECT).unwrap().unwrap();
            vec![Change::Project(Project { archived_at: is.then_some(NOW), ..now })]
        }
        Step::Externals(allowed) => {
            let now = view.project(PROJECT).unwrap().unwrap();
            vec![Change::Project(Project { allows_external: *allowed, ..now })]
        }
        Step::EndSession(n) => {
            vec![Change::Session(Session { revoked_at: Some(NOW), ..service_session(*n) })]
        }
    }
}

/// What an edge accepts of each thing there ever was, as far as it can be compared: 0 is nothing.
fn accepted(published: &Snapshot) -> BTreeMap<String, [u64; 4]> {
    let state = &published.state;
    let mut accepted = BTreeMap::new();
    let is_open = !state.exceptions.suspends(ORGANIZATION) && !state.exceptions.archives(PROJECT);
    let lasts = |expiry: Option<ExpiryMinute>| expiry.map_or(u64::MAX, |expiry| u64::from(expiry.0));
    let found = |query: &Query| {
        let inline = published.revokes_inline(InlineSubject::Tag(query.tag));
        state.find(query).filter(|_| !inline && is_open).map(|(_, entry)| entry)
    };
    for n in 0..KEYS {
        let KeyProof::Native(digest) = key(n).proof else { continue };
        let entry = found(&Query::native_key(&pepper(), key(n).id, &digest));
        let worth = entry.filter(|entry| entry.state == KeyState::Active).map_or([0; 4], |entry| {
            let bits = entry.binding.permissions.bits();
            [1 + entry.binding.role.unwrap() as u64, lasts(entry.expiry), bits as u64, (bits >> 64) as u64]
        });
        accepted.insert(format!("key {n}"), worth);
    }
    for n in 0..PEOPLE {
        let member = found(&Query::membership(&pepper(), &identity(n), ORGANIZATION));
        accepted.insert(
            format!("member {n}"),
            member.map_or([0; 4], |one| [1 + one.binding.role.unwrap() as u64, 0, 0, 0]),
        );
        let part = found(&Query::collaboration(&pepper(), &identity(n), PROJECT));
        let part = part.filter(|one| !(one.is_external && state.exceptions.closes_to_externals(PROJECT)));
        let worth = part.map_or([0; 4], |one| {
            [1 + one.binding.role.unwrap() as u64, lasts(one.expiry), u64::from(one.is_external), 0]
        });
        accepted.insert(format!("part {n}"), worth);
        let ended = state.find(&Query::ended_session(&pepper(), &service_session(n).id)).is_some();
        accepted.insert(format!("session {n}"), [u64::from(!ended), 0, 0, 0]);
    }
    accepted
}

pub(super) fn start(stage: &Stage, folder: &Path) -> Publisher {
    let sink = DirectorySink::open(folder, stage.keyring.subscribe(), 1 << 30).unwrap();
    let sink: Arc<dyn Sink> = Arc::new(sink);
    stage.start_with(vec![sink], quick())
}

pub(super) async fn stated(publisher: &Publisher, generation: Generation) {
    let mut status = publisher.watch();
    let there = status.wait_for(|status| status.sinks[0].statement >= generation);
    let there = awaited(format!("generation {generation} in the sink"), there).await;
    assert!(there.is_ok(), "the publisher ended before generation {generation}: {:?}", publisher.status());
}

pub(super) async fn publish(stage: &Stage, folder: &Path) -> Snapshot {
    let publisher = start(stage, folder);
    // Not borrowed while it is waited for: the store writes there.
    let newest = *stage.store.newest().borrow();
    stated(&publisher, newest).await;
    stopped(stage, publisher).await;
    read(stage, folder)
}

/// Returns once nothing is written any more: a write to the disk that has begun outlives whoever waits for it. The
/// keyring is what everything that publishes holds on to.
pub(super) async fn stopped(stage: &Stage, publisher: Publisher) {
    publisher.stop().await;
    awaited("the publisher to let go of the keyring", stage.keyring.closed()).await;
}

pub(super) fn read(stage: &Stage, folder: &Path) -> Snapshot {
    Snapshot::read(stage.keyring.borrow().roots(), &DirectorySource::new(folder)).unwrap()
}

fn seal() -> BackupSeal {
    BackupSeal::of(&CheckpointSigner::new("test/audit", &[5; 32]).unwrap())
}

pub(super) fn write_backup(store: &Store, path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    backup::write(&store.read().unwrap(), NOW, &seal(), &mut file).unwrap();
}

/// The stage on the restored database, and what is held.
pub(super) async fn restored(stage: &Stage, folder: &Path, published: Option<&Snapshot>) -> (Stage, Setback) {
    let backup = Backup::open(&folder.join("backup"), Some(&seal())).unwrap();
    let generation = published.map_or(Generation(0), |published| published.head.newest_generation());
    let floors = Floors { generation, ..Floors::default() };
    let path = folder.join("restored");
    let above = backup.unpack(&path, &floors).unwrap();
    assert!(above > generation);
    let stage =
        stage.on(Arc::new(Store::open(&path, Arc::new(stage.clock.clone()), super::stage::seeds()).unwrap()));
    let setback = Setback::find(&stage.store.read().unwrap(), &[pepper()], published, NOW).unwrap();
    let facts = LoggedRestore {
        backup_generation: 1,
        backup_made_at: NOW.into(),
        published: None,
        considered: None,
        above_generation: above.0,
        held: setback.held.len(),
        sessions: setback.sessions.len(),
        resources: setback.resources.len(),
        budgets: setback.budgets.len(),
    };
    restore::hold(&stage.store, &facts, setback.clone()).await.unwrap();
    if let Some(published) = published {
        let (generation, as_of) = (published.head.statement.generation, published.head.as_of);
        Gap::keep(&[Gap { generation, as_of, above }], &stage.store).await.unwrap();
        Bookmark { as_of, generation, root_version: 1 }.keep(&stage.store).await.unwrap();
    }
    (stage, setback)
}

async fn populated() -> Stage {
    let stage = Stage::new().await;
    let people = (0..PEOPLE).map(|n| Change::Identity(super::stage::identity_of(n, identity(n), user(n))));
    let sessions = (0..PEOPLE).map(|n| Change::Session(service_session(n)));
    stage.commit(people.chain(sessions).chain((0..KEYS).map(|n| Change::Key(key(n))))).await;
    stage
}

/// That there is no such key, which is wrong.
fn absent(key: &Key) -> Canary {
    let KeyProof::Native(digest) = key.proof else { unreachable!("the stage's keys are native") };
    Canary { query: Query::native_key(&pepper(), key.id, &digest), expected: None }
}

/// Whatever led to the state: made anew from it, the snapshot says the same, in the same bytes.
fn check_rebuilt(stage: &Stage, published: &Snapshot) {
    let view = stage.store.read().unwrap();
    let settings = stage.settings(quick());
    let beside = Beside {
        installation: settings.installation,
        prefix: settings.prefix,
        session_keys: &[],
        edge_keys: &[],
        cors: None,
        rules: &[],
        grace_secs: settings.grace_secs,
        canaries: Canaries::Of(&settings.canaries),
    };
    let rebuilt = Rebuilt::of(&view, pepper(), &beside).unwrap();
    let wrong = [absent(&key(0))];
    let with_wrong =
        Rebuilt::of(&view, pepper(), &Beside { canaries: Canaries::Said(&wrong), ..beside }).unwrap();
    assert_eq!(with_wrong.state.wrong_canaries(), [&wrong[0]]);
    for state in [Some(&published.state), published.previous.as_ref()].into_iter().flatten() {
        assert_eq!(rebuilt.state.contents(), state.contents());
        assert_eq!(rebuilt.state.exceptions, state.exceptions);
        assert_eq!(rebuilt.state.manifest.canaries, state.manifest.canaries);
        assert!(state.wrong_canaries().is_empty());
    }
    if published.state.chain.is_empty() {
        assert_eq!(rebuilt.manifest, published.head.statement.manifest);
    }
}

async fn check_history(before: Vec<Step>, between: Vec<Step>, after: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let stage = populated().await;
    for step in &before {
        stage.commit(changes(&stage.store, step)).await;
    }
    let backup_state = folder.path().join("backup");
    write_backup(&stage.store, &backup_state);
    let sink = folder.path().join("sink");
    let publisher = start(&stage, &sink);
    for step in &between {
        let generation = stage.commit(changes(&stage.store, step)).await;
        stated(&publisher, generation).await;
    }
    stopped(&stage, publisher).await;
    let last = publish(&stage, &sink).await;
    let refused = accepted(&last);
    check_rebuilt(&stage, &last);
    for step in &after {
        // Committed and never published: lost, and no edge ever heard of it.
        stage.commit(changes(&stage.store, step)).await;
    }
    stage.clock.advance_ms(10_000);
    let (stage, setback) = restored(&stage, folder.path(), Some(&last)).await;
    let now = publish(&stage, &sink).await;
    assert!(now.head.rank() > last.head.rank());
    for (what, worth) in accepted(&now) {
        let was = refused[&what];
        let is_less = worth.iter().zip(was).all(|(now, was)| *now <= was);
        assert!(
            worth[0] == 0 || is_less,
            "{what} is worth {worth:?} after the restore and was {was:?}: held are {:?}, published is {:?} after {:?}",
            setback.held,
            now.head,
            last.head
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_was_refused_stays_refused_after_a_restore(
        before in proptest::collection::vec(step(), 0..12),
        between in proptest::collection::vec(step(), 0..12),
        after in proptest::collection::vec(step(), 0..3),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(check_history(before, between, after));
    }
}

/// A project with an external collaborator that lets them in, and the steps by which it was archived and closed to them.
fn archived_and_closed() -> [Vec<Step>; 2] {
    let before = vec![Step::Externals(true), Step::Collaborator(0, Some((Role::Member, true, None)))];
    [before, vec![Step::Archive(true), Step::Externals(false)]]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn project_that_was_archived_and_closed_to_externals_since_stays_both() {
    let [before, between] = archived_and_closed();
    check_history(before, between, Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn project_that_was_archived_and_closed_is_let_go_as_it_was_when_both_are_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let stage = populated().await;
    let [before, between] = archived_and_closed();
    for step in &before {
        stage.commit(changes(&stage.store, step)).await;
    }
    let token = PlainToken::generate(TokenKind::Operator, &mut Dice::from_seed(&[1; 32]));
    let digest = token.digest();
    let operator = OperatorToken { number: 1, name: "test".to_owned(), digest, created_at: NOW };
    stage.commit([Change::OperatorToken(operator)]).await;
    write_backup(&stage.store, &folder.path().join("backup"));
    for step in &between {
        stage.commit(changes(&stage.store, step)).await;
    }
    let last = publish(&stage, &folder.path().join("sink")).await;
    let (stage, setback) = restored(&stage, folder.path(), Some(&last)).await;
    assert_eq!(setback.held.len(), 2, "{:?}", setback.held);
    let project = || stage.store.read().unwrap().project(PROJECT).unwrap().unwrap();
    assert!(project().is_archived() && !project().allows_external);
    let prefix = Prefix::parse("lk").unwrap();
    let asker = Asker::new(token.expose(), &prefix, None).unwrap();
    let body = ConfirmRestore { organization: organization(false).id.to_string(), held: None };
    let confirm =
        move |view: &dyn View, ctx: &mut Ctx| restore::confirm(&Ask::identify(view, ctx.now, &asker)?, &body);
    stage.store.write(confirm).await.unwrap();
    assert!(!project().is_archived() && project().allows_external);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_anything_published_everything_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let stage = populated().await;
    for n in 0..PEOPLE {
        stage.commit(changes(&stage.store, &Step::Member(n, Some(Role::Admin)))).await;
        stage.commit(changes(&stage.store, &Step::Collaborator(n, Some((Role::Member, true, None))))).await;
    }
    write_backup(&stage.store, &folder.path().join("backup"));
    let (stage, setback) = restored(&stage, folder.path(), None).await;
    assert_eq!(setback.held.len(), KEYS as usize + 2 * usize::from(PEOPLE));
    assert!(setback.held.iter().all(|held| held.why == HeldReason::Unknown));
    let now = publish(&stage, &folder.path().join("sink")).await;
    assert!(accepted(&now).values().all(|worth| worth[0] == 0), "{:?}", accepted(&now));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_nothing_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let stage = populated().await;
    stage.commit(changes(&stage.store, &Step::Member(0, Some(Role::Admin)))).await;
    write_backup(&stage.store, &folder.path().join("backup"));
    let last = publish(&stage, &folder.path().join("sink")).await;
    let (stage, setback) = restored(&stage, folder.path(), Some(&last)).await;
    assert!(setback.held.is_empty() && setback.sessions.is_empty(), "{setback:?}");
    stage.clock.advance_ms(10_000);
    let now = publish(&stage, &folder.path().join("sink")).await;
    assert_eq!(accepted(&now), accepted(&last));
}

fn resource(id: &str, deleted_at: Option<UnixMillis>) -> Change {
    Change::Resource(Resource {
        kind: ResourceType::File,
        id: id.to_owned(),
        name: Name::parse(id).unwrap(),
        detail: ResourceDetail::None,
        project: PROJECT,
        created_at: NOW,
        deleted_at,
    })
}

fn budget(scope: BudgetScope, requests_max: u64, requests: u64) -> Budget {
    Budget {
        scope,
        requests_max: Some(requests_max),
        cost_micros_max: None,
        period: BudgetPeriod::Day,
        period_day: day_of(NOW),
        spent: Amount { requests, cost_micros: 0 },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resource_that_was_deleted_since_is_deleted_again() {
    let folder = tempfile::tempdir().unwrap();
    let stage = populated().await;
    stage.commit([resource("kept", None), resource("gone", None), resource("long-gone", Some(NOW))]).await;
    write_backup(&stage.store, &folder.path().join("backup"));
    stage.commit([resource("gone", Some(NOW))]).await;
    let last = publish(&stage, &folder.path().join("sink")).await;
    let (stage, setback) = restored(&stage, folder.path(), Some(&last)).await;
    assert_eq!(setback.resources, [(ORGANIZATION, ResourceType::File, "gone".to_owned())]);
    stage.clock.advance_ms(10_000);
    let now = publish(&stage, &folder.path().join("sink")).await;
    for (id, is_there) in [("kept", true), ("gone", false), ("long-gone", false)] {
        let id = ResourceId::parse(id).unwrap();
        let query = Query::resource(&pepper(), PROJECT, ResourceType::File, id);
        assert_eq!(now.state.find(&query).is_some(), is_there, "{}", id.as_str());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budget_that_was_used_up_since_is_used_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let stage = populated().await;
    let (whole, part) = (BudgetScope::Organization(ORGANIZATION), BudgetScope::Project(PROJECT));
    let own = BudgetScope::of_key(&key(1));
    let left = [budget(whole, 10, 3), budget(own, 10, 0)];
    stage.commit(left.map(Change::Budget)).await;
    write_backup(&stage.store, &folder.path().join("backup"));
    // The project's was set since: the copy has none.
    let spent = [budget(whole, 10, 10), budget(own, 10, 11), budget(part, 5, 5)];
    stage.commit(spent.map(Change::Budget)).await;
    let last = publish(&stage, &folder.path().join("sink")).await;
    let (stage, setback) = restored(&stage, folder.path(), Some(&last)).await;
    assert!(setback.held.is_empty(), "{:?}", setback.held);
    assert_eq!(setback.budgets, [(ORGANIZATION, whole), (ORGANIZATION, part), (ORGANIZATION, own)]);
    stage.clock.advance_ms(10_000);
    let now = publish(&stage, &folder.path().join("sink")).await;
    assert_eq!(now.state.exceptions, last.state.exceptions);
    let KeyProof::Native(digest) = key(1).proof else { unreachable!("the stage's keys are native") };
    let (_, entry) = now.state.find(&Query::native_key(&pepper(), key(1).id, &digest)).unwrap();
    assert!(entry.is_out_of_budget);
    // In the next period they begin anew, but for the one of which nothing is known.
    stage.clock.advance_ms(86_400_000);
    let view = stage.store.read().unwrap();
    let due = crate::app::budgets::due(&view, stage.clock.now()).unwrap();
    assert_eq!(due, [whole, own]);
}

/// What a chain says beside native keys: keys of other systems, narrowings, resources, budgets, people.
fn running_changes(stage: &Stage) -> Vec<Vec<Change>> {
    let imported = |n: u64| Key {
        id: KeyId::from_number(100 + n),
        family: KeyId::from_number(100 + n),
        proof: KeyProof::Imported(ImportedDigest([n as u8; 32])),
        ..key(n)
    };
    let pattern = |text: &str| ModelPattern { matching: Matching::Prefix, text: text.to_owned() };
    let file =
        ResourcePattern { kind: ResourceType::File, matching: Matching::Exact, text: "one".to_owned() };
    let narrowing = Narrowing {
        models: vec![pattern("llama"), pattern("qwen")],
        resources: vec![file],
        rate_per_minute: Some(60),
        ..Narrowing::default()
    };
    let own = BudgetScope::of_key(&key(2));
    vec![
        vec![
            Change::Key(imported(1)),
            Change::Key(imported(2)),
            resource("one", None),
            resource("two", None),
        ],
        vec![Change::Key(Key { narrowing: narrowing.clone(), ..key(1) })],
        vec![Change::Key(Key { narrowing: Narrowing::default(), revoked_at: Some(NOW), ..imported(1) })],
        vec![Change::Budget(budget(own, 5, 5)), Change::Budget(budget(BudgetScope::Project(PROJECT), 5, 5))],
        vec![resource("two", Some(NOW)), Change::Budget(budget(own, 50, 5))],
        changes(&stage.store, &Step::Member(1, Some(Role::Admin))),
        changes(&stage.store, &Step::Collaborator(2, Some((Role::Member, true, Some(2))))),
        changes(&stage.store, &Step::EndSession(1)),
        vec![Change::Key(Key { narrowing, ..imported(2) }), Change::Project(super::stage::project("beta"))],
    ]
}

#[track_caller]
fn check_running(limits: ChainLimits, is_expected: impl Fn(&Snapshot) -> bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let last = runtime.block_on(async {
        let (folder, stage) = (tempfile::tempdir().unwrap(), populated().await);
        let sink = DirectorySink::open(folder.path(), stage.keyring.subscribe(), 1 << 30).unwrap();
        let publisher = stage.start_with(vec![Arc::new(sink)], Schedule { chain: limits, ..quick() });
        let newest = *stage.store.newest().borrow();
        stated(&publisher, newest).await;
        for changes in running_changes(&stage) {
            let generation = stage.commit(changes).await;
            stated(&publisher, generation).await;
        }
        // A new base arrives when its pages are there; heads come all the time.
        let mut status = publisher.watch();
        let expected = async {
            while !is_expected(&read(&stage, folder.path())) {
                status.changed().await.unwrap();
            }
        };
        awaited("a head over such a base", expected).await;
        stopped(&stage, publisher).await;
        let last = read(&stage, folder.path());
        check_rebuilt(&stage, &last);
        last
    });
    assert!(is_expected(&last), "{:?}", last.head.statement);
}

#[test]
fn base_and_deltas_of_a_running_chain_say_what_a_new_base_would() {
    check_running(ChainLimits::default(), |last| !last.state.chain.is_empty() && last.previous.is_none());
}

#[test]
fn base_before_says_the_same_for_as_long_as_it_is_carried_on() {
    let limits = ChainLimits { base_age_secs: 0, ..ChainLimits::default() };
    check_running(limits, |last| last.previous.is_some());
}
