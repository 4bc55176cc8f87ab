//! One measured value.

use serde_json::json;

/// A measured value. What it is held against is xtask's to say.
pub(crate) struct Row {
    id: String,
    value: f64,
    detail: String,
}

impl Row {
    /// A value, and how it came about.
    pub(crate) fn new(id: impl Into<String>, value: f64, detail: impl Into<String>) -> Self {
        Self { id: id.into(), value, detail: detail.into() }
    }

    /// Prints it as one line of JSON.
    pub(crate) fn print(&self) {
        println!("{}", json!({ "id": self.id, "value": self.value, "detail": self.detail }));
    }
}
