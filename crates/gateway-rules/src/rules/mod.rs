//! The rules, one file each, in the order in which their findings are shown.

use certificate_shim::plan::SecretName;

use crate::context::{Context, FoundCertificate};
use crate::finding::{Finding, Level, Refusal};

pub mod acme_common_name_not_listed;
pub mod acme_ignored;
pub mod acme_reachability;
pub mod acme_solver_missing;
pub mod acme_too_many_names;
pub mod annotation_conflict;
pub mod annotation_invalid;
pub mod annotation_istio_internal;
pub mod annotation_reserved;
pub mod annotation_unknown;
pub mod annotation_without_effect;
pub mod certificate_invalid;
pub mod client_ca_missing;
pub mod credential_external;
pub mod credential_name_invalid;
pub mod credential_unused;
pub mod duration_out_of_bounds;
pub mod gateway_namespace_unknown;
pub mod host_without_name;
pub mod issuer_cross_namespace;
pub mod issuer_external;
pub mod issuer_no_permission;
pub mod issuer_not_allowed;
pub mod issuer_not_found;
pub mod issuer_not_ready;
pub mod issuer_pending;
pub mod issuer_stale;
pub mod issuer_unknown;
pub mod key_not_allowed;
pub mod listener_skipped;
pub mod lookup_failed;
pub mod name_not_allowed;
pub mod name_not_served;
pub mod namespace_without_tenant;
pub mod nothing_issued;
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
pub mod usage_not_allowed;
pub mod wide_wildcard;
pub mod wildcard_below_tld;

/// Every rule, in the order in which findings are shown.
pub const ALL: &[&Rule] = &[
    &lookup_failed::RULE,
    &parent_missing::RULE,
    &annotation_conflict::RULE,
    &annotation_invalid::RULE,
    &certificate_invalid::RULE,
    &gateway_namespace_unknown::RULE,
    &selector_missing::RULE,
    &issuer_not_found::RULE,
    &issuer_not_ready::RULE,
    &issuer_pending::RULE,
    &issuer_stale::RULE,
    &issuer_external::RULE,
    &issuer_unknown::RULE,
    &acme_solver_missing::RULE,
    &acme_common_name_not_listed::RULE,
    &wildcard_below_tld::RULE,
    &wide_wildcard::RULE,
    &acme_too_many_names::RULE,
    &acme_ignored::RULE,
    &acme_reachability::RULE,
    &self_signed::RULE,
    &tls_mode_unsupported::RULE,
    &host_without_name::RULE,
    &credential_name_invalid::RULE,
    &listener_skipped::RULE,
    &nothing_issued::RULE,
    &credential_unused::RULE,
    &credential_external::RULE,
    &client_ca_missing::RULE,
    &secret_not_owned::RULE,
    &secret_without_owner::RULE,
    &secret_owner_unknown::RULE,
    &namespace_without_tenant::RULE,
    &issuer_not_allowed::RULE,
    &issuer_cross_namespace::RULE,
    &issuer_no_permission::RULE,
    &name_not_allowed::RULE,
    &name_not_served::RULE,
    &secret_not_allowed::RULE,
    &duration_out_of_bounds::RULE,
    &key_not_allowed::RULE,
    &usage_not_allowed::RULE,
    &subject_not_allowed::RULE,
    &secret_metadata_not_allowed::RULE,
    &annotation_reserved::RULE,
    &annotation_istio_internal::RULE,
    &annotation_unknown::RULE,
    &annotation_without_effect::RULE,
];

/// One rule. Its file's first comment is its section in docs/rules.md.
pub struct Rule {
    /// Its id in messages, settings and audit annotations.
    pub id: &'static str,
    /// Its level unless settings say otherwise.
    pub default: Level,
    /// What a refusal by it means.
    pub refusal: Refusal,
    /// Where it is asked.
    pub applies: Applies,
    /// Which Gateways it judges.
    pub judges: Judges,
    /// Reports what it finds.
    pub check: fn(&Context<'_>, &mut Findings<'_>),
}

