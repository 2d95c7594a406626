//! What people do before and while they deploy: the manifests are valid, and `check` finds what is missing.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::cluster::{CONTROLLER, deployed};
use crate::harness::*;

/// The output of `kubectl kustomize`.
fn built(folder: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    let output = Command::new("kubectl").arg("kustomize").arg(&folder).output();
    let output = output.expect("kubectl is missing: install it from https://kubernetes.io/docs/tasks/tools/");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let objects = manifests::parse(&folder, &String::from_utf8(output.stdout).unwrap()).unwrap();
    objects.into_iter().map(|found| found.object).collect()
}

#[test]
fn the_api_server_accepts_all_manifests() {
    scenario(async |s| {
        s.apply_temporarily(json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-ingress"},
        }))
        .await;
        for folder in ["deploy/controller/own-namespaces", "deploy/controller/central", "examples/controller"]
        {
            let objects = built(folder);
            assert!(objects.len() > 10, "{folder}: {}", objects.len());
            for object in objects {
                let what =
                    format!("{folder}: {} {}", text(&object, "/kind"), text(&object, "/metadata/name"));
                match s.dry_run(&object).await {
                    Ok(()) => assert_ne!(object["kind"], "ServiceMonitor", "its kind is not installed"),
                    // It belongs to the Prometheus Operator.
                    Err(_) if object["kind"] == "ServiceMonitor" => {}
                    Err(error) => panic!("{what}: {error}"),
                }
                if object["kind"] == "Deployment" {
                    // The namespace enforces the restricted Pod Security Standard.
                    let mut pod = object["spec"]["template"].clone();
                    pod["apiVersion"] = json!("v1");
                    pod["kind"] = json!("Pod");
                    pod["metadata"]["name"] = json!("restricted");
                    pod["metadata"]["namespace"] = json!(CONTROLLER);
                    s.dry_run(&pod).await.unwrap_or_else(|error| panic!("{what}: {error}"));
                    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
                    let error = s.dry_run(&pod).await.unwrap_err().to_string();
                    assert!(error.contains("violates PodSecurity"), "{error}");
                }
            }
        }
    });
}

