//! What people see: Events, the status of Gateways, and metrics.

use std::net::TcpListener;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::controller::Controller;
use crate::harness::*;

/// The status of a Certificate with these conditions: type, status, reason and message.
fn conditions(conditions: &[(&str, &str, &str, &str)]) -> Value {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(kind, status, reason, message)| {
            json!({"type": kind, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        })
        .collect();
    json!({"status": {"conditions": conditions}})
}

fn issued(not_after: &str) -> Value {
    let mut status = conditions(&[("Ready", "True", "Ready", "Certificate is up to date")]);
    status["status"]["notAfter"] = json!(not_after);
    status["status"]["failedIssuanceAttempts"] = json!(null);
    status
}

/// Waits until that time is the earliest expiration of a Certificate.
async fn until_expires(controller: &Controller, not_after: &str) {
    let expected = not_after.parse::<Timestamp>().unwrap().as_second() as f64;
    eventually(&format!("the earliest expiration is {not_after}, {expected}"), async || {
        match controller.metric("gateway_certificates_certificates_earliest_expiration_timestamp_seconds") {
            Some(found) if found == expected => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    controller.at_rest().await;
}

/// Waits until the controller has seen a state of its Certificates.
async fn until_seen(controller: &Controller, state: &str) {
    eventually(&format!("a Certificate is {state}"), async || {
        let name = format!("gateway_certificates_certificates{{state=\"{state}\"}}");
        match controller.metric(&name) {
            Some(1.0) => Ok(()),
            other => Err(format!("{name} is {other:?}")),
        }
    })
    .await;
    controller.at_rest().await;
}

#[test]
fn a_gateway_shows_whether_its_certificate_is_issued() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let controller = s.controller().start().await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "shop-tls").await;
        let status = async |status: Value| s.patch_status(CERTIFICATE, &team_a, "shop-tls", status).await;
        let count = async |reason: &str| {
            s.events(&team_a, "shop").await.iter().filter(|event| text(event, "/reason") == reason).count()
        };

        status(conditions(&[("Ready", "False", "DoesNotExist", "Issuing certificate")])).await;
        until_seen(&controller, "pending").await;
        status(issued("2126-01-01T00:00:00Z")).await;
        let event = s.event(&team_a, "shop", "CertificateReady", "valid until 2126-01-01T00:00:00Z").await;
        assert_eq!((text(&event, "/type"), text(&event, "/action")), ("Normal", "Issue"));
        until_expires(&controller, "2126-01-01T00:00:00Z").await;

        // A renewal is not reported.
        let mut renewing = issued("2126-01-01T00:00:00Z");
        renewing["status"]["conditions"].as_array_mut().unwrap().push(
            conditions(&[("Issuing", "True", "Renewing", "Renewing certificate")])["status"]["conditions"][0]
                .clone(),
        );
        status(renewing).await;
        status(issued("2126-02-01T00:00:00Z")).await;
        until_expires(&controller, "2126-02-01T00:00:00Z").await;
        assert_eq!((count("CertificateReady").await, count("CertificateFailed").await), (1, 0));

        let mut failed = conditions(&[
            ("Ready", "True", "Ready", "Certificate is up to date"),
            ("Issuing", "False", "Failed", "The certificate request has failed: the Order is invalid"),
        ]);
        failed["status"]["failedIssuanceAttempts"] = json!(1);
        status(failed).await;
        let event = s.event(&team_a, "shop", "CertificateFailed", "the Order is invalid").await;
        assert_eq!(text(&event, "/type"), "Warning");
        let next_step = format!("cmctl status certificate shop-tls -n {team_a}");
        assert!(text(&event, "/note").contains(&next_step), "{event}");
        until_seen(&controller, "renewal_failed").await;

        status(issued("2126-03-01T00:00:00Z")).await;
        s.event(&team_a, "shop", "CertificateReady", "valid until 2126-03-01T00:00:00Z").await;
    });
}

