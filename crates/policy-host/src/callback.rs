//! The host callback: handles every call of a policy to its host, and checks it against the grants.
//!
//! The order of the checks and the texts are those of `crates/policy-evaluator/src/runtimes/callback.rs`.

use std::sync::{Arc, Mutex};

use serde::de::DeserializeOwned;

use crate::{Cluster, Grants, HostError, Lookup};

pub(crate) struct Callback {
    grants: Grants,
    cluster: Arc<dyn Cluster>,
    lookups: Arc<Mutex<Vec<Lookup>>>,
}

impl Callback {
    pub(crate) fn new(grants: Grants, cluster: Arc<dyn Cluster>, lookups: Arc<Mutex<Vec<Lookup>>>) -> Self {
        Self { grants, cluster, lookups }
    }

    pub(crate) fn call(
        &self,
        binding: &str,
        namespace: &str,
        operation: &str,
        payload: &[u8],
    ) -> Result<Vec<u8>, HostError> {
        if binding != "kubewarden" {
            return Err(HostError::verbatim(format!("unknown binding: {binding}")));
        }
        if namespace == "tracing" {
            // Always allowed. The log output of the policy is discarded.
            return if operation == "log" { Ok(Vec::new()) } else { Err(unknown_operation(operation)) };
        }
        let capability = format!("{namespace}/{operation}");
        if !self.grants.capabilities.allows(&capability) {
            return Err(HostError::capability_not_granted(&capability));
        }
        match namespace {
            "kubernetes" => self.look_up(operation, payload),
            // The image, DNS and certificate capabilities of the real host are not implemented.
            "oci" | "net" | "crypto" => Err(unknown_operation(operation)),
            _ => Err(HostError::verbatim(format!("unknown namespace: {namespace}"))),
        }
    }

    fn look_up(&self, operation: &str, payload: &[u8]) -> Result<Vec<u8>, HostError> {
        let lookup = match operation {
            "get_resource" => Lookup::KubernetesGetResource(read(payload)?),
            "list_resources_by_namespace" => Lookup::KubernetesListResourceNamespace(read(payload)?),
            "list_resources_all" => Lookup::KubernetesListResourceAll(read(payload)?),
            "can_i" => Lookup::KubernetesCanI(read(payload)?),
            _ => return Err(unknown_operation(operation)),
        };
        self.lookups.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(lookup.clone());
        if let Some((api_version, kind)) = lookup.resource()
            && !self.grants.allows_resource(api_version, kind)
        {
            return Err(HostError::resource_not_granted(api_version, kind));
        }
        self.cluster.answer(&lookup).map(String::into_bytes)
    }
}

fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, HostError> {
    serde_json::from_slice(payload).map_err(|error| HostError::verbatim(error.to_string()))
}

fn unknown_operation(operation: &str) -> HostError {
    HostError::verbatim(format!("unknown operation: {operation}"))
}
