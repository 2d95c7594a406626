//! The annotation reference, written from the table.

use std::fmt::Write;

use super::{Annotation, DOCUMENTATION, Documentation, ReadFrom, TABLE};
use crate::value::usage::USAGES;

/// What is particular to Istio's Gateways.
const ISTIO: &str = "\
## On Istio's Gateways

cert-manager does not read Istio's Gateways. The controller makes their Certificates by the same rules,
and:

- Of a host the namespace before its slash and a trailing dot are dropped, and it is lower-cased; `*`
  gives no name. No name stands twice, and none beside a wildcard that covers it, be they hosts or
  `alt-names`.
- Of two `credentialNames` the first gets the key that is annotated, or RSA; the second the other of RSA
  and ECDSA with 256 bits. The size goes to the first. Ed25519 has no counterpart and is refused.
- There is a Certificate in each namespace of the placement, unless the credential names one of them.
- Labels and annotations are taken over as `copy_labels` and `copy_annotations` say, and no others.
";

/// The annotation reference as Markdown: what stands in docs/annotations.md.
pub fn reference() -> String {
    let mut text = String::from(
        "# Annotations\n\n\
         <!-- Written by `cargo run -p certificate-shim --example annotations`; a test compares. -->\n\n\
         What the annotations of a Gateway set in its Certificates, as cert-manager 1.21 reads them. Keys are\n\
         compared exactly. Where one annotation cannot be read, cert-manager creates none of the Gateway's\n\
         Certificates and says so in its controller's log only.\n",
    );
    let sections = [
        (ReadFrom::All, "Read from every Gateway"),
        (ReadFrom::GatewayApi, "Read from Gateway API Gateways and ListenerSets"),
        (ReadFrom::ListenerSet, "Read from ListenerSets"),
    ];
    for (read_from, title) in sections {
        let _ = write!(
            text,
            "\n## {title}\n\n| Annotation | Sets | Accepts | Default | Example |\n|---|---|---|---|---|\n"
        );
        for (annotation, documentation) in rows(read_from) {
            let Annotation { key, accepts, .. } = annotation;
            let Documentation { sets, default, example } = documentation;
            let _ = writeln!(text, "| `{key}` | {sets} | {accepts} | {default} | `{example}` |");
        }
    }
    text.push_str("\nKey usages are: ");
    for (index, usage) in USAGES.iter().enumerate() {
        let _ = write!(text, "{}`{usage}`", if index == 0 { "" } else { ", " });
    }
    text.push_str(".\n\n");
    text.push_str(ISTIO);
    text.push_str(
        "\n## Never read from a Gateway\n\n\
         cert-manager knows these keys, but on a Gateway they have no effect.\n\n\
         | Annotation | What it is |\n|---|---|\n",
    );
    for (annotation, _) in rows(ReadFrom::None) {
        let _ = writeln!(text, "| `{}` | {} |", annotation.key, annotation.accepts);
    }
    text
}

fn rows(read_from: ReadFrom) -> impl Iterator<Item = (&'static Annotation, &'static Documentation)> {
    TABLE.iter().zip(DOCUMENTATION).filter(move |(annotation, _)| annotation.read_from == read_from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::{CLUSTER_ISSUER, ISSUER, ISSUER_GROUP, ISSUER_KIND};
    use crate::gateway::{Gateway, GatewayKind};
    use crate::issuer_ref::resolve;
    use crate::plan::{Copy, plan};
    use crate::webhook;
    use serde_json::json;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_stands_once() {
        let keys: BTreeSet<&str> = TABLE.iter().map(|annotation| annotation.key).collect();
        assert_eq!(keys.len(), TABLE.len());
        assert_eq!(DOCUMENTATION.len(), TABLE.len());
    }

    #[test]
    fn every_example_is_accepted() {
        for (annotation, documentation) in TABLE.iter().zip(DOCUMENTATION) {
            if annotation.read_from == ReadFrom::None {
                continue;
            }
            let mut annotations =
                json!({ISSUER: "ca", ISSUER_KIND: "AWSPCAIssuer", ISSUER_GROUP: "awspca.cert-manager.io"});
            if annotation.key == CLUSTER_ISSUER {
                annotations = json!({});
            }
            annotations[annotation.key] = json!(documentation.example);
            let object = json!({
                "metadata": {"name": "web", "annotations": annotations},
                "spec": {"listeners": [{
                    "name": "https", "protocol": "HTTPS", "hostname": "www.example.com",
                    "tls": {"mode": "Terminate", "certificateRefs": [{"name": "web"}]},
                }]},
            });
            let gateway = Gateway::read(GatewayKind::ListenerSet, "team-a", &object).unwrap();
            let issuer = resolve(&gateway).unwrap();
            assert_eq!(issuer.faults, [], "{}", annotation.key);
            let plan = plan(&gateway, &issuer.reference, &[], &Copy::default());
            assert_eq!(plan.faults, [], "{}", annotation.key);
            let [certificate] = plan.issued() else { panic!("{}: {plan:?}", annotation.key) };
            assert_eq!(webhook::validate(certificate), [], "{}", annotation.key);
        }
    }
}
