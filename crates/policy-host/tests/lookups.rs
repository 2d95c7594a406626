//! The answers to lookups: grants, objects, faults and recordings, with a real guest.

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use policy_host::{Capabilities, Grants, Host, Lookup, Manifests, Replay, Tail};
use rstest::rstest;
use serde_json::{Value, json};
use support::{call, create, fast_probe, probe, reading_host};

fn recording(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../test_data/lookups");
    std::fs::read_to_string(folder.join(format!("{name}.yml"))).unwrap()
}

/// The request of a recording, and the result that a policy gets.
fn recorded(name: &str) -> (Value, String) {
    let yaml: Vec<Value> = yaml_serde::from_str(&recording(name)).unwrap();
    let request = yaml[0]["request"].as_str().unwrap();
    let lookup: Lookup = yaml_serde::from_str(request).unwrap();
    let Lookup::KubernetesGetResource(get) = lookup else { panic!("another lookup") };
    let response = &yaml[0]["response"];
    let outcome = match response["type"].as_str() {
        Some("Success") => format!("ok {}", response["payload"].as_str().unwrap()),
        _ => format!(
            "error Host error: Callback evaluation failure: {}",
            response["message"].as_str().unwrap()
        ),
    };
    (serde_json::to_value(get).unwrap(), outcome)
}

const RECORDINGS: [&str; 18] = [
    "absent",
    "cluster-with-ns",
    "clusterscope-absent",
    "down",
    "empty-name",
    "forbidden",
    "found-cluster-ready",
    "found-not-ready",
    "found-ready",
    "group-missing",
    "kind-missing",
    "no-namespace",
    "ns-absent",
    "path-dots",
    "path-status",
    "query",
    "space",
    "unauthorized",
];

#[test]
fn every_recording_is_replayed() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../test_data/lookups");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(files, RECORDINGS.map(str::to_owned).into());
    for name in RECORDINGS {
        let (request, expected) = recorded(name);
        let replay = std::sync::Arc::new(Replay::from_yaml(&recording(name)).unwrap());
        let (outcome, evaluation) =
            call(&reading_host(replay.clone()), "kubernetes", "get_resource", request);
        assert_eq!(outcome, expected, "{name}");
        assert_eq!(evaluation.lookups.len(), 1, "{name}");
        assert!(replay.leftovers().is_empty(), "{name}");
    }
}

fn fault(fault: &str) -> Manifests {
    Manifests::from_yaml(&format!("apiVersion: policy-host/v1\nkind: LookupFault\nspec: {{{fault}}}\n"))
        .unwrap()
}

/// A cluster with the recorded object, and with fields that a mask prunes.
fn holding(name: &str) -> Manifests {
    let mut object: Value = serde_json::from_str(&recorded(name).1["ok ".len()..]).unwrap();
    object["data"] = json!({"pruned": true});
    if object.get("spec").is_none() {
        object["spec"] = json!({"pruned": true});
    }
    Manifests::from_objects([object]).unwrap()
}

#[rstest]
#[case::absent("absent", Manifests::default())]
#[case::ns_absent("ns-absent", Manifests::default())]
#[case::clusterscope_absent("clusterscope-absent", Manifests::default())]
#[case::no_namespace("no-namespace", Manifests::default())]
#[case::empty_name("empty-name", Manifests::default())]
#[case::space("space", Manifests::default())]
#[case::path_dots("path-dots", holding("cluster-with-ns"))]
#[case::kind_missing("kind-missing", Manifests::default())]
#[case::kind_not_served("kind-missing", fault("fault: kind-not-served"))]
#[case::group_missing("group-missing", Manifests::default())]
#[case::group_not_served(
    "group-missing",
    fault("fault: group-not-served, match: {apiVersion: example.com/v1}")
)]
#[case::forbidden(
    "forbidden",
    fault("fault: forbidden, user: nobody-sa, match: {kind: Issuer, namespace: team-b, name: ca}")
)]
#[case::unauthorized("unauthorized", fault("fault: unauthorized"))]
#[case::down("down", fault("fault: unavailable"))]
#[case::found_ready("found-ready", holding("found-ready"))]
#[case::found_cluster_ready("found-cluster-ready", holding("found-cluster-ready"))]
fn manifests_answer_like_the_recording(#[case] name: &str, #[case] cluster: Manifests) {
    let (request, expected) = recorded(name);
    assert_eq!(call(&reading_host(cluster), "kubernetes", "get_resource", request).0, expected);
}

