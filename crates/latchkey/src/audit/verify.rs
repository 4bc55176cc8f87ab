//! `latchkey audit verify`: recomputes a copy of the log, and names the first position that is wrong.
//!
//! A copy of the whole log is rebuilt from its leaves up. An organization's own entries come with a proof each;
//! that none was left out between them follows from their numbers.

use super::copy::{Copy, lines, open};
use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use latchkey_api::audit::{AuditProof, AuditRecord};
use latchkey_control::tlog::proof::{check_consistency, check_inclusion};
use latchkey_control::tlog::tile::{TILE_WIDTH, subtree};
use latchkey_control::tlog::tree::Checkpoint;
use latchkey_control::tlog::{CheckpointKey, Frontier, Hash, Tile, leaf_hash};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What `latchkey audit verify` is asked for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A directory from `latchkey audit export`, or a file of lines from the API's `…/audit/export?proofs=true`.
    path: PathBuf,
    /// The log's public key, as `latchkey audit key` prints it.
    #[arg(long)]
    key: String,
    /// The checkpoint [default: the directory's own]
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// A checkpoint that was kept: the log must still begin with that one's tree. May be given several times.
    #[arg(long, value_name = "FILE")]
    earlier: Vec<PathBuf>,
    /// The lines are a part of an export: what came before the first is not asked for.
    #[arg(long)]
    part: bool,
}

/// Verifies, and says what was proven.
///
/// # Errors
/// The first thing that is wrong, with its position.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let key = CheckpointKey::parse(&arguments.key).context("`--key`")?;
    let is_folder = arguments.path.is_dir();
    let copy = Copy::new(if is_folder { &arguments.path } else { Path::new("") });
    let checkpoint = match &arguments.checkpoint {
        Some(path) => path.clone(),
        None if is_folder => copy.checkpoint(),
        None => bail!("a file of entries takes `--checkpoint`"),
    };
    let tree = open(&key, &checkpoint)?;
    let earlier = arguments.earlier.iter().map(|path| Ok((path.as_path(), open(&key, path)?)));
    let earlier: Vec<Earlier> = earlier.collect::<Result<_>>()?;
    for (path, before) in &earlier {
        ensure!(
            before.size <= tree.size,
            "`{}` is of a tree of {} entries, and the checkpoint of one of {}: entries were cut off, or it is the later one",
            path.display(),
            before.size,
            tree.size
        );
    }
    let is_whole = is_folder && copy.has_tiles();
    let entries = if is_folder { copy.entries() } else { arguments.path.clone() };
    let tally = if is_whole {
        check_tiles(&copy, &tree, &earlier)?;
        check_whole(&copy, &entries, &tree)?
    } else {
        check_earlier(&copy, &tree, &earlier)?;
        check_entries(&entries, &tree, arguments.part)?
    };
    report(&key, &tree, &tally, earlier.len(), is_whole);
    Ok(())
}

/// A checkpoint that was kept, and where it came from.
type Earlier<'a> = (&'a Path, Checkpoint);

/// What was counted on the way.
#[derive(Default)]
struct Tally {
    entries: u64,
    erased: u64,
}

fn report(key: &CheckpointKey, tree: &Checkpoint, tally: &Tally, earlier: usize, is_whole: bool) {
    println!(
        "the checkpoint is signed by `{}`: {} entries, root {}",
        key.name(),
        tree.size,
        encode(&tree.root)
    );
    match is_whole {
        true => println!("the log is whole: {} entries, {} of them erased", tally.entries, tally.erased),
        false => println!("{} entries are in the log, {} of them erased", tally.entries, tally.erased),
    }
    if earlier > 0 {
        println!("nothing was altered or removed since the {earlier} earlier checkpoint(s)");
    }
}

