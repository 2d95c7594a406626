//! The policy's settings. All problems in them are reported at once.

mod fields;
mod fingerprint;
pub mod patterns;
pub mod tenants;

use std::collections::BTreeMap;

use certificate_shim::IssuerRef;
use certificate_shim::gateway::Metadata;
use certificate_shim::issuer_ref::{CERT_MANAGER_GROUP, CLUSTER_ISSUER_KIND, ISSUER_KIND};
use certificate_shim::placement::GatewayNamespace;
use certificate_shim::plan::Options;
use serde_json::Value;

use crate::catalog::for_each_rule;
use crate::finding::Level;
use crate::rule::Rule;
use crate::text::{is_unprintable, nearest, quote, shorten};
use certificate_shim::name::{is_label, is_subdomain};
use fields::{Fields, Problems};
use patterns::{Globs, name_fault};
use tenants::Tenant;

pub use fingerprint::fingerprint;

/// The role of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Adds the default issuer, then checks.
    #[default]
    Both,
    /// Adds the default issuer and checks nothing: for a mutating policy next to a validating one.
    Default,
    /// Checks and never patches: for validating policies and policy groups, which reject patches.
    Validate,
}

/// When an unannotated Gateway gets the default issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DefaultWhen {
    /// Only if `kubernetes.io/tls-acme` is true.
    #[default]
    TlsAcme,
    /// Unless `kubernetes.io/tls-acme` is false.
    Always,
}

/// The issuer for Gateways that name none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultIssuer {
    /// The issuer.
    pub issuer: IssuerRef,
    /// Which Gateways get it.
    pub when: DefaultWhen,
    /// Whether an UPDATE gets it too, or a CREATE only.
    pub on_update: bool,
}

/// The scope of an issuer kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Its objects live in namespaces.
    Namespaced,
    /// Its objects belong to the whole cluster.
    Cluster,
}

/// A kind of issuer that may be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerKind {
    /// The API group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// Group and version, as in an object's `apiVersion`.
    pub api_version: String,
    /// The scope of its objects.
    pub scope: Scope,
}

/// The version in which cert-manager's own issuers are looked up: the one that 1.21 serves.
pub const CERT_MANAGER_API_VERSION: &str = "cert-manager.io/v1";

/// How cluster objects are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupSettings {
    /// Whether every lookup bypasses the host's cache.
    pub fresh: bool,
    /// The most Certificates that are looked up per request.
    pub max: usize,
    /// The kinds that are listed.
    pub list: Lists,
}

/// The kinds that are listed. The platform must grant them. By default nothing is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lists {
    /// Certificates, by namespace: to find the owner of a Secret even if the Certificate has another name.
    pub certificates: bool,
    /// Istio Gateways of the whole cluster: to find the hosts that others serve.
    pub gateways: bool,
    /// Issuers, by namespace, and ClusterIssuers: to suggest a name that exists.
    pub issuers: bool,
}

impl Default for LookupSettings {
    fn default() -> Self {
        LookupSettings { fresh: false, max: 8, list: Lists::default() }
    }
}

/// Findings that become warnings: those of these rules on Gateways of these names in these namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Globs for the namespace.
    pub namespaces: Globs,
    /// Globs for the name.
    pub gateways: Globs,
    /// Ids of the rules.
    pub rules: Vec<String>,
    /// The reason, which is part of the warning.
    pub reason: String,
}

