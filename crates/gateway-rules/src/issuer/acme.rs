//! The solvers in an ACME issuer's spec (`ACMEIssuer` in pkg/apis/acme/v1/types_issuer.go).

use std::collections::BTreeMap;

use certificate_shim::read::{Malformed, Node};
use serde_json::Value;

/// `spec.acme` of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acme<'a> {
    /// `solvers`. Empty if the CA knows the owners of the names in advance.
    pub solvers: Vec<Solver<'a>>,
    /// `enableDurationFeature`: whether the CA is asked for the Certificate's duration.
    pub asks_duration: bool,
    /// `profile` of the CA; if empty, the CA's default.
    pub profile: &'a str,
}

/// One entry of `solvers`. An absent `selector` is the same as an empty one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Solver<'a> {
    /// `http01`: whether and how it answers HTTP-01 challenges.
    pub http01: Option<Http01<'a>>,
    /// `dns01`: whether it answers DNS-01 challenges.
    pub dns01: bool,
    /// `selector.matchLabels`: the labels that the Certificate must have.
    pub match_labels: BTreeMap<&'a str, &'a str>,
    /// `selector.dnsNames`: the only names that it answers for; if empty, all.
    pub dns_names: Vec<&'a str>,
    /// `selector.dnsZones`: the only zones that it answers for; if empty, all.
    pub dns_zones: Vec<&'a str>,
}

/// How a solver answers HTTP-01 challenges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http01<'a> {
    /// With an Ingress of that class; empty if the issuer names none.
    Ingress {
        /// `ingressClassName` or `class`.
        class: &'a str,
    },
    /// With an HTTPRoute.
    Route {
        /// Whether the issuer has `parentRefs` for it.
        has_parents: bool,
    },
}

impl<'a> Acme<'a> {
    /// Reads `spec.acme`; `None` if there is no such field or it cannot be read.
    pub fn of(issuer: &'a Value) -> Option<Self> {
        Self::read(issuer).ok().flatten()
    }

    fn read(issuer: &'a Value) -> Result<Option<Self>, Malformed> {
        let root = Node::root(issuer);
        let spec = root.field("spec")?;
        let acme = spec.field("acme")?;
        if !acme.is_present() {
            return Ok(None);
        }
        Ok(Some(Acme {
            solvers: acme.field("solvers")?.list(Solver::read)?,
            asks_duration: acme.field("enableDurationFeature")?.boolean()?.unwrap_or_default(),
            profile: acme.field("profile")?.string()?.unwrap_or_default(),
        }))
    }

    /// Whether any solver answers HTTP-01 challenges.
    pub fn has_http01(&self) -> bool {
        self.solvers.iter().any(|solver| solver.http01.is_some())
    }
}

impl<'a> Solver<'a> {
    fn read(solver: Node<'a, '_>) -> Result<Self, Malformed> {
        let selector = solver.field("selector")?;
        Ok(Solver {
            http01: Http01::read(solver.field("http01")?)?,
            dns01: solver.field("dns01")?.is_present(),
            match_labels: selector.field("matchLabels")?.string_map()?,
            dns_names: selector.field("dnsNames")?.strings()?,
            dns_zones: selector.field("dnsZones")?.strings()?,
        })
    }
}

impl<'a> Http01<'a> {
    fn read(http01: Node<'a, '_>) -> Result<Option<Self>, Malformed> {
        if !http01.is_present() {
            return Ok(None);
        }
        let route = http01.field("gatewayHTTPRoute")?;
        if route.is_present() {
            let has_parents = !route.field("parentRefs")?.list(|_| Ok(()))?.is_empty();
            return Ok(Some(Http01::Route { has_parents }));
        }
        let ingress = http01.field("ingress")?;
        let class = match ingress.field("ingressClassName")?.string()? {
            Some(class) => Some(class),
            None => ingress.field("class")?.string()?,
        };
        Ok(Some(Http01::Ingress { class: class.unwrap_or_default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::no_spec(json!({}))]
    #[case::other_issuer(json!({"spec": {"ca": {"secretName": "ca"}}}))]
    #[case::null(json!({"spec": {"acme": null}}))]
    #[case::unreadable(json!({"spec": {"acme": {"solvers": "all"}}}))]
    fn no_acme(#[case] issuer: Value) {
        assert_eq!(Acme::of(&issuer), None);
    }

    #[test]
    fn everything() {
        let issuer = json!({"spec": {"acme": {
            "server": "https://acme.example.com/directory", "profile": "tlsserver", "enableDurationFeature": true,
            "solvers": [
                {"selector": {"matchLabels": {"a": "b"}, "dnsNames": ["x.example.com"], "dnsZones": ["example.com"]}, "dns01": {"webhook": {}}},
                {"selector": null, "http01": {}},
            ],
        }}});
        let expected = Acme {
            solvers: vec![
                Solver {
                    http01: None,
                    dns01: true,
                    match_labels: BTreeMap::from([("a", "b")]),
                    dns_names: vec!["x.example.com"],
                    dns_zones: vec!["example.com"],
                },
                Solver { http01: Some(Http01::Ingress { class: "" }), ..Solver::default() },
            ],
            asks_duration: true,
            profile: "tlsserver",
        };
        assert_eq!(Acme::of(&issuer), Some(expected));
    }

    #[rstest]
    #[case::none(json!(null), None)]
    #[case::class(json!({"ingress": {"class": "nginx"}}), Some(Http01::Ingress { class: "nginx" }))]
    #[case::class_name(json!({"ingress": {"ingressClassName": "istio"}}), Some(Http01::Ingress { class: "istio" }))]
    #[case::by_name(json!({"ingress": {"name": "web"}}), Some(Http01::Ingress { class: "" }))]
    #[case::route(json!({"gatewayHTTPRoute": {"parentRefs": [{"name": "web"}]}}), Some(Http01::Route { has_parents: true }))]
    #[case::route_without_parents(json!({"gatewayHTTPRoute": {}}), Some(Http01::Route { has_parents: false }))]
    fn ways_of_http01(#[case] way: Value, #[case] expected: Option<Http01<'_>>) {
        let issuer = json!({"spec": {"acme": {"solvers": [{"http01": way}]}}});
        let acme = Acme::of(&issuer).unwrap();
        assert_eq!(acme.solvers[0].http01, expected);
        assert_eq!(acme.has_http01(), expected.is_some());
    }
}
