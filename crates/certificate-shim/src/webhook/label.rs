//! Labels and annotations of Kubernetes objects, and the API server's errors about invalid ones
//! (`IsLabelKey`, `IsLabelValue` and `IsDNS1123Subdomain` in apimachinery's
//! pkg/api/validate/content).

use crate::name;

/// The maximum total length of the keys and values of all annotations, in bytes
/// (`TotalAnnotationSizeLimitB` in apimachinery's pkg/api/validation/objectmeta.go).
pub const ANNOTATIONS_MAX: usize = 256 * 1024;
/// The maximum length of the name in a key and of a label value, in bytes.
const NAME_MAX: usize = 63;

/// The error for a name that is not a DNS subdomain.
pub const NOT_A_SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const NOT_A_NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const NOT_A_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// The errors in the key of a label, which is an optional DNS subdomain with a slash, and a name.
pub fn key_faults(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = match key.split_once('/') {
        None => key,
        Some((_, name)) if name.contains('/') => {
            let suffix = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a valid label key {NOT_A_NAME}{suffix}")];
        }
        Some(("", name)) => {
            faults.push("prefix part must be non-empty".to_owned());
            name
        }
        Some((prefix, name)) => {
            if prefix.len() > name::SUBDOMAIN_MAX {
                faults.push(format!("prefix part must be no more than {} bytes", name::SUBDOMAIN_MAX));
            }
            if !name::has_subdomain_syntax(prefix) {
                faults.push(format!("prefix part {NOT_A_SUBDOMAIN}"));
            }
            name
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > NAME_MAX {
        faults.push(format!("name part must be no more than {NAME_MAX} bytes"));
    }
    if !is_name(name) {
        faults.push(format!("name part {NOT_A_NAME}"));
    }
    faults
}

/// The errors in the value of a label, which is empty or a name.
pub fn value_faults(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > NAME_MAX {
        faults.push(format!("must be no more than {NAME_MAX} bytes"));
    }
    if !value.is_empty() && !is_name(value) {
        faults.push(NOT_A_VALUE.to_owned());
    }
    faults
}

fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let ends = text.as_bytes().first().zip(text.as_bytes().last());
    text.bytes().all(inner)
        && ends.is_some_and(|(a, b)| a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric())
}

/// Lower-cases a key like Go, as far as it matters for its validity: in addition to the ASCII letters,
/// two other letters have a lower case in ASCII.
pub fn lower_cased(key: &str) -> String {
    let lower = |c: char| match c {
        '\u{130}' => 'i',
        '\u{212a}' => 'k',
        _ => c.to_ascii_lowercase(),
    };
    key.chars().map(lower).collect()
}
