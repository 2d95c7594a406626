//! Metrics and health over HTTP.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::cache::Caches;
use crate::metrics::Metrics;
use crate::queue::Queue;

#[derive(Clone)]
struct Sources {
    metrics: Metrics,
    caches: Caches,
    queue: Queue,
}

/// Serves `/metrics`, `/healthz` and `/readyz`, forever.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    caches: Caches,
    queue: Queue,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .with_state(Sources { metrics, caches, queue });
    axum::serve(listener, routes).await
}

async fn show_metrics(State(sources): State<Sources>) -> Response {
    let Sources { metrics, caches, queue } = sources;
    metrics.set_queue(&queue);
    metrics.summarize(&caches.summary());
    ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], metrics.text()).into_response()
}

/// Responds whether this replica is ready to take over: everything is listed. It does not have to lead.
async fn readiness(State(sources): State<Sources>) -> Response {
    let unsettled = sources.caches.unsettled();
    if unsettled.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", unsettled.join("\n"))).into_response()
    }
}
