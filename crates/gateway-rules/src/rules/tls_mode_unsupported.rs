//! A server names a credential, but its TLS mode is missing or unknown.
//!
//! Without `mode` istiod uses `PASSTHROUGH`: the gateway forwards TLS as it is and never serves the
//! credential. Only istiod's validation webhook warns about that.
//!
//! Rejected:
//! ```yaml
//! tls: {mode: null, credentialName: shop-tls}
//! ```
//! Accepted:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```

use certificate_shim::skip::{SERVER_MODES, ServerFault};

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::servers::faults;
use crate::text::quote;

/// `tls-mode-unsupported`
pub const RULE: Rule = Rule::reject("tls-mode-unsupported", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    faults(context, |fault, place, named| {
        let credential = quote(named.text);
        let (subject, problem, help) = match fault {
            ServerFault::NoMode => (
                named.text.to_owned(),
                format!("no mode is set, so Istio passes TLS through and never serves {credential}"),
                "Set mode: SIMPLE, or remove the credential.".to_owned(),
            ),
            ServerFault::UnknownMode(mode) => (
                format!("{} {}", named.text, quote(mode)),
                format!("Istio does not know the mode {}, so {credential} is never served", quote(mode)),
                format!("Use one of {}.", SERVER_MODES.join(", ")),
            ),
            ServerFault::Credential(_)
            | ServerFault::NotInPlacement(_)
            | ServerFault::NotWithPods(_)
            | ServerFault::ThirdCredential
            | ServerFault::NoName => return,
        };
        findings.report_each(&named.secrets(context), &place.to_string(), &subject, &problem, &help);
    });
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, cluster_issuer, gateway_api, istio};
    use crate::rule::Caller;
    use certificate_shim::plan::SecretName;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    #[rstest]
    #[case::simple(json!({"mode": "SIMPLE", "credentialName": "a"}), &[])]
    #[case::passthrough(json!({"mode": "PASSTHROUGH", "credentialName": "a"}), &[])]
    #[case::no_credential(json!({"httpsRedirect": true}), &[])]
    #[case::missing(json!({"credentialName": "a"}), &["reject spec.servers[0].tls.mode | a"])]
    #[case::null(json!({"mode": null, "credentialNames": ["a", "b"]}), &[
        "reject spec.servers[0].tls.mode | a",
        "reject spec.servers[0].tls.mode | b",
    ])]
    #[case::unknown(json!({"mode": "simple", "credentialName": "a"}), &[
        "reject spec.servers[0].tls.mode | a \"simple\""
    ])]
    #[case::invalid_credential(json!({"credentialName": "A"}), &["reject spec.servers[0].tls.mode | A"])]
    #[case::fault_of_the_credential(json!({"mode": "SIMPLE", "credentialName": "A"}), &[])]
    fn found(#[case] tls: Value, #[case] expected: &[&str]) {
        let gateway = istio("shop").with("/spec/servers/0/tls", tls);
        assert_eq!(gateway.found_by("tls-mode-unsupported", &cluster()), Vec::<String>::new());
        let annotated = gateway.cert_manager("cluster-issuer", "le");
        assert_eq!(annotated.found_by("tls-mode-unsupported", &cluster()), expected);
    }

    #[test]
    fn each_namespace_of_the_placement() {
        let gateway = istio("shop")
            .cert_manager("cluster-issuer", "le")
            .with("/spec/servers/0/tls", json!({"credentialName": "a"}))
            .settings(json!({"gateway_namespaces": [
                {"labels": {"istio": "ingressgateway", "zone": "a"}, "namespace": "zone-a"},
                {"labels": {"istio": "ingressgateway", "zone": "b"}, "namespace": "zone-b"},
            ]}));
        let findings = gateway.checked(&cluster(), Caller::Admission).findings;
        let secrets = findings.iter().filter_map(|finding| finding.certificate.as_ref());
        assert_eq!(secrets.map(SecretName::to_string).collect::<Vec<_>>(), ["zone-a/a", "zone-b/a"]);
    }

    #[test]
    fn listeners_have_another_rule() {
        let gateway = gateway_api("web").cert_manager("cluster-issuer", "le");
        let gateway = gateway.with("/spec/listeners/0/tls/mode", json!(null));
        assert_eq!(gateway.rules(&cluster()), ["listener-skipped warn"]);
    }
}
