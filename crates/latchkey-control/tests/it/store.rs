//! The store by itself: group commit, crashes, bad files, the outbox.

use latchkey_control::iam::{Actor, Contact, Email, Permit, User, authorize_first_operator};
use latchkey_control::store::{AuditEntry, AuditView, Ctx, Effect, Store, StoreError, Touched, View, Write};
use latchkey_core::{Generation, Role, UserId};
use latchkey_testkit::{ForgetfulDisk, ManualClock, SeededSeeds, Stage, StageConfig};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(path, Arc::new(ManualClock::default()), Arc::new(SeededSeeds::new(1)))
}

fn on(disk: &ForgetfulDisk) -> Result<Store, StoreError> {
    Store::open_on(disk.clone(), Arc::new(ManualClock::default()), Arc::new(SeededSeeds::new(9)))
}

fn permit() -> Permit {
    let permit = authorize_first_operator(0).unwrap();
    assert_eq!(permit.actor(), Actor::Installation);
    permit
}

/// A write that changes nothing but the audit log.
fn note(_: &dyn View, _: &mut Ctx) -> Result<Write<()>, StoreError> {
    Ok(Write::new(AuditEntry::new(&permit(), None, "note", ("test", String::new())), ()))
}

fn generation(store: &Store) -> Generation {
    store.read().unwrap().generation().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_of_many_writers_gets_a_generation_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = Arc::new(open(&path).unwrap());
    let tasks: Vec<_> = (0..500)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.write(note).await.unwrap().generation.0 })
        })
        .collect();
    let mut seen = BTreeSet::new();
    for task in tasks {
        seen.insert(task.await.unwrap());
    }
    assert_eq!(seen, (1..=500).collect());
    assert_eq!(*store.newest().borrow(), Generation(500));
    drop(store);
    assert_eq!(generation(&open(&path).unwrap()), Generation(500));
}

#[tokio::test]
async fn acknowledged_write_survives_a_power_loss() {
    let disk = ForgetfulDisk::default();
    let store = on(&disk).unwrap();
    let mut dice = latchkey_core::Dice::from_seed(&[3; 32]);
    for number in 1..=12 {
        let acknowledged = store.write(note).await.unwrap().generation;
        assert_eq!(acknowledged, Generation(number));
        let nothing_more = disk.after_power_loss(|| false);
        let some_more = disk.after_power_loss(|| dice.bytes::<1>()[0] & 1 == 1);
        for after in [nothing_more, some_more] {
            let again = on(&after).unwrap();
            assert_eq!(generation(&again), acknowledged);
            assert_eq!(again.read().unwrap().audit_checkpoint().unwrap().size, number);
        }
    }
}

#[tokio::test]
async fn write_is_not_acknowledged_by_a_disk_that_does_not_sync() {
    let disk = ForgetfulDisk::default();
    let store = on(&disk).unwrap();
    store.write(note).await.unwrap();
    disk.refuse_syncs();
    assert!(matches!(store.write(note).await, Err(StoreError::Engine(_))));
    assert!(store.write(note).await.is_err());
    assert_eq!(*store.newest().borrow(), Generation(1));
    assert_eq!(generation(&on(&disk.after_power_loss(|| false)).unwrap()), Generation(1));
}

#[tokio::test]
async fn panic_in_a_use_case_kills_nobody_else() {
    let store = Arc::new(open(&tempfile::tempdir().unwrap().path().join("s")).unwrap());
    let panics = |_: &dyn View, _: &mut Ctx| -> Result<Write<()>, StoreError> { panic!("on purpose") };
    let (bad, good) = tokio::join!(store.write(panics), store.write(note));
    assert!(matches!(bad, Err(StoreError::Panicked)));
    assert_eq!(good.unwrap().generation, Generation(1));
    assert_eq!(store.write(note).await.unwrap().generation, Generation(2));
}

#[tokio::test]
async fn write_that_would_take_what_is_anothers_fails_alone() {
    let store = open(&tempfile::tempdir().unwrap().path().join("s")).unwrap();
    let add = |_: &dyn View, ctx: &mut Ctx| -> Result<Write<()>, StoreError> {
        let email = Email::parse("ada@example.test").unwrap();
        let contact = Contact::Person(email);
        let user = User { id: UserId::generate(&mut ctx.dice), contact, created_at: ctx.now };
        Ok(Write::new(AuditEntry::new(&permit(), None, "add", ("test", String::new())), ()).put(user))
    };
    store.write(add).await.unwrap();
    let (before, bad, after) = tokio::join!(store.write(note), store.write(add), store.write(note));
    assert!(matches!(bad, Err(StoreError::Clash("user_emails"))));
    let generations = BTreeSet::from([before.unwrap().generation.0, after.unwrap().generation.0]);
    assert_eq!(generations, BTreeSet::from([2, 3]));
    assert_eq!(store.read().unwrap().audit_checkpoint().unwrap().size, 3);
}

