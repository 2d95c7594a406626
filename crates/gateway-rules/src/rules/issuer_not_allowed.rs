//! The Gateway's tenant may not use the issuer.
//!
//! The rule checks the issuer that the annotations result in, whichever of them name it. The tenant's
//! `issuers` list the allowed ones, each with `kind` and `name` (`*` matches any text) and, for an
//! external issuer, its `group`. An empty list allows none. A namespaced issuer must be in the
//! Gateway's own namespace unless its entry has a `namespace`: an Istio Gateway's Certificates are
//! created next to its gateway Pods, for example in `istio-system`, and an Issuer is looked up there
//! too. A kind of another group is namespaced unless `issuer_kinds` lists it with `scope: Cluster`.
//!
//! The `issuer` of a ListenerSet can become another one later: `issuer-kind` and `issuer-group` of its
//! parent override those of the set, and the parent can get or lose them at any time. So that name is
//! checked as written and as every kind that the tenant's `issuers` list. If the parent is in another
//! namespace, it is checked as every cluster-wide kind too. The parent cannot change a `cluster-issuer`.
//!
//! Rejected, with `issuers: [{kind: ClusterIssuer, name: "letsencrypt*"}, {kind: Issuer, name: "*"}]`:
//! ```yaml
//! cert-manager.io/cluster-issuer: company-ca
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```
//! Rejected too, since the parent can make it the ClusterIssuer `company-ca`:
//! ```yaml
//! kind: ListenerSet
//! cert-manager.io/issuer: company-ca
//! ```

use std::collections::BTreeSet;

use certificate_shim::annotation;
use certificate_shim::gateway::GatewayKind;
use certificate_shim::issuer_ref::{
    self, CERT_MANAGER_GROUP, CLUSTER_ISSUER_KIND, ISSUER_KIND, IssuerRef, Resolution,
};

use crate::context::{Context, annotation_path};
use crate::rule::{Findings, Rule};
use crate::settings::Scope;
use crate::settings::tenants::{AllowedIssuer, Tenant};
use crate::text::{self, quote};

/// `issuer-not-allowed`
pub const RULE: Rule = Rule::reject("issuer-not-allowed", check).forbidden().about_whole();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(tenant) = context.tenant() else { return };
    let name = quote(&tenant.name);
    if let Some(reference) = context.issuer_ref() {
        for issuer in not_allowed(context, tenant, reference) {
            let allowed: Vec<String> = tenant.issuers.iter().map(describe).collect();
            findings
                .report(context.issuer_path(), format!("tenant {name} may not use {issuer}"))
                .subject(issuer)
                .help(text::allowed(&allowed, str::to_owned));
        }
    }
    for reference in under_another_parent(context, tenant) {
        for issuer in not_allowed(context, tenant, &reference) {
            let problem = format!("the parent can change it to {issuer}, which tenant {name} may not use");
            findings
                .report(annotation_path(annotation::ISSUER), problem)
                .subject(issuer)
                .help("Use cert-manager.io/cluster-issuer, or set the issuer on the parent.");
        }
    }
}

/// The issuers that a reference means and the tenant may not use, as text: one for each namespace of
/// the placement, or one that is cluster-wide.
fn not_allowed(context: &Context<'_>, tenant: &Tenant, reference: &IssuerRef) -> Vec<String> {
    let own = context.gateway.metadata.namespace;
    let issuer = text::issuer(reference);
    let is_allowed = |namespace: &str| tenant.may_use(reference, context.settings, namespace, own);
    if context.settings.is_cluster_wide(reference) {
        return if is_allowed("") { Vec::new() } else { vec![issuer] };
    }
    let namespaces = context.placement.iter().filter(|namespace| !is_allowed(namespace));
    namespaces.map(|namespace| format!("{issuer} in namespace {}", quote(namespace))).collect()
}

