//! Requests, from payload to response.

use super::*;
use crate::fixtures::{
    GatewayFixture, TestCluster, audited, certificate, cluster_issuer, gateway_api, issuer, istio, namespace,
};
use crate::lookup::{LookupError, ObjectRef};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

fn reference(name: &str) -> ObjectRef {
    ObjectRef {
        api_version: "cert-manager.io/v1".into(),
        kind: "ClusterIssuer".into(),
        namespace: None,
        name: name.into(),
    }
}

/// A cluster with the ready ClusterIssuers `le` and `other`, and `broken`, which is not.
fn cluster() -> TestCluster {
    TestCluster::default()
        .object(cluster_issuer("le").ready())
        .object(cluster_issuer("other").ready())
        .object(cluster_issuer("broken").condition("False", "ErrInit", "no account"))
}

fn annotated(issuer: &str) -> GatewayFixture {
    istio("shop").cert_manager("cluster-issuer", issuer)
}

fn default_le(when: &str, on: &str) -> Value {
    json!({"default_issuer": {"name": "le", "kind": "ClusterIssuer", "when": when, "on": on}})
}

mod early_exits {
    use super::*;

    #[rstest]
    #[case::delete("DELETE")]
    #[case::connect("CONNECT")]
    #[case::nothing("")]
    fn operations(#[case] operation: &str) {
        let cluster = TestCluster::default();
        assert_eq!(annotated("absent").request(&cluster, operation, Value::Null), Response::accept());
    }

    fn decide_with(change: impl FnOnce(&mut Value)) -> Response {
        let mut payload = json!({"settings": {}, "request": {
            "kind": {"group": "networking.istio.io", "version": "v1", "kind": "Gateway"},
            "operation": "CREATE", "namespace": "team-a", "object": annotated("absent").object(),
        }});
        change(&mut payload["request"]);
        let cluster = TestCluster::default();
        let answer = decide(payload.to_string().as_bytes(), &cluster);
        assert!(!answer.accepted || cluster.asked().is_empty());
        answer
    }

    #[test]
    fn the_request_is_rejected() {
        assert_eq!(decide_with(|_| {}).code, Some(422));
    }

    #[rstest]
    #[case::other_kind("kind", json!({"group": "networking.istio.io", "version": "v1", "kind": "VirtualService"}))]
    #[case::other_group("kind", json!({"group": "example.com", "version": "v1", "kind": "Gateway"}))]
    #[case::subresource("subResource", json!("status"))]
    fn not_ours(#[case] field: &str, #[case] value: Value) {
        assert_eq!(decide_with(|request| request[field] = value), Response::accept());
    }

    /// istiod serves a Gateway that is being deleted until it is gone, and its owner's finalizer can
    /// keep it forever.
    #[rstest]
    #[case::finalizer_goes(annotated("absent").metadata("finalizers", json!(["x"])), annotated("absent"), true)]
    #[case::other_metadata(annotated("absent"), annotated("absent").metadata("generation", json!(2)), true)]
    #[case::label(annotated("absent"), annotated("absent").label("a", "b"), false)]
    #[case::annotation(annotated("absent"), annotated("absent").annotation("a", "b"), false)]
    #[case::spec(annotated("absent"), annotated("absent").selector(json!({"istio": "other"})), false)]
    fn being_deleted(#[case] old: GatewayFixture, #[case] new: GatewayFixture, #[case] left_alone: bool) {
        let deleting = |gateway: GatewayFixture, violations: &str| {
            gateway
                .metadata("deletionTimestamp", json!("2026-01-01T00:00:00Z"))
                .settings(json!({"existing_violations": violations}))
        };
        for (violations, otherwise) in [("warn", None), ("reject", Some(422))] {
            let cluster = TestCluster::default();
            let (old, new) = (deleting(old.clone(), violations), deleting(new.clone(), violations));
            let code = new.update_from(&old, &cluster).code;
            assert_eq!(code, if left_alone { None } else { otherwise }, "{violations}");
            assert_eq!(cluster.asked().is_empty(), left_alone, "{violations}");
        }
    }

    #[test]
    fn being_deleted_excuses_nothing() {
        let deleting =
            |gateway: GatewayFixture| gateway.metadata("deletionTimestamp", json!("2026-01-01T00:00:00Z"));
        let settings = json!({"tenants": [{
            "name": "a", "namespaces": ["team-a"], "issuers": [], "dns_names": ["*.team-a.example.com"], "secrets": ["shop-*"],
        }]});
        let new = istio("shop")
            .with("/spec/servers/0/hosts/0", json!("x.team-b.example.com"))
            .with("/spec/servers/0/tls/credentialName", json!("team-b-web"));
        let new = deleting(new).settings(settings);
        assert_eq!(new.update_from(&deleting(istio("shop")), &TestCluster::default()).code, Some(403));
    }

