//! Any text as the words of the API: a network, a model's name, a day, a moment. What is read is written as one text,
//! which is read as the same.

#![no_main]

use latchkey_api::day::Day;
use latchkey_api::timestamp::Timestamp;
use latchkey_core::{ModelName, Network};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(network) = Network::parse(text) {
        assert_eq!(Network::parse(&network.to_string()), Ok(network));
        assert!(network.contains(network.address()));
        assert_eq!(Network::new(network.address(), network.prefix_len()), Ok(network));
    }
    if let Ok(name) = ModelName::parse(text) {
        assert_eq!(name.as_str(), text);
        assert!(text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    if let Some(day) = Day::parse(text) {
        assert_eq!(day.to_string(), text);
        assert!(day <= Day::LAST && day.first_of_month() <= day);
    }
    let json = serde_json::to_string(text).unwrap();
    if let Ok(moment) = serde_json::from_str::<Timestamp>(&json) {
        let written = serde_json::to_string(&moment).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&written).unwrap(), moment);
    }
});
