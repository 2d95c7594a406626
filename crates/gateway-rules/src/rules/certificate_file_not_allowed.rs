//! A server uses certificate files of the gateway Pods, which all tenants share.
//!
//! `serverCertificate`, `privateKey` and `tlsCertificates` name files in the gateway Pods. The
//! tenant that owns a file is unknown, so a team could serve another team's certificate. A tenant that is
//! restricted to certain Secrets may not use files at all. Istio Gateways are checked with and without
//! an issuer annotation.
//!
//! Configured per tenant: `secrets`. Without that list files are allowed, too.
//!
//! Rejected, with `secrets: ["shop-*"]`:
//! ```yaml
//! tls: {mode: SIMPLE, serverCertificate: /etc/certs/tls.crt, privateKey: /etc/certs/tls.key}
//! ```
//! Accepted:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```

use certificate_shim::gateway::{Spec, host_name};

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::text::quote;

/// `certificate-file-not-allowed`
pub const RULE: Rule = Rule::reject("certificate-file-not-allowed", check).forbidden().of_all();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(tenant) = context.tenant().filter(|tenant| tenant.secrets.is_some()) else { return };
    let Spec::Servers { servers, .. } = &context.gateway.spec else { return };
    for (index, server) in servers.iter().enumerate() {
        let Some(tls) = &server.tls else { continue };
        let Some((field, _)) = tls.certificate_files.first() else { continue };
        let path = format!("spec.servers[{index}].tls.{field}");
        let problem = format!("tenant {} may not use files of the gateway Pods", quote(&tenant.name));
        let mut report = |field: &str, subject: &str| {
            findings
                .report(path.as_str(), problem.as_str())
                .subject(format!("{field} {subject}"))
                .help("Remove it and name a Secret in credentialName.");
        };
        // One line for the server, but a subject for each file and host: an update can reorder servers
        // and remove hosts, but neither name other files nor serve more hosts from files.
        tls.certificate_files.iter().for_each(|(field, file)| report(field, file));
        server.hosts.iter().for_each(|host| report("host", &host_name(host)));
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    const NONE: &[&str] = &[];

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn found(gateway: &GatewayFixture) -> Vec<String> {
        gateway.found_by("certificate-file-not-allowed", &cluster())
    }

    fn with_tls(tls: Value) -> GatewayFixture {
        istio("shop").with("/spec/servers/0/tls", tls).tenant(json!({"secrets": ["*"]}))
    }

    #[rstest]
    #[case::certificate(json!({"mode": "SIMPLE", "serverCertificate": "/a"}), &["serverCertificate /a"])]
    #[case::key(json!({"mode": "SIMPLE", "privateKey": "/b"}), &["privateKey /b"])]
    #[case::both(
        json!({"serverCertificate": "/a", "privateKey": "/b"}), &["serverCertificate /a", "privateKey /b"]
    )]
    #[case::pairs(
        json!({"mode": "SIMPLE", "tlsCertificates": [{"privateKey": "/b"}]}),
        &["tlsCertificates ", "tlsCertificates /b"]
    )]
    #[case::next_to_a_secret(json!({"credentialName": "shop-tls", "privateKey": "/b"}), &["privateKey /b"])]
    #[case::in_another_mode(json!({"mode": "PASSTHROUGH", "privateKey": "/b"}), &["privateKey /b"])]
    fn files(#[case] tls: Value, #[case] subjects: &[&str]) {
        let field = subjects[0].split(' ').next().unwrap();
        let line = |subject: &str| format!("reject spec.servers[0].tls.{field} | {subject}");
        let mut lines: Vec<String> = subjects.iter().map(|subject| line(subject)).collect();
        lines.push(line("host shop.team-a.example.com"));
        let gateway = with_tls(tls);
        assert_eq!(found(&gateway), lines);
        assert_eq!(found(&gateway.clone().cert_manager("cluster-issuer", "le")), lines);
        assert_eq!(found(&gateway.clone().tenant(json!({"secrets": []}))), lines);
        assert_eq!(found(&gateway.clone().tenant(json!({}))), NONE, "a tenant without list");
        assert_eq!(found(&gateway.settings(json!({}))), NONE, "no tenants");
    }

    #[rstest]
    #[case::a_secret(with_tls(json!({"mode": "SIMPLE", "credentialName": "shop-tls"})))]
    #[case::cas_of_clients(with_tls(json!({"credentialName": "shop-tls", "caCertificates": "/ca.pem"})))]
    #[case::empty(with_tls(json!({"serverCertificate": "", "privateKey": "", "tlsCertificates": []})))]
    #[case::no_tls(with_tls(json!(null)))]
    #[case::gateway_api(
        gateway_api("web").cert_manager("cluster-issuer", "le").tenant(json!({"secrets": ["*"]}))
    )]
    fn no_files(#[case] gateway: GatewayFixture) {
        assert_eq!(found(&gateway), NONE);
    }

    /// A server with a file.
    fn server(hosts: &[&str]) -> Value {
        json!({"hosts": hosts, "tls": {"mode": "SIMPLE", "privateKey": "/b"}})
    }

    fn servers(servers: &[Value]) -> GatewayFixture {
        istio("shop").with("/spec/servers", json!(servers)).tenant(json!({"secrets": ["*"]}))
    }

    #[test]
    fn each_server_is_shown_once() {
        let gateway =
            servers(&[server(&["a.x.org", "ns/B.x.org."]), json!({"hosts": ["c.x.org"]}), server(&[])]);
        assert_eq!(
            found(&gateway),
            [
                "reject spec.servers[0].tls.privateKey | privateKey /b",
                "reject spec.servers[0].tls.privateKey | host a.x.org",
                "reject spec.servers[0].tls.privateKey | host b.x.org",
                "reject spec.servers[2].tls.privateKey | privateKey /b",
            ]
        );
        let message = gateway.create(&cluster()).message.unwrap();
        assert_eq!(message.matches("certificate-file-not-allowed: ").count(), 2, "{message}");
    }

    /// The old Gateway serves two hosts from a file and a third one with a Secret.
    #[rstest]
    #[case::a_label(&[server(&["a.x.org", "b.x.org"]), secret("c.x.org", "c")], true)]
    #[case::in_another_place(&[secret("c.x.org", "c"), server(&["b.x.org", "a.x.org"])], true)]
    #[case::on_two_servers(&[server(&["a.x.org"]), server(&["b.x.org"]), secret("c.x.org", "c")], true)]
    #[case::a_host_less(&[server(&["b.x.org"]), secret("c.x.org", "c")], true)]
    #[case::one_with_the_secret(&[server(&["b.x.org"]), secret("a.x.org", "c")], true)]
    #[case::another_host(&[server(&["a.x.org", "d.x.org"]), secret("c.x.org", "c")], false)]
    #[case::the_host_with_the_secret(&[server(&["a.x.org", "b.x.org", "c.x.org"])], false)]
    #[case::another_secret(&[server(&["a.x.org", "b.x.org"]), secret("c.x.org", "d")], false)]
    #[case::another_file(&[
        json!({"hosts": ["a.x.org"], "tls": {"mode": "SIMPLE", "privateKey": "/c"}}),
        secret("c.x.org", "c"),
    ], false)]
    #[case::another_field(&[
        json!({"hosts": ["a.x.org"], "tls": {"mode": "SIMPLE", "serverCertificate": "/b"}}),
        secret("c.x.org", "c"),
    ], false)]
    fn an_update(#[case] new: &[Value], #[case] is_accepted: bool) {
        let old = servers(&[server(&["a.x.org", "b.x.org"]), secret("c.x.org", "c")]);
        let response = servers(new).label("x", "y").update_from(&old, &cluster());
        assert_eq!((response.accepted, response.code), (is_accepted, (!is_accepted).then_some(403)));
    }

    fn secret(host: &str, name: &str) -> Value {
        json!({"hosts": [host], "tls": {"mode": "SIMPLE", "credentialName": name}})
    }
}
