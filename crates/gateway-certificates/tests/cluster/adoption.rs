//! Existing Certificates are handed over with `gateway-certificates adopt`, and a real cert-manager does not
//! issue them again.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use certificate_shim::gateway::{Gateway, GatewayKind};
use certificate_shim::issuer_ref::resolve;
use certificate_shim::plan::{Options, plan};
use gateway_certificates::adopt::Scope;
use gateway_certificates::adopt::cluster::{MANAGER, read, write};
use gateway_certificates::adopt::compare::adopted;
use gateway_certificates::adopt::decide::adoptions;
use gateway_certificates::render::files::Files;
use gateway_rules::Settings;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::*;

const REQUEST: Kind = Kind("cert-manager.io/v1", "CertificateRequest");
/// The patience for an issuance on a busy machine.
const ISSUANCE: Duration = Duration::from_secs(60);

/// The result of `gateway-certificates adopt`.
struct Report {
    code: Option<i32>,
    text: String,
    errors: String,
}

/// Runs `adopt` on the cluster, with the rights of an administrator.
fn adopt(s: &Scenario, arguments: &[&str]) -> Report {
    adopt_as(&s.control_plane().kubeconfig(), arguments)
}

fn adopt_as(kubeconfig: &Path, arguments: &[&str]) -> Report {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway-certificates"));
    command.arg("adopt").arg("--kubeconfig").arg(kubeconfig).args(arguments);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Report { code: output.status.code(), text: text(output.stdout), errors: text(output.stderr) }
}

/// A namespace with the Issuer `ca`, which is Ready.
async fn namespace_with_ca(s: &Scenario) -> String {
    let namespace = s.namespace("adoption").await;
    s.apply(issuer(&namespace, "root")).await;
    s.apply(json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"namespace": namespace, "name": "ca"},
        "spec": {
            "secretName": "ca",
            "isCA": true,
            "commonName": "ca",
            "privateKey": {"algorithm": "ECDSA"},
            "issuerRef": {"name": "root"},
        },
    }))
    .await;
    issued(s, &namespace, "ca").await;
    s.apply(json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Issuer",
        "metadata": {"namespace": namespace, "name": "ca"},
        "spec": {"ca": {"secretName": "ca"}},
    }))
    .await;
    eventually_within(ISSUANCE, "the Issuer ca is Ready", async || {
        let found = s.get(ISSUER_KIND, &namespace, "ca").await.unwrap_or_default();
        if is_ready(&found) { Ok(()) } else { Err(found["status"].to_string()) }
    })
    .await;
    namespace
}

fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let generation = &object["metadata"]["generation"];
    conditions.iter().any(|condition| {
        condition["type"] == "Ready"
            && condition["status"] == "True"
            && (condition["observedGeneration"].is_null() || condition["observedGeneration"] == *generation)
    })
}

/// Waits until a Certificate of the current generation is issued.
async fn issued(s: &Scenario, namespace: &str, name: &str) -> Value {
    eventually_within(ISSUANCE, &format!("the Certificate {namespace}/{name} is issued"), async || {
        let found = s.get(CERTIFICATE, namespace, name).await.unwrap_or_default();
        if is_ready(&found) { Ok(found) } else { Err(found["status"].to_string()) }
    })
    .await
}

/// A Certificate of the Issuer `ca`, with further fields in its `spec`.
fn by_hand(namespace: &str, name: &str, secret: &str, fields: Value) -> Value {
    let mut certificate = certificate(namespace, name);
    certificate["spec"] = json!({
        "secretName": secret,
        "dnsNames": [format!("{secret}.example.com")],
        "issuerRef": {"name": "ca"},
        // Quick to generate.
        "privateKey": {"algorithm": "ECDSA"},
    });
    let spec = certificate["spec"].as_object_mut().unwrap();
    spec.extend(fields.as_object().unwrap().clone());
    spec.retain(|_, value| !value.is_null());
    certificate
}

/// A Gateway without annotations, with one server for each Secret, for the hosts of [`by_hand`].
fn bare_gateway(namespace: &str, name: &str, secrets: &[&str]) -> GatewayBuilder {
    secrets.iter().fold(gateway(namespace, name).without_annotations(), |gateway, secret| {
        gateway.server(secret, [&format!("{secret}.example.com")])
    })
}

