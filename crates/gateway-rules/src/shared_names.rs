//! The names that annotations add to every Certificate of a plan.

use std::collections::BTreeMap;

use certificate_shim::certificate::{Host, wildcard_over};
use certificate_shim::gateway::GatewayKind;
use certificate_shim::names::Names;
use certificate_shim::template::Template;
use certificate_shim::value::ip;

/// Names that several Certificates have in common. They are counted once, and each Certificate only looks
/// up its own hosts, so the cost is linear in the size of the Gateway.
pub struct SharedNames {
    /// DNS names.
    pub dns_names: Names,
    /// IP addresses.
    pub addresses: Names,
    /// The number of the DNS names that each wildcard covers.
    below: BTreeMap<String, usize>,
}

/// The hosts of one Certificate, each once.
pub struct Hosts {
    /// DNS names.
    pub dns_names: Names,
    /// IP addresses.
    pub addresses: Names,
}

impl SharedNames {
    /// The names that a template adds to its Certificates. Only Certificates of Istio Gateways leave out
    /// what a wildcard among their hosts covers.
    pub fn of(template: &Template) -> Self {
        let dns_names = template.alt_names.iter().collect();
        // Other texts are in no certificate.
        let addresses = template.ip_sans.iter().filter(|text| ip::is_ip(text));
        let mut shared = Self::covered_by_wildcards(dns_names, addresses.collect());
        if template.owner.kind != GatewayKind::Istio {
            shared.below.clear();
        }
        shared
    }

    /// Names that a host covers if it is the name, or the wildcard over it.
    pub fn covered_by_wildcards(dns_names: Names, addresses: Names) -> Self {
        let mut below = BTreeMap::new();
        for wildcard in dns_names.iter().filter_map(wildcard_over) {
            *below.entry(wildcard).or_default() += 1;
        }
        SharedNames { dns_names, addresses, below }
    }

    /// The number of these names.
    pub fn count(&self) -> usize {
        self.dns_names.iter().len() + self.addresses.iter().len()
    }

    /// The number of distinct names of a Certificate with these hosts.
    pub fn count_with(&self, hosts: &Hosts) -> usize {
        hosts.dns_names.iter().len() + hosts.addresses.iter().len() + self.count() - self.covered_by(hosts)
    }

    /// The number of these names that the hosts cover.
    pub fn covered_by(&self, hosts: &Hosts) -> usize {
        let below = |host| self.below.get(host).copied().unwrap_or_default();
        let of_host = |host| {
            below(host) + usize::from(self.dns_names.contains(host) && !self.has_wildcard(host, hosts))
        };
        let addresses = hosts.addresses.iter().filter(|address| self.addresses.contains(address)).count();
        hosts.dns_names.iter().map(of_host).sum::<usize>() + addresses
    }

    /// Whether a host that is a wildcard covers the name.
    pub fn has_wildcard(&self, name: &str, hosts: &Hosts) -> bool {
        let is_counted =
            |wildcard: &String| self.below.contains_key(wildcard) && hosts.dns_names.contains(wildcard);
        wildcard_over(name).is_some_and(|wildcard| is_counted(&wildcard))
    }
}

impl Hosts {
    /// The hosts of one Certificate.
    pub fn of(hosts: &[Host]) -> Self {
        let names =
            |is_ip| hosts.iter().filter(move |host| host.is_ip == is_ip).map(|host| &host.name).collect();
        Hosts { dns_names: names(false), addresses: names(true) }
    }
}
