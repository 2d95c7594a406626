//! AccessRule fixtures: the operations that `can_i` allows. Without a rule, it denies.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{KubernetesCanI, ResourceAttributes};

/// The `spec` of an AccessRule.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AccessRule {
    user: Option<String>,
    group: Option<String>,
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    namespaces: Option<Vec<String>>,
    names: Option<Vec<String>>,
}

impl AccessRule {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.user.is_none() && self.group.is_none() {
            return Err("the rule does not apply to anyone: set `user` or `group`".to_owned());
        }
        Ok(())
    }

    fn allows(&self, can_i: &KubernetesCanI) -> bool {
        let request = &can_i.request;
        let asked = &request.resource_attributes;
        let groups = request.groups.as_deref().unwrap_or_default();
        let subject = self.user.as_ref().is_some_and(|user| *user == request.user)
            || self.group.as_ref().is_some_and(|group| groups.contains(group));
        subject
            && covers(&self.verbs, &asked.verb)
            && covers(&self.api_groups, asked.group.as_deref().unwrap_or_default())
            && covers(&self.resources, &plural_with_subresource(asked))
            && self
                .namespaces
                .as_ref()
                .is_none_or(|all| covers(all, asked.namespace.as_deref().unwrap_or_default()))
            && self.names.as_ref().is_none_or(|all| covers(all, asked.name.as_deref().unwrap_or_default()))
    }
}

fn covers(granted: &[String], asked: &str) -> bool {
    granted.iter().any(|value| value == "*" || value == asked)
}

fn plural_with_subresource(asked: &ResourceAttributes) -> String {
    match asked.subresource.as_deref() {
        Some(subresource) if !subresource.is_empty() => format!("{}/{subresource}", asked.resource),
        _ => asked.resource.clone(),
    }
}

/// The status of a SubjectAccessReview.
pub(crate) fn review(rules: &[AccessRule], can_i: &KubernetesCanI) -> Value {
    json!({"allowed": rules.iter().any(|rule| rule.allows(can_i))})
}
