//! Whether the issuer exists could not be determined.
//!
//! The policy was not granted the lookup, RBAC forbids it, cert-manager's kinds are not installed,
//! or the API server did not answer. The request is refused with code 500, to be safe; the message
//! says what the platform team has to change. An update of a Gateway that keeps its issuer goes
//! through.
//!
//! Refused, where the policy server may not read issuers; accepted with rbac.yaml applied:
//! ```yaml
//! cert-manager.io/issuer: ca
//! ```

use super::{Applies, Findings, Judges, Rule};
use crate::context::{Context, FoundIssuer};
use crate::finding::{Level, Refusal};
use crate::lookup::LookupError;

/// `issuer-unknown`
pub const RULE: Rule = Rule {
    id: "issuer-unknown",
    default: Level::Reject,
    refusal: Refusal::Undetermined,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for FoundIssuer { object, outcome } in context.issuers() {
        match outcome {
            Ok(_) | Err(LookupError::NotFound) => {}
            Err(error) => {
                findings.add(
                    context.issuer_path(),
                    object.to_string(),
                    error.what(object),
                    error.mend(object),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, istio};
    use crate::lookup::{Grant, LookupError, ObjectRef};
    use rstest::rstest;

    #[rstest]
    #[case::kind_not_served(
        LookupError::KindNotServed,
        "the API server does not serve Issuer in cert-manager.io/v1. The platform team has to install the CustomResourceDefinition of Issuer, or mend its version in the settings."
    )]
    #[case::forbidden(
        LookupError::Forbidden,
        "the policy server may not read Issuer \"ca\" in namespace \"team-a\". The platform team has to grant get on issuers.cert-manager.io to the policy server's ServiceAccount (rbac.yaml)."
    )]
    #[case::no_capability(
        LookupError::NotGranted(Grant::Capability),
        "this policy was not granted the host capability kubernetes/get_resource. The platform team has to deploy it as a ClusterAdmissionPolicy; namespaced policies get no host capabilities unless the PolicyServer lists them."
    )]
    #[case::no_resource(
        LookupError::NotGranted(Grant::Resource),
        "this policy was not granted lookups of cert-manager.io/v1 Issuer. The platform team has to add apiVersion cert-manager.io/v1, kind Issuer to spec.contextAwareResources of the ClusterAdmissionPolicy (a namespaced AdmissionPolicy cannot have any)."
    )]
    #[case::unavailable(LookupError::Unavailable("code 503".into()), "the API server did not answer for Issuer \"ca\" in namespace \"team-a\" (code 503). Try again; if it stays, the platform team has to look at the API server.")]
    #[case::undetermined(LookupError::Undetermined("a\nb".into()), "the lookup of Issuer \"ca\" in namespace \"team-a\" had an unexpected answer (a b). Try again; if it stays, the platform team has to look at the policy server's log.")]
    fn each_error(#[case] error: LookupError, #[case] expected: &str) {
        let object = ObjectRef {
            api_version: "cert-manager.io/v1".into(),
            kind: "Issuer".into(),
            namespace: Some("team-a".into()),
            name: "ca".into(),
        };
        let cluster = TestCluster::default().answer(&object, Err(error));
        assert_eq!(
            istio("shop").cert_manager("issuer", "ca").findings(&cluster),
            [format!("issuer-unknown: metadata.annotations[cert-manager.io/issuer]: {expected}")]
        );
        assert_eq!(cluster.asked(), ["Issuer team-a/ca"]);
    }
}
