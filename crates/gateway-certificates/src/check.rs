//! What would stop the controller, checked before it is deployed: kinds that are not served, namespaces that do
//! not exist, and missing rights.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use gateway_rules::Settings;
use gateway_rules::settings::CERT_MANAGER_API_VERSION;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use kube::{Client, Resource};

use crate::kinds::{Kind, Role, Served, discover, watched};
use crate::leader::LeaseName;
use crate::message::message;
use crate::run::{self, Election, Policy};
use crate::{connect, settings};

/// The options of the controller that will be deployed.
#[derive(Debug, Clone)]
pub struct Options {
    /// The kubeconfig; if `None`, the environment variable KUBECONFIG, or the Pod's ServiceAccount.
    pub kubeconfig: Option<PathBuf>,
    /// The policy's settings; if `None`, the defaults.
    pub settings: Option<PathBuf>,
    /// The leader election, if there is one.
    pub election: Option<Election>,
    /// Whether Pods are compared with the settings.
    pub watch_pods: bool,
    /// Whether Secrets in a Gateway's own namespace are checked too.
    pub check_own_secrets: bool,
    /// Whether a condition is written to the status of Gateways.
    pub gateway_status: bool,
    /// Which writes are made.
    pub policy: Policy,
    /// The user whose rights are checked; if `None`, the one of the kubeconfig.
    pub user: Option<String>,
}

/// The reason why the checks could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings are not valid.
    #[error(transparent)]
    Settings(#[from] settings::Error),
    /// The cluster cannot be reached.
    #[error(transparent)]
    Connect(#[from] connect::Error),
    /// The namespace of the Lease is unknown.
    #[error(
        "the namespace of the Lease is unknown: pass --leader-election-namespace, or --as system:serviceaccount:NAMESPACE:NAME"
    )]
    NoNamespace,
    /// A request failed.
    #[error("{what}: {message}")]
    Request {
        /// What was requested.
        what: String,
        /// The reason.
        message: String,
    },
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// This would not stop the controller.
    Good(String),
    /// This could not be checked.
    Unknown(String),
    /// This would stop the controller, at least for some Gateways. The text says how to fix it.
    Problem(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Good(text) => write!(f, "ok: {text}"),
            Finding::Unknown(text) => write!(f, "unknown: {text}"),
            Finding::Problem(text) => write!(f, "problem: {text}"),
        }
    }
}

/// Rights on one resource in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource in plural, with its subresource: `gateways/finalizers`.
    pub resource: String,
    /// The verbs.
    pub verbs: Vec<&'static str>,
    /// The namespace; `None` for all.
    pub namespace: Option<String>,
    /// The name of the object, if the right is for one object only.
    pub name: Option<String>,
    /// How to grant it.
    help: String,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.group.is_empty() { "" } else { "." };
        write!(f, "{}{dot}{}", self.resource, self.group)?;
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => write!(f, " in all namespaces"),
        }
    }
}

/// Checks everything and returns the findings, in a stable order.
///
/// # Errors
/// The settings are not valid, or the cluster cannot be asked.
pub async fn check(options: &Options) -> Result<Vec<Finding>, Error> {
    let settings = settings::load(options.settings.as_deref())?;
    let lease = lease(options)?;
    let config = connect::config(options.kubeconfig.as_deref()).await?;
    let client = Client::try_from(config).map_err(connect::Error::Client)?;
    let file = options
        .settings
        .as_ref()
        .map_or("the default settings".to_owned(), |path| path.display().to_string());
    let mut findings = vec![Finding::Good(format!("{file}: valid"))];
    let mut served = Vec::new();
    for kind in watched(&settings, options.watch_pods) {
        let found = discover(&client, &kind).await.map_err(|error| request(&kind.resource(), &error))?;
        findings.push(served_finding(&kind, found.as_ref()));
        served.push((kind, found));
    }
    for namespace in namespaces(&settings, lease.as_ref()) {
        findings.push(namespace_finding(&client, &namespace).await?);
    }
    for right in rights(&settings, options, lease.as_ref(), &served) {
        let mut missing = Vec::new();
        for verb in &right.verbs {
            if !is_allowed(&client, options.user.as_deref(), &right, verb).await? {
                missing.push(*verb);
            }
        }
        findings.push(if missing.is_empty() {
            Finding::Good(format!("{right}: {}", right.verbs.join(", ")))
        } else {
            Finding::Problem(format!("{right}: no right to {}. {}", missing.join(", "), right.help))
        });
    }
    Ok(findings)
}