/// Rebuilds the tree from the leaves' tiles, and compares the tiles above, the root, and earlier roots.
fn check_tiles(copy: &Copy, tree: &Checkpoint, earlier: &[Earlier]) -> Result<()> {
    let mut frontier = Frontier::default();
    let mut above = Above { copy, levels: Vec::new() };
    check_passed(&frontier, earlier)?;
    for tile in Tile::of_size(tree.size).take_while(|tile| tile.level == 0) {
        let hashes = copy.hashes(&tile)?;
        for hash in &hashes {
            frontier.append(*hash);
            check_passed(&frontier, earlier)?;
        }
        if u64::from(tile.width) == TILE_WIDTH {
            above.push(1, subtree(&hashes))?;
        }
    }
    above.finish()?;
    ensure!(frontier.root() == tree.root, "the tiles' root is not the checkpoint's: `tile/0` was altered");
    Ok(())
}

/// Compares what is rebuilt so far with every earlier checkpoint of just that size.
fn check_passed(frontier: &Frontier, earlier: &[Earlier]) -> Result<()> {
    for (path, before) in earlier.iter().filter(|(_, before)| before.size == frontier.size()) {
        ensure!(
            before.root == frontier.root(),
            "`{}`: the log's first {} entries are not those of this checkpoint: one of them was altered or removed",
            path.display(),
            before.size
        );
    }
    Ok(())
}

/// The tiles above the leaves', as they follow from those.
struct Above<'a> {
    copy: &'a Copy,
    /// For each level from 1 on: how many tiles were complete, and the hashes of the one that is not.
    levels: Vec<(u64, Vec<Hash>)>,
}

impl Above<'_> {
    fn push(&mut self, level: u8, hash: Hash) -> Result<()> {
        let slot = usize::from(level) - 1;
        if self.levels.len() == slot {
            self.levels.push((0, Vec::new()));
        }
        let (index, hashes) = &mut self.levels[slot];
        hashes.push(hash);
        if hashes.len() as u64 == TILE_WIDTH {
            let (tile, full) = (*index, std::mem::take(hashes));
            *index += 1;
            self.compare(level, tile, &full)?;
            self.push(level + 1, subtree(&full))?;
        }
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        for (level, (index, hashes)) in (1u8..).zip(&self.levels) {
            if !hashes.is_empty() {
                self.compare(level, *index, hashes)?;
            }
        }
        Ok(())
    }

    fn compare(&self, level: u8, index: u64, expected: &[Hash]) -> Result<()> {
        let tile = Tile { level, index, width: expected.len() as u16 };
        let found = self.copy.hashes(&tile)?;
        match found.iter().zip(expected).position(|(found, expected)| found != expected) {
            None => Ok(()),
            Some(at) => bail!("`{tile}`: hash {at} is not that of the tile below it"),
        }
    }
}

/// Every entry of the log stands in its place, and is what the tree says.
fn check_whole(copy: &Copy, entries: &Path, tree: &Checkpoint) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut tile: Vec<Hash> = Vec::new();
    for (position, line) in (0..).zip(lines(entries)?) {
        let line = Line::read(&line?, position)?;
        let found = line.record.position;
        ensure!(
            found >= position,
            "entry {found} stands where entry {position} should: out of order, or twice"
        );
        ensure!(found == position, "entry {position} is missing: the next one is entry {found}");
        ensure!(position < tree.size, "entry {position} is beyond the checkpoint's {} entries", tree.size);
        let (index, slot) = (position / TILE_WIDTH, (position % TILE_WIDTH) as usize);
        if slot == 0 {
            let width = (tree.size - position).min(TILE_WIDTH) as u16;
            tile = copy.hashes(&Tile { level: 0, index, width })?;
        }
        ensure!(
            tile.get(slot) == Some(&line.hash),
            "entry {position} was altered: its hash is not the one in the tree"
        );
        tally.entries += 1;
        tally.erased += u64::from(line.is_erased());
    }
    ensure!(
        tally.entries == tree.size,
        "entry {} is missing: the entries end before the checkpoint's {}",
        tally.entries,
        tree.size
    );
    Ok(tally)
}

