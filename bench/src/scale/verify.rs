//! A gate over the published directory, asked for keys that are there, revoked, or nobody's.

use super::ledger::Ledger;
use crate::installation::Signers;
use crate::memory;
use crate::row::Row;
use crate::timing::median;
use crate::world::{self, NOW};
use anyhow::{Context, Result, anyhow, bail, ensure};
use latchkey_core::{Dice, PlainKey, UnixMillis};
use latchkey_gate::{
    Ask, Attempt, Floor, Gate, GateConfig, Grant, Header, MEMORY_BYTES_DEFAULT, Outcome, Question,
    RefreshEnd, Refusal, Request, Step, Unproven, Wanted,
};
use latchkey_snapshot::KeyState;
use latchkey_snapshot::head::Reason;
use std::fs;
use std::path::Path;
use std::time::Instant;

/// Steps that one key may take before something is wrong.
const STEPS_MAX: usize = 16;

/// How far apart the requests are, for the gate's clock: one that brings more unknown keys fetches less for each.
const EVERY_MS: u64 = 25;

/// A gate and where it reads from.
struct Reader<'a> {
    gate: Gate,
    signers: &'a Signers,
    statement: &'a [u8],
    published: &'a Path,
    now: UnixMillis,
    bytes: u64,
    objects: u64,
}

/// Asks, checks every answer against the ledger, and says what it took.
pub(super) fn rows(
    size: &str,
    ledger: &Ledger,
    signers: &Signers,
    statement: &[u8],
    published: &Path,
    asks: usize,
) -> Result<Vec<Row>> {
    memory::forget_peak()?;
    let before_mb = memory::peak_mb()?;
    let mut reader = Reader::new(signers, statement, published)?;
    let mut dice = Dice::from_seed(&[0x66; 32]);
    let (mut read_us, mut held_us, mut counts) = (Vec::new(), Vec::new(), [0u64; 3]);
    let start = Instant::now();
    for ask in 0..asks {
        // Every fourth key is nobody's; the revoked are one in fifty of the others.
        let random = u64::from_le_bytes(dice.bytes());
        let number = ((u128::from(random) * u128::from(ledger.keys())) >> 64) as u64;
        let number = if ask % 4 == 3 { ledger.keys() + number } else { number };
        let (key, objects) = (ledger.key(number), reader.objects);
        reader.now = reader.now.plus_ms(EVERY_MS);
        let asked = Instant::now();
        let outcome = reader.ask(&key)?;
        let micros = asked.elapsed().as_secs_f64() * 1e6;
        if reader.objects > objects { &mut read_us } else { &mut held_us }.push(micros);
        counts[check(ledger, number, &key, outcome).with_context(|| format!("key {number}"))?] += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    let [allowed, revoked, unknown] = counts;
    ensure!(
        unknown > 0 && (revoked > 0 || asks < 1000) && allowed > 0,
        "not all kinds of keys were asked for"
    );
    let peak_mb = memory::peak_mb()?;
    let status = reader.gate.status(reader.now);
    let detail = format!(
        "peak resident memory while a gate capped at {} MB over the directory answered {allowed} keys in force, {revoked} revoked and \
         {unknown} unknown, each checked, in {seconds:.1} s ({before_mb:.0} MB before); it read {} objects of {:.0} MB and \
         holds {} of {} pages, {:.0} MB, after {} evictions; median {:.0} µs with a read, {:.1} µs without",
        MEMORY_BYTES_DEFAULT / 1_000_000,
        reader.objects,
        reader.bytes as f64 / 1e6,
        status.pages_held,
        status.pages_named,
        status.bytes_held as f64 / 1e6,
        status.evictions,
        median(&read_us),
        median(&held_us),
    );
    Ok(vec![Row::new(format!("gate_{size}_memory_mb"), peak_mb, detail)])
}

/// What the answer is counted as, if it is right.
fn check(ledger: &Ledger, number: u64, key: &PlainKey, outcome: Outcome) -> Result<usize> {
    let fate = (number < ledger.keys()).then(|| ledger.fate(number));
    match (fate, outcome) {
        (Some(fate), Outcome::Allow(Grant { subject, binding, expiry, .. }))
            if fate.state == KeyState::Active =>
        {
            ensure!(subject == latchkey_gate::Subject::Key(key.id()), "let in as another");
            ensure!((binding, expiry) == (fate.binding, fate.expiry), "let in for something else");
            Ok(0)
        }
        (Some(fate), Outcome::Refuse(Refusal::OutOfForce(Reason::Revoked)))
            if fate.state == KeyState::Revoked =>
        {
            Ok(1)
        }
        (None, Outcome::Refuse(Refusal::Unauthenticated(Unproven::Unknown))) => Ok(2),
        (_, outcome) => bail!("answered with {outcome:?}"),
    }
}

impl<'a> Reader<'a> {
    fn new(signers: &'a Signers, statement: &'a [u8], published: &'a Path) -> Result<Self> {
        let config = GateConfig {
            root: signers.root()?,
            peppers: vec![world::pepper()],
            mint: world::mint(),
            floor: Floor::default(),
            memory_bytes_max: MEMORY_BYTES_DEFAULT,
            seed: 1,
        };
        let gate = Gate::new(config).map_err(|error| anyhow!("{error}"))?;
        Ok(Self { gate, signers, statement, published, now: NOW, bytes: 0, objects: 0 })
    }

    fn ask(&mut self, key: &PlainKey) -> Result<Outcome> {
        let authorization = format!("Bearer {}", key.expose());
        let request = Request::new("GET", b"/v1/whoami", Header::One(authorization.as_bytes()));
        let mut attempt = Attempt::default();
        for _ in 0..STEPS_MAX {
            match self.gate.decide(&request, Question::Whoami, self.now, &mut attempt) {
                Step::Answer(verdict) => return Ok(verdict.outcome),
                Step::Ask(Ask::Body(field)) => bail!("no rule reads `{field}`"),
                Step::Ask(Ask::Objects(list)) => list.iter().try_for_each(|wanted| self.read(wanted))?,
                Step::Ask(Ask::Head(_)) => {
                    let head = self.signers.head(self.statement, self.now, &[])?;
                    self.gate.accept_head(&head, self.now).map_err(|error| anyhow!("{error}"))?;
                    self.gate.ask_ended(RefreshEnd::Answered, self.now);
                }
            }
        }
        bail!("no answer")
    }

    fn read(&mut self, wanted: &Wanted) -> Result<()> {
        let name = wanted.reference().digest().to_string();
        let bytes = fs::read(self.published.join("objects").join(name))?;
        self.bytes += bytes.len() as u64;
        self.objects += 1;
        self.gate.accept_object(wanted, &bytes, self.now).map_err(|error| anyhow!("{error}"))
    }
}
