//! The Certificates and errors of Istio's Gateways.

use std::collections::BTreeMap;

use certificate_shim::Certificate;
use certificate_shim::credential::CredentialFault;
use certificate_shim::gateway::{Gateway, GatewayKind};
use certificate_shim::issuer_ref::IssuerRef;
use certificate_shim::owner::{OWNER_HASH, OWNER_NAME, OWNER_NAMESPACE, OWNER_UID};
use certificate_shim::plan::{Options, Plan, PlanFault, plan, secrets_named};
use certificate_shim::skip::{ServerFault, SkipFault};
use rstest::rstest;
use serde_json::{Value, json};

const PODS: &[&str] = &["istio-system"];
const CREDENTIAL: &str = "tls.credentialName";

/// A server on an HTTPS port that terminates TLS with a credential.
fn simple(credential: &str, hosts: &[&str]) -> Value {
    server("HTTPS", json!({"mode": "SIMPLE", "credentialName": credential}), hosts)
}

/// A server on an HTTPS port that offers two certificates.
fn pair(credentials: &[&str], hosts: &[&str]) -> Value {
    server("HTTPS", json!({"mode": "SIMPLE", "credentialNames": credentials}), hosts)
}

fn server(protocol: &str, tls: Value, hosts: &[&str]) -> Value {
    json!({"name": "s", "port": {"number": 443, "protocol": protocol, "name": "p"}, "tls": tls, "hosts": hosts})
}

fn gateway(servers: &[Value], annotations: &[(&str, &str)]) -> Value {
    let annotations: serde_json::Map<_, _> =
        annotations.iter().map(|(key, value)| (format!("cert-manager.io/{key}"), json!(value))).collect();
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {
            "name": "web", "namespace": "team-a", "uid": "u-1",
            "labels": {"app": "web", "team": "a", "applyset.kubernetes.io/part-of": "x"},
            "annotations": annotations,
        },
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": servers},
    })
}

fn planned(object: &Value, placement: &[&str], copy: &Options) -> Plan {
    let gateway = Gateway::read(GatewayKind::Istio, "team-a", object).unwrap();
    let issuer = IssuerRef { name: "ca".into(), kind: "Issuer".into(), group: "cert-manager.io".into() };
    plan(&gateway, &issuer, placement, copy)
}

/// `namespace/secret: names`, DNS names before IP addresses.
fn shown(certificate: &Certificate) -> String {
    let mut names = certificate.dns_names();
    names.extend(certificate.ip_addresses());
    format!("{}: {}", certificate.secret(), names.join(" "))
}

fn certificates(plan: &Plan) -> Vec<String> {
    plan.certificates.iter().map(shown).collect()
}

/// The faults of the servers, each with its path.
fn skipped(plan: &Plan) -> Vec<(String, ServerFault)> {
    let mut found = Vec::new();
    for skipped in &plan.skipped {
        for fault in &skipped.faults {
            let SkipFault::Server(_, server_fault) = fault else { panic!("{fault:?} of an Istio Gateway") };
            found.push((fault.place(skipped.index).to_string(), server_fault.clone()));
        }
    }
    found
}

