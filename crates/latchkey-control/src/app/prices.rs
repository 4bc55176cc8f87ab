//! What a request costs in this installation: an operator sets it, by permission.

use super::ask::Ask;
use super::error::AppError;
use crate::iam::{Demand, OperatorAct};
use crate::store::{Change, Write};
use latchkey_api as api;
use latchkey_core::{Permission, PermissionSet, Role};

/// The price list.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn read(ask: &Ask) -> Result<api::Prices, AppError> {
    ask.permit(Demand::Operator(OperatorAct::Usage))?;
    shown(ask)
}

/// Replaces the price list. What was counted keeps its price.
///
/// # Errors
/// [`AppError`].
pub fn set(ask: &Ask, body: &api::Prices) -> Result<Write<api::Prices>, AppError> {
    let permit = ask.permit(Demand::Operator(OperatorAct::Usage))?;
    for (word, micros) in &body.prices {
        let path = format!("prices.{word}");
        let priced = Permission::from_word(word).filter(|one| usable().contains(*one));
        priced.ok_or_else(|| AppError::field(&path, "no such permission in a project"))?;
        if *micros > PRICE_MICROS_MAX {
            return Err(AppError::field(path, format!("a price is at most {PRICE_MICROS_MAX}")));
        }
    }
    let before = shown(ask)?;
    let mut prices = body.prices.clone();
    prices.retain(|_, micros| *micros > 0);
    let now = api::Prices { prices };
    let price = |permission: Permission| {
        Change::Price(permission, now.prices.get(permission.as_str()).copied().unwrap_or(0))
    };
    let changes: Vec<Change> = usable().iter().map(price).collect();
    let subject = ("installation", "prices".to_owned());
    let entry = ask.entry(&permit, "prices.set", subject).before(&before).after(&now);
    Ok(Write::new(entry, now).put_all(changes))
}

fn shown(ask: &Ask) -> Result<api::Prices, AppError> {
    let mut prices = std::collections::BTreeMap::new();
    for permission in usable().iter() {
        let micros = ask.view.price(permission)?;
        if micros > 0 {
            prices.insert(permission.as_str().to_owned(), micros);
        }
    }
    Ok(api::Prices { prices })
}

/// What can be used in a project, and so have a price.
const fn usable() -> PermissionSet {
    PermissionSet::of_project(Role::Admin)
}

const PRICE_MICROS_MAX: u64 = 1_000_000_000_000;
