//! The recorded budget: the module's bytes, and the wasm instructions of typical requests.
//!
//! `budget.json` contains the recorded numbers, which are exact for one toolchain. A change that costs more
//! than 2 % fails here, unless it is recorded with `make update`. A change that costs less passes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::common::{cluster, recorded_cluster, review, review_with};
use policy_host::Manifests;
use policy_host::fuel::Meter;
use serde_json::{Value, json};

/// The maximum cost of a request: a fraction of the time that a policy server gives it.
const MOST_INSTRUCTIONS: u64 = 500_000_000;
/// The most memory of a request, in bytes.
const MOST_MEMORY: usize = 64 << 20;

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
        ("rejected", review("istio-v1-create"), json!({}), cluster(""), false),
        ("large", large(), json!({}), recorded_cluster(), true),
    ]
}

/// Counts the instructions of a request, which must be within the limits of every request. Returns them with
/// the answer.
fn count(meter: &Meter, review: &Value, settings: &Value, cluster: Manifests) -> (u64, Value) {
    let grants = crate::common::metadata().grants().expect("metadata.yml is valid");
    let payload = json!({"request": review["request"], "settings": settings}).to_string();
    let count =
        meter.count("validate", payload.as_bytes(), &grants, Arc::new(cluster)).expect("the module runs");
    let answer: Value = serde_json::from_slice(&count.answer.expect("an answer")).expect("JSON");
    println!("{} bytes: {} instructions, {} MiB", payload.len(), count.instructions, count.memory >> 20);
    assert!(count.instructions < MOST_INSTRUCTIONS, "{} instructions: {answer}", count.instructions);
    assert!(count.memory <= MOST_MEMORY, "{} bytes of memory: {answer}", count.memory);
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
        assert!(*measured <= recorded + recorded / 50, "{name}: {measured}, but recorded is {recorded}");
    }
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

/// A Gateway with one server of that many hosts, which are as long as a host can be and differ at the end of a
/// label.
fn many_long_hosts(many: usize) -> Value {
    let prefix = format!("{0}.{0}.{0}.{1}", "x".repeat(60), "y".repeat(30));
    review_with("istio-v1-create", |request| {
        let hosts: Vec<String> = (0..many).map(|i| format!("{prefix}{i}.example.com")).collect();
        request["object"]["spec"]["servers"][1]["hosts"] = json!(hosts);
    })
}

/// A Gateway with that many unknown annotations, and one long list of names.
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

/// A Gateway with one server of that many credentials.
fn many_credentials(many: usize) -> Value {
    review_with("istio-v1-create", |request| {
        let names: Vec<String> = (0..many).map(|i| format!("Other-{i}")).collect();
        let tls = &mut request["object"]["spec"]["servers"][1]["tls"];
        *tls = json!({"mode": "SIMPLE", "credentialNames": names});
    })
}

/// A Gateway with that many labels and IP addresses.
fn many_labels_and_addresses(many: usize) -> Value {
    review_with("istio-v1-create", |request| {
        let metadata = &mut request["object"]["metadata"];
        for i in 0..many {
            metadata["labels"][format!("label-{i}")] = json!("x");
        }
        let addresses: Vec<String> = (0..many).map(|i| format!("10.0.{}.{}", i / 250, i % 250)).collect();
        metadata["annotations"]["cert-manager.io/ip-sans"] = json!(addresses.join(","));
    })
}

/// A Gateway of Gateway API with that many listeners; each has options and two Secrets.
fn many_listeners(many: usize) -> Value {
    review_with("gateway-api-v1-create", |request| {
        let listener = |i: usize| {
            json!({
                "name": format!("https-{}", i / 2), "port": 443, "protocol": "HTTPS",
                "hostname": format!("*.h{i}.other.example.com"),
                "tls": {
                    "mode": "Terminate", "certificateRefs": [{"name": format!("a-{i}")}, {"name": "b"}],
                    "options": {"cert-manager.io/issuer": "x", "example.com/x": "y"},
                },
            })
        };
        request["object"]["spec"]["listeners"] = (0..many).map(listener).collect();
    })
}

/// A Gateway of Gateway API with one listener of that many Secrets.
fn many_references(many: usize) -> Value {
    review_with("gateway-api-v1-create", |request| {
        let references: Vec<Value> = (0..many).map(|i| json!({"name": format!("other-{i}")})).collect();
        request["object"]["spec"]["listeners"] = json!([{
            "name": "https", "port": 443, "protocol": "HTTPS", "hostname": "x.other.example.com",
            "tls": {"mode": "Terminate", "certificateRefs": references},
        }]);
    })
}

