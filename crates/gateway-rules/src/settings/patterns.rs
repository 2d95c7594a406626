//! Patterns in the settings: names of objects, DNS names and ranges of IP addresses. Each has a list that
//! allows values or not, and a function that returns the fault of an entry.

use std::net::IpAddr;

use certificate_shim::value::ip::is_ip;

use certificate_shim::name::is_subdomain;

/// Globs: texts in which `*` matches any run of characters, the empty one included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Globs(pub Vec<String>);

impl Globs {
    /// Whether one of them matches the text.
    pub fn allow(&self, text: &str) -> bool {
        self.0.iter().any(|glob| glob_allows(glob, text))
    }
}

/// Whether the glob matches the text, in one pass over both.
pub(crate) fn glob_allows(glob: &str, text: &str) -> bool {
    let Some((first, mut rest)) = glob.split_once('*') else { return glob == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    // Each inner part is matched as far left as possible, which leaves the most text for the next ones.
    while let Some((part, after)) = rest.split_once('*') {
        let Some((_, left)) = text.split_once(part) else { return false };
        (text, rest) = (left, after);
    }
    text.ends_with(rest)
}

/// The fault of a glob. Other wildcards than `*` would match literally, which is never intended.
pub(super) fn glob_fault(glob: &str) -> Option<&'static str> {
    if glob.is_empty() {
        Some("is empty")
    } else if glob.contains(['?', '[', ']', '{', '}', '\\']) || glob.contains("**") {
        Some("is not a valid pattern: the only wildcard is a single *")
    } else {
        None
    }
}

/// The fault of a glob for names of objects.
pub(super) fn name_fault(glob: &str) -> Option<&'static str> {
    let in_names = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '*');
    let fits = || glob.chars().all(in_names);
    glob_fault(glob).or_else(|| {
        (!fits()).then_some("is not a valid name or pattern: use lower-case letters, digits, -, . and *")
    })
}

/// DNS names: `example.com` itself, `*.example.com` with one label before it, `**.example.com` with
/// one or more, and `**` for every name. Lower-cased.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DnsPatterns(pub Vec<String>);

impl DnsPatterns {
    /// Whether one of them matches the lower-cased name. A wildcard `*.y` is matched by `*.y`, by `**`,
    /// and by `**.x` if y is x or below x; `*` is matched by `**` only.
    pub fn allow(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| dns_allows(pattern, name))
    }
}

fn dns_allows(pattern: &str, name: &str) -> bool {
    let labels_before =
        |parent: &str| name.strip_suffix(parent)?.strip_suffix('.').filter(|labels| !labels.is_empty());
    if pattern == "**" {
        true
    } else if let Some(parent) = pattern.strip_prefix("**.") {
        labels_before(parent).is_some()
    } else if let Some(parent) = pattern.strip_prefix("*.") {
        labels_before(parent).is_some_and(|label| !label.contains('.'))
    } else {
        pattern == name
    }
}

/// The fault of a pattern of DNS names.
pub(super) fn dns_fault(pattern: &str) -> Option<&'static str> {
    let name = pattern.strip_prefix("**.").or_else(|| pattern.strip_prefix("*.")).unwrap_or(pattern);
    if pattern == "**" {
        None
    } else if is_ip(name) {
        Some("is an IP address; list it in ip_ranges")
    } else if !is_subdomain(&name.to_ascii_lowercase()) {
        Some("is not a valid pattern of DNS names: write example.com, *.example.com, **.example.com or **")
    } else {
        None
    }
}

/// Ranges of IP addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IpRanges {
    ranges: Vec<IpRange>,
    texts: Vec<String>,
}

impl IpRanges {
    /// The ranges; a text that is not a range matches nothing.
    pub(super) fn of(texts: Vec<String>) -> Self {
        IpRanges { ranges: texts.iter().filter_map(|text| IpRange::parse(text)).collect(), texts }
    }

    /// The ranges as written.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Whether one of them contains the address. An IPv4 address in IPv6 form counts as an IPv4
    /// address, as it does in a certificate.
    pub fn allow(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(address))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct IpRange {
    is_v4: bool,
    network: u128,
    mask: u128,
}

impl IpRange {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let (is_v4, network) = bits(address.parse().ok()?);
        let length = Some(length).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let length: u32 = length?.parse().ok()?;
        let mask = match length {
            0 => 0,
            _ => u128::MAX << 128_u32.checked_sub(length)?,
        };
        let is_sound = (!is_v4 || length <= 32) && network & !mask == 0;
        is_sound.then_some(IpRange { is_v4, network, mask })
    }

    fn contains(self, address: IpAddr) -> bool {
        let (is_v4, bits) = bits(address);
        is_v4 == self.is_v4 && bits & self.mask == self.network
    }
}

