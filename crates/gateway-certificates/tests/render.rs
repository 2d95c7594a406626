//! `gateway-certificates render`: output, rejections, exit codes and invalid input.

use std::io::Write as _;
use std::process::Stdio;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

const CENTRAL: &str = "gateway_namespaces: [{labels: {istio: ingressgateway}, namespace: istio-system}]\n";
const CLUSTER_ISSUER: &str = "apiVersion: cert-manager.io/v1\nkind: ClusterIssuer\nmetadata: {name: le}\nspec: {ca: {secretName: ca}}\n";

/// A Gateway with ClusterIssuer `le` as JSON, which is also YAML.
fn gateway(namespace: &str, name: &str, secrets: &[&str]) -> Value {
    let server = |secret: &&str| {
        json!({
            "port": {"number": 443, "name": secret, "protocol": "HTTPS"},
            "hosts": [format!("{secret}.example.com")],
            "tls": {"mode": "SIMPLE", "credentialName": secret},
        })
    };
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "annotations": {"cert-manager.io/cluster-issuer": "le"},
        },
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": secrets.iter().map(server).collect::<Vec<_>>(),
        },
    })
}

/// A file with the ClusterIssuer `le` and these objects.
fn file(objects: &[Value]) -> String {
    objects.iter().fold(CLUSTER_ISSUER.to_owned(), |text, object| format!("{text}---\n{object}\n"))
}

/// The working directory of the command.
struct Workshop(TempDir);

impl Workshop {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn render(&self, args: &[&str]) -> Assert {
        let mut command: Command = assert_cmd::cargo::cargo_bin_cmd!("gateway-certificates");
        command.current_dir(self.0.path()).arg("render").args(args).assert()
    }
}

fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

