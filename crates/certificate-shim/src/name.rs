//! Names of Kubernetes objects: DNS labels and subdomains as RFC 1123 has them
//! (`IsDNS1123Label`, `IsDNS1123Subdomain` in apimachinery's validation.go).

/// The greatest length of a subdomain, in bytes.
pub const SUBDOMAIN_MAX: usize = 253;
/// The greatest length of a label, in bytes.
pub const LABEL_MAX: usize = 63;

/// Whether it can be the name of a Namespace: lower-case letters, digits and inner hyphens, at most
/// 63 of them.
pub fn is_label(text: &str) -> bool {
    text.len() <= LABEL_MAX && has_label_syntax(text)
}

/// Whether it can be the name of a Secret: labels joined by dots, at most 253 bytes together. A
/// single label may be as long as that.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= SUBDOMAIN_MAX && has_subdomain_syntax(text)
}

/// [`is_subdomain`] without its limit.
pub fn has_subdomain_syntax(text: &str) -> bool {
    text.split('.').all(has_label_syntax)
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
    #[case::up("..", false, false)]
    #[case::blank("a b", false, false)]
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
