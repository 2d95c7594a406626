//! The status of Gateways, with `--gateway-status`: one condition about their Certificates.
//!
//! Istio's list of conditions is atomic: whoever writes it, by server-side apply too, replaces all of it. So
//! the live object is read, our own entry is changed, and the status is updated with its resourceVersion.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use certificate_shim::plan::SecretName;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::decide::Withheld;
use crate::events::shortened;
use crate::fields::MANAGER;
use crate::metrics::Metrics;
use crate::objects::{ObservedCertificate, ObservedGateway};
use crate::readiness::{Readiness, State};
use crate::writes::ApiError;

/// The type of the condition.
pub const TYPE: &str = "gateway-certificates.io/CertificatesReady";
/// The timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The number of attempts if others change the Gateway meanwhile.
const ATTEMPTS: usize = 5;

/// The condition without the time of its last transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Whether its status is True.
    pub is_true: bool,
    /// Its reason.
    pub reason: Box<str>,
    /// Its message.
    pub message: Box<str>,
    /// The generation of the Gateway that it is about.
    pub generation: i64,
}

impl Condition {
    /// The condition in the status of a Gateway; `None` if it has none, or several, which are replaced.
    pub fn of(status: &Value) -> Option<Self> {
        let mut own = conditions(status).iter().filter(|condition| is_own(condition));
        let (Some(own), None) = (own.next(), own.next()) else { return None };
        let text = |field: &str| own[field].as_str().unwrap_or_default();
        let generation = &own["observedGeneration"];
        Some(Condition {
            is_true: own["status"] == "True",
            reason: text("reason").into(),
            message: text("message").into(),
            // Istio's schema allows both.
            generation: generation.as_i64().or_else(|| generation.as_str()?.parse().ok()).unwrap_or_default(),
        })
    }

    /// The condition that a Gateway should have; `None` if it is not annotated.
    pub fn desired(
        gateway: &ObservedGateway,
        certificates: &[Arc<ObservedCertificate>],
        withheld: &[Withheld],
    ) -> Option<Self> {
        if !gateway.is_annotated() {
            return None;
        }
        let written: BTreeMap<(&str, &str), &Readiness> = certificates
            .iter()
            .map(|found| ((&*found.name.namespace, &*found.secret_name), &found.readiness))
            .collect();
        let of = |secret: &SecretName| written.get(&(&*secret.namespace, &*secret.name)).copied();
        let known: Vec<(&SecretName, &Readiness)> =
            gateway.planned.iter().filter_map(|secret| Some((secret, of(secret)?))).collect();
        let all = gateway.planned.len();
        let ready = known.iter().filter(|(_, readiness)| readiness.is_ready()).count();
        let failed =
            |is_ready| known.iter().find(|(_, found)| found.is_failed() && found.is_ready() == is_ready);
        let (is_true, reason, why) = if let Some(first) = withheld.first() {
            (false, "CertificateWithheld", Some(first.text()))
        } else if let Some((secret, readiness)) = failed(false) {
            (
                false,
                "CertificateFailed",
                Some(format!("Certificate {secret} is not issued{}", because(readiness))),
            )
        } else if ready < all {
            (false, "Pending", None)
        } else if let Some((secret, readiness)) = failed(true) {
            (
                true,
                "RenewalFailed",
                Some(format!("Certificate {secret} is not renewed{}", because(readiness))),
            )
        } else if all == 0 {
            (true, "NoCertificates", None)
        } else {
            (true, "Ready", None)
        };
        let count = format!("{ready} of {all} Certificates are ready.");
        let message = why.map_or_else(|| count.clone(), |why| format!("{count} {why}"));
        Some(Condition {
            is_true,
            reason: reason.into(),
            message: shortened(&message).into(),
            generation: gateway.generation,
        })
    }
}

/// cert-manager's reason for a failure. It disappears while cert-manager tries again, and the message must
/// not change then.
fn because(readiness: &Readiness) -> String {
    match &readiness.state {
        State::Failed { attempts, .. } if *attempts > 0 => format!(": attempt {attempts} failed."),
        State::Failed { why: Some(why), .. } => format!(": {}.", why.to_string().trim_end_matches('.')),
        _ => ".".to_owned(),
    }
}

