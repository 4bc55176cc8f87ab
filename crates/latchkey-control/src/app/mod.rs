//! Use cases: a file a noun, a function a verb. The only place that checks permission (invariant 4).
//!
//! [`Control`] runs them: a read on a committed view, a write in the store's writer. Either way the function gets
//! an [`Ask`], which exists only once the caller is identified, in the same view that decides.

pub mod acceptance;
pub mod ask;
pub mod audit;
pub mod backups;
mod books;
pub mod budgets;
pub mod caretaker;
pub mod clusters;
pub mod collaborators;
pub mod error;
pub mod explain;
mod fields;
pub mod imports;
pub mod invitations;
pub mod keys;
mod kubeconfig;
pub mod leaks;
pub mod manners;
pub mod me;
pub mod members;
mod mint;
mod narrowing;
pub mod notices;
pub mod operators;
pub mod organizations;
pub mod ownership;
mod pages;
mod people;
pub mod prices;
pub mod project_invitations;
pub mod projects;
pub mod publishing;
mod render;
pub mod reports;
pub mod resources;
pub mod restore;
pub mod rules;
pub mod service_accounts;
pub mod sessions;
pub mod settings;
pub mod usage;
pub mod usage_tokens;
pub mod whoami;

pub use ask::{Ask, Asker};
pub use error::{AppError, Conflict, Ended};
pub use manners::{Answered, Manners};
pub use rules::RulesDesk;

use crate::outside::Clock;
use crate::publish::{Gates, PublishStatus};
use crate::store::{Committed, Store, View, Write};
use crate::tlog::CheckpointSigner;
use latchkey_core::generation::GenerationToken;
use latchkey_core::{Dice, Generation, GenerationSecret, MintSecret, Prefix};
use latchkey_snapshot::Installation;
use latchkey_snapshot::build::Signer;
use manners::Instead;
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::watch;

/// What the operator chose for this installation.
#[derive(Debug, Clone)]
pub struct ControlConfig {
    /// What every key begins with.
    pub prefix: Prefix,
    /// Whether operators may sign people in. For set-up and tests: it makes an operator everybody.
    pub operator_sign_in: bool,
    /// Requests that one line of reported usage may say without being held (B3).
    pub usage_line_requests_max: u64,
}

/// What one line of reported usage may say, unless the operator chooses otherwise.
pub const USAGE_LINE_REQUESTS_MAX: u64 = 100_000_000;

impl ControlConfig {
    /// What there is unless the operator chooses otherwise.
    pub const fn new(prefix: Prefix) -> Self {
        Self { prefix, operator_sign_in: false, usage_line_requests_max: USAGE_LINE_REQUESTS_MAX }
    }
}

/// The control plane: its state, its clock, its secrets, its configuration.
#[derive(Debug)]
pub struct Control {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    minting: Minting,
    audit: CheckpointSigner,
    generation_secret: GenerationSecret,
    edge_tokens: Option<EdgeTokens>,
    publishing: watch::Receiver<PublishStatus>,
    gates: Option<Arc<Gates>>,
    rules: Option<RulesDesk>,
    config: ControlConfig,
    backup_slot: backups::BackupSlot,
}

/// What it takes to make the tokens by which sessions are known at edges.
#[derive(Debug, Clone)]
pub struct EdgeTokens {
    /// The installation whose edges take them.
    pub installation: Installation,
    /// Signs them; it may be replaced at any time.
    pub signer: watch::Receiver<Signer>,
}

impl EdgeTokens {
    /// Tokens of one signer that is never replaced.
    pub fn fixed(installation: Installation, signer: Signer) -> Self {
        Self { installation, signer: watch::Sender::new(signer).subscribe() }
    }
}

/// What it takes to make a key's text.
#[derive(Debug, Clone)]
pub struct Minting {
    /// What every key begins with.
    pub prefix: Prefix,
    /// Keys the mint check.
    pub secret: MintSecret,
}

impl std::fmt::Debug for dyn Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Control {
    /// A control plane on this store. `audit` signs the checkpoints of its log.
    pub fn new(
        store: impl Into<Arc<Store>>,
        clock: Arc<dyn Clock>,
        mint: MintSecret,
        audit: CheckpointSigner,
        config: ControlConfig,
    ) -> Self {
        let generation_secret = mint.generation_secret();
        Self {
            store: store.into(),
            clock,
            minting: Minting { prefix: config.prefix, secret: mint },
            audit,
            generation_secret,
            edge_tokens: None,
            // Nobody publishes: nothing is reached, and nothing is wrong.
            publishing: watch::Sender::new(PublishStatus::default()).subscribe(),
            gates: None,
            rules: None,
            config,
            backup_slot: backups::BackupSlot::default(),
        }
    }

