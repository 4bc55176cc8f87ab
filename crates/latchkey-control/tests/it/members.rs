//! Members: roles, removal, leaving, coming back, and through which identity (O1–O6, P1, M4–M10, X2, X6).

use crate::company::{Company, accept, items, statuses, text, user_id};
use latchkey_core::Role;
use serde_json::{Value, json};

#[tokio::test]
async fn member_reads_and_an_admin_manages_p1() {
    let company = Company::new().await;
    let member = company.joined("m@acme.test", "member").await;
    let other = company.member_path(&company.owner).await;
    for (method, rest, body, lacking) in [
        ("PATCH", "", Some(json!({ "name": "B" })), "org.settings.write"),
        ("PATCH", "/settings", Some(json!({ "session_minutes": 60 })), "org.settings.write"),
        ("PATCH", "/settings", Some(json!({ "join_method": "sso" })), "org.sso.manage"),
        ("PUT", "/budget", Some(json!({ "requests_max": 1, "period": "day" })), "org.billing.write"),
        ("GET", "/usage?from=2026-11-01&to=2026-11-02", None, "org.usage.read"),
        ("POST", "/projects", Some(json!({ "name": "P", "slug": "ppp" })), "org.projects.create"),
        ("GET", "/invitations", None, "org.members.invite"),
        ("POST", "/invitations", Some(json!({ "email": "n@acme.test" })), "org.members.invite"),
        ("GET", "/departures", None, "org.members.invite"),
        ("POST", "/service-accounts", Some(json!({ "name": "ci" })), "org.members.manage_roles"),
        ("GET", "/audit", None, "org.audit.read"),
    ] {
        let reply = member.call(method, &company.at(rest), body).await;
        assert_eq!(reply.problem(403, "forbidden")["permission"], lacking, "{method} {rest}");
    }
    let refused = member.patch(&other, json!({ "role": "member" })).await.problem(403, "forbidden");
    assert_eq!(refused["permission"], "org.members.manage_roles");
    let refused = member.delete(&other).await.problem(403, "forbidden");
    assert_eq!(refused["permission"], "org.members.remove");
    for rest in ["", "/settings", "/members", "/ownership", "/service-accounts", "/projects"] {
        member.get(&company.at(rest)).await.expect(200);
    }
    company.set_role(&company.owner, &member, "admin").await.expect(200);
    for rest in ["/invitations", "/departures", "/audit", "/usage?from=2026-11-01&to=2026-11-02"] {
        member.get(&company.at(rest)).await.expect(200);
    }
}

#[tokio::test]
async fn every_member_has_one_of_two_roles_o4() {
    let company = Company::new().await;
    let member = company.joined("m@acme.test", "member").await;
    let path = company.member_path(&member).await;
    for (body, field) in [
        (json!({ "role": "owner" }), "role"),
        (json!({}), ""),
        (json!({ "role": null }), "role"),
        (json!({ "role": "admin", "owner": true }), "owner"),
    ] {
        let problem = company.owner.patch(&path, body.clone()).await.problem(422, "invalid_field");
        assert!(field.is_empty() || problem["field"] == field, "{body}: {problem}");
    }
    let shown = company.owner.get(&path).await.expect(200).json();
    assert_eq!((&shown["role"], &shown["owner"]), (&json!("member"), &json!(false)));
    let changed = company.owner.patch(&path, json!({ "role": "admin" })).await.expect(200).json();
    assert_eq!(changed["role"], "admin");
    assert_eq!(company.owner.get(&path).await.json(), changed);
}

#[tokio::test]
async fn owner_cannot_be_removed_or_demoted_and_cannot_leave_o3() {
    let company = Company::new().await;
    let admin = company.joined("a@acme.test", "admin").await;
    for by in [&admin, &company.owner] {
        company.set_role(by, &company.owner, "member").await.problem(409, "owner");
        company.remove(by, &company.owner).await.problem(409, "owner");
    }
    company.owner.act(&company.at("/leave")).await.problem(409, "owner");
    let owner = admin.get(&company.member_path(&company.owner).await).await.expect(200).json();
    assert_eq!((&owner["role"], &owner["owner"]), (&json!("admin"), &json!(true)));
}

