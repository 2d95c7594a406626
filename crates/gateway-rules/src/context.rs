//! The input of every rule: the Gateway, its placement, its issuer and its plan.

use std::cell::OnceCell;

use certificate_shim::annotation::{self, IGNORE_TLS_LISTENERS};
use certificate_shim::gateway::{Gateway, GatewayKind};
use certificate_shim::issuer_ref::{self, CERT_MANAGER_GROUP, IssuerRef, Resolution};
use certificate_shim::listeners::{issuable, speaks_tls};
use certificate_shim::placement::placement;
use certificate_shim::plan::{Plan, SecretName, plan, plan_of_issuable};
use certificate_shim::read::shown_key;
use certificate_shim::template::Template;
use serde_json::Value;

use crate::lookup::{Known, ListRef, Listed, LookupError, ObjectRef, Outcome, User};
use crate::parent::Parent;
use crate::settings::tenants::Tenant;
use crate::settings::{Scope, Settings};
use crate::tenancy::{self, Tenancy};
use crate::writers::Writers;

/// The issuer of a tenant's ListenerSet whose parent names none yet.
static ASSUMED: IssuerRef = IssuerRef { name: String::new(), kind: String::new(), group: String::new() };

/// The input of every rule for one Gateway.
pub struct Context<'a> {
    /// The Gateway; a ListenerSet with what it inherits from its parent.
    pub gateway: &'a Gateway<'a>,
    /// The Gateway as written.
    pub written: &'a Gateway<'a>,
    /// The parent of a ListenerSet.
    pub parent: Option<&'a Parent>,
    /// The settings.
    pub settings: &'a Settings,
    /// The namespaces of its Secrets; empty if the settings know none.
    pub placement: Vec<&'a str>,
    /// The issuer that its annotations name; `None` if it is not annotated.
    pub issuer: Option<Resolution>,
    /// Whether the plan is for an assumed issuer: that of a tenant's ListenerSet, because the parent
    /// can name one at any time.
    pub has_assumed_issuer: bool,
    /// The Certificates that it asks for; empty if it has no issuer, not even an assumed one.
    pub plan: Plan,
    /// Secrets whose owner is not looked up, since an update leaves their Certificates as they are.
    /// Sorted.
    pub(crate) unchanged: Vec<SecretName>,
    /// Whether Secrets are told apart whose namespace the settings do not know. Only an update needs
    /// that, to be compared with its old state.
    pub(crate) has_unknown_namespace: bool,
    known: &'a dyn Known,
    issuers: OnceCell<Vec<FoundIssuer>>,
    tenancy: OnceCell<Tenancy<'a>>,
    certificates: OnceCell<FoundCertificates>,
    /// `None` if it is the plan.
    widest_plan: OnceCell<Option<Plan>>,
}

/// The issuer as seen from one namespace of the placement.
pub struct FoundIssuer {
    /// The object that was looked up.
    pub object: ObjectRef,
    /// The result of the lookup.
    pub outcome: Outcome,
}

impl FoundIssuer {
    /// The issuer, if it was found and is of one of cert-manager's own kinds.
    pub fn own(&self) -> Option<&Value> {
        self.outcome.as_deref().ok().filter(|_| self.object.group() == CERT_MANAGER_GROUP)
    }
}

/// The Certificate of a planned Secret, as it was looked up.
pub struct FoundCertificate {
    /// The Secret.
    pub secret: SecretName,
    /// The path where the Gateway names the Secret first.
    pub path: String,
    /// The object that was looked up.
    pub object: ObjectRef,
    /// The result of the lookup.
    pub outcome: Outcome,
}

/// The Certificates of the planned Secrets.
#[derive(Default)]
pub struct FoundCertificates {
    /// Those that were looked up.
    pub found: Vec<FoundCertificate>,
    /// Secrets for which there was no lookup left.
    pub unchecked: Vec<SecretName>,
    /// A list that settings allow but that failed, so that lookups were by name.
    pub failed_list: Option<(ListRef, LookupError)>,
}

impl<'a> Context<'a> {
    /// The context of a Gateway, as written and with what it inherits.
    pub fn new(
        written: &'a Gateway<'a>,
        gateway: &'a Gateway<'a>,
        parent: Option<&'a Parent>,
        settings: &'a Settings,
        known: &'a dyn Known,
    ) -> Self {
        let placement = placement(gateway, settings.gateway_namespaces.as_deref());
        let issuer = issuer_ref::resolve(gateway);
        let has_assumed_issuer =
            issuer.is_none() && gateway.kind == GatewayKind::ListenerSet && !settings.tenants.is_empty();
        let planned_for = match &issuer {
            Some(issuer) => Some(&issuer.reference),
            None => Some(&ASSUMED).filter(|_| has_assumed_issuer),
        };
        let plan = planned_for.map(|issuer| plan(gateway, issuer, &placement, &settings.plan));
        Context {
            gateway,
            written,
            parent,
            settings,
            placement,
            issuer,
            has_assumed_issuer,
            plan: plan.unwrap_or_default(),
            unchanged: Vec::new(),
            has_unknown_namespace: false,
            known,
            issuers: OnceCell::new(),
            tenancy: OnceCell::new(),
            certificates: OnceCell::new(),
            widest_plan: OnceCell::new(),
        }
    }

    /// The issuer reference, if the annotations agree on one.
    pub fn issuer_ref(&self) -> Option<&IssuerRef> {
        self.issuer.as_ref().filter(|issuer| issuer.faults.is_empty()).map(|issuer| &issuer.reference)
    }