/// Where a rule is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// At admission and in the controller.
    Everywhere,
    /// At admission only, because it needs what only a request has.
    AtAdmission,
}

/// Which Gateways a rule judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judges {
    /// Those with an issuer annotation.
    Annotated,
    /// All that reach the rules.
    All,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// The policy, about an object on its way in.
    Admission,
    /// The controller, about an object that is there.
    Controller,
}

impl Rule {
    /// Whether its level holds whatever settings and an update's old object say: without an answer
    /// to its question the others cannot be asked.
    pub fn is_fixed(id: &str) -> bool {
        id == lookup_failed::RULE.id
    }
}

/// Takes the findings of one rule.
pub struct Findings<'f> {
    rule: &'f Rule,
    level: Level,
    findings: &'f mut Vec<Finding>,
}

impl Findings<'_> {
    /// Adds a finding: where, about what, what is wrong (a clause), how to mend it (a sentence).
    pub fn add(
        &mut self,
        path: impl Into<String>,
        subject: impl Into<String>,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.push(path.into(), subject.into(), what.into(), mend.into());
    }

    /// Adds a finding about the Certificate of one Secret.
    pub fn add_about(
        &mut self,
        secret: &SecretName,
        path: impl Into<String>,
        subject: impl Into<String>,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.push(path.into(), subject.into(), what.into(), mend.into()).certificate = Some(secret.clone());
    }

    /// Adds a finding about the Certificate of each of the Secrets, or about all where there are
    /// none.
    pub fn add_about_each(
        &mut self,
        secrets: &[SecretName],
        path: &str,
        subject: &str,
        text: (String, String),
    ) {
        let (what, mend) = text;
        for secret in secrets {
            self.add_about(secret, path, subject, what.as_str(), mend.as_str());
        }
        if secrets.is_empty() {
            self.add(path, subject, what, mend);
        }
    }

    /// Adds a finding that another state of the looked-up `object` would change.
    pub fn add_resting_on(
        &mut self,
        object: &crate::lookup::ObjectRef,
        path: impl Into<String>,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.push(path.into(), object.to_string(), what.into(), mend.into()).rests_on = Some(object.clone());
    }

    /// Adds a finding that rests on a Certificate that is there already.
    pub fn add_about_found(
        &mut self,
        found: &FoundCertificate,
        subject: impl Into<String>,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) {
        let finding = self.push(found.path.clone(), subject.into(), what.into(), mend.into());
        finding.certificate = Some(found.secret.clone());
        finding.rests_on = Some(found.object.clone());
    }

    /// Adds a finding like [`Findings::add`], and hands it out to be told what it is about.
    pub fn push(&mut self, path: String, subject: String, what: String, mend: String) -> &mut Finding {
        self.findings.push_mut(Finding {
            rule: self.rule.id,
            level: self.level,
            refusal: self.rule.refusal,
            path,
            subject,
            what,
            mend,
            certificate: None,
            rests_on: None,
        })
    }
}

/// Asks every rule that is not off.
pub fn check(context: &Context<'_>, asker: Asker) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in ALL {
        let level = context.settings.level(rule);
        let asked = level != Level::Off
            && (rule.applies == Applies::Everywhere || asker == Asker::Admission)
            && (rule.judges == Judges::All || context.issuer.is_some());
        if asked {
            (rule.check)(context, &mut Findings { rule, level, findings: &mut findings });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_unique_kebab_case_and_name_their_files() {
        let mut seen = BTreeSet::new();
        for rule in ALL {
            assert!(seen.insert(rule.id), "{} is listed twice", rule.id);
            assert!(rule.id.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", rule.id);
            let file = format!("{}/src/rules/{}.rs", env!("CARGO_MANIFEST_DIR"), rule.id.replace('-', "_"));
            let source = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
            assert!(source.starts_with("//! "), "{file} has no comment for docs/rules.md");
        }
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/rules")).unwrap().count();
        assert_eq!(files, ALL.len() + 1, "a rule's file is not in the list");
    }
}
