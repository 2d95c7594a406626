//! The host responds like the real host to any behaviour of a policy.

mod support;

use std::time::{Duration, Instant};

use policy_host::{AdmissionResponse, Error, Evaluation, Grants, Host, Manifests, Metadata, Module};
use rstest::rstest;
use serde_json::{Value, json};
use support::{create, fast_probe, probe};

fn host() -> Host {
    Host::new(probe(), Manifests::default()).mutating(true)
}

fn evaluate(host: &Host, object: Value, settings: Value) -> AdmissionResponse {
    host.validate(&create(object), &settings).unwrap().response
}

#[test]
fn the_payload_matches_the_real_host() {
    let mut request = create(json!({"z": 1, "a": null}));
    request["oldObject"] = Value::Null;
    request["dryRun"] = json!(true);
    request["requestKind"] = request["kind"].clone();
    request["somethingNew"] = json!("dropped");
    request["userInfo"]["extra"] = json!({"k": ["v"]});
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let response = host().validate(&review, &json!({"s": 1})).unwrap().response;
    let payload: Value = serde_json::from_str(&response.audit_annotations.unwrap()["payload"]).unwrap();
    assert_eq!(
        payload,
        json!({"settings": {"s": 1}, "request": {
            "uid": "u-1", "operation": "CREATE", "dryRun": true, "object": {"z": 1, "a": null},
            "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "requestKind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "resource": {"group": "", "version": "v1", "resource": "configmaps"},
            "userInfo": {"username": "alice", "extra": {"k": ["v"]}},
        }})
    );
}

#[rstest]
#[case::accepted(
    json!({"accepted": true}),
    r#"{"uid":"u-1","allowed":true,"auditAnnotations":null,"warnings":null}"#
)]
#[case::rejected(
    json!({"accepted": false, "message": "no", "code": 422, "warnings": ["w"], "audit_annotations": {"b": "2", "a": "1"}}),
    r#"{"uid":"u-1","allowed":false,"status":{"message":"no","code":422},"auditAnnotations":{"a":"1","b":"2"},"warnings":["w"]}"#
)]
#[case::mutated(
    json!({"accepted": true, "mutated_object": {"a": 1, "b": 2}}),
    r#"{"uid":"u-1","allowed":true,"patchType":"JSONPatch","patch":"W3sib3AiOiJhZGQiLCJwYXRoIjoiL2IiLCJ2YWx1ZSI6Mn1d","auditAnnotations":null,"warnings":null}"#
)]
#[case::mutated_to_the_same(
    json!({"accepted": true, "mutated_object": {"a": 1}}),
    r#"{"uid":"u-1","allowed":true,"auditAnnotations":null,"warnings":null}"#
)]
#[case::rejected_and_mutated(
    json!({"accepted": false, "code": 400, "mutated_object": {}}),
    r#"{"uid":"u-1","allowed":false,"patchType":"JSONPatch","patch":"W3sib3AiOiJyZW1vdmUiLCJwYXRoIjoiL2EifV0=","status":{"code":400},"auditAnnotations":null,"warnings":null}"#
)]
fn an_answer_becomes_a_response(#[case] answer: Value, #[case] expected: &str) {
    let response = evaluate(&host(), json!({"a": 1}), json!({"answer": answer}));
    assert_eq!(serde_json::to_string(&response).unwrap(), expected);
}

#[test]
fn the_patch_can_be_read() {
    let answer = json!({"accepted": true, "mutated_object": {"a": 1, "b": {"c": "x"}}});
    let response = evaluate(&host(), json!({"a": 1}), json!({"answer": answer}));
    let mut object = json!({"a": 1});
    json_patch::patch(&mut object, &response.patch().unwrap()).unwrap();
    assert_eq!(object, json!({"a": 1, "b": {"c": "x"}}));
}

#[test]
fn a_patch_needs_permission() {
    let answer = json!({"answer": {"accepted": true, "mutated_object": {"b": 2}, "warnings": ["w"]}});
    let response = evaluate(&host().mutating(false).policy_id("strict"), json!({}), answer);
    assert_eq!(
        serde_json::to_value(response).unwrap(),
        json!({"uid": "u-1", "allowed": false, "auditAnnotations": null, "warnings": ["w"], "status": {"message":
            "Request rejected by policy strict. The policy attempted to mutate the request, but it is currently configured \
             to not allow mutations."}})
    );
}

#[test]
fn nothing_can_be_mutated_on_delete() {
    let mut request = create(Value::Null);
    request["operation"] = json!("DELETE");
    let answer = json!({"answer": {"accepted": true, "mutated_object": {}}});
    let response = host().validate(&request, &answer).unwrap().response;
    assert!(!response.allowed);
    assert!(response.message().starts_with("Incoming object is null"), "{}", response.message());
    assert_eq!(response.code(), None);
}

