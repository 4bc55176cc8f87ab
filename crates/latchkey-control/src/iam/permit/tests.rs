//! The tables of IAM.md, asked of [`authorize`] one by one.

use super::*;
use crate::iam::Settings;
use crate::iam::text::Name;
use latchkey_core::{Dice, IdentityId, OrganizationId, ProjectId, SessionId, Slug, UnixMillis, UserId};

pub(in crate::iam) struct Scene {
    pub(in crate::iam) organization: Organization,
    pub(in crate::iam) project: Project,
    pub(in crate::iam) membership: Option<Membership>,
    pub(in crate::iam) collaboration: Option<Collaboration>,
    pub(in crate::iam) caller: Caller,
}

pub(in crate::iam) fn scene(organization_role: Option<Role>, project_role: Option<Role>) -> Scene {
    let mut dice = Dice::from_seed(&[1; 32]);
    let user = UserId::generate(&mut dice);
    let organization = Organization {
        number: OrganizationNumber(1),
        id: OrganizationId::generate(&mut dice),
        name: Name::parse("Acme").unwrap(),
        owner: UserId::generate(&mut dice),
        created_at: UnixMillis(0),
        suspended_at: None,
        settings: Settings::default(),
        imports_keys: false,
    };
    let identity = IdentityId::generate(&mut dice);
    let project = Project {
        number: ProjectNumber(1),
        id: ProjectId::generate(&mut dice),
        organization: organization.number,
        name: Name::parse("Red").unwrap(),
        slug: Slug::parse("red").unwrap(),
        visibility: Visibility::Open,
        allows_external: false,
        is_default: false,
        created_at: UnixMillis(0),
        archived_at: None,
        deleted_at: None,
    };
    let session = SessionId::generate(&mut dice);
    Scene {
        membership: organization_role.map(|role| Membership {
            organization: organization.number,
            user,
            role,
            identity,
            joined_at: UnixMillis(0),
        }),
        collaboration: project_role.map(|role| Collaboration {
            project: project.number,
            user,
            role,
            is_external: organization_role.is_none(),
            identity,
            added_at: UnixMillis(0),
            ends_at: None,
        }),
        caller: Caller::Session { user, session, identity, is_service: false },
        organization,
        project,
    }
}

impl Scene {
    fn in_project(&self, permission: Permission) -> Result<Permit, Denied> {
        let standing = Standing::Project {
            organization: &self.organization,
            project: &self.project,
            membership: self.membership.as_ref(),
            collaboration: self.collaboration.as_ref(),
        };
        authorize(&self.caller, Demand::Permission(permission), &standing)
    }

    fn in_organization(&self, demand: Demand) -> Result<Permit, Denied> {
        let standing = Standing::Organization(&self.organization, self.membership.as_ref());
        authorize(&self.caller, demand, &standing)
    }
}

#[test]
fn organization_admin_gets_nothing_inside_a_project_before_joining_j4() {
    let scene = scene(Some(Role::Admin), None);
    for permission in PermissionSet::of_project(Role::Admin).iter() {
        assert_eq!(scene.in_project(permission).unwrap_err(), Denied::Forbidden(permission.as_str()));
    }
}

#[test]
fn collaborating_organization_admin_counts_as_project_admin_j5() {
    let permit = scene(Some(Role::Admin), Some(Role::Member)).in_project(Permission::KeysCreate).unwrap();
    assert_eq!(permit.admits(Role::Admin), Ok(()));
}

#[test]
fn member_reaches_no_admin_key_k6() {
    let permit = scene(Some(Role::Member), Some(Role::Member)).in_project(Permission::KeysCreate).unwrap();
    assert_eq!(permit.admits(Role::Member), Ok(()));
    let denied = Denied::RoleTooLow { permission: "keys.create", needs: Role::Admin };
    assert_eq!(permit.admits(Role::Admin), Err(denied));
}

#[test]
fn role_tables_p1_and_p2_hold() {
    for role in Role::ALL {
        let scene = scene(Some(role), Some(role));
        for permission in Permission::ALL.iter().copied() {
            let organization = scene.in_organization(Demand::Permission(permission)).is_ok();
            assert_eq!(
                organization,
                PermissionSet::of_organization(role).contains(permission),
                "{permission}"
            );
            let project = scene.in_project(permission).is_ok();
            let unjoined = role == Role::Admin && UNJOINED.contains(&permission);
            let expected = unjoined || PermissionSet::of_project(role).contains(permission);
            assert_eq!(project, expected, "{permission}");
        }
    }
}

#[test]
fn private_project_is_unknown_to_members_p4() {
    let mut scene = scene(Some(Role::Member), None);
    assert_eq!(scene.in_project(Permission::KeysRead).unwrap_err(), Denied::Forbidden("keys.read"));
    scene.project.visibility = Visibility::Private;
    assert_eq!(scene.in_project(Permission::KeysRead).unwrap_err(), Denied::NotFound);
}

#[test]
fn stranger_is_told_there_is_nothing_r2() {
    let scene = scene(None, None);
    assert_eq!(scene.in_project(Permission::KeysRead).unwrap_err(), Denied::NotFound);
    let demand = Demand::Operator(OperatorAct::Suspension);
    assert_eq!(scene.in_organization(demand).unwrap_err(), Denied::NotFound);
}

#[test]
fn external_collaborator_counts_only_while_the_switch_is_on_x3() {
    let mut scene = scene(None, Some(Role::Member));
    assert_eq!(scene.in_project(Permission::KeysRead).unwrap_err(), Denied::NotFound);
    scene.project.allows_external = true;
    assert!(scene.in_project(Permission::KeysRead).is_ok());
}

#[test]
fn removed_member_keeps_no_collaboration_m5() {
    let mut scene = scene(Some(Role::Member), Some(Role::Admin));
    scene.project.allows_external = true;
    scene.membership = None;
    assert_eq!(scene.in_project(Permission::KeysRead).unwrap_err(), Denied::NotFound);
}

#[test]
fn suspended_organization_refuses_its_members_o6() {
    let mut scene = scene(Some(Role::Admin), Some(Role::Admin));
    scene.organization.suspended_at = Some(UnixMillis(1));
    assert_eq!(scene.in_project(Permission::KeysRead).unwrap_err(), Denied::Suspended);
}

#[test]
fn operator_holds_no_role_in_a_project() {
    let mut scene = scene(None, None);
    scene.caller = Caller::Operator { token: 1, name: "first".to_owned() };
    assert_eq!(scene.in_project(Permission::KeysCreate).unwrap_err(), Denied::Forbidden("keys.create"));
    assert!(scene.in_organization(Demand::Operator(OperatorAct::Suspension)).is_ok());
}

#[test]
fn second_first_operator_is_refused() {
    assert!(authorize_first_operator(0).is_ok());
    assert_eq!(authorize_first_operator(1).unwrap_err(), Denied::Forbidden("operator.tokens"));
}
