//! `gateway-certificates adopt` with files: annotations, differences, reasons and exit codes.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use rstest::rstest;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// The Gateway team-a/shop with one server for each Secret, which has the host `SECRET.example.com`.
fn gateway(secrets: &[&str]) -> Value {
    let server = |secret: &&str| {
        json!({
            "port": {"number": 443, "name": secret, "protocol": "HTTPS"},
            "hosts": [format!("team-a/{secret}.example.com")],
            "tls": {"mode": "SIMPLE", "credentialName": secret},
        })
    };
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"namespace": "team-a", "name": "shop"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": secrets.iter().map(server).collect::<Vec<_>>()},
    })
}

/// The Certificate `SECRET-by-hand` for a Secret of [`gateway`], issued by the ClusterIssuer `le`.
fn certificate(secret: &str) -> Value {
    json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"namespace": "team-a", "name": format!("{secret}-by-hand")},
        "spec": {
            "secretName": secret,
            "dnsNames": [format!("{secret}.example.com")],
            "issuerRef": {"kind": "ClusterIssuer", "name": "le"},
        },
    })
}

/// An object with more fields.
fn with(mut object: Value, pointer: &str, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("no object: {fields}") };
    let parent = object.pointer_mut(pointer).and_then(Value::as_object_mut).unwrap();
    for (name, value) in fields {
        match value {
            Value::Null => drop(parent.remove(&name)),
            value => drop(parent.insert(name, value)),
        }
    }
    object
}

struct Workshop(TempDir);

impl Workshop {
    fn new(objects: &[Value], settings: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text: String = objects.iter().map(|object| format!("---\n{object}\n")).collect();
        std::fs::write(folder.path().join("all.yaml"), text).unwrap();
        std::fs::write(folder.path().join("settings.yaml"), settings.to_string()).unwrap();
        Self(folder)
    }

    fn adopt(&self, args: &[&str]) -> Assert {
        let mut command: Command = assert_cmd::cargo::cargo_bin_cmd!("gateway-certificates");
        command.current_dir(self.0.path()).arg("adopt").args(args).assert()
    }
}

fn adopt(objects: &[Value]) -> Assert {
    adopt_with(objects, json!({}))
}

fn adopt_with(objects: &[Value], settings: Value) -> Assert {
    Workshop::new(objects, settings).adopt(&["-f", "all.yaml", "--settings", "settings.yaml"])
}

fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

/// The added lines of a change.
fn added(text: &str, change: &str) -> Map<String, Value> {
    let (_, rest) = text.split_once(change).unwrap_or_else(|| panic!("no {change:?} in:\n{text}"));
    let lines = rest.lines().skip(1).take_while(|line| line.starts_with("    "));
    let added = lines.filter_map(|line| line.strip_prefix("    +     ")?.split_once(": "));
    added.map(|(key, value)| (key.to_owned(), serde_json::from_str(value).unwrap())).collect()
}

#[test]
fn the_report() {
    let objects = [
        gateway(&["a-tls", "b-tls"]),
        with(certificate("a-tls"), "/spec", json!({"keystores": {"jks": {"create": true}}})),
    ];
    let assert = adopt(&objects).code(1);
    assert_eq!(
        stdout(&assert),
        "\
Gateway team-a/shop (all.yaml: document 1): can be adopted, but Certificates are created for other Secrets, which cert-manager then overwrites (--allow create)
  Certificate team-a/a-tls-by-hand (without owner) writes the Secret a-tls: not issued again
    unchanged, because no annotation sets it: spec.keystores
  no Certificate writes the Secret team-a/b-tls
  change Certificate team-a/a-tls-by-hand (all.yaml: document 2):
      metadata:
        annotations:
    +     gateway-certificates.io/adopted: \"true\"
    +     gateway-certificates.io/owner-name: \"shop\"
    +     gateway-certificates.io/owner-namespace: \"team-a\"
        labels:
    +     gateway-certificates.io/owner-hash: \"92bc563487483987\"
  change Gateway team-a/shop (all.yaml: document 1):
      metadata:
        annotations:
    +     cert-manager.io/cluster-issuer: \"le\"
1 Gateway names Secrets: 1 can be adopted, 0 already adopted, 0 left alone, 0 without Certificates
"
    );
}

