//! `gateway-lint run`: the output, streams and exit codes of `kwctl run`, with a policy that follows its
//! settings.

#[path = "../../policy-host/tests/support/mod.rs"]
mod support;

use assert_cmd::assert::Assert;
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

const ISSUER: &str =
    "apiVersion: cert-manager.io/v1\nkind: Issuer\nmetadata: {name: ca, namespace: team-a}\n";
const METADATA: &str = "{rules: [], mutating: true, contextAwareResources: [{apiVersion: cert-manager.io/v1, kind: Issuer}, \
    {apiVersion: v1, kind: Namespace}]}";
const RECORDING: &str = "
- type: Exchange
  request: |
    !KubernetesGetResource
    api_version: cert-manager.io/v1
    kind: Issuer
    name: ca
    namespace: team-a
    disable_cache: false
    field_masks: null
  response: {type: Success, payload: '{\"recorded\": true}'}
- type: Exchange
  request: |
    !KubernetesGetResource
    api_version: cert-manager.io/v1
    kind: Issuer
    name: other
    namespace: null
    disable_cache: false
    field_masks: null
  response: {type: Error, message: gone}
";

fn workshop() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let request = support::create(json!({"a": 1}));
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    for (name, content) in [
        ("policy.wasm", support::probe_bytes()),
        ("metadata.yml", METADATA.as_bytes()),
        ("request.json", request.to_string().as_bytes()),
        ("review.json", review.to_string().as_bytes()),
        ("issuer.yaml", ISSUER.as_bytes()),
        ("recording.yml", RECORDING.as_bytes()),
        ("broken.json", b"{"),
    ] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn run_in(folder: &TempDir, settings: &Value, args: &[&str]) -> Assert {
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("gateway-lint");
    command.current_dir(folder.path()).args(["run", "policy.wasm", "--settings-json", &settings.to_string()]);
    command.args(args).assert()
}

fn run(settings: &Value, args: &[&str]) -> Assert {
    run_in(&workshop(), settings, args)
}

fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

fn stderr(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

#[rstest]
#[case::request("request.json")]
#[case::review("review.json")]
fn a_rejection_is_printed_with_exit_code_0(#[case] request: &str) {
    let answer = json!({"answer": {"accepted": false, "message": "no", "code": 422}});
    let assert = run(&answer, &["-r", request, "--allow-context-aware"]).code(0);
    assert_eq!(
        stdout(&assert),
        "{\"uid\":\"u-1\",\"allowed\":false,\"status\":{\"message\":\"no\",\"code\":422},\"auditAnnotations\":null,\"warnings\":null}\n"
    );
    assert_eq!(stderr(&assert), "");
}

#[test]
fn a_patch_is_passed_on() {
    let answer = json!({"answer": {"accepted": true, "mutated_object": {"a": 2}}});
    let response: Value =
        serde_json::from_str(&stdout(&run(&answer, &["--request-path", "request.json"]).code(0))).unwrap();
    assert_eq!((&response["allowed"], &response["patchType"]), (&json!(true), &json!("JSONPatch")));
    use base64::Engine as _;
    let patch =
        base64::engine::general_purpose::STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
    assert_eq!(String::from_utf8(patch).unwrap(), r#"[{"op":"replace","path":"/a","value":2}]"#);
}

fn reads_the_issuer() -> Value {
    json!({"calls": [{"namespace": "kubernetes", "operation": "get_resource", "payload": {"api_version": "cert-manager.io/v1",
        "kind": "Issuer", "name": "ca", "namespace": "team-a", "disable_cache": false}}]})
}

#[rstest]
#[case::not_allowed(&[], "error Host error: Policy has not been granted access to Kubernetes cert-manager.io/v1/Issuer resources.")]
#[case::no_cluster(&["--allow-context-aware"], "error Host error: Callback evaluation failure: kube::Client was not initialized properly")]
#[case::manifests(&["--allow-context-aware", "--cluster", "issuer.yaml"], "ok {\"apiVersion\":\"cert-manager.io/v1\",\"kind\":\"Issuer\"")]
#[case::recording(&["--allow-context-aware", "--replay-host-capabilities-interactions", "recording.yml"], "ok {\"recorded\": true}")]
#[case::no_capability(
    &["--allow-context-aware", "--allowed-host-capabilities", "oci/*"],
    "error Host error: Policy has not been granted access to the 'kubernetes/get_resource' host capability."
)]
fn lookups_are_answered(#[case] args: &[&str], #[case] expected: &str) {
    let assert = run(&reads_the_issuer(), &[&["-r", "request.json"], args].concat()).code(0);
    let response: Value = serde_json::from_str(&stdout(&assert)).unwrap();
    let seen = response["auditAnnotations"]["0"].as_str().unwrap();
    assert!(seen.starts_with(expected), "{seen}");
}