/// The issuers that the `issuer` of a ListenerSet can become if its parent changes. The parent
/// overrides kind, group, both or neither.
fn under_another_parent(context: &Context<'_>, tenant: &Tenant) -> Vec<IssuerRef> {
    let set = context.written;
    let is_overridable =
        set.kind == GatewayKind::ListenerSet && set.annotation(annotation::CLUSTER_ISSUER).is_none();
    let written = issuer_ref::resolve(set).filter(|issuer| is_overridable && issuer.faults.is_empty());
    let Some(Resolution { reference: written, .. }) = written else { return Vec::new() };
    let (group, kind) = (written.effective_group(), written.effective_kind());
    let reference = |(group, kind): (&str, &str)| IssuerRef {
        name: written.name.clone(),
        kind: kind.to_owned(),
        group: group.to_owned(),
    };
    let is_known = |pair: &(&str, &str)| context.settings.issuer_kind(&reference(*pair)).is_some();

    let mut pairs: BTreeSet<(&str, &str)> = BTreeSet::from([(group, kind)]);
    // A parent in the same namespace belongs to the same tenant, so it names one of these issuers.
    for allowed in &tenant.issuers {
        let (other_group, other_kind) = (allowed.group.as_str(), allowed.kind.as_str());
        pairs.insert((other_group, other_kind));
        // It names an Issuer of another group by `issuer-group` alone, and another kind of cert-manager
        // by `issuer-kind` alone: the set keeps its own kind or group.
        if other_kind == ISSUER_KIND {
            pairs.extend(Some((other_group, kind)).filter(is_known));
        }
        if other_group == CERT_MANAGER_GROUP {
            pairs.extend(Some((group, other_kind)).filter(is_known));
        }
    }
    // Any other parent can name any issuer. A namespaced one is still in the set's own namespace.
    if set.parent_ref.as_ref().is_some_and(|parent| parent.namespace != set.metadata.namespace) {
        pairs.insert((CERT_MANAGER_GROUP, CLUSTER_ISSUER_KIND));
        let cluster_wide = context.settings.issuer_kinds.iter().filter(|kind| kind.scope == Scope::Cluster);
        pairs.extend(cluster_wide.map(|kind| (kind.group.as_str(), kind.kind.as_str())));
    }
    let now = context.issuer_ref().map(|now| (now.effective_group(), now.effective_kind()));
    pairs.into_iter().filter(|pair| Some(*pair) != now).map(reference).collect()
}

/// `Issuer "*" in the Gateway's namespace`
fn describe(allowed: &AllowedIssuer) -> String {
    let AllowedIssuer { group, kind, name, namespace } = allowed;
    let is_own_group = group == CERT_MANAGER_GROUP;
    let group = if is_own_group { String::new() } else { format!(".{group}") };
    let place = match namespace {
        Some(namespace) => format!(" in namespace {}", quote(namespace)),
        None if is_own_group && kind == ISSUER_KIND => " in the Gateway's namespace".to_owned(),
        None => String::new(),
    };
    format!("{kind}{group} {}{place}", quote(name))
}

#[cfg(test)]
mod tests {
    use super::{AllowedIssuer, describe};
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::{Value, json};

    const ISSUER: &str = "reject metadata.annotations[cert-manager.io/issuer]";
    const CLUSTER_ISSUER: &str = "reject metadata.annotations[cert-manager.io/cluster-issuer]";
    const CA: &str = "Issuer \"ca\" in namespace \"team-a\"";

    type Keys = &'static [(&'static str, &'static str)];

    fn with(gateway: GatewayFixture, keys: Keys) -> GatewayFixture {
        keys.iter().fold(gateway, |gateway, (key, value)| gateway.cert_manager(key, value))
    }

