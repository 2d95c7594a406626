//! The controller, as a process with its deployed rights.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::cluster::CONTROLLER;
use super::eventually::{eventually, eventually_within};
use super::process::{Process, free_port};
use super::proxy::Proxy;
use super::scenario::Scenario;

/// The timeout for the shutdown of a leader.
const STOP: Duration = Duration::from_secs(15);

/// A builder for the controller.
pub struct ControllerBuilder<'s> {
    scenario: &'s Scenario,
    settings: Value,
    arguments: Vec<String>,
    without_role_in: Vec<String>,
    kubeconfig: PathBuf,
}

impl<'s> ControllerBuilder<'s> {
    pub(super) fn new(scenario: &'s Scenario) -> Self {
        ControllerBuilder {
            scenario,
            settings: json!({}),
            arguments: Vec::new(),
            without_role_in: Vec::new(),
            kubeconfig: scenario.cluster.controller_kubeconfig(),
        }
    }

    /// Sets the settings; the default is `{}`.
    pub fn settings(mut self, settings: Value) -> Self {
        self.settings = settings;
        self
    }

    /// Adds a flag.
    pub fn flag(mut self, flag: &str) -> Self {
        self.arguments.push(flag.to_owned());
        self
    }

    /// Does not grant rights in this namespace of the settings.
    pub fn without_role_in(mut self, namespace: &str) -> Self {
        self.without_role_in.push(namespace.to_owned());
        self
    }

    /// Reaches the API server through a proxy.
    pub fn through(mut self, proxy: &Proxy) -> Self {
        self.kubeconfig = proxy.write_kubeconfig(self.scenario);
        self
    }

    /// Starts the controller with the rights for its settings and flags, and waits until its caches are
    /// filled.
    pub async fn start(self) -> Controller {
        let controller = self.start_at_once().await;
        controller.until_ready().await;
        controller
    }

    /// Starts the controller without waiting.
    pub async fn start_at_once(self) -> Controller {
        self.grant().await;
        let scenario = self.scenario;
        let log = scenario.new_file("controller", "log");
        let settings = log.with_extension("settings.yaml");
        std::fs::write(&settings, self.settings.to_string()).unwrap();
        let (metrics, health) = (free_port(), free_port());
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway-certificates"));
        command
            .env_remove("KUBECONFIG")
            .arg("run")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--settings")
            .arg(settings)
            .arg(format!("--metrics-bind-address=127.0.0.1:{metrics}"))
            .arg(format!("--health-probe-bind-address=127.0.0.1:{health}"))
            .arg(format!("--leader-election-namespace={CONTROLLER}"))
            .args(&self.arguments);
        let process = Process::start("gateway-certificates", &mut command, &log);
        Controller { process: RefCell::new(Some(process)), metrics, health, log }
    }

    /// Grants the rights for its settings and flags, without starting it.
    pub async fn grant(&self) {
        let scenario = self.scenario;
        match self.settings["gateway_namespaces"].as_array() {
            None => scenario.grant("own-namespaces/rbac.yaml", None).await,
            Some(placements) => {
                for placement in placements {
                    let namespace = placement["namespace"].as_str().unwrap();
                    if !self.without_role_in.iter().any(|without| without == namespace) {
                        scenario.grant("central/rbac.yaml", Some(namespace)).await;
                    }
                }
            }
        }
        for former in self.settings["former_gateway_namespaces"].as_array().into_iter().flatten() {
            scenario.grant("central/rbac.yaml", former.as_str()).await;
        }
        let tenants = self.settings["tenants"].as_array().map(Vec::as_slice).unwrap_or_default();
        if tenants.iter().any(|tenant| tenant.get("namespace_selector").is_some()) {
            scenario.grant("components/namespace-selectors/rbac.yaml", None).await;
        }
        for flag in ["watch-pods", "check-own-secrets", "gateway-status"] {
            if self.arguments.contains(&format!("--{flag}")) {
                scenario.grant(&format!("components/{flag}/rbac.yaml"), None).await;
            }
        }
    }
}

