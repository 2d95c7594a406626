//! The `credentialName` of an Istio Gateway: a Secret, with or without a namespace, or something
//! else.
//!
//! istiod reads a name without a scheme as `kubernetes://name`. It uses the first two segments of the
//! path and ignores the others (`ToResourceName` and `ParseResourceName` in Istio's
//! pilot/pkg/model/credentials/resource.go). Neither the CRD nor istiod's webhook validates the name.

use crate::name;

/// A Secret that a credential name refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Credential<'a> {
    /// The namespace; if `None`, that of the gateway Pods.
    pub namespace: Option<&'a str>,
    /// The Secret's name.
    pub name: &'a str,
    /// Whether the scheme is `kubernetes-gateway://`. istiod serves such a Secret only to Gateways in
    /// the namespace of the gateway Pods (`identityVerified` in pilot/pkg/model/gateway.go).
    pub gateway_scheme: bool,
}

/// The reason why a credential name does not refer to a Secret for a server certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CredentialFault {
    /// The name is empty.
    NoName,
    /// `kubernetes-gateway://` without a namespace.
    NoNamespace,
    /// The name is not a valid name of a Secret.
    Name,
    /// The namespace is not a valid name of a Namespace.
    Namespace,
    /// The name ends in `-cacert`. istiod serves such a Secret as a CA, never as a server certificate
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

/// The suffix of the Secret of a CA (`SdsCaSuffix` in Istio's pilot/pkg/security/model).
pub const CA_SUFFIX: &str = "-cacert";
/// The Secrets of istiod's own CA, in the namespace that it runs in (security/pkg/pki/ca).
pub const OF_ISTIOD: [&str; 2] = ["cacerts", "istio-ca-secret"];

/// Whether Istio uses a Secret of that name for another purpose, so that a server certificate must not
/// be written to it.
pub fn is_reserved(name: &str) -> bool {
    OF_ISTIOD.contains(&name) || name.ends_with(CA_SUFFIX)
}

/// The object that a credential name with one of istiod's prefixes refers to.
#[derive(Clone, Copy)]
enum Scheme {
    Secret,
    GatewaySecret,
    NoSecret(CredentialFault),
}

/// The prefixes that istiod knows. It recognizes them only at the beginning: `ns/name/x://y` refers to
/// the Secret `name`.
const SCHEMES: [(&str, Scheme); 6] = [
    ("kubernetes://", Scheme::Secret),
    ("kubernetes-gateway://", Scheme::GatewaySecret),
    ("configmap://", Scheme::NoSecret(CredentialFault::ConfigMap)),
    ("builtin://", Scheme::NoSecret(CredentialFault::Builtin)),
    ("invalid://", Scheme::NoSecret(CredentialFault::Invalid)),
    ("sds://", Scheme::NoSecret(CredentialFault::Sds)),
];

impl<'a> Credential<'a> {
    /// Parses the credential name of a server certificate.
    ///
    /// # Errors
    /// The name does not refer to a Secret for a server certificate.
    pub fn parse(text: &'a str) -> Result<Self, CredentialFault> {
        let credential = Self::parse_any(text)?;
        if credential.name.ends_with(CA_SUFFIX) { Err(CredentialFault::CaSuffix) } else { Ok(credential) }
    }

    /// Parses any credential name, including that of a CA.
    ///
    /// # Errors
    /// The name does not refer to a Secret.
    pub fn parse_any(text: &'a str) -> Result<Self, CredentialFault> {
        let mut gateway_scheme = false;
        let mut path = text;
        for (prefix, scheme) in SCHEMES {
            let Some(rest) = text.strip_prefix(prefix) else { continue };
            match scheme {
                Scheme::Secret => path = rest,
                Scheme::GatewaySecret => (path, gateway_scheme) = (rest, true),
                Scheme::NoSecret(fault) => return Err(fault),
            }
        }
        let (namespace, name) = match path.split_once('/') {
            Some((namespace, rest)) => (Some(namespace), rest.split('/').next().unwrap_or_default()),
            None => (None, path),
        };
        match namespace {
            Some("") => return Err(CredentialFault::NoNamespace),
            None if gateway_scheme => return Err(CredentialFault::NoNamespace),
            Some(namespace) if namespace.ends_with(':') => return Err(CredentialFault::Scheme),
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

/// The Secret that istiod reads for any credential name, including that of a CA; `None` if it reads
/// none. `sds://x` falls back to the Secret `x` if no provider is configured
/// (`ConstructSdsSecretConfigForCredential` in pilot/pkg/security/model/authentication.go).
pub fn secret_of(text: &str) -> Option<Credential<'_>> {
    match Credential::parse_any(text) {
        Err(CredentialFault::Sds) => Credential::parse_any(text.strip_prefix("sds://")?).ok(),
        parsed => parsed.ok(),
    }
}

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
    #[case::suffix_without_hyphen("cacert", Ok((None, "cacert", false)))]
    #[case::longest_name(&"a".repeat(253), Ok((None, &*"a".repeat(253), false)))]
    #[case::name_too_long(&"a".repeat(254), Err(Name))]
    #[case::namespace_too_long(&format!("{}/a", "n".repeat(64)), Err(Namespace))]
    #[case::empty("", Err(NoName))]
    #[case::scheme_only("kubernetes://", Err(NoName))]
    #[case::no_name("istio-system/", Err(NoName))]
    #[case::no_namespace("/web-tls", Err(NoNamespace))]
    #[case::gateway_scheme_without_namespace("kubernetes-gateway://web-tls", Err(NoNamespace))]
    #[case::gateway_scheme_only("kubernetes-gateway://", Err(NoNamespace))]
    #[case::upper_case("Web", Err(Name))]
    #[case::space(" web", Err(Name))]
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
    fn a_ca_can_have_the_suffix() {
        assert_eq!(Credential::parse_any("web-cacert").map(|c| c.name), Ok("web-cacert"));
    }

    proptest! {
        #[test]
        fn parsed_names_are_valid(text in "(kubernetes(-gateway)?://)?[a-zA-Z0-9./-]{0,12}|\\PC*") {
            if let Ok(credential) = Credential::parse(&text) {
                prop_assert!(name::is_subdomain(credential.name));
                prop_assert!(credential.namespace.is_none_or(name::is_label));
            }
        }

        #[test]
        fn all_forms_of_a_secret_are_equal(namespace in "[a-z]{1,8}", name in "[a-z]{1,8}") {
            let plain = format!("{namespace}/{name}");
            let scheme = format!("kubernetes://{namespace}/{name}/ignored");
            prop_assert_eq!(Credential::parse(&plain), Credential::parse(&scheme));
        }
    }
}
