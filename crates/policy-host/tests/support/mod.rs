//! The probe guest, compiled once per test process.
#![allow(dead_code, reason = "each test binary uses only a part")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use policy_host::{Capabilities, Cluster, ContextAwareResource, Evaluation, Grants, Host, Module};
use serde_json::{Value, json};

/// Builds the probe guest in this crate's target folder.
pub fn probe_bytes() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let crate_folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../policy-host/tests/probe-guest");
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("probe-guest");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(crate_folder).args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "--target=wasm32-wasip1",
            "--target-dir",
        ]);
        cargo.arg(&target);
        // Settings for the native build are not valid for the guest.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("RUSTC") || text.contains("RUSTFLAGS") || text.starts_with("CARGO_BUILD_") {
                cargo.env_remove(&name);
            }
        }
        let status = cargo.status().expect("cargo can be started");
        assert!(
            status.success(),
            "the probe guest does not build; is the target installed? rustup target add wasm32-wasip1"
        );
        std::fs::read(target.join("wasm32-wasip1/release/probe_guest.wasm"))
            .expect("the probe guest was built")
    })
}

/// The probe with the real host's clock.
pub fn probe() -> Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| Module::from_bytes(probe_bytes()).expect("the probe compiles")).clone()
}

/// The probe with a clock that ticks every 50 ms.
pub fn fast_probe() -> Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE
        .get_or_init(|| {
            Module::with_tick(probe_bytes(), Duration::from_millis(50)).expect("the probe compiles")
        })
        .clone()
}

/// All capabilities, and the given kinds.
pub fn grants(kinds: &[(&str, &str)]) -> Grants {
    let resource = |(api_version, kind): &(&str, &str)| ContextAwareResource {
        api_version: (*api_version).to_owned(),
        kind: (*kind).to_owned(),
    };
    Grants { capabilities: Capabilities::all(), resources: kinds.iter().map(resource).collect() }
}

/// A CREATE of an object.
pub fn create(object: Value) -> Value {
    json!({
        "uid": "u-1",
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        "operation": "CREATE",
        "userInfo": {"username": "alice"},
        "object": object,
    })
}

/// The result of one host call of the probe, and the evaluation.
pub fn call(host: &Host, namespace: &str, operation: &str, payload: Value) -> (String, Evaluation) {
    let settings = json!({"calls": [{"namespace": namespace, "operation": operation, "payload": payload}]});
    let evaluation = host.validate(&create(json!({})), &settings).expect("the probe runs");
    let annotations = evaluation.response.audit_annotations.clone().unwrap_or_default();
    (annotations.get("0").cloned().unwrap_or_else(|| format!("{:?}", evaluation.response)), evaluation)
}

/// A host with the probe, which may read cert-manager's issuers, Namespaces and the kinds in the recordings.
pub fn reading_host(cluster: impl Cluster + 'static) -> Host {
    Host::new(probe(), cluster).grants(grants(&[
        ("cert-manager.io/v1", "Issuer"),
        ("cert-manager.io/v1", "ClusterIssuer"),
        ("cert-manager.io/v1", "Missing"),
        ("example.com/v1", "Issuer"),
        ("v1", "Namespace"),
    ]))
}