/// What changes when a Certificate is issued again: its revision, its CertificateRequests and its Secret.
async fn issuance(s: &Scenario, namespace: &str, name: &str) -> Value {
    let certificate = s.get(CERTIFICATE, namespace, name).await.unwrap();
    let requests = s.list(REQUEST, namespace).await;
    let is_of_it = |request: &&Value| {
        request["metadata"]["annotations"]["cert-manager.io/certificate-name"] == json!(name)
    };
    let names: Vec<_> = requests.iter().filter(is_of_it).map(|one| text(one, "/metadata/name")).collect();
    let secret = s.get(SECRET, namespace, text(&certificate, "/spec/secretName")).await.unwrap();
    json!({"revision": certificate["status"]["revision"], "requests": names, "data": secret["data"]})
}

/// Takes a marked Certificate over as the controller does: by a forced server-side apply of the plan, under
/// the Certificate's own name.
async fn take_over(s: &Scenario, namespace: &str, gateway: &str, name: &str) {
    let object = s.get(GATEWAY, namespace, gateway).await.unwrap();
    let today = s.get(CERTIFICATE, namespace, name).await.unwrap();
    let view = Gateway::read(GatewayKind::Istio, namespace, &object).unwrap();
    let plan = plan(&view, &resolve(&view).unwrap().reference, &[namespace], &Options::default());
    let secret = text(&today, "/spec/secretName");
    let planned = plan.issued().iter().find(|planned| planned.secret_name == secret).unwrap();
    let has_usages = view.annotation("cert-manager.io/usages").is_some();
    apply_as_controller(s, &adopted(planned.to_json(), name, has_usages)).await;
}

async fn apply_as_controller(s: &Scenario, object: &Value) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("cert-manager.io", "v1", "Certificate"));
    let namespace = text(object, "/metadata/namespace");
    let api: Api<DynamicObject> = Api::namespaced_with(s.client.clone(), namespace, &resource);
    let parameters = PatchParams::apply("gateway-certificates").force();
    api.patch(text(object, "/metadata/name"), &parameters, &Patch::Apply(object)).await.unwrap();
}

/// Waits until cert-manager has handled all changes so far: it issues a new Certificate after them.
async fn cert_manager_has_caught_up(s: &Scenario, namespace: &str, canary: &str) {
    s.apply(by_hand(namespace, canary, canary, json!({}))).await;
    issued(s, namespace, canary).await;
}

/// The names of the field managers of an annotation.
fn managers_of(object: &Value, annotation: &str) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let owns = |entry: &&Value| {
        entry["fieldsV1"]["f:metadata"]["f:annotations"].get(format!("f:{annotation}")).is_some()
    };
    entries.iter().filter(owns).map(|entry| text(entry, "/manager").to_owned()).collect()
}