/// Each entry is in the tree, and between those of one organization none is left out.
fn check_entries(entries: &Path, tree: &Checkpoint, is_part: bool) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut last: Option<u64> = None;
    let mut numbers: HashMap<String, Passed> = HashMap::new();
    for (at, line) in (0..).zip(lines(entries)?) {
        let line = Line::read(&line?, at)?;
        let position = line.record.position;
        if let Some(last) = last {
            ensure!(position > last, "entry {position} stands behind entry {last}: out of order, or twice");
        }
        last = Some(position);
        let proof = line.record.proof.as_ref();
        let proof =
            proof.with_context(|| format!("entry {position} has no proof: export it with `proofs=true`"))?;
        let proof =
            decode_all(proof).with_context(|| format!("entry {position}: its proof is no list of hashes"))?;
        check_inclusion(&line.hash, position, &proof, tree)
            .with_context(|| format!("entry {position} is not in the checkpoint's tree"))?;
        if line.is_erased() {
            tally.erased += 1;
        } else if let Some((organization, number)) = line.number()? {
            let start = Passed { number: 0, erased: 0 };
            let before = numbers.get(&organization).copied().or((!is_part).then_some(start));
            if let Some(before) = before {
                before.check(number, tally.erased, position)?;
            }
            numbers.insert(organization, Passed { number, erased: tally.erased });
        }
        tally.entries += 1;
    }
    Ok(tally)
}

/// The number of an organization's last entry, and how many erased ones had been seen by then.
#[derive(Clone, Copy)]
struct Passed {
    number: u64,
    erased: u64,
}

impl Passed {
    /// An erased entry does not tell its number: so many may be between.
    fn check(self, number: u64, erased: u64, position: u64) -> Result<()> {
        ensure!(number > self.number, "entry {position} has the number {number} behind {}", self.number);
        let missing = number - self.number - 1;
        ensure!(
            missing <= erased - self.erased,
            "before entry {position} an entry of its organization is missing: number {} is followed by {number}",
            self.number
        );
        Ok(())
    }
}

/// Proves by the proofs in the copy that each earlier tree is the beginning of this one.
fn check_earlier(copy: &Copy, tree: &Checkpoint, earlier: &[Earlier]) -> Result<()> {
    for (path, before) in earlier {
        let name = path.display();
        let hashes = if before.size == tree.size || before.size == 0 {
            Vec::new()
        } else {
            let bytes = copy.proof(before.size)?.with_context(|| {
                format!(
                    "`{name}`: the copy has no `consistency/{}`: export with `--earlier {name}`",
                    before.size
                )
            })?;
            let proof: AuditProof =
                serde_json::from_slice(&bytes).with_context(|| format!("`consistency/{}`", before.size))?;
            let AuditProof::Consistency { hashes, .. } = proof else {
                bail!("`consistency/{}` is another proof", before.size);
            };
            decode_all(&hashes).with_context(|| format!("`consistency/{}` has no hashes", before.size))?
        };
        check_consistency(before, tree, &hashes).with_context(|| {
            format!("`{name}`: the log does not begin with this checkpoint's {} entries", before.size)
        })?;
    }
    Ok(())
}

/// A line whose entry has the hash that stands beside it.
struct Line {
    record: AuditRecord,
    hash: Hash,
}

/// What of an entry the numbers are checked by.
#[derive(Deserialize)]
struct Numbered {
    organization: Option<String>,
    number: Option<u64>,
}

impl Line {
    fn read(text: &str, at: u64) -> Result<Self> {
        let record: AuditRecord =
            serde_json::from_str(text).with_context(|| format!("line {} is no entry", at + 1))?;
        let position = record.position;
        let hash =
            decode(&record.leaf_hash).with_context(|| format!("entry {position}: `leaf_hash` is no hash"))?;
        match (&record.entry, &record.salt) {
            (Some(entry), Some(salt)) => {
                let salt = STANDARD.decode(salt).with_context(|| format!("entry {position}: `salt`"))?;
                ensure!(
                    salt.len() == latchkey_control::store::SALT_LEN,
                    "entry {position}: `salt` is not 16 bytes"
                );
                let leaf = [entry.get().as_bytes(), &salt].concat();
                ensure!(
                    leaf_hash(&leaf) == hash,
                    "entry {position} was altered: it does not have the hash that stands beside it"
                );
            }
            (None, None) => {}
            _ => bail!("entry {position} has an entry without its salt, or a salt without its entry"),
        }
        Ok(Self { record, hash })
    }

    const fn is_erased(&self) -> bool {
        self.record.entry.is_none()
    }

