//! The parent Gateway of a ListenerSet does not exist.
//!
//! cert-manager creates no Certificate for the set until its parent exists. The annotations that the
//! set will inherit are not known yet, so only its own are checked. The same applies while the parent
//! is being deleted. Create the Gateway first: with `dependsOn` in Flux, with sync waves in Argo CD.
//!
//! Warned about, if the cluster has no Gateway `web` in the namespace of the set:
//! ```yaml
//! kind: ListenerSet
//! parentRef: {name: web}
//! ```
//! Accepted, if it has a Gateway `public` there:
//! ```yaml
//! kind: ListenerSet
//! parentRef: {name: public}
//! ```

use certificate_shim::plan::secrets_named;

use crate::context::Context;
use crate::lookup::LookupError;
use crate::rule::{Findings, Rule};

/// `parent-missing`
pub const RULE: Rule = Rule::warn("parent-missing", check).of_all();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(parent) = context.parent else { return };
    if context.issuer.is_none() && secrets_named(context.gateway, &context.placement).is_empty() {
        return;
    }
    let object = &parent.object;
    let (problem, help) = if parent.outcome == Some(Err(LookupError::NotFound)) {
        (
            format!("there is no {object}, so cert-manager ignores this ListenerSet"),
            "Correct the name, or create the Gateway first: its annotations are not checked until then.",
        )
    } else if parent.is_deleting() {
        (
            format!("{object} is being deleted, so cert-manager ignores this ListenerSet"),
            "Name another Gateway, or apply this again after that Gateway has been recreated.",
        )
    } else {
        return;
    };
    findings.report("spec.parentRef", problem).subject(object.to_string()).help(help).rests_on(object);
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::json;

    const REPORTED: &str = "warn spec.parentRef | Gateway \"web\" in namespace \"team-a\"";

    fn extra() -> GatewayFixture {
        listener_set("extra")
    }

    fn without_tls(set: GatewayFixture) -> GatewayFixture {
        set.with("/spec/listeners", json!([{"name": "http", "port": 80, "protocol": "HTTP"}]))
    }

    fn annotated(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le")
    }

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    #[rstest]
    #[case::unannotated(extra(), &[REPORTED])]
    #[case::annotated(annotated(extra()), &[REPORTED])]
    #[case::annotated_without_secrets(annotated(without_tls(extra())), &[REPORTED])]
    #[case::nothing_to_issue(without_tls(extra()), &[])]
    #[case::istio(annotated(istio("shop")), &[])]
    #[case::gateway_api(annotated(gateway_api("web")), &[])]
    fn an_absent_parent(#[case] gateway: GatewayFixture, #[case] expected: &[&str]) {
        assert_eq!(gateway.found_by("parent-missing", &cluster()), expected);
    }

    #[rstest]
    #[case::that_exists("team-a", false, &[])]
    #[case::in_another_namespace("infra", false, &[])]
    #[case::that_is_being_deleted("team-a", true, &[REPORTED])]
    fn a_parent(#[case] namespace: &str, #[case] is_deleting: bool, #[case] expected: &[&str]) {
        let mut parent = gateway_api("web").metadata("namespace", json!(namespace));
        if is_deleting {
            parent = parent.metadata("deletionTimestamp", json!("2026-01-01T00:00:00Z"));
        }
        let set = extra().with("/spec/parentRef", json!({"name": "web", "namespace": namespace}));
        assert_eq!(set.found_by("parent-missing", &cluster().object(parent)), expected);
    }

    #[test]
    fn a_rejection_rests_on_the_parent() {
        let finding = &extra().checked(&cluster(), crate::rule::Caller::Admission).findings[0];
        assert_eq!(finding.rests_on, Some(crate::fixtures::gateway("team-a", "web")));
    }

    #[test]
    fn a_name_that_no_gateway_can_have_is_not_looked_up() {
        let cluster = cluster();
        let set = extra().with("/spec/parentRef", json!({"name": "web/status"}));
        assert_eq!(set.rules(&cluster), ["parent-missing warn"]);
        assert_eq!(cluster.asked(), Vec::<String>::new());
    }
}
