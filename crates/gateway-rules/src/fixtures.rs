//! Test objects and a test cluster, built by chained methods.

use std::cell::RefCell;
use std::collections::BTreeMap;

use certificate_shim::gateway::{Gateway, GatewayKind};
use serde_json::{Value, json};

use crate::check::{CheckResult, check};
use crate::context::Context;
use crate::decide::decide;
use crate::finding::Finding;
use crate::lookup::{Cluster, ListRef, LookupError, Lookups, ObjectRef, User};
use crate::response::Response;
use crate::rule::Caller;
use crate::settings::Settings;

/// A cluster with a few answers that records the lookups.
#[derive(Default, Debug)]
pub struct TestCluster {
    answers: BTreeMap<ObjectRef, Result<Value, LookupError>>,
    fresh_answers: BTreeMap<ObjectRef, Result<Value, LookupError>>,
    reviews: Vec<(&'static str, &'static str, Result<bool, LookupError>)>,
    failing_lists: BTreeMap<&'static str, LookupError>,
    asked: RefCell<Vec<String>>,
}

impl TestCluster {
    /// Sets the answer for an object. Other objects are not found.
    pub fn answer(mut self, object: &ObjectRef, answer: Result<Value, LookupError>) -> Self {
        self.answers.insert(object.clone(), answer);
        self
    }

    /// Sets the answer for an object if the lookup bypasses the cache.
    pub fn fresh_answer(mut self, object: &ObjectRef, answer: Result<Value, LookupError>) -> Self {
        self.fresh_answers.insert(object.clone(), answer);
        self
    }

    /// Adds an object, under its own kind, namespace and name.
    pub fn object(self, object: impl Into<Value>) -> Self {
        let object = object.into();
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let reference = ObjectRef {
            api_version: text("/apiVersion").unwrap(),
            kind: text("/kind").unwrap(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name").unwrap(),
        };
        self.answer(&reference, Ok(object))
    }

    /// Sets whether the user may create Certificates in the namespace. Other users may not.
    pub fn may_create(
        mut self,
        user: &'static str,
        namespace: &'static str,
        answer: Result<bool, LookupError>,
    ) -> Self {
        self.reviews.push((user, namespace, answer));
        self
    }

    /// Fails to list that kind.
    pub fn failing_list(mut self, kind: &'static str, error: LookupError) -> Self {
        self.failing_lists.insert(kind, error);
        self
    }

    /// The lookups in order: `Issuer team-a/ca`, with ` fresh` if they bypass the cache. Lookups of the
    /// Certificates of planned Secrets, which nearly every request makes, are left out.
    pub fn asked(&self) -> Vec<String> {
        self.asked_for(false)
    }

    /// The lookups of Certificates, in order.
    pub fn asked_for_certificates(&self) -> Vec<String> {
        self.asked_for(true)
    }

    fn asked_for(&self, certificates: bool) -> Vec<String> {
        let is_one = |asked: &&String| asked.starts_with("Certificate ") == certificates;
        self.asked.borrow().iter().filter(is_one).cloned().collect()
    }
}

impl Cluster for TestCluster {
    fn get(&self, object: &ObjectRef, _fields: &[&str], fresh: bool) -> Result<Value, LookupError> {
        let namespace =
            object.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let suffix = if fresh { " fresh" } else { "" };
        self.asked.borrow_mut().push(format!("{} {namespace}{}{suffix}", object.kind, object.name));
        let fresh_answer = if fresh { self.fresh_answers.get(object) } else { None };
        fresh_answer.or_else(|| self.answers.get(object)).cloned().unwrap_or(Err(LookupError::NotFound))
    }

    fn list(&self, list: &ListRef, _fields: &[&str]) -> Result<Vec<Value>, LookupError> {
        let namespace = list.namespace.as_ref().map(|namespace| format!(" {namespace}")).unwrap_or_default();
        self.asked.borrow_mut().push(format!("list {}{namespace}", list.kind));
        if let Some(error) = self.failing_lists.get(list.kind.as_str()) {
            return Err(error.clone());
        }
        let is_listed = |object: &&ObjectRef| {
            (&object.api_version, &object.kind) == (&list.api_version, &list.kind)
                && (list.namespace.is_none() || object.namespace == list.namespace)
        };
        Ok(self
            .answers
            .iter()
            .filter(|(object, _)| is_listed(object))
            .filter_map(|(_, answer)| answer.clone().ok())
            .collect())
    }

