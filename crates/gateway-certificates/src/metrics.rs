//! The metrics, in the format of Prometheus. Names are those of client-go and controller-runtime where these
//! have the same metric. Every label value that is known exists from the start, with the value 0, so that
//! `increase()` sees the first one.

mod requests;

use std::collections::BTreeMap;
use std::time::Duration;

use gateway_rules::rules;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramTimer, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::cache::Summary;
use crate::queue::Queue;
pub use requests::{Requests, client};

/// The results of reconciliations.
const RESULTS: [&str; 7] = ["unchanged", "withheld", "deleted", "changed", "created", "stale", "failed"];
/// The writes to the API server: resource and verb.
const WRITES: [(&str, &str); 7] = [
    ("certificates", "apply"),
    ("certificates", "create"),
    ("certificates", "delete"),
    ("certificates", "patch"),
    ("events", "create"),
    ("events", "patch"),
    ("gateways/status", "update"),
];
/// The ids of the controller's own violations (docs/controller.md); the others are those of rules.
const OWN_VIOLATIONS: [&str; 8] = [
    "certificate-not-owned",
    "claimed",
    "field-manager-conflict",
    "secret-not-issued",
    "secret-reserved",
    "secret-unchecked",
    "unreadable",
    "write-rejected",
];
/// The upper bounds of durations in seconds: from a cache hit to a request that times out.
const SECONDS: [f64; 14] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The reason why an Event was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// The object has had too many Events.
    Limited,
    /// Too many Events wait.
    QueueFull,
    /// The API server rejects it.
    Rejected,
    /// All attempts failed.
    Failed,
}

impl Dropped {
    const ALL: [Dropped; 4] = [Dropped::Limited, Dropped::QueueFull, Dropped::Rejected, Dropped::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Dropped::Limited => "limited",
            Dropped::QueueFull => "queue_full",
            Dropped::Rejected => "rejected",
            Dropped::Failed => "failed",
        }
    }
}

/// The reason why a Certificate was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// Its Gateway is gone.
    GatewayGone,
    /// The Gateway does not name its Secret any more.
    NotRequested,
    /// Its successor in another namespace is ready.
    Replaced,
}

impl Deleted {
    /// The reason as a clause.
    pub fn text(self) -> &'static str {
        match self {
            Deleted::GatewayGone => "its Gateway was deleted",
            Deleted::NotRequested => "no server of the Gateway names its Secret",
            Deleted::Replaced => "another Certificate of the Gateway has replaced it",
        }
    }

    const ALL: [Deleted; 3] = [Deleted::GatewayGone, Deleted::NotRequested, Deleted::Replaced];

    fn as_str(self) -> &'static str {
        match self {
            Deleted::GatewayGone => "gateway_gone",
            Deleted::NotRequested => "not_requested",
            Deleted::Replaced => "replaced",
        }
    }
}

/// The metrics of the controller. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// The metrics with the prefix `gateway_certificates_`.
    registry: Registry,
    /// Those without: `process_*`.
    process: Registry,
    /// Counts the requests of a client, as a layer of it.
    pub requests: Requests,
    reconciles: IntCounterVec,
    reconcile_duration: Histogram,
    writes: IntCounterVec,
    deletions: IntCounterVec,
    withheld: IntGaugeVec,
    events_dropped: IntCounterVec,
    queue_depth: IntGauge,
    queue_retries_pending: IntGauge,
    queue_duration: Histogram,
    watch_synced: IntGaugeVec,
    watch_errors: IntCounterVec,
    watch_last_event: IntGaugeVec,
    annotated_gateways: IntGauge,
    certificates: IntGaugeVec,
    earliest_expiration: Gauge,
    build_info: IntGaugeVec,
    settings_info: IntGaugeVec,
    /// The reconciliations after which the Gateway waits for a retry.
    pub retries: IntCounter,
    /// 1 while this replica leads.
    pub leader: IntGauge,
    /// Gateways that are paused by their annotation.
    pub paused_gateways: IntGauge,
    /// Certificates with an owner record that another manager wrote, and that is no claim.
    pub foreign_owner_records: IntGauge,
    /// 1 while deletions are suspended.
    pub deletions_suspended: IntGauge,
    /// Gateways with selected Pods in other namespaces than the settings say.
    pub placement_mismatches: IntGauge,
}

