//! The ways into a cluster (P3): how they are told by the platform, and the files a user is given.
//!
//! No file holds a secret. A kubeconfig names the program that fetches a credential on the user's own machine,
//! so one that was downloaded is worth nothing to somebody whose access has ended.

use super::ask::{Ask, InProject};
use super::error::{AppError, Conflict};
use super::{fields, kubeconfig, resources};
use crate::iam::resource::KubeconfigKind;
use crate::iam::{Cluster, ClusterLogin, ClusterOidc, ResourceDetail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latchkey_api as api;
use latchkey_core::{Permission, ResourceType};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::fmt::Write as _;

/// The kubeconfig of this kind, YAML; the one that both roles get, unless told.
///
/// # Errors
/// [`Conflict::ClusterAccess`] if the cluster has no such way in, and as everywhere [`AppError`].
pub fn read_kubeconfig(
    ask: &Ask,
    project: &str,
    id: &str,
    query: &api::KubeconfigQuery,
) -> Result<String, AppError> {
    let place = ask.project(project)?;
    let asked = query.kind.map(parsed_kind);
    place.permit(ask, asked.map_or(Permission::ClustersKubectl, KubeconfigKind::permission))?;
    let cluster = find(ask, &place, id)?;
    let kind = asked.unwrap_or_else(|| cluster.usual_kind());
    kubeconfig::kubeconfig(id, &cluster, kind).ok_or(Conflict::ClusterAccess.into())
}

/// The manifest that maps the project's roles to Kubernetes' own, by the groups of its OIDC issuer; YAML.
///
/// # Errors
/// [`Conflict::ClusterAccess`] if the cluster trusts no issuer, and as everywhere [`AppError`].
pub fn read_rolebinding(ask: &Ask, project: &str, id: &str) -> Result<String, AppError> {
    let place = ask.project(project)?;
    place.permit(ask, Permission::ClustersView)?;
    let cluster = find(ask, &place, id)?;
    if cluster.oidc.is_none() {
        return Err(Conflict::ClusterAccess.into());
    }
    Ok(kubeconfig::rolebinding(&place.project.id))
}

fn find(ask: &Ask, place: &InProject, id: &str) -> Result<Cluster, AppError> {
    match resources::find(ask, place, ResourceType::Cluster, id)?.detail {
        ResourceDetail::Cluster(cluster) => Ok(cluster),
        ResourceDetail::None => Err(Conflict::ClusterAccess.into()),
    }
}

const fn parsed_kind(kind: api::KubeconfigKind) -> KubeconfigKind {
    match kind {
        api::KubeconfigKind::Admin => KubeconfigKind::Admin,
        api::KubeconfigKind::Oidc => KubeconfigKind::Oidc,
        api::KubeconfigKind::Shared => KubeconfigKind::Shared,
    }
}

/// A cluster's way in, as the platform tells it.
pub(super) fn parse(path: &str, body: &api::Cluster) -> Result<Cluster, AppError> {
    Ok(Cluster {
        server: fields::https_url(&format!("{path}.server"), &body.server)?,
        certificate_authority: certificates(path, &body.certificate_authority)?,
        oidc: body.oidc.as_ref().map(|one| oidc(&format!("{path}.oidc"), one)).transpose()?,
        login: body.login.as_ref().map(|one| login(&format!("{path}.login"), one)).transpose()?,
    })
}

fn oidc(path: &str, body: &api::ClusterOidc) -> Result<ClusterOidc, AppError> {
    Ok(ClusterOidc {
        issuer: fields::https_url(&format!("{path}.issuer"), &body.issuer)?,
        client_id: word(&format!("{path}.client_id"), &body.client_id)?,
    })
}

fn login(path: &str, body: &api::ClusterLogin) -> Result<ClusterLogin, AppError> {
    if body.arguments.len() > ARGUMENTS_MAX {
        let message = format!("there are at most {ARGUMENTS_MAX} arguments");
        return Err(AppError::field(format!("{path}.arguments"), message));
    }
    let argument = |(index, text): (usize, &String)| word(&format!("{path}.arguments[{index}]"), text);
    Ok(ClusterLogin {
        command: word(&format!("{path}.command"), &body.command)?,
        arguments: body.arguments.iter().enumerate().map(argument).collect::<Result<_, _>>()?,
    })
}

fn word(path: &str, text: &str) -> Result<String, AppError> {
    let is_word =
        (1..=WORD_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_word {
        return Ok(text.to_owned());
    }
    Err(AppError::field(path, format!("this is 1 to {WORD_BYTES_MAX} printable characters without space")))
}

/// The certificates, written again: what else stood in the text, like a private key that came along, is refused
/// or left out.
fn certificates(path: &str, text: &str) -> Result<String, AppError> {
    let fault = |message: &str| AppError::field(format!("{path}.certificate_authority"), message);
    if text.len() > PEM_BYTES_MAX {
        return Err(fault("this is too long"));
    }
    if text.contains("PRIVATE KEY") {
        return Err(fault("this holds a private key"));
    }
    let found = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|_| fault("this is not PEM"))?;
    if !(1..=CERTIFICATES_MAX).contains(&found.len()) || !found.iter().all(|one| is_one_sequence(one)) {
        return Err(fault("this is 1 to 10 certificates, PEM"));
    }
    let mut clean = String::new();
    for certificate in found {
        clean.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(&certificate);
        for line in encoded.as_bytes().chunks(PEM_LINE_LEN) {
            // Base64 is ASCII, and writing to a string never fails.
            let _ = writeln!(clean, "{}", String::from_utf8_lossy(line));
        }
        clean.push_str("-----END CERTIFICATE-----\n");
    }
    Ok(clean)
}

/// Whether the bytes are one ASN.1 SEQUENCE and nothing else: as much of X.509 as a text that is only passed on needs.
fn is_one_sequence(der: &[u8]) -> bool {
    let Some((&0x30, rest)) = der.split_first() else { return false };
    let Some((&first, rest)) = rest.split_first() else { return false };
    if first < 0x80 {
        return rest.len() == usize::from(first);
    }
    let count = usize::from(first & 0x7f);
    let Some((length, content)) = rest.split_at_checked(count).filter(|_| (1..=3).contains(&count)) else {
        return false;
    };
    let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    length > 0x7f && content.len() == length
}

const ARGUMENTS_MAX: usize = 16;
const WORD_BYTES_MAX: usize = 200;
const PEM_BYTES_MAX: usize = 32 << 10;
const PEM_LINE_LEN: usize = 64;
const CERTIFICATES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_whole_sequence_is_a_certificate() {
        let long = [&[0x30, 0x82, 0x01, 0x00][..], &[0; 256]].concat();
        assert!(is_one_sequence(&[0x30, 0]) && is_one_sequence(&[0x30, 1, 5]) && is_one_sequence(&long));
        for bad in [
            &[][..],
            &[0x30],
            &[0x31, 0],
            &[0x30, 2, 5],
            &[0x30, 0, 0],
            &[0x30, 0x80],
            &[0x30, 0x81, 1, 5],
            &long[..259],
            &[0x30, 0x84, 0, 0, 0, 0],
        ] {
            assert!(!is_one_sequence(bad), "{bad:?}");
        }
    }
}
