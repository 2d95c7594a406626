//! Suggestions for keys that cert-manager does not know.

use super::{ReadFrom, TABLE};

/// The group of cert-manager's annotations before release 0.11, and a common misspelling of it.
const LEGACY: [&str; 2] = ["certmanager.k8s.io/", "cert-manager.k8s.io/"];

/// The maximum number of letters that are wrong, missing, superfluous or swapped.
const TYPOS: u8 = 2;

/// Whether the key is in cert-manager's old group, which is no longer read.
pub fn is_legacy(key: &str) -> bool {
    LEGACY.iter().any(|prefix| key.starts_with(prefix))
}

/// The annotation that a key most likely refers to, if cert-manager does not know the key. For a key
/// in the old group, it is the successor. Otherwise it is the annotation that is read and differs
/// only in case, surrounding white space or a few letters. `None` if the key is known, or if none is
/// similar.
pub fn suggestion(key: &str) -> Option<&'static str> {
    if super::find(key).is_some() {
        return None;
    }
    let key = key.trim();
    for prefix in LEGACY {
        if let Some(name) = key.strip_prefix(prefix) {
            return match name.strip_prefix("acme-") {
                Some(name) => nearest("acme.cert-manager.io/", name),
                None => nearest("cert-manager.io/", name),
            };
        }
    }
    nearest("", key)
}

/// The key that is most similar to a text after its prefix is removed; the first if there are several.
fn nearest(prefix: &str, text: &str) -> Option<&'static str> {
    let read = || TABLE.iter().filter(|annotation| annotation.read_from != ReadFrom::None);
    (0..=TYPOS).find_map(|typos| {
        read().map(|annotation| annotation.key).find(|key| {
            let name = key.strip_prefix(prefix).unwrap_or_default();
            name.len().abs_diff(text.len()) <= usize::from(typos)
                && differ_by(name.as_bytes(), text.as_bytes(), typos)
        })
    })
}

/// Whether two texts are equal except for case and at most `typos` letters that are wrong, missing,
/// superfluous or swapped with their neighbour.
fn differ_by(mut a: &[u8], mut b: &[u8], typos: u8) -> bool {
    while let ([x, rest_of_a @ ..], [y, rest_of_b @ ..]) = (a, b) {
        if !x.eq_ignore_ascii_case(y) {
            break;
        }
        (a, b) = (rest_of_a, rest_of_b);
    }
    let Some(fewer) = typos.checked_sub(1) else { return a.is_empty() && b.is_empty() };
    let (less_a, less_b) = (a.get(1..), b.get(1..));
    let missing = less_b.is_some_and(|b| differ_by(a, b, fewer));
    let superfluous = less_a.is_some_and(|a| differ_by(a, b, fewer));
    let wrong = less_a.zip(less_b).is_some_and(|(a, b)| differ_by(a, b, fewer));
    let swapped = match (a, b) {
        ([a1, a2, a @ ..], [b1, b2, b @ ..])
            if a1.eq_ignore_ascii_case(b2) && a2.eq_ignore_ascii_case(b1) =>
        {
            differ_by(a, b, fewer)
        }
        _ => false,
    };
    (a.is_empty() && b.is_empty()) || missing || superfluous || wrong || swapped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case::no_hyphen("cert-manager.io/clusterissuer", Some("cert-manager.io/cluster-issuer"))]
    #[case::case("cert-manager.io/Issuer", Some("cert-manager.io/issuer"))]
    #[case::camel_case("cert-manager.io/clusterIssuer", Some("cert-manager.io/cluster-issuer"))]
    #[case::group_in_other_case("Cert-Manager.io/issuer", Some("cert-manager.io/issuer"))]
    #[case::plural("cert-manager.io/issuers", Some("cert-manager.io/issuer"))]
    #[case::singular("cert-manager.io/usage", Some("cert-manager.io/usages"))]
    #[case::group_misspelt("cert-manger.io/issuer", Some("cert-manager.io/issuer"))]
    #[case::group_without_hyphen("certmanager.io/cluster-issuer", Some("cert-manager.io/cluster-issuer"))]
    #[case::trailing_spaces("cert-manager.io/issuer  ", Some("cert-manager.io/issuer"))]
    #[case::underscore("cert-manager.io/cluster_issuer", Some("cert-manager.io/cluster-issuer"))]
    #[case::swapped("cert-manager.io/isseur", Some("cert-manager.io/issuer"))]
    #[case::two_typos("cert-manager.io/renewbefor", Some("cert-manager.io/renew-before"))]
    #[case::superfluous_hyphen(
        "cert-manager.io/subject-organizational-units",
        Some("cert-manager.io/subject-organizationalunits")
    )]
    #[case::acme(
        "acme.cert-manager.io/http01-edit-inplace",
        Some("acme.cert-manager.io/http01-edit-in-place")
    )]
    #[case::legacy_issuer("certmanager.k8s.io/issuer", Some("cert-manager.io/issuer"))]
    #[case::legacy_cluster_issuer(
        "certmanager.k8s.io/cluster-issuer",
        Some("cert-manager.io/cluster-issuer")
    )]
    #[case::legacy_misspelt("certmanager.k8s.io/clusterissuer", Some("cert-manager.io/cluster-issuer"))]
    #[case::mixed_group("cert-manager.k8s.io/issuer", Some("cert-manager.io/issuer"))]
    #[case::legacy_acme(
        "certmanager.k8s.io/acme-http01-edit-in-place",
        Some("acme.cert-manager.io/http01-edit-in-place")
    )]
    #[case::legacy_without_successor("certmanager.k8s.io/acme-challenge-type", None)]
    #[case::known("cert-manager.io/issuer", None)]
    #[case::known_but_not_read("cert-manager.io/uri-sans", None)]
    #[case::three_typos("cert-manager.io/clsterissur", None)]
    #[case::other_name("cert-manager.io/owner", None)]
    #[case::other_group("example.com/issuer", None)]
    #[case::istio("networking.istio.io/exportTo", None)]
    #[case::group_alone("cert-manager.io/", None)]
    #[case::empty("", None)]
    fn suggested(#[case] key: &str, #[case] expected: Option<&str>) {
        assert_eq!(suggestion(key), expected);
    }

    #[rstest]
    #[case("certmanager.k8s.io/issuer", true)]
    #[case("cert-manager.io/issuer", false)]
    fn old_group(#[case] key: &str, #[case] expected: bool) {
        assert_eq!(is_legacy(key), expected);
    }

    fn read_keys() -> Vec<&'static str> {
        TABLE.iter().filter(|row| row.read_from != ReadFrom::None).map(|row| row.key).collect()
    }

    proptest! {
        #[test]
        fn a_name_with_one_typo_is_found(
            key in prop::sample::select(read_keys()), at in any::<prop::sample::Index>(), letter in "[a-z-]", kind in 0..3
        ) {
            let (prefix, name) = key.split_once('/').unwrap();
            let (start, rest) = name.split_at(at.index(name.len()));
            let mut tail = rest.chars();
            if kind > 0 { tail.next(); }
            let misspelt = format!("{prefix}/{start}{}{}", if kind < 2 { &letter } else { "" }, tail.as_str());
            if super::super::find(&misspelt).is_none() {
                let found = suggestion(&misspelt);
                let is_near = |found: &str| differ_by(found.as_bytes(), misspelt.as_bytes(), 1);
                prop_assert!(found.is_some_and(is_near), "{misspelt}: {found:?}");
            }
        }

        #[test]
        fn no_key_panics(key in "\\PC{0,40}") {
            suggestion(&key);
        }
    }
}
