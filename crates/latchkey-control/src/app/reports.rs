//! Usage as it arrives (B3): a batch counts once, and one that is not believed is held until an operator decides.
//!
//! [`report`] is the start. The whole batch is judged before any of it counts: [`judged`] with the rules of
//! [`crate::iam::usage`], then [`Books`](super::books::Books) adds it up.

use super::ask::Ask;
use super::books::Books;
use super::error::{AppError, Conflict};
use super::pages;
use crate::iam::usage::COUNTED_MS_MIN;
use crate::iam::{
    BatchOutcome, Caller, Demand, Doubt, Named, OperatorAct, ReportedSubject, UsageBatch, UsageLine,
    UsagePlace, UsageSubject,
};
use crate::store::{Change, StoreError, View, Write};
use latchkey_api as api;
use latchkey_api::usage::BATCH_LINES_MAX;
use latchkey_core::{IdentityId, KeyId, ProjectNumber, UnixMillis};

/// What became of a batch that came before, if it did: the answer is that of the first time.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn known(ask: &Ask, body: &api::ReportUsage) -> Result<Option<api::ReportedUsage>, AppError> {
    ask.permit(Demand::Report)?;
    let batch = ask.view.usage_batch(&parse_id(&body.id)?)?;
    Ok(batch.map(|batch| reply(&batch)))
}

/// Counts a batch, or holds it. `requests_max` is what one line may say without being doubted.
///
/// # Errors
/// [`AppError`].
pub fn report(
    ask: &Ask,
    requests_max: u64,
    body: &api::ReportUsage,
) -> Result<Write<api::ReportedUsage>, AppError> {
    let permit = ask.permit(Demand::Report)?;
    let Caller::Reporter(reporter) = &ask.caller else { return Err(AppError::Unauthenticated) };
    let id = parse_id(&body.id)?;
    if let Some(before) = ask.view.usage_batch(&id)? {
        let entry = ask.entry(&permit, "usage.report_again", subject(&before));
        return Ok(Write::new(entry, reply(&before)));
    }
    let lines = parse_lines(&body.lines)?;
    let (outcome, lines, changes) = match judged(ask, &lines, requests_max)? {
        Ok(places) => (BatchOutcome::Counted(ask.now), Vec::new(), counted(ask, &places, &lines)?),
        Err((index, doubt)) => (BatchOutcome::Held(format!("lines[{index}]: {doubt}")), lines, Vec::new()),
    };
    let batch = UsageBatch { id, reporter: reporter.clone(), received_at: ask.now, outcome, lines };
    let entry = ask.entry(&permit, "usage.report", subject(&batch)).after(&show(&batch));
    Ok(Write::new(entry, reply(&batch)).put(batch).put_all(changes))
}

/// The batches that are held, by id.
///
/// # Errors
/// [`AppError`].
pub fn list(ask: &Ask, query: &api::PageQuery) -> Result<api::Page<api::UsageBatch>, AppError> {
    ask.permit(Demand::Operator(OperatorAct::Usage))?;
    let limit = pages::limit(query)?;
    let after = pages::after(query, |cursor| parse_id(cursor).ok())?;
    let batches = ask.view.held_usage_batches(after, limit + 1)?;
    Ok(pages::page(batches, limit, |batch| spell(&batch.id), |batch| show(&batch)))
}

/// One batch, with its lines if it is held.
///
/// # Errors
/// [`AppError`].
pub fn read(ask: &Ask, id: &str) -> Result<api::UsageBatchDetail, AppError> {
    ask.permit(Demand::Operator(OperatorAct::Usage))?;
    let batch = find(ask, id)?;
    Ok(api::UsageBatchDetail { batch: show(&batch), lines: batch.lines.iter().map(show_line).collect() })
}

/// Counts a held batch on the operator's word, at today's prices.
///
/// # Errors
/// [`Conflict::UsageUncountable`] if a line has nothing it could count for, and as everywhere [`AppError`].
pub fn accept(ask: &Ask, id: &str) -> Result<Write<api::UsageBatch>, AppError> {
    let permit = ask.permit(Demand::Operator(OperatorAct::Usage))?;
    let before = find_held(ask, id)?;
    let places =
        before.lines.iter().map(|line| Ok(place(ask, line)?.ok())).collect::<Result<_, AppError>>()?;
    let places: Option<Vec<UsagePlace>> = Vec::into_iter(places).collect();
    let places = places.ok_or(Conflict::UsageUncountable)?;
    let changes = counted(ask, &places, &before.lines)?;
    let now = before.clone().counted(&permit, ask.now);
    let shown = show(&now);
    let entry = ask.entry(&permit, "usage.accept", subject(&now)).before(&show(&before)).after(&shown);
    Ok(Write::new(entry, shown).put(now).put_all(changes))
}

/// Throws a held batch away. It counts never, however often it comes.
///
/// # Errors
/// [`AppError`].
pub fn discard(ask: &Ask, id: &str) -> Result<Write<api::UsageBatch>, AppError> {
    let permit = ask.permit(Demand::Operator(OperatorAct::Usage))?;
    let before = find_held(ask, id)?;
    let now = before.clone().discarded(&permit);
    let shown = show(&now);
    let entry = ask.entry(&permit, "usage.discard", subject(&now)).before(&show(&before)).after(&shown);
    Ok(Write::new(entry, shown).put(now))
}

/// What forgets the ids of batches that were counted so long ago that they would be held if they came again: at most
/// `limit` of them.
///
/// # Errors
/// The store's.
pub fn forget_counted(view: &dyn View, now: UnixMillis, limit: usize) -> Result<Vec<Change>, StoreError> {
    let before = UnixMillis(now.0.saturating_sub(COUNTED_MS_MIN));
    let batches = view.usage_batches_counted_before(before, limit)?;
    Ok(batches.into_iter().map(Change::ForgetUsageBatch).collect())
}

