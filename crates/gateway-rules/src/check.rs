//! The check of one Gateway: all findings about it. The policy and the controller both call it.

use certificate_shim::Certificate;
use certificate_shim::annotation::CLUSTER_ISSUER;
use certificate_shim::gateway::Gateway;
use certificate_shim::issuer_ref::{IssuerRef, resolve};
use certificate_shim::plan::{Plan, SecretName, secrets_named};

use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::issuance;
use crate::lookup::{Known, Lookups};
use crate::named::{self, Served};
use crate::parent::Parent;
use crate::ratchet::ratchet;
use crate::rule::Caller;
use crate::rules;
use crate::settings::Settings;

/// The result of the check of one state of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckResult {
    /// The issuer that its annotations resolve to, even if they contradict each other; `None` if it
    /// is not annotated.
    pub issuer: Option<IssuerRef>,
    /// Whether the annotations agree on that issuer.
    pub issuer_is_sound: bool,
    /// Every Secret that it names anywhere, sorted. For an update in the namespace
    /// [`UNKNOWN`](named::UNKNOWN) if that of the gateway Pods is not known.
    pub named: Vec<SecretName>,
    /// The hosts that it serves, each with a Secret. Empty if no finding is about the whole object,
    /// because then they are not compared.
    pub served: Served,
    /// The Certificates that it asks for. For the controller with a temporary certificate if their
    /// issuer solves by HTTP-01.
    pub plan: Plan,
    /// Whether every issuer of the plan was found. If one could not be looked up, no Certificate
    /// asks for a temporary certificate, and existing ones keep what they have. Always false for the
    /// policy, which creates none.
    pub issuers_are_known: bool,
    /// All findings, in the order of the rules.
    pub findings: Vec<Finding>,
}

impl CheckResult {
    /// The findings of a level.
    pub fn at(&self, level: Level) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.level == level)
    }

    /// Whether any finding rejects it.
    pub fn is_rejected(&self) -> bool {
        self.at(Level::Reject).next().is_some()
    }

    /// The Secrets that it gets Certificates for, sorted.
    pub fn planned(&self) -> Vec<SecretName> {
        self.plan.secrets()
    }
}

/// Checks one state of a Gateway.
pub fn check(written: &Gateway<'_>, settings: &Settings, known: &dyn Known, caller: Caller) -> CheckResult {
    let parent = Parent::of(written, known);
    let merged = parent.as_ref().and_then(|parent| parent.merged(written));
    let gateway = merged.as_ref().unwrap_or(written);
    run(Context::new(written, gateway, parent.as_ref(), settings, known), caller)
}

/// Checks the Gateway at admission, and turns findings that its old state already had into warnings.
/// Returns whether there were any. For the old state nothing is looked up that the new state did not
/// ask for.
pub fn check_update(
    new: &Gateway<'_>,
    old: Option<&Gateway<'_>>,
    settings: &Settings,
    lookups: &Lookups<'_>,
) -> (CheckResult, bool) {
    // Under another parent or issuer, nothing that the old state had counts. The issuer of a ListenerSet
    // is another one, too, if a parent can change it and could not change it before.
    let is_comparable = |old: &&Gateway<'_>| {
        let is_as_final =
            new.annotation(CLUSTER_ISSUER).is_some() == old.annotation(CLUSTER_ISSUER).is_some();
        new.parent_ref == old.parent_ref
            && resolve(new) == resolve(old)
            && (new.parent_ref.is_none() || is_as_final)
    };
    let Some(old) = old.filter(is_comparable) else {
        return (check(new, settings, lookups, Caller::Admission), false);
    };
    let parent = Parent::of(new, lookups);
    let merged = |gateway| parent.as_ref().and_then(|parent| parent.merged(gateway));
    let (new_merged, old_merged) = (merged(new), merged(old));
    let remembered = lookups.remembered();
    let mut context =
        Context::new(new, new_merged.as_ref().unwrap_or(new), parent.as_ref(), settings, lookups);
    let mut old_context =
        Context::new(old, old_merged.as_ref().unwrap_or(old), parent.as_ref(), settings, &remembered);
    (context.has_unknown_namespace, old_context.has_unknown_namespace) = (true, true);
    if context.issuer == old_context.issuer {
        context.unchanged = unchanged(&context.plan, &old_context.plan);
    }
    let mut result = run(context, Caller::Admission);
    let lowered = result.is_rejected() && ratchet(&mut result, &run(old_context, Caller::Admission));
    (result, lowered)
}

/// The Secrets whose Certificates are the same in both plans, except for labels. Sorted.
fn unchanged(new: &Plan, old: &Plan) -> Vec<SecretName> {
    let Some((template, old_template)) = new.template().zip(old.template()) else { return Vec::new() };
    if !template.is_alike(old_template) || old.issued().is_empty() {
        return Vec::new();
    }
    let before = old.by_secret();
    let is_same = |(secret, certificate): &(&(&str, &str), &&Certificate)| {
        before.get(*secret).is_some_and(|old| {
            let (new_hosts, old_hosts) = (certificate.hosts.iter(), old.hosts.iter());
            certificate.private_key == old.private_key
                && new_hosts.map(|host| &host.name).eq(old_hosts.map(|host| &host.name))
        })
    };
    new.by_secret().iter().filter(is_same).map(|(_, certificate)| certificate.secret()).collect()
}

