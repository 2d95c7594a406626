//! Mail addresses that stand for themselves: what Go's `mail.ParseAddress` accepts and gives back
//! unchanged, which is what cert-manager's webhook asks of `emailAddresses`.

use crate::value::ip::is_ip;

/// Whether it is `local@domain`, where `local` is a dot-atom and `domain` a dot-atom or an IP address
/// in brackets (RFC 5322, section 3.4.1). Quoted local parts, display names, angle brackets,
/// comments and blanks are no part of it: Go reads them, and gives another text back.
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

/// Go takes every character beyond ASCII for part of an atom (RFC 6532).
fn is_atom_character(c: char) -> bool {
    !c.is_ascii() || (c.is_ascii_graphic() && !"()<>[]:;@\\,\"".contains(c))
}
