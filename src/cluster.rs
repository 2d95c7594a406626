//! Lookups through the Kubewarden host, and the meaning of its error texts.
//!
//! A guest gets errors only as text. The text contains a name that the author of the Gateway chose, so
//! it is never searched: an error is recognized only if the text begins exactly as the host's text for
//! the requested object. Any other text is undetermined, never "not found". The texts are those of
//! `crates/policy-evaluator` in kubewarden/kubewarden-controller, and of kube-rs.

use gateway_rules::lookup::{Cluster, Grant, ListRef, LookupError, ObjectRef, User};
use serde_json::{Value, json};
use wapc_guest::host_call;

/// The maximum size in bytes of an answer that is parsed, because parsing takes time and memory of the
/// request.
const ANSWER_MAX: usize = 8 * 1024 * 1024;

/// The cluster, through lookups of the host.
pub struct Host;

impl Cluster for Host {
    fn get(&self, object: &ObjectRef, fields: &[&str], fresh: bool) -> Result<Value, LookupError> {
        let ObjectRef { api_version, kind, namespace, name } = object;
        let request = json!({
            "api_version": api_version, "kind": kind, "namespace": namespace, "name": name,
            "disable_cache": fresh, "field_masks": fields,
        });
        ask("get_resource", &request, object)
    }

    fn list(&self, list: &ListRef, fields: &[&str]) -> Result<Vec<Value>, LookupError> {
        let ListRef { api_version, kind, namespace } = list;
        let mut request = json!({
            "api_version": api_version, "kind": kind, "field_masks": fields,
            "label_selector": null, "field_selector": null,
        });
        let operation = match namespace {
            Some(namespace) => {
                request["namespace"] = json!(namespace);
                "list_resources_by_namespace"
            }
            None => "list_resources_all",
        };
        match ask(operation, &request, &list.object())?.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok(items),
            _ => Err(LookupError::Undetermined("the answer is not a list".to_owned())),
        }
    }

    fn can_create_certificates(&self, user: &User, namespace: &str) -> Result<bool, LookupError> {
        let resource = json!({
            "group": "cert-manager.io", "resource": "certificates", "verb": "create", "namespace": namespace,
        });
        let review = json!({"user": user.name, "groups": user.groups, "resource_attributes": resource});
        let request = json!({"subject_access_review": review, "disable_cache": true});
        let status = ask("can_i", &request, &user.review(namespace))?;
        let allowed = status.get("allowed").and_then(Value::as_bool);
        allowed.ok_or_else(|| LookupError::Undetermined("the answer is not a SubjectAccessReview".to_owned()))
    }
}

/// The host's answer to a request about `object`. The SDK's functions would bring a type for each request and
/// answer, and a second reader of JSON.
fn ask(operation: &str, request: &Value, object: &ObjectRef) -> Result<Value, LookupError> {
    let answer = host_call("kubewarden", "kubernetes", operation, request.to_string().as_bytes())
        .map_err(|error| classify(&error.to_string(), object))?;
    if answer.len() > ANSWER_MAX {
        let size = format!("the answer has {} bytes, more than {ANSWER_MAX}", answer.len());
        return Err(LookupError::Undetermined(size));
    }
    let answer = str::from_utf8(&answer).ok().and_then(|text| serde_json::from_str(text).ok());
    answer.ok_or_else(|| LookupError::Undetermined("the answer is not JSON".to_owned()))
}

/// The error that the host's text reports for the lookup of `object`.
fn classify(text: &str, object: &ObjectRef) -> LookupError {
    let ObjectRef { api_version, kind, namespace, name } = object;
    let text = text.strip_prefix("Host error: ").unwrap_or(text);
    for (operation, grant) in [
        ("get_resource", Grant::Capability),
        ("can_i", Grant::AccessReview),
        ("list_resources_by_namespace", Grant::List),
        ("list_resources_all", Grant::List),
    ] {
        if text.starts_with(&format!(
            "Policy has not been granted access to the 'kubernetes/{operation}' host capability."
        )) {
            return LookupError::NotGranted(grant);
        }
    }
    if text.starts_with(&format!(
        "Policy has not been granted access to Kubernetes {api_version}/{kind} resources."
    )) {
        return LookupError::NotGranted(Grant::Resource);
    }
    let Some(text) = text.strip_prefix("Callback evaluation failure: ") else {
        return undetermined(text);
    };
    let absent =
        format!("Cannot find {api_version}/{kind} named '{name}' inside of namespace '{namespace:?}'");
    if is_whole(text, &absent) {
        return LookupError::NotFound;
    }
    if is_whole(text, &format!("Cannot find resource {api_version}/{kind}")) {
        return LookupError::KindNotServed;
    }
    // Errors of discovery have a prefix. A 404 then means that the group or version is not served.
    let discovery = format!("error finding resource {api_version} / {kind}: ");
    let failure = text.strip_prefix(&discovery).unwrap_or(text);
    if let Some(said) = failure.strip_prefix("ApiError: ") {
        return classify_status(said, object);
    }
    if failure.starts_with("ServiceError: ") || failure.starts_with("HyperError: ") {
        return LookupError::Unavailable(first_line(failure).to_owned());
    }
    undetermined(text)
}

