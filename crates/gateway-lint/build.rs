//! Builds the policy's module, which the library embeds.
//!
//! The module has a separate build in its own target folder, because its target and profile are different,
//! and because Cargo unifies features within one build.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const TARGET: &str = "wasm32-wasip1";

fn main() {
    // Read at run time: if two checkouts share a target folder, this script can be the other's.
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../..");
    for path in [
        "Cargo.lock",
        "Cargo.toml",
        "metadata.yml",
        "rust-toolchain.toml",
        "src",
        "crates/certificate-shim/Cargo.toml",
        "crates/certificate-shim/src",
        "crates/gateway-rules/Cargo.toml",
        "crates/gateway-rules/src",
        "crates/json-prune/Cargo.toml",
        "crates/json-prune/src",
        "crates/gateway-lint/build.rs",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    if let Err(reason) = build(&root) {
        println!("cargo::error={reason}");
        // Cargo shows the output of a build script only if it fails.
        std::process::exit(1);
    }
}

fn build(root: &Path) -> Result<(), String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let libraries = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    let libraries = libraries.map_err(|error| format!("rustc cannot be started: {error}"))?;
    if !Path::new(String::from_utf8_lossy(&libraries.stdout).trim()).is_dir() {
        return Err(format!("the policy's module needs the target {TARGET}: rustup target add {TARGET}"));
    }

    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    // <target>/<profile>/build/<package>/out
    let target = out.ancestors().nth(4).ok_or("OUT_DIR is not one of Cargo's folders")?.join("policy-module");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["build", "--package", "gateway-issuer-policy", "--profile", "policy"]);
    cargo.args(["--target", TARGET, "--target-dir"]).arg(&target);
    for (name, _) in env::vars_os() {
        if belongs_to_the_outer_build(&name.to_string_lossy()) {
            cargo.env_remove(name);
        }
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags()?);
    let output = cargo.output().map_err(|error| format!("cargo cannot be started: {error}"))?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        return Err("the policy's module does not build; see Cargo's output below".to_owned());
    }
    let module = target.join(TARGET).join("policy/gateway_issuer_policy.wasm");
    fs::copy(&module, out.join("policy.wasm"))
        .map(drop)
        .map_err(|error| format!("{}: cannot be copied: {error}", module.display()))
}

/// Rustc flags that remove local paths from the module, as `make policy.wasm` does, so that builds are
/// reproducible.
fn flags() -> Result<String, String> {
    let cargo_home = match env::var_os("CARGO_HOME") {
        Some(cargo_home) => PathBuf::from(cargo_home),
        None => {
            PathBuf::from(env::var_os("HOME").ok_or("neither CARGO_HOME nor HOME is set")?).join(".cargo")
        }
    };
    Ok(format!("--remap-path-prefix={}=registry", cargo_home.join("registry/src").display()))
}

/// Whether a variable holds flags, wrappers or targets for native code.
fn belongs_to_the_outer_build(name: &str) -> bool {
    name.ends_with("RUSTFLAGS")
        || name.starts_with("CARGO_BUILD_")
        || name.starts_with("CARGO_PROFILE_")
        || name.starts_with("CARGO_UNSTABLE_")
        || matches!(name, "CARGO_TARGET_DIR" | "RUSTC_WORKSPACE_WRAPPER" | "RUSTC_WRAPPER" | "CLIPPY_ARGS")
}
