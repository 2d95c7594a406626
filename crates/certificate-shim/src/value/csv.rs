//! Lists as one line of CSV (`SplitWithEscapeCSV` in cert-manager's pkg/util, which uses Go's
//! encoding/csv with its defaults).

use std::fmt;

use crate::value::quote::quoted;

/// The reason why a text is not one record of CSV. Lines, and columns in bytes, are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CsvError {
    /// There is no record: the text or all of its lines are empty.
    NoRecord,
    /// There are several records.
    SeveralRecords,
    /// A record has another number of fields than the first.
    FieldCount {
        /// The line where the record begins.
        line: usize,
    },
    /// A quotation mark in an unquoted field.
    BareQuote(Position),
    /// A quotation mark inside a quoted field that is not doubled, or a missing one at the end.
    Quote(Position),
}

/// A position in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line where the record begins.
    pub record: usize,
    /// The line.
    pub line: usize,
    /// The column, in bytes.
    pub column: usize,
}

/// Parses the fields of a text that is one record.
///
/// # Errors
/// The text is not one record of CSV: the first error of Go's reader.
pub fn parse(text: &str) -> Result<Vec<String>, CsvError> {
    let mut reader = Reader { rest: text, line: 0 };
    let first = reader.record()?.ok_or(CsvError::NoRecord)?.fields;
    let mut several = false;
    while let Some(record) = reader.record()? {
        if record.fields.len() != first.len() {
            return Err(CsvError::FieldCount { line: record.line });
        }
        several = true;
    }
    if several { Err(CsvError::SeveralRecords) } else { Ok(first) }
}

struct Record {
    fields: Vec<String>,
    line: usize,
}

struct Reader<'a> {
    rest: &'a str,
    /// The number of lines that have been read.
    line: usize,
}

/// A line without its end, and whether it had one.
type Line<'a> = (&'a str, bool);

impl<'a> Reader<'a> {
    /// Reads the next line. It ends with `\n` or `\r\n`. One `\r` at the end of the text is removed.
    fn read_line(&mut self) -> Option<Line<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        self.line += 1;
        let (line, rest, ended) = match self.rest.split_once('\n') {
            Some((line, rest)) => (line, rest, true),
            None => (self.rest, "", false),
        };
        self.rest = rest;
        Some((line.strip_suffix('\r').unwrap_or(line), ended))
    }

    /// Reads the next record. Empty lines are skipped.
    fn record(&mut self) -> Result<Option<Record>, CsvError> {
        let (mut line, mut ended) = loop {
            match self.read_line() {
                None => return Ok(None),
                Some(("", _)) => {}
                Some(line) => break line,
            }
        };
        let record = self.line;
        let mut position = Position { record, line: record, column: 1 };
        let mut fields = Vec::new();
        loop {
            let Some(quoted) = line.strip_prefix('"') else {
                let (field, rest) =
                    line.split_once(',').map_or((line, None), |(field, rest)| (field, Some(rest)));
                if let Some(at) = field.find('"') {
                    return Err(CsvError::BareQuote(Position {
                        line: self.line,
                        column: position.column + at,
                        ..position
                    }));
                }
                fields.push(field.to_owned());
                match rest {
                    Some(rest) => line = rest,
                    None => break,
                }
                position.column += field.len() + 1;
                continue;
            };
            position.column += 1;
            line = quoted;
            let mut field = String::new();
            let more = loop {
                let Some((content, rest)) = line.split_once('"') else {
                    if line.is_empty() && !ended {
                        return Err(CsvError::Quote(position));
                    }
                    field.push_str(line);
                    position.column += line.len();
                    if ended {
                        field.push('\n');
                        position.column += 1;
                    }
                    (line, ended) = self.read_line().unwrap_or(("", false));
                    if !line.is_empty() || ended {
                        position = Position { line: position.line + 1, column: 1, ..position };
                    }
                    continue;
                };
                field.push_str(content);
                position.column += content.len() + 1;
                line = rest;
                if let Some(rest) = line.strip_prefix('"') {
                    field.push('"');
                    line = rest;
                    position.column += 1;
                } else if let Some(rest) = line.strip_prefix(',') {
                    line = rest;
                    position.column += 1;
                    break true;
                } else if line.is_empty() {
                    break false;
                } else {
                    let column = position.column - 1;
                    return Err(CsvError::Quote(Position { line: self.line, column, ..position }));
                }
            };
            fields.push(field);
            if !more {
                break;
            }
        }
        Ok(Some(Record { fields, line: record }))
    }
}

