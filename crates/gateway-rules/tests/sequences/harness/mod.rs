//! Random sequences of requests, for any front end of the policy.
//!
//! A sequence starts from a random cluster, which can hold violations from before the policy. Two users
//! of one tenant, one of whom may not create Certificates, make 1 to 6 requests. Accepted requests change
//! the cluster. After each of them, each planned Certificate, and each host and Secret that an Istio
//! Gateway names, has to be within the tenant's allowance, or it was there at least as widely before the
//! first request. With `issuer-no-permission: reject`, no request of the user without permission changes
//! a plan except to a subset.

mod generate;
pub mod judge;
mod plans;
mod random;
mod shrink;
mod values;
pub mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use certificate_shim::gateway::GatewayKind;
use generate::Generator;
use judge::{Judge, Plans, Violation, widened};
use serde_json::{Value, json};
use world::{Key, Operation, PERMITTED, Request, UNPERMITTED, World};

/// A front end of the policy: takes a request and the settings, and looks objects up in the cluster.
/// Returns the object if it changes it, or the message of a rejection.
pub type Decide = dyn Fn(&Value, &Value, &World) -> Result<Option<Value>, String> + Sync;

/// Runs as many sequences as the environment variable `SEQUENCES` says, or `count`; with `SEQUENCE` only
/// that one.
///
/// # Panics
/// There were violations. The message has a small sequence for each kind.
pub fn run(count: u64, decide: &Decide) {
    let number = |variable: &str| {
        let text = std::env::var(variable).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
    };
    let seed = number("SEED").unwrap_or(1);
    let indices = match number("SEQUENCE") {
        Some(only) => only..only + 1,
        None => 0..number("SEQUENCES").unwrap_or(count),
    };
    // The number of sequences with each kind of violation, and the first one.
    let failing: Mutex<BTreeMap<&str, (usize, u64, Sequence)>> = Mutex::default();
    let (requests, accepted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (failing, indices) = (&failing, indices.clone());
            let (requests, accepted) = (&requests, &accepted);
            scope.spawn(move || {
                for index in indices.skip(thread).step_by(threads) {
                    let (sequence, outcome) = Sequence::generate(seed, index, decide);
                    let responses = &outcome.responses;
                    requests.fetch_add(responses.len(), Relaxed);
                    let is_accepted = |response: &&String| *response == ACCEPTED;
                    accepted.fetch_add(responses.iter().filter(is_accepted).count(), Relaxed);
                    let kinds: BTreeSet<&str> =
                        outcome.violations.iter().map(|violation| violation.kind).collect();
                    for kind in kinds {
                        let mut failing = failing.lock().expect("no thread panics");
                        let (count, first, example) =
                            failing.entry(kind).or_insert_with(|| (0, index, sequence.clone()));
                        *count += 1;
                        if index < *first {
                            (*first, *example) = (index, sequence.clone());
                        }
                    }
                }
            });
        }
    });
    let mut report = String::new();
    for (kind, (count, index, example)) in failing.into_inner().expect("no thread panics") {
        let small = shrink::shrink(&example, kind, decide);
        let json = small.to_json(&small.run(decide));
        report +=
            &format!("{kind}: in {count} sequences, first in sequence {index} of seed {seed}\n{json:#}\n");
    }
    assert!(report.is_empty(), "{report}");
    // Otherwise the sequences show little.
    let (requests, accepted) = (requests.into_inner(), accepted.into_inner());
    assert!(
        indices.count() < 100 || accepted * 3 > requests,
        "only {accepted} of {requests} requests are accepted"
    );
}

/// A sequence that can be run again.
#[derive(Debug, Clone)]
pub struct Sequence {
    settings: Value,
    /// The objects before the first request.
    start: Vec<Value>,
    requests: Vec<Request>,
}

/// The result of a sequence.
#[derive(Default)]
pub struct Outcome {
    /// The responses up to the first violation.
    responses: Vec<String>,
    /// The violations after the last of these requests.
    pub violations: Vec<Violation>,
}

