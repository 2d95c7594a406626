//! The host: one fresh instance per evaluation, and the real host's answer whatever the policy does.

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

/// A policy, what it is granted, and the cluster that answers its lookups.
pub struct Host {
    module: Module,
    cluster: Arc<dyn Cluster>,
    grants: Grants,
    mutating: bool,
    policy_type: PolicyType,
    limit: u64,
    policy_id: String,
}

/// The outcome of one `validate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// The host's answer.
    pub response: AdmissionResponse,
    /// What the policy asked the host about the cluster, in order, refused questions included.
    pub lookups: Vec<Lookup>,
}

/// A policy's verdict on its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsValidationResponse {
    /// Whether they can be used.
    pub valid: bool,
    /// Why they cannot.
    pub message: Option<String>,
}

impl Host {
    /// The version of the real host whose behaviour this is.
    pub const VERSION: semver::Version = semver::Version::new(1, 36, 0);

    /// policy-server's default evaluation limit, in ticks.
    pub const LIMIT: u64 = 2;

    /// A host that grants nothing and allows no mutation: what an AdmissionPolicy with defaults gets.
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

    /// A host that grants what the metadata asks for, as a policy scaffolded from it gets.
    ///
    /// # Errors
    /// [`Error::Metadata`] where the policy wants a newer host or another execution mode.
    pub fn for_policy(
        module: Module,
        metadata: &Metadata,
        cluster: impl Cluster + 'static,
    ) -> Result<Self, Error> {
        metadata.check_host(&Self::VERSION)?;
        if metadata.execution_mode != ExecutionMode::KubewardenWapc {
            let reason = "executionMode: only kubewarden-wapc policies run here".to_owned();
            return Err(Error::Metadata { origin: "metadata".to_owned(), reason });
        }
        let mut host = Self::new(module, cluster).grants(metadata.grants()?).mutating(metadata.mutating);
        host.policy_type = metadata.policy_type;
        Ok(host)
    }

    /// Replaces what the policy may ask for.
    #[must_use]
    pub fn grants(mut self, grants: Grants) -> Self {
        self.grants = grants;
        self
    }

    /// The policy's `spec.mutating`: whether its patches are passed on or turned into refusals.
    #[must_use]
    pub fn mutating(mut self, mutating: bool) -> Self {
        self.mutating = mutating;
        self
    }

    /// The evaluation limit in ticks of the module's clock, lookups included. An evaluation is interrupted at the
    /// last of these ticks, so `2` is between one and two seconds, as with the real host.
    #[must_use]
    pub fn limit(mut self, ticks: u64) -> Self {
        self.limit = ticks;
        self
    }

    /// The name of the policy that messages of the host mention; `policy-from-cli` unless set.
    #[must_use]
    pub fn policy_id(mut self, id: impl Into<String>) -> Self {
        self.policy_id = id.into();
        self
    }

    /// Evaluates an AdmissionReview or its `request` (for a raw policy: any JSON).
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Settings`], and [`Error::Start`] for a module that cannot be instantiated. Whatever
    /// goes wrong from then on is a response with code 500, as from the real host.
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

    /// Asks the policy whether it takes these settings.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::Start`].
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
    /// [`Error::ProtocolVersion`], [`Error::Start`].
    pub fn protocol_version(&self) -> Result<String, Error> {
        match self.call("protocol_version", &[], &Arc::default()) {
            Ok(answer) => match serde_json::from_slice::<String>(&answer) {
                Ok(version) if version == "v1" => Ok(version),
                _ => Err(Error::ProtocolVersion(format!(
                    "the answer is {:?}, the only version is \"v1\"",
                    String::from_utf8_lossy(&answer)
                ))),
            },
            Err(CallError::Start(reason)) => Err(Error::Start(reason)),
            Err(CallError::StartDeadline) => Err(Error::Start(DEADLINE_MESSAGE.to_owned())),
            Err(CallError::Guest(error)) => Err(Error::ProtocolVersion(error.to_string())),
        }
    }

    /// One call on a fresh instance.
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

    /// `crates/policy-evaluator/src/runtimes/wapc/runtime.rs`, and for `wapc_init` policy-server's `api/service.rs`.
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
