//! The fields of a Gateway that are relevant for certificates. Istio's Gateway, Gateway API's Gateway
//! and its ListenerSet are read leniently from JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::annotation;
use crate::place::ServerField;
use crate::read::{Malformed, Node};

/// The kinds of objects that name Secrets for certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GatewayKind {
    /// `networking.istio.io` Gateway, versions v1, v1beta1 and v1alpha3 (one schema).
    Istio,
    /// `gateway.networking.k8s.io` Gateway, versions v1 and v1beta1.
    GatewayApi,
    /// `gateway.networking.k8s.io` ListenerSet, version v1.
    ListenerSet,
}

/// The API group of Istio's Gateway.
pub const ISTIO_GROUP: &str = "networking.istio.io";
/// The API group of Gateway API.
pub const GATEWAY_API_GROUP: &str = "gateway.networking.k8s.io";

impl GatewayKind {
    /// The kind with that group and kind, if it is one of these. The version does not matter: each of
    /// the three kinds has one schema.
    pub fn of(group: &str, kind: &str) -> Option<Self> {
        match (group, kind) {
            (ISTIO_GROUP, "Gateway") => Some(GatewayKind::Istio),
            (GATEWAY_API_GROUP, "Gateway") => Some(GatewayKind::GatewayApi),
            (GATEWAY_API_GROUP, "ListenerSet") => Some(GatewayKind::ListenerSet),
            _ => None,
        }
    }

    /// The API group.
    pub fn group(self) -> &'static str {
        match self {
            GatewayKind::Istio => ISTIO_GROUP,
            GatewayKind::GatewayApi | GatewayKind::ListenerSet => GATEWAY_API_GROUP,
        }
    }

    /// The `kind` of the object.
    pub fn kind(self) -> &'static str {
        match self {
            GatewayKind::Istio | GatewayKind::GatewayApi => "Gateway",
            GatewayKind::ListenerSet => "ListenerSet",
        }
    }

    /// The apiVersion in owner references: `v1` for all three.
    pub fn owner_api_version(self) -> String {
        format!("{}/v1", self.group())
    }
}

/// The fields of a Gateway that are relevant for certificates.
#[derive(Debug, Clone, PartialEq)]
pub struct Gateway<'a> {
    /// The kind.
    pub kind: GatewayKind,
    /// `metadata`.
    pub metadata: Metadata<'a>,
    /// `spec`.
    pub spec: Spec<'a>,
    /// `spec.parentRef` of a ListenerSet.
    pub parent_ref: Option<ParentRef<'a>>,
    /// Whether ListenerSets may add listeners to a Gateway API Gateway, and so inherit its issuer:
    /// `spec.allowedListeners.namespaces.from` is set and not `None` (`AllowedListeners` in Gateway
    /// API).
    pub allows_listener_sets: bool,
    /// Whether the object has a `spec`. A patch file has none.
    pub has_spec: bool,
}

/// The Gateway that a ListenerSet adds its listeners to (`ParentGatewayReference` in Gateway API).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ParentRef<'a> {
    /// `name`
    pub name: &'a str,
    /// `namespace`; the namespace of the ListenerSet if absent or empty.
    pub namespace: &'a str,
}

/// The relevant fields of the metadata.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata<'a> {
    /// `metadata.name`; empty if `generateName` is set and the name is not generated yet.
    pub name: &'a str,
    /// The namespace of the request, which is that of the object.
    pub namespace: &'a str,
    /// `metadata.uid`; empty during creation.
    pub uid: &'a str,
    /// `metadata.labels`.
    pub labels: BTreeMap<&'a str, &'a str>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<&'a str, &'a str>,
    /// Whether `metadata.deletionTimestamp` is set. Only the API server sets it.
    pub deleting: bool,
    /// cert-manager's keys directly under `metadata` instead of under `annotations`.
    pub misplaced: Vec<&'a str>,
}

/// The servers or listeners of the Gateway.
#[derive(Debug, Clone, PartialEq)]
pub enum Spec<'a> {
    /// Istio's: `spec.selector` and `spec.servers`.
    Servers {
        /// The labels of the gateway Pods; an empty selector selects every gateway.
        selector: BTreeMap<&'a str, &'a str>,
        /// `spec.servers`.
        servers: Vec<Server<'a>>,
    },
    /// Gateway API's: `spec.listeners`.
    Listeners(Vec<Listener<'a>>),
}

/// One entry of `spec.servers` of an Istio Gateway.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Server<'a> {
    /// `name`; empty if absent.
    pub name: &'a str,
    /// `port.number`.
    pub port: Option<i64>,
    /// `port.protocol` as written; Istio compares it case-insensitively.
    pub protocol: &'a str,
    /// `bind`; empty if absent.
    pub bind: &'a str,
    /// `hosts` as written: `[namespace/]name`.
    pub hosts: Vec<&'a str>,
    /// `tls`.
    pub tls: Option<ServerTls<'a>>,
}

