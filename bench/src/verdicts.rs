//! How long a verdict takes, beside what no verdict can do without: hashing the key and one load that depends
//! on the hash.
//!
//! Every measurement of every round draws keys of its own, so that none finds in the cache what another has just
//! read. The text of a request is in the cache, as it is in a server that has just received it.

use crate::edge::{self, Depot};
use crate::installation::Signers;
use crate::row::Row;
use crate::timing::{chained_ns, median, quantile};
use crate::world::{Key, NOW, World};
use anyhow::{Result, bail, ensure};
use latchkey_core::Dice;
use latchkey_gate::{Attempt, Gate, Header, Outcome, Question, Request, Step};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Requests in a round: few enough that their texts stay in the second-level cache.
const BATCH: usize = 1000;

/// A request as a server holds it.
struct Asked {
    authorization: Vec<u8>,
    path: String,
}

/// What is timed.
struct Measurement {
    id: &'static str,
    what: &'static str,
    method: &'static str,
    path: fn(&World, &Key, u32) -> String,
    spoil: bool,
    call: fn(&Rig, &Request<'_>) -> usize,
}

/// What the measurements run on.
struct Rig {
    gate: Gate,
    /// As many bytes as the snapshot has, all of them written.
    table: Vec<u64>,
}

const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        id: "baseline",
        what: "BLAKE3 of the key's text and one load that depends on it",
        method: "POST",
        path: fixed,
        spoil: false,
        call: baseline,
    },
    Measurement {
        id: "route",
        what: "verdict on POST /v1/chat/completions, the project taken from the key",
        method: "POST",
        path: fixed,
        spoil: false,
        call: route,
    },
    Measurement {
        id: "whoami",
        what: "verdict without a route",
        method: "GET",
        path: fixed,
        spoil: false,
        call: whoami,
    },
    Measurement {
        id: "project",
        what: "verdict on a path that names the project by its slug",
        method: "GET",
        path: in_project,
        spoil: false,
        call: route,
    },
    Measurement {
        id: "resource",
        what: "verdict on a path that names project and file",
        method: "GET",
        path: in_file,
        spoil: false,
        call: route,
    },
    Measurement {
        id: "junk",
        what: "refusal of a key with one character changed",
        method: "POST",
        path: fixed,
        spoil: true,
        call: junk,
    },
];

/// Measures all of them, `rounds` times in turn.
pub(crate) fn rows(world: &World, rounds: usize) -> Result<Vec<Row>> {
    let rig = Rig::new(world)?;
    let mut dice = Dice::from_seed(&[0x22; 32]);
    check(&rig, world, &mut dice)?;
    let mut samples = vec![Vec::with_capacity(rounds); MEASUREMENTS.len()];
    for round in 0..rounds {
        for turn in 0..MEASUREMENTS.len() {
            // Another one goes first in every round.
            let index = (round + turn) % MEASUREMENTS.len();
            let batch = MEASUREMENTS[index].batch(world, &mut dice);
            samples[index].push(MEASUREMENTS[index].run(&rig, &batch));
        }
    }
    Ok(report(&rig, &samples))
}

/// Repeats one measurement until the time is over.
pub(crate) fn spin(world: &World, id: &str, time: Duration) -> Result<()> {
    let Some(measurement) = MEASUREMENTS.iter().find(|measurement| measurement.id == id) else {
        bail!(
            "no such measurement; there are {}",
            MEASUREMENTS.iter().map(|one| one.id).collect::<Vec<_>>().join(", ")
        );
    };
    let rig = Rig::new(world)?;
    let mut dice = Dice::from_seed(&[0x23; 32]);
    // Many keys, drawn before the clock starts, so that drawing them is not what a profile shows.
    let batches: Vec<_> = (0..200).map(|_| measurement.batch(world, &mut dice)).collect();
    let (start, mut samples) = (Instant::now(), Vec::new());
    while start.elapsed() < time {
        samples.extend(batches.iter().map(|batch| measurement.run(&rig, batch)));
    }
    eprintln!("{id}: median {:.1} ns", median(&samples));
    Ok(())
}

fn report(rig: &Rig, samples: &[Vec<f64>]) -> Vec<Row> {
    let of = |id: &str| {
        let index = MEASUREMENTS.iter().position(|one| one.id == id).unwrap_or_default();
        samples[index].as_slice()
    };
    let base = of("baseline");
    let ratios: Vec<f64> = of("route").iter().zip(base).map(|(verdict, base)| verdict / base).collect();
    let (verdict_ns, base_ns) = (median(of("route")), median(base));
    let ratio = format!(
        "{verdict_ns:.0} ns over {base_ns:.0} ns (digest and a dependent load in {:.1} MB); \
         middle half of the rounds {:.2} to {:.2}",
        rig.table.len() as f64 * 8.0 / 1e6,
        quantile(&ratios, 0.25),
        quantile(&ratios, 0.75)
    );
    let mut rows = vec![Row::new("verdict_native_ratio", median(&ratios), ratio)];
    let named = ["verdict_native_ns", "verdict_native_whoami_ns", "verdict_native_project_ns"];
    let named = named.into_iter().chain(["verdict_native_resource_ns", "junk_refusal_ns"]);
    rows.extend(named.zip(&MEASUREMENTS[1..]).map(|(id, one)| Row::new(id, median(of(one.id)), one.what)));
    rows
}

