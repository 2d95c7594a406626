//! Reads JSON objects leniently: unknown fields are ignored, null counts as absent, and a field of the
//! wrong type is reported with its path, but without its content.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::fault::SHOWN;
use crate::value::quote::{quoted, shortened};

/// A field has the wrong type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The path from the root: `spec.servers[0].hosts`. Empty for the object itself.
    pub path: String,
    /// The expected type: `a list`.
    pub expected: &'static str,
    /// The actual type: `a string`.
    pub found: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the object" } else { &self.path };
        write!(f, "{path}: expected {}, found {}", self.expected, self.found)
    }
}

impl std::error::Error for Malformed {}

/// A path that is converted to text only for an error.
#[derive(Clone, Copy)]
enum Path<'p> {
    Root,
    Field(&'p Path<'p>, &'p str),
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Field(Path::Root, name) => f.write_str(name),
            Path::Field(parent, name) => write!(f, "{parent}.{name}"),
            Path::Key(parent, key) => write!(f, "{parent}[{}]", shown_key(key)),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A place in a JSON object: its path and its value, if any.
#[derive(Clone, Copy)]
pub struct Node<'a, 'p> {
    value: Option<&'a Value>,
    path: Path<'p>,
}

impl<'a, 'p> Node<'a, 'p> {
    /// The object itself.
    pub fn root(value: &'a Value) -> Self {
        Node { value: present(Some(value)), path: Path::Root }
    }

    /// Whether there is a value other than null.
    pub fn is_present(&self) -> bool {
        self.value.is_some()
    }

    /// The field of that name. Fails if this is not an object.
    pub fn field<'q>(&'q self, name: &'q str) -> Result<Node<'a, 'q>, Malformed> {
        let value = match self.value {
            None => None,
            Some(Value::Object(fields)) => present(fields.get(name)),
            Some(other) => return Err(self.malformed("an object", other)),
        };
        Ok(Node { value, path: Path::Field(&self.path, name) })
    }

    /// The text in the field of that name. Fails if this is not an object.
    // Called in so many places that not inlining it saves several KiB of the module.
    #[inline(never)]
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, Malformed> {
        self.field(name)?.string()
    }

    /// The value as text.
    pub fn string(&self) -> Result<Option<&'a str>, Malformed> {
        match self.value {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.malformed("a string", other)),
        }
    }

    /// The value as boolean.
    pub fn boolean(&self) -> Result<Option<bool>, Malformed> {
        match self.value {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(self.malformed("true or false", other)),
        }
    }

    /// The value as integer.
    pub fn integer(&self) -> Result<Option<i64>, Malformed> {
        match self.value {
            None => Ok(None),
            Some(Value::Number(number)) if number.as_i64().is_some() => Ok(number.as_i64()),
            Some(other) => Err(self.malformed("a whole number", other)),
        }
    }

    /// The value as list, with each item read by `item`; empty if absent.
    pub fn list<T>(
        &self,
        mut item: impl FnMut(Node<'a, '_>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        match self.value {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => {
                let mut list = Vec::with_capacity(values.len());
                for (index, value) in values.iter().enumerate() {
                    let path = Path::Index(&self.path, index);
                    list.push(item(Node { value: present(Some(value)), path })?);
                }
                Ok(list)
            }
            Some(other) => Err(self.malformed("a list", other)),
        }
    }

    /// The value as list of texts; empty if absent. A null in the list is an empty text.
    pub fn strings(&self) -> Result<Vec<&'a str>, Malformed> {
        self.list(|item| Ok(item.string()?.unwrap_or_default()))
    }

    /// The value as map from text to text (labels, annotations); empty if absent. A null value is an
    /// empty text, as in Go's decoder.
    pub fn string_map(&self) -> Result<BTreeMap<&'a str, &'a str>, Malformed> {
        match self.value {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(fields)) => {
                let mut map = BTreeMap::new();
                for (key, value) in fields {
                    let node = Node { value: present(Some(value)), path: Path::Key(&self.path, key) };
                    map.insert(key.as_str(), node.string()?.unwrap_or_default());
                }
                Ok(map)
            }
            Some(other) => Err(self.malformed("an object", other)),
        }
    }

    /// The names of the fields; empty if this is not an object.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let fields = self.value.and_then(Value::as_object);
        fields.into_iter().flat_map(|fields| fields.keys()).map(String::as_str)
    }

    fn malformed(&self, expected: &'static str, found: &Value) -> Malformed {
        Malformed { path: self.path.to_string(), expected, found: type_name(found) }
    }
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

/// A key of a map for messages: unchanged if it is valid in an object, otherwise quoted and shortened,
/// so that control characters do not reach a terminal.
pub fn shown_key(key: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    if key.len() <= KEY_MAX && key.bytes().all(is_plain) {
        key.into()
    } else {
        quoted(&shortened(key, SHOWN)).into()
    }
}

/// The maximum length of a key, in bytes: a subdomain, a slash and a name.
const KEY_MAX: usize = 253 + 1 + 63;

/// The name of the type of a JSON value, for messages.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::absent(json!({}), Ok(vec![]))]
    #[case::null(json!({"a": null}), Ok(vec![]))]
    #[case::null_below_null(json!({"a": {"b": null}}), Ok(vec![]))]
    #[case::present(json!({"a": {"b": ["x", "y"]}}), Ok(vec!["x", "y"]))]
    #[case::null_item(json!({"a": {"b": ["x", null]}}), Ok(vec!["x", ""]))]
    #[case::parent_is_text(json!({"a": "x"}), Err("a: expected an object, found a string"))]
    #[case::text_for_list(json!({"a": {"b": "x"}}), Err("a.b: expected a list, found a string"))]
    #[case::number_in_list(json!({"a": {"b": ["x", 1]}}), Err("a.b[1]: expected a string, found a number"))]
    fn a_list_of_strings(#[case] object: Value, #[case] expected: Result<Vec<&str>, &str>) {
        let root = Node::root(&object);
        let read = root.field("a").and_then(|a| a.field("b")?.strings());
        assert_eq!(read.map_err(|e| e.to_string()), expected.map_err(str::to_owned));
    }

    #[rstest]
    #[case::bad_value(json!({"a": {"k.io/x": 1}}), Err("a[k.io/x]: expected a string, found a number"))]
    #[case::not_a_map(json!({"a": [1]}), Err("a: expected an object, found a list"))]
    #[case::null_value(json!({"a": {"k": null}}), Ok(1))]
    fn a_map(#[case] object: Value, #[case] expected: Result<usize, &str>) {
        let root = Node::root(&object);
        let read = root.field("a").and_then(|a| a.string_map());
        assert_eq!(read.map(|m| m.len()).map_err(|e| e.to_string()), expected.map_err(str::to_owned));
    }

    #[test]
    fn the_object_itself_is_named() {
        let object = json!([]);
        let error = Node::root(&object).field("a").map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "the object: expected an object, found a list");
    }
}