    fn can_create_certificates(&self, user: &User, namespace: &str) -> Result<bool, LookupError> {
        self.asked.borrow_mut().push(format!("may {} of {:?} create in {namespace}", user.name, user.groups));
        let review = self.reviews.iter().find(|(name, of, _)| *name == user.name && *of == namespace);
        review.map_or(Ok(false), |(_, _, answer)| answer.clone())
    }
}

/// A builder for a Gateway, with the settings for its check.
#[derive(Clone, Debug)]
pub struct GatewayFixture {
    kind: GatewayKind,
    object: Value,
    settings: Value,
    user_info: Value,
}

/// An Istio Gateway in team-a with one HTTPS server and the Secret `NAME-tls`.
pub fn istio(name: &str) -> GatewayFixture {
    let object = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": "team-a"},
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [{
                "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
                "hosts": [format!("{name}.team-a.example.com")],
                "tls": {"mode": "SIMPLE", "credentialName": format!("{name}-tls")},
            }],
        },
    });
    GatewayFixture { kind: GatewayKind::Istio, object, settings: json!({}), user_info: Value::Null }
}

/// A Gateway API Gateway in team-a with one HTTPS listener and the Secret `NAME-tls`.
pub fn gateway_api(name: &str) -> GatewayFixture {
    let object = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": "team-a"},
        "spec": {
            "gatewayClassName": "istio",
            "listeners": [{
                "name": "https",
                "port": 443,
                "protocol": "HTTPS",
                "hostname": format!("{name}.team-a.example.com"),
                "tls": {
                    "mode": "Terminate",
                    "certificateRefs": [{"group": "", "kind": "Secret", "name": format!("{name}-tls")}],
                },
            }],
        },
    });
    GatewayFixture { kind: GatewayKind::GatewayApi, object, settings: json!({}), user_info: Value::Null }
}

/// A ListenerSet in team-a below the Gateway `web`, with one HTTPS listener and the Secret `NAME-tls`.
pub fn listener_set(name: &str) -> GatewayFixture {
    let mut set = gateway_api(name);
    set.kind = GatewayKind::ListenerSet;
    set.object["kind"] = json!("ListenerSet");
    set.object["spec"]["parentRef"] = json!({"name": "web"});
    set
}

/// Names a Gateway API Gateway.
pub fn gateway(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: "gateway.networking.k8s.io/v1".into(),
        kind: "Gateway".into(),
        namespace: Some(namespace.into()),
        name: name.into(),
    }
}

impl From<GatewayFixture> for Value {
    fn from(gateway: GatewayFixture) -> Value {
        gateway.object
    }
}

