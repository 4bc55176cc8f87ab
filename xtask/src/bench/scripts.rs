//! What the two deployed scripts weigh.

use super::Effort;
use super::row::Value;
use crate::wasm::{self, Script};
use anyhow::Result;

pub(crate) fn measure(_: Effort) -> Result<Vec<Value>> {
    wasm::build()?;
    [("worker_gzip_kb", Script::Edge), ("worker_gzip_kb_hub", Script::Hub)]
        .into_iter()
        .map(|(id, script)| {
            let sizes = script.sizes()?;
            let detail = format!("{} with its glue; {} bytes uncompressed", script.name(), sizes.raw_bytes);
            Ok(Value::new(id, sizes.gzip_bytes as f64 / 1000.0, detail))
        })
        .collect()
}
