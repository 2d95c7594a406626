//! The two examples in the doc comment of every rule: the first is reported by that rule, the second
//! is not.
//!
//! An example is a fragment that is merged into a base object (CONTRIBUTING.md describes the form), so
//! that documentation shows only the relevant lines and the tests use complete objects. Settings and the
//! objects of the cluster are in `test_data/rules/RULE.yaml`.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::common::test_data;

/// The examples of a rule as complete objects, and their environment.
pub struct Examples {
    /// The settings.
    pub settings: Value,
    /// The objects of the cluster.
    pub cluster: Vec<Value>,
    /// The object that the rule reports.
    pub rejected: Value,
    /// The object that it does not report.
    pub accepted: Value,
}

impl Examples {
    /// The examples of a rule, by its id.
    pub fn load(id: &str) -> Self {
        let file = format!("crates/gateway-rules/src/rules/{}.rs", id.replace('-', "_"));
        let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file))
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        let fragments = fragments(&source, &file);
        let path = test_data("rules").join(format!("{id}.yaml"));
        let mut around = match std::fs::read_to_string(&path) {
            Ok(text) => {
                yaml_serde::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            }
            Err(_) => json!({}),
        };
        let cluster = match around["cluster"].take() {
            Value::Array(objects) => objects,
            _ => vec![letsencrypt()],
        };
        let mut object = |key: &str, position: usize| match around[key].take() {
            Value::Null => {
                let fragment = fragments.get(position).unwrap_or_else(|| {
                    panic!(
                        "{file}: the doc comment needs an example that is rejected and one that is accepted"
                    )
                });
                compose(fragment)
            }
            object => object,
        };
        let (rejected, accepted) = (object("rejected", 0), object("accepted", 1));
        let settings = Some(around["settings"].take()).filter(Value::is_object).unwrap_or_else(|| json!({}));
        Examples { settings, cluster, rejected, accepted }
    }
}

/// The YAML blocks in the leading comment of a rule's file.
fn fragments(source: &str, file: &str) -> Vec<Value> {
    let comment = source.lines().map_while(|line| line.strip_prefix("//!"));
    let mut fragments = Vec::new();
    let mut block: Option<String> = None;
    for line in comment {
        let line = line.strip_prefix(' ').unwrap_or(line);
        match (&mut block, line) {
            (None, "```yaml") => block = Some(String::new()),
            (Some(text), "```") => {
                let value =
                    yaml_serde::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}:\n{text}"));
                fragments.push(value);
                block = None;
            }
            (Some(text), line) => text.extend([line, "\n"]),
            (None, _) => {}
        }
    }
    fragments
}

/// A ClusterIssuer that can issue for every name.
fn letsencrypt() -> Value {
    json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "ClusterIssuer",
        "metadata": {"name": "letsencrypt"},
        "spec": {"acme": {"solvers": [{"dns01": {"cloudDNS": {"project": "example"}}}]}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn base(kind: &str) -> Value {
    let istio = json!({
        "selector": {"istio": "ingressgateway"},
        "servers": [{
            "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
            "hosts": ["shop.example.com"],
            "tls": {"mode": "SIMPLE", "credentialName": "shop-tls"},
        }],
    });
    let tls = json!({"mode": "Terminate", "certificateRefs": [{"group": "", "kind": "Secret", "name": "shop-tls"}]});
    let listeners = json!([
        {"name": "https", "port": 443, "protocol": "HTTPS", "hostname": "shop.example.com", "tls": tls},
    ]);
    let (api_version, kind, spec) = match kind {
        "Istio" => ("networking.istio.io/v1", "Gateway", istio),
        "GatewayAPI" => {
            let spec = json!({"gatewayClassName": "istio", "listeners": listeners});
            ("gateway.networking.k8s.io/v1", "Gateway", spec)
        }
        "ListenerSet" => {
            let spec = json!({"parentRef": {"name": "web"}, "listeners": listeners});
            ("gateway.networking.k8s.io/v1", "ListenerSet", spec)
        }
        other => panic!("{other} is not one of Istio, GatewayAPI, ListenerSet"),
    };
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "shop", "namespace": "team-a", "annotations": {}},
        "spec": spec,
    })
}

const ISSUER_KEYS: [&str; 2] = ["cert-manager.io/issuer", "cert-manager.io/cluster-issuer"];
const OF_LISTENER: [&str; 4] = ["hostname", "protocol", "certificateRefs", "listenerTls"];

/// The complete object for a fragment.
fn compose(fragment: &Value) -> Value {
    let fields = fragment.as_object().unwrap_or_else(|| panic!("not an object: {fragment}"));
    let is_gateway_api = fields.keys().any(|key| key == "listeners" || OF_LISTENER.contains(&key.as_str()));
    let kind = match fields.get("kind").and_then(Value::as_str) {
        Some(kind) => kind,
        None if is_gateway_api => "GatewayAPI",
        None => "Istio",
    };
    let mut object = base(kind);
    if !fields.keys().any(|key| ISSUER_KEYS.contains(&key.as_str())) {
        object["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] = json!("letsencrypt");
    }
    for (key, value) in fields {
        let change = match key.as_str() {
            "kind" => continue,
            "metadata" | "spec" => json!({key: value}),
            "selector" | "servers" | "listeners" | "parentRef" | "allowedListeners" => {
                json!({"spec": {key: value}})
            }
            "port" | "hosts" | "tls" => {
                merge(&mut object["spec"]["servers"][0], &json!({key: value}));
                continue;
            }
            "hostname" | "protocol" => {
                merge(&mut object["spec"]["listeners"][0], &json!({key: value}));
                continue;
            }
            "certificateRefs" => {
                merge(&mut object["spec"]["listeners"][0]["tls"], &json!({key: value}));
                continue;
            }
            "listenerTls" => {
                merge(&mut object["spec"]["listeners"][0]["tls"], value);
                continue;
            }
            key if key.contains('/') => json!({"metadata": {"annotations": {key: value}}}),
            other => panic!("{other} is not a key of an example"),
        };
        merge(&mut object, &change);
    }
    object
}

/// Merges objects; null removes, anything else replaces.
fn merge(into: &mut Value, change: &Value) {
    let Value::Object(changes) = change else {
        *into = change.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    for (key, value) in changes {
        if value.is_null() {
            into.as_object_mut().into_iter().for_each(|fields| drop(fields.remove(key)));
        } else {
            merge(&mut into[key], value);
        }
    }
}
