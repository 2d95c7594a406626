//! The annotation reference, written from the table.

use std::fmt::Write;

use super::{Annotation, DOCUMENTATION, Documentation, ReadFrom, TABLE};
use crate::value::usage::USAGES;

/// The differences for Certificates of Istio's Gateways.
const ISTIO: &str = "\
## On Istio's Gateways

cert-manager does not read Istio's Gateways. The controller creates their Certificates by the same rules, with
these differences:

- Hosts are lower-cased. A `namespace/` prefix and a trailing dot are removed, and `*` is skipped. Duplicates
  are removed, and so are names that a wildcard in hosts or `alt-names` covers.
- Two `credentialNames` get different keys. The first gets the annotated algorithm, or RSA, and the annotated
  size. The second gets the other one of RSA and ECDSA with 256 bits. Ed25519 has no counterpart, so it is
  rejected.
- There is a Certificate in each namespace of the placement, unless the credential names one of them.
- Labels and annotations are copied only if `copy_labels` and `copy_annotations` list them.
";

/// The differences between versions of cert-manager.
const VERSIONS: &str = "\
## Differences between cert-manager versions

The tables above are for cert-manager 1.21. Other versions read some keys differently. The policy checks the
names and Secrets of a tenant's listeners under every version: also those in `ignore-tls-listeners`, and those
with other protocols.

| Subject | Older versions | Newer versions | Source |
|---|---|---|---|
| `cert-manager.io/ignore-tls-listeners` | before 1.21 not read: a Certificate is issued for the listeners that it names | read since 1.21 | [#8727](https://github.com/cert-manager/cert-manager/pull/8727) |
| protocols of listeners | before 1.21 `HTTPS` and `TLS` only | since 1.21 also those of the flag `--gateway-api-extra-protocols`; list them in the setting `extra_protocols` | [#8683](https://github.com/cert-manager/cert-manager/pull/8683) |
| ListenerSets | before 1.20 not read; the pre-release 1.20.0-alpha.1 reads XListenerSets instead | read since 1.20 with the feature gate `ListenerSets`, which is off by default | [#8394](https://github.com/cert-manager/cert-manager/pull/8394), [#8501](https://github.com/cert-manager/cert-manager/pull/8501) |
| `acme.cert-manager.io/http01-parentreffallback` | before 1.21 not read | read since 1.21 | [#8749](https://github.com/cert-manager/cert-manager/pull/8749) |
| `parentRefs` of an HTTP-01 solver with `gatewayHTTPRoute` | before 1.20 those of the issuer, which needs at least one | since 1.20 the annotated Gateway or ListenerSet is added, and the issuer needs none | [#8518](https://github.com/cert-manager/cert-manager/pull/8518) |
| `acme.cert-manager.io/http01-ingress-ingressclassname` | before 1.20 not read | read since 1.20 | [#8244](https://github.com/cert-manager/cert-manager/pull/8244) |
| default of `cert-manager.io/private-key-rotation-policy` | before 1.18 `Never` | since 1.18 `Always` | feature gate [`DefaultPrivateKeyRotationPolicyAlways`](https://github.com/cert-manager/cert-manager/blob/v1.18.0/internal/controller/feature/features.go#L164) |
| white space in `ip-sans` and `email-sans`, and an empty `email-sans` | up to 1.21.2 cert-manager's webhook rejects the Certificate | after 1.21.2 white space is removed, and an empty `email-sans` is ignored | [#9160](https://github.com/cert-manager/cert-manager/pull/9160) |
";

/// The annotation reference as Markdown: the text of docs/annotations.md.
pub fn reference() -> String {
    let mut text = String::from(
        "# Annotations\n\n\
         <!-- Written by `cargo run -p certificate-shim --example annotations`; a test compares. -->\n\n\
         The annotations of a Gateway set fields of its Certificates. The tables list them as cert-manager 1.21\n\
         reads them. Keys are compared exactly. If one value cannot be parsed, cert-manager creates none of the\n\
         Gateway's Certificates, and the error appears only in its controller's log.\n",
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
    text.push('\n');
    text.push_str(VERSIONS);
    text.push_str(
        "\n## Never read from a Gateway\n\n\
         cert-manager knows these keys, but on a Gateway they have no effect.\n\n\
         | Annotation | Purpose |\n|---|---|\n",
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
    use crate::plan::{Options, plan};
    use crate::webhook;
    use serde_json::json;
    use std::collections::BTreeSet;

    #[test]
    fn keys_are_unique() {
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
            let plan = plan(&gateway, &issuer.reference, &[], &Options::default());
            assert_eq!(plan.faults, [], "{}", annotation.key);
            let [certificate] = plan.issued() else { panic!("{}: {plan:?}", annotation.key) };
            assert_eq!(webhook::validate(certificate), [], "{}", annotation.key);
        }
    }
}
