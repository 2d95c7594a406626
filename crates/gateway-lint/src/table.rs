//! The report as text: a row for each Gateway with its reasons below, and a line with the counts.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use crate::check::{GatewayResult, Report, Summary};

const INDENT: &str = "    ";

/// Renders a report. `width` is the width of the terminal; with `None`, every reason is one line. Nothing is
/// truncated. The text contains ANSI styles, which the stream removes if it is not a terminal.
#[must_use]
pub fn render(report: &Report, width: Option<usize>) -> String {
    let rows: Vec<[String; 3]> = report.results.iter().map(row).collect();
    let heads = ["FILE", "KIND", "GATEWAY"];
    let widest = |column: usize| {
        rows.iter()
            .map(|row| row[column].as_str())
            .chain([heads[column]])
            .map(textwrap::core::display_width)
            .max()
    };
    let widths = [0, 1, 2].map(|column| widest(column).unwrap_or_default());
    let line = |cells: [&str; 3]| {
        let padded = |(cell, width): (&str, usize)| {
            format!("{cell}{}  ", " ".repeat(width - textwrap::core::display_width(cell)))
        };
        cells.into_iter().zip(widths).map(padded).collect::<String>()
    };
    let mut text = String::new();
    if !rows.is_empty() {
        let bold = Style::new().bold();
        let _ = writeln!(text, "{bold}{}RESULT{bold:#}", line(heads));
    }
    for (result, row) in report.results.iter().zip(&rows) {
        let (word, style) = word(result);
        let _ = writeln!(text, "{}{style}{word}{style:#}", line([&row[0], &row[1], &row[2]]));
        for reason in reasons(result) {
            text.push_str(&wrap(&reason, width));
            text.push('\n');
        }
    }
    text.push_str(&counts(&report.summary));
    text
}

fn row(result: &GatewayResult) -> [String; 3] {
    let item = result.item.map(|item| format!("[{item}]")).unwrap_or_default();
    [
        format!("{}#{}{item}", result.file, result.document),
        format!("{} {}", result.api_version, result.kind),
        format!("{}/{}", result.namespace, result.name),
    ]
}

fn word(result: &GatewayResult) -> (&'static str, Style) {
    let style = |color: AnsiColor| color.on_default();
    match (result.allowed, result.warnings.is_empty(), result.patch.is_some()) {
        (false, ..) => ("rejected", style(AnsiColor::Red).bold()),
        (true, true, false) => ("accepted", style(AnsiColor::Green)),
        (true, true, true) => ("mutated", style(AnsiColor::Cyan)),
        (true, false, false) => ("accepted with warnings", style(AnsiColor::Yellow)),
        (true, false, true) => ("mutated, with warnings", style(AnsiColor::Yellow)),
    }
}

fn reasons(result: &GatewayResult) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    if let Some(patch) = result.patch.as_ref().filter(|_| result.allowed) {
        reasons.extend(changes(patch).into_iter().map(|change| format!("adds {change}")));
    }
    reasons.extend(result.message.iter().flat_map(|message| message.lines()).map(str::to_owned));
    reasons.extend(result.warnings.iter().map(|warning| format!("warning: {warning}")));
    reasons
}

/// The values that a patch adds or replaces: `metadata.annotations[cert-manager.io/issuer]: ca`.
fn changes(patch: &Value) -> Vec<String> {
    let mut changes = Vec::new();
    for operation in patch.as_array().into_iter().flatten() {
        let pointer = operation.get("path").and_then(Value::as_str).unwrap_or_default();
        let keys: Vec<String> =
            pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")).collect();
        match operation.get("value") {
            Some(value) => leaves(&path(&keys), value, &mut changes),
            None => changes.push(format!("{}: removed", path(&keys))),
        }
    }
    changes
}

fn path(keys: &[String]) -> String {
    keys.iter().fold(String::new(), |path, key| child(&path, key))
}

fn child(parent: &str, key: &str) -> String {
    let plain =
        !key.is_empty() && key.chars().all(|character| character.is_alphanumeric() || character == '_');
    match (parent.is_empty(), plain) {
        (true, _) => key.to_owned(),
        (false, true) if key.chars().any(char::is_alphabetic) => format!("{parent}.{key}"),
        (false, _) => format!("{parent}[{key}]"),
    }
}

fn leaves(path: &str, value: &Value, changes: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| leaves(&child(path, key), value, changes));
        }
        Value::String(text) => changes.push(format!("{path}: {text}")),
        other => changes.push(format!("{path}: {other}")),
    }
}

