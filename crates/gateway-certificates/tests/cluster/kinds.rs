//! Kinds that are installed late, or served in other versions.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::*;

/// The patience for a kind that is installed late. The controller discovers it within seconds, but the API
/// server's check of owner references updates its kinds every half minute, and rejected writes are retried
/// later.
const LATE: Duration = Duration::from_secs(90);

/// The CustomResourceDefinitions of a group.
fn of_group(s: &Scenario, group: &str) -> Vec<Value> {
    let crds = s.cluster.crds.iter().filter(|crd| text(crd, "/spec/group") == group);
    crds.cloned().collect()
}

async fn appears_late(s: &Scenario, namespace: &str, name: &str) {
    eventually_within(LATE, "the Certificate exists", async || {
        s.get(CERTIFICATE, namespace, name).await.ok_or_else(|| "it does not".to_owned())
    })
    .await;
}

async fn remove(s: &Scenario, crds: &[Value]) {
    for crd in crds {
        s.delete_object(crd).await;
    }
    for crd in crds {
        s.disappears(CRD, "", text(crd, "/metadata/name")).await;
    }
}

#[test]
fn istio_is_installed_after_the_controller() {
    scenario_on_own_cluster(async |s| {
        let team_a = s.namespace("team-a").await;
        s.changes_control_plane();
        let istio = of_group(s, "networking.istio.io");
        remove(s, &istio).await;
        let controller = s.controller().start_at_once().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        controller.assert_running();

        s.apply_crds(&istio).await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        appears_late(s, &team_a, "shop-tls").await;
        controller.until_ready().await;
    });
}

#[test]
fn cert_manager_is_installed_after_the_controller() {
    scenario_on_own_cluster(async |s| {
        let team_a = s.namespace("team-a").await;
        s.changes_control_plane();
        let cert_manager = of_group(s, "cert-manager.io");
        remove(s, &cert_manager).await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        let controller = s.controller().start_at_once().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        controller.assert_running();

        s.apply_crds(&cert_manager).await;
        s.cluster.apply_issuer(s).await;
        appears_late(s, &team_a, "shop-tls").await;
        controller.until_ready().await;
    });
}

#[test]
fn nothing_is_deleted_while_a_kind_is_missing() {
    scenario_on_own_cluster(async |s| {
        let (team_a, central) = (s.namespace("team-a").await, s.namespace("istio-system").await);
        let controller = s.controller().settings(placed_in(&central)).start().await;
        let shop = gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"]);
        s.apply(shop.clone()).await;
        let before = s.appears(CERTIFICATE, &central, "shop-tls").await;
        controller.stop();

        // Istio is uninstalled, and with it every Gateway.
        s.changes_control_plane();
        let istio = of_group(s, "networking.istio.io");
        remove(s, &istio).await;
        let controller = s.controller().settings(placed_in(&central)).start_at_once().await;
        tokio::time::sleep(Duration::from_secs(7)).await;
        controller.assert_running();
        let kept = s.get(CERTIFICATE, &central, "shop-tls").await;
        assert_eq!(kept.as_ref().map(|kept| &kept["metadata"]["uid"]), Some(&before["metadata"]["uid"]));
    });
}

#[test]
fn certificates_are_kept_when_the_kind_of_gateways_is_deleted() {
    scenario_on_own_cluster(async |s| {
        let (team_a, central) = (s.namespace("team-a").await, s.namespace("istio-system").await);
        let controller = s.controller().settings(placed_in(&central)).start().await;
        let shop = gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"]);
        s.apply(shop.clone()).await;
        let before = s.appears(CERTIFICATE, &central, "shop-tls").await;

        s.changes_control_plane();
        let istio = of_group(s, "networking.istio.io");
        remove(s, &istio).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        controller.assert_running();
        let kept = s.get(CERTIFICATE, &central, "shop-tls").await;
        assert_eq!(kept.as_ref().map(|kept| &kept["metadata"]["uid"]), Some(&before["metadata"]["uid"]));

        s.apply_crds(&istio).await;
        let restored = s.apply(shop).await;
        let uid = text(&restored, "/metadata/uid").to_owned();
        eventually_within(LATE, "the Certificate belongs to the restored Gateway", async || {
            let found = s.get(CERTIFICATE, &central, "shop-tls").await.ok_or("it is gone")?;
            let owner = &found["metadata"]["annotations"]["gateway-certificates.io/owner-uid"];
            if *owner == uid { Ok(()) } else { Err(format!("it belongs to {owner}")) }
        })
        .await;
    });
}

#[test]
fn gateways_of_every_version_are_handled() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let _controller = s.controller().start().await;
        for version in ["v1", "v1beta1", "v1alpha3"] {
            let secret = format!("{version}-tls");
            let host = format!("{version}.example.com");
            let gateway = gateway(&team_a, version).version(version);
            s.apply(gateway.clone().server(&secret, [host.as_str()])).await;
            s.certificate_with(&team_a, &secret, [host.as_str()]).await;
            s.apply(gateway.server(&secret, [host.as_str(), "www.example.com"])).await;
            s.certificate_with(&team_a, &secret, [host.as_str(), "www.example.com"]).await;
        }
        for version in ["v1", "v1beta1", "v1alpha3"] {
            s.delete(GATEWAY, &team_a, version).await;
            s.disappears(CERTIFICATE, &team_a, &format!("{version}-tls")).await;
        }
    });
}

#[test]
fn only_an_older_version_is_served() {
    scenario_on_own_cluster(async |s| {
        const GATEWAY_V1BETA1: Kind = Kind("networking.istio.io/v1beta1", "Gateway");
        let team_a = s.namespace("team-a").await;
        let controller = s.controller().start().await;
        s.apply(gateway(&team_a, "before").server("before-tls", ["before.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "before-tls").await;

        s.changes_control_plane();
        let mut istio = of_group(s, "networking.istio.io");
        for version in istio[0]["spec"]["versions"].as_array_mut().unwrap() {
            version["served"] = json!(version["name"] == "v1beta1");
        }
        s.apply_crds(&istio).await;
        let beta = |name: &str| gateway(&team_a, name).version("v1beta1");
        eventually_within(Duration::from_secs(30), "only v1beta1 is served", async || {
            let gone = s.try_apply(&gateway(&team_a, "after").into()).await.is_err();
            let served = s.try_apply(&beta("after").into()).await;
            if gone && served.is_ok() { Ok(()) } else { Err(format!("{served:?}")) }
        })
        .await;
        // The garbage collector must also know that version.
        s.control_plane().start_controller_manager();
        s.apply(beta("after").server("after-tls", ["after.example.com"])).await;
        s.certificate_with(&team_a, "after-tls", ["after.example.com"]).await;
        s.apply(beta("before").server("before-tls", ["www.example.com"])).await;
        s.certificate_with(&team_a, "before-tls", ["www.example.com"]).await;
        // The garbage collector looks up owners by the version in the reference.
        let names_beta = |certificate: &Value| {
            text(certificate, "/metadata/ownerReferences/0/apiVersion") == "networking.istio.io/v1beta1"
        };
        for name in ["before", "after"] {
            let certificate = format!("{name}-tls");
            s.certificate_where(&team_a, &certificate, "names its owner in that version", names_beta).await;
            s.delete(GATEWAY_V1BETA1, &team_a, name).await;
            s.disappears(CERTIFICATE, &team_a, &certificate).await;
        }
        controller.stop();

        let _controller = s.controller().start().await;
        s.apply(beta("later").server("later-tls", ["later.example.com"])).await;
        s.certificate_with(&team_a, "later-tls", ["later.example.com"]).await;
    });
}