#[tokio::test]
async fn refused_use_case_leaves_nothing() {
    let store = open(&tempfile::tempdir().unwrap().path().join("s")).unwrap();
    let refuses =
        |_: &dyn View, _: &mut Ctx| -> Result<Write<()>, StoreError> { Err(StoreError::Corrupt("x")) };
    assert!(store.write(refuses).await.is_err());
    let view = store.read().unwrap();
    assert_eq!(view.generation().unwrap(), Generation(0));
    assert_eq!(view.audit_checkpoint().unwrap().size, 0);
}

#[tokio::test]
async fn read_view_stays_as_it_was() {
    let store = open(&tempfile::tempdir().unwrap().path().join("s")).unwrap();
    let view = store.read().unwrap();
    store.write(note).await.unwrap();
    assert_eq!(view.generation().unwrap(), Generation(0));
    assert_eq!(generation(&store), Generation(1));
}

#[tokio::test]
async fn file_that_is_not_ours_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "these are my notes, and no database".repeat(500)).unwrap();
    assert!(matches!(open(&text), Err(StoreError::NotOurs)), "{:?}", open(&text).err());
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("these are my notes"));
    let path = folder.path().join("store");
    let store = open(&path).unwrap();
    assert!(matches!(open(&path), Err(StoreError::Locked)));
    drop(store);
    open(&path).unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    open(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn outbox_says_what_changed_and_which_way() {
    let stage = Stage::set(StageConfig::default()).await;
    let acme = stage.organization("Acme", "owner@acme.test").await;
    let owner = stage.sign_in("owner@acme.test").await;
    let start = stage.control.check_ready().unwrap();
    let key = stage.key(&owner, &acme.default_project.id, Role::Member).await.key.id;
    for verb in ["disable", "enable", "revoke", "revoke"] {
        owner.act(&format!("/v1/keys/{key}/{verb}")).await.expect(200);
    }
    let organization = format!("/v1/organizations/{}", acme.organization.id);
    stage.operator().act(&format!("{organization}/suspend")).await.expect(200);
    stage.operator().act(&format!("{organization}/resume")).await.expect(200);

    let store = stage.control.store();
    let outbound = |after| {
        let view = store.read().unwrap();
        view.outbox_after(after).unwrap().map(|one| one.unwrap()).collect::<Vec<_>>()
    };
    let all = outbound(start);
    let effects: Vec<Effect> = all.iter().map(|one| one.touches[0].effect).collect();
    use Effect::{Grants, Refuses};
    assert_eq!(effects, [Grants, Refuses, Grants, Refuses, Grants, Refuses, Grants]);
    assert!(matches!(all[0].touches[0].noun, Touched::Key(id) if id.to_string() == key));
    assert!(matches!(all[5].touches[0].noun, Touched::Organization(_)));
    assert_eq!(all.iter().map(|one| one.generation).next(), Some(start.next()));

    store.trim_outbox(all[2].generation).await.unwrap();
    assert_eq!(outbound(Generation(0)), all[3..]);
    let before = stage.control.check_ready().unwrap();
    store.put_publish_state("cursor", vec![1, 2, 3]).await.unwrap();
    assert_eq!(store.read().unwrap().publish_state("cursor").unwrap(), Some(vec![1, 2, 3]));
    assert_eq!(stage.control.check_ready().unwrap(), before);
}

#[tokio::test]
async fn whole_state_can_be_read() {
    let stage = Stage::new().await;
    let acme = stage.organization("Acme", "owner@acme.test").await;
    let owner = stage.sign_in("owner@acme.test").await;
    for _ in 0..3 {
        stage.key(&owner, &acme.default_project.id, Role::Member).await;
    }
    let view = stage.control.store().read().unwrap();
    assert_eq!(view.all_organizations().unwrap().count(), 1);
    assert_eq!(view.all_projects().unwrap().count(), 1);
    assert_eq!(view.all_memberships().unwrap().count(), 1);
    assert_eq!(view.all_collaborations().unwrap().count(), 1);
    assert_eq!(view.all_resources().unwrap().count(), 0);
    let keys: Vec<_> = view.all_keys().unwrap().map(|key| key.unwrap().id).collect();
    assert!(keys.is_sorted() && keys.len() == 3);
}

#[tokio::test]
async fn second_first_operator_is_refused() {
    let stage = Stage::new().await;
    let again = latchkey_control::app::operators::create_first(&stage.control, "second").await;
    assert!(again.is_err());
}