/// The error in a response of the API server: kube-rs prints its message, its reason and the Status.
fn classify_status(said: &str, object: &ObjectRef) -> LookupError {
    // The response for a path that is not served, not for an object that does not exist.
    if said.starts_with("404 page not found\n: Failed to parse error data (Status { ") {
        return LookupError::KindNotServed;
    }
    let forbidden = format!("{} {:?} is forbidden: ", object.resource(), object.name);
    if said.starts_with(&forbidden) {
        return LookupError::Forbidden;
    }
    match code(said) {
        Some(403) => LookupError::Forbidden,
        Some(code @ (401 | 408 | 429 | 500..=599)) => LookupError::Unavailable(format!("code {code}")),
        _ => undetermined(said),
    }
}

/// The code of the Status at the end of the text. The first code is used, because it precedes any
/// repetition of the object's name.
fn code(said: &str) -> Option<u16> {
    let (_, status) = said.split_once(" (Status { status: Some(Failure), code: ")?;
    status.split_once(',')?.0.parse().ok()
}

/// Whether the text is the expected one, optionally followed by the causes or the backtrace that a live
/// host appends.
fn is_whole(text: &str, expected: &str) -> bool {
    text.strip_prefix(expected).is_some_and(|rest| rest.is_empty() || rest.starts_with("\n\n"))
}

