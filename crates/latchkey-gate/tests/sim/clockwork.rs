//! Time that passes only when everybody waits, and tasks that run one at a time in an order drawn from a seed.
//!
//! A task is an ordinary future. What it waits for is a moment ([`Clockwork::sleep`]) or a [`Bell`]. Nothing here reads a
//! clock or starts a thread, so one seed is one run.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// Numbers that follow from a seed alone (SplitMix64: Steele, Lea, Flood 2014).
pub(crate) struct Random(Cell<u64>);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    pub(crate) fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15));
        let mut value = self.0.get();
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    pub(crate) fn below(&self, sides: u64) -> u64 {
        self.next() % sides.max(1)
    }

    pub(crate) fn within(&self, (least, most): (u64, u64)) -> u64 {
        least + self.below(most - least + 1)
    }

    pub(crate) fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }

    pub(crate) fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&self.next().to_le_bytes()));
        bytes
    }
}

pub(crate) type Task<T = ()> = Pin<Box<dyn Future<Output = T>>>;

/// Which task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId(u64);

/// The time that all clocks of the world are set by, and whoever waits for it.
pub(crate) struct Clockwork {
    now_ms: Cell<u64>,
    made: Cell<u64>,
    tasks: RefCell<BTreeMap<TaskId, Option<Task>>>,
    /// By the moment; those of one moment in an order of chance.
    timers: RefCell<BTreeMap<(u64, u64, u64), Waker>>,
    ready: Arc<Mutex<VecDeque<TaskId>>>,
    pub(crate) random: Random,
}

struct Ring {
    id: TaskId,
    ready: Arc<Mutex<VecDeque<TaskId>>>,
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.ready.lock().unwrap().push_back(self.id);
    }
}

impl Clockwork {
    pub(crate) fn new(seed: u64, start_ms: u64) -> Rc<Self> {
        Rc::new(Self {
            now_ms: Cell::new(start_ms),
            made: Cell::new(0),
            tasks: RefCell::default(),
            timers: RefCell::default(),
            ready: Arc::default(),
            random: Random::new(seed),
        })
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) -> TaskId {
        let id = TaskId(self.number());
        self.tasks.borrow_mut().insert(id, Some(Box::pin(task)));
        self.ready.lock().unwrap().push_back(id);
        id
    }

    /// Drops a task where it stands: a request that was cancelled, a process that was killed.
    pub(crate) fn kill(&self, id: TaskId) {
        let task = self.tasks.borrow_mut().remove(&id);
        drop(task);
    }

    /// Lets time pass until `until_ms`.
    pub(crate) fn run_until(&self, until_ms: u64) {
        loop {
            while let Some(id) = self.next_ready() {
                self.poll(id);
            }
            let first = self.timers.borrow().keys().next().copied();
            match first {
                Some(key) if key.0 <= until_ms => {
                    self.now_ms.set(self.now_ms.get().max(key.0));
                    let waker = self.timers.borrow_mut().remove(&key);
                    waker.into_iter().for_each(Waker::wake);
                }
                _ => {
                    self.now_ms.set(until_ms);
                    return;
                }
            }
        }
    }

    pub(crate) async fn sleep(self: &Rc<Self>, ms: u64) {
        Wait { clockwork: Rc::clone(self), due_ms: self.now_ms() + ms, bell: None, is_set: false }.await;
    }

    /// Waits until the bell has rung more often than `heard`, at most so long. Whether it has.
    pub(crate) async fn wait(self: &Rc<Self>, bell: &Rc<Bell>, heard: u64, most_ms: u64) -> bool {
        let bell = Some((Rc::clone(bell), heard));
        let due_ms = self.now_ms().saturating_add(most_ms);
        Wait { clockwork: Rc::clone(self), due_ms, bell, is_set: false }.await
    }

    fn number(&self) -> u64 {
        self.made.set(self.made.get() + 1);
        self.made.get()
    }

    fn next_ready(&self) -> Option<TaskId> {
        self.ready.lock().unwrap().pop_front()
    }

    fn poll(&self, id: TaskId) {
        let task = self.tasks.borrow_mut().get_mut(&id).and_then(Option::take);
        let Some(mut task) = task else { return };
        let waker = Waker::from(Arc::new(Ring { id, ready: Arc::clone(&self.ready) }));
        match task.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(()) => drop(self.tasks.borrow_mut().remove(&id)),
            Poll::Pending => {
                // It may have been killed by what it did itself.
                if let Some(slot) = self.tasks.borrow_mut().get_mut(&id) {
                    *slot = Some(task);
                }
            }
        }
    }
}

/// Something that others wait for, any number of times.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.rung.set(self.rung.get() + 1);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    pub(crate) fn rung(&self) -> u64 {
        self.rung.get()
    }
}

struct Wait {
    clockwork: Rc<Clockwork>,
    due_ms: u64,
    bell: Option<(Rc<Bell>, u64)>,
    is_set: bool,
}

impl Future for Wait {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        if let Some((bell, heard)) = &self.bell {
            if bell.rung() > *heard {
                return Poll::Ready(true);
            }
            bell.waiting.borrow_mut().push(context.waker().clone());
        }
        if self.clockwork.now_ms() >= self.due_ms {
            return Poll::Ready(false);
        }
        if !self.is_set {
            let clockwork = &self.clockwork;
            let key = (self.due_ms, clockwork.random.next(), clockwork.number());
            clockwork.timers.borrow_mut().insert(key, context.waker().clone());
            self.is_set = true;
        }
        Poll::Pending
    }
}

/// A lock that is held across waits.
#[derive(Default)]
pub(crate) struct Lock {
    is_held: Cell<bool>,
    bell: Rc<Bell>,
}

pub(crate) struct Held(Rc<Lock>);

impl Lock {
    pub(crate) async fn take(self: &Rc<Self>, clockwork: &Rc<Clockwork>) -> Held {
        while self.is_held.get() {
            clockwork.wait(&self.bell, self.bell.rung(), u64::MAX / 4).await;
        }
        self.is_held.set(true);
        Held(Rc::clone(self))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.is_held.set(false);
        self.0.bell.ring();
    }
}

/// Runs all of them within one task, so that they end with it.
pub(crate) async fn join_all<T>(tasks: impl Iterator<Item = Task<T>>) -> Vec<T> {
    let mut tasks: Vec<Task<T>> = tasks.collect();
    let mut done = Vec::new();
    std::future::poll_fn(move |context| {
        tasks.retain_mut(|task| match task.as_mut().poll(context) {
            Poll::Ready(output) => {
                done.push(output);
                false
            }
            Poll::Pending => true,
        });
        if tasks.is_empty() { Poll::Ready(std::mem::take(&mut done)) } else { Poll::Pending }
    })
    .await
}
