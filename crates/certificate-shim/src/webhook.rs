//! The fields of a Certificate that cert-manager's webhook rejects (`ValidateCertificateSpec` in
//! cert-manager's internal/apis/certmanager/validation/certificate.go, as of release 1.21).
//!
//! certificate-shim accepts some values that the webhook then rejects. The Certificate is not created,
//! and the error appears only in cert-manager's log. Errors that certificate-shim itself detects
//! (invalid key sizes and usages) are not checked again.

mod label;

use std::fmt;

use crate::annotation;
use crate::certificate::Certificate;
use crate::issuer_ref::{CERT_MANAGER_GROUP, CLUSTER_ISSUER_KIND, ISSUER_KIND};
use crate::name;
use crate::template::Template;
use crate::value::quote::quoted;
use crate::value::{duration, ip, mail};

/// A field that the webhook rejects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field.
    pub field: Field,
    /// The webhook's text: the field, the value and the problem. For email addresses, the problem is
    /// worded differently.
    pub text: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A field that the webhook can reject. It is displayed as its path in the Certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The whole spec.
    Spec,
    /// The Secret's name.
    SecretName,
    /// The issuer's name.
    IssuerName,
    /// The issuer's kind.
    IssuerKind,
    /// The common name.
    CommonName,
    /// An IP address, by its index.
    IpAddress(usize),
    /// An email address, by its index.
    EmailAddress(usize),
    /// The duration.
    Duration,
    /// The time between renewal and expiry.
    RenewBefore,
    /// The percentage of the lifetime that is left at renewal.
    RenewBeforePercentage,
    /// The Secret's labels.
    SecretLabels,
    /// The Secret's annotations.
    SecretAnnotations,
}

impl Field {
    /// The annotation that sets the field; `None` if listeners or servers set it.
    pub fn annotation(self) -> Option<&'static str> {
        match self {
            Field::Spec | Field::SecretName => None,
            Field::IssuerName => Some(annotation::ISSUER),
            Field::IssuerKind => Some(annotation::ISSUER_KIND),
            Field::CommonName => Some(annotation::COMMON_NAME),
            Field::IpAddress(_) => Some(annotation::IP_SANS),
            Field::EmailAddress(_) => Some(annotation::EMAIL_SANS),
            Field::Duration => Some(annotation::DURATION),
            Field::RenewBefore => Some(annotation::RENEW_BEFORE),
            Field::RenewBeforePercentage => Some(annotation::RENEW_BEFORE_PERCENTAGE),
            Field::SecretLabels | Field::SecretAnnotations => Some(annotation::SECRET_TEMPLATE),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("spec")?;
        match self {
            Field::Spec => Ok(()),
            Field::SecretName => f.write_str(".secretName"),
            Field::IssuerName => f.write_str(".issuerRef.name"),
            Field::IssuerKind => f.write_str(".issuerRef.kind"),
            Field::CommonName => f.write_str(".commonName"),
            Field::IpAddress(index) => write!(f, ".ipAddresses[{index}]"),
            Field::EmailAddress(index) => write!(f, ".emailAddresses[{index}]"),
            Field::Duration => f.write_str(".duration"),
            Field::RenewBefore => f.write_str(".renewBefore"),
            Field::RenewBeforePercentage => f.write_str(".renewBeforePercentage"),
            Field::SecretLabels => f.write_str(".secretTemplate.labels"),
            Field::SecretAnnotations => f.write_str(".secretTemplate.annotations"),
        }
    }
}

/// The maximum length of a common name, in bytes (RFC 5280, ub-common-name).
const COMMON_NAME_MAX: usize = 64;
const MINUTE: i64 = 60_000_000_000;
const HOUR: i64 = 60 * MINUTE;
/// The default duration of a Certificate (`DefaultCertificateDuration` in
/// pkg/apis/certmanager/v1/const.go), in nanoseconds.
pub const DEFAULT_DURATION: i64 = 2160 * HOUR;

/// The fields of a Certificate that the webhook rejects, in its order.
pub fn validate(certificate: &Certificate) -> Vec<FieldError> {
    let template = &certificate.template;
    let mut errors = Errors::default();
    errors.secret_name(&certificate.secret_name);
    errors.issuer_ref(template);
    errors.names(certificate);
    errors.common(template, certificate.hosts.iter().filter(|host| host.is_ip).count());
    errors.0
}

/// The fields that the webhook rejects in this Certificate, without those in the template.
pub fn validate_own(certificate: &Certificate) -> Vec<FieldError> {
    let mut errors = Errors::default();
    errors.secret_name(&certificate.secret_name);
    errors.names(certificate);
    errors.0
}

/// The fields of the template that the webhook rejects, and so in all Certificates of the Gateway. The
/// indices of IP addresses do not include hosts that are IP addresses.
pub fn validate_template(template: &Template) -> Vec<FieldError> {
    let mut errors = Errors::default();
    errors.issuer_ref(template);
    errors.common(template, 0);
    errors.0
}

#[derive(Default)]
struct Errors(Vec<FieldError>);

impl Errors {
    fn push(&mut self, field: Field, problem: fmt::Arguments<'_>) {
        self.0.push(FieldError { field, text: format!("{field}: {problem}") });
    }

    fn invalid(&mut self, field: Field, value: impl fmt::Display, problem: impl fmt::Display) {
        self.push(field, format_args!("Invalid value: {value}: {problem}"));
    }

