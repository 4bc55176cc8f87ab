//! The hub's SQLite storage. What belongs together is written in one transaction: a failure leaves nothing of it.

use crate::respond::Problem;
use crate::usage::Account;
use core::cell::Cell;
use latchkey_core::UnixMillis;
use latchkey_push::ledger::{HeadChange, RootChange, Stored, Sweep};
use latchkey_push::peppers::PepperSet;
use latchkey_snapshot::{Head, ObjectDigest};
use std::rc::Rc;
use worker::js_sys::{self, Function, Reflect};
use worker::wasm_bindgen::{JsCast, JsValue, closure::Closure};
use worker::{Result, ScheduledTime, SqlStorage, SqlStorageValue as Value, State};

/// The longest value of one row; the storage refuses 2 MB.
const PART_LEN_MAX: usize = 1_500_000;
const CURRENT: i64 = 0;
const PENDING: i64 = 1;

const SCHEMA: [&str; 7] = [
    "CREATE TABLE IF NOT EXISTS roots (version INTEGER PRIMARY KEY, bytes BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS heads (slot INTEGER PRIMARY KEY CHECK (slot IN (0, 1)), \
     root_version INTEGER NOT NULL, generation INTEGER NOT NULL, as_of INTEGER NOT NULL, bytes BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS objects (digest TEXT PRIMARY KEY, unnamed_since INTEGER)",
    "CREATE TABLE IF NOT EXISTS parts (digest TEXT NOT NULL, part INTEGER NOT NULL, bytes BLOB NOT NULL, \
     PRIMARY KEY (digest, part))",
    "CREATE TABLE IF NOT EXISTS usage_batches (id TEXT PRIMARY KEY, received INTEGER NOT NULL, body BLOB NOT NULL, \
     refused INTEGER)",
    "CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, times INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS pepper_sets (ids TEXT PRIMARY KEY, seen INTEGER NOT NULL)",
];

/// The head moves forward only, whatever was in memory: the condition is the statement's own.
const UPSERT_CURRENT: &str = "INSERT INTO heads VALUES (0, ?, ?, ?, ?) ON CONFLICT (slot) DO UPDATE SET \
     root_version = excluded.root_version, generation = excluded.generation, as_of = excluded.as_of, \
     bytes = excluded.bytes WHERE (excluded.root_version, excluded.generation, excluded.as_of) > \
     (heads.root_version, heads.generation, heads.as_of) RETURNING slot";
const REPLACE_PENDING: &str = "INSERT OR REPLACE INTO heads VALUES (1, ?, ?, ?, ?)";
const DROP_PENDING: &str = "DELETE FROM heads WHERE slot = 1";
const MARK: &str = "UPDATE objects SET unnamed_since = ? WHERE digest = ?";

/// The storage's handle.
pub(crate) struct Storage {
    state: worker::Storage,
    sql: SqlStorage,
    /// When the alarm is set for, as far as this instance knows.
    alarm: Cell<Option<UnixMillis>>,
}

/// Whether a head was written.
pub(crate) enum Committed {
    Yes,
    /// What is stored ranks higher; nothing was written.
    Outranked,
}

/// One statement of a transaction.
struct Write {
    sql: &'static str,
    values: Vec<Value>,
    /// Whether the transaction is called off when it returns no row.
    must_return: bool,
}

impl Write {
    fn new(sql: &'static str, values: Vec<Value>) -> Self {
        Self { sql, values, must_return: false }
    }
}

impl Storage {
    pub(crate) fn new(state: &State) -> Self {
        let state = state.storage();
        let sql = state.sql();
        Self { state, sql, alarm: Cell::new(None) }
    }