#[rstest]
#[case::error(json!({"error": "boom"}), "internal server error: Guest call failure: boom")]
#[case::not_json(
    json!({"raw": "hello"}),
    "internal server error: invalid response from policy: expected value at line 1 column 1"
)]
#[case::other_json(
    json!({"raw": "{}"}),
    "internal server error: invalid response from policy: missing field `accepted` at line 1 column 2"
)]
fn a_failing_policy_is_an_internal_error(#[case] settings: Value, #[case] message: &str) {
    let response = evaluate(&host(), json!({}), settings);
    assert_eq!((response.allowed, response.code(), response.message()), (false, Some(500), message));
}

#[test]
fn a_trap_is_an_internal_error() {
    let response = evaluate(&host(), json!({}), json!({"trap": true}));
    assert_eq!((response.allowed, response.code()), (false, Some(500)));
    let message = response.message();
    assert!(
        message.starts_with(
            "internal server error: Guest call failure: error while executing at wasm backtrace:"
        ),
        "{message}"
    );
}

const INTERRUPTED: &str = "Policy execution interrupted because it exceeded the allowed execution time";

#[test]
fn an_endless_policy_is_interrupted() {
    let host = Host::new(fast_probe(), Manifests::default());
    let begin = Instant::now();
    let response = evaluate(&host, json!({}), json!({"spin": true}));
    assert_eq!((response.allowed, response.code(), response.message()), (false, Some(500), INTERRUPTED));
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    let host = host.limit(200);
    assert!(evaluate(&host, json!({}), json!({})).allowed, "the next evaluation has its own instance");
}

#[test]
fn the_limit_is_in_seconds_like_the_real_host() {
    let begin = Instant::now();
    let response = evaluate(&host(), json!({}), json!({"spin": true}));
    assert_eq!(response.message(), INTERRUPTED);
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_millis(900) && elapsed < Duration::from_secs(10), "{elapsed:?}");
}

#[rstest]
#[case::null(Value::Null, "null")]
#[case::list(json!([]), "a list")]
#[case::text(json!("x"), "a string")]
fn settings_must_be_an_object(#[case] settings: Value, #[case] name: &str) {
    match host().validate_settings(&settings) {
        Ok(answer) => assert!(answer.valid && settings.is_null()),
        Err(error) => assert!(error.to_string().contains(&format!("not {name}")), "{error}"),
    }
}

#[rstest]
#[case::not_valid(json!({"answer": {"valid": false, "message": "bad"}}), "bad")]
#[case::error(
    json!({"error": "boom"}),
    "Error invoking settings validation callback: GuestCallFailure(\"boom\")"
)]
#[case::not_json(
    json!({"raw": "x"}),
    "error: InvalidResponseWithError(Error(\"expected value\", line: 1, column: 1))"
)]
fn invalid_settings_are_reported(#[case] behaviour: Value, #[case] message: &str) {
    let answer = host().validate_settings(&json!({"settings": behaviour})).unwrap();
    assert_eq!((answer.valid, answer.message.as_deref()), (false, Some(message)));
}

#[test]
fn the_protocol_version_is_returned() {
    assert_eq!(host().protocol_version().unwrap(), "v1");
}

#[rstest]
#[case::not_an_object(json!([1]), "it is a list, not an object")]
#[case::review_without_request(json!({"kind": "AdmissionReview"}), "has no `request`")]
#[case::no_uid(json!({"operation": "CREATE"}), "missing field `uid`")]
fn an_invalid_request_is_an_error(#[case] request: Value, #[case] reason: &str) {
    let error = host().validate(&request, &json!({})).unwrap_err().to_string();
    assert!(error.contains(reason), "{error}");
}

const WAT_HEAD: &str = r#"(module (memory (export "memory") 1)
    (func (export "__guest_call") (param i32 i32) (result i32) i32.const 0)"#;

