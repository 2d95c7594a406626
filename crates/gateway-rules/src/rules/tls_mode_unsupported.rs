//! A server names a credential and has no TLS mode that would serve it.
//!
//! Without `mode` istiod takes the server for `PASSTHROUGH`: it hands the connection on as it is, and
//! the credential is never served. The only trace is a warning of istiod's, where its webhook runs.
//!
//! Refused:
//! ```yaml
//! tls: {credentialName: shop-tls}
//! ```
//! Accepted:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use certificate_shim::place::Place;
use certificate_shim::skip::{SERVER_MODES, SkipReason};

use crate::servers::{add, skipped};
use crate::text::quote;

/// `tls-mode-unsupported`
pub const RULE: Rule = Rule {
    id: "tls-mode-unsupported",
    default: Level::Reject,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    skipped(context, |reason, place, named| {
        let secret = quote(named.text);
        let (mode, what, mend) = match (reason, place) {
            (SkipReason::NoMode, Place::Server(..)) => (
                "",
                format!(
                    "it is missing, so istiod takes the server for PASSTHROUGH and never serves {secret}"
                ),
                "Add mode: SIMPLE, or remove the credential.".to_owned(),
            ),
            (SkipReason::ServerMode(mode), _) => (
                mode.as_str(),
                format!("{} is no mode that Istio knows, so {secret} is never served", quote(mode)),
                format!("It takes {}.", SERVER_MODES.join(", ")),
            ),
            _ => return,
        };
        add(findings, context, named.text, place, mode, (what, mend));
    });
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn with_tls(tls: Value) -> GatewayFixture {
        istio("shop").cert_manager("cluster-issuer", "le").with("/spec/servers/0/tls", tls)
    }

    #[rstest]
    #[case::simple(json!({"mode": "SIMPLE", "credentialName": "a"}), &[])]
    #[case::passthrough(json!({"mode": "PASSTHROUGH", "credentialName": "a"}), &[])]
    #[case::nothing_named(json!({"httpsRedirect": true}), &[])]
    #[case::missing(json!({"credentialName": "a"}), &[
        "spec.servers[0].tls.mode: it is missing, so istiod takes the server for PASSTHROUGH and never serves \"a\". Add mode: SIMPLE, or remove the credential."
    ])]
    #[case::null(json!({"mode": null, "credentialNames": ["a", "b"]}), &[
        "spec.servers[0].tls.mode: it is missing, so istiod takes the server for PASSTHROUGH and never serves \"a\". Add mode: SIMPLE, or remove the credential.",
        "spec.servers[0].tls.mode: it is missing, so istiod takes the server for PASSTHROUGH and never serves \"b\". Add mode: SIMPLE, or remove the credential.",
    ])]
    #[case::unknown(json!({"mode": "simple", "credentialName": "a"}), &[
        "spec.servers[0].tls.mode: \"simple\" is no mode that Istio knows, so \"a\" is never served. It takes SIMPLE, MUTUAL, OPTIONAL_MUTUAL, ISTIO_MUTUAL, PASSTHROUGH, AUTO_PASSTHROUGH."
    ])]
    #[case::of_a_credential_that_is_none(json!({"credentialName": "A"}), &[
        "spec.servers[0].tls.mode: it is missing, so istiod takes the server for PASSTHROUGH and never serves \"A\". Add mode: SIMPLE, or remove the credential."
    ])]
    fn found(#[case] tls: Value, #[case] expected: &[&str]) {
        assert_eq!(with_tls(tls).findings_of("tls-mode-unsupported", &cluster()), expected);
    }

    #[test]
    fn a_listener_without_mode_is_told_by_another_rule() {
        let gateway = gateway_api("web").cert_manager("cluster-issuer", "le");
        let gateway = gateway.with("/spec/listeners/0/tls/mode", json!(null));
        assert_eq!(gateway.findings_of("tls-mode-unsupported", &cluster()), Vec::<String>::new());
    }

    #[test]
    fn not_without_an_issuer() {
        let gateway = istio("shop").cert_manager("duration", "24h");
        let gateway = gateway.with("/spec/servers/0/tls", json!({"credentialName": "a"}));
        assert_eq!(gateway.findings_of("tls-mode-unsupported", &cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::the_same(json!({"credentialName": "a"}), true)]
    #[case::was_sound(json!({"mode": "SIMPLE", "credentialName": "a"}), false)]
    #[case::another_secret(json!({"credentialName": "b"}), false)]
    #[case::another_fault(json!({"mode": "simple", "credentialName": "a"}), false)]
    fn updates(#[case] before: Value, #[case] let_through: bool) {
        let new = with_tls(json!({"credentialName": "a"})).annotation("a", "b");
        assert_eq!(new.update_from(&with_tls(before), &cluster()).accepted, let_through);
        assert_eq!(new.create(&cluster()).code, Some(422));
    }
}
