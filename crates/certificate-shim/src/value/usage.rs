//! Key usages (`KeyUsage` in cert-manager's pkg/apis/certmanager/v1/types.go).

/// All of them, as they are written.
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

/// What a Certificate is for unless it says otherwise (`DefaultKeyUsages`).
pub const DEFAULT: &[&str] = &["digital signature", "key encipherment"];

/// Reads a list of usages, separated by commas. Spaces around an item do not count; other blanks do.
///
/// # Errors
/// The first item that is no usage, with its spaces.
pub fn parse(text: &str) -> Result<Vec<&'static str>, &str> {
    text.split(',').map(|item| find(item.trim_matches(' ')).ok_or(item)).collect()
}

fn find(name: &str) -> Option<&'static str> {
    USAGES.iter().find(|usage| **usage == name).copied()
}
