//! A credential name does not refer to a Secret that a certificate can be written to.
//!
//! istiod does not check credential names: a name that no Secret can have is just never found. It
//! reads Secrets in the namespaces of the gateway Pods only, and serves a name with the suffix
//! `-cacert` only as a CA. `cacerts` and `istio-ca-secret` hold istiod's own CA: a certificate
//! written there breaks the mesh.
//!
//! Rejected:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: Shop_TLS}
//! ```
//! Accepted:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```

use certificate_shim::credential::{Credential, CredentialFault, OF_ISTIOD};
use certificate_shim::gateway::GatewayKind;
use certificate_shim::skip::ServerFault;

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::servers::faults;
use crate::text::{quote, quoted_list};

/// `credential-name-invalid`
pub const RULE: Rule = Rule::reject("credential-name-invalid", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    faults(context, |fault, place, named| {
        if is_about_name(fault) {
            findings.report_each_with(&named.secrets(context), named.text, || {
                let (problem, help) = of_fault(fault, named.text, context).unwrap_or_default();
                (place.to_string(), problem, help)
            });
        }
    });
    if context.gateway.kind != GatewayKind::Istio {
        return;
    }
    for certificate in &context.plan.certificates {
        let name = certificate.secret_name.as_str();
        if OF_ISTIOD.contains(&name) {
            let problem = format!("istiod keeps its own CA in {}", quote(name));
            for place in &certificate.places {
                findings
                    .report(place.to_string(), &*problem)
                    .subject(name)
                    .help("Use another Secret.")
                    .about(certificate.secret());
            }
        }
    }
}

/// Whether the fault is about the credential's name, and nothing else serves it, such as a provider or
/// the workload's own certificate.
fn is_about_name(fault: &ServerFault) -> bool {
    match fault {
        ServerFault::Credential(fault) => !matches!(fault, CredentialFault::Sds | CredentialFault::Builtin),
        ServerFault::NotInPlacement(_) | ServerFault::NotWithPods(_) | ServerFault::ThirdCredential => true,
        ServerFault::NoMode | ServerFault::UnknownMode(_) | ServerFault::NoName => false,
    }
}

/// The problem and the help; `None` if the fault is not about the credential's name.
fn of_fault(fault: &ServerFault, text: &str, context: &Context<'_>) -> Option<(String, String)> {
    let shown = quote(text);
    let name_alone = || {
        let name = Credential::parse(text).map_or(text, |credential| credential.name);
        format!("Use the name alone: {}.", quote(name))
    };
    Some(match fault {
        ServerFault::Credential(fault) => of_text(*fault, &shown)?,
        ServerFault::NotInPlacement(namespace) => {
            let read = quoted_list(&context.placement);
            (format!("the gateway Pods read Secrets in {read}, not in {}", quote(namespace)), name_alone())
        }
        ServerFault::NotWithPods(namespace) => {
            let namespace = quote(namespace);
            (
                format!("istiod serves kubernetes-gateway:// only to a Gateway in {namespace} itself"),
                name_alone(),
            )
        }
        ServerFault::ThirdCredential => {
            (format!("{shown} is never served: Istio takes two credentials"), "Remove it.".to_owned())
        }
        ServerFault::NoMode | ServerFault::UnknownMode(_) | ServerFault::NoName => return None,
    })
}