    /// The issuers of a tenant: `Kind name`, `Kind.group name`, or with ` in GLOB`.
    fn issuers(allowed: &[&str]) -> Value {
        let entry = |text: &&str| {
            let mut words = text.split(' ');
            let kind = words.next().unwrap();
            let (kind, group) = kind.split_once('.').unwrap_or((kind, "cert-manager.io"));
            let mut entry = json!({"kind": kind, "group": group, "name": words.next().unwrap()});
            if let Some(namespace) = words.nth(1) {
                entry["namespace"] = json!(namespace);
            }
            entry
        };
        json!({"issuers": allowed.iter().map(entry).collect::<Vec<_>>()})
    }

    /// `issuer_kinds` of the group example.com: `Kind Scope`.
    fn kinds(kinds: &[&str]) -> Value {
        let entry = |text: &&str| {
            let (kind, scope) = text.split_once(' ').unwrap();
            json!({"group": "example.com", "kind": kind, "api_version": "v1", "scope": scope})
        };
        json!({"issuer_kinds": kinds.iter().map(entry).collect::<Vec<_>>()})
    }

    fn found(gateway: &GatewayFixture) -> Vec<String> {
        gateway.found_by("issuer-not-allowed", &TestCluster::default())
    }

    fn expected(path: &str, subjects: &[&str]) -> Vec<String> {
        subjects.iter().map(|subject| format!("{path} | {subject}")).collect()
    }

    #[rstest]
    #[case::exact("cluster-issuer", &["ClusterIssuer ca"], None)]
    #[case::glob("cluster-issuer", &["ClusterIssuer c*"], None)]
    #[case::second_entry("cluster-issuer", &["Issuer *", "ClusterIssuer *"], None)]
    #[case::own_namespace("issuer", &["Issuer *"], None)]
    #[case::own_namespace_by_glob("issuer", &["Issuer * in team-*"], None)]
    #[case::empty("cluster-issuer", &[], Some("ClusterIssuer \"ca\""))]
    #[case::another_name("cluster-issuer", &["ClusterIssuer l*"], Some("ClusterIssuer \"ca\""))]
    #[case::another_kind("cluster-issuer", &["Issuer ca"], Some("ClusterIssuer \"ca\""))]
    #[case::another_group("issuer", &["Issuer.example.com ca"], Some(CA))]
    #[case::another_namespace("issuer", &["Issuer ca in istio-system"], Some(CA))]
    fn names(#[case] key: &'static str, #[case] allowed: &[&str], #[case] subject: Option<&str>) {
        let path = if key == "issuer" { ISSUER } else { CLUSTER_ISSUER };
        for gateway in [istio("shop"), gateway_api("web")] {
            let gateway = gateway.cert_manager(key, "ca").tenant(issuers(allowed));
            assert_eq!(found(&gateway), expected(path, subject.as_slice()));
        }
    }