/// A field of the Certificate, and the annotations for it. Nothing is issued again.
#[rstest]
#[case::nothing(json!({}), json!({}))]
#[case::names_in_another_order(json!({"dnsNames": ["z.example.org", "a-tls.example.com"]}), json!({"alt-names": "z.example.org"}))]
#[case::a_wildcard_over_the_host(json!({"dnsNames": ["*.example.com"]}), json!({"alt-names": "*.example.com"}))]
#[case::addresses(json!({"ipAddresses": ["192.0.2.1", "2001:DB8::1"]}), json!({"ip-sans": "192.0.2.1,2001:DB8::1"}))]
#[case::mail(json!({"emailAddresses": ["a@example.com"]}), json!({"email-sans": "a@example.com"}))]
#[case::common_name(json!({"commonName": "a-tls.example.com"}), json!({"common-name": "a-tls.example.com"}))]
#[case::duration(json!({"duration": "2160h", "renewBefore": "360h0m0s"}), json!({"duration": "2160h", "renew-before": "360h0m0s"}))]
#[case::percentage(json!({"renewBeforePercentage": 30}), json!({"renew-before-percentage": "30"}))]
#[case::usages(json!({"usages": ["server auth", "digital signature"]}), json!({"usages": "server auth,digital signature"}))]
#[case::default_usages(
    json!({"usages": ["key encipherment", "digital signature"]}), json!({"usages": "key encipherment,digital signature"})
)]
#[case::history(json!({"revisionHistoryLimit": 3}), json!({"revision-history-limit": "3"}))]
#[case::ecdsa(json!({"privateKey": {"algorithm": "ECDSA", "size": 384}}), json!({"private-key-algorithm": "ECDSA", "private-key-size": "384"}))]
#[case::rotation(
    json!({"privateKey": {"rotationPolicy": "Never", "encoding": "PKCS8"}}),
    json!({"private-key-rotation-policy": "Never", "private-key-encoding": "PKCS8"})
)]
#[case::subject(
    json!({"subject": {"organizations": ["Example, Inc.", "B"], "countries": ["DE"], "serialNumber": "7"}}),
    json!({"subject-organizations": "\"Example, Inc.\",B", "subject-countries": "DE", "subject-serialnumber": "7"})
)]
#[case::secret_template(
    json!({"secretTemplate": {"labels": {"team": "a"}}}), json!({"secret-template": "{\"labels\":{\"team\":\"a\"}}"})
)]
#[case::issuer(json!({"issuerRef": {"name": "ca"}}), json!({"cluster-issuer": null, "issuer": "ca"}))]
#[case::issuer_with_defaults(
    json!({"issuerRef": {"name": "ca", "kind": "Issuer", "group": "cert-manager.io"}}), json!({"cluster-issuer": null, "issuer": "ca"})
)]
fn the_same_certificate(#[case] fields: Value, #[case] annotations: Value) {
    let objects = [gateway(&["a-tls"]), with(certificate("a-tls"), "/spec", fields)];
    let assert = adopt(&objects).success();
    let text = stdout(&assert);
    assert!(text.contains("writes the Secret a-tls: not issued again\n"), "{text}");
    assert!(!text.contains(": today "), "{text}");
    let expected = with(json!({"annotations": {"cluster-issuer": "le"}}), "/annotations", annotations);
    let added: Map<String, Value> = added(&text, "change Gateway team-a/shop")
        .into_iter()
        .map(|(key, value)| (key.replace("cert-manager.io/", ""), value))
        .collect();
    assert_eq!(Value::Object(added), expected["annotations"]);
}

/// Fields that no annotation sets stay as they are, and nothing is issued again.
#[rstest]
#[case(json!({"keystores": {"pkcs12": {"create": true}}}), "spec.keystores")]
#[case(json!({"additionalOutputFormats": [{"type": "DER"}]}), "spec.additionalOutputFormats")]
#[case(json!({"nameConstraints": {"critical": true}}), "spec.nameConstraints")]
#[case(json!({"literalSubject": "CN=a-tls.example.com"}), "spec.literalSubject")]
#[case(json!({"uris": ["spiffe://example.com/a"], "isCA": true}), "spec.isCA, spec.uris")]
#[case(json!({"encodeUsagesInRequest": false, "signatureAlgorithm": "SHA384WithRSA"}), "spec.encodeUsagesInRequest, spec.signatureAlgorithm")]
#[case(json!({"privateKey": {"algorithm": "RSA", "later": 1}}), "spec.privateKey.later")]
fn fields_without_annotation(#[case] fields: Value, #[case] kept: &str) {
    let objects = [gateway(&["a-tls"]), with(certificate("a-tls"), "/spec", fields)];
    let assert = adopt(&objects).success();
    let text = stdout(&assert);
    assert!(text.contains(&format!("unchanged, because no annotation sets it: {kept}\n")), "{text}");
    assert!(text.contains("not issued again\n"), "{text}");
}

