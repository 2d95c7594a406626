//! A Certificate as it will be created: what all Certificates of a Gateway have in common, and what
//! is each one's own.
//!
//! The common part is shared, because a Gateway can name thousands of Secrets and carry a quarter of
//! a MiB of annotations: their product must never stand in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::annotation::ISSUE_TEMPORARY_CERTIFICATE;
use crate::gateway::GatewayKind;
use crate::issuer_ref::IssuerRef;
use crate::owner::{OWNER_HASH, Owner};
use crate::place::Place;
use crate::plan::SecretName;
use crate::value::{duration, usage};

/// What all Certificates of a Gateway have in common: its labels, its issuer, and what its
/// annotations ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The Gateway.
    pub owner: Owner,
    /// `metadata.labels`, as far as the Gateway determines them.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`, as far as the Gateway determines them.
    pub annotations: BTreeMap<String, String>,
    /// `spec.issuerRef`.
    pub issuer_ref: IssuerRef,
    /// `spec.commonName`; empty is none.
    pub common_name: String,
    /// What follows the hosts in `spec.dnsNames`.
    pub alt_names: Vec<String>,
    /// What follows the hosts that are IP addresses in `spec.ipAddresses`. Not yet known to be IP
    /// addresses.
    pub ip_sans: Vec<String>,
    /// `spec.emailAddresses`. Not yet known to be mail addresses.
    pub email_addresses: Vec<String>,
    /// `spec.subject`.
    pub subject: Subject,
    /// `spec.duration` in nanoseconds.
    pub duration: Option<i64>,
    /// `spec.renewBefore` in nanoseconds.
    pub renew_before: Option<i64>,
    /// `spec.renewBeforePercentage`: of the duration, what has passed when it is renewed.
    pub renew_before_percentage: Option<i32>,
    /// `spec.usages`.
    pub usages: Vec<&'static str>,
    /// `spec.revisionHistoryLimit`.
    pub revision_history_limit: Option<i32>,
    /// `spec.privateKey` as annotated.
    pub private_key: PrivateKey,
    /// `spec.secretTemplate`; without entries there is none.
    pub secret_template: SecretTemplate,
}

impl Template {
    /// A template that asks for nothing in particular.
    pub fn new(owner: Owner, issuer_ref: IssuerRef) -> Self {
        Template {
            owner,
            issuer_ref,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            common_name: String::new(),
            alt_names: Vec::new(),
            ip_sans: Vec::new(),
            email_addresses: Vec::new(),
            subject: Subject::default(),
            duration: None,
            renew_before: None,
            renew_before_percentage: None,
            usages: usage::DEFAULT.to_vec(),
            revision_history_limit: None,
            private_key: PrivateKey::default(),
            secret_template: SecretTemplate::default(),
        }
    }

    /// Whether a Certificate without hosts has a name, as cert-manager's webhook asks.
    pub fn has_names(&self) -> bool {
        !(self.common_name.is_empty()
            && self.alt_names.is_empty()
            && self.ip_sans.is_empty()
            && self.email_addresses.is_empty())
    }

    /// Drops what stands twice in `alt_names` and `ip_sans`, and alternative names that a wildcard
    /// among them covers.
    pub(crate) fn make_names_distinct(&mut self) {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        self.alt_names.retain(|name| seen.insert(name.to_ascii_lowercase()));
        self.alt_names
            .retain(|name| !wildcard_over(&name.to_ascii_lowercase()).is_some_and(|w| seen.contains(&w)));
        let mut seen = BTreeSet::new();
        self.ip_sans.retain(|address| seen.insert(address.clone()));
    }
}