/// All settings. `{}` is valid: every field has a default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// The role of the policy.
    pub role: Role,
    /// The default issuer, if there is one.
    pub default_issuer: Option<DefaultIssuer>,
    /// Levels that differ from the rules' own, by rule id.
    pub levels: BTreeMap<String, Level>,
    /// Findings that become warnings.
    pub exceptions: Vec<Exception>,
    /// The platform team's line at the end of every rejection; empty for none.
    pub help: String,
    /// Whether an update is rejected for problems that the object already had.
    pub reject_existing_violations: bool,
    /// How cluster objects are looked up.
    pub lookups: LookupSettings,
    /// Whether the CA accepts HTTP-01 for wildcards. Most CAs require DNS-01.
    pub http01_wildcards: bool,
    /// Issuers of other groups than cert-manager's that may be looked up.
    pub issuer_kinds: Vec<IssuerKind>,
    /// The gateway Pods and their namespaces; if `None`, each Istio Gateway's Secrets are read in its own
    /// namespace.
    pub gateway_namespaces: Option<Vec<GatewayNamespace>>,
    /// Namespaces of earlier `gateway_namespaces`, in which the controller may still delete and take over
    /// Certificates.
    pub former_gateway_namespaces: Vec<String>,
    /// The configuration of cert-manager and the controller that plans depend on.
    pub plan: Options,
    /// The tenants; the first one that owns the Gateway's namespace counts.
    pub tenants: Vec<Tenant>,
    /// Whether namespaces of no tenant may have certificates, if there are tenants.
    pub accept_other_namespaces: bool,
}

