//! The HTTP API: a table of its routes, and around every route what holds for all of them.
//!
//! [`router`] and [`routes`] are the start. `auth` identifies the caller before anything else is looked at, `body` reads JSON,
//! `reply` writes it, `error` alone knows status codes (invariant 5); the other files are the routes' handlers.

mod audit;
mod auth;
mod body;
mod bounds;
mod budgets;
mod collaborators;
mod error;
mod explain;
mod gates;
mod health;
mod invitations;
mod keys;
mod leaks;
mod limits;
mod manners;
mod me;
mod members;
mod notices;
pub mod openapi;
mod operator;
mod organizations;
mod params;
mod projects;
mod publishing;
mod reply;
mod resources;
mod restore;
mod route;
mod rules;
mod server;
mod service_accounts;
mod settings;
mod usage;

use crate::app::Control;
use crate::iam::OperatorAct;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use latchkey_api as api;
use latchkey_api::Code;
use latchkey_core::Permission;
use std::sync::Arc;

pub use bounds::{Bounds, Rate};
pub use limits::{COUNTED_MAX, Limits, Ticks};
pub use route::{Needs, Reply, Route, Shape};
pub use server::serve;

/// Bytes a body has at most.
pub const BODY_BYTES_MAX: usize = 64 << 10;
/// Bytes the body of a batch has at most: 10,000 keys with a long name each.
pub const BATCH_BODY_BYTES_MAX: usize = 4 << 20;
/// Bytes the report of a leak has at most.
pub const LEAK_BODY_BYTES_MAX: usize = 1 << 10;

/// Every path of the control plane, for [`serve`]. `limits` counts who asks how often.
pub fn router(control: Arc<Control>, bounds: &Bounds, limits: Limits) -> Router {
    let limits = Arc::new(limits);
    let routes = routes();
    let front = auth::Front::new(control.clone(), &routes);
    routes
        .into_iter()
        .fold(Router::new(), |router, route| route.mount(router, bounds))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(from_fn_with_state(limits.clone(), limits::slow_the_known))
        .layer(from_fn_with_state(front, auth::identify_first))
        .layer(from_fn_with_state(limits, limits::slow_the_unproven))
        .layer(from_fn_with_state(bounds.request, server::bound))
        .layer(from_fn(reply::seal))
        .with_state(control)
}