/// One Gateway for each Certificate, and one with two that agree.
#[test]
fn nothing_is_issued_again() {
    scenario_on_own_cluster(async |s| {
        let mut cert_manager = s.cert_manager(&[]).await;
        let ns = namespace_with_ca(s).await;
        let cases = [
            ("plain", json!({})),
            ("rsa", json!({"privateKey": {"algorithm": "RSA", "size": 3072, "rotationPolicy": "Never"}})),
            ("default-key", json!({"privateKey": null})),
            ("times", json!({"duration": "48h", "renewBefore": "12h"})),
            ("usages", json!({"usages": ["server auth", "digital signature"]})),
            (
                "subject",
                json!({"commonName": "subject.example.com",
                "subject": {"organizations": ["Example, Inc.", "B"], "countries": ["DE"], "serialNumber": "7"}}),
            ),
            (
                "names",
                json!({"dnsNames": ["z.example.org", "names.example.com"], "ipAddresses": ["192.0.2.1"],
                "emailAddresses": ["a@example.com"], "uris": ["spiffe://example.com/a"]}),
            ),
            (
                "template",
                json!({"secretTemplate": {"labels": {"team": "a"}, "annotations": {"example.com/a": "b"}}}),
            ),
            ("kind", json!({"issuerRef": {"name": "ca", "kind": "Issuer", "group": "cert-manager.io"}})),
            ("formats", json!({"additionalOutputFormats": [{"type": "DER"}], "revisionHistoryLimit": 3})),
        ];
        let mut names = Vec::new();
        for (secret, fields) in cases {
            let name = format!("{secret}-by-hand");
            s.apply(by_hand(&ns, &name, secret, fields)).await;
            s.apply(bare_gateway(&ns, secret, &[secret])).await;
            names.push((secret.to_owned(), name));
        }
        for secret in ["pair-a", "pair-b"] {
            s.apply(by_hand(&ns, secret, secret, json!({"duration": "48h"}))).await;
            names.push(("pair".to_owned(), secret.to_owned()));
        }
        s.apply(bare_gateway(&ns, "pair", &["pair-a", "pair-b"])).await;
        let mut before = Vec::new();
        for (_, name) in &names {
            issued(s, &ns, name).await;
            before.push(issuance(s, &ns, name).await);
        }

        // Without --write, nothing changes.
        let versions = async || {
            let all = [s.list(CERTIFICATE, &ns).await, s.list(GATEWAY, &ns).await].concat();
            all.iter().map(|one| text(one, "/metadata/resourceVersion").to_owned()).collect::<Vec<_>>()
        };
        let unwritten = versions().await;
        let only: Vec<String> =
            names.iter().map(|(gateway, _)| format!("--gateway={ns}/{gateway}")).collect();
        let only: Vec<&str> = only.iter().map(String::as_str).collect();
        let report = adopt(s, &only);
        assert_eq!((report.code, report.errors.as_str()), (Some(0), ""), "{}", report.text);
        assert!(!report.text.contains(": today "), "{}", report.text);
        assert_eq!(versions().await, unwritten);

        let report = adopt(s, &[&only[..], &["--write"]].concat());
        assert_eq!((report.code, report.errors.as_str()), (Some(0), ""), "{}", report.text);
        for (gateway, name) in &names {
            let certificate = s.get(CERTIFICATE, &ns, name).await.unwrap();
            assert_eq!(managers_of(&certificate, "gateway-certificates.io/owner-uid"), [MANAGER]);
            assert_eq!(
                certificate["metadata"]["annotations"]["gateway-certificates.io/owner-name"],
                json!(gateway)
            );
            take_over(s, &ns, gateway, name).await;
        }
        cert_manager_has_caught_up(s, &ns, "canary").await;
        for ((_, name), before) in names.iter().zip(&before) {
            issued(s, &ns, name).await;
            assert_eq!(issuance(s, &ns, name).await, *before, "{name}");
        }

        // Everything is done, so there is nothing left to do.
        let report = adopt(s, &[&only[..], &["--write"]].concat());
        assert_eq!(report.code, Some(0), "{}{}", report.text, report.errors);
        assert_eq!(report.text.matches(": already adopted\n").count(), 11, "{}", report.text);
        assert!(!report.text.contains(" written\n"), "{}", report.text);
        cert_manager.assert_running();
    });
}

/// The checks of [`nothing_is_issued_again`] notice an issuance: with the default usages, which adopted
/// Certificates do not get, cert-manager issues again.
#[test]
fn default_usages_would_issue_again() {
    scenario_on_own_cluster(async |s| {
        let _cert_manager = s.cert_manager(&[]).await;
        let ns = namespace_with_ca(s).await;
        s.apply(by_hand(&ns, "by-hand", "shop-tls", json!({}))).await;
        issued(s, &ns, "by-hand").await;
        let before = issuance(s, &ns, "by-hand").await;
        apply_as_controller(
            s,
            &json!({
                "apiVersion": "cert-manager.io/v1",
                "kind": "Certificate",
                "metadata": {"namespace": ns, "name": "by-hand"},
                "spec": {
                    "secretName": "shop-tls",
                    "issuerRef": {"name": "ca"},
                    "usages": ["digital signature", "key encipherment"],
                },
            }),
        )
        .await;
        eventually_within(ISSUANCE, "the Certificate is issued again", async || {
            let now = issuance(s, &ns, "by-hand").await;
            if now["revision"] == json!(2) && now != before {
                Ok(())
            } else {
                Err(now["revision"].to_string())
            }
        })
        .await;
    });
}