#[test]
fn after_a_restart_only_a_failure_is_reported() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let first = s.controller().start().await;
        for name in ["good", "bad"] {
            s.apply(gateway(&team_a, name).server(name, ["shop.example.com"])).await;
            s.appears(CERTIFICATE, &team_a, name).await;
        }
        first.stop();
        s.patch_status(CERTIFICATE, &team_a, "good", issued("2126-01-01T00:00:00Z")).await;
        let mut failed = conditions(&[("Issuing", "False", "Denied", "it is denied")]);
        failed["status"]["failedIssuanceAttempts"] = json!(1);
        s.patch_status(CERTIFICATE, &team_a, "bad", failed).await;

        let second = s.controller().start().await;
        s.event(&team_a, "bad", "CertificateFailed", "it is denied").await;
        second.at_rest().await;
        let events = s.events(&team_a, "good").await;
        let reasons: Vec<_> = events.iter().map(|event| text(event, "/reason")).collect();
        assert_eq!(reasons, ["CreateCertificate"]);
    });
}

#[test]
fn the_event_of_a_lasting_problem_is_counted_again() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let first = s.controller().start().await;
        s.apply(gateway(&team_a, "shop").issuer("absent").server("shop-tls", ["shop.example.com"])).await;
        let event = s.event(&team_a, "shop", "CertificateWithheld", "issuer-not-found").await;
        first.stop();

        // A restart does not write it again.
        let second = s.controller().start().await;
        second.at_rest().await;
        second.stop();
        let name = text(&event, "/metadata/name").to_owned();
        let seen = s.get(EVENT, &team_a, &name).await.unwrap();
        assert_eq!(seen["metadata"]["resourceVersion"], event["metadata"]["resourceVersion"]);
        assert_eq!(s.events(&team_a, "shop").await.len(), 1);

        // It was last seen some time ago.
        let series = json!({"count": 4, "lastObservedTime": "2026-01-01T00:00:00.000000Z"});
        s.patch(EVENT, &team_a, &name, json!({"series": series})).await;
        let _third = s.controller().start().await;
        eventually("the Event is counted again", async || {
            let event = s.get(EVENT, &team_a, &name).await.unwrap();
            if event["series"]["count"] == 5 { Ok(()) } else { Err(event["series"].to_string()) }
        })
        .await;
        assert_eq!(s.events(&team_a, "shop").await.len(), 1);
    });
}

#[test]
fn many_withheld_certificates_get_few_events() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let controller = s.controller().start().await;
        let mut shop = gateway(&team_a, "shop");
        for number in 0..300 {
            shop = shop.server(&format!("shop-{number:03}-cacert"), [&format!("{number}.example.com")]);
        }
        s.apply(shop).await;
        s.event(&team_a, "shop", "CertificateWithheld", "and 291 more Certificates are withheld").await;
        controller.at_rest().await;
        let events = s.events(&team_a, "shop").await;
        assert_eq!(events.len(), 10, "{events:?}");
    });
}

#[test]
fn events_of_a_namespace_that_hangs_delay_no_others() {
    scenario_on_own_cluster(async |s| {
        let (bad, good) = (s.namespace("bad").await, s.namespace("good").await);
        // It accepts connections and never answers.
        let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = hanging.local_addr().unwrap();
        s.apply_temporarily(json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "gateway-certificates-tests-hanging-events"},
            "webhooks": [{
                "name": "events.tests.example.com",
                "clientConfig": {"url": format!("https://{address}/")},
                "rules": [{"apiGroups": ["events.k8s.io"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["events"]}],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": bad}},
                "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 30,
            }],
        }))
        .await;
        let controller = s.controller().start().await;
        for number in 0..5 {
            let name = format!("shop-{number}");
            s.apply(gateway(&bad, &name).server(&name, ["shop.example.com"])).await;
        }
        eventually("an Event hangs", async || {
            let created = controller.sum("gateway_certificates_reconciles_total");
            if created >= 5.0 { Ok(()) } else { Err(format!("{created} reconciliations")) }
        })
        .await;
        for number in 0..20 {
            let name = format!("shop-{number}");
            s.apply(gateway(&good, &name).server(&name, ["shop.example.com"])).await;
        }
        for number in 0..20 {
            let name = format!("shop-{number}");
            s.event(&good, &name, "CreateCertificate", &name).await;
        }
        assert_eq!(s.list(EVENT, &bad).await.len(), 0, "the webhook is called");
        assert_eq!(controller.sum("gateway_certificates_events_dropped_total"), 0.0);
    });
}