/// What annotations cannot express, and what the Gateway requests beyond the Certificate.
#[rstest]
#[case::a_host_is_missing(
    json!({"dnsNames": ["other.example.com"]}),
    "spec.dnsNames: today [\"other.example.com\"], planned [\"a-tls.example.com\",\"other.example.com\"] (issued again)", true
)]
#[case::a_name_below_a_wildcard(
    json!({"dnsNames": ["a-tls.example.com", "*.example.com"]}),
    "spec.dnsNames: today [\"a-tls.example.com\",\"*.example.com\"], planned [\"*.example.com\"] (issued again)", true
)]
#[case::a_name_twice(
    json!({"dnsNames": ["a-tls.example.com", "a-tls.example.com"]}),
    "spec.dnsNames: today [\"a-tls.example.com\",\"a-tls.example.com\"], planned [\"a-tls.example.com\"] (issued again)", true
)]
#[case::a_key_of_cert_manager_in_the_template(
    json!({"secretTemplate": {"annotations": {"cert-manager.io/x": "1"}}}),
    "spec.secretTemplate.annotations[cert-manager.io/x]: today \"1\", planned none\n", false
)]
fn differences(#[case] fields: Value, #[case] line: &str, #[case] reissues: bool) {
    let objects = [gateway(&["a-tls"]), with(certificate("a-tls"), "/spec", fields)];
    let assert = adopt(&objects).code(i32::from(reissues));
    let text = stdout(&assert);
    assert!(text.contains(line), "{text}");
    assert_eq!(text.contains("(--allow reissue)"), reissues, "{text}");
}

#[rstest]
#[case::ingress(json!({"ownerReferences": [{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "x", "uid": "1", "controller": true}]}),
    "the Certificate team-a/a-tls-by-hand belongs to Ingress.networking.k8s.io \"x\"")]
#[case::gateway_api(json!({"ownerReferences": [{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": "shop", "uid": "1", "controller": true}]}),
    "the Certificate team-a/a-tls-by-hand belongs to Gateway.gateway.networking.k8s.io \"shop\"")]
#[case::marked_for_another(json!({"annotations": {"gateway-certificates.io/owner-namespace": "team-b", "gateway-certificates.io/owner-name": "shop"}}),
    "belongs to Gateway.networking.istio.io \"shop\" in namespace \"team-b\"")]
#[case::kanopys_of_another(json!({"labels": {"v1beta1.kanopy-platform.github.io/istio-cert-controller-managed": "web.team-a"}}),
    "belongs to kanopy's gateway-certificate-controller for the Gateway \"web.team-a\"")]
#[case::deleted(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), "the Certificate team-a/a-tls-by-hand is being deleted")]
fn left_alone(#[case] metadata: Value, #[case] reason: &str) {
    let objects = [gateway(&["a-tls"]), with(certificate("a-tls"), "/metadata", metadata)];
    let assert = adopt(&objects).code(1);
    let text = stdout(&assert);
    assert!(text.contains("Gateway team-a/shop (all.yaml: document 1): left alone\n"), "{text}");
    assert!(text.contains(reason), "{text}");
    assert!(!text.contains("change "), "{text}");
}

#[rstest]
#[case::kanopy(json!({"labels": {"v1beta1.kanopy-platform.github.io/istio-cert-controller-managed": "shop.team-a"}}), "of kanopy's gateway-certificate-controller")]
#[case::the_webhook(json!({"ownerReferences": [{"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "name": "shop", "uid": "1", "controller": true}]}),
    "with an owner reference to this Gateway")]
#[case::marked_before(json!({"annotations": {"gateway-certificates.io/owner-namespace": "team-a", "gateway-certificates.io/owner-name": "shop"}}),
    "marked for this Gateway")]
