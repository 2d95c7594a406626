//! The kinds of objects that are watched, and the versions in which the API server serves them.

use gateway_rules::Settings;
use gateway_rules::lookup::resource;
use gateway_rules::settings::CERT_MANAGER_API_VERSION;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Client;
use kube::api::ApiResource;
use kube::discovery::{self, verbs};
use kube::error::DiscoveryError;

use certificate_shim::gateway::ISTIO_GROUP;
use certificate_shim::issuer_ref::{CERT_MANAGER_GROUP, CLUSTER_ISSUER_KIND, ISSUER_KIND};

/// The purpose of a watched kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Istio's Gateways.
    Gateways,
    /// cert-manager's Certificates.
    Certificates,
    /// A kind of issuer.
    Issuers,
    /// Namespaces. Their labels determine the tenants.
    Namespaces,
    /// Pods, to compare them with the settings.
    Pods,
}

/// A kind that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// The purpose.
    pub role: Role,
    /// The API group; empty for the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The version to watch; if `None`, the most stable one that is served.
    pub version: Option<String>,
}

/// The kinds that are watched with these settings.
pub fn watched(settings: &Settings, pods: bool) -> Vec<Kind> {
    let kind = |role, group: &str, kind: &str, version: Option<&str>| Kind {
        role,
        group: group.to_owned(),
        kind: kind.to_owned(),
        version: version.map(str::to_owned),
    };
    let cert_manager = CERT_MANAGER_API_VERSION.split_once('/').map(|(_, version)| version);
    let mut kinds = vec![
        kind(Role::Gateways, ISTIO_GROUP, "Gateway", None),
        kind(Role::Certificates, CERT_MANAGER_GROUP, "Certificate", cert_manager),
        kind(Role::Issuers, CERT_MANAGER_GROUP, ISSUER_KIND, cert_manager),
        kind(Role::Issuers, CERT_MANAGER_GROUP, CLUSTER_ISSUER_KIND, cert_manager),
    ];
    for external in &settings.issuer_kinds {
        let version = external.api_version.split_once('/').map(|(_, version)| version);
        kinds.push(kind(Role::Issuers, &external.group, &external.kind, version));
    }
    if settings.tenants.iter().any(|tenant| tenant.namespace_labels.is_some()) {
        kinds.push(kind(Role::Namespaces, "", "Namespace", None));
    }
    if pods {
        kinds.push(kind(Role::Pods, "", "Pod", None));
    }
    kinds
}

impl Kind {
    /// The [`resource`] of the kind.
    pub fn resource(&self) -> String {
        resource(&self.group, &self.kind)
    }
}

/// The served versions of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The version that is used: the most stable one, unless the kind has a version.
    pub resource: ApiResource,
    /// All versions in the form of `apiVersion`, the most stable one first.
    pub api_versions: Vec<String>,
}

/// Discovers the served versions of a kind; `None` if it is not served.
///
/// # Errors
/// Discovery fails.
pub async fn discover(client: &Client, kind: &Kind) -> kube::Result<Option<Served>> {
    let built_in = match kind.role {
        Role::Namespaces => Some(ApiResource::erase::<Namespace>(&())),
        Role::Pods => Some(ApiResource::erase::<Pod>(&())),
        Role::Gateways | Role::Certificates | Role::Issuers => None,
    };
    if let Some(resource) = built_in {
        let api_versions = vec![resource.api_version.clone()];
        return Ok(Some(Served { resource, api_versions }));
    }
    let group = match discovery::group(client, &kind.group).await {
        Ok(group) => group,
        Err(kube::Error::Discovery(
            DiscoveryError::MissingApiGroup(_) | DiscoveryError::EmptyApiGroup(_),
        )) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut served: Option<Served> = None;
    // The most stable version comes first.
    for version in group.versions() {
        let found = group.versioned_resources(version).into_iter().find(|(resource, capabilities)| {
            resource.kind == kind.kind && capabilities.supports_operation(verbs::WATCH)
        });
        let Some((resource, _)) = found else { continue };
        let api_version = resource.api_version.clone();
        let is_asked_for = kind.version.as_ref().is_none_or(|only| only == version);
        match &mut served {
            Some(served) => served.api_versions.push(api_version),
            None if is_asked_for => {
                served = Some(Served { resource, api_versions: vec![api_version] });
            }
            None => {}
        }
    }
    Ok(served)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    #[rstest]
    #[case::minimum(json!({}), false, &["gateways.networking.istio.io", "certificates.cert-manager.io", "issuers.cert-manager.io", "clusterissuers.cert-manager.io"])]
    #[case::maximum(
        json!({
            "issuer_kinds": [{"group": "awspca.cert-manager.io", "kind": "AWSPCAIssuer", "api_version": "v1beta1", "scope": "Namespaced"}],
            "tenants": [{"name": "a", "namespace_selector": {"match_labels": {"team": "a"}}, "issuers": [], "dns_names": []}],
        }),
        true,
        &["gateways.networking.istio.io", "certificates.cert-manager.io", "issuers.cert-manager.io", "clusterissuers.cert-manager.io", "awspcaissuers.awspca.cert-manager.io", "namespaces", "pods"]
    )]
    #[case::tenants_by_name(json!({"tenants": [{"name": "a", "namespaces": ["a"], "issuers": [], "dns_names": []}]}), false, &["gateways.networking.istio.io", "certificates.cert-manager.io", "issuers.cert-manager.io", "clusterissuers.cert-manager.io"])]
    fn watched_kinds(#[case] settings: Value, #[case] pods: bool, #[case] expected: &[&str]) {
        let settings = Settings::read(&settings).unwrap();
        let resources: Vec<_> = watched(&settings, pods).iter().map(Kind::resource).collect();
        assert_eq!(resources, expected);
    }
}