fn request(what: &str, error: &kube::Error) -> Error {
    Error::Request { what: what.to_owned(), message: message(error) }
}

fn lease(options: &Options) -> Result<Option<LeaseName>, Error> {
    let Some(election) = &options.election else { return Ok(None) };
    let account =
        options.user.as_deref().and_then(service_account).map(|(namespace, _)| namespace.to_owned());
    let namespace = election.namespace.clone().or(account);
    let election = Election { namespace, ..election.clone() };
    run::lease_name(&election).map(Some).map_err(|_| Error::NoNamespace)
}

/// The namespace and name of a ServiceAccount, from the name of its user.
fn service_account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix("system:serviceaccount:")?.split_once(':')
}

fn served_finding(kind: &Kind, served: Option<&Served>) -> Finding {
    let resource = kind.resource();
    if let Some(served) = served {
        return Finding::Good(format!("{resource}: served as {}", served.resource.api_version));
    }
    let version = kind.version.as_ref().map(|version| format!(" in version {version}")).unwrap_or_default();
    let help = match kind.role {
        Role::Gateways => "Install Istio's CustomResourceDefinitions.",
        Role::Issuers if !is_built_in(kind) => {
            "Install its CustomResourceDefinition, or correct issuer_kinds."
        }
        _ => "Install cert-manager's CustomResourceDefinitions.",
    };
    Finding::Problem(format!("{resource}: not served{version}. {help}"))
}

/// Whether a kind is one of cert-manager's own.
fn is_built_in(kind: &Kind) -> bool {
    CERT_MANAGER_API_VERSION.split_once('/').is_some_and(|(group, _)| group == kind.group)
}

/// The namespaces that have to exist.
fn namespaces(settings: &Settings, lease: Option<&LeaseName>) -> BTreeSet<String> {
    let placements =
        settings.gateway_namespaces.iter().flatten().map(|placement| placement.namespace.clone());
    placements.chain(lease.map(|lease| lease.namespace.clone())).collect()
}

async fn namespace_finding(client: &Client, name: &str) -> Result<Finding, Error> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    match namespaces.get_metadata_opt(name).await {
        Ok(Some(found)) if found.meta().deletion_timestamp.is_some() => {
            Ok(Finding::Problem(format!("namespace {name}: it is being deleted. Create it again.")))
        }
        Ok(Some(_)) => Ok(Finding::Good(format!("namespace {name}: exists"))),
        Ok(None) => Ok(Finding::Problem(format!(
            "namespace {name}: it does not exist. Create it, or correct the settings or flags that name it."
        ))),
        // The controller itself has no right to read Namespaces.
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Ok(Finding::Unknown(format!("namespace {name}: {}", status.message)))
        }
        Err(error) => Err(request(&format!("namespace {name}"), &error)),
    }
}

