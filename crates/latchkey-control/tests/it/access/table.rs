//! The access table as text, for a person to read and to review.

use super::cast::World;
use super::cells::Outcome;
use latchkey_control::http::{Needs, Route};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Columns that a line has at most.
const WIDTH: usize = 110;
/// Columns before the askers.
const INDENT: usize = 36;

pub(crate) type Cells = BTreeMap<(&'static str, &'static str), Outcome>;

/// The table of routes.
pub(crate) fn of_routes(world: &World, routes: &[Route], cells: &Cells) -> String {
    let mut text = String::from(HEAD);
    for asker in &world.askers {
        writeln!(text, "  {:<22}{}", asker.name, asker.is).unwrap();
    }
    let mut noun = "";
    for route in routes {
        let of = route.name.split('.').next().unwrap_or_default();
        if of != noun {
            noun = of;
            writeln!(text, "\n\n== {noun}").unwrap();
        }
        writeln!(text, "\n{}: {} {}", route.name, route.method, route.path).unwrap();
        writeln!(text, "    {} Needs {}.", route.summary, needs(&route.needs)).unwrap();
        let mut groups = BTreeMap::<&Outcome, Vec<&str>>::new();
        for asker in &world.askers {
            groups.entry(&cells[&(route.name, asker.name)]).or_default().push(asker.name);
        }
        for (outcome, names) in groups {
            wrapped(&mut text, &outcome.to_string(), &names);
        }
    }
    text
}

const HEAD: &str = "\
Who may call what: every route, called by everybody, on the same furnished project or organization.
Written by `cargo xtask golden`; do not edit. A name that moves up to a 2xx line is somebody who may do more.
A refusal shows the permission that it names, or in brackets its code if that is not the status's usual one.

Who asks:
";

/// What the route says that it needs.
pub(crate) fn needs(needs: &Needs) -> String {
    match needs {
        Needs::Nothing => "nothing, not even a credential".to_owned(),
        Needs::Own => "a person or a service account, about themselves".to_owned(),
        Needs::Credential => "a credential".to_owned(),
        Needs::Permission(permission) => permission.as_str().to_owned(),
        Needs::OneOf(permissions) => {
            let words: Vec<_> = permissions.iter().map(|permission| permission.as_str()).collect();
            words.join(" or ")
        }
        Needs::Operator(act) => act.as_str().to_owned(),
        Needs::Ownership => "the owner".to_owned(),
        Needs::Succession => "the admin to whom the ownership is offered".to_owned(),
        Needs::Join => "that one may join".to_owned(),
        Needs::Key => "an API key".to_owned(),
        Needs::Report => "a usage credential".to_owned(),
        Needs::Gate => "the credential of native gates".to_owned(),
    }
}

fn wrapped(text: &mut String, outcome: &str, names: &[&str]) {
    let mut line = format!("    {outcome:<0$}", INDENT - 4);
    let mut is_first = true;
    for name in names {
        if !is_first && line.len() + 1 + name.len() > WIDTH {
            writeln!(text, "{}", line.trim_end()).unwrap();
            line = " ".repeat(INDENT);
            is_first = true;
        }
        if !is_first {
            line.push(' ');
        } else if line.len() > INDENT || !line.ends_with(' ') {
            line.push_str("  ");
        }
        line.push_str(name);
        is_first = false;
    }
    writeln!(text, "{}", line.trim_end()).unwrap();
}

/// A line of the table of permissions.
pub(crate) fn listed(text: &mut String, permission: &str, names: &[&str]) {
    wrapped(text, permission, names);
}
