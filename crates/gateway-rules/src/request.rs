//! The admission request that a Kubewarden host hands to a policy, read leniently.

use std::fmt;

use certificate_shim::gateway::GatewayKind;
use certificate_shim::read::{Malformed, Node};
use serde_json::Value;

use crate::lookup::User;

/// Why a payload cannot be judged. Its text names a place, and repeats nothing of the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// No JSON: the line and column where it ends to be.
    Json {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// A field of another type than the API gives it.
    Field(Malformed),
    /// A CREATE or UPDATE without an object.
    NoObject,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Json { line, column } => {
                write!(f, "the admission request is no JSON at line {line} column {column}")
            }
            Unreadable::Field(malformed) => write!(f, "{malformed}"),
            Unreadable::NoObject => f.write_str("the admission request has no object"),
        }
    }
}

impl From<Malformed> for Unreadable {
    fn from(malformed: Malformed) -> Self {
        Unreadable::Field(malformed)
    }
}

/// What is asked of the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// CREATE.
    Create,
    /// UPDATE, whether put, patched or applied.
    Update,
}

/// The part of an admission request that the policy reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The kind; none where it is not ours.
    pub kind: Option<GatewayKind>,
    /// The operation; none for DELETE and CONNECT, which are not judged.
    pub operation: Option<Operation>,
    /// The request is about a subresource such as `status`.
    pub is_subresource: bool,
    /// The namespace; the object may leave its own out.
    pub namespace: String,
    /// The object as it is going to be; null where there is none.
    pub object: Value,
    /// The object as it is; null on CREATE.
    pub old_object: Value,
    /// Who asks; none where the request does not tell, as in background audits.
    pub user: Option<User>,
}

impl Request {
    /// Decodes the payload of a `validate` call into the request and the settings.
    ///
    /// # Errors
    /// Where the payload is not what a host sends.
    pub fn decode(payload: &[u8]) -> Result<(Self, Value), Unreadable> {
        let mut payload: Value = serde_json::from_slice(payload)
            .map_err(|error| Unreadable::Json { line: error.line(), column: error.column() })?;
        let settings = payload.get_mut("settings").map(Value::take).unwrap_or_default();
        let request = payload.get_mut("request").map(Value::take).unwrap_or_default();
        Ok((Self::read(request)?, settings))
    }

    /// Reads the `request` of an AdmissionReview.
    ///
    /// # Errors
    /// The first field that has another type than the API gives it.
    pub fn read(request: Value) -> Result<Self, Unreadable> {
        Self::read_fields(request).map_err(|malformed| {
            let dot = if malformed.path.is_empty() { "" } else { "." };
            Unreadable::Field(Malformed { path: format!("request{dot}{}", malformed.path), ..malformed })
        })
    }

    fn read_fields(mut request: Value) -> Result<Self, Malformed> {
        let object = request.get_mut("object").map(Value::take).unwrap_or_default();
        let old_object = request.get_mut("oldObject").map(Value::take).unwrap_or_default();
        let root = Node::root(&request);
        let kind = root.field("kind")?;
        let text = |name| Ok::<_, Malformed>(root.field(name)?.string()?.unwrap_or_default());
        let user = root.field("userInfo")?;
        let user = User {
            name: user.field("username")?.string()?.unwrap_or_default().to_owned(),
            groups: user.field("groups")?.strings()?.into_iter().map(str::to_owned).collect(),
        };
        Ok(Request {
            kind: GatewayKind::of(
                kind.field("group")?.string()?.unwrap_or_default(),
                kind.field("kind")?.string()?.unwrap_or_default(),
            ),
            operation: match text("operation")? {
                "CREATE" => Some(Operation::Create),
                "UPDATE" => Some(Operation::Update),
                _ => None,
            },
            is_subresource: !text("subResource")?.is_empty(),
            namespace: text("namespace")?.to_owned(),
            object,
            old_object,
            user: Some(user).filter(|user| !user.name.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::no_json("{\n  x", "the admission request is no JSON at line 2 column 3")]
    #[case::nothing("", "the admission request is no JSON at line 1 column 0")]
    #[case::kind_as_text(
        r#"{"request": {"kind": "secret"}}"#,
        "request.kind: expected an object, found a string"
    )]
    #[case::request_as_list(r#"{"request": ["secret"]}"#, "request: expected an object, found a list")]
    fn unreadable(#[case] payload: &str, #[case] expected: &str) {
        let error = Request::decode(payload.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, expected);
        assert!(!error.contains("secret"));
    }

    #[test]
    fn what_is_absent_is_not_ours() {
        let (request, settings) = Request::decode(b"{}").unwrap();
        assert_eq!((request.kind, request.operation, settings), (None, None, Value::Null));
    }
}