    /// Everything but the objects' bytes.
    pub(crate) fn load(&self) -> Result<Stored, Problem> {
        let mut stored = Stored::default();
        for table in SCHEMA {
            self.sql.exec(table, None)?;
        }
        for row in self.rows("SELECT version, bytes FROM roots ORDER BY version", Vec::new())? {
            if let [Value::Integer(version), Value::Blob(bytes)] = row.as_slice() {
                stored.roots.push((u32::try_from(*version).unwrap_or(0), bytes.clone()));
            }
        }
        for row in self.rows("SELECT slot, bytes FROM heads", Vec::new())? {
            match row.as_slice() {
                [Value::Integer(CURRENT), Value::Blob(bytes)] => stored.current = Some(bytes.clone()),
                [Value::Integer(PENDING), Value::Blob(bytes)] => stored.pending = Some(bytes.clone()),
                _ => {}
            }
        }
        for row in self.rows("SELECT digest, unnamed_since FROM objects", Vec::new())? {
            let Some((Value::String(digest), [since])) = row.split_first() else { continue };
            let since = match since {
                Value::Integer(since) => Some(UnixMillis(u64::try_from(*since).unwrap_or(0))),
                _ => None,
            };
            stored.objects.extend(ObjectDigest::parse_hex(digest).map(|digest| (digest, since)));
        }
        Ok(stored)
    }

    /// The bytes of a root that was stored, older than the pinned one perhaps.
    pub(crate) fn root(&self, version: u32) -> Result<Option<Vec<u8>>, Problem> {
        let rows =
            self.rows("SELECT bytes FROM roots WHERE version = ?", vec![Value::Integer(i64::from(version))])?;
        Ok(rows.into_iter().flatten().find_map(blob))
    }

    /// The bytes of an object; `None` when it is not there or cannot be read.
    pub(crate) fn object(&self, digest: &ObjectDigest) -> Option<Vec<u8>> {
        let parts =
            self.rows("SELECT bytes FROM parts WHERE digest = ? ORDER BY part", vec![text(digest)]).ok()?;
        let mut parts = parts.into_iter().flatten().filter_map(blob);
        let mut bytes = parts.next()?;
        parts.for_each(|part| bytes.extend_from_slice(&part));
        Some(bytes)
    }

    /// How often other bytes came for a rank or a version that was held.
    pub(crate) fn conflicts(&self) -> Result<u64, Problem> {
        let rows = self.rows("SELECT times FROM counts WHERE name = 'conflicts'", Vec::new())?;
        Ok(match rows.into_iter().flatten().next() {
            Some(Value::Integer(times)) => u64::try_from(times).unwrap_or(0),
            _ => 0,
        })
    }

    pub(crate) fn count_conflict(&self) -> Result<Committed, Problem> {
        let sql = "INSERT INTO counts VALUES ('conflicts', 1) ON CONFLICT DO UPDATE SET times = times + 1";
        self.transact(vec![Write::new(sql, Vec::new())])
    }

    /// Writes a head that becomes current.
    pub(crate) fn write_head(&self, change: &HeadChange, now: UnixMillis) -> Result<Committed, Problem> {
        let mut writes = marks(&change.unnamed, Some(now));
        if let Some((head, bytes)) = change.current() {
            writes.push(Write { must_return: true, ..Write::new(UPSERT_CURRENT, head_values(head, bytes)) });
        }
        writes.push(pending_write(change));
        self.transact(writes)
    }

    /// Writes a head that awaits objects; the current one stays.
    pub(crate) fn write_pending(&self, change: &HeadChange, now: UnixMillis) -> Result<(), Problem> {
        let mut writes = marks(&change.unnamed, Some(now));
        writes.push(pending_write(change));
        self.transact(writes).map(drop)
    }

    pub(crate) fn write_root(&self, change: &RootChange, now: UnixMillis) -> Result<(), Problem> {
        let (version, bytes) = change.root();
        let values = vec![Value::Integer(i64::from(version)), Value::Blob(bytes.to_vec())];
        let mut writes = marks(&change.heads.unnamed, Some(now));
        // A fork that an older pin left there gives way: the ledger found that this one follows.
        writes.push(Write::new("INSERT OR REPLACE INTO roots VALUES (?, ?)", values));
        writes.push(pending_write(&change.heads));
        self.transact(writes).map(drop)
    }

