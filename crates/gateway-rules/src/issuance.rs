//! What an issuer is asked for: the Certificates of one namespace with the issuer that they find
//! there, and every name that it has to vouch for.

use std::collections::BTreeMap;

use certificate_shim::Certificate;
use certificate_shim::annotation;
use certificate_shim::certificate::wildcard_over;
use certificate_shim::gateway::GatewayKind;
use certificate_shim::place::Place;
use certificate_shim::value::ip;
use serde_json::Value;

use crate::context::{Context, FoundIssuer, annotation_path};
use crate::issuer::acme::Acme;
use crate::issuer::solver::Picker;
use crate::lookup::ObjectRef;
use crate::settings::Settings;

/// The Certificates of one namespace, and the issuer that they find there.
pub struct Issuance<'c> {
    /// The issuer as it was looked up for that namespace; none where its kind is not known or the
    /// annotations do not agree on one.
    pub issuer: Option<&'c FoundIssuer>,
    /// The Certificates, at least one. What their template holds is the same for all.
    pub certificates: Vec<&'c Certificate>,
}

/// Certificates of one namespace whose issuer is an ACME issuer.
pub struct AcmeIssuance<'c> {
    /// The issuer.
    pub object: &'c ObjectRef,
    /// Its `spec.acme`.
    pub acme: Acme<'c>,
    /// The Certificates, and their names.
    pub issuance: Issuance<'c>,
}

/// A name that goes into Certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'c> {
    /// The name as it goes into the Certificate.
    pub text: &'c str,
    /// Whether it goes into `ipAddresses`.
    pub is_ip: bool,
    /// The Certificate whose host it is; none for what annotations add to all of them.
    pub certificate: Option<&'c Certificate>,
    source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Host(Place),
    Annotation(&'static str),
}

impl Name<'_> {
    /// Where it stands in the Gateway.
    pub fn path(&self) -> String {
        match self.source {
            Source::Host(place) => place.to_string(),
            Source::Annotation(key) => annotation_path(key),
        }
    }
}

/// The Certificates that a Gateway asks for, namespace by namespace.
pub fn issuances<'c>(context: &'c Context<'_>) -> Vec<Issuance<'c>> {
    let mut issuances = Vec::new();
    for namespace in &context.placement {
        let beside =
            |issuer: &&FoundIssuer| issuer.object.namespace.as_deref().is_none_or(|own| own == *namespace);
        let certificates: Vec<&Certificate> =
            context.plan.certificates.iter().filter(|one| one.namespace == *namespace).collect();
        if !certificates.is_empty() {
            issuances.push(Issuance { issuer: context.issuers().iter().find(beside), certificates });
        }
    }
    issuances
}

/// Those of [`issuances`] whose issuer is known to be an ACME issuer.
pub fn acme_issuances<'c>(context: &'c Context<'_>) -> Vec<AcmeIssuance<'c>> {
    let mut found = Vec::new();
    for issuance in issuances(context) {
        if let Some(issuer) = issuance.issuer
            && let Some(acme) = issuer.own().and_then(Acme::of)
        {
            found.push(AcmeIssuance { object: &issuer.object, acme, issuance });
        }
    }
    found
}

/// Asks for a temporary certificate in those of an Istio Gateway's Certificates whose issuer solves
/// by HTTP-01: without one the gateway does not listen with TLS, and a challenge that is redirected
/// there would find nobody. cert-manager itself does so only for what it edits in place.
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
    /// What chooses the solvers for the names of these Certificates, which all carry the same labels.
    pub fn picker(&self, settings: &Settings) -> Picker<'_, 'c> {
        let label = |key: &str| self.issuance.certificates.first()?.label(key);
        Picker::new(&self.acme, &label, settings.http01_wildcards)
    }
}