fn stderr(assert: &Assert) -> Vec<String> {
    let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The namespace and name of each printed Certificate.
fn certificates(assert: &Assert) -> Vec<String> {
    let documents = manifests::parse("out.yaml".as_ref(), &stdout(assert)).unwrap();
    let text =
        |value: &Value, pointer| value.pointer(pointer).and_then(Value::as_str).unwrap_or("?").to_owned();
    let name = |object: &Value| {
        assert_eq!(object["metadata"]["name"], object["spec"]["secretName"]);
        format!("{}/{}", text(object, "/metadata/namespace"), text(object, "/metadata/name"))
    };
    documents.iter().map(|document| name(&document.object)).collect()
}

#[test]
fn in_the_gateways_namespace() {
    let mut shop = gateway("team-a", "shop", &["shop-tls"]);
    shop["metadata"]["annotations"]["cert-manager.io/renew-before"] = json!("360h");
    let assert = Workshop::new(&[("shop.yaml", &file(&[shop]))]).render(&["-f", "shop.yaml"]).code(0);
    assert_eq!(
        stdout(&assert),
        "---\n\
         # Gateway team-a/shop (shop.yaml: document 2)\n\
         apiVersion: cert-manager.io/v1\n\
         kind: Certificate\n\
         metadata:\n  name: shop-tls\n  namespace: team-a\n  labels:\n    \
         gateway-certificates.io/owner-hash: 92bc563487483987\n  annotations:\n    \
         gateway-certificates.io/owner-name: shop\n    gateway-certificates.io/owner-namespace: team-a\n\
         spec:\n  secretName: shop-tls\n  issuerRef:\n    name: le\n    kind: ClusterIssuer\n    group: cert-manager.io\n  \
         dnsNames:\n  - shop-tls.example.com\n  renewBefore: 360h0m0s\n  usages:\n  - digital signature\n  - key encipherment\n"
    );
    assert_eq!(stderr(&assert), Vec::<String>::new());
}

#[test]
fn in_another_namespace_with_a_record_of_the_owner() {
    let workshop = Workshop::new(&[
        ("shop.yaml", &file(&[gateway("team-a", "shop", &["shop-tls"])])),
        ("settings.yaml", CENTRAL),
    ]);
    let assert = workshop.render(&["-f", "shop.yaml", "--settings", "settings.yaml"]).code(0);
    let expected = "metadata:\n  name: shop-tls\n  namespace: istio-system\n  labels:\n    \
        gateway-certificates.io/owner-hash: 92bc563487483987\n  annotations:\n    \
        gateway-certificates.io/owner-name: shop\n    gateway-certificates.io/owner-namespace: team-a\nspec:\n";
    assert!(stdout(&assert).contains(expected), "{}", stdout(&assert));
}

#[rstest]
#[case::own_namespace("", "/metadata/ownerReferences/0/uid")]
#[case::central(CENTRAL, "/metadata/annotations/gateway-certificates.io~1owner-uid")]
fn a_gateway_from_a_cluster_keeps_its_uid(#[case] settings: &str, #[case] pointer: &str) {
    let mut shop = gateway("team-a", "shop", &["shop-tls"]);
    shop["metadata"]["uid"] = json!("7d3c");
    let workshop = Workshop::new(&[("shop.yaml", &file(&[shop])), ("settings.yaml", settings)]);
    let assert = workshop.render(&["-f", "shop.yaml", "--settings", "settings.yaml"]).code(0);
    let documents = manifests::parse("out.yaml".as_ref(), &stdout(&assert)).unwrap();
    assert_eq!(documents[0].object.pointer(pointer), Some(&json!("7d3c")));
}

#[test]
fn the_order_is_that_of_the_files_and_of_the_plan() {
    let workshop = Workshop::new(&[
        ("b.yaml", &file(&[gateway("team-b", "b", &["z", "a"]), gateway("team-a", "a", &["m"])])),
        ("a.yaml", &gateway("team-c", "c", &["n"]).to_string()),
    ]);
    let expected = ["team-b/z", "team-b/a", "team-a/m", "team-c/n"];
    assert_eq!(certificates(&workshop.render(&["-f", "b.yaml", "a.yaml"]).code(0)), expected);
    let expected = ["team-c/n", "team-b/z", "team-b/a", "team-a/m"];
    assert_eq!(certificates(&workshop.render(&["-f", "."]).code(0)), expected);
}

#[test]
fn other_objects_are_ignored() {
    let mut cert_managers = gateway("team-a", "api", &[]);
    cert_managers["apiVersion"] = json!("gateway.networking.k8s.io/v1");
    cert_managers["spec"] = json!({"listeners": [{"name": "l", "port": 443, "protocol": "HTTPS",
        "hostname": "a.example.com", "tls": {"certificateRefs": [{"name": "a-tls"}]}}]});
    let mut plain = gateway("team-a", "plain", &["plain-tls"]);
    plain["metadata"]["annotations"] = json!({});
    let mut going = gateway("team-a", "going", &["going-tls"]);
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let workshop = Workshop::new(&[("a.yaml", &file(&[cert_managers, plain, going]))]);
    let assert = workshop.render(&["-f", "a.yaml"]).code(0);
    assert_eq!(stdout(&assert), "");
    assert_eq!(stderr(&assert), ["note: the files contain no annotated Istio Gateway"]);
}

#[test]
fn the_namespace_of_objects_without_one() {
    let mut shop = gateway("", "shop", &["shop-tls"]);
    shop["metadata"]["annotations"] = json!({"cert-manager.io/issuer": "ca"});
    let issuer = json!({"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "ca"},
        "spec": {"ca": {"secretName": "ca"}}});
    let workshop = Workshop::new(&[("shop.yaml", &file(&[shop, issuer]))]);
    let assert = workshop.render(&["-f", "shop.yaml", "-n", "team-x"]).code(0);
    assert_eq!((certificates(&assert), stderr(&assert)), (vec!["team-x/shop-tls".to_owned()], Vec::new()));
    assert_eq!(certificates(&workshop.render(&["-f", "shop.yaml"]).code(0)), ["default/shop-tls"]);
}

#[rstest]
#[case::le_is_ready("le", &["http01"], true, 0)]
#[case::no_http01("le", &["dns01"], false, 0)]
#[case::not_in_the_files("other", &["http01"], false, 1)]
fn issuers_come_from_the_files(
    #[case] named: &str,
    #[case] solvers: &[&str],
    #[case] temporary: bool,
    #[case] notes: usize,
) {
    let mut shop = gateway("team-a", "shop", &["shop-tls"]);
    shop["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] = json!(named);
    let solvers: Vec<Value> = solvers.iter().map(|kind| json!({*kind: {}})).collect();
    let issuer = json!({"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": "le"},
        "spec": {"acme": {"solvers": solvers}}});
    let workshop = Workshop::new(&[("shop.json", &shop.to_string()), ("issuer.json", &issuer.to_string())]);
    let assert = workshop.render(&["-f", "shop.json", "-f", "issuer.json"]).code(0);
    let is_temporary = stdout(&assert).contains("cert-manager.io/issue-temporary-certificate: 'true'");
    assert_eq!((is_temporary, stderr(&assert).len()), (temporary, notes), "{}", stdout(&assert));
}

#[test]
fn a_missing_issuer_is_noted_once_or_rejected_by_settings() {
    let gateways = [gateway("team-a", "a", &["a-tls"]), gateway("team-b", "b", &["b-tls"])];
    let text = gateways.map(|gateway| gateway.to_string()).join("\n---\n");
    let workshop =
        Workshop::new(&[("a.yaml", &text), ("settings.yaml", "rules: {issuer-not-found: reject}")]);

    let assert = workshop.render(&["-f", "a.yaml"]).code(0);
    assert_eq!(
        stderr(&assert),
        [
            "note: ClusterIssuer \"le\" is not in the files. If it is not in the cluster either, correct its name. If it solves HTTP-01 challenges, the controller also requests a temporary certificate."
        ]
    );
    let assert = workshop.render(&["-f", "a.yaml", "--settings", "settings.yaml"]).code(1);
    assert_eq!(certificates(&assert), Vec::<String>::new());
    let withheld = stderr(&assert);
    assert_eq!(withheld.len(), 2);
    assert!(
        withheld[0].starts_with("rejected: team-a/a (a.yaml: document 1): issuer-not-found: "),
        "{withheld:?}"
    );
    assert!(
        withheld[1].starts_with("rejected: team-b/b (a.yaml: document 2): issuer-not-found: "),
        "{withheld:?}"
    );
}

#[test]
fn an_issuer_that_is_not_ready_is_rejected() {
    let issuer = json!({"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": "le"},
        "spec": {"ca": {"secretName": "ca"}},
        "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Down"}]}});
    let text = format!("{issuer}\n---\n{}", gateway("team-a", "shop", &["a-tls", "b-tls"]));
    let assert = Workshop::new(&[("a.yaml", &text)]).render(&["-f", "a.yaml"]).code(1);
    let withheld = stderr(&assert);
    // One line, because the reason applies to the Gateway and not to a Certificate.
    assert_eq!(withheld.len(), 1, "{withheld:?}");
    assert!(
        withheld[0].starts_with("rejected: team-a/shop (a.yaml: document 2): issuer-not-ready: "),
        "{withheld:?}"
    );
    assert_eq!(stdout(&assert), "");
}

