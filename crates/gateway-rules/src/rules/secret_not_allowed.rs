//! The Gateway names a Secret that its tenant may not name.
//!
//! Istio serves any TLS Secret in the namespace of the gateway Pods to every Gateway that names it,
//! whatever namespace the Gateway is in. So a team could serve another team's certificate, or have the
//! Secret overwritten with its own. Every Istio Gateway that names a credential is judged, annotated or
//! not, CA credentials included.
//!
//! Configured per tenant: `secrets`, the names that it may use in every namespace of a gateway, where
//! `*` stands for any text. An empty list allows none; without the list all are allowed.
//!
//! Refused, with `secrets: ["team-a-*"]`:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: team-b-web}
//! ```
//! Accepted:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: team-a-web}
//! ```

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::named::each_secret;
use crate::text::{allowed, quote};

/// `secret-not-allowed`
pub const RULE: Rule = Rule {
    id: "secret-not-allowed",
    default: Level::Reject,
    refusal: Refusal::Forbidden,
    applies: Applies::Everywhere,
    judges: Judges::All,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(tenant) = context.tenant() else { return };
    let Some(secrets) = &tenant.secrets else { return };
    each_secret(context, &mut |path, name, at| {
        if !secrets.allow(name) {
            let what = format!("tenant {} may not name the Secret {}", quote(&tenant.name), quote(name));
            findings.add_about_each(at, &path, name, (what, allowed(&secrets.0, quote)));
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    const ALLOWED: &str = "Allowed are \"shop-*\"; for others, ask the platform team.";

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn with_tls(tls: Value) -> GatewayFixture {
        istio("shop").with("/spec/servers/0/tls", tls).tenant(json!({"secrets": ["shop-*"]}))
    }

    #[rstest]
    #[case::allowed("shop-tls", None)]
    #[case::another("other-tls", Some("other-tls"))]
    #[case::with_scheme("kubernetes://other-tls", Some("other-tls"))]
    #[case::with_namespace("team-a/other-tls", Some("other-tls"))]
    #[case::the_namespace_is_no_part("shop-x/other-tls", Some("other-tls"))]
    #[case::gateway_scheme("kubernetes-gateway://team-a/other-tls", Some("other-tls"))]
    #[case::sds_falls_back("sds://other-tls", Some("other-tls"))]
    #[case::sds_allowed("sds://shop-tls", None)]
    #[case::a_ca("other-cacert", Some("other-cacert"))]
    #[case::config_map("configmap://team-a/other", None)]
    #[case::builtin("builtin://", None)]
    fn credentials(#[case] credential: &str, #[case] expected: Option<&str>) {
        for (field, tls) in [
            ("credentialName", json!({"mode": "SIMPLE", "credentialName": credential})),
            ("credentialNames[0]", json!({"mode": "SIMPLE", "credentialNames": [credential]})),
            ("caCertCredentialName", json!({"mode": "MUTUAL", "caCertCredentialName": credential})),
        ] {
            let name = expected.map(|name| format!("secret-not-allowed: spec.servers[0].tls.{field}: tenant \"a\" may not name the Secret \"{name}\". {ALLOWED}"));
            let answer = with_tls(tls).create(&cluster());
            assert_eq!(answer.message, name);
        }
    }

    #[rstest]
    #[case::left_out(json!({}), 0)]
    #[case::none(json!({"secrets": []}), 1)]
    #[case::all(json!({"secrets": ["*"]}), 0)]
    fn the_list(#[case] fields: Value, #[case] expected: usize) {
        assert_eq!(istio("shop").tenant(fields).findings(&cluster()).len(), expected);
    }

    #[rstest]
    #[case::annotated(true, 1)]
    #[case::unannotated(false, 0)]
    fn gateway_api_where_annotated(#[case] annotated: bool, #[case] expected: usize) {
        let gateway = gateway_api("web").tenant(json!({"secrets": ["shop-*"]}));
        let gateway = if annotated { gateway.cert_manager("cluster-issuer", "le") } else { gateway };
        let findings = gateway.findings(&cluster());
        assert_eq!(findings.len(), expected);
        for finding in findings {
            assert_eq!(
                finding,
                format!(
                    "secret-not-allowed: spec.listeners[0].tls.certificateRefs[0].name: tenant \"a\" may not name the Secret \"web-tls\". {ALLOWED}"
                )
            );
        }
    }

    #[test]
    fn in_every_namespace_of_the_placement_told_once() {
        let known = json!({"gateway_namespaces": [
            {"labels": {"istio": "ingressgateway"}, "namespace": "istio-a"}, {"labels": {"istio": "ingressgateway"}, "namespace": "istio-b"},
        ]});
        let gateway = istio("web").settings(known).tenant(json!({"secrets": []}));
        assert_eq!(gateway.findings(&cluster()).len(), 2);
        assert_eq!(gateway.create(&cluster()).message.unwrap().lines().count(), 1);
    }

    #[rstest]
    #[case::the_same("other-tls", true)]
    #[case::another("third-tls", false)]
    #[case::another_namespace("istio-system/other-tls", false)]
    fn an_update(#[case] credential: &str, #[case] let_through: bool) {
        let old = with_tls(json!({"mode": "SIMPLE", "credentialName": "other-tls"}));
        let new =
            old.clone().annotation("a", "b").with("/spec/servers/0/tls/credentialName", json!(credential));
        let answer = new.update_from(&old, &cluster());
        assert_eq!(answer.accepted, let_through, "{answer:?}");
    }
}
