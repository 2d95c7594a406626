//! The ratchet: an update is not rejected for problems that the object already had.
//!
//! A finding becomes a warning only if the old object has a finding of the same rule about the same
//! subject, for the same Certificate and under the same issuer. A finding that names no Certificate
//! counts for every Secret that the object names, so that a Secret which the old object did not name
//! is checked again, and so is everything under a changed issuer. So is a Secret, or a host of it, that
//! the old object named without getting a Certificate for it: it was skipped, or contradictory. A
//! finding about the object as a whole becomes a warning only if the update asks for nothing new.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use certificate_shim::Certificate;
use certificate_shim::certificate::{Host, wildcard_over};
use certificate_shim::names::Names;
use certificate_shim::plan::{Plan, SecretName};

use crate::check::CheckResult;
use crate::finding::{Finding, Level};
use crate::named::{Served, served_with};
use crate::rules;
use crate::shared_names::{Hosts, SharedNames};

/// Turns findings that the old object already had into warnings. Returns whether there were any.
pub fn ratchet(new: &mut CheckResult, old: &CheckResult) -> bool {
    if new.issuer != old.issuer || new.issuer_is_sound != old.issuer_is_sound {
        return false;
    }
    // What differs most comes first, so that comparing is cheap.
    let key = |finding: &Finding, secret: Option<&SecretName>| {
        let (namespace, name) = secret.map_or(("", ""), |secret| (&secret.namespace, &secret.name));
        [name, "\n", &finding.subject, "\n", finding.rule, "\n", namespace].concat()
    };
    let mut had: BTreeSet<String> = BTreeSet::new();
    for finding in &old.findings {
        had.insert(key(finding, finding.certificate.as_ref()));
    }
    let CheckResult { named, plan, served, findings, .. } = new;
    let issued_first = issued_first(plan, &old.plan);
    let is_issued_first = |secret: &SecretName, host: &str| {
        !issued_first.is_empty() && issued_first.contains(&served_with(host, secret))
    };
    let is_old = |secret: &SecretName| {
        old.named.binary_search(secret).is_ok()
            && !is_issued_first(secret, ANY_HOST)
            && !is_issued_first(secret, ANNOTATED_KEY)
    };
    let added: Vec<&SecretName> = named.iter().filter(|secret| !is_old(secret)).collect();
    let asks_nothing_new = OnceCell::new();
    let mut lowered = false;
    for finding in findings.iter_mut().filter(|finding| finding.level == Level::Reject) {
        let Some(rule) = rules::find(finding.rule) else { continue };
        let has = |secret| had.contains(&key(finding, secret));
        let before = match &finding.certificate {
            Some(secret) if is_issued_first(secret, ANY_HOST) => false,
            Some(secret) if is_issued_first(secret, &finding.subject) => false,
            Some(secret) => has(Some(secret)) || (has(None) && is_old(secret)),
            None if has(None) => added.iter().all(|secret| has(Some(secret))),
            None => !named.is_empty() && named.iter().all(|secret| has(Some(secret))),
        };
        let stays = || {
            !rule.is_about_whole
                || *asks_nothing_new.get_or_init(|| {
                    added.is_empty() && is_served_within(served, &old.served) && is_within(plan, &old.plan)
                })
        };
        if before && !rule.is_fixed && stays() {
            finding.level = Level::Warn;
            lowered = true;
        }
    }
    lowered
}

/// In the place of a host: the Certificate as such.
const ANY_HOST: &str = "";
/// In the place of a host: the private key is as annotated, unlike that of the second one of a pair.
const ANNOTATED_KEY: &str = " ";

