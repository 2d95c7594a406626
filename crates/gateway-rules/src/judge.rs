//! One judgement: a Gateway in, everything that is found out. The policy and the controller both
//! come through here.

use certificate_shim::gateway::Gateway;
use certificate_shim::issuer_ref::IssuerRef;
use certificate_shim::plan::{Plan, SecretName, secrets_named};

use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::issuance;
use crate::lookup::Lookups;
use crate::parent::Parent;
use crate::rules::{self, Asker};
use crate::settings::Settings;

/// What is found about one state of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The issuer that its annotations resolve to, also where they contradict each other; none
    /// where it is not annotated.
    pub issuer: Option<IssuerRef>,
    /// Whether the annotations agree on that issuer.
    pub issuer_is_sound: bool,
    /// Every Secret that it names anywhere.
    pub named: Vec<SecretName>,
    /// The Certificates that it asks for. For the controller with a temporary certificate where
    /// their issuer solves by HTTP-01.
    pub plan: Plan,
    /// Whether the plan rests on every issuer that it names. Where one could not be looked up, none
    /// of its Certificates asks for a temporary certificate, and those that are there keep what they
    /// have. Always false for the policy, which creates none.
    pub issuers_are_known: bool,
    /// All findings, in the order of the rules.
    pub findings: Vec<Finding>,
}

impl Judgement {
    /// Whether any finding refuses it.
    pub fn is_refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Reject)
    }

    /// The Secrets that it gets Certificates for, sorted.
    pub fn planned(&self) -> Vec<SecretName> {
        self.plan.secrets()
    }
}

/// Judges a Gateway as it is or is going to be.
pub fn judge(gateway: &Gateway<'_>, settings: &Settings, lookups: &Lookups<'_>, asker: Asker) -> Judgement {
    conclude(gateway, settings, lookups, asker, false)
}

/// Judges an earlier state of the Gateway, from memory: it is never looked up itself, so that only
/// what the present state asked for is known.
pub(crate) fn judge_from_memory(
    gateway: &Gateway<'_>,
    settings: &Settings,
    lookups: &Lookups<'_>,
) -> Judgement {
    conclude(gateway, settings, lookups, Asker::Admission, true)
}

fn conclude(
    written: &Gateway<'_>,
    settings: &Settings,
    lookups: &Lookups<'_>,
    asker: Asker,
    from_memory: bool,
) -> Judgement {
    let parent = Parent::of(written, lookups, from_memory);
    let heir = parent.as_ref().and_then(|parent| parent.heir(written));
    let mut context = Context::new(written, heir.as_ref().unwrap_or(written), settings, lookups);
    context.parent = parent.as_ref();
    context.from_memory = from_memory;
    let findings = rules::check(&context, asker);
    let for_controller = asker == Asker::Controller;
    let issuers_are_known = for_controller && context.issuers().iter().all(|issuer| issuer.outcome.is_ok());
    if for_controller {
        issuance::ask_for_temporary(&mut context);
    }
    Judgement {
        issuer: context.issuer.as_ref().map(|issuer| issuer.reference.clone()),
        issuer_is_sound: context.issuer_ref().is_some(),
        named: secrets_named(context.gateway, &context.placement),
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

    fn http01() -> Value {
        json!([{"dns01": {}}, {"http01": {"ingress": {"ingressClassName": "istio"}}}])
    }

    fn asks(gateway: &GatewayFixture, cluster: &TestCluster, asker: Asker) -> (Vec<bool>, bool) {
        let judgement = gateway.judged(cluster, asker);
        let asks = judgement.plan.certificates.iter().map(|certificate| certificate.issue_temporary);
        (asks.collect(), judgement.issuers_are_known)
    }

    #[rstest]
    #[case::http01(istio("shop"), json!({"acme": {"solvers": http01()}}), true)]
    #[case::dns01(istio("shop"), json!({"acme": {"solvers": [{"dns01": {}}]}}), false)]
    #[case::no_acme(istio("shop"), json!({"ca": {"secretName": "ca"}}), false)]
    #[case::cert_manager_makes_those(gateway_api("web"), json!({"acme": {"solvers": http01()}}), false)]
    fn a_temporary_certificate(#[case] gateway: GatewayFixture, #[case] spec: Value, #[case] expected: bool) {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready().spec(spec));
        let gateway = gateway.cert_manager("cluster-issuer", "le");
        assert_eq!(asks(&gateway, &cluster, Asker::Controller), (vec![expected], true));
        assert_eq!(asks(&gateway, &cluster, Asker::Admission), (vec![false], false));
    }

    #[test]
    fn every_namespace_has_its_own_issuer() {
        let gateway = istio("shop").cert_manager("issuer", "le").settings(json!({"gateway_namespaces": [
            {"labels": {"istio": "ingressgateway", "zone": "a"}, "namespace": "zone-a"},
            {"labels": {"istio": "ingressgateway", "zone": "b"}, "namespace": "zone-b"},
        ]}));
        let cluster = TestCluster::default().object(issuer("zone-b", "le").ready().solvers(http01()));
        assert_eq!(asks(&gateway, &cluster, Asker::Controller), (vec![false, true], false));
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
        assert_eq!(asks(&gateway, &cluster, Asker::Controller), (vec![false], false));
    }
}
