//! A `certificateRef` has the group `core`.
//!
//! cert-manager takes it for the core group and issues the Certificate. Gateways know the core group
//! only as `""`, so they do not find the Secret.
//!
//! Warned about:
//! ```yaml
//! certificateRefs: [{group: core, kind: Secret, name: shop-tls}]
//! ```
//! Accepted:
//! ```yaml
//! certificateRefs: [{group: "", kind: Secret, name: shop-tls}]
//! ```

use certificate_shim::gateway::Spec;
use certificate_shim::place::{ListenerField, Place, RefField};
use certificate_shim::plan::SecretName;

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::text::quote;

/// `certificate-ref-group`
pub const RULE: Rule = Rule::warn("certificate-ref-group", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Spec::Listeners(listeners) = &context.gateway.spec else { return };
    for (index, listener) in listeners.iter().enumerate() {
        let references = listener.tls.iter().flat_map(|tls| &tls.certificate_refs).enumerate();
        for (position, reference) in references.filter(|(_, reference)| reference.group == "core") {
            let place = Place::Listener(index, ListenerField::CertificateRef(position, RefField::Group));
            let secret = quote(reference.name);
            let namespace = reference.namespace.unwrap_or(context.gateway.metadata.namespace);
            findings
                .report(place.to_string(), format!("gateways do not find {secret} in the group \"core\""))
                .subject(format!("{} {}", reference.name, quote(listener.name)))
                .help("Set group: \"\", or remove it.")
                .about(SecretName { namespace: namespace.to_owned(), name: reference.name.to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, cluster_issuer, gateway_api, listener_set};
    use crate::rule::Caller;
    use certificate_shim::plan::SecretName;
    use rstest::rstest;
    use serde_json::{Value, json};

    #[rstest]
    #[case::absent(json!([{"name": "a"}]), &[])]
    #[case::empty(json!([{"group": "", "name": "a"}]), &[])]
    #[case::another(json!([{"group": "example.com", "name": "a"}]), &[])]
    #[case::core(json!([{"name": "a"}, {"group": "core", "name": "b"}]), &[
        "warn spec.listeners[0].tls.certificateRefs[1].group | b \"https\""
    ])]
    #[case::each(json!([{"group": "core", "name": "a"}, {"group": "core", "name": "b"}]), &[
        "warn spec.listeners[0].tls.certificateRefs[0].group | a \"https\"",
        "warn spec.listeners[0].tls.certificateRefs[1].group | b \"https\"",
    ])]
    fn found(#[case] references: Value, #[case] expected: &[&str]) {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready()).object(gateway_api("web"));
        for gateway in [gateway_api("web"), listener_set("extra")] {
            let gateway = gateway.with("/spec/listeners/0/tls/certificateRefs", references.clone());
            assert_eq!(gateway.found(&cluster), Vec::<String>::new());
            let annotated = gateway.cert_manager("cluster-issuer", "le");
            assert_eq!(annotated.found_by("certificate-ref-group", &cluster), expected);
        }
    }

    #[test]
    fn about_the_secret() {
        let references = json!([
            {"group": "core", "name": "a"},
            {"group": "core", "name": "b", "namespace": "team-b"},
        ]);
        let gateway = gateway_api("web")
            .cert_manager("cluster-issuer", "le")
            .with("/spec/listeners/0/tls/certificateRefs", references);
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let findings = gateway.checked(&cluster, Caller::Controller).findings;
        let secrets = findings.iter().filter_map(|finding| finding.certificate.as_ref());
        assert_eq!(secrets.map(SecretName::to_string).collect::<Vec<_>>(), ["team-a/a", "team-b/b"]);
    }
}