/// The rights that the controller uses with these settings and options, in the order of docs/controller.md.
/// `served` are the watched kinds.
pub fn rights(
    settings: &Settings,
    options: &Options,
    lease: Option<&LeaseName>,
    served: &[(Kind, Option<Served>)],
) -> Vec<Right> {
    const BASE: &str = "Apply deploy/controller/base/rbac.yaml.";
    let right =
        |group: &str, resource: &str, verbs: &[&'static str], namespace: Option<&str>, help: &str| Right {
            group: group.to_owned(),
            resource: resource.to_owned(),
            verbs: verbs.to_vec(),
            namespace: namespace.map(str::to_owned),
            name: None,
            help: help.to_owned(),
        };
    let cert_manager = CERT_MANAGER_API_VERSION.split_once('/').map(|(group, _)| group).unwrap_or_default();
    let mut rights = Vec::new();
    for (kind, served) in served {
        let group = kind.group.as_str();
        let guess = kind.resource();
        let guess = guess.split('.').next().unwrap_or_default();
        let resource = served.as_ref().map_or(guess, |served| served.resource.plural.as_str());
        let (verbs, help): (&[_], _) = match kind.role {
            Role::Gateways | Role::Certificates => (&["get", "list", "watch"], BASE.to_owned()),
            Role::Issuers if is_built_in(kind) => (&["list", "watch"], BASE.to_owned()),
            Role::Issuers => {
                (&["list", "watch"], format!("Grant list and watch on {resource} in a ClusterRole."))
            }
            Role::Namespaces => (&["list", "watch"], "Add the component namespace-selectors.".to_owned()),
            Role::Pods => (&["list", "watch"], "Add the component watch-pods.".to_owned()),
        };
        rights.push(right(group, resource, verbs, None, &help));
        if kind.role == Role::Gateways {
            rights.push(right(group, "gateways/finalizers", &["update"], None, BASE));
            if options.gateway_status {
                let help = "Add the component gateway-status.";
                rights.push(right(group, "gateways/status", &["update"], None, help));
            }
        }
    }
    rights.push(right("events.k8s.io", "events", &["get", "create", "patch"], None, BASE));
    if let Some(LeaseName { namespace, name }) = lease {
        let leases =
            |verbs: &[&'static str]| right("coordination.k8s.io", "leases", verbs, Some(namespace), BASE);
        rights.push(Right { name: Some(name.clone()), ..leases(&["get", "update", "patch"]) });
        rights.push(leases(&["create"]));
    }
    let writes: &[_] = match options.policy {
        Policy::Sync => &["create", "patch", "delete"],
        Policy::UpsertOnly => &["create", "patch"],
    };
    match &settings.gateway_namespaces {
        None => {
            let help = "Apply deploy/controller/own-namespaces/rbac.yaml. With RoleBindings in some namespaces \
                        instead, it writes only there.";
            rights.push(right(cert_manager, "certificates", writes, None, help));
        }
        Some(placements) => {
            let former = settings.former_gateway_namespaces.iter().map(String::as_str);
            let placements: BTreeSet<&str> =
                placements.iter().map(|placement| placement.namespace.as_str()).chain(former).collect();
            for namespace in placements {
                let help = format!(
                    "Apply the Role and RoleBinding of deploy/controller/central/rbac.yaml in {namespace}."
                );
                rights.push(right(cert_manager, "certificates", writes, Some(namespace), &help));
                rights.push(right("", "secrets", &["get"], Some(namespace), &help));
            }
        }
    }
    if options.check_own_secrets {
        rights.push(right("", "secrets", &["get"], None, "Add the component check-own-secrets."));
    }
    rights
}

async fn is_allowed(client: &Client, user: Option<&str>, right: &Right, verb: &str) -> Result<bool, Error> {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource.as_str(), None),
    };
    let attributes = Some(ResourceAttributes {
        group: Some(right.group.clone()),
        resource: Some(resource.to_owned()),
        subresource,
        verb: Some(verb.to_owned()),
        namespace: right.namespace.clone(),
        name: right.name.clone(),
        ..ResourceAttributes::default()
    });
    let parameters = PostParams::default();
    let status = match user {
        None => {
            let spec = SelfSubjectAccessReviewSpec { resource_attributes: attributes, ..Default::default() };
            let review = SelfSubjectAccessReview { spec, ..Default::default() };
            let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
            reviews.create(&parameters, &review).await.map(|review| review.status)
        }
        Some(user) => {
            let spec = SubjectAccessReviewSpec {
                user: Some(user.to_owned()),
                groups: Some(groups(user)),
                resource_attributes: attributes,
                ..Default::default()
            };
            let review = SubjectAccessReview { spec, ..Default::default() };
            let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
            reviews.create(&parameters, &review).await.map(|review| review.status)
        }
    };
    let status = status.map_err(|error| request(&format!("{verb} {right}"), &error))?;
    Ok(status.is_some_and(|status| status.allowed))
}

