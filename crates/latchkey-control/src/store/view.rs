//! Typed reads, noun by noun: all that a use case sees of the store.
//!
//! The same reads work on the committed state and, inside the writer, on the state as earlier changes of the
//! same batch left it. A list takes the last item the caller has (`after`) and how many more are wanted.

use super::audit::AuditView;
use super::error::StoreError;
use super::held::held_place;
use super::images::{budget_place, subject};
use super::replays::Replay;
use super::rows::{Row, decode};
use super::tables::{Tables, counter};
use crate::iam::{
    Amount, Budget, BudgetScope, Collaboration, Departure, Email, Held, HeldPlace, Identity, Invitation, Key,
    Membership, Notice, OperatorToken, Organization, OwnershipOffer, Project, Resource, RuleSet, Session,
    SlugHolder, TokenDigest, UsageBatch, UsagePlace, UsageToken, User,
};
use latchkey_core::{
    Generation, IdentityId, ImportedDigest, InvitationId, KeyId, OrganizationId, OrganizationNumber,
    Permission, ProjectId, ProjectNumber, ResourceType, SessionId, Slug, UnixMillis, UserId,
};
use redb::{AccessGuard, ReadableTable};
use std::ops::{Bound, ControlFlow};

/// What a read may answer.
pub type Answer<T> = Result<T, StoreError>;

/// Where a key stands in the list of its project.
pub type KeyPlace = (UnixMillis, KeyId);

/// What was used in one place.
pub type UsageRow = (UsagePlace, Amount);

/// The reads that use cases are made of.
#[expect(missing_docs, reason = "each name and type says it all; what is not obvious is documented")]
pub trait View: AuditView {
    /// The generation that this view stands at.
    fn generation(&self) -> Answer<Generation>;

    /// The reply that is kept there, whether it still counts or not.
    fn replay(&self, place: &[u8; 32]) -> Answer<Option<Replay>>;

    fn organization(&self, number: OrganizationNumber) -> Answer<Option<Organization>>;
    fn organization_by_id(&self, id: &OrganizationId) -> Answer<Option<Organization>>;
    /// The organizations, in the order of their creation.
    fn organizations(&self, after: Option<OrganizationNumber>, limit: usize) -> Answer<Vec<Organization>>;
    /// The number that the next organization gets.
    fn next_organization(&self) -> Answer<OrganizationNumber>;

    fn project(&self, number: ProjectNumber) -> Answer<Option<Project>>;
    fn project_by_id(&self, id: &ProjectId) -> Answer<Option<Project>>;
    fn slug(&self, slug: &Slug) -> Answer<Option<SlugHolder>>;
    /// The projects of an organization, in the order of their creation.
    fn projects_of(
        &self,
        organization: OrganizationNumber,
        after: Option<ProjectNumber>,
        limit: usize,
    ) -> Answer<Vec<Project>>;
    /// The Default Project of an organization (J7): the first that it got.
    fn default_project(&self, organization: OrganizationNumber) -> Answer<Project>;
    /// The number that the next project gets.
    fn next_project(&self) -> Answer<ProjectNumber>;