fn tenants() -> Value {
    json!({"tenants": [{
        "name": "a", "namespaces": ["team-a"], "issuers": [{"kind": "ClusterIssuer", "name": "*"}],
        "dns_names": ["**.team-a.example.com"], "secrets": ["team-a-*"],
    }]})
}

/// An update that adds a label.
fn update_of(created: &Value) -> Value {
    let mut review = created.clone();
    review["request"]["operation"] = json!("UPDATE");
    review["request"]["oldObject"] = created["request"]["object"].clone();
    review["request"]["object"]["metadata"]["labels"] = json!({"new": "label"});
    review
}

/// An update of an object with as many other names.
fn update_of_others(created: &Value) -> Value {
    let mut review = update_of(created);
    let old = created["request"]["object"].to_string().replace("example.com", "example.org");
    review["request"]["oldObject"] = serde_json::from_str(&old).expect("JSON");
    review
}

#[test]
fn bad_input_costs_linear_time_and_gets_a_bounded_answer() {
    let meter = Meter::new(gateway_lint::MODULE).expect("the module compiles");
    type Input = fn(usize) -> Value;
    type Request = fn(&Value) -> Value;
    // Problems that the old object had are accepted with warnings; of other names it had only some.
    let requests: [(&str, Request, Option<bool>); 3] = [
        ("create", Value::clone, Some(false)),
        ("update", update_of, Some(true)),
        ("update of others", update_of_others, None),
    ];
    // The last of each is almost as large as the policy accepts.
    let inputs: [(&str, Input, [usize; 3]); 8] = [
        ("long hosts", many_long_hosts, [4, 40, 400]),
        ("servers", many_servers, [3, 33, 330]),
        ("hosts", many_hosts, [29, 290, 2900]),
        ("annotations", many_annotations, [14, 145, 1450]),
        ("credentials", many_credentials, [29, 290, 2900]),
        ("labels and addresses", many_labels_and_addresses, [14, 145, 1450]),
        ("listeners", many_listeners, [2, 21, 210]),
        ("references", many_references, [19, 190, 1900]),
    ];
    for (name, review, many) in inputs {
        for (operation, request, is_accepted) in requests {
            let [one, ten, hundred] = many.map(|many| {
                let review = request(&review(many));
                let (instructions, answer) = count(&meter, &review, &tenants(), recorded_cluster());
                let accepted = answer["accepted"].as_bool();
                assert!(is_accepted.is_none() || accepted == is_accepted, "{name}, {operation}: {answer}");
                assert!(answer.to_string().len() < 16 * 1024, "{name}: {answer}");
                assert!(!answer.to_string().contains("object-too-large"), "{name}: {answer}");
                instructions
            });
            println!("{name}, {operation}: {one}, {ten}, {hundred} instructions at 1x, 10x, 100x");
            // A little more than ten times, because lists are also sorted.
            assert!(hundred < 14 * ten, "{name}, {operation}: {one}, {ten}, {hundred}");
        }
    }
}

#[test]
fn what_is_too_large_is_rejected_early() {
    let meter = Meter::new(gateway_lint::MODULE).expect("the module compiles");
    let annotations = |many: usize| {
        review_with("istio-v1beta1-create-unannotated", |request| {
            let annotations: serde_json::Map<String, Value> =
                (0..many).map(|i| (format!("a{i}"), json!(""))).collect();
            request["object"]["metadata"]["annotations"] = annotations.into();
        })
    };
    let requests = [
        ("servers", many_servers(10_000)),
        ("hosts", many_hosts(100_000)),
        ("names and annotations", many_annotations(20_000)),
        ("annotations of others", annotations(200_000)),
    ];
    for (name, created) in requests {
        for review in [created.clone(), update_of(&created)] {
            let (_, answer) = count(&meter, &review, &tenants(), recorded_cluster());
            let message = answer["message"].as_str().unwrap_or_default();
            assert!(message.starts_with("object-too-large: "), "{name}: {answer}");
        }
        // Its finalizers, its status and fields of other tools can change.
        let mut touched = created.clone();
        touched["request"]["operation"] = json!("UPDATE");
        touched["request"]["oldObject"] = created["request"]["object"].clone();
        touched["request"]["object"]["metadata"]["finalizers"] = json!(["example.com/x"]);
        let (_, answer) = count(&meter, &touched, &tenants(), recorded_cluster());
        assert_eq!(answer["accepted"], json!(true), "{name}: {answer}");
    }
}
