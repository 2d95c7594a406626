//! The recorded budget: the module's bytes, and the wasm instructions of typical requests.
//!
//! `budget.json` holds what was measured last. Both numbers are exact for one toolchain, so a change
//! that costs more than 2 % shows here; one that is worth it, or saves as much, is recorded with
//! `UPDATE_BUDGET=1 cargo test --test budget`.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common::{cluster, recorded_cluster, review, review_with};
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

fn measure() -> BTreeMap<String, u64> {
    let meter = Meter::new(gateway_lint::MODULE).expect("the module compiles");
    let grants = common::metadata().grants().expect("metadata.yml is sound");
    let mut measured = BTreeMap::from([("bytes".to_owned(), gateway_lint::MODULE.len() as u64)]);
    for (name, review, settings, cluster, accepted) in requests() {
        let payload = json!({"request": review["request"], "settings": settings}).to_string();
        let count =
            meter.count("validate", payload.as_bytes(), &grants, Arc::new(cluster)).expect("the module runs");
        let answer: Value = serde_json::from_slice(&count.answer.expect("an answer")).expect("JSON");
        assert_eq!(answer["accepted"], json!(accepted), "{name}: {answer}");
        measured.insert(format!("instructions of a request: {name}"), count.instructions);
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