    /// The organization and the entry's number in its log; installation-wide entries have none.
    fn number(&self) -> Result<Option<(String, u64)>> {
        let Some(entry) = &self.record.entry else { return Ok(None) };
        let numbered: Numbered = serde_json::from_str(entry.get())
            .with_context(|| format!("entry {} cannot be read", self.record.position))?;
        Ok(numbered.organization.zip(numbered.number))
    }
}

fn decode_all(hashes: &[String]) -> Option<Vec<Hash>> {
    hashes.iter().map(|hash| decode(hash)).collect()
}

fn decode(hash: &str) -> Option<Hash> {
    STANDARD.decode(hash).ok()?.try_into().ok()
}

fn encode(hash: &Hash) -> String {
    STANDARD.encode(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SALT: [u8; 16] = [3; 16];

    /// A line of an entry with this text, as an export has it.
    fn line(entry: &str, position: u64) -> String {
        let leaf = leaf_hash(&[entry.as_bytes(), &SALT].concat());
        let (hash, salt) = (encode(&leaf), STANDARD.encode(SALT));
        format!(r#"{{"position":{position},"leaf_hash":"{hash}","salt":"{salt}","entry":{entry}}}"#)
    }

    /// The copy of a log of so many entries: its lines and its tree.
    fn export(count: u64) -> (Vec<String>, Checkpoint) {
        let entry = |number: u64| format!(r#"{{"organization":"org_a","number":{}}}"#, number + 1);
        let leaves = (0..count).map(|number| leaf_hash(&[entry(number).as_bytes(), &SALT].concat()));
        let tree = leaves.collect::<Frontier>().checkpoint();
        ((0..count).map(|number| line(&entry(number), number)).collect(), tree)
    }

    /// What the reader of a whole copy says of these lines, whose tiles are those of `count` entries.
    fn check(text: &str, count: u64) -> Result<Tally> {
        let folder = tempfile::tempdir()?;
        let (copy, (_, tree)) = (Copy::new(folder.path()), export(count));
        let leaves = (0..count).map(|number| {
            let entry = format!(r#"{{"organization":"org_a","number":{}}}"#, number + 1);
            leaf_hash(&[entry.as_bytes(), &SALT].concat())
        });
        for tile in Tile::of_size(count) {
            let path = copy.tile(&tile);
            std::fs::create_dir_all(path.parent().context("no folder")?)?;
            std::fs::write(path, leaves.clone().flatten().collect::<Vec<u8>>())?;
        }
        std::fs::write(copy.entries(), text)?;
        check_tiles(&copy, &tree, &[])?;
        check_whole(&copy, &copy.entries(), &tree)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn altered_byte_of_an_export_is_found(count in 1u64..9, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let (lines, _) = export(count);
            let mut bytes = (lines.join("\n") + "\n").into_bytes();
            let whole = String::from_utf8(bytes.clone()).unwrap();
            prop_assert_eq!(check(&whole, count).unwrap().entries, count);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            // A line that says the same in other bytes has the same entry and the same hash.
            let says = |text: &str| -> Option<Vec<serde_json::Value>> {
                text.lines().map(|line| serde_json::from_str(line).ok()).collect()
            };
            if says(&changed) != says(&whole) {
                prop_assert!(check(&changed, count).is_err(), "{changed}");
            }
        }

        #[test]
        fn any_text_is_an_entry_with_its_hash_or_refused(text in "\\PC{0,60}", entry in "[{}\"a-z:0-9]{0,20}") {
            prop_assert!(Line::read(&text, 0).is_err());
            if let Ok(read) = Line::read(&line(&entry, 7), 7) {
                prop_assert_eq!(read.record.entry.as_ref().map(|entry| entry.get().to_owned()), Some(entry));
                let _ = read.number();
            }
        }

        #[test]
        fn number_that_is_not_the_next_is_found(last in any::<u64>(), number in any::<u64>(), erased in any::<u32>()) {
            let erased = u64::from(erased);
            let checked = Passed { number: last, erased: 0 }.check(number, erased, 0);
            prop_assert_eq!(checked.is_ok(), number > last && number - last - 1 <= erased);
        }
    }
}