/// A report that a Certificate is issued again is right, and needs consent.
#[test]
fn an_announced_reissue_happens() {
    scenario_on_own_cluster(async |s| {
        let _cert_manager = s.cert_manager(&[]).await;
        let ns = namespace_with_ca(s).await;
        s.apply(by_hand(&ns, "by-hand", "shop-tls", json!({"dnsNames": ["other.example.com"]}))).await;
        s.apply(bare_gateway(&ns, "shop", &["shop-tls"])).await;
        issued(s, &ns, "by-hand").await;

        let gateway = format!("--gateway={ns}/shop");
        let report = adopt(s, &[&gateway, "--write"]);
        assert_eq!(report.code, Some(1), "{}", report.text);
        assert!(report.text.contains("not written: allow its effects first\n"), "{}", report.text);
        assert!(report.text.contains("spec.dnsNames: today [\"other.example.com\"]"), "{}", report.text);
        let certificate = s.get(CERTIFICATE, &ns, "by-hand").await.unwrap();
        assert_eq!(certificate["metadata"].get("annotations"), None);

        let report = adopt(s, &[&gateway, "--write", "--allow=reissue"]);
        assert_eq!(report.code, Some(0), "{}{}", report.text, report.errors);
        take_over(s, &ns, "shop", "by-hand").await;
        eventually_within(ISSUANCE, "the Certificate is issued again", async || {
            let revision = issuance(s, &ns, "by-hand").await["revision"].clone();
            if revision == json!(2) { Ok(()) } else { Err(revision.to_string()) }
        })
        .await;
    });
}

/// Certificates of kanopy's controller and of the webhook that writes owner references.
#[test]
fn certificates_of_other_tools() {
    scenario_on_own_cluster(async |s| {
        let _cert_manager = s.cert_manager(&[]).await;
        let ns = namespace_with_ca(s).await;
        s.apply(bare_gateway(&ns, "kanopy", &["kanopy-tls"])).await;
        let mut kanopys = by_hand(&ns, "kanopy-tls", "kanopy-tls", json!({}));
        let label = "v1beta1.kanopy-platform.github.io/istio-cert-controller-managed";
        kanopys["metadata"]["labels"] = json!({label: format!("kanopy.{ns}")});
        s.apply(kanopys).await;

        // The webhook reads the same annotations, and has a default for the duration.
        let webhooks =
            gateway(&ns, "webhook").issuer("ca").server("webhook-tls", ["webhook-tls.example.com"]);
        let webhooks = s.apply(webhooks).await;
        let mut referenced =
            by_hand(&ns, "webhook-tls", "webhook-tls", json!({"duration": "4320h", "renewBefore": "360h"}));
        referenced["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "networking.istio.io/v1", "kind": "Gateway", "name": "webhook",
            "uid": webhooks["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
        }]);
        s.apply(referenced).await;

        let mut before = Vec::new();
        for name in ["kanopy-tls", "webhook-tls"] {
            issued(s, &ns, name).await;
            before.push(issuance(s, &ns, name).await);
        }
        let only = ["kanopy", "webhook"].map(|gateway| format!("--gateway={ns}/{gateway}"));
        let report = adopt(s, &[&only[0], &only[1], "--write"]);
        assert_eq!(report.code, Some(0), "{}{}", report.text, report.errors);
        assert!(report.text.contains("(of kanopy's gateway-certificate-controller)"), "{}", report.text);
        assert!(report.text.contains("(with an owner reference to this Gateway)"), "{}", report.text);
        for gateway in ["kanopy", "webhook"] {
            take_over(s, &ns, gateway, &format!("{gateway}-tls")).await;
        }
        cert_manager_has_caught_up(s, &ns, "canary").await;
        for (name, before) in ["kanopy-tls", "webhook-tls"].iter().zip(&before) {
            issued(s, &ns, name).await;
            assert_eq!(issuance(s, &ns, name).await, *before, "{name}");
        }
    });
}

