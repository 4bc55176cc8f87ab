//! The audit log as it is read: searched, exported, proven; and entries erased from it (A1).
//!
//! An organization's admins read their own entries, an operator all of them and the tree's tiles. Of the others'
//! entries an organization sees only salted hashes, in proofs.

use super::ask::{Ask, InOrganization};
use super::error::AppError;
use super::pages;
use crate::iam::{Demand, OperatorAct, Organization, Permit};
use crate::store::{AuditFilter, AuditLeaf, AuditView, StoreError, Write};
use crate::tlog::{CheckpointSigner, Hash, Tile};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latchkey_api as api;
use latchkey_api::{AuditExportQuery, AuditProof, AuditProofQuery, AuditQuery, AuditRecord};
use latchkey_core::{OrganizationId, OrganizationNumber, Permission, ProjectId, ProjectNumber, UnixMillis};
use serde_json::value::RawValue;

/// Lines that one part of an export has at most.
pub const EXPORT_LINES_MAX: usize = 1000;

/// Whose log is read.
#[derive(Debug, Clone)]
pub enum Log {
    /// That of the organization with this id.
    Organization(String),
    /// All of it.
    Whole,
}

/// Entries, the newest first. A page may be empty and still name a next one: so far nothing was found.
///
/// # Errors
/// [`AppError`], as everywhere in this module.
pub fn list(ask: &Ask, log: &Log, query: &AuditQuery) -> Result<api::Page<AuditRecord>, AppError> {
    let organization = open(ask, log)?.map(|organization| organization.number);
    let filter = filter(ask, organization, query)?;
    let page = api::PageQuery { limit: query.limit, cursor: query.cursor.clone() };
    let below = pages::after(&page, |cursor| cursor.parse().ok())?;
    let found = ask.view.audit_search(&filter, below, pages::limit(&page)?)?;
    let records = found.entries.into_iter().map(|(position, leaf)| record(position, leaf, None));
    Ok(api::Page { items: records.collect::<Result<_, _>>()?, next: found.next.map(|next| next.to_string()) })
}

/// A part of the log as JSON Lines, the oldest first; nothing if there is no more.
///
/// # Errors
/// [`AppError`].
pub fn export(ask: &Ask, log: &Log, query: &AuditExportQuery) -> Result<String, AppError> {
    let organization = open(ask, log)?.map(|organization| organization.number);
    let size = size_within(ask, query.size)?;
    export_lines(ask.view, organization, query.from.unwrap_or(0), size, query.proofs.unwrap_or(false))
}

/// The lines of [`export`], for whoever has the database itself.
///
/// # Errors
/// [`AppError::Store`].
pub fn export_lines(
    view: &dyn AuditView,
    organization: Option<OrganizationNumber>,
    from: u64,
    size: u64,
    with_proofs: bool,
) -> Result<String, AppError> {
    let found = view.audit_from(organization, from, size, EXPORT_LINES_MAX)?;
    let positions: Vec<u64> = found.entries.iter().map(|(position, _)| *position).collect();
    let proofs = if with_proofs { view.audit_inclusion(&positions, size)? } else { None };
    let mut proofs = proofs.map(Vec::into_iter);
    let mut lines = Vec::new();
    for (position, leaf) in found.entries {
        let proof = proofs.as_mut().and_then(Iterator::next);
        serde_json::to_writer(&mut lines, &record(position, leaf, proof)?).map_err(|_| CORRUPT)?;
        lines.push(b'\n');
    }
    String::from_utf8(lines).map_err(|_| CORRUPT.into())
}

/// The signed checkpoint of the log as it is now: the same for everybody.
///
/// # Errors
/// [`AppError`].
pub fn checkpoint(ask: &Ask, log: &Log, signer: &CheckpointSigner) -> Result<String, AppError> {
    open(ask, log)?;
    Ok(signer.sign(&ask.view.audit_checkpoint()?))
}

/// A proof that an entry is in the log, or that the log only grew.
///
/// # Errors
/// [`AppError`].
pub fn proof(ask: &Ask, log: &Log, query: &AuditProofQuery) -> Result<AuditProof, AppError> {
    let organization = open(ask, log)?.map(|organization| organization.number);
    match *query {
        AuditProofQuery { position: Some(position), size, from: None, to: None } => {
            inclusion(ask, organization, position, size_within(ask, size)?)
        }
        AuditProofQuery { position: None, size: None, from: Some(from), to } => {
            consistency(ask, from, size_within(ask, to)?)
        }
        _ => Err(AppError::Query("a proof takes `position` and `size`, or `from` and `to`")),
    }
}

fn inclusion(
    ask: &Ask,
    organization: Option<OrganizationNumber>,
    position: u64,
    size: u64,
) -> Result<AuditProof, AppError> {
    let (owner, _) = ask.view.audit_place(position)?.ok_or(AppError::NOT_FOUND)?;
    if organization.is_some() && owner != organization {
        return Err(AppError::NOT_FOUND);
    }
    if position >= size {
        return Err(AppError::Query("`position` is not in the tree of this `size`"));
    }
    let leaf = ask.view.audit_leaf(position)?.ok_or(CORRUPT)?;
    let proof =
        ask.view.audit_inclusion(&[position], size)?.and_then(|mut proofs| proofs.pop()).ok_or(CORRUPT)?;
    let root = encode(&root(ask, size)?);
    Ok(AuditProof::Inclusion {
        position,
        leaf_hash: encode(&leaf.hash),
        size,
        root,
        hashes: encode_all(&proof),
    })
}