#[rstest]
#[case::https(server("HTTPS", json!({"mode": "SIMPLE", "credentialName": "web"}), &["a.com"]), &["istio-system/web: a.com"])]
#[case::tls(server("TLS", json!({"mode": "SIMPLE", "credentialName": "web"}), &["a.com"]), &["istio-system/web: a.com"])]
#[case::protocol_without_case(server("https", json!({"mode": "SIMPLE", "credentialName": "web"}), &["a.com"]), &["istio-system/web: a.com"])]
#[case::tls_without_case(server("Tls", json!({"mode": "SIMPLE", "credentialName": "web"}), &["a.com"]), &["istio-system/web: a.com"])]
#[case::mutual(server("HTTPS", json!({"mode": "MUTUAL", "credentialName": "web"}), &["a.com"]), &["istio-system/web: a.com"])]
#[case::optional_mutual(server("HTTPS", json!({"mode": "OPTIONAL_MUTUAL", "credentialName": "web"}), &["a.com"]), &["istio-system/web: a.com"])]
#[case::one_of_credential_names(pair(&["web"], &["a.com"]), &["istio-system/web: a.com"])]
#[case::istio_mutual(server("HTTPS", json!({"mode": "ISTIO_MUTUAL", "credentialName": "web"}), &["a.com"]), &[])]
#[case::passthrough(server("TLS", json!({"mode": "PASSTHROUGH", "credentialName": "web"}), &["a.com"]), &[])]
#[case::auto_passthrough(server("TLS", json!({"mode": "AUTO_PASSTHROUGH", "credentialName": "web"}), &["a.com"]), &[])]
#[case::http(server("HTTP", json!({"mode": "SIMPLE", "credentialName": "web"}), &["a.com"]), &[])]
#[case::http2(server("HTTP2", json!({"mode": "SIMPLE", "credentialName": "web"}), &["a.com"]), &[])]
#[case::grpc(server("GRPC", json!({"mode": "SIMPLE", "credentialName": "web"}), &["a.com"]), &[])]
#[case::tcp(server("TCP", json!({"mode": "SIMPLE", "credentialName": "web"}), &["a.com"]), &[])]
#[case::no_protocol(server("", json!({"mode": "SIMPLE", "credentialName": "web"}), &["a.com"]), &[])]
#[case::redirect(server("HTTP", json!({"httpsRedirect": true}), &["a.com"]), &[])]
#[case::no_tls(server("HTTPS", json!(null), &["a.com"]), &[])]
#[case::files(server("HTTPS", json!({"mode": "SIMPLE", "serverCertificate": "/c", "privateKey": "/k"}), &["a.com"]), &[])]
#[case::empty_credential(simple("", &["a.com"]), &[])]
#[case::no_credentials(pair(&[], &["a.com"]), &[])]
#[case::no_mode_and_no_credential(server("HTTPS", json!({}), &["a.com"]), &[])]
fn servers_that_need_a_certificate(#[case] server: Value, #[case] expected: &[&str]) {
    let plan = planned(&gateway(&[server], &[]), PODS, &Options::default());
    assert_eq!(certificates(&plan), expected);
    assert_eq!(skipped(&plan), []);
    assert_eq!(plan.issued(), plan.certificates);
}

#[rstest]
#[case::mode_left_out(server("HTTPS", json!({"credentialName": "web"}), &["a.com"]), "tls.mode", ServerFault::NoMode)]
#[case::unknown_mode(
    server("HTTPS", json!({"mode": "simple", "credentialName": "web"}), &["a.com"]),
    "tls.mode",
    ServerFault::UnknownMode("simple".into())
)]
#[case::star_only(simple("web", &["*"]), "hosts", ServerFault::NoName)]
#[case::star_with_namespace(simple("web", &["ns/*"]), "hosts", ServerFault::NoName)]
#[case::no_hosts(simple("web", &[]), "hosts", ServerFault::NoName)]
#[case::upper_case(simple("Web", &["a.com"]), CREDENTIAL, ServerFault::Credential(CredentialFault::Name))]
#[case::empty_among_several(
    pair(&["web", ""], &["*"]),
    "tls.credentialNames[1]",
    ServerFault::Credential(CredentialFault::NoName)
)]
#[case::ca(simple("web-cacert", &["a.com"]), CREDENTIAL, ServerFault::Credential(CredentialFault::CaSuffix))]
#[case::foreign_namespace(simple("team-b/web", &["a.com"]), CREDENTIAL, ServerFault::NotInPlacement("team-b".into()))]
#[case::own_namespace_where_no_pods_run(
    simple("kubernetes-gateway://team-a/web", &["a.com"]),
    CREDENTIAL,
    ServerFault::NotInPlacement("team-a".into())
)]
#[case::gateway_scheme_from_elsewhere(
    simple("kubernetes-gateway://istio-system/web", &["a.com"]),
    CREDENTIAL,
    ServerFault::NotWithPods("istio-system".into())
)]
fn servers_that_cannot_be_served(#[case] server: Value, #[case] field: &str, #[case] expected: ServerFault) {
    let plan = planned(&gateway(&[server], &[]), PODS, &Options::default());
    assert_eq!(skipped(&plan).first(), Some(&(format!("spec.servers[0].{field}"), expected)));
    assert_eq!((plan.skipped[0].index, plan.skipped[0].name.as_str()), (0, "s"));
    assert_eq!(certificates(&plan), Vec::<String>::new());
}

