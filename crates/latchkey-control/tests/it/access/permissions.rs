//! Every permission and who has it: what `POST /v1/explain` tells each of them about themselves, and for those it
//! tells nothing, what the rules say.

use super::cast::{Asker, World};
use super::table::listed;
use latchkey_control::iam::{Caller, Demand, Standing, authorize};
use latchkey_control::store::View;
use latchkey_core::permission::Holder;
use latchkey_core::{OrganizationId, Permission, ProjectId};
use latchkey_testkit::Stage;
use serde_json::json;
use std::fmt::Write;

const HEAD: &str = "\
Who has which permission, on the same furnished project or organization as in access.txt, which says who they are.
Written by `cargo xtask golden`; do not edit. A name that is new on a line is somebody who may do more.
";

/// The table of permissions (P1, P2, P3).
pub(crate) async fn table(world: &World) -> String {
    let stage = world.stage();
    let mut text = String::from(HEAD);
    let mut noun = "";
    for permission in Permission::ALL.iter().copied() {
        let of = permission.as_str().rsplit_once('.').map_or("", |(noun, _)| noun);
        if of != noun {
            noun = of;
            writeln!(text, "\n== {noun}").unwrap();
        }
        let mut names = Vec::new();
        for asker in &world.askers {
            if may(&stage, asker, permission).await {
                names.push(asker.name);
            }
        }
        listed(&mut text, permission.as_str(), &names);
    }
    text
}

/// Whether they hold the permission about the organization or project that they ask about.
pub(crate) async fn may(stage: &Stage, asker: &Asker, permission: Permission) -> bool {
    let mut body = json!({ "permission": permission.as_str() });
    let place = if is_asked_of_organization(permission) { "organization" } else { "project" };
    body[place] = asker.about[place].clone().into();
    let reply = asker.on(stage).post("/v1/explain", body).await;
    match (reply.status, asker.name) {
        (200, _) => reply.json()["allowed"] == true,
        (403, "operator") => {
            rules_allow(stage, asker, Caller::Operator { token: 0, name: String::new() }, permission)
        }
        (403, "usage-credential") => rules_allow(stage, asker, Caller::Reporter(String::new()), permission),
        (401 | 404, _) => false,
        other => panic!("{other:?}: {}", reply.text()),
    }
}

/// Those of P1 that are about one project are asked of that project (J4).
fn is_asked_of_organization(permission: Permission) -> bool {
    matches!(permission.holder(), Holder::OrganizationMember | Holder::OrganizationAdmin)
        && !matches!(
            permission,
            Permission::OrgProjectsSetVisibility
                | Permission::OrgProjectsArchive
                | Permission::OrgProjectsDelete
        )
}

/// Whoever has no standing of their own anywhere.
fn rules_allow(stage: &Stage, asker: &Asker, caller: Caller, permission: Permission) -> bool {
    let view = stage.control.store().read().unwrap();
    let organization = OrganizationId::parse(&asker.about["organization"]).unwrap();
    let organization = view.organization_by_id(&organization).unwrap().unwrap();
    let project = view.project_by_id(&ProjectId::parse(&asker.about["project"]).unwrap()).unwrap().unwrap();
    let standing = if is_asked_of_organization(permission) {
        Standing::Organization(&organization, None)
    } else {
        Standing::Project {
            organization: &organization,
            project: &project,
            membership: None,
            collaboration: None,
        }
    };
    authorize(&caller, Demand::Permission(permission), &standing).is_ok()
}
