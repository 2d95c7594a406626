//! The cached parts of the cluster's objects: only the fields that decisions depend on, so that thousands
//! of objects need little memory.

use std::fmt;

use certificate_shim::gateway::GatewayKind;
use certificate_shim::issuer_ref::{self, IssuerRef};
use certificate_shim::owner::{ADOPTED, OWNER_NAME, OWNER_NAMESPACE, OWNER_UID, PAUSED};
use certificate_shim::placement::placement;
use certificate_shim::plan::{SecretName, plan, secrets_named};
use certificate_shim::read::Malformed;
use certificate_shim::value::usage;
use certificate_shim::{Gateway, annotation};
use gateway_rules::Settings;
use gateway_rules::ownership::{DeclaredOwner, declared_owner};
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
    /// The names of all Secrets that its servers name, for any purpose, sorted.
    named: Box<[Box<str>]>,
    /// Whether its annotation `gateway-certificates.io/paused` is `true`.
    pub is_paused: bool,
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
            named: Box::default(),
            is_paused: false,
            unreadable: None,
            json: Box::default(),
            key,
            generation: metadata.generation.unwrap_or_default(),
            condition: object.data.get("status").and_then(Condition::of).map(Box::new),
        };
        let annotation = |key| {
            metadata.annotations.as_ref().and_then(|annotations| annotations.get(key)).map(String::as_str)
        };
        observed.is_paused = annotation(PAUSED) == Some("true");
        let reduced = reduced(object, settings);
        observed.read(&reduced, settings);
        if [annotation::ISSUER, annotation::CLUSTER_ISSUER].into_iter().any(|key| annotation(key).is_some()) {
            observed.json = reduced.to_string().into();
        }
        observed
    }

    fn read(&mut self, object: &Value, settings: &Settings) {
        let gateway = match self.view(object) {
            Ok(gateway) => gateway,
            Err(malformed) => {
                self.unreadable = Some(malformed.to_string());
                return;
            }
        };
        // The namespaces do not matter here.
        let mut named: Vec<Box<str>> =
            secrets_named(&gateway, &[""]).into_iter().map(|secret| secret.name.into()).collect();
        named.sort_unstable();
        named.dedup();
        let planned = planned(&gateway, settings);
        self.named = named.into();
        if let Some((issuer, planned)) = planned {
            if planned.is_none() {
                self.unreadable = Some("the selector matches none of the known gateways".to_owned());
            }
            self.issuer = Some(issuer);
            self.planned = planned.unwrap_or_default();
        }
    }

    /// Whether that Certificate may be deleted as soon as the Gateway does not need it: it is the controller's,
    /// and the Gateway can be read and is neither paused nor being deleted.
    pub fn gives_up(&self, certificate: &ObservedCertificate) -> bool {
        let is_settled = self.unreadable.is_none() && !self.is_paused && !self.is_deleting;
        is_settled && certificate.is_ours() && !certificate.is_deleting
    }

    /// Whether one of its servers names a Secret of that name, in any namespace.
    pub fn names(&self, secret: &str) -> bool {
        self.named.binary_search_by(|name| (**name).cmp(secret)).is_ok()
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
    /// Its namespace and name. A Certificate that the controller created has the name of its Secret.
    pub name: SecretName,
    /// `spec.secretName`.
    pub secret_name: String,
    /// Its uid.
    pub uid: String,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// The Istio Gateway that it belongs to; `None` if the controller does not touch it.
    pub owner: Option<ObservedOwner>,
    /// Whether it has an owner record that does not count, because of its namespace.
    pub is_misplaced: bool,
    /// Whether the controller took it over instead of creating it.
    pub is_adopted: bool,
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
    /// Whether the Certificate is the controller's: its field manager wrote the reference or the record.
    /// Otherwise the record is a claim: the Certificate is taken over if the Gateway plans its Secret.
    pub is_ours: bool,
    /// The apiVersion in the owner reference; `None` if only the record names the owner.
    pub api_version: Option<String>,
}

