//! Decides what to do for one Gateway, from the caches alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use certificate_shim::owner::ADOPTED;
use certificate_shim::plan::SecretName;
use certificate_shim::{Certificate, annotation};
use gateway_rules::lookup::Lookups;
use gateway_rules::rule::Caller;
use gateway_rules::{CheckResult, Settings, check};
use serde_json::{Value, json};

use crate::cache::Caches;
use crate::desired::{Violation, desired, violations_of_all, violations_of_unplanned};
use crate::kinds::{Role, Served};
use crate::objects::{Key, ObservedCertificate, ObservedGateway};
use crate::writes::{difference, ours};

/// The changes to make for one Gateway.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision {
    /// Certificates to create, in the order of the plan.
    pub create: Vec<Target>,
    /// Certificates to change or to take over, in the order of the plan.
    pub change: Vec<Target>,
    /// Certificates to delete, unless a live request shows that the Gateway still needs them.
    pub delete: Vec<Surplus>,
    /// Certificates that are not planned any more, but kept, since a server still names their Secret. They are
    /// renewed as they are.
    pub kept: Vec<SecretName>,
    /// The Certificates that it does not get.
    pub withheld: Vec<Withheld>,
    /// Whether the caches do not contain the latest writes yet, so that it must be reconciled again.
    pub again: bool,
}

/// The desired state of a Certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The name of the Certificate: that of its Secret, unless it was taken over.
    pub certificate: SecretName,
    /// The Secret.
    pub secret: SecretName,
    /// The complete object.
    pub body: Value,
    /// The first field that differs; empty for a new Certificate.
    pub field: String,
    /// Whether the Certificate becomes the controller's by this change.
    pub is_claimed: bool,
}

/// A Certificate of the controller that the Gateway does not need.
#[derive(Debug, Clone, PartialEq)]
pub struct Surplus {
    /// The Certificate.
    pub certificate: Arc<ObservedCertificate>,
    /// Why it is not needed.
    pub why: Why,
}

/// The reason why a Gateway that exists does not need a Certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// None of its servers names the Secret. [`crate::deletions`] limits how many may go at once.
    Unnamed,
    /// Other Certificates for the Secrets of that name, where they are read now, are Ready.
    Replaced,
}

/// Certificates that are withheld.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// The Certificate's Secret; `None` for all Certificates of the Gateway.
    pub secret: Option<SecretName>,
    /// The reasons, at least one.
    pub violations: Vec<Violation>,
    /// Whether to retry without a watch event, because the reason is not watched.
    pub retry: bool,
}

impl Withheld {
    /// One Certificate that the controller withholds, not a rule.
    pub fn one(secret: &SecretName, violation: Violation) -> Self {
        Withheld { secret: Some(secret.clone()), violations: vec![violation], retry: false }
    }

    /// The same, with retries.
    pub fn retried(self) -> Self {
        Withheld { retry: true, ..self }
    }

    /// The text for the Event.
    pub fn text(&self) -> String {
        let why: Vec<&str> = self.violations.iter().map(|violation| violation.text.as_str()).collect();
        match &self.secret {
            Some(secret) => format!("Certificate {secret} withheld: {}", why.join(" ")),
            None => format!("All Certificates withheld: {}", why.join(" ")),
        }
    }
}

