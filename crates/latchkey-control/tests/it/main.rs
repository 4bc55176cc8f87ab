//! One binary for the control plane's tests through its router and its store.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod audit;
mod bodies;
mod budgets;
mod clusters;
mod collaborators;
mod edge_tokens;
mod explain;
mod externals;
mod house;
mod imports;
mod key_policies;
mod keys;
mod leaks;
mod limits;
mod manners;
mod narrowing;
mod notices;
mod openapi;
mod organizations;
mod project_invitations;
mod projects;
mod races;
mod refusals;
mod reports;
mod resources;
mod rotation;
mod secrets;
mod store;
mod usage;
mod usage_stage;
mod whoami;