fn conditions(status: &Value) -> &[Value] {
    status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn is_own(condition: &Value) -> bool {
    condition["type"] == TYPE
}

/// The status with our condition, or without it. Everything else is kept.
fn with(status: &Value, desired: Option<&Condition>, now: Timestamp) -> Value {
    let mut own = conditions(status).iter().filter(|condition| is_own(condition));
    let new = desired.map(|desired| {
        let text = if desired.is_true { "True" } else { "False" };
        let same = own.find(|condition| condition["status"] == text);
        let since = same.and_then(|condition| condition["lastTransitionTime"].as_str());
        // Kubernetes' times have no fractions of seconds.
        let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        json!({
            "type": TYPE,
            "status": text,
            "reason": desired.reason,
            "message": desired.message,
            "observedGeneration": desired.generation,
            "lastTransitionTime": since.map_or(now, str::to_owned),
        })
    });
    let others = conditions(status).iter().filter(|condition| !is_own(condition)).cloned();
    let mut status = if status.is_object() { status.clone() } else { json!({}) };
    status["conditions"] = others.chain(new).collect();
    status
}

/// Writes the condition.
#[derive(Clone)]
pub struct GatewayStatus {
    client: Client,
    metrics: Metrics,
    leads: watch::Receiver<bool>,
}

impl GatewayStatus {
    /// Writes conditions while this replica leads.
    pub fn new(client: Client, metrics: Metrics, leads: watch::Receiver<bool>) -> Self {
        GatewayStatus { client, metrics, leads }
    }

    /// Whether this replica may write. This is checked right before each write.
    fn may_write(&self) -> bool {
        *self.leads.borrow()
    }

    /// Brings the condition of a Gateway to its desired state. Without a difference there is no request.
    ///
    /// # Errors
    /// [`ApiError::Forbidden`] if the right is missing, and [`ApiError::Failed`] if a request fails.
    pub async fn sync(
        &self,
        resource: &ApiResource,
        gateway: &ObservedGateway,
        desired: Option<&Condition>,
    ) -> Result<(), ApiError> {
        if gateway.condition.as_deref() == desired || gateway.is_deleting {
            return Ok(());
        }
        let name = gateway.key.name.as_str();
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &gateway.key.namespace, resource);
        for _ in 0..ATTEMPTS {
            let Some(mut live) = timed(api.get_opt(name)).await? else { return Ok(()) };
            // The next reconciliation is about that one.
            let is_other = live.metadata.uid.as_deref() != Some(&gateway.uid)
                || live.metadata.generation.unwrap_or_default() != gateway.generation;
            if is_other || !self.may_write() {
                return Ok(());
            }
            let status = &live.data["status"];
            if Condition::of(status).as_ref() == desired
                && (desired.is_some() || !conditions(status).iter().any(is_own))
            {
                return Ok(());
            }
            live.data["status"] = with(status, desired, Timestamp::now());
            let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            let written = tokio::time::timeout(TIMEOUT, api.replace_status(name, &parameters, &live)).await;
            self.metrics.wrote("gateways/status", "update", matches!(written, Ok(Ok(_))));
            match written {
                Ok(Ok(_)) => return Ok(()),
                // It has changed meanwhile.
                Ok(Err(kube::Error::Api(status))) if status.code == 409 => {}
                Ok(Err(kube::Error::Api(status))) if status.code == 404 => return Ok(()),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => return Err(no_answer()),
            }
        }
        Err(ApiError::Failed(format!("the Gateway was changed {ATTEMPTS} times meanwhile")))
    }
}

async fn timed<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    match tokio::time::timeout(TIMEOUT, request).await {
        Ok(answer) => answer.map_err(ApiError::from),
        Err(_) => Err(no_answer()),
    }
}