    fn user(&self, id: &UserId) -> Answer<Option<User>>;
    fn user_by_email(&self, email: &Email) -> Answer<Option<User>>;
    fn identity(&self, id: &IdentityId) -> Answer<Option<Identity>>;
    fn identity_of(&self, provider: &str, subject: &str) -> Answer<Option<Identity>>;
    fn identities_of(&self, user: &UserId) -> Answer<Vec<Identity>>;
    fn membership(&self, organization: OrganizationNumber, user: &UserId) -> Answer<Option<Membership>>;
    /// The membership of this very identity; another of the same account is another's (M10).
    fn membership_by(
        &self,
        organization: OrganizationNumber,
        identity: &IdentityId,
    ) -> Answer<Option<Membership>>;
    fn memberships_of(&self, user: &UserId) -> Answer<Vec<Membership>>;
    /// The members of an organization, by user id.
    fn members_of(
        &self,
        organization: OrganizationNumber,
        after: Option<UserId>,
        limit: usize,
    ) -> Answer<Vec<Membership>>;
    fn departure(&self, organization: OrganizationNumber, user: &UserId) -> Answer<Option<Departure>>;
    /// Who was removed from an organization and not let in again, by user id.
    fn departures_of(
        &self,
        organization: OrganizationNumber,
        after: Option<UserId>,
        limit: usize,
    ) -> Answer<Vec<Departure>>;
    fn ownership_offer(&self, organization: OrganizationNumber) -> Answer<Option<OwnershipOffer>>;
    fn collaboration(&self, project: ProjectNumber, user: &UserId) -> Answer<Option<Collaboration>>;
    /// The collaboration of this very identity (M10).
    fn collaboration_by(
        &self,
        project: ProjectNumber,
        identity: &IdentityId,
    ) -> Answer<Option<Collaboration>>;
    fn collaborations_of(&self, user: &UserId) -> Answer<Vec<Collaboration>>;
    /// The collaborators of a project, by user id.
    fn collaborators_of(
        &self,
        project: ProjectNumber,
        after: Option<UserId>,
        limit: usize,
    ) -> Answer<Vec<Collaboration>>;

    fn invitation(&self, id: &InvitationId) -> Answer<Option<Invitation>>;
    fn invitation_by_token(&self, digest: &TokenDigest) -> Answer<Option<Invitation>>;
    /// The invitations to an organization (`project` is `None`) or to a project, by id, whatever became of them.
    fn invitations_to(
        &self,
        organization: OrganizationNumber,
        project: Option<ProjectNumber>,
        after: Option<InvitationId>,
        limit: usize,
    ) -> Answer<Vec<Invitation>>;
    fn invitations_for(&self, email: &Email) -> Answer<Vec<Invitation>>;
    /// Every invitation to an organization and to its projects, whatever became of them.
    fn invitations_of(&self, organization: OrganizationNumber) -> Answer<Vec<Invitation>>;

    fn session(&self, digest: &TokenDigest) -> Answer<Option<Session>>;
    fn session_by_id(&self, id: &SessionId) -> Answer<Option<Session>>;
    fn session_of(&self, user: &UserId, id: &SessionId) -> Answer<Option<Session>>;
    fn sessions_of(&self, user: &UserId) -> Answer<Vec<Session>>;
    fn operator_token(&self, digest: &TokenDigest) -> Answer<Option<OperatorToken>>;
    fn usage_token(&self, digest: &TokenDigest) -> Answer<Option<UsageToken>>;
    fn usage_tokens(&self) -> Answer<Vec<UsageToken>>;
    /// The sessions behind this digest, ended ones included, by digest.
    fn sessions(&self, after: Option<&TokenDigest>, limit: usize) -> Answer<Vec<Session>>;
    /// How many operator tokens were ever made.
    fn operators(&self) -> Answer<u32>;

    fn key(&self, id: KeyId) -> Answer<Option<Key>>;
    /// The keys of a project, the newest first.
    fn keys_of(&self, project: ProjectNumber, after: Option<KeyPlace>, limit: usize) -> Answer<Vec<Key>>;
    /// The installation's keys behind this id, revoked ones included, by id.
    fn keys(&self, after: Option<KeyId>, limit: usize) -> Answer<Vec<Key>>;

    /// The key that was imported with this digest, revoked ones included.
    fn imported_key(&self, digest: &ImportedDigest) -> Answer<Option<KeyId>>;
    /// The last moment at which the key was used, as far as edges reported.
    fn key_use(&self, id: KeyId) -> Answer<Option<UnixMillis>>;
    /// The newest moment at which any key was used, as far as edges reported.
    fn newest_use(&self) -> Answer<Option<UnixMillis>>;

    /// The notices of an organization (`project` is `None`) or of a project, the newest first.
    fn notices_of(
        &self,
        organization: OrganizationNumber,
        project: Option<ProjectNumber>,
        before: Option<u64>,
        limit: usize,
    ) -> Answer<Vec<Notice>>;
    /// The number that the next notice gets.
    fn next_notice(&self) -> Answer<u64>;