impl Rig {
    fn new(world: &World) -> Result<Self> {
        let signers = Signers::new();
        let mut content = world.content();
        let built = signers.build(&mut content, 1)?;
        drop(content);
        let mut depot = Depot::default();
        depot.add(&built);
        let head = signers.head(&signers.statement(&built.manifest, 1)?, NOW, &[])?;
        let gate = edge::filled(&signers, &head, &depot)?;
        let words = gate.status(NOW).bytes_held / 8;
        Ok(Self { gate, table: (0..words).collect() })
    }
}

impl Measurement {
    fn batch(&self, world: &World, dice: &mut Dice) -> Vec<Asked> {
        let mut fate = Dice::from_seed(&dice.bytes());
        world
            .draw(dice)
            .take(BATCH)
            .map(|key| self.ask(world, key, u32::from_le_bytes(fate.bytes())))
            .collect()
    }

    fn ask(&self, world: &World, key: &Key, random: u32) -> Asked {
        let mut authorization = [b"Bearer ".as_slice(), &key.text].concat();
        if self.spoil
            && let Some(byte) = authorization.get_mut(30)
        {
            *byte = if *byte == b'0' { b'1' } else { b'0' };
        }
        Asked { authorization, path: (self.path)(world, key, random) }
    }

    fn run(&self, rig: &Rig, batch: &[Asked]) -> f64 {
        chained_ns(batch, |asked| (self.call)(rig, &asked.request(self.method)))
    }
}

impl Asked {
    fn request<'a>(&'a self, method: &'a str) -> Request<'a> {
        Request::new(method, self.path.as_bytes(), Header::One(&self.authorization))
    }
}

fn fixed(_: &World, _: &Key, _: u32) -> String {
    "/v1/chat/completions".to_owned()
}

fn in_project(world: &World, key: &Key, _: u32) -> String {
    world.project_of(key).map(|project| format!("/v1/projects/{}/files", project.slug)).unwrap_or_default()
}

fn in_file(world: &World, key: &Key, random: u32) -> String {
    world.project_of(key).map(|project| project.file_path(random)).unwrap_or_default()
}

fn baseline(rig: &Rig, request: &Request<'_>) -> usize {
    let Header::One(value) = request.authorization else { return 0 };
    let digest = blake3::hash(value.get(7..).unwrap_or_default());
    let word = digest.as_bytes().first_chunk().copied().map_or(0, u64::from_le_bytes);
    let index = (u128::from(word) * rig.table.len() as u128) >> 64;
    rig.table.get(index as usize).copied().unwrap_or_default() as usize
}

fn route(rig: &Rig, request: &Request<'_>) -> usize {
    decide(rig, request, Question::Route)
}

fn whoami(rig: &Rig, request: &Request<'_>) -> usize {
    decide(rig, request, Question::Whoami)
}

fn junk(rig: &Rig, request: &Request<'_>) -> usize {
    decide(rig, request, Question::Route)
}

/// The whole decision; what it returns follows from the record that was found.
fn decide(rig: &Rig, request: &Request<'_>, question: Question) -> usize {
    match rig.gate.decide(request, question, NOW, &mut Attempt::default()) {
        Step::Answer(verdict) => match black_box(&verdict).outcome {
            Outcome::Allow(grant) => grant.binding.project.0 as usize,
            Outcome::Pass(_) | Outcome::Refuse(_) => usize::MAX,
        },
        Step::Ask(_) => usize::MAX - 1,
    }
}

/// What is timed must also be right: nearly all let in, all junk refused.
fn check(rig: &Rig, world: &World, dice: &mut Dice) -> Result<()> {
    for measurement in MEASUREMENTS.iter().skip(1) {
        let batch = measurement.batch(world, dice);
        let answers = batch.iter().map(|asked| (measurement.call)(rig, &asked.request(measurement.method)));
        let allowed = answers.filter(|answer| *answer < usize::MAX - 1).count();
        let right = if measurement.spoil { allowed == 0 } else { allowed * 10 >= batch.len() * 9 };
        // Narrowed keys may not list files; they are one in ten.
        ensure!(
            right || allowed * 10 >= batch.len() * 8,
            "`{}` let {allowed} of {} in",
            measurement.id,
            batch.len()
        );
    }
    Ok(())
}