    /// cert-manager leaves such a Gateway alone until the finalizer goes, and that update looks
    /// like no change to us. Anyone can write the finalizer, so it excuses nothing.
    #[test]
    fn a_finalizer_that_anyone_can_write_is_not_a_deletion() {
        let finalizer =
            |request: &mut Value| request["object"]["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
        assert_eq!(decide_with(finalizer).code, Some(422));
    }

    #[rstest]
    #[case::nothing_changed(annotated("absent"), annotated("absent"), true)]
    #[case::status_and_finalizers(annotated("absent"), annotated("absent").metadata("finalizers", json!(["x"])), true)]
    #[case::labels_null_and_empty(
        annotated("absent").metadata("labels", json!(null)), annotated("absent").metadata("labels", json!({})), true
    )]
    #[case::label(annotated("absent"), annotated("absent").metadata("labels", json!({"a": "b"})), false)]
    #[case::annotation(annotated("absent"), annotated("absent").annotation("a", "b"), false)]
    #[case::spec(annotated("absent"), annotated("absent").selector(json!({"istio": "other"})), false)]
    fn updates_that_change_nothing(
        #[case] old: GatewayFixture,
        #[case] new: GatewayFixture,
        #[case] left_alone: bool,
    ) {
        let cluster = TestCluster::default();
        let answer = new.update_from(&old, &cluster);
        assert!(answer.accepted);
        assert_eq!(cluster.asked().is_empty(), left_alone);
        let answer = new.settings(json!({"existing_violations": "reject"})).update_from(&old, &cluster);
        assert_eq!(answer.code, Some(422), "unless existing violations are rejected");
    }

    #[rstest]
    #[case::nothing(istio("shop"))]
    #[case::other_annotations(istio("shop").annotation("example.com/issuer", "x").annotation("kubernetes.io/tls-acme", "true"))]
    #[case::acme_alone(istio("shop").annotation("acme.cert-manager.io/http01-edit-in-place", "true"))]
    fn without_a_word_for_cert_manager(#[case] gateway: GatewayFixture) {
        let cluster = TestCluster::default();
        assert_eq!(gateway.create(&cluster), Response::accept());
    }

    /// A tenant's Istio Gateway serves every Secret that it names.
    #[rstest]
    #[case::a_credential(istio("shop"), true)]
    #[case::of_a_ca(istio("shop").with("/spec/servers/0/tls", json!({"caCertCredentialName": "ca"})), true)]
    #[case::passthrough(istio("shop").with("/spec/servers/0/tls", json!({"mode": "PASSTHROUGH", "credentialName": ""})), false)]
    #[case::no_servers(istio("shop").with("/spec/servers", json!(null)), false)]
    #[case::gateway_api(gateway_api("shop"), false)]
    fn without_a_word_for_cert_manager_but_with_tenants(
        #[case] gateway: GatewayFixture,
        #[case] checked: bool,
    ) {
        let answer = gateway.clone().tenant(json!({})).create(&TestCluster::default());
        assert_eq!((answer.accepted, answer.audit_annotations.is_empty()), (true, !checked));
        let answer = gateway
            .settings(json!({"role": "default"}))
            .tenant(json!({"secrets": []}))
            .create(&TestCluster::default());
        assert_eq!(answer, Response::accept(), "role default checks nothing");
    }

    #[test]
    fn a_spec_that_is_not_ours_is_not_read() {
        let cluster = TestCluster::default();
        assert_eq!(istio("shop").with("/spec", json!("x")).create(&cluster), Response::accept());
    }
}

mod unreadable {
    use super::*;

    #[rstest]
    #[case::no_json(
        r#"{"request": "s3cret"#,
        "the admission request is not JSON at line 1 column 19. Correct the object and apply it again."
    )]
    #[case::no_object(
        r#"{"request": {"kind": {"group": "networking.istio.io", "kind": "Gateway"}, "operation": "CREATE"}}"#,
        "the admission request has no object. Correct the object and apply it again."
    )]
    #[case::object_as_text(
        r#"{"request": {"kind": {"group": "networking.istio.io", "kind": "Gateway"}, "operation": "CREATE", "object": "s3cret"}}"#,
        "the object: expected an object, found a string. Correct the object and apply it again."
    )]
    #[case::servers_as_text(
        r#"{"request": {"kind": {"group": "networking.istio.io", "kind": "Gateway"}, "operation": "CREATE", "object": {"metadata": {"annotations": {"cert-manager.io/issuer": "x"}}, "spec": {"servers": "s3cret"}}}}"#,
        "spec.servers: expected a list, found a string. Correct the object and apply it again."
    )]
    fn rejected_with_a_path(#[case] payload: &str, #[case] expected: &str) {
        let answer = decide(payload.as_bytes(), &TestCluster::default());
        assert_eq!((answer.code, answer.message.as_deref()), (Some(400), Some(expected)));
        assert!(!expected.contains("s3cret"));
    }

    #[test]
    fn deep_nesting_is_rejected() {
        let payload = "[".repeat(100_000);
        assert_eq!(decide(payload.as_bytes(), &TestCluster::default()).code, Some(400));
    }

    #[test]
    fn invalid_settings() {
        let settings = json!({"rule": {}, "role": "x"});
        let kind = json!({"group": "networking.istio.io", "kind": "Gateway"});
        let payload = |object: Value| {
            let request = json!({"kind": kind, "operation": "CREATE", "object": object});
            json!({"settings": settings, "request": request}).to_string()
        };
        // They are not read for an object that no setting concerns.
        let others = payload(istio("shop").object());
        assert_eq!(decide(others.as_bytes(), &TestCluster::default()), Response::accept());
        let answer = decide(payload(annotated("x").object()).as_bytes(), &TestCluster::default());
        assert_eq!(answer.code, Some(500));
        assert_eq!(
            answer.message.unwrap(),
            "the policy's settings: role: \"x\" is not one of: both, default, validate; rule: unknown setting; did you mean role?"
        );
    }
}

