//! A credential is served by an external SDS provider.
//!
//! A provider next to the gateway or of the mesh answers for `sds://`, so no Certificate is issued
//! for the credential, even if annotations request one.
//!
//! Warned about:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: "sds://shop"}
//! ```
//! Accepted:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```

use certificate_shim::credential::CredentialFault;
use certificate_shim::skip::ServerFault;

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::servers::faults;
use crate::text::quote;

/// `credential-external`
pub const RULE: Rule = Rule::warn("credential-external", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    faults(context, |fault, place, named| {
        if *fault == ServerFault::Credential(CredentialFault::Sds) {
            let credential = quote(named.text);
            findings
                .report(
                    place.to_string(),
                    format!("{credential} is served by an external SDS provider, not by cert-manager"),
                )
                .subject(named.text)
                .help("Use the name of a Secret if cert-manager should issue the certificate.");
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, cluster_issuer, istio};
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::external("sds://b", &["warn spec.servers[1].tls.credentialName | sds://b"])]
    #[case::secret("b", &[])]
    #[case::invalid("B", &[])]
    #[case::another_scheme("vault://b", &[])]
    fn found(#[case] credential: &str, #[case] expected: &[&str]) {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let server = json!({
            "port": {"number": 8443, "name": "b", "protocol": "HTTPS"}, "hosts": ["b.example.com"],
            "tls": {"mode": "SIMPLE", "credentialName": credential},
        });
        let gateway = istio("shop").cert_manager("cluster-issuer", "le").push("/spec/servers", server);
        assert_eq!(gateway.found_by("credential-external", &cluster), expected);
    }
}
