//! A Gateway is created, changed and deleted, and so are its Certificates.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::*;

#[test]
fn a_gateway_gets_its_certificates() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let _controller = s.controller().start().await;
        let shop = gateway(&team_a, "shop")
            .server("shop-tls", ["shop.example.com"])
            .server("api-tls", ["api.example.com"]);
        let shop = s.apply(shop).await;

        let certificate = s.certificate_with(&team_a, "shop-tls", ["shop.example.com"]).await;
        s.certificate_with(&team_a, "api-tls", ["api.example.com"]).await;
        assert_eq!(text(&certificate, "/spec/secretName"), "shop-tls");
        assert_eq!(certificate["spec"]["issuerRef"]["kind"], "ClusterIssuer");
        let owners = certificate["metadata"]["ownerReferences"].as_array().unwrap();
        assert_eq!(owners.len(), 1, "{owners:?}");
        assert_eq!(owners[0]["uid"], shop["metadata"]["uid"]);
        assert_eq!(owners[0]["controller"], true);
        let record = &certificate["metadata"]["annotations"];
        assert_eq!(record["gateway-certificates.io/owner-name"], "shop", "{record}");
        assert_eq!(record["gateway-certificates.io/owner-uid"], shop["metadata"]["uid"], "{record}");
        s.event(&team_a, "shop", "CreateCertificate", "shop-tls").await;
        s.event(&team_a, "shop", "CreateCertificate", "api-tls").await;
    });
}

#[test]
fn changed_hosts_change_the_certificate() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let _controller = s.controller().start().await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        let before = s.certificate_with(&team_a, "shop-tls", ["shop.example.com"]).await;

        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com", "www.example.com"])).await;
        let after = s.certificate_with(&team_a, "shop-tls", ["shop.example.com", "www.example.com"]).await;
        assert_eq!(before["metadata"]["uid"], after["metadata"]["uid"], "it is changed, not created again");
        s.event(&team_a, "shop", "UpdateCertificate", "shop-tls").await;

        s.apply(gateway(&team_a, "shop").server("shop-tls", ["www.example.com"])).await;
        s.certificate_with(&team_a, "shop-tls", ["www.example.com"]).await;
    });
}

#[test]
fn another_secret_name_is_another_certificate() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let _controller = s.controller().start().await;
        s.apply(gateway(&team_a, "shop").server("old-tls", ["shop.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "old-tls").await;

        s.apply(gateway(&team_a, "shop").server("new-tls", ["shop.example.com"])).await;
        s.certificate_with(&team_a, "new-tls", ["shop.example.com"]).await;
        s.disappears(CERTIFICATE, &team_a, "old-tls").await;
        s.event(&team_a, "shop", "DeleteCertificate", "old-tls").await;
    });
}

#[test]
fn without_its_annotation_a_gateway_keeps_the_certificates_that_it_names() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let controller = s.controller().start().await;
        let shop = gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"]);
        s.apply(shop.clone()).await;
        let before = s.appears(CERTIFICATE, &team_a, "shop-tls").await;
        // The Secret that cert-manager would write. A Secret that is in use must not be deleted.
        s.apply(secret(&team_a, "shop-tls")).await;

        s.apply(shop.clone().without_annotations().annotation("cert-manager.io/clusterissuer", "le")).await;
        s.event(&team_a, "shop", "CertificateKept", "shop-tls").await;
        controller.at_rest().await;
        let kept = s.get(CERTIFICATE, &team_a, "shop-tls").await.unwrap();
        assert_eq!(kept["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"], "{kept}");

        s.apply(gateway(&team_a, "shop").without_annotations()).await;
        s.disappears(CERTIFICATE, &team_a, "shop-tls").await;
        assert!(s.get(SECRET, &team_a, "shop-tls").await.is_some(), "the Secret stays");
    });
}

