//! The JSON bodies and error codes of the HTTP API under `/v1`; the only serde types of the control plane.
//!
//! A request refuses every field it does not know (IAM R4). A reply can be read back, so clients share these
//! types. Nothing here decides anything: values are parsed further where they are used. Start at [`key`].

pub mod audit;
pub mod budget;
pub mod collaborator;
pub mod day;
pub mod explain;
pub mod identity;
pub mod invitation;
pub mod key;
pub mod leak;
pub mod member;
pub mod narrowing;
pub mod notice;
mod nullable;
pub mod organization;
pub mod ownership;
pub mod page;
pub mod problem;
pub mod project;
pub mod publishing;
pub mod ready;
pub mod resource;
pub mod restore;
pub mod revealed;
pub mod role;
pub mod rule_set;
pub mod service_account;
pub mod settings;
pub mod timestamp;
pub mod usage;
pub mod whoami;

pub use audit::{AuditExportQuery, AuditProof, AuditProofQuery, AuditQuery, AuditRecord};
pub use budget::{Budget, BudgetPeriod, SetBudget};
pub use collaborator::{
    AddCollaborator, AddedCollaborator, ChangeCollaborator, Collaborator, CollaboratorKey,
    RemoveCollaboratorQuery, RemovedCollaborator,
};
pub use day::Day;
pub use explain::{Explain, ExplainCaller, ExplainResource, ExplainStep, Explanation};
pub use identity::{
    CreateSession, CreatedSession, EdgeToken, Me, RevokeSessions, Session, SessionList, SignInIdentity,
};
pub use invitation::{
    AcceptInvitation, AcceptedInvitation, CreateInvitation, CreatedInvitation, Invitation, InvitationStatus,
    MyInvitation, MyInvitations,
};
pub use key::{
    ChangeKey, CreateKey, CreateKeys, CreatedKey, CreatedKeys, ImportKey, ImportKeys, ImportedKeys, Key,
    KeyStatus, RotateKey, RotatedKey,
};
pub use leak::{LeakReported, ReportLeak};
pub use member::{ChangeMember, Departure, Member, MemberKind};
pub use narrowing::Narrowing;
pub use notice::{Notice, NoticeKind};
pub use organization::{ChangeOrganization, CreateOrganization, CreatedOrganization, Organization};
pub use ownership::{OfferOwnership, Ownership, OwnershipOffer};
pub use page::{Page, PageQuery};
pub use problem::{Code, Problem};
pub use project::{
    ChangeProjectSettings, Collaboration, CreateProject, DeleteProject, Project, ProjectSettings,
    SwitchExternal, Visibility,
};
pub use publishing::{
    GateHeadQuery, PublishHold, PublishQuery, Publishing, PublishingEdges, PublishingKey, PublishingReport,
    PublishingSink, PublishingWait,
};
pub use ready::Ready;
pub use resource::{
    ChangeResource, Cluster, ClusterLogin, ClusterOidc, KubeconfigKind, KubeconfigQuery, RegisterResource,
    RegisterResources, RegisteredResources, Resource, ResourceQuery, ResourceType,
};
pub use restore::{ConfirmRestore, ConfirmedRestore, HeldQuery, HeldReason, HeldThing};
pub use revealed::Revealed;
pub use role::Role;
pub use rule_set::{RuleSet, RuleSetText};
pub use service_account::{
    CreateServiceAccount, CreatedServiceAccount, RotateServiceToken, ServiceAccount, ServiceToken,
};
pub use settings::{
    ChangeKeyPolicy, ChangeOrganizationSettings, JoinMethod, KeyPolicy, OrganizationSettings,
};
pub use timestamp::Timestamp;
pub use usage::{
    CreateUsageToken, CreatedUsageToken, Prices, ReportUsage, ReportedUsage, Usage, UsageAmount, UsageBatch,
    UsageBatchDetail, UsageBatchStatus, UsageFormat, UsageLine, UsageQuery, UsageRow, UsageSubject,
    UsageToken, UsageTokenList,
};
pub use whoami::Whoami;
