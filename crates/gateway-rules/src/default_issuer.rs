//! The default issuer: which Gateways get it, and the annotations that name it.

use std::collections::BTreeMap;

use certificate_shim::Certificate;
use certificate_shim::annotation;
use certificate_shim::gateway::Gateway;
use certificate_shim::issuer_ref::{CERT_MANAGER_GROUP, CLUSTER_ISSUER_KIND, ISSUER_KIND, IssuerRef};
use certificate_shim::placement::placement;
use certificate_shim::plan::plan;
use serde_json::{Map, Value};

use crate::finding::Finding;
use crate::lookup::{Known, LookupError, Outcome};
use crate::ownership::{Owner, owner};
use crate::response::WARNING;
use crate::settings::{DefaultIssuer, DefaultWhen, Settings};
use crate::tenancy::Tenancy;
use crate::text;
use crate::writers::Writers;

/// The annotation that asks for the default issuer or rejects it. cert-manager reads it on Ingresses only.
pub const TLS_ACME: &str = "kubernetes.io/tls-acme";

/// Whether `kubernetes.io/tls-acme` asks for the default issuer.
pub fn is_asked_for(annotations: &BTreeMap<&str, &str>) -> bool {
    annotations.get(TLS_ACME).and_then(|value| go_bool(value)) == Some(true)
}

/// Whether the annotations allow the default issuer. Nothing else is read, so that most requests are
/// accepted without reading their spec.
pub fn is_wanted(default: &DefaultIssuer, annotations: &BTreeMap<&str, &str>) -> bool {
    let asked = match (annotations.get(TLS_ACME).and_then(|value| go_bool(value)), default.when) {
        (Some(asked), _) => asked,
        (None, DefaultWhen::Always) => true,
        (None, DefaultWhen::TlsAcme) => false,
    };
    asked && !annotations.keys().any(|key| names_issuer(key))
}

/// Whether an annotation names an issuer, or looks as if it was meant to.
fn names_issuer(key: &str) -> bool {
    const KEYS: [&str; 4] =
        [annotation::ISSUER, annotation::CLUSTER_ISSUER, annotation::ISSUER_KIND, annotation::ISSUER_GROUP];
    KEYS.contains(&key) || annotation::suggestion(key).is_some_and(|meant| KEYS.contains(&meant))
}

/// Go's `strconv.ParseBool`, as cert-manager reads `kubernetes.io/tls-acme` on an Ingress.
fn go_bool(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Whether a Gateway gets the default issuer.
pub enum Choice<'s> {
    /// It gets its tenant's, or the global one.
    Add(&'s DefaultIssuer),
    /// It does not: a TLS server or listener would still get no Certificate, or there is none for it.
    None,
    /// It does not, because the tenant may not use it, or a Certificate of another owner writes one of
    /// the Secrets: the warning for a Gateway that asked for it.
    NotAllowed(String),
}

/// Chooses the default issuer of a Gateway.
///
/// # Errors
/// A tenant depends on the Namespace, which could not be looked up.
pub fn choose<'s>(
    gateway: &Gateway<'_>,
    candidate: &DefaultIssuer,
    settings: &'s Settings,
    known: &dyn Known,
) -> Result<Choice<'s>, LookupError> {
    let placement = placement(gateway, settings.gateway_namespaces.as_deref());
    let plan = plan(gateway, &candidate.issuer, &placement, &settings.plan);
    if plan.certificates.is_empty() || !plan.skipped.is_empty() {
        return Ok(Choice::None);
    }
    let global = settings.default_issuer.as_ref();
    let namespace = gateway.metadata.namespace;
    let default = match Tenancy::of(namespace, settings, known) {
        Tenancy::Unasked => global,
        Tenancy::Other if settings.accept_other_namespaces => global,
        Tenancy::Other => {
            let reason = format!("no tenant owns namespace {}", text::quote(namespace));
            return Ok(Choice::NotAllowed(not_allowed(candidate, &reason)));
        }
        Tenancy::Tenant(tenant) => {
            let default = tenant.default_issuer.as_ref().or(global);
            let may_use = |default: &DefaultIssuer| {
                placement.iter().all(|place| tenant.may_use(&default.issuer, settings, place, namespace))
            };
            if let Some(default) = default.filter(|default| !may_use(default)) {
                let reason = format!("tenant {} may not use it", text::quote(&tenant.name));
                return Ok(Choice::NotAllowed(not_allowed(default, &reason)));
            }
            default
        }
        Tenancy::Undetermined(error) => return Err(error),
    };
    let Some(default) = default else { return Ok(Choice::None) };
    // If a lookup fails, secret-owner-unknown reports that for the Gateway with its issuer.
    let mut writers = Writers::new(known, settings.lookups.max);
    for secret in plan.certificates.iter().map(Certificate::secret) {
        let found = writers.of_secret(&secret).unwrap_or_default();
        let is_foreign = |(_, certificate): &(_, Outcome)| {
            certificate.as_ref().is_ok_and(|certificate| owner(certificate, gateway) != Owner::ThisGateway)
        };
        if let Some((certificate, _)) = found.iter().find(|found| is_foreign(found)) {
            let reason = format!("{certificate} writes the Secret {}", text::quote(&secret.to_string()));
            return Ok(Choice::NotAllowed(not_allowed(default, &reason)));
        }
    }
    Ok(Choice::Add(default))
}

