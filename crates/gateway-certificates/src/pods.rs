//! Compares the namespaces of the gateway Pods with the settings. Differences are only reported and do
//! not affect decisions: otherwise a user who can label Pods could determine where keys are written.
//!
//! Many Gateways have few selectors, so Pods are compared with selectors: each Pod only with those that have
//! one of its labels. The time is linear in the number of Pods and of Gateways.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use certificate_shim::gateway::Spec;
use certificate_shim::placement::placement;
use gateway_rules::Settings;
use serde_json::Value;
use tokio::sync::watch;

use crate::cache::Caches;
use crate::events::{Events, Problem, Reason, Regarding};
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
    let mut comparison = Comparison::default();
    let mut reported: BTreeMap<Key, Regarding> = BTreeMap::new();
    loop {
        tokio::time::sleep(EVERY).await;
        let mut now = BTreeMap::new();
        if *leads.borrow() {
            let (caches, settings) = (caches.clone(), Arc::clone(&settings));
            // It can take many milliseconds, in which this thread could not renew the Lease.
            let compared = tokio::task::spawn_blocking(move || {
                let pods = caches.pods()?;
                let mismatches = comparison.run(caches.annotated(), &pods, &settings);
                Some((comparison, mismatches))
            });
            let Ok(Some((after, mismatches))) = compared.await else {
                comparison = Comparison::default();
                continue;
            };
            comparison = after;
            for (gateway, text) in mismatches {
                let regarding = Regarding::gateway(&gateway.key, &gateway.uid);
                events.set_problems(&regarding, Reason::PlacementMismatch, vec![Problem::from(text)]);
                now.insert(gateway.key.clone(), regarding);
            }
        }
        for (_, regarding) in reported.iter().filter(|(key, _)| !now.contains_key(*key)) {
            events.set_problems(regarding, Reason::PlacementMismatch, Vec::new());
        }
        metrics.placement_mismatches.set(i64::try_from(now.len()).unwrap_or(i64::MAX));
        reported = now;
    }
}

/// The cached part of a Pod: its labels as sorted lines `key=value`. Neither keys nor values of labels can
/// contain these characters. One text needs a fraction of the memory of a map.
pub fn cached(labels: Option<&BTreeMap<String, String>>) -> Value {
    let lines: Vec<String> = labels.into_iter().flatten().map(|(key, value)| pair(key, value)).collect();
    Value::String(lines.join("\n"))
}

fn pair(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

/// The selectors of Gateways, kept between comparisons, so that each version of a Gateway is read once.
#[derive(Default)]
struct Comparison(BTreeMap<Key, Placed>);

/// A Gateway with a selector.
struct Placed {
    gateway: Arc<ObservedGateway>,
    /// Its selector as lines like the labels of Pods; `None` if it is empty: istiod then uses every gateway
    /// Pod, and these cannot be identified by labels.
    selector: Option<Arc<Selector>>,
    /// The namespaces in which its Certificates are created.
    expected: BTreeSet<String>,
}

/// The labels that a Pod must have, sorted.
type Selector = BTreeSet<String>;

impl Comparison {
    /// The Gateways whose Pods run in other namespaces than the settings say, with the text for people.
    fn run(
        &mut self,
        gateways: Vec<Arc<ObservedGateway>>,
        pods: &[(String, Arc<Value>)],
        settings: &Settings,
    ) -> Vec<(Arc<ObservedGateway>, String)> {
        self.update(gateways, settings);
        let selectors: BTreeSet<&Selector> =
            self.0.values().filter_map(|placed| placed.selector.as_deref()).collect();
        let found = find(selectors, pods).namespaces;
        let none = BTreeSet::new();
        let mut mismatches = Vec::new();
        for Placed { gateway, selector, expected } in self.0.values() {
            let Some(selector) = selector else { continue };
            let found = found.get(&**selector).unwrap_or(&none);
            let expected: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
            if *found != expected {
                mismatches.push((Arc::clone(gateway), text(&expected, found, settings)));
            }
        }
        mismatches
    }

    /// Reads the Gateways that have changed.
    fn update(&mut self, gateways: Vec<Arc<ObservedGateway>>, settings: &Settings) {
        let mut before = std::mem::take(&mut self.0);
        let mut shared: BTreeSet<Arc<Selector>> =
            before.values().filter_map(|placed| placed.selector.clone()).collect();
        for gateway in gateways {
            let same = before.remove(&gateway.key).filter(|before| Arc::ptr_eq(&before.gateway, &gateway));
            let placed = same.or_else(|| read(&gateway, &mut shared, settings));
            if let Some(placed) = placed {
                self.0.insert(gateway.key.clone(), placed);
            }
        }
    }
}

fn read(
    gateway: &Arc<ObservedGateway>,
    shared: &mut BTreeSet<Arc<Selector>>,
    settings: &Settings,
) -> Option<Placed> {
    let object = gateway.object();
    let view = gateway.view(&object).ok()?;
    let Spec::Servers { selector, .. } = &view.spec else { return None };
    let pairs: Selector = selector.iter().map(|(key, value)| pair(key, value)).collect();
    let selector = (!pairs.is_empty()).then(|| match shared.get(&pairs) {
        Some(same) => Arc::clone(same),
        None => {
            let new = Arc::new(pairs);
            shared.insert(Arc::clone(&new));
            new
        }
    });
    let expected = placement(&view, settings.gateway_namespaces.as_deref());
    Some(Placed {
        gateway: Arc::clone(gateway),
        selector,
        expected: expected.into_iter().map(str::to_owned).collect(),
    })
}

/// The namespaces of the Pods that selectors match.
struct Found<'p> {
    namespaces: HashMap<&'p Selector, BTreeSet<&'p str>>,
    /// The number of selectors that were compared with a Pod.
    comparisons: usize,
}

