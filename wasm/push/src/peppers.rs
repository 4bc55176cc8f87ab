//! Which peppers the edges hold, as their reads of the head tell: a publisher changes to a new pepper only when no
//! read has come without it for long enough.
//!
//! What is kept is the last read of every *set* of peppers, so that a pepper that is new is known to have been
//! missing from every read before it.

use core::fmt;
use latchkey_core::UnixMillis;
use std::collections::BTreeMap;

/// The header on a read of the head: the ids of the peppers that the reader holds.
pub const HEADER: &str = "latchkey-peppers";
/// Peppers that a reader may say it holds; more than an edge ever does.
const IDS_MAX: usize = 4;
/// Sets that are told apart at most; the one seen longest ago gives way.
const SETS_MAX: usize = 32;
/// How old the storage's copy of a moment may become.
pub const WRITTEN_EVERY_MS: u64 = 10_000;

/// The peppers that a reader holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PepperSet(Vec<[u8; 8]>);

/// The last read of every set.
#[derive(Debug, Default)]
pub struct Reports(BTreeMap<PepperSet, Sighting>);

#[derive(Clone, Copy, Debug)]
struct Sighting {
    seen: UnixMillis,
    written: Option<UnixMillis>,
}

/// What is known of one pepper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its id.
    pub id: [u8; 8],
    /// The last read of an edge that holds it.
    pub with_at: UnixMillis,
    /// The last read of an edge that does not.
    pub without_at: Option<UnixMillis>,
}

impl PepperSet {
    /// The set of these ids.
    pub fn new(ids: impl IntoIterator<Item = [u8; 8]>) -> Self {
        let mut ids: Vec<[u8; 8]> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        Self(ids)
    }

    /// The set that a header names: ids of 16 lower-case hexadecimal characters, with commas between them. A reader
    /// that names none, or not so, holds none.
    pub fn parse(header: Option<&str>) -> Self {
        let text = header.unwrap_or_default();
        let ids: Option<Vec<[u8; 8]>> = text.split(',').map(parse_id).collect();
        ids.filter(|ids| ids.len() <= IDS_MAX).map(Self::new).unwrap_or_default()
    }
}

impl PepperSet {
    /// As [`Self::parse`] reads it, and never empty: a word among others.
    pub fn to_token(&self) -> String {
        if self.0.is_empty() { "none".to_owned() } else { self.to_string() }
    }
}

impl fmt::Display for PepperSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, id) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{:016x}", u64::from_be_bytes(*id))?;
        }
        Ok(())
    }
}

impl Reports {
    /// What was stored.
    pub fn open(stored: impl IntoIterator<Item = (PepperSet, UnixMillis)>) -> Self {
        let sighting = |seen| Sighting { seen, written: Some(seen) };
        Self(stored.into_iter().map(|(set, seen)| (set, sighting(seen))).collect())
    }

    /// Notes a read. `true`: the set and the moment are to be stored now.
    pub fn note(&mut self, set: &PepperSet, now: UnixMillis) -> bool {
        if let Some(sighting) = self.0.get_mut(set) {
            sighting.seen = sighting.seen.max(now);
            let is_due = sighting.written.is_none_or(|written| now.since_ms(written) >= WRITTEN_EVERY_MS);
            if is_due {
                sighting.written = Some(now);
            }
            return is_due;
        }
        self.0.insert(set.clone(), Sighting { seen: now, written: Some(now) });
        true
    }

    /// The set that gives way, when there are too many.
    pub fn surplus(&mut self) -> Option<PepperSet> {
        if self.0.len() <= SETS_MAX {
            return None;
        }
        let (oldest, _) = self.0.iter().min_by_key(|(_, sighting)| sighting.seen)?;
        let oldest = oldest.clone();
        self.0.remove(&oldest);
        Some(oldest)
    }

    /// Says that what was to be stored was not.
    pub fn unwritten(&mut self, set: &PepperSet) {
        if let Some(sighting) = self.0.get_mut(set) {
            sighting.written = None;
        }
    }

