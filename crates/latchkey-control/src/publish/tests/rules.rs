//! Route rules that change while the publisher runs, and over its restart.

use crate::app::RulesDesk;
use crate::app::rules::{RulesFile, RulesRead};
use crate::iam::RuleSet;
use crate::publish::tests::stage::{Hub, NOW, Stage, created, quick, seeds};
use crate::publish::{Publisher, Routing, Settings, Sink};
use crate::store::{Change, View};
use latchkey_core::Permission;
use latchkey_snapshot::Rule;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct File(Arc<Mutex<Vec<Rule>>>);

impl File {
    fn say(&self, path: &str) -> Vec<Rule> {
        let rules = vec![Rule::new("GET", path, Permission::InferenceInvoke)];
        self.0.lock().unwrap().clone_from(&rules);
        rules
    }
}

impl RulesFile for File {
    fn read(&self) -> Result<Option<RulesRead>, String> {
        let rules = self.0.lock().unwrap().clone();
        Ok(Some(RulesRead { routing: Routing { rules, cors: None }, text: String::new() }))
    }
}

fn start(stage: &Stage, desk: &RulesDesk, hub: &Arc<Hub>) -> Publisher {
    let settings = Settings { rules: desk.book(), ..stage.settings(quick()) };
    let sinks: Vec<Arc<dyn Sink>> = vec![hub.clone()];
    Publisher::start(stage.store.clone(), Arc::new(stage.clock.clone()), &*seeds(), settings, sinks).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_published_as_of_the_generation_that_they_became_over_the_same_pages() {
    let (stage, file) = (Stage::new().await, File::default());
    let before = stage.commit([created(1)]).await;
    let (desk, hub) = (RulesDesk::new(Arc::new(file.clone())), Hub::new(&stage));
    let _publisher = start(&stage, &desk, &hub);
    let first = hub.manifest(&hub.statement(before).await);
    assert!(first.rules.is_empty());
    let said = file.say("/v1/one");
    let set = desk.settle(&stage.store).await.unwrap().unwrap();
    let second = hub.manifest(&hub.statement(set.generation).await);
    assert_eq!((second.rules, second.sections), (said, first.sections));
    // What comes after it says the same.
    let after = stage.commit([created(2)]).await;
    assert_eq!(hub.manifest(&hub.statement(after).await).rules.len(), 1);
}

/// The change is committed, and the process ends before anything of it is signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_were_committed_and_not_published_go_out_at_the_next_start() {
    let (stage, file) = (Stage::new().await, File::default());
    let said = file.say("/v1/one");
    let set = RulesDesk::new(Arc::new(file.clone())).settle(&stage.store).await.unwrap().unwrap();
    let (desk, hub) = (RulesDesk::new(Arc::new(file)), Hub::new(&stage));
    assert_eq!(desk.settle(&stage.store).await.unwrap(), None);
    let _publisher = start(&stage, &desk, &hub);
    assert_eq!(hub.manifest(&hub.statement(set.generation).await).rules, said);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_only_the_state_names_are_never_guessed() {
    let (stage, file) = (Stage::new().await, File::default());
    let (desk, hub) = (RulesDesk::new(Arc::new(file)), Hub::new(&stage));
    let publisher = start(&stage, &desk, &hub);
    hub.head(|_| true).await;
    let generation = stage.store.read().unwrap().generation().unwrap().next();
    let (version, text_digest) = ([1; 32], [2; 32]);
    let set = RuleSet { number: 1, version, rules: 1, text_digest, applied_at: NOW, generation };
    stage.commit([Change::RuleSet(set, "".into())]).await;
    let mut status = publisher.watch();
    let told = |error: &String| error.contains("route rules");
    status.wait_for(|status| status.error.as_ref().is_some_and(told)).await.unwrap();
    assert!(hub.last().statement.generation < generation);
}