    #[rstest]
    #[case::of_the_gateway_pods(&[], &["Issuer ca"], &["Issuer \"ca\" in namespace \"istio-a\""])]
    #[case::both(&[], &["Issuer ca", "Issuer c* in *-a"], &[])]
    #[case::own_namespace(&[], &["Issuer ca in istio-*"], &[CA])]
    #[case::kind_counts(&[("issuer-kind", "ClusterIssuer")], &["Issuer *"], &["ClusterIssuer \"ca\""])]
    #[case::external(
        &[("issuer-kind", "My"), ("issuer-group", "example.com")],
        &["My.example.com *"],
        &["My.example.com \"ca\" in namespace \"istio-a\""],
    )]
    #[case::external_and_cluster_wide(
        &[("issuer-kind", "MyCluster"), ("issuer-group", "example.com")], &["MyCluster.example.com *"], &[],
    )]
    fn placements(#[case] keys: Keys, #[case] allowed: &[&str], #[case] subjects: &[&str]) {
        let mut settings = kinds(&["MyCluster Cluster"]);
        settings["gateway_namespaces"] = json!([
            {"labels": {"istio": "ingressgateway", "zone": "a"}, "namespace": "istio-a"},
            {"labels": {"istio": "ingressgateway", "zone": "b"}, "namespace": "team-a"},
        ]);
        let gateway = with(istio("shop").cert_manager("issuer", "ca"), keys).settings(settings);
        assert_eq!(found(&gateway.tenant(issuers(allowed))), expected(ISSUER, subjects));
    }

    #[rstest]
    #[case::no_tenant(json!({}), &[("issuer", "ca")])]
    #[case::contradicting_annotations(
        json!({"tenants": [{"name": "a", "namespaces": ["*"], "issuers": [], "dns_names": []}]}),
        &[("issuer", "ca"), ("cluster-issuer", "ca")],
    )]
    #[case::no_name(
        json!({"tenants": [{"name": "a", "namespaces": ["*"], "issuers": [], "dns_names": []}]}),
        &[("issuer", "")],
    )]
    fn not_checked(#[case] settings: Value, #[case] keys: Keys) {
        for gateway in [istio("shop"), listener_set("extra")] {
            assert_eq!(found(&with(gateway, keys).settings(settings.clone())), Vec::<String>::new());
        }
    }

    const CLUSTER_CA: &str = "ClusterIssuer \"ca\"";
    const KIND: Keys = &[("issuer", "ca"), ("issuer-kind", "ClusterIssuer")];
    const GROUP: Keys = &[("issuer", "ca"), ("issuer-group", "example.com")];
    const BOTH: Keys = &[("issuer", "ca"), ("issuer-kind", "ClusterIssuer"), ("issuer-group", "example.com")];

    /// The findings about the `issuer` or `cluster-issuer` of a ListenerSet.
    fn found_of_set(keys: Keys, parent: Value, allowed: &[&str], settings: &Value) -> Vec<String> {
        let path = if keys[0].0 == "issuer" { ISSUER } else { CLUSTER_ISSUER };
        let set = with(listener_set("extra"), keys).spec("parentRef", parent).settings(settings.clone());
        let strip = |found: String| found.strip_prefix(&format!("{path} | ")).unwrap().to_owned();
        found(&set.tenant(issuers(allowed))).into_iter().map(strip).collect()
    }

    /// The parent can override kind and group by those of any issuer that the tenant may use.
    #[rstest]
    #[case::only_issuers(&[("issuer", "ca")], &["Issuer *"], &[], &[])]
    #[case::only_cluster_issuers(&[("issuer", "ca")], &["ClusterIssuer *"], &[], &[CA])]
    #[case::both(&[("issuer", "ca")], &["Issuer *", "ClusterIssuer *"], &[], &[])]
    #[case::both_by_name(&[("issuer", "ca")], &["Issuer ca", "ClusterIssuer ca"], &[], &[])]
    #[case::other_cluster_issuer(&[("issuer", "ca")], &["Issuer *", "ClusterIssuer le"], &[], &[CLUSTER_CA])]
    #[case::neither(&[("issuer", "ca")], &["Issuer x", "ClusterIssuer x"], &[], &[CA, CLUSTER_CA])]
    #[case::cluster_issuer(&[("cluster-issuer", "ca")], &["ClusterIssuer ca", "Issuer x"], &[], &[])]
    #[case::not_that_one(&[("cluster-issuer", "ca")], &["ClusterIssuer le", "Issuer x"], &[], &[CLUSTER_CA])]
    #[case::own_kind(KIND, &["ClusterIssuer *"], &[], &[])]
    #[case::own_kind_and_issuers(KIND, &["ClusterIssuer *", "Issuer *"], &[], &[])]
    #[case::own_kind_and_another_issuer(KIND, &["ClusterIssuer *", "Issuer x"], &[], &[CA])]
    #[case::external(
        &[("issuer", "ca")],
        &["Issuer *", "My.example.com x"],
        &[],
        &["My.example.com \"ca\" in namespace \"team-a\""],
    )]
    #[case::external_and_cluster_wide(
        &[("issuer", "ca")], &["Issuer *", "My.example.com x"], &["My Cluster"], &["My.example.com \"ca\""],
    )]
    #[case::external_of_no_tenant(&[("issuer", "ca")], &["Issuer *"], &["My Cluster"], &[])]
    // A parent with `issuer-group` alone, which is an Issuer of that group.
    #[case::group_alone(BOTH, &["Issuer *", "ClusterIssuer.example.com *"], &[], &[CLUSTER_CA])]
    #[case::group_alone_cannot(&[("issuer", "ca")], &["Issuer *", "ClusterIssuer.example.com *"], &[], &[])]
    #[case::group_alone_external(
        KIND,
        &["ClusterIssuer *", "Issuer.example.com *"],
        &["ClusterIssuer Cluster"],
        &["ClusterIssuer.example.com \"ca\""],
    )]
    #[case::group_alone_to_an_unknown_kind(KIND, &["ClusterIssuer *", "Issuer.example.com *"], &[], &[])]
    // A parent with `issuer-kind` alone, which is one of cert-manager's kinds.
    #[case::kind_alone(
        GROUP,
        &["ClusterIssuer *", "Issuer.example.com *"],
        &["ClusterIssuer Cluster"],
        &["ClusterIssuer.example.com \"ca\""],
    )]
    #[case::kind_alone_to_an_unknown_kind(GROUP, &["ClusterIssuer *", "Issuer.example.com *"], &[], &[])]
    fn sets_below_a_parent_in_the_same_namespace(
        #[case] keys: Keys,
        #[case] allowed: &[&str],
        #[case] known: &[&str],
        #[case] subjects: &[&str],
    ) {
        let name = json!({"name": "web"});
        let name_and_namespace = json!({"name": "web", "namespace": "team-a"});
        for parent in [name, name_and_namespace] {
            assert_eq!(found_of_set(keys, parent, allowed, &kinds(known)), subjects);
        }
    }

    /// It can override them by those of any issuer.
    #[rstest]
    #[case::only_issuers(&[("issuer", "ca")], &["Issuer *"], &[], &[CLUSTER_CA])]
    #[case::only_cluster_issuers(&[("issuer", "ca")], &["ClusterIssuer *"], &[], &[CA])]
    #[case::both(&[("issuer", "ca")], &["Issuer *", "ClusterIssuer *"], &[], &[])]
    #[case::other_cluster_issuer(&[("issuer", "ca")], &["Issuer *", "ClusterIssuer le"], &[], &[CLUSTER_CA])]
    #[case::cluster_issuer(&[("cluster-issuer", "ca")], &["ClusterIssuer *"], &["My Cluster"], &[])]
    #[case::own_kind(KIND, &["ClusterIssuer *"], &[], &[])]
    #[case::external(
        &[("issuer", "ca")], &["Issuer *", "ClusterIssuer *"], &["My Cluster"], &["My.example.com \"ca\""],
    )]
    #[case::external_and_allowed(
        &[("issuer", "ca")], &["Issuer *", "ClusterIssuer *", "My.example.com ca"], &["My Cluster"], &[],
    )]
    #[case::external_and_namespaced(
        &[("issuer", "ca")], &["Issuer *", "ClusterIssuer *"], &["My Namespaced"], &[],
    )]
    fn sets_below_a_parent_in_another_namespace(
        #[case] keys: Keys,
        #[case] allowed: &[&str],
        #[case] known: &[&str],
        #[case] subjects: &[&str],
    ) {
        let parent = json!({"name": "web", "namespace": "infra"});
        assert_eq!(found_of_set(keys, parent, allowed, &kinds(known)), subjects);
    }

    /// Both the overridden issuer and the resulting one are checked, because the parent can change.
    #[rstest]
    #[case::that_kind_is_not_allowed(
        KIND, &[("issuer", "ca")], &["Issuer *", "ClusterIssuer le"], &[CLUSTER_CA],
    )]
    #[case::its_own_kind_is_not_allowed(KIND, &[("issuer", "ca")], &["ClusterIssuer *"], &[CA])]
    #[case::neither_is_allowed(KIND, &[("issuer", "ca")], &["My.example.com ca"], &[CLUSTER_CA, CA])]
    #[case::both_are_allowed(KIND, &[("issuer", "ca")], &["ClusterIssuer *", "Issuer *"], &[])]
    #[case::its_own_group_is_not_allowed(
        &[("issuer", "ca"), ("issuer-kind", "ClusterIssuer"), ("issuer-group", "cert-manager.io")],
        BOTH,
        &["ClusterIssuer *"],
        &["ClusterIssuer.example.com \"ca\""],
    )]
    #[case::the_issuer_is_inherited(KIND, &[], &["ClusterIssuer *", "Issuer x"], &[])]
    fn sets_below_a_parent_that_overrides_their_kind(
        #[case] parent: Keys,
        #[case] keys: Keys,
        #[case] allowed: &[&str],
        #[case] subjects: &[&str],
    ) {
        let settings = kinds(&["ClusterIssuer Cluster", "My Cluster"]);
        let set = with(listener_set("extra"), keys).settings(settings).tenant(issuers(allowed));
        let cluster = TestCluster::default().object(with(gateway_api("web"), parent));
        assert_eq!(set.found_by("issuer-not-allowed", &cluster), expected(ISSUER, subjects));
    }

    #[test]
    fn an_inherited_issuer() {
        let set = listener_set("extra").tenant(issuers(&["Issuer *", "ClusterIssuer le"]));
        let cluster = TestCluster::default().object(with(gateway_api("web"), KIND));
        let expected = [format!("reject spec.parentRef | {CLUSTER_CA}")];
        assert_eq!(set.found_by("issuer-not-allowed", &cluster), expected);
    }

    #[rstest]
    #[case::of_now("tenant \"a\" may not use Issuer \"ca\"")]
    #[case::of_another_parent("the parent can change it to ClusterIssuer \"ca\"")]
    fn problems(#[case] text: &str) {
        let set = listener_set("extra").cert_manager("issuer", "ca").tenant(issuers(&["ClusterIssuer x"]));
        let findings = set.findings_of("issuer-not-allowed", &TestCluster::default());
        assert_eq!(findings.iter().filter(|finding| finding.contains(text)).count(), 1, "{findings:?}");
    }

    #[rstest]
    #[case::own_namespace("cert-manager.io", "Issuer", None, "Issuer \"x*\" in the Gateway's namespace")]
    #[case::namespace("cert-manager.io", "Issuer", Some("b"), "Issuer \"x*\" in namespace \"b\"")]
    #[case::cluster_wide("cert-manager.io", "ClusterIssuer", None, "ClusterIssuer \"x*\"")]
    #[case::external("example.com", "Issuer", None, "Issuer.example.com \"x*\"")]
    fn described(
        #[case] group: &str,
        #[case] kind: &str,
        #[case] namespace: Option<&str>,
        #[case] expected: &str,
    ) {
        let allowed = AllowedIssuer {
            group: group.into(),
            kind: kind.into(),
            name: "x*".into(),
            namespace: namespace.map(Into::into),
        };
        assert_eq!(describe(&allowed), expected);
    }

    /// The update must not ask for anything new.
    #[rstest]
    #[case::a_label("/metadata/labels/a", json!("b"), None)]
    #[case::another_host("/spec/servers/0/hosts/0", json!("b.example.com"), Some(403))]
    fn an_update(#[case] pointer: &str, #[case] value: Value, #[case] code: Option<u16>) {
        let cluster = TestCluster::default().object(cluster_issuer("ca").ready());
        let old = istio("shop").cert_manager("cluster-issuer", "ca").label("a", "a").tenant(issuers(&[]));
        assert_eq!(old.clone().with(pointer, value).update_from(&old, &cluster).code, code);
    }
}