#[tokio::test]
async fn one_account_is_a_member_of_several_organizations_o5() {
    let company = Company::new().await;
    let other = company.stage.organization("Other", "olga@other.test").await.organization.id;
    let olga = company.stage.sign_in("olga@other.test").await;
    let sent = company.invited(&company.owner, "olga@other.test", "member").await;
    accept(&olga, &sent).await.expect(200);
    let me = olga.get("/v1/me").await.expect(200).json();
    let roles: Vec<_> =
        me["organizations"].as_array().unwrap().iter().map(|one| (&one["name"], &one["role"])).collect();
    assert_eq!(roles.len(), 2);
    assert!(roles.contains(&(&json!("Acme"), &json!("member"))), "{roles:?}");
    assert!(roles.contains(&(&json!("Other"), &json!("admin"))), "{roles:?}");
    // What she is in the one gives nothing in the other.
    olga.get(&company.at("/invitations")).await.problem(403, "forbidden");
    company.owner.get(&format!("/v1/organizations/{other}")).await.problem(404, "not_found");
}

#[tokio::test]
async fn suspension_refuses_members_and_services_and_loses_nothing_o6() {
    let company = Company::new().await;
    let member = company.joined("m@acme.test", "member").await;
    let (_, service) = company.service("admin").await;
    let sent = company.invited(&company.owner, "n@acme.test", "member").await;
    let newcomer = company.stage.sign_in("n@acme.test").await;
    company.stage.operator().act(&company.at("/suspend")).await.expect(200);
    for who in [&company.owner, &member, &service] {
        for rest in ["", "/members", "/settings", "/ownership"] {
            who.get(&company.at(rest)).await.problem(403, "suspended");
        }
        who.get(&format!("/v1/projects/{}", company.default_project)).await.problem(403, "suspended");
        who.act(&company.at("/leave")).await.problem(403, "suspended");
    }
    accept(&newcomer, &sent).await.problem(403, "suspended");
    assert!(items(newcomer.get("/v1/me/invitations").await).is_empty());
    company.stage.operator().act(&company.at("/resume")).await.expect(200);
    for who in [&company.owner, &member, &service] {
        who.get(&company.at("/members")).await.expect(200);
    }
    accept(&newcomer, &sent).await.expect(200);
}

#[tokio::test]
async fn mail_domain_grants_nothing_m3() {
    let company = Company::new().await;
    let neighbour = company.stage.sign_in("somebody@acme.test").await;
    neighbour.get(&company.at("")).await.problem(404, "not_found");
    neighbour.get(&format!("/v1/projects/{}", company.default_project)).await.problem(404, "not_found");
    neighbour.act(&format!("/v1/projects/{}/join", company.default_project)).await.problem(404, "not_found");
    let me = neighbour.get("/v1/me").await.expect(200).json();
    assert_eq!((&me["organizations"], &me["collaborations"]), (&json!([]), &json!([])));
    assert!(items(neighbour.get("/v1/organizations").await).is_empty());
}

#[tokio::test]
async fn new_member_is_in_the_default_project_m4() {
    let company = Company::new().await;
    let path = format!("/v1/projects/{}", company.default_project);
    let member = company.joined("m@acme.test", "member").await;
    let admin = company.joined("a@acme.test", "admin").await;
    assert_eq!(member.get(&path).await.expect(200).json()["role"], "member");
    assert_eq!(admin.get(&path).await.expect(200).json()["role"], "admin");
    // J5: what is stored is `member`.
    company.set_role(&company.owner, &admin, "member").await.expect(200);
    assert_eq!(admin.get(&path).await.expect(200).json()["role"], "member");
}

