//! Live requests: reads that bypass the caches, and all writes. Certificates are changed and deleted only
//! after a live read.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use certificate_shim::plan::SecretName;
use gateway_rules::Settings;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ObjectMeta, Patch, PatchParams,
    PostParams, Preconditions, Request,
};
use kube::discovery::{self, verbs};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::fields::{self, MANAGER};
use crate::leader::NotLeading;
use crate::message::message;
use crate::metrics::Metrics;
use crate::objects::{Key, owner, value_of};

/// The timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The annotation with the name of the Certificate for which cert-manager wrote a Secret
/// (`CertificateNameKey` in pkg/apis/certmanager/v1/types.go).
const CERTIFICATE_NAME: &str = "cert-manager.io/certificate-name";

/// The reason why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiError {
    /// A conflict: the object has changed since it was read.
    Conflict(String),
    /// The API server rejects the request, with this message.
    Rejected(String),
    /// The API server forbids the request, with this message.
    Forbidden(String),
    /// The request failed, with this message.
    Failed(String),
    /// The request was not sent, because this replica does not lead any more.
    NotLeading,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiError::Conflict(text)
            | ApiError::Rejected(text)
            | ApiError::Forbidden(text)
            | ApiError::Failed(text) => f.write_str(text),
            ApiError::NotLeading => NotLeading.fmt(f),
        }
    }
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                409 => ApiError::Conflict(status.message),
                403 => ApiError::Forbidden(status.message),
                // Invalid requests.
                400 | 413 | 422 => ApiError::Rejected(status.message),
                404 if status.details.as_ref().is_some_and(|details| details.kind == "namespaces") => {
                    ApiError::Rejected(status.message)
                }
                _ => ApiError::Failed(status.message),
            },
            error if NotLeading::is_cause_of(&error) => ApiError::NotLeading,
            other => ApiError::Failed(message(&other)),
        }
    }
}

/// The state of a Certificate's Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretState {
    /// It does not exist, or cert-manager wrote it for a Certificate of that name.
    Free,
    /// It has another purpose, which is described.
    Foreign(String),
    /// The API server forbids reading it, with this message.
    Unchecked(String),
}

/// The result of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Changed {
    /// The Certificate was changed.
    Made {
        /// Its new state.
        now: Box<DynamicObject>,
        /// The other field managers of the first field that differed, sorted.
        others: Vec<String>,
    },
    /// The Certificate was already up to date.
    Already,
    /// The Certificate belongs to another owner now.
    Foreign,
    /// The Certificate was changed, but this field was reverted.
    Undone(String),
}

/// Sends live requests.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    settings: Arc<Settings>,
    /// Whether the API server only checks the writes.
    is_dry_run: bool,
    metrics: Metrics,
}

impl Writer {
    /// A writer. With `is_dry_run`, the API server checks the writes and stores nothing.
    pub fn new(client: Client, settings: Arc<Settings>, is_dry_run: bool, metrics: Metrics) -> Self {
        Writer { client, settings, is_dry_run, metrics }
    }

    /// Whether the API server only checks the writes.
    pub fn is_dry_run(&self) -> bool {
        self.is_dry_run
    }

