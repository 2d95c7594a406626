//! Tenants: the namespaces of a team, and what its Gateways may ask for.

use certificate_shim::IssuerRef;
use certificate_shim::issuer_ref::{CERT_MANAGER_GROUP, CLUSTER_ISSUER_KIND};
use certificate_shim::template::Algorithm;
use certificate_shim::value::{duration, usage};

use super::fields::Fields;
use super::patterns::{
    DnsPatterns, Globs, IpRanges, dns_fault, glob_allows, glob_fault, ip_range_fault, name_fault,
};
use super::{DefaultIssuer, Settings, check_issuer_kind, default_issuer};
use crate::text::quote;

/// A team, its namespaces, and what its Gateways may ask for. Omitted options impose no restriction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tenant {
    /// Its name in messages.
    pub name: String,
    /// Its namespaces by name.
    pub namespaces: Option<Globs>,
    /// The labels that its namespaces have, all of them; with `namespaces` both must match.
    pub namespace_labels: Option<Vec<(String, String)>>,
    /// The issuers that it may use.
    pub issuers: Vec<AllowedIssuer>,
    /// The DNS names that it may have.
    pub dns_names: DnsPatterns,
    /// Whether a name may be a wildcard.
    pub wildcards: bool,
    /// The IP addresses that it may have.
    pub ip_ranges: IpRanges,
    /// The common names that it may have in addition to DNS names and IP addresses, lower-cased.
    pub common_names: Globs,
    /// The Secrets that it may name.
    pub secrets: Option<Globs>,
    /// The default issuer of its Gateways, instead of the global one.
    pub default_issuer: Option<DefaultIssuer>,
    /// The most Certificates of one Gateway; each namespace of its placement counts.
    pub max_certificates: Option<usize>,
    /// The most distinct names of one Certificate.
    pub max_names: Option<usize>,
    /// The bounds of its Certificates' duration.
    pub duration: Bounds,
    /// The private keys that it may have.
    pub key: KeyPolicy,
    /// The key usages that it may have.
    pub usages: Option<Vec<String>>,
    /// Whether subject fields and email addresses are denied.
    pub denies_subject: bool,
    /// The labels and annotations that it may give its Secrets.
    pub secret_metadata: SecretMetadata,
}

/// Bounds of a duration, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The shortest.
    pub min: Option<i64>,
    /// The longest.
    pub max: Option<i64>,
}

/// The private keys that a tenant may have. Sizes are in bits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPolicy {
    /// The algorithms.
    pub algorithms: Option<Vec<String>>,
    /// The smallest size of RSA keys.
    pub rsa_min: Option<i64>,
    /// The largest size of RSA keys.
    pub rsa_max: Option<i64>,
    /// The sizes of ECDSA keys.
    pub ecdsa: Option<Vec<i64>>,
}

/// The keys of the labels and annotations that a tenant may give its Secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretMetadata {
    /// Keys of labels.
    pub labels: Option<Globs>,
    /// Keys of annotations.
    pub annotations: Option<Globs>,
}

impl Tenant {
    /// Whether a Gateway in namespace `own` may use an issuer as seen from a namespace of its
    /// placement.
    pub fn may_use(&self, issuer: &IssuerRef, settings: &Settings, placement: &str, own: &str) -> bool {
        let is_cluster_wide = settings.is_cluster_wide(issuer);
        self.issuers.iter().any(|allowed| {
            allowed.covers(issuer) && (is_cluster_wide || allowed.covers_namespace(placement, own))
        })
    }
}

/// Issuers that a tenant may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedIssuer {
    /// The API group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// A glob for the name.
    pub name: String,
    /// A glob for the namespace of a namespaced issuer; if `None`, it must be the Gateway's own.
    pub namespace: Option<String>,
}

impl AllowedIssuer {
    /// Whether group, kind and name are among these.
    pub fn covers(&self, reference: &IssuerRef) -> bool {
        self.group == reference.effective_group()
            && self.kind == reference.effective_kind()
            && glob_allows(&self.name, &reference.name)
    }

    /// Whether such an issuer may be in a namespace, as seen from a Gateway in `own`.
    pub fn covers_namespace(&self, namespace: &str, own: &str) -> bool {
        match &self.namespace {
            Some(glob) => glob_allows(glob, namespace),
            None => namespace == own,
        }
    }
}

/// Reads all tenants.
pub(super) fn read(root: &mut Fields<'_>) -> Vec<Tenant> {
    let tenants = root.objects("tenants", tenant).unwrap_or_default();
    for (index, tenant) in tenants.iter().enumerate() {
        if tenants.iter().take(index).any(|earlier| !tenant.name.is_empty() && earlier.name == tenant.name) {
            root.problem("tenants", format!("more than one tenant has the name {}", quote(&tenant.name)));
        }
    }
    tenants
}

