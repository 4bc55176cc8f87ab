//! Where published objects can be read from, as commands name it.

use anyhow::{Context, Result, bail};
use latchkey_control::publish::{DirectorySource, ObjectStoreSource, S3Place, Source};
use std::path::Path;

/// The place that a text names.
///
/// # Errors
/// It names none that can be read from.
pub(crate) fn source(place: &str) -> Result<Box<dyn Source + Send + Sync>> {
    if let Some(rest) = place.strip_prefix("s3://") {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        // Who asks and where, the environment says: AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT …
        let endpoint = std::env::var("AWS_ENDPOINT").ok();
        let place = S3Place { bucket, prefix, endpoint, region: None, credentials: None };
        let source = ObjectStoreSource::new(place.name(), place.open()?, &place.prefix);
        return Ok(Box::new(source.context("no runtime")?));
    }
    if place.contains("://") {
        bail!("`{place}`: only a directory and `s3://BUCKET/PREFIX` can be read from");
    }
    let path = Path::new(place);
    if !path.is_dir() {
        bail!("`{place}` is no directory");
    }
    Ok(Box::new(DirectorySource::new(path)))
}
