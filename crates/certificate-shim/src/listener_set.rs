//! What a ListenerSet takes over from its parent Gateway before it is judged
//! (`inheritAnnotations` in cert-manager's certificate-shim/listenerset/controller.go).

use crate::annotation::{CLUSTER_ISSUER, ISSUER, ISSUER_GROUP, ISSUER_KIND};
use crate::gateway::Gateway;

/// Gives a ListenerSet the issuer annotations of its parent: its name only where the set names none
/// itself, but kind and group always, even over the set's own.
pub fn inherit<'a>(set: &mut Gateway<'a>, parent: &Gateway<'a>) {
    let names: &[&'static str] = if set.is_annotated() { &[] } else { &[CLUSTER_ISSUER, ISSUER] };
    for key in names.iter().chain(&[ISSUER_KIND, ISSUER_GROUP]) {
        if let Some(value) = parent.annotation(key) {
            set.metadata.annotations.insert(key, value);
        }
    }
}

/// Whether cert-manager passes a ListenerSet over because of its parent: without a name for it, or
/// while the parent is being deleted.
pub fn is_orphaned(set: &Gateway<'_>, parent: Option<&Gateway<'_>>) -> bool {
    set.parent_ref.as_ref().is_none_or(|parent| parent.name.is_empty())
        || parent.is_none_or(|parent| parent.metadata.deleting)
}
