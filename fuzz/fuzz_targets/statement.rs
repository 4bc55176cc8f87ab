//! Any bytes as the body of a statement that a release key signs: one that is read is what the writer would have
//! signed.

#![no_main]

use ed25519_dalek::{Signer as _, SigningKey};
use latchkey_fuzz::{NOW, root_bytes, signer};
use latchkey_snapshot::build::{HeadContent, StatementContent};
use latchkey_snapshot::signature::Domain;
use latchkey_snapshot::{Root, UnverifiedHead};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static ROOT: LazyLock<Root> = LazyLock::new(|| Root::pinned(&root_bytes()).unwrap());

fuzz_target!(|body: &[u8]| {
    let release = signer(2);
    let mut statement = body.to_vec();
    statement.push(1);
    statement.extend(release.id().0);
    let key = SigningKey::from_bytes(&[2; 32]);
    statement.extend(key.sign(&Domain::Statement.message(body)).to_bytes());
    let head = HeadContent { root_version: 1, as_of: NOW, statement: &statement, inline: &[] };
    let Ok(head) = head.sign(&[&signer(3)]) else { return };
    let Ok(unverified) = UnverifiedHead::parse(&head) else { return };
    let Ok(head) = unverified.verify(&ROOT) else { return };
    let said = head.statement;
    if let Some(previous) = said.previous {
        assert!(previous.manifest != said.manifest);
        assert!(said.issued < previous.until && previous.until.0 - said.issued.0 <= 86_400);
    }
    let content = StatementContent {
        installation: said.installation,
        generation: said.generation,
        issued: said.issued,
        use_by: said.use_by,
        manifest: said.manifest,
        tip: said.tip,
        previous: said.previous,
        audit_size: said.audit_size,
        audit_root: said.audit_root,
    };
    assert_eq!(content.sign(&[&release]).unwrap(), statement);
});
