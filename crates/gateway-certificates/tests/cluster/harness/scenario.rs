//! One scenario: its setup, its tools, and the cleanup and checks afterwards.

use std::io::Write;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::audit::{Audit, listed};
use super::client::Objects;
use super::cluster::{CONTROLLER, Cluster, SCENARIO, cluster, deployed};
use super::control_plane::ControlPlane;
use super::controller::ControllerBuilder;
use super::eventually::eventually;
use super::objects::{CERTIFICATE, EVENT, GATEWAY, ISSUER_KIND, LEASE, NAMESPACE, POD, SECRET, text};
use super::process::tail;

/// Runs a scenario on any cluster.
pub fn scenario(body: impl AsyncFnOnce(&Scenario)) {
    run(body);
}

/// Runs a scenario that reads the audit log, stops the API server or changes kinds. It is skipped on an
/// existing cluster.
pub fn scenario_on_own_cluster(body: impl AsyncFnOnce(&Scenario)) {
    if cluster().own.is_some() {
        run(body);
    } else {
        // Bypasses the test harness, which captures the output of passing tests.
        let _ = writeln!(
            std::io::stderr(),
            "{}: skipped, because it needs a separate control plane",
            test_name()
        );
    }
}

fn run(body: impl AsyncFnOnce(&Scenario)) {
    // Outside of the scenario's runtime, because the start needs its own runtime.
    let cluster = cluster();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let scenario = runtime.block_on(Scenario::prepare(cluster));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            body(&scenario).await;
            scenario.assert_nothing_forbidden();
        });
    }));
    if outcome.is_err() {
        scenario.show_logs();
    }
    runtime.block_on(scenario.clean_up());
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

fn test_name() -> String {
    std::thread::current().name().unwrap_or("scenario").to_owned()
}

/// A running scenario. It dereferences to [`Objects`].
pub struct Scenario {
    /// The cluster.
    pub cluster: &'static Cluster,
    objects: Objects,
    folder: PathBuf,
    files: AtomicUsize,
    namespaces: Mutex<Vec<String>>,
    temporary: Mutex<Vec<Value>>,
    forbidden_is_expected: AtomicBool,
    control_plane_changed: AtomicBool,
    audit: Audit,
}

impl Deref for Scenario {
    type Target = Objects;

    fn deref(&self) -> &Objects {
        &self.objects
    }
}

impl Scenario {
    async fn prepare(cluster: &'static Cluster) -> Self {
        let folder = cluster.folder.join(test_name().replace("::", "."));
        std::fs::create_dir_all(&folder).unwrap();
        let audit_log = cluster.own.as_ref().map(|own| own.audit_log()).unwrap_or_default();
        Scenario {
            cluster,
            objects: cluster.objects().await,
            folder,
            files: AtomicUsize::new(0),
            namespaces: Mutex::default(),
            temporary: Mutex::default(),
            forbidden_is_expected: AtomicBool::new(false),
            control_plane_changed: AtomicBool::new(false),
            audit: Audit::from_now(&audit_log),
        }
    }

