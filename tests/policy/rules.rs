//! Every rule with the built module: the example that it rejects, the one that it accepts, and the
//! updates between them. The level of the rule is set to reject, so that rules that only warn reject too.

use std::collections::BTreeSet;

use crate::common::{evaluate, findings, test_data};
use crate::examples::Examples;
use gateway_rules::rule::Rule;
use gateway_rules::rules;
use policy_host::{Evaluation, Lookup, Manifests};
use rstest::rstest;
use serde_json::{Value, json};

struct Case {
    rule: &'static Rule,
    settings: Value,
    cluster: Vec<Value>,
    rejected: Value,
    accepted: Value,
}

impl Case {
    fn load(rule: &'static Rule) -> Self {
        let Examples { mut settings, cluster, rejected, accepted } = Examples::load(rule.id);
        if !rule.is_fixed {
            settings["rules"][rule.id] = json!("reject");
        }
        Case { rule, settings, cluster, rejected, accepted }
    }

    fn request(&self, object: &Value, old_object: Option<&Value>) -> Evaluation {
        let (group, version) = object["apiVersion"].as_str().unwrap().split_once('/').unwrap();
        let kind = object["kind"].as_str().unwrap();
        let request = json!({
            "uid": "1",
            "kind": {"group": group, "version": version, "kind": kind},
            "resource": {"group": group, "version": version, "resource": format!("{}s", kind.to_lowercase())},
            "operation": if old_object.is_some() { "UPDATE" } else { "CREATE" },
            "userInfo": {"username": "alice", "groups": ["team-a"]},
            "namespace": object["metadata"]["namespace"],
            "name": object["metadata"]["name"],
            "object": object,
            "oldObject": old_object,
        });
        let cluster = Manifests::from_objects(self.cluster.clone()).expect("the cluster is valid");
        evaluate(&request, &self.settings, cluster)
    }

    /// The levels of this rule's findings.
    fn levels(&self, evaluation: &Evaluation) -> Vec<String> {
        let findings = findings(evaluation);
        let own = |finding: &&Value| finding["rule"] == self.rule.id;
        let level = |finding: &Value| finding["level"].as_str().unwrap_or_default().to_owned();
        findings.as_array().into_iter().flatten().filter(own).map(level).collect()
    }
}

fn labelled(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]["labels"] = json!({"changed": "yes"});
    object
}

/// The rules about existing Certificates.
const OWNER_RULES: [&str; 3] = ["secret-not-owned", "secret-without-owner", "secret-owner-unknown"];

/// The errors in a rule's case.
fn check(rule: &'static Rule) -> Vec<String> {
    let case = Case::load(rule);
    let mut wrong = Vec::new();
    let mut expect = |holds: bool, what: &str, evaluation: &Evaluation| {
        if !holds {
            wrong.push(format!("{}: {what}: {:?}", rule.id, evaluation.response));
        }
    };

    let rejected = case.request(&case.rejected, None);
    let reject = |levels: &[String]| levels.iter().any(|level| level == "reject");
    expect(!rejected.response.allowed && reject(&case.levels(&rejected)), "is not rejected", &rejected);

    let accepted = case.request(&case.accepted, None);
    expect(accepted.response.allowed && case.levels(&accepted).is_empty(), "is not accepted", &accepted);

    let kept = case.request(&labelled(&case.rejected), Some(&case.rejected));
    let fixed = rule.is_fixed;
    let levels = case.levels(&kept);
    let level = if fixed { "reject" } else { "warn" };
    // The owner of a Secret is not looked up again if its Certificate does not change.
    let is_asked_again = !OWNER_RULES.contains(&rule.id);
    let as_expected = levels.is_empty() != is_asked_again && levels.iter().all(|found| found == level);
    expect(
        kept.response.allowed != fixed && as_expected,
        "is not a warning although the old object had it",
        &kept,
    );

    // No update moves an object to another namespace.
    if case.accepted["metadata"]["namespace"] == case.rejected["metadata"]["namespace"] {
        let introduced = case.request(&case.rejected, Some(&case.accepted));
        expect(reject(&case.levels(&introduced)), "is not rejected if an update introduces it", &introduced);
    }
    wrong
}

#[test]
fn every_rule_rejects_accepts_and_ratchets() {
    let wrong: Vec<String> = rules::ALL.iter().copied().flat_map(check).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// A problem that the old object also had is checked again if that object had another issuer, another
/// Secret or no issuer at all.
#[rstest]
#[case::only_labels("/metadata/labels", json!({"a": "b"}), true)]
#[case::other_issuer("/metadata/annotations/cert-manager.io~1cluster-issuer", json!("earlier"), false)]
#[case::not_annotated("/metadata/annotations", json!({"cert-manager.io/duration": "90d"}), false)]
#[case::other_secret("/spec/servers/0/tls/credentialName", json!("earlier-tls"), false)]
#[case::other_host("/spec/servers/0/hosts/0", json!("earlier.team-a.example.com"), true)]
fn the_ratchet_ends_where_the_old_object_differed(
    #[case] pointer: &str,
    #[case] earlier: Value,
    #[case] let_through: bool,
) {
    let rule = rules::ALL.iter().find(|rule| rule.id == "annotation-invalid").unwrap();
    let case = Case::load(rule);
    let mut old = case.rejected.clone();
    match old.pointer_mut(pointer) {
        Some(place) => *place = earlier,
        None => old["metadata"]["labels"] = earlier,
    }
    let evaluation = case.request(&case.rejected, Some(&old));
    assert_eq!(evaluation.response.allowed, let_through, "{:?}", evaluation.response);
}

/// metadata.yml lists exactly the lookups of the rules. A policy that compares Gateways needs a further
/// grant (docs/settings.md).
#[test]
fn the_metadata_lists_what_is_looked_up() {
    let mut resources = BTreeSet::new();
    let mut capabilities = BTreeSet::new();
    let compares = |rule: &&Rule| rule.id == "gateways-not-compared";
    for case in rules::ALL.iter().copied().filter(|rule| !compares(rule)).map(Case::load) {
        for lookup in case.request(&case.rejected, None).lookups {
            capabilities.insert(match &lookup {
                Lookup::KubernetesCanI(_) => "kubernetes/can_i".to_owned(),
                Lookup::KubernetesGetResource(_) => "kubernetes/get_resource".to_owned(),
                other => panic!("{other:?}: nothing is listed unless settings say so"),
            });
            if let Some((api_version, kind)) = lookup.resource() {
                resources.insert((api_version.to_owned(), kind.to_owned()));
            }
        }
    }
    let metadata: Value = yaml_serde::from_str(gateway_lint::METADATA).unwrap();
    let listed = |resource: &Value| {
        let text = |key: &str| resource[key].as_str().unwrap().to_owned();
        (text("apiVersion"), text("kind"))
    };
    let listed: BTreeSet<_> =
        metadata["contextAwareResources"].as_array().unwrap().iter().map(listed).collect();
    assert_eq!(resources, listed);
    let listed: BTreeSet<String> = serde_json::from_value(metadata["hostCapabilities"].clone()).unwrap();
    // Lookups that settings can turn on.
    capabilities.insert("kubernetes/list_resources_all".to_owned());
    capabilities.insert("kubernetes/list_resources_by_namespace".to_owned());
    assert_eq!(capabilities, listed);
}

#[test]
fn every_case_belongs_to_a_rule() {
    for file in std::fs::read_dir(test_data("rules")).unwrap() {
        let name = file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(rules::ALL.iter().any(|rule| rule.id == name), "{name}.yaml does not belong to a rule");
    }
}
