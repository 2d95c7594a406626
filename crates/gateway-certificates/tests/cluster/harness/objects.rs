//! The objects of the scenarios, built by chained names.

use serde_json::{Value, json};

use super::cluster::ISSUER;

/// A kind by the apiVersion under which it is asked for.
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

/// An Istio Gateway in the making.
#[derive(Debug, Clone)]
pub struct GatewayBuilder(Value);

/// An Istio Gateway with no server yet, annotated with the ClusterIssuer that is there and Ready.
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
    /// Asks an Issuer of its own namespace instead.
    pub fn issuer(mut self, name: &str) -> Self {
        self.0["metadata"]["annotations"] = json!({"cert-manager.io/issuer": name});
        self
    }

    /// Adds an annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// Leaves nothing that asks for a Certificate.
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

    /// The labels of the gateway Pods that it picks.
    pub fn selector(mut self, labels: Value) -> Self {
        self.0["spec"]["selector"] = labels;
        self
    }

    /// Somebody who has to agree before it is gone.
    pub fn finalizer(mut self, name: &str) -> Self {
        self.0["metadata"]["finalizers"] = json!([name]);
        self
    }

    /// Goes to the API server in another version: `v1beta1`, `v1alpha3`.
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

/// A Certificate that somebody made by hand.
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

/// A Secret that cert-manager did not make.
pub fn secret(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": namespace, "name": name},
        "stringData": {"key": "value"},
    })
}

/// A gateway Pod, as far as its labels are concerned.
pub fn pod(namespace: &str, name: &str, labels: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {"containers": [{"name": "istio-proxy", "image": "registry.invalid/proxy"}]},
    })
}

/// A self-signed Issuer; what it signs with does not matter here.
pub fn issuer(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Issuer",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"selfSigned": {}},
    })
}

/// What cert-manager writes into the status of an issuer that works.
pub fn ready() -> Value {
    json!({"status": {"conditions": [{
        "type": "Ready", "status": "True", "reason": "IsReady", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}})
}

/// Settings whose one placement is a namespace.
pub fn placed_in(namespace: &str) -> Value {
    json!({"gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": namespace}]})
}

/// A text field, by its JSON pointer; empty where it is not there.
pub fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