impl Settings {
    /// Reads settings.
    ///
    /// # Errors
    /// All problems, each with the path of the setting and the fix.
    pub fn read(value: &Value) -> Result<Self, Vec<String>> {
        let problems = Problems::default();
        let mut root = Fields::root(value, &problems);
        let settings = Settings {
            role: root
                .one_of(
                    "role",
                    &[("both", Role::Both), ("default", Role::Default), ("validate", Role::Validate)],
                )
                .unwrap_or_default(),
            default_issuer: root.object("default_issuer", default_issuer),
            levels: levels(&mut root),
            exceptions: root.objects("exceptions", exception).unwrap_or_default(),
            help: help(&mut root),
            reject_existing_violations: root
                .one_of("existing_violations", &[("warn", false), ("reject", true)])
                .unwrap_or_default(),
            lookups: root.object("lookups", lookups).unwrap_or_default(),
            http01_wildcards: root
                .one_of("acme_wildcards", &[("dns01", false), ("any", true)])
                .unwrap_or_default(),
            issuer_kinds: root.objects("issuer_kinds", issuer_kind).unwrap_or_default(),
            gateway_namespaces: root.objects("gateway_namespaces", gateway_namespace),
            former_gateway_namespaces: root
                .checked("former_gateway_namespaces", namespace_fault)
                .unwrap_or_default(),
            plan: Options {
                copy_labels: root.strings("copy_labels").unwrap_or_default(),
                copy_annotations: root.strings("copy_annotations").unwrap_or_default(),
                extra_protocols: root.strings("extra_protocols").unwrap_or_default(),
            },
            tenants: tenants::read(&mut root),
            accept_other_namespaces: root
                .one_of("other_namespaces", &[("reject", false), ("accept", true)])
                .unwrap_or_default(),
        };
        root.end();
        let problems = problems.into_vec();
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    /// The level of a rule under these settings.
    pub fn level(&self, rule: &Rule) -> Level {
        self.levels.get(rule.id).copied().unwrap_or(rule.level)
    }

    /// The exception for a rule's findings on a Gateway, if there is one.
    pub fn exception(&self, gateway: &Metadata<'_>, rule: &str) -> Option<&Exception> {
        self.exceptions.iter().find(|exception| {
            exception.namespaces.allow(gateway.namespace)
                && exception.gateways.allow(gateway.name)
                && exception.rules.iter().any(|id| id == rule)
        })
    }

    /// The default issuer for all, and those of the tenants.
    pub fn default_issuers(&self) -> impl Iterator<Item = &DefaultIssuer> {
        self.default_issuer
            .iter()
            .chain(self.tenants.iter().filter_map(|tenant| tenant.default_issuer.as_ref()))
    }

    /// Whether an issuer belongs to the whole cluster. A kind that is not configured counts as namespaced.
    pub fn is_cluster_wide(&self, reference: &IssuerRef) -> bool {
        matches!(self.issuer_kind(reference), Some((_, Scope::Cluster)))
    }

    /// How to look up issuers of that kind; `None` for a kind that is not configured.
    pub fn issuer_kind(&self, reference: &IssuerRef) -> Option<(&str, Scope)> {
        let kind = reference.effective_kind();
        if reference.is_own_group() {
            return match kind {
                ISSUER_KIND => Some((CERT_MANAGER_API_VERSION, Scope::Namespaced)),
                CLUSTER_ISSUER_KIND => Some((CERT_MANAGER_API_VERSION, Scope::Cluster)),
                _ => None,
            };
        }
        self.issuer_kinds
            .iter()
            .find(|known| known.group == reference.effective_group() && known.kind == kind)
            .map(|known| (known.api_version.as_str(), known.scope))
    }
}

fn default_issuer(fields: &mut Fields<'_>) -> Option<DefaultIssuer> {
    let name = fields.required("name");
    let kind = fields.string("kind").unwrap_or(ISSUER_KIND);
    let group = fields.string("group").unwrap_or(CERT_MANAGER_GROUP);
    let when = fields.one_of("when", &[("tls-acme", DefaultWhen::TlsAcme), ("always", DefaultWhen::Always)]);
    let on = fields.one_of("on", &[("create", false), ("create-and-update", true)]);
    if let Some(name) = name
        && !is_subdomain(name)
    {
        fields.problem("name", format!("{} is not a valid object name (RFC 1123 subdomain)", quote(name)));
    }
    check_issuer_kind(fields, group, kind);
    Some(DefaultIssuer {
        issuer: IssuerRef { name: name?.to_owned(), kind: kind.to_owned(), group: group.to_owned() },
        when: when.unwrap_or_default(),
        on_update: on.unwrap_or_default(),
    })
}

/// Reports a kind that its group does not have, and an invalid group.
fn check_issuer_kind(fields: &Fields<'_>, group: &str, kind: &str) {
    if group == CERT_MANAGER_GROUP && kind != ISSUER_KIND && kind != CLUSTER_ISSUER_KIND {
        let kind = quote(kind);
        fields.problem(
            "kind",
            format!("{kind} is not a kind of {CERT_MANAGER_GROUP}: use {ISSUER_KIND} or {CLUSTER_ISSUER_KIND}, or set group"),
        );
    }
    if !is_subdomain(group) {
        fields.problem("group", format!("{} is not a valid API group (RFC 1123 subdomain)", quote(group)));
    }
}

macro_rules! names {
    ($($name:ident,)+) => {
        const NAMES: &[&str] = &[$(stringify!($name)),+];
    };
}
for_each_rule!(names);

/// The rules whose level neither settings nor exceptions can change: if they report anything, the other
/// rules cannot run.
pub const FIXED: &[&str] = &["object-too-large", "lookup-failed"];

/// The id of every rule.
pub fn rule_ids() -> impl Iterator<Item = String> {
    NAMES.iter().map(|name| name.replace('_', "-"))
}

/// The problem with the id of a rule in the settings; `None` if it is valid.
fn rule_fault(id: &str) -> Option<String> {
    if FIXED.contains(&id) {
        return Some("the level of this rule cannot be changed".to_owned());
    }
    let settable: Vec<String> = rule_ids().filter(|id| !FIXED.contains(&id.as_str())).collect();
    if settable.iter().any(|known| known == id) {
        return None;
    }
    let settable: Vec<&str> = settable.iter().map(String::as_str).collect();
    Some(match nearest(id, &settable) {
        Some(rule) => format!("unknown rule; did you mean {rule}?"),
        None => format!("unknown rule; known rules: {}", settable.join(", ")),
    })
}

fn levels(root: &mut Fields<'_>) -> BTreeMap<String, Level> {
    let mut levels = BTreeMap::new();
    for (id, level) in root.words("rules").unwrap_or_default() {
        let path = format!("rules.{}", shorten(id, 80));
        match (rule_fault(id), Level::parse(level)) {
            (Some(fault), _) => root.problem(&path, fault),
            (None, None) => root.problem(&path, format!("{} is not one of: reject, warn, off", quote(level))),
            (None, Some(level)) => {
                levels.insert(id.to_owned(), level);
            }
        }
    }
    levels
}

fn exception(fields: &mut Fields<'_>) -> Option<Exception> {
    let mut globs = |name| {
        fields.require_list(name);
        fields.checked(name, name_fault).map(Globs)
    };
    let (namespaces, gateways) = (globs("namespaces"), globs("gateways"));
    fields.require_list("rules");
    let rules = fields.texts("rules").unwrap_or_default();
    for (path, id) in &rules {
        if let Some(fault) = rule_fault(id) {
            fields.problem_at(path, format!("{}: {fault}", quote(id)));
        }
    }
    let rules = rules.into_iter().map(|(_, id)| id.to_owned()).collect();
    let reason = fields.required("reason")?;
    line_fault(fields, "reason", reason, 120);
    Some(Exception { namespaces: namespaces?, gateways: gateways?, rules, reason: reason.to_owned() })
}

fn help(root: &mut Fields<'_>) -> String {
    let help = root.string("help").unwrap_or_default();
    line_fault(root, "help", help, 256);
    help.to_owned()
}

/// Reports a text that is not one printable line of at most `most` characters.
fn line_fault(fields: &Fields<'_>, name: &str, text: &str, most: usize) {
    if text.chars().count() > most || text.chars().any(is_unprintable) {
        fields.problem(name, format!("expected one printable line of at most {most} characters"));
    }
}

fn lookups(fields: &mut Fields<'_>) -> Option<LookupSettings> {
    let default = LookupSettings::default();
    Some(LookupSettings {
        fresh: fields.boolean("fresh").unwrap_or(default.fresh),
        max: fields.count("max", 1..=100).unwrap_or(default.max),
        list: lists(fields),
    })
}

fn lists(fields: &mut Fields<'_>) -> Lists {
    let fault = |word: &str| {
        (!["certificates", "gateways", "issuers"].contains(&word))
            .then_some("is not one of: certificates, gateways, issuers")
    };
    let words = fields.checked("list", fault).unwrap_or_default();
    let has = |word: &str| words.iter().any(|listed| listed == word);
    Lists { certificates: has("certificates"), gateways: has("gateways"), issuers: has("issuers") }
}

fn issuer_kind(fields: &mut Fields<'_>) -> Option<IssuerKind> {
    let group = fields.required("group");
    let kind = fields.required("kind");
    let api_version = fields.required("api_version");
    if fields.is_absent("scope") {
        fields.problem("scope", "is required: Namespaced or Cluster");
    }
    let scope = fields.one_of("scope", &[("Namespaced", Scope::Namespaced), ("Cluster", Scope::Cluster)]);
    let group = group?;
    if group == CERT_MANAGER_GROUP {
        fields.problem("group", "cert-manager's own issuers are always looked up: remove this entry");
    }
    let api_version = match api_version?.split_once('/') {
        None => format!("{group}/{}", api_version?),
        Some((own, _)) if own == group => api_version?.to_owned(),
        Some((own, _)) => {
            fields.problem("api_version", format!("the group {} is not {}", quote(own), quote(group)));
            return None;
        }
    };
    Some(IssuerKind { group: group.to_owned(), kind: kind?.to_owned(), api_version, scope: scope? })
}

fn namespace_fault(namespace: &str) -> Option<&'static str> {
    (!is_label(namespace)).then_some("is not a valid namespace (RFC 1123 label)")
}

