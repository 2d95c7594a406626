//! What is deleted, and what never is.

use kube::api::PropagationPolicy;
use serde_json::{Value, json};

use crate::harness::cluster::CONTROLLER;
use crate::harness::*;

const SUSPENDED: &str = "gateway_certificates_deletions_suspended";

/// A Certificate with a controller reference to a Gateway, as another controller writes it.
fn controlled(namespace: &str, name: &str, gateway: &Value) -> Value {
    let mut certificate = certificate(namespace, name);
    certificate["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway", "name": gateway["metadata"]["name"],
        "uid": gateway["metadata"]["uid"], "controller": true,
    }]);
    certificate
}

/// A record of a Gateway, as the controller writes it.
fn record(namespace: &str, name: &str) -> Value {
    json!({
        "gateway-certificates.io/owner-namespace": namespace,
        "gateway-certificates.io/owner-name": name,
        "gateway-certificates.io/owner-uid": "u",
    })
}

async fn gateways(s: &Scenario, namespace: &str, count: usize) {
    let one = |number| {
        let (secret, host) = (format!("shop-{number}-tls"), format!("shop-{number}.example.com"));
        gateway(namespace, &format!("shop-{number}")).server(&secret, [host.as_str()])
    };
    s.apply_all((0..count).map(one)).await;
    eventually(&format!("{count} Certificates exist in {namespace}"), async || {
        let found = s.certificates(namespace).await.len();
        if found == count { Ok(()) } else { Err(format!("{found} exist")) }
    })
    .await;
}

/// Removes the servers of these Gateways.
async fn without_servers(s: &Scenario, namespace: &str, numbers: impl IntoIterator<Item = usize>) {
    s.apply_all(numbers.into_iter().map(|number| gateway(namespace, &format!("shop-{number}")))).await;
}

#[test]
fn certificates_that_another_controller_made_are_left_alone() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let plain = s.apply(gateway(&team_a, "plain").without_annotations()).await;
        let shop = s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        let mut kept = Vec::new();
        for (name, gateway) in [("plain-tls", &plain), ("shop-tls", &shop), ("other-tls", &shop)] {
            kept.push(s.apply(controlled(&team_a, name, gateway)).await);
        }
        let controller = s.controller().start().await;
        s.event(&team_a, "shop", "CertificateWithheld", "secret-not-owned").await;
        controller.at_rest().await;
        for before in kept {
            let name = text(&before, "/metadata/name");
            let after = s.get(CERTIFICATE, &team_a, name).await.unwrap();
            assert_eq!(
                before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"],
                "{after}"
            );
        }
    });
}

#[test]
fn records_in_other_namespaces_cost_nobody_anything() {
    scenario_on_own_cluster(async |s| {
        let (team_a, team_b, central) =
            (s.namespace("team-a").await, s.namespace("team-b").await, s.namespace("istio-system").await);
        for number in 0..20 {
            let mut forged = certificate(&team_b, &format!("forged-{number}"));
            forged["metadata"]["annotations"] = record(&team_a, "shop");
            s.apply(forged).await;
        }
        let controller = s.controller().settings(placed_in(&central)).start().await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        s.appears(CERTIFICATE, &central, "shop-tls").await;
        controller.at_rest().await;
        let events = s.events(&team_a, "shop").await;
        let reasons: Vec<&str> = events.iter().map(|event| text(event, "/reason")).collect();
        assert_eq!(reasons, ["CreateCertificate"]);
        assert_eq!(s.certificates(&team_b).await.len(), 20);
        let forged =
            s.audit().requests().iter().filter(|request| request.name().starts_with("forged")).count();
        assert_eq!(forged, 0);
    });
}