/// The Certificates that are created and were not before, and such hosts of others, as [`served_with`]
/// writes them. What was only served, or only written, was not created.
fn issued_first(new: &Plan, old: &Plan) -> BTreeSet<String> {
    let mut first = BTreeSet::new();
    let before = if old.issued().is_empty() { BTreeMap::new() } else { old.by_secret() };
    let is_as_annotated =
        |certificate: &&Certificate| certificate.private_key.is_like(&certificate.template.private_key);
    for certificate in new.issued() {
        let before = before.get(&certificate.secret_key()).copied();
        let secret = certificate.secret();
        if before.is_none() {
            first.insert(served_with(ANY_HOST, &secret));
        }
        if is_as_annotated(&certificate) && !before.as_ref().is_some_and(is_as_annotated) {
            first.insert(served_with(ANNOTATED_KEY, &secret));
        }
        let hosts_before = before.map_or(&[][..], |before| &before.hosts);
        if !names(&certificate.hosts).eq(names(hosts_before)) {
            let before: Names = names(hosts_before).collect();
            for host in names(&certificate.hosts).filter(|host| !before.contains(host)) {
                first.insert(served_with(&host.to_ascii_lowercase(), &secret));
            }
        }
    }
    first
}

fn names(hosts: &[Host]) -> impl Iterator<Item = &String> {
    hosts.iter().map(|host| &host.name)
}

/// Whether each host was served before with that Secret, itself or under the next wildcard or `*`.
fn is_served_within(new: &Served, old: &Served) -> bool {
    new.iter().all(|served| {
        let Some((host, secret)) = served.split_once('\n') else { return false };
        let wider = [wildcard_over(host), Some("*".to_owned())];
        old.contains(served)
            || wider.into_iter().flatten().any(|host| old.contains(&[&host, "\n", secret].concat()))
    })
}

