//! The host: evaluates each request on a new instance, and responds as the real host does.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::callback::Callback;
use crate::metadata::{ExecutionMode, Metadata, PolicyType};
use crate::module::StartError;
use crate::request::{ValidateRequest, settings as settings_object};
use crate::response::ValidationResponse;
use crate::{AdmissionResponse, Cluster, Error, Grants, Lookup, Module};

const DEADLINE_MESSAGE: &str = "Policy execution interrupted because it exceeded the allowed execution time";

/// A policy, its grants, and the cluster that answers its lookups.
pub struct Host {
    module: Module,
    cluster: Arc<dyn Cluster>,
    grants: Grants,
    mutating: bool,
    policy_type: PolicyType,
    limit: u64,
    policy_id: String,
}

/// The result of one `validate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// The host's response.
    pub response: AdmissionResponse,
    /// The policy's lookups in order, including those that were denied.
    pub lookups: Vec<Lookup>,
}

/// A policy's validation of its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsValidationResponse {
    /// Whether the settings are valid.
    pub valid: bool,
    /// The problems, if the settings are not valid.
    pub message: Option<String>,
}

impl Host {
    /// The version of the real host that is reproduced.
    pub const VERSION: semver::Version = semver::Version::new(1, 36, 0);

    /// policy-server's default evaluation limit, in ticks.
    pub const LIMIT: u64 = 2;

    /// A host that grants nothing and allows no mutation, as for an AdmissionPolicy with defaults.
    pub fn new(module: Module, cluster: impl Cluster + 'static) -> Self {
        Self {
            module,
            cluster: Arc::new(cluster),
            grants: Grants::default(),
            mutating: false,
            policy_type: PolicyType::Kubernetes,
            limit: Self::LIMIT,
            policy_id: "policy-from-cli".to_owned(),
        }
    }

    /// A host with the grants in the metadata, as for a policy that is scaffolded from it.
    ///
    /// # Errors
    /// [`Error::Metadata`] if the policy requires a newer host or another execution mode, and
    /// [`Error::Capability`] if the metadata has an unknown host capability.
    pub fn for_policy(
        module: Module,
        metadata: &Metadata,
        cluster: impl Cluster + 'static,
    ) -> Result<Self, Error> {
        metadata.check_host(&Self::VERSION)?;
        if metadata.execution_mode != ExecutionMode::KubewardenWapc {
            let reason = "executionMode: only kubewarden-wapc is supported".to_owned();
            return Err(Error::Metadata { origin: "metadata".to_owned(), reason });
        }
        let mut host = Self::new(module, cluster).grants(metadata.grants()?).mutating(metadata.mutating);
        host.policy_type = metadata.policy_type;
        Ok(host)
    }

    /// Replaces the policy's grants.
    #[must_use]
    pub fn grants(mut self, grants: Grants) -> Self {
        self.grants = grants;
        self
    }

    /// Sets the policy's `spec.mutating`: whether its patches are passed on. If not, they become rejections.
    #[must_use]
    pub fn mutating(mut self, mutating: bool) -> Self {
        self.mutating = mutating;
        self
    }

    /// Sets the evaluation limit in ticks of the module's clock, including lookups. An evaluation is
    /// interrupted at the last of these ticks, so `2` is between one and two seconds, as with the real host.
    #[must_use]
    pub fn limit(mut self, ticks: u64) -> Self {
        self.limit = ticks;
        self
    }

    /// Sets the name of the policy in messages of the host. The default is `policy-from-cli`.
    #[must_use]
    pub fn policy_id(mut self, id: impl Into<String>) -> Self {
        self.policy_id = id.into();
        self
    }

