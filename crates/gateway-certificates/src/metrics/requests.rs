//! Counts and times the requests to the API server, all of them, where they leave the client.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Method, Request, Response, Uri};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use prometheus::{HistogramVec, IntCounterVec};
use tokio::time::Instant;
use tower::{Layer, Service};

use super::Metrics;

/// The code of a request without an answer, as client-go has it.
const NO_ANSWER: &str = "<error>";
/// The code of a request that was given up, because its deadline passed or because the controller stops.
const GIVEN_UP: &str = "<canceled>";
/// The codes that exist from the start, besides the successful one.
const CODES: [&str; 11] =
    ["400", "401", "403", "404", "409", "422", "429", "500", "503", NO_ANSWER, GIVEN_UP];
/// The requests that the controller sends: resource and verb, and the code if they succeed.
const REQUESTS: [(&str, &str, &str); 18] = [
    ("certificates", "apply", "200"),
    ("certificates", "create", "201"),
    ("certificates", "delete", "200"),
    ("certificates", "get", "200"),
    ("certificates", "list", "200"),
    ("certificates", "patch", "200"),
    ("certificates", "watch", "200"),
    ("discovery", "get", "200"),
    ("events", "create", "201"),
    ("events", "get", "200"),
    ("events", "patch", "200"),
    ("gateways", "get", "200"),
    ("gateways", "list", "200"),
    ("gateways", "watch", "200"),
    ("leases", "get", "200"),
    ("leases", "patch", "200"),
    ("leases", "update", "200"),
    ("secrets", "get", "200"),
];

/// The metrics of requests.
#[derive(Debug, Clone)]
pub struct Requests {
    pub(super) total: IntCounterVec,
    pub(super) duration: HistogramVec,
}

impl Requests {
    /// Creates the metrics of the requests that the controller sends.
    pub(super) fn create_all(&self) {
        for (resource, verb, success) in REQUESTS {
            self.duration.with_label_values(&[verb, resource]);
            for code in CODES.into_iter().chain([success]) {
                self.total.with_label_values(&[verb, resource, code]);
            }
        }
    }

    fn done(&self, (verb, resource): &(&'static str, String), code: &str, start: Instant) {
        self.total.with_label_values(&[*verb, resource, code]).inc();
        self.duration.with_label_values(&[*verb, resource]).observe(start.elapsed().as_secs_f64());
    }
}

/// A client whose requests are counted.
///
/// # Errors
/// The configuration is not valid.
pub fn client(config: Config, metrics: &Metrics) -> kube::Result<Client> {
    Ok(ClientBuilder::try_from(config)?.with_layer(&metrics.requests).build())
}

impl<S> Layer<S> for Requests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Counted { inner, requests: self.clone() }
    }
}

/// A service whose requests are counted.
#[derive(Debug, Clone)]
pub struct Counted<S> {
    inner: S,
    requests: Requests,
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut running = Running {
            requests: self.requests.clone(),
            labels: labels(&request),
            start: Instant::now(),
            code: GIVEN_UP.to_owned(),
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            match &answer {
                Ok(response) => running.answered(response.status().as_str()),
                Err(_) => running.answered(NO_ANSWER),
            }
            answer
        })
    }
}

