//! Reads and writes objects of any kind, as JSON.

use futures::future::join_all;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
    PropagationPolicy,
};
use kube::core::Status;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::eventually::eventually;
use super::objects::{CRD, Kind, text};

/// The objects of a cluster, with the rights of an administrator.
#[derive(Clone)]
pub struct Objects {
    /// The connection.
    pub client: Client,
}

impl Objects {
    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        let (group, version) = kind.0.rsplit_once('/').unwrap_or(("", kind.0));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind.1));
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        }
    }

    fn api_of(&self, object: &Value) -> Api<DynamicObject> {
        let (group, version) =
            text(object, "/apiVersion").rsplit_once('/').unwrap_or(("", text(object, "/apiVersion")));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text(object, "/kind")));
        match text(object, "/metadata/namespace") {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }

    /// Creates or changes an object. Fields of an earlier call that are missing in this one are removed.
    /// Returns the new object.
    pub async fn apply(&self, object: impl Into<Value>) -> Value {
        let object = object.into();
        self.try_apply(&object).await.unwrap_or_else(|error| panic!("{error}\nto apply: {object}"))
    }

    /// Creates an object with another field manager, which does not apply it.
    pub async fn create_as(&self, manager: &str, object: Value) -> Value {
        let parameters = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
        let api = self.api_of(&object);
        let created = api.create(&parameters, &serde_json::from_value(object).unwrap()).await.unwrap();
        serde_json::to_value(created).unwrap()
    }

    /// [`Self::apply`], if it can be rejected.
    pub async fn try_apply(&self, object: &Value) -> kube::Result<Value> {
        let parameters = PatchParams::apply("gateway-certificates-tests").force();
        let api = self.api_of(object);
        let applied = api.patch(text(object, "/metadata/name"), &parameters, &Patch::Apply(object)).await?;
        Ok(serde_json::to_value(applied).unwrap())
    }

    /// [`Self::try_apply`] that changes nothing, and rejects unknown fields.
    pub async fn dry_run(&self, object: &Value) -> kube::Result<()> {
        let mut parameters = PatchParams::apply("gateway-certificates-tests").force().validation_strict();
        parameters.dry_run = true;
        let api = self.api_of(object);
        api.patch(text(object, "/metadata/name"), &parameters, &Patch::Apply(object)).await.map(drop)
    }

    /// [`Self::apply`] of many objects in parallel.
    pub async fn apply_all(&self, objects: impl IntoIterator<Item = impl Into<Value>>) {
        let objects: Vec<Value> = objects.into_iter().map(Into::into).collect();
        for some in objects.chunks(16) {
            join_all(some.iter().map(|object| self.apply(object.clone()))).await;
        }
    }

    /// Changes fields of an object (JSON merge patch) with another field manager than [`Self::apply`].
    pub async fn patch(&self, kind: Kind, namespace: &str, name: &str, patch: Value) {
        let parameters = PatchParams { field_manager: Some("somebody".to_owned()), ..Default::default() };
        self.api(kind, namespace).patch(name, &parameters, &Patch::Merge(patch)).await.unwrap();
    }

    /// Changes the status of an object.
    pub async fn patch_status(&self, kind: Kind, namespace: &str, name: &str, patch: Value) {
        let api = self.api(kind, namespace);
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Deletes an object if it exists.
    pub async fn delete(&self, kind: Kind, namespace: &str, name: &str) {
        delete(&self.api(kind, namespace), name).await;
    }

    /// [`Self::delete`] with a propagation policy.
    pub async fn delete_with(&self, kind: Kind, namespace: &str, name: &str, propagation: PropagationPolicy) {
        let parameters = DeleteParams { propagation_policy: Some(propagation), ..DeleteParams::default() };
        self.api(kind, namespace).delete(name, &parameters).await.unwrap();
    }

    /// [`Self::delete`] of a given object.
    pub async fn delete_object(&self, object: &Value) {
        delete(&self.api_of(object), text(object, "/metadata/name")).await;
    }

    /// Deletes all objects of a kind in a namespace.
    pub async fn delete_all(&self, kind: Kind, namespace: &str) {
        let deleted = self.api(kind, namespace);
        match deleted.delete_collection(&DeleteParams::default(), &ListParams::default()).await {
            Err(kube::Error::Api(error)) if is_gone(&error) => {}
            outcome => drop(outcome.unwrap()),
        }
    }

    /// The object, if it exists.
    pub async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
        match self.api(kind, namespace).get_opt(name).await {
            Ok(object) => object.map(|object| serde_json::to_value(object).unwrap()),
            Err(error) => panic!("{} {namespace}/{name}: {error}", kind.1),
        }
    }

    /// The objects of a kind in a namespace; in all namespaces if it is empty. Empty if the kind is not
    /// served.
    pub async fn list(&self, kind: Kind, namespace: &str) -> Vec<Value> {
        match self.api(kind, namespace).list(&ListParams::default()).await {
            Ok(list) => list.items.iter().map(|object| serde_json::to_value(object).unwrap()).collect(),
            Err(kube::Error::Api(error)) if is_gone(&error) => Vec::new(),
            Err(error) => panic!("{}s of {namespace:?}: {error}", kind.1),
        }
    }

    /// Waits until an object exists.
    pub async fn appears(&self, kind: Kind, namespace: &str, name: &str) -> Value {
        eventually(&format!("the {} {namespace}/{name} exists", kind.1), async || {
            self.get(kind, namespace, name).await.ok_or_else(|| "it does not exist".to_owned())
        })
        .await
    }

    /// Waits until an object is deleted.
    pub async fn disappears(&self, kind: Kind, namespace: &str, name: &str) {
        eventually(&format!("the {} {namespace}/{name} is deleted", kind.1), async || {
            self.get(kind, namespace, name).await.map_or(Ok(()), |object| Err(object.to_string()))
        })
        .await;
    }

    /// Creates or changes CustomResourceDefinitions and waits until they are served.
    pub async fn apply_crds(&self, crds: &[Value]) {
        for crd in crds {
            self.apply(crd.clone()).await;
        }
        for crd in crds {
            let name = text(crd, "/metadata/name");
            eventually(&format!("{name} is served"), async || {
                let crd = self.get(CRD, "", name).await.unwrap_or_default();
                let conditions = crd["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let is_served =
                    |condition: &Value| condition["type"] == "Established" && condition["status"] == "True";
                if conditions.iter().any(is_served) { Ok(()) } else { Err(json!(conditions).to_string()) }
            })
            .await;
        }
    }
}

async fn delete(api: &Api<DynamicObject>, name: &str) {
    match api.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(error)) if is_gone(&error) => {}
        outcome => drop(outcome.unwrap()),
    }
}

/// Whether the object does not exist or its kind is not served.
fn is_gone(error: &Status) -> bool {
    error.code == 404
}
