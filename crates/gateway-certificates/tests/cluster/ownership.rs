//! Objects of other owners are left alone, until they are deleted.

use serde_json::json;

use crate::harness::*;

#[test]
fn a_manually_created_certificate_is_left_alone_until_it_is_deleted() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let by_hand = s.apply(certificate(&team_a, "shop-tls")).await;
        let controller = s.controller().start().await;
        s.apply(
            gateway(&team_a, "shop")
                .server("shop-tls", ["shop.example.com"])
                .server("api-tls", ["api.example.com"]),
        )
        .await;

        s.event(&team_a, "shop", "CertificateWithheld", "shop-tls").await;
        s.certificate_with(&team_a, "api-tls", ["api.example.com"]).await;
        controller.at_rest().await;
        let kept = s.get(CERTIFICATE, &team_a, "shop-tls").await.unwrap();
        assert_eq!(kept["metadata"]["resourceVersion"], by_hand["metadata"]["resourceVersion"], "{kept}");

        s.delete(CERTIFICATE, &team_a, "shop-tls").await;
        s.certificate_with(&team_a, "shop-tls", ["shop.example.com"]).await;
    });
}

#[test]
fn no_second_certificate_writes_to_a_secret() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let mut by_hand = certificate(&team_a, "other-name");
        by_hand["spec"]["secretName"] = json!("shop-tls");
        s.apply(by_hand).await;
        let controller = s.controller().start().await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;

        s.event(&team_a, "shop", "CertificateWithheld", "certificate-not-owned").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&team_a).await, ["other-name"]);

        s.delete(CERTIFICATE, &team_a, "other-name").await;
        s.certificate_with(&team_a, "shop-tls", ["shop.example.com"]).await;
    });
}

#[test]
fn a_certificate_of_an_ingress_is_left_alone() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let mut of_ingress = certificate(&team_a, "shop-tls");
        let ingress = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"namespace": team_a, "name": "shop"},
            "spec": {"defaultBackend": {"service": {"name": "shop", "port": {"number": 80}}}},
        });
        let ingress = s.apply(ingress).await;
        of_ingress["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "shop",
            "uid": ingress["metadata"]["uid"], "controller": true,
        }]);
        let of_ingress = s.apply(of_ingress).await;
        let controller = s.controller().start().await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;

        s.event(&team_a, "shop", "CertificateWithheld", "shop-tls").await;
        s.delete(GATEWAY, &team_a, "shop").await;
        controller.at_rest().await;
        let kept = s.get(CERTIFICATE, &team_a, "shop-tls").await.unwrap();
        assert_eq!(kept["metadata"]["resourceVersion"], of_ingress["metadata"]["resourceVersion"], "{kept}");
    });
}

#[test]
fn an_existing_secret_in_another_namespace_is_left_alone_until_it_is_deleted() {
    scenario(async |s| {
        let (team_a, central) = (s.namespace("team-a").await, s.namespace("istio-system").await);
        s.apply(secret(&central, "shop-tls")).await;
        let controller = s.controller().settings(placed_in(&central)).start().await;
        s.apply(
            gateway(&team_a, "shop")
                .server("shop-tls", ["shop.example.com"])
                .server("api-tls", ["api.example.com"]),
        )
        .await;

        s.event(&team_a, "shop", "CertificateWithheld", "secret-not-issued").await;
        s.appears(CERTIFICATE, &central, "api-tls").await;
        assert_eq!(s.certificates(&central).await, ["api-tls"]);
        assert_eq!(
            controller.metric(r#"gateway_certificates_violations{rule="secret-not-issued"}"#),
            Some(1.0)
        );

        s.delete(SECRET, &central, "shop-tls").await;
        s.certificate_with(&central, "shop-tls", ["shop.example.com"]).await;
    });
}

#[test]
fn a_secret_that_cert_manager_wrote_for_that_name_is_adopted() {
    scenario(async |s| {
        let (team_a, central) = (s.namespace("team-a").await, s.namespace("istio-system").await);
        for (name, made_for) in [("shop-tls", "shop-tls"), ("api-tls", "another")] {
            let mut made = secret(&central, name);
            made["metadata"]["annotations"] = json!({"cert-manager.io/certificate-name": made_for});
            s.apply(made).await;
        }
        let controller = s.controller().settings(placed_in(&central)).start().await;
        s.apply(
            gateway(&team_a, "shop")
                .server("shop-tls", ["shop.example.com"])
                .server("api-tls", ["api.example.com"]),
        )
        .await;

        s.certificate_with(&central, "shop-tls", ["shop.example.com"]).await;
        s.event(&team_a, "shop", "CertificateWithheld", "secret-not-issued").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&central).await, ["shop-tls"]);
    });
}

#[test]
fn secrets_in_the_gateways_namespace_are_checked_with_a_flag() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        s.apply(secret(&team_a, "shop-tls")).await;
        let shop = gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"]);
        let controller = s.controller().flag("--check-own-secrets").start().await;
        s.apply(shop).await;
        s.event(&team_a, "shop", "CertificateWithheld", "secret-not-issued").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&team_a).await, [""; 0]);
        controller.stop();

        let _controller = s.controller().start().await;
        s.certificate_with(&team_a, "shop-tls", ["shop.example.com"]).await;
    });
}