fn find<'p>(selectors: BTreeSet<&'p Selector>, pods: &'p [(String, Arc<Value>)]) -> Found<'p> {
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for label in selectors.iter().copied().flatten() {
        *uses.entry(label).or_default() += 1;
    }
    // A Pod is compared with the selectors that it shares this label with: for each selector the one that the
    // fewest selectors have.
    let mut by_label: HashMap<&str, Vec<&Selector>> = HashMap::new();
    for selector in selectors {
        let rarest = selector.iter().min_by_key(|label| uses.get(label.as_str()));
        if let Some(label) = rarest {
            by_label.entry(label).or_default().push(selector);
        }
    }
    let mut found = Found { namespaces: HashMap::new(), comparisons: 0 };
    for (namespace, labels) in pods {
        let labels = labels.as_str().unwrap_or_default();
        for selector in labels.split('\n').filter_map(|label| by_label.get(label)).flatten() {
            found.comparisons += 1;
            let namespaces = found.namespaces.entry(selector).or_default();
            if !namespaces.contains(namespace.as_str()) && has_all(labels, selector) {
                namespaces.insert(namespace);
            }
        }
    }
    found
}

/// Whether labels contain those of a selector. Both are sorted.
fn has_all(labels: &str, selector: &Selector) -> bool {
    let mut labels = labels.split('\n');
    selector.iter().all(|wanted| labels.any(|label| label == wanted))
}

