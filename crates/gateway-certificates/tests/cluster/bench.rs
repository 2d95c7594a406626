//! The cost of a cluster with many Gateways. The numbers are printed and not checked. `make bench-cluster`
//! runs it.
//!
//! The etcd of the tests does not wait for the disk, and everything shares one machine. The times are only
//! useful to compare versions of the controller.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::*;

/// The number of namespaces with Gateways.
const NAMESPACES: usize = 50;
/// The time of observation when there is nothing left to do.
const STEADY: Duration = Duration::from_secs(20);
/// The timeout of the benchmark.
const PATIENCE: Duration = Duration::from_secs(600);

#[test]
#[ignore = "a bench: make bench-cluster"]
fn existing_gateways_at_start() {
    scenario_on_own_cluster(async |s| {
        let count =
            std::env::var("GATEWAYS").map_or(5000, |count| count.parse().expect("GATEWAYS is a number"));
        let mut namespaces = Vec::new();
        for _ in 0..NAMESPACES {
            namespaces.push(s.namespace("team").await);
        }
        s.apply_all((0..count).map(|number| {
            let (secret, host) = (format!("shop-{number}-tls"), format!("shop-{number}.example.com"));
            let namespace = &namespaces[number % NAMESPACES];
            gateway(namespace, &format!("shop-{number}")).server(&secret, [host.as_str()])
        }))
        .await;

        let central = s.namespace("istio-system").await;
        println!("\n{count} Gateways in {NAMESPACES} namespaces, which exist when the controller starts\n");
        println!(
            "PLACEMENT           CERTIFICATES AFTER  WRITES TO THEM  EVENTS  WRITES IN {} S AFTERWARDS  PEAK MEMORY",
            STEADY.as_secs()
        );
        for (placement, settings) in [("own namespaces", json!({})), ("one namespace", placed_in(&central))] {
            let run = measure(s, settings, count).await;
            for namespace in &namespaces {
                s.delete_all(CERTIFICATE, namespace).await;
            }
            println!(
                "{placement:<20}{:<20}{:<16}{:<8}{:<28}{}",
                format!("{:.1} s", run.time.as_secs_f64()),
                run.writes,
                run.events,
                run.steady,
                run.memory
            );
        }
    });
}

struct Run {
    time: Duration,
    writes: usize,
    events: usize,
    steady: usize,
    memory: String,
}

async fn measure(s: &Scenario, settings: Value, count: usize) -> Run {
    const CREATED: &str =
        r#"gateway_certificates_api_writes_total{resource="certificates",result="ok",verb="create"}"#;
    let audit = s.audit_from_now();
    let start = Instant::now();
    let controller = s.controller().settings(settings).start_at_once().await;
    // The controller's own count is used, because reading the audit log would slow it down.
    let time = eventually_within(PATIENCE, "all Certificates are created", async || {
        let created = controller.metric(CREATED).unwrap_or_default();
        if created >= count as f64 { Ok(start.elapsed()) } else { Err(format!("{created} of {count}")) }
    })
    .await;
    controller.at_rest().await;
    // Events are written after the Certificates.
    let mut before = 0;
    eventually_within(PATIENCE, "the Events are written", async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = audit.writes_of("events").len();
        let seen = std::mem::replace(&mut before, now);
        if seen == now { Ok(()) } else { Err(format!("{now}")) }
    })
    .await;
    let (writes, events) = (audit.writes_of("certificates").len(), audit.writes_of("events").len());

    let steady = s.audit_from_now();
    tokio::time::sleep(STEADY).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", controller.pid())).unwrap_or_default();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("not observed");
    Run { time, writes, events, steady: steady.writes().len(), memory: memory.trim().to_owned() }
}
