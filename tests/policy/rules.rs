//! Every rule through the built module: a Gateway that it refuses, one that it accepts, and the
//! updates between them.
//!
//! `test_data/rules/RULE.yaml` has the two Gateways, the objects of the cluster and the settings. The
//! rule's level is set to reject, so that rules that only warn are seen to refuse, too.

use std::collections::BTreeSet;

use crate::common::{evaluate, findings, test_data};
use gateway_rules::rules::{self, Rule};
use policy_host::{Evaluation, Lookup, Manifests};
use rstest::rstest;
use serde_json::{Value, json};

struct Case {
    rule: &'static Rule,
    settings: Value,
    cluster: Vec<Value>,
    refused: Value,
    accepted: Value,
}

impl Case {
    fn load(rule: &'static Rule) -> Self {
        let path = test_data("rules").join(format!("{}.yaml", rule.id));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!(
                "{}: {error}: a rule needs a Gateway that it refuses and one that it accepts",
                path.display()
            )
        });
        let mut case: Value =
            yaml_serde::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut settings = case["settings"].take();
        if settings.is_null() {
            settings = json!({});
        }
        if !Rule::is_fixed(rule.id) {
            settings["rules"][rule.id] = json!("reject");
        }
        let cluster = case["cluster"].take().as_array().cloned().unwrap_or_default();
        Case { rule, settings, cluster, refused: case["refused"].take(), accepted: case["accepted"].take() }
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
        let cluster = Manifests::from_objects(self.cluster.clone()).expect("the cluster is sound");
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

/// What a rule's case gets wrong.
fn check(rule: &'static Rule) -> Vec<String> {
    let case = Case::load(rule);
    let mut wrong = Vec::new();
    let mut expect = |holds: bool, what: &str, evaluation: &Evaluation| {
        if !holds {
            wrong.push(format!("{}: {what}: {:?}", rule.id, evaluation.response));
        }
    };

    let refused = case.request(&case.refused, None);
    let reject = |levels: &[String]| levels.iter().any(|level| level == "reject");
    expect(!refused.response.allowed && reject(&case.levels(&refused)), "is not refused", &refused);

    let accepted = case.request(&case.accepted, None);
    expect(accepted.response.allowed && case.levels(&accepted).is_empty(), "is not accepted", &accepted);

    let kept = case.request(&labelled(&case.refused), Some(&case.refused));
    let fixed = Rule::is_fixed(rule.id);
    let levels = case.levels(&kept);
    let level = if fixed { "reject" } else { "warn" };
    let as_expected = !levels.is_empty() && levels.iter().all(|found| found == level);
    expect(
        kept.response.allowed != fixed && as_expected,
        "is not let through when it was there before",
        &kept,
    );

    // No update moves an object to another namespace.
    if case.accepted["metadata"]["namespace"] == case.refused["metadata"]["namespace"] {
        let introduced = case.request(&case.refused, Some(&case.accepted));
        expect(reject(&case.levels(&introduced)), "is not refused when an update brings it", &introduced);
    }
    wrong
}

#[test]
fn every_rule_refuses_accepts_and_ratchets() {
    let wrong: Vec<String> = rules::ALL.iter().copied().flat_map(check).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// A fault that the old object had, too, is judged anew where that object had another issuer, another
/// Secret or no issuer at all.
#[rstest]
#[case::nothing_else("/metadata/labels", json!({"a": "b"}), true)]
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
    let mut old = case.refused.clone();
    match old.pointer_mut(pointer) {
        Some(place) => *place = earlier,
        None => old["metadata"]["labels"] = earlier,
    }
    let evaluation = case.request(&case.refused, Some(&old));
    assert_eq!(evaluation.response.allowed, let_through, "{:?}", evaluation.response);
}

/// metadata.yml asks for what the rules look up, and for nothing else.
#[test]
fn the_metadata_lists_what_is_looked_up() {
    let mut resources = BTreeSet::new();
    let mut capabilities = BTreeSet::new();
    for case in rules::ALL.iter().copied().map(Case::load) {
        for lookup in case.request(&case.refused, None).lookups {
            match &lookup {
                Lookup::KubernetesCanI(_) => capabilities.insert("kubernetes/can_i".to_owned()),
                _ => capabilities.insert("kubernetes/get_resource".to_owned()),
            };
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
    assert_eq!(capabilities, listed);
}

#[test]
fn no_case_is_left_of_a_rule_that_is_gone() {
    for file in std::fs::read_dir(test_data("rules")).unwrap() {
        let name = file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(rules::ALL.iter().any(|rule| rule.id == name), "{name}.yaml is of no rule");
    }
}
