//! The AdmissionResponse, in the format that kwctl prints and policy-server sends.
//!
//! It follows `crates/policy-evaluator/src/admission_response.rs` and `admission_response_handler.rs`,
//! without the fields that a policy cannot set (status.reason and similar).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The host's response to an admission request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionResponse {
    /// The uid of the request.
    pub uid: String,
    /// Whether the request is accepted.
    pub allowed: bool,
    /// The type of `patch`; set if `patch` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch_type: Option<PatchType>,
    /// An RFC 6902 patch as base64; [`AdmissionResponse::patch`] decodes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
    /// The reason of a rejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<AdmissionResponseStatus>,
    /// Annotations for the API server's audit log. They are sorted; the real host's order is random.
    pub audit_annotations: Option<BTreeMap<String, String>>,
    /// Warnings for the API client.
    pub warnings: Option<Vec<String>>,
}

/// The type of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PatchType {
    /// RFC 6902.
    #[serde(rename = "JSONPatch")]
    JsonPatch,
}

/// The message and code of a rejection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmissionResponseStatus {
    /// The message for the API client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// An HTTP status code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
}

/// The policy's answer to `validate` (`response.rs` of the SDK).
#[derive(Debug, Deserialize)]
pub(crate) struct ValidationResponse {
    accepted: bool,
    message: Option<String>,
    code: Option<u16>,
    mutated_object: Option<Value>,
    audit_annotations: Option<BTreeMap<String, String>>,
    warnings: Option<Vec<String>>,
}

impl AdmissionResponse {
    /// The patch, decoded.
    #[must_use]
    pub fn patch(&self) -> Option<json_patch::Patch> {
        let json = STANDARD.decode(self.patch.as_ref()?).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// The message of a rejection; empty if there is none.
    #[must_use]
    pub fn message(&self) -> &str {
        self.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default()
    }

    /// The code of a rejection.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        self.status.as_ref().and_then(|status| status.code)
    }

    pub(crate) fn reject(uid: String, message: String, code: Option<u16>) -> Self {
        let status = Some(AdmissionResponseStatus { message: Some(message), code });
        Self { uid, status, ..Self::default() }
    }

    pub(crate) fn internal_error(uid: String, reason: &str) -> Self {
        Self::reject(uid, format!("internal server error: {reason}"), Some(500))
    }

    pub(crate) fn from_policy(uid: String, object: Option<&Value>, answer: ValidationResponse) -> Self {
        let patch = match (answer.mutated_object, object) {
            (None, _) => None,
            (Some(_), None) => {
                let message = "Incoming object is null, which happens only with DELETE operations, \
                               but the policy is attempting a mutation. This is not allowed";
                return Self::reject(uid, message.to_owned(), None);
            }
            (Some(mutated), Some(object)) => {
                let patch = json_patch::diff(object, &mutated);
                (!patch.is_empty()).then(|| STANDARD.encode(patch.to_string()))
            }
        };
        let status = (answer.message.is_some() || answer.code.is_some())
            .then_some(AdmissionResponseStatus { message: answer.message, code: answer.code });
        Self {
            uid,
            allowed: answer.accepted,
            patch_type: patch.as_ref().map(|_| PatchType::JsonPatch),
            patch,
            status,
            audit_annotations: answer.audit_annotations,
            warnings: answer.warnings,
        }
    }

    /// Turns a patch into a rejection, for `spec.mutating: false`.
    pub(crate) fn without_mutation(self, policy_id: &str) -> Self {
        if self.patch.is_none() {
            return self;
        }
        let message = format!(
            "Request rejected by policy {policy_id}. The policy attempted to mutate the request, \
             but it is currently configured to not allow mutations."
        );
        Self {
            allowed: false,
            status: Some(AdmissionResponseStatus { message: Some(message), code: None }),
            patch: None,
            patch_type: None,
            ..self
        }
    }
}
