//! The values that sequences are made of. The sets are small, so that objects share names, Secrets,
//! issuers and parents.

use certificate_shim::gateway::GatewayKind;

use super::world::{SANDBOX, TENANT};

use GatewayKind::{GatewayApi, Istio, ListenerSet};

/// An object that a sequence can be about.
pub type Slot = (GatewayKind, &'static str, &'static str);

/// The objects of one sequence: few, so that requests are about the same ones.
pub const THEMES: [&[Slot]; 8] = [
    &[(Istio, TENANT, "web")],
    &[(Istio, TENANT, "web"), (Istio, SANDBOX, "web")],
    &[(GatewayApi, TENANT, "web")],
    &[(GatewayApi, TENANT, "web"), (ListenerSet, TENANT, "extra")],
    &[(GatewayApi, TENANT, "web"), (ListenerSet, TENANT, "extra")],
    &[(GatewayApi, TENANT, "web"), (ListenerSet, TENANT, "extra"), (ListenerSet, TENANT, "more")],
    &[(GatewayApi, TENANT, "web"), (ListenerSet, TENANT, "extra"), (ListenerSet, SANDBOX, "extra")],
    &[(GatewayApi, SANDBOX, "web"), (ListenerSet, TENANT, "extra"), (GatewayApi, TENANT, "web")],
];

/// Annotations that are set together, without prefix.
pub type Annotations = &'static [(&'static str, &'static str)];

/// Annotations of issuers that the tenant may use.
pub const ISSUERS: [Annotations; 7] = [
    &[("cluster-issuer", "le")],
    &[("cluster-issuer", "le-ca")],
    &[("issuer", "le")],
    &[("issuer", "company-ca")],
    &[("issuer", "le"), ("issuer-kind", "ClusterIssuer")],
    &[("issuer", "le-ca"), ("issuer-kind", "ClusterIssuer")],
    &[("issuer", "le"), ("issuer-kind", "ExtIssuer"), ("issuer-group", "issuer.example.com")],
];
/// Annotations of issuers that the tenant may not use, and contradictory ones.
pub const FOREIGN_ISSUERS: [Annotations; 7] = [
    &[("cluster-issuer", "company-ca")],
    &[("issuer", "company-ca"), ("issuer-kind", "ClusterIssuer")],
    &[("issuer", "other"), ("issuer-kind", "ExtIssuer"), ("issuer-group", "issuer.example.com")],
    &[("issuer", "le"), ("issuer-kind", "ExtIssuer"), ("issuer-group", "issuer.example.org")],
    &[("issuer", "le"), ("cluster-issuer", "le")],
    &[("issuer", "le"), ("cluster-issuer", "company-ca")],
    &[("cluster-issuer", "le"), ("issuer-kind", "ClusterIssuer")],
];
/// Annotations of ListenerSets and parents that change each other's issuer. Some of them name none.
pub const OVERRIDES: [Annotations; 9] = [
    &[("issuer", "company-ca")],
    &[("issuer", "company-ca")],
    &[("issuer", "le")],
    &[("issuer", "le"), ("issuer-kind", "ClusterIssuer")],
    &[("issuer", "le"), ("issuer-kind", "ClusterIssuer")],
    &[("issuer", "le-ca"), ("issuer-kind", "ClusterIssuer")],
    &[("issuer-kind", "ClusterIssuer")],
    &[("issuer-kind", "ExtIssuer"), ("issuer-group", "issuer.example.org")],
    &[("issuer-group", "issuer.example.com")],
];
/// All annotations that name an issuer.
pub const ISSUER_KEYS: [&str; 4] = ["issuer", "cluster-issuer", "issuer-kind", "issuer-group"];

/// Annotations of private keys that the tenant may have.
pub const KEYS: [Annotations; 4] = [
    &[("private-key-algorithm", "RSA")],
    &[("private-key-algorithm", "ECDSA")],
    &[("private-key-algorithm", "ECDSA"), ("private-key-size", "384")],
    &[("private-key-size", "4096")],
];
/// Annotations of private keys that the tenant may not have; the last one is invalid.
pub const FOREIGN_KEYS: [Annotations; 5] = [
    &[("private-key-algorithm", "Ed25519")],
    &[("private-key-algorithm", "ECDSA"), ("private-key-size", "521")],
    &[("private-key-algorithm", "RSA"), ("private-key-size", "8192")],
    &[("private-key-size", "8192")],
    &[("private-key-size", "384")],
];

