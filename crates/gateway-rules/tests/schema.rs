//! docs/settings.schema.json says what `Settings::read` takes: the same keys at every place, the
//! same words, the same things that are required.

use gateway_rules::Settings;
use serde_json::{Value, json};

const SCHEMA: &str = include_str!("../../../docs/settings.schema.json");

/// A place in the settings: how to put a value there, and how problems name it.
struct Place {
    wrap: Box<dyn Fn(Value) -> Value>,
    path: String,
}

impl Place {
    fn problems(&self, value: Value) -> Vec<String> {
        Settings::read(&(self.wrap)(value)).err().unwrap_or_default()
    }

    fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// Every place of the settings with its schema, from the root down.
fn walk(place: Place, schema: &Value, visit: &mut dyn FnMut(&Place, &Value)) {
    visit(&place, schema);
    let wrap = std::rc::Rc::new(place.wrap);
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        let (outer, key) = (wrap.clone(), name.clone());
        let path = if place.path.is_empty() { name.clone() } else { format!("{}.{name}", place.path) };
        walk(Place { wrap: Box::new(move |value| outer(json!({key.clone(): value}))), path }, below, visit);
    }
    if schema["items"].is_object() {
        let outer = wrap.clone();
        let path = format!("{}[0]", place.path);
        walk(Place { wrap: Box::new(move |value| outer(json!([value]))), path }, &schema["items"], visit);
    }
}

fn each_place(visit: &mut dyn FnMut(&Place, &Value)) {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    walk(Place { wrap: Box::new(|value| value), path: String::new() }, &schema, visit);
}

#[test]
fn the_keys_of_every_object() {
    let mut objects = 0;
    each_place(&mut |place, schema| {
        // The rules are compared below; their names have no order of their own.
        let Some(properties) = schema["properties"].as_object().filter(|_| place.path != "rules") else {
            return;
        };
        objects += 1;
        let unknown = format!("{}: unknown setting; known here: ", place.at("zzzzzzzz"));
        let problems = place.problems(json!({"zzzzzzzz": 1}));
        let known = problems.iter().find_map(|problem| problem.strip_prefix(&unknown));
        let mut known: Vec<&str> =
            known.unwrap_or_else(|| panic!("{unknown} {problems:?}")).split(", ").collect();
        known.sort_unstable();
        let mut keys: Vec<&str> = properties.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, known, "{}", place.path);
    });
    assert!(objects > 10, "{objects}");
}

#[test]
fn the_words_and_the_types() {
    each_place(&mut |place, schema| {
        let complains = |value: Value| {
            let own = |problem: &&String| problem.starts_with(&format!("{}:", place.path));
            place.problems(value).iter().find(own).cloned()
        };
        for word in schema["enum"].as_array().into_iter().flatten() {
            assert_eq!(complains(word.clone()), None, "{}", place.path);
        }
        let wrong = match schema["type"].as_str() {
            None if schema["enum"].is_array() => json!("zzz"),
            Some("string") => json!(1),
            Some(_) => json!("zzz"),
            None => return,
        };
        if !place.path.is_empty() {
            assert!(complains(wrong.clone()).is_some(), "{} takes {wrong}", place.path);
        }
    });
}

#[test]
fn what_is_required() {
    each_place(&mut |place, schema| {
        let Some(properties) = schema["properties"].as_object() else { return };
        let problems = place.problems(json!({}));
        // Of an anyOf the first is named in the problem.
        let lists = [&schema["required"], &schema["anyOf"][0]["required"]];
        let required: Vec<&Value> = lists.into_iter().filter_map(Value::as_array).flatten().collect();
        for name in properties.keys() {
            let missing = problems.iter().any(|problem| problem.starts_with(&format!("{}:", place.at(name))));
            assert_eq!(missing, required.contains(&&json!(name)), "{}: {problems:?}", place.at(name));
        }
    });
}