    pub(crate) fn write_object(&self, digest: &ObjectDigest, bytes: &[u8]) -> Result<(), Problem> {
        let mut writes = vec![
            Write::new("INSERT OR REPLACE INTO objects VALUES (?, NULL)", vec![text(digest)]),
            Write::new("DELETE FROM parts WHERE digest = ?", vec![text(digest)]),
        ];
        for (part, bytes) in (0..).zip(bytes.chunks(PART_LEN_MAX)) {
            let values = vec![text(digest), Value::Integer(part), Value::Blob(bytes.to_vec())];
            writes.push(Write::new("INSERT INTO parts VALUES (?, ?, ?)", values));
        }
        self.transact(writes).map(drop)
    }

    pub(crate) fn write_sweep(&self, sweep: &Sweep, now: UnixMillis) -> Result<(), Problem> {
        let mut writes = marks(&sweep.unnamed, Some(now));
        writes.append(&mut marks(&sweep.named, None));
        for digest in &sweep.deleted {
            writes.push(Write::new("DELETE FROM objects WHERE digest = ?", vec![text(digest)]));
            writes.push(Write::new("DELETE FROM parts WHERE digest = ?", vec![text(digest)]));
        }
        if writes.is_empty() { Ok(()) } else { self.transact(writes).map(drop) }
    }

    /// Batches of usage that wait, and those that are kept aside.
    pub(crate) fn usage_account(&self) -> Result<Account, Problem> {
        let sql = "SELECT count(*) - count(refused), count(refused) FROM usage_batches";
        let count = |value: &Value| match value {
            Value::Integer(count) => u64::try_from(*count).unwrap_or(0),
            _ => 0,
        };
        Ok(match self.rows(sql, Vec::new())?.first().map(Vec::as_slice) {
            Some([waiting, set_aside]) => Account { waiting: count(waiting), set_aside: count(set_aside) },
            _ => Account::default(),
        })
    }

    /// Stores a batch of usage; one with this id that is there stays.
    pub(crate) fn put_batch(&self, id: &str, body: Vec<u8>, now: UnixMillis) -> Result<(), Problem> {
        let sql = "INSERT OR IGNORE INTO usage_batches VALUES (?, ?, ?, NULL)";
        let values = vec![Value::String(id.to_owned()), integer(now.0), Value::Blob(body)];
        self.transact(vec![Write::new(sql, values)]).map(drop)
    }

    /// The oldest batch that waits.
    pub(crate) fn next_batch(&self) -> Result<Option<(String, Vec<u8>)>, Problem> {
        let sql = "SELECT id, body FROM usage_batches WHERE refused IS NULL ORDER BY received, id LIMIT 1";
        let row = self.rows(sql, Vec::new())?.into_iter().next();
        Ok(row.and_then(|row| match <[Value; 2]>::try_from(row) {
            Ok([Value::String(id), Value::Blob(body)]) => Some((id, body)),
            _ => None,
        }))
    }

    /// Forgets a batch that was delivered.
    pub(crate) fn drop_batch(&self, id: &str) -> Result<(), Problem> {
        let values = vec![Value::String(id.to_owned())];
        self.transact(vec![Write::new("DELETE FROM usage_batches WHERE id = ?", values)]).map(drop)
    }

    /// Keeps a batch that was refused, for an operator to look at.
    pub(crate) fn set_batch_aside(&self, id: &str, status: u16) -> Result<(), Problem> {
        let values = vec![Value::Integer(i64::from(status)), Value::String(id.to_owned())];
        self.transact(vec![Write::new("UPDATE usage_batches SET refused = ? WHERE id = ?", values)]).map(drop)
    }

    /// The sets of peppers that readers told, and when each was last told.
    pub(crate) fn peppers(&self) -> Result<Vec<(PepperSet, UnixMillis)>, Problem> {
        let rows = self.rows("SELECT ids, seen FROM pepper_sets", Vec::new())?;
        Ok(rows
            .into_iter()
            .filter_map(|row| match row.as_slice() {
                [Value::String(ids), Value::Integer(seen)] => {
                    Some((PepperSet::parse(Some(ids)), UnixMillis(u64::try_from(*seen).unwrap_or(0))))
                }
                _ => None,
            })
            .collect())
    }

