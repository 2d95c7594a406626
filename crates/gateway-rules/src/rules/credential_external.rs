//! A credential comes from an external SDS provider.
//!
//! `sds://` is answered by a provider beside the gateway or of the mesh, so no Certificate is made
//! for it, whatever the annotations say.
//!
//! Warned about:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: "sds://shop"}
//! ```
//! Accepted silently:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```

use certificate_shim::credential::CredentialFault;
use certificate_shim::skip::SkipReason;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};

use crate::servers::{add, skipped};
use crate::text::quote;

/// `credential-external`
pub const RULE: Rule = Rule {
    id: "credential-external",
    default: Level::Warn,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    skipped(context, |reason, place, named| {
        if *reason == SkipReason::Credential(CredentialFault::Sds) {
            let what = format!(
                "{} comes from an external SDS provider, so no Certificate is made for it",
                quote(named.text)
            );
            let mend = "Name a Secret if cert-manager is to issue it.".to_owned();
            add(findings, context, named.text, place, "", (what, mend));
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, istio};
    use rstest::rstest;
    use serde_json::json;

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    /// A Gateway with another server that names that credential.
    fn with_credential(name: &str) -> GatewayFixture {
        let server = json!({
            "port": {"number": 8443, "name": "b", "protocol": "HTTPS"}, "hosts": ["b.example.com"],
            "tls": {"mode": "SIMPLE", "credentialName": name},
        });
        istio("shop").cert_manager("cluster-issuer", "le").push("/spec/servers", server)
    }

    #[rstest]
    #[case::external("sds://b", &[
        "spec.servers[1].tls.credentialName: \"sds://b\" comes from an external SDS provider, so no Certificate is made for it. Name a Secret if cert-manager is to issue it."
    ])]
    #[case::secret("b", &[])]
    #[case::no_secret("B", &[])]
    fn found(#[case] name: &str, #[case] expected: &[&str]) {
        assert_eq!(with_credential(name).findings_of("credential-external", &cluster()), expected);
    }

    #[rstest]
    #[case::the_same("sds://b", true)]
    #[case::another("sds://c", false)]
    fn updates(#[case] before: &str, #[case] let_through: bool) {
        let level = |gateway: GatewayFixture| gateway.level("credential-external", "reject");
        let new = level(with_credential("sds://b")).annotation("a", "b");
        assert_eq!(new.update_from(&level(with_credential(before)), &cluster()).accepted, let_through);
    }
}
