//! The texts that are generated from the rules (`make update`): docs/rules.md, the enum of rules in the
//! settings' schema, and the lists of rules in README.md and docs/settings.md.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use gateway_rules::finding::{Cause, Level};
use gateway_rules::rule::{AppliesTo, Rule};
use gateway_rules::{rules, settings};
use serde_json::{Map, Value, json};

const INTRODUCTION: &str = "<!-- Generated from crates/gateway-rules/src/rules (`make update`). -->

# Rules

In the order in which findings are shown. Settings change a rule's level by its id:

```yaml
rules:
  issuer-not-ready: warn   # reject | warn | off
```

Annotated Gateways have an issuer annotation; a ListenerSet can inherit it. Rules for all Gateways also
check ListenerSets, Gateways with any other key of cert-manager, and, if there are tenants, Istio Gateways
that name a Secret or a certificate file. The controller checks annotated Gateways only.
";

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Fails unless the file contains the text. With UPDATE_DOCS, the file is written.
fn in_step(path: &str, text: &str) {
    let file = root(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == text, "{path} is not up to date: make update");
}

/// The file with another text between its two `<!-- rules -->` lines.
fn with_list(path: &str, list: &str) -> String {
    const MARK: &str = "<!-- rules -->\n";
    let file = std::fs::read_to_string(root(path)).unwrap();
    let parts: Vec<&str> = file.split(MARK).collect();
    let [before, _, after] = parts[..] else { panic!("{path} needs two lines {MARK}") };
    format!("{before}{MARK}{list}{MARK}{after}")
}

fn source(rule: &Rule) -> String {
    let file = root(&format!("crates/gateway-rules/src/rules/{}.rs", rule.id.replace('-', "_")));
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The leading comment of a rule's file, as Markdown.
fn comment(rule: &Rule) -> String {
    let source = source(rule);
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned() + "\n").collect()
}

/// The first sentence of the comment.
fn summary(rule: &Rule) -> String {
    let comment = comment(rule);
    let paragraph = comment.split("\n\n").next().unwrap_or_default();
    paragraph.trim().replace('\n', " ")
}

fn rules_md() -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n| rule | level | |\n|---|---|---|\n");
    for rule in rules::ALL {
        writeln!(text, "| [{0}](#{0}) | {1} | {2} |", rule.id, rule.level.as_str(), summary(rule)).unwrap();
    }
    for rule in rules::ALL {
        let code = match rule.cause {
            Cause::Invalid => 422,
            Cause::Forbidden => 403,
            Cause::Undetermined => 500,
        };
        let checked = match rule.applies_to {
            AppliesTo::Annotated => "annotated Gateways",
            AppliesTo::Planned => "annotated Gateways, and ListenerSets of tenants",
            AppliesTo::All => "all Gateways",
        };
        let place =
            if rule.is_for_admission { "at admission only" } else { "at admission and in the controller" };
        let fixed = if rule.is_fixed { " The level cannot be changed." } else { "" };
        let level = rule.level.as_str();
        write!(
            text,
            "\n## {}\n\nLevel: **{level}** (code {code} if it rejects). Checks {checked}, {place}.{fixed}\n\n{}",
            rule.id,
            comment(rule)
        )
        .unwrap();
    }
    text
}

/// The rules by their level: `reject`, `warn`, `off`.
fn by_level() -> String {
    let mut table = "| level | rules |\n|---|---|\n".to_owned();
    for level in [Level::Reject, Level::Warn, Level::Off] {
        let of_level = rules::ALL.iter().filter(|rule| rule.level == level);
        let ids: Vec<String> = of_level.map(|rule| format!("`{}`", rule.id)).collect();
        writeln!(table, "| {} | {} |", level.as_str(), ids.join(" ")).unwrap();
    }
    table
}

#[test]
fn rules_md_is_up_to_date() {
    in_step("docs/rules.md", &rules_md());
}

#[test]
fn the_lists_of_rules_are_up_to_date() {
    for path in ["README.md", "docs/settings.md"] {
        in_step(path, &with_list(path, &by_level()));
    }
}

#[test]
fn the_schema_has_every_rule() {
    let path = "docs/settings.schema.json";
    let mut schema: Value = serde_json::from_str(&std::fs::read_to_string(root(path)).unwrap()).unwrap();
    let settable = rules::ALL.iter().filter(|rule| !settings::FIXED.contains(&rule.id));
    let levels: Map<String, Value> =
        settable.map(|rule| (rule.id.to_owned(), json!({"enum": ["reject", "warn", "off"]}))).collect();
    schema["properties"]["rules"]["properties"] = Value::Object(levels);
    in_step(path, &(serde_json::to_string_pretty(&schema).unwrap() + "\n"));
}

#[test]
fn every_comment_says_what_is_rejected_and_what_is_accepted() {
    for rule in rules::ALL {
        let comment = comment(rule);
        let reports = comment.contains("Rejected") || comment.contains("Warned about");
        assert!(reports && comment.contains("Accepted"), "{}", rule.id);
        assert!(comment.matches("```yaml").count() >= 2, "{} has no examples", rule.id);
    }
}