#[rstest]
#[case::subresource("path-status")]
#[case::query("query")]
#[case::complete("found-not-ready")]
#[case::namespace_of_a_cluster_scoped_kind("cluster-with-ns")]
fn manifests_answer_with_the_complete_recorded_object(#[case] name: &str) {
    let (request, expected) = recorded(name);
    let object: Value = serde_json::from_str(&expected["ok ".len()..]).unwrap();
    let cluster = Manifests::from_objects([object]).unwrap();
    assert_eq!(call(&reading_host(cluster), "kubernetes", "get_resource", request).0, expected);
}

fn issuer(name: &str) -> Value {
    json!({"api_version": "cert-manager.io/v1", "kind": "Issuer", "name": name, "namespace": "team-a", "disable_cache": false})
}

fn failure(cluster: Manifests, request: Value) -> String {
    let (outcome, _) = call(&reading_host(cluster), "kubernetes", "get_resource", request);
    outcome.strip_prefix("error Host error: ").unwrap_or_else(|| panic!("{outcome}")).to_owned()
}

const NOT_FOUND_STATUS: &str = "Status { status: Some(Failure), code: 404, message: \"404 page not found\\n\", metadata: None, \
     reason: \"Failed to parse error data\", details: None }";

#[rstest]
#[case::crd_removed(
    "fault: crd-removed",
    format!("Callback evaluation failure: ApiError: 404 page not found\n: Failed to parse error data ({NOT_FOUND_STATUS})")
)]
#[case::not_granted(
    "fault: not-granted",
    "Policy has not been granted access to Kubernetes cert-manager.io/v1/Issuer resources. The violation has been reported.".to_owned()
)]
#[case::capability_not_granted(
    "fault: capability-not-granted",
    "Policy has not been granted access to the 'kubernetes/get_resource' host capability. The violation has been reported.".to_owned()
)]
#[case::text("fault: text, text: 'Error obtaining response over callback channel'", "Error obtaining response over callback channel".to_owned())]
#[case::unavailable_later("fault: unavailable, during: request", "Callback evaluation failure: ServiceError: client error (Connect)".to_owned())]
#[case::unavailable_with_causes(
    "fault: unavailable, tail: caused-by",
    "Callback evaluation failure: error finding resource cert-manager.io/v1 / Issuer: ServiceError: client error (Connect)\n\nCaused by:\n    \
     0: client error (Connect)\n    1: tcp connect error\n    2: Connection refused (os error 111)".to_owned()
)]
fn a_fault_has_the_real_text(#[case] spec: &str, #[case] expected: String) {
    assert_eq!(failure(fault(spec), issuer("x")), expected);
}

#[rstest]
#[case::unauthorized("unauthorized, during: request", 401)]
#[case::forbidden("forbidden", 403)]
#[case::too_many("too-many-requests", 429)]
#[case::server_error("server-error", 500)]
#[case::service_unavailable("service-unavailable", 503)]
fn an_api_error_carries_its_code(#[case] name: &str, #[case] code: u16) {
    let plain = failure(fault(&format!("fault: {name}")), issuer("x"));
    assert!(plain.starts_with("Callback evaluation failure: ApiError: "), "{plain}");
    assert!(plain.contains(&format!("(Status {{ status: Some(Failure), code: {code}, message: ")), "{plain}");
    let with_causes = failure(fault(&format!("fault: {name}, tail: caused-by")), issuer("x"));
    let tail = with_causes.strip_prefix(&plain).unwrap();
    assert!(tail.starts_with("\n\nCaused by:\n    "), "{tail}");
    let with_backtrace = failure(fault(&format!("fault: {name}, tail: backtrace")), issuer("x"));
    assert!(with_backtrace.strip_prefix(&with_causes).unwrap().starts_with("\n\nStack backtrace:\n   0: "));
    let cluster_wide = failure(fault(&format!("fault: {name}")).tail(Tail::CausedBy), issuer("x"));
    assert_eq!(cluster_wide, with_causes);
}

