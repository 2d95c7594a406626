//! The metrics, in the format of Prometheus.

use std::collections::BTreeMap;

use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

/// The metrics of the controller. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    writes: IntCounterVec,
    withheld: IntGaugeVec,
    /// Gateways that are due or being reconciled.
    pub queue_depth: IntGauge,
    /// Gateways that wait for a retry.
    pub queue_waiting: IntGauge,
    /// 1 while this replica leads.
    pub leader: IntGauge,
    /// 1 while deletions are suspended.
    pub deletions_suspended: IntGauge,
    /// Gateways with selected Pods in other namespaces than the settings say.
    pub placement_mismatches: IntGauge,
    /// Events that were not written, because too many waited or the API server rejected them.
    pub events_dropped: IntCounter,
}

impl Metrics {
    /// New metrics, all zero.
    ///
    /// # Errors
    /// Two metrics have the same name, or a name is invalid: a bug in this code.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some("gateway_certificates".to_owned()), None)?;
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let withheld = IntGaugeVec::new(
            Opts::new("violations", "Gateways that violate a rule, so that a Certificate is withheld."),
            &["rule"],
        )?;
        registry.register(Box::new(withheld.clone()))?;
        let events_dropped = IntCounter::new("events_dropped_total", "Events that could not be written.")?;
        registry.register(Box::new(events_dropped.clone()))?;
        Ok(Metrics {
            reconciles: counters(
                "reconciles_total",
                "Reconciliations of Gateways, by outcome.",
                &["outcome"],
            )?,
            writes: counters(
                "api_writes_total",
                "Writes to the API server, by resource, verb and outcome.",
                &["resource", "verb", "outcome"],
            )?,
            queue_depth: gauge("queue_depth", "Gateways that are due or being reconciled.")?,
            queue_waiting: gauge("queue_waiting", "Gateways that wait for a retry.")?,
            leader: gauge("leader", "1 while this replica leads.")?,
            deletions_suspended: gauge("deletions_suspended", "1 while deletions are suspended.")?,
            placement_mismatches: gauge(
                "placement_mismatches",
                "Gateways with selected Pods in other namespaces than the settings say.",
            )?,
            events_dropped,
            withheld,
            registry,
        })
    }

    /// Counts a reconciliation of a Gateway.
    pub fn reconciled(&self, outcome: &str) {
        self.reconciles.with_label_values(&[outcome]).inc();
    }

    /// Counts a write.
    pub fn wrote(&self, resource: &str, verb: &str, is_ok: bool) {
        self.writes.with_label_values(&[resource, verb, if is_ok { "ok" } else { "error" }]).inc();
    }

    /// Sets the number of Gateways that get no Certificate because of each rule.
    pub fn set_violations(&self, by_rule: &BTreeMap<&'static str, i64>) {
        for (rule, count) in by_rule {
            self.withheld.with_label_values(&[rule]).set(*count);
        }
    }

    /// All metrics, in the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("# {error}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_format() {
        let metrics = Metrics::new().unwrap();
        metrics.reconciled("unchanged");
        metrics.wrote("certificates", "create", true);
        metrics.set_violations(&BTreeMap::from([("issuer-not-found", 2)]));
        metrics.leader.set(1);
        let text = metrics.text();
        for line in [
            "gateway_certificates_reconciles_total{outcome=\"unchanged\"} 1",
            "gateway_certificates_api_writes_total{outcome=\"ok\",resource=\"certificates\",verb=\"create\"} 1",
            "gateway_certificates_violations{rule=\"issuer-not-found\"} 2",
            "gateway_certificates_leader 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