#[tokio::test]
async fn removal_ends_everything_at_once_and_what_they_made_stays_m5() {
    let company = Company::new().await;
    let admin = company.joined("a@acme.test", "admin").await;
    let red = company.project(&admin, "red").await;
    let second = company.stage.sign_in("a@acme.test").await;
    let key = company.stage.key(&admin, &red, Role::Admin).await;
    let holder = company.stage.holder(key.secret.expose());
    let body = json!({ "name": "theirs", "role": "member" });
    let service = admin.post(&company.at("/service-accounts"), body).await.expect(201).json();

    let removed = company.remove(&company.owner, &admin).await.expect(200).json();
    assert_eq!(removed["email"], "a@acme.test");
    for session in [&admin, &second] {
        for rest in ["", "/members", "/projects", "/settings", "/invitations", "/audit"] {
            session.get(&company.at(rest)).await.problem(404, "not_found");
        }
        for project in [&red, &company.default_project] {
            session.get(&format!("/v1/projects/{project}")).await.problem(404, "not_found");
            session.get(&format!("/v1/projects/{project}/keys")).await.problem(404, "not_found");
        }
        session.get(&format!("/v1/keys/{}", key.key.id)).await.problem(404, "not_found");
        let me = session.get("/v1/me").await.expect(200).json();
        assert_eq!((&me["organizations"], &me["collaborations"]), (&json!([]), &json!([])));
    }
    assert_eq!(holder.get("/v1/whoami").await.expect(200).json()["role"], "admin");
    company.stage.holder(&text(&service["token"])).get(&company.at("")).await.expect(200);
    company.remove(&company.owner, &admin).await.problem(404, "not_found");
}

#[tokio::test]
async fn removed_stays_removed_until_an_admin_readmits_m7() {
    let company = Company::new().await;
    let member = company.joined("m@acme.test", "member").await;
    let user = user_id(&member).await;
    let readmit = company.at(&format!("/members/{user}/readmit"));
    company.owner.act(&readmit).await.problem(404, "not_found");
    let early = company.invited(&company.owner, "n@acme.test", "member").await;
    company.remove(&company.owner, &member).await.expect(200);

    let departures = items(company.owner.get(&company.at("/departures")).await);
    assert_eq!((departures.len(), &departures[0]["user_id"]), (1, &json!(user)));
    let plain = company.joined("p@acme.test", "member").await;
    let refused = plain.act(&readmit).await.problem(403, "forbidden");
    assert_eq!(refused["permission"], "org.members.invite");
    member.act(&readmit).await.problem(404, "not_found");
    accept(&member, &early).await.problem(404, "not_found");

    assert_eq!(company.owner.act(&readmit).await.expect(200).json()["user_id"], json!(user));
    assert!(items(company.owner.get(&company.at("/departures")).await).is_empty());
    // Being let in again is no membership yet.
    member.get(&company.at("")).await.problem(404, "not_found");
    company.owner.act(&readmit).await.problem(404, "not_found");
}

#[tokio::test]
async fn new_invitation_of_an_admin_brings_a_removed_one_back_m7() {
    let company = Company::new().await;
    let member = company.joined("m@acme.test", "member").await;
    company.remove(&company.owner, &member).await.expect(200);
    company.stage.clock.advance_secs(1);
    let sent = company.invited(&company.owner, "m@acme.test", "member").await;
    accept(&member, &sent).await.expect(200);
    member.get(&company.at("")).await.expect(200);
    assert!(items(company.owner.get(&company.at("/departures")).await).is_empty());
}

#[tokio::test]
async fn removed_returns_as_an_external_only_through_an_organization_admin_x6() {
    let company = Company::new().await;
    let lead = company.joined("lead@acme.test", "member").await;
    let red = company.project(&company.owner, "red").await;
    company.owner.put(&format!("/v1/projects/{red}/external"), json!({ "allowed": true })).await.expect(200);
    // A project admin who is no organization admin.
    company.stage.person("lead@acme.test", None, Some((&red, Role::Admin))).await;
    let member = company.joined("m@acme.test", "member").await;
    company.remove(&company.owner, &member).await.expect(200);
    company.stage.clock.advance_secs(1);

    let sent = company.invited_to_project(&lead, &red, "m@acme.test").await;
    accept(&member, &sent).await.problem(409, "removed");
    member.get(&format!("/v1/projects/{red}")).await.problem(404, "not_found");

    let sent = company.invited_to_project(&company.owner, &red, "m@acme.test").await;
    accept(&member, &sent).await.expect(200);
    member.get(&format!("/v1/projects/{red}")).await.expect(200);
    // The departure stays: the next return takes an organization admin again.
    assert_eq!(items(company.owner.get(&company.at("/departures")).await).len(), 1);
}

