//! A base and the deltas since: what a head leads to, and what an edge needs that is a little behind.
//!
//! The deltas are levels of growing size. A change goes into the smallest, the tip, which is made anew with it; once
//! that is full it is made one with the level before it, and so on. So the tip stays small for whoever follows
//! closely, and the chain short for whoever does not. Of a level only *what* was touched is kept: what the delta
//! says of it follows from the content (`build::Content::delta`).

use super::sink::Bundle;
use latchkey_core::{Generation, UnixSeconds};
use latchkey_snapshot::Installation;
use latchkey_snapshot::ObjectRef;
use latchkey_snapshot::build::{BuildError, Built, Content, DeltaContent, Object, Touched};
use latchkey_snapshot::delta::CHAIN_MAX;
use latchkey_snapshot::manifest::Exceptions;

/// How large deltas may become.
#[derive(Debug, Clone, Copy)]
pub struct ChainLimits {
    /// Bytes of the smallest level; each further one holds eight times as many.
    pub tip_bytes: usize,
    /// Bytes of a chain, at least, before there is a new base.
    pub chain_bytes_min: usize,
    /// Bytes of a chain, at most, before there is a new base.
    pub chain_bytes_max: usize,
    /// The oldest that a base becomes when there are deltas since, in seconds.
    pub base_age_secs: u64,
    /// How long edges may go on with the base before, in seconds.
    pub previous_secs: u64,
}

impl Default for ChainLimits {
    fn default() -> Self {
        Self {
            tip_bytes: 4 << 10,
            chain_bytes_min: 16 << 10,
            chain_bytes_max: 1 << 20,
            base_age_secs: 3600,
            previous_secs: 600,
        }
    }
}

/// A state that a delta or a base says.
pub(super) struct Moment<'a> {
    pub(super) installation: Installation,
    pub(super) generation: Generation,
    pub(super) exceptions: &'a Exceptions,
}

/// A base and the deltas since.
pub(super) struct Line {
    /// Counts the bases of a run. One whose manifest alone was said anew keeps its number: whoever holds its pages needs
    /// little more.
    number: u64,
    /// The manifest, the nodes, the pages.
    base: Bundle,
    manifest: ObjectRef,
    began: Generation,
    issued: UnixSeconds,
    pages_bytes: u64,
    /// What the base refuses as a whole.
    began_with: Exceptions,
    /// What is refused as a whole by base and deltas together.
    exceptions: Exceptions,
    /// The newest first; their slots rise strictly.
    levels: Vec<Level>,
}

struct Level {
    slot: usize,
    delta: Object,
    bundle: Bundle,
    from: Generation,
    generation: Generation,
    /// What was refused as a whole at `from`.
    before: Exceptions,
    touched: Touched,
}

impl Line {
    /// A line that consists of a base alone.
    pub(super) fn on(number: u64, built: Built, now: &Moment<'_>, issued: UnixSeconds) -> Self {
        let manifest = built.manifest.reference;
        let is_page = |object: &&Object| !object.bytes.starts_with(NODE_MAGIC);
        let pages = built.objects.iter().filter(is_page);
        let pages_bytes = pages.map(|page| u64::from(page.reference.len_bytes())).sum();
        let mut base = vec![built.manifest];
        base.extend(built.objects);
        Self {
            number,
            base: base.into(),
            manifest,
            began: now.generation,
            issued,
            pages_bytes,
            began_with: now.exceptions.clone(),
            exceptions: now.exceptions.clone(),
            levels: Vec::new(),
        }
    }

    /// Takes the line on to the content's state. Since where the line stands, `touched` was touched, and no more.
    ///
    /// # Errors
    /// [`BuildError`], if no delta can say it; the line is as it was then.
    pub(super) fn follow(
        &mut self,
        content: &Content,
        now: &Moment<'_>,
        touched: &Touched,
        limits: &ChainLimits,
    ) -> Result<(), BuildError> {
        if now.generation <= self.generation() {
            return Ok(());
        }
        let (mut touched, mut from, mut before) =
            (touched.clone(), self.generation(), self.exceptions.clone());
        let (mut slot, mut merged) = (0, 0);
        let delta = loop {
            for level in self.levels.iter().skip(merged).take_while(|level| level.slot <= slot) {
                touched.extend(&level.touched);
                (from, before) = (level.from, level.before.clone());
                merged += 1;
            }
            let delta = content.delta(
                &DeltaContent {
                    installation: now.installation,
                    base: self.manifest,
                    from,
                    generation: now.generation,
                    parent: self.levels.get(merged).map(|level| level.delta.reference),
                    before: &before,
                    now: now.exceptions,
                },
                &touched,
            )?;
            if slot + 1 == CHAIN_MAX || delta.bytes.len() <= limits.tip_bytes << (3 * slot) {
                break delta;
            }
            slot += 1;
        };
        self.levels.drain(..merged);
        let bundle = [delta.clone()].into();
        let generation = now.generation;
        self.levels.insert(0, Level { slot, delta, bundle, from, generation, before, touched });
        self.exceptions = now.exceptions.clone();
        Ok(())
    }

