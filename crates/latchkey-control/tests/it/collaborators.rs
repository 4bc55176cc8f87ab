//! Collaborators.