mod too_large {
    use super::*;

    fn servers(tls: bool) -> GatewayFixture {
        let server = |i: usize| {
            let port = json!({"number": 80, "name": format!("h{i}"), "protocol": "HTTP"});
            let mut server = json!({"port": port, "hosts": ["a.x", "b.x"]});
            if tls {
                server["tls"] = json!({"mode": "SIMPLE", "credentialName": format!("c{i}")});
            }
            server
        };
        istio("shop").with("/spec/servers", (0..900).map(server).collect())
    }

    fn settings(role: &str) -> Value {
        json!({"role": role, "default_issuer": {"name": "le", "kind": "ClusterIssuer", "when": "always"}})
    }

    /// Only an object that rules would check is rejected for its size.
    #[rstest]
    #[case::annotated(servers(false).cert_manager("cluster-issuer", "le"), Some(422))]
    #[case::of_a_tenant(servers(true).tenant(json!({})), Some(422))]
    #[case::of_a_tenant_without_secrets(servers(false).tenant(json!({})), None)]
    #[case::without_tenants(servers(true), None)]
    #[case::annotated_for_the_default_policy(
        servers(true).cert_manager("cluster-issuer", "le").settings(settings("default")),
        None
    )]
    fn is_rejected(#[case] gateway: GatewayFixture, #[case] code: Option<u16>) {
        let answer = gateway.create(&TestCluster::default());
        assert_eq!((answer.accepted, answer.code), (code.is_none(), code), "{answer:?}");
        assert!(answer.warnings.is_empty(), "{answer:?}");
    }

    #[rstest]
    fn gets_no_default_issuer(#[values("both", "default")] role: &str, #[values(true, false)] tls: bool) {
        let answer = servers(tls).settings(settings(role)).create(&TestCluster::default());
        assert!(answer.accepted && answer.mutated_object.is_none(), "{answer:?}");
        assert!(
            answer.warnings[0]
                .starts_with("default_issuer: ClusterIssuer \"le\" was not added: it has about")
        );
    }

    #[test]
    fn a_long_text() {
        let is_reported = |length: usize| {
            let gateway = annotated("le").with("/spec/servers/0/hosts/0", json!("x".repeat(length)));
            audited(&gateway.create(&TestCluster::default()))
                .contains(&"object-too-large reject spec".to_owned())
        };
        assert!(is_reported(4097) && !is_reported(4096));
    }
}

#[test]
fn a_part_of_a_gateway_is_not_checked() {
    for gateway in [annotated("absent"), gateway_api("web").cert_manager("cluster-issuer", "absent")] {
        let mut object = gateway.object();
        object.as_object_mut().unwrap().remove("spec");
        let kind =
            json!({"group": object["apiVersion"].as_str().unwrap().split('/').next(), "kind": "Gateway"});
        let payload = json!({"request": {
            "kind": kind, "operation": "CREATE", "namespace": "team-a", "object": object,
        }});
        assert_eq!(decide(payload.to_string().as_bytes(), &TestCluster::default()), Response::accept());
    }
}

mod defaulting {
    use super::*;

