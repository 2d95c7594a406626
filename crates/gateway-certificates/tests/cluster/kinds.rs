//! Kinds that are installed late, or served in other versions.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::*;

/// How long what is installed late may take: the controller asks every few seconds, but the API server's own
/// check of owner references learns of a kind every half minute, and what it refused is tried again later.
const LATE: Duration = Duration::from_secs(90);

/// The CustomResourceDefinitions of a group.
fn of_group(s: &Scenario, group: &str) -> Vec<Value> {
    let crds = s.cluster.crds.iter().filter(|crd| text(crd, "/spec/group") == group);
    crds.cloned().collect()
}

async fn appears_late(s: &Scenario, namespace: &str, name: &str) {
    eventually_within(LATE, "the Certificate is there", async || {
        s.get(CERTIFICATE, namespace, name).await.ok_or_else(|| "it is not".to_owned())
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
fn nothing_is_deleted_while_a_kind_is_gone() {
    scenario_on_own_cluster(async |s| {
        let (team_a, central) = (s.namespace("team-a").await, s.namespace("istio-system").await);
        let controller = s.controller().settings(placed_in(&central)).start().await;
        let shop = gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"]);
        s.apply(shop.clone()).await;
        let before = s.appears(CERTIFICATE, &central, "shop-tls").await;
        controller.stop();

        // Somebody has uninstalled Istio, and with it every Gateway.
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
fn what_belongs_to_gateways_stays_when_their_kind_goes() {
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
        eventually_within(LATE, "the Certificate is the restored Gateway's", async || {
            let found = s.get(CERTIFICATE, &central, "shop-tls").await.ok_or("it is gone")?;
            let owner = &found["metadata"]["annotations"]["gateway-certificates.io/owner-uid"];
            if *owner == uid { Ok(()) } else { Err(format!("it is {owner}'s")) }
        })
        .await;
    });
}

#[test]
fn gateways_come_in_every_version() {
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
fn an_older_version_is_all_that_is_served() {
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
        eventually_within(Duration::from_secs(30), "v1beta1 is all that is served", async || {
            let gone = s.try_apply(&gateway(&team_a, "after").into()).await.is_err();
            let served = s.try_apply(&beta("after").into()).await;
            if gone && served.is_ok() { Ok(()) } else { Err(format!("{served:?}")) }
        })
        .await;
        // The garbage collector has to know that version, too.
        s.control_plane().start_controller_manager();
        s.apply(beta("after").server("after-tls", ["after.example.com"])).await;
        s.certificate_with(&team_a, "after-tls", ["after.example.com"]).await;
        s.apply(beta("before").server("before-tls", ["www.example.com"])).await;
        s.certificate_with(&team_a, "before-tls", ["www.example.com"]).await;
        // The garbage collector looks owners up by the version that stands there.
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