    /// The line over a manifest that names the same pages, with one delta for all that was said since. It must stand at
    /// the content's state.
    ///
    /// # Errors
    /// [`BuildError`], if no one delta can say it.
    pub(super) fn reissued(
        &self,
        manifest: Object,
        content: &Content,
        now: &Moment<'_>,
        limits: &ChainLimits,
    ) -> Result<Self, BuildError> {
        let pages = self.base.iter().skip(1).cloned();
        let mut line = Self {
            number: self.number,
            manifest: manifest.reference,
            base: std::iter::once(manifest).chain(pages).collect(),
            began: self.began,
            issued: self.issued,
            pages_bytes: self.pages_bytes,
            began_with: self.began_with.clone(),
            exceptions: self.began_with.clone(),
            levels: Vec::new(),
        };
        if self.generation() > self.began {
            line.follow(content, now, &self.touched(), limits)?;
        }
        Ok(line)
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) const fn manifest(&self) -> ObjectRef {
        self.manifest
    }

    /// The newest change that the base itself says.
    pub(super) const fn began(&self) -> Generation {
        self.began
    }

    /// The manifest, the nodes, the pages.
    pub(super) fn base(&self) -> &Bundle {
        &self.base
    }

    /// What the base refuses as a whole.
    pub(super) const fn began_with(&self) -> &Exceptions {
        &self.began_with
    }

    /// The newest delta.
    pub(super) fn tip(&self) -> Option<ObjectRef> {
        self.levels.first().map(|level| level.delta.reference)
    }

    /// The newest change that it says.
    pub(super) fn generation(&self) -> Generation {
        self.levels.first().map_or(self.began, |level| level.generation)
    }

    /// Bytes of all pages of the base.
    pub(super) const fn pages_bytes(&self) -> u64 {
        self.pages_bytes
    }

    /// How many deltas there are.
    pub(super) const fn deltas(&self) -> usize {
        self.levels.len()
    }

    /// The deltas, the newest first.
    pub(super) fn chain(&self) -> impl Iterator<Item = &Object> {
        self.levels.iter().map(|level| &level.delta)
    }

    /// Everything that was touched since the base.
    pub(super) fn touched(&self) -> Touched {
        let mut all = Touched::default();
        self.levels.iter().for_each(|level| all.extend(&level.touched));
        all
    }

    /// Base and deltas, for sinks.
    pub(super) fn bundles(&self) -> impl Iterator<Item = Bundle> {
        let deltas = self.levels.iter().map(|level| level.bundle.clone());
        deltas.chain([self.base.clone()])
    }

    /// Whether the deltas are so large that edges are better off with a new base.
    pub(super) fn is_long(&self, limits: &ChainLimits) -> bool {
        self.chain_bytes() > self.bytes_max(limits)
    }

    /// Whether the deltas are so large that nobody should go on with this base.
    pub(super) fn is_too_long_to_keep(&self, limits: &ChainLimits) -> bool {
        self.chain_bytes() > 2 * self.bytes_max(limits)
    }

    /// Whether there are deltas and the base has reached its age.
    pub(super) fn is_old(&self, now: UnixSeconds, limits: &ChainLimits) -> bool {
        !self.levels.is_empty() && now >= self.issued.plus_secs(limits.base_age_secs)
    }

    /// Bytes of all deltas.
    pub(super) fn chain_bytes(&self) -> usize {
        self.levels.iter().map(|level| level.delta.bytes.len()).sum()
    }

    /// A 32nd of the base: what a base costs is then paid by 32 chains that were not fetched anew.
    fn bytes_max(&self, limits: &ChainLimits) -> usize {
        let share = usize::try_from(self.pages_bytes / 32).unwrap_or(usize::MAX);
        share.clamp(limits.chain_bytes_min, limits.chain_bytes_max)
    }
}

const NODE_MAGIC: &[u8] = b"LKN";
