//! Annotations that cannot be read.

use std::fmt;

use crate::annotation;
use crate::template::Algorithm;
use crate::value::csv::CsvError;
use crate::value::duration::DurationError;
use crate::value::integer::IntegerError;
use crate::value::quote::{quoted, shortened};
use crate::value::secret_template::TemplateError;

/// An annotation that cert-manager cannot read. With one of them it creates none of the Gateway's
/// Certificates, and the error appears only in cert-manager's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotationFault {
    /// The annotation's key.
    pub key: &'static str,
    /// Its value, shortened to [`SHOWN`] characters.
    pub value: String,
    /// The kind of error.
    pub kind: FaultKind,
    /// The error as in cert-manager's log, after the key. CSV and JSON errors are worded differently from
    /// Go's.
    pub reason: String,
}

/// The number of characters of a value that are shown.
pub const SHOWN: usize = 64;

/// The problem with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// It is not a duration.
    Duration(DurationError),
    /// It is not a whole number, or is out of range.
    Integer(IntegerError),
    /// It is less than 1.
    NotPositive,
    /// It is not a valid key size for the algorithm.
    KeySize(Algorithm),
    /// It is not one of the allowed words.
    Word,
    /// One of its items is not a key usage; the item with its spaces.
    Usage(String),
    /// It is not one record of CSV.
    Csv(CsvError),
    /// It is not a secret template.
    Template(TemplateError),
}

impl AnnotationFault {
    pub(crate) fn new(key: &'static str, value: &str, kind: FaultKind) -> Self {
        let reason = Reason { key, value, kind: &kind }.to_string();
        AnnotationFault { key, value: shortened(value, SHOWN), kind, reason }
    }

    /// The values that the annotation accepts, as a phrase.
    pub fn accepts(&self) -> &'static str {
        annotation::find(self.key).map_or("", |annotation| annotation.accepts)
    }
}

/// cert-manager's whole error: `invalid ingress annotation "KEY": REASON`.
impl fmt::Display for AnnotationFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid ingress annotation {}: {}", quoted(self.key), self.reason)
    }
}

impl std::error::Error for AnnotationFault {}

/// cert-manager's error for a value (`translateAnnotations` in certificate-shim/helper.go).
struct Reason<'a> {
    key: &'a str,
    value: &'a str,
    kind: &'a FaultKind,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reason { key, value, kind } = self;
        let what = match kind {
            FaultKind::Duration(error) => return error.text(value).fmt(f),
            FaultKind::Csv(error) => return error.text(value).fmt(f),
            FaultKind::Integer(error) => {
                let function = if *key == annotation::PRIVATE_KEY_SIZE { "Atoi" } else { "ParseInt" };
                return error.text(function, value).fmt(f);
            }
            FaultKind::Template(error) => {
                if !matches!(error, TemplateError::ForbiddenAnnotation(_)) {
                    f.write_str("error parsing secret template JSON: ")?;
                }
                return error.fmt(f);
            }
            FaultKind::Usage(item) => return write!(f, "invalid key usage name {}", quoted(item)),
            FaultKind::NotPositive => "revision history limit must be a positive number",
            FaultKind::KeySize(Algorithm::Ecdsa) => "invalid private key size for ECDSA algorithm",
            FaultKind::KeySize(_) => "invalid private key size for RSA algorithm",
            FaultKind::Word => match *key {
                annotation::PRIVATE_KEY_ALGORITHM => "invalid private key algorithm",
                annotation::PRIVATE_KEY_ENCODING => "invalid private key encoding",
                _ => "invalid private key rotation policy",
            },
        };
        write!(f, "{what} {}", quoted(value))
    }
}
