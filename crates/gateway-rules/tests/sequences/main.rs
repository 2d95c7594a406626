//! Random sequences of requests against the policy. [`harness`] describes them.
//!
//! * `SEQUENCES=100000` runs more of them, `SEED=2` runs others.
//! * A failure prints a small example of each kind of violation, as JSON, and the number of its sequence.
//!   `SEED=2 SEQUENCE=669` runs that one alone.

mod harness;

use std::collections::BTreeSet;

use gateway_rules::decide;
use harness::Sequence;
use harness::world::World;
use serde_json::Value;

fn natively(request: &Value, settings: &Value, world: &World) -> Result<Option<Value>, String> {
    let payload = format!(r#"{{"settings":{settings},"request":{request}}}"#);
    let response = decide(payload.as_bytes(), world);
    if response.accepted { Ok(response.mutated_object) } else { Err(response.message.unwrap_or_default()) }
}

#[test]
fn nothing_appears_that_is_not_allowed() {
    harness::run(10_000, &natively);
}

/// If nothing is rejected, each kind of violation is found.
#[test]
fn a_policy_that_accepts_everything() {
    let run = |index| Sequence::generate(1, index, &|_, _, _| Ok(None)).1.violations;
    let kinds: BTreeSet<&str> = (0..500).flat_map(run).map(|violation| violation.kind).collect();
    assert_eq!(kinds, harness::judge::KINDS.into());
}

/// What was there before the policy is no violation, and neither is deleting it.
#[test]
fn a_policy_that_rejects_everything() {
    for index in 0..500 {
        let (sequence, outcome) = Sequence::generate(1, index, &|_, _, _| Err(String::new()));
        assert!(outcome.violations.is_empty(), "{:#}", sequence.to_json(&outcome));
    }
}
