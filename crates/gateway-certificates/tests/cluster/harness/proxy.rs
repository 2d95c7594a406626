//! A proxy between the controller and the API server that injects faults, by rule and by seed.
//!
//! It serves plain HTTP on loopback and forwards each request, with the controller's own token, over TLS. It runs in
//! its own thread, so that it also serves while a scenario blocks.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::stream;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::{Client, Config};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::scenario::Scenario;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<UnsyncBoxBody<Bytes, Error>>;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request is forwarded after that time.
    Delay(Duration),
    /// The request is accepted and never answered.
    Hang,
    /// The proxy answers with that HTTP status, a Status as the body, and optionally Retry-After in seconds.
    Status(u16, Option<u32>),
    /// The connection is closed before the request is forwarded.
    Cut,
    /// The request is forwarded, and the connection is closed before the response.
    LoseResponse,
    /// An open watch is closed.
    CutWatch,
    /// An open watch stays open and delivers nothing, until the rule is removed.
    SilenceWatch,
}

impl Fault {
    fn is_of_open_watch(self) -> bool {
        matches!(self, Fault::CutWatch | Fault::SilenceWatch)
    }
}

/// A set of requests. Without conditions it contains all requests.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    verbs: Vec<&'static str>,
    resource: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

/// All requests.
pub fn calls() -> Calls {
    Calls::default()
}