    /// Shows what was used in a project from one day to another, both included, by day, until `look` has enough.
    fn usage_of(
        &self,
        project: ProjectNumber,
        days: (u32, u32),
        look: &mut dyn FnMut(UsageRow) -> Answer<ControlFlow<()>>,
    ) -> Answer<ControlFlow<()>>;
    /// What the budgets of a scope have to count from a day on.
    fn spent_since(&self, scope: BudgetScope, first_day: u32) -> Answer<Amount>;
    fn usage_batch(&self, id: &[u8; 16]) -> Answer<Option<UsageBatch>>;
    /// Batches that are held, by id.
    fn held_usage_batches(&self, after: Option<[u8; 16]>, limit: usize) -> Answer<Vec<UsageBatch>>;
    /// Batches that were counted before that moment, the longest ago first.
    fn usage_batches_counted_before(&self, at: UnixMillis, limit: usize) -> Answer<Vec<UsageBatch>>;
    fn budget(&self, scope: BudgetScope) -> Answer<Option<Budget>>;
    /// Every budget of the installation.
    fn budgets(&self) -> Answer<Vec<Budget>>;
    /// The price of a request, in millionths of the currency unit; 0 unless set.
    fn price(&self, permission: Permission) -> Answer<u64>;

    /// Keys that were revoked then or before are no longer told to edges.
    fn tombstones_up_to(&self) -> Answer<UnixMillis>;
    /// How often an operator has released what was held back from edges.
    fn publish_releases(&self) -> Answer<u64>;
    /// Since when an operator holds grants back from edges.
    fn publish_held_since(&self) -> Answer<Option<UnixMillis>>;
    /// The set of route rules that was put in force last, if ever one was.
    fn newest_rule_set(&self) -> Answer<Option<RuleSet>>;
    fn rule_set(&self, number: u64) -> Answer<Option<RuleSet>>;
    /// The text that it was read from.
    fn rule_text(&self, number: u64) -> Answer<Option<String>>;
    /// The sets before this one, or all, the newest first.
    fn rule_sets(&self, before: Option<u64>, limit: usize) -> Answer<Vec<RuleSet>>;
    /// What a restore holds there, if it does.
    fn held(&self, organization: OrganizationNumber, place: HeldPlace) -> Answer<Option<Held>>;
    /// What restores hold, by organization and place; of one organization, or of all.
    fn held_things(
        &self,
        organization: Option<OrganizationNumber>,
        after: Option<(OrganizationNumber, HeldPlace)>,
        limit: usize,
    ) -> Answer<Vec<Held>>;

    /// The resource, deleted or not.
    fn resource(&self, kind: ResourceType, id: &str) -> Answer<Option<Resource>>;
    /// The resources of a type in a project that are not deleted, by id.
    fn resources_of(
        &self,
        project: ProjectNumber,
        kind: ResourceType,
        after: Option<&str>,
        limit: usize,
    ) -> Answer<Vec<Resource>>;
}

impl<T: Tables> View for T {
    fn generation(&self) -> Answer<Generation> {
        count(self, counter::GENERATION).map(Generation)
    }

    fn replay(&self, place: &[u8; 32]) -> Answer<Option<Replay>> {
        row(self.replays().get(place)?)
    }

    fn organization(&self, number: OrganizationNumber) -> Answer<Option<Organization>> {
        row(self.organizations().get(number.0)?)
    }

    fn organization_by_id(&self, id: &OrganizationId) -> Answer<Option<Organization>> {
        match self.organization_ids().get(id.body())? {
            Some(number) => self.organization(OrganizationNumber(number.value())),
            None => Ok(None),
        }
    }

    fn organizations(&self, after: Option<OrganizationNumber>, limit: usize) -> Answer<Vec<Organization>> {
        let first = after.map_or(0, |number| number.0.saturating_add(1));
        let rows = Tables::organizations(self).range(first..)?.take(limit);
        rows.map(|entry| decode(entry?.1.value())).collect()
    }

