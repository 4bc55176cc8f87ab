//! Usage as it is asked for (B1): an organization's is one bill (O1), a project's its own.

use super::ask::{Ask, InProject};
use super::error::AppError;
use crate::iam::usage::day_of;
use crate::iam::{Amount, Key, Project, UsagePlace, UsageSubject};
use crate::store::{Answer, StoreError, UsageRow};
use latchkey_api as api;
use latchkey_core::{KeyId, Permission, ProjectId, ProjectNumber, UserId};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Groups that one answer has at most.
pub const GROUPS_MAX: usize = 10_000;
/// Days that one question spans at most.
pub const DAYS_MAX: u32 = 366;

/// What was used in all of an organization's projects, archived and deleted ones included (O1).
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn of_organization(
    ask: &Ask,
    organization: &str,
    query: &api::UsageQuery,
) -> Result<api::Usage, AppError> {
    let place = ask.organization(organization)?;
    place.permit(ask, Permission::OrgUsageRead)?;
    let mut projects = Vec::new();
    loop {
        let after = projects.last().map(|last: &Project| last.number);
        let batch = ask.view.projects_of(place.organization.number, after, PROJECTS_READ_AT_ONCE)?;
        if batch.is_empty() {
            break;
        }
        projects.extend(batch);
    }
    answer(ask, projects, query)
}

/// What was used in a project.
///
/// # Errors
/// [`AppError`].
pub fn of_project(ask: &Ask, project: &str, query: &api::UsageQuery) -> Result<api::Usage, AppError> {
    let place: InProject = ask.project(project)?;
    place.permit(ask, Permission::ProjectUsageRead)?;
    answer(ask, vec![place.project], query)
}

