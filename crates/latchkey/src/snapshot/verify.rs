//! `latchkey snapshot verify`: every object from the pinned root down, canonical and in its place; or a single one. Then
//! what else an edge looks at before it serves: canaries, rules, and how old all of it is.

use super::Pinned;
use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use latchkey_control::outside::{Clock, SystemClock};
use latchkey_control::publish::{PublishedState, Snapshot};
use latchkey_core::UnixMillis;
use latchkey_gate::{AS_OF_AHEAD_MS_MAX, Routes};
use latchkey_snapshot::{Head, ObjectDigest, ObjectRef};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// What `latchkey snapshot verify` is asked for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Where it is published: a directory, or `s3://BUCKET/PREFIX`.
    place: String,
    #[command(flatten)]
    pinned: Pinned,
    /// Verifies that this file is an object which the published head leads to.
    #[arg(long, value_name = "FILE")]
    object: Option<PathBuf>,
}

/// Verifies, and tells what was.
///
/// # Errors
/// The first thing that is missing or wrong, and where.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let published = arguments.pinned.read(&arguments.place)?;
    let mut named = BTreeMap::new();
    name_all(&published, &mut named);
    let Some(path) = &arguments.object else {
        let generation = published.head.newest_generation();
        println!("verified: generation {generation}, {} objects, every one whole and canonical", named.len());
        check_served(&published.state).context("no edge serves it")?;
        if let Some(previous) = &published.previous {
            check_served(previous).context("no edge serves the base before")?;
        }
        let canaries = published.state.manifest.canaries.len();
        println!(
            "{canaries} canaries answer as they must, {} rules compile",
            published.state.manifest.rules.len()
        );
        let now = SystemClock.now();
        println!("{}", age(&published.head, now));
        return check_age(&published.head, now);
    };
    let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    match named.get(&ObjectDigest::of(&bytes)) {
        // It was read, and found canonical, under this very digest.
        Some(what) => println!("verified: `{}` is {what}", path.display()),
        None => bail!("`{}` is no object that the published head leads to", path.display()),
    }
    Ok(())
}

/// Refuses what an edge holds back.
fn check_served(state: &PublishedState) -> Result<()> {
    if let Some(wrong) = state.wrong_canaries().first() {
        bail!("a canary of {:?} is answered otherwise than the base says", wrong.query.kind);
    }
    Routes::compile(&state.manifest.rules).map_err(|error| anyhow!("the rules: {error}"))?;
    Ok(())
}

/// How old a head is, and until when its statement is good, against a clock.
fn age(head: &Head, now: UnixMillis) -> String {
    let (age_secs, use_by) = (now.since_ms(head.as_of) / 1000, head.statement.use_by);
    match use_by.0.saturating_sub(now.seconds().0) {
        left_secs @ 1.. => format!("{age_secs} s old, good for another {left_secs} s"),
        0 => format!("{age_secs} s old, past its use-by, {}", use_by.0),
    }
}

/// Refuses a head that is from the future or past its use-by.
fn check_age(head: &Head, now: UnixMillis) -> Result<()> {
    let ahead_ms = head.as_of.since_ms(now);
    ensure!(
        ahead_ms <= AS_OF_AHEAD_MS_MAX,
        "the head is from the future, by {ahead_ms} ms: no edge takes it"
    );
    let is_good = now.seconds() < head.statement.use_by;
    ensure!(
        is_good,
        "the statement is past its use-by: edges answer it as stale, and after the grace not at all"
    );
    Ok(())
}

fn name_all(published: &Snapshot, named: &mut BTreeMap<ObjectDigest, String>) {
    let statement = &published.head.statement;
    name_state(&published.state, (&statement.manifest, statement.tip.as_ref()), "", named);
    if let (Some(state), Some(previous)) = (&published.previous, &statement.previous) {
        name_state(state, (&previous.manifest, Some(&previous.tip)), "the previous ", named);
    }
}

fn name_state(
    state: &PublishedState,
    (base, tip): (&ObjectRef, Option<&ObjectRef>),
    whose: &str,
    named: &mut BTreeMap<ObjectDigest, String>,
) {
    let mut name = |object: &ObjectRef, what: String| {
        named.entry(object.digest()).or_insert(what);
    };
    name(base, format!("{whose}manifest"));
    let parents = state.chain.iter().map(|delta| delta.removals.parent.as_ref());
    for (index, delta) in [tip].into_iter().chain(parents).flatten().enumerate() {
        name(delta, format!("{whose}delta {index} of the chain"));
    }
    for section in &state.manifest.sections {
        let kind = section.kind;
        for (at, node) in section.nodes.iter().enumerate() {
            name(&node.object, format!("{whose}node {at} of {kind:?}"));
        }
        for node in state.nodes.get(&kind).into_iter().flatten() {
            for page in node.pages() {
                let place = page.first_place;
                name(&page.object, format!("{whose}page of {kind:?} from place {place:016x} on"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_core::{Generation, UnixSeconds};
    use latchkey_snapshot::build::{HeadContent, RootContent, Signer, StatementContent};
    use latchkey_snapshot::root::{KeyRole, RootKey};
    use latchkey_snapshot::{Installation, Root, UnverifiedHead};

    const AS_OF: UnixMillis = UnixMillis(1_795_428_000_000);

    fn head() -> Head {
        let (installation, issued) = (Installation([7; 16]), AS_OF.seconds());
        let signer = |seed: u8| Signer::from_seed(&[seed; 32]);
        let key = |seed: u8, role| RootKey {
            public: signer(seed).public(),
            role,
            not_before: UnixSeconds(0),
            not_after: UnixSeconds(u64::MAX / 2),
        };
        let keys = vec![key(1, KeyRole::Offline), key(2, KeyRole::Release), key(3, KeyRole::Head)];
        let root = RootContent { installation, version: 1, issued, thresholds: [1, 1, 1], keys };
        let root = Root::pinned(&root.sign(&[&signer(1)]).unwrap()).unwrap();
        let statement = StatementContent {
            installation,
            generation: Generation(7),
            issued,
            use_by: issued.plus_secs(3600),
            manifest: ObjectRef::to(b"manifest"),
            tip: None,
            previous: None,
            audit_size: 0,
            audit_root: [0; 32],
        };
        let statement = statement.sign(&[&signer(2)]).unwrap();
        let head = HeadContent { root_version: 1, as_of: AS_OF, statement: &statement, inline: &[] };
        UnverifiedHead::parse(&head.sign(&[&signer(3)]).unwrap()).unwrap().verify(&root).unwrap()
    }

    #[test]
    fn head_past_its_use_by_or_of_the_future_is_refused() {
        let head = head();
        assert!(check_age(&head, AS_OF.plus_ms(3_599_999)).is_ok());
        assert!(check_age(&head, AS_OF.plus_ms(3_600_000)).is_err());
        assert!(check_age(&head, UnixMillis(AS_OF.0 - 1000)).is_ok());
        assert!(check_age(&head, UnixMillis(AS_OF.0 - 1001)).is_err());
    }

    #[test]
    fn age_says_how_old_and_for_how_long() {
        assert_eq!(age(&head(), AS_OF.plus_ms(90_000)), "90 s old, good for another 3510 s");
        assert!(age(&head(), AS_OF.plus_ms(3_600_000)).contains("past its use-by"));
    }
}
