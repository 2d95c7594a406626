//! The texts of failing lookups, as kube-rs and anyhow print them.
//!
//! They combine kube's `Error` and `Status` (with its `Debug`), anyhow's chain of causes, and the messages of
//! `crates/policy-evaluator/src/callback_handler/kubernetes/client.rs`.

use super::{HostError, Tail};

/// A failure: its message and its causes.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    causes: Vec<String>,
}

/// `kube::core::Status`; only its `Debug` is used.
#[derive(Debug)]
#[expect(dead_code, reason = "the derived Debug is the text that the policy gets")]
pub(crate) struct Status {
    status: Option<StatusSummary>,
    code: u16,
    message: String,
    metadata: Option<ListMeta>,
    reason: String,
    details: Option<StatusDetails>,
}

#[derive(Debug)]
enum StatusSummary {
    Failure,
}

#[derive(Debug, Default)]
#[expect(dead_code, reason = "the derived Debug is the text that the policy gets")]
struct ListMeta {
    continue_: Option<String>,
    remaining_item_count: Option<i64>,
    resource_version: Option<String>,
    self_link: Option<String>,
}

#[derive(Debug, Default)]
#[expect(dead_code, reason = "the derived Debug is the text that the policy gets")]
pub(crate) struct StatusDetails {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) uid: String,
    pub(crate) causes: Vec<StatusCause>,
    pub(crate) retry_after_seconds: u32,
}

#[derive(Debug)]
#[expect(dead_code, reason = "the derived Debug is the text that the policy gets")]
pub(crate) struct StatusCause {
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) field: String,
}

impl Status {
    /// A Status object that the API server sent.
    pub(crate) fn sent(code: u16, reason: &str, message: String, details: Option<StatusDetails>) -> Self {
        Self {
            status: Some(StatusSummary::Failure),
            code,
            message,
            metadata: Some(ListMeta::default()),
            reason: reason.to_owned(),
            details,
        }
    }

    /// kube's Status for an answer in plain text.
    pub(crate) fn of_text(code: u16, body: &str) -> Self {
        Self {
            status: Some(StatusSummary::Failure),
            code,
            message: body.to_owned(),
            metadata: None,
            reason: "Failed to parse error data".to_owned(),
            details: None,
        }
    }
}

impl Failure {
    /// An error with a message of the host itself.
    pub(crate) fn plain(message: String) -> Self {
        Self { message, causes: Vec::new() }
    }

    /// An error response of the API server.
    pub(crate) fn api(status: &Status) -> Self {
        let summary = format!("{}: {}", status.message, status.reason);
        Self { message: format!("ApiError: {summary} ({status:?})"), causes: vec![summary] }
    }

    /// The error for a path that is not served.
    pub(crate) fn page_not_found() -> Self {
        Self::api(&Status::of_text(404, "404 page not found\n"))
    }

    /// The error for an API server that does not accept connections.
    pub(crate) fn unreachable() -> Self {
        let causes = ["client error (Connect)", "tcp connect error", "Connection refused (os error 111)"];
        Self {
            message: format!("ServiceError: {}", causes[0]),
            causes: causes.into_iter().map(str::to_owned).collect(),
        }
    }

    /// The error for a URL that cannot be built.
    pub(crate) fn invalid_uri() -> Self {
        let cause = "failed to build request: invalid uri character".to_owned();
        Self {
            message: format!("Failed to build request: {cause}"),
            causes: vec![cause, "invalid uri character".to_owned()],
        }
    }

    /// The error for a get without a name.
    pub(crate) fn empty_name() -> Self {
        let cause = "failed to validate request: A non-empty name is required".to_owned();
        Self { message: format!("Failed to build request: {cause}"), causes: vec![cause] }
    }

    /// The same failure during the discovery of the kind. Discovery of the core group adds no prefix.
    pub(crate) fn in_discovery(mut self, api_version: &str, kind: &str) -> Self {
        if api_version != "v1" {
            self.message = format!("error finding resource {api_version} / {kind}: {}", self.message);
        }
        self
    }

    /// The text that the policy gets.
    pub(crate) fn render(&self, tail: Tail) -> HostError {
        let mut text = self.message.clone();
        if tail != Tail::None && !self.causes.is_empty() {
            text.push_str("\n\nCaused by:");
            for (number, cause) in self.causes.iter().enumerate() {
                let (first, next) = if self.causes.len() > 1 {
                    (format!("\n{number: >5}: "), "\n       ")
                } else {
                    ("\n    ".to_owned(), "\n    ")
                };
                text.push_str(&first);
                text.push_str(&cause.replace('\n', next));
            }
        }
        if tail == Tail::Backtrace {
            text.push_str(
                "\n\nStack backtrace:\n   \
                 0: <core::result::Result<T,F> as core::ops::try_trait::FromResidual<..>>::from_residual\n   \
                 1: policy_evaluator::callback_handler::kubernetes::client::Client::get_resource::{{closure}}\n   \
                 2: std::sys::backtrace::__rust_begin_short_backtrace",
            );
        }
        HostError::callback(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_is_indented_and_several_are_numbered() {
        let one = Failure { message: "m".to_owned(), causes: vec!["a\n: b".to_owned()] };
        assert_eq!(
            one.render(Tail::CausedBy).to_string(),
            "Callback evaluation failure: m\n\nCaused by:\n    a\n    : b"
        );
        let two = Failure { message: "m".to_owned(), causes: vec!["a\nb".to_owned(), "c".to_owned()] };
        assert_eq!(
            two.render(Tail::CausedBy).to_string(),
            "Callback evaluation failure: m\n\nCaused by:\n    0: a\n       b\n    1: c"
        );
    }

    #[test]
    fn a_message_alone_has_no_causes_but_a_backtrace() {
        let failure = Failure::plain("m".to_owned());
        assert_eq!(failure.render(Tail::CausedBy), failure.render(Tail::None));
        let text = failure.render(Tail::Backtrace).to_string();
        assert!(text.starts_with("Callback evaluation failure: m\n\nStack backtrace:\n   0: "), "{text}");
    }
}
