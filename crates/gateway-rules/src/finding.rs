//! A finding: one rule's report about one subject of one Gateway.

use std::fmt;

use certificate_shim::plan::SecretName;

use crate::lookup::ObjectRef;

/// The effect of a rule's findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The rule does not run.
    Off,
    /// The request is accepted, with a warning.
    Warn,
    /// The request is rejected.
    Reject,
}

impl Level {
    /// The word for it in settings and audit annotations.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Off => "off",
            Level::Warn => "warn",
            Level::Reject => "reject",
        }
    }

    /// The level for a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Level::Off, Level::Warn, Level::Reject].into_iter().find(|level| level.as_str() == word)
    }
}

/// The reason why a finding rejects a request, which determines the HTTP code of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The object asks for something that cannot be issued or served: 422.
    Invalid,
    /// The object asks for something that its tenant or user may not have: 403.
    Forbidden,
    /// A lookup failed, so the request is rejected to be safe: 500.
    Undetermined,
}

/// One rule's report about one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's id.
    pub rule: &'static str,
    /// The level that settings give the rule, or `Warn` if the ratchet or an exception lowered it.
    pub level: Level,
    /// The reason why it rejects.
    pub cause: Cause,
    /// The path in the object: `metadata.annotations[cert-manager.io/issuer]`. Empty if `is_cut`.
    pub path: String,
    /// The subject: the issuer, the host, the value. The ratchet compares it in full.
    pub subject: String,
    /// The problem, as a clause without a full stop. Empty if `is_cut`.
    pub problem: String,
    /// The help, as a sentence. Empty if `is_cut`.
    pub help: String,
    /// The one Certificate that it is about; `None` if it is about every Certificate.
    pub certificate: Option<SecretName>,
    /// The looked-up object that it rests on: another state of that object would change it.
    pub rests_on: Option<ObjectRef>,
    /// The reason why an exception of the settings lowered it to a warning.
    pub exception: Option<String>,
    /// Whether it has no texts, because the rule had reported many before. It counts like the others.
    pub is_cut: bool,
}

impl Finding {
    /// Sets the subject: the issuer, the host, the value.
    pub fn subject(&mut self, subject: impl Into<String>) -> &mut Self {
        self.subject = subject.into();
        self
    }

    /// Sets the help: a sentence of at most 120 characters.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        if !self.is_cut {
            self.help = help.into();
        }
        self
    }

    /// Sets the Certificate that it is about; without one it is about all of them.
    pub fn about(&mut self, certificate: impl Into<Option<SecretName>>) -> &mut Self {
        self.certificate = certificate.into();
        self
    }

    /// Notes that another state of that looked-up object would change it.
    pub fn rests_on(&mut self, object: &ObjectRef) -> &mut Self {
        self.rests_on = Some(object.clone());
        self
    }

    /// Sets the reason why it rejects, if it differs from the rule's.
    pub fn cause(&mut self, cause: Cause) -> &mut Self {
        self.cause = cause;
        self
    }
}

impl fmt::Display for Finding {
    /// `rule: path: problem. Help.`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}. {}", self.rule, self.path, self.problem, self.help)
    }
}
