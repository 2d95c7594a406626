//! The tenant's allowance, as settings for the policy and as checks of a cluster. The checks share no code
//! with the rules and the ratchet.

use std::collections::{BTreeMap, BTreeSet};

use certificate_shim::annotation::{CLUSTER_ISSUER, ISSUER, ISSUER_GROUP, ISSUER_KIND};
use certificate_shim::placement::GatewayNamespace;
use serde_json::{Value, json};

use super::plans::{Issuer, Pair, Planned, pairs, planned, planned_later, read};
use super::random::Random;
use super::world::{GATEWAYS, Key, SANDBOX, TENANT, World};

/// The kinds of violations.
pub const KINDS: [&str; 17] = [
    "Certificate without tenant",
    "Secret",
    "common name",
    "duration",
    "emailAddresses",
    "host served without tenant",
    "issuer",
    "name",
    "plan changed without permission",
    "private key",
    "secretTemplate",
    "served Secret",
    "served host",
    "subject",
    "too many Certificates",
    "too many names",
    "usages",
];

/// Something that is neither within the allowance nor from before the first request.
#[derive(Debug, Clone)]
pub struct Violation {
    /// One of [`KINDS`].
    pub kind: &'static str,
    /// The place and the value.
    pub text: String,
}

/// The usages that the tenant may have.
const USAGES: [&str; 3] = ["digital signature", "key encipherment", "server auth"];
/// The shortest duration that the tenant may have, in hours.
const SHORTEST: i64 = 24;
/// The most Certificates of one object.
const CERTIFICATES: usize = 2;
/// The most names of one Certificate.
const NAMES: usize = 3;

/// Settings with one tenant that has every field. Some fields are random.
pub fn settings(random: &mut Random) -> Value {
    let mut tenant = json!({
        "name": "a",
        "issuers": [
            {"kind": "ClusterIssuer", "name": "le*"},
            {"kind": "Issuer", "name": "*"},
            {"kind": "Issuer", "name": "le*", "namespace": GATEWAYS},
            {"kind": "ExtIssuer", "group": "issuer.example.com", "name": "le*"},
        ],
        "dns_names": ["team-a.example.com", "**.team-a.example.com"],
        "wildcards": random.chance(50),
        "ip_ranges": ["10.0.0.0/8"],
        "common_names": ["Team A *"],
        "secrets": ["team-a-*"],
        "max_certificates": CERTIFICATES,
        "max_names": NAMES,
        "duration": {"min": format!("{SHORTEST}h"), "max": random.pick(&["720h", "2160h"])},
        "key": {"algorithms": ["RSA", "ECDSA"], "rsa_min": 2048, "rsa_max": 4096, "ecdsa": [256, 384]},
        "usages": USAGES,
        "subject": "deny",
        "secret_template": {"labels": ["team"], "annotations": []},
    });
    if random.chance(50) {
        tenant["namespaces"] = json!([TENANT]);
    } else {
        tenant["namespace_selector"] = json!({"match_labels": {"team": "a"}});
    }
    if random.chance(25) {
        let when = random.pick(&["always", "tls-acme"]);
        tenant["default_issuer"] =
            json!({"name": "le", "kind": "ClusterIssuer", "when": when, "on": "create-and-update"});
    }
    let mut settings = json!({"other_namespaces": "reject", "tenants": [tenant]});
    settings["existing_violations"] = json!(if random.chance(75) { "warn" } else { "reject" });
    if random.chance(50) {
        settings["gateway_namespaces"] =
            json!([{"labels": {"istio": "ingressgateway"}, "namespace": GATEWAYS}]);
    }
    if random.chance(40) {
        settings["rules"] = json!({"issuer-no-permission": "reject"});
    }
    settings
}