/// The groups of a user, as the API server adds them.
fn groups(user: &str) -> Vec<String> {
    let mut groups = vec!["system:authenticated".to_owned()];
    if let Some((namespace, _)) = service_account(user) {
        groups.push("system:serviceaccounts".to_owned());
        groups.push(format!("system:serviceaccounts:{namespace}"));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn options() -> Options {
        Options {
            kubeconfig: None,
            settings: None,
            election: Some(Election { namespace: None, name: "lease".to_owned() }),
            watch_pods: false,
            check_own_secrets: false,
            gateway_status: false,
            policy: Policy::Sync,
            user: Some("system:serviceaccount:system:controller".to_owned()),
        }
    }

    fn lines(settings: Value, options: &Options) -> Vec<String> {
        let settings = Settings::read(&settings).unwrap();
        let served: Vec<_> =
            watched(&settings, options.watch_pods).into_iter().map(|kind| (kind, None)).collect();
        let rights = rights(&settings, options, lease(options).unwrap().as_ref(), &served);
        rights.iter().map(|right| format!("{right}: {}", right.verbs.join(" "))).collect()
    }

    const READS: [&str; 6] = [
        "gateways.networking.istio.io in all namespaces: get list watch",
        "gateways/finalizers.networking.istio.io in all namespaces: update",
        "certificates.cert-manager.io in all namespaces: get list watch",
        "issuers.cert-manager.io in all namespaces: list watch",
        "clusterissuers.cert-manager.io in all namespaces: list watch",
        "events.events.k8s.io in all namespaces: get create patch",
    ];
    const LEASE: [&str; 2] = [
        "leases.coordination.k8s.io lease in system: get update patch",
        "leases.coordination.k8s.io in system: create",
    ];

    #[test]
    fn rights_of_the_default_settings() {
        let writes = ["certificates.cert-manager.io in all namespaces: create patch delete"];
        assert_eq!(lines(json!({}), &options()), [&READS[..], &LEASE, &writes].concat());
        let single = Options { election: None, policy: Policy::UpsertOnly, ..options() };
        let writes = ["certificates.cert-manager.io in all namespaces: create patch"];
        assert_eq!(lines(json!({}), &single), [&READS[..], &writes].concat());
    }

    #[test]
    fn rights_of_placements_and_options() {
        let settings = json!({
            "gateway_namespaces": [
                {"labels": {"istio": "b"}, "namespace": "gateways-b"},
                {"labels": {"istio": "a"}, "namespace": "gateways-a"},
                {"labels": {"istio": "c"}, "namespace": "gateways-a"},
            ],
            "issuer_kinds": [{"group": "awspca.cert-manager.io", "kind": "AWSPCAIssuer", "api_version": "v1beta1", "scope": "Namespaced"}],
            "tenants": [{"name": "a", "namespace_selector": {"match_labels": {"team": "a"}}, "issuers": [], "dns_names": []}],
        });
        let all = Options { watch_pods: true, check_own_secrets: true, gateway_status: true, ..options() };
        let expected = [
            &READS[..2],
            &["gateways/status.networking.istio.io in all namespaces: update"],
            &READS[2..5],
            &[
                "awspcaissuers.awspca.cert-manager.io in all namespaces: list watch",
                "namespaces in all namespaces: list watch",
                "pods in all namespaces: list watch",
            ],
            &READS[5..],
            &LEASE,
            &[
                "certificates.cert-manager.io in gateways-a: create patch delete",
                "secrets in gateways-a: get",
                "certificates.cert-manager.io in gateways-b: create patch delete",
                "secrets in gateways-b: get",
                "secrets in all namespaces: get",
            ],
        ];
        assert_eq!(lines(settings, &all), expected.concat());
    }

    #[rstest]
    #[case::service_account(
        "system:serviceaccount:a:b",
        &["system:authenticated", "system:serviceaccounts", "system:serviceaccounts:a"]
    )]
    #[case::user("jane", &["system:authenticated"])]
    fn groups_of_users(#[case] user: &str, #[case] expected: &[&str]) {
        assert_eq!(groups(user), expected);
    }

    #[test]
    fn the_namespace_of_the_lease_must_be_known() {
        let named = Election { namespace: Some("named".to_owned()), name: "lease".to_owned() };
        let named = Options { election: Some(named), ..options() };
        assert_eq!(lease(&named).unwrap().unwrap().namespace, "named");
        assert_eq!(lease(&options()).unwrap().unwrap().namespace, "system");
        let unknown = Options { user: None, ..options() };
        assert!(matches!(lease(&unknown), Err(Error::NoNamespace)));
        assert_eq!(lease(&Options { election: None, ..unknown }).unwrap(), None);
    }
}
