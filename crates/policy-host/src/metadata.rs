//! metadata.yml: the requests that a policy handles, and the grants that it needs.
//!
//! The keys and rules are those of `crates/policy-evaluator/src/policy_metadata.rs`. The real host ignores
//! unknown keys. Here they are errors, because a misspelt grant would otherwise be noticed only in the
//! cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use semver::Version;
use serde::Deserialize;

use crate::{Capabilities, ContextAwareResource, Error, Grants};

/// The content of a metadata.yml.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The requests that the policy handles.
    pub rules: Vec<Rule>,
    /// Title, author and similar, with keys `io.kubewarden.policy.*` and `io.artifacthub.*`.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Whether the policy changes objects.
    pub mutating: bool,
    /// Whether the audit scanner runs it.
    #[serde(default = "yes")]
    pub background_audit: bool,
    /// The runtime that the module is written for.
    #[serde(default)]
    pub execution_mode: ExecutionMode,
    /// The kind of requests that it handles.
    #[serde(default)]
    pub policy_type: PolicyType,
    /// The kinds that it needs to read.
    #[serde(default)]
    pub context_aware_resources: BTreeSet<ContextAwareResource>,
    /// The host capabilities that it needs.
    #[serde(default)]
    pub host_capabilities: BTreeSet<String>,
    /// The oldest supported version of the host.
    pub minimum_kubewarden_version: Option<Version>,
}

/// Requests that the policy handles, as in a webhook configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// API groups, or `*` alone.
    pub api_groups: Vec<String>,
    /// API versions, or `*` alone.
    pub api_versions: Vec<String>,
    /// Plurals, optionally with `/subresource`.
    pub resources: Vec<String>,
    /// Operations, or `*` alone.
    pub operations: Vec<Operation>,
}

/// An operation of an admission request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// CREATE.
    Create,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// CONNECT.
    Connect,
    /// Every operation.
    #[serde(rename = "*")]
    All,
}

/// The runtime that a module is written for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExecutionMode {
    /// waPC, the default and the only one that runs here.
    #[default]
    KubewardenWapc,
    /// Open Policy Agent.
    Opa,
    /// Gatekeeper.
    Gatekeeper,
    /// A WASI command.
    Wasi,
}

/// The kind of requests that a policy handles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyType {
    /// AdmissionRequests.
    #[default]
    Kubernetes,
    /// Any JSON.
    Raw,
}

fn yes() -> bool {
    true
}

impl Metadata {
    /// Reads a metadata.yml.
    ///
    /// # Errors
    /// [`Error::Read`] if the file cannot be read, and [`Error::Metadata`] if its content is invalid.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::read(&path.display().to_string(), &text)
    }

    /// Parses the text of a metadata.yml.
    ///
    /// # Errors
    /// [`Error::Metadata`] if the text is invalid.
    pub fn from_yaml(text: &str) -> Result<Self, Error> {
        Self::read("metadata", text)
    }

    /// The grants that the policy needs.
    ///
    /// # Errors
    /// [`Error::Capability`] if a host capability is unknown.
    pub fn grants(&self) -> Result<Grants, Error> {
        let capabilities = Capabilities::new(&self.host_capabilities)?;
        Ok(Grants { capabilities, resources: self.context_aware_resources.clone() })
    }

    fn read(origin: &str, text: &str) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Metadata { origin: origin.to_owned(), reason };
        let metadata: Self = yaml_serde::from_str(text).map_err(|error| invalid(error.to_string()))?;
        metadata.check().map_err(invalid)?;
        Ok(metadata)
    }

    fn check(&self) -> Result<(), String> {
        for (index, rule) in self.rules.iter().enumerate() {
            let at = |field: &str, reason: &str| Err(format!("rules[{index}].{field}: {reason}"));
            let star_is_alone =
                |values: &[String]| values.len() < 2 || !values.iter().any(|value| value == "*");
            for (field, values) in [
                ("apiGroups", &rule.api_groups),
                ("apiVersions", &rule.api_versions),
                ("resources", &rule.resources),
            ] {
                if values.is_empty() {
                    return at(field, "must not be empty");
                }
                if field != "resources" && !star_is_alone(values) {
                    return at(field, "`*` must be the only entry");
                }
            }
            if rule.operations.is_empty() {
                return at("operations", "must not be empty");
            }
            if rule.operations.len() > 1 && rule.operations.contains(&Operation::All) {
                return at("operations", "`*` must be the only entry");
            }
            check_resources(&rule.resources).or_else(|reason| at("resources", &reason))?;
        }
        let unnamed =
            |resource: &&ContextAwareResource| resource.api_version.is_empty() || resource.kind.is_empty();
        if self.context_aware_resources.iter().any(|resource| unnamed(&resource)) {
            return Err("contextAwareResources: apiVersion and kind must not be empty".to_owned());
        }
        self.grants().map(drop).map_err(|error| format!("hostCapabilities: {error}"))
    }

    /// Compares major and minor, as the real host does (`crates/kwctl/src/backend.rs`).
    pub(crate) fn check_host(&self, host: &Version) -> Result<(), Error> {
        match &self.minimum_kubewarden_version {
            Some(minimum) if (minimum.major, minimum.minor) > (host.major, host.minor) => {
                let reason = format!(
                    "minimumKubewardenVersion: the policy requires Kubewarden {}.{} or later; this is {}.{}",
                    minimum.major, minimum.minor, host.major, host.minor
                );
                Err(Error::Metadata { origin: "metadata".to_owned(), reason })
            }
            _ => Ok(()),
        }
    }
}