/// The warning that a Gateway which asked for the default issuer did not get it.
pub fn not_allowed(default: &DefaultIssuer, reason: &str) -> String {
    text::shorten(&format!("{}{reason}.", was_not_added(default)), WARNING)
}

/// The note next to the rejection of a Gateway that asked for the default issuer.
pub fn note(default: &DefaultIssuer) -> String {
    let issuer = text::issuer(&default.issuer);
    format!(
        "default_issuer: the Gateway was checked with {issuer}, because {TLS_ACME} asks for a default issuer."
    )
}

/// The warning that the default issuer was not added because of a finding about the result.
pub fn not_added(default: &DefaultIssuer, finding: &Finding) -> String {
    let start = format!("{}{}: ", was_not_added(default), finding.rule);
    let left = WARNING.saturating_sub(start.chars().count());
    start + &text::shorten(&finding.problem, left)
}

fn was_not_added(default: &DefaultIssuer) -> String {
    format!("default_issuer: {} was not added: ", text::issuer(&default.issuer))
}

/// The object with the annotations that name the issuer, and nothing else changed.
pub fn annotated(mut object: Value, issuer: &IssuerRef) -> Value {
    annotate(&mut object, issuer);
    object
}

fn annotate(object: &mut Value, issuer: &IssuerRef) {
    let own_group = issuer.group == CERT_MANAGER_GROUP;
    let cluster = own_group && issuer.kind == CLUSTER_ISSUER_KIND;
    let mut add = vec![(if cluster { annotation::CLUSTER_ISSUER } else { annotation::ISSUER }, &issuer.name)];
    if !cluster && issuer.kind != ISSUER_KIND {
        add.push((annotation::ISSUER_KIND, &issuer.kind));
    }
    if !own_group {
        add.push((annotation::ISSUER_GROUP, &issuer.group));
    }
    let annotations = child(child(object, "metadata"), "annotations");
    if let Value::Object(annotations) = annotations {
        for (key, value) in add {
            annotations.insert(key.to_owned(), Value::String(value.clone()));
        }
    }
}

/// The object below `parent`, created if it is absent or null. The caller has read both as objects.
fn child<'v>(parent: &'v mut Value, name: &str) -> &'v mut Value {
    if parent.is_null() {
        *parent = Value::Object(Map::new());
    }
    let Value::Object(fields) = parent else { return parent };
    let child = fields.entry(name).or_insert(Value::Null);
    if child.is_null() {
        *child = Value::Object(Map::new());
    }
    child
}

#[cfg(test)]
mod tests {
    use super::*;
    use certificate_shim::gateway::GatewayKind;
    use rstest::rstest;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn default(when: DefaultWhen) -> DefaultIssuer {
        let issuer = IssuerRef { name: "le".into(), kind: "Issuer".into(), group: "cert-manager.io".into() };
        DefaultIssuer { issuer, when, on_update: false }
    }