#[test]
fn a_paused_gateway_is_left_alone() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let controller = s.controller().start().await;
        let paused = "gateway-certificates.io/paused";
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        let before = s.appears(CERTIFICATE, &team_a, "shop-tls").await;
        let renamed = gateway(&team_a, "shop").server("new-tls", ["shop.example.com"]);
        s.apply(renamed.clone().annotation(paused, "true")).await;
        s.event(&team_a, "shop", "Paused", paused).await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&team_a).await, ["shop-tls"]);
        let kept = s.get(CERTIFICATE, &team_a, "shop-tls").await.unwrap();
        assert_eq!(kept["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"], "{kept}");

        s.apply(renamed).await;
        s.appears(CERTIFICATE, &team_a, "new-tls").await;
        s.disappears(CERTIFICATE, &team_a, "shop-tls").await;
    });
}

#[test]
fn the_certificates_of_a_deleted_gateway_are_deleted() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let controller = s.controller().start().await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "shop-tls").await;
        controller.at_rest().await;

        s.delete(GATEWAY, &team_a, "shop").await;
        s.disappears(CERTIFICATE, &team_a, "shop-tls").await;
        let deletions = s.audit().writes_of("certificates");
        assert!(
            deletions.iter().all(|request| request.verb != "delete"),
            "the garbage collector does that: {deletions:?}"
        );
    });
}

#[test]
fn a_dropped_field_is_removed_and_fields_of_others_are_kept() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let _controller = s.controller().start().await;
        let shop = gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"]);
        s.apply(shop.clone().annotation("cert-manager.io/duration", "2160h")).await;
        let certificate = s.appears(CERTIFICATE, &team_a, "shop-tls").await;
        assert_eq!(certificate["spec"]["duration"], "2160h0m0s");

        let added = json!({
            "metadata": {"annotations": {"example.com/note": "kept"}, "labels": {"example.com/team": "a"}},
            "spec": {"revisionHistoryLimit": 3},
        });
        s.patch(CERTIFICATE, &team_a, "shop-tls", added).await;
        s.apply(shop).await;
        let certificate = eventually("the duration is removed", async || {
            let found = s.get(CERTIFICATE, &team_a, "shop-tls").await.unwrap();
            if found["spec"].get("duration").is_none() { Ok(found) } else { Err(found["spec"].to_string()) }
        })
        .await;
        assert_eq!(certificate["metadata"]["annotations"]["example.com/note"], "kept");
        assert_eq!(certificate["metadata"]["labels"]["example.com/team"], "a");
        assert_eq!(certificate["spec"]["revisionHistoryLimit"], 3);
    });
}

#[test]
fn manual_changes_are_reverted() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let _controller = s.controller().start().await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "shop-tls").await;

        let hosts = json!({"spec": {"dnsNames": ["elsewhere.example.com"]}});
        s.patch(CERTIFICATE, &team_a, "shop-tls", hosts).await;
        s.certificate_with(&team_a, "shop-tls", ["shop.example.com"]).await;

        s.delete(CERTIFICATE, &team_a, "shop-tls").await;
        s.certificate_with(&team_a, "shop-tls", ["shop.example.com"]).await;
    });
}

#[test]
fn a_gateway_that_is_being_deleted_gets_nothing_new() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let controller = s.controller().start().await;
        let shop =
            gateway(&team_a, "shop").finalizer("example.com/wait").server("shop-tls", ["shop.example.com"]);
        s.apply(shop.clone()).await;
        s.appears(CERTIFICATE, &team_a, "shop-tls").await;

        s.delete(GATEWAY, &team_a, "shop").await;
        let gateway_now = s.get(GATEWAY, &team_a, "shop").await.unwrap();
        assert!(gateway_now["metadata"].get("deletionTimestamp").is_some(), "{gateway_now}");
        s.apply(shop.server("new-tls", ["new.example.com"])).await;
        s.apply(gateway(&team_a, "later").server("later-tls", ["later.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "later-tls").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&team_a).await, ["later-tls", "shop-tls"]);

        s.patch(GATEWAY, &team_a, "shop", json!({"metadata": {"finalizers": null}})).await;
        s.disappears(CERTIFICATE, &team_a, "shop-tls").await;
    });
}