impl GatewayFixture {
    /// With an annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.object["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// With a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.object["metadata"]["labels"][key] = json!(value);
        self
    }

    /// With an annotation of cert-manager's.
    pub fn cert_manager(self, key: &str, value: &str) -> Self {
        self.annotation(&format!("cert-manager.io/{key}"), value)
    }

    /// With another selector.
    pub fn selector(self, selector: Value) -> Self {
        self.with("/spec/selector", selector)
    }

    /// With another value at an existing JSON pointer.
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        *self.object.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
        self
    }

    /// With another field of its spec.
    pub fn spec(mut self, field: &str, value: Value) -> Self {
        self.object["spec"][field] = value;
        self
    }

    /// With another field of its metadata.
    pub fn metadata(mut self, field: &str, value: Value) -> Self {
        self.object["metadata"][field] = value;
        self
    }

    /// With one more item in the list at a JSON pointer.
    pub fn push(mut self, pointer: &str, item: Value) -> Self {
        self.object.pointer_mut(pointer).and_then(Value::as_array_mut).unwrap().push(item);
        self
    }

    /// Checked with these settings.
    pub fn settings(mut self, settings: Value) -> Self {
        self.settings = settings;
        self
    }

    /// Applied by this user, who is in the group `developers`.
    pub fn user(mut self, name: &str) -> Self {
        self.user_info = json!({"username": name, "groups": ["developers"], "uid": "1"});
        self
    }

    /// With a tenant `a` that owns the namespace and may have anything, except for these fields.
    pub fn tenant(self, fields: Value) -> Self {
        let mut tenant = json!({
            "name": "a", "namespaces": ["team-a"], "dns_names": ["**"], "wildcards": true,
            "issuers": [{"kind": "ClusterIssuer", "name": "*"}, {"kind": "Issuer", "name": "*"}],
        });
        for (field, value) in fields.as_object().unwrap() {
            tenant[field] = value.clone();
        }
        let mut settings = self.settings.clone();
        settings["tenants"] = json!([tenant]);
        self.settings(settings)
    }

    /// The settings.
    pub fn settings_value(&self) -> Value {
        self.settings.clone()
    }

    /// The object.
    pub fn object(&self) -> Value {
        self.object.clone()
    }

    /// The findings as text, in order, at any level.
    pub fn findings(&self, cluster: &TestCluster) -> Vec<String> {
        self.checked(cluster, Caller::Admission).findings.iter().map(Finding::to_string).collect()
    }

    /// The findings, in order: `rule level path | subject`.
    pub fn found(&self, cluster: &TestCluster) -> Vec<String> {
        let brief = |finding: &Finding| {
            format!("{} {} {} | {}", finding.rule, finding.level.as_str(), finding.path, finding.subject)
        };
        self.checked(cluster, Caller::Admission).findings.iter().map(brief).collect()
    }

    /// The findings of one rule, in order: `level path | subject`.
    pub fn found_by(&self, rule: &str, cluster: &TestCluster) -> Vec<String> {
        let start = format!("{rule} ");
        self.found(cluster)
            .into_iter()
            .filter_map(|found| found.strip_prefix(&start).map(str::to_owned))
            .collect()
    }

    /// The findings, in order: `rule level`.
    pub fn rules(&self, cluster: &TestCluster) -> Vec<String> {
        let brief = |finding: &Finding| format!("{} {}", finding.rule, finding.level.as_str());
        self.checked(cluster, Caller::Admission).findings.iter().map(brief).collect()
    }

    /// The result of the check.
    pub fn checked(&self, cluster: &TestCluster, asker: Caller) -> CheckResult {
        let settings = Settings::read(&self.settings).unwrap();
        let gateway = Gateway::read(self.kind, "team-a", &self.object).unwrap();
        let lookups = Lookups::new(cluster, settings.lookups);
        check(&gateway, &settings, &lookups, asker)
    }

    /// Calls a function with the context.
    pub fn in_context<T>(&self, cluster: &TestCluster, see: impl FnOnce(&Context<'_>) -> T) -> T {
        let settings = Settings::read(&self.settings).unwrap();
        let gateway = Gateway::read(self.kind, "team-a", &self.object).unwrap();
        see(&Context::new(&gateway, &gateway, None, &settings, &Lookups::new(cluster, settings.lookups)))
    }

    /// The findings of one rule, as text after its id, in order.
    pub fn findings_of(&self, rule: &str, cluster: &TestCluster) -> Vec<String> {
        let own = |finding: String| finding.strip_prefix(&format!("{rule}: ")).map(str::to_owned);
        self.findings(cluster).into_iter().filter_map(own).collect()
    }

    /// With that level of a rule.
    pub fn level(mut self, rule: &str, level: &str) -> Self {
        self.settings["rules"][rule] = json!(level);
        self
    }

    /// The response to its creation.
    pub fn create(&self, cluster: &TestCluster) -> Response {
        self.request(cluster, "CREATE", Value::Null)
    }

    /// The response to its update from an old state.
    pub fn update_from(&self, old: &GatewayFixture, cluster: &TestCluster) -> Response {
        self.request(cluster, "UPDATE", old.object())
    }

    /// The response to any request about it.
    pub fn request(&self, cluster: &TestCluster, operation: &str, old_object: Value) -> Response {
        let payload = json!({
            "settings": self.settings,
            "request": {
                "kind": {"group": self.kind.group(), "version": "v1", "kind": self.kind.kind()},
                "operation": operation,
                "namespace": "team-a",
                "object": self.object,
                "oldObject": old_object,
                "userInfo": self.user_info,
            },
        });
        decide(payload.to_string().as_bytes(), cluster)
    }
}

