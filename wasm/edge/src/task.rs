//! The futures of requests.
//!
//! Most wait for nothing: they are run at once, since a promise, its closures and the executor's turns cost a request several times what its
//! verdict does. One that waits is kept for as long as somebody can wake it. Whatever can is the runtime's ([`Awaited`]), which drops
//! it with a request whose caller went away; then the future goes too. (The executor that comes with wasm-bindgen keeps such a future
//! for ever, with some kilobytes of the module's memory, and callers that go away are many.)

use crate::runtime;
use core::cell::RefCell;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use futures_util::future::{Either, select};
use futures_util::pin_mut;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Wake;
use worker::js_sys::{Function, Promise};
use worker::wasm_bindgen::JsValue;
use worker::worker_sys;

thread_local! {
    static TASKS: RefCell<Tasks> = const {
        RefCell::new(Tasks { waiting: BTreeMap::new(), woken: Vec::new(), last: 0 })
    };
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// All of this isolate that wait.
struct Tasks {
    waiting: BTreeMap<u64, Task>,
    /// Whose turn it is; while there are any, the runtime was asked for one.
    woken: Vec<Arc<Handle>>,
    last: u64,
}

/// What wakes a task. With the last one the task goes.
struct Handle {
    id: u64,
    is_woken: AtomicBool,
}

/// What a future has come to after its first turn.
enum Begun<F: Future> {
    /// It waited for nothing.
    Over(F::Output),
    /// It waits.
    Waits(Waiting<F>),
}

/// One that waits. Dropped, it waits no more.
struct Waiting<F> {
    future: Pin<Box<F>>,
    handle: Arc<Handle>,
}

/// Gives a future its first turn.
fn begin<F: Future + 'static>(future: F) -> Begun<F> {
    let id = TASKS.with_borrow_mut(|tasks| {
        tasks.last += 1;
        tasks.last
    });
    let handle = Arc::new(Handle { id, is_woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&handle));
    let mut future = Box::pin(future);
    match future.as_mut().poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(output) => Begun::Over(output),
        Poll::Pending => Begun::Waits(Waiting { future, handle }),
    }
}

/// What a future comes to: at once, or a promise of it.
pub(crate) fn run(future: impl Future<Output = JsValue> + 'static) -> JsValue {
    match begin(future) {
        Begun::Over(value) => value,
        Begun::Waits(waiting) => promise(waiting).into(),
    }
}

/// Goes on behind the answer.
pub(crate) fn behind(context: &worker_sys::Context, future: impl Future<Output = ()> + 'static) {
    let future = async {
        future.await;
        JsValue::UNDEFINED
    };
    if let Begun::Waits(waiting) = begin(future) {
        // It goes on whether the request waits for it or not, but perhaps not as long.
        let _ = context.wait_until(&promise(waiting));
    }
}

fn promise(waiting: Waiting<impl Future<Output = JsValue> + 'static>) -> Promise {
    let mut resolve = None;
    let promise = Promise::new(&mut |resolved, _| resolve = Some(resolved));
    waiting.go_on(move |value| {
        let _ = resolve.map(|resolve: Function| resolve.call1(&JsValue::UNDEFINED, &value));
    });
    promise
}

impl<F: Future + 'static> Waiting<F> {
    /// Waits on, and then does this.
    fn go_on(self, end: impl FnOnce(F::Output) + 'static) {
        let Self { future, handle } = self;
        let task = Box::pin(async move { end(future.await) });
        TASKS.with_borrow_mut(|tasks| tasks.waiting.insert(handle.id, task));
    }
}

impl Wake for Handle {
    fn wake(self: Arc<Self>) {
        if self.is_woken.swap(true, Relaxed) {
            return;
        }
        let is_first = TASKS.with_borrow_mut(|tasks| {
            tasks.woken.push(self);
            tasks.woken.len() == 1
        });
        // Tests take the turns themselves.
        if is_first && !cfg!(test) {
            runtime::soon(turn);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Outside, since what it holds may hold others' handles.
        let task = TASKS.try_with(|tasks| tasks.borrow_mut().waiting.remove(&self.id));
        drop(task);
    }
}

/// The turn of all that were woken.
fn turn() {
    let woken = TASKS.with_borrow_mut(|tasks| mem::take(&mut tasks.woken));
    for handle in woken {
        let Some(mut task) = TASKS.with_borrow_mut(|tasks| tasks.waiting.remove(&handle.id)) else {
            continue;
        };
        handle.is_woken.store(false, Relaxed);
        let waker = Waker::from(Arc::clone(&handle));
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            TASKS.with_borrow_mut(|tasks| tasks.waiting.insert(handle.id, task));
        }
    }
}

/// What a promise comes to.
pub(crate) struct Awaited(Rc<RefCell<Waited>>);

#[derive(Default)]
struct Waited {
    outcome: Option<Result<JsValue, JsValue>>,
    waker: Option<Waker>,
}

/// The promise's half: the runtime keeps it for as long as the promise can come to something.
struct Teller(Rc<RefCell<Waited>>);