fn run(mut context: Context<'_>, caller: Caller) -> CheckResult {
    let mut findings = rules::check(&context, caller);
    for finding in findings.iter_mut().filter(|finding| finding.level == Level::Reject) {
        if let Some(exception) = context.settings.exception(&context.gateway.metadata, finding.rule) {
            finding.level = Level::Warn;
            finding.exception = Some(exception.reason.clone());
        }
    }
    let is_about_whole =
        |finding: &Finding| rules::find(finding.rule).is_some_and(|rule| rule.is_about_whole);
    let served = if findings.iter().any(is_about_whole) { named::served(&context) } else { Served::new() };
    let for_controller = caller == Caller::Controller;
    let issuers_are_known = for_controller && context.issuers().iter().all(|issuer| issuer.outcome.is_ok());
    if for_controller {
        issuance::ask_for_temporary(&mut context);
    }
    CheckResult {
        issuer: context.issuer.as_ref().map(|issuer| issuer.reference.clone()),
        issuer_is_sound: context.issuer_ref().is_some(),
        named: secrets_named(context.gateway, named::places(&context)),
        served,
        plan: context.plan,
        issuers_are_known,
        findings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, issuer, istio};
    use crate::lookup::LookupError;
    use rstest::rstest;
    use serde_json::{Value, json};

    /// The owner of a Secret is not looked up again only if its Certificate was issued before.
    #[rstest]
    #[case::a_label("/metadata/labels", json!({"a": "b"}), false)]
    #[case::contradicting_annotations("/metadata/annotations/cert-manager.io~1issuer", json!("le"), true)]
    #[case::unreadable_annotation("/metadata/annotations/cert-manager.io~1duration", json!("x"), true)]
    fn owners_of_an_update(#[case] old_has: &str, #[case] value: Value, #[case] is_asked: bool) {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let new = istio("shop").cert_manager("cluster-issuer", "le");
        let mut old = new.object();
        let (parent, key) = old_has.rsplit_once('/').unwrap();
        old.pointer_mut(parent).unwrap()[key.replace("~1", "/")] = value;
        new.update_from(&istio("shop").with("", old), &cluster);
        assert_eq!(cluster.asked_for_certificates().is_empty(), !is_asked);
    }

    fn http01() -> Value {
        json!([{"dns01": {}}, {"http01": {"ingress": {"ingressClassName": "istio"}}}])
    }

    fn asks(gateway: &GatewayFixture, cluster: &TestCluster, caller: Caller) -> (Vec<bool>, bool) {
        let result = gateway.checked(cluster, caller);
        let asks = result.plan.certificates.iter().map(|certificate| certificate.issue_temporary);
        (asks.collect(), result.issuers_are_known)
    }

    #[rstest]
    #[case::http01(istio("shop"), json!({"acme": {"solvers": http01()}}), true)]
    #[case::dns01(istio("shop"), json!({"acme": {"solvers": [{"dns01": {}}]}}), false)]
    #[case::no_acme(istio("shop"), json!({"ca": {"secretName": "ca"}}), false)]
    #[case::cert_manager_makes_those(gateway_api("web"), json!({"acme": {"solvers": http01()}}), false)]
    fn a_temporary_certificate(#[case] gateway: GatewayFixture, #[case] spec: Value, #[case] expected: bool) {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready().spec(spec));
        let gateway = gateway.cert_manager("cluster-issuer", "le");
        assert_eq!(asks(&gateway, &cluster, Caller::Controller), (vec![expected], true));
        assert_eq!(asks(&gateway, &cluster, Caller::Admission), (vec![false], false));
    }

    #[test]
    fn every_namespace_has_its_own_issuer() {
        let gateway = istio("shop").cert_manager("issuer", "le").settings(json!({"gateway_namespaces": [
            {"labels": {"istio": "ingressgateway", "zone": "a"}, "namespace": "zone-a"},
            {"labels": {"istio": "ingressgateway", "zone": "b"}, "namespace": "zone-b"},
        ]}));
        let cluster = TestCluster::default().object(issuer("zone-b", "le").ready().solvers(http01()));
        assert_eq!(asks(&gateway, &cluster, Caller::Controller), (vec![false, true], false));
    }

    #[test]
    fn an_issuer_that_cannot_be_looked_up() {
        let object = crate::lookup::ObjectRef {
            api_version: "cert-manager.io/v1".into(),
            kind: "ClusterIssuer".into(),
            namespace: None,
            name: "le".into(),
        };
        let cluster = TestCluster::default().answer(&object, Err(LookupError::Forbidden));
        let gateway = istio("shop").cert_manager("cluster-issuer", "le");
        assert_eq!(asks(&gateway, &cluster, Caller::Controller), (vec![false], false));
    }
}
