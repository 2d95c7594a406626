//! The texts of cert-manager's `BadConfig` events: about contradicting annotations (`issuerForIngressLike`) and
//! skipped listeners (`validateGatewayListenerBlock`, both in certificate-shim/sync.go).

use certificate_shim::issuer_ref::IssuerFault;
use certificate_shim::skip::{ListenerFault, SkipFault, Skipped};

/// The event about annotations that do not agree on an issuer.
pub fn of_issuer(faults: &[IssuerFault]) -> String {
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    format!("Could not determine issuer for ingress due to bad annotations: {}", faults.join(", "))
}

/// The event about a skipped listener.
pub fn of_skipped(skipped: &Skipped) -> String {
    let texts: Vec<String> = skipped.faults.iter().map(|fault| error(skipped.index, fault)).collect();
    // `NewAggregate` in apimachinery's util/errors: a single error has no brackets.
    let texts = match texts.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    format!("Skipped a listener block: {texts}")
}

/// One error: its path, which has `certificateRef` for `certificateRefs`, and its text.
fn error(index: usize, fault: &SkipFault) -> String {
    let path = fault.place(index).to_string().replace("certificateRefs", "certificateRef");
    let text = match fault {
        SkipFault::Listener(_, fault) => text(fault),
        SkipFault::Server(_, fault) => format!("{fault:?}"),
    };
    format!("{path}: {text}")
}

fn text(fault: &ListenerFault) -> String {
    match fault {
        ListenerFault::NoHostname => "Required value: the hostname cannot be empty".to_owned(),
        ListenerFault::NoTls => "Required value: the TLS block cannot be empty".to_owned(),
        ListenerFault::NoCertificateRefs => "Required value: listener has no certificateRefs".to_owned(),
        ListenerFault::NoMode => "Required value: the mode field is required".to_owned(),
        ListenerFault::Group(group) => unsupported(group, r#""core", """#),
        ListenerFault::Kind(kind) => unsupported(kind, r#""Secret", """#),
        ListenerFault::UnknownMode(mode) => unsupported(mode, r#""Terminate""#),
        ListenerFault::ForeignNamespace(namespace) => format!(
            "Invalid value: {}: cross-namespace secret references are not allowed in listeners",
            json_quoted(namespace)
        ),
    }
}

fn unsupported(value: &str, supported: &str) -> String {
    format!("Unsupported value: {}: supported values: {supported}", json_quoted(value))
}

/// The text as written by Go's `json.Marshal`, which apimachinery uses for such values.
fn json_quoted(text: &str) -> String {
    let mut quoted = serde_json::Value::from(text).to_string();
    for (character, code) in [
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('&', "\\u0026"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ] {
        quoted = quoted.replace(character, code);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("v1", r#""v1""#)]
    #[case::html("<a&b>", "\"\\u003ca\\u0026b\\u003e\"")]
    #[case::control("\u{8}\u{c}\n\r\t\u{1}\u{b}\u{7f}", "\"\\b\\f\\n\\r\\t\\u0001\\u000b\u{7f}\"")]
    #[case::separators("\u{2028}\u{2029}\u{a0}", "\"\\u2028\\u2029\u{a0}\"")]
    #[case::quotes(r#""\"#, r#""\"\\""#)]
    fn like_json(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(json_quoted(text), expected);
    }
}
