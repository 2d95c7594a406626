//! The JSON of admission requests, read no further than needed: most requests are about objects that
//! no rule checks, and most of an object are fields that no rule reads.
//!
//! This is a separate crate, so that the module's profile can compile it for speed and the rules for size.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The payload of a `validate` call.
#[derive(Debug, Default)]
pub struct Payload<'a> {
    /// `request`; empty if absent.
    pub request: Request<'a>,
    /// `settings`, if they are there, unread: most requests are decided without them.
    pub settings: Option<&'a RawValue>,
}

/// `request` of an AdmissionReview.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// Its small fields: `kind`, `operation`, `subResource` and `namespace`. If the request is not an object,
    /// that value.
    pub fields: Value,
    /// `object`, if present.
    pub object: Option<Object<'a>>,
    /// `oldObject`, if present.
    pub old_object: Option<Object<'a>>,
    user: Option<&'a RawValue>,
}

/// `metadata` of an object, its fields unread.
#[derive(Debug, Default, Clone)]
struct Metadata<'a> {
    /// The value if it is not an object; null if it is.
    other: Value,
    /// All fields but `managedFields`, which no rule reads and which can be most of the object.
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// An object of a request.
#[derive(Debug, Default, Clone)]
pub struct Object<'a> {
    /// The value if it is not an object, otherwise null.
    other: Value,
    metadata: Option<Metadata<'a>>,
    spec: Option<&'a RawValue>,
}

/// Reads the payload of a `validate` call.
///
/// # Errors
/// It is not JSON.
pub fn payload(text: &str) -> serde_json::Result<Payload<'_>> {
    serde_json::from_str(text)
}

/// Reads `request.object` of a payload completely.
///
/// # Errors
/// It is not JSON, or too deeply nested.
pub fn whole_object(payload: &str) -> serde_json::Result<Value> {
    let mut payload: Value = serde_json::from_str(payload)?;
    Ok(payload.pointer_mut("/request/object").map(Value::take).unwrap_or_default())
}

impl Request<'_> {
    /// `userInfo`; null if absent.
    ///
    /// # Errors
    /// It is too deeply nested.
    pub fn user(&self) -> serde_json::Result<Value> {
        self.user.map_or(Ok(Value::Null), value)
    }
}

/// The part of an object that decides whether the rest is read.
#[derive(Debug, Default)]
pub struct Head {
    /// An object with only `metadata`: the wanted annotations, `deletionTimestamp`, and keys that belong
    /// under annotations.
    pub object: Value,
    /// The approximate number of values: the commas in the spec, in labels and in the wanted annotations,
    /// which can be lists, and the number of annotations.
    pub values: usize,
    /// The bytes of labels and annotations, escapes included.
    pub metadata_bytes: usize,
    /// The bytes of the spec, the labels and the wanted annotations.
    pub bytes: usize,
    /// The bytes of the longest text in the spec, escapes included.
    pub longest_text: usize,
}

/// The maximum number of annotations in [`Head::object`].
pub const HEAD_ANNOTATIONS: usize = 1000;

impl Object<'_> {
    /// The head, with at most [`HEAD_ANNOTATIONS`] annotations whose key is wanted, and without annotations
    /// if they have more than `max_bytes` together with the labels.
    ///
    /// # Errors
    /// The metadata is too deeply nested.
    pub fn head(&self, wants: fn(&str) -> bool, max_bytes: usize) -> serde_json::Result<Head> {
        if !self.other.is_null() {
            return Ok(Head { object: self.other.clone(), ..Head::default() });
        }
        let spec = self.spec.map_or("", RawValue::get);
        let mut head = Head {
            values: commas(spec),
            bytes: spec.len(),
            longest_text: longest_text(spec),
            ..Head::default()
        };
        let mut fields = Map::new();
        if let Some(metadata) = &self.metadata {
            let [labels, annotations] = metadata.labels_and_annotations();
            head.metadata_bytes = [labels, annotations].into_iter().flatten().map(str::len).sum();
            head.values += labels.map_or(0, commas);
            head.bytes += labels.map_or(0, str::len);
            let mut kept = metadata.read(|key| key.contains('/') || key == "deletionTimestamp")?;
            if let (Some(annotations), Some(kept)) = (annotations, kept.as_object_mut())
                && head.metadata_bytes <= max_bytes
            {
                let wanted = Wanted { wants, head: &mut head };
                let wanted = serde_json::Deserializer::from_str(annotations).deserialize_any(wanted)?;
                kept.insert("annotations".to_owned(), wanted);
            }
            fields.insert("metadata".to_owned(), kept);
        }
        head.object = Value::Object(fields);
        Ok(head)
    }

    /// Whether labels, annotations and spec are the same text.
    pub fn is_same_text(&self, other: &Object<'_>) -> bool {
        self.texts() == other.texts()
    }

    /// Whether the JSON of the spec contains a text.
    pub fn spec_contains(&self, text: &str) -> bool {
        self.spec.is_some_and(|spec| spec.get().contains(text))
    }

    /// The object without the fields that no rule reads, which can be most of it: `status` and
    /// `metadata.managedFields`.
    ///
    /// # Errors
    /// Metadata or spec is too deeply nested.
    pub fn pruned(&self) -> serde_json::Result<Value> {
        if !self.other.is_null() {
            return Ok(self.other.clone());
        }
        let mut fields = Map::new();
        if let Some(metadata) = &self.metadata {
            fields.insert("metadata".to_owned(), metadata.read(|_| true)?);
        }
        if let Some(spec) = self.spec {
            fields.insert("spec".to_owned(), value(spec)?);
        }
        Ok(Value::Object(fields))
    }

    fn texts(&self) -> ([Option<&str>; 2], Option<&str>) {
        let metadata = self.metadata.as_ref().map(Metadata::labels_and_annotations);
        (metadata.unwrap_or_default(), self.spec.map(RawValue::get))
    }
}