/// Checks the API server's rules for webhooks, as the real host does.
fn check_resources(resources: &[String]) -> Result<(), String> {
    if resources.iter().any(String::is_empty) {
        return Err("must not contain an empty name".to_owned());
    }
    if resources.len() > 1 && resources.iter().any(|resource| resource == "*/*") {
        return Err("`*/*` must be the only entry".to_owned());
    }
    if resources.iter().any(|resource| resource == "*")
        && resources.iter().any(|resource| resource != "*" && !resource.contains('/'))
    {
        return Err("`*` covers every resource; remove the others".to_owned());
    }
    for resource in resources {
        let Some((name, subresource)) = resource.split_once('/') else { continue };
        let covered_by = |wider: String| wider != *resource && resources.contains(&wider);
        if covered_by(format!("{name}/*")) || covered_by(format!("*/{subresource}")) {
            return Err(format!("{resource} is covered by a wildcard in the same list; remove it"));
        }
    }
    Ok(())
}

impl fmt::Display for ExecutionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KubewardenWapc => "kubewarden-wapc",
            Self::Opa => "opa",
            Self::Gatekeeper => "gatekeeper",
            Self::Wasi => "wasi",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    const GOOD: &str = "\
rules:
- apiGroups: [networking.istio.io]
  apiVersions: [v1, v1beta1]
  resources: [gateways]
  operations: [CREATE, UPDATE]
mutating: true
contextAwareResources:
- {apiVersion: cert-manager.io/v1, kind: Issuer}
hostCapabilities: [kubernetes/get_resource]
minimumKubewardenVersion: 1.35.0
";

    #[test]
    fn defaults_match_the_real_host() {
        let metadata = Metadata::from_yaml(GOOD).unwrap();
        assert!(metadata.background_audit);
        assert_eq!(metadata.execution_mode, ExecutionMode::KubewardenWapc);
        assert_eq!(metadata.policy_type, PolicyType::Kubernetes);
        let grants = metadata.grants().unwrap();
        assert!(grants.allows_resource("cert-manager.io/v1", "Issuer"));
        assert!(!grants.allows_resource("cert-manager.io/v1", "issuer"), "case-sensitive");
        assert!(grants.capabilities.allows("kubernetes/get_resource"));
        assert!(!grants.capabilities.allows("kubernetes/can_i"));
    }

    #[rstest]
    #[case::unknown_key("mutating: true", "mutating: true\nmutable: true", "unknown field `mutable`")]
    #[case::misspelt_grant("contextAwareResources", "contextAwareResource", "unknown field")]
    #[case::unknown_rule_key("resources: [", "resource: [", "unknown field `resource`")]
    #[case::missing("mutating: true\n", "", "missing field `mutating`")]
    #[case::lower_case_operation("CREATE", "create", "unknown variant `create`")]
    #[case::star_with_others(
        "[v1, v1beta1]",
        "[v1, '*']",
        "rules[0].apiVersions: `*` must be the only entry"
    )]
    #[case::star_operation_with_others(
        "[CREATE, UPDATE]",
        "[CREATE, '*']",
        "rules[0].operations: `*` must be the only entry"
    )]
    #[case::no_resource("[gateways]", "[]", "rules[0].resources: must not be empty")]
    #[case::covered("[gateways]", "['gateways/*', gateways/status]", "gateways/status is covered")]
    #[case::short_version("1.35.0", "'1.35'", "unexpected end of input while parsing minor version")]
    #[case::no_capability("get_resource", "get_resources", "hostCapabilities: host capability")]
    #[case::execution_mode(
        "mutating:",
        "executionMode: kubewarden\nmutating:",
        "unknown variant `kubewarden`"
    )]
    fn errors_are_reported(#[case] from: &str, #[case] to: &str, #[case] expected: &str) {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD);
        let error = Metadata::from_yaml(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[rstest]
    #[case::older("1.35.9", true)]
    #[case::same_with_patch("1.36.7", true)]
    #[case::newer("1.37.0", false)]
    #[case::next_major("2.0.0", false)]
    fn the_host_must_be_new_enough(#[case] minimum: &str, #[case] fits: bool) {
        let metadata = Metadata::from_yaml(&GOOD.replace("1.35.0", minimum)).unwrap();
        assert_eq!(metadata.check_host(&crate::Host::VERSION).is_ok(), fits);
    }
    proptest! {
        #[test]
        fn a_damaged_file_is_parsed_or_rejected(at in 0..GOOD.len(), with in ".{0,3}") {
            let mut text = GOOD.to_owned();
            text.replace_range(at..=at, &with);
            let _ = Metadata::from_yaml(&text);
        }
    }
}