    /// Creates a namespace for the scenario and returns its name, which begins with `name`.
    pub async fn namespace(&self, name: &str) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{number}", std::process::id());
        self.apply(json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {SCENARIO: ""}},
        }))
        .await;
        self.namespaces.lock().unwrap().push(name.clone());
        name
    }

    /// A builder for the controller.
    pub fn controller(&self) -> ControllerBuilder<'_> {
        ControllerBuilder::new(self)
    }

    /// Grants the rights in a file of `deploy/controller` to the controller, optionally with the Role in
    /// another namespace. Waits until they are in force.
    pub async fn grant(&self, file: &str, namespace: Option<&str>) {
        for mut object in deployed(file) {
            if let Some(namespace) = namespace {
                object["metadata"]["namespace"] = json!(namespace);
            }
            self.apply_temporarily(object).await;
        }
        self.until_allowed(file, namespace).await;
    }

    /// [`Objects::apply`] of an object outside the scenario's namespaces, which is deleted afterwards.
    pub async fn apply_temporarily(&self, object: Value) {
        let applied = self.apply(object).await;
        self.temporary.lock().unwrap().push(applied);
    }

    async fn until_allowed(&self, file: &str, namespace: Option<&str>) {
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        for rule in
            deployed(file).iter().flat_map(|object| object["rules"].as_array().cloned().unwrap_or_default())
        {
            let attributes = ResourceAttributes {
                group: Some(text(&rule, "/apiGroups/0").to_owned()),
                resource: Some(text(&rule, "/resources/0").to_owned()),
                verb: Some(text(&rule, "/verbs/0").to_owned()),
                namespace: namespace.map(str::to_owned),
                ..Default::default()
            };
            let review = SubjectAccessReview {
                spec: SubjectAccessReviewSpec {
                    user: Some(format!("system:serviceaccount:{CONTROLLER}:{CONTROLLER}")),
                    resource_attributes: Some(attributes),
                    ..Default::default()
                },
                ..Default::default()
            };
            eventually(&format!("{file} is in force"), async || {
                let review = reviews.create(&PostParams::default(), &review).await.unwrap();
                let status = review.status.unwrap_or_default();
                if status.allowed { Ok(()) } else { Err(format!("{status:?}")) }
            })
            .await;
        }
    }

    /// Allows forbidden requests of the controller in this scenario.
    pub fn expects_forbidden(&self) {
        self.forbidden_is_expected.store(true, Ordering::Relaxed);
    }

    /// Restores the kinds and the controller manager when the scenario ends.
    pub fn changes_control_plane(&self) {
        self.control_plane_changed.store(true, Ordering::Relaxed);
    }

    /// The control plane, if the scenario needs a separate one.
    pub fn control_plane(&self) -> &ControlPlane {
        self.cluster.own.as_ref().unwrap()
    }

    /// The controller's requests since the scenario began.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The controller's requests from now on.
    pub fn audit_from_now(&self) -> Audit {
        Audit::from_now(&self.cluster.own.as_ref().map(|own| own.audit_log()).unwrap_or_default())
    }

    /// Panics if the controller writes anything within that time.
    pub async fn nothing_is_written_for(&self, time: Duration) {
        let audit = self.audit_from_now();
        tokio::time::sleep(time).await;
        let writes = audit.writes();
        assert!(writes.is_empty(), "nothing has changed, but the controller writes:\n{}", listed(&writes));
    }

    /// The path of a new file in the scenario's folder.
    pub fn new_file(&self, name: &str, extension: &str) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed) + 1;
        self.folder.join(format!("{name}-{number}.{extension}"))
    }

    /// Waits for a Certificate with exactly these hosts.
    pub async fn certificate_with<const N: usize>(
        &self,
        namespace: &str,
        name: &str,
        hosts: [&str; N],
    ) -> Value {
        let desired = json!(hosts.as_slice());
        eventually(&format!("the Certificate {namespace}/{name} has the hosts {hosts:?}"), async || {
            let found = self.get(CERTIFICATE, namespace, name).await.ok_or("it does not exist")?;
            if found["spec"]["dnsNames"] == desired { Ok(found) } else { Err(found["spec"].to_string()) }
        })
        .await
    }

    /// The names of the Certificates in a namespace.
    pub async fn certificates(&self, namespace: &str) -> Vec<String> {
        let all = self.list(CERTIFICATE, namespace).await;
        all.iter().map(|certificate| text(certificate, "/metadata/name").to_owned()).collect()
    }

    /// Waits until a Certificate meets a condition; `what` is a clause for the message.
    pub async fn certificate_where(
        &self,
        namespace: &str,
        name: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        eventually(&format!("the Certificate {namespace}/{name} {what}"), async || {
            let found = self.get(CERTIFICATE, namespace, name).await.ok_or("it does not exist")?;
            if holds(&found) { Ok(found) } else { Err(found.to_string()) }
        })
        .await
    }

    /// Waits for an Event on a Gateway with a text in its note.
    pub async fn event(&self, namespace: &str, gateway: &str, reason: &str, note: &str) -> Value {
        eventually(&format!("there is a {reason} Event on {namespace}/{gateway} with {note:?}"), async || {
            let events = self.events(namespace, gateway).await;
            let is_it =
                |event: &&Value| text(event, "/reason") == reason && text(event, "/note").contains(note);
            let seen = || {
                let lines = events
                    .iter()
                    .map(|event| format!("{}: {}", text(event, "/reason"), text(event, "/note")));
                lines.collect::<Vec<_>>().join("\n")
            };
            events.iter().find(is_it).cloned().ok_or_else(seen)
        })
        .await
    }

    /// The Events on a Gateway.
    pub async fn events(&self, namespace: &str, gateway: &str) -> Vec<Value> {
        let mut events = self.list(EVENT, namespace).await;
        events.retain(|event| {
            text(event, "/regarding/kind") == "Gateway" && text(event, "/regarding/name") == gateway
        });
        events
    }

    fn assert_nothing_forbidden(&self) {
        if self.forbidden_is_expected.load(Ordering::Relaxed) || self.cluster.own.is_none() {
            return;
        }
        let mut forbidden = self.audit.requests();
        forbidden.retain(|request| request.code() == 403);
        assert!(forbidden.is_empty(), "the deployed rights do not allow:\n{}", listed(&forbidden));
    }

    fn show_logs(&self) {
        let mut logs: Vec<_> =
            std::fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.sort();
        for log in logs {
            eprintln!("The last lines of {}:\n{}\n", log.display(), tail(&log, 40));
        }
    }

    async fn clean_up(&self) {
        if let Some(own) = &self.cluster.own {
            if !own.is_running() {
                own.start_api_server();
            }
            self.cluster.until_ready().await;
            if self.control_plane_changed.load(Ordering::Relaxed) {
                self.apply_crds(&self.cluster.crds).await;
                self.cluster.apply_issuer(self).await;
                // The check of owner references updates its kinds only every half minute.
                own.kill_api_server();
                own.start_api_server();
                self.cluster.until_ready().await;
                own.start_controller_manager();
            }
        }
        self.delete(LEASE, CONTROLLER, CONTROLLER).await;
        let temporary = std::mem::take(&mut *self.temporary.lock().unwrap());
        for object in temporary {
            self.delete_object(&object).await;
        }
        let namespaces = std::mem::take(&mut *self.namespaces.lock().unwrap());
        for namespace in namespaces {
            for kind in [GATEWAY, CERTIFICATE, ISSUER_KIND, SECRET, POD] {
                self.delete_all(kind, &namespace).await;
            }
            for gateway in self.list(GATEWAY, &namespace).await {
                let name = text(&gateway, "/metadata/name");
                self.patch(GATEWAY, &namespace, name, json!({"metadata": {"finalizers": null}})).await;
            }
            self.delete(NAMESPACE, "", &namespace).await;
        }
    }
}
