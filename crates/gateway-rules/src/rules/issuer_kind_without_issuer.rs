//! `issuer-kind` or `issuer-group` is set without an issuer.
//!
//! On a Gateway they apply to its ListenerSets, even to those that name an issuer themselves. On a
//! ListenerSet they apply to the issuer of the parent, which can name one later. Either way an issuer
//! that the tenant may use becomes another one. This rule checks the Gateway API Gateways and the
//! ListenerSets of tenants.
//!
//! Rejected, if the namespace belongs to a tenant:
//! ```yaml
//! kind: GatewayAPI
//! cert-manager.io/cluster-issuer: null
//! cert-manager.io/issuer-kind: ClusterIssuer
//! ```
//! Accepted:
//! ```yaml
//! kind: GatewayAPI
//! cert-manager.io/issuer: letsencrypt
//! cert-manager.io/issuer-kind: ClusterIssuer
//! ```

use certificate_shim::gateway::GatewayKind;

use crate::context::{Context, annotation_path};
use crate::finding::Level;
use crate::rule::{Findings, Rule};
use crate::rules::annotation_conflict;
use crate::tenancy::inherited_keys;
use crate::text::quote;

/// `issuer-kind-without-issuer`
pub const RULE: Rule = Rule::reject("issuer-kind-without-issuer", check).forbidden().of_all().about_whole();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let gateway = context.written;
    if gateway.kind == GatewayKind::Istio || names_issuer(context) || context.tenant().is_none() {
        return;
    }
    for key in inherited_keys(gateway) {
        let value = gateway.annotation(key).unwrap_or_default();
        let problem = if gateway.kind == GatewayKind::ListenerSet {
            format!(
                "this ListenerSet names no issuer, so {} applies to the issuer of its parent",
                quote(value)
            )
        } else {
            format!("this Gateway names no issuer, but its ListenerSets inherit the value {}", quote(value))
        };
        findings
            .report(annotation_path(key), problem)
            .subject(format!("{key}: {value}"))
            .help("Set cert-manager.io/issuer too, or remove this annotation.");
    }
}

