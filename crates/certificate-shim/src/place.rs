//! Places in a Gateway, as a person writes them: `spec.servers[2].tls.credentialName`.

use std::fmt;

/// A place in a Gateway's spec that names a host or a Secret, or decides about them. Shown as its
/// path from the object's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a listener of a Gateway API Gateway or ListenerSet, by its index.
    Listener(usize, ListenerField),
    /// In a server of an Istio Gateway, by its index.
    Server(usize, ServerField),
}

/// A field of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenerField {
    /// `hostname`
    Hostname,
    /// `tls`
    Tls,
    /// `tls.certificateRefs`
    CertificateRefs,
    /// A field of an entry of `tls.certificateRefs`, by the entry's index.
    CertificateRef(usize, RefField),
    /// `tls.mode`
    Mode,
}

/// A field of a certificate reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefField {
    /// `group`
    Group,
    /// `kind`
    Kind,
    /// `name`
    Name,
    /// `namespace`
    Namespace,
}

/// A field of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServerField {
    /// `hosts`
    Hosts,
    /// An entry of `hosts`, by its index.
    Host(usize),
    /// `tls.mode`
    Mode,
    /// `tls.credentialName`
    CredentialName,
    /// An entry of `tls.credentialNames`, by its index.
    CredentialNames(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Listener(index, field) => {
                write!(f, "spec.listeners[{index}].")?;
                match field {
                    ListenerField::Hostname => f.write_str("hostname"),
                    ListenerField::Tls => f.write_str("tls"),
                    ListenerField::CertificateRefs => f.write_str("tls.certificateRefs"),
                    ListenerField::CertificateRef(index, field) => {
                        let field = match field {
                            RefField::Group => "group",
                            RefField::Kind => "kind",
                            RefField::Name => "name",
                            RefField::Namespace => "namespace",
                        };
                        write!(f, "tls.certificateRefs[{index}].{field}")
                    }
                    ListenerField::Mode => f.write_str("tls.mode"),
                }
            }
            Place::Server(index, field) => {
                write!(f, "spec.servers[{index}].")?;
                match field {
                    ServerField::Hosts => f.write_str("hosts"),
                    ServerField::Host(index) => write!(f, "hosts[{index}]"),
                    ServerField::Mode => f.write_str("tls.mode"),
                    ServerField::CredentialName => f.write_str("tls.credentialName"),
                    ServerField::CredentialNames(index) => write!(f, "tls.credentialNames[{index}]"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Place::Listener(0, ListenerField::Hostname), "spec.listeners[0].hostname")]
    #[case(Place::Listener(1, ListenerField::Tls), "spec.listeners[1].tls")]
    #[case(Place::Listener(1, ListenerField::Mode), "spec.listeners[1].tls.mode")]
    #[case(Place::Listener(2, ListenerField::CertificateRefs), "spec.listeners[2].tls.certificateRefs")]
    #[case(
        Place::Listener(3, ListenerField::CertificateRef(4, RefField::Namespace)),
        "spec.listeners[3].tls.certificateRefs[4].namespace"
    )]
    #[case(Place::Server(0, ServerField::Hosts), "spec.servers[0].hosts")]
    #[case(Place::Server(0, ServerField::Host(2)), "spec.servers[0].hosts[2]")]
    #[case(Place::Server(5, ServerField::Mode), "spec.servers[5].tls.mode")]
    #[case(Place::Server(5, ServerField::CredentialName), "spec.servers[5].tls.credentialName")]
    #[case(Place::Server(5, ServerField::CredentialNames(1)), "spec.servers[5].tls.credentialNames[1]")]
    fn shown_as_a_path(#[case] place: Place, #[case] expected: &str) {
        assert_eq!(place.to_string(), expected);
    }
}
