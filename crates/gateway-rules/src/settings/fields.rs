//! Reads one object of the settings field by field and collects all problems, so that they can be fixed
//! together.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use certificate_shim::read::type_name;
use serde_json::{Map, Value};

use crate::text::{nearest, quote, shorten};

/// The problems with the settings so far, in the order in which they were found.
#[derive(Default)]
pub(super) struct Problems(RefCell<Vec<String>>);

impl Problems {
    /// Adds `path: problem`.
    pub(super) fn add(&self, path: &str, problem: impl AsRef<str>) {
        self.0.borrow_mut().push(format!("{path}: {}", problem.as_ref()));
    }

    pub(super) fn into_vec(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// An object of the settings. Its fields are taken one by one.
pub(super) struct Fields<'a> {
    path: String,
    fields: Option<&'a Map<String, Value>>,
    known: Vec<&'static str>,
    problems: &'a Problems,
}

impl<'a> Fields<'a> {
    /// The settings themselves; null is `{}`.
    pub(super) fn root(value: &'a Value, problems: &'a Problems) -> Self {
        Self::at(String::new(), value, problems)
    }

    fn at(path: String, value: &'a Value, problems: &'a Problems) -> Self {
        let fields = match value {
            Value::Object(fields) => Some(fields),
            Value::Null => None,
            other => {
                let place = if path.is_empty() { "settings" } else { &path };
                problems.add(place, format!("expected an object, found {}", type_name(other)));
                None
            }
        };
        Fields { path, fields, known: Vec::new(), problems }
    }

    /// The path of a field of this object.
    pub(super) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Reports a problem with a field.
    pub(super) fn problem(&self, name: &str, problem: impl AsRef<str>) {
        self.problems.add(&self.path(name), problem);
    }

    /// Reports a problem at a path that [`Fields::texts`] returned.
    pub(super) fn problem_at(&self, path: &str, problem: impl AsRef<str>) {
        self.problems.add(path, problem);
    }

    /// The value of a field; null is absent. Every known field is taken once, so that [`Fields::end`] can
    /// report the others.
    fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.fields?.get(name).filter(|value| !value.is_null())
    }

    fn wrong_type(&self, name: &str, expected: &str, found: &Value) {
        self.problem(name, format!("expected {expected}, found {}", type_name(found)));
    }

    /// A text.
    pub(super) fn string(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.take(name)?;
        if value.as_str().is_none() {
            self.wrong_type(name, "a string", value);
        }
        value.as_str()
    }

    /// A text that is required and not empty.
    pub(super) fn required(&mut self, name: &'static str) -> Option<&'a str> {
        let absent = self.is_absent(name);
        let text = self.string(name);
        if absent || text == Some("") {
            self.problem(name, "is required");
        }
        text.filter(|text| !text.is_empty())
    }

    /// Whether a field is absent or null.
    pub(super) fn is_absent(&self, name: &str) -> bool {
        self.fields.is_none_or(|fields| fields.get(name).is_none_or(Value::is_null))
    }

    /// True or false.
    pub(super) fn boolean(&mut self, name: &'static str) -> Option<bool> {
        let value = self.take(name)?;
        if value.as_bool().is_none() {
            self.wrong_type(name, "true or false", value);
        }
        value.as_bool()
    }

    /// A whole number within bounds.
    pub(super) fn count(&mut self, name: &'static str, bounds: RangeInclusive<usize>) -> Option<usize> {
        let value = self.take(name)?;
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            self.problem(
                name,
                format!("expected a whole number from {} to {}", bounds.start(), bounds.end()),
            );
        }
        number
    }

    /// One of a few words.
    pub(super) fn one_of<T: Copy>(&mut self, name: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let value = self.take(name)?;
        let Some(text) = value.as_str() else {
            self.wrong_type(name, &format!("one of {}", words(choices)), value);
            return None;
        };
        let choice = choices.iter().find(|(word, _)| *word == text);
        if choice.is_none() {
            self.problem(name, format!("{} is not one of: {}", quote(text), words(choices)));
        }
        choice.map(|(_, choice)| *choice)
    }

    /// A list of texts; `None` if it is absent.
    pub(super) fn strings(&mut self, name: &'static str) -> Option<Vec<String>> {
        Some(self.texts(name)?.into_iter().map(|(_, text)| text.to_owned()).collect())
    }

