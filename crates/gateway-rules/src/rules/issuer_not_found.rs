//! The issuer that the annotations name does not exist.
//!
//! cert-manager makes the Certificate all the same, and its request waits for an issuer that nobody
//! may ever create: a typo looks like a slow CA.
//!
//! Refused, where the cluster has a ClusterIssuer `letsencrypt` and no Issuer of that name:
//! ```yaml
//! cert-manager.io/issuer: letsencrypt
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```
//! An issuer that comes with the same apply has to be there first: let the Gateway depend on it
//! (`dependsOn` in Flux, sync waves in Argo CD).

use certificate_shim::annotation;
use certificate_shim::issuer_ref::{CERT_MANAGER_GROUP, CLUSTER_ISSUER_KIND, ISSUER_KIND, IssuerRef};

use super::{Applies, Findings, Judges, Rule};
use crate::context::{Context, FoundIssuer};
use crate::finding::{Level, Refusal};
use crate::issuer;
use crate::lookup::LookupError;
use crate::text::quote;
use certificate_shim::name::is_subdomain;

/// `issuer-not-found`
pub const RULE: Rule = Rule {
    id: "issuer-not-found",
    default: Level::Reject,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(reference) = context.issuer_ref() else { return };
    for FoundIssuer { object, outcome } in context.issuers() {
        if *outcome != Err(LookupError::NotFound) {
            continue;
        }
        let mend = if !is_subdomain(&reference.name) {
            "No issuer can have that name: it takes lower-case letters, digits, hyphens and dots.".to_owned()
        } else if let Some(other) = existing_other_kind(context, reference) {
            let (key, kind) = (annotation_for(&other), other.kind);
            let article = if kind == ISSUER_KIND { "An" } else { "A" };
            format!(
                "{article} {kind} of that name exists: if it is meant, use {key}: {}.",
                quote(&other.name)
            )
        } else {
            advice(context, object.namespace.as_deref())
        };
        findings.add(context.issuer_path(), object.to_string(), format!("there is no {object}"), mend);
    }
}

/// cert-manager's other kind of issuer under the same name, if there is one.
fn existing_other_kind(context: &Context<'_>, reference: &IssuerRef) -> Option<IssuerRef> {
    let kind = match reference.effective_kind() {
        ISSUER_KIND if reference.is_own_group() => CLUSTER_ISSUER_KIND,
        CLUSTER_ISSUER_KIND if reference.is_own_group() => ISSUER_KIND,
        _ => return None,
    };
    let other = IssuerRef {
        name: reference.name.clone(),
        kind: kind.to_owned(),
        group: CERT_MANAGER_GROUP.to_owned(),
    };
    let object = context.issuer_objects(&other).into_iter().next()?;
    context.look_up(&object, issuer::FIELDS)?.is_ok().then_some(other)
}

fn annotation_for(reference: &IssuerRef) -> &'static str {
    if reference.kind == CLUSTER_ISSUER_KIND { annotation::CLUSTER_ISSUER } else { annotation::ISSUER }
}

fn advice(context: &Context<'_>, namespace: Option<&str>) -> String {
    let order = "create it first (if both come with one apply: dependsOn or a sync wave)";
    match namespace {
        Some(namespace) if namespace != context.gateway.metadata.namespace => {
            format!(
                "The Gateway's Secrets are read in {namespace}, so its Issuer has to be there too: correct the name, {order}, or use a ClusterIssuer."
            )
        }
        _ => format!("Correct the name, or {order}."),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, cluster_issuer, gateway_api, issuer, istio};
    use crate::lookup::LookupError;
    use rstest::rstest;
    use serde_json::json;

    const ORDER: &str =
        "Correct the name, or create it first (if both come with one apply: dependsOn or a sync wave).";

    #[test]
    fn an_issuer_that_is_there() {
        let cluster = TestCluster::default().object(issuer("team-a", "ca").ready());
        assert_eq!(istio("shop").cert_manager("issuer", "ca").findings(&cluster), Vec::<String>::new());
        assert_eq!(cluster.asked(), ["Issuer team-a/ca"]);
    }

    #[test]
    fn absent() {
        let cluster = TestCluster::default();
        assert_eq!(
            gateway_api("web").cert_manager("cluster-issuer", "le").findings(&cluster),
            [format!(
                "issuer-not-found: metadata.annotations[cert-manager.io/cluster-issuer]: there is no ClusterIssuer \"le\". {ORDER}"
            )]
        );
        assert_eq!(cluster.asked(), ["ClusterIssuer le", "Issuer team-a/le"]);
    }

    #[rstest]
    #[case::cluster_issuer_is_meant(
        "issuer",
        "there is no Issuer \"x\" in namespace \"team-a\". A ClusterIssuer of that name exists: if it is meant, use cert-manager.io/cluster-issuer: \"x\"."
    )]
    #[case::issuer_is_meant(
        "cluster-issuer",
        "there is no ClusterIssuer \"x\". An Issuer of that name exists: if it is meant, use cert-manager.io/issuer: \"x\"."
    )]
    fn the_other_kind(#[case] key: &str, #[case] expected: &str) {
        let other = if key == "issuer" { cluster_issuer("x") } else { issuer("team-a", "x") };
        let cluster = TestCluster::default().object(other.ready());
        assert_eq!(
            istio("shop").cert_manager(key, "x").findings(&cluster),
            [format!("issuer-not-found: metadata.annotations[cert-manager.io/{key}]: {expected}")]
        );
    }

    #[test]
    fn in_the_placement_not_in_the_own_namespace() {
        let cluster = TestCluster::default().object(issuer("team-a", "ca").ready());
        let known = json!({"gateway_namespaces": [
            {"labels": {"istio": "ingressgateway"}, "namespace": "istio-system"},
            {"labels": {"istio": "ingressgateway", "zone": "b"}, "namespace": "istio-b"},
        ]});
        let findings = istio("shop").cert_manager("issuer", "ca").settings(known).findings(&cluster);
        assert_eq!(findings.len(), 2);
        assert_eq!(
            findings[0],
            "issuer-not-found: metadata.annotations[cert-manager.io/issuer]: there is no Issuer \"ca\" in namespace \"istio-system\". The Gateway's Secrets are read in istio-system, so its Issuer has to be there too: correct the name, create it first (if both come with one apply: dependsOn or a sync wave), or use a ClusterIssuer."
        );
        assert_eq!(cluster.asked(), ["Issuer istio-system/ca", "Issuer istio-b/ca", "ClusterIssuer ca"]);
    }

    #[rstest]
    #[case::status("ca/status")]
    #[case::query("ca?x")]
    #[case::upper_case("CA")]
    #[case::blank(" ")]
    fn a_name_that_no_issuer_can_have(#[case] name: &str) {
        let cluster = TestCluster::default();
        let findings = istio("shop").cert_manager("issuer", name).findings(&cluster);
        assert_eq!(
            findings,
            [format!(
                "issuer-not-found: metadata.annotations[cert-manager.io/issuer]: there is no Issuer \"{name}\" in namespace \"team-a\". No issuer can have that name: it takes lower-case letters, digits, hyphens and dots."
            )]
        );
        assert_eq!(cluster.asked(), Vec::<String>::new());
    }

    #[test]
    fn the_other_kind_is_no_help_where_it_cannot_be_read() {
        let object = crate::lookup::ObjectRef {
            api_version: "cert-manager.io/v1".into(),
            kind: "ClusterIssuer".into(),
            namespace: None,
            name: "x".into(),
        };
        let cluster = TestCluster::default().answer(&object, Err(LookupError::Forbidden));
        assert_eq!(
            istio("shop").cert_manager("issuer", "x").findings(&cluster),
            [format!(
                "issuer-not-found: metadata.annotations[cert-manager.io/issuer]: there is no Issuer \"x\" in namespace \"team-a\". {ORDER}"
            )]
        );
    }
}
