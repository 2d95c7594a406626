//! What every rule sees: the Gateway, its placement, its issuer and its plan.

use std::cell::OnceCell;

use certificate_shim::annotation;
use certificate_shim::gateway::Gateway;
use certificate_shim::issuer_ref::{self, CERT_MANAGER_GROUP, IssuerRef, Resolution};
use certificate_shim::placement::placement;
use certificate_shim::plan::{Plan, SecretName, plan};
use certificate_shim::template::Template;
use serde_json::Value;

use crate::issuer;
use crate::lookup::{LookupError, Lookups, METADATA, ObjectRef, Outcome, User};
use crate::named;
use crate::parent::Parent;
use crate::settings::tenants::Tenant;
use crate::settings::{CERT_MANAGER_API_VERSION, Scope, Settings};
use crate::tenancy::Tenancy;

/// What every rule sees of one Gateway.
pub struct Context<'a> {
    /// The Gateway; a ListenerSet with what it takes over from its parent.
    pub gateway: &'a Gateway<'a>,
    /// The Gateway as it is written.
    pub written: &'a Gateway<'a>,
    /// The parent of a ListenerSet.
    pub parent: Option<&'a Parent>,
    /// The settings.
    pub settings: &'a Settings,
    /// The namespaces of its Secrets; empty where the settings know none.
    pub placement: Vec<&'a str>,
    /// What its issuer annotations say; none where it is not annotated.
    pub issuer: Option<Resolution>,
    /// The Certificates that it asks for; empty where it is not annotated.
    pub plan: Plan,
    lookups: &'a Lookups<'a>,
    /// This is an object's earlier state: nothing is looked up, and only what the lookups for its
    /// present state have brought is known.
    pub(crate) from_memory: bool,
    issuers: OnceCell<Vec<FoundIssuer>>,
    tenancy: OnceCell<Tenancy<'a>>,
    certificates: OnceCell<Vec<FoundCertificate>>,
}

/// The issuer as one namespace of the placement sees it.
pub struct FoundIssuer {
    /// What was looked up.
    pub object: ObjectRef,
    /// What came of it.
    pub outcome: Outcome,
}

impl FoundIssuer {
    /// The issuer, where it was found and is one of cert-manager's own kinds.
    pub fn own(&self) -> Option<&Value> {
        self.outcome.as_deref().ok().filter(|_| self.object.group() == CERT_MANAGER_GROUP)
    }
}

/// The Certificate of a planned Secret that is there already, or is not.
pub struct FoundCertificate {
    /// The Secret.
    pub secret: SecretName,
    /// Where the Gateway names it first.
    pub path: String,
    /// What was looked up.
    pub object: ObjectRef,
    /// What came of it.
    pub outcome: Outcome,
}

impl<'a> Context<'a> {
    /// The context of a Gateway that is being judged, as it is written and with what it inherits.
    pub fn new(
        written: &'a Gateway<'a>,
        gateway: &'a Gateway<'a>,
        settings: &'a Settings,
        lookups: &'a Lookups<'a>,
    ) -> Self {
        let placement = placement(gateway, settings.gateway_namespaces.as_deref());
        let issuer = issuer_ref::resolve(gateway);
        let plan = match &issuer {
            Some(issuer) => plan(gateway, &issuer.reference, &placement, &settings.copy),
            None => Plan::default(),
        };
        Context {
            gateway,
            written,
            parent: None,
            settings,
            placement,
            issuer,
            plan,
            lookups,
            from_memory: false,
            issuers: OnceCell::new(),
            tenancy: OnceCell::new(),
            certificates: OnceCell::new(),
        }
    }

    /// The issuer reference, where the annotations agree on one.
    pub fn issuer_ref(&self) -> Option<&IssuerRef> {
        self.issuer.as_ref().filter(|issuer| issuer.faults.is_empty()).map(|issuer| &issuer.reference)
    }

    /// Whether an annotation is not the object's own, but its parent's.
    pub fn is_inherited(&self, key: &str) -> bool {
        match (self.written.annotation(key), self.gateway.annotation(key)) {
            // Rules ask once a finding, and a value may be long: the same text is not compared.
            (Some(own), Some(effective)) => !std::ptr::eq(own, effective) && own != effective,
            (own, effective) => own.is_some() != effective.is_some(),
        }
    }