    /// Gets an object; `None` if it does not exist.
    ///
    /// # Errors
    /// The request fails. A kind that is not served is also an error.
    pub async fn get(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<DynamicObject>, ApiError> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, resource);
        match timed(api.get(name)).await {
            Ok(object) => Ok(Some(object)),
            // The response contains the name of the object only if the kind is served.
            Err(Failure::Api(kube::Error::Api(status)))
                if status.code == 404
                    && status.details.as_ref().is_some_and(|details| details.name == name) =>
            {
                Ok(None)
            }
            Err(failure) => Err(match ApiError::from(failure) {
                ApiError::Rejected(message) | ApiError::Forbidden(message) => ApiError::Failed(message),
                other => other,
            }),
        }
    }

    /// Whether objects of a kind can be created. While its CustomResourceDefinition is being deleted,
    /// they can only be read and deleted.
    ///
    /// # Errors
    /// Discovery fails, or the kind is not served.
    pub async fn can_be_created(&self, resource: &ApiResource) -> Result<bool, ApiError> {
        let ApiResource { group, version, kind, .. } = resource;
        let kind = GroupVersionKind::gvk(group, version, kind);
        let (_, capabilities) = timed(discovery::pinned_kind(&self.client, &kind)).await?;
        Ok(capabilities.supports_operation(verbs::CREATE))
    }

    /// Checks whether a Secret may be written for a Certificate of its name.
    ///
    /// # Errors
    /// The request fails, unless it is forbidden.
    pub async fn secret(&self, secret: &SecretName) -> Result<SecretState, ApiError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &secret.namespace);
        let found = match timed(api.get_metadata_opt(&secret.name)).await {
            Ok(found) => found,
            Err(Failure::Api(kube::Error::Api(status))) if status.code == 403 => {
                return Ok(SecretState::Unchecked(status.message));
            }
            Err(failure) => return Err(failure.into()),
        };
        let Some(found) = found else { return Ok(SecretState::Free) };
        Ok(match found.annotations().get(CERTIFICATE_NAME) {
            Some(name) if *name == secret.name => SecretState::Free,
            Some(name) => SecretState::Foreign(format!("cert-manager wrote it for the Certificate {name}")),
            None => SecretState::Foreign("cert-manager did not write it".to_owned()),
        })
    }

    /// Creates a Certificate.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] if a Certificate of that name exists, or another [`ApiError`] if the request fails.
    pub async fn create(&self, resource: &ApiResource, body: &Value) -> Result<DynamicObject, ApiError> {
        let object: DynamicObject =
            serde_json::from_value(body.clone()).map_err(|error| ApiError::Failed(error.to_string()))?;
        let namespace = object.namespace().unwrap_or_default();
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &namespace, resource);
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), dry_run: self.is_dry_run };
        self.counted("create", timed(api.create(&parameters, &object)).await)
    }

    /// Changes a Certificate of that Gateway to its desired state, and takes it over if it is claimed. Fields of
    /// other managers are kept. Fields of the controller that are not in `body` are removed.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] if the Certificate no longer exists or has changed meanwhile, or another
    /// [`ApiError`] if a request fails.
    pub async fn change(&self, resource: &ApiResource, key: &Key, body: &Value) -> Result<Changed, ApiError> {
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let Some(live) = self.get(resource, namespace, name).await? else {
            return Err(ApiError::Conflict(format!("the Certificate {namespace}/{name} no longer exists")));
        };
        let seen = value_of(&live);
        let writes_it = seen["spec"]["secretName"] == body["spec"]["secretName"];
        let Some(owner) =
            owner(&seen, &self.settings).filter(|owner| owner.key == *key && (owner.is_ours || writes_it))
        else {
            return Ok(Changed::Foreign);
        };
        let desired = ours(body);
        let Some(field) = difference(&desired, &fields::owned(&seen)) else { return Ok(Changed::Already) };
        if live.metadata.deletion_timestamp.is_some() {
            return Err(ApiError::Conflict(format!("the Certificate {namespace}/{name} is being deleted")));
        }
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, resource);
        let mut version = live.metadata.resource_version;
        // A dry run stores nothing, so that the apply could not build upon it.
        if !self.is_dry_run
            && let Some(first) = preparation(&seen, body, owner.is_ours)
        {
            let parameters =
                PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            let prepared = timed(api.patch(name, &parameters, &Patch::Merge(&first))).await;
            version = self.counted("patch", prepared)?.metadata.resource_version;
        }
        let mut applied = body.clone();
        if let Some(metadata) = applied["metadata"].as_object_mut() {
            // A Certificate that has changed since its owner was checked, or was created again, is not changed.
            metadata.insert("uid".to_owned(), json!(live.metadata.uid));
            metadata.insert("resourceVersion".to_owned(), json!(version));
        }
        let parameters = PatchParams { dry_run: self.is_dry_run, ..PatchParams::apply(MANAGER).force() };
        let now =
            self.counted("apply", timed(api.patch(name, &parameters, &Patch::Apply(&applied))).await)?;
        let found = fields::owned(&value_of(&now));
        match difference(&desired, &found) {
            Some(field) if !self.is_dry_run => Ok(Changed::Undone(field)),
            _ => Ok(Changed::Made { others: fields::other_managers(&seen, &field), now: Box::new(now) }),
        }
    }

    /// Deletes a Certificate of the controller that belongs to that Gateway. Returns whether it existed.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] if it has changed meanwhile, or another [`ApiError`] if a request fails.
    pub async fn delete(
        &self,
        resource: &ApiResource,
        key: &Key,
        certificate: &SecretName,
    ) -> Result<bool, ApiError> {
        let SecretName { namespace, name } = certificate;
        let Some(live) = self.get(resource, namespace, name).await? else { return Ok(false) };
        let owner = owner(&value_of(&live), &self.settings);
        if owner.is_none_or(|owner| owner.key != *key || !owner.is_ours) {
            return Ok(false);
        }
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, resource);
        let parameters = DeleteParams { dry_run: self.is_dry_run, ..DeleteParams::default() }.preconditions(
            Preconditions { uid: live.metadata.uid, resource_version: live.metadata.resource_version },
        );
        let deleted = timed(async {
            let mut request = Request::new(api.resource_url())
                .delete(name, &parameters)
                .map_err(kube::Error::BuildRequest)?;
            if self.is_dry_run {
                // In the address too, where it is visible before the body is read.
                *request.uri_mut() = with_dry_run(request.uri())?;
            }
            self.client.request::<Value>(request).await
        });
        self.counted("delete", deleted.await)?;
        Ok(true)
    }

    /// The metadata of a Lease; `None` if it does not exist.
    ///
    /// # Errors
    /// The request fails.
    pub async fn lease(&self, lease: &Key) -> Result<Option<ObjectMeta>, ApiError> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), &lease.namespace);
        Ok(timed(api.get_opt(&lease.name)).await?.map(|lease| lease.metadata))
    }

    /// Changes a Lease by a JSON merge patch.
    ///
    /// # Errors
    /// The request fails.
    pub async fn patch_lease(&self, lease: &Key, patch: &Value) -> Result<(), ApiError> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), &lease.namespace);
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        timed(api.patch(&lease.name, &parameters, &Patch::Merge(patch))).await?;
        Ok(())
    }

    fn counted<T>(&self, verb: &str, outcome: Result<T, Failure>) -> Result<T, ApiError> {
        self.metrics.wrote("certificates", verb, outcome.is_ok());
        outcome.map_err(ApiError::from)
    }
}

