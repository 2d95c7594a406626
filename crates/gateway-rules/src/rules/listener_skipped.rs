//! cert-manager skips a listener that terminates TLS.
//!
//! cert-manager cannot issue a Certificate for such a listener and reports that only in an Event. The
//! other listeners get their Certificates. A listener that another source provides with its
//! certificate can be listed in `ignore-tls-listeners`.
//!
//! Warned about:
//! ```yaml
//! hostname: null
//! ```
//! Accepted:
//! ```yaml
//! hostname: shop.example.com
//! ```
//! Or with the listener excluded:
//! ```yaml
//! cert-manager.io/ignore-tls-listeners: https
//! ```

use std::collections::BTreeSet;

use certificate_shim::gateway::{Listener, Spec};
use certificate_shim::skip::{ListenerFault, SkipFault};

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::servers::names_no_certificate;
use crate::text::quote;

/// `listener-skipped`
pub const RULE: Rule = Rule::warn("listener-skipped", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Spec::Listeners(listeners) = &context.gateway.spec else { return };
    for skipped in &context.plan.skipped {
        // If nothing is planned, `tls-without-secret` reports such a listener.
        let has_other_rule = context.plan.certificates.is_empty()
            && listeners.get(skipped.index).is_some_and(names_no_certificate);
        let name = quote(&skipped.name);
        let mut reasons: BTreeSet<String> = BTreeSet::new();
        for fault in &skipped.faults {
            let SkipFault::Listener(_, listener_fault) = fault else { continue };
            let is_no_secret =
                matches!(listener_fault, ListenerFault::NoTls | ListenerFault::NoCertificateRefs);
            if has_other_rule && is_no_secret {
                continue;
            }
            let (reason, mut help) = reason_and_help(listener_fault);
            // The options of a gateway implementation can replace a Secret.
            let has_options = listeners.get(skipped.index).is_some_and(has_options);
            if has_options && *listener_fault == ListenerFault::NoCertificateRefs {
                help = "List the listener in cert-manager.io/ignore-tls-listeners.";
            }
            let problem = format!("cert-manager skips the listener {name}: {reason}");
            let subject = format!("{name} {reason}");
            if reasons.insert(reason) {
                findings.report(fault.place(skipped.index).to_string(), problem).subject(subject).help(help);
            }
        }
    }
}

fn has_options(listener: &Listener<'_>) -> bool {
    listener.tls.as_ref().is_some_and(|tls| !tls.options.is_empty())
}