#[test]
fn gateway_api_gateways_are_ignored() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let controller = s.controller().start().await;
        s.apply(json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {
                "namespace": team_a,
                "name": "web",
                "annotations": {"cert-manager.io/issuer": "nobody-looks-for-it"},
            },
            "spec": {
                "gatewayClassName": "istio",
                "listeners": [{
                    "name": "https", "port": 443, "protocol": "HTTPS", "hostname": "web.example.com",
                    "tls": {"certificateRefs": [{"name": "web-tls"}]},
                }],
            },
        }))
        .await;
        s.apply(gateway(&team_a, "later").server("later-tls", ["later.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "later-tls").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&team_a).await, ["later-tls"]);
        assert_eq!(s.events(&team_a, "web").await, Vec::<Value>::new());
    });
}

#[test]
fn nothing_is_written_while_nothing_changes() {
    scenario_on_own_cluster(async |s| {
        let (team_a, central) = (s.namespace("team-a").await, s.namespace("istio-system").await);
        let shop = gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"]);
        let withheld =
            gateway(&team_a, "withheld").issuer("not-there").server("withheld-tls", ["withheld.example.com"]);
        for settings in [json!({}), placed_in(&central)] {
            let controller = s.controller().settings(settings.clone()).start().await;
            s.apply(shop.clone()).await;
            s.apply(withheld.clone()).await;
            let namespace = if settings == json!({}) { &team_a } else { &central };
            s.appears(CERTIFICATE, namespace, "shop-tls").await;
            s.event(&team_a, "withheld", "CertificateWithheld", "issuer-not-found").await;
            controller.at_rest().await;
            s.nothing_is_written_for(Duration::from_secs(3)).await;

            // An irrelevant change causes no writes either.
            s.patch(GATEWAY, &team_a, "shop", json!({"metadata": {"labels": {"example.com/seen": "yes"}}}))
                .await;
            s.nothing_is_written_for(Duration::from_secs(1)).await;

            controller.stop();
            let restarted = s.audit_from_now();
            let controller = s.controller().settings(settings).start().await;
            controller.at_rest().await;
            let writes = restarted.writes();
            assert!(writes.is_empty(), "after a restart it writes:\n{}", audit::listed(&writes));
            s.nothing_is_written_for(Duration::from_secs(2)).await;
        }
    });
}

#[test]
fn the_deployed_rights_are_sufficient_for_a_life_cycle() {
    scenario_on_own_cluster(async |s| {
        let (team_a, central) = (s.namespace("team-a").await, s.namespace("istio-system").await);
        // Every right is used: in both placements, and with every option.
        let selected = json!({
            "gateway_namespaces": placed_in(&central)["gateway_namespaces"],
            "tenants": [{
                "name": "a", "namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": team_a}},
                "issuers": [{"kind": "ClusterIssuer", "name": "*"}], "dns_names": ["**"],
            }],
        });
        for settings in [json!({}), selected] {
            let namespace = if settings == json!({}) { &team_a } else { &central };
            let builder = s.controller().settings(settings.clone());
            let _controller = builder.flag("--watch-pods").flag("--check-own-secrets").start().await;
            s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
            s.certificate_with(namespace, "shop-tls", ["shop.example.com"]).await;
            s.apply(gateway(&team_a, "shop").server("shop-tls", ["www.example.com"])).await;
            s.certificate_with(namespace, "shop-tls", ["www.example.com"]).await;
            s.apply(gateway(&team_a, "shop").server("new-tls", ["www.example.com"])).await;
            s.disappears(CERTIFICATE, namespace, "shop-tls").await;
            s.delete(GATEWAY, &team_a, "shop").await;
            s.disappears(CERTIFICATE, namespace, "new-tls").await;
        }
    });
}