    fn next_organization(&self) -> Answer<OrganizationNumber> {
        next_number(self, counter::ORGANIZATIONS).map(OrganizationNumber)
    }

    fn project(&self, number: ProjectNumber) -> Answer<Option<Project>> {
        row(self.projects().get(number.0)?)
    }

    fn project_by_id(&self, id: &ProjectId) -> Answer<Option<Project>> {
        match self.project_ids().get(id.body())? {
            Some(number) => self.project(ProjectNumber(number.value())),
            None => Ok(None),
        }
    }

    fn slug(&self, slug: &Slug) -> Answer<Option<SlugHolder>> {
        row(self.slugs().get(slug.as_str())?)
    }

    fn projects_of(
        &self,
        organization: OrganizationNumber,
        after: Option<ProjectNumber>,
        limit: usize,
    ) -> Answer<Vec<Project>> {
        let first = after.map_or(0, |number| number.0.saturating_add(1));
        let entries =
            self.organization_projects().range((organization.0, first)..=(organization.0, u32::MAX))?;
        let project = |number| self.project(ProjectNumber(number))?.ok_or(StoreError::Corrupt("projects"));
        entries.take(limit).map(|entry| project(entry?.0.value().1)).collect()
    }

    fn default_project(&self, organization: OrganizationNumber) -> Answer<Project> {
        let first = self.projects_of(organization, None, 1)?.pop();
        first.filter(|project| project.is_default).ok_or(StoreError::Corrupt("projects"))
    }

    fn next_project(&self) -> Answer<ProjectNumber> {
        next_number(self, counter::PROJECTS).map(ProjectNumber)
    }

    fn user(&self, id: &UserId) -> Answer<Option<User>> {
        row(self.users().get(id.body())?)
    }

    fn user_by_email(&self, email: &Email) -> Answer<Option<User>> {
        match self.user_emails().get(email.as_str())? {
            Some(id) => row(self.users().get(id.value())?),
            None => Ok(None),
        }
    }

    fn identity(&self, id: &IdentityId) -> Answer<Option<Identity>> {
        row(self.identities().get(id.body())?)
    }

    fn identity_of(&self, provider: &str, subject: &str) -> Answer<Option<Identity>> {
        match self.identity_subjects().get((provider, subject))? {
            Some(id) => row(self.identities().get(id.value())?),
            None => Ok(None),
        }
    }

    fn identities_of(&self, user: &UserId) -> Answer<Vec<Identity>> {
        let entries = self.user_identities().range((user.body(), &LOWEST)..=(user.body(), &HIGHEST))?;
        let identity =
            |id: &[u8; 16]| row(self.identities().get(id)?)?.ok_or(StoreError::Corrupt("identities"));
        entries.map(|entry| identity(entry?.0.value().1)).collect()
    }

    fn members_of(
        &self,
        organization: OrganizationNumber,
        after: Option<UserId>,
        limit: usize,
    ) -> Answer<Vec<Membership>> {
        let last = Bound::Included((organization.0, &HIGHEST));
        let rows = Tables::memberships(self).range((after_user(organization.0, after.as_ref()), last))?;
        rows.take(limit).map(|entry| decode(entry?.1.value())).collect()
    }

    fn departure(&self, organization: OrganizationNumber, user: &UserId) -> Answer<Option<Departure>> {
        row(self.departures().get((organization.0, user.body()))?)
    }

    fn ownership_offer(&self, organization: OrganizationNumber) -> Answer<Option<OwnershipOffer>> {
        row(self.ownership_offers().get(organization.0)?)
    }

    fn collaborators_of(
        &self,
        project: ProjectNumber,
        after: Option<UserId>,
        limit: usize,
    ) -> Answer<Vec<Collaboration>> {
        let last = Bound::Included((project.0, &HIGHEST));
        let rows = Tables::collaborations(self).range((after_user(project.0, after.as_ref()), last))?;
        rows.take(limit).map(|entry| decode(entry?.1.value())).collect()
    }

    fn invitation(&self, id: &InvitationId) -> Answer<Option<Invitation>> {
        row(self.invitations().get(id.body())?)
    }

