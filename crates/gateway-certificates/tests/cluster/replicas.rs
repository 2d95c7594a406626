//! Several replicas: one works, the others are ready to take over.

use std::time::{Duration, Instant};

use crate::harness::cluster::CONTROLLER;
use crate::harness::*;

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
