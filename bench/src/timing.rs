//! Timing nanoseconds: chained calls, many rounds, medians.

use std::hint::black_box;
use std::time::Instant;

/// Nanoseconds that one call takes when the next begins only after its answer is known, as in a request.
///
/// A call returns a number that follows from its answer. The next item's index depends on that number, in a way
/// that changes nothing and that neither compiler nor processor can know.
pub(crate) fn chained_ns<T>(items: &[T], mut call: impl FnMut(&T) -> usize) -> f64 {
    let nothing = black_box(0usize);
    let mut answer = 0;
    let start = Instant::now();
    for index in 0..items.len() {
        if let Some(item) = items.get(index + (answer & nothing)) {
            answer = call(item);
        }
    }
    black_box(answer);
    start.elapsed().as_secs_f64() * 1e9 / items.len() as f64
}

/// The middle value; of an even number of values, the lower middle one. 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which this part of all values lies.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len().saturating_sub(1) as f64 * part) as usize;
    sorted.get(index).copied().unwrap_or_default()
}
