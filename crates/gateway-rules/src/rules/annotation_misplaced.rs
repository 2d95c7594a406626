//! One of cert-manager's annotations is not under `metadata.annotations`.
//!
//! cert-manager reads it only there. Directly under `metadata`, as after a wrong indentation, the API
//! server drops it. In `tls.options` of a listener it is an option of the gateway implementation, which
//! ignores it.
//!
//! Warned about:
//! ```yaml
//! metadata:
//!   cert-manager.io/private-key-algorithm: ECDSA
//! ```
//! Accepted:
//! ```yaml
//! metadata:
//!   annotations:
//!     cert-manager.io/private-key-algorithm: ECDSA
//! ```
//! Also warned about:
//! ```yaml
//! spec:
//!   listeners:
//!     - name: https
//!       tls:
//!         options: {cert-manager.io/issuer-kind: ClusterIssuer}
//! ```

use certificate_shim::annotation::is_of_cert_manager;
use certificate_shim::gateway::Spec;
use certificate_shim::read::shown_key;

use crate::context::Context;
use crate::rule::{Findings, Rule};

/// `annotation-misplaced`
pub const RULE: Rule = Rule::warn("annotation-misplaced", check).of_all();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let help = "Move it under metadata.annotations.";
    for key in &context.gateway.metadata.misplaced {
        findings
            .report(
                format!("metadata.{}", shown_key(key)),
                "it is not under metadata.annotations, so it has no effect",
            )
            .subject(*key)
            .help(help);
    }
    let Spec::Listeners(listeners) = &context.gateway.spec else { return };
    for (index, listener) in listeners.iter().enumerate() {
        for key in listener.tls.iter().flat_map(|tls| &tls.options).filter(|key| is_of_cert_manager(key)) {
            findings
                .report(
                    format!("spec.listeners[{index}].tls.options[{}]", shown_key(key)),
                    "cert-manager does not read tls.options, so it has no effect",
                )
                .subject(format!("{} {key}", listener.name))
                .help(help);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, audited, gateway_api, istio, listener_set};
    use crate::rule::Caller;
    use rstest::rstest;
    use serde_json::json;

    fn cluster() -> TestCluster {
        TestCluster::default().object(gateway_api("web"))
    }

    #[rstest]
    #[case::istio(istio("shop"), "cert-manager.io/issuer", true)]
    #[case::gateway_api(gateway_api("shop"), "cert-manager.io/issuer", true)]
    #[case::listener_set(listener_set("shop"), "acme.cert-manager.io/http01-edit-in-place", true)]
    #[case::legacy(gateway_api("shop"), "certmanager.k8s.io/issuer", true)]
    #[case::of_another_group(gateway_api("shop"), "example.com/issuer", false)]
    fn under_metadata(#[case] gateway: GatewayFixture, #[case] key: &str, #[case] is_reported: bool) {
        let gateway = gateway.metadata(key, json!("le"));
        let expected = is_reported.then(|| format!("annotation-misplaced warn metadata.{key} | {key}"));
        assert_eq!(gateway.found(&cluster()), expected.into_iter().collect::<Vec<_>>());
    }

    #[rstest]
    #[case::of_cert_manager(gateway_api("shop"), "cert-manager.io/issuer-kind", true)]
    #[case::of_a_listener_set(listener_set("shop"), "cert-manager.io/issuer-kind", true)]
    #[case::of_another_group(gateway_api("shop"), "networking.istio.io/tls-terminate-mode", false)]
    fn in_options(#[case] gateway: GatewayFixture, #[case] key: &str, #[case] is_reported: bool) {
        let plain = json!({"name": "http", "port": 80, "protocol": "HTTP"});
        let secure =
            json!({"name": "secure", "port": 443, "protocol": "HTTPS", "tls": {"options": {key: "x"}}});
        let gateway = gateway.spec("listeners", json!([plain, secure]));
        let expected = is_reported.then(|| {
            format!("annotation-misplaced warn spec.listeners[1].tls.options[{key}] | secure {key}")
        });
        assert_eq!(gateway.found(&cluster()), expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn keys_with_control_characters_are_shown_quoted() {
        let key = "cert-manager.io/x\n\u{1b}[2J";
        let listener = json!([{"name": "secure", "tls": {"options": {key: "x"}}}]);
        let gateway = gateway_api("shop").metadata(key, json!("x")).spec("listeners", listener);
        let findings = gateway.checked(&cluster(), Caller::Admission).findings;
        assert_eq!(findings.len(), 2);
        for finding in findings {
            assert!(!finding.path.contains(char::is_control), "{:?}", finding.path);
        }
    }

    #[test]
    fn a_gateway_without_annotations_is_checked() {
        let gateway = gateway_api("shop").metadata("cert-manager.io/issuer", json!("le"));
        let response = gateway.create(&cluster());
        assert!(response.accepted);
        assert_eq!(audited(&response), ["annotation-misplaced warn metadata.cert-manager.io/issuer"]);
    }
}
