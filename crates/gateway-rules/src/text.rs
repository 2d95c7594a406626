//! Texts for messages: quoted values and lists of bounded length.

use std::fmt::Write;

use certificate_shim::IssuerRef;

/// The most characters of a user's value in a message.
const VALUE: usize = 80;
/// The most characters of a help.
const HELP: usize = 120;

/// The value in double quotes, control characters escaped, at most 80 characters of it.
pub fn quote(value: &str) -> String {
    format!("\"{}\"", escape(value))
}

/// At most 80 characters of the value; quotes, backslashes and control characters are escaped.
fn escape(value: &str) -> String {
    let mut escaped = String::new();
    let mut characters = value.chars();
    for character in characters.by_ref().take(VALUE) {
        match character {
            '"' | '\\' => escaped.extend(['\\', character]),
            c if is_unprintable(c) => {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "{}", c.escape_unicode());
            }
            c => escaped.push(c),
        }
    }
    if characters.next().is_some() {
        escaped.push('…');
    }
    escaped
}

/// Whether a terminal would interpret or hide a character: C0, DEL, C1, line and direction marks.
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The first three of several values, quoted, and how many more there are.
pub fn quoted_list(values: &[&str]) -> String {
    let mut list = String::new();
    for value in values.iter().take(3) {
        let separator = if list.is_empty() { "" } else { ", " };
        list.extend([separator, quote(value).as_str()]);
    }
    list.push_str(&and_more(values.len().saturating_sub(3)));
    list
}

/// The first `most` characters, with `…` for what is left out.
pub fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// The text on one line: every run of white space and unprintable characters becomes one space.
pub fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || is_unprintable(c)).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// The help for a value that a tenant may not have: as many of the allowed values as fit into a help,
/// each as `show` writes it, and how many more there are.
pub fn allowed(values: &[String], show: fn(&str) -> String) -> String {
    const START: &str = "Allowed: ";
    const END: &str = ". Ask the platform team for others.";
    let room = HELP - START.len() - END.len();
    let mut list = String::new();
    let mut length = 0;
    for (index, value) in values.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let shown = show(value);
        let more = and_more(values.len() - index - 1);
        let fits = length + separator.len() + shown.chars().count() + more.len() <= room;
        if !fits && index > 0 {
            list.push_str(&and_more(values.len() - index));
            break;
        }
        let shown = if fits { shown } else { shorten(&shown, room - more.len()) };
        length += separator.len() + shown.chars().count();
        list.extend([separator, shown.as_str()]);
    }
    if list.is_empty() {
        "None are allowed. Ask the platform team.".to_owned()
    } else {
        format!("{START}{list}{END}")
    }
}

fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" and {count} more") }
}

/// `Issuer "ca"`, or `AWSPCAIssuer.awspca.cert-manager.io "ca"` for a kind of another group.
pub fn issuer(reference: &IssuerRef) -> String {
    let kind = escape(reference.effective_kind());
    let name = quote(&reference.name);
    if reference.is_own_group() {
        format!("{kind} {name}")
    } else {
        format!("{kind}.{} {name}", escape(reference.effective_group()))
    }
}

