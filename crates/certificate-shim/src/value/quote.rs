//! Quoted texts, as in Go's messages.

/// Quotes a text like `strconv.Quote` and `%q`: non-printable characters are escaped.
pub fn quoted(text: &str) -> String {
    quote(text, |c| match c {
        '"' | '\\' => Form::Letter(c),
        '\u{7}' => Form::Letter('a'),
        '\u{b}' => Form::Letter('v'),
        '\0'..' ' | '\u{7f}' => control(c).map_or(Form::Code('x', 2), Form::Letter),
        _ if is_printable(c) => Form::Plain,
        ..'\u{10000}' => Form::Code('u', 4),
        _ => Form::Code('U', 8),
    })
}

/// Quotes a text like the errors of `ParseDuration` in package time: non-ASCII characters are escaped by
/// byte.
pub fn time_quoted(text: &str) -> String {
    quote(text, |c| match c {
        '"' | '\\' => Form::Letter(c),
        ' '..='\u{7f}' => Form::Plain,
        _ => Form::Bytes,
    })
}

/// Truncates a text to `most` characters and appends an ellipsis if it is longer.
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most).and_then(|(at, _)| text.get(..at)) {
        Some(start) => format!("{start}…"),
        None => text.to_owned(),
    }
}

/// The way a character is written.
enum Form {
    /// Unchanged.
    Plain,
    /// As a backslash and a letter.
    Letter(char),
    /// As a backslash, a letter and its code with that number of hexadecimal digits.
    Code(char, usize),
    /// As a backslash, an x and two hexadecimal digits for each of its bytes.
    Bytes,
}

fn quote(text: &str, form: fn(char) -> Form) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match form(c) {
            Form::Plain => out.push(c),
            Form::Letter(letter) => out.extend(['\\', letter]),
            Form::Code(letter, digits) => push_code(&mut out, letter, u32::from(c), digits),
            Form::Bytes => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    push_code(&mut out, 'x', u32::from(byte), 2);
                }
            }
        }
    }
    out.push('"');
    out
}

fn push_code(out: &mut String, letter: char, code: u32, digits: usize) {
    out.extend(['\\', letter]);
    let digit = |place| char::from_digit(code >> (4 * place) & 0xf, 16);
    out.extend((0..digits).rev().filter_map(digit));
}

/// The letter of a control character in `\\n` and the like.
fn control(c: char) -> Option<char> {
    match c {
        '\u{8}' => Some('b'),
        '\u{c}' => Some('f'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        _ => None,
    }
}

/// Whether `strconv.IsPrint` is true outside ASCII: letters, marks, numbers, punctuation and symbols.
///
/// Rust's `escape_debug` escapes the same characters. At the start of a text it also escapes marks, so
/// the character is placed after another one. Only characters that newer versions of Unicode have added
/// are different in Go.
fn is_printable(c: char) -> bool {
    let text = String::from_iter(['a', c]);
    c.is_ascii() || text.escape_debug().to_string() == text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("a b", r#""a b""#)]
    #[case::empty("", r#""""#)]
    #[case::quote(r#"""#, r#""\"""#)]
    #[case::backslash(r"\", r#""\\""#)]
    #[case::apostrophe("'", r#""'""#)]
    #[case::named("\u{7}\u{8}\u{c}\n\r\t\u{b}", r#""\a\b\f\n\r\t\v""#)]
    #[case::control("\0\u{1f}\u{7f}", r#""\x00\x1f\x7f""#)]
    #[case::c1("\u{80}", r#""\u0080""#)]
    #[case::letters("é日ＲΩ", r#""é日ＲΩ""#)]
    #[case::mark("\u{301}e\u{301}", "\"\u{301}e\u{301}\"")]
    #[case::no_break_space("\u{a0}", r#""\u00a0""#)]
    #[case::em_space("\u{2003}", r#""\u2003""#)]
    #[case::zero_width("\u{200b}\u{feff}", r#""\u200b\ufeff""#)]
    #[case::unassigned("\u{378}", r#""\u0378""#)]
    #[case::private("\u{e000}\u{10ffff}", r#""\ue000\U0010ffff""#)]
    #[case::emoji("😀", r#""😀""#)]
    fn like_strconv(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(quoted(text), expected);
    }

    #[rstest]
    #[case::plain("1h 30m", r#""1h 30m""#)]
    #[case::control("h\n", r#""h\x0a""#)]
    #[case::delete_is_kept("\u{7f}", "\"\u{7f}\"")]
    #[case::not_ascii("5\u{a0}m∞", r#""5\xc2\xa0m\xe2\x88\x9e""#)]
    #[case::quotes(r#""\"#, r#""\"\\""#)]
    fn like_time(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(time_quoted(text), expected);
    }

    #[rstest]
    #[case("", 3, "")]
    #[case("abc", 3, "abc")]
    #[case("abcd", 3, "abc…")]
    #[case("äöüß", 3, "äöü…")]
    fn truncated(#[case] text: &str, #[case] most: usize, #[case] expected: &str) {
        assert_eq!(shortened(text, most), expected);
    }

    proptest! {
        #[test]
        fn quoted_texts_are_printable(text in "\\PC*|.*") {
            let quoted = quoted(&text);
            prop_assert!(quoted.starts_with('"') && quoted.ends_with('"'));
            prop_assert!(!quoted.chars().any(char::is_control));
        }
    }
}
