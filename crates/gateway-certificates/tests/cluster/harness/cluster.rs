//! The cluster for the scenarios: a separate control plane, or an existing cluster.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use super::client::Objects;
use super::control_plane::{ControlPlane, START};
use super::eventually::eventually_within;
use super::objects::{CLUSTER_ISSUER, DEPLOYMENT, GATEWAY, NAMESPACE, ready, text};

/// The ClusterIssuer that exists and is Ready.
pub const ISSUER: &str = "gateway-certificates-tests";
/// The namespace, the ServiceAccount and the Lease of the controller.
pub const CONTROLLER: &str = "gateway-certificates";
/// The label of the namespaces of scenarios.
pub const SCENARIO: &str = "gateway-certificates-tests/scenario";

/// The kinds that the controller needs.
const CRDS: [&str; 5] = [
    "certificates.cert-manager.io",
    "clusterissuers.cert-manager.io",
    "gateways.gateway.networking.k8s.io",
    "gateways.networking.istio.io",
    "issuers.cert-manager.io",
];

/// The cluster, which is started on first use. Its processes end with the tests.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: LazyLock<Result<Cluster, String>> = LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // So that every scenario reports why there is no cluster.
        catch_unwind(|| runtime.block_on(Cluster::start())).map_err(|panic| {
            panic.downcast::<String>().map_or_else(|_| "it panicked; see above".to_owned(), |text| *text)
        })
    });
    CLUSTER.as_ref().unwrap_or_else(|error| panic!("there is no cluster: {error}"))
}

/// A cluster, and how to reach it.
pub struct Cluster {
    /// The control plane; `None` on an existing cluster.
    pub own: Option<ControlPlane>,
    /// The installed CustomResourceDefinitions.
    pub crds: Vec<Value>,
    /// The folder for logs and data.
    pub folder: PathBuf,
    admin: Kubeconfig,
    _lock: File,
}

impl Cluster {
    async fn start() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster");
        std::fs::create_dir_all(&folder).unwrap();
        let lock = File::create(folder.with_extension("lock")).unwrap();
        lock.lock().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::create_dir_all(&folder).unwrap();