fn wrap(reason: &str, width: Option<usize>) -> String {
    match width {
        // Paths and names are not broken, so that they can be copied.
        Some(width) => {
            let subsequent = format!("{INDENT}  ");
            let options = textwrap::Options::new(width.max(40))
                .initial_indent(INDENT)
                .subsequent_indent(&subsequent)
                .break_words(false)
                .word_splitter(textwrap::WordSplitter::NoHyphenation);
            textwrap::fill(reason, options)
        }
        None => format!("{INDENT}{reason}"),
    }
}

fn counts(summary: &Summary) -> String {
    let mut details = Vec::new();
    if summary.warned > 0 {
        details.push(format!("{} with warnings", summary.warned));
    }
    if summary.mutated > 0 {
        details.push(format!("{} mutated", summary.mutated));
    }
    let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
    let gateways = if summary.gateways == 1 { "Gateway" } else { "Gateways" };
    format!(
        "{} {gateways}: {} accepted{details}, {} rejected\n",
        summary.gateways, summary.accepted, summary.rejected
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn result(
        allowed: bool,
        message: Option<&str>,
        warnings: &[&str],
        patch: Option<Value>,
    ) -> GatewayResult {
        GatewayResult {
            file: "a.yaml".to_owned(),
            document: 2,
            item: None,
            api_version: "networking.istio.io/v1".to_owned(),
            kind: "Gateway".to_owned(),
            namespace: "team-a".to_owned(),
            name: "web".to_owned(),
            allowed,
            code: None,
            message: message.map(str::to_owned),
            findings: Vec::new(),
            warnings: warnings.iter().map(|warning| (*warning).to_owned()).collect(),
            issuer: None,
            secrets: None,
            patch,
        }
    }

    fn plain(results: Vec<GatewayResult>, width: Option<usize>) -> String {
        let report = Report { summary: crate::check::Summary::default(), results, notes: Vec::new() };
        anstream::adapter::strip_str(&render(&report, width)).to_string()
    }

    #[test]
    fn rows_are_aligned_and_reasons_indented() {
        let mut longer = result(true, None, &["issuer-stale: w"], None);
        longer.name = "another-gateway".to_owned();
        longer.item = Some(3);
        let text = plain(vec![result(false, Some("one\ntwo"), &[], None), longer], None);
        assert_eq!(
            text,
            "FILE         KIND                            GATEWAY                 RESULT\n\
             a.yaml#2     networking.istio.io/v1 Gateway  team-a/web              rejected\n    one\n    two\n\
             a.yaml#2[3]  networking.istio.io/v1 Gateway  team-a/another-gateway  accepted with warnings\n    \
             warning: issuer-stale: w\n0 Gateways: 0 accepted, 0 rejected\n"
        );
    }

    #[test]
    fn a_long_reason_is_wrapped_and_complete() {
        let reason = "issuer-not-found: metadata.annotations[cert-manager.io/cluster-issuer]: there is no such issuer. Create it first.";
        let text = plain(vec![result(false, Some(reason), &[], None)], Some(60));
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("    ")).collect();
        assert!(lines.len() > 1 && lines[1..].iter().all(|line| line.starts_with("      ")), "{text}");
        let whole: Vec<&str> = lines.iter().flat_map(|line| line.split_whitespace()).collect();
        assert_eq!(whole.join(" "), reason);
    }

    #[rstest]
    #[case::one_key(
        json!([{"op": "add", "path": "/metadata/annotations/cert-manager.io~1issuer", "value": "ca"}]),
        &["metadata.annotations[cert-manager.io/issuer]: ca"]
    )]
    #[case::the_map(
        json!([{"op": "add", "path": "/metadata/annotations", "value": {"a/b": "c", "d": "e"}}]),
        &["metadata.annotations[a/b]: c", "metadata.annotations.d: e"]
    )]
    #[case::a_list_item(json!([{"op": "replace", "path": "/spec/servers/0", "value": []}]), &["spec.servers[0]: []"])]
    #[case::removed(json!([{"op": "remove", "path": "/spec/x"}]), &["spec.x: removed"])]
    fn a_patch_is_shown_as_values(#[case] patch: Value, #[case] expected: &[&str]) {
        assert_eq!(changes(&patch), expected);
    }

    #[rstest]
    #[case::clean(2, 2, 0, 0, 0, "2 Gateways: 2 accepted, 0 rejected\n")]
    #[case::one(1, 0, 0, 0, 1, "1 Gateway: 0 accepted, 1 rejected\n")]
    #[case::mixed(4, 3, 1, 2, 1, "4 Gateways: 3 accepted (1 with warnings, 2 mutated), 1 rejected\n")]
    fn the_last_line_has_the_counts(
        #[case] gateways: usize,
        #[case] accepted: usize,
        #[case] warned: usize,
        #[case] mutated: usize,
        #[case] rejected: usize,
        #[case] expected: &str,
    ) {
        assert_eq!(counts(&Summary { gateways, accepted, warned, mutated, rejected }), expected);
    }
}