    fn secret_name(&mut self, secret_name: &str) {
        if secret_name.is_empty() {
            self.push(Field::SecretName, format_args!("Required value: must be specified"));
        }
        if secret_name.len() > name::SUBDOMAIN_MAX {
            self.invalid(Field::SecretName, quoted(secret_name), "must be no more than 253 characters");
        }
        if !secret_name.is_empty() && !name::has_subdomain_syntax(secret_name) {
            self.invalid(Field::SecretName, quoted(secret_name), label::NOT_A_SUBDOMAIN);
        }
    }

    fn issuer_ref(&mut self, template: &Template) {
        let reference = &template.issuer_ref;
        if reference.name.is_empty() {
            self.push(Field::IssuerName, format_args!("Required value: must be specified"));
        }
        let is_known = matches!(reference.kind.as_str(), "" | ISSUER_KIND | CLUSTER_ISSUER_KIND);
        if matches!(reference.group.as_str(), "" | CERT_MANAGER_GROUP) && !is_known {
            let hint = if reference.group.is_empty() {
                " (did you forget to set spec.issuerRef.kind.group?)"
            } else {
                ""
            };
            let problem = format_args!("must be one of Issuer or ClusterIssuer{hint}");
            self.invalid(Field::IssuerKind, quoted(&reference.kind), problem);
        }
    }

    fn names(&mut self, certificate: &Certificate) {
        if certificate.hosts.is_empty() && !certificate.template.has_names() {
            let problem = "at least one of commonName (from the commonName field or from a literalSubject), dnsNames, \
                        emailSANs, ipAddresses, otherNames, or uriSANs must be set";
            self.invalid(Field::Spec, "\"\"", problem);
        }
    }

    fn common(&mut self, template: &Template, ip_hosts: usize) {
        if template.common_name.len() > COMMON_NAME_MAX {
            self.push(
                Field::CommonName,
                format_args!("Too long: may not be more than {COMMON_NAME_MAX} bytes"),
            );
        }
        for (index, address) in template.ip_sans.iter().enumerate() {
            if !ip::is_ip(address) {
                self.invalid(Field::IpAddress(ip_hosts + index), quoted(address), "invalid IP address");
            }
        }
        for (index, address) in template.email_addresses.iter().enumerate() {
            if !mail::is_plain_address(address) {
                let problem = "invalid email address: it is not of the form local@domain";
                self.invalid(Field::EmailAddress(index), quoted(address), problem);
            }
        }
        self.durations(template);
        for (key, value) in &template.secret_template.labels {
            for fault in label::key_faults(key) {
                self.invalid(Field::SecretLabels, quoted(key), fault);
            }
            for fault in label::value_faults(value) {
                self.invalid(Field::SecretLabels, quoted(value), fault);
            }
        }
        let annotations = &template.secret_template.annotations;
        for key in annotations.keys() {
            for fault in label::key_faults(&label::lower_cased(key)) {
                self.invalid(Field::SecretAnnotations, quoted(key), fault);
            }
        }
        if annotations.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
            > label::ANNOTATIONS_MAX
        {
            let most = label::ANNOTATIONS_MAX;
            self.push(Field::SecretAnnotations, format_args!("Too long: may not be more than {most} bytes"));
        }
    }

    /// `ValidateDuration`. A percentage without durations is not checked.
    fn durations(&mut self, template: &Template) {
        if template.duration.is_none() && template.renew_before.is_none() {
            return;
        }
        let whole = template.duration.unwrap_or(DEFAULT_DURATION);
        if whole < HOUR {
            self.invalid(Field::Duration, whole, "certificate duration must be greater than 1h0m0s");
        }
        if let (Some(renew_before), Some(percentage)) =
            (template.renew_before, template.renew_before_percentage)
        {
            let problem =
                "renewBefore and renewBeforePercentage are mutually exclusive and cannot both be set";
            self.invalid(Field::RenewBefore, renew_before, problem);
            self.invalid(Field::RenewBeforePercentage, percentage, problem);
        }
        if let Some(renew_before) = template.renew_before {
            if renew_before < 5 * MINUTE {
                self.invalid(
                    Field::RenewBefore,
                    renew_before,
                    "certificate renewBefore must be greater than 5m0s",
                );
            }
            if renew_before >= whole {
                let (longer, shorter) = (duration::format(whole), duration::format(renew_before));
                let problem =
                    format_args!("certificate duration {longer} must be greater than renewBefore {shorter}");
                self.invalid(Field::RenewBefore, renew_before, problem);
            }
        }
        if let Some(percentage) = template.renew_before_percentage {
            let renew_before = remaining(whole, percentage);
            if renew_before < 5 * MINUTE {
                let problem =
                    "certificate renewBeforePercentage must result in a renewBefore greater than 5m0s";
                self.invalid(Field::RenewBeforePercentage, percentage, problem);
            }
            if renew_before >= whole {
                let problem =
                    "certificate renewBeforePercentage must result in a renewBefore less than duration";
                self.invalid(Field::RenewBeforePercentage, percentage, problem);
            }
        }
    }
}

/// The time between renewal and expiry that the webhook computes from a percentage. It uses floating
/// point and a subtraction that wraps around. A result that does not fit in 64 bits is the smallest
/// number, as on amd64.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "as in Go")]
fn remaining(whole: i64, percentage: i32) -> i64 {
    let share = f64::from(100_i32.wrapping_sub(percentage));
    let left = whole as f64 * share / 100.0;
    if left.abs() < -(i64::MIN as f64) { left as i64 } else { i64::MIN }
}
