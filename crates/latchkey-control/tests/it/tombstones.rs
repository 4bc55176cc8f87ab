//! Revoked keys leave the snapshot after 90 days, and the store never.

use crate::keys::Scene;
use latchkey_api::{Key, KeyStatus};
use latchkey_control::app::caretaker::Caretaker;
use latchkey_control::outside::Clock;
use latchkey_control::store::{Touched, View};
use latchkey_core::{KeyId, Role};

const DAY_SECS: u64 = 24 * 60 * 60;

/// The keys that the newest change touched.
fn touched(scene: &Scene) -> Vec<KeyId> {
    let view = scene.stage.control.store().read().unwrap();
    let newest = view.outbox_after(latchkey_core::Generation(0)).unwrap().last().unwrap().unwrap();
    let key = |touch: latchkey_control::store::Touch| match touch.noun {
        Touched::Key(id) => Some(id),
        _ => None,
    };
    newest.touches.into_iter().filter_map(key).collect()
}

#[tokio::test]
async fn revoked_key_leaves_the_snapshot_after_ninety_days() {
    let scene = Scene::new().await;
    let (first, second, kept) =
        (scene.key(Role::Member).await, scene.key(Role::Member).await, scene.key(Role::Member).await);
    let id = |path: &str| KeyId::parse(path.rsplit('/').next().unwrap().as_bytes()).unwrap();
    let mut caretaker = Caretaker::new(scene.stage.control.clone());
    scene.owner.act(&format!("{first}/revoke")).await.expect(200);
    let revoked_at = scene.stage.clock.now();
    scene.stage.clock.advance_secs(60);
    scene.owner.act(&format!("{second}/revoke")).await.expect(200);
    let before = scene.stage.control.check_ready().unwrap();
    scene.stage.clock.advance_secs(90 * DAY_SECS - 61);
    caretaker.pass().await.unwrap();
    let up_to = || scene.stage.control.store().read().unwrap().tombstones_up_to().unwrap();
    assert_eq!(up_to().0, 0, "a second early");
    scene.stage.clock.advance_secs(1);
    caretaker.pass().await.unwrap();
    assert_eq!(up_to(), revoked_at);
    assert_eq!(touched(&scene), [id(&first)]);
    let after = scene.stage.control.check_ready().unwrap();
    assert!(after > before);
    caretaker.pass().await.unwrap();
    assert_eq!(scene.stage.control.check_ready().unwrap(), after, "nothing is due twice");
    scene.stage.clock.advance_secs(60);
    caretaker.pass().await.unwrap();
    assert_eq!(touched(&scene), [id(&second)]);
    let owner = scene.stage.sign_in("owner@acme.test").await;
    for (path, status) in
        [(first, KeyStatus::Revoked), (second, KeyStatus::Revoked), (kept, KeyStatus::Active)]
    {
        assert_eq!(owner.get(&path).await.expect(200).read::<Key>().status, status);
    }
}