impl ObservedCertificate {
    /// Extracts the cached part of a Certificate.
    pub fn of(object: &DynamicObject, settings: &Settings) -> Self {
        let object = value_of(object);
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let declared = declared(&object);
        let owner = declared.clone().filter(|owner| may_hold(settings, owner, &text("/metadata/namespace")));
        let annotation = |key: &str| object["metadata"]["annotations"][key].as_str();
        ObservedCertificate {
            name: SecretName { namespace: text("/metadata/namespace"), name: text("/metadata/name") },
            secret_name: text("/spec/secretName"),
            uid: text("/metadata/uid"),
            is_deleting: object.pointer("/metadata/deletionTimestamp").is_some(),
            is_misplaced: declared.is_some() && owner.is_none(),
            is_adopted: owner.as_ref().is_some_and(|owner| is_adopted(&object, owner)),
            asks_for_temporary: annotation(annotation::ISSUE_TEMPORARY_CERTIFICATE) == Some("true"),
            owned: match &owner {
                Some(_) => fields::owned(&object).to_string().into(),
                None => Box::default(),
            },
            readiness: owner.as_ref().map(|_| Readiness::of(&object)).unwrap_or_default(),
            owner,
            identity: identity(&object).to_string().into(),
        }
    }

    /// Whether it is the controller's, or claimed, for that Gateway or an earlier one with the same
    /// namespace and name.
    pub fn belongs_to(&self, key: &Key) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.key == *key)
    }

    /// Whether it is the controller's own.
    pub fn is_ours(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.is_ours)
    }

    /// Whether Kubernetes deletes it with its Gateway.
    pub fn is_garbage_collected(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.api_version.is_some())
    }

    /// The Secret that it writes.
    pub fn secret(&self) -> SecretName {
        SecretName { namespace: self.name.namespace.clone(), name: self.secret_name.clone() }
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

/// The Istio Gateway that a Certificate belongs to; `None` if the controller does not touch it.
pub fn owner(certificate: &Value, settings: &Settings) -> Option<ObservedOwner> {
    let namespace = certificate["metadata"]["namespace"].as_str().unwrap_or_default();
    declared(certificate).filter(|owner| may_hold(settings, owner, namespace))
}

/// The Istio Gateway of which a Certificate is the controller's, or claimed, in any namespace.
///
/// A record that somebody else wrote is a claim, also beside a controller reference to the same Gateway. A
/// reference that somebody else wrote is none: that Certificate has another controller.
fn declared(certificate: &Value) -> Option<ObservedOwner> {
    let declared = declared_owner(certificate).filter(DeclaredOwner::is_istio_gateway)?;
    let is_ours = declared.is_ours == Some(true);
    if !is_ours && !declared.is_recorded {
        return None;
    }
    let references = certificate.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let controller = references.into_iter().flatten().find(|reference| reference["controller"] == true);
    let version = controller.and_then(|reference| reference["apiVersion"].as_str());
    Some(ObservedOwner {
        key: Key { namespace: declared.namespace.to_owned(), name: declared.name.to_owned() },
        is_ours,
        api_version: version.map(str::to_owned),
    })
}

/// Whether the Certificates of a Gateway can be in that namespace: in its own, or in one that the settings
/// list. In any other namespace, somebody who can write Certificates there could name any Gateway.
fn may_hold(settings: &Settings, owner: &ObservedOwner, namespace: &str) -> bool {
    owner.key.namespace == namespace
        || settings.gateway_namespaces.iter().flatten().any(|entry| entry.namespace == namespace)
        || settings.former_gateway_namespaces.iter().any(|former| former == namespace)
}

/// Whether a Certificate was taken over. A claimed one with the default usages could be the controller's own,
/// restored from a backup: it makes no difference there.
fn is_adopted(certificate: &Value, owner: &ObservedOwner) -> bool {
    let has_other_usages = || certificate["spec"]["usages"] != json!(usage::DEFAULT);
    certificate["metadata"]["annotations"][ADOPTED] == "true" || (!owner.is_ours && has_other_usages())
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
    let declared = declared_owner(certificate).filter(DeclaredOwner::is_istio_gateway);
    let managed = match declared.and_then(|declared| declared.is_ours) {
        Some(true) => fields::owner_entries(certificate),
        Some(false) => json!([{}]),
        None => Value::Null,
    };
    json!({
        "kind": "Certificate",
        "metadata": {
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "ownerReferences": controllers,
            "annotations": record,
            "managedFields": managed,
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
    #[case::our_reference(certificate("team-a", "a-tls").owned_by("networking.istio.io/v1beta1", "shop").managed_by(fields::MANAGER), Some(("team-a/shop", true, Some("networking.istio.io/v1beta1"))))]
    #[case::our_record(certificate("istio-system", "a-tls").recorded("team-a", "shop").managed_by(fields::MANAGER), Some(("team-a/shop", true, None)))]
    #[case::our_record_in_a_former_namespace(certificate("former", "a-tls").recorded("team-a", "shop").managed_by(fields::MANAGER), Some(("team-a/shop", true, None)))]
    #[case::our_record_elsewhere(certificate("team-b", "a-tls").recorded("team-a", "shop").managed_by(fields::MANAGER), None)]
    #[case::a_claim(certificate("istio-system", "a-tls").recorded("team-a", "shop").managed_by("kubectl"), Some(("team-a/shop", false, None)))]
    #[case::a_claim_beside_a_reference(certificate("team-a", "a-tls").recorded("team-a", "shop").owned_by("networking.istio.io/v1", "shop").managed_by("kubectl"), Some(("team-a/shop", false, Some("networking.istio.io/v1"))))]
    #[case::anothers_reference(certificate("team-a", "a-tls").owned_by("networking.istio.io/v1", "shop").managed_by("kubectl"), None)]
    #[case::anothers_reference_with_another_record(certificate("team-a", "a-tls").recorded("team-a", "x").owned_by("networking.istio.io/v1", "shop").managed_by("kubectl"), None)]
    #[case::gateway_api(certificate("team-a", "a-tls").owned_by("gateway.networking.k8s.io/v1", "shop").managed_by(fields::MANAGER), None)]
    #[case::no_owner(certificate("team-a", "a-tls"), None)]
    #[case::the_controller_reference_takes_precedence(certificate("team-a", "a-tls").recorded("team-a", "x").owned_by("apps/v1", "shop"), None)]
    fn owners(
        #[case] object: crate::testing::CertificateFixture,
        #[case] expected: Option<(&str, bool, Option<&str>)>,
    ) {
        let settings = Settings::read(&json!({
            "gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": "istio-system"}],
            "former_gateway_namespaces": ["former"],
        }))
        .unwrap();
        let object: DynamicObject = serde_json::from_value(object.build()).unwrap();
        let observed = ObservedCertificate::of(&object, &settings);
        let expected =
            expected.map(|(key, is_ours, version)| (key.to_owned(), is_ours, version.map(str::to_owned)));
        let owner = observed.owner.as_ref();
        let owner = owner.map(|owner| (owner.key.to_string(), owner.is_ours, owner.api_version.clone()));
        assert_eq!(owner, expected);
        // What the rules read is enough to come to the same result.
        let declares = |object: &Value| {
            declared_owner(object)
                .filter(DeclaredOwner::is_istio_gateway)
                .map(|owner| (owner.name.to_owned(), owner.is_recorded, owner.is_ours == Some(true)))
        };
        assert_eq!(declares(&observed.identity()), declares(&value_of(&object)));
    }

    #[test]
    fn records_that_do_not_count_are_noticed() {
        let is_misplaced = |namespace: &str| {
            let object = certificate(namespace, "a-tls").recorded("team-a", "shop").build();
            ObservedCertificate::of(&serde_json::from_value(object).unwrap(), &Settings::default())
                .is_misplaced
        };
        assert!(is_misplaced("team-b") && !is_misplaced("team-a"));
    }
}
