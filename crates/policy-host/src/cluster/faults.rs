//! LookupFault fixtures: lookups that fail with the text of the real host.

use std::time::Duration;

use serde::Deserialize;

use super::api_error::{Failure, Status, StatusCause, StatusDetails};
use super::kinds::group_of;
use super::{HostError, Tail};

/// The `spec` of a LookupFault.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LookupFault {
    #[serde(rename = "match", default)]
    matches: Match,
    fault: Fault,
    #[serde(default)]
    delay_milliseconds: u64,
    during: Option<During>,
    tail: Option<Tail>,
    text: Option<String>,
    user: Option<String>,
}

/// The lookups that a fault applies to. Omitted fields match everything.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Match {
    api_version: Option<String>,
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    fresh: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    GroupNotServed,
    KindNotServed,
    CrdRemoved,
    Forbidden,
    Unauthorized,
    TooManyRequests,
    ServerError,
    ServiceUnavailable,
    Unavailable,
    NotGranted,
    CapabilityNotGranted,
    Slow,
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum During {
    Discovery,
    Request,
}

/// A lookup, from the point of view of the API server.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) operation: &'static str,
    pub(crate) verb: &'static str,
    pub(crate) api_version: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) plural: String,
    pub(crate) namespaced: bool,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    pub(crate) fresh: bool,
}

const POLICY_SERVER: &str = "system:serviceaccount:kubewarden:policy-server";

impl LookupFault {
    pub(crate) fn check(&self) -> Result<(), String> {
        if (self.fault == Fault::Text) != self.text.is_some() {
            return Err("`text` is required with `fault: text`, and only valid there".to_owned());
        }
        if self.user.is_some() && self.fault != Fault::Forbidden {
            return Err("`user` is only valid with `fault: forbidden`".to_owned());
        }
        if self.during.is_some() && self.default_during().is_none() {
            return Err(
                "`during` is only valid with faults of the API server: forbidden, unauthorized, too-many-requests, \
                 server-error, service-unavailable, unavailable"
                    .to_owned(),
            );
        }
        if self.fault == Fault::Slow && self.delay_milliseconds == 0 {
            return Err("`fault: slow` needs `delayMilliseconds`".to_owned());
        }
        Ok(())
    }

    pub(crate) fn applies_to(&self, target: &Target<'_>) -> bool {
        let matches = |wanted: &Option<String>, actual: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| actual == Some(wanted))
        };
        let wanted = &self.matches;
        matches(&wanted.api_version, Some(target.api_version))
            && matches(&wanted.kind, Some(target.kind))
            && matches(&wanted.namespace, target.namespace)
            && matches(&wanted.name, target.name)
            && wanted.fresh.is_none_or(|fresh| fresh == target.fresh)
    }

    /// Waits for the delay of the fault and fails. With `slow`, the lookup continues after the delay.
    pub(crate) fn apply(&self, target: &Target<'_>, tail: Tail) -> Result<(), HostError> {
        std::thread::sleep(Duration::from_millis(self.delay_milliseconds));
        let failure = match self.fault {
            Fault::Slow => return Ok(()),
            Fault::NotGranted => {
                return Err(HostError::resource_not_granted(target.api_version, target.kind));
            }
            Fault::CapabilityNotGranted => {
                return Err(HostError::capability_not_granted(&format!("kubernetes/{}", target.operation)));
            }
            Fault::Text => return Err(HostError::verbatim(self.text.clone().unwrap_or_default())),
            Fault::KindNotServed => kind_missing(target.api_version, target.kind),
            Fault::GroupNotServed => Failure::page_not_found().in_discovery(target.api_version, target.kind),
            Fault::CrdRemoved => Failure::page_not_found(),
            Fault::Unavailable => Failure::unreachable(),
            Fault::Forbidden => Failure::api(&self.forbidden(target)),
            Fault::Unauthorized => Failure::api(&unauthorized()),
            Fault::TooManyRequests => {
                Failure::api(&Status::of_text(429, "Too many requests, please try again later.\n"))
            }
            Fault::ServerError => Failure::api(&internal_error("etcdserver: request timed out")),
            Fault::ServiceUnavailable => Failure::api(&Status::of_text(503, "service unavailable\n")),
        };
        let failure = match self.during.or(self.default_during()) {
            Some(During::Discovery) => failure.in_discovery(target.api_version, target.kind),
            _ => failure,
        };
        Err(failure.render(self.tail.unwrap_or(tail)))
    }

    /// The phase in which the fault occurs by default; `None` if there is no choice. Discovery already fails
    /// if the API server is unreachable or the client is not authenticated. RBAC, load and etcd cause the
    /// request to fail.
    fn default_during(&self) -> Option<During> {
        match self.fault {
            Fault::Unauthorized | Fault::Unavailable => Some(During::Discovery),
            Fault::Forbidden | Fault::TooManyRequests | Fault::ServerError | Fault::ServiceUnavailable => {
                Some(During::Request)
            }
            _ => None,
        }
    }

    fn forbidden(&self, target: &Target<'_>) -> Status {
        let group = group_of(target.api_version);
        let plural = &target.plural;
        let resource = if group.is_empty() { plural.clone() } else { format!("{plural}.{group}") };
        let object = target.name.map(|name| format!(" {name:?}")).unwrap_or_default();
        // RBAC checks access to a Namespace in that namespace.
        let namespace = match target.kind {
            "Namespace" => target.name,
            _ => target.namespace.filter(|_| target.namespaced),
        };
        let scope = match namespace {
            Some(namespace) => format!("in the namespace {namespace:?}"),
            None => "at the cluster scope".to_owned(),
        };
        let message = format!(
            "{resource}{object} is forbidden: User {:?} cannot {} resource {plural:?} in API group {group:?} {scope}",
            self.user.as_deref().unwrap_or(POLICY_SERVER),
            target.verb,
        );
        let details = StatusDetails {
            name: target.name.unwrap_or_default().to_owned(),
            group: group.to_owned(),
            kind: plural.clone(),
            ..StatusDetails::default()
        };
        Status::sent(403, "Forbidden", message, Some(details))
    }
}

/// The error for a kind that is not served although its group is.
pub(crate) fn kind_missing(api_version: &str, kind: &str) -> Failure {
    Failure::plain(format!("Cannot find resource {api_version}/{kind}"))
}

fn unauthorized() -> Status {
    Status::sent(401, "Unauthorized", "Unauthorized".to_owned(), None)
}

fn internal_error(cause: &str) -> Status {
    let causes = vec![StatusCause { reason: String::new(), message: cause.to_owned(), field: String::new() }];
    let details = StatusDetails { causes, ..StatusDetails::default() };
    Status::sent(500, "InternalError", format!("Internal error occurred: {cause}"), Some(details))
}
