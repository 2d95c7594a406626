//! A credential name is none of a Secret that a certificate can be written to.
//!
//! istiod never checks what it is given: a name that no Secret can have is simply never found. A name
//! with a namespace is served only from the namespace of the gateway Pods, a name that ends in
//! `-cacert` only as a CA. `cacerts` and `istio-ca-secret` hold istiod's own CA; a certificate written
//! there would take the mesh down.
//!
//! Refused:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: Shop_TLS}
//! ```
//! Accepted:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```

use certificate_shim::credential::{Credential, CredentialFault, OF_ISTIOD};
use certificate_shim::gateway::GatewayKind;
use certificate_shim::skip::SkipReason;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};

use crate::servers::{add, skipped};
use crate::text::quote;

/// `credential-name-invalid`
pub const RULE: Rule = Rule {
    id: "credential-name-invalid",
    default: Level::Reject,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    skipped(context, |reason, place, named| {
        let text = named.text;
        let name = || quote(Credential::parse(text).map_or(text, |credential| credential.name));
        let (what, mend) = match reason {
            SkipReason::Credential(CredentialFault::Sds) => return,
            SkipReason::Credential(fault) => (format!("{}: {fault}", quote(text)), mend(*fault).to_owned()),
            SkipReason::NotInPlacement(namespace) => (
                format!(
                    "the gateway's Secrets are read in {}, not in {}",
                    context.placement.join(", "),
                    quote(namespace)
                ),
                format!("Give the name alone: {}.", name()),
            ),
            SkipReason::NotWithPods(namespace) => (
                format!(
                    "istiod serves kubernetes-gateway:// only to a Gateway in {} itself",
                    quote(namespace)
                ),
                format!("Give the name alone: {}.", name()),
            ),
            SkipReason::ThirdCredential => {
                ("Istio takes two credentials at most".to_owned(), format!("Remove {}.", quote(text)))
            }
            _ => return,
        };
        add(findings, context, text, place, "", (what, mend));
    });
    if context.gateway.kind != GatewayKind::Istio {
        return;
    }
    for certificate in &context.plan.certificates {
        if OF_ISTIOD.contains(&certificate.secret_name.as_str()) {
            let name = &certificate.secret_name;
            for place in &certificate.places {
                let what = format!("istiod keeps its own CA in {}", quote(name));
                let mend = "Name another Secret.";
                findings.add_about(&certificate.secret(), place.to_string(), name, what, mend);
            }
        }
    }
}

fn mend(fault: CredentialFault) -> &'static str {
    match fault {
        CredentialFault::Name | CredentialFault::Namespace => {
            "Name a Secret: lower-case letters, digits, hyphens and dots."
        }
        CredentialFault::CaSuffix => "Choose a name with another ending.",
        _ => "Give the name of a Secret alone.",
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    const ALONE: &str = "Give the name of a Secret alone.";
    const SECRET: &str = "Name a Secret: lower-case letters, digits, hyphens and dots.";

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn with_credential(name: &str) -> GatewayFixture {
        with_tls(json!({"mode": "SIMPLE", "credentialName": name}))
    }

    fn with_tls(tls: Value) -> GatewayFixture {
        istio("shop").cert_manager("cluster-issuer", "le").with("/spec/servers/0/tls", tls)
    }

    #[rstest]
    #[case::name("shop-tls", None)]
    #[case::dots("shop.example.com", None)]
    #[case::scheme("kubernetes://shop-tls", None)]
    #[case::own_namespace("team-a/shop-tls", None)]
    #[case::external("sds://shop", None)]
    #[case::upper_case("Shop_TLS", Some(("\"Shop_TLS\": it cannot be the name of a Secret", SECRET)))]
    #[case::bad_namespace("a.b/shop", Some(("\"a.b/shop\": its namespace cannot be the name of a Namespace", SECRET)))]
    #[case::no_name("team-a/", Some(("\"team-a/\": it names no Secret", ALONE)))]
    #[case::config_map("configmap://team-a/ca", Some(("\"configmap://team-a/ca\": it is a ConfigMap, which holds CAs only", ALONE)))]
    #[case::builtin("builtin://", Some(("\"builtin://\": it is the workload's own certificate", ALONE)))]
    #[case::unknown_scheme("vault://x", Some(("\"vault://x\": istiod does not know its scheme", ALONE)))]
    #[case::ca("shop-cacert", Some((
        "\"shop-cacert\": istiod serves a Secret with the suffix -cacert as a CA, never as a server certificate",
        "Choose a name with another ending."
    )))]
    #[case::another_namespace("team-b/shop-tls", Some((
        "the gateway's Secrets are read in team-a, not in \"team-b\"", "Give the name alone: \"shop-tls\"."
    )))]
    #[case::own_ca("cacerts", Some(("istiod keeps its own CA in \"cacerts\"", "Name another Secret.")))]
    #[case::own_ca_by_path("team-a/istio-ca-secret", Some(("istiod keeps its own CA in \"istio-ca-secret\"", "Name another Secret.")))]
    fn found(#[case] name: &str, #[case] expected: Option<(&str, &str)>) {
        let expected =
            expected.map(|(what, mend)| format!("spec.servers[0].tls.credentialName: {what}. {mend}"));
        let findings = with_credential(name).findings_of("credential-name-invalid", &cluster());
        assert_eq!(findings, expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn each_of_several() {
        let gateway = with_tls(json!({"mode": "SIMPLE", "credentialNames": ["a", "B", "c"]}));
        assert_eq!(
            gateway.findings_of("credential-name-invalid", &cluster()),
            [
                format!(
                    "spec.servers[0].tls.credentialNames[1]: \"B\": it cannot be the name of a Secret. {SECRET}"
                ),
                "spec.servers[0].tls.credentialNames[2]: Istio takes two credentials at most. Remove \"c\"."
                    .to_owned(),
            ]
        );
    }

    #[test]
    fn the_gateway_scheme_is_for_gateways_beside_the_pods() {
        let known = json!({"gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": "istio-system"}]});
        let gateway = with_credential("kubernetes-gateway://istio-system/shop").settings(known);
        assert_eq!(
            gateway.findings_of("credential-name-invalid", &cluster()),
            [
                "spec.servers[0].tls.credentialName: istiod serves kubernetes-gateway:// only to a Gateway in \"istio-system\" itself. Give the name alone: \"shop\"."
            ]
        );
    }

    #[test]
    fn gateway_api_may_name_what_it_wants() {
        let gateway = gateway_api("web").cert_manager("cluster-issuer", "le");
        let gateway = gateway.with("/spec/listeners/0/tls/certificateRefs/0/name", json!("cacerts"));
        assert_eq!(gateway.findings(&cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::the_same("Shop_TLS", "Shop_TLS", true)]
    #[case::another("Shop", "Shop_TLS", false)]
    #[case::own_ca_kept("cacerts", "cacerts", true)]
    #[case::own_ca("shop-tls", "cacerts", false)]
    fn updates(#[case] before: &str, #[case] after: &str, #[case] let_through: bool) {
        let new = with_credential(after).annotation("a", "b");
        assert_eq!(new.update_from(&with_credential(before), &cluster()).accepted, let_through);
    }
}