/// The address with the query parameter of a dry run.
fn with_dry_run(address: &http::Uri) -> kube::Result<http::Uri> {
    let text = address.to_string();
    let address = text.trim_end_matches(['?', '&']);
    let separator = if address.contains('?') { '&' } else { '?' };
    let with = format!("{address}{separator}dryRun=All");
    with.parse().map_err(|error: http::uri::InvalidUri| kube::Error::HttpError(error.into()))
}

enum Failure {
    Api(kube::Error),
    TimedOut,
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Api(error) => error.into(),
            Failure::TimedOut => {
                ApiError::Failed(format!("the API server did not answer within {} s", TIMEOUT.as_secs()))
            }
        }
    }
}

async fn timed<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match tokio::time::timeout(TIMEOUT, request).await {
        Ok(outcome) => outcome.map_err(Failure::Api),
        Err(_) => Err(Failure::TimedOut),
    }
}

/// The part of a Certificate's body that the controller owns: all fields except those that identify it.
pub fn ours(body: &Value) -> Value {
    let mut ours = body.clone();
    if let Some(object) = ours.as_object_mut() {
        object.remove("apiVersion");
        object.remove("kind");
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("name");
            metadata.remove("namespace");
            if metadata.is_empty() {
                object.remove("metadata");
            }
        }
    }
    ours
}

