//! Decides what to do for one Gateway, from the caches alone.

use std::sync::Arc;

use certificate_shim::Certificate;
use certificate_shim::annotation::ISSUE_TEMPORARY_CERTIFICATE;
use certificate_shim::plan::SecretName;
use gateway_rules::lookup::Lookups;
use gateway_rules::rule::Caller;
use gateway_rules::{CheckResult, Settings, check};
use serde_json::{Value, json};

use crate::cache::Caches;
use crate::desired::{Violation, desired, violations_of_all, violations_of_unplanned};
use crate::kinds::{Role, Served};
use crate::objects::{ObservedCertificate, ObservedGateway};
use crate::writes::{difference, ours};

/// The changes to make for one Gateway.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision {
    /// Certificates to create, in the order of the plan.
    pub create: Vec<DesiredObject>,
    /// Certificates to change, in the order of the plan.
    pub change: Vec<DesiredObject>,
    /// Certificates to delete, unless a live request shows that the Gateway still needs them.
    pub delete: Vec<Arc<ObservedCertificate>>,
    /// The Certificates that it does not get.
    pub withheld: Vec<Withheld>,
    /// Whether the caches do not contain the latest writes yet, so that it must be reconciled again.
    pub again: bool,
}

/// The desired state of a Certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredObject {
    /// The Secret, which has the same name as the Certificate.
    pub secret: SecretName,
    /// The complete object.
    pub body: Value,
    /// The first field that differs; empty for a new Certificate.
    pub field: String,
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

