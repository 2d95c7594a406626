//! The part that all Certificates of a Gateway share: its labels, its issuer, and the fields that its
//! annotations set.
//!
//! There is only one copy, because a Gateway can name thousands of Secrets and have 256 KiB of
//! annotations: their product must never be in memory.

use std::collections::{BTreeMap, BTreeSet};

use crate::issuer_ref::IssuerRef;
use crate::names::Names;
use crate::owner::Owner;
use crate::value::usage;

/// The part that all Certificates of a Gateway share.
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
    /// `spec.commonName`; empty if there is none.
    pub common_name: String,
    /// The names after the hosts in `spec.dnsNames`.
    pub alt_names: Vec<String>,
    /// The texts after the hosts in `spec.ipAddresses`. They are not validated yet.
    pub ip_sans: Vec<String>,
    /// `spec.emailAddresses`. They are not validated yet.
    pub email_addresses: Vec<String>,
    /// `spec.subject`.
    pub subject: Subject,
    /// `spec.duration` in nanoseconds.
    pub duration: Option<i64>,
    /// `spec.renewBefore` in nanoseconds.
    pub renew_before: Option<i64>,
    /// `spec.renewBeforePercentage`: the share of the lifetime, in percent, that is left when it is
    /// renewed.
    pub renew_before_percentage: Option<i32>,
    /// `spec.usages`.
    pub usages: Vec<&'static str>,
    /// `spec.revisionHistoryLimit`.
    pub revision_history_limit: Option<i32>,
    /// `spec.privateKey` as annotated.
    pub private_key: PrivateKey,
    /// `spec.secretTemplate`; omitted if it is empty.
    pub secret_template: SecretTemplate,
}

impl Template {
    /// A template without annotations.
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

    /// Whether a Certificate without hosts has a name, as cert-manager's webhook requires.
    pub fn has_names(&self) -> bool {
        !(self.common_name.is_empty()
            && self.alt_names.is_empty()
            && self.ip_sans.is_empty()
            && self.email_addresses.is_empty())
    }

    /// Whether the two are the same, except for labels.
    pub fn is_alike(&self, other: &Template) -> bool {
        self.asks_alike(other)
            && self.common_name == other.common_name
            && self.alt_names == other.alt_names
            && self.ip_sans == other.ip_sans
            && self.revision_history_limit == other.revision_history_limit
    }

    /// Whether the two are the same, except for labels and names.
    pub fn asks_alike(&self, other: &Template) -> bool {
        self.owner == other.owner
            && self.issuer_ref == other.issuer_ref
            && self.annotations == other.annotations
            && self.email_addresses == other.email_addresses
            && self.subject == other.subject
            && self.duration == other.duration
            && self.renew_before == other.renew_before
            && self.renew_before_percentage == other.renew_before_percentage
            && self.usages == other.usages
            && self.private_key == other.private_key
            && self.secret_template == other.secret_template
    }

    /// Drops duplicates in `alt_names` and `ip_sans`, and alternative names that a wildcard among
    /// them covers.
    pub(crate) fn make_names_distinct(&mut self) {
        let mut names = Names::default();
        self.alt_names.retain(|name| names.insert(name));
        self.alt_names.retain(|name| !names.has_wildcard_over(name));
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
    /// `serialNumber`; empty if there is none.
    pub serial_number: String,
}

/// `spec.privateKey` of a Certificate (`CertificatePrivateKey` in cert-manager's
/// types_certificate.go).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrivateKey {
    /// `algorithm`; if `None`, RSA.
    pub algorithm: Option<Algorithm>,
    /// `encoding`; if `None`, PKCS1.
    pub encoding: Option<Encoding>,
    /// `size`, in bits; 0 if there is none.
    pub size: i64,
    /// `rotationPolicy`; if `None`, Always.
    pub rotation_policy: Option<RotationPolicy>,
}

impl PrivateKey {
    /// The effective algorithm: RSA by default.
    pub fn effective_algorithm(&self) -> Algorithm {
        self.algorithm.unwrap_or(Algorithm::Rsa)
    }

    /// Whether the two result in the same kind of key.
    pub fn is_like(&self, other: &PrivateKey) -> bool {
        let kind = |key: &PrivateKey| (key.effective_algorithm(), key.effective_size());
        kind(self) == kind(other)
    }

    /// The effective size, in bits; 0 if the algorithm has only one (the constants in cert-manager's
    /// pkg/util/pki/generate.go).
    pub fn effective_size(&self) -> i64 {
        match (self.effective_algorithm(), self.size) {
            (Algorithm::Ed25519, _) => 0,
            (Algorithm::Rsa, 0) => 2048,
            (Algorithm::Ecdsa, 0) => 256,
            (_, size) => size,
        }
    }
}

/// A choice among a few words, as written in an annotation and in a Certificate.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// All choices, as written.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The choice, as written.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// The choice with exactly that text.
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
    /// The encoding of a private key in the Secret.
    Encoding {
        /// PKCS#1; for ECDSA keys, SEC 1.
        Pkcs1 = "PKCS1",
        /// PKCS#8.
        Pkcs8 = "PKCS8",
    }
}

words! {
    /// Whether a renewed certificate gets a new private key.
    RotationPolicy {
        /// It keeps the existing key.
        Never = "Never",
        /// It gets a new key.
        Always = "Always",
    }
}

/// `spec.secretTemplate` of a Certificate: the Secret's labels and annotations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretTemplate {
    /// `annotations`
    pub annotations: BTreeMap<String, String>,
    /// `labels`
    pub labels: BTreeMap<String, String>,
}