/// The reason why cert-manager skips a listener, and the help. A reference to something other than a Secret
/// of the namespace can be intended, so the help does not suggest to change it.
fn reason_and_help(fault: &ListenerFault) -> (String, &'static str) {
    const OTHER_SOURCE: &str =
        "List the listener in cert-manager.io/ignore-tls-listeners, or use a Secret of this namespace.";
    const MODE: &str = "Set mode: Terminate, or list the listener in cert-manager.io/ignore-tls-listeners.";
    match fault {
        ListenerFault::NoHostname => (
            "it has no hostname".to_owned(),
            "Set hostname, or list the listener in cert-manager.io/ignore-tls-listeners.",
        ),
        ListenerFault::NoTls => (
            "it has no tls".to_owned(),
            "Add tls.certificateRefs, or list the listener in cert-manager.io/ignore-tls-listeners.",
        ),
        ListenerFault::NoCertificateRefs => (
            "it names no Secret".to_owned(),
            "Add certificateRefs, or list the listener in cert-manager.io/ignore-tls-listeners.",
        ),
        ListenerFault::Group(group) => {
            (format!("it refers to the group {}, not to a Secret", quote(group)), OTHER_SOURCE)
        }
        ListenerFault::Kind(kind) => {
            (format!("it refers to the kind {}, not to a Secret", quote(kind)), OTHER_SOURCE)
        }
        ListenerFault::ForeignNamespace(namespace) => {
            (format!("its Secret is in namespace {}", quote(namespace)), OTHER_SOURCE)
        }
        ListenerFault::NoMode => ("it has no mode".to_owned(), MODE),
        ListenerFault::UnknownMode(mode) => (format!("its mode is {}", quote(mode)), MODE),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::{Value, json};

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready()).object(gateway_api("web"))
    }

    #[test]
    fn options_instead_of_a_secret_can_be_intended() {
        let tls =
            json!({"mode": "Terminate", "options": {"gateway.istio.io/tls-terminate-mode": "ISTIO_MUTUAL"}});
        let mut listener = valid();
        listener["tls"] = tls;
        let findings =
            with_listener(gateway_api("web"), listener).findings_of("listener-skipped", &cluster());
        assert!(
            findings[0].ends_with("List the listener in cert-manager.io/ignore-tls-listeners."),
            "{findings:?}"
        );
    }

    /// With that second listener.
    fn with_listener(gateway: GatewayFixture, mut listener: Value) -> GatewayFixture {
        listener["name"] = json!("b");
        listener["port"] = json!(8443);
        gateway.cert_manager("cluster-issuer", "le").push("/spec/listeners", listener)
    }

    fn valid() -> Value {
        json!({"protocol": "HTTPS", "hostname": "b.example.com",
            "tls": {"mode": "Terminate", "certificateRefs": [{"group": "", "kind": "Secret", "name": "b"}]}})
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut listener = valid();
        *listener.pointer_mut(pointer).unwrap() = value;
        listener
    }

    #[rstest]
    #[case::valid(valid(), &[])]
    #[case::http(with("/protocol", json!("HTTP")), &[])]
    #[case::passthrough(with("/tls", json!({"mode": "Passthrough"})), &[])]
    #[case::no_hostname(with("/hostname", json!(null)), &["hostname: it has no hostname"])]
    #[case::no_tls(with("/tls", json!(null)), &["tls: it has no tls"])]
    #[case::no_secret(with("/tls/certificateRefs", json!([])), &["tls.certificateRefs: it names no Secret"])]
    #[case::kind(with("/tls/certificateRefs/0/kind", json!("ConfigMap")), &[
        "tls.certificateRefs[0].kind: it refers to the kind \"ConfigMap\", not to a Secret"
    ])]
    #[case::group(with("/tls/certificateRefs/0/group", json!("example.com")), &[
        "tls.certificateRefs[0].group: it refers to the group \"example.com\", not to a Secret"
    ])]
    #[case::namespace(with("/tls/certificateRefs/0", json!({"name": "b", "namespace": "team-b"})), &[
        "tls.certificateRefs[0].namespace: its Secret is in namespace \"team-b\""
    ])]
    #[case::the_same_twice(
        with("/tls/certificateRefs", json!([
            {"name": "b", "namespace": "team-b"},
            {"name": "c", "namespace": "team-c"},
            {"name": "d", "namespace": "team-b"},
        ])),
        &[
            "tls.certificateRefs[0].namespace: its Secret is in namespace \"team-b\"",
            "tls.certificateRefs[1].namespace: its Secret is in namespace \"team-c\"",
        ]
    )]
    #[case::no_mode(with("/tls/mode", json!(null)), &["tls.mode: it has no mode"])]
    #[case::unknown_mode(with("/tls/mode", json!("terminate")), &["tls.mode: its mode is \"terminate\""])]
    #[case::everything(json!({"protocol": "TLS", "tls": {}}), &[
        "hostname: it has no hostname",
        "tls.certificateRefs: it names no Secret",
        "tls.mode: it has no mode",
    ])]
    fn found(#[case] listener: Value, #[case] expected: &[&str]) {
        let line = |expected: &&str| {
            let (field, reason) = expected.split_once(": ").unwrap();
            format!("warn spec.listeners[1].{field} | \"b\" {reason}")
        };
        let expected: Vec<String> = expected.iter().map(line).collect();
        for gateway in [gateway_api("web"), listener_set("extra")] {
            let gateway = with_listener(gateway, listener.clone());
            assert_eq!(gateway.found_by("listener-skipped", &cluster()), expected);
            let excluded = gateway.cert_manager("ignore-tls-listeners", "a, b");
            assert_eq!(excluded.found(&cluster()), Vec::<String>::new());
        }
    }

    /// Without any Certificate, `tls-without-secret` reports a listener that has nothing to serve.
    #[rstest]
    #[case::no_tls("/tls", json!(null), &["tls-without-secret reject"])]
    #[case::no_secret("/tls/certificateRefs", json!([]), &["tls-without-secret reject"])]
    #[case::options("/tls", json!({"mode": "Terminate", "options": {"example.com/certificates": "a"}}), &[
        "listener-skipped warn"
    ])]
    #[case::with_other_faults("/tls", json!({}), &["listener-skipped warn", "tls-without-secret reject"])]
    #[case::unknown_mode("/tls", json!({"mode": "terminate"}), &[
        "listener-skipped warn",
        "listener-skipped warn",
    ])]
    fn the_only_listener(#[case] pointer: &str, #[case] value: Value, #[case] expected: &[&str]) {
        let gateway = gateway_api("web").cert_manager("cluster-issuer", "le");
        let gateway = gateway.with(&format!("/spec/listeners/0{pointer}"), value);
        assert_eq!(gateway.rules(&cluster()), expected);
    }

    #[test]
    fn servers_have_other_rules() {
        let gateway = istio("shop").cert_manager("cluster-issuer", "le");
        let gateway = gateway.with("/spec/servers/0/tls/mode", json!(null));
        assert_eq!(gateway.found_by("listener-skipped", &cluster()), Vec::<String>::new());
    }

    #[test]
    fn a_listener_before_it_changes_nothing() {
        let gateway = |listeners: [Value; 2]| {
            let gateway = gateway_api("web").cert_manager("cluster-issuer", "le");
            gateway.with("/spec/listeners", json!(listeners)).level("listener-skipped", "reject")
        };
        let named = |name: &str, mut listener: Value| {
            listener["name"] = json!(name);
            listener
        };
        let [valid, skipped] = [named("a", valid()), named("b", with("/hostname", json!(null)))];
        let old = gateway([valid.clone(), skipped.clone()]);
        assert!(gateway([skipped, valid]).update_from(&old, &cluster()).accepted);
    }
}