fn origins(#[case] metadata: Value, #[case] origin: &str) {
    let objects = [gateway(&["a-tls"]), with(certificate("a-tls"), "/metadata", metadata)];
    let assert = adopt(&objects).success();
    let text = stdout(&assert);
    assert!(
        text.contains(&format!(
            "Certificate team-a/a-tls-by-hand ({origin}) writes the Secret a-tls: not issued again\n"
        )),
        "{text}"
    );
    let marks = added(&text, "change Certificate team-a/a-tls-by-hand");
    assert_eq!(marks["gateway-certificates.io/adopted"], "true", "{text}");
}

#[test]
fn two_certificates_that_agree() {
    let objects = [gateway(&["a-tls", "b-tls"]), certificate("a-tls"), certificate("b-tls")];
    let assert = adopt(&objects).success();
    let text = stdout(&assert);
    assert_eq!(text.matches("not issued again\n").count(), 2, "{text}");
    assert_eq!(added(&text, "change Gateway team-a/shop").len(), 1, "{text}");
}

#[rstest]
#[case::duration(json!({"duration": "48h"}), "cert-manager.io/duration: none (team-a/a-tls-by-hand), \"48h\" (team-a/b-tls-by-hand)")]
#[case::usages(json!({"usages": ["any"]}), "cert-manager.io/usages: none (team-a/a-tls-by-hand), \"any\" (team-a/b-tls-by-hand)")]
#[case::names(json!({"dnsNames": ["b-tls.example.com", "c.example.com"]}), "cert-manager.io/alt-names: none (team-a/a-tls-by-hand), \"c.example.com\" (team-a/b-tls-by-hand)")]
fn two_certificates_that_disagree(#[case] fields: Value, #[case] reason: &str) {
    let objects =
        [gateway(&["a-tls", "b-tls"]), certificate("a-tls"), with(certificate("b-tls"), "/spec", fields)];
    let assert = adopt(&objects).code(1);
    let text = stdout(&assert);
    assert!(text.contains(&format!("Give each a Gateway of its own. {reason}\n")), "{text}");
    assert!(!text.contains("change "), "{text}");
}

/// A server with two credentials requests an RSA and an ECDSA key, so one set of annotations is right for both.
#[test]
fn a_pair_of_credentials_agrees() {
    let mut gateway = gateway(&["a-tls"]);
    gateway["spec"]["servers"][0]["tls"] = json!({"mode": "SIMPLE", "credentialNames": ["a-tls", "b-tls"]});
    let key = |secret: &str, algorithm: &str, size: u16| {
        let names =
            json!({"dnsNames": ["a-tls.example.com"], "privateKey": {"algorithm": algorithm, "size": size}});
        with(certificate(secret), "/spec", names)
    };
    let assert = adopt(&[gateway, key("a-tls", "RSA", 2048), key("b-tls", "ECDSA", 256)]).success();
    let text = stdout(&assert);
    assert_eq!(text.matches("not issued again\n").count(), 2, "{text}");
}

#[test]
fn two_certificates_that_write_one_secret() {
    let other = with(certificate("a-tls"), "/metadata", json!({"name": "other"}));
    let assert = adopt(&[gateway(&["a-tls"]), certificate("a-tls"), other]).code(1);
    let text = stdout(&assert);
    let reason = "the Secret team-a/a-tls is written by several Certificates: team-a/a-tls-by-hand, team-a/other. Remove all but one.";
    assert!(text.contains(reason), "{text}");
}

#[test]
fn two_gateways_that_name_one_secret() {
    let other = with(gateway(&["a-tls"]), "/metadata", json!({"name": "web"}));
    let assert = adopt(&[gateway(&["a-tls"]), other.clone(), certificate("a-tls")]).code(1);
    let text = stdout(&assert);
    assert!(text.contains("Gateway team-a/shop (all.yaml: document 1): can be adopted"), "{text}");
    assert!(
        text.contains(
            "the Secret team-a/a-tls is also named by the Gateway team-a/shop, which gets its Certificate."
        ),
        "{text}"
    );

    // An annotated one comes first, and the owner before it.
    let annotated =
        with(other, "/metadata", json!({"annotations": {"cert-manager.io/cluster-issuer": "le"}}));
    let assert = adopt(&[gateway(&["a-tls"]), annotated.clone(), certificate("a-tls")]).code(1);
    assert!(stdout(&assert).contains("Gateway team-a/web (all.yaml: document 2): can be adopted"));
    let owned =
        json!({"labels": {"v1beta1.kanopy-platform.github.io/istio-cert-controller-managed": "shop.team-a"}});
    let assert =
        adopt(&[gateway(&["a-tls"]), annotated, with(certificate("a-tls"), "/metadata", owned)]).code(1);
    assert!(stdout(&assert).contains("Gateway team-a/shop (all.yaml: document 1): can be adopted"));
}