fn tenant(fields: &mut Fields<'_>) -> Option<Tenant> {
    let mut tenant =
        Tenant { name: fields.required("name").unwrap_or_default().to_owned(), ..Tenant::default() };
    read_namespaces(fields, &mut tenant);
    fields.require_list("issuers");
    tenant.issuers = fields.objects("issuers", allowed_issuer).unwrap_or_default();
    fields.require_list("dns_names");
    tenant.dns_names = DnsPatterns(fields.checked("dns_names", dns_fault).unwrap_or_default());
    tenant.dns_names.0.iter_mut().for_each(|name| name.make_ascii_lowercase());
    tenant.wildcards = fields.boolean("wildcards").unwrap_or_default();
    tenant.ip_ranges = IpRanges::of(fields.checked("ip_ranges", ip_range_fault).unwrap_or_default());
    tenant.common_names = globs(fields, "common_names", glob_fault).unwrap_or_default();
    tenant.common_names.0.iter_mut().for_each(|name| name.make_ascii_lowercase());
    tenant.secrets = globs(fields, "secrets", name_fault);
    tenant.default_issuer = fields.object("default_issuer", default_issuer);
    if let Some(default) = &tenant.default_issuer
        && !tenant.issuers.iter().any(|allowed| allowed.covers(&default.issuer))
    {
        fields.problem(
            "default_issuer",
            format!("{} is not among the tenant's issuers", crate::text::issuer(&default.issuer)),
        );
    }
    tenant.max_certificates = fields.count("max_certificates", 1..=10_000);
    tenant.max_names = fields.count("max_names", 1..=10_000);
    fields.object("duration", |fields| {
        tenant.duration = Bounds { min: read_duration(fields, "min"), max: read_duration(fields, "max") };
        if tenant.duration.min.zip(tenant.duration.max).is_some_and(|(min, max)| min > max) {
            fields.problem("min", "is greater than max");
        }
        Some(())
    });
    fields.object("key", |fields| {
        let algorithm =
            |word: &str| Algorithm::parse(word).is_none().then_some("is not one of: RSA, ECDSA, Ed25519");
        tenant.key = KeyPolicy {
            algorithms: fields.checked("algorithms", algorithm),
            rsa_min: fields.integer("rsa_min", 2048..=8192),
            rsa_max: fields.integer("rsa_max", 2048..=8192),
            ecdsa: fields.integers("ecdsa", &[256, 384, 521]),
        };
        if tenant.key.rsa_min.zip(tenant.key.rsa_max).is_some_and(|(min, max)| min > max) {
            fields.problem("rsa_min", "is greater than rsa_max");
        }
        Some(())
    });
    let usage = |word: &str| {
        (!usage::USAGES.contains(&word))
            .then_some("is not one of cert-manager's key usages, such as server auth")
    };
    tenant.usages = fields.checked("usages", usage);
    tenant.denies_subject = fields.one_of("subject", &[("allow", false), ("deny", true)]).unwrap_or_default();
    fields.object("secret_template", |fields| {
        tenant.secret_metadata.labels = globs(fields, "labels", glob_fault);
        tenant.secret_metadata.annotations = globs(fields, "annotations", glob_fault);
        Some(())
    });
    Some(tenant)
}