#[test]
fn a_rejected_certificate_does_not_withhold_others() {
    let settings = "tenants:\n- {name: a, namespaces: [team-a], issuers: [{kind: ClusterIssuer, name: le}], dns_names: ['**'], secrets: ['a-*']}\n";
    let shop = gateway("team-a", "shop", &["a-tls", "b-tls"]);
    let workshop = Workshop::new(&[("a.yaml", &file(&[shop])), ("settings.yaml", settings)]);
    let assert = workshop.render(&["-f", "a.yaml", "--settings", "settings.yaml"]).code(1);
    assert_eq!(certificates(&assert), ["team-a/a-tls"]);
    let withheld = stderr(&assert);
    let start =
        "rejected: team-a/shop (a.yaml: document 2): team-a/b-tls: secret-not-allowed: spec.servers[1]";
    assert!(withheld.len() == 1 && withheld[0].starts_with(start), "{withheld:?}");
}

#[test]
fn the_first_of_two_gateways_gets_the_secret() {
    let gateways = [gateway("team-a", "a", &["shared"]), gateway("team-b", "b", &["shared", "own"])];
    let workshop = Workshop::new(&[("a.yaml", &file(&gateways)), ("settings.yaml", CENTRAL)]);
    let assert = workshop.render(&["-f", "a.yaml", "--settings", "settings.yaml"]).code(1);
    assert_eq!(certificates(&assert), ["istio-system/shared", "istio-system/own"]);
    assert_eq!(
        stderr(&assert),
        [
            "rejected: team-b/b (a.yaml: document 3): istio-system/shared: claimed: the Gateway team-a/a, which comes first in the files, also names the Secret. Use another Secret."
        ]
    );
}

