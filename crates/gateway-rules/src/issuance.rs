//! Issuances: the Certificates of one namespace, the issuer that they use there, and the names that it
//! has to sign.

use certificate_shim::Certificate;
use certificate_shim::annotation;
use certificate_shim::gateway::GatewayKind;
use certificate_shim::names::Names;
use certificate_shim::place::Place;
use certificate_shim::template::Template;
use certificate_shim::value::ip;
use serde_json::Value;

use crate::context::{Context, FoundIssuer, annotation_path};
use crate::issuer::acme::{Acme, Solver};
use crate::issuer::solver::Picker;
use crate::lookup::ObjectRef;
use crate::settings::Settings;

/// The maximum number of comparisons of a name with a solver or an entry of its selector.
const COMPARISONS: usize = 100_000;

/// The Certificates of one namespace, and the issuer that they use there.
pub struct Issuance<'c> {
    /// The issuer as it was looked up for that namespace; `None` if its kind is not known or the
    /// annotations do not agree on one.
    pub issuer: Option<&'c FoundIssuer>,
    /// The part that all Certificates share.
    pub template: &'c Template,
    /// The Certificates, at least one.
    pub certificates: &'c [Certificate],
}

/// An issuance by an ACME issuer.
pub struct AcmeIssuance<'c> {
    /// The issuer.
    pub object: &'c ObjectRef,
    /// Its `spec.acme`.
    pub acme: Acme<'c>,
    /// The Certificates and their names.
    pub issuance: Issuance<'c>,
}

/// A name that goes into Certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'c> {
    /// The name as it goes into the Certificate.
    pub text: &'c str,
    /// Whether it goes into `ipAddresses`.
    pub is_ip: bool,
    /// The Certificate that has it as a host; `None` if annotations add it to all of them.
    pub certificate: Option<&'c Certificate>,
    source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Host(Place),
    Annotation(&'static str),
}

impl Name<'_> {
    /// Its path in the Gateway.
    pub fn path(&self) -> String {
        match self.source {
            Source::Host(place) => place.to_string(),
            Source::Annotation(key) => annotation_path(key),
        }
    }
}

/// The Certificates that a Gateway asks for, namespace by namespace, in the order of the plan.
pub fn issuances<'c>(context: &'c Context<'_>) -> impl Iterator<Item = Issuance<'c>> {
    let by_namespace = context.plan.certificates.chunk_by(|one, next| one.namespace == next.namespace);
    by_namespace.filter_map(|certificates| {
        let Certificate { namespace, template, .. } = certificates.first()?;
        let is_there =
            |issuer: &&FoundIssuer| issuer.object.namespace.as_ref().is_none_or(|own| own == namespace);
        Some(Issuance { issuer: context.issuers().iter().find(is_there), template, certificates })
    })
}

/// Those of [`issuances`] with an issuer that is known to be an ACME issuer.
pub fn acme_issuances<'c>(context: &'c Context<'_>) -> impl Iterator<Item = AcmeIssuance<'c>> {
    issuances(context).filter_map(|issuance| {
        let issuer = issuance.issuer?;
        Some(AcmeIssuance { object: &issuer.object, acme: issuer.own().and_then(Acme::of)?, issuance })
    })
}

/// Requests a temporary certificate for those of an Istio Gateway's Certificates that an issuer with
/// an HTTP-01 solver signs: without one the gateway does not listen with TLS, and a challenge that is
/// redirected to HTTPS fails. cert-manager itself does so only for Ingresses that it edits in place.
pub fn ask_for_temporary(context: &mut Context<'_>) {
    if context.gateway.kind != GatewayKind::Istio {
        return;
    }
    let mut solving: Vec<Option<String>> = Vec::new();
    for issuer in context.issuers() {
        if issuer.own().and_then(Acme::of).is_some_and(|acme| acme.has_http01()) {
            solving.push(issuer.object.namespace.clone());
        }
    }
    for certificate in &mut context.plan.certificates {
        let own = &certificate.namespace;
        certificate.issue_temporary |=
            solving.iter().any(|namespace| namespace.as_ref().is_none_or(|one| one == own));
    }
}

impl<'c> AcmeIssuance<'c> {
    /// The picker of solvers for the names of these Certificates. `None` if comparing each name with each
    /// solver and each entry of its selector would take too long: tenants can write both.
    pub fn picker(&self, settings: &Settings) -> Option<Picker<'_, 'c>> {
        let entries = |solver: &Solver<'_>| 1 + solver.dns_names.len() + solver.dns_zones.len();
        let entries: usize = self.acme.solvers.iter().map(entries).sum();
        if entries.saturating_mul(self.issuance.names().count()) > COMPARISONS {
            return None;
        }
        Some(Picker::new(&self.acme, &|key| self.issuance.label(key), settings.http01_wildcards))
    }
}

