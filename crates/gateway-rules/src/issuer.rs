//! The status of an issuer (`IssuerCondition` in pkg/apis/certmanager/v1/types_issuer.go; external
//! issuers have the same form), and how it signs.

pub mod acme;
pub mod solver;

use certificate_shim::read::{Malformed, Node};
use serde_json::Value;

/// The fields of an issuer that rules read, in addition to its metadata. The whole spec is included,
/// because every kind of issuer has its settings under a different key.
pub const FIELDS: &[&str] = &["spec", "status.conditions"];

/// Whether one of cert-manager's issuers signs that way: `acme`, `ca`, `vault`, `selfSigned`,
/// `venafi` (`IssuerConfig` in types_issuer.go).
pub fn signs_by(issuer: &Value, way: &str) -> bool {
    issuer.get("spec").and_then(|spec| spec.get(way)).is_some_and(|way| !way.is_null())
}

/// The `Ready` condition of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ready<'a> {
    /// `True`, `False` or `Unknown`; empty if there is no such condition.
    pub status: &'a str,
    /// The reason, for programs.
    pub reason: &'a str,
    /// The message, for people.
    pub message: &'a str,
    /// The generation of the issuer that the condition is about.
    pub observed_generation: Option<i64>,
    /// The generation of the issuer.
    pub generation: Option<i64>,
}

impl<'a> Ready<'a> {
    /// Reads the condition; one that cannot be read counts as absent.
    pub fn of(issuer: &'a Value) -> Self {
        Self::read(issuer).unwrap_or_default()
    }

    fn read(issuer: &'a Value) -> Result<Self, Malformed> {
        let root = Node::root(issuer);
        let generation = root.field("metadata")?.field("generation")?.integer()?;
        let conditions = root.field("status")?.field("conditions")?.list(|condition| {
            if condition.field("type")?.string()? != Some("Ready") {
                return Ok(None);
            }
            let text = |name| Ok(condition.field(name)?.string()?.unwrap_or_default());
            Ok(Some(Ready {
                status: text("status")?,
                reason: text("reason")?,
                message: text("message")?,
                observed_generation: condition.field("observedGeneration")?.integer()?,
                generation,
            }))
        })?;
        Ok(conditions.into_iter().flatten().next().unwrap_or(Ready { generation, ..Ready::default() }))
    }

    /// Whether the issuer's spec changed after the condition was written.
    pub fn is_stale(&self) -> bool {
        matches!((self.observed_generation, self.generation), (Some(seen), Some(now)) if seen < now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::no_status(json!({}), "", false)]
    #[case::no_conditions(json!({"status": {"acme": {}}}), "", false)]
    #[case::other_condition(json!({"status": {"conditions": [{"type": "Synced", "status": "True"}]}}), "", false)]
    #[case::ready(json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}), "True", false)]
    #[case::the_first_counts(
        json!({"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Ready", "status": "True"}]}}), "False", false
    )]
    #[case::stale(
        json!({"metadata": {"generation": 3}, "status": {"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 2}]}}), "True", true
    )]
    #[case::up_to_date(
        json!({"metadata": {"generation": 3}, "status": {"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 3}]}}), "True", false
    )]
    #[case::unreadable(json!({"status": {"conditions": "Ready"}}), "", false)]
    fn ready(#[case] issuer: Value, #[case] status: &str, #[case] stale: bool) {
        let ready = Ready::of(&issuer);
        assert_eq!((ready.status, ready.is_stale()), (status, stale));
    }
}
