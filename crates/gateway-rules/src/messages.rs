//! Complete responses as a user sees them, in `tests/messages.txt`. Read that file whenever a text changes
//! (`make update`).

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::fixtures::{
    GatewayFixture, IssuerFixture, TestCluster, certificate, cluster_issuer, gateway, gateway_api, issuer,
    istio, listener_set,
};
use crate::lookup::{Grant, LookupError, ObjectRef};
use crate::response::Response;

/// The Certificates of these Gateways come from a ClusterIssuer `letsencrypt`.
fn encrypted(gateway: GatewayFixture) -> GatewayFixture {
    gateway.cert_manager("cluster-issuer", "letsencrypt")
}

fn shop() -> GatewayFixture {
    encrypted(istio("shop"))
}

fn web() -> GatewayFixture {
    encrypted(gateway_api("web"))
}

/// A cluster with a ClusterIssuer `letsencrypt` that has these solvers.
fn solving(solvers: Value) -> TestCluster {
    TestCluster::default().object(cluster_issuer("letsencrypt").ready().solvers(solvers))
}

fn dns01() -> TestCluster {
    solving(json!([{"dns01": {"cloudDNS": {}}}]))
}

fn http01() -> TestCluster {
    solving(json!([{"http01": {"ingress": {"ingressClassName": "istio"}}}]))
}

fn letsencrypt(issuer: IssuerFixture) -> TestCluster {
    TestCluster::default().object(issuer)
}

fn failing(kind: &str, name: &str, error: LookupError) -> TestCluster {
    let object = ObjectRef {
        api_version: "cert-manager.io/v1".into(),
        kind: kind.into(),
        namespace: (kind == "Issuer").then(|| "team-a".into()),
        name: name.into(),
    };
    TestCluster::default().answer(&object, Err(error))
}

fn host(gateway: GatewayFixture, host: &str) -> GatewayFixture {
    gateway.with("/spec/servers/0/hosts/0", json!(host))
}

fn named(credential: &str) -> GatewayFixture {
    shop().with("/spec/servers/0/tls/credentialName", json!(credential))
}

fn server(port: u16, protocol: &str, tls: Value) -> Value {
    let port = json!({"number": port, "name": "second", "protocol": protocol});
    json!({"port": port, "hosts": ["b.example.com"], "tls": tls})
}

fn redirecting(gateway: GatewayFixture) -> GatewayFixture {
    let server = json!({
        "port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"], "tls": {"httpsRedirect": true},
    });
    gateway.push("/spec/servers", server)
}

fn gateways_elsewhere() -> Value {
    json!({"gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": "istio-system"}]})
}

/// The settings of the tenant of team-a.
fn tenant() -> Value {
    json!({
        "issuers": [{"kind": "ClusterIssuer", "name": "letsencrypt"}],
        "dns_names": ["*.team-a.example.com"],
        "wildcards": false,
        "secrets": ["shop-*"],
    })
}

