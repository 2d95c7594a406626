//! The tenant that owns a Gateway: the first one that owns its namespace.

use certificate_shim::annotation;
use certificate_shim::gateway::{Gateway, GatewayKind, Metadata};
use serde_json::Value;

use crate::lookup::{Known, LookupError, ObjectRef};
use crate::named::names_secret;
use crate::settings::Settings;
use crate::settings::tenants::Tenant;

/// Whether a Gateway asks for anything that tenants decide about: it is annotated, or names a Secret
/// that it could serve or get a Certificate for, or has annotations that change an inherited issuer.
/// `written` is the Gateway without inherited annotations.
pub fn is_asked(written: &Gateway<'_>, gateway: &Gateway<'_>) -> bool {
    asks_for_certificates(written, gateway)
        || (written.kind != GatewayKind::Istio && inherited_keys(written).next().is_some())
}

/// Whether a Gateway asks for certificates or serves any.
pub fn asks_for_certificates(written: &Gateway<'_>, gateway: &Gateway<'_>) -> bool {
    written.is_annotated() || (written.kind != GatewayKind::GatewayApi && names_secret(gateway))
}

/// The annotations of a Gateway that change the kind or group of an inherited issuer.
pub fn inherited_keys(gateway: &Gateway<'_>) -> impl Iterator<Item = &'static str> {
    [annotation::ISSUER_KIND, annotation::ISSUER_GROUP]
        .into_iter()
        .filter(|key| gateway.annotation(key).is_some())
}

/// The tenant that owns a Gateway.
#[derive(Debug, Clone)]
pub enum Tenancy<'a> {
    /// There are no tenants, or the Gateway asks for nothing that they decide about.
    Unasked,
    /// A tenant owns it.
    Tenant(&'a Tenant),
    /// No tenant owns it.
    Other,
    /// A tenant selects namespaces by labels, and this namespace could not be looked up. The next tenant is
    /// never used instead, because it could have more rights.
    Undetermined(LookupError),
}

impl<'a> Tenancy<'a> {
    /// The tenant that owns the namespace. The Namespace is looked up if a tenant selects by labels.
    pub fn of(namespace: &str, settings: &'a Settings, known: &dyn Known) -> Self {
        if settings.tenants.is_empty() {
            return Tenancy::Unasked;
        }
        for tenant in &settings.tenants {
            if tenant.namespaces.as_ref().is_some_and(|globs| !globs.allow(namespace)) {
                continue;
            }
            let Some(labels) = &tenant.namespace_labels else { return Tenancy::Tenant(tenant) };
            // The old state of an object is in the same namespace, so it was asked for.
            let unknown = || Err(LookupError::Undetermined("not looked up".to_owned()));
            match known.get(&object(namespace)).unwrap_or_else(unknown) {
                Err(LookupError::NotFound) if known.lacks_namespaces() => {}
                Err(error) => return Tenancy::Undetermined(error),
                Ok(namespace) => match has_labels(&namespace, labels) {
                    Some(true) => return Tenancy::Tenant(tenant),
                    Some(false) => {}
                    None => {
                        let said = "its labels cannot be read".to_owned();
                        return Tenancy::Undetermined(LookupError::Undetermined(said));
                    }
                },
            }
        }
        Tenancy::Other
    }
}

/// The Namespace of that name.
pub fn object(namespace: &str) -> ObjectRef {
    ObjectRef {
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
        namespace: None,
        name: namespace.to_owned(),
    }
}

/// Whether a Namespace has all of the labels; `None` if they cannot be read.
fn has_labels(namespace: &Value, labels: &[(String, String)]) -> Option<bool> {
    let metadata = Metadata::read("", namespace).ok()?;
    Some(
        labels
            .iter()
            .all(|(key, value)| metadata.labels.get(key.as_str()).is_some_and(|label| label == value)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, namespace};
    use crate::lookup::Grant;
    use crate::lookup::Lookups;
    use rstest::rstest;
    use serde_json::json;

    fn settings(tenants: &[Value]) -> Settings {
        let full = |tenant: &Value| {
            let mut tenant = tenant.clone();
            tenant["issuers"] = json!([]);
            tenant["dns_names"] = json!([]);
            tenant
        };
        Settings::read(&json!({"tenants": tenants.iter().map(full).collect::<Vec<_>>()})).unwrap()
    }

    /// The tenant's name or another result, and the lookups.
    fn tenant_of(tenants: &[Value], cluster: &TestCluster) -> (String, usize) {
        let settings = settings(tenants);
        let tenancy = Tenancy::of("team-a", &settings, &Lookups::new(cluster, settings.lookups));
        let name = match tenancy {
            Tenancy::Tenant(tenant) => tenant.name.clone(),
            other => format!("{other:?}"),
        };
        (name, cluster.asked().len())
    }

    fn labelled() -> Value {
        json!({"match_labels": {"team": "a", "stage": "prod"}})
    }

    #[rstest]
    #[case::none(&[], "Unasked", 0)]
    #[case::by_name(&[json!({"name": "a", "namespaces": ["team-a"]})], "a", 0)]
    #[case::by_glob(&[json!({"name": "a", "namespaces": ["x", "team-*"]})], "a", 0)]
    #[case::no_tenant(&[json!({"name": "b", "namespaces": ["team-b"]})], "Other", 0)]
    #[case::the_first_counts(&[json!({"name": "1", "namespaces": ["team-*"]}), json!({"name": "2", "namespaces": ["team-a"]})], "1", 0)]
    #[case::by_labels(&[json!({"name": "l", "namespace_selector": labelled()})], "l", 1)]
    #[case::other_labels(&[json!({"name": "l", "namespace_selector": {"match_labels": {"team": "b"}}}), json!({"name": "a", "namespaces": ["*"]})], "a", 1)]
    #[case::one_label_is_missing(&[json!({"name": "l", "namespace_selector": {"match_labels": {"team": "a", "x": "y"}}})], "Other", 1)]
    #[case::both_must_match(&[json!({"name": "l", "namespaces": ["team-a"], "namespace_selector": {"match_labels": {"team": "b"}}})], "Other", 1)]
    #[case::both_match(&[json!({"name": "l", "namespaces": ["team-a"], "namespace_selector": labelled()})], "l", 1)]
    #[case::names_are_looked_at_first(&[json!({"name": "l", "namespaces": ["x"], "namespace_selector": labelled()})], "Other", 0)]
    #[case::no_lookup_behind_a_match(&[json!({"name": "a", "namespaces": ["team-a"]}), json!({"name": "l", "namespace_selector": labelled()})], "a", 0)]
    #[case::one_lookup_for_all(&[json!({"name": "1", "namespace_selector": {"match_labels": {"team": "b"}}}), json!({"name": "2", "namespace_selector": labelled()})], "2", 1)]
    fn whose(#[case] tenants: &[Value], #[case] expected: &str, #[case] lookups: usize) {
        let labels = json!({"team": "a", "stage": "prod", "kubernetes.io/metadata.name": "team-a"});
        let cluster = TestCluster::default().object(namespace("team-a", labels));
        assert_eq!(tenant_of(tenants, &cluster), (expected.to_owned(), lookups));
    }

    #[rstest]
    #[case::absent(Err(LookupError::NotFound))]
    #[case::forbidden(Err(LookupError::Forbidden))]
    #[case::labels_that_are_none(Ok(json!({"kind": "Namespace", "metadata": {"name": "team-a", "labels": {"team": 1}}})))]
    fn never_the_next_tenant(#[case] answer: Result<Value, LookupError>) {
        let cluster = TestCluster::default().answer(&object("team-a"), answer);
        let tenants = [
            json!({"name": "l", "namespace_selector": labelled()}),
            json!({"name": "all", "namespaces": ["*"]}),
        ];
        assert!(tenant_of(&tenants, &cluster).0.starts_with("Undetermined("));
    }

    /// A Namespace that is not in the manifests can exist in the cluster.
    #[test]
    fn tenants_by_label_are_left_out_where_namespaces_can_be_missing() {
        struct Files;
        impl crate::lookup::Cluster for Files {
            fn get(&self, _: &ObjectRef, _: &[&str], _: bool) -> Result<Value, LookupError> {
                Err(LookupError::NotFound)
            }

            fn lacks_namespaces(&self) -> bool {
                true
            }
        }
        let tenants = [
            json!({"name": "l", "namespace_selector": labelled()}),
            json!({"name": "all", "namespaces": ["*"]}),
        ];
        let settings = settings(&tenants);
        let tenancy = Tenancy::of("team-a", &settings, &Lookups::new(&Files, settings.lookups));
        assert!(matches!(tenancy, Tenancy::Tenant(tenant) if tenant.name == "all"));
    }

    fn by_labels(gateway: GatewayFixture) -> GatewayFixture {
        gateway.tenant(json!({"namespaces": null, "namespace_selector": {"match_labels": {"team": "a"}}}))
    }

    #[rstest]
    #[case::absent(LookupError::NotFound)]
    #[case::forbidden(LookupError::Forbidden)]
    #[case::not_granted(LookupError::NotGranted(Grant::Resource))]
    fn undetermined_is_rejected(#[case] error: LookupError) {
        let cluster = TestCluster::default().answer(&object("team-a"), Err(error));
        let old = by_labels(istio("shop"));
        for answer in [old.create(&cluster), old.clone().annotation("a", "b").update_from(&old, &cluster)] {
            assert_eq!(answer.code, Some(500));
            assert!(answer.message.unwrap().starts_with("lookup-failed: metadata.namespace: "));
        }
    }

    #[test]
    fn what_tenants_do_not_decide_about_needs_no_namespace() {
        let cluster = TestCluster::default();
        let speaks_of_cert_manager = gateway_api("web").cert_manager("alt-names", "x.org");
        let names_nothing = istio("web").with("/spec/servers/0/tls", json!({"mode": "PASSTHROUGH"}));
        for gateway in [speaks_of_cert_manager, names_nothing] {
            assert!(by_labels(gateway).create(&cluster).accepted);
        }
        assert_eq!(cluster.asked(), Vec::<String>::new());
    }

    /// The labels can have been added just now.
    #[test]
    fn a_rejection_looks_the_namespace_up_again() {
        let cluster = TestCluster::default()
            .object(cluster_issuer("le").ready())
            .object(namespace("team-a", json!({})))
            .fresh_answer(&object("team-a"), Ok(namespace("team-a", json!({"team": "a"}))));
        assert!(by_labels(istio("shop")).create(&cluster).accepted);
        assert_eq!(cluster.asked(), ["Namespace team-a", "Namespace team-a fresh"]);
    }
}
