//! The cached parts of the cluster's objects: only the fields that decisions depend on, so that thousands
//! of objects need little memory.

use std::fmt;

use certificate_shim::gateway::GatewayKind;
use certificate_shim::issuer_ref::{self, IssuerRef};
use certificate_shim::owner::{OWNER_NAME, OWNER_NAMESPACE, OWNER_UID};
use certificate_shim::placement::placement;
use certificate_shim::plan::{SecretName, plan};
use certificate_shim::read::Malformed;
use certificate_shim::{Gateway, annotation};
use gateway_rules::Settings;
use gateway_rules::ownership::declared_owner;
use kube::api::DynamicObject;
use serde_json::{Map, Value, json};

use crate::fields;
use crate::readiness::Readiness;
use crate::status::Condition;

/// The namespace and name of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// `namespace/name`
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The cached part of an Istio Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedGateway {
    /// Its namespace and name.
    pub key: Key,
    /// Its uid.
    pub uid: String,
    /// Its creationTimestamp, which sorts as text.
    pub created: String,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// The issuer that its annotations name; `None` if it is not annotated.
    pub issuer: Option<IssuerRef>,
    /// The Secrets that it plans Certificates for, sorted.
    pub planned: Vec<SecretName>,
    /// The reason why its plan is unknown. In this case, nothing is deleted.
    pub unreadable: Option<String>,
    /// The object as JSON without unused fields; empty if it is not annotated.
    json: Box<str>,
    /// Its generation.
    pub generation: i64,
    /// The controller's own condition in its status.
    pub condition: Option<Box<Condition>>,
}

impl ObservedGateway {
    /// Extracts the cached part of a Gateway.
    pub fn of(object: &DynamicObject, settings: &Settings) -> Self {
        let metadata = &object.metadata;
        let key = Key {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        };
        let mut observed = ObservedGateway {
            uid: metadata.uid.clone().unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0.to_string()).unwrap_or_default(),
            is_deleting: metadata.deletion_timestamp.is_some(),
            issuer: None,
            planned: Vec::new(),
            unreadable: None,
            json: Box::default(),
            key,
            generation: metadata.generation.unwrap_or_default(),
            condition: object.data.get("status").and_then(Condition::of).map(Box::new),
        };
        let has =
            |key| metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(key));
        if has(annotation::ISSUER) || has(annotation::CLUSTER_ISSUER) {
            let reduced = reduced(object, settings);
            observed.read(&reduced, settings);
            observed.json = reduced.to_string().into();
        }
        observed
    }

    fn read(&mut self, object: &Value, settings: &Settings) {
        match self.view(object).map(|gateway| planned(&gateway, settings)) {
            Err(malformed) => self.unreadable = Some(malformed.to_string()),
            Ok(None) => {}
            Ok(Some((issuer, planned))) => {
                if planned.is_none() {
                    self.unreadable = Some("the selector matches none of the known gateways".to_owned());
                }
                self.issuer = Some(issuer);
                self.planned = planned.unwrap_or_default();
            }
        }
    }

    /// Whether it has an issuer annotation.
    pub fn is_annotated(&self) -> bool {
        !self.json.is_empty()
    }

    /// Whether it plans a Certificate for that Secret.
    pub fn plans(&self, secret: &SecretName) -> bool {
        self.planned.binary_search(secret).is_ok()
    }

    /// Whether it takes precedence if two Gateways claim one Secret: the older one, then the one with
    /// the smaller uid.
    pub fn is_before(&self, other: &Self) -> bool {
        (&self.created, &self.uid) < (&other.created, &other.uid)
    }

    /// The object; null if it is not annotated.
    pub fn object(&self) -> Value {
        serde_json::from_str(&self.json).unwrap_or_default()
    }

    /// The Gateway for the rules.
    ///
    /// # Errors
    /// A field has the wrong type.
    pub fn view<'o>(&'o self, object: &'o Value) -> Result<Gateway<'o>, Malformed> {
        Gateway::read(GatewayKind::Istio, &self.key.namespace, object)
    }
}

/// The issuer that a Gateway's annotations name, and the Secrets that it plans Certificates for, which
/// are unknown if its placement is unknown.
fn planned(gateway: &Gateway<'_>, settings: &Settings) -> Option<(IssuerRef, Option<Vec<SecretName>>)> {
    let issuer = issuer_ref::resolve(gateway)?.reference;
    let placement = placement(gateway, settings.gateway_namespaces.as_deref());
    let planned = || plan(gateway, &issuer, &placement, &settings.plan).secrets();
    let planned = (!placement.is_empty()).then(planned);
    Some((issuer, planned))
}

