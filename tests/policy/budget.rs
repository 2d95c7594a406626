//! The recorded budget: the module's bytes, and the wasm instructions of typical requests.
//!
//! `budget.json` holds what was measured last. Both numbers are exact for one toolchain, so a change
//! that costs more than 2 % shows here; one that is worth it, or saves as much, is recorded with
//! `UPDATE_BUDGET=1 cargo test --test policy`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::common::{cluster, recorded_cluster, review, review_with};
use policy_host::Manifests;
use policy_host::fuel::Meter;
use serde_json::{Value, json};

/// What the module may never exceed, in bytes.
const MOST_BYTES: u64 = 450 * 1024;

/// A Gateway of a hundred servers with ten hosts each.
fn large() -> Value {
    review_with("istio-v1-create", |request| {
        let server = |i: usize| {
            let hosts: Vec<String> = (0..10).map(|j| format!("h{j}.s{i}.team-a.example.com")).collect();
            json!({
                "port": {"number": 443, "name": format!("https-{i}"), "protocol": "HTTPS"},
                "hosts": hosts,
                "tls": {"mode": "SIMPLE", "credentialName": format!("tls-{i}")},
            })
        };
        request["object"]["spec"]["servers"] = (0..100).map(server).collect();
    })
}

/// Name, request, settings, cluster, and whether it is accepted.
fn requests() -> Vec<(&'static str, Value, Value, Manifests, bool)> {
    let default = json!({"default_issuer": {"name": "letsencrypt-production", "kind": "ClusterIssuer", "when": "always"}});
    vec![
        ("unannotated", review("istio-v1beta1-create-unannotated"), json!({}), cluster(""), true),
        ("accepted", review("istio-v1-create"), json!({}), recorded_cluster(), true),
        ("defaulted", review("istio-v1beta1-create-unannotated"), default, recorded_cluster(), true),
        ("refused", review("istio-v1-create"), json!({}), cluster(""), false),
        ("large", large(), json!({}), recorded_cluster(), true),
    ]
}

/// Counts the instructions of a request; the answer comes along.
fn count(meter: &Meter, review: &Value, settings: &Value, cluster: Manifests) -> (u64, Value) {
    let grants = crate::common::metadata().grants().expect("metadata.yml is sound");
    let payload = json!({"request": review["request"], "settings": settings}).to_string();
    let count =
        meter.count("validate", payload.as_bytes(), &grants, Arc::new(cluster)).expect("the module runs");
    let answer = serde_json::from_slice(&count.answer.expect("an answer")).expect("JSON");
    (count.instructions, answer)
}

fn measure() -> BTreeMap<String, u64> {
    let meter = Meter::new(gateway_lint::MODULE).expect("the module compiles");
    let mut measured = BTreeMap::from([("bytes".to_owned(), gateway_lint::MODULE.len() as u64)]);
    for (name, review, settings, cluster, accepted) in requests() {
        let (instructions, answer) = count(&meter, &review, &settings, cluster);
        assert_eq!(answer["accepted"], json!(accepted), "{name}: {answer}");
        measured.insert(format!("instructions of a request: {name}"), instructions);
    }
    measured
}

#[test]
fn the_module_keeps_to_its_budget() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("budget.json");
    let measured = measure();
    let text = serde_json::to_string_pretty(&measured).unwrap() + "\n";
    println!("{text}");
    if std::env::var_os("UPDATE_BUDGET").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let recorded =
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let recorded: BTreeMap<String, u64> = serde_json::from_str(&recorded).expect("budget.json is JSON");
    assert_eq!(measured.keys().collect::<Vec<_>>(), recorded.keys().collect::<Vec<_>>());
    for (name, measured) in &measured {
        let recorded = recorded[name];
        assert!(
            measured.abs_diff(recorded) <= recorded / 50,
            "{name}: {measured}, but recorded is {recorded}"
        );
    }
    assert!(measured["bytes"] <= MOST_BYTES);
}

/// A Gateway with that many servers, hosts and Secrets, all of them wrong in some way.
fn many_servers(many: usize) -> Value {
    review_with("istio-v1-create", |request| {
        let server = |i: usize| {
            json!({
                "port": {"number": 443, "name": format!("https-{i}"), "protocol": "HTTPS"},
                "hosts": [format!("h{i}.team-a.example.com"), format!("*.w{i}"), "*"],
                "tls": {"mode": "MUTUAL", "credentialName": format!("Tls-{i}")},
            })
        };
        request["object"]["spec"]["servers"] = (0..many).map(server).collect();
    })
}

/// A Gateway with one server of that many hosts.
fn many_hosts(many: usize) -> Value {
    review_with("istio-v1-create", |request| {
        let hosts: Vec<String> = (0..many).map(|i| format!("h{i}.other.example.com")).collect();
        request["object"]["spec"]["servers"][1]["hosts"] = json!(hosts);
    })
}

/// A Gateway with that many annotations that nobody knows, and one long list of names.
fn many_annotations(many: usize) -> Value {
    review_with("istio-v1-create", |request| {
        let annotations = &mut request["object"]["metadata"]["annotations"];
        for i in 0..many {
            annotations[format!("cert-manager.io/isuer-{i}")] = json!("x".repeat(20));
        }
        let names: Vec<String> = (0..many).map(|i| format!("a{i}.example.com")).collect();
        annotations["cert-manager.io/alt-names"] = json!(names.join(","));
    })
}

#[test]
fn bad_input_costs_linear_time_and_gets_a_bounded_answer() {
    let meter = Meter::new(gateway_lint::MODULE).expect("the module compiles");
    let tenants = json!({"tenants": [{
        "name": "a", "namespaces": ["team-a"], "issuers": [{"kind": "ClusterIssuer", "name": "*"}],
        "dns_names": ["**.team-a.example.com"], "secrets": ["team-a-*"],
    }]});
    type Input = fn(usize) -> Value;
    let inputs: [(&str, Input); 3] =
        [("servers", many_servers), ("hosts", many_hosts), ("annotations", many_annotations)];
    for (name, review) in inputs {
        let cost = |many: usize| {
            let (instructions, answer) = count(&meter, &review(many), &tenants, recorded_cluster());
            assert_eq!(answer["accepted"], json!(false), "{name}: {answer}");
            assert!(answer["message"].as_str().unwrap().len() < 9 * 1024, "{name}");
            instructions
        };
        let (one, ten, hundred) = (cost(50), cost(500), cost(5000));
        println!("{name}: {one}, {ten}, {hundred} instructions at 1x, 10x, 100x");
        assert!(hundred < 12 * ten, "{name}: {one}, {ten}, {hundred}");
    }
}
