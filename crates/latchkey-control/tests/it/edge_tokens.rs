//! `POST /v1/me/token`: the session as edges know it (S2).

use latchkey_core::{UnixMillis, UnixSeconds};
use latchkey_snapshot::Installation;
use latchkey_snapshot::build::Signer;
use latchkey_snapshot::manifest::TokenKey;
use latchkey_snapshot::token::UnverifiedToken;
use latchkey_testkit::Stage;

fn keys() -> Vec<TokenKey> {
    let public = Signer::from_seed(&[9; 32]).public();
    vec![TokenKey { public, not_before: UnixSeconds(0), not_after: UnixSeconds(u64::MAX) }]
}

#[tokio::test]
async fn token_names_the_session_and_never_outlives_it_s2() {
    let stage = Stage::new().await;
    stage.organization("Acme", "owner@acme.test").await;
    let owner = stage.sign_in("owner@acme.test").await;
    let session = owner.get("/v1/me/sessions").await.expect(200).json()["items"][0]["id"].clone();
    let verified = |reply: serde_json::Value, now: UnixMillis| {
        let token = UnverifiedToken::parse(reply["token"].as_str().unwrap().as_bytes()).unwrap();
        token.verify(&Installation([7; 16]), &keys(), now).unwrap()
    };
    let reply = owner.act("/v1/me/token").await.expect(200).json();
    let now = latchkey_control::outside::Clock::now(&stage.clock);
    let token = verified(reply.clone(), now);
    assert_eq!(token.session().to_string(), session.as_str().unwrap());
    assert_eq!(token.identity().to_string(), reply["identity_id"].as_str().unwrap());
    assert_eq!(token.expires(), now.seconds().plus_secs(600));
    // Four minutes before the session ends.
    stage.clock.advance_secs(12 * 60 * 60 - 240);
    let reply = owner.act("/v1/me/token").await.expect(200).json();
    let late = latchkey_control::outside::Clock::now(&stage.clock);
    assert_eq!(verified(reply, late).expires(), late.seconds().plus_secs(240));
    stage.clock.advance_secs(240);
    owner.act("/v1/me/token").await.problem(401, "expired");
}

#[tokio::test]
async fn only_a_session_gets_a_token() {
    let stage = Stage::new().await;
    stage.anonymous().act("/v1/me/token").await.problem(401, "unauthenticated");
    stage.operator().act("/v1/me/token").await.problem(403, "forbidden");
}
