//! The Gateway that a ListenerSet names as its parent is not there.
//!
//! cert-manager makes no Certificate for the set until the parent is there. What the set then
//! inherits from it is not known, so only its own annotations are judged. The same goes for a
//! parent that is being deleted.
//!
//! Warned about, where the namespace has no Gateway `web`; accepted silently where it has one:
//! ```yaml
//! kind: ListenerSet
//! spec:
//!   parentRef: {name: web}
//! ```
//! Create the Gateway first: with `dependsOn` in Flux, with sync waves in Argo CD.

use certificate_shim::plan::secrets_named;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::lookup::LookupError;

/// `parent-missing`
pub const RULE: Rule = Rule {
    id: "parent-missing",
    default: Level::Warn,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::All,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(parent) = context.parent else { return };
    if context.issuer.is_none() && secrets_named(context.gateway, &context.placement).is_empty() {
        return;
    }
    let what = if parent.outcome == Some(Err(LookupError::NotFound)) {
        format!("there is no {}, and without it cert-manager passes the ListenerSet over", parent.object)
    } else if parent.is_deleting() {
        format!("{} is being deleted, and cert-manager passes the ListenerSet over", parent.object)
    } else {
        return;
    };
    let mend =
        "Correct the name or create the Gateway first: what is inherited from it is not judged until then.";
    findings.add_resting_on(&parent.object, "spec.parentRef", what, mend);
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::json;

    const MEND: &str =
        "Correct the name or create the Gateway first: what is inherited from it is not judged until then.";

    fn without_tls(set: GatewayFixture) -> GatewayFixture {
        set.with("/spec/listeners", json!([{"name": "http", "port": 80, "protocol": "HTTP"}]))
    }

    fn annotated(set: GatewayFixture) -> GatewayFixture {
        set.cert_manager("cluster-issuer", "le")
    }

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    #[rstest]
    #[case::unannotated(listener_set("extra"), true)]
    #[case::annotated(annotated(listener_set("extra")), true)]
    #[case::nothing_to_issue(without_tls(listener_set("extra")), false)]
    #[case::no_listener_set(annotated(istio("shop")), false)]
    #[case::nor_this(annotated(gateway_api("web")), false)]
    fn missing(#[case] set: GatewayFixture, #[case] expected: bool) {
        let expected = expected.then(|| format!("parent-missing: spec.parentRef: there is no Gateway \"web\" in namespace \"team-a\", and without it cert-manager passes the ListenerSet over. {MEND}"));
        assert_eq!(set.findings(&cluster()), expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn being_deleted() {
        let parent = gateway_api("web").metadata("deletionTimestamp", json!("2026-01-01T00:00:00Z"));
        assert_eq!(
            listener_set("extra").findings(&cluster().object(parent)),
            [format!(
                "parent-missing: spec.parentRef: Gateway \"web\" in namespace \"team-a\" is being deleted, and cert-manager passes the ListenerSet over. {MEND}"
            )]
        );
    }

    #[rstest]
    #[case::there(gateway_api("web"), json!({"name": "web"}))]
    #[case::in_another_namespace(gateway_api("web").metadata("namespace", json!("infra")), json!({"name": "web", "namespace": "infra"}))]
    fn there(#[case] parent: GatewayFixture, #[case] reference: serde_json::Value) {
        let set = listener_set("extra").with("/spec/parentRef", reference);
        assert_eq!(set.findings(&cluster().object(parent)), Vec::<String>::new());
    }

    #[test]
    fn a_name_that_no_gateway_can_have() {
        let cluster = cluster();
        let set = listener_set("extra").with("/spec/parentRef", json!({"name": "web/status"}));
        assert_eq!(set.findings(&cluster).len(), 1);
        assert_eq!(cluster.asked(), Vec::<String>::new());
    }

    #[test]
    fn updates() {
        let settings = json!({"rules": {"parent-missing": "reject"}});
        let old = annotated(listener_set("extra")).settings(settings);
        assert_eq!(old.create(&cluster()).code, Some(422));
        let new = old.clone().annotation("a", "b");
        assert!(new.update_from(&old, &cluster()).accepted);
        let other_parent = old.clone().with("/spec/parentRef", json!({"name": "other"}));
        assert!(!new.update_from(&other_parent, &cluster()).accepted);
    }
}
