//! Kubernetes objects in YAML and JSON files.
//!
//! Folders are read in alphabetical order. Hidden files and folders are skipped, and links are followed once.
//! Lists (`kind: List` and typed ones) are split into their items. Documents without apiVersion and kind
//! (values.yaml and the like) are skipped, but a file that is named explicitly and holds nothing else is an
//! error.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use walkdir::{DirEntry, WalkDir};

/// More than any manifest that an API server accepts, and small enough to be read into memory.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// One object and its location.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The path of the file, as given or as found in a folder; `-` for standard input.
    pub path: PathBuf,
    /// The number of the document in the file, from 1.
    pub number: usize,
    /// The number of the item in a list, from 1; `None` if the document is not a list.
    pub item: Option<usize>,
    /// The object, which has apiVersion and kind.
    pub object: Value,
}

impl Document {
    /// `apiVersion`.
    #[must_use]
    pub fn api_version(&self) -> &str {
        self.object.get("apiVersion").and_then(Value::as_str).unwrap_or_default()
    }

    /// `kind`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.object.get("kind").and_then(Value::as_str).unwrap_or_default()
    }

    /// The location of the object, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        let item = self.item.map(|item| format!(", item {item}")).unwrap_or_default();
        format!("{}: document {}{item}", self.path.display(), self.number)
    }
}

/// Every error in the files, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadErrors(Vec<String>);

impl ReadErrors {
    /// Creates the error from lines that were found elsewhere.
    #[must_use]
    pub fn new(lines: Vec<String>) -> Self {
        Self(lines)
    }

    /// The lines, in the order of the files.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ReadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ReadErrors {}

/// Reads files and folders; `-` is standard input.
///
/// # Errors
/// [`ReadErrors`] with a line for each file that cannot be read or parsed.
pub fn read(paths: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<Vec<Document>, ReadErrors> {
    let mut documents = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        let path = path.as_ref();
        if path.is_dir() {
            for file in files_below(path, &mut errors) {
                collect(read_file(&file), &mut documents, &mut errors);
            }
        } else {
            let outcome = read_file(path).and_then(|found| match found.is_empty() {
                true => Err(format!(
                    "{}: no Kubernetes object: no document has apiVersion and kind",
                    path.display()
                )),
                false => Ok(found),
            });
            collect(outcome, &mut documents, &mut errors);
        }
    }
    if errors.is_empty() { Ok(documents) } else { Err(ReadErrors(errors)) }
}

/// Parses the text of one file. `path` determines the format (`.json`, else YAML) and appears in errors.
///
/// # Errors
/// The text cannot be parsed: one line with file, document, line and column.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Document>, String> {
    let values = if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        parse_json(text)
    } else {
        parse_yaml(text)
    };
    let values =
        values.map_err(|(number, reason)| format!("{}: document {number}: {reason}", path.display()))?;
    let documents = values.into_iter().enumerate().flat_map(|(index, value)| objects(path, index + 1, value));
    Ok(documents.collect())
}

/// Reads a YAML or JSON file that holds one value, such as settings. An empty file is null.
///
/// # Errors
/// The file cannot be read or parsed: the reason, without the name of the file.
pub fn read_value(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    // JSON is also YAML. Deserializing into YAML's own values detects duplicate keys.
    let value: yaml_serde::Value = yaml_serde::from_str(&text).map_err(|error| error.to_string())?;
    json_after_merge(value)
}

/// Sets the condition Ready on an issuer without a status, since manifests carry no status.
pub fn assume_ready(issuer: &mut Value) {
    let Some(object) = issuer.as_object_mut() else { return };
    let has_status = object.get("status").and_then(Value::as_object).is_some_and(|status| !status.is_empty());
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut).filter(|_| !has_status)
    else {
        return;
    };
    let generation = metadata.entry("generation").or_insert_with(|| Value::from(1)).clone();
    let ready = json!({
        "type": "Ready",
        "status": "True",
        "reason": "Assumed",
        "observedGeneration": generation,
    });
    object.insert("status".to_owned(), json!({"conditions": [ready]}));
}

fn collect(outcome: Result<Vec<Document>, String>, documents: &mut Vec<Document>, errors: &mut Vec<String>) {
    match outcome {
        Ok(found) => documents.extend(found),
        Err(error) => errors.push(error),
    }
}

fn files_below(folder: &Path, errors: &mut Vec<String>) -> Vec<PathBuf> {
    let visible =
        |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.');
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter().filter_entry(visible);
    let mut files = Vec::new();
    for entry in walk {
        match entry {
            Ok(entry) if entry.file_type().is_file() && is_manifest(entry.path()) => {
                files.push(entry.into_path())
            }
            Ok(_) => {}
            // The target folder of the link is already being read.
            Err(error) if error.loop_ancestor().is_some() => {}
            // A dangling link that does not look like a manifest.
            Err(error) if error.path().is_some_and(|path| path.is_symlink() && !is_manifest(path)) => {}
            Err(error) => errors.push(match (error.path(), error.io_error()) {
                (Some(path), Some(reason)) => format!("{}: cannot be read: {reason}", path.display()),
                _ => format!("{}: cannot be read: {error}", folder.display()),
            }),
        }
    }
    files
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    matches!(extension.as_deref(), Some("yaml" | "yml" | "json"))
}

