//! Random sequences of requests through the built module. The harness describes them; `SEED`, `SEQUENCES` and
//! `SEQUENCE` work as in crates/gateway-rules/tests/sequences.

#[path = "../../crates/gateway-rules/tests/sequences/harness/mod.rs"]
mod harness;

use harness::world::{PERMITTED, World};
use policy_host::Manifests;
use serde_json::{Value, json};

use crate::common::evaluate;

fn through_the_module(request: &Value, settings: &Value, world: &World) -> Result<Option<Value>, String> {
    let access = json!({
        "apiVersion": "policy-host/v1",
        "kind": "AccessRule",
        "spec": {
            "user": PERMITTED,
            "verbs": ["create"],
            "apiGroups": ["cert-manager.io"],
            "resources": ["certificates"],
        },
    });
    let cluster =
        Manifests::from_objects(world.objects().cloned().chain([access])).expect("no invalid fixture");
    let response = evaluate(request, settings, cluster).response;
    if !response.allowed {
        return Err(response.message().to_owned());
    }
    Ok(response.patch().map(|patch| {
        let mut object = request["object"].clone();
        json_patch::patch(&mut object, &patch).expect("the patch fits the object");
        object
    }))
}

#[test]
fn nothing_appears_that_is_not_allowed() {
    harness::run(1_000, &through_the_module);
}
