//! What a gate answers, and what it asks for first.

use crate::path::PathError;
use crate::shelf::Wanted;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use latchkey_core::{ExpiryMinute, Generation, IdentityId, KeyError, KeyId, Permission, Role};
use latchkey_snapshot::head::Reason;
use latchkey_snapshot::{Binding, Forwarding, Rate, TokenError};

/// One step of a request's loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The answer.
    Answer(Verdict),
    /// Something that must be tried first; then decide again.
    Ask(Ask),
}

/// What a gate wants tried before it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A look at the head, within [`crate::HEAD_BUDGET_MS`].
    Head(HeadAsk),
    /// These immutable objects, each once. Whoever fetches one of them for another request already is waited for.
    Objects(Vec<Wanted>),
    /// What the request's body says in the field with this name: see [`crate::find_text`]. The next [`crate::Request`]
    /// says it in its `body`.
    Body(String),
}

/// Who looks at the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadAsk {
    /// This request; [`crate::Gate::ask_ended`] must follow.
    Start,
    /// Another request is at it: wait for that one, if it is still there, and start nothing.
    Join,
}

/// An answer and how old the knowledge behind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub outcome: Outcome,
    /// What it rests on; `None` when it needed no snapshot, or there is none.
    pub standing: Option<Standing>,
    /// The rule that it was judged by, if one was found.
    pub matched: Option<Matched>,
    /// Who proved to be there, let in or not. For logs: a client is told no more than its refusal says.
    pub proven: Option<Proven>,
}

/// Who proved to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Who.
    pub subject: Subject,
    /// Their role, as far as it was looked at.
    pub role: Option<Role>,
}

/// The rule that a request fell under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Its place in the manifest, counted from 0.
    pub rule: u16,
    /// What becomes of the credential if the request goes on. In a shadow it is always kept.
    pub forwarding: Forwarding,
    /// Whether the route is in shadow, so that nothing is refused on it.
    pub is_in_shadow: bool,
}

/// How old the knowledge behind an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The newest change that the gate knew.
    pub generation: Generation,
    /// Milliseconds since the control plane confirmed that this was all.
    pub age_ms: u64,
    /// Whether that is longer than the promise: the answer carries `Latchkey-Stale`.
    pub stale: bool,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may.
    Allow(Grant),
    /// It goes on without anybody being asked for, and nobody is named to the origin.
    Pass(Pass),
    /// It may not.
    Refuse(Refusal),
}

/// Why a request goes on though nobody was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The route is public.
    Public,
    /// The route is in shadow: this is how it would be refused.
    Shadow(Refusal),
}

/// Who was let in, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub subject: Subject,
    /// The project, its organization, the caller's role there and what they may do.
    pub binding: Binding,
    /// From when on the key is refused, if ever; `None` for a session, whose tokens are short-lived.
    pub expiry: Option<ExpiryMinute>,
    /// The permission that the route needed; `None` for `whoami`.
    pub permission: Option<Permission>,
    /// How many requests a minute it may make: the shell's to count (K7).
    pub rate: Option<Rate>,
}

/// Who was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An API key, by its public id.
    Key(KeyId),
    /// A person or service account, through a session.
    Session(IdentityId),
}

/// Why a request is refused. [`Refusal::code`] is for the client; what the variants hold beyond it is for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request's path is not canonical.
    BadRequest(PathError),
    /// The request does not say well which project is meant.
    ProjectHeader(ProjectHeader),
    /// The request does not name, where the route looks for it and just once, what the route is about.
    Unnamed(Unnamed),
    /// No credential was proven. The client is told no more than that (R1).
    Unauthenticated(Unproven),
    /// The credential was proven, and is out of force for this reason.
    OutOfForce(Reason),
    /// There is no such thing, or the caller may not know of it. The client is told no more than that (R2).
    NotFound(Absent),
    /// The caller lacks this permission.
    Forbidden(Permission),
    /// The project is archived or its organization suspended, and the caller is one of its collaborators.
    Suspended,
    /// The key is narrowed to others of these (K7).
    Narrowed(Narrowed),
    /// The key is narrowed to other client networks (K7).
    NetworkNotAllowed,
    /// The route takes another kind of credential.
    CredentialKind,
    /// Only a key can be told who it is (K11).
    KeyNeeded,
    /// The budget of the key, its project or its organization is spent, and this would cost money (B2).
    BudgetExhausted,
    /// The key has made its requests of this minute (K7). Said by the shell, which counts.
    RateLimited,
    /// The gate cannot tell now.
    Unavailable(Unavailable),
}