#[test]
fn certificates_are_found_in_the_placement() {
    let central = with(certificate("a-tls"), "/metadata", json!({"namespace": "istio-ingress"}));
    let objects = [gateway(&["a-tls"]), central];
    let text = stdout(&adopt(&objects).success());
    assert!(text.contains("Gateway team-a/shop (all.yaml: document 1): no Certificate to adopt\n"), "{text}");
    assert!(text.contains("no Certificate writes the Secret team-a/a-tls. In another namespace: istio-ingress/a-tls-by-hand."), "{text}");

    let settings = json!({"gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": "istio-ingress"}]});
    let text = stdout(&adopt_with(&objects, settings).success());
    assert!(text.contains("Certificate istio-ingress/a-tls-by-hand (without owner) writes the Secret a-tls: not issued again\n"), "{text}");

    let settings =
        json!({"gateway_namespaces": [{"labels": {"istio": "other"}, "namespace": "istio-ingress"}]});
    let text = stdout(&adopt_with(&objects, settings).code(1));
    assert!(text.contains("its selector matches no entry of gateway_namespaces"), "{text}");
}

#[test]
fn what_the_rules_withhold_is_left_alone() {
    let settings = json!({"tenants": [{"name": "a", "namespaces": ["team-a"], "issuers": [], "dns_names": ["**"], "secrets": ["*"]}]});
    let text = stdout(&adopt_with(&[gateway(&["a-tls"]), certificate("a-tls")], settings).code(1));
    assert!(
        text.contains("left alone\n  the controller would withhold Certificates: issuer-not-allowed: "),
        "{text}"
    );
}

/// The usual layout for many VirtualServices: the names come from the Certificate.
#[test]
fn a_gateway_for_all_hosts() {
    let mut gateway = gateway(&["a-tls"]);
    gateway["spec"]["servers"][0]["hosts"] = json!(["*"]);
    let settings = json!({"rules": {"hostname-any": "warn"}});
    let text = stdout(&adopt_with(&[gateway.clone(), certificate("a-tls")], settings.clone()).success());
    let annotations = added(&text, "change Gateway team-a/shop");
    assert_eq!(annotations["cert-manager.io/alt-names"], "a-tls.example.com", "{text}");

    // Without any name, nothing can be requested.
    let nameless =
        with(certificate("a-tls"), "/spec", json!({"dnsNames": null, "uris": ["spiffe://example.com/a"]}));
    let text = stdout(&adopt_with(&[gateway, nameless], settings).code(1));
    assert!(text.contains("no annotation requests a Certificate for the Secret team-a/a-tls"), "{text}");
}

/// The controller requests a temporary certificate if the issuer solves by HTTP-01.
#[test]
fn metadata_that_the_controller_adds() {
    let issuer = json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "ClusterIssuer",
        "metadata": {"name": "le"},
        "spec": {"acme": {"server": "https://acme.example.com", "privateKeySecretRef": {"name": "x"},
            "solvers": [{"http01": {"ingress": {"class": "istio"}}}]}},
    });
    let gateway = with(gateway(&["a-tls"]), "/metadata", json!({"labels": {"team": "a"}}));
    let settings = json!({"copy_labels": ["team"]});
    let text = stdout(&adopt_with(&[gateway, certificate("a-tls"), issuer], settings).success());
    let lines = "not issued again
    metadata.labels[team]: today none, planned \"a\"
    metadata.annotations[cert-manager.io/issue-temporary-certificate]: today none, planned \"true\"
";
    assert!(text.contains(lines), "{text}");
}

/// The guide explains every flag.
#[test]
fn every_flag_is_documented() {
    let mut command: Command = assert_cmd::cargo::cargo_bin_cmd!("gateway-certificates");
    let help = String::from_utf8(command.args(["adopt", "--help"]).output().unwrap().stdout).unwrap();
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/adopt.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let words = help.split([' ', '\n', ',', '.']);
    let flags: Vec<&str> =
        words.filter(|word| word.starts_with("--") && !matches!(*word, "--help" | "--version")).collect();
    assert!(flags.len() > 6, "{help}");
    for flag in flags {
        assert!(guide.contains(flag), "docs/adopt.md does not mention {flag}");
    }
}

