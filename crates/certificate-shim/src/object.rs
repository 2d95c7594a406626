//! The JSON objects of Certificates.

use serde_json::{Map, Value, json};

use crate::certificate::Certificate;
use crate::issuer_ref::IssuerRef;
use crate::template::{Algorithm, Encoding, PrivateKey, RotationPolicy, SecretTemplate, Subject};
use crate::value::duration;

impl Certificate {
    /// The complete object to create (`buildCertificates` in certificate-shim/sync.go). Empty fields
    /// are omitted, as in cert-manager's types.
    pub fn to_json(&self) -> Value {
        let template = &self.template;
        let mut metadata = Object::default();
        metadata.text("name", &self.secret_name);
        metadata.text("namespace", &self.namespace);
        metadata.map("labels", self.labels());
        metadata.map("annotations", self.annotations());
        if self.is_beside_owner() {
            metadata.put("ownerReferences", json!([template.owner.reference()]));
        }

        let mut spec = Object::default();
        // `secretName` and `issuerRef.name` have no omitempty.
        spec.put("secretName", json!(self.secret_name));
        spec.put("issuerRef", issuer_ref(&template.issuer_ref));
        spec.text("commonName", &template.common_name);
        spec.list("dnsNames", &self.dns_names());
        spec.list("ipAddresses", &self.ip_addresses());
        spec.list("emailAddresses", &template.email_addresses);
        spec.object("subject", template.subject.object());
        spec.number("duration", template.duration.map(duration::format));
        spec.number("renewBefore", template.renew_before.map(duration::format));
        spec.number("renewBeforePercentage", template.renew_before_percentage);
        spec.list("usages", &template.usages);
        spec.number("revisionHistoryLimit", template.revision_history_limit);
        spec.object("privateKey", self.private_key.object());
        spec.object("secretTemplate", template.secret_template.object());

        json!({
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "metadata": Value::from(metadata),
            "spec": Value::from(spec),
        })
    }
}

fn issuer_ref(reference: &IssuerRef) -> Value {
    let mut object = Object::default();
    object.put("name", json!(reference.name));
    object.text("kind", &reference.kind);
    object.text("group", &reference.group);
    object.into()
}

impl Subject {
    fn object(&self) -> Object {
        let mut object = Object::default();
        object.list("organizations", &self.organizations);
        object.list("organizationalUnits", &self.organizational_units);
        object.list("countries", &self.countries);
        object.list("provinces", &self.provinces);
        object.list("localities", &self.localities);
        object.list("postalCodes", &self.postal_codes);
        object.list("streetAddresses", &self.street_addresses);
        object.text("serialNumber", &self.serial_number);
        object
    }
}

impl PrivateKey {
    fn object(&self) -> Object {
        let mut object = Object::default();
        object.text("algorithm", self.algorithm.map_or("", Algorithm::as_str));
        object.text("encoding", self.encoding.map_or("", Encoding::as_str));
        object.number("size", Some(self.size).filter(|size| *size != 0));
        object.text("rotationPolicy", self.rotation_policy.map_or("", RotationPolicy::as_str));
        object
    }
}

impl SecretTemplate {
    fn object(&self) -> Object {
        let mut object = Object::default();
        object.map("annotations", &self.annotations);
        object.map("labels", &self.labels);
        object
    }
}

/// Builds a JSON object and omits empty fields, as Go's `omitempty` does.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn put(&mut self, key: &str, value: Value) {
        self.0.insert(key.to_owned(), value);
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.put(key, text.into());
        }
    }

    fn number(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(key, value.into());
        }
    }

    fn list(&mut self, key: &str, items: &[impl AsRef<str>]) {
        if !items.is_empty() {
            self.put(key, items.iter().map(AsRef::as_ref).collect());
        }
    }

    fn map<K: AsRef<str>, V: AsRef<str>>(&mut self, key: &str, entries: impl IntoIterator<Item = (K, V)>) {
        let entries =
            entries.into_iter().map(|(key, value)| (key.as_ref().to_owned(), value.as_ref().into()));
        let entries: Map<String, Value> = entries.collect();
        if !entries.is_empty() {
            self.put(key, entries.into());
        }
    }

    fn object(&mut self, key: &str, object: Object) {
        if !object.0.is_empty() {
            self.put(key, object.into());
        }
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Value {
        Value::Object(object.0)
    }
}