/// What is wrong with the `Latchkey-Project` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectHeader {
    /// A session has no project of its own, and neither path nor header names one.
    Missing,
    /// There are several.
    Several,
}

/// What a request does not name well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnamed {
    /// The project.
    Project,
    /// The resource.
    Resource,
    /// Something that readers of its query could take for different things.
    Query,
}

/// What a key is narrowed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Narrowed {
    /// Resources.
    Resource,
    /// Models.
    Model,
    /// Models, and the body does not say which one is used.
    ModelUnseen,
}

/// Why no credential was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// There was no `Authorization` header.
    Missing,
    /// There were several.
    Several,
    /// It was not `Bearer`, one space and a token.
    Scheme,
    /// The token is no key of this installation.
    Malformed(KeyError),
    /// The text begins like a session's token and is none that counts.
    Token(TokenError),
    /// No key has this text.
    Unknown,
    /// The text has a mint check that was never minted here.
    MadeUp,
}

/// Why there is nothing for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// No rule has this method and path.
    Route,
    /// No project has this name, or the key is of another one.
    Project,
    /// The project has no such resource.
    Resource,
}

/// Why a gate cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// It has no verified snapshot yet.
    NoSnapshot,
    /// What it has is older than the stale policy allows.
    PastGrace,
    /// An object that the answer needs is out of reach.
    OutOfReach,
    /// What it has does not answer as its own canaries say.
    Quarantined,
    /// The generation that the client waits for has not arrived.
    GenerationNotReached,
    /// The route needs knowledge at most a second old.
    NotFresh,
    /// The credential may exist, but what the gate has is too old to tell.
    StaleUnknown,
    /// The key has a rate, and the shell has nothing to count it with. Said by the shell.
    RateUnenforceable,
}

/// The classes of answers; the shell turns them into status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The request itself is wrong.
    BadRequest,
    /// No credential in force.
    Unauthenticated,
    /// Not without money.
    PaymentRequired,
    /// Not permitted.
    Forbidden,
    /// Nothing there for the caller.
    NotFound,
    /// Too many of them.
    TooMany,
    /// Not to be told now.
    Unavailable,
}

impl Refusal {
    /// The class of the answer.
    pub const fn class(self) -> Class {
        match self {
            Self::BadRequest(_) | Self::ProjectHeader(_) | Self::Unnamed(_) => Class::BadRequest,
            Self::Unauthenticated(_) | Self::OutOfForce(_) => Class::Unauthenticated,
            Self::Forbidden(_)
            | Self::Suspended
            | Self::Narrowed(_)
            | Self::NetworkNotAllowed
            | Self::CredentialKind
            | Self::KeyNeeded => Class::Forbidden,
            Self::BudgetExhausted => Class::PaymentRequired,
            Self::RateLimited => Class::TooMany,
            Self::NotFound(_) => Class::NotFound,
            Self::Unavailable(_) => Class::Unavailable,
        }
    }