#[test]
fn without_the_right_to_read_secrets_nothing_is_written() {
    scenario(async |s| {
        s.expects_forbidden();
        let (team_a, granted, forgotten) =
            (s.namespace("team-a").await, s.namespace("istio-a").await, s.namespace("istio-b").await);
        let labels = json!({"istio": "ingressgateway"});
        let settings = json!({"gateway_namespaces": [
            {"labels": labels, "namespace": granted}, {"labels": labels, "namespace": forgotten},
        ]});
        let controller = s.controller().settings(settings).without_role_in(&forgotten).start().await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;

        s.appears(CERTIFICATE, &granted, "shop-tls").await;
        s.event(&team_a, "shop", "CertificateWithheld", "secret-unchecked").await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&forgotten).await, [""; 0]);

        s.grant("central/rbac.yaml", Some(&forgotten)).await;
        s.appears(CERTIFICATE, &forgotten, "shop-tls").await;
    });
}

#[test]
fn secrets_that_istio_reserves_for_cas_are_never_written() {
    scenario(async |s| {
        let central = s.namespace("istio-system").await;
        let mut settings = placed_in(&central);
        // The rules about these Secrets are off: settings cannot allow this.
        settings["rules"] = json!({
            "credential-name-invalid": "off", "annotation-istio-internal": "off", "credential-unused": "off", "client-ca-missing": "off",
        });
        let controller = s.controller().settings(settings).start().await;
        for name in ["cacerts", "istio-ca-secret", "shop-cacert"] {
            s.apply(gateway(&central, name).server(name, ["shop.example.com"])).await;
        }
        s.event(&central, "cacerts", "CertificateWithheld", "secret-reserved").await;
        s.event(&central, "istio-ca-secret", "CertificateWithheld", "secret-reserved").await;
        // shop-cacert holds the CA of the credential shop: nothing is planned for it.
        controller.at_rest().await;
        assert_eq!(s.certificates(&central).await, [""; 0]);
    });
}

#[test]
fn the_older_of_two_gateways_gets_the_secret_until_it_releases_it() {
    scenario(async |s| {
        let (team_a, team_b, central) =
            (s.namespace("team-a").await, s.namespace("team-b").await, s.namespace("istio-system").await);
        let older = gateway(&team_b, "older").server("shop-tls", ["older.example.com"]);
        s.apply(older.clone()).await;
        // creationTimestamp has a resolution of one second.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        s.apply(gateway(&team_a, "younger").server("shop-tls", ["younger.example.com"])).await;

        let controller = s.controller().settings(placed_in(&central)).start().await;
        s.certificate_with(&central, "shop-tls", ["older.example.com"]).await;
        s.event(&team_a, "younger", "CertificateWithheld", "shop-tls").await;
        controller.at_rest().await;
        s.certificate_with(&central, "shop-tls", ["older.example.com"]).await;

        // The Certificate is created again: its owner is never changed.
        s.delete(GATEWAY, &team_b, "older").await;
        let handed_over = s.certificate_with(&central, "shop-tls", ["younger.example.com"]).await;
        let owner = &handed_over["metadata"]["annotations"]["gateway-certificates.io/owner-name"];
        assert_eq!(owner, "younger");
    });
}

#[test]
fn a_secret_is_released_when_its_gateway_uses_another() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let controller = s.controller().start().await;
        s.apply(gateway(&team_a, "first").server("shop-tls", ["first.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "shop-tls").await;
        s.apply(gateway(&team_a, "second").server("shop-tls", ["second.example.com"])).await;
        s.event(&team_a, "second", "CertificateWithheld", "shop-tls").await;
        controller.at_rest().await;

        s.apply(gateway(&team_a, "first").server("first-tls", ["first.example.com"])).await;
        s.certificate_with(&team_a, "first-tls", ["first.example.com"]).await;
        s.certificate_with(&team_a, "shop-tls", ["second.example.com"]).await;
    });
}

#[test]
fn an_older_gateway_does_not_take_the_secret_of_a_younger_one() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let controller = s.controller().start().await;
        s.apply(gateway(&team_a, "older").server("older-tls", ["older.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "older-tls").await;
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        s.apply(gateway(&team_a, "younger").server("shop-tls", ["younger.example.com"])).await;
        let before = s.appears(CERTIFICATE, &team_a, "shop-tls").await;

        s.apply(gateway(&team_a, "older").server("shop-tls", ["older.example.com"])).await;
        s.event(&team_a, "older", "CertificateWithheld", "shop-tls").await;
        controller.at_rest().await;
        let after = s.get(CERTIFICATE, &team_a, "shop-tls").await.unwrap();
        assert_eq!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"], "{after}");
        controller.stop();

        // The same applies after a restart.
        let controller = s.controller().start().await;
        controller.at_rest().await;
        let after = s.get(CERTIFICATE, &team_a, "shop-tls").await.unwrap();
        assert_eq!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"], "{after}");
    });
}
