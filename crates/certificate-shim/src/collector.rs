//! Collects hosts by Secret: several listeners or servers that name one Secret share its Certificate.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::certificate::{Host, host_names};
use crate::names::Names;
use crate::place::Place;
use crate::plan::{PlanFault, SecretName};
use crate::template::PrivateKey;

/// The requests of a Gateway by Secret, in the order in which the Secrets are first named.
#[derive(Default)]
pub(crate) struct Collector<'a> {
    drafts: Vec<Draft<'a>>,
    /// The position of every Secret among the drafts and of every host in its draft.
    positions: BTreeMap<(Within<'a>, Cow<'a, str>), usize>,
    faults: Vec<PlanFault>,
}

/// The scope in which a name is unique.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Within<'a> {
    /// A Secret's namespace.
    Namespace(&'a str),
    /// The Certificate at that position.
    Certificate(usize),
}

/// The known part of one Certificate.
pub(crate) struct Draft<'a> {
    pub namespace: &'a str,
    pub secret_name: &'a str,
    pub hosts: Vec<Host>,
    pub places: Vec<Place>,
    pub key: PrivateKey,
}

impl<'a> Collector<'a> {
    /// The Certificate for a Secret that is named at a place: the existing one, or a new one.
    pub fn certificate(
        &mut self,
        namespace: &'a str,
        secret_name: &'a str,
        place: Place,
        key: PrivateKey,
    ) -> usize {
        let next = self.drafts.len();
        let position = self.position(Within::Namespace(namespace), secret_name.into(), next);
        match self.drafts.get_mut(position) {
            None => {
                self.drafts.push(Draft {
                    namespace,
                    secret_name,
                    hosts: Vec::new(),
                    places: vec![place],
                    key,
                });
            }
            Some(draft) => {
                if !draft.key.is_like(&key) {
                    let secret = SecretName { namespace: namespace.to_owned(), name: secret_name.to_owned() };
                    let first = draft.places.first().copied().unwrap_or(place);
                    self.faults.push(PlanFault::KeysDiffer { secret, first, other: place });
                }
                draft.places.push(place);
            }
        }
        position
    }

    /// Adds a host to a Certificate, unless it has it already.
    pub fn host(&mut self, certificate: usize, name: Cow<'a, str>, is_ip: bool, place: Place) {
        let next = self.drafts.get(certificate).map_or(0, |draft| draft.hosts.len());
        let position = self.position(Within::Certificate(certificate), name.clone(), next);
        if let Some(draft) = self.drafts.get_mut(certificate).filter(|_| position == next) {
            draft.hosts.push(Host { name: name.into_owned(), is_ip, place });
        }
    }

    /// The position of a name, which is `next` if the name is new.
    fn position(&mut self, within: Within<'a>, name: Cow<'a, str>, next: usize) -> usize {
        *self.positions.entry((within, name)).or_insert(next)
    }

    /// Records a pair of credentials whose annotated algorithm has no counterpart.
    pub fn pair_of_ed25519(&mut self, place: Place) {
        self.faults.push(PlanFault::PairOfEd25519 { place });
    }

    /// Drops the hosts that a wildcard covers, either among the hosts of the same Certificate or
    /// among names that all Certificates have.
    pub fn drop_covered(&mut self, common: &[String]) {
        let common: Names = common.iter().collect();
        for draft in &mut self.drafts {
            let own = host_names(&draft.hosts);
            let is_covered = |name: &str| common.has_wildcard_over(name) || own.has_wildcard_over(name);
            draft.hosts.retain(|host| host.is_ip || !is_covered(&host.name));
        }
    }

    /// The Certificates, and the problems that prevent them.
    pub fn into_parts(self) -> (Vec<Draft<'a>>, Vec<PlanFault>) {
        (self.drafts, self.faults)
    }
}