/// Two Certificates that differ in what annotations can express, and one of an Ingress.
#[test]
fn what_is_left_alone_is_not_written() {
    scenario_on_own_cluster(async |s| {
        let ns = s.namespace("adoption").await;
        s.apply(bare_gateway(&ns, "differ", &["a-tls", "b-tls"])).await;
        s.apply(by_hand(&ns, "a", "a-tls", json!({"duration": "48h"}))).await;
        s.apply(by_hand(&ns, "b", "b-tls", json!({}))).await;
        s.apply(bare_gateway(&ns, "ingress", &["i-tls"])).await;
        let mut owned = by_hand(&ns, "i", "i-tls", json!({}));
        owned["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "0", "controller": true,
        }]);
        // The garbage collector would delete it.
        s.control_plane().kill_controller_manager();
        s.changes_control_plane();
        s.apply(owned).await;
        let versions = async || {
            let all = [s.list(CERTIFICATE, &ns).await, s.list(GATEWAY, &ns).await].concat();
            all.iter().map(|one| text(one, "/metadata/resourceVersion").to_owned()).collect::<Vec<_>>()
        };
        let before = versions().await;
        let only = ["differ", "ingress"].map(|gateway| format!("--gateway={ns}/{gateway}"));
        let report = adopt(s, &[&only[0], &only[1], "--write", "--allow=reissue", "--allow=create"]);
        assert_eq!(report.code, Some(1), "{}{}", report.text, report.errors);
        assert!(
            report.text.contains(&format!("cert-manager.io/duration: \"48h\" ({ns}/a), none ({ns}/b)")),
            "{}",
            report.text
        );
        assert!(report.text.contains("belongs to ConfigMap \"x\""), "{}", report.text);
        assert_eq!(versions().await, before);
    });
}

/// Objects that another tool deploys are not written. Their Gateway follows when they are marked.
#[rstest]
#[case::helm(json!({
    "labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "shop"},
}), "Helm")]
#[case::argo_cd(json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop"}}), "Argo CD")]
#[case::flux(json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}), "Flux")]
fn what_another_tool_deploys_is_not_written(#[case] metadata: Value, #[case] tool: &str) {
    scenario_on_own_cluster(async |s| {
        let ns = s.namespace("adoption").await;
        s.apply(issuer(&ns, "ca")).await;
        s.patch_status(ISSUER_KIND, &ns, "ca", ready()).await;
        s.apply(bare_gateway(&ns, "shop", &["a-tls", "b-tls"])).await;
        let mut deployed = by_hand(&ns, "a", "a-tls", json!({}));
        for (field, value) in metadata.as_object().unwrap() {
            deployed["metadata"][field] = value.clone();
        }
        s.apply(deployed.clone()).await;
        s.apply(by_hand(&ns, "b", "b-tls", json!({}))).await;

        let gateway = format!("--gateway={ns}/shop");
        let report = adopt(s, &[&gateway, "--write"]);
        assert_eq!(report.code, Some(1), "{}{}", report.text, report.errors);
        for line in [
            &format!("change Certificate {ns}/a, deployed by {tool}: change its source:\n"),
            &format!("Certificate {ns}/a not written: {tool} deploys it, so change its source as above\n"),
            &format!("Certificate {ns}/b written\n"),
            &format!("Gateway {ns}/shop not written: its Certificates come first."),
        ] {
            assert!(report.text.contains(line.as_str()), "no {line:?} in:\n{}", report.text);
        }
        let annotations = async |kind, name| {
            let object = s.get(kind, &ns, name).await.unwrap();
            object["metadata"]["annotations"].as_object().cloned().unwrap_or_default()
        };
        assert!(!annotations(CERTIFICATE, "a").await.contains_key("gateway-certificates.io/adopted"));
        assert!(!annotations(GATEWAY, "shop").await.contains_key("cert-manager.io/issuer"));

        // The tool deploys the change.
        let annotations_of_mark = json!({
            "gateway-certificates.io/adopted": "true",
            "gateway-certificates.io/owner-name": "shop",
            "gateway-certificates.io/owner-namespace": ns,
        });
        for (key, value) in annotations_of_mark.as_object().unwrap() {
            deployed["metadata"]["annotations"][key] = value.clone();
        }
        deployed["metadata"]["labels"]["gateway-certificates.io/owner-hash"] =
            json!(certificate_shim::owner::hash(&ns, "shop"));
        s.apply(deployed).await;
        let report = adopt(s, &[&gateway, "--write"]);
        assert_eq!(report.code, Some(0), "{}{}", report.text, report.errors);
        assert!(report.text.contains(&format!("Gateway {ns}/shop written\n")), "{}", report.text);
        assert_eq!(annotations(GATEWAY, "shop").await["cert-manager.io/issuer"], "ca");
    });
}

