//! The control plane's publisher as docs and code describe it: one task makes editions, one uploads them, one pushes
//! heads. The stamp is the very one that signs; the look at the state and the courier are modelled on `publish`.

use crate::authority::Authority;
use crate::clockwork::{Bell, Clockwork, Lock, Task, join_all};
use crate::edition::{Builder, Edition, Policy};
use crate::hub::{Hub, Pushed, verified};
use crate::link::Link;
use crate::stamp::Stamp;
use crate::world::{Place, World};
use latchkey_core::*;
use latchkey_snapshot::build::{HeadContent, Signer};
use latchkey_snapshot::head::{INLINE_MAX, Inline};
use latchkey_snapshot::{InlineSubject, ObjectDigest, Reason};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

const HEAD_EVERY_MS: u64 = 500;
const HEAD_TIMEOUT_MS: u64 = 2000;
const OBJECT_TIMEOUT_MS: u64 = 2000;
const RETRY_MS: (u64, u64) = (50, 1000);
/// How far ahead of its heads a bookmark is.
const RESERVE_MS: u64 = 250;

/// What a head that was signed covers in truth.
#[derive(Clone)]
pub(crate) struct Signed {
    /// Every change committed before this moment of true time is in it.
    pub(crate) covers_ms: u64,
    pub(crate) as_of: UnixMillis,
    pub(crate) use_by_ms: u64,
    /// The newest change of each subject that it names, by generation.
    pub(crate) inline: Vec<Generation>,
}

/// What outlives a crash.
#[derive(Default)]
pub(crate) struct Bookmark {
    as_of: Cell<UnixMillis>,
}

/// One run of the publisher.
pub(crate) struct Publisher {
    world: Rc<World>,
    heads: RefCell<Heads>,
    heads_lock: Rc<Lock>,
    edition: RefCell<Option<Rc<Edition>>>,
    announced: Rc<Bell>,
    policy: Policy,
}

struct Heads {
    stamp: Stamp,
    from: Generation,
    read_to: Generation,
    refusals: BTreeMap<Generation, Vec<(InlineSubject, Reason)>>,
    waiting: Vec<Generation>,
}

/// What the sink is known to hold.
struct Desk {
    link: Rc<Link>,
    hub: Rc<RefCell<Hub>>,
    edition: RefCell<Option<Rc<Edition>>>,
    as_of: Cell<UnixMillis>,
    told: Cell<Option<Generation>>,
    lock: Rc<Lock>,
}

enum Outcome {
    Taken,
    Missing(Vec<ObjectDigest>),
    Failed,
}

impl Publisher {
    /// Starts all tasks of a run.
    pub(crate) fn start(world: &Rc<World>) -> Vec<crate::clockwork::TaskId> {
        let committed = world.authority.borrow().generation;
        let heads = Heads {
            stamp: Stamp::above(world.bookmark.as_of.get()),
            from: committed,
            read_to: committed,
            refusals: BTreeMap::new(),
            waiting: Vec::new(),
        };
        let publisher = Rc::new(Self {
            world: Rc::clone(world),
            heads: RefCell::new(heads),
            heads_lock: Rc::default(),
            edition: RefCell::default(),
            announced: Rc::default(),
            policy: world.climate.policy,
        });
        let desk = Rc::new(Desk {
            link: Rc::clone(&world.uplink),
            hub: Rc::clone(&world.hub),
            edition: RefCell::default(),
            as_of: Cell::default(),
            told: Cell::default(),
            lock: Rc::default(),
        });
        let clockwork = &world.clockwork;
        let press = Rc::clone(&publisher).press();
        let upload = Rc::clone(&publisher).upload(Rc::clone(&desk));
        vec![clockwork.spawn(press), clockwork.spawn(upload), clockwork.spawn(publisher.beat(desk))]
    }

    fn clockwork(&self) -> &Rc<Clockwork> {
        &self.world.clockwork
    }

    async fn pause(&self, most_ms: u64) {
        self.clockwork().sleep(self.clockwork().random.below(most_ms + 1)).await;
    }

