//! The kinds that an API server serves, with plural and scope.
//!
//! The kinds of Istio, Gateway API and cert-manager, and those that policies about them use, are always
//! served. CustomResourceDefinitions and objects in the manifests add more.

use std::collections::BTreeMap;

use serde_json::Value;

/// A kind that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) namespaced: bool,
}

/// The kinds in the API server's discovery.
#[derive(Debug, Clone)]
pub(crate) struct Kinds {
    served: BTreeMap<(String, String), Kind>,
}

/// The result of discovering a kind.
pub(crate) enum Discovered<'a> {
    Served(&'a Kind),
    /// The group and version are served, but not the kind.
    KindMissing,
    GroupMissing,
}

type Row = (&'static str, &'static str, bool);

const NAMESPACED: bool = true;
const CLUSTER: bool = false;

const WELL_KNOWN: &[(&[&str], &[Row])] = &[
    (
        &["v1"],
        &[
            ("ConfigMap", "configmaps", NAMESPACED),
            ("Namespace", "namespaces", CLUSTER),
            ("Node", "nodes", CLUSTER),
            ("Pod", "pods", NAMESPACED),
            ("Secret", "secrets", NAMESPACED),
            ("Service", "services", NAMESPACED),
            ("ServiceAccount", "serviceaccounts", NAMESPACED),
        ],
    ),
    (&["apps/v1"], &[("Deployment", "deployments", NAMESPACED)]),
    (&["authorization.k8s.io/v1"], &[("SubjectAccessReview", "subjectaccessreviews", CLUSTER)]),
    (
        &["cert-manager.io/v1"],
        &[
            ("Certificate", "certificates", NAMESPACED),
            ("CertificateRequest", "certificaterequests", NAMESPACED),
            ("ClusterIssuer", "clusterissuers", CLUSTER),
            ("Issuer", "issuers", NAMESPACED),
        ],
    ),
    (
        &["gateway.networking.k8s.io/v1"],
        &[
            ("Gateway", "gateways", NAMESPACED),
            ("GatewayClass", "gatewayclasses", CLUSTER),
            ("HTTPRoute", "httproutes", NAMESPACED),
            ("ListenerSet", "listenersets", NAMESPACED),
        ],
    ),
    (
        &["gateway.networking.k8s.io/v1beta1"],
        &[
            ("Gateway", "gateways", NAMESPACED),
            ("GatewayClass", "gatewayclasses", CLUSTER),
            ("HTTPRoute", "httproutes", NAMESPACED),
            ("ReferenceGrant", "referencegrants", NAMESPACED),
        ],
    ),
    (
        &["networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"],
        &[("Gateway", "gateways", NAMESPACED), ("VirtualService", "virtualservices", NAMESPACED)],
    ),
];

impl Default for Kinds {
    fn default() -> Self {
        let mut kinds = Self { served: BTreeMap::new() };
        for (api_versions, rows) in WELL_KNOWN {
            for api_version in *api_versions {
                for (kind, plural, namespaced) in *rows {
                    kinds.serve(api_version, kind, plural, *namespaced);
                }
            }
        }
        kinds
    }
}

impl Kinds {
    pub(crate) fn discover(&self, api_version: &str, kind: &str) -> Discovered<'_> {
        match self.served.get(&(api_version.to_owned(), kind.to_owned())) {
            Some(kind) => Discovered::Served(kind),
            None if self.served.keys().any(|(served, _)| served == api_version) => Discovered::KindMissing,
            None => Discovered::GroupMissing,
        }
    }

    pub(crate) fn by_plural(&self, api_version: &str, plural: &str) -> Option<&Kind> {
        self.served.values().find(|kind| kind.api_version == api_version && kind.plural == plural)
    }

    /// Adds a CustomResourceDefinition. It replaces the known versions of its kind.
    pub(crate) fn define(&mut self, crd: &Value) {
        let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str);
        let (Some(group), Some(kind), Some(plural)) =
            (text("/spec/group"), text("/spec/names/kind"), text("/spec/names/plural"))
        else {
            return;
        };
        let namespaced = text("/spec/scope") == Some("Namespaced");
        self.served.retain(|(api_version, served), _| !(served == kind && group_of(api_version) == group));
        for version in crd.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten() {
            if version.get("served").and_then(Value::as_bool) == Some(true)
                && let Some(name) = version.get("name").and_then(Value::as_str)
            {
                self.serve(&format!("{group}/{name}"), kind, plural, namespaced);
            }
        }
    }

    /// Adds the kind of an object. A kind without a definition is namespaced if any object has a namespace.
    pub(crate) fn add_kind_of(&mut self, api_version: &str, kind: &str, in_namespace: bool) {
        let key = (api_version.to_owned(), kind.to_owned());
        match self.served.get_mut(&key) {
            Some(known) => known.namespaced |= in_namespace && !well_known(api_version, kind),
            None => self.serve(api_version, kind, &guess_plural(kind), in_namespace),
        }
    }

    fn serve(&mut self, api_version: &str, kind: &str, plural: &str, namespaced: bool) {
        let entry = Kind {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            namespaced,
        };
        self.served.insert((api_version.to_owned(), kind.to_owned()), entry);
    }
}

fn well_known(api_version: &str, kind: &str) -> bool {
    WELL_KNOWN
        .iter()
        .any(|(versions, rows)| versions.contains(&api_version) && rows.iter().any(|row| row.0 == kind))
}

/// The group of an apiVersion; empty for the core group.
pub(crate) fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

pub(crate) fn guess_plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    match lower.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if lower.ends_with(['s', 'x']) => format!("{lower}es"),
        _ => format!("{lower}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_definition_replaces_the_known_versions() {
        let mut kinds = Kinds::default();
        kinds.define(&json!({"spec": {"group": "cert-manager.io", "scope": "Namespaced",
            "names": {"kind": "Issuer", "plural": "issuers"},
            "versions": [{"name": "v1", "served": false}, {"name": "v2", "served": true}]}}));
        assert!(matches!(kinds.discover("cert-manager.io/v1", "Issuer"), Discovered::KindMissing));
        assert!(
            matches!(kinds.discover("cert-manager.io/v2", "Issuer"), Discovered::Served(kind) if kind.namespaced)
        );
        assert!(matches!(kinds.discover("cert-manager.io/v1", "ClusterIssuer"), Discovered::Served(_)));
        assert!(matches!(kinds.discover("example.com/v1", "Issuer"), Discovered::GroupMissing));
    }

    #[test]
    fn a_kind_is_namespaced_if_any_object_has_a_namespace() {
        let mut kinds = Kinds::default();
        kinds.add_kind_of("example.com/v1", "Policy", false);
        kinds.add_kind_of("example.com/v1", "Policy", true);
        kinds.add_kind_of("example.com/v1", "Policy", false);
        let Discovered::Served(kind) = kinds.discover("example.com/v1", "Policy") else {
            panic!("not served")
        };
        assert!(kind.namespaced);
        assert_eq!(kind.plural, "policies");
    }

    #[test]
    fn a_stray_namespace_does_not_change_a_known_scope() {
        let mut kinds = Kinds::default();
        kinds.add_kind_of("cert-manager.io/v1", "ClusterIssuer", true);
        assert!(
            matches!(kinds.discover("cert-manager.io/v1", "ClusterIssuer"), Discovered::Served(kind) if !kind.namespaced)
        );
    }
}
