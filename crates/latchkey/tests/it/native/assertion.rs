//! The identity assertion of a gate, as docs/spec/assertion.md tells an origin to check it.

use super::{MODELS, Scene};
use ed25519_dalek::{Signature, VerifyingKey};
use latchkey_core::base64url;
use serde_json::Value;
use std::fs;

fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = vec![0; text.len() * 3 / 4];
    base64url::decode(text.as_bytes(), &mut bytes).unwrap();
    bytes
}

fn body(text: &str) -> Value {
    serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
}

impl Scene {
    /// The assertions that the origin got with the last request.
    fn asserted(&self) -> Vec<String> {
        let seen = self.echo.seen.lock().unwrap().last().unwrap().clone();
        let lines = seen.lines().filter_map(|line| line.split_once(": "));
        let reads_as = |name: &str| name.to_lowercase().replace('_', "-") == "latchkey-assertion";
        lines.filter(|(name, _)| reads_as(name)).map(|(_, value)| value.to_owned()).collect()
    }

    fn edge_key(&self, seed: &str) {
        let env = self.installation.path("gate.env");
        let text = fs::read_to_string(&env).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("LATCHKEY_EDGE_KEY="));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        fs::write(&env, format!("{text}LATCHKEY_EDGE_KEY={seed}\n")).unwrap();
    }
}

#[test]
fn origin_can_check_who_calls_with_the_keys_of_the_manifest() {
    let mut scene = Scene::new();
    let (id, key) = scene.key();
    scene.until(MODELS, &key, |status, _| status == 200);
    let spoofed =
        format!("authorization: Bearer {key}\r\nLatchkey-Assertion: a.b.c\r\nlatchkey_assertion: a\r\n");
    assert_eq!(scene.get(MODELS, &spoofed).0, 200);
    let [token] = &scene.asserted()[..] else { panic!("{:?}", scene.asserted()) };
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("{token}") };

    let (status, text) = scene.get("/.latchkey/jwks.json", "");
    assert!(status == 200 && text.contains("application/jwk-set+json"), "{text}");
    let keys = body(&text);
    let header: Value = serde_json::from_slice(&decoded(header)).unwrap();
    assert_eq!((&header["alg"], &header["typ"]), (&"EdDSA".into(), &"latchkey-assertion+jwt".into()));
    let named = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).unwrap();
    let public: [u8; 32] = decoded(named["x"].as_str().unwrap()).try_into().unwrap();
    let signature = Signature::from_slice(&decoded(signature)).unwrap();
    let signed = token.rsplit_once('.').unwrap().0;
    VerifyingKey::from_bytes(&public).unwrap().verify_strict(signed.as_bytes(), &signature).unwrap();

    let claims: Value = serde_json::from_slice(&decoded(claims)).unwrap();
    let origin = format!("http://{}", scene.echo.address);
    assert_eq!(
        (&claims["sub"], &claims["kind"], &claims["aud"]),
        (&id.as_str().into(), &"key".into(), &origin.into())
    );
    assert_eq!((&claims["role"], &claims["permission"]), (&"member".into(), &"models.view".into()));
    assert!(
        claims["project"] == scene.project.as_str()
            && claims["organization"].as_str().unwrap().starts_with("org_")
    );
    assert!(claims["iss"].as_str().unwrap().starts_with("urn:latchkey:"));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);

    // Nobody is named where nobody was let in.
    assert_eq!(scene.get("/v1/public", "Latchkey-Assertion: a.b.c\r\n").0, 200);
    assert!(scene.asserted().is_empty());
    // A key that the manifest does not name signs nothing, and then nothing goes on.
    scene.edge_key(&"ab".repeat(32));
    scene.start_gate();
    scene.until(MODELS, &key, |status, text| status == 503 && text.contains("assertion_unavailable"));
    // Without one, nothing is asserted.
    scene.edge_key("");
    scene.start_gate();
    scene.until(MODELS, &key, |status, _| status == 200);
    assert!(scene.asserted().is_empty());
}
