//! The annotations that cert-manager knows, the Gateways from which it reads them, and the values
//! that it accepts (`pkg/apis/certmanager/v1/types.go`, `pkg/apis/acme/v1/types.go` and
//! `pkg/controller/certificate-shim` in cert-manager).

mod reference;
mod suggestion;

pub use reference::reference;
pub use suggestion::{is_legacy, suggestion};

use crate::gateway::GatewayKind;

/// The Gateways from which an annotation is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadFrom {
    /// All Gateways.
    All,
    /// Gateway API's Gateways and ListenerSets, which cert-manager itself reads.
    GatewayApi,
    /// Only ListenerSets.
    ListenerSet,
    /// None: the annotation belongs on another object, or nothing reads it.
    None,
}

/// An annotation that cert-manager knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Annotation {
    /// The key.
    pub key: &'static str,
    /// The values that cert-manager accepts, as a phrase. If it is not read from Gateways, its purpose.
    pub accepts: &'static str,
    /// The Gateways from which it is read.
    pub read_from: ReadFrom,
}

impl Annotation {
    /// Whether the annotation has an effect on a Gateway of that kind.
    pub fn is_read_from(&self, kind: GatewayKind) -> bool {
        match self.read_from {
            ReadFrom::All => true,
            ReadFrom::GatewayApi => kind != GatewayKind::Istio,
            ReadFrom::ListenerSet => kind == GatewayKind::ListenerSet,
            ReadFrom::None => false,
        }
    }
}

/// Whether a key is in one of cert-manager's groups, including those before 0.11. The key itself can be
/// unknown.
pub fn is_of_cert_manager(key: &str) -> bool {
    is_legacy(key) || key.starts_with("cert-manager.io/") || key.starts_with("acme.cert-manager.io/")
}

/// The annotation with that key, if cert-manager knows it. Keys are compared exactly.
pub fn find(key: &str) -> Option<&'static Annotation> {
    TABLE.iter().find(|annotation| annotation.key == key)
}

/// The documentation of an annotation. It is separate from [`Annotation`] to keep it out of the
/// module that runs in the cluster.
struct Documentation {
    sets: &'static str,
    default: &'static str,
    example: &'static str,
}

/// Defines the table: one entry per annotation, in the order in which cert-manager reads them.
macro_rules! annotations {
    ($($constant:ident = $key:literal, $read_from:ident {
        sets: $sets:literal, accepts: $accepts:literal, default: $default:literal, example: $example:literal $(,)?
    })+) => {
        $(
            #[doc = concat!("`", $key, "`: ", $sets, ".")]
            pub const $constant: &str = $key;
        )+
        /// Every annotation that cert-manager knows, in the order in which it reads them.
        pub static TABLE: &[Annotation] = &[
            $(Annotation { key: $key, accepts: $accepts, read_from: ReadFrom::$read_from }),+
        ];
        static DOCUMENTATION: &[Documentation] = &[
            $(Documentation { sets: $sets, default: $default, example: $example }),+
        ];
    };
}

