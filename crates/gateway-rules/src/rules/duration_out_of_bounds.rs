//! The certificate would be valid for less or for more time than the tenant may have.
//!
//! A CA issuer signs whatever duration is asked for, and without the annotation cert-manager asks for
//! 2160h (90 days). ACME servers choose the duration themselves, so that an ACME issuer without
//! `enableDurationFeature` is judged only where the annotation is there.
//!
//! Configured per tenant: `duration: {min, max}`, each a Go duration such as `720h`.
//!
//! Refused, with `duration: {max: 2160h}`:
//! ```yaml
//! cert-manager.io/duration: 8760h
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/duration: 720h
//! ```

use super::{Applies, Findings, Judges, Rule};
use crate::context::{Context, FoundIssuer};
use crate::finding::{Level, Refusal};
use crate::issuer::acme::Acme;
use crate::text::quote;
use certificate_shim::annotation;
use certificate_shim::value::duration;
use certificate_shim::webhook::DEFAULT_DURATION;

/// `duration-out-of-bounds`
pub const RULE: Rule = Rule {
    id: "duration-out-of-bounds",
    default: Level::Reject,
    refusal: Refusal::Forbidden,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let (Some(tenant), Some(template)) = (context.tenant(), context.template()) else { return };
    if tenant.min_duration.is_none() && tenant.max_duration.is_none() {
        return;
    }
    let (asked, whence) = match template.duration {
        Some(duration) => (duration, ""),
        // An annotation that cannot be read is annotation-invalid's.
        None if context.gateway.annotation(annotation::DURATION).is_some() => return,
        None if is_left_to_the_server(context) => return,
        None => (DEFAULT_DURATION, " (cert-manager's default)"),
    };
    let bound = match (tenant.min_duration, tenant.max_duration) {
        (Some(min), _) if asked < min => Some(("at least", min)),
        (_, Some(max)) if asked > max => Some(("at most", max)),
        _ => None,
    };
    if let Some((which, bound)) = bound {
        let (tenant, asked, bound) = (quote(&tenant.name), shown(asked), shown(bound));
        let what =
            format!("tenant {tenant} may not have certificates of {asked}{whence}, but {which} {bound}");
        let mend = format!("Set {}: {bound}.", annotation::DURATION);
        findings.add(context.path_of(annotation::DURATION), asked, what, mend);
    }
}

/// Whether every issuer is an ACME issuer that is not asked for a duration.
fn is_left_to_the_server(context: &Context<'_>) -> bool {
    let issuers = context.issuers();
    let is = |issuer: &FoundIssuer| issuer.own().and_then(Acme::of).is_some_and(|acme| !acme.asks_duration);
    !issuers.is_empty() && issuers.iter().all(is)
}

/// A duration as a person writes it: without minutes and seconds that are none.
fn shown(nanoseconds: i64) -> String {
    let mut text = duration::format(nanoseconds);
    for (end, kept) in [("m0s", 1), ("h0m", 1)] {
        if text.ends_with(end) {
            text.truncate(text.len() - end.len() + kept);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    const PATH: &str = "duration-out-of-bounds: metadata.annotations[cert-manager.io/duration]: tenant \"a\" may not have certificates of";

    /// A cluster whose ClusterIssuer `le` has that spec.
    fn cluster(spec: Value) -> TestCluster {
        let mut issuer = Value::from(cluster_issuer("le").ready());
        issuer["spec"] = spec;
        TestCluster::default().object(issuer)
    }

    fn ca() -> TestCluster {
        cluster(json!({"ca": {"secretName": "ca"}}))
    }

    fn asking(gateway: GatewayFixture, duration: Option<&str>, bounds: Value) -> GatewayFixture {
        let gateway = gateway.cert_manager("cluster-issuer", "le").tenant(json!({"duration": bounds}));
        duration.into_iter().fold(gateway, |gateway, duration| gateway.cert_manager("duration", duration))
    }

    #[rstest]
    #[case::within(Some("720h"), json!({"min": "24h", "max": "2160h"}), None)]
    #[case::at_the_bounds(Some("24h"), json!({"min": "24h", "max": "24h"}), None)]
    #[case::too_long(Some("8760h"), json!({"max": "2160h"}), Some("8760h, but at most 2160h. Set cert-manager.io/duration: 2160h."))]
    #[case::too_short(Some("90m"), json!({"min": "24h"}), Some("1h30m, but at least 24h. Set cert-manager.io/duration: 24h."))]
    #[case::seconds(Some("1h0m1s"), json!({"max": "1h"}), Some("1h0m1s, but at most 1h. Set cert-manager.io/duration: 1h."))]
    #[case::default_too_long(None, json!({"max": "720h"}), Some("2160h (cert-manager's default), but at most 720h. Set cert-manager.io/duration: 720h."))]
    #[case::default_within(None, json!({"max": "2160h"}), None)]
    #[case::no_bounds(Some("87600h"), json!({}), None)]
    fn within_bounds(#[case] duration: Option<&str>, #[case] bounds: Value, #[case] expected: Option<&str>) {
        for gateway in [istio("shop"), gateway_api("shop")] {
            let expected: Vec<String> = expected.iter().map(|text| format!("{PATH} {text}")).collect();
            assert_eq!(asking(gateway, duration, bounds.clone()).findings(&ca()), expected);
        }
    }

    #[rstest]
    #[case::acme(json!({"acme": {}}), None, 0)]
    #[case::acme_that_takes_it(json!({"acme": {"enableDurationFeature": true}}), None, 1)]
    #[case::acme_asked(json!({"acme": {}}), Some("8760h"), 1)]
    #[case::ca(json!({"ca": {}}), None, 1)]
    #[case::without_spec(json!(null), None, 1)]
    fn issuers(#[case] spec: Value, #[case] duration: Option<&str>, #[case] expected: usize) {
        let gateway = asking(istio("shop"), duration, json!({"max": "720h"}));
        let findings = gateway.findings(&cluster(spec));
        let count = findings.iter().filter(|finding| finding.starts_with("duration-out-of-bounds: ")).count();
        assert_eq!(count, expected, "{findings:?}");
    }

    #[test]
    fn an_annotation_that_cannot_be_read_is_another_rule_s() {
        let findings = asking(istio("shop"), Some("90d"), json!({"max": "720h"})).findings(&ca());
        assert!(
            !findings.iter().any(|finding| finding.starts_with("duration-out-of-bounds")),
            "{findings:?}"
        );
    }

    #[test]
    fn an_update() {
        let with = |duration| asking(istio("shop"), Some(duration), json!({"max": "720h"}));
        assert_eq!(with("8760h").create(&ca()).code, Some(403));
        assert!(with("8760h").annotation("a", "b").update_from(&with("8760h"), &ca()).accepted);
        assert!(!with("87600h").update_from(&with("8760h"), &ca()).accepted);
        let other_secret = with("8760h").with("/spec/servers/0/tls/credentialName", json!("other"));
        assert!(!other_secret.update_from(&with("8760h"), &ca()).accepted);
    }
}
