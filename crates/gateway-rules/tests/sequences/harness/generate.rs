//! Generates random clusters and requests. Most values are within the allowance, so that many requests
//! are accepted.

use certificate_shim::gateway::GatewayKind;
use serde_json::{Map, Value, json};

use super::judge;
use super::random::Random;
use super::values::{
    ANNOTATIONS, Annotations, CREDENTIALS, FOREIGN_ISSUERS, FOREIGN_KEYS, FOREIGN_NAMES, FOREIGN_SECRETS,
    ISSUER_KEYS, ISSUERS, KEYS, NAMES, OVERRIDES, PREFIX, SECRETS, Slot, THEMES, TLS_ACME, Values,
};
use super::world::{Key, Operation, PLATFORM, Request, SANDBOX, TENANT, World, finalizers, is_deleting};

use GatewayKind::{GatewayApi, Istio, ListenerSet};

/// Generates one sequence.
pub struct Generator {
    random: Random,
    slots: &'static [Slot],
    /// How many of 100 values are not within the allowance.
    foreign: usize,
    /// The names of the object that is updated.
    names: Vec<String>,
    /// Its Secrets.
    secrets: Vec<String>,
}

impl Generator {
    /// The generator of one sequence.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut random = Random::new(seed, index);
        let slots = THEMES[random.below(THEMES.len())];
        Generator { random, slots, foreign: 20, names: Vec::new(), secrets: Vec::new() }
    }

    /// Settings.
    pub fn settings(&mut self) -> Value {
        judge::settings(&mut self.random)
    }

    /// The number of requests.
    pub fn count(&mut self) -> usize {
        1 + self.random.below(6).max(self.random.below(6))
    }

    /// The objects before the first request. Many have violations.
    pub fn start(&mut self) -> Vec<Value> {
        let mut objects = Vec::new();
        for slot in self.slots {
            if self.random.chance(60) {
                objects.push(self.object(*slot));
            }
        }
        if self.slots.len() > 1 && self.random.chance(40) {
            objects.push(self.object((GatewayApi, PLATFORM, "shared")));
        }
        // An object with many violations is rejected whichever fix is missing.
        self.foreign = 10;
        objects
    }

    /// The next request.
    pub fn request(&mut self, world: &World, start: &[Value]) -> Request {
        let mut slot = self.slots[self.random.below(self.slots.len())];
        let key_of = |(kind, namespace, name): Slot| Key::new(kind, namespace, name);
        if slot.1 == SANDBOX && world.get(&key_of(slot)).is_none() && self.random.chance(60) {
            // Creating objects there is almost always rejected.
            slot = self.slots[0];
        }
        let (kind, key) = (slot.0, key_of(slot));
        let is_permitted = self.random.chance(50);
        self.names.clear();
        self.secrets.clear();
        let Some(current) = world.get(&key) else {
            let before =
                start.iter().find(|object| Key::of(object) == key).filter(|_| self.random.chance(30));
            let object = before.cloned().unwrap_or_else(|| self.object(slot));
            return Request { is_permitted, operation: Operation::Create, object };
        };
        if self.random.chance(15) {
            return Request { is_permitted, operation: Operation::Delete, object: current.clone() };
        }
        let mut object = current.clone();
        self.remember(&object);
        if is_deleting(current) && self.random.chance(30) {
            object["metadata"]["finalizers"] = json!([]);
        } else if self.random.chance(10) {
            object = self.object(slot);
            object["metadata"]["finalizers"] = json!(finalizers(current));
        } else {
            for _ in 0..=self.random.below(2) {
                self.change(&mut object, kind);
            }
        }
        Request { is_permitted, operation: Operation::Update, object }
    }

    /// A new object.
    fn object(&mut self, (kind, namespace, name): Slot) -> Value {
        let mut object = json!({
            "apiVersion": kind.owner_api_version(),
            "kind": kind.kind(),
            "metadata": {"name": name, "namespace": namespace, "annotations": {}},
            "spec": {},
        });
        if self.random.chance(25) {
            object["metadata"]["finalizers"] = self.finalizers();
        }
        if self.random.chance(70) {
            self.set_issuer(&mut object, kind);
        }
        if self.random.chance(20) {
            self.set_key(&mut object);
        }
        for values in &ANNOTATIONS {
            if self.random.chance(values.percent) {
                self.set_annotation(&mut object, values);
            }
        }
        let count = 1 + self.random.below(2);
        let parts: Vec<Value> = (0..count).map(|index| self.part(kind, index)).collect();
        object["spec"][parts_of(kind)] = json!(parts);
        match kind {
            Istio => object["spec"]["selector"] = self.selector(),
            GatewayApi if self.random.chance(70) => {
                object["spec"]["allowedListeners"] = json!({"namespaces": {"from": "All"}});
                if self.random.chance(30) {
                    object["spec"]["listeners"] = json!([]);
                }
            }
            GatewayApi => {}
            ListenerSet => object["spec"]["parentRef"] = self.parent(),
        }
        object
    }

    /// cert-manager takes a Gateway with the finalizer `foregroundDeletion` for one that is being
    /// deleted. Anyone who may update it can remove that finalizer again.
    fn finalizers(&mut self) -> Value {
        json!([self.random.pick(&["example.com/hold", "example.com/hold", "foregroundDeletion"])])
    }

    /// A server or listener.
    fn part(&mut self, kind: GatewayKind, index: usize) -> Value {
        let name = if index == 0 { "https" } else { "second" };
        if kind == Istio {
            let mut tls = json!({"mode": self.random.pick(&["SIMPLE", "SIMPLE", "SIMPLE", "MUTUAL"])});
            self.set_credentials(&mut tls);
            let hosts: Vec<String> = (0..=self.random.below(2)).map(|_| self.host()).collect();
            let protocol = self.server_protocol();
            json!({"port": {"number": 443, "name": name, "protocol": protocol}, "hosts": hosts, "tls": tls})
        } else {
            let count = if self.random.chance(15) { 2 } else { 1 };
            let references: Vec<Value> = (0..count).map(|_| json!({"name": self.secret()})).collect();
            json!({
                "name": name,
                "port": 443,
                "protocol": self.listener_protocol(),
                "hostname": self.name(),
                "tls": {"mode": "Terminate", "certificateRefs": references},
            })
        }
    }

    /// One change of an object.
    fn change(&mut self, object: &mut Value, kind: GatewayKind) {
        match self.random.below(16) {
            0..=2 => self.set_issuer(object, kind),
            3 => {
                for key in ISSUER_KEYS {
                    remove_annotation(object, key);
                }
            }
            4 => self.set_key(object),
            5 | 6 => {
                let values = &ANNOTATIONS[self.random.below(ANNOTATIONS.len())];
                self.set_annotation(object, values);
            }
            7 => {
                let values = &ANNOTATIONS[self.random.below(ANNOTATIONS.len())];
                remove_annotation(object, values.key);
            }
            8 => {
                let has_none = finalizers(object).is_empty();
                object["metadata"]["finalizers"] = if has_none { self.finalizers() } else { json!([]) };
            }
            9 => object["metadata"]["labels"] = json!({"touched": self.random.below(9).to_string()}),
            10 if kind == ListenerSet => object["spec"]["parentRef"] = self.parent(),
            10 if kind == Istio => object["spec"]["selector"] = self.selector(),
            _ => self.change_parts(object, kind),
        }
    }

    fn change_parts(&mut self, object: &mut Value, kind: GatewayKind) {
        let Some(parts) = object["spec"][parts_of(kind)].as_array_mut() else { return };
        if parts.is_empty() || (parts.len() == 1 && self.random.chance(20)) {
            let part = self.part(kind, parts.len());
            parts.push(part);
            return;
        }
        let index = self.random.below(parts.len());
        let part = &mut parts[index];
        match (self.random.below(6), kind) {
            (0 | 1, Istio) => part["hosts"] = json!([self.host()]),
            (0 | 1, _) => part["hostname"] = json!(self.name()),
            (2, Istio) => self.set_credentials(&mut part["tls"]),
            (2, _) => part["tls"]["certificateRefs"][0]["name"] = json!(self.secret()),
            (3, Istio) => part["port"]["protocol"] = json!(self.server_protocol()),
            (3, _) => part["protocol"] = json!(self.listener_protocol()),
            (4, Istio) => part["tls"]["mode"] = json!(self.random.pick(&["SIMPLE", "PASSTHROUGH"])),
            (4, _) => part["tls"]["mode"] = json!(self.random.pick(&["Terminate", "Passthrough"])),
            _ => drop(parts.remove(index)),
        }
    }

    fn set_issuer(&mut self, object: &mut Value, kind: GatewayKind) {
        let issuers: &[Annotations] = if kind != Istio && self.random.chance(36) {
            &OVERRIDES
        } else if self.is_foreign() {
            &FOREIGN_ISSUERS
        } else {
            &ISSUERS
        };
        let issuer = issuers[self.random.below(issuers.len())];
        replace_annotations(object, &ISSUER_KEYS, issuer);
    }

    fn set_key(&mut self, object: &mut Value) {
        let keys: &[Annotations] = if self.is_foreign() { &FOREIGN_KEYS } else { &KEYS };
        let key = keys[self.random.below(keys.len())];
        replace_annotations(object, &["private-key-algorithm", "private-key-size"], key);
    }

    fn set_annotation(&mut self, object: &mut Value, values: &Values) {
        let value = match values.key {
            "alt-names" => {
                let names: Vec<String> = (0..=self.random.below(2)).map(|_| self.name()).collect();
                names.join(",")
            }
            "common-name" if self.random.chance(70) => self.name(),
            _ if !values.foreign.is_empty() && (values.own.is_empty() || self.is_foreign()) => {
                self.random.pick(values.foreign).to_owned()
            }
            _ => self.random.pick(values.own).to_owned(),
        };
        let key = if values.key.is_empty() { TLS_ACME.to_owned() } else { format!("{PREFIX}{}", values.key) };
        annotations(object).insert(key, json!(value));
    }

    fn set_credentials(&mut self, tls: &mut Value) {
        for field in ["credentialName", "credentialNames", "caCertCredentialName"] {
            tls.as_object_mut().expect("an object").remove(field);
        }
        match self.random.below(20) {
            0 | 1 => tls["credentialNames"] = json!([self.credential(), self.credential()]),
            2 => tls["caCertCredentialName"] = json!(self.credential()),
            _ => tls["credentialName"] = json!(self.credential()),
        }
    }

    fn credential(&mut self) -> String {
        let secret = self.secret();
        let (before, after) = match self.random.chance(75) {
            true => CREDENTIALS[0],
            false => CREDENTIALS[self.random.below(CREDENTIALS.len())],
        };
        format!("{before}{secret}{after}")
    }

    fn secret(&mut self) -> String {
        if !self.secrets.is_empty() && self.random.chance(30) {
            return self.secrets[self.random.below(self.secrets.len())].clone();
        }
        let is_foreign = self.is_foreign();
        self.random.pick(if is_foreign { &FOREIGN_SECRETS } else { &SECRETS[..] }).to_owned()
    }

    fn name(&mut self) -> String {
        if !self.names.is_empty() && self.random.chance(30) {
            return self.names[self.random.below(self.names.len())].clone();
        }
        let is_foreign = self.is_foreign();
        self.random.pick(if is_foreign { &FOREIGN_NAMES } else { &NAMES[..] }).to_owned()
    }

    /// An entry of `hosts`: sometimes with the namespace of its VirtualServices or in upper case.
    fn host(&mut self) -> String {
        let name = self.name();
        match self.random.below(12) {
            0 => format!("{TENANT}/{name}"),
            1 => format!("./{name}"),
            2 => format!("*/{name}"),
            3 => name.to_ascii_uppercase(),
            _ => name,
        }
    }

    fn selector(&mut self) -> Value {
        match self.random.below(8) {
            0 => json!({}),
            1 if self.random.chance(60) => json!({"istio": "other"}),
            _ => json!({"istio": "ingressgateway"}),
        }
    }

    fn parent(&mut self) -> Value {
        match self.random.below(10) {
            0 => json!({"name": "absent"}),
            1 => json!({"name": "shared", "namespace": PLATFORM}),
            2 => json!({"name": "web", "namespace": SANDBOX}),
            3 => json!({"name": "web", "namespace": TENANT}),
            _ => json!({"name": "web"}),
        }
    }

    fn server_protocol(&mut self) -> &'static str {
        self.random.pick(&["HTTPS", "HTTPS", "HTTPS", "HTTPS", "TLS", "https", "HTTP"])
    }

    fn listener_protocol(&mut self) -> &'static str {
        self.random.pick(&["HTTPS", "HTTPS", "HTTPS", "HTTPS", "HTTPS", "TLS", "TCP"])
    }

    fn is_foreign(&mut self) -> bool {
        self.random.chance(self.foreign)
    }

    /// Remembers the names and Secrets of an object, so that an update can use them elsewhere in it.
    fn remember(&mut self, object: &Value) {
        let annotations = &object["metadata"]["annotations"];
        for key in ["alt-names", "common-name"] {
            let value = annotations[format!("{PREFIX}{key}")].as_str().unwrap_or_default();
            self.names.extend(value.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
        }
        let parts = [&object["spec"]["servers"], &object["spec"]["listeners"]];
        for part in parts.iter().filter_map(|parts| parts.as_array()).flatten() {
            let hosts = part["hosts"].as_array().into_iter().flatten().chain([&part["hostname"]]);
            self.names.extend(hosts.filter_map(Value::as_str).map(str::to_owned));
            let references = part["tls"]["certificateRefs"].as_array().into_iter().flatten();
            let names =
                references.map(|reference| &reference["name"]).chain([&part["tls"]["credentialName"]]);
            self.secrets.extend(names.filter_map(Value::as_str).map(str::to_owned));
        }
    }
}

fn parts_of(kind: GatewayKind) -> &'static str {
    if kind == Istio { "servers" } else { "listeners" }
}

fn annotations(object: &mut Value) -> &mut Map<String, Value> {
    object["metadata"]["annotations"].as_object_mut().expect("an object")
}

fn replace_annotations(object: &mut Value, keys: &[&str], by: Annotations) {
    for key in keys {
        remove_annotation(object, key);
    }
    for (key, value) in by {
        annotations(object).insert(format!("{PREFIX}{key}"), json!(value));
    }
}

fn remove_annotation(object: &mut Value, key: &str) {
    let key = if key.is_empty() { TLS_ACME.to_owned() } else { format!("{PREFIX}{key}") };
    annotations(object).remove(&key);
}