    /// Evaluates an AdmissionReview or its `request` (for a raw policy: any JSON).
    ///
    /// # Errors
    /// [`Error::Request`] if the request cannot be read, [`Error::Settings`] if the settings are not an
    /// object, and [`Error::Start`] if the module cannot be instantiated. Later failures are responses with
    /// code 500, as with the real host.
    pub fn validate(&self, request: &Value, settings: &Value) -> Result<Evaluation, Error> {
        let settings = settings_object(settings)?;
        let request = match self.policy_type {
            PolicyType::Kubernetes => ValidateRequest::kubernetes(request)?,
            PolicyType::Raw => ValidateRequest::Raw(request.clone()),
        };
        let lookups = Arc::new(Mutex::new(Vec::new()));
        let outcome = self.call("validate", &request.payload(&settings), &lookups);
        let response = self.respond(&request, outcome)?;
        let lookups = std::mem::take(&mut *lookups.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        Ok(Evaluation { response, lookups })
    }

    /// Validates settings with the policy.
    ///
    /// # Errors
    /// [`Error::Settings`] if the settings are not an object, and [`Error::Start`] if the module cannot be
    /// instantiated.
    pub fn validate_settings(&self, settings: &Value) -> Result<SettingsValidationResponse, Error> {
        let settings: Map<String, Value> = settings_object(settings)?;
        let payload = Value::Object(settings).to_string();
        let invalid = |message| Ok(SettingsValidationResponse { valid: false, message: Some(message) });
        match self.call("validate_settings", payload.as_bytes(), &Arc::default()) {
            Ok(answer) => serde_json::from_slice(&answer)
                .or_else(|error| invalid(format!("error: InvalidResponseWithError({error:?})"))),
            Err(CallError::Start(reason)) => Err(Error::Start(reason)),
            Err(CallError::StartDeadline) => invalid(DEADLINE_MESSAGE.to_owned()),
            Err(CallError::Guest(error)) => {
                invalid(format!("Error invoking settings validation callback: {error:?}"))
            }
        }
    }

    /// The version of the protocol between host and policy: `v1`.
    ///
    /// # Errors
    /// [`Error::ProtocolVersion`] if the policy fails or answers with anything else, and [`Error::Start`] if
    /// the module cannot be instantiated.
    pub fn protocol_version(&self) -> Result<String, Error> {
        match self.call("protocol_version", &[], &Arc::default()) {
            Ok(answer) => match serde_json::from_slice::<String>(&answer) {
                Ok(version) if version == "v1" => Ok(version),
                _ => Err(Error::ProtocolVersion(format!(
                    "the answer is {:?}; the only supported version is \"v1\"",
                    String::from_utf8_lossy(&answer)
                ))),
            },
            Err(CallError::Start(reason)) => Err(Error::Start(reason)),
            Err(CallError::StartDeadline) => Err(Error::Start(DEADLINE_MESSAGE.to_owned())),
            Err(CallError::Guest(error)) => Err(Error::ProtocolVersion(error.to_string())),
        }
    }

    /// Runs one call on a new instance.
    fn call(
        &self,
        operation: &str,
        payload: &[u8],
        lookups: &Arc<Mutex<Vec<Lookup>>>,
    ) -> Result<Vec<u8>, CallError> {
        let callback = Callback::new(self.grants.clone(), self.cluster.clone(), lookups.clone());
        let instance = self.module.instantiate(callback, self.limit).map_err(|error| match error {
            StartError::Deadline => CallError::StartDeadline,
            StartError::Failed(reason) => CallError::Start(reason),
        })?;
        instance.call(operation, payload).map_err(CallError::Guest)
    }

    /// Converts a result to a response, as `crates/policy-evaluator/src/runtimes/wapc/runtime.rs` and (for
    /// `wapc_init`) policy-server's `api/service.rs` do.
    fn respond(
        &self,
        request: &ValidateRequest,
        outcome: Result<Vec<u8>, CallError>,
    ) -> Result<AdmissionResponse, Error> {
        let uid = request.uid();
        let interrupted = |uid| AdmissionResponse::reject(uid, DEADLINE_MESSAGE.to_owned(), Some(500));
        let response = match outcome {
            Ok(answer) => match serde_json::from_slice::<ValidationResponse>(&answer) {
                Ok(answer) => AdmissionResponse::from_policy(uid, request.object(), answer),
                Err(error) => {
                    AdmissionResponse::internal_error(uid, &format!("invalid response from policy: {error}"))
                }
            },
            Err(CallError::StartDeadline) => interrupted(uid),
            Err(CallError::Start(reason)) => return Err(Error::Start(reason)),
            Err(CallError::Guest(error)) => {
                let text = error.to_string();
                if text.contains("guest code interrupted, execution deadline exceeded") {
                    interrupted(uid)
                } else {
                    AdmissionResponse::internal_error(uid, &text)
                }
            }
        };
        Ok(if self.mutating { response } else { response.without_mutation(&self.policy_id) })
    }
}

enum CallError {
    Start(String),
    StartDeadline,
    Guest(wapc::errors::Error),
}
