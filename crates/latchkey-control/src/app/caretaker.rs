//! What comes due as time passes: unused keys are disabled, people hear of an expiry in time, keys that were revoked
//! long ago leave the snapshot, ended sessions and the ids of counted batches of usage are forgotten, and budgets
//! begin their next period.
//!
//! [`Caretaker::pass`] is called every minute. A pass looks at so many rows and no more, and goes on where the one
//! before it stopped; what it finds is decided again in the writer, in small writes between everybody else's. A pass
//! that has nothing to do writes nothing, so passing twice is as good as once. Each chore is a method; a further one
//! is called from [`Caretaker::pass`].

mod tombstones;

use super::Control;
use super::error::{AppError, Conflict};
use super::keys::batched;
use super::{budgets, reports};
use crate::iam::{
    Key, KeyPolicy, KeyState, Notice, NoticeKind, Permit, Project, Scope, Session, TokenDigest,
    authorize_upkeep,
};
use crate::store::{AuditEntry, Change, Ctx, Store, StoreError, View, Write};
use latchkey_core::{KeyId, ProjectNumber, UnixMillis};
use std::collections::BTreeMap;
use std::sync::Arc;
use tombstones::Round;

/// Rows of a kind that one pass looks at.
const ROWS_A_PASS: usize = 10_000;
/// Rows that are read at a time.
const ROWS_A_READ: usize = 1000;
/// Keys that one write changes; each brings a notice as well.
const KEYS_A_WRITE: usize = 200;
/// Sessions that one write forgets; each lies in three tables.
const SESSIONS_A_WRITE: usize = 150;
/// Budgets that one write rolls over.
const BUDGETS_A_WRITE: usize = 200;
/// Batches of usage that one write forgets; each lies in two tables.
const BATCHES_A_WRITE: usize = 200;
/// How long a session is kept once it has ended.
const SESSION_KEPT_MS: u64 = 30 * DAY_MS;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The installation's own hand.
#[derive(Debug)]
pub struct Caretaker {
    store: Arc<Store>,
    control: Arc<Control>,
    /// The last key that was looked at; `None` to begin anew.
    key: Option<KeyId>,
    /// The round over all keys that `key` is on.
    round: Option<Round>,
    /// The last session that was looked at.
    session: Option<TokenDigest>,
}

/// What is due for a key (K10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Duty {
    /// Nobody used it for longer than the organization allows.
    Disable,
    /// It expires soon, and the project has not heard of it.
    Warn,
}

