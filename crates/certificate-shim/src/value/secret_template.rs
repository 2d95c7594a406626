//! The JSON of `secret-template`, as Go's encoding/json decodes it into two maps of strings, with
//! unknown fields disallowed.
//!
//! Go reads only the first value and ignores the rest of the text, compares field names
//! case-insensitively, merges duplicate fields, ignores null, and replaces half a surrogate pair with
//! U+FFFD. serde_json does none of this, so this is a separate parser.

use std::collections::BTreeMap;
use std::fmt;

use crate::template::SecretTemplate;

/// The reason why a text is not a valid secret template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// The text ends inside the value.
    UnexpectedEnd,
    /// Invalid JSON.
    Syntax {
        /// The position, from 0.
        byte: usize,
    },
    /// The value is not an object or null.
    NotAnObject,
    /// A field other than `annotations` and `labels`.
    UnknownField(String),
    /// `annotations` or `labels` is not an object or null.
    NotAMap {
        /// The field.
        field: &'static str,
    },
    /// An annotation or label is not a string or null.
    NotAText {
        /// The field.
        field: &'static str,
        /// The key.
        key: String,
    },
    /// An annotation of `cert-manager.io`.
    ForbiddenAnnotation(String),
}

/// Parses a secret template.
///
/// # Errors
/// The text is not a valid secret template: the first error from the left. Annotations of
/// `cert-manager.io` are reported only if there is no other error.
pub fn parse(text: &str) -> Result<SecretTemplate, TemplateError> {
    let template = Reader { text, at: 0 }.template()?;
    match template.annotations.keys().find(|key| key.starts_with("cert-manager.io/")) {
        Some(key) => Err(TemplateError::ForbiddenAnnotation(key.clone())),
        None => Ok(template),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn template(&mut self) -> Result<SecretTemplate, TemplateError> {
        let mut template = SecretTemplate::default();
        match self.token()? {
            b'n' => self.null()?,
            b'{' => self.members(&mut |reader, name| {
                let (field, map) = if folds_to(&name, "annotations") {
                    ("annotations", &mut template.annotations)
                } else if folds_to(&name, "labels") {
                    ("labels", &mut template.labels)
                } else {
                    return Err(TemplateError::UnknownField(name));
                };
                reader.map(field, map)
            })?,
            byte => return Err(self.wrong_type(byte, TemplateError::NotAnObject)),
        }
        Ok(template)
    }

    fn map(&mut self, field: &'static str, map: &mut BTreeMap<String, String>) -> Result<(), TemplateError> {
        match self.token()? {
            b'n' => {
                map.clear();
                self.null()
            }
            b'{' => self.members(&mut |reader, key| {
                let value = match reader.token()? {
                    b'n' => {
                        reader.null()?;
                        String::new()
                    }
                    b'"' => reader.string()?,
                    byte => return Err(reader.wrong_type(byte, TemplateError::NotAText { field, key })),
                };
                map.insert(key, value);
                Ok(())
            }),
            byte => Err(self.wrong_type(byte, TemplateError::NotAMap { field })),
        }
    }

    /// Reads the members of an object after its opening brace.
    fn members(
        &mut self,
        member: &mut dyn FnMut(&mut Self, String) -> Result<(), TemplateError>,
    ) -> Result<(), TemplateError> {
        let mut byte = self.token()?;
        if byte == b'}' {
            return Ok(());
        }
        loop {
            self.expect(byte, b'"')?;
            let name = self.string()?;
            byte = self.token()?;
            self.expect(byte, b':')?;
            member(self, name)?;
            match self.token()? {
                b'}' => return Ok(()),
                comma => self.expect(comma, b',')?,
            }
            byte = self.token()?;
        }
    }

    /// Reads a string after its opening quotation mark.
    fn string(&mut self) -> Result<String, TemplateError> {
        let mut string = String::new();
        loop {
            match self.character()? {
                '"' => return Ok(string),
                '\\' => string.push(match self.character()? {
                    c @ ('"' | '\\' | '/') => c,
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'u' => self.code_point()?,
                    _ => return Err(self.syntax()),
                }),
                '\0'..' ' => return Err(self.syntax()),
                c => string.push(c),
            }
        }
    }

    /// Reads the four digits after `\u`, and the other half of a surrogate pair if it follows.
    fn code_point(&mut self) -> Result<char, TemplateError> {
        let unit = self.four_digits()?;
        if let 0xd800..0xdc00 = unit {
            let before = self.at;
            if self.rest().starts_with("\\u") {
                self.at += 2;
                if let low @ 0xdc00..0xe000 = self.four_digits()? {
                    let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                    return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                self.at = before;
            }
        }
        Ok(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn four_digits(&mut self) -> Result<u32, TemplateError> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.character()?.to_digit(16).ok_or_else(|| self.syntax())?;
            unit = unit << 4 | digit;
        }
        Ok(unit)
    }

    /// Reads the rest of `null` after its first letter.
    fn null(&mut self) -> Result<(), TemplateError> {
        for letter in ['u', 'l', 'l'] {
            if self.character()? != letter {
                return Err(self.syntax());
            }
        }
        Ok(())
    }

    /// Skips white space and reads the next byte.
    fn token(&mut self) -> Result<u8, TemplateError> {
        let spaces =
            self.rest().bytes().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.at += spaces;
        let byte = self.rest().bytes().next();
        match self.character() {
            Ok(_) => byte.ok_or(TemplateError::UnexpectedEnd),
            Err(error) => Err(error),
        }
    }

    fn character(&mut self) -> Result<char, TemplateError> {
        let c = self.rest().chars().next().ok_or(TemplateError::UnexpectedEnd)?;
        self.at += c.len_utf8();
        Ok(c)
    }

    fn expect(&self, byte: u8, expected: u8) -> Result<(), TemplateError> {
        if byte == expected { Ok(()) } else { Err(self.syntax()) }
    }

    /// The error for a value that begins with `byte`: `fault` if it is a JSON value of another type.
    fn wrong_type(&self, byte: u8, fault: TemplateError) -> TemplateError {
        if matches!(byte, b'{' | b'[' | b'"' | b't' | b'f' | b'-' | b'0'..=b'9') {
            fault
        } else {
            self.syntax()
        }
    }

    /// The error for the character that has just been read.
    fn syntax(&self) -> TemplateError {
        let read = self.text.get(..self.at).and_then(|read| read.char_indices().next_back());
        TemplateError::Syntax { byte: read.map_or(0, |(byte, _)| byte) }
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }
}

/// Whether a name matches a field case-insensitively, where `ſ` also matches `s` (Go's
/// `unicode.SimpleFold`).
fn folds_to(name: &str, field: &str) -> bool {
    let fold = |c| if c == '\u{17f}' { 's' } else { char::to_ascii_lowercase(&c) };
    name.chars().map(fold).eq(field.chars())
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TemplateError::UnexpectedEnd => f.write_str("unexpected end of JSON"),
            TemplateError::Syntax { byte } => write!(f, "invalid JSON at byte {byte}"),
            TemplateError::NotAnObject => f.write_str("not a JSON object"),
            TemplateError::UnknownField(name) => write!(f, "unknown field {name:?}"),
            TemplateError::NotAMap { field } => write!(f, "{field} is not a JSON object"),
            TemplateError::NotAText { field, key } => {
                write!(f, "{field}: the value of {key:?} is not a string")
            }
            TemplateError::ForbiddenAnnotation(key) => {
                write!(f, "secretTemplate must not have cert-manager.io/ annotations: {key:?}")
            }
        }
    }
}