/// The rows as RFC 4180, with a head. A cell that a spreadsheet would take for a formula begins with `'`.
pub fn csv(usage: &api::Usage, query: &api::UsageQuery) -> String {
    let grouped =
        |word: &str| query.group_by.iter().flat_map(|words| words.split(',')).any(|one| one == word);
    let columns = COLUMNS.iter().filter(|(word, ..)| grouped(word));
    let mut names: Vec<&str> = columns.clone().map(|(_, name, _)| *name).collect();
    names.extend(["requests", "cost_micros"]);
    let mut text = format!("{}\r\n", names.join(","));
    for row in &usage.rows {
        let mut cells: Vec<String> = columns.clone().map(|(.., cell)| quoted(&cell(row))).collect();
        cells.extend([row.amount.requests.to_string(), row.amount.cost_micros.to_string()]);
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

type Cell = fn(&api::UsageRow) -> String;

/// What is grouped by, the column's name, and its cell.
const COLUMNS: [(&str, &str, Cell); 7] = [
    ("day", "day", |row| row.day.map(|day| day.to_string()).unwrap_or_default()),
    ("project", "project_id", |row| row.project_id.clone().unwrap_or_default()),
    ("project", "project_name", |row| row.project_name.clone().unwrap_or_default()),
    ("key", "key_id", |row| row.key_id.clone().unwrap_or_default()),
    ("key", "key_name", |row| row.key_name.clone().unwrap_or_default()),
    ("person", "user_id", |row| row.user_id.clone().unwrap_or_default()),
    ("permission", "permission", |row| row.permission.clone().unwrap_or_default()),
];

fn quoted(cell: &str) -> String {
    let is_formula = cell.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let cell = if is_formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains(['"', ',', '\r', '\n', ';']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell
}

pub(super) const fn show(amount: Amount) -> api::UsageAmount {
    api::UsageAmount { requests: amount.requests, cost_micros: amount.cost_micros }
}

fn answer(ask: &Ask, projects: Vec<Project>, query: &api::UsageQuery) -> Result<api::Usage, AppError> {
    let question = Question::parse(ask, &projects, query)?;
    let mut groups =
        Groups { ask, question, sums: BTreeMap::new(), total: Amount::default(), keys: BTreeMap::new() };
    for project in &projects {
        if groups.question.project.is_some_and(|only| only != project.number) {
            continue;
        }
        let days = (groups.question.first_day, groups.question.last_day);
        let flow = ask.view.usage_of(project.number, days, &mut |row| groups.add(row))?;
        if flow.is_break() {
            return Err(AppError::Query(
                "this has more than 10,000 groups: ask for fewer days or a coarser `group_by`",
            ));
        }
    }
    groups.shown(&projects)
}

/// A query that is understood.
struct Question {
    first_day: u32,
    last_day: u32,
    by: By,
    project: Option<ProjectNumber>,
    family: Option<KeyId>,
    person: Option<UserId>,
    permission: Option<Permission>,
}

#[derive(Default)]
struct By {
    day: bool,
    project: bool,
    key: bool,
    person: bool,
    permission: bool,
}

impl Question {
    fn parse(ask: &Ask, projects: &[Project], query: &api::UsageQuery) -> Result<Self, AppError> {
        let today = api::Day(day_of(ask.now));
        let last = query.to.unwrap_or(today);
        let first = query.from.unwrap_or_else(|| last.first_of_month());
        if first > last || last.0 - first.0 >= DAYS_MAX {
            return Err(AppError::Query("`from` to `to` is 1 to 366 days"));
        }
        Ok(Self {
            first_day: first.0,
            last_day: last.0,
            by: By::parse(query.group_by.as_deref())?,
            project: query.project.as_deref().map(|text| project_named(projects, text)).transpose()?,
            family: query.key.as_deref().map(|text| family_of(ask, text)).transpose()?,
            person: query.person.as_deref().map(parse_person).transpose()?,
            permission: query.permission.as_deref().map(parse_permission).transpose()?,
        })
    }

    /// Whether it takes the key's row to group or filter.
    const fn looks_at_keys(&self) -> bool {
        self.by.key || self.by.person || self.family.is_some() || self.person.is_some()
    }
}

impl By {
    fn parse(text: Option<&str>) -> Result<Self, AppError> {
        let mut by = Self::default();
        for word in text.into_iter().flat_map(|text| text.split(',')) {
            let dimension = match word {
                "day" => &mut by.day,
                "project" => &mut by.project,
                "key" => &mut by.key,
                "person" => &mut by.person,
                "permission" => &mut by.permission,
                _ => return Err(NO_GROUPS),
            };
            if std::mem::replace(dimension, true) {
                return Err(NO_GROUPS);
            }
        }
        Ok(by)
    }
}

const NO_GROUPS: AppError = AppError::Query(
    "`group_by` is `day`, `project`, `key`, `person`, `permission`, or several of them with commas",
);

/// One of the projects in question; of all others nothing is told.
fn project_named(projects: &[Project], text: &str) -> Result<ProjectNumber, AppError> {
    let id = ProjectId::parse(text);
    let is_named = |project: &&Project| match id {
        Some(id) => project.id == id,
        None => project.slug.as_str() == text && project.deleted_at.is_none(),
    };
    let project =
        projects.iter().find(is_named).ok_or(AppError::Query("`project` is none of these projects"))?;
    Ok(project.number)
}

/// The line of rotations that a key stands in (K8). A key of elsewhere has no use here, like one that is none.
fn family_of(ask: &Ask, text: &str) -> Result<KeyId, AppError> {
    let id = KeyId::parse(text.as_bytes()).ok_or(AppError::Query("`key` is not a key's id"))?;
    Ok(ask.view.key(id)?.map_or(id, |key| key.family))
}

fn parse_person(text: &str) -> Result<UserId, AppError> {
    UserId::parse(text).ok_or(AppError::Query("`person` is not an id like `user_…`"))
}

fn parse_permission(text: &str) -> Result<Permission, AppError> {
    Permission::from_word(text).ok_or(AppError::Query("`permission` is not a permission's word"))
}

/// What a row is told by: `None` where it is not grouped by that, or has none.
#[derive(Default, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    day: Option<u32>,
    project: Option<ProjectNumber>,
    key: Option<KeyId>,
    person: Option<UserId>,
    permission: Option<Permission>,
}

struct Groups<'a> {
    ask: &'a Ask<'a>,
    question: Question,
    sums: BTreeMap<Group, Amount>,
    total: Amount,
    keys: BTreeMap<KeyId, Key>,
}

impl Groups<'_> {
    fn add(&mut self, (place, amount): UsageRow) -> Answer<ControlFlow<()>> {
        let Some(group) = self.group(&place)? else { return Ok(ControlFlow::Continue(())) };
        self.total = self.total.plus(amount);
        let sum = self.sums.entry(group).or_default();
        *sum = sum.plus(amount);
        let is_full = self.sums.len() > GROUPS_MAX;
        Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// The group that a row belongs to, if it is asked for.
    fn group(&mut self, place: &UsagePlace) -> Answer<Option<Group>> {
        if self.question.permission.is_some_and(|only| only != place.permission) {
            return Ok(None);
        }
        let (mut key, mut person, mut family) = (None, None, None);
        match place.subject {
            UsageSubject::Person(id) => person = Some(id),
            UsageSubject::Key(id) if self.question.looks_at_keys() => {
                let row = self.key(id)?;
                (key, person, family) = (Some(id), Some(row.created_by), Some(row.family));
            }
            UsageSubject::Key(_) => {}
        }
        let question = &self.question;
        if question.family.is_some() && question.family != family
            || question.person.is_some() && question.person != person
        {
            return Ok(None);
        }
        let by = &question.by;
        Ok(Some(Group {
            day: by.day.then_some(place.day),
            project: by.project.then_some(place.project),
            key: key.filter(|_| by.key),
            person: person.filter(|_| by.person),
            permission: by.permission.then_some(place.permission),
        }))
    }

    fn key(&mut self, id: KeyId) -> Answer<&Key> {
        if !self.keys.contains_key(&id) {
            let key = self.ask.view.key(id)?.ok_or(StoreError::Corrupt("keys"))?;
            self.keys.insert(id, key);
        }
        self.keys.get(&id).ok_or(StoreError::Corrupt("keys"))
    }

    fn shown(self, projects: &[Project]) -> Result<api::Usage, AppError> {
        let projects: BTreeMap<ProjectNumber, &Project> =
            projects.iter().map(|project| (project.number, project)).collect();
        let row = |(group, amount): (&Group, &Amount)| {
            let project = group.project.and_then(|number| projects.get(&number));
            let key = group.key.and_then(|id| self.keys.get(&id));
            api::UsageRow {
                day: group.day.map(api::Day),
                project_id: project.map(|project| project.id.to_string()),
                project_name: project.map(|project| project.name.as_str().to_owned()),
                key_id: key.map(|key| key.id.to_string()),
                key_name: key.map(|key| key.name.as_str().to_owned()),
                user_id: group.person.map(|id| id.to_string()),
                permission: group.permission.map(|permission| permission.as_str().to_owned()),
                amount: show(*amount),
            }
        };
        Ok(api::Usage {
            from: api::Day(self.question.first_day),
            to: api::Day(self.question.last_day),
            rows: self.sums.iter().map(row).collect(),
            total: show(self.total),
        })
    }
}

const PROJECTS_READ_AT_ONCE: usize = 1000;

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn cell_is_no_formula_and_no_second_cell() {
        for (cell, expected) in [
            ("plain", "plain"),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (" =1", "' =1"),
            ("＝1", "'＝1"),
            ("a,b", "\"a,b\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("a\r\nb", "\"a\r\nb\""),
        ] {
            assert_eq!(quoted(cell), expected);
        }
    }
}
