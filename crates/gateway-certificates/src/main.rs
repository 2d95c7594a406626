//! The command line of gateway-certificates.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gateway_certificates::{render, run, settings};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Creates and keeps the cert-manager Certificates of annotated Istio Gateways.
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

/// Runs the controller until it is told to stop (SIGTERM or SIGINT).
#[derive(Debug, Args)]
struct RunArgs {
    /// How to reach the cluster; unless given, what KUBECONFIG names, or else the Pod's ServiceAccount
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The policy's settings, YAML or JSON
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Where metrics (/metrics) and health (/healthz, /readyz) are served; port 8080 of every address unless given
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The namespace of the Lease by which replicas agree on a leader; the Pod's own unless given
    #[arg(long, value_name = "NAMESPACE")]
    lease_namespace: Option<String>,
    /// The name of that Lease
    #[arg(long, value_name = "NAME", default_value = "gateway-certificates")]
    lease_name: String,
    /// Lead at once: for a single replica
    #[arg(long, conflicts_with_all = ["lease_namespace", "lease_name"])]
    no_leader_election: bool,
    /// Compare gateway_namespaces with the Pods that the Gateways select, and report where they differ
    #[arg(long)]
    watch_pods: bool,
    /// In a Gateway's own namespace, too, leave Secrets alone that cert-manager did not make
    #[arg(long)]
    check_own_secrets: bool,
    /// How many Gateways are worked on at once
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// How log lines are written
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

/// Prints the Certificates that would be made of the Istio Gateways in manifests, without a cluster.
///
/// Issuers are looked up in the same files: one without a status counts as Ready, one that is not there may be in the
/// cluster. Of two Gateways that claim one Secret, the one that stands first gets it. Manifests carry no uid, so
/// owner references are left out. What is refused goes to standard error.
///
/// Ends with 0 if every Gateway gets its Certificates, 1 if one is refused, 2 if something keeps them from being told.
#[derive(Debug, Args)]
struct RenderArgs {
    /// YAML and JSON files, folders (hidden ones are left out), or - for standard input
    #[arg(short, long = "filename", required = true, num_args = 1.., value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The policy's settings, YAML or JSON
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The namespace of objects that name none
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
    rendering.refusals.iter().for_each(|refusal| say("refused", refusal));
    let _ = std::io::stdout().write_all(rendering.certificates.as_bytes());
    if rendering.refusals.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn fail(error: &str, code: u8) -> ExitCode {
    error.lines().for_each(|line| say("error", line));
    ExitCode::from(code)
}

/// A reader that went away (`| head`) is no reason to complain.
fn say(what: &str, text: &str) {
    let _ = writeln!(std::io::stderr(), "{what}: {text}");
}

/// Ends with the first SIGTERM or SIGINT.
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

/// Writes log lines to standard error; RUST_LOG says how much.
fn log(format: LogFormat) {
    // What a request failed with is told with what it was for.
    const DEFAULT: &str = "info,kube_client::client::builder=off";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let is_terminal = std::io::stderr().is_terminal();
    match format {
        LogFormat::Json => lines.json().flatten_event(true).init(),
        LogFormat::Text => lines.with_ansi(is_terminal).init(),
    }
}