    /// Only a Gateway that asked for the issuer is told why it did not get it.
    #[rstest]
    fn not_allowed(#[values("both", "default")] role: &str, #[values(true, false)] is_asked_for: bool) {
        let mut settings = default_le("always", "create");
        settings["role"] = json!(role);
        settings["lookups"] = json!({"list": ["certificates"]});
        let mut gateway = istio("shop");
        if is_asked_for {
            gateway = gateway.annotation("kubernetes.io/tls-acme", "true");
        }
        // Its name does not tell which Secret it writes.
        let foreign = certificate("team-a", "by-hand").writes("shop-tls").owned_by("v1", "Ingress", "x");
        let answer = gateway.clone().settings(settings.clone()).create(&cluster().object(foreign));
        let warning = "default_issuer: ClusterIssuer \"le\" was not added: Certificate \"by-hand\" in namespace \"team-a\" writes the Secret \"team-a/shop-tls\".";
        assert_eq!(added(&answer), None);
        assert_eq!(answer.warnings, [warning][usize::from(!is_asked_for)..]);
        settings["tenants"] =
            json!([{"name": "a", "namespaces": ["team-a"], "issuers": [], "dns_names": ["**"]}]);
        let answer = gateway.settings(settings).create(&cluster());
        let warning = "default_issuer: ClusterIssuer \"le\" was not added: tenant \"a\" may not use it.";
        assert_eq!((added(&answer), answer.accepted), (None, true));
        assert_eq!(answer.warnings, [warning][usize::from(!is_asked_for)..]);
    }

    fn added(answer: &Response) -> Option<&Value> {
        answer.mutated_object.as_ref().map(|object| &object["metadata"]["annotations"])
    }

