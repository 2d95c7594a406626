//! The reports about the readiness of Certificates: one that becomes ready, and one that fails or is not
//! ready for a while. A healthy Certificate and its renewals are not reported.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use certificate_shim::plan::SecretName;
use k8s_openapi::jiff::Timestamp;

use super::{Condition, Readiness, State};
use crate::events::Problem;
use crate::objects::{Key, ObservedCertificate};

/// The time after which a Certificate that is not ready is a problem, also if cert-manager reports no failure:
/// an ACME challenge that never succeeds stays pending.
const PENDING: Duration = Duration::from_secs(600);

/// The changes of the Certificates of one Gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The Certificates that have become ready.
    pub ready: Vec<Ready>,
    /// The Certificates that fail, or will fail if they stay as they are.
    pub problems: Vec<Problem>,
}

/// A Certificate that has become ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The text for people.
    pub text: String,
    /// Differs each time.
    pub occurrence: String,
}

/// The Certificates that have been seen, by Gateway. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Changes(Arc<Mutex<HashMap<u64, Vec<Seen>>>>, RandomState);

/// The last state of a Certificate.
#[derive(Debug)]
struct Seen {
    /// A hash of its uid.
    uid: u64,
    was: Was,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Was {
    /// It was ready, with that generation.
    Ready(i64),
    /// It was pending. If it was ready before, the generation of that time.
    Pending(Option<i64>),
    /// It had failed, with this text.
    Failed(Box<str>),
}

impl Changes {
    /// Compares the Certificates of an existing Gateway with the last call.
    pub fn observe(&self, key: &Key, certificates: &[Arc<ObservedCertificate>]) -> Report {
        let Changes(gateways, hasher) = self;
        let mut report = Report::default();
        let mut gateways = gateways.lock().unwrap_or_else(PoisonError::into_inner);
        let before = gateways.remove(&hasher.hash_one(key));
        // The first time, a Certificate that is ready can have been so for long.
        let is_new = before.is_some();
        let mut before = before.unwrap_or_default();
        let mut now = Vec::new();
        for certificate in certificates.iter().filter(|certificate| !certificate.is_deleting) {
            let uid = hasher.hash_one(&certificate.uid);
            let was = before.iter().position(|seen| seen.uid == uid).map(|at| before.swap_remove(at).was);
            let (was, is_announced) = next(was, is_new, &certificate.name, &certificate.readiness);
            if is_announced {
                report.ready.push(Ready {
                    text: ready(&certificate.name, &certificate.readiness),
                    occurrence: format!(
                        "{}/{}/{:?}",
                        certificate.uid, certificate.readiness.generation, certificate.readiness.not_after
                    ),
                });
            }
            match &was {
                Was::Ready(_) => {}
                Was::Pending(_) => report.problems.push(Problem {
                    text: pending(&certificate.name, &certificate.readiness),
                    after: PENDING,
                }),
                Was::Failed(text) => report.problems.push(Problem::from(text.to_string())),
            }
            now.push(Seen { uid, was });
        }
        gateways.insert(hasher.hash_one(key), now);
        report
    }