#[rstest]
#[case::plain(&["a.com"], "a.com")]
#[case::namespace_is_dropped(&["team-b/a.com"], "a.com")]
#[case::own_namespace_is_dropped(&["./a.com"], "a.com")]
#[case::any_namespace_is_dropped(&["*/a.com"], "a.com")]
#[case::namespace_before_wildcard(&["./*.a.com"], "*.a.com")]
#[case::lower_cased(&["WWW.A.com"], "www.a.com")]
#[case::trailing_dot(&["a.com."], "a.com")]
#[case::order_is_kept(&["b.com", "a.com"], "b.com a.com")]
#[case::twice(&["a.com", "a.com"], "a.com")]
#[case::twice_once_normalized(&["a.com", "ns/A.com."], "a.com")]
#[case::star_and_a_name(&["*", "a.com"], "a.com")]
#[case::v4(&["192.0.2.1"], "192.0.2.1")]
#[case::v6(&["2001:DB8::1"], "2001:db8::1")]
#[case::addresses_after_names(&["192.0.2.1", "a.com"], "a.com 192.0.2.1")]
#[case::covered(&["a.x.com", "*.x.com"], "*.x.com")]
#[case::covered_by_an_earlier_one(&["*.x.com", "a.x.com"], "*.x.com")]
#[case::not_covered_two_labels_down(&["*.x.com", "a.b.x.com"], "*.x.com a.b.x.com")]
#[case::not_covered_at_the_top(&["*.x.com", "x.com"], "*.x.com x.com")]
#[case::wildcards_cover_no_addresses(&["*.0.2.1", "192.0.2.1"], "*.0.2.1 192.0.2.1")]
#[case::wildcards_cover_no_wildcards(&["*.x.com", "*.a.x.com"], "*.x.com *.a.x.com")]
fn names_from_hosts(#[case] hosts: &[&str], #[case] expected: &str) {
    let plan = planned(&gateway(&[simple("web", hosts)], &[]), PODS, &Options::default());
    assert_eq!(certificates(&plan), [format!("istio-system/web: {expected}")]);
}

#[rstest]
#[case::appended(&["a.com"], ("alt-names", "b.com"), "a.com b.com")]
#[case::not_twice(&["a.com"], ("alt-names", "A.com,b.com,B.com"), "a.com b.com")]
#[case::covered_by_a_host(&["*.x.com"], ("alt-names", "a.x.com,x.com"), "*.x.com x.com")]
#[case::covers_a_host(&["a.x.com", "x.com"], ("alt-names", "*.x.com"), "x.com *.x.com")]
#[case::covers_the_only_host(&["a.x.com"], ("alt-names", "*.x.com"), "*.x.com")]
#[case::covered_among_themselves(&["a.com"], ("alt-names", "a.x.com,*.x.com"), "a.com *.x.com")]
#[case::spaces_are_kept(&["a.com"], ("alt-names", "b.com, c.com"), "a.com b.com  c.com")]
#[case::address(&["a.com"], ("ip-sans", "192.0.2.1"), "a.com 192.0.2.1")]
#[case::address_not_twice(&["192.0.2.1"], ("ip-sans", "192.0.2.1,192.0.2.2,192.0.2.2"), "192.0.2.1 192.0.2.2")]
#[case::address_as_alternative_name(&["192.0.2.1"], ("alt-names", "192.0.2.1"), "192.0.2.1 192.0.2.1")]
#[case::star_with_alternative_name(&["*"], ("alt-names", "a.com"), "a.com")]
#[case::star_with_address(&["*"], ("ip-sans", "192.0.2.1"), "192.0.2.1")]
#[case::star_with_common_name(&["*"], ("common-name", "a.com"), "")]
#[case::star_with_mail_address(&["*"], ("email-sans", "a@a.com"), "")]
fn names_from_annotations(#[case] hosts: &[&str], #[case] annotation: (&str, &str), #[case] expected: &str) {
    let plan = planned(&gateway(&[simple("web", hosts)], &[annotation]), PODS, &Options::default());
    assert_eq!(certificates(&plan), [format!("istio-system/web: {expected}")]);
    assert_eq!(skipped(&plan), []);
}

