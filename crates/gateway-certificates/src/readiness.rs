//! The state of a Certificate, as cert-manager reports it in its status: ready, pending or failed
//! (`CertificateStatus` in cert-manager's pkg/apis/certmanager/v1/types_certificate.go).

mod changes;

use std::fmt;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

pub use changes::{Changes, Ready, Report};

/// The maximum length of a cached message in bytes. Messages of ACME servers can be long.
const MESSAGE: usize = 512;
/// The reason of a Ready condition of an expired certificate (`Expired` in cert-manager's
/// internal/controller/certificates/policies/constants.go).
const EXPIRED: &str = "Expired";
/// The reason of an Issuing condition that is False after a success. cert-manager removes the condition
/// instead unless its feature gate `ServerSideApply` is on (pkg/controller/certificates/issuing).
const ISSUED: &str = "Issued";

/// The state of a Certificate. It contains no times except that of the expiry, so it changes only if
/// something changes that people have to know. While the Certificate is ready, it allocates no memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// The expiry of the issued certificate, in seconds since 1970; `None` if there is none.
    pub not_after: Option<i64>,
    /// `metadata.generation` of the Certificate.
    pub generation: i64,
    /// The state.
    pub state: State,
}

/// The state of a Certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum State {
    /// cert-manager has not written a status.
    #[default]
    Unknown,
    /// The Ready condition is True for the current generation, and the last issuance did not fail.
    Ready,
    /// The Ready condition is not True for the current generation: cert-manager issues a certificate, or
    /// is about to.
    Pending(Box<Condition>),
    /// The last issuance failed, or the certificate has expired.
    Failed {
        /// Whether an earlier certificate is still in use: the Ready condition is True for the current
        /// generation.
        is_ready: bool,
        /// The number of failed attempts in a row.
        attempts: u32,
        /// The reason of the last failure; `None` while cert-manager tries again, since it is not in the
        /// status then.
        why: Option<Box<Condition>>,
    },
}

/// The reason and the message of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// cert-manager's reason, for example `DoesNotExist`, `RequestChanged`, `Failed` or `Denied`; may be empty.
    pub reason: Box<str>,
    /// cert-manager's message, truncated to 512 bytes; may be empty.
    pub message: Box<str>,
}

/// `Reason: message`
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.reason, &*self.message) {
            ("", message) => f.write_str(message),
            (reason, "") => f.write_str(reason),
            (reason, message) => write!(f, "{reason}: {message}"),
        }
    }
}

impl Readiness {
    /// Extracts the state from a complete Certificate.
    pub fn of(certificate: &Value) -> Self {
        let status = &certificate["status"];
        let generation = certificate["metadata"]["generation"].as_i64().unwrap_or_default();
        let not_after = status["notAfter"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
        Readiness {
            not_after: not_after.map(Timestamp::as_second),
            generation,
            state: State::of(status, generation),
        }
    }

    /// Whether the Certificate's Secret contains a certificate for its current spec that is not expired. It
    /// stays ready while it is renewed, also if the renewal fails.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready | State::Failed { is_ready: true, .. })
    }

    /// Whether the last issuance failed, or the certificate has expired.
    pub fn is_failed(&self) -> bool {
        matches!(self.state, State::Failed { .. })
    }
}

impl State {
    fn of(status: &Value, generation: i64) -> Self {
        let (ready, issuing) = (condition(status, "Ready"), condition(status, "Issuing"));
        if ready.is_none() && issuing.is_none() {
            return State::Unknown;
        }
        let is_true = |condition: &Value| condition["status"] == "True";
        // Without the field, the condition counts as current.
        let is_current = |condition: &Value| {
            let observed = condition["observedGeneration"].as_i64().unwrap_or_default();
            observed == 0 || observed >= generation
        };
        let is_ready = ready.is_some_and(|ready| is_true(ready) && is_current(ready));
        let has_expired = ready.is_some_and(|ready| !is_true(ready) && ready["reason"] == EXPIRED);
        let failure = issuing.filter(|issuing| issuing["status"] == "False" && issuing["reason"] != ISSUED);
        let attempts = status["failedIssuanceAttempts"].as_u64().unwrap_or_default();
        if attempts > 0 || status["lastFailureTime"].is_string() || failure.is_some() || has_expired {
            let why = failure.or(if has_expired { ready } else { None });
            return State::Failed {
                is_ready,
                attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
                why: why.map(|why| Box::new(Condition::of(why))),
            };
        }
        match ready {
            _ if is_ready => State::Ready,
            Some(ready) if !is_true(ready) => State::Pending(Box::new(Condition::of(ready))),
            _ => State::Pending(Box::new(Condition {
                reason: Box::default(),
                message: "cert-manager has not processed the last change yet".into(),
            })),
        }
    }
}

impl Condition {
    fn of(condition: &Value) -> Self {
        let text = |field: &str| condition[field].as_str().unwrap_or_default();
        let message = text("message");
        let end = message.floor_char_boundary(MESSAGE);
        Condition {
            reason: text("reason").into(),
            message: message.get(..end).unwrap_or_default().trim().into(),
        }
    }
}

