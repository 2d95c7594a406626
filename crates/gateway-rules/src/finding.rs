//! A finding: one rule's complaint about one subject of one Gateway.

use certificate_shim::Certificate;
use certificate_shim::plan::SecretName;

use crate::lookup::ObjectRef;

/// How heavy a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The rule is not asked.
    Off,
    /// The request goes through, with a warning.
    Warn,
    /// The request is refused.
    Reject,
}

impl Level {
    /// The word of settings and audit annotations.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Off => "off",
            Level::Warn => "warn",
            Level::Reject => "reject",
        }
    }

    /// The level of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Level::Off, Level::Warn, Level::Reject].into_iter().find(|level| level.as_str() == word)
    }
}

/// What kind of refusal a rule's findings make, hence the HTTP code of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The object asks for something that cannot be issued or served: 422.
    Invalid,
    /// The object asks for something that its owner may not have: 403.
    Forbidden,
    /// The question could not be answered, so the request is refused to be safe: 500.
    Undetermined,
}

/// One rule's complaint about one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's id.
    pub rule: &'static str,
    /// The level that settings give the rule, or `Warn` where the ratchet lowered it.
    pub level: Level,
    /// What a refusal by it means.
    pub refusal: Refusal,
    /// Where in the object: `metadata.annotations[cert-manager.io/issuer]`.
    pub path: String,
    /// What it is about: the issuer, the host, the value.
    pub subject: String,
    /// What is wrong, as a clause without a full stop.
    pub what: String,
    /// How to mend it, as a sentence.
    pub mend: String,
    /// The one Certificate that it is about; none where it concerns every Certificate.
    pub certificate: Option<SecretName>,
    /// The looked-up object that it rests on, where another state of that object would change it.
    pub rests_on: Option<ObjectRef>,
}

impl Finding {
    /// Says which Certificate it is about; none is every one.
    pub fn about(&mut self, certificate: Option<&Certificate>) -> &mut Self {
        self.certificate = certificate.map(Certificate::secret);
        self
    }

    /// Says that another state of that looked-up object would change it.
    pub fn resting_on(&mut self, object: &ObjectRef) -> &mut Self {
        self.rests_on = Some(object.clone());
        self
    }
}

impl std::fmt::Display for Finding {
    /// `rule: path: what. How to mend it.`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}. {}", self.rule, self.path, self.what, self.mend)
    }
}