/// Waits until the controller's condition on a Gateway has that status and reason.
async fn until_condition(s: &Scenario, namespace: &str, status: &str, reason: &str) -> Value {
    eventually(&format!("the condition is {status}, {reason}"), async || {
        let found = s.get(GATEWAY, namespace, "shop").await.unwrap();
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let own = conditions
            .iter()
            .find(|condition| condition["type"] == "gateway-certificates.io/CertificatesReady")
            .cloned()
            .unwrap_or_default();
        if (text(&own, "/status"), text(&own, "/reason")) == (status, reason) {
            Ok(own)
        } else {
            Err(found["status"].to_string())
        }
    })
    .await
}

#[test]
fn the_status_of_a_gateway_shows_its_certificates() {
    scenario_on_own_cluster(async |s| {
        let team_a = s.namespace("team-a").await;
        let controller = s.controller().flag("--gateway-status").start().await;
        let shop = gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"]);
        s.apply(shop.clone()).await;
        let other = json!({"type": "Other", "status": "True", "lastProbeTime": "2026-01-01T00:00:00Z", "observedGeneration": "1"});
        until_condition(s, &team_a, "False", "Pending").await;
        // Like another writer of the list: it reads, and adds its own entry.
        let conditions = s.get(GATEWAY, &team_a, "shop").await.unwrap()["status"]["conditions"].clone();
        let both: Vec<Value> = conditions.as_array().unwrap().iter().chain([&other]).cloned().collect();
        let messages = json!([{"level": "INFO", "type": {"name": "Example", "code": "IST0001"}}]);
        let status = json!({"status": {"conditions": both, "validationMessages": messages}});
        s.patch_status(GATEWAY, &team_a, "shop", status).await;

        s.patch_status(CERTIFICATE, &team_a, "shop-tls", issued("2126-01-01T00:00:00Z")).await;
        let own = until_condition(s, &team_a, "True", "Ready").await;
        assert_eq!(own["message"], "1 of 1 Certificates are ready.");
        assert_eq!(own["observedGeneration"], 1);
        assert!(text(&own, "/lastTransitionTime").ends_with('Z'), "{own}");
        let found = s.get(GATEWAY, &team_a, "shop").await.unwrap();
        assert!(found["status"]["conditions"].as_array().unwrap().contains(&other), "{found}");
        assert_eq!(found["status"]["validationMessages"], messages);

        // Nothing is written while it stays the same: neither after a renewal nor after a restart.
        controller.at_rest().await;
        let audit = s.audit_from_now();
        s.patch_status(CERTIFICATE, &team_a, "shop-tls", issued("2126-02-01T00:00:00Z")).await;
        until_expires(&controller, "2126-02-01T00:00:00Z").await;
        controller.stop();
        let controller = s.controller().flag("--gateway-status").start().await;
        controller.at_rest().await;
        let writes: Vec<String> = audit.writes().iter().map(ToString::to_string).collect();
        assert_eq!(writes, [""; 0]);

        s.apply(shop.server("cacerts", ["ca.example.com"])).await;
        let own = until_condition(s, &team_a, "False", "CertificateWithheld").await;
        assert_eq!(own["observedGeneration"], 2);
        assert!(text(&own, "/message").contains("secret-reserved"), "{own}");

        s.apply(gateway(&team_a, "shop").without_annotations()).await;
        eventually("the condition is removed", async || {
            let found = s.get(GATEWAY, &team_a, "shop").await.unwrap();
            if found["status"]["conditions"] == json!([other]) {
                Ok(())
            } else {
                Err(found["status"].to_string())
            }
        })
        .await;
    });
}

#[test]
fn the_operator_sees_what_is_watched() {
    scenario(async |s| {
        let controller = s.controller().start().await;
        for kind in ["gateways.networking.istio.io", "certificates.cert-manager.io"] {
            let watch = |name: &str| {
                controller.metric(&format!("gateway_certificates_watch_{name}{{kind=\"{kind}\"}}"))
            };
            assert_eq!(watch("synced"), Some(1.0));
            assert!(watch("last_event_timestamp_seconds").unwrap_or_default() > 1_700_000_000.0);
            assert_eq!(watch("errors_total"), Some(0.0));
        }
        let lists = r#"gateway_certificates_api_requests_total{code="200",resource="gateways",verb="list"}"#;
        assert!(controller.metric(lists).unwrap_or_default() >= 1.0);
        assert_eq!(controller.sum("gateway_certificates_settings_info"), 1.0);
        assert!(controller.metric("process_resident_memory_bytes").unwrap_or_default() > 1e6);
    });
}
