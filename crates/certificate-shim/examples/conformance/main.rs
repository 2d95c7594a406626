//! Compares this crate with a corpus of Gateways and the recorded results of cert-manager's own code.
//!
//! `cargo run --release -p certificate-shim --example conformance -- FILE.jsonl` prints a line for
//! every difference and at the end `N passed, M failed`; the exit code is 1 if there is any difference.
//! With `--dump` it prints this crate's result for each case instead, one JSON object per line.

mod corpus;
mod event;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut dump = false;
    let mut files = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--dump" => dump = true,
            option if option.starts_with('-') => return usage(&format!("unknown option {option}")),
            file => files.push(file.to_owned()),
        }
    }
    let [file] = files.as_slice() else { return usage("one file is needed") };
    match run(file, dump) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{file}: {error}");
            ExitCode::from(2)
        }
    }
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("{problem}\nusage: conformance [--dump] FILE.jsonl");
    ExitCode::from(2)
}

/// Prints the dump or the differences. Returns whether there were no differences.
fn run(file: &str, dump: bool) -> Result<bool, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(file)?;
    let cases = corpus::read(&text)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut passed, mut failed) = (0, 0);
    for case in &cases {
        let differences = match corpus::outcome(case) {
            Err(malformed) => vec![malformed.to_string()],
            Ok(outcome) if dump => {
                writeln!(out, "{}", outcome.to_json(&case.id))?;
                continue;
            }
            Ok(outcome) => corpus::differences(case, &outcome),
        };
        for difference in &differences {
            writeln!(out, "{}: {difference}", case.id)?;
        }
        if differences.is_empty() { passed += 1 } else { failed += 1 }
    }
    if !dump {
        writeln!(out, "{passed} passed, {failed} failed")?;
    }
    out.flush()?;
    Ok(failed == 0)
}
