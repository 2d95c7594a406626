//! IP addresses, as parsed by Go's `net.ParseIP`: IPv4 as four decimal octets without leading zeros,
//! IPv6 in any case and with an optional IPv4 tail; no zone, prefix, port or space.

use std::net::IpAddr;

/// Whether a text is an IP address. Rust's parser accepts the same texts as Go's.
pub fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[rstest]
    #[case::v4("192.0.2.1", true)]
    #[case::all_zeros("0.0.0.0", true)]
    #[case::largest("255.255.255.255", true)]
    #[case::v6("2001:db8::1", true)]
    #[case::unspecified("::", true)]
    #[case::eight_groups("1:2:3:4:5:6:7:8", true)]
    #[case::upper_case("FE80::A", true)]
    #[case::one_group_omitted("1:2:3:4:5:6:7::", true)]
    #[case::v4_tail("::ffff:192.0.2.1", true)]
    #[case::octet_too_large("256.0.0.1", false)]
    #[case::leading_zero("010.0.0.1", false)]
    #[case::two_zeros("00.0.0.0", false)]
    #[case::three_octets("1.2.3", false)]
    #[case::five_octets("1.2.3.4.5", false)]
    #[case::sign("1.2.3.-4", false)]
    #[case::nothing_omitted("1:2:3:4::5:6:7:8", false)]
    #[case::omitted_twice("1::2::3", false)]
    #[case::five_digits("12345::", false)]
    #[case::v4_in_the_middle("::1.2.3.4:1", false)]
    #[case::zone("fe80::1%eth0", false)]
    #[case::brackets("[::1]", false)]
    #[case::prefix("10.0.0.0/8", false)]
    #[case::port("10.0.0.1:80", false)]
    #[case::leading_space(" 10.0.0.1", false)]
    #[case::trailing_space("10.0.0.1 ", false)]
    #[case::hexadecimal("0x7f.0.0.1", false)]
    #[case::name("example.com", false)]
    #[case::empty("", false)]
    fn addresses(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(is_ip(text), expected);
    }

    proptest! {
        #[test]
        fn every_address_is_accepted(v4 in any::<u32>(), v6 in any::<u128>()) {
            prop_assert!(is_ip(&Ipv4Addr::from(v4).to_string()));
            prop_assert!(is_ip(&Ipv6Addr::from(v6).to_string()));
        }

        #[test]
        fn characters_around_an_address_are_rejected(v6 in any::<u128>(), other in "[ \t\n/%\\[\\]]") {
            let text = Ipv6Addr::from(v6).to_string();
            let (after, before) = (format!("{text}{other}"), format!("{other}{text}"));
            prop_assert!(!is_ip(&after) && !is_ip(&before));
        }
    }
}
