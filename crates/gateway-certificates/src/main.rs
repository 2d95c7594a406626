//! The command line of gateway-certificates.

use std::future::Future;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use certificate_shim::plan::SecretName;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use gateway_certificates::check::{self, Finding};
use gateway_certificates::serve::BindAddress;
use gateway_certificates::{adopt, render, run, settings};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Creates and maintains the cert-manager Certificates of annotated Istio Gateways.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(RunArgs),
    Check(CheckArgs),
    Render(RenderArgs),
    Adopt(AdoptArgs),
}

/// The options that `run` and `check` share.
#[derive(Debug, Args)]
struct ClusterArgs {
    /// Kubeconfig of the cluster; default: the environment variable KUBECONFIG, or the Pod's ServiceAccount
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The policy's settings, YAML or JSON
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Elect a leader among replicas. With false, this replica leads at once: for a single replica
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_elect: bool,
    /// Namespace of the Lease for leader election; default: the namespace of the Pod
    #[arg(long, value_name = "NAMESPACE")]
    leader_election_namespace: Option<String>,
    /// Name of the Lease for leader election
    #[arg(long, value_name = "NAME", default_value = "gateway-certificates")]
    leader_election_id: String,
    /// Compare gateway_namespaces with the Pods that Gateways select, and report differences
    #[arg(long)]
    watch_pods: bool,
    /// Also in a Gateway's own namespace, do not overwrite Secrets that cert-manager did not write
    #[arg(long)]
    check_own_secrets: bool,
    /// Show the state of the Certificates in the status of their Gateway
    #[arg(long)]
    gateway_status: bool,
    /// Which writes are made
    #[arg(long, value_enum, default_value_t = Policy::Sync)]
    policy: Policy,
}

impl ClusterArgs {
    fn election(&self) -> Option<run::Election> {
        self.leader_elect.then(|| run::Election {
            namespace: self.leader_election_namespace.clone(),
            name: self.leader_election_id.clone(),
        })
    }
}

/// Runs the controller until SIGTERM or SIGINT.
#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Address for /metrics: :PORT, IP:PORT, or 0 for none
    #[arg(long, value_name = "ADDRESS", default_value = ":8080")]
    metrics_bind_address: BindAddress,
    /// Address for /healthz and /readyz: :PORT, IP:PORT, or 0 for none
    #[arg(long, value_name = "ADDRESS", default_value = ":8081")]
    health_probe_bind_address: BindAddress,
    /// Number of Gateways that are reconciled in parallel
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    max_concurrent_reconciles: u16,
    /// Number of Gateways that may lose a Certificate within 10 minutes though they exist; default: a tenth, but at
    /// least 5
    #[arg(long, value_name = "COUNT")]
    max_deletions: Option<usize>,
    /// Write nothing: decisions are only logged and counted. No Lease is needed
    #[arg(long)]
    dry_run: bool,
    /// Least severe level that is logged
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    log_level: LogLevel,
    /// Format of log lines
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
}

/// Checks what would stop the controller in a cluster, before it is deployed there.
///
/// It reads the settings, and asks the cluster whether the kinds are served, the namespaces exist, and the rights are
/// granted that the controller needs with these settings and flags. Nothing is changed. It takes the flags of `run`
/// that these depend on.
///
/// Exit code: 0 if nothing would stop it, 1 if there is a problem, 2 if the checks cannot be made.
#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Check the rights of this user, for example
    /// system:serviceaccount:gateway-certificates:gateway-certificates; default: the user of the kubeconfig
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Policy {
    /// Create, change and delete Certificates
    Sync,
    /// Create and change Certificates, but delete none
    UpsertOnly,
}

impl From<Policy> for run::Policy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Sync => run::Policy::Sync,
            Policy::UpsertOnly => run::Policy::UpsertOnly,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

/// Prints the Certificates of the Istio Gateways in manifests, without a cluster.
///
/// Issuers are looked up in the same files. One without a status counts as Ready. One that is not in the
/// files can exist in the cluster. If two Gateways name one Secret, the first one in the files gets it.
/// Manifests carry no uid, so owner references are omitted. Rejected Certificates are reported on standard
/// error.
///
/// Exit code: 0 if every Gateway gets its Certificates, 1 if one is rejected, 2 if files or settings cannot
/// be read.
#[derive(Debug, Args)]
struct RenderArgs {
    /// YAML and JSON files, folders (hidden ones are skipped), or - for standard input
    #[arg(short, long = "filename", required = true, num_args = 1.., value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The policy's settings, YAML or JSON
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Namespace of objects that do not specify one
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

/// Hands existing Certificates over to the controller.
///
/// Finds, for each Istio Gateway, the Certificates that write the Secrets of its servers. Prints the
/// annotations that make the same Certificates, every field that would differ, and whether cert-manager
/// would issue them again. Reads files, or a cluster without --filename. Changes nothing without --write.
///
/// Exit code: 0 if nothing is left to do by hand, 1 if a Gateway is left alone or a change is not written,
/// 2 if something cannot be read or a write fails.
#[derive(Debug, Args)]
struct AdoptArgs {
    /// YAML and JSON files, folders (hidden ones are skipped), or - for standard input, instead of a cluster
    #[arg(short, long = "filename", num_args = 1.., value_name = "FILE", conflicts_with_all = ["kubeconfig", "context", "write", "allow"])]
    files: Vec<PathBuf>,
    /// Namespace of objects in files that do not specify one
    #[arg(short, long, default_value = "default", requires = "files")]
    namespace: String,
    /// The policy's settings, YAML or JSON
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Kubeconfig of the cluster; default: the environment variable KUBECONFIG, ~/.kube/config, or the Pod's ServiceAccount
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Only these Gateways; can be repeated
    #[arg(long = "gateway", value_name = "NAMESPACE/NAME", value_parser = gateway_name)]
    gateways: Vec<SecretName>,
    /// Write the changes, except to objects that Argo CD, Flux or Helm deploys
    #[arg(long)]
    write: bool,
    /// Effects to accept when writing; can be repeated
    #[arg(long, value_enum, value_name = "EFFECT", requires = "write")]
    allow: Vec<adopt::Effect>,
}

fn gateway_name(text: &str) -> Result<SecretName, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok(SecretName { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        _ => Err("expected NAMESPACE/NAME".to_owned()),
    }
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Adopt(args) => adopt_command(&args),
        Command::Run(args) => run_command(args),
        Command::Check(args) => check_command(args),
        Command::Render(args) => render_command(&args),
    }
}

