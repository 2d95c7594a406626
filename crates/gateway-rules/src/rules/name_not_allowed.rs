//! The Gateway asks for a name that its tenant may not have.
//!
//! cert-manager asks the issuer for every name in the hosts and in the annotations `alt-names`,
//! `common-name` and `ip-sans`, and an issuer that may answer for a whole domain signs them all. An
//! Istio Gateway is judged annotated or not, since the hosts of a server that names a credential are
//! served with whatever is in that Secret.
//!
//! Configured per tenant: `dns_names` are `example.com` itself, `*.example.com` with one label more,
//! `**.example.com` with one or more, and `**` for every name. `wildcards: true` lets names be
//! wildcards: a host `*.y` then needs `*.y`, `**.x` where y is x or lies below it, or `**`. `ip_ranges`
//! are CIDRs. `common_names` are for common names that are neither DNS names nor IP addresses; `*`
//! stands for any text. Case does not count. What is left out or empty allows none.
//!
//! Refused, with `dns_names: ["*.team-a.example.com"]`:
//! ```yaml
//! hosts: [shop.team-b.example.com]
//! ```
//! Accepted:
//! ```yaml
//! hosts: [shop.team-a.example.com]
//! ```

use std::net::IpAddr;

use certificate_shim::annotation;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::named::{each_host, is_host_like};
use crate::settings::tenants::Tenant;
use crate::text::{allowed, quote};

/// `name-not-allowed`
pub const RULE: Rule = Rule {
    id: "name-not-allowed",
    default: Level::Reject,
    refusal: Refusal::Forbidden,
    applies: Applies::Everywhere,
    judges: Judges::All,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(tenant) = context.tenant() else { return };
    each_host(context, &mut |host, place, secrets| {
        let fault = match host.parse() {
            Ok(address) => ip_fault(tenant, host, address),
            Err(_) => dns_fault(tenant, host),
        };
        if let Some(text) = fault {
            findings.add_about_each(secrets, &place.to_string(), host, text);
        }
    });
    let Some(template) = context.template() else { return };
    let mut add = |path: &str, name: &str, fault: Option<(String, String)>| {
        if let Some((what, mend)) = fault {
            findings.add(path, name, what, mend);
        }
    };
    let path = context.path_of(annotation::ALT_NAMES);
    for name in &template.alt_names {
        add(&path, name, dns_fault(tenant, &name.to_ascii_lowercase()));
    }
    let path = context.path_of(annotation::IP_SANS);
    for address in &template.ip_sans {
        // What is no address is certificate-invalid's to say.
        let fault = address.parse().ok().and_then(|parsed| ip_fault(tenant, address, parsed));
        add(&path, address, fault);
    }
    let name = &template.common_name;
    let fault = common_name_fault(tenant, &name.to_ascii_lowercase());
    add(&context.path_of(annotation::COMMON_NAME), name, fault);
}

fn dns_fault(tenant: &Tenant, name: &str) -> Option<(String, String)> {
    if name.contains('*') && !tenant.wildcards {
        let what = format!("tenant {} may not have wildcards such as {}", quote(&tenant.name), quote(name));
        return Some((what, "Name each host, or ask the platform team.".to_owned()));
    }
    let names = &tenant.dns_names;
    (!names.allow(name)).then(|| text(tenant, "name", name, &names.0))
}

fn ip_fault(tenant: &Tenant, name: &str, address: IpAddr) -> Option<(String, String)> {
    let ranges = &tenant.ip_ranges;
    (!ranges.allow(address)).then(|| text(tenant, "IP address", name, ranges.texts()))
}

fn common_name_fault(tenant: &Tenant, name: &str) -> Option<(String, String)> {
    if name.is_empty() {
        None
    } else if let Ok(address) = name.parse() {
        ip_fault(tenant, name, address)
    } else if is_host_like(name) {
        dns_fault(tenant, name)
    } else {
        let names = &tenant.common_names;
        (!names.allow(name)).then(|| text(tenant, "common name", name, &names.0))
    }
}

