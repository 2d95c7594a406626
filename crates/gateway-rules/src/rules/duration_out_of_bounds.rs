//! The duration of the certificate is shorter or longer than its tenant may have.
//!
//! A CA issuer signs any duration. Without the annotation cert-manager requests 2160h (90 days), so this
//! default must be within the bounds, too. ACME servers choose the duration themselves: with an ACME
//! issuer without `enableDurationFeature`, only the annotation is checked.
//!
//! Configured per tenant: `duration: {min, max}`, each a Go duration such as `720h`.
//!
//! Rejected, with `duration: {max: 2160h}`:
//! ```yaml
//! cert-manager.io/duration: 8760h
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/duration: 720h
//! ```

use certificate_shim::annotation;
use certificate_shim::gateway::GatewayKind;
use certificate_shim::value::duration;
use certificate_shim::webhook::DEFAULT_DURATION;

use crate::context::{Context, FoundIssuer};
use crate::issuer::acme::Acme;
use crate::rule::{Findings, Rule};
use crate::text::quote;

/// `duration-out-of-bounds`
pub const RULE: Rule = Rule::reject("duration-out-of-bounds", check).forbidden().of_planned();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let (Some(tenant), Some(template)) = (context.tenant(), context.widest_plan().template()) else { return };
    let (asked, source) = match template.duration {
        Some(duration) => (duration, ""),
        // annotation-invalid reports an annotation that cannot be read.
        None if context.gateway.annotation(annotation::DURATION).is_some() => return,
        None if is_left_to_the_server(context) => return,
        None => (DEFAULT_DURATION, " (cert-manager's default)"),
    };
    let bound = match (tenant.duration.min, tenant.duration.max) {
        (Some(min), _) if asked < min => Some(("at least", min)),
        (_, Some(max)) if asked > max => Some(("at most", max)),
        _ => None,
    };
    if let Some((which, bound)) = bound {
        let (tenant, asked, bound) = (quote(&tenant.name), shown(asked), shown(bound));
        let problem = format!(
            "certificates of tenant {tenant} must last {which} {bound}; this one lasts {asked}{source}"
        );
        findings
            .report(context.path_of(annotation::DURATION), problem)
            .subject(asked)
            .help(format!("Set {}: {bound}.", annotation::DURATION));
    }
}

/// Whether every issuer is an ACME issuer that is not asked for a duration. A ListenerSet can get
/// another issuer from its parent later, unless it names a `cluster-issuer` itself: the parent's kind
/// and group override those of its `issuer`.
fn is_left_to_the_server(context: &Context<'_>) -> bool {
    let issuers = context.issuers();
    let is = |issuer: &FoundIssuer| issuer.own().and_then(Acme::of).is_some_and(|acme| !acme.asks_duration);
    let is_final = context.gateway.kind != GatewayKind::ListenerSet
        || context.written.annotation(annotation::CLUSTER_ISSUER).is_some();
    is_final && !issuers.is_empty() && issuers.iter().all(is)
}