#[test]
fn unused_recorded_lookups_are_reported() {
    let args = [
        "-r",
        "request.json",
        "--allow-context-aware",
        "--replay-host-capabilities-interactions",
        "recording.yml",
    ];
    let text = stderr(&run(&reads_the_issuer(), &args).code(0));
    assert!(
        text.starts_with(
            "warning: the policy did not make these recorded lookups: [KubernetesGetResource { api_version"
        ),
        "{text}"
    );
}

#[test]
fn a_missing_permission_to_read_is_reported() {
    let text = stderr(&run(&json!({}), &["-r", "request.json"]).code(0));
    assert_eq!(
        text,
        "warning: the policy needs access to cert-manager.io/v1/Issuer, v1/Namespace: pass --allow-context-aware\n"
    );
}

#[test]
fn a_policy_without_metadata_runs_without_a_cluster() {
    let folder = workshop();
    std::fs::remove_file(folder.path().join("metadata.yml")).unwrap();
    let assert = run_in(
        &folder,
        &reads_the_issuer(),
        &["-r", "request.json", "--allow-context-aware", "--cluster", "issuer.yaml"],
    );
    assert!(stdout(&assert.code(0)).contains("has not been granted access"));
}

#[rstest]
#[case::settings(json!({"settings": {"answer": {"valid": false, "message": "bad"}}}), &["-r", "request.json"], "error: the settings are not valid: bad\n")]
#[case::settings_not_an_object(json!([1]), &["-r", "request.json"], "error: the settings must be an object (or null), not a list\n")]
#[case::no_request(json!({}), &["-r", "nowhere.json"], "error: nowhere.json: cannot be read: ")]
#[case::broken_request(json!({}), &["-r", "broken.json"], "error: broken.json: not JSON: EOF while parsing")]
#[case::other_json(json!({}), &["-r", "-"], "error: -: not JSON: ")]
#[case::no_recording(json!({}), &["-r", "request.json", "--replay-host-capabilities-interactions", "nowhere.yml"], "error: nowhere.yml: cannot be read: ")]
#[case::bad_recording(json!({}), &["-r", "request.json", "--replay-host-capabilities-interactions", "metadata.yml"], "error: metadata.yml: not a recording")]
#[case::bad_capability(json!({}), &["-r", "request.json", "--allowed-host-capabilities", "oci*"], "error: host capability \"oci*\"")]
#[case::no_cluster(json!({}), &["-r", "request.json", "--cluster", "nowhere"], "error: nowhere: cannot be read: ")]
fn invalid_input_is_an_error(#[case] settings: Value, #[case] args: &[&str], #[case] expected: &str) {
    let assert = run(&settings, args).code(1);
    assert_eq!(stdout(&assert), "");
    let errors: String = stderr(&assert)
        .lines()
        .filter(|line| line.starts_with("error"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(errors.starts_with(expected), "{errors}");
}

#[rstest]
#[case::both_settings(&["-r", "request.json", "--settings-path", "metadata.yml"])]
#[case::both_clusters(&["-r", "request.json", "--cluster", "x", "--replay-host-capabilities-interactions", "y"])]
#[case::no_request(&[])]
fn conflicting_flags_are_rejected(#[case] args: &[&str]) {
    run(&json!({}), args).code(2);
}

#[test]
fn settings_come_from_a_file_and_the_request_from_standard_input() {
    let folder = workshop();
    std::fs::write(
        folder.path().join("settings.yaml"),
        "answer: {accepted: true, warnings: [from the file]}\n",
    )
    .unwrap();
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("gateway-lint");
    command.current_dir(folder.path()).args([
        "run",
        "file://policy.wasm",
        "-r",
        "-",
        "--settings-path",
        "settings.yaml",
    ]);
    let request = std::fs::read(folder.path().join("review.json")).unwrap();
    assert!(stdout(&command.write_stdin(request).assert().code(0)).contains("from the file"));
}
