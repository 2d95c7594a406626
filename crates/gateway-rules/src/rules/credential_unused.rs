//! A server names a credential that it never uses.
//!
//! Its port does not use TLS, or its mode does not serve a certificate from a Secret: `PASSTHROUGH` and
//! `AUTO_PASSTHROUGH` forward TLS as it is, and `ISTIO_MUTUAL` serves the certificate of the mesh. No
//! Certificate is issued for the credential.
//!
//! Warned about:
//! ```yaml
//! port: {number: 80, name: http, protocol: HTTP}
//! tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```
//! Accepted:
//! ```yaml
//! port: {number: 443, name: https, protocol: HTTPS}
//! tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::servers::credentials;
use crate::text::quote;

/// `credential-unused`
pub const RULE: Rule = Rule::warn("credential-unused", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for named in credentials(context) {
        let server = named.server;
        let mode = server.tls.as_ref().and_then(|tls| tls.mode).unwrap_or_default();
        let reason = if !server.speaks_tls() {
            format!("on a port with protocol {}", quote(server.protocol))
        } else if matches!(mode, "PASSTHROUGH" | "AUTO_PASSTHROUGH" | "ISTIO_MUTUAL") {
            format!("with mode {mode}")
        } else {
            continue;
        };
        let problem = format!("{} is never used {reason}", quote(named.text));
        let (path, subject) = (named.place.to_string(), format!("{} {reason}", named.text));
        let help = "Remove it, or set protocol: HTTPS and mode: SIMPLE.";
        findings.report_each(&named.secrets(context), &path, &subject, &problem, help);
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, cluster_issuer, istio};
    use crate::rule::Caller;
    use certificate_shim::plan::SecretName;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::used("HTTPS", Some("SIMPLE"), None)]
    #[case::in_any_case("tls", Some("MUTUAL"), None)]
    #[case::mode_missing("HTTPS", None, None)]
    #[case::http("HTTP", None, Some("on a port with protocol \"HTTP\""))]
    #[case::http_with_mode("HTTP2", Some("SIMPLE"), Some("on a port with protocol \"HTTP2\""))]
    #[case::passthrough("TLS", Some("PASSTHROUGH"), Some("with mode PASSTHROUGH"))]
    #[case::auto_passthrough("TLS", Some("AUTO_PASSTHROUGH"), Some("with mode AUTO_PASSTHROUGH"))]
    #[case::mesh("HTTPS", Some("ISTIO_MUTUAL"), Some("with mode ISTIO_MUTUAL"))]
    fn found(#[case] protocol: &str, #[case] mode: Option<&str>, #[case] expected: Option<&str>) {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let server = json!({
            "port": {"number": 8443, "name": "b", "protocol": protocol}, "hosts": ["b.example.com"],
            "tls": {"mode": mode, "credentialName": "b"},
        });
        let gateway = istio("shop").push("/spec/servers", server);
        assert_eq!(gateway.found(&cluster), Vec::<String>::new());
        let found = gateway.cert_manager("cluster-issuer", "le").found_by("credential-unused", &cluster);
        let expected = expected.map(|reason| format!("warn spec.servers[1].tls.credentialName | b {reason}"));
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn about_the_secret() {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let gateway = istio("shop").cert_manager("cluster-issuer", "le");
        let gateway = gateway.with("/spec/servers/0/tls/mode", json!("PASSTHROUGH"));
        let findings = gateway.checked(&cluster, Caller::Controller).findings;
        let secrets = findings.iter().filter_map(|finding| finding.certificate.as_ref());
        assert_eq!(secrets.map(SecretName::to_string).collect::<Vec<_>>(), ["team-a/shop-tls"]);
    }
}
