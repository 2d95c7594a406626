//! What an Istio Gateway's `credentialName` names: a Secret, with or without its namespace, or
//! something else.
//!
//! istiod takes a name for `kubernetes://name` unless it begins with a scheme, and reads the first
//! two segments of the path; further ones are ignored (`ToResourceName` and `ParseResourceName` in
//! Istio's pilot/pkg/model/credentials/resource.go). It never checks what it is given, so neither
//! the CRD nor istiod's webhook has refused what is refused here.

use std::fmt;

use crate::name;

/// A Secret that a credential name refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Credential<'a> {
    /// The namespace, where it is given; else the gateway Pods' own.
    pub namespace: Option<&'a str>,
    /// The Secret's name.
    pub name: &'a str,
    /// Written as `kubernetes-gateway://`: istiod serves it only to Gateways that live with the
    /// gateway Pods (`identityVerified` in pilot/pkg/model/gateway.go).
    pub gateway_scheme: bool,
}

/// Why a credential name refers to no Secret that a server certificate could be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CredentialFault {
    /// It is empty, or its name part is.
    NoName,
    /// `kubernetes-gateway://` without a namespace.
    NoNamespace,
    /// The name cannot be that of a Secret.
    Name,
    /// The namespace cannot be that of a Namespace.
    Namespace,
    /// It ends in `-cacert`: istiod serves such a Secret as a CA, never as a server certificate
    /// (pilot/pkg/xds/sds.go).
    CaSuffix,
    /// `configmap://`: a CA bundle.
    ConfigMap,
    /// `builtin://`: the workload's own certificate.
    Builtin,
    /// `sds://`: served by an external provider.
    Sds,
    /// `invalid://`: never valid.
    Invalid,
    /// Another scheme, which istiod does not know.
    Scheme,
}

/// What ends the name of a CA's Secret (`SdsCaSuffix` in Istio's pilot/pkg/security/model).
pub const CA_SUFFIX: &str = "-cacert";
/// The Secrets of istiod's own CA, in the namespace that it runs in (security/pkg/pki/ca).
pub const OF_ISTIOD: [&str; 2] = ["cacerts", "istio-ca-secret"];

/// Whether Istio reads a Secret of that name as something else than a server certificate, so that
/// none may ever be written to it.
pub fn is_reserved(name: &str) -> bool {
    OF_ISTIOD.contains(&name) || name.ends_with(CA_SUFFIX)
}

impl<'a> Credential<'a> {
    /// Reads the name of a server certificate's credential.
    ///
    /// # Errors
    /// Why it is no Secret that a server certificate could be written to.
    pub fn parse(text: &'a str) -> Result<Self, CredentialFault> {
        let credential = Self::parse_any(text)?;
        if credential.name.ends_with(CA_SUFFIX) { Err(CredentialFault::CaSuffix) } else { Ok(credential) }
    }

    /// Reads the name of any credential, a CA's included.
    ///
    /// # Errors
    /// Why it is no Secret.
    pub fn parse_any(text: &'a str) -> Result<Self, CredentialFault> {
        let (scheme, path) = match text.split_once("://") {
            Some((scheme, path)) => (Some(scheme), path),
            None => (None, text),
        };
        let gateway_scheme = match scheme {
            None | Some("kubernetes") => false,
            Some("kubernetes-gateway") => true,
            Some("configmap") => return Err(CredentialFault::ConfigMap),
            Some("builtin") => return Err(CredentialFault::Builtin),
            Some("sds") => return Err(CredentialFault::Sds),
            Some("invalid") => return Err(CredentialFault::Invalid),
            Some(_) => return Err(CredentialFault::Scheme),
        };
        let (namespace, name) = match path.split_once('/') {
            Some((namespace, rest)) => (Some(namespace), rest.split('/').next().unwrap_or_default()),
            None => (None, path),
        };
        match namespace {
            Some("") => return Err(CredentialFault::NoNamespace),
            None if gateway_scheme => return Err(CredentialFault::NoNamespace),
            Some(namespace) if !name::is_label(namespace) => return Err(CredentialFault::Namespace),
            _ => {}
        }
        if name.is_empty() {
            Err(CredentialFault::NoName)
        } else if !name::is_subdomain(name) {
            Err(CredentialFault::Name)
        } else {
            Ok(Credential { namespace, name, gateway_scheme })
        }
    }
}