    /// Makes editions: one after the other, each of all that was committed meanwhile.
    async fn press(self: Rc<Self>) {
        let mut builder = Builder::default();
        loop {
            let heard = self.world.committed.rung();
            let looked_at = self.world.now(Place::Signer);
            self.pause(2).await;
            let edition = {
                let mut authority = self.world.authority.borrow_mut();
                let issued = self.world.now(Place::Signer).seconds();
                let is_calm = self.world.healed_ms.get().is_some();
                let wrong_percent = if is_calm { 0 } else { self.policy.wrong_percent };
                let policy = Policy { wrong_percent, ..self.policy };
                builder.build(&mut authority, policy, &self.clockwork().random, issued)
            };
            self.pause(self.world.climate.build_ms).await;
            let lock = self.heads_lock.take(self.clockwork()).await;
            self.heads.borrow_mut().stamp.note(looked_at, edition.generation);
            drop(lock);
            *self.edition.borrow_mut() = Some(Rc::new(edition));
            self.announced.ring();
            let renew_ms = self.policy.use_by_secs * 1000 / 6;
            self.clockwork().wait(&self.world.committed, heard, renew_ms).await;
        }
    }

    /// Uploads every edition, the newest first and only.
    async fn upload(self: Rc<Self>, desk: Rc<Desk>) {
        loop {
            let heard = self.announced.rung();
            let newest = self.edition.borrow().clone();
            if let Some(edition) = newest
                && !self.deliver(&desk, &edition).await
            {
                let wait_ms = self.clockwork().random.within(RETRY_MS);
                self.clockwork().sleep(wait_ms).await;
                continue;
            }
            self.clockwork().wait(&self.announced, heard, u64::MAX / 4).await;
        }
    }

    async fn deliver(&self, desk: &Rc<Desk>, edition: &Rc<Edition>) -> bool {
        for _ in 0..20 {
            let missing = match self.push_head(desk, edition).await {
                Outcome::Taken => return true,
                Outcome::Failed => return false,
                Outcome::Missing(missing) => missing,
            };
            let pushes = missing.into_iter().map(|digest| self.push_object(desk, edition, digest));
            let pushed: Vec<bool> = join_all(pushes).await;
            if pushed.contains(&false) {
                return false;
            }
        }
        panic!("the hub goes on lacking objects that it took");
    }

    /// Pushes one object. Whether it is there now.
    fn push_object(&self, desk: &Desk, edition: &Edition, digest: ObjectDigest) -> Task<bool> {
        let object = edition.objects.iter().find(|object| object.reference.digest() == digest);
        let bytes = object.expect("it asks for an object that its head does not name").bytes.to_vec();
        let (world, hub, link) = (Rc::clone(&self.world), Rc::clone(&desk.hub), Rc::clone(&desk.link));
        let clockwork = Rc::clone(self.clockwork());
        Box::pin(async move {
            let push = move || hub.borrow_mut().put_object(&digest, &bytes, world.now(Place::Hub));
            link.call(&clockwork, OBJECT_TIMEOUT_MS, push).await == Some(true)
        })
    }

    /// Pushes a head every so often, and at once when something new is refused.
    async fn beat(self: Rc<Self>, desk: Rc<Desk>) {
        let mut wait_ms = HEAD_EVERY_MS;
        loop {
            let due_ms = self.clockwork().now_ms() + wait_ms;
            loop {
                let left_ms = due_ms.saturating_sub(self.clockwork().now_ms());
                let heard = self.world.committed.rung();
                if wait_ms != HEAD_EVERY_MS {
                    self.clockwork().sleep(left_ms).await;
                    break;
                }
                if !self.clockwork().wait(&self.world.committed, heard, left_ms).await
                    || self.has_news(&desk).await
                {
                    break;
                }
            }
            let edition = desk.edition.borrow().clone();
            wait_ms = match edition {
                None => HEAD_EVERY_MS,
                Some(edition) => match self.push_head(&desk, &edition).await {
                    Outcome::Taken => HEAD_EVERY_MS,
                    Outcome::Missing(_) => {
                        *desk.edition.borrow_mut() = None;
                        self.announced.ring();
                        HEAD_EVERY_MS
                    }
                    Outcome::Failed => self.clockwork().random.within(RETRY_MS),
                },
            };
        }
    }

    async fn has_news(&self, desk: &Desk) -> bool {
        let lock = desk.lock.take(self.clockwork()).await;
        let Some(edition) = desk.edition.borrow().clone() else { return false };
        let heads = self.heads_lock.take(self.clockwork()).await;
        self.look().await;
        let newest = self.heads.borrow().riding(edition.generation).0.iter().map(|one| one.generation).max();
        drop((heads, lock));
        newest > desk.told.get()
    }

