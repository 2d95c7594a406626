//! An Istio Gateway's servers, and findings about the credentials that they name.

use certificate_shim::credential::Credential;
use certificate_shim::gateway::{Server, Spec};
use certificate_shim::place::{Place, ServerField};
use certificate_shim::skip::SkipReason;

use crate::context::Context;
use crate::named::secrets_of;
use crate::rules::Findings;

/// A credential that a server names.
pub struct Named<'a> {
    /// The server.
    pub server: &'a Server<'a>,
    /// The server's index.
    pub index: usize,
    /// Where the credential stands.
    pub place: Place,
    /// As it is written.
    pub text: &'a str,
}

/// Every credential that an Istio Gateway's servers name; none of any other Gateway.
pub fn credentials<'a>(context: &Context<'a>) -> Vec<Named<'a>> {
    let count = if let Spec::Servers { servers, .. } = &context.gateway.spec { servers.len() } else { 0 };
    let mut named = Vec::new();
    for index in 0..count {
        named.append(&mut credentials_of(context, index));
    }
    named
}

/// The credentials that one server names.
fn credentials_of<'a>(context: &Context<'a>, index: usize) -> Vec<Named<'a>> {
    let mut named = Vec::new();
    if let Spec::Servers { servers, .. } = &context.gateway.spec
        && let Some(server) = servers.get(index)
        && let Some(tls) = &server.tls
    {
        for (field, text) in tls.credentials() {
            named.push(Named { server, index, place: Place::Server(index, field), text });
        }
    }
    named
}

/// Every credential that a skipped server names at a place of that reason: all of the server's where
/// the reason is not about one of them.
pub fn skipped<'c>(context: &'c Context<'_>, mut report: impl FnMut(&'c SkipReason, Place, &Named<'c>)) {
    for skipped in &context.plan.skipped {
        let named = credentials_of(context, skipped.index);
        for fault in &skipped.faults {
            let about_one = matches!(
                fault.place,
                Place::Server(_, ServerField::CredentialName | ServerField::CredentialNames(_))
            );
            for named in named.iter().filter(|named| !about_one || named.place == fault.place) {
                report(&fault.reason, fault.place, named);
            }
        }
    }
}

/// Adds a finding about a credential: one for each Secret that it means, or one for all where it
/// means none.
pub fn add(
    findings: &mut Findings<'_>,
    context: &Context<'_>,
    credential: &str,
    place: impl ToString,
    detail: &str,
    text: (String, String),
) {
    let (path, subject) = (place.to_string(), format!("{credential} {detail}"));
    let secrets = Credential::parse_any(credential)
        .map_or_else(|_| Vec::new(), |credential| secrets_of(context, credential));
    findings.add_about_each(&secrets, &path, &subject, text);
}
