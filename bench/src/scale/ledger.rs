//! The keys of a big installation: each follows from its number, so that none has to be kept to be asked for.
//!
//! One organization owns three keys in ten. The others have four projects of a hundred keys each.

use crate::world::{self, NOW_MINUTE};
use anyhow::Result;
use latchkey_core::base62::ALPHABET;
use latchkey_core::key::{Prefix, SECRET_LEN};
use latchkey_core::{
    ExpiryMinute, KeyDigest, KeyId, MintSecret, OrganizationNumber, PermissionSet, PlainKey, ProjectNumber,
    Role,
};
use latchkey_snapshot::build::Record;
use latchkey_snapshot::{Binding, KeyState};

/// Bytes of a key in the file that stands for the store: id 8, digest 32, number 8.
pub(super) const ROW_LEN: usize = 48;
const KEYS_PER_PROJECT: u64 = 100;
const PROJECTS_PER_ORGANIZATION: u64 = 4;
const BIG_PROJECTS_MAX: u64 = 1000;
const BIG_OF_TEN: u64 = 3;

/// All keys.
pub(super) struct Ledger {
    keys: u64,
    prefix: Prefix,
    mint: MintSecret,
}

/// What is said of a key besides its text.
#[derive(Clone, Copy)]
pub(super) struct Fate {
    pub(super) binding: Binding,
    pub(super) expiry: Option<ExpiryMinute>,
    pub(super) state: KeyState,
}

impl Ledger {
    pub(super) fn new(keys: u64) -> Result<Self> {
        Ok(Self { keys, prefix: world::prefix()?, mint: world::mint() })
    }

    pub(super) const fn keys(&self) -> u64 {
        self.keys
    }

    /// Keys of the organization that has most.
    pub(super) const fn big(&self) -> u64 {
        self.keys * BIG_OF_TEN / 10
    }

    fn big_projects(&self) -> u64 {
        (self.big() / KEYS_PER_PROJECT).clamp(1, BIG_PROJECTS_MAX)
    }

    /// How many projects there are.
    pub(super) fn projects(&self) -> u64 {
        self.big_projects() + (self.keys - self.big()).div_ceil(KEYS_PER_PROJECT)
    }

    fn owner(&self, number: u64) -> (ProjectNumber, OrganizationNumber) {
        if number < self.big() {
            return (ProjectNumber((number % self.big_projects()) as u32), OrganizationNumber(0));
        }
        let project = (number - self.big()) / KEYS_PER_PROJECT;
        let organization = 1 + project / PROJECTS_PER_ORGANIZATION;
        (ProjectNumber((self.big_projects() + project) as u32), OrganizationNumber(organization as u32))
    }

    /// The organization of a project.
    pub(super) fn organization_of(&self, project: u64) -> OrganizationNumber {
        match project.checked_sub(self.big_projects()) {
            None => OrganizationNumber(0),
            Some(other) => OrganizationNumber((1 + other / PROJECTS_PER_ORGANIZATION) as u32),
        }
    }

    /// The key with this number; one beyond the last is well made and nobody's.
    pub(super) fn key(&self, number: u64) -> PlainKey {
        let mut random = number.wrapping_mul(STEP);
        let id = self.id(number, &mut random);
        let mut secret = [0; SECRET_LEN];
        for part in secret.chunks_mut(9) {
            let mut word = next(&mut random);
            for character in part {
                *character = ALPHABET[(word % 62) as usize];
                word /= 62;
            }
        }
        PlainKey::assemble(&self.prefix, id, &secret, &self.mint)
    }

    /// The key's id.
    pub(super) fn key_id(&self, number: u64) -> KeyId {
        self.id(number, &mut number.wrapping_mul(STEP))
    }

    fn id(&self, number: u64, random: &mut u64) -> KeyId {
        let (_, organization) = self.owner(number);
        KeyId::from_number(u64::from(organization.hint()) << 48 | next(random) >> 16)
    }

    /// What is said of the key: one in five is an admin's, one in ten is narrowed, one in three expires, one in fifty
    /// is revoked.
    pub(super) fn fate(&self, number: u64) -> Fate {
        let (project, organization) = self.owner(number);
        let mut random = number.wrapping_mul(STEP) ^ 0x5EED;
        let [role, narrowed, expires, state, after, ..] = next(&mut random).to_le_bytes();
        let role = if role % 5 == 0 { Role::Admin } else { Role::Member };
        let whole = if role == Role::Admin { ADMIN } else { MEMBER };
        let permissions = if narrowed % 10 == 0 { NARROW } else { whole };
        Fate {
            binding: Binding { project, organization, role: Some(role), permissions },
            expiry: (expires % 3 == 0).then_some(ExpiryMinute(NOW_MINUTE + 1440 * (1 + u32::from(after)))),
            state: if state % 50 == 0 { KeyState::Revoked } else { KeyState::Active },
        }
    }

    /// The key as the file has it.
    pub(super) fn row(&self, number: u64) -> [u8; ROW_LEN] {
        let key = self.key(number);
        let mut row = [0; ROW_LEN];
        row[..8].copy_from_slice(&key.id().number().to_le_bytes());
        row[8..40].copy_from_slice(&key.digest().0);
        row[40..].copy_from_slice(&number.to_le_bytes());
        row
    }

    /// What the file says of a key, as a snapshot is told it.
    pub(super) fn record(&self, row: &[u8; ROW_LEN]) -> Record<'static> {
        let word =
            |at: usize| row[at..at + 8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let mut digest = [0; 32];
        digest.copy_from_slice(&row[8..40]);
        let Fate { binding, expiry, state } = self.fate(word(40));
        let (id, digest) = (KeyId::from_number(word(0)), KeyDigest(digest));
        Record::Key { id, digest, binding, expiry, state, out_of_budget: false, narrowing: None }
    }
}

const ADMIN: PermissionSet = PermissionSet::of_key(Role::Admin);
const MEMBER: PermissionSet = PermissionSet::of_key(Role::Member);
const NARROW: PermissionSet = world::narrow();
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64 (Steele, Lea, Flood 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(STEP);
    let mut word = *state;
    word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ word >> 31
}
