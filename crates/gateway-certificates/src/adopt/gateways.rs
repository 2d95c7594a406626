//! The Secrets that Gateways name, the Certificates that write them, and the Gateway that gets each.

use std::collections::BTreeMap;

use certificate_shim::Certificate;
use certificate_shim::annotation;
use certificate_shim::gateway::{Gateway, GatewayKind};
use certificate_shim::issuer_ref::resolve;
use certificate_shim::placement::placement;
use certificate_shim::plan::{SecretName, plan};
use gateway_rules::Settings;
use manifests::Document;
use serde_json::{Value, json};

use super::annotations::{Annotations, is_shim_annotation};
use super::objects::{Origin, name_of, origin, text};

/// A Gateway and the Secrets that its servers name.
pub struct Named<'f> {
    /// The object.
    pub document: &'f Document,
    /// Its namespace and name.
    pub name: SecretName,
    /// The Gateway, or the reason why it cannot be read.
    pub gateway: Result<Gateway<'f>, String>,
    /// The namespaces of its Secrets; empty if they are unknown.
    pub placement: Vec<&'f str>,
    /// The Secrets of its servers that can be requested with annotations, in the order of its plan.
    pub secrets: Vec<SecretName>,
}

impl<'f> Named<'f> {
    /// Reads a Gateway.
    pub fn new(document: &'f Document, settings: &'f Settings) -> Self {
        let object = &document.object;
        let name = name_of(object);
        let read = Gateway::read(GatewayKind::Istio, text(object, "/metadata/namespace"), object);
        let mut named =
            Named { document, name, gateway: Err(String::new()), placement: Vec::new(), secrets: Vec::new() };
        let gateway = match read {
            Ok(gateway) if gateway.metadata.name.is_empty() => Err("metadata.name is missing".to_owned()),
            other => other.map_err(|malformed| malformed.to_string()),
        };
        if let Ok(gateway) = &gateway {
            named.placement = placement(gateway, settings.gateway_namespaces.as_deref());
        }
        let bare = annotated(object, &any_issuer());
        if let Ok(bare) = Gateway::read(GatewayKind::Istio, &named.name.namespace, &bare) {
            let issuer = resolve(&bare).map(|resolution| resolution.reference);
            let plan = issuer.map(|issuer| plan(&bare, &issuer, &named.placement, &settings.plan));
            let certificates = plan.map(|plan| plan.certificates).unwrap_or_default();
            named.secrets = certificates.iter().map(Certificate::secret).collect();
        }
        named.gateway = gateway;
        named
    }

    /// The order in which Gateways get a Secret: its Certificate's owner, an annotated one, the oldest.
    fn rank(&self, writers: &[&Document]) -> impl Ord + use<> {
        let object = &self.document.object;
        let is_owner = self.gateway.as_ref().is_ok_and(|gateway| {
            let owned = |document: &&Document| {
                !matches!(origin(&document.object, gateway), Origin::HandMade | Origin::Other(_))
            };
            writers.iter().any(owned)
        });
        let is_annotated = self.gateway.as_ref().is_ok_and(Gateway::is_annotated);
        let text = |pointer| text(object, pointer).to_owned();
        (!is_owner, !is_annotated, text("/metadata/creationTimestamp"), text("/metadata/uid"))
    }
}

/// The Gateway that each Secret is adopted for; among equals the first.
pub fn claims(
    gateways: &[Named<'_>],
    writers: &BTreeMap<SecretName, Vec<&Document>>,
) -> BTreeMap<SecretName, SecretName> {
    let mut by_secret: BTreeMap<&SecretName, Vec<&Named<'_>>> = BTreeMap::new();
    for named in
        gateways.iter().filter(|named| named.gateway.as_ref().is_ok_and(|gateway| !gateway.metadata.deleting))
    {
        for secret in &named.secrets {
            by_secret.entry(secret).or_default().push(named);
        }
    }
    let first = |(secret, all): (&SecretName, Vec<&Named<'_>>)| {
        let writers = writers.get(secret).map(Vec::as_slice).unwrap_or_default();
        let first = all.into_iter().min_by_key(|named| named.rank(writers))?;
        Some((secret.clone(), first.name.clone()))
    };
    by_secret.into_iter().filter_map(first).collect()
}

/// Annotations with which every Secret that a Gateway names is planned, even if its hosts are not names.
pub fn any_issuer() -> Annotations {
    [(annotation::ISSUER, "any".to_owned()), (annotation::COMMON_NAME, "any".to_owned())].into()
}

/// A Gateway with these annotations instead of those that certificate-shim reads.
pub fn annotated(gateway: &Value, annotations: &Annotations) -> Value {
    let mut gateway = gateway.clone();
    let Some(metadata) = gateway.get_mut("metadata").and_then(Value::as_object_mut) else { return gateway };
    let entry = metadata.entry("annotations").or_insert_with(|| json!({}));
    if !entry.is_object() {
        *entry = json!({});
    }
    if let Some(all) = entry.as_object_mut() {
        all.retain(|key, _| !is_shim_annotation(key));
        all.extend(annotations.iter().map(|(key, value)| ((*key).to_owned(), json!(value))));
    }
    gateway
}