    /// A list of texts, each checked with `fault`; `None` if it is absent.
    pub(super) fn checked(
        &mut self,
        name: &'static str,
        fault: fn(&str) -> Option<&'static str>,
    ) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        for (path, text) in self.texts(name)? {
            if let Some(fault) = fault(text) {
                self.problems.add(&path, format!("{} {fault}", quote(text)));
            }
            texts.push(text.to_owned());
        }
        Some(texts)
    }

    /// The texts of a list, each with its path; other items are reported and skipped.
    pub(super) fn texts(&mut self, name: &'static str) -> Option<Vec<(String, &'a str)>> {
        let mut texts = Vec::new();
        for (path, item) in self.items(name)? {
            match item {
                Value::String(text) => texts.push((path, text.as_str())),
                other => self.problems.add(&path, format!("expected a string, found {}", type_name(other))),
            }
        }
        Some(texts)
    }

    /// Requires a list to be present, even if it is empty.
    pub(super) fn require_list(&self, name: &'static str) {
        if self.is_absent(name) {
            self.problem(name, "is required; write [] for none");
        }
    }

    /// A whole number within bounds; `None` if it is absent.
    pub(super) fn integer(&mut self, name: &'static str, bounds: RangeInclusive<i64>) -> Option<i64> {
        let number = self.take(name)?.as_i64().filter(|number| bounds.contains(number));
        if number.is_none() {
            self.problem(
                name,
                format!("expected a whole number from {} to {}", bounds.start(), bounds.end()),
            );
        }
        number
    }

    /// A list of numbers, each one of a few; `None` if it is absent.
    pub(super) fn integers(&mut self, name: &'static str, choices: &[i64]) -> Option<Vec<i64>> {
        let mut numbers = Vec::new();
        for (path, item) in self.items(name)? {
            match item.as_i64().filter(|number| choices.contains(number)) {
                Some(number) => numbers.push(number),
                None => {
                    let choices: Vec<String> = choices.iter().map(i64::to_string).collect();
                    self.problems.add(&path, format!("expected one of {}", choices.join(", ")));
                }
            }
        }
        Some(numbers)
    }

    /// An object below this one; `read` takes its fields. `None` if it is absent.
    pub(super) fn object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'a>) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(name)?;
        Self::read_object(self.path(name), value, self.problems, read)
    }

    /// A list of objects; those that cannot be read are skipped. `None` if it is absent.
    pub(super) fn objects<T>(
        &mut self,
        name: &'static str,
        mut read: impl FnMut(&mut Fields<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut objects = Vec::new();
        for (path, item) in self.items(name)? {
            if let Some(object) = Self::read_object(path, item, self.problems, &mut read) {
                objects.push(object);
            }
        }
        Some(objects)
    }

    /// Like [`Fields::entries`], for texts that are words. `false` is read as `off`, because that is how YAML
    /// 1.1, which kubectl uses, reads an unquoted `off`.
    pub(super) fn words(&mut self, name: &'static str) -> Option<Vec<(&'a str, &'a str)>> {
        self.read_entries(
            name,
            |value| if *value == Value::Bool(false) { Some("off") } else { value.as_str() },
        )
    }

    /// A map from any key to a text, in the order of its keys; `None` if it is absent.
    pub(super) fn entries(&mut self, name: &'static str) -> Option<Vec<(&'a str, &'a str)>> {
        self.read_entries(name, Value::as_str)
    }

    fn read_entries(
        &mut self,
        name: &'static str,
        read: fn(&'a Value) -> Option<&'a str>,
    ) -> Option<Vec<(&'a str, &'a str)>> {
        let value = self.take(name)?;
        let Value::Object(fields) = value else {
            self.wrong_type(name, "an object", value);
            return None;
        };
        let mut entries = Vec::new();
        for (key, value) in fields {
            match read(value) {
                Some(text) => entries.push((key.as_str(), text)),
                None => self.wrong_type(&format!("{name}.{key}"), "a string", value),
            }
        }
        Some(entries)
    }

    fn items(&mut self, name: &'static str) -> Option<Vec<(String, &'a Value)>> {
        let value = self.take(name)?;
        let Value::Array(items) = value else {
            self.wrong_type(name, "a list", value);
            return None;
        };
        let path = self.path(name);
        Some(items.iter().enumerate().map(|(index, item)| (format!("{path}[{index}]"), item)).collect())
    }

    fn read_object<T>(
        path: String,
        value: &'a Value,
        problems: &'a Problems,
        read: impl FnOnce(&mut Fields<'a>) -> Option<T>,
    ) -> Option<T> {
        let mut fields = Fields::at(path, value, problems);
        let result = read(&mut fields);
        fields.end();
        result
    }

    /// Reports every field that was not taken.
    pub(super) fn end(self) {
        for name in self.fields.into_iter().flat_map(Map::keys) {
            if !self.known.contains(&name.as_str()) {
                let help = match nearest(name, &self.known) {
                    _ if name == "true" && self.known.contains(&"on") => {
                        "YAML reads an unquoted on as true: write \"on\"".to_owned()
                    }
                    Some(known) => format!("did you mean {known}?"),
                    None => format!("known here: {}", self.known.join(", ")),
                };
                self.problems.add(&self.path(&shorten(name, 80)), format!("unknown setting; {help}"));
            }
        }
    }
}

fn words<T>(choices: &[(&'static str, T)]) -> String {
    choices.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
}