    fn invitation_by_token(&self, digest: &TokenDigest) -> Answer<Option<Invitation>> {
        match self.invitation_tokens().get(&digest.0)? {
            Some(id) => row(self.invitations().get(id.value())?),
            None => Ok(None),
        }
    }

    fn invitations_to(
        &self,
        organization: OrganizationNumber,
        project: Option<ProjectNumber>,
        after: Option<InvitationId>,
        limit: usize,
    ) -> Answer<Vec<Invitation>> {
        let (organization, project) = (organization.0, project.map_or(0, |project| project.0));
        let first = match &after {
            Some(id) => Bound::Excluded((organization, project, id.body())),
            None => Bound::Included((organization, project, &LOWEST)),
        };
        let last = Bound::Included((organization, project, &HIGHEST));
        let invitation =
            |id: &[u8; 16]| row(self.invitations().get(id)?)?.ok_or(StoreError::Corrupt("invitations"));
        let entries = self.invitation_places().range((first, last))?;
        entries.take(limit).map(|entry| invitation(entry?.0.value().2)).collect()
    }

    fn invitations_for(&self, email: &Email) -> Answer<Vec<Invitation>> {
        let text = email.as_str();
        let entries = self.invitation_emails().range((text, &LOWEST)..=(text, &HIGHEST))?;
        let invitation =
            |id: &[u8; 16]| row(self.invitations().get(id)?)?.ok_or(StoreError::Corrupt("invitations"));
        entries.map(|entry| invitation(entry?.0.value().1)).collect()
    }

    fn invitations_of(&self, organization: OrganizationNumber) -> Answer<Vec<Invitation>> {
        let places = (organization.0, 0, &LOWEST)..=(organization.0, u32::MAX, &HIGHEST);
        let invitation =
            |id: &[u8; 16]| row(self.invitations().get(id)?)?.ok_or(StoreError::Corrupt("invitations"));
        self.invitation_places().range(places)?.map(|entry| invitation(entry?.0.value().2)).collect()
    }

    fn departures_of(
        &self,
        organization: OrganizationNumber,
        after: Option<UserId>,
        limit: usize,
    ) -> Answer<Vec<Departure>> {
        let last = Bound::Included((organization.0, &HIGHEST));
        let rows = self.departures().range((after_user(organization.0, after.as_ref()), last))?;
        rows.take(limit).map(|entry| decode(entry?.1.value())).collect()
    }

    fn session_by_id(&self, id: &SessionId) -> Answer<Option<Session>> {
        match self.session_ids().get(id.body())? {
            Some(digest) => row(Tables::sessions(self).get(digest.value())?),
            None => Ok(None),
        }
    }

    fn usage_token(&self, digest: &TokenDigest) -> Answer<Option<UsageToken>> {
        row(Tables::usage_tokens(self).get(&digest.0)?)
    }

    fn usage_tokens(&self) -> Answer<Vec<UsageToken>> {
        Tables::usage_tokens(self).iter()?.map(|entry| decode(entry?.1.value())).collect()
    }

    fn imported_key(&self, digest: &ImportedDigest) -> Answer<Option<KeyId>> {
        Ok(self.imported_keys().get(&digest.0)?.map(|id| KeyId::from_number(id.value())))
    }

    fn key_use(&self, id: KeyId) -> Answer<Option<UnixMillis>> {
        Ok(self.key_uses().get(id.number())?.map(|at| UnixMillis(at.value())))
    }

    fn newest_use(&self) -> Answer<Option<UnixMillis>> {
        Ok(self.counters().get(counter::NEWEST_USE)?.map(|at| UnixMillis(at.value())))
    }

    fn notices_of(
        &self,
        organization: OrganizationNumber,
        project: Option<ProjectNumber>,
        before: Option<u64>,
        limit: usize,
    ) -> Answer<Vec<Notice>> {
        let (organization, project) = (organization.0, project.map_or(0, |project| project.0));
        let last = match before {
            Some(number) => Bound::Excluded((organization, project, number)),
            None => Bound::Included((organization, project, u64::MAX)),
        };
        let rows = self.notices().range((Bound::Included((organization, project, 0)), last))?.rev();
        rows.take(limit).map(|entry| decode(entry?.1.value())).collect()
    }