fn undetermined(text: &str) -> LookupError {
    LookupError::Undetermined(first_line(text).to_owned())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, namespace: Option<&str>, name: &str) -> ObjectRef {
        ObjectRef {
            api_version: "cert-manager.io/v1".to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        }
    }

    fn issuer() -> ObjectRef {
        object("Issuer", Some("ns"), "x")
    }

    const FORBIDDEN: &str = "Host error: Callback evaluation failure: ApiError: issuers.cert-manager.io \"x\" is forbidden: User \"system:serviceaccount:kubewarden:policy-server\" cannot get resource \"issuers\" in API group \"cert-manager.io\" in the namespace \"ns\": Forbidden (Status { status: Some(Failure), code: 403, message: \"..\" })";

    #[test]
    fn every_text_of_the_host() {
        let failure = |text: &str| format!("Host error: Callback evaluation failure: {text}");
        let status = |code: u16| {
            failure(&format!(
                "ApiError: said: Reason (Status {{ status: Some(Failure), code: {code}, message: \"said\", metadata: None }})"
            ))
        };
        let cases = [
            ("capability", "Host error: Policy has not been granted access to the 'kubernetes/get_resource' host capability. The violation has been reported.".to_owned(), LookupError::NotGranted(Grant::Capability)),
            ("context aware", "Host error: Policy has not been granted access to Kubernetes cert-manager.io/v1/Issuer resources. The violation has been reported.".to_owned(), LookupError::NotGranted(Grant::Resource)),
            ("absent", failure("Cannot find cert-manager.io/v1/Issuer named 'x' inside of namespace 'Some(\"ns\")'"), LookupError::NotFound),
            ("absent, live", failure("Cannot find cert-manager.io/v1/Issuer named 'x' inside of namespace 'Some(\"ns\")'\n\nStack backtrace:\n   0: <unknown>"), LookupError::NotFound),
            ("kind", failure("Cannot find resource cert-manager.io/v1/Issuer"), LookupError::KindNotServed),
            ("group", failure("error finding resource cert-manager.io/v1 / Issuer: ApiError: 404 page not found\n: Failed to parse error data (Status { status: Some(Failure), code: 404, message: \"404 page not found\\n\", metadata: None })"), LookupError::KindNotServed),
            ("CRD removed", failure("ApiError: 404 page not found\n: Failed to parse error data (Status { status: Some(Failure), code: 404, message: \"404 page not found\\n\" })\n\nCaused by:\n    404"), LookupError::KindNotServed),
            ("RBAC", FORBIDDEN.to_owned(), LookupError::Forbidden),
            ("RBAC of discovery", failure("error finding resource cert-manager.io/v1 / Issuer: ApiError: forbidden: Forbidden (Status { status: Some(Failure), code: 403, message: \"forbidden\" })"), LookupError::Forbidden),
            ("401", failure("error finding resource cert-manager.io/v1 / Issuer: ApiError: Unauthorized: Unauthorized (Status { status: Some(Failure), code: 401, message: \"Unauthorized\" })"), LookupError::Unavailable("code 401".into())),
            ("429", status(429), LookupError::Unavailable("code 429".into())),
            ("503", status(503), LookupError::Unavailable("code 503".into())),
            ("another code", status(400), LookupError::Undetermined("said: Reason (Status { status: Some(Failure), code: 400, message: \"said\", metadata: None })".into())),
            ("down", failure("ServiceError: client error (Connect)"), LookupError::Unavailable("ServiceError: client error (Connect)".into())),
            ("down in discovery", failure("error finding resource cert-manager.io/v1 / Issuer: ServiceError: client error (Connect)\n\nCaused by:\n    0: refused"), LookupError::Unavailable("ServiceError: client error (Connect)".into())),
            ("replay ended", failure("the list of recorded responses is empty"), LookupError::Undetermined("the list of recorded responses is empty".into())),
            ("no namespace", failure("Resource cert-manager.io/v1/Issuer is namespaced, but no namespace was provided"), LookupError::Undetermined("Resource cert-manager.io/v1/Issuer is namespaced, but no namespace was provided".into())),
            ("nothing known", "something else".to_owned(), LookupError::Undetermined("something else".into())),
            ("nothing", String::new(), LookupError::Undetermined(String::new())),
        ];
        for (name, text, expected) in cases {
            assert_eq!(classify(&text, &issuer()), expected, "{name}");
        }
    }

    #[test]
    fn cluster_scope() {
        let text = "Host error: Callback evaluation failure: Cannot find cert-manager.io/v1/ClusterIssuer named 'x' inside of namespace 'None'";
        assert_eq!(classify(text, &object("ClusterIssuer", None, "x")), LookupError::NotFound);
    }

    #[test]
    fn a_text_about_another_object_is_undetermined() {
        let about_x = "Host error: Callback evaluation failure: Cannot find cert-manager.io/v1/Issuer named 'x' inside of namespace 'Some(\"ns\")'";
        for other in [
            object("Issuer", Some("ns"), "y"),
            object("Issuer", Some("other"), "x"),
            object("Issuer", None, "x"),
            object("ClusterIssuer", Some("ns"), "x"),
        ] {
            assert!(matches!(classify(about_x, &other), LookupError::Undetermined(_)), "{other}");
        }
        let prefix = "Host error: Policy has not been granted access to Kubernetes v1/Secret resources. The violation has been reported.";
        assert!(matches!(classify(prefix, &issuer()), LookupError::Undetermined(_)));
    }

    #[test]
    fn a_kind_of_the_core_group() {
        let namespace = ObjectRef { api_version: "v1".to_owned(), ..object("Namespace", None, "x") };
        for (text, expected) in [
            (
                "ApiError: namespaces \"x\" is forbidden: User \"u\" cannot get resource \"namespaces\" in API group \"\" in the namespace \"x\": Forbidden (Status {})",
                LookupError::Forbidden,
            ),
            ("Cannot find v1/Namespace named 'x' inside of namespace 'None'", LookupError::NotFound),
        ] {
            assert_eq!(
                classify(&format!("Host error: Callback evaluation failure: {text}"), &namespace),
                expected
            );
        }
    }

    #[test]
    fn access_reviews() {
        let review = User { name: "jane".to_owned(), groups: vec![] }.review("ns");
        for (text, expected) in [
            (
                "Policy has not been granted access to the 'kubernetes/can_i' host capability. The violation has been reported.",
                LookupError::NotGranted(Grant::AccessReview),
            ),
            (
                "Callback evaluation failure: ApiError: subjectaccessreviews.authorization.k8s.io is forbidden: User \"u\" cannot create resource: Forbidden (Status { status: Some(Failure), code: 403, message: \"..\" })",
                LookupError::Forbidden,
            ),
            (
                "Callback evaluation failure: SubjectAccessReview did not return a response",
                LookupError::Undetermined("SubjectAccessReview did not return a response".into()),
            ),
        ] {
            assert_eq!(classify(&format!("Host error: {text}"), &review), expected);
        }
    }

    #[test]
    fn a_name_in_the_middle_of_a_text_is_ignored() {
        let name = "Cannot find cert-manager.io/v1/Issuer named 'x' inside of namespace 'Some(\"ns\")'";
        let text = format!(
            "Host error: Callback evaluation failure: ApiError: something about {name}: Reason (Status {{ status: Some(Failure), code: 503, message: \"code: 404\" }})"
        );
        assert_eq!(classify(&text, &issuer()), LookupError::Unavailable("code 503".into()));
    }
}