fn read_namespaces(fields: &mut Fields<'_>, tenant: &mut Tenant) {
    tenant.namespaces = globs(fields, "namespaces", name_fault);
    tenant.namespace_labels = fields.object("namespace_selector", |fields| {
        let labels = fields.entries("match_labels").unwrap_or_default();
        if labels.is_empty() {
            fields.problem(
                "match_labels",
                "at least one label is required; for all namespaces, write namespaces: [\"*\"]",
            );
        }
        Some(labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    });
    let selects_none = match &tenant.namespaces {
        None => tenant.namespace_labels.is_none(),
        Some(globs) => globs.0.is_empty(),
    };
    if selects_none {
        fields.problem(
            "namespaces",
            "the tenant has no namespace: list its namespaces here, or set namespace_selector",
        );
    }
}

fn allowed_issuer(fields: &mut Fields<'_>) -> Option<AllowedIssuer> {
    let group = fields.string("group").unwrap_or(CERT_MANAGER_GROUP);
    let kind = fields.required("kind");
    let name = fields.required("name");
    let namespace = fields.string("namespace");
    for (field, glob) in [("name", name), ("namespace", namespace)] {
        if let Some((glob, fault)) = glob.and_then(|glob| Some((glob, name_fault(glob)?))) {
            fields.problem(field, format!("{} {fault}", quote(glob)));
        }
    }
    check_issuer_kind(fields, group, kind?);
    if group == CERT_MANAGER_GROUP && kind == Some(CLUSTER_ISSUER_KIND) && namespace.is_some() {
        fields.problem("namespace", "a ClusterIssuer has no namespace; remove this");
    }
    Some(AllowedIssuer {
        group: group.to_owned(),
        kind: kind?.to_owned(),
        name: name?.to_owned(),
        namespace: namespace.map(str::to_owned),
    })
}

fn globs(
    fields: &mut Fields<'_>,
    name: &'static str,
    fault: fn(&str) -> Option<&'static str>,
) -> Option<Globs> {
    fields.checked(name, fault).map(Globs)
}

fn read_duration(fields: &mut Fields<'_>, name: &'static str) -> Option<i64> {
    let text = fields.string(name)?;
    let duration = duration::parse(text).ok().filter(|duration| *duration > 0);
    if duration.is_none() {
        fields.problem(
            name,
            format!("{} is not a valid duration: write one such as 2160h or 90m", quote(text)),
        );
    }
    duration
}

#[cfg(test)]
mod tests {
    use crate::settings::Settings;
    use rstest::rstest;
    use serde_json::{Value, json};

    const NO_NAMESPACE: &str =
        "namespaces: the tenant has no namespace: list its namespaces here, or set namespace_selector";
    const NO_LABEL: &str = "namespace_selector.match_labels: at least one label is required; \
                            for all namespaces, write namespaces: [\"*\"]";

    /// A valid tenant with one more field.
    fn tenant_with(field: &str, value: Value) -> Value {
        let mut tenant = json!({"name": "a", "namespaces": ["a"], "issuers": [], "dns_names": []});
        tenant[field] = value;
        tenant
    }

    fn problems(tenants: &[Value]) -> Vec<String> {
        Settings::read(&json!({"tenants": tenants})).err().unwrap_or_default()
    }

    #[test]
    fn omitted_options_allow_everything_and_omitted_names_nothing() {
        let settings = Settings::read(&json!({"tenants": [tenant_with("wildcards", Value::Null)]})).unwrap();
        let tenant = &settings.tenants[0];
        assert!(!settings.accept_other_namespaces);
        assert!(!tenant.wildcards && !tenant.common_names.allow("x") && !tenant.denies_subject);
        assert!(!tenant.ip_ranges.allow("10.0.0.1".parse().unwrap()));
        assert_eq!((&tenant.secrets, &tenant.usages, &tenant.key.algorithms), (&None, &None, &None));
        assert_eq!((tenant.duration.min, &tenant.secret_metadata.labels), (None, &None));
        assert_eq!((tenant.max_certificates, tenant.max_names, tenant.key.rsa_max), (None, None, None));
    }

    #[test]
    fn everything() {
        let settings = Settings::read(&json!({"other_namespaces": "accept", "tenants": [{
            "name": "team-a",
            "namespaces": ["team-a", "team-a-*"],
            "namespace_selector": {"match_labels": {"team": "a"}},
            "issuers": [
                {"kind": "ClusterIssuer", "name": "letsencrypt-*"},
                {"kind": "Issuer", "name": "*", "namespace": "istio-system"},
                {"group": "example.com", "kind": "K", "name": "x"},
            ],
            "dns_names": ["**.Team-A.example.com", "team-a.example.com"],
            "wildcards": true,
            "ip_ranges": ["10.0.0.0/8"],
            "common_names": ["Team A *"],
            "secrets": ["team-a-*"],
            "default_issuer": {"name": "letsencrypt-prod", "kind": "ClusterIssuer", "when": "always"},
            "duration": {"min": "1h", "max": "2160h"},
            "max_certificates": 20,
            "max_names": 100,
            "key": {"algorithms": ["RSA", "ECDSA"], "rsa_min": 3072, "rsa_max": 4096, "ecdsa": [256, 384]},
            "usages": ["digital signature", "key encipherment", "server auth"],
            "subject": "deny",
            "secret_template": {"labels": ["team"], "annotations": ["example.com/*"]},
        }]}))
        .unwrap();
        let tenant = &settings.tenants[0];
        assert!(settings.accept_other_namespaces && tenant.wildcards && tenant.denies_subject);
        assert!(tenant.dns_names.allow("x.team-a.example.com"), "patterns are lower-cased");
        assert_eq!(tenant.issuers[0].group, "cert-manager.io");
        assert_eq!(tenant.issuers[2].group, "example.com");
        assert_eq!(tenant.duration.max, Some(2160 * 3600 * 1_000_000_000));
        assert_eq!((tenant.max_certificates, tenant.max_names), (Some(20), Some(100)));
        assert_eq!((tenant.key.rsa_min, tenant.key.rsa_max), (Some(3072), Some(4096)));
        assert_eq!(tenant.key.ecdsa, Some(vec![256, 384]));
        assert!(tenant.secret_metadata.annotations.as_ref().unwrap().allow("example.com/x"));
    }

    #[rstest]
    #[case::name("name", json!(""), "name: is required")]
    #[case::no_namespaces("namespaces", json!([]), NO_NAMESPACE)]
    #[case::neither("namespaces", Value::Null, NO_NAMESPACE)]
    #[case::no_namespace(
        "namespaces",
        json!(["Team A"]),
        "namespaces[0]: \"Team A\" is not a valid name or pattern: use lower-case letters, digits, -, . and *"
    )]
    #[case::empty_selector("namespace_selector", json!({"match_labels": {}}), NO_LABEL)]
    #[case::no_selector("namespace_selector", json!({}), NO_LABEL)]
    #[case::no_issuers("issuers", Value::Null, "issuers: is required; write [] for none")]
    #[case::issuer_without_kind("issuers", json!([{"name": "x"}]), "issuers[0].kind: is required")]
    #[case::issuer_without_name("issuers", json!([{"kind": "Issuer"}]), "issuers[0].name: is required")]
    #[case::glob(
        "issuers",
        json!([{"kind": "Issuer", "name": "x?"}]),
        "issuers[0].name: \"x?\" is not a valid pattern: the only wildcard is a single *"
    )]
    #[case::glob_for_a_namespace(
        "issuers",
        json!([{"kind": "Issuer", "name": "x", "namespace": ""}]),
        "issuers[0].namespace: \"\" is empty"
    )]
    #[case::cluster_issuer_with_namespace(
        "issuers",
        json!([{"kind": "ClusterIssuer", "name": "x", "namespace": "a"}]),
        "issuers[0].namespace: a ClusterIssuer has no namespace; remove this"
    )]
    #[case::no_dns_names("dns_names", Value::Null, "dns_names: is required; write [] for none")]
    #[case::dns_name(
        "dns_names",
        json!(["a.com", "*"]),
        "dns_names[1]: \"*\" is not a valid pattern of DNS names: \
         write example.com, *.example.com, **.example.com or **"
    )]
    #[case::ip_as_dns_name(
        "dns_names",
        json!(["10.0.0.1"]),
        "dns_names[0]: \"10.0.0.1\" is an IP address; list it in ip_ranges"
    )]
    #[case::wildcards("wildcards", json!("yes"), "wildcards: expected true or false, found a string")]
    #[case::ip_range(
        "ip_ranges",
        json!(["10.0.0.1/8"]),
        "ip_ranges[0]: \"10.0.0.1/8\" is not a valid IP range: \
         write 192.0.2.0/24 or 2001:db8::/32, with no bit set after the prefix"
    )]
    #[case::common_name("common_names", json!([""]), "common_names[0]: \"\" is empty")]
    #[case::secret(
        "secrets",
        json!(["a/b"]),
        "secrets[0]: \"a/b\" is not a valid name or pattern: use lower-case letters, digits, -, . and *"
    )]
    #[case::default_issuer(
        "default_issuer",
        json!({"name": "x"}),
        "default_issuer: Issuer \"x\" is not among the tenant's issuers"
    )]
    #[case::certificates(
        "max_certificates",
        json!(0),
        "max_certificates: expected a whole number from 1 to 10000"
    )]
    #[case::names("max_names", json!(10_001), "max_names: expected a whole number from 1 to 10000")]
    #[case::days(
        "duration",
        json!({"max": "90d"}),
        "duration.max: \"90d\" is not a valid duration: write one such as 2160h or 90m"
    )]
    #[case::negative(
        "duration",
        json!({"min": "-1h"}),
        "duration.min: \"-1h\" is not a valid duration: write one such as 2160h or 90m"
    )]
    #[case::zero(
        "duration",
        json!({"max": "0"}),
        "duration.max: \"0\" is not a valid duration: write one such as 2160h or 90m"
    )]
    #[case::min_above_max(
        "duration",
        json!({"min": "2h", "max": "90m"}),
        "duration.min: is greater than max"
    )]
    #[case::algorithm(
        "key",
        json!({"algorithms": ["rsa"]}),
        "key.algorithms[0]: \"rsa\" is not one of: RSA, ECDSA, Ed25519"
    )]
    #[case::rsa_min(
        "key",
        json!({"rsa_min": 1024}),
        "key.rsa_min: expected a whole number from 2048 to 8192"
    )]
    #[case::rsa_max(
        "key",
        json!({"rsa_max": 8193}),
        "key.rsa_max: expected a whole number from 2048 to 8192"
    )]
    #[case::rsa_min_above_rsa_max(
        "key",
        json!({"rsa_min": 4096, "rsa_max": 3072}),
        "key.rsa_min: is greater than rsa_max"
    )]
    #[case::ecdsa("key", json!({"ecdsa": [256, 512]}), "key.ecdsa[1]: expected one of 256, 384, 521")]
    #[case::usage(
        "usages",
        json!(["server-auth"]),
        "usages[0]: \"server-auth\" is not one of cert-manager's key usages, such as server auth"
    )]
    #[case::subject("subject", json!("no"), "subject: \"no\" is not one of: allow, deny")]
    #[case::secret_labels(
        "secret_template",
        json!({"labels": ["a**"]}),
        "secret_template.labels[0]: \"a**\" is not a valid pattern: the only wildcard is a single *"
    )]
    #[case::secret_annotations(
        "secret_template",
        json!({"annotations": [""]}),
        "secret_template.annotations[0]: \"\" is empty"
    )]
    #[case::misspelt("dns_name", json!([]), "dns_name: unknown setting; did you mean dns_names?")]
    fn a_problem(#[case] field: &str, #[case] value: Value, #[case] expected: &str) {
        assert_eq!(problems(&[tenant_with(field, value)]), [format!("tenants[0].{expected}")]);
    }

    /// The message is the same as for the kind of the default issuer.
    #[test]
    fn a_kind_that_cert_manager_does_not_have() {
        let issuers = json!([{"kind": "VaultIssuer", "name": "x"}]);
        let problems = problems(&[tenant_with("issuers", issuers)]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("tenants[0].issuers[0].kind: \"VaultIssuer\" is "), "{problems:?}");
    }

    /// Equal bounds are valid.
    #[rstest]
    #[case::duration("duration", json!({"min": "1h", "max": "60m"}))]
    #[case::rsa("key", json!({"rsa_min": 2048, "rsa_max": 2048}))]
    #[case::rsa_largest("key", json!({"rsa_min": 8192, "rsa_max": 8192}))]
    #[case::one_certificate("max_certificates", json!(1))]
    #[case::many_names("max_names", json!(10_000))]
    #[case::namespace_of_an_issuer("issuers", json!([{"kind": "Issuer", "name": "x", "namespace": "a"}]))]
    #[case::namespace_of_another_group(
        "issuers",
        json!([{"group": "example.com", "kind": "ClusterIssuer", "name": "x", "namespace": "a"}])
    )]
    fn no_problem(#[case] field: &str, #[case] value: Value) {
        assert_eq!(problems(&[tenant_with(field, value)]), Vec::<String>::new());
    }

    #[test]
    fn a_selector_as_kubernetes_writes_it() {
        let selector = json!({"matchLabels": {"team": "a"}});
        assert_eq!(
            problems(&[tenant_with("namespace_selector", selector)]).last().unwrap(),
            "tenants[0].namespace_selector.matchLabels: unknown setting; did you mean match_labels?"
        );
    }

    #[test]
    fn two_of_one_name() {
        let tenant = tenant_with("secrets", json!([]));
        assert_eq!(problems(&[tenant.clone(), tenant]), ["tenants: more than one tenant has the name \"a\""]);
    }

    #[test]
    fn all_at_once() {
        let bad =
            json!({"namespaces": ["?"], "issuers": [{}], "key": {"rsa_min": "x"}, "duration": {"min": 1}});
        assert_eq!(
            problems(&[tenant_with("secrets", json!([])), bad]),
            [
                "tenants[1].name: is required",
                "tenants[1].namespaces[0]: \"?\" is not a valid pattern: the only wildcard is a single *",
                "tenants[1].issuers[0].kind: is required",
                "tenants[1].issuers[0].name: is required",
                "tenants[1].dns_names: is required; write [] for none",
                "tenants[1].duration.min: expected a string, found a number",
                "tenants[1].key.rsa_min: expected a whole number from 2048 to 8192",
            ]
        );
    }

    #[test]
    fn other_namespaces() {
        assert_eq!(
            Settings::read(&json!({"other_namespaces": "warn"})).unwrap_err(),
            ["other_namespaces: \"warn\" is not one of: reject, accept"]
        );
    }
}
