//! The bodies that every shell answers with: problems and `whoami`. Which status goes with them is the shell's to know.

use crate::gate::NamesOf;
use crate::json::{Object, quoted};
use crate::verdict::{Grant, Subject};
use alloc::string::{String, ToString};
use latchkey_core::{Generation, OrganizationId, ProjectId, Role};

/// An error body, `application/problem+json` (RFC 9457).
pub fn problem(status: u16, code: &str, title: &str, permission: Option<&str>) -> String {
    let mut problem = Object::new();
    problem.text("type", &["urn:latchkey:problem:", code].concat()).text("title", title);
    problem.number("status", status.into()).text("code", code).some("permission", permission);
    problem.end()
}

/// What a grant's project and its organization are called, kept beyond the look at the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The project.
    pub project: ProjectId,
    /// Its slug.
    pub project_slug: String,
    /// Its name.
    pub project_name: String,
    /// The organization.
    pub organization: OrganizationId,
    /// Its name.
    pub organization_name: String,
}

impl From<NamesOf<'_>> for Names {
    fn from(names: NamesOf<'_>) -> Self {
        Self {
            project: names.project.id,
            project_slug: names.project.slug.to_string(),
            project_name: names.project.name.to_string(),
            organization: names.organization.id,
            organization_name: names.organization.name.to_string(),
        }
    }
}

/// Who a key is (IAM K11). `expires_at` is a moment of RFC 3339.
pub fn whoami(
    grant: &Grant,
    names: &Names,
    expires_at: Option<&str>,
    generation: Option<Generation>,
) -> String {
    let mut key = Object::new();
    key.text("id", &subject(grant).1);
    let mut project = Object::new();
    project.text("id", &names.project.to_string()).text("slug", &names.project_slug);
    project.text("name", &names.project_name);
    let mut organization = Object::new();
    organization.text("id", &names.organization.to_string()).text("name", &names.organization_name);
    let mut body = Object::new();
    body.object("key", key).object("project", project).object("organization", organization);
    body.text_or_null("role", grant.binding.role.map(Role::as_str));
    body.list("permissions", grant.binding.permissions.iter().map(|one| quoted(one.as_str())));
    body.text_or_null("expires_at", expires_at);
    body.number_or_null("generation", generation.map(|generation| generation.0));
    body.end()
}

/// Who calls, as the origin is told: headers and their values.
pub fn identity(grant: &Grant, names: &Names) -> [(&'static str, String); 4] {
    [
        subject(grant),
        ("latchkey-project", names.project.to_string()),
        ("latchkey-organization", names.organization.to_string()),
        ("latchkey-role", grant.binding.role.map_or("", Role::as_str).to_string()),
    ]
}

/// Who, and the header that says so: a key's id or a session's identity, never both.
fn subject(grant: &Grant) -> (&'static str, String) {
    match grant.subject {
        Subject::Key(id) => ("latchkey-key", id.to_string()),
        Subject::Session(identity) => ("latchkey-identity", identity.to_string()),
    }
}