#[tokio::test]
async fn leaving_needs_no_readmission_m7() {
    let company = Company::new().await;
    let member = company.joined("m@acme.test", "member").await;
    company.stage.operator().act(&company.at("/leave")).await.problem(403, "forbidden");
    member.act(&company.at("/leave")).await.expect(200);
    member.get(&company.at("")).await.problem(404, "not_found");
    member.act(&company.at("/leave")).await.problem(404, "not_found");
    assert!(items(company.owner.get(&company.at("/departures")).await).is_empty());
    let sent = company.invited(&company.owner, "m@acme.test", "member").await;
    accept(&member, &sent).await.expect(200);
}

#[tokio::test]
async fn last_admin_stays_and_service_accounts_do_not_count_m9() {
    let company = Company::new().await;
    let admin = company.joined("a@acme.test", "admin").await;
    let (_, service) = company.service("admin").await;
    company.joined("m@acme.test", "member").await;
    company.orphan().await;
    admin.act(&company.at("/leave")).await.problem(409, "last_admin");
    for by in [&admin, &service] {
        company.set_role(by, &admin, "member").await.problem(409, "last_admin");
        company.remove(by, &admin).await.problem(409, "last_admin");
    }
    // The service account itself is no last admin.
    company.set_role(&admin, &service, "member").await.expect(200);
    // Once there is a second one the first may go.
    company.set_role(&admin, &company.stage.sign_in("m@acme.test").await, "admin").await.expect(200);
    admin.act(&company.at("/leave")).await.expect(200);
}

#[tokio::test]
async fn one_of_two_last_admins_who_leave_at_once_stays_m9() {
    let company = Company::new().await;
    let one = company.joined("a@acme.test", "admin").await;
    let two = company.joined("b@acme.test", "admin").await;
    company.orphan().await;
    for round in 0..20 {
        let leave = company.at("/leave");
        let (first, second) = tokio::join!(one.act(&leave), two.act(&leave));
        assert_eq!(statuses(&first, &second), (200, 409), "round {round}");
        let (gone, left, refusal) =
            if first.status == 200 { (&one, &two, second) } else { (&two, &one, first) };
        refusal.problem(409, "last_admin");
        let email = text(&gone.get("/v1/me").await.json()["email"]);
        let sent = company.invited(left, &email, "admin").await;
        accept(gone, &sent).await.expect(200);
    }
}

#[tokio::test]
async fn two_last_admins_who_remove_each_other_at_once_leave_one_m9() {
    let company = Company::new().await;
    let one = company.joined("a@acme.test", "admin").await;
    let two = company.joined("b@acme.test", "admin").await;
    company.orphan().await;
    let (path_one, path_two) = (company.member_path(&one).await, company.member_path(&two).await);
    for round in 0..20 {
        let (first, second) = tokio::join!(one.delete(&path_two), two.delete(&path_one));
        assert_eq!(statuses(&first, &second), (200, 404), "round {round}");
        let (gone, left) = if first.status == 200 { (&two, &one) } else { (&one, &two) };
        let email = text(&gone.get("/v1/me").await.json()["email"]);
        company.stage.clock.advance_secs(1);
        let sent = company.invited(left, &email, "admin").await;
        accept(gone, &sent).await.expect(200);
    }
    for round in 0..20 {
        let demote = json!({ "role": "member" });
        let (first, second) =
            tokio::join!(one.patch(&path_two, demote.clone()), two.patch(&path_one, demote.clone()));
        assert_eq!(statuses(&first, &second), (200, 403), "round {round}");
        let (weak, left) = if first.status == 200 { (&two, &one) } else { (&one, &two) };
        company.set_role(left, weak, "admin").await.expect(200);
    }
}

#[tokio::test]
async fn member_is_removed_once_and_the_owner_never_m9() {
    let company = Company::new().await;
    let admin = company.joined("a@acme.test", "admin").await;
    let owner = company.member_path(&company.owner).await;
    for round in 0..20 {
        let email = format!("m{round}@acme.test");
        let path = company.member_path(&company.joined(&email, "admin").await).await;
        let (one, two) = tokio::join!(admin.delete(&path), company.owner.delete(&path));
        assert_eq!(statuses(&one, &two), (200, 404), "round {round}");
        let (one, two) = tokio::join!(admin.delete(&owner), company.owner.delete(&owner));
        one.problem(409, "owner");
        two.problem(409, "owner");
    }
    let entries = company.owner.get(&company.at("/audit?action=members.remove&limit=200")).await;
    assert_eq!(items(entries).len(), 20);
}

