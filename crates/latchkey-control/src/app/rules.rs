//! Route rules: the server's file put in force as a change like any other, and which were in force when.
//!
//! The file is the operator's and stays the truth: it is read at the start of the server ([`RulesDesk::settle`]), and again
//! when somebody asks for it ([`apply`]). What it says then is committed with its text and an audit entry, and only after
//! that it is published. A file that is wrong changes nothing.

use super::ask::{Ask, Asker};
use super::error::{AppError, Conflict};
use super::{Answered, Control, pages};
use crate::iam::{Demand, OperatorAct, Permit, RuleSet, Scope, authorize_upkeep};
use crate::publish::{Routing, Rulebook};
use crate::store::{AuditEntry, Change, Ctx, Store, View, Write};
use latchkey_api as api;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Where the operator writes the rules.
pub trait RulesFile: Send + Sync {
    /// What it says now; `None` if the server has no such file. It blocks.
    ///
    /// # Errors
    /// What is wrong with it, with line and column.
    fn read(&self) -> Result<Option<RulesRead>, String>;
}

/// What the file said.
#[derive(Debug, Clone, Default)]
pub struct RulesRead {
    /// What edges are told.
    pub routing: Routing,
    /// What the operator wrote.
    pub text: String,
}

/// The file, and what of it was read. One reading at a time.
#[derive(Clone)]
pub struct RulesDesk {
    file: Arc<dyn RulesFile>,
    book: Rulebook,
    turn: Arc<Mutex<()>>,
}

/// A reading that is to be put in force.
#[derive(Clone)]
struct Proposal {
    version: [u8; 32],
    rules: u32,
    text: Arc<str>,
}

impl RulesDesk {
    /// A desk for this file.
    pub fn new(file: Arc<dyn RulesFile>) -> Self {
        Self { file, book: Rulebook::of(Routing::default()), turn: Arc::default() }
    }

    /// What the publisher looks rules up in.
    pub fn book(&self) -> Rulebook {
        self.book.clone()
    }

    /// Puts in force what the file says, on the installation's own word: at the start of the server, and when a signal
    /// asks for it. Without a file there are no rules. `None`: that was so already.
    ///
    /// # Errors
    /// [`AppError::RulesRefused`], or the store's; what was in force stays so.
    pub async fn settle(&self, store: &Store) -> Result<Option<RuleSet>, AppError> {
        let _turn = self.turn.lock().await;
        let read = self.read().await?.unwrap_or_default();
        let proposal = self.propose(store, read)?;
        let decide = move |view: &dyn View, ctx: &mut Ctx| {
            let permit = authorize_upkeep(Scope::Installation);
            let about = |what, subject| AuditEntry::new(&permit, None, what, subject);
            put_in_force(view, ctx.now, &proposal, about)
        };
        match store.write(decide).await {
            Ok(committed) => Ok(Some(committed.reply)),
            Err(AppError::Conflict(Conflict::NothingToDo)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn read(&self) -> Result<Option<RulesRead>, AppError> {
        let file = Arc::clone(&self.file);
        let read = tokio::task::spawn_blocking(move || file.read()).await;
        read.unwrap_or_else(|_| Err("the reading broke off".to_owned())).map_err(AppError::RulesRefused)
    }

    /// Has the book know what was read, which says nothing until it is committed.
    fn propose(&self, store: &Store, read: RulesRead) -> Result<Proposal, AppError> {
        let RulesRead { routing, text } = read;
        let version = routing.version().map_err(|error| AppError::RulesRefused(error.to_string()))?;
        let rules = u32::try_from(routing.rules.len()).unwrap_or(u32::MAX);
        let in_force = store.read()?.newest_rule_set()?.map(|set| set.version);
        self.book.add(version, routing, in_force);
        Ok(Proposal { version, rules, text: text.into() })
    }
}

/// Reads the server's file again, and puts in force what it says.
///
/// # Errors
/// [`AppError`], as everywhere in this module; [`Conflict::NothingToDo`] if it says what is in force.
pub async fn apply(control: &Control, asker: &Asker) -> Result<Answered<api::RuleSet>, AppError> {
    control.read(asker, |ask| permit(ask).map(drop))?;
    let desk = control.rules().ok_or(Conflict::NoRulesFile)?;
    let _turn = desk.turn.lock().await;
    let read = desk.read().await?.ok_or(Conflict::NoRulesFile)?;
    let proposal = desk.propose(control.store(), read)?;
    let decide = move |ask: &Ask, _: &mut _| {
        let permit = permit(ask)?;
        let about = |what, subject| ask.entry(&permit, what, subject);
        Ok(put_in_force(ask.view, ask.now, &proposal, about)?.answering(|set| show(&set)))
    };
    control.write(asker, decide).await
}

/// The sets that were put in force, the newest first.
///
/// # Errors
/// [`AppError`].
pub fn list(ask: &Ask, query: &api::PageQuery) -> Result<api::Page<api::RuleSet>, AppError> {
    permit(ask)?;
    let limit = pages::limit(query)?;
    let before = pages::after(query, |text| text.parse().ok())?;
    let sets = ask.view.rule_sets(before, limit + 1)?;
    Ok(pages::page(sets, limit, |set| set.number.to_string(), |set| show(&set)))
}

/// One of them, with the text that it was read from.
///
/// # Errors
/// [`AppError`].
pub fn read(ask: &Ask, number: &str) -> Result<api::RuleSetText, AppError> {
    permit(ask)?;
    // One name a set.
    let named = number.parse().ok().filter(|parsed: &u64| parsed.to_string() == number);
    let set = ask.view.rule_set(named.ok_or(AppError::NOT_FOUND)?)?.ok_or(AppError::NOT_FOUND)?;
    let text = ask.view.rule_text(set.number)?.unwrap_or_default();
    Ok(api::RuleSetText { rule_set: show(&set), text })
}

/// The change, unless it is none. A state that never named rules has those of an empty file.
fn put_in_force(
    view: &dyn View,
    now: latchkey_core::UnixMillis,
    proposal: &Proposal,
    about: impl FnOnce(&'static str, (&'static str, String)) -> AuditEntry,
) -> Result<Write<RuleSet>, AppError> {
    let before = view.newest_rule_set()?;
    let is_same = match &before {
        Some(before) => before.version == proposal.version,
        None => Routing::default().version().is_ok_and(|version| version == proposal.version),
    };
    if is_same {
        return Err(Conflict::NothingToDo.into());
    }
    let set = RuleSet {
        number: before.as_ref().map_or(1, |before| before.number + 1),
        version: proposal.version,
        rules: proposal.rules,
        text_digest: blake3::hash(proposal.text.as_bytes()).into(),
        applied_at: now,
        generation: view.generation()?.next(),
    };
    let entry = about("routes.apply", ("rule_set", set.number.to_string())).after(&show(&set));
    let entry = match &before {
        Some(before) => entry.before(&show(before)),
        None => entry,
    };
    Ok(Write::new(entry, set.clone()).put(Change::RuleSet(set, Arc::clone(&proposal.text))))
}

fn permit(ask: &Ask) -> Result<Permit, AppError> {
    ask.permit(Demand::Operator(OperatorAct::Rules))
}

fn show(set: &RuleSet) -> api::RuleSet {
    api::RuleSet {
        number: set.number,
        version: hex(&set.version),
        rules: set.rules,
        text_digest: hex(&set.text_digest),
        applied_at: set.applied_at.into(),
        generation: set.generation.0,
    }
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for RulesDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RulesDesk(..)")
    }
}
