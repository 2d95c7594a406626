//! The Kubewarden policy: only the waPC functions that the host calls. All decisions are in
//! `gateway-rules`.

mod cluster;

use gateway_rules::{Settings, decide};
use kubewarden_policy_sdk::{protocol_version_guest, wapc_guest::register_function};
use serde_json::json;
use wapc_guest::CallResult;

use cluster::Host;

/// Registers the functions of the policy. The host calls it once per instance, and creates one
/// instance per request.
#[allow(unsafe_code, reason = "the host finds the function by its name")]
#[unsafe(no_mangle)]
pub extern "C" fn wapc_init() {
    register_function("validate", validate);
    register_function("validate_settings", validate_settings);
    register_function("protocol_version", protocol_version_guest);
}

/// Checks one admission request.
fn validate(payload: &[u8]) -> CallResult {
    Ok(decide(payload, &Host).into_json().to_string().into_bytes())
}

/// Reports all problems of the settings. The SDK's function would stop at the first problem and repeat
/// the complete payload.
fn validate_settings(payload: &[u8]) -> CallResult {
    let message = match serde_json::from_str(str::from_utf8(payload)?) {
        Ok(settings) => Settings::read(&settings).err().map(|problems| problems.join("\n")),
        Err(error) => {
            Some(format!("the settings are not valid JSON: line {} column {}", error.line(), error.column()))
        }
    };
    let answer = match message {
        None => json!({"valid": true}),
        Some(message) => json!({"valid": false, "message": message}),
    };
    Ok(answer.to_string().into_bytes())
}