/// `tls` of a server (`ServerTLSSettings` in Istio's gateway.proto).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServerTls<'a> {
    /// `mode`; absent means PASSTHROUGH.
    pub mode: Option<&'a str>,
    /// `httpsRedirect`.
    pub https_redirect: bool,
    /// `credentialName`.
    pub credential_name: Option<&'a str>,
    /// `credentialNames`.
    pub credential_names: Vec<&'a str>,
    /// `caCertCredentialName`.
    pub ca_cert_credential_name: Option<&'a str>,
    /// Paths of files in the gateway Pods with the server's certificate or key, each with the field that
    /// names it: `serverCertificate`, `privateKey` or `tlsCertificates`. An entry of `tlsCertificates`
    /// that names no file has an empty path.
    pub certificate_files: Vec<(&'static str, &'a str)>,
}

/// One entry of `spec.listeners` of a Gateway API Gateway or ListenerSet.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Listener<'a> {
    /// `name`.
    pub name: &'a str,
    /// `hostname`.
    pub hostname: Option<&'a str>,
    /// `port`.
    pub port: Option<i64>,
    /// `protocol`, compared case-sensitively.
    pub protocol: &'a str,
    /// `tls`.
    pub tls: Option<ListenerTls<'a>>,
}

/// `tls` of a listener (`ListenerTLSConfig` in Gateway API).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListenerTls<'a> {
    /// `mode`; if absent, the API server sets `Terminate`.
    pub mode: Option<&'a str>,
    /// `certificateRefs`.
    pub certificate_refs: Vec<CertificateRef<'a>>,
    /// The keys of `options`, which the gateway implementation defines.
    pub options: Vec<&'a str>,
}

/// One entry of `certificateRefs` (`SecretObjectReference` in Gateway API).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CertificateRef<'a> {
    /// `group`; if absent, the API server sets the empty string.
    pub group: &'a str,
    /// `kind`; if absent, the API server sets `Secret`.
    pub kind: &'a str,
    /// `name`.
    pub name: &'a str,
    /// `namespace`; an empty value is different from an absent one.
    pub namespace: Option<&'a str>,
}

impl<'a> Gateway<'a> {
    /// Reads an object of that kind. `namespace` is the namespace of the request; if it is empty, the
    /// namespace in the object is used.
    ///
    /// # Errors
    /// A field has the wrong type: the first one.
    pub fn read(kind: GatewayKind, namespace: &'a str, object: &'a Value) -> Result<Self, Malformed> {
        let root = Node::root(object);
        let spec = root.field("spec")?;
        let metadata = Metadata::read(namespace, object)?;
        let parent = spec.field("parentRef")?;
        let from = spec.field("allowedListeners")?.field("namespaces")?.field("from")?.string()?;
        Ok(Gateway {
            kind,
            parent_ref: match kind {
                GatewayKind::ListenerSet if parent.is_present() => Some(ParentRef {
                    name: parent.text("name")?.unwrap_or_default(),
                    namespace: match parent.text("namespace")? {
                        None | Some("") => metadata.namespace,
                        Some(namespace) => namespace,
                    },
                }),
                _ => None,
            },
            allows_listener_sets: kind == GatewayKind::GatewayApi && from.is_some_and(|from| from != "None"),
            has_spec: spec.is_present(),
            metadata,
            spec: match kind {
                GatewayKind::Istio => Spec::Servers {
                    selector: spec.field("selector")?.string_map()?,
                    servers: spec.field("servers")?.list(Server::read)?,
                },
                GatewayKind::GatewayApi | GatewayKind::ListenerSet => {
                    Spec::Listeners(spec.field("listeners")?.list(Listener::read)?)
                }
            },
        })
    }

    /// Whether the Gateway has an issuer annotation, which can be empty. cert-manager ignores all other
    /// Gateways (`hasShimAnnotation` in certificate-shim/sync.go).
    pub fn is_annotated(&self) -> bool {
        self.annotation(annotation::ISSUER).is_some() || self.annotation(annotation::CLUSTER_ISSUER).is_some()
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&'a str> {
        self.metadata.annotations.get(key).copied()
    }
}