fn consistency(ask: &Ask, from: u64, to: u64) -> Result<AuditProof, AppError> {
    if from > to {
        return Err(AppError::Query("`from` is more than `to`"));
    }
    let hashes = encode_all(&ask.view.audit_consistency(from, to)?.ok_or(CORRUPT)?);
    let (from_root, to_root) = (encode(&root(ask, from)?), encode(&root(ask, to)?));
    Ok(AuditProof::Consistency { from, from_root, to, to_root, hashes })
}

/// The bytes of a tile of the tree, by what its path says.
///
/// # Errors
/// [`AppError`].
pub fn tile(ask: &Ask, level: &str, rest: &str) -> Result<Vec<u8>, AppError> {
    open(ask, &Log::Whole)?;
    let tile = Tile::parse(level, rest).ok_or(AppError::NOT_FOUND)?;
    let hashes = ask.view.audit_tile(&tile)?.ok_or(AppError::NOT_FOUND)?;
    Ok(hashes.as_flattened().to_vec())
}

/// Drops what an entry says, for good. Its hash stays, and so does every proof; that it was erased is an entry of
/// its own, in the same log.
///
/// # Errors
/// [`AppError`].
pub fn erase(ask: &Ask, position: &str) -> Result<Write<AuditRecord>, AppError> {
    ask.permit(Demand::Operator(OperatorAct::Audit))?;
    let position: u64 = position.parse().ok().ok_or(AppError::NOT_FOUND)?;
    let (organization, _) = ask.view.audit_place(position)?.ok_or(AppError::NOT_FOUND)?;
    let permit = permit_within(ask, organization)?;
    let mut leaf = ask.view.audit_leaf(position)?.ok_or(CORRUPT)?;
    leaf.content = None;
    let erased = record(position, leaf, None)?;
    let entry = ask.entry(&permit, "audit.erase", ("audit_entry", position.to_string())).after(&erased);
    Ok(Write::new(entry, erased).put(crate::store::Change::EraseAudit(position)))
}

/// The operator's permit, filed where the entry is.
fn permit_within(ask: &Ask, organization: Option<OrganizationNumber>) -> Result<Permit, AppError> {
    let Some(number) = organization else { return ask.permit(Demand::Operator(OperatorAct::Audit)) };
    let organization = ask.view.organization(number)?.ok_or(StoreError::Corrupt("organizations"))?;
    InOrganization { organization, membership: None }.permit_operator(ask, OperatorAct::Audit)
}

/// Checks that the caller may read this log; `None` is all of it.
fn open(ask: &Ask, log: &Log) -> Result<Option<Organization>, AppError> {
    match log {
        Log::Whole => ask.permit(Demand::Operator(OperatorAct::Audit)).map(|_| None),
        Log::Organization(id) => {
            let place = ask.organization(id)?;
            place.permit(ask, Permission::OrgAuditRead)?;
            Ok(Some(place.organization))
        }
    }
}

fn filter(
    ask: &Ask,
    organization: Option<OrganizationNumber>,
    query: &AuditQuery,
) -> Result<AuditFilter, AppError> {
    let organization = match (organization, &query.organization) {
        (Some(_), Some(_)) => return Err(AppError::Query("`organization` is the path's")),
        (own, None) => own,
        (None, Some(id)) => Some(organization_named(ask, id)?),
    };
    let project = match &query.project {
        Some(id) => Some(project_named(ask, organization, id)?),
        None => None,
    };
    let moment = |at: Option<api::Timestamp>| at.map(|at| UnixMillis(at.0.0.saturating_mul(1000)));
    Ok(AuditFilter {
        organization,
        project,
        actor: query.actor.clone(),
        action: query.action.clone(),
        subject_kind: query.subject_kind.clone(),
        subject_id: query.subject_id.clone(),
        from: moment(query.from),
        to: moment(query.to),
    })
}

fn organization_named(ask: &Ask, id: &str) -> Result<OrganizationNumber, AppError> {
    let organization = match OrganizationId::parse(id) {
        Some(id) => ask.view.organization_by_id(&id)?,
        None => None,
    };
    organization.map(|one| one.number).ok_or(AppError::Query("`organization` is none"))
}

/// A project of the organization. Whether another one is somewhere else is not told.
fn project_named(
    ask: &Ask,
    organization: Option<OrganizationNumber>,
    id: &str,
) -> Result<ProjectNumber, AppError> {
    let project = match ProjectId::parse(id) {
        Some(id) => ask.view.project_by_id(&id)?,
        None => None,
    };
    let project = project.filter(|one| organization.is_none_or(|number| one.organization == number));
    project.map(|one| one.number).ok_or(AppError::Query("`project` is none of the organization's"))
}

fn size_within(ask: &Ask, size: Option<u64>) -> Result<u64, AppError> {
    let now = ask.view.audit_checkpoint()?.size;
    match size {
        Some(size) if size > now => Err(AppError::Query("the log has fewer entries than that")),
        Some(size) => Ok(size),
        None => Ok(now),
    }
}

fn root(ask: &Ask, size: u64) -> Result<Hash, AppError> {
    Ok(ask.view.audit_root(size)?.ok_or(CORRUPT)?)
}

fn record(position: u64, leaf: AuditLeaf, proof: Option<Vec<Hash>>) -> Result<AuditRecord, StoreError> {
    let (salt, entry) = match leaf.content {
        Some(content) => {
            let entry = RawValue::from_string(content.entry).map_err(|_| CORRUPT)?;
            (Some(STANDARD.encode(content.salt)), Some(entry))
        }
        None => (None, None),
    };
    let proof = proof.map(|hashes| encode_all(&hashes));
    Ok(AuditRecord { position, leaf_hash: encode(&leaf.hash), salt, entry, proof })
}

fn encode_all(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(encode).collect()
}

fn encode(hash: &Hash) -> String {
    STANDARD.encode(hash)
}

const CORRUPT: StoreError = StoreError::Corrupt("audit");
