//! Any rules, a line each: method, pattern, project parameter, resource parameter, parted by tabs. Compiling them ends,
//! and says which rule cannot stand.

#![no_main]

use latchkey_core::{Permission, ResourceType};
use latchkey_gate::Routes;
use latchkey_snapshot::{Credentials, Freshness, ProjectSource, ResourceSource, Rule};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let rules: Vec<Rule> = text.lines().take(64).map(rule).collect();
    match Routes::compile(&rules) {
        Ok(routes) => assert_eq!(routes.len(), rules.len()),
        Err(error) => assert!(error.rule < rules.len()),
    }
});

fn rule(line: &str) -> Rule {
    let mut fields = line.split('\t');
    let mut field = || fields.next().unwrap_or_default().to_owned();
    let (method, pattern, project, resource) = (field(), field(), field(), field());
    Rule {
        method,
        pattern,
        permission: Permission::FilesRead,
        freshness: Freshness::Normal,
        credentials: Credentials::Any,
        project: if project.is_empty() { ProjectSource::Credential } else { ProjectSource::Path(project) },
        resource: (!resource.is_empty())
            .then(|| ResourceSource { resource: ResourceType::File, parameter: resource }),
        model: None,
    }
}
