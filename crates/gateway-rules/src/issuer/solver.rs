//! The solver of an ACME issuer that answers for a name, as cert-manager selects it
//! (pkg/util/solverpicker/solverpicker.go, pkg/controller/acmeorders/selectors).
//!
//! A solver fits if its challenge is offered for the name and its selector's labels, names and zones
//! all match. An omitted part of a selector matches everything and weighs nothing. The heaviest solver
//! that fits is used: first by listed name, then by the longest zone, then by the number of labels. If
//! several are equal, the first is used.

use super::acme::{Acme, Solver};

/// Chooses solvers for the names of Certificates that carry the same labels.
pub struct Picker<'p, 'a> {
    solvers: &'p [Solver<'a>],
    /// For each solver, the number of labels that match; `None` if one does not.
    labels: Vec<Option<usize>>,
    http01_wildcards: bool,
}

/// How well a solver fits a name: the weight of each part of its selector; `None` if the part does not
/// match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// Whether the CA offers the solver's challenge for this name.
    pub offered: bool,
    /// The number of `matchLabels`.
    pub labels: Option<usize>,
    /// 1 if `dnsNames` lists the name.
    pub names: Option<usize>,
    /// The number of labels of the longest zone in `dnsZones` that contains the name.
    pub zones: Option<usize>,
}

impl Fit {
    /// The weights of name, zone and labels; `None` if any part does not match.
    fn weight(self) -> Option<(usize, usize, usize)> {
        match self {
            Fit { offered: true, labels: Some(labels), names: Some(names), zones: Some(zones) } => {
                Some((names, zones, labels))
            }
            _ => None,
        }
    }

    /// The number of parts, of four, that do not match.
    fn misfits(self) -> usize {
        let missing = [!self.offered, self.labels.is_none(), self.names.is_none(), self.zones.is_none()];
        missing.into_iter().filter(|missing| *missing).count()
    }
}

