//! Certificates in other namespaces than their Gateway, according to the settings.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::*;

fn owner(certificate: &Value, what: &str) -> String {
    let key = format!("gateway-certificates.io/owner-{what}");
    certificate["metadata"]["annotations"][key].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_certificate_in_another_namespace_has_a_record_of_its_owner() {
    scenario(async |s| {
        let (team_a, central) = (s.namespace("team-a").await, s.namespace("istio-system").await);
        let _controller = s.controller().settings(placed_in(&central)).start().await;
        let shop = s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;

        let found = s.certificate_with(&central, "shop-tls", ["shop.example.com"]).await;
        assert_eq!(owner(&found, "namespace"), team_a);
        assert_eq!(owner(&found, "name"), "shop");
        assert_eq!(owner(&found, "uid"), text(&shop, "/metadata/uid"));
        assert_eq!(
            found["metadata"].get("ownerReferences"),
            None,
            "an owner in another namespace counts as deleted"
        );
        let hash = certificate_shim::owner::hash(&team_a, "shop");
        assert_eq!(found["metadata"]["labels"]["gateway-certificates.io/owner-hash"], hash);
        assert_eq!(s.certificates(&team_a).await, [""; 0]);

        s.apply(gateway(&team_a, "shop").server("shop-tls", ["www.example.com"])).await;
        s.certificate_with(&central, "shop-tls", ["www.example.com"]).await;
        s.delete(GATEWAY, &team_a, "shop").await;
        s.disappears(CERTIFICATE, &central, "shop-tls").await;
    });
}

#[test]
fn a_certificate_of_a_gateway_in_the_central_namespace_has_an_owner_reference() {
    scenario(async |s| {
        let central = s.namespace("istio-system").await;
        let _controller = s.controller().settings(placed_in(&central)).start().await;
        s.apply(gateway(&central, "shop").server("shop-tls", ["shop.example.com"])).await;
        let found = s.appears(CERTIFICATE, &central, "shop-tls").await;
        assert_eq!(text(&found, "/metadata/ownerReferences/0/name"), "shop");
        s.delete(GATEWAY, &central, "shop").await;
        s.disappears(CERTIFICATE, &central, "shop-tls").await;
    });
}

#[test]
fn every_namespace_of_the_selected_gateways_gets_a_certificate() {
    scenario(async |s| {
        let (team_a, one, two, other) = (
            s.namespace("team-a").await,
            s.namespace("istio-one").await,
            s.namespace("istio-two").await,
            s.namespace("istio-other").await,
        );
        let settings = json!({"gateway_namespaces": [
            {"labels": {"istio": "ingressgateway", "zone": "1"}, "namespace": one},
            {"labels": {"istio": "ingressgateway", "zone": "2"}, "namespace": two},
            {"labels": {"istio": "eastwest"}, "namespace": other},
        ]});
        let controller = s.controller().settings(settings).start().await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        s.appears(CERTIFICATE, &one, "shop-tls").await;
        s.appears(CERTIFICATE, &two, "shop-tls").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&other).await, [""; 0]);

        let elsewhere = json!({"istio": "ingressgateway", "zone": "2"});
        s.apply(gateway(&team_a, "shop").selector(elsewhere).server("shop-tls", ["shop.example.com"])).await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&one).await, ["shop-tls"], "the other Certificate is not Ready yet");
        s.patch_status(CERTIFICATE, &two, "shop-tls", ready()).await;
        s.disappears(CERTIFICATE, &one, "shop-tls").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&two).await, ["shop-tls"]);

        s.delete(GATEWAY, &team_a, "shop").await;
        s.disappears(CERTIFICATE, &two, "shop-tls").await;
    });
}

#[test]
fn changed_settings_move_the_certificates_when_the_new_ones_are_ready() {
    scenario(async |s| {
        let (team_a, old, new) =
            (s.namespace("team-a").await, s.namespace("istio-old").await, s.namespace("istio-new").await);
        let controller = s.controller().settings(placed_in(&old)).start().await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        s.appears(CERTIFICATE, &old, "shop-tls").await;
        controller.stop();

        let mut settings = placed_in(&new);
        settings["former_gateway_namespaces"] = json!([old]);
        let controller = s.controller().settings(settings).start().await;
        s.appears(CERTIFICATE, &new, "shop-tls").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&old).await, ["shop-tls"]);
        s.patch_status(CERTIFICATE, &new, "shop-tls", ready()).await;
        s.disappears(CERTIFICATE, &old, "shop-tls").await;
    });
}

