//! The reconciliation of one Gateway: carries out the decision and reports it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use certificate_shim::plan::SecretName;
use gateway_rules::Settings;
use kube::ResourceExt;
use kube::api::DynamicObject;

use crate::cache::Caches;
use crate::decide::{Decision, DesiredObject, Withheld, decide, foreign};
use crate::desired::Violation;
use crate::events::{Events, NewEvent, Problem, Reason, Regarding, Subject};
use crate::kinds::{Role, Served};
use crate::metrics::{Deleted, Metrics};
use crate::objects::{Key, ObservedCertificate, ObservedGateway};
use crate::queue::{Due, Next};
use crate::readiness::Changes;
use crate::status::{Condition, GatewayStatus};
use crate::writes::{ApiError, Changed, SecretState, Writer};

/// The number of retries, about four seconds in total, before the Certificates of a missing Gateway are
/// deleted and before a missing right is reported. In this time, a Gateway that is replaced exists again
/// and takes over, the deletion of CustomResourceDefinitions is visible, and an API server that has just
/// started has read its Roles.
const PATIENCE: u32 = 3;

/// Reconciles Gateways.
#[derive(Clone)]
pub struct Reconciler {
    /// The caches.
    pub caches: Caches,
    /// The policy's settings.
    pub settings: Arc<Settings>,
    /// Writes Certificates.
    pub writer: Writer,
    /// Writes Events.
    pub events: Events,
    /// The metrics.
    pub metrics: Metrics,
    /// The rules that are violated.
    pub reported: Reported,
    /// The readiness of Certificates that has been reported.
    pub changes: Changes,
    /// Writes the status of Gateways, with `--gateway-status`.
    pub status: Option<GatewayStatus>,
    /// Whether Secrets in a Gateway's own namespace are checked too.
    pub check_own_secrets: bool,
}

/// The outcome of a reconciliation. If there are several, the last one in this list is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Unchanged,
    Withheld,
    Deleted,
    Changed,
    Created,
    Stale,
    Failed,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Unchanged => "unchanged",
            Outcome::Withheld => "withheld",
            Outcome::Deleted => "deleted",
            Outcome::Changed => "changed",
            Outcome::Created => "created",
            Outcome::Stale => "stale",
            Outcome::Failed => "failed",
        }
    }
}

/// The state of one reconciliation.
struct Reconciliation<'r> {
    reconciler: &'r Reconciler,
    key: &'r Key,
    uid: String,
    outcome: Outcome,
    withheld: Vec<Withheld>,
    /// Whether it must be reconciled again even if nothing changes.
    again: bool,
    /// Whether errors that can be transient are not reported yet.
    is_patient: bool,
    /// Namespaces in which a request failed. No more requests are sent there this time, since each one
    /// can take half a minute to fail.
    failing: BTreeSet<String>,
}

impl Reconciler {
    /// Reconciles one Gateway, which does not have to exist.
    pub async fn reconcile(&self, due: &Due) -> Next {
        let _timer = self.metrics.time_reconcile(due.due_for);
        let key = &due.key;
        let view = self.caches.view(key);
        let mut reconciliation = Reconciliation {
            reconciler: self,
            key,
            uid: view.gateway.as_ref().map(|gateway| gateway.uid.clone()).unwrap_or_default(),
            outcome: Outcome::Unchanged,
            withheld: Vec::new(),
            again: false,
            is_patient: due.retries < PATIENCE,
            failing: BTreeSet::new(),
        };
        match &view.gateway {
            Some(gateway) => {
                let decision = decide(gateway, &view.certificates, &self.caches, &self.settings);
                reconciliation.act(gateway, decision).await;
                reconciliation.show(gateway, &view.certificates).await;
            }
            // Kubernetes deletes the Certificates with an owner reference.
            None => {
                let recorded = view.certificates.iter().filter(|observed| is_recorded(observed));
                for certificate in recorded {
                    reconciliation.delete(certificate).await;
                }
            }
        }
        reconciliation.end(view.gateway.is_some())
    }
}

fn is_recorded(certificate: &ObservedCertificate) -> bool {
    certificate.owner.as_ref().is_some_and(|owner| owner.api_version.is_none())
}

