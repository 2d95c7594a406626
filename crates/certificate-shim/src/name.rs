//! Names of Kubernetes objects: DNS labels and subdomains as in RFC 1123 (`IsDNS1123Label`,
//! `IsDNS1123Subdomain` in apimachinery's validation.go).

/// The maximum length of a subdomain, in bytes.
pub const SUBDOMAIN_MAX: usize = 253;
/// The maximum length of a label, in bytes.
pub const LABEL_MAX: usize = 63;

/// Whether a text is a valid name of a Namespace: at most 63 lower-case letters, digits and inner
/// hyphens.
pub fn is_label(text: &str) -> bool {
    text.len() <= LABEL_MAX && has_label_syntax(text)
}

/// Whether a text is a valid name of a Secret: labels joined by dots, at most 253 bytes in total. A
/// single label can have that length.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= SUBDOMAIN_MAX && has_subdomain_syntax(text)
}

/// [`is_subdomain`] without the length limit.
pub fn has_subdomain_syntax(text: &str) -> bool {
    text.split('.').all(has_label_syntax)
}

/// Whether a text is a DNS name without wildcard that a Gateway can serve and a certificate can
/// contain. Underscores and single labels are allowed.
pub fn is_dns_name(text: &str) -> bool {
    let in_label = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() <= SUBDOMAIN_MAX
        && text.split('.').all(|label| !label.is_empty() && label.bytes().all(in_label))
}

fn has_label_syntax(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::letters("team", true, true)]
    #[case::one("a", true, true)]
    #[case::digits_first("0a", true, true)]
    #[case::inner_hyphen("a--b", true, true)]
    #[case::dots("a.b", false, true)]
    #[case::empty("", false, false)]
    #[case::leading_hyphen("-a", false, false)]
    #[case::trailing_hyphen("a-", false, false)]
    #[case::hyphen_at_a_dot("a.-b", false, false)]
    #[case::trailing_dot("a.", false, false)]
    #[case::two_dots("a..b", false, false)]
    #[case::upper_case("Team", false, false)]
    #[case::underscore("a_b", false, false)]
    #[case::slash("a/b", false, false)]
    #[case::not_ascii("é", false, false)]
    #[case::query("ca?x", false, false)]
    #[case::only_dots("..", false, false)]
    #[case::space("a b", false, false)]
    #[case::percent("a%2fb", false, false)]
    #[case::hyphen_at_the_end_of_a_subdomain("a.b-", false, false)]
    fn syntax(#[case] text: &str, #[case] label: bool, #[case] subdomain: bool) {
        assert_eq!((is_label(text), is_subdomain(text)), (label, subdomain));
    }

    #[rstest]
    #[case(63, true, true)]
    #[case(64, false, true)]
    #[case(253, false, true)]
    #[case(254, false, false)]
    fn lengths(#[case] length: usize, #[case] label: bool, #[case] subdomain: bool) {
        let text = "a".repeat(length);
        assert_eq!((is_label(&text), is_subdomain(&text)), (label, subdomain));
    }
}
