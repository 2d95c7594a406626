//! The user who applies the Gateway may not create its Certificates themselves.
//!
//! cert-manager and the controller create Certificates with their own permissions, so a user needs no
//! permission on Certificates to get one through a Gateway. This rule asks the API server whether the
//! user may create Certificates in the Gateway's namespace or, for Istio, in those of its gateway Pods.
//! A Gateway API Gateway is checked even if it asks for no Certificate itself, because its ListenerSets
//! inherit its issuer.
//!
//! It is off by default. It needs the host capability `kubernetes/can_i`, and the ServiceAccount of the
//! policy server needs the permission to create SubjectAccessReviews (rbac.yaml). Requests without a
//! user are not checked. If the API server cannot answer, the request is rejected with code 500.
//!
//! Rejected, with `rules: {issuer-no-permission: reject}`, if the user may create Certificates in
//! `team-a` only:
//! ```yaml
//! metadata: {namespace: team-b}
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```
//! Accepted:
//! ```yaml
//! metadata: {namespace: team-a}
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```

use certificate_shim::gateway::GatewayKind;

use crate::context::Context;
use crate::finding::Cause;
use crate::lookup::LookupError;
use crate::rule::{Findings, Rule};
use crate::text::quote;

/// `issuer-no-permission`
pub const RULE: Rule = Rule::off("issuer-no-permission", check).forbidden().for_admission().about_whole();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let is_inherited = context.gateway.kind == GatewayKind::GatewayApi;
    if context.template().is_none() && !is_inherited {
        return;
    }
    for namespace in &context.placement {
        let Some((user, answer)) = context.may_create_certificates(namespace) else { return };
        let subject = format!("Certificates in namespace {}", quote(namespace));
        match answer {
            Ok(true) => {}
            Ok(false) => {
                let problem = format!("user {} may not create {subject}", quote(&user.name));
                findings
                    .report(context.issuer_path(), problem)
                    .subject(subject)
                    .help("Ask the platform team for the right to create Certificates in that namespace.");
            }
            Err(error) => {
                let (problem, help) = match error {
                    LookupError::Forbidden => (
                        "RBAC forbids creating SubjectAccessReviews".to_owned(),
                        "Platform team: let the policy server create SubjectAccessReviews (rbac.yaml)."
                            .to_owned(),
                    ),
                    error => {
                        let review = user.review(namespace);
                        (error.problem(&review), context.help(&error, &review))
                    }
                };
                findings
                    .report(context.issuer_path(), problem)
                    .subject(subject)
                    .help(help)
                    .cause(Cause::Undetermined);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use crate::lookup::{Grant, LookupError};
    use crate::rule::Caller;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn settings() -> Value {
        json!({
            "rules": {"issuer-no-permission": "reject"},
            "gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": "istio-system"}],
        })
    }

    fn applied_by(user: &str, gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le").settings(settings()).user(user)
    }

    #[rstest]
    #[case::istio_may(istio("shop"), "istio-system", Ok(true), None, "")]
    #[case::istio_may_not(istio("shop"), "istio-system", Ok(false), Some(403), "user \"jane\" may not")]
    #[case::gateway_api_may(gateway_api("web"), "team-a", Ok(true), None, "")]
    #[case::gateway_api_may_not(gateway_api("web"), "team-a", Ok(false), Some(403), "user \"jane\" may not")]
    #[case::its_listener_sets_inherit(
        gateway_api("web").spec("listeners", json!([])), "team-a", Ok(false), Some(403), "user \"jane\" may not",
    )]
    #[case::forbidden(
        istio("shop"),
        "istio-system",
        Err(LookupError::Forbidden),
        Some(500),
        "RBAC forbids creating Sub"
    )]
    #[case::not_granted(
        istio("shop"),
        "istio-system",
        Err(LookupError::NotGranted(Grant::AccessReview)),
        Some(500),
        "kubernetes/can_i"
    )]
    #[case::unavailable(
        istio("shop"), "istio-system", Err(LookupError::Unavailable("503".into())), Some(500),
        "SubjectAccessReview \"jane\" in namespace \"istio-system\" (503)",
    )]
    fn found(
        #[case] gateway: GatewayFixture,
        #[case] namespace: &'static str,
        #[case] answer: Result<bool, LookupError>,
        #[case] code: Option<u16>,
        #[case] message: &str,
    ) {
        let cluster = cluster().may_create("jane", namespace, answer);
        let response = applied_by("jane", gateway).create(&cluster);
        assert_eq!(response.code, code);
        let start = "issuer-no-permission: metadata.annotations[cert-manager.io/cluster-issuer]: ";
        let text = response.message.unwrap_or_default();
        assert_eq!(text.starts_with(start), code.is_some(), "{text}");
        assert!(text.contains(message), "{text}");
        assert_eq!(
            cluster.asked(),
            ["ClusterIssuer le", &format!("may jane of [\"developers\"] create in {namespace}")]
        );
    }

    #[test]
    fn each_namespace_of_the_placement() {
        let gateway = applied_by("jane", istio("shop")).settings(json!({
            "rules": {"issuer-no-permission": "warn"},
            "gateway_namespaces": [
                {"labels": {"istio": "ingressgateway", "zone": "a"}, "namespace": "istio-a"},
                {"labels": {"istio": "ingressgateway", "zone": "b"}, "namespace": "istio-b"},
                {"labels": {"istio": "ingressgateway", "zone": "c"}, "namespace": "istio-c"},
            ],
        }));
        let cluster = cluster().may_create("jane", "istio-b", Ok(true));
        let warnings = gateway.create(&cluster).warnings;
        let namespaces = ["istio-a", "istio-b", "istio-c"];
        let named =
            namespaces.map(|namespace| warnings.iter().filter(|warning| warning.contains(namespace)).count());
        assert_eq!(named, [1, 0, 1], "{warnings:?}");
    }

    #[rstest]
    #[case::no_user(istio("shop").cert_manager("cluster-issuer", "le").settings(settings()))]
    #[case::no_name(applied_by("", istio("shop")))]
    #[case::unannotated(istio("shop").settings(settings()).user("jane"))]
    #[case::nothing_to_issue(
        applied_by("jane", istio("shop")).with("/spec/servers/0/port/protocol", json!("HTTP")),
    )]
    #[case::off(applied_by("jane", istio("shop")).settings(json!({})))]
    fn not_asked(#[case] gateway: GatewayFixture) {
        let cluster = cluster();
        gateway.create(&cluster);
        assert!(!cluster.asked().iter().any(|asked| asked.starts_with("may ")), "{:?}", cluster.asked());
    }

    #[test]
    fn only_requests_have_a_user() {
        let runs = |caller| {
            applied_by("jane", istio("shop")).in_context(&cluster(), |context| RULE.runs(context, caller))
        };
        assert_eq!((runs(Caller::Admission), runs(Caller::Controller)), (true, false));
    }

    /// The update must not ask for anything new.
    #[rstest]
    #[case::a_label("/metadata/labels/a", json!("b"), None)]
    #[case::another_host("/spec/servers/0/hosts/0", json!("b.example.com"), Some(403))]
    fn an_update(#[case] pointer: &str, #[case] value: Value, #[case] code: Option<u16>) {
        let old = applied_by("jane", istio("shop")).label("a", "a");
        assert_eq!(old.clone().with(pointer, value).update_from(&old, &cluster()).code, code);
    }
}
