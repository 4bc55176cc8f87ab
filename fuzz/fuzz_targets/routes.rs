//! Any rules, a line each: method, pattern, host, project, resource and model, parted by tabs; a source is its kind's letter
//! and its name. Compiling them ends, and says which rule cannot stand.

#![no_main]

use latchkey_core::{Permission, ResourceType};
use latchkey_gate::Routes;
use latchkey_snapshot::{Access, Credentials, ResourceSource, Rule, Source};
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
    let mut field = || fields.next().unwrap_or_default();
    let (method, pattern, host) = (field(), field(), field());
    let [project, resource, model] = [field(), field(), field()].map(source);
    let is_public = line.ends_with('!');
    Rule {
        host: (!host.is_empty()).then(|| host.to_owned()),
        credentials: Credentials::Any,
        access: if is_public { Access::Public } else { Permission::FilesRead.into() },
        project,
        resource: resource.map(|source| ResourceSource { resource: ResourceType::File, source }),
        model,
        ..Rule::new(method, pattern, Permission::FilesRead)
    }
}

fn source(text: &str) -> Option<Source> {
    let (kind, name) = (text.chars().next()?, text.chars().skip(1).collect());
    Some(match kind {
        'p' => Source::Path(name),
        'h' => Source::Header(name),
        'q' => Source::Query(name),
        'o' => Source::Host(name),
        'b' => Source::Body(name),
        _ => return None,
    })
}