    /// What is known of each pepper that any edge holds, by id.
    pub fn list(&self) -> Vec<Report> {
        let mut ids: Vec<[u8; 8]> = self.0.keys().flat_map(|set| set.0.iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter()
            .map(|id| {
                let newest = |with: bool| {
                    let sets = self.0.iter().filter(move |(set, _)| set.0.contains(&id) == with);
                    sets.map(|(_, sighting)| sighting.seen).max()
                };
                Report { id, with_at: newest(true).unwrap_or_default(), without_at: newest(false) }
            })
            .collect()
    }
}

fn parse_id(text: &str) -> Option<[u8; 8]> {
    let plain = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u64::from_str_radix(text, 16).ok().map(u64::to_be_bytes))?
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: [u8; 8] = [1; 8];
    const NEW: [u8; 8] = [2; 8];

    fn set(ids: &[[u8; 8]]) -> PepperSet {
        PepperSet::new(ids.iter().copied())
    }

    #[test]
    fn a_set_is_read_as_it_is_written() {
        for ids in [&[OLD][..], &[NEW, OLD]] {
            let text = set(ids).to_string();
            assert_eq!(PepperSet::parse(Some(&text)), set(ids));
        }
        assert_eq!(set(&[NEW, OLD]).to_string(), "0101010101010101,0202020202020202");
    }

    #[test]
    fn whoever_names_no_set_holds_none() {
        let upper = "ABCDEFABCDEFABCD";
        let many = ["0101010101010101"; 5].join(",");
        for text in ["", ",", "0101010101010101,", "01", "+101010101010101", upper, &many] {
            assert_eq!(PepperSet::parse(Some(text)), PepperSet::default(), "{text}");
        }
        assert_eq!(PepperSet::parse(None), PepperSet::default());
        assert_eq!(PepperSet::parse(Some(&PepperSet::default().to_token())), PepperSet::default());
    }

    #[test]
    fn a_new_pepper_was_missing_from_every_read_before_it() {
        let mut reports = Reports::default();
        reports.note(&set(&[OLD]), UnixMillis(1000));
        reports.note(&PepperSet::default(), UnixMillis(400));
        reports.note(&set(&[OLD, NEW]), UnixMillis(2000));
        let report = |id, with_at, without_at: u64| Report {
            id,
            with_at: UnixMillis(with_at),
            without_at: Some(UnixMillis(without_at)),
        };
        assert_eq!(reports.list(), vec![report(OLD, 2000, 400), report(NEW, 2000, 1000)]);
        reports.note(&set(&[OLD]), UnixMillis(3000));
        assert_eq!(reports.list()[1].without_at, Some(UnixMillis(3000)));
    }

    #[test]
    fn a_new_set_is_stored_at_once_and_then_now_and_then() {
        let mut reports = Reports::default();
        assert!(reports.note(&set(&[OLD]), UnixMillis(5)));
        assert!(!reports.note(&set(&[OLD]), UnixMillis(5 + WRITTEN_EVERY_MS - 1)));
        assert!(reports.note(&set(&[OLD]), UnixMillis(5 + WRITTEN_EVERY_MS)));
        reports.unwritten(&set(&[OLD]));
        assert!(reports.note(&set(&[OLD]), UnixMillis(6 + WRITTEN_EVERY_MS)));
        let again = Reports::open([(set(&[OLD]), UnixMillis(9))]);
        assert_eq!(again.list()[0].with_at, UnixMillis(9));
    }

    #[test]
    fn the_sets_are_bounded_and_the_oldest_gives_way() {
        let mut reports = Reports::default();
        for number in 0..=SETS_MAX as u8 {
            reports.note(&set(&[[number; 8]]), UnixMillis(1000 + u64::from(number)));
        }
        assert_eq!(reports.surplus(), Some(set(&[[0; 8]])));
        assert_eq!((reports.surplus(), reports.list().len()), (None, SETS_MAX));
    }
}