    /// Whether an annotation is inherited from the parent.
    pub fn is_inherited(&self, key: &str) -> bool {
        match (self.written.annotation(key), self.gateway.annotation(key)) {
            // Rules call this for each finding, and a value can be long: a text is not compared with itself.
            (Some(own), Some(effective)) => !std::ptr::eq(own, effective) && own != effective,
            (own, effective) => own.is_some() != effective.is_some(),
        }
    }

    /// The path of the annotation that names the issuer, or of the field it is inherited through.
    pub fn issuer_path(&self) -> String {
        let key = match self.gateway.annotation(annotation::CLUSTER_ISSUER) {
            Some(_) => annotation::CLUSTER_ISSUER,
            None => annotation::ISSUER,
        };
        self.path_of(key)
    }

    /// The path of an annotation, or of the field it is inherited through.
    pub fn path_of(&self, key: &str) -> String {
        if self.is_inherited(key) { "spec.parentRef".to_owned() } else { annotation_path(key) }
    }

    /// The tenancy of the Gateway, if it asks for anything that tenants decide about.
    pub fn tenancy(&self) -> &Tenancy<'a> {
        self.tenancy.get_or_init(|| {
            if tenancy::is_asked(self.written, self.gateway) {
                Tenancy::of(self.gateway.metadata.namespace, self.settings, self.known)
            } else {
                Tenancy::Unasked
            }
        })
    }

    /// The tenant that owns the Gateway.
    pub fn tenant(&self) -> Option<&'a Tenant> {
        match self.tenancy() {
            Tenancy::Tenant(tenant) => Some(tenant),
            _ => None,
        }
    }

    /// The plan of any version of cert-manager, with any flags: with the listeners that the plan leaves out for
    /// their protocol or because `ignore-tls-listeners` names them. Tenants are checked against it.
    pub fn widest_plan(&self) -> &Plan {
        let widest = self.widest_plan.get_or_init(|| {
            let options = &self.settings.plan;
            let is_left_out = self.gateway.annotation(IGNORE_TLS_LISTENERS).is_some()
                || issuable(self.gateway).any(|(_, listener)| !speaks_tls(listener, options));
            let issuer = match &self.issuer {
                Some(issuer) => Some(&issuer.reference),
                None => Some(&ASSUMED).filter(|_| self.has_assumed_issuer),
            };
            let issuer = issuer.filter(|_| is_left_out && self.gateway.kind != GatewayKind::Istio)?;
            Some(plan_of_issuable(self.gateway, issuer, &self.placement, options))
        });
        widest.as_ref().unwrap_or(&self.plan)
    }

    /// The part that all its Certificates share; `None` if it gets none.
    pub fn template(&self) -> Option<&Template> {
        self.plan.template()
    }

    /// The issuer, looked up once for each namespace that it must be in. Empty if the annotations
    /// do not agree on one or its kind is not known.
    pub fn issuers(&self) -> &[FoundIssuer] {
        self.issuers.get_or_init(|| {
            let objects =
                self.issuer_ref().map(|reference| self.issuer_objects(reference)).unwrap_or_default();
            let look_up = |object| {
                let outcome = self.look_up(&object)?;
                Some(FoundIssuer { object, outcome })
            };
            objects.into_iter().filter_map(look_up).collect()
        })
    }

    /// The Certificates of the planned Secrets, as many as settings allow. Empty if the annotations do not
    /// agree on an issuer, so that nothing is issued.
    pub fn certificates(&self) -> &FoundCertificates {
        self.certificates.get_or_init(|| {
            let mut writers = Writers::new(self.known, self.settings.lookups.max);
            let mut certificates = FoundCertificates::default();
            for (secret, path) in self.asked_owners() {
                let Some(found) = writers.of_secret(&secret) else {
                    certificates.unchecked.push(secret);
                    continue;
                };
                for (object, outcome) in found {
                    let (secret, path) = (secret.clone(), path.clone());
                    certificates.found.push(FoundCertificate { secret, path, object, outcome });
                }
            }
            certificates.failed_list = writers.failed_list;
            certificates
        })
    }

    /// The planned Secrets whose owner matters, and the place where each is named first. Empty if nothing
    /// is issued. Secrets whose Certificate an update does not change are left out.
    fn asked_owners(&self) -> impl Iterator<Item = (SecretName, String)> {
        let planned = if self.issuer_ref().is_some() { &*self.plan.certificates } else { &[] };
        planned
            .iter()
            .map(|certificate| (certificate.secret(), certificate.path()))
            .filter(|(secret, _)| self.unchanged.binary_search(secret).is_err())
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

    /// The user of the request and whether they may create Certificates in a namespace; `None` if
    /// that is not known.
    pub fn may_create_certificates(&self, namespace: &str) -> Option<(&User, Result<bool, LookupError>)> {
        self.known.may_create_certificates(namespace)
    }

    /// Looks an object up; `None` if this is the old state and the new one did not ask.
    pub fn look_up(&self, object: &ObjectRef) -> Option<Outcome> {
        self.known.get(object)
    }

    /// Lists the objects of a kind; `None` if settings do not allow listing it.
    pub fn list(&self, list: &ListRef) -> Option<Listed> {
        self.known.list(list)
    }

    /// The help for a failed list.
    pub fn help_of_list(&self, error: &LookupError, list: &ListRef) -> String {
        let object = list.object();
        match error {
            LookupError::Forbidden => {
                let resource = object.resource();
                format!("Platform team: grant list and watch on {resource} to the policy server.")
            }
            _ => self.help(error, &object),
        }
    }

    /// The help for a failed lookup.
    pub fn help(&self, error: &LookupError, object: &ObjectRef) -> String {
        self.known.help(error, object)
    }
}

/// The path of an annotation.
pub fn annotation_path(key: &str) -> String {
    format!("metadata.annotations[{}]", shown_key(key))
}