#[rstest]
#[case::one_server_each(&[simple("x", &["a.com"]), simple("y", &["b.com"])], PODS,
    &["istio-system/x: a.com", "istio-system/y: b.com"])]
#[case::one_secret_in_two_servers(&[simple("x", &["a.com"]), simple("x", &["b.com", "a.com"])], PODS,
    &["istio-system/x: a.com b.com"])]
#[case::one_secret_in_two_forms(&[simple("x", &["a.com"]), simple("kubernetes://istio-system/x", &["b.com"])], PODS,
    &["istio-system/x: a.com b.com"])]
#[case::further_segments_are_ignored(&[simple("istio-system/x/y", &["a.com"])], PODS, &["istio-system/x: a.com"])]
#[case::covered_in_another_server(&[simple("x", &["a.x.com"]), simple("x", &["*.x.com"])], PODS,
    &["istio-system/x: *.x.com"])]
#[case::not_covered_in_another_secret(&[simple("x", &["a.x.com"]), simple("y", &["*.x.com"])], PODS,
    &["istio-system/x: a.x.com", "istio-system/y: *.x.com"])]
#[case::star_shares_the_secret(&[simple("x", &["*"]), simple("x", &["a.com"])], PODS, &["istio-system/x: a.com"])]
#[case::both_of_a_pair(&[pair(&["x", "y"], &["a.com"])], PODS, &["istio-system/x: a.com", "istio-system/y: a.com"])]
#[case::first_named_first(&[simple("y", &["a.com"]), simple("x", &["b.com"])], PODS,
    &["istio-system/y: a.com", "istio-system/x: b.com"])]
#[case::two_placements(&[simple("x", &["a.com"]), simple("y", &["b.com"])], &["p", "q"],
    &["p/x: a.com", "p/y: b.com", "q/x: a.com", "q/y: b.com"])]
#[case::namespace_given(&[simple("q/x", &["a.com"]), simple("y", &["b.com"])], &["p", "q"],
    &["p/y: b.com", "q/x: a.com", "q/y: b.com"])]
#[case::own_namespace(&[simple("kubernetes-gateway://team-a/x", &["a.com"])], &["team-a"], &["team-a/x: a.com"])]
#[case::no_placement(&[simple("x", &["a.com"]), simple("team-b/y", &["b.com"])], &[], &[])]
fn secrets(#[case] servers: &[Value], #[case] placement: &[&str], #[case] expected: &[&str]) {
    let plan = planned(&gateway(servers, &[]), placement, &Options::default());
    assert_eq!(certificates(&plan), expected);
    assert_eq!(skipped(&plan), []);
    assert!(plan.contradictions.is_empty());
}

#[rstest]
#[case::one_as_annotated(&[simple("x", &["a.com"])], &[("private-key-algorithm", "ECDSA")], &[json!({"algorithm": "ECDSA"})])]
#[case::one_not_annotated(&[simple("x", &["a.com"])], &[], &[json!(null)])]
#[case::single_in_the_list(&[pair(&["x"], &["a.com"])], &[], &[json!(null)])]
#[case::single_in_the_list_as_annotated(&[pair(&["x"], &["a.com"])], &[("private-key-algorithm", "Ed25519")], &[json!({"algorithm": "Ed25519"})])]
#[case::pair(&[pair(&["x", "y"], &["a.com"])], &[], &[json!({"algorithm": "RSA"}), json!({"algorithm": "ECDSA", "size": 256})])]
#[case::pair_of_rsa(&[pair(&["x", "y"], &["a.com"])], &[("private-key-algorithm", "RSA"), ("private-key-size", "4096")],
    &[json!({"algorithm": "RSA", "size": 4096}), json!({"algorithm": "ECDSA", "size": 256})])]
