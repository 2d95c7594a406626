//! The corpus in conformance.jsonl: Gateways, with the recorded results of certificate-shim and the
//! webhook of cert-manager 1.21.2.

#[path = "../examples/conformance/corpus.rs"]
mod corpus;
#[path = "../examples/conformance/event.rs"]
mod event;

#[test]
fn every_result_is_the_same_as_in_cert_manager() {
    let cases = corpus::read(include_str!("conformance.jsonl")).unwrap();
    assert!(cases.len() >= 400, "the corpus has shrunk to {} cases", cases.len());
    let mut differences = Vec::new();
    for case in &cases {
        let outcome = corpus::outcome(case).unwrap();
        assert_eq!(outcome.to_json(&case.id)["id"], case.id.as_str());
        differences.extend(
            corpus::differences(case, &outcome).into_iter().map(|what| format!("{}: {what}", case.id)),
        );
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}