/// Decides about an existing Gateway and the Certificates that belong to it.
pub fn decide(
    gateway: &ObservedGateway,
    certificates: &[Arc<ObservedCertificate>],
    caches: &Caches,
    settings: &Settings,
) -> Decision {
    let mut decision = Decision::default();
    if gateway.is_deleting {
        return decision;
    }
    if gateway.unreadable.is_none() {
        let unplanned = certificates.iter().filter(|certificate| !gateway.plans(&certificate.name));
        decision.delete = unplanned.filter(|certificate| !certificate.is_deleting).cloned().collect();
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
    let served = caches.served(Role::Gateways);
    for desired in desired(&result) {
        let secret = desired.certificate.secret();
        let observed = caches.certificate(&secret);
        let keep_temporary = !result.issuers_are_known;
        let Some(action) =
            action(desired.certificate, observed.as_deref(), gateway, keep_temporary, served.as_ref())
        else {
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
                Action::Create(planned) => match blocker(&secret, gateway, caches, settings) {
                    Some(withheld) => decision.withheld.push(withheld),
                    None => decision.create.push(planned),
                },
                Action::Change(planned) => decision.change.push(planned),
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

/// The step that brings a Certificate to its desired state.
enum Action {
    Create(DesiredObject),
    Change(DesiredObject),
    LeaveToOwner,
}

/// The step that a Certificate needs; `None` if it is up to date or being deleted. Once it is deleted,
/// it is created again.
fn action(
    certificate: &Certificate,
    observed: Option<&ObservedCertificate>,
    gateway: &ObservedGateway,
    keep_temporary: bool,
    served: Option<&Served>,
) -> Option<Action> {
    let secret = certificate.secret();
    let Some(observed) = observed else {
        let body = body(certificate, false, None, served);
        return Some(Action::Create(DesiredObject { secret, body, field: String::new() }));
    };
    if !observed.belongs_to(&gateway.key) {
        return Some(Action::LeaveToOwner);
    }
    if observed.is_deleting {
        return None;
    }
    let body = body(certificate, keep_temporary && observed.asks_for_temporary, Some(observed), served);
    let field = difference(&ours(&body), &observed.owned())?;
    Some(Action::Change(DesiredObject { secret, body, field }))
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

/// The reason not to create a missing Certificate now.
fn blocker(
    secret: &SecretName,
    gateway: &ObservedGateway,
    caches: &Caches,
    settings: &Settings,
) -> Option<Withheld> {
    if let Some(other) = caches.other_writer(secret) {
        let problem = format!("the Certificate {other} writes the Secret {secret}");
        return Some(Withheld::one(secret, foreign(problem)));
    }
    let earlier = caches.earlier_claims(secret, gateway);
    let first = earlier.iter().find(|other| may_have(other, secret, caches, settings))?;
    let violation = Violation::new(
        "claimed",
        format!("the older Gateway {} also names the Secret", first.key),
        "Use another Secret.",
    );
    // Whether the other Gateway gets it can depend on anything that its rules look up.
    Some(Withheld::one(secret, violation).retried())
}

/// Whether the rules would give the Certificate of that Secret to a Gateway now.
fn may_have(gateway: &ObservedGateway, secret: &SecretName, caches: &Caches, settings: &Settings) -> bool {
    if gateway.is_deleting {
        return false;
    }
    let object = gateway.object();
    let Some(result) = result(gateway, &object, caches, settings) else { return false };
    desired(&result)
        .iter()
        .any(|desired| desired.violations.is_empty() && desired.certificate.secret() == *secret)
}

/// The rejection because of a Certificate with another owner. `problem` is a clause.
pub fn foreign(problem: impl AsRef<str>) -> Violation {
    Violation::new("certificate-not-owned", problem, "Use another Secret, or delete that Certificate.")
}

/// The object of a Certificate.
///
/// The owner reference must have a version that is served, or the garbage collector does not find the
/// Gateway. An existing reference keeps its version as long as it is served.
fn body(
    certificate: &Certificate,
    keep_temporary: bool,
    observed: Option<&ObservedCertificate>,
    served: Option<&Served>,
) -> Value {
    let mut body = certificate.to_json();
    if keep_temporary {
        body["metadata"]["annotations"][ISSUE_TEMPORARY_CERTIFICATE] = json!("true");
    }
    if let (Some(served), Some(reference)) = (served, body.pointer_mut("/metadata/ownerReferences/0")) {
        let is_served = |version: &&String| served.api_versions.contains(version);
        let there =
            observed.and_then(|observed| observed.owner.as_ref()?.api_version.as_ref()).filter(is_served);
        reference["apiVersion"] = json!(there.unwrap_or(&served.resource.api_version));
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::watched;
    use crate::testing::{CertificateFixture, GatewayFixture, certificate, gateway};
    use kube::api::DynamicObject;
    use kube::runtime::watcher::Event;
    use rstest::rstest;

    /// Synced caches with those objects.
    struct World {
        caches: Caches,
        settings: Arc<Settings>,
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
        World { caches, settings }
    }

    impl World {
        fn decide(&self, key: &str) -> Decision {
            let (namespace, name) = key.split_once('/').unwrap();
            let key = crate::objects::Key { namespace: namespace.to_owned(), name: name.to_owned() };
            let view = self.caches.view(&key);
            decide(view.gateway.as_ref().unwrap(), &view.certificates, &self.caches, &self.settings)
        }

        fn summary(&self, key: &str) -> Vec<String> {
            let decision = self.decide(key);
            let creates = decision.create.iter().map(|planned| format!("create {}", planned.secret));
            let changes =
                decision.change.iter().map(|planned| format!("change {} {}", planned.secret, planned.field));
            let deletes = decision.delete.iter().map(|observed| format!("delete {}", observed.name));
            let violations = decision.withheld.iter().map(|withheld| {
                let secret = withheld.secret.as_ref().map_or("all".to_owned(), ToString::to_string);
                let rules: Vec<_> = withheld.violations.iter().map(|violation| violation.rule).collect();
                format!("refuse {secret} {}", rules.join(" "))
            });
            creates.chain(changes).chain(deletes).chain(violations).collect()
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
        let fields = json!({
            "f:metadata": {"f:annotations": {}, "f:labels": {}, "f:ownerReferences": {}},
            "f:spec": {},
        });
        body["metadata"]["uid"] = json!("c");
        body["metadata"]["resourceVersion"] = json!("5");
        body["metadata"]["managedFields"] =
            json!([{"manager": crate::fields::MANAGER, "operation": "Update", "fieldsV1": fields}]);
        body
    }

    fn foreign_one(fixture: CertificateFixture) -> Vec<Value> {
        vec![fixture.build()]
    }

    #[rstest]
    #[case::no_certificate(shop(), vec![], &["create team-a/shop-tls"])]
    #[case::up_to_date(shop(), vec![made_for(shop(), json!({}))], &[])]
    #[case::another_host(gateway("team-a", "shop").server("shop-tls", &["new.example.com"]), vec![made_for(shop(), json!({}))], &["change team-a/shop-tls spec.dnsNames"])]
    #[case::another_secret(gateway("team-a", "shop").server("new-tls", &["shop.example.com"]), vec![made_for(shop(), json!({}))], &["create team-a/new-tls", "delete team-a/shop-tls"])]
    #[case::a_new_uid(shop().metadata("uid", json!("new")), vec![made_for(shop(), json!({}))], &["change team-a/shop-tls metadata.ownerReferences"])]
    #[case::being_deleted(shop().metadata("deletionTimestamp", json!("2026-01-01T00:00:00Z")), vec![], &[])]
    #[case::another_owner(shop(), foreign_one(certificate("team-a", "shop-tls").owned_by("networking.istio.io/v1", "other")), &["refuse team-a/shop-tls secret-not-owned"])]
    #[case::no_owner(shop(), foreign_one(certificate("team-a", "shop-tls")), &["refuse team-a/shop-tls secret-not-owned"])]
    #[case::another_writer(shop(), foreign_one(certificate("team-a", "by-hand").writes("shop-tls")), &["refuse team-a/shop-tls certificate-not-owned"])]
    #[case::unknown_mode(shop().mode("PASSTHROUGHH"), vec![], &["refuse team-a/shop-tls tls-mode-unsupported"])]
    #[case::unreadable_value(shop().annotations(json!({"cert-manager.io/duration": "90d"})), vec![made_for(shop(), json!({}))], &["refuse all annotation-invalid"])]
    #[case::of_another_namespace(shop(), foreign_one(certificate("team-b", "x-tls").recorded("team-a", "shop")), &["create team-a/shop-tls", "delete team-b/x-tls"])]
    fn in_the_gateways_namespace(
        #[case] gateway: GatewayFixture,
        #[case] certificates: Vec<Value>,
        #[case] expected: &[&str],
    ) {
        let mut objects = vec![issuer("True"), gateway.build()];
        objects.extend(certificates);
        assert_eq!(world(json!({}), objects).summary("team-a/shop"), expected);
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
    fn without_annotation_certificates_are_deleted() {
        let made = made_for(shop(), json!({}));
        let mut object = shop().build();
        object["metadata"]["annotations"] = json!({});
        assert_eq!(world(json!({}), vec![object, made]).summary("team-a/shop"), ["delete team-a/shop-tls"]);
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
        let moved = world(elsewhere("gateways"), objects.clone());
        assert_eq!(
            moved.summary("team-a/shop"),
            ["create gateways/shop-tls", "delete istio-system/shop-tls"]
        );
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
        assert_eq!(made["metadata"]["annotations"][ISSUE_TEMPORARY_CERTIFICATE], "true");
        let settings = json!({"rules": {"issuer-not-found": "warn"}});
        let changed = gateway("team-a", "shop").server("shop-tls", &["new.example.com"]).build();
        let decision = world(settings, vec![changed, made]).decide("team-a/shop");
        assert_eq!(decision.change[0].body["metadata"]["annotations"][ISSUE_TEMPORARY_CERTIFICATE], "true");
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