impl<'a> Metadata<'a> {
    /// Reads `metadata` of any object. If `namespace` is empty, the namespace in the object is used.
    ///
    /// # Errors
    /// A field has the wrong type: the first one.
    pub fn read(namespace: &'a str, object: &'a Value) -> Result<Self, Malformed> {
        let root = Node::root(object);
        let metadata = root.field("metadata")?;
        let own_namespace = metadata.text("namespace")?.unwrap_or_default();
        Ok(Metadata {
            name: metadata.text("name")?.unwrap_or_default(),
            namespace: if namespace.is_empty() { own_namespace } else { namespace },
            uid: metadata.text("uid")?.unwrap_or_default(),
            labels: metadata.field("labels")?.string_map()?,
            annotations: metadata.field("annotations")?.string_map()?,
            deleting: metadata.field("deletionTimestamp")?.is_present(),
            misplaced: metadata.keys().filter(|key| annotation::is_of_cert_manager(key)).collect(),
        })
    }
}

/// The name in an entry of an Istio server's `hosts`: lower-cased, and without the namespace of its
/// VirtualServices and a trailing dot. `*`, which means every host, stays unchanged.
pub fn host_name(host: &str) -> Cow<'_, str> {
    let name = host.split_once('/').map_or(host, |(_, name)| name);
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}

impl<'a> Server<'a> {
    /// Whether the protocol of the port is HTTPS or TLS. Istio compares protocols case-insensitively
    /// (pkg/config/protocol/instance.go).
    pub fn speaks_tls(&self) -> bool {
        ["HTTPS", "TLS"].iter().any(|protocol| self.protocol.eq_ignore_ascii_case(protocol))
    }

    fn read(server: Node<'a, '_>) -> Result<Self, Malformed> {
        let port = server.field("port")?;
        let tls = server.field("tls")?;
        Ok(Server {
            name: server.text("name")?.unwrap_or_default(),
            port: port.field("number")?.integer()?,
            protocol: port.text("protocol")?.unwrap_or_default(),
            bind: server.text("bind")?.unwrap_or_default(),
            hosts: server.field("hosts")?.strings()?,
            tls: if tls.is_present() { Some(ServerTls::read(tls)?) } else { None },
        })
    }
}

impl<'a> ServerTls<'a> {
    /// The credential names, each with its field. The CRD allows only one of the two fields. If both
    /// are set, istiod uses `credentialNames`.
    pub fn credentials(&self) -> impl Iterator<Item = (ServerField, &'a str)> {
        let several = self.credential_names.iter().enumerate();
        let one = self.credential_name.filter(|name| !name.is_empty() && self.credential_names.is_empty());
        several
            .map(|(position, name)| (ServerField::CredentialNames(position), *name))
            .chain(one.map(|name| (ServerField::CredentialName, name)))
    }

    fn certificate_files(tls: Node<'a, '_>) -> Result<Vec<(&'static str, &'a str)>, Malformed> {
        const FILES: [&str; 2] = ["serverCertificate", "privateKey"];
        let mut files = Vec::new();
        for field in FILES {
            files.extend(tls.text(field)?.filter(|path| !path.is_empty()).map(|path| (field, path)));
        }
        let pairs = tls
            .field("tlsCertificates")?
            .list(|pair| Ok(FILES.map(|field| pair.text(field).ok().flatten().unwrap_or_default())))?;
        files.extend(pairs.into_iter().flatten().map(|path| ("tlsCertificates", path)));
        Ok(files)
    }

    fn read(tls: Node<'a, '_>) -> Result<Self, Malformed> {
        Ok(ServerTls {
            mode: tls.text("mode")?,
            https_redirect: tls.field("httpsRedirect")?.boolean()?.unwrap_or_default(),
            credential_name: tls.text("credentialName")?,
            credential_names: tls.field("credentialNames")?.strings()?,
            ca_cert_credential_name: tls.text("caCertCredentialName")?,
            certificate_files: Self::certificate_files(tls)?,
        })
    }
}

impl<'a> Listener<'a> {
    fn read(listener: Node<'a, '_>) -> Result<Self, Malformed> {
        let tls = listener.field("tls")?;
        Ok(Listener {
            name: listener.text("name")?.unwrap_or_default(),
            hostname: listener.text("hostname")?,
            port: listener.field("port")?.integer()?,
            protocol: listener.text("protocol")?.unwrap_or_default(),
            tls: if tls.is_present() { Some(ListenerTls::read(tls)?) } else { None },
        })
    }
}

impl<'a> ListenerTls<'a> {
    fn read(tls: Node<'a, '_>) -> Result<Self, Malformed> {
        Ok(ListenerTls {
            mode: tls.text("mode")?,
            certificate_refs: tls.field("certificateRefs")?.list(CertificateRef::read)?,
            options: tls.field("options")?.keys().collect(),
        })
    }
}

