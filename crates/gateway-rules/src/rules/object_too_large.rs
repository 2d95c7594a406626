//! The object is too large to be checked.
//!
//! A policy server gives each request a fixed time. Without a limit, a tenant could apply an object that
//! takes longer, and slow down all other requests. The policy counts the values in the spec, labels and
//! annotations, and the items of cert-manager's annotations that are lists: each host is one value, a
//! server with one host about six. Objects that no rule would check are accepted. An update that does not
//! change labels, annotations and spec is accepted with a warning. The controller has no such limit.
//!
//! Limits: 3,000 values in an Istio Gateway and 2,000 in objects of Gateway API; 96 KiB of spec, labels and
//! cert-manager's annotations; 4 KiB for each text in the spec; 512 KiB of labels and annotations.
//!
//! Rejected: an Istio Gateway with more than 3,000 values:
//! ```yaml
//! hosts: [shop-1.example.com, shop-2.example.com, shop-3.example.com]  # and 4,000 more
//! ```
//! Accepted: several Gateways, each with a part of the hosts:
//! ```yaml
//! hosts: [shop-1.example.com, shop-2.example.com]
//! ```

use certificate_shim::gateway::GatewayKind;
use json_prune::Head;

use crate::context::Context;
use crate::finding::Finding;
use crate::rule::{Findings, Rule};

/// `object-too-large`
pub const RULE: Rule = Rule::reject("object-too-large", check).of_all().for_admission().fixed();

/// The maximum number of values in an Istio Gateway.
pub const ISTIO_VALUES: usize = 3_000;
/// The maximum number of values in an object of Gateway API: a Secret of a listener is one of them, and costs
/// more than any other value. Gateway API itself allows 64 listeners.
pub const GATEWAY_API_VALUES: usize = 2_000;
/// The maximum size of the spec, labels and cert-manager's annotations in bytes.
pub const BYTES: usize = 96 * 1024;
/// The maximum size of labels and annotations in bytes: twice the API server's limit for annotations.
pub const METADATA_BYTES: usize = 512 * 1024;

/// Reports nothing: the policy counts before it reads the object, see [`report`].
fn check(_context: &Context<'_>, _findings: &mut Findings<'_>) {}

/// The maximum length of a text in the spec, in bytes: the longest that Gateway API allows, and more than
/// any text of Istio's.
pub const TEXT_BYTES: usize = 4096;

const SPLIT: &str = "Split it into several objects, each with a part of the servers or listeners.";

/// What is too large about an object, and what to do about it.
pub struct Excess {
    /// A clause.
    pub problem: String,
    help: &'static str,
}

/// Why an object is too large to be read; `None` if it is not.
pub fn excess(head: &Head, kind: GatewayKind) -> Option<Excess> {
    let most_values = if kind == GatewayKind::Istio { ISTIO_VALUES } else { GATEWAY_API_VALUES };
    let Head { values, bytes, metadata_bytes, longest_text, .. } = *head;
    let (problem, help) = if values > most_values {
        (format!("it has about {values} values, but at most {most_values} are checked"), SPLIT)
    } else if metadata_bytes > METADATA_BYTES {
        let (size, most) = (metadata_bytes / 1024, METADATA_BYTES / 1024);
        (
            format!("its labels and annotations have {size} KiB, but at most {most} KiB are checked"),
            "Remove annotations.",
        )
    } else if bytes > BYTES {
        let (size, most) = (bytes / 1024, BYTES / 1024);
        (
            format!(
                "its spec, labels and annotations of cert-manager have {size} KiB, but at most {most} KiB are checked"
            ),
            SPLIT,
        )
    } else if longest_text > TEXT_BYTES {
        (
            format!("it has a text of {longest_text} bytes, but at most {TEXT_BYTES} are checked"),
            "Shorten the longest text in spec.",
        )
    } else {
        return None;
    };
    Some(Excess { problem, help })
}

/// Reports an object that is too large to be read.
pub fn report(excess: Excess, findings: &mut Vec<Finding>) {
    Findings::of(&RULE, RULE.level, findings).report("spec", excess.problem).help(excess.help);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::values(Head { values: ISTIO_VALUES, ..Head::default() }, "")]
    #[case::too_many_values(Head { values: ISTIO_VALUES + 1, ..Head::default() }, "it has about 3001 values")]
    #[case::metadata(Head { metadata_bytes: METADATA_BYTES, ..Head::default() }, "")]
    #[case::too_much_metadata(
        Head { metadata_bytes: METADATA_BYTES + 1024, ..Head::default() },
        "its labels and annotations have 513 KiB"
    )]
    #[case::bytes(Head { bytes: BYTES, ..Head::default() }, "")]
    #[case::too_many_bytes(Head { bytes: BYTES + 1, ..Head::default() }, "its spec, labels and")]
    #[case::text(Head { longest_text: TEXT_BYTES, ..Head::default() }, "")]
    #[case::too_long_a_text(Head { longest_text: TEXT_BYTES + 1, ..Head::default() }, "it has a text of 4097 bytes")]
    fn limits(#[case] head: Head, #[case] problem: &str) {
        let found = excess(&head, GatewayKind::Istio).map(|excess| excess.problem).unwrap_or_default();
        assert_eq!(found.is_empty(), problem.is_empty());
        assert!(found.starts_with(problem), "{found}");
    }

    #[test]
    fn reported() {
        let head = Head { values: GATEWAY_API_VALUES + 1, ..Head::default() };
        assert!(excess(&head, GatewayKind::Istio).is_none());
        let mut findings = Vec::new();
        report(excess(&head, GatewayKind::ListenerSet).unwrap(), &mut findings);
        assert_eq!((findings.len(), findings[0].path.as_str(), findings[0].level), (1, "spec", RULE.level));
    }
}
