//! Fixtures: documents of `apiVersion: policy-host/v1` that configure a cluster of manifests.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::access::AccessRule;
use super::faults::LookupFault;

pub(crate) const API_VERSION: &str = "policy-host/v1";

#[derive(Debug)]
pub(crate) enum Fixture {
    Access(AccessRule),
    Fault(LookupFault),
}

impl Fixture {
    /// Reads a document of [`API_VERSION`].
    pub(crate) fn read(object: &Value) -> Result<Self, String> {
        match object.get("kind").and_then(Value::as_str) {
            Some("LookupFault") => {
                let fault: LookupFault = spec(object)?;
                fault.check()?;
                Ok(Self::Fault(fault))
            }
            Some("AccessRule") => {
                let rule: AccessRule = spec(object)?;
                rule.check()?;
                Ok(Self::Access(rule))
            }
            other => Err(format!(
                "kind {}: the kinds of {API_VERSION} are LookupFault and AccessRule",
                other.unwrap_or("is missing")
            )),
        }
    }
}

fn spec<T: DeserializeOwned>(object: &Value) -> Result<T, String> {
    let spec = object.get("spec").cloned().unwrap_or(Value::Null);
    serde_json::from_value(spec).map_err(|error| format!("spec: {error}"))
}