#[test]
fn a_rejected_gateway_claims_nothing() {
    let mut first = gateway("team-a", "a", &["shared"]);
    first["metadata"]["annotations"]["cert-manager.io/duration"] = json!("90d");
    let text = file(&[first, gateway("team-b", "b", &["shared"])]);
    let workshop = Workshop::new(&[("a.yaml", &text), ("settings.yaml", CENTRAL)]);
    let assert = workshop.render(&["-f", "a.yaml", "--settings", "settings.yaml"]).code(1);
    assert!(stdout(&assert).contains("# Gateway team-b/b ("), "{}", stdout(&assert));
    assert_eq!(stderr(&assert).len(), 1);
}

#[rstest]
#[case::no_owner("shop-tls", json!({}), "", &["secret-not-owned"])]
#[case::no_owner_and_rule_off("shop-tls", json!({}), "rules: {secret-not-owned: off}\n", &["certificate-not-owned"])]
#[case::this_gateway("shop-tls", record("team-a", "shop"), "", &[])]
#[case::another_gateway("shop-tls", record("team-b", "shop"), "", &["secret-not-owned"])]
#[case::another_name("by-hand", json!({}), "", &["certificate-not-owned"])]
fn certificates_in_the_files_have_owners(
    #[case] name: &str,
    #[case] annotations: Value,
    #[case] settings: &str,
    #[case] expected: &[&str],
) {
    let certificate = json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate",
        "metadata": {"namespace": "istio-system", "name": name, "annotations": annotations},
        "spec": {"secretName": "shop-tls"}});
    let text = file(&[gateway("team-a", "shop", &["shop-tls"]), certificate]);
    let settings = format!("{CENTRAL}{settings}");
    let workshop = Workshop::new(&[("a.yaml", &text), ("settings.yaml", &settings)]);
    let code = i32::from(!expected.is_empty());
    let assert = workshop.render(&["-f", "a.yaml", "--settings", "settings.yaml"]).code(code);
    let lines = stderr(&assert);
    let rules: Vec<&str> = lines.iter().filter_map(|line| line.split(": ").nth(4)).collect();
    assert_eq!(rules, expected, "{lines:?}");
    assert_eq!(certificates(&assert).len(), 1 - expected.len());
}

fn record(namespace: &str, name: &str) -> Value {
    json!({"gateway-certificates.io/owner-namespace": namespace, "gateway-certificates.io/owner-name": name})
}

#[rstest]
#[case::in_the_files(true, 0)]
#[case::missing(false, 1)]
fn tenants_are_selected_by_labels_of_namespaces_in_the_files(#[case] there: bool, #[case] code: i32) {
    let settings = "tenants:\n- {name: a, namespace_selector: {match_labels: {team: a}}, issuers: [{kind: ClusterIssuer, name: le}], dns_names: ['**']}\n";
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a", "labels": {"team": "a"}}});
    let mut objects = vec![gateway("team-a", "shop", &["shop-tls"])];
    objects.extend(there.then_some(namespace));
    let workshop = Workshop::new(&[("a.yaml", &file(&objects)), ("settings.yaml", settings)]);
    let assert = workshop.render(&["-f", "a.yaml", "--settings", "settings.yaml"]).code(code);
    let withheld = stderr(&assert);
    assert_eq!(withheld.iter().filter(|line| line.contains(": lookup-failed: ")).count(), withheld.len());
    assert_eq!(certificates(&assert).is_empty(), !there);
}

#[test]
fn the_limit_of_lookups_does_not_apply() {
    let secrets: Vec<String> = (0..20).map(|number| format!("s{number:02}")).collect();
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let foreign = json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate",
        "metadata": {"namespace": "team-a", "name": "s19"}, "spec": {"secretName": "s19"}});
    let text = file(&[gateway("team-a", "shop", &secrets), foreign]);
    let assert = Workshop::new(&[("a.yaml", &text)]).render(&["-f", "a.yaml"]).code(1);
    assert_eq!(certificates(&assert).len(), 19);
    assert!(stderr(&assert)[0].contains("team-a/s19: secret-not-owned: "), "{:?}", stderr(&assert));
}