/// Whether each Certificate has one in the old plan with at least the same names, and with the same
/// values in all other fields. Labels and places are not compared.
fn is_within(new: &Plan, old: &Plan) -> bool {
    let Some((new_template, old_template)) = new.template().zip(old.template()) else {
        return new.certificates.is_empty();
    };
    let common_name = &new_template.common_name;
    if !(new_template.asks_alike(old_template)
        && (common_name.is_empty() || *common_name == old_template.common_name))
    {
        return false;
    }
    let shared_before = SharedNames::of(old_template);
    let shared = SharedNames::of(new_template);
    let added = SharedNames::covered_by_wildcards(
        shared.dns_names.iter().filter(|name| !shared_before.dns_names.covers(name)).collect(),
        shared.addresses.iter().filter(|address| !shared_before.addresses.contains(address)).collect(),
    );
    let before = old.by_secret();
    new.certificates.iter().all(|certificate| {
        let Some(old) = before.get(&certificate.secret_key()) else { return false };
        let hosts = Hosts::of(&old.hosts);
        let has_host = |host: &Host| match host.is_ip {
            true => hosts.addresses.contains(&host.name) || shared_before.addresses.contains(&host.name),
            false => hosts.dns_names.covers(&host.name) || shared_before.dns_names.covers(&host.name),
        };
        certificate.private_key == old.private_key
            && certificate.hosts.iter().all(has_host)
            && added.covered_by(&hosts) == added.count()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Cause;
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use certificate_shim::IssuerRef;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn secret(name: &str) -> SecretName {
        SecretName { namespace: "team-a".into(), name: name.into() }
    }

    /// A result with findings about (rule, subject, Certificate) under an issuer, of an object
    /// that names those Secrets.
    fn result(
        issuer: Option<&str>,
        named: &[&str],
        findings: &[(&'static str, &str, Option<&str>)],
    ) -> CheckResult {
        let finding = |(rule, subject, certificate): &(&'static str, &str, Option<&str>)| Finding {
            rule,
            level: Level::Reject,
            cause: Cause::Invalid,
            path: String::new(),
            subject: (*subject).to_owned(),
            problem: String::new(),
            help: String::new(),
            certificate: certificate.map(secret),
            rests_on: None,
            exception: None,
            is_cut: false,
        };
        CheckResult {
            issuer: issuer.map(|name| IssuerRef {
                name: name.into(),
                kind: "Issuer".into(),
                group: "cert-manager.io".into(),
            }),
            issuer_is_sound: true,
            named: named.iter().map(|name| secret(name)).collect(),
            served: Served::default(),
            plan: certificate_shim::Plan::default(),
            issuers_are_known: false,
            findings: findings.iter().map(finding).collect(),
        }
    }

    fn old() -> CheckResult {
        result(
            Some("ca"),
            &["a"],
            &[("name-not-allowed", "host", Some("a")), ("certificate-invalid", "ca", None)],
        )
    }

    #[rstest]
    #[case::the_same(result(Some("ca"), &["a"], &[("name-not-allowed", "host", Some("a"))]), old(), true)]
    #[case::the_same_without_certificate(result(Some("ca"), &["a"], &[("certificate-invalid", "ca", None)]), old(), true)]
    #[case::other_rule(result(Some("ca"), &["a"], &[("secret-not-allowed", "host", Some("a"))]), old(), false)]
    #[case::other_host(result(Some("ca"), &["a"], &[("name-not-allowed", "other", Some("a"))]), old(), false)]
    #[case::other_secret(result(Some("ca"), &["b"], &[("name-not-allowed", "host", Some("b"))]), old(), false)]
    #[case::other_issuer(result(Some("cb"), &["a"], &[("name-not-allowed", "host", Some("a"))]), old(), false)]
    #[case::a_further_secret(result(Some("ca"), &["a", "b"], &[("certificate-invalid", "ca", None)]), old(), false)]
    #[case::a_secret_less(result(Some("ca"), &["a"], &[("certificate-invalid", "ca", None)]), result(Some("ca"), &["a", "b"], &[("certificate-invalid", "ca", None)]), true)]
    #[case::all_secrets_gone(result(Some("ca"), &[], &[("certificate-invalid", "ca", None)]), old(), true)]
    #[case::no_secrets_in_either(result(Some("ca"), &[], &[("certificate-invalid", "ca", None)]), result(Some("ca"), &[], &[("certificate-invalid", "ca", None)]), true)]
    #[case::first_secret(result(Some("ca"), &["a"], &[("certificate-invalid", "ca", None)]), result(Some("ca"), &[], &[("certificate-invalid", "ca", None)]), false)]
    #[case::specific_once_general(result(Some("ca"), &["a"], &[("certificate-invalid", "ca", Some("a"))]), old(), true)]
    #[case::not_annotated_before(result(Some("ca"), &["a"], &[("name-not-allowed", "host", Some("a"))]), result(None, &["a"], &[]), false)]
    #[case::not_annotated_before_with_a_finding(
        result(Some("ca"), &["a"], &[("name-not-allowed", "host", Some("a"))]), result(None, &["a"], &[("name-not-allowed", "host", Some("a"))]), false
    )]
    #[case::never_annotated(result(None, &["a"], &[("name-not-allowed", "host", Some("a"))]), result(None, &["a"], &[("name-not-allowed", "host", Some("a"))]), true)]
    #[case::no_longer_annotated(result(None, &["a"], &[("name-not-allowed", "host", Some("a"))]), old(), false)]
    fn lowered(#[case] mut new: CheckResult, #[case] old: CheckResult, #[case] expected: bool) {
        assert_eq!(ratchet(&mut new, &old), expected);
        assert_eq!(new.is_rejected(), !expected);
    }

    /// A Gateway of no tenant.
    fn ownerless() -> GatewayFixture {
        let settings =
            json!({"tenants": [{"name": "b", "namespaces": ["b"], "issuers": [], "dns_names": []}]});
        gateway_api("web").cert_manager("cluster-issuer", "le").settings(settings)
    }

    /// A finding about the object as a whole stays a warning only if the update asks for nothing new.
    #[rstest]
    #[case::a_label(json!({"/metadata/labels": {"app.kubernetes.io/version": "2"}}), true)]
    #[case::a_name_less(json!({"cert-manager.io/alt-names": "a.example.com"}), true)]
    #[case::names_in_another_order(json!({"cert-manager.io/alt-names": "b.example.com,a.example.com"}), true)]
    #[case::a_further_name(json!({"cert-manager.io/alt-names": "a.example.com,b.example.com,c.example.com"}), false)]
    #[case::another_host(json!({"/spec/listeners/0/hostname": "x.team-b.example.com"}), false)]
    #[case::below_the_wildcard(json!({"/spec/listeners/1/hostname": "a.wild.example.com"}), true)]
    #[case::a_usage(json!({"cert-manager.io/usages": "client auth"}), false)]
    #[case::a_duration(json!({"cert-manager.io/duration": "87600h"}), false)]
    #[case::a_key(json!({"cert-manager.io/private-key-algorithm": "ECDSA"}), false)]
    #[case::a_subject(json!({"cert-manager.io/subject-organizations": "Other"}), false)]
    #[case::mail(json!({"cert-manager.io/email-sans": "root@example.com"}), false)]
    #[case::a_common_name(json!({"cert-manager.io/common-name": "x.example.com"}), false)]
    #[case::labels_of_the_secret(json!({"cert-manager.io/secret-template": "{\"labels\": {\"a\": \"b\"}}"}), false)]
    fn about_the_whole(#[case] change: Value, #[case] expected: bool) {
        let wild = json!({"name": "wild", "port": 443, "protocol": "HTTPS", "hostname": "*.wild.example.com",
            "tls": {"mode": "Terminate", "certificateRefs": [{"name": "wild-tls"}]}});
        let base = |gateway: GatewayFixture| {
            gateway.push("/spec/listeners", wild.clone()).metadata("labels", json!({}))
        };
        let old = base(gateway_api("web").cert_manager("cluster-issuer", "le"))
            .cert_manager("alt-names", "a.example.com,b.example.com");
        let mut new = base(ownerless()).cert_manager("alt-names", "a.example.com,b.example.com");
        for (pointer, value) in change.as_object().unwrap() {
            new = match pointer.strip_prefix("cert-manager.io/") {
                Some(key) => new.cert_manager(key, value.as_str().unwrap()),
                None => new.with(pointer, value.clone()),
            };
        }
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        assert_eq!(new.update_from(&old, &cluster).accepted, expected);
    }

    /// A common name is not yet a name of the certificate.
    #[rstest]
    #[case::another_host("/spec/listeners/0/hostname", "x.example.com")]
    #[case::an_alternative_name("/metadata/annotations/cert-manager.io~1alt-names", "x.example.com")]
    fn about_the_whole_with_a_common_name(#[case] pointer: &str, #[case] name: &str) {
        let old = ownerless().cert_manager("common-name", "x.example.com").cert_manager("alt-names", "");
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        assert!(old.clone().label("a", "b").update_from(&old, &cluster).accepted);
        assert_eq!(old.clone().with(pointer, json!(name)).update_from(&old, &cluster).code, Some(403));
    }

    #[rstest]
    #[case::the_same(json!("shop.team-a.example.com"), json!("shop-tls"), true)]
    #[case::another_host(json!("x.team-b.example.com"), json!("shop-tls"), false)]
    #[case::another_secret(json!("shop.team-a.example.com"), json!("team-b-tls"), false)]
    fn about_the_whole_without_a_plan(#[case] host: Value, #[case] secret: Value, #[case] expected: bool) {
        let settings =
            json!({"tenants": [{"name": "b", "namespaces": ["b"], "issuers": [], "dns_names": []}]});
        let new = istio("shop")
            .label("a", "b")
            .with("/spec/servers/0/hosts/0", host)
            .with("/spec/servers/0/tls/credentialName", secret)
            .settings(settings);
        assert_eq!(new.update_from(&istio("shop"), &TestCluster::default()).accepted, expected);
    }

    fn le(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le")
    }

    /// With a second server, for an allowed host.
    fn two_servers(gateway: GatewayFixture, secret: &str) -> GatewayFixture {
        gateway.push(
            "/spec/servers",
            json!({
                "port": {"number": 8443, "name": "b", "protocol": "HTTPS"},
                "hosts": ["own.team-a.example.com"],
                "tls": {"mode": "SIMPLE", "credentialName": secret},
            }),
        )
    }

    fn protocol(gateway: GatewayFixture, pointer: &str) -> GatewayFixture {
        gateway.with(pointer, json!("HTTP"))
    }

    const SERVER: &str = "/spec/servers/0/port/protocol";
    const LISTENER: &str = "/spec/listeners/0/protocol";

    /// What the old object only had written, and is issued first by the update, is new.
    #[rstest]
    #[case::contradicting_annotations(le(gateway_api("web")), |old: GatewayFixture| old.cert_manager("issuer", "le"))]
    #[case::unreadable_annotation(le(gateway_api("web")), |old: GatewayFixture| old.cert_manager("duration", "x"))]
    #[case::skipped_listener(le(gateway_api("web")), |old: GatewayFixture| protocol(old, LISTENER))]
    #[case::skipped_server(le(istio("web")), |old: GatewayFixture| protocol(old, SERVER))]
    #[case::skipped_server_of_a_certificate(
        two_servers(le(istio("web")), "web-tls"), |old: GatewayFixture| protocol(old, SERVER)
    )]
    #[case::contradicting_keys(
        le(istio("web")).with("/spec/servers/0/tls", json!({"mode": "SIMPLE", "credentialNames": ["web-tls"]})),
        |old: GatewayFixture| old.with("/spec/servers/0/tls/credentialNames", json!(["x-tls", "web-tls"]))
            .push("/spec/servers", json!({
                "port": {"number": 8443, "name": "b", "protocol": "HTTPS"}, "hosts": ["own.team-a.example.com"],
                "tls": {"mode": "SIMPLE", "credentialName": "web-tls"},
            })),
    )]
    #[case::another_secret_of_an_unknown_gateway(
        two_servers(istio("web"), "own-tls").selector(json!({"istio": "other"})),
        |old: GatewayFixture| old.with("/spec/servers/0/tls/credentialName", json!("own-tls")),
    )]
    #[case::another_parent(
        le(listener_set("web")), |old: GatewayFixture| old.spec("parentRef", json!({"name": "web", "namespace": "b"})),
    )]
    #[case::an_issuer_that_a_parent_can_change(
        listener_set("web").cert_manager("issuer", "le").cert_manager("issuer-kind", "ClusterIssuer"),
        |old: GatewayFixture| le(old.with("/metadata/annotations", json!({}))),
    )]
    fn issued_first(#[case] new: GatewayFixture, #[case] old_of: fn(GatewayFixture) -> GatewayFixture) {
        let settings = json!({"gateway_namespaces": [
            {"labels": {"istio": "ingressgateway"}, "namespace": "team-a"}
        ]});
        let new = new.settings(settings).tenant(json!({"dns_names": ["own.team-a.example.com"]}));
        let cluster = TestCluster::default().object(cluster_issuer("le").ready()).object(gateway_api("web"));
        let old = old_of(new.clone());
        assert!(new.clone().label("a", "b").update_from(&new, &cluster).accepted);
        assert_eq!(new.update_from(&old, &cluster).code, Some(403));
        assert!(old.clone().label("a", "b").update_from(&old, &cluster).accepted);
    }

    #[test]
    fn each_finding_by_itself() {
        let mut new = result(
            Some("ca"),
            &["a"],
            &[("name-not-allowed", "host", Some("a")), ("name-not-allowed", "new", Some("a"))],
        );
        assert!(ratchet(&mut new, &old()));
        let levels: Vec<Level> = new.findings.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Warn, Level::Reject]);
    }
}