#[rstest]
#[case::namespaced(
    issuer("x"),
    "issuers.cert-manager.io \"x\" is forbidden: User \"system:serviceaccount:kubewarden:policy-server\" cannot get resource \
     \"issuers\" in API group \"cert-manager.io\" in the namespace \"team-a\": Forbidden (Status"
)]
#[case::cluster_scoped(
    json!({"api_version": "cert-manager.io/v1", "kind": "ClusterIssuer", "name": "x", "disable_cache": false}),
    "cannot get resource \"clusterissuers\" in API group \"cert-manager.io\" at the cluster scope: Forbidden (Status"
)]
#[case::a_namespace_itself(
    json!({"api_version": "v1", "kind": "Namespace", "name": "x", "disable_cache": false}),
    "namespaces \"x\" is forbidden: User \"system:serviceaccount:kubewarden:policy-server\" cannot get resource \"namespaces\" \
     in API group \"\" in the namespace \"x\": Forbidden (Status"
)]
fn a_forbidden_lookup_has_rbacs_text(#[case] request: Value, #[case] expected: &str) {
    let text = failure(fault("fault: forbidden"), request);
    assert!(text.contains(expected), "{text}");
}

#[rstest]
#[case::other_name("fault: forbidden, match: {name: y}")]
#[case::other_namespace("fault: forbidden, match: {namespace: team-b}")]
#[case::other_kind("fault: forbidden, match: {kind: ClusterIssuer}")]
#[case::other_group("fault: forbidden, match: {apiVersion: example.com/v1}")]
#[case::only_fresh("fault: forbidden, match: {fresh: true}")]
fn a_fault_applies_only_if_it_matches(#[case] spec: &str) {
    assert!(failure(fault(spec), issuer("x")).starts_with("Callback evaluation failure: Cannot find"));
}

#[rstest]
#[case::unknown_fault("fault: broken", "unknown variant `broken`")]
#[case::unknown_key("fault: forbidden, when: now", "unknown field `when`")]
#[case::text_missing("fault: text", "`text` is required with")]
#[case::user_elsewhere("fault: slow, user: x, delayMilliseconds: 1", "`user` is only valid with")]
#[case::during_elsewhere("fault: not-granted, during: request", "`during` is only valid with")]
#[case::not_slow("fault: slow", "needs `delayMilliseconds`")]
fn an_invalid_fault_is_rejected(#[case] spec: &str, #[case] reason: &str) {
    let yaml = format!(
        "apiVersion: v1\nkind: A\n---\napiVersion: policy-host/v1\nkind: LookupFault\nspec: {{{spec}}}\n"
    );
    let error = Manifests::from_yaml(&yaml).unwrap_err().to_string();
    assert!(error.starts_with("manifests: document 2: ") && error.contains(reason), "{error}");
}

#[test]
fn a_slow_lookup_answers_in_time_or_is_interrupted() {
    let slow = |milliseconds: u64| {
        let cluster = fault(&format!("fault: slow, delayMilliseconds: {milliseconds}"));
        let host = Host::new(fast_probe(), cluster)
            .limit(20)
            .grants(support::grants(&[("cert-manager.io/v1", "Issuer")]));
        call(&host, "kubernetes", "get_resource", issuer("x")).0
    };
    assert!(slow(1).contains("Cannot find"));
    let late = slow(1200);
    assert!(late.contains("exceeded the allowed execution time") && late.contains("500"), "{late}");
}

