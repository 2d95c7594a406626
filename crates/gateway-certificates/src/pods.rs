//! Compares the namespaces of the gateway Pods with the settings. Differences are only reported and do
//! not affect decisions: otherwise a user who can label Pods could determine where keys are written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use certificate_shim::gateway::Spec;
use certificate_shim::placement::placement;
use gateway_rules::Settings;
use serde_json::Value;
use tokio::sync::watch;

use crate::cache::Caches;
use crate::events::{Events, NewEvent, Reason, Regarding};
use crate::metrics::Metrics;
use crate::objects::{Key, ObservedGateway};

/// The interval of comparisons.
const EVERY: Duration = Duration::from_secs(10);
/// The maximum number of namespaces in a message.
const NAMED: usize = 10;

/// Compares Pods and settings periodically while this replica leads, forever.
pub async fn compare(
    caches: Caches,
    settings: Arc<Settings>,
    leads: watch::Receiver<bool>,
    events: Events,
    metrics: Metrics,
) {
    let mut reported: BTreeMap<Key, String> = BTreeMap::new();
    loop {
        tokio::time::sleep(EVERY).await;
        if !*leads.borrow() {
            reported.clear();
            metrics.placement_mismatches.set(0);
            continue;
        }
        let Some(pods) = caches.pods() else { continue };
        let mut now = BTreeMap::new();
        for gateway in caches.annotated() {
            if let Some(text) = mismatch(&gateway, &pods, &settings) {
                if reported.get(&gateway.key) != Some(&text) {
                    events.publish(NewEvent {
                        regarding: Regarding::gateway(&gateway.key, &gateway.uid),
                        reason: Reason::PlacementMismatch,
                        text: text.clone(),
                        occurrence: String::new(),
                    });
                }
                now.insert(gateway.key.clone(), text);
            }
        }
        metrics.placement_mismatches.set(i64::try_from(now.len()).unwrap_or(i64::MAX));
        reported = now;
    }
}

/// The difference between the namespaces of the Pods that a Gateway selects and the settings.
fn mismatch(gateway: &ObservedGateway, pods: &[(String, Arc<Value>)], settings: &Settings) -> Option<String> {
    let object = gateway.object();
    let view = gateway.view(&object).ok()?;
    let Spec::Servers { selector, .. } = &view.spec else { return None };
    // istiod then uses every gateway Pod, and these cannot be identified by labels.
    if selector.is_empty() {
        return None;
    }
    let message: BTreeSet<&str> =
        placement(&view, settings.gateway_namespaces.as_deref()).into_iter().collect();
    let selected = |labels: &Value| {
        selector.iter().all(|(key, value)| labels.get(key).and_then(Value::as_str) == Some(value))
    };
    let found: BTreeSet<&str> =
        pods.iter().filter(|(_, labels)| selected(labels)).map(|(namespace, _)| namespace.as_str()).collect();
    if found == message {
        return None;
    }
    let of = if settings.gateway_namespaces.is_some() {
        "gateway_namespaces"
    } else {
        "the Gateway's own namespace"
    };
    Some(format!(
        "Certificates are created in {} ({of}), but the selected Pods run in {}. Correct gateway_namespaces if necessary.",
        list(&message),
        list(&found),
    ))
}

fn list(namespaces: &BTreeSet<&str>) -> String {
    let named: Vec<&str> = namespaces.iter().copied().take(NAMED).collect();
    match namespaces.len().saturating_sub(NAMED) {
        0 if named.is_empty() => "no namespace".to_owned(),
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::gateway;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::as_in_the_settings(&[("istio-system", "ingressgateway"), ("team-a", "other")], None)]
    #[case::elsewhere(&[("ingress", "ingressgateway")], Some("in istio-system (gateway_namespaces), but the selected Pods run in ingress."))]
    #[case::in_both(&[("istio-system", "ingressgateway"), ("team-a", "ingressgateway")], Some("run in istio-system, team-a."))]
    #[case::nowhere(&[], Some("run in no namespace."))]
    fn compared(#[case] pods: &[(&str, &str)], #[case] expected: Option<&str>) {
        let settings = json!({"gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": "istio-system"}]});
        let settings = Settings::read(&settings).unwrap();
        let object = gateway("team-a", "shop").server("shop-tls", &["shop.example.com"]).build();
        let gateway = ObservedGateway::of(&serde_json::from_value(object).unwrap(), &settings);
        let pods: Vec<_> = pods
            .iter()
            .map(|(namespace, istio)| {
                ((*namespace).to_owned(), Arc::new(json!({"istio": istio, "app": "x"})))
            })
            .collect();
        let text = mismatch(&gateway, &pods, &settings);
        match expected {
            Some(expected) => assert!(text.as_ref().is_some_and(|text| text.contains(expected)), "{text:?}"),
            None => assert_eq!(text, None),
        }
    }

    #[test]
    fn a_list_is_bounded() {
        let names: Vec<String> = (0..12).map(|i| format!("n{i:02}")).collect();
        let text = list(&names.iter().map(String::as_str).collect());
        assert!(text.ends_with("n09 and 2 more"), "{text}");
    }
}
