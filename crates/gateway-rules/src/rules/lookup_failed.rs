//! What the judgement depends on could not be determined.
//!
//! A ListenerSet inherits its issuer from its parent Gateway, so it cannot be judged without
//! knowing the parent. Where a tenant has namespaces by their labels (`namespace_selector`), a
//! Gateway cannot be judged without knowing those of its Namespace. Where the policy was not granted
//! that lookup, RBAC forbids it or the API server did not answer, the request is refused with code
//! 500; the message says what the platform team has to change. Settings cannot change the level of
//! this rule, and updates are not exempt.
//!
//! Refused, where the policy server may not read Gateways; accepted with rbac.yaml applied:
//! ```yaml
//! kind: ListenerSet
//! spec:
//!   parentRef: {name: web}
//! ```

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::lookup::{LookupError, ObjectRef, Outcome};
use crate::tenancy::{self, Tenancy};

/// `lookup-failed`
pub const RULE: Rule = Rule {
    id: "lookup-failed",
    default: Level::Reject,
    refusal: Refusal::Undetermined,
    applies: Applies::Everywhere,
    judges: Judges::All,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if let Some(parent) = context.parent {
        add(findings, "spec.parentRef", &parent.object, parent.outcome.as_ref());
    }
    if let Tenancy::Undetermined(error) = context.tenancy() {
        let object = tenancy::object(context.gateway.metadata.namespace);
        findings.add(NAMESPACE, object.to_string(), error.what(&object), error.mend(&object));
    }
}

/// Where an object names its namespace.
const NAMESPACE: &str = "metadata.namespace";

/// The message about a Namespace that has to be known for the default issuer already.
pub fn message(namespace: &str, error: &LookupError) -> String {
    let object = tenancy::object(namespace);
    format!("{}: {NAMESPACE}: {}. {}", RULE.id, error.what(&object), error.mend(&object))
}

/// Reports a lookup that left open whether the object is there.
fn add(findings: &mut Findings<'_>, path: &str, object: &ObjectRef, outcome: Option<&Outcome>) {
    match outcome {
        None | Some(Ok(_) | Err(LookupError::NotFound)) => {}
        Some(Err(error)) => findings.add(path, object.to_string(), error.what(object), error.mend(object)),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, cluster_issuer, gateway, listener_set};
    use crate::lookup::{Grant, LookupError};
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::forbidden(
        LookupError::Forbidden,
        "the policy server may not read Gateway \"web\" in namespace \"team-a\". The platform team has to grant get on gateways.gateway.networking.k8s.io to the policy server's ServiceAccount (rbac.yaml)."
    )]
    #[case::not_granted(
        LookupError::NotGranted(Grant::Resource),
        "this policy was not granted lookups of gateway.networking.k8s.io/v1 Gateway. The platform team has to add apiVersion gateway.networking.k8s.io/v1, kind Gateway to spec.contextAwareResources of the ClusterAdmissionPolicy (a namespaced AdmissionPolicy cannot have any)."
    )]
    #[case::unavailable(LookupError::Unavailable("code 503".into()), "the API server did not answer for Gateway \"web\" in namespace \"team-a\" (code 503). Try again; if it stays, the platform team has to look at the API server.")]
    fn a_parent_that_cannot_be_looked_up(#[case] error: LookupError, #[case] expected: &str) {
        let cluster = TestCluster::default().answer(&gateway("team-a", "web"), Err(error));
        let answer = listener_set("extra").create(&cluster);
        assert_eq!(answer.code, Some(500));
        assert_eq!(answer.message.unwrap(), format!("lookup-failed: spec.parentRef: {expected}"));
        assert_eq!(cluster.asked(), ["Gateway team-a/web"]);
    }

    #[test]
    fn a_parent_that_cannot_be_read() {
        let parent =
            json!({"kind": "Gateway", "metadata": {"name": "web", "namespace": "team-a", "annotations": 1}});
        let cluster = TestCluster::default().answer(&gateway("team-a", "web"), Ok(parent));
        assert_eq!(listener_set("extra").create(&cluster).code, Some(500));
    }

    #[test]
    fn updates_are_not_exempt() {
        let set = listener_set("extra").cert_manager("cluster-issuer", "le");
        let cluster = TestCluster::default()
            .object(cluster_issuer("le").ready())
            .answer(&gateway("team-a", "web"), Err(LookupError::Forbidden));
        assert_eq!(set.clone().annotation("a", "b").update_from(&set, &cluster).code, Some(500));
    }
}
