//! Reads the objects of a cluster, and writes the changes.

use std::path::PathBuf;
use std::time::Duration;

use gateway_rules::Settings;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use manifests::Document;

use super::change::Change;
use super::{Adoption, Effect, Outcome};
use crate::kinds::{Role, discover, watched};
use crate::message::message;

/// The field manager of the changes. The controller's own would make a Certificate look like one of its own.
pub const MANAGER: &str = "gateway-certificates-adopt";
/// The timeout for one request.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The number of objects in one response.
const PAGE: u32 = 500;

/// The reason why a cluster cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no usable configuration.
    #[error("no cluster: {0}")]
    Config(String),
    /// The versions of a kind cannot be discovered.
    #[error("the versions of {kind} cannot be discovered: {reason}")]
    Discovery {
        /// The resource.
        kind: String,
        /// The reason.
        reason: String,
    },
    /// A kind is not served.
    #[error("the cluster does not serve {0}: install its CustomResourceDefinition")]
    NotServed(String),
    /// The objects of a kind cannot be listed.
    #[error("{kind} cannot be listed: {reason}")]
    List {
        /// The resource.
        kind: String,
        /// The reason.
        reason: String,
    },
}

/// Connects to a cluster: that of a kubeconfig file, of KUBECONFIG or `~/.kube/config`, or the one that this
/// process runs in.
///
/// # Errors
/// [`Error::Config`].
pub async fn connect(kubeconfig: Option<&PathBuf>, context: Option<&str>) -> Result<Client, Error> {
    let fail = |error: &(dyn std::error::Error + 'static)| Error::Config(message(error));
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let mut config = match (kubeconfig, context) {
        (Some(path), _) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| fail(&error))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| fail(&error))?
        }
        (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(|error| fail(&error))?,
        (None, None) => Config::infer().await.map_err(|error| fail(&error))?,
    };
    config.connect_timeout = Some(TIMEOUT);
    config.read_timeout = Some(TIMEOUT);
    Client::try_from(config).map_err(|error| fail(&error))
}

/// The objects that adoption and the rules read. Objects of one kind are sorted by namespace and name.
///
/// # Errors
/// A kind cannot be read. A kind of issuers that is not served has no objects.
pub async fn read(client: &Client, settings: &Settings) -> Result<Vec<Document>, Error> {
    let mut documents = Vec::new();
    for kind in watched(settings, false) {
        let resource = kind.resource();
        let discovered = discover(client, &kind)
            .await
            .map_err(|error| Error::Discovery { kind: resource.clone(), reason: message(&error) })?;
        let Some(served) = discovered else {
            if matches!(kind.role, Role::Gateways | Role::Certificates) {
                return Err(Error::NotServed(resource));
            }
            continue;
        };
        let objects = list(client, &served.resource)
            .await
            .map_err(|error| Error::List { kind: resource, reason: message(&error) })?;
        documents.extend(objects);
    }
    Ok(documents)
}

async fn list(client: &Client, resource: &ApiResource) -> kube::Result<Vec<Document>> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    let mut documents = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let found = api.list(&page).await?;
        for mut object in found.items {
            // The items of a list have no types.
            object.types = Some(kube::core::TypeMeta {
                api_version: resource.api_version.clone(),
                kind: resource.kind.clone(),
            });
            let object = serde_json::to_value(object).map_err(kube::Error::SerdeError)?;
            documents.push(Document { path: PathBuf::new(), number: 0, item: None, object });
        }
        match found.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = ListParams::default().limit(PAGE).continue_token(&token),
            None => break,
        }
    }
    let name = |document: &Document| {
        let text =
            |pointer| document.object.pointer(pointer).and_then(serde_json::Value::as_str).map(str::to_owned);
        (text("/metadata/namespace"), text("/metadata/name"))
    };
    documents.sort_by_cached_key(name);
    Ok(documents)
}

/// What was written for one Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// What was done with each change, one line each.
    pub lines: Vec<String>,
    /// Whether all changes were written.
    pub is_complete: bool,
    /// The error that ended it.
    pub error: Option<String>,
}

/// Writes the changes of a Gateway: first those of its Certificates, then its own, so that the controller
/// finds every Certificate marked once the Gateway is annotated. After an error, or if a Certificate has to
/// be changed elsewhere, the Gateway is not written. Running the command again continues.
pub async fn write(client: &Client, adoption: &Adoption, allowed: &[Effect]) -> Written {
    let mut written = Written::default();
    let Outcome::Adoptable(effects) = &adoption.outcome else {
        written.is_complete = !matches!(adoption.outcome, Outcome::LeftAlone(_));
        return written;
    };
    if !effects.iter().all(|effect| allowed.contains(effect)) {
        written.lines.push("not written: allow its effects first".to_owned());
        return written;
    }
    written.is_complete = true;
    for change in &adoption.changes {
        let object = format!("{} {}", change.kind, change.name);
        if let Some(tool) = change.deployer {
            written
                .lines
                .push(format!("{object} not written: {tool} deploys it, so change its source as above"));
            written.is_complete = false;
        } else if change.kind == "Gateway" && !written.is_complete {
            written.lines.push(format!(
                "{object} not written: its Certificates come first. Change their source, then run this again."
            ));
        } else if let Err(error) = patch(client, change).await {
            written.is_complete = false;
            written.error = Some(format!("{object}: {error}"));
            return written;
        } else {
            written.lines.push(format!("{object} written"));
        }
    }
    written
}

async fn patch(client: &Client, change: &Change) -> Result<(), String> {
    let (group, version) = change.api_version.split_once('/').unwrap_or(("", &change.api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, change.kind));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &change.name.namespace, &resource);
    let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch_metadata(&change.name.name, &parameters, &Patch::Merge(change.patch())).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            Err("it was changed after it was read. Run this again.".to_owned())
        }
        Err(error) => Err(message(&error)),
    }
}