/// Names that the tenant may have.
pub const NAMES: [&str; 9] = [
    "shop.team-a.example.com",
    "shop.team-a.example.com",
    "www.team-a.example.com",
    "www.team-a.example.com",
    "team-a.example.com",
    "team-a.example.com",
    "a.b.team-a.example.com",
    "c.b.team-a.example.com",
    "10.0.0.1",
];
/// Names that the tenant may not have; wildcards of its own depend on the settings.
pub const FOREIGN_NAMES: [&str; 9] = [
    "x.team-b.example.com",
    "y.team-b.example.com",
    "*.team-b.example.com",
    "*.team-a.example.com",
    "*.example.com",
    "team-a.example.com.team-b.example.com",
    "x.team-b.example.com,shop.team-a.example.com",
    "192.0.2.7",
    "*",
];

/// Secrets that the tenant may name.
pub const SECRETS: [&str; 3] = ["team-a-web", "team-a-api", "team-a-old"];
/// Secrets that the tenant may not name.
pub const FOREIGN_SECRETS: [&str; 2] = ["team-b-web", "team-b-api"];
/// Text before and after the name of a Secret in a credential.
pub const CREDENTIALS: [(&str, &str); 7] = [
    ("", ""),
    ("kubernetes://", ""),
    ("istio-system/", ""),
    ("kubernetes://istio-system/", ""),
    ("istio-system/", "/x://y"),
    ("sds://", ""),
    ("kubernetes-gateway://team-a/", ""),
];

/// Values of an annotation.
pub struct Values {
    /// The key, without prefix; empty is `kubernetes.io/tls-acme`.
    pub key: &'static str,
    /// Values within the allowance.
    pub own: &'static [&'static str],
    /// Values outside of it, and invalid ones.
    pub foreign: &'static [&'static str],
    /// How many of 100 new objects have it.
    pub percent: usize,
}

/// All other annotations.
pub const ANNOTATIONS: [Values; 10] = [
    Values { key: "duration", own: &["240h", "720h"], foreign: &["2160h", "8760h", "12h"], percent: 60 },
    Values {
        key: "usages",
        own: &["digital signature,key encipherment,server auth", "server auth"],
        foreign: &["client auth", "server auth,client auth", "cert sign", "no usage"],
        percent: 25,
    },
    Values { key: "alt-names", own: &[], foreign: &[], percent: 25 },
    Values { key: "common-name", own: &["Team A shop"], foreign: &["Somebody"], percent: 15 },
    Values { key: "ip-sans", own: &["10.0.0.1", "10.0.0.2"], foreign: &["192.0.2.7"], percent: 10 },
    Values { key: "subject-organizations", own: &[""], foreign: &["Other", "Other,Else"], percent: 8 },
    Values { key: "email-sans", own: &[], foreign: &["root@example.com", "ops@example.com"], percent: 5 },
    Values {
        key: "secret-template",
        own: &[r#"{"labels": {"team": "a"}}"#, r#"{"labels": {"team": "b"}}"#],
        foreign: &[
            r#"{"labels": {"team": "a", "app": "x"}}"#,
            r#"{"annotations": {"reflector.v1.k8s.emberstack.com/reflection-allowed": "true"}}"#,
            "{",
        ],
        percent: 15,
    },
    Values {
        key: "ignore-tls-listeners",
        own: &["https", "second", "https,second"],
        foreign: &[],
        percent: 8,
    },
    Values { key: "", own: &["true", "false"], foreign: &[], percent: 10 },
];

/// The prefix of cert-manager's annotations.
pub const PREFIX: &str = "cert-manager.io/";
/// The annotation that asks for the default issuer.
pub const TLS_ACME: &str = "kubernetes.io/tls-acme";