/// Annotations that are on the Gateway already are changed or removed if the Certificate differs.
#[test]
fn existing_annotations() {
    let annotations = json!({"annotations": {
        "cert-manager.io/cluster-issuer": "le",
        "cert-manager.io/duration": "24h",
        "cert-manager.io/usages": "any",
        "example.com/other": "stays",
    }});
    let objects = [
        with(gateway(&["a-tls"]), "/metadata", annotations),
        with(certificate("a-tls"), "/spec", json!({"duration": "48h"})),
    ];
    let text = stdout(&adopt(&objects).success());
    let change = "\
      metadata:
        annotations:
    -     cert-manager.io/duration: \"24h\"
    +     cert-manager.io/duration: \"48h\"
    -     cert-manager.io/usages: \"any\"
";
    assert!(text.contains(change), "{text}");
    assert!(!text.contains("example.com/other") && !text.contains("cluster-issuer"), "{text}");
}

/// With all of its changes applied, nothing is left to do.
#[test]
fn adopted_already() {
    let marks = json!({
        "annotations": {
            "gateway-certificates.io/adopted": "true",
            "gateway-certificates.io/owner-name": "shop",
            "gateway-certificates.io/owner-namespace": "team-a",
        },
        "labels": {"gateway-certificates.io/owner-hash": "92bc563487483987"},
    });
    let annotations = json!({"annotations": {"cert-manager.io/cluster-issuer": "le"}});
    let objects =
        [with(gateway(&["a-tls"]), "/metadata", annotations), with(certificate("a-tls"), "/metadata", marks)];
    let text = stdout(&adopt(&objects).success());
    assert!(text.starts_with("Gateway team-a/shop (all.yaml: document 1): already adopted\n"), "{text}");
    assert!(!text.contains("change "), "{text}");
}

#[test]
fn gateways_that_name_no_secret_are_not_mentioned() {
    let text = stdout(&adopt(&[gateway(&[]), certificate("a-tls")]).success());
    assert_eq!(
        text,
        "0 Gateways name Secrets: 0 can be adopted, 0 already adopted, 0 left alone, 0 without Certificates\n"
    );
}

#[test]
fn only_some_gateways() {
    let other = with(gateway(&["b-tls"]), "/metadata", json!({"name": "web"}));
    let workshop =
        Workshop::new(&[gateway(&["a-tls"]), other, certificate("a-tls"), certificate("b-tls")], json!({}));
    let text = stdout(&workshop.adopt(&["-f", "all.yaml", "--gateway", "team-a/web"]).success());
    assert!(text.contains("team-a/web") && !text.contains("team-a/shop"), "{text}");
    let assert = workshop.adopt(&["-f", "all.yaml", "--gateway", "team-a/none"]).code(1);
    let error = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert_eq!(error, "note: there is no Gateway team-a/none that names a Secret\n");
}

#[rstest]
#[case::no_file(&["-f", "nowhere.yaml"], "nowhere.yaml: cannot be read: ")]
#[case::settings(&["-f", "all.yaml", "--settings", "nowhere.yaml"], "nowhere.yaml: cannot be read: ")]
#[case::write_to_files(&["-f", "all.yaml", "--write"], "cannot be used with")]
#[case::allow_without_write(&["--allow", "create"], "--write")]
#[case::not_a_gateway(&["-f", "all.yaml", "--gateway", "web"], "expected NAMESPACE/NAME")]
#[case::no_cluster(&["--kubeconfig", "nowhere"], "error: no cluster: ")]
fn errors(#[case] args: &[&str], #[case] message: &str) {
    let assert = Workshop::new(&[gateway(&["a-tls"])], json!({})).adopt(args).code(2);
    let error = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(error.contains(message), "{error}");
}

/// A value cannot forge a line of the report or hide in a terminal.
#[test]
fn control_characters_are_escaped() {
    let fields = json!({"commonName": "a\nb\u{202e}c"});
    let text = stdout(&adopt(&[gateway(&["a-tls"]), with(certificate("a-tls"), "/spec", fields)]).success());
    assert!(text.contains(r#"+     cert-manager.io/common-name: "a\nb\u202ec""#), "{text}");
}
