//! The fields of a page, free to hold nonsense.

use latchkey_core::{PermissionSet, Role};
use latchkey_snapshot::page::bucket_count;

pub(crate) const NEVER: u32 = 0x00ff_ffff;

#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) tag: [u8; 10],
    pub(crate) binding: u16,
    pub(crate) expiry: u32,
    pub(crate) flags: u8,
}

#[derive(Clone, Copy)]
pub(crate) struct Binding {
    pub(crate) project: u32,
    pub(crate) organization: u32,
    pub(crate) role: u8,
    pub(crate) set: u8,
    pub(crate) narrowing: u16,
}

/// The fields of a page, free to hold nonsense.
#[derive(Clone)]
pub(crate) struct Fields {
    pub(crate) kind: u8,
    pub(crate) binding_count: u16,
    pub(crate) record_count: u32,
    pub(crate) bucket_count: u32,
    pub(crate) epoch: u32,
    pub(crate) directory: Vec<u16>,
    pub(crate) records: Vec<Record>,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) sets: Vec<u128>,
    pub(crate) ids: Vec<u64>,
    /// Each with its length in front.
    pub(crate) narrowings: Vec<Vec<u8>>,
}

pub(crate) fn record(tag: u8, binding: u16) -> Record {
    Record { tag: [tag; 10], binding, expiry: NEVER, flags: 0 }
}

fn binding(project: u32, organization: u32, role: u8, set: u8) -> Binding {
    Binding { project, organization, role, set, narrowing: 0 }
}

impl Fields {
    /// Four keys in one bucket: two projects, both roles, every state; one of them out of budget.
    pub(crate) fn keys() -> Self {
        let records = vec![
            Record { expiry: 0, ..record(1, 0) },
            Record { expiry: 1440, flags: 1, ..record(2, 1) },
            Record { flags: 2 | 4, ..record(3, 0) },
            Record { expiry: NEVER - 1, ..record(4, 1) },
        ];
        let sets = [Role::Member, Role::Admin].map(|role| PermissionSet::of_key(role).bits());
        Self { epoch: 30_000_000, ..Self::of(1, &[4], records, &[(10, 1, 1, 0), (11, 1, 2, 1)], &sets) }
    }

    /// Two resources of two projects.
    pub(crate) fn resources() -> Self {
        Self::of(3, &[2], vec![record(1, 1), record(2, 0)], &[(10, 1, 0, 0), (11, 1, 0, 0)], &[])
    }

    /// Sixteen keys in three buckets, the second of them empty.
    pub(crate) fn buckets() -> Self {
        let tags = [9, 10, 11, 12, 13, 14, 15, 16, 17, 1, 2, 3, 4, 5, 6, 7];
        let records = tags.into_iter().map(|tag| record(tag, 0)).collect();
        Self::of(1, &[9, 9, 16], records, &[(10, 1, 1, 0)], &[0])
    }

    /// Two keys of another system, with ids of their own.
    pub(crate) fn imported() -> Self {
        let records = vec![Record { flags: 4, ..record(1, 0) }, record(2, 1)];
        let sets = [PermissionSet::of_key(Role::Member).bits()];
        let ids = vec![u64::MAX, 0x9e37_0123_4567_89ab];
        Self { ids, ..Self::of(2, &[2], records, &[(10, 1, 1, 0), (11, 1, 2, 0)], &sets) }
    }

    /// An admin and a member of one organization, and an admin of another.
    pub(crate) fn members() -> Self {
        let records = vec![record(1, 1), record(2, 0), record(3, 2)];
        Self::of(7, &[3], records, &[(0, 1, 1, 0), (0, 1, 2, 0), (0, 2, 2, 0)], &[])
    }

    /// A member, an external with an end and one without.
    pub(crate) fn collaborators() -> Self {
        let external = Record { flags: 8, ..record(2, 1) };
        let ending = Record { expiry: 0, flags: 8, ..record(3, 0) };
        let records = vec![record(1, 0), external, ending];
        Self { epoch: 30_000_000, ..Self::of(8, &[3], records, &[(10, 1, 1, 0), (10, 1, 2, 0)], &[]) }
    }

    /// Two sessions that were ended before their time.
    pub(crate) fn ended() -> Self {
        let records = vec![Record { expiry: 30, ..record(1, 0) }, Record { expiry: 0, ..record(2, 0) }];
        Self { epoch: 30_000_000, ..Self::of(9, &[2], records, &[(0, 0, 0, 0)], &[]) }
    }

    /// As many keys of one project as there are narrowings, each with its own.
    pub(crate) fn narrowed(narrowings: Vec<Vec<u8>>) -> Self {
        let count = narrowings.len() as u16;
        let records = (0..count).map(|at| record(at as u8 + 1, at)).collect();
        let sets = [PermissionSet::of_key(Role::Member).bits()];
        let mut page = Self::of(1, &[count], records, &[], &sets);
        page.bindings = (1..=count).map(|narrowing| Binding { narrowing, ..binding(10, 1, 1, 0) }).collect();
        Self { binding_count: count, narrowings, ..page }
    }

    fn of(
        kind: u8,
        ends: &[u16],
        records: Vec<Record>,
        bindings: &[(u32, u32, u8, u8)],
        sets: &[u128],
    ) -> Self {
        let bindings: Vec<Binding> = bindings
            .iter()
            .map(|(project, owner, role, set)| binding(*project, *owner, *role, *set))
            .collect();
        Self {
            kind,
            binding_count: bindings.len() as u16,
            record_count: records.len() as u32,
            bucket_count: bucket_count(records.len()),
            epoch: 0,
            directory: [&[0], ends].concat(),
            records,
            bindings,
            sets: sets.to_vec(),
            ids: vec![],
            narrowings: vec![],
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"LKP2".to_vec();
        bytes.extend([self.kind, self.sets.len() as u8]);
        bytes.extend(self.binding_count.to_le_bytes());
        bytes.extend(self.record_count.to_le_bytes());
        bytes.extend(self.bucket_count.to_le_bytes());
        bytes.extend(self.epoch.to_le_bytes());
        bytes.extend((self.narrowings.len() as u16).to_le_bytes());
        self.directory.iter().for_each(|first| bytes.extend(first.to_le_bytes()));
        for record in &self.records {
            bytes.extend(record.tag);
            bytes.extend(record.binding.to_le_bytes());
            bytes.extend(&record.expiry.to_le_bytes()[..3]);
            bytes.push(record.flags);
        }
        for binding in &self.bindings {
            bytes.extend(binding.project.to_le_bytes());
            bytes.extend(binding.organization.to_le_bytes());
            bytes.extend([binding.role, binding.set]);
            bytes.extend(binding.narrowing.to_le_bytes());
        }
        self.sets.iter().for_each(|set| bytes.extend(set.to_le_bytes()));
        self.ids.iter().for_each(|id| bytes.extend(id.to_le_bytes()));
        self.narrowings.iter().for_each(|narrowing| bytes.extend(narrowing));
        bytes
    }
}

pub(crate) fn changed(mut fields: Fields, change: impl FnOnce(&mut Fields)) -> Vec<u8> {
    change(&mut fields);
    fields.bytes()
}
