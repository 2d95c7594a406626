//! Several replicas: one works, the others are ready to take over.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::cluster::CONTROLLER;
use crate::harness::*;

/// The time after its last renewal when a leader stops (`leader::RENEW_DEADLINE`).
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// The time for a replica to take over when the holder of the Lease has vanished: 15 seconds, and the time until its
/// next attempt.
const TAKEOVER: Duration = Duration::from_secs(30);

/// A Gateway with 300 Secrets: one reconciliation with 300 writes.
fn large_gateway(namespace: &str) -> GatewayBuilder {
    (0..300).fold(gateway(namespace, "large"), |gateway, number| {
        let host = format!("{number}.example.com");
        gateway.server(&format!("tls-{number}"), [host.as_str()])
    })
}

/// Creations of Certificates that take 100 ms each.
fn slow_creations() -> Rule {
    Rule::new(Fault::Delay(Duration::from_millis(100)), calls().verbs(["create"]).of("certificates"))
}

/// Waits until the proxy has seen that number of creations of Certificates.
async fn until_creating(proxy: &Proxy, count: usize) {
    eventually("Certificates are being created", async || {
        match proxy.seen(&calls().verbs(["create"]).of("certificates")).len() {
            seen if seen >= count => Ok(()),
            seen => Err(format!("{seen} of {count}")),
        }
    })
    .await;
}

async fn lease(s: &Scenario) -> Value {
    s.get(LEASE, CONTROLLER, CONTROLLER).await.unwrap_or_default()
}

#[test]
fn the_lease_is_released_at_shutdown() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let first = s.controller().start().await;
        first.until_leader().await;
        let second = s.controller().start().await;
        let held = s.get(LEASE, CONTROLLER, CONTROLLER).await.unwrap();
        assert_ne!(text(&held, "/spec/holderIdentity"), "", "{held}");

        let asked = Instant::now();
        let status = first.stop();
        assert!(status.success(), "{status}");
        second.until_leader().await;
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "{:?}: the Lease has run out instead",
            asked.elapsed()
        );
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "shop-tls").await;

        second.stop();
        let released = s.get(LEASE, CONTROLLER, CONTROLLER).await.unwrap();
        assert_eq!(text(&released, "/spec/holderIdentity"), "", "{released}");
    });
}

#[test]
fn one_of_two_replicas_is_killed() {
    scenario_on_own_cluster(async |s| {
        let team_a = s.namespace("team-a").await;
        let first = s.controller().start().await;
        first.until_leader().await;
        let second = s.controller().start().await;
        assert_eq!(second.metric("gateway_certificates_leader"), Some(0.0));
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "shop-tls").await;
        first.at_rest().await;
        assert_eq!(second.sum("gateway_certificates_api_writes_total"), 0.0, "only the leader writes");

        first.kill();
        let audit = s.audit_from_now();
        s.apply(gateway(&team_a, "api").server("api-tls", ["api.example.com"])).await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["www.example.com"])).await;
        eventually_within(Duration::from_secs(25), "the other replica has taken over", async || {
            s.get(CERTIFICATE, &team_a, "api-tls").await.map(drop).ok_or_else(|| "it has not".to_owned())
        })
        .await;
        s.certificate_with(&team_a, "shop-tls", ["www.example.com"]).await;
        second.at_rest().await;
        let creations =
            audit.writes_of("certificates").iter().filter(|request| request.verb == "create").count();
        assert_eq!(creations, 1, "the work of the first replica is not repeated");
    });
}

#[test]
fn a_single_replica_leads_at_once() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let _controller = s.controller().flag("--leader-elect=false").start().await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "shop-tls").await;
        assert_eq!(s.get(LEASE, CONTROLLER, CONTROLLER).await, None);
    });
}

#[test]
fn the_lease_is_taken_in_the_middle_of_many_writes() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        s.apply(large_gateway(&team_a)).await;
        let proxy = Proxy::start(s, 1).await;
        proxy.add(slow_creations());
        let controller = s.controller().through(&proxy).start_at_once().await;
        until_creating(&proxy, 20).await;

        s.patch(LEASE, CONTROLLER, CONTROLLER, json!({"spec": {"holderIdentity": "somebody-else"}})).await;
        let taken = Instant::now();
        // It learns that at its next renewal, within two seconds.
        let status = controller.ends(Duration::from_secs(8)).await;
        assert_eq!(status.code(), Some(1));
        let log = controller.log();
        assert!(log.contains("lost leadership: somebody-else holds the Lease now"), "{log}");
        let creations = calls().verbs(["create"]).of("certificates");
        let after = proxy
            .seen(&creations)
            .into_iter()
            .filter(|seen| seen.at > taken + Duration::from_secs(4))
            .count();
        assert_eq!(after, 0, "Certificates are created without the Lease");
        assert!(s.certificates(&team_a).await.len() < 100);
        assert_eq!(text(&lease(s).await, "/spec/holderIdentity"), "somebody-else", "it is not released");
    });
}

