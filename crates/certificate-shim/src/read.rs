//! JSON objects, read leniently: unknown fields are ignored, null is absent, and a field of the
//! wrong type is reported with its path, never with its content.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// A field that has another type than the API gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Where, from the object's root: `spec.servers[0].hosts`. Empty for the object itself.
    pub path: String,
    /// The type that belongs there: `a list`.
    pub expected: &'static str,
    /// The type that stands there: `a string`.
    pub found: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the object" } else { &self.path };
        write!(f, "{path}: expected {}, found {}", self.expected, self.found)
    }
}

impl std::error::Error for Malformed {}

/// A path that is only written out when there is something to complain about.
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
            Path::Key(parent, key) => write!(f, "{parent}[{key}]"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A place in a JSON object: what stands there, if anything does, and how it was reached.
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

    /// Whether anything stands here; null does not count.
    pub fn is_present(&self) -> bool {
        self.value.is_some()
    }

    /// The field of that name. Fails where this is no object.
    pub fn field<'q>(&'q self, name: &'q str) -> Result<Node<'a, 'q>, Malformed> {
        let value = match self.value {
            None => None,
            Some(Value::Object(fields)) => present(fields.get(name)),
            Some(other) => return Err(self.malformed("an object", other)),
        };
        Ok(Node { value, path: Path::Field(&self.path, name) })
    }

    /// The text in the field of that name. Fails where this is no object.
    // It stands in so many places that its own call is worth several KiB of the module.
    #[inline(never)]
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, Malformed> {
        self.field(name)?.string()
    }

    /// The text that stands here.
    pub fn string(&self) -> Result<Option<&'a str>, Malformed> {
        match self.value {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.malformed("a string", other)),
        }
    }

    /// The truth value that stands here.
    pub fn boolean(&self) -> Result<Option<bool>, Malformed> {
        match self.value {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(self.malformed("true or false", other)),
        }
    }

    /// The whole number that stands here.
    pub fn integer(&self) -> Result<Option<i64>, Malformed> {
        match self.value {
            None => Ok(None),
            Some(Value::Number(number)) if number.as_i64().is_some() => Ok(number.as_i64()),
            Some(other) => Err(self.malformed("a whole number", other)),
        }
    }

    /// The list that stands here, each item read by `item`; absent is empty.
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

    /// The list of texts that stands here; absent is empty, and so is a null among them.
    pub fn strings(&self) -> Result<Vec<&'a str>, Malformed> {
        self.list(|item| Ok(item.string()?.unwrap_or_default()))
    }

    /// The map from text to text that stands here (labels, annotations); absent is empty, and a
    /// null value is the empty text, as Go's decoder has it.
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

    fn malformed(&self, expected: &'static str, found: &Value) -> Malformed {
        Malformed { path: self.path.to_string(), expected, found: type_name(found) }
    }
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

/// What a person calls the type of a JSON value.
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
    #[case::there(json!({"a": {"b": ["x", "y"]}}), Ok(vec!["x", "y"]))]
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
