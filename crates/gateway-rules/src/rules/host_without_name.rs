//! A server needs a certificate, but none of its hosts is a name that a certificate can have.
//!
//! Its only host is `*`, which matches every name and is not a DNS name. A certificate needs at least
//! one name; `alt-names`, `common-name` and `ip-sans` can provide it, too.
//!
//! Rejected:
//! ```yaml
//! hosts: ["*"]
//! ```
//! Accepted:
//! ```yaml
//! hosts: [shop.example.com, "*.shop.example.com"]
//! ```

use certificate_shim::annotation;
use certificate_shim::skip::ServerFault;

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::servers::faults;
use crate::text::quote;

/// `host-without-name`
pub const RULE: Rule = Rule::reject("host-without-name", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let planned = context.plan.secrets();
    let help = format!("Name the hosts, or set {}.", annotation::ALT_NAMES);
    faults(context, |fault, place, named| {
        if *fault != ServerFault::NoName {
            return;
        }
        let secret = quote(named.text);
        let problem = format!("no certificate name can be derived for {secret}: * is not a DNS name");
        // Another server can give the same Secret a name.
        for secret in
            named.secrets(context).into_iter().filter(|secret| planned.binary_search(secret).is_err())
        {
            findings.report(place.to_string(), &*problem).subject(named.text).help(&*help).about(secret);
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, istio};
    use crate::rule::Caller;
    use certificate_shim::plan::SecretName;
    use rstest::rstest;
    use serde_json::{Value, json};

    const FOUND: &str = "host-without-name reject spec.servers[0].hosts | shop-tls";

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn with_hosts(hosts: Value) -> GatewayFixture {
        istio("shop").cert_manager("cluster-issuer", "le").with("/spec/servers/0/hosts", hosts)
    }

    #[rstest]
    #[case::any(json!(["*"]), &[FOUND])]
    #[case::any_of_a_namespace(json!(["team-a/*", "./*"]), &[FOUND])]
    #[case::none(json!([]), &[FOUND])]
    #[case::one_name_as_well(json!(["*", "shop.example.com"]), &[])]
    #[case::wildcard(json!(["*.example.com"]), &[])]
    fn found(#[case] hosts: Value, #[case] expected: &[&str]) {
        let gateway = with_hosts(hosts);
        assert_eq!(gateway.found(&cluster()), expected);
        let named = gateway.cert_manager("alt-names", "shop.example.com");
        assert_eq!(named.found(&cluster()), Vec::<String>::new());
    }

    #[test]
    fn about_the_secret() {
        let findings = with_hosts(json!(["*"])).checked(&cluster(), Caller::Controller).findings;
        let secrets = findings.iter().filter_map(|finding| finding.certificate.as_ref());
        assert_eq!(secrets.map(SecretName::to_string).collect::<Vec<_>>(), ["team-a/shop-tls"]);
    }

    #[rstest]
    #[case::one(json!({"mode": "SIMPLE", "credentialName": "shop-tls"}), &[])]
    #[case::one_of_two(json!({"mode": "SIMPLE", "credentialNames": ["shop-tls", "other"]}), &[
        "reject spec.servers[0].hosts | other"
    ])]
    #[case::and_one_that_is_invalid(json!({"mode": "SIMPLE", "credentialNames": ["other", "Invalid"]}), &[
        "reject spec.servers[0].hosts | other"
    ])]
    #[case::and_one_from_elsewhere(json!({"mode": "SIMPLE", "credentialNames": ["other", "sds://x"]}), &[
        "reject spec.servers[0].hosts | other"
    ])]
    #[case::fault_of_the_mode(json!({"credentialName": "shop-tls"}), &[])]
    fn another_server_names_a_secret(#[case] tls: Value, #[case] expected: &[&str]) {
        let server = json!({
            "port": {"number": 8443, "name": "b", "protocol": "HTTPS"}, "hosts": ["b.example.com"],
            "tls": {"mode": "SIMPLE", "credentialName": "shop-tls"},
        });
        let gateway = with_hosts(json!(["*"])).with("/spec/servers/0/tls", tls).push("/spec/servers", server);
        assert_eq!(gateway.found_by("host-without-name", &cluster()), expected);
    }
}