        let cluster = match std::env::var("CLUSTER").as_deref() {
            Ok("existing") => {
                let admin = Kubeconfig::read().expect("CLUSTER=existing needs a KUBECONFIG");
                Cluster { own: None, crds: Vec::new(), folder, admin, _lock: lock }
            }
            Ok(other) => panic!("CLUSTER is {other:?}: set it to `existing`, or unset it"),
            Err(_) => {
                let built = build();
                let own = ControlPlane::start(&built.join("bin"), &folder);
                let admin = Kubeconfig::read_from(own.kubeconfig()).unwrap();
                Cluster { own: Some(own), crds: crds(&built.join("crds")), folder, admin, _lock: lock }
            }
        };
        cluster.prepare().await;
        cluster
    }

    /// Installs the objects that all scenarios need.
    async fn prepare(&self) {
        let objects = self.objects().await;
        if let Some(own) = &self.own {
            self.until_ready().await;
            objects.apply_crds(&self.crds).await;
            own.start_controller_manager();
        } else {
            assert_unused(&objects).await;
        }
        for file in ["base/namespace.yaml", "base/rbac.yaml"] {
            for object in deployed(file) {
                objects.apply(object).await;
            }
        }
        self.apply_issuer(&objects).await;
        self.write_controller_kubeconfig(objects.client).await;
    }

    /// Creates the ClusterIssuer and sets it to Ready.
    pub async fn apply_issuer(&self, objects: &Objects) {
        objects
            .apply(json!({
                "apiVersion": "cert-manager.io/v1",
                "kind": "ClusterIssuer",
                "metadata": {"name": ISSUER},
                "spec": {"selfSigned": {}},
            }))
            .await;
        objects.patch_status(CLUSTER_ISSUER, "", ISSUER, ready()).await;
    }

    /// Waits until the API server is ready.
    pub async fn until_ready(&self) {
        eventually_within(START, "the API server is ready", async || {
            if let Some(own) = &self.own {
                own.assert_running();
            }
            let client = self.try_connect().await?;
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            client.request_text(request).await.map_err(|error| error.to_string())
        })
        .await;
    }

    /// How to reach the API server, for requests that carry their own token.
    pub async fn config_without_user(&self) -> Config {
        let config = Config::from_custom_kubeconfig(self.admin.clone(), &KubeConfigOptions::default()).await;
        let mut config = config.unwrap();
        config.auth_info = AuthInfo::default();
        config
    }

    async fn try_connect(&self) -> Result<Client, String> {
        let config = Config::from_custom_kubeconfig(self.admin.clone(), &KubeConfigOptions::default()).await;
        let config = config.map_err(|error| error.to_string())?;
        Client::try_from(config).map_err(|error| error.to_string())
    }

    /// The objects of the cluster, with the rights of an administrator.
    pub async fn objects(&self) -> Objects {
        // The API server writes its certificate, which kubeconfig refers to, when it starts.
        let client = eventually_within(START, "kubeconfig can be used", async || self.try_connect().await);
        Objects { client: client.await }
    }

    /// The kubeconfig of the controller, with its deployed ServiceAccount.
    pub fn controller_kubeconfig(&self) -> PathBuf {
        self.folder.join("controller.kubeconfig")
    }

    async fn write_controller_kubeconfig(&self, client: Client) {
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(4 * 3600), ..Default::default() },
            ..Default::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(client, CONTROLLER);
        let token =
            accounts.create_token_request(CONTROLLER, &PostParams::default(), &request).await.unwrap();
        let context = self.admin.current_context.clone().unwrap_or_default();
        let context = self.admin.contexts.iter().find(|named| named.name == context);
        let cluster = context.and_then(|context| context.context.clone()).unwrap_or_default().cluster;
        let cluster = self.admin.clusters.iter().find(|named| named.name == cluster);
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster.and_then(|named| named.cluster.clone())}],
            "users": [{"name": CONTROLLER, "user": {"token": token.status.unwrap().token}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": CONTROLLER}}],
            "current-context": "tests",
        });
        let path = self.controller_kubeconfig();
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Builds the control plane if necessary, and returns its folder.
pub(super) fn build() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/controlplane/build");
    let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "tests/controlplane/build failed; see above");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

fn crds(folder: &Path) -> Vec<Value> {
    let mut crds: Vec<_> = manifests::read([folder]).unwrap().into_iter().map(|found| found.object).collect();
    crds.retain(|crd| CRDS.contains(&text(crd, "/metadata/name")));
    crds
}

/// The objects of a file of `deploy/controller`.
pub fn deployed(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/controller").join(file);
    manifests::read([path]).unwrap().into_iter().map(|found| found.object).collect()
}

/// Panics if the cluster already runs the controller.
async fn assert_unused(objects: &Objects) {
    let deployment = objects.get(DEPLOYMENT, CONTROLLER, CONTROLLER).await;
    assert!(
        deployment.is_none(),
        "this cluster already runs gateway-certificates: delete its Deployment, or use another cluster"
    );
    let ours: Vec<_> = objects.list(NAMESPACE, "").await;
    let ours: Vec<_> = ours.iter().filter(|namespace| is_of_scenario(namespace)).collect();
    for gateway in objects.list(GATEWAY, "").await {
        let namespace = text(&gateway, "/metadata/namespace");
        let annotations = gateway["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        assert!(
            annotations.keys().all(|key| !key.starts_with("cert-manager.io/"))
                || ours.iter().any(|ours| text(ours, "/metadata/name") == namespace),
            "the Gateway {namespace}/{} is annotated, so the controller under test would create Certificates for it: \
             take a cluster without annotated Istio Gateways",
            text(&gateway, "/metadata/name"),
        );
    }
}

fn is_of_scenario(namespace: &Value) -> bool {
    namespace["metadata"]["labels"].get(SCENARIO).is_some()
}