impl Caretaker {
    /// A caretaker who begins with the first row.
    pub fn new(control: Arc<Control>) -> Self {
        Self { store: Arc::clone(control.store()), control, key: None, round: None, session: None }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// The store's. What is undone then comes due again.
    pub async fn pass(&mut self) -> Result<(), StoreError> {
        self.tend_keys().await?;
        self.forget_sessions().await?;
        self.roll_over_budgets().await?;
        self.forget_batches().await
    }

    async fn tend_keys(&mut self) -> Result<(), StoreError> {
        let mut due = BTreeMap::<(ProjectNumber, Duty), Vec<KeyId>>::new();
        for _ in 0..ROWS_A_PASS / ROWS_A_READ {
            self.find_keys(&mut due)?;
            if self.key.is_none() {
                break;
            }
            tokio::task::yield_now().await;
        }
        for ((project, duty), keys) in due {
            for some in keys.chunks(KEYS_A_WRITE) {
                let some = some.to_vec();
                let decide = move |view: &dyn View, ctx: &mut Ctx| tend(view, ctx.now, project, duty, &some);
                self.write(decide).await?;
            }
        }
        if self.key.is_none()
            && let Some(round) = self.round.take()
        {
            for (up_to, keys) in round.end() {
                self.write(move |view, _| tombstones::bury(view, up_to, &keys)).await?;
            }
        }
        Ok(())
    }

    fn find_keys(&mut self, due: &mut BTreeMap<(ProjectNumber, Duty), Vec<KeyId>>) -> Result<(), StoreError> {
        let (view, now) = (self.store.read()?, self.control.clock().now());
        let keys = view.keys(self.key, ROWS_A_READ)?;
        if self.key.is_none() {
            self.round = Some(Round::begin(now));
        }
        let left_up_to = view.tombstones_up_to()?;
        if let Some(round) = &mut self.round {
            keys.iter().for_each(|key| round.look(key, left_up_to));
        }
        self.key = keys.last().filter(|_| keys.len() == ROWS_A_READ).map(|key| key.id);
        let mut policies = BTreeMap::new();
        for key in keys {
            let policy = match policies.get(&key.project) {
                Some(policy) => *policy,
                None => {
                    let policy = policy_of(&view, key.project)?.1;
                    policies.insert(key.project, policy);
                    policy
                }
            };
            if let Some(duty) = duty(&view, &policy, &key, now)? {
                due.entry((key.project, duty)).or_default().push(key.id);
            }
        }
        Ok(())
    }

    async fn forget_sessions(&mut self) -> Result<(), StoreError> {
        let mut over = Vec::new();
        for _ in 0..ROWS_A_PASS / ROWS_A_READ {
            let (view, now) = (self.store.read()?, self.control.clock().now());
            let sessions = view.sessions(self.session.as_ref(), ROWS_A_READ)?;
            self.session = sessions.last().filter(|_| sessions.len() == ROWS_A_READ).map(|one| one.digest);
            over.extend(sessions.iter().filter(|one| is_over(one, now)).map(|one| one.digest));
            if self.session.is_none() {
                break;
            }
            tokio::task::yield_now().await;
        }
        for some in over.chunks(SESSIONS_A_WRITE) {
            let some = some.to_vec();
            self.write(move |view, ctx| forget(view, ctx.now, &some)).await?;
        }
        Ok(())
    }

    /// What a budget had stopped goes on in its next period (B2).
    async fn roll_over_budgets(&self) -> Result<(), StoreError> {
        let due = budgets::due(&self.store.read()?, self.control.clock().now())?;
        for some in due.chunks(BUDGETS_A_WRITE) {
            let some = some.to_vec();
            let decide = move |view: &dyn View, ctx: &mut Ctx| {
                upkeep("budgets.roll_over", budgets::roll_over(view, ctx.now, &some)?)
            };
            self.write(decide).await?;
        }
        Ok(())
    }

    /// A batch of usage that comes again so late is held for its age, whether its id is remembered or not (B3).
    async fn forget_batches(&self) -> Result<(), StoreError> {
        for _ in 0..ROWS_A_PASS / BATCHES_A_WRITE {
            let (view, now) = (self.store.read()?, self.control.clock().now());
            if reports::forget_counted(&view, now, 1)?.is_empty() {
                break;
            }
            let decide = |view: &dyn View, ctx: &mut Ctx| {
                let changes = reports::forget_counted(view, ctx.now, BATCHES_A_WRITE)?;
                upkeep("usage.forget", changes)
            };
            self.write(decide).await?;
        }
        Ok(())
    }

    async fn write<F>(&self, decide: F) -> Result<(), StoreError>
    where
        F: Fn(&dyn View, &mut Ctx) -> Result<Write<()>, AppError> + Send + 'static,
    {
        match self.store.write(decide).await {
            Err(AppError::Store(error)) => Err(error),
            // It was done, or was no longer due.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn tend(
    view: &dyn View,
    now: UnixMillis,
    project: ProjectNumber,
    duty_found: Duty,
    ids: &[KeyId],
) -> Result<Write<()>, AppError> {
    let (project, policy) = policy_of(view, project)?;
    let permit = authorize_upkeep(Scope::Project(project.organization, project.number));
    let mut keys = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(key) = view.key(*id)? else { continue };
        if duty(view, &policy, &key, now)? == Some(duty_found) {
            keys.push(tended(key, &permit, duty_found, now)?);
        }
    }
    if keys.is_empty() {
        return Err(Conflict::NothingToDo.into());
    }
    let (what, kind) = match duty_found {
        Duty::Disable => ("keys.disable_idle", NoticeKind::KeyIdle),
        Duty::Warn => ("keys.warn", NoticeKind::KeyExpires),
    };
    let first = view.next_notice()?;
    let notices: Vec<_> =
        (first..).zip(&keys).map(|(number, key)| notice(number, &project, kind, key, now)).collect();
    let entry = AuditEntry::new(&permit, None, what, ("project", project.id.to_string()));
    Ok(Write::new(entry.after(&batched(&keys)), ()).put_all(keys).put_all(notices))
}

fn tended(key: Key, permit: &Permit, duty: Duty, now: UnixMillis) -> Result<Key, AppError> {
    match duty {
        Duty::Disable => Ok(key.disabled(permit, now)?),
        Duty::Warn => Ok(key.warned(permit)),
    }
}

/// Idle is judged up to the newest use that edges reported of any key: while no reports come, nobody's key is taken
/// for unused.
fn duty(view: &dyn View, policy: &KeyPolicy, key: &Key, now: UnixMillis) -> Result<Option<Duty>, StoreError> {
    if key.state(now) != KeyState::Active {
        return Ok(None);
    }
    if let Some(days) = policy.idle_days_max
        && let Some(known_to) = view.newest_use()?
    {
        let idle_since = key.idle_since(view.key_use(key.id)?);
        if known_to.min(now).since_ms(idle_since) >= u64::from(days) * DAY_MS {
            return Ok(Some(Duty::Disable));
        }
    }
    let (Some(days), Some(expiry)) = (policy.warning_days, key.expires) else { return Ok(None) };
    let is_near = expiry.has_passed(now.plus_ms(u64::from(days) * DAY_MS));
    // That a rotated key ends is what its people wanted.
    let is_news = key.warned_of != Some(expiry) && key.successor.is_none();
    Ok((is_near && is_news).then_some(Duty::Warn))
}

fn notice(number: u64, project: &Project, what: NoticeKind, key: &Key, at: UnixMillis) -> Notice {
    let (organization, subject) = (project.organization, key.id.to_string());
    Notice { number, organization, project: Some(project.number), what, subject, at }
}

fn policy_of(view: &dyn View, project: ProjectNumber) -> Result<(Project, KeyPolicy), StoreError> {
    let project = view.project(project)?.ok_or(StoreError::Corrupt("projects"))?;
    let organization = view.organization(project.organization)?;
    let organization = organization.ok_or(StoreError::Corrupt("organizations"))?;
    Ok((project, organization.settings.keys))
}

fn forget(view: &dyn View, now: UnixMillis, digests: &[TokenDigest]) -> Result<Write<()>, AppError> {
    let mut over = Vec::with_capacity(digests.len());
    for digest in digests {
        over.extend(view.session(digest)?.filter(|session| is_over(session, now)));
    }
    upkeep("sessions.forget", over.into_iter().map(Change::RemoveSession).collect())
}

/// A write of the installation's own, if there is anything to write.
fn upkeep(what: &'static str, changes: Vec<Change>) -> Result<Write<()>, AppError> {
    if changes.is_empty() {
        return Err(Conflict::NothingToDo.into());
    }
    let permit = authorize_upkeep(Scope::Installation);
    let count = BTreeMap::from([("count", changes.len())]);
    let entry = AuditEntry::new(&permit, None, what, ("installation", String::new()));
    Ok(Write::new(entry.after(&count), ()).put_all(changes))
}

/// An ended session stays until it would have expired by itself, a service account's up to a year: what is published
/// says that it ended, and a restore of a copy that had it would take its absence for a sign that it did not.
fn is_over(session: &Session, now: UnixMillis) -> bool {
    let ended_at = session.revoked_at.map_or(session.expires_at, |at| at.min(session.expires_at));
    ended_at.plus_ms(SESSION_KEPT_MS) <= now && session.expires_at <= now
}