#[test]
fn the_lease_cannot_be_renewed_in_the_middle_of_many_writes() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        s.apply(large_gateway(&team_a)).await;
        let proxy = Proxy::start(s, 1).await;
        proxy.add(slow_creations());
        let controller = s.controller().through(&proxy).start_at_once().await;
        until_creating(&proxy, 20).await;

        proxy.add(Rule::new(Fault::Hang, calls().of("leases")));
        let status = controller.ends(RENEW_DEADLINE + Duration::from_secs(5)).await;
        assert_eq!(status.code(), Some(1));
        let log = controller.log();
        assert!(log.contains("lost leadership: the Lease was not renewed within 10 s"), "{log}");
        let renewals = proxy.seen(&calls().verbs(["create", "update"]).of("leases"));
        let renewed = renewals.iter().filter(|seen| seen.code.is_some()).map(|seen| seen.at).max().unwrap();
        let writes = proxy.seen(&calls().writes().within(&team_a));
        let last = writes.iter().map(|seen| seen.at).max().unwrap();
        // It wrote nearly until the deadline, and not longer. The proxy sees requests a moment later.
        assert!(last > renewed + RENEW_DEADLINE / 2, "{:?} after the last renewal", last - renewed);
        assert!(last < renewed + RENEW_DEADLINE + Duration::from_millis(200), "{:?} late", last - renewed);
        assert!(s.certificates(&team_a).await.len() < 300);
    });
}

#[test]
fn a_leader_that_was_stopped_for_a_while_writes_nothing_more() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        s.apply(large_gateway(&team_a)).await;
        let proxy = Proxy::start(s, 1).await;
        proxy.add(slow_creations());
        let first = s.controller().through(&proxy).start_at_once().await;
        until_creating(&proxy, 20).await;
        let second = s.controller().start().await;

        first.pause();
        eventually_within(TAKEOVER, "the other replica leads", async || {
            match second.metric("gateway_certificates_leader") {
                Some(1.0) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        second.at_rest().await;
        assert_eq!(s.certificates(&team_a).await.len(), 300);
        let (resumed, before) = (Instant::now(), lease(s).await);
        first.resume();
        let status = first.ends(Duration::from_secs(5)).await;
        assert_eq!(status.code(), Some(1));
        assert!(
            first.log().contains("lost leadership: the Lease was not renewed within 10 s"),
            "{}",
            first.log()
        );
        let mut writes = proxy.seen(&calls().writes());
        writes.retain(|seen| seen.at > resumed);
        assert!(writes.is_empty(), "{}", writes.iter().map(|seen| format!("{seen}\n")).collect::<String>());
        assert_eq!(text(&lease(s).await, "/spec/holderIdentity"), text(&before, "/spec/holderIdentity"));
    });
}

