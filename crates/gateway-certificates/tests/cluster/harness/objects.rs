//! Builders for the objects of the scenarios.

use serde_json::{Value, json};

use super::cluster::ISSUER;

/// An apiVersion and a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(pub &'static str, pub &'static str);

pub const GATEWAY: Kind = Kind("networking.istio.io/v1", "Gateway");
pub const CERTIFICATE: Kind = Kind("cert-manager.io/v1", "Certificate");
pub const ISSUER_KIND: Kind = Kind("cert-manager.io/v1", "Issuer");
pub const CLUSTER_ISSUER: Kind = Kind("cert-manager.io/v1", "ClusterIssuer");
pub const CRD: Kind = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition");
pub const DEPLOYMENT: Kind = Kind("apps/v1", "Deployment");
pub const EVENT: Kind = Kind("events.k8s.io/v1", "Event");
pub const LEASE: Kind = Kind("coordination.k8s.io/v1", "Lease");
pub const NAMESPACE: Kind = Kind("v1", "Namespace");
pub const POD: Kind = Kind("v1", "Pod");
pub const SECRET: Kind = Kind("v1", "Secret");

/// A builder for an Istio Gateway.
#[derive(Debug, Clone)]
pub struct GatewayBuilder(Value);

/// An Istio Gateway without servers, annotated with the ClusterIssuer that exists and is Ready.
pub fn gateway(namespace: &str, name: &str) -> GatewayBuilder {
    GatewayBuilder(json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "annotations": {"cert-manager.io/cluster-issuer": ISSUER},
        },
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": []},
    }))
}

impl GatewayBuilder {
    /// Uses an Issuer in the Gateway's namespace instead.
    pub fn issuer(mut self, name: &str) -> Self {
        self.0["metadata"]["annotations"] = json!({"cert-manager.io/issuer": name});
        self
    }

    /// Adds an annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// Removes all annotations.
    pub fn without_annotations(mut self) -> Self {
        self.0["metadata"]["annotations"] = json!({});
        self
    }

    /// Adds a server that terminates TLS.
    pub fn server<const N: usize>(mut self, secret: &str, hosts: [&str; N]) -> Self {
        let servers = self.0["spec"]["servers"].as_array_mut().unwrap();
        servers.push(json!({
            "port": {"number": 443, "name": format!("https-{}", servers.len()), "protocol": "HTTPS"},
            "hosts": hosts.as_slice(),
            "tls": {"mode": "SIMPLE", "credentialName": secret},
        }));
        self
    }

    /// Sets the labels of the selected gateway Pods.
    pub fn selector(mut self, labels: Value) -> Self {
        self.0["spec"]["selector"] = labels;
        self
    }

    /// Adds a finalizer.
    pub fn finalizer(mut self, name: &str) -> Self {
        self.0["metadata"]["finalizers"] = json!([name]);
        self
    }

    /// Sets another version: `v1beta1`, `v1alpha3`.
    pub fn version(mut self, version: &str) -> Self {
        self.0["apiVersion"] = json!(format!("networking.istio.io/{version}"));
        self
    }
}

impl From<GatewayBuilder> for Value {
    fn from(builder: GatewayBuilder) -> Value {
        builder.0
    }
}

/// A manually created Certificate.
pub fn certificate(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "secretName": name,
            "dnsNames": ["by-hand.example.com"],
            "issuerRef": {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": ISSUER},
        },
    })
}

/// A Secret that cert-manager did not write.
pub fn secret(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": namespace, "name": name},
        "stringData": {"key": "value"},
    })
}

/// A Pod with labels of a gateway.
pub fn pod(namespace: &str, name: &str, labels: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {"containers": [{"name": "istio-proxy", "image": "registry.invalid/proxy"}]},
    })
}

/// A self-signed Issuer.
pub fn issuer(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Issuer",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"selfSigned": {}},
    })
}

/// The status of a Ready issuer.
pub fn ready() -> Value {
    json!({"status": {"conditions": [{
        "type": "Ready", "status": "True", "reason": "IsReady", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}})
}

/// Settings with that namespace as the only placement.
pub fn placed_in(namespace: &str) -> Value {
    json!({"gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": namespace}]})
}

/// A text field, by its JSON pointer; empty if it is absent.
pub fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
