//! One case of a file: a name, bytes, and what a reader must make of them.

use latchkey_snapshot::Fault;
use serde_json::{Value, json};

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The specification's word for a fault.
pub(crate) fn word(fault: Fault) -> &'static str {
    match fault {
        Fault::Truncated => "truncated",
        Fault::Trailing => "trailing",
        Fault::Magic => "magic",
        Fault::OutOfRange => "out of range",
        Fault::NotAscending => "not ascending",
        Fault::NotUtf8 => "not utf-8",
        Fault::NotCanonical => "not canonical",
    }
}

/// The refusal of a field.
pub(crate) fn field(object: &str, field: &str, fault: Fault) -> Value {
    json!({ "object": object, "field": field, "fault": word(fault) })
}

/// A refusal for a reason that lies in no field.
pub(crate) fn reason(object: &str, reason: &str) -> Value {
    json!({ "object": object, "reason": reason })
}

/// The cases of one file, refusals first.
#[derive(Default)]
pub(crate) struct Cases {
    refused: Vec<Value>,
    accepted: Vec<Value>,
}

impl Cases {
    /// A case that is refused; `extra` says under what the bytes are read.
    pub(crate) fn refuse(&mut self, name: &str, extra: Value, bytes: &[u8], refused: Value) {
        self.refused.push(case(name, extra, bytes, "refused", refused));
    }

    /// A case that is accepted and says this.
    pub(crate) fn accept(&mut self, name: &str, extra: Value, bytes: &[u8], accepted: Value) {
        self.accepted.push(case(name, extra, bytes, "accepted", accepted));
    }

    pub(crate) fn into_value(self) -> Value {
        Value::Array(self.refused.into_iter().chain(self.accepted).collect())
    }
}

fn case(name: &str, extra: Value, bytes: &[u8], verdict: &str, what: Value) -> Value {
    let mut case = extra;
    let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
    let (shown, zeros) = if zeros > 256 { (bytes.len() - zeros, zeros) } else { (bytes.len(), 0) };
    case["name"] = name.into();
    case["bytes"] = hex(&bytes[..shown]).into();
    if zeros > 0 {
        case["zeros_after"] = zeros.into();
    }
    case[verdict] = what;
    case
}

/// The text of a file: one case a line, and keys in one order whatever `serde_json` was built with.
pub(crate) fn render(file: &Value) -> String {
    let mut text = String::from("{\n");
    let sections = ordered(file);
    for (index, (key, value)) in sections.iter().enumerate() {
        text += &format!("  {}: ", json!(key));
        match value.as_array() {
            Some(list) => {
                let lines: Vec<String> = list.iter().map(|item| format!("    {}", compact(item))).collect();
                text += &format!("[\n{}\n  ]", lines.join(",\n"));
            }
            None => text += &compact(value),
        }
        text += if index + 1 < sections.len() { ",\n" } else { "\n" };
    }
    text + "}\n"
}

fn compact(value: &Value) -> String {
    match value {
        Value::Object(_) => {
            let fields: Vec<String> = ordered(value)
                .iter()
                .map(|(key, value)| format!("{}: {}", json!(key), compact(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(compact).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// The fields of an object, what a reader looks for first in front.
fn ordered(value: &Value) -> Vec<(&String, &Value)> {
    const FIRST: [&str; 2] = ["about", "name"];
    let mut fields: Vec<_> = value.as_object().into_iter().flatten().collect();
    fields.sort_by_key(|(key, _)| (FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len()), *key));
    fields
}
