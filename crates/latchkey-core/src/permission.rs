//! Every permission, its stable number, and the matrices P1, P2 and P3 of IAM.md as tables.
//!
//! A permission's number stands in signed objects: numbers are only ever added, never changed or reused.

use crate::resource::ResourceType;
use crate::role::Role;
use core::fmt;

/// Who holds a permission, by the tables of IAM.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// P1: admins and members of the organization.
    OrganizationMember,
    /// P1: admins of the organization alone.
    OrganizationAdmin,
    /// P2: both roles of the project, never a key (K6b).
    ProjectMember,
    /// P2: project admins alone, never a key (K6b).
    ProjectAdmin,
    /// P3: both roles of the project, keys included.
    DataMember,
    /// P3: project admins and keys of the role `admin`.
    DataAdmin,
}

macro_rules! permissions {
    ($($variant:ident = $number:literal, $word:literal, $holder:ident;)*) => {
        /// One thing that a caller may do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the word beside each variant in the table says it all")]
        pub enum Permission {
            $($variant = $number,)*
        }

        impl Permission {
            /// Every permission, in the order of its number.
            pub const ALL: &'static [Permission] = &[$(Permission::$variant,)*];

            /// The word used in route rules, in refusals and in the API.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Who holds it.
            pub const fn holder(self) -> Holder {
                match self { $(Self::$variant => Holder::$holder,)* }
            }

            /// The permission with this number, if there is one.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

permissions! {
    OrgSettingsRead = 0, "org.settings.read", OrganizationMember;
    OrgSettingsWrite = 1, "org.settings.write", OrganizationAdmin;
    OrgBillingRead = 2, "org.billing.read", OrganizationMember;
    OrgBillingWrite = 3, "org.billing.write", OrganizationAdmin;
    OrgUsageRead = 4, "org.usage.read", OrganizationAdmin;
    OrgProjectsList = 5, "org.projects.list", OrganizationMember;
    OrgProjectsCreate = 6, "org.projects.create", OrganizationAdmin;
    OrgProjectsSetVisibility = 7, "org.projects.set_visibility", OrganizationAdmin;
    OrgProjectsArchive = 8, "org.projects.archive", OrganizationAdmin;
    OrgProjectsDelete = 9, "org.projects.delete", OrganizationAdmin;
    OrgMembersRead = 10, "org.members.read", OrganizationMember;
    OrgMembersInvite = 11, "org.members.invite", OrganizationAdmin;
    OrgMembersRemove = 12, "org.members.remove", OrganizationAdmin;
    OrgMembersManageRoles = 13, "org.members.manage_roles", OrganizationAdmin;
    OrgSsoManage = 14, "org.sso.manage", OrganizationAdmin;
    OrgAuditRead = 15, "org.audit.read", OrganizationAdmin;

    ProjectSettingsRead = 20, "project.settings.read", ProjectMember;
    ProjectSettingsWrite = 21, "project.settings.write", ProjectAdmin;
    ProjectExternalWrite = 22, "project.external.write", ProjectAdmin;
    ProjectUsageRead = 23, "project.usage.read", ProjectMember;
    KeysRead = 24, "keys.read", ProjectMember;
    KeysCreate = 25, "keys.create", ProjectMember;
    KeysRevoke = 26, "keys.revoke", ProjectMember;
    CollaboratorsRead = 27, "collaborators.read", ProjectMember;
    CollaboratorsAdd = 28, "collaborators.add", ProjectAdmin;
    CollaboratorsRemove = 29, "collaborators.remove", ProjectAdmin;
    CollaboratorsManageRoles = 30, "collaborators.manage_roles", ProjectAdmin;

    ClustersView = 40, "clusters.view", DataMember;
    ClustersSsh = 41, "clusters.ssh", DataMember;
    ClustersKubectl = 42, "clusters.kubectl", DataMember;
    ClustersDashboard = 43, "clusters.dashboard", DataMember;
    ClustersSlurm = 44, "clusters.slurm", DataMember;
    ClustersCreate = 45, "clusters.create", DataAdmin;
    ClustersDelete = 46, "clusters.delete", DataAdmin;
    ClustersScale = 47, "clusters.scale", DataAdmin;
    ClustersModify = 48, "clusters.modify", DataAdmin;
    ClustersAdminKubeconfig = 49, "clusters.admin_kubeconfig", DataAdmin;
    VolumesView = 50, "volumes.view", DataMember;
    VolumesRead = 51, "volumes.read", DataMember;
    VolumesWrite = 52, "volumes.write", DataMember;
    VolumesCreate = 53, "volumes.create", DataAdmin;
    VolumesResize = 54, "volumes.resize", DataAdmin;
    VolumesDelete = 55, "volumes.delete", DataAdmin;
    ModelsView = 56, "models.view", DataMember;
    ModelsCreate = 57, "models.create", DataMember;
    ModelsModify = 58, "models.modify", DataMember;
    ModelsDelete = 59, "models.delete", DataMember;
    EndpointsView = 60, "endpoints.view", DataMember;
    EndpointsCreate = 61, "endpoints.create", DataMember;
    EndpointsModify = 62, "endpoints.modify", DataMember;
    EndpointsDelete = 63, "endpoints.delete", DataMember;
    EndpointsInvoke = 64, "endpoints.invoke", DataMember;
    EvaluationsView = 65, "evaluations.view", DataMember;
    EvaluationsCreate = 66, "evaluations.create", DataMember;
    EvaluationsDelete = 67, "evaluations.delete", DataMember;
    FilesView = 68, "files.view", DataMember;
    FilesRead = 69, "files.read", DataMember;
    FilesCreate = 70, "files.create", DataMember;
    FilesDelete = 71, "files.delete", DataMember;
    InferenceInvoke = 72, "inference.invoke", DataMember;
    FineTuningCreate = 73, "fine_tuning.create", DataMember;
    FineTuningView = 74, "fine_tuning.view", DataMember;
    FineTuningCancel = 75, "fine_tuning.cancel", DataMember;
    BatchCreate = 76, "batch.create", DataMember;
    BatchView = 77, "batch.view", DataMember;
    BatchCancel = 78, "batch.cancel", DataMember;
}

impl Permission {
    /// The permission that `word` names, if any.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|permission| permission.as_str() == word)
    }

    /// The permission's number in signed objects.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether what it allows costs money, so that an exhausted budget refuses it (IAM B2).
    pub const fn is_metered(self) -> bool {
        PermissionSet::METERED.contains(self)
    }

    /// The type of resource that it is about, if it is about one.
    pub fn resource_type(self) -> Option<ResourceType> {
        let (area, _) = self.as_str().split_once('.')?;
        // Areas are plurals: `clusters.view` is about a `cluster`.
        ResourceType::from_word(area.strip_suffix('s')?)
    }

    /// Whether a request under it names a model, so that a key narrowed to models must see which (IAM K7).
    pub const fn bears_model(self) -> bool {
        matches!(self, Self::InferenceInvoke | Self::BatchCreate | Self::FineTuningCreate)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of permissions: bit `n` stands for the permission with number `n`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PermissionSet(u128);

impl PermissionSet {
    /// The set of nothing.
    pub const EMPTY: Self = Self(0);

    /// What costs money.
    const METERED: Self = Self::EMPTY
        .with(Permission::InferenceInvoke)
        .with(Permission::FineTuningCreate)
        .with(Permission::BatchCreate)
        .with(Permission::EndpointsInvoke)
        .with(Permission::EndpointsCreate)
        .with(Permission::EndpointsModify)
        .with(Permission::EvaluationsCreate)
        .with(Permission::ModelsCreate)
        .with(Permission::ClustersCreate)
        .with(Permission::ClustersScale)
        .with(Permission::VolumesCreate)
        .with(Permission::VolumesResize)
        .with(Permission::FilesCreate);

    /// What a member of the organization with this role may do there (P1).
    pub const fn of_organization(role: Role) -> Self {
        match role {
            Role::Member => Self::held_by(&[Holder::OrganizationMember]),
            Role::Admin => Self::held_by(&[Holder::OrganizationMember, Holder::OrganizationAdmin]),
        }
    }

    /// What a collaborator with this role may do in the project (P2 and P3).
    pub const fn of_project(role: Role) -> Self {
        match role {
            Role::Member => Self::held_by(&[Holder::ProjectMember, Holder::DataMember]),
            Role::Admin => Self::held_by(&[
                Holder::ProjectMember,
                Holder::ProjectAdmin,
                Holder::DataMember,
                Holder::DataAdmin,
            ]),
        }
    }

    /// What an un-narrowed key with this role may do: P3 and no management (K6b).
    pub const fn of_key(role: Role) -> Self {
        match role {
            Role::Member => Self::held_by(&[Holder::DataMember]),
            Role::Admin => Self::held_by(&[Holder::DataMember, Holder::DataAdmin]),
        }
    }

    /// Whether the permission is in the set.
    pub const fn contains(self, permission: Permission) -> bool {
        self.0 >> permission.number() & 1 == 1
    }

    /// The set with the permission added.
    #[must_use]
    pub const fn with(self, permission: Permission) -> Self {
        Self(self.0 | 1 << permission.number())
    }

    /// The set with the permission taken away.
    #[must_use]
    pub const fn without(self, permission: Permission) -> Self {
        Self(self.0 & !(1 << permission.number()))
    }

    /// The permissions in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether everything in `self` is in `other`.
    pub const fn is_subset_of(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The set as signed objects carry it.
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// The set with these bits, or `None` if one of them stands for no permission.
    pub const fn from_bits(bits: u128) -> Option<Self> {
        if bits & !Self::KNOWN.0 == 0 { Some(Self(bits)) } else { None }
    }

    /// The permissions in the set, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.contains(*permission))
    }

    const KNOWN: Self = {
        let mut known = Self::EMPTY;
        let mut index = 0;
        while index < Permission::ALL.len() {
            known = known.with(Permission::ALL[index]);
            index += 1;
        }
        known
    };

    const fn held_by(holders: &[Holder]) -> Self {
        let mut set = Self::EMPTY;
        let mut index = 0;
        while index < Permission::ALL.len() {
            let permission = Permission::ALL[index];
            let mut at = 0;
            while at < holders.len() {
                if holders[at] as u8 == permission.holder() as u8 {
                    set = set.with(permission);
                }
                at += 1;
            }
            index += 1;
        }
        set
    }
}

impl fmt::Debug for PermissionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_never_manages_k6b() {
        for role in Role::ALL {
            for permission in PermissionSet::of_key(role).iter() {
                let word = permission.as_str();
                let managing = ["org.", "project.", "keys.", "collaborators."];
                assert!(!managing.iter().any(|area| word.starts_with(area)), "{word}");
            }
        }
    }

    #[test]
    fn member_is_weaker_than_admin_everywhere() {
        for table in [PermissionSet::of_organization, PermissionSet::of_project, PermissionSet::of_key] {
            assert!(table(Role::Member).is_subset_of(table(Role::Admin)));
            assert_ne!(table(Role::Member), table(Role::Admin));
        }
    }

    /// Nothing that only looks, takes away or manages is ever refused for want of money.
    #[test]
    fn what_costs_nothing_is_not_metered_b2() {
        for permission in Permission::ALL.iter().filter(|permission| permission.is_metered()) {
            let verb = permission.as_str().rsplit('.').next().unwrap();
            assert!(["invoke", "create", "modify", "scale", "resize"].contains(&verb), "{permission}");
            assert!(PermissionSet::of_key(Role::Admin).contains(*permission), "{permission}");
        }
        assert_eq!(Permission::ALL.iter().filter(|permission| permission.is_metered()).count(), 13);
        assert!(!Permission::ModelsModify.is_metered() && !Permission::KeysCreate.is_metered());
    }

    #[test]
    fn what_bears_a_model_is_metered_too() {
        let bearing = Permission::ALL.iter().filter(|permission| permission.bears_model());
        let words: std::vec::Vec<&str> = bearing.clone().map(|permission| permission.as_str()).collect();
        assert_eq!(words, ["inference.invoke", "fine_tuning.create", "batch.create"]);
        assert!(bearing.clone().all(|permission| permission.is_metered()));
    }

    #[test]
    fn permission_knows_the_type_of_resource_that_it_is_about() {
        for permission in Permission::ALL {
            let area = permission.as_str().split('.').next().unwrap();
            let known =
                ["clusters", "volumes", "models", "endpoints", "evaluations", "files"].contains(&area);
            let word = permission.resource_type().map(ResourceType::as_str);
            assert_eq!(word, known.then(|| &area[..area.len() - 1]), "{permission}");
        }
    }

    #[test]
    fn unknown_bit_is_refused() {
        assert_eq!(PermissionSet::from_bits(1 << 127), None);
        assert_eq!(PermissionSet::from_bits(1 << 16), None);
        let all = PermissionSet::KNOWN;
        assert_eq!(PermissionSet::from_bits(all.bits()), Some(all));
    }

    #[test]
    fn word_and_number_come_back() {
        for permission in Permission::ALL {
            assert_eq!(Permission::from_word(permission.as_str()), Some(*permission));
            assert_eq!(Permission::from_number(permission.number()), Some(*permission));
        }
    }
}
