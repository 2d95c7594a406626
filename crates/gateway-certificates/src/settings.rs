//! Reads the policy's settings.

use std::path::{Path, PathBuf};

use gateway_rules::Settings;
use gateway_rules::settings::fingerprint;
use serde_json::Value;

/// The reason why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or is not YAML.
    #[error("{}: {reason}", path.display())]
    File {
        /// The path of the file, as given.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The settings are not valid: all problems, one line each.
    #[error("{}", lines(path, problems))]
    Invalid {
        /// The path of the file, as given.
        path: PathBuf,
        /// The path of each setting, and its problem.
        problems: Vec<String>,
    },
}

fn lines(path: &Path, problems: &[String]) -> String {
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("{}: {problem}", path.display())).collect();
    lines.join("\n")
}

/// Reads the settings from a YAML or JSON file; if `None`, the defaults.
///
/// # Errors
/// [`Error::File`] if the file cannot be read, and [`Error::Invalid`] with all problems of the settings.
pub fn load(path: Option<&Path>) -> Result<Settings, Error> {
    let value = path.map_or(Ok(Value::Null), parse)?;
    let mut settings = Settings::read(&value)
        .map_err(|problems| Error::Invalid { path: path.unwrap_or(Path::new("")).to_owned(), problems })?;
    // The limit is for the policy, where lookups take time in a request. The controller uses its caches.
    settings.lookups.max = usize::MAX;
    Ok(settings)
}

/// The hash of the settings in that file; if `None`, of the defaults. It is equal to the policy's audit
/// annotation `settings` if both plan the same Certificates.
///
/// # Errors
/// [`Error::File`] if the file cannot be read.
pub fn hash(path: Option<&Path>) -> Result<String, Error> {
    Ok(fingerprint(&path.map_or(Ok(Value::Null), parse)?))
}

fn parse(path: &Path) -> Result<Value, Error> {
    manifests::read_value(path).map_err(|reason| Error::File { path: path.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{gateway, ready};
    use rstest::rstest;
    use serde_json::json;

    fn load_text(text: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.yaml");
        std::fs::write(&path, text).unwrap();
        load(Some(&path)).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[rstest]
    #[case::empty("")]
    #[case::a_comment("# nothing yet\n")]
    #[case::an_empty_object("{}")]
    fn empty_settings_are_valid(#[case] text: &str) {
        assert_eq!(load_text(text).unwrap(), load(None).unwrap());
    }

    #[test]
    fn every_certificate_is_looked_up() {
        assert_eq!(load_text("lookups: {max: 2}").unwrap().lookups.max, usize::MAX);
    }

    #[test]
    fn anchors_and_merges_are_resolved() {
        let text = "rules:\n  <<: &soft {issuer-not-ready: warn}\n  issuer-not-found: warn\n";
        assert_eq!(load_text(text).unwrap().levels.len(), 2);
    }

    #[test]
    fn all_problems_are_reported() {
        let error = load_text("role: bothh\nrules: {isuer-not-ready: warn}\n").unwrap_err();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), 2, "{error}");
        assert!(lines[0].starts_with("FILE: role: "), "{error}");
        assert!(lines[1].starts_with("FILE: rules.isuer-not-ready: "), "{error}");
    }

    /// The policy's audit annotation, for a request with these settings.
    fn audited(settings: &str) -> String {
        let settings: Value = yaml_serde::from_str(settings).unwrap();
        let request = json!({
            "kind": {"group": "networking.istio.io", "version": "v1", "kind": "Gateway"},
            "operation": "CREATE", "namespace": "team-a",
            "object": gateway("team-a", "shop").server("shop-tls", &["shop.example.com"]).build(),
        });
        let payload = json!({"settings": settings, "request": request}).to_string();
        let response = gateway_rules::decide(payload.as_bytes(), &ready("le"));
        let annotation = response.audit_annotations.into_iter().find(|(key, _)| *key == "settings");
        annotation.unwrap().1
    }

    #[test]
    fn the_hash_is_that_of_the_policys_audit_annotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.yaml");
        let central = "# central\ngateway_namespaces:\n  - {labels: {istio: ingressgateway}, namespace: istio-system}\n";
        for text in ["{}", central, "role: validate\n"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(hash(Some(&path)).unwrap(), audited(text), "{text}");
        }
        assert_eq!(hash(None).unwrap(), audited("{}"));
        std::fs::write(&path, central).unwrap();
        assert_ne!(hash(Some(&path)).unwrap(), hash(None).unwrap());
    }

    #[rstest]
    #[case::not_yaml("a: [", "FILE: ", "line 2 column 1")]
    #[case::duplicate_key("role: both\nrole: default\n", "FILE: ", "duplicate entry")]
    #[case::two_documents("role: both\n---\nrole: both\n", "FILE: ", "more than one document")]
    #[case::not_an_object("[1]", "FILE: ", "expected an object, found a list")]
    fn invalid_files_are_reported(#[case] text: &str, #[case] start: &str, #[case] reason: &str) {
        let error = load_text(text).unwrap_err();
        assert!(error.starts_with(start) && error.contains(reason), "{error}");
    }

    #[test]
    fn a_missing_file_is_reported() {
        let error = load(Some(Path::new("nowhere.yaml"))).unwrap_err().to_string();
        assert!(error.starts_with("nowhere.yaml: cannot be read: "), "{error}");
    }
}