#[test]
fn a_claimed_certificate_is_taken_over_under_its_own_name() {
    scenario_on_own_cluster(async |s| {
        let team_a = s.namespace("team-a").await;
        let mut by_hand = certificate(&team_a, "by-hand");
        by_hand["spec"]["secretName"] = json!("shop-tls");
        by_hand["spec"]["renewBefore"] = json!("240h0m0s");
        by_hand["metadata"]["annotations"] = record(&team_a, "shop");
        let before = s.apply(by_hand).await;
        let controller = s.controller().start().await;
        controller.at_rest().await;
        let waiting = s.get(CERTIFICATE, &team_a, "by-hand").await.unwrap();
        assert_eq!(
            waiting["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"],
            "no Gateway yet"
        );

        let shop = s.apply(gateway(&team_a, "shop").server("shop-tls", ["by-hand.example.com"])).await;
        s.event(&team_a, "shop", "CertificateAdopted", "by-hand").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&team_a).await, ["by-hand"]);
        let after = s.get(CERTIFICATE, &team_a, "by-hand").await.unwrap();
        assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
        assert_eq!(after["metadata"]["ownerReferences"][0]["uid"], shop["metadata"]["uid"]);
        assert_eq!(after["spec"]["renewBefore"], "240h0m0s");
        assert_eq!(after["spec"].get("usages"), None, "{after}");

        // It is like any other now.
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["www.example.com"])).await;
        s.certificate_with(&team_a, "by-hand", ["www.example.com"]).await;
        controller.at_rest().await;
        let audit = s.audit_from_now();
        controller.stop();
        let controller = s.controller().start().await;
        controller.at_rest().await;
        assert_eq!(audit.writes_of("certificates").len(), 0);
        s.apply(gateway(&team_a, "shop")).await;
        s.disappears(CERTIFICATE, &team_a, "by-hand").await;
    });
}

#[test]
fn certificates_from_a_backup_are_taken_over() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let shop = || gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"]);
        let controller = s.controller().start().await;
        s.apply(shop().annotation("cert-manager.io/duration", "2160h")).await;
        let saved = s.appears(CERTIFICATE, &team_a, "shop-tls").await;
        controller.stop();
        s.delete(GATEWAY, &team_a, "shop").await;
        s.disappears(CERTIFICATE, &team_a, "shop-tls").await;

        // Like Velero: without owner references and managed fields.
        let metadata = &saved["metadata"];
        let mut restored =
            json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "spec": saved["spec"]});
        restored["metadata"] = json!({
            "namespace": team_a, "name": "shop-tls",
            "labels": metadata["labels"], "annotations": metadata["annotations"],
        });
        s.create_as("velero-server", restored).await;
        let shop_again = s.apply(shop().annotation("cert-manager.io/duration", "2160h")).await;
        let controller = s.controller().start().await;
        s.certificate_where(&team_a, "shop-tls", "has its Gateway as owner", |found| {
            found["metadata"]["ownerReferences"][0]["uid"] == shop_again["metadata"]["uid"]
        })
        .await;
        controller.at_rest().await;
        // Every field of the plan is the controller's again.
        s.apply(shop()).await;
        s.certificate_where(&team_a, "shop-tls", "has no duration", |found| {
            found["spec"].get("duration").is_none()
        })
        .await;
    });
}

