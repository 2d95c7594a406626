//! Gathers hosts by Secret: several listeners or servers that name one Secret share its Certificate.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::certificate::{Host, PrivateKey, wildcard_over};
use crate::place::Place;
use crate::plan::{PlanFault, SecretName};

/// What the Gateway asks for, Secret by Secret in first-seen order.
#[derive(Default)]
pub(crate) struct Collector<'a> {
    drafts: Vec<Draft<'a>>,
    index: BTreeMap<(&'a str, &'a str), usize>,
    seen: BTreeSet<(usize, Cow<'a, str>)>,
    faults: Vec<PlanFault>,
}

/// What is known of one Certificate.
pub(crate) struct Draft<'a> {
    pub namespace: &'a str,
    pub secret_name: &'a str,
    pub hosts: Vec<Host>,
    pub places: Vec<Place>,
    pub key: PrivateKey,
}

impl<'a> Collector<'a> {
    /// The Certificate for a Secret that is named at a place: the one that is there, or a new one.
    pub fn certificate(
        &mut self,
        namespace: &'a str,
        secret_name: &'a str,
        place: Place,
        key: PrivateKey,
    ) -> usize {
        let next = self.drafts.len();
        let number = *self.index.entry((namespace, secret_name)).or_insert(next);
        match self.drafts.get_mut(number) {
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
        number
    }

    /// Adds a host to a Certificate, unless it is there.
    pub fn host(&mut self, number: usize, name: Cow<'a, str>, is_ip: bool, place: Place) {
        if let Some(draft) = self.drafts.get_mut(number)
            && self.seen.insert((number, name.clone()))
        {
            draft.hosts.push(Host { name: name.into_owned(), is_ip, place });
        }
    }

    /// Notes a pair of credentials whose annotated algorithm has no counterpart.
    pub fn pair_of_ed25519(&mut self, place: Place) {
        self.faults.push(PlanFault::PairOfEd25519 { place });
    }

    /// Drops the hosts that a wildcard covers, either among the hosts of the same Certificate or
    /// among names that all Certificates have.
    pub fn drop_covered(&mut self, common: &[String]) {
        let seen = &self.seen;
        let mut others: BTreeSet<String> = BTreeSet::new();
        others.extend(common.iter().map(|name| name.to_ascii_lowercase()));
        for (number, draft) in self.drafts.iter_mut().enumerate() {
            draft.hosts.retain(|host| {
                let covered = |wildcard: String| {
                    others.contains(&wildcard) || seen.contains(&(number, wildcard.into()))
                };
                host.is_ip || !wildcard_over(&host.name).is_some_and(covered)
            });
        }
    }

    /// The Certificates and what keeps them from being issued.
    pub fn into_parts(self) -> (Vec<Draft<'a>>, Vec<PlanFault>) {
        (self.drafts, self.faults)
    }
}
