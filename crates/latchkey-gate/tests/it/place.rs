//! Nodes and pages that are not what those above them say: refused, whoever signed it, before and after they serve.

use crate::stage::*;
use latchkey_core::Role;
use latchkey_gate::*;
use latchkey_snapshot::{Kind, Manifest, Node, ObjectRef};

/// Where the record count of a node's first page is.
const NODE_RECORDS_AT: usize = 7 + 8 + 4;

fn published() -> (Stage, Key) {
    let mut stage = Stage::new();
    let key = stage.add_key(1, Role::Member);
    stage.publish();
    (stage, key)
}

/// The published manifest with other bytes.
fn forge_manifest(stage: &mut Stage, change: impl FnOnce(&mut Vec<u8>, &Manifest)) {
    let base = stage.base.as_ref().unwrap().manifest;
    let mut bytes = stage.objects[&base.digest()].clone();
    let manifest = Manifest::parse(&base, &bytes).unwrap();
    change(&mut bytes, &manifest);
    let forged = stage.put_object(&bytes);
    stage.base.as_mut().unwrap().manifest = forged;
    stage.sign_statement();
}

/// The node of keys with other bytes, named by the manifest as if that were right.
fn forge_node(stage: &mut Stage, change: impl FnOnce(&mut Vec<u8>)) {
    let base = stage.base.as_ref().unwrap().manifest;
    let manifest = Manifest::parse(&base, &stage.objects[&base.digest()]).unwrap();
    let named = manifest.section(Kind::NativeKey).unwrap().nodes[0].object;
    let mut bytes = stage.objects[&named.digest()].clone();
    change(&mut bytes);
    let forged = stage.put_object(&bytes);
    forge_manifest(stage, |manifest, _| {
        let at = find(manifest, &named);
        manifest[at - 4..at].copy_from_slice(&forged.len_bytes().to_le_bytes());
        manifest[at..at + 32].copy_from_slice(&forged.digest().0);
    });
}

/// Where an object's digest stands.
fn find(bytes: &[u8], named: &ObjectRef) -> usize {
    bytes.windows(32).position(|window| window == named.digest().0).unwrap()
}

/// Hands in everything, and says what was refused first.
#[track_caller]
fn refused(stage: &Stage, shell: &mut Shell) -> ObjectRefusal {
    let _ = shell.gate.accept_head(&stage.head(), stage.now);
    for _ in 0..40 {
        let Some(wanted) = shell.gate.wanted(1).pop() else { break };
        let bytes = &stage.objects[&wanted.reference().digest()];
        let before = shell.gate.status(stage.now);
        if let Err(refusal) = shell.gate.accept_object(&wanted, bytes, stage.now) {
            let after = shell.gate.status(stage.now);
            assert_eq!(after.objects_refused, before.objects_refused + 1);
            return refusal;
        }
    }
    panic!("nothing was refused");
}

/// Of a gate that has nothing yet, and of one that serves and must change its pages.
#[track_caller]
fn check(forge: impl Fn(&mut Stage), refusal: &ObjectRefusal) {
    let (mut stage, key) = published();
    forge(&mut stage);
    let mut shell = Shell::new(stage.gate());
    assert_eq!(&refused(&stage, &mut shell), refusal);
    shell.network = Line::ObjectsDown;
    let verdict = shell.invoke(&mut stage, &key.text);
    assert_refused(&verdict, Refusal::Unavailable(Unavailable::OutOfReach));

    let (mut stage, key) = published();
    let mut shell = stage.warm_shell();
    assert_fresh(&shell.invoke(&mut stage, &key.text));
    stage.add_key(2, Role::Member);
    stage.publish();
    forge(&mut stage);
    stage.now = START.plus_ms(100);
    assert_eq!(&refused(&stage, &mut shell), refusal);
}

#[test]
fn node_that_begins_elsewhere_than_the_manifest_says_is_refused() {
    check(|stage| forge_node(stage, |node| node[7] = 1), &ObjectRefusal::Misplaced);
    let above = |stage: &mut Stage| {
        forge_manifest(stage, |manifest, read| {
            let at = find(manifest, &read.section(Kind::NativeKey).unwrap().nodes[0].object);
            manifest[at - 12] = 1;
        });
    };
    check(above, &ObjectRefusal::Misplaced);
}

#[test]
fn node_that_reaches_into_the_next_is_refused() {
    for place in [1u64 << 62, (1 << 62) + 1] {
        let forge = |stage: &mut Stage| {
            forge_node(stage, |node| {
                let mut second = node[7..55].to_vec();
                second[..8].copy_from_slice(&place.to_le_bytes());
                node[5] = 2;
                node.truncate(55);
                node.extend(second);
            });
            forge_manifest(stage, |manifest, read| {
                let named = read.section(Kind::NativeKey).unwrap().nodes[0].object;
                let at = find(manifest, &named);
                let mut second = manifest[at - 12..at + 32].to_vec();
                second[..8].copy_from_slice(&(1u64 << 62).to_le_bytes());
                manifest[at - 14] = 2;
                manifest.splice(at + 32..at + 32, second);
            });
        };
        check(forge, &ObjectRefusal::Misplaced);
    }
}

#[test]
fn section_whose_nodes_name_another_number_of_records_is_refused() {
    for change in [1u64, u64::MAX] {
        let forge = |stage: &mut Stage| {
            forge_manifest(stage, |manifest, read| {
                let section = read.section(Kind::NativeKey).unwrap();
                let at = find(manifest, &section.nodes[0].object) - 22;
                // One more than there are, or all that fit but one: a section has at least one.
                let said = if change == 1 { section.records + 1 } else { change };
                manifest[at..at + 8].copy_from_slice(&said.to_le_bytes());
            });
        };
        check(forge, &ObjectRefusal::SectionRecords);
    }
}

#[test]
fn page_with_another_number_of_records_than_its_node_says_is_refused() {
    let forge = |stage: &mut Stage| {
        forge_node(stage, |node| node[NODE_RECORDS_AT] += 1);
        forge_manifest(stage, |manifest, read| {
            let section = read.section(Kind::NativeKey).unwrap();
            let at = find(manifest, &section.nodes[0].object) - 22;
            manifest[at] += 1;
        });
    };
    check(forge, &ObjectRefusal::Records);
}

#[test]
fn page_of_names_with_another_number_of_entries_than_its_node_says_is_refused() {
    let (mut stage, key) = published();
    let base = stage.base.as_ref().unwrap().manifest;
    let manifest = Manifest::parse(&base, &stage.objects[&base.digest()]).unwrap();
    let section = manifest.section(Kind::ProjectNames).unwrap().clone();
    let named = section.nodes[0].object;
    let mut node = stage.objects[&named.digest()].clone();
    assert_eq!(Node::parse(Kind::ProjectNames, &named, &node).unwrap().pages().len(), 1);
    node[NODE_RECORDS_AT] += 1;
    let forged = stage.put_object(&node);
    forge_manifest(&mut stage, |manifest, _| {
        let at = find(manifest, &named);
        manifest[at..at + 32].copy_from_slice(&forged.digest().0);
        manifest[at - 22] += 1;
    });
    let mut shell = Shell::new(stage.gate());
    assert_eq!(refused(&stage, &mut shell), ObjectRefusal::Records);
    // No verdict waits for names.
    assert_fresh(&shell.invoke(&mut stage, &key.text));
}
