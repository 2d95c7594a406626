//! Plain email addresses: those that Go's `mail.ParseAddress` accepts and returns unchanged, which
//! cert-manager's webhook requires in `emailAddresses`.

use crate::value::ip::is_ip;

/// Whether a text is `local@domain`, where `local` is a dot-atom and `domain` a dot-atom or an IP
/// address in brackets (RFC 5322, section 3.4.1). Quoted local parts, display names, angle brackets,
/// comments and spaces are not allowed: Go accepts them, but returns a different text.
pub fn is_plain_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| is_dot_atom(local) && is_domain(domain))
}

fn is_domain(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(literal) => is_ip(literal),
        None => is_dot_atom(text),
    }
}

fn is_dot_atom(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom_character))
}

/// Whether Go accepts a character in an atom. It accepts all characters outside ASCII (RFC 6532).
fn is_atom_character(c: char) -> bool {
    !c.is_ascii() || (c.is_ascii_graphic() && !"()<>[]:;@\\,\"".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("ops@example.com", true)]
    #[case::no_top_level_domain("a@b", true)]
    #[case::dots("a.b.c@d.e", true)]
    #[case::plus("a+b@example.com", true)]
    #[case::every_special_character("!#$%&'*+-/=?^_`{|}~@example.com", true)]
    #[case::hyphen_first_in_domain("a@-x", true)]
    #[case::underscore_in_domain("a@x_y", true)]
    #[case::not_ascii("é@日本.jp", true)]
    #[case::no_break_space("a\u{a0}b@example.com", true)]
    #[case::v4("a@[192.0.2.1]", true)]
    #[case::v6("a@[::1]", true)]
    #[case::v6_with_tag("a@[IPv6:::1]", false)]
    #[case::brackets_without_address("a@[example.com]", false)]
    #[case::empty("", false)]
    #[case::no_at("a", false)]
    #[case::two_at("a@b@c", false)]
    #[case::no_local("@b", false)]
    #[case::no_domain("a@", false)]
    #[case::leading_dot(".a@b", false)]
    #[case::trailing_dot("a.@b", false)]
    #[case::two_dots("a..b@c", false)]
    #[case::trailing_dot_in_domain("a@b.", false)]
    #[case::two_dots_in_domain("a@b..c", false)]
    #[case::leading_space(" a@b", false)]
    #[case::inner_space("a b@c", false)]
    #[case::angle_brackets("<a@b>", false)]
    #[case::display_name("Ops <a@b>", false)]
    #[case::comment("a@b(c)", false)]
    #[case::quoted("\"a\"@b", false)]
    #[case::group("g:a@b;", false)]
    #[case::delete("a\u{7f}@b", false)]
    #[case::line_end("a@b\n", false)]
    fn addresses(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(is_plain_address(text), expected);
    }

    proptest! {
        #[test]
        fn words_joined_by_dots_are_addresses(text in "[a-z0-9!#$_~é-]{1,4}(\\.[a-z0-9é-]{1,4}){0,3}@[a-z0-9_-]{1,4}(\\.[a-z]{1,4}){0,3}") {
            prop_assert!(is_plain_address(&text));
        }

        #[test]
        fn an_address_has_no_spaces_or_control_characters(text in "[ -~\t\u{7f}é]{0,8}@[ -~\t]{0,8}") {
            if is_plain_address(&text) {
                prop_assert!(text.bytes().all(|byte| byte > b' ' && byte != 0x7f));
                prop_assert_eq!(text.matches('@').count(), 1);
            }
        }
    }
}
