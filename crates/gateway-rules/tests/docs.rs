//! docs/rules.md is made of the rules: their ids, their levels and the comments of their files.

use std::fmt::Write;
use std::path::Path;

use gateway_rules::finding::Refusal;
use gateway_rules::rules::{self, Applies, Judges};

const INTRODUCTION: &str = "<!-- Generated from crates/gateway-rules/src/rules (`UPDATE_DOCS=1 cargo test -p gateway-rules --test docs`). -->

# Rules

In the order in which their findings are shown. The level of each can be changed by its id:

```yaml
rules:
  issuer-not-ready: warn   # reject | warn | off
```
";

/// The leading comment of a rule's file, as Markdown.
fn comment(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned() + "\n").collect()
}

fn rules_md() -> String {
    let mut text = INTRODUCTION.to_owned();
    for rule in rules::ALL {
        let file = format!("{}/src/rules/{}.rs", env!("CARGO_MANIFEST_DIR"), rule.id.replace('-', "_"));
        let source = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let code = match rule.refusal {
            Refusal::Invalid => 422,
            Refusal::Forbidden => 403,
            Refusal::Undetermined => 500,
        };
        let judges = match rule.judges {
            Judges::Annotated => "annotated Gateways",
            Judges::All => "all Gateways that name a Secret or speak of cert-manager",
        };
        let applies = match rule.applies {
            Applies::Everywhere => "at admission and in the controller",
            Applies::AtAdmission => "at admission only",
        };
        let level = rule.default.as_str();
        write!(
            text,
            "\n## {}\n\nLevel: **{level}** (code {code} where it refuses). Judges {judges}, {applies}.\n\n{}",
            rule.id,
            comment(&source)
        )
        .expect("a String takes everything");
    }
    text
}

#[test]
fn rules_md_is_in_step() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules.md");
    let text = rules_md();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "docs/rules.md is behind: UPDATE_DOCS=1 cargo test -p gateway-rules --test docs"
    );
}

#[test]
fn every_rule_says_what_is_refused_and_what_is_accepted() {
    for rule in rules::ALL {
        let file = format!("{}/src/rules/{}.rs", env!("CARGO_MANIFEST_DIR"), rule.id.replace('-', "_"));
        let comment = comment(&std::fs::read_to_string(&file).unwrap());
        let lower = comment.to_lowercase();
        assert!(lower.contains("refused") || lower.contains("warned about"), "{}", rule.id);
        assert!(lower.contains("accepted"), "{}", rule.id);
        assert!(comment.contains("```yaml"), "{} has no example", rule.id);
    }
}