fn condition<'v>(status: &'v Value, kind: &str) -> Option<&'v Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    /// A Certificate of generation 2 with that status.
    fn of(status: Value) -> Readiness {
        Readiness::of(&json!({"metadata": {"generation": 2}, "status": status}))
    }

    fn ready(status: &str, reason: &str, generation: i64) -> Value {
        json!({"type": "Ready", "status": status, "reason": reason, "message": "m", "observedGeneration": generation,
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    fn issuing(status: &str, reason: &str) -> Value {
        json!({"type": "Issuing", "status": status, "reason": reason, "message": "i", "observedGeneration": 2})
    }

    fn shown(readiness: &Readiness) -> String {
        match &readiness.state {
            State::Unknown => "unknown".to_owned(),
            State::Ready => "ready".to_owned(),
            State::Pending(why) => format!("pending {why}"),
            State::Failed { attempts, why, .. } => {
                format!("failed {attempts} {}", why.as_ref().map(ToString::to_string).unwrap_or_default())
            }
        }
    }

    #[rstest]
    #[case::no_status(json!(null), false, "unknown")]
    #[case::ready(json!({"conditions": [ready("True", "Ready", 2)]}), true, "ready")]
    #[case::without_generation(json!({"conditions": [{"type": "Ready", "status": "True"}]}), true, "ready")]
    #[case::ready_before_the_last_change(json!({"conditions": [ready("True", "Ready", 1)]}), false, "pending cert-manager has not processed the last change yet")]
    #[case::first_issuance(json!({"conditions": [ready("False", "DoesNotExist", 2), issuing("True", "DoesNotExist")]}), false, "pending DoesNotExist: m")]
    #[case::renewal(json!({"conditions": [ready("True", "Ready", 2), issuing("True", "Renewing")]}), true, "ready")]
    #[case::issued_with_server_side_apply(json!({"conditions": [ready("True", "Ready", 2), issuing("False", "Issued")]}), true, "ready")]
    #[case::only_issuing(json!({"conditions": [issuing("True", "DoesNotExist")]}), false, "pending cert-manager has not processed the last change yet")]
    #[case::failed(json!({"conditions": [ready("False", "DoesNotExist", 2), issuing("False", "Failed")], "failedIssuanceAttempts": 1, "lastFailureTime": "2026-01-01T00:00:00Z"}), false, "failed 1 Failed: i")]
    #[case::retried(json!({"conditions": [ready("False", "DoesNotExist", 2), issuing("True", "DoesNotExist")], "failedIssuanceAttempts": 3, "lastFailureTime": "2026-01-01T00:00:00Z"}), false, "failed 3 ")]
    #[case::renewal_failed(json!({"conditions": [ready("True", "Ready", 2), issuing("False", "Denied")], "failedIssuanceAttempts": 2}), true, "failed 2 Denied: i")]
    #[case::before_attempts_were_counted(json!({"conditions": [ready("False", "DoesNotExist", 2)], "lastFailureTime": "2026-01-01T00:00:00Z"}), false, "failed 0 ")]
    #[case::expired(json!({"conditions": [ready("False", "Expired", 2), issuing("True", "Expired")]}), false, "failed 0 Expired: m")]
    #[case::wrong_types(json!({"conditions": {"Ready": true}, "failedIssuanceAttempts": "many", "notAfter": 7}), false, "unknown")]
    fn states(#[case] status: Value, #[case] is_ready: bool, #[case] expected: &str) {
        let readiness = of(status);
        assert_eq!((readiness.is_ready(), &*shown(&readiness)), (is_ready, expected));
        assert_eq!(readiness.is_failed(), expected.starts_with("failed"));
    }

    #[test]
    fn times_do_not_count_except_the_expiry() {
        let at = |transition: &str, renewal: &str, not_after: &str| {
            let mut ready = ready("True", "Ready", 2);
            ready["lastTransitionTime"] = json!(transition);
            of(
                json!({"conditions": [ready], "renewalTime": renewal, "notBefore": renewal, "revision": 7, "notAfter": not_after}),
            )
        };
        let first = at("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z");
        assert_eq!(first, at("2026-01-09T00:00:00Z", "2026-02-09T00:00:00Z", "2026-03-01T00:00:00Z"));
        assert_ne!(first, at("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-02T00:00:00Z"));
        assert_eq!(first.not_after, Some(1_772_323_200));
        assert_eq!(of(json!({"notAfter": "soon"})).not_after, None);
    }

    #[test]
    fn a_long_message_is_truncated() {
        let mut failure = issuing("False", "Failed");
        failure["message"] = json!("ä".repeat(1000));
        let State::Failed { why: Some(why), .. } = of(json!({"conditions": [failure]})).state else {
            panic!("not failed")
        };
        assert_eq!(why.message.len(), MESSAGE);
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Readiness>() <= 48, "{}", size_of::<Readiness>());
    }
}