impl Calls {
    /// Only those of one of these verbs: [`Call::verb`].
    pub fn verbs<const N: usize>(mut self, verbs: [&'static str; N]) -> Self {
        self.verbs.extend(verbs);
        self
    }

    /// Only writes.
    pub fn writes(self) -> Self {
        self.verbs(["create", "update", "patch", "delete", "deletecollection"])
    }

    /// Only those of a resource: `certificates`, `events` ..
    pub fn of(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    /// Only those in a namespace.
    pub fn within(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Only those for the object of that name. The name of an object that is created is not in its request.
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    fn contains(&self, call: &Call) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        (self.verbs.is_empty() || self.verbs.contains(&call.verb))
            && is(&self.resource, &call.resource)
            && is(&self.namespace, &call.namespace)
            && is(&self.name, &call.name)
    }
}

/// A fault, and the requests that it hits.
#[derive(Debug, Clone)]
pub struct Rule {
    fault: Fault,
    calls: Calls,
    first: Option<usize>,
    probability: f64,
}

impl Rule {
    /// A fault of all these requests.
    pub fn new(fault: Fault, calls: Calls) -> Self {
        Rule { fault, calls, first: None, probability: 1.0 }
    }

    /// Hits only that number of requests, the first ones.
    pub fn first(mut self, count: usize) -> Self {
        self.first = Some(count);
        self
    }

    /// Hits each request with that probability, from 0 to 1, by the seed of the proxy.
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }
}

/// The identifier of a rule in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleId(u64);

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The verb of the audit log: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`,
    /// `deletecollection`; `discover` for a request that is not about a resource.
    pub verb: &'static str,
    /// The resource: `certificates`, `events` ..
    pub resource: String,
    /// The namespace; empty for all.
    pub namespace: String,
    /// The name; empty for a collection.
    pub name: String,
}

impl Call {
    /// Derives it from the parts of a request, as the API server does
    /// (`k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`).
    pub fn of(method: &Method, uri: &Uri) -> Self {
        let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
        let rest = match parts.as_slice() {
            ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
            _ => &[],
        };
        // `namespaces/NAME` alone is a request for the Namespace.
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let (resource, name) = match rest {
            [] => ("", ""),
            [resource] => (*resource, ""),
            [resource, name, ..] => (*resource, *name),
        };
        let is_watch = uri.query().is_some_and(|query| {
            query.split('&').any(|parameter| matches!(parameter, "watch" | "watch=true" | "watch=1"))
        });
        let verb = match (method.as_str(), name) {
            _ if resource.is_empty() => "discover",
            ("GET" | "HEAD", _) if is_watch => "watch",
            ("GET" | "HEAD", "") => "list",
            ("GET" | "HEAD", _) => "get",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", "") => "deletecollection",
            ("DELETE", _) => "delete",
            _ => "",
        };
        Call { verb, resource: resource.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { verb, resource, namespace, name } = self;
        write!(f, "{verb} {resource} {namespace}/{name}")
    }
}

/// A request that the proxy received.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it arrived.
    pub at: Instant,
    /// What it is about.
    pub call: Call,
    /// The faults that hit it.
    pub faults: Vec<Fault>,
    /// The HTTP status of the response that the proxy sent or lost; `None` without a response.
    pub code: Option<u16>,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} {:?}", self.call, self.code, self.faults)
    }
}

/// The proxy. It ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    stopping: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    /// Counts the changes of the rules.
    changed: watch::Sender<u64>,
}

struct State {
    rules: BTreeMap<RuleId, InForce>,
    rules_added: u64,
    rng: StdRng,
    seen: Vec<Seen>,
}

struct InForce {
    rule: Rule,
    hits: usize,
}

impl Proxy {
    /// Starts a proxy in front of the scenario's API server. The seed determines which requests are hit by rules
    /// with a probability.
    pub async fn start(scenario: &Scenario, seed: u64) -> Self {
        let config = scenario.cluster.config_without_user().await;
        let state = State {
            rules: BTreeMap::new(),
            rules_added: 0,
            rng: StdRng::seed_from_u64(seed),
            seen: Vec::new(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: watch::Sender::new(0) });
        let stopping = watch::Sender::new(false);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (served, stopped) = (Arc::clone(&shared), stopping.subscribe());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(listener, config, served, stopped));
        });
        Proxy { address, shared, stopping, thread: Some(thread) }
    }

    /// Puts a rule in force.
    pub fn add(&self, rule: Rule) -> RuleId {
        let mut state = self.shared.lock();
        state.rules_added += 1;
        let id = RuleId(state.rules_added);
        state.rules.insert(id, InForce { rule, hits: 0 });
        drop(state);
        self.shared.changed.send_modify(|count| *count += 1);
        id
    }

    /// Removes a rule. Returns how many requests and open watches it has hit.
    pub fn remove(&self, id: RuleId) -> usize {
        let removed = self.shared.lock().rules.remove(&id);
        self.shared.changed.send_modify(|count| *count += 1);
        removed.map_or(0, |in_force| in_force.hits)
    }

    /// How many requests and open watches a rule has hit; 0 if it was removed.
    pub fn hits(&self, id: RuleId) -> usize {
        self.shared.lock().rules.get(&id).map_or(0, |in_force| in_force.hits)
    }

    /// The requests so far, in the order of their arrival.
    pub fn seen(&self, calls: &Calls) -> Vec<Seen> {
        let state = self.shared.lock();
        state.seen.iter().filter(|seen| calls.contains(&seen.call)).cloned().collect()
    }

    /// Writes the kubeconfig of the controller with the proxy as the API server.
    pub(super) fn write_kubeconfig(&self, scenario: &Scenario) -> PathBuf {
        let text = std::fs::read_to_string(scenario.cluster.controller_kubeconfig()).unwrap();
        let mut kubeconfig: Value = serde_json::from_str(&text).unwrap();
        kubeconfig["clusters"][0]["cluster"] = json!({"server": format!("http://{}", self.address)});
        let path = scenario.new_file("proxied", "kubeconfig");
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        path
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopping.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the proxy panicked");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Records a request. Returns its number and the faults that hit it, in the order of the rules.
    fn received(&self, call: &Call) -> (usize, Vec<Fault>) {
        let mut state = self.lock();
        let State { rules, rng, seen, .. } = &mut *state;
        let of_requests = rules.values_mut().filter(|in_force| !in_force.rule.fault.is_of_open_watch());
        let faults: Vec<Fault> = of_requests
            .filter_map(|in_force| in_force.hit(call, rng).then_some(in_force.rule.fault))
            .collect();
        seen.push(Seen { at: Instant::now(), call: call.clone(), faults: faults.clone(), code: None });
        (seen.len() - 1, faults)
    }

    fn answered(&self, number: usize, code: StatusCode) {
        self.lock().seen[number].code = Some(code.as_u16());
    }

    /// The fault that hits an open watch now. Each rule decides once whether it hits this watch: `decided`.
    fn of_open_watch(&self, call: &Call, decided: &mut BTreeMap<RuleId, bool>) -> Option<Fault> {
        let mut state = self.lock();
        let State { rules, rng, .. } = &mut *state;
        let of_watch = rules.iter_mut().filter(|(_, in_force)| in_force.rule.fault.is_of_open_watch());
        let mut hitting = of_watch.filter_map(|(id, in_force)| {
            let is_hit = *decided.entry(*id).or_insert_with(|| in_force.hit(call, rng));
            is_hit.then_some(in_force.rule.fault)
        });
        hitting.next()
    }
}

impl InForce {
    /// Decides whether a request is hit, and counts it.
    fn hit(&mut self, call: &Call, rng: &mut StdRng) -> bool {
        let is_hit = self.rule.calls.contains(call)
            && self.rule.first.is_none_or(|first| self.hits < first)
            && (self.rule.probability >= 1.0 || rng.random_bool(self.rule.probability));
        self.hits += usize::from(is_hit);
        is_hit
    }
}

/// Accepts connections until `stopping`.
async fn serve(
    listener: std::net::TcpListener,
    mut config: Config,
    shared: Arc<Shared>,
    mut stopping: watch::Receiver<bool>,
) {
    // Each request is forwarded once, whatever the answer.
    config.default_retry = false;
    let client = Client::try_from(config).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        if let Ok((stream, _)) = accepted {
            tokio::spawn(connection(stream, client.clone(), Arc::clone(&shared)));
        }
    }
}

async fn connection(stream: TcpStream, client: Client, shared: Arc<Shared>) {
    let service = service_fn(|request| answer(request, client.clone(), Arc::clone(&shared)));
    // An error of the service closes the connection, which is what some faults want.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Answers one request. An error closes the connection without a response.
async fn answer(request: Request<Incoming>, client: Client, shared: Arc<Shared>) -> Result<Answer, Error> {
    let (mut parts, body) = request.into_parts();
    let call = Call::of(&parts.method, &parts.uri);
    let (number, faults) = shared.received(&call);
    let mut is_lost = false;
    for fault in faults {
        match fault {
            Fault::Delay(time) => tokio::time::sleep(time).await,
            Fault::Hang => std::future::pending().await,
            Fault::Status(code, retry_after) => {
                shared.answered(number, StatusCode::from_u16(code)?);
                return failure(&call, code, retry_after);
            }
            Fault::Cut => return Err("cut before the request was forwarded".into()),
            Fault::LoseResponse => is_lost = true,
            Fault::CutWatch | Fault::SilenceWatch => {}
        }
    }
    parts.headers.remove(HOST);
    let body = body.collect().await?.to_bytes();
    let response = client.send(Request::from_parts(parts, Body::from(body))).await?;
    shared.answered(number, response.status());
    if is_lost {
        // What was asked for has been done.
        response.into_body().collect().await?;
        return Err("the response was lost".into());
    }
    let is_watch = call.verb == "watch" && response.status().is_success();
    Ok(response.map(|body| {
        if is_watch { open_watch(body, call, shared) } else { body.map_err(Error::from).boxed_unsync() }
    }))
}

fn failure(call: &Call, code: u16, retry_after: Option<u32>) -> Result<Answer, Error> {
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("injected fault: {call} is answered with {code}"), "reason": reason, "code": code,
    });
    let mut response = Response::builder().status(code).header(CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        status["details"] = json!({"retryAfterSeconds": seconds});
        response = response.header(RETRY_AFTER, seconds);
    }
    let body = Full::from(status.to_string()).map_err(|never: Infallible| match never {});
    Ok(response.body(body.boxed_unsync())?)
}

/// The body of an open watch, which rules can cut or silence at any time.
fn open_watch(body: Body, call: Call, shared: Arc<Shared>) -> UnsyncBoxBody<Bytes, Error> {
    let changed = shared.changed.subscribe();
    let open = (body, changed, BTreeMap::new());
    let frames = stream::unfold(Some(open), move |open| {
        let (call, shared) = (call.clone(), Arc::clone(&shared));
        async move {
            let (mut body, mut changed, mut decided) = open?;
            loop {
                changed.mark_unchanged();
                let fault = shared.of_open_watch(&call, &mut decided);
                let frame = match fault {
                    Some(Fault::SilenceWatch) => None,
                    Some(_) => {
                        let cut: Result<Frame<Bytes>, Error> = Err("the watch was cut".into());
                        return Some((cut, None));
                    }
                    None => Some(&mut body),
                };
                let next = async {
                    match frame {
                        Some(body) => body.frame().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    frame = next => {
                        let frame = frame?.map_err(Error::from);
                        return Some((frame, Some((body, changed, decided))));
                    }
                    _ = changed.changed() => {}
                }
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

mod tests {
    use super::*;
    use crate::harness::{CERTIFICATE, certificate, scenario};
    use kube::Api;
    use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams};
    use kube::config::{KubeConfigOptions, Kubeconfig};
    use rstest::rstest;

    #[rstest]
    #[case::list("GET", "/apis/networking.istio.io/v1/gateways?limit=250", "list gateways /")]
    #[case::watch("GET", "/apis/networking.istio.io/v1/gateways?&watch=true&x=y", "watch gateways /")]
    #[case::get("GET", "/apis/cert-manager.io/v1/namespaces/a/certificates/b", "get certificates a/b")]
    #[case::create(
        "POST",
        "/apis/cert-manager.io/v1/namespaces/a/certificates?x=y",
        "create certificates a/"
    )]
    #[case::patch("PATCH", "/apis/cert-manager.io/v1/namespaces/a/certificates/b", "patch certificates a/b")]
    #[case::status("PATCH", "/apis/a/v1/namespaces/a/bs/c/status", "patch bs a/c")]
    #[case::delete("DELETE", "/api/v1/namespaces/a/secrets/b", "delete secrets a/b")]
    #[case::delete_all("DELETE", "/api/v1/namespaces/a/secrets", "deletecollection secrets a/")]
    #[case::namespace("GET", "/api/v1/namespaces/a", "get namespaces /a")]
    #[case::namespaces("GET", "/api/v1/namespaces?watch=1", "watch namespaces /")]
    #[case::groups("GET", "/apis", "discover  /")]
    #[case::version("GET", "/apis/cert-manager.io/v1", "discover  /")]
    fn verbs(#[case] method: &str, #[case] uri: &str, #[case] expected: &str) {
        let call = Call::of(&method.parse().unwrap(), &uri.parse().unwrap());
        assert_eq!(call.to_string(), expected);
    }

    /// The faults as a client of the API server sees them.
    #[test]
    fn faults() {
        scenario(async |s| {
            let team_a = s.namespace("team-a").await;
            s.grant("own-namespaces/rbac.yaml", None).await;
            let proxy = Proxy::start(s, 7).await;
            let kubeconfig = Kubeconfig::read_from(proxy.write_kubeconfig(s)).unwrap();
            let mut config =
                Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
            config.default_retry = false;
            let client = Client::try_from(config).unwrap();
            let resource =
                ApiResource::from_gvk(&GroupVersionKind::gvk("cert-manager.io", "v1", CERTIFICATE.1));
            let api: Api<DynamicObject> = Api::namespaced_with(client, &team_a, &resource);
            let list = async || api.list(&ListParams::default()).await.map(|list| list.items.len());
            let lists = || calls().verbs(["list"]).of("certificates").within(&team_a);
            let once = |fault| proxy.add(Rule::new(fault, lists()).first(1));

            let delay = once(Fault::Delay(Duration::from_millis(300)));
            let start = Instant::now();
            assert_eq!(list().await.unwrap(), 0);
            assert!(start.elapsed() >= Duration::from_millis(300));
            assert_eq!(proxy.hits(delay), 1);

            once(Fault::Hang);
            assert!(tokio::time::timeout(Duration::from_millis(300), list()).await.is_err());
            assert_eq!(list().await.unwrap(), 0, "only the first request hangs");

            for (code, retry_after) in [(403, None), (429, Some(7)), (500, None), (503, Some(1)), (504, None)]
            {
                once(Fault::Status(code, retry_after));
                let Err(kube::Error::Api(status)) = list().await else { panic!("{code} is no error") };
                let seconds = status.details.as_ref().map(|details| details.retry_after_seconds);
                assert_eq!((status.code, seconds), (code, retry_after));
            }

            once(Fault::Cut);
            assert!(matches!(list().await, Err(kube::Error::Service(_) | kube::Error::HyperError(_))));

            let creates = calls().writes().of("certificates");
            proxy.add(Rule::new(Fault::LoseResponse, creates.clone()).first(1));
            let object: DynamicObject = serde_json::from_value(certificate(&team_a, "made")).unwrap();
            assert!(api.create(&PostParams::default(), &object).await.is_err());
            assert_eq!(s.certificates(&team_a).await, ["made"], "it was created all the same");
            let created = proxy.seen(&creates);
            assert_eq!(
                created.iter().map(ToString::to_string).collect::<Vec<_>>(),
                [format!("create certificates {team_a}/: Some(201) [LoseResponse]")]
            );

            let gets = calls().verbs(["get"]).named("made");
            let half = proxy.add(Rule::new(Fault::Status(500, None), gets.clone()).probability(0.5));
            for _ in 0..20 {
                assert_eq!(
                    api.get("made").await.is_ok(),
                    proxy.seen(&gets).last().unwrap().faults.is_empty()
                );
            }
            let hits = proxy.remove(half);
            assert!((1..20).contains(&hits), "{hits} of 20");
            let times: Vec<Instant> = proxy.seen(&calls()).iter().map(|seen| seen.at).collect();
            assert!(times.is_sorted());
        });
    }
}