fn run_command(args: RunArgs) -> ExitCode {
    log(args.log_level, args.log_format);
    let options = run::Options {
        election: args.cluster.election(),
        kubeconfig: args.cluster.kubeconfig,
        settings: args.cluster.settings,
        metrics: args.metrics_bind_address,
        health: args.health_probe_bind_address,
        watch_pods: args.cluster.watch_pods,
        check_own_secrets: args.cluster.check_own_secrets,
        max_concurrent_reconciles: args.max_concurrent_reconciles,
        policy: args.cluster.policy.into(),
        dry_run: args.dry_run,
        max_deletions: args.max_deletions,
        gateway_status: args.cluster.gateway_status,
    };
    let outcome = within_runtime(async {
        let signals = signals().map_err(|error| error.to_string())?;
        run::run(options, signals).await.map_err(|error| error.to_string())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

fn check_command(args: CheckArgs) -> ExitCode {
    let options = check::Options {
        election: args.cluster.election(),
        kubeconfig: args.cluster.kubeconfig,
        settings: args.cluster.settings,
        watch_pods: args.cluster.watch_pods,
        check_own_secrets: args.cluster.check_own_secrets,
        gateway_status: args.cluster.gateway_status,
        policy: args.cluster.policy.into(),
        user: args.user,
    };
    let findings = within_runtime(async { check::check(&options).await.map_err(|error| error.to_string()) });
    let findings = match findings {
        Ok(findings) => findings,
        Err(error) => return fail(&error, 2),
    };
    for finding in &findings {
        let _ = writeln!(std::io::stdout(), "{finding}");
    }
    let has_problem = findings.iter().any(|finding| matches!(finding, Finding::Problem(_)));
    if has_problem { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

/// Runs a future to its end. Tasks that it has started do not delay the return.
fn within_runtime<T>(future: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let outcome = runtime.block_on(future);
    runtime.shutdown_background();
    outcome
}

fn render_command(args: &RenderArgs) -> ExitCode {
    let settings = match settings::load(args.settings.as_deref()) {
        Ok(settings) => settings,
        Err(error) => return fail(&error.to_string(), 2),
    };
    let rendering = match render::render(&args.files, &settings, &args.namespace) {
        Ok(rendering) => rendering,
        Err(error) => return fail(&error.to_string(), 2),
    };
    rendering.notes.iter().for_each(|note| say("note", note));
    rendering.violations.iter().for_each(|violation| say("rejected", violation));
    let _ = std::io::stdout().write_all(rendering.certificates.as_bytes());
    if rendering.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn adopt_command(args: &AdoptArgs) -> ExitCode {
    let settings = match settings::load(args.settings.as_deref()) {
        Ok(settings) => settings,
        Err(error) => return fail(&error.to_string(), 2),
    };
    let scope = adopt::Scope { settings: &settings, only: &args.gateways };
    let report = if args.files.is_empty() {
        let run = async {
            let client = adopt::cluster::connect(args.kubeconfig.as_ref(), args.context.as_deref()).await?;
            let allowed = args.write.then_some(args.allow.as_slice());
            adopt::in_cluster(&client, &scope, allowed).await
        };
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return fail(&error.to_string(), 2),
        };
        runtime.block_on(run).map_err(|error| error.to_string())
    } else {
        adopt::in_files(&args.files, &args.namespace, &scope).map_err(|error| error.to_string())
    };
    let report = match report {
        Ok(report) => report,
        Err(error) => return fail(&error, 2),
    };
    report.notes.iter().for_each(|note| say("note", note));
    report.errors.iter().for_each(|error| say("error", error));
    let _ = std::io::stdout().write_all(report.text.as_bytes());
    match (report.errors.is_empty(), report.is_complete) {
        (false, _) => ExitCode::from(2),
        (true, false) => ExitCode::from(1),
        (true, true) => ExitCode::SUCCESS,
    }
}

fn fail(error: &str, code: u8) -> ExitCode {
    error.lines().for_each(|line| say("error", line));
    ExitCode::from(code)
}

/// Prints to standard error and ignores a closed pipe (`| head`).
fn say(prefix: &str, text: &str) {
    let _ = writeln!(std::io::stderr(), "{prefix}: {text}");
}

/// A function that waits for the next SIGTERM or SIGINT.
fn signals() -> std::io::Result<impl AsyncFnMut()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Writes log lines to standard error, panics too.
fn log(level: LogLevel, format: LogFormat) {
    // Failed requests are logged together with their purpose elsewhere.
    let directives = format!("{},kube_client::client::builder=off", level.as_str());
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let is_terminal = std::io::stderr().is_terminal();
    match format {
        LogFormat::Json => lines.json().flatten_event(true).init(),
        LogFormat::Text => lines.with_ansi(is_terminal).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(%panic, %backtrace, "panic");
    }));
}