#[tokio::test]
async fn second_identity_of_an_address_has_none_of_the_firsts_rights_m10() {
    let company = Company::new().await;
    let member = company.joined("m@acme.test", "member").await;
    for email in ["owner@acme.test", "m@acme.test"] {
        let (first, twin) =
            (company.stage.sign_in(email).await, company.sign_in_as(email, "https://evil.test", email).await);
        assert_eq!(user_id(&first).await, user_id(&twin).await, "one account");
        for rest in ["", "/members", "/settings", "/ownership", "/projects", "/invitations"] {
            twin.get(&company.at(rest)).await.problem(404, "not_found");
        }
        twin.act(&company.at("/leave")).await.problem(404, "not_found");
        company.remove(&twin, &member).await.problem(404, "not_found");
        twin.act(&company.at("/ownership/accept")).await.problem(404, "not_found");
        let project = format!("/v1/projects/{}", company.default_project);
        for path in [project.clone(), format!("{project}/keys"), format!("{project}/resources")] {
            twin.get(&path).await.problem(404, "not_found");
        }
        twin.act(&format!("{project}/join")).await.problem(404, "not_found");
        assert!(items(twin.get("/v1/organizations").await).is_empty());
        let me = twin.get("/v1/me").await.expect(200).json();
        assert_eq!((&me["organizations"], &me["collaborations"]), (&json!([]), &json!([])));
        first.get(&company.at("")).await.expect(200);
    }
}

#[tokio::test]
async fn sessions_of_another_identity_are_not_shown_and_not_ended_m10() {
    let company = Company::new().await;
    let twin = company.sign_in_as("owner@acme.test", "https://evil.test", "1").await;
    let own = items(company.owner.get("/v1/me/sessions").await);
    assert_eq!(own.len(), 1);
    let twins = items(twin.get("/v1/me/sessions").await);
    assert_eq!(twins.len(), 1);
    assert_ne!(own[0]["id"], twins[0]["id"]);
    let path = format!("/v1/me/sessions/{}", text(&own[0]["id"]));
    twin.delete(&path).await.problem(404, "not_found");
    assert_eq!(items(twin.post("/v1/me/sessions:revoke", json!({ "all": true })).await).len(), 1);
    twin.get("/v1/me").await.problem(401, "revoked");
    company.owner.get("/v1/me").await.expect(200);
}

#[tokio::test]
async fn identity_signs_in_to_its_own_account_whatever_address_is_claimed_m10() {
    let company = Company::new().await;
    let eve = company.sign_in_as("eve@evil.test", "https://evil.test", "eve").await;
    let later = company.sign_in_as("owner@acme.test", "https://evil.test", "eve").await;
    assert_eq!(user_id(&eve).await, user_id(&later).await);
    assert_eq!(later.get("/v1/me").await.json()["email"], "eve@evil.test");
    for provider in ["operator", "service"] {
        let identity = json!({ "provider": provider, "subject": "owner@acme.test" });
        let body = json!({ "email": "owner@acme.test", "identity": identity });
        let reply = company.stage.operator().post("/v1/operator/sessions", body).await;
        assert_eq!(reply.problem(422, "invalid_field")["field"], "identity.provider");
    }
}

#[tokio::test]
async fn session_signs_out_everywhere_else_or_everywhere_s1() {
    let company = Company::new().await;
    let (two, three) =
        (company.stage.sign_in("owner@acme.test").await, company.stage.sign_in("owner@acme.test").await);
    two.post("/v1/me/sessions:revoke", json!({ "others": true })).await.problem(422, "invalid_field");
    company.stage.operator().post("/v1/me/sessions:revoke", json!({})).await.problem(403, "forbidden");
    assert_eq!(items(two.post("/v1/me/sessions:revoke", json!({})).await).len(), 2);
    for ended in [&company.owner, &three] {
        ended.get("/v1/me").await.problem(401, "revoked");
    }
    assert_eq!(items(two.get("/v1/me/sessions").await).len(), 1);
    two.post("/v1/me/sessions:revoke", json!({ "all": true })).await.expect(200);
    two.get("/v1/me").await.problem(401, "revoked");
}

