//! Vectors of the canaries in a manifest.

use super::{Parts, changed};
use crate::case::Cases;
use latchkey_core::Permission;
use latchkey_snapshot::Fault;

#[derive(Clone)]
pub(super) struct Canary {
    kind: u8,
    tag: [u8; 10],
    found: u8,
    /// Project, organization, role, state, permission set.
    expected: (u32, u32, u8, u8, u128),
}

/// A canary that must find nothing.
pub(super) fn absent(kind: u8, tag: u8) -> Canary {
    Canary { kind, tag: [tag; 10], found: 0, expected: (0, 0, 0, 0, 0) }
}

fn present(kind: u8, expected: (u32, u32, u8, u8, u128)) -> Canary {
    Canary { kind, tag: [1; 10], found: 1, expected }
}

/// One of every kind, and one that must not be there.
pub(super) fn every() -> Vec<Canary> {
    let invoke = 1 << Permission::InferenceInvoke.number();
    vec![
        present(1, (10, 1, 1, 0, invoke)),
        absent(1, 2),
        present(2, (10, 1, 2, 2, 0)),
        present(3, (10, 1, 0, 0, 0)),
        present(4, (10, 1, 0, 0, 0)),
        present(7, (0, 1, 2, 0, 0)),
        present(8, (10, 1, 1, 0, 0)),
        present(9, (0, 0, 0, 0, 0)),
    ]
}

impl Canary {
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.kind);
        bytes.extend(0x0123_4567_89ab_cdefu64.to_le_bytes());
        bytes.extend(0x8000_0001u32.to_le_bytes());
        bytes.extend(self.tag);
        bytes.push(self.found);
        let (project, organization, role, state, permissions) = self.expected;
        bytes.extend(project.to_le_bytes());
        bytes.extend(organization.to_le_bytes());
        bytes.extend([role, state]);
        bytes.extend(permissions.to_le_bytes());
    }
}

/// Canaries that no writer writes.
pub(super) fn refuse(cases: &mut Cases) {
    let mut refuse = |name: &str, canaries: Vec<Canary>, at: &str, fault| {
        super::refuse(cases, name, &changed(Parts::smallest(), |parts| parts.canaries = canaries), at, fault);
    };
    let many = (0..17).map(|tag| absent(1, tag)).collect();
    refuse("17 canaries", many, "canary count", Fault::OutOfRange);
    refuse("one canary twice", vec![absent(1, 1), absent(1, 1)], "canaries", Fault::NotAscending);
    let both = vec![present(1, (10, 1, 1, 0, 0)), absent(1, 1)];
    refuse("a canary that is and is not there", both, "canaries", Fault::NotAscending);
    refuse("canary tags out of order", vec![absent(1, 2), absent(1, 1)], "canaries", Fault::NotAscending);
    refuse("canary kinds out of order", vec![absent(3, 1), absent(1, 2)], "canaries", Fault::NotAscending);
    for kind in [0, 5, 6, 10] {
        refuse(&format!("canary kind {kind}"), vec![absent(kind, 1)], "canary kind", Fault::OutOfRange);
    }
    refuse("canary found 2", vec![Canary { found: 2, ..absent(1, 1) }], "canary found", Fault::OutOfRange);
    let owned = Canary { expected: (0, 0, 0, 0, 1 << 127), ..absent(1, 1) };
    refuse(
        "a canary that must not be there, with a permission",
        vec![owned],
        "canary expected",
        Fault::NotCanonical,
    );
    let invoke = 1 << Permission::InferenceInvoke.number();
    for (name, kind, expected) in [
        ("a key without a role", 1, (10, 1, 0, 0, 0)),
        ("a key with role 3", 1, (10, 1, 3, 0, 0)),
        ("a key in state 3", 2, (10, 1, 1, 3, 0)),
        ("a key with what is no permission", 1, (10, 1, 1, 0, 1 << 16)),
        ("a resource with a role", 3, (10, 1, 1, 0, 0)),
        ("a project reference that is disabled", 4, (10, 1, 0, 1, 0)),
        ("a membership of a project", 7, (10, 1, 1, 0, 0)),
        ("a membership without a role", 7, (0, 1, 0, 0, 0)),
        ("a collaboration with a permission", 8, (10, 1, 1, 0, invoke)),
        ("an ended session of a project", 9, (10, 0, 0, 0, 0)),
        ("an ended session of an organization", 9, (0, 1, 0, 0, 0)),
        ("an ended session with a role", 9, (0, 0, 1, 0, 0)),
    ] {
        let name = format!("a canary: {name}");
        refuse(&name, vec![present(kind, expected)], "canary expected", Fault::OutOfRange);
    }
}