#[test]
fn settings_that_lose_their_placement_delete_nothing() {
    scenario(async |s| {
        let (team_a, central) = (s.namespace("team-a").await, s.namespace("istio-system").await);
        let controller = s.controller().settings(placed_in(&central)).start().await;
        for name in ["shop", "api", "www"] {
            let (secret, host) = (format!("{name}-tls"), format!("{name}.example.com"));
            s.apply(gateway(&team_a, name).server(&secret, [host.as_str()])).await;
            s.appears(CERTIFICATE, &central, &secret).await;
        }
        controller.stop();
        let all = ["api-tls", "shop-tls", "www-tls"];

        // An empty file, with the rights of the old settings.
        s.expects_forbidden();
        let controller = s.controller().start().await;
        for name in ["shop", "api", "www"] {
            let secret = format!("{name}-tls");
            s.appears(CERTIFICATE, &team_a, &secret).await;
            s.patch_status(CERTIFICATE, &team_a, &secret, ready()).await;
        }
        controller.at_rest().await;
        assert_eq!(s.certificates(&central).await, all);
        assert_eq!(controller.metric("gateway_certificates_deletions_suspended"), Some(0.0));
        controller.stop();

        // A label with a typo: the placement is unknown.
        let mut settings = placed_in(&central);
        settings["gateway_namespaces"][0]["labels"] = json!({"istio": "ingresgateway"});
        let controller = s.controller().settings(settings).start().await;
        s.event(&team_a, "shop", "CertificateWithheld", "gateway-namespace-unknown").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&central).await, all);
    });
}

#[test]
fn a_gateway_that_is_deleted_while_the_controller_is_down_is_cleaned_up() {
    scenario(async |s| {
        let (team_a, central) = (s.namespace("team-a").await, s.namespace("istio-system").await);
        let controller = s.controller().settings(placed_in(&central)).start().await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        s.apply(gateway(&team_a, "api").server("api-tls", ["api.example.com"])).await;
        s.appears(CERTIFICATE, &central, "shop-tls").await;
        s.appears(CERTIFICATE, &central, "api-tls").await;
        controller.stop();
        s.delete(GATEWAY, &team_a, "shop").await;

        let controller = s.controller().settings(placed_in(&central)).start().await;
        s.disappears(CERTIFICATE, &central, "shop-tls").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&central).await, ["api-tls"]);
    });
}

#[test]
fn a_recreated_gateway_adopts_certificates_in_another_namespace() {
    scenario(async |s| {
        let (team_a, central) = (s.namespace("team-a").await, s.namespace("istio-system").await);
        let shop = gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"]);
        let controller = s.controller().settings(placed_in(&central)).start().await;
        s.apply(shop.clone()).await;
        let before = s.appears(CERTIFICATE, &central, "shop-tls").await;
        controller.stop();
        s.delete(GATEWAY, &team_a, "shop").await;
        let restored = s.apply(shop).await;

        let _controller = s.controller().settings(placed_in(&central)).start().await;
        let uid = text(&restored, "/metadata/uid");
        let has_new_uid = |certificate: &Value| owner(certificate, "uid") == uid;
        let after = s.certificate_where(&central, "shop-tls", "has the new Gateway's uid", has_new_uid).await;
        assert_eq!(
            before["metadata"]["uid"], after["metadata"]["uid"],
            "it is kept, so that nothing is issued again"
        );
    });
}

