//! DNS names of one Certificate, and which names a wildcard among them covers.

use std::collections::BTreeSet;

use crate::certificate::wildcard_over;

/// DNS names, each once without regard to case.
///
/// An ACME server rejects an Order that has a name twice, or a name below a wildcard of the same Order.
/// So the Certificates of an Istio Gateway have neither.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// Adds a name; whether it is new.
    pub fn insert(&mut self, name: &str) -> bool {
        self.0.insert(name.to_ascii_lowercase())
    }

    /// Whether the name is among them.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(&name.to_ascii_lowercase())
    }

    /// Whether the wildcard that covers the name is among them.
    pub fn has_wildcard_over(&self, name: &str) -> bool {
        wildcard_over(&name.to_ascii_lowercase()).is_some_and(|wildcard| self.0.contains(&wildcard))
    }

    /// Whether a Certificate with these names is valid for the name, so that the name need not be
    /// added.
    pub fn covers(&self, name: &str) -> bool {
        self.contains(name) || self.has_wildcard_over(name)
    }

    /// The names that are in both.
    #[must_use]
    pub fn intersection(self, other: &Names) -> Names {
        Names(self.0.into_iter().filter(|name| other.0.contains(name)).collect())
    }

    /// The names in lower case, sorted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<S: AsRef<str>> FromIterator<S> for Names {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Names(names.into_iter().map(|name| name.as_ref().to_ascii_lowercase()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn names(names: &[&str]) -> Names {
        names.iter().collect()
    }

    #[test]
    fn each_once_without_regard_to_case() {
        let mut all = names(&["b.example.com", "B.example.com"]);
        assert!(all.insert("A.example.com"));
        assert!(!all.insert("a.EXAMPLE.com"));
        assert!(all.contains("B.EXAMPLE.COM"));
        assert_eq!(all.iter().collect::<Vec<_>>(), ["a.example.com", "b.example.com"]);
    }

    #[rstest]
    #[case::the_name(&["a.example.com"], "A.example.com", true, false)]
    #[case::below_a_wildcard(&["*.EXAMPLE.com"], "a.Example.com", true, true)]
    #[case::two_labels_below(&["*.example.com"], "a.b.example.com", false, false)]
    #[case::the_wildcards_domain(&["*.example.com"], "example.com", false, false)]
    #[case::the_wildcard(&["*.example.com"], "*.example.com", true, false)]
    #[case::below_a_name(&["example.com"], "a.example.com", false, false)]
    #[case::an_empty_label(&["*.example.com"], ".example.com", false, false)]
    #[case::a_single_label(&["*.", "*"], "localhost", false, false)]
    #[case::none(&[], "a.example.com", false, false)]
    fn covered(
        #[case] all: &[&str],
        #[case] name: &str,
        #[case] is_covered: bool,
        #[case] by_wildcard: bool,
    ) {
        assert_eq!((names(all).covers(name), names(all).has_wildcard_over(name)), (is_covered, by_wildcard));
    }

    #[test]
    fn in_both() {
        let both = names(&["a.example.com", "b.example.com"]).intersection(&names(&["B.example.com", "c"]));
        assert_eq!(both, names(&["b.example.com"]));
    }
}
