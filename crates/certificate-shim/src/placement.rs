//! The placement of a Gateway: the namespaces in which its Secrets are read. Its Certificates and
//! namespaced Issuers are in the same namespaces.
//!
//! The Secrets of a Gateway API Gateway are read in its own namespace. istiod reads those of an Istio
//! Gateway in the namespace of the gateway Pods that its selector matches. The settings list these
//! Pods. Labels of real Pods or Services are not read, because a user who can set them would determine
//! where keys are written.

use std::collections::BTreeMap;

use crate::gateway::{Gateway, Spec};

/// One group of gateway Pods: their labels and the namespace they run in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GatewayNamespace {
    /// The Pods' labels.
    pub labels: BTreeMap<String, String>,
    /// The Pods' namespace.
    pub namespace: String,
}

impl GatewayNamespace {
    /// Whether a selector matches these Pods: all of its pairs are in their labels. An empty selector
    /// matches all.
    fn is_selected_by(&self, selector: &BTreeMap<&str, &str>) -> bool {
        selector.iter().all(|(key, value)| self.labels.get(*key).is_some_and(|label| label == value))
    }
}

/// The namespaces of a Gateway's Secrets, in the order of `known` and without duplicates.
///
/// If `known` is `None`, the placement of an Istio Gateway is its own namespace. Otherwise it is the
/// namespaces of all entries that the selector matches. An empty placement means that the namespaces
/// are unknown.
pub fn placement<'a>(gateway: &Gateway<'a>, known: Option<&'a [GatewayNamespace]>) -> Vec<&'a str> {
    let (Some(known), Spec::Servers { selector, .. }) = (known, &gateway.spec) else {
        return vec![gateway.metadata.namespace];
    };
    let mut namespaces = Vec::new();
    for entry in known {
        if entry.is_selected_by(selector) && !namespaces.contains(&entry.namespace.as_str()) {
            namespaces.push(entry.namespace.as_str());
        }
    }
    namespaces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::GatewayKind;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn known() -> Vec<GatewayNamespace> {
        let entry = |labels: &[(&str, &str)], namespace: &str| GatewayNamespace {
            labels: labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            namespace: namespace.to_owned(),
        };
        vec![
            entry(&[("istio", "ingressgateway"), ("app", "gw")], "istio-system"),
            entry(&[("istio", "ingressgateway"), ("zone", "b")], "istio-b"),
            entry(&[("istio", "internal")], "istio-internal"),
            entry(&[("istio", "internal"), ("zone", "b")], "istio-internal"),
        ]
    }

    #[rstest]
    #[case::one_pair(json!({"istio": "ingressgateway"}), &["istio-system", "istio-b"])]
    #[case::both_pairs(json!({"istio": "ingressgateway", "zone": "b"}), &["istio-b"])]
    #[case::each_namespace_once(json!({"istio": "internal"}), &["istio-internal"])]
    #[case::value_differs(json!({"istio": "egress"}), &[])]
    #[case::additional_pair(json!({"istio": "internal", "team": "a"}), &[])]
    #[case::empty_selects_all(json!({}), &["istio-system", "istio-b", "istio-internal"])]
    #[case::null_selects_all(json!(null), &["istio-system", "istio-b", "istio-internal"])]
    fn istio_with_a_list(#[case] selector: Value, #[case] expected: &[&str]) {
        let object = json!({"spec": {"selector": selector}});
        let gateway = Gateway::read(GatewayKind::Istio, "team-a", &object).unwrap();
        assert_eq!(placement(&gateway, Some(&known())), expected);
    }

    #[test]
    fn an_empty_list_selects_nothing() {
        let object = json!({});
        let gateway = Gateway::read(GatewayKind::Istio, "team-a", &object).unwrap();
        assert_eq!(placement(&gateway, Some(&[])), Vec::<&str>::new());
    }

    #[rstest]
    #[case::istio_without_a_list(GatewayKind::Istio, false)]
    #[case::gateway_api(GatewayKind::GatewayApi, false)]
    #[case::gateway_api_ignores_the_list(GatewayKind::GatewayApi, true)]
    #[case::listener_set(GatewayKind::ListenerSet, true)]
    fn the_gateways_namespace(#[case] kind: GatewayKind, #[case] list: bool) {
        let object = json!({"spec": {"selector": {"istio": "ingressgateway"}}});
        let known = known();
        let gateway = Gateway::read(kind, "team-a", &object).unwrap();
        assert_eq!(placement(&gateway, list.then_some(&known[..])), ["team-a"]);
    }
}
