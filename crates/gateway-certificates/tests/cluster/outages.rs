//! The API server is killed, the controller is killed, or writes are rejected: in the end, every Certificate
//! is created exactly once.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;

use crate::harness::*;

/// That number of Gateways, each with a Certificate.
fn many(namespace: &str, count: usize) -> Vec<GatewayBuilder> {
    let one = |number| {
        let (secret, host) = (format!("shop-{number}-tls"), format!("shop-{number}.example.com"));
        gateway(namespace, &format!("shop-{number}")).server(&secret, [host.as_str()])
    };
    (0..count).map(one).collect()
}

/// The number of creations of each Certificate.
fn creations(audit: &audit::Audit) -> BTreeMap<String, usize> {
    let mut creations = BTreeMap::new();
    for request in audit.writes_of("certificates") {
        if request.verb == "create" {
            *creations.entry(request.name().to_owned()).or_default() += 1;
        }
    }
    creations
}

async fn until_created(s: &Scenario, count: usize) {
    eventually_within(Duration::from_secs(60), &format!("{count} Certificates are created"), async || {
        let created = creations(s.audit()).len();
        if created >= count { Ok(()) } else { Err(format!("{created} of {count}")) }
    })
    .await;
}

#[test]
fn the_api_server_is_killed_midway() {
    scenario_on_own_cluster(async |s| {
        const COUNT: usize = 300;
        // An API server that has just started forbids everything until it has read the Roles.
        s.expects_forbidden();
        let team_a = s.namespace("team-a").await;
        s.apply_all(many(&team_a, COUNT)).await;
        // A leader that cannot renew its Lease for 10 seconds ends.
        let controller = s.controller().flag("--leader-elect=false").start().await;
        until_created(s, 20).await;
        s.control_plane().kill_api_server();
        tokio::time::sleep(Duration::from_secs(2)).await;
        // The controller is not restarted.
        assert_eq!(controller.get("/healthz").map(|(status, _)| status), Ok(200));
        s.control_plane().start_api_server();
        s.cluster.until_ready().await;

        // Its check of owner references discovers Istio's kinds half a minute after the start.
        eventually_within(Duration::from_secs(90), "all Certificates exist", async || {
            match s.certificates(&team_a).await.len() {
                COUNT => Ok(()),
                count => Err(format!("{count} of {COUNT}")),
            }
        })
        .await;
        // The last one before the kill can be missing in the audit log, but none is created twice.
        assert!(creations(s.audit()).values().all(|count| *count == 1), "{:?}", creations(s.audit()));

        // The watches work again, too.
        s.apply(gateway(&team_a, "later").server("later-tls", ["later.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "later-tls").await;
    });
}

#[test]
fn the_controller_is_killed_midway() {
    scenario_on_own_cluster(async |s| {
        const COUNT: usize = 500;
        let team_a = s.namespace("team-a").await;
        s.apply_all(many(&team_a, COUNT)).await;
        let controller = s.controller().flag("--leader-elect=false").start().await;
        until_created(s, 50).await;
        controller.kill();
        let created = creations(s.audit()).len();
        assert!(created < COUNT, "it was killed too late: all {COUNT} were created");

        let controller = s.controller().flag("--leader-elect=false").start().await;
        eventually_within(Duration::from_secs(60), "all Certificates exist", async || {
            match s.certificates(&team_a).await.len() {
                COUNT => Ok(()),
                count => Err(format!("{count} of {COUNT}")),
            }
        })
        .await;
        controller.at_rest().await;
        // The log reports a timeout for requests that were interrupted by the kill, even if they succeeded.
        let creations = creations(s.audit());
        assert!(
            creations.len() > COUNT - 16,
            "more are missing in the log than were in flight: {creations:?}"
        );
        assert!(creations.values().all(|count| *count == 1), "{creations:?}");
        let changes = s.audit().writes_of("certificates").len() - creations.len();
        assert_eq!(changes, 0, "nothing is created in two steps");
    });
}

#[test]
fn rejected_writes_in_a_namespace_do_not_delay_others() {
    scenario(async |s| {
        let (team_a, team_b) = (s.namespace("team-a").await, s.namespace("team-b").await);
        let name = format!("gateway-certificates-tests-{team_a}");
        s.apply_temporarily(json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": team_a}},
                    "resourceRules": [{
                        "apiGroups": ["cert-manager.io"], "apiVersions": ["*"], "resources": ["certificates"],
                        "operations": ["CREATE"],
                    }],
                },
                "validations": [{"expression": "'tests/allowed' in namespaceObject.metadata.labels", "message": "not here"}],
            },
        }))
        .await;
        s.apply_temporarily(json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        }))
        .await;
        eventually_within(Duration::from_secs(60), "the policy is in force", async || {
            match s.try_apply(&certificate(&team_a, "probe")).await {
                Err(error) if error.to_string().contains("not here") => Ok(()),
                Err(error) => panic!("{error}"),
                Ok(_) => {
                    s.delete(CERTIFICATE, &team_a, "probe").await;
                    Err("a Certificate can be created".to_owned())
                }
            }
        })
        .await;

        s.apply_all(many(&team_a, 50)).await;
        let controller = s.controller().start().await;
        s.event(&team_a, "shop-0", "CertificateWithheld", "write-rejected").await;
        s.apply(gateway(&team_b, "shop").server("shop-tls", ["shop.example.com"])).await;
        s.appears(CERTIFICATE, &team_b, "shop-tls").await;
        assert_eq!(s.certificates(&team_a).await, [""; 0]);

        // It is retried automatically.
        s.patch(NAMESPACE, "", &team_a, json!({"metadata": {"labels": {"tests/allowed": ""}}})).await;
        eventually_within(Duration::from_secs(75), "all Certificates exist", async || {
            match s.certificates(&team_a).await.len() {
                50 => Ok(()),
                count => Err(format!("{count} of 50")),
            }
        })
        .await;
        controller.until_leader().await;
    });
}

#[test]
fn hanging_writes_in_a_namespace_do_not_delay_others() {
    scenario_on_own_cluster(async |s| {
        let (team_a, team_b) = (s.namespace("team-a").await, s.namespace("team-b").await);
        // The kernel accepts the connection, but there is never a response.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        s.apply_temporarily(json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": format!("gateway-certificates-tests-{team_a}")},
            "webhooks": [{
                "name": "silent.example.com",
                "clientConfig": {"url": format!("https://{}/", silent.local_addr().unwrap())},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": team_a}},
                "rules": [{
                    "apiGroups": ["cert-manager.io"], "apiVersions": ["*"], "resources": ["certificates"],
                    "operations": ["CREATE"],
                }],
                "timeoutSeconds": 5, "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            }],
        }))
        .await;
        eventually("the webhook is in force", async || {
            match s.try_apply(&certificate(&team_a, "probe")).await {
                Err(error) if error.to_string().contains("silent.example.com") => Ok(()),
                Err(error) => panic!("{error}"),
                Ok(_) => {
                    s.delete(CERTIFICATE, &team_a, "probe").await;
                    Err("a Certificate can be created".to_owned())
                }
            }
        })
        .await;

        s.apply_all(many(&team_a, 100)).await;
        let controller = s.controller().start().await;
        controller.until_leader().await;
        s.apply_all(many(&team_b, 100)).await;
        let patience = Duration::from_secs(4);
        eventually_within(patience, "the other namespace has all of its Certificates", async || {
            match s.certificates(&team_b).await.len() {
                100 => Ok(()),
                count => Err(format!("{count} of 100")),
            }
        })
        .await;
        assert_eq!(s.certificates(&team_a).await, [""; 0]);
    });
}