impl fmt::Display for CredentialFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CredentialFault::NoName => "it names no Secret",
            CredentialFault::NoNamespace => "its namespace is missing",
            CredentialFault::Name => "it cannot be the name of a Secret",
            CredentialFault::Namespace => "its namespace cannot be the name of a Namespace",
            CredentialFault::CaSuffix => {
                "istiod serves a Secret with the suffix -cacert as a CA, never as a server certificate"
            }
            CredentialFault::ConfigMap => "it is a ConfigMap, which holds CAs only",
            CredentialFault::Builtin => "it is the workload's own certificate",
            CredentialFault::Sds => "it is served by an external SDS provider",
            CredentialFault::Invalid => "invalid:// is never valid",
            CredentialFault::Scheme => "istiod does not know its scheme",
        })
    }
}

impl std::error::Error for CredentialFault {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    use CredentialFault::*;

    #[rstest]
    #[case::name("web-tls", Ok((None, "web-tls", false)))]
    #[case::dots("web.example.com", Ok((None, "web.example.com", false)))]
    #[case::namespace("istio-system/web-tls", Ok((Some("istio-system"), "web-tls", false)))]
    #[case::scheme("kubernetes://web-tls", Ok((None, "web-tls", false)))]
    #[case::scheme_and_namespace("kubernetes://istio-system/web-tls", Ok((Some("istio-system"), "web-tls", false)))]
    #[case::gateway_scheme("kubernetes-gateway://team-a/web-tls", Ok((Some("team-a"), "web-tls", true)))]
    #[case::further_segments("a/b/c/d", Ok((Some("a"), "b", false)))]
    #[case::the_suffix_alone_is_no_suffix_of_a_name("cacert", Ok((None, "cacert", false)))]
    #[case::longest_name(&"a".repeat(253), Ok((None, &*"a".repeat(253), false)))]
    #[case::too_long_a_name(&"a".repeat(254), Err(Name))]
    #[case::too_long_a_namespace(&format!("{}/a", "n".repeat(64)), Err(Namespace))]
    #[case::empty("", Err(NoName))]
    #[case::scheme_only("kubernetes://", Err(NoName))]
    #[case::no_name("istio-system/", Err(NoName))]
    #[case::no_namespace("/web-tls", Err(NoNamespace))]
    #[case::gateway_scheme_without_namespace("kubernetes-gateway://web-tls", Err(NoNamespace))]
    #[case::gateway_scheme_only("kubernetes-gateway://", Err(NoNamespace))]
    #[case::upper_case("Web", Err(Name))]
    #[case::blank(" web", Err(Name))]
    #[case::underscore("web_tls", Err(Name))]
    #[case::namespace_with_dot("a.b/web", Err(Namespace))]
    #[case::ca("web-cacert", Err(CaSuffix))]
    #[case::ca_in_namespace("istio-system/web-cacert", Err(CaSuffix))]
    #[case::config_map("configmap://ns/ca", Err(ConfigMap))]
    #[case::builtin("builtin://", Err(Builtin))]
    #[case::sds("sds://web", Err(Sds))]
    #[case::invalid("invalid://x", Err(Invalid))]
    #[case::unknown_scheme("vault://x", Err(Scheme))]
    #[case::schemes_are_lower_case("Kubernetes://x", Err(Scheme))]
    fn parsed(#[case] text: &str, #[case] expected: Result<(Option<&str>, &str, bool), CredentialFault>) {
        let credential = Credential::parse(text);
        assert_eq!(credential.map(|c| (c.namespace, c.name, c.gateway_scheme)), expected);
    }

    #[test]
    fn a_ca_may_end_in_the_suffix() {
        assert_eq!(Credential::parse_any("web-cacert").map(|c| c.name), Ok("web-cacert"));
    }

    proptest! {
        #[test]
        fn whatever_is_read_can_exist(text in "(kubernetes(-gateway)?://)?[a-zA-Z0-9./-]{0,12}|\\PC*") {
            if let Ok(credential) = Credential::parse(&text) {
                prop_assert!(name::is_subdomain(credential.name));
                prop_assert!(credential.namespace.is_none_or(name::is_label));
            }
        }

        #[test]
        fn every_form_of_a_secret_reads_the_same(namespace in "[a-z]{1,8}", name in "[a-z]{1,8}") {
            let plain = format!("{namespace}/{name}");
            let scheme = format!("kubernetes://{namespace}/{name}/ignored");
            prop_assert_eq!(Credential::parse(&plain), Credential::parse(&scheme));
        }
    }
}
