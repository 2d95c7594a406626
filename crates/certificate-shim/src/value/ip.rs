//! IP addresses as Go's `net.ParseIP` knows them: IPv4 in four decimal octets without leading zero,
//! IPv6 with any case and an optional IPv4 tail; no zone, prefix, port or blank.

use std::net::IpAddr;

/// Whether it is an IP address. Rust's parser has been found to agree with Go's.
pub fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}
