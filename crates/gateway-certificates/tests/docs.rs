//! docs/controller.md lists all flags, metrics, Events and rights, and no others.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use gateway_certificates::cache::Caches;
use gateway_certificates::events::Reason;
use gateway_certificates::kinds::watched;
use gateway_certificates::leader::LeaseName;
use gateway_certificates::metrics::Metrics;
use gateway_certificates::{check, run};
use gateway_rules::Settings;
use rstest::rstest;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn docs() -> String {
    std::fs::read_to_string(root().join("docs/controller.md")).unwrap()
}

/// The cells of the table with that head.
fn table(head: &str) -> Vec<Vec<String>> {
    let text = docs();
    let (_, rows) = text.split_once(&format!("{head}\n")).unwrap_or_else(|| panic!("no table {head}"));
    let rows = rows.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The texts in backticks.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The long flags in the help of a command.
fn flags(command: &str) -> BTreeSet<String> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_gateway-certificates")).args([command, "--help"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let flags = text.lines().filter_map(|line| {
        let line = line.trim_start();
        let flag =
            line.split_once("--").filter(|(before, _)| before.is_empty() || before.starts_with('-'))?.1;
        Some(format!("--{}", flag.split([' ', '[']).next()?))
    });
    flags.filter(|flag| flag != "--help").collect()
}

#[test]
fn every_flag_of_run() {
    let rows = table("| flag of `run` | |");
    let documented: BTreeSet<String> = rows
        .iter()
        .flat_map(|row| names(&row[0]))
        .filter_map(|name| name.split(' ').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(documented, flags("run"));
}

#[rstest]
#[case::check("check")]
#[case::render("render")]
fn every_flag_of_the_other_commands(#[case] command: &str) {
    let docs = docs();
    for flag in flags(command).difference(&flags("run")) {
        assert!(docs.contains(&format!("`{flag}`")), "{flag}");
    }
}

#[test]
fn every_metric() {
    let metrics = Metrics::new().unwrap();
    // A metric without a value is not exported.
    metrics.set_settings("08f44b07b5901a25");
    let settings = Arc::new(Settings::default());
    metrics.summarize(&Caches::new(watched(&settings, true), settings).summary());
    let text = metrics.text();
    let actual: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    // Those of the process are documented by Prometheus.
    let actual: BTreeSet<&str> =
        actual.into_iter().filter(|name| name.starts_with("gateway_certificates_")).collect();
    let rows = table("| metric | |");
    let documented: BTreeSet<&str> =
        rows.iter().flat_map(|row| names(&row[0])).filter_map(|name| name.split('{').next()).collect();
    assert_eq!(documented, actual);
}

#[test]
fn every_event() {
    let kind = |reason: Reason| if reason.is_warning() { "Warning" } else { "Normal" };
    let actual: Vec<_> =
        Reason::ALL.map(|reason| (reason.as_str().to_owned(), kind(reason).to_owned())).into();
    let rows = table("| reason | type | what happened |");
    let documented: Vec<_> =
        rows.iter().map(|row| (names(&row[0]).collect::<String>(), row[1].clone())).collect();
    assert_eq!(documented, actual);
}

/// The ids of the controller's own rejections in its source, without those of rules.
#[test]
fn the_controllers_own_rejections() {
    let mut actual = BTreeSet::new();
    for file in std::fs::read_dir(root().join("crates/gateway-certificates/src")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for call in code.split("Violation::new(").skip(1) {
            actual.extend(
                call.trim_start().strip_prefix('"').and_then(|id| id.split('"').next()).map(str::to_owned),
            );
        }
    }
    let text = Metrics::new().unwrap().text();
    for id in &actual {
        assert!(
            text.contains(&format!("violations{{rule=\"{id}\"}} 0")),
            "{id} is not counted from the start"
        );
    }
    let rows = table("| in the note | what it means | what to do |");
    let documented: BTreeSet<String> =
        rows.iter().flat_map(|row| names(&row[0])).map(str::to_owned).collect();
    assert_eq!(documented, actual);
}

/// The verbs on resources, in the manifests and in the docs.
#[test]
fn every_right() {
    let mut actual = BTreeSet::new();
    for document in manifests::read([root().join("deploy/controller")]).unwrap() {
        let texts = |rule: &Value, key: &str| -> Vec<String> {
            rule[key].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        for rule in document.object["rules"].as_array().into_iter().flatten() {
            let group = &texts(rule, "apiGroups")[0];
            let dot = if group.is_empty() { "" } else { "." };
            for resource in texts(rule, "resources") {
                actual
                    .extend(texts(rule, "verbs").iter().map(|verb| format!("{verb} {resource}{dot}{group}")));
            }
        }
    }
    assert_eq!(documented_rights(), actual);
}

/// The verbs on resources in the docs.
fn documented_rights() -> BTreeSet<String> {
    let mut documented = BTreeSet::new();
    for row in table("| what | verbs | where | for |") {
        for resource in names(&row[0]) {
            documented.extend(row[1].split(", ").map(|verb| format!("{verb} {resource}")));
        }
    }
    documented
}

/// `check` asks for each of them.
#[test]
fn every_right_is_checked() {
    let options = check::Options {
        kubeconfig: None,
        settings: None,
        election: None,
        watch_pods: true,
        check_own_secrets: true,
        gateway_status: true,
        policy: run::Policy::Sync,
        user: None,
    };
    let lease = LeaseName { namespace: "a".to_owned(), name: "b".to_owned() };
    let settings = Settings::read(&json!({"tenants": [
        {"name": "a", "namespace_selector": {"match_labels": {"team": "a"}}, "issuers": [], "dns_names": []},
    ]}));
    let settings = settings.unwrap();
    let served: Vec<_> = watched(&settings, true).into_iter().map(|kind| (kind, None)).collect();
    let mut checked = BTreeSet::new();
    for right in check::rights(&settings, &options, Some(&lease), &served) {
        let dot = if right.group.is_empty() { "" } else { "." };
        checked
            .extend(right.verbs.iter().map(|verb| format!("{verb} {}{dot}{}", right.resource, right.group)));
    }
    assert_eq!(documented_rights(), checked);
}