/// Where each line counts, or the first line that is not believed.
fn judged(
    ask: &Ask,
    lines: &[UsageLine],
    requests_max: u64,
) -> Result<Result<Vec<UsagePlace>, (usize, Doubt)>, AppError> {
    let mut places = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let believed =
            place(ask, line)?.and_then(|place| line.believe(&place, ask.now, requests_max).map(|()| place));
        match believed {
            Ok(place) => places.push(place),
            Err(doubt) => return Ok(Err((index, doubt))),
        }
    }
    Ok(Ok(places))
}

fn place(ask: &Ask, line: &UsageLine) -> Result<Result<UsagePlace, Doubt>, AppError> {
    let (subject, bound_to) = match line.subject {
        ReportedSubject::Key(id) => {
            let key = ask.view.key(id)?;
            (key.as_ref().map(|key| UsageSubject::Key(key.id)), key.map(|key| key.project))
        }
        ReportedSubject::Identity(id) => {
            (ask.view.identity(&id)?.map(|identity| UsageSubject::Person(identity.user)), None)
        }
    };
    let has_project = ask.view.project(line.project)?.is_some();
    Ok(line.place(&Named { subject, bound_to, has_project }, ask.now))
}

fn counted(ask: &Ask, places: &[UsagePlace], lines: &[UsageLine]) -> Result<Vec<Change>, AppError> {
    let mut books = Books::new(ask.view, ask.now);
    for (place, line) in places.iter().zip(lines) {
        books.add(*place, line)?;
    }
    Ok(books.close()?)
}

fn find(ask: &Ask, id: &str) -> Result<UsageBatch, AppError> {
    let id = parse_id(id).map_err(|_| AppError::NOT_FOUND)?;
    ask.view.usage_batch(&id)?.ok_or(AppError::NOT_FOUND)
}

fn find_held(ask: &Ask, id: &str) -> Result<UsageBatch, AppError> {
    let batch = find(ask, id)?;
    let is_held = matches!(batch.outcome, BatchOutcome::Held(_));
    if is_held { Ok(batch) } else { Err(Conflict::UsageSettled.into()) }
}

fn parse_lines(lines: &[api::UsageLine]) -> Result<Vec<UsageLine>, AppError> {
    if !(1..=BATCH_LINES_MAX).contains(&lines.len()) {
        return Err(AppError::field("lines", format!("a batch has 1 to {BATCH_LINES_MAX} lines")));
    }
    let parse = |(index, line)| parse_line(&format!("lines[{index}]"), line);
    lines.iter().enumerate().map(parse).collect()
}

fn parse_line(path: &str, line: &api::UsageLine) -> Result<UsageLine, AppError> {
    let subject = match &line.subject {
        api::UsageSubject::Key(text) => KeyId::parse(text.as_bytes()).map(ReportedSubject::Key),
        api::UsageSubject::Identity(text) => IdentityId::parse(text).map(ReportedSubject::Identity),
    };
    let subject = subject.ok_or_else(|| AppError::field(format!("{path}.subject"), "not an id"))?;
    if !(1..=PERMISSION_BYTES_MAX).contains(&line.permission.len()) {
        return Err(AppError::field(format!("{path}.permission"), "not a permission's word"));
    }
    if line.requests == 0 {
        return Err(AppError::field(format!("{path}.requests"), "a line has 1 request or more"));
    }
    Ok(UsageLine {
        subject,
        project: ProjectNumber(line.project),
        permission: line.permission.clone(),
        day: line.day.0,
        requests: line.requests,
        last_at: line.last_at.0.millis(),
    })
}

fn parse_id(text: &str) -> Result<[u8; 16], AppError> {
    let fault = || AppError::field("id", "an id is 32 lower-case hexadecimal characters");
    let digits: &[u8; 32] = text.as_bytes().try_into().map_err(|_| fault())?;
    let mut id = [0; 16];
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return Err(fault()) };
        *byte = high << 4 | low;
    }
    Ok(id)
}

fn spell(id: &[u8; 16]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

const fn status(batch: &UsageBatch) -> api::UsageBatchStatus {
    match batch.outcome {
        BatchOutcome::Counted(_) => api::UsageBatchStatus::Counted,
        BatchOutcome::Held(_) => api::UsageBatchStatus::Held,
        BatchOutcome::Discarded => api::UsageBatchStatus::Discarded,
    }
}

fn reply(batch: &UsageBatch) -> api::ReportedUsage {
    api::ReportedUsage { id: spell(&batch.id), status: status(batch) }
}

fn show(batch: &UsageBatch) -> api::UsageBatch {
    api::UsageBatch {
        id: spell(&batch.id),
        reporter: batch.reporter.clone(),
        received_at: batch.received_at.into(),
        status: status(batch),
        reason: match &batch.outcome {
            BatchOutcome::Held(reason) => Some(reason.clone()),
            _ => None,
        },
        lines_held: batch.lines.len(),
    }
}

fn show_line(line: &UsageLine) -> api::UsageLine {
    api::UsageLine {
        subject: match line.subject {
            ReportedSubject::Key(id) => api::UsageSubject::Key(id.to_string()),
            ReportedSubject::Identity(id) => api::UsageSubject::Identity(id.to_string()),
        },
        project: line.project.0,
        permission: line.permission.clone(),
        day: api::Day(line.day),
        requests: line.requests,
        last_at: line.last_at.into(),
    }
}

fn subject(batch: &UsageBatch) -> (&'static str, String) {
    ("usage_batch", spell(&batch.id))
}

const PERMISSION_BYTES_MAX: usize = 64;
