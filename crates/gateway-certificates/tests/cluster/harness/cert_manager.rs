//! cert-manager's own controllers, for scenarios in which Certificates are issued.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::cluster::build as build_control_plane;
use super::objects::text;
use super::process::Process;
use super::scenario::Scenario;

/// The kinds that cert-manager needs in addition to those of every scenario.
const CRDS: [&str; 3] =
    ["certificaterequests.cert-manager.io", "challenges.acme.cert-manager.io", "orders.acme.cert-manager.io"];

/// The running cert-manager. It is killed when this is dropped.
pub struct CertManager(Process);

impl CertManager {
    /// Panics with the end of its log if it has ended.
    pub fn assert_running(&mut self) {
        self.0.assert_running();
    }
}

impl Scenario {
    /// Starts cert-manager, which is built on first use, with these flags (`tests/certmanager`). The
    /// scenario needs a separate control plane.
    pub async fn cert_manager(&self, flags: &[&str]) -> CertManager {
        let mut crds: Vec<_> = manifests::read([build_control_plane().join("crds")]).unwrap();
        crds.retain(|crd| CRDS.contains(&text(&crd.object, "/metadata/name")));
        let crds: Vec<_> = crds.into_iter().map(|crd| crd.object).collect();
        assert_eq!(crds.len(), CRDS.len());
        self.apply_crds(&crds).await;
        let mut command = Command::new(build().join("cert-manager"));
        command.arg(format!("-kubeconfig={}", self.control_plane().kubeconfig().display())).args(flags);
        CertManager(Process::start("cert-manager", &mut command, &self.new_file("cert-manager", "log")))
    }
}

/// Builds cert-manager if necessary, and returns its folder.
fn build() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/certmanager/build");
    let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "tests/certmanager/build failed; see above");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}