fn read_file(path: &Path) -> Result<Vec<Document>, String> {
    let unreadable = |reason: String| format!("{}: cannot be read: {reason}", path.display());
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unreadable(format!("it is larger than {} MiB; split it", MAX_BYTES / 1024 / 1024)));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| unreadable(format!("not UTF-8 text (byte {})", error.utf8_error().valid_up_to())))?;
    parse(path, &text)
}

type Numbered<T> = Result<T, (usize, String)>;

fn parse_json(text: &str) -> Numbered<Vec<Value>> {
    let values = serde_json::Deserializer::from_str(text).into_iter();
    values.enumerate().map(|(index, value)| value.map_err(|error| (index + 1, error.to_string()))).collect()
}

fn parse_yaml(text: &str) -> Numbered<Vec<Value>> {
    let documents = yaml_serde::Deserializer::from_str(text);
    let hint = if text.contains("{{") { " (a Helm template? render it first: helm template)" } else { "" };
    let one = |document| {
        let value =
            yaml_serde::Value::deserialize(document).map_err(|error: yaml_serde::Error| error.to_string())?;
        json_after_merge(value)
    };
    let numbered = |(index, document)| one(document).map_err(|reason: String| (index + 1, reason + hint));
    documents.enumerate().map(numbered).collect()
}

fn json_after_merge(mut value: yaml_serde::Value) -> Result<Value, String> {
    value.apply_merge().map_err(|error: yaml_serde::Error| error.to_string())?;
    json_of(value)
}

/// Converts YAML to JSON as the API server's clients do (sigs.k8s.io/yaml): keys become strings.
fn json_of(value: yaml_serde::Value) -> Result<Value, String> {
    use yaml_serde::Value as Yaml;
    Ok(match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => Value::Bool(value),
        Yaml::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(value), _, _) => Value::from(value),
            (_, Some(value), _) => Value::from(value),
            (_, _, value) => value
                .and_then(serde_json::Number::from_f64)
                .map(Value::Number)
                .ok_or_else(|| format!("{number} is not a JSON number"))?,
        },
        Yaml::String(value) => Value::String(value),
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(json_of).collect::<Result<_, _>>()?),
        Yaml::Mapping(mapping) => {
            let mut map = Map::new();
            for (key, value) in mapping {
                let key = match key {
                    Yaml::String(key) => key,
                    Yaml::Number(key) => key.to_string(),
                    Yaml::Bool(key) => key.to_string(),
                    other => return Err(format!("{other:?} cannot be used as a key")),
                };
                map.insert(key, json_of(value)?);
            }
            Value::Object(map)
        }
        Yaml::Tagged(tagged) => return Err(format!("unsupported YAML tag {}", tagged.tag)),
    })
}