/// The running controller. It is stopped when this is dropped, and must end in time.
pub struct Controller {
    process: RefCell<Option<Process>>,
    metrics: u16,
    health: u16,
    log: PathBuf,
}

impl Controller {
    /// Waits until its caches are filled.
    pub async fn until_ready(&self) {
        eventually("the controller is ready", async || {
            self.assert_running();
            match self.get("/readyz") {
                Ok((200, _)) => Ok(()),
                Ok((status, body)) => Err(format!("{status}: {body}")),
                Err(error) => Err(error),
            }
        })
        .await;
    }

    /// Panics if it has ended unexpectedly.
    pub fn assert_running(&self) {
        if let Some(process) = self.process.borrow_mut().as_mut() {
            process.assert_running();
        }
    }

    /// Waits until it is the leader.
    pub async fn until_leader(&self) {
        eventually("the controller leads", async || match self.metric("gateway_certificates_leader") {
            Some(1.0) => Ok(()),
            other => Err(format!("gateway_certificates_leader is {other:?}")),
        })
        .await;
    }

    /// Waits until it leads and has nothing left to do.
    pub async fn at_rest(&self) {
        self.until_leader().await;
        let mut before = None;
        eventually("the controller has nothing left to do", async || {
            let done = self.sum("gateway_certificates_reconciles_total");
            let queued = self.metric("gateway_certificates_queue_depth").unwrap_or_default();
            let resting = queued == 0.0 && before == Some(done);
            before = Some(done);
            tokio::time::sleep(Duration::from_millis(250)).await;
            if resting { Ok(()) } else { Err(format!("{queued} queued, {done} reconciled")) }
        })
        .await;
    }

    /// The value of one metric, by its name with labels.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, metrics) = self.get("/metrics").ok()?;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        value.parse().ok()
    }

    /// The sum of a metric over its labels.
    pub fn sum(&self, name: &str) -> f64 {
        let metrics = self.get("/metrics").map(|(_, metrics)| metrics).unwrap_or_default();
        let values = metrics.lines().filter_map(|line| {
            let labels_and_value = line.strip_prefix(name)?;
            if !labels_and_value.starts_with(['{', ' ']) {
                return None;
            }
            labels_and_value.rsplit(' ').next()?.parse::<f64>().ok()
        });
        values.sum()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.borrow().as_ref().map_or(0, Process::pid)
    }

    /// `kill -9`.
    pub fn kill(self) {
        self.process.take().unwrap().kill();
    }

    /// Sends SIGTERM. The controller must end in time.
    pub fn stop(self) -> ExitStatus {
        let stopped = self.process.take().unwrap().terminate(STOP);
        stopped.unwrap_or_else(|| panic!("the controller did not stop within {} s", STOP.as_secs()))
    }

    /// Stops its execution (SIGSTOP).
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues its execution (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until the process has ended by itself.
    pub async fn ends(&self, within: Duration) -> ExitStatus {
        eventually_within(within, "the controller ends", async || {
            let status = self.process.borrow_mut().as_mut().unwrap().try_wait();
            status.ok_or_else(|| "it runs".to_owned())
        })
        .await
    }

    /// Its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Sends a GET to one of its endpoints and returns the status and the body.
    pub fn get(&self, path: &str) -> Result<(u16, String), String> {
        let get = || -> std::io::Result<String> {
            let port = if path == "/metrics" { self.metrics } else { self.health };
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = get().map_err(|error| format!("{path}: {error}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.ok_or_else(|| format!("{path}: not HTTP: {answer}"))?, body.to_owned()))
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let stopped = process.terminate(STOP);
        if stopped.is_none() && !std::thread::panicking() {
            panic!("the controller did not stop within {} s", STOP.as_secs());
        }
    }
}