#[rstest]
#[case::kind_not_granted(
    "kubernetes", "get_resource",
    json!({"api_version": "v1", "kind": "Secret", "name": "x", "namespace": "y", "disable_cache": false}),
    "error Host error: Policy has not been granted access to Kubernetes v1/Secret resources. The violation has been reported."
)]
#[case::list_not_granted(
    "kubernetes", "list_resources_all", json!({"api_version": "v1", "kind": "Secret"}),
    "error Host error: Policy has not been granted access to Kubernetes v1/Secret resources. The violation has been reported."
)]
#[case::unreadable("kubernetes", "get_resource", json!({"kind": "x"}), "error Host error: missing field `api_version` at line 1 column 12")]
#[case::unknown_operation("kubernetes", "create", json!({}), "error Host error: unknown operation: create")]
#[case::unknown_namespace("stars", "align", json!({}), "error Host error: unknown namespace: stars")]
#[case::log("tracing", "log", json!({}), "ok ")]
#[case::no_tracing("tracing", "span", json!({}), "error Host error: unknown operation: span")]
fn host_calls(
    #[case] namespace: &str,
    #[case] operation: &str,
    #[case] payload: Value,
    #[case] expected: &str,
) {
    assert_eq!(call(&reading_host(Manifests::default()), namespace, operation, payload).0, expected);
}

#[test]
fn capabilities_are_checked_first() {
    let grants =
        Grants { capabilities: Capabilities::new(["kubernetes/can_i"]).unwrap(), ..Grants::default() };
    let host = Host::new(probe(), Manifests::default()).grants(grants);
    let text = |namespace: &str, operation: &str| call(&host, namespace, operation, json!("not read")).0;
    let denied = |path: &str| {
        format!(
            "error Host error: Policy has not been granted access to the '{path}' host capability. The violation has been reported."
        )
    };
    assert_eq!(text("kubernetes", "get_resource"), denied("kubernetes/get_resource"));
    assert_eq!(text("net", "v1/dns_lookup_host"), denied("net/v1/dns_lookup_host"));
    assert_eq!(text("stars", "align"), denied("stars/align"));
    assert!(text("kubernetes", "can_i").starts_with("error Host error: expected ident at line 1"));
    assert_eq!(text("tracing", "log"), "ok ");
}

#[test]
fn another_binding_is_unknown() {
    let settings = json!({"calls": [{"binding": "wapc", "namespace": "kubernetes", "operation": "can_i", "payload": {}}]});
    let response =
        reading_host(Manifests::default()).validate(&create(json!({})), &settings).unwrap().response;
    assert_eq!(response.audit_annotations.unwrap()["0"], "error Host error: unknown binding: wapc");
}

const OBJECTS: &str = "
apiVersion: cert-manager.io/v1
kind: IssuerList
items:
- metadata:
    name: b
    namespace: team-a
    labels: {app: web}
    managedFields: [{manager: kubectl}]
    annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}', keep: me}
  spec: {ca: {}}
- metadata: {name: a, namespace: team-a}
- metadata: {name: c}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: a, namespace: stray}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: vaults.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Issuer, plural: vaults}
  versions: [{name: v1, served: true}, {name: v1beta1, served: true}]
---
apiVersion: example.com/v1beta1
kind: Issuer
metadata: {name: x}
";

fn list(operation: &str, payload: Value) -> Value {
    let host = reading_host(Manifests::from_yaml(OBJECTS).unwrap());
    let (outcome, _) = call(&host, "kubernetes", operation, payload);
    let Some(json) = outcome.strip_prefix("ok ") else { return Value::from(outcome) };
    let list: Value = serde_json::from_str(json).unwrap();
    assert_eq!((&list["kind"], &list["metadata"]), (&json!("IssuerList"), &json!({})));
    list["items"].clone()
}

