//! Route rules that change while a gate serves.

use super::{MODELS, Scene};
use std::fs;

#[test]
fn other_rules_reach_a_gate_without_a_restart_of_anything() {
    let scene = Scene::new();
    let (_, key) = scene.key();
    scene.until(MODELS, &key, |status, _| status == 200);
    let (status, _) = scene.with_key("/v1/later", &key);
    assert_eq!(status, 404);
    let file = scene.installation.path("routes.toml");
    let before = fs::read_to_string(&file).unwrap();
    let later = "\n[[route]]\nmethod = \"GET\"\npath = \"/v1/later\"\npermission = \"models.view\"\n";
    fs::write(&file, format!("{before}{later}")).unwrap();
    scene.installation.signal("HUP");
    scene.until("/v1/later", &key, |status, _| status == 200);
    // What is taken away is refused again, and the rest goes on.
    fs::write(&file, before).unwrap();
    scene.installation.signal("HUP");
    scene.until("/v1/later", &key, |status, _| status == 404);
    assert_eq!(scene.with_key(MODELS, &key).0, 200);
}
