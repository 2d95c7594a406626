//! The issuer is in another namespace than the Gateway.
//!
//! An Istio Gateway's certificates are made where its gateway runs, and an Issuer is looked for there
//! too. Whoever may write Gateways in their own namespace can so use an issuer that somebody else put
//! beside the gateway. Where there are tenants, `issuer-not-allowed` decides; where there are none, this
//! rule warns.
//!
//! Warned about, in namespace `shop`, where the selector picks a gateway in `istio-system`:
//! ```yaml
//! cert-manager.io/issuer: company-ca
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt-production
//! ```

use super::{Applies, Findings, Judges, Rule};
use crate::context::{Context, FoundIssuer};
use crate::finding::{Level, Refusal};
use crate::tenancy::Tenancy;
use crate::text::quote;

/// `issuer-cross-namespace`
pub const RULE: Rule = Rule {
    id: "issuer-cross-namespace",
    default: Level::Warn,
    refusal: Refusal::Forbidden,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if !matches!(context.tenancy(), Tenancy::Unasked) {
        return;
    }
    let own = context.gateway.metadata.namespace;
    for FoundIssuer { object, outcome } in context.issuers() {
        if outcome.is_ok() && object.namespace.as_deref().is_some_and(|namespace| namespace != own) {
            let what = format!("{object} is used from namespace {}", quote(own));
            let mend = "Use a ClusterIssuer; the platform team can also say with tenants who may use it.";
            findings.add(context.issuer_path(), object.to_string(), what, mend);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, cluster_issuer, gateway_api, issuer, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    const FOUND: &str = "issuer-cross-namespace: metadata.annotations[cert-manager.io/issuer]: Issuer \"ca\" in namespace \"istio-system\" is used from namespace \"team-a\". Use a ClusterIssuer; the platform team can also say with tenants who may use it.";

    fn cluster() -> TestCluster {
        TestCluster::default()
            .object(issuer("team-a", "ca").ready())
            .object(issuer("istio-system", "ca").ready())
            .object(cluster_issuer("le").ready())
    }

    fn known(namespace: &str) -> Value {
        json!({"gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": namespace}]})
    }

    #[rstest]
    #[case::beside_the_gateway("istio-system", "issuer", "ca", &[FOUND])]
    #[case::own_namespace("team-a", "issuer", "ca", &[])]
    #[case::cluster_issuer("istio-system", "cluster-issuer", "le", &[])]
    fn without_tenants(
        #[case] namespace: &str,
        #[case] key: &str,
        #[case] name: &str,
        #[case] expected: &[&str],
    ) {
        let gateway = istio("shop").cert_manager(key, name).settings(known(namespace));
        assert_eq!(gateway.findings(&cluster()), expected);
        assert_eq!(
            gateway.create(&cluster()).warnings,
            expected.iter().map(|text| text.chars().take(256).collect::<String>()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn gateway_api_uses_its_own() {
        let gateway = gateway_api("shop").cert_manager("issuer", "ca").settings(known("istio-system"));
        assert_eq!(gateway.findings(&cluster()), Vec::<String>::new());
    }

    #[test]
    fn an_issuer_that_is_not_there_is_another_rule_s() {
        let gateway = istio("shop").cert_manager("issuer", "absent").settings(known("istio-system"));
        assert!(gateway.findings(&cluster()).iter().all(|finding| finding.starts_with("issuer-not-found: ")));
    }

    #[test]
    fn tenants_decide_themselves() {
        let gateway = istio("shop").cert_manager("issuer", "ca").settings(known("istio-system"));
        let issuers = json!({"issuers": [{"kind": "Issuer", "name": "ca", "namespace": "istio-system"}]});
        assert_eq!(gateway.tenant(issuers).findings(&cluster()), Vec::<String>::new());
    }

    #[test]
    fn an_update() {
        let mut settings = known("istio-system");
        settings["rules"] = json!({"issuer-cross-namespace": "reject"});
        let old = istio("shop").cert_manager("issuer", "ca").settings(settings);
        assert_eq!(old.create(&cluster()).code, Some(403));
        assert!(old.clone().annotation("a", "b").update_from(&old, &cluster()).accepted);
        let before = istio("shop").cert_manager("cluster-issuer", "le");
        assert!(!old.update_from(&before, &cluster()).accepted);
    }
}