impl<'c> Issuance<'c> {
    /// The issuer, where it was found and is one of cert-manager's own kinds.
    pub fn own_issuer(&self) -> Option<&'c Value> {
        self.issuer.and_then(FoundIssuer::own)
    }

    /// The names of the Certificates: each one's hosts, then, once for all of them, what annotations
    /// add to `dnsNames` and `ipAddresses`. Together they are the identifiers of the ACME Orders
    /// (`createOrder` in pkg/controller/acmeorders/sync.go), which also have the common name, but
    /// none that is not among these.
    pub fn names(&self) -> Vec<Name<'c>> {
        let mut names = Vec::new();
        let Some(Certificate { template, .. }) = self.certificates.first() else { return names };
        // The hosts that every Certificate has.
        let mut shared: BTreeMap<&str, &str> = BTreeMap::new();
        for (index, certificate) in self.certificates.iter().enumerate() {
            let mut still_shared = BTreeMap::new();
            for host in &certificate.hosts {
                let (text, source) = (host.name.as_str(), Source::Host(host.place));
                names.push(Name { text, is_ip: host.is_ip, certificate: Some(certificate), source });
                if !template.alt_names.is_empty() && (index == 0 || shared.contains_key(text)) {
                    still_shared.insert(text, text);
                }
            }
            shared = still_shared;
        }
        // A Certificate of an Istio Gateway leaves out what its hosts are or cover already.
        let is_left_out = |name: &str| {
            let name = name.to_ascii_lowercase();
            let has = |host: &str| shared.contains_key(host);
            let is_covered = has(&name) || wildcard_over(&name).is_some_and(|wildcard| has(&wildcard));
            template.owner.kind == GatewayKind::Istio && is_covered
        };
        for text in &template.alt_names {
            if !is_left_out(text) {
                let source = Source::Annotation(annotation::ALT_NAMES);
                names.push(Name { text, is_ip: false, certificate: None, source });
            }
        }
        for text in template.ip_sans.iter().filter(|text| ip::is_ip(text)) {
            let source = Source::Annotation(annotation::IP_SANS);
            names.push(Name { text, is_ip: true, certificate: None, source });
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{GatewayFixture, TestCluster, gateway_api, issuer, istio};
    use rstest::rstest;
    use serde_json::json;

    fn second_server(gateway: GatewayFixture, host: &str) -> GatewayFixture {
        gateway.push(
            "/spec/servers",
            json!({
                "port": {"number": 8443, "name": "b", "protocol": "HTTPS"},
                "hosts": [host], "tls": {"mode": "SIMPLE", "credentialName": "b-tls"},
            }),
        )
    }

    fn names(gateway: GatewayFixture) -> Vec<String> {
        gateway.in_context(&TestCluster::default(), |context| {
            let show = |name: &Name<'_>| format!("{} {} {}", name.path(), name.text, name.is_ip);
            issuances(context).iter().flat_map(|issuance| issuance.names()).map(|name| show(&name)).collect()
        })
    }

    #[test]
    fn hosts_and_what_annotations_add() {
        let gateway = gateway_api("web").cert_manager("issuer", "le");
        let gateway = gateway.cert_manager("alt-names", "web.team-a.example.com,b.example.com");
        assert_eq!(
            names(gateway.cert_manager("ip-sans", "192.0.2.1,no-address")),
            [
                "spec.listeners[0].hostname web.team-a.example.com false",
                "metadata.annotations[cert-manager.io/alt-names] web.team-a.example.com false",
                "metadata.annotations[cert-manager.io/alt-names] b.example.com false",
                "metadata.annotations[cert-manager.io/ip-sans] 192.0.2.1 true",
            ]
        );
    }

    #[rstest]
    #[case::another("*.example.org", "www.example.com", true)]
    #[case::covered_by_the_only_certificate("*.example.com", "www.example.com", false)]
    #[case::the_host_itself("www.example.com", "WWW.example.com", false)]
    fn what_istio_certificates_leave_out(#[case] host: &str, #[case] alt_name: &str, #[case] kept: bool) {
        let gateway = istio("shop").cert_manager("issuer", "le").cert_manager("alt-names", alt_name);
        let gateway = gateway.with("/spec/servers/0/hosts/0", json!(host));
        assert_eq!(names(gateway.clone()).len(), 1 + usize::from(kept));
        assert_eq!(
            names(second_server(gateway, "b.example.org")).len(),
            3,
            "the second Certificate keeps it"
        );
    }

    #[test]
    fn each_namespace_has_its_own_issuer() {
        let gateway = istio("shop").cert_manager("issuer", "le").settings(json!({"gateway_namespaces": [
            {"labels": {"istio": "ingressgateway", "zone": "a"}, "namespace": "zone-a"},
            {"labels": {"istio": "ingressgateway", "zone": "b"}, "namespace": "zone-b"},
        ]}));
        let acme = issuer("zone-b", "le").ready().spec(json!({"acme": {}}));
        let cluster = TestCluster::default().object(issuer("zone-a", "le").ready()).object(acme);
        let found = gateway.in_context(&cluster, |context| {
            assert_eq!(issuances(context).len(), 2);
            let object = |found: &AcmeIssuance<'_>| {
                (found.object.to_string(), found.issuance.certificates[0].secret().to_string())
            };
            acme_issuances(context).iter().map(object).collect::<Vec<_>>()
        });
        assert_eq!(
            found,
            [("Issuer \"le\" in namespace \"zone-b\"".to_owned(), "zone-b/shop-tls".to_owned())]
        );
    }
}