/// A duration as a person writes it: without minutes and seconds that are zero.
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
    use crate::fixtures::{
        GatewayFixture, TestCluster, cluster_issuer, gateway_api, issuer, istio, listener_set,
    };
    use crate::response::Response;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn found(gateway: GatewayFixture, cluster: &TestCluster) -> Vec<String> {
        gateway.found_by("duration-out-of-bounds", cluster)
    }

    fn subjects(gateway: GatewayFixture, cluster: &TestCluster) -> Vec<String> {
        let subject = |line: String| line.split(" | ").last().unwrap_or_default().to_owned();
        found(gateway, cluster).into_iter().map(subject).collect()
    }

    /// A cluster with a ClusterIssuer `le` of that spec.
    fn cluster(spec: Value) -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready().spec(spec))
    }

    fn ca() -> TestCluster {
        cluster(json!({"ca": {"secretName": "ca"}}))
    }

    fn with(gateway: GatewayFixture, duration: &str, bounds: Value) -> GatewayFixture {
        let gateway = gateway.cert_manager("cluster-issuer", "le").tenant(json!({"duration": bounds}));
        if duration.is_empty() { gateway } else { gateway.cert_manager("duration", duration) }
    }

    #[rstest]
    #[case::within("720h", json!({"min": "24h", "max": "2160h"}), "")]
    #[case::at_the_bounds("24h", json!({"min": "24h", "max": "24h"}), "")]
    #[case::too_long("8760h", json!({"min": "24h", "max": "2160h"}), "8760h")]
    #[case::too_short("90m", json!({"min": "24h", "max": "2160h"}), "1h30m")]
    #[case::seconds("1h0m1s", json!({"max": "1h"}), "1h0m1s")]
    #[case::minutes_and_seconds("1h10m1s", json!({"max": "1h"}), "1h10m1s")]
    #[case::tens_of_minutes("1h10m", json!({"max": "1h"}), "1h10m")]
    #[case::default_too_long("", json!({"max": "720h"}), "2160h")]
    #[case::default_too_short("", json!({"min": "2161h"}), "2160h")]
    #[case::default_within("", json!({"max": "2160h"}), "")]
    #[case::no_bounds("87600h", json!({}), "")]
    #[case::an_annotation_that_is_invalid("90d", json!({"max": "720h"}), "")]
    fn within_bounds(#[case] duration: &str, #[case] bounds: Value, #[case] subject: &str) {
        let line = format!("reject metadata.annotations[cert-manager.io/duration] | {subject}");
        let expected = [line];
        let expected = &expected[usize::from(subject.is_empty())..];
        for gateway in [istio("shop"), gateway_api("shop")] {
            assert_eq!(found(with(gateway, duration, bounds.clone()), &ca()), expected);
        }
    }

    #[rstest]
    #[case::acme(json!({"acme": {}}), "", &[])]
    #[case::acme_that_is_asked(json!({"acme": {"enableDurationFeature": true}}), "", &["2160h"])]
    #[case::annotated(json!({"acme": {}}), "8760h", &["8760h"])]
    #[case::ca(json!({"ca": {}}), "", &["2160h"])]
    #[case::without_spec(json!(null), "", &["2160h"])]
    fn issuers(#[case] spec: Value, #[case] duration: &str, #[case] expected: &[&str]) {
        let gateway = with(istio("shop"), duration, json!({"max": "720h"}));
        assert_eq!(subjects(gateway, &cluster(spec)), expected);
    }

    #[rstest]
    #[case::not_found("letsencrypt", "Issuer", "cert-manager.io")]
    #[case::of_an_unknown_kind("le", "AWSPCAIssuer", "awspca.cert-manager.io")]
    fn an_issuer_that_is_not_known(#[case] name: &str, #[case] kind: &str, #[case] group: &str) {
        let gateway = istio("shop")
            .cert_manager("issuer", name)
            .cert_manager("issuer-kind", kind)
            .cert_manager("issuer-group", group)
            .tenant(json!({"duration": {"max": "720h"}}));
        assert_eq!(subjects(gateway, &cluster(json!({"acme": {}}))), ["2160h"]);
    }

    #[rstest]
    #[case::two_of_acme(json!({"acme": {}}), &[])]
    #[case::one_of_a_ca(json!({"ca": {}}), &["2160h"])]
    fn an_issuer_in_each_namespace(#[case] spec: Value, #[case] expected: &[&str]) {
        let pods = |namespace| json!({"labels": {"istio": "ingressgateway"}, "namespace": namespace});
        let gateway = istio("shop")
            .cert_manager("issuer", "le")
            .settings(json!({"gateway_namespaces": [pods("istio-a"), pods("istio-b")]}))
            .tenant(json!({"duration": {"max": "720h"}}));
        let cluster = TestCluster::default()
            .object(issuer("istio-a", "le").ready().spec(json!({"acme": {}})))
            .object(issuer("istio-b", "le").ready().spec(spec));
        assert_eq!(subjects(gateway, &cluster), expected);
    }

    /// Whether a ListenerSet keeps its ACME issuer if its parent changes.
    #[rstest]
    #[case::cluster_issuer_of_its_own("cluster-issuer", "", &[])]
    #[case::issuer_of_its_own("issuer", "", &["2160h"])]
    #[case::issuer_of_the_parent("", "cluster-issuer", &["2160h"])]
    #[case::no_issuer("", "", &["2160h"])]
    fn listener_sets(#[case] own: &str, #[case] parents: &str, #[case] expected: &[&str]) {
        let annotated = |gateway: GatewayFixture, key: &str| {
            if key.is_empty() { gateway } else { gateway.cert_manager(key, "le") }
        };
        let cluster = cluster(json!({"acme": {}}))
            .object(issuer("team-a", "le").ready().spec(json!({"acme": {}})))
            .object(annotated(gateway_api("web"), parents).object());
        let set = annotated(listener_set("extra"), own).tenant(json!({"duration": {"max": "720h"}}));
        assert_eq!(subjects(set, &cluster), expected);
    }

    #[rstest]
    #[case::the_same("8760h", "shop-tls", true)]
    #[case::in_another_form("525600m", "shop-tls", true)]
    #[case::longer("87600h", "shop-tls", false)]
    #[case::for_another_secret("8760h", "other-tls", false)]
    fn an_update(#[case] duration: &str, #[case] secret: &str, #[case] is_accepted: bool) {
        let old = with(istio("shop"), "8760h", json!({"max": "720h"}));
        let new = with(istio("shop"), duration, json!({"max": "720h"})).annotation("a", "b");
        let new = new.with("/spec/servers/0/tls/credentialName", json!(secret));
        let Response { accepted, code, .. } = new.update_from(&old, &ca());
        assert_eq!((accepted, code), (is_accepted, (!is_accepted).then_some(403)));
    }
}