/// Holds the Lease for a while, with a clock that is that many seconds ahead.
async fn another_holder_has_another_time(s: &Scenario, ahead: i64) {
    let team_a = s.namespace("team-a").await;
    let renew = async |number: u32| {
        let now = Timestamp::now() + SignedDuration::from_secs(ahead);
        s.apply(json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": CONTROLLER, "namespace": CONTROLLER, "annotations": {"renewal": number.to_string()}},
            "spec": {
                "holderIdentity": "another", "leaseDurationSeconds": 15, "leaseTransitions": 7,
                "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": format!("{now:.6}"),
            },
        }))
        .await;
    };
    renew(0).await;
    let controller = s.controller().start().await;
    s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
    for number in 1..=4 {
        // The period of renewals.
        tokio::time::sleep(Duration::from_secs(2)).await;
        renew(number).await;
        assert_eq!(controller.metric("gateway_certificates_leader"), Some(0.0));
    }
    let last = Instant::now();
    eventually_within(TAKEOVER, "the controller leads", async || {
        match controller.metric("gateway_certificates_leader") {
            Some(1.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(last.elapsed() > Duration::from_secs(14), "after {:?}", last.elapsed());
    s.appears(CERTIFICATE, &team_a, "shop-tls").await;
    let lease = lease(s).await;
    assert_eq!(lease["spec"]["leaseTransitions"], 8);
    assert_eq!(lease["metadata"]["annotations"]["renewal"], "4", "annotations of others stay");
    assert!(text(&lease, "/spec/acquireTime") > "2026-01-01", "{lease}");
}

#[test]
fn the_clock_of_another_holder_is_ahead() {
    scenario(async |s| another_holder_has_another_time(s, 20).await);
}

#[test]
fn the_clock_of_another_holder_is_behind() {
    scenario(async |s| another_holder_has_another_time(s, -20).await);
}

#[test]
fn the_lease_is_deleted() {
    scenario(async |s| {
        let first = s.controller().start().await;
        first.until_leader().await;
        let second = s.controller().start().await;
        eventually("the other replica knows the holder", async || {
            let log = second.log();
            if log.contains("waiting for the Lease") { Ok(()) } else { Err(log) }
        })
        .await;
        let before = lease(s).await;
        for _ in 0..3 {
            s.delete(LEASE, CONTROLLER, CONTROLLER).await;
            let again = s.appears(LEASE, CONTROLLER, CONTROLLER).await;
            for field in ["holderIdentity", "acquireTime", "leaseTransitions"] {
                assert_eq!(again["spec"][field], before["spec"][field], "{field}");
            }
        }
        first.assert_running();
        second.assert_running();
        assert_eq!(first.metric("gateway_certificates_leader"), Some(1.0));
        assert_eq!(second.metric("gateway_certificates_leader"), Some(0.0));
    });
}

#[test]
fn annotations_of_the_lease_stay() {
    scenario(async |s| {
        let controller = s.controller().start().await;
        controller.until_leader().await;
        for number in 0..40 {
            let note = json!({"metadata": {"annotations": {"tests/note": number.to_string()}}});
            s.patch(LEASE, CONTROLLER, CONTROLLER, note).await;
            let renewed = text(&lease(s).await, "/spec/renewTime").to_owned();
            // Every second patch comes between two renewals, the others at any time.
            if number % 10 == 0 {
                eventually("the Lease is renewed", async || match lease(s).await {
                    lease if text(&lease, "/spec/renewTime") != renewed => Ok(()),
                    lease => Err(lease.to_string()),
                })
                .await;
            }
            assert_eq!(text(&lease(s).await, "/metadata/annotations/tests~1note"), number.to_string());
        }
        controller.stop();
        assert_eq!(text(&lease(s).await, "/metadata/annotations/tests~1note"), "39");
    });
}

#[test]
fn a_rolling_update_with_other_settings() {
    scenario_on_own_cluster(async |s| {
        let (team_a, old, new) =
            (s.namespace("team-a").await, s.namespace("old").await, s.namespace("new").await);
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        let first = s.controller().settings(placed_in(&old)).start().await;
        s.appears(CERTIFICATE, &old, "shop-tls").await;
        let second = s.controller().settings(placed_in(&new)).start().await;
        // Both run for a while, and Gateways change.
        s.apply(gateway(&team_a, "api").server("api-tls", ["api.example.com"])).await;
        s.appears(CERTIFICATE, &old, "api-tls").await;
        first.at_rest().await;
        assert_eq!(s.certificates(&new).await, [""; 0], "only the settings of the leader are in effect");
        assert_eq!(second.sum("gateway_certificates_api_writes_total"), 0.0);

        assert!(first.stop().success());
        let audit = s.audit_from_now();
        s.appears(CERTIFICATE, &new, "shop-tls").await;
        s.appears(CERTIFICATE, &new, "api-tls").await;
        second.at_rest().await;
        let mut created = s.audit().writes_of("certificates");
        created.retain(|request| request.verb == "create");
        assert_eq!(
            created.len(),
            4,
            "each Certificate is created once in each place:\n{}",
            audit::listed(&created)
        );
        let mut changed = audit.writes_of("certificates");
        changed.retain(|request| !matches!(request.verb.as_str(), "create" | "delete"));
        assert!(changed.is_empty(), "{}", audit::listed(&changed));
    });
}

#[test]
fn a_leader_that_cannot_list_certificates_gives_up() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let proxy = Proxy::start(s, 1).await;
        let first = s.controller().through(&proxy).start().await;
        first.until_leader().await;
        let second = s.controller().start().await;

        let certificates = calls().verbs(["list", "watch"]).of("certificates");
        proxy.add(Rule::new(Fault::Status(403, None), certificates.clone()));
        proxy.add(Rule::new(Fault::CutWatch, certificates));
        let status = first.ends(Duration::from_secs(60)).await;
        assert_eq!(status.code(), Some(1));
        let log = first.log();
        assert!(
            log.contains("gave up leadership: for 30 s, certificates.cert-manager.io cannot be listed"),
            "{log}"
        );
        // The Lease was released.
        second.until_leader().await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "shop-tls").await;

        // Started again, it leaves the Lease alone, also when nobody holds it.
        let third = s.controller().through(&proxy).start_at_once().await;
        second.stop();
        eventually("it cannot list Certificates", async || match third.get("/readyz") {
            Ok((503, body)) if body.contains("certificates.cert-manager.io cannot be listed") => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        assert_eq!(text(&lease(s).await, "/spec/holderIdentity"), "");
        assert_eq!(third.metric("gateway_certificates_leader"), Some(0.0));
    });
}

#[test]
fn a_second_signal_ends_the_shutdown() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let proxy = Proxy::start(s, 1).await;
        proxy.add(Rule::new(Fault::Hang, calls().verbs(["create"]).of("certificates")));
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        let controller = s.controller().through(&proxy).start_at_once().await;
        until_creating(&proxy, 1).await;
        controller.signal(Signal::TERM);
        eventually("it waits for the reconciliation", async || {
            let log = controller.log();
            if log.contains("stopping") { Ok(()) } else { Err(log) }
        })
        .await;
        controller.assert_running();
        controller.signal(Signal::TERM);
        let status = controller.ends(Duration::from_secs(2)).await;
        assert_eq!(status.code(), Some(1));
        assert!(controller.log().contains("stopped before the shutdown was complete"));
    });
}