#[test]
fn a_recreated_gateway_adopts_certificates_in_its_namespace() {
    scenario_on_own_cluster(async |s| {
        let team_a = s.namespace("team-a").await;
        let shop = gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"]);
        let _controller = s.controller().start().await;
        s.apply(shop.clone()).await;
        let before = s.appears(CERTIFICATE, &team_a, "shop-tls").await;

        // As with a restore of both from a backup: the garbage collector has not run yet.
        s.changes_control_plane();
        s.control_plane().kill_controller_manager();
        s.delete(GATEWAY, &team_a, "shop").await;
        let restored = s.apply(shop).await;
        let uid = &restored["metadata"]["uid"];
        let has_new_uid = |certificate: &Value| {
            certificate["metadata"]["ownerReferences"].as_array().is_some_and(|owners| {
                owners.len() == 1 && owners[0]["uid"] == *uid && owners[0]["controller"] == true
            })
        };
        s.certificate_where(&team_a, "shop-tls", "has the new Gateway as its only owner", has_new_uid).await;
        s.control_plane().start_controller_manager();

        // The garbage collector runs, and leaves the Certificate alone.
        s.apply(gateway(&team_a, "other").server("other-tls", ["other.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "other-tls").await;
        s.delete(GATEWAY, &team_a, "other").await;
        s.disappears(CERTIFICATE, &team_a, "other-tls").await;
        let after = s.get(CERTIFICATE, &team_a, "shop-tls").await.unwrap();
        assert_eq!(
            before["metadata"]["uid"], after["metadata"]["uid"],
            "it is kept, so that nothing is issued again"
        );
    });
}

#[test]
fn labels_of_tenants_have_no_effect() {
    scenario(async |s| {
        let (team_a, central) = (s.namespace("team-a").await, s.namespace("istio-system").await);
        let controller = s.controller().settings(placed_in(&central)).flag("--watch-pods").start().await;
        let labels = json!({"istio": "ingressgateway", "app": "istio-ingressgateway"});
        s.apply(pod(&team_a, "like-a-gateway", labels.clone())).await;
        s.apply(json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": team_a, "name": "istio-ingressgateway", "labels": labels},
            "spec": {"selector": labels, "ports": [{"port": 443}]},
        }))
        .await;
        s.patch(NAMESPACE, "", &team_a, json!({"metadata": {"labels": labels}})).await;
        let shop = s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        s.appears(CERTIFICATE, &central, "shop-tls").await;

        // It is only reported.
        s.event(&team_a, "shop", "PlacementMismatch", &team_a).await;
        assert_eq!(controller.metric("gateway_certificates_placement_mismatches"), Some(1.0));
        controller.at_rest().await;
        assert_eq!(s.certificates(&team_a).await, [""; 0]);
        let found = s.get(CERTIFICATE, &central, "shop-tls").await.unwrap();
        assert_eq!(owner(&found, "uid"), text(&shop, "/metadata/uid"));

        // It is no longer reported once settings and Pods agree.
        s.delete_all(POD, &team_a).await;
        s.apply(pod(&central, "the-gateway", labels)).await;
        eventually_within(Duration::from_secs(30), "the mismatch is over", async || {
            match controller.metric("gateway_certificates_placement_mismatches") {
                Some(0.0) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    });
}

#[test]
fn a_tenant_follows_the_labels_of_namespaces() {
    scenario(async |s| {
        let (team_a, central) = (s.namespace("team-a").await, s.namespace("istio-system").await);
        let label = format!("tests/tenant-{}", std::process::id());
        let mut settings = placed_in(&central);
        settings["tenants"] = json!([{
            "name": "a", "namespace_selector": {"match_labels": {&label: "a"}},
            "issuers": [{"kind": "ClusterIssuer", "name": "*"}], "dns_names": ["**"],
        }]);
        let controller = s.controller().settings(settings).start().await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        s.event(&team_a, "shop", "CertificateWithheld", "namespace-without-tenant").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&central).await, [""; 0]);

        s.patch(NAMESPACE, "", &team_a, json!({"metadata": {"labels": {&label: "a"}}})).await;
        s.appears(CERTIFICATE, &central, "shop-tls").await;

        // Existing Certificates are kept; new ones are withheld.
        s.patch(NAMESPACE, "", &team_a, json!({"metadata": {"labels": {&label: null}}})).await;
        s.apply(
            gateway(&team_a, "shop")
                .server("shop-tls", ["shop.example.com"])
                .server("new-tls", ["new.example.com"]),
        )
        .await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&central).await, ["shop-tls"]);
    });
}
