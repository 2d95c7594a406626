//! The report: text, one block for each Gateway.

use std::fmt::Write as _;

use gateway_rules::text::{is_unprintable, one_line};
use serde_json::{Value, json};

use super::change::{Change, Entry};
use super::{Adoptee, Adoption, Effect, Outcome};

/// The result for one Gateway.
pub fn adoption(adoption: &Adoption) -> String {
    let mut text = String::new();
    let mut line = |indent: usize, content: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:indent$}{content}", "");
    };
    let head =
        format!("Gateway {}{}: {}", adoption.gateway, place(&adoption.place), summary(&adoption.outcome));
    line(0, &one_line(&head));
    if let Outcome::LeftAlone(reasons) = &adoption.outcome {
        for reason in reasons {
            line(2, &one_line(reason));
        }
    }
    for adoptee in &adoption.certificates {
        certificate(adoptee, &mut line);
    }
    for note in &adoption.notes {
        line(2, &one_line(note));
    }
    for change in &adoption.changes {
        diff(change, &mut line);
    }
    text
}

fn place(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!(" ({place})") }
}

fn summary(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Nothing => "no Certificate to adopt".to_owned(),
        Outcome::Adopted => "already adopted".to_owned(),
        Outcome::Adoptable(effects) if effects.is_empty() => {
            "can be adopted, nothing is issued again".to_owned()
        }
        Outcome::Adoptable(effects) => {
            let effects: Vec<&str> = effects
                .iter()
                .map(|effect| match effect {
                    Effect::Reissue => "Certificates are issued again (--allow reissue)",
                    Effect::Create => "Certificates are created for other Secrets, which cert-manager then overwrites (--allow create)",
                })
                .collect();
            format!("can be adopted, but {}", effects.join(", and "))
        }
        Outcome::LeftAlone(_) => "left alone".to_owned(),
    }
}

fn certificate(adoptee: &Adoptee, line: &mut impl FnMut(usize, &str)) {
    let result = match &adoptee.comparison {
        None => "",
        Some(comparison) if comparison.reissues() => ": issued again",
        Some(_) => ": not issued again",
    };
    let head = format!(
        "Certificate {} ({}) writes the Secret {}{result}",
        adoptee.name, adoptee.origin, adoptee.secret
    );
    line(2, &one_line(&head));
    let Some(comparison) = &adoptee.comparison else { return };
    for difference in &comparison.differences {
        let reissued = if difference.reissues { " (issued again)" } else { "" };
        let (path, today, planned) = (&difference.path, shown(&difference.today), shown(&difference.planned));
        line(4, &format!("{}: today {today}, planned {planned}{reissued}", one_line(path)));
    }
    if !comparison.kept.is_empty() {
        let kept = one_line(&comparison.kept.join(", "));
        line(4, &format!("unchanged, because no annotation sets it: {kept}"));
    }
}

fn shown(value: &Value) -> String {
    if value.is_null() { "none".to_owned() } else { escaped(value) }
}

/// A value as JSON, which is also YAML, without characters that a terminal would interpret or hide.
fn escaped(value: &Value) -> String {
    let mut text = String::new();
    for character in value.to_string().chars() {
        if is_unprintable(character) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\u{:04x}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    text
}

/// The changes of an object, as lines with `+` and `-` that are YAML without them.
fn diff(change: &Change, line: &mut impl FnMut(usize, &str)) {
    let source = change.deployer.map(|tool| format!(", deployed by {tool}: change its source"));
    let head = format!(
        "change {} {}{}{}:",
        change.kind,
        change.name,
        place(&change.place),
        source.unwrap_or_default()
    );
    line(2, &one_line(&head));
    line(4, "  metadata:");
    for (field, entries) in [("annotations", &change.annotations), ("labels", &change.labels)] {
        if entries.is_empty() {
            continue;
        }
        line(4, &format!("    {field}:"));
        for (key, Entry { today, planned }) in entries {
            for (sign, value) in [("-", today), ("+", planned)] {
                if let Some(value) = value {
                    line(4, &format!("{sign}     {key}: {}", escaped(&json!(value))));
                }
            }
        }
    }
}

/// The closing lines: how many Gateways have which outcome.
pub fn totals(adoptions: &[Adoption]) -> String {
    let count = |is: fn(&Outcome) -> bool| adoptions.iter().filter(|one| is(&one.outcome)).count();
    let gateways =
        if adoptions.len() == 1 { "1 Gateway names" } else { &format!("{} Gateways name", adoptions.len()) };
    format!(
        "{gateways} Secrets: {} can be adopted, {} already adopted, {} left alone, {} without Certificates\n",
        count(|outcome| matches!(outcome, Outcome::Adoptable(_))),
        count(|outcome| matches!(outcome, Outcome::Adopted)),
        count(|outcome| matches!(outcome, Outcome::LeftAlone(_))),
        count(|outcome| matches!(outcome, Outcome::Nothing)),
    )
}