    #[rstest]
    #[case::always("always", istio("shop"), true)]
    #[case::asked("tls-acme", istio("shop").annotation("kubernetes.io/tls-acme", "true"), true)]
    #[case::not_asked("tls-acme", istio("shop"), false)]
    #[case::refused("always", istio("shop").annotation("kubernetes.io/tls-acme", "false"), false)]
    #[case::gateway_api("always", gateway_api("web"), true)]
    #[case::annotated("always", annotated("other"), false)]
    #[case::misspelt("always", istio("shop").cert_manager("clusterissuer", "le"), false)]
    #[case::nothing_to_issue("always", istio("shop").with("/spec/servers/0/port/protocol", json!("HTTP")), false)]
    #[case::passthrough("always", istio("shop").with("/spec/servers/0/tls", json!({"mode": "PASSTHROUGH"})), false)]
    #[case::a_listener_without_host("always", gateway_api("web").push("/spec/listeners", json!({
        "name": "b", "port": 8443, "protocol": "HTTPS", "tls": {"mode": "Terminate", "certificateRefs": [{"group": "", "kind": "Secret", "name": "b"}]}
    })), false)]
    #[case::with_a_plain_listener("always", gateway_api("web").push("/spec/listeners", json!({
        "name": "http", "port": 80, "protocol": "HTTP", "hostname": "web.team-a.example.com"
    })), true)]
    fn on_create(#[case] when: &str, #[case] gateway: GatewayFixture, #[case] expected: bool) {
        for role in ["both", "default", "validate"] {
            let mut settings = default_le(when, "create");
            settings["role"] = json!(role);
            let answer = gateway.clone().settings(settings).create(&cluster());
            assert!(answer.accepted, "{role}: {answer:?}");
            let expected = expected && role != "validate";
            assert_eq!(answer.mutated_object.is_some(), expected, "{role}");
            if let Some(annotations) = added(&answer) {
                assert_eq!(annotations["cert-manager.io/cluster-issuer"], "le");
            }
        }
    }

    #[rstest]
    #[case::create_only("create", false)]
    #[case::create_and_update("create-and-update", true)]
    fn on_update(#[case] on: &str, #[case] expected: bool) {
        let settings = default_le("always", on);
        let new = istio("shop").annotation("a", "b").settings(settings);
        let answer = new.update_from(&istio("shop"), &cluster());
        assert_eq!(answer.mutated_object.is_some(), expected);
    }

    /// Findings about an issuer that the Gateway did not ask for do not reject.
    #[test]
    fn a_default_issuer_that_cannot_issue() {
        let settings = |role: &str| json!({"role": role, "default_issuer": {"name": "broken", "kind": "ClusterIssuer", "when": "always"}});
        let response = istio("shop").settings(settings("both")).create(&cluster());
        assert!(response.accepted && response.mutated_object.is_none(), "{response:?}");
        let [warning] = &*response.warnings else { panic!("{response:?}") };
        assert!(warning.contains("default_issuer") && warning.contains("issuer-not-ready"), "{warning}");
        let asked = istio("shop").annotation("kubernetes.io/tls-acme", "true").settings(settings("both"));
        let response = asked.create(&cluster());
        assert_eq!((response.code, response.mutated_object), (Some(422), None));
        assert!(response.warnings[0].contains("default issuer"), "{:?}", response.warnings);
        let response = istio("shop").settings(settings("default")).create(&cluster());
        assert!(response.accepted && response.mutated_object.is_some(), "role default runs no rules");
    }

    #[test]
    fn a_default_issuer_that_could_not_be_looked_up() {
        let object = crate::lookup::ObjectRef {
            api_version: "cert-manager.io/v1".into(),
            kind: "ClusterIssuer".into(),
            namespace: None,
            name: "le".into(),
        };
        let cluster = TestCluster::default().answer(&object, Err(LookupError::Forbidden));
        let response = istio("shop").settings(default_le("always", "create")).create(&cluster);
        assert_eq!(response.code, Some(500), "the client tries again");
    }

    #[rstest]
    #[case::not_of_the_tenant(json!({"issuers": [{"kind": "Issuer", "name": "*"}]}), None, false)]
    #[case::of_the_tenant(json!({"issuers": [{"kind": "ClusterIssuer", "name": "l*"}]}), None, true)]
    #[case::made_by_hand(json!({}), Some(certificate("team-a", "shop-tls")), false)]
    #[case::of_another(json!({}), Some(certificate("team-a", "shop-tls").owned_by("networking.istio.io/v1", "Gateway", "web")), false)]
    #[case::its_own(json!({}), Some(certificate("team-a", "shop-tls").owned_by("networking.istio.io/v1", "Gateway", "shop")), true)]
    fn where_it_would_do_harm(
        #[case] tenant: Value,
        #[case] existing: Option<crate::fixtures::CertificateFixture>,
        #[case] expected: bool,
    ) {
        for role in ["both", "default"] {
            let cluster = existing.clone().map_or_else(cluster, |existing| cluster().object(existing));
            let mut settings = default_le("always", "create");
            settings["role"] = json!(role);
            let response = istio("shop").settings(settings).tenant(tenant.clone()).create(&cluster);
            assert!(response.accepted, "{response:?}");
            assert_eq!(response.mutated_object.is_some(), expected, "{role}");
        }
    }

    #[test]
    fn role_default_looks_up_certificates_only() {
        let cluster = TestCluster::default();
        let settings = json!({"role": "default", "default_issuer": {"name": "le", "when": "always"}});
        assert!(istio("shop").settings(settings.clone()).create(&cluster).accepted);
        assert_eq!(annotated("absent").settings(settings).create(&cluster), Response::accept());
        assert_eq!(cluster.asked(), Vec::<String>::new());
        assert_eq!(cluster.asked_for_certificates(), ["Certificate team-a/shop-tls"]);
    }

    /// The settings with a tenant that has its own default, and may have anything.
    fn of_tenant(mut settings: Value, tenant: Value) -> Value {
        let mut full =
            json!({"name": "a", "issuers": [{"kind": "ClusterIssuer", "name": "*"}], "dns_names": ["**"]});
        for (field, value) in tenant.as_object().unwrap() {
            full[field] = value.clone();
        }
        settings["other_namespaces"] = json!("accept");
        settings["tenants"] = json!([full]);
        settings
    }

    fn other(when: &str) -> Value {
        json!({"name": "other", "kind": "ClusterIssuer", "when": when})
    }

    #[rstest]
    #[case::instead(of_tenant(default_le("always", "create"), json!({"namespaces": ["team-a"], "default_issuer": other("always")})), Some("other"))]
    #[case::its_own_when_counts(of_tenant(default_le("always", "create"), json!({"namespaces": ["team-a"], "default_issuer": other("tls-acme")})), None)]
    #[case::none_of_its_own(of_tenant(default_le("always", "create"), json!({"namespaces": ["team-a"]})), Some("le"))]
    #[case::alone(of_tenant(json!({}), json!({"namespaces": ["team-a"], "default_issuer": other("always")})), Some("other"))]
    #[case::another_tenant_s(of_tenant(json!({}), json!({"namespaces": ["team-b"], "default_issuer": other("always")})), None)]
    #[case::next_to_another_tenant_s(of_tenant(default_le("always", "create"), json!({"namespaces": ["team-b"], "default_issuer": other("always")})), Some("le"))]
    fn a_tenant_s_own(#[case] settings: Value, #[case] expected: Option<&str>) {
        for role in ["both", "default"] {
            let mut settings = settings.clone();
            settings["role"] = json!(role);
            for gateway in [istio("shop"), gateway_api("shop")] {
                let answer = gateway.settings(settings.clone()).create(&cluster());
                assert!(answer.accepted, "{answer:?}");
                let issuer =
                    added(&answer).map(|annotations| annotations["cert-manager.io/cluster-issuer"].clone());
                assert_eq!(issuer, expected.map(|name| json!(name)));
            }
        }
    }

    #[rstest]
    #[case::known(Some(json!({"team": "a"})), Some("other"), None)]
    #[case::other_labels(Some(json!({})), Some("le"), None)]
    #[case::unknown(None, None, Some(500))]
    fn a_tenant_s_own_by_labels(
        #[case] labels: Option<Value>,
        #[case] expected: Option<&str>,
        #[case] code: Option<u16>,
    ) {
        for role in ["both", "default"] {
            let tenant = json!({"namespace_selector": {"match_labels": {"team": "a"}}, "default_issuer": other("always")});
            let mut settings = of_tenant(default_le("always", "create"), tenant);
            settings["role"] = json!(role);
            let cluster = labels
                .iter()
                .fold(cluster(), |cluster, labels| cluster.object(namespace("team-a", labels.clone())));
            let answer = istio("shop").settings(settings).create(&cluster);
            let issuer =
                added(&answer).map(|annotations| annotations["cert-manager.io/cluster-issuer"].clone());
            assert_eq!((issuer, answer.code), (expected.map(|name| json!(name)), code));
            if code.is_some() {
                assert!(answer.message.unwrap().starts_with("lookup-failed: metadata.namespace: "));
            }
        }
    }

    #[rstest]
    #[case::nothing_to_issue(istio("shop").with("/spec/servers/0/port/protocol", json!("HTTP")))]
    #[case::annotated(annotated("le"))]
    fn the_namespace_is_not_asked_for_where_nothing_is_defaulted(#[case] gateway: GatewayFixture) {
        let tenant =
            json!({"namespace_selector": {"match_labels": {"team": "a"}}, "default_issuer": other("always")});
        let mut settings = of_tenant(json!({}), tenant);
        settings["role"] = json!("default");
        let cluster = TestCluster::default();
        assert_eq!(gateway.settings(settings).create(&cluster), Response::accept());
        assert_eq!(cluster.asked(), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_placement_gets_no_default() {
        let mut settings = default_le("always", "create");
        settings["gateway_namespaces"] = json!([{"labels": {"istio": "other"}, "namespace": "istio-system"}]);
        assert_eq!(istio("shop").settings(settings).create(&cluster()), Response::accept());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,6}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// A Gateway without issuer, its environment, and the settings except for the default issuer.
    fn any_situation() -> impl Strategy<Value = (GatewayFixture, Value, TestCluster)> {
        let host = prop::sample::select(
            &["shop.team-a.example.com", "*.team-a.example.com", "*", "x.team-b.example.com"][..],
        );
        let secret = prop::sample::select(&["shop-tls", "team-b-tls", "Bad", "a-cacert"][..]);
        let solvers = prop::sample::select(vec![
            json!([{"dns01": {}}]),
            json!([{"http01": {"ingress": {"class": "nginx"}}}]),
            json!([{"dns01": {}, "selector": {"dnsZones": ["example.org"]}}]),
        ]);
        let ready = prop::sample::select(&["True", "False", "Unknown"][..]);
        let tenant = prop::option::of(prop::sample::select(vec![
            json!({"dns_names": ["*.team-a.example.com"], "secrets": ["shop-*"]}),
            json!({"issuers": [], "wildcards": false}),
            json!({"namespaces": ["team-b"]}),
            json!({"key": {"algorithms": ["ECDSA"]}, "duration": {"max": "24h"}}),
        ]));
        let existing = prop::option::of(prop::sample::select(&["Gateway", "Ingress", ""][..]));
        let is_istio = any::<bool>();
        (host, secret, solvers, ready, tenant, existing, is_istio).prop_map(
            |(host, secret, solvers, ready, tenant, existing, is_istio)| {
                let gateway = if is_istio {
                    istio("shop")
                        .with("/spec/servers/0/hosts/0", json!(host))
                        .with("/spec/servers/0/tls/credentialName", json!(secret))
                } else {
                    gateway_api("shop")
                        .with("/spec/listeners/0/hostname", json!(host))
                        .with("/spec/listeners/0/tls/certificateRefs/0/name", json!(secret))
                };
                let gateway = match tenant {
                    Some(fields) => gateway.tenant(fields),
                    None => gateway,
                };
                let issuer = cluster_issuer("le").solvers(solvers).condition(ready, "R", "m");
                let cluster = TestCluster::default().object(issuer);
                let cluster = match existing {
                    Some("") => cluster.object(certificate("team-a", "shop-tls")),
                    Some(kind) => {
                        cluster.object(certificate("team-a", "shop-tls").owned_by("x.io/v1", kind, "x"))
                    }
                    None => cluster,
                };
                let settings = gateway.settings_value();
                (gateway, settings, cluster)
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        /// Findings about an issuer that the Gateway did not ask for do not reject.
        #[test]
        fn a_default_issuer_rejects_nothing((gateway, settings, cluster) in any_situation(), update in any::<bool>()) {
            let with = |default: Option<&str>| {
                let mut settings = settings.clone();
                if let Some(name) = default {
                    settings["default_issuer"] =
                        json!({"name": name, "kind": "ClusterIssuer", "when": "always", "on": "create-and-update"});
                }
                let gateway = gateway.clone().label("a", "b").settings(settings);
                if update { gateway.update_from(&gateway.clone().label("a", "c"), &cluster) } else { gateway.create(&cluster) }
            };
            let as_written = with(None);
            for name in ["le", "absent"] {
                let defaulted = with(Some(name));
                prop_assert_eq!(as_written.accepted, defaulted.accepted, "{:?} {:?}", as_written, defaulted);
            }
        }
    }

    proptest! {
        /// Whatever else is in the object stays; a second pass changes nothing.
        #[test]
        fn nothing_else_changes(
            unknown in prop::collection::btree_map("x[a-z]{1,6}", any_json(), 0..4),
            in_metadata in prop::collection::btree_map("x[a-z]{1,6}", any_json(), 0..4),
            annotations in prop::option::of(prop::collection::btree_map("[a-z]{1,4}\\.io/[a-z]{1,4}", "\\PC{0,8}", 0..4)),
        ) {
            let mut object = istio("shop").object();
            for (key, value) in unknown {
                object[key.as_str()] = value.clone();
                object["spec"][key.as_str()] = value;
            }
            for (key, value) in in_metadata {
                object["metadata"][key.as_str()] = value;
            }
            object["metadata"]["annotations"] = json!(annotations);
            let gateway = istio("shop").with("", object.clone()).settings(default_le("always", "create"));
            let answer = gateway.create(&cluster());
            let mutated = answer.mutated_object.expect("the default is added");

            let again = istio("shop").with("", mutated.clone()).settings(default_le("always", "create"));
            prop_assert_eq!(again.create(&cluster()).mutated_object, None);

            let mut stripped = mutated;
            let removed = stripped["metadata"]["annotations"].as_object_mut().unwrap()
                .remove("cert-manager.io/cluster-issuer");
            prop_assert_eq!(removed, Some(json!("le")));
            if object["metadata"]["annotations"].is_null() {
                stripped["metadata"]["annotations"] = Value::Null;
            }
            prop_assert_eq!(stripped, object);
        }
    }
}

mod updates {
    use super::*;

    fn other_host(gateway: GatewayFixture) -> GatewayFixture {
        gateway.with("/spec/servers/0/hosts/0", json!("other.example.com"))
    }

    #[test]
    fn what_the_object_had_already_is_a_warning() {
        let answer = annotated("broken").annotation("a", "b").update_from(&annotated("broken"), &cluster());
        assert!(answer.accepted);
        assert_eq!(answer.warnings.len(), 2);
        assert!(answer.warnings[1].contains("team-a/shop-tls"), "{:?}", answer.warnings);
        assert_eq!(
            audited(&answer),
            ["issuer-not-ready warn metadata.annotations[cert-manager.io/cluster-issuer]"]
        );
    }

    #[rstest]
    #[case::other_issuer(annotated("le"), annotated("broken"), false)]
    #[case::another_broken_issuer(annotated("absent"), annotated("broken"), false)]
    #[case::not_annotated(istio("shop"), annotated("broken"), false)]
    #[case::other_secret(
        annotated("broken"), annotated("broken").with("/spec/servers/0/tls/credentialName", json!("other-tls")), false
    )]
    #[case::a_further_secret(annotated("broken"), annotated("broken").push("/spec/servers", json!({
        "port": {"number": 8443, "name": "b", "protocol": "HTTPS"}, "hosts": ["b.example.com"], "tls": {"mode": "SIMPLE", "credentialName": "b-tls"}
    })), false)]
    #[case::other_host_under_the_same_issuer(annotated("broken"), other_host(annotated("broken")), true)]
    #[case::other_host_and_other_issuer(annotated("absent"), other_host(annotated("broken")), false)]
    #[case::other_host_on_a_sound_object(annotated("le"), other_host(annotated("broken")), false)]
    #[case::another_key_for_the_same_issuer(
        annotated("broken"), istio("shop").cert_manager("issuer", "broken").cert_manager("issuer-kind", "ClusterIssuer"), true
    )]
    #[case::conflict_before(annotated("x").cert_manager("issuer", "x"), annotated("x").cert_manager("issuer", "x").annotation("a", "b"), true)]
    #[case::conflict_with_another_issuer(annotated("x").cert_manager("issuer", "x"), annotated("y").cert_manager("issuer", "x"), false)]
    #[case::another_conflict(annotated("x").cert_manager("issuer", "x"), annotated("x").cert_manager("issuer-kind", "ClusterIssuer"), false)]
    fn ways_around_it(#[case] old: GatewayFixture, #[case] new: GatewayFixture, #[case] let_through: bool) {
        assert_eq!(new.update_from(&old, &cluster()).accepted, let_through);
        let strict = new.settings(json!({"existing_violations": "reject"}));
        assert_eq!(strict.update_from(&old, &cluster()).code, Some(422));
    }

    #[test]
    fn the_old_issuer_is_never_looked_up() {
        let cluster = cluster();
        assert!(!annotated("broken").update_from(&annotated("absent"), &cluster).accepted);
        assert_eq!(cluster.asked(), ["ClusterIssuer broken", "ClusterIssuer broken fresh"]);
    }

    #[test]
    fn a_default_that_is_added_now_is_checked_again() {
        let settings = json!({"default_issuer": {"name": "broken", "kind": "ClusterIssuer", "when": "always", "on": "create-and-update"}});
        let new = istio("shop").annotation("a", "b").settings(settings);
        let response =
            new.clone().annotation("kubernetes.io/tls-acme", "true").update_from(&istio("shop"), &cluster());
        assert_eq!(response.code, Some(422));
        let response = new.update_from(&istio("shop"), &cluster());
        assert!(response.accepted && response.mutated_object.is_none(), "{response:?}");
    }

    #[test]
    fn an_old_object_that_cannot_be_read_excuses_nothing() {
        let old = annotated("broken").with("/spec/servers", json!("x"));
        assert!(!annotated("broken").update_from(&old, &cluster()).accepted);
    }

    #[rstest]
    #[case::issuer_kept(annotated("le"), true)]
    #[case::issuer_changed(annotated("other"), false)]
    fn a_lookup_that_fails(#[case] old: GatewayFixture, #[case] let_through: bool) {
        let cluster = cluster().answer(&reference("le"), Err(LookupError::Forbidden));
        let answer = annotated("le").annotation("a", "b").update_from(&old, &cluster);
        assert_eq!(answer.accepted, let_through);
        assert_eq!(answer.code, (!let_through).then_some(500));
    }

    #[test]
    fn gateway_api_says_that_cert_manager_goes_on() {
        let old = gateway_api("web").cert_manager("cluster-issuer", "broken");
        let answer = old.clone().annotation("a", "b").update_from(&old, &cluster());
        assert!(answer.warnings[1].contains("cert-manager keeps issuing"), "{:?}", answer.warnings);
    }

    #[test]
    fn new_problems_reject_without_the_warning_about_old_ones() {
        let old = annotated("broken");
        let answer = annotated("broken").cert_manager("issuer", "x").update_from(&old, &cluster());
        assert!(!answer.accepted);
        assert_eq!(answer.warnings, Vec::<String>::new());
    }
}

