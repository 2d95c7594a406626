//! The grants of a policy: host capabilities and context-aware resources.
//!
//! The patterns are those of `crates/policy-evaluator/src/host_capabilities.rs`, the check of resources is
//! that of `evaluation_context.rs`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Error;

/// All host capabilities, as `{namespace}/{operation}`, sorted.
const KNOWN: [&str; 11] = [
    "crypto/v1/is_certificate_trusted",
    "kubernetes/can_i",
    "kubernetes/get_resource",
    "kubernetes/list_resources_all",
    "kubernetes/list_resources_by_namespace",
    "net/v1/dns_lookup_host",
    "oci/v1/manifest_digest",
    "oci/v1/oci_manifest",
    "oci/v1/oci_manifest_config",
    "oci/v1/verify",
    "oci/v2/verify",
];

/// The host capabilities and kinds that a policy may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// The operations of the host that it may call.
    pub capabilities: Capabilities,
    /// The kinds that it may read.
    pub resources: BTreeSet<ContextAwareResource>,
}

impl Grants {
    /// Whether the policy may read a kind. The spelling must be exactly that of the grant.
    #[must_use]
    pub fn allows_resource(&self, api_version: &str, kind: &str) -> bool {
        self.resources.iter().any(|granted| granted.api_version == api_version && granted.kind == kind)
    }
}

/// A kind that a policy may read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContextAwareResource {
    /// `v1`, or group/version.
    pub api_version: String,
    /// The singular, as in manifests.
    pub kind: String,
}

/// A list of patterns: `*`, a prefix that ends with `/*`, or a complete capability. An empty list allows
/// nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    patterns: BTreeSet<String>,
}

impl Capabilities {
    /// Parses patterns.
    ///
    /// # Errors
    /// [`Error::Capability`] if a pattern does not match any host capability.
    pub fn new(patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Error> {
        let patterns = patterns.into_iter().map(|pattern| check(pattern.as_ref().trim()));
        Ok(Self { patterns: patterns.collect::<Result<_, _>>()? })
    }

    /// Every capability: kwctl's default.
    #[must_use]
    pub fn all() -> Self {
        Self { patterns: BTreeSet::from(["*".to_owned()]) }
    }

    /// Whether the policy may call `{namespace}/{operation}`.
    #[must_use]
    pub fn allows(&self, capability: &str) -> bool {
        self.patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => capability.starts_with(prefix),
            None => capability == pattern,
        })
    }
}

fn check(pattern: &str) -> Result<String, Error> {
    let invalid = |reason: String| Err(Error::Capability { pattern: pattern.to_owned(), reason });
    if pattern.is_empty() {
        return invalid("a pattern must not be empty".to_owned());
    }
    let fits = match pattern.strip_suffix('*') {
        Some(prefix) if prefix.contains('*') || !(prefix.is_empty() || prefix.ends_with('/')) => {
            return invalid("`*` must be the complete last part, as in `oci/*`".to_owned());
        }
        Some(prefix) => KNOWN.iter().any(|capability| capability.starts_with(prefix)),
        None if pattern.contains('*') => {
            return invalid("`*` must be the complete last part, as in `oci/*`".to_owned());
        }
        None => KNOWN.contains(&pattern),
    };
    if fits {
        Ok(pattern.to_owned())
    } else if KNOWN.iter().any(|capability| capability.starts_with(&format!("{pattern}/"))) {
        invalid(format!("incomplete capability; use `{pattern}/*` to allow all below it"))
    } else {
        invalid(format!("unknown capability; valid values: {}", KNOWN.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::exact("kubernetes/get_resource", "kubernetes/get_resource", true)]
    #[case::other_operation("kubernetes/get_resource", "kubernetes/can_i", false)]
    #[case::longer_operation("oci/v1/oci_manifest", "oci/v1/oci_manifest_config", false)]
    #[case::prefix("oci/*", "oci/v2/verify", true)]
    #[case::version_prefix("oci/v1/*", "oci/v2/verify", false)]
    #[case::everything("*", "kubernetes/get_resource", true)]
    #[case::surrounding_spaces(" kubernetes/can_i ", "kubernetes/can_i", true)]
    fn a_pattern_allows(#[case] pattern: &str, #[case] capability: &str, #[case] allowed: bool) {
        assert_eq!(Capabilities::new([pattern]).unwrap().allows(capability), allowed);
    }

    #[test]
    fn nothing_is_allowed_by_default() {
        assert!(KNOWN.iter().all(|capability| !Capabilities::default().allows(capability)));
        assert!(KNOWN.iter().all(|capability| Capabilities::all().allows(capability)));
    }

    #[rstest]
    #[case::empty("", "must not be empty")]
    #[case::half_a_part("oci/v1/oci_*", "the complete last part")]
    #[case::no_slash("oci*", "the complete last part")]
    #[case::in_the_middle("oci/*/verify", "the complete last part")]
    #[case::incomplete("kubernetes", "use `kubernetes/*` to allow all below it")]
    #[case::unknown("kubernetes/delete", "unknown capability")]
    #[case::unknown_prefix("kube/*", "unknown capability")]
    fn an_invalid_pattern_is_rejected(#[case] pattern: &str, #[case] reason: &str) {
        let error = Capabilities::new([pattern]).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}
