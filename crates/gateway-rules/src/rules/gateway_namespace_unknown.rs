//! The selector picks no gateway that the platform knows.
//!
//! Where settings list the gateways (`gateway_namespaces`), Certificates are made in the namespaces
//! of those that the Gateway's selector picks. A selector that picks none serves nothing, and its
//! certificate would have no place.
//!
//! Refused, with `gateway_namespaces: [{labels: {istio: ingressgateway}, namespace: istio-system}]`:
//! ```yaml
//! selector: {istio: ingress-gateway}
//! ```
//! Accepted:
//! ```yaml
//! selector: {istio: ingressgateway}
//! ```

use certificate_shim::gateway::Spec;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::text::{quote, shorten};

/// `gateway-namespace-unknown`
pub const RULE: Rule = Rule {
    id: "gateway-namespace-unknown",
    default: Level::Reject,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Spec::Servers { selector, .. } = &context.gateway.spec else { return };
    if !context.placement.is_empty() {
        return;
    }
    let pairs: Vec<String> = selector.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    let selector = quote(&pairs.join(", "));
    let mut known: Vec<String> = Vec::new();
    for entry in context.settings.gateway_namespaces.iter().flatten() {
        let labels: Vec<String> = entry.labels.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        known.push(format!("{{{}}} in {}", labels.join(", "), entry.namespace));
    }
    let mend = if known.is_empty() {
        "The platform team lists no gateways (gateway_namespaces).".to_owned()
    } else {
        format!("Known gateways: {}.", shorten(&known.join("; "), 400))
    };
    findings.add(
        "spec.selector",
        selector.clone(),
        format!("{selector} picks none of the known gateways"),
        mend,
    );
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    #[rstest]
    #[case::picked(json!({"istio": "ingressgateway"}), None)]
    #[case::all(json!({}), None)]
    #[case::unknown(json!({"istio": "ingress"}), Some(
        "spec.selector: \"istio: ingress\" picks none of the known gateways. Known gateways: {app: gw, istio: ingressgateway} in istio-system."
    ))]
    fn istio_gateways(#[case] selector: Value, #[case] expected: Option<&str>) {
        let known = json!({"gateway_namespaces": [{"labels": {"istio": "ingressgateway", "app": "gw"}, "namespace": "istio-system"}]});
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let gateway = istio("shop").cert_manager("cluster-issuer", "le").selector(selector).settings(known);
        assert_eq!(
            gateway.findings_of("gateway-namespace-unknown", &cluster),
            expected.into_iter().collect::<Vec<_>>()
        );
    }

    #[test]
    fn an_empty_list_knows_none() {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let gateway =
            istio("shop").cert_manager("cluster-issuer", "le").settings(json!({"gateway_namespaces": []}));
        assert_eq!(
            gateway.findings(&cluster),
            [
                "gateway-namespace-unknown: spec.selector: \"istio: ingressgateway\" picks none of the known gateways. The platform team lists no gateways (gateway_namespaces)."
            ]
        );
    }

    #[test]
    fn gateway_api_has_no_selector() {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let gateway = gateway_api("web")
            .cert_manager("cluster-issuer", "le")
            .settings(json!({"gateway_namespaces": []}));
        assert_eq!(gateway.findings(&cluster), Vec::<String>::new());
    }
}