async fn collaborations(of: &latchkey_testkit::Actor) -> Vec<Value> {
    of.get("/v1/me").await.expect(200).json()["collaborations"].as_array().unwrap().clone()
}

#[tokio::test]
async fn external_finds_their_projects_and_the_organizations_name_only_x2() {
    let company = Company::new().await;
    let red = company.project(&company.owner, "red").await;
    let switch = format!("/v1/projects/{red}/external");
    let external = company.stage.person("x@else.test", None, Some((&red, Role::Member))).await;
    assert!(collaborations(&external).await.is_empty(), "the switch is off (X3)");

    company.owner.put(&switch, json!({ "allowed": true })).await.expect(200);
    let shown = collaborations(&external).await;
    let expected = json!({
        "project_id": red, "name": "red", "slug": "red", "organization_name": "Acme",
        "role": "member", "external": true,
    });
    assert_eq!(shown, [expected]);
    external.get(&format!("/v1/projects/{red}")).await.expect(200);
    // M10: another identity of the account is told nothing.
    let twin = company.sign_in_as("x@else.test", "https://evil.test", "x").await;
    assert!(collaborations(&twin).await.is_empty());
    for rest in ["", "/members", "/settings", "/projects", "/ownership", "/budget", "/service-accounts"] {
        external.get(&company.at(rest)).await.problem(404, "not_found");
    }
    assert!(items(external.get("/v1/organizations").await).is_empty());
    external.get(&format!("/v1/projects/{}", company.default_project)).await.problem(404, "not_found");

    company.owner.put(&switch, json!({ "allowed": false })).await.expect(200);
    assert!(collaborations(&external).await.is_empty());
}

#[tokio::test]
async fn external_whose_end_date_passed_finds_nothing_x4() {
    let company = Company::new().await;
    let red = company.project(&company.owner, "red").await;
    company.owner.put(&format!("/v1/projects/{red}/external"), json!({ "allowed": true })).await.expect(200);
    let external = company.stage.person("x@else.test", None, Some((&red, Role::Admin))).await;
    let user = latchkey_core::UserId::parse(&user_id(&external).await).unwrap();
    let project = latchkey_core::ProjectId::parse(&red).unwrap();
    let end = move |view: &dyn latchkey_control::store::View, ctx: &mut latchkey_control::store::Ctx| {
        let project = view.project_by_id(&project).unwrap().unwrap().number;
        let mut part = view.collaboration(project, &user).unwrap().unwrap();
        part.ends_at = latchkey_core::ExpiryMinute::floor(ctx.now.plus_ms(60_000).seconds());
        (vec![part.into()], ())
    };
    company.stage.put(end).await;
    assert_eq!(collaborations(&external).await[0]["ends_at"], "2026-11-23T10:01:00Z");
    company.stage.clock.advance_secs(59);
    assert_eq!(collaborations(&external).await.len(), 1);
    company.stage.clock.advance_secs(1);
    assert!(collaborations(&external).await.is_empty());
}

#[tokio::test]
async fn me_lists_the_projects_of_a_member_and_not_deleted_ones_x2() {
    let company = Company::new().await;
    let red = company.project(&company.owner, "red").await;
    let names = |all: Vec<Value>| {
        let mut names: Vec<_> =
            all.iter().map(|one| (text(&one["slug"]), text(&one["role"]), one["external"].clone())).collect();
        names.sort_by(|one, two| one.0.cmp(&two.0));
        names
    };
    let own = |slug: &str| (slug.to_owned(), "admin".to_owned(), json!(false));
    assert_eq!(names(collaborations(&company.owner).await), [own("acme-default"), own("red")]);
    company.owner.act(&format!("/v1/projects/{red}/archive")).await.expect(200);
    assert_eq!(collaborations(&company.owner).await.len(), 2, "an archived one is found to be taken out");
    let typed = Some(json!({ "slug": "red" }));
    company.owner.call("DELETE", &format!("/v1/projects/{red}"), typed).await.expect(200);
    assert_eq!(names(collaborations(&company.owner).await), [own("acme-default")]);
}