/// Whether the tenant may use an issuer for a Certificate in that namespace.
fn may_use((group, kind, name): &Issuer, namespace: &str) -> bool {
    let is_le = name.starts_with("le");
    match (group.as_str(), kind.as_str(), namespace) {
        ("cert-manager.io", "ClusterIssuer", _) => is_le,
        ("cert-manager.io", "Issuer", TENANT) => true,
        ("cert-manager.io", "Issuer", GATEWAYS) => is_le,
        ("issuer.example.com", "ExtIssuer", TENANT) => is_le,
        _ => false,
    }
}

/// Whether the tenant may have a value in the `spec` of a Certificate, other than those that are checked
/// by themselves.
fn may_have_field(path: &str, value: &str) -> bool {
    match path {
        "usages" => USAGES.contains(&value),
        "secretTemplate.labels.team" => true,
        _ => !["subject.", "emailAddresses", "secretTemplate."].iter().any(|start| path.starts_with(start)),
    }
}

fn may_have_secret(name: &str) -> bool {
    name.starts_with("team-a-")
}

/// What decides about the issuer of a ListenerSet: its own annotations, and the namespace and name of its
/// parent.
#[derive(PartialEq)]
struct Source {
    own: BTreeMap<&'static str, String>,
    parent: (String, String),
}

impl Source {
    /// The source of a ListenerSet; `None` for other objects.
    fn of(world: &World, key: &Key) -> Option<Self> {
        let set = read(world, key)?;
        let parent = set.parent_ref.as_ref()?;
        let value = |key: &'static str| Some((key, set.annotation(key)?.to_owned()));
        Some(Source {
            own: [ISSUER, CLUSTER_ISSUER, ISSUER_KIND, ISSUER_GROUP].into_iter().filter_map(value).collect(),
            parent: (parent.namespace.to_owned(), parent.name.to_owned()),
        })
    }

    fn names_issuer(&self) -> bool {
        self.own.contains_key(ISSUER) || self.own.contains_key(CLUSTER_ISSUER)
    }
}

/// The state of an object before the first request. For a ListenerSet, the Certificates are those that it
/// gets under any parent: if its parent is created or changed later, cert-manager issues for the set, and
/// there is no request about the set that the policy could reject (docs/limits.md).
struct Initial {
    planned: Vec<Planned>,
    /// The issuers of its Certificates: under its parent, and as written.
    issuers: BTreeSet<Issuer>,
    source: Option<Source>,
    pairs: BTreeSet<Pair>,
}

impl Initial {
    /// The Certificate of the same Secret, unless a change of the object since then is the reason why it
    /// has another issuer.
    fn certificate(&self, planned: &Planned, source: Option<&Source>) -> Option<&Planned> {
        let issuer = &planned.issuer;
        let is_inherited = |(now, before): (&Source, &Source)| {
            // Whatever a ListenerSet says about its issuer since before the policy, its parent can make
            // any issuer of it.
            let is_as_written = now.own == before.own && !now.own.is_empty();
            let names_none = !now.names_issuer() && !before.names_issuer();
            now.parent == before.parent && (is_as_written || names_none && may_use(issuer, TENANT))
        };
        let is_from_before =
            self.issuers.contains(issuer) || source.zip(self.source.as_ref()).is_some_and(is_inherited);
        self.planned.iter().find(|before| is_from_before && before.is_same(planned))
    }
}

/// The planned Certificates of each object.
pub type Plans = BTreeMap<Key, Vec<Planned>>;

/// Checks a cluster against the allowance and its state before the first request. An object that was
/// removed counts as new when it is created again.
pub struct Judge {
    has_wildcards: bool,
    longest: i64,
    gateways: Option<Vec<GatewayNamespace>>,
    initial: BTreeMap<Key, Initial>,
}