impl CsvError {
    /// cert-manager's error text, for the complete value.
    pub fn text(self, value: &str) -> impl fmt::Display {
        let value = quoted(value);
        fmt::from_fn(move |f| match self {
            CsvError::NoRecord => write!(f, "no values found after parsing {value}"),
            CsvError::SeveralRecords => {
                write!(f, "refusing to use {value} as input as it parses as multiple lines of CSV")
            }
            CsvError::FieldCount { line } => {
                write!(f, "failed to parse {value} as CSV: record on line {line}: wrong number of fields")
            }
            CsvError::BareQuote(position) => {
                write!(f, "failed to parse {value} as CSV: {position}: bare \" in non-quoted-field")
            }
            CsvError::Quote(position) => {
                write!(
                    f,
                    "failed to parse {value} as CSV: {position}: extraneous or missing \" in quoted-field"
                )
            }
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.record != self.line {
            write!(f, "record on line {}; ", self.record)?;
        }
        write!(f, "parse error on line {}, column {}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    use CsvError::{NoRecord, SeveralRecords};

    fn at(record: usize, line: usize, column: usize) -> Position {
        Position { record, line, column }
    }

    #[rstest]
    #[case::one("a", &["a"])]
    #[case::two("a,b", &["a", "b"])]
    #[case::spaces_are_kept(" a , b ", &[" a ", " b "])]
    #[case::empty_fields(",", &["", ""])]
    #[case::trailing_comma("a,", &["a", ""])]
    #[case::quoted("\"a, b\",c", &["a, b", "c"])]
    #[case::quote_twice("\"a \"\"b\"\"\"", &["a \"b\""])]
    #[case::quotes_alone("\"\"", &[""])]
    #[case::only_a_space(" ", &[" "])]
    #[case::ordinary_characters("#a;b\\n", &["#a;b\\n"])]
    #[case::line_end("a\n", &["a"])]
    #[case::crlf("a\r\n", &["a"])]
    #[case::carriage_return_at_the_end("a\r", &["a"])]
    #[case::carriage_return_within("a\rb", &["a\rb"])]
    #[case::two_carriage_returns("a\r\r\n", &["a\r"])]
    #[case::empty_lines_around("\n\r\n\na\n\n", &["a"])]
    #[case::line_end_in_quotes("\"a\nb\"", &["a\nb"])]
    #[case::crlf_in_quotes("\"a\r\nb\"", &["a\nb"])]
    #[case::empty_line_in_quotes("\"\n\n\"", &["\n\n"])]
    #[case::line_end_after_quotes("\"a\"\n", &["a"])]
    fn read(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[rstest]
    #[case::empty("", NoRecord, r#"no values found after parsing """#)]
    #[case::line_end("\n", NoRecord, r#"no values found after parsing "\n""#)]
    #[case::carriage_return("\r", NoRecord, r#"no values found after parsing "\r""#)]
    #[case::two(
        "a\nb",
        SeveralRecords,
        r#"refusing to use "a\nb" as input as it parses as multiple lines of CSV"#
    )]
    #[case::two_with_a_line_between(
        "a\n\nb",
        SeveralRecords,
        r#"refusing to use "a\n\nb" as input as it parses as multiple lines of CSV"#
    )]
    #[case::other_count("a,b\nc", CsvError::FieldCount { line: 2 }, r#"failed to parse "a,b\nc" as CSV: record on line 2: wrong number of fields"#)]
    #[case::other_count_in_the_third("a\nb\n\nc,d", CsvError::FieldCount { line: 4 }, r#"failed to parse "a\nb\n\nc,d" as CSV: record on line 4: wrong number of fields"#)]
    #[case::quote_within(
        "a\"b",
        CsvError::BareQuote(at(1, 1, 2)),
        r#"failed to parse "a\"b" as CSV: parse error on line 1, column 2: bare " in non-quoted-field"#
    )]
    #[case::quote_after_a_space(
        "é, \"a\"",
        CsvError::BareQuote(at(1, 1, 5)),
        r#"failed to parse "é, \"a\"" as CSV: parse error on line 1, column 5: bare " in non-quoted-field"#
    )]
    #[case::text_after_quotes("\"\"a", CsvError::Quote(at(1, 1, 2)), r#"failed to parse "\"\"a" as CSV: parse error on line 1, column 2: extraneous or missing " in quoted-field"#)]
    #[case::quote_left_open("\"a\nb", CsvError::Quote(at(1, 2, 2)), r#"failed to parse "\"a\nb" as CSV: record on line 1; parse error on line 2, column 2: extraneous or missing " in quoted-field"#)]
    #[case::error_in_the_second(
        "a\nb\"",
        CsvError::BareQuote(at(2, 2, 2)),
        r#"failed to parse "a\nb\"" as CSV: parse error on line 2, column 2: bare " in non-quoted-field"#
    )]
    fn errors(#[case] text: &str, #[case] expected: CsvError, #[case] expected_text: &str) {
        let error = parse(text).unwrap_err();
        assert_eq!(error, expected);
        assert_eq!(error.text(text).to_string(), expected_text);
    }

    proptest! {
        #[test]
        fn quoted_fields_are_parsed(fields in prop::collection::vec("[a-z\",\n é]{0,6}", 1..5)) {
            let quoted: Vec<String> = fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
            prop_assert_eq!(parse(&quoted.join(",")).unwrap(), fields);
        }

        #[test]
        fn fields_without_quotes_are_split_at_commas(text in "[a-z #;,é-]{1,20}") {
            prop_assert_eq!(parse(&text).unwrap(), text.split(',').collect::<Vec<_>>());
        }

        #[test]
        fn no_text_panics(text in "[a\",\r\n]{0,12}|.*") {
            if let Err(error) = parse(&text) {
                prop_assert!(!error.text(&text).to_string().is_empty());
            }
        }
    }
}