    /// The control plane that tells how far publishing has come.
    #[must_use]
    pub fn with_publishing(self, publishing: watch::Receiver<PublishStatus>) -> Self {
        Self { publishing, ..self }
    }

    /// The control plane that native gates read from.
    #[must_use]
    pub fn with_gates(self, gates: Arc<Gates>) -> Self {
        Self { gates: Some(gates), ..self }
    }

    /// The control plane that can read the route rules again.
    #[must_use]
    pub fn with_rules(self, rules: RulesDesk) -> Self {
        Self { rules: Some(rules), ..self }
    }

    /// Where the route rules are read, if they are here.
    pub const fn rules(&self) -> Option<&RulesDesk> {
        self.rules.as_ref()
    }

    /// What native gates read, if they may here.
    pub const fn gates(&self) -> Option<&Arc<Gates>> {
        self.gates.as_ref()
    }

    /// How far publishing has come, as it changes.
    pub fn publishing(&self) -> watch::Receiver<PublishStatus> {
        self.publishing.clone()
    }

    /// The generation that a client's token names; `None` if it was not made here.
    pub fn generation(&self, token: &str) -> Option<Generation> {
        Generation::from_token(token.as_bytes(), &self.generation_secret)
    }

    /// The control plane that also hands out tokens for edges.
    #[must_use]
    pub fn with_edge_tokens(self, edge_tokens: EdgeTokens) -> Self {
        Self { edge_tokens: Some(edge_tokens), ..self }
    }

    /// What it takes to make tokens for edges, if this control plane may.
    pub const fn edge_tokens(&self) -> Option<&EdgeTokens> {
        self.edge_tokens.as_ref()
    }

    /// The store, for the publisher.
    pub const fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The operator's choices.
    pub const fn config(&self) -> &ControlConfig {
        &self.config
    }

    /// What it takes to make a key's text.
    pub const fn minting(&self) -> &Minting {
        &self.minting
    }

    /// Signs the audit log's checkpoints.
    pub const fn audit(&self) -> &CheckpointSigner {
        &self.audit
    }

    /// The token by which a client waits for a generation.
    pub fn generation_token(&self, generation: Generation) -> GenerationToken {
        generation.token(&self.generation_secret)
    }

    /// Answers a question from the committed state.
    ///
    /// # Errors
    /// The use case's, and those of identifying the caller.
    pub fn read<R>(
        &self,
        asker: &Asker,
        look: impl FnOnce(&Ask) -> Result<R, AppError>,
    ) -> Result<R, AppError> {
        let view = self.store.read()?;
        look(&Ask::identify(&view, self.clock.now(), asker)?)
    }

    /// Lets a use case decide in the writer; the answer comes once its change is durable. What the asker wishes
    /// beside it (do it once, only if it is unchanged, do not do it) is seen to here.
    ///
    /// # Errors
    /// The use case's, those of identifying the caller, [`AppError::IdempotencyMismatch`],
    /// [`AppError::PreconditionFailed`].
    pub async fn write<R: Serialize + Send + 'static>(
        &self,
        asker: &Asker,
        decide: impl Fn(&Ask, &mut Dice) -> Result<Write<R>, AppError> + Send + 'static,
    ) -> Result<Answered<R>, AppError> {
        let (asker, is_dry_run) = (asker.clone(), asker.manners().is_dry_run);
        let decide = move |view: &dyn View, ctx: &mut crate::store::Ctx| {
            let ask = Ask::identify(view, ctx.now, &asker)?;
            asker.manners().decide(&ask, &mut ctx.dice, &decide)
        };
        let instead = if is_dry_run {
            match self.store.rehearse(self.clock.now(), decide) {
                Ok(reply) => return Ok(Answered::Rehearsed(manners::veiled(&reply)?)),
                Err(instead) => instead,
            }
        } else {
            match self.store.write(decide).await {
                Ok(Committed { reply, generation }) => return Ok(Answered::Done(reply, generation)),
                Err(instead) => instead,
            }
        };
        match instead {
            Instead::Replayed(replay) => Ok(Answered::Replayed(replay.reply, replay.generation)),
            Instead::Refused(error) => Err(error),
        }
    }

    /// Whether the state can be read, and nobody has to look after publishing: what `/readyz` asks.
    ///
    /// # Errors
    /// The store's, [`AppError::PublishingFailed`].
    pub fn check_ready(&self) -> Result<Generation, AppError> {
        let generation = self.store.read()?.generation()?;
        let is_faulty = self.publishing.borrow().fault().is_some();
        if is_faulty { Err(AppError::PublishingFailed) } else { Ok(generation) }
    }
}