mod caches {
    use super::*;

    #[test]
    fn a_rejection_that_rests_on_a_cached_object_is_looked_up_again() {
        let cluster =
            cluster().fresh_answer(&reference("broken"), Ok(cluster_issuer("broken").ready().into()));
        assert!(annotated("broken").create(&cluster).accepted);
        assert_eq!(cluster.asked(), ["ClusterIssuer broken", "ClusterIssuer broken fresh"]);
    }

    #[test]
    fn a_rejection_stays_if_the_new_lookup_fails() {
        let cluster =
            cluster().fresh_answer(&reference("broken"), Err(LookupError::Unavailable("503".into())));
        assert_eq!(annotated("broken").create(&cluster).code, Some(500));
    }

    #[test]
    fn accepted_objects_and_warnings_are_looked_up_once() {
        let cluster = cluster().object(cluster_issuer("young"));
        assert!(annotated("le").create(&cluster).accepted);
        assert_eq!(annotated("young").create(&cluster).warnings.len(), 1);
        assert_eq!(cluster.asked(), ["ClusterIssuer le", "ClusterIssuer young"]);
    }

    #[test]
    fn lookups_fresh_is_fresh_at_once() {
        let cluster = cluster();
        assert!(!annotated("broken").settings(json!({"lookups": {"fresh": true}})).create(&cluster).accepted);
        assert_eq!(cluster.asked(), ["ClusterIssuer broken fresh"]);
    }
}