/// Every route there is, noun by noun.
pub fn routes() -> Vec<Route> {
    [
        installation(),
        me(),
        operator(),
        gates(),
        organizations(),
        settings(),
        members(),
        service_accounts(),
        invitations(),
        projects(),
        collaborators(),
        notices(),
        keys(),
        holders(),
        resources(),
        usage(),
        budgets(),
        audit(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn installation() -> Vec<Route> {
    vec![
        Route::get("/healthz", health::alive)
            .does("installation.alive", "Whether the process answers at all.")
            .needs(Needs::Nothing),
        Route::get("/readyz", health::ready)
            .does("installation.ready", "Whether the state can be read and reaches the edges.")
            .needs(Needs::Nothing)
            .shows::<api::Ready>()
            .codes(&[Code::PublishingFailed]),
        Route::get("/openapi.json", openapi::read)
            .does("installation.openapi", "This document.")
            .needs(Needs::Nothing)
            .answers("application/json"),
    ]
}

fn me() -> Vec<Route> {
    vec![
        Route::get("/v1/me", me::read)
            .does("me.read", "Who the caller is.")
            .needs(Needs::Credential)
            .shows::<api::Me>(),
        Route::post("/v1/explain", explain::explain)
            .only_asks()
            .does("explain", "Whether a caller may do something, and which rule decides.")
            .needs(Needs::Credential)
            .takes::<api::Explain>()
            .shows::<api::Explanation>()
            .codes(&[Code::NotFound]),
        Route::get("/v1/me/sessions", me::sessions)
            .does("sessions.list", "The caller's sessions that have not ended.")
            .needs(Needs::Own)
            .shows::<api::SessionList>(),
        Route::post("/v1/me/token", me::edge_token)
            .only_asks()
            .does("me.edge_token", "A token by which edges know the session, for ten minutes at most.")
            .needs(Needs::Own)
            .shows::<api::EdgeToken>()
            .codes(&[Code::EdgeTokensOff]),
        Route::post("/v1/me/sessions:revoke", me::revoke_sessions)
            .does("sessions.revoke_all", "Ends all of the caller's sessions, or all others.")
            .needs(Needs::Own)
            .takes::<api::RevokeSessions>()
            .shows::<api::SessionList>(),
        Route::delete("/v1/me/sessions/{session}", me::revoke_session)
            .does("sessions.revoke", "Ends one of the caller's sessions.")
            .needs(Needs::Own)
            .shows::<api::Session>(),
    ]
}

fn operator() -> Vec<Route> {
    vec![
        Route::post("/v1/operator/sessions", operator::create_session)
            .does("sessions.create", "Signs a person in on the operator's word.")
            .needs(Needs::Operator(OperatorAct::SignIn))
            .takes::<api::CreateSession>()
            .makes::<api::CreatedSession>()
            .codes(&[Code::OperatorSignInOff]),
        Route::get("/v1/operator/publish", publishing::read)
            .does("publish.read", "How far publishing has come; waits for a generation, if it is asked to.")
            .needs(Needs::Operator(OperatorAct::Publishing))
            .asks::<api::PublishQuery>()
            .shows::<api::Publishing>(),
        Route::post("/v1/operator/publish/hold", publishing::hold)
            .does("publish.hold", "Holds grants back from edges; what refuses goes out as ever.")
            .needs(Needs::Operator(OperatorAct::Publishing))
            .shows::<api::PublishHold>(),
        Route::post("/v1/operator/publish/release", publishing::release)
            .does("publish.release", "Lets out what was held back.")
            .needs(Needs::Operator(OperatorAct::Publishing))
            .shows::<api::PublishHold>(),
        Route::get("/v1/operator/routes", rules::list)
            .does("routes.list", "The sets of route rules that were put in force, the newest first.")
            .needs(Needs::Operator(OperatorAct::Rules))
            .lists::<api::RuleSet>(),
        Route::get("/v1/operator/routes/{number}", rules::read)
            .does("routes.read", "One of them, with the text that it was read from.")
            .needs(Needs::Operator(OperatorAct::Rules))
            .shows::<api::RuleSetText>(),
        Route::post("/v1/operator/routes/apply", rules::apply)
            .does(
                "routes.apply",
                "Reads the server's file of route rules again, and puts in force what it says.",
            )
            .needs(Needs::Operator(OperatorAct::Rules))
            .shows::<api::RuleSet>()
            .codes(&[Code::NothingToDo, Code::NoRulesFile, Code::RulesRefused]),
        Route::post("/v1/operator/organizations/{organization}/import:open", operator::open_import)
            .does("organizations.open_import", "Lets the organization import keys of another system.")
            .needs(Needs::Operator(OperatorAct::Import))
            .shows::<api::Organization>(),
        Route::post("/v1/operator/organizations/{organization}/import:close", operator::close_import)
            .does("organizations.close_import", "Ends that; what was imported stays.")
            .needs(Needs::Operator(OperatorAct::Import))
            .shows::<api::Organization>(),
        Route::post("/v1/operator/backup", restore::make_backup)
            .only_asks()
            .does("backups.create", "A copy of the whole state as it is now, for `latchkey restore`.")
            .needs(Needs::Operator(OperatorAct::Backup))
            .answers(restore::BACKUP),
        Route::get("/v1/operator/restore", restore::list)
            .does("restore.list", "What a restore holds until an operator confirms it.")
            .needs(Needs::Operator(OperatorAct::Restore))
            .asks::<api::HeldQuery>()
            .lists::<api::HeldThing>()
            .codes(&[Code::NotFound]),
        Route::post("/v1/operator/restore/confirm", restore::confirm)
            .does("restore.confirm", "Lets held things of an organization go.")
            .needs(Needs::Operator(OperatorAct::Restore))
            .takes::<api::ConfirmRestore>()
            .shows::<api::ConfirmedRestore>()
            .codes(&[Code::NotFound]),
    ]
}

fn gates() -> Vec<Route> {
    vec![
        Route::get("/v1/gate/head", gates::head)
            .does("gates.head", "The newest head, once there is another than the one that the gate has.")
            .needs(Needs::Gate)
            .asks::<api::GateHeadQuery>()
            .answers(gates::OCTETS)
            .or_nothing()
            .codes(&[Code::TooManyWaits]),
        Route::get("/v1/gate/roots/{version}", gates::root)
            .does("gates.root", "A root; it never changes.")
            .needs(Needs::Gate)
            .answers(gates::OCTETS),
        Route::get("/v1/gate/objects/{digest}", gates::object)
            .does("gates.object", "What a head leads to; it never changes.")
            .needs(Needs::Gate)
            .answers(gates::OCTETS),
    ]
}

fn organizations() -> Vec<Route> {
    vec![
        Route::post("/v1/organizations", organizations::create)
            .does("organizations.create", "Makes an organization with its owner and its Default Project.")
            .needs(Needs::Operator(OperatorAct::Organizations))
            .takes::<api::CreateOrganization>()
            .makes::<api::CreatedOrganization>(),
        Route::get("/v1/organizations", organizations::list)
            .does("organizations.list", "The caller's organizations; for an operator, all.")
            .needs(Needs::Credential)
            .lists::<api::Organization>(),
        Route::get("/v1/organizations/{organization}", organizations::read)
            .does("organizations.read", "One organization.")
            .permission(Permission::OrgSettingsRead)
            .shows::<api::Organization>(),
        Route::patch("/v1/organizations/{organization}", organizations::change)
            .does("organizations.change", "Gives the organization another name.")
            .permission(Permission::OrgSettingsWrite)
            .takes::<api::ChangeOrganization>()
            .shows::<api::Organization>(),
        Route::post("/v1/organizations/{organization}/suspend", organizations::suspend)
            .does("organizations.suspend", "Refuses every key, session and membership of it.")
            .needs(Needs::Operator(OperatorAct::Suspension))
            .shows::<api::Organization>(),
        Route::post("/v1/organizations/{organization}/resume", organizations::resume)
            .does("organizations.resume", "Lets it in again.")
            .needs(Needs::Operator(OperatorAct::Suspension))
            .shows::<api::Organization>(),
    ]
}

fn settings() -> Vec<Route> {
    vec![
        Route::get("/v1/organizations/{organization}/settings", settings::read)
            .does("settings.read", "How people join, how long sessions last, what keys must keep to.")
            .permission(Permission::OrgSettingsRead)
            .shows::<api::OrganizationSettings>(),
        Route::patch("/v1/organizations/{organization}/settings", settings::change)
            .does("settings.change", "Changes the organization's settings.")
            .needs(Needs::OneOf(&[Permission::OrgSettingsWrite, Permission::OrgSsoManage]))
            .takes::<api::ChangeOrganizationSettings>()
            .shows::<api::OrganizationSettings>(),
        Route::get("/v1/organizations/{organization}/ownership", settings::read_ownership)
            .does("ownership.read", "Who owns the organization, and to whom that is offered.")
            .permission(Permission::OrgMembersRead)
            .shows::<api::Ownership>(),
        Route::post("/v1/organizations/{organization}/ownership", settings::offer_ownership)
            .does("ownership.offer", "Offers the ownership to another admin, for 7 days.")
            .needs(Needs::Ownership)
            .takes::<api::OfferOwnership>()
            .makes::<api::Ownership>()
            .codes(&[Code::OfferOpen]),
        Route::delete("/v1/organizations/{organization}/ownership", settings::cancel_offer)
            .does("ownership.cancel", "Takes the offer of the ownership back.")
            .needs(Needs::Ownership)
            .shows::<api::Ownership>(),
        Route::post("/v1/organizations/{organization}/ownership/accept", settings::accept_ownership)
            .does("ownership.accept", "Accepts the ownership, for whom it is offered to.")
            .needs(Needs::Succession)
            .shows::<api::Ownership>(),
    ]
}

fn service_accounts() -> Vec<Route> {
    vec![
        Route::post("/v1/organizations/{organization}/service-accounts", service_accounts::create)
            .does("service_accounts.create", "Makes a service account and shows its token, once.")
            .permission(Permission::OrgMembersManageRoles)
            .takes::<api::CreateServiceAccount>()
            .makes::<api::CreatedServiceAccount>(),
        Route::get("/v1/organizations/{organization}/service-accounts", service_accounts::list)
            .does("service_accounts.list", "The organization's service accounts.")
            .permission(Permission::OrgMembersRead)
            .lists::<api::ServiceAccount>(),
        Route::post(
            "/v1/organizations/{organization}/service-accounts/{user}/rotate",
            service_accounts::rotate,
        )
        .does("service_accounts.rotate", "Revokes its token and shows a new one, once.")
        .permission(Permission::OrgMembersManageRoles)
        .takes::<api::RotateServiceToken>()
        .shows::<api::CreatedServiceAccount>(),
        Route::delete("/v1/organizations/{organization}/service-accounts/{user}", service_accounts::delete)
            .does("service_accounts.delete", "Deletes a service account; what it made stays.")
            .permission(Permission::OrgMembersManageRoles)
            .shows::<api::ServiceAccount>(),
    ]
}

fn members() -> Vec<Route> {
    vec![
        Route::get("/v1/organizations/{organization}/members", members::list)
            .does("members.list", "The organization's members, service accounts included.")
            .permission(Permission::OrgMembersRead)
            .lists::<api::Member>(),
        Route::get("/v1/organizations/{organization}/members/{user}", members::read)
            .does("members.read", "One member.")
            .permission(Permission::OrgMembersRead)
            .shows::<api::Member>(),
        Route::patch("/v1/organizations/{organization}/members/{user}", members::change)
            .does("members.change", "Changes a member's role.")
            .permission(Permission::OrgMembersManageRoles)
            .takes::<api::ChangeMember>()
            .shows::<api::Member>()
            .codes(&[Code::Owner, Code::LastAdmin]),
        Route::delete("/v1/organizations/{organization}/members/{user}", members::remove)
            .does("members.remove", "Removes a member; what they made stays.")
            .permission(Permission::OrgMembersRemove)
            .shows::<api::Member>()
            .codes(&[Code::Owner, Code::LastAdmin]),
        Route::post("/v1/organizations/{organization}/leave", members::leave)
            .does("members.leave", "Ends the caller's own membership.")
            .needs(Needs::Own)
            .shows::<api::Member>()
            .codes(&[Code::Owner, Code::LastAdmin]),
        Route::get("/v1/organizations/{organization}/departures", members::list_departures)
            .does("members.list_departures", "Who was removed and not let in again.")
            .permission(Permission::OrgMembersInvite)
            .lists::<api::Departure>(),
        Route::post("/v1/organizations/{organization}/members/{user}/readmit", members::readmit)
            .does("members.readmit", "Lets somebody who was removed join again.")
            .permission(Permission::OrgMembersInvite)
            .shows::<api::Departure>(),
    ]
}

fn invitations() -> Vec<Route> {
    vec![
        Route::post("/v1/organizations/{organization}/invitations", invitations::create)
            .does("invitations.create", "Invites an address, and shows the token of the link, once.")
            .permission(Permission::OrgMembersInvite)
            .takes::<api::CreateInvitation>()
            .makes::<api::CreatedInvitation>()
            .codes(&[Code::AlreadyMember, Code::AlreadyInvited, Code::SsoOrganization]),
        Route::get("/v1/organizations/{organization}/invitations", invitations::list)
            .does("invitations.list", "The invitations to the organization, whatever became of them.")
            .permission(Permission::OrgMembersInvite)
            .lists::<api::Invitation>(),
        Route::get("/v1/organizations/{organization}/invitations/{invitation}", invitations::read)
            .does("invitations.read", "One invitation.")
            .permission(Permission::OrgMembersInvite)
            .shows::<api::Invitation>(),
        Route::delete("/v1/organizations/{organization}/invitations/{invitation}", invitations::cancel)
            .does("invitations.cancel", "Calls an invitation back, for good.")
            .permission(Permission::OrgMembersInvite)
            .shows::<api::Invitation>()
            .codes(&[Code::InvitationClosed]),
        Route::post("/v1/organizations/{organization}/invitations/{invitation}/resend", invitations::resend)
            .does("invitations.resend", "Sends an invitation again: a new link, and the old one is dead.")
            .permission(Permission::OrgMembersInvite)
            .shows::<api::CreatedInvitation>()
            .codes(&[Code::InvitationClosed, Code::SsoOrganization]),
        Route::post("/v1/invitations:accept", invitations::accept)
            .does("invitations.accept", "Accepts an invitation to the caller's own address.")
            .needs(Needs::Own)
            .takes::<api::AcceptInvitation>()
            .shows::<api::AcceptedInvitation>()
            .codes(&[
                Code::Suspended,
                Code::Archived,
                Code::NotFound,
                Code::InvitationClosed,
                Code::SsoOrganization,
                Code::AlreadyMember,
                Code::AlreadyCollaborator,
                Code::ExternalsOff,
                Code::Removed,
            ]),
        Route::get("/v1/me/invitations", invitations::list_own)
            .does("invitations.list_own", "The open invitations to the caller's own address.")
            .needs(Needs::Own)
            .shows::<api::MyInvitations>(),
    ]
}

fn projects() -> Vec<Route> {
    vec![
        Route::post("/v1/organizations/{organization}/projects", projects::create)
            .does("projects.create", "Makes a project; its creator becomes its admin.")
            .permission(Permission::OrgProjectsCreate)
            .takes::<api::CreateProject>()
            .makes::<api::Project>()
            .codes(&[Code::SlugTaken]),
        Route::get("/v1/organizations/{organization}/projects", projects::list)
            .does("projects.list", "The organization's projects that the caller may know of.")
            .permission(Permission::OrgProjectsList)
            .lists::<api::Project>(),
        Route::get("/v1/projects/{project}", projects::read)
            .does("projects.read", "One project, by id or slug.")
            .permission(Permission::ProjectSettingsRead)
            .shows::<api::Project>(),
        Route::get("/v1/projects/{project}/settings", projects::settings)
            .does("projects.settings", "A project's settings.")
            .permission(Permission::ProjectSettingsRead)
            .shows::<api::ProjectSettings>(),
        Route::patch("/v1/projects/{project}/settings", projects::change_settings)
            .does("projects.change_settings", "Changes a project's name, slug or visibility.")
            .needs(Needs::OneOf(&[Permission::ProjectSettingsWrite, Permission::OrgProjectsSetVisibility]))
            .takes::<api::ChangeProjectSettings>()
            .shows::<api::ProjectSettings>()
            .codes(&[Code::SlugTaken, Code::DefaultProject]),
        Route::delete("/v1/projects/{project}", projects::delete)
            .does("projects.delete", "Deletes an archived project, for good, once its slug is typed.")
            .permission(Permission::OrgProjectsDelete)
            .takes::<api::DeleteProject>()
            .shows::<api::Project>()
            .codes(&[Code::NotArchived, Code::DefaultProject]),
        Route::post("/v1/projects/{project}/archive", projects::archive)
            .does("projects.archive", "Refuses every key and session in it; nothing is lost.")
            .permission(Permission::OrgProjectsArchive)
            .shows::<api::Project>()
            .codes(&[Code::DefaultProject]),
        Route::post("/v1/projects/{project}/unarchive", projects::unarchive)
            .does("projects.unarchive", "Takes it out of the archive: all is as it was.")
            .permission(Permission::OrgProjectsArchive)
            .shows::<api::Project>()
            .codes(&[Code::NotArchived, Code::HeldByRestore]),
        Route::put("/v1/projects/{project}/external", projects::switch_external)
            .does("projects.switch_external", "Lets external collaborators in, or refuses them at once.")
            .permission(Permission::ProjectExternalWrite)
            .takes::<api::SwitchExternal>()
            .shows::<api::Project>()
            .codes(&[Code::DefaultProject, Code::HeldByRestore]),
        Route::post("/v1/projects/{project}/join", projects::join)
            .does("projects.join", "Joins the project.")
            .needs(Needs::Join)
            .shows::<api::Project>()
            .codes(&[Code::AlreadyCollaborator]),
        Route::post("/v1/projects/{project}/leave", projects::leave)
            .does("projects.leave", "Leaves the project.")
            .needs(Needs::Own)
            .shows::<api::Project>()
            .codes(&[Code::DefaultProject]),
    ]
}

fn collaborators() -> Vec<Route> {
    vec![
        Route::post("/v1/projects/{project}/collaborators", collaborators::add)
            .does("collaborators.add", "Adds a member of the organization, or invites somebody else.")
            .permission(Permission::CollaboratorsAdd)
            .takes::<api::AddCollaborator>()
            .makes::<api::AddedCollaborator>()
            .codes(&[
                Code::AlreadyCollaborator,
                Code::AlreadyInvited,
                Code::DefaultProject,
                Code::ExternalsOff,
            ]),
        Route::get("/v1/projects/{project}/collaborators", collaborators::list)
            .does("collaborators.list", "Who takes part in the project.")
            .permission(Permission::CollaboratorsRead)
            .lists::<api::Collaborator>(),
        Route::get("/v1/projects/{project}/collaborators/{user}", collaborators::read)
            .does("collaborators.read", "One collaborator.")
            .permission(Permission::CollaboratorsRead)
            .shows::<api::Collaborator>(),
        Route::patch("/v1/projects/{project}/collaborators/{user}", collaborators::change)
            .does(
                "collaborators.change",
                "Changes a collaborator's role, or when an external one's access ends.",
            )
            .permission(Permission::CollaboratorsManageRoles)
            .takes::<api::ChangeCollaborator>()
            .shows::<api::Collaborator>()
            .codes(&[Code::OrganizationAdmin]),
        Route::delete("/v1/projects/{project}/collaborators/{user}", collaborators::remove)
            .does("collaborators.remove", "Removes a collaborator, and the keys they made if told to.")
            .permission(Permission::CollaboratorsRemove)
            .asks::<api::RemoveCollaboratorQuery>()
            .shows::<api::RemovedCollaborator>()
            .codes(&[Code::DefaultProject]),
        Route::get("/v1/projects/{project}/invitations", collaborators::list_invitations)
            .does("project_invitations.list", "The invitations to the project, whatever became of them.")
            .permission(Permission::CollaboratorsAdd)
            .lists::<api::Invitation>(),
        Route::get("/v1/projects/{project}/invitations/{invitation}", collaborators::read_invitation)
            .does("project_invitations.read", "One invitation to the project.")
            .permission(Permission::CollaboratorsAdd)
            .shows::<api::Invitation>(),
        Route::delete("/v1/projects/{project}/invitations/{invitation}", collaborators::cancel_invitation)
            .does("project_invitations.cancel", "Calls an invitation to the project back, for good.")
            .permission(Permission::CollaboratorsAdd)
            .shows::<api::Invitation>()
            .codes(&[Code::InvitationClosed]),
        Route::post(
            "/v1/projects/{project}/invitations/{invitation}/resend",
            collaborators::resend_invitation,
        )
        .does("project_invitations.resend", "Sends it again: a new link, and the old one is dead.")
        .permission(Permission::CollaboratorsAdd)
        .shows::<api::CreatedInvitation>()
        .codes(&[Code::InvitationClosed, Code::ExternalsOff]),
    ]
}

fn notices() -> Vec<Route> {
    vec![
        Route::get("/v1/projects/{project}/notices", notices::of_project)
            .does("notices.list_project", "What the project's people should hear of, the newest first.")
            .permission(Permission::CollaboratorsRead)
            .lists::<api::Notice>(),
        Route::get("/v1/organizations/{organization}/notices", notices::of_organization)
            .does("notices.list_organization", "What the organization's admins should hear of.")
            .permission(Permission::OrgSettingsWrite)
            .lists::<api::Notice>(),
    ]
}

fn keys() -> Vec<Route> {
    vec![
        Route::post("/v1/projects/{project}/keys", keys::create)
            .does("keys.create", "Makes a key and shows its secret, once.")
            .permission(Permission::KeysCreate)
            .takes::<api::CreateKey>()
            .makes::<api::CreatedKey>(),
        Route::post("/v1/projects/{project}/keys:batch", keys::create_batch)
            .does("keys.create_batch", "Makes up to 10,000 keys: all, or none.")
            .permission(Permission::KeysCreate)
            .takes::<api::CreateKeys>()
            .makes::<api::CreatedKeys>()
            .body_max(BATCH_BODY_BYTES_MAX),
        Route::post("/v1/projects/{project}/keys:import", keys::import)
            .does(
                "keys.import",
                "Imports up to 10,000 keys of another system by their digests: all, or none.",
            )
            .permission(Permission::KeysCreate)
            .takes::<api::ImportKeys>()
            .makes::<api::ImportedKeys>()
            .codes(&[Code::ImportClosed, Code::DigestTaken])
            .body_max(BATCH_BODY_BYTES_MAX),
        Route::get("/v1/projects/{project}/keys", keys::list)
            .does("keys.list", "The project's keys, the newest first.")
            .permission(Permission::KeysRead)
            .lists::<api::Key>(),
        Route::get("/v1/keys/{key}", keys::read)
            .does("keys.read", "One key.")
            .permission(Permission::KeysRead)
            .shows::<api::Key>(),
        Route::patch("/v1/keys/{key}", keys::change)
            .does("keys.change", "Changes a key.")
            .needs(Needs::OneOf(&[Permission::KeysCreate, Permission::KeysRevoke]))
            .takes::<api::ChangeKey>()
            .shows::<api::Key>()
            .codes(&[Code::KeyRevoked, Code::KeyRotated]),
        Route::post("/v1/keys/{key}/rotate", keys::rotate)
            .does(
                "keys.rotate",
                "Makes a key's successor and shows its secret, once; the old key stays for a while.",
            )
            .permission(Permission::KeysCreate)
            .takes::<api::RotateKey>()
            .makes::<api::RotatedKey>()
            .codes(&[Code::KeyRevoked, Code::KeyExpired, Code::KeyRotated, Code::HeldByRestore]),
        Route::post("/v1/keys/{key}/revoke", keys::revoke)
            .does("keys.revoke", "Revokes a key, for good.")
            .permission(Permission::KeysRevoke)
            .shows::<api::Key>(),
        Route::post("/v1/keys/{key}/disable", keys::disable)
            .does("keys.disable", "Switches a key off, reversibly.")
            .permission(Permission::KeysRevoke)
            .shows::<api::Key>()
            .codes(&[Code::KeyRevoked]),
        Route::post("/v1/keys/{key}/enable", keys::enable)
            .does("keys.enable", "Switches a key on again.")
            .permission(Permission::KeysCreate)
            .shows::<api::Key>()
            .codes(&[Code::KeyRevoked, Code::HeldByRestore]),
    ]
}

/// What is asked by a key itself, and by whoever found one.
fn holders() -> Vec<Route> {
    vec![
        Route::get("/v1/whoami", keys::whoami)
            .does("keys.whoami", "Who the key is that asks.")
            .needs(Needs::Key)
            .shows::<api::Whoami>()
            .codes(&[Code::KeyNeeded, Code::NetworkNotAllowed]),
        Route::post("/v1/leaks", leaks::report)
            .does("leaks.report", "Revokes the key or session that was found, if it is one.")
            .needs(Needs::Nothing)
            .takes::<api::ReportLeak>()
            .accepts::<api::LeakReported>()
            .body_max(LEAK_BODY_BYTES_MAX),
    ]
}

fn resources() -> Vec<Route> {
    vec![
        Route::post("/v1/projects/{project}/resources", resources::register)
            .does("resources.register", "Registers a resource in the project, for ever.")
            .needs(Needs::Operator(OperatorAct::Resources))
            .takes::<api::RegisterResource>()
            .makes::<api::Resource>()
            .codes(&[Code::ResourceTaken]),
        Route::post("/v1/projects/{project}/resources:batch", resources::register_batch)
            .does("resources.register_batch", "Registers up to 10,000 resources: all, or none.")
            .needs(Needs::Operator(OperatorAct::Resources))
            .takes::<api::RegisterResources>()
            .makes::<api::RegisteredResources>()
            .codes(&[Code::ResourceTaken])
            .body_max(BATCH_BODY_BYTES_MAX),
        Route::get("/v1/projects/{project}/resources", resources::list)
            .does("resources.list", "The project's resources of the types that the caller may see.")
            .needs(Needs::OneOf(VIEWS))
            .asks::<api::ResourceQuery>()
            .lists::<api::Resource>(),
        Route::get("/v1/projects/{project}/resources/{type}/{id}", resources::read)
            .does("resources.read", "One resource.")
            .needs(Needs::OneOf(VIEWS))
            .shows::<api::Resource>(),
        Route::patch("/v1/projects/{project}/resources/{type}/{id}", resources::change)
            .does("resources.change", "Changes a resource's name, or the way into a cluster.")
            .needs(Needs::Operator(OperatorAct::Resources))
            .takes::<api::ChangeResource>()
            .shows::<api::Resource>(),
        Route::delete("/v1/projects/{project}/resources/{type}/{id}", resources::delete)
            .does("resources.delete", "Deletes a resource; its type and id stay taken.")
            .needs(Needs::Operator(OperatorAct::Resources))
            .shows::<api::Resource>(),
        Route::get("/v1/projects/{project}/clusters/{id}/kubeconfig", resources::read_kubeconfig)
            .does("clusters.kubeconfig", "A kubeconfig, without a secret in it.")
            .needs(Needs::OneOf(&[Permission::ClustersKubectl, Permission::ClustersAdminKubeconfig]))
            .asks::<api::KubeconfigQuery>()
            .answers(resources::YAML)
            .codes(&[Code::ClusterAccess]),
        Route::get("/v1/projects/{project}/clusters/{id}/rolebinding", resources::read_rolebinding)
            .does("clusters.rolebinding", "The manifest that maps the project's roles to Kubernetes' own.")
            .permission(Permission::ClustersView)
            .answers(resources::YAML)
            .codes(&[Code::ClusterAccess]),
    ]
}

/// What it takes to see resources, type by type (P3).
const VIEWS: &[Permission] = &[
    Permission::ClustersView,
    Permission::VolumesView,
    Permission::ModelsView,
    Permission::EndpointsView,
    Permission::EvaluationsView,
    Permission::FilesView,
];

fn usage() -> Vec<Route> {
    let (held, tokens) = (Needs::Operator(OperatorAct::Usage), Needs::Operator(OperatorAct::Tokens));
    vec![
        Route::get("/v1/organizations/{organization}/usage", usage::read_organization)
            .does(
                "usage.read_organization",
                "What was used in all of its projects; JSON, or CSV with `format=csv`.",
            )
            .permission(Permission::OrgUsageRead)
            .asks::<api::UsageQuery>()
            .shows::<api::Usage>()
            .or_answers(usage::CSV),
        Route::get("/v1/projects/{project}/usage", usage::read_project)
            .does("usage.read_project", "What was used in the project; JSON, or CSV with `format=csv`.")
            .permission(Permission::ProjectUsageRead)
            .asks::<api::UsageQuery>()
            .shows::<api::Usage>()
            .or_answers(usage::CSV),
        Route::post("/v1/usage/batches", usage::report)
            .does("usage.report", "Takes in what edges counted, once.")
            .needs(Needs::Report)
            .takes::<api::ReportUsage>()
            .accepts::<api::ReportedUsage>()
            .body_max(BATCH_BODY_BYTES_MAX),
        Route::get("/v1/operator/usage/batches", usage::list_batches)
            .does("usage.list_batches", "The batches that are held.")
            .needs(held)
            .lists::<api::UsageBatch>(),
        Route::get("/v1/operator/usage/batches/{batch}", usage::read_batch)
            .does("usage.read_batch", "One batch, with its lines if it is held.")
            .needs(held)
            .shows::<api::UsageBatchDetail>(),
        Route::post("/v1/operator/usage/batches/{batch}/accept", usage::accept_batch)
            .does("usage.accept", "Counts a held batch.")
            .needs(held)
            .shows::<api::UsageBatch>()
            .codes(&[Code::UsageUncountable, Code::UsageSettled]),
        Route::post("/v1/operator/usage/batches/{batch}/discard", usage::discard_batch)
            .does("usage.discard", "Throws a held batch away.")
            .needs(held)
            .shows::<api::UsageBatch>()
            .codes(&[Code::UsageSettled]),
        Route::post("/v1/operator/usage-tokens", usage::create_token)
            .does("usage_tokens.create", "Makes a credential that brings usage, and shows it, once.")
            .needs(tokens)
            .takes::<api::CreateUsageToken>()
            .makes::<api::CreatedUsageToken>(),
        Route::get("/v1/operator/usage-tokens", usage::list_tokens)
            .does("usage_tokens.list", "The credentials that bring usage.")
            .needs(tokens)
            .shows::<api::UsageTokenList>(),
        Route::delete("/v1/operator/usage-tokens/{token}", usage::revoke_token)
            .does("usage_tokens.revoke", "Revokes one, for good.")
            .needs(tokens)
            .shows::<api::UsageToken>(),
        Route::get("/v1/operator/prices", usage::read_prices)
            .does("prices.read", "What a request costs, by permission.")
            .needs(held)
            .shows::<api::Prices>(),
        Route::put("/v1/operator/prices", usage::set_prices)
            .does("prices.set", "Replaces the price list.")
            .needs(held)
            .takes::<api::Prices>()
            .shows::<api::Prices>(),
    ]
}

fn budgets() -> Vec<Route> {
    let read = |route: Route| route.shows::<api::Budget>();
    let set = |route: Route| route.takes::<api::SetBudget>().shows::<api::Budget>();
    vec![
        read(Route::get("/v1/organizations/{organization}/budget", budgets::read_organization))
            .does("budgets.read_organization", "The organization's budget.")
            .permission(Permission::OrgBillingRead),
        set(Route::put("/v1/organizations/{organization}/budget", budgets::set_organization))
            .does("budgets.set_organization", "Sets the organization's budget.")
            .permission(Permission::OrgBillingWrite),
        read(Route::delete("/v1/organizations/{organization}/budget", budgets::remove_organization))
            .does("budgets.remove_organization", "Removes the organization's budget.")
            .permission(Permission::OrgBillingWrite),
        read(Route::get("/v1/projects/{project}/budget", budgets::read_project))
            .does("budgets.read_project", "The project's budget.")
            .permission(Permission::ProjectUsageRead),
        set(Route::put("/v1/projects/{project}/budget", budgets::set_project))
            .does("budgets.set_project", "Sets the project's budget.")
            .permission(Permission::ProjectSettingsWrite),
        read(Route::delete("/v1/projects/{project}/budget", budgets::remove_project))
            .does("budgets.remove_project", "Removes the project's budget.")
            .permission(Permission::ProjectSettingsWrite),
        read(Route::get("/v1/keys/{key}/budget", budgets::read_key))
            .does("budgets.read_key", "The budget of a key and of those that it succeeds or that succeed it.")
            .permission(Permission::KeysRead),
        set(Route::put("/v1/keys/{key}/budget", budgets::set_key))
            .does("budgets.set_key", "Sets the budget of a key; raising it takes at least the key's role.")
            .permission(Permission::KeysCreate),
        read(Route::delete("/v1/keys/{key}/budget", budgets::remove_key))
            .does("budgets.remove_key", "Removes the budget of a key, which takes at least the key's role.")
            .permission(Permission::KeysCreate),
    ]
}

fn audit() -> Vec<Route> {
    vec![
        Route::get("/v1/organizations/{organization}/audit", audit::list)
            .does("audit.list", "Entries of the organization's audit log, the newest first.")
            .permission(Permission::OrgAuditRead)
            .asks::<api::AuditQuery>()
            .lists::<api::AuditRecord>(),
        Route::get("/v1/organizations/{organization}/audit/export", audit::export)
            .does("audit.export", "The organization's audit log as JSON Lines, part by part.")
            .permission(Permission::OrgAuditRead)
            .asks::<api::AuditExportQuery>()
            .answers(audit::LINES),
        Route::get("/v1/organizations/{organization}/audit/checkpoint", audit::read_checkpoint)
            .does("audit.read_checkpoint", "The whole log's size and root, signed, to be kept.")
            .permission(Permission::OrgAuditRead)
            .answers(audit::NOTE),
        Route::get("/v1/organizations/{organization}/audit/proof", audit::prove)
            .does("audit.prove", "That an entry is in the log, or that the log only grew.")
            .permission(Permission::OrgAuditRead)
            .asks::<api::AuditProofQuery>()
            .shows::<api::AuditProof>()
            .codes(&[Code::NotFound]),
        Route::get("/v1/operator/audit", audit::list_all)
            .does("audit.list_all", "Entries of the whole audit log, the newest first.")
            .needs(Needs::Operator(OperatorAct::Audit))
            .asks::<api::AuditQuery>()
            .lists::<api::AuditRecord>(),
        Route::get("/v1/operator/audit/export", audit::export_all)
            .does("audit.export_all", "The whole audit log as JSON Lines, part by part.")
            .needs(Needs::Operator(OperatorAct::Audit))
            .asks::<api::AuditExportQuery>()
            .answers(audit::LINES),
        Route::get("/v1/operator/audit/checkpoint", audit::read_checkpoint_all)
            .does("audit.read_checkpoint_all", "The log's size and root, signed.")
            .needs(Needs::Operator(OperatorAct::Audit))
            .answers(audit::NOTE),
        Route::get("/v1/operator/audit/proof", audit::prove_all)
            .does("audit.prove_all", "That an entry is in the log, or that the log only grew.")
            .needs(Needs::Operator(OperatorAct::Audit))
            .asks::<api::AuditProofQuery>()
            .shows::<api::AuditProof>()
            .codes(&[Code::NotFound]),
        Route::get("/v1/operator/audit/tile/{level}/{*index}", audit::read_tile)
            .does("audit.read_tile", "Hashes of the log's tree, named as C2SP tlog-tiles does.")
            .needs(Needs::Operator(OperatorAct::Audit))
            .answers(audit::TILE),
        Route::post("/v1/operator/audit/{position}/erase", audit::erase)
            .does("audit.erase", "Drops what an entry says; its hash and every proof stay.")
            .needs(Needs::Operator(OperatorAct::Audit))
            .shows::<api::AuditRecord>(),
    ]
}
