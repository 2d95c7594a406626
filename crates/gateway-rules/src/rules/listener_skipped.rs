//! cert-manager skips a listener.
//!
//! The listener terminates TLS, but cert-manager can make no Certificate for it, and tells so in an
//! event only. The other listeners get theirs.
//!
//! Warned about:
//! ```yaml
//! - name: https
//!   protocol: HTTPS
//!   tls: {mode: Terminate, certificateRefs: [{name: web-tls}]}
//! ```
//! Accepted silently: with a `hostname`, or with the listener exempt:
//! ```yaml
//! cert-manager.io/ignore-tls-listeners: https
//! ```

use certificate_shim::annotation;
use certificate_shim::gateway::GatewayKind;
use certificate_shim::skip::SkipReason;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};

use crate::text::quote;

/// `listener-skipped`
pub const RULE: Rule = Rule {
    id: "listener-skipped",
    default: Level::Warn,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.gateway.kind == GatewayKind::Istio {
        return;
    }
    for skipped in &context.plan.skipped {
        for fault in &skipped.faults {
            let (why, mend) = why(&fault.reason);
            let what = format!("cert-manager skips the listener {}, since {why}", quote(&skipped.name));
            let mend = format!("{mend}, or list the listener in {}.", annotation::IGNORE_TLS_LISTENERS);
            findings.add(fault.place.to_string(), what.clone(), what, mend);
        }
    }
}

/// Why cert-manager skips a listener, and how to mend it.
fn why(reason: &SkipReason) -> (String, &'static str) {
    match reason {
        SkipReason::NoHostname => ("it has no hostname".to_owned(), "Give it one"),
        SkipReason::NoTls => ("it has no tls".to_owned(), "Add mode and certificateRefs"),
        SkipReason::NoCertificateRefs => ("it names no Secret".to_owned(), "Name one"),
        SkipReason::Group(value) | SkipReason::Kind(value) => {
            (format!("{} is not that of a Secret", quote(value)), "Refer to a Secret")
        }
        SkipReason::ForeignNamespace(namespace) => {
            (format!("its Secret is in namespace {}", quote(namespace)), "Remove the namespace")
        }
        SkipReason::Mode(mode) => (format!("its mode is {}", quote(mode)), "Let it be Terminate"),
        // What is left is a mode that is missing; the other reasons are about Istio's servers.
        _ => ("it has no mode".to_owned(), "Let it be Terminate"),
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

    /// Its second listener is that one.
    fn with_listener(gateway: GatewayFixture, mut listener: Value) -> GatewayFixture {
        listener["name"] = json!("b");
        listener["port"] = json!(8443);
        gateway.cert_manager("cluster-issuer", "le").push("/spec/listeners", listener)
    }

    fn sound() -> Value {
        json!({"protocol": "HTTPS", "hostname": "b.example.com",
            "tls": {"mode": "Terminate", "certificateRefs": [{"group": "", "kind": "Secret", "name": "b"}]}})
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut listener = sound();
        *listener.pointer_mut(pointer).unwrap() = value;
        listener
    }

    const HOSTNAME: (&str, &str, &str) = ("hostname", "it has no hostname", "Give it one");

    #[rstest]
    #[case::sound(sound(), &[])]
    #[case::plain(with("/protocol", json!("HTTP")), &[])]
    #[case::passthrough(with("/tls", json!({"mode": "Passthrough"})), &[])]
    #[case::no_hostname(with("/hostname", json!(null)), &[HOSTNAME])]
    #[case::no_tls(with("/tls", json!(null)), &[("tls", "it has no tls", "Add mode and certificateRefs")])]
    #[case::no_secret(with("/tls/certificateRefs", json!([])), &[("tls.certificateRefs", "it names no Secret", "Name one")])]
    #[case::kind(with("/tls/certificateRefs/0/kind", json!("ConfigMap")), &[
        ("tls.certificateRefs[0].kind", "\"ConfigMap\" is not that of a Secret", "Refer to a Secret")
    ])]
    #[case::group(with("/tls/certificateRefs/0/group", json!("example.com")), &[
        ("tls.certificateRefs[0].group", "\"example.com\" is not that of a Secret", "Refer to a Secret")
    ])]
    #[case::namespace(with("/tls/certificateRefs/0", json!({"name": "b", "namespace": "team-b"})), &[
        ("tls.certificateRefs[0].namespace", "its Secret is in namespace \"team-b\"", "Remove the namespace")
    ])]
    #[case::no_mode(with("/tls/mode", json!(null)), &[("tls.mode", "it has no mode", "Let it be Terminate")])]
    #[case::mode(with("/tls/mode", json!("terminate")), &[("tls.mode", "its mode is \"terminate\"", "Let it be Terminate")])]
    #[case::everything(json!({"protocol": "TLS", "tls": {}}), &[
        HOSTNAME,
        ("tls.certificateRefs", "it names no Secret", "Name one"),
        ("tls.mode", "it has no mode", "Let it be Terminate"),
    ])]
    fn found(#[case] listener: Value, #[case] expected: &[(&str, &str, &str)]) {
        let text = |(field, why, mend): &(&str, &str, &str)| {
            format!(
                "spec.listeners[1].{field}: cert-manager skips the listener \"b\", since {why}. {mend}, or list the listener in cert-manager.io/ignore-tls-listeners."
            )
        };
        let expected: Vec<String> = expected.iter().map(text).collect();
        for gateway in [gateway_api("web"), listener_set("extra")] {
            let gateway = with_listener(gateway, listener.clone());
            assert_eq!(gateway.findings_of("listener-skipped", &cluster()), expected);
            let ignored = gateway.cert_manager("ignore-tls-listeners", "a, b");
            assert_eq!(ignored.findings(&cluster()), Vec::<String>::new());
        }
    }

    #[test]
    fn servers_have_rules_of_their_own() {
        let gateway = istio("shop").cert_manager("cluster-issuer", "le");
        let gateway = gateway.with("/spec/servers/0/tls/mode", json!(null));
        assert_eq!(gateway.findings_of("listener-skipped", &cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::the_same(with("/hostname", json!(null)), true)]
    #[case::was_sound(sound(), false)]
    #[case::another_fault(with("/tls/mode", json!(null)), false)]
    fn updates(#[case] before: Value, #[case] let_through: bool) {
        let gateway =
            |listener| with_listener(gateway_api("web"), listener).level("listener-skipped", "reject");
        let new = gateway(with("/hostname", json!(null))).annotation("a", "b");
        assert_eq!(new.update_from(&gateway(before), &cluster()).accepted, let_through);
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
        let [sound, skipped] = [named("a", sound()), named("b", with("/hostname", json!(null)))];
        let old = gateway([sound.clone(), skipped.clone()]);
        assert!(gateway([skipped, sound]).update_from(&old, &cluster()).accepted);
    }
}