#[test]
fn an_endless_wapc_init_is_interrupted() {
    let wat = format!(r#"{WAT_HEAD} (func (export "wapc_init") (loop br 0)))"#);
    let module = Module::with_tick(wat.as_bytes(), Duration::from_millis(50)).unwrap();
    let response = evaluate(&Host::new(module, Manifests::default()), json!({}), json!({}));
    assert_eq!((response.code(), response.message()), (Some(500), INTERRUPTED));
}

#[rstest]
#[case::wapc_init_traps(&format!(r#"{WAT_HEAD} (func (export "wapc_init") unreachable))"#), "cannot be started: Initialization failed")]
#[case::no_guest_call(r#"(module (memory (export "memory") 1))"#, "__guest_call")]
fn a_module_that_cannot_start_is_an_error(#[case] wat: &str, #[case] reason: &str) {
    let host = Host::new(Module::from_bytes(wat.as_bytes()).unwrap(), Manifests::default());
    let error = host.validate(&create(json!({})), &json!({})).unwrap_err();
    assert!(matches!(&error, Error::Start(_)) && error.to_string().contains(reason), "{error}");
    assert!(host.validate_settings(&json!({})).is_err());
}

#[test]
fn a_guest_without_a_message_is_an_internal_error() {
    let module = Module::from_bytes(format!("{WAT_HEAD})").as_bytes()).unwrap();
    let response = evaluate(&Host::new(module, Manifests::default()), json!({}), json!({}));
    assert_eq!(
        response.message(),
        "internal server error: Guest call failure: No error message set for call failure"
    );
}

#[rstest]
#[case::not_wasm(b"\x7fELF something".to_vec(), "not a waPC policy")]
#[case::empty(Vec::new(), "not a waPC policy")]
#[case::foreign_import(br#"(module (import "env" "f" (func)))"#.to_vec(), "env::f")]
fn bytes_that_are_not_a_policy_are_rejected(#[case] bytes: Vec<u8>, #[case] reason: &str) {
    let error = Module::from_bytes(&bytes).unwrap_err().to_string();
    assert!(error.contains(reason), "{error}");
}

#[test]
fn a_raw_policy_gets_any_json() {
    let metadata = Metadata::from_yaml("rules: []\nmutating: true\npolicyType: raw\n").unwrap();
    let host = Host::for_policy(probe(), &metadata, Manifests::default()).unwrap();
    let answer = json!({"answer": {"accepted": true, "mutated_object": {"uid": "x", "b": 1}}});
    let Evaluation { response, .. } = host.validate(&json!({"uid": "x"}), &answer).unwrap();
    assert_eq!(response.uid, "x");
    assert_eq!(response.patch().unwrap().to_string(), r#"[{"op":"add","path":"/b","value":1}]"#);
}

#[rstest]
#[case::newer_host("minimumKubewardenVersion: 9.0.0", "requires Kubewarden 9.0 or later")]
#[case::other_runtime("executionMode: opa", "only kubewarden-wapc")]
fn a_policy_for_another_host_is_rejected(#[case] line: &str, #[case] reason: &str) {
    let metadata = Metadata::from_yaml(&format!("rules: []\nmutating: false\n{line}\n")).unwrap();
    let error = Host::for_policy(probe(), &metadata, Manifests::default()).err().unwrap().to_string();
    assert!(error.contains(reason), "{error}");
}

#[test]
fn counting_is_reproducible_and_returns_the_answer() {
    let meter = policy_host::fuel::Meter::new(support::probe_bytes()).unwrap();
    let count = |calls: usize| {
        let call = json!({"namespace": "kubernetes", "operation": "get_resource", "payload": {
            "api_version": "v1", "kind": "Namespace", "name": "x", "disable_cache": false}});
        let payload = json!({"request": {}, "settings": {"calls": vec![call; calls]}}).to_string();
        let grants = Grants { ..support::grants(&[("v1", "Namespace")]) };
        meter
            .count("validate", payload.as_bytes(), &grants, std::sync::Arc::new(Manifests::default()))
            .unwrap()
    };
    let (none, one, again) = (count(0), count(1), count(1));
    assert_eq!(one.instructions, again.instructions);
    assert!(one.instructions > none.instructions && none.instructions > 1000, "{none:?}");
    assert_eq!((none.lookups.len(), one.lookups.len()), (0, 1));
    let answer: Value = serde_json::from_slice(&one.answer.unwrap()).unwrap();
    let text = answer["audit_annotations"]["0"].as_str().unwrap();
    assert!(
        text.starts_with("error Host error: Callback evaluation failure: Cannot find v1/Namespace"),
        "{text}"
    );
}

#[test]
fn counting_reports_errors_and_traps() {
    let meter = policy_host::fuel::Meter::new(support::probe_bytes()).unwrap();
    let count = |settings: Value| {
        let payload = json!({"request": {}, "settings": settings}).to_string();
        meter.count(
            "validate",
            payload.as_bytes(),
            &Grants::default(),
            std::sync::Arc::new(Manifests::default()),
        )
    };
    assert_eq!(count(json!({"error": "boom"})).unwrap().answer, Err("boom".to_owned()));
    assert!(matches!(count(json!({"trap": true})), Err(Error::Start(_))));
}