annotations! {
    ISSUER = "cert-manager.io/issuer", All {
        sets: "the name in `spec.issuerRef`, with the kind `Issuer`; a Gateway needs this or cluster-issuer to get Certificates",
        accepts: "the name of an issuer, not empty, and not together with cluster-issuer",
        default: "none",
        example: "letsencrypt",
    }
    CLUSTER_ISSUER = "cert-manager.io/cluster-issuer", All {
        sets: "the name in `spec.issuerRef`, with the kind `ClusterIssuer`; a Gateway needs this or issuer to get Certificates",
        accepts: "the name of a ClusterIssuer, not empty, and not together with issuer, issuer-kind or issuer-group",
        default: "none",
        example: "letsencrypt",
    }
    ISSUER_KIND = "cert-manager.io/issuer-kind", All {
        sets: "the kind in `spec.issuerRef`",
        accepts: "a kind, together with issuer; Issuer or ClusterIssuer unless issuer-group names another group",
        default: "`Issuer`",
        example: "AWSPCAIssuer",
    }
    ISSUER_GROUP = "cert-manager.io/issuer-group", All {
        sets: "the API group in `spec.issuerRef`",
        accepts: "an API group, together with issuer",
        default: "`cert-manager.io`",
        example: "awspca.cert-manager.io",
    }
    IGNORE_TLS_LISTENERS = "cert-manager.io/ignore-tls-listeners", GatewayApi {
        sets: "the listeners that get no Certificate",
        accepts: "listener names, separated by commas; white space around a name is ignored",
        default: "none",
        example: "internal,legacy",
    }
    COMMON_NAME = "cert-manager.io/common-name", All {
        sets: "`spec.commonName`",
        accepts: "a text of at most 64 bytes",
        default: "no common name",
        example: "www.example.com",
    }
    ALT_NAMES = "cert-manager.io/alt-names", All {
        sets: "the names after the hosts in `spec.dnsNames`",
        accepts: "DNS names, separated by commas without spaces",
        default: "only the hosts",
        example: "example.com,example.org",
    }
    IP_SANS = "cert-manager.io/ip-sans", All {
        sets: "`spec.ipAddresses`",
        accepts: "IP addresses, separated by commas without spaces",
        default: "only hosts that are IP addresses",
        example: "192.0.2.1,2001:db8::1",
    }
    EMAIL_SANS = "cert-manager.io/email-sans", All {
        sets: "`spec.emailAddresses`",
        accepts: "email addresses of the form local@domain, separated by commas without spaces",
        default: "none",
        example: "ops@example.com",
    }
    SUBJECT_ORGANIZATIONS = "cert-manager.io/subject-organizations", All {
        sets: "`spec.subject.organizations`",
        accepts: "one line of CSV; quote entries that contain commas or quotation marks",
        default: "none",
        example: "\"Example, Inc.\",Example Ltd",
    }
    SUBJECT_ORGANIZATIONAL_UNITS = "cert-manager.io/subject-organizationalunits", All {
        sets: "`spec.subject.organizationalUnits`",
        accepts: "one line of CSV; quote entries that contain commas or quotation marks",
        default: "none",
        example: "Edge",
    }
    SUBJECT_COUNTRIES = "cert-manager.io/subject-countries", All {
        sets: "`spec.subject.countries`",
        accepts: "one line of CSV; quote entries that contain commas or quotation marks",
        default: "none",
        example: "DE,FR",
    }
    SUBJECT_PROVINCES = "cert-manager.io/subject-provinces", All {
        sets: "`spec.subject.provinces`",
        accepts: "one line of CSV; quote entries that contain commas or quotation marks",
        default: "none",
        example: "Bavaria",
    }
    SUBJECT_LOCALITIES = "cert-manager.io/subject-localities", All {
        sets: "`spec.subject.localities`",
        accepts: "one line of CSV; quote entries that contain commas or quotation marks",
        default: "none",
        example: "Munich",
    }
    SUBJECT_POSTAL_CODES = "cert-manager.io/subject-postalcodes", All {
        sets: "`spec.subject.postalCodes`",
        accepts: "one line of CSV; quote entries that contain commas or quotation marks",
        default: "none",
        example: "80331",
    }
    SUBJECT_STREET_ADDRESSES = "cert-manager.io/subject-streetaddresses", All {
        sets: "`spec.subject.streetAddresses`",
        accepts: "one line of CSV; quote entries that contain commas or quotation marks",
        default: "none",
        example: "\"1 Main St, Floor 2\"",
    }
    SUBJECT_SERIAL_NUMBER = "cert-manager.io/subject-serialnumber", All {
        sets: "`spec.subject.serialNumber`",
        accepts: "any text",
        default: "none",
        example: "4711",
    }
    DURATION = "cert-manager.io/duration", All {
        sets: "`spec.duration`",
        accepts: "a Go duration of at least 1h, such as 2160h or 90m (the unit d is not supported)",
        default: "2160h (90 days)",
        example: "2160h",
    }
    RENEW_BEFORE = "cert-manager.io/renew-before", All {
        sets: "`spec.renewBefore`",
        accepts: "a Go duration of at least 5m and less than the duration, such as 360h (the unit d is not supported)",
        default: "a third of the certificate's lifetime",
        example: "360h",
    }
    RENEW_BEFORE_PERCENTAGE = "cert-manager.io/renew-before-percentage", All {
        sets: "`spec.renewBeforePercentage`: the percentage of the lifetime that is left at renewal",
        accepts: "a 32-bit integer, not together with renew-before",
        default: "none",
        example: "33",
    }
    USAGES = "cert-manager.io/usages", All {
        sets: "`spec.usages`",
        accepts: "key usages, separated by commas, such as digital signature, key encipherment, server auth",
        default: "`digital signature,key encipherment`",
        example: "digital signature,key encipherment,server auth",
    }
    REVISION_HISTORY_LIMIT = "cert-manager.io/revision-history-limit", All {
        sets: "`spec.revisionHistoryLimit`",
        accepts: "a whole number from 1 to 2147483647",
        default: "1",
        example: "3",
    }
    PRIVATE_KEY_ALGORITHM = "cert-manager.io/private-key-algorithm", All {
        sets: "`spec.privateKey.algorithm`",
        accepts: "RSA, ECDSA or Ed25519",
        default: "`RSA`",
        example: "ECDSA",
    }
    PRIVATE_KEY_ENCODING = "cert-manager.io/private-key-encoding", All {
        sets: "`spec.privateKey.encoding`",
        accepts: "PKCS1 or PKCS8",
        default: "`PKCS1`",
        example: "PKCS8",
    }
    PRIVATE_KEY_SIZE = "cert-manager.io/private-key-size", All {
        sets: "`spec.privateKey.size`",
        accepts: "a size in bits: 2048 to 8192 for RSA (the default algorithm), and 256, 384 or 521 for ECDSA",
        default: "2048 for RSA, 256 for ECDSA",
        example: "4096",
    }
    PRIVATE_KEY_ROTATION_POLICY = "cert-manager.io/private-key-rotation-policy", All {
        sets: "`spec.privateKey.rotationPolicy`",
        accepts: "Never or Always",
        default: "`Always`",
        example: "Never",
    }
    SECRET_TEMPLATE = "cert-manager.io/secret-template", All {
        sets: "`spec.secretTemplate`",
        accepts: "a JSON object with the fields annotations and labels, which map strings to strings; no cert-manager.io annotations",
        default: "none",
        example: "{\"labels\": {\"team\": \"web\"}}",
    }
    HTTP01_EDIT_IN_PLACE = "acme.cert-manager.io/http01-edit-in-place", GatewayApi {
        sets: "on the Certificate, `acme.cert-manager.io/http01-override-ingress-name` to the Gateway's name, and `cert-manager.io/issue-temporary-certificate`",
        accepts: "true; other values are ignored",
        default: "not set",
        example: "true",
    }
    HTTP01_INGRESS_CLASS = "acme.cert-manager.io/http01-ingress-class", GatewayApi {
        sets: "on the Certificate, `acme.cert-manager.io/http01-override-ingress-class`",
        accepts: "the class of the solver's Ingress; an empty value is ignored",
        default: "the issuer's",
        example: "nginx",
    }
    HTTP01_INGRESS_CLASS_NAME = "acme.cert-manager.io/http01-ingress-ingressclassname", GatewayApi {
        sets: "on the Certificate, `acme.cert-manager.io/http01-override-ingress-ingressclassname`",
        accepts: "the ingressClassName of the solver's Ingress; an empty value is ignored",
        default: "the issuer's",
        example: "nginx",
    }
    HTTP01_PARENT_REF_FALLBACK = "acme.cert-manager.io/http01-parentreffallback", ListenerSet {
        sets: "whether the HTTP-01 solver attaches its HTTPRoute to the parent Gateway instead of the ListenerSet",
        accepts: "1, t, T, true, True or TRUE; other values are ignored",
        default: "not set",
        example: "true",
    }
    URI_SANS = "cert-manager.io/uri-sans", None {
        sets: "nothing",
        accepts: "cert-manager defines the key, but does not read it",
        default: "", example: "",
    }
    ISSUER_NAME = "cert-manager.io/issuer-name", None {
        sets: "nothing",
        accepts: "cert-manager sets it on the Secret; on a Gateway, use issuer or cluster-issuer",
        default: "", example: "",
    }
    CERTIFICATE_NAME = "cert-manager.io/certificate-name", None {
        sets: "nothing",
        accepts: "cert-manager sets it on the Secret",
        default: "", example: "",
    }
    CERTIFICATE_REVISION = "cert-manager.io/certificate-revision", None {
        sets: "nothing",
        accepts: "cert-manager sets it on the CertificateRequest",
        default: "", example: "",
    }
    PRIVATE_KEY_SECRET_NAME = "cert-manager.io/private-key-secret-name", None {
        sets: "nothing",
        accepts: "it belongs on a CertificateRequest",
        default: "", example: "",
    }
    ISSUE_TEMPORARY_CERTIFICATE = "cert-manager.io/issue-temporary-certificate", None {
        sets: "nothing",
        accepts: "it belongs on a Certificate",
        default: "", example: "",
    }
    INJECT_CA_FROM = "cert-manager.io/inject-ca-from", None {
        sets: "nothing",
        accepts: "it belongs on a webhook configuration, CustomResourceDefinition or APIService",
        default: "", example: "",
    }
    INJECT_CA_FROM_SECRET = "cert-manager.io/inject-ca-from-secret", None {
        sets: "nothing",
        accepts: "it belongs on a webhook configuration, CustomResourceDefinition or APIService",
        default: "", example: "",
    }
    INJECT_APISERVER_CA = "cert-manager.io/inject-apiserver-ca", None {
        sets: "nothing",
        accepts: "it belongs on a webhook configuration, CustomResourceDefinition or APIService",
        default: "", example: "",
    }
    ALLOW_DIRECT_INJECTION = "cert-manager.io/allow-direct-injection", None {
        sets: "nothing",
        accepts: "it belongs on a Secret",
        default: "", example: "",
    }
    HTTP01_OVERRIDE_INGRESS_NAME = "acme.cert-manager.io/http01-override-ingress-name", None {
        sets: "nothing",
        accepts: "it belongs on a Certificate; http01-edit-in-place sets it there",
        default: "", example: "",
    }
    HTTP01_OVERRIDE_INGRESS_CLASS = "acme.cert-manager.io/http01-override-ingress-class", None {
        sets: "nothing",
        accepts: "it belongs on a Certificate; http01-ingress-class sets it there",
        default: "", example: "",
    }
    HTTP01_OVERRIDE_INGRESS_CLASS_NAME = "acme.cert-manager.io/http01-override-ingress-ingressclassname", None {
        sets: "nothing",
        accepts: "it belongs on a Certificate; http01-ingress-ingressclassname sets it there",
        default: "", example: "",
    }
    HTTP01_PARENT_REF_NAME = "acme.cert-manager.io/http01-parentrefname", None {
        sets: "nothing",
        accepts: "it belongs on a Certificate",
        default: "", example: "",
    }
    HTTP01_PARENT_REF_KIND = "acme.cert-manager.io/http01-parentrefkind", None {
        sets: "nothing",
        accepts: "it belongs on a Certificate",
        default: "", example: "",
    }
    HTTP01_PARENT_REF_NAMESPACE = "acme.cert-manager.io/http01-parentrefnamespace", None {
        sets: "nothing",
        accepts: "it belongs on a Certificate",
        default: "", example: "",
    }
    VENAFI_CUSTOM_FIELDS = "venafi.cert-manager.io/custom-fields", None {
        sets: "nothing",
        accepts: "it belongs on a Certificate",
        default: "", example: "",
    }
    VENAFI_PICKUP_ID = "venafi.cert-manager.io/pickup-id", None {
        sets: "nothing",
        accepts: "cert-manager sets it on the CertificateRequest",
        default: "", example: "",
    }
}
