//! `gateway-lint check`: results, exit codes and invalid input, with a policy that returns what its settings
//! contain.

#[path = "../../policy-host/tests/support/mod.rs"]
mod support;

use std::path::PathBuf;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with manifests, a policy and its settings.
struct Workshop {
    folder: TempDir,
}

const GATEWAY: &str =
    "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: web, namespace: team-a}\nspec: {}\n";

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("policy")).unwrap();
        std::fs::create_dir_all(folder.path().join("manifests")).unwrap();
        let workshop = Self { folder };
        workshop.write("policy/policy.wasm", support::probe_bytes());
        workshop.write("policy/metadata.yml", gateway_lint::METADATA);
        workshop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    fn command(&self) -> Command {
        let mut command = assert_cmd::cargo::cargo_bin_cmd!("gateway-lint");
        command.current_dir(self.folder.path()).args(["check", "--policy", "policy/policy.wasm"]);
        command
    }

    /// Checks `manifests` with these settings.
    fn check(&self, settings: Value, args: &[&str]) -> Assert {
        self.write("settings.yaml", settings.to_string());
        self.command().args(["--settings", "settings.yaml", "manifests"]).args(args).assert()
    }
}

fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

fn stderr(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

#[rstest]
#[case::accepted(json!({"accepted": true}), 0, "accepted\n1 Gateway: 1 accepted, 0 rejected\n")]
#[case::warned(
    json!({"accepted": true, "warnings": ["rule: path: w"]}), 0,
    "accepted with warnings\n    warning: rule: path: w\n1 Gateway: 1 accepted (1 with warnings), 0 rejected\n"
)]
#[case::rejected(
    json!({"accepted": false, "message": "rule-a: path: one\nrule-b: path: two", "code": 422}), 1,
    "rejected\n    rule-a: path: one\n    rule-b: path: two\n1 Gateway: 0 accepted, 1 rejected\n"
)]
#[case::mutated(
    json!({"accepted": true, "mutated_object": {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "spec": {},
        "metadata": {"name": "web", "namespace": "team-a", "annotations": {"cert-manager.io/issuer": "ca"}}}}), 0,
    "mutated\n    adds metadata.annotations[cert-manager.io/issuer]: ca\n1 Gateway: 1 accepted (1 mutated), 0 rejected\n"
)]
fn the_table_shows_the_policys_response(#[case] answer: Value, #[case] code: i32, #[case] expected: &str) {
    let workshop = Workshop::new();
    workshop.write("manifests/a.yaml", GATEWAY);
    let assert = workshop.check(json!({"answer": answer}), &[]).code(code);
    let head = "FILE                KIND                            GATEWAY     RESULT\n\
                manifests/a.yaml#1  networking.istio.io/v1 Gateway  team-a/web  ";
    assert_eq!(stdout(&assert), format!("{head}{expected}"));
    assert_eq!(stderr(&assert), "");
}