fn objects(path: &Path, number: usize, value: Value) -> Vec<Document> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else { return Vec::new() };
    let items = kind.strip_suffix("List").and_then(|of| Some((of, value.get("items")?.as_array()?)));
    let Some((of, items)) = items else {
        return vec![Document { path: path.to_owned(), number, item: None, object: value }];
    };
    let document = |(index, item): (usize, &Value)| {
        let mut object = item.clone();
        let map = object.as_object_mut()?;
        // The items of a typed list can omit apiVersion and kind.
        if !of.is_empty() {
            map.entry("apiVersion").or_insert_with(|| Value::from(api_version.as_str()));
            map.entry("kind").or_insert_with(|| Value::from(of));
        }
        let is_object = map.get("apiVersion").is_some_and(Value::is_string)
            && map.get("kind").is_some_and(Value::is_string);
        is_object.then(|| Document { path: path.to_owned(), number, item: Some(index + 1), object })
    };
    items.iter().enumerate().filter_map(document).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn names(text: &str) -> Result<Vec<String>, String> {
        let documents = parse(Path::new("a.yaml"), text)?;
        Ok(documents
            .iter()
            .map(|document| format!("{}/{}", document.api_version(), document.kind()))
            .collect())
    }

    #[rstest]
    #[case::several("apiVersion: v1\nkind: A\n---\napiVersion: v1\nkind: B\n", &["v1/A", "v1/B"])]
    #[case::empty_ones_between("---\n---\napiVersion: v1\nkind: A\n---\n# nothing\n---\n", &["v1/A"])]
    #[case::no_object("replicas: 3\n", &[])]
    #[case::a_list("apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A}\n- {kind: B}\n", &["v1/A"])]
    #[case::a_typed_list("apiVersion: x/v1\nkind: AList\nitems: [{}, {kind: B, apiVersion: y/v1}]\n", &["x/v1/A", "y/v1/B"])]
    #[case::a_kind_that_ends_with_list("apiVersion: v1\nkind: AllowList\nspec: {}\n", &["v1/AllowList"])]
    #[case::json_in_yaml("{\"apiVersion\": \"v1\", \"kind\": \"A\"}", &["v1/A"])]
    #[case::a_scalar("just text", &[])]
    #[case::empty("", &[])]
    fn documents_are_found(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(names(text).unwrap(), expected);
    }

    #[test]
    fn anchors_merges_and_odd_keys_become_json() {
        let text = "apiVersion: v1\nkind: A\nbase: &b {x: 1, y: -2}\nmerged:\n  <<: *b\n  y: 2.5\nkeys: {1: a, true: b}\n";
        let object = parse(Path::new("a.yaml"), text).unwrap().remove(0).object;
        assert_eq!(object["merged"], json!({"x": 1, "y": 2.5}));
        assert_eq!(object["keys"], json!({"1": "a", "true": "b"}));
    }

    #[rstest]
    #[case::second_document("kind: A\n---\na: [\n", "a.yaml: document 2: ", "line 4")]
    #[case::tab("a:\n\tb: 1\n", "a.yaml: document 1: ", "line 2")]
    #[case::twice_the_same_key("a: 1\na: 2\n", "document 1: ", "duplicate entry with key \"a\"")]
    #[case::template("a: {{ .Values.x }}\n", "document 1: ", "helm template")]
    #[case::tag("a: !secret x\n", "document 1: ", "unsupported YAML tag !secret")]
    #[case::not_a_number("a: .nan\n", "document 1: ", "is not a JSON number")]
    #[case::bomb(
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                  d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                  g: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n",
        "document 1: ",
        "repetition limit exceeded"
    )]
    fn errors_have_a_location(#[case] text: &str, #[case] place: &str, #[case] reason: &str) {
        let error = names(text).unwrap_err();
        assert!(error.contains(place) && error.contains(reason), "{error}");
    }

    #[rstest]
    #[case::no_status(json!({"metadata": {"name": "ca"}}), json!("Assumed"))]
    #[case::an_empty_one(json!({"metadata": {"name": "ca"}, "status": {}}), json!("Assumed"))]
    #[case::its_own(json!({"metadata": {"name": "ca"}, "status": {"conditions": [{"reason": "Down"}]}}), json!("Down"))]
    #[case::no_object(json!("ca"), Value::Null)]
    #[case::no_metadata(json!({"kind": "Issuer"}), Value::Null)]
    fn an_issuer_without_status_is_ready(#[case] mut issuer: Value, #[case] reason: Value) {
        assume_ready(&mut issuer);
        assert_eq!(issuer.pointer("/status/conditions/0/reason").cloned().unwrap_or_default(), reason);
    }

    #[test]
    fn json_errors_have_lines() {
        let error = parse(Path::new("a.json"), "{\n  \"a\": }\n").unwrap_err();
        assert_eq!(error, "a.json: document 1: expected value at line 2 column 8");
    }

    #[test]
    fn folders_are_read_in_order_and_all_errors_are_reported() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("b.yaml", "apiVersion: v1\nkind: B\n");
        write("a/z.yml", "apiVersion: v1\nkind: Z\n");
        write("a.json", "{\"apiVersion\": \"v1\", \"kind\": \"A\"}");
        write("values.yaml", "x: 1\n");
        write("notes.txt", "{{");
        write(".git/c.yaml", "{{");
        #[cfg(unix)]
        for (to, name) in [(folder.path(), "loop"), (Path::new("/nowhere"), "dangling.txt")] {
            std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
        }
        let kinds = |documents: Vec<Document>| {
            documents.iter().map(|document| document.kind().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(kinds(read([folder.path()]).unwrap()), ["Z", "A", "B"]);

        write("c.yaml", "a: [\n");
        std::fs::write(folder.path().join("d.yaml"), [0xff, 0xfe]).unwrap();
        let missing = folder.path().join("missing.yaml");
        let values = folder.path().join("values.yaml");
        let errors = read([folder.path(), &missing, &values]).unwrap_err();
        let found: Vec<bool> = [
            "c.yaml: document 1",
            "d.yaml: cannot be read: not UTF-8",
            "missing.yaml: cannot be read",
            "values.yaml: no Kubernetes object",
        ]
        .iter()
        .zip(errors.lines())
        .map(|(expected, line)| line.contains(expected))
        .collect();
        assert_eq!(found, [true; 4], "{errors}");
        assert_eq!(errors.lines().len(), 4);
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_rejected(text in ".{0,200}") {
            let _ = parse(Path::new("a.yaml"), &text);
            let _ = parse(Path::new("a.json"), &text);
        }
    }
}