/// Decides about an existing Gateway and the Certificates that belong to it. `was_rejected` says whether the
/// API server rejected the last write of a Secret's Certificate for another Gateway.
pub fn decide(
    gateway: &ObservedGateway,
    certificates: &[Arc<ObservedCertificate>],
    caches: &Caches,
    settings: &Settings,
    was_rejected: &dyn Fn(&Key, &SecretName) -> bool,
) -> Decision {
    let mut decision = Decision::default();
    if gateway.is_deleting || gateway.is_paused {
        return decision;
    }
    let holders = Holders::of(gateway, certificates);
    for certificate in certificates.iter().filter(|certificate| gateway.gives_up(certificate)) {
        match holders.fate(gateway, certificate) {
            Fate::Needed => {}
            Fate::Kept => decision.kept.push(certificate.name.clone()),
            Fate::Surplus(why) => {
                decision.delete.push(Surplus { certificate: Arc::clone(certificate), why });
            }
        }
    }
    if !gateway.is_annotated() {
        return decision;
    }
    let object = gateway.object();
    let Some(result) = result(gateway, &object, caches, settings) else {
        let why = gateway.unreadable.as_deref().unwrap_or_default();
        let violation = Violation::new(
            "unreadable",
            format!("the Gateway cannot be read ({why})"),
            "Correct that field.",
        );
        decision.withheld = vec![Withheld { secret: None, violations: vec![violation], retry: false }];
        return decision;
    };
    let of_all = violations_of_all(&result);
    // Nothing can be created or changed, for any existing Certificates.
    let mut is_withheld = result.plan.issued().is_empty() || !result.issuer_is_sound;
    let mut claimants = Claimants { caches, settings, was_rejected, allowed: BTreeMap::new() };
    let planner = Planner {
        gateway,
        served: caches.served(Role::Gateways),
        keeps_temporary: !result.issuers_are_known,
        sets_usages: object["metadata"]["annotations"].get(annotation::USAGES).is_some(),
    };
    for desired in desired(&result) {
        let secret = desired.certificate.secret();
        let named_alike = caches.certificate(&secret);
        let observed = holders.get(&secret).or(named_alike.as_ref());
        let Some(action) = planner.action(desired.certificate, observed.map(Arc::as_ref)) else {
            // The Certificate is up to date, so there is nothing to withhold.
            continue;
        };
        if !of_all.is_empty() {
            is_withheld = true;
        } else if !desired.violations.is_empty() {
            decision.withheld.push(Withheld {
                secret: Some(secret),
                violations: desired.violations,
                retry: false,
            });
        } else {
            match action {
                Action::Create(_) if caches.is_expected(&secret) => decision.again = true,
                Action::Create(target) => match claimants.blocker(&secret, gateway) {
                    Some(withheld) => decision.withheld.push(withheld),
                    None => decision.create.push(target),
                },
                Action::Change(target) => decision.change.push(target),
                Action::LeaveToOwner => {
                    let problem = format!("the Certificate {secret} belongs to another owner");
                    decision.withheld.push(Withheld::one(&secret, foreign(problem)));
                }
            }
        }
    }
    for (secret, violation) in violations_of_unplanned(&result) {
        decision.withheld.push(Withheld::one(&secret, violation));
    }
    if !of_all.is_empty() && is_withheld {
        decision.withheld.push(Withheld { secret: None, violations: of_all, retry: false });
    }
    decision
}

/// The Certificates that a Gateway's planned Secrets are written with.
struct Holders<'c> {
    by_secret: BTreeMap<SecretName, &'c Arc<ObservedCertificate>>,
    /// The planned Secrets by name.
    planned: BTreeMap<&'c str, Vec<&'c SecretName>>,
}

/// What happens to a Certificate of the controller.
enum Fate {
    Needed,
    Kept,
    Surplus(Why),
}

impl<'c> Holders<'c> {
    /// If several Certificates write a Secret, the controller's own comes before one that is claimed, then
    /// the one with the name of the Secret, then the first by name.
    fn of(gateway: &'c ObservedGateway, certificates: &'c [Arc<ObservedCertificate>]) -> Self {
        let mut by_secret: BTreeMap<SecretName, &Arc<ObservedCertificate>> = BTreeMap::new();
        let rank = |certificate: &ObservedCertificate| {
            (!certificate.is_ours(), certificate.name.name != certificate.secret_name)
        };
        for certificate in certificates.iter().filter(|certificate| gateway.plans(&certificate.secret())) {
            by_secret
                .entry(certificate.secret())
                .and_modify(|holder| {
                    if rank(certificate) < rank(holder) {
                        *holder = certificate;
                    }
                })
                .or_insert(certificate);
        }
        let mut planned: BTreeMap<&str, Vec<&SecretName>> = BTreeMap::new();
        for secret in &gateway.planned {
            planned.entry(&secret.name).or_default().push(secret);
        }
        Holders { by_secret, planned }
    }

