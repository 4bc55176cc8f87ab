//! Route rules put in force: one change each, with its entry, its text and its number; or nothing at all.

use latchkey_api::{Page, RuleSet, RuleSetText};
use latchkey_control::app::RulesDesk;
use latchkey_control::store::{AuditView, View};
use latchkey_testkit::{Reply, ScriptedRules, Stage, StageConfig};
use serde_json::{Value, json};
use std::sync::Arc;

struct Scene {
    stage: Stage,
    file: ScriptedRules,
}

impl Scene {
    async fn new() -> Self {
        let file = ScriptedRules::default();
        let config = StageConfig { rules: Some(file.clone()), ..StageConfig::default() };
        Self { stage: Stage::set(config).await, file }
    }

    async fn apply(&self) -> Reply {
        self.stage.operator().act("/v1/operator/routes/apply").await
    }

    /// The newest entry of the audit log, and how many there are.
    fn last_entry(&self) -> (Value, u64) {
        let view = self.stage.control.store().read().unwrap();
        let size = view.audit_checkpoint().unwrap().size;
        let content = view.audit_leaf(size - 1).unwrap().unwrap().content.unwrap();
        (serde_json::from_str(&content.entry).unwrap(), size)
    }
}

#[tokio::test]
async fn other_rules_are_one_change_with_its_author_its_number_and_its_text_a1() {
    let scene = Scene::new().await;
    scene.file.say("/v1/one");
    let first: RuleSet = scene.apply().await.expect(200).read();
    let (entry, size) = scene.last_entry();
    assert_eq!((&entry["what"], &entry["who"]["id"]), (&json!("routes.apply"), &json!("operator_1")));
    assert_eq!((entry.get("before"), &entry["after"]["version"]), (None, &json!(first.version)));
    assert_eq!((entry["generation"].as_u64(), first.number), (Some(first.generation), 1));

    scene.stage.clock.advance_secs(60);
    scene.file.say("/v1/two");
    let second: RuleSet = scene.apply().await.expect(200).read();
    let (entry, then) = scene.last_entry();
    assert_eq!((then, second.number, second.rules), (size + 1, 2, 1));
    assert_eq!(entry["before"]["version"], first.version);
    assert_ne!(second.version, first.version);
    assert!(second.applied_at.0 > first.applied_at.0);

    let all: Page<RuleSet> = scene.stage.operator().get("/v1/operator/routes").await.expect(200).read();
    assert_eq!(all.items, [second, first.clone()]);
    let old: RuleSetText = scene.stage.operator().get("/v1/operator/routes/1").await.expect(200).read();
    assert_eq!((old.rule_set, old.text.as_str()), (first.clone(), "# the rule of `/v1/one`"));
    assert_eq!(first.text_digest, blake3::hash(old.text.as_bytes()).to_hex().as_str());
    scene.stage.operator().get("/v1/operator/routes/3").await.problem(404, "not_found");
}

#[tokio::test]
async fn same_rules_and_wrong_ones_leave_everything_as_it_was() {
    let scene = Scene::new().await;
    scene.apply().await.problem(409, "no_rules_file");
    scene.file.say("/v1/one");
    scene.apply().await.expect(200);
    let before = scene.last_entry();
    scene.apply().await.problem(409, "nothing_to_do");
    scene.file.break_off("`routes.toml`, line 3, column 8: a method is 1 to 16 capital letters");
    let refused = scene.apply().await;
    refused.problem(409, "rules_refused");
    assert!(refused.text().contains("line 3, column 8"), "{}", refused.text());
    assert_eq!(scene.last_entry(), before);
    let newest = scene.stage.control.store().read().unwrap().newest_rule_set().unwrap().unwrap();
    assert_eq!(newest.number, 1);
}

#[tokio::test]
async fn restart_with_the_same_file_says_nothing_and_with_another_names_the_installation() {
    let scene = Scene::new().await;
    let store = scene.stage.control.store();
    // No file, and no state that ever named rules: that is the same.
    assert_eq!(RulesDesk::new(Arc::new(scene.file.clone())).settle(store).await.unwrap(), None);
    scene.file.say("/v1/one");
    let start = RulesDesk::new(Arc::new(scene.file.clone())).settle(store).await.unwrap();
    assert_eq!(start.unwrap().number, 1);
    let (entry, size) = scene.last_entry();
    assert_eq!(entry["who"], json!({ "kind": "installation" }));
    let again = RulesDesk::new(Arc::new(scene.file.clone())).settle(store).await.unwrap();
    assert_eq!((again, scene.last_entry().1), (None, size));
    // A file that is gone takes the rules with it, and the log says that.
    let gone = RulesDesk::new(Arc::new(ScriptedRules::default())).settle(store).await.unwrap().unwrap();
    assert_eq!((gone.number, gone.rules), (2, 0));
}