fn names(items: &Value) -> Vec<&str> {
    items.as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[test]
fn lists_are_sorted_and_slim() {
    let all = list("list_resources_all", json!({"api_version": "cert-manager.io/v1", "kind": "Issuer"}));
    assert_eq!(names(&all), ["c", "a", "b"], "by namespace, then by name");
    assert_eq!(
        all[2]["metadata"],
        json!({"name": "b", "namespace": "team-a", "labels": {"app": "web"}, "annotations": {"keep": "me"}})
    );
    let some = |extra: Value| {
        let mut request =
            json!({"api_version": "cert-manager.io/v1", "kind": "Issuer", "namespace": "team-a"});
        request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        list("list_resources_by_namespace", request)
    };
    assert_eq!(names(&some(json!({}))), ["a", "b"]);
    assert_eq!(names(&some(json!({"label_selector": "app=web"}))), ["b"]);
    assert_eq!(names(&some(json!({"field_selector": "metadata.name=a"}))), ["a"]);
    assert_eq!(some(json!({"field_masks": ["status"]}))[1].get("spec"), None);
    let cluster_wide =
        json!({"api_version": "cert-manager.io/v1", "kind": "ClusterIssuer", "namespace": "x"});
    assert_eq!(
        list("list_resources_by_namespace", cluster_wide),
        "error Host error: Callback evaluation failure: resource cert-manager.io/v1/ClusterIssuer is cluster wide. \
         Cannot search for it inside of a namespace"
    );
}

#[rstest]
#[case::default_namespace("cert-manager.io/v1", "Issuer", Some("default"), "c", true)]
#[case::cluster_scope_drops_a_stray_namespace("cert-manager.io/v1", "ClusterIssuer", None, "a", true)]
#[case::another_served_version("example.com/v1", "Issuer", Some("default"), "x", true)]
#[case::another_group("example.com/v1", "Issuer", Some("team-a"), "b", false)]
fn objects_are_found(
    #[case] api_version: &str,
    #[case] kind: &str,
    #[case] namespace: Option<&str>,
    #[case] name: &str,
    #[case] found: bool,
) {
    let host = reading_host(Manifests::from_yaml(OBJECTS).unwrap());
    let request = json!({"api_version": api_version, "kind": kind, "namespace": namespace, "name": name, "disable_cache": true});
    let (outcome, _) = call(&host, "kubernetes", "get_resource", request);
    match outcome.strip_prefix("ok ") {
        Some(json) => {
            let object: Value = serde_json::from_str(json).unwrap();
            assert!(found);
            assert_eq!((&object["apiVersion"], &object["kind"]), (&json!(api_version), &json!(kind)));
        }
        None => assert!(!found && outcome.contains("Cannot find"), "{outcome}"),
    }
}

#[test]
fn can_i_denies_unless_a_rule_allows() {
    let cluster = Manifests::from_yaml(
        "apiVersion: policy-host/v1\nkind: AccessRule\n\
         spec: {group: ops, verbs: [use], apiGroups: [cert-manager.io], resources: ['*'], namespaces: [team-a], names: [ca]}\n",
    )
    .unwrap();
    let host = reading_host(cluster);
    let ask = |groups: Value, verb: &str, name: &str| {
        let request = json!({"disable_cache": false, "subject_access_review": {"user": "alice", "groups": groups,
            "resource_attributes": {"group": "cert-manager.io", "resource": "issuers", "verb": verb, "name": name, "namespace": "team-a"}}});
        call(&host, "kubernetes", "can_i", request).0
    };
    assert_eq!(ask(json!(["ops"]), "use", "ca"), r#"ok {"allowed":true}"#);
    assert_eq!(ask(json!(["ops"]), "get", "ca"), r#"ok {"allowed":false}"#);
    assert_eq!(ask(json!(["ops"]), "use", "other"), r#"ok {"allowed":false}"#);
    assert_eq!(ask(json!(["devs"]), "use", "ca"), r#"ok {"allowed":false}"#);
    assert_eq!(ask(Value::Null, "use", "ca"), r#"ok {"allowed":false}"#);
    let no_subject =
        "apiVersion: policy-host/v1\nkind: AccessRule\nspec: {verbs: [], apiGroups: [], resources: []}\n";
    assert!(Manifests::from_yaml(no_subject).unwrap_err().to_string().contains("does not apply to anyone"));
}

#[test]
fn lookups_are_recorded_in_order() {
    let get =
        |name: &str| json!({"namespace": "kubernetes", "operation": "get_resource", "payload": issuer(name)});
    let settings = json!({"calls": [get("b"), get("a"), get("b")]});
    let evaluation = reading_host(Manifests::default()).validate(&create(json!({})), &settings).unwrap();
    let names: Vec<String> = evaluation
        .lookups
        .iter()
        .map(|lookup| match lookup {
            Lookup::KubernetesGetResource(get) => get.name.clone(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["b", "a", "b"]);
}

#[test]
fn a_replay_is_strict() {
    let (request, _) = recorded("absent");
    let replay = std::sync::Arc::new(Replay::from_yaml(&recording("absent")).unwrap());
    let host = reading_host(replay.clone());
    let mut other = request.clone();
    other["disable_cache"] = json!(true);
    assert_eq!(
        call(&host, "kubernetes", "get_resource", other).0,
        "error Host error: Callback evaluation failure: Replay error: unexpected request. Was expecting KubernetesGetResource { \
         api_version: \"cert-manager.io/v1\", kind: \"Issuer\", name: \"nope\", namespace: Some(\"team-a\"), disable_cache: false, \
         field_masks: None }, got KubernetesGetResource { api_version: \"cert-manager.io/v1\", kind: \"Issuer\", name: \"nope\", \
         namespace: Some(\"team-a\"), disable_cache: true, field_masks: None } instead"
    );
    assert_eq!(
        call(&host, "kubernetes", "get_resource", request).0,
        "error Host error: Callback evaluation failure: the list of recorded responses is empty"
    );
}

#[rstest]
#[case::not_a_list("a: 1", "invalid type: map, expected a sequence")]
#[case::unknown_entry("- type: Other", "unknown variant `Other`")]
#[case::bad_request(
    "- type: Exchange\n  request: nothing\n  response: {type: Error, message: m}\n",
    "exchange 1: request: "
)]
#[case::no_response("- type: Exchange\n  request: x\n", "missing field `response`")]
fn an_invalid_recording_is_an_error(#[case] text: &str, #[case] reason: &str) {
    let error = Replay::from_yaml(text).unwrap_err().to_string();
    assert!(error.starts_with("the recording: not a recording") && error.contains(reason), "{error}");
}

#[test]
fn every_lookup_can_be_recorded_and_replayed() {
    for (operation, payload, tag) in [
        (
            "list_resources_all",
            json!({"api_version": "v1", "kind": "Namespace"}),
            "KubernetesListResourceAll",
        ),
        (
            "list_resources_by_namespace",
            json!({"api_version": "cert-manager.io/v1", "kind": "Issuer", "namespace": "x", "field_masks": ["spec"]}),
            "KubernetesListResourceNamespace",
        ),
        (
            "can_i",
            json!({"disable_cache": true, "subject_access_review": {"user": "u", "resource_attributes": {"resource": "r", "verb": "v"}}}),
            "KubernetesCanI",
        ),
    ] {
        let (_, evaluation) =
            call(&reading_host(Manifests::default()), "kubernetes", operation, payload.clone());
        let request = yaml_serde::to_string(&evaluation.lookups[0]).unwrap();
        assert!(request.starts_with(&format!("!{tag}\n")), "{request}");
        let exchange = json!([{"type": "Exchange", "request": request, "response": {"type": "Success", "payload": "{}"}}]);
        let replay = Replay::from_yaml(&exchange.to_string()).unwrap();
        assert_eq!(call(&reading_host(replay), "kubernetes", operation, payload).0, "ok {}");
    }
}

#[test]
fn a_running_clock_does_not_interrupt_fast_evaluations() {
    let host = Host::new(fast_probe(), Manifests::default()).limit(40);
    for _ in 0..20 {
        assert!(host.validate(&create(json!({})), &json!({})).unwrap().response.allowed);
        std::thread::sleep(Duration::from_millis(7));
    }
}