    fn get(&self, secret: &SecretName) -> Option<&'c Arc<ObservedCertificate>> {
        self.by_secret.get(secret).copied()
    }

    fn fate(&self, gateway: &ObservedGateway, certificate: &Arc<ObservedCertificate>) -> Fate {
        let holder = self.get(&certificate.secret());
        if holder.is_some_and(|holder| Arc::ptr_eq(holder, certificate)) {
            return Fate::Needed;
        }
        // Its Secret has been changed by hand: it is changed back.
        if holder.is_none() && gateway.plans(&certificate.name) {
            return Fate::Needed;
        }
        if !gateway.names(&certificate.secret_name) {
            return Fate::Surplus(Why::Unnamed);
        }
        let Some(successors) = self.planned.get(certificate.secret_name.as_str()) else { return Fate::Kept };
        let is_ready = |secret: &&SecretName| {
            self.get(secret).is_some_and(|holder| holder.readiness.is_ready() && !holder.is_deleting)
        };
        if successors.iter().all(is_ready) { Fate::Surplus(Why::Replaced) } else { Fate::Needed }
    }
}

/// The step that brings a Certificate to its desired state.
enum Action {
    Create(Target),
    Change(Target),
    LeaveToOwner,
}

/// Determines the desired objects of a Gateway.
struct Planner<'g> {
    gateway: &'g ObservedGateway,
    served: Option<Served>,
    /// Whether an existing request for a temporary certificate is kept, because the issuer is unknown.
    keeps_temporary: bool,
    /// Whether the Gateway's annotations set usages.
    sets_usages: bool,
}

impl Planner<'_> {
    /// The step that a Certificate needs; `None` if it is up to date or being deleted. Once it is deleted,
    /// it is created again.
    fn action(&self, certificate: &Certificate, observed: Option<&ObservedCertificate>) -> Option<Action> {
        let secret = certificate.secret();
        let Some(observed) = observed else {
            let body = self.body(certificate, None);
            let certificate = secret.clone();
            return Some(Action::Create(Target {
                certificate,
                secret,
                body,
                field: String::new(),
                is_claimed: false,
            }));
        };
        let writes_it = observed.is_ours() || observed.secret() == secret;
        if !observed.belongs_to(&self.gateway.key) || !writes_it {
            return Some(Action::LeaveToOwner);
        }
        if observed.is_deleting {
            return None;
        }
        let body = self.body(certificate, Some(observed));
        let field = difference(&ours(&body), &observed.owned())?;
        let is_claimed = !observed.is_ours();
        Some(Action::Change(Target { certificate: observed.name.clone(), secret, body, field, is_claimed }))
    }

    /// The object of a Certificate.
    ///
    /// The owner reference must have a version that is served, or the garbage collector does not find the
    /// Gateway. An existing reference keeps its version as long as it is served.
    fn body(&self, certificate: &Certificate, observed: Option<&ObservedCertificate>) -> Value {
        let mut body = certificate.to_json();
        let is = |property: fn(&ObservedCertificate) -> bool| observed.is_some_and(property);
        if self.keeps_temporary && is(|observed| observed.asks_for_temporary) {
            body["metadata"]["annotations"][annotation::ISSUE_TEMPORARY_CERTIFICATE] = json!("true");
        }
        if let Some(observed) = observed {
            body["metadata"]["name"] = json!(observed.name.name);
        }
        if is(|observed| observed.is_adopted) {
            body["metadata"]["annotations"][ADOPTED] = json!("true");
            if !self.sets_usages
                && let Some(spec) = body["spec"].as_object_mut()
            {
                spec.remove("usages");
            }
        }
        if let (Some(served), Some(reference)) =
            (&self.served, body.pointer_mut("/metadata/ownerReferences/0"))
        {
            let is_served = |version: &&String| served.api_versions.contains(version);
            let version = observed.and_then(|observed| observed.owner.as_ref()?.api_version.as_ref());
            reference["apiVersion"] =
                json!(version.filter(is_served).unwrap_or(&served.resource.api_version));
        }
        body
    }
}

fn result(
    gateway: &ObservedGateway,
    object: &Value,
    caches: &Caches,
    settings: &Settings,
) -> Option<CheckResult> {
    let view = gateway.view(object).ok()?;
    Some(check(&view, settings, &Lookups::new(caches, settings.lookups), Caller::Controller))
}

/// The other Gateways that name the same Secrets. Each is checked once, however many Secrets they share.
struct Claimants<'c> {
    caches: &'c Caches,
    settings: &'c Settings,
    was_rejected: &'c dyn Fn(&Key, &SecretName) -> bool,
    /// The Secrets whose Certificates the rules allow to a Gateway now.
    allowed: BTreeMap<Key, BTreeSet<SecretName>>,
}