    /// The stable code that the client is told (R3), and no more than R1 and R2 allow.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadRequest(error) => error.code(),
            Self::Unauthenticated(_) => "unauthenticated",
            Self::OutOfForce(reason) => reason.as_str(),
            Self::NotFound(_) => "not_found",
            Self::Forbidden(_) => "permission_denied",
            Self::ProjectHeader(ProjectHeader::Missing) => "project_header_missing",
            Self::ProjectHeader(ProjectHeader::Several) => "project_header_several",
            Self::Unnamed(Unnamed::Project) => "project_unnamed",
            Self::Unnamed(Unnamed::Resource) => "resource_unnamed",
            Self::Unnamed(Unnamed::Query) => "query_ambiguous",
            Self::Suspended => Reason::Suspended.as_str(),
            Self::Narrowed(_) => "narrowed",
            Self::NetworkNotAllowed => "network_not_allowed",
            Self::CredentialKind => "credential_kind",
            Self::KeyNeeded => "key_needed",
            Self::BudgetExhausted => "budget_exhausted",
            Self::RateLimited => "rate_limited",
            Self::Unavailable(unavailable) => unavailable.code(),
        }
    }

    /// The code for logs and counters: [`Refusal::code`], with what the client is not told.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::Unauthenticated(unproven) => unproven.cause(),
            Self::NotFound(Absent::Route) => "absent_route",
            Self::NotFound(Absent::Project) => "absent_project",
            Self::NotFound(Absent::Resource) => "absent_resource",
            Self::Suspended => "session_suspended",
            Self::Narrowed(Narrowed::Resource) => "narrowed_resource",
            Self::Narrowed(Narrowed::Model) => "narrowed_model",
            Self::Narrowed(Narrowed::ModelUnseen) => "narrowed_model_unseen",
            other => other.code(),
        }
    }

    /// After how many seconds it is worth trying again, if waiting helps.
    pub const fn retry_after_secs(self) -> Option<u32> {
        match self {
            Self::Unavailable(_) => Some(RETRY_AFTER_SECS),
            Self::RateLimited => Some(RATE_RETRY_AFTER_SECS),
            _ => None,
        }
    }
}

impl Unproven {
    const fn cause(self) -> &'static str {
        match self {
            Self::Missing => "credential_missing",
            Self::Several => "credential_several",
            Self::Scheme => "credential_scheme",
            Self::Malformed(_) => "credential_malformed",
            Self::Token(TokenError::Signer | TokenError::Signature | TokenError::Ahead) => "token_unproven",
            Self::Token(_) => "token_malformed",
            Self::Unknown => "credential_unknown",
            Self::MadeUp => "credential_made_up",
        }
    }
}

impl Unavailable {
    const fn code(self) -> &'static str {
        match self {
            Self::NoSnapshot => "no_snapshot",
            Self::PastGrace => "snapshot_too_old",
            Self::OutOfReach => "data_out_of_reach",
            Self::Quarantined => "snapshot_quarantined",
            Self::GenerationNotReached => "generation_not_reached",
            Self::NotFresh => "not_fresh",
            Self::StaleUnknown => "stale_unknown",
            Self::RateUnenforceable => "rate_unenforceable",
        }
    }
}