/// A request that is counted when this is dropped, so also if it is given up.
struct Running {
    requests: Requests,
    labels: (&'static str, String),
    start: Instant,
    code: String,
}

impl Running {
    fn answered(&mut self, code: &str) {
        code.clone_into(&mut self.code);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.requests.done(&self.labels, &self.code, self.start);
    }
}

/// The verb and the resource of a request, as the API server has them in its own metrics. The number of
/// different ones is bounded by the kinds that the controller knows.
fn labels<B>(request: &Request<B>) -> (&'static str, String) {
    let (resource, is_one) = resource(request.uri());
    let query = request.uri().query().unwrap_or_default();
    let is_watch = query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1");
    let content_type = request.headers().get(http::header::CONTENT_TYPE);
    let is_apply = content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/apply-patch"));
    let verb = match *request.method() {
        Method::GET if is_watch => "watch",
        Method::GET if is_one => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH if is_apply => "apply",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    };
    (verb, resource)
}

/// The resource of a path, with its subresource, and whether the path is that of one object.
fn resource(uri: &Uri) -> (String, bool) {
    let mut parts = uri.path().trim_matches('/').split('/');
    let has_group = match parts.next() {
        Some("api") => false,
        Some("apis") => true,
        _ => return ("other".to_owned(), true),
    };
    if has_group {
        parts.next();
    }
    let _version = parts.next();
    let parts: Vec<&str> = parts.collect();
    match *parts.as_slice() {
        [] => ("discovery".to_owned(), true),
        ["namespaces", _, resource] | [resource] => (resource.to_owned(), false),
        ["namespaces", _, resource, _] => (resource.to_owned(), true),
        ["namespaces", _, resource, _, subresource, ..] => (format!("{resource}/{subresource}"), true),
        [resource, ..] => (resource.to_owned(), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::list("GET", "/apis/cert-manager.io/v1/certificates?limit=250", "list", "certificates")]
    #[case::watch(
        "GET",
        "/apis/cert-manager.io/v1/certificates?watch=true&timeoutSeconds=290",
        "watch",
        "certificates"
    )]
    #[case::get("GET", "/apis/networking.istio.io/v1/namespaces/team-a/gateways/shop", "get", "gateways")]
    #[case::list_in_a_namespace("GET", "/api/v1/namespaces/team-a/secrets", "list", "secrets")]
    #[case::core("GET", "/api/v1/namespaces/team-a/secrets/watch", "get", "secrets")]
    #[case::namespaces("GET", "/api/v1/namespaces", "list", "namespaces")]
    #[case::a_namespace("GET", "/api/v1/namespaces/team-a", "get", "namespaces")]
    #[case::cluster_scoped("GET", "/apis/cert-manager.io/v1/clusterissuers/le", "get", "clusterissuers")]
    #[case::create("POST", "/apis/events.k8s.io/v1/namespaces/team-a/events", "create", "events")]
    #[case::status(
        "PUT",
        "/apis/networking.istio.io/v1/namespaces/team-a/gateways/shop/status",
        "update",
        "gateways/status"
    )]
    #[case::delete(
        "DELETE",
        "/apis/cert-manager.io/v1/namespaces/team-a/certificates/a",
        "delete",
        "certificates"
    )]
    #[case::group("GET", "/apis/networking.istio.io", "get", "discovery")]
    #[case::version("GET", "/apis/networking.istio.io/v1", "get", "discovery")]
    #[case::other("GET", "/version", "get", "other")]
    fn verbs_and_resources(
        #[case] method: &str,
        #[case] path: &str,
        #[case] verb: &'static str,
        #[case] resource: &str,
    ) {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        assert_eq!(labels(&request), (verb, resource.to_owned()));
    }

    #[test]
    fn an_apply_is_a_patch_of_its_own_type() {
        let patch = |kind: &str| {
            let path = "/apis/cert-manager.io/v1/namespaces/a/certificates/b";
            let request = Request::patch(path).header("content-type", kind).body(()).unwrap();
            labels(&request).0
        };
        assert_eq!(patch("application/apply-patch+yaml"), "apply");
        assert_eq!(patch("application/merge-patch+json"), "patch");
    }

    #[tokio::test(start_paused = true)]
    async fn answers_errors_and_requests_that_are_given_up_are_counted() {
        let metrics = Metrics::new().unwrap();
        let service = tower::service_fn(async |request: Request<Body>| match request.uri().path() {
            "/api/v1/pods" => Ok(Response::builder().status(503).body(Body::empty()).unwrap()),
            "/api/v1/secrets" => Err(std::io::Error::other("broken")),
            _ => std::future::pending().await,
        });
        let mut service = metrics.requests.layer(service);
        let mut send = |path: &str| service.call(Request::get(path).body(Body::empty()).unwrap());
        assert!(send("/api/v1/pods").await.is_ok());
        assert!(send("/api/v1/secrets").await.is_err());
        let hanging = send("/api/v1/namespaces/a/events/b");
        assert!(tokio::time::timeout(std::time::Duration::from_secs(3), hanging).await.is_err());
        let text = metrics.text();
        for line in [
            r#"gateway_certificates_api_requests_total{code="503",resource="pods",verb="list"} 1"#,
            r#"gateway_certificates_api_requests_total{code="<error>",resource="secrets",verb="list"} 1"#,
            r#"gateway_certificates_api_requests_total{code="<canceled>",resource="events",verb="get"} 1"#,
            r#"gateway_certificates_api_requests_total{code="403",resource="events",verb="get"} 0"#,
            r#"gateway_certificates_api_request_duration_seconds_sum{resource="events",verb="get"} 3"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
