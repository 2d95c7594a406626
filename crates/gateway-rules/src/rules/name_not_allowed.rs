//! The Gateway asks for a name that its tenant may not have.
//!
//! cert-manager requests a certificate for every name in the hosts and in the annotations `alt-names`,
//! `common-name` and `ip-sans`, and an issuer that is responsible for a whole domain signs all of them.
//! The hosts of an Istio Gateway are checked with and without an issuer annotation: a server that names
//! a credential or a certificate file serves its hosts with any existing certificate. Hosts of Gateway API
//! listeners are checked even if this version of cert-manager skips the listener, because another
//! version or flag can change that. A name that is neither a DNS name nor an IP address is always rejected.
//!
//! Configured per tenant; what is omitted or empty allows nothing, and case does not count:
//!
//! - `dns_names`: `example.com` is that name, `*.example.com` has one more label, `**.example.com` one
//!   or more, and `**` is every name.
//! - `wildcards: true` allows wildcards. A wildcard `*.y` also needs `*.y`, `**`, or `**.x` where y is x
//!   or below x. The host `*` of an Istio Gateway needs `**`.
//! - `ip_ranges`: IP addresses as CIDRs.
//! - `common_names`: globs for common names that are neither DNS names nor IP addresses.
//!
//! Rejected, with `dns_names: ["*.team-a.example.com"]`:
//! ```yaml
//! hosts: [shop.team-b.example.com]
//! ```
//! Accepted:
//! ```yaml
//! hosts: [shop.team-a.example.com]
//! ```

use std::net::IpAddr;

use certificate_shim::annotation;
use certificate_shim::gateway::GatewayKind;
use certificate_shim::name::is_dns_name;

use crate::context::Context;
use crate::named::{each_host, is_host_like};
use crate::rule::{Findings, Rule};
use crate::settings::tenants::Tenant;
use crate::text::{allowed, quote};

/// `name-not-allowed`
pub const RULE: Rule = Rule::reject("name-not-allowed", check).forbidden().of_all();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(tenant) = context.tenant() else { return };
    let is_istio = context.gateway.kind == GatewayKind::Istio;
    each_host(context, &mut |host, place, secrets| {
        // `*` of an Istio Gateway serves every host; it is not a name in a certificate.
        let is_every_host = is_istio && host == "*";
        if let Some(fault) = name_fault(tenant, host, is_every_host) {
            // A finding without Certificate counts for all of them, and this host has none.
            let no_secret = if secrets.is_empty() { " without Secret" } else { "" };
            let subject = format!("{host}{no_secret}");
            findings.report_each_with(secrets, &subject, || fault.texts(tenant, host, place.to_string()));
        }
    });
    let Some(template) = context.widest_plan().template() else { return };
    let mut report = |key: &str, name: &str, fault: Option<Fault>| {
        if let Some(fault) = fault {
            // The subject includes the annotation, because a name in a certificate is not yet served.
            let subject = format!("{key} {name}");
            findings.report_each_with(&[], &subject, || fault.texts(tenant, name, context.path_of(key)));
        }
    };
    for name in &template.alt_names {
        let name = name.to_ascii_lowercase();
        report(annotation::ALT_NAMES, &name, name_fault(tenant, &name, false));
    }
    for address in &template.ip_sans {
        // certificate-invalid reports a text that is not an address.
        let fault = address.parse().ok().and_then(|parsed| ip_fault(tenant, parsed));
        report(annotation::IP_SANS, address, fault);
    }
    let name = template.common_name.to_ascii_lowercase();
    report(annotation::COMMON_NAME, &name, common_name_fault(tenant, &name));
}

/// The reason why a tenant may not have a name.
enum Fault {
    Wildcard,
    EveryHost,
    NotDns,
    Name,
    Address,
    CommonName,
}