impl Claimants<'_> {
    /// The reason not to create a missing Certificate now.
    fn blocker(&mut self, secret: &SecretName, gateway: &ObservedGateway) -> Option<Withheld> {
        if let Some(other) = self.caches.other_writer(secret) {
            let problem = format!("the Certificate {other} writes the Secret {secret}");
            return Some(Withheld::one(secret, foreign(problem)));
        }
        let earlier = self.caches.earlier_claims(secret, gateway);
        let first = earlier.iter().find(|other| self.may_have(other, secret))?;
        let violation = Violation::new(
            "claimed",
            format!("the older Gateway {} also names the Secret", first.key),
            "Use another Secret.",
        );
        // Whether the other Gateway gets it can depend on anything that its rules look up.
        Some(Withheld::one(secret, violation).retried())
    }

    /// Whether another Gateway gets the Certificate of that Secret now, as far as the rules and the API
    /// server are concerned.
    fn may_have(&mut self, gateway: &ObservedGateway, secret: &SecretName) -> bool {
        if gateway.is_deleting || gateway.is_paused || (self.was_rejected)(&gateway.key, secret) {
            return false;
        }
        if !self.allowed.contains_key(&gateway.key) {
            let allowed = self.allowed_to(gateway);
            self.allowed.insert(gateway.key.clone(), allowed);
        }
        self.allowed.get(&gateway.key).is_some_and(|allowed| allowed.contains(secret))
    }

    fn allowed_to(&self, gateway: &ObservedGateway) -> BTreeSet<SecretName> {
        let object = gateway.object();
        let Some(result) = result(gateway, &object, self.caches, self.settings) else {
            return BTreeSet::new();
        };
        let allowed = desired(&result).into_iter().filter(|desired| desired.violations.is_empty());
        allowed.map(|desired| desired.certificate.secret()).collect()
    }
}

