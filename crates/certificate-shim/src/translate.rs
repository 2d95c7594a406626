//! The fields of a Certificate that annotations set (`translateAnnotations` in
//! certificate-shim/helper.go, as of release 1.21).

use std::collections::BTreeMap;

use crate::annotation;
use crate::fault::{AnnotationFault, FaultKind};
use crate::template::{Algorithm, Encoding, RotationPolicy, Template};
use crate::value::{csv, duration, integer, secret_template, usage};

/// Copies the annotations to the template. Returns those that cannot be read, in the order in which
/// cert-manager reads them.
pub(crate) fn translate(annotations: &BTreeMap<&str, &str>, template: &mut Template) -> Vec<AnnotationFault> {
    let mut reader = Reader { annotations, faults: Vec::new() };

    template.common_name = reader.text(annotation::COMMON_NAME).to_owned();
    template.alt_names = items(reader.text(annotation::ALT_NAMES));
    template.ip_sans = items(reader.text(annotation::IP_SANS));
    // Unlike the two above, an empty value is one empty address, which the webhook rejects.
    template.email_addresses = reader
        .value(annotation::EMAIL_SANS)
        .map_or_else(Vec::new, |value| value.split(',').map(str::to_owned).collect());

    let subject = &mut template.subject;
    for (key, field) in [
        (annotation::SUBJECT_ORGANIZATIONS, &mut subject.organizations),
        (annotation::SUBJECT_ORGANIZATIONAL_UNITS, &mut subject.organizational_units),
        (annotation::SUBJECT_COUNTRIES, &mut subject.countries),
        (annotation::SUBJECT_PROVINCES, &mut subject.provinces),
        (annotation::SUBJECT_LOCALITIES, &mut subject.localities),
        (annotation::SUBJECT_POSTAL_CODES, &mut subject.postal_codes),
        (annotation::SUBJECT_STREET_ADDRESSES, &mut subject.street_addresses),
    ] {
        *field = reader.read(key, |value| csv::parse(value).map_err(FaultKind::Csv)).unwrap_or_default();
    }
    subject.serial_number = reader.text(annotation::SUBJECT_SERIAL_NUMBER).to_owned();

    template.duration = reader.read(annotation::DURATION, read_duration);
    template.renew_before = reader.read(annotation::RENEW_BEFORE, read_duration);
    template.renew_before_percentage = reader.read(annotation::RENEW_BEFORE_PERCENTAGE, read_integer);
    let usages = reader.read(annotation::USAGES, |value| {
        usage::parse(value).map_err(|item| FaultKind::Usage(item.to_owned()))
    });
    template.usages = usages.unwrap_or_else(|| usage::DEFAULT.to_vec());
    template.revision_history_limit = reader.read(annotation::REVISION_HISTORY_LIMIT, |value| {
        read_integer(value).and_then(|limit| if limit < 1 { Err(FaultKind::NotPositive) } else { Ok(limit) })
    });

    let key = &mut template.private_key;
    key.algorithm = reader
        .read(annotation::PRIVATE_KEY_ALGORITHM, |value| Algorithm::parse(value).ok_or(FaultKind::Word));
    key.encoding =
        reader.read(annotation::PRIVATE_KEY_ENCODING, |value| Encoding::parse(value).ok_or(FaultKind::Word));
    // The valid sizes depend on the algorithm. They are not checked if the algorithm is invalid.
    let algorithm = match key.algorithm {
        None if reader.value(annotation::PRIVATE_KEY_ALGORITHM).is_some() => None,
        _ => Some(key.effective_algorithm()),
    };
    key.size =
        reader.read(annotation::PRIVATE_KEY_SIZE, |value| read_size(value, algorithm)).unwrap_or_default();
    key.rotation_policy = reader.read(annotation::PRIVATE_KEY_ROTATION_POLICY, |value| {
        RotationPolicy::parse(value).ok_or(FaultKind::Word)
    });

    template.secret_template = reader
        .read(annotation::SECRET_TEMPLATE, |value| secret_template::parse(value).map_err(FaultKind::Template))
        .unwrap_or_default();
    reader.faults
}

struct Reader<'r, 'a> {
    annotations: &'r BTreeMap<&'a str, &'a str>,
    faults: Vec<AnnotationFault>,
}

impl<'a> Reader<'_, 'a> {
    /// The value; empty if absent.
    fn text(&self, key: &str) -> &'a str {
        self.value(key).unwrap_or_default()
    }

    /// The parsed value; `None` if it is absent or cannot be parsed.
    fn read<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&'a str) -> Result<T, FaultKind>,
    ) -> Option<T> {
        let value = self.value(key)?;
        parse(value).map_err(|kind| self.fault(key, value, kind)).ok()
    }

    // These two are not inlined into the dozen instances of `read`, to keep the module small.
    #[inline(never)]
    fn value(&self, key: &str) -> Option<&'a str> {
        self.annotations.get(key).copied()
    }

    #[inline(never)]
    fn fault(&mut self, key: &'static str, value: &str, kind: FaultKind) {
        self.faults.push(AnnotationFault::new(key, value, kind));
    }
}

/// The items of a list that are separated by commas, without quoting.
fn items(value: &str) -> Vec<String> {
    if value.is_empty() { Vec::new() } else { value.split(',').map(str::to_owned).collect() }
}

fn read_duration(value: &str) -> Result<i64, FaultKind> {
    duration::parse(value).map_err(FaultKind::Duration)
}

fn read_integer(value: &str) -> Result<i32, FaultKind> {
    integer::parse_i32(value).map_err(FaultKind::Integer)
}

/// Parses a key size in bits. For Ed25519, every number is accepted, as in cert-manager.
fn read_size(value: &str, algorithm: Option<Algorithm>) -> Result<i64, FaultKind> {
    let size = integer::parse_i64(value).map_err(FaultKind::Integer)?;
    match (algorithm, size) {
        (Some(algorithm @ Algorithm::Rsa), ..2048 | 8193..) => Err(FaultKind::KeySize(algorithm)),
        (Some(Algorithm::Ecdsa), 256 | 384 | 521) => Ok(size),
        (Some(algorithm @ Algorithm::Ecdsa), _) => Err(FaultKind::KeySize(algorithm)),
        _ => Ok(size),
    }
}
