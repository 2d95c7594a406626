//! The requests that an API server would send for the Gateways in manifests.

use policy_host::documents::Document;
use policy_host::{Metadata, Operation};
use serde_json::{Map, Value, json};

const GATEWAY_API: &str = "gateway.networking.k8s.io";

/// Whether a CREATE of this object reaches the policy: one of its rules matches.
#[must_use]
pub fn is_checked(metadata: &Metadata, document: &Document) -> bool {
    let (group, version) = group_and_version(document.api_version());
    let plural = plural(document.kind());
    let names = |list: &[String], value: &str| list.iter().any(|entry| entry == value || entry == "*");
    metadata.rules.iter().any(|rule| {
        names(&rule.api_groups, group)
            && names(&rule.api_versions, version)
            && names(&rule.resources, &plural)
            && rule.operations.iter().any(|operation| matches!(operation, Operation::Create | Operation::All))
    })
}

/// The AdmissionRequest of a CREATE. An object without a namespace is created in `namespace`.
#[must_use]
pub fn create(document: &Document, namespace: &str) -> Value {
    let mut object = document.object.clone();
    let (group, version) = group_and_version(document.api_version());
    let kind = json!({"group": group, "version": version, "kind": document.kind()});
    let resource = json!({"group": group, "version": version, "resource": plural(document.kind())});
    let namespace = namespace_of(document, namespace);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("namespace".to_owned(), Value::from(namespace.as_str()));
    }
    set_defaults(&mut object);
    let mut request = json!({
        "uid": document.place(),
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "namespace": namespace,
        "operation": "CREATE",
        "userInfo": {"username": "gateway-lint"},
        "object": object,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
    });
    // With generateName, the API server generates the name after the mutating phase.
    if let Some(name) = document.object.pointer("/metadata/name").and_then(Value::as_str) {
        request["name"] = Value::from(name);
    }
    request
}

/// The namespace that an object is created in.
#[must_use]
pub fn namespace_of(document: &Document, default: &str) -> String {
    let own = document.object.pointer("/metadata/namespace").and_then(Value::as_str);
    own.filter(|namespace| !namespace.is_empty()).unwrap_or(default).to_owned()
}

fn group_and_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// Correct for the kinds that the policy checks: none has an irregular plural.
fn plural(kind: &str) -> String {
    format!("{}s", kind.to_lowercase())
}

/// Sets the defaults that the API server sets in a Gateway or a ListenerSet of Gateway API before any policy
/// sees it: the defaults of the CRDs (`+kubebuilder:default` in
/// <https://github.com/kubernetes-sigs/gateway-api/tree/main/apis/v1>). Other objects stay unchanged.
pub fn set_defaults(object: &mut Value) {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let is_set = text("kind") == "ListenerSet";
    if group_and_version(text("apiVersion")).0 != GATEWAY_API || !(is_set || text("kind") == "Gateway") {
        return;
    }
    if is_set && let Some(parent) = object.pointer_mut("/spec/parentRef").and_then(Value::as_object_mut) {
        default(parent, "group", GATEWAY_API);
        default(parent, "kind", "Gateway");
    }
    let listeners = object.pointer_mut("/spec/listeners").and_then(Value::as_array_mut);
    listeners.into_iter().flatten().filter_map(Value::as_object_mut).for_each(default_listener);
}

fn default_listener(listener: &mut Map<String, Value>) {
    if let Some(routes) = object_or_default(listener, "allowedRoutes") {
        if let Some(namespaces) = object_or_default(routes, "namespaces") {
            default(namespaces, "from", "Same");
        }
        for kind in items(routes, "kinds") {
            default(kind, "group", GATEWAY_API);
        }
    }
    if let Some(tls) = listener.get_mut("tls").and_then(Value::as_object_mut) {
        default(tls, "mode", "Terminate");
        for reference in items(tls, "certificateRefs") {
            default(reference, "group", "");
            default(reference, "kind", "Secret");
        }
    }
}

/// The object under a key, created if absent; `None` if the value is not an object, which the schema rejects.
fn object_or_default<'a>(
    parent: &'a mut Map<String, Value>,
    key: &str,
) -> Option<&'a mut Map<String, Value>> {
    let child = parent.entry(key).or_insert(Value::Null);
    if child.is_null() {
        *child = json!({});
    }
    child.as_object_mut()
}

fn default(parent: &mut Map<String, Value>, key: &str, value: &str) {
    let child = parent.entry(key).or_insert(Value::Null);
    if child.is_null() {
        *child = Value::from(value);
    }
}

