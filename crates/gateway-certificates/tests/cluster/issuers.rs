//! Issuers that are created late, and rejections that withhold only one Certificate.

use serde_json::json;

use crate::harness::*;

#[test]
fn a_gateway_waits_for_its_issuer_to_exist_and_be_ready() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let controller = s.controller().start().await;
        s.apply(gateway(&team_a, "shop").issuer("late").server("shop-tls", ["shop.example.com"])).await;
        s.event(&team_a, "shop", "CertificateWithheld", "issuer-not-found").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&team_a).await, [""; 0]);
        assert_eq!(
            controller.metric(r#"gateway_certificates_violations{rule="issuer-not-found"}"#),
            Some(1.0)
        );

        s.apply(issuer(&team_a, "late")).await;
        s.patch_status(ISSUER_KIND, &team_a, "late", ready()).await;
        let found = s.certificate_with(&team_a, "shop-tls", ["shop.example.com"]).await;
        assert_eq!(found["spec"]["issuerRef"]["kind"], "Issuer");
        eventually("nothing is withheld any more", async || {
            match controller.sum("gateway_certificates_violations") {
                0.0 => Ok(()),
                withheld => Err(withheld.to_string()),
            }
        })
        .await;
    });
}

#[test]
fn a_certificate_is_kept_when_its_issuer_is_deleted() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        s.apply(issuer(&team_a, "short")).await;
        s.patch_status(ISSUER_KIND, &team_a, "short", ready()).await;
        let controller = s.controller().start().await;
        s.apply(gateway(&team_a, "shop").issuer("short").server("shop-tls", ["shop.example.com"])).await;
        let before = s.appears(CERTIFICATE, &team_a, "shop-tls").await;

        s.delete(ISSUER_KIND, &team_a, "short").await;
        controller.at_rest().await;
        s.apply(gateway(&team_a, "shop").issuer("short").server("shop-tls", ["www.example.com"])).await;
        s.event(&team_a, "shop", "CertificateWithheld", "issuer-not-found").await;
        controller.at_rest().await;
        let after = s.get(CERTIFICATE, &team_a, "shop-tls").await.unwrap();
        assert_eq!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"], "{after}");
    });
}

#[test]
fn a_rejected_certificate_is_withheld_alone() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let settings = json!({"tenants": [{
            "name": "a", "namespaces": [team_a], "issuers": [{"kind": "ClusterIssuer", "name": "*"}],
            "dns_names": ["**"], "secrets": ["a-*"],
        }]});
        let controller = s.controller().settings(settings).start().await;
        let shop = gateway(&team_a, "shop")
            .server("a-one", ["one.example.com"])
            .server("b-one", ["two.example.com"]);
        s.apply(shop.server("a-two", ["three.example.com"])).await;

        s.appears(CERTIFICATE, &team_a, "a-one").await;
        s.appears(CERTIFICATE, &team_a, "a-two").await;
        s.event(&team_a, "shop", "CertificateWithheld", "secret-not-allowed").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&team_a).await, ["a-one", "a-two"]);
    });
}

#[test]
fn a_rejection_of_the_gateway_withholds_all_and_keeps_existing_certificates() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let controller = s.controller().start().await;
        let shop = gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"]);
        s.apply(shop.clone()).await;
        let before = s.appears(CERTIFICATE, &team_a, "shop-tls").await;

        let more = shop.clone().server("new-tls", ["new.example.com"]);
        s.apply(more.clone().annotation("cert-manager.io/duration", "90d")).await;
        s.event(&team_a, "shop", "CertificateWithheld", "annotation-invalid").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&team_a).await, ["shop-tls"]);
        let after = s.get(CERTIFICATE, &team_a, "shop-tls").await.unwrap();
        assert_eq!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"], "{after}");

        s.apply(more).await;
        s.appears(CERTIFICATE, &team_a, "new-tls").await;
    });
}