    fn next_notice(&self) -> Answer<u64> {
        Ok(count(self, counter::NOTICES)? + 1)
    }

    fn usage_of(
        &self,
        project: ProjectNumber,
        (first_day, last_day): (u32, u32),
        look: &mut dyn FnMut(UsageRow) -> Answer<ControlFlow<()>>,
    ) -> Answer<ControlFlow<()>> {
        let first = (project.0, first_day, &[0; 17], 0);
        for entry in self.usage().range(first..=(project.0, last_day, &[0xff; 17], u8::MAX))? {
            let (place, amount) = entry?;
            let (project, day, bytes, permission) = place.value();
            let (requests, cost_micros) = amount.value();
            let place = UsagePlace {
                project: ProjectNumber(project),
                day,
                subject: subject(bytes).ok_or(StoreError::Corrupt("usage"))?,
                permission: Permission::from_number(permission).ok_or(StoreError::Corrupt("usage"))?,
            };
            if look((place, Amount { requests, cost_micros }))?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn spent_since(&self, scope: BudgetScope, first_day: u32) -> Answer<Amount> {
        let (kind, number) = budget_place(scope);
        let days = self.usage_sums().range((kind, number, first_day)..=(kind, number, u32::MAX))?;
        let mut sum = Amount::default();
        for entry in days {
            let (requests, cost_micros) = entry?.1.value();
            sum = sum.plus(Amount { requests, cost_micros });
        }
        Ok(sum)
    }

    fn usage_batch(&self, id: &[u8; 16]) -> Answer<Option<UsageBatch>> {
        row(Tables::usage_batches(self).get(id)?)
    }

    fn held_usage_batches(&self, after: Option<[u8; 16]>, limit: usize) -> Answer<Vec<UsageBatch>> {
        let first = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let entries = Tables::held_usage_batches(self).range::<&[u8; 16]>((first, Bound::Unbounded))?;
        let batch = |id: &[u8; 16]| self.usage_batch(id)?.ok_or(StoreError::Corrupt("usage_batches"));
        entries.take(limit).map(|entry| batch(entry?.0.value())).collect()
    }

    fn usage_batches_counted_before(&self, at: UnixMillis, limit: usize) -> Answer<Vec<UsageBatch>> {
        let entries = self.counted_usage_batches().range(..(at.0, &LOWEST))?;
        let batch = |id: &[u8; 16]| self.usage_batch(id)?.ok_or(StoreError::Corrupt("usage_batches"));
        entries.take(limit).map(|entry| batch(entry?.0.value().1)).collect()
    }

    fn budget(&self, scope: BudgetScope) -> Answer<Option<Budget>> {
        row(Tables::budgets(self).get(budget_place(scope))?)
    }

    fn budgets(&self) -> Answer<Vec<Budget>> {
        Tables::budgets(self).iter()?.map(|entry| decode(entry?.1.value())).collect()
    }

    fn price(&self, permission: Permission) -> Answer<u64> {
        Ok(self.prices().get(permission.number())?.map_or(0, |micros| micros.value()))
    }

    fn tombstones_up_to(&self) -> Answer<UnixMillis> {
        count(self, counter::TOMBSTONES_UP_TO).map(UnixMillis)
    }

    fn publish_releases(&self) -> Answer<u64> {
        count(self, counter::PUBLISH_RELEASES)
    }

    fn publish_held_since(&self) -> Answer<Option<UnixMillis>> {
        let since = count(self, counter::PUBLISH_HELD_SINCE)?;
        Ok((since > 0).then_some(UnixMillis(since)))
    }

    fn newest_rule_set(&self) -> Answer<Option<RuleSet>> {
        Tables::rule_sets(self).last()?.map(|(_, set)| decode(set.value())).transpose()
    }

    fn rule_set(&self, number: u64) -> Answer<Option<RuleSet>> {
        row(Tables::rule_sets(self).get(number)?)
    }

    fn rule_text(&self, number: u64) -> Answer<Option<String>> {
        Ok(self.rule_texts().get(number)?.map(|text| text.value().to_owned()))
    }

    fn rule_sets(&self, before: Option<u64>, limit: usize) -> Answer<Vec<RuleSet>> {
        let sets = Tables::rule_sets(self).range(..before.unwrap_or(u64::MAX))?.rev().take(limit);
        sets.map(|set| decode(set?.1.value())).collect()
    }

    fn membership(&self, organization: OrganizationNumber, user: &UserId) -> Answer<Option<Membership>> {
        row(self.memberships().get((organization.0, user.body()))?)
    }

    fn membership_by(
        &self,
        organization: OrganizationNumber,
        identity: &IdentityId,
    ) -> Answer<Option<Membership>> {
        let Some(known) = self.identity(identity)? else { return Ok(None) };
        Ok(self.membership(organization, &known.user)?.filter(|one| one.identity == *identity))
    }

    fn memberships_of(&self, user: &UserId) -> Answer<Vec<Membership>> {
        let entries = self.user_memberships().range((user.body(), 0)..=(user.body(), u32::MAX))?;
        let membership = |number| {
            self.membership(OrganizationNumber(number), user)?.ok_or(StoreError::Corrupt("memberships"))
        };
        entries.map(|entry| membership(entry?.0.value().1)).collect()
    }

    fn collaboration(&self, project: ProjectNumber, user: &UserId) -> Answer<Option<Collaboration>> {
        row(self.collaborations().get((project.0, user.body()))?)
    }

    fn collaboration_by(
        &self,
        project: ProjectNumber,
        identity: &IdentityId,
    ) -> Answer<Option<Collaboration>> {
        let Some(known) = self.identity(identity)? else { return Ok(None) };
        Ok(self.collaboration(project, &known.user)?.filter(|one| one.identity == *identity))
    }

    fn collaborations_of(&self, user: &UserId) -> Answer<Vec<Collaboration>> {
        let entries = self.user_collaborations().range((user.body(), 0)..=(user.body(), u32::MAX))?;
        let collaboration = |number| {
            self.collaboration(ProjectNumber(number), user)?.ok_or(StoreError::Corrupt("collaborations"))
        };
        entries.map(|entry| collaboration(entry?.0.value().1)).collect()
    }

    fn session(&self, digest: &TokenDigest) -> Answer<Option<Session>> {
        row(Tables::sessions(self).get(&digest.0)?)
    }

    fn session_of(&self, user: &UserId, id: &SessionId) -> Answer<Option<Session>> {
        match self.user_sessions().get((user.body(), id.body()))? {
            Some(digest) => row(Tables::sessions(self).get(digest.value())?),
            None => Ok(None),
        }
    }

    fn sessions_of(&self, user: &UserId) -> Answer<Vec<Session>> {
        let entries = self.user_sessions().range((user.body(), &[0; 16])..=(user.body(), &[0xff; 16]))?;
        let session = |digest: &[u8; 32]| {
            row(Tables::sessions(self).get(digest)?)?.ok_or(StoreError::Corrupt("sessions"))
        };
        entries.map(|entry| session(entry?.1.value())).collect()
    }

    fn sessions(&self, after: Option<&TokenDigest>, limit: usize) -> Answer<Vec<Session>> {
        let first = after.map_or(Bound::Unbounded, |digest| Bound::Excluded(&digest.0));
        let rows = Tables::sessions(self).range::<&[u8; 32]>((first, Bound::Unbounded))?;
        rows.take(limit).map(|entry| decode(entry?.1.value())).collect()
    }

    fn operator_token(&self, digest: &TokenDigest) -> Answer<Option<OperatorToken>> {
        row(self.operator_tokens().get(&digest.0)?)
    }

    fn operators(&self) -> Answer<u32> {
        let operators = count(self, counter::OPERATORS)?;
        u32::try_from(operators).map_err(|_| StoreError::Corrupt("counters"))
    }

    fn key(&self, id: KeyId) -> Answer<Option<Key>> {
        row(Tables::keys(self).get(id.number())?)
    }

    fn keys_of(&self, project: ProjectNumber, after: Option<KeyPlace>, limit: usize) -> Answer<Vec<Key>> {
        let first = Bound::Included((project.0, 0, 0));
        let last = match after {
            Some((created, id)) => Bound::Excluded((project.0, created.0, id.number())),
            None => Bound::Included((project.0, u64::MAX, u64::MAX)),
        };
        let entries = self.project_keys().range((first, last))?.rev();
        let key = |number| self.key(KeyId::from_number(number))?.ok_or(StoreError::Corrupt("keys"));
        entries.take(limit).map(|entry| key(entry?.0.value().2)).collect()
    }

    fn keys(&self, after: Option<KeyId>, limit: usize) -> Answer<Vec<Key>> {
        let first = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.number()));
        let rows = Tables::keys(self).range((first, Bound::Unbounded))?;
        rows.take(limit).map(|entry| decode(entry?.1.value())).collect()
    }

