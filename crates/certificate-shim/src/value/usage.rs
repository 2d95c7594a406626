//! Key usages (`KeyUsage` in cert-manager's pkg/apis/certmanager/v1/types.go).

/// All key usages.
pub const USAGES: &[&str] = &[
    "signing",
    "digital signature",
    "content commitment",
    "key encipherment",
    "key agreement",
    "data encipherment",
    "cert sign",
    "crl sign",
    "encipher only",
    "decipher only",
    "any",
    "server auth",
    "client auth",
    "code signing",
    "email protection",
    "s/mime",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "timestamping",
    "ocsp signing",
    "microsoft sgc",
    "netscape sgc",
];

/// The default usages of a Certificate (`DefaultKeyUsages`).
pub const DEFAULT: &[&str] = &["digital signature", "key encipherment"];

/// Parses a list of usages, separated by commas. Spaces around an item are ignored; other white space
/// is not.
///
/// # Errors
/// An item is not a key usage: the first one, with its spaces.
pub fn parse(text: &str) -> Result<Vec<&'static str>, &str> {
    text.split(',').map(|item| find(item.trim_matches(' ')).ok_or(item)).collect()
}

fn find(name: &str) -> Option<&'static str> {
    USAGES.iter().find(|usage| **usage == name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case::one("server auth", Ok(vec!["server auth"]))]
    #[case::order_is_kept("server auth,any", Ok(vec!["server auth", "any"]))]
    #[case::twice("any,any", Ok(vec!["any", "any"]))]
    #[case::spaces("  any , s/mime ", Ok(vec!["any", "s/mime"]))]
    #[case::tab("any,\tany", Err("\tany"))]
    #[case::no_break_space("\u{a0}any", Err("\u{a0}any"))]
    #[case::case("Any", Err("Any"))]
    #[case::hyphen("digital-signature", Err("digital-signature"))]
    #[case::two_inner_spaces("digital  signature", Err("digital  signature"))]
    #[case::empty("", Err(""))]
    #[case::empty_item("any,", Err(""))]
    #[case::the_first_is_returned("any, bogus,worse", Err(" bogus"))]
    fn read(#[case] text: &str, #[case] expected: Result<Vec<&str>, &str>) {
        assert_eq!(parse(text), expected);
    }

    proptest! {
        #[test]
        fn every_list_of_usages_is_parsed(chosen in prop::collection::vec((0..USAGES.len(), " {0,3}", " {0,3}"), 1..6)) {
            let items: Vec<String> = chosen.iter().map(|(i, l, r)| format!("{l}{}{r}", USAGES[*i])).collect();
            let usages: Vec<&str> = chosen.iter().map(|(i, ..)| USAGES[*i]).collect();
            let text = items.join(",");
            prop_assert_eq!(parse(&text), Ok(usages));
        }

        #[test]
        fn the_error_is_an_item(text in "[a-z ,\t]{0,20}") {
            if let Err(item) = parse(&text) {
                prop_assert!(text.split(',').any(|other| other == item));
                prop_assert!(!USAGES.contains(&item));
            }
        }
    }
}