/// The patch that must precede an apply; `None` if none is needed. It converts the entry of the POST to an
/// apply entry. For a Certificate that becomes the controller's, it takes the fields from those who wrote them. It also replaces a controller reference to an earlier Gateway with the same name, because
/// an object can have only one controller.
fn preparation(live: &Value, body: &Value, is_ours: bool) -> Option<Value> {
    let fields = if is_ours { fields::as_applied(live) } else { fields::as_taken_over(live, body) };
    let ours = body.pointer("/metadata/ownerReferences/0");
    let is_stale = |reference: &&Value| {
        reference["controller"] == true && ours.is_none_or(|ours| ours["uid"] != reference["uid"])
    };
    let references = live.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let mut metadata = json!({});
    if let Some(fields) = &fields {
        metadata["managedFields"] = fields.clone();
    }
    let has_stale = references.is_some_and(|references| references.iter().any(|one| is_stale(&one)));
    if has_stale {
        // In one step, so that the Certificate always has an owner.
        let kept = references.into_iter().flatten().filter(|one| !is_stale(one));
        metadata["ownerReferences"] = kept.chain(ours).cloned().collect();
    }
    if fields.is_none() && !has_stale {
        return None;
    }
    metadata["uid"] = live["metadata"]["uid"].clone();
    metadata["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
    Some(json!({"metadata": metadata}))
}

/// The first field in which two values differ.
pub fn difference(desired: &Value, found: &Value) -> Option<String> {
    fn walk(desired: &Value, found: &Value, path: &str) -> Option<String> {
        let (Value::Object(desired), Value::Object(found)) = (desired, found) else {
            return (desired != found).then(|| path.to_owned());
        };
        let names = desired.keys().chain(found.keys());
        let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        names
            .filter_map(|name| {
                walk(
                    desired.get(name).unwrap_or(&Value::Null),
                    found.get(name).unwrap_or(&Value::Null),
                    &join(name),
                )
            })
            .min()
    }
    walk(desired, found, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn the_part_that_the_controller_owns() {
        let body = json!({"apiVersion": "v1", "kind": "Certificate", "spec": {"a": 1},
            "metadata": {"name": "a", "namespace": "b", "labels": {"x": "y"}}});
        assert_eq!(ours(&body), json!({"metadata": {"labels": {"x": "y"}}, "spec": {"a": 1}}));
        let bare = json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {}});
        assert_eq!(ours(&bare), json!({"spec": {}}));
    }

    #[rstest]
    #[case::equal(json!({"a": 1}), json!({"a": 1}), None)]
    #[case::changed(json!({"spec": {"a": 1, "b": [1]}}), json!({"spec": {"a": 1, "b": [2]}}), Some("spec.b"))]
    #[case::added(json!({"spec": {}}), json!({"spec": {"x": 1}}), Some("spec.x"))]
    #[case::the_first(json!({"z": 1, "a": 1}), json!({}), Some("a"))]
    #[case::root(json!(1), json!(2), Some(""))]
    fn differences(#[case] desired: Value, #[case] found: Value, #[case] expected: Option<&str>) {
        assert_eq!(difference(&desired, &found).as_deref(), expected);
    }

    fn live(references: Value, operation: &str) -> Value {
        json!({"metadata": {"uid": "c", "resourceVersion": "7", "ownerReferences": references,
            "managedFields": [{"manager": MANAGER, "operation": operation, "fieldsV1": {"f:spec": {}}}]}})
    }

    fn body(uid: &str) -> Value {
        json!({"metadata": {"ownerReferences": [{"uid": uid, "controller": true}]}})
    }

    #[test]
    fn nothing_to_prepare() {
        let references = json!([{"uid": "new", "controller": true}, {"uid": "x"}]);
        assert_eq!(preparation(&live(references, "Apply"), &body("new"), true), None);
    }

    #[test]
    fn an_earlier_controller_is_replaced() {
        let references = json!([{"uid": "x"}, {"uid": "old", "controller": true}]);
        let prepared = preparation(&live(references, "Apply"), &body("new"), true).unwrap();
        let references = json!([{"uid": "x"}, {"uid": "new", "controller": true}]);
        let expected = json!({"uid": "c", "resourceVersion": "7", "ownerReferences": references});
        assert_eq!(prepared["metadata"], expected);
    }

    #[test]
    fn the_entry_of_a_post_is_converted() {
        let prepared = preparation(&live(json!([]), "Update"), &body("new"), true).unwrap();
        assert_eq!(prepared["metadata"]["managedFields"][0]["operation"], "Apply");
        assert_eq!(prepared["metadata"].get("ownerReferences"), None);
    }

    #[rstest]
    #[case::conflict(409, ApiError::Conflict("message".into()))]
    #[case::forbidden(403, ApiError::Forbidden("message".into()))]
    #[case::invalid(422, ApiError::Rejected("message".into()))]
    #[case::not_found(404, ApiError::Failed("message".into()))]
    #[case::busy(429, ApiError::Failed("message".into()))]
    #[case::broken(500, ApiError::Failed("message".into()))]
    fn answers(#[case] code: u16, #[case] expected: ApiError) {
        let status =
            kube::core::Status { code, message: "message".to_owned(), ..kube::core::Status::default() };
        assert_eq!(ApiError::from(kube::Error::Api(Box::new(status))), expected);
    }
}