/// A Namespace with labels.
pub fn namespace(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// A builder for an issuer.
#[derive(Clone)]
pub struct IssuerFixture(Value);

/// An Issuer without status.
pub fn issuer(namespace: &str, name: &str) -> IssuerFixture {
    IssuerFixture(json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Issuer",
        "metadata": {"name": name, "namespace": namespace},
    }))
}

/// A ClusterIssuer without status.
pub fn cluster_issuer(name: &str) -> IssuerFixture {
    IssuerFixture(json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "ClusterIssuer",
        "metadata": {"name": name},
    }))
}

impl IssuerFixture {
    /// With a Ready condition that is true.
    pub fn ready(self) -> Self {
        self.condition("True", "IsReady", "")
    }

    /// With that spec.
    pub fn spec(mut self, spec: Value) -> Self {
        self.0["spec"] = spec;
        self
    }

    /// With an ACME spec that has these solvers.
    pub fn solvers(self, solvers: Value) -> Self {
        self.spec(json!({"acme": {"solvers": solvers}}))
    }

    /// With that Ready condition.
    pub fn condition(mut self, status: &str, reason: &str, message: &str) -> Self {
        self.0["status"]["conditions"] =
            json!([{"type": "Ready", "status": status, "reason": reason, "message": message}]);
        self
    }

    /// At a generation, with a condition about another one.
    pub fn generations(mut self, generation: i64, observed: i64) -> Self {
        self.0["metadata"]["generation"] = json!(generation);
        self.0["status"]["conditions"][0]["observedGeneration"] = json!(observed);
        self
    }
}

impl From<IssuerFixture> for Value {
    fn from(issuer: IssuerFixture) -> Value {
        issuer.0
    }
}

/// A builder for a Certificate.
#[derive(Clone)]
pub struct CertificateFixture(Value);

/// A Certificate without owner.
pub fn certificate(namespace: &str, name: &str) -> CertificateFixture {
    CertificateFixture(json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": name, "namespace": namespace},
    }))
}

impl CertificateFixture {
    /// With that controller.
    pub fn owned_by(mut self, api_version: &str, kind: &str, name: &str) -> Self {
        self.0["metadata"]["ownerReferences"] = json!([
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "1"},
            {"apiVersion": api_version, "kind": kind, "name": name, "uid": "2", "controller": true},
        ]);
        self
    }

    /// With a Secret of another name.
    pub fn writes(mut self, secret: &str) -> Self {
        self.0["spec"]["secretName"] = json!(secret);
        self
    }

    /// With the record of an Istio Gateway in another namespace.
    pub fn recorded(mut self, namespace: &str, name: &str) -> Self {
        self.0["metadata"]["annotations"] = json!({
            "gateway-certificates.io/owner-namespace": namespace,
            "gateway-certificates.io/owner-name": name,
            "gateway-certificates.io/owner-uid": "2",
        });
        self
    }

    /// Named by that reference.
    pub fn reference(&self) -> ObjectRef {
        let text = |pointer: &str| self.0.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
        ObjectRef {
            api_version: text("/apiVersion"),
            kind: text("/kind"),
            namespace: Some(text("/metadata/namespace")),
            name: text("/metadata/name"),
        }
    }
}

impl From<CertificateFixture> for Value {
    fn from(certificate: CertificateFixture) -> Value {
        certificate.0
    }
}

/// The findings of a response: `rule level path`, sorted.
pub fn audited(response: &Response) -> Vec<String> {
    let Some((_, findings)) = response.audit_annotations.iter().find(|(key, _)| *key == "findings") else {
        return Vec::new();
    };
    let findings: Vec<Value> = serde_json::from_str(findings).unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let brief = |finding: &Value| {
        format!("{} {} {}", text(finding, "rule"), text(finding, "level"), text(finding, "path"))
    };
    findings.iter().map(brief).collect()
}
