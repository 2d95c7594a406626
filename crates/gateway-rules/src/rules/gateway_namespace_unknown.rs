//! The selector matches none of the known gateways.
//!
//! If the settings list the gateways (`gateway_namespaces`), Certificates are created in the
//! namespaces of those that the Gateway's selector matches. Without a match there is no namespace to
//! create them in, and no known gateway serves the Gateway.
//!
//! Rejected, with `gateway_namespaces: [{labels: {istio: ingressgateway}, namespace: istio-system}]`:
//! ```yaml
//! selector: {istio: ingress-gateway}
//! ```
//! Accepted:
//! ```yaml
//! selector: {istio: ingressgateway}
//! ```

use std::collections::BTreeMap;
use std::fmt::Display;

use certificate_shim::gateway::Spec;

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::text::{quote, shorten};

/// `gateway-namespace-unknown`
pub const RULE: Rule = Rule::reject("gateway-namespace-unknown", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Spec::Servers { selector, .. } = &context.gateway.spec else { return };
    if !context.placement.is_empty() {
        return;
    }
    let selector = labels(selector);
    let mut known: Vec<String> = Vec::new();
    for entry in context.settings.gateway_namespaces.iter().flatten() {
        known.push(format!("{{{}}} in {}", labels(&entry.labels), entry.namespace));
    }
    let help = if known.is_empty() {
        "Platform team: list the gateways in gateway_namespaces.".to_owned()
    } else {
        format!("Select a known gateway: {}.", shorten(&known.join("; "), 95))
    };
    findings
        .report("spec.selector", format!("{} matches none of the known gateways", quote(&selector)))
        .subject(selector)
        .help(help);
}

/// `app: gateway, istio: ingressgateway`
fn labels<T: Display + Ord>(labels: &BTreeMap<T, T>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    pairs.join(", ")
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use crate::rule::Caller;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn known() -> Value {
        json!([{"labels": {"istio": "ingressgateway", "app": "gw"}, "namespace": "istio-system"}])
    }

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn selecting(selector: Value) -> GatewayFixture {
        istio("shop").selector(selector)
    }

    #[rstest]
    #[case::matching(selecting(json!({"istio": "ingressgateway"})), known(), &[])]
    #[case::every_gateway(selecting(json!({})), known(), &[])]
    #[case::unknown(
        selecting(json!({"istio": "a", "app": "gw"})), known(), &["reject spec.selector | app: gw, istio: a"]
    )]
    #[case::no_known_gateway(istio("shop"), json!([]), &["reject spec.selector | istio: ingressgateway"])]
    #[case::gateway_api(gateway_api("web"), json!([]), &[])]
    fn selectors(#[case] gateway: GatewayFixture, #[case] known: Value, #[case] expected: &[&str]) {
        let settings = json!({"gateway_namespaces": known});
        let gateway = gateway.cert_manager("cluster-issuer", "le").settings(settings);
        assert_eq!(gateway.found_by("gateway-namespace-unknown", &cluster()), expected);
    }

    #[test]
    fn many_known_gateways_fit_into_the_help() {
        let gateway =
            |i: usize| json!({"labels": {"istio": format!("gateway-{i}")}, "namespace": format!("n{i}")});
        let known: Vec<Value> = (0..100).map(gateway).collect();
        let gateway = istio("shop").cert_manager("cluster-issuer", "le");
        let result =
            gateway.settings(json!({"gateway_namespaces": known})).checked(&cluster(), Caller::Admission);
        let help = &result.findings[0].help;
        assert!(help.starts_with("Select ") && help.chars().count() == 120, "{help}");
    }
}
