//! What was read, written again: for whoever checks that a reader takes nothing but what the writer writes.

use super::content::Edition;
use super::{BuildError, Object, encode};
use crate::manifest::Manifest;
use crate::names::Names;
use crate::node::Node;

/// The node.
///
/// # Errors
/// [`BuildError`].
pub fn node(node: &Node) -> Result<Object, BuildError> {
    encode::node(node.kind(), node.pages())
}

/// The page of names.
///
/// # Errors
/// [`BuildError`].
pub fn names(names: &Names) -> Result<Object, BuildError> {
    match names {
        Names::Projects(list) => encode::project_names(list),
        Names::Organizations(list) => encode::organization_names(list),
    }
}

/// The manifest.
///
/// # Errors
/// [`BuildError`].
pub fn manifest(manifest: &Manifest) -> Result<Object, BuildError> {
    let edition = Edition {
        installation: manifest.installation,
        generation: manifest.generation,
        pepper_id: manifest.pepper_id,
        grace_secs: manifest.grace_secs,
        prefix: manifest.prefix,
        exceptions: &manifest.exceptions,
        session_keys: &manifest.session_keys,
        edge_keys: &manifest.edge_keys,
        canaries: &manifest.canaries,
        cors: manifest.cors.as_ref(),
        rules: &manifest.rules,
    };
    encode::manifest(&edition, &manifest.sections)
}