/// The family of an address, and its bits from the left.
fn bits(address: IpAddr) -> (bool, u128) {
    match address.to_canonical() {
        IpAddr::V4(address) => (true, u128::from(address.to_bits()) << 96),
        IpAddr::V6(address) => (false, address.to_bits()),
    }
}

/// The fault of a range of IP addresses.
pub(super) fn ip_range_fault(text: &str) -> Option<&'static str> {
    let is_sound = IpRange::parse(text).is_some();
    (!is_sound).then_some(
        "is not a valid IP range: write 192.0.2.0/24 or 2001:db8::/32, with no bit set after the prefix",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[rstest]
    #[case::itself("ca", "ca", true)]
    #[case::another("ca", "cab", false)]
    #[case::all("*", "", true)]
    #[case::prefix("team-a-*", "team-a-web", true)]
    #[case::prefix_alone("team-a-*", "team-a-", true)]
    #[case::not_the_prefix("team-a-*", "team-ab", false)]
    #[case::suffix("*-tls", "web-tls", true)]
    #[case::not_the_suffix("*-tls", "web-tls-2", false)]
    #[case::both("a*a", "aa", true)]
    #[case::no_character_counts_twice("a*a", "a", false)]
    #[case::inside("a*b*c", "axxbyyc", true)]
    #[case::inside_in_order("a*b*c", "acb", false)]
    #[case::last_of_several("*-a*", "x-b-a-c", true)]
    #[case::with_case("ca", "CA", false)]
    fn globs(#[case] glob: &str, #[case] text: &str, #[case] expected: bool) {
        assert_eq!(Globs(vec!["other".into(), glob.into()]).allow(text), expected);
    }

    #[rstest]
    #[case::itself("example.com", "example.com", true)]
    #[case::not_below("example.com", "a.example.com", false)]
    #[case::one_label("*.example.com", "a.example.com", true)]
    #[case::one_label_not_two("*.example.com", "a.b.example.com", false)]
    #[case::one_label_not_none("*.example.com", "example.com", false)]
    #[case::one_label_not_empty("*.example.com", ".example.com", false)]
    #[case::any_depth_one("**.example.com", "a.example.com", true)]
    #[case::any_depth_three("**.example.com", "a.b.c.example.com", true)]
    #[case::any_depth_not_none("**.example.com", "example.com", false)]
    #[case::whole_labels("**.example.com", "aexample.com", false)]
    #[case::whole_labels_of_one("*.example.com", "a-example.com", false)]
    #[case::all("**", "localhost", true)]
    #[case::wildcard_of_one("*.example.com", "*.example.com", true)]
    #[case::wildcard_below_one("*.example.com", "*.a.example.com", false)]
    #[case::wildcard_of_any("**.example.com", "*.example.com", true)]
    #[case::wildcard_below_any("**.example.com", "*.a.example.com", true)]
    #[case::wildcard_of_a_name("example.com", "*.example.com", false)]
    #[case::wildcard_over_it("**.a.example.com", "*.example.com", false)]
    #[case::wildcard_of_all("**", "*.example.com", true)]
    #[case::no_name_but_all("**", "*", true)]
    #[case::no_name("**.com", "*", false)]
    fn dns_names(#[case] pattern: &str, #[case] name: &str, #[case] expected: bool) {
        assert_eq!(DnsPatterns(vec!["x.org".into(), pattern.into()]).allow(name), expected);
    }

    #[rstest]
    #[case::first("10.0.0.0/8", "10.0.0.0", true)]
    #[case::last("10.0.0.0/8", "10.255.255.255", true)]
    #[case::before("10.0.0.0/8", "9.255.255.255", false)]
    #[case::after("10.0.0.0/8", "11.0.0.0", false)]
    #[case::all_of_v4("0.0.0.0/0", "203.0.113.7", true)]
    #[case::one("192.0.2.1/32", "192.0.2.1", true)]
    #[case::v4_in_v6_form("10.0.0.0/8", "::ffff:10.1.2.3", true)]
    #[case::v6("2001:db8::/32", "2001:db8:1::1", true)]
    #[case::other_v6("2001:db8::/32", "2001:db9::1", false)]
    #[case::all_of_v6("::/0", "2001:db8::1", true)]
    #[case::v4_is_not_v6("::/0", "10.0.0.1", false)]
    #[case::v6_is_not_v4("0.0.0.0/0", "2001:db8::1", false)]
    fn ip_ranges(#[case] range: &str, #[case] address: &str, #[case] expected: bool) {
        assert_eq!(IpRanges::of(vec![range.into()]).allow(address.parse().unwrap()), expected);
    }

    #[rstest]
    #[case::empty("")]
    #[case::question_mark("team-?")]
    #[case::class("team-[ab]")]
    #[case::alternatives("team-{a,b}")]
    #[case::escape("team-\\*")]
    #[case::two("team-**")]
    fn no_globs(#[case] glob: &str) {
        assert!(glob_fault(glob).is_some());
        assert!(name_fault(glob).is_some());
    }

    #[rstest]
    #[case::upper_case("Team-A")]
    #[case::blank("team a")]
    #[case::slash("a/b")]
    fn no_globs_of_names(#[case] glob: &str) {
        assert_eq!(glob_fault(glob), None);
        assert!(name_fault(glob).is_some());
    }

    #[rstest]
    #[case::one_star("*")]
    #[case::empty("")]
    #[case::star_inside("a.*.com")]
    #[case::partial("*a.com")]
    #[case::double_inside("a.**.com")]
    #[case::three("***.a.com")]
    #[case::nothing_below("*.")]
    #[case::blank(" a.com")]
    #[case::slash("ns/a.com")]
    #[case::trailing_dot("a.com.")]
    #[case::ip("10.0.0.1")]
    fn no_patterns_of_dns_names(#[case] pattern: &str) {
        assert!(dns_fault(pattern).is_some());
    }

    #[rstest]
    #[case::upper_case("**.Example.com")]
    #[case::all("**")]
    #[case::one_label("localhost")]
    fn patterns_of_dns_names(#[case] pattern: &str) {
        assert_eq!(dns_fault(pattern), None);
    }

    #[rstest]
    #[case::no_prefix("10.0.0.1")]
    #[case::no_length("10.0.0.0/")]
    #[case::sign("10.0.0.0/+8")]
    #[case::too_long("10.0.0.0/33")]
    #[case::too_long_v6("::/129")]
    #[case::huge("::/99999999999")]
    #[case::bits_after_the_prefix("10.0.0.1/8")]
    #[case::name("example.com/8")]
    #[case::zone("fe80::%1/64")]
    #[case::v4_in_v6_form("::ffff:10.0.0.0/104")]
    fn no_ranges(#[case] range: &str) {
        assert!(ip_range_fault(range).is_some());
    }

    /// The documented meaning, label by label.
    fn by_labels(pattern: &str, name: &str) -> bool {
        let name: Vec<&str> = name.split('.').collect();
        let pattern: Vec<&str> = pattern.split('.').collect();
        match pattern.split_first() {
            Some((&"**", [])) => true,
            Some((&"**", parent)) => name.len() > parent.len() && name.ends_with(parent),
            Some((&"*", parent)) => name.len() == parent.len() + 1 && name.ends_with(parent),
            _ => name == pattern,
        }
    }

    /// Backtracking over characters.
    fn naively(glob: &[u8], text: &[u8]) -> bool {
        match glob.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|from| naively(rest, &text[from..])),
            Some((byte, rest)) => {
                text.split_first().is_some_and(|(first, text)| first == byte && naively(rest, text))
            }
        }
    }

    proptest! {
        #[test]
        fn globs_agree_with_backtracking(glob in "[ab*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(glob_allows(&glob, &text), naively(glob.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn dns_patterns_match_labels(
            pattern in "(\\*\\*|((\\*\\*|\\*)\\.)?[ab]{1,2}(\\.[ab]{1,2}){0,2})",
            name in "(\\*\\.)?[ab]{1,2}(\\.[ab]{1,2}){0,4}",
        ) {
            prop_assert_eq!(dns_fault(&pattern), None);
            prop_assert_eq!(dns_allows(&pattern, &name), by_labels(&pattern, &name));
        }

        #[test]
        fn ranges_of_v4_are_intervals(address: u32, length in 0..=32_u32, other: u32) {
            let size = 1_u64 << (32 - length);
            let first = u64::from(address) / size * size;
            let range = format!("{}/{length}", Ipv4Addr::from(u32::try_from(first).unwrap()));
            prop_assert_eq!(ip_range_fault(&range), None);
            for other in [u64::from(other), first, first + size - 1, first + size, first.wrapping_sub(1)] {
                let Ok(candidate) = u32::try_from(other) else { continue };
                let allowed = IpRanges::of(vec![range.clone()]).allow(Ipv4Addr::from(candidate).into());
                prop_assert_eq!(allowed, (first..first + size).contains(&other));
            }
        }

        #[test]
        fn ranges_of_v6_are_intervals(address: u128, length in 1..=128_u32, other: u128) {
            let last = u128::MAX >> (length - 1) >> 1;
            let first = address & !last;
            // Addresses that are IPv4 in another form are tested as such.
            prop_assume!(Ipv6Addr::from(first).to_ipv4_mapped().is_none());
            let range = format!("{}/{length}", Ipv6Addr::from(first));
            prop_assert_eq!(ip_range_fault(&range), None);
            let (before, after) = (first.wrapping_sub(1), first.wrapping_add(last).wrapping_add(1));
            for candidate in [other, before, first, first + last, after] {
                let v6 = Ipv6Addr::from(candidate);
                let expected = (first..=first + last).contains(&candidate) && v6.to_ipv4_mapped().is_none();
                prop_assert_eq!(IpRanges::of(vec![range.clone()]).allow(v6.into()), expected);
            }
        }
    }
}
