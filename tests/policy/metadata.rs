//! The files that describe the policy agree with each other and with what the module does.

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

/// What Artifact Hub shows, made of the policy's own metadata.
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
fn the_artifact_hub_package_is_in_step() {
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

/// Lower-case plural of a kind, as RBAC names it.
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
    assert_eq!(reviews, capabilities.contains(&json!("kubernetes/can_i")), "what can_i needs");
}

#[test]
fn the_policies_to_deploy_ask_for_what_the_metadata_lists() {
    let metadata = yaml("metadata.yml");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policy/policies.yaml");
    let policies = documents::read([path]).unwrap();
    assert_eq!(policies.len(), 2);
    for policy in &policies {
        let spec = &policy.object["spec"];
        assert_eq!(spec["rules"], metadata["rules"]);
        let settings = spec["settings"].clone();
        assert!(crate::common::host(crate::common::cluster("")).validate_settings(&settings).unwrap().valid);
        let judges = settings["role"] == "validate";
        assert_eq!(spec["mutating"], json!(!judges));
        let resources = if judges { metadata["contextAwareResources"].clone() } else { Value::Null };
        assert_eq!(spec["contextAwareResources"], resources);
    }
    let without_role = |index: usize| {
        let mut settings = policies[index].object["spec"]["settings"].clone();
        settings.as_object_mut().unwrap().retain(|key, _| key != "role" && key != "default_issuer");
        settings
    };
    assert_eq!(without_role(0), without_role(1));
}

#[test]
fn every_question_is_a_setting() {
    let host = crate::common::host(crate::common::cluster(""));
    for question in yaml("questions-ui.yml")["questions"].as_array().unwrap() {
        for key in ["variable", "label", "description", "type", "group"] {
            assert!(question[key].is_string(), "{question}");
        }
        let variable = question["variable"].as_str().unwrap();
        // A number stands where no setting takes one, so that a known setting complains of its type.
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
