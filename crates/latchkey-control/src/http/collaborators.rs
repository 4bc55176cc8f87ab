//! `/v1/projects/{project}/collaborators…` and `/v1/projects/{project}/invitations…`.

use super::auth::By;
use super::body::Json;
use super::params::{Asked, At, Listing};
use super::reply::{Outcome, changed, created, shown};
use crate::app::{Ask, Control, collaborators, project_invitations};
use axum::extract::State;
use latchkey_api::{AddCollaborator, ChangeCollaborator, RemoveCollaboratorQuery};
use latchkey_core::Dice;
use std::sync::Arc;

type Controlled = State<Arc<Control>>;

pub(super) async fn list(
    State(control): Controlled,
    By(asker): By,
    At(project): At<String>,
    Listing(query): Listing,
) -> Outcome {
    shown(control.read(&asker, |ask| collaborators::list(ask, &project, &query)))
}

pub(super) async fn read(
    State(control): Controlled,
    By(asker): By,
    At((project, user)): At<(String, String)>,
) -> Outcome {
    shown(control.read(&asker, |ask| collaborators::read(ask, &project, &user)))
}

pub(super) async fn add(
    State(control): Controlled,
    By(asker): By,
    At(project): At<String>,
    Json(body): Json<AddCollaborator>,
) -> Outcome {
    let decide = move |ask: &Ask, dice: &mut Dice| collaborators::add(ask, dice, &project, &body);
    created(&control, control.write(&asker, decide).await)
}

pub(super) async fn change(
    State(control): Controlled,
    By(asker): By,
    At((project, user)): At<(String, String)>,
    Json(body): Json<ChangeCollaborator>,
) -> Outcome {
    let decide = move |ask: &Ask, _: &mut Dice| collaborators::change(ask, &project, &user, &body);
    changed(&control, control.write(&asker, decide).await)
}

pub(super) async fn remove(
    State(control): Controlled,
    By(asker): By,
    At((project, user)): At<(String, String)>,
    Asked(query): Asked<RemoveCollaboratorQuery>,
) -> Outcome {
    let decide = move |ask: &Ask, _: &mut Dice| collaborators::remove(ask, &project, &user, &query);
    changed(&control, control.write(&asker, decide).await)
}

pub(super) async fn list_invitations(
    State(control): Controlled,
    By(asker): By,
    At(project): At<String>,
    Listing(query): Listing,
) -> Outcome {
    shown(control.read(&asker, |ask| project_invitations::list(ask, &project, &query)))
}

pub(super) async fn read_invitation(
    State(control): Controlled,
    By(asker): By,
    At((project, invitation)): At<(String, String)>,
) -> Outcome {
    shown(control.read(&asker, |ask| project_invitations::read(ask, &project, &invitation)))
}

pub(super) async fn resend_invitation(
    State(control): Controlled,
    By(asker): By,
    At((project, invitation)): At<(String, String)>,
) -> Outcome {
    let decide =
        move |ask: &Ask, dice: &mut Dice| project_invitations::resend(ask, dice, &project, &invitation);
    changed(&control, control.write(&asker, decide).await)
}

pub(super) async fn cancel_invitation(
    State(control): Controlled,
    By(asker): By,
    At((project, invitation)): At<(String, String)>,
) -> Outcome {
    let decide = move |ask: &Ask, _: &mut Dice| project_invitations::cancel(ask, &project, &invitation);
    changed(&control, control.write(&asker, decide).await)
}
