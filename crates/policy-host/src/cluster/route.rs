//! The URL of a lookup, and its interpretation by the API server. Names are inserted into the URL without
//! escaping.
//!
//! kube-rs builds the path, http checks its characters, and the API server parses it in
//! `k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`.

use super::kinds::{Kind, Kinds, group_of};

/// The target of a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    Object { kind: &'a Kind, namespace: Option<String>, name: String },
    List { kind: &'a Kind, namespace: Option<String> },
    Nothing,
}

/// The path contains a character that is not valid in a URL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidUri;

/// The path of a get.
pub(crate) fn path(kind: &Kind, namespace: Option<&str>, name: &str) -> String {
    let root = if group_of(&kind.api_version).is_empty() { "api" } else { "apis" };
    let scope = match namespace {
        Some(namespace) if kind.namespaced => format!("namespaces/{namespace}/"),
        _ => String::new(),
    };
    format!("/{root}/{}/{scope}{}/{name}", kind.api_version, kind.plural)
}

/// Finds the target of a path.
pub(crate) fn follow<'a>(kinds: &'a Kinds, path: &str) -> Result<Route<'a>, InvalidUri> {
    let path = &path[..path.find(['?', '#']).unwrap_or(path.len())];
    if !path.bytes().all(is_valid_in_a_path) {
        return Err(InvalidUri);
    }
    let decoded = percent_decoded(path);
    let mut segments = decoded.trim_matches('/').split('/');
    let api_version = match (segments.next(), segments.next()) {
        (Some("api"), Some(version)) => version.to_owned(),
        (Some("apis"), Some(group)) => format!("{group}/{}", segments.next().unwrap_or_default()),
        _ => return Ok(Route::Nothing),
    };
    let rest: Vec<&str> = segments.collect();
    // `namespaces/x` alone is the Namespace itself.
    let (namespace, rest) = match rest.as_slice() {
        ["namespaces", namespace, rest @ ..]
            if !rest.is_empty() && !matches!(rest, ["status" | "finalize", ..]) =>
        {
            (Some((*namespace).to_owned()), rest)
        }
        rest => (None, rest),
    };
    let Some(kind) = rest.first().and_then(|plural| kinds.by_plural(&api_version, plural)) else {
        return Ok(Route::Nothing);
    };
    Ok(match rest {
        [_] if namespace.is_none() || kind.namespaced => Route::List { kind, namespace },
        // Further parts are ignored.
        [_, name] | [_, name, "status", ..] if kind.namespaced == namespace.is_some() => {
            Route::Object { kind, namespace, name: (*name).to_owned() }
        }
        _ => Route::Nothing,
    })
}

/// Whether the http crate accepts a byte in a path (`uri/path.rs`).
fn is_valid_in_a_path(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x24..=0x3B | 0x3D | 0x40..=0x5F | 0x61..=0x7A | 0x7C | 0x7E..=0xFF)
        || matches!(byte, b'"' | b'{' | b'}')
}

fn percent_decoded(path: &str) -> String {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        let digit = |index: usize| after.get(index).and_then(|byte| char::from(*byte).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.extend(u8::try_from(high * 16 + low));
                rest = &after[2..];
            }
            _ => {
                decoded.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn issuer(namespace: &str, name: &str) -> String {
        let kind = Kind {
            api_version: "cert-manager.io/v1".to_owned(),
            kind: "Issuer".to_owned(),
            plural: "issuers".to_owned(),
            namespaced: true,
        };
        path(&kind, Some(namespace), name)
    }

    #[rstest]
    #[case::plain("ns", "ca", "Issuer ns/ca")]
    #[case::subresource("ns", "ca/status", "Issuer ns/ca")]
    #[case::deeper("ns", "ca/status/x", "Issuer ns/ca")]
    #[case::other_subresource("ns", "ca/scale", "nothing")]
    #[case::query("ns", "ca?x", "Issuer ns/ca")]
    #[case::fragment("ns", "ca#x", "Issuer ns/ca")]
    #[case::query_alone("ns", "?x", "IssuerList ns")]
    #[case::trailing_slash("ns", "ca/", "Issuer ns/ca")]
    #[case::dots("ns", "../../../clusterissuers/x", "nothing")]
    #[case::escaped_slash("ns", "ca%2Fstatus", "Issuer ns/ca")]
    #[case::half_an_escape("ns", "ca%2", "Issuer ns/ca%2")]
    #[case::other_object_through_the_namespace("ns/issuers/ca?", "x", "Issuer ns/ca")]
    #[case::other_kind_through_the_namespace("ns/secrets", "x", "nothing")]
    #[case::space("ns", "a b", "invalid")]
    #[case::space_in_namespace("n s", "ca", "invalid")]
    #[case::angle("ns", "<ca>", "invalid")]
    #[case::beyond_ascii("ns", "cä", "Issuer ns/cä")]
    fn a_name_is_inserted_without_escaping(
        #[case] namespace: &str,
        #[case] name: &str,
        #[case] expected: &str,
    ) {
        let kinds = Kinds::default();
        let found = match follow(&kinds, &issuer(namespace, name)) {
            Err(InvalidUri) => "invalid".to_owned(),
            Ok(Route::Nothing) => "nothing".to_owned(),
            Ok(Route::List { kind, namespace }) => {
                format!("{}List {}", kind.kind, namespace.unwrap_or_default())
            }
            Ok(Route::Object { kind, namespace, name }) => {
                format!("{} {}/{name}", kind.kind, namespace.unwrap_or_default())
            }
        };
        assert_eq!(found, expected);
    }

    #[rstest]
    #[case::namespace("Namespace", "namespaces", "v1", "team-a")]
    #[case::cluster_scoped("ClusterIssuer", "clusterissuers", "cert-manager.io/v1", "ca")]
    fn a_cluster_scoped_object_is_found(
        #[case] kind: &str,
        #[case] plural: &str,
        #[case] api_version: &str,
        #[case] name: &str,
    ) {
        let asked = Kind {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            namespaced: false,
        };
        let kinds = Kinds::default();
        let route = follow(&kinds, &path(&asked, Some("ignored"), name)).unwrap();
        assert_eq!(route, Route::Object { kind: &asked, namespace: None, name: name.to_owned() });
    }

    proptest! {
        #[test]
        fn no_name_panics(namespace in ".*", name in ".*") {
            let _ = follow(&Kinds::default(), &issuer(&namespace, &name));
        }

        #[test]
        fn a_valid_name_stays_unchanged(name in "[a-z0-9]([a-z0-9.-]{0,60}[a-z0-9])?") {
            let kinds = Kinds::default();
            let route = follow(&kinds, &issuer("ns", &name)).unwrap();
            let found = matches!(route, Route::Object { name: found, .. } if found == name);
            prop_assert!(found);
        }
    }
}