impl Judge {
    /// Remembers the state before the first request.
    pub fn new(world: &World, settings: &Value) -> Self {
        let tenant = &settings["tenants"][0];
        let longest = tenant["duration"]["max"].as_str().and_then(|max| max.strip_suffix('h'));
        let labels = [("istio".to_owned(), "ingressgateway".to_owned())].into();
        let pods = GatewayNamespace { labels, namespace: GATEWAYS.to_owned() };
        let gateways = settings.get("gateway_namespaces").map(|_| vec![pods]);
        let initial = |key: &Key| {
            let gateways = gateways.as_deref();
            let later = planned_later(world, key, gateways);
            let all = planned(world, key, gateways).into_iter().chain(later.iter().cloned());
            let initial = Initial {
                issuers: all.map(|planned| planned.issuer).collect(),
                planned: later,
                source: Source::of(world, key),
                pairs: pairs(world, key, gateways),
            };
            (key.clone(), initial)
        };
        Judge {
            has_wildcards: tenant["wildcards"] == true,
            longest: longest.and_then(|hours| hours.parse().ok()).expect("duration.max in hours"),
            initial: world.keys().map(initial).collect(),
            gateways,
        }
    }

    /// Forgets the objects that are no longer there.
    pub fn forget_removed(&mut self, world: &World) {
        self.initial.retain(|key, _| world.get(key).is_some());
    }

    /// The planned Certificates of all objects.
    pub fn plans(&self, world: &World) -> Plans {
        world.keys().map(|key| (key.clone(), planned(world, key, self.gateways.as_deref()))).collect()
    }

    /// Finds all violations in a cluster with these plans.
    pub fn check(&self, world: &World, plans: &Plans, violations: &mut Vec<Violation>) {
        for (key, plan) in plans {
            let initial = self.initial.get(key);
            let source = Source::of(world, key);
            for planned in plan {
                let before = initial.and_then(|initial| initial.certificate(planned, source.as_ref()));
                let mut found =
                    Found { about: format!("{key:?} {planned:?} before: {before:?}"), violations };
                match key.namespace.as_str() {
                    TENANT => {
                        // A parent in another namespace can make a namespaced issuer of the tenant's own
                        // namespace of any name (docs/rules.md, issuer-not-allowed).
                        let is_own = planned.issuer.1 == "ExtIssuer"
                            && source.as_ref().is_some_and(|source| source.parent.0 != TENANT);
                        let has_names =
                            |before: &Planned| planned.names.iter().all(|name| before.has_name(name));
                        let may_have_issuer = is_own
                            || may_use(&planned.issuer, &planned.namespace)
                            || before.is_some_and(has_names);
                        found.unless(may_have_issuer, "issuer", "");
                        self.check_certificate(planned, before, &mut found);
                    }
                    SANDBOX => {
                        let is_old = before.is_some_and(|before| planned.is_within(before));
                        found.unless(is_old, "Certificate without tenant", "");
                    }
                    _ => {}
                }
            }
            let most = initial.map_or(0, |initial| initial.planned.len()).max(CERTIFICATES);
            let is_within = key.namespace != TENANT || plan.len() <= most;
            Found { about: format!("{key:?}"), violations }.unless(is_within, "too many Certificates", "");
            self.check_served(world, key, violations);
        }
    }

    /// Each part of a Certificate except for the issuer is within the allowance, or the Certificate had it before.
    fn check_certificate(&self, planned: &Planned, before: Option<&Planned>, found: &mut Found<'_>) {
        let Planned { secret, names, common_name, fields, .. } = planned;
        let had = |is: &dyn Fn(&Planned) -> bool| before.is_some_and(is);

        found.unless(may_have_secret(secret) || before.is_some(), "Secret", "");
        for name in names {
            found.unless(self.may_have_name(name) || had(&|before| before.has_name(name)), "name", name);
        }
        let may_have = common_name.is_empty()
            || self.may_have_name(common_name)
            || common_name.starts_with("Team A ")
            || had(&|before| before.common_name == *common_name || before.has_name(common_name));
        found.unless(may_have, "common name", "");
        let is_within = names.len() <= NAMES || had(&|before| names.len() <= before.names.len());
        found.unless(is_within, "too many names", "");
        let is_within =
            self.may_have_duration(planned) || had(&|before| before.duration() == planned.duration());
        found.unless(is_within, "duration", planned.duration());
        let key = planned.key();
        let is_within = matches!(key, ("RSA", "2048" | "3072" | "4096") | ("ECDSA", "256" | "384"));
        found.unless(is_within || had(&|before| before.key() == key), "private key", "");
        for field in fields {
            let is_within =
                may_have_field(&field.0, &field.1) || had(&|before| before.fields.contains(field));
            let kind = KINDS.iter().find(|kind| field.0.starts_with(**kind));
            found.unless(is_within, kind.unwrap_or(&"usages"), &field.1);
        }
    }

