//! An annotation has a value that cert-manager cannot parse.
//!
//! One such value stops cert-manager from creating any of the Gateway's Certificates. It writes
//! neither an Event nor a status: the error appears only in its log.
//!
//! Rejected:
//! ```yaml
//! cert-manager.io/duration: 90d
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/duration: 2160h
//! ```
//! [annotations.md](annotations.md) lists what each annotation accepts.

use crate::context::{Context, annotation_path};
use crate::rule::{Findings, Rule};
use crate::text::{one_line, shorten};

/// `annotation-invalid`
pub const RULE: Rule = Rule::reject("annotation-invalid", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for fault in &context.plan.faults {
        let reason = shorten(&one_line(&fault.reason), 300);
        let value = context.gateway.annotation(fault.key).unwrap_or_default();
        findings
            .report(annotation_path(fault.key), format!("cert-manager cannot parse it ({reason})"))
            .subject(format!("{} {value}", fault.key))
            .help(format!("Use {}.", fault.accepts()));
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use certificate_shim::annotation;
    use rstest::rstest;
    use serde_json::json;

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn with(gateway: GatewayFixture, annotations: &[(&str, &str)]) -> GatewayFixture {
        let gateway = gateway.cert_manager("cluster-issuer", "le");
        annotations.iter().fold(gateway, |gateway, (key, value)| gateway.cert_manager(key, value))
    }

    #[rstest]
    #[case::valid(&[("duration", "2160h"), ("private-key-size", "4096")], &[])]
    #[case::days(&[("duration", "90d")], &[("duration", "90d")])]
    #[case::all_in_the_order_of_cert_manager(
        &[("usages", "server auth,none"), ("revision-history-limit", "0"), ("duration", "")],
        &[("duration", ""), ("usages", "server auth,none"), ("revision-history-limit", "0")]
    )]
    fn values(#[case] annotations: &[(&str, &str)], #[case] expected: &[(&str, &str)]) {
        let line = |(key, value): &(&str, &str)| {
            let key = format!("cert-manager.io/{key}");
            format!("annotation-invalid reject metadata.annotations[{key}] | {key} {value}")
        };
        let expected: Vec<String> = expected.iter().map(line).collect();
        for gateway in [istio("shop"), gateway_api("web")] {
            assert_eq!(with(gateway, annotations).found(&cluster()), expected);
        }
    }

    #[test]
    fn without_a_certificate_nothing_is_reported() {
        let gateway = with(gateway_api("web"), &[("duration", "90d")]);
        let gateway = gateway.with("/spec/listeners/0/protocol", json!("HTTP"));
        assert_eq!(gateway.found_by("annotation-invalid", &cluster()), Vec::<String>::new());
    }

    #[test]
    fn an_update_to_another_long_invalid_value() {
        let old = with(istio("shop"), &[("duration", &format!("{}a", "9".repeat(100)))]);
        let new = with(istio("shop"), &[("duration", &format!("{}b", "9".repeat(100)))]);
        assert!(!new.update_from(&old, &cluster()).accepted);
    }

    #[test]
    fn every_help_fits() {
        for annotation in annotation::TABLE {
            let help = format!("Use {}.", annotation.accepts);
            assert!(help.chars().count() <= 120, "{help}");
        }
    }
}