/// Runs `check` with these settings for the controller's ServiceAccount.
fn check(s: &Scenario, settings: &Value, flags: &[&str]) -> Output {
    let file = s.new_file("check", "yaml");
    std::fs::write(&file, settings.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway-certificates"));
    command.arg("check").arg("--settings").arg(&file);
    match s.cluster.own.as_ref() {
        Some(own) => {
            command.arg("--kubeconfig").arg(own.kubeconfig());
        }
        None => assert!(std::env::var("KUBECONFIG").is_ok()),
    }
    command.arg(format!("--as=system:serviceaccount:{CONTROLLER}:{CONTROLLER}")).args(flags).output().unwrap()
}

/// The exit code and the lines that begin with a word, without the name of the settings' file.
fn lines(output: &Output, word: &str) -> (Option<i32>, Vec<String>) {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = stdout.lines().filter(|line| line.starts_with(word)).map(str::to_owned).collect();
    (output.status.code(), lines)
}

#[test]
fn a_check_before_and_after_the_rights_are_granted() {
    scenario(async |s| {
        // Without the rights of other scenarios, which are being removed.
        eventually("no right to write Certificates is left", async || {
            let (code, problems) = lines(&check(s, &json!({}), &[]), "problem");
            let expected = "problem: certificates.cert-manager.io in all namespaces: no right to create, patch, delete. \
                            Apply deploy/controller/own-namespaces/rbac.yaml. With RoleBindings in some namespaces \
                            instead, it writes only there.";
            if (code, problems.as_slice()) == (Some(1), &[expected.to_owned()]) { Ok(()) } else { Err(problems.join("\n")) }
        })
        .await;

        s.controller().grant().await;
        let output = check(s, &json!({}), &[]);
        assert_eq!(lines(&output, "problem"), (Some(0), Vec::new()));
        let (_, found) = lines(&output, "ok");
        let (_, without_file) = found.split_first().unwrap();
        assert_eq!(
            without_file,
            [
                "ok: gateways.networking.istio.io: served as networking.istio.io/v1",
                "ok: certificates.cert-manager.io: served as cert-manager.io/v1",
                "ok: issuers.cert-manager.io: served as cert-manager.io/v1",
                "ok: clusterissuers.cert-manager.io: served as cert-manager.io/v1",
                "ok: namespace gateway-certificates: exists",
                "ok: gateways.networking.istio.io in all namespaces: get, list, watch",
                "ok: gateways/finalizers.networking.istio.io in all namespaces: update",
                "ok: certificates.cert-manager.io in all namespaces: get, list, watch",
                "ok: issuers.cert-manager.io in all namespaces: list, watch",
                "ok: clusterissuers.cert-manager.io in all namespaces: list, watch",
                "ok: events.events.k8s.io in all namespaces: get, create, patch",
                "ok: leases.coordination.k8s.io gateway-certificates in gateway-certificates: get, update, patch",
                "ok: leases.coordination.k8s.io in gateway-certificates: create",
                "ok: certificates.cert-manager.io in all namespaces: create, patch, delete",
            ]
        );
    });
}

#[test]
fn a_check_of_placements_and_options() {
    scenario(async |s| {
        let (ingress, other) = (s.namespace("ingress").await, s.namespace("other").await);
        let settings = json!({
            "gateway_namespaces": [
                {"labels": {"istio": "a"}, "namespace": ingress},
                {"labels": {"istio": "b"}, "namespace": other},
                {"labels": {"istio": "c"}, "namespace": "no-such-namespace"},
            ],
            "issuer_kinds": [{"group": "awspca.cert-manager.io", "kind": "AWSPCAIssuer", "api_version": "v1beta1", "scope": "Namespaced"}],
        });
        s.grant("central/rbac.yaml", Some(&ingress)).await;
        let output =
            check(s, &settings, &["--watch-pods", "--leader-election-id=another", "--policy=upsert-only"]);
        let no_role = |namespace: &str| {
            let help = format!(
                "Apply the Role and RoleBinding of deploy/controller/central/rbac.yaml in {namespace}."
            );
            [
                format!(
                    "problem: certificates.cert-manager.io in {namespace}: no right to create, patch. {help}"
                ),
                format!("problem: secrets in {namespace}: no right to get. {help}"),
            ]
        };
        let mut expected = [
            "problem: awspcaissuers.awspca.cert-manager.io: not served in version v1beta1. \
             Install its CustomResourceDefinition, or correct issuer_kinds.",
            "problem: namespace no-such-namespace: it does not exist. Create it, or correct the settings or flags that name it.",
            "problem: awspcaissuers.awspca.cert-manager.io in all namespaces: no right to list, watch. \
             Grant list and watch on awspcaissuers in a ClusterRole.",
            "problem: pods in all namespaces: no right to list, watch. Add the component watch-pods.",
            "problem: leases.coordination.k8s.io another in gateway-certificates: no right to get, update, patch. \
             Apply deploy/controller/base/rbac.yaml.",
        ]
        .map(str::to_owned)
        .to_vec();
        expected.extend(no_role("no-such-namespace"));
        expected.extend(no_role(&other));
        assert_eq!(lines(&output, "problem"), (Some(1), expected));
    });
}

#[test]
fn a_check_with_the_rights_of_the_controller() {
    scenario(async |s| {
        s.controller().grant().await;
        let command = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_gateway-certificates"));
            command
                .env_remove("KUBECONFIG")
                .arg("check")
                .arg("--kubeconfig")
                .arg(s.cluster.controller_kubeconfig());
            command
        };
        let output = command().arg(format!("--leader-election-namespace={CONTROLLER}")).output().unwrap();
        assert_eq!(lines(&output, "problem"), (Some(0), Vec::new()));
        let (_, unknown) = lines(&output, "unknown");
        assert_eq!(unknown.len(), 1, "{unknown:?}");
        assert!(
            unknown[0].starts_with("unknown: namespace gateway-certificates: namespaces "),
            "{unknown:?}"
        );
        s.expects_forbidden();

        let output = command().output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains("pass --leader-election-namespace"), "{error}");
    });
}

#[test]
fn a_check_of_settings_that_are_not_valid() {
    scenario(async |s| {
        let output = check(s, &json!({"rules": {"no-such-rule": "warn"}}), &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.starts_with("error: ") && error.contains("no-such-rule"), "{error}");
    });
}

#[test]
fn the_deployed_rights_are_those_of_the_tests() {
    // The scenarios apply files, people apply kustomizations.
    let rules = |objects: &[Value]| -> Vec<Value> {
        let roles = objects.iter().filter(|object| object.get("rules").is_some());
        let mut rules: Vec<_> = roles.map(|role| role["rules"].clone()).collect();
        rules.sort_by_key(Value::to_string);
        rules
    };
    for folder in ["own-namespaces", "central"] {
        let files = ["base/rbac.yaml".to_owned(), format!("{folder}/rbac.yaml")];
        let applied: Vec<Value> = files.iter().flat_map(|file| deployed(file)).collect();
        assert_eq!(rules(&applied), rules(&built(&format!("deploy/controller/{folder}"))));
    }
}
