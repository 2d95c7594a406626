//! Numbers about the caches for the metrics, counted when these are read.

use super::{Caches, State};
use crate::readiness::Readiness;

/// The numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The watches, in the order of the kinds.
    pub watches: Vec<WatchSummary>,
    /// The Gateways with an issuer annotation.
    pub annotated_gateways: usize,
    /// The Gateways that are paused by their annotation.
    pub paused_gateways: usize,
    /// The Certificates with an owner record that does not count, because of their namespace.
    pub foreign_owner_records: usize,
    /// The Certificates that belong to an Istio Gateway.
    pub certificates: ByReadiness,
    /// The earliest expiry of these Certificates, in seconds since 1970; `None` if none is issued.
    pub earliest_expiration: Option<i64>,
}

/// A watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchSummary {
    /// The resource that is watched: `gateways.networking.istio.io`.
    pub kind: String,
    /// Whether the list is complete.
    pub is_synced: bool,
    /// The number of errors since the start.
    pub errors: u64,
    /// The time of the last event, in seconds since 1970; 0 before the first one.
    pub last_event: i64,
}

/// The number of Certificates in each state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByReadiness {
    ready: usize,
    renewal_failed: usize,
    pending: usize,
    failed: usize,
}

impl ByReadiness {
    fn add(&mut self, readiness: &Readiness) {
        let count = match (readiness.is_ready(), readiness.is_failed()) {
            (true, false) => &mut self.ready,
            (true, true) => &mut self.renewal_failed,
            (false, false) => &mut self.pending,
            (false, true) => &mut self.failed,
        };
        *count += 1;
    }

    /// The numbers by the name of the state.
    pub fn by_state(&self) -> [(&'static str, usize); 4] {
        [
            ("ready", self.ready),
            ("renewal_failed", self.renewal_failed),
            ("pending", self.pending),
            ("failed", self.failed),
        ]
    }
}

impl Caches {
    /// The numbers about the caches. The time is linear in the number of objects.
    pub fn summary(&self) -> Summary {
        let inner = self.read();
        let watches = self.kinds().iter().zip(&inner.watches).map(|(kind, watch)| WatchSummary {
            kind: kind.resource(),
            is_synced: watch.state == State::Synced,
            errors: watch.errors,
            last_event: watch.last_event,
        });
        let mut summary = Summary { watches: watches.collect(), ..Summary::default() };
        let gateways = inner.index.gateways.objects.values();
        for gateway in gateways {
            summary.annotated_gateways += usize::from(gateway.is_annotated());
            summary.paused_gateways += usize::from(gateway.is_paused);
        }
        summary.foreign_owner_records = inner.index.misplaced.len();
        for certificate in inner.index.certificates.objects.values() {
            if certificate.owner.is_none() {
                continue;
            }
            summary.certificates.add(&certificate.readiness);
            let earliest = summary.earliest_expiration.into_iter().chain(certificate.readiness.not_after);
            summary.earliest_expiration = earliest.min();
        }
        summary
    }

    /// Counts an error of a watch.
    pub fn watch_failed(&self, index: usize) {
        if let Some(watch) = self.write().watches.get_mut(index) {
            watch.errors += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gateway_rules::Settings;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;
    use crate::kinds::watched;
    use crate::testing::{certificate, gateway};

    const GATEWAYS: usize = 0;
    const CERTIFICATES: usize = 1;

    fn caches() -> Caches {
        let settings = Arc::new(Settings::default());
        Caches::new(watched(&settings, false), settings)
    }

    fn put(caches: &Caches, index: usize, object: Value) {
        caches.apply(index, Event::Apply(serde_json::from_value(object).unwrap()));
    }

    #[test]
    fn owned_certificates_by_state() {
        let caches = caches();
        put(&caches, GATEWAYS, gateway("team-a", "shop").build());
        let mut plain = gateway("team-a", "plain").build();
        plain["metadata"]["annotations"] = json!({});
        put(&caches, GATEWAYS, plain);
        let ready = |status: &str| json!([{"type": "Ready", "status": status}]);
        let statuses = [
            json!({"conditions": ready("True"), "notAfter": "2026-03-01T00:00:00Z"}),
            json!({"conditions": ready("True"), "notAfter": "2026-02-01T00:00:00Z", "failedIssuanceAttempts": 1}),
            json!({"conditions": ready("False")}),
            json!({"conditions": ready("False"), "failedIssuanceAttempts": 1}),
            json!({"conditions": ready("False"), "failedIssuanceAttempts": 2}),
        ];
        for (number, status) in statuses.into_iter().enumerate() {
            let mut owned = certificate("team-a", &number.to_string())
                .owned_by("networking.istio.io/v1", "shop")
                .managed_by("gateway-certificates")
                .build();
            owned["status"] = status;
            put(&caches, CERTIFICATES, owned);
        }
        let mut foreign = certificate("team-a", "foreign").build();
        foreign["status"] = json!({"conditions": ready("True"), "notAfter": "2026-01-01T00:00:00Z"});
        put(&caches, CERTIFICATES, foreign);
        let summary = caches.summary();
        assert_eq!(summary.annotated_gateways, 1);
        assert_eq!(summary.certificates, ByReadiness { ready: 1, renewal_failed: 1, pending: 1, failed: 2 });
        assert_eq!(summary.earliest_expiration, Some(1_769_904_000));
    }

    #[test]
    fn the_state_of_a_watch() {
        let caches = caches();
        let watch = || caches.summary().watches[GATEWAYS].clone();
        assert_eq!((watch().is_synced, watch().errors, watch().last_event), (false, 0, 0));
        assert_eq!(watch().kind, "gateways.networking.istio.io");
        caches.watch_failed(GATEWAYS);
        caches.apply(GATEWAYS, Event::Init);
        assert!(watch().last_event > 1_700_000_000);
        caches.apply(GATEWAYS, Event::InitDone);
        assert_eq!((watch().is_synced, watch().errors), (true, 1));
    }
}
