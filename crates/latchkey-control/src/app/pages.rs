//! Lists in pages: the query's limit, and cutting one item more than wanted into a page and its cursor.

use super::error::AppError;
use latchkey_api::page::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use latchkey_api::{Page, PageQuery};

/// How many items are wanted.
pub(super) fn limit(query: &PageQuery) -> Result<usize, AppError> {
    match query.limit.unwrap_or(PAGE_ITEMS_DEFAULT) {
        limit @ 1..=PAGE_ITEMS_MAX => Ok(limit),
        _ => Err(AppError::Query("`limit` is 1 to 200")),
    }
}

/// Where the page begins: what `parse` makes of the cursor.
pub(super) fn after<T>(
    query: &PageQuery,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, AppError> {
    let Some(cursor) = &query.cursor else { return Ok(None) };
    parse(cursor).map(Some).ok_or(NO_CURSOR)
}

/// A cursor that no page of this list gave out. Whether it names something elsewhere is not told.
pub(super) const NO_CURSOR: AppError = AppError::Query("`cursor` is not one that a page gave out");

/// The page of the first `limit` of these; one more than that says that there is a next one.
pub(super) fn page<T, U>(
    mut items: Vec<T>,
    limit: usize,
    cursor: impl Fn(&T) -> String,
    show: impl FnMut(T) -> U,
) -> Page<U> {
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_more).map(cursor);
    Page { items: items.into_iter().map(show).collect(), next }
}