fn items<'a>(
    parent: &'a mut Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    parent.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn document(object: Value) -> Document {
        Document { path: "a.yaml".into(), number: 1, item: None, object }
    }

    fn gateway(api_version: &str, spec: Value) -> Document {
        document(
            json!({"apiVersion": api_version, "kind": "Gateway", "metadata": {"name": "web"}, "spec": spec}),
        )
    }

    #[rstest]
    #[case::istio("networking.istio.io/v1alpha3", "Gateway", true)]
    #[case::gateway_api("gateway.networking.k8s.io/v1", "Gateway", true)]
    #[case::istio_version("networking.istio.io/v2", "Gateway", false)]
    #[case::gateway_class("gateway.networking.k8s.io/v1", "GatewayClass", false)]
    #[case::elsewhere("example.com/v1", "Gateway", false)]
    fn the_rules_select_the_objects(#[case] api_version: &str, #[case] kind: &str, #[case] expected: bool) {
        let metadata = Metadata::from_yaml(crate::METADATA).unwrap();
        let document = document(json!({"apiVersion": api_version, "kind": kind}));
        assert_eq!(is_checked(&metadata, &document), expected);
    }

    #[test]
    fn a_gateway_gets_the_api_servers_defaults() {
        let spec = json!({"listeners": [
            {"name": "a"},
            {"name": "b", "tls": {"certificateRefs": [{"name": "s"}, {"name": "t", "kind": "X", "group": "y"}]}},
            {"name": "c", "tls": {"mode": "Passthrough"}, "allowedRoutes": {"kinds": [{"kind": "HTTPRoute"}]}},
            {"name": "d", "tls": null, "allowedRoutes": {"namespaces": {"from": "All"}}},
        ]});
        let request = create(&gateway("gateway.networking.k8s.io/v1", spec), "team-a");
        let same = json!({"namespaces": {"from": "Same"}});
        assert_eq!(
            request["object"]["spec"]["listeners"],
            json!([
                {"name": "a", "allowedRoutes": same},
                {"name": "b", "allowedRoutes": same, "tls": {"mode": "Terminate", "certificateRefs": [
                    {"name": "s", "group": "", "kind": "Secret"}, {"name": "t", "kind": "X", "group": "y"}]}},
                {"name": "c", "tls": {"mode": "Passthrough"}, "allowedRoutes": {
                    "namespaces": {"from": "Same"}, "kinds": [{"kind": "HTTPRoute", "group": "gateway.networking.k8s.io"}]}},
                {"name": "d", "tls": null, "allowedRoutes": {"namespaces": {"from": "All"}}},
            ])
        );
        assert_eq!((&request["namespace"], &request["name"]), (&json!("team-a"), &json!("web")));
        assert_eq!(request["object"]["metadata"]["namespace"], "team-a");
    }

    #[test]
    fn the_default_parent_of_a_listener_set_is_a_gateway() {
        let object = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "ListenerSet", "metadata": {"name": "s"},
            "spec": {"parentRef": {"name": "web"}, "listeners": [{"tls": {}}]}});
        let request = create(&document(object), "default");
        assert_eq!(
            request["object"]["spec"],
            json!({"parentRef": {"name": "web", "group": "gateway.networking.k8s.io", "kind": "Gateway"},
                "listeners": [{"tls": {"mode": "Terminate"}, "allowedRoutes": {"namespaces": {"from": "Same"}}}]})
        );
        assert_eq!(request["resource"]["resource"], "listenersets");
    }

    #[test]
    fn istio_gets_no_defaults() {
        let spec = json!({"servers": [{"tls": {}}], "listeners": [{"tls": {}}]});
        let request = create(&gateway("networking.istio.io/v1", spec.clone()), "default");
        assert_eq!(request["object"]["spec"], spec);
    }

    #[rstest]
    #[case::not_a_list(json!({"listeners": 3}))]
    #[case::not_an_object(json!({"listeners": [3, null, {"tls": 3, "allowedRoutes": []}]}))]
    #[case::no_spec(Value::Null)]
    fn an_invalid_spec_stays_unchanged(#[case] spec: Value) {
        let request = create(&gateway("gateway.networking.k8s.io/v1", spec.clone()), "default");
        assert_eq!(request["object"]["spec"], spec);
    }

    #[test]
    fn with_generate_name_the_request_has_no_name() {
        let object = json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": {"generateName": "web-", "namespace": "own"}});
        let request = create(&document(object), "default");
        assert_eq!(request.get("name"), None);
        assert_eq!(request["namespace"], "own");
    }
}
