//! Kubernetes' object names, checked before one is pasted into a URL or looked up.

/// Whether it is a DNS-1123 subdomain, as names of custom resources and Secrets are
/// (`IsDNS1123Subdomain` in k8s.io/apimachinery/pkg/util/validation).
pub fn is_dns1123_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label_of_any_length)
}

/// Whether it is a DNS-1123 label, as names of namespaces are (`IsDNS1123Label`).
pub fn is_dns1123_label(name: &str) -> bool {
    name.len() <= 63 && is_label_of_any_length(name)
}

fn is_label_of_any_length(label: &str) -> bool {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = label.as_bytes();
    alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes.iter().all(|b| alphanumeric(Some(b)) || *b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("letsencrypt-prod", true)]
    #[case::dots("ca.v2", true)]
    #[case::digits("1", true)]
    #[case::longest(&"a".repeat(253), true)]
    #[case::too_long(&"a".repeat(254), false)]
    #[case::empty("", false)]
    #[case::upper_case("CA", false)]
    #[case::slash("ca/status", false)]
    #[case::query("ca?x", false)]
    #[case::up("..", false)]
    #[case::empty_label("a..b", false)]
    #[case::hyphen_first("-a", false)]
    #[case::hyphen_last("a.b-", false)]
    #[case::blank("a b", false)]
    #[case::percent("a%2fb", false)]
    #[case::umlaut("zürich", false)]
    fn subdomains(#[case] name: &str, #[case] expected: bool) {
        assert_eq!(is_dns1123_subdomain(name), expected);
    }

    #[rstest]
    #[case("team-a", true)]
    #[case(&"a".repeat(63), true)]
    #[case(&"a".repeat(64), false)]
    #[case("a.b", false)]
    fn labels(#[case] name: &str, #[case] expected: bool) {
        assert_eq!(is_dns1123_label(name), expected);
    }
}