impl Reconciliation<'_> {
    async fn act(&mut self, gateway: &ObservedGateway, decision: Decision) {
        self.withheld = decision.withheld;
        self.again = decision.again;
        for planned in &decision.create {
            self.create(gateway, planned).await;
        }
        for planned in &decision.change {
            self.change(planned).await;
        }
        for certificate in &decision.delete {
            self.delete(certificate).await;
        }
    }

    async fn create(&mut self, gateway: &ObservedGateway, planned: &DesiredObject) {
        let DesiredObject { secret, body, .. } = planned;
        let Some(served) = self.served(Role::Certificates, secret) else { return };
        let is_elsewhere = secret.namespace != gateway.key.namespace;
        if (is_elsewhere || self.reconciler.check_own_secrets) && !self.is_free(secret).await {
            return;
        }
        match self.reconciler.writer.create(&served.resource, body).await {
            Ok(created) => {
                self.reconciler.caches.expect(secret);
                self.reached(Outcome::Created);
                let issuer = &body["spec"]["issuerRef"];
                let kind = issuer["kind"].as_str().unwrap_or_default();
                let name = issuer["name"].as_str().unwrap_or_default();
                let text = format!("Created Certificate {secret} ({kind} {name})");
                self.tell(Reason::CreateCertificate, text, &created);
            }
            Err(trouble) => self.trouble(secret, trouble),
        }
    }

    /// Whether a Secret may be written. If not, the rejection is recorded.
    async fn is_free(&mut self, secret: &SecretName) -> bool {
        let violation = match self.reconciler.writer.secret(secret).await {
            Ok(SecretState::Free) => return true,
            Ok(SecretState::Foreign(reason)) => Violation::new(
                "secret-not-issued",
                format!("the Secret {secret} already exists, and {reason}"),
                "Use another Secret, or delete the existing one.",
            ),
            Ok(SecretState::Unchecked(_)) if self.is_patient => {
                self.again = true;
                return false;
            }
            Ok(SecretState::Unchecked(message)) => Violation::new(
                "secret-unchecked",
                format!("the owner of the Secret {secret} cannot be checked ({message})"),
                format!(
                    "Platform team: grant get on secrets in {} to the controller's ServiceAccount.",
                    secret.namespace
                ),
            ),
            Err(trouble) => {
                self.trouble(secret, trouble);
                return false;
            }
        };
        self.withheld.push(Withheld::one(secret, violation).retried());
        false
    }

    async fn change(&mut self, planned: &DesiredObject) {
        let DesiredObject { secret, body, field } = planned;
        let Some(served) = self.served(Role::Certificates, secret) else { return };
        match self.reconciler.writer.change(&served.resource, self.key, body).await {
            Ok(Changed::Made(changed)) => {
                self.reached(Outcome::Changed);
                self.tell(
                    Reason::UpdateCertificate,
                    format!("Changed Certificate {secret} ({field})"),
                    &changed,
                );
            }
            // The cache is out of date.
            Ok(Changed::Already) => {}
            Ok(Changed::Foreign) => {
                let problem = format!("the Certificate {secret} no longer belongs to this Gateway");
                self.withheld.push(Withheld::one(secret, foreign(problem)).retried());
            }
            Ok(Changed::Undone(field)) => {
                let violation = Violation::new(
                    "write-rejected",
                    format!("{field} of the Certificate {secret} is reverted after each write"),
                    "Find the webhook or controller that reverts it, or update cert-manager's CustomResourceDefinitions.",
                );
                self.withheld.push(Withheld::one(secret, violation).retried());
            }
            Err(trouble) => self.trouble(secret, trouble),
        }
    }

    /// Deletes a Certificate, if a live request for its Gateway confirms that it is not needed.
    async fn delete(&mut self, certificate: &ObservedCertificate) {
        let secret = &certificate.name;
        let (Some(gateways), Some(served)) =
            (self.served(Role::Gateways, secret), self.served(Role::Certificates, secret))
        else {
            return;
        };
        let why = match self.is_unwanted(&gateways, certificate).await {
            Ok(Some(why)) => why,
            Ok(None) => return,
            Err(trouble) => return self.trouble(secret, trouble),
        };
        match self.reconciler.writer.delete(&served.resource, self.key, secret).await {
            Ok(true) => {
                self.reached(Outcome::Deleted);
                let is_gone = self.uid.is_empty();
                let reason = if is_gone { Deleted::GatewayGone } else { Deleted::NotRequested };
                self.reconciler.metrics.deleted(reason);
                tracing::info!(gateway = %self.key, certificate = %secret, why, "deleted a Certificate");
                if !self.uid.is_empty() {
                    let text = format!("Deleted Certificate {secret}: {why}. Its Secret is kept.");
                    self.publish(Reason::DeleteCertificate, text, certificate.uid.clone());
                }
            }
            Ok(false) => {}
            Err(trouble) => self.trouble(secret, trouble),
        }
    }

    /// The reason why a Certificate is no longer needed, from a live request for its Gateway.
    async fn is_unwanted(
        &mut self,
        gateways: &Served,
        certificate: &ObservedCertificate,
    ) -> Result<Option<&'static str>, ApiError> {
        let Key { namespace, name } = self.key;
        let settings = &self.reconciler.settings;
        if let Some(live) = self.reconciler.writer.get(&gateways.resource, namespace, name).await? {
            let live = ObservedGateway::of(&live, settings);
            if live.is_deleting || live.unreadable.is_some() {
                return Ok(None);
            }
            if live.plans(&certificate.name) {
                // The cache is out of date.
                self.again = true;
                return Ok(None);
            }
            return Ok(Some("the Gateway no longer requests it"));
        }
        if !is_recorded(certificate) {
            return Ok(None);
        }
        if self.is_patient {
            self.again = true;
            return Ok(None);
        }
        // Gateways that are deleted with their CustomResourceDefinition do not count as deleted.
        if self.reconciler.writer.can_be_created(&gateways.resource).await? {
            Ok(Some("its Gateway was deleted"))
        } else {
            Err(ApiError::Failed("Istio's Gateways are no longer served".to_owned()))
        }
    }

    /// The served versions of a kind; `None` if nothing can be done for that Secret now.
    fn served(&mut self, role: Role, secret: &SecretName) -> Option<Served> {
        if self.failing.contains(&secret.namespace) {
            return None;
        }
        let served = self.reconciler.caches.served(role);
        // The kind has been removed since the caches were ready. Its return is noticed.
        if served.is_none() {
            self.reached(Outcome::Stale);
        }
        served
    }

    fn trouble(&mut self, secret: &SecretName, trouble: ApiError) {
        match trouble {
            ApiError::Conflict(text) => {
                self.again = true;
                self.reached(Outcome::Stale);
                tracing::debug!(gateway = %self.key, certificate = %secret, text, "out of date, will retry");
            }
            ApiError::Forbidden(text) if self.is_patient => {
                self.again = true;
                tracing::debug!(gateway = %self.key, certificate = %secret, text, "forbidden, will retry");
            }
            ApiError::Rejected(message) | ApiError::Forbidden(message) => {
                let message = message.trim_end_matches('.');
                let violation = Violation::new(
                    "write-rejected",
                    format!("the API server rejects the Certificate {secret} ({message})"),
                    "The controller will retry.",
                );
                self.withheld.push(Withheld::one(secret, violation).retried());
            }
            ApiError::Failed(text) => {
                self.again = true;
                self.failing.insert(secret.namespace.clone());
                self.reached(Outcome::Failed);
                tracing::warn!(gateway = %self.key, certificate = %secret, text, "reconciliation failed, will retry");
            }
        }
    }

    /// Shows the state of the Certificates on their Gateway.
    async fn show(&mut self, gateway: &ObservedGateway, certificates: &[Arc<ObservedCertificate>]) {
        let report = self.reconciler.changes.observe(self.key, certificates);
        for ready in report.ready {
            self.publish(Reason::CertificateReady, ready.text, ready.occurrence);
        }
        let regarding = Regarding::gateway(self.key, &self.uid);
        self.reconciler.events.set_problems(&regarding, Reason::CertificateFailed, report.problems);
        let (Some(status), Some(served)) =
            (&self.reconciler.status, self.reconciler.caches.served(Role::Gateways))
        else {
            return;
        };
        let desired = Condition::desired(gateway, certificates, &self.withheld);
        if let Err(error) = status.sync(&served.resource, gateway, desired.as_ref()).await {
            tracing::warn!(gateway = %self.key, %error, "cannot write the status");
            // A right that is missing stays so for long.
            self.again |= self.is_patient || !matches!(error, ApiError::Forbidden(_));
        }
    }

    fn reached(&mut self, outcome: Outcome) {
        self.outcome = self.outcome.max(outcome);
    }

    fn tell(&self, reason: Reason, text: String, written: &DynamicObject) {
        self.publish(reason, text, written.resource_version().unwrap_or_default());
    }

    fn publish(&self, reason: Reason, text: String, occurrence: String) {
        let regarding = Regarding::gateway(self.key, &self.uid);
        self.reconciler.events.publish(NewEvent { regarding, reason, text, occurrence });
    }

    fn end(mut self, is_there: bool) -> Next {
        if !self.withheld.is_empty() {
            self.reached(Outcome::Withheld);
        }
        self.reconciler.reported.set(self.key, &self.withheld, &self.reconciler.metrics);
        if is_there {
            let regarding = Regarding::gateway(self.key, &self.uid);
            let problems = self.withheld.iter().map(|withheld| Problem::from(withheld.text())).collect();
            self.reconciler.events.set_problems(&regarding, Reason::CertificateWithheld, problems);
        } else {
            self.reconciler.events.forget(Subject::Gateway, self.key);
            self.reconciler.changes.forget(self.key);
        }
        self.reconciler.metrics.reconciled(self.outcome.as_str());
        let again = self.again || self.withheld.iter().any(|withheld| withheld.retry);
        if again {
            self.reconciler.metrics.retries.inc();
            Next::Retry
        } else {
            Next::Wait
        }
    }
}