fn name_fault(tenant: &Tenant, name: &str, is_every_host: bool) -> Option<Fault> {
    if let Ok(address) = name.parse() {
        ip_fault(tenant, address)
    } else if name.contains('*') && !tenant.wildcards {
        Some(Fault::Wildcard)
    } else if !is_every_host && !is_dns_name(name.strip_prefix("*.").unwrap_or(name)) {
        Some(Fault::NotDns)
    } else if tenant.dns_names.allow(name) {
        None
    } else {
        Some(if is_every_host { Fault::EveryHost } else { Fault::Name })
    }
}

fn ip_fault(tenant: &Tenant, address: IpAddr) -> Option<Fault> {
    (!tenant.ip_ranges.allow(address)).then_some(Fault::Address)
}

fn common_name_fault(tenant: &Tenant, name: &str) -> Option<Fault> {
    if name.is_empty() {
        None
    } else if is_host_like(name) || name.parse::<IpAddr>().is_ok() {
        name_fault(tenant, name, false)
    } else {
        (!tenant.common_names.allow(name)).then_some(Fault::CommonName)
    }
}

impl Fault {
    /// Path, problem and help.
    fn texts(self, tenant: &Tenant, name: &str, path: String) -> (String, String, String) {
        let owner = quote(&tenant.name);
        let name = quote(name);
        let (kind, names) = match self {
            Fault::Wildcard => {
                let problem = format!("tenant {owner} may not have wildcards such as {name}");
                return (path, problem, "List each name, or ask the platform team.".to_owned());
            }
            Fault::NotDns => {
                let problem = format!("{name} is not a DNS name, and no tenant may have other names");
                let help = "Use letters, digits, hyphens and dots; a wildcard starts with \"*.\".";
                return (path, problem, help.to_owned());
            }
            Fault::EveryHost => ("host", tenant.dns_names.0.as_slice()),
            Fault::Name => ("name", tenant.dns_names.0.as_slice()),
            Fault::Address => ("IP address", tenant.ip_ranges.texts()),
            Fault::CommonName => ("common name", tenant.common_names.0.as_slice()),
        };
        (path, format!("tenant {owner} may not have the {kind} {name}"), allowed(names, quote))
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::{Value, json};

    const NONE: &[&str] = &[];

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn annotated(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le")
    }

    fn found(gateway: &GatewayFixture) -> Vec<String> {
        gateway.found_by("name-not-allowed", &cluster())
    }

    /// The names that the tenant may have in most tests.
    fn tenant() -> Value {
        json!({"dns_names": ["*.team-a.example.com"], "wildcards": false})
    }

    fn with_hosts(hosts: Value) -> GatewayFixture {
        istio("shop").with("/spec/servers/0/hosts", hosts)
    }

    /// The hosts of an Istio Gateway are checked with and without annotation.
    #[rstest]
    #[case::allowed(json!(["shop.team-a.example.com"]), NONE)]
    #[case::case_does_not_count(json!(["Shop.Team-A.example.com."]), NONE)]
    #[case::of_a_namespace(json!(["./shop.team-a.example.com"]), NONE)]
    #[case::another(json!(["shop.Team-B.example.com"]), &["hosts[0] | shop.team-b.example.com"])]
    #[case::another_of_a_namespace(json!(["ns/b.example.com"]), &["hosts[0] | b.example.com"])]
    #[case::the_second(json!(["a.team-a.example.com", "x.org"]), &["hosts[1] | x.org"])]
    #[case::both(json!(["y.org", "x.org"]), &["hosts[0] | y.org", "hosts[1] | x.org"])]
    #[case::wildcard(json!(["*.team-a.example.com"]), &["hosts[0] | *.team-a.example.com"])]
    #[case::every_host(json!(["*", "a.team-a.example.com"]), &["hosts[0] | *"])]
    #[case::ip_address(json!(["192.0.2.1"]), &["hosts[0] | 192.0.2.1"])]
    fn hosts_of_a_server(#[case] hosts: Value, #[case] expected: &[&str]) {
        let gateway = with_hosts(hosts).tenant(tenant());
        let expected: Vec<String> =
            expected.iter().map(|found| format!("reject spec.servers[0].{found}")).collect();
        assert_eq!(found(&gateway), expected);
        assert_eq!(found(&annotated(gateway)), expected);
    }

    /// Only DNS names, wildcards and IP addresses are allowed, for any tenant.
    #[rstest]
    #[case::single_label("localhost", true)]
    #[case::underscore("_acme.example.com", true)]
    #[case::wildcard("*.example.com", true)]
    #[case::wildcard_of_a_label("*.corp", true)]
    #[case::longest(&format!("{}.com", "a".repeat(249)), true)]
    #[case::too_long(&format!("{}.com", "a".repeat(250)), false)]
    #[case::two_names("a.example.com,b.example.com", false)]
    #[case::inner_wildcard("a.*.example.com", false)]
    #[case::two_wildcards("*.*.example.com", false)]
    #[case::part_of_a_label("a*.example.com", false)]
    #[case::pattern("**.example.com", false)]
    #[case::nothing_below("*..", false)]
    #[case::blank("a .example.com", false)]
    #[case::newline("a\n.example.com", false)]
    #[case::nul("a\0.example.com", false)]
    #[case::empty_label("a..example.com", false)]
    #[case::two_trailing_dots("a.example.com..", false)]
    #[case::not_ascii("\u{212a}.example.com", false)]
    #[case::port("a.example.com:443", false)]
    #[case::address_in_brackets("[2001:db8::1]", false)]
    #[case::address("192.0.2.1", true)]
    #[case::mapped_address("::ffff:192.0.2.1", true)]
    #[case::other_address("198.51.100.1", false)]
    fn names_that_are_not_dns_names(#[case] name: &str, #[case] is_allowed: bool) {
        let everything = json!({"dns_names": ["**"], "wildcards": true, "ip_ranges": ["192.0.2.0/24"]});
        let host = with_hosts(json!([name])).tenant(everything.clone());
        assert_eq!(found(&host).is_empty(), is_allowed);
        if !name.contains(',') {
            let names = annotated(istio("shop")).cert_manager("alt-names", name).tenant(everything);
            assert_eq!(found(&names).is_empty(), is_allowed);
        }
    }

    #[rstest]
    #[case::same("*.team-a.example.com", true, "*.team-a.example.com", true)]
    #[case::below("**.example.com", true, "*.team-a.example.com", true)]
    #[case::beyond("*.example.com", true, "*.team-a.example.com", false)]
    #[case::not_a_wildcard_s("a.example.com", true, "*.a.example.com", false)]
    #[case::every_name("**", true, "*.example.com", true)]
    #[case::every_host("**", true, "*", true)]
    #[case::every_host_of_a_namespace("**", true, "./*", true)]
    #[case::not_every_host("**.example.com", true, "*", false)]
    #[case::no_wildcards("**", false, "*.example.com", false)]
    #[case::no_wildcards_at_all("**", false, "*", false)]
    fn wildcards(
        #[case] pattern: &str,
        #[case] may_have: bool,
        #[case] host: &str,
        #[case] is_allowed: bool,
    ) {
        let tenant = json!({"dns_names": [pattern], "wildcards": may_have});
        assert_eq!(found(&with_hosts(json!([host])).tenant(tenant)).is_empty(), is_allowed);
    }

    /// In Gateway API, the hostname `*` does not mean every host.
    #[rstest]
    #[case::of_a_listener(annotated(gateway_api("shop")).with("/spec/listeners/0/hostname", json!("*")))]
    #[case::of_an_annotation(annotated(istio("shop")).cert_manager("alt-names", "*"))]
    fn every_host_is_not_a_name(#[case] gateway: GatewayFixture) {
        assert_eq!(found(&gateway.tenant(json!({}))).len(), 1);
    }

    #[rstest]
    #[case::ca_credential(json!({"mode": "PASSTHROUGH", "caCertCredentialName": "ca"}), "x.org")]
    #[case::passthrough(json!({"mode": "PASSTHROUGH", "credentialName": "x"}), "x.org")]
    #[case::several(json!({"mode": "SIMPLE", "credentialNames": ["x"]}), "x.org")]
    #[case::certificate_file(json!({"mode": "SIMPLE", "privateKey": "/key.pem"}), "x.org without Secret")]
    #[case::unreadable(json!({"mode": "SIMPLE", "credentialName": "vault://x"}), "x.org without Secret")]
    #[case::no_credential(json!({"mode": "PASSTHROUGH"}), "")]
    #[case::no_tls(json!(null), "")]
    fn unannotated_servers_that_name_a_credential(#[case] tls: Value, #[case] subject: &str) {
        let gateway = with_hosts(json!(["x.org"])).with("/spec/servers/0/tls", tls).tenant(tenant());
        let expected = [format!("reject spec.servers[0].hosts[0] | {subject}")];
        assert_eq!(found(&gateway), expected[usize::from(subject.is_empty())..]);
    }

    #[test]
    fn a_server_without_credential_next_to_one_with() {
        let plain = json!({"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]});
        let gateway = with_hosts(json!(["a.team-a.example.com"])).push("/spec/servers", plain);
        assert_eq!(found(&gateway.tenant(tenant())), NONE);
    }

    /// Once for the Certificate of each namespace of the placement.
    #[test]
    fn in_every_namespace_of_the_placement() {
        let pods = |namespace| json!({"labels": {"istio": "ingressgateway"}, "namespace": namespace});
        let settings = json!({"gateway_namespaces": [pods("istio-a"), pods("istio-b")]});
        let gateway = with_hosts(json!(["x.org"])).settings(settings).tenant(tenant());
        assert_eq!(found(&gateway), ["reject spec.servers[0].hosts[0] | x.org"; 2]);
    }

    /// Listeners that this version of cert-manager skips are checked too.
    #[rstest]
    #[case::https(json!({}), true)]
    #[case::other_case(json!({"hostname": "X.org"}), true)]
    #[case::own_name(json!({"hostname": "x.team-a.example.com"}), false)]
    #[case::extra_protocol(json!({"protocol": "example.com/tls"}), true)]
    #[case::no_reference(json!({"tls": {"mode": "Terminate"}}), false)]
    fn listeners(#[case] fields: Value, #[case] is_reported: bool) {
        let mut gateway = gateway_api("shop").with("/spec/listeners/0/hostname", json!("x.org"));
        for (field, value) in fields.as_object().unwrap() {
            gateway = gateway.with(&format!("/spec/listeners/0/{field}"), value.clone());
        }
        let gateway = gateway.tenant(tenant());
        assert_eq!(found(&gateway), NONE, "without annotation nothing is issued");
        let expected = ["reject spec.listeners[0].hostname | x.org"; 1];
        let expected = &expected[..usize::from(is_reported)];
        assert_eq!(found(&annotated(gateway.clone())), expected);
        assert_eq!(found(&annotated(gateway).cert_manager("ignore-tls-listeners", "https")), expected);
    }

    /// A ListenerSet is checked in its own namespace, whether its parent names an issuer yet or not.
    #[rstest]
    #[case::annotated_parent(cluster().object(annotated(gateway_api("web")).object()))]
    #[case::unannotated_parent(cluster().object(gateway_api("web").object()))]
    #[case::no_parent(cluster())]
    fn listener_sets(#[case] cluster: TestCluster) {
        let set = listener_set("extra")
            .with("/spec/listeners/0/hostname", json!("x.org"))
            .cert_manager("alt-names", "Y.org")
            .tenant(tenant());
        assert_eq!(
            set.found_by("name-not-allowed", &cluster),
            [
                "reject spec.listeners[0].hostname | x.org",
                "reject metadata.annotations[cert-manager.io/alt-names] | cert-manager.io/alt-names y.org",
            ]
        );
    }

    #[rstest]
    #[case::alt_names("alt-names", "a.team-a.example.com,B.team-a.example.com", NONE)]
    #[case::an_alt_name("alt-names", "a.team-a.example.com,x.org", &["x.org"])]
    #[case::two_alt_names("alt-names", "X.org,y.org", &["x.org", "y.org"])]
    #[case::a_wildcard("alt-names", "*.team-a.example.com", &["*.team-a.example.com"])]
    #[case::an_alt_name_that_is_an_address("alt-names", "10.1.2.3,192.0.2.1", &["192.0.2.1"])]
    #[case::ip_sans("ip-sans", "10.1.2.3", NONE)]
    #[case::an_ip_san("ip-sans", "10.1.2.3,192.0.2.1", &["192.0.2.1"])]
    #[case::an_ip_san_that_is_not_an_address("ip-sans", "x.org", NONE)]
    #[case::common_name("common-name", "shop.team-a.example.com", NONE)]
    #[case::another_common_name("common-name", "X.org", &["x.org"])]
    #[case::common_name_with_a_wildcard("common-name", "*.x.org", &["*.x.org"])]
    #[case::common_name_with_a_dot("common-name", "shop.team-a.example.com.", &["shop.team-a.example.com."])]
    #[case::common_name_that_is_an_address("common-name", "10.1.2.3", NONE)]
    #[case::another_address("common-name", "192.0.2.1", &["192.0.2.1"])]
    #[case::an_address_of_letters("common-name", "2001:DB8::1", &["2001:db8::1"])]
    #[case::an_allowed_address_of_letters("common-name", "FD00::1", NONE)]
    #[case::words("common-name", "Team A ingress", NONE)]
    #[case::other_words("common-name", "Team B", &["team b"])]
    #[case::one_word("common-name", "kubernetes", &["kubernetes"])]
    fn annotations(#[case] key: &str, #[case] value: &str, #[case] expected: &[&str]) {
        let mut tenant = tenant();
        tenant["ip_ranges"] = json!(["10.0.0.0/8", "fd00::/8"]);
        tenant["common_names"] = json!(["Team A *"]);
        let line = |name: &&str| {
            format!("reject metadata.annotations[cert-manager.io/{key}] | cert-manager.io/{key} {name}")
        };
        let expected: Vec<String> = expected.iter().map(line).collect();
        for gateway in [istio("shop"), gateway_api("shop")] {
            let gateway = gateway.cert_manager(key, value).tenant(tenant.clone());
            assert_eq!(found(&annotated(gateway.clone())), expected);
            assert_eq!(found(&gateway), NONE, "without issuer the annotation does nothing");
        }
    }

    fn hosts(hosts: &[&str]) -> GatewayFixture {
        with_hosts(json!(hosts))
    }

    fn with_file(gateway: GatewayFixture, host: &str) -> GatewayFixture {
        let tls = json!({"mode": "SIMPLE", "serverCertificate": "/tls.crt"});
        gateway.push("/spec/servers", json!({"hosts": [host], "tls": tls}))
    }

    /// Serving a name and having it in a certificate are different findings.
    #[rstest]
    #[case::the_same(hosts(&["x.org"]), hosts(&["x.org"]), true)]
    #[case::another_host(hosts(&["x.org"]), hosts(&["y.org"]), false)]
    #[case::one_more_host(hosts(&["x.org"]), hosts(&["x.org", "y.org"]), false)]
    #[case::one_host_less(hosts(&["x.org", "y.org"]), hosts(&["y.org"]), true)]
    #[case::from_a_file_to_a_secret(
        with_file(hosts(&["a.team-a.example.com"]), "x.org"),
        hosts(&["x.org"]),
        false
    )]
    #[case::from_alt_names_to_a_host(
        annotated(hosts(&["a.team-a.example.com"]).cert_manager("alt-names", "x.org")),
        annotated(hosts(&["x.org"])),
        false
    )]
    #[case::from_a_host_to_alt_names(
        annotated(hosts(&["x.org"])),
        annotated(hosts(&["a.team-a.example.com"]).cert_manager("alt-names", "x.org")),
        false
    )]
    fn an_update(#[case] old: GatewayFixture, #[case] new: GatewayFixture, #[case] is_accepted: bool) {
        let new = new.tenant(tenant()).annotation("a", "b");
        let response = new.update_from(&old.tenant(tenant()), &cluster());
        assert_eq!(response.accepted, is_accepted, "{response:?}");
        assert_eq!(response.code, (!is_accepted).then_some(403));
    }
}
