//! Editions of the committed state: a base, or a chain of deltas over one, and for a while two bases side by side. The
//! shape of a chain is drawn, so that edges meet more shapes than a real publisher makes.

use crate::authority::{Authority, INSTALLATION, rules, session_keys};
use crate::clockwork::Random;
use latchkey_core::*;
use latchkey_snapshot::build::{self, DeltaContent, Object, Signer, StatementContent, Touched};
use latchkey_snapshot::delta::CHAIN_MAX;
use latchkey_snapshot::head::Previous;
use latchkey_snapshot::manifest::Exceptions;
use latchkey_snapshot::{Canary, ObjectDigest};
use std::rc::Rc;
use std::slice;

/// A signed statement and all objects it leads to.
pub(crate) struct Edition {
    pub(crate) number: u64,
    pub(crate) generation: Generation,
    pub(crate) statement: Vec<u8>,
    pub(crate) objects: Vec<Object>,
    pub(crate) digests: Rc<[ObjectDigest]>,
}

/// What statements say besides the state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) grace_secs: u32,
    pub(crate) use_by_secs: u64,
    /// How often a base follows, if deltas go between.
    pub(crate) rebase_percent: u64,
    pub(crate) has_deltas: bool,
    /// How many bases a gate must not believe, for what they say of a canary.
    pub(crate) wrong_percent: u64,
    /// How long the base before is carried on.
    pub(crate) previous_secs: u64,
}

/// A base and the deltas since, oldest first.
#[derive(Clone)]
struct Chain {
    objects: Vec<Object>,
    levels: Vec<Level>,
    generation: Generation,
    exceptions: Exceptions,
}

#[derive(Clone)]
struct Level {
    object: Object,
    from: Generation,
    before: Exceptions,
    touched: Touched,
}

/// Builds one edition after the other. A restart begins with a base.
#[derive(Default)]
pub(crate) struct Builder {
    chain: Option<Chain>,
    previous: Option<(Chain, UnixSeconds)>,
    built: u64,
}

impl Builder {
    pub(crate) fn build(
        &mut self,
        authority: &mut Authority,
        policy: Policy,
        random: &Random,
        issued: UnixSeconds,
    ) -> Edition {
        let touched = authority.content.take_touched();
        let is_new = self.chain.as_ref().is_none_or(|chain| chain.generation != authority.generation);
        if self.previous.as_ref().is_some_and(|(_, until)| *until <= issued) {
            self.previous = None;
        }
        if is_new {
            self.advance(authority, policy, random, issued, &touched);
        }
        let chain = self.chain.as_ref().unwrap();
        let previous = self.previous.as_ref().and_then(|(chain, until)| {
            let tip = chain.levels.last()?.object.reference;
            Some(Previous { manifest: chain.objects[0].reference, tip, until: *until })
        });
        let content = StatementContent {
            installation: INSTALLATION,
            generation: authority.generation,
            issued,
            use_by: issued.plus_secs(policy.use_by_secs),
            manifest: chain.objects[0].reference,
            tip: chain.levels.last().map(|level| level.object.reference),
            previous,
            audit_size: 0,
            audit_root: [0; 32],
        };
        let chains = [self.chain.as_ref(), self.previous.as_ref().map(|(chain, _)| chain)];
        let objects = chains.into_iter().flatten().flat_map(|chain| {
            chain.objects.iter().chain(chain.levels.iter().map(|level| &level.object)).cloned()
        });
        let objects: Vec<Object> = objects.collect();
        self.built += 1;
        Edition {
            digests: objects.iter().map(|object| object.reference.digest()).collect(),
            number: self.built,
            generation: authority.generation,
            statement: content.sign(&[&release_signer()]).unwrap(),
            objects,
        }
    }

    fn advance(
        &mut self,
        authority: &mut Authority,
        policy: Policy,
        random: &Random,
        issued: UnixSeconds,
        touched: &Touched,
    ) {
        if let Some((chain, _)) = &mut self.previous {
            chain.extend(authority, random, touched);
        }
        let is_due = !policy.has_deltas || random.percent(policy.rebase_percent);
        match &mut self.chain {
            Some(chain) if !is_due => chain.extend(authority, random, touched),
            _ => {
                let is_wrong = random.percent(policy.wrong_percent);
                let old = self.chain.replace(Chain::base(authority, policy, is_wrong));
                if policy.has_deltas
                    && let Some(mut old) = old
                {
                    old.extend(authority, random, touched);
                    self.previous = Some((old, issued.plus_secs(policy.previous_secs)));
                }
            }
        }
    }
}

impl Chain {
    fn base(authority: &mut Authority, policy: Policy, is_wrong: bool) -> Self {
        // What is granted from the start never goes.
        let canary = Canary { query: authority.key_query(0), expected: None };
        let exceptions = authority.exceptions();
        let (generation, pepper_id, prefix) =
            (authority.generation, authority.content.pepper_id(), authority.prefix);
        let built = authority.content.build(&build::Edition {
            installation: INSTALLATION,
            generation,
            pepper_id,
            grace_secs: policy.grace_secs,
            prefix,
            exceptions: &exceptions,
            session_keys: &session_keys(),
            edge_keys: &[],
            canaries: if is_wrong { slice::from_ref(&canary) } else { &[] },
            cors: None,
            rules: &rules(),
        });
        let built = built.unwrap();
        let objects = [built.manifest].into_iter().chain(built.objects).collect();
        Self { objects, levels: Vec::new(), generation, exceptions }
    }

    /// Says what was touched in a new tip: on top of some of the levels, in place of the others.
    fn extend(&mut self, authority: &Authority, random: &Random, touched: &Touched) {
        let kept = random.below(self.levels.len().min(CHAIN_MAX - 1) as u64 + 1) as usize;
        let mut all = touched.clone();
        let (mut from, mut before) = (self.generation, self.exceptions.clone());
        for level in self.levels.drain(kept..).rev() {
            all.extend(&level.touched);
            (from, before) = (level.from, level.before);
        }
        let now = authority.exceptions();
        let content = DeltaContent {
            installation: INSTALLATION,
            base: self.objects[0].reference,
            from,
            generation: authority.generation,
            parent: self.levels.last().map(|level| level.object.reference),
            before: &before,
            now: &now,
        };
        let object = authority.content.delta(&content, &all).unwrap();
        self.levels.push(Level { object, from, before, touched: all });
        (self.generation, self.exceptions) = (authority.generation, now);
    }
}

pub(crate) fn release_signer() -> Signer {
    Signer::from_seed(&[2; 32])
}