fn text(tenant: &Tenant, what: &str, name: &str, allow: &[String]) -> (String, String) {
    let what = format!("tenant {} may not have the {what} {}", quote(&tenant.name), quote(name));
    (what, allowed(allow, quote))
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::{Value, json};

    const SUB: &str = "Allowed are \"*.team-a.example.com\"; for others, ask the platform team.";
    const HOST: &str = "name-not-allowed: spec.servers[0].hosts[0]: tenant \"a\" may not have";

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn tenant() -> Value {
        json!({"dns_names": ["*.team-a.example.com"], "wildcards": false})
    }

    fn with_hosts(hosts: Value) -> GatewayFixture {
        istio("shop").with("/spec/servers/0/hosts", hosts).tenant(tenant())
    }

    /// Whether annotated or not, the hosts of an Istio Gateway are judged alike.
    fn both(gateway: GatewayFixture) -> [GatewayFixture; 2] {
        [gateway.clone(), gateway.cert_manager("cluster-issuer", "le")]
    }

    #[rstest]
    #[case::allowed(json!(["shop.team-a.example.com"]), &[])]
    #[case::case_does_not_count(json!(["Shop.Team-A.example.com."]), &[])]
    #[case::of_a_namespace(json!(["./shop.team-a.example.com"]), &[])]
    #[case::another(json!(["shop.team-b.example.com"]), &[format!("{HOST} the name \"shop.team-b.example.com\". {SUB}")])]
    #[case::of_a_namespace_another(json!(["ns/shop.team-b.example.com"]), &[format!("{HOST} the name \"shop.team-b.example.com\". {SUB}")])]
    #[case::the_second(json!(["a.team-a.example.com", "x.org"]), &[format!("name-not-allowed: spec.servers[0].hosts[1]: tenant \"a\" may not have the name \"x.org\". {SUB}")])]
    #[case::wildcard(json!(["*.team-a.example.com"]), &[format!("{HOST} wildcards such as \"*.team-a.example.com\". Name each host, or ask the platform team.")])]
    #[case::every_host(json!(["*", "a.team-a.example.com"]), &[format!("{HOST} wildcards such as \"*\". Name each host, or ask the platform team.")])]
    #[case::ip_address(json!(["192.0.2.1"]), &[format!("{HOST} the IP address \"192.0.2.1\". None are allowed; ask the platform team.")])]
    fn hosts_of_a_server(#[case] hosts: Value, #[case] expected: &[String]) {
        for gateway in both(with_hosts(hosts)) {
            assert_eq!(gateway.findings(&cluster()), expected);
        }
    }

    #[rstest]
    #[case::same("*.team-a.example.com", "*.team-a.example.com", true)]
    #[case::below("**.example.com", "*.team-a.example.com", true)]
    #[case::beyond("*.example.com", "*.team-a.example.com", false)]
    #[case::everything("**", "*", true)]
    #[case::not_everything("**.example.com", "*", false)]
    fn wildcards(#[case] pattern: &str, #[case] host: &str, #[case] expected: bool) {
        let tenant = json!({"dns_names": [pattern], "wildcards": true});
        let gateway = istio("shop").with("/spec/servers/0/hosts", json!([host])).tenant(tenant);
        assert_eq!(gateway.findings(&cluster()).is_empty(), expected);
    }

    #[rstest]
    #[case::ca_credential(json!({"mode": "PASSTHROUGH", "caCertCredentialName": "ca"}), 1)]
    #[case::passthrough(json!({"mode": "PASSTHROUGH", "credentialName": "x"}), 1)]
    #[case::several(json!({"mode": "SIMPLE", "credentialNames": ["x"]}), 1)]
    #[case::no_credential(json!({"mode": "PASSTHROUGH"}), 0)]
    #[case::no_tls(json!(null), 0)]
    fn unannotated_servers_that_name_a_credential(#[case] tls: Value, #[case] expected: usize) {
        let gateway = with_hosts(json!(["x.org"])).with("/spec/servers/0/tls", tls);
        let answer = gateway.create(&cluster());
        assert_eq!(answer.message.map_or(0, |message| message.lines().count()), expected);
    }

    #[test]
    fn servers_without_credential_beside_one_with() {
        let plain = json!({"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]});
        let gateway = with_hosts(json!(["a.team-a.example.com"])).push("/spec/servers", plain);
        assert_eq!(gateway.findings(&cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::annotated(true, &["name-not-allowed: spec.listeners[0].hostname: tenant \"a\" may not have the name \"x.org\". Allowed are \"*.team-a.example.com\"; for others, ask the platform team."])]
    #[case::unannotated(false, &[])]
    fn gateway_api_where_annotated(#[case] annotated: bool, #[case] expected: &[&str]) {
        let gateway = gateway_api("shop").with("/spec/listeners/0/hostname", json!("x.org")).tenant(tenant());
        let gateway = if annotated { gateway.cert_manager("cluster-issuer", "le") } else { gateway };
        assert_eq!(gateway.findings(&cluster()), expected);
    }

    /// A ListenerSet is judged under the issuer of its parent, in its own namespace.
    #[test]
    fn listener_sets() {
        let parent = gateway_api("web").cert_manager("cluster-issuer", "le").object();
        let cluster = cluster().object(parent);
        let set = listener_set("extra").with("/spec/listeners/0/hostname", json!("x.org")).tenant(tenant());
        assert_eq!(
            set.findings(&cluster),
            [format!(
                "name-not-allowed: spec.listeners[0].hostname: tenant \"a\" may not have the name \"x.org\". {SUB}"
            )]
        );
    }

    #[rstest]
    #[case::alt_names("alt-names", "a.team-a.example.com,B.team-a.example.com", None)]
    #[case::an_alt_name(
        "alt-names",
        "a.team-a.example.com,x.org",
        Some("the name \"x.org\". Allowed are \"*.team-a.example.com\"; for others, ask the platform team.")
    )]
    #[case::a_wildcard(
        "alt-names",
        "*.team-a.example.com",
        Some("wildcards such as \"*.team-a.example.com\". Name each host, or ask the platform team.")
    )]
    #[case::ip_sans("ip-sans", "10.1.2.3", None)]
    #[case::an_ip_san(
        "ip-sans",
        "10.1.2.3,192.0.2.1",
        Some("the IP address \"192.0.2.1\". Allowed are \"10.0.0.0/8\"; for others, ask the platform team.")
    )]
    #[case::common_name("common-name", "shop.team-a.example.com", None)]
    #[case::common_name_elsewhere(
        "common-name",
        "X.org",
        Some("the name \"x.org\". Allowed are \"*.team-a.example.com\"; for others, ask the platform team.")
    )]
    #[case::common_name_as_address(
        "common-name",
        "192.0.2.1",
        Some("the IP address \"192.0.2.1\". Allowed are \"10.0.0.0/8\"; for others, ask the platform team.")
    )]
    #[case::common_name_of_words("common-name", "Team A ingress", None)]
    #[case::other_words(
        "common-name",
        "Team B",
        Some("the common name \"team b\". Allowed are \"team a *\"; for others, ask the platform team.")
    )]
    #[case::one_word(
        "common-name",
        "kubernetes",
        Some("the common name \"kubernetes\". Allowed are \"team a *\"; for others, ask the platform team.")
    )]
    fn annotations(#[case] key: &str, #[case] value: &str, #[case] expected: Option<&str>) {
        let mut tenant = tenant();
        tenant["ip_ranges"] = json!(["10.0.0.0/8"]);
        tenant["common_names"] = json!(["Team A *"]);
        for gateway in [istio("shop"), gateway_api("shop")] {
            let gateway =
                gateway.cert_manager("cluster-issuer", "le").cert_manager(key, value).tenant(tenant.clone());
            let path = format!(
                "name-not-allowed: metadata.annotations[cert-manager.io/{key}]: tenant \"a\" may not have"
            );
            let expected: Vec<String> = expected.iter().map(|text| format!("{path} {text}")).collect();
            assert_eq!(gateway.findings(&cluster()), expected);
        }
    }

    /// Nothing comes of the annotations of a Gateway that names no issuer.
    #[test]
    fn annotations_without_issuer() {
        let gateway = with_hosts(json!(["a.team-a.example.com"])).cert_manager("alt-names", "x.org");
        let findings = gateway.findings(&cluster());
        assert!(!findings.iter().any(|finding| finding.starts_with("name-not-allowed")), "{findings:?}");
    }

    #[rstest]
    #[case::the_same_host(json!(["x.org"]), "shop-tls", true)]
    #[case::another_host(json!(["y.org"]), "shop-tls", false)]
    #[case::one_more_host(json!(["x.org", "y.org"]), "shop-tls", false)]
    #[case::another_secret(json!(["x.org"]), "other-tls", false)]
    fn an_update(#[case] hosts: Value, #[case] secret: &str, #[case] let_through: bool) {
        for old in both(with_hosts(json!(["x.org"]))) {
            let new = old.clone().with("/spec/servers/0/hosts", hosts.clone()).annotation("a", "b");
            let new = new.with("/spec/servers/0/tls/credentialName", json!(secret));
            let answer = new.update_from(&old, &cluster());
            assert_eq!(answer.accepted, let_through, "{answer:?}");
            assert_eq!(answer.code, (!let_through).then_some(403));
        }
    }
}
