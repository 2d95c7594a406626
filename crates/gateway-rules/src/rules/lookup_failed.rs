//! A lookup that the check depends on has failed.
//!
//! A ListenerSet inherits its issuer from its parent Gateway, so it cannot be checked without the
//! parent. If a tenant selects its namespaces by label (`namespace_selector`), a Gateway cannot be
//! checked without its Namespace. The request is rejected with code 500 if the policy was not granted
//! the lookup, RBAC forbids it or the API server did not answer. Settings cannot change the level of
//! this rule, and updates are not exempt.
//!
//! Rejected, if RBAC forbids the policy server to read the Gateway `web`:
//! ```yaml
//! kind: ListenerSet
//! parentRef: {name: web}
//! ```
//! Accepted, if it can read the Gateway `public`:
//! ```yaml
//! kind: ListenerSet
//! parentRef: {name: public}
//! ```

use crate::context::Context;
use crate::finding::Finding;
use crate::lookup::{Known, LookupError, ObjectRef};
use crate::rule::{Findings, Rule};
use crate::tenancy::{self, Tenancy};

/// `lookup-failed`
pub const RULE: Rule = Rule::reject("lookup-failed", check).undetermined().of_all().fixed();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if let Some(parent) = context.parent
        && let Some(Err(error)) = &parent.outcome
        && *error != LookupError::NotFound
    {
        let object = &parent.object;
        report(findings, "spec.parentRef", object, error, context.help(error, object));
    }
    if let Tenancy::Undetermined(error) = context.tenancy() {
        let object = tenancy::object(context.gateway.metadata.namespace);
        report(findings, NAMESPACE, &object, error, context.help(error, &object));
    }
}

const NAMESPACE: &str = "metadata.namespace";

/// Reports a Namespace that could not be looked up although the default issuer depends on it.
pub fn report_namespace(
    namespace: &str,
    error: &LookupError,
    known: &dyn Known,
    findings: &mut Vec<Finding>,
) {
    let object = tenancy::object(namespace);
    let help = known.help(error, &object);
    report(&mut Findings::of(&RULE, RULE.level, findings), NAMESPACE, &object, error, help);
}

fn report(findings: &mut Findings<'_>, path: &str, object: &ObjectRef, error: &LookupError, help: String) {
    findings.report(path, error.problem(object)).subject(object.to_string()).help(help);
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, audited, cluster_issuer, gateway, gateway_api, istio, listener_set};
    use crate::lookup::{Grant, LookupError};
    use crate::tenancy;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn unreadable() -> Value {
        gateway_api("web").metadata("annotations", json!(1)).into()
    }

    #[rstest]
    #[case::forbidden(Err(LookupError::Forbidden), true)]
    #[case::not_granted(Err(LookupError::NotGranted(Grant::Resource)), true)]
    #[case::unavailable(Err(LookupError::Unavailable("code 503".into())), true)]
    #[case::unreadable(Ok(unreadable()), true)]
    #[case::missing(Err(LookupError::NotFound), false)]
    #[case::readable(Ok(gateway_api("web").object()), false)]
    fn the_parent_of_a_listener_set(#[case] outcome: Result<Value, LookupError>, #[case] is_reported: bool) {
        let cluster = TestCluster::default().answer(&gateway("team-a", "web"), outcome);
        let set = listener_set("extra");
        let expected =
            is_reported.then_some("reject spec.parentRef | Gateway \"web\" in namespace \"team-a\"");
        assert_eq!(set.found_by("lookup-failed", &cluster), expected.into_iter().collect::<Vec<_>>());
        assert_eq!(set.create(&cluster).code, is_reported.then_some(500));
    }

    fn tenants() -> Value {
        let selector = json!({"match_labels": {"tenant": "b"}});
        json!([{"name": "b", "namespace_selector": selector, "issuers": [], "dns_names": []}])
    }

    #[rstest]
    #[case::of_an_annotated_gateway(json!({}))]
    #[case::that_decides_about_the_default_issuer(
        json!({"default_issuer": {"name": "le", "when": "always"}, "role": "default"})
    )]
    fn the_namespace(#[case] mut settings: Value) {
        settings["tenants"] = tenants();
        let gateway = if settings["role"].is_null() {
            istio("shop").cert_manager("cluster-issuer", "le")
        } else {
            istio("shop")
        };
        let cluster = TestCluster::default()
            .object(cluster_issuer("le").ready())
            .answer(&tenancy::object("team-a"), Err(LookupError::Forbidden));
        let response = gateway.settings(settings).create(&cluster);
        assert_eq!(response.code, Some(500));
        assert_eq!(audited(&response), ["lookup-failed reject metadata.namespace"]);
    }

    #[test]
    fn updates_are_not_exempt() {
        let set = listener_set("extra").cert_manager("cluster-issuer", "le");
        let cluster = TestCluster::default()
            .object(cluster_issuer("le").ready())
            .answer(&gateway("team-a", "web"), Err(LookupError::Forbidden));
        assert_eq!(set.clone().annotation("a", "b").update_from(&set, &cluster).code, Some(500));
        assert_eq!(
            cluster.asked(),
            ["Gateway team-a/web", "ClusterIssuer le"],
            "failed lookups are not repeated"
        );
    }
}
