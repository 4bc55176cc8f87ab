//! The rules of IAM.md: nouns, what may happen to them, and who may do it. No I/O, no clock, no dice of its own.
//!
//! Start at [`permit`]: [`authorize`] turns a [`Caller`] and facts about them into a [`Permit`] or a [`Denied`].

pub mod caller;
pub mod explain;
pub mod held;
pub mod invitation;
pub mod key;
pub mod narrowing;
pub mod notice;
pub mod organization;
pub mod permit;
pub mod person;
pub mod project;
pub mod resource;
pub mod rule_set;
pub mod session;
pub mod text;
pub mod token;
pub mod usage;

pub use caller::{Actor, Caller};
pub use held::{Held, HeldPlace, HeldReason, HeldThing};
pub use invitation::{Invitation, InvitationOutcome, InvitedInto};
pub use key::{Key, KeyProof, KeyState};
pub use narrowing::Narrowing;
pub use notice::{Notice, NoticeKind};
pub use organization::{
    Departure, JoinMethod, KeyPolicy, Membership, Organization, OwnershipOffer, Settings,
};
pub use permit::{
    Demand, Denied, OperatorAct, Permit, Scope, Standing, authorize, authorize_first_operator,
    authorize_leak_report, authorize_upkeep,
};
pub use person::{Contact, Identity, User};
pub use project::{Collaboration, Project, SlugHolder, Visibility};
pub use resource::{Cluster, ClusterLogin, ClusterOidc, Resource, ResourceDetail};
pub use rule_set::RuleSet;
pub use session::{OperatorToken, Session, UsageToken};
pub use text::{Email, Name, TextError};
pub use token::{PlainToken, TokenDigest, TokenKind};
pub use usage::{
    Amount, BatchOutcome, Budget, BudgetPeriod, BudgetScope, Doubt, Named, ReportedSubject, UsageBatch,
    UsageLine, UsagePlace, UsageSubject,
};
