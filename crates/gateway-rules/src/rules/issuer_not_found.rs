//! The issuer that the annotations name does not exist.
//!
//! cert-manager creates the Certificate anyway, and its request waits until the issuer exists. With a
//! typo in the name it waits forever, and looks like a slow CA.
//!
//! If the issuer comes with the same apply, let the Gateway depend on it: `dependsOn` in Flux, sync
//! waves in Argo CD.
//!
//! Rejected, if the cluster has a ClusterIssuer `letsencrypt` and no Issuer of that name:
//! ```yaml
//! cert-manager.io/issuer: letsencrypt
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```

use certificate_shim::annotation;
use certificate_shim::issuer_ref::{CERT_MANAGER_GROUP, CLUSTER_ISSUER_KIND, ISSUER_KIND, IssuerRef};
use certificate_shim::name::is_subdomain;

use crate::context::{Context, FoundIssuer};
use crate::lookup::{ListRef, LookupError, ObjectRef};
use crate::rule::{Findings, Rule};
use crate::tenancy::inherited_keys;
use crate::text::{nearest, quote};

/// `issuer-not-found`
pub const RULE: Rule = Rule::reject("issuer-not-found", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(reference) = context.issuer_ref() else { return };
    let own = context.gateway.metadata.namespace;
    for FoundIssuer { object, outcome } in context.issuers() {
        if *outcome != Err(LookupError::NotFound) {
            continue;
        }
        let is_elsewhere = object.namespace.as_deref().is_some_and(|namespace| namespace != own);
        let place = if is_elsewhere { ", where the Gateway's Secrets are read" } else { "" };
        findings
            .report(context.issuer_path(), format!("there is no {object}{place}"))
            .subject(object.to_string())
            .help(help(context, reference, object, is_elsewhere));
    }
}

fn help(context: &Context<'_>, reference: &IssuerRef, object: &ObjectRef, is_elsewhere: bool) -> String {
    if !is_subdomain(&reference.name) {
        return "Correct the name: it takes lower-case letters, digits, hyphens and dots.".to_owned();
    }
    match existing_other_kind(context, reference) {
        None if let Some(name) = similar(context, reference, object) => {
            format!("Did you mean {}?", quote(&name))
        }
        Some(kind) => {
            // cert-manager ignores a cluster-issuer that comes with a kind or a group.
            let fix = if inherited_keys(context.gateway).next().is_some() {
                format!("Set {} to {kind}", annotation::ISSUER_KIND)
            } else if kind == CLUSTER_ISSUER_KIND {
                format!("Use {} instead", annotation::CLUSTER_ISSUER)
            } else {
                format!("Use {} instead", annotation::ISSUER)
            };
            let article = if kind == ISSUER_KIND { "an" } else { "a" };
            format!("{fix}: {article} {kind} of that name exists.")
        }
        None if is_elsewhere => {
            "Correct the name, create the issuer in that namespace, or use a ClusterIssuer.".to_owned()
        }
        None => "Correct the name, or create the issuer first (with dependsOn or a sync wave).".to_owned(),
    }
}

/// The issuer of the same kind and place whose name is closest, among those that the tenant may use.
/// Known only if issuers are listed.
fn similar(context: &Context<'_>, reference: &IssuerRef, object: &ObjectRef) -> Option<String> {
    let ObjectRef { api_version, kind, namespace, .. } = object.clone();
    let listed = context.list(&ListRef { api_version, kind, namespace })?.ok()?;
    let own = context.gateway.metadata.namespace;
    let is_usable = |name: &&str| {
        let issuer = IssuerRef { name: (*name).to_owned(), ..reference.clone() };
        let place = object.namespace.as_deref().unwrap_or_default();
        context.tenant().is_none_or(|tenant| tenant.may_use(&issuer, context.settings, place, own))
    };
    let names = listed.iter().filter_map(|issuer| issuer.pointer("/metadata/name")?.as_str());
    let names: Vec<&str> = names.filter(is_usable).collect();
    let written = reference.name.as_str();
    let is_longer =
        |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('-'));
    let prefix = || names.iter().copied().find(|name| is_longer(name, written) || is_longer(written, name));
    nearest(written, &names).or_else(prefix).map(str::to_owned)
}

/// cert-manager's other kind of issuer, if one of that kind has the name.
fn existing_other_kind(context: &Context<'_>, reference: &IssuerRef) -> Option<&'static str> {
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
    context.look_up(&object)?.is_ok().then_some(kind)
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, cluster_issuer, gateway_api, issuer, istio};
    use crate::lookup::{LookupError, ObjectRef};
    use rstest::rstest;
    use serde_json::{Value, json};

    const ISSUER: &str = "reject metadata.annotations[cert-manager.io/issuer]";

    /// With `lookups: {list: [issuers]}` the help names an issuer that exists and that the tenant may use.
    #[rstest]
    #[case::typo("letsencript-prod", json!({}), Some("letsencrypt-prod"))]
    #[case::without_its_end("letsencrypt", json!({}), Some("letsencrypt-prod"))]
    #[case::with_an_end("company-ca-staging", json!({}), Some("company-ca"))]
    #[case::nothing_like_it("vault", json!({}), None)]
    #[case::not_of_the_tenant("company-cb", json!({"issuers": [{"kind": "ClusterIssuer", "name": "letsencrypt-*"}]}), None)]
    fn did_you_mean(#[case] name: &str, #[case] tenant: Value, #[case] expected: Option<&str>) {
        let gateway = gateway_api("web").cert_manager("cluster-issuer", name);
        let listing = gateway.clone().settings(json!({"lookups": {"list": ["issuers"]}})).tenant(tenant);
        let cluster = TestCluster::default()
            .object(cluster_issuer("letsencrypt-prod").ready())
            .object(cluster_issuer("company-ca").ready());
        let help = |gateway: crate::fixtures::GatewayFixture| {
            let found = gateway.checked(&cluster, crate::rule::Caller::Admission).findings;
            found.into_iter().find(|finding| finding.rule == "issuer-not-found").unwrap().help
        };
        let asked = |help: String| help.split('"').nth(1).map(str::to_owned);
        assert_eq!(asked(help(listing)).as_deref(), expected);
        assert_eq!(asked(help(gateway)), None, "nothing is listed unless settings say so");
    }

    /// A ClusterIssuer `le`, and Issuers `ca` in team-a and istio-b.
    fn cluster() -> TestCluster {
        TestCluster::default()
            .object(cluster_issuer("le").ready())
            .object(issuer("team-a", "ca").ready())
            .object(issuer("istio-b", "ca").ready())
    }

    #[rstest]
    #[case::issuer(&[("issuer", "ca")], None, &["Issuer team-a/ca"])]
    #[case::cluster_issuer(&[("cluster-issuer", "le")], None, &["ClusterIssuer le"])]
    #[case::typo(
        &[("issuer", "cc")],
        Some(r#"Issuer "cc" in namespace "team-a""#),
        &["Issuer team-a/cc", "ClusterIssuer cc"],
    )]
    #[case::is_a_cluster_issuer(
        &[("issuer", "le")],
        Some(r#"Issuer "le" in namespace "team-a""#),
        &["Issuer team-a/le", "ClusterIssuer le"],
    )]
    #[case::a_status(&[("issuer", "ca/status")], Some(r#"Issuer "ca/status" in namespace "team-a""#), &[])]
    #[case::a_query(&[("issuer", "ca?x")], Some(r#"Issuer "ca?x" in namespace "team-a""#), &[])]
    #[case::upper_case(&[("issuer", "CA")], Some(r#"Issuer "CA" in namespace "team-a""#), &[])]
    #[case::blank(&[("issuer", " ")], Some(r#"Issuer " " in namespace "team-a""#), &[])]
    #[case::contradicting_annotations(&[("issuer", "x"), ("cluster-issuer", "x")], None, &[])]
    fn found(#[case] keys: &[(&str, &str)], #[case] subject: Option<&str>, #[case] asked: &[&str]) {
        for gateway in [istio("shop"), gateway_api("web")] {
            let gateway = keys.iter().fold(gateway, |gateway, (key, value)| gateway.cert_manager(key, value));
            let cluster = cluster();
            let expected: Vec<String> = subject.iter().map(|issuer| format!("{ISSUER} | {issuer}")).collect();
            assert_eq!(gateway.found_by("issuer-not-found", &cluster), expected);
            assert_eq!(cluster.asked(), asked);
        }
    }

    #[test]
    fn each_namespace_of_the_placement() {
        let gateway = istio("shop").cert_manager("issuer", "ca").settings(json!({"gateway_namespaces": [
            {"labels": {"istio": "ingressgateway", "zone": "a"}, "namespace": "istio-a"},
            {"labels": {"istio": "ingressgateway", "zone": "b"}, "namespace": "istio-b"},
        ]}));
        let cluster = cluster();
        let expected = [format!(r#"{ISSUER} | Issuer "ca" in namespace "istio-a""#)];
        assert_eq!(gateway.found_by("issuer-not-found", &cluster), expected);
        assert_eq!(cluster.asked(), ["Issuer istio-a/ca", "Issuer istio-b/ca", "ClusterIssuer ca"]);
    }

    #[rstest]
    #[case::no_such_name(&[("issuer", "CA")], json!({}), "lower-case letters")]
    #[case::typo(&[("issuer", "cc")], json!({}), "create the issuer first")]
    #[case::cluster_issuer(&[("issuer", "le")], json!({}), "Use cert-manager.io/cluster-issuer instead")]
    #[case::issuer(&[("cluster-issuer", "ca")], json!({}), "Use cert-manager.io/issuer instead: an Issuer")]
    #[case::kind_to_issuer(
        &[("issuer", "ca"), ("issuer-kind", "ClusterIssuer")],
        json!({}),
        "Set cert-manager.io/issuer-kind to Issuer:",
    )]
    #[case::kind_to_cluster_issuer(
        &[("issuer", "le"), ("issuer-group", "cert-manager.io")],
        json!({}),
        "Set cert-manager.io/issuer-kind to ClusterIssuer:",
    )]
    #[case::another_group(
        &[("issuer", "ca"), ("issuer-kind", "ClusterIssuer"), ("issuer-group", "example.com")],
        json!({"issuer_kinds": [
            {"group": "example.com", "kind": "ClusterIssuer", "api_version": "v1", "scope": "Cluster"},
        ]}),
        "create the issuer first",
    )]
    #[case::an_issuer_of_another_group(
        &[("issuer", "le"), ("issuer-group", "example.com")],
        json!({"issuer_kinds": [
            {"group": "example.com", "kind": "Issuer", "api_version": "v1", "scope": "Namespaced"},
        ]}),
        "create the issuer first",
    )]
    #[case::elsewhere(
        &[("issuer", "cc")],
        json!({"gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": "istio-b"}]}),
        "where the Gateway's Secrets are read. Correct the name, create the issuer in that namespace",
    )]
    fn helps(#[case] keys: &[(&str, &str)], #[case] settings: Value, #[case] expected: &str) {
        let gateway = istio("shop").settings(settings);
        let gateway = keys.iter().fold(gateway, |gateway, (key, value)| gateway.cert_manager(key, value));
        let findings = gateway.findings_of("issuer-not-found", &cluster());
        assert!(findings.len() == 1 && findings[0].contains(expected), "{findings:?}");
    }

    #[rstest]
    #[case::the_issuer("cluster-issuer", 0)]
    #[case::the_other_kind("issuer", 1)]
    fn a_cluster_issuer_that_cannot_be_read(#[case] key: &str, #[case] count: usize) {
        let object = ObjectRef {
            api_version: "cert-manager.io/v1".into(),
            kind: "ClusterIssuer".into(),
            namespace: None,
            name: "x".into(),
        };
        let cluster = TestCluster::default().answer(&object, Err(LookupError::Forbidden));
        let findings = istio("shop").cert_manager(key, "x").findings_of("issuer-not-found", &cluster);
        assert_eq!(findings.len(), count);
        assert!(findings.iter().all(|finding| finding.contains("create the issuer first")), "{findings:?}");
    }
}