    /// Forgets a Gateway, because it is gone.
    pub fn forget(&self, key: &Key) {
        let Changes(gateways, hasher) = self;
        gateways.lock().unwrap_or_else(PoisonError::into_inner).remove(&hasher.hash_one(key));
    }
}

/// The state after the last one, and whether the Certificate is announced as ready. `is_new` is whether a
/// Certificate without last state has been created since the Gateway was observed.
fn next(was: Option<Was>, is_new: bool, name: &SecretName, readiness: &Readiness) -> (Was, bool) {
    let generation = readiness.generation;
    match &readiness.state {
        State::Ready => {
            let is_announced = match was {
                None => is_new,
                // A renewal is not announced. A changed Certificate is.
                Some(Was::Ready(before) | Was::Pending(Some(before))) => before != generation,
                Some(Was::Pending(None) | Was::Failed(_)) => true,
            };
            (Was::Ready(generation), is_announced)
        }
        State::Unknown | State::Pending(_) => match was {
            Some(Was::Ready(before)) => (Was::Pending(Some(before)), false),
            Some(pending @ Was::Pending(_)) => (pending, false),
            None | Some(Was::Failed(_)) => (Was::Pending(None), false),
        },
        State::Failed { is_ready, attempts, why } => match (why, was) {
            // cert-manager tries again, so the last failure is still the current one.
            (None, Some(Was::Failed(text))) => (Was::Failed(text), false),
            (why, _) => {
                let text = failed(name, readiness, *is_ready, *attempts, why.as_deref());
                (Was::Failed(text.into()), false)
            }
        },
    }
}

fn ready(name: &SecretName, readiness: &Readiness) -> String {
    match expiry(readiness) {
        Some(expiry) => format!("Certificate {name} is ready, valid until {expiry}."),
        None => format!("Certificate {name} is ready."),
    }
}

fn pending(name: &SecretName, readiness: &Readiness) -> String {
    let why = match &readiness.state {
        State::Pending(why) => why.to_string(),
        _ => "cert-manager has written no status. Check that it runs".to_owned(),
    };
    let minutes = PENDING.as_secs() / 60;
    format!("Certificate {name} is not ready after {minutes} minutes: {}. {}", clause(&why), help(name))
}

fn failed(
    name: &SecretName,
    readiness: &Readiness,
    is_ready: bool,
    attempts: u32,
    why: Option<&Condition>,
) -> String {
    let why = match (why, attempts) {
        (Some(why), 0 | 1) => why.to_string(),
        (Some(why), attempts) => format!("{} (attempt {attempts})", clause(&why.to_string())),
        (None, attempts) => format!("attempt {attempts} failed, and cert-manager tries again"),
    };
    let what = match expiry(readiness).filter(|_| is_ready) {
        Some(expiry) => format!("Certificate {name} is not renewed, and expires at {expiry}"),
        None if is_ready => format!("Certificate {name} is not renewed"),
        None => format!("Certificate {name} is not issued"),
    };
    format!("{what}: {}. {}", clause(&why), help(name))
}

/// The next step for people.
fn help(SecretName { namespace, name }: &SecretName) -> String {
    format!(
        "Run `cmctl status certificate {name} -n {namespace}`: it shows the CertificateRequest, and for ACME the Order and its Challenges."
    )
}

fn expiry(readiness: &Readiness) -> Option<Timestamp> {
    Timestamp::from_second(readiness.not_after?).ok()
}

fn clause(text: &str) -> &str {
    text.trim_end_matches(['.', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway_rules::Settings;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn key() -> Key {
        Key { namespace: "team-a".to_owned(), name: "shop".to_owned() }
    }

    /// A Certificate with the status of a letter: u(nknown), p(ending), r(eady), R(eady with a new spec),
    /// n(ext, renewed), s(tale: not processed since the spec changed), f(ailed), F(ailed again), t(ried
    /// again), w(hile it is ready, the renewal failed); -: it does not exist.
    fn certificates(letter: char) -> Vec<Arc<ObservedCertificate>> {
        let ready = |status: &str, generation: u64| json!({"type": "Ready", "status": status, "reason": "DoesNotExist", "message": "none.", "observedGeneration": generation});
        let issuing = |message: &str| json!({"type": "Issuing", "status": "False", "reason": "Failed", "message": message});
        let (generation, status): (u64, Value) = match letter {
            'u' => (1, json!(null)),
            'p' => (1, json!({"conditions": [ready("False", 1)]})),
            'r' => (1, json!({"conditions": [ready("True", 1)], "notAfter": "2026-03-01T00:00:00Z"})),
            'R' => (2, json!({"conditions": [ready("True", 2)], "notAfter": "2026-03-01T00:00:00Z"})),
            'n' => (1, json!({"conditions": [ready("True", 1)], "notAfter": "2026-06-01T00:00:00Z"})),
            's' => (2, json!({"conditions": [ready("True", 1)]})),
            'f' => (
                1,
                json!({"conditions": [ready("False", 1), issuing("no order.")], "failedIssuanceAttempts": 1}),
            ),
            'F' => (
                1,
                json!({"conditions": [ready("False", 1), issuing("no order.")], "failedIssuanceAttempts": 2}),
            ),
            't' => (1, json!({"conditions": [ready("False", 1)], "failedIssuanceAttempts": 1})),
            'w' => (
                1,
                json!({"conditions": [ready("True", 1), issuing("no order.")], "failedIssuanceAttempts": 1,
                "notAfter": "2026-03-01T00:00:00Z"}),
            ),
            _ => return Vec::new(),
        };
        let mut object = crate::testing::certificate("team-a", "shop-tls")
            .owned_by("networking.istio.io/v1", "shop")
            .managed_by("gateway-certificates")
            .build();
        object["metadata"]["generation"] = json!(generation);
        object["status"] = status;
        vec![Arc::new(ObservedCertificate::of(
            &serde_json::from_value(object).unwrap(),
            &Settings::default(),
        ))]
    }

    /// What is reported after each state: R(eady), P(roblem that is reported later), F(ailure).
    fn reported(states: &str) -> String {
        let changes = Changes::default();
        let mut shown = Vec::new();
        for state in states.chars() {
            let report = changes.observe(&key(), &certificates(state));
            let ready = if report.ready.is_empty() { "" } else { "R" };
            let problems: String = report
                .problems
                .iter()
                .map(|problem| if problem.after.is_zero() { 'F' } else { 'P' })
                .collect();
            shown.push(format!("{ready}{problems}"));
        }
        shown.join(" ")
    }

    #[rstest]
    #[case::a_new_certificate("-upr", " P P R")]
    #[case::a_new_certificate_that_is_issued_quickly("-r", " R")]
    #[case::ready_at_the_start("rr", " ")]
    #[case::pending_at_the_start("ppr", "P P R")]
    #[case::failed_at_the_start("fr", "F R")]
    #[case::steady("-prrrr", " P R   ")]
    #[case::renewal("rn", " ")]
    #[case::issued_again("rpr", " P ")]
    #[case::renewal_with_failure("rwn", " F R")]
    #[case::secret_lost_and_failure("rpfr", " P F R")]
    #[case::changed("rsR", " P R")]
    #[case::changed_and_processed_at_once("rR", " R")]
    #[case::failure_and_retry("-pftFr", " P F F F R")]
    #[case::deleted_and_created("r-r", "  R")]
    fn changes(#[case] states: &str, #[case] expected: &str) {
        assert_eq!(reported(states), expected);
    }

    #[test]
    fn a_retry_keeps_the_last_failure() {
        let changes = Changes::default();
        let text = |state: char| changes.observe(&key(), &certificates(state)).problems[0].text.clone();
        let first = text('f');
        assert_eq!(
            first,
            "Certificate team-a/shop-tls is not issued: Failed: no order. Run `cmctl status certificate shop-tls -n team-a`: \
             it shows the CertificateRequest, and for ACME the Order and its Challenges."
        );
        assert_eq!(text('t'), first);
        assert!(text('F').contains("Failed: no order (attempt 2). Run"), "a new failure is new");
        let restarted = Changes::default().observe(&key(), &certificates('t')).problems.remove(0).text;
        assert!(
            restarted.contains("not issued: attempt 1 failed, and cert-manager tries again. Run"),
            "{restarted}"
        );
    }

    #[test]
    fn texts() {
        let report = |states: &str| {
            let changes = Changes::default();
            let all: Vec<Report> =
                states.chars().map(|state| changes.observe(&key(), &certificates(state))).collect();
            all.into_iter().last().unwrap()
        };
        assert_eq!(
            report("-r").ready[0].text,
            "Certificate team-a/shop-tls is ready, valid until 2026-03-01T00:00:00Z."
        );
        let renewal = report("w").problems.remove(0).text;
        assert!(renewal.starts_with("Certificate team-a/shop-tls is not renewed, and expires at 2026-03-01T00:00:00Z: Failed: no order. Run"), "{renewal}");
        let slow = report("p").problems.remove(0).text;
        assert!(
            slow.starts_with(
                "Certificate team-a/shop-tls is not ready after 10 minutes: DoesNotExist: none. Run"
            ),
            "{slow}"
        );
        let unknown = report("u").problems.remove(0).text;
        assert!(unknown.contains("cert-manager has written no status. Check that it runs. Run"), "{unknown}");
    }

    #[test]
    fn a_gateway_that_is_gone_is_forgotten() {
        let changes = Changes::default();
        changes.observe(&key(), &certificates('r'));
        changes.forget(&key());
        assert!(changes.0.lock().unwrap().is_empty());
    }
}
