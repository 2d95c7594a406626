//! The command line of gateway-lint.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gateway_lint::run::{ClusterSource, Outcome};
use gateway_lint::{Error, Options, Policy, check, run, settings, table};
use serde_json::Value;

/// Judges cert-manager's annotations on Istio and Gateway API Gateways, with the policy that judges them in the cluster.
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

/// Judges every Gateway in manifests as if it were created, with the other objects in them as the cluster.
///
/// Manifests carry no status, so an issuer without one counts as Ready, and an issuer that is not in the files is a
/// warning: it may be in the cluster.
///
/// Ends with 0 if every Gateway is accepted, 1 if one is refused, 2 if something keeps a verdict from being reached.
#[derive(Debug, Args)]
struct CheckArgs {
    /// YAML and JSON files, folders (hidden ones are left out), or - for standard input
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Settings of the policy, YAML or JSON
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Another policy than the built-in one; its metadata.yml has to lie beside it
    #[arg(long, value_name = "FILE.wasm")]
    policy: Option<PathBuf>,
    /// How to print the verdicts
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Refuse where an issuer is missing or has no status
    #[arg(long)]
    strict: bool,
    /// The namespace of objects that name none
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Evaluates one recorded request like kwctl run, with the response as JSON on standard output.
///
/// Ends with 0 whatever the verdict is, 1 if none could be reached.
#[derive(Debug, Args)]
struct RunArgs {
    /// The policy's module (metadata.yml beside it), or the word embedded for the built-in one
    #[arg(value_name = "POLICY.wasm")]
    policy: String,
    /// An AdmissionReview, or its request, as JSON; - for standard input
    #[arg(short, long, value_name = "PATH")]
    request_path: PathBuf,
    /// Settings of the policy, YAML or JSON
    #[arg(short, long, value_name = "PATH", conflicts_with = "settings_json")]
    settings_path: Option<PathBuf>,
    /// Settings of the policy
    #[arg(long, value_name = "JSON")]
    settings_json: Option<String>,
    /// Let the policy read the kinds that its metadata lists
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
            let json = serde_json::to_string_pretty(&report).expect("a report is strings and numbers");
            print(&format!("{json}\n"));
        }
    }
    Ok(if report.summary.refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
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
    let json = serde_json::to_string(&response).expect("a response is strings and numbers");
    print(&format!("{json}\n"));
    Ok(())
}

/// A reader that went away (`| head`) is no reason to complain.
fn print(text: &str) {
    let _ = anstream::stdout().write_all(text.as_bytes());
}

fn say(what: &str, text: &str) {
    let _ = writeln!(anstream::stderr(), "{what}: {text}");
}

fn fail(error: &Error, code: u8) -> ExitCode {
    for line in error.to_string().lines() {
        say("error", line);
    }
    ExitCode::from(code)
}