#[test]
fn the_json_is_complete_and_stable() {
    let workshop = Workshop::new();
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: gateway.networking.k8s.io/v1\n  kind: Gateway\n  metadata: {generateName: web-}\n";
    workshop.write("manifests/a.yaml", format!("{GATEWAY}---\n{list}"));
    let answer = json!({"accepted": false, "code": 403, "message": "m", "warnings": ["w"], "audit_annotations": {
        "findings": r#"[{"level":"reject","path":"p","rule":"r"}]"#, "issuer": "Issuer.cert-manager.io/ca", "secrets": "a/b,c/d"}});
    let assert = workshop.check(json!({"answer": answer}), &["-o", "json", "-n", "elsewhere"]).code(1);
    let result = |document: usize, api_version: &str, namespace: &str, name: &str| {
        json!({"file": "manifests/a.yaml", "document": document, "apiVersion": api_version, "kind": "Gateway",
            "namespace": namespace, "name": name, "allowed": false, "code": 403, "message": "m", "warnings": ["w"],
            "findings": [{"rule": "r", "level": "reject", "path": "p"}], "issuer": "Issuer.cert-manager.io/ca", "secrets": "a/b,c/d"})
    };
    let mut second = result(2, "gateway.networking.k8s.io/v1", "elsewhere", "web-*");
    second["item"] = json!(1);
    assert_eq!(
        serde_json::from_str::<Value>(&stdout(&assert)).unwrap(),
        json!({"results": [result(1, "networking.istio.io/v1", "team-a", "web"), second], "notes": [],
            "summary": {"gateways": 2, "accepted": 0, "warned": 0, "mutated": 0, "rejected": 2}})
    );
    let again = workshop.check(json!({"answer": answer}), &["-o", "json", "-n", "elsewhere"]).code(1);
    assert_eq!(stdout(&again), stdout(&assert));
}

#[test]
fn files_without_objects_are_skipped_in_a_folder() {
    let workshop = Workshop::new();
    workshop.write("manifests/a.yaml", GATEWAY).write("manifests/values.yaml", "replicas: 1\n");
    workshop.write("manifests/kustomization.yaml", "resources: [a.yaml]\n");
    workshop.write("manifests/sub/.hidden/b.yaml", "{{").write("manifests/readme.md", "{{");
    let assert = workshop.check(json!({}), &[]).code(0);
    assert!(stdout(&assert).ends_with("1 Gateway: 1 accepted, 0 rejected\n"));
}

#[test]
fn manifests_without_gateways_are_fine() {
    let workshop = Workshop::new();
    workshop.write("manifests/a.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n");
    assert_eq!(stdout(&workshop.check(json!({}), &[]).code(0)), "0 Gateways: 0 accepted, 0 rejected\n");
}

#[test]
fn standard_input_is_checked_like_a_file() {
    let workshop = Workshop::new();
    let assert = workshop.command().arg("-").write_stdin(GATEWAY).assert().code(0);
    let row =
        stdout(&assert).lines().nth(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    assert_eq!(row.as_deref(), Some("-#1 networking.istio.io/v1 Gateway team-a/web accepted"));
}

#[test]
fn different_duplicates_are_noted_and_equal_ones_are_not() {
    let workshop = Workshop::new();
    let issuer = |spec: &str| {
        format!(
            "apiVersion: cert-manager.io/v1\nkind: Issuer\nmetadata: {{name: ca, namespace: team-a}}\nspec: {spec}\n"
        )
    };
    workshop
        .write("manifests/a.yaml", GATEWAY)
        .write("manifests/b.yaml", issuer("{}"))
        .write("manifests/c.yaml", issuer("{}"));
    assert_eq!(stderr(&workshop.check(json!({}), &[]).code(0)), "");
    workshop.write("manifests/c.yaml", issuer("{ca: {}}"));
    assert_eq!(
        stderr(&workshop.check(json!({}), &[]).code(0)),
        "note: Issuer team-a/ca is defined 2 times with different content: manifests/b.yaml: document 1; \
         manifests/c.yaml: document 1. Lookups use the last one (manifests/c.yaml: document 1).\n"
    );
}

#[rstest]
#[case::cluster_scoped("cert-manager.io/v1", "ClusterIssuer", ["", ""], Some("ClusterIssuer x"))]
#[case::cluster_scoped_with_a_stray_namespace("cert-manager.io/v1", "ClusterIssuer", ["team-a", ""], Some("ClusterIssuer x"))]
#[case::core("v1", "Namespace", ["", ""], Some("Namespace x"))]
#[case::default_namespace("cert-manager.io/v1", "Issuer", ["default", ""], Some("Issuer default/x"))]
#[case::other_namespaces("cert-manager.io/v1", "Issuer", ["team-a", "team-b"], None)]
fn a_duplicate_is_named_by_its_scope(
    #[case] api_version: &str,
    #[case] kind: &str,
    #[case] namespaces: [&str; 2],
    #[case] expected: Option<&str>,
) {
    let workshop = Workshop::new();
    let object = |index: usize| {
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": namespaces[index]},
            "spec": {"number": index}})
    };
    workshop
        .write("manifests/a.json", object(0).to_string())
        .write("manifests/b.json", object(1).to_string());
    let notes = stderr(&workshop.check(json!({}), &[]).code(0));
    let expected = expected.map(|name| format!("note: {name} is defined 2 times with different content: "));
    assert_eq!(notes.is_empty(), expected.is_none(), "{notes}");
    assert!(notes.starts_with(&expected.unwrap_or_default()), "{notes}");
}

#[rstest]
#[case::missing_file(&["nowhere.yaml"], "nowhere.yaml: cannot be read: No such file")]
#[case::empty_folder(&["manifests"], "no YAML or JSON file with Kubernetes objects in manifests: check the path")]
#[case::not_an_object(&["values.yaml"], "values.yaml: no Kubernetes object")]
#[case::broken_yaml(&["broken.yaml"], "broken.yaml: document 2: ")]
#[case::broken_yaml_line(&["broken.yaml"], "at line 7 column 1")]
#[case::template(&["template.yaml"], "helm template")]
#[case::binary(&["binary.yaml"], "binary.yaml: cannot be read: not UTF-8 text (byte 0)")]
#[case::huge(&["huge.yaml"], "huge.yaml: cannot be read: it is larger than 64 MiB")]
#[case::bad_fixture(&["fixture.yaml"], "fixture.yaml: document 1: spec: unknown variant `nope`")]
fn invalid_input_is_reported(#[case] paths: &[&str], #[case] expected: &str) {
    let workshop = Workshop::new();
    workshop.write("values.yaml", "a: 1\n").write("broken.yaml", format!("{GATEWAY}---\na: [\n"));
    workshop.write("template.yaml", "apiVersion: {{ .Values.x }}\n").write("binary.yaml", [0xff, 0, 1]);
    workshop.write("fixture.yaml", "apiVersion: policy-host/v1\nkind: LookupFault\nspec: {fault: nope}\n");
    std::fs::File::create(workshop.path("huge.yaml")).unwrap().set_len(65 * 1024 * 1024).unwrap();
    let assert = workshop.command().args(paths).assert().code(2);
    assert_eq!(stdout(&assert), "");
    assert!(
        stderr(&assert).starts_with("error: ") && stderr(&assert).contains(expected),
        "{}",
        stderr(&assert)
    );
}

#[test]
fn every_invalid_file_is_reported() {
    let workshop = Workshop::new();
    workshop
        .write("manifests/a.yaml", "a: [\n")
        .write("manifests/b.yaml", GATEWAY)
        .write("manifests/c.json", "{");
    let errors = stderr(&workshop.check(json!({}), &["missing.yaml"]).code(2));
    let files: Vec<&str> =
        errors.lines().filter_map(|line| line.strip_prefix("error: ")?.split(':').next()).collect();
    assert_eq!(files, ["manifests/a.yaml", "manifests/c.json", "missing.yaml"]);
}

#[cfg(unix)]
#[test]
fn a_dangling_manifest_is_an_error() {
    let workshop = Workshop::new();
    workshop.write("manifests/a.yaml", GATEWAY);
    std::os::unix::fs::symlink("/nowhere", workshop.path("manifests/b.yaml")).unwrap();
    let errors = stderr(&workshop.check(json!({}), &[]).code(2));
    assert!(errors.starts_with("error: manifests/b.yaml: cannot be read: "), "{errors}");
}

#[cfg(unix)]
#[test]
fn an_unreadable_folder_is_an_error() {
    use std::os::unix::fs::PermissionsExt as _;
    let workshop = Workshop::new();
    workshop.write("manifests/a.yaml", GATEWAY).write("manifests/closed/b.yaml", GATEWAY);
    let closed = workshop.path("manifests/closed");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
    // root can read every folder.
    let expected = if std::fs::read_dir(&closed).is_ok() { 0 } else { 2 };
    let assert = workshop.check(json!({}), &[]).code(expected);
    assert_eq!(
        stderr(&assert).contains("manifests/closed: cannot be read: Permission denied"),
        expected == 2
    );
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[rstest]
#[case::not_valid(json!({"settings": {"answer": {"valid": false, "message": "role: no such role\nrules: no"}}}).to_string(),
    "error: the settings are not valid: role: no such role\nerror: rules: no\n")]
#[case::not_yaml("a: [".to_owned(), "error: settings.yaml: ")]
#[case::duplicate_key("a: 1\na: 2\n".to_owned(), "error: settings.yaml: duplicate entry")]
#[case::not_an_object("[1]".to_owned(), "error: the settings must be an object (or null), not a list\n")]
fn invalid_settings_are_reported(#[case] settings: String, #[case] expected: &str) {
    let workshop = Workshop::new();
    workshop.write("manifests/a.yaml", GATEWAY).write("settings.yaml", settings);
    let assert = workshop.command().args(["--settings", "settings.yaml", "manifests"]).assert().code(2);
    assert!(stderr(&assert).starts_with(expected), "{}", stderr(&assert));
}

#[rstest]
#[case::missing("nowhere.wasm", "nowhere.wasm: cannot be read")]
#[case::not_wasm("settings.yaml", "settings.yaml: not a waPC policy")]
#[case::no_metadata("alone/policy.wasm", "metadata.yml: not found next to the module")]
#[case::bad_metadata("odd/policy.wasm", "odd/metadata.yml: unknown field `rule`")]
fn an_invalid_policy_is_reported(#[case] policy: &str, #[case] expected: &str) {
    let workshop = Workshop::new();
    workshop.write("manifests/a.yaml", GATEWAY).write("settings.yaml", "{}");
    workshop.write("alone/policy.wasm", support::probe_bytes());
    workshop.write("odd/policy.wasm", support::probe_bytes()).write("odd/metadata.yml", "rule: []\n");
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("gateway-lint");
    command.current_dir(workshop.folder.path()).args(["check", "--policy", policy, "manifests"]);
    let assert = command.assert().code(2);
    assert!(stderr(&assert).contains(expected), "{}", stderr(&assert));
}

#[test]
fn a_failing_policy_rejects_as_in_the_cluster() {
    let workshop = Workshop::new();
    workshop.write("manifests/a.yaml", GATEWAY);
    let assert = workshop.check(json!({"error": "boom"}), &[]).code(1);
    assert!(
        stdout(&assert).contains("rejected\n    internal server error: Guest call failure: boom\n"),
        "{}",
        stdout(&assert)
    );
}

#[test]
fn colours_are_for_terminals() {
    let workshop = Workshop::new();
    workshop.write("manifests/a.yaml", GATEWAY).write("settings.yaml", "{}");
    let printed = |name: &str| stdout(&workshop.command().arg("manifests").env(name, "1").assert().code(0));
    assert!(!printed("NO_COLOR").contains('\u{1b}'));
    assert!(printed("CLICOLOR_FORCE").contains('\u{1b}'));
    let assert = workshop.command().arg("manifests").env_remove("CLICOLOR_FORCE").assert().code(0);
    assert!(!stdout(&assert).contains('\u{1b}'));
}

#[test]
fn paths_are_required() {
    assert_cmd::cargo::cargo_bin_cmd!("gateway-lint").arg("check").assert().code(2);
}