/// The problem and the help; `None` for a credential that is not a Secret but is served.
fn of_text(fault: CredentialFault, shown: &str) -> Option<(String, String)> {
    const ALONE: &str = "Use the name of a Secret alone.";
    const CHARACTERS: &str = "Use lower-case letters, digits, hyphens and dots.";
    let (problem, help) = match fault {
        // Served by a provider, or from the workload's own certificate.
        CredentialFault::Sds | CredentialFault::Builtin => return None,
        CredentialFault::NoName => (format!("{shown} names no Secret"), ALONE),
        CredentialFault::NoNamespace => (format!("{shown} has no namespace"), ALONE),
        CredentialFault::Name => (format!("{shown} cannot be the name of a Secret"), CHARACTERS),
        CredentialFault::Namespace => (format!("{shown} has an invalid namespace"), CHARACTERS),
        CredentialFault::CaSuffix => {
            (format!("Istio serves {shown} only as a CA"), "Use a name without the suffix -cacert.")
        }
        CredentialFault::ConfigMap => (format!("{shown} is a ConfigMap, which holds only CAs"), ALONE),
        CredentialFault::Invalid => (format!("{shown} is never valid"), ALONE),
        CredentialFault::Scheme => (format!("istiod does not know the scheme of {shown}"), ALONE),
    };
    Some((problem, help.to_owned()))
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use crate::rule::Caller;
    use certificate_shim::plan::SecretName;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn with_tls(tls: Value) -> GatewayFixture {
        istio("shop").cert_manager("cluster-issuer", "le").with("/spec/servers/0/tls", tls)
    }

    fn with_credential(name: &str) -> GatewayFixture {
        with_tls(json!({"mode": "SIMPLE", "credentialName": name}))
    }

    /// The problem tells the faults apart by a word of it.
    #[rstest]
    #[case::name("shop-tls", None)]
    #[case::dots("shop.example.com", None)]
    #[case::scheme("kubernetes://shop-tls", None)]
    #[case::own_namespace("team-a/shop-tls", None)]
    #[case::external("sds://shop", None)]
    #[case::upper_case("Shop_TLS", Some("cannot be the name"))]
    #[case::bad_namespace("a.b/shop", Some("invalid namespace"))]
    #[case::no_namespace("kubernetes-gateway://shop", Some("no namespace"))]
    #[case::no_name("team-a/", Some("names no Secret"))]
    #[case::config_map("configmap://team-a/ca", Some("ConfigMap"))]
    #[case::builtin("builtin://", None)]
    #[case::never_valid("invalid://", Some("never valid"))]
    #[case::unknown_scheme("vault://x", Some("scheme"))]
    #[case::ca("shop-cacert", Some("as a CA"))]
    #[case::another_namespace("team-b/shop-tls", Some("not in \"team-b\""))]
    fn one(#[case] name: &str, #[case] expected: Option<&str>) {
        let gateway = with_credential(name);
        let found = gateway.found_by("credential-name-invalid", &cluster());
        let line = || format!("reject spec.servers[0].tls.credentialName | {name}");
        assert_eq!(found, expected.map(|_| line()).into_iter().collect::<Vec<_>>());
        let problems = gateway.findings_of("credential-name-invalid", &cluster());
        assert!(expected.is_none_or(|word| problems[0].contains(word)), "{problems:?}");
    }

    #[rstest]
    #[case::invalid(&["a", "B"], &["reject spec.servers[0].tls.credentialNames[1] | B"])]
    #[case::third(&["a", "b", "c"], &["reject spec.servers[0].tls.credentialNames[2] | c"])]
    #[case::own_ca(&["a", "cacerts"], &["reject spec.servers[0].tls.credentialNames[1] | cacerts"])]
    #[case::own_ca_with_namespace(&["a", "team-a/istio-ca-secret"], &[
        "reject spec.servers[0].tls.credentialNames[1] | istio-ca-secret"
    ])]
    #[case::own_ca_twice(&["cacerts", "team-a/cacerts"], &[
        "reject spec.servers[0].tls.credentialNames[0] | cacerts",
        "reject spec.servers[0].tls.credentialNames[1] | cacerts",
    ])]
    fn one_of_several(#[case] names: &[&str], #[case] expected: &[&str]) {
        let gateway = with_tls(json!({"mode": "SIMPLE", "credentialNames": names}));
        assert_eq!(gateway.found_by("credential-name-invalid", &cluster()), expected);
    }

    #[rstest]
    #[case::no_secret("Shop_TLS", &[])]
    #[case::only_a_ca("shop-cacert", &["team-a/shop-cacert"])]
    #[case::own_ca("cacerts", &["team-a/cacerts"])]
    fn about_the_secret(#[case] name: &str, #[case] expected: &[&str]) {
        let findings = with_credential(name).checked(&cluster(), Caller::Controller).findings;
        let secrets = findings.iter().filter_map(|finding| finding.certificate.as_ref());
        assert_eq!(secrets.map(SecretName::to_string).collect::<Vec<_>>(), expected);
    }

    #[rstest]
    #[case::of_another_server(json!({"credentialName": "B"}))]
    #[case::no_name(json!({"mode": "SIMPLE", "credentialName": "b"}))]
    fn not_about_the_name(#[case] tls: Value) {
        let gateway = with_tls(tls).with("/spec/servers/0/hosts", json!(["*"]));
        assert_eq!(gateway.found_by("credential-name-invalid", &cluster()), Vec::<String>::new());
    }

    #[test]
    fn the_gateway_scheme_is_for_gateways_next_to_the_pods() {
        let known = json!({"gateway_namespaces": [
            {"labels": {"istio": "ingressgateway"}, "namespace": "istio-system"}
        ]});
        let gateway = with_credential("kubernetes-gateway://istio-system/shop").settings(known);
        assert_eq!(
            gateway.found_by("credential-name-invalid", &cluster()),
            ["reject spec.servers[0].tls.credentialName | kubernetes-gateway://istio-system/shop"]
        );
    }

    #[test]
    fn listeners_can_name_any_secret() {
        let gateway = gateway_api("web").cert_manager("cluster-issuer", "le");
        let gateway = gateway.with("/spec/listeners/0/tls/certificateRefs/0/name", json!("cacerts"));
        assert_eq!(gateway.found(&cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::the_same("Shop_TLS", "Shop_TLS", true)]
    #[case::another("Shop", "Shop_TLS", false)]
    #[case::own_ca_kept("cacerts", "cacerts", true)]
    #[case::own_ca("shop-tls", "cacerts", false)]
    fn updates(#[case] before: &str, #[case] after: &str, #[case] accepted: bool) {
        let new = with_credential(after).annotation("a", "b");
        assert_eq!(new.update_from(&with_credential(before), &cluster()).accepted, accepted);
    }
}