impl<'c> Issuance<'c> {
    /// The issuer, if it was found and is one of cert-manager's own kinds.
    pub fn own_issuer(&self) -> Option<&'c Value> {
        self.issuer.and_then(FoundIssuer::own)
    }

    /// The value of a label of the Certificates, which all have the same.
    pub fn label(&self, key: &str) -> Option<&'c str> {
        self.certificates.first()?.label(key)
    }

    /// The names of the Certificates: each one's hosts, then, once for all of them, those that
    /// annotations add to `dnsNames` and `ipAddresses`. Together they are the identifiers of the ACME
    /// Orders (`createOrder` in pkg/controller/acmeorders/sync.go). Those have the common name too, but
    /// it must be one of these.
    pub fn names(&self) -> impl Iterator<Item = Name<'c>> {
        let hosts = self.certificates.iter().flat_map(|certificate| {
            certificate.hosts.iter().map(move |host| Name {
                text: &host.name,
                is_ip: host.is_ip,
                certificate: Some(certificate),
                source: Source::Host(host.place),
            })
        });
        let added = |key, is_ip| {
            move |text: &'c String| Name { text, is_ip, certificate: None, source: Source::Annotation(key) }
        };
        let covering = self.covering_hosts();
        let alt_names = self.template.alt_names.iter().filter(move |name| !covering.covers(name));
        let ip_sans = self.template.ip_sans.iter().filter(|text| ip::is_ip(text));
        hosts
            .chain(alt_names.map(added(annotation::ALT_NAMES, false)))
            .chain(ip_sans.map(added(annotation::IP_SANS, true)))
    }

    /// The hosts that every Certificate of an Istio Gateway has. An alternative name that they cover
    /// is in none of the Certificates.
    fn covering_hosts(&self) -> Names {
        if self.template.owner.kind != GatewayKind::Istio || self.template.alt_names.is_empty() {
            return Names::default();
        }
        let hosts = self.certificates.iter().map(Certificate::host_names);
        hosts.reduce(|common, names| common.intersection(&names)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{GatewayFixture, TestCluster, gateway_api, issuer, istio};
    use rstest::rstest;
    use serde_json::json;

    fn shop(hosts: &[&str], alt_names: &str) -> GatewayFixture {
        let server = |(index, host): (usize, &&str)| {
            json!({
                "port": {"number": 443, "name": format!("s{index}"), "protocol": "HTTPS"},
                "hosts": [host], "tls": {"mode": "SIMPLE", "credentialName": format!("tls-{index}")},
            })
        };
        let servers: Vec<Value> = hosts.iter().enumerate().map(server).collect();
        istio("shop")
            .cert_manager("issuer", "le")
            .cert_manager("alt-names", alt_names)
            .with("/spec/servers", json!(servers))
    }

    /// The names of a Gateway: `path name Secret`, with `ip` for an address.
    fn names(gateway: &GatewayFixture) -> Vec<String> {
        gateway.in_context(&TestCluster::default(), |context| {
            let show = |name: Name<'_>| {
                let secret = name.certificate.map_or("all", |certificate| &certificate.secret_name);
                let ip = if name.is_ip { " ip" } else { "" };
                format!("{} {} {secret}{ip}", name.path(), name.text)
            };
            issuances(context).flat_map(|issuance| issuance.names().map(show).collect::<Vec<_>>()).collect()
        })
    }

    const ALT_NAMES: &str = "metadata.annotations[cert-manager.io/alt-names]";

    #[test]
    fn hosts_and_what_annotations_add() {
        let gateway = gateway_api("web").cert_manager("issuer", "le");
        let gateway = gateway.cert_manager("alt-names", "web.team-a.example.com,b.example.com");
        assert_eq!(
            names(&gateway.cert_manager("ip-sans", "192.0.2.1,no-address")),
            [
                "spec.listeners[0].hostname web.team-a.example.com web-tls",
                &format!("{ALT_NAMES} web.team-a.example.com all"),
                &format!("{ALT_NAMES} b.example.com all"),
                "metadata.annotations[cert-manager.io/ip-sans] 192.0.2.1 all ip",
            ]
        );
    }

    #[rstest]
    #[case::not_covered(&["*.example.org"], "www.example.com", true)]
    #[case::covered_in_the_only_one(&["*.example.com"], "www.example.com", false)]
    #[case::the_host_itself(&["www.example.com"], "WWW.example.com", false)]
    #[case::covered_in_one_of_two(&["*.example.com", "b.example.org"], "www.example.com", true)]
    #[case::covered_in_the_other_of_two(&["b.example.org", "*.example.com"], "www.example.com", true)]
    #[case::covered_in_both(&["*.example.com", "*.example.com"], "www.example.com", false)]
    fn alternative_names_of_istio(#[case] hosts: &[&str], #[case] alt_name: &str, #[case] is_there: bool) {
        let found = names(&shop(hosts, alt_name)).split_off(hosts.len());
        let expected = is_there.then(|| format!("{ALT_NAMES} {alt_name} all"));
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn each_namespace_has_its_own_issuer() {
        let gateway = shop(&["a.example.com", "b.example.com"], "").settings(json!({"gateway_namespaces": [
            {"labels": {"istio": "ingressgateway", "zone": "a"}, "namespace": "zone-a"},
            {"labels": {"istio": "ingressgateway", "zone": "b"}, "namespace": "zone-b"},
        ]}));
        let acme = issuer("zone-b", "le").ready().spec(json!({"acme": {}}));
        let cluster = TestCluster::default().object(issuer("zone-a", "le").ready()).object(acme);
        gateway.in_context(&cluster, |context| {
            let secrets = |certificates: &[Certificate]| -> Vec<String> {
                certificates.iter().map(|certificate| certificate.secret().to_string()).collect()
            };
            let all: Vec<_> = issuances(context).map(|found| secrets(found.certificates)).collect();
            assert_eq!(all, [["zone-a/tls-0", "zone-a/tls-1"], ["zone-b/tls-0", "zone-b/tls-1"]]);
            let acme: Vec<_> = acme_issuances(context)
                .map(|found| (found.object.namespace.as_deref(), secrets(found.issuance.certificates)))
                .collect();
            assert_eq!(acme, [(Some("zone-b"), vec!["zone-b/tls-0".to_owned(), "zone-b/tls-1".to_owned()])]);
        });
    }
}