/// The fields of a Gateway that the plan and the rules read.
fn reduced(object: &DynamicObject, settings: &Settings) -> Value {
    const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let metadata = &object.metadata;
    let annotations: Map<String, Value> = metadata
        .annotations
        .iter()
        .flatten()
        .filter(|(key, _)| *key != LAST_APPLIED || settings.plan.copy_annotations.contains(key))
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect();
    let spec = |field: &str| object.data.pointer(&format!("/spec/{field}")).cloned().unwrap_or_default();
    json!({
        "metadata": {
            "namespace": metadata.namespace,
            "name": metadata.name,
            "uid": metadata.uid,
            "labels": metadata.labels,
            "annotations": annotations,
        },
        "spec": {"selector": spec("selector"), "servers": spec("servers")},
    })
}

/// The cached part of a Certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedCertificate {
    /// Its namespace and name; the controller's Certificates have the name of their Secret.
    pub name: SecretName,
    /// `spec.secretName`.
    pub secret_name: String,
    /// Its uid.
    pub uid: String,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// The Istio Gateway that it belongs to; `None` if it belongs to something else or has no owner.
    pub owner: Option<ObservedOwner>,
    /// Whether it requests a temporary certificate.
    pub asks_for_temporary: bool,
    /// The part that the controller owns, as JSON; empty if it belongs to no Istio Gateway.
    owned: Box<str>,
    /// The fields that identify its owner, as JSON.
    identity: Box<str>,
    /// Its state; unknown if it belongs to no Istio Gateway.
    pub readiness: Readiness,
}

/// The Istio Gateway that a Certificate belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedOwner {
    /// Its namespace and name.
    pub key: Key,
    /// The apiVersion in the owner reference; `None` if annotations record the owner.
    pub api_version: Option<String>,
}

impl ObservedCertificate {
    /// Extracts the cached part of a Certificate.
    pub fn of(object: &DynamicObject) -> Self {
        let object = value_of(object);
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let owner = owner(&object);
        let temporary = object
            .pointer("/metadata/annotations")
            .and_then(|annotations| annotations.get(annotation::ISSUE_TEMPORARY_CERTIFICATE)?.as_str());
        ObservedCertificate {
            name: SecretName { namespace: text("/metadata/namespace"), name: text("/metadata/name") },
            secret_name: text("/spec/secretName"),
            uid: text("/metadata/uid"),
            is_deleting: object.pointer("/metadata/deletionTimestamp").is_some(),
            asks_for_temporary: temporary == Some("true"),
            owned: match &owner {
                Some(_) => fields::owned(&object).to_string().into(),
                None => Box::default(),
            },
            readiness: owner.as_ref().map(|_| Readiness::of(&object)).unwrap_or_default(),
            owner,
            identity: identity(&object).to_string().into(),
        }
    }

    /// Whether it belongs to that Gateway, or to an earlier one with the same namespace and name.
    pub fn belongs_to(&self, key: &Key) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.key == *key)
    }

    /// The part that the controller owns; null if it belongs to no Istio Gateway.
    pub fn owned(&self) -> Value {
        serde_json::from_str(&self.owned).unwrap_or_default()
    }

    /// The object, reduced to the fields that identify its owner.
    pub fn identity(&self) -> Value {
        serde_json::from_str(&self.identity).unwrap_or_default()
    }
}