#[test]
fn a_replaced_gateway_keeps_its_certificate_while_another_is_withheld() {
    scenario(async |s| {
        let (team_a, central) = (s.namespace("team-a").await, s.namespace("istio-system").await);
        s.apply(secret(&central, "foreign-tls")).await;
        let shop = gateway(&team_a, "shop")
            .server("shop-tls", ["shop.example.com"])
            .server("foreign-tls", ["foreign.example.com"]);
        let controller = s.controller().settings(placed_in(&central)).start().await;
        s.apply(shop.clone()).await;
        let before = s.appears(CERTIFICATE, &central, "shop-tls").await;
        s.event(&team_a, "shop", "CertificateWithheld", "secret-not-issued").await;
        // It is retried again and again.
        eventually("there are retries", async || {
            let retries = controller.sum("gateway_certificates_reconciles_total");
            if retries >= 5.0 { Ok(()) } else { Err(format!("{retries} reconciliations")) }
        })
        .await;

        s.delete(GATEWAY, &team_a, "shop").await;
        eventually("the deletion is noticed", async || {
            match controller.metric(r#"gateway_certificates_violations{rule="secret-not-issued"}"#) {
                Some(0.0) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        let restored = s.apply(shop).await;
        let uid = text(&restored, "/metadata/uid");
        let has_new_uid =
            |found: &Value| found["metadata"]["annotations"]["gateway-certificates.io/owner-uid"] == uid;
        let after = s.certificate_where(&central, "shop-tls", "has the new uid", has_new_uid).await;
        assert_eq!(before["metadata"]["uid"], after["metadata"]["uid"]);
    });
}

#[test]
fn an_orphaned_certificate_stays() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let controller = s.controller().start().await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        s.apply(gateway(&team_a, "api").server("api-tls", ["api.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "shop-tls").await;
        s.appears(CERTIFICATE, &team_a, "api-tls").await;
        controller.at_rest().await;
        s.delete_with(GATEWAY, &team_a, "shop", PropagationPolicy::Orphan).await;
        s.disappears(GATEWAY, &team_a, "shop").await;
        s.delete_with(GATEWAY, &team_a, "api", PropagationPolicy::Foreground).await;
        s.disappears(CERTIFICATE, &team_a, "api-tls").await;
        controller.at_rest().await;
        let orphan = s.get(CERTIFICATE, &team_a, "shop-tls").await.unwrap();
        assert_eq!(orphan["metadata"].get("ownerReferences"), None, "{orphan}");

        // The Gateway takes it over when it is back.
        let back = s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        let after = s
            .certificate_where(&team_a, "shop-tls", "has an owner", |found| {
                found["metadata"]["ownerReferences"][0]["uid"] == back["metadata"]["uid"]
            })
            .await;
        assert_eq!(after["metadata"]["uid"], orphan["metadata"]["uid"]);
    });
}

#[test]
fn many_deletions_at_once_are_suspended() {
    scenario_on_own_cluster(async |s| {
        let (team_a, team_b) = (s.namespace("team-a").await, s.namespace("team-b").await);
        let controller = s.controller().start().await;
        gateways(s, &team_a, 12).await;
        gateways(s, &team_b, 2).await;
        controller.at_rest().await;
        controller.stop();
        without_servers(s, &team_a, 0..7).await;
        without_servers(s, &team_b, 0..1).await;

        let controller = s.controller().start().await;
        s.disappears(CERTIFICATE, &team_b, "shop-0-tls").await;
        eventually("deletions are suspended", async || match controller.metric(SUSPENDED) {
            Some(1.0) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        assert_eq!(s.certificates(&team_a).await.len(), 12);
        let lease = s.get(LEASE, CONTROLLER, CONTROLLER).await.unwrap();
        let suspended = text(&lease, "/metadata/annotations/gateway-certificates.io~1deletions-suspended");
        assert_eq!(suspended, format!("namespace {team_a}: 7 Gateways (bound: 5)"));
        // It stays ready, and goes on creating.
        s.apply(gateway(&team_a, "later").server("later-tls", ["later.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "later-tls").await;

        // Three of the Gateways name their Secrets again. With the one of the other namespace, five count.
        for number in 4..7 {
            let (secret, host) = (format!("shop-{number}-tls"), format!("shop-{number}.example.com"));
            s.apply(gateway(&team_a, &format!("shop-{number}")).server(&secret, [host.as_str()])).await;
        }
        eventually_within(std::time::Duration::from_secs(90), "four Certificates are deleted", async || {
            let left = s.certificates(&team_a).await.len();
            if left == 9 { Ok(()) } else { Err(format!("{left} are left")) }
        })
        .await;
        assert_eq!(controller.metric(SUSPENDED), Some(0.0));

        // They still count, also for the next process.
        controller.stop();
        without_servers(s, &team_a, [5, 6]).await;
        let controller = s.controller().start().await;
        eventually("deletions are suspended again", async || match controller.metric(SUSPENDED) {
            Some(1.0) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        assert_eq!(s.certificates(&team_a).await.len(), 9);
        controller.stop();
        let _controller = s.controller().flag("--max-deletions=7").start().await;
        s.disappears(CERTIFICATE, &team_a, "shop-5-tls").await;
    });
}

#[test]
fn deleted_gateways_are_not_bounded() {
    scenario(async |s| {
        let (team_a, central) = (s.namespace("team-a").await, s.namespace("istio-system").await);
        let controller = s.controller().settings(placed_in(&central)).start().await;
        let one = |number| {
            let (secret, host) = (format!("shop-{number}-tls"), format!("shop-{number}.example.com"));
            gateway(&team_a, &format!("shop-{number}")).server(&secret, [host.as_str()])
        };
        s.apply_all((0..8).map(one)).await;
        for number in 0..8 {
            s.appears(CERTIFICATE, &central, &format!("shop-{number}-tls")).await;
        }
        s.delete_all(GATEWAY, &team_a).await;
        for number in 0..8 {
            s.disappears(CERTIFICATE, &central, &format!("shop-{number}-tls")).await;
        }
        assert_eq!(controller.metric(SUSPENDED), Some(0.0));
    });
}

#[test]
fn with_upsert_only_nothing_is_deleted() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let controller = s.controller().flag("--policy=upsert-only").start().await;
        s.apply(gateway(&team_a, "shop").server("old-tls", ["shop.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "old-tls").await;
        s.apply(gateway(&team_a, "shop").server("new-tls", ["shop.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "new-tls").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&team_a).await, ["new-tls", "old-tls"]);
        controller.stop();
        let _controller = s.controller().start().await;
        s.disappears(CERTIFICATE, &team_a, "old-tls").await;
    });
}

#[test]
fn a_dry_run_writes_nothing() {
    scenario_on_own_cluster(async |s| {
        let team_a = s.namespace("team-a").await;
        let controller = s.controller().start().await;
        s.apply(gateway(&team_a, "changed").server("changed-tls", ["old.example.com"])).await;
        s.apply(gateway(&team_a, "removed").server("removed-tls", ["removed.example.com"])).await;
        for name in ["changed-tls", "removed-tls"] {
            s.appears(CERTIFICATE, &team_a, name).await;
        }
        controller.at_rest().await;
        controller.stop();
        s.apply(gateway(&team_a, "changed").server("changed-tls", ["new.example.com"])).await;
        s.apply(gateway(&team_a, "removed")).await;
        s.apply(gateway(&team_a, "new").server("new-tls", ["new.example.com"])).await;
        s.apply(gateway(&team_a, "bad").issuer("not-there").server("bad-tls", ["bad.example.com"])).await;
        let versions = async || {
            let all = s.list(CERTIFICATE, &team_a).await;
            all.iter().map(|found| text(found, "/metadata/resourceVersion").to_owned()).collect::<Vec<_>>()
        };
        let (before, lease) = (versions().await, s.get(LEASE, CONTROLLER, CONTROLLER).await);
        let events = s.list(EVENT, &team_a).await.len();

        let controller = s.controller().flag("--dry-run").start().await;
        eventually("everything is decided", async || {
            let outcomes = ["created", "changed", "deleted", "withheld"];
            let count = |outcome: &&str| {
                controller.sum(&format!("gateway_certificates_reconciles_total{{result=\"{outcome}\"}}"))
            };
            let missing: Vec<_> = outcomes.iter().filter(|outcome| count(outcome) == 0.0).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("missing: {missing:?}")) }
        })
        .await;
        assert_eq!(versions().await, before);
        assert_eq!(s.list(EVENT, &team_a).await.len(), events);
        assert_eq!(s.get(LEASE, CONTROLLER, CONTROLLER).await, lease);
    });
}
