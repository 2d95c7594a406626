//! The files that describe the policy are consistent with each other and with the module.

use std::path::Path;

use policy_host::documents;
use serde_json::{Value, json};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: &str) -> Value {
    yaml_serde::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The content of artifacthub-pkg.yml, from the policy's metadata.
fn artifact_hub_package() -> Value {
    let metadata = yaml("metadata.yml");
    let annotations = &metadata["annotations"];
    let text = |key: &str| annotations[key].as_str().unwrap_or_else(|| panic!("{key} is missing")).to_owned();
    let version = text("io.kubewarden.policy.version");
    let image = format!("{}:v{version}", text("io.kubewarden.policy.ociUrl"));
    let source = text("io.kubewarden.policy.source");
    let author = text("io.kubewarden.policy.author");
    let (name, email) = author.split_once(" <").expect("the author is `Name <mail>`");
    let as_yaml = |value: &Value| yaml_serde::to_string(value).expect("YAML");
    json!({
        "version": version,
        "name": text("io.kubewarden.policy.title"),
        "displayName": text("io.artifacthub.displayName"),
        "createdAt": "2026-11-21T00:00:00Z",
        "description": text("io.kubewarden.policy.description"),
        "license": text("io.kubewarden.policy.license"),
        "homeURL": text("io.kubewarden.policy.url"),
        "containersImages": [{"name": "policy", "image": image}],
        "keywords": text("io.artifacthub.keywords").split(", ").collect::<Vec<_>>(),
        "links": [
            {"name": "policy", "url": format!("{source}/releases/download/v{version}/policy.wasm")},
            {"name": "source", "url": source},
        ],
        "install": format!("Pull it with [kwctl](https://docs.kubewarden.io/howtos/install-kwctl):\n```console\nkwctl pull {image}\n```\nand scaffold a policy from it:\n```console\nkwctl scaffold manifest -t ClusterAdmissionPolicy registry://{image}\n```\n"),
        "maintainers": [{"name": name, "email": email.trim_end_matches('>')}],
        "provider": {"name": "kubewarden"},
        "recommendations": [{"url": "https://artifacthub.io/packages/helm/kubewarden/kubewarden-controller"}],
        "annotations": {
            "kubewarden/contextAwareResources": as_yaml(&metadata["contextAwareResources"]),
            "kubewarden/mutation": metadata["mutating"].to_string(),
            "kubewarden/questions-ui": read("questions-ui.yml"),
            "kubewarden/resources": text("io.artifacthub.resources"),
            "kubewarden/rules": as_yaml(&metadata["rules"]),
        },
    })
}

#[test]
fn the_artifact_hub_package_is_up_to_date() {
    let header =
        "# Generated from metadata.yml and questions-ui.yml (`UPDATE_DOCS=1 cargo test --test policy`).\n";
    let text = format!("{header}{}", yaml_serde::to_string(&artifact_hub_package()).expect("YAML"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacthub-pkg.yml");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(read("artifacthub-pkg.yml"), text);
}

#[test]
fn one_version() {
    let version = yaml("metadata.yml")["annotations"]["io.kubewarden.policy.version"].clone();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let policies = read("deploy/policy/policies.yaml");
    let images = policies.matches("gateway-issuer-policy:v").count();
    assert_eq!(
        policies.matches(&format!("gateway-issuer-policy:v{}\n", env!("CARGO_PKG_VERSION"))).count(),
        images
    );
}

/// The lower-case plural of a kind, as in RBAC.
fn resource(kind: &Value) -> String {
    format!("{}s", kind.as_str().unwrap_or_default().to_lowercase())
}

#[test]
fn rbac_grants_get_on_exactly_what_the_metadata_lists() {
    let metadata = yaml("metadata.yml");
    let listed: Vec<(String, String)> = metadata["contextAwareResources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| {
            let group = r["apiVersion"].as_str().unwrap().split_once('/').map_or("", |(group, _)| group);
            (group.to_owned(), resource(&r["kind"]))
        })
        .collect();
    let mut granted = Vec::new();
    let mut reviews = false;
    for document in documents::read([Path::new(env!("CARGO_MANIFEST_DIR")).join("rbac.yaml")]).unwrap() {
        for rule in document.object["rules"].as_array().into_iter().flatten() {
            if rule["resources"] == json!(["subjectaccessreviews"]) {
                assert_eq!(rule["verbs"], json!(["create"]));
                assert_eq!(rule["apiGroups"], json!(["authorization.k8s.io"]));
                reviews = true;
                continue;
            }
            assert_eq!(rule["verbs"], json!(["get"]));
            for group in rule["apiGroups"].as_array().unwrap() {
                for resource in rule["resources"].as_array().unwrap() {
                    granted.push((group.as_str().unwrap().to_owned(), resource.as_str().unwrap().to_owned()));
                }
            }
        }
    }
    assert_eq!(listed, granted);
    let capabilities = metadata["hostCapabilities"].as_array().unwrap();
    assert_eq!(reviews, capabilities.contains(&json!("kubernetes/can_i")), "required for can_i");
}

#[test]
fn the_deployed_policies_match_the_metadata() {
    let metadata = yaml("metadata.yml");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policy/policies.yaml");
    let policies = documents::read([path]).unwrap();
    assert_eq!(policies.len(), 2);
    for policy in &policies {
        let spec = &policy.object["spec"];
        assert_eq!(spec["rules"], metadata["rules"]);
        let settings = spec["settings"].clone();
        assert!(crate::common::host(crate::common::cluster("")).validate_settings(&settings).unwrap().valid);
        let checks = settings["role"] == "validate";
        assert_eq!(spec["mutating"], json!(!checks));
        // With role default, the policy looks up the owners of Secrets, and the Namespace for a tenant.
        let resources = if checks {
            metadata["contextAwareResources"].clone()
        } else {
            json!([
                {"apiVersion": "cert-manager.io/v1", "kind": "Certificate"},
                {"apiVersion": "v1", "kind": "Namespace"},
            ])
        };
        assert_eq!(spec["contextAwareResources"], resources);
    }
    let without_role = |index: usize| {
        let mut settings = policies[index].object["spec"]["settings"].clone();
        settings.as_object_mut().unwrap().retain(|key, _| key != "role" && key != "default_issuer");
        settings
    };
    assert_eq!(without_role(0), without_role(1));
}

/// With any of the example settings, the shipped policies look up only kinds that their manifests grant.
#[test]
fn the_examples_of_settings_run_under_the_shipped_grants() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let gateway = |name: &str, annotations: Value| {
        let mut request = crate::common::review("istio-v1beta1-create-unannotated")["request"].clone();
        request["object"]["metadata"]["name"] = json!(name);
        request["object"]["metadata"]["annotations"] = annotations;
        request
    };
    let requests = [
        gateway("plain", json!({})),
        gateway("asking", json!({"kubernetes.io/tls-acme": "true"})),
        gateway("annotated", json!({"cert-manager.io/cluster-issuer": "letsencrypt-production"})),
    ];
    for policy in documents::read([root.join("deploy/policy/policies.yaml")]).unwrap() {
        let spec = &policy.object["spec"];
        for file in std::fs::read_dir(root.join("examples/settings")).unwrap() {
            let path = file.unwrap().path();
            let mut settings = documents::read_value(&path).unwrap();
            settings["role"] = spec["settings"]["role"].clone();
            let mut grants = crate::common::metadata().grants().unwrap();
            let resources = spec["contextAwareResources"].as_array().unwrap();
            let granted = resources.iter().map(|resource| serde_json::from_value(resource.clone()).unwrap());
            grants.resources = granted.collect();
            let namespace = requests[0]["namespace"].clone();
            let cluster = documents::read([crate::common::test_data("cluster.yaml")]).unwrap();
            let mut objects: Vec<Value> = cluster.into_iter().map(|document| document.object).collect();
            objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}));
            let cluster = policy_host::Manifests::from_objects(objects).unwrap();
            let host = crate::common::host(cluster).grants(grants);
            for request in &requests {
                let response = host.validate(request, &settings).unwrap().response;
                assert_ne!(response.code(), Some(500), "{}: {response:?}", path.display());
                let warnings = response.warnings.unwrap_or_default().join(" ");
                assert!(!warnings.contains("not granted"), "{}: {warnings}", path.display());
            }
        }
    }
}

#[test]
fn every_question_is_a_setting() {
    let host = crate::common::host(crate::common::cluster(""));
    for question in yaml("questions-ui.yml")["questions"].as_array().unwrap() {
        for key in ["variable", "label", "description", "type", "group"] {
            assert!(question[key].is_string(), "{question}");
        }
        let variable = question["variable"].as_str().unwrap();
        // No setting is a number, so a known setting reports a wrong type.
        let nested = variable.rsplit('.').fold(json!(0), |value, key| json!({key: value}));
        let message = host.validate_settings(&nested).unwrap().message.unwrap_or_default();
        assert!(message.contains(variable) && !message.contains("unknown setting"), "{variable}: {message}");
        for option in question["options"].as_array().into_iter().flatten() {
            let nested = variable.rsplit('.').fold(option.clone(), |value, key| json!({key: value}));
            let message = host.validate_settings(&nested).unwrap().message.unwrap_or_default();
            assert!(!message.contains(&format!("{variable}:")), "{message}");
        }
    }
}
