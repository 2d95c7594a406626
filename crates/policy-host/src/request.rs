//! The AdmissionRequest, as the host passes it to a policy.
//!
//! The host deserializes the API server's request and serializes it again. Unknown fields therefore do not
//! reach the policy, and null is omitted (`crates/policy-evaluator/src/admission_request.rs`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Error;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AdmissionRequest {
    uid: String,
    kind: GroupVersionKind,
    resource: GroupVersionResource,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_kind: Option<GroupVersionKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_resource: Option<GroupVersionResource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_sub_resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    operation: String,
    user_info: UserInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_object: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct GroupVersionKind {
    group: String,
    version: String,
    kind: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct GroupVersionResource {
    group: String,
    version: String,
    resource: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct UserInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<BTreeMap<String, Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
}

/// The request to validate, for `policyType: kubernetes` or `raw`.
#[derive(Debug, Clone)]
pub(crate) enum ValidateRequest {
    Kubernetes(Box<AdmissionRequest>),
    Raw(Value),
}

impl ValidateRequest {
    /// Reads an AdmissionReview or its `request` (`crates/kwctl/src/command/run/evaluator.rs`).
    pub(crate) fn kubernetes(input: &Value) -> Result<Self, Error> {
        let Some(object) = input.as_object() else {
            return Err(Error::Request(format!("it is {}, not an object", type_name(input))));
        };
        let request = if object.get("kind").and_then(Value::as_str) == Some("AdmissionReview") {
            object
                .get("request")
                .ok_or_else(|| Error::Request("the AdmissionReview has no `request`".to_owned()))?
        } else {
            input
        };
        serde_json::from_value(request.clone())
            .map(|request| Self::Kubernetes(Box::new(request)))
            .map_err(|error| Error::Request(error.to_string()))
    }

    pub(crate) fn uid(&self) -> String {
        match self {
            Self::Kubernetes(request) => request.uid.clone(),
            Self::Raw(value) => value.get("uid").and_then(Value::as_str).unwrap_or_default().to_owned(),
        }
    }

    /// The object to compare a mutation with; `None` for DELETE.
    pub(crate) fn object(&self) -> Option<&Value> {
        match self {
            Self::Kubernetes(request) => request.object.as_ref(),
            Self::Raw(value) => Some(value),
        }
    }

    /// The payload of the waPC function `validate`.
    pub(crate) fn payload(&self, settings: &Map<String, Value>) -> Vec<u8> {
        let request = match self {
            Self::Kubernetes(request) => json!(request),
            Self::Raw(value) => value.clone(),
        };
        json!({"request": request, "settings": settings}).to_string().into_bytes()
    }
}

/// The settings as an object; null is an empty object (`crates/policy-evaluator/src/policy_evaluator.rs`).
pub(crate) fn settings(settings: &Value) -> Result<Map<String, Value>, Error> {
    match settings {
        Value::Null => Ok(Map::new()),
        Value::Object(map) => Ok(map.clone()),
        other => Err(Error::Settings(type_name(other))),
    }
}

pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