/// `spec.subject` of a Certificate (`X509Subject` in cert-manager's types_certificate.go).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    /// `organizations`
    pub organizations: Vec<String>,
    /// `organizationalUnits`
    pub organizational_units: Vec<String>,
    /// `countries`
    pub countries: Vec<String>,
    /// `provinces`
    pub provinces: Vec<String>,
    /// `localities`
    pub localities: Vec<String>,
    /// `postalCodes`
    pub postal_codes: Vec<String>,
    /// `streetAddresses`
    pub street_addresses: Vec<String>,
    /// `serialNumber`; empty is none.
    pub serial_number: String,
}

/// `spec.privateKey` of a Certificate (`CertificatePrivateKey` in cert-manager's
/// types_certificate.go).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrivateKey {
    /// `algorithm`; none is RSA.
    pub algorithm: Option<Algorithm>,
    /// `encoding`; none is PKCS1.
    pub encoding: Option<Encoding>,
    /// `size`, in bits; 0 is none.
    pub size: i64,
    /// `rotationPolicy`; none is Always.
    pub rotation_policy: Option<RotationPolicy>,
}

impl PrivateKey {
    /// The algorithm that counts: RSA unless another is given.
    pub fn effective_algorithm(&self) -> Algorithm {
        self.algorithm.unwrap_or(Algorithm::Rsa)
    }

    /// Whether the two make keys of the same kind.
    pub fn is_like(&self, other: &PrivateKey) -> bool {
        let kind = |key: &PrivateKey| (key.effective_algorithm(), key.effective_size());
        kind(self) == kind(other)
    }

    /// The size that counts, in bits; 0 where the algorithm has but one (the constants of
    /// cert-manager's pkg/util/pki/generate.go).
    pub fn effective_size(&self) -> i64 {
        match (self.effective_algorithm(), self.size) {
            (Algorithm::Ed25519, _) => 0,
            (Algorithm::Rsa, 0) => 2048,
            (Algorithm::Ecdsa, 0) => 256,
            (_, size) => size,
        }
    }
}

/// A choice among few words, as it stands in an annotation and in a Certificate.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// All of them, as they are written.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// As it is written.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// The one that is written so, exactly.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }
    };
}

words! {
    /// The algorithm of a private key.
    Algorithm {
        /// RSA, 2048 to 8192 bits.
        Rsa = "RSA",
        /// ECDSA on P-256, P-384 or P-521.
        Ecdsa = "ECDSA",
        /// Ed25519.
        Ed25519 = "Ed25519",
    }
}

words! {
    /// How a private key is stored in the Secret.
    Encoding {
        /// PKCS#1, for ECDSA keys SEC 1.
        Pkcs1 = "PKCS1",
        /// PKCS#8.
        Pkcs8 = "PKCS8",
    }
}

words! {
    /// Whether a renewed certificate gets a new private key.
    RotationPolicy {
        /// It keeps the one it has.
        Never = "Never",
        /// It gets a new one.
        Always = "Always",
    }
}

/// `spec.secretTemplate` of a Certificate: what the Secret gets besides the certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretTemplate {
    /// `annotations`
    pub annotations: BTreeMap<String, String>,
    /// `labels`
    pub labels: BTreeMap<String, String>,
}

/// A Certificate that a Gateway asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its namespace, and the Secret's.
    pub namespace: String,
    /// The Secret's name, and its own.
    pub secret_name: String,
    /// The Gateway's hosts that it is for, in the order in which they stand there, each once.
    pub hosts: Vec<Host>,
    /// Where the Gateway names the Secret.
    pub places: Vec<Place>,
    /// `spec.privateKey`: as annotated, but for the pairs of Istio's `credentialNames`.
    pub private_key: PrivateKey,
    /// Whether the Secret gets a self-signed certificate until the issuer has answered: always so
    /// with `http01-edit-in-place`. For Istio it depends on the issuer, whose solver may need a
    /// gateway that already listens with TLS: set it where `spec.acme.solvers` has an `http01`.
    pub issue_temporary: bool,
    /// What it has in common with the others.
    pub template: Arc<Template>,
}