fn gateway_namespace(fields: &mut Fields<'_>) -> Option<GatewayNamespace> {
    let labels = fields.entries("labels");
    if labels.is_none() {
        fields.problem("labels", "the labels of the gateway Pods are required");
    }
    let namespace = fields.required("namespace")?;
    if let Some(fault) = namespace_fault(namespace) {
        fields.problem("namespace", format!("{} {fault}", quote(namespace)));
    }
    let mut pods = BTreeMap::new();
    for (key, value) in labels? {
        pods.insert(key.to_owned(), value.to_owned());
    }
    Some(GatewayNamespace { labels: pods, namespace: namespace.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::empty(json!({}))]
    #[case::null(json!(null))]
    #[case::every_field_null(json!({"role": null, "rules": null, "default_issuer": null, "lookups": null}))]
    #[case::defaults_written_out(json!({"role": "both", "existing_violations": "warn", "lookups": {"fresh": false, "max": 8}, "rules": {}}))]
    fn the_defaults(#[case] settings: Value) {
        assert_eq!(Settings::read(&settings), Ok(Settings::default()));
    }

    /// YAML 1.1 has `off` without quotes for false.
    #[test]
    fn off_without_quotes() {
        let settings = Settings::read(&json!({"rules": {"issuer-not-ready": false}})).unwrap();
        assert_eq!(settings.levels, BTreeMap::from([("issuer-not-ready".into(), Level::Off)]));
    }

    #[test]
    fn everything_at_once() {
        let settings = Settings::read(&json!({
            "role": "validate",
            "default_issuer": {"name": "pca", "kind": "AWSPCAClusterIssuer", "group": "awspca.cert-manager.io",
                "when": "always", "on": "create-and-update"},
            "rules": {"issuer-not-ready": "warn", "issuer-external": "off"},
            "existing_violations": "reject",
            "lookups": {"fresh": true, "max": 20},
            "acme_wildcards": "any",
            "issuer_kinds": [
                {"group": "awspca.cert-manager.io", "kind": "AWSPCAClusterIssuer", "api_version": "awspca.cert-manager.io/v1beta1", "scope": "Cluster"},
                {"group": "example.com", "kind": "MyIssuer", "api_version": "v1", "scope": "Namespaced"},
            ],
            "gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": "istio-system"}],
            "former_gateway_namespaces": ["istio-ingress"],
            "copy_labels": ["team"],
            "copy_annotations": ["example.com/*"],
        }))
        .unwrap();
        assert_eq!(settings.role, Role::Validate);
        assert_eq!(
            settings.levels,
            BTreeMap::from([
                ("issuer-not-ready".into(), Level::Warn),
                ("issuer-external".into(), Level::Off)
            ])
        );
        assert!(settings.reject_existing_violations && settings.lookups.fresh && settings.http01_wildcards);
        assert_eq!(settings.lookups.max, 20);
        let default = settings.default_issuer.clone().unwrap();
        assert_eq!((default.when, default.on_update), (DefaultWhen::Always, true));
        assert_eq!(
            settings.issuer_kind(&default.issuer),
            Some(("awspca.cert-manager.io/v1beta1", Scope::Cluster))
        );
        assert_eq!(settings.issuer_kinds[1].api_version, "example.com/v1");
        assert_eq!(settings.gateway_namespaces.unwrap()[0].namespace, "istio-system");
        assert_eq!(settings.former_gateway_namespaces, ["istio-ingress"]);
        assert_eq!(settings.plan.copy_labels, ["team"]);
    }

    #[rstest]
    #[case::not_an_object(json!([]), &["settings: expected an object, found a list"])]
    #[case::camel_case_key(json!({"defaultIssuer": {}}), &["defaultIssuer: unknown setting; did you mean default_issuer?"])]
    #[case::misspelt_key(json!({"gateway_namespace": []}), &["gateway_namespace: unknown setting; did you mean gateway_namespaces?"])]
    #[case::unknown_nested_key(json!({"lookups": {"frsh": true}}), &["lookups.frsh: unknown setting; did you mean fresh?"])]
    #[case::role(json!({"role": "mutate"}), &["role: \"mutate\" is not one of: both, default, validate"])]
    #[case::role_type(json!({"role": 1}), &["role: expected one of both, default, validate, found a number"])]
    #[case::unknown_rule(json!({"rules": {"issuer-not-redy": "warn"}}), &["rules.issuer-not-redy: unknown rule; did you mean issuer-not-ready?"])]
    #[case::fixed_level(json!({"rules": {"lookup-failed": "warn"}}), &["rules.lookup-failed: the level of this rule cannot be changed"])]
    #[case::level(json!({"rules": {"issuer-not-ready": "deny"}}), &["rules.issuer-not-ready: \"deny\" is not one of: reject, warn, off"])]
    #[case::level_type(json!({"rules": {"issuer-not-ready": true}}), &["rules.issuer-not-ready: expected a string, found true or false"])]
    #[case::on_without_quotes(
        json!({"default_issuer": {"name": "a", "true": "create"}}),
        &["default_issuer.true: unknown setting; YAML reads an unquoted on as true: write \"on\""]
    )]
    #[case::rules_as_list(json!({"rules": ["issuer-not-ready"]}), &["rules: expected an object, found a list"])]
    #[case::default_without_name(json!({"default_issuer": {}}), &["default_issuer.name: is required"])]
    #[case::default_with_empty_name(json!({"default_issuer": {"name": ""}}), &["default_issuer.name: is required"])]
    #[case::default_with_bad_name(json!({"default_issuer": {"name": "a/b"}}), &["default_issuer.name: \"a/b\" is not a valid object name (RFC 1123 subdomain)"])]
    #[case::default_with_foreign_kind(json!({"default_issuer": {"name": "a", "kind": "MyIssuer"}}), &[
        "default_issuer.kind: \"MyIssuer\" is not a kind of cert-manager.io: use Issuer or ClusterIssuer, or set group"
    ])]
    #[case::fresh_as_text(json!({"lookups": {"fresh": "yes"}}), &["lookups.fresh: expected true or false, found a string"])]
    #[case::no_lookups(json!({"lookups": {"max": 0}}), &["lookups.max: expected a whole number from 1 to 100"])]
    #[case::too_many_lookups(json!({"lookups": {"max": 101}}), &["lookups.max: expected a whole number from 1 to 100"])]
    #[case::half_a_lookup(json!({"lookups": {"max": 1.5}}), &["lookups.max: expected a whole number from 1 to 100"])]
    #[case::lookups_as_text(json!({"lookups": {"max": "8"}}), &["lookups.max: expected a whole number from 1 to 100"])]
    #[case::kind_of_another_group(
        json!({"issuer_kinds": [{"group": "a.io", "kind": "K", "api_version": "b.io/v1", "scope": "Cluster"}]}),
        &["issuer_kinds[0].api_version: the group \"b.io\" is not \"a.io\""]
    )]
    #[case::kind_without_scope(
        json!({"issuer_kinds": [{"group": "a.io", "kind": "K", "api_version": "v1"}]}),
        &["issuer_kinds[0].scope: is required: Namespaced or Cluster"]
    )]
    #[case::kind_with_another_scope(
        json!({"issuer_kinds": [{"group": "a.io", "kind": "K", "api_version": "v1", "scope": "Global"}]}),
        &["issuer_kinds[0].scope: \"Global\" is not one of: Namespaced, Cluster"]
    )]
    #[case::own_group(
        json!({"issuer_kinds": [{"group": "cert-manager.io", "kind": "Issuer", "api_version": "v1", "scope": "Namespaced"}]}),
        &["issuer_kinds[0].group: cert-manager's own issuers are always looked up: remove this entry"]
    )]
    #[case::gateway_namespace_alone(json!({"gateway_namespaces": [{"namespace": "x"}]}), &["gateway_namespaces[0].labels: the labels of the gateway Pods are required"])]
    #[case::gateway_namespace_with_dots(json!({"gateway_namespaces": [{"labels": {}, "namespace": "a.b"}]}), &["gateway_namespaces[0].namespace: \"a.b\" is not a valid namespace (RFC 1123 label)"])]
    #[case::former_namespace_with_dots(json!({"former_gateway_namespaces": ["a", "a.b"]}), &["former_gateway_namespaces[1]: \"a.b\" is not a valid namespace (RFC 1123 label)"])]
    #[case::copy_labels(json!({"copy_labels": ["a", 1]}), &["copy_labels[1]: expected a string, found a number"])]
    #[case::all_reported(json!({"role": "x", "copy_labels": "a", "zzz": 1}), &[
        "role: \"x\" is not one of: both, default, validate",
        "copy_labels: expected a list, found a string",
        "zzz: unknown setting; known here: role, default_issuer, rules, exceptions, help, existing_violations, lookups, acme_wildcards, issuer_kinds, gateway_namespaces, former_gateway_namespaces, copy_labels, copy_annotations, extra_protocols, tenants, other_namespaces",
    ])]
    fn problems(#[case] settings: Value, #[case] expected: &[&str]) {
        assert_eq!(Settings::read(&settings).unwrap_err(), expected);
    }
}
