//! A server asks clients for certificates and names no CA for them.
//!
//! istiod then looks for the Secret `NAME-cacert`, and where there is none it takes `ca.crt` of the
//! server's own Secret. That is the CA that issued the server's certificate, so everybody with any
//! certificate of that issuer is let in. ACME servers give no `ca.crt`: then nobody is let in.
//!
//! Warned about:
//! ```yaml
//! tls: {mode: MUTUAL, credentialName: shop-tls}
//! ```
//! Accepted silently:
//! ```yaml
//! tls: {mode: MUTUAL, credentialName: shop-tls, caCertCredentialName: clients-ca}
//! ```
//! No rule reads Secrets, so this one warns where `NAME-cacert` is there, too: name it in
//! `caCertCredentialName`, or set the rule to off.

use certificate_shim::credential::{CA_SUFFIX, Credential};
use certificate_shim::place::{Place, ServerField};
use certificate_shim::plan::SecretName;

use super::{Applies, Findings, Judges, Rule};
use crate::context::{Context, FoundIssuer};
use crate::finding::{Level, Refusal};

use crate::servers::credentials;
use crate::text::quote;

/// `client-ca-missing`
pub const RULE: Rule = Rule {
    id: "client-ca-missing",
    default: Level::Warn,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for named in credentials(context) {
        let tls = named.server.tls.as_ref();
        let asks_clients = tls.is_some_and(|tls| {
            matches!(tls.mode, Some("MUTUAL" | "OPTIONAL_MUTUAL"))
                && tls.ca_cert_credential_name.is_none_or(str::is_empty)
        });
        // Of a pair the first one's name counts (`SdsCaSuffix` in Istio's pilot/pkg/security/model).
        let first = !matches!(named.place, Place::Server(_, ServerField::CredentialNames(1..)));
        let Ok(credential) = Credential::parse(named.text) else { continue };
        if !(asks_clients && first && named.server.speaks_tls()) {
            continue;
        }
        for FoundIssuer { object, outcome } in context.issuers() {
            let Ok(issuer) = outcome else { continue };
            let of_clients = quote(&format!("{}{CA_SUFFIX}", credential.name));
            let what = if issuer.pointer("/spec/acme").is_some_and(|acme| !acme.is_null()) {
                format!("no client gets in unless there is a Secret {of_clients}, since ACME gives no CA")
            } else {
                format!(
                    "clients with any certificate of {object} get in unless there is a Secret {of_clients}"
                )
            };
            for namespace in &context.placement {
                let is_it = |only: Option<&str>| only.is_none_or(|only| only == *namespace);
                if is_it(object.namespace.as_deref()) && is_it(credential.namespace) {
                    let secret =
                        SecretName { namespace: (*namespace).to_owned(), name: credential.name.to_owned() };
                    let path = format!("spec.servers[{}].tls", named.index);
                    let mend = "Name the clients' CA in caCertCredentialName.";
                    findings.add_about(&secret, path, named.text, what.as_str(), mend);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, issuer, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    const MEND: &str = "Name the clients' CA in caCertCredentialName.";

    fn cluster() -> TestCluster {
        TestCluster::default()
            .object(cluster_issuer("le").spec(json!({"acme": {}})).ready())
            .object(issuer("team-a", "ca").spec(json!({"ca": {"secretName": "ca"}})).ready())
    }

    fn with_tls(tls: Value) -> GatewayFixture {
        istio("shop").with("/spec/servers/0/tls", tls)
    }

    #[rstest]
    #[case::simple(json!({"mode": "SIMPLE", "credentialName": "a"}), false)]
    #[case::mutual(json!({"mode": "MUTUAL", "credentialName": "a"}), true)]
    #[case::optional(json!({"mode": "OPTIONAL_MUTUAL", "credentialName": "a"}), true)]
    #[case::by_path(json!({"mode": "MUTUAL", "credentialName": "kubernetes://team-a/a"}), true)]
    #[case::the_first_of_two(json!({"mode": "MUTUAL", "credentialNames": ["a", "b"]}), true)]
    #[case::ca_named(json!({"mode": "MUTUAL", "credentialName": "a", "caCertCredentialName": "clients"}), false)]
    #[case::ca_empty(json!({"mode": "MUTUAL", "credentialName": "a", "caCertCredentialName": ""}), true)]
    #[case::mesh(json!({"mode": "ISTIO_MUTUAL"}), false)]
    fn found(#[case] tls: Value, #[case] expected: bool) {
        let findings = |key, name| {
            with_tls(tls.clone()).cert_manager(key, name).findings_of("client-ca-missing", &cluster())
        };
        let own = "clients with any certificate of Issuer \"ca\" in namespace \"team-a\" get in unless there is a Secret \"a-cacert\"";
        let acme = "no client gets in unless there is a Secret \"a-cacert\", since ACME gives no CA";
        for (findings, what) in [(findings("issuer", "ca"), own), (findings("cluster-issuer", "le"), acme)] {
            let expected = expected.then(|| format!("spec.servers[0].tls: {what}. {MEND}"));
            assert_eq!(findings, expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_issuer_that_is_not_there_gives_nothing() {
        let gateway =
            with_tls(json!({"mode": "MUTUAL", "credentialName": "a"})).cert_manager("issuer", "absent");
        assert_eq!(gateway.findings_of("client-ca-missing", &cluster()), Vec::<String>::new());
    }

    #[test]
    fn gateway_api_has_no_such_mode() {
        let gateway = gateway_api("web").cert_manager("issuer", "ca");
        assert_eq!(gateway.findings(&cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::the_same("MUTUAL", "ca", "a", true)]
    #[case::was_simple("SIMPLE", "ca", "a", false)]
    #[case::another_issuer("MUTUAL", "other", "a", false)]
    #[case::another_secret("MUTUAL", "ca", "b", false)]
    fn updates(#[case] mode: &str, #[case] issuer: &str, #[case] secret: &str, #[case] let_through: bool) {
        let gateway = |mode: &str, issuer: &str, secret: &str| {
            with_tls(json!({"mode": mode, "credentialName": secret}))
                .cert_manager("issuer", issuer)
                .level("client-ca-missing", "reject")
        };
        let new = gateway("MUTUAL", "ca", "a").annotation("a", "b");
        assert_eq!(new.update_from(&gateway(mode, issuer, secret), &cluster()).accepted, let_through);
    }
}
