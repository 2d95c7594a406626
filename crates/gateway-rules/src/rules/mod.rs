//! The rules, one file each.

use crate::catalog::for_each_rule;
use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Caller, Findings, Rule};

pub mod acme_common_name_not_listed;
pub mod acme_ignored;
pub mod acme_reachability;
pub mod acme_solver_missing;
pub mod acme_too_many_names;
pub mod annotation_conflict;
pub mod annotation_invalid;
pub mod annotation_istio_internal;
pub mod annotation_misplaced;
pub mod annotation_reserved;
pub mod annotation_unknown;
pub mod annotation_without_effect;
pub mod certificate_file_not_allowed;
pub mod certificate_invalid;
pub mod certificate_ref_group;
pub mod client_ca_missing;
pub mod credential_external;
pub mod credential_name_invalid;
pub mod credential_unused;
pub mod duration_out_of_bounds;
pub mod gateway_namespace_unknown;
pub mod gateways_not_compared;
pub mod host_breaks_listener;
pub mod host_without_name;
pub mod hostname_any;
pub mod issuer_cross_namespace;
pub mod issuer_external;
pub mod issuer_kind_without_issuer;
pub mod issuer_no_permission;
pub mod issuer_not_allowed;
pub mod issuer_not_found;
pub mod issuer_not_ready;
pub mod issuer_pending;
pub mod issuer_stale;
pub mod issuer_unknown;
pub mod key_not_allowed;
pub mod listener_name_duplicated;
pub mod listener_skipped;
pub mod lookup_failed;
pub mod name_not_allowed;
pub mod name_not_served;
pub mod namespace_without_tenant;
pub mod nothing_issued;
pub mod object_too_large;
pub mod parent_missing;
pub mod secret_metadata_not_allowed;
pub mod secret_not_allowed;
pub mod secret_not_owned;
pub mod secret_owner_unknown;
pub mod secret_without_owner;
pub mod selector_missing;
pub mod self_signed;
pub mod subject_not_allowed;
pub mod tls_mode_unsupported;
pub mod tls_without_secret;
pub mod too_many_certificates;
pub mod too_many_names;
pub mod usage_not_allowed;
pub mod wide_wildcard;
pub mod wildcard_below_tld;

macro_rules! list {
    ($($name:ident,)+) => {
        /// Every rule, in the order in which findings are shown.
        pub const ALL: &[&Rule] = &[$(&$name::RULE),+];
    };
}
for_each_rule!(list);

/// The rule with an id.
pub fn find(id: &str) -> Option<&'static Rule> {
    ALL.iter().copied().find(|rule| rule.id == id)
}

/// Runs every rule that is not off.
pub fn check(context: &Context<'_>, caller: Caller) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in ALL {
        let level = context.settings.level(rule);
        if level != Level::Off && rule.runs(context, caller) {
            (rule.check)(context, &mut Findings::of(rule, level, &mut findings));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings;

    #[test]
    fn ids_name_their_files() {
        for rule in ALL {
            let file = format!("{}/src/rules/{}.rs", env!("CARGO_MANIFEST_DIR"), rule.id.replace('-', "_"));
            let source = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
            assert!(source.starts_with("//! "), "{file} has no comment for docs/rules.md");
        }
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/rules")).unwrap().count();
        assert_eq!(files, ALL.len() + 1, "a rule's file is not in the list");
    }

    #[test]
    fn settings_know_the_ids() {
        let ids: Vec<String> = settings::rule_ids().collect();
        assert_eq!(ids, ALL.iter().map(|rule| rule.id).collect::<Vec<_>>());
        let fixed: Vec<&str> = ALL.iter().filter(|rule| rule.is_fixed).map(|rule| rule.id).collect();
        assert_eq!(fixed, settings::FIXED);
    }
}