const RETRY_AFTER_SECS: u32 = 1;
/// Rates are counted by the minute.
const RATE_RETRY_AFTER_SECS: u32 = 60;

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRequest(error) => error.fmt(f),
            Self::Unauthenticated(_) => f.write_str("no valid credential was given"),
            Self::OutOfForce(reason) => write!(f, "the credential is {}", reason.as_str()),
            Self::NotFound(_) => f.write_str("there is nothing here"),
            Self::Forbidden(permission) => write!(f, "the credential lacks the permission `{permission}`"),
            Self::ProjectHeader(ProjectHeader::Missing) => {
                f.write_str("a session names its project in the path or in the header `Latchkey-Project`")
            }
            Self::ProjectHeader(ProjectHeader::Several) => {
                f.write_str("the header `Latchkey-Project` stands more than once")
            }
            Self::Unnamed(Unnamed::Project) => f.write_str("the request does not name its project, or not once"),
            Self::Unnamed(Unnamed::Resource) => f.write_str("the request does not name its resource, or not once"),
            Self::Unnamed(Unnamed::Query) => {
                f.write_str("the query names something twice, or so that it can be read in two ways")
            }
            Self::Suspended => f.write_str("the organization is suspended or the project archived"),
            Self::Narrowed(Narrowed::Resource) => f.write_str("the key is narrowed to other resources"),
            Self::Narrowed(Narrowed::Model) => f.write_str("the key is narrowed to other models"),
            Self::Narrowed(Narrowed::ModelUnseen) => f.write_str(
                "the key is narrowed to models, and the body does not name one, once, in its first 65,536 bytes",
            ),
            Self::NetworkNotAllowed => f.write_str("the key is narrowed to other client networks"),
            Self::CredentialKind => f.write_str("this route does not take this kind of credential"),
            Self::KeyNeeded => f.write_str("only an API key can ask this"),
            Self::BudgetExhausted => {
                f.write_str("the budget of the key, its project or its organization is exhausted")
            }
            Self::RateLimited => f.write_str("the key has made all the requests it may make a minute"),
            Self::Unavailable(unavailable) => f.write_str(match unavailable {
                Unavailable::NoSnapshot => "the edge has no snapshot yet",
                Unavailable::PastGrace => "the edge's snapshot is too old",
                Unavailable::OutOfReach => "a part of the edge's snapshot is out of reach",
                Unavailable::Quarantined => "the edge's snapshot is not believed",
                Unavailable::GenerationNotReached => "the edge has not reached that generation yet",
                Unavailable::NotFresh => "the edge's snapshot is too old for this route",
                Unavailable::StaleUnknown => "the edge's snapshot is too old to know this credential",
                Unavailable::RateUnenforceable => "the edge cannot count the key's rate",
            }),
        }
    }
}

/// One of each refusal that has a cause of its own.
#[cfg(test)]
pub(crate) fn every_refusal() -> impl Iterator<Item = Refusal> {
    let unproven = [
        Unproven::Missing,
        Unproven::Several,
        Unproven::Scheme,
        Unproven::Malformed(KeyError::Length),
        Unproven::Token(TokenError::Length),
        Unproven::Token(TokenError::Signature),
        Unproven::Unknown,
        Unproven::MadeUp,
    ];
    let reasons = [Reason::Expired, Reason::Revoked, Reason::Disabled, Reason::Suspended];
    let absent = [Absent::Route, Absent::Project, Absent::Resource];
    let unavailable = [
        Unavailable::NoSnapshot,
        Unavailable::PastGrace,
        Unavailable::OutOfReach,
        Unavailable::Quarantined,
        Unavailable::GenerationNotReached,
        Unavailable::NotFresh,
        Unavailable::StaleUnknown,
        Unavailable::RateUnenforceable,
    ];
    let others = [
        Refusal::ProjectHeader(ProjectHeader::Missing),
        Refusal::ProjectHeader(ProjectHeader::Several),
        Refusal::Unnamed(Unnamed::Project),
        Refusal::Unnamed(Unnamed::Resource),
        Refusal::Unnamed(Unnamed::Query),
        Refusal::Forbidden(Permission::FilesRead),
        Refusal::Suspended,
        Refusal::Narrowed(Narrowed::Resource),
        Refusal::Narrowed(Narrowed::Model),
        Refusal::Narrowed(Narrowed::ModelUnseen),
        Refusal::NetworkNotAllowed,
        Refusal::CredentialKind,
        Refusal::KeyNeeded,
        Refusal::BudgetExhausted,
        Refusal::RateLimited,
    ];
    let paths = PathError::ALL.map(Refusal::BadRequest);
    unproven
        .map(Refusal::Unauthenticated)
        .into_iter()
        .chain(reasons.map(Refusal::OutOfForce))
        .chain(absent.map(Refusal::NotFound))
        .chain(unavailable.map(Refusal::Unavailable))
        .chain(others)
        .chain(paths)
}