/// The candidate that is closest to a word, if any is close: at most one edit for short words, two for
/// longer ones.
pub fn nearest<'c>(written: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let allowed = if written.len() < 5 { 1 } else { 2 };
    candidates
        .iter()
        .map(|candidate| (distance(&written.to_ascii_lowercase(), candidate), *candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let substituted = diagonal + usize::from(x != y);
            diagonal = *cell;
            left = substituted.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("ca", "\"ca\"")]
    #[case::empty("", "\"\"")]
    #[case::quotes("a\"b\\c", "\"a\\\"b\\\\c\"")]
    #[case::newline("a\nb", "\"a\\u{a}b\"")]
    #[case::direction("a\u{202e}b", "\"a\\u{202e}b\"")]
    #[case::umlaut("zürich", "\"zürich\"")]
    fn quoted(#[case] value: &str, #[case] expected: &str) {
        assert_eq!(quote(value), expected);
    }

    #[rstest]
    #[case::of_cert_manager("", "", "Issuer \"ca\"")]
    #[case::of_another_group(
        "AWSPCAIssuer",
        "awspca.cert-manager.io",
        "AWSPCAIssuer.awspca.cert-manager.io \"ca\""
    )]
    #[case::line_breaks("A\nB", "x.io\nRules:", "A\\u{a}B.x.io\\u{a}Rules: \"ca\"")]
    fn issuers(#[case] kind: &str, #[case] group: &str, #[case] expected: &str) {
        assert_eq!(
            issuer(&IssuerRef { name: "ca".into(), kind: kind.into(), group: group.into() }),
            expected
        );
    }

    #[rstest]
    #[case(&[], "")]
    #[case(&["a"], "\"a\"")]
    #[case(&["a", "b", "c"], "\"a\", \"b\", \"c\"")]
    #[case(&["a", "b", "c", "d", "e"], "\"a\", \"b\", \"c\" and 2 more")]
    fn listed(#[case] values: &[&str], #[case] expected: &str) {
        assert_eq!(quoted_list(values), expected);
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(quote(&"ä".repeat(80)), format!("\"{}\"", "ä".repeat(80)));
        assert_eq!(quote(&"ä".repeat(81)), format!("\"{}…\"", "ä".repeat(80)));
    }

    #[rstest]
    #[case("abc", 3, "abc")]
    #[case("abcd", 3, "ab…")]
    #[case("äöü", 3, "äöü")]
    #[case("äöüß", 3, "äö…")]
    fn shortened(#[case] text: &str, #[case] most: usize, #[case] expected: &str) {
        assert_eq!(shorten(text, most), expected);
    }

    #[rstest]
    #[case::none(&[], "None are allowed. Ask the platform team.")]
    #[case::one(&["a*"], "Allowed: \"a*\". Ask the platform team for others.")]
    #[case::two(&["a", "b"], "Allowed: \"a\", \"b\". Ask the platform team for others.")]
    fn allowed_values(#[case] values: &[&str], #[case] expected: &str) {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        assert_eq!(allowed(&values, quote), expected);
    }

    /// The list has 76 characters.
    #[rstest]
    #[case::exactly(&[76], 120, "aa. Ask")]
    #[case::one_too_long(&[77], 120, "a…. Ask")]
    #[case::two_exactly(&[37, 37], 120, "aa, aa")]
    #[case::second_does_not_fit(&[40, 36], 95, "a and 1 more. Ask")]
    #[case::first_too_long_of_two(&[77, 20], 120, "a… and 1 more. Ask")]
    #[case::first_cut_for_the_second(&[77, 3], 114, "a…, aaa. Ask")]
    #[case::only_the_last_does_not_fit(&[20, 20, 40], 97, "a, aaaaaaaaaaaaaaaaaaaa and 1 more. Ask")]
    #[case::a_hundred(&[10; 100], 114, "aaaaaaaaaa, aaaaaaaaaa and 95 more. Ask")]
    #[case::a_million(&[10; 1_000_000], 118, "aaaaaaaaaa, aaaaaaaaaa and 999995 more. Ask")]
    fn allowed_values_fit(#[case] lengths: &[usize], #[case] length: usize, #[case] part: &str) {
        let values: Vec<String> = lengths.iter().map(|length| "a".repeat(*length)).collect();
        let text = allowed(&values, str::to_owned);
        assert_eq!(text.chars().count(), length, "{text}");
        assert!(text.contains(part), "{text}");
    }

    #[test]
    fn a_character_counts_once() {
        let text = allowed(&["ä".repeat(76)], str::to_owned);
        assert!(text.contains("ää. Ask"), "{text}");
    }

    #[test]
    fn one_line_only() {
        assert_eq!(one_line(" a\n\tb\r\n  c\u{0}\u{202e}d "), "a b c d");
    }

    #[rstest]
    #[case("rols", Some("role"))]
    #[case("Role", Some("role"))]
    #[case("gateway_namespace", Some("gateway_namespaces"))]
    #[case("default_isuser", Some("default_issuer"))]
    #[case("tenant_list", None)]
    #[case("", None)]
    fn nearest_name(#[case] written: &str, #[case] expected: Option<&str>) {
        assert_eq!(nearest(written, &["role", "default_issuer", "gateway_namespaces"]), expected);
    }

    #[rstest]
    #[case("", "", 0)]
    #[case("ab", "ab", 0)]
    #[case("ab", "ba", 2)]
    #[case("abc", "abd", 1)]
    #[case("abc", "ab", 1)]
    #[case("", "ab", 2)]
    #[case("a", "abcd", usize::MAX)]
    fn edits(#[case] a: &str, #[case] b: &str, #[case] expected: usize) {
        assert_eq!(distance(a, b), expected);
    }
}