fn text(expected: &BTreeSet<&str>, found: &BTreeSet<&str>, settings: &Settings) -> String {
    let of = if settings.gateway_namespaces.is_some() {
        "gateway_namespaces"
    } else {
        "the Gateway's own namespace"
    };
    format!(
        "Certificates are created in {} ({of}), but the selected Pods run in {}. Correct gateway_namespaces if necessary.",
        list(expected),
        list(found),
    )
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

    fn central() -> Settings {
        let settings = json!({"gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": "istio-system"}]});
        Settings::read(&settings).unwrap()
    }

    fn observed(name: &str, selector: Value) -> Arc<ObservedGateway> {
        let mut object = gateway("team-a", name).server("shop-tls", &["shop.example.com"]).build();
        object["spec"]["selector"] = selector;
        Arc::new(ObservedGateway::of(&serde_json::from_value(object).unwrap(), &central()))
    }

    fn pod(namespace: &str, labels: &[(&str, &str)]) -> (String, Arc<Value>) {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        (namespace.to_owned(), Arc::new(cached(Some(&labels))))
    }

    #[rstest]
    #[case::as_in_the_settings(&[("istio-system", "ingressgateway"), ("team-a", "other")], None)]
    #[case::elsewhere(&[("ingress", "ingressgateway")], Some("in istio-system (gateway_namespaces), but the selected Pods run in ingress."))]
    #[case::in_both(&[("istio-system", "ingressgateway"), ("team-a", "ingressgateway")], Some("run in istio-system, team-a."))]
    #[case::a_label_that_begins_alike(&[("istio-system", "ingressgateway"), ("team-a", "ingressgateway-2")], None)]
    #[case::nowhere(&[], Some("run in no namespace."))]
    fn compared(#[case] pods: &[(&str, &str)], #[case] expected: Option<&str>) {
        let pods: Vec<_> =
            pods.iter().map(|(namespace, istio)| pod(namespace, &[("app", "x"), ("istio", istio)])).collect();
        let gateways = vec![observed("shop", json!({"istio": "ingressgateway"})), observed("any", json!({}))];
        let mismatches = Comparison::default().run(gateways, &pods, &central());
        let texts: Vec<_> = mismatches.iter().map(|(gateway, text)| (&*gateway.key.name, text)).collect();
        match (expected, &texts[..]) {
            (Some(expected), [("shop", text)]) => assert!(text.contains(expected), "{text}"),
            (None, []) => {}
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_labels_of_a_selector_must_match() {
        let selector = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect::<Selector>();
        let (both, one) = (selector(&["app=a", "istio=x"]), selector(&["istio=x"]));
        let pods = [
            pod("n1", &[("app", "a"), ("istio", "x"), ("zone", "1")]),
            pod("n2", &[("app", "b"), ("istio", "x")]),
            pod("n3", &[("app", "a")]),
            (String::from("n4"), Arc::new(cached(None))),
        ];
        let found = find(BTreeSet::from([&both, &one]), &pods).namespaces;
        assert_eq!(found[&both], BTreeSet::from(["n1"]));
        assert_eq!(found[&one], BTreeSet::from(["n1", "n2"]));
    }

    #[test]
    fn a_changed_gateway_is_read_again_and_a_deleted_one_is_forgotten() {
        let pods = [pod("istio-system", &[("istio", "ingressgateway")]), pod("other", &[("istio", "other")])];
        let (right, wrong) = (
            observed("shop", json!({"istio": "ingressgateway"})),
            observed("shop", json!({"istio": "other"})),
        );
        let mut comparison = Comparison::default();
        let mut run = |gateways| comparison.run(gateways, &pods, &central()).len();
        assert_eq!(run(vec![Arc::clone(&right)]), 0);
        assert_eq!(run(vec![wrong]), 1);
        assert_eq!(run(vec![right]), 0);
        assert_eq!(run(Vec::new()), 0);
        assert!(comparison.0.is_empty());
    }

    #[rstest]
    #[case::one_selector(1)]
    #[case::each_its_own(5_000)]
    fn the_number_of_comparisons_does_not_grow_with_gateways_times_pods(#[case] distinct: usize) {
        let names: Vec<String> = (0..20_000).map(|number| format!("app-{}", number % 2_000)).collect();
        let pods: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(number, app)| {
                let labels = [("app", app.as_str()), ("istio", "ingressgateway"), ("version", "v1")];
                pod(&format!("n{}", number % 100), &labels)
            })
            .collect();
        let selectors: Vec<Selector> = (0..5_000)
            .map(|number| {
                let app = format!("app=app-{}", number % distinct);
                BTreeSet::from([app, "istio=ingressgateway".to_owned()])
            })
            .collect();
        let found = find(selectors.iter().collect(), &pods);
        assert_eq!(found.namespaces.len(), distinct.min(2_000));
        assert!(found.comparisons <= pods.len(), "{}", found.comparisons);
    }

    #[test]
    fn gateways_with_the_same_selector_share_it() {
        let gateways = (0..3).map(|number| observed(&number.to_string(), json!({"istio": "x"}))).collect();
        let mut comparison = Comparison::default();
        comparison.update(gateways, &central());
        let selectors: Vec<_> =
            comparison.0.values().map(|placed| Arc::as_ptr(placed.selector.as_ref().unwrap())).collect();
        assert!(selectors.iter().all(|selector| *selector == selectors[0]));
    }

    #[test]
    fn a_list_is_bounded() {
        let names: Vec<String> = (0..12).map(|i| format!("n{i:02}")).collect();
        let text = list(&names.iter().map(String::as_str).collect());
        assert!(text.ends_with("n09 and 2 more"), "{text}");
    }
}
