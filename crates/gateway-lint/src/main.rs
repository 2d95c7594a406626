//! The command line of gateway-lint.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gateway_lint::run::{ClusterSource, Outcome};
use gateway_lint::{Error, Options, Policy, check, run, settings, table};
use serde_json::Value;

/// Checks cert-manager's annotations on Istio and Gateway API Gateways with the same policy as in the
/// cluster.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(CheckArgs),
    Run(RunArgs),
}

/// Checks every Gateway in manifests as if it were created. The other objects in the files are the cluster.
///
/// Manifests carry no status, so an issuer without one counts as Ready. An issuer that is not in the files is
/// a warning, because it can exist in the cluster.
///
/// Exit code: 0 if every Gateway is accepted, 1 if one is rejected, 2 if the check could not run.
#[derive(Debug, Args)]
struct CheckArgs {
    /// YAML and JSON files, folders (hidden ones are skipped), or - for standard input
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Settings of the policy, YAML or JSON
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Policy module to use instead of the built-in one; metadata.yml must be next to it
    #[arg(long, value_name = "FILE.wasm")]
    policy: Option<PathBuf>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Reject Gateways if their issuer is missing or has no status
    #[arg(long)]
    strict: bool,
    /// Namespace of objects that do not specify one
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Evaluates one recorded request like kwctl run and prints the response as JSON.
///
/// Exit code: 0 if the request was accepted or rejected, 1 if it could not be evaluated.
#[derive(Debug, Args)]
struct RunArgs {
    /// The policy's module (with metadata.yml next to it), or `embedded` for the built-in one
    #[arg(value_name = "POLICY.wasm")]
    policy: String,
    /// An AdmissionReview, or its request, as JSON; - for standard input
    #[arg(short, long, value_name = "PATH")]
    request_path: PathBuf,
    /// Settings of the policy, YAML or JSON
    #[arg(short, long, value_name = "PATH", conflicts_with = "settings_json")]
    settings_path: Option<PathBuf>,
    /// Settings of the policy, as JSON
    #[arg(long, value_name = "JSON")]
    settings_json: Option<String>,
    /// Allow the policy to read the kinds in its metadata
    #[arg(long)]
    allow_context_aware: bool,
    /// Host capabilities that the policy may use
    #[arg(long, value_name = "PATTERN", num_args = 0.., default_values = ["*"])]
    allowed_host_capabilities: Vec<String>,
    /// Answer lookups from a recording of kwctl
    #[arg(long, value_name = "FILE", conflicts_with = "cluster")]
    replay_host_capabilities_interactions: Option<PathBuf>,
    /// Answer lookups from a folder of manifests
    #[arg(long, value_name = "DIR")]
    cluster: Option<PathBuf>,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Check(args) => match check_command(args) {
            Ok(code) => code,
            Err(error) => fail(&error, 2),
        },
        Command::Run(args) => match run_command(args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, 1),
        },
    }
}

fn check_command(args: CheckArgs) -> Result<ExitCode, Error> {
    let settings = args.settings.as_deref().map_or(Ok(Value::Null), settings::load)?;
    let policy = args.policy.as_deref().map_or_else(Policy::embedded, Policy::load)?;
    let options = Options { settings, namespace: args.namespace, strict: args.strict };
    let report = check(policy, &args.paths, &options)?;
    match args.output {
        Output::Table => {
            for note in &report.notes {
                say("note", note);
            }
            let width =
                terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
            print(&table::render(&report, width));
        }
        Output::Json => {
            let json = serde_json::to_string_pretty(&report).expect("a report has only strings and numbers");
            print(&format!("{json}\n"));
        }
    }
    Ok(if report.summary.rejected == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn run_command(args: RunArgs) -> Result<(), Error> {
    let policy = match args.policy.as_str() {
        "embedded" => Policy::embedded()?,
        path => Policy::load(path.strip_prefix("file://").unwrap_or(path).as_ref())?,
    };
    let settings = match (&args.settings_path, &args.settings_json) {
        (Some(path), _) => settings::load(path)?,
        (None, Some(json)) => serde_json::from_str(json)
            .map_err(|error| Error::File { path: "--settings-json".to_owned(), reason: error.to_string() })?,
        (None, None) => Value::Null,
    };
    let cluster = match (args.replay_host_capabilities_interactions, args.cluster) {
        (Some(path), _) => ClusterSource::Replay(path),
        (None, Some(path)) => ClusterSource::Manifests(path),
        (None, None) => ClusterSource::None,
    };
    let options = run::Options {
        request: args.request_path,
        settings,
        allow_context_aware: args.allow_context_aware,
        allowed_host_capabilities: args.allowed_host_capabilities,
        cluster,
    };
    let Outcome { response, warnings } = run::run(policy, &options)?;
    for warning in &warnings {
        say("warning", warning);
    }
    let json = serde_json::to_string(&response).expect("a response has only strings and numbers");
    print(&format!("{json}\n"));
    Ok(())
}

/// Prints to standard output and ignores a closed pipe (`| head`).
fn print(text: &str) {
    let _ = anstream::stdout().write_all(text.as_bytes());
}

fn say(prefix: &str, text: &str) {
    let _ = writeln!(anstream::stderr(), "{prefix}: {text}");
}

fn fail(error: &Error, code: u8) -> ExitCode {
    for line in error.to_string().lines() {
        say("error", line);
    }
    ExitCode::from(code)
}