/// Each situation with the response.
fn situations() -> Vec<(&'static str, Response)> {
    let none = TestCluster::default();
    vec![
        ("no problems", shop().create(&dns01())),
        ("two issuers at once", shop().cert_manager("issuer", "ca").create(&none)),
        ("an issuer without a name", istio("shop").cert_manager("issuer", "").create(&none)),
        ("issuer-kind together with cluster-issuer", shop().cert_manager("issuer-kind", "Issuer").create(&none)),
        ("a duration in days", shop().cert_manager("duration", "90d").create(&dns01())),
        ("IP addresses with a space", web().cert_manager("ip-sans", "192.0.2.1, 192.0.2.2").create(&http01())),
        (
            "a renewal before the certificate is issued",
            shop().cert_manager("duration", "24h").cert_manager("renew-before", "48h").create(&letsencrypt(
                cluster_issuer("letsencrypt").ready().spec(json!({"ca": {"secretName": "ca"}})),
            )),
        ),
        (
            "an invalid name of a Secret",
            web().with("/spec/listeners/0/tls/certificateRefs/0/name", json!("Web_TLS")).create(&dns01()),
        ),
        ("an unknown gateway", {
            shop().selector(json!({"istio": "preview"})).settings(gateways_elsewhere()).create(&dns01())
        }),
        ("a typo in the issuer's name", web().create(&none)),
        (
            "an Issuer that is a ClusterIssuer",
            istio("shop").cert_manager("issuer", "letsencrypt").create(&dns01()),
        ),
        ("an Issuer in the Gateway's namespace, while its Secrets are read elsewhere", {
            let cluster = TestCluster::default().object(issuer("team-a", "ca").ready());
            istio("shop").cert_manager("issuer", "ca").settings(gateways_elsewhere()).create(&cluster)
        }),
        ("an issuer that is not ready", {
            let failed = cluster_issuer("letsencrypt").condition(
                "False",
                "ErrRegisterACMEAccount",
                "Failed to register ACME account: 400 invalidContact",
            );
            shop().create(&letsencrypt(failed))
        }),
        ("an issuer that was just created", shop().create(&letsencrypt(cluster_issuer("letsencrypt")))),
        (
            "an issuer that was just edited",
            shop().create(&letsencrypt(cluster_issuer("letsencrypt").ready().generations(3, 2))),
        ),
        ("an issuer of another group", {
            let gateway =
                istio("shop").cert_manager("issuer", "pca").cert_manager("issuer-kind", "AWSPCAIssuer");
            gateway.cert_manager("issuer-group", "awspca.cert-manager.io").create(&none)
        }),
        (
            "a policy without the grant for lookups",
            shop().create(&failing("ClusterIssuer", "letsencrypt", LookupError::NotGranted(Grant::Resource))),
        ),
        (
            "a policy server without the right to read issuers",
            shop().create(&failing("ClusterIssuer", "letsencrypt", LookupError::Forbidden)),
        ),
        ("an API server that is down", {
            let error = LookupError::Unavailable("connection refused".into());
            shop().create(&failing("ClusterIssuer", "letsencrypt", error))
        }),
        ("a wildcard and HTTP-01", host(shop(), "*.shop.example.com").create(&http01())),
        ("a host outside the zones of the solvers", {
            let zone = |zone| json!({"selector": {"dnsZones": [zone]}, "dns01": {"cloudDNS": {}}});
            shop().create(&solving(json!([zone("example.org"), zone("example.net")])))
        }),
        (
            "a solver for other labels",
            shop().create(&solving(json!([{"selector": {"matchLabels": {"team": "a"}}, "dns01": {}}]))),
        ),
        ("a common name that is not a host", web().cert_manager("common-name", "My Shop").create(&dns01())),
        ("a wildcard for a top-level domain", host(shop(), "*.com").create(&dns01())),
        ("a wildcard for a top-level domain, signed by a private CA", {
            let ca = cluster_issuer("letsencrypt").ready().spec(json!({"ca": {"secretName": "ca"}}));
            host(shop(), "*.corp").create(&letsencrypt(ca))
        }),
        ("a hundred and one hosts", {
            let hosts: Vec<String> = (0..101).map(|i| format!("h{i}.example.com")).collect();
            shop().with("/spec/servers/0/hosts", json!(hosts)).create(&dns01())
        }),
        ("annotations that Let's Encrypt ignores", {
            let gateway =
                shop().cert_manager("duration", "2400h").cert_manager("subject-organizations", "Shop");
            gateway.cert_manager("usages", "server auth,client auth").create(&dns01())
        }),
        ("HTTP-01 behind a redirect", redirecting(shop()).create(&http01())),
        (
            "HTTP-01 through another controller",
            shop().create(&solving(json!([{"http01": {"ingress": {"class": "nginx"}}}]))),
        ),
        ("a self-signed issuer, with the rule on", {
            let own = cluster_issuer("letsencrypt").ready().spec(json!({"selfSigned": {}}));
            shop().settings(json!({"rules": {"self-signed": "reject"}})).create(&letsencrypt(own))
        }),
        ("a misspelt key", gateway_api("web").cert_manager("clusterissuer", "letsencrypt").create(&none)),
        (
            "a key from before 0.11",
            istio("shop").annotation("certmanager.k8s.io/cluster-issuer", "letsencrypt").create(&none),
        ),
        (
            "an annotation that belongs elsewhere",
            shop().cert_manager("uri-sans", "spiffe://a/b").create(&dns01()),
        ),
        ("a ListenerSet without its parent", encrypted(listener_set("extra")).create(&dns01())),
        ("a ListenerSet whose parent cannot be read", {
            let cluster = dns01().answer(&gateway("team-a", "web"), Err(LookupError::Forbidden));
            listener_set("extra").create(&cluster)
        }),
        ("several problems at once", {
            let gateway = host(shop(), "*.shop.example.com").cert_manager("common-name", "Shop");
            redirecting(gateway).cert_manager("privatekey-size", "4096").create(&http01())
        }),
        ("an update that keeps an existing problem", {
            let old = host(shop(), "*.shop.example.com");
            old.clone().annotation("a", "b").update_from(&old, &http01())
        }),
        ("an update that keeps an existing problem, Gateway API", {
            let old = web().with("/spec/listeners/0/hostname", json!("*.shop.example.com"));
            old.clone().annotation("a", "b").update_from(&old, &http01())
        }),
        ("an update with a new problem", {
            host(shop(), "*.shop.example.com").update_from(&shop(), &http01())
        }),
        ("a server without mode", shop().with("/spec/servers/0/tls", json!({"credentialName": "shop-tls"})).create(&dns01())),
        (
            "a credential on a server that passes TLS through",
            shop()
                .push("/spec/servers", server(443, "TLS", json!({"mode": "PASSTHROUGH", "credentialName": "b-tls"})))
                .create(&dns01()),
        ),
        (
            "a credential on a server without TLS",
            shop().push("/spec/servers", server(80, "HTTP", json!({"credentialName": "b-tls"}))).create(&dns01()),
        ),
        ("a credential that is a client CA", named("shop-cacert").create(&dns01())),
        ("a credential in another namespace", named("kubernetes://team-b/shop-tls").create(&dns01())),
        ("a credential that istiod uses itself", named("cacerts").create(&dns01())),
        ("a credential of an external SDS provider", named("sds://vault").create(&dns01())),
        ("only the host *", host(shop(), "*").create(&dns01())),
        (
            "client certificates and an ACME issuer",
            shop().with("/spec/servers/0/tls/mode", json!("MUTUAL")).create(&dns01()),
        ),
        ("no selector", shop().selector(json!({})).create(&dns01())),
        ("a listener without hostname", {
            let tls = json!({"mode": "Terminate", "certificateRefs": [{"group": "", "kind": "Secret", "name": "b"}]});
            let listener = json!({"name": "b", "port": 8443, "protocol": "HTTPS", "tls": tls});
            web().push("/spec/listeners", listener).create(&dns01())
        }),
        (
            "a Gateway that needs no certificate",
            web().with("/spec/listeners/0/tls/mode", json!("Passthrough")).create(&dns01()),
        ),
        ("a Secret of another Gateway", {
            let taken = certificate("team-a", "shop-tls").owned_by("networking.istio.io/v1", "Gateway", "web");
            shop().create(&dns01().object(taken))
        }),
        (
            "a Secret of a Certificate without owner, Gateway API",
            web().create(&dns01().object(certificate("team-a", "web-tls"))),
        ),
        (
            "Certificates that the policy may not read",
            shop().create(&dns01().answer(
                &certificate("team-a", "shop-tls").reference(),
                Err(LookupError::NotGranted(Grant::Resource)),
            )),
        ),
        (
            "an annotation that configures the solver",
            shop().annotation("acme.cert-manager.io/http01-override-ingress-name", "other").create(&http01()),
        ),
        (
            "an annotation that is internal to Istio",
            shop().annotation("internal.istio.io/gateway-semantics", "gateway").create(&dns01()),
        ),
        (
            "a tenant that asks for more than it may have",
            host(shop(), "shop.team-b.example.com")
                .with("/spec/servers/0/tls/credentialName", json!("team-b-tls"))
                .cert_manager("private-key-algorithm", "Ed25519")
                .cert_manager("usages", "server auth,code signing")
                .cert_manager("duration", "8760h")
                .cert_manager("email-sans", "root@example.com")
                .cert_manager("secret-template", r#"{"labels": {"copy": "me"}}"#)
                .tenant(json!({
                    "issuers": [{"kind": "Issuer", "name": "*"}],
                    "dns_names": ["**.team-a.example.com"],
                    "secrets": ["shop-*"],
                    "duration": {"max": "2160h"},
                    "key": {"algorithms": ["RSA", "ECDSA"]},
                    "usages": ["server auth"],
                    "subject": "deny",
                    "secret_template": {},
                }))
                .create(&dns01()),
        ),
        (
            "a Gateway without issuer that serves another tenant's Secret",
            istio("shop").with("/spec/servers/0/tls/credentialName", json!("team-b-tls")).tenant(tenant()).create(&none),
        ),
        (
            "a tenant's wildcard",
            host(shop(), "*.team-a.example.com").tenant(tenant()).create(&dns01()),
        ),
        (
            "a namespace of no tenant",
            shop()
                .settings(json!({"tenants": [{"name": "b", "namespaces": ["team-b"], "issuers": [], "dns_names": []}]}))
                .create(&dns01()),
        ),
        ("a tenant that cannot be determined", {
            let selected = json!({"match_labels": {"tenant": "b"}});
            let tenant = json!({"name": "b", "namespace_selector": selected, "issuers": [], "dns_names": []});
            let namespace = ObjectRef {
                api_version: "v1".into(),
                kind: "Namespace".into(),
                namespace: None,
                name: "team-a".into(),
            };
            let cluster = dns01().answer(&namespace, Err(LookupError::Forbidden));
            shop().settings(json!({"tenants": [tenant]})).create(&cluster)
        }),
        ("an Issuer in another namespace, without tenants", {
            let cluster = TestCluster::default().object(issuer("istio-system", "ca").ready());
            istio("shop").cert_manager("issuer", "ca").settings(gateways_elsewhere()).create(&cluster)
        }),
        (
            "a name that the Gateway does not serve, with the rule on",
            shop()
                .cert_manager("alt-names", "www.example.com")
                .settings(json!({"rules": {"name-not-served": "reject"}}))
                .create(&dns01()),
        ),
        (
            "a user who may not create Certificates, with the rule on",
            shop().user("jane").settings(json!({"rules": {"issuer-no-permission": "reject"}})).create(&dns01()),
        ),
        (
            "a server with an unknown mode",
            shop().with("/spec/servers/0/tls/mode", json!("simple")).create(&dns01()),
        ),
        ("credentials that are not Secrets", {
            let names = [
                "team-a/", "kubernetes-gateway://b", "Shop_TLS", "a.b/c", "configmap://a/b", "builtin://",
                "invalid://", "vault://b",
            ];
            let servers = names.map(|name| server(443, "HTTPS", json!({"mode": "SIMPLE", "credentialName": name})));
            shop().with("/spec/servers", json!(servers)).create(&dns01())
        }),
        ("three credentials", {
            let tls = json!({"mode": "SIMPLE", "credentialNames": ["a", "b", "c"]});
            shop().with("/spec/servers/0/tls", tls).create(&dns01())
        }),
        ("a credential for Gateways next to the gateway Pods", {
            named("kubernetes-gateway://istio-system/shop-tls").settings(gateways_elsewhere()).create(&dns01())
        }),
        ("listeners that cert-manager skips", {
            let listener = |name: &str, tls: Value| {
                let host = format!("{name}.example.com");
                json!({"name": name, "port": 443, "protocol": "HTTPS", "hostname": host, "tls": tls})
            };
            let refers = |reference: Value| json!({"mode": "Terminate", "certificateRefs": [reference]});
            let mode = |mode: Value| json!({"mode": mode, "certificateRefs": [{"name": "a"}]});
            let listeners = [
                listener("a", json!(null)),
                listener("b", json!({"mode": "Terminate"})),
                listener("c", refers(json!({"group": "example.com", "name": "a"}))),
                listener("d", refers(json!({"kind": "ConfigMap", "name": "a"}))),
                listener("e", refers(json!({"namespace": "team-b", "name": "a"}))),
                listener("f", mode(json!(null))),
                listener("g", mode(json!("terminate"))),
            ];
            listeners.into_iter().fold(web(), |web, listener| web.push("/spec/listeners", listener)).create(&dns01())
        }),
        (
            "a listener without a Secret",
            web().with("/spec/listeners/0/tls/certificateRefs", json!([])).create(&dns01()),
        ),
        (
            "a server without a Secret",
            shop().with("/spec/servers/0/tls", json!({"mode": "SIMPLE"})).create(&dns01()),
        ),
        ("servers that need no certificate from an issuer", {
            let servers = [
                server(80, "HTTP", json!(null)),
                server(443, "HTTPS", json!(null)),
                server(443, "HTTPS", json!({})),
                server(443, "HTTPS", json!({"mode": "simple"})),
                server(443, "HTTPS", json!({"mode": "ISTIO_MUTUAL"})),
                server(443, "HTTPS", json!({"mode": "SIMPLE", "serverCertificate": "/cert.pem"})),
            ];
            shop().with("/spec/servers", json!(servers)).create(&dns01())
        }),
        (
            "the only listener is excluded",
            web().cert_manager("ignore-tls-listeners", "https").create(&dns01()),
        ),
        ("listeners that the API server rejects", {
            let plain = json!({"name": "https", "port": 80, "protocol": "HTTP", "hostname": "*"});
            web()
                .push("/spec/listeners", plain)
                .with("/spec/listeners/0/tls/certificateRefs/0/group", json!("core"))
                .create(&dns01())
        }),
        ("a field of the wrong type", shop().with("/spec/servers", json!("all")).create(&none)),
        (
            "settings with two problems",
            shop().settings(json!({"acme_wildcards": "http01", "rule": {}})).create(&none),
        ),
        ("an invalid name of an issuer", istio("shop").cert_manager("issuer", "CA").create(&none)),
        ("a ClusterIssuer that is an Issuer", {
            let cluster = TestCluster::default().object(issuer("team-a", "letsencrypt").ready());
            shop().create(&cluster)
        }),
        ("an issuer-kind that no issuer of that name has", {
            let cluster = TestCluster::default().object(issuer("team-a", "ca").ready());
            istio("shop").cert_manager("issuer", "ca").cert_manager("issuer-kind", "ClusterIssuer").create(&cluster)
        }),
        ("an issuer that is not ready and gives no reason", {
            shop().create(&letsencrypt(cluster_issuer("letsencrypt").condition("False", "", "")))
        }),
        ("an issuer with an unknown Ready condition", {
            shop().create(&letsencrypt(cluster_issuer("letsencrypt").condition("Unknown", "", "")))
        }),
        ("an access review that RBAC forbids", {
            let cluster = dns01().may_create("jane", "team-a", Err(LookupError::Forbidden));
            shop().user("jane").settings(json!({"rules": {"issuer-no-permission": "reject"}})).create(&cluster)
        }),
        ("an access review without an answer", {
            let error = LookupError::Unavailable("connection refused".into());
            let cluster = dns01().may_create("jane", "team-a", Err(error));
            shop().user("jane").settings(json!({"rules": {"issuer-no-permission": "reject"}})).create(&cluster)
        }),
        ("a ListenerSet whose parent can change its issuer", {
            let cluster = TestCluster::default()
                .object(gateway_api("web"))
                .object(issuer("team-a", "ca").ready());
            let set = listener_set("extra").cert_manager("issuer", "ca");
            set.tenant(json!({
                "issuers": [{"kind": "Issuer", "name": "*"}, {"kind": "ClusterIssuer", "name": "letsencrypt"}],
            }))
            .create(&cluster)
        }),
        ("a tenant's Gateway with an issuer-kind and no issuer", {
            gateway_api("web").cert_manager("issuer-kind", "ClusterIssuer").tenant(json!({})).create(&none)
        }),
        ("a tenant's ListenerSet with an issuer-kind and no issuer", {
            let set = listener_set("extra").cert_manager("issuer-kind", "ClusterIssuer").tenant(json!({}));
            set.create(&TestCluster::default().object(gateway_api("web")))
        }),
        ("a parent Gateway with two issuers", {
            let parent = web().cert_manager("issuer", "ca");
            listener_set("extra").create(&TestCluster::default().object(parent))
        }),
        ("a parent Gateway with an empty issuer", {
            let parent = gateway_api("web").cert_manager("issuer", "");
            listener_set("extra").create(&TestCluster::default().object(parent))
        }),
        ("a parent Gateway with a kind", {
            let parent = gateway_api("web").cert_manager("issuer-kind", "ClusterIssuer");
            encrypted(listener_set("extra")).create(&TestCluster::default().object(parent))
        }),
        ("a parent Gateway that is being deleted", {
            let parent = gateway_api("web").metadata("deletionTimestamp", json!("2026-01-01T00:00:00Z"));
            encrypted(listener_set("extra")).create(&dns01().object(parent))
        }),
        ("a pair of credentials with Ed25519 keys", {
            let tls = json!({"mode": "SIMPLE", "credentialNames": ["a-tls", "b-tls"]});
            shop()
                .with("/spec/servers/0/tls", tls)
                .cert_manager("private-key-algorithm", "Ed25519")
                .create(&dns01())
        }),
        ("one Secret with two kinds of keys", {
            let tls = json!({"mode": "SIMPLE", "credentialNames": ["a-tls", "b-tls"]});
            shop()
                .with("/spec/servers/0/tls", tls)
                .push("/spec/servers", server(8443, "HTTPS", json!({"mode": "SIMPLE", "credentialName": "b-tls"})))
                .create(&dns01())
        }),
        ("settings that list no gateway", {
            shop().settings(json!({"gateway_namespaces": []})).create(&dns01())
        }),
        ("annotations that cert-manager does not know", {
            let gateway = shop().cert_manager("rate-limit", "5");
            gateway.annotation("certmanager.k8s.io/acme-challenge-type", "dns01").create(&dns01())
        }),
        ("annotations of the other kinds of Gateways", {
            let gateway = shop().annotation("acme.cert-manager.io/http01-ingress-class", "nginx");
            gateway.annotation("acme.cert-manager.io/http01-parentreffallback", "true").create(&dns01())
        }),
        ("a duration without an issuer", istio("shop").cert_manager("duration", "2160h").create(&none)),
        ("annotations in the wrong place", {
            web()
                .metadata("cert-manager.io/duration", json!("2160h"))
                .with(
                    "/spec/listeners/0/tls",
                    json!({
                        "mode": "Terminate",
                        "certificateRefs": [{"name": "web-tls"}],
                        "options": {"cert-manager.io/issuer-kind": "Issuer"},
                    }),
                )
                .create(&dns01())
        }),
        ("names that a tenant may not use", {
            let hosts = ["*", "192.0.2.1", "a.example.com,b.example.com", "*.x.example.com"];
            let gateway = shop().with("/spec/servers/0/hosts", json!(hosts));
            let gateway = gateway.cert_manager("common-name", "Team B");
            let dns_names: Vec<String> = ["shop", "web", "api", "docs", "mail"]
                .iter()
                .map(|host| format!("{host}.team-a.example.com"))
                .collect();
            gateway.tenant(json!({"dns_names": dns_names, "common_names": ["Team A *"]})).create(&dns01())
        }),
        ("a credential that is not a Secret", {
            istio("shop")
                .with("/spec/servers/0/tls/credentialName", json!("vault://shop-tls"))
                .tenant(json!({}))
                .create(&none)
        }),
        ("certificate files, with a tenant that has a list of Secrets", {
            let tls = json!({"mode": "SIMPLE", "serverCertificate": "/tls.crt", "privateKey": "/tls.key"});
            istio("shop").with("/spec/servers/0/tls", tls).tenant(tenant()).create(&none)
        }),
        ("more Certificates and names than a tenant may have", {
            let server = server(443, "HTTPS", json!({"mode": "SIMPLE", "credentialName": "second-tls"}));
            shop()
                .cert_manager("alt-names", "www.example.com")
                .push("/spec/servers", server)
                .tenant(json!({"max_certificates": 1, "max_names": 1}))
                .create(&dns01())
        }),
        (
            "a tenant's key that is too small",
            shop().tenant(json!({"key": {"rsa_min": 3072}})).create(&dns01()),
        ),
        (
            "a tenant's key that is too large",
            shop()
                .cert_manager("private-key-size", "8192")
                .tenant(json!({"key": {"rsa_max": 4096}}))
                .create(&dns01()),
        ),
        (
            "a tenant's key on another curve",
            shop()
                .cert_manager("private-key-algorithm", "ECDSA")
                .cert_manager("private-key-size", "521")
                .tenant(json!({"key": {"ecdsa": [256, 384]}}))
                .create(&dns01()),
        ),
        ("a tenant's second key", {
            let tls = json!({"mode": "SIMPLE", "credentialNames": ["shop-rsa", "shop-ecdsa"]});
            shop()
                .with("/spec/servers/0/tls", tls)
                .tenant(json!({"key": {"algorithms": ["RSA"]}}))
                .create(&dns01())
        }),
        ("a tenant's certificate that lasts too long by default", {
            let ca = cluster_issuer("letsencrypt").ready().spec(json!({"ca": {"secretName": "ca"}}));
            shop().tenant(json!({"duration": {"max": "720h"}})).create(&letsencrypt(ca))
        }),
        ("a tenant's certificate that does not last long enough", {
            let ca = cluster_issuer("letsencrypt").ready().spec(json!({"ca": {"secretName": "ca"}}));
            shop()
                .cert_manager("duration", "90m")
                .tenant(json!({"duration": {"min": "24h"}}))
                .create(&letsencrypt(ca))
        }),
        ("labels and annotations that a tenant may not set", {
            let template = json!({
                "labels": {"app.kubernetes.io/managed-by": "other"},
                "annotations": {"reflector.v1.k8s.emberstack.com/reflection-allowed": "true"},
            });
            shop()
                .cert_manager("secret-template", &template.to_string())
                .tenant(json!({"secret_template": {"labels": ["team", "app"], "annotations": []}}))
                .create(&dns01())
        }),
        ("a common name that a wildcard covers", {
            let gateway = host(shop(), "*.example.com").cert_manager("alt-names", "a.example.com");
            gateway.cert_manager("common-name", "a.example.com").create(&dns01())
        }),
        (
            "HTTP-01 with an HTTPRoute without parents",
            shop().create(&solving(json!([{"http01": {"gatewayHTTPRoute": {}}}]))),
        ),
        ("a dnsZone with a wildcard", {
            let zones = json!({"dnsZones": ["*.team-a.example.com"]});
            shop().create(&solving(json!([{"selector": zones, "dns01": {}}])))
        }),
        (
            "a solver for other names",
            shop().create(&solving(json!([{"selector": {"dnsNames": ["example.org"]}, "dns01": {}}]))),
        ),
        ("a solver without a challenge", shop().create(&solving(json!([{}])))),
        ("an IP address and DNS-01", host(shop(), "192.0.2.1").create(&dns01())),
        (
            "a solver for other labels, Gateway API",
            web().create(&solving(json!([{"selector": {"matchLabels": {"team": "a"}}, "dns01": {}}]))),
        ),
        (
            "a label that copy_labels does not list",
            shop()
                .label("team", "a")
                .create(&solving(json!([{"selector": {"matchLabels": {"team": "a"}}, "dns01": {}}]))),
        ),
        ("twenty-six hosts and the profile tlsserver", {
            let hosts: Vec<String> = (0..26).map(|i| format!("h{i}.example.com")).collect();
            let issuer = cluster_issuer("letsencrypt").ready().spec(json!({"acme": {"profile": "tlsserver"}}));
            shop().with("/spec/servers/0/hosts", json!(hosts)).create(&letsencrypt(issuer))
        }),
        ("client certificates and an issuer with a CA", {
            let ca = cluster_issuer("letsencrypt").ready().spec(json!({"ca": {"secretName": "ca"}}));
            shop().with("/spec/servers/0/tls/mode", json!("MUTUAL")).create(&letsencrypt(ca))
        }),
        (
            "a Secret of a Certificate without owner",
            shop().create(&dns01().object(certificate("team-a", "shop-tls"))),
        ),
        ("a Secret of another Gateway, Gateway API", {
            let taken = certificate("team-a", "web-tls").owned_by("networking.istio.io/v1", "Gateway", "web");
            web().create(&dns01().object(taken))
        }),
        ("more Secrets than lookups.max", {
            let second = server(443, "HTTPS", json!({"mode": "SIMPLE", "credentialName": "b-tls"}));
            let settings = json!({"lookups": {"max": 1}});
            shop().push("/spec/servers", second).settings(settings).create(&dns01())
        }),
    ]
}

fn written(situations: &[(&str, Response)]) -> String {
    let mut text = String::from("Generated from crates/gateway-rules/src/messages.rs (`make update`).\n");
    for (situation, answer) in situations {
        let result = match answer.code {
            None => "accepted".to_owned(),
            Some(code) => format!("rejected, code {code}"),
        };
        writeln!(text, "\n## {situation}\n{result}").unwrap();
        for line in answer.message.iter().flat_map(|message| message.lines()) {
            writeln!(text, "  {line}").unwrap();
        }
        for warning in &answer.warnings {
            writeln!(text, "  Warning: {warning}").unwrap();
        }
    }
    text
}

#[test]
fn messages_are_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages.txt");
    let text = written(&situations());
    if std::env::var_os("UPDATE_MESSAGES").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let read = std::fs::read_to_string(&path).unwrap_or_default();
    for (read, written) in read.split("\n## ").zip(text.split("\n## ")) {
        assert_eq!(written, read, "tests/messages.txt is not up to date: make update, then read the diff");
    }
    assert_eq!(text.lines().count(), read.lines().count(), "a situation is missing in tests/messages.txt");
}