/// Waits for a promise, which must not be held meanwhile, nor anything that leads to it: it keeps who waits for it.
pub(crate) fn come(promise: Promise) -> Awaited {
    let (teller, awaited) = halves();
    runtime::listen(&promise, move |outcome| teller.tell(outcome));
    awaited
}

fn halves() -> (Teller, Awaited) {
    let waited = Rc::new(RefCell::default());
    (Teller(Rc::clone(&waited)), Awaited(waited))
}

impl Teller {
    fn tell(&self, outcome: Result<JsValue, JsValue>) {
        let mut waited = self.0.borrow_mut();
        waited.outcome = Some(outcome);
        let waker = waited.waker.take();
        drop(waited);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        // Nobody will wake it.
        let waker = self.0.borrow_mut().waker.take();
        drop(waker);
    }
}

impl Future for Awaited {
    type Output = Result<JsValue, JsValue>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut waited = self.0.borrow_mut();
        match waited.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                let former = waited.waker.replace(context.waker().clone());
                drop(waited);
                drop(former);
                Poll::Pending
            }
        }
    }
}

/// Waits so long.
pub(crate) async fn sleep(pause: Duration) {
    let (teller, awaited) = halves();
    let _alarm = runtime::Alarm::set(pause, move |outcome| teller.tell(outcome));
    let _ = awaited.await;
}

/// What comes of `work`, if it comes in time.
pub(crate) async fn within<T>(budget: Duration, work: impl Future<Output = T>) -> Option<T> {
    let late = sleep(budget);
    pin_mut!(work, late);
    match select(work, late).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;
    use core::future::poll_fn;

    fn waiting() -> usize {
        TASKS.with_borrow(|tasks| tasks.waiting.len())
    }

    /// What it came to, once it did.
    fn go<T: 'static>(future: impl Future<Output = T> + 'static) -> Rc<Cell<Option<T>>> {
        let outcome = Rc::new(Cell::new(None));
        let end = Rc::clone(&outcome);
        match begin(future) {
            Begun::Over(output) => outcome.set(Some(output)),
            Begun::Waits(waiting) => waiting.go_on(move |output| end.set(Some(output))),
        }
        outcome
    }

    const SAID: Result<JsValue, JsValue> = Ok(JsValue::UNDEFINED);

    #[test]
    fn what_waits_for_nothing_is_over_at_once() {
        assert!(matches!(begin(async { 7 }), Begun::Over(7)));
        assert_eq!(waiting(), 0);
    }

    #[test]
    fn what_waits_goes_on_where_it_was() {
        let (first, awaited) = halves();
        let (second, then) = halves();
        let steps = Rc::new(Cell::new(0));
        let count = Rc::clone(&steps);
        let outcome = go(async move {
            count.set(count.get() + 1);
            let _ = awaited.await;
            count.set(count.get() + 1);
            let _ = then.await;
            7
        });
        assert_eq!((waiting(), steps.get()), (1, 1));
        first.tell(SAID);
        assert_eq!(steps.get(), 1, "not before its turn");
        turn();
        assert_eq!((waiting(), steps.get(), outcome.take()), (1, 2, None));
        second.tell(SAID);
        turn();
        assert_eq!((waiting(), outcome.take()), (0, Some(7)));
    }

    #[test]
    fn what_is_told_before_it_is_waited_for_is_not_lost() {
        let (teller, awaited) = halves();
        teller.tell(SAID);
        drop(teller);
        assert!(matches!(begin(awaited), Begun::Over(Ok(_))));
    }

    #[test]
    fn what_nobody_can_wake_any_more_is_gone() {
        struct Noted(Rc<Cell<bool>>);
        impl Drop for Noted {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let gone = Rc::new(Cell::new(false));
        let held = Noted(Rc::clone(&gone));
        let ((first, awaited), (second, other)) = (halves(), halves());
        let outcome = go(async move {
            let _held = held;
            select(awaited, other).await;
        });
        drop(first);
        assert!(!gone.get(), "one can still be told");
        drop(second);
        assert!(gone.get());
        assert_eq!((waiting(), outcome.take()), (0, None));
    }

    #[test]
    fn who_is_woken_in_its_own_turn_has_another() {
        let (teller, awaited) = halves();
        let turns = Rc::new(Cell::new(0));
        let count = Rc::clone(&turns);
        let outcome = go(async move {
            let _ = awaited.await;
            poll_fn(|context| {
                count.set(count.get() + 1);
                if count.get() == 2 {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        });
        teller.tell(SAID);
        turn();
        assert_eq!((turns.get(), outcome.take()), (1, None));
        turn();
        assert_eq!((turns.get(), outcome.take()), (2, Some(())));
    }

    #[test]
    fn task_that_is_woken_twice_has_one_turn() {
        let ((first, awaited), (second, other)) = (halves(), halves());
        let outcome = go(async move {
            let _ = futures_util::future::join(awaited, other).await;
        });
        first.tell(SAID);
        second.tell(SAID);
        assert_eq!(TASKS.with_borrow(|tasks| tasks.woken.len()), 1);
        turn();
        assert_eq!(outcome.take(), Some(()));
    }
}
