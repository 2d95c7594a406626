//! What a policy may ask its host for: host capabilities and context-aware resources.
//!
//! Patterns as in `crates/policy-evaluator/src/host_capabilities.rs`, the check of resources as in
//! `evaluation_context.rs`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The host capabilities that exist, as `{namespace}/{operation}`, sorted.
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

/// What a policy may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Which operations of the host it may call.
    pub capabilities: Capabilities,
    /// Which kinds it may read.
    pub resources: BTreeSet<ContextAwareResource>,
}

impl Grants {
    /// Whether a kind may be read: spelt exactly as it was granted.
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

/// A list of patterns: `*`, a prefix that ends with `/*`, or a whole capability. Empty: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    patterns: BTreeSet<String>,
}

impl Capabilities {
    /// Reads patterns.
    ///
    /// # Errors
    /// [`Error::Capability`] for one that can match nothing the host has.
    pub fn new(patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Error> {
        let patterns = patterns.into_iter().map(|pattern| check(pattern.as_ref().trim()));
        Ok(Self { patterns: patterns.collect::<Result<_, _>>()? })
    }

    /// Every capability: what kwctl grants unless told otherwise.
    #[must_use]
    pub fn all() -> Self {
        Self { patterns: BTreeSet::from(["*".to_owned()]) }
    }

    /// Whether `{namespace}/{operation}` may be called.
    #[must_use]
    pub fn allows(&self, capability: &str) -> bool {
        self.patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => capability.starts_with(prefix),
            None => capability == pattern,
        })
    }
}

fn check(pattern: &str) -> Result<String, Error> {
    let refuse = |reason: String| Err(Error::Capability { pattern: pattern.to_owned(), reason });
    if pattern.is_empty() {
        return refuse("a pattern must not be empty".to_owned());
    }
    let fits = match pattern.strip_suffix('*') {
        Some(prefix) if prefix.contains('*') || !(prefix.is_empty() || prefix.ends_with('/')) => {
            return refuse("`*` has to be the whole last part, as in `oci/*`".to_owned());
        }
        Some(prefix) => KNOWN.iter().any(|capability| capability.starts_with(prefix)),
        None if pattern.contains('*') => {
            return refuse("`*` has to be the whole last part, as in `oci/*`".to_owned());
        }
        None => KNOWN.contains(&pattern),
    };
    if fits {
        Ok(pattern.to_owned())
    } else if KNOWN.iter().any(|capability| capability.starts_with(&format!("{pattern}/"))) {
        refuse(format!("that is not a whole capability; `{pattern}/*` allows all below it"))
    } else {
        refuse(format!("there is no such capability, there are {}", KNOWN.join(", ")))
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
    #[case::blanks_around(" kubernetes/can_i ", "kubernetes/can_i", true)]
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
    #[case::half_a_part("oci/v1/oci_*", "the whole last part")]
    #[case::no_slash("oci*", "the whole last part")]
    #[case::in_the_middle("oci/*/verify", "the whole last part")]
    #[case::incomplete("kubernetes", "`kubernetes/*` allows all below it")]
    #[case::unknown("kubernetes/delete", "there is no such capability")]
    #[case::unknown_prefix("kube/*", "there is no such capability")]
    fn a_pattern_is_refused(#[case] pattern: &str, #[case] reason: &str) {
        let error = Capabilities::new([pattern]).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}
