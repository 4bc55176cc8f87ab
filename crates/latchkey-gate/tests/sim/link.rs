//! A line between two places: it takes time, loses, doubles, reorders, and is cut.

use crate::clockwork::Clockwork;
use std::cell::Cell;
use std::rc::Rc;

/// What a line does to whatever crosses it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// How long one direction takes.
    pub(crate) delay_ms: (u64, u64),
    pub(crate) loss_percent: u64,
    /// How often a request arrives again later.
    pub(crate) double_percent: u64,
}

pub(crate) struct Link {
    manners: Cell<Manners>,
    is_cut: Cell<bool>,
}

impl Link {
    pub(crate) fn new(manners: Manners) -> Rc<Self> {
        Rc::new(Self { manners: Cell::new(manners), is_cut: Cell::new(false) })
    }

    pub(crate) fn cut(&self, is_cut: bool) {
        self.is_cut.set(is_cut);
    }

    pub(crate) fn set(&self, manners: Manners) {
        self.manners.set(manners);
    }

    /// Sends a request over and brings the answer back, if both directions let it through within `budget_ms`. The request
    /// may well have arrived though no answer comes.
    pub(crate) async fn call<T>(
        &self,
        clockwork: &Rc<Clockwork>,
        budget_ms: u64,
        deliver: impl Fn() -> T + 'static,
    ) -> Option<T> {
        let due_ms = clockwork.now_ms().saturating_add(budget_ms);
        let random = &clockwork.random;
        let Manners { delay_ms, loss_percent, double_percent } = self.manners.get();
        let deliver = Rc::new(deliver);
        let there_ms = random.within(delay_ms);
        if self.is_cut.get() || random.percent(loss_percent) || there_ms > budget_ms {
            clockwork.sleep(budget_ms).await;
            return None;
        }
        if random.percent(double_percent) {
            let (clock, deliver) = (Rc::clone(clockwork), Rc::clone(&deliver));
            let late_ms = there_ms + random.below(1500);
            clockwork.spawn(async move {
                clock.sleep(late_ms).await;
                deliver();
            });
        }
        clockwork.sleep(there_ms).await;
        let answer = deliver();
        let back_ms = random.within(delay_ms);
        let is_lost = self.is_cut.get() || random.percent(loss_percent);
        if is_lost || clockwork.now_ms() + back_ms > due_ms {
            clockwork.sleep(due_ms.saturating_sub(clockwork.now_ms())).await;
            return None;
        }
        clockwork.sleep(back_ms).await;
        Some(answer)
    }
}