mod levels {
    use super::*;

    #[rstest]
    #[case::default(json!({}), Some(422), 0)]
    #[case::warn(json!({"issuer-not-found": "warn"}), None, 1)]
    #[case::off(json!({"issuer-not-found": "off"}), None, 0)]
    fn of_a_rule(#[case] rules: Value, #[case] code: Option<u16>, #[case] warnings: usize) {
        let answer = annotated("absent").settings(json!({"rules": rules})).create(&cluster());
        assert_eq!((answer.code, answer.warnings.len()), (code, warnings));
    }

    #[test]
    fn a_warning_rule_can_reject() {
        let cluster = TestCluster::default().object(issuer("team-a", "young"));
        let gateway = istio("shop").cert_manager("issuer", "young");
        assert!(gateway.create(&cluster).accepted);
        let strict = gateway.settings(json!({"rules": {"issuer-pending": "reject"}}));
        assert_eq!(strict.create(&cluster).code, Some(422));
    }
}

#[test]
fn the_audit_annotations() {
    let answer = annotated("le").create(&cluster());
    assert_eq!(
        answer.audit_annotations,
        [
            ("findings", "[]".to_owned()),
            ("issuer", "ClusterIssuer.cert-manager.io/le".to_owned()),
            ("secrets", "team-a/shop-tls".to_owned()),
            ("settings", "08f44b07b5901a25".to_owned()),
        ]
    );
}
