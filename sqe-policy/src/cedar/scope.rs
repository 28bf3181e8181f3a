//! Which policies can concern a person, an action and a resource, read off their scopes.
//!
//! Only exact answers are given here: a policy left out by a scope is one that Cedar would find unsatisfied.

use std::collections::HashSet;

use cedar_policy::{ActionConstraint, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};

use super::names::Kind;

/// The head of a policy.
#[derive(Debug)]
pub(super) struct Scope {
    principal: PrincipalConstraint,
    action: ActionConstraint,
    resource: ResourceConstraint,
}

impl Scope {
    pub(super) fn of(policy: &Policy) -> Self {
        Self {
            principal: policy.principal_constraint(),
            action: policy.action_constraint(),
            resource: policy.resource_constraint(),
        }
    }

    /// Whether it holds for a user inside of `ancestors`.
    pub(super) fn admits_principal(&self, user: &EntityUid, ancestors: &HashSet<EntityUid>) -> bool {
        let within = |group: &EntityUid| group == user || ancestors.contains(group);
        match &self.principal {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Eq(only) => only == user,
            PrincipalConstraint::In(group) => within(group),
            PrincipalConstraint::Is(kind) => kind == user.type_name(),
            PrincipalConstraint::IsIn(kind, group) => kind == user.type_name() && within(group),
        }
    }

    /// Whether it holds for an action. The schema has no groups of actions, so `in` lists actions.
    pub(super) fn admits_action(&self, action: &str) -> bool {
        match &self.action {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(only) => only.id().unescaped() == action,
            ActionConstraint::In(list) => list.iter().any(|each| each.id().unescaped() == action),
        }
    }

    /// The actions that the policy spells out, and whether it does so with `==`.
    pub(super) fn spelled_actions(&self) -> (Vec<&str>, bool) {
        match &self.action {
            ActionConstraint::Any => (Vec::new(), false),
            ActionConstraint::Eq(only) => (vec![only.id().unescaped()], true),
            ActionConstraint::In(list) => (list.iter().map(|each| each.id().unescaped()).collect(), false),
        }
    }

    /// Whether it is about rows and nothing else, and so may read their columns.
    pub(super) fn is_about_rows(&self) -> bool {
        match &self.resource {
            ResourceConstraint::Is(kind) | ResourceConstraint::IsIn(kind, _) => Kind::named(kind) == Some(Kind::Row),
            _ => false,
        }
    }

    /// Whether it may be about rows, and about other things too.
    pub(super) fn may_be_about_rows(&self) -> bool {
        self.admits_action("select")
            && match &self.resource {
                ResourceConstraint::Any => true,
                ResourceConstraint::In(holder) => Kind::of(holder) != Some(Kind::Column),
                _ => false,
            }
    }

    /// Whether a policy about rows is about those of a table inside of `holders`, which include the table itself.
    pub(super) fn admits_rows_in(&self, holders: &HashSet<EntityUid>) -> bool {
        match &self.resource {
            ResourceConstraint::IsIn(_, holder) => holders.contains(holder),
            _ => true,
        }
    }
}
