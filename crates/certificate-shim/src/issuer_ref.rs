//! The issuer that the annotations name. The errors and their order are those of cert-manager
//! (`issuerForIngressLike` in certificate-shim/sync.go).

use std::fmt;

use crate::annotation;
use crate::gateway::Gateway;

/// The API group of cert-manager.
pub const CERT_MANAGER_GROUP: &str = "cert-manager.io";
/// The kind of cert-manager's namespaced issuer.
pub const ISSUER_KIND: &str = "Issuer";
/// The kind of cert-manager's cluster-scoped issuer.
pub const CLUSTER_ISSUER_KIND: &str = "ClusterIssuer";

/// The reference in `spec.issuerRef` of a Certificate, after defaults and overrides. An empty kind or
/// group stays empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct IssuerRef {
    /// The issuer's name.
    pub name: String,
    /// The kind; empty if `issuer-kind` is set to an empty value.
    pub kind: String,
    /// The API group; empty if `issuer-group` is set to an empty value.
    pub group: String,
}

impl IssuerRef {
    /// The kind that cert-manager uses: `Issuer` if it is empty (`IssuerKind` in
    /// pkg/api/util/issuers.go).
    pub fn effective_kind(&self) -> &str {
        if self.kind.is_empty() { ISSUER_KIND } else { &self.kind }
    }

    /// The group that cert-manager uses: its own if it is empty (`IssuerGroup` in
    /// pkg/api/util/issuers.go).
    pub fn effective_group(&self) -> &str {
        if self.group.is_empty() { CERT_MANAGER_GROUP } else { &self.group }
    }

    /// Whether the issuer is in cert-manager's own group.
    pub fn is_own_group(&self) -> bool {
        self.effective_group() == CERT_MANAGER_GROUP
    }
}

/// `Issuer.cert-manager.io "ca"`: the kind as kubectl accepts it, and the name.
impl fmt::Display for IssuerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_own_group() {
            write!(f, "{} {:?}", self.effective_kind().escape_debug(), self.name)
        } else {
            write!(
                f,
                "{}.{} {:?}",
                self.effective_kind().escape_debug(),
                self.effective_group().escape_debug(),
                self.name
            )
        }
    }
}

/// The reason why cert-manager cannot determine the issuer. It then creates an event and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IssuerFault {
    /// The name is empty.
    NoName,
    /// `issuer` and `cluster-issuer` are both set.
    IssuerAndClusterIssuer,
    /// `cluster-issuer` and `issuer-group` are both set.
    ClusterIssuerAndGroup,
    /// `cluster-issuer` and `issuer-kind` are both set.
    ClusterIssuerAndKind,
}

impl IssuerFault {
    /// The annotations that cause the fault.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            IssuerFault::NoName => &[annotation::ISSUER],
            IssuerFault::IssuerAndClusterIssuer => &[annotation::ISSUER, annotation::CLUSTER_ISSUER],
            IssuerFault::ClusterIssuerAndGroup => &[annotation::CLUSTER_ISSUER, annotation::ISSUER_GROUP],
            IssuerFault::ClusterIssuerAndKind => &[annotation::CLUSTER_ISSUER, annotation::ISSUER_KIND],
        }
    }
}

/// The text in cert-manager's event.
impl fmt::Display for IssuerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.keys() {
            [one, other] => write!(f, "both {one:?} and {other:?} may not be set"),
            _ => f.write_str("failed to determine issuer name to be used for ingress resource"),
        }
    }
}

/// The result of the four issuer annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The reference. If there are faults, it is cert-manager's intermediate result, and nothing is
    /// issued.
    pub reference: IssuerRef,
    /// All faults, in cert-manager's order.
    pub faults: Vec<IssuerFault>,
}