/// An error half-way is reported, and running the command again finishes.
#[test]
fn it_continues_after_an_error() {
    scenario_on_own_cluster(async |s| {
        let ns = s.namespace("adoption").await;
        s.apply(issuer(&ns, "ca")).await;
        s.patch_status(ISSUER_KIND, &ns, "ca", ready()).await;
        s.apply(bare_gateway(&ns, "shop", &["a-tls"])).await;
        s.apply(by_hand(&ns, "a", "a-tls", json!({}))).await;

        // Without the right to change Gateways.
        let rules = json!([
            {"apiGroups": ["networking.istio.io"], "resources": ["gateways"], "verbs": ["list", "watch"]},
            {"apiGroups": ["cert-manager.io"], "resources": ["issuers", "clusterissuers"], "verbs": ["list", "watch"]},
            {"apiGroups": ["cert-manager.io"], "resources": ["certificates"], "verbs": ["list", "watch", "patch"]},
        ]);
        let api_version = "rbac.authorization.k8s.io/v1";
        s.apply_temporarily(json!({"apiVersion": api_version, "kind": "ClusterRole",
            "metadata": {"name": "adopter"}, "rules": rules}))
            .await;
        s.apply_temporarily(
            json!({"apiVersion": api_version, "kind": "ClusterRoleBinding", "metadata": {"name": "adopter"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "adopter"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "adopter"}]}),
        )
        .await;
        let admin = std::fs::read_to_string(s.control_plane().kubeconfig()).unwrap();
        let mut kubeconfig: Value = serde_json::from_str(&admin).unwrap();
        kubeconfig["users"][0]["user"]["as"] = json!("adopter");
        let path = s.new_file("adopter", "kubeconfig");
        std::fs::write(&path, kubeconfig.to_string()).unwrap();

        let arguments = [&format!("--gateway={ns}/shop"), "--write"];
        eventually("the Certificate is marked, and the Gateway is forbidden", async || {
            let report = adopt_as(&path, &arguments);
            let is_forbidden = report.errors.starts_with(&format!("error: Gateway {ns}/shop: gateways"));
            // The rights are in force after a moment.
            if report.code == Some(2) && is_forbidden { Ok(()) } else { Err(report.text + &report.errors) }
        })
        .await;
        let certificate = s.get(CERTIFICATE, &ns, "a").await.unwrap();
        assert_eq!(certificate["metadata"]["annotations"]["gateway-certificates.io/adopted"], "true");
        let issuer_of = async || {
            let gateway = s.get(GATEWAY, &ns, "shop").await.unwrap();
            gateway["metadata"]["annotations"]["cert-manager.io/issuer"].clone()
        };
        assert_eq!(issuer_of().await, json!(null));

        let report = adopt(s, &arguments);
        assert_eq!(report.code, Some(0), "{}{}", report.text, report.errors);
        assert!(!report.text.contains(&format!("Certificate {ns}/a written")), "{}", report.text);
        assert_eq!(issuer_of().await, "ca");
    });
}

/// An object that changes between reading and writing is not overwritten.
#[test]
fn a_change_in_between_is_an_error() {
    scenario_on_own_cluster(async |s| {
        let ns = s.namespace("adoption").await;
        s.apply(issuer(&ns, "ca")).await;
        s.patch_status(ISSUER_KIND, &ns, "ca", ready()).await;
        s.apply(bare_gateway(&ns, "shop", &["a-tls"])).await;
        s.apply(by_hand(&ns, "a", "a-tls", json!({}))).await;

        let settings = Settings::read(&json!({})).unwrap();
        let documents = read(&s.client, &settings).await.unwrap();
        let files = Files::new(documents, &settings, "");
        let all = adoptions(&files, &Scope { settings: &settings, only: &[] });
        let adoption = all.iter().find(|adoption| adoption.gateway.namespace == ns).unwrap();
        s.patch(CERTIFICATE, &ns, "a", json!({"spec": {"duration": "48h"}})).await;
        let written = write(&s.client, adoption, &[]).await;
        let error = format!("Certificate {ns}/a: it was changed after it was read. Run this again.");
        assert_eq!((written.error, written.is_complete), (Some(error), false));
        assert_eq!(s.get(CERTIFICATE, &ns, "a").await.unwrap()["metadata"].get("annotations"), None);
        assert_eq!(s.get(GATEWAY, &ns, "shop").await.unwrap()["metadata"].get("annotations"), None);
    });
}