#[test]
fn the_last_definition_of_a_gateway_is_used() {
    let mut old = gateway("team-a", "shop", &["old-tls"]);
    old["apiVersion"] = json!("networking.istio.io/v1beta1");
    let objects = [old, gateway("team-b", "b", &["b-tls"]), gateway("team-a", "shop", &["new-tls"])];
    let assert = Workshop::new(&[("a.yaml", &file(&objects))]).render(&["-f", "a.yaml"]).code(0);
    assert_eq!(certificates(&assert), ["team-a/new-tls", "team-b/b-tls"]);
    assert_eq!(
        stderr(&assert),
        [
            "note: Gateway team-a/shop is defined more than once with different content. a.yaml: document 4 is used, not a.yaml: document 2."
        ]
    );
    let same = [gateway("team-a", "shop", &["s"]), gateway("team-a", "shop", &["s"])];
    let assert = Workshop::new(&[("a.yaml", &file(&same))]).render(&["-f", "a.yaml"]).code(0);
    assert_eq!((certificates(&assert).len(), stderr(&assert).len()), (1, 0));
}

#[rstest]
#[case::servers_as_a_map("/spec", json!({"servers": {}}), "team-a/bad (a.yaml: document 2): unreadable: the Gateway cannot be read (spec.servers: expected a list, found an object). Correct that field.")]
#[case::no_name("/metadata", json!({"namespace": "team-a", "generateName": "shop-", "annotations": {"cert-manager.io/issuer": "ca"}}), "team-a/shop-* (a.yaml: document 2): unreadable: metadata.name: the name is missing, but it identifies the owner of Certificates. Set metadata.name.")]
fn an_invalid_gateway_does_not_affect_others(
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] expected: &str,
) {
    let mut bad = gateway("team-a", "bad", &["bad-tls"]);
    *bad.pointer_mut(pointer).unwrap() = value;
    let text = file(&[bad, gateway("team-a", "good", &["good-tls"])]);
    let assert = Workshop::new(&[("a.yaml", &text)]).render(&["-f", "a.yaml"]).code(1);
    assert_eq!(certificates(&assert), ["team-a/good-tls"]);
    assert_eq!(stderr(&assert), [format!("rejected: {expected}")]);
}

#[rstest]
#[case::missing_file(&["-f", "nowhere.yaml"], &["error: nowhere.yaml: cannot be read: "])]
#[case::all_files(&["-f", "broken.yaml", "values.yaml"], &["error: broken.yaml: document 1: ", "error: values.yaml: no Kubernetes object"])]
#[case::an_empty_folder(&["-f", "empty"], &["error: no YAML or JSON file with Kubernetes objects in empty"])]
#[case::settings(
    &["-f", "a.yaml", "--settings", "settings.yaml"],
    &["error: settings.yaml: role: ", "error: settings.yaml: rules.isuer-not-ready: "]
)]
fn invalid_input_is_an_error(#[case] args: &[&str], #[case] expected: &[&str]) {
    let workshop = Workshop::new(&[
        ("a.yaml", &file(&[])),
        ("broken.yaml", "a: [\n"),
        ("values.yaml", "replicas: 3\n"),
        ("settings.yaml", "role: bothh\nrules: {isuer-not-ready: warn}\n"),
    ]);
    std::fs::create_dir(workshop.0.path().join("empty")).unwrap();
    let assert = workshop.render(args).code(2);
    let lines = stderr(&assert);
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    assert!(lines.iter().zip(expected).all(|(line, start)| line.starts_with(start)), "{lines:?}");
    assert_eq!(stdout(&assert), "");
}

#[test]
fn standard_input() {
    let mut command: Command = assert_cmd::cargo::cargo_bin_cmd!("gateway-certificates");
    let text = file(&[gateway("team-a", "shop", &["shop-tls"])]);
    let assert = command.args(["render", "-f", "-"]).write_stdin(text).assert().code(0);
    assert_eq!(certificates(&assert), ["team-a/shop-tls"]);
}

#[test]
fn a_closed_pipe_is_ignored() {
    // There is a note and a Certificate, but both streams are closed.
    let text = gateway("team-a", "shop", &["shop-tls"]).to_string();
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("gateway-certificates"))
        .args(["render", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
