//! The annotations that a ListenerSet inherits from its parent Gateway (`inheritAnnotations` in
//! cert-manager's certificate-shim/listenerset/controller.go).

use crate::annotation::{CLUSTER_ISSUER, ISSUER, ISSUER_GROUP, ISSUER_KIND};
use crate::gateway::Gateway;

/// Copies the issuer annotations of the parent to a ListenerSet. The name is copied only if the set
/// has none. Kind and group always replace those of the set.
pub fn inherit<'a>(set: &mut Gateway<'a>, parent: &Gateway<'a>) {
    let names: &[&'static str] = if set.is_annotated() { &[] } else { &[CLUSTER_ISSUER, ISSUER] };
    for key in names.iter().chain(&[ISSUER_KIND, ISSUER_GROUP]) {
        if let Some(value) = parent.annotation(key) {
            set.metadata.annotations.insert(key, value);
        }
    }
}

/// Whether cert-manager skips a ListenerSet because of its parent: the reference has no name, or the
/// parent does not exist or is being deleted.
pub fn is_orphaned(set: &Gateway<'_>, parent: Option<&Gateway<'_>>) -> bool {
    set.parent_ref.as_ref().is_none_or(|parent| parent.name.is_empty())
        || parent.is_none_or(|parent| parent.metadata.deleting)
}
