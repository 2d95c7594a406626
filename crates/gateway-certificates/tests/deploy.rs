//! deploy/controller and examples/controller are consistent with the command line, the settings and the
//! version.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use gateway_certificates::{run, settings};
use manifests::Document;
use rstest::rstest;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All objects in deploy/controller and examples/controller.
fn documents() -> Vec<Document> {
    manifests::read(["deploy/controller", "examples/controller"].map(|folder| root().join(folder))).unwrap()
}

fn of_kind<'d>(documents: &'d [Document], kind: &str) -> Vec<&'d Document> {
    documents.iter().filter(|document| document.kind() == kind).collect()
}

fn kustomizations(documents: &[Document]) -> Vec<&Document> {
    [of_kind(documents, "Kustomization"), of_kind(documents, "Component")].concat()
}

fn texts<'v>(value: &'v Value, pointer: &str) -> Vec<&'v str> {
    let items = value.pointer(pointer).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn controller(documents: &[Document]) -> Value {
    let [deployment] = of_kind(documents, "Deployment")[..] else { panic!("one Deployment") };
    deployment.object["spec"]["template"]["spec"]["containers"][0].clone()
}

/// The help for these arguments, or the error. `--help` is evaluated after the other arguments are parsed.
fn help(args: &[&str]) -> Result<String, String> {
    let command =
        Command::new(env!("CARGO_BIN_EXE_gateway-certificates")).args(args).arg("--help").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if command.status.success() { Ok(text(command.stdout)) } else { Err(text(command.stderr)) }
}

#[test]
fn the_image_is_this_version() {
    let expected =
        format!("ghcr.io/gateway-issuer-policy/gateway-certificates:v{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(controller(&documents())["image"], json!(expected));
}

#[test]
fn the_image_is_built_with_the_workspaces_compiler() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.split("channel = \"").nth(1).unwrap().split('"').next().unwrap();
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.contains(&format!("FROM rust:{version}-")), "{version}");
    assert!(dockerfile.contains(&format!("gateway-certificates:v{} .", env!("CARGO_PKG_VERSION"))));
    let user = dockerfile.split("USER ").nth(1).unwrap().split(':').next().unwrap();
    let documents = documents();
    let [deployment] = of_kind(&documents, "Deployment")[..] else { panic!("one Deployment") };
    let run_as = &deployment.object["spec"]["template"]["spec"]["securityContext"]["runAsUser"];
    assert_eq!(run_as.to_string(), user);
}

#[test]
fn the_command_line_accepts_the_arguments() {
    let documents = documents();
    let container = controller(&documents);
    let mut args = texts(&container, "/args");
    let patches: Vec<Value> = of_kind(&documents, "Component")
        .iter()
        .flat_map(|component| component.object["patches"].as_array().cloned().unwrap_or_default())
        .flat_map(|patch| yaml_serde::from_str::<Vec<Value>>(patch["patch"].as_str().unwrap()).unwrap())
        .collect();
    assert_eq!(patches.len(), 3, "--check-own-secrets, --gateway-status and --watch-pods");
    for patch in &patches {
        assert_eq!(patch["path"], "/spec/template/spec/containers/0/args/-");
        args.push(patch["value"].as_str().unwrap());
    }
    assert!(help(&args).unwrap().starts_with("Runs the controller"));
    args.insert(1, "--no-such-flag");
    assert!(help(&args).unwrap_err().contains("--no-such-flag"));
}

/// The default value of a flag of `run`.
fn default_of(flag: &str) -> String {
    let help = help(&["run"]).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    let of_flag =
        help.split(&format!("--{flag} <")).nth(1).unwrap_or_else(|| panic!("no --{flag} in {help}"));
    of_flag.split("[default: ").nth(1).unwrap().split(']').next().unwrap().to_owned()
}