    /// The hosts and Secrets that an Istio Gateway serves.
    fn check_served(&self, world: &World, key: &Key, violations: &mut Vec<Violation>) {
        let before = self.initial.get(key).map(|initial| &initial.pairs);
        let had = |is: &dyn Fn(&Pair) -> bool| before.is_some_and(|before| before.iter().any(is));
        for (host, secret) in pairs(world, key, self.gateways.as_deref()) {
            let covers = |wide: &str| match wide.strip_prefix('*') {
                Some(base) => host.ends_with(base),
                None => wide == host,
            };
            let had_pair = had(&|(wide, of)| *of == secret && covers(wide));
            let mut found = Found { about: format!("{key:?} {secret} {host}"), violations };
            match key.namespace.as_str() {
                TENANT => {
                    found.unless(self.may_have_name(&host) || had_pair, "served host", "");
                    let name = secret.split('/').next_back().unwrap_or_default();
                    let had_secret = had(&|(_, of)| *of == secret);
                    found.unless(may_have_secret(name) || had_secret, "served Secret", "");
                }
                SANDBOX => found.unless(had_pair, "host served without tenant", ""),
                _ => {}
            }
        }
    }

    /// Whether the tenant may have a DNS name, wildcard or IP address.
    fn may_have_name(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let base = match name.strip_prefix("*.") {
            Some(base) if self.has_wildcards => base,
            Some(_) => return false,
            None => &name,
        };
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        let is_name = base.chars().all(is_plain) && base.split('.').all(|label| !label.is_empty());
        let is_own = base == "team-a.example.com" || base.ends_with(".team-a.example.com");
        (is_name && is_own) || (base.starts_with("10.") && base.parse::<std::net::Ipv4Addr>().is_ok())
    }

    fn may_have_duration(&self, planned: &Planned) -> bool {
        let (group, kind, name) = &planned.issuer;
        if (group.as_str(), kind.as_str(), name.as_str()) == ("cert-manager.io", "ClusterIssuer", "le")
            && planned.field("duration").is_none()
        {
            return true; // Its ACME server chooses the duration.
        }
        let hours = planned.duration().strip_suffix("h0m0s").and_then(|hours| hours.parse().ok());
        hours.is_some_and(|hours: i64| (SHORTEST..=self.longest).contains(&hours))
    }
}

/// Finds the Certificates that a request about one object changed, except to a subset. A ListenerSet that
/// names its issuer itself was checked when it was written, so a change of its parent does not count.
pub fn widened(before: &Plans, after: &Plans, world: &World, changed: &Key, violations: &mut Vec<Violation>) {
    let is_checked =
        |key: &Key| key == changed || !Source::of(world, key).is_some_and(|source| source.names_issuer());
    for (key, plan) in after.iter().filter(|(key, _)| is_checked(key)) {
        for planned in plan {
            let covers = |old: &Planned| {
                old.is_same(planned) && old.issuer == planned.issuer && planned.is_within(old)
            };
            let before = before.get(key);
            Found { about: format!("{key:?} {planned:?} before: {before:?}"), violations }.unless(
                before.into_iter().flatten().any(covers),
                "plan changed without permission",
                "",
            );
        }
    }
}

struct Found<'v> {
    about: String,
    violations: &'v mut Vec<Violation>,
}

impl Found<'_> {
    fn unless(&mut self, is_allowed: bool, kind: &'static str, value: &str) {
        if !is_allowed {
            self.violations.push(Violation { kind, text: format!("{value} in {}", self.about) });
        }
    }
}