impl<'a> CertificateRef<'a> {
    fn read(reference: Node<'a, '_>) -> Result<Self, Malformed> {
        Ok(CertificateRef {
            group: reference.text("group")?.unwrap_or_default(),
            kind: reference.text("kind")?.unwrap_or("Secret"),
            name: reference.text("name")?.unwrap_or_default(),
            namespace: reference.text("namespace")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::istio("networking.istio.io", "Gateway", Some(GatewayKind::Istio))]
    #[case::gateway_api("gateway.networking.k8s.io", "Gateway", Some(GatewayKind::GatewayApi))]
    #[case::listener_set("gateway.networking.k8s.io", "ListenerSet", Some(GatewayKind::ListenerSet))]
    #[case::other_kind("networking.istio.io", "VirtualService", None)]
    #[case::other_group("example.com", "Gateway", None)]
    #[case::case_matters("networking.istio.io", "gateway", None)]
    fn kinds(#[case] group: &str, #[case] kind: &str, #[case] expected: Option<GatewayKind>) {
        assert_eq!(GatewayKind::of(group, kind), expected);
    }

    #[rstest]
    #[case::servers_as_object(json!({"spec": {"servers": {}}}), "spec.servers: expected a list, found an object")]
    #[case::host_as_number(
        json!({"spec": {"servers": [{"hosts": ["a.example.com", 7]}]}}),
        "spec.servers[0].hosts[1]: expected a string, found a number"
    )]
    #[case::tls_as_text(
        json!({"spec": {"servers": [{}, {"tls": "SIMPLE"}]}}),
        "spec.servers[1].tls: expected an object, found a string"
    )]
    #[case::annotation_as_number(
        json!({"metadata": {"annotations": {"cert-manager.io/duration": 90}}}),
        "metadata.annotations[cert-manager.io/duration]: expected a string, found a number"
    )]
    #[case::metadata_as_list(json!({"metadata": []}), "metadata: expected an object, found a list")]
    #[case::port_with_fraction(
        json!({"spec": {"servers": [{"port": {"number": 443.5}}]}}),
        "spec.servers[0].port.number: expected a whole number, found a number with a fraction"
    )]
    fn errors_have_a_path(#[case] object: Value, #[case] expected: &str) {
        let error = Gateway::read(GatewayKind::Istio, "ns", &object).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[rstest]
    #[case::nothing(json!({}))]
    #[case::nulls(json!({"metadata": null, "spec": {"servers": null, "selector": null}}))]
    #[case::unknown_fields(json!({"metadata": {"x": [1]}, "spec": {"y": {}}, "status": 3}))]
    fn absent_null_and_unknown_fields_are_accepted(#[case] object: Value) {
        let gateway = Gateway::read(GatewayKind::Istio, "ns", &object).unwrap();
        assert_eq!(gateway.metadata, Metadata { namespace: "ns", ..Metadata::default() });
        assert_eq!(gateway.spec, Spec::Servers { selector: BTreeMap::new(), servers: vec![] });
    }

    #[rstest]
    #[case::none(json!({}), false)]
    #[case::issuer(json!({"cert-manager.io/issuer": "ca"}), true)]
    #[case::cluster_issuer(json!({"cert-manager.io/cluster-issuer": "ca"}), true)]
    #[case::empty_issuer(json!({"cert-manager.io/issuer": ""}), true)]
    #[case::only_the_kind(json!({"cert-manager.io/issuer-kind": "Issuer"}), false)]
    #[case::case_matters(json!({"Cert-Manager.io/issuer": "ca"}), false)]
    fn annotated(#[case] annotations: Value, #[case] expected: bool) {
        let object = json!({"metadata": {"annotations": annotations}});
        let gateway = Gateway::read(GatewayKind::GatewayApi, "ns", &object).unwrap();
        assert_eq!(gateway.is_annotated(), expected);
    }

    #[rstest]
    #[case::absent(json!({}), false)]
    #[case::null(json!({"allowedListeners": null}), false)]
    #[case::empty(json!({"allowedListeners": {"namespaces": {}}}), false)]
    #[case::none(json!({"allowedListeners": {"namespaces": {"from": "None"}}}), false)]
    #[case::same(json!({"allowedListeners": {"namespaces": {"from": "Same"}}}), true)]
    #[case::selector(json!({"allowedListeners": {"namespaces": {"from": "Selector", "selector": {}}}}), true)]
    fn listener_sets_are_allowed(#[case] spec: Value, #[case] expected: bool) {
        let object = json!({"spec": spec});
        let read = |kind| Gateway::read(kind, "ns", &object).unwrap().allows_listener_sets;
        assert_eq!(read(GatewayKind::GatewayApi), expected);
        assert!(!read(GatewayKind::Istio));
    }

    #[test]
    fn the_namespace_of_the_request_takes_precedence() {
        let object = json!({"metadata": {"namespace": "own"}});
        let read = |namespace| Metadata::read(namespace, &object).unwrap().namespace.to_owned();
        assert_eq!(read("request"), "request");
        assert_eq!(read(""), "own");
    }
}