    #[rstest]
    #[case::asked("true", true, true)]
    #[case::asked_as_go_reads_it("1", true, true)]
    #[case::rejected("false", false, false)]
    #[case::neither("yes", false, true)]
    #[case::empty("", false, true)]
    fn tls_acme(#[case] value: &str, #[case] when_asked: bool, #[case] always: bool) {
        let annotations = BTreeMap::from([(TLS_ACME, value)]);
        assert_eq!(is_wanted(&default(DefaultWhen::TlsAcme), &annotations), when_asked);
        assert_eq!(is_wanted(&default(DefaultWhen::Always), &annotations), always);
    }

    #[rstest]
    #[case::nothing(&[], true)]
    #[case::another_annotation(&["cert-manager.io/duration"], true)]
    #[case::another_issuer_annotation(&["example.com/issuer"], true)]
    #[case::issuer(&["cert-manager.io/issuer"], false)]
    #[case::cluster_issuer(&["cert-manager.io/cluster-issuer"], false)]
    #[case::kind(&["cert-manager.io/issuer-kind"], false)]
    #[case::group(&["cert-manager.io/issuer-group"], false)]
    #[case::misspelt(&["cert-manager.io/clusterissuer"], false)]
    #[case::upper_case(&["cert-manager.io/Issuer"], false)]
    #[case::legacy(&["certmanager.k8s.io/issuer"], false)]
    #[case::legacy_cluster_issuer(&["certmanager.k8s.io/cluster-issuer"], false)]
    fn always_unless_an_annotation_mentions_an_issuer(#[case] keys: &[&str], #[case] expected: bool) {
        let annotations = keys.iter().map(|key| (*key, "x")).collect();
        assert_eq!(is_wanted(&default(DefaultWhen::Always), &annotations), expected);
    }

    #[rstest]
    #[case::no_metadata(json!({"spec": 1}))]
    #[case::null_metadata(json!({"metadata": null, "spec": 1}))]
    #[case::no_annotations(json!({"metadata": {}, "spec": 1}))]
    #[case::null_annotations(json!({"metadata": {"annotations": null}, "spec": 1}))]
    #[case::empty_annotations(json!({"metadata": {"annotations": {}}, "spec": 1}))]
    fn absent_null_and_empty_annotations(#[case] mut object: Value) {
        annotate(&mut object, &default(DefaultWhen::Always).issuer);
        assert_eq!(object, json!({"metadata": {"annotations": {"cert-manager.io/issuer": "le"}}, "spec": 1}));
    }

    #[rstest]
    #[case::issuer("Issuer", "cert-manager.io", json!({"cert-manager.io/issuer": "x"}))]
    #[case::cluster_issuer("ClusterIssuer", "cert-manager.io", json!({"cert-manager.io/cluster-issuer": "x"}))]
    #[case::external("K", "example.com", json!({
        "cert-manager.io/issuer": "x", "cert-manager.io/issuer-kind": "K", "cert-manager.io/issuer-group": "example.com"
    }))]
    #[case::external_issuer("Issuer", "example.com", json!({"cert-manager.io/issuer": "x", "cert-manager.io/issuer-group": "example.com"}))]
    #[case::external_cluster_issuer("ClusterIssuer", "example.com", json!({
        "cert-manager.io/issuer": "x", "cert-manager.io/issuer-kind": "ClusterIssuer", "cert-manager.io/issuer-group": "example.com"
    }))]
    fn the_added_annotations_resolve_to_the_issuer(
        #[case] kind: &str,
        #[case] group: &str,
        #[case] expected: Value,
    ) {
        let issuer = IssuerRef { name: "x".into(), kind: kind.into(), group: group.into() };
        let mut object = json!({});
        annotate(&mut object, &issuer);
        assert_eq!(object["metadata"]["annotations"], expected);
        let gateway = Gateway::read(GatewayKind::Istio, "ns", &object).unwrap();
        let resolution = certificate_shim::issuer_ref::resolve(&gateway).unwrap();
        assert_eq!((resolution.reference, resolution.faults), (issuer, vec![]));
    }
}
