//! The policy cannot determine whether the issuer exists.
//!
//! The policy is not granted the lookup, RBAC forbids it, the CRDs of the issuer are not installed, or
//! the API server does not answer. To be safe, the request is rejected with code 500; the message says
//! what the platform team must change. An update that keeps the issuer and the Secrets of the Gateway
//! is accepted.
//!
//! Rejected, if RBAC forbids the policy server to read Issuers:
//! ```yaml
//! cert-manager.io/issuer: ca
//! ```
//! Accepted, if it can read ClusterIssuers:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```

use crate::context::{Context, FoundIssuer};
use crate::lookup::LookupError;
use crate::rule::{Findings, Rule};

/// `issuer-unknown`
pub const RULE: Rule = Rule::reject("issuer-unknown", check).undetermined();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for FoundIssuer { object, outcome } in context.issuers() {
        if let Err(error) = outcome
            && *error != LookupError::NotFound
        {
            findings
                .report(context.issuer_path(), error.problem(object))
                .subject(object.to_string())
                .help(context.help(error, object));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, issuer, istio};
    use crate::lookup::{Grant, LookupError, ObjectRef};
    use rstest::rstest;
    use serde_json::Value;

    const FOUND: &str =
        "reject metadata.annotations[cert-manager.io/issuer] | Issuer \"ca\" in namespace \"team-a\"";

    #[rstest]
    #[case::kind_not_served(Err(LookupError::KindNotServed), &[FOUND], Some(500))]
    #[case::forbidden(Err(LookupError::Forbidden), &[FOUND], Some(500))]
    #[case::no_capability(Err(LookupError::NotGranted(Grant::Capability)), &[FOUND], Some(500))]
    #[case::no_resource(Err(LookupError::NotGranted(Grant::Resource)), &[FOUND], Some(500))]
    #[case::unavailable(Err(LookupError::Unavailable("code 503".into())), &[FOUND], Some(500))]
    #[case::undetermined(Err(LookupError::Undetermined("a\nb".into())), &[FOUND], Some(500))]
    #[case::absent(Err(LookupError::NotFound), &[], Some(422))]
    #[case::there(Ok(issuer("team-a", "ca").ready().into()), &[], None)]
    fn found(
        #[case] answer: Result<Value, LookupError>,
        #[case] expected: &[&str],
        #[case] code: Option<u16>,
    ) {
        let object = ObjectRef {
            api_version: "cert-manager.io/v1".into(),
            kind: "Issuer".into(),
            namespace: Some("team-a".into()),
            name: "ca".into(),
        };
        let gateway = istio("shop").cert_manager("issuer", "ca");
        let cluster = TestCluster::default().answer(&object, answer);
        assert_eq!(gateway.found_by("issuer-unknown", &cluster), expected);
        assert_eq!(gateway.create(&cluster).code, code);
    }

    /// The path, the problem and the help of the lookup's error.
    #[test]
    fn texts() {
        let error = LookupError::NotGranted(Grant::Capability);
        let object = ObjectRef {
            api_version: "cert-manager.io/v1".into(),
            kind: "ClusterIssuer".into(),
            namespace: None,
            name: "le".into(),
        };
        let cluster = TestCluster::default().answer(&object, Err(error.clone()));
        assert_eq!(
            istio("shop").cert_manager("cluster-issuer", "le").findings_of("issuer-unknown", &cluster),
            [format!(
                "metadata.annotations[cert-manager.io/cluster-issuer]: {}. {}",
                error.problem(&object),
                error.help_of_policy(&object)
            )]
        );
    }
}