    fn held(&self, organization: OrganizationNumber, place: HeldPlace) -> Answer<Option<Held>> {
        row(Tables::held(self).get((organization.0, held_place(place).as_slice()))?)
    }

    fn held_things(
        &self,
        organization: Option<OrganizationNumber>,
        after: Option<(OrganizationNumber, HeldPlace)>,
        limit: usize,
    ) -> Answer<Vec<Held>> {
        let lowest = organization.map_or(0, |number| number.0);
        let highest = organization.map_or(u32::MAX, |number| number.0);
        let after = after.map(|(number, place)| (number.0, held_place(place)));
        let first = match &after {
            Some((number, place)) => Bound::Excluded((*number, place.as_slice())),
            None => Bound::Included((lowest, [].as_slice())),
        };
        let rows = Tables::held(self).range((first, Bound::Included((highest, HELD_LAST))))?;
        rows.take(limit).map(|entry| decode(entry?.1.value())).collect()
    }

    fn resource(&self, kind: ResourceType, id: &str) -> Answer<Option<Resource>> {
        row(self.resources().get((kind as u8, id))?)
    }

    fn resources_of(
        &self,
        project: ProjectNumber,
        kind: ResourceType,
        after: Option<&str>,
        limit: usize,
    ) -> Answer<Vec<Resource>> {
        let first = match after {
            Some(id) => Bound::Excluded((project.0, kind as u8, id)),
            None => Bound::Included((project.0, kind as u8, "")),
        };
        let last = Bound::Excluded((project.0, kind as u8 + 1, ""));
        let entries = self.project_resources().range((first, last))?;
        let resource = |(_, kind, id): (u32, u8, &str)| {
            row(self.resources().get((kind, id))?)?.ok_or(StoreError::Corrupt("resources"))
        };
        entries.take(limit).map(|entry| resource(entry?.0.value())).collect()
    }
}

/// Behind the place of everything that is held.
const HELD_LAST: &[u8] = &[0xff];
const LOWEST: [u8; 16] = [0; 16];
const HIGHEST: [u8; 16] = [0xff; 16];

fn after_user(number: u32, after: Option<&UserId>) -> Bound<(u32, &[u8; 16])> {
    match after {
        Some(user) => Bound::Excluded((number, user.body())),
        None => Bound::Included((number, &LOWEST)),
    }
}

pub(super) fn row<R: Row>(guard: Option<AccessGuard<&'static [u8]>>) -> Answer<Option<R>> {
    guard.map(|guard| decode(guard.value())).transpose()
}

pub(super) fn count(tables: &impl Tables, name: &str) -> Answer<u64> {
    Ok(tables.counters().get(name)?.map_or(0, |count| count.value()))
}

fn next_number(tables: &impl Tables, name: &str) -> Answer<u32> {
    u32::try_from(count(tables, name)? + 1).map_err(|_| StoreError::Corrupt("counters"))
}
