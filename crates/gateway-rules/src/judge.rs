//! One judgement: a Gateway in, everything that is found out. The policy and the controller both
//! come through here.

use certificate_shim::gateway::Gateway;
use certificate_shim::issuer_ref::IssuerRef;
use certificate_shim::plan::{SecretName, secrets_named};

use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::lookup::Lookups;
use crate::parent::Parent;
use crate::rules::{self, Asker};
use crate::settings::Settings;

/// What is found about one state of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The issuer that its annotations resolve to, also where they contradict each other; none
    /// where it is not annotated.
    pub issuer: Option<IssuerRef>,
    /// Whether the annotations agree on that issuer.
    pub issuer_is_sound: bool,
    /// Every Secret that it names anywhere.
    pub named: Vec<SecretName>,
    /// The Secrets that it gets Certificates for.
    pub planned: Vec<SecretName>,
    /// All findings, in the order of the rules.
    pub findings: Vec<Finding>,
}

impl Judgement {
    /// Whether any finding refuses it.
    pub fn is_refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Reject)
    }
}

/// Judges a Gateway as it is or is going to be.
pub fn judge(gateway: &Gateway<'_>, settings: &Settings, lookups: &Lookups<'_>, asker: Asker) -> Judgement {
    conclude(gateway, settings, lookups, asker, false)
}

/// Judges an earlier state of the Gateway, from memory: it is never looked up itself, so that only
/// what the present state asked for is known.
pub(crate) fn judge_from_memory(
    gateway: &Gateway<'_>,
    settings: &Settings,
    lookups: &Lookups<'_>,
) -> Judgement {
    conclude(gateway, settings, lookups, Asker::Admission, true)
}

fn conclude(
    written: &Gateway<'_>,
    settings: &Settings,
    lookups: &Lookups<'_>,
    asker: Asker,
    from_memory: bool,
) -> Judgement {
    let parent = Parent::of(written, lookups, from_memory);
    let heir = parent.as_ref().and_then(|parent| parent.heir(written));
    let mut context = Context::new(written, heir.as_ref().unwrap_or(written), settings, lookups);
    context.parent = parent.as_ref();
    context.from_memory = from_memory;
    let context = &context;
    let findings = rules::check(context, asker);
    Judgement {
        issuer: context.issuer.as_ref().map(|issuer| issuer.reference.clone()),
        issuer_is_sound: context.issuer_ref().is_some(),
        named: secrets_named(context.gateway, &context.placement),
        planned: context.plan.secrets(),
        findings,
    }
}