#[test]
fn ports_paths_and_names_match_the_command_line() {
    let documents = documents();
    let container = controller(&documents);
    for (port, flag) in [("metrics", "metrics-bind-address"), ("health", "health-probe-bind-address")] {
        let ports = container["ports"].as_array().unwrap();
        let named = ports.iter().find(|found| found["name"] == port).unwrap();
        assert_eq!(default_of(flag), format!(":{}", named["containerPort"]));
    }
    for (probe, path) in
        [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
    {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "health"}));
        // The default of one second fails on a busy node.
        assert_eq!(container[probe]["timeoutSeconds"], 5);
    }
    let [service] = of_kind(&documents, "Service")[..] else { panic!("one Service") };
    assert_eq!(
        service.object["spec"]["ports"],
        json!([{"name": "metrics", "port": 8080, "targetPort": "metrics"}])
    );
    let [policy] = of_kind(&documents, "NetworkPolicy")[..] else { panic!("one NetworkPolicy") };
    let from = json!([{"namespaceSelector": {"matchLabels": {"metrics": "enabled"}}}]);
    let ports = json!([{"protocol": "TCP", "port": 8080}]);
    assert_eq!(policy.object["spec"]["ingress"], json!([{"from": from, "ports": ports}]));

    let lease = of_kind(&documents, "Role")
        .iter()
        .find_map(|role| Some(role.object.pointer("/rules/0/resourceNames/0")?.as_str()?.to_owned()))
        .unwrap();
    assert_eq!(default_of("leader-election-id"), lease);

    // The key in the ConfigMap is the file name.
    let mount = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
    assert!(texts(&container, "/args").contains(&format!("--settings={mount}/settings.yaml").as_str()));
}