impl<'p, 'a> Picker<'p, 'a> {
    /// Solvers for Certificates; `label` returns the value of one of their labels. With
    /// `http01_wildcards`, the CA also offers HTTP-01 for wildcards.
    pub fn new<'l>(
        acme: &'p Acme<'a>,
        label: &dyn Fn(&str) -> Option<&'l str>,
        http01_wildcards: bool,
    ) -> Self {
        let mut labels = Vec::new();
        for solver in &acme.solvers {
            let matching = solver.match_labels.iter().all(|(key, value)| label(key) == Some(*value));
            labels.push(matching.then_some(solver.match_labels.len()));
        }
        Picker { solvers: &acme.solvers, labels, http01_wildcards }
    }

    /// The solver that answers for a name.
    pub fn pick(&self, name: &str, is_ip: bool) -> Option<&'p Solver<'a>> {
        let mut best: Option<((usize, usize, usize), &Solver<'a>)> = None;
        for (index, solver) in self.solvers.iter().enumerate() {
            if let Some(weight) = self.fit(index, solver, name, is_ip).weight()
                && best.as_ref().is_none_or(|(heaviest, _)| weight > *heaviest)
            {
                best = Some((weight, solver));
            }
        }
        best.map(|(_, solver)| solver)
    }

    /// The solver with the fewest parts that do not match a name: its index, itself and how it fits. If
    /// several are equal, one whose challenge is offered, and then the first.
    pub fn closest(&self, name: &str, is_ip: bool) -> Option<(usize, &'p Solver<'a>, Fit)> {
        let mut closest: Option<((usize, bool), usize, &Solver<'a>, Fit)> = None;
        for (index, solver) in self.solvers.iter().enumerate() {
            let fit = self.fit(index, solver, name, is_ip);
            let lacks = (fit.misfits(), !fit.offered);
            if closest.as_ref().is_none_or(|(least, ..)| lacks < *least) {
                closest = Some((lacks, index, solver, fit));
            }
        }
        closest.map(|(_, index, solver, fit)| (index, solver, fit))
    }

    fn fit(&self, index: usize, solver: &Solver<'_>, name: &str, is_ip: bool) -> Fit {
        // For an IP address there is no DNS-01 (RFC 8738, section 7).
        let http01 = self.http01_wildcards || !name.starts_with("*.");
        Fit {
            offered: (http01 && solver.http01.is_some()) || (!is_ip && solver.dns01),
            labels: self.labels.get(index).copied().flatten(),
            names: weight(&solver.dns_names, |listed| usize::from(is_name(listed, name))),
            zones: weight(&solver.dns_zones, |zone| zone_labels(zone, name)),
        }
    }
}

/// The weight of the heaviest entry: 0 if the list is empty, `None` if no entry matches.
fn weight(entries: &[&str], weigh: impl Fn(&str) -> usize) -> Option<usize> {
    let heaviest = entries.iter().map(|entry| weigh(entry)).max();
    if heaviest == Some(0) { None } else { Some(heaviest.unwrap_or_default()) }
}

/// Whether an entry of `dnsNames` is the name as the CA writes it, which is in lower case (as Boulder
/// and Pebble do). cert-manager compares it case-sensitively.
fn is_name(listed: &str, name: &str) -> bool {
    listed.eq_ignore_ascii_case(name) && !listed.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// The number of labels of a zone that contains the name, otherwise 0 (`CompareDomainName` and
/// `CountLabel` of miekg/dns: case-insensitive, but a trailing dot counts).
fn zone_labels(zone: &str, name: &str) -> usize {
    let holds = match name.len().checked_sub(zone.len()) {
        Some(0) => name.eq_ignore_ascii_case(zone),
        Some(start) => {
            let (below, end) = (name.get(..start), name.get(start..));
            end.is_some_and(|end| end.eq_ignore_ascii_case(zone))
                && below.is_some_and(|below| below.ends_with('.'))
        }
        None => false,
    };
    if holds && !zone.is_empty() { zone.trim_end_matches('.').split('.').count() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::acme::Http01;
    use proptest::prelude::*;
    use rstest::rstest;

    const HTTP01: Option<Http01<'_>> = Some(Http01::Ingress { class: "" });

    /// The labels of the Certificate.
    const CARRIED: [(&str, &str); 2] = [("a", "b"), ("c", "d")];

    fn http01() -> Solver<'static> {
        Solver { http01: HTTP01, ..Solver::default() }
    }

    fn dns01() -> Solver<'static> {
        Solver { dns01: true, ..Solver::default() }
    }

    fn labelled(solver: Solver<'static>, labels: &[(&'static str, &'static str)]) -> Solver<'static> {
        Solver { match_labels: labels.iter().copied().collect(), ..solver }
    }

    fn names(solver: Solver<'static>, names: &[&'static str]) -> Solver<'static> {
        Solver { dns_names: names.to_vec(), ..solver }
    }

    fn zones(solver: Solver<'static>, zones: &[&'static str]) -> Solver<'static> {
        Solver { dns_zones: zones.to_vec(), ..solver }
    }

    /// The index of the solver for a name.
    fn pick(solvers: &[Solver<'static>], name: &str, is_ip: bool, http01_wildcards: bool) -> Option<usize> {
        let acme = Acme { solvers: solvers.to_vec(), ..Acme::default() };
        let label = |key: &str| CARRIED.iter().find(|(own, _)| *own == key).map(|(_, value)| *value);
        let picker = Picker::new(&acme, &label, http01_wildcards);
        let picked = picker.pick(name, is_ip)?;
        acme.solvers.iter().position(|solver| std::ptr::eq(solver, picked))
    }

    #[rstest]
    #[case::none(&[], None)]
    #[case::any(&[http01()], Some(0))]
    #[case::the_first_of_equals(&[http01(), dns01()], Some(0))]
    #[case::neither_challenge(&[Solver::default()], None)]
    #[case::labels(&[labelled(http01(), &[("a", "b"), ("c", "d")])], Some(0))]
    #[case::label_with_another_value(&[labelled(http01(), &[("a", "x")])], None)]
    #[case::one_label_too_many(&[labelled(http01(), &[("a", "b"), ("e", "f")])], None)]
    #[case::more_labels_weigh_more(&[labelled(http01(), &[("a", "b")]), labelled(dns01(), &[("a", "b"), ("c", "d")])], Some(1))]
    #[case::labels_beat_none(&[http01(), labelled(dns01(), &[("a", "b")])], Some(1))]
    #[case::none_never_replaces(&[labelled(dns01(), &[("a", "b")]), http01()], Some(0))]
    #[case::name(&[names(http01(), &["x.com", "www.example.com"])], Some(0))]
    #[case::name_of_another_case(&[names(http01(), &["WWW.example.com"])], None)]
    #[case::other_name(&[names(http01(), &["example.com"])], None)]
    #[case::name_beats_zone(&[zones(http01(), &["www.example.com"]), names(dns01(), &["www.example.com"])], Some(1))]
    #[case::name_stays_before_zone(&[names(dns01(), &["www.example.com"]), zones(http01(), &["www.example.com"])], Some(0))]
    #[case::of_two_names_the_one_with_a_zone(
        &[names(http01(), &["www.example.com"]), zones(names(dns01(), &["www.example.com"]), &["com"])], Some(1)
    )]
    #[case::of_two_names_the_one_with_labels(
        &[names(http01(), &["www.example.com"]), labelled(names(dns01(), &["www.example.com"]), &[("a", "b")])], Some(1)
    )]
    #[case::zone(&[zones(http01(), &["example.org", "example.com"])], Some(0))]
    #[case::zone_of_another_case(&[zones(http01(), &["Example.COM"])], Some(0))]
    #[case::longer_zone(&[zones(http01(), &["com"]), zones(dns01(), &["com", "example.com"])], Some(1))]
    #[case::zone_beats_labels(&[labelled(http01(), &[("a", "b")]), zones(dns01(), &["com"])], Some(1))]
    #[case::zone_is_the_name(&[zones(http01(), &["www.example.com"])], Some(0))]
    #[case::no_whole_label(&[zones(http01(), &["ple.com"])], None)]
    #[case::wildcard_zone(&[zones(http01(), &["*.example.com"])], None)]
    #[case::zone_with_a_trailing_dot(&[zones(http01(), &["example.com."])], None)]
    #[case::empty_zone(&[zones(http01(), &[""])], None)]
    #[case::name_and_zone_both_have_to_match(&[zones(names(http01(), &["www.example.com"]), &["example.org"])], None)]
    fn picked(#[case] solvers: &[Solver<'static>], #[case] expected: Option<usize>) {
        assert_eq!(pick(solvers, "www.example.com", false, false), expected);
    }

    #[rstest]
    #[case::wildcard("*.example.com", false, false, Some(1))]
    #[case::wildcard_by_http01("*.example.com", false, true, Some(0))]
    #[case::address("192.0.2.1", true, false, Some(0))]
    #[case::upper_case("WWW.Example.com", false, false, Some(0))]
    fn offered(
        #[case] name: &str,
        #[case] is_ip: bool,
        #[case] http01_wildcards: bool,
        #[case] expected: Option<usize>,
    ) {
        assert_eq!(pick(&[http01(), dns01()], name, is_ip, http01_wildcards), expected);
    }

    #[rstest]
    #[case::address_by_dns01(&[dns01()], "192.0.2.1", true)]
    #[case::wildcard_by_http01(&[http01()], "*.example.com", false)]
    fn not_offered(#[case] solvers: &[Solver<'static>], #[case] name: &str, #[case] is_ip: bool) {
        assert_eq!(pick(solvers, name, is_ip, false), None);
    }

    #[rstest]
    #[case::listed_wildcard(names(dns01(), &["*.example.com"]), true)]
    #[case::a_name_under_it(names(dns01(), &["www.example.com"]), false)]
    #[case::its_zone(zones(dns01(), &["example.com"]), true)]
    #[case::a_wildcard_zone_is_that_name(zones(dns01(), &["*.example.com"]), true)]
    fn wildcards(#[case] solver: Solver<'static>, #[case] expected: bool) {
        assert_eq!(pick(&[solver], "*.example.com", false, false).is_some(), expected);
    }

    #[rstest]
    #[case::fewest_misfits(&[zones(labelled(dns01(), &[("x", "y")]), &["example.org"]), http01()], 1)]
    #[case::of_equals_the_offered_challenge(&[http01(), zones(dns01(), &["example.org"])], 1)]
    #[case::of_equals_the_first(&[zones(dns01(), &["example.org"]), names(dns01(), &["example.org"])], 0)]
    fn closest(#[case] solvers: &[Solver<'static>], #[case] expected: usize) {
        let acme = Acme { solvers: solvers.to_vec(), ..Acme::default() };
        let picker = Picker::new(&acme, &|_| None, false);
        assert_eq!(picker.pick("*.example.com", false), None);
        let closest = picker.closest("*.example.com", false);
        assert_eq!(closest.map(|(index, ..)| index), Some(expected));
    }

    /// The algorithm in cert-manager's documentation, implemented literally: each selector is checked on
    /// its own, and the candidates are compared in pairs.
    mod reference {
        use super::*;

        fn labels(name: &str) -> Vec<String> {
            name.to_lowercase().split('.').rev().map(str::to_owned).collect()
        }

        fn longest_zone(solver: &Solver<'_>, name: &str) -> usize {
            let zones = solver.dns_zones.iter().map(|zone| labels(zone));
            let holding = zones.filter(|zone| labels(name).starts_with(zone));
            holding.map(|zone| zone.len()).max().unwrap_or(0)
        }

        fn fits(solver: &Solver<'_>, name: &str, is_ip: bool) -> bool {
            let challenges: &[&str] = if is_ip {
                &["http-01"]
            } else if name.starts_with("*.") {
                &["dns-01"]
            } else {
                &["http-01", "dns-01"]
            };
            let answers = challenges.iter().any(|challenge| match *challenge {
                "http-01" => solver.http01.is_some(),
                _ => solver.dns01,
            });
            let named = solver.dns_names.is_empty() || solver.dns_names.contains(&name);
            let zoned = solver.dns_zones.is_empty() || longest_zone(solver, name) > 0;
            let labelled = solver.match_labels.iter().all(|(key, value)| CARRIED.contains(&(*key, *value)));
            answers && named && zoned && labelled
        }

        /// Whether the later of two fitting solvers replaces the earlier one.
        fn replaces(later: &Solver<'_>, earlier: &Solver<'_>, name: &str) -> bool {
            let (new, old) = (!later.dns_names.is_empty(), !earlier.dns_names.is_empty());
            if new != old {
                return new;
            }
            let (new, old) = (longest_zone(later, name), longest_zone(earlier, name));
            if new != old {
                return new > old;
            }
            later.match_labels.len() > earlier.match_labels.len()
        }

        pub fn pick(solvers: &[Solver<'_>], name: &str, is_ip: bool) -> Option<usize> {
            let fitting = (0..solvers.len()).filter(|index| fits(&solvers[*index], name, is_ip));
            fitting.reduce(
                |chosen, next| {
                    if replaces(&solvers[next], &solvers[chosen], name) { next } else { chosen }
                },
            )
        }
    }

    fn any_of(words: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
        prop::collection::vec(prop::sample::select(words), 0..3)
    }

    fn any_solver() -> impl Strategy<Value = Solver<'static>> {
        let labels = prop::collection::btree_map(
            prop::sample::select(&["a", "c"][..]),
            prop::sample::select(&["b", "d"][..]),
            0..3,
        );
        let names = any_of(&["www.example.com", "*.example.com", "example.com", "192.0.2.1"]);
        let zones = any_of(&["com", "example.com", "www.example.com", "*.example.com", "ample.com", "2.1"]);
        (any::<bool>(), any::<bool>(), labels, names, zones).prop_map(
            |(http01, dns01, match_labels, dns_names, dns_zones)| Solver {
                http01: if http01 { HTTP01 } else { None },
                dns01,
                match_labels,
                dns_names,
                dns_zones,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn as_the_documentation_has_it(
            solvers in prop::collection::vec(any_solver(), 0..6),
            name in prop::sample::select(&["www.example.com", "*.example.com", "example.com", "a.b.example.com", "192.0.2.1"][..]),
        ) {
            let is_ip = name == "192.0.2.1";
            let expected = reference::pick(&solvers, name, is_ip);
            prop_assert_eq!(pick(&solvers, name, is_ip, false), expected);
        }
    }
}
