//! A key's rate (IAM K7), counted by the runtime's rate limiters: one count a data centre, approximate, and shared by a
//! key and its kin.
//!
//! A limiter's limit is fixed when the script is deployed, so there are classes. A rate counts as the class at or below
//! it: it never lets more through. Only a rate below the least class counts as that one.

use crate::cache::call;
use latchkey_gate::{Refusal, Unavailable};
use latchkey_snapshot::Rate;
use worker::js_sys::{Object, Reflect};
use worker::wasm_bindgen::JsValue;
use worker::{Env, console_error};

/// Requests a minute of each class, and its binding in wrangler.toml; ascending.
const CLASSES: [(u32, &str); 4] = [(10, "RATE_10"), (60, "RATE_60"), (600, "RATE_600"), (6000, "RATE_6000")];

/// Counts a request; why it is refused, if it is. A rate that cannot be counted is not passed over.
pub(crate) async fn refusal(env: &Env, rate: Rate) -> Option<Refusal> {
    match counted(env, rate).await {
        Ok(true) => None,
        Ok(false) => Some(Refusal::RateLimited),
        Err(error) => {
            console_error!("a rate cannot be counted: {error}");
            Some(Refusal::Unavailable(Unavailable::RateUnenforceable))
        }
    }
}

async fn counted(env: &Env, rate: Rate) -> worker::Result<bool> {
    let limiter = Reflect::get(env, &JsValue::from_str(binding(rate.per_minute.get())))?;
    let key = Object::new();
    Reflect::set(&key, &JsValue::from_str("key"), &JsValue::from_str(&rate.family.to_string()))?;
    let outcome = call(&limiter, "limit", &[key.into()]).await?;
    // Whatever is no answer is none that lets it in.
    let success = Reflect::get(&outcome, &JsValue::from_str("success"))?.as_bool();
    success.ok_or_else(|| worker::Error::from("the limiter gave no answer"))
}

fn binding(per_minute: u32) -> &'static str {
    let [least, higher @ ..] = CLASSES;
    higher.into_iter().rev().find(|(limit, _)| *limit <= per_minute).unwrap_or(least).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_counts_as_the_class_at_or_below_it() {
        let classes = [
            (1, "RATE_10"),
            (10, "RATE_10"),
            (59, "RATE_10"),
            (60, "RATE_60"),
            (90, "RATE_60"),
            (599, "RATE_60"),
            (600, "RATE_600"),
            (5999, "RATE_600"),
            (6000, "RATE_6000"),
            (u32::MAX, "RATE_6000"),
        ];
        for (per_minute, class) in classes {
            assert_eq!(binding(per_minute), class, "{per_minute}");
        }
    }

    #[test]
    fn each_class_is_bound_with_the_limit_that_its_name_says() {
        let text: String = include_str!("../../../wrangler.toml").split_whitespace().collect();
        for (limit, name) in CLASSES {
            assert_eq!(name, format!("RATE_{limit}"));
            let bound = text.split("[[ratelimits]]").filter(|one| one.contains(&format!("name=\"{name}\"")));
            let simple = format!("simple={{limit={limit},period=60}}");
            assert_eq!(bound.filter(|one| one.contains(&simple)).count(), 1, "{name}");
        }
    }
}
