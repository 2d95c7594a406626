//! Existing Certificates and Gateways: their owners, and the tools that deploy them.

use std::fmt;

use certificate_shim::Gateway;
use certificate_shim::plan::SecretName;
use gateway_rules::ownership::{Owner, declared_owner, owner};
use manifests::Document;
use serde_json::Value;

/// The owner that a Certificate has today, as seen from a Gateway that names its Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It has no owner: someone created it by hand, or a chart or pipeline did.
    HandMade,
    /// kanopy's gateway-certificate-controller made it for this Gateway.
    Kanopy,
    /// It has a controller reference to this Gateway that our controller did not write.
    Referenced,
    /// It has a record of this Gateway that our controller did not write.
    Recorded,
    /// Our controller maintains it for this Gateway.
    Ours,
    /// It belongs to another object, as described in messages.
    Other(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::HandMade => "without owner",
            Origin::Kanopy => "of kanopy's gateway-certificate-controller",
            Origin::Referenced => "with an owner reference to this Gateway",
            Origin::Recorded => "marked for this Gateway",
            Origin::Ours => "of this controller",
            Origin::Other(owner) => return write!(f, "of {owner}"),
        })
    }
}

/// The label of kanopy's Certificates, without the version in its domain. Its value is the Gateway, as
/// `name.namespace`.
const KANOPY_LABEL: &str = ".kanopy-platform.github.io/istio-cert-controller-managed";

/// The owner of a Certificate.
pub fn origin(certificate: &Value, gateway: &Gateway<'_>) -> Origin {
    let own = &gateway.metadata;
    let declared = declared_owner(certificate).filter(|declared| {
        declared.is_istio_gateway() && (declared.namespace, declared.name) == (own.namespace, own.name)
    });
    if let Some(declared) = declared {
        return match declared.is_ours {
            Some(true) => Origin::Ours,
            _ if declared.is_recorded => Origin::Recorded,
            _ => Origin::Referenced,
        };
    }
    match owner(certificate, gateway) {
        Owner::Other(other) => Origin::Other(other),
        // It is declared, so this does not happen.
        Owner::ThisGateway => Origin::Ours,
        Owner::None => match kanopy_owner(certificate) {
            None => Origin::HandMade,
            Some(name) if name == format!("{}.{}", gateway.metadata.name, gateway.metadata.namespace) => {
                Origin::Kanopy
            }
            Some(name) => {
                Origin::Other(format!("kanopy's gateway-certificate-controller for the Gateway {name:?}"))
            }
        },
    }
}

fn kanopy_owner(certificate: &Value) -> Option<&str> {
    let labels = certificate.pointer("/metadata/labels")?.as_object()?;
    labels.iter().find(|(key, _)| key.ends_with(KANOPY_LABEL)).and_then(|(_, value)| value.as_str())
}

/// A tool that deploys objects from a source of its own, and would revert or fight changes in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deployer {
    /// Argo CD.
    ArgoCd,
    /// Flux: a Kustomization or a HelmRelease.
    Flux,
    /// Helm.
    Helm,
}

impl fmt::Display for Deployer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deployer::ArgoCd => "Argo CD",
            Deployer::Flux => "Flux",
            Deployer::Helm => "Helm",
        })
    }
}

/// The tool that deploys an object; `None` if it has none of their labels, annotations and field managers.
pub fn deployer(object: &Value) -> Option<Deployer> {
    let has_label = |key: &str| label(object, key).is_some();
    let manages = |name: &str| managers(object).any(|manager| manager == name);
    let argo_manages = || managers(object).any(|manager| manager.starts_with("argocd"));
    let is_flux = |key: &str| {
        key.starts_with("kustomize.toolkit.fluxcd.io/") || key.starts_with("helm.toolkit.fluxcd.io/")
    };
    if annotation(object, "argocd.argoproj.io/tracking-id").is_some()
        || has_label("argocd.argoproj.io/instance")
        || (has_label("app.kubernetes.io/instance") && argo_manages())
    {
        return Some(Deployer::ArgoCd);
    }
    if keys(object, "labels").any(is_flux) || manages("kustomize-controller") || manages("helm-controller") {
        return Some(Deployer::Flux);
    }
    // The label alone is also in the output of `helm template`, which Helm does not manage.
    let is_helm = label(object, "app.kubernetes.io/managed-by") == Some("Helm")
        && annotation(object, "meta.helm.sh/release-name").is_some();
    is_helm.then_some(Deployer::Helm)
}

/// The names of the field managers.
pub fn managers(object: &Value) -> impl Iterator<Item = &str> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(|entry| entry.get("manager")?.as_str())
}

fn keys<'o>(object: &'o Value, field: &str) -> impl Iterator<Item = &'o str> + use<'o> {
    let map = object.pointer(&format!("/metadata/{field}")).and_then(Value::as_object);
    map.into_iter().flat_map(|map| map.keys()).map(String::as_str)
}

/// The value of a label.
pub fn label<'o>(object: &'o Value, key: &str) -> Option<&'o str> {
    object.pointer("/metadata/labels")?.get(key)?.as_str()
}

/// The value of an annotation.
pub fn annotation<'o>(object: &'o Value, key: &str) -> Option<&'o str> {
    object.pointer("/metadata/annotations")?.get(key)?.as_str()
}

/// A text field, by its JSON pointer; empty if it is absent.
pub fn text<'o>(object: &'o Value, pointer: &str) -> &'o str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The namespace and name of an object.
pub fn name_of(object: &Value) -> SecretName {
    SecretName {
        namespace: text(object, "/metadata/namespace").to_owned(),
        name: text(object, "/metadata/name").to_owned(),
    }
}