/// Whether the object names an issuer itself. A Gateway whose annotations contradict each other names none, but
/// its ListenerSets inherit kind and group all the same; usually annotation-conflict rejects it.
fn names_issuer(context: &Context<'_>) -> bool {
    let gateway = context.written;
    let conflict = &annotation_conflict::RULE;
    let is_rejected = context.settings.level(conflict) == Level::Reject
        && context.settings.exception(&gateway.metadata, conflict.id).is_none();
    gateway.is_annotated()
        && (gateway.kind == GatewayKind::ListenerSet || is_rejected || context.issuer_ref().is_some())
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::{Value, json};

    type Keys = &'static [(&'static str, &'static str)];

    const KIND: Keys = &[("issuer-kind", "ClusterIssuer")];
    const LONG: &str =
        "A.kind.of.more.characters.than.the.eighty.that.a.message.shows.since.quoted.values.are.cut";

    fn with(gateway: GatewayFixture, keys: Keys) -> GatewayFixture {
        keys.iter().fold(gateway, |gateway, (key, value)| gateway.cert_manager(key, value))
    }

    /// The findings for a ListenerSet below a Gateway with these annotations.
    fn found(gateway: &GatewayFixture, parent: Keys) -> Vec<String> {
        let cluster = TestCluster::default().object(with(gateway_api("web"), parent));
        gateway.found_by("issuer-kind-without-issuer", &cluster)
    }

    fn expected(keys: Keys) -> Vec<String> {
        let found = |(key, value): &(&str, &str)| {
            format!("reject metadata.annotations[cert-manager.io/{key}] | cert-manager.io/{key}: {value}")
        };
        keys.iter().map(found).collect()
    }

    #[rstest]
    #[case::kind(KIND, KIND)]
    #[case::group(&[("issuer-group", "example.com")], &[("issuer-group", "example.com")])]
    #[case::both(
        &[("issuer-kind", "My"), ("issuer-group", "example.com")],
        &[("issuer-kind", "My"), ("issuer-group", "example.com")],
    )]
    #[case::empty(&[("issuer-kind", "")], &[("issuer-kind", "")])]
    #[case::long(&[("issuer-kind", LONG)], &[("issuer-kind", LONG)])]
    #[case::neither(&[("duration", "2160h")], &[])]
    #[case::with_issuer(&[("issuer", "ca"), ("issuer-kind", "ClusterIssuer")], &[])]
    #[case::with_cluster_issuer(&[("cluster-issuer", "ca"), ("issuer-kind", "ClusterIssuer")], &[])]
    fn of_a_tenant(#[case] keys: Keys, #[case] reported: Keys) {
        for gateway in [gateway_api("web"), listener_set("extra")] {
            let gateway = with(gateway, keys).tenant(json!({}));
            assert_eq!(found(&gateway, &[]), expected(reported));
        }
        assert_eq!(found(&with(istio("shop"), keys).tenant(json!({})), &[]), Vec::<String>::new());
    }

    #[rstest]
    #[case::issuer_of_the_parent(KIND, &[("issuer", "ca")], KIND)]
    #[case::kind_of_the_parent(&[], &[("issuer", "ca"), ("issuer-kind", "ClusterIssuer")], &[])]
    #[case::kind_of_a_parent_without_issuer(&[("issuer", "ca")], KIND, &[])]
    fn only_what_a_listener_set_has_itself(#[case] keys: Keys, #[case] parent: Keys, #[case] reported: Keys) {
        let set = with(listener_set("extra"), keys).tenant(json!({}));
        assert_eq!(found(&set, parent), expected(reported));
    }

    /// Its sets inherit the kind although the Gateway itself gets nothing.
    #[rstest]
    #[case::rejected_anyway("reject", &[])]
    #[case::warned_about("warn", KIND)]
    fn contradicting_annotations(#[case] level: &str, #[case] reported: Keys) {
        let gateway = with(gateway_api("web"), &[("issuer", ""), ("issuer-kind", "ClusterIssuer")]);
        let gateway = gateway.tenant(json!({})).level("annotation-conflict", level);
        assert_eq!(found(&gateway, &[]), expected(reported));
    }

    #[rstest]
    #[case::no_tenants(json!({}))]
    #[case::another_tenant(
        json!({"tenants": [{"name": "b", "namespaces": ["team-b"], "issuers": [], "dns_names": []}]}),
    )]
    fn of_no_tenant(#[case] settings: Value) {
        for gateway in [gateway_api("web"), listener_set("extra")] {
            assert_eq!(found(&with(gateway, KIND).settings(settings.clone()), &[]), Vec::<String>::new());
        }
    }

    /// An update has to ask for nothing new.
    #[rstest]
    #[case::a_label("/metadata/labels/a", "b", true)]
    #[case::another_host("/spec/listeners/0/hostname", "b.example.com", false)]
    fn an_update(#[case] pointer: &str, #[case] value: &str, #[case] is_accepted: bool) {
        let old = with(listener_set("extra"), KIND).label("a", "a").tenant(json!({}));
        let cluster = TestCluster::default().object(gateway_api("web"));
        assert_eq!(old.clone().with(pointer, json!(value)).update_from(&old, &cluster).accepted, is_accepted);
    }

    #[rstest]
    #[case::gateway(gateway_api("web"), "its ListenerSets inherit the value \"ClusterIssuer\"")]
    #[case::listener_set(listener_set("extra"), "\"ClusterIssuer\" applies to the issuer of its parent")]
    fn texts(#[case] gateway: GatewayFixture, #[case] text: &str) {
        let cluster = TestCluster::default().object(gateway_api("web"));
        let response = with(gateway, KIND).tenant(json!({})).create(&cluster);
        assert_eq!(response.code, Some(403));
        assert!(response.message.as_ref().is_some_and(|message| message.contains(text)), "{response:?}");
    }
}