#[case::pair_of_ecdsa(&[pair(&["x", "y"], &["a.com"])], &[("private-key-algorithm", "ECDSA"), ("private-key-size", "384")],
    &[json!({"algorithm": "ECDSA", "size": 384}), json!({"algorithm": "RSA"})])]
#[case::pair_with_size_alone(&[pair(&["x", "y"], &["a.com"])], &[("private-key-size", "3072")],
    &[json!({"algorithm": "RSA", "size": 3072}), json!({"algorithm": "ECDSA", "size": 256})])]
#[case::other_fields_apply_to_both(&[pair(&["x", "y"], &["a.com"])], &[("private-key-encoding", "PKCS8"), ("private-key-rotation-policy", "Never")],
    &[json!({"algorithm": "RSA", "encoding": "PKCS8", "rotationPolicy": "Never"}),
      json!({"algorithm": "ECDSA", "encoding": "PKCS8", "rotationPolicy": "Never", "size": 256})])]
#[case::same_key_in_another_form(&[simple("x", &["a.com"]), pair(&["x", "y"], &["b.com"])], &[],
    &[json!(null), json!({"algorithm": "ECDSA", "size": 256})])]
fn private_keys(#[case] servers: &[Value], #[case] annotations: &[(&str, &str)], #[case] expected: &[Value]) {
    let plan = planned(&gateway(servers, annotations), PODS, &Options::default());
    let keys: Vec<Value> = plan.issued().iter().map(|c| c.to_json()["spec"]["privateKey"].take()).collect();
    assert_eq!(keys, expected);
}

#[rstest]
#[case::pair_of_ed25519(&[pair(&["x", "y"], &["a.com"])], &[("private-key-algorithm", "Ed25519")],
    "two credentials need an RSA and an ECDSA key, but the annotations request Ed25519")]
#[case::second_elsewhere_alone(&[pair(&["x", "y"], &["a.com"]), simple("y", &["b.com"])], &[],
    "the Secret istio-system/y is requested with another key at spec.servers[0].tls.credentialNames[1]")]
#[case::swapped(&[pair(&["x", "y"], &["a.com"]), pair(&["y", "x"], &["b.com"])], &[],
    "the Secret istio-system/y is requested with another key at spec.servers[0].tls.credentialNames[1]")]
#[case::the_same_twice(&[pair(&["x", "x"], &["a.com"])], &[],
    "the Secret istio-system/x is requested with another key at spec.servers[0].tls.credentialNames[0]")]
#[case::another_size(&[simple("y", &["b.com"]), pair(&["x", "y"], &["a.com"])], &[("private-key-algorithm", "ECDSA")],
    "the Secret istio-system/y is requested with another key at spec.servers[0].tls.credentialName")]
fn contradictions(#[case] servers: &[Value], #[case] annotations: &[(&str, &str)], #[case] expected: &str) {
    let plan = planned(&gateway(servers, annotations), PODS, &Options::default());
    assert_eq!(plan.contradictions.first().map(PlanFault::to_string).as_deref(), Some(expected));
    assert!(!plan.certificates.is_empty(), "names are checked nevertheless");
    assert!(plan.issued().is_empty());
}

#[test]
fn a_third_credential_is_skipped_and_the_others_are_planned() {
    let plan = planned(&gateway(&[pair(&["x", "y", "z"], &["a.com"])], &[]), PODS, &Options::default());
    assert_eq!(certificates(&plan), ["istio-system/x: a.com", "istio-system/y: a.com"]);
    assert_eq!(
        skipped(&plan),
        [("spec.servers[0].tls.credentialNames[2]".to_owned(), ServerFault::ThirdCredential)]
    );
}