impl std::error::Error for TemplateError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use TemplateError::{NotAMap, NotAText, NotAnObject, Syntax, UnexpectedEnd};

    type Entries<'a> = &'a [(&'a str, &'a str)];

    #[rstest]
    #[case::both(r#"{"annotations": {"a": "b"}, "labels": {"c": "d"}}"#, &[("a", "b")], &[("c", "d")])]
    #[case::empty_object("{}", &[], &[])]
    #[case::null("null", &[], &[])]
    #[case::null_field(r#"{"labels": null}"#, &[], &[])]
    #[case::spaces("\t\r\n { \"labels\" : { } } ", &[], &[])]
    #[case::text_after_it(r#"{"labels":{"a":"b"}} and more"#, &[], &[("a", "b")])]
    #[case::object_after_it(r#"{"labels":{"a":"b"}}{"x":1}"#, &[], &[("a", "b")])]
    #[case::text_after_null("nullx", &[], &[])]
    #[case::names_without_case(r#"{"LABELS":{"a":"b"},"Annotations":{"c":"d"}}"#, &[("c", "d")], &[("a", "b")])]
    #[case::long_s("{\"label\u{17f}\":{\"a\":\"b\"}}", &[], &[("a", "b")])]
    #[case::escaped_name(r#"{"\u006cabels":{"a":"b"}}"#, &[], &[("a", "b")])]
    #[case::twice(r#"{"labels":{"a":"b","c":"d"},"Labels":{"a":"e"}}"#, &[], &[("a", "e"), ("c", "d")])]
    #[case::null_empties(r#"{"labels":{"a":"b"},"labels":null}"#, &[], &[])]
    #[case::null_value(r#"{"labels":{"a":"b","a":null}}"#, &[], &[("a", "")])]
    #[case::escapes(r#"{"labels":{"\"\\\/\b\f\n\r\t\u00e9":"\ud83d\ude00"}}"#, &[], &[("\"\\/\u{8}\u{c}\n\r\té", "😀")])]
    #[case::half_pairs(r#"{"labels":{"a":"\ud800","b":"\udc00\ud800","c":"\ud800\u0041","d":"\ud800\ud83d\ude00"}}"#, &[],
        &[("a", "\u{fffd}"), ("b", "\u{fffd}\u{fffd}"), ("c", "\u{fffd}A"), ("d", "\u{fffd}😀")])]
    #[case::delete_is_not_a_control_character("{\"labels\":{\"a\":\"\u{7f}\"}}", &[], &[("a", "\u{7f}")])]
    #[case::similar_key(r#"{"annotations":{"Cert-Manager.io/a":"b"}}"#, &[("Cert-Manager.io/a", "b")], &[])]
    #[case::label_of_cert_manager(r#"{"labels":{"cert-manager.io/a":"b"}}"#, &[], &[("cert-manager.io/a", "b")])]
    fn read(#[case] text: &str, #[case] annotations: Entries<'_>, #[case] labels: Entries<'_>) {
        let map =
            |entries: Entries<'_>| entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(parse(text), Ok(SecretTemplate { annotations: map(annotations), labels: map(labels) }));
    }

    #[rstest]
    #[case::empty("", UnexpectedEnd)]
    #[case::spaces("  ", UnexpectedEnd)]
    #[case::open_object(r#"{"labels":{"#, UnexpectedEnd)]
    #[case::open_text(r#"{"labels"#, UnexpectedEnd)]
    #[case::half_of_null("nul", UnexpectedEnd)]
    #[case::not_null("nulx", Syntax { byte: 3 })]
    #[case::not_json("bogus", Syntax { byte: 0 })]
    #[case::byte_order_mark("\u{feff}{}", Syntax { byte: 0 })]
    #[case::no_break_space("\u{a0}{}", Syntax { byte: 0 })]
    #[case::single_quotes("{'labels':{}}", Syntax { byte: 1 })]
    #[case::trailing_comma(r#"{"labels":{},}"#, Syntax { byte: 13 })]
    #[case::no_colon(r#"{"labels"{}}"#, Syntax { byte: 9 })]
    #[case::no_comma(r#"{"labels":{"a":"b" "c":"d"}}"#, Syntax { byte: 19 })]
    #[case::unknown_escape(r#"{"labels":{"a":"\x"}}"#, Syntax { byte: 17 })]
    #[case::not_a_hexadecimal_digit(r#"{"labels":{"a":"\u00g0"}}"#, Syntax { byte: 20 })]
    #[case::line_end_in_text("{\"labels\":{\"a\":\"\n\"}}", Syntax { byte: 16 })]
    #[case::list("[]", NotAnObject)]
    #[case::number("7", NotAnObject)]
    #[case::text(r#""labels""#, NotAnObject)]
    #[case::boolean("true", NotAnObject)]
    #[case::list_of_labels(r#"{"labels":["a"]}"#, NotAMap { field: "labels" })]
    #[case::number_of_annotations(r#"{"Annotations":1}"#, NotAMap { field: "annotations" })]
    #[case::number_as_value(r#"{"labels":{"a":1}}"#, NotAText { field: "labels", key: "a".into() })]
    #[case::object_as_value(r#"{"labels":{"a":{}}}"#, NotAText { field: "labels", key: "a".into() })]
    #[case::unknown_field(r#"{"metadata":{}}"#, TemplateError::UnknownField("metadata".into()))]
    #[case::space_in_the_name(r#"{"labels ":{}}"#, TemplateError::UnknownField("labels ".into()))]
    #[case::forbidden(r#"{"annotations":{"x":"","cert-manager.io/b":"","cert-manager.io/a":""}}"#,
        TemplateError::ForbiddenAnnotation("cert-manager.io/a".into()))]
    #[case::forbidden_though_the_webhook_allows_it(r#"{"annotations":{"cert-manager.io/allow-direct-injection":"true"}}"#,
        TemplateError::ForbiddenAnnotation("cert-manager.io/allow-direct-injection".into()))]
    fn errors(#[case] text: &str, #[case] expected: TemplateError) {
        assert_eq!(parse(text), Err(expected));
    }

    proptest! {
        #[test]
        fn the_output_of_serde_is_parsed(
            labels in prop::collection::btree_map("\\PC{0,6}|.{0,6}", "\\PC{0,6}|.{0,6}", 0..4),
            annotations in prop::collection::btree_map("[a-z/]{0,6}", ".{0,6}", 0..4),
            trailing in "[ -~]{0,4}",
        ) {
            let text = format!("{}{trailing}", json!({"labels": labels, "annotations": annotations}));
            prop_assert_eq!(parse(&text), Ok(SecretTemplate { annotations, labels }));
        }

        #[test]
        fn no_text_panics(text in "([{}\\[\\]:,\" ]|null|labels|annotations|\\\\u[0-9a-f]{4}|[a-z0-9]){0,20}") {
            if let Err(error) = parse(&text) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
