//! etcd, kube-apiserver and kube-controller-manager on loopback, only for the tests.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;

use super::process::{Process, free_port};

/// The user in the audit log.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  - level: Metadata
    users: ['system:serviceaccount:gateway-certificates:gateway-certificates']
  - level: None
";

/// The control plane; its processes end with it.
pub struct ControlPlane {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    etcd_url: String,
    controller_manager: Mutex<Option<Process>>,
    api_server: Mutex<Process>,
    _etcd: Process,
}

impl ControlPlane {
    /// Starts etcd and the API server from the programs in one folder, with data and logs in another.
    pub fn start(programs: &Path, folder: &Path) -> Self {
        for name in ["etcd", "certs"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        std::fs::write(folder.join("audit-policy.yaml"), AUDIT_POLICY).unwrap();
        let token = new_token();
        std::fs::write(folder.join("tokens.csv"), format!("{token},admin,admin,system:masters\n")).unwrap();

        let etcd_url = format!("http://127.0.0.1:{}", free_port());
        let peer_url = format!("http://127.0.0.1:{}", free_port());
        let mut etcd = Command::new(programs.join("etcd"));
        etcd.arg("--data-dir").arg(folder.join("etcd"));
        etcd.args(["--listen-client-urls", &etcd_url, "--advertise-client-urls", &etcd_url]);
        etcd.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
        etcd.args(["--initial-cluster", &format!("default={peer_url}"), "--unsafe-no-fsync"]);
        let etcd = Process::start("etcd", &mut etcd, &folder.join("etcd.log"));

        let port = free_port();
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": {
                "server": format!("https://127.0.0.1:{port}"),
                "certificate-authority": folder.join("certs/apiserver.crt"),
            }}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin"}}],
            "current-context": "tests",
        });
        std::fs::write(folder.join("kubeconfig"), kubeconfig.to_string()).unwrap();

        let api_server = start_api_server(programs, folder, port, &etcd_url);
        ControlPlane {
            programs: programs.to_owned(),
            folder: folder.to_owned(),
            port,
            etcd_url,
            controller_manager: Mutex::new(None),
            api_server: Mutex::new(api_server),
            _etcd: etcd,
        }
    }

    /// The kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// The audit log of the API server, with the requests of the controller.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    /// Kills the API server. Acknowledged writes are in etcd.
    pub fn kill_api_server(&self) {
        self.api_server.lock().unwrap().kill();
    }

    /// Starts the API server again, on the same port.
    pub fn start_api_server(&self) {
        *self.api_server.lock().unwrap() =
            start_api_server(&self.programs, &self.folder, self.port, &self.etcd_url);
    }

    /// Starts or restarts the controller manager. Its garbage collector discovers the served kinds at the
    /// start, and then only every half minute.
    pub fn start_controller_manager(&self) {
        let mut command = Command::new(self.programs.join("kube-controller-manager"));
        command
            .arg(format!("--kubeconfig={}", self.kubeconfig().display()))
            .args(["--controllers=garbage-collector-controller,namespace-controller"])
            .args(["--secure-port=0", "--leader-elect=false", "--kube-api-qps=500", "--kube-api-burst=1000"]);
        let log = self.folder.join("kube-controller-manager.log");
        let mut controller_manager = self.controller_manager.lock().unwrap();
        *controller_manager = None;
        *controller_manager = Some(Process::start("kube-controller-manager", &mut command, &log));
    }

    /// Kills the controller manager, so that nothing is garbage-collected.
    pub fn kill_controller_manager(&self) {
        *self.controller_manager.lock().unwrap() = None;
    }

    /// Whether the API server is running.
    pub fn is_running(&self) -> bool {
        self.api_server.lock().unwrap().is_running()
    }

    /// Panics if the API server has ended unexpectedly.
    pub fn assert_running(&self) {
        self.api_server.lock().unwrap().assert_running();
    }
}

fn start_api_server(programs: &Path, folder: &Path, port: u16, etcd_url: &str) -> Process {
    // The API server creates this key itself. Here it also signs the tokens of service accounts.
    let key = folder.join("certs/apiserver.key");
    let mut command = Command::new(programs.join("kube-apiserver"));
    command
        .arg(format!("--etcd-servers={etcd_url}"))
        .arg(format!("--secure-port={port}"))
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
        .arg(format!("--cert-dir={}", folder.join("certs").display()))
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(format!("--service-account-key-file={}", key.display()))
        .arg(format!("--service-account-signing-key-file={}", key.display()))
        .arg(format!("--token-auth-file={}", folder.join("tokens.csv").display()))
        .args(["--authorization-mode=Node,RBAC", "--service-cluster-ip-range=127.100.0.0/24"])
        .arg("--endpoint-reconciler-type=none")
        // So that blocking owner references require a right to the owner's finalizers.
        .arg("--enable-admission-plugins=OwnerReferencesPermissionEnforcement")
        // Pods would wait for the `default` account of their namespace, which nothing creates here.
        .arg("--disable-admission-plugins=ServiceAccount")
        .arg(format!("--audit-policy-file={}", folder.join("audit-policy.yaml").display()))
        .arg(format!("--audit-log-path={}", folder.join("audit.log").display()));
    Process::start("kube-apiserver", &mut command, &folder.join("kube-apiserver.log"))
}

/// A random token.
fn new_token() -> String {
    let mut bytes = [0u8; 16];
    File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The patience for the start of a control plane on a busy machine.
pub const START: Duration = Duration::from_secs(90);