impl Sequence {
    /// Generates a sequence and runs it. A request depends on what was accepted before it.
    pub fn generate(seed: u64, index: u64, decide: &Decide) -> (Self, Outcome) {
        let mut generator = Generator::new(seed, index);
        let (settings, start) = (generator.settings(), generator.start());
        let mut sequence =
            Sequence { settings: settings.clone(), start: start.clone(), requests: Vec::new() };
        let mut run = Run::new(&settings, &start, decide);
        for _ in 0..generator.count() {
            let request = generator.request(&run.world, &start);
            let is_sound = run.make(&request);
            sequence.requests.push(request);
            if !is_sound {
                break;
            }
        }
        (sequence, run.outcome)
    }

    /// Runs the sequence up to the first violation.
    fn run(&self, decide: &Decide) -> Outcome {
        let mut run = Run::new(&self.settings, &self.start, decide);
        let _ = self.requests.iter().all(|request| run.make(request));
        run.outcome
    }

    /// The sequence as JSON, with its outcome.
    pub fn to_json(&self, outcome: &Outcome) -> Value {
        let requests = self.requests.iter().zip(&outcome.responses).map(|(request, response)| {
            json!({
                "user": user(request),
                "operation": request.operation.name(),
                "object": request.object,
                "response": response,
            })
        });
        let violations = outcome.violations.iter().map(|Violation { kind, text }| format!("{kind}: {text}"));
        json!({
            "settings": self.settings,
            "start": self.start,
            "requests": requests.collect::<Vec<_>>(),
            "violations": violations.collect::<Vec<_>>(),
        })
    }
}

/// A sequence that is being run.
struct Run<'a> {
    world: World,
    settings: &'a Value,
    judge: Judge,
    plans: Plans,
    decide: &'a Decide,
    outcome: Outcome,
}

impl<'a> Run<'a> {
    fn new(settings: &'a Value, start: &[Value], decide: &'a Decide) -> Self {
        let world = World::new(start);
        let judge = Judge::new(&world, settings);
        Run { plans: judge.plans(&world), judge, world, settings, decide, outcome: Outcome::default() }
    }

    /// Makes a request; whether there is no violation after it.
    fn make(&mut self, request: &Request) -> bool {
        let key = Key::of(&request.object);
        let response = self.respond(request, &key);
        if response.is_ok() {
            self.judge.forget_removed(&self.world);
            let plans = self.judge.plans(&self.world);
            let violations = &mut self.outcome.violations;
            self.judge.check(&self.world, &plans, violations);
            if self.settings["rules"]["issuer-no-permission"] == "reject" && !request.is_permitted {
                widened(&self.plans, &plans, &self.world, &key, violations);
            }
            self.plans = plans;
        }
        self.outcome.responses.push(response.err().unwrap_or_else(|| ACCEPTED.to_owned()));
        self.outcome.violations.is_empty()
    }

    fn respond(&mut self, request: &Request, key: &Key) -> Result<(), String> {
        let admitted = self.world.admitted(request).ok_or_else(|| "the API server rejects it".to_owned())?;
        // The policy is not asked about a DELETE.
        let changed = if request.operation == Operation::Delete {
            None
        } else {
            let review = json!({
                "uid": "1",
                "kind": {"group": key.kind.group(), "version": "v1", "kind": key.kind.kind()},
                "resource": {"group": key.kind.group(), "version": "v1", "resource": resource(key.kind)},
                "operation": request.operation.name(),
                "namespace": key.namespace,
                "name": key.name,
                "userInfo": {"username": user(request), "groups": ["system:authenticated"]},
                "object": admitted,
                "oldObject": self.world.get(key),
            });
            (self.decide)(&review, self.settings, &self.world)?
        };
        self.world.store(changed.unwrap_or(admitted));
        Ok(())
    }
}

const ACCEPTED: &str = "accepted";

fn resource(kind: GatewayKind) -> &'static str {
    if kind == GatewayKind::ListenerSet { "listenersets" } else { "gateways" }
}

fn user(request: &Request) -> &'static str {
    if request.is_permitted { PERMITTED } else { UNPERMITTED }
}