/// The rejection because of a Certificate with another owner. `problem` is a clause.
pub fn foreign(problem: impl AsRef<str>) -> Violation {
    Violation::new("certificate-not-owned", problem, "Use another Secret, or delete that Certificate.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::MANAGER;
    use crate::kinds::watched;
    use crate::testing::{CertificateFixture, GatewayFixture, certificate, gateway, manage};
    use kube::api::DynamicObject;
    use kube::runtime::watcher::Event;
    use rstest::rstest;

    /// Synced caches with those objects.
    struct World {
        caches: Caches,
        settings: Arc<Settings>,
        /// Gateways whose writes the API server rejected.
        rejected: Vec<String>,
    }

    fn issuer(ready: &str) -> Value {
        json!({"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": "le"},
            "spec": {"acme": {"solvers": [{"http01": {"ingress": {}}}]}},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}})
    }

    fn world(settings: Value, objects: Vec<Value>) -> World {
        let settings = Arc::new(Settings::read(&settings).unwrap());
        let kinds = watched(&settings, false);
        let caches = Caches::new(kinds.clone(), Arc::clone(&settings));
        for (index, kind) in kinds.iter().enumerate() {
            caches.apply(index, Event::Init);
            for object in objects.iter().filter(|object| object["kind"] == kind.kind.as_str()) {
                let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
                caches.apply(index, Event::InitApply(object));
            }
            caches.apply(index, Event::InitDone);
        }
        assert_eq!(caches.missing(), Vec::<String>::new());
        World { caches, settings, rejected: Vec::new() }
    }

    impl World {
        fn decide(&self, key: &str) -> Decision {
            let (namespace, name) = key.split_once('/').unwrap();
            let key = crate::objects::Key { namespace: namespace.to_owned(), name: name.to_owned() };
            let view = self.caches.view(&key);
            let was_rejected = |key: &Key, _: &SecretName| self.rejected.contains(&key.to_string());
            let gateway = view.gateway.as_ref().unwrap();
            decide(gateway, &view.certificates, &self.caches, &self.settings, &was_rejected)
        }

        fn summary(&self, key: &str) -> Vec<String> {
            let decision = self.decide(key);
            let creates = decision.create.iter().map(|planned| format!("create {}", planned.secret));
            let changes = decision
                .change
                .iter()
                .map(|target| format!("change {} {}", target.certificate, target.field));
            let deletes = decision
                .delete
                .iter()
                .map(|surplus| format!("delete {} {:?}", surplus.certificate.name, surplus.why));
            let kept = decision.kept.iter().map(|name| format!("keep {name}"));
            let violations = decision.withheld.iter().map(|withheld| {
                let secret = withheld.secret.as_ref().map_or("all".to_owned(), ToString::to_string);
                let rules: Vec<_> = withheld.violations.iter().map(|violation| violation.rule).collect();
                format!("refuse {secret} {}", rules.join(" "))
            });
            creates.chain(changes).chain(deletes).chain(kept).chain(violations).collect()
        }
    }

    fn shop() -> GatewayFixture {
        gateway("team-a", "shop").server("shop-tls", &["shop.example.com"])
    }

    /// The Certificate as the API server stores it after the controller's POST.
    fn made_for(gateway: GatewayFixture, settings: Value) -> Value {
        let object = gateway.build();
        let world = world(settings, vec![issuer("True"), object.clone()]);
        let key = format!(
            "{}/{}",
            object["metadata"]["namespace"].as_str().unwrap(),
            object["metadata"]["name"].as_str().unwrap()
        );
        let decision = world.decide(&key);
        let mut body = decision.create[0].body.clone();
        body["metadata"]["uid"] = json!("c");
        body["metadata"]["resourceVersion"] = json!("5");
        manage(&mut body, MANAGER);
        body
    }

    fn one(fixture: CertificateFixture) -> Vec<Value> {
        vec![fixture.build()]
    }

    const V1: &str = "networking.istio.io/v1";

    #[rstest]
    #[case::no_certificate(shop(), vec![], &["create team-a/shop-tls"])]
    #[case::up_to_date(shop(), vec![made_for(shop(), json!({}))], &[])]
    #[case::another_host(gateway("team-a", "shop").server("shop-tls", &["new.example.com"]), vec![made_for(shop(), json!({}))], &["change team-a/shop-tls spec.dnsNames"])]
    #[case::another_secret(gateway("team-a", "shop").server("new-tls", &["shop.example.com"]), vec![made_for(shop(), json!({}))], &["create team-a/new-tls", "delete team-a/shop-tls Unnamed"])]
    #[case::a_new_uid(shop().metadata("uid", json!("new")), vec![made_for(shop(), json!({}))], &["change team-a/shop-tls metadata.annotations.gateway-certificates.io/owner-uid"])]
    #[case::being_deleted(shop().metadata("deletionTimestamp", json!("2026-01-01T00:00:00Z")), vec![], &[])]
    #[case::paused(shop().annotations(json!({"gateway-certificates.io/paused": "true"})), vec![], &[])]
    #[case::paused_with_another_secret(gateway("team-a", "shop").server("new-tls", &["shop.example.com"]).annotations(json!({"gateway-certificates.io/paused": "true"})), vec![made_for(shop(), json!({}))], &[])]
    #[case::not_quite_paused(shop().annotations(json!({"gateway-certificates.io/paused": "false"})), vec![], &["create team-a/shop-tls"])]
    #[case::another_owner(shop(), one(certificate("team-a", "shop-tls").owned_by(V1, "other").managed_by(MANAGER)), &["refuse team-a/shop-tls secret-not-owned"])]
    #[case::no_owner(shop(), one(certificate("team-a", "shop-tls")), &["refuse team-a/shop-tls secret-not-owned"])]
    #[case::another_writer(shop(), one(certificate("team-a", "by-hand").writes("shop-tls")), &["refuse team-a/shop-tls certificate-not-owned"])]
    #[case::unknown_mode(shop().mode("PASSTHROUGHH"), vec![], &["refuse team-a/shop-tls tls-mode-unsupported"])]
    #[case::unknown_mode_with_certificate(shop().mode("PASSTHROUGHH"), vec![made_for(shop(), json!({}))], &["keep team-a/shop-tls", "refuse team-a/shop-tls tls-mode-unsupported"])]
    #[case::unreadable_value(shop().annotations(json!({"cert-manager.io/duration": "90d"})), vec![made_for(shop(), json!({}))], &["refuse all annotation-invalid"])]
    fn in_the_gateways_namespace(
        #[case] gateway: GatewayFixture,
        #[case] certificates: Vec<Value>,
        #[case] expected: &[&str],
    ) {
        let mut objects = vec![issuer("True"), gateway.build()];
        objects.extend(certificates);
        assert_eq!(world(json!({}), objects).summary("team-a/shop"), expected);
    }

    /// Certificates of somebody else, or that the Gateway does not need.
    #[rstest]
    #[case::another_controllers_reference(one(certificate("team-a", "x-tls").owned_by(V1, "shop").managed_by("webhook")), &["create team-a/shop-tls"])]
    #[case::another_controllers_reference_for_its_secret(one(certificate("team-a", "shop-tls").owned_by(V1, "shop").managed_by("webhook")), &["refuse team-a/shop-tls secret-not-owned"])]
    #[case::a_reference_without_managed_fields(one(certificate("team-a", "x-tls").owned_by(V1, "shop")), &["create team-a/shop-tls"])]
    #[case::a_record_in_a_foreign_namespace(one(certificate("team-b", "x-tls").recorded("team-a", "shop").managed_by(MANAGER)), &["create team-a/shop-tls"])]
    #[case::a_claim_of_another_secret(one(certificate("team-a", "x-tls").recorded("team-a", "shop").managed_by("kubectl")), &["create team-a/shop-tls"])]
    #[case::ours_of_another_secret(one(certificate("team-a", "x-tls").recorded("team-a", "shop").managed_by(MANAGER)), &["create team-a/shop-tls", "delete team-a/x-tls Unnamed"])]
    #[case::a_claim(one(certificate("team-a", "shop-tls").recorded("team-a", "shop").managed_by("kubectl")), &["change team-a/shop-tls metadata"])]
    #[case::a_claim_under_another_name(one(certificate("team-a", "by-hand").writes("shop-tls").recorded("team-a", "shop").managed_by("kubectl")), &["change team-a/by-hand metadata"])]
    #[case::a_claim_without_managed_fields(one(certificate("team-a", "shop-tls").recorded("team-a", "shop")), &["change team-a/shop-tls metadata"])]
    #[case::a_claim_with_anothers_reference(one(certificate("team-a", "shop-tls").recorded("team-a", "shop").owned_by("networking.k8s.io/v1", "shop")), &["refuse team-a/shop-tls secret-not-owned"])]
    #[case::a_claim_with_a_reference(one(certificate("team-a", "shop-tls").recorded("team-a", "shop").owned_by(V1, "shop").managed_by("webhook")), &["change team-a/shop-tls metadata"])]
    #[case::named_like_the_secret_of_another(one(certificate("team-a", "shop-tls").writes("x").recorded("team-a", "shop").managed_by("kubectl")), &["refuse team-a/shop-tls certificate-not-owned"])]
    fn other_certificates(#[case] certificates: Vec<Value>, #[case] expected: &[&str]) {
        let mut objects = vec![issuer("True"), shop().build()];
        objects.extend(certificates);
        assert_eq!(world(json!({}), objects).summary("team-a/shop"), expected);
    }

    #[test]
    fn our_certificate_comes_before_a_claim() {
        let claim = certificate("team-a", "a").writes("shop-tls").recorded("team-a", "shop").build();
        let mut second = certificate("team-a", "b")
            .writes("shop-tls")
            .recorded("team-a", "shop")
            .managed_by(MANAGER)
            .build();
        second["status"] = json!({});
        let first = made_for(shop(), json!({}));
        let objects =
            |first: Value| vec![issuer("True"), shop().build(), claim.clone(), second.clone(), first];
        assert_eq!(world(json!({}), objects(first.clone())).summary("team-a/shop"), [""; 0]);
        let mut ready = first;
        ready["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        assert_eq!(world(json!({}), objects(ready)).summary("team-a/shop"), ["delete team-a/b Replaced"]);
    }

    #[rstest]
    #[case::without_usages(json!({}), json!({}), json!(null))]
    #[case::with_other_usages(json!({"usages": ["server auth"]}), json!({}), json!(null))]
    #[case::restored_from_a_backup(json!({"usages": ["digital signature", "key encipherment"]}), json!({}), json!(["digital signature", "key encipherment"]))]
    #[case::with_an_annotation(json!({}), json!({"cert-manager.io/usages": "server auth"}), json!(["server auth"]))]
    fn usages_of_adopted_certificates(
        #[case] spec: Value,
        #[case] annotations: Value,
        #[case] expected: Value,
    ) {
        let mut by_hand =
            certificate("team-a", "by-hand").writes("shop-tls").recorded("team-a", "shop").build();
        by_hand["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        manage(&mut by_hand, "kubectl");
        let object = shop().annotations(annotations.clone()).build();
        let decision = world(json!({}), vec![issuer("True"), object.clone(), by_hand]).decide("team-a/shop");
        let [target] = &decision.change[..] else { panic!("{decision:?}") };
        assert!(target.is_claimed);
        assert_eq!(target.body["metadata"]["name"], "by-hand");
        assert_eq!(target.body["spec"].get("usages").unwrap_or(&Value::Null), &expected);

        // The next decision about what was applied is the same.
        let mut applied = target.body.clone();
        manage(&mut applied, MANAGER);
        assert_eq!(world(json!({}), vec![issuer("True"), object, applied]).summary("team-a/shop"), [""; 0]);
    }

    #[test]
    fn certificates_of_other_owners_are_kept_if_rules_are_off() {
        let settings = json!({"rules": {"secret-not-owned": "off"}});
        let objects = vec![issuer("True"), shop().build(), certificate("team-a", "shop-tls").build()];
        assert_eq!(
            world(settings, objects).summary("team-a/shop"),
            ["refuse team-a/shop-tls certificate-not-owned"]
        );
    }

    #[test]
    fn without_annotation_certificates_are_kept_as_long_as_they_are_named() {
        let made = made_for(shop(), json!({}));
        let without = |mut object: Value, annotations: Value| {
            object["metadata"]["annotations"] = annotations;
            world(json!({}), vec![object, made.clone()]).summary("team-a/shop")
        };
        assert_eq!(without(shop().build(), json!({})), ["keep team-a/shop-tls"]);
        let misspelt = json!({"cert-manager.io/clusterissuer": "le"});
        assert_eq!(without(shop().build(), misspelt), ["keep team-a/shop-tls"]);
        let bare = gateway("team-a", "shop").build();
        assert_eq!(without(bare, json!({})), ["delete team-a/shop-tls Unnamed"]);
        let passed = shop().mode("PASSTHROUGH").build();
        assert_eq!(without(passed, json!({})), ["keep team-a/shop-tls"]);
    }

    fn elsewhere(namespace: &str) -> Value {
        json!({"gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": namespace}]})
    }

    #[test]
    fn in_another_namespace() {
        let made = made_for(shop(), elsewhere("istio-system"));
        let record = &made["metadata"]["annotations"]["gateway-certificates.io/owner-uid"];
        assert_eq!(record, &json!("uid-of-shop"));
        assert_eq!(made["metadata"].get("ownerReferences"), None);
        let objects = vec![issuer("True"), shop().build(), made];
        assert_eq!(
            world(elsewhere("istio-system"), objects.clone()).summary("team-a/shop"),
            Vec::<String>::new()
        );
        // What the settings do not list is not touched.
        assert_eq!(
            world(elsewhere("gateways"), objects.clone()).summary("team-a/shop"),
            ["create gateways/shop-tls"]
        );
        assert_eq!(world(json!({}), objects.clone()).summary("team-a/shop"), ["create team-a/shop-tls"]);
        let moved = |ready: Option<&str>| {
            let mut settings = elsewhere("gateways");
            settings["former_gateway_namespaces"] = json!(["istio-system"]);
            let mut objects = objects.clone();
            if let Some(ready) = ready {
                let mut successor = made_for(shop(), settings.clone());
                successor["status"] = json!({"conditions": [{"type": "Ready", "status": ready}]});
                objects.push(successor);
            }
            world(settings, objects).summary("team-a/shop")
        };
        assert_eq!(moved(None), ["create gateways/shop-tls"]);
        assert_eq!(moved(Some("False")), [""; 0]);
        assert_eq!(moved(Some("True")), ["delete istio-system/shop-tls Replaced"]);
        // The placement is unknown now, so existing Certificates are kept.
        let lost =
            json!({"gateway_namespaces": [{"labels": {"istio": "other"}, "namespace": "istio-system"}]});
        assert_eq!(world(lost, objects).summary("team-a/shop"), ["refuse all gateway-namespace-unknown"]);
    }

    fn claimant(name: &str, created: &str) -> GatewayFixture {
        gateway("team-a", name)
            .metadata("creationTimestamp", json!(created))
            .server("shop-tls", &["shop.example.com"])
    }

    #[test]
    fn the_older_gateway_gets_the_secret() {
        let objects = vec![
            issuer("True"),
            claimant("new", "2026-01-02T00:00:00Z").build(),
            claimant("old", "2026-01-01T00:00:00Z").build(),
        ];
        let world = world(json!({}), objects);
        assert_eq!(world.summary("team-a/new"), ["refuse team-a/shop-tls claimed"]);
        assert_eq!(world.summary("team-a/old"), ["create team-a/shop-tls"]);
    }

    #[test]
    fn an_older_gateway_that_is_rejected_does_not_block_others() {
        let withheld =
            claimant("old", "2026-01-01T00:00:00Z").annotations(json!({"cert-manager.io/duration": "90d"}));
        let objects = vec![issuer("True"), claimant("new", "2026-01-02T00:00:00Z").build(), withheld.build()];
        assert_eq!(world(json!({}), objects).summary("team-a/new"), ["create team-a/shop-tls"]);
    }

    #[test]
    fn an_older_gateway_without_a_chance_does_not_block_others() {
        let old = || claimant("old", "2026-01-01T00:00:00Z");
        let world = |old: GatewayFixture| {
            let new = claimant("new", "2026-01-02T00:00:00Z");
            world(json!({}), vec![issuer("True"), new.build(), old.build()])
        };
        let paused = json!({"gateway-certificates.io/paused": "true"});
        assert_eq!(world(old().annotations(paused)).summary("team-a/new"), ["create team-a/shop-tls"]);
        let mut rejected = world(old());
        assert_eq!(rejected.summary("team-a/new"), ["refuse team-a/shop-tls claimed"]);
        rejected.rejected = vec!["team-a/old".to_owned()];
        assert_eq!(rejected.summary("team-a/new"), ["create team-a/shop-tls"]);
    }

    #[test]
    fn an_existing_certificate_is_kept() {
        let young = claimant("new", "2026-01-02T00:00:00Z");
        let made = made_for(claimant("new", "2026-01-02T00:00:00Z"), json!({}));
        let objects =
            vec![issuer("True"), young.build(), claimant("old", "2026-01-01T00:00:00Z").build(), made];
        let world = world(json!({}), objects);
        assert_eq!(world.summary("team-a/new"), Vec::<String>::new());
        assert_eq!(world.summary("team-a/old"), ["refuse team-a/shop-tls secret-not-owned"]);
    }

    #[test]
    fn a_temporary_certificate_is_kept_while_the_issuer_is_unknown() {
        let made = made_for(shop(), json!({}));
        assert_eq!(made["metadata"]["annotations"][annotation::ISSUE_TEMPORARY_CERTIFICATE], "true");
        let settings = json!({"rules": {"issuer-not-found": "warn"}});
        let changed = gateway("team-a", "shop").server("shop-tls", &["new.example.com"]).build();
        let decision = world(settings, vec![changed, made]).decide("team-a/shop");
        assert_eq!(
            decision.change[0].body["metadata"]["annotations"][annotation::ISSUE_TEMPORARY_CERTIFICATE],
            "true"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_created_certificate_is_expected() {
        let world = world(json!({}), vec![issuer("True"), shop().build()]);
        world.caches.expect(&world.decide("team-a/shop").create[0].secret);
        assert_eq!(world.decide("team-a/shop"), Decision { again: true, ..Decision::default() });
        tokio::time::sleep(std::time::Duration::from_secs(11)).await;
        assert_eq!(world.summary("team-a/shop"), ["create team-a/shop-tls"]);
    }

    #[test]
    fn a_certificate_that_is_up_to_date_is_not_withheld() {
        let made = made_for(shop(), json!({}));
        let world = world(json!({}), vec![issuer("False"), shop().build(), made]);
        assert_eq!(world.summary("team-a/shop"), Vec::<String>::new());
    }

    #[test]
    fn a_certificate_waits_for_its_issuer() {
        let summary = |ready| world(json!({}), vec![issuer(ready), shop().build()]).summary("team-a/shop");
        assert_eq!(summary("False"), ["refuse all issuer-not-ready"]);
        assert_eq!(summary("True"), ["create team-a/shop-tls"]);
    }
}
