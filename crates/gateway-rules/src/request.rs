//! The admission request that a Kubewarden host passes to a policy, read leniently and no further than
//! needed: most requests are about objects that no rule checks.

use std::fmt;
use std::str::Utf8Error;

use certificate_shim::gateway::GatewayKind;
use certificate_shim::read::{Malformed, Node};
use json_prune::Object;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::lookup::User;

/// The reason why a payload cannot be checked. Its text names a place, and repeats nothing of the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// Not JSON: the line and column of the first error.
    Json {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// A field of another type than the API defines.
    Field(Malformed),
    /// A CREATE or UPDATE without an object.
    NoObject,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Json { line, column } => {
                write!(f, "the admission request is not JSON at line {line} column {column}")
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

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Unreadable::Json { line: error.line(), column: error.column() }
    }
}

impl From<Utf8Error> for Unreadable {
    fn from(error: Utf8Error) -> Self {
        // A payload is one line.
        Unreadable::Json { line: 1, column: error.valid_up_to() }
    }
}

/// The operation of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// CREATE.
    Create,
    /// UPDATE, whether put, patched or applied.
    Update,
}

/// The part of an admission request that the policy reads.
#[derive(Debug)]
pub struct Request<'a> {
    /// The kind; `None` if the policy does not check it.
    pub kind: Option<GatewayKind>,
    /// The operation; `None` for DELETE and CONNECT, which are not checked.
    pub operation: Option<Operation>,
    /// The request is about a subresource such as `status`.
    pub is_subresource: bool,
    /// The namespace; the object can omit its own.
    pub namespace: String,
    /// The new state of the object.
    pub object: Option<Object<'a>>,
    /// The old state; `None` on CREATE.
    pub old_object: Option<Object<'a>>,
    /// The JSON of the policy's settings; empty if there are none.
    pub settings: &'a str,
    request: json_prune::Request<'a>,
    payload: &'a str,
}

impl<'a> Request<'a> {
    /// Decodes the payload of a `validate` call.
    ///
    /// # Errors
    /// The payload is not what a host sends.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Unreadable> {
        let payload = str::from_utf8(payload)?;
        let json_prune::Payload { request, settings } = json_prune::payload(payload)?;
        let settings = settings.map(RawValue::get).unwrap_or_default();
        Self::read(request, settings, payload).map_err(in_request)
    }

    fn read(
        mut request: json_prune::Request<'a>,
        settings: &'a str,
        payload: &'a str,
    ) -> Result<Self, Malformed> {
        let root = Node::root(&request.fields);
        let kind = root.field("kind")?;
        let text = |name| Ok::<_, Malformed>(root.field(name)?.string()?.unwrap_or_default());
        Ok(Request {
            kind: GatewayKind::of(
                kind.field("group")?.string()?.unwrap_or_default(),
                kind.field("kind")?.string()?.unwrap_or_default(),
            ),
            operation: operation(text("operation")?),
            is_subresource: !text("subResource")?.is_empty(),
            namespace: text("namespace")?.to_owned(),
            object: request.object.take(),
            old_object: request.old_object.take(),
            settings,
            request,
            payload,
        })
    }

    /// The user; `None` if the request does not name one, as in background audits.
    ///
    /// # Errors
    /// `userInfo` has another type than the API defines.
    pub fn user(&self) -> Result<Option<User>, Unreadable> {
        let user = self.request.user()?;
        let read = || {
            let user = Node::root(&user);
            Ok(User {
                name: user.field("username")?.string()?.unwrap_or_default().to_owned(),
                groups: user.field("groups")?.strings()?.into_iter().map(str::to_owned).collect(),
            })
        };
        let user = read().map_err(|malformed: Malformed| {
            in_request(Malformed { path: format!("userInfo.{}", malformed.path), ..malformed })
        })?;
        Ok(Some(user).filter(|user| !user.name.is_empty()))
    }

    /// The whole object.
    ///
    /// # Errors
    /// It is too deeply nested.
    pub fn whole_object(&self) -> Result<Value, Unreadable> {
        Ok(json_prune::whole_object(self.payload)?)
    }
}

fn in_request(malformed: Malformed) -> Unreadable {
    let dot = if malformed.path.is_empty() { "" } else { "." };
    Unreadable::Field(Malformed { path: format!("request{dot}{}", malformed.path), ..malformed })
}

fn operation(word: &str) -> Option<Operation> {
    match word {
        "CREATE" => Some(Operation::Create),
        "UPDATE" => Some(Operation::Update),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::no_json("{\n  x", "the admission request is not JSON at line 2 column 3")]
    #[case::nothing("", "the admission request is not JSON at line 1 column 0")]
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
    fn not_utf8() {
        let error = Request::decode(b"{\"a\": \"\xff\"}").unwrap_err();
        assert_eq!(error, Unreadable::Json { line: 1, column: 7 });
    }

    #[test]
    fn absent_fields_are_not_checked() {
        let request = Request::decode(b"{}").unwrap();
        assert_eq!((request.kind, request.operation, request.settings), (None, None, ""));
    }
}
