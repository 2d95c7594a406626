//! The parent of a ListenerSet: the Gateway that it inherits its issuer from.

use certificate_shim::gateway::{Gateway, GatewayKind, Metadata};
use certificate_shim::listener_set::inherit;

use crate::lookup::{GATEWAY_API_VERSION, Known, LookupError, ObjectRef, Outcome};

/// The parent as one state of the ListenerSet sees it.
pub struct Parent {
    /// The object that was looked up.
    pub object: ObjectRef,
    /// The result; `None` if this is the old state and the new one did not ask.
    pub outcome: Option<Outcome>,
}

/// The parent that a ListenerSet names, if this is one. cert-manager uses only the namespace and name of
/// the reference, and ignores its group and kind (`ProcessItem` in
/// certificate-shim/listenerset/controller.go).
pub fn reference(set: &Gateway<'_>) -> Option<ObjectRef> {
    let named = set.parent_ref.as_ref();
    (set.kind == GatewayKind::ListenerSet).then(|| ObjectRef {
        api_version: GATEWAY_API_VERSION.to_owned(),
        kind: GatewayKind::GatewayApi.kind().to_owned(),
        namespace: Some(named.map_or(set.metadata.namespace, |parent| parent.namespace).to_owned()),
        name: named.map_or("", |parent| parent.name).to_owned(),
    })
}

impl Parent {
    /// Looks up the parent of a ListenerSet.
    pub fn of(set: &Gateway<'_>, known: &dyn Known) -> Option<Self> {
        let object = reference(set)?;
        let readable = |outcome: Outcome| match outcome {
            Ok(parent) if Metadata::read("", &parent).is_err() => {
                Err(LookupError::Undetermined("its metadata cannot be read".to_owned()))
            }
            outcome => outcome,
        };
        let outcome = known.get(&object).map(readable);
        Some(Parent { object, outcome })
    }

    /// The ListenerSet merged with its parent; `None` if the parent could not be read.
    pub fn merged<'p>(&'p self, set: &Gateway<'p>) -> Option<Gateway<'p>> {
        let parent = self.outcome.as_ref()?.as_ref().ok()?;
        let mut merged = set.clone();
        inherit(&mut merged, &Gateway::read(GatewayKind::GatewayApi, "", parent).ok()?);
        Some(merged)
    }

    /// Whether the parent exists but is being deleted.
    pub fn is_deleting(&self) -> bool {
        let parent = self.outcome.as_ref().and_then(|outcome| outcome.as_ref().ok());
        parent.is_some_and(|parent| Metadata::read("", parent).is_ok_and(|metadata| metadata.deleting))
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{
        GatewayFixture, TestCluster, cluster_issuer, gateway, gateway_api, issuer, listener_set,
    };
    use rstest::rstest;
    use serde_json::json;

    fn with(gateway: GatewayFixture, annotations: &[(&str, &str)]) -> GatewayFixture {
        annotations.iter().fold(gateway, |gateway, (key, value)| gateway.cert_manager(key, value))
    }

    const OF_PARENT: &str = "spec.parentRef";
    const OWN: &str = "metadata.annotations[cert-manager.io/cluster-issuer]";

    #[rstest]
    #[case::inherited(&[("cluster-issuer", "absent")], &[], Some(("ClusterIssuer \"absent\"", OF_PARENT)))]
    #[case::issuer_inherited(&[("issuer", "absent")], &[], Some(("Issuer \"absent\" in namespace \"team-a\"", OF_PARENT)))]
    #[case::own_issuer_counts(&[("cluster-issuer", "absent")], &[("cluster-issuer", "le")], None)]
    #[case::own_issuer_only(&[], &[("cluster-issuer", "absent")], Some(("ClusterIssuer \"absent\"", OWN)))]
    #[case::own_issuer_against_a_sound_one(&[("cluster-issuer", "le")], &[("cluster-issuer", "absent")], Some(("ClusterIssuer \"absent\"", OWN)))]
    #[case::nothing_to_inherit(&[], &[], None)]
    fn the_issuer_of_a_listener_set(
        #[case] parent: &[(&str, &str)],
        #[case] own: &[(&str, &str)],
        #[case] expected: Option<(&str, &str)>,
    ) {
        let cluster = TestCluster::default()
            .object(cluster_issuer("le").ready())
            .object(with(gateway_api("web"), parent));
        let findings = with(listener_set("extra"), own).findings(&cluster);
        match expected {
            None => assert_eq!(findings, Vec::<String>::new()),
            Some((issuer, path)) => {
                let start = format!("issuer-not-found: {path}: there is no {issuer}. ");
                assert!(findings.len() == 1 && findings[0].starts_with(&start), "{findings:?}");
            }
        }
        assert_eq!(cluster.asked()[0], "Gateway team-a/web");
    }

    #[test]
    fn the_kind_is_inherited_even_with_its_own_issuer() {
        let parent = with(gateway_api("web"), &[("issuer-kind", "ClusterIssuer")]);
        let cluster = TestCluster::default().object(cluster_issuer("le").ready()).object(parent);
        let set = with(listener_set("extra"), &[("issuer", "le"), ("issuer-kind", "Issuer")]);
        assert_eq!(set.findings(&cluster), Vec::<String>::new());
        assert_eq!(cluster.asked(), ["Gateway team-a/web", "ClusterIssuer le"]);
    }

    #[test]
    fn never_defaulted_and_left_alone_by_the_role_that_only_defaults() {
        let default = json!({"name": "le", "kind": "ClusterIssuer", "when": "always"});
        for (role, asked) in [("both", 1), ("default", 0)] {
            let cluster = TestCluster::default().object(gateway_api("web"));
            let set = listener_set("extra").settings(json!({"role": role, "default_issuer": default}));
            let answer = set.create(&cluster);
            assert!(answer.accepted && answer.mutated_object.is_none());
            assert_eq!(cluster.asked().len(), asked, "{role}");
        }
    }

    #[test]
    fn a_rejection_rests_on_the_parent_too() {
        let cluster = TestCluster::default()
            .object(issuer("team-a", "ca").ready())
            .object(with(gateway_api("web"), &[("issuer", "cc")]))
            .fresh_answer(
                &gateway("team-a", "web"),
                Ok(with(gateway_api("web"), &[("issuer", "ca")]).object()),
            );
        assert!(listener_set("extra").create(&cluster).accepted);
        assert_eq!(
            cluster.asked(),
            [
                "Gateway team-a/web",
                "Issuer team-a/cc",
                "ClusterIssuer cc",
                "Gateway team-a/web fresh",
                "Issuer team-a/ca fresh"
            ]
        );
    }

    #[rstest]
    #[case::same_parent(json!({"name": "web"}), true)]
    #[case::another_parent(json!({"name": "other"}), false)]
    fn updates_under_the_issuer_of_the_parent(#[case] before: serde_json::Value, #[case] let_through: bool) {
        let cluster =
            TestCluster::default().object(with(gateway_api("web"), &[("cluster-issuer", "absent")]));
        let old = listener_set("extra").with("/spec/parentRef", before);
        let answer = listener_set("extra").annotation("a", "b").update_from(&old, &cluster);
        assert_eq!(answer.accepted, let_through);
        assert_eq!(cluster.asked()[0], "Gateway team-a/web");
        assert!(
            !cluster.asked().contains(&"Gateway team-a/other".to_owned()),
            "the old parent is never looked up"
        );
    }
}
