//! The annotation reference, written from the table.

use std::fmt::Write;

use super::{Annotation, DOCUMENTATION, Documentation, ReadFrom, TABLE};
use crate::value::usage::USAGES;

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
    text.push_str(
        ".\n\n## Never read from a Gateway\n\n\
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
