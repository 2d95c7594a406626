//! The definition of a rule, and how it reports its findings.

use certificate_shim::plan::SecretName;

use crate::context::Context;
use crate::finding::{Cause, Finding, Level};

/// One rule. Its file's first comment is its section in docs/rules.md.
pub struct Rule {
    /// Its id in messages, settings and audit annotations.
    pub id: &'static str,
    /// Its level unless settings change it.
    pub level: Level,
    /// The reason why its findings reject.
    pub cause: Cause,
    /// Which Gateways it checks.
    pub applies_to: AppliesTo,
    /// It needs data that only a request has, so the controller does not run it.
    pub is_for_admission: bool,
    /// Neither settings nor the state of an update's old object change its level.
    pub is_fixed: bool,
    /// Its findings are about the object as a whole: in an update they become warnings only if it asks
    /// for nothing new.
    pub is_about_whole: bool,
    /// Reports its findings.
    pub check: Check,
}

/// The function of a rule.
pub type Check = fn(&Context<'_>, &mut Findings<'_>);

/// Which Gateways a rule checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppliesTo {
    /// Those with an issuer annotation, their own or an inherited one.
    Annotated,
    /// Those with an issuer annotation, and ListenerSets of tenants: a parent can name an issuer for them at
    /// any time.
    Planned,
    /// All Gateways that are checked.
    All,
}

/// The front end that runs the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The policy, for an object in an admission request.
    Admission,
    /// The controller, for an object in the cluster.
    Controller,
}

impl Rule {
    /// A rule that rejects what cannot be issued or served, on annotated Gateways.
    pub const fn reject(id: &'static str, check: Check) -> Self {
        Rule {
            id,
            level: Level::Reject,
            cause: Cause::Invalid,
            applies_to: AppliesTo::Annotated,
            is_for_admission: false,
            is_fixed: false,
            is_about_whole: false,
            check,
        }
    }

    /// A rule that warns.
    pub const fn warn(id: &'static str, check: Check) -> Self {
        Rule { level: Level::Warn, ..Rule::reject(id, check) }
    }

    /// A rule that is off unless settings turn it on.
    pub const fn off(id: &'static str, check: Check) -> Self {
        Rule { level: Level::Off, ..Rule::reject(id, check) }
    }

    /// It rejects what the tenant or user may not have.
    pub const fn forbidden(self) -> Self {
        Rule { cause: Cause::Forbidden, ..self }
    }

    /// It rejects because a lookup failed.
    pub const fn undetermined(self) -> Self {
        Rule { cause: Cause::Undetermined, ..self }
    }

    /// It checks ListenerSets of tenants too that have no issuer yet.
    pub const fn of_planned(self) -> Self {
        Rule { applies_to: AppliesTo::Planned, ..self }
    }

    /// It checks Gateways without issuer too.
    pub const fn of_all(self) -> Self {
        Rule { applies_to: AppliesTo::All, ..self }
    }

    /// Only the policy runs it.
    pub const fn for_admission(self) -> Self {
        Rule { is_for_admission: true, ..self }
    }

    /// Nothing changes its level.
    pub const fn fixed(self) -> Self {
        Rule { is_fixed: true, ..self }
    }

    /// Its findings are about the object as a whole.
    pub const fn about_whole(self) -> Self {
        Rule { is_about_whole: true, ..self }
    }

    /// Whether it runs.
    pub fn runs(&self, context: &Context<'_>, caller: Caller) -> bool {
        let applies = match self.applies_to {
            AppliesTo::Annotated => context.issuer.is_some(),
            AppliesTo::Planned => context.issuer.is_some() || context.has_assumed_issuer,
            AppliesTo::All => true,
        };
        applies && (caller == Caller::Admission || !self.is_for_admission)
    }
}

/// The most findings of one rule that have texts. More would not help a person.
pub const TEXTS: usize = 100;

/// Collects the findings of one rule.
pub struct Findings<'f> {
    rule: &'f Rule,
    level: Level,
    count: usize,
    findings: &'f mut Vec<Finding>,
}

impl<'f> Findings<'f> {
    /// Collects the findings of a rule at that level.
    pub fn of(rule: &'f Rule, level: Level, findings: &'f mut Vec<Finding>) -> Self {
        Findings { rule, level, count: 0, findings }
    }

    /// Reports a problem at a path of the object: a clause without a full stop.
    pub fn report(&mut self, path: impl Into<String>, problem: impl Into<String>) -> &mut Finding {
        self.count += 1;
        let is_cut = self.count > TEXTS;
        let text = |text: String| if is_cut { String::new() } else { text };
        self.findings.push_mut(Finding {
            rule: self.rule.id,
            level: self.level,
            cause: self.rule.cause,
            path: text(path.into()),
            subject: String::new(),
            problem: text(problem.into()),
            help: String::new(),
            certificate: None,
            rests_on: None,
            exception: None,
            is_cut,
        })
    }

    /// Whether further findings have no texts, so that there is no need to make them.
    pub fn is_full(&self) -> bool {
        self.count >= TEXTS
    }

    /// Like [`Findings::report_each`], but the texts (path, problem, help) are made only if they are shown:
    /// for problems that a Gateway can have by the thousand.
    pub fn report_each_with(
        &mut self,
        secrets: &[SecretName],
        subject: &str,
        texts: impl FnOnce() -> (String, String, String),
    ) {
        let (path, problem, help) = if self.is_full() { Default::default() } else { texts() };
        self.report_each(secrets, &path, subject, &problem, &help);
    }

    /// Reports the same problem about the Certificate of each of the Secrets, or about all if there
    /// are none.
    pub fn report_each(
        &mut self,
        secrets: &[SecretName],
        path: &str,
        subject: &str,
        problem: &str,
        help: &str,
    ) {
        for secret in secrets {
            self.report(path, problem).subject(subject).help(help).about(secret.clone());
        }
        if secrets.is_empty() {
            self.report(path, problem).subject(subject).help(help);
        }
    }
}