    pub(crate) fn write_peppers(&self, set: &PepperSet, seen: UnixMillis) -> Result<(), Problem> {
        let sql = "INSERT OR REPLACE INTO pepper_sets VALUES (?, ?)";
        let values = vec![Value::String(set.to_string()), integer(seen.0)];
        self.transact(vec![Write::new(sql, values)]).map(drop)
    }

    pub(crate) fn drop_peppers(&self, set: &PepperSet) -> Result<(), Problem> {
        let values = vec![Value::String(set.to_string())];
        self.transact(vec![Write::new("DELETE FROM pepper_sets WHERE ids = ?", values)]).map(drop)
    }

    /// Sets the alarm. When that fails, the next change that sets it makes up for it.
    pub(crate) async fn wake_at(&self, moment: Option<UnixMillis>, now: UnixMillis) {
        let Some(moment) =
            moment.filter(|moment| self.alarm.get().is_none_or(|set| *moment < set || set <= now))
        else {
            return;
        };
        let date = js_sys::Date::new(&JsValue::from_f64(moment.0 as f64));
        if self.state.set_alarm(ScheduledTime::new(date)).await.is_ok() {
            self.alarm.set(Some(moment));
        }
    }

    fn rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Vec<Value>>, Problem> {
        let cursor = self.sql.exec(sql, values)?;
        Ok(cursor.raw().collect::<Result<_>>()?)
    }

    /// Runs all of it, or none: the storage's own synchronous transaction, which a thrown error rolls back.
    fn transact(&self, writes: Vec<Write>) -> Result<Committed, Problem> {
        let outranked = Rc::new(Cell::new(false));
        let (sql, called_off) = (self.sql.clone(), Rc::clone(&outranked));
        let mut writes = Some(writes);
        let work = move || -> Result<JsValue, JsValue> {
            for write in writes.take().unwrap_or_default() {
                let returned = run(&sql, write.sql, write.values).map_err(JsValue::from)?;
                if write.must_return && !returned {
                    called_off.set(true);
                    return Err(JsValue::from_str("outranked"));
                }
            }
            Ok(JsValue::UNDEFINED)
        };
        let work: Closure<dyn FnMut() -> Result<JsValue, JsValue>> = Closure::own_assert_unwind_safe(work);
        let storage: &JsValue = self.state.as_raw().as_ref();
        let transaction: Function = Reflect::get(storage, &JsValue::from_str("transactionSync"))
            .and_then(JsCast::dyn_into)
            .map_err(worker::Error::from)?;
        match transaction.call1(storage, work.as_ref()) {
            Ok(_) => Ok(Committed::Yes),
            Err(_) if outranked.get() => Ok(Committed::Outranked),
            Err(error) => Err(worker::Error::from(error).into()),
        }
    }
}

/// Runs a statement to its end and says whether it returned a row.
fn run(sql: &SqlStorage, statement: &str, values: Vec<Value>) -> Result<bool> {
    let rows = sql.exec(statement, values)?.raw().collect::<Result<Vec<_>>>()?;
    Ok(!rows.is_empty())
}

fn marks(digests: &[ObjectDigest], since: Option<UnixMillis>) -> Vec<Write> {
    let since = since.map_or(Value::Null, |since| integer(since.0));
    digests.iter().map(|digest| Write::new(MARK, vec![since.clone(), text(digest)])).collect()
}

fn pending_write(change: &HeadChange) -> Write {
    match change.pending() {
        Some((head, bytes)) => Write::new(REPLACE_PENDING, head_values(head, bytes)),
        None => Write::new(DROP_PENDING, Vec::new()),
    }
}

fn head_values(head: &Head, bytes: &[u8]) -> Vec<Value> {
    vec![
        Value::Integer(i64::from(head.root_version)),
        integer(head.statement.generation.0),
        integer(head.as_of.0),
        Value::Blob(bytes.to_vec()),
    ]
}

/// The ledger lets nothing in that a JavaScript integer cannot hold.
fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn text(digest: &ObjectDigest) -> Value {
    Value::String(digest.to_string())
}

fn blob(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::Blob(bytes) => Some(bytes),
        _ => None,
    }
}
