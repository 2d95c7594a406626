//! A policy that follows its settings, including failures that a real policy must not have.
//!
//! The keys of the settings, of which the first one that is set is used:
//! - `error: TEXT` returns an error, `trap: true` traps, `spin: true` never ends
//! - `raw: TEXT` answers with exactly this text
//! - `answer: JSON` answers with that ValidationResponse
//! - `calls: [{binding, namespace, operation, payload}]` calls the host (default binding: `kubewarden`), and
//!   accepts with an audit annotation for each call: `0: ok TEXT` or `0: error TEXT`
//! - no key: accepts, with the payload in the audit annotation `payload`
//!
//! `validate_settings` does the same with the value of the key `settings`.

use serde_json::{Map, Value, json};
use wapc_guest::{CallResult, host_call, register_function};

#[unsafe(no_mangle)]
pub extern "C" fn wapc_init() {
    register_function("validate", validate);
    register_function("validate_settings", validate_settings);
    register_function("protocol_version", |_| Ok(b"\"v1\"".to_vec()));
}

fn validate(payload: &[u8]) -> CallResult {
    let input: Value = serde_json::from_slice(payload)?;
    let settings = &input["settings"];
    if let Some(answer) = act(settings) {
        return answer;
    }
    let mut annotations = Map::new();
    match settings["calls"].as_array() {
        Some(calls) => annotations
            .extend(calls.iter().enumerate().map(|(index, call)| (index.to_string(), outcome(call)))),
        None => drop(annotations.insert("payload".to_owned(), Value::from(String::from_utf8_lossy(payload)))),
    }
    Ok(json!({"accepted": true, "audit_annotations": annotations}).to_string().into_bytes())
}

fn validate_settings(payload: &[u8]) -> CallResult {
    let settings: Value = serde_json::from_slice(payload)?;
    act(&settings["settings"]).unwrap_or_else(|| Ok(br#"{"valid": true}"#.to_vec()))
}

fn act(settings: &Value) -> Option<CallResult> {
    if let Some(text) = settings["error"].as_str() {
        return Some(Err(text.into()));
    }
    if settings["trap"] == true {
        std::process::abort();
    }
    if settings["spin"] == true {
        loop {
            std::hint::black_box(());
        }
    }
    if let Some(text) = settings["raw"].as_str() {
        return Some(Ok(text.as_bytes().to_vec()));
    }
    settings.get("answer").map(|answer| Ok(answer.to_string().into_bytes()))
}

fn outcome(call: &Value) -> Value {
    let text = |key: &str| call[key].as_str().unwrap_or_default().to_owned();
    let binding = call["binding"].as_str().unwrap_or("kubewarden");
    let payload = match &call["payload"] {
        Value::String(raw) => raw.clone(),
        json => json.to_string(),
    };
    let answer = host_call(binding, &text("namespace"), &text("operation"), payload.as_bytes());
    Value::from(match answer {
        Ok(bytes) => format!("ok {}", String::from_utf8_lossy(&bytes)),
        Err(error) => format!("error {error}"),
    })
}