fn no_answer() -> ApiError {
    ApiError::Failed(format!("the API server did not answer within {} s", TIMEOUT.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Violation;
    use crate::testing::{certificate, gateway};
    use gateway_rules::Settings;
    use kube::client::Body;
    use rstest::rstest;
    use std::sync::{Mutex, PoisonError};

    fn observed(object: Value) -> ObservedGateway {
        ObservedGateway::of(&serde_json::from_value(object).unwrap(), &Settings::default())
    }

    fn shop(servers: usize, status: Value) -> Value {
        let mut shop = gateway("team-a", "shop").metadata("generation", json!(3));
        for number in 0..servers {
            shop = shop.server(&format!("{number}-tls"), &["shop.example.com"]);
        }
        let mut shop = shop.build();
        shop["status"] = status;
        shop
    }

    /// A Certificate that is r(eady), p(ending), f(ailed), t(ried again), w(not renewed).
    fn made(name: &str, letter: char) -> Arc<ObservedCertificate> {
        let mut object = certificate("team-a", name)
            .owned_by("networking.istio.io/v1", "shop")
            .managed_by("gateway-certificates")
            .writes(&name.replace("x-", ""))
            .build();
        let ready = if matches!(letter, 'r' | 'w') { "True" } else { "False" };
        let mut conditions = vec![json!({"type": "Ready", "status": ready, "reason": "DoesNotExist"})];
        if matches!(letter, 'f' | 'w') {
            conditions
                .push(json!({"type": "Issuing", "status": "False", "reason": "Failed", "message": "no"}));
        }
        let attempts = u8::from(matches!(letter, 'f' | 't' | 'w'));
        object["status"] = json!({"conditions": conditions, "failedIssuanceAttempts": attempts});
        Arc::new(ObservedCertificate::of(&serde_json::from_value(object).unwrap(), &Settings::default()))
    }

    #[rstest]
    #[case::all_ready(&[("0-tls", 'r'), ("1-tls", 'r')], "True Ready: 2 of 2 Certificates are ready.")]
    #[case::of_another_name(&[("x-0-tls", 'r'), ("1-tls", 'r')], "True Ready: 2 of 2 Certificates are ready.")]
    #[case::none_yet(&[], "False Pending: 0 of 2 Certificates are ready.")]
    #[case::one_pending(&[("0-tls", 'r'), ("1-tls", 'p')], "False Pending: 1 of 2 Certificates are ready.")]
    #[case::one_failed(&[("0-tls", 'r'), ("1-tls", 'f')], "False CertificateFailed: 1 of 2 Certificates are ready. Certificate team-a/1-tls is not issued: attempt 1 failed.")]
    #[case::the_same_while_it_is_tried_again(&[("0-tls", 'r'), ("1-tls", 't')], "False CertificateFailed: 1 of 2 Certificates are ready. Certificate team-a/1-tls is not issued: attempt 1 failed.")]
    #[case::not_renewed(&[("0-tls", 'w'), ("1-tls", 'r')], "True RenewalFailed: 2 of 2 Certificates are ready. Certificate team-a/0-tls is not renewed: attempt 1 failed.")]
    #[case::another_one_does_not_count(&[("0-tls", 'r'), ("1-tls", 'r'), ("old-tls", 'f')], "True Ready: 2 of 2 Certificates are ready.")]
    fn the_desired_condition(#[case] certificates: &[(&str, char)], #[case] expected: &str) {
        let certificates: Vec<_> = certificates.iter().map(|(name, letter)| made(name, *letter)).collect();
        let condition = Condition::desired(&observed(shop(2, json!(null))), &certificates, &[]).unwrap();
        let status = if condition.is_true { "True" } else { "False" };
        assert_eq!(format!("{status} {}: {}", condition.reason, condition.message), expected);
        assert_eq!(condition.generation, 3);
    }

    #[test]
    fn withheld_certificates_and_gateways_without_any() {
        let withheld = [Withheld {
            secret: None,
            violations: vec![Violation::new(
                "issuer-not-found",
                "there is no ClusterIssuer le",
                "Create it.",
            )],
            retry: false,
        }];
        let gateway = observed(shop(1, json!(null)));
        let condition = Condition::desired(&gateway, &[made("0-tls", 'r')], &withheld).unwrap();
        assert_eq!((condition.is_true, &*condition.reason), (false, "CertificateWithheld"));
        assert!(
            condition
                .message
                .ends_with("withheld: issuer-not-found: there is no ClusterIssuer le. Create it.")
        );
        let condition = Condition::desired(&observed(shop(0, json!(null))), &[], &[]).unwrap();
        assert_eq!((condition.is_true, &*condition.reason), (true, "NoCertificates"));
        let mut plain = shop(1, json!(null));
        plain["metadata"]["annotations"] = json!({});
        assert_eq!(Condition::desired(&observed(plain), &[], &[]), None);
    }

    fn other() -> Value {
        json!({"type": "Reconciled", "status": "True", "lastProbeTime": "2026-01-01T00:00:00Z"})
    }

    fn desired(is_true: bool) -> Condition {
        let (reason, message) = if is_true { ("Ready", "all") } else { ("Pending", "none") };
        Condition { is_true, reason: reason.into(), message: message.into(), generation: 3 }
    }

    #[test]
    fn only_our_own_condition_is_changed() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let before = json!({"validationMessages": [{"level": "ERROR"}], "observedGeneration": "2", "conditions": [other()]});
        let first = with(&before, Some(&desired(false)), time("2026-01-01T00:00:00.5Z"));
        assert_eq!(first["conditions"][0], other());
        assert_eq!(first["conditions"][1]["lastTransitionTime"], "2026-01-01T00:00:00Z");
        assert_eq!(first["conditions"][1]["type"], TYPE);
        assert_eq!(Condition::of(&first), Some(desired(false)));
        for field in ["validationMessages", "observedGeneration"] {
            assert_eq!(first[field], before[field]);
        }
        let newer = Condition { generation: 4, ..desired(false) };
        let second = with(&first, Some(&newer), time("2026-01-02T00:00:00Z"));
        assert_eq!(second["conditions"][1]["lastTransitionTime"], "2026-01-01T00:00:00Z", "no transition");
        assert_eq!(Condition::of(&second), Some(newer));
        let third = with(&second, Some(&desired(true)), time("2026-01-03T00:00:00Z"));
        assert_eq!(third["conditions"][1]["lastTransitionTime"], "2026-01-03T00:00:00Z");
        assert_eq!(with(&third, None, time("2026-01-04T00:00:00Z")), before);
        assert_eq!(Condition::of(&json!(null)), None);
    }

    #[test]
    fn a_generation_can_be_text_and_duplicates_are_replaced() {
        let mut status = with(&json!(null), Some(&desired(true)), Timestamp::now());
        status["conditions"][0]["observedGeneration"] = json!("3");
        assert_eq!(Condition::of(&status), Some(desired(true)));
        let twice = status["conditions"][0].clone();
        status["conditions"].as_array_mut().unwrap().push(twice);
        assert_eq!(Condition::of(&status), None);
        let replaced = with(&status, Some(&desired(true)), Timestamp::now());
        assert_eq!(replaced["conditions"].as_array().unwrap().len(), 1);
    }

    /// An API server with one Gateway. It answers the first updates with these codes, after another writer has
    /// added a condition.
    #[derive(Clone)]
    struct Server(Arc<Mutex<Stored>>);

    struct Stored {
        gateway: Value,
        codes: Vec<u16>,
        requests: Vec<String>,
    }

    impl Server {
        fn new(gateway: Value, codes: &[u16]) -> Self {
            let stored = Stored { gateway, codes: codes.to_vec(), requests: Vec::new() };
            Server(Arc::new(Mutex::new(stored)))
        }

        fn status(&self, leads: bool) -> GatewayStatus {
            let server = self.clone();
            let service = tower::service_fn(move |request: http::Request<Body>| {
                let server = server.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect_bytes().await.unwrap();
                    let mut state = server.0.lock().unwrap_or_else(PoisonError::into_inner);
                    let Stored { gateway, codes, requests } = &mut *state;
                    requests.push(format!("{} {}", parts.method, parts.uri.path()));
                    let mut code = 200;
                    let answer = if parts.method == http::Method::PUT {
                        if codes.is_empty() {
                            let sent: Value = serde_json::from_slice(&body).unwrap();
                            assert_eq!(
                                sent["metadata"]["resourceVersion"],
                                gateway["metadata"]["resourceVersion"]
                            );
                            gateway["status"] = sent["status"].clone();
                            gateway.clone()
                        } else {
                            code = codes.remove(0);
                            gateway["metadata"]["resourceVersion"] = json!("2");
                            gateway["status"]["conditions"] = json!([other()]);
                            json!({"kind": "Status", "status": "Failure", "code": code, "message": "no"})
                        }
                    } else {
                        gateway.clone()
                    };
                    let answer = Body::from(answer.to_string().into_bytes());
                    Ok::<_, std::convert::Infallible>(
                        http::Response::builder().status(code).body(answer).unwrap(),
                    )
                }
            });
            let leads = watch::Sender::new(leads).subscribe();
            GatewayStatus::new(Client::new(service, "default"), Metrics::new().unwrap(), leads)
        }

        fn requests(&self) -> Vec<String> {
            self.0
                .lock()
                .unwrap()
                .requests
                .iter()
                .map(|request| {
                    request.replace("/apis/networking.istio.io/v1/namespaces/team-a/gateways/", "")
                })
                .collect()
        }
    }

    fn resource() -> ApiResource {
        ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("networking.istio.io", "v1", "Gateway"))
    }

    #[tokio::test]
    async fn a_conflict_is_read_again_and_conditions_of_others_stay() {
        let server = Server::new(shop(1, json!(null)), &[409]);
        let gateway = observed(shop(1, json!(null)));
        server.status(true).sync(&resource(), &gateway, Some(&desired(true))).await.unwrap();
        assert_eq!(server.requests(), ["GET shop", "PUT shop/status", "GET shop", "PUT shop/status"]);
        let written = server.0.lock().unwrap().gateway["status"].clone();
        assert_eq!(written["conditions"][0], other());
        assert_eq!(Condition::of(&written), Some(desired(true)));
    }

    #[tokio::test]
    async fn nothing_is_sent_without_a_difference() {
        let status = with(&json!({"conditions": [other()]}), Some(&desired(true)), Timestamp::now());
        let server = Server::new(shop(1, status.clone()), &[]);
        let same = observed(shop(1, status));
        server.status(true).sync(&resource(), &same, Some(&desired(true))).await.unwrap();
        assert_eq!(server.requests(), [""; 0]);
        // The cache is out of date.
        let old = observed(shop(1, json!(null)));
        server.status(true).sync(&resource(), &old, Some(&desired(true))).await.unwrap();
        assert_eq!(server.requests(), ["GET shop"]);
        // The annotation is gone.
        server.status(true).sync(&resource(), &same, None).await.unwrap();
        assert_eq!(server.requests(), ["GET shop", "GET shop", "PUT shop/status"]);
        assert_eq!(server.0.lock().unwrap().gateway["status"]["conditions"], json!([other()]));
    }

    #[tokio::test]
    async fn another_generation_another_object_and_other_replicas_are_left_alone() {
        let gateway = observed(shop(1, json!(null)));
        for (field, value) in [("generation", json!(4)), ("uid", json!("other"))] {
            let mut live = shop(1, json!(null));
            live["metadata"][field] = value;
            let server = Server::new(live, &[]);
            server.status(true).sync(&resource(), &gateway, Some(&desired(true))).await.unwrap();
            assert_eq!(server.requests(), ["GET shop"]);
        }
        let server = Server::new(shop(1, json!(null)), &[]);
        server.status(false).sync(&resource(), &gateway, Some(&desired(true))).await.unwrap();
        assert_eq!(server.requests(), ["GET shop"]);
    }

    #[tokio::test]
    async fn errors_are_returned() {
        let gateway = observed(shop(1, json!(null)));
        let failed = |text: &str| ApiError::Failed(text.to_owned());
        for (codes, expected) in [
            (vec![403], ApiError::Forbidden("no".to_owned())),
            (vec![500], failed("no")),
            (vec![409; 9], failed("the Gateway was changed 5 times meanwhile")),
        ] {
            let server = Server::new(shop(1, json!(null)), &codes);
            let outcome = server.status(true).sync(&resource(), &gateway, Some(&desired(true))).await;
            assert_eq!(outcome, Err(expected));
        }
        let server = Server::new(shop(1, json!(null)), &[404]);
        assert_eq!(server.status(true).sync(&resource(), &gateway, Some(&desired(true))).await, Ok(()));
    }
}