/// Resolves the issuer annotations of a Gateway; `None` if it is not annotated.
pub fn resolve(gateway: &Gateway<'_>) -> Option<Resolution> {
    if !gateway.is_annotated() {
        return None;
    }
    let issuer = gateway.annotation(annotation::ISSUER);
    let cluster_issuer = gateway.annotation(annotation::CLUSTER_ISSUER);
    let kind = gateway.annotation(annotation::ISSUER_KIND);
    let group = gateway.annotation(annotation::ISSUER_GROUP);

    let default_kind = if cluster_issuer.is_some() { CLUSTER_ISSUER_KIND } else { ISSUER_KIND };
    let reference = IssuerRef {
        name: cluster_issuer.or(issuer).unwrap_or_default().to_owned(),
        kind: kind.unwrap_or(default_kind).to_owned(),
        group: group.unwrap_or(CERT_MANAGER_GROUP).to_owned(),
    };

    let mut faults = Vec::new();
    if reference.name.is_empty() {
        faults.push(IssuerFault::NoName);
    }
    if cluster_issuer.is_some() {
        for (present, fault) in [
            (issuer.is_some(), IssuerFault::IssuerAndClusterIssuer),
            (group.is_some(), IssuerFault::ClusterIssuerAndGroup),
            (kind.is_some(), IssuerFault::ClusterIssuerAndKind),
        ] {
            if present {
                faults.push(fault);
            }
        }
    }
    Some(Resolution { reference, faults })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::GatewayKind;
    use rstest::rstest;
    use serde_json::json;

    use IssuerFault::*;

    #[rstest]
    #[case::issuer(&[("issuer", "ca")], ("ca", "Issuer", "cert-manager.io"), &[])]
    #[case::cluster_issuer(&[("cluster-issuer", "le")], ("le", "ClusterIssuer", "cert-manager.io"), &[])]
    #[case::kind_overrides(&[("issuer", "x"), ("issuer-kind", "ClusterIssuer")], ("x", "ClusterIssuer", "cert-manager.io"), &[])]
    #[case::external(
        &[("issuer", "x"), ("issuer-kind", "AWSPCAIssuer"), ("issuer-group", "awspca.cert-manager.io")],
        ("x", "AWSPCAIssuer", "awspca.cert-manager.io"), &[]
    )]
    #[case::empty_kind_stays_empty(&[("issuer", "x"), ("issuer-kind", "")], ("x", "", "cert-manager.io"), &[])]
    #[case::empty_group_stays_empty(&[("issuer", "x"), ("issuer-group", "")], ("x", "Issuer", ""), &[])]
    #[case::space_is_a_name(&[("issuer", " ")], (" ", "Issuer", "cert-manager.io"), &[])]
    #[case::empty_name(&[("issuer", "")], ("", "Issuer", "cert-manager.io"), &[NoName])]
    #[case::cluster_issuer_wins(
        &[("issuer", "a"), ("cluster-issuer", "b")], ("b", "ClusterIssuer", "cert-manager.io"), &[IssuerAndClusterIssuer]
    )]
    #[case::empty_cluster_issuer_also_wins(
        &[("issuer", "a"), ("cluster-issuer", "")], ("", "ClusterIssuer", "cert-manager.io"), &[NoName, IssuerAndClusterIssuer]
    )]
    #[case::all_at_once(
        &[("issuer", ""), ("cluster-issuer", ""), ("issuer-kind", "K"), ("issuer-group", "g")],
        ("", "K", "g"), &[NoName, IssuerAndClusterIssuer, ClusterIssuerAndGroup, ClusterIssuerAndKind]
    )]
    #[case::group_before_kind(
        &[("cluster-issuer", "b"), ("issuer-kind", "K"), ("issuer-group", "g")],
        ("b", "K", "g"), &[ClusterIssuerAndGroup, ClusterIssuerAndKind]
    )]
    fn resolved(
        #[case] annotations: &[(&str, &str)],
        #[case] reference: (&str, &str, &str),
        #[case] faults: &[IssuerFault],
    ) {
        let annotations: serde_json::Map<_, _> =
            annotations.iter().map(|(k, v)| (format!("cert-manager.io/{k}"), json!(v))).collect();
        let object = json!({"metadata": {"annotations": annotations}});
        let gateway = Gateway::read(GatewayKind::GatewayApi, "ns", &object).unwrap();
        let resolution = resolve(&gateway).unwrap();
        let IssuerRef { name, kind, group } = &resolution.reference;
        assert_eq!((name.as_str(), kind.as_str(), group.as_str()), reference);
        assert_eq!(resolution.faults, faults);
    }

    #[test]
    fn a_gateway_without_issuer_annotations_names_none() {
        let object = json!({"metadata": {"annotations": {"cert-manager.io/issuer-kind": "Issuer"}}});
        let gateway = Gateway::read(GatewayKind::GatewayApi, "ns", &object).unwrap();
        assert_eq!(resolve(&gateway), None);
    }

    #[rstest]
    #[case("Issuer", "cert-manager.io", "Issuer \"x\"")]
    #[case("", "", "Issuer \"x\"")]
    #[case("ClusterIssuer", "cert-manager.io", "ClusterIssuer \"x\"")]
    #[case("AWSPCAIssuer", "awspca.cert-manager.io", "AWSPCAIssuer.awspca.cert-manager.io \"x\"")]
    fn shown(#[case] kind: &str, #[case] group: &str, #[case] expected: &str) {
        let reference = IssuerRef { name: "x".into(), kind: kind.into(), group: group.into() };
        assert_eq!(reference.to_string(), expected);
    }
}