    async fn push_head(&self, desk: &Rc<Desk>, edition: &Rc<Edition>) -> Outcome {
        let _lock = desk.lock.take(self.clockwork()).await;
        if desk.edition.borrow().as_ref().is_some_and(|held| held.number > edition.number) {
            return Outcome::Taken;
        }
        let Some((bytes, signed)) = self.sign(edition, desk.as_of.get()).await else {
            return Outcome::Failed;
        };
        let (hub, head, world) = (Rc::clone(&desk.hub), bytes, Rc::clone(&self.world));
        let named = edition.digests.clone();
        let push = move || hub.borrow_mut().put_head(&head, &named, world.now(Place::Hub));
        match desk.link.call(self.clockwork(), HEAD_TIMEOUT_MS, push).await {
            Some(Pushed::Taken) => {
                *desk.edition.borrow_mut() = Some(Rc::clone(edition));
                desk.as_of.set(signed.as_of);
                desk.told.set(signed.inline.iter().copied().max());
                Outcome::Taken
            }
            Some(Pushed::Missing(missing)) => Outcome::Missing(missing),
            Some(Pushed::Older(generation, as_of)) => {
                if generation == edition.generation {
                    desk.as_of.set(desk.as_of.get().max(as_of));
                }
                Outcome::Failed
            }
            Some(Pushed::Refused) | None => Outcome::Failed,
        }
    }

    /// The head of an edition for a sink that last got a head as of `after`.
    async fn sign(&self, edition: &Edition, after: UnixMillis) -> Option<(Vec<u8>, Signed)> {
        let _lock = self.heads_lock.take(self.clockwork()).await;
        let now = self.look().await;
        let looked_ms = self.clockwork().now_ms();
        let (inline, lacking) = self.heads.borrow().riding(edition.generation);
        let as_of = self.heads.borrow_mut().stamp.give(now, edition.generation, lacking, after).ok()?;
        let covers_ms = self.covers_ms(edition.generation, &inline, looked_ms);
        if as_of > self.world.bookmark.as_of.get() {
            self.pause(3).await;
            self.world.bookmark.as_of.set(as_of.plus_ms(RESERVE_MS));
        }
        let content = HeadContent { root_version: 1, as_of, statement: &edition.statement, inline: &inline };
        let bytes = content.sign(&[&head_signer()]).unwrap();
        let use_by_ms = verified(&bytes).statement.use_by.millis().0;
        let inline = inline.iter().map(|one| one.generation).collect();
        let signed = Signed { covers_ms, as_of, use_by_ms, inline };
        self.world.note_signed(&bytes, &signed);
        Some((bytes, signed))
    }

    /// Reads the clock, then the committed state.
    async fn look(&self) -> UnixMillis {
        let now = self.world.now(Place::Signer);
        self.pause(2).await;
        self.heads.borrow_mut().read(&self.world.authority.borrow(), now);
        now
    }

    /// The truth that `as_of` must not overstate: when the first change was committed that is neither in the statement
    /// nor inline.
    fn covers_ms(&self, statement: Generation, inline: &[Inline], looked_ms: u64) -> u64 {
        let authority = self.world.authority.borrow();
        let mut after = authority.log.range(statement.next()..);
        let is_covered = |generation| inline.iter().any(|one| one.generation == generation);
        let first = after.find(|(generation, _)| !is_covered(**generation));
        first.map_or(looked_ms, |(_, (_, at_ms))| (*at_ms).min(looked_ms))
    }
}

impl Heads {
    fn read(&mut self, authority: &Authority, now: UnixMillis) {
        for (&generation, (fact, _)) in authority.log.range(self.read_to.next()..) {
            match authority.refusal(*fact, authority.said_by(*fact, generation)) {
                Some(refusal) => drop(self.refusals.insert(generation, vec![refusal])),
                None => self.waiting.push(generation),
            }
            self.read_to = generation;
        }
        self.stamp.note(now, authority.generation);
    }

    fn riding(&self, statement: Generation) -> (Vec<Inline>, Option<Generation>) {
        let mut lacking = self.waiting.iter().copied().find(|waiting| *waiting > statement);
        if statement < self.from {
            lacking = Some(statement.next());
        }
        let mut inline = Vec::new();
        for (&generation, subjects) in self.refusals.range(statement.next()..) {
            if inline.len() + subjects.len() > INLINE_MAX {
                lacking = Some(lacking.map_or(generation, |lacking| lacking.min(generation)));
                continue;
            }
            let entry = |&(subject, reason): &_| Inline { generation, subject, reason };
            inline.extend(subjects.iter().map(entry));
        }
        (inline, lacking)
    }
}

pub(crate) fn head_signer() -> Signer {
    Signer::from_seed(&[3; 32])
}