#[test]
fn an_invalid_server_does_not_affect_others() {
    let servers = [simple("Bad", &["a.com"]), simple("web", &["b.com"]), simple("none", &["*"])];
    let plan = planned(&gateway(&servers, &[]), PODS, &Options::default());
    assert_eq!(certificates(&plan), ["istio-system/web: b.com"]);
    assert_eq!(plan.skipped.iter().map(|skipped| skipped.index).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn all_faults_of_a_server_are_listed() {
    let plan = planned(&gateway(&[pair(&["Bad", "web"], &["*"])], &[]), PODS, &Options::default());
    assert_eq!(plan.skipped.len(), 1);
    assert_eq!(
        skipped(&plan),
        [
            (
                "spec.servers[0].tls.credentialNames[0]".to_owned(),
                ServerFault::Credential(CredentialFault::Name)
            ),
            ("spec.servers[0].hosts".to_owned(), ServerFault::NoName),
        ]
    );
}

#[test]
fn places_are_paths_in_the_gateway() {
    let servers = [simple("x", &["*", "a.com"]), pair(&["y", "x"], &["ns/B.com", "a.com"])];
    let plan = planned(&gateway(&servers, &[]), PODS, &Options::default());
    let x = &plan.certificates[0];
    let places: Vec<String> = x.places.iter().map(ToString::to_string).collect();
    assert_eq!(places, ["spec.servers[0].tls.credentialName", "spec.servers[1].tls.credentialNames[1]"]);
    let hosts: Vec<String> = x.hosts.iter().map(|host| format!("{} at {}", host.name, host.place)).collect();
    assert_eq!(hosts, ["a.com at spec.servers[0].hosts[1]", "b.com at spec.servers[1].hosts[0]"]);
}

#[test]
fn annotation_faults_are_reported_if_there_is_a_certificate() {
    let annotations = [("duration", "90d"), ("usages", "bogus")];
    let keys = |hosts: &[&str]| {
        let plan = planned(&gateway(&[simple("web", hosts)], &annotations), PODS, &Options::default());
        assert!(plan.issued().is_empty());
        plan.faults.iter().map(|fault| fault.key).collect::<Vec<_>>()
    };
    assert_eq!(keys(&["a.com"]), ["cert-manager.io/duration", "cert-manager.io/usages"]);
    assert_eq!(keys(&["*"]), Vec::<&str>::new());
}

#[test]
fn the_complete_certificate_in_the_gateways_namespace() {
    let object = gateway(
        &[simple("web", &["a.com", "192.0.2.1"])],
        &[("duration", "90m"), ("subject-countries", "DE")],
    );
    let copy = Options { copy_labels: vec!["team".into()], ..Options::default() };
    let plan = planned(&object, &["team-a"], &copy);
    assert_eq!(
        plan.certificates[0].to_json(),
        json!({
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "metadata": {
                "name": "web",
                "namespace": "team-a",
                "labels": {"team": "a", "gateway-certificates.io/owner-hash": "e3ceb295ae50bb43"},
                "annotations": {
                    "gateway-certificates.io/owner-namespace": "team-a",
                    "gateway-certificates.io/owner-name": "web",
                    "gateway-certificates.io/owner-uid": "u-1",
                },
                "ownerReferences": [{
                    "apiVersion": "networking.istio.io/v1", "kind": "Gateway", "name": "web", "uid": "u-1",
                    "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "spec": {
                "secretName": "web",
                "dnsNames": ["a.com"],
                "ipAddresses": ["192.0.2.1"],
                "issuerRef": {"name": "ca", "kind": "Issuer", "group": "cert-manager.io"},
                "usages": ["digital signature", "key encipherment"],
                "duration": "1h30m0s",
                "subject": {"countries": ["DE"]},
            },
        })
    );
}

#[test]
fn in_another_namespace_there_is_only_the_record() {
    let mut plan = planned(&gateway(&[simple("web", &["a.com"])], &[]), PODS, &Options::default());
    plan.certificates.iter_mut().for_each(|certificate| certificate.issue_temporary = true);
    assert_eq!(
        plan.certificates[0].to_json()["metadata"],
        json!({
            "name": "web",
            "namespace": "istio-system",
            "labels": {"gateway-certificates.io/owner-hash": "e3ceb295ae50bb43"},
            "annotations": {
                "gateway-certificates.io/owner-namespace": "team-a",
                "gateway-certificates.io/owner-name": "web",
                "gateway-certificates.io/owner-uid": "u-1",
                "cert-manager.io/issue-temporary-certificate": "true",
            },
        })
    );
}

#[rstest]
#[case::nothing(&[], &[])]
#[case::by_name(&["example.com/a"], &["example.com/a"])]
#[case::by_prefix(&["example.com/*"], &["example.com/a", "example.com/b"])]
#[case::absent(&["example.com/c"], &[])]
#[case::name_is_not_a_prefix(&["example.com/"], &[])]
#[case::star_excludes_control_keys(&["*"], &["example.com/a", "example.com/b", "plain"])]
#[case::prefix_excludes_control_keys(&["cert-manager.io/*", "acme.cert-manager.io/*", "kubectl.kubernetes.io/*"], &[])]
#[case::control_key_by_name(&["venafi.cert-manager.io/custom-fields"], &["venafi.cert-manager.io/custom-fields"])]
#[case::never_the_owner_record(&["gateway-certificates.io/owner-uid", "gateway-certificates.io/*"], &[])]
fn copied(#[case] list: &[&str], #[case] expected: &[&str]) {
    let keys = [
        "acme.cert-manager.io/http01-edit-in-place",
        "acme.cert-manager.io/http01-override-ingress-name",
        "cert-manager.io/issuer",
        "cert-manager.io/private-key-secret-name",
        "example.com/a",
        "example.com/b",
        "gateway-certificates.io/owner-uid",
        "kubectl.kubernetes.io/last-applied-configuration",
        "plain",
        "venafi.cert-manager.io/custom-fields",
    ];
    let entries: serde_json::Map<_, _> = keys.iter().map(|key| ((*key).to_owned(), json!("true"))).collect();
    let mut object = gateway(&[simple("web", &["a.com"])], &[]);
    object["metadata"]["annotations"] = entries.clone().into();
    object["metadata"]["labels"] = entries.into();
    let list: Vec<String> = list.iter().map(|key| (*key).to_owned()).collect();

    let plan = planned(
        &object,
        &["team-a"],
        &Options { copy_labels: list.clone(), copy_annotations: list, ..Options::default() },
    );
    let record = [OWNER_NAMESPACE, OWNER_NAME, OWNER_UID, OWNER_HASH];
    let copied = |keys: BTreeMap<&str, &str>| {
        keys.into_iter()
            .filter(|(key, value)| !record.contains(key) && *value == "true")
            .map(|(key, _)| key.to_owned())
            .collect::<Vec<_>>()
    };
    let certificate = &plan.certificates[0];
    assert_eq!(certificate.annotations()[OWNER_UID], "u-1");
    assert_eq!(copied(certificate.annotations()), expected);
    let labels = certificate.labels();
    assert!(labels.iter().all(|(key, value)| certificate.label(key) == Some(value)));
    assert_eq!(labels.len(), expected.len() + 1);
    assert_eq!(copied(labels), expected);
}

#[rstest]
#[case::every_field(json!([
    {"tls": {"credentialName": "a", "caCertCredentialName": "ca-cacert"}},
    {"tls": {"credentialNames": ["b", "c"]}}
]), &["p/a", "p/b", "p/c", "p/ca-cacert", "q/a", "q/b", "q/c", "q/ca-cacert"])]
#[case::any_server(json!([
    {"port": {"protocol": "HTTP"}, "tls": {"mode": "PASSTHROUGH", "credentialName": "a"}}
]), &["p/a", "q/a"])]
#[case::namespace_given(json!([{"tls": {"credentialName": "kubernetes://other/a"}}]), &["other/a"])]
#[case::each_once(json!([{"tls": {"credentialName": "p/a"}}, {"tls": {"credentialName": "a"}}]), &["p/a", "q/a"])]
#[case::no_secrets(json!([{"tls": {"credentialName": "configmap://p/a"}}, {"tls": {}}, {}]), &[])]
fn named(#[case] servers: Value, #[case] expected: &[&str]) {
    let object = json!({"spec": {"servers": servers}});
    let gateway = Gateway::read(GatewayKind::Istio, "team-a", &object).unwrap();
    let named: Vec<String> = secrets_named(&gateway, &["p", "q"]).iter().map(ToString::to_string).collect();
    assert_eq!(named, expected);
}