/// A host of the Gateway in a Certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The name as it goes into the Certificate.
    pub name: String,
    /// Whether it is an IP address, and thus goes into `ipAddresses`.
    pub is_ip: bool,
    /// Where it stands first.
    pub place: Place,
}

impl Certificate {
    /// The Secret that it is for.
    pub fn secret(&self) -> SecretName {
        SecretName { namespace: self.namespace.clone(), name: self.secret_name.clone() }
    }

    /// `spec.dnsNames`: the hosts, and what `alt-names` adds.
    ///
    /// cert-manager appends `alt-names` whatever they are. In the Certificates of an Istio Gateway,
    /// which are our own, no name stands twice and none beside a wildcard that covers it: an ACME
    /// server refuses such an order.
    pub fn dns_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.own_names(false).collect();
        let alt_names = self.template.alt_names.iter().map(String::as_str);
        if self.template.owner.kind == GatewayKind::Istio {
            let hosts = set_of(&names);
            names.extend(alt_names.filter(|name| {
                let name = name.to_ascii_lowercase();
                !hosts.contains(name.as_str())
                    && !wildcard_over(&name).is_some_and(|w| hosts.contains(w.as_str()))
            }));
        } else {
            names.extend(alt_names);
        }
        names
    }

    /// `spec.ipAddresses`: the hosts that are IP addresses, and what `ip-sans` adds.
    pub fn ip_addresses(&self) -> Vec<&str> {
        let mut addresses: Vec<&str> = self.own_names(true).collect();
        let ip_sans = self.template.ip_sans.iter().map(String::as_str);
        if self.template.owner.kind == GatewayKind::Istio {
            let hosts = set_of(&addresses);
            addresses.extend(ip_sans.filter(|address| !hosts.contains(address)));
        } else {
            addresses.extend(ip_sans);
        }
        addresses
    }

    fn own_names(&self, is_ip: bool) -> impl Iterator<Item = &str> {
        self.hosts.iter().filter(move |host| host.is_ip == is_ip).map(|host| host.name.as_str())
    }

    /// `metadata.labels`: the template's, and in another namespace than the Gateway's the hash of
    /// its owner.
    pub fn labels(&self) -> BTreeMap<&str, &str> {
        let mut labels = borrowed(&self.template.labels);
        if !self.is_beside_owner() {
            labels.insert(OWNER_HASH, &self.template.owner.hash);
        }
        labels
    }

    /// `metadata.annotations`: the template's, in another namespace than the Gateway's the record
    /// of its owner, and whether a temporary certificate is wanted.
    pub fn annotations(&self) -> BTreeMap<&str, &str> {
        let mut annotations = borrowed(&self.template.annotations);
        if !self.is_beside_owner() {
            annotations.extend(self.template.owner.record());
        }
        if self.issue_temporary {
            annotations.insert(ISSUE_TEMPORARY_CERTIFICATE, "true");
        }
        annotations
    }

    /// Whether it lives beside its Gateway, and so can have it as owner.
    pub fn is_beside_owner(&self) -> bool {
        self.namespace == self.template.owner.namespace
    }

    /// The whole object as it is created (`buildCertificates` in certificate-shim/sync.go). Fields
    /// without content are left out, as cert-manager's types have it.
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

/// A JSON object in the making that leaves out what is empty, as Go's `omitempty` does.
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

fn borrowed(map: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let mut borrowed = BTreeMap::new();
    borrowed.extend(map.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    borrowed
}

fn set_of<'a>(names: &[&'a str]) -> BTreeSet<&'a str> {
    let mut set = BTreeSet::new();
    set.extend(names.iter().copied());
    set
}

/// The wildcard that covers a name in a certificate: `*.example.com` for `a.example.com`, none for
/// a wildcard and for a name of one label (RFC 6125, section 6.4.3).
pub fn wildcard_over(name: &str) -> Option<String> {
    match name.split_once('.') {
        Some((label, parent)) if !label.is_empty() && label != "*" => Some(format!("*.{parent}")),
        _ => None,
    }
}