impl Metrics {
    /// New metrics, all zero.
    ///
    /// # Errors
    /// Two metrics have the same name, or a name is invalid: a bug in this code.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some("gateway_certificates".to_owned()), None)?;
        let new = Factory(&registry);
        let process = Registry::new();
        process.register(Box::new(ProcessCollector::for_self()))?;
        let requests = Requests {
            total: new.counters(
                "api_requests_total",
                "Requests to the API server, by verb, resource and HTTP status code.",
                &["verb", "resource", "code"],
            )?,
            duration: new.histograms(
                "api_request_duration_seconds",
                "Time until the API server answers a request, by verb and resource.",
                &["verb", "resource"],
            )?,
        };
        let metrics = Metrics {
            requests,
            reconciles: new.counters(
                "reconciles_total",
                "Reconciliations of Gateways, by result.",
                &["result"],
            )?,
            reconcile_duration: new
                .histogram("reconcile_duration_seconds", "Duration of the reconciliation of a Gateway.")?,
            writes: new.counters(
                "api_writes_total",
                "Writes to the API server, by resource, verb and result.",
                &["resource", "verb", "result"],
            )?,
            deletions: new.counters("deletions_total", "Deleted Certificates, by reason.", &["reason"])?,
            withheld: new.gauges(
                "violations",
                "Gateways that violate a rule, so that a Certificate is withheld.",
                &["rule"],
            )?,
            events_dropped: new.counters(
                "events_dropped_total",
                "Events that were not written, by reason.",
                &["reason"],
            )?,
            queue_depth: new.gauge("queue_depth", "Gateways that are due or being reconciled.")?,
            queue_retries_pending: new.gauge("queue_retries_pending", "Gateways that wait for a retry.")?,
            queue_duration: new
                .histogram("queue_duration_seconds", "Time that a Gateway is due before it is reconciled.")?,
            watch_synced: new.gauges(
                "watch_synced",
                "1 if all objects of a kind are listed and watched.",
                &["kind"],
            )?,
            watch_errors: new.counters("watch_errors_total", "Errors of a watch, by kind.", &["kind"])?,
            watch_last_event: new.gauges(
                "watch_last_event_timestamp_seconds",
                "Time of the last event of a watch, by kind.",
                &["kind"],
            )?,
            annotated_gateways: new.gauge("annotated_gateways", "Gateways with an issuer annotation.")?,
            certificates: new.gauges(
                "certificates",
                "Certificates that belong to a Gateway, by state.",
                &["state"],
            )?,
            earliest_expiration: new.float(
                "certificates_earliest_expiration_timestamp_seconds",
                "The earliest expiration of a Certificate that belongs to a Gateway; +Inf if none is issued.",
            )?,
            build_info: new.gauges("build_info", "1, with the version of the controller.", &["version"])?,
            settings_info: new.gauges(
                "settings_info",
                "1, with the hash of the settings: that of the policy's audit annotation `settings`.",
                &["hash"],
            )?,
            retries: new
                .counter("retries_total", "Reconciliations after which the Gateway waits for a retry.")?,
            leader: new.gauge("leader", "1 while this replica leads.")?,
            paused_gateways: new.gauge("paused_gateways", "Gateways that are paused by their annotation.")?,
            foreign_owner_records: new.gauge(
                "foreign_owner_records",
                "Certificates with an owner record that does not count, because of their namespace.",
            )?,
            deletions_suspended: new.gauge("deletions_suspended", "1 while deletions are suspended.")?,
            placement_mismatches: new.gauge(
                "placement_mismatches",
                "Gateways with selected Pods in other namespaces than the settings say.",
            )?,
            process,
            registry,
        };
        metrics.create_all();
        Ok(metrics)
    }

    /// Creates the metrics of all label values that are known.
    fn create_all(&self) {
        self.requests.create_all();
        for result in RESULTS {
            self.reconciles.with_label_values(&[result]);
        }
        for (resource, verb) in WRITES {
            for result in ["ok", "error"] {
                self.writes.with_label_values(&[resource, verb, result]);
            }
        }
        for reason in Deleted::ALL {
            self.deletions.with_label_values(&[reason.as_str()]);
        }
        for rule in rules::ALL.iter().map(|rule| rule.id).chain(OWN_VIOLATIONS) {
            self.withheld.with_label_values(&[rule]);
        }
        for reason in Dropped::ALL {
            self.events_dropped.with_label_values(&[reason.as_str()]);
        }
        self.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        self.summarize(&Summary::default());
    }

    /// Measures the reconciliation of a Gateway that was due for that time, until the result is dropped.
    pub fn time_reconcile(&self, due_for: Duration) -> HistogramTimer {
        self.queue_duration.observe(due_for.as_secs_f64());
        self.reconcile_duration.start_timer()
    }

    /// Counts a reconciliation of a Gateway.
    pub fn reconciled(&self, result: &str) {
        self.reconciles.with_label_values(&[result]).inc();
    }

    /// Counts a write.
    pub fn wrote(&self, resource: &str, verb: &str, is_ok: bool) {
        self.writes.with_label_values(&[resource, verb, if is_ok { "ok" } else { "error" }]).inc();
    }

    /// Counts a deleted Certificate.
    pub fn deleted(&self, reason: Deleted) {
        self.deletions.with_label_values(&[reason.as_str()]).inc();
    }

    /// Counts an Event that is not written.
    pub fn event_dropped(&self, reason: Dropped) {
        self.events_dropped.with_label_values(&[reason.as_str()]).inc();
    }

    /// Sets the number of Gateways that get no Certificate because of each rule.
    pub fn set_violations(&self, by_rule: &BTreeMap<&'static str, i64>) {
        for (rule, count) in by_rule {
            self.withheld.with_label_values(&[rule]).set(*count);
        }
    }

    /// Sets the hash of the settings.
    pub fn set_settings(&self, hash: &str) {
        self.settings_info.reset();
        self.settings_info.with_label_values(&[hash]).set(1);
    }

    /// Sets the metrics of the queue.
    pub fn set_queue(&self, queue: &Queue) {
        self.queue_depth.set(integer(queue.depth()));
        self.queue_retries_pending.set(integer(queue.waiting()));
    }

    /// Sets the metrics of the caches.
    pub fn summarize(&self, summary: &Summary) {
        for watch in &summary.watches {
            let kind = [watch.kind.as_str()];
            self.watch_synced.with_label_values(&kind).set(watch.is_synced.into());
            self.watch_last_event.with_label_values(&kind).set(watch.last_event);
            let errors = self.watch_errors.with_label_values(&kind);
            errors.inc_by(watch.errors.saturating_sub(errors.get()));
        }
        self.annotated_gateways.set(integer(summary.annotated_gateways));
        self.paused_gateways.set(integer(summary.paused_gateways));
        self.foreign_owner_records.set(integer(summary.foreign_owner_records));
        for (state, count) in summary.certificates.by_state() {
            self.certificates.with_label_values(&[state]).set(integer(count));
        }
        self.earliest_expiration.set(summary.earliest_expiration.map_or(f64::INFINITY, seconds));
    }

    /// All metrics, in the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        let families = [self.registry.gather(), self.process.gather()].concat();
        match TextEncoder::new().encode(&families, &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("# {error}\n"),
        }
    }
}

