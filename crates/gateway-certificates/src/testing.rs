//! Objects and check results for the unit tests of this crate.

use certificate_shim::Gateway;
use certificate_shim::gateway::GatewayKind;
use gateway_rules::lookup::Lookups;
use gateway_rules::rule::Caller;
use gateway_rules::{CheckResult, Cluster, LookupError, ObjectRef, Settings, check};
use serde_json::{Map, Value, json};

/// A builder for an Istio Gateway that is annotated with the ClusterIssuer `le`.
pub struct GatewayFixture(Value);

/// An Istio Gateway with the ClusterIssuer `le` and no server.
pub fn gateway(namespace: &str, name: &str) -> GatewayFixture {
    GatewayFixture(json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "uid": format!("uid-of-{name}"),
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {"cert-manager.io/cluster-issuer": "le"},
        },
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": []},
    }))
}

impl GatewayFixture {
    /// Adds annotations.
    pub fn annotations(mut self, annotations: Value) -> Self {
        if let (Some(all), Value::Object(more)) =
            (self.0["metadata"]["annotations"].as_object_mut(), annotations)
        {
            all.extend(more);
        }
        self
    }

    /// Sets a field of its metadata.
    pub fn metadata(mut self, field: &str, value: Value) -> Self {
        self.0["metadata"][field] = value;
        self
    }

    /// Adds a server that terminates TLS.
    pub fn server(mut self, secret: &str, hosts: &[&str]) -> Self {
        if let Some(servers) = self.0["spec"]["servers"].as_array_mut() {
            servers.push(json!({
                "port": {"number": 443, "name": format!("https-{secret}"), "protocol": "HTTPS"},
                "hosts": hosts,
                "tls": {"mode": "SIMPLE", "credentialName": secret},
            }));
        }
        self
    }

    /// Sets the TLS mode of its last server.
    pub fn mode(mut self, mode: &str) -> Self {
        if let Some(server) = self.0["spec"]["servers"].as_array_mut().and_then(|servers| servers.last_mut())
        {
            server["tls"]["mode"] = json!(mode);
        }
        self
    }

    /// The object.
    pub fn build(self) -> Value {
        self.0
    }
}

/// A cluster that contains only one ClusterIssuer, which is Ready.
pub struct OneIssuer(Value);

/// A cluster with a Ready ClusterIssuer.
pub fn ready(name: &str) -> OneIssuer {
    OneIssuer(json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "ClusterIssuer",
        "metadata": {"name": name, "generation": 1},
        "spec": {"ca": {"secretName": "ca"}},
        "status": {"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]},
    }))
}

impl Cluster for OneIssuer {
    fn get(&self, object: &ObjectRef, _: &[&str], _: bool) -> Result<Value, LookupError> {
        let is_it =
            self.0["kind"] == object.kind.as_str() && self.0["metadata"]["name"] == object.name.as_str();
        if is_it { Ok(self.0.clone()) } else { Err(LookupError::NotFound) }
    }
}

/// Checks a Gateway like the controller, and passes the result to `look`.
pub fn checked(
    object: &Value,
    settings: &Value,
    cluster: &dyn Cluster,
    reconciliation: impl FnOnce(&CheckResult),
) {
    let settings = Settings::read(settings).unwrap();
    let empty = Value::Object(Map::new());
    let namespace = object.pointer("/metadata/namespace").unwrap_or(&empty).as_str().unwrap();
    let gateway = Gateway::read(GatewayKind::Istio, namespace, object).unwrap();
    reconciliation(&check(&gateway, &settings, &Lookups::new(cluster, settings.lookups), Caller::Controller));
}

/// A builder for a Certificate.
#[derive(Debug)]
pub struct CertificateFixture(Value);

/// A Certificate without owner, with a Secret of the same name.
pub fn certificate(namespace: &str, name: &str) -> CertificateFixture {
    CertificateFixture(json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-of-{name}"), "resourceVersion": "1"},
        "spec": {"secretName": name},
    }))
}

impl CertificateFixture {
    /// Sets a Gateway of that version as the controller.
    pub fn owned_by(mut self, api_version: &str, name: &str) -> Self {
        self.0["metadata"]["ownerReferences"] = json!([{"apiVersion": api_version, "kind": "Gateway",
            "name": name, "uid": format!("uid-of-{name}"), "controller": true}]);
        self
    }

    /// Sets the record of an Istio Gateway in another namespace.
    pub fn recorded(mut self, namespace: &str, name: &str) -> Self {
        self.0["metadata"]["annotations"] = json!({
            "gateway-certificates.io/owner-namespace": namespace,
            "gateway-certificates.io/owner-name": name,
            "gateway-certificates.io/owner-uid": format!("uid-of-{name}"),
        });
        self
    }

    /// Sets the manager of all of its fields.
    pub fn managed_by(mut self, manager: &str) -> Self {
        manage(&mut self.0, manager);
        self
    }

    /// Sets a Secret with another name.
    pub fn writes(mut self, secret: &str) -> Self {
        self.0["spec"]["secretName"] = json!(secret);
        self
    }

    /// The object.
    pub fn build(self) -> Value {
        self.0
    }
}

/// Records a manager of all fields of a Certificate, as the API server does after a POST.
pub fn manage(object: &mut Value, manager: &str) {
    fn fields(value: &Value) -> Value {
        let Value::Object(object) = value else { return json!({}) };
        let field = |(name, value): (&String, &Value)| (format!("f:{name}"), fields(value));
        object.iter().map(field).collect::<Map<_, _>>().into()
    }
    let metadata = &object["metadata"];
    let mut managed = json!({"f:spec": fields(&object["spec"])});
    for part in ["labels", "annotations"] {
        managed["f:metadata"][format!("f:{part}")] = fields(&metadata[part]);
    }
    for reference in metadata["ownerReferences"].as_array().into_iter().flatten() {
        let key = format!("k:{}", json!({"uid": reference["uid"]}));
        managed["f:metadata"]["f:ownerReferences"][key] = json!({});
    }
    object["metadata"]["managedFields"] =
        json!([{"manager": manager, "operation": "Update", "fieldsV1": managed}]);
}