#[test]
fn there_is_time_for_the_shutdown() {
    let documents = documents();
    let [deployment] = of_kind(&documents, "Deployment")[..] else { panic!("one Deployment") };
    let grace =
        deployment.object["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap();
    // A process that has just been scheduled needs some seconds to notice the signal.
    assert!(run::SHUTDOWN.as_secs() + 5 <= grace, "{:?} of {grace} s", run::SHUTDOWN);
    let docs = std::fs::read_to_string(root().join("docs/controller.md")).unwrap();
    let docs = docs.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(docs.contains(&format!("This takes {} seconds at most", run::SHUTDOWN.as_secs())));
    assert!(docs.contains(&format!("keep `terminationGracePeriodSeconds` at {grace}")));
}

#[rstest]
#[case::base("deploy/controller/base", false)]
#[case::central("deploy/controller/central", true)]
#[case::example("examples/controller", true)]
fn settings_are_valid(#[case] folder: &str, #[case] is_central: bool) {
    let settings = settings::load(Some(&root().join(folder).join("settings.yaml"))).unwrap();
    assert_eq!(settings.gateway_namespaces.is_some(), is_central);
}

#[test]
fn the_central_settings_match_those_of_the_policy() {
    let policies = manifests::read([root().join("deploy/policy/policies.yaml")]).unwrap();
    let of_policy = |name: &str| {
        let policy = policies.iter().find(|policy| policy.object["metadata"]["name"] == name).unwrap();
        let mut settings = policy.object["spec"]["settings"].clone();
        settings.as_object_mut().unwrap().retain(|key, _| key != "role" && key != "default_issuer");
        settings
    };
    let text = std::fs::read_to_string(root().join("deploy/controller/central/settings.yaml")).unwrap();
    let central: Value = yaml_serde::from_str(&text).unwrap();
    assert_eq!(of_policy("gateway-issuer-validate"), central);
    assert_eq!(of_policy("gateway-issuer-default"), central);
}

#[test]
fn the_central_role_is_in_the_namespace_of_the_settings() {
    let central = root().join("deploy/controller/central");
    let settings = settings::load(Some(&central.join("settings.yaml"))).unwrap();
    let expected: BTreeSet<String> =
        settings.gateway_namespaces.unwrap().into_iter().map(|entry| entry.namespace).collect();
    let documents = manifests::read([central]).unwrap();
    let namespaces = |kind| -> BTreeSet<String> {
        let objects = of_kind(&documents, kind);
        objects.iter().map(|role| role.object["metadata"]["namespace"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(namespaces("Role"), expected);
    assert_eq!(namespaces("RoleBinding"), expected);
}

#[test]
fn every_file_exists_and_is_used() {
    let documents = documents();
    let mut used = BTreeSet::new();
    for kustomization in kustomizations(&documents) {
        let folder = kustomization.path.parent().unwrap();
        used.insert(kustomization.path.clone());
        let generators = kustomization.object["configMapGenerator"].as_array().cloned().unwrap_or_default();
        let files = generators.iter().flat_map(|generator| texts(generator, "/files"));
        let resources = texts(&kustomization.object, "/resources");
        let transformers = texts(&kustomization.object, "/transformers");
        let components = texts(&kustomization.object, "/components");
        for name in resources.into_iter().chain(components).chain(transformers).chain(files) {
            let path = folder.join(name);
            assert!(path.exists(), "{} names {name}", kustomization.path.display());
            used.insert(path);
        }
    }
    let unused: Vec<_> =
        documents.iter().map(|document| &document.path).filter(|path| !used.contains(*path)).collect();
    assert_eq!(unused, Vec::<&PathBuf>::new());
}

/// The rules of roles: namespace, resource and verbs.
fn grants(objects: &[Document]) -> Vec<String> {
    let mut grants = Vec::new();
    for role in [of_kind(objects, "ClusterRole"), of_kind(objects, "Role")].concat() {
        let place = role.object["metadata"]["namespace"].as_str().unwrap_or("*").to_owned();
        for rule in role.object["rules"].as_array().unwrap() {
            assert_eq!(texts(rule, "/apiGroups").len(), 1, "{rule}");
            let group = texts(rule, "/apiGroups")[0];
            let dot = if group.is_empty() { "" } else { "." };
            let names = match texts(rule, "/resourceNames")[..] {
                [] => String::new(),
                ref names => format!(" {}", names.join(",")),
            };
            let verbs = texts(rule, "/verbs").join(",");
            for resource in texts(rule, "/resources") {
                grants.push(format!("{place}: {resource}{dot}{group}{names}: {verbs}"));
            }
        }
    }
    grants
}

const BASE: &[&str] = &[
    "*: gateways.networking.istio.io: get,list,watch",
    "*: gateways/finalizers.networking.istio.io: update",
    "*: certificates.cert-manager.io: get,list,watch",
    "*: issuers.cert-manager.io: list,watch",
    "*: clusterissuers.cert-manager.io: list,watch",
    "*: events.events.k8s.io: get,create,patch",
    "gateway-certificates: leases.coordination.k8s.io gateway-certificates: get,update,patch",
    "gateway-certificates: leases.coordination.k8s.io: create",
];

#[rstest]
#[case::base("base", BASE)]
#[case::own_namespaces("own-namespaces", &["*: certificates.cert-manager.io: create,patch,delete"])]
#[case::central("central", &["istio-ingress: certificates.cert-manager.io: create,patch,delete", "istio-ingress: secrets: get"])]
#[case::watch_pods("components/watch-pods", &["*: pods: list,watch"])]
#[case::check_own_secrets("components/check-own-secrets", &["*: secrets: get"])]
#[case::gateway_status("components/gateway-status", &["*: gateways/status.networking.istio.io: update"])]
#[case::namespace_selectors("components/namespace-selectors", &["*: namespaces: list,watch"])]
#[case::service_monitor("components/service-monitor", &[])]
fn roles_allow_only_what_is_used(#[case] folder: &str, #[case] expected: &[&str]) {
    let objects = manifests::read([root().join("deploy/controller").join(folder)]).unwrap();
    assert_eq!(grants(&objects), expected);
    // Every role is bound, and only to the controller.
    for (role, binding) in [("ClusterRole", "ClusterRoleBinding"), ("Role", "RoleBinding")] {
        let bound = |document: &&Document| {
            assert_eq!(
                document.object["subjects"],
                json!([{"kind": "ServiceAccount", "name": "gateway-certificates", "namespace": "gateway-certificates"}])
            );
            let of = &document.object;
            (
                of["metadata"]["namespace"].clone(),
                of["roleRef"]["kind"].clone(),
                of["roleRef"]["name"].clone(),
            )
        };
        let own = |document: &&Document| {
            let metadata = &document.object["metadata"];
            (metadata["namespace"].clone(), json!(document.kind()), metadata["name"].clone())
        };
        let roles: Vec<_> = of_kind(&objects, role).iter().map(own).collect();
        let bindings: Vec<_> = of_kind(&objects, binding).iter().map(bound).collect();
        assert_eq!(roles, bindings);
    }
}

/// The output of `kubectl kustomize`.
fn built(folder: &str) -> Vec<Document> {
    let output = Command::new("kubectl").arg("kustomize").arg(root().join(folder)).output();
    let output = output.expect("kubectl is missing: install it from https://kubernetes.io/docs/tasks/tools/");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    manifests::parse("built.yaml".as_ref(), &String::from_utf8(output.stdout).unwrap()).unwrap()
}

#[rstest]
#[case::own_namespaces("deploy/controller/own-namespaces", "deploy/controller/base", &[])]
#[case::central("deploy/controller/central", "deploy/controller/central", &[])]
#[case::example("examples/controller", "examples/controller", &["--check-own-secrets", "--gateway-status", "--watch-pods"])]
fn kustomizations_build(#[case] folder: &str, #[case] settings: &str, #[case] flags: &[&str]) {
    let objects = built(folder);
    let args = ["run", "--settings=/etc/gateway-certificates/settings.yaml"];
    assert_eq!(texts(&controller(&objects), "/args"), [&args, flags].concat());

    let [config] = of_kind(&objects, "ConfigMap")[..] else { panic!("one ConfigMap") };
    let expected = std::fs::read_to_string(root().join(settings).join("settings.yaml")).unwrap();
    assert_eq!(config.object["data"], json!({"settings.yaml": expected}));
    let [deployment] = of_kind(&objects, "Deployment")[..] else { panic!("one Deployment") };
    let volume = deployment.object.pointer("/spec/template/spec/volumes/0/configMap/name");
    assert_eq!(volume, Some(&config.object["metadata"]["name"]));
    assert_ne!(
        volume,
        Some(&json!("gateway-certificates-settings")),
        "the name needs a hash, so that changes restart the Pods"
    );
}

#[rstest]
#[case::own_namespaces("deploy/controller/own-namespaces")]
#[case::central("deploy/controller/central")]
#[case::example("examples/controller")]
fn all_objects_have_the_recommended_labels(#[case] folder: &str) {
    let version = format!("v{}", env!("CARGO_PKG_VERSION"));
    let expected = [
        ("name", "gateway-certificates"),
        ("version", &version),
        ("part-of", "gateway-issuer-policy"),
        ("managed-by", "kustomize"),
    ];
    let objects = built(folder);
    for object in &objects {
        let mut labels = vec![&object.object["metadata"]["labels"]];
        if object.kind() == "Deployment" {
            labels.push(&object.object["spec"]["template"]["metadata"]["labels"]);
            let selector = &object.object["spec"]["selector"]["matchLabels"];
            assert_eq!(
                *selector,
                json!({"app.kubernetes.io/name": "gateway-certificates"}),
                "it cannot be changed"
            );
        }
        for (name, value) in expected {
            let name = format!("app.kubernetes.io/{name}");
            assert!(labels.iter().all(|labels| labels[&name] == value), "{name} of {:?}", object.object);
        }
    }
}

#[test]
fn istio_injects_no_sidecar() {
    let documents = documents();
    let [deployment] = of_kind(&documents, "Deployment")[..] else { panic!("one Deployment") };
    let labels = &deployment.object["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["sidecar.istio.io/inject"], "false");
}

#[test]
fn nodes_can_be_drained_whatever_state_the_pods_are_in() {
    let documents = documents();
    let [budget] = of_kind(&documents, "PodDisruptionBudget")[..] else { panic!("one PodDisruptionBudget") };
    assert_eq!(budget.object["spec"]["maxUnavailable"], 1);
    assert_eq!(budget.object["spec"]["unhealthyPodEvictionPolicy"], "AlwaysAllow");
}

#[rstest]
#[case::central("deploy/controller/central")]
#[case::example("examples/controller")]
fn no_placement_is_the_namespace_of_istiod(#[case] folder: &str) {
    let settings = settings::load(Some(&root().join(folder).join("settings.yaml"))).unwrap();
    for placement in settings.gateway_namespaces.unwrap() {
        assert_ne!(placement.namespace, "istio-system", "its Secrets include the root key of the mesh");
        let objects = built(folder);
        let roles = of_kind(&objects, "Role");
        let here = |role: &&Document| role.object["metadata"]["namespace"] == *placement.namespace;
        assert!(roles.iter().any(here), "no Role in {}", placement.namespace);
    }
}

#[test]
fn pods_comply_with_the_restricted_standard() {
    // https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    let documents = documents();
    let [deployment] = of_kind(&documents, "Deployment")[..] else { panic!("one Deployment") };
    let pod = &deployment.object["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_ne!(pod["securityContext"]["runAsUser"], 0);
    assert_eq!(pod["securityContext"]["seccompProfile"], json!({"type": "RuntimeDefault"}));
    let container = controller(&documents);
    assert_eq!(
        container["securityContext"],
        json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
    );
    let [namespace] = of_kind(&documents, "Namespace")[..] else { panic!("one Namespace") };
    assert_eq!(namespace.object["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
}
