//! Request bodies, never longer than they may be: what is declared is checked first, what comes is counted.

use crate::respond::Problem;
use futures_util::StreamExt;
use worker::Request;

/// The body, if it has at most `len_max` bytes.
pub(crate) async fn read(mut request: Request, len_max: usize) -> Result<Vec<u8>, Problem> {
    let declared = request.headers().get("content-length")?.and_then(|text| text.parse::<usize>().ok());
    if declared.is_some_and(|len| len > len_max) {
        return Err(Problem::TOO_LONG);
    }
    let mut bytes = Vec::new();
    if request.inner().body().is_none() {
        return Ok(bytes);
    }
    let mut stream = request.stream()?;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        if bytes.len() + chunk.len() > len_max {
            return Err(Problem::TOO_LONG);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
