//! Errors: RFC 9457 bodies with a stable `code` (IAM R3).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $title:literal;)*) => {
        /// What went wrong, as a word that never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The word in the body.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The sentence that goes with it.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    /// No credential, an unknown or a malformed one: one body for all (IAM R1).
    Unauthenticated = "unauthenticated", "a valid credential is needed";
    /// The credential was genuine and has run out.
    Expired = "expired", "the credential has expired";
    /// The credential was genuine and was revoked.
    Revoked = "revoked", "the credential was revoked";
    /// There is nothing here that the caller may know of (IAM R2).
    NotFound = "not_found", "there is nothing here";
    /// The caller may know of it and lacks the named permission (IAM R2).
    Forbidden = "forbidden", "the caller lacks a permission";
    /// The organization is suspended (IAM O6), or, to a key, its project archived.
    Suspended = "suspended", "the organization is suspended";
    /// The key is switched off (IAM K5).
    Disabled = "disabled", "the key is disabled";
    /// The project is archived (IAM J10).
    Archived = "archived", "the project is archived";
    /// The owner cannot be removed or demoted, and cannot leave (IAM O3).
    Owner = "owner", "the owner cannot be removed, demoted, or leave";
    /// There would be no admin left (IAM M9).
    LastAdmin = "last_admin", "the last admin cannot be removed or demoted";
    /// They are a member already.
    AlreadyMember = "already_member", "they are a member already";
    /// They take part in the project already.
    AlreadyCollaborator = "already_collaborator", "they take part in the project already";
    /// They were removed from the organization (IAM M7, X6).
    Removed = "removed", "only an organization admin lets them in again";
    /// The organization's people join by single sign-on (IAM M1).
    SsoOrganization = "sso_organization", "the organization's people join by single sign-on";
    /// The invitation cannot be accepted any more (IAM M2).
    InvitationClosed = "invitation_closed", "the invitation is no longer open";
    /// There is an open invitation to the address already; it can be sent again.
    AlreadyInvited = "already_invited", "there is an open invitation to this address";
    /// There is an offer of the ownership already (IAM O3a).
    OfferOpen = "offer_open", "there is an offer of the ownership already";
    /// The Default Project stays open, joined and there (IAM J7).
    DefaultProject = "default_project", "this cannot be done to the Default Project";
    /// The project takes no external collaborators (IAM X1).
    ExternalsOff = "externals_off", "the project takes no external collaborators";
    /// An organization admin is a project's admin while that lasts (IAM J5, X6).
    OrganizationAdmin = "organization_admin", "an organization admin stays the project's admin";
    /// The project is not archived (IAM J10).
    NotArchived = "not_archived", "the project must be archived first";
    /// A restore holds it until an operator confirms it.
    HeldByRestore = "held_by_restore", "a restore holds this until an operator confirms it";
    /// Importing keys is not open for the organization (IAM K9).
    ImportClosed = "import_closed", "the operator has not opened the import of keys";
    /// A digest of the batch was imported before (IAM K9).
    DigestTaken = "digest_taken", "a digest was imported before";
    /// The key has a successor already (IAM K8).
    KeyRotated = "key_rotated", "the key was rotated before";
    /// The cluster has no such way in (IAM P3).
    ClusterAccess = "cluster_access", "the cluster has no such way in";
    /// A line of the batch has nothing it could count for (IAM B3).
    UsageUncountable = "usage_uncountable", "a line of the batch has nothing it could count for";
    /// The batch was counted or discarded before (IAM B3).
    UsageSettled = "usage_settled", "the batch was counted or discarded before";
    /// The key has expired; one that has cannot be rotated (IAM K8).
    KeyExpired = "key_expired", "the key has expired";
    /// Only an API key is told who it is (IAM K11).
    KeyNeeded = "key_needed", "an API key is needed here";
    /// The key is narrowed to other client networks (IAM K7).
    NetworkNotAllowed = "network_not_allowed", "the key may not be used from this network";
    /// What was asked is so already.
    NothingToDo = "nothing_to_do", "that is so already";
    /// The server has no file of route rules.
    NoRulesFile = "no_rules_file", "the server has no file of route rules";
    /// The server's file of route rules is wrong; those in force stay.
    RulesRefused = "rules_refused", "the server's file of route rules is wrong, and those in force stay";
    /// Signing people in by an operator is switched off in this installation.
    OperatorSignInOff = "operator_sign_in_off", "signing in by an operator is switched off";
    /// This control plane has no key to sign tokens for edges with.
    EdgeTokensOff = "edge_tokens_off", "tokens for edges are switched off";
    /// The path exists, with other methods.
    MethodNotAllowed = "method_not_allowed", "the method is not allowed here";
    /// The body is not JSON, or not UTF-8.
    InvalidJson = "invalid_json", "the body is not JSON";
    /// A body that is not declared as JSON.
    UnsupportedMediaType = "unsupported_media_type", "the body must be `application/json`";
    /// The body is larger than this route takes.
    BodyTooLarge = "body_too_large", "the body is too large";
    /// A field that does not exist, is missing, or has a value it cannot have.
    InvalidField = "invalid_field", "a field is wrong";
    /// A query parameter that does not exist or has a value it cannot have.
    InvalidQuery = "invalid_query", "a query parameter is wrong";
    /// The body is given to a route that takes none.
    UnexpectedBody = "unexpected_body", "this route takes no body";
    /// A header that this API reads has a value it cannot have.
    InvalidHeader = "invalid_header", "a header is wrong";
    /// The same `Idempotency-Key` came with another body or query before.
    IdempotencyMismatch = "idempotency_mismatch", "the idempotency key was used for something else";
    /// The thing is not, or no longer, as `If-Match` says.
    PreconditionFailed = "precondition_failed", "the thing is not as `If-Match` says";
    /// Too many requests with this credential, or too many without a valid one from this address.
    RateLimited = "rate_limited", "too many requests";
    /// As many as may wait for something to happen wait already.
    TooManyWaits = "too_many_waits", "too many requests wait already";
    /// The body did not arrive in time.
    BodyTimeout = "body_timeout", "the body did not arrive in time";
    /// The request took too long; whether the change was made is not known.
    TimedOut = "timed_out", "it took too long, and whether a change was made is not known";
    /// The slug is taken (IAM J3).
    SlugTaken = "slug_taken", "the slug is taken";
    /// The resource's type and id were used before (IAM G1).
    ResourceTaken = "resource_taken", "the resource's type and id were used before";
    /// The key is revoked, and revocation is final (IAM K5).
    KeyRevoked = "key_revoked", "the key is revoked for good";
    /// The storage failed; whether the change was made is not known.
    StorageFailed = "storage_failed", "the storage failed, and whether the change was made is not known";
    /// Publishing needs an operator: `GET /v1/operator/publish` says why.
    PublishingFailed = "publishing_failed", "changes do not reach the edges as they should";
    /// Our own mistake.
    Internal = "internal", "something went wrong on our side";
}

/// The body of every error, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `urn:latchkey:problem:<code>`
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's sentence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable word.
    pub code: Code,
    /// What was wrong this time, for a person; never a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The path of the field that is wrong, like `keys[3].name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The permission that the caller lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
}

impl Problem {
    /// The bare problem of a code.
    pub fn new(code: Code, status: u16) -> Self {
        Self {
            kind: format!("urn:latchkey:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status,
            code,
            detail: None,
            field: None,
            permission: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_its_word() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