/// The complete object as JSON.
pub fn value_of(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// The Istio Gateway that a Certificate belongs to.
pub fn owner(certificate: &Value) -> Option<ObservedOwner> {
    let declared = declared_owner(certificate)?;
    let istio = GatewayKind::Istio;
    if (declared.group, declared.kind) != (istio.group(), istio.kind()) {
        return None;
    }
    let references = certificate.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let version = references
        .into_iter()
        .flatten()
        .find(|reference| reference["controller"] == true)
        .and_then(|reference| reference["apiVersion"].as_str());
    Some(ObservedOwner {
        key: Key { namespace: declared.namespace.to_owned(), name: declared.name.to_owned() },
        api_version: if declared.is_recorded { None } else { version.map(str::to_owned) },
    })
}

fn identity(certificate: &Value) -> Value {
    let metadata = &certificate["metadata"];
    let references = metadata["ownerReferences"].as_array();
    let controllers: Vec<&Value> =
        references.into_iter().flatten().filter(|reference| reference["controller"] == true).collect();
    let mut record = Map::new();
    for key in [OWNER_NAMESPACE, OWNER_NAME, OWNER_UID] {
        if let Some(value) = metadata["annotations"].get(key) {
            record.insert(key.to_owned(), value.clone());
        }
    }
    json!({
        "kind": "Certificate",
        "metadata": {
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "ownerReferences": controllers,
            "annotations": record,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{certificate, gateway};
    use rstest::rstest;

    fn observed(object: Value, settings: Value) -> ObservedGateway {
        let object = serde_json::from_value(object).unwrap();
        ObservedGateway::of(&object, &Settings::read(&settings).unwrap())
    }

    fn planned(gateway: &ObservedGateway) -> Vec<String> {
        gateway.planned.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_plan_of_a_gateway() {
        let two = || {
            gateway("team-a", "shop").server("b-tls", &["b.example.com"]).server("a-tls", &["a.example.com"])
        };
        assert_eq!(planned(&observed(two().build(), json!({}))), ["team-a/a-tls", "team-a/b-tls"]);
        let elsewhere = json!({"gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": "istio-system"}]});
        let known_elsewhere = observed(two().build(), elsewhere);
        assert_eq!(planned(&known_elsewhere), ["istio-system/a-tls", "istio-system/b-tls"]);
        assert!(known_elsewhere.plans(&known_elsewhere.planned[0]));
        assert_eq!(known_elsewhere.unreadable, None);
        let nowhere =
            json!({"gateway_namespaces": [{"labels": {"istio": "other"}, "namespace": "istio-system"}]});
        let known_nowhere = observed(two().build(), nowhere);
        assert_eq!(planned(&known_nowhere), Vec::<String>::new());
        assert!(known_nowhere.unreadable.is_some());
    }

    #[test]
    fn without_annotation_only_the_name_is_cached() {
        let mut object = gateway("team-a", "shop").server("a-tls", &["a.example.com"]).build();
        object["metadata"]["annotations"] = json!({"a": "b"});
        let observed = observed(object, json!({}));
        assert!(!observed.is_annotated());
        assert_eq!((planned(&observed), observed.object()), (Vec::new(), Value::Null));
    }

    #[test]
    fn last_applied_is_not_cached() {
        let last = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "a"});
        let object = || gateway("team-a", "shop").annotations(last.clone()).build();
        let annotations = |settings| {
            let observed = observed(object(), settings);
            observed.object()["metadata"]["annotations"].as_object().unwrap().len()
        };
        assert_eq!(annotations(json!({})), 2);
        let copied = json!({"copy_annotations": ["kubectl.kubernetes.io/last-applied-configuration"]});
        assert_eq!(annotations(copied), 3);
    }

    #[rstest]
    #[case::older("2026-01-01T00:00:00Z", "b", true)]
    #[case::younger("2026-01-03T00:00:00Z", "a", false)]
    #[case::same_second_smaller_uid("2026-01-02T00:00:00Z", "a", true)]
    #[case::same_second_larger_uid("2026-01-02T00:00:00Z", "z", false)]
    fn precedence(#[case] created: &str, #[case] uid: &str, #[case] first: bool) {
        let of = |created: &str, uid: &str| {
            let gateway = gateway("team-a", "shop").metadata("creationTimestamp", json!(created));
            observed(gateway.metadata("uid", json!(uid)).build(), json!({}))
        };
        assert_eq!(of(created, uid).is_before(&of("2026-01-02T00:00:00Z", "m")), first);
    }

    #[rstest]
    #[case::referred(certificate("team-a", "a-tls").owned_by("networking.istio.io/v1beta1", "shop"), Some(("team-a/shop", Some("networking.istio.io/v1beta1"))))]
    #[case::recorded(certificate("istio-system", "a-tls").recorded("team-a", "shop"), Some(("team-a/shop", None)))]
    #[case::gateway_api(certificate("team-a", "a-tls").owned_by("gateway.networking.k8s.io/v1", "shop"), None)]
    #[case::no_owner(certificate("team-a", "a-tls"), None)]
    #[case::the_controller_reference_takes_precedence(certificate("team-a", "a-tls").recorded("team-b", "x").owned_by("apps/v1", "shop"), None)]
    fn owners(
        #[case] object: crate::testing::CertificateFixture,
        #[case] expected: Option<(&str, Option<&str>)>,
    ) {
        let object: DynamicObject = serde_json::from_value(object.build()).unwrap();
        let observed = ObservedCertificate::of(&object);
        let owner = observed.owner.as_ref().map(|owner| (owner.key.to_string(), owner.api_version.clone()));
        assert_eq!(owner, expected.map(|(key, version)| (key.to_owned(), version.map(str::to_owned))));
        assert_eq!(
            declared_owner(&observed.identity()).map(|owner| owner.name.to_owned()),
            declared_owner(&value_of(&object)).map(|owner| owner.name.to_owned())
        );
    }
}
