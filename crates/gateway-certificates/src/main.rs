//! The command line of gateway-certificates.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gateway_certificates::{render, run, settings};
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
    Render(RenderArgs),
}

/// Runs the controller until SIGTERM or SIGINT.
#[derive(Debug, Args)]
struct RunArgs {
    /// Kubeconfig of the cluster; default: the environment variable KUBECONFIG, or the Pod's ServiceAccount
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The policy's settings, YAML or JSON
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Address for metrics (/metrics) and health (/healthz, /readyz); default: port 8080 of every address
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Namespace of the Lease for leader election; default: the namespace of the Pod
    #[arg(long, value_name = "NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of the Lease
    #[arg(long, value_name = "NAME", default_value = "gateway-certificates")]
    lease_name: String,
    /// Lead at once, without an election: for a single replica
    #[arg(long, conflicts_with_all = ["lease_namespace", "lease_name"])]
    no_leader_election: bool,
    /// Compare gateway_namespaces with the Pods that Gateways select, and report differences
    #[arg(long)]
    watch_pods: bool,
    /// Also in a Gateway's own namespace, do not overwrite Secrets that cert-manager did not write
    #[arg(long)]
    check_own_secrets: bool,
    /// Show the state of the Certificates in the status of their Gateway
    #[arg(long)]
    gateway_status: bool,
    /// Number of Gateways that are reconciled in parallel
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// Format of log lines; RUST_LOG sets the level
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
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

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run_command(args),
        Command::Render(args) => render_command(&args),
    }
}

fn run_command(args: RunArgs) -> ExitCode {
    log(args.log_format);
    let options = run::Options {
        kubeconfig: args.kubeconfig,
        settings: args.settings,
        listen: args.listen,
        election: (!args.no_leader_election)
            .then_some(run::Election { namespace: args.lease_namespace, name: args.lease_name }),
        watch_pods: args.watch_pods,
        check_own_secrets: args.check_own_secrets,
        gateway_status: args.gateway_status,
        concurrency: args.concurrency,
    };
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            runtime.block_on(async {
                let stop = stop_signal().map_err(|error| error.to_string())?;
                run::run(options, stop).await.map_err(|error| error.to_string())
            })
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
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

fn fail(error: &str, code: u8) -> ExitCode {
    error.lines().for_each(|line| say("error", line));
    ExitCode::from(code)
}

/// Prints to standard error and ignores a closed pipe (`| head`).
fn say(prefix: &str, text: &str) {
    let _ = writeln!(std::io::stderr(), "{prefix}: {text}");
}

/// A future that ends with the first SIGTERM or SIGINT.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Writes log lines to standard error; RUST_LOG sets the level.
fn log(format: LogFormat) {
    // Failed requests are logged together with their purpose elsewhere.
    const DEFAULT: &str = "info,kube_client::client::builder=off";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let is_terminal = std::io::stderr().is_terminal();
    match format {
        LogFormat::Json => lines.json().flatten_event(true).init(),
        LogFormat::Text => lines.with_ansi(is_terminal).init(),
    }
}