    /// The path of the annotation that names the issuer, or of what the issuer is inherited by.
    pub fn issuer_path(&self) -> String {
        let key = match self.gateway.annotation(annotation::CLUSTER_ISSUER) {
            Some(_) => annotation::CLUSTER_ISSUER,
            None => annotation::ISSUER,
        };
        self.path_of(key)
    }

    /// Where an annotation stands in the object, or what the object inherits it by.
    pub fn path_of(&self, key: &str) -> String {
        if self.is_inherited(key) { "spec.parentRef".to_owned() } else { annotation_path(key) }
    }

    /// Whose the Gateway is, where it is annotated or an Istio Gateway that names a credential.
    pub fn tenancy(&self) -> &Tenancy<'a> {
        self.tenancy.get_or_init(|| {
            if self.issuer.is_some() || named::names_credential(self.gateway) {
                Tenancy::of(self.gateway.metadata.namespace, self.settings, self.lookups)
            } else {
                Tenancy::Unasked
            }
        })
    }

    /// The tenant whose the Gateway is.
    pub fn tenant(&self) -> Option<&'a Tenant> {
        match self.tenancy() {
            Tenancy::Tenant(tenant) => Some(tenant),
            _ => None,
        }
    }

    /// What all its Certificates have in common; none where it gets none.
    pub fn template(&self) -> Option<&Template> {
        self.plan.certificates.first().map(|certificate| certificate.template.as_ref())
    }

    /// The issuer, looked up once per namespace that it has to be in. Empty where the annotations
    /// do not agree on one and where its kind is not known.
    pub fn issuers(&self) -> &[FoundIssuer] {
        self.issuers.get_or_init(|| {
            let objects =
                self.issuer_ref().map(|reference| self.issuer_objects(reference)).unwrap_or_default();
            let look_up = |object| {
                let outcome = self.look_up(&object, issuer::FIELDS)?;
                Some(FoundIssuer { object, outcome })
            };
            objects.into_iter().filter_map(look_up).collect()
        })
    }

    /// The Certificates that are there for the planned Secrets, as many as settings let be looked up.
    /// cert-manager goes by their names. Empty where the annotations do not agree on an issuer, and
    /// so nothing is made.
    pub fn certificates(&self) -> &[FoundCertificate] {
        self.certificates.get_or_init(|| {
            let mut found = Vec::new();
            let planned = if self.issuer_ref().is_some() { &*self.plan.certificates } else { &[] };
            for certificate in planned.iter().take(self.settings.lookups.max) {
                let secret = certificate.secret();
                let object = ObjectRef {
                    api_version: CERT_MANAGER_API_VERSION.to_owned(),
                    kind: "Certificate".to_owned(),
                    namespace: Some(secret.namespace.clone()),
                    name: secret.name.clone(),
                };
                if let Some(outcome) = self.look_up(&object, METADATA) {
                    let path = certificate.places.first().map(ToString::to_string).unwrap_or_default();
                    found.push(FoundCertificate { secret, path, object, outcome });
                }
            }
            found
        })
    }

    /// The objects that a reference means, seen from the placement.
    pub fn issuer_objects(&self, reference: &IssuerRef) -> Vec<ObjectRef> {
        let Some((api_version, scope)) = self.settings.issuer_kind(reference) else {
            return Vec::new();
        };
        let object = |namespace: Option<&str>| ObjectRef {
            api_version: api_version.to_owned(),
            kind: reference.effective_kind().to_owned(),
            namespace: namespace.map(str::to_owned),
            name: reference.name.clone(),
        };
        match scope {
            Scope::Cluster => vec![object(None)],
            Scope::Namespaced => self.placement.iter().map(|namespace| object(Some(namespace))).collect(),
        }
    }

    /// The user who makes the request, and whether they may create Certificates in a namespace; none
    /// where that is not known, see [`Lookups::can_create_certificates`].
    pub fn may_create_certificates(&self, namespace: &str) -> Option<(&'a User, Result<bool, LookupError>)> {
        self.lookups.can_create_certificates(namespace, self.from_memory)
    }

    /// Looks an object up; none where this is an earlier state and the present one did not ask.
    pub fn look_up(&self, object: &ObjectRef, fields: &'static [&'static str]) -> Option<Outcome> {
        if self.from_memory {
            self.lookups.remembered(object)
        } else {
            Some(self.lookups.get(object, fields))
        }
    }
}

/// Where an annotation stands in the object.
pub fn annotation_path(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}