impl<'a> Metadata<'a> {
    fn labels_and_annotations(&self) -> [Option<&'a str>; 2] {
        ["labels", "annotations"].map(|key| {
            let found = self.fields.iter().rfind(|(name, _)| name == key);
            found.map(|(_, raw)| raw.get()).filter(|text| *text != "null")
        })
    }

    /// The value, with those of its fields that are wanted.
    fn read(&self, wants: fn(&str) -> bool) -> serde_json::Result<Value> {
        if !self.other.is_null() {
            return Ok(self.other.clone());
        }
        let mut fields = Map::new();
        for (key, raw) in self.fields.iter().filter(|(key, _)| wants(key)) {
            fields.insert(key.clone().into_owned(), value(raw)?);
        }
        Ok(Value::Object(fields))
    }
}

fn commas(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b',').count()
}

/// The bytes of the longest text in JSON: the longest run without a quote that ends a text. What is between
/// two texts can be counted too, but is short in JSON that a machine wrote.
fn longest_text(json: &str) -> usize {
    let (mut longest, mut length, mut is_escaped) = (0, 0, false);
    for byte in json.bytes() {
        if byte == b'"' && !is_escaped {
            longest = longest.max(length);
            length = 0;
        } else {
            length += 1;
        }
        is_escaped = byte == b'\\' && !is_escaped;
    }
    longest
}

fn value(raw: &RawValue) -> serde_json::Result<Value> {
    serde_json::from_str(raw.get())
}

/// Keeps a value that is not an object, for the error about its type. The items of a list are dropped.
macro_rules! other_types {
    ($result:ty, $other:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("JSON")
        }

        fn visit_bool<E>(self, value: bool) -> Result<$result, E> {
            Ok($other(value.into()))
        }

        fn visit_i64<E>(self, value: i64) -> Result<$result, E> {
            Ok($other(value.into()))
        }

        fn visit_u64<E>(self, value: u64) -> Result<$result, E> {
            Ok($other(value.into()))
        }

        fn visit_f64<E>(self, value: f64) -> Result<$result, E> {
            Ok($other(value.into()))
        }

        fn visit_str<E>(self, value: &str) -> Result<$result, E> {
            Ok($other(value.into()))
        }

        fn visit_unit<E>(self) -> Result<$result, E> {
            Ok($other(Value::Null))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<$result, A::Error> {
            while sequence.next_element::<IgnoredAny>()?.is_some() {}
            Ok($other(Value::Array(Vec::new())))
        }
    };
}

/// Builds an object of the wanted annotations, at most [`HEAD_ANNOTATIONS`].
struct Wanted<'v> {
    wants: fn(&str) -> bool,
    /// Gets the number of annotations, the commas in those that are wanted, and their bytes.
    head: &'v mut Head,
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Value;

    other_types!(Value, |other| other);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(Key(key)) = map.next_key()? {
            self.head.values += 1;
            if fields.len() < HEAD_ANNOTATIONS && (self.wants)(&key) {
                let value: Value = map.next_value()?;
                let text = value.as_str().unwrap_or_default();
                self.head.values += commas(text);
                self.head.bytes += text.len();
                fields.insert(key.into_owned(), value);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Value::Object(fields))
    }
}

/// Reads one of the types below.
struct Of<T>(PhantomData<T>);

impl<'de> Visitor<'de> for Of<Payload<'de>> {
    type Value = Payload<'de>;

    other_types!(Payload<'de>, |_: Value| Payload::default());

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Payload<'de>, A::Error> {
        let mut payload = Payload::default();
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "request" => payload.request = map.next_value()?,
                "settings" => payload.settings = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(payload)
    }
}

impl<'de> Visitor<'de> for Of<Request<'de>> {
    type Value = Request<'de>;

    other_types!(Request<'de>, |fields| Request { fields, ..Request::default() });

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Request<'de>, A::Error> {
        let mut request = Request::default();
        let mut fields = Map::new();
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "object" => request.object = map.next_value()?,
                "oldObject" => request.old_object = map.next_value()?,
                "userInfo" => request.user = map.next_value()?,
                "kind" | "operation" | "subResource" | "namespace" => {
                    fields.insert(key.into_owned(), map.next_value()?);
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        request.fields = Value::Object(fields);
        Ok(request)
    }
}

