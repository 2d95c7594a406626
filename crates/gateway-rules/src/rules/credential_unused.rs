//! A server names a credential that it never uses.
//!
//! Its port speaks no TLS, or its mode takes no certificate: `PASSTHROUGH` and `AUTO_PASSTHROUGH`
//! hand TLS on as it is, `ISTIO_MUTUAL` serves the mesh's own. No Certificate is made for it.
//!
//! Warned about:
//! ```yaml
//! port: {number: 80, name: http, protocol: HTTP}
//! tls: {credentialName: shop-tls}
//! ```
//! Accepted silently:
//! ```yaml
//! port: {number: 443, name: https, protocol: HTTPS}
//! tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};

use crate::servers::{add, credentials};
use crate::text::quote;

/// `credential-unused`
pub const RULE: Rule = Rule {
    id: "credential-unused",
    default: Level::Warn,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for named in credentials(context) {
        let server = named.server;
        let mode = server.tls.as_ref().and_then(|tls| tls.mode).unwrap_or_default();
        let (detail, what) = if !server.speaks_tls() {
            let protocol = quote(server.protocol);
            (server.protocol, format!("it is never used, since the port speaks {protocol}"))
        } else if matches!(mode, "PASSTHROUGH" | "AUTO_PASSTHROUGH" | "ISTIO_MUTUAL") {
            (mode, format!("it is never used with mode {mode}"))
        } else {
            continue;
        };
        let mend = "Remove it, or serve it: protocol HTTPS and mode SIMPLE.".to_owned();
        add(findings, context, named.text, named.place, detail, (what, mend));
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, istio};
    use rstest::rstest;
    use serde_json::json;

    const MEND: &str = "Remove it, or serve it: protocol HTTPS and mode SIMPLE.";

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    /// A Gateway whose second server names `b` with that protocol and mode.
    fn with_server(protocol: &str, mode: Option<&str>) -> GatewayFixture {
        let server = json!({
            "port": {"number": 8443, "name": "b", "protocol": protocol}, "hosts": ["b.example.com"],
            "tls": {"mode": mode, "credentialName": "b"},
        });
        istio("shop").cert_manager("cluster-issuer", "le").push("/spec/servers", server)
    }

    #[rstest]
    #[case::used("HTTPS", Some("SIMPLE"), None)]
    #[case::in_any_case("tls", Some("MUTUAL"), None)]
    #[case::mode_missing("HTTPS", None, None)]
    #[case::http("HTTP", None, Some("it is never used, since the port speaks \"HTTP\""))]
    #[case::http_with_mode(
        "HTTP2",
        Some("SIMPLE"),
        Some("it is never used, since the port speaks \"HTTP2\"")
    )]
    #[case::passthrough("TLS", Some("PASSTHROUGH"), Some("it is never used with mode PASSTHROUGH"))]
    #[case::auto_passthrough(
        "TLS",
        Some("AUTO_PASSTHROUGH"),
        Some("it is never used with mode AUTO_PASSTHROUGH")
    )]
    #[case::mesh("HTTPS", Some("ISTIO_MUTUAL"), Some("it is never used with mode ISTIO_MUTUAL"))]
    fn found(#[case] protocol: &str, #[case] mode: Option<&str>, #[case] expected: Option<&str>) {
        let expected = expected.map(|what| format!("spec.servers[1].tls.credentialName: {what}. {MEND}"));
        let findings = with_server(protocol, mode).findings_of("credential-unused", &cluster());
        assert_eq!(findings, expected.into_iter().collect::<Vec<_>>());
    }

    #[rstest]
    #[case::the_same("HTTP", true)]
    #[case::another_protocol("GRPC", false)]
    #[case::was_used("HTTPS", false)]
    fn updates(#[case] before: &str, #[case] let_through: bool) {
        let level = |gateway: GatewayFixture| gateway.level("credential-unused", "reject");
        let old = level(with_server(before, Some("SIMPLE")));
        let new = level(with_server("HTTP", Some("SIMPLE"))).annotation("a", "b");
        assert_eq!(new.update_from(&old, &cluster()).accepted, let_through);
        assert!(with_server("HTTP", Some("SIMPLE")).create(&cluster()).accepted);
    }
}
