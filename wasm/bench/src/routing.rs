//! What finding a request's rule costs, by how many rules there are.

use latchkey_core::Permission;
use latchkey_gate::Routes;
use latchkey_snapshot::{Rule, Source};
use std::hint::black_box;
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// What is done to the things of one kind, behind the project: the rule's method, and what the path ends with.
const ACTIONS: [(&str, &str); 10] = [
    ("GET", ""),
    ("POST", ""),
    ("GET", "/{thing}"),
    ("PUT", "/{thing}"),
    ("DELETE", "/{thing}"),
    ("GET", "/{thing}/content"),
    ("GET", "/{thing}/events"),
    ("POST", "/{thing}/cancel"),
    ("POST", "/{thing}/invoke"),
    ("GET", "/{thing}/versions/{version}"),
];

/// Compiled rules, and for each a request that falls under it.
#[wasm_bindgen]
pub struct Routing {
    routes: Routes,
    requests: Vec<(&'static str, String)>,
}

#[wasm_bindgen]
impl Routing {
    /// So many rules, as an API has them: ten for each kind of thing in a project.
    #[wasm_bindgen(constructor)]
    pub fn new(rules: usize) -> Result<Routing, JsError> {
        let kinds = (0..rules).map(|index| (index / ACTIONS.len(), ACTIONS.get(index % ACTIONS.len())));
        let (mut list, mut requests) = (Vec::new(), Vec::new());
        for (kind, action) in kinds {
            let (method, behind) = *action.ok_or(JsError::new("no action"))?;
            let pattern = format!("/v1/projects/{{project}}/things_{kind}{behind}");
            let path = pattern
                .replace("{project}", "vision-research")
                .replace("{thing}", "thing-0192f7c2")
                .replace("{version}", "17");
            requests.push((method, path));
            list.push(Rule {
                project: Some(Source::Path("project".into())),
                ..Rule::new(method, pattern, Permission::FilesRead)
            });
        }
        let routes = Routes::compile(&list).map_err(|error| JsError::new(&format!("{error:?}")))?;
        Ok(Self { routes, requests })
    }

    /// Finds the rule of each request, so many times over and in an order that jumps about; how many were found as they must be.
    pub fn find(&self, rounds: usize) -> usize {
        let many = self.requests.len().max(1);
        // Its neighbours are far apart, and no number of rules that is measured has it as a factor.
        let order = (0..many * rounds).map(|step| step * 619 % many);
        order
            .filter(|&at| {
                self.requests.get(at).is_some_and(|(method, path)| {
                    self.routes.which(black_box(None), method, path.as_bytes()) == Ok(Some(at))
                })
            })
            .count()
    }
}
