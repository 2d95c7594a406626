//! Metrics and health over HTTP, on an address each.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::cache::Caches;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::queue::Queue;

/// The time after the deadline of a leader when it counts as stuck, since the election should have ended
/// the process. kube-controller-manager tolerates the same.
const STUCK: Duration = Duration::from_secs(20);

/// An address to listen on, as controller-runtime writes it: `:8080` for a port of every address,
/// `127.0.0.1:8080`, `[::1]:8080`, or `0` for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindAddress {
    /// Nothing is served.
    Off,
    /// That port of every address, with or without IPv6.
    Port(u16),
    /// That address only.
    Address(SocketAddr),
}

impl FromStr for BindAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| text.parse().map_err(|_| "expected a port from 0 to 65535".to_owned());
        match text {
            "0" => Ok(BindAddress::Off),
            _ => match text.strip_prefix(':') {
                Some(text) => port(text).map(BindAddress::Port),
                None => text
                    .parse()
                    .map(BindAddress::Address)
                    .map_err(|_| "expected :PORT, IP:PORT, [IPv6]:PORT, or 0 to switch it off".to_owned()),
            },
        }
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindAddress::Off => f.write_str("0"),
            BindAddress::Port(port) => write!(f, ":{port}"),
            BindAddress::Address(address) => address.fmt(f),
        }
    }
}

impl BindAddress {
    /// Listens there; `None` if it is switched off.
    ///
    /// # Errors
    /// The address is in use or not one of this machine.
    pub async fn listen(self) -> std::io::Result<Option<TcpListener>> {
        match self {
            BindAddress::Off => Ok(None),
            BindAddress::Address(address) => TcpListener::bind(address).await.map(Some),
            BindAddress::Port(port) => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
                Ok(listener) => Ok(Some(listener)),
                Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await.map(Some),
            },
        }
    }
}

/// Serves `/metrics`, forever.
///
/// # Errors
/// The listener fails.
pub async fn metrics(
    listener: TcpListener,
    metrics: Metrics,
    caches: Caches,
    queue: Queue,
) -> std::io::Result<()> {
    let sources = Sources { metrics, caches, queue };
    axum::serve(listener, Router::new().route("/metrics", get(show_metrics)).with_state(sources)).await
}

#[derive(Clone)]
struct Sources {
    metrics: Metrics,
    caches: Caches,
    queue: Queue,
}

/// Serves `/healthz` and `/readyz`, forever.
///
/// # Errors
/// The listener fails.
pub async fn health(listener: TcpListener, health: Health) -> std::io::Result<()> {
    let routes =
        Router::new().route("/healthz", get(liveness)).route("/readyz", get(readiness)).with_state(health);
    axum::serve(listener, routes).await
}

/// What the health of the process depends on.
#[derive(Debug, Clone)]
pub struct Health {
    /// The caches.
    pub caches: Caches,
    /// The queue.
    pub queue: Queue,
    /// Whether this replica leads.
    pub leadership: Leadership,
}

async fn show_metrics(State(sources): State<Sources>) -> Response {
    let Sources { metrics, caches, queue } = sources;
    metrics.set_queue(&queue);
    metrics.summarize(&caches.summary());
    ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], metrics.text()).into_response()
}

/// Responds whether the process makes progress. A restart can fix it if not.
///
/// There is no response at all, which also fails a probe, while all threads are blocked, or while the
/// lock of the caches or of the queue is held.
async fn liveness(State(health): State<Health>) -> Response {
    let _ = (health.caches.missing(), health.queue.depth());
    let overdue = health.leadership.overdue();
    if overdue < STUCK {
        return "ok\n".into_response();
    }
    let text =
        format!("the election is stuck: the deadline of the Lease passed {} s ago\n", overdue.as_secs());
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// Responds whether this replica is ready to take over: everything is listed. It does not have to lead.
async fn readiness(State(health): State<Health>) -> Response {
    let unsettled = health.caches.unsettled();
    if unsettled.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", unsettled.join("\n"))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use gateway_rules::Settings;
    use k8s_openapi::jiff::Timestamp;
    use rstest::rstest;

    use super::*;
    use crate::leader::{Candidate, Clock, Elector, LeaseName, LeaseStore, Request};

    #[rstest]
    #[case::port(":8080", Ok(BindAddress::Port(8080)))]
    #[case::off("0", Ok(BindAddress::Off))]
    #[case::ipv4("127.0.0.1:1", Ok(BindAddress::Address("127.0.0.1:1".parse().unwrap())))]
    #[case::ipv6("[::1]:1", Ok(BindAddress::Address("[::1]:1".parse().unwrap())))]
    #[case::only_a_port("8080", Err("expected :PORT, IP:PORT, [IPv6]:PORT, or 0 to switch it off"))]
    #[case::a_large_port(":80800", Err("expected a port from 0 to 65535"))]
    fn addresses(#[case] text: &str, #[case] expected: Result<BindAddress, &str>) {
        assert_eq!(text.parse::<BindAddress>(), expected.map_err(str::to_owned));
        if let Ok(address) = expected {
            assert_eq!(address.to_string(), text);
        }
    }

    /// A clock that is set.
    #[derive(Debug)]
    struct Set(AtomicU64);

    impl Clock for Set {
        fn since_boot(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }

        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    /// Accepts every write.
    struct Accepts;

    impl LeaseStore for Accepts {
        async fn send(
            &self,
            request: &Request,
        ) -> kube::Result<Option<k8s_openapi::api::coordination::v1::Lease>> {
            Ok(match request {
                Request::Get => None,
                Request::Create(lease) | Request::Replace(lease) => Some(lease.as_ref().clone()),
            })
        }
    }

    #[tokio::test]
    async fn the_probe_fails_when_the_election_is_stuck() {
        let clock = Arc::new(Set(AtomicU64::new(1000)));
        let leadership = Leadership::standby(clock.clone());
        let settings = Arc::new(Settings::default());
        let caches = Caches::new(Vec::new(), settings);
        let health = Health { caches, queue: Queue::new(1), leadership: leadership.clone() };
        let status = async || liveness(State(health.clone())).await.status();
        assert_eq!(status().await, 200);

        let lease = LeaseName { namespace: "a".to_owned(), name: "b".to_owned() };
        Elector::new(Accepts, Candidate::new(lease, "c".to_owned()), leadership).acquire(|| true).await;
        assert_eq!(status().await, 200);
        // Nothing renews the Lease, and nothing ends the process.
        clock.0.store(1029, Ordering::Relaxed);
        assert_eq!(status().await, 200);
        clock.0.store(1031, Ordering::Relaxed);
        assert_eq!(status().await, 503);
    }
}
