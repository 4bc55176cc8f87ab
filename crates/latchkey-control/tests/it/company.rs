//! An organization with its owner, for the tests of its people.

use latchkey_control::iam::{InvitedInto, PlainToken, TokenKind};
use latchkey_control::store::{Change, Ctx, View};
use latchkey_core::{InvitationId, OrganizationId, ProjectId, Role, UserId};
use latchkey_testkit::{Actor, Reply, Stage};
use serde_json::{Value, json};

pub(crate) const DAY_SECS: u64 = 24 * 60 * 60;

pub(crate) struct Company {
    pub(crate) stage: Stage,
    pub(crate) id: String,
    pub(crate) default_project: String,
    pub(crate) owner: Actor,
}

/// An invitation, and the token of its link.
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Sent {
    pub(crate) fn read(reply: &Reply) -> Self {
        let body = reply.json();
        Self { id: text(&body["invitation"]["id"]), token: text(&body["token"]) }
    }
}

impl Company {
    pub(crate) async fn new() -> Self {
        let stage = Stage::new().await;
        let made = stage.organization("Acme", "owner@acme.test").await;
        let owner = stage.sign_in("owner@acme.test").await;
        Self { stage, id: made.organization.id, default_project: made.default_project.id, owner }
    }

    /// A path of the organization: `at("/members")`.
    pub(crate) fn at(&self, rest: &str) -> String {
        format!("/v1/organizations/{}{rest}", self.id)
    }

    /// The path of a member.
    pub(crate) async fn member_path(&self, who: &Actor) -> String {
        self.at(&format!("/members/{}", user_id(who).await))
    }

    /// Somebody who has joined by an invitation of the owner.
    pub(crate) async fn joined(&self, email: &str, role: &str) -> Actor {
        let sent = self.invited(&self.owner, email, role).await;
        let person = self.stage.sign_in(email).await;
        accept(&person, &sent).await.expect(200);
        person
    }

    pub(crate) async fn invited(&self, by: &Actor, email: &str, role: &str) -> Sent {
        let body = json!({ "email": email, "role": role });
        Sent::read(&by.post(&self.at("/invitations"), body).await.expect(201))
    }

    /// What an admin sees of an invitation's status.
    pub(crate) async fn status(&self, sent: &Sent) -> String {
        let shown = self.owner.get(&self.at(&format!("/invitations/{}", sent.id))).await.expect(200);
        text(&shown.json()["status"])
    }

    pub(crate) async fn set_role(&self, by: &Actor, who: &Actor, role: &str) -> Reply {
        by.patch(&self.member_path(who).await, json!({ "role": role })).await
    }

    pub(crate) async fn remove(&self, by: &Actor, who: &Actor) -> Reply {
        by.delete(&self.member_path(who).await).await
    }

    /// A session of the account with this address, through an identity of another provider.
    pub(crate) async fn sign_in_as(&self, email: &str, provider: &str, subject: &str) -> Actor {
        let body = json!({ "email": email, "identity": { "provider": provider, "subject": subject } });
        let made = self.stage.operator().post("/v1/operator/sessions", body).await.expect(201);
        self.stage.holder(&text(&made.json()["token"]))
    }

    pub(crate) async fn project(&self, by: &Actor, slug: &str) -> String {
        let body = json!({ "name": slug, "slug": slug });
        text(&by.post(&self.at("/projects"), body).await.expect(201).json()["id"])
    }

    /// A service account, and its id.
    pub(crate) async fn service(&self, role: &str) -> (String, Actor) {
        let body = json!({ "name": "ci", "role": role });
        let made = self.owner.post(&self.at("/service-accounts"), body).await.expect(201).json();
        (text(&made["service_account"]["user_id"]), self.stage.holder(&text(&made["token"])))
    }

    /// The organization belongs to an account that is gone: then an admin can be the last one.
    pub(crate) async fn orphan(&self) {
        let id = OrganizationId::parse(&self.id).unwrap();
        let owner = UserId::parse(&user_id(&self.owner).await).unwrap();
        let decide = move |view: &dyn View, ctx: &mut Ctx| {
            let mut organization = view.organization_by_id(&id).unwrap().unwrap();
            let number = organization.number;
            organization.owner = UserId::generate(&mut ctx.dice);
            (vec![organization.into(), Change::RemoveMembership(number, owner)], ())
        };
        self.stage.put(decide).await;
    }

    /// An invitation to a project as an external collaborator.
    pub(crate) async fn invited_to_project(&self, by: &Actor, project: &str, email: &str) -> Sent {
        let sender = UserId::parse(&user_id(by).await).unwrap();
        let project = ProjectId::parse(project).unwrap();
        let email = latchkey_control::iam::Email::parse(email).unwrap();
        let decide = move |view: &dyn View, ctx: &mut Ctx| {
            let project = view.project_by_id(&project).unwrap().unwrap();
            let token = PlainToken::generate(TokenKind::Invitation, &mut ctx.dice);
            let invitation = latchkey_control::iam::Invitation {
                id: InvitationId::generate(&mut ctx.dice),
                organization: project.organization,
                into: InvitedInto::Project(project.number, Role::Member, None),
                email: email.clone(),
                digest: token.digest(),
                sender,
                sender_identity: view.identities_of(&sender).unwrap()[0].id,
                sent_at: ctx.now,
                expires_at: ctx.now.plus_ms(latchkey_control::iam::invitation::INVITATION_MS),
                outcome: latchkey_control::iam::InvitationOutcome::Pending,
            };
            let sent = Sent { id: invitation.id.to_string(), token: token.expose().to_owned() };
            (vec![invitation.into()], sent)
        };
        self.stage.put(decide).await
    }
}

pub(crate) async fn accept(who: &Actor, sent: &Sent) -> Reply {
    who.post("/v1/invitations:accept", json!({ "token": sent.token })).await
}

pub(crate) async fn user_id(who: &Actor) -> String {
    text(&who.get("/v1/me").await.expect(200).json()["id"])
}

#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The items of a list.
#[track_caller]
pub(crate) fn items(reply: Reply) -> Vec<Value> {
    reply.expect(200).json()["items"].as_array().unwrap().clone()
}

/// The statuses, the smaller first.
pub(crate) fn statuses(one: &Reply, two: &Reply) -> (u16, u16) {
    (one.status.min(two.status), one.status.max(two.status))
}