fn integer(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Exact until the year 285 million.
fn seconds(time: i64) -> f64 {
    time as f64
}

/// Creates and registers metrics.
struct Factory<'r>(&'r Registry);

impl Factory<'_> {
    fn register<C: Collector + Clone + 'static>(&self, metric: C) -> prometheus::Result<C> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.register(IntCounter::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.register(IntGauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn float(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        self.register(Gauge::new(name, help)?)
    }

    fn histogram(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        self.register(Histogram::with_opts(options)?)
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        self.register(HistogramVec::new(options, labels)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::WatchSummary;

    fn assert_lines(metrics: &Metrics, lines: &[&str]) {
        let text = metrics.text();
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_text_format() {
        let metrics = Metrics::new().unwrap();
        metrics.reconciled("unchanged");
        metrics.wrote("certificates", "create", true);
        metrics.set_violations(&BTreeMap::from([("issuer-not-found", 2)]));
        metrics.leader.set(1);
        metrics.deleted(Deleted::Replaced);
        metrics.set_settings("aaaa");
        metrics.set_settings("08f44b07b5901a25");
        drop(metrics.time_reconcile(Duration::from_millis(20)));
        assert_lines(
            &metrics,
            &[
                "gateway_certificates_reconciles_total{result=\"unchanged\"} 1",
                "gateway_certificates_api_writes_total{resource=\"certificates\",result=\"ok\",verb=\"create\"} 1",
                "gateway_certificates_violations{rule=\"issuer-not-found\"} 2",
                "gateway_certificates_leader 1",
                "gateway_certificates_deletions_total{reason=\"replaced\"} 1",
                "gateway_certificates_settings_info{hash=\"08f44b07b5901a25\"} 1",
                "gateway_certificates_reconcile_duration_seconds_count 1",
                "gateway_certificates_queue_duration_seconds_sum 0.02",
                concat!("gateway_certificates_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            ],
        );
        assert!(!metrics.text().contains("aaaa"));
    }

    #[test]
    fn every_known_label_value_exists_from_the_start() {
        assert_lines(
            &Metrics::new().unwrap(),
            &[
                "gateway_certificates_reconciles_total{result=\"failed\"} 0",
                "gateway_certificates_api_writes_total{resource=\"certificates\",result=\"error\",verb=\"apply\"} 0",
                "gateway_certificates_api_requests_total{code=\"<error>\",resource=\"leases\",verb=\"get\"} 0",
                "gateway_certificates_violations{rule=\"issuer-not-found\"} 0",
                "gateway_certificates_violations{rule=\"write-rejected\"} 0",
                "gateway_certificates_events_dropped_total{reason=\"limited\"} 0",
                "gateway_certificates_deletions_total{reason=\"gateway_gone\"} 0",
                "gateway_certificates_certificates{state=\"failed\"} 0",
                "gateway_certificates_retries_total 0",
                "gateway_certificates_deletions_suspended 0",
            ],
        );
    }

    #[test]
    fn the_summary_of_the_caches() {
        let metrics = Metrics::new().unwrap();
        let mut summary = Summary { annotated_gateways: 3, ..Summary::default() };
        let watch = WatchSummary { kind: "pods".to_owned(), is_synced: true, errors: 2, last_event: 7 };
        summary.watches.push(watch);
        metrics.summarize(&summary);
        assert_lines(
            &metrics,
            &["gateway_certificates_certificates_earliest_expiration_timestamp_seconds inf"],
        );
        summary.earliest_expiration = Some(1_772_323_200);
        metrics.summarize(&summary);
        assert_lines(
            &metrics,
            &[
                "gateway_certificates_annotated_gateways 3",
                "gateway_certificates_watch_synced{kind=\"pods\"} 1",
                "gateway_certificates_watch_errors_total{kind=\"pods\"} 2",
                "gateway_certificates_watch_last_event_timestamp_seconds{kind=\"pods\"} 7",
                "gateway_certificates_certificates_earliest_expiration_timestamp_seconds 1772323200",
            ],
        );
    }

    #[test]
    fn the_process_has_the_usual_metrics() {
        let text = Metrics::new().unwrap().text();
        for name in ["process_resident_memory_bytes ", "process_cpu_seconds_total ", "process_open_fds "] {
            assert!(text.lines().any(|line| line.starts_with(name)), "{name} is not in\n{text}");
        }
    }
}