/// The rules that each Gateway violates, for the metrics. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Reported(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    gateways: BTreeMap<Key, BTreeSet<&'static str>>,
    /// The number of Gateways that get no Certificate because of each rule.
    by_rule: BTreeMap<&'static str, i64>,
}

impl Reported {
    /// Clears everything, since another replica reports from now on.
    pub fn clear(&self, metrics: &Metrics) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.gateways.clear();
        state.by_rule.values_mut().for_each(|count| *count = 0);
        metrics.set_violations(&state.by_rule);
    }

    /// Sets the current violations of a Gateway.
    fn set(&self, key: &Key, withheld: &[Withheld], metrics: &Metrics) {
        let now: BTreeSet<&'static str> = withheld
            .iter()
            .flat_map(|withheld| &withheld.violations)
            .map(|violation| violation.rule)
            .collect();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.gateways.remove(key).unwrap_or_default();
        if before != now {
            for rule in &before {
                *state.by_rule.entry(rule).or_default() -= 1;
            }
            for rule in &now {
                *state.by_rule.entry(rule).or_default() += 1;
            }
            metrics.set_violations(&state.by_rule);
        }
        if !now.is_empty() {
            state.gateways.insert(key.clone(), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_counted_by_violated_rule() {
        let key = Key { namespace: "team-a".to_owned(), name: "shop".to_owned() };
        let withheld = |rule| Withheld {
            secret: None,
            violations: vec![Violation::new(rule, "it is wrong", "Fix it.")],
            retry: false,
        };
        let (reported, metrics) = (Reported::default(), Metrics::new().unwrap());
        let set = |rules: &[&'static str]| {
            let withheld: Vec<_> = rules.iter().map(|rule| withheld(rule)).collect();
            reported.set(&key, &withheld, &metrics);
        };
        set(&["a"]);
        set(&["a", "b"]);
        set(&[]);
        set(&["a", "a"]);
        let text = metrics.text();
        assert!(
            text.contains("violations{rule=\"a\"} 1") && text.contains("violations{rule=\"b\"} 0"),
            "{text}"
        );

        reported.clear(&metrics);
        let text = metrics.text();
        assert!(text.contains("violations{rule=\"a\"} 0"), "{text}");
    }
}
