//! Whoever applies the Gateway may not create Certificates where they would be made.
//!
//! Who may write Gateways gets certificates without any right on Certificates: cert-manager and the
//! controller make them with rights of their own. This rule asks the API server whether the user could
//! have created them by hand, in the Gateway's namespace or, for Istio, in those of its gateways.
//!
//! Configured: off unless `rules: {issuer-no-permission: reject}` or `warn` turns it on. It needs the host
//! capability `kubernetes/can_i`, and the policy server's ServiceAccount needs to create
//! SubjectAccessReviews (rbac.yaml). Requests that tell no user are not judged. A question that has no
//! answer refuses with code 500.
//!
//! Refused, where the user may not create Certificates in the namespace; accepted where a Role lets
//! them:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt-production
//! ```

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::lookup::LookupError;
use crate::text::quote;

/// `issuer-no-permission`
pub const RULE: Rule = Rule {
    id: "issuer-no-permission",
    default: Level::Off,
    refusal: Refusal::Forbidden,
    applies: Applies::AtAdmission,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.template().is_none() {
        return;
    }
    for namespace in &context.placement {
        let Some((user, answer)) = context.may_create_certificates(namespace) else { return };
        let subject = format!("Certificates in namespace {}", quote(namespace));
        match answer {
            Ok(true) => {}
            Ok(false) => {
                let what = format!("user {} may not create {subject}", quote(&user.name));
                let mend = "Have it applied by someone who may, or ask for create on certificates.cert-manager.io there.";
                findings.add(context.issuer_path(), subject, what, mend);
            }
            Err(error) => {
                let review = user.review(namespace);
                let (what, mend) = match error {
                    LookupError::Forbidden => (
                        "the policy server may not create SubjectAccessReviews".to_owned(),
                        "The platform team has to grant create on subjectaccessreviews.authorization.k8s.io to the policy server's ServiceAccount (rbac.yaml).".to_owned(),
                    ),
                    error => (error.what(&review), error.mend(&review)),
                };
                findings.push(context.issuer_path(), subject, what, mend).refusal = Refusal::Undetermined;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use crate::lookup::{Grant, LookupError};
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

    const ASKED: &str = "may jane of [\"developers\"] create in istio-system";

    #[rstest]
    #[case::istio(istio("shop"), "istio-system")]
    #[case::gateway_api(gateway_api("shop"), "team-a")]
    fn who_may_not(#[case] gateway: GatewayFixture, #[case] namespace: &'static str) {
        let gateway = applied_by("jane", gateway);
        let answer = gateway.create(&cluster());
        assert_eq!(answer.code, Some(403));
        assert_eq!(
            answer.message.unwrap(),
            format!(
                "issuer-no-permission: metadata.annotations[cert-manager.io/cluster-issuer]: user \"jane\" may not create Certificates in namespace \"{namespace}\". Have it applied by someone who may, or ask for create on certificates.cert-manager.io there."
            )
        );
        assert!(gateway.create(&cluster().may_create("jane", namespace, Ok(true))).accepted);
    }

    #[rstest]
    #[case::forbidden(
        LookupError::Forbidden,
        "the policy server may not create SubjectAccessReviews. The platform team has to grant create on subjectaccessreviews.authorization.k8s.io to the policy server's ServiceAccount (rbac.yaml)."
    )]
    #[case::not_granted(
        LookupError::NotGranted(Grant::AccessReview),
        "this policy was not granted the host capability kubernetes/can_i. The platform team has to deploy it as a ClusterAdmissionPolicy; namespaced policies get no host capabilities unless the PolicyServer lists them."
    )]
    #[case::unavailable(LookupError::Unavailable("code 503".into()), "the API server did not answer for SubjectAccessReview \"jane\" in namespace \"istio-system\" (code 503). Try again; if it stays, the platform team has to look at the API server.")]
    fn nobody_can_tell(#[case] error: LookupError, #[case] expected: &str) {
        let cluster = cluster().may_create("jane", "istio-system", Err(error));
        let answer = applied_by("jane", istio("shop")).create(&cluster);
        assert_eq!(answer.code, Some(500));
        assert_eq!(
            answer.message.unwrap(),
            format!("issuer-no-permission: metadata.annotations[cert-manager.io/cluster-issuer]: {expected}")
        );
    }

    #[test]
    fn one_question_a_namespace() {
        let cluster = cluster();
        applied_by("jane", istio("shop")).create(&cluster);
        assert_eq!(cluster.asked(), ["ClusterIssuer le", ASKED]);
    }

    #[rstest]
    #[case::no_user(istio("shop").cert_manager("cluster-issuer", "le").settings(settings()))]
    #[case::no_name(applied_by("", istio("shop")))]
    #[case::unannotated(istio("shop").settings(settings()).user("jane"))]
    #[case::nothing_to_issue(applied_by("jane", istio("shop")).with("/spec/servers/0/port/protocol", json!("HTTP")))]
    #[case::off(applied_by("jane", istio("shop")).settings(json!({})))]
    fn nobody_is_asked(#[case] gateway: GatewayFixture) {
        let cluster = cluster();
        gateway.create(&cluster);
        assert!(!cluster.asked().iter().any(|asked| asked.starts_with("may ")), "{:?}", cluster.asked());
    }

    #[test]
    fn the_controller_does_not_ask() {
        use super::{Applies, RULE};
        assert_eq!(RULE.applies, Applies::AtAdmission);
    }

    #[test]
    fn an_update() {
        let old = applied_by("jane", istio("shop"));
        assert!(old.clone().annotation("a", "b").update_from(&old, &cluster()).accepted);
        let other_secret = old.clone().with("/spec/servers/0/tls/credentialName", json!("other"));
        assert_eq!(other_secret.update_from(&old, &cluster()).code, Some(403));
        let other_issuer = old.clone().cert_manager("cluster-issuer", "ca");
        let cluster = cluster().object(cluster_issuer("ca").ready());
        assert_eq!(other_issuer.update_from(&old, &cluster).code, Some(403));
    }
}