/// Where an object is defined; empty for one of a cluster.
pub fn place(document: &Document) -> String {
    if document.path.as_os_str().is_empty() { String::new() } else { document.place() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use certificate_shim::gateway::GatewayKind;
    use rstest::rstest;
    use serde_json::json;

    fn origin_of(metadata: Value) -> Origin {
        let object = json!({"metadata": {"namespace": "team-a", "name": "shop"}});
        let gateway = Gateway::read(GatewayKind::Istio, "team-a", &object).unwrap();
        let mut certificate = json!({"metadata": metadata});
        certificate["metadata"]["namespace"] = json!("team-a");
        origin(&certificate, &gateway)
    }

    fn reference(api_version: &str, kind: &str, name: &str) -> Value {
        json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": "1", "controller": true}])
    }

    const ISTIO: &str = "networking.istio.io/v1";

    #[rstest]
    #[case::nothing(json!({}), Origin::HandMade)]
    #[case::an_owner_that_is_no_controller(
        json!({"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1"}]}), Origin::HandMade
    )]
    #[case::kanopy(
        json!({"labels": {"v1beta1.kanopy-platform.github.io/istio-cert-controller-managed": "shop.team-a"}}), Origin::Kanopy
    )]
    #[case::kanopy_of_a_later_version(
        json!({"labels": {"v1.kanopy-platform.github.io/istio-cert-controller-managed": "shop.team-a"}}), Origin::Kanopy
    )]
    #[case::webhook(json!({"ownerReferences": reference(ISTIO, "Gateway", "shop")}), Origin::Referenced)]
    #[case::marked(
        json!({"annotations": {"gateway-certificates.io/owner-namespace": "team-a", "gateway-certificates.io/owner-name": "shop"}}),
        Origin::Recorded
    )]
    #[case::webhook_and_marked(
        json!({"ownerReferences": reference(ISTIO, "Gateway", "shop"),
            "annotations": {"gateway-certificates.io/owner-namespace": "team-a", "gateway-certificates.io/owner-name": "shop"}}),
        Origin::Recorded
    )]
    #[case::ours(
        json!({"ownerReferences": reference(ISTIO, "Gateway", "shop"), "managedFields": [
            {"manager": "gateway-certificates", "fieldsV1": {"f:metadata": {"f:ownerReferences": {"k:{\"uid\":\"1\"}": {}}}}},
        ]}),
        Origin::Ours
    )]
    fn origins(#[case] metadata: Value, #[case] expected: Origin) {
        assert_eq!(origin_of(metadata), expected);
    }

    #[rstest]
    #[case::ingress(json!({"ownerReferences": reference("networking.k8s.io/v1", "Ingress", "shop")}), "Ingress")]
    #[case::gateway_api(
        json!({"ownerReferences": reference("gateway.networking.k8s.io/v1", "Gateway", "shop")}), "Gateway.gateway.networking.k8s.io"
    )]
    #[case::another_gateway(json!({"ownerReferences": reference(ISTIO, "Gateway", "web")}), "\"web\"")]
    #[case::recorded_for_another(
        json!({"annotations": {"gateway-certificates.io/owner-namespace": "team-b", "gateway-certificates.io/owner-name": "shop"}}),
        "in namespace \"team-b\""
    )]
    #[case::the_controller_reference_counts(
        json!({"ownerReferences": reference("networking.k8s.io/v1", "Ingress", "shop"),
            "annotations": {"gateway-certificates.io/owner-namespace": "team-a", "gateway-certificates.io/owner-name": "shop"}}),
        "Ingress"
    )]
    #[case::kanopy(
        json!({"labels": {"v1beta1.kanopy-platform.github.io/istio-cert-controller-managed": "web.team-a"}}), "\"web.team-a\""
    )]
    fn others(#[case] metadata: Value, #[case] expected: &str) {
        match origin_of(metadata) {
            Origin::Other(other) => assert!(other.contains(expected), "{other}"),
            origin => panic!("{origin:?}"),
        }
    }

    #[rstest]
    #[case::nobody(json!({"labels": {"app.kubernetes.io/instance": "x"}, "managedFields": [{"manager": "kubectl-client-side-apply"}]}), None)]
    #[case::argo_by_annotation(json!({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}), Some(Deployer::ArgoCd))]
    #[case::argo_by_its_label(json!({"labels": {"argocd.argoproj.io/instance": "x"}}), Some(Deployer::ArgoCd))]
    #[case::argo_by_label_and_manager(
        json!({"labels": {"app.kubernetes.io/instance": "x"}, "managedFields": [{"manager": "argocd-controller"}]}), Some(Deployer::ArgoCd)
    )]
    #[case::flux_kustomization(json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}}), Some(Deployer::Flux))]
    #[case::flux_helm_release(
        json!({"labels": {"helm.toolkit.fluxcd.io/name": "x", "app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "x"}}),
        Some(Deployer::Flux)
    )]
    #[case::flux_by_manager(json!({"managedFields": [{"manager": "kustomize-controller"}]}), Some(Deployer::Flux))]
    #[case::helm(
        json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "x"}}), Some(Deployer::Helm)
    )]
    #[case::helm_template(json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}), None)]
    fn deployers(#[case] metadata: Value, #[case] expected: Option<Deployer>) {
        assert_eq!(deployer(&json!({"metadata": metadata})), expected);
    }
}