impl<'de> Visitor<'de> for Of<Object<'de>> {
    type Value = Object<'de>;

    other_types!(Object<'de>, |other| Object { other, ..Object::default() });

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut object = Object::default();
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "metadata" => object.metadata = map.next_value()?,
                "spec" => object.spec = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(object)
    }
}

impl<'de> Visitor<'de> for Of<Metadata<'de>> {
    type Value = Metadata<'de>;

    other_types!(Metadata<'de>, |other| Metadata { other, ..Metadata::default() });

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata<'de>, A::Error> {
        let mut metadata = Metadata::default();
        while let Some(Key(key)) = map.next_key()? {
            if key == "managedFields" {
                map.next_value::<IgnoredAny>()?;
            } else {
                metadata.fields.push((key, map.next_value()?));
            }
        }
        Ok(metadata)
    }
}

macro_rules! read_by_its_visitor {
    ($($name:ident),+) => {$(
        impl<'de> Deserialize<'de> for $name<'de> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Of::<$name<'de>>(PhantomData))
            }
        }
    )+};
}
read_by_its_visitor!(Payload, Request, Object, Metadata);

/// A key of an object, borrowed from the text if it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }

        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(request: &Value) -> (Value, Value, Value) {
        let text = json!({"request": request, "settings": {"a": 1}, "other": [1, {}]}).to_string();
        let payload = payload(&text).unwrap();
        assert_eq!(payload.settings.unwrap().get(), r#"{"a":1}"#);
        let object = payload.request.object.unwrap_or_default();
        (payload.request.fields, object.head(|_| true, 1 << 20).unwrap().object, object.pruned().unwrap())
    }

    #[test]
    fn kept_fields() {
        let object = json!({
            "apiVersion": "v1",
            "metadata": {"name": "a", "annotations": {"k": "v"}, "cert-manager.io/issuer": "x", "managedFields": [{}]},
            "spec": {"metadata": {"managedFields": 1}, "status": 2},
            "status": {"big": true},
        });
        let (fields, head, pruned) = read(&json!({"uid": "1", "namespace": "n", "object": object}));
        assert_eq!(fields, json!({"namespace": "n"}));
        assert_eq!(head, json!({"metadata": {"annotations": {"k": "v"}, "cert-manager.io/issuer": "x"}}));
        assert_eq!(
            pruned,
            json!({
                "metadata": {"name": "a", "annotations": {"k": "v"}, "cert-manager.io/issuer": "x"},
                "spec": {"metadata": {"managedFields": 1}, "status": 2},
            })
        );
    }

    #[test]
    fn other_types_are_kept_for_the_error() {
        for other in [json!("x"), json!(1), json!(-1), json!(1.5), json!(true), json!([])] {
            assert_eq!(read(&other).0, other);
            assert_eq!(read(&json!({"object": other})).2, other);
            assert_eq!(read(&json!({"object": {"metadata": other}})).1, json!({"metadata": other}));
        }
    }

    #[test]
    fn absent_and_null_are_the_same() {
        for text in ["{}", r#"{"request": null}"#, r#"{"request": {"object": null, "userInfo": null}}"#, "[]"]
        {
            let payload = payload(text).unwrap();
            assert!(payload.request.object.is_none() && payload.request.user().unwrap().is_null(), "{text}");
        }
    }

    #[test]
    fn escaped_keys_and_deep_values_that_are_not_read() {
        let deep = "[".repeat(5000) + &"]".repeat(5000);
        let text = format!(r#"{{"request": {{"obj\u0065ct": {{"status": {deep}, "spec": {{"a": 1}}}}}}}}"#);
        let request = payload(&text).unwrap().request;
        assert_eq!(request.object.unwrap().pruned().unwrap(), json!({"spec": {"a": 1}}));
        assert!(payload("{\"request\": {\"x\": ").is_err());
    }

    #[test]
    fn the_number_of_values() {
        let values = |object: Value| {
            let text = json!({"request": {"object": object}}).to_string();
            let object = payload(&text).unwrap().request.object.unwrap();
            object.head(|key| key == "list", 1 << 20).unwrap().values
        };
        assert_eq!(values(json!({"spec": {"a": 1, "b": [1, 2, 3]}})), 3);
        assert_eq!(values(json!({"metadata": {"labels": {"a": "b", "c": "d"}}})), 1);
        // Annotations of others are one value each, however many commas their text has.
        let annotations =
            json!({"list": "a,b,c", "kubectl.kubernetes.io/last-applied-configuration": "1,2,3,4,5"});
        assert_eq!(values(json!({"metadata": {"annotations": annotations}})), 4);
    }

    #[test]
    fn the_longest_text() {
        for (json, expected) in [("", 0), (r#"{"a": "bcd"}"#, 3), (r#"["a\"b\\","ab"]"#, 6), (r#"[""]"#, 1)] {
            assert_eq!(longest_text(json), expected, "{json}");
        }
    }

    #[test]
    fn the_whole_object() {
        let text = json!({"request": {"object": {"status": {"a": 1}}}}).to_string();
        assert_eq!(whole_object(&text).unwrap(), json!({"status": {"a": 1}}));
    }
}
