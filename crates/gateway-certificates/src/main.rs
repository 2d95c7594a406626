//! The command line of gateway-certificates.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// How to reach the cluster; in a Pod its ServiceAccount unless given
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The policy's settings, YAML or JSON
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Where metrics (/metrics) and health (/healthz, /readyz) are served
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080")]
    listen: SocketAddr,
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
/// Issuers are looked up in the same files. What is refused goes to standard error.
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
    let Cli { command: Command::Run(_) | Command::Render(_) } = Cli::parse();
    ExitCode::from(2)
}
